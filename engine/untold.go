package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

// untold is which open episodes a sink, which gets alerts singly, was not told
// of. The bucket has the same, so that a restart changes nothing.
type untold struct {
	mu   sync.Mutex
	held map[string]*alerts.Held  // by episode
	busy map[string]chan struct{} // episodes that are being told of; closed when that is over
	next map[string]retrial       // of those that the sink did not take
}

// retrial is how often the sink has been tried, and when it may be tried again.
type retrial struct {
	attempts int
	at       time.Time
}

func newUntold() *untold {
	return &untold{held: map[string]*alerts.Held{}, busy: map[string]chan struct{}{}, next: map[string]retrial{}}
}

// claim waits until nobody else tells of the episode, and gives what is held of
// it. It says false when ctx ends before. release ends the claim.
func (u *untold) claim(ctx context.Context, id string) (h *alerts.Held, release func(), ok bool) {
	for {
		u.mu.Lock()
		other := u.busy[id]
		if other == nil {
			break
		}
		u.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, nil, false
		}
	}
	defer u.mu.Unlock()
	over := make(chan struct{})
	u.busy[id] = over
	return u.held[id], func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.busy, id)
		close(over)
	}, true
}

// get is what is held of the episode; nil: nothing.
func (u *untold) get(id string) *alerts.Held {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.held[id]
}

// set takes in what is held of the episode from now on; nil: nothing.
func (u *untold) set(id string, h *alerts.Held) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.held[id] = h; h == nil {
		delete(u.held, id)
		delete(u.next, id)
	}
}

// due are the episodes that can be told of now, those that began first first.
func (u *untold) due(now time.Time, silenced func(*rules.Outcome) bool) (ids []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, h := range u.held {
		if u.busy[id] == nil && !now.Before(u.next[id].at) && h.Due(silenced) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return u.held[a].Last.Starts.Compare(u.held[b].Last.Starts) })
	return ids
}

// attempts is how often the sink has been told of the episode in vain.
func (u *untold) attempts(id string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.next[id].attempts
}

// tryAgain takes note of that, and of when to try again.
func (u *untold) tryAgain(id string, attempts int, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.next[id] = retrial{attempts, at}
}

// single says whether the sink gets alerts one by one, and not all of them.
func (d *delivery) single() bool {
	return d.route == "" && !d.sink.Quiet && (d.sink.Kind == "" || d.sink.Kind == rules.Alert)
}

// recall reads which episodes the sink was not told of.
func (d *delivery) recall(ctx context.Context) error {
	d.untold = newUntold()
	if !d.single() {
		return nil
	}
	for doc, err := range d.engine.bus.Held(ctx, d.sink.Name) {
		if err != nil {
			return err
		}
		h, err := alerts.DecodeHeld(doc)
		if err != nil {
			return err
		}
		d.untold.set(h.Last.ID, h)
	}
	return nil
}

// hold writes down what is held of the episode from now on.
func (d *delivery) hold(ctx context.Context, id string, last, next *alerts.Held) error {
	var err error
	switch {
	case last == next:
		return nil
	case next == nil:
		err = d.engine.bus.Release(ctx, d.sink.Name, id)
	default:
		err = d.engine.bus.Hold(ctx, d.sink.Name, id, next.AppendJSON(nil))
	}
	if err == nil {
		d.untold.set(id, next)
	}
	return err
}

// keep answers for a delivery that is over when it is written down what is held.
func (d *delivery) keep(ctx context.Context, id string, last, next *alerts.Held) bus.Answer {
	if err := d.hold(ctx, id, last, next); err != nil {
		d.engine.trouble(err)
		return bus.Answer{Again: time.Second}
	}
	return bus.Answer{Done: true}
}

// skip is done with an event that the sink hears of elsewhere.
func (d *delivery) skip(ctx context.Context, id string) bus.Answer {
	h, release, ok := d.untold.claim(ctx, id)
	if !ok {
		return bus.Answer{}
	}
	defer release()
	return d.keep(ctx, id, h, nil)
}

// alert tells the sink of an event, or holds it back.
func (d *delivery) alert(ctx context.Context, x bus.Delivery) bus.Answer {
	o := &x.Outcome
	h, release, ok := d.untold.claim(ctx, o.ID)
	if !ok {
		return bus.Answer{}
	}
	defer release()
	next, tell := h.Next(o, d.kept(time.Now())(o))
	switch {
	case tell:
		if answer := d.attempt(ctx, x); !answer.Done {
			return answer
		}
	case o.Life.Silent:
		d.engine.stats.silent.Add(1)
	case !d.sink.Match.Match(o):
		d.leaveOut()
	default:
		d.engine.stats.silenced.Add(1)
		d.engine.stats.told.add(o, Told{Silenced: 1})
	}
	return d.keep(ctx, o.ID, h, next)
}

// untoldEvery is how often it is looked whether a silence is over.
const untoldEvery = time.Second

// tellUntold tells the sink of what still fires when nothing keeps it from the
// sink any more, until ctx ends.
func (d *delivery) tellUntold(ctx context.Context) {
	tick := time.NewTicker(untoldEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		var over []string
		for _, id := range d.untold.due(now, d.kept(now)) {
			if d.engine.board.get(id) == nil {
				over = append(over, id)
			} else {
				d.tellOf(ctx, id)
			}
		}
		if err := d.forget(ctx, over); err != nil && ctx.Err() == nil {
			d.engine.trouble(err)
		}
	}
}

// tellOf tells the sink of an episode as it is, if it still can be told.
func (d *delivery) tellOf(ctx context.Context, id string) {
	h, release, ok := d.untold.claim(ctx, id)
	if !ok {
		return
	}
	defer release()
	now := time.Now()
	if h == nil || !h.Due(d.kept(now)) {
		return
	}
	n := d.untold.attempts(id) + 1
	answer := d.attempt(ctx, bus.Delivery{Outcome: h.Last, Attempt: n, Data: h.Last.AppendJSON(nil)})
	if answer.Done {
		answer = d.keep(ctx, id, h, nil)
	}
	if !answer.Done {
		d.untold.tryAgain(id, n, now.Add(answer.Again))
	}
}

// forget drops episodes that are over, but whose end the sink's events do not
// have: an event that was delivered late had been overtaken by it.
func (d *delivery) forget(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	if done, err := d.engine.projected(ctx); !done || err != nil {
		return err // what fires may not be known yet
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return d.engine.board.get(id) != nil })
	if n, err := d.waiting.Waiting(ctx); n > 0 || err != nil {
		return err // its end may be among them
	}
	for _, id := range ids {
		if answer := d.skip(ctx, id); !answer.Done {
			return ctx.Err()
		}
	}
	return nil
}
