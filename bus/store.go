package bus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func (b *Bus) makeBuckets(ctx context.Context) error {
	for _, bucket := range []struct {
		into   *jetstream.KeyValue
		config jetstream.KeyValueConfig
	}{
		{&b.twins, jetstream.KeyValueConfig{Bucket: "twins", Description: "twins as upsert bodies", History: 1, Compression: true, Replicas: b.config.Replicas}},
		{&b.snaps, jetstream.KeyValueConfig{Bucket: "snapshots", Description: "the state of each partition", History: 1, Compression: true, Replicas: b.config.Replicas}},
		{&b.alerts, jetstream.KeyValueConfig{Bucket: "alerts", Description: "the alerts that are open, by fingerprint", History: 1, Compression: true, LimitMarkerTTL: time.Minute, Replicas: b.config.Replicas}},
		{&b.silences, jetstream.KeyValueConfig{Bucket: "silences", Description: "what is not told, and until when", History: 5, LimitMarkerTTL: time.Minute, Replicas: b.config.Replicas}},
		{&b.router, jetstream.KeyValueConfig{Bucket: "router", Description: "groups of alerts that are to be told", History: 1, Compression: true, Replicas: b.config.Replicas}},
		{&b.held, jetstream.KeyValueConfig{Bucket: "held", Description: "alerts that were kept from a sink", History: 1, Compression: true, LimitMarkerTTL: time.Minute, Replicas: b.config.Replicas}},
		{&b.rules, jetstream.KeyValueConfig{Bucket: "rules", Description: "interactions, with their revisions", History: 64, Compression: true, Replicas: b.config.Replicas}},
	} {
		kv, err := b.js.CreateOrUpdateKeyValue(ctx, bucket.config)
		if err != nil {
			return fmt.Errorf("bucket %s: %w", bucket.config.Bucket, err)
		}
		*bucket.into = kv
	}
	return nil
}

// PutTwin keeps a twin's document.
func (b *Bus) PutTwin(ctx context.Context, id string, doc []byte) error {
	return put(ctx, b.twins, id, doc)
}

// DeleteTwin forgets a twin.
func (b *Bus) DeleteTwin(ctx context.Context, id string) error {
	return remove(ctx, b.twins, id)
}

// Twins gives every twin's document. The error, if there is one, comes last.
func (b *Bus) Twins(ctx context.Context) iter.Seq2[[]byte, error] { return all(ctx, b.twins) }

// PutRule keeps an interaction's document as its next revision.
func (b *Bus) PutRule(ctx context.Context, id string, doc []byte) error {
	return put(ctx, b.rules, id, doc)
}

// DeleteRule forgets an interaction; its revisions stay readable for a while.
func (b *Bus) DeleteRule(ctx context.Context, id string) error { return remove(ctx, b.rules, id) }

func put(ctx context.Context, kv jetstream.KeyValue, id string, doc []byte) error {
	if _, err := kv.Put(ctx, key(id), doc); err != nil {
		return fmt.Errorf("bucket %s: %q: %w", kv.Bucket(), id, err)
	}
	return nil
}

func remove(ctx context.Context, kv jetstream.KeyValue, id string) error {
	if err := kv.Delete(ctx, key(id)); err != nil {
		return fmt.Errorf("bucket %s: %q: %w", kv.Bucket(), id, err)
	}
	return nil
}

func all(ctx context.Context, kv jetstream.KeyValue) iter.Seq2[[]byte, error] {
	return under(ctx, kv, ">")
}

// under gives the values whose keys fit the pattern. The error, if there is one, comes last.
func under(ctx context.Context, kv jetstream.KeyValue, pattern string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		w, err := kv.Watch(ctx, pattern, jetstream.IgnoreDeletes())
		if err != nil {
			yield(nil, fmt.Errorf("bucket %s: %w", kv.Bucket(), err))
			return
		}
		defer w.Stop() //nolint:errcheck // it ends with the context at the latest
		for {
			select {
			case e := <-w.Updates():
				if e == nil || !yield(e.Value(), nil) {
					return
				}
			case <-ctx.Done():
				yield(nil, fmt.Errorf("bucket %s: %w", kv.Bucket(), ctx.Err()))
				return
			}
		}
	}
}

// SaveSnapshot keeps the state of partition p in place of the one before.
func (b *Bus) SaveSnapshot(ctx context.Context, p int, state []byte) error {
	if err := savePieces(ctx, b.snaps, fmt.Sprintf("p%d", p), state); err != nil {
		return fmt.Errorf("snapshot of partition %d: %w", p, err)
	}
	return nil
}

