package bus

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// ahead is how much work is fetched before it is needed, in time.
	ahead = 250 * time.Millisecond
	// maxAhead and maxAheadBytes bound it.
	maxAhead      = 256
	maxAheadBytes = 4 << 20
	// Workers find so much work waiting for them, and so many parcels at most: for a
	// sink that is faster than this the dispatcher need not be asked each time.
	spare    = time.Millisecond
	maxSpare = 32
	// heldBytes is how much may be in hand at a time, what waits for its next
	// attempt included.
	heldBytes = 32 << 20
	// A lane may hold one part in laneShare of what there is room for.
	laneShare = 4
	// lastCall is short: what is given back has used up an attempt, but whoever stops
	// an engine waits.
	lastCall = time.Second
	// After so many failures in a row the sink is down: it is tried by one delivery
	// at a time, with a pause as long as the wait for the next attempt, at most
	// longestPause.
	downAfter    = 5
	longestPause = time.Minute
)

// dispatcher hands what the pullers fetch to the workers. One goroutine runs it.
type dispatcher struct {
	*Deliveries
	pullers []*puller
	workers sync.WaitGroup
	arrived chan arrival
	work    chan *parcel
	worked  chan worked
	due     chan *lane
	ended   chan struct{} // closed when nobody takes what is due

	ready    []*parcel
	lanes    map[string]*lane
	asked    map[*puller]bool // they are fetching
	pulling  int              // pullers that have not ended
	flying   int              // parcels that are handed out
	held     int              // parcels in hand
	behind   int              // of them: in lanes that wait for their next attempt
	bytes    int              // of them
	average  int              // bytes of one
	took     time.Duration    // a delivery, on average
	failures int              // in a row
	until    time.Time        // no attempt before, when the sink is down
}

// worked is a parcel that a worker is done with.
type worked struct {
	parcel *parcel
	answer Answer
	took   time.Duration
}

// lane is the parcels of one twin, the first of which is ready, with a worker, or
// waits for its next attempt.
type lane struct {
	name    string
	parcels []*parcel
	bytes   int
	waiting *time.Timer // nil: it does not wait
}

func newDispatcher(d *Deliveries) (*dispatcher, error) {
	r := &dispatcher{
		Deliveries: d, arrived: make(chan arrival), work: make(chan *parcel, d.subscription.Workers+maxSpare), worked: make(chan worked, d.subscription.Workers+maxSpare),
		due: make(chan *lane), ended: make(chan struct{}), lanes: map[string]*lane{}, asked: map[*puller]bool{}, took: ahead,
	}
	for _, l := range d.backlogs {
		c, err := newCustody(d.bus.nc)
		if err != nil {
			r.close()
			return nil, err
		}
		r.pullers = append(r.pullers, &puller{backlog: l, custody: c, ordered: d.ordered(), trouble: d.trouble, ask: make(chan int, 1), arrive: r.arrived})
	}
	return r, nil
}

func (r *dispatcher) close() {
	for _, p := range r.pullers {
		p.close()
	}
}

// start starts the workers, who get work's context, and the pullers, who end with ctx.
func (r *dispatcher) start(ctx, work context.Context, deliver func(context.Context, Delivery) Answer) {
	for range r.subscription.Workers {
		r.workers.Go(func() {
			for p := range r.work {
				began := time.Now()
				answer := r.one(work, p, deliver)
				r.worked <- worked{p, answer, time.Since(began)}
			}
		})
	}
	r.pulling = len(r.pullers)
	for _, p := range r.pullers {
		r.workers.Go(func() { p.run(ctx) })
		r.asked[p] = true // until it knows where it is
	}
}

// one delivers a parcel. A letter that has arrived, or whose place another one
// has taken, goes.
func (r *dispatcher) one(ctx context.Context, p *parcel, deliver func(context.Context, Delivery) Answer) Answer {
	d := p.delivery
	d.Outcome, d.Err = r.bus.readOutcome(d.subject, d.Data)
	answer := deliver(ctx, d)
	if d.Letter == 0 || !answer.Done {
		return answer
	}
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	if err := r.bus.endRetry(over, d.Letter, p.seq); err != nil {
		r.trouble(err)
		return Answer{Again: time.Second}
	}
	return answer
}

// run hands out parcels until ctx has ended and all is done or given back.
func (r *dispatcher) run(ctx context.Context) {
	beat := time.NewTicker(r.subscription.AckWait / 3)
	defer beat.Stop()
	retry := time.NewTimer(0) // when the sink is down: to try it again
	defer retry.Stop()
	var late <-chan time.Time
	stop, closing := ctx.Done(), false
	for {
		for more := !closing; more; {
			more = r.next(time.Now())
		}
		if stop == nil && r.pulling == 0 && r.flying == 0 {
			break
		}
		select {
		case a := <-r.arrived:
			r.take(a)
		case w := <-r.worked:
			r.finish(w, ctx.Err() != nil)
			for range len(r.worked) {
				r.finish(<-r.worked, ctx.Err() != nil)
			}
			if r.down() {
				retry.Reset(time.Until(r.until))
			}
		case l := <-r.due:
			r.wake(l)
		case <-retry.C:
		case now := <-beat.C:
			for _, p := range r.pullers {
				p.beat(now, r.subscription.AckWait/3)
			}
		case <-stop:
			stop, late = nil, time.After(r.lastCall)
		case <-late:
			closing = true
		}
		if stop != nil {
			r.fetch(time.Now())
		}
	}
	r.end(context.WithoutCancel(ctx))
}

