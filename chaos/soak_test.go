//go:build unix

package chaos

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/pause"
)

const soakVariable = "TOCSIN_CHAOS_SOAK" // how long; without it nothing runs

// For a long time samples come at 70 % of what two workers manage at most: each
// minute the test says how far they are behind, how long outcomes take and how
// much memory is held. In the end every sample has its outcome.
func TestSoak(t *testing.T) {
	text := os.Getenv(soakVariable)
	if text == "" {
		t.Skip("set " + soakVariable + " to a duration")
	}
	long, err := time.ParseDuration(text)
	require.NoError(t, err)
	dir := place(t)
	s := newSite(t, dir, newWorld(dice(t), plainRules, 1000, 0), newServer(t, dir))
	s.bus["partitions"], s.bus["replayWindow"], s.more["snapshotEvery"] = partitions, "1m", "30s"
	s.steady(partitions, 2)
	l := newLoad(t, s)
	const probe = 20 * time.Second
	l.run(t, time.Now().Add(probe/2), math.Inf(1)) // warm
	before := l.seen.Load()
	l.run(t, time.Now().Add(probe), math.Inf(1))
	most := float64(l.seen.Load()-before) / probe.Seconds()
	l.drain(t)
	t.Logf("maximum %.0f samples/s; from now on %.0f", most, 0.7*most)
	t.Log("minute | samples/s | behind | p50 | p99 | MB of each worker | MB of the server")
	var memory []float64
	for minute := 1; minute <= max(1, int(long.Minutes())); minute++ {
		l.latency.reset()
		before := l.seen.Load()
		began := time.Now()
		l.run(t, began.Add(time.Minute), 0.7*most)
		behind := l.sent.Load() - l.seen.Load()
		used := []string{fmt.Sprintf("%.1f", s.workers[0].megabytes()), fmt.Sprintf("%.1f", s.workers[1].megabytes())}
		memory = append(memory, s.workers[0].megabytes()+s.workers[1].megabytes())
		t.Logf("%d | %.0f | %d | %s | %s | %s | %.1f", minute, float64(l.seen.Load()-before)/time.Since(began).Seconds(), behind,
			l.latency.quantile(0.5), l.latency.quantile(0.99), strings.Join(used, ", "), s.servers[0].megabytes())
	}
	l.drain(t)
	assert.Equal(t, l.sent.Load(), l.seen.Load(), "outcomes for the samples")
	if n := len(memory); n >= 10 {
		assert.Less(t, mean(memory[n-n/4:]), 1.2*mean(memory[n/4:n/2]), "the workers' memory grows")
	}
	assert.Empty(t, s.deadLetters())
}

func mean(values []float64) (sum float64) {
	for _, v := range values {
		sum += v / float64(len(values))
	}
	return sum
}

// load publishes samples that say when they were sent, and takes the outcomes.
type load struct {
	nc         *nats.Conn
	inbox      string
	sent, seen atomic.Int64
	stored     atomic.Int64
	failed     atomic.Pointer[string]
	latency    histogram
}

// The samples on their way: those that are not acknowledged, and, where as many
// as possible are sent, those without an outcome.
const (
	unstored = 2_000
	unjudged = 20_000
)

func newLoad(t *testing.T, s *site) *load {
	t.Helper()
	nc, _ := connect(t, s.urls())
	l := &load{nc: nc, inbox: nc.NewInbox()}
	_, err := nc.Subscribe(l.inbox, func(m *nats.Msg) {
		if m.Header.Get("Status") != "" || bytes.Contains(m.Data, []byte(`"error"`)) {
			text := string(m.Data)
			l.failed.Store(&text)
		}
		l.stored.Add(1)
	})
	require.NoError(t, err)
	_, js := connect(t, s.urls())
	consumer, err := js.OrderedConsumer(t.Context(), "OUT", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"out.>"}})
	require.NoError(t, err)
	reading, err := consumer.Consume(l.take, jetstream.PullMaxMessages(2000))
	require.NoError(t, err)
	t.Cleanup(reading.Stop)
	return l
}

func (l *load) take(m jetstream.Msg) {
	l.seen.Add(1)
	_, rest, found := bytes.Cut(m.Data(), []byte(`"sent":`))
	if !found {
		return
	}
	digits, _, _ := bytes.Cut(rest, []byte(`}`))
	if sent, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
		l.latency.add(time.Duration(time.Now().UnixNano() - sent))
	}
}

// run publishes at a rate, or as fast as the workers follow.
func (l *load) run(t *testing.T, until time.Time, rate float64) {
	t.Helper()
	began, n := time.Now(), 0.0
	for now := began; now.Before(until); now = time.Now() {
		full := l.sent.Load()-l.stored.Load() >= unstored || math.IsInf(rate, 1) && l.sent.Load()-l.seen.Load() >= unjudged
		if full || n >= rate*now.Sub(began).Seconds() {
			require.NoError(t, pause.For(t.Context(), 500*time.Microsecond))
			require.Nil(t, l.failed.Load())
			continue
		}
		n++
		l.publish(t, now)
	}
}

func (l *load) publish(t *testing.T, now time.Time) {
	i := l.sent.Add(1)
	data := fmt.Appendf(nil, `{"temperature":%d,"sent":%d}`, 25+i%20, now.UnixNano())
	require.NoError(t, l.nc.PublishMsg(&nats.Msg{Subject: "in." + machine(int(i%1000)) + ".state", Reply: l.inbox, Data: data}))
}

// drain waits until nothing is behind.
func (l *load) drain(t *testing.T) {
	t.Helper()
	until(t, readPatience, "an outcome for each sample", func() bool { return l.seen.Load() >= l.sent.Load() })
}

// histogram counts durations in steps of a twentieth.
type histogram struct{ counts [1000]atomic.Int64 }

const step = 1.05

func (h *histogram) add(d time.Duration) {
	i := int(math.Log(max(float64(d.Nanoseconds()), 1)) / math.Log(step))
	h.counts[min(i, len(h.counts)-1)].Add(1)
}

func (h *histogram) reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
}

func (h *histogram) quantile(q float64) time.Duration {
	total := int64(0)
	for i := range h.counts {
		total += h.counts[i].Load()
	}
	below := int64(0)
	for i := range h.counts {
		if below += h.counts[i].Load(); float64(below) >= q*float64(total) {
			return time.Duration(math.Pow(step, float64(i+1))).Round(10 * time.Microsecond)
		}
	}
	return 0
}

// megabytes is the memory that the process holds; 0 where the system does not say.
func (p *process) megabytes() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kilobytes float64
	fmt.Sscan(rest, &kilobytes) //nolint:errcheck // 0 = unknown
	return kilobytes / 1024
}
