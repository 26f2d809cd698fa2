package sinks_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/sinks"
)

type link struct{ ended, closed bool }

func (l *link) Ended() bool { return l.ended }

func (l *link) Close() error {
	l.closed = true
	return assert.AnError
}

func TestConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials int
		var refuse error
		c := sinks.NewConnection(func(context.Context) (*link, error) {
			dials++
			if refuse != nil {
				return nil, refuse
			}
			return new(link), nil
		})
		first, fresh, err := c.Get(t.Context())
		require.NoError(t, err)
		assert.True(t, fresh)
		again, fresh, err := c.Get(t.Context())
		require.NoError(t, err)
		assert.False(t, fresh)
		assert.Same(t, first, again)

		first.ended, refuse = true, assert.AnError
		for _, pause := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000} {
			before := dials
			_, _, err = c.Get(t.Context())
			require.ErrorIs(t, err, assert.AnError)
			_, asked := sinks.Wait(err)
			assert.False(t, asked)
			_, _, err = c.Get(t.Context())
			wait, _ := sinks.Wait(err)
			assert.Equal(t, pause*time.Millisecond, wait)
			assert.Equal(t, before+1, dials, "nobody is asked meanwhile")
			time.Sleep(wait)
		}
		assert.True(t, first.closed)
		refuse = nil
		second, fresh, err := c.Get(t.Context())
		require.NoError(t, err)
		assert.True(t, fresh)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err = c.Get(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, c.Close(), assert.AnError)
		assert.True(t, second.closed)
		require.NoError(t, c.Close())
		_, _, err = c.Get(t.Context())
		require.EqualError(t, err, "closed")
	})
}

// TestWhoGivesUpLeavesNoPause proves that a delivery which ends before the server
// has answered says nothing of the server.
func TestWhoGivesUpLeavesNoPause(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := sinks.NewConnection(func(ctx context.Context) (*link, error) {
		cancel()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return new(link), nil
	})
	_, _, err := c.Get(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, _, err = c.Get(t.Context())
	require.NoError(t, err)
}
