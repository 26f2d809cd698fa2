package series_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/series"
)

const second = int64(time.Second)

var nan = math.NaN()

func window(t testing.TB, spec series.WindowSpec) *series.Window {
	t.Helper()
	w, err := series.NewWindow(spec)
	require.NoError(t, err)
	return w
}

func of(ops ...series.Op) []series.Aggregate {
	out := make([]series.Aggregate, len(ops))
	for i, op := range ops {
		out[i].Op = op
	}
	return out
}

// told is what was emitted, a line each: end in seconds, samples, results.
type told []string

func (o *told) emit(end int64, samples int, results []float64) {
	line := fmt.Sprintf("%v: %d", float64(end)/float64(second), samples)
	for _, r := range results {
		line += fmt.Sprintf(" %.4g", r)
	}
	*o = append(*o, line)
}

// step is a sample at a second, or a tick.
type step struct {
	at   float64
	v    float64
	tick bool
	late bool
}

func s(at, v float64) step    { return step{at: at, v: v} }
func late(at, v float64) step { return step{at: at, v: v, late: true} }
func tick(at float64) step    { return step{at: at, tick: true} }

func play(t *testing.T, w *series.Window, steps []step) told {
	t.Helper()
	var st series.WindowState
	var sc series.Scratch
	var out told
	for _, p := range steps {
		at := int64(p.at * float64(second))
		if p.tick {
			w.Advance(&st, &sc, at, out.emit)
			continue
		}
		assert.Equal(t, !p.late, w.Add(&st, &sc, at, []float64{p.v}, out.emit), "%v", p)
	}
	return out
}

// ramp is 1..n at 0..n-1 seconds.
func ramp(n int) []step {
	var out []step
	for i := range n {
		out = append(out, s(float64(i), float64(i+1)))
	}
	return out
}

func values(vs ...float64) []step {
	var out []step
	for i, v := range vs {
		out = append(out, s(float64(i), v))
	}
	return out
}

