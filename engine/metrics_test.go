package engine_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sources"
)

func TestMetricsOfARunningEngine(t *testing.T) {
	busy := errors.New("busy")
	var tries int // of the sink, which calls this under its lock
	deaf := &heard{wrong: func(o rules.Outcome) error {
		if o.Kind != rules.Alert {
			return sinks.Permanent(errors.New("only alerts"))
		}
		if tries++; tries == 1 {
			return busy
		}
		return nil
	}}
	dir := ruleFile(t, overheating)
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = dir, machines(2)
		c.Sinks = []engine.NamedSink{{Name: "deaf", Type: "test", Sink: deaf, Retry: []time.Duration{time.Millisecond}}}
		c.Sources = []engine.NamedSource{{Name: "silent", Source: silent{}}}
	})
	begun := w.Metrics(t.Context())
	assert.Equal(t, engine.Reload{Tried: true, OK: true, Succeeded: begun.Reload.Succeeded}, begun.Reload)
	assert.WithinDuration(t, time.Now(), begun.Reload.Succeeded, time.Minute)
	assert.Equal(t, map[string]uint64{"silent": 0}, begun.Samples)
	assert.NotZero(t, begun.DeadLetters, "those that may come are there at 0")
	w.until("output twins", func() bool { return w.Stats().Twins == 4 })

	w.emit(reading("machine_0", 0, 35), reading("machine_1", 0, 20))
	w.emit(reading("machine_0", 0, 36), reading("machine_0", 1, "null"))
	w.emit(reading("machine_9", 0, 35))
	require.NoError(t, w.TryEmit("door", time.Minute)(t.Context(), reading("machine_1", 1, 21), rules.Sample{Refused: "nonsense"}))
	w.drain()
	w.until("the counters of the rules", func() bool {
		in := w.Metrics(t.Context()).Interactions["overheating"]
		return len(in.Rules) == 2 && in.Rules[0].Received == 5
	})
	m := w.Metrics(t.Context())
	assert.Equal(t, map[string]uint64{"direct": 5, "door": 1, "silent": 0}, m.Samples)
	assert.Equal(t, uint64(6), m.Judged)
	assert.Equal(t, map[rules.Kind]uint64{rules.Output: 4, rules.Alert: 1, rules.Notification: 0, rules.Sticker: 0, rules.Command: 0}, m.Outcomes)
	assert.Equal(t, uint64(1), m.DeadLetters[engine.LetterClass{From: bus.StageFeed, Reason: "unknown_twin"}])
	assert.Equal(t, uint64(1), m.DeadLetters[engine.LetterClass{From: bus.StageDoor, Reason: "unreadable"}])
	assert.Equal(t, uint64(4), m.DeadLetters[engine.LetterClass{From: bus.StageSink, Reason: "refused"}])
	assert.Equal(t, uint64(1), m.AlertEvents[engine.AlertEvent{Event: rules.EventRaised, Severity: "critical"}])
	assert.Zero(t, m.AlertEvents[engine.AlertEvent{Event: rules.EventCleared, Severity: "critical"}])
	assert.Equal(t, 1, m.OpenAlerts[engine.AlertStatus{Severity: "critical", Status: rules.StatusFiring}])
	assert.Zero(t, m.OpenAlerts[engine.AlertStatus{Severity: "major", Status: rules.StatusFiring}])
	assert.Equal(t, []engine.SinkMetrics{{Name: "deaf", Kind: "test", Arrived: 1, Retried: 1, GivenUp: 4}}, m.Sinks)
	assert.Equal(t, uint64(6), observed(m.Deliveries["test"]))
	assert.Equal(t, uint64(6), observed(m.Eval), "each sample is observed")
	assert.Positive(t, m.Eval.Sum)
	assert.Equal(t, 4, m.Twins)
	in := m.Interactions["overheating"]
	assert.Equal(t, uint64(1), in.Late)
	assert.Equal(t, engine.RulesOK, in.State)
	assert.Equal(t, []rules.Funnel{
		{Received: 5, Matched: 5, Late: 1, Unknown: 1, True: 2, False: 2}, {Received: 5, Matched: 5, Late: 1, Unknown: 1, True: 1, False: 2, Raised: 1},
	}, in.Rules)
	assert.Less(t, m.Lag, time.Minute)

	require.Len(t, m.Partitions, 4)
	for i, p := range m.Partitions {
		assert.Equal(t, i, p.Partition)
		assert.True(t, p.CaughtUp)
		assert.Less(t, p.SnapshotAge, time.Minute)
	}
	assert.Equal(t, 1, m.Pool.Workers)
	assert.Equal(t, 4, m.Pool.Partitions)
	w.until("no lag", func() bool { return w.Pool().Lag == 0 })

	write(t, filepath.Join(dir, "rule.json"), "{")
	require.Error(t, w.Reload(t.Context()))
	after := w.Metrics(t.Context())
	assert.Equal(t, engine.Reload{Tried: true, Succeeded: m.Reload.Succeeded}, after.Reload)
	assert.Equal(t, m.RulesHash, after.RulesHash, "the last good ones keep running")
	assert.NotZero(t, m.RulesHash)
}

