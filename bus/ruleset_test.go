package bus

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

func TestRulesetsAreWholeAndFollowEachOther(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir(), Partitions: 2})
	last, err := b.LastRuleset(t.Context())
	require.NoError(t, err)
	assert.Zero(t, last.Number)
	all, err := b.Rulesets(t.Context())
	require.NoError(t, err)
	assert.Empty(t, all)

	large := []byte(strings.Repeat("x", 3*pieceBytes+1))
	first, err := b.SaveRuleset(t.Context(), 0, []byte(`{"by":"ann"}`), large)
	require.NoError(t, err)
	assert.Equal(t, uint64(1), first.Number)
	_, err = b.SaveRuleset(t.Context(), 0, []byte(`{}`), []byte("late"))
	require.ErrorIs(t, err, ErrOvertaken)
	second, err := b.SaveRuleset(t.Context(), 1, []byte(`{}`), nil)
	require.NoError(t, err)

	got, err := b.LoadRuleset(t.Context(), &first)
	require.NoError(t, err)
	assert.Equal(t, large, got)
	got, err = b.LoadRuleset(t.Context(), &second)
	require.NoError(t, err)
	assert.Empty(t, got)
	all, err = b.Rulesets(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, []uint64{2, 1}, []uint64{all[0].Number, all[1].Number})
	assert.JSONEq(t, `{"by":"ann"}`, string(all[1].Note))

	// Beside them lie the documents of single interactions, whatever these are called.
	for _, id := range []string{"ruleset", "ruleset.head", "did:x#y"} {
		_, err := b.PutRule(t.Context(), id, []byte(id))
		require.NoError(t, err)
	}
	docs, err := b.RuleRevisions(t.Context())
	require.NoError(t, err)
	var ids []string
	for _, d := range docs {
		assert.Equal(t, d.ID, string(d.Doc))
		ids = append(ids, d.ID)
	}
	assert.ElementsMatch(t, []string{"ruleset", "ruleset.head", "did:x#y"}, ids)
	last, err = b.LastRuleset(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uint64(2), last.Number)
}

func TestRulesetIsFollowed(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir(), Partitions: 2})
	ctx, stop := context.WithCancel(t.Context())
	changed := make(chan struct{}, 100)
	var following sync.WaitGroup
	following.Go(func() { b.FollowRuleset(ctx, func() { changed <- struct{}{} }) })
	<-changed // what there is has been seen
	_, err := b.SaveRuleset(t.Context(), 0, []byte(`{}`), []byte("[]"))
	require.NoError(t, err)
	<-changed
	stop()
	following.Wait()
}

// An outcome of a shadow is there once, however often it is written, and no
// consumer of OUT has it.
func TestShadowsAreRecordedOnce(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir(), Partitions: 2})
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	outcome := func(i int) rules.Outcome {
		return rules.Outcome{
			Kind: rules.Output, Interaction: "i", Rule: "r", Twin: "out of m", Source: "m.1", Feed: "f", At: at.Add(time.Duration(i) * time.Second),
			Data: fmt.Appendf(nil, `{"n":%d}`, i), Seq: uint64(i), Count: 1, Shadow: true,
		}
	}
	w := b.NewShadowWriter(func(err error) { t.Error(err) })
	for range 2 {
		for i := range 2 * shadowPending {
			o := outcome(i + 1)
			require.NoError(t, w.Write(t.Context(), 1, &o))
		}
	}
	huge := outcome(1)
	huge.Data = []byte(`{"x":"` + strings.Repeat("x", b.MaxMessage()) + `"}`)
	require.ErrorIs(t, w.Write(t.Context(), 1, &huge), ErrTooLarge)
	require.NoError(t, w.Flush(t.Context()))
	n := 0
	for e, err := range b.Shadows(t.Context(), "i", "r") {
		require.NoError(t, err)
		require.NoError(t, e.Err)
		n++
		assert.True(t, e.Outcome.Shadow)
		assert.Equal(t, "m.1", e.Outcome.Source)
		assert.Equal(t, uint64(n), e.Outcome.Seq)
	}
	assert.Equal(t, 2*shadowPending, n)
	for e, err := range b.Shadows(t.Context(), "i", "other") {
		t.Error("of another rule there is none", e, err)
	}
	tail, err := b.Tail(t.Context(), 1)
	require.NoError(t, err)
	assert.Zero(t, tail)
}
