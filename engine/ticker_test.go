package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/engine"
)

// ticks reads the first n ticks of the stream.
func (w *works) ticks(n int) (all []bus.Message) {
	w.t.Helper()
	r := w.bus.NewReader()
	defer r.Close()
	require.NoError(w.t, r.Whole(w.t.Context(), 1))
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for len(all) < n {
		got, err := r.Next(ctx, time.Second, nil)
		require.NoError(w.t, err)
		for _, m := range got {
			if m.Kind == bus.Tick {
				all = append(all, m)
			}
		}
	}
	return all
}

func TestTheWallTicks(t *testing.T) {
	w := start(t, engine.DataDir(t), nil)
	for _, m := range w.ticks(8) {
		assert.True(t, m.Wall)
		assert.Zero(t, m.At.Nanosecond())
		assert.WithinDuration(t, m.Stored, m.At, patience)
	}
	w.drain()
}
