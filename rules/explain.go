package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

// Explainer says how one rule judges, for people. It judges again, on a copy of
// what is remembered; nothing is noted where samples are judged for good. One
// goroutine may use it.
type Explainer struct {
	p     *Program
	spec  *RuleSpec
	rule  *rule
	tests []tracedTest
}

// tracedTest is one expression of the rule.
type tracedTest struct {
	what   string
	raw    strictjson.Raw
	tracer *logic.Tracer
	when   func(before phase) bool // it matters; nil: always
}

// Explainer is the one of a rule; the error says that there is no such rule.
func (p *Program) Explainer(name string) (*Explainer, error) {
	i := slices.IndexFunc(p.rules, func(r *rule) bool { return r.name == name })
	if i < 0 {
		return nil, fmt.Errorf("interaction %q has no rule %q%s", p.ID(), name, strictjson.DidYouMean(name, p.Rules()))
	}
	x := &Explainer{p: p, rule: p.rules[i]}
	for k := range p.in.Rules {
		if p.in.Rules[k].name() == name {
			x.spec = &p.in.Rules[k]
		}
	}
	return x, x.compile()
}

func (x *Explainer) compile() error {
	var err error
	add := func(what string, raw strictjson.Raw, when func(phase) bool) {
		if raw.IsZero() || err != nil {
			return
		}
		var tracer *logic.Tracer
		if tracer, err = logic.NewTracer(raw); err == nil {
			x.tests = append(x.tests, tracedTest{what, raw, tracer, when})
		}
	}
	for i, c := range x.spec.Conditions {
		what := "condition"
		if len(x.spec.Conditions) > 1 {
			what = fmt.Sprintf("condition %d of %d", i+1, len(x.spec.Conditions))
		}
		add(what, c.Logic, nil)
	}
	if c := x.spec.ClearCondition; c != nil {
		add("clearCondition", c.Logic, phase.fires)
	}
	for _, l := range x.spec.Levels {
		add("level "+l.Severity, l.Logic, nil)
		add("level "+l.Severity+", clearCondition", l.Clear, phase.fires)
	}
	if q := x.spec.Sequence; q != nil {
		for _, step := range q.Steps {
			add("step "+step.ID, step.Logic, nil)
		}
	}
	return err
}

// Rule is the name of the rule.
func (x *Explainer) Rule() string { return x.rule.name }

// Hold is its "for", 0 when it has none.
func (x *Explainer) Hold() time.Duration { return x.spec.For }

// Shadow says whether nobody is told of what it decides.
func (x *Explainer) Shadow() bool { return x.rule.shadow }

// Does is the kind of what the rule makes: an alert may have others beside it.
func (x *Explainer) Does() Kind {
	if x.spec.Alert == nil {
		return Output
	}
	return x.spec.Alert.Does
}

// Asks is the hash of what the rule asks, which its alerts carry as revision.
func (x *Explainer) Asks() string { return x.rule.hash }

// Feed is the one whose samples the rule judges.
func (x *Explainer) Feed() string { return x.rule.feed }

// Source is the index of its source in [Program.Sources].
func (x *Explainer) Source() int { return x.rule.source }

// Program is the one of the rule.
func (x *Explainer) Program() *Program { return x.p }

// Grouped says whether the rule judges many twins as one.
func (x *Explainer) Grouped() bool { return x.rule.stateful != nil && x.rule.stateful.group != nil }

// Texts are, by path, the texts with which the rule's expressions compare a field
// of the sample.
func (x *Explainer) Texts() map[string][]string {
	out := map[string][]string{}
	for _, t := range x.tests {
		texts(t.raw, out)
	}
	return out
}

func texts(raw strictjson.Raw, out map[string][]string) {
	for _, m := range raw.Members() {
		operands := m.Value.Elems()
		if len(operands) == 2 && slices.Contains([]string{"==", "===", "in"}, m.Name) {
			compared(operands[0], operands[1], out)
			compared(operands[1], operands[0], out)
		}
		texts(m.Value, out)
	}
	for _, e := range raw.Elems() {
		texts(e, out)
	}
}

