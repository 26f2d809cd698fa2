package engine

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

// Comparison is how a shadow alert did beside a live one: an alert of each on the
// same twin counts as one of both when there is a time at which both fire.
type Comparison struct {
	Of          string       `json:"of,omitempty"`   // INTERACTION/RULE; "": there is none to compare with
	Note        string       `json:"note,omitempty"` // why there is none
	Since       time.Time    `json:"since"`          // by when the events were stored; not before the shadow began
	Shadow      int          `json:"shadow"`         // alerts
	Live        int          `json:"live"`
	Both        int          `json:"both"`
	Earlier     int          `json:"earlier"` // of both: the shadow fired first
	Later       int          `json:"later"`
	OnlyShadow  int          `json:"onlyShadow"`
	OnlyLive    int          `json:"onlyLive"`
	Differences []Difference `json:"differences,omitempty"` // the newest ones
}

// Difference is an alert that the shadow raised otherwise than the live rule.
type Difference struct {
	Twin   string    `json:"twin"`
	Shadow time.Time `json:"shadow,omitzero"` // when it was raised; zero: it was not
	Live   time.Time `json:"live,omitzero"`
}

// maxDifferences is how many of them are shown.
const maxDifferences = 20

// lifetime is an alert's life.
type lifetime struct {
	twin     string
	from, to time.Time // to is zero while it fires
	stored   time.Time // its last event
}

// overlaps says whether there is a time at which both fire.
func (s *lifetime) overlaps(o *lifetime) bool {
	return (o.to.IsZero() || s.from.Before(o.to)) && (s.to.IsZero() || o.from.Before(s.to))
}

// lifetimes are the alerts of which something was stored since a time, or that fire
// still, in the order of their twins and times.
func lifetimes(events iter.Seq2[bus.AlertEvent, error], since time.Time) ([]lifetime, error) {
	byID := map[string]*lifetime{}
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		o := &e.Outcome
		if e.Err != nil || o.Kind != rules.Alert {
			continue
		}
		s := byID[o.ID]
		if s == nil {
			s = &lifetime{twin: o.Twin, from: o.Starts}
			byID[o.ID] = s
		}
		s.to, s.stored = o.Ends, e.Stored
	}
	var all []lifetime
	for _, s := range byID {
		if s.to.IsZero() || !s.stored.Before(since) {
			all = append(all, *s)
		}
	}
	slices.SortFunc(all, func(a, b lifetime) int { return cmp.Or(strings.Compare(a.twin, b.twin), a.from.Compare(b.from)) })
	return all, nil
}

// compare compares what a shadow has raised with what the live rule has.
func (c *Comparison) compare(shadow, live []lifetime) {
	c.Shadow, c.Live = len(shadow), len(live)
	taken := make([]bool, len(live))
	for i := range shadow {
		s := &shadow[i]
		first, _ := slices.BinarySearchFunc(live, s.twin, func(l lifetime, twin string) int { return strings.Compare(l.twin, twin) })
		k := first
		for k < len(live) && live[k].twin == s.twin && (taken[k] || !s.overlaps(&live[k])) {
			k++
		}
		if k == len(live) || live[k].twin != s.twin {
			c.OnlyShadow++
			c.Differences = append(c.Differences, Difference{s.twin, s.from, time.Time{}})
			continue
		}
		taken[k] = true
		c.Both++
		switch order := s.from.Compare(live[k].from); {
		case order < 0:
			c.Earlier++
		case order > 0:
			c.Later++
		default:
			continue
		}
		c.Differences = append(c.Differences, Difference{s.twin, s.from, live[k].from})
	}
	for k := range live {
		if !taken[k] {
			c.OnlyLive++
			c.Differences = append(c.Differences, Difference{live[k].twin, time.Time{}, live[k].from})
		}
	}
	slices.SortFunc(c.Differences, func(a, b Difference) int { return b.at().Compare(a.at()) })
	c.Differences = c.Differences[:min(len(c.Differences), maxDifferences)]
}

// at is when it was raised first.
func (d *Difference) at() time.Time {
	if d.Shadow.IsZero() || !d.Live.IsZero() && d.Live.Before(d.Shadow) {
		return d.Live
	}
	return d.Shadow
}

// compareShadows compares the shadow alerts of an interaction with what they are
// shadows of.
func (e *Engine) compareShadows(ctx context.Context, all []InteractionStatus, in *InteractionStatus, since time.Time) error {
	for i := range in.Rules {
		r := &in.Rules[i]
		if r.Mode != rules.ModeShadow || r.Kind != "alert" {
			continue
		}
		c := &Comparison{Since: since}
		if in.Since.After(since) {
			c.Since = in.Since
		}
		of, note := liveOf(all, in, r)
		shadow, err := lifetimes(e.bus.Shadows(ctx, in.ID, r.Rule), c.Since)
		if err != nil {
			return err
		}
		var live []lifetime
		if c.Note = note; of != nil {
			c.Of = of.interaction + "/" + of.rule
			if live, err = lifetimes(e.bus.History(ctx, bus.HistoryQuery{Interaction: of.interaction, Rule: of.rule}), c.Since); err != nil {
				return err
			}
		}
		c.compare(shadow, live)
		r.Shadow = c
	}
	return nil
}

// liveOf is the live alert of which a rule is the shadow: the one that it names,
// or the only one with its name. nil: there is none, and why.
func liveOf(all []InteractionStatus, in *InteractionStatus, r *RuleStatus) (of *ruleKey, note string) {
	var found []ruleKey
	for i := range all {
		other := &all[i]
		for k := range other.Rules {
			x := &other.Rules[k]
			if x.Mode != rules.ModeLive || x.Kind != "alert" {
				continue
			}
			named := r.ShadowOf == other.ID+"/"+x.Rule || other.ID == in.ID && r.ShadowOf == x.Rule
			if named || r.ShadowOf == "" && x.Rule == r.Rule {
				found = append(found, ruleKey{other.ID, x.Rule})
			}
		}
	}
	switch {
	case len(found) == 1:
		return &found[0], ""
	case r.ShadowOf != "":
		return nil, fmt.Sprintf("no live alert %q runs", r.ShadowOf)
	case len(found) == 0:
		return nil, fmt.Sprintf(`no other live alert is called %q; name one with "shadowOf"`, r.Rule)
	}
	return nil, fmt.Sprintf(`%d live alerts are called %q; name one with "shadowOf"`, len(found), r.Rule)
}
