// Package nats is the sink that publishes outcomes under names which stay the
// same whatever the engine's own streams look like, for any NATS client:
//
//	alerts.v1.{space}.{severity}.{interaction:rule}.{twin}.{event}   event: raised or cleared
//	notify.v1.{space}.{topic}
//	outputs.v1.{space}.{interaction}.{twin}.{feed}
//	stickers.v1.{space}.{twin}.{color}.{event}                     event: put or remove
//
// In each token the characters . * > / + # %, blanks and control characters are
// percent-encoded; an empty one is a lone %. The body is the outcome's JSON, the
// header Nats-Msg-Id its EventID.
package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

const (
	idHeader = "Nats-Msg-Id"
	// dialTimeout bounds one try to connect.
	dialTimeout = 5 * time.Second
	// patience bounds how long the server may take to say that it has a message.
	patience = 10 * time.Second
	// A NATS server stores what its MQTT clients publish with a QoS over 0 at mqttKept and
	// the subject, for those who have asked for a QoS over 0, and says the QoS in qosHeader.
	qosHeader = "Nmqtt-Pub"
	mqttKept  = "$MQTT.msgs."
	// longestSubject leaves room for the rest of a line of the protocol, which is 4096 bytes at most.
	longestSubject = 3000
)

var subjects = sinks.Addresses{
	Alert:        sinks.MustAddress("alerts.v1.{space}.{severity}.{interaction}:{rule}.{twin}.{event}"),
	Notification: sinks.MustAddress("notify.v1.{space}.{topic}"),
	Output:       sinks.MustAddress("outputs.v1.{space}.{interaction}.{twin}.{feed}"),
	Sticker:      sinks.MustAddress("stickers.v1.{space}.{twin}.{color}.{event}"),
}

type sink struct {
	Config
	conn *sinks.Connection[*link]
}

// link is one connection.
type link struct {
	nc *nats.Conn
	js jetstream.JetStream
}

func newLink(nc *nats.Conn) (*link, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &link{nc, js}, nil
}

// Ended implements sinks.Link.
func (l *link) Ended() bool { return l.nc.IsClosed() }

// Close implements sinks.Link.
func (l *link) Close() error {
	l.nc.Close()
	return nil
}

// Deliver publishes the outcome and returns nil when the server has it, or, where
// a stream is wanted, when the stream there has stored it. What has no subject, or a too long one, or a body larger than the server takes, is
// Permanent.
func (s *sink) Deliver(ctx context.Context, o rules.Outcome) error {
	subject, err := s.subject(&o)
	if err != nil {
		return sinks.Permanent(fmt.Errorf("nats sink: %w", err))
	}
	m := nats.NewMsg(subject)
	m.Header.Set(idHeader, o.EventID())
	m.Data = o.AppendJSON(nil)
	sinks.NoteOf(ctx).Request = "publish " + subject
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
	l, _, err := s.conn.Get(ctx)
	if err != nil {
		return err
	}
	before := l.nc.LastError()
	if s.MQTT {
		err = l.keepForMQTT(ctx, m)
	}
	if err == nil {
		err = l.send(ctx, m, s.Stream)
	}
	// A server that lets us not publish says so before it answers the flush, and
	// gives no acknowledgement. It may have meant another outcome: then this one
	// goes twice, with one id.
	if after := l.nc.LastError(); after != before && errors.Is(after, nats.ErrPermissionViolation) { //nolint:errorlint // another instance, not another kind
		return after
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		return fmt.Errorf("no stream takes %s: %w", m.Subject, err)
	}
	return err
}

// send waits until the server, or a stream there, has the message.
func (l *link) send(ctx context.Context, m *nats.Msg, stream bool) error {
	if stream {
		_, err := l.js.PublishMsg(ctx, m)
		return err
	}
	if err := l.nc.PublishMsg(m); err != nil {
		return err
	}
	return l.nc.FlushWithContext(ctx)
}

// keepForMQTT stores the message as the server does what its MQTT clients publish. A
// server to which none has ever come has no stream for it, and nobody who would miss it.
func (l *link) keepForMQTT(ctx context.Context, m *nats.Msg) error {
	m.Header.Set(qosHeader, "1")
	kept := &nats.Msg{Subject: mqttKept + m.Subject, Header: m.Header, Data: m.Data}
	_, err := l.js.PublishMsg(ctx, kept)
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		return nil
	}
	return err
}

// Close ends the connection, if there has been need for one.
func (s *sink) Close() error { return s.conn.Close() }

func (s *sink) subject(o *rules.Outcome) (string, error) {
	subject, err := subjects.Of(o, s.Space, token)
	switch {
	case err != nil:
		return "", err
	case len(subject) > longestSubject:
		return "", fmt.Errorf("subject of %d bytes; want at most %d", len(subject), longestSubject)
	}
	return subject, nil
}

func token(name string) string { return sinks.Token(name, "") }