// compared notes a field beside a text, or a list of texts.
func compared(field, with strictjson.Raw, out map[string][]string) {
	if len(field.Members()) != 1 || field.Members()[0].Name != "var" || field.Members()[0].Value.Str() == "" {
		return
	}
	path := field.Members()[0].Value.Str()
	for _, e := range append([]strictjson.Raw{with}, with.Elems()...) {
		if e.Kind() == strictjson.String && !slices.Contains(out[path], e.Str()) {
			out[path] = append(out[path], e.Str())
		}
	}
}

// Fields are the paths that the rule reads of the sample, those that it needs to
// decide first.
func (x *Explainer) Fields() []string {
	var out []string
	for _, required := range []bool{true, false} {
		for _, t := range x.tests {
			expr, err := logic.Compile(t.raw)
			if err != nil {
				continue
			}
			for _, v := range expr.Vars() {
				if v.Required == required && !x.rule.stateful.makes(v.Parts[0]) && !slices.Contains(out, v.Path) {
					out = append(out, v.Path)
				}
			}
		}
	}
	return out
}

// Explanation is how a rule came to what it made of a sample, or of a tick.
type Explanation struct {
	Interaction string            `json:"interaction"`
	Rule        string            `json:"rule"`
	Revision    string            `json:"revision"`     // of the interaction
	Asks        string            `json:"ruleRevision"` // of the rule: what its alerts carry
	Twin        string            `json:"twin"`
	Feed        string            `json:"feed,omitempty"`
	At          time.Time         `json:"at"`
	Seq         uint64            `json:"seq"`                // in the stream, or the line of the file
	Index       uint32            `json:"index,omitempty"`    // among the samples of one message
	Data        json.RawMessage   `json:"data,omitempty"`     // of the sample
	Judged      json.RawMessage   `json:"judged,omitempty"`   // what the expressions read, where that is more than the sample
	Verdict     string            `json:"verdict"`            // true, false, unknown, failed, late, skipped; "" = it decided nothing
	Tests       []Test            `json:"tests,omitempty"`    // its expressions
	Why         []string          `json:"why"`                // what became of the verdict, in the order of things
	Before      Remembered        `json:"before"`             //
	After       Remembered        `json:"after"`              //
	Outcomes    []json.RawMessage `json:"outcomes,omitempty"` // of this rule
	Counted     Funnel            `json:"counted"`            // what the sample adds to the funnel

	outcomes []Outcome
}

// Test is one expression of the rule, and how it was judged.
type Test struct {
	What    string       `json:"what"`
	Pointer string       `json:"pointer"` // where it stands in the document
	Trace   *logic.Trace `json:"trace"`
}

// Made are the outcomes of the rule.
func (e *Explanation) Made() []Outcome { return e.outcomes }

// Explain says how the rule judges a sample, or, where s.Data is nil, what falls
// due at s.At. judge judges it, with the state that it is given, which is a copy
// of st; st stays as it is.
func (x *Explainer) Explain(s *Sample, twin string, st *State, judge func(*State, []Outcome) []Outcome) (*Explanation, error) {
	e := &Explanation{
		Interaction: x.p.ID(), Rule: x.rule.name, Revision: x.p.Hash(), Asks: x.rule.hash,
		Twin: twin, Feed: s.Feed, At: s.At, Seq: s.Seq, Index: s.Index, Data: bytes.Clone(s.Data), Before: x.p.Describe(st, x.rule.name, s.At),
	}
	again, err := x.p.copied(st)
	if err != nil {
		return nil, err
	}
	judged := e.Data
	if x.rule.stateful != nil && x.rule.stateful.private != nil {
		judged = nil // unless it comes to that, its expressions read nothing
	}
	again.counters.explains = func(r *stateful, doc []byte) {
		if r == x.rule.stateful {
			judged = bytes.Clone(doc)
		}
	}
	out := judge(again, nil)
	e.Counted = again.counters.Funnels()[x.rule.index]
	e.After = x.p.Describe(again, x.rule.name, s.At)
	for _, o := range out {
		if o.Rule == x.rule.name {
			e.Outcomes = append(e.Outcomes, o.AppendJSON(nil))
			e.outcomes = append(e.outcomes, o)
		}
	}
	if judged != nil && !bytes.Equal(judged, e.Data) {
		e.Judged = judged
	}
	e.Verdict = e.Counted.verdict()
	x.trace(e, judged)
	e.Why = x.why(e)
	return e, nil
}

