package sources

import (
	"context"
	"math/rand/v2"
	"time"

	"tocsin.internal/internal/pause"
)

// The shortest and the longest wait of a [Backoff].
const (
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 30 * time.Second
)

// Backoff is how long to wait between two tries to reach an origin: twice as
// long each time, and by chance up to half of it less, so that not all who lost
// it come back at once. The zero Backoff begins.
type Backoff struct{ last time.Duration }

// Wait waits for its time, or gives ctx's error.
func (b *Backoff) Wait(ctx context.Context) error {
	b.last = min(max(2*b.last, firstBackoff), lastBackoff)
	return pause.For(ctx, b.last-rand.N(b.last/2)) //nolint:gosec // nobody gains by guessing it
}

// Reset begins anew: the origin was reached.
func (b *Backoff) Reset() { b.last = 0 }
