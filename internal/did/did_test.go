package did_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/internal/did"
)

// form is what iotics says of a DID.
var form = regexp.MustCompile(`^did:iotics:iot[a-km-zA-HJ-NP-Z1-9]{33}$`)

func TestValid(t *testing.T) {
	// Made by the public identity libraries of iotics from real keys.
	for _, id := range []string{
		"did:iotics:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQbC",
		"did:iotics:iotXqziDRUAqcb7Sd5NcCKMHi2DCvnNKmY7B",
		"did:iotics:iotHjrmKpPGWyEC4FFo4d6oyzVVk6MXLmEgY",
	} {
		assert.True(t, did.Valid(id), id)
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
		assert.False(t, did.Valid(id), name)
	}
}

func FuzzValid(f *testing.F) {
	f.Add("did:iotics:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQbC")
	f.Add("did:iotics:iotHHHmKpPGWyEC4FFo4d6oyzVVk6MXLmEgY")
	f.Add("did:iotics:111111111111111111111111111111111111")
	f.Fuzz(func(t *testing.T, id string) {
		if did.Valid(id) && !form.MatchString(id) {
			t.Fatalf("%q has not the form of a DID", id)
		}
		h := did.NewHash()
		h.Write([]byte(id))
		if made := did.Of(h.Sum(nil)); !did.Valid(made) || !form.MatchString(made) {
			t.Fatalf("%q is not valid", made)
		}
	})
}
