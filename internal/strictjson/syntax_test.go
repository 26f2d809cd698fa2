package strictjson_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
)

// TestSyntax holds what people do wrong: the complaint has the place where the
// mend goes, and, where there is no doubt about it, the mend itself.
func TestSyntax(t *testing.T) {
	const none = "no fix"
	for name, tt := range map[string]struct{ text, want, mended string }{
		"comma missing at the end of a line": {"{\n  \"a\": 1\n  \"b\": 2\n}", `x:2:9: a comma is missing between two members; want one`, "{\n  \"a\": 1,\n  \"b\": 2\n}"},
		"comma missing between elements":     {`[1 2]`, `x:1:3: a comma is missing between two elements; want one`, `[1, 2]`},
		"comma missing between objects":      {"[{}\n{}]", `x:1:4: a comma is missing between two elements; want one`, "[{},\n{}]"},
		"comma after the last member":        {"{\"a\":1,\n}", `x:1:7: a comma after the last member; want none`, "{\"a\":1\n}"},
		"comma after the last element":       {`{"a":[1,2,]}`, `x:1:10: /a: a comma after the last element; want none`, `{"a":[1,2]}`},
		"two commas":                         {`{"a":1,,"b":2}`, `x:1:8: two commas; want one`, `{"a":1,"b":2}`},
		"comma first":                        {`{,"b":2}`, `x:1:2: a comma too many; want a member before it`, `{"b":2}`},
		"two commas in a list":               {`[1,,2]`, `x:1:4: a comma too many; want a value before it`, `[1,2]`},
		"semicolon":                          {`{"a":1;"b":2}`, `x:1:7: ";" between two members; want ","`, `{"a":1,"b":2}`},
		"single quotes":                      {`{'a':1}`, `x:1:2: single quotes; want "`, `{"a":1}`},
		"single quotes around a value":       {`{"a":'b c'}`, `x:1:6: /a: single quotes; want "`, `{"a":"b c"}`},
		"typographic quotes":                 {`{“a”:1}`, `x:1:2: typographic quotes; want "`, `{"a":1}`},
		"no quotes around a name":            {`{"x":1,id: 1}`, `x:1:8: a name without quotes; want "id"`, `{"x":1,"id": 1}`},
		"no quotes around a text":            {`{"x":hot}`, `x:1:6: /x: a text without quotes; want "hot"`, none},
		"opening quote missing":              {`{id": 1}`, `x:1:2: an opening quote is missing; want "id"`, `{"id": 1}`},
		"closing quote missing":              {"{\"a\": \"hot,\n\"b\": 1}", `x:1:7: /a: a closing quote is missing on this line; want one`, none},
		"closing quote of a name missing":    {`{"id: "x"}`, `x:1:2: a closing quote is missing behind "id"; want one`, none},
		"quote inside a text":                {`{"a":"say "hi" to"}`, `x:1:6: text behind a closing quote; want \" for a quote inside a text`, none},
		"brace missing at the end":           {"{\n \"a\": [1]\n", `x:2:10: the document ends too early; want "}" for the "{" that opens at 1:1`, none},
		"brace missing in the middle":        {"{\n  \"a\": {\n    \"b\": 1\n  ,\n  \"c\": 2\n}\n", `x:5:9: /a: "}" is missing; want one for the "{" that opens at 2:8`, none},
		"bracket for brace":                  {`{"a":[1,2}}`, `x:1:10: /a: "}" closes the "[" that opens at 1:6; want "]"`, none},
		"bracket missing before a name":      {`{"a":[1,2, "b":3}`, `x:1:10: /a: "]" is missing; want it before "b", which is a name in an object`, none},
		"brace missing in a list":            {`[{"a":1, {"b":2}]`, `x:1:8: /0: "}" is missing; want it before the next object, or a name in front of that`, none},
		"brace too many":                     {`{"a":1}}`, `x:1:8: text after the end of the document; want nothing`, none},
		"equals sign":                        {`{"a" = 1}`, `x:1:6: "=" between a name and its value; want ":"`, `{"a" : 1}`},
		"arrow":                              {`{"a" => 1}`, `x:1:6: "=" between a name and its value; want ":"`, `{"a" : 1}`},
		"colon missing":                      {`{"a" 1}`, `x:1:5: a colon is missing behind "a"; want ":"`, `{"a": 1}`},
		"value missing":                      {`{"a":,"b":1}`, `x:1:6: member "a" has no value; want one`, none},
		"only a name":                        {`{"a","b":1}`, `x:1:5: "a" has no value; want ":" and a value`, none},
		"comment":                            {"{\n// why\n\"a\":1}", `x:2:1: a comment; JSON has none, so want it out of the file`, none},
		"comment behind a member":            {`{"a":1 /* why */}`, `x:1:8: a comment; JSON has none, so want it out of the file`, none},
		"comment with a hash":                {"# why\n{}", `x:1:1: a comment; JSON has none, so want it out of the file`, none},
		"NaN":                                {`{"a":NaN}`, `x:1:6: /a: NaN is no JSON number; want a number, or null where there is none`, none},
		"Infinity":                           {`{"a":-Infinity}`, `x:1:6: /a: -Infinity is no JSON number; want a number, or null where there is none`, none},
		"True":                               {`{"a":True}`, `x:1:6: /a: got True; want true`, `{"a":true}`},
		"None":                               {`{"a":None}`, `x:1:6: /a: got None; want null`, none},
		"a typo in true":                     {`{"a":ture}`, `x:1:6: /a: got ture; did you mean true?`, none},
		"a plus":                             {`[+1]`, `x:1:2: /0: +1 is no JSON number; want 1`, `[1]`},
		"no digit before the point":          {`[-.5]`, `x:1:2: /0: -.5 is no JSON number; want -0.5`, `[-0.5]`},
		"no digit after the point":           {`[1.]`, `x:1:2: /0: 1. is no JSON number; want 1`, `[1]`},
		"leading zeros":                      {`[007]`, `x:1:2: /0: the number 007 begins with 0; want it without, or in quotes`, none},
		"a unit":                             {`{"for":5m}`, `x:1:8: /for: 5m is no number; want digits only, or quotes around a text`, none},
		"a decimal comma":                    {`{"max":30,5}`, `x:1:10: a comma inside a number; want a decimal point`, none},
		"a Windows path":                     {`{"a":"C:\data"}`, `x:1:9: /a: \d is no escape; want \\ for a backslash`, `{"a":"C:\\data"}`},
		"a tab in a text":                    {"{\"a\":\"b\tc\"}", `x:1:8: /a: a tab inside a text; want \t`, `{"a":"b\tc"}`},
		"a no-break space":                   {"{\"a\":\u00a01}", `x:1:6: the character U+00A0, which looks like a space; want a plain one`, `{"a": 1}`},
		"binary":                             {"\x7fELF\x00\x01", `x:1:5: byte 0x00: this is no text, but a binary file or UTF-16; want JSON in UTF-8`, none},
		"Latin-1":                            {"{\"a\":\"\xe9\"}", `x:1:7: byte 0xe9 is not UTF-8; want the file saved as UTF-8`, none},
		"UTF-16":                             {"\xff\xfe{\x00", `x:1:1: the file is in UTF-16; want it saved as UTF-8`, none},
		"not JSON at all":                    {"<html>", `x:1:1: got "<"; want a JSON value, which begins with { or [`, none},
		"half a surrogate pair":              {`["\ud800"]`, `x:1:2: /0: half of a character in two \u escapes; want both`, none},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := strictjson.Parse("x", []byte(tt.text))
			require.Error(t, err)
			require.Equal(t, tt.want, err.Error())
			e := err.(strictjson.Errors)[0] //nolint:errorlint // Parse gives this type
			assert.NotEmpty(t, e.Code)
			if tt.mended == none {
				assert.Nil(t, e.Fix)
				return
			}
			require.NotNil(t, e.Fix)
			mended := tt.text[:e.Fix.Offset] + e.Fix.Text + tt.text[e.Fix.Offset+e.Fix.Len:]
			assert.Equal(t, tt.mended, mended)
		})
	}
}

