package series_test

import (
	"testing"

	"tocsin.internal/rules/series"
)

func BenchmarkNumbers(b *testing.B) {
	rate, windowed := series.RateSpec{}, series.RateSpec{Window: 60 * second}
	still, twice := series.UnchangedSpec{For: 60 * second}, series.DuplicatesSpec{Window: 5 * second}
	often := series.RepeatSpec{Count: 10, Within: 60 * second}
	var rated, over series.RateState
	var stood series.UnchangedState
	var doubled series.DuplicatesState
	var repeated series.RepeatState
	for _, bench := range []struct {
		name string
		add  func(at int64, v float64)
		size func() int
	}{
		{"rate", func(at int64, v float64) { rate.Add(&rated, at, v) }, rated.Size},
		{"rate/window=60", func(at int64, v float64) { windowed.Add(&over, at, v) }, over.Size},
		{"unchanged", func(at int64, v float64) { still.Add(&stood, at, series.Number(v)) }, stood.Size},
		{"duplicates", func(at int64, v float64) { twice.Add(&doubled, at, series.Number(v)) }, doubled.Size},
		{"repeat/within=60", func(at int64, v float64) { often.Add(&repeated, at, v > 2) }, repeated.Size},
	} {
		b.Run(bench.name, func(b *testing.B) {
			at := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				at += second
				bench.add(at, float64(at/second%7))
			}
			b.ReportMetric(float64(bench.size()), "B/twin")
		})
	}
}

var benchWindows = []struct {
	name string
	spec series.WindowSpec
	ops  []series.Op
}{
	{"tumbling=60/avg", series.WindowSpec{Type: series.Tumbling, Size: 60 * second}, []series.Op{series.OpAvg}},
	{"tumbling=60/all", series.WindowSpec{Type: series.Tumbling, Size: 60 * second}, series.Ops},
	{"hopping=60,5/avg", series.WindowSpec{Type: series.Hopping, Size: 60 * second, Slide: 5 * second}, []series.Op{series.OpAvg}},
	{"hopping=3600,10/avg", series.WindowSpec{Type: series.Hopping, Size: 3600 * second, Slide: 10 * second}, []series.Op{series.OpAvg}},
	{"hopping=10000,1/avg", series.WindowSpec{Type: series.Hopping, Size: 10_000 * second, Slide: second}, []series.Op{series.OpAvg}},
	{"hopping=3600,60/p50", series.WindowSpec{Type: series.Hopping, Size: 3600 * second, Slide: 60 * second}, []series.Op{series.OpMedian}},
	{"sliding=60/avg", series.WindowSpec{Type: series.Sliding, Size: 60 * second}, []series.Op{series.OpAvg}},
	{"sliding=60/all", series.WindowSpec{Type: series.Sliding, Size: 60 * second}, series.Ops},
	{"sliding=100000/max", series.WindowSpec{Type: series.Sliding, Size: 100_000 * second}, []series.Op{series.OpMax}},
	{"sliding=10000/p50", series.WindowSpec{Type: series.Sliding, Size: 10_000 * second}, []series.Op{series.OpMedian}},
	{"session=30,60/avg", series.WindowSpec{Type: series.Session, Timeout: 30 * second, MaxDuration: 60 * second}, []series.Op{series.OpAvg}},
	{"count=60/avg", series.WindowSpec{Type: series.Count, Count: 60}, []series.Op{series.OpAvg}},
}

// filled is a state that has seen as many samples as any of the windows holds.
func filled(b *testing.B, spec series.WindowSpec, ops []series.Op) (*series.Window, *series.WindowState, int64) {
	spec.Fields, spec.Aggregates = 1, of(ops...)
	for i := range spec.Aggregates {
		spec.Aggregates[i].Percentile = 95
	}
	w, st, at := window(b, spec), new(series.WindowState), int64(0)
	var sc series.Scratch
	n := 130
	if spec.Size > 60*second {
		n = int(spec.Size/second) + 100
	}
	for range n {
		at += second
		w.Add(st, &sc, at, []float64{float64(at / second % 101)}, func(int64, int, []float64) {})
	}
	return w, st, at
}

func BenchmarkWindows(b *testing.B) {
	for _, bench := range benchWindows {
		b.Run(bench.name, func(b *testing.B) {
			w, st, at := filled(b, bench.spec, bench.ops)
			var sc series.Scratch
			v := []float64{0}
			b.ReportAllocs()
			for b.Loop() {
				at += second
				v[0] = float64(at / second % 101)
				w.Add(st, &sc, at, v, func(int64, int, []float64) {})
			}
			b.ReportMetric(float64(st.Size()), "B/twin")
		})
	}
}

// BenchmarkTick is a tick that closes nothing.
func BenchmarkTick(b *testing.B) {
	w, st, at := filled(b, benchWindows[2].spec, benchWindows[2].ops)
	var sc series.Scratch
	b.ReportAllocs()
	for b.Loop() {
		w.Advance(st, &sc, at, func(int64, int, []float64) {})
	}
}

func BenchmarkSnapshot(b *testing.B) {
	w, st, _ := filled(b, benchWindows[2].spec, benchWindows[2].ops)
	text := w.Append(st, nil)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			text = w.Append(st, text[:0])
		}
		b.ReportMetric(float64(len(text)), "B/state")
	})
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		var again series.WindowState
		for b.Loop() {
			if err := w.Load(&again, text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
