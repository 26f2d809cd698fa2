package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

// ErrStopped is what the error wraps when the engine does not run any more.
var ErrStopped = errors.New("the engine has stopped")

// follower is somebody who follows topics. What is below the line the hub's
// goroutine alone has.
type follower struct {
	topics []topic
	tails  tailSet
	hears  bool // it needs the silences
	give   func(*Event)
	gone   atomic.Bool
	began  string             // from where on it follows
	past   context.CancelFunc // ends its reading of what was before; nil: it reads nothing

	joined   bool // its tails are read for it
	listed   bool
	turn     uint64   // of the last event that it got
	holding  bool     // what comes is held until it has what was before
	held     []*Event // while it holds
	overflow bool     // there was too much to hold
}

// hub reads each tail that somebody follows once, and gives what comes to all who
// follow it. One goroutine runs it; others give it orders.
type hub struct {
	engine *Engine
	reader *bus.TailReader
	orders chan hubOrder
	ended  chan struct{}   // closed when it does not run any more
	pasts  sync.WaitGroup  // followers that read what was before
	life   context.Context // theirs
	kill   context.CancelFunc

	followers, behind atomic.Int64 // who follows; of them those that are given what was before

	leaving struct {
		sync.Mutex
		all []*follower
	}

	index   *index
	at      places // of the tails that are read
	turn    uint64
	events  events
	hearers int                // who need the silences
	hears   context.CancelFunc // ends the watch of them
	heard   chan struct{}      // closed when all silences are known
	hushed  sync.WaitGroup
}

type hubOrder struct {
	do   func(context.Context) error
	done chan error
}

func newHub(e *Engine) *hub {
	h := &hub{engine: e, reader: e.bus.NewTailReader(), orders: make(chan hubOrder, 64), ended: make(chan struct{}), index: newIndex()}
	h.life, h.kill = context.WithCancel(e.working)
	h.events = events{engine: e, index: h.index, at: &h.at, tell: h.tell, next: func() { h.turn++ }, reader: rules.NewReader("")}
	return h
}

// hubIdle is how long the hub waits for something to come.
const hubIdle = time.Minute

// run reads and gives until ctx ends.
func (h *hub) run(ctx context.Context) {
	defer h.hushed.Wait()
	defer h.pasts.Wait()
	defer h.kill()
	defer close(h.ended)
	defer h.reader.Close()
	var batch []bus.TailMessage
	for {
		h.obey(ctx)
		h.dismiss()
		var err error
		if batch, err = h.reader.Next(ctx, hubIdle, batch); err != nil {
			return
		}
		h.events.begin()
		for i := range batch {
			h.events.message(ctx, &batch[i])
		}
	}
}

