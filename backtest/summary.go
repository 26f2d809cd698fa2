package backtest

import "time"

// Total is what one set of rules raises, in numbers.
type Total struct {
	Alerts   int
	Open     int // of them, at the end
	InAlarm  time.Duration
	Longest  *Alert // nil: there is no alert
	Flapping int    // alerts that begin within Again of the last one's end
	Outputs  int
	True     uint64 // verdicts
	Late     uint64 // samples
}

// Total sums up the verdict on the rules for which is says so.
func (v *Verdict) Total(last time.Time, is func(Rule) bool) Total {
	var t Total
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
	for r, n := range v.Outputs {
		if is(r) {
			t.Outputs += n
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
