package logic

import (
	"math"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// cat joins its operands as texts; null is empty.
func cat(m *machine, operands []any) (any, *Error) {
	var out []byte
	for _, v := range operands {
		if v == nil {
			continue
		}
		var err *Error
		if out, err = appendText(out, v, 0); err != nil {
			return nil, err
		}
	}
	if err := m.writeText(len(out)); err != nil {
		return nil, err
	}
	return string(out), nil
}

// substr cuts a text as JavaScript's substr does, in UTF-16 units: a negative
// start counts from the end. A negative length is how much to leave out at the
// end.
func substr(m *machine, operands []any) (any, *Error) {
	if len(operands) == 0 {
		return nil, errInvalid
	}
	s, err := m.text(operands[0])
	if err != nil {
		return nil, err
	}
	if err := m.writeText(len(s)); err != nil {
		return nil, err
	}
	n := textLength(s)
	from, err := m.numberOrNaN(operand(operands, 1))
	if err != nil {
		return nil, err
	}
	start := whole(from, n)
	if start < 0 {
		start += n
	}
	if len(operands) < 3 {
		return substring(s, start, n), nil
	}
	length, err := m.numberOrNaN(operands[2])
	if err != nil {
		return nil, err
	}
	if length < 0 {
		length += float64(n - start)
	}
	return substring(s, start, min(n, start+whole(length, n))), nil
}

// whole cuts a number to a whole one between -most and most; NaN is 0.
func whole(f float64, most int) int {
	if math.IsNaN(f) {
		return 0
	}
	return int(math.Trunc(max(-float64(most), min(float64(most), f))))
}

// in looks for a part of a text or, by identity, for an element of a list;
// there is nothing in anything else.
func in(m *machine, operands []any) (any, *Error) {
	needle := operand(operands, 0)
	switch haystack := operand(operands, 1).(type) {
	case string:
		if haystack == "" {
			return false, nil // not even the empty text, as in JavaScript
		}
		part, err := m.text(needle)
		if err != nil {
			return nil, err
		}
		return strings.Contains(haystack, part), m.readText(haystack)
	case []any:
		if err := m.spend(len(haystack)); err != nil {
			return nil, err
		}
		for _, e := range haystack {
			same, err := m.identical(needle, e)
			if same || err != nil {
				return same, err
			}
		}
	}
	return false, nil
}

// textLength is the length in UTF-16 units.
func textLength(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}

// substring cuts between two UTF-16 units. Half of a pair becomes U+FFFD.
func substring(s string, start, end int) string {
	if start >= end {
		return ""
	}
	if isASCII(s) {
		return s[start:end]
	}
	return string(utf16.Decode(utf16.Encode([]rune(s))[start:end]))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// compareText orders by UTF-16 units, as JavaScript does. That is the order of
// the bytes, except that characters beyond U+FFFF come before U+E000.
func compareText(a, b string) int {
	n := min(len(a), len(b))
	i := 0
	for i < n && a[i] == b[i] {
		i++
	}
	if i == n {
		return len(a) - len(b)
	}
	const pairs, beyond = 0xF0, 0xEE // first bytes of four-byte characters, and of U+E000
	if (a[i] >= pairs) != (b[i] >= pairs) && a[i] >= beyond && b[i] >= beyond {
		return int(b[i]) - int(a[i])
	}
	return int(a[i]) - int(b[i])
}
