package engine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

func TestCircles(t *testing.T) {
	wanted := map[string]*rules.Program{}
	for _, in := range []struct{ id, filter, from, to string }{
		{"a", `"modelDid":"c"`, "o", "o"},
		{"b", `"modelDid":"a"`, "o", "o"},
		{"c", `"filter":{"properties":[{"key":"` + rules.PropModel + `","uriValue":{"value":"b"}},{"key":"` + rules.PropCreatedFrom + `","uriValue":{"value":"` + rules.CreatedByInteraction + `"}}]}`, "o", "o"},
		{"d", `"modelDid":"a"`, "o", "p"},     // follows the circle, and is not in it
		{"e", `"modelDid":"f"`, "other", "o"}, // asks for a feed that f's twins do not have
		{"f", `"modelDid":"e"`, "o", "o"},
		{"g", `"modelDid":"g"`, "o", "o"}, // its own are never followed
		{"h", `"filter":{"properties":[{"key":"` + rules.PropModel + `","uriValue":{"value":"i"}},{"key":"line","stringLiteralValue":{"value":"2"}}]}`, "o", "o"},
		{"i", `"modelDid":"h"`, "o", "o"},
		{"j", `"filter":{"text":"machine"}`, "o", "o"},
		{"k", `"filter":{"properties":[{"key":"` + rules.PropCreatedFrom + `","uriValue":{"value":"` + rules.CreatedByInteraction + `"}}]}`, "q", "r"},
		{"l", `"modelDid":"k"`, "r", "q"},
	} {
		p, err := rules.Load(in.id, fmt.Appendf(nil, `{"id":%q,"sources":[{"id":"1","feeds":[{"id":%q}],%s}],"rules":[{"transformation":{"conditions":[{"jsonLogic":{">":[{"var":"t"},1]}}],
			"outputFeedId":%q,"outputFieldId":"v","outputTrueValue":1,"sourceFeedId":%q,"sourceId":"1"}}]}`, in.id, in.from, in.filter, in.to, in.from))
		require.NoError(t, err)
		wanted[in.id] = p
	}
	got := map[string]string{}
	for id := range wanted {
		if text := circle(id, wanted); text != "" {
			got[id] = text
		}
	}
	const text = "a circle of interactions, each of which follows the output twins of the one before: %s; it ends after 8"
	assert.Equal(t, map[string]string{
		"a": fmt.Sprintf(text, "a, b, c, a"), "b": fmt.Sprintf(text, "b, c, a, b"), "c": fmt.Sprintf(text, "c, a, b, c"),
		"k": fmt.Sprintf(text, "k, l, k"), "l": fmt.Sprintf(text, "l, k, l"),
	}, got)
}
