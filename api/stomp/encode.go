package stomp

import (
	"strconv"
	"strings"

	"github.com/go-stomp/stomp/v3/frame"
)

// appendHeader appends a header as the version writes it.
func appendHeader(b []byte, v version, name, value string) []byte {
	b = appendEscaped(b, v, name)
	b = append(b, ':')
	b = appendEscaped(b, v, value)
	return append(b, '\n')
}

// appendEscaped escapes as frame.Writer does. STOMP 1.1 knows no escape for a
// carriage return, and 1.0 none at all: there a newline becomes a blank.
func appendEscaped(b []byte, v version, text string) []byte {
	if !strings.ContainsAny(text, "\\:\r\n") {
		return append(b, text...)
	}
	for i := range len(text) {
		switch c := text[i]; {
		case v == v10 && (c == '\n' || c == '\r'):
			b = append(b, ' ')
		case v == v10, c == '\r' && v == v11:
			b = append(b, c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == ':':
			b = append(b, `\c`...)
		case c == '\\':
			b = append(b, `\\`...)
		default:
			b = append(b, c)
		}
	}
	return b
}

// appendBody appends the length, the end of the headers, the parts of a body, and
// the end of the frame.
func appendBody(b []byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	b = append(b, frame.ContentLength+":"...)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, "\n\n"...)
	for _, p := range parts {
		b = append(b, p...)
	}
	return append(b, 0)
}

// encode is a frame with headers in pairs.
func encode(v version, command string, body []byte, headers ...string) []byte {
	b := make([]byte, 0, 128+len(body))
	b = append(b, command...)
	b = append(b, '\n')
	for i := 0; i+1 < len(headers); i += 2 {
		b = appendHeader(b, v, headers[i], headers[i+1])
	}
	if body == nil {
		return append(b, "\n\x00"...)
	}
	return appendBody(b, body)
}

// beat is a heart-beat.
var beat = []byte{'\n'}
