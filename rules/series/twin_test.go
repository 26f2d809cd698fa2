package series_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/series"
)

// sample is one that the slow twin holds.
type sample struct {
	at     int64
	values []float64
}

type emission struct {
	end     int64
	samples int
	results []float64
}

func (e emission) String() string { return fmt.Sprintf("%d: %d %v", e.end, e.samples, e.results) }

type emissions []emission

func (o *emissions) emit(end int64, samples int, results []float64) {
	*o = append(*o, emission{end, samples, slices.Clone(results)})
}

// slow is a window that keeps all samples and works everything out by its
// definition, when it is asked.
type slow struct {
	spec      series.WindowSpec
	held      []sample // in order of time, and of arrival
	newest    int64
	watermark int64
	started   bool
	out       emissions
}

func (s *slow) hold(at int64, values []float64) {
	i := len(s.held)
	for i > 0 && s.held[i-1].at > at {
		i--
	}
	s.held = slices.Insert(s.held, i, sample{at, values})
}

func (s *slow) between(from, end int64) []sample {
	var in []sample
	for _, h := range s.held {
		if h.at >= from && h.at < end {
			in = append(in, h)
		}
	}
	return in
}

func (s *slow) tell(end int64, in []sample) {
	if len(in) < max(1, s.spec.MinSamples) {
		return
	}
	e := emission{end: end, samples: len(in)}
	for _, a := range s.spec.Aggregates {
		var values []float64
		for _, h := range in {
			if a.Field == series.Samples {
				values = append(values, 0)
			} else if v := h.values[a.Field]; !math.IsNaN(v) && !math.IsInf(v, 0) {
				values = append(values, v)
			}
		}
		e.results = append(e.results, byDefinition(a, values))
	}
	s.out = append(s.out, e)
}

func byDefinition(a series.Aggregate, values []float64) float64 {
	n := float64(len(values))
	if a.Op == series.OpCount {
		return n
	}
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	exact := new(big.Float).SetPrec(200)
	for _, v := range values {
		exact.Add(exact, big.NewFloat(v))
	}
	sum, _ := exact.Float64()
	switch a.Op {
	case series.OpSum:
		return sum
	case series.OpAvg:
		return sum / n
	case series.OpMin:
		return sorted[0]
	case series.OpMax:
		return sorted[len(sorted)-1]
	case series.OpRange:
		return sorted[len(sorted)-1] - sorted[0]
	case series.OpFirst:
		return values[0]
	case series.OpLast:
		return values[len(values)-1]
	case series.OpStdDev:
		squares := 0.0
		for _, v := range values {
			squares += (v - sum/n) * (v - sum/n)
		}
		return math.Sqrt(squares / n)
	}
	p := a.Percentile
	if a.Op == series.OpMedian {
		p = 50
	}
	place := p / 100 * (n - 1)
	lo, hi := sorted[int(math.Floor(place))], sorted[int(math.Ceil(place))]
	return lo + (hi-lo)*(place-math.Floor(place))
}

func (s *slow) add(at int64, values []float64) bool {
	if !s.started {
		s.started, s.newest, s.watermark = true, at, math.MinInt64
		s.spec.Count = max(s.spec.Count, 1)
	}
	switch s.spec.Type {
	case series.Sliding:
		return s.addSliding(at, values)
	case series.Session:
		return s.addSession(at, values)
	case series.Count, series.Batch:
		return s.addCounted(at, values)
	}
	return s.addHopping(at, values)
}

func (s *slow) advance(now int64) {
	switch s.spec.Type {
	case series.Tumbling, series.Hopping:
		s.closeWindows(func(end int64) bool { return end+s.spec.Lateness < now })
	case series.Session:
		s.closeSessions(now-s.spec.Lateness, true)
	}
}

func (s *slow) addCounted(at int64, values []float64) bool {
	if at < s.newest-s.spec.Lateness {
		return false
	}
	s.newest = max(s.newest, at)
	s.hold(at, values)
	if s.spec.Type == series.Count && len(s.held) == s.spec.Count {
		s.close(at)
	}
	return true
}

func (s *slow) close(at int64) {
	s.tell(at, s.held)
	s.held = nil
}

func (s *slow) addSliding(at int64, values []float64) bool {
	if at < s.newest-s.spec.Lateness || at <= s.newest-s.spec.Size {
		return false
	}
	s.hold(at, values)
	if at >= s.newest {
		s.newest = at
		s.tell(at, s.between(at-s.spec.Size+1, at+1))
	}
	return true
}

// starts calls do with the start of each window that could hold a sample from..to.
func (s *slow) starts(from, to int64, do func(start int64)) {
	origin := int64(0)
	if s.spec.AlignFirst {
		origin = s.origin()
	}
	first := int64(math.Floor(float64(from-s.spec.Size-origin)/float64(s.spec.Slide)))*s.spec.Slide + origin
	for start := first; start <= to; start += s.spec.Slide {
		if !s.spec.AlignFirst || start >= origin {
			do(start)
		}
	}
}

