package sources_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

const line = `{"twin":"machine_1","feed":"currentTemp","occurredAt":"2026-11-22T10:00:00Z","data":{"temperature":31.2,"unit":"°C"}}`

func TestParseLine(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		line string
		want rules.Sample
	}{
		"plain":            {line, rules.Sample{Twin: "machine_1", Feed: "currentTemp", At: at, Data: []byte(`{"temperature":31.2,"unit":"°C"}`)}},
		"any order, blank": {" {\t\"data\" : { } ,\r\"feed\":\"f\" , \"twin\":\"t\" } \r", rules.Sample{Twin: "t", Feed: "f", Data: []byte("{ }")}},
		"id":               {`{"twin":"t","feed":"f","data":{},"id":"a-1"}`, rules.Sample{Twin: "t", Feed: "f", Data: []byte("{}"), ID: "a-1"}},
		"zone and parts":   {`{"twin":"t","feed":"f","data":{},"occurredAt":"2026-11-22T12:00:00.5+02:00"}`, rules.Sample{Twin: "t", Feed: "f", Data: []byte("{}"), At: at.Add(time.Second / 2)}},
		"escapes":          {`{"tw\u0069n":"did:\"x\"","feed":"\u00e9","data":{"a":"}\"{","b":["]\\"]}}`, rules.Sample{Twin: `did:"x"`, Feed: "é", Data: []byte(`{"a":"}\"{","b":["]\\"]}`)}},
		"not judged here":  {`{"twin":"t","feed":"f","data":{"a":NaN,"a":[}}}`, rules.Sample{Twin: "t", Feed: "f", Data: []byte(`{"a":NaN,"a":[}}`)}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := sources.ParseLine([]byte(tt.line), 7)
			require.NoError(t, err)
			tt.want.Seq = 7
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestParseLineErrors(t *testing.T) {
	long := strings.Repeat("x", 257)
	for name, tt := range map[string]struct{ line, want string }{
		"typo":              {`{"twn":"t"}`, `-:7:2: unknown field "twn"; did you mean "twin"?`},
		"case":              {`{"Twin":"t"}`, `-:7:2: unknown field "Twin"; did you mean "twin"?`},
		"nothing near":      {`{"temperature":31}`, `-:7:2: unknown field "temperature"; want one of data, feed, id, occurredAt, twin`},
		"duplicate":         {`{"twin":"t","twin":"u"}`, `-:7:13: /twin: duplicate field "twin"; want each name once`},
		"no twin":           {`{"feed":"f","data":{}}`, `-:7:1: field "twin" is missing`},
		"no feed":           {` {"twin":"t","data":{}}`, `-:7:2: field "feed" is missing`},
		"no data":           {`{"twin":"t","feed":"f"}`, `-:7:1: field "data" is missing`},
		"empty twin":        {`{"twin":"","feed":"f","data":{}}`, `-:7:9: /twin: got ""; want the twin's id, a string`},
		"empty feed":        {`{"twin":"é","feed":"","data":{}}`, `-:7:20: /feed: got ""; want the feed's id, a string`},
		"twin is no string": {`{"twin":12,"feed":"f","data":{}}`, `-:7:9: /twin: got 12; want the twin's id, a string`},
		"null":              {`{"twin":null}`, `-:7:9: /twin: got null; want the twin's id, a string`},
		"data is an array":  {`{"twin":"t","feed":"f","data":[1]}`, `-:7:31: /data: got an array; want an object`},
		"data is a string":  {`{"twin":"t","feed":"f","data":"{}"}`, `-:7:31: /data: got "{}"; want an object`},
		"data is nothing":   {`{"twin":"t","feed":"f","data":`, `-:7:31: /data: got nothing; want an object`},
		"data ends early":   {`{"twin":"t","feed":"f","data":{"a":"}`, `-:7:38: /data: the line ends too early; a closing bracket, brace or quote is missing`},
		"data ends in \\":   {`{"twin":"t","feed":"f","data":{"a":"\`, `-:7:38: /data: the line ends too early; a closing bracket, brace or quote is missing`},
		"string ends early": {`{"twin":"t`, `-:7:11: /twin: the line ends too early; a closing quote is missing`},
		"string ends in \\": {`{"twin":"t\`, `-:7:12: /twin: the line ends too early; a closing quote is missing`},
		"control character": {"{\"twin\":\"a\x01b\"}", `-:7:9: /twin: invalid character '\x01' in string (expecting non-control character)`},
		"not UTF-8":         {"{\"twin\":\"a\xffb\"}", `-:7:9: /twin: invalid UTF-8`},
		"bad escape":        {`{"twin":"\x"}`, `-:7:9: /twin: invalid escape sequence ` + "`\\x` in string"},
		"time":              {`{"occurredAt":"yesterday"}`, `-:7:15: /occurredAt: got "yesterday"; want a time as RFC 3339 has it, such as "2026-11-22T10:00:00Z"`},
		"time as number":    {`{"occurredAt":1700000000}`, `-:7:15: /occurredAt: got 1700000000; want a time as RFC 3339 has it, such as "2026-11-22T10:00:00Z"`},
		"time without zone": {`{"occurredAt":"2026-11-22T10:00:00"}`, `-:7:15: /occurredAt: got "2026-11-22T10:00:00"; want a time as RFC 3339 has it, such as "2026-11-22T10:00:00Z"`},
		"long id":           {`{"id":"` + long + `"}`, `-:7:7: /id: message id of 257 bytes; want at most 256`},
		"empty id":          {`{"id":""}`, `-:7:7: /id: message id ""; want at least one character`},
		"id of two lines":   {`{"id":"a\nb"}`, `-:7:7: /id: message id "a\nb" has a control character; want none`},
		"array":             {`[` + line + `]`, `-:7:1: got an array; want one object with twin, feed, occurredAt and data a line`},
		"word":              {`hello world`, `-:7:1: got hello; want one object with twin, feed, occurredAt and data a line`},
		"nothing":           {``, `-:7:1: got nothing; want one object with twin, feed, occurredAt and data a line`},
		"NUL":               {"\x00", "-:7:1: got \uFFFD; want one object with twin, feed, occurredAt and data a line"},
		"trailing":          {`{"twin":"t","feed":"f","data":{}} {}`, `-:7:35: text after the end of the sample; want one sample a line`},
		"trailing comma":    {`{"twin":"t",}`, `-:7:13: got }; want a field's name in quotes`},
		"leading comma":     {`{,"twin":"t"}`, `-:7:2: got ,; want a field's name in quotes`},
		"no comma":          {`{"twin":"t" "feed":"f"}`, `-:7:13: got "feed"; want a comma or the end of the object`},
		"no colon":          {`{"twin" "t"}`, `-:7:9: /twin: got "t"; want a colon`},
		"second line":       {"{\"twin\":\"t\",\n  \"fed\":\"f\"}", `-:8:3: unknown field "fed"; did you mean "feed"?`},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sources.ParseLine([]byte(tt.line), 7)
			require.EqualError(t, err, tt.want)
			assert.Equal(t, tt.want, s.Refused, "the sample is its own dead letter")
			assert.Equal(t, tt.line, string(s.Data))
			assert.Equal(t, uint64(7), s.Seq)
		})
	}
}

func TestParseLineKeepsWhatItCouldRead(t *testing.T) {
	s, err := sources.ParseLine([]byte(`{"twin":"t","feed":"f","data":[]}`), 1)
	require.Error(t, err)
	assert.Equal(t, "t", s.Twin)
	assert.Equal(t, "f", s.Feed)
}

// slow is the plain way to read a line.
type slow struct {
	Twin       string          `json:"twin"`
	Feed       string          `json:"feed"`
	OccurredAt *time.Time      `json:"occurredAt"`
	Data       json.RawMessage `json:"data"`
	ID         string          `json:"id"`
}

// FuzzParseLine holds ParseLine to encoding/json: of what both read they read
// the same, and ParseLine refuses no line that is a sample, and accepts no
// other but for what stands inside data.
func FuzzParseLine(f *testing.F) {
	f.Add([]byte(line))
	for _, s := range []string{
		`{"twin":"t","feed":"f","data":{"a":[{"b":"\"}"}]},"id":"x"}`, `{"twin":"t","feed":"f","data":{]}`, `{"twin":"\ud83d\ude00","feed":"\u0000","data":{}}`,
		`{"twin":"t","feed":"f","data":{}} x`, `{"twin":"t","feed":"f","data":{}},`, "{\"twin\":\"t\",\n\"feed\":\"f\",\"data\":{}}", `{"twin":"t","twin":"u","feed":"f","data":{}}`,
		`{"twin":"t","feed":"f","data":{},"occurredAt":"2026-02-30T00:00:00Z"}`, `{"twin":"\`, `{"data":{"`, "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := sources.ParseLine(text, 1)
		if err == nil {
			assert.Empty(t, got.Refused)
			assert.NotEmpty(t, got.Twin)
			assert.NotEmpty(t, got.Feed)
			assert.Contains(t, string(text), string(got.Data))
		} else {
			_, ok := errors.AsType[*strictjson.Error](err)
			require.True(t, ok)
			assert.Equal(t, string(text), string(got.Data))
			assert.NotEmpty(t, got.Refused)
		}
		want, ok := parseSlow(text)
		switch {
		case ok && err != nil:
			t.Fatalf("refused what is a sample: %v", err)
		case !ok && err == nil && json.Valid(got.Data):
			t.Fatalf("accepted what is no sample")
		case ok:
			assert.Equal(t, want.Twin, got.Twin)
			assert.Equal(t, want.Feed, got.Feed)
			assert.Equal(t, want.ID, got.ID)
			assert.Equal(t, string(want.Data), string(got.Data))
			if want.OccurredAt != nil {
				assert.True(t, want.OccurredAt.Equal(got.At))
			}
		}
	})
}

// parseSlow reads a line with encoding/json and says no to what ParseLine must refuse.
func parseSlow(text []byte) (slow, bool) {
	raw, err := strictjson.Parse("-", text)
	if err != nil && raw.IsZero() || raw.Kind() != strictjson.Object || raw.Member("data").Kind() != strictjson.Object {
		return parseLenient(text)
	}
	return parseStrict(text, raw)
}

// parseLenient is for documents whose data strictjson refuses and encoding/json does not.
func parseLenient(text []byte) (slow, bool) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || !bytes.HasPrefix(members["data"], []byte("{")) {
		return slow{}, false
	}
	data := members["data"]
	outside := bytes.Replace(text, data, []byte("{}"), 1)
	raw, err := strictjson.Parse("-", outside)
	if err != nil {
		return slow{}, false
	}
	s, ok := parseStrict(outside, raw)
	s.Data = data
	return s, ok
}

func parseStrict(text []byte, raw strictjson.Raw) (slow, bool) {
	seen := map[string]bool{}
	for _, m := range raw.Members() {
		want := strictjson.String
		if m.Name == "data" {
			want = strictjson.Object
		}
		known := m.Name == "twin" || m.Name == "feed" || m.Name == "data" || m.Name == "occurredAt" || m.Name == "id"
		if !known || seen[m.Name] || m.Value.Kind() != want {
			return slow{}, false
		}
		seen[m.Name] = true
	}
	var s slow
	if err := json.Unmarshal(text, &s); err != nil || s.Twin == "" || s.Feed == "" || !seen["data"] {
		return s, false
	}
	return s, !seen["id"] || sources.CheckID(s.ID) == nil
}

func TestNDJSON(t *testing.T) {
	text := "\xef\xbb\xbf" + line + "\r\n\n   \n" + `{"twin":"t","feed":"f","dta":{}}` + "\n" +
		`{"twin":"t","feed":"f","data":{"long":"` + strings.Repeat("x", sources.MaxLineBytes) + "\"}}\n" + line
	r := sources.NewNDJSON(strings.NewReader(text), "s.ndjson")

	first, err := r.Next()
	require.NoError(t, err)
	assert.Equal(t, uint64(1), first.Seq)

	broken, err := r.Next()
	require.EqualError(t, err, `s.ndjson:4:24: unknown field "dta"; did you mean "data"?`)
	assert.Equal(t, err.Error(), broken.Refused)
	assert.Equal(t, `{"twin":"t","feed":"f","dta":{}}`, string(broken.Data))
	assert.Equal(t, uint64(4), broken.Seq)

	long, err := r.Next()
	require.EqualError(t, err, `s.ndjson:5:1: line longer than 1048576 bytes; want one sample a line`)
	assert.Len(t, long.Data, 64<<10)

	last, err := r.Next()
	require.NoError(t, err)
	assert.Equal(t, uint64(6), last.Seq)
	assert.JSONEq(t, `{"temperature":31.2,"unit":"°C"}`, string(first.Data), "a sample owns its data")

	_, err = r.Next()
	require.ErrorIs(t, err, io.EOF)
}

func TestNDJSONLineAtTheLimit(t *testing.T) {
	head := `{"twin":"t","feed":"f","data":{"a":"`
	for _, tt := range []struct {
		bytes int
		ok    bool
	}{{sources.MaxLineBytes - 1, true}, {sources.MaxLineBytes, false}} {
		text := head + strings.Repeat("x", tt.bytes-len(head)-3) + "\"}}\n" + line
		r := sources.NewNDJSON(strings.NewReader(text), "s")
		_, err := r.Next()
		assert.Equal(t, tt.ok, err == nil, "%d bytes: %v", tt.bytes, err)
		next, err := r.Next()
		require.NoError(t, err)
		assert.Equal(t, uint64(2), next.Seq)
	}
}

func TestNDJSONOwnError(t *testing.T) {
	broken := errors.New("disk on fire")
	r := sources.NewNDJSON(io.MultiReader(strings.NewReader(line+"\n"), iotest.ErrReader(broken)), "s")
	_, err := r.Next()
	require.NoError(t, err)
	_, err = r.Next()
	require.ErrorIs(t, err, broken)
	require.EqualError(t, err, "s: disk on fire")
}

func TestPlaceCountsCharacters(t *testing.T) {
	_, err := sources.ParseLine([]byte(`{"twin":"ééé","fed":1}`), 1)
	e, ok := errors.AsType[*strictjson.Error](err)
	require.True(t, ok)
	assert.Equal(t, utf8.RuneCountInString(`{"twin":"ééé",`)+1, e.Col)
}

func BenchmarkParseLine(b *testing.B) {
	text := []byte(line)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sources.ParseLine(text, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseLineByEncodingJSON(b *testing.B) {
	text := []byte(line)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var s slow
		if err := json.Unmarshal(text, &s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNDJSON(b *testing.B) {
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&text, `{"twin":"machine_%d","feed":"currentTemp","occurredAt":"2026-11-22T10:00:00Z","data":{"temperature":%d.2}}`+"\n", i%100, i%60)
	}
	b.ReportAllocs()
	for b.Loop() {
		drain(b, sources.NewNDJSON(strings.NewReader(text.String()), "s").Next)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/line")
}

func drain(b *testing.B, next func() (rules.Sample, error)) {
	for {
		if _, err := next(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}
