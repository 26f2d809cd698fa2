package rules

import (
	"maps"
	"slices"
	"time"
)

// SourceSet says which sources of a program a twin matches: bit i is Program.Sources()[i].
type SourceSet uint64

// Has says whether source i is in the set.
func (s SourceSet) Has(i int) bool { return s>>i&1 == 1 }

// State is what a program remembers of one twin between samples.
type State struct {
	program  *Program
	bound    SourceSet
	wake     int64            // when the first timer falls due; noTime: none
	found    int64            // when the twin was found; noTime: unknown
	feeds    []feedState      // by Program.feeds
	memories []*memory        // by slot: of the stateful rules that remember something
	episodes map[int]*episode // by place in Program.alerts: those that are not closed
	facts    *Facts
	counters *Counters
	group    bool         // it is not of a twin, but of a group of twins
	firing   []firingBits // by plan.slot, where there are many alerts
}

// feedState is what is known of a twin's feed.
type feedState struct {
	newest int64 // noTime: no sample yet
	seen   uint32
}

// Facts are what rules read of a twin beside its samples.
type Facts struct {
	Twin  []Property // the twin's own properties
	Model []Property // those of its model
}

func (st *State) fires(a *alertRule) bool {
	e := st.episodes[a.slot]
	return e != nil && e.active
}

func (st *State) begin(a *alertRule, e *episode) {
	if st.episodes == nil {
		st.episodes = map[int]*episode{}
	}
	st.episodes[a.slot] = e
}

func (st *State) end(a *alertRule) { delete(st.episodes, a.slot) }

// NewState is the state of a twin that has been silent so far. The counters are
// the worker's own; nil makes new ones.
func (p *Program) NewState(bound SourceSet, c *Counters) *State {
	if c == nil {
		c = p.NewCounters()
	}
	st := &State{
		program: p, bound: bound, wake: noTime, found: noTime,
		feeds: make([]feedState, len(p.feeds)), counters: c,
	}
	for i := range st.feeds {
		st.feeds[i].newest = noTime
	}
	return st
}

// NewGroupState is the state of a group of twins; see Links.
func (p *Program) NewGroupState(c *Counters) *State {
	st := p.NewState(^SourceSet(0), c)
	st.group = true
	return st
}

// Found tells when the twin was found: rules that expect a first sample count
// from then.
func (st *State) Found(at time.Time) {
	if st.found == noTime {
		st.found = nanos(at)
		st.rest()
	}
}

// Inform gives the state what its rules read of the twin beside samples.
func (st *State) Inform(f *Facts) { st.facts = f }

// Bound are the sources that the twin matches.
func (st *State) Bound() SourceSet { return st.bound }

// Empty says that nothing is remembered but what the twin matches.
func (st *State) Empty() bool {
	for _, f := range st.feeds {
		if f.newest != noTime {
			return false
		}
	}
	return st.found == noTime && len(st.memories) == 0 && len(st.episodes) == 0
}

// Firing says whether an alert of the twin is firing.
func (st *State) Firing() bool {
	for _, e := range st.episodes {
		if e.active {
			return true
		}
	}
	return false
}

// see takes note of a sample's time and gives the newest time before it. It is
// late when it is not newer.
func (st *State) see(slot int, at int64) (newest int64, late bool) {
	f := &st.feeds[slot]
	newest = f.newest
	if newest != noTime && at <= newest {
		return newest, true
	}
	f.newest = at
	f.seen++
	return newest, false
}

// Bind changes the sources that the twin matches. An alert whose source it no
// longer matches ends; Seq, Index and Hops of its outcome are the caller's.
func (p *Program) Bind(bound SourceSet, now time.Time, twin string, st *State, out []Outcome) []Outcome {
	st.bound = bound
	for _, a := range p.alerts {
		if !bound.Has(a.source) {
			out = a.end(p, now, twin, st, ReasonTwinRemoved, out)
		}
	}
	for _, r := range p.stateful {
		if !bound.Has(r.source) {
			st.drop(r)
		}
	}
	st.rest()
	return out
}

// drop forgets what a rule remembers.
func (st *State) drop(r *stateful) {
	if m := st.memory(r); m != nil {
		m.forget()
		st.keep(r, m)
	}
}

// Close ends every alert that is there, for a reason: ReasonTwinRemoved,
// ReasonRuleDeleted or ReasonRuleChanged. Seq, Index and Hops of the outcomes
// are the caller's.
func (p *Program) Close(now time.Time, twin string, st *State, reason string, out []Outcome) []Outcome {
	for _, a := range p.alerts {
		out = a.end(p, now, twin, st, reason, out)
	}
	return out
}