func (s *slow) origin() int64 { return s.held[0].at } // nothing older is taken

func (s *slow) closeWindows(over func(end int64) bool) {
	if len(s.held) == 0 {
		return
	}
	s.starts(s.held[0].at, s.held[len(s.held)-1].at, func(start int64) {
		end := start + s.spec.Size
		in := s.between(start, end)
		if end > s.watermark && len(in) > 0 && over(end) {
			s.tell(end, in)
			s.watermark = end
		}
	})
}

func (s *slow) addHopping(at int64, values []float64) bool {
	watermark := at - s.spec.Lateness
	s.closeWindows(func(end int64) bool { return end <= watermark })
	s.watermark = max(s.watermark, watermark)
	if len(s.held) == 0 {
		s.hold(at, values)
		return true
	}
	if s.spec.AlignFirst && at < s.origin() {
		return false
	}
	windows, open := 0, 0
	s.starts(at, at, func(start int64) {
		if start <= at && at < start+s.spec.Size {
			windows++
			if start+s.spec.Size > s.watermark {
				open++
			}
		}
	})
	if windows > 0 && open == 0 {
		return false
	}
	s.hold(at, values)
	return true
}

// sessions are the held samples, in runs.
func (s *slow) sessions() [][]sample {
	var out [][]sample
	for i, h := range s.held {
		if i == 0 || h.at > s.held[i-1].at+s.spec.Timeout ||
			s.spec.MaxDuration > 0 && h.at >= out[len(out)-1][0].at+s.spec.MaxDuration {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], h)
	}
	return out
}

func (s *slow) sessionOver(run []sample, watermark int64, tick bool) (int64, bool) {
	end := run[len(run)-1].at + s.spec.Timeout
	if most := run[0].at + s.spec.MaxDuration; s.spec.MaxDuration > 0 && most <= end {
		return most, most < watermark || most == watermark && !tick
	}
	return end, end < watermark
}

func (s *slow) closeSessions(watermark int64, tick bool) {
	for _, run := range s.sessions() {
		end, over := s.sessionOver(run, watermark, tick)
		if !over {
			return
		}
		s.tell(end, run)
		s.held = s.held[len(run):]
		s.watermark = max(s.watermark, min(watermark, end+1))
	}
}

func (s *slow) addSession(at int64, values []float64) bool {
	watermark := at - s.spec.Lateness
	s.closeSessions(watermark, false)
	s.watermark = max(s.watermark, watermark)
	was := slices.Clone(s.held)
	s.hold(at, values)
	for _, run := range s.sessions() {
		if at < run[0].at || at > run[len(run)-1].at {
			continue
		}
		if _, over := s.sessionOver(run, s.watermark, false); over {
			s.held = was
			return false
		}
	}
	return true
}

func randomSpec(r *rand.Rand) series.WindowSpec {
	spec := series.WindowSpec{
		Type:       series.WindowTypes[r.IntN(len(series.WindowTypes))],
		Size:       1 + r.Int64N(30),
		AlignFirst: r.IntN(2) == 0,
		MinSamples: r.IntN(4),
		Lateness:   max(0, r.Int64N(40)-20),
		Timeout:    1 + r.Int64N(10),
		Count:      1 + r.IntN(12),
		Fields:     2,
	}
	spec.Slide = spec.Size
	if spec.Type == series.Hopping {
		spec.Slide = 1 + r.Int64N(35)
	}
	if r.IntN(3) == 0 {
		spec.MaxDuration = 1 + r.Int64N(20)
	}
	if spec.Type == series.Session && spec.MaxDuration > 0 {
		spec.Lateness = 0 // with both, what a session is depends on the order of arrival
	}
	for range r.IntN(6) {
		a := series.Aggregate{Op: series.Ops[r.IntN(len(series.Ops))], Field: r.IntN(2), Percentile: float64(r.IntN(101))}
		spec.Aggregates = append(spec.Aggregates, a)
	}
	spec.Aggregates = append(spec.Aggregates, series.Aggregate{Op: series.OpCount, Field: series.Samples})
	return spec
}

func randomValue(r *rand.Rand) float64 {
	switch r.IntN(8) {
	case 0:
		return math.NaN()
	case 1:
		return math.Inf(r.IntN(2)*2 - 1)
	case 2:
		return r.NormFloat64() * 1e6
	}
	return float64(r.IntN(9)) - 4
}

