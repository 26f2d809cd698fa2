package series_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/series"
)

func TestStatesThatAreRefused(t *testing.T) {
	rate, still := &series.RateSpec{Window: 10}, &series.UnchangedSpec{}
	often, twice := &series.RepeatSpec{Count: 2, Within: 10}, &series.DuplicatesSpec{}
	tests := []struct {
		name string
		load func(text []byte) error
		text string
		want string
	}{
		{"nothing", loading[series.RateState](rate), ``, "series: the state ends too early"},
		{"no list", loading[series.RateState](rate), `{}`, `series: want '[', got '{'`},
		{"short", loading[series.RateState](rate), `[1,2`, "series: the state ends too early"},
		{"a comma too many", loading[series.RateState](rate), `[1,]`, "series: the state ends too early"},
		{"long", loading[series.UnchangedState](still), `[1,2,0,3,4]`, `series: want ']', got ','`},
		{"more than a state", loading[series.UnchangedState](still), `[1,2,0,3] 4`, `series: want nothing after the state, got "4"`},
		{"more than no state", loading[series.UnchangedState](still), `[] 4`, `series: want nothing after the state, got "4"`},
		{"a fraction", loading[series.UnchangedState](still), `[1.5,2,0,3]`, `series: want a whole number, got "1.5"`},
		{"no number", loading[series.UnchangedState](still), `[1,2,0,"x"]`, `series: want a number, got "\"x\""`},
		{"a missing value", loading[series.UnchangedState](still), `[1,2,0,null]`, "series: want a finite number"},
		{"out of bounds", loading[series.DuplicatesState](twice), `[1,2,3,0,4]`, "series: want 0 to 1, got 3"},
		{"too many times", loading[series.RepeatState](often), `[99,0,5,4,3]`, "series: want at most 2 times"},
		{"times out of order", loading[series.RepeatState](often), `[99,0,5,6]`, "series: want 0 to 4, got 6"},
		{"a time that is not within", loading[series.RepeatState](often), `[99,0,10]`, "series: want 0 to 9, got 10"},
		{"a value before the window", loading[series.RateState](rate), `[99,1,0,0,11,1]`, "series: want 1 to 10, got 11"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { assert.EqualError(t, tt.load([]byte(tt.text)), tt.want) })
	}
}

func loading[S any](spec codec[S]) func(text []byte) error {
	return func(text []byte) error { return spec.Load(new(S), text) }
}

func TestStatesOfOtherWindowsAreRefused(t *testing.T) {
	sum := of(series.OpSum)
	specs := map[string]series.WindowSpec{
		"tumbling": {Type: series.Tumbling, Size: 10},
		"first":    {Type: series.Tumbling, Size: 10, AlignFirst: true},
		"sliding":  {Type: series.Sliding, Size: 10},
		"session":  {Type: series.Session, Timeout: 10},
		"count":    {Type: series.Count, Count: 2},
		"batch":    {Type: series.Batch},
	}
	tests := []struct{ window, text string }{
		{"tumbling", `[0,0,0,1,3,1,1,0,1]`},                   // no start of a pane
		{"tumbling", `[0,0,0,1,-10,1,1,0,1]`},                 // closed
		{"tumbling", `[0,0,0,2,0,1,1,0,1,0,1,1,0,1]`},         // twice
		{"tumbling", `[0,0,0,1,0,0,1,0,1]`},                   // without samples
		{"tumbling", `[0,0,0,2,10,1,1,0,1,-10,1,1,0,1]`},      // out of order
		{"tumbling", `[0,0,0,1,9223372036854775800,1,1,0,1]`}, // out of range
		{"tumbling", `[0,0,0,0,1]`},                           // values are not kept
		{"first", `[5,0,0,1,-5,1,1,0,1]`},                     // before the first
		{"first", `[5,9223372036854775800,0,0]`},
		{"sliding", `[0,0,0,0,0]`},                            // without samples
		{"sliding", `[9,0,0,1,0,-9,1]`},                       // the newest is elsewhere
		{"sliding", `[9,0,0,2,0,-10,1,10,1]`},                 // too old
		{"sliding", `[9,0,0,1,2,0,1]`},                        // more front than samples
		{"sliding", `[9,0,0,1,0,0,"+Inf"]`},                   // no value
		{"session", `[50,0,0,1,-20,1,5,1,0,1]`},               // closed
		{"session", `[50,0,0,2,-20,1,15,1,0,1,10,1,9,1,0,1]`}, // overlap
		{"session", `[50,0,0,1,-5,1,-1,1,0,1]`},
		{"count", `[0,0,0,1,0,2,1,0,2]`},           // full
		{"count", `[0,0,0,2,0,1,1,0,1,0,1,1,0,1]`}, // two
		{"batch", `[0,0,0,2,0,1,1,0,1,0,1,1,0,1]`},
		{"batch", `[0,0,0,99999999999]`},
		{"batch", `[0,0,0,2000000000]`},
		{"batch", `[0,0,-1,0]`},
	}
	for _, tt := range tests {
		spec := specs[tt.window]
		spec.Fields, spec.Aggregates = 1, sum
		w := window(t, spec)
		var st series.WindowState
		assert.Error(t, w.Load(&st, []byte(tt.text)), "%s %s", tt.window, tt.text)
		assert.Zero(t, st)
	}
}

