package strictjson_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
)

type part struct {
	Kind string         `json:"kind" strict:"required"`
	With strictjson.Raw `json:"with"`
}

type file struct {
	Parts []part            `json:"parts"`
	Text  *string           `json:"text"`
	Max   int               `json:"max"`
	Port  uint16            `json:"port"`
	Ratio float64           `json:"ratio"`
	On    bool              `json:"on"`
	Wait  time.Duration     `json:"wait"`
	Names map[string]string `json:"names"`
}

func decode(text string) (file, error) {
	f := file{On: true}
	raw, err := strictjson.Parse("x", []byte(text))
	if err != nil {
		return f, err
	}
	err = raw.Decode(&f)
	return f, err
}

func TestDecode(t *testing.T) {
	f, err := decode(`{"parts":[{"kind":"a","with":{"n":1}}],"text":null,"max":3,"port":8080,"ratio":0.5,"wait":"90s","names":{"a":"b"}}`)
	require.NoError(t, err)
	assert.True(t, f.On, "an absent member keeps the default")
	assert.Nil(t, f.Text)
	assert.Equal(t, 90*time.Second, f.Wait)
	assert.Equal(t, uint16(8080), f.Port)
	assert.Equal(t, "/parts/0/with", f.Parts[0].With.At.Pointer())
	assert.JSONEq(t, `{"n":1}`, string(f.Parts[0].With.Text()))
}

func TestErrors(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"typo":            {`{"partz":[]}`, `x:1:2: /partz: unknown field "partz"; did you mean "parts"?`},
		"case":            {`{"Parts":[]}`, `x:1:2: /Parts: unknown field "Parts"; did you mean "parts"?`},
		"nothing near":    {`{"zzzzzz":1}`, `x:1:2: /zzzzzz: unknown field "zzzzzz"; want one of max, names, on, parts, port, ratio, text, wait`},
		"duplicate":       {"{\n\"max\":1,\n\"max\":2}", `x:3:1: /max: duplicate field "max"; want each name once`},
		"trailing":        {`{} {}`, `x:1:4: text after the end of the document; want nothing`},
		"trailing text":   {`{} x`, `x:1:4: text after the end of the document; want nothing`},
		"ends early":      {`{"parts":[`, `x:1:11: /parts: the document ends too early; want "]" for the "[" that opens at 1:10`},
		"missing comma":   {`{"max":1 "port":2}`, `x:1:9: a comma is missing between two members; want one`},
		"type":            {`{"max":"3"}`, `x:1:8: /max: got "3"; want a whole number`},
		"not whole":       {`{"max":1.5}`, `x:1:8: /max: got 1.5; want a whole number`},
		"negative":        {`{"port":-1}`, `x:1:9: /port: got -1; want a whole number, zero or more`},
		"too large":       {`{"port":70000}`, `x:1:9: /port: got 70000; want a whole number, zero or more`},
		"out of range":    {`{"ratio":1e400}`, `x:1:10: /ratio: number 1e400 is out of range; want one that a 64-bit float can hold`},
		"null":            {`{"max":null}`, `x:1:8: /max: got null; want a whole number`},
		"duration":        {`{"wait":300}`, `x:1:9: /wait: got 300; want a duration with its unit, such as "90s" or "15m"`},
		"required":        {`{"parts":[{}]}`, `x:1:11: /parts/0: field "kind" is missing`},
		"array wanted":    {`{"parts":{}}`, `x:1:10: /parts: got an object; want an array`},
		"empty":           {" \n", `x:1:1: empty document; want a JSON value`},
		"byte order mark": {"\xef\xbb\xbf{}", `x:1:1: starts with a byte order mark; want UTF-8 without one`},
		"column":          {"{\"names\":{\"é\":1}}", "x:1:15: /names/é: got 1; want a string"},
		"pointer":         {`{"names":{"a/b~":1}}`, `x:1:18: /names/a~1b~0: got 1; want a string`},
		"all at once": {
			"{\"max\":\"a\",\n \"prot\":1,\n \"on\":1}",
			"x:1:8: /max: got \"a\"; want a whole number\nx:2:2: /prot: unknown field \"prot\"; did you mean \"port\"?\nx:3:7: /on: got 1; want true or false",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(tt.text)
			require.Error(t, err)
			assert.Equal(t, tt.want, err.Error())
		})
	}
}

func TestDeepAndLong(t *testing.T) {
	_, err := strictjson.Parse("x", []byte(strings.Repeat("[", 10_000)))
	require.ErrorContains(t, err, "nested deeper than 500 levels")
	_, err = strictjson.Parse("x", make([]byte, strictjson.MaxBytes+1))
	require.ErrorContains(t, err, "want at most 16777216")
}

// TestDuplicateAmongMany: of many names each is compared with all before it.
func TestDuplicateAmongMany(t *testing.T) {
	for first := range 40 {
		text := "{"
		for i := range 40 {
			text += fmt.Sprintf("%q:{\"a\":%d},", strconv.Itoa(i), i)
		}
		_, err := strictjson.Parse("x", []byte(text+fmt.Sprintf(`"%d":0}`, first)))
		require.ErrorContains(t, err, fmt.Sprintf(`/%d: duplicate field "%d"; want each name once`, first, first))
		raw, err := strictjson.Parse("x", []byte(strings.TrimSuffix(text, ",")+"}"))
		require.NoError(t, err)
		require.Len(t, raw.Members(), 40)
		require.Equal(t, strconv.Itoa(first), raw.Member(strconv.Itoa(first)).Member("a").Shown())
	}
}

// FuzzParse holds Parse to encoding/json: it accepts nothing that json refuses,
// and what it accepts has the same value.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\u00e9",null,true]}`, `[]`, `"\ud800"`, `{"a":1,"a":2}`, `1e400`, "\xff", `{} {}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		raw, err := strictjson.Parse("x", text)
		if err != nil {
			return
		}
		var want any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if got := raw.Any(); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, want %#v", got, want)
		}
	})
}
