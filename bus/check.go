package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrMissing is what the error wraps when a stream is not there any more.
var ErrMissing = errors.New("the stream is missing")

// Check says whether the streams are there. An error that does not wrap
// ErrMissing says that the server did not answer.
func (b *Bus) Check(ctx context.Context) error {
	for _, s := range []jetstream.Stream{b.feed, b.out, b.dead, b.history, b.notify, b.shadow, b.deliveries} {
		_, err := s.Info(ctx)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return fmt.Errorf("stream %s: %w", s.CachedInfo().Config.Name, ErrMissing)
		case err != nil:
			return fmt.Errorf("stream %s: %w", s.CachedInfo().Config.Name, err)
		}
	}
	return nil
}
