package alerts_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func TestSilences(t *testing.T) {
	first := silence(t, `{"id":"s1","matchers":["rule=too-*","severity=critical"],"startsAt":"2026-11-22T10:00:00Z","endsAt":"2026-11-22T12:00:00+01:00","createdBy":"eva","comment":"works"}`)
	second := silence(t, `{"id":"s2","matchers":["rule=too-hot"],"endsAt":"2026-11-22T12:00:00Z","createdBy":"jan","comment":"more works"}`)
	all := alerts.Silences{first, second}
	cold := hot()
	cold.Rule = "cold"
	minor := hot()
	minor.Severity = "minor"
	for at, want := range map[time.Duration]string{-1: "", 0: "s1", time.Hour - 1: "s1", time.Hour: "s2", 2*time.Hour - 1: "s2", 2 * time.Hour: ""} {
		id, ok := all.Match(hot(), start.Add(at))
		assert.Equal(t, want, id, at)
		assert.Equal(t, want != "", ok, at)
		_, ok = all.Match(cold, start.Add(at))
		assert.False(t, ok)
	}
	id, _ := all.Match(minor, start)
	assert.Equal(t, "s2", id)
	assert.False(t, first.Expired(start.Add(time.Hour-1)))
	assert.True(t, first.Expired(start.Add(time.Hour)))
	assert.Equal(t, start, second.StartsAt, "now, when it does not say")
}

func silence(t testing.TB, text string) alerts.Silence {
	t.Helper()
	s, err := alerts.DecodeSilence(parse(t, text), start)
	require.NoError(t, err)
	return s
}

func TestSilenceIsReadAsItIsWritten(t *testing.T) {
	s := silence(t, `{"id":"s1","matchers":["rule=~\"a|b\"","label.x!=y*"],"startsAt":"2026-11-22T11:00:00.5+01:00","endsAt":"2026-11-22T12:00:00Z","createdBy":"<eva>","comment":"\"works\""}`)
	text := string(s.AppendJSON(nil))
	assert.Equal(t, `{"id":"s1","matchers":["rule=~\"a|b\"","label.x!=\"y*\""],"startsAt":"2026-11-22T10:00:00.5Z","endsAt":"2026-11-22T12:00:00Z","createdBy":"<eva>","comment":"\"works\""}`, text)
	again := silence(t, text)
	assert.Equal(t, text, string(again.AppendJSON(nil)))

	s = silence(t, `{"id":"s1","matchers":["severity=crit"],"endsAt":"2026-11-22T12:00:00Z","createdBy":" eva ","comment":"works ","endedBy":"jan"}`)
	assert.Equal(t, `{"id":"s1","matchers":["severity=\"critical\""],"startsAt":"2026-11-22T10:00:00Z","endsAt":"2026-11-22T12:00:00Z","createdBy":"eva","comment":"works","endedBy":"jan"}`, string(s.AppendJSON(nil)))
}

func TestDecodeSilenceErrors(t *testing.T) {
	const who = `"createdBy":"eva","comment":"works"}`
	tests := []struct{ text, want string }{
		{`7`, `x:1:1: got 7; want an object`},
		{`{}`, `x:1:1: field "matchers" is missing
x:1:1: field "endsAt" is missing
x:1:1: field "createdBy" is missing
x:1:1: field "comment" is missing`},
		{`{"matchers":[],"endsAt":"2026-11-22T11:00:00Z",` + who, `x:1:13: /matchers: would silence every alert; want at least one matcher that refuses the empty text, such as "rule=too-hot"`},
		{`{"matchers":["label.a=~.*","twin=*"],"endsAt":"2026-11-22T11:00:00Z",` + who, `x:1:13: /matchers: would silence every alert; want at least one matcher that refuses the empty text, such as "rule=too-hot"`},
		{`{"matchers":["rul=a"],"endsAt":"2026-11-22T11:00:00Z",` + who, `x:1:14: /matchers/0: matcher "rul=a": column 1: unknown name "rul"; did you mean "rule"?`},
		{`{"matchers":["rule=a"],"endsAt":null,` + who, `x:1:33: /endsAt: got null; want a time such as "2026-11-22T10:00:00Z"`},
		{`{"matchers":["rule=a"],"endsAt":"tomorrow",` + who, `x:1:33: /endsAt: got "tomorrow"; want a time such as "2026-11-22T10:00:00Z"`},
		{`{"matchers":["rule=a"],"endsAt":"2026-11-22T10:00:00Z",` + who, `x:1:33: /endsAt: got "2026-11-22T10:00:00Z"; want a time after startsAt, 2026-11-22T10:00:00Z`},
		{`{"matchers":["rule=a"],"startsAt":"2026-11-22T10:00:00Z","endsAt":"2027-11-23T10:00:00.1Z",` + who, `x:1:67: /endsAt: got "2027-11-23T10:00:00.1Z"; want a time within 366 days after startsAt, 2026-11-22T10:00:00Z`},
		{`{"matchers":["rule=a"],"endsAt":"2026-11-22T11:00:00Z","createdBy":"","comment":7}`, `x:1:68: /createdBy: got ""; want a text that is not empty
x:1:81: /comment: got 7; want a text that is not empty`},
		{`{"matchers":["rule=a"],"endsAt":"2026-11-22T11:00:00Z","createdBy":" ","comment":"\t "}`, `x:1:68: /createdBy: got " "; want a text that is not empty
x:1:82: /comment: got "\t "; want a text that is not empty`},
		{`{"matchers":["rule=a"],"endsAt":"2026-11-22T11:00:00Z","endAt":1,` + who, `x:1:56: /endAt: unknown field "endAt"; did you mean "endsAt"?`},
	}
	for _, test := range tests {
		s, err := alerts.DecodeSilence(parse(t, test.text), start)
		assert.EqualError(t, err, test.want, test.text)
		assert.Zero(t, s)
	}
}
