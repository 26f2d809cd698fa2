package benchmarks

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	hotSample = `{"temperature":31.2}`

	// tenFields is a sample of ten fields and 190 bytes.
	tenFields = `{"id":"machine-17","temperature":31.25,"humidity":55.5,"status":"active","pressure":1013.25,` +
		`"motor":{"rpm":1480,"load":0.7},"zone":"B","battery":87.1,"ok":true,"at":"2026-11-22T10:00:00.5Z"}`

	tooHot = `{">":[{"var":"temperature"},30]}`
)

// question is one decision in the words of each engine.
type question struct{ logic, expr, cel string }

// alike is a question that expr and cel write alike.
func alike(logic, code string) question { return question{logic, code, code} }

var (
	overheats = alike(tooHot, `temperature > 30.0`)

	fiveComparisons = alike(
		`{"and":[{">":[{"var":"temperature"},30]},{"<":[{"var":"humidity"},80]},{"==":[{"var":"status"},"active"]},`+
			`{"or":[{">=":[{"var":"motor.rpm"},1500]},{"in":[{"var":"zone"},["A","B","C"]]}]}]}`,
		`temperature > 30.0 && humidity < 80.0 && status == "active" && (motor.rpm >= 1500.0 || zone in ["A", "B", "C"])`,
	)

	// bigOrder adds up what filter and map leave of 50 items. cel has no sum or
	// reduce: its sum is a function in Go, which its users give it for such cases.
	bigOrder = question{
		logic: `{">":[{"reduce":[{"map":[{"filter":[{"var":"items"},{">":[{"var":"qty"},10]}]},{"*":[{"var":"qty"},{"var":"price"}]}]},` +
			`{"+":[{"var":"accumulator"},{"var":"current"}]},0]},500]}`,
		expr: `sum(map(filter(items, .qty > 10.0), .qty * .price)) > 500.0`,
		cel:  `items.map(i, i.qty > 10.0, i.qty * i.price).sum() > 500.0`,
	}
)

// BenchmarkOverheating judges one comparison over samples of one field.
func BenchmarkOverheating(b *testing.B) {
	compare(b, overheats, hotSamples(b), fixedWays)
}

// BenchmarkFiveComparisons judges five comparisons under and/or, one of them of
// a nested field and one an in, over samples of ten fields: of one machine, and
// of a fleet, whose samples are less alike.
func BenchmarkFiveComparisons(b *testing.B) {
	compare(b, fiveComparisons, machineSamples(b, alone()), fixedWays)
	compare(b, fiveComparisons, machineSamples(b, fleet()), fleetWays)
}

// BenchmarkPipeline judges the sum of a map of a filter over samples with a list
// of 50 objects, 1.3 kB.
func BenchmarkPipeline(b *testing.B) { compare(b, bigOrder, orderSamples(b), ways) }

// way is how an engine gets from a sample to the decision.
type way struct {
	name    string // the engine, and what it starts from
	prepare func(b *testing.B, q question, samples []sample) func(i int) bool
}

// ways are those of every question. From bytes means from the sample's text to
// the decision; from values, that encoding/json has decoded the sample before:
// there tocsin is its plain evaluator. From slots is the machine without its
// scan; learnt, with what it learns from the samples before.
var ways = []way{
	{"tocsin/from=bytes", machineWay(false)},
	{"tocsin/from=bytes/learnt", machineWay(true)},
	{"tocsin/from=slots", slotsWay},
	{"tocsin/from=values", valuesWay(plainCondition)},
	{"jsonlogic/from=bytes", bytesWay(jsonlogicCondition)},
	{"jsonlogic/from=bytes/raw", rawWay},
	{"jsonlogic/from=values", valuesWay(jsonlogicCondition)},
	{"expr/from=bytes", bytesWay(exprCondition)},
	{"expr/from=values", valuesWay(exprCondition)},
	{"cel/from=bytes", bytesWay(celCondition)},
	{"cel/from=values", valuesWay(celCondition)},
}

// fixedWays are for feeds whose fields are known when the program is written.
var fixedWays = slices.Concat(ways, []way{{"expr/from=bytes/struct", structWay}})

// fleetWays are those to which it matters how alike samples are.
var fleetWays = []way{
	{"tocsin/from=bytes/fleet", machineWay(false)},
	{"tocsin/from=bytes/learnt/fleet", machineWay(true)},
}

// compare measures each way over the same samples, after a check that it comes
// to the same decision on each of them.
func compare(b *testing.B, q question, samples []sample, ways []way) {
	want := decisions(b, q, samples)
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			holds := w.prepare(b, q, samples)
			for i := range samples {
				require.Equal(b, want[i], holds(i), "%s", samples[i].text)
			}
			defer measured(b)()
			for i := 0; b.Loop(); i++ {
				holds(i % ringSize)
			}
		})
	}
}

// decisions are those of the plain evaluator; about half are true.
func decisions(b *testing.B, q question, samples []sample) []bool {
	holds := plainCondition(b, q)
	out, truths := make([]bool, len(samples)), 0
	for i := range samples {
		if out[i] = holds(samples[i].values); out[i] {
			truths++
		}
	}
	require.InDelta(b, len(samples)/2, truths, float64(len(samples))/8)
	return out
}
