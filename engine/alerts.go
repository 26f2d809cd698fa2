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
// last first, as far as the newest 200,000 events of the history tell.
func (e *Engine) ClosedAlerts(ctx context.Context, filter alerts.Matchers) ([]alerts.Record, error) {
	episodes := map[string]*alerts.Record{}
	for event, err := range e.bus.History(ctx, bus.HistoryQuery{Newest: historyDepth}) {
		if err != nil {
			return nil, err
		}
		if event.Err != nil {
			continue
		}
		r := episodes[event.Outcome.ID]
		if r == nil {
			r = new(alerts.Record)
			episodes[event.Outcome.ID] = r
		}
		r.Apply(&event.Outcome)
	}
	var out []alerts.Record
	for _, r := range episodes {
		if r.Outcome.Life != nil && !r.Current() && filter.Match(&r.Outcome) {
			out = append(out, *r)
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
	q := bus.HistoryQuery{ID: id, Newest: historyDepth}
	open := e.board.get(id)
	if open != nil {
		q = bus.HistoryQuery{ID: id, Interaction: open.Outcome.Interaction, Rule: open.Outcome.Rule, Twin: open.Outcome.Twin}
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