func TestSpaceInAStateIsNothing(t *testing.T) {
	spec := series.UnchangedSpec{For: 5}
	var st series.UnchangedState
	require.NoError(t, spec.Load(&st, []byte(" [ 1 , 2 ,\n0\t, 1e3 ] \n")))
	assert.Equal(t, "[1,2,0,1000]", string(spec.Append(&st, nil)))
	require.NoError(t, spec.Load(&st, []byte(" [ ] ")))
	assert.Equal(t, "x[]", string(spec.Append(&st, []byte("x"))))
}

func TestSumsBeyondTheNumbersAreWritten(t *testing.T) {
	w := window(t, series.WindowSpec{Type: series.Batch, Fields: 1, Aggregates: of(series.OpSum, series.OpStdDev)})
	var st series.WindowState
	var sc series.Scratch
	for i, v := range []float64{-1e308, -1e308, -1e308} {
		w.Add(&st, &sc, int64(i), []float64{v}, nil)
	}
	text := w.Append(&st, nil)
	assert.Contains(t, string(text), `"-Inf"`)
	var again series.WindowState
	require.NoError(t, w.Load(&again, text))
	var out told
	w.Close(&again, &sc, 9, out.emit)
	assert.Equal(t, told{"9e-09: 3 NaN 0"}, out)
}

// fuzzed are windows of every type, with everything that can be remembered.
func fuzzed(t testing.TB) []*series.Window {
	var out []*series.Window
	for _, spec := range []series.WindowSpec{
		{Type: series.Tumbling, Size: 10, Lateness: 5},
		{Type: series.Hopping, Size: 10, Slide: 4, AlignFirst: true},
		{Type: series.Hopping, Size: 4, Slide: 10},
		{Type: series.Sliding, Size: 10, Lateness: 5},
		{Type: series.Session, Timeout: 5, Lateness: 20},
		{Type: series.Session, Timeout: 5, MaxDuration: 9},
		{Type: series.Count, Count: 9},
		{Type: series.Batch},
	} {
		spec.Fields, spec.Aggregates = 2, append(of(series.Ops...), series.Aggregate{Op: series.OpMedian, Field: 1})
		out = append(out, window(t, spec))
	}
	return out
}

// FuzzLoadWindow reads a state that anybody wrote and lets it go on: nothing
// panics, and what is read is written as it was.
func FuzzLoadWindow(f *testing.F) {
	var sc series.Scratch
	discard := func(int64, int, []float64) {}
	for i, w := range fuzzed(f) {
		var st series.WindowState
		f.Add(uint8(i), w.Append(&st, nil))
		for at := range int64(7) {
			w.Add(&st, &sc, 7*at%11, []float64{float64(at), nan}, discard)
		}
		f.Add(uint8(i), w.Append(&st, nil))
	}
	f.Fuzz(func(t *testing.T, which uint8, text []byte) {
		windows := fuzzed(t)
		w := windows[int(which)%len(windows)]
		var st, again series.WindowState
		if w.Load(&st, text) != nil {
			assert.Zero(t, st)
			return
		}
		assert.LessOrEqual(t, st.Size(), 10_000+500*len(text))
		written := w.Append(&st, nil)
		require.NoError(t, w.Load(&again, written))
		require.Equal(t, string(written), string(w.Append(&again, nil)))
		due := w.Due(&st)
		for _, at := range []int64{due, due - 3, due + 7, 0, math.MaxInt64} {
			w.Add(&st, &sc, at, []float64{1, 2}, discard)
			w.Advance(&st, &sc, at, discard)
		}
		w.Close(&st, &sc, 0, discard)
	})
}

// FuzzLoadNumbers does the same for all that are no windows.
func FuzzLoadNumbers(f *testing.F) {
	for _, text := range []string{"[]", "[1,2,0,3]", "[99,1,0,0,5,1,3,2]", "[99,0,5,4]", "[99,98,1,0,7]", "[1,2,3,4,5]"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var rated series.RateState
		if rate := (&series.RateSpec{Window: 10, NonNegative: true}); goesOn(t, rate, &rated, text) {
			rate.Add(&rated, 50, 1)
		}
		var stood series.UnchangedState
		if still := (&series.UnchangedSpec{For: 10}); goesOn(t, still, &stood, text) {
			still.Add(&stood, 50, series.Number(1))
			still.Stuck(&stood, 50)
		}
		var repeated series.RepeatState
		if often := (&series.RepeatSpec{Count: 3, Within: 10}); goesOn(t, often, &repeated, text) {
			often.Add(&repeated, 50, true)
		}
		var doubled series.DuplicatesState
		if twice := (&series.DuplicatesSpec{Window: 10}); goesOn(t, twice, &doubled, text) {
			twice.Add(&doubled, 50, series.Number(1))
		}
	})
}

func goesOn[S any](t *testing.T, spec codec[S], st *S, text []byte) bool {
	if spec.Load(st, text) != nil {
		assert.Zero(t, *st)
		return false
	}
	written := spec.Append(st, nil)
	var again S
	require.NoError(t, spec.Load(&again, written))
	require.True(t, bytes.Equal(written, spec.Append(&again, nil)))
	return true
}