// Adopt makes the twin's state for p out of the one it has for old, the program
// that p replaces. A rule of the same name that asks the same goes on where it
// was; an alert of any other ends, with its reason. The old state is used up.
// Seq, Index and Hops of the outcomes are the caller's.
func (p *Program) Adopt(old *Program, st *State, bound SourceSet, c *Counters, now time.Time, twin string, out []Outcome) (*State, []Outcome) {
	next := p.NewState(bound, c)
	next.group = st.group
	next.found, next.facts = st.found, st.facts
	for feed, pl := range p.plans {
		if was := old.plans[feed]; was != nil {
			next.feeds[pl.slot] = st.feeds[was.slot]
		}
	}
	for _, a := range old.alerts {
		b := p.alertNamed[a.name]
		reason := ReasonRuleDeleted
		if b != nil {
			reason = p.parting(a.rule, b.rule, bound)
		}
		if reason != "" {
			out = a.end(old, now, twin, st, reason, out)
			continue
		}
		e := st.episodes[a.slot]
		if e == nil {
			continue
		}
		next.begin(b, e)
		if r := b.stateful; e.active && r != nil && a.stateful == nil { // it was a simple one until now
			m := memory{slot: int32(r.slot), phase: firing, since: e.since, trueAt: e.since, knownAt: e.since}
			next.keep(r, &m)
		}
		e.level = min(e.level, uint8(len(b.levels)))
		e.flapping = e.flapping && b.flapping != nil
		if e.active {
			mo := moment{p: p, st: next, twin: twin, at: now, reason: ReasonRuleChanged}
			out = b.atHour(&mo, e, out)
		}
		if !e.active && e.status(b, false) == StatusClosed { // it waited for what the rule does not ask any more
			mo := moment{p: p, st: next, twin: twin, at: now, reason: ReasonRuleChanged}
			out = b.close(&mo, e, EventClosed, out)
		}
	}
	for _, r := range old.stateful {
		i := slices.IndexFunc(p.stateful, func(s *stateful) bool { return s.name == r.name })
		if m := st.memory(r); m != nil && i >= 0 && p.parting(r.rule, p.stateful[i].rule, bound) == "" {
			next.keep(p.stateful[i], m)
		}
	}
	mo := moment{p: p, st: next, twin: twin, at: now, reason: ReasonRuleChanged}
	out = p.inhibit(&mo, len(out), out)
	next.rest()
	return next, out
}

// Fresh are the rules of p that begin anew when p replaces old, nil for none: by
// name, those with a past that the samples of the last Longest time can give them.
func (p *Program) Fresh(old *Program) []string {
	var fresh []string
	for _, r := range p.stateful {
		known := old != nil && old.in.Enabled && slices.ContainsFunc(old.rules, func(o *rule) bool { return o.name == r.name && o.hash == r.hash })
		if !known && r.lookBack() > 0 && r.group == nil {
			fresh = append(fresh, r.name)
		}
	}
	return fresh
}

// LookBack is how far back the samples reach that the named rules need to be
// what they would be had they always been there.
func (p *Program) LookBack(names []string) (d time.Duration) {
	for _, r := range p.stateful {
		if slices.Contains(names, r.name) {
			d = max(d, r.lookBack())
		}
	}
	return d
}

// Prime takes over from past, a state of the same program that has judged the
// retained samples, what the named rules remember, and appends the alerts that
// are firing there. Seq, Index and Hops of the outcomes are the caller's.
func (p *Program) Prime(names []string, past, st *State, twin string, out []Outcome) []Outcome {
	for _, r := range p.stateful {
		if !slices.Contains(names, r.name) {
			continue
		}
		if f := &st.feeds[r.feedSlot]; f.newest < past.feeds[r.feedSlot].newest {
			f.newest = past.feeds[r.feedSlot].newest
		}
		a := r.alert
		var e, own *episode
		if a != nil {
			e, own = past.episodes[a.slot], st.episodes[a.slot]
		}
		if own != nil && (e == nil || !e.active) {
			continue // what it has judged itself is newer
		}
		if m := past.memory(r); m != nil {
			st.keep(r, m)
		}
		if e == nil || own != nil {
			continue
		}
		st.begin(a, e)
		if !e.active {
			continue
		}
		e.number = 1
		if a.does == Alert {
			o := a.outcome(p, twin, timeOf(e.starts), e, EventRaised, ReasonCondition)
			o.Data = slices.Clone(e.data)
			o.Life.Silent = !e.told
			out = append(out, o)
		}
		e.put = nil
		mo := moment{p: p, st: st, twin: twin, at: timeOf(e.starts)}
		out = a.act(&mo, e, EventRaised, tellingOf(EventRaised, !e.told, false), out)
	}
	st.rest()
	return out
}

// parting is why b does not go on where a was; "" when it does.
func (p *Program) parting(a, b *rule, bound SourceSet) string {
	switch {
	case b.hash != a.hash || !p.in.Enabled:
		return ReasonRuleChanged
	case !bound.Has(b.source):
		return ReasonTwinRemoved
	}
	return ""
}

// open are the places of the episodes, in order.
func (st *State) open() []int { return slices.Sorted(maps.Keys(st.episodes)) }
