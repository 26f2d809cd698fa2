package trials

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/schema"
)

// A test may name each member that an outcome can have, and no other.
func TestOutcomeFieldsAreThoseOfTheSchema(t *testing.T) {
	text, ok := schema.Text("outcome")
	require.True(t, ok)
	var doc struct {
		Properties map[string]struct{ Enum []string }
	}
	require.NoError(t, json.Unmarshal(text, &doc))
	assert.Equal(t, slices.Sorted(maps.Keys(doc.Properties)), slices.Sorted(maps.Keys(outcomeFields)))
	for name, p := range doc.Properties {
		if p.Enum != nil {
			assert.ElementsMatch(t, p.Enum, outcomeFields[name], name)
		}
	}
}