func observed(h engine.Histogram) (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// silent is a source that has nothing to say.
type silent struct{}

func (silent) Run(ctx context.Context, _ sources.Emit) error {
	<-ctx.Done()
	return nil
}

// A server that goes away and comes back, a stream that somebody deletes, a sink
// that fails and recovers, and of a source that loses its origin: the components say
// so, the log has a line for each change, and neither makes the engine unready.
func TestHealthFollowsTheSurroundings(t *testing.T) {
	url, stop, start := ownServer(t)
	b := connect(t, bus.Config{URL: url, Partitions: 1})
	t.Cleanup(b.Close)

	log := &engine.Log{}
	var mu sync.Mutex
	away := true
	sink := &heard{wrong: func(rules.Outcome) error {
		mu.Lock()
		defer mu.Unlock()
		if away {
			return errors.New("connection refused")
		}
		return nil
	}}
	origin := &faraway{begun: make(chan struct{})}
	e, err := engine.New(t.Context(), engine.Config{
		Bus: b, Log: zerolog.New(log), RulesPath: ruleFile(t, overheating), Twins: machines(1),
		Sources: []engine.NamedSource{{Name: "plant", Source: origin}},
		Sinks:   []engine.NamedSink{{Name: "mail", Sink: sink, Retry: slices.Repeat([]time.Duration{5 * time.Millisecond}, 100_000)}},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	end := sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	t.Cleanup(end)
	until := func(what string, f func() bool) {
		t.Helper()
		require.Eventually(t, f, patience, 5*time.Millisecond, what)
	}
	component := func(name string) engine.Component {
		all := e.Health().Components
		return all[slices.IndexFunc(all, func(c engine.Component) bool { return c.Name == name })]
	}
	until("ready", func() bool { return e.Health().Ready })
	assert.True(t, e.Health().Started)

	require.NoError(t, e.Emit(t.Context(), reading("machine_0", 0, 35)))
	until("the sink fails", func() bool { return !component("sink mail").OK })
	assert.Equal(t, "connection refused", component("sink mail").Error)
	assert.True(t, e.Health().Ready, "a sink never makes it unready")
	mu.Lock()
	away = false
	mu.Unlock()
	until("the sink is back", func() bool { return component("sink mail").OK })
	until("the log says so", func() bool { return strings.Contains(log.String(), "sink delivers again") })

	<-origin.begun
	is := func() []engine.SourceMetrics { return e.Metrics(t.Context()).Sources }
	assert.Equal(t, "not connected yet", component("source plant").Error)
	origin.Lost("broker", errors.New("no route to host"))
	assert.Equal(t, []engine.SourceMetrics{{Name: "plant"}}, is(), "what never worked was not lost")
	origin.Reached("broker")
	assert.Equal(t, []engine.SourceMetrics{{Name: "plant", Up: true}}, is())
	origin.Lost("broker", errors.New("EOF"))
	origin.Lost("queue", errors.New("no such queue"))
	assert.Equal(t, "EOF (and 1 more)", component("source plant").Error)
	origin.Reached("broker")
	assert.Equal(t, "no such queue", component("source plant").Error)
	assert.Equal(t, []engine.SourceMetrics{{Name: "plant", Lost: 1}}, is())
	origin.Reached("queue")
	assert.True(t, component("source plant").OK)
	assert.True(t, e.Health().Ready, "a source never makes it unready")
	for _, line := range []string{`"source":"plant","error":"no route to host"`, `"source":"plant","after":`} {
		assert.Contains(t, log.String(), line)
	}

	stop()
	until("the bus is away", func() bool { return !component(engine.BusComponent).OK })
	assert.False(t, e.Health().Ready)
	assert.Contains(t, component(engine.BusComponent).Error, "NATS is ")
	assert.True(t, e.Health().Started, "it has started all the same")
	start()
	until("the bus is back", func() bool { return e.Health().Ready })
	assert.Equal(t, 1, strings.Count(log.String(), `"component":"bus","error":`), "a line for the change, whoever asks how often")
	assert.Equal(t, 1, strings.Count(log.String(), `"component":"bus","after":`))

	nc, err := nats.Connect(url, nats.Timeout(patience))
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), "DLQ"))
	until("the stream is missed", func() bool { return !component(engine.StreamsComponent).OK })
	assert.Equal(t, "stream DLQ: the stream is missing", component(engine.StreamsComponent).Error)
	assert.False(t, e.Health().Ready)

	assert.False(t, e.Stopping())
	end()
	assert.True(t, e.Stopping())
	assert.True(t, e.Health().Stopping)
}

