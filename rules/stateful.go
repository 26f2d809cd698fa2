package rules

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"time"

	"tocsin.internal/rules/logic"
	"tocsin.internal/rules/schedule"
)

// stateful is what a rule has that remembers. A sample goes through it in one
// line: is it late, has a field changed, is it taken in by a window; then the
// conditions, what is asked beside them, the schedule; then how long it lasts;
// and what that changes is told, as an alert or as an output.
type stateful struct {
	*rule
	timing
	slot     int // in Program.stateful
	alert    *alertRule
	output   *statefulOutput // exactly one of them is set
	lateness int64
	over     *rule // the clearCondition; nil: when the conditions are not true
	asks     bool  // has conditions

	onChange  *onChange
	window    *window
	rates     []rate
	missing   OnMissing
	repeat    *repeated
	unchanged *unchanged
	absent    *Absent
	fence     *fence
	sequence  *steps
	gate      *schedule.Schedule // outside it the conditions count as false
	joins     []join
	group     *group
	enrich    []enrichment

	// needs are the fields of the sample that its own document or its context
	// has; private says that it is judged by a document of its own, because its
	// conditions read what is not in the sample.
	needs          []field
	private        *plan
	timed          bool     // something can fall due without a sample
	each           []*rule  // onMissing evaluate: the conditions one by one
	aggregateNames []string // quoted, with their colons
	memory         bool     // remembers something from its first sample on
}

// need notes a field of the sample.
func (r *stateful) need(name string) {
	if r == nil || r.makes(name) {
		return
	}
	if f := newField(name, r.shared); !slices.Contains(r.needs, f) {
		r.needs = append(r.needs, f)
	}
}

// makes says whether a name is a variable that the rule makes.
func (r *stateful) makes(name string) bool {
	if r == nil {
		return false
	}
	switch {
	case name == "$rate":
		return len(r.rates) > 0
	case name == "$agg":
		return len(r.aggregateNames) > 0
	case name == "steps":
		return r.sequence != nil
	}
	return slices.ContainsFunc(r.joins, func(j join) bool { return j.as == name }) ||
		slices.ContainsFunc(r.enrich, func(e enrichment) bool { return e.as == name })
}

// judge takes a sample of the rule's feed.
func (r *stateful) judge(v *view, s *Sample, st *State, t turn, out []Outcome) []Outcome {
	if !t.live.Has(r.source) {
		return out
	}
	c := st.counters
	f := &c.rules[r.index]
	f.Matched++
	if t.newest != noTime && t.at <= t.newest-r.lateness {
		f.Late++
		return out
	}
	m := st.remembered(r)
	m.parked = m.parked && r.absent != nil // an absence waits for a sign of life
	mo := momentOf(v, s, st)
	j := judgement{moment: &mo, m: m, feed: v, at: t.at, last: t.newest, old: t.late}
	out = r.take(&j, out)
	st.keep(r, m)
	return out
}

// remembered is the memory of a rule: the kept one, or a scratch one.
func (st *State) remembered(r *stateful) *memory {
	if m := st.memory(r); m != nil {
		return m
	}
	m := &st.counters.memory
	*m = memory{slot: int32(r.slot)}
	if r.memory {
		m.parts = &parts{}
		st.keep(r, m)
		m = st.memory(r)
	}
	return m
}

// memoryOf is the memory of an alert's rule; nil when there is none.
func (st *State) memoryOf(a *alertRule) *memory {
	if a.stateful == nil {
		return nil
	}
	return st.memory(a.stateful)
}

// judgement is one sample, or one window that has closed, on its way through a rule.
type judgement struct {
	*moment
	m    *memory
	feed *view // the sample as it came; nil at a timer
	at   int64
	last int64 // the newest sample before
	old  bool  // older than the newest, yet not late

	quorum logic.Verdict // of a group
}

func (r *stateful) take(j *judgement, out []Outcome) []Outcome {
	f := &j.st.counters.rules[r.index]
	if r.absent != nil {
		if !r.countsAsLife(j) {
			return out
		}
		if now := j.st.counters.now; now != noTime && j.at+int64(r.absent.For) <= now {
			return out // it is of a backlog
		}
		if e := j.st.episodes[r.alert.slot]; j.old || e != nil && j.at+int64(r.absent.For) <= e.since {
			return out // the twin was silent all the same
		}
		j.m.parked, j.m.trueAt = false, j.at
		return r.alert.clear(j.moment, out)
	}
	if r.onChange != nil && !j.old && !r.onChange.pass(j) {
		f.Skipped++
		return out
	}
	if r.window != nil {
		return r.collect(j, out)
	}
	if r.private != nil {
		base := r.base(j)
		if len(r.joins) > 0 && !j.old {
			p := j.m.part()
			p.base = append(p.base[:0], base...)
		}
		r.compose(j, base, nil)
	}
	return r.decide(j, out)
}

