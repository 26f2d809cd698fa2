package benchmarks

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
)

// The benchmarks of this file start real servers and real engines as processes
// of their own, so that what each of them takes is seen apart.

// poolSamples is how many samples wait in FEED when the clock starts.
const poolSamples = 200_000

// setting is how outcomes are committed, on how many servers.
type setting struct {
	name    string
	servers int
	same    func(w *works, b *testing.B, n int) // the loop with the same guarantee
	bus     map[string]any                      // of the engine's configuration
}

var settings = []setting{
	{"commit=fast/servers=1", 1, (*works).fast, nil},
	{"commit=exactly/servers=3", 3, (*works).exactly, nil},
}

// duty is what an engine has to judge.
type duty struct {
	rules   []string
	answers bool // each sample has one output
}

var (
	oneOutput = duty{[]string{fmt.Sprintf(transformation, 0)}, true}
	thousand  = duty{append(quietAlerts(999), oneOutput.rules...), true}
	quiet     = duty{quietAlerts(1), false}
)

func quietAlerts(n int) (texts []string) {
	for i := range n {
		texts = append(texts, fmt.Sprintf(`{"alert":{"id":"a%d","severity":"major","conditions":[{"jsonLogic":{">":[{"var":"temperature"},%d]}}],"sourceId":"1","sourceFeedId":"currentTemp"}}`, i, 1000+i))
	}
	return texts
}

// BenchmarkPoolWorker is an engine as an operator runs it beside the loops that one
// could have instead, all over the same backlog of samples of 1,000 twins and
// in turn: each begins with new servers and a stream that is full.
func BenchmarkPoolWorker(b *testing.B) {
	long(b)
	for _, s := range settings {
		b.Run(s.name, func(b *testing.B) { benchmarkPoolWorker(b, s) })
	}
}

func benchmarkPoolWorker(b *testing.B, s setting) {
	var t table
	for b.Loop() {
		t.add("bare", s.loop(b, func(w *works) { w.bare(b, feedStream, poolSamples) }))
		t.add("same", s.loop(b, func(w *works) { s.same(w, b, poolSamples) }))
		t.add("struct", s.loop(b, func(w *works) { w.byHand(b, poolSamples, byStruct) }))
		t.add("library", s.loop(b, func(w *works) { w.byHand(b, poolSamples, byLibrary(b)) }))
		t.add("engine", s.engines(b, 1, single, oneOutput))
		t.add("rules1000", s.engines(b, 1, single, thousand))
		t.add("batches", s.engines(b, 1, batch, oneOutput))
		t.add("quiet", s.engines(b, 1, single, quiet))
		t.add("quiet-batches", s.engines(b, 1, batch, quiet))
	}
	t.report(b, "bare", "same", "struct")
}

// BenchmarkPoolPartitions is one engine that holds all partitions, and two that
// share them, by their number.
func BenchmarkPoolPartitions(b *testing.B) {
	long(b)
	for _, n := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			s := setting{servers: 1, bus: map[string]any{"partitions": n}}
			var t table
			for b.Loop() {
				t.add("bare", s.loop(b, func(w *works) { w.bare(b, feedStream, poolSamples) }))
				t.add("one", s.engines(b, 1, single, oneOutput))
				t.add("two", s.engines(b, 2, single, oneOutput))
			}
			t.report(b, "bare")
		})
	}
}

// BenchmarkPoolExisting is one engine over a stream that was there, and full, before
// it and knows nothing of it: the comparison that README.md sets up.
func BenchmarkPoolExisting(b *testing.B) {
	long(b)
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprintf("twins=%d", n), func(b *testing.B) {
			var t table
			for b.Loop() {
				t.add("engine", existing(b, n))
			}
			t.report(b)
		})
	}
}

