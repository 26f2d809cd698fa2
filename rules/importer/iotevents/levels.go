package iotevents

import (
	"slices"
	"strings"

	"tocsin.internal/rules/importer"
)

// severities from the least to the worst, with what names of states say.
var severities = []struct {
	severity string
	words    []string
}{
	{"critical", []string{"crit", "danger", "emergenc", "fatal", "shutdown", "severe", "disaster", "evacuat"}},
	{"info", []string{"info", "notice"}},
	{"minor", []string{"minor"}},
	{"warning", []string{"warn", "caution", "elevated", "attention", "suspect"}},
	{"major", nil},
}

// severityOf guesses from the name of a state.
func severityOf(s *state) string { return severityIn(s.name) }

func severityIn(name string) string {
	lower := strings.ToLower(name)
	for _, s := range severities {
		if slices.ContainsFunc(s.words, func(w string) bool { return strings.Contains(lower, w) }) {
			return s.severity
		}
	}
	return "major"
}

func rank(severity string) int {
	return slices.Index([]string{"info", "warning", "minor", "major", "critical"}, severity)
}

// levels makes one alert of several states that are severities of one thing:
// each has a severity of its own, and begins by one condition whatever the state
// before.
func (a *analysis) levels(alarms []*state) bool {
	if len(alarms) < 2 {
		return false
	}
	sorted := slices.SortedStableFunc(slices.Values(alarms), func(x, y *state) int { return rank(severityOf(x)) - rank(severityOf(y)) })
	r := &reading{constants: a.constants}
	var levels importer.List
	var begins []any
	for i, s := range sorted {
		if i > 0 && severityOf(s) == severityOf(sorted[i-1]) {
			return false
		}
		level, ok := a.level(&alert{reading: *r}, r, s)
		if !ok {
			return false
		}
		levels, begins = append(levels, level), append(begins, level[1].Value)
	}
	if !slices.ContainsFunc(alarms, func(s *state) bool { return a.follows(s, alarms) }) {
		return false // they are alarms of their own
	}
	id := importer.Unique(importer.Slug(a.name), a.ids)
	rule := a.head(id, severityOf(sorted[0]), r)
	rule = append(rule, importer.Member{Name: "levels", Value: levels})
	var names []string
	for _, s := range sorted {
		names = append(names, s.name)
		a.out.Exactly(s.raw.At, "%q: the level %q of the alert %q", s.name, severityOf(s), id)
	}
	a.drops(sorted, begins)
	a.finish(rule, a.raw.At, strings.Join(names, ", "), severityOf(sorted[0]), r)
	return true
}

// follows says whether a state leads to one of the others.
func (a *analysis) follows(s *state, alarms []*state) bool {
	return slices.ContainsFunc(s.transitions, func(e *event) bool {
		next := a.state(e.next)
		return next != s && slices.Contains(alarms, next)
	})
}

// level is a state that begins and ends by plain conditions.
func (a *analysis) level(r *alert, shared *reading, s *state) (importer.Object, bool) {
	plainly := func(e *event) (any, bool) {
		q := a.asked(e)
		if q.timer != "" || q.counter != nil || e.wrong != nil {
			return nil, false
		}
		expr, err := r.all(q)
		return expr, err == nil
	}
	var begins, ends []any
	for _, e := range a.into(s) {
		expr, ok := plainly(e)
		if !ok {
			return nil, false
		}
		if rank(severityOf(s)) < rank(severityOf(e.from)) && e.from != a.quiet {
			continue // back from a worse one, by what ends that
		}
		begins = appendNew(begins, expr)
	}
	for _, e := range s.transitions {
		next := a.state(e.next)
		expr, ok := plainly(e)
		if !ok || next == nil {
			return nil, false
		}
		if next != s && (next == a.quiet || rank(severityOf(next)) < rank(severityOf(s))) {
			ends = appendNew(ends, expr)
		}
	}
	if len(begins) != 1 {
		return nil, false
	}
	*shared = r.reading
	level := importer.Object{{Name: "severity", Value: severityOf(s)}, {Name: "jsonLogic", Value: begins[0]}}
	end := importer.Any(ends...)
	if len(ends) == 0 || importer.Text(end) == importer.Text(importer.Negate(begins[0])) {
		return level, true
	}
	return append(level, importer.Member{Name: "clearCondition", Value: importer.Logic(end)}), true
}

// drops notes where the original leaves a worse state for the quiet one although
// a lower one may hold.
func (a *analysis) drops(sorted []*state, begins []any) {
	for i, s := range sorted {
		for _, e := range s.transitions {
			end, err := (&alert{reading: reading{constants: a.constants}}).all(a.asked(e))
			if err != nil || e.next != a.quiet.name {
				continue
			}
			if slices.ContainsFunc(begins[:i], func(begin any) bool { return !importer.Disjoint(end, begin) }) {
				a.out.Nearly(e.at, "the original goes from %q to %q, and up again with the next message where a lower level holds; here the lower level holds at once", s.name, a.quiet.name)
			}
		}
	}
}
