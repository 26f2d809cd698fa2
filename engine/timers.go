package engine

import (
	"cmp"
	"container/heap"
	"strings"
	"time"

	"tocsin.internal/rules"
)

// maxTimers is how many states a tick wakes at most: when a hundred thousand
// twins fall silent at once, the samples behind the tick must not wait for all
// of them. The rest is woken by the next tick, with the times at which it fell
// due all the same.
const maxTimers = 2048

// downtime is from which distance of two ticks of the wall's clock on the clock
// has stood still: nobody was there to take samples.
const downtime = 10 * time.Second

// timers wakes bindings at the times that their states ask for. An alarm may be
// too early, because a state's time moves on with each sample: then it is set
// anew when it rings.
type timers []alarm

type alarm struct {
	at int64 // Unix nanoseconds
	b  *binding
}

// Len, Less, Swap, Push and Pop make it a heap. The order is the same whatever
// was set before: a restart must not change the order of outcomes.
func (t timers) Len() int { return len(t) }

func (t timers) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(t[i].at, t[j].at), strings.Compare(t[i].b.twin, t[j].b.twin),
		strings.Compare(t[i].b.program.ID(), t[j].b.program.ID())) < 0
}

func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

// Push appends an alarm.
func (t *timers) Push(x any) { *t = append(*t, x.(alarm)) }

// Pop takes the last alarm.
func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = alarm{}
	*t = old[:len(old)-1]
	return last
}

// watch sets the alarm of a binding whose state may have changed.
func (p *partition) watch(b *binding) {
	if at := b.state.Wake(); at < b.wake {
		b.wake = at
		heap.Push(&p.timers, alarm{at, b})
	}
}

// tick says that it is now, by the wall's clock or by that of the newest sample,
// and appends what fell due.
func (p *partition) tick(now time.Time, wall bool, seq uint64, out []rules.Outcome) []rules.Outcome {
	p.bySamples = !wall
	if wall && now.Sub(p.now) > downtime {
		p.resume(now)
	}
	// The wall's clock may be set back; that of the samples does not go back.
	if wall || now.After(p.now) {
		p.now = now
	}
	p.tellTime()
	nanos, woken := rules.Nanos(p.now), 0
	for len(p.timers) > 0 && p.timers[0].at < nanos && woken < maxTimers {
		a := heap.Pop(&p.timers).(alarm)
		if a.b.gone || a.at != a.b.wake {
			continue // it was set anew
		}
		a.b.wake = rules.NoWake
		if a.b.state.Wake() == a.at {
			woken++
			before := len(out)
			out = a.b.program.Tick(p.momentOf(a), a.b.twin, a.b.state, seq, out)
			a.b.address(out[before:], p.offline)
		}
		p.watch(a.b)
	}
	return out
}

// momentOf is the time of a tick for one alarm. Samples of a recording may lie
// hours apart; ticks of its time are then made up between them, as if one had
// come each second.
func (p *partition) momentOf(a alarm) time.Time {
	if soon := time.Unix(0, a.at).UTC().Add(time.Second); p.bySamples && soon.Before(p.now) {
		return soon
	}
	return p.now
}

// tellTime tells the rules what time it is on the wall, if they go by it.
func (p *partition) tellTime() {
	for _, program := range p.programs {
		p.initTime(program)
	}
}

func (p *partition) initTime(program *running) {
	if !p.bySamples && !p.now.IsZero() {
		program.counters.Now(p.now)
	}
}

// due is when the next alarm rings; NoWake: never.
func (p *partition) due() int64 {
	for len(p.timers) > 0 && (p.timers[0].b.gone || p.timers[0].at != p.timers[0].b.wake) {
		heap.Pop(&p.timers)
	}
	if len(p.timers) == 0 {
		return rules.NoWake
	}
	return p.timers[0].at
}

// resume tells the rules that nothing came before now for want of an engine.
func (p *partition) resume(now time.Time) {
	p.resumed = now
	for _, program := range p.programs {
		program.counters.Resumed(now)
	}
}