func existing(b *testing.B, twins int) figures {
	const stream = "SAMPLES"
	c := startServers(b, 1)
	defer c.kill()
	nc, err := nats.Connect(c.url, nats.RetryOnFailedConnect(true), nats.ReconnectWait(50*time.Millisecond))
	require.NoError(b, err)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	require.NoError(b, err)
	w := &works{nc: nc, js: js}
	defer nc.Close()
	require.Eventually(b, func() bool {
		_, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{"in.*.currentTemp"}})
		return err == nil
	}, 10*time.Second, 50*time.Millisecond)
	for i := range poolSamples {
		s := reading(hotSample, i)
		s.Twin = machineID(i % twins)
		w.publish(b, "in.", &s)
	}
	<-js.PublishAsyncComplete()
	require.EqualValues(b, poolSamples, w.last(b, stream))

	s := setting{servers: 1, bus: map[string]any{"streams": map[string]any{"feed": map[string]any{"name": stream, "existing": true}}}}
	e := crew{launchWorker(b, s.config(b, c, oneOutput))}
	f := e.measure(c, func() int {
		s, err := js.Stream(b.Context(), outStream)
		if err != nil {
			return 0 // the engine has not made it yet
		}
		return int(s.CachedInfo().State.LastSeq)
	})
	e[0].awaitReady(time.Now())
	e[0].stop()
	require.EqualValues(b, poolSamples, w.outputs(b))
	return f
}

// BenchmarkPoolReady is the time from the start of a process until it is ready: the
// first of all, and one that takes over what another has left.
func BenchmarkPoolReady(b *testing.B) {
	long(b)
	var first, again, idle []float64
	for b.Loop() {
		c := startServers(b, 1)
		s := setting{servers: 1}
		w := startWorker(b, s.config(b, c, oneOutput))
		first = append(first, float64(w.ready.Microseconds())/1000)
		w.stop()
		w = startWorker(b, s.config(b, c, oneOutput))
		again = append(again, float64(w.ready.Microseconds())/1000)
		idle = append(idle, w.megabytes("VmRSS"))
		w.kill()
		c.kill()
	}
	b.ReportMetric(median(first), "first-ms")
	b.ReportMetric(median(again), "again-ms")
	b.ReportMetric(median(idle), "idle-MB")
	b.ReportMetric(0, "ns/op") // mostly that of the servers
}

