package engine

import (
	"context"
	"slices"
	"strings"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

// made are the outcomes without those that rules could not make.
func made(out []rules.Outcome) []rules.Outcome {
	for i := range out {
		if out[i].Refused != "" {
			return slices.DeleteFunc(out, func(o rules.Outcome) bool { return o.Refused != "" })
		}
	}
	return out
}

// refuse keeps a dead letter of what rules could not make of one sample, and
// leaves the rest. What shadows could not make is counted alone.
func (w *worker) refuse(ctx context.Context, seq uint64, index uint32) error {
	letters := map[int]*bus.DeadLetter{} // by partition: a sample has one in each
	for i := range w.out {
		o := &w.out[i]
		if o.Refused == "" || o.Shadow {
			continue
		}
		p := w.home(o)
		if l := letters[p]; l != nil {
			l.Reason = strings.Join([]string{l.Reason, o.Refused}, "; ")
			continue
		}
		letters[p] = &bus.DeadLetter{Reason: o.Refused, Twin: o.Twin, Time: o.At, Seq: seq, Index: index, Data: o.Data}
	}
	for p, l := range letters {
		if s := w.seats[p]; s != nil && !s.shadow {
			if err := w.bury(ctx, s, *l); err != nil {
				return err
			}
		}
	}
	w.out = made(w.out)
	return nil
}
