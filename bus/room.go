package bus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/rules"
)

// full is the fill of a stream from which room is made before its time.
const full = 0.8

// Apart says whether no rule looks at twins of several partitions, so that a
// partition needs of FEED no messages but its own. Until it is said, each needs
// all that come after its snapshot.
func (b *Bus) Apart(yes bool) { b.apart.Store(yes) }

// MakeRoom drops what is no longer needed: of FEED what every partition's
// snapshot covers and is older than the replay window, of OUT what every
// consumer has dealt with and is older; both earlier when they are 80 % full.
// While a partition has no snapshot nothing of FEED goes, and of one that
// somebody else has made only what is the engine's. Consumers of sinks
// that are not subscribed any more do not count, nor do those of followers and
// subscribers, who may lose what goes. The tails of the partitions
// are written down before they go.
//
// What is needed only ever moves on, so an answer that has grown old meanwhile
// drops too little, never too much.
func (b *Bus) MakeRoom(ctx context.Context) error {
	if err := b.feedRoom(ctx); err != nil {
		return fmt.Errorf("stream %s: room: %w", feedStream, err)
	}
	if err := b.outRoom(ctx); err != nil {
		return fmt.Errorf("stream %s: room: %w", outStream, err)
	}
	return nil
}

func (b *Bus) feedRoom(ctx context.Context) error {
	// The state comes first: what is stored after it lies beyond its end.
	old, end, err := b.disposable(ctx, b.feed)
	if err != nil || old == 0 {
		return err
	}
	needed, err := b.firstUnjudged(ctx, end)
	if err != nil {
		return err
	}
	if b.chained() { // before it can go
		if _, err := b.copied(ctx, b.config.Streams.Feed.Name, b.root+chainedSubject); err != nil {
			return err
		}
	}
	before := min(needed, old)
	if is := b.config.Streams.Feed; !is.Existing || is.Purge {
		return b.dropBefore(ctx, b.feed, before, "")
	}
	if b.feed.CachedInfo().Config.DenyPurge {
		return nil
	}
	return b.dropBefore(ctx, b.feed, before, b.root+"feed.>")
}

// firstUnjudged is the first sequence of FEED that some partition still needs;
// end when none needs anything before it.
func (b *Bus) firstUnjudged(ctx context.Context, end uint64) (uint64, error) {
	first := end
	for p := range b.config.Partitions {
		h, r, err := b.readHead(ctx, b.snaps, snapshotKey(p))
		if err != nil {
			return 0, fmt.Errorf("snapshot of partition %d: %w", p, err)
		}
		if r == 0 {
			return 0, nil
		}
		next := h.Seq + 1
		if next >= first {
			continue
		}
		if b.partitioned && b.apart.Load() {
			if next, err = b.firstFrom(ctx, b.config.Streams.Feed.Name, next, b.partitionSubject(p)); err != nil {
				return 0, fmt.Errorf("partition %d: %w", p, err)
			}
		}
		first = min(first, next)
	}
	return first, nil
}

func (b *Bus) outRoom(ctx context.Context) error {
	old, end, err := b.disposable(ctx, b.out)
	if err != nil || old == 0 {
		return err
	}
	needed, err := b.firstUndelivered(ctx)
	if err != nil {
		return err
	}
	copied, err := b.firstUncopied(ctx)
	if err != nil {
		return err
	}
	before := min(needed, copied, old, end-1) // the last one stays
	if err := b.keepTails(ctx, before); err != nil {
		return err
	}
	return b.dropBefore(ctx, b.out, before, "")
}

// firstUndelivered is the first sequence of OUT that somebody has not dealt with.
func (b *Bus) firstUndelivered(ctx context.Context) (uint64, error) {
	needed, err := b.unprojected(ctx)
	if err != nil {
		return 0, err
	}
	// One by one: in a cluster the list leaves out those that do not answer in time.
	list := b.out.ConsumerNames(ctx)
	var names []string
	for name := range list.Name() {
		names = append(names, name)
	}
	if err := list.Err(); err != nil {
		return 0, fmt.Errorf("its consumers: %w", err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, sinkPrefix) && !b.subscribed(name) || strings.HasPrefix(name, keepPrefix) || strings.HasPrefix(name, readingPrefix) {
			continue
		}
		c, err := b.out.Consumer(ctx, name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("consumer %s: %w", name, err)
		}
		first, err := b.firstNeeded(ctx, c.CachedInfo())
		if err != nil {
			return 0, fmt.Errorf("consumer %s: %w", name, err)
		}
		needed = min(needed, first)
	}
	return needed, nil
}

// firstUncopied is the first sequence of OUT that the history, or FEED if
// interactions follow each other, has not copied. The server's own consumers,
// which copy, are in no list, and their lag leaves out what FEED has refused.
func (b *Bus) firstUncopied(ctx context.Context) (uint64, error) {
	first, err := b.uncopied(ctx, b.config.Streams.Alerts.Name, b.kindSubject(rules.Alert), b.kindSubject(rules.Alert))
	if err == nil && b.chained() {
		var feed uint64
		feed, err = b.uncopied(ctx, b.config.Streams.Feed.Name, b.root+chainedSubject, b.kindSubject(rules.Output))
		first = min(first, feed)
	}
	return first, err
}

// uncopied is the first sequence of OUT under a subject that a stream, which has
// copies under a subject of its own, has not copied.
func (b *Bus) uncopied(ctx context.Context, stream, copies, subject string) (uint64, error) {
	copied, err := b.copied(ctx, stream, copies)
	if err != nil {
		return 0, err
	}
	return b.firstFrom(ctx, b.config.Streams.Out.Name, copied+1, subject)
}

