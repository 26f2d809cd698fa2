package alerts_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/rules"
)

// event is the next outcome of an episode that began at start.
func event(number uint32, name, status string, at time.Duration, change func(*rules.Outcome)) *rules.Outcome {
	o := hot()
	o.At, o.Starts, o.Data, o.Count = start.Add(at), start, []byte(`{}`), 1
	o.Life.Number, o.Life.Event, o.Life.Status, o.Life.Active = number, name, status, true
	if change != nil {
		change(o)
	}
	return o
}

func TestRecordFollowsAnEpisode(t *testing.T) {
	ack := func(o *rules.Outcome) {
		o.Life.Ack = rules.Ack{Required: true, By: "eva", At: start.Add(2 * time.Minute)}
		o.Life.By, o.Life.Comment = "eva", "on my way"
	}
	shelf := rules.Suppression{By: rules.ByShelf, Until: start.Add(time.Hour)}
	steps := []struct {
		o    *rules.Outcome
		want alerts.Times
	}{
		{
			event(1, rules.EventRaised, rules.StatusFiring, 0, func(o *rules.Outcome) { o.Life.Pending = start.Add(-time.Minute) }),
			alerts.Times{Pending: start.Add(-time.Minute), Raised: start, Changed: start},
		},
		{
			event(2, rules.EventAcknowledged, rules.StatusAcknowledged, 2*time.Minute, ack),
			alerts.Times{Pending: start.Add(-time.Minute), Raised: start, Changed: start.Add(2 * time.Minute), Acked: start.Add(2 * time.Minute)},
		},
		{
			event(3, rules.EventRepeated, rules.StatusAcknowledged, 3*time.Minute, ack),
			alerts.Times{Pending: start.Add(-time.Minute), Raised: start, Changed: start.Add(2 * time.Minute), Acked: start.Add(2 * time.Minute)},
		},
		{
			event(4, rules.EventShelved, rules.StatusShelved, 4*time.Minute, func(o *rules.Outcome) { o.Life.Suppression = &shelf }),
			alerts.Times{Pending: start.Add(-time.Minute), Raised: start, Changed: start.Add(4 * time.Minute), Expires: start.Add(time.Hour)},
		},
		{
			event(5, rules.EventUnshelved, rules.StatusLatched, 5*time.Minute, func(o *rules.Outcome) { o.Life.Active = false }),
			alerts.Times{Pending: start.Add(-time.Minute), Raised: start, Changed: start.Add(5 * time.Minute), Cleared: start.Add(5 * time.Minute)},
		},
		{
			event(7, rules.EventUpdated, rules.StatusRecovering, 6*time.Minute, func(o *rules.Outcome) { o.Life.Active = false }),
			alerts.Times{Pending: start.Add(-time.Minute), Raised: start, Changed: start.Add(6 * time.Minute)},
		},
		{
			event(8, rules.EventCleared, rules.StatusCleared, 7*time.Minute, func(o *rules.Outcome) {
				o.State, o.Ends, o.Life.Active = rules.StateResolved, start.Add(7*time.Minute), false
			}),
			alerts.Times{Pending: start.Add(-time.Minute), Raised: start, Changed: start.Add(7 * time.Minute), Cleared: start.Add(7 * time.Minute)},
		},
		{
			event(9, rules.EventClosed, rules.StatusClosed, 9*time.Minute, func(o *rules.Outcome) {
				o.State, o.Ends, o.Life.Active = rules.StateResolved, start.Add(7*time.Minute), false
			}),
			alerts.Times{Pending: start.Add(-time.Minute), Raised: start, Changed: start.Add(9 * time.Minute), Cleared: start.Add(7 * time.Minute), Closed: start.Add(9 * time.Minute)},
		},
	}
	var r alerts.Record
	assert.False(t, r.Current())
	for i, step := range steps {
		assert.True(t, r.Apply(step.o), i)
		assert.Equal(t, step.want, r.Times, i)
		assert.Equal(t, *step.o, r.Outcome)
		assert.Equal(t, i < len(steps)-1, r.Current(), i)
		before := r
		for _, old := range steps[:i+1] {
			assert.False(t, r.Apply(old.o), "it came again")
		}
		assert.Equal(t, before, r)
	}
	assert.Equal(t, []alerts.Comment{
		{At: start.Add(2 * time.Minute), By: "eva", Text: "on my way", Action: rules.EventAcknowledged},
		{At: start.Add(3 * time.Minute), By: "eva", Text: "on my way", Action: rules.EventRepeated},
	}, r.Comments)
	assert.Equal(t, 7*time.Minute, r.Duration(start.Add(time.Hour)))
}

