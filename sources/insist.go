package sources

import (
	"context"
	"time"

	"tocsin.internal/rules"
)

// The time between two tries of Insist.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Insist hands a batch to emit until it is stored, and waits longer after each
// failure. It is for origins that cannot be asked to send again. The error is
// ctx's: of such a batch nothing can be said.
func Insist(ctx context.Context, emit Emit, batch ...rules.Sample) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if emit(ctx, batch...) == nil {
			return nil
		}
		if err := Wait(ctx, pause); err != nil {
			return err
		}
	}
}

// Wait returns nil after d, or ctx's error when it ends before.
func Wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
