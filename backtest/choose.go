package backtest

import (
	"cmp"
	"slices"
	"strings"
)

// chosen is a panel that waits for its values.
type chosen struct {
	panel   Panel
	reading reading
}

func (c *chosen) source() (feed string, field []string) { return c.reading.feed, c.reading.field }

// choose finds the rules and twins that are worth a picture.
func choose(run *Run, most int) []chosen {
	byKey := map[alertKey]*chosen{}
	var all []*chosen
	of := func(k alertKey) *chosen {
		if byKey[k] == nil {
			c := &chosen{panel: Panel{Rule: Rule{k.interaction, k.rule}, Twin: k.twin, Alerts: make([][]Alert, len(run.Verdicts))}}
			byKey[k] = c
			all = append(all, c)
		}
		return byKey[k]
	}
	for i, v := range run.Verdicts {
		for _, a := range v.Alerts {
			p := &of(alertKey{a.Interaction, a.Rule, a.Twin}).panel
			p.Alerts[i] = append(p.Alerts[i], a)
		}
	}
	if len(run.Verdicts) == 2 {
		for _, c := range Compare(run).Changes {
			byKey[alertKey{c.Interaction, c.Rule, c.Twin}].panel.Changes++
		}
	}
	slices.SortStableFunc(all, func(a, b *chosen) int {
		return cmp.Or(cmp.Compare(b.panel.Changes, a.panel.Changes), cmp.Compare(b.panel.alerts(), a.panel.alerts()),
			compareRules(a.panel.Rule, b.panel.Rule), cmp.Compare(a.panel.Twin, b.panel.Twin))
	})
	out := make([]chosen, 0, min(most, len(all)))
	for _, c := range all[:min(most, len(all))] {
		c.read(run)
		out = append(out, *c)
	}
	return out
}

func (p *Panel) alerts() int {
	n := 0
	for _, alerts := range p.Alerts {
		n += len(alerts)
	}
	return n
}

// read finds what the rule compares in each of the sets, and with what.
func (c *chosen) read(run *Run) {
	for i, v := range run.Verdicts {
		p := v.Programs[c.panel.Rule.Interaction]
		if p == nil {
			continue
		}
		r := readingOf(p, c.panel.Rule.Rule)
		if c.reading.field == nil {
			c.reading.feed, c.reading.field = r.feed, r.field
		}
		if !slices.Equal(c.reading.field, r.field) {
			continue // it compares another field now
		}
		for _, t := range r.thresholds {
			same := func(u Threshold) bool { return u.Op == t.Op && u.Value == t.Value && u.Clear == t.Clear }
			if at := slices.IndexFunc(c.panel.Thresholds, same); at >= 0 {
				c.panel.Thresholds[at].Old = c.panel.Thresholds[at].Old && i == 0
				continue
			}
			t.Old, t.New = i == 0 && len(run.Verdicts) > 1, i == 1
			c.panel.Thresholds = append(c.panel.Thresholds, t)
		}
	}
	c.panel.Field = strings.Join(c.reading.field, ".")
}
