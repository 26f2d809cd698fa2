package rules

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// join makes the latest sample of another feed a variable: of the same twin, or
// of the twins that have the same value of a property.
type join struct {
	as, key   string // the key is quoted, with its colon
	source    int
	feed      string
	property  string // "": of the same twin
	tolerance int64
	names     []string // the members that the rule reads
	fields    []field  // the same, in the other feed's plan
	slot      int      // of the other feed in State.feeds
}

// joined is the latest sample of another feed.
type joined struct {
	At   int64           `json:"at,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
}

// appendJoins appends the variables, each with a comma; one is missing while
// there is no sample or when it is too old.
func (r *stateful) appendJoins(j *judgement, doc []byte) []byte {
	if len(r.joins) == 0 {
		return doc
	}
	p := j.m.part()
	for i := range p.joined {
		latest, n := &p.joined[i], &r.joins[i]
		if latest.Data == nil || n.tolerance > 0 && j.at-latest.At > n.tolerance {
			continue
		}
		doc = append(append(append(doc, n.key...), latest.Data...), ',')
	}
	return doc
}

// joinStep takes the samples of the other side of a join.
type joinStep struct {
	*stateful
	index int
}

// judge takes a sample of another feed of the same twin. Those of other twins
// come by Program.Relay.
func (s joinStep) judge(v *view, sample *Sample, st *State, t turn, out []Outcome) []Outcome {
	n := &s.joins[s.index]
	if n.property != "" || t.late || !t.live.Has(n.source) || !st.bound.Has(s.source) {
		return out
	}
	mo := momentOf(v, sample, st)
	return s.meet(&mo, v, t.at, out)
}

// meet notes the other side's latest sample and judges the rule again.
func (s joinStep) meet(mo *moment, v *view, at int64, out []Outcome) []Outcome {
	st := mo.st
	m := st.remembered(s.stateful)
	p := m.part()
	if p.joined == nil {
		p.joined = make([]joined, len(s.joins))
	}
	latest := &p.joined[s.index]
	if latest.Data != nil && at <= latest.At {
		return out
	}
	latest.At, latest.Data = at, v.appendFields(latest.Data[:0], s.joins[s.index].fields)
	newest := st.feeds[s.feedSlot].newest
	if p.base == nil || newest == noTime || s.sequence != nil {
		return out // there is nothing yet to judge with it; a sequence goes by its own feed
	}
	f := &st.counters.rules[s.rule.index]
	f.Received++
	f.Matched++
	m.parked = false
	j := judgement{moment: mo, m: m, at: max(at, newest), last: newest}
	mo.at = timeOf(j.at)
	s.compose(&j, append(st.counters.doc[:0], p.base...), nil)
	out = s.decide(&j, out)
	st.keep(s.stateful, m)
	return out
}

// Link is a way from the samples of some twins to what a rule remembers of
// others: of a twin with the same value of a property, or of their group.
type Link struct {
	ID       int
	Name     string // the same in every program that has the rule
	Source   int    // of the twins that share
	Feed     string // of theirs
	Property string // whose value is the key; "": all have the same
	Target   int    // join: the source of the twins that are judged
	Group    bool   // the samples are judged as one group's
	Model    string // group without a property: the twin that stands for it
}

// Links are the program's, for whoever brings samples to other twins.
func (p *Program) Links() []Link { return p.links }

// link is where a Link leads.
type link struct {
	*stateful
	join int // index in joins; -1: the group
}

// Relay judges, for the state of one twin, a sample of another twin that a link
// leads to it. The sample has been read by a reader of the program.
func (p *Program) Relay(id int, s *Sample, twin string, st *State, out []Outcome) []Outcome {
	l := p.linked[id]
	pl := p.plans[s.Feed]
	if pl == nil || !p.in.Enabled {
		return out
	}
	v := p.viewOf(pl, s, st)
	if v == nil {
		return out
	}
	mo := momentOf(v, s, st)
	mo.twin = twin
	before, at := len(out), nanos(s.At)
	st.unpark(pl.slot)
	if st.wake != noTime && st.wake < at {
		out = p.expire(at, pl.slot, &mo, out)
		v = p.viewOf(pl, s, st)
		mo = momentOf(v, s, st)
		mo.twin = twin
	}
	if l.join < 0 {
		out = l.member(&mo, s.Twin, at, out)
	} else {
		out = joinStep{l.stateful, l.join}.meet(&mo, v, at, out)
	}
	if p.inhibits {
		out = p.inhibit(&mo, before, out)
	}
	st.rest()
	return out
}

// Unjoin forgets what a link has brought: the twin has another value of the
// property now.
func (p *Program) Unjoin(id int, st *State) {
	if id >= len(p.linked) || p.linked[id].join < 0 {
		return
	}
	l := p.linked[id]
	if m := st.memory(l.stateful); m != nil && m.parts != nil && l.join < len(m.parts.joined) {
		m.parts.joined[l.join] = joined{}
	}
}

// Leave tells a group that a twin is no longer of it.
func (p *Program) Leave(id int, member string, now time.Time, twin string, seq uint64, st *State, out []Outcome) []Outcome {
	l := p.linked[id]
	m := st.memory(l.stateful)
	if l.join >= 0 || m == nil || m.parts == nil {
		return out
	}
	if i := slices.IndexFunc(m.parts.members, func(s *memberState) bool { return s.Twin == member }); i >= 0 {
		m.parts.members = slices.Delete(m.parts.members, i, i+1)
		mo := moment{p: p, st: st, twin: twin, at: now, seq: seq, hops: 1, reason: ReasonTwinRemoved}
		out = l.judgeGroup(&mo, m, max(nanos(now), m.parts.newest), out)
		st.keep(l.stateful, m)
		if len(m.parts.members) == 0 && m.phase == idle && m.parts.told.times == nil { // the group is no more
			st.drop(l.stateful)
		}
		st.rest()
	}
	return out
}

// joinPlans compiles the other sides of a rule's joins, when it is known what the
// rule reads of them.
func (c *compiler) joinPlans(spec *RuleSpec, s *stateful) {
	for i := range s.joins {
		n := &s.joins[i]
		if n.source < 0 || s.source < 0 {
			continue
		}
		other := c.planOf(&rule{feed: n.feed, source: n.source})
		n.slot = other.slot
		feed := c.in.Sources[n.source].feed(n.feed)
		for _, name := range n.names {
			if !feed.covers(name) {
				c.undeclared(spec.Joins[i].raw.At, name, feed)
			}
			n.fields = append(n.fields, newField(name, other))
		}
		if n.property != "" {
			c.link(Link{Name: s.name + "." + n.as, Source: n.source, Feed: n.feed, Property: n.property, Target: s.source}, link{s, i})
		}
		other.steps = append(other.steps, joinStep{s, i})
		if len(n.names) == 0 {
			c.warnf(spec.Joins[i].raw.At.As(CodeUnread), "no condition reads %q", strings.TrimSuffix(n.as, "."))
		}
	}
}

func (c *compiler) link(l Link, to link) {
	l.ID = len(c.p.links)
	c.p.links = append(c.p.links, l)
	c.p.linked = append(c.p.linked, to)
}
