package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// While nobody judges, FEED fills; then every door says no or waits, and what
// was taken is judged when somebody comes.
func TestAFullFeedHoldsTheDoorsAndLosesNothing(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: engine.DataDir(t), Partitions: 2, Streams: bus.Streams{Feed: bus.Stream{MaxBytes: 1 << 20}}})
	require.NoError(t, err)
	defer b.Close()
	sink := &heard{}
	e, err := engine.New(t.Context(), engine.Config{
		Bus: b, RulesPath: ruleFile(t, overheating), Twins: machines(1),
		Sinks: []engine.NamedSink{{Name: "outputs", Kind: rules.Output, Sink: sink}},
	})
	require.NoError(t, err)

	nc, err := b.Dial(t.Context())
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	require.NoError(t, err)
	taken := 0
	wide := strings.Repeat("x", 20_000)
	for ; err == nil; taken++ {
		_, err = js.Publish(t.Context(), "in.machine_0.currentTemp", fmt.Appendf(nil, `{"temperature":20,"wide":%q}`, wide))
	}
	taken--
	refused := &jetstream.APIError{}
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, jetstream.ErrorCode(10077), refused.ErrorCode)
	assert.Contains(t, refused.Description, "maximum bytes exceeded")

	late := rules.Sample{Twin: "machine_0", Feed: "currentTemp", Data: fmt.Appendf(nil, `{"temperature":20,"wide":%q}`, wide)}
	err = e.TryEmit("door", patience)(t.Context(), late)
	require.ErrorIs(t, err, sources.ErrFull, "a door that can say no does")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	require.ErrorIs(t, e.Emit(ctx, late), context.DeadlineExceeded, "a source waits")
	cancel()

	waiting := make(chan error, 1)
	go func() { waiting <- e.Emit(t.Context(), late) }()
	run, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(run) }()
	select {
	case err := <-waiting:
		require.NoError(t, err)
	case <-time.After(patience):
		require.Fail(t, "the source still waits though what was taken is judged")
	}
	require.Eventually(t, func() bool { return len(sink.all()) == taken+1 }, patience, 10*time.Millisecond)
	stop()
	require.NoError(t, <-done)
}
