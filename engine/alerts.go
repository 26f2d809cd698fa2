package engine

import (
	"context"
	"slices"
	"strings"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

// historyDepth is how many events of the history are looked through for an
// episode or for closed alerts: a fraction of a second.
const historyDepth = 200_000

// Alerts are the open alerts that match, those that began last first.
func (e *Engine) Alerts(filter alerts.Matchers) []alerts.Record {
	var out []alerts.Record
	for _, r := range e.board.all() {
		if filter.Match(&r.Outcome) {
			out = append(out, *r)
		}
	}
	newestFirst(out)
	return out
}

func newestFirst(records []alerts.Record) {
	slices.SortFunc(records, func(a, b alerts.Record) int {
		if c := b.Outcome.Starts.Compare(a.Outcome.Starts); c != 0 {
			return c
		}
		return strings.Compare(a.Outcome.ID, b.Outcome.ID)
	})
}

// ClosedAlerts are the alerts that match and that are closed, those that began
// last first, as far as the newest 200,000 events of the history tell. They are
// as their last event says; who commented before that, Alert knows.
func (e *Engine) ClosedAlerts(ctx context.Context, filter alerts.Matchers) ([]alerts.Record, error) {
	// Only the last event of an episode is closed.
	q := bus.HistoryQuery{Holds: `"status":"` + rules.StatusClosed + `"`, Newest: historyDepth}
	var out []alerts.Record
	for event, err := range e.bus.History(ctx, q) {
		if err != nil {
			return nil, err
		}
		var r alerts.Record
		if event.Err == nil && filter.Match(&event.Outcome) && r.Apply(&event.Outcome) && !r.Current() {
			out = append(out, r)
		}
	}
	newestFirst(out)
	return out, nil
}

// Alert is the alert with the id of an episode: an open one, or a closed one
// that the history still has. The error may wrap ErrNoAlert.
func (e *Engine) Alert(ctx context.Context, id string) (alerts.Record, error) {
	if r := e.board.get(id); r != nil {
		return *r, nil
	}
	events, err := e.AlertHistory(ctx, id)
	if err != nil {
		return alerts.Record{}, err
	}
	var r alerts.Record
	for i := range events {
		r.Apply(&events[i])
	}
	if r.Outcome.Life == nil {
		return r, e.noAlert(id)
	}
	return r, nil
}

// AlertHistory is what became of an episode, the oldest event first, as far as
// the history still has it. The error may wrap ErrNoAlert.
func (e *Engine) AlertHistory(ctx context.Context, id string) ([]rules.Outcome, error) {
	q := bus.HistoryQuery{Holds: `"id":"` + id + `"`, Newest: historyDepth}
	open := e.board.get(id)
	if open != nil {
		q.Newest, q.Interaction, q.Rule, q.Twin = 0, open.Outcome.Interaction, open.Outcome.Rule, open.Outcome.Twin
	}
	var out []rules.Outcome
	for event, err := range e.bus.History(ctx, q) {
		if err != nil {
			return nil, err
		}
		if event.Err == nil && event.Outcome.ID == id {
			out = append(out, event.Outcome)
		}
	}
	if len(out) == 0 && open == nil {
		return nil, e.noAlert(id)
	}
	return out, nil
}