func TestWindows(t *testing.T) {
	var (
		tumbling = series.WindowSpec{Type: series.Tumbling, Size: 5 * second}
		first    = series.WindowSpec{Type: series.Hopping, Size: 5 * second, Slide: 2 * second, AlignFirst: true}
		hopping  = series.WindowSpec{Type: series.Hopping, Size: 10 * second, Slide: 5 * second}
		gaps     = series.WindowSpec{Type: series.Hopping, Size: 2 * second, Slide: 5 * second}
		sliding  = series.WindowSpec{Type: series.Sliding, Size: 3 * second}
		session  = series.WindowSpec{Type: series.Session, Timeout: 3 * second}
		limited  = series.WindowSpec{Type: series.Session, Timeout: 3 * second, MaxDuration: 5 * second}
		count    = series.WindowSpec{Type: series.Count, Count: 3}
	)
	tolerant := func(spec series.WindowSpec, seconds int64) series.WindowSpec {
		spec.Lateness = seconds * second
		return spec
	}
	atLeast := func(spec series.WindowSpec, n int) series.WindowSpec {
		spec.MinSamples = n
		return spec
	}
	tests := []struct {
		name  string
		spec  series.WindowSpec
		ops   []series.Op
		steps []step
		want  told
	}{
		{"mean of the ramp", tumbling, []series.Op{series.OpAvg}, ramp(13), told{"5: 5 3", "10: 5 8"}},
		{"with a slide", first, []series.Op{series.OpAvg}, ramp(13), told{"5: 5 3", "7: 5 5", "9: 5 7", "11: 5 9"}},
		{"min with a slide", first, []series.Op{series.OpMin}, ramp(13), told{"5: 5 1", "7: 5 3", "9: 5 5", "11: 5 7"}},
		{"deviation with a slide", first, []series.Op{series.OpStdDev}, ramp(8), told{"5: 5 1.414", "7: 5 1.414"}},
		{"max of negatives", count, []series.Op{series.OpMax}, values(-5, -3, -9), told{"2: 3 -3"}},
		{"mean of zeros", count, []series.Op{series.OpAvg, series.OpSum}, values(0, 0, 0), told{"2: 3 0 0"}},
		{
			"deviation of what repeats",
			series.WindowSpec{Type: series.Count, Count: 4},
			[]series.Op{series.OpStdDev},
			values(2, 2, 2, 8),
			told{"3: 4 2.598"},
		},
		{"a sum of the great and the small", series.WindowSpec{Type: series.Count, Count: 4}, []series.Op{series.OpSum}, values(1, 1e100, 1, -1e100), told{"3: 4 2"}},
		{"minus zero is zero", count, []series.Op{series.OpMin, series.OpLast}, values(1, 0, math.Copysign(0, -1)), told{"2: 3 0 0"}},
		{"batch by size", count, []series.Op{series.OpFirst, series.OpLast}, ramp(7), told{"2: 3 1 3", "5: 3 4 6"}},
		{
			"all that can be told",
			series.WindowSpec{Type: series.Count, Count: 4},
			series.Ops[:10], values(4, 1, 3, 2),
			told{"3: 4 4 10 2.5 1 4 3 1.118 4 2 2.5"},
		},
		{"nothing to say", count, series.Ops[:10], values(nan, math.Inf(1), math.Inf(-1)), told{"2: 3 0 NaN NaN NaN NaN NaN NaN NaN NaN NaN"}},
		{"beyond the numbers", count, []series.Op{series.OpSum, series.OpRange, series.OpMax}, values(1e308, 1.7e308, -1e308), told{"2: 3 NaN NaN 1.7e+308"}},

		{"start is in, end is out", tumbling, []series.Op{series.OpFirst}, []step{s(5, 1), s(9.9, 2), s(10, 3)}, told{"10: 2 1"}},
		{"before 1970", tumbling, []series.Op{series.OpSum}, []step{s(-7, 1), s(-5, 2), s(0, 3)}, told{"-5: 1 1", "0: 1 2"}},
		{"empty windows say nothing", tumbling, []series.Op{series.OpCount}, []step{s(1, 1), s(3e7, 1), tick(4e7)}, told{"5: 1 1", "3.0000005e+07: 1 1"}},
		{"too few samples", atLeast(tumbling, 2), []series.Op{series.OpSum}, []step{s(1, 1), s(6, 1), s(7, 1), s(11, 1)}, told{"10: 2 2"}},
		{"a late sample", tumbling, []series.Op{series.OpSum}, []step{s(1, 1), s(6, 2), late(4, 9), s(5, 3), s(10, 1)}, told{"5: 1 1", "10: 2 5"}},
		{
			"lateness", tolerant(tumbling, 2),
			[]series.Op{series.OpSum},
			[]step{s(1, 1), s(6, 2), s(4, 9), s(7, 3), late(4.5, 9), s(12, 1)},
			told{"5: 2 10", "10: 2 5"},
		},
		{"a tick closes after the end", tumbling, []series.Op{series.OpSum}, []step{s(1, 1), tick(5), s(4, 2), tick(5.1), late(4, 3)}, told{"5: 2 3"}},
		{"a tick waits for late ones", tolerant(tumbling, 2), []series.Op{series.OpSum}, []step{s(1, 1), tick(7), s(4, 2), tick(7.1)}, told{"5: 2 3"}},
		{
			"ticks run ahead of a backlog", tumbling,
			[]series.Op{series.OpSum},
			[]step{s(1, 1), tick(1000), s(6, 2), s(11, 3), tick(1001)},
			told{"5: 1 1", "10: 1 2", "15: 1 3"},
		},
		{"two windows hold a sample", hopping, []series.Op{series.OpSum}, []step{s(1, 1), s(6, 2), tick(99)}, told{"5: 1 1", "10: 2 3", "15: 1 2"}},
		{"gaps between windows", gaps, []series.Op{series.OpSum}, []step{s(1, 1), s(3, 9), s(5, 2), s(8, 9), s(11, 1)}, told{"2: 1 1", "7: 1 2"}},
		{"before the first", first, []series.Op{series.OpSum}, []step{s(3, 1), late(2.9, 9), s(8, 2)}, told{"8: 1 1"}},

		{
			"sliding", sliding,
			[]series.Op{series.OpSum, series.OpMin, series.OpMedian},
			[]step{s(0, 3), s(1, 1), s(2, 5), s(3, 4), s(3, 6), s(9, 7)},
			told{"0: 1 3 3 3", "1: 2 4 1 2", "2: 3 9 1 3", "3: 3 10 1 4", "3: 4 16 1 4.5", "9: 1 7 7 7"},
		},
		{
			"sliding, out of order", tolerant(sliding, 2),
			[]series.Op{series.OpSum, series.OpFirst, series.OpLast},
			[]step{s(0, 1), s(3, 2), s(1, 4), late(0.5, 9), s(3.5, 8), s(4, 16)},
			told{"0: 1 1 1 1", "3: 1 2 2 2", "3.5: 3 14 4 8", "4: 3 26 2 16"},
		},
		{"a tick moves no sliding window", sliding, []series.Op{series.OpSum}, []step{s(0, 1), tick(9), s(1, 2)}, told{"0: 1 1", "1: 2 3"}},

		{"session", session, []series.Op{series.OpSum}, []step{s(0, 1), s(3, 2), s(6.1, 3), s(9.5, 4)}, told{"6: 2 3", "9.1: 1 3"}},
		{"session by tick", session, []series.Op{series.OpSum}, []step{s(0, 1), s(2, 2), tick(5), tick(5.1)}, told{"5: 2 3"}},
		{"session that lasts", limited, []series.Op{series.OpSum}, ramp(11), told{"5: 5 15", "10: 5 40"}},
		{"session that lasts, by tick", limited, []series.Op{series.OpSum}, []step{s(0, 1), s(3, 1), tick(5), tick(5.1)}, told{"5: 2 2"}},
		{
			"sessions that meet", tolerant(session, 9),
			[]series.Op{series.OpSum, series.OpFirst},
			[]step{s(0, 1), s(5, 2), s(2.5, 4), tick(99)},
			told{"8: 3 7 1"},
		},
		{
			"a sample before a session", tolerant(session, 9),
			[]series.Op{series.OpSum, series.OpFirst},
			[]step{s(5, 2), s(3, 4), tick(99)},
			told{"8: 2 6 4"},
		},
		{
			"late for a session that it would end", tolerant(series.WindowSpec{Type: series.Session, Timeout: 5 * second, MaxDuration: 6 * second}, 1),
			[]series.Op{series.OpSum},
			[]step{s(5, 1), s(10.5, 2), late(3.4, 3), s(4, 4), tick(99)},
			told{"10: 2 5", "15.5: 1 2"},
		},
		{"late for a session", session, []series.Op{series.OpSum}, []step{s(0, 1), s(9, 2), late(1, 3), s(7, 4), tick(99)}, told{"3: 1 1", "12: 2 6"}},
		{"late for a count", count, []series.Op{series.OpSum}, []step{s(1, 1), s(2, 2), late(1.9, 9), s(2, 3)}, told{"2: 3 6"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Fields, tt.spec.Aggregates = 1, of(tt.ops...)
			assert.Equal(t, tt.want, play(t, window(t, tt.spec), tt.steps))
		})
	}
}

