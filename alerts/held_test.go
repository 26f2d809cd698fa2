package alerts_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/rules"
)

// What was told to fire is told to end, and no other end is told.
func TestASilenceSplitAnEpisode(t *testing.T) {
	type step struct {
		event    string
		change   func(*rules.Outcome)
		silenced bool
		tell     bool
		due      bool // afterwards, when nothing is silenced any more
	}
	closes := func(o *rules.Outcome) { o.Life.Status = rules.StatusClosed }
	closesSilently := func(o *rules.Outcome) { closes(o); silent(o) }
	waits := func(o *rules.Outcome) { o.Life.Status = rules.StatusCleared }
	tests := map[string][]step{
		"told, ends silenced":       {{rules.EventRaised, nil, false, true, false}, {rules.EventCleared, closes, true, true, false}},
		"told, ends Silent":         {{rules.EventRaised, nil, false, true, false}, {rules.EventCleared, closesSilently, false, false, false}},
		"silenced all its life":     {{rules.EventRaised, nil, true, false, true}, {rules.EventCleared, closes, true, false, false}},
		"ends after the silence":    {{rules.EventRaised, nil, true, false, true}, {rules.EventCleared, closes, false, false, false}},
		"told after the silence":    {{rules.EventRaised, nil, true, false, true}, {rules.EventUpdated, nil, false, true, false}, {rules.EventCleared, closes, true, true, false}},
		"changes in a silence":      {{rules.EventRaised, nil, false, true, false}, {rules.EventUpdated, nil, true, false, true}, {rules.EventCleared, closes, true, true, false}},
		"a comment in a silence":    {{rules.EventRaised, nil, false, true, false}, {rules.EventCommented, nil, true, false, false}, {rules.EventCleared, closes, false, true, false}},
		"suppressed, then silenced": {{rules.EventRaised, silentAndSuppressed, false, false, false}, {rules.EventAcknowledged, nil, false, false, false}, {rules.EventUnsuppressed, unsuppressed, true, false, true}, {rules.EventCleared, closes, false, false, false}},
		"suppressed, then told":     {{rules.EventRaised, silentAndSuppressed, false, false, false}, {rules.EventUnsuppressed, unsuppressed, false, true, false}, {rules.EventCleared, closes, false, true, false}},
		"waits for somebody": {
			{rules.EventRaised, nil, true, false, true},
			{rules.EventCleared, waits, false, false, false},
			{rules.EventAcknowledged, closes, false, false, false},
		},
		"fires again": {
			{rules.EventRaised, nil, true, false, true},
			{rules.EventCleared, waits, false, false, false},
			{rules.EventUpdated, func(o *rules.Outcome) { o.State = rules.StateFiring }, false, true, false},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlant(t, all)
			var held *alerts.Held
			for i, s := range steps {
				o := p.next("a", s.event, s.change)
				next, tell := held.Next(o, s.silenced)
				assert.Equal(t, s.tell, tell, "tell %d", i)
				if next != nil {
					again, tell := next.Next(o, false)
					assert.Same(t, next, again, "it came again")
					assert.False(t, tell)
					again, err := alerts.DecodeHeld(next.AppendJSON(nil))
					require.NoError(t, err)
					assert.Equal(t, next.AppendJSON(nil), again.AppendJSON(nil))
					next = again
				}
				held = next
				assert.Equal(t, s.due, held != nil && held.Due(p.silence), "due %d", i)
				if s.due {
					p.silenced["a"] = true
					assert.False(t, held.Due(p.silence))
					delete(p.silenced, "a")
				}
			}
			if steps[len(steps)-1].event != rules.EventUpdated {
				assert.Nil(t, held, "it is over")
			}
		})
	}
}

func TestDecodeHeldErrors(t *testing.T) {
	for text, want := range map[string]string{
		`7`:                                    "held alert: json: cannot unmarshal number",
		`{"alert":{}}`:                         `held alert: outcome: unknown kind ""`,
		`{"alert":{"kind":"alert","data":{}}}`: "held alert: not the outcome of an alert",
	} {
		_, err := alerts.DecodeHeld([]byte(text))
		assert.ErrorContains(t, err, want)
	}
}
