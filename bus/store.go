package bus

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// makeBuckets makes them all at once: each asks the server several times.
func (b *Bus) makeBuckets(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	type bucket struct {
		into   *jetstream.KeyValue
		config jetstream.KeyValueConfig
	}
	buckets := []bucket{
		{&b.twins, jetstream.KeyValueConfig{Bucket: "twins", Description: "twins as upsert bodies", History: 1, Compression: true, Replicas: b.config.Replicas}},
		{&b.snaps, jetstream.KeyValueConfig{Bucket: "snapshots", Description: "the state of each partition", History: 1, Compression: true, Replicas: b.config.Replicas}},
		{&b.alerts, jetstream.KeyValueConfig{Bucket: "alerts", Description: "the alerts that are open, by fingerprint", History: 1, Compression: true, LimitMarkerTTL: time.Minute, Replicas: b.config.Replicas}},
		{&b.silences, jetstream.KeyValueConfig{Bucket: "silences", Description: "what is not told, and until when", History: 5, LimitMarkerTTL: time.Minute, Replicas: b.config.Replicas}},
		{&b.router, jetstream.KeyValueConfig{Bucket: "router", Description: "groups of alerts that are to be told", History: 1, Compression: true, Replicas: b.config.Replicas}},
		{&b.held, jetstream.KeyValueConfig{Bucket: "held", Description: "alerts that were kept from a sink", History: 1, Compression: true, LimitMarkerTTL: time.Minute, Replicas: b.config.Replicas}},
		{&b.pool, jetstream.KeyValueConfig{Bucket: "pool", Description: "the workers, and who does what", History: 1, LimitMarkerTTL: time.Second, Replicas: b.config.Replicas}},
		{&b.terms, jetstream.KeyValueConfig{Bucket: "stickerterms", Description: "how long each sticker stays", History: 1, LimitMarkerTTL: termMarkers, Replicas: b.config.Replicas}},
		{&b.rules, jetstream.KeyValueConfig{Bucket: "rules", Description: "interactions, with their revisions, and the sets of them that were pushed", History: rulesKept, Compression: true, Replicas: b.config.Replicas}},
	}
	for s, name := range shelfNames {
		buckets = append(buckets, bucket{&b.shelves[s], jetstream.KeyValueConfig{Bucket: name.bucket, Description: name.description, History: 1, Compression: true, LimitMarkerTTL: name.markers, Replicas: b.config.Replicas}})
	}
	for _, bucket := range buckets {
		bucket.config.Bucket = joined(b.config.Prefix, bucket.config.Bucket)
		g.Go(func() error {
			kv, err := b.js.CreateOrUpdateKeyValue(ctx, bucket.config)
			if err != nil {
				return fmt.Errorf("bucket %s: %w", bucket.config.Bucket, err)
			}
			*bucket.into = kv
			return nil
		})
	}
	return g.Wait()
}

// PutTwin keeps a twin's document.
func (b *Bus) PutTwin(ctx context.Context, id string, doc []byte) error {
	return put(ctx, b.twins, id, doc)
}

// PutTwins keeps the documents of many twins, and returns nil when the server has
// all of them.
func (b *Bus) PutTwins(ctx context.Context, ids []string, doc func(id string) []byte) error {
	return b.changeAll(ctx, b.twins, len(ids), func(i int) *nats.Msg {
		m := nats.NewMsg("$KV." + b.twins.Bucket() + "." + key(ids[i]))
		m.Data = doc(ids[i])
		return m
	})
}

// changeWindow is how many changes of a bucket are on their way to the server at a time.
const changeWindow = 2000

// changeAll makes n changes of a bucket, and returns nil when the server has all
// of them.
func (b *Bus) changeAll(ctx context.Context, kv jetstream.KeyValue, n int, change func(i int) *nats.Msg) error {
	futures := make([]jetstream.PubAckFuture, 0, min(n, changeWindow))
	for i := range n {
		f, err := b.js.PublishMsgAsync(change(i), jetstream.WithStallWait(publishTimeout))
		if err == nil {
			futures = append(futures, f)
		}
		if err == nil && (len(futures) == changeWindow || i == n-1) {
			err = await(ctx, futures)
			futures = futures[:0]
		}
		if err != nil {
			return fmt.Errorf("bucket %s: %w", kv.Bucket(), away(err))
		}
	}
	return nil
}

// DeleteTwin forgets a twin.
func (b *Bus) DeleteTwin(ctx context.Context, id string) error {
	return remove(ctx, b.twins, id)
}

// Twins gives every twin's document. The error, if there is one, comes last.
func (b *Bus) Twins(ctx context.Context) iter.Seq2[[]byte, error] { return b.all(ctx, b.twins) }

