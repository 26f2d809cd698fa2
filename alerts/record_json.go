package alerts

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"tocsin.internal/rules"
)

// AppendJSON appends the record as one line of JSON without the line's end: its
// last outcome's, with the members "times" and "comments" beside the others.
func (r *Record) AppendJSON(b []byte) []byte {
	b = r.Outcome.AppendJSON(b)
	b = r.Times.append(append(b[:len(b)-1], `,"times":`...))
	b = append(b, `,"comments":[`...)
	for i := range r.Comments {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.Comments[i].append(b)
	}
	return append(b, "]}"...)
}

func (t *Times) append(b []byte) []byte {
	b = appendTimeOrNull(append(b, `{"pending":`...), t.Pending)
	b = appendTimeOrNull(append(b, `,"raised":`...), t.Raised)
	b = appendTimeOrNull(append(b, `,"changed":`...), t.Changed)
	b = appendTimeOrNull(append(b, `,"acked":`...), t.Acked)
	b = appendTimeOrNull(append(b, `,"cleared":`...), t.Cleared)
	b = appendTimeOrNull(append(b, `,"closed":`...), t.Closed)
	b = appendTimeOrNull(append(b, `,"expires":`...), t.Expires)
	return append(b, '}')
}

func (c *Comment) append(b []byte) []byte {
	b = appendTime(append(b, `{"at":`...), c.At)
	b = appendText(append(b, `,"by":`...), c.By)
	b = appendText(append(b, `,"text":`...), c.Text)
	return append(appendText(append(b, `,"action":`...), c.Action), '}')
}

func appendTimeOrNull(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	return appendTime(b, t)
}

// appendTime quotes t in RFC 3339, in UTC.
func appendTime(b []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

// appendText quotes s, with what is not UTF-8 in it replaced.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // its only error is invalid UTF-8, which it has replaced
	return b
}

// DecodeRecord reads what AppendJSON has written.
func DecodeRecord(b []byte) (Record, error) {
	o, err := rules.DecodeOutcome(b)
	if err != nil {
		return Record{}, fmt.Errorf("alert record: %w", err)
	}
	if !isAlert(&o) {
		return Record{}, errors.New("alert record: not the outcome of an alert with its key and number")
	}
	var w struct {
		Times struct {
			Pending time.Time `json:"pending"`
			Raised  time.Time `json:"raised"`
			Changed time.Time `json:"changed"`
			Acked   time.Time `json:"acked"`
			Cleared time.Time `json:"cleared"`
			Closed  time.Time `json:"closed"`
			Expires time.Time `json:"expires"`
		} `json:"times"`
		Comments []struct {
			At     time.Time `json:"at"`
			By     string    `json:"by"`
			Text   string    `json:"text"`
			Action string    `json:"action"`
		} `json:"comments"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return Record{}, fmt.Errorf("alert record: %w", err)
	}
	r := Record{Outcome: o, Times: Times(w.Times)}
	for _, c := range w.Comments {
		r.Comments = append(r.Comments, Comment(c))
	}
	return r, nil
}
