package benchmarks

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	natssink "tocsin.internal/sinks/nats"
	"tocsin.internal/sinks/webhook"
)

// BenchmarkDeliver is how fast outcomes that wait in OUT come to a sink. The same
// sink is first served by workers that each fetch one outcome, deliver it and wait
// for the server's word that it is done; of_one_by_one is the rate in terms of theirs.
func BenchmarkDeliver(b *testing.B) {
	for _, sink := range []struct {
		name string
		n    int
		open func(*testing.B) sinks.Sink
	}{
		{"nothing", 20_000, func(*testing.B) sinks.Sink { return nothing{} }},
		{"nats", 20_000, natsSink},
		{"webhook", 5_000, webhookSink},
	} {
		for _, order := range []struct {
			name    string
			workers int
			byTwin  bool
		}{{"workers=1", 1, false}, {"workers=8", 8, false}, {"workers=8,order=twin", 8, true}} {
			b.Run("sink="+sink.name+"/"+order.name, func(b *testing.B) {
				benchmarkDeliver(b, sink.open(b), sink.n, bus.Subscription{Name: "bench", Workers: order.workers, ByTwin: order.byTwin})
			})
		}
	}
}

func benchmarkDeliver(b *testing.B, sink sinks.Sink, n int, s bus.Subscription) {
	if testing.Short() {
		n /= 20
	}
	if c, ok := sink.(sinks.Closer); ok {
		defer c.Close() //nolint:errcheck // it was only measured
	}
	var ours, plain tally
	var ourTime, plainTime time.Duration
	for b.Loop() {
		w := openBus(b)
		one := w.plainConsumer(b)
		d, err := w.Subscribe(b.Context(), s)
		require.NoError(b, err)
		w.fillOut(b, n)
		began := processorTime(b)
		plain.time(n, func() { pulled(b, one, s.Workers, n, sink) })
		plainTime += processorTime(b) - began
		end := func() {}
		began = processorTime(b)
		ours.time(n, func() { end = runDeliveries(b, d, n, sink) })
		ourTime += processorTime(b) - began
		end()
		w.close()
	}
	ours.report(b)
	b.ReportMetric(plain.rate(), "one_by_one/s")
	b.ReportMetric(ours.rate()/plain.rate(), "of_one_by_one")
	b.ReportMetric(float64(ourTime.Nanoseconds())/float64(ours.samples), "cpu-ns/op")
	b.ReportMetric(float64(plainTime)/float64(ourTime), "cpu_of_ours")
}

// fillOut stores n outputs of the machines in turn, as a worker does.
func (w *works) fillOut(b *testing.B, n int) {
	b.Helper()
	for i := range n {
		id := machineID(i)
		o := rules.Outcome{
			Kind: rules.Output, Interaction: "overheating", Rule: "1.currentTemp.temperature_status.status0", Twin: id + "_status", Feed: "temperature_status",
			Source: id, At: noon, Seq: uint64(i + 1), Data: []byte(`{"status0":"extreme","temperature":31.2}`),
		}
		m := nats.NewMsg("out.0." + id + ".temperature_status." + o.Twin)
		m.Data = o.AppendJSON(nil)
		_, err := w.js.PublishMsgAsync(m, jetstream.WithStallWait(patience))
		require.NoError(b, err)
	}
	<-w.js.PublishAsyncComplete()
	require.EqualValues(b, n, w.last(b, "OUT"))
}

func (w *works) plainConsumer(b *testing.B) jetstream.Consumer {
	b.Helper()
	c, err := w.js.CreateConsumer(b.Context(), "OUT", jetstream.ConsumerConfig{
		Durable: "plain", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 512,
	})
	require.NoError(b, err)
	return c
}

func pulled(b *testing.B, c jetstream.Consumer, workers, n int, sink sinks.Sink) {
	left := make(chan int, n)
	for i := range n {
		left <- i
	}
	close(left)
	failed := make(chan error, workers)
	for range workers {
		go func() {
			for range left {
				if err := deliverNext(b.Context(), c, sink); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range workers {
		require.NoError(b, receive(b, failed, "one by one"))
	}
}

func deliverNext(ctx context.Context, c jetstream.Consumer, sink sinks.Sink) error {
	m, err := c.Next(jetstream.FetchMaxWait(patience), jetstream.FetchHeartbeat(time.Minute))
	if err != nil {
		return err
	}
	o, err := rules.DecodeOutcome(m.Data())
	if err != nil {
		return err
	}
	if err := sink.Deliver(ctx, o); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return m.DoubleAck(ctx)
}

// runDeliveries returns when n outcomes have been delivered. end waits until the
// server knows it.
func runDeliveries(b *testing.B, d *bus.Deliveries, n int, sink sinks.Sink) (end func()) {
	ctx, cancel := context.WithCancel(b.Context())
	var delivered atomic.Int64
	all, over := make(chan bool), make(chan error, 1)
	go func() {
		over <- d.Run(ctx, time.Minute, func(ctx context.Context, x bus.Delivery) bus.Answer {
			if err := sink.Deliver(ctx, x.Outcome); err != nil {
				b.Error(err)
			}
			if delivered.Add(1) == int64(n) {
				close(all)
			}
			return bus.Answer{Done: true}
		})
	}()
	receive(b, all, "all deliveries")
	return func() {
		cancel()
		require.NoError(b, receive(b, over, "the end of the deliveries"))
		require.Eventually(b, func() bool { // it has waited for the server, but not for long
			waiting, err := d.Waiting(b.Context())
			return err == nil && waiting == 0
		}, patience, 10*time.Millisecond)
		require.EqualValues(b, n, delivered.Load())
	}
}

type nothing struct{}

func (nothing) Deliver(context.Context, rules.Outcome) error { return nil }

// natsSink publishes to a core subject of the server of another bus.
func natsSink(b *testing.B) sinks.Sink {
	w := openBus(b)
	s, err := natssink.New(strictjson.Raw{}, w.Dial)
	require.NoError(b, err)
	return s
}

// webhookSink posts to a server on the loopback that says yes.
func webhookSink(b *testing.B) sinks.Sink {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.Cleanup(server.Close)
	raw, err := strictjson.Parse("webhook", fmt.Appendf(nil, `{"url":%q}`, server.URL))
	require.NoError(b, err)
	s, err := webhook.New(raw)
	require.NoError(b, err)
	return s
}
