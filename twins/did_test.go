package twins_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/twins"
)

// form is what iotics says of a DID.
var form = regexp.MustCompile(`^did:iotics:iot[a-km-zA-HJ-NP-Z1-9]{33}$`)

func TestIDs(t *testing.T) {
	ids := []string{
		twins.OutputID("i", "s"), twins.OutputID("is", ""), twins.OutputID("", "is"), twins.OutputID("s", "i"),
		twins.NewID("i", "s"), twins.NewID("is"), twins.NewID("is", ""), twins.NewID(), twins.NewID(""), twins.NewID(strings.Repeat("x", 1000)),
	}
	seen := map[string]bool{}
	for _, id := range ids {
		assert.Regexp(t, form, id)
		assert.True(t, twins.ValidDID(id), id)
		assert.False(t, seen[id], "%s is there twice", id)
		seen[id] = true
	}
	// Fixed for good: output twins that exist keep their ids.
	assert.Equal(t, "did:iotics:iotGvFsg4yPZvLHMnthKT8fT4YLGGnQfc1uv", twins.OutputID("overheating", "machine_1"))
	assert.Equal(t, "did:iotics:iotWNYmbirZbAx9S3Yk1RpNXPuUmGfQLeASJ", twins.NewID("machine model"))
}

func TestValidDID(t *testing.T) {
	// Made by the public identity libraries of iotics from real keys.
	for _, id := range []string{
		"did:iotics:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQbC",
		"did:iotics:iotXqziDRUAqcb7Sd5NcCKMHi2DCvnNKmY7B",
		"did:iotics:iotHjrmKpPGWyEC4FFo4d6oyzVVk6MXLmEgY",
	} {
		assert.True(t, twins.ValidDID(id), id)
	}
	for name, id := range map[string]string{
		"empty":                   "",
		"a plain name":            "machine_1",
		"the prefix alone":        "did:iotics:iot",
		"another method":          "did:ioticz:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQbC",
		"a wrong checksum":        "did:iotics:iotHHHmKpPGWyEC4FFo4d6oyzVVk6MXLmEgY",
		"one letter changed":      "did:iotics:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQbD",
		"a letter not in base58":  "did:iotics:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQb0",
		"short":                   "did:iotics:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQb",
		"long":                    "did:iotics:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQbCC",
		"with a fragment":         "did:iotics:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQbC#name",
		"another tag":             "did:iotics:iouPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQbC",
		"more than the bytes are": "did:iotics:" + strings.Repeat("z", 36),
		"beyond the largest":      "did:iotics:" + strings.Repeat("z", 37),
	} {
		assert.False(t, twins.ValidDID(id), name)
	}
}

func FuzzValidDID(f *testing.F) {
	f.Add(twins.NewID("x"))
	f.Add("did:iotics:iotHHHmKpPGWyEC4FFo4d6oyzVVk6MXLmEgY")
	f.Add("did:iotics:111111111111111111111111111111111111")
	f.Fuzz(func(t *testing.T, id string) {
		if twins.ValidDID(id) && !form.MatchString(id) {
			t.Fatalf("%q has not the form of a DID", id)
		}
		if made := twins.NewID(id); !twins.ValidDID(made) || !form.MatchString(made) {
			t.Fatalf("%q is not valid", made)
		}
	})
}
