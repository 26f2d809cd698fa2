package twins_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

func decode(text string) ([]twins.Twin, error) {
	raw, err := strictjson.Parse("x", []byte(text))
	if err != nil {
		return nil, err
	}
	return twins.Decode(raw)
}

func TestDecode(t *testing.T) {
	at := &rules.Location{Lat: 1, Lon: 2}
	for name, tt := range map[string]struct {
		text string
		want []twins.Twin
	}{
		"none":             {`[]`, []twins.Twin{}},
		"one body":         {`{"twinId":"machine_1"}`, []twins.Twin{{ID: "machine_1"}}},
		"an array":         {`[{"twinId":"a b"},{"twinId":"did:iotics:iotX"}]`, []twins.Twin{{ID: "a b"}, {ID: "did:iotics:iotX"}}},
		"id shapes":        {`[{"twinId":{"value":"a"}},{"twinId":{"id":"b"}}]`, []twins.Twin{{ID: "a"}, {ID: "b"}}},
		"longest id":       {`{"twinId":"` + strings.Repeat("x", 256) + `"}`, []twins.Twin{{ID: strings.Repeat("x", 256)}}},
		"location":         {`{"twinId":"a","location":{"lat":1,"lon":2}}`, []twins.Twin{{ID: "a", Location: at}}},
		"nested location":  {`{"twinId":"a","location":{"location":{"lat":1,"lon":2}}}`, []twins.Twin{{ID: "a", Location: at}}},
		"null location":    {`{"twinId":"a","location":null}`, []twins.Twin{{ID: "a"}}},
		"nested null":      {`{"twinId":"a","location":{"location":null}}`, []twins.Twin{{ID: "a"}}},
		"visibility":       {`{"twinId":"a","visibility":"PUBLIC"}`, []twins.Twin{{ID: "a", Visibility: twins.Public}}},
		"feeds and inputs": {`{"twinId":"a","feeds":[{"id":"f"}],"inputs":[{"id":"f"}]}`, []twins.Twin{{ID: "a", Feeds: []rules.Feed{{ID: "f", StoreLast: true}}, Inputs: []rules.Feed{{ID: "f"}}}}},
		"properties":       {`{"twinId":"a","properties":[{"key":"k","uriValue":{"value":"u"}}]}`, []twins.Twin{{ID: "a", Properties: []rules.Property{twins.URI("k", "u")}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decode(tt.text)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"neither":      {`"a"`, `x:1:1: got "a"; want an array of twins, or one twin`},
		"no id":        {`{}`, `x:1:1: field "twinId" is missing`},
		"empty id":     {`[{"twinId":""}]`, `x:1:12: /0/twinId: got ""; want an id: "x", {"value":"x"} or {"id":"x"}`},
		"control":      {`{"twinId":"a\tb"}`, `x:1:11: /twinId: got "a\tb"; want an id of printable characters`},
		"long id":      {`{"twinId":"` + strings.Repeat("é", 129) + `"}`, `x:1:11: /twinId: id of 258 bytes; want at most 256`},
		"twice":        {`[{"twinId":"a"},{"twinId":{"id":"a"}},{"twinId":"b"}]`, `x:1:27: /1/twinId: "a" is there twice; want each twin once`},
		"typo":         {`{"twinID":"a"}`, "x:1:1: field \"twinId\" is missing\nx:1:2: /twinID: unknown field \"twinID\"; did you mean \"twinId\"?"},
		"visibility":   {`{"twinId":"a","visibility":"private"}`, `x:1:28: /visibility: got "private"; want PUBLIC or PRIVATE`},
		"location":     {`{"twinId":"a","location":{}}`, "x:1:26: /location: field \"lat\" is missing\nx:1:26: /location: field \"lon\" is missing"},
		"deep":         {`{"twinId":"a","location":{"location":{"lat":91,"lon":0},"x":1}}`, "x:1:45: /location/location/lat: got 91; want degrees from -90 to 90\nx:1:57: /location/x: unknown field \"x\"; want one of location"},
		"not an array": {`{"twinId":"a","feeds":{},"inputs":null}`, "x:1:23: /feeds: got an object; want an array\nx:1:35: /inputs: got null; want an array"},
		"all at once": {
			`[{"twinId":"a","feeds":[{"id":"f"},{"id":"f"}]},
 {"twinId":"a","properties":[{"key":"k"}]},
 5]`,
			`x:1:42: /0/feeds/1/id: "f" is there twice; want each id once
x:2:12: /1/twinId: "a" is there twice; want each twin once
x:2:30: /1/properties/0: has no value; want one of uriValue, stringLiteralValue, langLiteralValue, literalValue
x:3:2: /2: got 5; want an object`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(tt.text)
			require.Error(t, err)
			assert.Equal(t, tt.want, err.Error())
		})
	}
}

func TestAppendJSON(t *testing.T) {
	m := machine(7)
	want := `{"twinId":"machine_7","visibility":"PRIVATE","properties":[` +
		`{"key":"http://data.iotics.com/public#hostAllowList","uriValue":{"value":"http://data.iotics.com/public#allHosts"}},` +
		`{"key":"http://www.w3.org/1999/02/22-rdf-syntax-ns#type","uriValue":{"value":"https://data.iotics.com/tutorial#Sensor"}},` +
		`{"key":"https://data.iotics.com/app#model","uriValue":{"value":"model"}},` +
		`{"key":"https://data.iotics.com/tutorial#serialNumber","stringLiteralValue":{"value":"000007"}},` +
		`{"key":"http://www.w3.org/2000/01/rdf-schema#label","langLiteralValue":{"lang":"en","value":"machine_7 (tutorial)"}}],` +
		`"location":{"lat":51.5,"lon":-0.1},"feeds":[{"id":"currentTemp","storeLast":true,` +
		`"values":[{"label":"temperature","comment":"Temperature in degrees Celsius","unit":"http://purl.obolibrary.org/obo/UO_0000027","dataType":"decimal"}],` +
		`"properties":[{"key":"http://www.w3.org/2000/01/rdf-schema#label","langLiteralValue":{"lang":"en","value":"currentTemp"}}]}],"inputs":[]}`
	assert.Equal(t, want, string(m.AppendJSON(nil)), "the members have an order")
	want = `{"twinId":"a","properties":[],"feeds":[],"inputs":[]}`
	assert.Equal(t, want, string((&twins.Twin{ID: "a"}).AppendJSON(nil)))
	assert.True(t, json.Valid((&twins.Twin{ID: "a\xff"}).AppendJSON(nil)), "what is not UTF-8 does not break the JSON")
}

func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := anyTwin(r)
		text := want.AppendJSON(nil)
		got, err := decode(string(text))
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.True(t, want.Equal(&got[0]), "%s", text)
		if id, ok := twins.IDOf(text); ok {
			require.Equal(t, want.ID, id)
		}
	}
}