func TestCountOfSamplesAndOfValues(t *testing.T) {
	w := window(t, series.WindowSpec{
		Type: series.Count, Count: 3, Fields: 2,
		Aggregates: []series.Aggregate{{Op: series.OpCount, Field: series.Samples}, {Op: series.OpCount, Field: 1}, {Op: series.OpSum, Field: 1}},
	})
	var st series.WindowState
	var sc series.Scratch
	var out told
	w.Add(&st, &sc, 1, []float64{1, 5}, out.emit)
	w.Add(&st, &sc, 2, []float64{1, nan}, out.emit)
	w.Add(&st, &sc, 3, []float64{1}, out.emit)
	assert.Equal(t, told{"3e-09: 3 3 1 5"}, out)
}

func TestPercentileIsLinear(t *testing.T) {
	tests := []struct {
		p      float64
		values []float64
		want   float64
	}{
		{0, []float64{3, 1, 2}, 1},
		{100, []float64{3, 1, 2}, 3},
		{50, []float64{3, 1, 2}, 2},
		{50, []float64{4, 1, 3, 2}, 2.5},
		{25, []float64{1, 2, 3, 4}, 1.75},
		{95, []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 9.55},
		{99.9, []float64{7}, 7},
		{10, []float64{-1, nan, 1}, -0.8},
		{50, []float64{nan, nan}, nan},
		{50, []float64{math.MaxFloat64, -math.MaxFloat64}, nan},
	}
	for _, tt := range tests {
		w := window(t, series.WindowSpec{
			Type: series.Count, Count: len(tt.values), Fields: 1,
			Aggregates: []series.Aggregate{{Op: series.OpPercentile, Percentile: tt.p}},
		})
		var st series.WindowState
		var sc series.Scratch
		got := math.Inf(1)
		for i, v := range tt.values {
			w.Add(&st, &sc, int64(i), []float64{v}, func(_ int64, _ int, results []float64) { got = results[0] })
		}
		if math.IsNaN(tt.want) {
			assert.True(t, math.IsNaN(got), "%v: got %v", tt, got)
			continue
		}
		assert.InDelta(t, tt.want, got, 1e-12, "%v", tt)
	}
}

