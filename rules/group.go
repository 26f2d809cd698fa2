package rules

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"tocsin.internal/rules/logic"
	"tocsin.internal/rules/series"
)

// group is the groupBy of a rule: it judges the newest samples of many twins
// as one.
type group struct {
	property string
	model    string // the twin that stands for a group without a property
	maxAge   int64
	quorum   *Quorum        // nil: the conditions are asked of the aggregates
	fields   []field        // whose values are aggregated, in the feed's plan
	batch    *series.Window // of the aggregates; nil: none
	ops      int            // how many aggregates
	test     *rule          // quorum: the conditions of one member, in the feed's plan
}

// maxMembers bounds a group; what more twins say is counted as skipped.
const maxMembers = 100_000

// memberState is what a group knows of a member.
type memberState struct {
	Twin   string      `json:"twin"`
	At     int64       `json:"at"`
	True   bool        `json:"true,omitempty"`
	Values []jsonFloat `json:"values,omitempty"`
}

// jsonFloat is a number, or null for none.
type jsonFloat float64

// MarshalJSON writes NaN as null.
func (f jsonFloat) MarshalJSON() ([]byte, error) { return appendNumber(nil, float64(f)), nil }

// UnmarshalJSON reads null as NaN.
func (f *jsonFloat) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*f = jsonFloat(math.NaN())
		return nil
	}
	n, err := strconv.ParseFloat(string(b), 64)
	*f = jsonFloat(n)
	return err
}

// member takes a sample of a member of the group.
func (r *stateful) member(mo *moment, twin string, at int64, out []Outcome) []Outcome {
	st, g := mo.st, r.group
	f := &st.counters.rules[r.index]
	f.Received++
	f.Matched++
	m := st.remembered(r)
	p := m.part()
	i, found := slices.BinarySearchFunc(p.members, twin, func(m *memberState, twin string) int { return cmp.Compare(m.Twin, twin) })
	var known *memberState
	if found {
		known = p.members[i]
	}
	if known != nil && at <= known.At {
		f.Late++
		return out
	}
	verdict := logic.True
	if g.test != nil && r.asks {
		verdict = r.test(mo.v, g.test)
	}
	if g.quorum != nil {
		f.count(verdict)
	}
	switch {
	case verdict == logic.Unknown || verdict == logic.Failed:
		if r.missing.Mode != MissingFalse {
			return out
		}
		verdict = logic.False
	case known == nil && len(p.members) >= maxMembers:
		f.Skipped++
		return out
	}
	if known == nil {
		known = &memberState{Twin: twin}
		p.members = slices.Insert(p.members, i, known)
	}
	known.At, known.True, known.Values = at, verdict == logic.True, known.Values[:0]
	for _, field := range g.fields {
		known.Values = append(known.Values, jsonFloat(mo.v.number(field)))
	}
	m.parked = false
	if len(p.members) == 1 && p.newest == 0 {
		p.newest = at
	}
	p.newest = max(p.newest, at)
	mo.at = timeOf(p.newest)
	st.feeds[r.feedSlot].seen++
	out = r.judgeGroup(mo, m, p.newest, out)
	st.keep(r, m)
	return out
}

// judgeGroup judges what the group's members have said last.
func (r *stateful) judgeGroup(mo *moment, m *memory, at int64, out []Outcome) []Outcome {
	g, c, p := r.group, mo.st.counters, m.part()
	fresh, isTrue := 0, 0
	for _, member := range p.members {
		if g.isFresh(member, at) {
			fresh++
			if member.True {
				isTrue++
			}
		}
	}
	results := g.aggregate(c, p.members, at)
	verdict := logic.False
	if q := g.quorum; q != nil {
		ratio := math.NaN()
		if fresh > 0 {
			ratio = float64(isTrue) / float64(fresh)
		}
		results = append(results, float64(fresh), float64(isTrue), ratio)
		if q.Count > 0 && isTrue >= q.Count || q.Ratio > 0 && ratio >= q.Ratio {
			verdict = logic.True
		}
	}
	j := judgement{moment: mo, m: m, at: at, last: noTime, quorum: verdict}
	c.doc = append(c.doc[:0], "{}"...)
	r.compose(&j, c.doc, results)
	return r.decide(&j, out)
}

