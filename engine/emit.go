package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// maxName bounds the names of twins and feeds: they become parts of subjects.
const maxName = 256

// The reasons of dead letters that are found at the door.
const (
	reasonNoName   = "no twin or no feed"
	reasonLongName = "name of more than "
)

// Emit is the way in for whoever has the engine in its process; it is EmitFrom
// of the source "direct".
func (e *Engine) Emit(ctx context.Context, batch ...rules.Sample) error {
	return e.EmitFrom("direct")(ctx, batch...)
}

// EmitFrom is the way in for a source (sources.Emit), by whose name its samples
// are counted. It tries until they are stored or ctx ends: while it blocks, the
// source waits, which is the back-pressure.
func (e *Engine) EmitFrom(source string) sources.Emit {
	return func(ctx context.Context, batch ...rules.Sample) error {
		put, err := e.admit(ctx, source, batch)
		if err != nil {
			return err
		}
		return retry(ctx, put, e.trouble)
	}
}

// TryEmit is EmitFrom for a source that can say no to its client: when the store is
// full, or the bus is away for longer than patience, it gives the error.
func (e *Engine) TryEmit(source string, patience time.Duration) sources.Emit {
	e.stats.stored.add(source, 0)
	return func(ctx context.Context, batch ...rules.Sample) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		put, err := e.admit(ctx, source, batch)
		if err != nil {
			return err
		}
		var last error
		err = retry(ctx, func(ctx context.Context) error {
			if last = put(ctx); errors.Is(last, bus.ErrFull) {
				cancel()
			}
			return last
		}, e.trouble)
		switch {
		case err == nil:
			return nil
		case errors.Is(last, bus.ErrFull):
			return fmt.Errorf("%w: judged samples have to go first (see FEED in the operator's guide)", sources.ErrFull)
		case last != nil:
			return last
		}
		return err
	}
}

// admit keeps what no twin can have shared as dead letters, and gives the
// function that stores the rest; called again, it stores nothing twice.
func (e *Engine) admit(ctx context.Context, source string, batch []rules.Sample) (func(context.Context) error, error) {
	good := batch
	for i := range batch {
		reason := e.refusal(&batch[i])
		if reason == "" {
			if len(good) < len(batch) {
				good = append(good, batch[i])
			}
			continue
		}
		if len(good) == len(batch) {
			good = append([]rules.Sample(nil), batch[:i]...)
		}
		s := &batch[i]
		letter := bus.DeadLetter{Stage: bus.StageDoor, Reason: reason, Twin: s.Twin, Feed: s.Feed, Time: s.At, Data: s.Data}
		if err := e.bus.Bury(ctx, letter); err != nil {
			return nil, err
		}
		e.stats.deadLetters.Add(1)
		e.stats.buried(bus.StageDoor, letterReason(reason))
	}
	call := bus.CallID()
	return func(ctx context.Context) error {
		if len(good) == 0 {
			return nil
		}
		err := e.bus.Put(ctx, call, good)
		switch {
		case err == nil:
			e.stats.stored.add(source, uint64(len(good)))
		case errors.Is(err, bus.ErrFull):
			e.full.Store(true)
		}
		return err
	}, nil
}

// refusal is why a sample cannot even be stored as one; "" when it can.
func (e *Engine) refusal(s *rules.Sample) string {
	switch {
	case s.Refused != "":
		return s.Refused
	case s.Twin == "" || s.Feed == "":
		return reasonNoName
	case len(s.Twin) > maxName || len(s.Feed) > maxName:
		return fmt.Sprintf("%s%d bytes", reasonLongName, maxName)
	case len(s.Data) > e.config.MaxSampleBytes:
		return fmt.Sprintf("%s: %d bytes; want at most %d", reasonTooLarge, len(s.Data), e.config.MaxSampleBytes)
	}
	return ""
}

// Known says whether a sample of the feed at that time would be judged if it
// were stored now, and if not, why.
func (e *Engine) Known(twin, feed string, at time.Time) (ok bool, why string) {
	if err := skewed(at, time.Now(), e.config.MaxSkew); err != nil {
		return false, err.Error()
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	t, ok := e.twins.Get(twin)
	if !ok {
		if e.unknown.Policy != Create {
			return false, fmt.Sprintf("%s %q%s", reasonUnknownTwin, twin, didYouMean(e.twins.Suggest(twin)))
		}
		t = e.unknown.Model
	}
	if _, ok := t.Feed(feed); !ok {
		var names []string
		for _, f := range t.Feeds {
			names = append(names, f.ID)
		}
		return false, fmt.Sprintf("%s %q of twin %q; it has %q", reasonUnknownFeed, feed, twin, names)
	}
	return true, ""
}
