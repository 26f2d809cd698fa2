package engine

import (
	"context"
	"fmt"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/internal/pause"
	"tocsin.internal/rules"
)

const (
	// maxHeld is how many events are held for a follower that has nearly come up
	// with the others; nearby is how many messages it may lack then.
	maxHeld = 8192
	nearby  = 1000
	// lastHeld is how many of them may be given at once, as the others get them.
	lastHeld = 512
	// pastIdle is how long a follower waits for what was before, and pastPause for
	// the others to come up with it.
	pastIdle, pastPause = 50 * time.Millisecond, 5 * time.Millisecond
)

// past gives a follower what came after a place until it has come up with the hub,
// which then goes on. It never runs ahead of the hub. One goroutine uses it.
type past struct {
	hub     *hub
	f       *follower
	reader  *bus.TailReader
	events  events
	at      places            // what the follower has
	limit   places            // what the hub has, as far as it was looked
	pending [bus.Tails]uint64 // messages that were still to come
	batch   []bus.TailMessage
	quiet   [bus.Tails]bool // nothing of it was on its way just now
	turn    uint64
	given   uint64 // the turn of the last event that it got
}

// resume lets f follow its topics from the places on.
func (h *hub) resume(ctx context.Context, f *follower, from places) error { //nolint:contextcheck // ctx is that of the beginning alone
	pastCtx, cancel := context.WithCancel(h.life)
	f.past = cancel
	err := h.enter(ctx, f, func() {
		p := &past{hub: h, f: f, at: from}
		for t := range f.tails.each {
			if !from.known.has(t) {
				p.at.set(t, h.at.at[t])
			}
		}
		p.at.known = f.tails
		heard := h.heard
		f.began = p.at.String()
		h.pasts.Go(func() {
			h.behind.Add(1)
			defer h.behind.Add(-1)
			if !f.hears || h.await(pastCtx, heard) == nil {
				p.run(pastCtx)
			}
		})
	})
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	return nil
}

func (p *past) run(ctx context.Context) {
	p.reader = p.hub.engine.bus.NewTailReader()
	defer p.reader.Close()
	p.events = events{
		engine: p.hub.engine, index: newIndex(), at: &p.at, tell: p.tell, next: func() { p.turn++ }, reader: rules.NewReader(""), past: true,
	}
	p.events.index.add(p.f)
	for first := true; ; first = false {
		err := retry(ctx, func(ctx context.Context) error { return p.begin(ctx, first) }, p.hub.engine.trouble)
		if err != nil {
			return
		}
		if p.approach(ctx) != nil || p.hold(ctx) != nil {
			return
		}
		if again, err := p.hand(ctx); !again || err != nil {
			return
		}
	}
}