func TestBatchClosesOnDemand(t *testing.T) {
	w := window(t, series.WindowSpec{Type: series.Batch, Fields: 1, MinSamples: 2, Aggregates: of(series.OpSum, series.OpMedian)})
	var st series.WindowState
	var sc series.Scratch
	var out told
	w.Close(&st, &sc, 0, out.emit)
	for i := range int64(3) {
		require.True(t, w.Add(&st, &sc, i*second, []float64{float64(i)}, out.emit))
	}
	w.Advance(&st, &sc, 99*second, out.emit)
	assert.Zero(t, w.Due(&st))
	assert.Empty(t, out)
	w.Close(&st, &sc, 4*second, out.emit)
	w.Add(&st, &sc, 5*second, []float64{7}, out.emit)
	w.Close(&st, &sc, 6*second, out.emit) // too few
	w.Close(&st, &sc, 7*second, out.emit)
	assert.Equal(t, told{"4: 3 3 1"}, out)
}

func TestCloseIsForBatchesOnly(t *testing.T) {
	w := window(t, series.WindowSpec{Type: series.Tumbling, Size: 5})
	var st series.WindowState
	var sc series.Scratch
	var out told
	w.Add(&st, &sc, 1, nil, out.emit)
	w.Close(&st, &sc, 9, out.emit)
	assert.Empty(t, out)
}

func TestDueIsTheLastTickThatClosesNothing(t *testing.T) {
	specs := []series.WindowSpec{
		{Type: series.Tumbling, Size: 7, Lateness: 3},
		{Type: series.Hopping, Size: 10, Slide: 3, AlignFirst: true},
		{Type: series.Session, Timeout: 4},
		{Type: series.Session, Timeout: 4, MaxDuration: 6, Lateness: 2},
	}
	for _, spec := range specs {
		w := window(t, spec)
		var st series.WindowState
		var sc series.Scratch
		var out told
		assert.Zero(t, w.Due(&st))
		for _, at := range []int64{11, 14, 16} {
			w.Add(&st, &sc, at, nil, func(int64, int, []float64) {})
		}
		for w.Due(&st) != 0 {
			n := len(out)
			w.Advance(&st, &sc, w.Due(&st), out.emit)
			require.Len(t, out, n, "%v", spec)
			w.Advance(&st, &sc, w.Due(&st)+1, out.emit)
			require.Len(t, out, n+1, "%v", spec)
		}
		assert.NotEmpty(t, out, "%v", spec)
	}
}