// randomSamples has gaps, equal times and, where any are to be late, disorder.
func randomSamples(r *rand.Rand, disorder bool) []sample {
	at := r.Int64N(200) - 100
	var out []sample
	for range r.IntN(120) {
		switch r.IntN(20) {
		case 0:
			at += r.Int64N(120)
		case 1, 2, 3:
		default:
			at += r.Int64N(5)
		}
		t := at
		if disorder && r.IntN(4) == 0 {
			t -= r.Int64N(30)
		}
		out = append(out, sample{t, []float64{randomValue(r), randomValue(r)}})
	}
	return out
}

func same(t *testing.T, want, got emissions, spec series.WindowSpec) {
	t.Helper()
	require.Len(t, got, len(want), "%+v\nwant %v\ngot %v", spec, want, got)
	for i := range want {
		require.Equal(t, want[i].end, got[i].end, "%+v", spec)
		require.Equal(t, want[i].samples, got[i].samples, "%+v", spec)
		for j, v := range want[i].results {
			u := got[i].results[j]
			near := math.IsNaN(v) && math.IsNaN(u) || math.Abs(u-v) <= 1e-10*max(1, math.Abs(v))
			require.True(t, near, "%+v\nwant %v\ngot %v", spec.Aggregates[j], want[i], got[i])
		}
	}
}

func TestWindowsAreWhatTheirDefinitionSays(t *testing.T) {
	told := map[series.WindowType]int{}
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 1))
		spec := randomSpec(r)
		samples := randomSamples(r, spec.Type != series.Session || spec.MaxDuration == 0)
		w, twin := window(t, spec), slow{spec: spec}
		var st series.WindowState
		var sc series.Scratch
		var got emissions
		end := int64(-1000)
		for _, s := range samples {
			end = max(end, s.at)
			want := twin.add(s.at, s.values)
			require.Equal(t, want, w.Add(&st, &sc, s.at, s.values, got.emit), "%d of %+v seed %d", s.at, spec, seed)
			switch r.IntN(12) {
			case 0:
				now := s.at + r.Int64N(60)
				twin.advance(now)
				w.Advance(&st, &sc, now, got.emit)
			case 1:
				if spec.Type == series.Batch && len(twin.held) > 0 {
					twin.close(s.at)
					w.Close(&st, &sc, s.at, got.emit)
				}
			}
		}
		twin.advance(end + 1000)
		w.Advance(&st, &sc, end+1000, got.emit)
		same(t, twin.out, got, spec)
		told[spec.Type] += len(got)
	}
	for _, typ := range series.WindowTypes {
		assert.Greater(t, told[typ], 500, "%v", typ)
	}
}

// run plays samples; before each, ticks that are not ahead of both what was and
// what comes, and now and then the state is written and read.
func run(t *testing.T, spec series.WindowSpec, samples []sample, ticks, reload *rand.Rand) emissions {
	t.Helper()
	w := window(t, spec)
	var out emissions
	var sc series.Scratch
	st := new(series.WindowState)
	newest := int64(-1000)
	for _, s := range samples {
		newest = max(newest, s.at)
		for ticks != nil && ticks.IntN(2) == 0 {
			w.Advance(st, &sc, newest-max(0, ticks.Int64N(60)-10), out.emit)
		}
		w.Add(st, &sc, s.at, s.values, out.emit)
		if reload != nil && reload.IntN(3) == 0 {
			text := w.Append(st, nil)
			again := new(series.WindowState)
			require.NoError(t, w.Load(again, text), "%s of %+v", text, spec)
			require.Equal(t, string(text), string(w.Append(again, nil)))
			require.Equal(t, w.Due(st), w.Due(again))
			st = again
		}
	}
	for now := newest; ticks != nil && now < newest+500; now += 1 + ticks.Int64N(40) {
		w.Advance(st, &sc, now, out.emit)
	}
	w.Advance(st, &sc, newest+1000, out.emit)
	return out
}

func TestTicksMoreOftenChangeNothing(t *testing.T) {
	n := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 2))
		spec := randomSpec(r)
		samples := randomSamples(r, true)
		want := run(t, spec, samples, nil, nil)
		got := run(t, spec, samples, r, nil)
		require.Equal(t, fmt.Sprint(want), fmt.Sprint(got), "%+v seed %d", spec, seed)
		n += len(want)
	}
	assert.Greater(t, n, 10_000)
}

func TestAStateThatWasWrittenGoesOnAsItWas(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		spec := randomSpec(r)
		if spec.Type == series.Session && r.IntN(2) == 0 {
			spec.MaxDuration, spec.Lateness = 1+r.Int64N(20), r.Int64N(30)
		}
		samples := randomSamples(r, true)
		want := run(t, spec, samples, nil, nil)
		got := run(t, spec, samples, r, r)
		require.Equal(t, fmt.Sprint(want), fmt.Sprint(got), "%+v seed %d", spec, seed)
	}
}