// order has f done by the hub's goroutine between two batches.
func (h *hub) order(ctx context.Context, f func(context.Context) error) error {
	o := hubOrder{f, make(chan error, 1)}
	select {
	case h.orders <- o:
	case <-h.ended:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	h.reader.Wake()
	select {
	case err := <-o.done:
		return err
	case <-h.ended:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hub) obey(ctx context.Context) {
	for {
		select {
		case o := <-h.orders:
			o.done <- o.do(ctx)
		default:
			return
		}
	}
}

// leave lets a follower go. It may be called from anywhere, also by the
// follower's own function.
func (h *hub) leave(f *follower) {
	if f.gone.Swap(true) {
		return
	}
	if f.past != nil {
		f.past()
	}
	h.leaving.Lock()
	h.leaving.all = append(h.leaving.all, f)
	h.leaving.Unlock()
	h.reader.Wake()
}

// dismiss forgets those who have left, and ends the tails that nobody follows.
func (h *hub) dismiss() {
	h.leaving.Lock()
	all := h.leaving.all
	h.leaving.all = nil
	h.leaving.Unlock()
	for _, f := range all {
		h.unlist(f)
		if f.joined {
			for t := range f.tails.each {
				h.index.uses[t]--
			}
			if f.hears {
				h.unhear()
			}
			if f.tails != 0 {
				h.followers.Add(-1)
			}
			f.joined = false
		}
	}
	if len(all) == 0 {
		return
	}
	for t := range h.at.known.each {
		if h.index.uses[t] == 0 {
			h.reader.End(t)
			h.at.known &^= 1 << t
		}
	}
}

func (h *hub) list(f *follower) {
	h.index.add(f)
	f.listed = true
}

func (h *hub) unlist(f *follower) {
	if f.listed {
		h.index.remove(f)
		f.listed = false
	}
}

// join lets the tails of a follower be read, from now on where nobody did.
func (h *hub) join(ctx context.Context, f *follower) (err error) {
	if f.gone.Load() {
		return context.Canceled
	}
	var begun tailSet
	for t := range f.tails.each {
		if h.at.known.has(t) {
			continue
		}
		if err = h.open(ctx, t); err != nil {
			break
		}
		begun |= 1 << t
	}
	if err != nil {
		for t := range begun.each {
			h.reader.End(t)
			h.at.known &^= 1 << t
		}
		return err
	}
	for t := range f.tails.each {
		h.index.uses[t]++
	}
	if f.hears {
		h.hear(ctx)
	}
	if f.tails != 0 {
		h.followers.Add(1)
	}
	f.joined = true
	return nil
}

func (h *hub) open(ctx context.Context, t bus.Tail) error {
	_, last, err := h.engine.bus.TailEnds(ctx, t)
	if err != nil {
		return err
	}
	if err := h.reader.Begin(ctx, t, last+1); err != nil {
		return err
	}
	h.at.set(t, tailPlace{last, whole})
	return nil
}

// listen lets the silences be known to this worker, and not only to the desk,
// until the listener leaves.
func (h *hub) listen(ctx context.Context) (listener *follower, err error) {
	f := &follower{hears: true}
	if err := h.enter(ctx, f, func() {}); err != nil {
		return nil, err
	}
	return f, nil
}

// enter lets the tails of a follower be read and the silences be known, and has
// then done what is to be done at once.
func (h *hub) enter(ctx context.Context, f *follower, then func()) error {
	var heard chan struct{}
	err := h.order(ctx, func(ctx context.Context) error {
		err := h.join(ctx, f)
		if err == nil {
			heard = h.heard
			then()
		}
		return err
	})
	if err == nil && f.hears {
		err = h.await(ctx, heard)
	}
	if err != nil {
		h.leave(f) // the order may still be carried out
	}
	return err
}

func (h *hub) await(ctx context.Context, heard chan struct{}) error {
	select {
	case <-heard:
		return nil
	case <-h.ended:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hear and unhear count those who need the silences.
func (h *hub) hear(ctx context.Context) {
	if h.hearers++; h.hearers > 1 {
		return
	}
	ctx, h.hears = context.WithCancel(ctx)
	heard := make(chan struct{})
	h.heard = heard
	h.hushed.Go(func() { h.engine.listen(ctx, func() { close(heard) }) })
}

func (h *hub) unhear() {
	if h.hearers--; h.hearers == 0 {
		h.hears()
	}
}

// follow lets f follow its topics from now on.
func (h *hub) follow(ctx context.Context, f *follower) error {
	if err := h.enter(ctx, f, func() { h.list(f); f.began = h.at.String() }); err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	return nil
}

// tell gives an event to a follower, once.
func (h *hub) tell(f *follower, e *Event) {
	if f.turn == h.turn || f.gone.Load() {
		return
	}
	f.turn = h.turn
	if !f.holding {
		f.give(e)
		return
	}
	if len(f.held) == maxHeld {
		f.overflow, f.held = true, nil
		return
	}
	if !f.overflow {
		f.held = append(f.held, e)
	}
}

func (h *hub) counts() Followers {
	behind := h.behind.Load()
	return Followers{Live: max(h.followers.Load()-behind, 0), Behind: behind}
}
