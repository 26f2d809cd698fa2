// Package pause waits as long as somebody wants the answer.
package pause

import (
	"context"
	"time"
)

// For returns nil after d, or ctx's error when it ends before.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
