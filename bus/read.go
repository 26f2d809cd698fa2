package bus

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/rules"
)

// MessageKind says what a message of FEED is.
type MessageKind uint8

// The kinds of message.
const (
	OneSample   MessageKind = iota // Data is the sample's
	ManySamples                    // Data is NDJSON, one sample a line, all of this partition
	Control                        // Data is a control message
	Unreadable                     // Reason says why; Data is what came
)

// Message is one message of FEED.
type Message struct {
	Seq       uint64
	Partition int
	Kind      MessageKind
	Twin      string // OneSample, Unreadable
	Feed      string
	At        time.Time // the sample's own time, else when the broker took it
	Stored    time.Time // when the broker took it
	Hops      uint8     // 0, or how many interactions made it
	Data      []byte
	Reason    string // Unreadable only: a dead letter's reason
}

// Reader gives the messages of FEED in their order. One goroutine may use it.
type Reader struct {
	bus     *Bus
	consume jetstream.ConsumeContext

	mu    sync.Mutex
	room  *sync.Cond // queue has room, a turn has come, or closed
	queue []Message
	bytes int
	done  bool
	paths map[string]path
	// Calls of take that have begun, and those that have queued their message.
	called, taken uint64

	wake chan struct{} // queue has messages
}

// A reader queues at most so much that has not been judged.
const (
	queueMessages = 8192
	queueBytes    = 16 << 20
)

// Read begins at sequence from.
func (b *Bus) Read(ctx context.Context, from uint64) (*Reader, error) {
	c, err := b.feed.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
	})
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", feedStream, err)
	}
	r := &Reader{bus: b, wake: make(chan struct{}, 1), paths: map[string]path{}}
	r.room = sync.NewCond(&r.mu)
	r.consume, err = c.Consume(r.take, jetstream.PullMaxMessages(2000), pullHeartbeat)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", feedStream, err)
	}
	return r, nil
}

// pullHeartbeat bounds a stall of the client (nats.go v1.55.0, checkPending): a
// pull whose messages have all been handled before the pull itself has returned
// is followed by no other until two heartbeats were missed.
const pullHeartbeat = jetstream.PullHeartbeat(500 * time.Millisecond)

// take blocks while the queue is full: the consumer then asks for no more. After
// a reconnect the client calls it from a new goroutine while the old one may
// still be waiting here, so each call has its turn.
func (r *Reader) take(raw jetstream.Msg) {
	r.mu.Lock()
	turn := r.called
	r.called++
	m := r.message(raw)
	for !r.done && (turn != r.taken || len(r.queue) >= queueMessages || r.bytes >= queueBytes) {
		r.room.Wait()
	}
	r.taken++
	r.queue = append(r.queue, m)
	r.bytes += len(m.Data)
	r.room.Broadcast()
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Next gives all that is queued, in buf's memory; nothing when nothing came
// within wait. Its error is that of ctx.
func (r *Reader) Next(ctx context.Context, wait time.Duration, buf []Message) ([]Message, error) {
	if got := r.swap(buf); len(got) > 0 {
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
		case <-r.wake:
			if got := r.swap(buf); len(got) > 0 {
				return got, nil
			}
		}
	}
}

func (r *Reader) swap(buf []Message) []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.queue
	if len(got) > 0 {
		clear(buf)
		r.queue, r.bytes = buf[:0], 0
		r.room.Broadcast()
	}
	return got
}

// Close ends the reading.
func (r *Reader) Close() {
	r.mu.Lock()
	r.done = true
	r.room.Broadcast()
	r.mu.Unlock()
	r.consume.Stop()
	<-r.consume.Closed()
}

// path is what a subject of FEED says.
type path struct {
	partition  int
	kind       MessageKind
	twin, feed string
}

func (r *Reader) message(raw jetstream.Msg) Message {
	m := Message{Data: raw.Data()}
	if meta, err := raw.Metadata(); err == nil {
		m.Seq, m.Stored = meta.Sequence.Stream, meta.Timestamp
	}
	m.At = m.Stored
	p, ok := r.paths[raw.Subject()]
	if !ok {
		p = parsePath(raw.Subject(), r.bus.config.Partitions)
		if len(r.paths) > 100_000 {
			clear(r.paths) // a bound on what strangers' subjects may cost
		}
		r.paths[raw.Subject()] = p
	}
	m.Partition, m.Kind, m.Twin, m.Feed = p.partition, p.kind, p.twin, p.feed
	if p.kind != OneSample {
		if p.kind == Unreadable {
			m.Reason = "subject"
		}
		return m
	}
	header := raw.Headers()
	if len(header) == 0 {
		return m
	}
	if kind := header.Get(headerKind); kind != "" {
		m.readOutput(header.Get(headerCause))
		return m
	}
	if at := header.Get(headerTime); at != "" {
		t, err := time.Parse(time.RFC3339, at)
		if err != nil {
			m.Kind, m.Reason = Unreadable, "time"
			return m
		}
		m.At = t
	}
	return m
}

// readOutput takes the sample out of the output that an interaction made.
func (m *Message) readOutput(cause string) {
	_, hops, err := parseCause(cause)
	if err != nil {
		m.Kind, m.Reason = Unreadable, "cause"
		return
	}
	o, err := rules.DecodeOutcome(m.Data)
	if err != nil {
		m.Kind, m.Reason = Unreadable, "outcome"
		return
	}
	m.At, m.Data, m.Hops = o.At, o.Data, hops
}

func parsePath(subject string, partitions int) path {
	t := strings.Split(subject, ".")
	bad := path{kind: Unreadable}
	if len(t) < 3 || t[0] != "feed" {
		return bad
	}
	p, err := strconv.Atoi(t[1])
	if err != nil || p < 0 || p >= partitions {
		return bad
	}
	switch {
	case len(t) == 3 && t[2] == "_ctl":
		return path{partition: p, kind: Control}
	case len(t) == 3 && t[2] == "_batch":
		return path{partition: p, kind: ManySamples}
	case len(t) == 4:
		return path{partition: p, kind: OneSample, twin: Name(t[2]), feed: Name(t[3])}
	}
	bad.partition = p
	return bad
}
