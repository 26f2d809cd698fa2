package rules

import (
	"math"
	"time"

	"tocsin.internal/rules/logic"
	"tocsin.internal/rules/schedule"
)

// NoWake is the Wake of a state in which no timer runs.
const NoWake = math.MaxInt64

// Wake is when the state's first timer falls due, in Unix nanoseconds: Tick has
// nothing to do for any time up to it. NoWake: no timer runs.
func (st *State) Wake() int64 {
	if st.wake == noTime {
		return NoWake
	}
	return st.wake
}

// Resumed tells the rules that count on samples to come that the clock runs
// again since now: that nothing came before is not the twins' doing.
func (c *Counters) Resumed(now time.Time) { c.resumed = nanos(now) }

// Now tells the rules the time on the wall: samples that are older than what an
// absence waits for are no sign of life.
func (c *Counters) Now(now time.Time) { c.now = nanos(now) }

// Tick says that it is now, and appends what fell due before: in the order of
// its times, each outcome with the time at which it fell due, so that it does
// not matter how often ticks come. What depends on samples that may still be on
// their way is left to them when now is far later (tickSlack). Seq is the
// tick's place in the stream.
func (p *Program) Tick(now time.Time, twin string, st *State, seq uint64, out []Outcome) []Outcome {
	return p.expire(nanos(now), -1, &moment{p: p, st: st, twin: twin, seq: seq, hops: 1}, out)
}

// timer is what can fall due.
type timer uint8

const (
	noTimer timer = iota
	phaseTimer
	absentTimer
	windowTimer
	levelTimer
	fenceTimer
	sequenceTimer
	staleTimer // a group's member has been silent for too long
	repeatTimer
	throttleTimer // somebody may be told again
	gateTimer     // the schedule of the evaluation
	hoursTimer    // the schedule of the telling
	shelfTimer
)

// expire carries out what fell due before now. Of the feed whose sample says so
// nothing is still on its way; -1: a tick says so.
func (p *Program) expire(now int64, feed int, mo *moment, out []Outcome) []Outcome {
	st := mo.st
	for st.wake != noTime && st.wake < now {
		at, kind, r, a := st.next()
		if kind == noTimer || at >= now {
			st.wake = at // it has moved on
			break
		}
		if kind == phaseTimer && r.feedSlot != feed && !r.confirmed(st, at, now) {
			m := st.memory(r)
			m.parked = true
			st.rest()
			continue
		}
		if kind == repeatTimer {
			at = r.alert.repeatAt(at, now, feed < 0)
		}
		before := len(out)
		mo.at, mo.reason, mo.v, mo.level, mo.flaps = timeOf(at), ReasonTimer, nil, 0, false
		if kind == shelfTimer {
			out = a.unshelve(mo, st.episodes[a.slot], out)
		} else {
			m := st.remembered(r)
			r.recall(mo, m)
			j := judgement{moment: mo, m: m, at: at, last: r.newest(st, m)}
			out = r.fall(&j, kind, out)
			st.keep(r, m)
		}
		if p.inhibits {
			out = p.inhibit(mo, before, out)
		}
		st.rest()
	}
	return out
}

// repeatAt is the repetition that is told of those that fell due from at to now:
// the last one for a tick, which comes each second, so that the engine was away;
// and for a sample after a long silence.
func (a *alertRule) repeatAt(at, now int64, tick bool) int64 {
	const many = 10
	missed := (now - 1 - at) / a.every
	if tick || missed > many {
		at += missed * a.every
	}
	return at
}

// unpark lets the rules of a feed go on that have waited for its next sample.
func (st *State) unpark(feed int) {
	waited := false
	for _, m := range st.memories {
		if r := st.program.stateful[m.slot]; m.parked && r.feedSlot == feed && r.absent == nil {
			m.parked, waited = false, true
		}
	}
	if waited {
		st.rest()
	}
}

// confirmed says whether a tick may end a wait that hangs on samples: it is not
// of a backlog that is judged hours late.
func (r *stateful) confirmed(st *State, at, now int64) bool {
	return st.memory(r).phase != pending || now-at <= tickSlack || r.maxGap > 0 && now-r.newest(st, st.memory(r)) <= r.maxGap
}

