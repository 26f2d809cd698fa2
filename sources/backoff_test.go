package sources_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/sources"
)

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b sources.Backoff
		for _, most := range []time.Duration{500, 1000, 2000, 4000, 8000, 16000, 30000, 30000} {
			began := time.Now()
			require.NoError(t, b.Wait(t.Context()))
			took := time.Since(began)
			assert.LessOrEqual(t, took, most*time.Millisecond)
			assert.Greater(t, took, most*time.Millisecond/2)
		}
		b.Reset()
		began := time.Now()
		require.NoError(t, b.Wait(t.Context()))
		assert.LessOrEqual(t, time.Since(began), 500*time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, b.Wait(ctx), context.Canceled)
	})
}