// countsAsLife says whether a sample is one that an absence waits for: any, or
// those for which the rule's conditions are true.
func (r *stateful) countsAsLife(j *judgement) bool {
	f := &j.st.counters.rules[r.index]
	if !r.asks {
		f.False++
		return true
	}
	if r.private != nil {
		r.compose(j, r.base(j), nil)
	}
	verdict := r.judgeConditions(j)
	f.count(verdict)
	return verdict == logic.True
}

// base is an object of the fields that the rule needs, in the counters' scratch.
func (r *stateful) base(j *judgement) []byte {
	c := j.st.counters
	c.doc = j.v.appendFields(c.doc[:0], r.needs)
	if r.missing.Mode == MissingLastKnown {
		c.doc = j.m.part().complete(r, j, c.doc)
	}
	return c.doc
}

// decide judges what the view shows at the judgement's time.
func (r *stateful) decide(j *judgement, out []Outcome) []Outcome {
	verdict, level := r.verdict(j)
	if r.group == nil || r.group.quorum == nil { // a quorum counts its members
		j.st.counters.rules[r.index].count(verdict)
	}
	if r.missing.Mode == MissingFalse && verdict == logic.Unknown {
		verdict = logic.False
	}
	if verdict == logic.Failed {
		verdict = logic.Unknown
	}
	if j.old { // what came later has been judged already; it can only break a wait
		breaks := verdict == logic.False && j.m.phase == pending || verdict == logic.True && j.m.phase == clearing
		if breaks && j.at > j.m.since {
			j.m.since = j.last
		}
		return out
	}
	over := r.isOver(j, verdict)
	if r.gate != nil && verdict != logic.Unknown {
		j.m.truth = verdict
		if verdict == logic.False {
			j.m.truth = logic.Unknown
		}
	}
	if r.gate != nil && !j.st.counters.gates[r.slot].Open(r.gate, timeOf(j.at)) {
		if verdict == logic.True {
			j.st.counters.rules[r.index].Quiet++
		}
		verdict, over = logic.False, logic.True
	}
	since := j.m.since
	if j.m.phase == idle {
		since = j.at
	}
	ch := r.step(j.m, verdict, over, j.at)
	if verdict == logic.True && j.m.phase == pending {
		j.st.counters.rules[r.index].Held++
	}
	if r.timed && verdict != logic.Unknown && (j.m.phase != idle || j.m.parts != nil) {
		j.m.context = append(j.m.context[:0], r.said(j)...)
	}
	if verdict != logic.Unknown || ch != stays {
		out = r.changed(j, ch, since, level, verdict, out)
	}
	return out
}

// said is what the rule is judged by, for outcomes that come without a sample.
func (r *stateful) said(j *judgement) []byte {
	if r.private != nil || r.window != nil {
		return j.st.counters.doc
	}
	return r.base(j)
}

// changed tells what a verdict, or a timer, has changed.
func (r *stateful) changed(j *judgement, ch change, since int64, level uint8, verdict logic.Verdict, out []Outcome) []Outcome {
	if r.output != nil {
		return r.output.tell(j, ch, verdict, out)
	}
	a := r.alert
	switch ch {
	case fires:
		j.m.level = level
		waited := int64(noTime)
		if r.hold > 0 {
			waited = since
		}
		j.level, j.flaps = level, a.flapping != nil && j.m.parts != nil && j.m.parts.flaps
		out = a.raise(j.moment, waited, out)
	case clears:
		out = a.clear(j.moment, out)
		j.m.level = 0
	default:
		// While nothing is true any more the level stays what it was.
		if e := j.st.episodes[a.slot]; e != nil && e.active && len(a.levels) > 0 && verdict == logic.True {
			out = a.reach(j, e, level, out)
		}
	}
	if a.flapping != nil {
		out = a.flap(j, out)
	}
	return out
}

// count counts a verdict.
func (f *Funnel) count(v logic.Verdict) {
	switch v {
	case logic.True:
		f.True++
	case logic.False:
		f.False++
	case logic.Failed:
		f.Errors++
	default:
		f.Unknown++
	}
}

// test judges one expression of the rule.
func (r *stateful) test(v *view, t *rule) logic.Verdict {
	verdict := v.machine.Decide(v.rules + t.at)
	v.see(r.name, t, verdict)
	return verdict
}

// judgeConditions judges the rule's conditions; true when it has none.
func (r *stateful) judgeConditions(j *judgement) logic.Verdict {
	switch {
	case !r.asks:
		return logic.True
	case r.missing.Mode == MissingEvaluate:
		return r.evaluate(j)
	}
	verdict := r.test(j.v, r.rule)
	if verdict == logic.Unknown && r.missing.Mode == MissingError {
		return logic.Failed
	}
	return verdict
}

// evaluate gives the conditions JSONLogic's own meaning: what is missing is null.
func (r *stateful) evaluate(j *judgement) logic.Verdict {
	for _, t := range r.each {
		value, err := j.v.machine.AppendValue(nil, j.v.rules+t.at)
		switch {
		case err != nil:
			j.v.see(r.name, t, logic.Failed)
			return logic.Failed
		case !truthy(value):
			j.v.see(r.name, t, logic.False)
			return logic.False
		}
		j.v.see(r.name, t, logic.True)
	}
	return logic.True
}

