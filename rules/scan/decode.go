package scan

import (
	"unicode/utf16"
	"unicode/utf8"
)

// AppendText appends what a JSON text, quotes included, decodes to. As in
// encoding/json, lone surrogates and invalid UTF-8 become U+FFFD. The token must
// be valid JSON.
func AppendText(dst, token []byte) []byte {
	token = token[1 : len(token)-1]
	for len(token) > 0 {
		if c := token[0]; c != '\\' && c < utf8.RuneSelf {
			dst = append(dst, c)
			token = token[1:]
			continue
		}
		r, size := decodeRune(token)
		dst = utf8.AppendRune(dst, r)
		token = token[size:]
	}
	return dst
}

// AppendLine appends a JSON value on one line: without blanks between tokens,
// numbers and texts as written, but with U+FFFD for invalid UTF-8. The value must
// be valid JSON.
func AppendLine(dst, value []byte) []byte {
	for p := 0; p < len(value); {
		switch c := value[p]; {
		case c == '"':
			end, m := skipText(value, p)
			dst = appendText(dst, value[p:end], m)
			p = end
		case c > ' ':
			dst = append(dst, c)
			p++
		default:
			p++
		}
	}
	return dst
}

// appendText appends a text as it is written, but for invalid UTF-8.
func appendText(dst, token []byte, m marks) []byte {
	if m&beyondASCII == 0 || utf8.Valid(token) {
		return append(dst, token...)
	}
	for len(token) > 0 {
		r, size := utf8.DecodeRune(token)
		dst = utf8.AppendRune(dst, r)
		token = token[size:]
	}
	return dst
}

// decodeRune gives the first character of a text, escaped or not, and how many
// bytes it takes. Two escapes that are a surrogate pair are one character.
func decodeRune(text []byte) (rune, int) {
	if text[0] != '\\' {
		return utf8.DecodeRune(text)
	}
	switch text[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return decodeHex(text)
	}
	return rune(text[1]), 2
}

func decodeHex(text []byte) (rune, int) {
	r := hex4(text[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(text) >= 12 && text[6] == '\\' && text[7] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(text[8:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}