// Of a pool each worker tells its own share: what they tell adds up, and what
// there is once is told once.
func TestMetricsOfAPool(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: engine.DataDir(t), Listen: "127.0.0.1:0", Partitions: 4})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	dir, sink := ruleFile(t, overheating), &heard{}
	c := &crew{t: t, bus: b, at: map[string]*works{}, config: func() engine.Config {
		return engine.Config{RulesPath: dir, Twins: machines(40), Sinks: []engine.NamedSink{{Name: "heard", Sink: sink}}}
	}}
	first, second := c.at[c.join()], c.at[c.join()]
	both := []*works{first, second}
	until := func(what string, f func() bool) {
		t.Helper()
		require.Eventually(t, f, patience, 20*time.Millisecond, what)
	}
	until("both judge", func() bool { return len(first.Partitions()) == 2 && len(second.Partitions()) == 2 })
	for i := range 40 {
		require.NoError(t, both[i%2].Emit(t.Context(), reading(fmt.Sprintf("machine_%d", i), 0, 20+i)))
	}
	c.judged()
	total := func() (sum engine.Metrics) {
		sum.Samples, sum.Outcomes, sum.OpenAlerts = map[string]uint64{}, map[rules.Kind]uint64{}, map[engine.AlertStatus]int{}
		for _, w := range both {
			m := w.Metrics(t.Context())
			sum.Judged += m.Judged
			sum.Samples["direct"] += m.Samples["direct"]
			for kind, n := range m.Outcomes {
				sum.Outcomes[kind] += n
			}
			for status, n := range m.OpenAlerts {
				sum.OpenAlerts[status] += n
			}
			sum.Sinks = append(sum.Sinks, m.Sinks...)
			sum.Partitions = append(sum.Partitions, m.Partitions...)
			sum.Pool.Lag += w.Pool().Lag
		}
		return sum
	}
	critical := engine.AlertStatus{Severity: "critical", Status: rules.StatusFiring}
	until("all is told", func() bool {
		m := total()
		return m.OpenAlerts[critical] == 29 && m.Sinks[0].Arrived+m.Sinks[1].Arrived == 69 && m.Pool.Lag == 0
	})
	m := total()
	assert.Equal(t, uint64(40), m.Judged)
	assert.Equal(t, uint64(40), m.Samples["direct"])
	assert.Equal(t, uint64(40), m.Outcomes[rules.Output])
	assert.Equal(t, uint64(29), m.Outcomes[rules.Alert])
	slices.SortFunc(m.Partitions, func(a, b engine.PartitionStatus) int { return a.Partition - b.Partition })
	for i, p := range m.Partitions {
		assert.Equal(t, i, p.Partition, "each partition is told by one")
		assert.True(t, p.CaughtUp)
		assert.Positive(t, p.Seq)
	}
	queues := []int{m.Sinks[0].Queue, m.Sinks[1].Queue}
	slices.Sort(queues)
	assert.Equal(t, []int{-1, 0}, queues, "the queue is told by who delivers")
	assert.NotEqual(t, first.Pool().Desk, second.Pool().Desk)
	for _, w := range both {
		assert.Equal(t, 2, w.Pool().Workers)
		assert.Equal(t, 2, w.Pool().Partitions)
		assert.Positive(t, w.Pool().LeaseChanges)
	}
	until("both run the same", func() bool {
		return first.Metrics(t.Context()).RulesHash == second.Metrics(t.Context()).RulesHash
	})
	assert.NotZero(t, first.Metrics(t.Context()).RulesHash)

	second.stop()
	until("one has all", func() bool { return len(first.Partitions()) == 4 && first.Pool().Workers == 1 })
}

// faraway is a source whose origin the test plays.
type faraway struct {
	sources.Contact
	begun chan struct{}
}

func (f *faraway) Run(ctx context.Context, _ sources.Emit) error {
	close(f.begun)
	<-ctx.Done()
	return nil
}