func long(b *testing.B) {
	b.Helper()
	if testing.Short() {
		b.Skip("starts servers and engines as processes, and takes minutes")
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// table collects what the shapes take, in the order in which they come first.
type table struct {
	names []string
	took  map[string][]figures
}

// figures are of one run over a backlog.
type figures struct {
	samples        int
	took           time.Duration
	client, server time.Duration // of all processors
	resident, most float64       // megabytes under load, and the most that ever was; 0 = of a loop, which shares the benchmark's process
}

func (f figures) rate() float64 { return float64(f.samples) / f.took.Seconds() }

func (f figures) each(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1000 / float64(f.samples)
}

func (t *table) add(name string, f figures) {
	if t.took == nil {
		t.took = map[string][]figures{}
	}
	if t.took[name] == nil {
		t.names = append(t.names, name)
	}
	t.took[name] = append(t.took[name], f)
}

// report gives medians: samples a second, microseconds of the shape's own
// process and of the servers for each, and the engines' rates in terms of the
// loops' in the same run.
func (t *table) report(b *testing.B, loops ...string) {
	of := func(name string, f func(i int, f figures) float64) float64 {
		var all []float64
		for i, run := range t.took[name] {
			all = append(all, f(i, run))
		}
		return median(all)
	}
	for _, name := range t.names {
		b.ReportMetric(of(name, func(_ int, f figures) float64 { return f.rate() }), name+"/s")
		b.ReportMetric(of(name, func(_ int, f figures) float64 { return f.each(f.client) }), name+"-us")
		b.ReportMetric(of(name, func(_ int, f figures) float64 { return f.each(f.server) }), name+"-server-us")
		if t.took[name][0].resident == 0 {
			continue
		}
		b.ReportMetric(of(name, func(_ int, f figures) float64 { return f.resident }), name+"-MB")
		b.ReportMetric(of(name, func(_ int, f figures) float64 { return f.most }), name+"-most-MB")
		for _, loop := range loops {
			b.ReportMetric(of(name, func(i int, f figures) float64 { return f.rate() / t.took[loop][i].rate() }), name+"-of-"+loop)
		}
	}
	b.ReportMetric(0, "ns/op") // of all of them and what they need
}

// loop measures a loop in this process over a full FEED.
func (s setting) loop(b *testing.B, run func(w *works)) figures {
	c := startServers(b, s.servers)
	defer c.kill()
	w := s.open(b, c)
	defer w.close()
	w.makeSame(b, s.servers)
	w.fill(b, single, hotSample, poolSamples)
	client, server, begin := processorTime(b), c.processor(), time.Now()
	run(w)
	took := time.Since(begin)
	return figures{samples: poolSamples, took: took, client: processorTime(b) - client, server: c.processor() - server}
}

// engines measures so many engines over a full FEED, from when a tenth of it is
// dealt with: their start is measured by BenchmarkPoolReady.
func (s setting) engines(b *testing.B, n int, p packing, d duty) figures {
	c := startServers(b, s.servers)
	defer c.kill()
	w := s.open(b, c)
	defer w.close()
	w.fill(b, p, hotSample, poolSamples)
	crew := make(crew, n)
	for i := range crew {
		crew[i] = launchWorker(b, s.config(b, c, d))
	}
	progress := crew.samples
	if d.answers {
		progress = func() int { return int(w.last(b, outStream)) }
	}
	f := crew.measure(c, progress)
	for _, e := range crew {
		e.awaitReady(time.Now())
		e.stop()
	}
	if d.answers {
		require.EqualValues(b, poolSamples, w.outputs(b))
	}
	return f
}

const outStream = "OUT"

// crew are the workers of a pool.
type crew []*worker

// measure watches from a tenth of the samples to the last one. It looks seldom,
// because that is work for those who are asked.
func (c crew) measure(servers *cluster, progress func() int) figures {
	first := c.await(poolSamples/10, progress)
	client, server, begin := c.processor(), servers.processor(), time.Now()
	last := c.await(poolSamples, progress)
	took := time.Since(begin)
	f := figures{samples: last - first, took: took, client: c.processor() - client, server: servers.processor() - server}
	for _, w := range c {
		f.resident = max(f.resident, w.megabytes("VmRSS"))
		f.most = max(f.most, w.megabytes("VmHWM"))
	}
	return f
}

func (c crew) await(n int, progress func() int) int {
	b := c[0].b
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); ; <-tick.C {
		if now := progress(); now >= n {
			return now
		}
		require.Less(b, time.Now(), deadline, "%s", &c[0].said)
	}
}

func (c crew) processor() (all time.Duration) {
	for _, w := range c {
		all += w.processor()
	}
	return all
}

// samples is how many samples the workers say that they have judged.
func (c crew) samples() (n int) {
	for _, w := range c {
		response, err := http.Get(w.api + "/api/v1/stats")
		if err != nil {
			continue // it is not there yet
		}
		var stats struct{ Samples int }
		require.NoError(w.b, json.NewDecoder(response.Body).Decode(&stats))
		response.Body.Close() //nolint:errcheck // all of it was read
		n += stats.Samples
	}
	return n
}

// outputs is how many outputs OUT has.
func (w *works) outputs(b *testing.B) (n uint64) {
	b.Helper()
	s, err := w.js.Stream(b.Context(), outStream)
	require.NoError(b, err)
	info, err := s.Info(b.Context(), jetstream.WithSubjectFilter("out.>"))
	require.NoError(b, err)
	for _, count := range info.State.Subjects {
		n += count
	}
	return n
}

// open makes the streams, as the engine does, and reaches the servers.
func (s setting) open(b *testing.B, c *cluster) *works {
	b.Helper()
	partitions, _ := s.bus["partitions"].(int)
	config := bus.Config{URL: c.url, Partitions: partitions, Replicas: len(c.servers)}
	require.Eventually(b, func() bool { // a cluster elects its leaders first
		opened, err := bus.Open(b.Context(), config)
		if err == nil {
			opened.Close()
		}
		return err == nil
	}, time.Minute, 100*time.Millisecond)
	return openAt(b, config)
}

// config is an engine's configuration for 1,000 twins.
func (s setting) config(b *testing.B, c *cluster, d duty) map[string]any {
	b.Helper()
	dir := b.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		require.NoError(b, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	var bodies []string
	for i := range machineCount {
		bodies = append(bodies, fmt.Sprintf(`{"twinId":%q,"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":%q}}],"feeds":[{"id":"currentTemp"}]}`, machineID(i), modelID))
	}
	settings := map[string]any{"url": c.url, "replicas": len(c.servers)}
	maps.Copy(settings, s.bus)
	return map[string]any{
		"bus": settings, "log": map[string]any{"level": "warn"},
		"rules": write("rules.json", interaction(d.rules...)),
		"twins": map[string]any{"files": []string{write("twins.json", "["+strings.Join(bodies, ",")+"]")}},
	}
}

// BenchmarkPoolLatency is the time from publishing a sample to the arrival of its
// output at a JetStream consumer of OUT, at 4,000 samples a second and at shares
// of the most that passes from end to end while samples are published.
func BenchmarkPoolLatency(b *testing.B) {
	long(b)
	for _, s := range settings {
		most := 0.0
		b.Run(s.name+"/rate=4000", func(b *testing.B) { s.latency(b, func(*stopwatch) float64 { return 4000 }) })
		for _, share := range []int{10, 50, 80} {
			b.Run(fmt.Sprintf("%s/load=%d%%", s.name, share), func(b *testing.B) {
				s.latency(b, func(w *stopwatch) float64 {
					if most == 0 {
						most = w.most(poolSamples)
					}
					return most * float64(share) / 100
				})
			})
		}
	}
}

func (s setting) latency(b *testing.B, rate func(*stopwatch) float64) {
	const lasts = 5 * time.Second
	var p50, p99, cpu, rates []float64
	for b.Loop() {
		c := startServers(b, s.servers)
		w := s.open(b, c)
		e := startWorker(b, s.config(b, c, oneOutput))
		watch := newStopwatch(b, w)
		perSecond := rate(watch)
		n := int(perSecond * lasts.Seconds())
		_, err := watch.run(int(perSecond), perSecond) // what is the first of its kind takes longer
		require.NoError(b, err)
		before, begin := e.processor(), time.Now()
		took, err := watch.run(n, perSecond)
		require.NoError(b, err)
		slices.Sort(took)
		p50 = append(p50, quantile(took, 0.50))
		p99 = append(p99, quantile(took, 0.99))
		cpu = append(cpu, float64((e.processor()-before).Microseconds())/float64(n))
		rates = append(rates, float64(n)/time.Since(begin).Seconds())
		e.stop()
		w.close()
		c.kill()
	}
	b.ReportMetric(0, "ns/op") // of the seconds
	b.ReportMetric(median(rates), "samples/s")
	b.ReportMetric(median(p50), "p50-ms")
	b.ReportMetric(median(p99), "p99-ms")
	b.ReportMetric(median(cpu), "engine-us")
}

func quantile(sorted []time.Duration, q float64) float64 {
	return float64(sorted[int(q*float64(len(sorted)-1))].Microseconds()) / 1000
}

// stopwatch publishes samples and takes the time of their outputs. The sample's
// temperature is its number.
type stopwatch struct {
	b       *testing.B
	w       *works
	arrived chan arrival
	next    int // number of the next sample
}

type arrival struct {
	number int
	at     time.Time
}

func newStopwatch(b *testing.B, w *works) *stopwatch {
	b.Helper()
	s := &stopwatch{b: b, w: w, arrived: make(chan arrival, 1<<20)}
	c, err := w.js.OrderedConsumer(b.Context(), outStream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"out.>"}})
	require.NoError(b, err)
	consume, err := c.Consume(func(m jetstream.Msg) {
		at := time.Now()
		_, after, _ := strings.Cut(string(m.Data()), `"temperature":`)
		digits, _, _ := strings.Cut(after, "}")
		if number, err := strconv.Atoi(digits); err == nil {
			s.arrived <- arrival{number, at}
		}
	}, jetstream.PullMaxMessages(2000), heartbeat)
	require.NoError(b, err)
	b.Cleanup(consume.Stop)
	return s
}

