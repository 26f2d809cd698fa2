package logic

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

// truthy: false, null, 0, NaN, "" and [] are not; all else is.
func truthy(v any) bool {
	switch x := v.(type) {
	case nil:
		return false
	case bool:
		return x
	case float64:
		return x != 0 && x == x
	case string:
		return x != ""
	case []any:
		return len(x) > 0
	}
	return true
}

// numberOrNaN is JavaScript's Number of a scalar; lists and objects are NaN.
func (m *machine) numberOrNaN(v any) (float64, *Error) {
	switch x := v.(type) {
	case float64:
		return x, nil
	case nil:
		return 0, nil
	case bool:
		if x {
			return 1, nil
		}
		return 0, nil
	case string:
		if err := m.readText(x); err != nil {
			return 0, err
		}
		return textNumber(x), nil
	}
	return math.NaN(), nil
}

// number fails where there is no number.
func (m *machine) number(v any) (float64, *Error) {
	f, err := m.numberOrNaN(v)
	if err == nil && f != f {
		err = errNaN
	}
	return f, err
}

// leadingNumber is number, but of a text the number that it begins with.
func (m *machine) leadingNumber(v any) (float64, *Error) {
	s, ok := v.(string)
	if !ok {
		return m.number(v)
	}
	if err := m.readText(s); err != nil {
		return 0, err
	}
	f := leadingNumber(s)
	if f != f {
		return 0, errNaN
	}
	return f, nil
}

// leadingNumber is JavaScript's parseFloat, except that a blank text is 0, as
// the suites have it.
func leadingNumber(s string) float64 {
	s = strings.TrimFunc(s, isSpace)
	if s == "" {
		return 0
	}
	return decimal(s[:decimalPrefix(s)])
}

// textNumber is JavaScript's Number of a text.
func textNumber(s string) float64 {
	s = strings.TrimFunc(s, isSpace)
	if s == "" {
		return 0
	}
	if len(s) > 2 && s[0] == '0' {
		switch s[1] | 0x20 {
		case 'x':
			return digits(s[2:], 16)
		case 'o':
			return digits(s[2:], 8)
		case 'b':
			return digits(s[2:], 2)
		}
	}
	if decimalPrefix(s) < len(s) {
		return math.NaN()
	}
	return decimal(s)
}

// isSpace is JavaScript's white space.
func isSpace(r rune) bool {
	switch r {
	case '\t', '\n', '\v', '\f', '\r', ' ', '\u00a0', '\ufeff', '\u2028', '\u2029':
		return true
	}
	return unicode.Is(unicode.Zs, r)
}

// decimalPrefix is how many bytes of s make a decimal number of JavaScript.
func decimalPrefix(s string) int {
	i := 0
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	if strings.HasPrefix(s[i:], "Infinity") {
		return i + len("Infinity")
	}
	before := digitsPrefix(s[i:])
	i += before
	after := 0
	if i < len(s) && s[i] == '.' {
		after = digitsPrefix(s[i+1:])
		if before+after > 0 {
			i += 1 + after
		}
	}
	if before+after == 0 {
		return 0
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		e := i + 1
		if e < len(s) && (s[e] == '+' || s[e] == '-') {
			e++
		}
		if n := digitsPrefix(s[e:]); n > 0 {
			return e + n
		}
	}
	return i
}

func digitsPrefix(s string) int {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}

// decimal is the value of a decimal number; "" is NaN. Too large is infinite.
func decimal(s string) float64 {
	if s == "" {
		return math.NaN()
	}
	f, _ := strconv.ParseFloat(s, 64)
	return f
}

// digits is the value of a whole number in another base.
func digits(s string, base int) float64 {
	if strings.Trim(s, "0123456789abcdefABCDEF") != "" {
		return math.NaN()
	}
	n, ok := new(big.Int).SetString(s, base)
	if !ok {
		return math.NaN()
	}
	f, _ := n.Float64()
	return f
}

// text is JavaScript's String of a value.
func (m *machine) text(v any) (string, *Error) {
	if s, ok := v.(string); ok {
		return s, m.readText(s)
	}
	b, err := appendText(nil, v, 0)
	if err != nil {
		return "", err
	}
	return string(b), m.writeText(len(b))
}

// appendText appends JavaScript's String of a value. A list can hold itself many
// times over, so the length is bounded here.
func appendText(b []byte, v any, depth int) ([]byte, *Error) {
	if depth > maxResultDepth || len(b) > MaxWork {
		return nil, errLimit
	}
	switch x := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, x), nil
	case float64:
		return appendNumber(b, x), nil
	case string:
		return append(b, x...), nil
	case []any:
		for i, e := range x {
			if i > 0 {
				b = append(b, ',')
			}
			if e == nil {
				continue
			}
			var err *Error
			if b, err = appendText(b, e, depth+1); err != nil {
				return nil, err
			}
		}
		return b, nil
	}
	return append(b, "[object Object]"...), nil
}

// appendNumber appends JavaScript's String of a number.
func appendNumber(b []byte, f float64) []byte {
	switch abs := math.Abs(f); {
	case math.IsNaN(f):
		return append(b, "NaN"...)
	case math.IsInf(f, 1):
		return append(b, "Infinity"...)
	case math.IsInf(f, -1):
		return append(b, "-Infinity"...)
	case f == 0:
		return append(b, '0') // also -0
	case abs >= 1e-6 && abs < 1e21:
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); b[n-4] == 'e' && b[n-2] == '0' { // e-07 is written e-7
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}
