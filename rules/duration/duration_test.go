package duration_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/duration"
)

const day = 24 * time.Hour

func raw(t testing.TB, text string) strictjson.Raw {
	t.Helper()
	r, err := strictjson.Parse("x", []byte(text))
	require.NoError(t, err)
	return r
}

func TestDecode(t *testing.T) {
	tests := []struct {
		in, canonical string
		want          time.Duration
	}{
		{"90s", "1m30s", 90 * time.Second},
		{"15m", "15m", 15 * time.Minute},
		{"2h", "2h", 2 * time.Hour},
		{"1h30m", "1h30m", 90 * time.Minute},
		{"500ms", "500ms", 500 * time.Millisecond},
		{"1d", "1d", day},
		{"2w", "14d", 14 * day},
		{"1d12h", "1d12h", 36 * time.Hour},
		{"1w1d1h1m1s1ms1us1ns", "8d1h1m1s1ms1us1ns", 8*day + time.Hour + time.Minute + time.Second + 1001001},
		{"1.5h", "1h30m", 90 * time.Minute},
		{"0.25d", "6h", 6 * time.Hour},
		{"0.000000001s", "1ns", 1},
		{"1.500000000000000000000s", "1s500ms", 1500 * time.Millisecond},
		{"366d", "366d", 366 * day},
		{"PT15M", "15m", 15 * time.Minute},
		{"P1DT2H", "1d2h", 26 * time.Hour},
		{"P1W", "7d", 7 * day},
		{"P1W2D", "9d", 9 * day},
		{"P366D", "366d", 366 * day},
		{"PT0.5S", "500ms", 500 * time.Millisecond},
		{"PT1,5M", "1m30s", 90 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			d, err := duration.Decode(raw(t, `"`+test.in+`"`))
			require.NoError(t, err)
			assert.Equal(t, test.want, d)
			assert.Equal(t, `"`+test.canonical+`"`, string(duration.Append(nil, d)))
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	const (
		want  = `; want a duration such as "15m" or "PT15M"`
		above = `; want a duration above zero, such as "15m" or "PT15M"`
		order = ` is repeated or out of place; want the larger units first and each once, such as "1d12h" or "P1DT12H"`
		fixed = `months and years have no fixed length; want days or weeks, such as "30d" or "P30D"`
		units = `; want one of w, d, h, m, s, ms, us, ns`
	)
	tests := []struct{ in, want string }{
		{`15`, `got 15, a number without a unit` + want},
		{`null`, `got null` + want},
		{`{}`, `got an object` + want},
		{`""`, `got an empty text` + want},
		{`"15"`, `got "15": not a duration` + want},
		{`"m"`, `got "m": not a duration` + want},
		{`"15 m"`, `got "15 m": no unit " m" here` + units},
		{`"15M"`, `got "15M": no unit "M" here` + units},
		{`"15min"`, `got "15min": no unit "min" here` + units},
		{`"1.h"`, `got "1.h": not a duration` + want},
		{`".5h"`, `got ".5h": not a duration` + want},
		{`"P"`, `got "P": not a duration` + want},
		{`"PT"`, `got "PT": not a duration` + want},
		{`"P1DT"`, `got "P1DT": not a duration` + want},
		{`"P15"`, `got "P15": not a duration` + want},
		{`"P1H"`, `got "P1H": no unit "H" here; want one of W, D`},
		{`"PT1D"`, `got "PT1D": no unit "D" here; want one of H, M, S`},
		{`"PT1S1H"`, `got "PT1S1H": unit "H"` + order},
		{`"30m1h"`, `got "30m1h": unit "h"` + order},
		{`"1h1h"`, `got "1h1h": unit "h"` + order},
		{`"0s"`, `got "0s"` + above},
		{`"PT0S"`, `got "PT0S"` + above},
		{`"0.0m"`, `got "0.0m"` + above},
		{`"-5m"`, `got "-5m": negative` + want},
		{`"-PT5M"`, `got "-PT5M": negative` + want},
		{`"PT-5M"`, `got "PT-5M": negative` + want},
		{`"367d"`, `got "367d": over 366 days` + want},
		{`"366d1ns"`, `got "366d1ns": over 366 days` + want},
		{`"P366DT0.1S"`, `got "P366DT0.1S": over 366 days` + want},
		{`"99999999999999999999999h"`, `got "99999999999999999999999h": over 366 days` + want},
		{`"0.5ns"`, `got "0.5ns": finer than a nanosecond` + want},
		{`"1.0000000000000000000001h"`, `got "1.0000000000000000000001h": finer than a nanosecond` + want},
		{`"P1Y"`, `got "P1Y": ` + fixed},
		{`"P1M"`, `got "P1M": ` + fixed},
		{`"1y"`, `got "1y": ` + fixed},
		{`"2months"`, `got "2months": ` + fixed},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			doc := raw(t, `{"for":`+test.in+`}`)
			_, err := duration.Decode(doc.Member("for"))
			assert.EqualError(t, err, `x:1:8: /for: `+test.want)
		})
	}
}

func TestDecodeOrZero(t *testing.T) {
	for _, in := range []string{`"0s"`, `"0ms"`, `"P0D"`, `"PT0S"`} {
		d, err := duration.DecodeOrZero(raw(t, in))
		assert.NoError(t, err)
		assert.Zero(t, d)
	}
	_, err := duration.DecodeOrZero(raw(t, `0`))
	assert.EqualError(t, err, `x:1:1: got 0, a number without a unit; want a duration such as "15m" or "PT15M"`)
	assert.Equal(t, `"0s"`, string(duration.Append(nil, 0)))
	assert.Equal(t, `"0s"`, string(duration.Append(nil, -time.Second)))
}

// What is read is within bounds, its canonical form is read as the same, and
// time.ParseDuration agrees on what it knows too.
func FuzzDecode(f *testing.F) {
	for _, in := range []string{"90s", "1d12h", "2w", "P1DT2H", "PT1,5M", "1.5h", "0s", "P1M", "0.000000001s", "8784h", "1us", "-1s", "1h0m", "P,5D"} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		text, err := json.Marshal(in)
		require.NoError(t, err)
		d, err := duration.DecodeOrZero(raw(t, string(text)))
		if err != nil {
			require.Zero(t, d)
			return
		}
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, duration.Max)
		canonical := duration.Append(nil, d)
		again, err := duration.DecodeOrZero(raw(t, string(canonical)))
		require.NoError(t, err)
		require.Equal(t, d, again)
		require.Equal(t, canonical, duration.Append(nil, again))
		if theirs, err := time.ParseDuration(in); err == nil {
			require.InDelta(t, theirs, d, 8) // it rounds the decimals of each number
		}
	})
}
