package series_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/series"
)

func TestRate(t *testing.T) {
	const no = math.MaxFloat64 // no rate
	tests := []struct {
		name  string
		spec  series.RateSpec
		at    []float64 // seconds
		v     []float64
		want  []float64
		reset uint32
	}{
		{"per second by default", series.RateSpec{}, []float64{0, 2, 3}, []float64{1, 5, 4}, []float64{no, 2, -1}, 0},
		{"per minute", series.RateSpec{Per: 60 * second, Mode: series.PerUnit}, []float64{0, 2}, []float64{1, 2}, []float64{no, 30}, 0},
		{"delta", series.RateSpec{Mode: series.Delta}, []float64{0, 2, 9}, []float64{1, 5, 4}, []float64{no, 4, -1}, 0},
		{"percent", series.RateSpec{Mode: series.Percent}, []float64{0, 1, 2, 3}, []float64{-4, -2, 0, 1}, []float64{no, 50, 100, no}, 0},
		{"equal times and older ones", series.RateSpec{}, []float64{0, 0, -1, 1}, []float64{1, 5, 9, 2}, []float64{no, no, no, 1}, 0},
		{"not finite", series.RateSpec{}, []float64{0, 1, 2, 2}, []float64{1, nan, math.Inf(1), 5}, []float64{no, no, no, 2}, 0},
		{"beyond the numbers", series.RateSpec{}, []float64{0, 1, 2}, []float64{-1e308, 1e308, 1e308}, []float64{no, no, 0}, 0},
		{"a counter", series.RateSpec{NonNegative: true}, []float64{0, 1, 2, 3}, []float64{5, 7, 1, 4}, []float64{no, 2, no, 3}, 1},
		{
			"over a window",
			series.RateSpec{Window: 3 * second},
			[]float64{0, 1, 3, 4, 9, 12},
			[]float64{0, 10, 30, 70, 9, 12},
			[]float64{no, 10, 10, 20, no, 1},
			0,
		},
		{"delta of a window", series.RateSpec{Window: 3 * second, Mode: series.Delta}, []float64{0, 1, 4}, []float64{1, 2, 4}, []float64{no, 1, 2}, 0},
		{
			"a counter over a window",
			series.RateSpec{Window: 9 * second, Mode: series.Delta, NonNegative: true},
			[]float64{0, 1, 2, 3},
			[]float64{5, 8, 1, 4},
			[]float64{no, 3, no, 3},
			1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var st series.RateState
			for i, at := range tt.at {
				got, ok := tt.spec.Add(&st, int64(at*float64(second)), tt.v[i])
				require.Equal(t, tt.want[i] != no, ok, "at %v", at)
				if ok {
					assert.InDelta(t, tt.want[i], got, 1e-12, "at %v", at)
				}
				st = reload(t, &tt.spec, &st)
			}
			assert.Equal(t, tt.reset, st.Resets)
		})
	}
}

// codec is how every state is written and read.
type codec[S any] interface {
	Append(st *S, b []byte) []byte
	Load(st *S, text []byte) error
}

func reload[S any](t *testing.T, spec codec[S], st *S) S {
	t.Helper()
	var again S
	text := spec.Append(st, nil)
	require.NoError(t, spec.Load(&again, text), "%s", text)
	require.Equal(t, string(text), string(spec.Append(&again, nil)))
	return again
}

func TestARateForgetsTheOldestOfTooManyValues(t *testing.T) {
	spec := series.RateSpec{Window: math.MaxInt64, Mode: series.Delta}
	var st series.RateState
	var got float64
	for i := range series.MaxRatePairs + 7 {
		got, _ = spec.Add(&st, int64(i), float64(i))
	}
	assert.InDelta(t, series.MaxRatePairs-1, got, 0)
	assert.EqualValues(t, 7, st.Dropped)
	st = reload(t, &spec, &st)
	got, _ = spec.Add(&st, series.MaxRatePairs+7, 0)
	assert.InDelta(t, -8, got, 0)
}

func TestRateOverAWindowIsWhatItsDefinitionSays(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 4))
		spec := series.RateSpec{Window: 1 + r.Int64N(40), Mode: series.Delta}
		var st series.RateState
		var held []sample
		at := int64(0)
		for range 100 {
			at += 1 + r.Int64N(9)
			v := float64(r.IntN(100))
			got, ok := spec.Add(&st, at, v)
			want, known := 0.0, false
			for _, h := range held {
				if h.at >= at-spec.Window {
					want, known = v-h.values[0], true
					break
				}
			}
			require.Equal(t, known, ok)
			require.InDelta(t, want, got, 0)
			held = append(held, sample{at, []float64{v}})
			if r.IntN(5) == 0 {
				st = reload(t, &spec, &st)
			}
		}
	}
}

