package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

var (
	// ErrNoAlert is what the error wraps when there is no such alert.
	ErrNoAlert = errors.New("no such alert")
	// ErrAction is what the error wraps when an action lacks something.
	ErrAction = errors.New("the action cannot be used")
	// ErrUnanswered is what the error wraps when an action was stored, but has
	// not been carried out in time: it will be.
	ErrUnanswered = errors.New("the action is stored, but not carried out yet")
)

// ConflictError says that an alert is no longer, or not yet, as an action wants it.
type ConflictError struct {
	Why string
	By  string    // who made it so, where a person did
	At  time.Time // since when
}

func (e *ConflictError) Error() string {
	text := e.Why
	if e.By != "" {
		text += " by " + e.By
	}
	if !e.At.IsZero() {
		text += " at " + e.At.UTC().Format(time.RFC3339)
	}
	return text
}

// MaxShelf is how long an alert may lie on a shelf.
const MaxShelf = 24 * time.Hour

// What a person may write.
const (
	maxBy      = 256
	maxComment = 4096
)

// actPatience is how long Act waits for the worker. Tests wait longer.
var actPatience = 5 * time.Second

// actions are the actions, with the events by which one shows that it was carried out.
var actions = map[string][]string{
	rules.Acknowledge:   {rules.EventAcknowledged, rules.EventClosed},
	rules.Unacknowledge: {rules.EventUnacknowledged},
	rules.Clear:         {rules.EventCleared, rules.EventClosed},
	rules.Shelve:        {rules.EventShelved},
	rules.Unshelve:      {rules.EventUnshelved},
	rules.Reset:         {rules.EventReset, rules.EventCleared, rules.EventClosed},
	rules.Comment:       {rules.EventCommented},
}

// Actions are the names of the actions.
var Actions = []string{
	rules.Acknowledge, rules.Unacknowledge, rules.Clear, rules.Shelve, rules.Unshelve, rules.Reset, rules.Comment,
}

// Act does to an open alert what a person asks, and returns when it is done:
// with the alert as it is then. Of the action it needs Do, ID, By and what Do
// needs. The error wraps ErrNoAlert, ErrAction or ErrUnanswered, or is a
// *ConflictError.
func (e *Engine) Act(ctx context.Context, a rules.Action) (alerts.Record, error) {
	if err := checkAction(a, time.Now()); err != nil {
		return alerts.Record{}, fmt.Errorf("%w: %w", ErrAction, err)
	}
	if err := e.awaitDesk(ctx); err != nil {
		return alerts.Record{}, err
	}
	events, stop := e.board.wait(a.ID)
	defer stop()
	r := e.board.get(a.ID)
	if r == nil {
		return alerts.Record{}, e.noAlert(a.ID)
	}
	if err := conflict(a, r); err != nil {
		return *r, err
	}
	o := &r.Outcome
	if a.Do == rules.Acknowledge && o.Life.Ack.By == a.By {
		if strings.TrimSpace(a.Comment) == "" || a.Comment == o.Life.Ack.Comment {
			return *r, nil // sent again
		}
		a.Do = rules.Comment // who has taken it has more to say
	}
	a.Interaction, a.Rule = o.Interaction, o.Rule
	if err := e.send(ctx, placed{e.bus.Partition(o.Twin), act(a, o.Twin)}); err != nil {
		return alerts.Record{}, err
	}
	return awaitAction(ctx, a, events)
}

// awaitAction waits for the event that the action causes, or for the one that
// keeps it from being carried out.
func awaitAction(ctx context.Context, a rules.Action, events <-chan *alerts.Record) (alerts.Record, error) {
	patience := time.NewTimer(actPatience)
	defer patience.Stop()
	for {
		select {
		case <-ctx.Done():
			return alerts.Record{}, ctx.Err()
		case <-patience.C:
			return alerts.Record{}, fmt.Errorf("%w: nothing for %s", ErrUnanswered, actPatience)
		case r := <-events:
			if life := r.Outcome.Life; life.By == a.By && slices.Contains(actions[a.Do], life.Event) {
				return *r, nil
			}
			if err := conflict(a, r); err != nil {
				return *r, err
			}
		}
	}
}

func checkAction(a rules.Action, now time.Time) error {
	if actions[a.Do] == nil {
		hint := strictjson.DidYouMean(a.Do, Actions)
		if hint == "" {
			hint = "; want one of " + strings.Join(Actions, ", ")
		}
		return fmt.Errorf("no action %q%s", a.Do, hint)
	}
	return strictjson.Join(checkBy(a.By), checkComment(a), checkUntil(a, now))
}

func checkBy(by string) error {
	switch {
	case strings.TrimSpace(by) == "":
		return errors.New("by is missing; want who does it")
	case len(by) > maxBy:
		return fmt.Errorf("by has %d bytes; want at most %d", len(by), maxBy)
	}
	return nil
}

func checkComment(a rules.Action) error {
	needed := a.Do == rules.Shelve || a.Do == rules.Comment
	switch {
	case needed && strings.TrimSpace(a.Comment) == "":
		return fmt.Errorf("comment is missing; %s wants to know why", a.Do)
	case len(a.Comment) > maxComment:
		return fmt.Errorf("comment has %d bytes; want at most %d", len(a.Comment), maxComment)
	}
	return nil
}

func checkUntil(a rules.Action, now time.Time) error {
	if a.Do != rules.Shelve {
		if a.Until.IsZero() {
			return nil
		}
		return fmt.Errorf("%s has no end; until and for go with shelve alone", a.Do)
	}
	switch d := a.Until.Sub(now); {
	case a.Until.IsZero():
		return fmt.Errorf("until is missing; want the end of the shelf, within %s", MaxShelf)
	case d <= 0:
		return fmt.Errorf("until is %s, which is over; want a time to come", a.Until.UTC().Format(time.RFC3339))
	case d > MaxShelf:
		return fmt.Errorf("until is %s; want a time within %s", a.Until.UTC().Format(time.RFC3339), MaxShelf)
	}
	return nil
}

// conflict says why the action would change nothing about the alert; nil when it would.
func conflict(a rules.Action, r *alerts.Record) error {
	o := &r.Outcome
	life := o.Life
	shelf := life.Suppression
	if shelf != nil && shelf.By != rules.ByShelf {
		shelf = nil
	}
	switch {
	case !r.Current():
		return &ConflictError{"already closed", life.By, r.Times.Closed}
	case a.Do == rules.Acknowledge && !life.Ack.At.IsZero() && life.Ack.By != a.By:
		return &ConflictError{"already acknowledged", life.Ack.By, life.Ack.At}
	case a.Do == rules.Unacknowledge && life.Ack.At.IsZero():
		return &ConflictError{Why: "not acknowledged"}
	case a.Do == rules.Clear && o.State == rules.StateResolved:
		return &ConflictError{Why: "already cleared", At: o.Ends}
	case a.Do == rules.Reset && !life.Latched:
		return &ConflictError{Why: "not latched"}
	case a.Do == rules.Unshelve && shelf == nil:
		return &ConflictError{Why: "not shelved"}
	}
	return nil
}

// noAlert says that there is no open alert with the id.
func (e *Engine) noAlert(id string) error {
	hint := ""
	if e.board.len() <= maxHinted {
		hint = strictjson.DidYouMean(id, e.board.ids())
	}
	return fmt.Errorf("%w: %q%s", ErrNoAlert, id, hint)
}

// maxHinted is among how many alerts the one that was perhaps meant is looked for.
const maxHinted = 2000