func TestWindowSpecsThatAreRefused(t *testing.T) {
	sum := of(series.OpSum)
	tests := []struct {
		spec series.WindowSpec
		want string
	}{
		{series.WindowSpec{Type: "hoping"}, `series: no window type "hoping"; want one of [tumbling hopping sliding session count batch]`},
		{series.WindowSpec{Type: series.Tumbling}, "series: size 0; want 1 to 144115188075855872"},
		{series.WindowSpec{Type: series.Sliding, Size: -1}, "series: size -1; want 1 to 144115188075855872"},
		{series.WindowSpec{Type: series.Hopping, Size: 5}, "series: slide 0; want 1 to 144115188075855872"},
		{series.WindowSpec{Type: series.Session}, "series: timeout 0; want 1 to 144115188075855872"},
		{series.WindowSpec{Type: series.Count}, "series: count 0; want 1 to 144115188075855872"},
		{series.WindowSpec{Type: series.Batch, Lateness: -1}, "series: lateness -1; want 0 to 144115188075855872"},
		{series.WindowSpec{Type: series.Hopping, Size: 10_001, Slide: 1}, "series: 1 ns goes into 10001 ns more than 10000 times"},
		{series.WindowSpec{Type: series.Tumbling, Size: 1, Lateness: 10_001}, "series: 1 ns goes into 10001 ns more than 10000 times"},
		{series.WindowSpec{Type: series.Session, Timeout: 9, MaxDuration: 1, Lateness: 10_001}, "series: 1 ns goes into 10001 ns more than 10000 times"},
		{series.WindowSpec{Type: series.Batch, Fields: 1001}, "series: 0 aggregates of 1001 fields; want at most 1000"},
		{series.WindowSpec{Type: series.Batch, Aggregates: sum}, "series: aggregate 0: sum of field 0; want one of 0 fields"},
		{
			series.WindowSpec{Type: series.Batch, Fields: 1, Aggregates: []series.Aggregate{{Op: series.OpSum, Field: series.Samples}}},
			"series: aggregate 0: sum of field -1; want one of 1 fields",
		},
		{
			series.WindowSpec{Type: series.Batch, Fields: 1, Aggregates: of("mean")},
			`series: aggregate 0: no op "mean"; want one of [count sum avg min max range stddev first last median percentile]`,
		},
		{
			series.WindowSpec{Type: series.Batch, Fields: 1, Aggregates: []series.Aggregate{{Op: series.OpPercentile, Percentile: nan}}},
			"series: aggregate 0: percentile NaN; want 0 to 100",
		},
	}
	for _, tt := range tests {
		_, err := series.NewWindow(tt.spec)
		assert.EqualError(t, err, tt.want)
	}
}

func TestTimesAtTheEdge(t *testing.T) {
	specs := []series.WindowSpec{
		{Type: series.Tumbling, Size: series.MaxSpan, Lateness: series.MaxSpan},
		{Type: series.Hopping, Size: series.MaxSpan, Slide: series.MaxSpan/2 + 1, AlignFirst: true},
		{Type: series.Sliding, Size: series.MaxSpan, Lateness: series.MaxSpan},
		{Type: series.Session, Timeout: series.MaxSpan, MaxDuration: series.MaxSpan, Lateness: series.MaxSpan},
		{Type: series.Count, Count: 2, Lateness: series.MaxSpan},
	}
	times := []int64{math.MinInt64, -series.MaxTime, -1, 0, series.MaxTime, math.MaxInt64}
	for _, spec := range specs {
		w := window(t, spec)
		for _, a := range times {
			for _, b := range times {
				var st, again series.WindowState
				var sc series.Scratch
				var out told
				taken := w.Add(&st, &sc, a, nil, out.emit)
				assert.Equal(t, a >= -series.MaxTime && a <= series.MaxTime, taken)
				w.Add(&st, &sc, b, nil, out.emit)
				assert.NoError(t, w.Load(&again, w.Append(&st, nil)), "%v at %d, %d", spec, a, b)
				w.Advance(&st, &sc, math.MinInt64, out.emit)
				w.Advance(&st, &sc, math.MaxInt64, out.emit)
			}
		}
	}
}

