package twins_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

func where(t *testing.T, condition string) *twins.Where {
	t.Helper()
	raw, err := strictjson.Parse("w", []byte(condition))
	require.NoError(t, err)
	w := new(twins.Where)
	require.NoError(t, w.DecodeStrict(raw))
	return w
}

func TestWhere(t *testing.T) {
	const shop = "https://data.iotics.com/tutorial#"
	typed := func(key, dataType, value string) rules.Property {
		return rules.Property{Key: shop + key, Value: rules.Literal{Kind: rules.TypedLiteral, DataType: dataType, Value: value}}
	}
	text := func(key, value string) rules.Property {
		return rules.Property{Key: key, Value: rules.Literal{Value: value}}
	}
	pump := twins.Twin{
		ID: "did:pump", Visibility: twins.Public, Location: &rules.Location{Lat: 50, Lon: 14},
		Properties: []rules.Property{
			typed("rated", "decimal", "81.5"), typed("spare", "boolean", "true"), typed("odd", "integer", "many"), typed("code", "string", "7"),
			text(shop+"serial", "000004"), text(shop+"line", "a"), text(shop+"line", "b"), text("https://example.com/line", "c"), text("plain", "p"),
			twins.LangString(rules.PropLabel, "Pump 4", "en"),
		},
		Feeds: []rules.Feed{{ID: "temp"}}, Inputs: []rules.Feed{{ID: "on"}},
	}
	for condition, want := range map[string]bool{
		`{">":[{"var":"properties.rated"},80]}`:                                            true,
		`{">":[{"var":"properties.rated"},82]}`:                                            false,
		`{"===":[{"var":"properties.spare"},true]}`:                                        true,
		`{"===":[{"var":"properties.odd"},"many"]}`:                                        true,
		`{"===":[{"var":"properties.code"},"7"]}`:                                          true,
		`{"===":[{"var":"properties.serial"},"000004"]}`:                                   true,
		`{"===":[{"val":["properties","` + shop + `serial"]},"000004"]}`:                   true,
		`{"===":[{"var":"properties.plain"},"p"]}`:                                         true,
		`{"in":["c",{"var":"properties.line"}]}`:                                           true,
		`{"in":["c",{"val":["properties","` + shop + `line"]}]}`:                           false,
		`{"in":["Pump",{"var":"properties.label"}]}`:                                       true,
		`{"and":[{"in":["temp",{"var":"feeds"}]},{"in":["on",{"var":"inputs"}]}]}`:         true,
		`{"and":[{"<":[{"var":"location.lat"},51]},{"==":[{"var":"id"},"did:pump"]}]}`:     true,
		`{"or":[{"==":[{"var":"visibility"},"PRIVATE"]},{"!":[{"var":"properties.no"}]}]}`: false,
		`{"missing":["properties.no"]}`:                                                    true,
		`{"<":[{"var":"properties.no"},10]}`:                                               false,
		`{"throw":"x"}`:                                                                    false,
	} {
		assert.Equal(t, want, where(t, condition).Holds(&pump), condition)
	}
	assert.False(t, where(t, `{"<":[{"var":"location.lat"},51]}`).Holds(&twins.Twin{}), "it lies nowhere")
}

func TestPagesOfWhere(t *testing.T) {
	var all []*twins.Twin
	for _, id := range []string{"a", "b1", "c", "b2", "b3"} {
		all = append(all, &twins.Twin{ID: id})
	}
	w := where(t, `{"in":["b",{"var":"id"}]}`)
	for _, tt := range []struct {
		limit, offset int
		want          []string
	}{{0, 0, []string{"b1", "b2", "b3"}}, {2, 0, []string{"b1", "b2"}}, {2, 1, []string{"b2", "b3"}}, {2, 3, nil}, {1, 99, nil}, {1, -1, []string{"b1"}}} {
		found, err := w.Page(t.Context(), all, twins.Query{Limit: tt.limit, Offset: tt.offset})
		require.NoError(t, err)
		var ids []string
		for _, t := range found {
			ids = append(ids, t.ID)
		}
		assert.Equal(t, tt.want, ids, "%+v", tt)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Page(ctx, all, twins.Query{})
	assert.ErrorIs(t, err, context.Canceled)
}
