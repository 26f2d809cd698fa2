package twins

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tocsin.internal/rules"
)

// Sticker is a workflow tag on a twin, as Trusted Twin has them: somebody puts it
// there, and one of its recipients takes it off when the work is done.
type Sticker struct {
	ID         string              `json:"id"` // a UUID; the next one of the same color has another
	Twin       string              `json:"twin"`
	Account    string              `json:"account"` // whose it is
	Color      string              `json:"color"`   // its name on the twin, among those of its account
	Note       string              `json:"note,omitempty"`
	Recipients []string            `json:"recipients"` // UUIDs of users, roles or accounts, who see it and may take it off
	Created    time.Time           `json:"created"`    // in whole milliseconds, as ValidUntil
	ValidUntil time.Time           `json:"validUntil"`
	Longest    bool                `json:"longest,omitempty"` // nobody has said until when: it stays for as long as one may
	Publish    rules.StickerTopics `json:"publish"`
	Rule       string              `json:"rule,omitempty"`  // <interaction>/<rule> that has put it; "": a person
	Alert      *StickerAlert       `json:"alert,omitempty"` // that its removal acts on; nil: none
}

// StickerAlert is the alert that a recipient acts on who takes the sticker off.
type StickerAlert struct {
	Do          string `json:"do"` // rules.Acknowledge or rules.Clear
	ID          string `json:"id"` // of the episode
	Interaction string `json:"interaction"`
	Rule        string `json:"rule"`
	Twin        string `json:"twin"` // that was judged
}

// follows says whether it is of the same rule and twin as another one, of an
// earlier episode perhaps.
func (a *StickerAlert) follows(o *StickerAlert) bool {
	return a != nil && o != nil && a.Interaction == o.Interaction && a.Rule == o.Rule && a.Twin == o.Twin
}

// Key is what the sticker's record is kept under.
func (s *Sticker) Key() string { return s.Twin + "/" + s.Account + "/" + s.Color }

// Expired says whether its time has passed.
func (s *Sticker) Expired(now time.Time) bool { return !now.Before(s.ValidUntil) }

