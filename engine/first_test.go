package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/porttest"
	"tocsin.internal/rules"
)

// TestAFirstStartThatWasCutShortIsFinished: a kill can leave some of the twins in
// the bucket and the first state of some partitions; by the next start there may be
// more twins.
func TestAFirstStartThatWasCutShortIsFinished(t *testing.T) {
	whole := start(t, engine.DataDir(t), func(c *engine.Config) { c.Twins = machines(10) })
	before, _, err := whole.bus.LoadSnapshot(t.Context(), 1)
	require.NoError(t, err)
	whole.stop()

	dir := engine.DataDir(t)
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4})
	require.NoError(t, err)
	_, err = b.SaveSnapshot(t.Context(), 1, 0, before, 0)
	require.NoError(t, err)
	for _, m := range machines(5) {
		require.NoError(t, b.PutTwin(t.Context(), m.ID, m.AppendJSON(nil)))
	}
	b.Close()

	var told heard
	change := func(c *engine.Config) {
		c.Twins, c.RulesPath = machines(40), ruleFile(t, overheating)
		c.Sinks = []engine.NamedSink{{Name: "told", Kind: rules.Alert, Sink: &told}}
	}
	w := start(t, dir, change)
	for second, m := range machines(40) {
		w.emit(reading(m.ID, second, 31))
	}
	w.drain()
	machinesTold := len(lines(told.all()))
	assert.Equal(t, 40, machinesTold, "each machine is known to its partition")
	assert.Zero(t, w.Stats().DeadLetters)
	w.stop()

	w = start(t, dir, change)
	for _, m := range machines(40) {
		kept, ok := w.Twin(m.ID)
		require.True(t, ok)
		assert.True(t, kept.Equal(&m))
	}
}

// ownServer is a server that can go away and come back with its data.
func ownServer(t *testing.T) (url string, stop, start func()) {
	t.Helper()
	opts := &server.Options{JetStream: true, JetStreamMaxStore: 1 << 40, StoreDir: engine.DataDir(t), Host: "127.0.0.1", Port: porttest.Port(t), NoLog: true, NoSigs: true}
	var s *server.Server
	start = func() {
		var err error
		s, err = server.NewServer(opts)
		require.NoError(t, err)
		s.Start()
		require.True(t, s.ReadyForConnections(patience))
	}
	stop = func() { s.Shutdown(); s.WaitForShutdown() }
	start()
	t.Cleanup(stop)
	return s.ClientURL(), stop, start
}

// A worker that has just begun waits for a server that goes away.
func TestStartWhileTheServerIsAway(t *testing.T) {
	url, stop, start := ownServer(t)
	b := connect(t, bus.Config{URL: url, Partitions: 1})
	t.Cleanup(b.Close)
	log := &engine.Log{}
	e, err := engine.New(t.Context(), engine.Config{Bus: b, Log: zerolog.New(log), RulesPath: ruleFile(t, overheating), Twins: machines(1)})
	require.NoError(t, err)
	stop()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "trying again") }, patience, 5*time.Millisecond, "%s", log)
	start()
	require.Eventually(t, func() bool { return e.Ready() == nil }, patience, 5*time.Millisecond, "%s", log)
}

// TestManyTwinsComeAtARestart: the partitions are told of more twins than are sent
// to one of them at a time.
func TestManyTwinsComeAtARestart(t *testing.T) {
	const many = 2500
	dir := engine.DataDir(t)
	start(t, dir, func(c *engine.Config) { c.Twins = machines(10) }).stop()

	w := start(t, dir, func(c *engine.Config) { c.Twins = machines(many) })
	var samples []rules.Sample
	for _, m := range machines(many) {
		samples = append(samples, reading(m.ID, 0, 31))
	}
	w.emit(samples...)
	w.drain()
	assert.Equal(t, uint64(many), w.Stats().Samples)
	assert.Zero(t, w.Stats().DeadLetters)
}
