package bus

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// judged saves a snapshot of every partition that stands for FEED up to seq.
func judged(t *testing.T, b *Bus, seq uint64) {
	t.Helper()
	for p := range b.Partitions() {
		judgedOf(t, b, p, seq)
	}
}

func judgedOf(t *testing.T, b *Bus, p int, seq uint64) {
	t.Helper()
	_, r, err := b.LoadSnapshot(t.Context(), p)
	require.NoError(t, err)
	_, err = b.SaveSnapshot(t.Context(), p, seq, []byte("state"), r)
	require.NoError(t, err)
}

// twinsOf gives a twin of each partition.
func twinsOf(b *Bus) []string {
	names := make([]string, b.Partitions())
	for i, missing := 0, len(names); missing > 0; i++ {
		name := fmt.Sprintf("m%d", i)
		if p := b.Partition(name); names[p] == "" {
			names[p] = name
			missing--
		}
	}
	return names
}

// firstAfterRoom makes room and gives what FEED then begins with.
func firstAfterRoom(t *testing.T, b *Bus) uint64 {
	t.Helper()
	require.NoError(t, b.MakeRoom(t.Context()))
	state, err := b.FeedState(t.Context())
	require.NoError(t, err)
	return state.First
}

// A sample of partition 0, then one of 1, and so on: what each snapshot lacks
// is kept.
func TestFeedKeepsWhatAPartitionNeeds(t *testing.T) {
	for name, tt := range map[string]struct {
		window time.Duration
		apart  bool
		judged map[int]uint64 // by partition
		want   uint64         // what FEED begins with, of 1 to 8
	}{
		"no snapshot at all":            {time.Nanosecond, true, nil, 1},
		"one has none":                  {time.Nanosecond, true, map[int]uint64{0: 8, 1: 8, 3: 8}, 1},
		"all have judged all":           {time.Nanosecond, true, map[int]uint64{0: 8, 1: 8, 2: 8, 3: 8}, 9},
		"its own next":                  {time.Nanosecond, true, map[int]uint64{0: 8, 1: 2, 2: 8, 3: 8}, 6},
		"the first of several":          {time.Nanosecond, true, map[int]uint64{0: 1, 1: 2, 2: 8, 3: 4}, 5},
		"nothing of its own is left":    {time.Nanosecond, true, map[int]uint64{0: 5, 1: 6, 2: 7, 3: 8}, 9},
		"others' samples count":         {time.Nanosecond, false, map[int]uint64{0: 8, 1: 2, 2: 8, 3: 8}, 3},
		"a snapshot of the beginning":   {time.Nanosecond, true, map[int]uint64{0: 0, 1: 8, 2: 8, 3: 8}, 1},
		"judged, but inside the window": {time.Hour, true, map[int]uint64{0: 8, 1: 8, 2: 8, 3: 8}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{Partitions: 4, ReplayWindow: tt.window})
			b.Apart(tt.apart)
			names := twinsOf(b)
			for i := range 8 {
				require.NoError(t, b.Put(t.Context(), "", []rules.Sample{sample(names[i%4], i)}))
			}
			for p, seq := range tt.judged {
				judgedOf(t, b, p, seq)
			}
			assert.Equal(t, tt.want, firstAfterRoom(t, b))
			assert.Equal(t, tt.want, firstAfterRoom(t, b), "again changes nothing")
		})
	}
}

// A pool that is down has no window that could run out: time alone takes
// nothing, and the stream has no age.
func TestFeedKeepsWhatNobodyHasJudgedForEver(t *testing.T) {
	b := open(t, Config{Partitions: 2, ReplayWindow: time.Nanosecond, Streams: Streams{Feed: Stream{MaxBytes: 1 << 20}}})
	judged(t, b, 0)
	at := noon
	var err error
	for n := 0; err == nil; n++ {
		at = at.Add(time.Second)
		s := sample("a", n)
		s.Data = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", 10_000))
		err = b.Put(t.Context(), "", []rules.Sample{s})
	}
	require.ErrorIs(t, err, ErrFull, "old, and over 80 %% full")
	assert.Equal(t, uint64(1), firstAfterRoom(t, b))
	info, err := b.feed.Info(t.Context())
	require.NoError(t, err)
	assert.Zero(t, info.Config.MaxAge)
	assert.Equal(t, jetstream.DiscardNew, info.Config.Discard)
	judged(t, b, 5)
	assert.Equal(t, uint64(6), firstAfterRoom(t, b))
}

// tailKept is the mark that was written down of a partition.
func tailKept(t *testing.T, b *Bus, p int) (Mark, bool) {
	t.Helper()
	m, r, err := b.keptMark(t.Context(), tailKey(p))
	require.NoError(t, err)
	return m, r > 0
}

// untilOutHas makes room until OUT has n messages. What is to be copied first is
// copied a moment after it was stored.
func untilOutHas(t *testing.T, b *Bus, n uint64) {
	t.Helper()
	require.Eventually(t, func() bool {
		if b.MakeRoom(t.Context()) != nil {
			return false
		}
		info, err := b.out.Info(t.Context())
		return err == nil && info.State.Msgs == n
	}, patience, 10*time.Millisecond)
}