func TestRecordOfAnotherEpisode(t *testing.T) {
	another := func(id string, starts time.Duration, state string) *rules.Outcome {
		return event(1, rules.EventRaised, rules.StatusFiring, starts, func(o *rules.Outcome) {
			o.ID, o.Starts, o.State = id, start.Add(starts), state
		})
	}
	ended := event(4, rules.EventCleared, rules.StatusClosed, 0, func(o *rules.Outcome) {
		o.State, o.Ends, o.Life.Comment = rules.StateResolved, start, "done"
	})
	tests := []struct {
		name  string
		first *rules.Outcome
		next  *rules.Outcome
		want  bool
	}{
		{"later", event(4, rules.EventRaised, rules.StatusFiring, 0, nil), another("al_2", 1, rules.StateFiring), true},
		{"earlier", event(4, rules.EventRaised, rules.StatusFiring, 0, nil), another("al_0", -1, rules.StateFiring), false},
		{"at the same time as one that fires", event(4, rules.EventRaised, rules.StatusFiring, 0, nil), another("al_0", 0, rules.StateFiring), false},
		{"at the same time as one that has ended", ended, another("al_2", 0, rules.StateFiring), true},
		{"both have ended", ended, another("al_2", 0, rules.StateResolved), false},
		{"another key", ended, event(9, rules.EventRaised, rules.StatusFiring, time.Hour, func(o *rules.Outcome) { o.Life.Key = "other" }), false},
		{"no key", ended, event(9, rules.EventRaised, rules.StatusFiring, time.Hour, func(o *rules.Outcome) { o.Life.Key = "" }), false},
		{"first form", ended, event(9, rules.EventRaised, rules.StatusFiring, time.Hour, func(o *rules.Outcome) { o.Life = nil }), false},
		{"no alert", ended, event(9, rules.EventRaised, rules.StatusFiring, time.Hour, func(o *rules.Outcome) { o.Kind = rules.Output }), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var r alerts.Record
			require.True(t, r.Apply(test.first))
			before := r
			require.Equal(t, test.want, r.Apply(test.next))
			if !test.want {
				assert.Equal(t, before, r)
				return
			}
			assert.Equal(t, alerts.Record{Outcome: *test.next, Times: alerts.Times{Raised: test.next.Starts, Changed: test.next.At}}, r)
		})
	}
}

func TestRecordKeepsTheLastComments(t *testing.T) {
	var r alerts.Record
	for i := range uint32(30) {
		r.Apply(event(i+1, rules.EventCommented, rules.StatusFiring, time.Duration(i), func(o *rules.Outcome) {
			o.Life.By, o.Life.Comment = "eva", fmt.Sprint(i)
		}))
	}
	require.Len(t, r.Comments, alerts.MaxComments)
	assert.Equal(t, alerts.Comment{At: start.Add(10), By: "eva", Text: "10", Action: rules.EventCommented}, r.Comments[0])
	assert.Equal(t, "29", r.Comments[19].Text)
	assert.Zero(t, r.Times.Changed)
}

