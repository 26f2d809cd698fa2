package engine

import (
	"context"
	"slices"
	"strings"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/rules/words"
)

// explainAlert explains the sample for which an alert was raised.
func (in *Recording) explainAlert(ctx context.Context, q Question) (*Explained, error) {
	event, err := in.raised(ctx, q)
	if err != nil {
		return nil, err
	}
	if in.Programs[event.Interaction] == nil {
		return nil, unclear("alert %s is of interaction %q, which is not among the rules", event.ID, event.Interaction)
	}
	q.Twin = event.Twin
	out, err := in.explain(ctx, q, ruleRef{event.Interaction, event.Rule}, event)
	if err != nil {
		return nil, err
	}
	if out.Sample != nil && event.Life.Revision != out.Sample.Asks {
		out.Notes = append(out.Notes, "the alert was raised by another revision of the rule, "+event.Life.Revision+"; what is explained is "+out.Sample.Asks)
	}
	if in.Bus != nil {
		if out.Sent, err = sentOf(ctx, in.Bus, &SentFilter{Alert: event.ID}); err != nil {
			return nil, err
		}
	}
	if event.Life.Event != rules.EventRaised {
		out.Notes = append(out.Notes, "when it was raised is not retained any more; what is explained is its first event that is, "+event.Life.Event)
	}
	return out, nil
}

// raised is the first event of the alert that is kept.
func (in *Recording) raised(ctx context.Context, q Question) (*rules.Outcome, error) {
	found := map[string]*rules.Outcome{}
	note := func(o *rules.Outcome) {
		if o.Life != nil && strings.HasPrefix(o.ID, q.About) && (found[o.ID] == nil || o.Life.Number < found[o.ID].Life.Number) {
			kept := *o
			kept.Data = slices.Clone(o.Data)
			found[o.ID] = &kept
		}
	}
	var err error
	if in.Bus != nil {
		err = in.eachEvent(ctx, bus.HistoryQuery{Holds: `"id":"` + q.About, Newest: historyDepth}, note)
	} else {
		err = in.play(ctx, q.Since, NewReplay(in.Programs, in.Twins), func(_ *rules.Sample, out []rules.Outcome, _ error) error {
			for i := range out {
				note(&out[i])
			}
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, unclear("no alert %s; want the id of one that the recording has, or its first characters", q.About)
	case 1:
		for _, o := range found {
			return o, nil
		}
	}
	return nil, unclear("%d alerts begin with %s; want more of its characters", len(found), q.About)
}

func (in *Recording) eachEvent(ctx context.Context, q bus.HistoryQuery, note func(*rules.Outcome)) error {
	for e, err := range in.Bus.History(ctx, q) {
		if err != nil {
			return err
		}
		if e.Err == nil {
			note(&e.Outcome)
		}
	}
	return nil
}

// attemptKey is something that was sent by a sink.
type attemptKey struct{ sink, event string }

// sent adds to the timeline what sinks have tried to tell of what the rule decided
// about the twin, alerts in groups among it, and says of what that was.
func (k *inquiry) sent(ctx context.Context, ours func(alert string) bool) (map[attemptKey]bool, error) {
	list, err := sentOf(ctx, k.in.Bus, &SentFilter{Since: k.from})
	seen := map[attemptKey]bool{}
	for i := range list {
		s := &list[i]
		of := s.Interaction == k.out.Interaction && s.Rule == k.out.Rule && s.Twin == k.out.Twin
		if !of && !slices.ContainsFunc(s.Alerts, ours) || !k.within(s.At) {
			continue
		}
		seen[attemptKey{s.Sink, s.Message}] = true
		what, text := s.Line()
		k.told = append(k.told, Moment{s.At, what, text})
	}
	return seen, err
}

// history adds to the timeline what the stream says of the twin's alerts, and
// what was delivered, or could not be.
func (k *inquiry) history(ctx context.Context) error {
	if k.in.Bus == nil || k.from.IsZero() {
		return nil
	}
	q := bus.HistoryQuery{Interaction: k.out.Interaction, Rule: k.out.Rule, Twin: k.out.Twin}
	ids := map[string]bool{}
	err := k.in.eachEvent(ctx, q, func(o *rules.Outcome) {
		ids[o.ID] = true
		if o.Life != nil && k.within(o.At) {
			k.told = append(k.told, momentOf(o))
		}
	})
	if err != nil {
		return err
	}
	recorded, err := k.sent(ctx, func(id string) bool { return ids[id] })
	if err != nil {
		return err
	}
	for l, err := range k.in.Bus.Letters(ctx, bus.LetterQuery{Stage: bus.StageSink, Twin: k.out.Twin}) {
		if err != nil {
			return err
		}
		if o, err := rules.DecodeOutcome(l.Data); err == nil && o.Rule == k.out.Rule && o.Interaction == k.out.Interaction && k.within(o.At) && !recorded[attemptKey{l.Sink, o.EventID()}] {
			k.told = append(k.told, Moment{o.At, "failed", l.Sink + "  " + l.Reason + "  (" + words.Count(l.Attempts, "attempt") + ")"})
		}
	}
	return nil
}
