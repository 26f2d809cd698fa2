package alerts

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"tocsin.internal/rules"
)

// Held is an open episode of which somebody who gets alerts singly has not been
// told, or not as it is now, because a silence or the event itself kept it from
// him. It is what makes him hear the end of what he was told of, and of nothing
// else. A Held is never changed, only replaced.
type Held struct {
	Last rules.Outcome // the last event that was kept from him
	told bool          // he knows that it fires, but not what came since
	hush bool          // left out, whatever the silences say
}

// Next says what becomes of the next event of an episode: whether to tell it
// and, when that is done, what is held of the episode from then on. A nil Held
// holds nothing: an episode without one was told, unless this is its first event.
//
// What is Silent is not told. What is silenced is not either, but for the end of
// an episode that was told. An episode that was not told makes itself heard by
// the first event that neither a silence nor a suppression keeps back, or by
// Due; its end, if that comes before, is not told.
func (h *Held) Next(o *rules.Outcome, silenced bool) (next *Held, tell bool) {
	switch {
	case h != nil && o.Life.Number <= h.Last.Life.Number:
		return h, false // it came again
	case o.State == rules.StateResolved:
		return h.end(o)
	case h != nil:
		hush := quiet(o, h.hush)
		if hush || silenced {
			return &Held{Last: *o, told: h.told, hush: hush}, false
		}
		return nil, true
	case !o.Life.Silent && !silenced:
		return nil, true
	case o.Life.Number == 1:
		return &Held{Last: *o, hush: quiet(o, false)}, false
	case !o.Life.Silent && changes(o):
		return &Held{Last: *o, told: true, hush: quiet(o, false)}, false
	}
	return nil, false
}

// end is Next of an event of an episode that does not fire any more.
func (h *Held) end(o *rules.Outcome) (next *Held, tell bool) {
	switch {
	case h == nil || h.told:
		return nil, !o.Life.Silent
	case o.Life.Status == rules.StatusClosed:
		return nil, false
	}
	return &Held{Last: *o, hush: quiet(o, h.hush)}, false // it may fire again
}

// changes says whether the event is more than a word of a person or a repetition.
func changes(o *rules.Outcome) bool {
	switch o.Life.Event {
	case rules.EventAcknowledged, rules.EventUnacknowledged, rules.EventCommented, rules.EventRepeated:
		return false
	}
	return true
}

// Due says whether it is time to tell of the episode as it is.
func (h *Held) Due(silenced func(*rules.Outcome) bool) bool {
	return !h.hush && h.Last.State == rules.StateFiring && !silenced(&h.Last)
}

// Told says whether who gets alerts singly knows that the episode fires. A nil
// Held is of one that was told.
func (h *Held) Told() bool { return h == nil || h.told }

// AppendJSON appends what DecodeHeld reads.
func (h *Held) AppendJSON(b []byte) []byte {
	b = strconv.AppendBool(append(b, `{"told":`...), h.told)
	b = strconv.AppendBool(append(b, `,"quiet":`...), h.hush)
	return append(h.Last.AppendJSON(append(b, `,"alert":`...)), '}')
}

// DecodeHeld reads what AppendJSON has written.
func DecodeHeld(b []byte) (*Held, error) {
	var doc struct {
		Told  bool            `json:"told"`
		Quiet bool            `json:"quiet"`
		Alert json.RawMessage `json:"alert"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("held alert: %w", err)
	}
	o, err := rules.DecodeOutcome(doc.Alert)
	if err != nil {
		return nil, fmt.Errorf("held alert: %w", err)
	}
	if !isAlert(&o) {
		return nil, errors.New("held alert: not the outcome of an alert with its key and number")
	}
	return &Held{Last: o, told: doc.Told, hush: doc.Quiet}, nil
}
