package benchmarks

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

const (
	machineCount = 1_000
	runSamples   = 100_000 // of one run through the bus
	batchSamples = 500     // of one Put
)

// BenchmarkBus is what the streams cost on their own, on an embedded server
// with files. An op is one sample, in batches too.
func BenchmarkBus(b *testing.B) {
	b.Run("bare", benchmarkBare)
	b.Run("put-one", benchmarkPutOne)
	b.Run("put-batch", benchmarkPutBatch)
	b.Run("reader", benchmarkReader)
	b.Run("writer", benchmarkWriter)
}

// benchmarkBare is the ceiling that the engine is compared with.
func benchmarkBare(b *testing.B) {
	w := openBus(b)
	w.fillBare(b, hotSample, runSamples)
	var t tally
	for b.Loop() {
		t.time(runSamples, func() { w.bare(b, bareStream, runSamples) })
	}
	t.report(b)
}

func benchmarkPutOne(b *testing.B) {
	w := openBus(b)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Put(b.Context(), "", []rules.Sample{reading(hotSample, i)}); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}

func benchmarkPutBatch(b *testing.B) {
	w := openBus(b)
	batch := readings(hotSample, 0, batchSamples)
	var t tally
	for b.Loop() {
		t.time(batchSamples, func() { require.NoError(b, w.Put(b.Context(), "", batch)) })
	}
	t.report(b)
}

func benchmarkReader(b *testing.B) {
	w := openBus(b)
	w.fill(b, single, hotSample, runSamples)
	var buf []bus.Message
	var t tally
	for b.Loop() {
		r := w.NewReader()
		require.NoError(b, r.Whole(b.Context(), 1))
		t.time(runSamples, func() {
			for n := 0; n < runSamples; n += len(buf) {
				var err error
				buf, err = r.Next(b.Context(), time.Minute, buf)
				require.NoError(b, err)
			}
		})
		r.Close()
	}
	t.report(b)
}

func benchmarkWriter(b *testing.B) {
	w := openBus(b)
	id := bus.CallID()
	writer, err := w.NewWriter(b.Context(), id, func(err error) { b.Log(err) }) // it mends what a busy machine breaks
	require.NoError(b, err)
	defer writer.Close()
	for p := range w.Partitions() {
		fence, err := w.Fence(b.Context(), p, id, 0)
		require.NoError(b, err)
		writer.Own(fence)
	}
	outcomes := make([]rules.Outcome, machineCount)
	for i := range outcomes {
		outcomes[i] = rules.Outcome{
			Kind: rules.Output, Interaction: "overheating", Rule: "1.currentTemp.temperature_status.status0", Twin: machineID(i) + "_status",
			Feed: "temperature_status", Source: machineID(i), At: noon, Data: []byte(`{"status0":"extreme","temperature":31.2}`), Hops: 1,
		}
	}
	seq := uint64(0)
	var t tally
	for b.Loop() {
		t.time(runSamples, func() {
			for i := range runSamples {
				seq++
				o := &outcomes[i%machineCount]
				if err := writer.Write(b.Context(), w.Partition(o.Source), o, bus.Mark{Seq: seq, Count: 1}); err != nil {
					b.Fatal(err)
				}
			}
			require.NoError(b, writer.Flush(b.Context()))
		})
	}
	t.report(b)
}

// works is a bus and a connection of its own to the same server.
type works struct {
	*bus.Bus
	nc *nats.Conn
	js jetstream.JetStream
}

// openBus starts an embedded server on a folder of its own.
func openBus(b *testing.B) *works { return openAt(b, bus.Config{Dir: b.TempDir()}) }

func openAt(b *testing.B, config bus.Config) *works {
	b.Helper()
	opened, err := bus.Open(b.Context(), config)
	require.NoError(b, err)
	b.Cleanup(opened.Close)
	nc, err := opened.Dial(b.Context())
	require.NoError(b, err)
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	require.NoError(b, err)
	return &works{opened, nc, js}
}

// close frees what the clean-up would keep until the end of the benchmark.
func (w *works) close() {
	w.nc.Close()
	w.Close()
}

// packing says how many samples share a message.
type packing string

const (
	single packing = "single" // one a message, through the door of any NATS client
	batch  packing = "batch"  // as Put packs calls of batchSamples
)

// fill stores n samples in FEED and gives the number of messages.
func (w *works) fill(b *testing.B, p packing, sample string, n int) uint64 {
	b.Helper()
	if p == single {
		w.fillSubjects(b, "in.", sample, n)
		require.EqualValues(b, n, w.last(b, "FEED"))
		return uint64(n)
	}
	for i := 0; i < n; i += batchSamples {
		require.NoError(b, w.Put(b.Context(), "", readings(sample, i, batchSamples)))
	}
	return w.last(b, "FEED")
}