func TestUnchanged(t *testing.T) {
	num, text := series.Number, func(s string) series.Value { return series.Scalar([]byte(s)) }
	spec := series.UnchangedSpec{For: 10, Tolerance: 0.5}
	tests := []struct {
		name string
		at   []int64
		v    []series.Value
		due  int64
	}{
		{"nothing yet", nil, nil, 0},
		{"one value", []int64{5}, []series.Value{num(1)}, 15},
		{"within the tolerance of the first", []int64{5, 6, 7}, []series.Value{num(1), num(1.5), num(0.5)}, 15},
		{"creeping", []int64{5, 6, 7}, []series.Value{num(1), num(1.4), num(1.8)}, 17},
		{"no value changes nothing", []int64{5, 6, 7, 8}, []series.Value{num(1), num(nan), {}, series.Scalar(nil)}, 15},
		{"a late value changes nothing", []int64{5, 8, 7}, []series.Value{num(1), num(1), num(9)}, 15},
		{"minus zero is zero", []int64{5, 6}, []series.Value{num(0), num(math.Copysign(0, -1))}, 15},
		{"far numbers", []int64{5, 6}, []series.Value{num(math.MaxFloat64), num(-math.MaxFloat64)}, 16},
		{"equal texts", []int64{5, 6}, []series.Value{text(`"on"`), text(`"on"`)}, 15},
		{"other texts", []int64{5, 6, 7}, []series.Value{text(`"on"`), text(`"no"`), text(`true`)}, 17},
		{"a number and a text", []int64{5, 6}, []series.Value{num(1), text(`"1"`)}, 16},
		{"the end of time", []int64{math.MaxInt64 - 1}, []series.Value{num(1)}, math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var st series.UnchangedState
			for i, at := range tt.at {
				spec.Add(&st, at, tt.v[i])
				st = reload(t, &spec, &st)
			}
			assert.Equal(t, tt.due, spec.Due(&st))
			assert.False(t, spec.Stuck(&st, tt.due-1))
			if tt.due != math.MaxInt64 {
				assert.Equal(t, tt.due != 0, spec.Stuck(&st, tt.due))
			}
		})
	}
}

func TestRepeat(t *testing.T) {
	type verdict struct {
		at      int64
		isTrue  bool
		reached bool
	}
	tests := []struct {
		name string
		spec series.RepeatSpec
		in   []verdict
	}{
		{
			"in a row",
			series.RepeatSpec{Count: 2, Consecutive: true},
			[]verdict{{1, true, false}, {2, false, false}, {3, true, false}, {9, true, true}, {10, true, true}, {11, false, false}},
		},
		{"at once", series.RepeatSpec{Count: 1, Consecutive: true}, []verdict{{1, false, false}, {2, true, true}}},
		{
			"equal times count once",
			series.RepeatSpec{Count: 2, Consecutive: true},
			[]verdict{{1, true, false}, {1, true, false}, {1, false, false}, {2, true, true}, {1, false, true}},
		},
		{
			"in a row within",
			series.RepeatSpec{Count: 2, Within: 5, Consecutive: true},
			[]verdict{{1, true, false}, {6, true, false}, {10, true, true}, {11, false, false}, {12, true, false}, {13, true, true}},
		},
		{
			"within",
			series.RepeatSpec{Count: 3, Within: 10},
			[]verdict{{1, true, false}, {2, false, false}, {3, true, false}, {10, true, true}, {11, false, false}, {12, true, true}, {20, false, false}},
		},
		{
			"within, out of order",
			series.RepeatSpec{Count: 3, Within: 10},
			[]verdict{{10, true, false}, {8, true, false}, {8, true, false}, {9, false, false}, {0, true, false}, {9, true, true}, {7, true, true}, {17, false, true}, {18, false, false}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var st series.RepeatState
			for _, v := range tt.in {
				assert.Equal(t, v.reached, tt.spec.Add(&st, v.at, v.isTrue), "at %d", v.at)
				st = reload(t, &tt.spec, &st)
			}
		})
	}
}

func TestRepeatIsWhatItsDefinitionSays(t *testing.T) {
	reached := 0
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 5))
		spec := series.RepeatSpec{Count: 1 + r.IntN(6), Within: 1 + r.Int64N(30), Consecutive: r.IntN(2) == 0}
		var st series.RepeatState
		var trues []int64
		at := int64(0)
		for range 100 {
			at += 1 + r.Int64N(6)
			isTrue := r.IntN(4) > 0
			switch {
			case isTrue:
				trues = append(trues, at)
			case spec.Consecutive:
				trues = nil
			}
			n := 0
			for _, was := range trues {
				if was > at-spec.Within {
					n++
				}
			}
			require.Equal(t, n >= spec.Count, spec.Add(&st, at, isTrue), "%+v at %d seed %d", spec, at, seed)
			if n >= spec.Count {
				reached++
			}
			if r.IntN(5) == 0 {
				st = reload(t, &spec, &st)
			}
		}
	}
	assert.Greater(t, reached, 1000)
}

