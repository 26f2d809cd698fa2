package sources

import (
	"context"
	"time"

	"tocsin.internal/internal/pause"
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
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if emit(ctx, batch...) == nil {
			return nil
		}
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
	}
}
