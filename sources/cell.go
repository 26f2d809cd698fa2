package sources

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// appendValue appends what a cell of a CSV file is in JSON, and nothing for a
// cell that has no value. The error says that it is not UTF-8.
func appendValue(b, text []byte) ([]byte, error) {
	t := bytes.TrimSpace(text)
	if len(t) == 0 {
		return b, nil
	}
	if out, ok := appendNumber(b, t); ok {
		return out, nil
	}
	switch strings.ToLower(string(t)) {
	case "true":
		return append(b, "true"...), nil
	case "false":
		return append(b, "false"...), nil
	case "nan", "+nan", "-nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity":
		return b, nil
	}
	return jsontext.AppendQuote(b, text)
}

// appendNumber appends a decimal number as JSON writes it: without a plus,
// and with a digit on both sides of the point. It appends nothing for one that
// a 64-bit float cannot hold, and says no to what is not a number.
func appendNumber(b, t []byte) ([]byte, bool) {
	sign, rest := cutSign(t)
	whole, rest := cutDigits(rest)
	var fraction []byte
	if len(rest) > 0 && rest[0] == '.' {
		fraction, rest = cutDigits(rest[1:])
	}
	if len(whole)+len(fraction) == 0 || len(whole) > 1 && whole[0] == '0' || !isExponent(rest) {
		return b, false
	}
	if len(rest) > 0 || len(whole) > 300 {
		if _, err := strconv.ParseFloat(string(t), 64); err != nil {
			return b, true
		}
	}
	if sign == '-' {
		b = append(b, '-')
	}
	if len(whole) == 0 {
		b = append(b, '0')
	}
	b = append(b, whole...)
	if len(fraction) > 0 {
		b = append(append(b, '.'), fraction...)
	}
	return append(b, rest...), true
}

func isExponent(t []byte) bool {
	if len(t) == 0 {
		return true
	}
	_, rest := cutSign(t[1:])
	digits, rest := cutDigits(rest)
	return (t[0] == 'e' || t[0] == 'E') && len(digits) > 0 && len(rest) == 0
}

func cutSign(t []byte) (sign byte, rest []byte) {
	if len(t) > 0 && (t[0] == '-' || t[0] == '+') {
		return t[0], t[1:]
	}
	return 0, t
}

func cutDigits(t []byte) (digits, rest []byte) {
	n := 0
	for n < len(t) && '0' <= t[n] && t[n] <= '9' {
		n++
	}
	return t[:n], t[n:]
}

// Epoch times: the first number that is no longer seconds, and the first that
// is no longer milliseconds. As dates both are 5138-11-16.
const (
	endOfSeconds      = 100_000_000_000
	endOfMilliseconds = 1000 * endOfSeconds
)

func parseTime(t []byte) (time.Time, bool) {
	if at, ok := parseEpoch(t); ok {
		return at, true
	}
	const date, second, longest = len("2006-01-02"), len("2006-01-02T15:04:05"), len("2006-01-02T15:04:05.999999999+00:00")
	if len(t) < second || len(t) > longest {
		return time.Time{}, false
	}
	var buf [longest + 1]byte
	iso := append(buf[:0], t...)
	if iso[date] == ' ' {
		iso[date] = 'T'
	}
	if !bytes.ContainsAny(iso[second:], "Z+-") {
		iso = append(iso, 'Z')
	}
	var at time.Time
	if err := at.UnmarshalText(iso); err != nil {
		return time.Time{}, false
	}
	return at.UTC(), true
}

// parseEpoch reads seconds or milliseconds since 1970, with decimals or without.
func parseEpoch(t []byte) (time.Time, bool) {
	sign, rest := cutSign(t)
	whole, rest := cutDigits(rest)
	var fraction []byte
	if len(rest) > 0 && rest[0] == '.' {
		fraction, rest = cutDigits(rest[1:])
	}
	n, err := strconv.ParseInt(string(whole), 10, 64)
	if err != nil || len(rest) > 0 || n >= endOfMilliseconds {
		return time.Time{}, false
	}
	unit := int64(time.Second)
	if n >= endOfSeconds {
		unit = int64(time.Millisecond)
	}
	perSecond := int64(time.Second) / unit
	nanos := n % perSecond * unit
	for i, digit := 0, unit/10; i < len(fraction) && digit > 0; i, digit = i+1, digit/10 {
		nanos += int64(fraction[i]-'0') * digit
	}
	seconds := n / perSecond
	if sign == '-' {
		seconds, nanos = -seconds, -nanos
	}
	return time.Unix(seconds, nanos).UTC(), true
}
