package letter

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// number is a number of an outcome. It is written without an exponent where
// that can be read.
type number float64

// String is the number as people write it.
func (n number) String() string {
	if a := math.Abs(float64(n)); a != 0 && (a < 1e-6 || a >= 1e15) {
		return strconv.FormatFloat(float64(n), 'g', -1, 64)
	}
	return strconv.FormatFloat(float64(n), 'f', -1, 64)
}

// functions are those that templates may call, beside the ones of text/template
// that functionNames names. A value comes last, so that it can be piped.
var functions = map[string]any{
	"upper":    func(v any) (string, error) { return short(strings.ToUpper(text(v))) },
	"lower":    func(v any) (string, error) { return short(strings.ToLower(text(v))) },
	"title":    func(v any) (string, error) { return short(title(text(v))) },
	"trim":     func(v any) string { return strings.TrimSpace(text(v)) },
	"join":     join,
	"replace":  replace,
	"match":    match,
	"truncate": truncate,
	"default":  orElse,
	"get":      get,
	"keys":     keys,
	"json":     toJSON,
	"round":    round10,
	"date":     date,
	"urlquery": func(v any) (string, error) { return short(url.QueryEscape(text(v))) },
	"eq":       func(a any, others ...any) bool { return equal(a, others) },
	"ne":       func(a, b any) bool { return !equal(a, []any{b}) },
	"lt":       func(a, b any) (bool, error) { c, err := compare(a, b); return c < 0, err },
	"le":       func(a, b any) (bool, error) { c, err := compare(a, b); return c <= 0, err },
	"gt":       func(a, b any) (bool, error) { c, err := compare(a, b); return c > 0, err },
	"ge":       func(a, b any) (bool, error) { c, err := compare(a, b); return c >= 0, err },
}

// blankFuncs stand for those that each letter has of its own.
var blankFuncs = perLetterFuncs(nil, time.Time{})

// perLetterFuncs hang on when a letter is written, and end it.
func perLetterFuncs(spent *clock, now time.Time) map[string]any {
	rounds := 0
	return map[string]any{
		"ago": func(v any) (string, error) { return ago(now, v) },
		roundFunc: func() (string, error) {
			rounds++
			switch {
			case rounds > maxRounds:
				return "", fmt.Errorf("more than %d rounds of range", maxRounds)
			case spent.over():
				return "", errTooSlow
			}
			return "", nil
		},
	}
}

// short refuses a text that is longer than a letter may be.
func short(s string) (string, error) {
	if len(s) > MaxBytes {
		return "", errTooLong
	}
	return s, nil
}

// text is a value as a template writes it; nothing is "".
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case number:
		return v.String()
	case map[string]any, []any:
		b, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(b)
	}
	return fmt.Sprint(v)
}

func title(s string) string {
	before := ' '
	return strings.Map(func(r rune) rune {
		first := !unicode.IsLetter(before) && !unicode.IsDigit(before) && before != '\''
		before = r
		if first {
			return unicode.ToTitle(r)
		}
		return r
	}, s)
}

// join puts a separator between the values of a list.
func join(separator string, v any) (string, error) {
	list, ok := v.([]any)
	if !ok {
		if names, isNames := v.([]string); isNames {
			return short(strings.Join(names, separator))
		}
		return text(v), nil
	}
	var b strings.Builder
	for i, e := range list {
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(text(e))
		if b.Len() > MaxBytes {
			return "", errTooLong
		}
	}
	return b.String(), nil
}

func replace(old, replacement string, v any) (string, error) {
	s := text(v)
	if strings.Count(s, old)*max(0, len(replacement)-len(old))+len(s) > MaxBytes {
		return "", errTooLong
	}
	return strings.ReplaceAll(s, old, replacement), nil
}

// patterns are the regular expressions that were compiled last.
var patterns struct {
	sync.Mutex
	known map[string]*regexp.Regexp
}

const (
	maxPattern  = 1000 // bytes
	maxPatterns = 1000 // that are remembered
)

// match says whether a regular expression (RE2, of at most 1000 bytes) is found
// in the value.
func match(pattern string, v any) (bool, error) {
	if len(pattern) > maxPattern {
		return false, fmt.Errorf("a regular expression of %d bytes; want at most %d", len(pattern), maxPattern)
	}
	patterns.Lock()
	defer patterns.Unlock()
	re := patterns.known[pattern]
	if re == nil {
		var err error
		if re, err = regexp.Compile(pattern); err != nil {
			return false, err
		}
		if patterns.known == nil || len(patterns.known) >= maxPatterns {
			patterns.known = map[string]*regexp.Regexp{}
		}
		patterns.known[pattern] = re
	}
	return re.MatchString(text(v)), nil
}

