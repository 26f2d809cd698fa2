package bus

import (
	"context"
	"fmt"
	"iter"
	"time"

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
	var filter []string
	if b.partitioned {
		filter = []string{b.partitionSubject(p)}
	}
	c, err := b.feed.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: filter, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	})
	if err != nil {
		return wrap(err)
	}
	err = found(ctx, c, retainedBatch, func(raw jetstream.Msg, d delivery) bool {
		m := b.message(raw.Subject(), raw.Headers(), raw.Data(), d)
		return m.Seq < before && (m.Partition != p || take(m)) // the one that begins at before is there
	})
	if err != nil {
		return wrap(err)
	}
	return nil
}