// same says whether a put asks for what is there.
func (s *Sticker) same(put *Sticker) bool {
	return s.Note == put.Note && slices.Equal(sorted(s.Recipients), sorted(put.Recipients)) &&
		slices.Equal(s.Publish.Put, put.Publish.Put) && slices.Equal(s.Publish.Remove, put.Publish.Remove) && slices.Equal(s.Publish.Expire, put.Publish.Expire) &&
		s.Longest == put.Longest && (s.Longest || s.ValidUntil.Equal(put.ValidUntil))
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// The states of a [StickerRecord].
const (
	StickerLive    = "live"
	StickerRemoved = "removed"
	StickerExpired = "expired"
)

// StickerRecord is what is kept of an account's stickers of one color on a twin:
// the last one, and what is still to be told. The zero record is of a color that
// was never there. It asks no clock: the time is the caller's to say.
type StickerRecord struct {
	Sticker Sticker        `json:"sticker"`
	State   string         `json:"state"`
	Unsent  []StickerEvent `json:"unsent,omitempty"` // the oldest first

	// What rules have decided of it last, so that what is decided once is done
	// once: the sequence in the stream of outcomes, and the id of the decision.
	Applied  uint64 `json:"applied,omitempty"`
	Decision string `json:"decision,omitempty"`
}

// ErrOtherSticker is what the error wraps when there is a sticker of that color
// with other content.
var ErrOtherSticker = errors.New("there is another sticker of that color")

// Live says whether there is a sticker.
func (r *StickerRecord) Live(now time.Time) bool {
	return r.State == StickerLive && !r.Sticker.Expired(now)
}

// Put puts a sticker, and says whether it did. Where there is one with the same
// content it stays as it is; of another one existing says what becomes:
// [rules.KeepSticker], [rules.ReplaceSticker], or else ErrOtherSticker. Of a
// sticker that is replaced nothing is told: nobody has taken it off.
func (r *StickerRecord) Put(s Sticker, existing, by string, now time.Time) (bool, error) {
	r.Expire(now)
	if r.State == StickerLive {
		switch {
		case r.Sticker.same(&s), existing == rules.KeepSticker:
			if s.Alert.follows(r.Sticker.Alert) {
				r.Sticker.Alert = s.Alert // it has stayed, and the alert is another one
			}
			return false, nil
		case existing != rules.ReplaceSticker:
			return false, ErrOtherSticker
		}
	}
	r.Sticker, r.State = s, StickerLive
	r.tell(StickerPut, by, s.Created)
	return true, nil
}

// Take is Remove by a recipient, who acts on the sticker's alert with it.
func (r *StickerRecord) Take(by string, now time.Time) bool {
	if !r.Remove(by, now) {
		return false
	}
	r.Unsent[len(r.Unsent)-1].Acts = r.Sticker.Alert != nil
	return true
}

// Remove takes the sticker off, and says whether there was one.
func (r *StickerRecord) Remove(by string, now time.Time) bool {
	r.Expire(now)
	if r.State != StickerLive {
		return false
	}
	r.State = StickerRemoved
	r.tell(StickerTaken, by, now)
	return true
}

// Expire ends a sticker whose time has passed, and says whether it did.
func (r *StickerRecord) Expire(now time.Time) bool {
	if r.State != StickerLive || !r.Sticker.Expired(now) {
		return false
	}
	r.State = StickerExpired
	r.tell(StickerOver, "", r.Sticker.ValidUntil)
	return true
}

// Known says whether a decision of a rule has been dealt with: its sequence, and its
// id. One that comes again because it was a dead letter is known by its id alone.
func (r *StickerRecord) Known(seq uint64, id string, letter bool) bool {
	return id == r.Decision || !letter && seq <= r.Applied
}

// Note takes note of a decision of a rule that has been dealt with; done says that
// it was not refused.
func (r *StickerRecord) Note(seq uint64, id string, done bool) {
	r.Applied = max(seq, r.Applied)
	if done {
		r.Decision = id
	}
}

// Told takes what has been told off the record.
func (r *StickerRecord) Told(told []StickerEvent) {
	r.Unsent = slices.DeleteFunc(r.Unsent, func(e StickerEvent) bool {
		return slices.ContainsFunc(told, func(t StickerEvent) bool { return t.ID("") == e.ID("") })
	})
}

func (r *StickerRecord) tell(event, by string, at time.Time) {
	r.Unsent = append(r.Unsent, StickerEvent{Event: event, Sticker: r.Sticker, By: by, At: millis(at)})
}

// The events of a sticker.
const (
	StickerPut   = "put"
	StickerTaken = "removed"
	StickerOver  = "expired"
)

// StickerEvent is what happened to a sticker.
type StickerEvent struct {
	Event   string    `json:"event"`
	Sticker Sticker   `json:"sticker"`
	By      string    `json:"by,omitempty"` // who did it; "" where its time has passed
	At      time.Time `json:"at"`
	Acts    bool      `json:"acts,omitempty"` // a recipient took it off, and that acts on the sticker's alert
}

// Act is what the event does to an alert of a twin; false where it does nothing.
func (e *StickerEvent) Act() (do rules.Action, twin string, ok bool) {
	a := e.Sticker.Alert
	if !e.Acts || a == nil {
		return do, "", false
	}
	comment := fmt.Sprintf("took the sticker %q off %s", e.Sticker.Color, e.Sticker.Twin)
	return rules.Action{Do: a.Do, ID: a.ID, Interaction: a.Interaction, Rule: a.Rule, By: e.By, Comment: comment}, a.Twin, true
}

// ID is the same whenever the event is told on the topic, "" for those who follow
// stickers: a UUID.
func (e *StickerEvent) ID(topic string) string {
	return derived(e.Sticker.ID, e.Event, topic)
}

// Topics are those on which it is told.
func (e *StickerEvent) Topics() []string {
	switch e.Event {
	case StickerPut:
		return e.Sticker.Publish.Put
	case StickerTaken:
		return e.Sticker.Publish.Remove
	}
	return e.Sticker.Publish.Expire
}

// StickerDecision is the id of what a rule has decided of a sticker, and of the
// sticker that it puts: the same whenever it comes again.
func StickerDecision(o *rules.Outcome) string {
	return derived("decision", o.EventID(), o.Sticker.Op, o.Sticker.Twin, o.Sticker.Account, o.Sticker.Color)
}

// derived is the UUID of some texts.
func derived(texts ...string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("tocsin:sticker:"+strings.Join(texts, "\x00"))).String()
}

// millis is t in whole milliseconds.
func millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