// copied is a state of its own that has the same past.
func (p *Program) copied(st *State) (*State, error) {
	c := p.NewCounters()
	c.now, c.resumed = st.counters.now, st.counters.resumed
	again, err := p.LoadState(st.Append(nil), c)
	if err != nil {
		return nil, err
	}
	again.facts = st.facts
	return again, nil
}

// verdict is what one sample was counted as.
func (f *Funnel) verdict() string {
	for _, c := range []struct {
		n    uint64
		word string
	}{{f.Late, "late"}, {f.True, "true"}, {f.False, "false"}, {f.Errors, "failed"}, {f.Unknown, "unknown"}, {f.Skipped, "skipped"}} {
		if c.n > 0 {
			return c.word
		}
	}
	return ""
}

func (x *Explainer) trace(e *Explanation, doc []byte) {
	if q := x.rule.stateful; q != nil && q.group != nil && q.group.quorum != nil {
		doc = e.Data // a quorum asks each member's sample
	}
	if len(doc) == 0 {
		return
	}
	var data any
	if json.Unmarshal(doc, &data) != nil {
		return
	}
	for _, t := range x.tests {
		if t.when == nil || t.when(e.Before.phase) {
			e.Tests = append(e.Tests, Test{t.what, t.raw.At.Pointer(), t.tracer.Trace(data)})
		}
	}
}

// why says what became of the sample on its way through the rule.
func (x *Explainer) why(e *Explanation) []string {
	var why []string
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	s := x.rule.stateful
	switch {
	case e.Data == nil:
	case e.Counted.Received == 0:
		say("the sample does not reach the rule: %s", x.unreached())
		return why
	case e.Verdict == "late":
		say("late: not newer than the newest sample of its feed, %s%s; it changes nothing", clock(e.Before.LastSample, e.At), x.lateness())
		return why
	case e.Verdict == "skipped" && s != nil && s.onChange != nil:
		say("held back: none of the fields of onChange has changed")
	case e.Verdict == "skipped":
		say("taken in by the window; the conditions are judged when it closes")
	case e.Verdict == "unknown" && s != nil && s.missing.Mode == MissingFalse:
		say("an input is missing, which counts as false here (onMissing)")
	case e.Verdict == "unknown":
		say("an input is missing, so that the sample decides nothing")
	case e.Verdict == "failed":
		say("an expression failed, so that the sample decides nothing")
	case s != nil && s.missing.Mode == MissingEvaluate:
		say("a missing input counts as null here (onMissing)")
	}
	if s != nil {
		why = append(why, s.beside(e)...)
	}
	return append(why, x.changes(e)...)
}

func (x *Explainer) unreached() string {
	if !x.p.Enabled() {
		return "its interaction is not enabled"
	}
	feed := x.p.sources[x.rule.source].feed(x.rule.feed)
	if feed != nil && len(feed.FieldIDs) > 0 {
		return fmt.Sprintf("it has none of the fieldIds of feed %q, or its twin does not match the source", feed.ID)
	}
	return "its twin does not match the rule's source"
}

