package backtest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"tocsin.internal/rules"
)

// Again is how soon after its end an alert that begins again counts as flapping.
const Again = 15 * time.Minute

// What became of an alert.
const (
	New      = "new"
	Gone     = "gone"
	Earlier  = "earlier"
	Later    = "later"
	Longer   = "longer"
	Shorter  = "shorter"
	Severity = "severity"
	Same     = "same"
)

// Change is an alert of one set of rules beside that of the other.
type Change struct {
	Interaction, Rule, Twin string
	What                    []string      // Same, New or Gone alone, else one or more of the others
	Old, New                *Alert        // nil: there is none
	Within                  bool          // New, Gone: the other set has a longer alert at the time
	Begins                  time.Duration // of the new one after the old one
	Lasts                   time.Duration // of the new one more than of the old one
}

// Start is when the first of the two begins.
func (c *Change) Start() time.Time {
	switch {
	case c.Old == nil:
		return c.New.Start
	case c.New == nil || c.Old.Start.Before(c.New.Start):
		return c.Old.Start
	}
	return c.New.Start
}

// Side is a number for each of the two sets.
type Side[T any] struct {
	Old T `json:"old"`
	New T `json:"new"`
}

// Tally is what two sets of rules differ in, in numbers.
type Tally struct {
	Alerts   Side[int]           `json:"alerts"`
	InAlarm  Side[time.Duration] `json:"-"`
	Flapping Side[int]           `json:"flapping"` // alerts that begin within Again of the last one's end
	Outputs  Side[int]           `json:"outputs"`
	Differ   int                 `json:"outputsThatDiffer"` // samples of which they make other outputs

	Stickers            Side[int] `json:"stickers"`
	StickersDiffer      int       `json:"stickersThatDiffer"`
	Notifications       Side[int] `json:"notifications"`
	NotificationsDiffer int       `json:"notificationsThatDiffer"`

	New       int `json:"new"`
	NewWithin int `json:"newWithin"` // of them, within a longer alert of the old set
	Gone      int `json:"gone"`
	InLonger  int `json:"goneWithin"` // of them, within a longer alert of the new set
	Earlier   int `json:"earlier"`
	Later     int `json:"later"`
	Longer    int `json:"longer"`
	Shorter   int `json:"shorter"`
	Severity  int `json:"severity"`
	Same      int `json:"same"`
}

// made is how many outcomes of a kind there are, and of how many samples other ones.
func (t *Tally) made(k rules.Kind) (n *Side[int], differ *int) {
	switch k {
	case rules.Sticker:
		return &t.Stickers, &t.StickersDiffer
	case rules.Notification:
		return &t.Notifications, &t.NotificationsDiffer
	}
	return &t.Outputs, &t.Differ
}

// RuleTally is the tally of a rule. A rule that one of the sets lacks says so.
type RuleTally struct {
	Rule
	Only string // "old", "new", or "" where both have it
	Tally
}

// Row is the tally of a twin or a day.
type Row struct {
	Name string
	Tally
}

// Comparison is what a change of rules would have done.
type Comparison struct {
	Old, New string // the sets' names
	*Run
	Total   Tally
	Rules   []RuleTally // by name
	Twins   []Row       // the ones that differ most first
	Days    []Row       // in UTC, in order; only those with alerts
	Changes []Change    // by time, those that are the same left out
}

