package engine_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// A power cut took the end of FEED, and what was decided about it is still in
// OUT: what comes then under the same sequences is judged all the same.
func TestFeedLostItsEnd(t *testing.T) {
	dir := engine.DataDir(t)
	rule := t.TempDir()
	write(t, rule+"/rule.json", overheating)
	change := func(c *engine.Config) { c.RulesPath, c.Twins, c.Clock = rule, machines(1), engine.NoClock }
	w := start(t, dir, change)
	for range 5 {
		w.emit(rules.Sample{Twin: "machine_0", Feed: "currentTemp", Data: []byte(`{"temperature":31}`)})
	}
	w.drain()
	w.stop()

	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4})
	require.NoError(t, err)
	nc, err := b.Dial(t.Context())
	require.NoError(t, err)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), "FEED"))
	nc.Close()
	b.Close()

	w = start(t, dir, change)
	w.emit(rules.Sample{Twin: "machine_0", Feed: "currentTemp", Data: []byte(`{"temperature":20}`)})
	w.drain()
	assert.Eventually(t, func() bool { return w.Stats().Outputs == 1 }, patience, 10*time.Millisecond)
	assert.Contains(t, w.log.String(), "the stream has lost its end")
}
