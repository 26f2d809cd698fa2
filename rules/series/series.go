// Package series is what a rule remembers of numbers over time: rates, values
// that stand still, repetitions, duplicates, and windows with aggregates.
//
// Each has a spec, which a rule is compiled to and any number of twins share,
// and a state, one a rule and twin; the zero state is that of a silent twin. All
// times are unix nanoseconds and come in as values, so that the same samples
// give the same answers at any time. States are bounded; what a bound drops is
// counted. They are written as compact JSON, which loads to the very same
// answers, also in the middle of a window.
//
// A number that is not finite is no value. Where the order of samples matters, a
// sample that is older than the newest one changes nothing.
package series

import "math"

func finite(v float64) bool { return v-v == 0 }

// plus is a+b, and the end of time where that is beyond it.
func plus(a, b int64) int64 {
	sum := a + b
	switch {
	case b > 0 && sum < a:
		return math.MaxInt64
	case b < 0 && sum > a:
		return math.MinInt64
	}
	return sum
}

// minus is a-b, and the end of time where that is beyond it.
func minus(a, b int64) int64 {
	diff := a - b
	switch {
	case b < 0 && diff < a:
		return math.MaxInt64
	case b > 0 && diff > a:
		return math.MinInt64
	}
	return diff
}
