// Package alerts is what lives around the alerts that rules decide: the record
// of an episode, severities, matchers and silences, routes and the grouping of
// notifications. It holds values and pure state machines: time comes in as a
// value, and nothing here starts, stores or sends anything.
package alerts

import (
	"time"

	"tocsin.internal/rules"
)

// Record is all that is known of one episode of an alert: its last outcome, and
// what the outcomes before have left.
type Record struct {
	Outcome  rules.Outcome
	Times    Times
	Comments []Comment // the last MaxComments, oldest first
}

// Times are the moments of an episode in event time; zero is not (yet).
type Times struct {
	Pending time.Time // the conditions became true
	Raised  time.Time
	Changed time.Time // the last event other than a repetition or a comment
	Acked   time.Time
	Cleared time.Time // the condition became normal
	Closed  time.Time
	Expires time.Time // the end of the shelf that it lies on
}

// Comment is what a person has said with an action.
type Comment struct {
	At     time.Time
	By     string
	Text   string
	Action string // the event that it came with
}

// MaxComments is how many comments a record keeps; the history has them all.
const MaxComments = 20

// Apply takes in an outcome. It says false, and changes nothing, when the
// outcome is no news: not an alert's, one of another key, one whose number is
// not above that of the same episode, or one of an earlier episode. A later
// episode begins the record anew.
func (r *Record) Apply(o *rules.Outcome) (changed bool) {
	if !isAlert(o) {
		return false
	}
	if r.Outcome.Life != nil {
		if o.Life.Key != r.Outcome.Life.Key || !supersedes(o, &r.Outcome) {
			return false
		}
		if o.ID != r.Outcome.ID {
			*r = Record{}
		}
	}
	r.Outcome = *o
	r.Times.apply(o)
	if o.Life.Comment != "" {
		r.Comments = append(r.Comments[max(0, len(r.Comments)+1-MaxComments):len(r.Comments):len(r.Comments)],
			Comment{At: o.At, By: o.Life.By, Text: o.Life.Comment, Action: o.Life.Event})
	}
	return true
}

// isAlert says whether the outcome tells of an episode.
func isAlert(o *rules.Outcome) bool {
	return o.Kind == rules.Alert && o.Life != nil && o.Life.Key != ""
}

// supersedes says whether an outcome is newer than the last one known of its
// key: a later event of the episode, or an event of a later episode. Of two that
// start at the same time, the one that has not ended is the later.
func supersedes(o, last *rules.Outcome) bool {
	if o.ID == last.ID {
		return o.Life.Number > last.Life.Number
	}
	return o.Starts.After(last.Starts) || o.Starts.Equal(last.Starts) && last.State == rules.StateResolved && o.State == rules.StateFiring
}

func (t *Times) apply(o *rules.Outcome) {
	if t.Pending.IsZero() {
		t.Pending = o.Life.Pending
	}
	t.Raised = o.Starts
	if o.Life.Event != rules.EventRepeated && o.Life.Event != rules.EventCommented {
		t.Changed = o.At
	}
	t.Acked = o.Life.Ack.At
	t.Cleared = t.cleared(o)
	t.Closed = time.Time{}
	if o.Life.Status == rules.StatusClosed {
		t.Closed = o.At
	}
	t.Expires = time.Time{}
	if s := o.Life.Suppression; s != nil && s.By == rules.ByShelf {
		t.Expires = s.Until
	}
}

// cleared is when the condition became normal for good: while an alert recovers
// it may still come back, and a latched one was normal before it ended.
func (t *Times) cleared(o *rules.Outcome) time.Time {
	switch {
	case o.State != rules.StateResolved && (o.Life.Active || o.Life.Status == rules.StatusRecovering):
		return time.Time{}
	case !t.Cleared.IsZero():
		return t.Cleared
	case !o.Ends.IsZero():
		return o.Ends
	}
	return o.At
}

// Current says whether the alert still asks for somebody's attention: it was
// raised and is not closed.
func (r *Record) Current() bool {
	return r.Outcome.Life != nil && r.Outcome.Life.Status != rules.StatusClosed
}

// Duration is how long the alert has fired, up to now while it does; never negative.
func (r *Record) Duration(now time.Time) time.Duration {
	end := now
	if !r.Outcome.Ends.IsZero() {
		end = r.Outcome.Ends
	}
	return max(0, end.Sub(r.Outcome.Starts))
}
