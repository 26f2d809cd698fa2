package pause_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/pause"
)

func TestFor(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, d := range []time.Duration{-time.Hour, 0, time.Millisecond} {
		require.NoError(t, pause.For(t.Context(), d))
	}
	for _, d := range []time.Duration{-time.Hour, 0, time.Hour} {
		require.ErrorIs(t, pause.For(ended, d), context.Canceled)
	}
}