// Compare compares the first two verdicts of a run: the second is what is new.
func Compare(run *Run) *Comparison {
	old, changed := &run.Verdicts[0], &run.Verdicts[1]
	c := &Comparison{Old: old.Name, New: changed.Name, Run: run}
	tallies := map[Rule]*Tally{}
	for _, r := range c.rules(old, changed, tallies) {
		c.Rules = append(c.Rules, RuleTally{Rule: r, Only: only(r, old, changed)})
	}
	twins, days := map[string]*Tally{}, map[string]*Tally{}
	of := func(m map[string]*Tally, name string) *Tally {
		if m[name] == nil {
			m[name] = &Tally{}
		}
		return m[name]
	}
	for _, change := range c.pair(old, changed) {
		t := tallies[Rule{change.Interaction, change.Rule}]
		for _, t := range []*Tally{&c.Total, t, of(twins, change.Twin), of(days, change.Start().UTC().Format(time.DateOnly))} {
			t.add(&change, run.Last)
		}
		if change.What[0] != Same {
			c.Changes = append(c.Changes, change)
		}
	}
	c.flapping(tallies, twins, days)
	for i := range c.Rules {
		c.Rules[i].Tally = *tallies[c.Rules[i].Rule]
		for _, kind := range makings {
			n, differ := c.Rules[i].made(kind)
			sum, all := c.Total.made(kind)
			sum.Old, sum.New, *all = sum.Old+n.Old, sum.New+n.New, *all+*differ
		}
	}
	c.Twins, c.Days = rows(twins), rows(days)
	slices.SortStableFunc(c.Twins, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.moved(), a.moved()), cmp.Compare(b.Alerts.Old+b.Alerts.New, a.Alerts.Old+a.Alerts.New))
	})
	slices.SortStableFunc(c.Changes, func(a, b Change) int { return a.Start().Compare(b.Start()) })
	return c
}

// rules are those of both sets, with a tally each.
func (c *Comparison) rules(old, changed *Verdict, tallies map[Rule]*Tally) []Rule {
	for i, v := range []*Verdict{old, changed} {
		for id, p := range v.Programs {
			for _, name := range p.Rules() {
				r := Rule{id, name}
				if tallies[r] == nil {
					tallies[r] = &Tally{}
				}
				for _, kind := range makings {
					n, differ := tallies[r].made(kind)
					*n.of(i), *differ = v.Made[Making{r, kind}], c.Differ[Making{r, kind}]
				}
			}
		}
	}
	return sortedRules(tallies)
}

func sortedRules[T any](m map[Rule]T) []Rule { return slices.SortedFunc(maps.Keys(m), compareRules) }

func (s *Side[T]) of(i int) *T {
	if i == 0 {
		return &s.Old
	}
	return &s.New
}

func only(r Rule, old, changed *Verdict) string {
	has := func(v *Verdict) bool {
		p := v.Programs[r.Interaction]
		return p != nil && slices.Contains(p.Rules(), r.Rule)
	}
	switch {
	case !has(old):
		return "new"
	case !has(changed):
		return "old"
	}
	return ""
}

func rows(tallies map[string]*Tally) []Row {
	out := make([]Row, 0, len(tallies))
	for _, name := range slices.Sorted(maps.Keys(tallies)) {
		out = append(out, Row{name, *tallies[name]})
	}
	return out
}

// moved is how many alerts are not the same.
func (t *Tally) moved() int {
	return t.New + t.Gone + max(t.Alerts.New-t.New-t.Same, 0)
}

// add counts one alert.
func (t *Tally) add(c *Change, last time.Time) {
	for i, a := range []*Alert{c.Old, c.New} {
		if a != nil {
			*t.Alerts.of(i)++
			*t.InAlarm.of(i) += a.lasts(last)
		}
	}
	for _, what := range c.What {
		*t.counter(what)++
	}
	if c.Within && c.Old == nil {
		t.NewWithin++
	}
	if c.Within && c.New == nil {
		t.InLonger++
	}
}

func (t *Tally) counter(what string) *int {
	switch what {
	case New:
		return &t.New
	case Gone:
		return &t.Gone
	case Earlier:
		return &t.Earlier
	case Later:
		return &t.Later
	case Longer:
		return &t.Longer
	case Shorter:
		return &t.Shorter
	case Severity:
		return &t.Severity
	}
	return &t.Same
}

