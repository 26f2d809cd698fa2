// Package sources is where samples come from. Each kind lives in its own
// folder with its Config and is named once, in cmd/engine/kinds.go.
package sources

import (
	"context"
	"errors"

	"tocsin.internal/rules"
)

// Source brings samples in.
type Source interface {
	// Run hands samples to emit until ctx ends or the source has no more, and
	// then returns nil; an error says what its surroundings lack. It writes no
	// goroutine that outlives it, and acknowledges to its origin only what emit
	// has answered with nil.
	Run(ctx context.Context, emit Emit) error
}

// Local is a source that belongs to its process, like one that listens on a
// port: in a pool every worker runs it. Of the others one worker runs each.
type Local interface {
	Source
	Local()
}

// Emit stores samples. nil means stored, on disk as the bus is configured; it
// blocks while the bus is slow, which is the back-pressure. A sample that
// cannot be read (Sample.Refused, or a name or size out of bounds) is kept as a
// dead letter and counts as stored. An error means that nothing can be said of
// the batch: send it again, with the same Sample.ID where there is one.
type Emit func(ctx context.Context, batch ...rules.Sample) error

// ErrFull is what Emit's error wraps when the store is full: nothing was
// stored and nothing will be until an operator makes room or samples are judged.
var ErrFull = errors.New("the store is full")
