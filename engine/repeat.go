package engine

import (
	"context"
	"time"

	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

// repeat tells a sink again and again what fires, until ctx ends.
func (d *delivery) repeat(ctx context.Context, r sinks.Repeater) {
	tick := time.NewTicker(r.RepeatEvery())
	defer tick.Stop()
	for {
		if err := r.Repeat(ctx, d.firing(time.Now())); err != nil && ctx.Err() == nil {
			d.engine.noteSink(d.sink.Name, err)
			d.complain(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// firing are the open alerts that fire and that the sink is told of, singly or by
// a route: not what is silenced, shelved or inhibited now.
func (d *delivery) firing(now time.Time) []rules.Outcome {
	silenced := d.engine.silenced(now)
	var out []rules.Outcome
	for _, r := range d.engine.board.all() {
		o := &r.Outcome
		if o.State == rules.StateFiring && (d.sink.Quiet && d.sink.Match.Match(o) || o.Life.Suppression == nil && !silenced(o) && d.tells(o)) {
			out = append(out, *o)
		}
	}
	return out
}

// tells says whether the sink hears of the open alert.
func (d *delivery) tells(o *rules.Outcome) bool {
	if d.takes(o) {
		return true
	}
	h := d.untold.get(o.ID)
	return d.single() && h.Told() && (h != nil || d.sink.Match.Match(o))
}
