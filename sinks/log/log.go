// Package log is the sink that writes each outcome as a line, for people or
// for programs.
package log

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

// Config says how a line looks.
type Config struct {
	Format string `json:"format"` // json, or text
}

// The formats of Config.
const (
	jsonFormat = "json"
	textFormat = "text"
)

type sink struct {
	line func([]byte, *rules.Outcome) []byte
	mu   sync.Mutex
	w    io.Writer
}

// New makes the sink of its Config, which may be absent; it writes each line to
// w in one call.
func New(raw strictjson.Raw, w io.Writer) (sinks.Sink, error) {
	c := Config{Format: jsonFormat}
	if !raw.IsZero() {
		if err := raw.Decode(&c); err != nil {
			return nil, err
		}
	}
	switch c.Format {
	case jsonFormat:
		return &sink{line: jsonLine, w: w}, nil
	case textFormat:
		return &sink{line: textLine, w: w}, nil
	}
	return nil, raw.Member("format").At.Errorf("got %q; want json or text", c.Format)
}

// Deliver writes one line.
func (s *sink) Deliver(ctx context.Context, o rules.Outcome) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	line := append(s.line(nil, &o), '\n')
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.w.Write(line); err != nil {
		return fmt.Errorf("log sink: %w", err)
	}
	return nil
}

func jsonLine(b []byte, o *rules.Outcome) []byte { return o.AppendJSON(b) }

// textLine is one line for a person: when, what, by which rule, of whom, and the summary or the data.
func textLine(b []byte, o *rules.Outcome) []byte {
	b = append(o.At.UTC().AppendFormat(b, time.RFC3339Nano), ' ')
	b = append(b, printable(string(o.Kind))...)
	for _, word := range []string{o.Event(), o.Severity, o.Interaction + "/" + o.Rule, o.Twin, o.Feed, o.Topic} {
		if word != "" && word != "/" {
			b = append(append(b, ' '), printable(word)...)
		}
	}
	b = append(b, ": "...)
	if o.Summary != "" {
		b = append(append(b, printable(o.Summary)...), ' ')
	}
	if does := o.Does(); does != "" {
		b = append(append(b, printable(does)...), ' ')
	}
	return append(b, printable(string(o.Data))...)
}

// printable is the text as it is, or quoted when it could break the line or a terminal.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(s)
	}
	return s
}