func (s *stopwatch) publish() (time.Time, error) {
	at := time.Now()
	err := s.w.nc.Publish("in."+machineID(s.next)+".currentTemp", fmt.Appendf(nil, `{"temperature":%d}`, s.next))
	s.next++
	return at, err
}

// await gives the next outcome that comes.
func (s *stopwatch) await() (arrival, error) {
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	select {
	case a := <-s.arrived:
		return a, nil
	case <-timer.C:
		return arrival{}, errors.New("no outcome within a minute")
	}
}

// run publishes n samples at the rate and gives what each one took.
func (s *stopwatch) run(n int, perSecond float64) ([]time.Duration, error) {
	first := s.next
	sent := make([]time.Time, 0, n)
	start := time.Now()
	for len(sent) < n {
		if wait := time.Until(start.Add(time.Duration(float64(len(sent)) / perSecond * float64(time.Second)))); wait > 0 {
			time.Sleep(wait)
		}
		at, err := s.publish()
		if err != nil {
			return nil, err
		}
		sent = append(sent, at) // what was late is made up for
	}
	took := make([]time.Duration, n)
	for range n {
		a, err := s.await()
		if err != nil {
			return nil, err
		}
		took[a.number-first] = a.at.Sub(sent[a.number-first])
	}
	if slices.Contains(took, 0) {
		return nil, errors.New("an outcome came twice, and another one not at all")
	}
	return took, nil
}