func TestTailsAreWrittenDownBeforeTheyGo(t *testing.T) {
	b := open(t, Config{Partitions: 4, ReplayWindow: time.Nanosecond})
	names := twinsOf(b)
	w := newWriter(t, b, nil)
	write := func(p int, m Mark) {
		o, _ := outcome(names[p], m.Seq)
		if p == 2 {
			o = alert(names[p], 1, rules.EventRaised)
		}
		w.put(o, m)
	}
	write(0, Mark{Seq: 1, Count: 1})
	write(2, Mark{Seq: 2, Index: 7, Ordinal: 1, Count: 3})
	write(0, Mark{Seq: 3, Count: 1})
	write(1, Mark{Seq: 4, Count: 1})
	w.flush()
	b.Projected(1 << 40)
	untilOutHas(t, b, 1)
	for p, want := range map[int]Mark{0: {Seq: 3, Count: 1}, 2: {Seq: 2, Index: 7, Ordinal: 1, Count: 3}} {
		m, kept := tailKept(t, b, p)
		assert.True(t, kept, "partition %d", p)
		assert.Equal(t, want, m)
	}
	for _, p := range []int{1, 3} {
		_, kept := tailKept(t, b, p)
		assert.False(t, kept, "partition %d: it is in OUT, or there never was one", p)
	}

	// A newer one takes the place of the one that is kept, an older one does not.
	write(2, Mark{Seq: 9, Count: 1})
	write(1, Mark{Seq: 10, Count: 1})
	w.flush()
	untilOutHas(t, b, 1)
	m, _ := tailKept(t, b, 2)
	assert.Equal(t, uint64(9), m.Seq)
	_, err := b.snaps.Put(t.Context(), tailKey(1), appendMark(nil, Mark{Seq: 11, Count: 1}))
	require.NoError(t, err)
	require.NoError(t, b.keepMark(t.Context(), tailKey(1), Mark{Seq: 10, Count: 1}))
	m, _ = tailKept(t, b, 1)
	assert.Equal(t, uint64(11), m.Seq)
}

// Outputs that FEED has no room for wait in OUT, whoever else has dealt with them.
func TestOutKeepsWhatFeedHasNotTaken(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(t.Context(), Config{Dir: dir, Partitions: 2, ReplayWindow: time.Nanosecond, Streams: Streams{Feed: Stream{MaxBytes: 1 << 20}}})
	require.NoError(t, err)
	writeOutcomes(t, b, 3)
	require.NoError(t, b.Chain(t.Context(), true))
	untilOutHas(t, b, 1)
	for _, size := range []int{1000, 1} { // also for something smaller than an output
		for n := 0; err == nil; n++ {
			s := sample("a", n)
			s.Data = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", size))
			err = b.Put(t.Context(), "", []rules.Sample{s})
		}
		require.ErrorIs(t, err, ErrFull)
		err = nil
	}
	full, err := b.FeedState(t.Context())
	require.NoError(t, err)
	w := newWriter(t, b, nil)
	for i := range 5 {
		w.put(outcome("machine", uint64(i+10)))
	}
	w.flush()
	require.NoError(t, b.MakeRoom(t.Context()))
	require.NoError(t, b.MakeRoom(t.Context()))
	info, err := b.out.Info(t.Context(), jetstream.WithSubjectFilter("out.>"))
	require.NoError(t, err)
	for subject, n := range info.State.Subjects {
		require.Equal(t, uint64(5), n, subject)
	}
	require.Len(t, info.State.Subjects, 1)

	judged(t, b, full.Last)
	require.NoError(t, b.MakeRoom(t.Context()))
	require.Eventually(t, func() bool {
		state, err := b.FeedState(t.Context())
		return err == nil && state.Last == full.Last+5
	}, patience, 20*time.Millisecond)
	for _, m := range read(t, b, full.Last+1, 5) {
		assert.Equal(t, "machine-out", m.Twin)
		assert.Equal(t, OneSample, m.Kind)
	}
	untilOutHas(t, b, 1)

	// What was copied and has gone is not copied again, also after a restart.
	judged(t, b, full.Last+5)
	require.NoError(t, b.MakeRoom(t.Context()))
	b.Close()
	b = open(t, Config{Dir: dir, Partitions: 2})
	w = newWriter(t, b, nil)
	w.put(outcome("machine", 20))
	w.flush()
	require.Eventually(t, func() bool {
		state, err := b.FeedState(t.Context())
		return err == nil && state.Last == full.Last+6
	}, patience, 20*time.Millisecond)
}

// What was told to a consumer and not confirmed stays, whoever it belongs to.
func TestOutKeepsWhatWasNotConfirmed(t *testing.T) {
	b := open(t, Config{ReplayWindow: time.Nanosecond})
	c, err := b.out.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "theirs", FilterSubject: "out.>", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	writeOutcomes(t, b, 5)
	batch, err := c.Fetch(3)
	require.NoError(t, err)
	var held uint64
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		require.NoError(t, err)
		if meta.Sequence.Consumer == 2 {
			held = meta.Sequence.Stream
			continue
		}
		require.NoError(t, m.DoubleAck(t.Context()))
	}
	require.NoError(t, b.MakeRoom(t.Context()))
	info, err := b.out.Info(t.Context())
	require.NoError(t, err)
	assert.Equal(t, held, info.State.FirstSeq)
}

func TestRoomIsNotMadeWhenTheServerIsAway(t *testing.T) {
	url, stop, _ := external(t)
	b := open(t, Config{URL: url, Partitions: 1})
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.Error(t, b.MakeRoom(ctx))
	_, _, err := b.LoadSnapshot(ctx, 0)
	require.Error(t, err)
	_, err = b.SaveSnapshot(ctx, 0, 1, []byte("x"), 0)
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrOvertaken)
}