func TestDuplicates(t *testing.T) {
	type seen struct {
		at, v            int64
		duplicate, first bool
	}
	tests := []struct {
		name   string
		window int64
		in     []seen
	}{
		{"passes 0, 6, 8, 9 and alerts at 1 and 6", 5, []seen{
			{0, 5, false, false},
			{1, 5, true, true},
			{2, 5, true, false},
			{6, 5, false, true},
			{7, 5, true, false},
			{8, 6, false, false},
			{9, 5, false, false},
		}},
		{"the end is in", 5, []seen{{0, 5, false, false}, {5, 5, true, true}, {6, 5, false, true}, {11, 5, true, false}, {12, 5, false, true}}},
		{"a late value is neither", 5, []seen{{3, 5, false, false}, {2, 5, false, false}, {2, 6, false, false}, {3, 5, true, true}}},
		{"equal values only in a row", 5, []seen{{0, 5, false, false}, {1, 6, false, false}, {2, 5, false, false}, {3, 5, true, true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := series.DuplicatesSpec{Window: tt.window}
			for _, value := range []func(v int64) series.Value{
				func(v int64) series.Value { return series.Number(float64(v)) },
				func(v int64) series.Value { return series.Scalar(fmt.Appendf(nil, `"%d"`, v)) },
			} {
				var st series.DuplicatesState
				for _, p := range tt.in {
					duplicate, first := spec.Add(&st, p.at, value(p.v))
					assert.Equal(t, p.duplicate, duplicate, "duplicate at %d", p.at)
					assert.Equal(t, p.first, first, "first at %d", p.at)
					duplicate, first = spec.Add(&st, p.at, series.Value{})
					assert.False(t, duplicate || first)
					st = reload(t, &spec, &st)
				}
			}
		})
	}
}

func TestMinusZeroIsADuplicateOfZero(t *testing.T) {
	spec := series.DuplicatesSpec{Window: 5}
	var st series.DuplicatesState
	spec.Add(&st, 0, series.Number(0))
	duplicate, first := spec.Add(&st, 1, series.Number(math.Copysign(0, -1)))
	assert.True(t, duplicate && first)
}

func TestTimesAtTheEndsOfTime(t *testing.T) {
	rate := series.RateSpec{Mode: series.Delta, Window: 1}
	var rated series.RateState
	rate.Add(&rated, math.MinInt64, 1)
	_, ok := rate.Add(&rated, math.MaxInt64, 2)
	assert.False(t, ok)

	still := series.UnchangedSpec{For: 10}
	var stood series.UnchangedState
	still.Add(&stood, math.MinInt64, series.Number(1))
	assert.True(t, still.Stuck(&stood, math.MaxInt64))

	often := series.RepeatSpec{Count: 2, Within: 10}
	var repeated series.RepeatState
	often.Add(&repeated, math.MinInt64, true)
	assert.False(t, often.Add(&repeated, math.MaxInt64, true))

	twice := series.DuplicatesSpec{Window: 10}
	var doubled series.DuplicatesState
	twice.Add(&doubled, math.MaxInt64-1, series.Number(1))
	duplicate, _ := twice.Add(&doubled, math.MaxInt64, series.Number(1))
	assert.True(t, duplicate)
}

func TestNumbersAllocateNothing(t *testing.T) {
	rates := []series.RateSpec{{NonNegative: true}, {Window: 50}}
	repeats := []series.RepeatSpec{{Count: 5, Consecutive: true}, {Count: 5, Within: 50}}
	still, twice := series.UnchangedSpec{For: 9}, series.DuplicatesSpec{Window: 9}
	var rated [2]series.RateState
	var repeated [2]series.RepeatState
	var stood series.UnchangedState
	var doubled series.DuplicatesState
	at, text := int64(0), []byte(`"open"`)
	add := func() {
		at++
		for i := range 2 {
			rates[i].Add(&rated[i], at, float64(at%7))
			repeats[i].Add(&repeated[i], at, at%3 > 0)
		}
		still.Add(&stood, at, series.Number(float64(at%2)))
		twice.Add(&doubled, at, series.Scalar(text))
	}
	for range 1000 {
		add()
	}
	assert.Zero(t, testing.AllocsPerRun(1000, add))
	assert.LessOrEqual(t, rated[0].Size(), 48)
	assert.LessOrEqual(t, repeated[0].Size(), 24)
	assert.LessOrEqual(t, stood.Size(), 32)
	assert.LessOrEqual(t, doubled.Size(), 40)
	assert.Greater(t, rated[1].Size(), 50*16)
	assert.Greater(t, repeated[1].Size(), 5*8)
}