// pair brings each alert of one set together with the one of the other set that
// fires at the same time, the first of them with the first.
func (c *Comparison) pair(old, changed *Verdict) []Change {
	olds, news := byKey(old.Alerts), byKey(changed.Alerts)
	keys := map[alertKey]bool{}
	for _, m := range []map[alertKey][]*Alert{olds, news} {
		for k := range m {
			keys[k] = true
		}
	}
	var out []Change
	for _, k := range slices.SortedFunc(maps.Keys(keys), func(a, b alertKey) int {
		return cmp.Or(cmp.Compare(a.interaction, b.interaction), cmp.Compare(a.rule, b.rule), cmp.Compare(a.twin, b.twin))
	}) {
		out = append(out, pairs(olds[k], news[k], c.Last)...)
	}
	return out
}

func byKey(alerts []Alert) map[alertKey][]*Alert {
	out := map[alertKey][]*Alert{}
	for i := range alerts {
		a := &alerts[i]
		k := alertKey{a.Interaction, a.Rule, a.Twin}
		out[k] = append(out[k], a)
	}
	return out
}

func pairs(olds, news []*Alert, last time.Time) []Change {
	var out []Change
	var before Side[*Alert] // that were paired last
	for len(olds) > 0 || len(news) > 0 {
		switch {
		case len(news) == 0 || len(olds) > 0 && olds[0].over(news[0], last):
			out = append(out, alone(olds[0], nil, before.New, last))
			olds = olds[1:]
		case len(olds) == 0 || news[0].over(olds[0], last):
			out = append(out, alone(nil, news[0], before.Old, last))
			news = news[1:]
		default:
			out = append(out, both(olds[0], news[0], last))
			before = Side[*Alert]{olds[0], news[0]}
			olds, news = olds[1:], news[1:]
		}
	}
	return out
}

// over says that an alert ends before the other begins.
func (a *Alert) over(b *Alert, last time.Time) bool {
	return a.Start.Before(b.Start) && !a.until(last).After(b.Start)
}

// alone is an alert that only one set has; other is what the other set had last.
func alone(old, changed, other *Alert, last time.Time) Change {
	is := cmp.Or(old, changed)
	c := Change{Interaction: is.Interaction, Rule: is.Rule, Twin: is.Twin, What: []string{New}, Old: old, New: changed}
	if changed == nil {
		c.What[0] = Gone
	}
	c.Within = other != nil && (other.End.IsZero() || other.until(last).After(is.Start))
	return c
}

func both(old, changed *Alert, last time.Time) Change {
	c := Change{
		Interaction: old.Interaction, Rule: old.Rule, Twin: old.Twin, Old: old, New: changed,
		Begins: changed.Start.Sub(old.Start), Lasts: changed.lasts(last) - old.lasts(last),
	}
	for _, is := range []struct {
		so   bool
		what string
	}{
		{c.Begins < 0, Earlier},
		{c.Begins > 0, Later},
		{c.Lasts > 0, Longer},
		{c.Lasts < 0, Shorter},
		{old.Severity != changed.Severity, Severity},
	} {
		if is.so {
			c.What = append(c.What, is.what)
		}
	}
	if len(c.What) == 0 {
		c.What = []string{Same}
	}
	return c
}

// flapping counts the alerts that come back soon.
func (c *Comparison) flapping(byRule map[Rule]*Tally, byTwin, byDay map[string]*Tally) {
	for i := range 2 {
		for _, a := range backSoon(c.Verdicts[i].Alerts) {
			day := byDay[a.Start.UTC().Format(time.DateOnly)]
			for _, t := range []*Tally{&c.Total, byRule[Rule{a.Interaction, a.Rule}], byTwin[a.Twin], day} {
				if t != nil {
					*t.Flapping.of(i)++
				}
			}
		}
	}
}

// backSoon are the alerts that begin within Again of the end of the one before.
func backSoon(alerts []Alert) []*Alert {
	var out []*Alert
	ended := map[alertKey]time.Time{}
	for i := range alerts {
		a := &alerts[i]
		k := alertKey{a.Interaction, a.Rule, a.Twin}
		if end, ok := ended[k]; ok && a.Start.Sub(end) <= Again {
			out = append(out, a)
		}
		ended[k] = a.End
	}
	return out
}
