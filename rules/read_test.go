package rules_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

func TestRead(t *testing.T) {
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	for _, tt := range []struct{ name, data, reason string }{
		{"an object", `{"t":1}`, ""},
		{"an empty one with space around", " \n{}\t ", ""},
		{"duplicate keys", `{"t":1,"t":2}`, ""},
		{"as deep as may be", deep(9_899), ""},
		{"brackets in a text", `{"t":"` + strings.Repeat(`[\"{`, 20_000) + `"}`, ""},
		{"bytes that are not UTF-8", "{\"t\":\"\xff\"}", ""},
		{"a lone surrogate", `{"t":"\ud800"}`, ""},
		{"nothing", ``, rules.NotJSON},
		{"a text", `hot`, rules.NotJSON},
		{"an array", `[{"t":1}]`, rules.NotObject},
		{"null", `null`, rules.NotObject},
		{"a number", `31`, rules.NotObject},
		{"NaN", `{"t":NaN}`, rules.NotJSON},
		{"infinity", `{"t":-Infinity}`, rules.NotJSON},
		{"a leading zero", `{"t":01}`, rules.NotJSON},
		{"two objects", `{"t":1}{"t":2}`, rules.NotJSON},
		{"a comma too many", `{"t":1,}`, rules.NotJSON},
		{"cut", `{"t":1`, rules.NotJSON},
		{"brackets in a cut text", `{"t":"` + strings.Repeat(`[\"`, 20_000), rules.NotJSON},
		{"1e400", `{"t":1e400}`, rules.NumberOutOfRange},
		{"-1e400 inside", `{"a":[{"t":-1e400}]}`, rules.NumberOutOfRange},
		{"a level more", deep(9_900), rules.TooDeep},
		{"deeper than encoding/json reads", deep(50_000), rules.TooDeep},
		{"deep and an array", strings.Repeat("[", 20_000), rules.TooDeep},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := rules.Sample{Data: []byte(tt.data)}
			r := rules.NewReader("f")
			err := r.Read(&s)
			if tt.reason == "" {
				require.NoError(t, err)
				require.NoError(t, r.Read(&s), "read once, it stays read")
				return
			}
			wrong, ok := errors.AsType[*rules.DataError](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, tt.reason, wrong.Reason)
			assert.Error(t, r.Read(&s), "it stays unread")
		})
	}
}

// An outcome of the deepest sample can still be read by encoding/json.
func TestDeepestSampleGoesThrough(t *testing.T) {
	p := all(t, "a")
	s := rules.Sample{Twin: "m", Feed: "f", At: start, Data: []byte(`{"a":` + strings.Repeat("[", 9_899) + strings.Repeat("]", 9_899) + `}`)}
	out := p.Eval(&s, p.NewState(1, nil), nil)
	require.Len(t, out, 1)
	_, err := rules.DecodeOutcome(out[0].AppendJSON(nil))
	require.NoError(t, err)
}

func TestReadErrorText(t *testing.T) {
	r := rules.NewReader("f")
	s := rules.Sample{Data: []byte(`{"t":1e400}`)}
	assert.EqualError(t, r.Read(&s), `number out of range: json: cannot unmarshal number 1e400 into Go value of type float64`)
	s = rules.Sample{Data: []byte(`[]`)}
	assert.EqualError(t, r.Read(&s), `not an object`)
	s = rules.Sample{Refused: "bad base64", Data: []byte(`{}`)}
	assert.EqualError(t, r.Read(&s), `bad base64`)
}

// all is a program that puts a whole sample through: every field is included.
func all(t testing.TB, names ...string) *rules.Program {
	list, err := json.Marshal(names)
	require.NoError(t, err)
	return compiled(t, `{"id":"x","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"transformation":{"sourceId":"1","sourceFeedId":"f",
"outputFeedId":"o","outputFieldId":"output","outputTrueValue":0,"conditions":[{"jsonLogic":true,"fieldsIncludedInOutput":`+string(list)+`}]}}]}`)
}

func TestIncludedFields(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"texts, numbers, booleans, null", `{"a":"x\"}, y","b":-1.50E+2,"c":true,"é":null}`, `{"output":0,"a":"x\"}, y","b":-1.50E+2,"c":true,"é":null}`},
		{"the last of duplicates", `{"a":1,"b":2,"a":3}`, `{"output":0,"a":3,"b":2}`},
		{"names with escapes", `{"\u0061":1,"\u00e9":2}`, `{"output":0,"a":1,"é":2}`},
		{"lines inside", "{\n\"a\" :\n[ 1 ,\r\n{\"x\" : \"a  b\"}\t]\n}", `{"output":0,"a":[1,{"x":"a  b"}]}`},
		{"brackets in texts", `{"a":["]","\\\"]"],"b":{"}":1}}`, `{"output":0,"a":["]","\\\"]"],"b":{"}":1}}`},
		{"bytes that are not UTF-8", "{\"a\":\"x\xff\xfey\"}", "{\"output\":0,\"a\":\"x\uFFFD\uFFFDy\"}"},
		{"nothing", `{}`, `{"output":0}`},
		{"the output's own name in the sample", `{"output":7,"a":1}`, `{"output":0,"a":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := all(t, "a", "b", "c", "é")
			s := rules.Sample{Twin: "m", Feed: "f", Data: []byte(tt.data), At: start}
			out := p.Eval(&s, p.NewState(1, nil), nil)
			require.Len(t, out, 1)
			assert.Equal(t, tt.want, string(out[0].Data))
		})
	}
}

// What goes out of a sample means what encoding/json reads in it.
func FuzzIncludedFields(f *testing.F) {
	for _, s := range []string{
		`{"a":"x\"}, y","b":-1.50E+2,"c":true,"d":null}`, `{"a":{"a":[{}]},"\u0062":2,"b":3}`, "{\"a\":\"\xff\",\"\xff\":1}", " {\n\"a\" : [ 1 , 2 ] , \"b\" : {} }\n",
		`{"a":"\ud800","b":"\\"}`, `[1]`, `{"a":1e999}`, `{"a":1,"a":{"b":2},"a":{"c":3}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := rules.Sample{Twin: "m", Feed: "f", Data: data, At: start}
		var want map[string]any
		err := json.Unmarshal(data, &want)
		if rules.NewReader("f").Read(&s) != nil {
			if err == nil && want != nil && len(data) < 9_900 {
				t.Fatalf("refused what encoding/json reads")
			}
			return
		}
		if err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		names := []string{"a", "b", "c", "\uFFFD"}
		p := all(t, names...)
		out := p.Eval(&s, p.NewState(1, nil), nil)
		if len(out) != 1 || strings.ContainsAny(string(out[0].Data), "\n\r") {
			t.Fatalf("got %v", out)
		}
		var got map[string]any
		if err := json.Unmarshal(out[0].Data, &got); err != nil {
			t.Fatalf("%s: %v", out[0].Data, err)
		}
		if _, err := rules.DecodeOutcome(out[0].AppendJSON(nil)); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !reflect.DeepEqual(got[name], want[name]) {
				t.Fatalf("field %q: got %v, want %v", name, got[name], want[name])
			}
		}
	})
}
