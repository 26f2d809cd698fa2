package engine

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

type heardTwins struct {
	mu    sync.Mutex
	twins []string
}

func (h *heardTwins) Deliver(_ context.Context, o rules.Outcome) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.twins = append(h.twins, o.Twin)
	return nil
}

func (h *heardTwins) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.twins...)
}

// A sink's deliveries begin and end several times in one process. Each time they
// know what another process has done meanwhile.
func TestADeliveryRunsAgain(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: DataDir(t), Partitions: 1})
	require.NoError(t, err)
	defer b.Close()
	sink := &heardTwins{}
	e, err := New(t.Context(), Config{Bus: b, Sinks: []NamedSink{{Name: "pager", Sink: sink}}})
	require.NoError(t, err)
	defer e.cancel()
	defer e.worker.reader.Close()
	defer e.worker.writer.Close()
	fence, err := b.Fence(t.Context(), 0, e.config.WorkerID, 1)
	require.NoError(t, err)
	e.worker.writer.Own(fence)
	require.NoError(t, e.subscribe(t.Context()))
	require.Len(t, *e.stats.deliveries.Load(), 1)
	d := (*e.stats.deliveries.Load())[0]
	silences := make(chan struct{})
	close(silences)
	for i, twin := range []string{"a", "b", "c"} {
		o := rules.Outcome{Kind: rules.Output, Interaction: "i", Rule: "r", Twin: twin, Source: twin, Feed: "f", At: time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC), Seq: uint64(i + 1), Data: []byte(`{}`)}
		require.NoError(t, e.worker.writer.Write(t.Context(), 0, &o, bus.Mark{Seq: o.Seq, Count: 1}))
		require.NoError(t, e.worker.writer.Flush(t.Context()))
		held, _ := (*alerts.Held)(nil).Next(&rules.Outcome{
			Kind: rules.Alert, ID: "al_" + twin, State: rules.StateFiring, Life: &rules.Life{Number: 1, Event: rules.EventRaised, Key: twin}, Data: []byte(`{}`), At: o.At, Starts: o.At,
		}, true)
		require.NoError(t, b.Hold(t.Context(), "pager", "al_"+twin, held.AppendJSON(nil)))
		require.NoError(t, d.recall(t.Context()))
		assert.Contains(t, d.untold.held, "al_"+twin)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.run(ctx, silences) }()
		require.Eventually(t, func() bool { return len(sink.all()) == i+1 }, time.Minute, time.Millisecond)
		cancel()
		require.NoError(t, <-done)
	}
	assert.Equal(t, []string{"a", "b", "c"}, sink.all())
	n, err := d.waiting.Waiting(t.Context())
	require.NoError(t, err)
	assert.Zero(t, n)
}

// What holds back too much of its twin is not tried again.
func TestACrowdedTwinIsNotWaitedFor(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: DataDir(t), Partitions: 1})
	require.NoError(t, err)
	defer b.Close()
	e, err := New(t.Context(), Config{Bus: b, Sinks: []NamedSink{{Name: "pager", Sink: refusing{}}}})
	require.NoError(t, err)
	defer e.cancel()
	defer e.worker.reader.Close()
	defer e.worker.writer.Close()
	require.NoError(t, e.subscribe(t.Context()))
	d := (*e.stats.deliveries.Load())[0]
	x := bus.Delivery{Outcome: rules.Outcome{Kind: rules.Output, Twin: "a"}, Attempt: 1, Data: []byte(`{}`)}
	assert.Equal(t, bus.Answer{Again: DefaultRetry[0]}, d.deliver(t.Context(), x))
	x.Crowded = true
	assert.Equal(t, bus.Answer{Done: true}, d.deliver(t.Context(), x))
	letters, err := b.DeadLetters(t.Context(), 2)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	assert.Equal(t, "503; too many outcomes of the twin wait behind it", letters[0].Reason)
}

type refusing struct{}

func (refusing) Deliver(context.Context, rules.Outcome) error { return errors.New("503") }
