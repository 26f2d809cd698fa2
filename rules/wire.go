package rules

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendLine appends the sample as one line of NDJSON, without the newline:
// {"twin","feed","occurredAt","data"}. Data must be valid JSON without a newline.
func (s *Sample) AppendLine(b []byte) []byte {
	b = append(b, `{"twin":`...)
	b = appendQuoted(b, s.Twin)
	b = append(b, `,"feed":`...)
	b = appendQuoted(b, s.Feed)
	if !s.At.IsZero() {
		b = append(b, `,"occurredAt":"`...)
		b = s.At.UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	b = append(b, `,"data":`...)
	b = append(b, s.Data...)
	return append(b, '}')
}

// appendQuoted appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // its only error is invalid UTF-8, which it has replaced
	return b
}

// Event is the transition that an alert's outcome tells of, by the name that
// subjects use: raised or cleared. Other kinds have none.
func (o *Outcome) Event() string {
	switch o.State {
	case StateFiring:
		return "raised"
	case StateResolved:
		return "cleared"
	}
	return ""
}
