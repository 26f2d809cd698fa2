package nats

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// Headers of a message.
const (
	timeHeader = "Tocsin-Time" // RFC 3339; occurredAt
	idHeader   = "Nats-Msg-Id" // Sample.ID
)

// message is what both ways of reading bring.
type message struct {
	subject string
	header  nats.Header
	body    []byte
	at      time.Time // when JetStream stored it, or when it came
	id      string    // by its place in the stream; "" without one
	ack     func() error
}

// sample reads a message; one that cannot be read comes as a dead letter.
func (s *source) sample(m message) rules.Sample {
	out, err := s.read(m)
	if out.At.IsZero() {
		out.At = m.at
	}
	if out.ID == "" {
		out.ID = m.id
	}
	if err != nil {
		out.Refused, out.Data = fmt.Sprintf("%s: %v", m.subject, err), m.body
	}
	return out
}

func (s *source) read(m message) (out rules.Sample, err error) {
	if s.Body == sampleBody {
		out, err = sources.ParseLine(m.body, 1)
	} else {
		out.Data = m.body
		out.Twin, out.Feed, err = s.names(m.subject)
	}
	if err != nil {
		return out, err
	}
	if id := m.header.Get(idHeader); id != "" {
		if err := sources.CheckID(id); err != nil {
			return out, fmt.Errorf("header %s: %w", idHeader, err)
		}
		out.ID = id
	}
	if at := m.header.Get(timeHeader); at != "" && out.At.IsZero() {
		if err := out.At.UnmarshalText([]byte(at)); err != nil {
			return out, fmt.Errorf(`header %s: got %q; want a time as RFC 3339 has it, such as "2026-11-22T10:00:00Z"`, timeHeader, at)
		}
		out.At = out.At.UTC()
	}
	out.Data, err = sources.OneLine(out.Data)
	return out, err
}

// names finds the twin and the feed of a subject.
func (s *source) names(subject string) (twin, feed string, err error) {
	tokens := strings.Split(subject, ".")
	last := len(tokens)
	twinToken, feedToken := s.TwinToken, s.FeedToken
	if twinToken == 0 {
		twinToken = last - 1
		if s.Feed != "" {
			twinToken = last
		}
	}
	if feedToken == 0 {
		feedToken = last
	}
	if twin, err = name(tokens, s.Twin, twinToken, "twin"); err != nil {
		return "", "", err
	}
	feed, err = name(tokens, s.Feed, feedToken, "feed")
	return twin, feed, err
}

func name(tokens []string, fixed string, position int, what string) (string, error) {
	if fixed != "" {
		return fixed, nil
	}
	if position < 1 || position > len(tokens) {
		return "", fmt.Errorf("subject of %d tokens; want the %s at %d", len(tokens), what, max(position, 1))
	}
	decoded, err := url.PathUnescape(tokens[position-1])
	if err != nil {
		return "", fmt.Errorf("token %d: %w; want the %s with %% only before two hexadecimal digits", position, err, what)
	}
	return decoded, nil
}

// streamID identifies a message of a stream that has no id of its own, so that
// one that comes again is known.
func streamID(stream string, sequence uint64) string {
	return stream + "/" + strconv.FormatUint(sequence, 10)
}
