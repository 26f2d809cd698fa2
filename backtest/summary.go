package backtest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tocsin.internal/rules"
	"tocsin.internal/rules/words"
)

// Total is what one set of rules raises, in numbers.
type Total struct {
	Alerts   int
	Open     int // of them, at the end
	InAlarm  time.Duration
	Longest  *Alert             // nil: there is no alert
	Flapping int                // alerts that begin within Again of the last one's end
	Made     map[rules.Kind]int // beside alerts
	True     uint64             // verdicts
	Late     uint64             // samples
}

// Total sums up the verdict on the rules for which is says so.
func (v *Verdict) Total(last time.Time, is func(Rule) bool) Total {
	t := Total{Made: map[rules.Kind]int{}}
	var alerts []Alert
	for _, a := range v.Alerts {
		if is(Rule{a.Interaction, a.Rule}) {
			alerts = append(alerts, a)
		}
	}
	for i := range alerts {
		a := &alerts[i]
		t.Alerts++
		t.InAlarm += a.lasts(last)
		if a.End.IsZero() {
			t.Open++
		}
		if t.Longest == nil || a.lasts(last) > t.Longest.lasts(last) {
			t.Longest = a
		}
	}
	t.Flapping = len(backSoon(alerts))
	for m, n := range v.Made {
		if is(m.Rule) {
			t.Made[m.Kind] += n
		}
	}
	for id, f := range v.Funnels {
		for i, name := range f.Names {
			if is(Rule{id, name}) {
				t.True += f.Rules[i].True
				t.Late += f.Rules[i].Late
			}
		}
	}
	return t
}

// making is what is made beside alerts, in words.
func (t *Total) making() string {
	var out []string
	for _, kind := range madeBy(*t) {
		out = append(out, words.Count(t.Made[kind], string(kind)))
	}
	return cmp.Or(strings.Join(out, ", "), "-")
}

// madeBy are the kinds that one of the totals has made something of.
func madeBy(totals ...Total) (out []rules.Kind) {
	for _, kind := range makings {
		if slices.ContainsFunc(totals, func(t Total) bool { return t.Made[kind] > 0 }) {
			out = append(out, kind)
		}
	}
	return out
}

// Every is for all rules.
func Every(Rule) bool { return true }

// PerWeek is a count as a rate over the recording; 0 for one without a length.
func (r *Run) PerWeek(n int) float64 {
	const week = 7 * 24 * time.Hour
	if !r.Last.After(r.First) {
		return 0
	}
	return float64(n) * float64(week) / float64(r.Last.Sub(r.First))
}
