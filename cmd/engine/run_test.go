package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A supervisor that stops an engine which has only begun is not told of a failure.
func TestStoppedWhileItStarts(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "engine.json")
	require.NoError(t, os.WriteFile(config, []byte(`{"bus":{"dir":"data"},"http":{"listen":"127.0.0.1:0"},"sinks":[{"name":"file","kind":"file","with":{"path":"out.ndjson"}}]}`), 0o600))
	t.Chdir(dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.NoError(t, runEngine(ctx, runFlags{config: config}, io.Discard, io.Discard), "before it began")
	for after := time.Millisecond; after < 200*time.Millisecond; after = after * 3 / 2 {
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(after, stop)
		log := paper{}
		require.NoError(t, runEngine(ctx, runFlags{config: config}, io.Discard, &log), "after %s: %s", after, &log)
		stop()
	}
}

// The work, and with it what says that the engine is ready, begins when every server
// can be reached, or one has failed.
func TestReadyBeforeTheServersWere(t *testing.T) {
	var reached atomic.Int32
	late := func(ctx context.Context, open func()) error {
		<-time.After(50 * time.Millisecond)
		reached.Add(1)
		open()
		<-ctx.Done()
		return nil
	}
	off := func(context.Context, func()) error { return nil }
	work := func(context.Context) error {
		assert.EqualValues(t, 2, reached.Load())
		return nil
	}
	require.NoError(t, serving(t.Context(), work, late, off, late))
	taken := errors.New("the port is taken")
	failed := func(context.Context, func()) error { return taken }
	stopped := func(ctx context.Context) error { <-ctx.Done(); return nil }
	assert.ErrorIs(t, serving(t.Context(), stopped, failed), taken)
}
