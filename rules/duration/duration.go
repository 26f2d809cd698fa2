// Package duration reads and writes the durations of rules: "15m", "1d12h" or
// ISO 8601's "PT15M".
package duration

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
)

// Max is the longest duration that a rule may have: what is longer is a mistake
// of unit.
const Max = 366 * day

const (
	day  = 24 * time.Hour
	week = 7 * day
)

const want = `want a duration such as "15m" or "PT15M"`

// Decode reads a duration above zero and up to [Max]. It is a string of numbers
// with their units, from the largest to the smallest and each once (w, d, h, m,
// s, ms, us, ns: "90s", "1d12h"), or ISO 8601 without years and months
// ("P1DT2H", "P1W"). Numbers may have decimals as long as the whole is a whole
// number of nanoseconds. A day is 24 hours. The error has the value's place.
func Decode(r strictjson.Raw) (time.Duration, error) {
	d, err := DecodeOrZero(r)
	if err == nil && d == 0 {
		return 0, r.At.As(strictjson.WrongTime).Errorf("got %s; want a duration above zero, such as \"15m\" or \"PT15M\"", r.Shown())
	}
	return d, err
}

// DecodeOrZero reads as [Decode] does and takes "0s" too.
func DecodeOrZero(r strictjson.Raw) (time.Duration, error) {
	switch {
	case r.Kind() == strictjson.Number:
		return 0, r.At.As(strictjson.WrongTime).Errorf("got %s, a number without a unit; %s", r.Shown(), want)
	case r.Kind() != strictjson.String:
		return 0, r.At.As(strictjson.WrongTime).Errorf("got %s; %s", r.Shown(), want)
	case r.Str() == "":
		return 0, r.At.As(strictjson.WrongTime).Errorf("got an empty text; %s", want)
	}
	d, err := parse(r.Str())
	if err != nil {
		return 0, r.At.As(strictjson.WrongTime).Errorf("got %s: %w", r.Shown(), err)
	}
	return d, nil
}

// unit is a letter or two of a duration. A size of zero says that the length
// depends on the calendar.
type unit struct {
	name string
	size time.Duration
}

// The units of each notation, from the largest to the smallest.
var (
	short = []unit{
		{"w", week},
		{"d", day},
		{"h", time.Hour},
		{"m", time.Minute},
		{"s", time.Second},
		{"ms", time.Millisecond},
		{"us", time.Microsecond},
		{"ns", time.Nanosecond},
	}
	isoDate = []unit{{"Y", 0}, {"M", 0}, {"W", week}, {"D", day}}
	isoTime = []unit{{"H", time.Hour}, {"M", time.Minute}, {"S", time.Second}}
)

var (
	errForm     = errors.New("not a duration; " + want)
	errTooLong  = errors.New("over 366 days; " + want)
	errNegative = errors.New("negative; " + want)
	errFraction = errors.New("finer than a nanosecond; " + want)
	errCalendar = errors.New(`months and years have no fixed length; want days or weeks, such as "30d" or "P30D"`)
)

func parse(text string) (time.Duration, error) {
	if strings.Contains(text, "-") {
		return 0, errNegative
	}
	iso, ok := strings.CutPrefix(text, "P")
	if !ok {
		return sum(text, short)
	}
	date, clock, timed := strings.Cut(iso, "T")
	if date == "" && clock == "" || timed && clock == "" {
		return 0, errForm
	}
	days, err := sum(date, isoDate)
	if err != nil {
		return 0, err
	}
	rest, err := sum(clock, isoTime)
	if err != nil {
		return 0, err
	}
	return bounded(days + rest)
}

// sum adds the numbers of a text, each with its unit. An empty text is zero.
func sum(text string, units []unit) (time.Duration, error) {
	var total time.Duration
	from := 0
	for text != "" {
		whole, decimals, rest := number(text)
		end := 0
		for end < len(rest) && !isDigit(rest[end]) {
			end++
		}
		if whole == "" || end == 0 {
			return 0, errForm
		}
		i, err := find(rest[:end], units, from)
		if err != nil {
			return 0, err
		}
		d, err := times(whole, decimals, units[i].size)
		if err != nil {
			return 0, err
		}
		if total, err = bounded(total + d); err != nil {
			return 0, err
		}
		text, from = rest[end:], i+1
	}
	return total, nil
}

func bounded(d time.Duration) (time.Duration, error) {
	if d > Max {
		return 0, errTooLong
	}
	return d, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// number splits off the digits at the text's beginning, and those after a point
// or ISO 8601's comma. whole is "" when there is no number.
func number(text string) (whole, decimals, rest string) {
	i := digits(text)
	whole, rest = text[:i], text[i:]
	if rest == "" || rest[0] != '.' && rest[0] != ',' {
		return whole, "", rest
	}
	j := digits(rest[1:])
	if j == 0 {
		return "", "", rest
	}
	return whole, rest[1 : 1+j], rest[1+j:]
}

func digits(text string) int {
	i := 0
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	return i
}

// find is the place of a unit that has to come at from or later.
func find(name string, units []unit, from int) (int, error) {
	var known []string
	for i, u := range units {
		switch {
		case u.name == name && u.size == 0:
			return 0, errCalendar
		case u.name == name && i < from:
			return 0, fmt.Errorf(`unit %q is repeated or out of place; want the larger units first and each once, such as "1d12h" or "P1DT12H"`, name)
		case u.name == name:
			return i, nil
		case u.size > 0:
			known = append(known, u.name)
		}
	}
	switch strings.TrimRight(strings.ToLower(name), "s") {
	case "y", "yr", "year", "mo", "mon", "month":
		return 0, errCalendar
	}
	return 0, fmt.Errorf("no unit %q here; want one of %s", name, strings.Join(known, ", "))
}

// times is whole.decimals units, exact.
func times(whole, decimals string, size time.Duration) (time.Duration, error) {
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil || n > uint64(Max/size) {
		return 0, errTooLong
	}
	decimals = strings.TrimRight(decimals, "0")
	const most = 18 // powers of ten that fit in 64 bits, with room
	if len(decimals) > most {
		return 0, errFraction
	}
	part, scale := uint64(0), uint64(1)
	for _, c := range []byte(decimals) {
		part, scale = 10*part+uint64(c-'0'), 10*scale
	}
	hi, lo := bits.Mul64(part, uint64(size))
	nanos, left := bits.Div64(hi, lo, scale) // part < scale, so the quotient is below size
	if left != 0 {
		return 0, errFraction
	}
	return time.Duration(n)*size + time.Duration(nanos), nil
}

// Text is the duration as Append writes it, without the quotes.
func Text(d time.Duration) string {
	quoted := Append(nil, d)
	return string(quoted[1 : len(quoted)-1])
}

// Append appends the duration in its one canonical form, quoted: units from
// days down to nanoseconds, each once and none that is zero ("1d12h", "90s" as
// "1m30s", two weeks as "14d"). Zero is "0s", and so is what is negative.
func Append(b []byte, d time.Duration) []byte {
	if d <= 0 {
		return append(b, `"0s"`...)
	}
	b = append(b, '"')
	for _, u := range short[1:] {
		if n := d / u.size; n > 0 {
			b = append(strconv.AppendInt(b, int64(n), 10), u.name...)
			d -= n * u.size
		}
	}
	return append(b, '"')
}
