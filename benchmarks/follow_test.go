package benchmarks

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// BenchmarkFollow is a sample's way through Emit to all who follow its feed: of
// one sample after the other how long until the last of them has it, and of many
// at once what one of them costs.
func BenchmarkFollow(b *testing.B) {
	for _, followers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("one/followers=%d", followers), func(b *testing.B) { followOne(b, followers) })
		b.Run(fmt.Sprintf("many/followers=%d", followers), func(b *testing.B) { followMany(b, followers) })
	}
	b.Run("many/followers=other", func(b *testing.B) { followMany(b, 0) })
}

func followOne(b *testing.B, followers int) {
	e, got, _, end := beginFollow(b, followers)
	defer end()
	var took []time.Duration
	want := int64(0)
	for b.Loop() {
		s := rules.Sample{Twin: machineID(0), Feed: "currentTemp", Data: []byte(hotSample)}
		began := time.Now()
		require.NoError(b, e.Emit(b.Context(), s))
		for want += int64(followers); got.Load() < want; {
			time.Sleep(10 * time.Microsecond)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// followMany with nobody who follows the feed is what the others cost.
func followMany(b *testing.B, followers int) {
	e, got, marks, end := beginFollow(b, followers)
	defer end()
	const at = 500
	samples := make([]rules.Sample, at)
	for i := range samples {
		samples[i] = rules.Sample{Twin: machineID(0), Feed: "currentTemp", Data: []byte(hotSample)}
	}
	began := processorTime(b)
	n := int64(0)
	for b.Loop() {
		if n++; n%at == 0 {
			require.NoError(b, e.Emit(b.Context(), samples...))
		}
	}
	require.NoError(b, e.Emit(b.Context(), rules.Sample{Twin: machineID(1), Feed: "currentTemp", Data: []byte(hotSample)}))
	e.until("the last one", func() bool { return marks.Load() > 0 })
	require.Equal(b, n/at*at*int64(followers), got.Load())
	if followers > 0 {
		b.ReportMetric(float64(processorTime(b)-began)/float64(max(got.Load(), 1)), "cpu-ns/event")
	}
}

// beginFollow begins an engine and lets so many follow machine 0, and one machine 1.
func beginFollow(b *testing.B, followers int) (e *running, got, marks *atomic.Int64, end func()) {
	w := openBus(b)
	e = newEngine(b, w)
	e.start()
	e.until("output twins", func() bool { return e.Stats().Twins == 2*machineCount })
	got, marks = new(atomic.Int64), new(atomic.Int64)
	follow := func(twin string, n *atomic.Int64) {
		_, err := e.Follow(b.Context(), engine.Topic{Kind: engine.FeedTopic, Twin: twin, Name: "currentTemp"}, "", func(*engine.Event) { n.Add(1) })
		require.NoError(b, err)
	}
	for range followers {
		follow(machineID(0), got)
	}
	follow(machineID(1), marks)
	return e, got, marks, func() { e.stop(); w.close() }
}
