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

// Alerts are the open alerts that match, those that began last first, at most
// limit of them, and how many there are in all.
func (e *Engine) Alerts(filter alerts.Matchers, limit int) (records []alerts.Record, total int) {
	open := slices.DeleteFunc(e.board.all(), func(r *alerts.Record) bool { return !filter.Match(&r.Outcome) })
	return newest(open, limit), len(open)
}

// newest are the limit records that began last, those first.
func newest(records []*alerts.Record, limit int) []alerts.Record {
	slices.SortFunc(records, func(a, b *alerts.Record) int {
		if c := b.Outcome.Starts.Compare(a.Outcome.Starts); c != 0 {
			return c
		}
		return strings.Compare(a.Outcome.ID, b.Outcome.ID)
	})
	var out []alerts.Record
	for _, r := range records[:min(len(records), limit)] {
		out = append(out, *r)
	}
	return out
}

// scan waits until nobody else looks through the whole history; done ends it.
func (e *Engine) scan(ctx context.Context) (done func(), err error) {
	select {
	case e.scanning <- struct{}{}:
		return func() { <-e.scanning }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ClosedAlerts are the alerts that match and that are closed, those that began
// last first, at most limit of them, and how many there are in all, as far as
// the newest 200,000 events of the history tell. They are as their last event
// says; who commented before that, Alert knows.
func (e *Engine) ClosedAlerts(ctx context.Context, filter alerts.Matchers, limit int) (records []alerts.Record, total int, err error) {
	done, err := e.scan(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	// Only the last event of an episode is closed.
	q := bus.HistoryQuery{Holds: `"status":"` + rules.StatusClosed + `"`, Newest: historyDepth}
	var closed []*alerts.Record
	for event, err := range e.bus.History(ctx, q) {
		if err != nil {
			return nil, 0, err
		}
		r := new(alerts.Record)
		if event.Err == nil && filter.Match(&event.Outcome) && r.Apply(&event.Outcome) && !r.Current() {
			closed = append(closed, r)
		}
	}
	return newest(closed, limit), len(closed), nil
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

// isEpisodeID says whether the text can be the id of an episode: al_ and 26
// letters and digits.
func isEpisodeID(id string) bool {
	rest, ok := strings.CutPrefix(id, "al_")
	return ok && len(rest) == 26 && !strings.ContainsFunc(rest, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

// AlertHistory is what became of an episode, the oldest event first, as far as
// the history still has it. The error may wrap ErrNoAlert.
func (e *Engine) AlertHistory(ctx context.Context, id string) ([]rules.Outcome, error) {
	q := bus.HistoryQuery{Holds: `"id":"` + id + `"`, Newest: historyDepth}
	open := e.board.get(id)
	switch {
	case open != nil:
		q.Newest, q.Interaction, q.Rule, q.Twin = 0, open.Outcome.Interaction, open.Outcome.Rule, open.Outcome.Twin
	case !isEpisodeID(id):
		return nil, e.noAlert(id)
	default:
		done, err := e.scan(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
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
