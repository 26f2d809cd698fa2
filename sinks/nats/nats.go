// Package nats is the sink that publishes outcomes under names which stay the
// same whatever the engine's own streams look like, for any NATS client:
//
//	alerts.v1.{space}.{severity}.{interaction:rule}.{twin}.{event}   event: raised or cleared
//	notify.v1.{space}.{topic}
//	outputs.v1.{space}.{interaction}.{twin}.{feed}
//
// In each token the characters . * > / + # %, blanks and control characters are
// percent-encoded; an empty one is a lone %. The body is the outcome's JSON, the
// header Nats-Msg-Id its EventID.
package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

const (
	idHeader = "Nats-Msg-Id"
	// dialTimeout bounds one try to connect.
	dialTimeout = 5 * time.Second
	// patience bounds how long the server may take to say that it has a message.
	patience = 10 * time.Second
	// longestSubject leaves room for the rest of a line of the protocol, which is 4096 bytes at most.
	longestSubject = 3000
)

type sink struct {
	dial  func(context.Context) (*nats.Conn, error)
	space string
	turn  chan struct{} // held by whoever looks at nc
	nc    *nats.Conn
	over  bool
}

// Deliver publishes the outcome and returns nil when the server has it. What
// has no subject, or a too long one, or a body larger than the server takes, is
// Permanent.
func (s *sink) Deliver(ctx context.Context, o rules.Outcome) error {
	subject, err := s.subject(&o)
	if err != nil {
		return sinks.Permanent(fmt.Errorf("nats sink: %w", err))
	}
	m := nats.NewMsg(subject)
	m.Header.Set(idHeader, o.EventID())
	m.Data = o.AppendJSON(nil)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = s.publish(ctx, m)
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return sinks.Permanent(fmt.Errorf("nats sink: %d bytes on %s: %w", len(m.Data), subject, err))
	case err != nil:
		return fmt.Errorf("nats sink: %w", err)
	}
	return nil
}

func (s *sink) publish(ctx context.Context, m *nats.Msg) error {
	nc, err := s.conn(ctx)
	if err != nil {
		return err
	}
	before := nc.LastError()
	if err := nc.PublishMsg(m); err != nil {
		return err
	}
	if err := nc.FlushWithContext(ctx); err != nil {
		return err
	}
	// A server that lets us not publish says so before it answers the flush. It
	// may have meant another outcome: then this one goes twice, with one id.
	if after := nc.LastError(); after != before && errors.Is(after, nats.ErrPermissionViolation) { //nolint:errorlint // another instance, not another kind
		return after
	}
	return nil
}

// conn is the connection, made by the first who needs it.
func (s *sink) conn(ctx context.Context) (*nats.Conn, error) {
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	switch {
	case s.over:
		return nil, errors.New("closed")
	case s.nc != nil && !s.nc.IsClosed():
		return s.nc, nil
	}
	nc, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	s.nc = nc
	return nc, nil
}

func (s *sink) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sink) release() { <-s.turn }

// Close ends the connection, if there has been need for one.
func (s *sink) Close() error {
	s.turn <- struct{}{}
	defer s.release()
	s.over = true
	if s.nc != nil {
		s.nc.Close()
	}
	return nil
}

func (s *sink) subject(o *rules.Outcome) (string, error) {
	rule := o.Interaction + ":" + o.Rule
	var subject string
	switch o.Kind {
	case rules.Alert:
		event := o.Event()
		if event == "" {
			return "", fmt.Errorf("alert in state %q; want firing or resolved", o.State)
		}
		subject = join("alerts.v1", s.space, token(o.Severity), token(rule), token(o.Twin), event)
	case rules.Notification:
		subject = join("notify.v1", s.space, token(o.Topic))
	case rules.Output:
		subject = join("outputs.v1", s.space, token(o.Interaction), token(o.Twin), token(o.Feed))
	default:
		return "", fmt.Errorf("no subject for a %s; want alert, notification or output", o.Kind)
	}
	if len(subject) > longestSubject {
		return "", fmt.Errorf("subject of %d bytes; want at most %d", len(subject), longestSubject)
	}
	return subject, nil
}

func join(tokens ...string) string { return strings.Join(tokens, ".") }

// token makes a name fit for one token of a subject.
func token(name string) string {
	if name == "" {
		return "%"
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c == 0x7f || strings.IndexByte(".*>/+#%", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
