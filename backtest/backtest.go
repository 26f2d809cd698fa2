// Package backtest says what a change of rules would have done: it judges one
// recording by several sets of rules, gathers the alerts that each raises, and
// compares them.
package backtest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// Set is one set of rules, by interaction.
type Set struct {
	Name     string
	Programs map[string]*rules.Program
}

// Each is told, for the i-th replay, of every sample with what was decided, or
// why it cannot be judged; of a tick the sample is nil. The outcomes are valid
// until it returns.
type Each func(i int, s *rules.Sample, out []rules.Outcome, err error) error

// Play has the replays judge a recording, in its order.
type Play func(ctx context.Context, replays []*engine.Replay, each Each) error

// Alert is one life of an alert: from when it fires until it does so no longer.
type Alert struct {
	Interaction, Rule, Twin string
	ID                      string
	Severity                string // the highest that it had
	Start                   time.Time
	End                     time.Time // zero: it fires still
}

// until is when the alert ends, or the recording.
func (a *Alert) until(last time.Time) time.Time {
	switch {
	case !a.End.IsZero():
		return a.End
	case last.Before(a.Start):
		return a.Start
	}
	return last
}

// lasts is for how long the alert fires within the recording.
func (a *Alert) lasts(last time.Time) time.Duration { return a.until(last).Sub(a.Start) }

// Verdict is what one set of rules has decided.
type Verdict struct {
	Set
	Alerts  []Alert // in the order in which they began
	Made    map[Making]int
	Kinds   map[rules.Kind]int
	Funnels map[string]engine.Funnels // by interaction
}

// Rule names a rule of an interaction.
type Rule struct{ Interaction, Rule string }

func (r Rule) String() string { return r.Interaction + "/" + r.Rule }

func compareRules(a, b Rule) int {
	return cmp.Or(cmp.Compare(a.Interaction, b.Interaction), cmp.Compare(a.Rule, b.Rule))
}

// Making is one kind of what a rule makes beside alerts.
type Making struct {
	Rule
	Kind rules.Kind
}

// makings are the kinds of outcomes that are counted one by one.
var makings = []rules.Kind{rules.Output, rules.Sticker, rules.Notification}

// Run is what several sets of rules have decided of one recording.
type Run struct {
	Samples     int
	Unreadable  int // lines that are no samples, and samples that cannot be judged
	Twins       int
	First, Last time.Time // of the samples; zero: there was none
	Verdicts    []Verdict // in the order of the sets
	Differ      map[Making]int
}

// Watch is told of what happens while a recording is judged; nil: nobody is.
type Watch struct {
	Sample     func(n int) // the number of samples so far
	Unreadable func(s *rules.Sample, err error)
	Outcomes   func(out []rules.Outcome) error // of the first set
}

// Judge has all sets of rules judge the recording, at once. Differ counts, for
// each rule, the samples of which the first two sets make other outputs, stickers
// or notifications.
func Judge(ctx context.Context, play Play, described []twins.Twin, watch Watch, sets ...Set) (*Run, error) {
	run := &Run{Differ: map[Making]int{}}
	replays := make([]*engine.Replay, len(sets))
	ledgers := make([]ledger, len(sets))
	for i, set := range sets {
		replays[i] = engine.NewReplay(set.Programs, described)
		ledgers[i] = ledger{open: map[alertKey]int{}, made: map[Making]int{}, kinds: map[rules.Kind]int{}}
	}
	var first []made
	err := play(ctx, replays, func(i int, s *rules.Sample, out []rules.Outcome, err error) error {
		if i == 0 && s != nil {
			run.sample(s, err, watch)
		}
		for j := range out {
			ledgers[i].note(&out[j])
		}
		if i == 0 && watch.Outcomes != nil && len(out) > 0 {
			if err := watch.Outcomes(out); err != nil {
				return err
			}
		}
		switch {
		case len(sets) != 2:
		case i == 0:
			first = madeOf(out, first[:0])
		default:
			run.differ(first, madeOf(out, nil))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, set := range sets {
		run.Twins = max(run.Twins, replays[i].Twins())
		run.Verdicts = append(run.Verdicts, Verdict{Set: set, Alerts: ledgers[i].alerts, Made: ledgers[i].made, Kinds: ledgers[i].kinds, Funnels: replays[i].Funnels()})
	}
	return run, nil
}

func (r *Run) sample(s *rules.Sample, err error, watch Watch) {
	if !isOfLine(err) {
		r.Samples++
	}
	if watch.Sample != nil {
		watch.Sample(r.Samples)
	}
	if err != nil {
		r.Unreadable++
		if watch.Unreadable != nil {
			watch.Unreadable(s, err)
		}
		return
	}
	switch {
	case r.First.IsZero():
		r.First, r.Last = s.At, s.At
	case s.At.After(r.Last):
		r.Last = s.At
	case s.At.Before(r.First):
		r.First = s.At
	}
}

// isOfLine says that an error is about one line of a recording, which is no
// sample; the next can be read.
func isOfLine(err error) bool { return err != nil && errors.As(err, new(*strictjson.Error)) }

// made is an output, or a sticker or notification, for a comparison.
type made struct {
	of         Making
	twin, feed string
	data       string
}

func madeOf(out []rules.Outcome, into []made) []made {
	for i := range out {
		o := &out[i]
		switch of := (Making{Rule{o.Interaction, o.Rule}, o.Kind}); o.Kind {
		case rules.Output:
			into = append(into, made{of, o.Twin, o.Feed, string(o.Data)})
		case rules.Sticker, rules.Notification:
			into = append(into, made{of, o.Twin, o.Feed, string(o.AppendRest(nil))})
		}
	}
	return into
}

// differ counts the rules that make something else of one sample.
func (r *Run) differ(old, changed []made) {
	if slices.Equal(old, changed) {
		return
	}
	seen := map[Making]bool{}
	note := func(some, others []made) {
		for _, m := range some {
			if !seen[m.of] && !slices.Contains(others, m) {
				seen[m.of] = true
				r.Differ[m.of]++
			}
		}
	}
	note(old, changed)
	note(changed, old)
}

// alertKey is what an alert is about: one at a time has it.
type alertKey struct{ interaction, rule, twin string }

// ledger gathers what one set of rules decides.
type ledger struct {
	alerts []Alert
	open   map[alertKey]int // in alerts
	made   map[Making]int
	kinds  map[rules.Kind]int
}

func (l *ledger) note(o *rules.Outcome) {
	l.kinds[o.Kind]++
	switch o.Kind {
	case rules.Output, rules.Sticker, rules.Notification:
		l.made[Making{Rule{o.Interaction, o.Rule}, o.Kind}]++
	case rules.Alert:
		l.alert(o)
	}
}

func (l *ledger) alert(o *rules.Outcome) {
	key := alertKey{o.Interaction, o.Rule, o.Twin}
	i, open := l.open[key]
	switch {
	case o.State == rules.StateFiring && !open:
		l.open[key] = len(l.alerts)
		l.alerts = append(l.alerts, Alert{Interaction: o.Interaction, Rule: o.Rule, Twin: o.Twin, ID: o.ID, Severity: o.Severity, Start: o.At})
	case o.State == rules.StateFiring:
		if a := &l.alerts[i]; severityRank(o.Severity) > severityRank(a.Severity) {
			a.Severity = o.Severity
		}
	case open:
		a := &l.alerts[i]
		if a.End = o.Ends; a.End.Before(a.Start) {
			a.End = a.Start
		}
		delete(l.open, key)
	}
}

func severityRank(severity string) int {
	return slices.Index([]string{"info", "warning", "minor", "major", "critical"}, severity)
}
