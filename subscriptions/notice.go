package subscriptions

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Notice is something that happened, of which those who subscribe to a topic are
// told. It is kept as JSON.
type Notice struct {
	ID         string          `json:"-"`       // the same whenever it is told
	Trigger    string          `json:"trigger"` // what happened: "sticker.put", "rule"
	Account    string          `json:"account"` // whose topic it is
	Topic      string          `json:"topic"`
	Twin       string          `json:"twin"`
	Event      json.RawMessage `json:"event"` // any JSON value
	At         time.Time       `json:"at"`
	Recipients []string        `json:"recipients,omitempty"` // ids of users, roles or accounts; none: all who subscribe
	Also       []string        `json:"also,omitempty"`       // ids of those who are told although the topic is of another account
}

// Public is the notice without whom it is for.
func (n *Notice) Public() *Notice {
	out := *n
	out.Recipients, out.Also = nil, nil
	return &out
}

// Encode is the notice as it is kept. Its error is that of an event that is no JSON.
func (n *Notice) Encode() ([]byte, error) {
	text, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("notice %s: %w", n.ID, err)
	}
	return text, nil
}

// DecodeNotice reads what is kept under an id.
func DecodeNotice(id string, text []byte) (*Notice, error) {
	n := &Notice{ID: id}
	if err := json.Unmarshal(text, n); err != nil {
		return nil, fmt.Errorf("notice %s: %w", id, err)
	}
	return n, nil
}

// Message is the id of the message that tells of the notice: the same on every
// attempt, and after it was put again.
func (n *Notice) Message() string { return messageOf("notice", n.ID) }

// messageOf is the id of a message about something.
func messageOf(what, id string) string {
	return uuid.NewSHA1(names, []byte(what+" "+id)).String()
}
