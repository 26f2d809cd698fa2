package rules

import (
	"math/bits"
	"slices"

	"tocsin.internal/rules/logic"
)

// many is from how many alert rules of one feed on they are judged together:
// as bit sets, in which what raises and what resolves falls out of a few
// operations on machine words. Fewer are faster one by one.
const many = 32

// manyAlerts are the alert rules of one feed where they are many.
type manyAlerts struct{ alerts []*alertRule }

// alertRun are neighbouring alerts among the steps of a plan. The first run
// judges the alerts of all, and each sends out its own.
type alertRun struct {
	all   *manyAlerts
	first bool
	end   int // the place in Program.alerts after the last of them
}

// manyView is where their bits are in a reader's verdicts, and in the sets of
// this file: word i of these is word at[i] of the verdicts.
type manyView struct {
	at      []int
	bits    []int            // of each alert
	alerts  []*alertRule     // by bit; nil where a bit is of another rule
	sources map[int][]uint64 // the bits of each source's alerts
	edges   []int            // scratch: the places of alerts that change and have not been sent out
	changed []int            // all of them
	live    []uint64         // scratch
}

// gather makes runs of the alert rules of a plan when they are many.
func (pl *plan) gather() {
	m := &manyAlerts{}
	var steps []step
	var run *alertRun
	for _, s := range pl.steps {
		a, ok := s.(*alertRule)
		if !ok {
			steps, run = append(steps, s), nil
			continue
		}
		if run == nil {
			run = &alertRun{all: m, first: len(m.alerts) == 0}
			steps = append(steps, run)
		}
		run.end = a.slot + 1
		m.alerts = append(m.alerts, a)
	}
	if len(m.alerts) >= many {
		pl.single, pl.steps, pl.many = pl.steps, steps, m
	}
}

// view finds the bits. There is none where there are few alerts.
func (m *manyAlerts) view(v *view, set *logic.Set) *manyView {
	if m == nil {
		return nil
	}
	mv := &manyView{sources: map[int][]uint64{}}
	for _, a := range m.alerts {
		bit := set.Bit(v.rules + a.at)
		mv.bits = append(mv.bits, bit)
		mv.at = append(mv.at, bit/64)
	}
	slices.Sort(mv.at)
	mv.at = slices.Compact(mv.at)
	words := len(mv.at)
	mv.alerts, mv.live = make([]*alertRule, words*64), make([]uint64, words)
	for i, a := range m.alerts {
		word, _ := slices.BinarySearch(mv.at, mv.bits[i]/64)
		mv.bits[i] = word*64 + mv.bits[i]%64
		mv.alerts[mv.bits[i]] = a
		if mv.sources[a.source] == nil {
			mv.sources[a.source] = make([]uint64, words)
		}
		mark(mv.sources[a.source], mv.bits[i])
	}
	return mv
}

func mark(set []uint64, bit int) { set[bit/64] |= 1 << (bit % 64) }

// firingBits are the alerts of a twin that are firing, by their bits in a view.
type firingBits struct {
	view *manyView
	set  []uint64
}

// firingOf are the bits of a state. They are made again when rules have changed
// or alerts have ended by other ways than a sample.
func (m *manyAlerts) firingOf(v *view, st *State) []uint64 {
	if st.firing == nil {
		st.firing = make([]firingBits, len(st.feeds))
	}
	f := &st.firing[v.plan.slot]
	if f.view == v.many {
		return f.set
	}
	*f = firingBits{v.many, make([]uint64, len(v.many.at))}
	for i, a := range m.alerts {
		if st.fires(a) {
			mark(f.set, v.many.bits[i])
		}
	}
	return f.set
}

func (r *alertRun) judge(v *view, s *Sample, st *State, t turn, out []Outcome) []Outcome {
	if r.first {
		r.all.decide(v, st, t)
	}
	edges := v.many.edges
	for len(edges) > 0 && edges[0] < r.end {
		a := v.program.alerts[edges[0]]
		edges = edges[1:]
		mo := momentOf(v, s, st)
		if st.fires(a) {
			out = a.clear(&mo, out)
		} else {
			out = a.raise(&mo, noTime, out)
		}
	}
	v.many.edges = edges
	return out
}