func TestSlidingHoldsNoMoreThanItsBound(t *testing.T) {
	for _, tt := range []struct {
		op   series.Op
		most int
	}{{series.OpSum, series.MaxSliding}, {series.OpMedian, series.MaxKept}} {
		w := window(t, series.WindowSpec{Type: series.Sliding, Size: series.MaxSpan, Lateness: series.MaxSpan, Fields: 1, Aggregates: of(tt.op)})
		var st series.WindowState
		var sc series.Scratch
		var samples int
		var result float64
		emit := func(_ int64, n int, results []float64) { samples, result = n, results[0] }
		v := []float64{1}
		for i := range int64(tt.most) + 5 {
			w.Add(&st, &sc, 100+i, v, emit)
		}
		assert.Equal(t, tt.most, samples)
		assert.EqualValues(t, 5, st.Dropped)
		v[0] = 1e6
		w.Add(&st, &sc, 1, v, emit) // older than all that is held: there is no room for it
		assert.EqualValues(t, 6, st.Dropped)
		w.Add(&st, &sc, 1000, v, emit)
		v[0] = 1
		w.Add(&st, &sc, 1_000_000, v, emit)
		assert.EqualValues(t, 8, st.Dropped)
		assert.Equal(t, tt.most, samples)
		want := 1.0
		if tt.op == series.OpSum {
			want = float64(tt.most) - 1 + 1e6
		}
		assert.InDelta(t, want, result, 0)
	}
}

func TestPercentileIsOfTheNewestValues(t *testing.T) {
	w := window(t, series.WindowSpec{Type: series.Tumbling, Size: 1_000_000, Fields: 1, Aggregates: of(series.OpMedian, series.OpMin)})
	var st, again series.WindowState
	var sc series.Scratch
	var out told
	for i := range int64(15_000) {
		w.Add(&st, &sc, 10+i, []float64{float64(i)}, out.emit)
	}
	w.Add(&st, &sc, 1, []float64{-1}, out.emit)
	assert.EqualValues(t, 5001, st.Dropped)
	require.NoError(t, w.Load(&again, w.Append(&st, nil)))
	w.Advance(&again, &sc, 1_000_001, out.emit)
	assert.Equal(t, told{"0.001: 15001 1e+04 -1"}, out) // the median of 5,000..14,999 is 9999.5
}

func TestValuesOfClosedWindowsAreForgotten(t *testing.T) {
	for _, spec := range []series.WindowSpec{
		{Type: series.Tumbling, Size: 5},
		{Type: series.Hopping, Size: 9, Slide: 4, Lateness: 3},
		{Type: series.Session, Timeout: 1, MaxDuration: 7},
		{Type: series.Count, Count: 5},
	} {
		spec.Fields, spec.Aggregates = 1, of(series.OpMedian)
		w := window(t, spec)
		var st series.WindowState
		var sc series.Scratch
		for i := range int64(2 * series.MaxKept) {
			w.Add(&st, &sc, i, []float64{1}, func(int64, int, []float64) {})
		}
		assert.Zero(t, st.Dropped, "%v", spec.Type)
		assert.Less(t, st.Size(), 1000, "%v", spec.Type)
	}
}

