package series

import (
	"fmt"
	"math"
	"slices"
)

// Op is what an aggregate tells of the values of a window.
type Op string

// The aggregates. Without values only count says something: 0.
const (
	OpCount      Op = "count"
	OpSum        Op = "sum" // compensated
	OpAvg        Op = "avg"
	OpMin        Op = "min"
	OpMax        Op = "max"
	OpRange      Op = "range"  // max less min
	OpStdDev     Op = "stddev" // of the population
	OpFirst      Op = "first"  // by time; of one time the first that came
	OpLast       Op = "last"   // by time; of one time the last that came
	OpMedian     Op = "median" // the percentile 50
	OpPercentile Op = "percentile"
)

// Ops are all aggregates.
var Ops = []Op{OpCount, OpSum, OpAvg, OpMin, OpMax, OpRange, OpStdDev, OpFirst, OpLast, OpMedian, OpPercentile}

// Samples in place of a field lets OpCount count samples rather than values.
const Samples = -1

// Aggregate is an operation over the values of one field.
type Aggregate struct {
	Op    Op
	Field int // index of the field, or Samples
	// Percentile is 0 to 100. Between two values it is linear: that of n sorted
	// values is at the place Percentile/100*(n-1), counted from 0.
	Percentile float64
}

func (a Aggregate) check(fields int) error {
	switch {
	case !slices.Contains(Ops, a.Op):
		return fmt.Errorf("no op %q; want one of %v", a.Op, Ops)
	case a.Field >= fields || a.Field < 0 && (a.Op != OpCount || a.Field != Samples):
		return fmt.Errorf("%s of field %d; want one of %d fields", a.Op, a.Field, fields)
	case a.Op == OpPercentile && !(a.Percentile >= 0 && a.Percentile <= 100):
		return fmt.Errorf("percentile %v; want 0 to 100", a.Percentile)
	}
	return nil
}

// columnKind is something that is remembered of the values of a field such that
// that of two sets of values follows from that of each.
type columnKind uint8

const (
	countColumn   columnKind = iota // how many
	sumColumn                       // sum, compensation
	momentsColumn                   // how many, mean, sum of squared deviations
	minColumn
	maxColumn
	firstColumn // time, value
	lastColumn  // time, value
)

var columnWidths = [...]int{countColumn: 1, sumColumn: 2, momentsColumn: 3, minColumn: 1, maxColumn: 1, firstColumn: 2, lastColumn: 2}

// column is a columnKind of one field and where its words are.
type column struct {
	kind  columnKind
	field int
	at    int
}

// output is how the result of an aggregate is worked out.
type output struct {
	op         Op
	a, b       int // where the columns are; for a percentile a is the kept field
	percentile float64
}

// plan is what aggregates need to have remembered.
type plan struct {
	fields  []int // fields of a sample that are read at all
	columns []column
	words   int   // of all columns
	kept    []int // indexes in fields: those whose values are needed one by one
	outputs []output
}

func newPlan(aggregates []Aggregate) plan {
	var p plan
	for _, a := range aggregates {
		p.outputs = append(p.outputs, p.output(a))
	}
	return p
}

func (p *plan) output(a Aggregate) output {
	o := output{op: a.Op, percentile: a.Percentile}
	if a.Field == Samples {
		o.a = Samples
		return o
	}
	field := index(&p.fields, a.Field)
	switch a.Op {
	case OpCount:
		o.a = p.column(countColumn, field)
	case OpSum, OpAvg:
		o.a, o.b = p.column(sumColumn, field), p.column(countColumn, field)
	case OpMin:
		o.a = p.column(minColumn, field)
	case OpMax:
		o.a = p.column(maxColumn, field)
	case OpRange:
		o.a, o.b = p.column(minColumn, field), p.column(maxColumn, field)
	case OpStdDev:
		o.a = p.column(momentsColumn, field)
	case OpFirst:
		o.a = p.column(firstColumn, field) + 1
	case OpLast:
		o.a = p.column(lastColumn, field) + 1
	case OpMedian:
		o.op, o.percentile = OpPercentile, 50
		fallthrough
	case OpPercentile:
		o.a = index(&p.kept, field)
	}
	return o
}

// index is the place of v in list, to which it is added where it is not.
func index(list *[]int, v int) int {
	i := slices.Index(*list, v)
	if i < 0 {
		i = len(*list)
		*list = append(*list, v)
	}
	return i
}

// column is where the words of a column are.
func (p *plan) column(kind columnKind, field int) int {
	for _, c := range p.columns {
		if c.kind == kind && c.field == field {
			return c.at
		}
	}
	at := p.words
	p.columns = append(p.columns, column{kind, field, at})
	p.words += columnWidths[kind]
	return at
}

func float(word uint64) float64 { return math.Float64frombits(word) }

