package rules

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"tocsin.internal/rules/scan"
)

// summary is a text with {{field}} in it, split.
type summary []segment

// segment is a literal text, or a field.
type segment struct {
	text string
	path []string
	at   int // in plan.fields
}

func (s segment) isTwin() bool { return len(s.path) == 1 && s.path[0] == "twin" }

// maxSummary is in bytes. A device may send a field of any length, and the
// summary of every firing alert is kept.
const maxSummary = 1024

func parseSummary(text string) (summary, error) {
	var s summary
	for {
		before, rest, found := strings.Cut(text, "{{")
		if before != "" {
			s = append(s, segment{text: before})
		}
		if !found {
			return s, nil
		}
		field, after, found := strings.Cut(rest, "}}")
		if !found {
			return nil, errors.New(`"{{" is not closed; want "}}" after the name of a field`)
		}
		path := strings.Split(strings.TrimSpace(field), ".")
		for _, name := range path {
			if name == "" || strings.Contains(name, "{") {
				return nil, fmt.Errorf("no field is called %q; want {{field}} or {{object.field}}", strings.TrimSpace(field))
			}
		}
		s = append(s, segment{path: path})
		text = after
	}
}

// of fills the summary from a sample. {{twin}} is the twin's id unless the
// sample has a field of that name; a field that is absent or null leaves nothing.
func (s summary) of(v *view, twin string) string {
	var b []byte
	for _, seg := range s {
		if seg.path == nil {
			b = append(b, seg.text...)
			continue
		}
		value := v.raw(seg.at)
		if value == nil && seg.isTwin() {
			b = append(b, twin...)
			continue
		}
		b = appendPlain(b, value)
	}
	return shortened(b)
}

// appendPlain appends a JSON value as people read it: texts without quotes,
// the rest as it was written.
func appendPlain(b, value []byte) []byte {
	switch {
	case len(value) == 0 || value[0] == 'n':
		return b
	case value[0] == '"':
		return scan.AppendText(b, value)
	}
	return scan.AppendLine(b, value)
}

func shortened(b []byte) string {
	if len(b) <= maxSummary {
		return string(b)
	}
	const ellipsis = "…"
	end := maxSummary - len(ellipsis)
	for end > 0 && !utf8.RuneStart(b[end]) {
		end--
	}
	return string(b[:end]) + ellipsis
}
