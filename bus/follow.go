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

// TwinsRevision is the revision of the bucket of twins: each change has a higher one.
func (b *Bus) TwinsRevision(ctx context.Context) (uint64, error) {
	return b.revision(ctx, b.twins)
}

// revision is that of the last change of a bucket.
func (b *Bus) revision(ctx context.Context, kv jetstream.KeyValue) (uint64, error) {
	s, err := b.js.Stream(ctx, bucketStream(kv))
	if err != nil {
		return 0, fmt.Errorf("bucket %s: %w", kv.Bucket(), err)
	}
	return s.CachedInfo().State.LastSeq, nil
}

// FollowTwins calls change for each change of a twin after a revision, until ctx
// ends. A nil document says that the twin is gone.
func (b *Bus) FollowTwins(ctx context.Context, after uint64, change func(revision uint64, id string, doc []byte)) {
	b.follow(ctx, b.twins, ">", after, func(e jetstream.KeyValueEntry) {
		change(e.Revision(), unkey(e.Key()), document(e))
	}, func() {})
}

// document is what an entry of a bucket holds; nil when it says that it is gone.
func document(e jetstream.KeyValueEntry) []byte {
	if e.Operation() != jetstream.KeyValuePut {
		return nil
	}
	return e.Value()
}

// followRetry is when a watch that could not begin is tried again, and
// followSilence when one begins again that has neither given an entry nor said
// that it has given all: where the last of them go before they come, as markers
// do, it never says so (nats.go v1.55.0, WatchFiltered).
const (
	followRetry   = 250 * time.Millisecond
	followSilence = 2 * time.Second
)

// follow calls change for each entry of a bucket under some keys after a revision, ready once
// when those that there are have been given, and change for each that comes
// after that, until ctx ends. It goes on where it was when the connection was
// lost: a server that was away has forgotten the watch, which itself would
// notice ten seconds later.
func (b *Bus) follow(ctx context.Context, kv jetstream.KeyValue, keys string, after uint64, change func(jetstream.KeyValueEntry), ready func()) {
	back := b.nc.StatusChanged(nats.CONNECTED)
	defer b.nc.RemoveStatusListener(back)
	isReady := false
	tell := func() {
		if !isReady {
			isReady = true
			ready()
		}
	}
	for ctx.Err() == nil {
		var events <-chan jetstream.KeyValueEntry
		w, err := kv.Watch(ctx, keys, jetstream.ResumeFromRevision(after+1))
		if err == nil {
			events = w.Updates()
		}
		wait := followRetry
		if events != nil {
			wait = followSilence
		}
		after = followOne(ctx, events, back, after, wait, change, func() bool { return isReady }, tell)
		if err == nil {
			w.Stop() //nolint:errcheck // it ends with the context at the latest
		}
	}
}

// followOne follows one watch until the connection is back, or, where there is
// none or not all that there was has come, until it is time to try again. It gives
// the revision of the last entry.
func followOne(ctx context.Context, events <-chan jetstream.KeyValueEntry, back <-chan nats.Status, after uint64, wait time.Duration, change func(jetstream.KeyValueEntry), isReady func() bool, ready func()) uint64 {
	again := time.NewTimer(wait)
	defer again.Stop()
	for {
		if events != nil && isReady() {
			again.Stop()
		}
		select {
		case <-ctx.Done():
			return after
		case <-back:
			return after
		case <-again.C:
			return after
		case e, ok := <-events:
			switch {
			case !ok:
				return after
			case e == nil:
				ready()
			default:
				change(e)
				after = e.Revision()
				again.Reset(wait)
			}
		}
	}
}

// unkey is the reverse of key.
func unkey(k string) string {
	out := make([]byte, 0, len(k))
	for i := 0; i < len(k); i++ {
		if k[i] == '=' && i+2 < len(k) {
			if v, err := strconv.ParseUint(k[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(v))
				i += 2
				continue
			}
		}
		out = append(out, k[i])
	}
	return string(out)
}

// PartitionState is where FEED begins, and the last message of a partition; 0 =
// it has none. Where FEED does not keep partitions apart it is the last of all.
func (b *Bus) PartitionState(ctx context.Context, p int) (first, last uint64, err error) {
	state, err := b.FeedState(ctx)
	if err != nil || !b.partitioned {
		return state.First, state.Last, err
	}
	m, err := b.ask(ctx, b.config.Streams.Feed.Name, question{LastOf: b.partitionSubject(p)})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return state.First, 0, nil
	case err != nil:
		return 0, 0, fmt.Errorf("stream %s: %w", feedStream, err)
	}
	return state.First, m.Sequence, nil
}

// Controls gives the control messages of a partition that FEED retains, from a
// sequence on. The error, if there is one, comes last.
func (b *Bus) Controls(ctx context.Context, p int, from uint64) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		fail := func(err error) { yield(Message{}, fmt.Errorf("stream %s: control messages: %w", feedStream, err)) }
		c, err := b.feed.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{b.controlSubject(p)}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, InactiveThreshold: soonGone,
		})
		if err != nil {
			fail(err)
			return
		}
		err = found(ctx, c, retainedBatch, func(raw jetstream.Msg, d delivery) bool {
			return yield(Message{Partition: p, Kind: Control, Data: raw.Data(), Seq: d.seq, Stored: d.stored}, nil)
		})
		if err != nil {
			fail(err)
		}
	}
}