func (x *Explainer) lateness() string {
	if s := x.rule.stateful; s != nil && s.lateness > 0 {
		return ", less " + inWords(s.lateness)
	}
	return ""
}

// beside are what the rule asks beside its conditions.
func (r *stateful) beside(e *Explanation) []string {
	var why []string
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	if p := e.After.Repeat; p != nil && p.Have < p.Want {
		say("repeat asks for %d true samples, and there are %d", p.Want, p.Have)
	}
	if r.unchanged != nil && e.After.Unchanged != nil {
		if stood := nanos(e.At) - nanos(e.After.Unchanged.Since); stood < r.unchanged.spec.For {
			say("the value has been the same for %s, and has to be for %s", inWords(stood), e.After.Unchanged.For)
		}
	}
	if q := e.After.Group; q != nil && r.group.quorum != nil {
		want := fmt.Sprint(r.group.quorum.Count)
		if r.group.quorum.Ratio > 0 {
			want = fmt.Sprintf("%g of them", r.group.quorum.Ratio)
		}
		say("%d of %d members are true, and the quorum is %s", q.True, q.Fresh, want)
	}
	if r.gate != nil && e.After.Schedule == "closed" {
		say("outside its schedule the conditions count as false")
	}
	return why
}

// changes are what became of the phase, and of the alert.
func (x *Explainer) changes(e *Explanation) []string {
	var why []string
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	b, a := &e.Before, &e.After
	switch s := x.rule.stateful; {
	case a.phase == pending && b.phase == pending && a.since > b.since && s.maxGap > 0:
		say("pending began again at %s: no sample between %s and %s (gap %s > maxGap %s)", clock(a.Since, e.At), clock(timeOf(b.knownAt), e.At), clock(a.Since, e.At), inWords(a.since-b.knownAt), inWords(s.maxGap))
	case a.phase == pending:
		say("pending since %s: held %s of %s", clock(a.Since, e.At), inWords(nanos(e.At)-a.since), inWords(s.hold))
	case b.phase == pending && a.phase == idle:
		say("no longer pending: it was true for %s of %s", inWords(nanos(e.At)-b.since), inWords(s.hold))
	case a.phase == clearing:
		say("clearing since %s", clock(a.Since, e.At))
	case a.phase == firing && b.phase == firing && e.Verdict == "false" && s != nil && s.over != nil:
		say("the conditions are false, but clearCondition is not true: it fires on")
	case b.phase == clearing && a.phase == firing:
		say("no longer clearing: it fires on")
	}
	for _, o := range e.outcomes {
		say("%s", o.inWords(e.At))
	}
	if len(e.outcomes) == 0 && b.Alert != nil && b.Alert.Active && a.Alert != nil && a.Alert.ID == b.Alert.ID {
		say("alert %s has been firing since %s: one episode, one alert", a.Alert.ID, clock(a.Alert.Starts, e.At))
	}
	if a.Alert != nil && a.Alert.Suppression != nil {
		say("%s", a.Alert.Suppression.words(e.At))
	}
	return why
}

// inWords is what an outcome says, for people, of a sample of that time.
func (o *Outcome) inWords(at time.Time) string {
	when := ""
	if !o.At.Equal(at) {
		when = " at " + clock(o.At, at) + ", by the clock"
	}
	switch {
	case o.Refused != "":
		return o.Refused + when + ": a dead letter"
	case o.Sticker != nil || o.Notice != nil:
		return o.Does() + when
	case o.Life == nil:
		return fmt.Sprintf("%s %s%s", o.Kind, o.Data, when)
	}
	text := fmt.Sprintf("alert %s %s%s", o.ID, o.Life.Event, when)
	if !o.Life.Active && !o.Ends.IsZero() {
		text += " after " + inWords(nanos(o.Ends)-nanos(o.Starts))
	}
	if o.Life.Silent {
		text += ", and nobody is told"
	}
	return text
}