// TestMendedParses is about mends one after the other: each is right by itself.
func TestMendedParses(t *testing.T) {
	text := []byte("{'a': 1,\n b: [1 2,],\n \"c\" = +.5,,\n}")
	for range 20 {
		_, err := strictjson.Parse("x", text)
		if err == nil {
			assert.Equal(t, "{\"a\": 1,\n \"b\": [1, 2],\n \"c\" : 0.5\n}", string(text))
			return
		}
		fix := err.(strictjson.Errors)[0].Fix //nolint:errorlint // Parse gives this type
		require.NotNil(t, fix, "%v", err)
		text = append(append(append([]byte(nil), text[:fix.Offset]...), fix.Text...), text[fix.Offset+fix.Len:]...)
	}
	t.Fatalf("not mended: %s", text)
}

func TestParts(t *testing.T) {
	for _, tt := range []struct{ text, what, want string }{
		{`got "a;  b"`, `got "a;  b"`, ""},
		{`got "a; b"; want "c"`, `got "a; b"`, `want "c"`},
		{`got "a\"; b"; want c; or d`, `got "a\"; b"`, "want c; or d"},
		{`got "cut…; want less`, `got "cut…`, "want less"},
	} {
		what, want := (&strictjson.Error{Err: assertError(tt.text)}).Parts()
		assert.Equal(t, tt.what, what)
		assert.Equal(t, tt.want, want)
	}
}

type assertError string

func (e assertError) Error() string { return string(e) }

// FuzzExplain holds that every refusal of the decoder is explained with a place
// inside the document.
func FuzzExplain(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\u00e9",null,true]`, `{a:1,}`, `["\ud800"]`, `[01]`, `[tru]`, "\xff", `{} {}`, `{"a":"b`, `{"a"`, `[-]`, `["\u12`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := strictjson.Parse("x", text)
		if err == nil {
			return
		}
		for _, e := range err.(strictjson.Errors) { //nolint:errorlint // Parse gives this type
			if e.Code == "" || e.Offset < 0 || e.Offset+e.Len > len(text) {
				t.Fatalf("%+v of %d bytes", e, len(text))
			}
		}
	})
}