// decide finds the alerts that change, in the order of the rules.
func (m *manyAlerts) decide(v *view, st *State, t turn) {
	mv := v.many
	mv.edges = mv.changed[:0]
	clear(mv.live)
	tally := st.counters.tally(v)
	for source, set := range mv.sources {
		if t.live.Has(source) {
			tally.receive(source, t.late)
			for i := range set {
				mv.live[i] |= set[i]
			}
		}
	}
	if t.late {
		return
	}
	verdicts := v.machine.DecideAll(v.rules, v.rules+len(v.plan.rules))
	firing := m.firingOf(v, st)
	for i, live := range mv.live {
		w := mv.at[i]
		isTrue, isUnknown, hasFailed := verdicts.True[w]&live, verdicts.Unknown[w]&live, verdicts.Failed[w]&live
		tally.count(i, isTrue, isUnknown, hasFailed)
		decided := live &^ (isUnknown | hasFailed)
		changed := (isTrue ^ firing[i]) & decided
		firing[i] ^= changed
		for ; changed != 0; changed &= changed - 1 {
			mv.edges = append(mv.edges, mv.alerts[i*64+bits.TrailingZeros64(changed)].slot)
		}
	}
	mv.changed = mv.edges
	slices.Sort(mv.edges)
}

// manyTally counts for many rules at once what became of their samples: what is
// the same for all of a source once, the rest in bit sliced counters.
type manyTally struct {
	view                       *view
	received, late             map[int]uint64 // by source
	isTrue, isUnknown, failure sliced
}

// sliced are counters of which each plane holds one binary digit: adding 1 to
// any of 64 takes one or two operations, not 64.
type sliced struct{ planes [][]uint64 }

func (c *sliced) add(word, words int, ones uint64) {
	for i := 0; ones != 0; i++ {
		if i == len(c.planes) {
			c.planes = append(c.planes, make([]uint64, words))
		}
		p := &c.planes[i][word]
		*p, ones = *p^ones, *p&ones
	}
}

func (c *sliced) of(bit int) (n uint64) {
	for i, p := range c.planes {
		n |= p[bit/64] >> (bit % 64) & 1 << i
	}
	return n
}

// tally is where the counts of a view go. Those of another view, from before
// the rules changed, are settled first.
func (c *Counters) tally(v *view) *manyTally {
	t := c.tallies[v.plan.slot]
	if t == nil || t.view != v {
		t.settle(c)
		t = &manyTally{view: v, received: map[int]uint64{}, late: map[int]uint64{}}
		c.tallies[v.plan.slot] = t
	}
	return t
}

func (t *manyTally) receive(source int, late bool) {
	t.received[source]++
	if late {
		t.late[source]++
	}
}

func (t *manyTally) count(word int, isTrue, isUnknown, hasFailed uint64) {
	words := len(t.view.many.at)
	t.isTrue.add(word, words, isTrue)
	t.isUnknown.add(word, words, isUnknown)
	t.failure.add(word, words, hasFailed)
}

// settle moves the counts to the funnels of the rules.
func (t *manyTally) settle(c *Counters) {
	if t == nil {
		return
	}
	for bit, a := range t.view.many.alerts {
		if a == nil {
			continue
		}
		f := Funnel{Matched: t.received[a.source], Late: t.late[a.source], True: t.isTrue.of(bit), Unknown: t.isUnknown.of(bit), Errors: t.failure.of(bit)}
		f.False = f.Matched - f.Late - f.True - f.Unknown - f.Errors
		c.rules[a.index].Add(f)
	}
	*t = manyTally{view: t.view, received: t.received, late: t.late}
	clear(t.received)
	clear(t.late)
}
