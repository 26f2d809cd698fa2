package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// waitingRules wait for all that can fall due without a sample.
const waitingRules = `{"id":"waits","sources":[{"id":"1","modelDid":"did:machine","feeds":[{"id":"temp"},{"id":"air"}]}],"rules":[
{"alert":{"id":"held","severity":"major","sourceId":"1","sourceFeedId":"temp","for":"5s","clearFor":"3s","repeatInterval":"7s","conditions":[{"jsonLogic":{">":[{"var":"t"},50]}}]}},
{"alert":{"id":"kept","severity":"major","sourceId":"1","sourceFeedId":"temp","keepFiringFor":"6s","throttle":{"max":1,"per":"20s"},"conditions":[{"jsonLogic":{">":[{"var":"t"},50]}}]}},
{"alert":{"id":"silent","severity":"major","sourceId":"1","sourceFeedId":"temp","absent":{"for":"9s"}}},
{"alert":{"id":"mean","severity":"major","sourceId":"1","sourceFeedId":"temp","window":{"type":"tumbling","size":"4s"},"aggregate":{"mean":{"op":"avg","field":"t"}},"conditions":[{"jsonLogic":{">":[{"var":"$agg.mean"},30]}}],"summary":"{{$agg.mean}}"}},
{"alert":{"id":"rising","severity":"major","sourceId":"1","sourceFeedId":"temp","levels":[{"severity":"minor"},{"severity":"critical","after":"6s"}],"conditions":[{"jsonLogic":{">":[{"var":"t"},50]}}]}},
{"alert":{"id":"steps","severity":"major","sourceId":"1","sourceFeedId":"temp","within":"20s","sequence":[{"jsonLogic":{">":[{"var":"t"},50]}},{"not":{"<":[{"var":"t"},20]},"for":"5s"}]}},
{"alert":{"id":"hours","severity":"major","sourceId":"1","sourceFeedId":"air","schedule":{"active":[{"from":"12:00:20","to":"12:01:00"}],"scope":"evaluate"},"conditions":[{"jsonLogic":{">":[{"var":"t"},50]}}]}}]}`

// randomSamples are samples of some twins in the order of time, many at one time.
func randomSamples(r *rand.Rand, twins, n int) []rules.Sample {
	samples, at := make([]rules.Sample, n), midday
	for i := range samples {
		if r.IntN(3) == 0 {
			at = at.Add(time.Duration(1+r.IntN(4)) * time.Second)
		}
		feed := "temp"
		if r.IntN(4) == 0 {
			feed = "air"
		}
		samples[i] = rules.Sample{Twin: fmt.Sprint("m", r.IntN(twins)), Feed: feed, At: at, Data: fmt.Appendf(nil, `{"t":%d}`, r.IntN(80))}
	}
	return samples
}

// otherwise interleaves the samples of the twins in another way: each twin's
// keep their order, and all that of time.
func otherwise(r *rand.Rand, samples []rules.Sample) []rules.Sample {
	mixed := slices.Clone(samples)
	for range 20 * len(mixed) {
		i := r.IntN(len(mixed) - 1)
		if a, b := &mixed[i], &mixed[i+1]; a.At.Equal(b.At) && a.Twin != b.Twin {
			*a, *b = *b, *a
		}
	}
	return mixed
}

func replayByTwin(t *testing.T, text string, samples []rules.Sample) (told map[string][]string, n int) {
	t.Helper()
	program, err := rules.Load("waits", []byte(text))
	require.NoError(t, err)
	replay := NewReplay(map[string]*rules.Program{program.ID(): program}, nil)
	told = map[string][]string{}
	for _, s := range samples {
		out, err := replay.Judge(&s, nil)
		require.NoError(t, err)
		n += len(out)
		for i := range out {
			told[out[i].Twin] = append(told[out[i].Twin], string(out[i].AppendJSON(nil)))
		}
	}
	return told, n
}

func TestTheOrderOfTwinsDoesNotMatter(t *testing.T) {
	moved := 0
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 1))
		samples := randomSamples(r, 5, 150)
		want, n := replayByTwin(t, waitingRules, samples)
		require.Greater(t, n, 20)
		for range 3 {
			mixed := otherwise(r, samples)
			if !slices.EqualFunc(samples, mixed, func(a, b rules.Sample) bool { return a.Twin == b.Twin }) {
				moved++
			}
			got, _ := replayByTwin(t, waitingRules, mixed)
			require.Equal(t, want, got, "seed %d", seed)
		}
	}
	assert.Equal(t, 45, moved)
}

// messages plays samples and ticks to a pool, and says after each what came.
func messages(t *testing.T, p *pool, seed uint64, after func(r *rand.Rand)) []string {
	t.Helper()
	r, restarts := rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 3))
	p.rules(t, waitingRules)
	for i := range 5 {
		p.put(t, twinOf(t, fmt.Sprint("m", i), "did:machine", ""))
	}
	newest := 0
	for _, s := range randomSamples(r, 5, 80) {
		at := int(s.At.Sub(midday).Seconds())
		for ; newest < at; newest++ {
			if r.IntN(2) == 0 {
				p.tick(newest)
				after(restarts)
			}
		}
		p.sample(t, at, s.Twin, s.Feed, string(s.Data))
		after(restarts)
	}
	p.tick(newest + 60)
	return p.told
}

