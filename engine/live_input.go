package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// SendInput brings a message to whoever follows an input of a twin. The error
// wraps ErrNoTwin or ErrNoInput when there is none.
func (e *Engine) SendInput(ctx context.Context, m Event) error {
	if err := e.hasInput(ctx, m.Twin, m.Name); err != nil {
		return err
	}
	if len(m.Data) > e.config.MaxSampleBytes {
		return fmt.Errorf("%w: %d bytes; want at most %d", bus.ErrTooLarge, len(m.Data), e.config.MaxSampleBytes)
	}
	if m.At.IsZero() {
		m.At = time.Now()
	}
	body, err := json.Marshal(inputMessage{m.From, m.Mime, m.At.UTC(), m.Data})
	if err != nil {
		return fmt.Errorf("input message: %w", err) // a year of more than four digits
	}
	return e.bus.PutInput(ctx, m.Twin, m.Name, body)
}

func (e *Engine) hasInput(ctx context.Context, twin, input string) error {
	t, err := e.mustKnow(ctx, twin)
	if err == nil && !slices.ContainsFunc(t.Inputs, func(f rules.Feed) bool { return f.ID == input }) {
		err = fmt.Errorf("%w: %q of twin %q", ErrNoInput, shorten(input), twin)
	}
	return err
}

// mustKnow gives a twin, also one that another worker has just made. The error may
// wrap ErrNoTwin.
func (e *Engine) mustKnow(ctx context.Context, id string) (*twins.Twin, error) {
	if t, ok := e.Twin(id); ok {
		return t, nil
	}
	if err := e.catchUpTwins(ctx); err != nil {
		return nil, err
	}
	if t, ok := e.Twin(id); ok {
		return t, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrNoTwin, shorten(id))
}

// The errors of names that nothing has.
var (
	ErrNoTwin  = errors.New("no such twin")
	ErrNoFeed  = errors.New("no such feed")
	ErrNoInput = errors.New("no such input")
)