func word(v float64) uint64 { return math.Float64bits(v) }

var nan = word(math.NaN())

// clear makes columns those of no values.
func (p *plan) clear(cols []uint64) {
	clear(cols)
	for _, c := range p.columns {
		switch c.kind {
		case minColumn, maxColumn:
			cols[c.at] = nan
		case firstColumn, lastColumn:
			cols[c.at+1] = nan
		}
	}
}

// add takes the values of a sample.
func (p *plan) add(cols []uint64, at int64, values []uint64) {
	for i := range p.columns {
		c := &p.columns[i]
		v := float(values[c.field])
		if v != v {
			continue
		}
		to := cols[c.at:]
		switch c.kind {
		case countColumn:
			to[0]++
		case sumColumn:
			addSum(to, v)
		case momentsColumn:
			addMoments(to, 1, v, 0)
		case minColumn:
			addMin(to, v)
		case maxColumn:
			addMax(to, v)
		case firstColumn:
			addFirst(to, at, v)
		case lastColumn:
			addLast(to, at, v)
		}
	}
}

// merge adds the columns of other values, of which those of equal times came later.
func (p *plan) merge(cols, more []uint64) {
	for i := range p.columns {
		c := &p.columns[i]
		to, from := cols[c.at:], more[c.at:]
		switch c.kind {
		case countColumn:
			to[0] += from[0]
		case sumColumn:
			addSum(to, float(from[0]))
			to[1] = word(float(to[1]) + float(from[1]))
		case momentsColumn:
			addMoments(to, float(from[0]), float(from[1]), float(from[2]))
		case minColumn:
			addMin(to, float(from[0]))
		case maxColumn:
			addMax(to, float(from[0]))
		case firstColumn:
			addFirst(to, int64(from[0]), float(from[1]))
		case lastColumn:
			addLast(to, int64(from[0]), float(from[1]))
		}
	}
}

// addSum is Neumaier's sum: what rounding loses is summed apart.
func addSum(to []uint64, v float64) {
	sum := float(to[0])
	total := sum + v
	lost := (v - total) + sum
	if math.Abs(sum) >= math.Abs(v) {
		lost = (sum - total) + v
	}
	to[0], to[1] = word(total), word(float(to[1])+lost)
}

// addMoments is Chan's merge of means and squared deviations. It is exact for
// equal means, so values that do not change have no deviation.
func addMoments(to []uint64, n, mean, squares float64) {
	if n == 0 {
		return
	}
	n0, mean0 := float(to[0]), float(to[1])
	if n0 == 0 {
		to[0], to[1], to[2] = word(n), word(mean), word(squares)
		return
	}
	total, delta := n0+n, mean-mean0
	to[0] = word(total)
	to[1] = word(mean0 + delta*(n/total))
	to[2] = word(float(to[2]) + squares + delta*delta*(n0*(n/total)))
}

func addMin(to []uint64, v float64) {
	if now := float(to[0]); v < now || now != now {
		to[0] = word(v)
	}
}

func addMax(to []uint64, v float64) {
	if now := float(to[0]); v > now || now != now {
		to[0] = word(v)
	}
}

func addFirst(to []uint64, at int64, v float64) {
	if v == v && (at < int64(to[0]) || to[1] == nan) {
		to[0], to[1] = uint64(at), word(v)
	}
}

func addLast(to []uint64, at int64, v float64) {
	if v == v && (at >= int64(to[0]) || to[1] == nan) {
		to[0], to[1] = uint64(at), word(v)
	}
}

// result is that of any output but a percentile: NaN where there is none.
func (o *output) result(cols []uint64, samples int) float64 {
	v := math.NaN()
	switch o.op {
	case OpCount:
		if o.a == Samples {
			return float64(samples)
		}
		return float64(cols[o.a])
	case OpSum, OpAvg:
		n := float64(cols[o.b])
		if n == 0 {
			return v
		}
		v = float(cols[o.a]) + float(cols[o.a+1])
		if o.op == OpAvg {
			v /= n
		}
	case OpRange:
		v = float(cols[o.b]) - float(cols[o.a])
	case OpStdDev:
		v = math.Sqrt(float(cols[o.a+2]) / float(cols[o.a]))
	default:
		v = float(cols[o.a])
	}
	return known(v)
}

// known is v, or NaN where it is beyond the numbers.
func known(v float64) float64 {
	if !finite(v) {
		return math.NaN()
	}
	return v
}

// percentile of sorted values: linear between the two nearest.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	place := p / 100 * float64(len(sorted)-1)
	i := min(int(place), len(sorted)-1)
	lo, hi := sorted[i], sorted[min(i+1, len(sorted)-1)]
	part, diff := place-float64(i), hi-lo
	if part >= 0.5 {
		return known(hi - diff*(1-part))
	}
	return known(lo + diff*part)
}
