package sources_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// read gives all samples and complaints of a recording.
func read(t *testing.T, next func() (rules.Sample, error)) (samples []rules.Sample, complaints []string) {
	t.Helper()
	for {
		s, err := next()
		if errors.Is(err, io.EOF) {
			return samples, complaints
		}
		if err != nil {
			_, ok := errors.AsType[*strictjson.Error](err)
			require.True(t, ok, err)
			complaints = append(complaints, err.Error())
		}
		samples = append(samples, s)
	}
}

// sameAsNDJSON holds Text to NDJSON.
func sameAsNDJSON(t *testing.T, text string) {
	t.Helper()
	want, wantSaid := read(t, sources.NewNDJSON(strings.NewReader(text), "s").Next)
	r := sources.NewText([]byte(text), "s")
	got, said := read(t, func() (s rules.Sample, err error) {
		err = r.Next(&s)
		return s, err
	})
	assert.Equal(t, wantSaid, said)
	assert.Equal(t, want, got)
	assert.InDelta(t, 1, r.Share(), 1, "of nothing nothing is read")
}

const head = `{"twin":"t","feed":"f","occurredAt":"2026-11-02T10:00:00Z","data":`

var odd = []string{
	line, line + "\n" + line, line + "\r\n\n \n" + line, "\xef\xbb\xbf" + line, "", "\n", "x", "\x00",
	head + `{}}`, head + `{}} `, head + `{} }`, head + `{}`, head + `{},"id":"x"}`, head + `{},"data":{}}`, head + `[]}`, head + `{"a":"}"}}`, head + `{"a":"\"}"}}`, head + `{"a":"\`,
	head + `{"a":[1,{"b":2}]}}x`, head + `{"a":1}}}`, head + `{"a":]}`,
	strings.Replace(head, `"t"`, `""`, 1) + `{}}`, strings.Replace(head, `"t"`, `"é"`, 1) + `{}}`, strings.Replace(head, `"t"`, `"\u0041"`, 1) + `{}}`,
	strings.Replace(head, `"f"`, `""`, 1) + `{}}`, strings.Replace(head, "feed", "fed", 1) + `{}}`, strings.Replace(head, `,"f`, `, "f`, 1) + `{}}`,
	`{"feed":"f","twin":"t","data":{}}`, `{"twin":"t`, `{"twin":"t","feed":"f","data":{}}`,
	`{"twin":"t","feed":"f","data":{"long":"` + strings.Repeat("x", sources.MaxLineBytes) + "\"}}\n" + line,
	head + `{"long":"` + strings.Repeat("x", sources.MaxLineBytes-len(head)-12) + "\"}}\n" + line,
	head + `{"long":"` + strings.Repeat("x", sources.MaxLineBytes-len(head)-11) + "\"}}\n" + line,
}

func TestTextReadsAsNDJSON(t *testing.T) {
	for _, text := range odd {
		sameAsNDJSON(t, text)
	}
	for _, at := range []string{
		"2026-11-02T10:00:00.5Z", "2026-11-02T10:00:00.123456789Z", "2026-11-02T10:00:00.1234567891Z", "2026-11-02T10:00:00.Z", "2026-11-02T10:00:00,5Z",
		"2026-11-02T10:00:00+02:00", "2026-11-02T24:00:00Z", "2026-11-02T23:60:00Z", "2026-11-02T23:59:60Z", "2026-11-31T00:00:00Z", "2024-02-29T00:00:00Z",
		"2026-02-29T00:00:00Z", "2026-00-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-00T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
		"2026-11-02 10:00:00Z", "2026-11-02t10:00:00Z", "2026-11-02T10:00:00z", "2026-11-02T1:00:00Z", "+026-11-02T10:00:00Z", "2026-11-02T10:00:00", "", "2026-11-02T10:00:00Zx",
	} {
		sameAsNDJSON(t, `{"twin":"t","feed":"f","occurredAt":"`+at+`","data":{}}`)
	}
}

func FuzzText(f *testing.F) {
	for _, text := range odd {
		if len(text) < 1000 {
			f.Add(text)
		}
	}
	f.Fuzz(sameAsNDJSON)
}

func TestTextSeeks(t *testing.T) {
	r := sources.NewText([]byte(head+"{\"a\":1}}\n\n"+head+"{\"a\":2}}\n"), "s")
	var s rules.Sample
	require.NoError(t, r.Next(&s))
	second := r.Place()
	for range 2 {
		require.NoError(t, r.Next(&s))
		assert.Equal(t, `{"a":2}`, string(s.Data))
		assert.Equal(t, uint64(3), s.Seq)
		require.ErrorIs(t, r.Next(&s), io.EOF)
		r.Seek(second)
	}
}

func TestTextAllocatesNothing(t *testing.T) {
	text := []byte(strings.Repeat(head+`{"temperature":31.2,"motor":{"rpm":1480}}}`+"\n", 1000))
	r := sources.NewText(text, "s")
	var s rules.Sample
	require.NoError(t, r.Next(&s))
	assert.Zero(t, testing.AllocsPerRun(900, func() {
		if err := r.Next(&s); err != nil {
			t.Fatal(err)
		}
	}))
}