func TestCopiesOfARecordGoTheirOwnWays(t *testing.T) {
	say := func(r *alerts.Record, number uint32, text string) {
		require.True(t, r.Apply(event(number, rules.EventCommented, rules.StatusFiring, 0, func(o *rules.Outcome) { o.Life.Comment = text })))
	}
	var one alerts.Record
	for i := range uint32(3) {
		say(&one, i+1, "both")
	}
	other := one
	say(&one, 4, "one")
	say(&other, 4, "other")
	assert.Equal(t, "one", one.Comments[3].Text)
	assert.Equal(t, "other", other.Comments[3].Text)
}

func TestDurationOfAnAlert(t *testing.T) {
	var r alerts.Record
	r.Apply(event(1, rules.EventRaised, rules.StatusFiring, 0, nil))
	assert.Equal(t, time.Minute, r.Duration(start.Add(time.Minute)))
	assert.Zero(t, r.Duration(start.Add(-time.Minute)), "a device's clock may be ahead")
}

func TestRecordJSON(t *testing.T) {
	var r alerts.Record
	o := event(1, rules.EventRaised, rules.StatusFiring, 0, func(o *rules.Outcome) { o.Life.By, o.Life.Comment = "eva", "<a> \"b\"" })
	require.True(t, r.Apply(o))
	text := string(r.AppendJSON([]byte("x")))
	outcome := string(o.AppendJSON([]byte("x")))
	assert.Equal(t, outcome[:len(outcome)-1]+`,"times":{"pending":null,"raised":"2026-11-22T10:00:00Z","changed":"2026-11-22T10:00:00Z","acked":null,"cleared":null,"closed":null,"expires":null},`+
		`"comments":[{"at":"2026-11-22T10:00:00Z","by":"eva","text":"<a> \"b\"","action":"raised"}]}`, text)
	again, err := rules.DecodeOutcome([]byte(text[1:]))
	require.NoError(t, err, "who knows outcomes only can read it")
	assert.Equal(t, *o, again)
}

func TestRecordsRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"", "a", "é\"\\\n<", " 😀"}
	word := func() string { return words[random.IntN(len(words))] }
	when := func() time.Time {
		if random.IntN(3) == 0 {
			return time.Time{}
		}
		return start.Add(time.Duration(random.Int64N(1e15)))
	}
	for range 500 {
		o := event(random.Uint32N(9)+1, rules.EventCommented, rules.StatusFiring, 5, func(o *rules.Outcome) {
			o.Summary, o.Ends, o.Life.By, o.Life.Pending, o.Life.Active = word(), when(), word(), when(), random.IntN(2) == 0
			o.Life.Silent, o.Data = random.IntN(2) == 0, []byte(`{"t": 2.50,"u":[1e3]}`)
			if random.IntN(2) == 0 {
				o.Life.Suppression = &rules.Suppression{By: rules.ByInhibitor, Rules: []string{"a", "b"}, Until: when()}
			}
			if at := when(); !at.IsZero() {
				o.Life.Ack = rules.Ack{By: word(), At: at, Comment: word()}
			}
		})
		r := alerts.Record{Outcome: *o, Times: alerts.Times{Pending: when(), Raised: when(), Changed: when(), Acked: when(), Cleared: when(), Closed: when(), Expires: when()}}
		for range random.IntN(3) {
			r.Comments = append(r.Comments, alerts.Comment{At: start.Add(1), By: word(), Text: word(), Action: word()})
		}
		again, err := alerts.DecodeRecord(r.AppendJSON(nil))
		require.NoError(t, err)
		require.Equal(t, r, again)
	}
}

func TestDecodeRecordErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`{`, `alert record: outcome: unexpected end of JSON input`},
		{`{"kind":"output","data":{}}`, `alert record: not the outcome of an alert with its key and number`},
		{`{"kind":"alert","data":{}}`, `alert record: not the outcome of an alert with its key and number`},
		{`{"kind":"alert","seq":1,"key":"k","data":{},"times":{"raised":7}}`, `alert record: Time.UnmarshalJSON: input is not a JSON string`},
	} {
		_, err := alerts.DecodeRecord([]byte(tt.text))
		assert.EqualError(t, err, tt.want)
	}
}