// begin reads from where the follower is. At first that may be before the oldest
// message, or in a stream that was there before this one.
func (p *past) begin(ctx context.Context, first bool) error {
	for t := range p.f.tails.each {
		p.quiet[t] = true
		if first {
			oldest, last, err := p.hub.engine.bus.TailEnds(ctx, t)
			if err != nil {
				return err
			}
			if at := p.at.at[t].seq; at > last || at+1 < oldest {
				p.at.set(t, tailPlace{oldest - 1, whole})
			}
		}
		p.pending[t] = nearby + 1
		from := p.at.at[t].seq
		if p.at.at[t].index == whole {
			from++
		}
		var err error
		if partition, ok := p.partition(); ok && t == bus.SampleTail {
			err = p.reader.BeginOf(ctx, partition, from)
		} else {
			err = p.reader.Begin(ctx, t, from)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// partition is the one in which all samples lie that it follows.
func (p *past) partition() (n int, ok bool) {
	for i := range p.f.topics {
		t := &p.f.topics[i]
		if !t.tails.has(bus.SampleTail) {
			continue
		}
		at := p.hub.engine.bus.Partition(t.key.twin)
		if t.kind != FeedTopic || ok && at != n {
			return 0, false
		}
		n, ok = at, true
	}
	return n, ok
}

func (p *past) tell(f *follower, e *Event) {
	if p.given != p.turn && !f.gone.Load() {
		p.given = p.turn
		f.give(e)
	}
}

// look takes note of where the hub is.
func (p *past) look(ctx context.Context) error {
	return p.hub.order(ctx, func(context.Context) error { p.limit = p.hub.at; return nil })
}

// approach gives what was before until only little is left.
func (p *past) approach(ctx context.Context) error {
	for {
		if err := p.look(ctx); err != nil {
			return err
		}
		near := true
		for t := range p.f.tails.each {
			done, err := p.has(ctx, t)
			if err != nil {
				return err
			}
			near = near && (done || p.pending[t] <= nearby)
		}
		if near {
			return nil
		}
		if err := p.read(ctx, true); err != nil {
			return err
		}
	}
}

// has says whether the follower has of a tail all that the hub had.
func (p *past) has(ctx context.Context, t bus.Tail) (bool, error) {
	limit := p.limit.at[t].seq
	if at := p.at.at[t]; at.seq >= limit && at.index == whole {
		return true, nil
	}
	if !p.quiet[t] {
		return false, nil
	}
	more := false
	err := retry(ctx, func(ctx context.Context) (err error) {
		from := p.at.at[t].seq
		if p.at.at[t].index != whole {
			from--
		}
		more, err = p.reader.Has(ctx, t, from, limit)
		return err
	}, p.hub.engine.trouble)
	if err == nil && !more {
		p.at.set(t, tailPlace{max(limit, p.at.at[t].seq), whole})
	}
	return !more, err
}

// read gives what comes next. What the hub has not given yet waits for it, or is
// left to it.
func (p *past) read(ctx context.Context, wait bool) (err error) {
	if p.batch, err = p.reader.Next(ctx, pastIdle, p.batch); err != nil {
		return err
	}
	for t := range p.f.tails.each {
		p.quiet[t] = true
	}
	p.events.begin()
	for i := range p.batch {
		m := &p.batch[i]
		p.quiet[m.Tail] = false
		for m.Seq > p.limit.at[m.Tail].seq {
			if !wait {
				break
			}
			if err := pause.For(ctx, pastPause); err != nil {
				return err
			}
			if err := p.look(ctx); err != nil {
				return err
			}
		}
		if m.Seq > p.limit.at[m.Tail].seq {
			continue
		}
		p.pending[m.Tail] = m.Pending
		p.events.message(ctx, m)
	}
	return nil
}

// hold lets the hub hold what comes from now on, and gives what was before.
func (p *past) hold(ctx context.Context) error {
	err := p.hub.order(ctx, func(context.Context) error {
		if p.f.gone.Load() {
			return context.Canceled
		}
		p.limit = p.hub.at
		p.f.holding = true
		p.hub.list(p.f)
		return nil
	})
	if err != nil {
		return err
	}
	for {
		all := true
		for t := range p.f.tails.each {
			done, err := p.has(ctx, t)
			if err != nil {
				return err
			}
			all = all && done
		}
		if all {
			return nil
		}
		if err := p.read(ctx, false); err != nil {
			return err
		}
	}
}

// hand gives what the hub holds until that is little enough to be given by the
// hub itself, which goes on. Where the hub had to give up holding, it has to be
// read again.
func (p *past) hand(ctx context.Context) (again bool, err error) {
	for {
		var held []*Event
		err := p.hub.order(ctx, func(context.Context) error {
			f := p.f
			held, again = f.held, f.overflow
			f.held, f.overflow = nil, false
			if again {
				p.hub.unlist(f)
			}
			if again || len(held) <= lastHeld {
				f.holding = false
				for _, e := range held {
					if !f.gone.Load() {
						f.give(e)
					}
				}
				held = nil
			}
			return nil
		})
		if again || err != nil || held == nil {
			return again, err
		}
		for _, e := range held {
			if p.f.gone.Load() {
				return false, nil
			}
			old := *e
			old.Past = true
			p.f.give(&old)
		}
		if at, err := parsePlaces(held[len(held)-1].ID); err == nil {
			for t := range p.f.tails.each {
				p.at.set(t, at.at[t])
			}
		}
	}
}