func (g *group) isFresh(m *memberState, at int64) bool { return g.maxAge == 0 || at-m.At < g.maxAge }

// staleAt is when the next member counts no longer; noTime: none will.
func (g *group) staleAt(p *parts) int64 {
	due := int64(noTime)
	for _, m := range p.members {
		if at := m.At + g.maxAge; g.maxAge > 0 && at > p.newest && (due == noTime || at < due) {
			due = at
		}
	}
	return due
}

// aggregate is what the rule makes of the members' newest values.
func (g *group) aggregate(c *Counters, members []*memberState, at int64) (results []float64) {
	if g.batch == nil {
		return nil
	}
	var st series.WindowState
	for _, member := range members {
		if !g.isFresh(member, at) {
			continue
		}
		c.values = c.values[:0]
		for _, n := range member.Values {
			c.values = append(c.values, float64(n))
		}
		g.batch.Add(&st, &c.scratch, member.At, c.values, c.tell)
	}
	c.told = c.told[:0]
	g.batch.Close(&st, &c.scratch, at, c.tell)
	for _, t := range c.told {
		results = append(results, t.results...)
	}
	for len(results) < g.ops {
		results = append(results, math.NaN())
	}
	return results
}

// group compiles the groupBy of a rule.
func (c *compiler) group(spec *RuleSpec, s *stateful) {
	by := spec.GroupBy
	if by == nil {
		return
	}
	g := &group{property: by.Property, maxAge: int64(by.MaxAge), quorum: spec.Quorum, ops: len(spec.Aggregates)}
	if s.source >= 0 {
		g.model = c.in.Sources[s.source].ModelDID
	}
	feed := c.feed(s.rule)
	made := series.WindowSpec{Type: series.Batch, Lateness: series.MaxSpan}
	for _, a := range spec.Aggregates {
		index := series.Samples
		if a.Field != "" {
			f := c.given(s, a.Field, at(a.raw, "field"), feed)
			if index = slices.Index(g.fields, f); index < 0 {
				index = len(g.fields)
				g.fields = append(g.fields, f)
			}
		}
		made.Aggregates = append(made.Aggregates, series.Aggregate{Op: series.Op(a.Op), Field: index, Percentile: a.Percentile})
		s.aggregateNames = append(s.aggregateNames, quoted(a.Name)+":")
	}
	made.Fields = len(g.fields)
	if len(made.Aggregates) > 0 {
		var err error
		if g.batch, err = series.NewWindow(made); err != nil {
			c.errorf(at(spec.raw, "aggregate").As(CodeWindow), "%v", err)
		}
	}
	if g.quorum != nil {
		s.aggregateNames = append(s.aggregateNames, `"members":`, `"true":`, `"ratio":`)
	}
	s.group = g
	if s.source >= 0 {
		c.link(Link{Name: s.name, Source: s.source, Feed: s.feed, Property: g.property, Target: s.source, Group: true, Model: cmp.Or(g.model, c.in.ID)}, link{s, -1})
	}
}

// members lets the conditions of a quorum be judged of each member's sample.
func (c *compiler) members(spec *RuleSpec, s *stateful) {
	if s.group == nil || s.group.quorum == nil {
		return
	}
	for _, expr := range s.conditions {
		for _, v := range expr.Vars() {
			if s.makes(v.Parts[0]) {
				c.errorf(v.Place.As(CodeVariable), "%q in the conditions of a quorum, which are asked of each member; want a field of the sample", v.Path)
			}
		}
	}
	s.group.test = &rule{at: len(s.shared.rules), conditions: s.conditions}
	s.shared.rules = append(s.shared.rules, s.group.test)
}