// PutRule keeps an interaction's document as its next revision, and gives that one.
func (b *Bus) PutRule(ctx context.Context, id string, doc []byte) (uint64, error) {
	revision, err := b.rules.Put(ctx, key(id), doc)
	if err != nil {
		return 0, fmt.Errorf("bucket %s: %q: %w", b.rules.Bucket(), id, err)
	}
	return revision, nil
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

func (b *Bus) all(ctx context.Context, kv jetstream.KeyValue) iter.Seq2[[]byte, error] {
	return b.under(ctx, kv, "")
}

// bucketFetch is how many values are asked for at a time.
const bucketFetch = 10_000

// under gives the values whose keys fit the pattern; "" = all, of a bucket without
// a history. The error, if there is one, comes last. A watch would wait for ever
// where the last of what there is goes before it comes, as markers do that were
// made for a while (nats.go v1.55.0, WatchFiltered).
func (b *Bus) under(ctx context.Context, kv jetstream.KeyValue, pattern string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		config := jetstream.OrderedConsumerConfig{InactiveThreshold: soonGone}
		if pattern != "" {
			config.FilterSubjects = []string{bucketSubject(kv, pattern)}
		}
		c, err := b.js.OrderedConsumer(ctx, bucketStream(kv), config)
		if err == nil {
			err = found(ctx, c, bucketFetch, func(m jetstream.Msg, _ delivery) bool { return isMarker(m.Headers()) || yield(m.Data(), nil) })
		}
		if err != nil {
			yield(nil, fmt.Errorf("bucket %s: %w", kv.Bucket(), away(err)))
		}
	}
}

// isMarker says that a message of a bucket stands for a value that is gone.
func isMarker(h nats.Header) bool {
	return h.Get("KV-Operation") != "" || h.Get(jetstream.MarkerReasonHeader) != ""
}

// LoadSnapshot gives the state of partition p, or nil and revision 0 when there is none.
func (b *Bus) LoadSnapshot(ctx context.Context, p int) ([]byte, Revision, error) {
	state, r, err := b.loadPieces(ctx, b.snaps, snapshotKey(p))
	if err != nil {
		return nil, 0, fmt.Errorf("snapshot of partition %d: %w", p, err)
	}
	return state, r, nil
}

// SnapshotRevision is that of the snapshot of partition p; 0 when there is none.
func (b *Bus) SnapshotRevision(ctx context.Context, p int) (Revision, error) {
	_, r, err := b.readHead(ctx, b.snaps, snapshotKey(p))
	if err != nil {
		return 0, fmt.Errorf("snapshot of partition %d: %w", p, err)
	}
	return r, nil
}

// SaveSnapshot keeps the state of partition p, which stands for all messages of
// FEED up to seq, in place of the one with the revision after; 0 = there must be
// none. The error may wrap ErrOvertaken: then nothing was kept. After any other
// error the same may be saved again after the same revision.
func (b *Bus) SaveSnapshot(ctx context.Context, p int, seq uint64, state []byte, after Revision) (Revision, error) {
	r, err := b.savePieces(ctx, b.snaps, snapshotKey(p), state, seq, after)
	if err != nil {
		return 0, fmt.Errorf("snapshot of partition %d: %w", p, away(err))
	}
	return r, nil
}

// ClaimSnapshot gives the snapshot of partition p another revision, so that
// whoever would save after the one before is overtaken. Where there is none
// there is nothing to claim: after and the answer are 0.
func (b *Bus) ClaimSnapshot(ctx context.Context, p int, after Revision) (Revision, error) {
	h, r, err := b.readHead(ctx, b.snaps, snapshotKey(p))
	if err == nil && r != after {
		err = ErrOvertaken
	}
	if err == nil && r != 0 {
		h.By, h.After = "", 0
		r, err = b.putHead(ctx, b.snaps, snapshotKey(p), h, after)
	}
	if err != nil {
		return 0, fmt.Errorf("snapshot of partition %d: %w", p, away(err))
	}
	return r, nil
}

// SnapshotSeqs gives the sequence of FEED that each partition's snapshot stands
// for; 0 where there is no snapshot, or one that was written before they said it.
func (b *Bus) SnapshotSeqs(ctx context.Context) ([]uint64, error) {
	seqs := make([]uint64, b.config.Partitions)
	for p := range seqs {
		h, _, err := b.readHead(ctx, b.snaps, snapshotKey(p))
		if err != nil {
			return nil, fmt.Errorf("snapshot of partition %d: %w", p, err)
		}
		seqs[p] = h.Seq
	}
	return seqs, nil
}

func snapshotKey(p int) string { return "p" + strconv.Itoa(p) }
