package bus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// retainedBatch is how many messages are asked for at a time.
const retainedBatch = 500

// Retained gives what is retained of a partition of FEED, in its order: the
// messages that were stored at since or later, before the sequence before.
func (b *Bus) Retained(ctx context.Context, p int, since time.Time, before uint64) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if err := b.retained(ctx, p, since, before, func(m Message) bool { return yield(m, nil) }); err != nil {
			yield(Message{}, err)
		}
	}
}

func (b *Bus) retained(ctx context.Context, p int, since time.Time, before uint64, take func(Message) bool) error {
	wrap := func(err error) error { return fmt.Errorf("stream %s: what is retained: %w", feedStream, err) }
	c, err := b.feed.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"feed." + strconv.Itoa(p) + ".>"}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	})
	if err != nil {
		return wrap(err)
	}
	r := Reader{bus: b, paths: map[string]path{}}
	for {
		batch, err := c.Fetch(retainedBatch, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return wrap(err)
		}
		n := 0
		for raw := range batch.Messages() {
			n++
			m := r.message(raw)
			if m.Seq >= before || !take(m) {
				return nil
			}
			if meta, err := raw.Metadata(); err == nil && meta.NumPending == 0 {
				return nil
			}
		}
		if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
			return wrap(err)
		}
		if ctx.Err() != nil {
			return wrap(ctx.Err())
		}
		if n == 0 { // the one that begins at before is there, so there are no more
			return nil
		}
	}
}
