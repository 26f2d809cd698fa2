package twins

import (
	"encoding/json"
	"math"
	"slices"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// DecodeSticker reads a sticker as somebody puts it: {"note", "recipients",
// "validity_ts", "publish"}, of which only recipients must be there; message is
// the note's old name. It has no id, twin or account yet.
func DecodeSticker(r strictjson.Raw, color string, now time.Time) (Sticker, error) {
	var in struct {
		Note       text           `json:"note"`
		Message    text           `json:"message"`
		Recipients strictjson.Raw `json:"recipients" strict:"required"`
		Validity   strictjson.Raw `json:"validity_ts"`
		Publish    strictjson.Raw `json:"publish"`
	}
	err := r.Decode(&in)
	if in.Note != "" && in.Message != "" {
		err = strictjson.Join(err, r.Member("message").At.Errorf("both note and message, which is its old name; want one of them"))
	}
	s := Sticker{Color: color, Note: string(in.Note + in.Message), Created: millis(now)}
	var wrongColor, wrongRecipients, wrongValidity, wrongPublish error
	if err := rules.CheckStickerColor(color); err != nil {
		wrongColor = r.At.Errorf("%w", err)
	}
	s.Recipients, wrongRecipients = decodeRecipients(in.Recipients)
	s.ValidUntil, s.Longest, wrongValidity = decodeValidity(in.Validity, s.Created)
	s.Publish, wrongPublish = DecodePublish(in.Publish, color)
	return s, strictjson.Join(err, wrongColor, wrongRecipients, wrongValidity, wrongPublish)
}

// text is a note.
type text string

// DecodeStrict takes null for none.
func (t *text) DecodeStrict(r strictjson.Raw) error {
	if r.Kind() == strictjson.Null {
		return nil
	}
	if r.Kind() != strictjson.String {
		return r.Wrong(strictjson.String, "a text")
	}
	*t = text(r.Str())
	if err := rules.CheckStickerNote(r.Str()); err != nil {
		return r.At.Errorf("%w", err)
	}
	return nil
}

func decodeRecipients(r strictjson.Raw) ([]string, error) {
	if r.IsZero() {
		return nil, nil
	}
	var list []string
	err := r.Decode(&list)
	if err != nil {
		return nil, err
	}
	if list, err = readRecipients(list, checkRecipient); err != nil {
		return nil, r.At.Errorf("%w", err)
	}
	return list, nil
}

func decodeValidity(r strictjson.Raw, now time.Time) (until time.Time, longest bool, err error) {
	if !r.IsZero() && r.Kind() != strictjson.Null {
		seconds, ok := r.Any().(float64)
		if !ok || seconds < 1 || seconds > math.MaxInt32*100 {
			return until, false, r.At.Errorf("got %s; want a time in seconds since 1970, such as 1700000000.000", r.Shown())
		}
		until = time.UnixMilli(int64(math.Round(seconds * 1000)))
	}
	longest = until.IsZero()
	if until, err = validUntil(until, now); err != nil {
		err = r.At.Errorf("%w", err)
	}
	return until, longest, err
}

// The events of a sticker as publish names them.
const (
	onPut    = "on_put"
	onRemove = "on_remove"
	onExpire = "on_expire"
)

var publishable = []string{onPut, onRemove, onExpire}

// DecodePublish reads on which topics the events of a sticker are told: a topic or
// a list of them for each event, or, as it once was, a list of events, which are
// then told on the color. What is absent or null publishes nothing.
func DecodePublish(r strictjson.Raw, color string) (rules.StickerTopics, error) {
	var t rules.StickerTopics
	of := func(event string) *[]string {
		return map[string]*[]string{onPut: &t.Put, onRemove: &t.Remove, onExpire: &t.Expire}[event]
	}
	var errs []error
	switch r.Kind() {
	case strictjson.None, strictjson.Null:
	case strictjson.Object:
		for _, m := range r.Members() {
			if !slices.Contains(publishable, m.Name) {
				errs = append(errs, strictjson.Unknown(r, m, publishable))
				continue
			}
			topics, err := decodeTopics(m.Value)
			*of(m.Name) = topics
			errs = append(errs, err)
		}
	case strictjson.Array:
		for _, event := range r.Elems() {
			if !slices.Contains(publishable, event.Str()) {
				errs = append(errs, event.At.Errorf("no event %s%s", event.Shown(), strictjson.OneOf(event.Str(), publishable)))
				continue
			}
			*of(event.Str()) = []string{color}
		}
	default:
		errs = append(errs, r.Wrong(strictjson.Object, `the topics of events, such as {"on_put":"new-request"}`))
	}
	return t, strictjson.Join(errs...)
}

func decodeTopics(r strictjson.Raw) (list []string, err error) {
	switch r.Kind() {
	case strictjson.Null:
		return nil, nil
	case strictjson.String:
		list = []string{r.Str()}
	default:
		err = r.Decode(&list)
	}
	if err != nil {
		return nil, err
	}
	if list, err = readStickerTopics(list); err != nil {
		return nil, r.At.Errorf("%w", err)
	}
	return list, nil
}

// Published are the topics of each event that has some.
func (s *Sticker) Published() map[string][]string {
	out := map[string][]string{}
	for event, topics := range map[string][]string{onPut: s.Publish.Put, onRemove: s.Publish.Remove, onExpire: s.Publish.Expire} {
		if len(topics) > 0 {
			out[event] = topics
		}
	}
	return out
}

// DecodeStickerRecord reads what Encode has written; "" is a color that was never there.
func DecodeStickerRecord(text string) (r StickerRecord, err error) {
	if text != "" {
		err = json.Unmarshal([]byte(text), &r)
	}
	return r, err
}

// Encode gives the record as text; "" where there is nothing to remember.
func (r *StickerRecord) Encode() (string, error) {
	if r.State == "" && r.Applied == 0 {
		return "", nil
	}
	b, err := json.Marshal(r)
	return string(b), err
}

// JSON is what those are told who follow stickers.
func (e *StickerEvent) JSON() ([]byte, error) {
	s := &e.Sticker
	return json.Marshal(struct {
		Kind       string    `json:"kind"`
		Event      string    `json:"event"`
		ID         string    `json:"id"`
		Twin       string    `json:"twin"`
		Account    string    `json:"account"`
		Color      string    `json:"color"`
		Note       string    `json:"note"`
		Recipients []string  `json:"recipients"`
		Validity   Timestamp `json:"validity_ts"`
		Created    Timestamp `json:"created_ts"`
		By         string    `json:"by,omitempty"`
		At         time.Time `json:"at"`
	}{"sticker", e.Event, s.ID, s.Twin, s.Account, s.Color, s.Note, s.Recipients, TimestampOf(s.ValidUntil), TimestampOf(s.Created), e.By, e.At})
}

// Notice is what those are told who subscribe to one of its topics: all of the
// sticker's account, and its recipients in others.
func (e *StickerEvent) Notice(topic string) ([]byte, error) {
	type event struct {
		Color    string    `json:"color"`
		Note     string    `json:"note"`
		Validity Timestamp `json:"validity_ts"`
		Created  Timestamp `json:"created_ts"`
	}
	s := &e.Sticker
	return json.Marshal(struct {
		Trigger string    `json:"trigger"`
		Account string    `json:"account"`
		Topic   string    `json:"topic"`
		Twin    string    `json:"twin"`
		Event   event     `json:"event"`
		At      time.Time `json:"at"`
		Also    []string  `json:"also,omitempty"`
	}{"sticker." + e.Event, s.Account, topic, s.Twin, event{s.Color, s.Note, TimestampOf(s.ValidUntil), TimestampOf(s.Created)}, e.At, s.Recipients})
}
