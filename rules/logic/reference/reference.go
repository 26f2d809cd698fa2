// Package reference asks diegoholiveira/jsonlogic for a second opinion of an
// expression: a public library that was written without this engine. It is for
// tests that an author runs, never for live samples.
//
// # Safety
//
// The library takes an object that comes out of data for logic and runs it,
// which can overflow the stack and so end the process: no recover helps. It has
// no limits, and panics. Here nothing that a user or a device sends does harm:
// before the library sees a rule and its data, both are read for all that could
// run, nest too deep or take too long, and refused with [ErrNotComparable].
//
// # What is judged
//
// The library also deviates from jsonlogic.com in many places. What it means
// otherwise is refused too, so that only the common part is judged:
//
//   - Comparisons of numbers and booleans, or of texts; === and !== of any
//     scalars. Two operands; < <= > >= also take three.
//   - Arithmetic on numbers; / and % of two or more, and not by a known 0.
//   - and, or, if, ?:, ! and !!, but not the truth of an empty object.
//   - var with a plain path that is written down, into neither a text nor .length;
//     a default outside of the predicates of filter, all, some and none, and
//     where there is no null to replace.
//   - missing and missing_some with written names, of which the data has none as "".
//   - in: a text in a text, though not "" in ""; a number in a list of numbers,
//     another scalar in a list without lists in it.
//   - cat: texts and numbers of the data or the rule, numbers that need no
//     exponent, and neither "" nor blanks at the ends.
//   - substr within the bounds of a text of the data or the rule.
//   - merge; map, filter, all, some and none over lists; reduce from a written
//     number to a number, over a list without nulls.
//   - In the predicates of filter, all, some and none names that do not occur
//     around the elements too: the library looks there first.
//   - Order of texts, and substr, while all characters are below U+10000.
//
// Whether a rule over some data belongs to it is found by a walk through the
// rule with the values that each operation can meet. All operands count, also
// those that are not evaluated. A field that is missing is a null.
//
// # What a difference means
//
// One deviation cannot be seen before: a result in the middle that is not
// finite, as of {"<":[{"/":[1,{"-":[x,x]}]},5]}, fails in the engine while the
// library carries on. Otherwise a difference is a hint that one of both is
// wrong; see where before you trust either. 0 and -0 are the same value.
package reference

import (
	"errors"
	"fmt"
	"math"

	"github.com/diegoholiveira/jsonlogic/v3"

	"tocsin.internal/internal/strictjson"
)

// ErrNotComparable is what errors wrap when the library cannot judge a rule, or
// a rule over some data, as jsonlogic.com means it, or not safely.
var ErrNotComparable = errors.New("not comparable with the reference")

// ErrNotFinite is the error of a result with NaN or an infinity in it.
var ErrNotFinite = errors.New("the reference's result is not finite")

// MaxDepth bounds the nesting of a rule and of data, and with it the recursion
// of the library.
const MaxDepth = 250

// MaxWork bounds what the library may do for one value, and what is done to find
// that out: about as many operators applied, elements passed and eights of bytes
// of text read. It is an upper bound; the worst that stays below it takes less
// than a second.
const MaxWork = 1 << 22

// Rule is an expression that the library can judge. It is immutable: any number
// of goroutines may use it.
type Rule struct {
	root   node
	rule   any // as the library wants it
	astral bool
}

// Compile reads an expression. The error names each part with which the
// reference cannot be compared, with its place, and wraps [ErrNotComparable].
func Compile(raw strictjson.Raw) (*Rule, error) {
	if raw.IsZero() {
		return nil, strictjson.Join(raw.At.Errorf("no expression; want JSONLogic"))
	}
	var c compiler
	root := c.node(raw, 0)
	if len(c.errs) > 0 {
		return nil, strictjson.Join(c.errs...)
	}
	return &Rule{root: root, rule: raw.Any(), astral: c.astral}, nil
}

// Value is the library's value of the rule over data, which is what
// encoding/json decodes into an any. It may share parts with data and with the
// rule: do not change it. The error wraps [ErrNotComparable] when this data
// leaves the common part, [ErrNotFinite] when the result is no JSON, else it is
// the library's.
func (r *Rule) Value(data any) (any, error) {
	in := inspection{}
	if err := in.value(data, 0); err != nil {
		return nil, err
	}
	w := walk{times: 1, astral: r.astral || in.astral}
	w.node(&r.root, []scope{{is: possible{known: []any{data}}}})
	if w.err != nil {
		return nil, w.err
	}
	v, err := apply(r.rule, data)
	if _, ok := errors.AsType[jsonlogic.ErrInvalidOperator](err); ok {
		return nil, fmt.Errorf("%w: it takes an object of the data for logic", ErrNotComparable)
	}
	if err != nil {
		return nil, fmt.Errorf("the reference fails: %w", err)
	}
	budget := MaxWork
	if err := finite(v, &budget); err != nil {
		return nil, err
	}
	return v, nil
}

// apply has the library evaluate. The library makes errors of the panics that
// carry one, and panics again for all others.
func apply(rule, data any) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return jsonlogic.ApplyInterface(rule, data)
}

// finite checks that v is JSON and not larger than the budget: parts can be
// shared, so that a few lists make a value that no one can print.
func finite(v any, budget *int) error {
	if *budget--; *budget < 0 {
		return fmt.Errorf("%w: the result has more than %d values", ErrNotComparable, MaxWork)
	}
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ErrNotFinite
		}
	case []any:
		for _, e := range v {
			if err := finite(e, budget); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := finite(e, budget); err != nil {
				return err
			}
		}
	}
	return nil
}
