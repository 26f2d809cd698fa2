// Package mqtt is the sink that publishes outcomes to a broker of MQTT 5, such as
// Mosquitto. With QoS 1 and 2 an outcome has arrived when the broker has
// acknowledged it; with QoS 0 when it was sent.
package mqtt

import (
	"context"
	"fmt"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

const (
	idProperty = "tocsin-id" // the outcome's EventID: the same on every attempt
	// longestProperty bounds what an outcome says in a property; what is longer is in the payload only.
	longestProperty = 1000
)

type sink struct {
	Config
	conn *sinks.Connection[*link]
}

func newSink(c Config) *sink {
	return &sink{c, sinks.NewConnection(func(ctx context.Context) (*link, error) { return dial(ctx, &c) })}
}

// Deliver publishes the outcome, and, where states are retained, the alert's.
// Any number of deliveries share the connection. What has no topic, or one on
// which nobody can publish, or is larger than the broker takes, is Permanent; so
// is what the broker refuses because of the message itself. Everything else is
// again later, also who may not publish: an operator can mend it.
func (s *sink) Deliver(ctx context.Context, o rules.Outcome) error {
	messages, err := s.messages(&o)
	if err != nil {
		return sinks.Permanent(s.wrong(err))
	}
	sinks.NoteOf(ctx).Request = "publish " + messages[0].Topic
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	l, _, err := s.conn.Get(ctx)
	if err != nil {
		return s.wrong(err)
	}
	for _, m := range messages {
		if err := l.publish(ctx, m); err != nil {
			return s.wrong(err)
		}
	}
	return nil
}

// Close ends the connection, if there has been need for one. The broker does not
// publish the will then.
func (s *sink) Close() error { return s.conn.Close() }

func (s *sink) wrong(err error) error { return fmt.Errorf("mqtt sink %s: %w", s.server(), err) }

// messages are those of an outcome.
func (s *sink) messages(o *rules.Outcome) ([]*paho.Publish, error) {
	topic, err := s.Topics.Of(o, s.Space, token)
	if err != nil {
		return nil, err
	}
	if err := checkTopic(topic, s.Topics.Begins(o.Kind, "$")); err != nil {
		return nil, err
	}
	out := []*paho.Publish{s.message(o, topic)}
	if s.Retain != retainState || o.Kind != rules.Alert {
		return out, nil
	}
	topic, err = (&sinks.Addresses{Alert: s.StateTopic}).Of(o, s.Space, token)
	if err != nil {
		return nil, err
	}
	if err := checkTopic(topic, false); err != nil {
		return nil, err
	}
	state := s.message(o, topic)
	state.Retain = true
	if o.State == rules.StateResolved {
		state.Payload = nil // so that the broker forgets the topic
	}
	return append(out, state), nil
}

func (s *sink) message(o *rules.Outcome, topic string) *paho.Publish {
	p := &paho.PublishProperties{ContentType: "application/json"}
	for _, u := range []paho.UserProperty{
		{Key: idProperty, Value: o.EventID()},
		{Key: "kind", Value: string(o.Kind)},
		{Key: "interaction", Value: o.Interaction},
		{Key: "rule", Value: o.Rule},
		{Key: "twin", Value: o.Twin},
		{Key: "severity", Value: o.Severity},
		{Key: "event", Value: o.Event()},
	} {
		if u.Value != "" && len(u.Value) <= longestProperty && isText(u.Value) {
			p.User = append(p.User, u)
		}
	}
	return &paho.Publish{QoS: s.QoS, Topic: topic, Properties: p, Payload: o.AppendJSON(nil)}
}

func token(name string) string { return sinks.Token(name, "") }

// verdict is the error of what the broker has answered.
func verdict(code byte, text string) error {
	if code < 0x80 {
		return nil
	}
	err := fmt.Errorf("the broker says %#x %s", code, text)
	switch code {
	case packets.PubackTopicNameInvalid, packets.PubackPayloadFormatInvalid, packets.DisconnectPacketTooLarge:
		return sinks.Permanent(err)
	}
	return err
}
