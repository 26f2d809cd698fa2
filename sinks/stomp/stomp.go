// Package stomp is the sink that sends outcomes to a STOMP broker, such as
// RabbitMQ and ActiveMQ. An outcome has arrived when the broker has given the
// receipt for it.
package stomp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-stomp/stomp/v3/frame"

	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

const (
	idHeader = "tocsin-id" // the outcome's EventID: the same on every attempt
	// longestDestination leaves room for the other headers in what brokers take.
	longestDestination = 3000
	// longestHeader bounds what an outcome says in a header; what is longer is in the body only.
	longestHeader = 1000
)

type sink struct {
	Config
	conn *sinks.Connection[*link]
}

// Deliver sends the outcome and waits for its receipt. Any number of deliveries
// share the connection. What has no destination, or a too long one, is Permanent;
// whatever the broker says in an ERROR frame is again later, because an operator
// can mend it (who may write where, room on its disk).
func (s *sink) Deliver(ctx context.Context, o rules.Outcome) error {
	f, err := s.frame(&o)
	if err != nil {
		return sinks.Permanent(fmt.Errorf("stomp sink %s: %w", s.Server(), err))
	}
	sinks.NoteOf(ctx).Request = "SEND " + f.Header.Get(frame.Destination)
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if err := s.deliver(ctx, f); err != nil {
		return fmt.Errorf("stomp sink %s: %w", s.Server(), err)
	}
	return nil
}

// deliver sends a second time, on a new connection, when the one that was there
// had ended while nobody used it.
func (s *sink) deliver(ctx context.Context, f *frame.Frame) error {
	l, fresh, err := s.conn.Get(ctx)
	if err != nil {
		return err
	}
	err = l.send(ctx, f)
	if fresh || !errors.Is(err, errEnded) || ctx.Err() != nil {
		return err
	}
	if l, _, err = s.conn.Get(ctx); err != nil {
		return err
	}
	return l.send(ctx, f)
}

// Close ends the connection, if there has been need for one.
func (s *sink) Close() error { return s.conn.Close() }

// frame is the message of an outcome, without its receipt.
func (s *sink) frame(o *rules.Outcome) (*frame.Frame, error) {
	destination, err := s.Destinations.Of(o, s.Space, token)
	if err != nil {
		return nil, err
	}
	if len(destination) > longestDestination {
		return nil, fmt.Errorf("destination of %d bytes; want at most %d", len(destination), longestDestination)
	}
	f := frame.New(frame.SEND, frame.Destination, destination, idHeader, o.EventID(), frame.ContentType, "application/json")
	if s.Persistent {
		f.Header.Add("persistent", "true")
	}
	for _, h := range []struct{ name, value string }{
		{"kind", string(o.Kind)}, {"interaction", o.Interaction}, {"rule", o.Rule}, {"twin", o.Twin}, {"severity", o.Severity}, {"event", o.Event()},
	} {
		if fitsHeader(h.value) {
			f.Header.Add(h.name, h.value)
		}
	}
	for name, value := range s.MessageHeaders {
		f.Header.Add(name, value)
	}
	f.Body = o.AppendJSON(nil)
	f.Header.Add(frame.ContentLength, fmt.Sprint(len(f.Body)))
	return f, nil
}

func fitsHeader(value string) bool {
	return value != "" && len(value) <= longestHeader && utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl)
}

// token also encodes what separates destinations, and what begins their options, in ActiveMQ.
func token(name string) string { return sinks.Token(name, ",?") }
