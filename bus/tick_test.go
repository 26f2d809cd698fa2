package bus

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

func TestTicksReachEveryPartitionOnce(t *testing.T) {
	b := open(t, Config{Partitions: 4})
	require.NoError(t, b.PutTick(t.Context(), noon, true))
	require.NoError(t, b.PutTick(t.Context(), noon, true), "another engine's")
	require.NoError(t, b.Put(t.Context(), "", []rules.Sample{sample("a", 1)}))
	require.NoError(t, b.PutTick(t.Context(), noon.Add(1500*time.Millisecond), false))
	got := read(t, b, 1, 9)
	require.Len(t, got, 9)
	seen := map[int]int{}
	for i, m := range got {
		if i == 4 {
			assert.Equal(t, OneSample, m.Kind)
			continue
		}
		assert.Equal(t, Tick, m.Kind)
		assert.Equal(t, i < 4, m.Wall)
		want := noon
		if i > 4 {
			want = noon.Add(1500 * time.Millisecond)
		}
		assert.True(t, want.Equal(m.At), "%s", m.At)
		seen[m.Partition]++
	}
	assert.Equal(t, map[int]int{0: 2, 1: 2, 2: 2, 3: 2}, seen)
	state, err := b.FeedState(t.Context())
	require.NoError(t, err)
	assert.Equal(t, FeedState{First: 1, Last: 9}, state, "ticks are no control messages")
}

func TestForeignTicks(t *testing.T) {
	b := open(t, Config{Partitions: 2})
	for _, body := range []string{"", "{}", `{"at":"noon","clock":"wall"}`, `{"at":"2026-11-01T12:00:00Z","clock":"mine"}`, `{"clock":"wall"}`} {
		_, err := b.js.Publish(t.Context(), "feed.1._tick", []byte(body))
		require.NoError(t, err)
	}
	for _, m := range read(t, b, 1, 5) {
		assert.Equal(t, Unreadable, m.Kind)
		assert.Equal(t, "tick", m.Reason)
		assert.Equal(t, 1, m.Partition)
	}
}

// A stream that gets nothing but ticks does not grow for ever.
func TestTicksAreDroppedWhenTheyWereJudged(t *testing.T) {
	b := open(t, Config{Partitions: 64, Streams: Streams{Feed: Stream{MaxBytes: 1 << 20}}})
	at := noon
	var err error
	for err == nil {
		at = at.Add(time.Second)
		err = b.PutTick(t.Context(), at, true)
	}
	require.ErrorIs(t, err, ErrFull)
	state, err := b.FeedState(t.Context())
	require.NoError(t, err)
	judged(t, b, state.Last-10)
	require.NoError(t, b.MakeRoom(t.Context()))
	require.NoError(t, b.PutTick(t.Context(), at.Add(time.Second), true))
	after, err := b.FeedState(t.Context())
	require.NoError(t, err)
	assert.Equal(t, state.Last-9, after.First)

	b = open(t, Config{Partitions: 2, ReplayWindow: time.Nanosecond})
	require.NoError(t, b.PutTick(t.Context(), noon, true))
	judged(t, b, 1)
	require.NoError(t, b.MakeRoom(t.Context()))
	after, err = b.FeedState(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uint64(2), after.First)
}
