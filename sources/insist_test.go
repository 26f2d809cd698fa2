package sources_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

func TestInsist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var tries []time.Duration
		err := sources.Insist(t.Context(), func(_ context.Context, batch ...rules.Sample) error {
			tries = append(tries, time.Since(start))
			require.Equal(t, []rules.Sample{{Twin: "a"}, {Twin: "b"}}, batch)
			if len(tries) < 4 {
				return errors.New("not now")
			}
			return nil
		}, rules.Sample{Twin: "a"}, rules.Sample{Twin: "b"})
		require.NoError(t, err)
		assert.Equal(t, []time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond, 350 * time.Millisecond}, tries)
	})
}

func TestInsistWaitsFiveSecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		tries := 0
		err := sources.Insist(ctx, func(context.Context, ...rules.Sample) error {
			tries++
			return sources.ErrFull
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.InDelta(t, 3600/5, tries, 10)
	})
}

func TestInsistTriesNothingWhenCtxHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := sources.Insist(ctx, func(context.Context, ...rules.Sample) error {
		t.Error("emit called")
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
}
