package sinks

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// Address is under which name an outcome goes to a broker: a text with places,
// such as alerts.{severity}.{twin}, for what the outcome says. Its form in a
// document is that text.
type Address struct {
	pieces []addressPiece
}

// addressPiece is a text, and a place behind it; "" for none.
type addressPiece struct{ text, place string }

// Addresses are those of each kind of outcome that has one.
type Addresses struct {
	Alert        Address `json:"alert"`
	Notification Address `json:"notification"`
	Output       Address `json:"output"`
	Sticker      Address `json:"sticker"`
}

// places are the names of the places, in the order of messages.
var places = []string{"kind", "space", "severity", "interaction", "rule", "twin", "feed", "topic", "color", "event", "id"}

// ParseAddress reads a text with places.
func ParseAddress(text string) (Address, error) {
	if text == "" {
		return Address{}, errors.New(`got ""; want a name with places in it, such as {severity} and {twin}`)
	}
	var a Address
	for rest := text; rest != ""; {
		before, behind, found := strings.Cut(rest, "{")
		switch {
		case strings.ContainsFunc(before, func(r rune) bool { return r <= ' ' || r == 0x7f || r == utf8.RuneError }):
			return Address{}, fmt.Errorf("got %q; want neither blanks nor control characters", text)
		case strings.Contains(before, "}"):
			return Address{}, fmt.Errorf("got %q; want a { before each }", text)
		case !found:
			a.pieces = append(a.pieces, addressPiece{text: before})
			return a, nil
		}
		place, after, closed := strings.Cut(behind, "}")
		if !closed {
			return Address{}, fmt.Errorf("got %q; want a } behind each {", text)
		}
		if !slices.Contains(places, place) {
			return Address{}, fmt.Errorf("no place {%s}%s", place, strictjson.OneOf(place, places))
		}
		a.pieces = append(a.pieces, addressPiece{before, place})
		rest = after
	}
	return a, nil
}

// MustAddress is ParseAddress of a text that the program holds.
func MustAddress(text string) Address {
	a, err := ParseAddress(text)
	if err != nil {
		panic(err)
	}
	return a
}

// DecodeStrict implements strictjson.Decoder.
func (a *Address) DecodeStrict(raw strictjson.Raw) error {
	if raw.Kind() != strictjson.String {
		return raw.At.Errorf("got %s; want a string", raw.Kind())
	}
	parsed, err := ParseAddress(raw.Str())
	if err != nil {
		return raw.At.Errorf("%w", err)
	}
	*a = parsed
	return nil
}

// Of is the address of an outcome; token makes of what the outcome says something
// that cannot be taken for a part of the address. The error is one for good.
func (a *Addresses) Of(o *rules.Outcome, space string, token func(string) string) (string, error) {
	if o.Kind == rules.Alert && o.Event() == "" {
		return "", fmt.Errorf("alert in state %q; want firing or resolved", o.State)
	}
	found := a.of(o.Kind)
	if found.pieces == nil {
		return "", fmt.Errorf("no address for a %s; want alert, notification, output or sticker", o.Kind)
	}
	var b strings.Builder
	for _, p := range found.pieces {
		b.WriteString(p.text)
		if p.place != "" {
			b.WriteString(token(said(o, p.place, space)))
		}
	}
	return b.String(), nil
}

func (a *Addresses) of(kind rules.Kind) Address {
	switch kind {
	case rules.Alert:
		return a.Alert
	case rules.Notification:
		return a.Notification
	case rules.Output:
		return a.Output
	case rules.Sticker:
		return a.Sticker
	}
	return Address{}
}

// Begins says whether the address of a kind begins with a text, whatever an outcome says.
func (a *Addresses) Begins(kind rules.Kind, text string) bool {
	found := a.of(kind)
	return found.pieces != nil && strings.HasPrefix(found.pieces[0].text, text)
}

// said is what an outcome says at a place.
func said(o *rules.Outcome, place, space string) string {
	switch place {
	case "kind":
		return string(o.Kind)
	case "space":
		return space
	case "severity":
		return o.Severity
	case "interaction":
		return o.Interaction
	case "rule":
		return o.Rule
	case "twin":
		return o.Twin
	case "feed":
		return o.Feed
	case "id":
		return o.ID
	case "topic":
		if o.Notice != nil {
			return o.Notice.Topic
		}
		return o.Topic
	case "color":
		if o.Sticker != nil {
			return o.Sticker.Color
		}
		return o.Feed
	}
	if o.Sticker != nil { // {event}
		return o.Sticker.Op
	}
	return cmp.Or(o.Event(), o.State)
}

// Token makes a name fit for one token of a subject of NATS and of a topic of
// MQTT and STOMP: of . * > / + # %, what more holds, blanks, control characters and
// what is no UTF-8 each byte is percent-encoded. An empty name is a lone %.
func Token(name, more string) string {
	if name == "" {
		return "%"
	}
	var b strings.Builder
	for rest := name; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		bare := r > ' ' && (r < 0x7f || r > 0x9f) && (r != utf8.RuneError || size > 1) && !strings.ContainsRune(".*>/+#%", r) && !strings.ContainsRune(more, r)
		for i := range size {
			if bare {
				b.WriteByte(rest[i])
			} else {
				fmt.Fprintf(&b, "%%%02X", rest[i])
			}
		}
		rest = rest[size:]
	}
	return b.String()
}
