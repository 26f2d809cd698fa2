package bus

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// makeBuckets makes them all at once: each asks the server several times.
func (b *Bus) makeBuckets(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
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
		{&b.pool, jetstream.KeyValueConfig{Bucket: "pool", Description: "the workers, and who does what", History: 1, LimitMarkerTTL: time.Second, Replicas: b.config.Replicas}},
		{&b.rules, jetstream.KeyValueConfig{Bucket: "rules", Description: "interactions, with their revisions, and the sets of them that were pushed", History: rulesKept, Compression: true, Replicas: b.config.Replicas}},
	} {
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

// DeleteTwin forgets a twin.
func (b *Bus) DeleteTwin(ctx context.Context, id string) error {
	return remove(ctx, b.twins, id)
}

// Twins gives every twin's document. The error, if there is one, comes last.
func (b *Bus) Twins(ctx context.Context) iter.Seq2[[]byte, error] { return all(ctx, b.twins) }

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

// LoadSnapshot gives the state of partition p, or nil and revision 0 when there is none.
func (b *Bus) LoadSnapshot(ctx context.Context, p int) ([]byte, Revision, error) {
	state, r, err := b.loadPieces(ctx, b.snaps, snapshotKey(p))
	if err != nil {
		return nil, 0, fmt.Errorf("snapshot of partition %d: %w", p, err)
	}
	return state, r, nil
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