// truthy is JSONLogic's truth of a JSON value.
func truthy(value []byte) bool {
	switch string(value) {
	case "null", "false", "0", "-0", `""`, "[]":
		return false
	}
	return true
}

// verdict judges all that the rule asks, and finds the alert's level.
func (r *stateful) verdict(j *judgement) (verdict logic.Verdict, level uint8) {
	switch {
	case r.sequence != nil:
		verdict = r.sequence.judge(r, j)
	case r.group != nil && r.group.quorum != nil:
		verdict = j.quorum
	default:
		verdict = r.judgeConditions(j)
	}
	if j.old {
		return verdict, 0 // what else is asked goes by the order of the samples
	}
	if r.repeat != nil {
		verdict = r.repeat.judge(j, verdict)
	}
	if r.unchanged != nil {
		verdict = both(verdict, r.unchanged.judge(j))
	}
	if r.fence != nil {
		verdict = both(verdict, r.fence.judge(j))
	}
	if r.alert != nil && len(r.alert.levels) > 0 {
		var reached logic.Verdict
		level, reached = r.alert.levelOf(r, j)
		if !r.asks && r.unchanged == nil && r.fence == nil && r.sequence == nil {
			verdict = reached
		}
	}
	return verdict, level
}

// both is true when both are; one that is false decides.
func both(a, b logic.Verdict) logic.Verdict {
	switch {
	case a == logic.False || b == logic.False:
		return logic.False
	case a == logic.Failed || b == logic.Failed:
		return logic.Failed
	case a == logic.Unknown || b == logic.Unknown:
		return logic.Unknown
	}
	return logic.True
}

// isOver says whether the conditions for clearing hold.
func (r *stateful) isOver(j *judgement, verdict logic.Verdict) logic.Verdict {
	if r.over != nil {
		if j.m.phase < firing {
			return logic.Unknown
		}
		return r.test(j.v, r.over)
	}
	switch verdict {
	case logic.True:
		return logic.False
	case logic.False:
		return logic.True
	}
	return logic.Unknown
}

// number is the value of a field, NaN when it is none.
func (v *view) number(f field) float64 {
	raw := v.machine.Raw(v.fields + f.at)
	if len(raw) == 0 || raw[0] == '"' || raw[0] == '{' || raw[0] == '[' {
		return math.NaN()
	}
	n, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

// compose makes the rule's own document out of the sample's fields and what the
// rule makes, and lets the judgement see it.
func (r *stateful) compose(j *judgement, base []byte, aggregates []float64) {
	c := j.st.counters
	doc := base
	if len(doc) > 2 {
		doc[len(doc)-1] = ','
	} else {
		doc = append(doc[:0], '{')
	}
	doc = r.appendRates(j, doc)
	doc = r.appendAggregates(doc, aggregates)
	doc = r.appendJoins(j, doc)
	for i := range r.enrich {
		doc = r.enrich[i].append(j.st, doc)
	}
	doc[len(doc)-1] = '}'
	if len(doc) == 1 {
		doc = append(doc[:0], "{}"...)
	}
	c.doc = doc
	j.v = r.look(c, j.p, doc)
}

// look loads a document into the rule's own view.
func (r *stateful) look(c *Counters, p *Program, doc []byte) *view {
	v := c.private[r.slot]
	if v == nil {
		var b logic.Builder
		v = r.private.view(p, &b)
		v.machine = b.Build().NewMachine()
		c.private[r.slot] = v
	}
	v.machine.Load(doc)
	if c.explains != nil {
		c.explains(r, doc)
	}
	return v
}

// recall lets a moment without a sample see what the last sample said.
func (r *stateful) recall(mo *moment, m *memory) {
	c := mo.st.counters
	doc := m.context
	if len(doc) == 0 {
		doc = []byte("{}")
	}
	if r.private != nil {
		c.doc = append(c.doc[:0], doc...) // the context may change while it is seen
		mo.v = r.look(c, mo.p, c.doc)
		return
	}
	reader := c.reader(mo.p, r.shared, r.feed)
	s := Sample{Twin: mo.twin, Feed: r.feed, Data: bytes.Clone(doc)}
	if reader.Read(&s) == nil {
		mo.v = reader.views[0]
	}
}

// appendNumber appends a number as JSON; what is none is null.
func appendNumber(b []byte, n float64) []byte {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, n, 'g', -1, 64)
}

// lookBack is how far back the samples reach that decide what the rule
// remembers.
func (r *stateful) lookBack() time.Duration {
	d := r.hold + r.clear + r.keep
	if r.window != nil {
		d += r.window.reach()
	}
	if r.repeat != nil {
		d += r.repeat.spec.Within
	}
	if r.unchanged != nil {
		d += r.unchanged.spec.For
	}
	for i := range r.rates {
		d += r.rates[i].spec.Window
	}
	if r.sequence != nil {
		d += r.sequence.within
	}
	if r.absent != nil {
		d += int64(r.absent.For)
	}
	return time.Duration(d)
}