// newest is the time of the newest sample that the rule counts on.
func (r *stateful) newest(st *State, m *memory) int64 {
	if r.group != nil && m != nil && m.parts != nil {
		return m.parts.newest
	}
	return st.feeds[r.feedSlot].newest
}

// rest finds when the state is to be woken next.
func (st *State) rest() {
	if !st.program.timed {
		for _, e := range st.episodes {
			if e.shelf != nil {
				st.wake, _, _, _ = st.next()
				return
			}
		}
		st.wake = noTime
		return
	}
	st.wake, _, _, _ = st.next()
}

// next is the timer that falls due first.
func (st *State) next() (at int64, kind timer, r *stateful, a *alertRule) {
	at = noTime
	sooner := func(due int64, what timer) bool {
		if due == noTime || at != noTime && due >= at {
			return false
		}
		at, kind = due, what
		return true
	}
	if st.program.in.Enabled {
		for _, s := range st.program.stateful {
			if !s.timed || !st.bound.Has(s.source) || st.group != (s.group != nil) {
				continue
			}
			if due, what := s.next(st, st.memory(s)); sooner(due, what) {
				r = s
			}
		}
	}
	for slot, e := range st.episodes {
		if e.shelf == nil {
			continue
		}
		until := nanos(e.shelf.Until)
		first := until == at && kind == shelfTimer && slot < a.slot // of two at one time
		if first || sooner(until, shelfTimer) {
			a = st.program.alerts[slot]
		}
	}
	return at, kind, r, a
}

// next is the rule's timer that falls due first.
func (r *stateful) next(st *State, m *memory) (int64, timer) {
	due, kind := int64(noTime), noTimer
	sooner := func(at int64, what timer) {
		if at != noTime && at != 0 && (due == noTime || at < due) {
			due, kind = at, what
		}
	}
	newest := r.newest(st, m)
	if r.group != nil && m != nil && m.parts != nil {
		sooner(r.group.staleAt(m.parts), staleTimer)
	}
	var e *episode
	if r.alert != nil {
		e = st.episodes[r.alert.slot]
	}
	if r.absent != nil && (e == nil || !e.active) && (m == nil || !m.parked) {
		sooner(r.absentDue(st, m, newest), absentTimer)
	}
	if e != nil {
		r.alert.next(e, m, sooner)
	}
	if m == nil {
		return due, kind
	}
	if r.gate != nil && r.absent == nil && (m.truth == logic.True || m.phase != idle) {
		sooner(edge(r.gate, max(m.since, newest)), gateTimer)
	}
	if m.parked {
		return due, kind
	}
	if m.parts != nil {
		if r.window != nil && m.parts.window != nil {
			sooner(r.window.due(m.parts.window), windowTimer)
		}
		if r.fence != nil {
			sooner(r.fence.due(&m.parts.fence), fenceTimer)
		}
		if r.sequence != nil {
			if m.parts.sequence != nil {
				if at := r.sequence.machine.Due(m.parts.sequence); at != 0 {
					sooner(at-1, sequenceTimer) // what it does at a time, it does of all before
				}
			}
		}
	}
	sooner(r.timing.due(m), phaseTimer) // last: of two at one time what is judged goes first
	return due, kind
}

// edge is when a schedule changes next; noTime: never.
func edge(s *schedule.Schedule, after int64) int64 {
	at := s.Next(timeOf(after))
	if at.IsZero() || nanos(at) <= after {
		return noTime
	}
	return nanos(at)
}

// next are the timers of an episode.
func (a *alertRule) next(e *episode, m *memory, sooner func(int64, timer)) {
	if !e.active {
		return
	}
	waits := m != nil && m.parked
	for i := int(e.level); i < len(a.levels) && !waits; i++ {
		if due := e.since + a.levels[i].after; a.levels[i].after > 0 && due > e.levelAt {
			sooner(due, levelTimer)
		}
	}
	if a.throttle != nil && !e.told && e.suppression() == nil && !e.flapping && m != nil && m.parts != nil && len(m.parts.told.times) > 0 {
		sooner(m.parts.told.times[0]+int64(a.throttle.Per), throttleTimer)
	}
	if a.every > 0 && e.told && e.toldAt != noTime && e.ack.At.IsZero() && e.suppression() == nil && !e.flapping {
		sooner(e.toldAt+a.every, repeatTimer)
	}
	if a.schedule != nil {
		sooner(edge(a.schedule, max(e.starts, e.hoursAt)), hoursTimer)
	}
}