// LoadSnapshot gives the state of partition p, or nil when there is none.
func (b *Bus) LoadSnapshot(ctx context.Context, p int) ([]byte, error) {
	state, err := loadPieces(ctx, b.snaps, fmt.Sprintf("p%d", p))
	if err != nil {
		return nil, fmt.Errorf("snapshot of partition %d: %w", p, err)
	}
	return state, nil
}

// full is the fill of a stream from which room is made before its time.
const full = 0.8

// MakeRoom drops what is no longer needed: of FEED what every snapshot covers
// (sequences up to judged) and is older than the replay window, of OUT what
// every consumer has dealt with and is older; both earlier when they are 80 %
// full. The last outcome always stays: it is the checkpoint. Consumers of sinks
// that are not subscribed any more do not count.
func (b *Bus) MakeRoom(ctx context.Context, judged uint64) error {
	if err := makeRoom(ctx, b.feed, judged, b.config.ReplayWindow); err != nil {
		return err
	}
	info, err := b.out.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", outStream, err)
	}
	if info.State.LastSeq == 0 {
		return nil
	}
	needed, err := b.unprojected(ctx) // the first that is still needed
	if err != nil {
		return err
	}
	needed = min(needed, info.State.LastSeq)
	for c := range b.out.ListConsumers(ctx).Info() {
		if left := strings.HasPrefix(c.Name, sinkPrefix) && !b.subscribed(c.Name); !left {
			first, err := b.firstNeeded(ctx, c)
			if err != nil {
				return err
			}
			needed = min(needed, first)
		}
	}
	return makeRoom(ctx, b.out, needed-1, b.config.ReplayWindow)
}

// firstNeeded is the first sequence that a consumer has not dealt with. The
// floor of one with a filter stays where its last message was.
//
// A consumer hears of a message a moment after it has been stored. That nothing
// is pending is therefore asked of the stream: otherwise what has just come
// would be taken for dealt with, and purged.
func (b *Bus) firstNeeded(ctx context.Context, c *jetstream.ConsumerInfo) (uint64, error) {
	switch {
	case c.NumAckPending > 0 || c.NumRedelivered > 0:
		return c.AckFloor.Stream + 1, nil
	case c.NumPending > 0:
		return c.Delivered.Stream + 1, nil
	}
	subject := c.Config.FilterSubject
	if subject == "" {
		subject = ">"
	}
	first, err := b.firstFrom(ctx, c.Delivered.Stream+1, subject)
	if err != nil {
		return 0, fmt.Errorf("consumer %s: %w", c.Name, err)
	}
	return first, nil
}

// firstFrom is the sequence of the first outcome from seq on under a subject;
// none is beyond all others.
func (b *Bus) firstFrom(ctx context.Context, seq uint64, subject string) (uint64, error) {
	m, err := b.out.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return math.MaxUint64, nil
	case err != nil:
		return 0, err
	}
	return m.Sequence, nil
}

func makeRoom(ctx context.Context, s jetstream.Stream, upTo uint64, window time.Duration) error {
	info, err := s.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", s.CachedInfo().Config.Name, err)
	}
	st := info.State
	if st.Msgs == 0 || st.FirstSeq > upTo {
		return nil
	}
	if float64(st.Bytes) < full*float64(info.Config.MaxBytes) {
		if time.Since(st.FirstTime) < window {
			return nil
		}
		first, err := firstSince(ctx, s, time.Now().Add(-window))
		if err != nil {
			return fmt.Errorf("stream %s: %w", info.Config.Name, err)
		}
		upTo = min(upTo, first-1)
	}
	if err := s.Purge(ctx, jetstream.WithPurgeSequence(upTo+1)); err != nil {
		return fmt.Errorf("stream %s: %w", info.Config.Name, err)
	}
	return nil
}

// soonGone is how long the server keeps a consumer that was made for one
// question: while it is there, it counts as one that needs the stream.
const soonGone = time.Second

// firstSince is the sequence of the first message that is not older than t; one
// beyond the last when there is none.
func firstSince(ctx context.Context, s jetstream.Stream, t time.Time) (uint64, error) {
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &t, HeadersOnly: true, InactiveThreshold: soonGone,
	})
	if err != nil {
		return 0, err
	}
	batch, err := c.FetchNoWait(1)
	if err != nil {
		return 0, err
	}
	if m, ok := <-batch.Messages(); ok {
		meta, err := m.Metadata()
		if err != nil {
			return 0, err
		}
		return meta.Sequence.Stream, nil
	}
	if err := batch.Error(); err != nil {
		return 0, err
	}
	info, err := s.Info(ctx)
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq + 1, nil
}