// end gives back what is left, when nobody works any more.
func (r *dispatcher) end(ctx context.Context) {
	close(r.ended)
	for _, l := range r.lanes {
		if l.waiting != nil {
			l.waiting.Stop()
		}
	}
	close(r.work)
	r.workers.Wait()
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	for _, p := range r.pullers {
		p.settle(ctx, p.ordered)
	}
}

func (r *dispatcher) down() bool { return r.failures >= downAfter }

// next hands out a parcel, if there is one and it may be begun soon.
func (r *dispatcher) next(now time.Time) bool {
	workers := r.subscription.Workers
	switch {
	case len(r.ready) == 0 || r.flying >= workers+min(workers*int(spare/max(r.took, time.Microsecond)), maxSpare):
		return false
	case r.down() && (r.flying > 0 || now.Before(r.until)):
		return false
	}
	p := r.ready[0]
	r.ready = r.ready[1:]
	r.flying++
	p.delivery.Crowded = p.lane != nil && r.crowded(p.lane)
	r.work <- p
	return true
}

// fetch asks the pullers that have nothing to do for as much as there is room for.
func (r *dispatcher) fetch(now time.Time) {
	for _, p := range r.pullers {
		if r.asked[p] {
			continue
		}
		if n := r.room(now); n > 0 {
			r.asked[p] = true
			p.ask <- n
		}
	}
}

// room is how many parcels should be fetched: as many as will be worked on soon.
func (r *dispatcher) room(now time.Time) int {
	coming := r.held - r.behind
	switch {
	case r.bytes >= heldBytes:
		return 0
	case r.down() && (coming > 0 || now.Before(r.until)):
		return 0
	case r.down():
		return 1
	}
	workers := r.subscription.Workers
	want := workers + int(time.Duration(workers)*ahead/max(r.took, time.Microsecond))
	want = min(want, max(maxAhead, 2*workers), max(maxAheadBytes/max(r.average, 1), workers))
	if n := want - coming; 2*n >= want {
		return n
	}
	return 0
}

// take takes in what a puller says.
func (r *dispatcher) take(a arrival) {
	for _, p := range a.parcels {
		r.add(p)
	}
	if a.idle {
		r.asked[a.from] = false
	}
	if a.ended {
		r.pulling--
	}
}

// add puts a parcel in its lane. The first of a lane is ready.
func (r *dispatcher) add(p *parcel) {
	size := len(p.delivery.Data)
	r.held++
	r.bytes += size
	r.average += (size - r.average) / 16
	if !r.subscription.ByTwin {
		p.waits = false
		r.ready = append(r.ready, p)
		return
	}
	name := laneOf(strings.TrimPrefix(p.delivery.subject, r.bus.root))
	l := r.lanes[name]
	if l == nil {
		l = &lane{name: name}
		r.lanes[name] = l
	}
	p.lane = l
	l.parcels = append(l.parcels, p)
	l.bytes += size
	switch {
	case len(l.parcels) == 1:
		r.ready = append(r.ready, p)
	case l.waiting != nil:
		r.behind++
		if r.crowded(l) {
			l.waiting.Stop()
			r.wake(l)
		}
	}
}

// laneOf is what a subject, without the root of all, says of the twin that was
// judged; of a notification its topic.
func laneOf(subject string) string {
	t := strings.Split(subject, ".")
	switch {
	case t[0] == "alert" && len(t) > 4:
		return t[4]
	case len(t) > 2:
		return t[2]
	}
	return subject
}

// crowded says whether a lane has more than its share of the room.
func (r *dispatcher) crowded(l *lane) bool {
	return len(l.parcels) > 1 && (len(l.parcels) > (r.pending-r.held)/laneShare || l.bytes > (heldBytes-r.bytes)/laneShare)
}

// wake lets the first of a lane that has waited be tried again.
func (r *dispatcher) wake(l *lane) {
	if l.waiting != nil {
		l.waiting = nil
		r.behind -= len(l.parcels)
		r.ready = append(r.ready, l.parcels[0])
	}
}

// finish does what the answer says. What was left because the deliveries are
// being stopped stays in hand, to be given back.
func (r *dispatcher) finish(w worked, stopping bool) {
	p := w.parcel
	r.flying--
	r.took += (w.took - r.took) / 8
	switch {
	case w.answer.Done:
		r.failures = 0
		p.from.acknowledge(p.seq, time.Now())
	case w.answer.Again <= 0 && stopping:
		return
	default:
		r.fail(w.answer.Again)
		if p.waits {
			p.delivery.Attempt++
			r.wait(p.lane, w.answer.Again)
			return
		}
		p.from.postpone(p.seq, w.answer.Again)
	}
	r.drop(p)
}

// fail counts a failure. After some of them in a row the sink is left alone.
func (r *dispatcher) fail(wait time.Duration) {
	if r.failures++; r.failures == downAfter {
		r.trouble(fmt.Errorf("%d attempts in a row have failed; one at a time is made until one succeeds", downAfter))
	}
	if r.down() {
		r.until = time.Now().Add(min(wait, longestPause))
	}
}

// wait lets a lane wait for the next attempt at its first parcel.
func (r *dispatcher) wait(l *lane, d time.Duration) {
	r.behind += len(l.parcels)
	l.waiting = time.AfterFunc(d, func() {
		select {
		case r.due <- l:
		case <-r.ended:
		}
	})
}

// drop forgets a parcel, and lets the next of its lane go.
func (r *dispatcher) drop(p *parcel) {
	size := len(p.delivery.Data)
	r.held--
	r.bytes -= size
	l := p.lane
	if l == nil {
		return
	}
	l.parcels = l.parcels[1:]
	l.bytes -= size
	if len(l.parcels) == 0 {
		delete(r.lanes, l.name)
		return
	}
	r.ready = append(r.ready, l.parcels[0])
}
