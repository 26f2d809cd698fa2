package engine

import (
	"bytes"
	"context"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// freshRules are rules that an edit has brought and that look back.
type freshRules struct {
	program *running
	names   []string
}

// prime lets rules that are new judge what the stream retains of their past, so
// that "for 2h" does not begin blind. Nothing of it is told but the alerts that
// fire by now. A crash repeats it from the same messages.
func (w *worker) prime(ctx context.Context, p *partition, m *bus.Message) error {
	for ; len(p.fresh) > 0; p.fresh = p.fresh[1:] {
		f := p.fresh[0]
		past := newPartition(p.compiler, p.maxBytes)
		past.putProgram(f.program.Program, event{}, new([]rules.Outcome))
		for _, id := range p.ids() {
			past.put(p.twins[id].twin, event{}, nil)
		}
		since := m.Stored.Add(-f.program.LookBack(f.names))
		for message, err := range w.bus.Retained(ctx, m.Partition, since, m.Seq) {
			if err != nil {
				return err
			}
			past.review(&message, w.engine.config.MaxSkew)
		}
		w.out = p.takeOver(past, f, event{m.Seq, m.Stored}, w.out)
	}
	return nil
}

// review judges a message of the past; nobody is told.
func (p *partition) review(m *bus.Message, maxSkew time.Duration) {
	switch m.Kind {
	case bus.OneSample:
		p.reviewSample(&rules.Sample{Twin: m.Twin, Feed: m.Feed, At: m.At, Data: m.Data, Seq: m.Seq, Hops: m.Hops}, m.Stored, maxSkew)
	case bus.ManySamples:
		for line := range bytes.Lines(m.Data) {
			s, err := sources.ParseLine(bytes.TrimSpace(line), 1)
			if err != nil {
				continue
			}
			if s.Seq = m.Seq; s.At.IsZero() {
				s.At = m.Stored
			}
			p.reviewSample(&s, m.Stored, maxSkew)
		}
	case bus.Tick:
		p.tick(m.At, m.Wall, m.Seq, nil)
	}
}

func (p *partition) reviewSample(s *rules.Sample, stored time.Time, maxSkew time.Duration) {
	if skewed(s.At, stored, maxSkew) == nil {
		p.judge(s, nil) //nolint:errcheck // what cannot be judged became a dead letter when it came
	}
}

// takeOver gives the rules what they would remember had they always been there.
func (p *partition) takeOver(past *partition, f freshRules, e event, out []rules.Outcome) []rules.Outcome {
	before := len(out)
	for _, id := range p.ids() {
		for _, b := range p.twins[id].bindings {
			if b.program != f.program {
				continue
			}
			for _, was := range past.twins[id].bindings {
				out = b.program.Prime(f.names, was.state, b.state, id, out)
			}
			p.watch(b)
		}
	}
	for i := before; i < len(out); i++ {
		out[i].Seq = e.seq
	}
	return out
}