// copied is the last sequence of OUT that a stream has copied. It is written
// down, because the copy may go.
func (b *Bus) copied(ctx context.Context, stream, copies string) (uint64, error) {
	last, err := b.ask(ctx, stream, question{LastOf: copies})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	default:
		if err := b.keepMark(ctx, copiedKey(stream), Mark{Seq: sourceSeq(last.Header), Count: 1}); err != nil {
			return 0, err
		}
	}
	kept, _, err := b.keptMark(ctx, copiedKey(stream))
	return kept.Seq, err
}

func copiedKey(stream string) string { return "copied." + stream }

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
	return b.firstFrom(ctx, b.config.Streams.Out.Name, c.Delivered.Stream+1, subject)
}

// firstFrom is the sequence of a stream's first message from seq on under a
// subject; none is beyond all others.
func (b *Bus) firstFrom(ctx context.Context, stream string, seq uint64, subject string) (uint64, error) {
	return b.first(ctx, stream, question{Seq: seq, NextOf: subject})
}

// first is the sequence of the message that is asked for; none is beyond all others.
func (b *Bus) first(ctx context.Context, stream string, q question) (uint64, error) {
	m, err := b.ask(ctx, stream, q)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return math.MaxUint64, nil
	case err != nil:
		return 0, err
	}
	return m.Sequence, nil
}

// keepTails writes down the mark of each partition's last outcome if that lies
// before the sequence; Tail looks at OUT first and then at what is kept, so it
// finds it in one of them at any moment.
func (b *Bus) keepTails(ctx context.Context, before uint64) error {
	for p := range b.config.Partitions {
		mark, seq, err := b.lastMark(ctx, p)
		if err == nil && seq > 0 && seq < before {
			err = b.keepMark(ctx, tailKey(p), mark)
		}
		if err != nil {
			return fmt.Errorf("tail of partition %d: %w", p, err)
		}
	}
	return nil
}

func tailKey(p int) string { return "tail." + strconv.Itoa(p) }

// keepMark writes a mark down in the bucket of the snapshots. It never puts an
// older one in place of a newer one, also when two are at it.
func (b *Bus) keepMark(ctx context.Context, key string, mark Mark) error {
	kept, after, err := b.keptMark(ctx, key)
	if err != nil || kept.Covers(mark) {
		return err
	}
	_, err = b.snaps.Update(ctx, key, appendMark(nil, mark), after)
	return err
}

// keptMark is the mark that was written down, and its revision; 0 = none was.
func (b *Bus) keptMark(ctx context.Context, key string) (Mark, uint64, error) {
	m, err := b.ask(ctx, bucketStream(b.snaps), question{LastOf: bucketSubject(b.snaps, key)})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Mark{}, 0, nil
	}
	if err != nil {
		return Mark{}, 0, fmt.Errorf("bucket %s: %w", b.snaps.Bucket(), err)
	}
	mark, err := parseMark(string(m.Data))
	if err != nil {
		return Mark{}, 0, fmt.Errorf("bucket %s: %s: %w", b.snaps.Bucket(), key, err)
	}
	return mark, m.Sequence, nil
}

// lastMark is the mark of the last outcome of a partition in OUT, and its
// sequence; 0 = there is none.
func (b *Bus) lastMark(ctx context.Context, p int) (Mark, uint64, error) {
	// The kinds' subjects have three tokens and more, ckpt.<p> has two.
	m, err := b.ask(ctx, b.config.Streams.Out.Name, question{LastOf: b.root + "*." + strconv.Itoa(p) + ".>"})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Mark{}, 0, nil
	}
	if err != nil {
		return Mark{}, 0, fmt.Errorf("stream %s: %w", outStream, err)
	}
	o, err := rules.DecodeOutcome(m.Data)
	if err != nil {
		return Mark{}, 0, fmt.Errorf("stream %s: message %d: %w", outStream, m.Sequence, err)
	}
	return markOf(&o), m.Sequence, nil
}

// Tail is the mark of the last outcome of a partition that was stored, whether
// or not it is still there; the zero Mark when there was none.
func (b *Bus) Tail(ctx context.Context, p int) (Mark, error) {
	last, _, err := b.lastMark(ctx, p)
	if err != nil {
		return Mark{}, err
	}
	kept, _, err := b.keptMark(ctx, tailKey(p))
	if kept.Covers(last) {
		return kept, err
	}
	return last, err
}

// dropBefore purges what comes before the sequence under a subject; "" = under any.
func (b *Bus) dropBefore(ctx context.Context, s jetstream.Stream, seq uint64, subject string) error {
	if seq <= s.CachedInfo().State.FirstSeq {
		return nil
	}
	return b.purge(ctx, s.CachedInfo().Config.Name, subject, seq)
}

// disposable is the sequence before which a stream's messages may go for their
// age, or because it is nearly full; 0 = none may. end is the one after its last.
func (b *Bus) disposable(ctx context.Context, s jetstream.Stream) (before, end uint64, err error) {
	info, err := s.Info(ctx)
	if err != nil {
		return 0, 0, err
	}
	st, window := info.State, b.config.ReplayWindow
	switch {
	case st.Msgs == 0:
		return 0, 0, nil
	case info.Config.MaxBytes > 0 && float64(st.Bytes) >= full*float64(info.Config.MaxBytes):
		return st.LastSeq + 1, st.LastSeq + 1, nil
	case time.Since(st.FirstTime) < window:
		return 0, 0, nil
	}
	before, err = b.first(ctx, info.Config.Name, question{Since: time.Now().Add(-window), NextOf: ">"})
	return min(before, st.LastSeq+1), st.LastSeq + 1, err
}
