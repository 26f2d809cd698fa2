package benchmarks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// BenchmarkEngine is the engine from end to end, on an embedded server with
// files: FEED is full of samples of 1,000 twins when it begins, one rule makes
// an output of each, and it ends when the last of them is stored in OUT. The
// bare loop goes first over the same samples, one a message; of_bare is the
// engine's rate in terms of that one's.
func BenchmarkEngine(b *testing.B) {
	for _, sample := range []struct{ name, data string }{{"20B", hotSample}, {"190B", tenFields}} {
		for _, p := range []packing{single, batch} {
			b.Run("sample="+sample.name+"/messages="+string(p), func(b *testing.B) {
				benchmarkEngine(b, p, sample.data)
			})
		}
	}
}

func benchmarkEngine(b *testing.B, p packing, sample string) {
	var judged, bare tally
	messages := uint64(0)
	for b.Loop() {
		w := openBus(b)
		w.fillBare(b, sample, runSamples)
		bare.time(runSamples, func() { w.bare(b, bareStream, runSamples) })
		messages += w.fill(b, p, sample, runSamples)
		e := newEngine(b, w)
		judged.time(runSamples, func() {
			e.start()
			e.until("outcomes", func() bool { return w.last(b, "OUT") >= runSamples })
		})
		e.stop()
		w.close()
	}
	judged.report(b)
	b.ReportMetric(bare.rate(), "bare_samples/s")
	b.ReportMetric(judged.rate()/bare.rate(), "of_bare")
	b.ReportMetric(float64(judged.samples)/float64(messages), "samples/msg")
}

// BenchmarkJudge is the engine's share of it: a sample's bytes to its outcomes,
// for one of 1,000 twins, without a bus.
func BenchmarkJudge(b *testing.B) {
	p := load(b, overheating())
	replay := engine.NewReplay(map[string]*rules.Program{p.ID(): p}, machines())
	samples := readings(hotSample, 0, machineCount)
	var out []rules.Outcome
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		s := samples[i%machineCount] // as it was read: not decoded yet
		var err error
		if out, err = replay.Judge(&s, out[:0]); err != nil {
			b.Fatal(err)
		}
		i++
	}
	require.Len(b, out, 1)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}

// BenchmarkLatency is the time from publishing a sample to the arrival of its
// output at a subscriber of OUT, at 1,000 samples a second for three seconds.
func BenchmarkLatency(b *testing.B) {
	if testing.Short() {
		b.Skip("takes three seconds")
	}
	const pause, n = time.Millisecond, 3_000
	var took []time.Duration
	for b.Loop() {
		w := openBus(b)
		e := newEngine(b, w)
		e.start()
		e.until("output twins", func() bool { return e.Stats().Twins == 2*machineCount })
		took = append(took, e.latencies(n, pause)...)
		e.stop()
		w.close()
	}
	slices.Sort(took)
	quantile := func(q float64) float64 {
		return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(0, "ns/op") // of the three seconds
	b.ReportMetric(quantile(0.50), "p50-ms")
	b.ReportMetric(quantile(0.99), "p99-ms")
}

// running is an engine with one rule about 1,000 twins.
type running struct {
	*engine.Engine
	b    *testing.B
	bus  *works
	stop func()
}

// newEngine has read everything that it begins with. It judges from start to stop.
func newEngine(b *testing.B, w *works) *running {
	b.Helper()
	rule := filepath.Join(b.TempDir(), "overheating.json")
	require.NoError(b, os.WriteFile(rule, []byte(overheating()), 0o600))
	e, err := engine.New(b.Context(), engine.Config{Bus: w.Bus, RulesPath: rule, Twins: machines()})
	require.NoError(b, err)
	return &running{Engine: e, b: b, bus: w}
}

func (e *running) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	e.stop = func() {
		cancel()
		require.NoError(e.b, receive(e.b, done, "the end of the engine"))
		require.Zero(e.b, e.Stats().DeadLetters)
	}
}

// until looks every few milliseconds whether f holds.
func (e *running) until(what string, f func() bool) {
	e.b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !f(); <-tick.C {
		if time.Now().After(deadline) {
			e.b.Fatalf("no %s within %s", what, patience)
		}
	}
}

// latencies publishes n samples, one a pause, and gives what each one took.
func (e *running) latencies(n int, pause time.Duration) []time.Duration {
	type arrival struct {
		at   time.Time
		data []byte
	}
	arrivals := make(chan arrival, n)
	c, err := e.bus.js.OrderedConsumer(e.b.Context(), "OUT", jetstream.OrderedConsumerConfig{})
	require.NoError(e.b, err)
	consume, err := c.Consume(func(m jetstream.Msg) { arrivals <- arrival{time.Now(), m.Data()} }, heartbeat)
	require.NoError(e.b, err)
	defer consume.Stop()

	sent := make([]time.Time, n)
	start := time.Now()
	for i := range sent {
		<-time.After(time.Until(start.Add(time.Duration(i) * pause))) // what was late is made up for
		s := rules.Sample{Twin: machineID(i), Feed: "currentTemp", Data: fmt.Appendf(nil, `{"temperature":%d}`, i)}
		sent[i] = time.Now()
		e.bus.publish(e.b, "in.", &s)
	}
	out := make([]time.Duration, n)
	for i := range out {
		a := receive(e.b, arrivals, "outcome")
		require.Contains(e.b, string(a.data), fmt.Sprintf(`"temperature":%d}`, i), "outcomes come in the order of the samples")
		out[i] = a.at.Sub(sent[i])
	}
	return out
}

// machines are 1,000 twins made from the rule's model.
func machines() []twins.Twin {
	out := make([]twins.Twin, machineCount)
	for i := range out {
		id := machineID(i)
		out[i] = twins.Twin{
			ID: id, Visibility: "PRIVATE",
			Properties: []rules.Property{twins.URI(rules.PropModel, modelID), twins.LangString(rules.PropLabel, id, "en")},
			Feeds:      []rules.Feed{{ID: "currentTemp", StoreLast: true}},
		}
	}
	return out
}
