package rules_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// described is a description type, as a pointer to it.
type described interface {
	strictjson.Decoder
	AppendJSON(b []byte) []byte
}

func describe(text string, v described) error {
	raw, err := strictjson.Parse("x", []byte(text))
	if err != nil {
		return err
	}
	return raw.Decode(v)
}

func TestDescriptions(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want described
		json string // the canonical form, when it differs from text
	}{
		"uri":    {`{"key":"k","uriValue":{"value":"u"}}`, &rules.Property{Key: "k", Value: rules.Literal{Kind: rules.URI, Value: "u"}}, ""},
		"string": {`{"key":"k","stringLiteralValue":{"value":""}}`, &rules.Property{Key: "k"}, ""},
		"lang": {
			`{"langLiteralValue":{"value":"Pümpe \"1\"","lang":"de-CH"},"key":"k"}`,
			&rules.Property{Key: "k", Value: rules.Literal{Kind: rules.LangLiteral, Value: `Pümpe "1"`, Lang: "de-CH"}},
			`{"key":"k","langLiteralValue":{"lang":"de-CH","value":"Pümpe \"1\""}}`,
		},
		"typed": {
			`{"key":"k","literalValue":{"dataType":"decimal","value":"1.5"}}`,
			&rules.Property{Key: "k", Value: rules.Literal{Kind: rules.TypedLiteral, Value: "1.5", DataType: "decimal"}}, "",
		},
		"literal": {`{"uriValue":{"value":"u"}}`, &rules.Literal{Kind: rules.URI, Value: "u"}, ""},
		"value":   {`{"label":"t"}`, &rules.Value{Label: "t"}, `{"label":"t","comment":"","unit":"","dataType":""}`},
		"value, all four": {
			`{"label":"t","comment":"c","unit":"http://u","dataType":"dateTime"}`,
			&rules.Value{Label: "t", Comment: "c", Unit: "http://u", DataType: "dateTime"}, "",
		},
		"value, unset as clients send it": {`{"label":"t","comment":"","unit":"","dataType":""}`, &rules.Value{Label: "t"}, ""},
		"feed, defaults":                  {`{"id":"f"}`, &rules.Feed{ID: "f", StoreLast: true}, `{"id":"f","storeLast":true,"values":[],"properties":[]}`},
		"feed": {
			`{"id":"f","storeLast":false,"values":[{"label":"t","comment":"","unit":"","dataType":"decimal"}],"properties":[{"key":"k","uriValue":{"value":"u"}}]}`,
			&rules.Feed{
				ID: "f", Values: []rules.Value{{Label: "t", DataType: "decimal"}},
				Properties: []rules.Property{{Key: "k", Value: rules.Literal{Kind: rules.URI, Value: "u"}}},
			}, "",
		},
		"feed, id as value": {`{"id":{"value":"f"}}`, &rules.Feed{ID: "f", StoreLast: true}, `{"id":"f","storeLast":true,"values":[],"properties":[]}`},
		"feed, id as id":    {`{"id":{"id":"f"}}`, &rules.Feed{ID: "f", StoreLast: true}, `{"id":"f","storeLast":true,"values":[],"properties":[]}`},
		"feed, id as both":  {`{"id":{"id":"f","value":"f"}}`, &rules.Feed{ID: "f", StoreLast: true}, `{"id":"f","storeLast":true,"values":[],"properties":[]}`},
		"location":          {`{"lat":-90,"lon":180}`, &rules.Location{Lat: -90, Lon: 180}, ""},
		"location, small":   {`{"lat":0.0000001,"lon":-0.1}`, &rules.Location{Lat: 1e-7, Lon: -0.1}, `{"lat":1e-07,"lon":-0.1}`},
		"circle":            {`{"location":{"lat":51.5,"lon":-0.1},"radiusKm":0.5}`, &rules.Circle{Location: rules.Location{Lat: 51.5, Lon: -0.1}, RadiusKm: 0.5}, ""},
		"filter, empty":     {`{}`, &rules.Filter{}, `{"properties":[]}`},
		"filter, nulls":     {`{"text":null,"location":null}`, &rules.Filter{}, `{"properties":[]}`},
		"filter": {
			`{"properties":[{"key":"k","value":{"uriValue":{"value":"u"}}},{"key":"k","stringLiteralValue":{"value":"s"}}],"text":"hot","location":{"location":{"lat":1,"lon":2},"radiusKm":3}}`,
			&rules.Filter{
				Properties: []rules.Property{{Key: "k", Value: rules.Literal{Kind: rules.URI, Value: "u"}}, {Key: "k", Value: rules.Literal{Value: "s"}}},
				Text:       "hot", Location: &rules.Circle{Location: rules.Location{Lat: 1, Lon: 2}, RadiusKm: 3},
			},
			`{"properties":[{"key":"k","uriValue":{"value":"u"}},{"key":"k","stringLiteralValue":{"value":"s"}}],"text":"hot","location":{"location":{"lat":1,"lon":2},"radiusKm":3}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := reflect.New(reflect.TypeOf(tt.want).Elem()).Interface().(described)
			require.NoError(t, describe(tt.text, got))
			assert.Equal(t, tt.want, got)
			if tt.json == "" {
				tt.json = tt.text
			}
			assert.Equal(t, tt.json, string(got.AppendJSON(nil)))
		})
	}
}

func TestDescriptionErrors(t *testing.T) {
	long := strings.Repeat("é", 129)
	for name, tt := range map[string]struct {
		text string
		into described
		want string
	}{
		"property, not an object": {`"k"`, new(rules.Property), `x:1:1: got "k"; want an object with key and one of uriValue, stringLiteralValue, langLiteralValue, literalValue`},
		"property, empty":         {`{}`, new(rules.Property), "x:1:1: field \"key\" is missing\nx:1:1: has no value; want one of uriValue, stringLiteralValue, langLiteralValue, literalValue"},
		"property, no value":      {`{"key":"k"}`, new(rules.Property), `x:1:1: has no value; want one of uriValue, stringLiteralValue, langLiteralValue, literalValue`},
		"property, typo":          {`{"key":"k","urlValue":{"value":"u"}}`, new(rules.Property), `x:1:12: /urlValue: unknown field "urlValue"; did you mean "uriValue"?`},
		"property, case":          {`{"key":"k","stringliteralvalue":{"value":"u"}}`, new(rules.Property), `x:1:12: /stringliteralvalue: unknown field "stringliteralvalue"; did you mean "stringLiteralValue"?`},
		"property, two values":    {`{"key":"k","uriValue":{"value":"u"},"literalValue":{}}`, new(rules.Property), `x:1:1: has both uriValue and literalValue; want one`},
		"property, nested shape": {
			`{"key":"k","value":{"uriValue":{"value":"u"}}}`, new(rules.Property),
			`x:1:12: /value: unknown field "value"; want one of key, langLiteralValue, literalValue, stringLiteralValue, uriValue`,
		},
		"property, all at once": {
			`{"key":"","literalValue":{"dataType":"interger","valu":"1"},"x":1}`, new(rules.Property),
			`x:1:8: /key: got ""; want a URI
x:1:26: /literalValue: field "value" is missing
x:1:38: /literalValue/dataType: no data type "interger"; did you mean "integer"?
x:1:49: /literalValue/valu: unknown field "valu"; did you mean "value"?
x:1:61: /x: unknown field "x"; want one of key, langLiteralValue, literalValue, stringLiteralValue, uriValue`,
		},
		"uri, empty":         {`{"key":"k","uriValue":{"value":""}}`, new(rules.Property), `x:1:32: /uriValue/value: got ""; want a URI`},
		"uri, null":          {`{"key":"k","uriValue":null}`, new(rules.Property), `x:1:23: /uriValue: got null; want an object`},
		"uri null, and text": {`{"key":"k","uriValue":null,"stringLiteralValue":{"value":"a"}}`, new(rules.Property), `x:1:23: /uriValue: got null; want an object`},
		"two null":           {`{"key":"k","uriValue":null,"literalValue":null}`, new(rules.Property), "x:1:23: /uriValue: got null; want an object\nx:1:43: /literalValue: got null; want an object"},
		"string, number":     {`{"key":"k","stringLiteralValue":{"value":1}}`, new(rules.Property), `x:1:42: /stringLiteralValue/value: got 1; want a string`},
		"lang, missing":      {`{"key":"k","langLiteralValue":{"value":"v"}}`, new(rules.Property), `x:1:31: /langLiteralValue: field "lang" is missing`},
		"lang, not one":      {`{"key":"k","langLiteralValue":{"value":"v","lang":"e n"}}`, new(rules.Property), `x:1:51: /langLiteralValue/lang: got "e n"; want a language such as "en"`},
		"typed, no type":     {`{"key":"k","literalValue":{"value":"v"}}`, new(rules.Property), `x:1:27: /literalValue: field "dataType" is missing`},
		"typed, empty type":  {`{"key":"k","literalValue":{"dataType":"","value":"v"}}`, new(rules.Property), `x:1:39: /literalValue/dataType: no data type ""; want an XSD short name such as string, boolean, decimal, integer or dateTime`},
		"literal":            {`[]`, new(rules.Literal), `x:1:1: got an array; want an object with one of uriValue, stringLiteralValue, langLiteralValue, literalValue`},
		"value, no label":    {`{"dataType":"number"}`, new(rules.Value), "x:1:1: field \"label\" is missing\nx:1:13: /dataType: no data type \"number\"; want an XSD short name such as string, boolean, decimal, integer or dateTime"},
		"value, empty label": {`{"label":""}`, new(rules.Value), `x:1:10: /label: got ""; want the name of a field`},
		"value, case":        {`{"label":"t","datatype":"datetime","dataType":"datetime"}`, new(rules.Value), "x:1:14: /datatype: unknown field \"datatype\"; did you mean \"dataType\"?\nx:1:47: /dataType: no data type \"datetime\"; did you mean \"dateTime\"?"},
		"value, type null":   {`{"label":"t","dataType":null}`, new(rules.Value), `x:1:25: /dataType: no data type null; want an XSD short name such as string, boolean, decimal, integer or dateTime`},
		"feed, no id":        {`{"values":[{"label":"t"},{"label":"t"}]}`, new(rules.Feed), "x:1:1: field \"id\" is missing\nx:1:35: /values/1/label: value \"t\" is there twice; want each label once"},
		"feed, empty id":     {`{"id":""}`, new(rules.Feed), `x:1:7: /id: got ""; want an id: "x", {"value":"x"} or {"id":"x"}`},
		"feed, number":       {`{"id":{"value":7}}`, new(rules.Feed), `x:1:16: /id/value: got 7; want an id: "x", {"value":"x"} or {"id":"x"}`},
		"feed, id nothing":   {`{"id":{}}`, new(rules.Feed), `x:1:7: /id: got an object; want an id: "x", {"value":"x"} or {"id":"x"}`},
		"feed, id typo":      {`{"id":{"valeu":"x"}}`, new(rules.Feed), `x:1:8: /id/valeu: unknown field "valeu"; did you mean "value"?`},
		"feed, two ids":      {`{"id":{"value":"x","id":"y"}}`, new(rules.Feed), `x:1:7: /id: value is "x" and id is "y"; want one id`},
		"feed, control":      {`{"id":"a\u0000"}`, new(rules.Feed), `x:1:7: /id: got "a\u0000"; want an id of printable characters`},
		"feed, long":         {`{"id":"` + long + `"}`, new(rules.Feed), `x:1:7: /id: id of 129 characters; want at most 128`},
		"location":           {`{"lat":90.1,"lng":0}`, new(rules.Location), "x:1:1: field \"lon\" is missing\nx:1:8: /lat: got 90.1; want degrees from -90 to 90\nx:1:13: /lng: unknown field \"lng\"; want one of lat, lon"},
		"location, text":     {`{"lat":"1","lon":-181}`, new(rules.Location), "x:1:8: /lat: got \"1\"; want degrees from -90 to 90\nx:1:18: /lon: got -181; want degrees from -180 to 180"},
		"circle":             {`{"location":{"lat":1,"lon":2},"radiusKm":0}`, new(rules.Circle), `x:1:42: /radiusKm: got 0; want a number of kilometres above 0`},
		"circle, text":       {`{"radiusKm":"5"}`, new(rules.Circle), "x:1:1: field \"location\" is missing\nx:1:13: /radiusKm: got \"5\"; want a number of kilometres above 0"},
		"filter, no keyword": {`{"text":" - "}`, new(rules.Filter), `x:1:9: /text: got " - "; want a keyword with a letter or digit, or null`},
		"filter, long":       {`{"text":"` + strings.Repeat("a", 1001) + `"}`, new(rules.Filter), `x:1:9: /text: text of 1001 characters; want at most 1000`},
		"filter, all at once": {
			`{"properties":[{"key":"k","value":{"urivalue":{"value":"u"}}},{"key":5,"value":"u"}],"txt":""}`, new(rules.Filter),
			`x:1:36: /properties/0/value/urivalue: unknown field "urivalue"; did you mean "uriValue"?
x:1:70: /properties/1/key: got 5; want a URI
x:1:80: /properties/1/value: got "u"; want an object with one of uriValue, stringLiteralValue, langLiteralValue, literalValue
x:1:86: /txt: unknown field "txt"; did you mean "text"?`,
		},
		"filter, both shapes": {
			`{"properties":[{"key":"k","value":{"uriValue":{"value":"u"}},"uriValue":{"value":"u"}}]}`, new(rules.Filter),
			`x:1:62: /properties/0/uriValue: unknown field "uriValue"; want one of key, value`,
		},
		"filter, null property": {`{"properties":[null]}`, new(rules.Filter), `x:1:16: /properties/0: got null; want an object with key and one of uriValue, stringLiteralValue, langLiteralValue, literalValue`},
	} {
		t.Run(name, func(t *testing.T) {
			err := describe(tt.text, tt.into)
			require.Error(t, err)
			assert.Equal(t, tt.want, err.Error())
		})
	}
}

func TestDataTypes(t *testing.T) {
	// The list of the iotics API, common.proto.
	for name := range strings.FieldsSeq("dateTime time date boolean integer decimal float double nonPositiveInteger negativeInteger " +
		"nonNegativeInteger positiveInteger long unsignedLong int unsignedInt short unsignedShort byte unsignedByte base64Binary anyURI string") {
		assert.NoError(t, describe(`{"label":"t","dataType":"`+name+`"}`, new(rules.Value)), name)
	}
}

func TestDecodeFeedsAndInputs(t *testing.T) {
	raw, err := strictjson.Parse("x", []byte(`{"feeds":[{"id":"a"},{"id":"b"}],"inputs":[{"id":"a"}]}`))
	require.NoError(t, err)
	feeds, err := rules.DecodeFeeds(raw.Member("feeds"))
	require.NoError(t, err)
	assert.Equal(t, []rules.Feed{{ID: "a", StoreLast: true}, {ID: "b", StoreLast: true}}, feeds)
	inputs, err := rules.DecodeInputs(raw.Member("inputs"))
	require.NoError(t, err)
	assert.Equal(t, []rules.Feed{{ID: "a"}}, inputs, "an input stores nothing")
	assert.Equal(t, `{"id":"a","values":[],"properties":[]}`, string(inputs[0].AppendInputJSON(nil)))

	none, err := rules.DecodeFeeds(raw.Member("absent"))
	require.NoError(t, err)
	assert.Empty(t, none)

	raw, err = strictjson.Parse("x", []byte(`{"feeds":[{"id":"a"},{"id":{"value":"a"},"x":1}],"inputs":[{"id":"a","storeLast":true},{"id":"a"}],"none":null}`))
	require.NoError(t, err)
	_, err = rules.DecodeFeeds(raw.Member("feeds"))
	assert.EqualError(t, err, "x:1:28: /feeds/1/id: \"a\" is there twice; want each id once\nx:1:42: /feeds/1/x: unknown field \"x\"; want one of id, properties, storeLast, values")
	_, err = rules.DecodeInputs(raw.Member("inputs"))
	assert.EqualError(t, err, "x:1:70: /inputs/0/storeLast: unknown field \"storeLast\"; want one of id, properties, values\nx:1:94: /inputs/1/id: \"a\" is there twice; want each id once")
	_, err = rules.DecodeFeeds(raw.Member("none"))
	assert.EqualError(t, err, "x:1:107: /none: got null; want an array")
	_, err = rules.DecodeInputs(raw.Member("none"))
	assert.EqualError(t, err, "x:1:107: /none: got null; want an array")
}

// FuzzDescriptions: what is accepted encodes to valid JSON, which reads as the
// same and encodes to the same bytes.
func FuzzDescriptions(f *testing.F) {
	for _, s := range []string{
		`{"key":"k","uriValue":{"value":"u"}}`,
		`{"key":"k","langLiteralValue":{"lang":"en","value":"v\u2028<\""}}`,
		`{"key":"k","literalValue":{"dataType":"decimal","value":"1"}}`,
		`{"id":{"value":"f"},"storeLast":false,"values":[{"label":"t","dataType":"decimal"}],"properties":[{"key":"k","stringLiteralValue":{"value":""}}]}`,
		`{"properties":[{"key":"k","value":{"uriValue":{"value":"u"}}}],"text":"a b","location":{"location":{"lat":1e-7,"lon":-0},"radiusKm":1e300}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, v := range []struct{ a, b described }{
			{new(rules.Property), new(rules.Property)},
			{new(rules.Feed), new(rules.Feed)},
			{new(rules.Filter), new(rules.Filter)},
		} {
			if describe(string(text), v.a) != nil {
				continue
			}
			once := v.a.AppendJSON(nil)
			require.NoError(t, describe(string(once), v.b))
			assert.Equal(t, string(once), string(v.b.AppendJSON(nil)))
		}
	})
}