func TestIDOf(t *testing.T) {
	for body, want := range map[string]string{
		string((&twins.Twin{ID: "did:iotics:iotX#é"}).AppendJSON(nil)): "did:iotics:iotX#é",
		`{"twinId":"a\"b"}`:        "",
		`{"twinId":{"value":"a"}}`: "",
		`{ "twinId":"a"}`:          "",
		`{"twinId":"a`:             "",
		``:                         "",
	} {
		got, ok := twins.IDOf([]byte(body))
		assert.Equal(t, want, got, body)
		assert.Equal(t, want != "", ok, body)
	}
}

// FuzzDecode: what is accepted is what its own JSON says.
func FuzzDecode(f *testing.F) {
	m, r := machine(1), rand.New(rand.NewPCG(3, 4))
	f.Add(m.AppendJSON(nil))
	for range 5 {
		t := anyTwin(r)
		f.Add(t.AppendJSON(nil))
	}
	f.Add([]byte(`[{"twinId":{"value":"a"},"location":{"location":{"lat":-0,"lon":1e-300}}},{"twinId":"b","location":null}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := decode(string(text))
		if err != nil {
			return
		}
		for _, want := range all {
			body := want.AppendJSON(nil)
			got, err := decode(string(body))
			require.NoError(t, err)
			require.True(t, want.Equal(&got[0]))
			if id, ok := twins.IDOf(body); ok {
				require.Equal(t, want.ID, id)
			}
		}
	})
}
