package twins_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

func TestPropertyUpdate(t *testing.T) {
	a, b, c := twins.String("a", "1"), twins.String("b", "1"), twins.String("a", "2")
	for _, tt := range []struct {
		name   string
		update twins.PropertyUpdate
		want   []rules.Property
	}{
		{"nothing", twins.PropertyUpdate{}, []rules.Property{a, b, c}},
		{"clearedAll alone", twins.PropertyUpdate{ClearedAll: true}, nil},
		{"clearedAll, then added", twins.PropertyUpdate{ClearedAll: true, Added: []rules.Property{c, a}}, []rules.Property{c, a}},
		{"deleted is exact", twins.PropertyUpdate{Deleted: []rules.Property{a, twins.URI("b", "1")}}, []rules.Property{b, c}},
		{"deletedByKey takes all of the key", twins.PropertyUpdate{DeletedByKey: []string{"a"}}, []rules.Property{b}},
		{"deleted, then added", twins.PropertyUpdate{DeletedByKey: []string{"a"}, Deleted: []rules.Property{b}, Added: []rules.Property{a}}, []rules.Property{a}},
		{"what is there is not added", twins.PropertyUpdate{Added: []rules.Property{b, twins.LangString("a", "1", "en"), b}}, []rules.Property{a, b, c, twins.LangString("a", "1", "en")}},
	} {
		was := []rules.Property{a, b, c}
		got := tt.update.Apply(was)
		assert.Equal(t, tt.want, got, tt.name)
		assert.ElementsMatch(t, got, tt.update.Apply(got), "%s, sent again", tt.name)
		assert.Equal(t, []rules.Property{a, b, c}, was, "%s changes what it gets", tt.name)
	}
}

func TestValueUpdate(t *testing.T) {
	value := func(label, unit string) rules.Value { return rules.Value{Label: label, Unit: unit} }
	for _, tt := range []struct {
		name   string
		update twins.ValueUpdate
		want   []rules.Value
	}{
		{"nothing", twins.ValueUpdate{}, []rules.Value{value("t", ""), value("h", "")}},
		{"added and put in the place of the old", twins.ValueUpdate{Added: []rules.Value{value("p", ""), value("t", "K")}}, []rules.Value{value("t", "K"), value("h", ""), value("p", "")}},
		{"deletedByLabel beats added", twins.ValueUpdate{Added: []rules.Value{value("p", ""), value("h", "%")}, DeletedByLabel: []string{"p", "h", "x"}}, []rules.Value{value("t", "")}},
	} {
		was := []rules.Value{value("t", ""), value("h", "")}
		got := tt.update.Apply(was)
		assert.Equal(t, tt.want, got, tt.name)
		assert.Equal(t, got, tt.update.Apply(got), "%s, sent again", tt.name)
		assert.Equal(t, []rules.Value{value("t", ""), value("h", "")}, was, "%s changes what it gets", tt.name)
	}
}