// absentDue is when a twin has been silent for too long.
func (r *stateful) absentDue(st *State, m *memory, newest int64) int64 {
	since := newest
	if r.asks { // not every sample counts
		if since = noTime; m != nil && m.trueAt != 0 {
			since = m.trueAt
		}
	}
	if since == noTime {
		if !r.absent.ExpectFirst || st.found == noTime {
			return noTime
		}
		since = st.found
	}
	if r.absent.ExpectFirst {
		since = max(since, st.found)
	}
	due := since + int64(r.absent.For)
	if resumed := st.counters.resumed; resumed != noTime && since < resumed {
		due = max(due, resumed+int64(r.absent.Grace))
	}
	if r.gate != nil && !r.gate.Open(timeOf(due)) {
		due = edge(r.gate, due)
	}
	return due
}

// fall carries out one timer of the rule.
func (r *stateful) fall(j *judgement, kind timer, out []Outcome) []Outcome {
	a := r.alert
	switch kind {
	case phaseTimer:
		since := j.m.since
		ch := r.timing.fallDue(j.m)
		level := j.m.level
		if ch == fires && a != nil && len(a.levels) > 0 && j.v != nil {
			level, _ = a.levelOf(r, j)
		}
		return r.changed(j, ch, since, level, logic.Unknown, out)
	case absentTimer:
		j.reason = ReasonAbsent
		for i, l := range a.levels {
			if l.test == nil && l.after == 0 {
				j.level = uint8(i + 1)
			}
		}
		return a.raise(j.moment, noTime, out)
	case windowTimer:
		return r.advance(j, out)
	case levelTimer:
		if e := j.st.episodes[a.slot]; e != nil {
			e.levelAt = j.at
			if level := a.levelAt(r, j, e); level > e.level {
				return a.reach(j, e, level, out)
			}
		}
	case repeatTimer:
		if e := j.st.episodes[a.slot]; e != nil {
			e.repeats++
			e.toldAt = j.at
			return a.tell(j.moment, e, EventRepeated, out)
		}
	case fenceTimer, sequenceTimer:
		return r.decide(j, out)
	case throttleTimer:
		if e := j.st.episodes[a.slot]; e != nil && j.m.part().told.allow(a.throttle, j.at) {
			return a.tell(j.moment, e, EventUnsuppressed, out)
		}
	case staleTimer:
		j.m.part().newest = j.at
		return r.judgeGroup(j.moment, j.m, j.at, out)
	case gateTimer:
		return r.gated(j, out)
	case hoursTimer:
		return a.hours(j, out)
	}
	return out
}

// gated judges the last verdict again at an edge of the schedule.
func (r *stateful) gated(j *judgement, out []Outcome) []Outcome {
	verdict, over := logic.False, logic.True
	if r.gate.Open(timeOf(j.at)) {
		verdict, over = j.m.truth, logic.False
	}
	since := j.m.since
	if j.m.phase == idle {
		since = j.at
	}
	ch := r.step(j.m, verdict, over, j.at)
	j.m.since = max(j.m.since, j.at)
	return r.changed(j, ch, since, j.m.level, logic.Unknown, out)
}

// hours tells, at an edge of the schedule, that the alert is quiet from now on,
// or that it fires while nobody was told.
func (a *alertRule) hours(j *judgement, out []Outcome) []Outcome {
	if e := j.st.episodes[a.slot]; e != nil {
		return a.atHour(j.moment, e, out)
	}
	return out
}

func (a *alertRule) atHour(mo *moment, e *episode, out []Outcome) []Outcome {
	e.hoursAt = nanos(mo.at)
	was := e.suppression() != nil
	e.closedHours = a.schedule != nil && !a.schedule.Open(mo.at)
	switch is := e.suppression() != nil; {
	case is && !was:
		return a.tell(mo, e, EventSuppressed, out)
	case was && !is:
		return a.tell(mo, e, EventUnsuppressed, out)
	}
	return out
}
