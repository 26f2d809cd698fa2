package bus

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

func TestSubjectsOfTails(t *testing.T) {
	b := open(t, Config{Partitions: 4, Prefix: "brno"})
	for want, got := range map[string]string{
		"brno.out.*.*.f.t":            b.TailSubject(OutputTail, []string{"t", "f"}),
		"brno.out.*.*.*.t":            b.TailSubject(OutputTail, []string{"t", ">"}),
		"brno.out.*.*.*.*":            b.TailSubject(OutputTail, nil),
		"brno.alert.*.>":              b.TailSubject(AlertTail, nil),
		"brno.alert.*.critical.*.t.>": b.TailSubject(AlertTail, []string{"critical", "*", "t", ">"}),
		"brno.stickers.t.red.*":       b.TailSubject(StickerTail, []string{"t", "red"}),
		"brno.stickers.t.>":           b.TailSubject(StickerTail, []string{"t", ">"}),
		"brno.routed.night":           b.TailSubject(NotificationTail, []string{"night"}),
		"brno.input.t.i":              b.TailSubject(InputTail, []string{"t", "i"}),
	} {
		assert.Equal(t, want, got)
	}
	p := b.Partition("t")
	assert.Equal(t, []string{fmt.Sprintf("brno.feed.%d.t.f", p), fmt.Sprintf("brno.feed.%d._batch", p)}, b.SampleSubjects("t", "f"))
	assert.Equal(t, []string{"brno.feed.*.*.*", "brno.feed.*._batch"}, b.SampleSubjects("*", "*"))
}

// keep takes up a place in the outputs until the test ends.
func keep(t *testing.T, b *Bus, name string) *Kept {
	t.Helper()
	k, err := b.Keep(t.Context(), Keep{Owner: "ann", Name: name, Topic: "outputs", Parts: []KeepPart{{OutputTail, []string{b.TailSubject(OutputTail, nil)}}}})
	require.NoError(t, err)
	t.Cleanup(k.Close)
	return k
}

func nextKept(t *testing.T, k *Kept) *KeptMessage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := k.Next(ctx)
	require.NoError(t, err)
	return m
}

// Neither who has a place and does not come for what waits there, nor who reads,
// keeps anything in OUT; who comes then gets what is left.
func TestSubscribersHoldNothingBack(t *testing.T) {
	b := open(t, Config{ReplayWindow: time.Nanosecond})
	k := keep(t, b, "place")
	r := b.NewTailReader()
	defer r.Close()
	require.NoError(t, r.Begin(t.Context(), OutputTail, 1))
	writeOutcomes(t, b, 5)
	first := nextKept(t, k)
	assert.Equal(t, 1, first.Attempt)
	untilOutHas(t, b, 1)

	require.NoError(t, k.Ack(t.Context(), first))
	last := nextKept(t, k)
	_, end, err := b.TailEnds(t.Context(), OutputTail)
	require.NoError(t, err)
	for last.Seq < end { // one more may have been on its way before
		require.NoError(t, k.Ack(t.Context(), last))
		last = nextKept(t, k)
	}
	require.NoError(t, k.Nak(last, 0))
	again := nextKept(t, k)
	assert.Equal(t, []any{last.Seq, 2}, []any{again.Seq, again.Attempt})
	o, err := b.Outcome(&again.TailMessage)
	require.NoError(t, err)
	assert.Equal(t, rules.Output, o.Kind)
	for n := 3; n <= keepTries; n++ {
		assert.False(t, again.Last())
		require.NoError(t, k.Nak(again, 0))
		again = nextKept(t, k)
		require.Equal(t, n, again.Attempt)
	}
	assert.True(t, again.Last())
}

func TestPlacesEnd(t *testing.T) {
	b := open(t, Config{})
	k := keep(t, b, "place")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := k.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
	ended := make(chan error, 1)
	go func() {
		_, err := k.Next(t.Context())
		ended <- err
	}()
	k.Close()
	require.ErrorIs(t, <-ended, ErrKeptClosed)
	k.Close()

	unnamed := keep(t, b, "")
	info, err := b.out.Info(t.Context())
	require.NoError(t, err)
	before := info.State.Consumers
	unnamed.Close()
	require.Eventually(t, func() bool {
		info, err := b.out.Info(t.Context())
		return err == nil && info.State.Consumers == before-1
	}, patience, 10*time.Millisecond)

	c, err := b.out.Consumer(t.Context(), keepName("ann", "place"))
	require.NoError(t, err)
	assert.Equal(t, keepNamed, c.CachedInfo().Config.InactiveThreshold)
	assert.Equal(t, map[string]string{metaOwner: "ann", metaName: "place", metaTopic: "outputs"}, oursOf(c.CachedInfo().Config.Metadata))
	assert.NotEqual(t, keepName("a", "nn"), keepName("an", "n"))
}

// oursOf leaves out what the server adds.
func oursOf(all map[string]string) map[string]string {
	out := map[string]string{}
	for _, name := range []string{metaOwner, metaName, metaTopic} {
		out[name] = all[name]
	}
	return out
}