func TestConstantValuesHaveNoDeviation(t *testing.T) {
	for _, spec := range []series.WindowSpec{
		{Type: series.Sliding, Size: 100},
		{Type: series.Hopping, Size: 100, Slide: 30},
		{Type: series.Session, Timeout: 5, Lateness: 50},
		{Type: series.Count, Count: 50},
	} {
		spec.Fields, spec.Aggregates = 1, of(series.OpStdDev)
		w := window(t, spec)
		var st series.WindowState
		var sc series.Scratch
		var told int
		at := int64(1)
		add := func(n int, v float64, check bool) {
			for range n {
				at++
				w.Add(&st, &sc, at, []float64{v}, func(_ int64, _ int, results []float64) {
					if check {
						told++
						assert.Zero(t, results[0], "%v", spec.Type)
					}
				})
			}
			at += 7
		}
		add(300, 1e9/3, false)
		at += 1000
		add(1, 0.1, false)
		add(300, 0.1, true)
		assert.NotZero(t, told, "%v", spec.Type)
	}
}

func TestErrorOfASlidingSumDoesNotGrow(t *testing.T) {
	const size = 1000
	n := 10_000_000
	if testing.Short() {
		n /= 20
	}
	w := window(t, series.WindowSpec{Type: series.Sliding, Size: size, Fields: 1, Aggregates: of(series.OpSum, series.OpStdDev, series.OpMax)})
	var st series.WindowState
	var sc series.Scratch
	var last [3]float64
	emit := func(_ int64, _ int, results []float64) { copy(last[:], results) }
	held, v := make([]float64, size), []float64{0}
	for i := range n {
		v[0] = math.Sin(float64(i)*0.7) + 1e12*float64(i%9973/9972) // now and then a value that swamps the others
		held[i%size] = v[0]
		w.Add(&st, &sc, int64(i), v, emit)
	}
	sum, most := 0.0, math.Inf(-1)
	for _, v := range held {
		sum += v
		most = max(most, v)
	}
	squares := 0.0
	for _, v := range held {
		squares += (v - sum/size) * (v - sum/size)
	}
	assert.InDelta(t, sum, last[0], 1e-9)
	assert.InDelta(t, math.Sqrt(squares/size), last[1], 1e-12)
	assert.InDelta(t, most, last[2], 0)
}

func TestNothingIsAllocatedForASample(t *testing.T) {
	every := append(of(series.Ops...), series.Aggregate{Op: series.OpCount, Field: series.Samples})
	for _, spec := range []series.WindowSpec{
		{Type: series.Tumbling, Size: 100},
		{Type: series.Hopping, Size: 100, Slide: 30, Lateness: 20},
		{Type: series.Sliding, Size: 100, Lateness: 50},
		{Type: series.Session, Timeout: 5, MaxDuration: 50},
		{Type: series.Count, Count: 50},
	} {
		spec.Fields, spec.Aggregates = 1, every
		w := window(t, spec)
		var st series.WindowState
		var sc series.Scratch
		at, v, told := int64(0), []float64{1}, 0
		add := func() {
			at++
			v[0] = float64(at % 17)
			w.Add(&st, &sc, at, v, func(int64, int, []float64) { told++ })
			w.Add(&st, &sc, at-2, v, func(int64, int, []float64) { told++ })
			w.Advance(&st, &sc, at, func(int64, int, []float64) { told++ })
		}
		for range 1000 {
			add()
		}
		assert.Zero(t, testing.AllocsPerRun(1000, add), "%v", spec.Type)
		assert.NotZero(t, told)
	}
}

func TestAnIdleStateIsSmall(t *testing.T) {
	w := window(t, series.WindowSpec{Type: series.Tumbling, Size: 1000, Fields: 1, Aggregates: of(series.OpMedian)})
	var st series.WindowState
	var sc series.Scratch
	empty := st.Size()
	for i := range int64(1000) {
		w.Add(&st, &sc, i, []float64{1}, func(int64, int, []float64) {})
	}
	assert.Greater(t, st.Size(), 1000*16)
	w.Advance(&st, &sc, 2000, func(int64, int, []float64) {})
	assert.Equal(t, empty, st.Size())
	assert.LessOrEqual(t, empty, 160)
}
