package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// TailBefore is the last message of a tail's stream that was stored before a time;
// one below the first when there is none. The zero time is before all.
func (b *Bus) TailBefore(ctx context.Context, t Tail, at time.Time) (uint64, error) {
	if at.IsZero() {
		return 0, nil
	}
	s, _ := b.tail(t)
	c, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &at, AckPolicy: jetstream.AckNonePolicy,
		HeadersOnly: true, MemoryStorage: true, Replicas: 1, InactiveThreshold: soonGone,
	})
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", s.CachedInfo().Config.Name, away(err))
	}
	return c.CachedInfo().Delivered.Stream, nil // it stands before what it would give first
}
