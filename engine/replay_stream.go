package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/twins"
)

// TwinsOf are the twins that a bus knows, for a replay of its stream.
func TwinsOf(ctx context.Context, b *bus.Bus) ([]twins.Twin, error) {
	all := []twins.Twin{}
	for doc, err := range b.Twins(ctx) {
		if err != nil {
			return nil, err
		}
		t, err := decodeTwin(doc)
		if err != nil {
			return nil, fmt.Errorf("bucket twins: %w", err)
		}
		all = append(all, *t)
	}
	return all, nil
}

// RulesOf are the interactions that run on a bus, or ran last: those of which its
// stream was told, be they from files, twins or its bucket.
func RulesOf(ctx context.Context, b *bus.Bus) (map[string]*rules.Program, error) {
	c, err := takeCensus(ctx, b, 0) // every partition is told of all of them
	if err != nil {
		return nil, err
	}
	programs := make(map[string]*rules.Program, len(c.interactions))
	for id, doc := range c.interactions {
		if programs[id], err = rules.Load("interaction "+id, doc); err != nil {
			return nil, err
		}
	}
	return programs, nil
}

// Span is a part of a stream: what was stored from From on and before Until. A
// zero time asks for nothing.
type Span struct{ From, Until time.Time }

func (s Span) has(at time.Time) bool {
	return !at.Before(s.From) && (s.Until.IsZero() || at.Before(s.Until))
}

// Stream judges what the bus retains of FEED within a span: its samples, and
// its ticks in place of those that Judge makes, changes of twins, and what people
// did to alerts; the rules are each replay's own. Each is told, for the i-th
// replay, of every sample and every tick, with what was decided and, for what
// cannot be judged, why. It returns when the first message of the span was
// stored; zero: there is none. Nothing is written.
func Stream(ctx context.Context, b *bus.Bus, span Span, maxSkew time.Duration, replays []*Replay, each func(i int, s *rules.Sample, out []rules.Outcome, err error) error) (begun time.Time, err error) {
	state, err := b.FeedState(ctx)
	if err != nil || state.Last < state.First {
		return begun, err
	}
	reader := b.NewReader()
	defer reader.Close()
	if err := reader.Whole(ctx, state.First); err != nil {
		return begun, err
	}
	tells := make([]func(*rules.Sample, []rules.Outcome, error) error, len(replays))
	for i := range replays {
		tells[i] = func(s *rules.Sample, out []rules.Outcome, err error) error { return each(i, s, out, err) }
	}
	var batch []bus.Message
	var out []rules.Outcome
	for {
		if batch, err = reader.Next(ctx, idle, batch); err != nil {
			return begun, err
		}
		for i := range batch {
			m := &batch[i]
			if span.has(m.Stored) {
				if begun.IsZero() {
					begun = m.Stored
				}
				for j, r := range replays {
					if out, err = r.message(m, out[:0], maxSkew, tells[j]); err != nil {
						return begun, err
					}
				}
			}
			if m.Seq >= state.Last {
				return begun, nil
			}
		}
	}
}

// Stream is the function of that name for one replay, from a time on.
func (r *Replay) Stream(ctx context.Context, b *bus.Bus, since time.Time, maxSkew time.Duration, each func(*rules.Sample, []rules.Outcome, error) error) error {
	_, err := Stream(ctx, b, Span{From: since}, maxSkew, []*Replay{r}, func(_ int, s *rules.Sample, out []rules.Outcome, err error) error {
		return each(s, out, err)
	})
	return err
}

func (r *Replay) message(m *bus.Message, out []rules.Outcome, maxSkew time.Duration, each func(*rules.Sample, []rules.Outcome, error) error) ([]rules.Outcome, error) {
	judge := func(s *rules.Sample, err error) error {
		out = out[:0]
		if !r.wants(s) {
			return nil
		}
		if err == nil {
			err = skewed(s.At, m.Stored, maxSkew)
		}
		if err == nil {
			out, err = r.partition.judge(s, out)
			out = made(out)
		}
		return each(s, out, err)
	}
	switch m.Kind {
	case bus.OneSample:
		s := rules.Sample{Twin: m.Twin, Feed: m.Feed, At: m.At, Data: m.Data, Seq: m.Seq, Hops: m.Hops}
		return out, judge(&s, nil)
	case bus.ManySamples:
		index := uint32(0)
		for line := range bytes.Lines(m.Data) {
			s, err := sources.ParseLine(bytes.TrimSpace(line), int(index)+1)
			s.Seq, s.Index = m.Seq, index
			if s.At.IsZero() {
				s.At = m.Stored
			}
			if err := judge(&s, err); err != nil {
				return out, err
			}
			index++
		}
	case bus.Tick:
		out = made(r.partition.tick(m.At, m.Wall, m.Seq, out[:0]))
		return out, each(nil, out, nil)
	case bus.Control:
		return r.control(m, out[:0], each)
	}
	return out, nil
}

// control carries out what a control message says, but for rules.
func (r *Replay) control(m *bus.Message, out []rules.Outcome, each func(*rules.Sample, []rules.Outcome, error) error) ([]rules.Outcome, error) {
	var c control
	if r.watch.Rule != nil && json.Unmarshal(m.Data, &c) == nil && slices.Contains([]string{opInteractionPut, opInteractions}, c.Op) {
		put, _, err := c.interactions()
		for _, doc := range put {
			r.watch.Rule(m.Seq, m.Stored, doc)
		}
		if err != nil {
			return out, nil //nolint:nilerr // it became a dead letter
		}
	}
	if err := json.Unmarshal(m.Data, &c); err != nil || !slices.Contains([]string{opTwinPut, opTwinDelete, opAlertAct}, c.Op) {
		return out, nil // what could not be read became a dead letter
	}
	out, err := r.partition.apply(m.Data, event{m.Seq, m.Stored}, out)
	if err != nil {
		return out, nil //nolint:nilerr // it became a dead letter, too
	}
	out = made(out)
	return out, each(nil, out, nil)
}