// truncate cuts a text to so many characters, the last of which is "…" then.
func truncate(most int, v any) (string, error) {
	s := text(v)
	switch {
	case most < 1:
		return "", fmt.Errorf("truncate to %d characters; want at least 1", most)
	case utf8.RuneCountInString(s) <= most:
		return s, nil
	}
	return string([]rune(s)[:most-1]) + "…", nil
}

// orElse is what stands for an empty value.
func orElse(other, v any) any {
	if truth(v) {
		return v
	}
	return other
}

func truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return v != ""
	case bool:
		return v
	}
	switch rv := reflect.ValueOf(v); rv.Kind() {
	case reflect.Map, reflect.Slice:
		return rv.Len() > 0
	}
	return true // a number is there, also when it is 0
}

// get is the member of an object; "", or what else is said, where there is none.
func get(object any, name string, other ...any) (any, error) {
	members, ok := object.(map[string]any)
	if !ok && truth(object) {
		return nil, fmt.Errorf("get %q: want it of an object such as .labels", name)
	}
	if v, ok := members[name]; ok && v != nil {
		return v, nil
	}
	if len(other) > 0 {
		return other[0], nil
	}
	return "", nil
}

// keys are the names of an object's members, in their order.
func keys(object any) ([]any, error) {
	members, ok := object.(map[string]any)
	if !ok && truth(object) {
		return nil, errors.New("keys: want an object such as .labels")
	}
	return sortedKeys(members), nil
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return short(string(b))
}

// round10 rounds a number to so many digits behind the point. What is no number
// stays as it is.
func round10(digits int, v any) (any, error) {
	if digits < 0 || digits > 15 {
		return nil, fmt.Errorf("round to %d digits; want 0 to 15", digits)
	}
	f, ok := numeric(v)
	if !ok {
		return v, nil
	}
	return strconv.FormatFloat(f, 'f', digits, 64), nil
}

// layouts are the names of ways to write a time, beside Go's layouts.
var layouts = map[string]string{
	"date": time.DateOnly, "time": time.TimeOnly, "datetime": time.DateTime, "rfc3339": time.RFC3339, "rfc1123": time.RFC1123Z, "kitchen": time.Kitchen,
}

// date writes a time: date LAYOUT [ZONE] TIME. The zone is UTC unless said.
// A time that is not there is "".
func date(layout string, more ...any) (string, error) {
	if len(more) == 0 || len(more) > 2 {
		return "", errors.New(`want date LAYOUT [ZONE] TIME, such as date "15:04" "Europe/Prague" .startsAt`)
	}
	at, ok, err := moment(more[len(more)-1])
	if err != nil || !ok {
		return "", err
	}
	at = at.UTC()
	if len(more) == 2 {
		zone, err := time.LoadLocation(text(more[0]))
		if err != nil {
			return "", err
		}
		at = at.In(zone)
	}
	if known, ok := layouts[layout]; ok {
		layout = known
	}
	return short(at.Format(layout))
}

// ago is how long ago a time was, in words.
func ago(now time.Time, v any) (string, error) {
	at, ok, err := moment(v)
	if err != nil || !ok {
		return "", err
	}
	d := now.Sub(at)
	if d < 0 {
		return "in " + rough(-d), nil
	}
	return rough(d) + " ago", nil
}

// rough is a span in its two greatest units.
func rough(d time.Duration) string {
	d = d.Round(time.Second)
	const day = 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// moment reads a time: RFC 3339, or Unix seconds.
func moment(v any) (at time.Time, ok bool, err error) {
	if seconds, isNumber := numeric(v); isNumber {
		return time.UnixMilli(int64(seconds * 1000)), true, nil
	}
	s := text(v)
	if s == "" {
		return at, false, nil
	}
	at, err = time.Parse(time.RFC3339, s)
	if err != nil {
		return at, false, fmt.Errorf("%q is no time", s)
	}
	return at, true, nil
}

func numeric(v any) (float64, bool) {
	switch v := v.(type) {
	case number:
		return float64(v), true
	case float64:
		return v, true
	case int:
		return float64(v), true
	}
	return 0, false
}

func equal(a any, others []any) bool {
	for _, b := range others {
		x, isNumber := numeric(a)
		y, alike := numeric(b)
		switch {
		case isNumber && alike && x == y:
			return true
		case isNumber == alike && !isNumber && text(a) == text(b):
			return true
		}
	}
	return false
}

// compare orders two numbers, or two texts.
func compare(a, b any) (int, error) {
	x, isNumber := numeric(a)
	y, alike := numeric(b)
	switch {
	case isNumber && alike && x < y:
		return -1, nil
	case isNumber && alike && x > y:
		return 1, nil
	case isNumber && alike:
		return 0, nil
	case isNumber != alike:
		return 0, fmt.Errorf("%s and %s cannot be compared; want two numbers or two texts", text(a), text(b))
	}
	return strings.Compare(text(a), text(b)), nil
}