const bareStream = "BARE"

// fillBare stores n samples, one a message, in a stream of its own.
func (w *works) fillBare(b *testing.B, sample string, n int) {
	b.Helper()
	_, err := w.js.CreateStream(b.Context(), jetstream.StreamConfig{Name: bareStream, Subjects: []string{"bare.*.*"}})
	require.NoError(b, err)
	w.fillSubjects(b, "bare.", sample, n)
	require.EqualValues(b, n, w.last(b, bareStream))
}

func (w *works) fillSubjects(b *testing.B, prefix, sample string, n int) {
	b.Helper()
	for i := range n {
		s := reading(sample, i)
		w.publish(b, prefix, &s)
	}
	<-w.js.PublishAsyncComplete()
}

// publish sends a sample on its way, and does not wait for the acknowledgement.
func (w *works) publish(b *testing.B, prefix string, s *rules.Sample) {
	b.Helper()
	_, err := w.js.PublishAsync(prefix+s.Twin+"."+s.Feed, s.Data, jetstream.WithStallWait(patience))
	require.NoError(b, err)
}

// last is the sequence of a stream's last message.
func (w *works) last(b *testing.B, stream string) uint64 {
	b.Helper()
	s, err := w.js.Stream(b.Context(), stream)
	require.NoError(b, err)
	return s.CachedInfo().State.LastSeq
}

// bare consumes the n samples of fillBare without acknowledging, and publishes
// each of them again without storing it: the least that anyone has to do who
// reads a stream and says something about each message.
func (w *works) bare(b *testing.B, stream string, n int) {
	c, err := w.js.OrderedConsumer(b.Context(), stream, jetstream.OrderedConsumerConfig{})
	require.NoError(b, err)
	done := make(chan error, 1)
	consume, err := c.Consume(func(m jetstream.Msg) {
		n--
		if err := w.nc.Publish("said", m.Data()); err != nil || n == 0 {
			done <- err
		}
	}, jetstream.PullMaxMessages(2000), heartbeat)
	require.NoError(b, err)
	require.NoError(b, receive(b, done, "the bare loop"))
	require.NoError(b, w.nc.FlushTimeout(patience))
	consume.Stop()
}

// heartbeat bounds what a stalled pull takes, as bus does.
const heartbeat = jetstream.PullHeartbeat(500 * time.Millisecond)

// patience is for what comes soon, or never: a machine that does something else
// beside may need long.
const patience = 15 * time.Minute

// receive gives what comes.
func receive[T any](b *testing.B, from <-chan T, what string) (v T) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	select {
	case v = <-from:
	case <-ctx.Done():
		b.Fatalf("%s: nothing within %s", what, patience)
	}
	return v
}

func machineID(i int) string { return fmt.Sprintf("machine_%d", i%machineCount) }

// reading is the i-th sample of the machines in turn: template with a
// temperature that is above 30 half of the time.
func reading(template string, i int) rules.Sample {
	temperature := fmt.Sprintf(`"temperature":%.1f`, 20+float64(i%201)/10)
	_, after, _ := strings.Cut(template, `"temperature":`)
	rest := after[strings.IndexAny(after, ",}"):]
	before := template[:len(template)-len(after)-len(`"temperature":`)]
	return rules.Sample{Twin: machineID(i), Feed: "currentTemp", At: noon.Add(time.Duration(i) * time.Millisecond), Data: []byte(before + temperature + rest)}
}

func readings(template string, from, n int) []rules.Sample {
	out := make([]rules.Sample, n)
	for i := range out {
		out[i] = reading(template, from+i)
	}
	return out
}

// tally adds up what runs of many samples take, so that an op is one sample.
// Memory is that of the whole process, the embedded server included.
type tally struct {
	samples int
	took    time.Duration
	mallocs uint64
	bytes   uint64
}

func (t *tally) time(samples int, f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	t.took += time.Since(start)
	runtime.ReadMemStats(&after)
	t.samples += samples
	t.mallocs += after.Mallocs - before.Mallocs
	t.bytes += after.TotalAlloc - before.TotalAlloc
}

// report takes the place of the benchmark's own figures, in which an op is a
// run and its preparation.
func (t *tally) report(b *testing.B) {
	b.ReportAllocs()
	n := float64(t.samples)
	b.ReportMetric(float64(t.took.Nanoseconds())/n, "ns/op")
	b.ReportMetric(float64(t.bytes)/n, "B/op")
	b.ReportMetric(float64(t.mallocs)/n, "allocs/op")
	b.ReportMetric(t.rate(), "samples/s")
}

func (t *tally) rate() float64 { return float64(t.samples) / t.took.Seconds() }
