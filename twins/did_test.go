package twins_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/internal/did"
	"tocsin.internal/twins"
)

func TestIDs(t *testing.T) {
	ids := []string{
		twins.OutputID("i", "s"), twins.OutputID("is", ""), twins.OutputID("", "is"), twins.OutputID("s", "i"),
		twins.NewID("i", "s"), twins.NewID("is"), twins.NewID("is", ""), twins.NewID(), twins.NewID(""), twins.NewID(strings.Repeat("x", 1000)),
	}
	seen := map[string]bool{}
	for _, id := range ids {
		assert.True(t, did.Valid(id), id)
		assert.False(t, seen[id], "%s is there twice", id)
		seen[id] = true
	}
	// Fixed for good: output twins that exist keep their ids.
	assert.Equal(t, "did:iotics:iotGvFsg4yPZvLHMnthKT8fT4YLGGnQfc1uv", twins.OutputID("overheating", "machine_1"))
	assert.Equal(t, "did:iotics:iotWNYmbirZbAx9S3Yk1RpNXPuUmGfQLeASJ", twins.NewID("machine model"))
}
