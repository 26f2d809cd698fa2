package scan

import "unicode/utf8"

// marks says what the bytes of a text do not show at once.
type marks uint8

const (
	backslash marks = 1 << iota
	beyondASCII
)

// escaped says whether a text that has marks must be decoded.
func (m marks) escaped(token []byte) bool {
	return m&backslash != 0 || !utf8.Valid(token)
}

// skipText skips the text whose opening quote is at p.
func skipText(text []byte, p int) (end int, m marks) {
	var seen uint64 // all words, to tell whether a byte is beyond ASCII
	for p++; ; {
		var w uint64
		if within(text, p, 8) {
			w = eight(text, p)
		} else {
			w = upToEight(text, p)
		}
		ends := textEnds(w)
		if ends == 0 {
			seen |= w
			p += 8
			continue
		}
		size := firstMark(ends)
		seen |= w & below(size)
		p += int(size / 8)
		switch byte(w >> size) {
		case '"':
			if seen&highs != 0 {
				m |= beyondASCII
			}
			return p + 1, m
		case '\\':
			m |= backslash
			if p = skipEscape(text, p); p < 0 {
				return failed, m
			}
		default: // a control character, or the end of the sample
			return failed, m
		}
	}
}

// skipEscape skips the escape whose backslash is at p.
func skipEscape(text []byte, p int) int {
	if p+1 >= len(text) {
		return failed
	}
	switch text[p+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return p + 2
	case 'u':
		if hex4(text[p+2:]) >= 0 {
			return p + 6
		}
	}
	return failed
}

// hex4 reads four hexadecimal digits, or gives -1.
func hex4(text []byte) rune {
	if len(text) < 4 {
		return -1
	}
	var r rune
	for _, c := range text[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
