package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/natstest"
	"tocsin.internal/internal/porttest"
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

// Workers and servers are started in any order, and by what gives up soon when a
// process ends again and again.
func TestTheServerStartsLater(t *testing.T) {
	dir := t.TempDir()
	server, port := porttest.Port(t), porttest.Port(t)
	config := filepath.Join(dir, "engine.json")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `{"bus":{"url":"nats://127.0.0.1:%d"},"http":{"listen":"127.0.0.1:%d"},"sinks":[]}`, server, port), 0o600))
	run := func() (log *paper, stop context.CancelFunc, done chan error) {
		ctx, cancel := context.WithCancel(t.Context())
		log, done = &paper{}, make(chan error, 1)
		go func() { done <- runEngine(ctx, runFlags{config: config}, io.Discard, log) }()
		require.Eventually(t, func() bool { return strings.Contains(log.String(), "NATS is not there yet") }, time.Minute, time.Millisecond, "%s", log)
		return log, cancel, done
	}
	log, stop, done := run()
	stop()
	require.NoError(t, <-done, "stopped while it waits: %s", log)

	log, stop, done = run()
	natstest.Serve(t, &nats.Options{Host: "127.0.0.1", Port: server, JetStream: true, JetStreamMaxStore: 1 << 40, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	require.Eventually(t, func() bool {
		status, _, err := request(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/readyz", port), "", nil)
		return err == nil && status == http.StatusOK
	}, time.Minute, 10*time.Millisecond, "%s", log)
	assert.Contains(t, log.String(), "NATS is there")
	stop()
	require.NoError(t, <-done, "%s", log)
}

// What does not get better by itself ends the start.
func TestAServerThatRefusesIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	locked := natstest.Serve(t, &nats.Options{Host: "127.0.0.1", Port: nats.RANDOM_PORT, Username: "engine", Password: "secret", NoLog: true, NoSigs: true})
	config := filepath.Join(dir, "engine.json")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `{"bus":{"url":%q},"http":{"listen":""},"sinks":[]}`, locked.ClientURL()), 0o600))
	err := runEngine(t.Context(), runFlags{config: config}, io.Discard, io.Discard)
	assert.ErrorContains(t, err, "Authorization Violation")
}
