package rules

import (
	"cmp"
	"slices"
	"strings"

	"tocsin.internal/rules/logic"
	"tocsin.internal/rules/schedule"
)

// alertRule fires once when its conditions become true for a twin and resolves
// once when they become false. Unknown changes nothing, and so does a sample
// that is late. What more it remembers is its stateful part's.
type alertRule struct {
	*rule
	slot        int // in Program.alerts and State.episodes
	severity    string
	label       string
	labels      map[string]string
	summary     summary
	description summary // nil: none
	runbook     string
	fields      []field // what goes out as data
	does        Kind    // Alert, or what a rule does of which nobody is told as an alert
	actions

	stateful    *stateful // nil: a simple alert
	levels      []level   // the higher the later
	upwardOnly  bool
	latched     bool
	ackRequired bool
	inhibitedBy []*alertRule
	schedule    *schedule.Schedule // when it is told; nil: always
	throttle    *Throttle
	flapping    *Flapping
	every       int64 // repeatInterval; 0: never
}

// level is a severity of an alert that has several.
type level struct {
	severity, label string
	test, clear     *rule // nil: none
	after           int64
}

func (c *compiler) alert(spec *RuleSpec, r *rule) {
	if spec.Alert.Severity == "" && spec.Alert.Does == Alert {
		c.missing(spec.raw, "severity")
	}
	severity := cmp.Or(spec.Alert.Severity, "info")
	a := &alertRule{
		rule: r, slot: len(c.p.alerts), severity: severity, label: cmp.Or(spec.Alert.Label, severity), labels: spec.Alert.Labels,
		runbook: spec.Alert.Runbook, fields: r.included, does: spec.Alert.Does,
	}
	pl := r.plan
	a.summary = c.summary(spec, r, pl)
	if spec.Alert.Description != "" {
		a.description = c.text(spec, "description", spec.Alert.Description, r, pl)
	}
	if len(a.fields) == 0 {
		a.fields = readFields(r, pl)
	}
	c.actions(spec, a)
	c.p.alerts = append(c.p.alerts, a)
	c.p.alertNamed[a.name] = a
	if r.stateful == nil {
		pl.steps = append(pl.steps, a)
		return
	}
	c.statefulAlert(spec, a)
}

func (c *compiler) summary(spec *RuleSpec, r *rule, pl *plan) summary {
	if spec.Alert.Summary == "" {
		what := " on "
		if spec.Absent != nil {
			what = ": no data from "
		}
		return summary{{text: r.name + what}, {path: []string{"twin"}, at: pl.field("twin")}}
	}
	return c.text(spec, "summary", spec.Alert.Summary, r, pl)
}

// text reads a text with {{field}} in it.
func (c *compiler) text(spec *RuleSpec, member, text string, r *rule, pl *plan) summary {
	place := at(spec.raw, member)
	s, err := parseSummary(text)
	if err != nil {
		c.errorf(place, "%v", err)
	}
	for i := range s {
		if s[i].path != nil {
			s[i].at = pl.field(s[i].path...)
			c.reads(spec, r, s[i].path, place)
		}
	}
	if r.source < 0 {
		return s
	}
	feed := c.in.Sources[r.source].feed(r.feed)
	for _, seg := range s {
		if seg.path != nil && !seg.isTwin() && !r.stateful.makes(seg.path[0]) && !feed.covers(seg.path...) {
			field := strings.Join(seg.path, ".")
			c.warnf(place.As(CodeSummaryField), "field %q is not among the fieldIds of feed %q%s", field, feed.ID, nearest(field, feed.FieldIDs))
		}
	}
	return s
}

// readFields are the top-level fields that the conditions read, in first-seen order.
func readFields(r *rule, pl *plan) []field {
	var read []field
	for _, expr := range r.conditions {
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
	f.Matched++
	if t.late {
		f.Late++
		return out
	}
	switch verdict := v.decide(a.rule, f); {
	case verdict == logic.True && !st.fires(a):
		m := momentOf(v, s, st)
		return a.raise(&m, noTime, out)
	case verdict == logic.False && st.fires(a):
		m := momentOf(v, s, st)
		return a.clear(&m, out)
	}
	return out
}