// most is how many samples a second pass while so many more are published that
// there is always something to do.
func (s *stopwatch) most(n int) float64 {
	const ahead = 20_000
	begin := time.Now()
	for i := range n + ahead {
		var err error
		if i < n {
			_, err = s.publish()
		}
		if err == nil && i >= ahead {
			_, err = s.await()
		}
		require.NoError(s.b, err)
	}
	return float64(n) / time.Since(begin).Seconds()
}

// BenchmarkPoolTakeover is the longest that a sample waits for its output, at 2,000
// a second, while one of two workers comes, leaves as it is told to, and is
// killed.
func BenchmarkPoolTakeover(b *testing.B) {
	long(b)
	for _, n := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			s := setting{servers: 1, bus: map[string]any{"partitions": n}}
			var joined, left, killed []float64
			for b.Loop() {
				join, leave, kill := s.takeover(b)
				joined, left, killed = append(joined, join), append(left, leave), append(killed, kill)
			}
			b.ReportMetric(0, "ns/op") // of the seconds between
			b.ReportMetric(median(joined), "join-ms")
			b.ReportMetric(median(left), "leave-ms")
			b.ReportMetric(median(killed), "kill-ms")
		})
	}
}

func (s setting) takeover(b *testing.B) (join, leave, kill float64) {
	c := startServers(b, s.servers)
	defer c.kill()
	w := s.open(b, c)
	defer w.close()
	start := func() *worker { return startWorker(b, s.config(b, c, oneOutput)) }
	staying := start()
	watch := newStopwatch(b, w)
	longest := func(event func()) float64 {
		const perSecond, lasts = 2000, 8
		type result struct {
			took []time.Duration
			err  error
		}
		done := make(chan result, 1)
		go func() {
			took, err := watch.run(perSecond*lasts, perSecond)
			done <- result{took, err}
		}()
		time.Sleep(time.Second) // the event comes in the middle
		event()
		r := receive(b, done, "the outcomes")
		require.NoError(b, r.err)
		return float64(slices.Max(r.took).Microseconds()) / 1000
	}
	var other *worker
	join = longest(func() { other = start() })
	leave = longest(func() { other.stop() })
	other = start()
	kill = longest(func() { other.kill() })
	staying.stop()
	return join, leave, kill
}
