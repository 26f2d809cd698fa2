package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/rules/logic"
)

// alertRule fires once when its conditions become true for a twin and resolves
// once when they become false. Unknown changes nothing, and so does a sample
// that is late.
type alertRule struct {
	*rule
	slot     int // in Program.alerts and State.episodes
	severity string
	labels   map[string]string
	summary  summary
	fields   []field // what goes out as data
}

func (c *compiler) alert(spec *RuleSpec, r *rule) {
	if spec.Alert.Severity == "" {
		c.missing(spec.raw, "severity")
	}
	a := &alertRule{rule: r, slot: len(c.p.alerts), severity: spec.Alert.Severity, labels: spec.Alert.Labels, fields: r.included}
	pl := c.planOf(r)
	a.summary = c.summary(spec, r, pl)
	if len(a.fields) == 0 {
		a.fields = readFields(r.conditions, pl)
	}
	pl.steps = append(pl.steps, a)
	c.p.alerts = append(c.p.alerts, a)
	c.p.alertNamed[a.name] = a
}

func (c *compiler) summary(spec *RuleSpec, r *rule, pl *plan) summary {
	if spec.Alert.Summary == "" {
		return summary{{text: r.name + " on "}, {path: []string{"twin"}, at: pl.field("twin")}}
	}
	place := at(spec.raw, "summary")
	s, err := parseSummary(spec.Alert.Summary)
	if err != nil {
		c.errorf(place, "%v", err)
	}
	for i := range s {
		if s[i].path != nil {
			s[i].at = pl.field(s[i].path...)
		}
	}
	if r.source < 0 {
		return s
	}
	feed := c.in.Sources[r.source].feed(r.feed)
	for _, seg := range s {
		if seg.path != nil && !seg.isTwin() && !feed.covers(seg.path...) {
			field := strings.Join(seg.path, ".")
			c.warnf(place, "field %q is not among the fieldIds of feed %q%s", field, feed.ID, nearest(field, feed.FieldIDs))
		}
	}
	return s
}

// readFields are the top-level fields that the conditions read, in first-seen order.
func readFields(conditions []*logic.Expr, pl *plan) []field {
	var read []field
	for _, expr := range conditions {
		for _, v := range expr.Vars() {
			if f := newField(v.Parts[0], pl); !slices.Contains(read, f) {
				read = append(read, f)
			}
		}
	}
	return read
}

func (a *alertRule) judge(v *view, s *Sample, st *State, t turn, out []Outcome) []Outcome {
	if !t.live.Has(a.source) {
		return out
	}
	f := &st.counters.rules[a.index]
	f.Received++
	if t.late {
		f.Late++
		return out
	}
	switch verdict := v.decide(a.rule, f); {
	case verdict == logic.True && !st.fires(a):
		return a.raise(v, s, st, out)
	case verdict == logic.False && st.fires(a):
		return a.resolve(v, s, st, out)
	}
	return out
}

// raise begins an episode.
func (a *alertRule) raise(v *view, s *Sample, st *State, out []Outcome) []Outcome {
	st.counters.rules[a.index].Raised++
	e := episode{id: a.episodeID(v.program, s), starts: s.At, summary: a.summary.of(v, s.Twin)}
	st.begin(a, e)
	return a.caused(v, s, a.outcome(v.program, s.Twin, s.At, &e, ReasonCondition), out)
}

// resolve ends the episode because the conditions are false.
func (a *alertRule) resolve(v *view, s *Sample, st *State, out []Outcome) []Outcome {
	st.counters.rules[a.index].Resolved++
	return a.caused(v, s, a.resolved(v.program, s.Twin, s.At, st, ReasonCondition), out)
}

// caused appends an outcome with what it has from the sample.
func (a *alertRule) caused(v *view, s *Sample, o Outcome, out []Outcome) []Outcome {
	o.Data = v.appendFields(spare(out), a.fields)
	o.Seq, o.Index, o.Hops = s.Seq, s.Index, s.Hops+1
	return append(out, o)
}

// end resolves the alert for another reason than its conditions.
func (a *alertRule) end(p *Program, now time.Time, twin string, st *State, reason string, out []Outcome) []Outcome {
	if !st.fires(a) {
		return out
	}
	st.counters.rules[a.index].Resolved++
	st.firing = nil
	o := a.resolved(p, twin, now, st, reason)
	o.Data = []byte("{}")
	return append(out, o)
}

// resolved ends the episode, at its start if now lies before that: a device's clock may be ahead.
func (a *alertRule) resolved(p *Program, twin string, now time.Time, st *State, reason string) Outcome {
	e := st.episodes[a.slot]
	o := a.outcome(p, twin, now, &e, reason)
	o.State, o.Ends = StateResolved, now
	if now.Before(e.starts) {
		o.Ends = e.starts
	}
	st.end(a)
	return o
}

func (a *alertRule) outcome(p *Program, twin string, at time.Time, e *episode, reason string) Outcome {
	return Outcome{
		Kind: Alert, Interaction: p.in.ID, Rule: a.name, Twin: twin, At: at, Source: twin,
		ID: e.id, State: StateFiring, Severity: a.severity, Starts: e.starts, Summary: e.summary, Labels: a.labels, Reason: reason,
	}
}

// episodeID hangs on what the alert is about and on when it was raised, so that
// whoever judges the sample again makes the same.
func (a *alertRule) episodeID(p *Program, s *Sample) string {
	b := make([]byte, 0, 256)
	for _, part := range []string{p.in.ID, a.name, s.Twin, s.Feed} {
		b = append(append(b, part...), '|')
	}
	b = s.At.UTC().AppendFormat(b, time.RFC3339Nano)
	if s.Again != 0 { // the rule may have raised it before, in an earlier life
		b = strconv.AppendUint(append(b, '|'), s.Again, 10)
	}
	return "al_" + digest(b)
}
