package bus

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// intake queues what an ordered consumer gives, in its order, for one goroutine.
type intake[T any] struct {
	consume jetstream.ConsumeContext
	read    func(jetstream.Msg) T

	mu    sync.Mutex
	room  *sync.Cond // queue has room, a turn has come, or closed
	queue []T
	bytes int
	done  bool
	// Calls of take that have begun, and those that have queued their message.
	called, taken uint64

	wake chan struct{} // queue has messages
}

// An intake queues at most so much that has not been dealt with.
const (
	queueMessages = 8192
	queueBytes    = 16 << 20
)

// pullHeartbeat bounds a stall of the client (nats.go v1.55.0, checkPending): a
// pull whose messages have all been handled before the pull itself has returned
// is followed by no other until two heartbeats were missed.
const pullHeartbeat = jetstream.PullHeartbeat(500 * time.Millisecond)

// newIntake begins; read turns a message into what is queued and is never called concurrently.
func newIntake[T any](ctx context.Context, s jetstream.Stream, config jetstream.OrderedConsumerConfig, read func(jetstream.Msg) T) (*intake[T], error) {
	c, err := s.OrderedConsumer(ctx, config)
	if err != nil {
		return nil, err
	}
	i := &intake[T]{wake: make(chan struct{}, 1), read: read}
	i.room = sync.NewCond(&i.mu)
	i.consume, err = c.Consume(i.take, jetstream.PullMaxMessages(2000), pullHeartbeat)
	if err != nil {
		return nil, err
	}
	return i, nil
}

// take blocks while the queue is full: the consumer then asks for no more. After
// a reconnect the client calls it from a new goroutine while the old one may
// still be waiting here, so each call has its turn.
func (i *intake[T]) take(raw jetstream.Msg) {
	i.mu.Lock()
	turn := i.called
	i.called++
	m := i.read(raw)
	for !i.done && (turn != i.taken || len(i.queue) >= queueMessages || i.bytes >= queueBytes) {
		i.room.Wait()
	}
	i.taken++
	i.queue = append(i.queue, m)
	i.bytes += len(raw.Data())
	i.room.Broadcast()
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// Next gives all that is queued, in buf's memory; nothing when nothing came
// within wait. Its error is that of ctx.
func (i *intake[T]) Next(ctx context.Context, wait time.Duration, buf []T) ([]T, error) {
	if got := i.swap(buf); len(got) > 0 {
		return got, nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, nil
		case <-i.wake:
			if got := i.swap(buf); len(got) > 0 {
				return got, nil
			}
		}
	}
}

func (i *intake[T]) swap(buf []T) []T {
	i.mu.Lock()
	defer i.mu.Unlock()
	got := i.queue
	if len(got) > 0 {
		clear(buf)
		i.queue, i.bytes = buf[:0], 0
		i.room.Broadcast()
	}
	return got
}

// Close ends the reading.
func (i *intake[T]) Close() {
	i.mu.Lock()
	i.done = true
	i.room.Broadcast()
	i.mu.Unlock()
	i.consume.Stop()
	<-i.consume.Closed()
}
