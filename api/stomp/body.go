package stomp

import (
	"encoding/base64"
	"sync"
	"time"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// message is an event, with what all who are told of it have in common.
type message struct {
	event *engine.Event
	once  sync.Once
	json  []byte
}

// payload is the sample or the message as the IOTICS API has it.
func (m *message) payload() []byte {
	m.once.Do(func() {
		e := m.event
		b := make([]byte, 0, base64.StdEncoding.EncodedLen(len(e.Data))+len(e.Mime)+80)
		b = append(b, `{"data":"`...)
		b = base64.StdEncoding.AppendEncode(b, e.Data)
		b = append(b, `","mime":`...)
		b = rules.AppendText(b, e.Mime)
		b = append(b, `,"occurredAt":"`...)
		b = e.At.UTC().AppendFormat(b, time.RFC3339Nano)
		m.json = append(b, `"}`...)
	})
	return m.json
}

// envelope is what stands before and after the payload in the body of a
// destination of the IOTICS API; nil where the payload is the body.
func (s *Server) envelope(d *destination) (before, after []byte) {
	switch d.form {
	case feedForm:
		b := s.Space.AppendInterest([]byte(`{"interest":`), d.names["follower"], d.topic.Twin, d.topic.Name)
		return append(b, `,"feedData":`...), []byte("}")
	case inputForm:
		b := s.Space.AppendInputID([]byte(`{"inputId":`), d.topic.Twin, d.topic.Name)
		return append(b, `,"message":`...), []byte("}")
	default:
		return nil, nil
	}
}