func TestDecodeUpdate(t *testing.T) {
	at := &rules.Location{Lat: 1, Lon: 2}
	for text, want := range map[string]twins.Update{
		`{}`:                                 {},
		`{"location":null}`:                  {},
		`{"location":{}}`:                    {Moved: true},
		`{"location":{"location":null}}`:     {Moved: true},
		`{"location":{"lat":1,"lon":2}}`:     {Moved: true, Location: at},
		`{"newVisibility":"PUBLIC"}`:         {Visibility: twins.Public},
		`{"properties":{"clearedAll":true}}`: {Properties: twins.PropertyUpdate{ClearedAll: true}},
		`{"location":{"location":{"lat":1,"lon":2}},"newVisibility":{"visibility":"PRIVATE"}}`: {Moved: true, Location: at, Visibility: twins.Private},
		`{"properties":{"deletedByKey":["k"],"deleted":[{"key":"a","uriValue":{"value":"u"}}],"added":[{"key":"b","langLiteralValue":{"lang":"en","value":"v"}}]}}`: {
			Properties: twins.PropertyUpdate{DeletedByKey: []string{"k"}, Deleted: []rules.Property{twins.URI("a", "u")}, Added: []rules.Property{twins.LangString("b", "v", "en")}},
		},
	} {
		raw, err := strictjson.Parse("body", []byte(text))
		require.NoError(t, err)
		var got twins.Update
		require.NoError(t, raw.Decode(&got), text)
		assert.Equal(t, want, got, text)
	}
	for text, want := range map[string]string{
		`{"location":{"location":{"lat":1}}}`: `body:1:25: /location/location: field "lon" is missing`,
		`{"location":3}`:                      `body:1:13: /location: got 3; want an object`,
		`{"newVisibility":{}}`:                `body:1:18: /newVisibility: field "visibility" is missing`,
		`{"properties":{"add":[]}}`:           `body:1:16: /properties/add: unknown field "add"; want one of added, clearedAll, deleted, deletedByKey`,
	} {
		raw, err := strictjson.Parse("body", []byte(text))
		require.NoError(t, err)
		var got twins.Update
		assert.EqualError(t, raw.Decode(&got), want)
	}
}

func TestDecodeFeedUpdate(t *testing.T) {
	raw, err := strictjson.Parse("body", []byte(`{"storeLast":false,"values":{"added":[{"label":"t"}],"deletedByLabel":["h"]},"properties":null}`))
	require.NoError(t, err)
	var u twins.FeedUpdate
	require.NoError(t, raw.Decode(&u))
	got := u.Apply(rules.Feed{ID: "f", StoreLast: true, Values: []rules.Value{{Label: "h"}}})
	assert.Equal(t, rules.Feed{ID: "f", Values: []rules.Value{{Label: "t"}}}, got)
	assert.True(t, (&twins.FeedUpdate{}).Apply(rules.Feed{StoreLast: true}).StoreLast)
}

func TestFeedsOfATwin(t *testing.T) {
	was := twins.Twin{ID: "a", Feeds: []rules.Feed{{ID: "f"}, {ID: "g"}}, Inputs: []rules.Feed{{ID: "i"}}}
	assert.Equal(t, []rules.Feed{{ID: "f", StoreLast: true}, {ID: "g"}}, was.WithFeed(rules.Feed{ID: "f", StoreLast: true}).Feeds)
	assert.Equal(t, []rules.Feed{{ID: "f"}, {ID: "g"}, {ID: "h"}}, was.WithFeed(rules.Feed{ID: "h"}).Feeds)
	assert.Equal(t, []rules.Feed{{ID: "g"}}, was.WithoutFeed("f").Feeds)
	assert.Empty(t, was.WithoutInput("i").Inputs)
	assert.Equal(t, []rules.Feed{{ID: "f"}, {ID: "g"}}, was.Feeds)
	_, ok := was.Input("j")
	assert.False(t, ok)
}

func TestSeen(t *testing.T) {
	allow := func(key, value string) []rules.Property {
		return []rules.Property{twins.URI(key, "http://data.iotics.com/public#"+value)}
	}
	for _, tt := range []struct {
		twin twins.Twin
		want string
	}{
		{twins.Twin{}, twins.Private},
		{twins.Twin{Visibility: twins.Public}, twins.Public},
		{twins.Twin{Properties: allow(rules.PropHostMetaAllowList, "all")}, twins.Public},
		{twins.Twin{Properties: allow(rules.PropHostMetaAllowList, "allHosts")}, twins.Public},
		{twins.Twin{Properties: allow(rules.PropHostMetaAllowList, "none")}, twins.Private},
		{twins.Twin{Properties: allow(rules.PropHostMetaAllowList, "noHost")}, twins.Private},
		{twins.Twin{Properties: allow(rules.PropHostAllowList, "all")}, twins.Private},
		{twins.Twin{Visibility: twins.Private, Properties: allow(rules.PropHostMetaAllowList, "all")}, twins.Private},
	} {
		assert.Equal(t, tt.want, tt.twin.Seen())
	}
}
