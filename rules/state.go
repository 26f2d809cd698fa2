package rules

import (
	"slices"
	"time"
)

// SourceSet says which sources of a program a twin matches: bit i is Program.Sources()[i].
type SourceSet uint64

// Has says whether source i is in the set.
func (s SourceSet) Has(i int) bool { return s>>i&1 == 1 }

// Funnel counts what became of the samples that reached a rule. Each one is
// either judged (Unknown, Errors, True or False) or, by a rule that keeps a
// state, dropped as late; a rule without a state judges late ones too.
type Funnel struct {
	Received uint64 `json:"received"`
	Late     uint64 `json:"late"`    // not newer than the newest sample of their feed
	Unknown  uint64 `json:"unknown"` // an input was missing, null or not finite
	Errors   uint64 `json:"errors"`  // an expression failed: a division by zero, a throw
	True     uint64 `json:"true"`
	False    uint64 `json:"false"`
	Raised   uint64 `json:"raised"`
	Resolved uint64 `json:"resolved"`
}

// Counters are the funnels of a program's rules. One worker owns them.
type Counters struct {
	rules   []Funnel     // in the order of Program.Rules
	tallies []*manyTally // by plan.slot, where there are many alerts
	readers []*Reader    // by plan.slot, for samples that come without one
}

// NewCounters are counters at zero.
func (p *Program) NewCounters() *Counters {
	return &Counters{rules: make([]Funnel, len(p.rules)), tallies: make([]*manyTally, len(p.feeds)), readers: make([]*Reader, len(p.feeds))}
}

// Funnels are the counts of each rule, in the order of Program.Rules.
func (c *Counters) Funnels() []Funnel {
	for _, t := range c.tallies {
		t.settle(c)
	}
	return slices.Clone(c.rules)
}

// reader is the program's own reader of a feed.
func (c *Counters) reader(p *Program, pl *plan, feed string) *Reader {
	r := c.readers[pl.slot]
	if r == nil {
		r = NewReader(feed, p)
		c.readers[pl.slot] = r
	}
	return r
}

// Add adds what another worker has counted of the same rule.
func (f *Funnel) Add(g Funnel) {
	f.Received += g.Received
	f.Late += g.Late
	f.Unknown += g.Unknown
	f.Errors += g.Errors
	f.True += g.True
	f.False += g.False
	f.Raised += g.Raised
	f.Resolved += g.Resolved
}

// State is what a program remembers of one twin between samples.
type State struct {
	program  *Program
	bound    SourceSet
	newest   []time.Time     // by Program.feeds; zero: none seen
	episodes map[int]episode // by place in Program.alerts: those that are firing
	counters *Counters
	firing   []firingBits // by plan.slot, where there are many alerts
}

// episode is one life of an alert.
type episode struct {
	id      string
	starts  time.Time
	summary string
}

func (st *State) fires(a *alertRule) bool {
	_, ok := st.episodes[a.slot]
	return ok
}

func (st *State) begin(a *alertRule, e episode) {
	if st.episodes == nil {
		st.episodes = map[int]episode{}
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
	return &State{
		program:  p,
		bound:    bound,
		newest:   make([]time.Time, len(p.feeds)),
		counters: c,
	}
}

// Bound are the sources that the twin matches.
func (st *State) Bound() SourceSet { return st.bound }

// Empty says that nothing is remembered but what the twin matches.
func (st *State) Empty() bool {
	for _, at := range st.newest {
		if !at.IsZero() {
			return false
		}
	}
	return !st.Firing()
}

// Firing says whether an alert of the twin is firing.
func (st *State) Firing() bool { return len(st.episodes) > 0 }

// see takes note of a sample's time and says whether it is late: not newer
// than the newest of its feed.
func (st *State) see(slot int, at time.Time) (late bool) {
	newest := &st.newest[slot]
	if !newest.IsZero() && !at.After(*newest) {
		return true
	}
	*newest = at
	return false
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
	return out
}

// Close ends every alert that is firing, for a reason: ReasonTwinRemoved,
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
	for feed, pl := range p.plans {
		if was := old.plans[feed]; was != nil {
			next.newest[pl.slot] = st.newest[was.slot]
		}
	}
	for _, a := range old.alerts {
		b := p.alertNamed[a.name]
		if reason := p.parting(a, b, bound); reason != "" {
			out = a.end(old, now, twin, st, reason, out)
			continue
		}
		if e, ok := st.episodes[a.slot]; ok {
			next.begin(b, e)
		}
	}
	return next, out
}

// parting is why b, which may be nil, does not go on where a was; "" when it does.
func (p *Program) parting(a, b *alertRule, bound SourceSet) string {
	switch {
	case b == nil:
		return ReasonRuleDeleted
	case b.hash != a.hash || !p.in.Enabled:
		return ReasonRuleChanged
	case !bound.Has(b.source):
		return ReasonTwinRemoved
	}
	return ""
}
