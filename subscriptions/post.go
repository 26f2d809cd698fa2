package subscriptions

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/crypto/blake2b"
)

// Post is a message as it is posted to an endpoint.
type Post struct {
	ID   string // of the message: the same on every attempt
	Body []byte
}

// The values of "type".
const (
	confirmationType = "subscription.confirmation"
	notificationType = "Notification"
)

// Confirmation is the message that asks the endpoint whether it wants the
// subscription.
func (s *Subscription) Confirmation(now time.Time) Post {
	id := messageOf("confirmation", s.ID+" "+s.Secret)
	return Post{id, s.body([]member{
		{"type", text(confirmationType)},
		{"message", text(id)},
		{"sent_ts", seconds(now)},
		{"confirmation_url", text(s.url())},
		{"subscription", s.object(false)},
	}, []string{"type", "message", "sent_ts", "confirmation_url", "subscription"})}
}

// Notification is the message that tells of a notice.
func (s *Subscription) Notification(n *Notice, now time.Time) Post {
	id := n.Message()
	return Post{id, s.body([]member{
		{"type", text(notificationType)},
		{"trigger", text(n.Trigger)},
		{"message", text(id)},
		{"twin", text(n.Twin)},
		{"event", compact(n.Event)},
		{"sent_ts", seconds(now)},
		{"subscription", s.object(true)},
	}, []string{"type", "trigger", "message", "twin", "event", "sent_ts", "subscription"})}
}

// Key is what signs the messages; nil where the subscriber has given no secret.
func (s *Subscription) Key() []byte {
	if s.ClientSecret == "" {
		return nil
	}
	return []byte(s.ClientSecret + s.ServerSecret)
}

// url is where the subscription is confirmed, refreshed and ended.
func (s *Subscription) url() string {
	return s.Base + "/notifications/webhooks/" + s.Account + "?token=" + s.Token()
}

// Describe is the subscription as the API and the messages tell of it; with its
// URLs only once it is confirmed, or to those who have shown that it is theirs.
func (s *Subscription) Describe(urls bool) json.RawMessage { return json.RawMessage(s.object(urls)) }

func (s *Subscription) object(urls bool) []byte {
	members := []member{{"account", text(s.Account)}}
	if urls {
		members = append(members, member{"refresh_url", text(s.url())})
	}
	members = append(members, member{"topic", text(s.Topic)})
	if urls {
		members = append(members, member{"unsubscribe_url", text(s.url())})
	}
	return object(append(members, member{"validity_ts", seconds(s.Expires)}))
}

// member is a name and its value, as JSON.
type member struct {
	name  string
	value []byte
}

// body is the JSON of a message, with the hash over the named members where there
// is a key: of texts their UTF-8, of all others their JSON as it stands in the body.
func (s *Subscription) body(members []member, hashed []string) []byte {
	key := s.Key()
	if key == nil {
		return object(members)
	}
	h, err := blake2b.New256(key)
	if err != nil {
		return object(members) // a key is never longer than 64 bytes
	}
	for _, name := range hashed {
		value := members[slices.IndexFunc(members, func(m member) bool { return m.name == name })].value
		if value[0] == '"' {
			value, _ = jsontext.AppendUnquote(nil, value) // it was quoted here
		}
		h.Write(value)
	}
	return object(append(members, member{"hash", text(hex.EncodeToString(h.Sum(nil)))}))
}

func object(members []member) []byte {
	b := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, text(m.name)...), ':'), m.value...)
	}
	return append(b, '}')
}

func text(s string) []byte {
	b, _ := jsontext.AppendQuote(nil, s) // its only error is invalid UTF-8, which it has replaced
	return b
}

// seconds is a time as Trusted Twin has it: seconds since 1970 with three decimals.
func seconds(t time.Time) []byte {
	ms := t.UnixMilli()
	return strconv.AppendFloat(nil, float64(ms)/1000, 'f', 3, 64)
}

// compact is a JSON text without blanks and with the members of objects in the
// order of their names, so that a receiver can make the same text again. Numbers
// stay as they are written. What is no JSON is null.
func compact(raw []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return []byte("null")
	}
	return appendCompact(nil, v)
}

func appendCompact(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(b, text(v)...)
	case json.Number:
		return append(b, v...)
	case bool:
		return strconv.AppendBool(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCompact(b, e)
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCompact(append(append(b, text(name)...), ':'), v[name])
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}