func TestSavedAndLoadedAtAnyMessage(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		p := newPool(3)
		want := messages(t, p, seed, func(*rand.Rand) {})
		require.Greater(t, len(want), 20)
		for _, oneOf := range []int{1, 7} {
			p := newPool(3)
			got := messages(t, p, seed, func(r *rand.Rand) {
				if r.IntN(oneOf) == 0 {
					p.restart(t)
				}
			})
			require.Equal(t, want, got, "seed %d, one of %d", seed, oneOf)
		}
	}
}

const silentRules = `{"id":"quiet","sources":[{"id":"1","modelDid":"did:machine","feeds":[{"id":"temp"}]}],"rules":[
{"alert":{"id":"silent","severity":"major","sourceId":"1","sourceFeedId":"temp","absent":{"for":"10m"}}}]}`

// A tick that is cut because too much falls due leaves the rest to the next,
// also where that comes after a restart.
func TestSavedAndLoadedWithinACutTick(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of timers in one goroutine")
	}
	const many = 2*maxTimers + 100
	run := func(restarts bool) (told []string, ticks []int) {
		p := newPool(1)
		p.rules(t, silentRules)
		for i := range many {
			id := fmt.Sprintf("m%05d", (i*7919)%many) // in no order
			p.put(t, twinOf(t, id, "did:machine", ""))
			p.sample(t, i%3, id, "temp", `{"t":1}`)
		}
		for range 4 {
			before := len(p.told)
			p.tick(700)
			ticks = append(ticks, len(p.told)-before)
			if restarts {
				p.restart(t)
			}
		}
		return p.told, ticks
	}
	want, ticks := run(false)
	assert.Equal(t, []int{maxTimers, maxTimers, 100, 0}, ticks)
	assert.True(t, slices.IsSortedFunc(want, func(a, b string) int { return int(seconds(t, a) - seconds(t, b)) }))
	got, ticks := run(true)
	assert.Equal(t, []int{maxTimers, maxTimers, 100, 0}, ticks)
	require.Equal(t, want, got)
}

func seconds(t *testing.T, told string) (s float64) {
	t.Helper()
	_, err := fmt.Sscanf(told, "%g", &s)
	require.NoError(t, err)
	return s
}

// fallSilent lets n twins share within one second, and nothing after; it gives
// how long each tick took until no absence was left. Each has to be raised once,
// at its own time.
func fallSilent(tb testing.TB, n int) (took []time.Duration) {
	tb.Helper()
	program, err := rules.Load("quiet", []byte(silentRules))
	require.NoError(tb, err)
	p := NewReplay(map[string]*rules.Program{program.ID(): program}, nil).partition
	tick := func(at time.Duration, out []rules.Outcome) []rules.Outcome {
		return p.tick(midday.Add(at), true, 1, out)
	}
	require.Empty(tb, tick(0, nil))
	last := map[string]time.Time{}
	for i := range n {
		s := rules.Sample{Twin: fmt.Sprintf("m%06d", i), Feed: "temp", At: midday.Add(time.Duration(i%1000) * time.Millisecond), Data: []byte(`{"t":1}`)}
		out, err := p.judge(&s, nil)
		require.NoError(tb, err)
		require.Empty(tb, out)
		last[s.Twin] = s.At
	}
	for at := downtime; at <= 10*time.Minute; at += downtime {
		require.Empty(tb, tick(at, nil))
	}
	var out []rules.Outcome
	raised := 0
	for second := 1; ; second++ {
		began := time.Now()
		out = tick(10*time.Minute+time.Duration(second)*time.Second, out[:0])
		if took = append(took, time.Since(began)); len(out) == 0 {
			break
		}
		require.LessOrEqual(tb, len(out), maxTimers)
		raised += len(out)
		for i := range out {
			at, there := last[out[i].Twin]
			require.True(tb, there, "%s once", out[i].Twin)
			require.True(tb, at.Add(10*time.Minute).Equal(out[i].At), "%s at %s", out[i].Twin, out[i].At)
			delete(last, out[i].Twin)
		}
	}
	require.Equal(tb, n, raised)
	return took
}

func TestManyFallSilentAtOnce(t *testing.T) {
	assert.Len(t, fallSilent(t, 10_000), 10_000/maxTimers+2, "the last one finds nothing")
}

// BenchmarkSilence is the longest tick while 100,000 twins fall silent at once.
func BenchmarkSilence(b *testing.B) {
	var took []time.Duration
	for b.Loop() {
		took = append(took, fallSilent(b, 100_000)...)
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "longest-ms")
	b.ReportMetric(float64(len(took)-b.N)/float64(b.N), "ticks")
}
