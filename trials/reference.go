package trials

import (
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"

	"tocsin.internal/rules"
	"tocsin.internal/rules/logic"
	"tocsin.internal/rules/logic/reference"
)

// Reference judges the conditions of tests by a public JSONLogic library too.
type Reference struct {
	rules    map[*logic.Expr]*comparison
	order    []*comparison
	compared int
	equal    int
}

// comparison is one condition beside the library's.
type comparison struct {
	rule         string
	expr         *logic.Expr
	other        *reference.Rule
	refused      error // why the library cannot judge it
	differences  []string
	left         int    // samples that cannot be compared
	why          string // the first of these, why
	unknown      int    // here: an input was missing
	takenForTrue int    // of these, there
}

// NewReference begins to compare.
func NewReference() *Reference { return &Reference{rules: map[*logic.Expr]*comparison{}} }

func (r *Reference) look(rule string, e *logic.Expr, data any, s *rules.Sample, c *Case) {
	one := r.rules[e]
	if one == nil {
		one = &comparison{rule: rule, expr: e}
		one.other, one.refused = reference.Compile(e.Source())
		r.rules[e], r.order = one, append(r.order, one)
	}
	if one.refused != nil {
		return
	}
	theirs, err := one.other.Value(data)
	if verdict, failed := e.Decide(data); verdict == logic.Unknown && failed == nil {
		one.unknown++
		if err == nil && isTrue(theirs) {
			one.takenForTrue++
		}
		return
	}
	switch {
	case errors.Is(err, reference.ErrNotComparable) || errors.Is(err, reference.ErrNotFinite):
		if one.left == 0 {
			one.why = err.Error()
		}
		one.left++
		return
	case err != nil:
		theirs = err.Error()
	}
	r.compared++
	ours, err := e.Value(data)
	if err != nil {
		r.note(one, s, c, fmt.Sprintf("fails (%v)", err), compact(theirs), data)
		return
	}
	if !sameValue(ours, theirs) {
		r.note(one, s, c, compact(ours), compact(theirs), data)
		return
	}
	r.equal++
}

func (r *Reference) note(one *comparison, s *rules.Sample, c *Case, ours, theirs string, data any) {
	one.differences = append(one.differences, fmt.Sprintf("%s:%d (%s, %s)  here %s, there %s, over %s", c.file, s.Seq, clockTime(s.At), s.Twin, ours, theirs, compact(data)))
}

// sameValue compares JSON values; 0 and -0 are the same.
func sameValue(a, b any) bool {
	x, isNumber := a.(float64)
	y, both := b.(float64)
	if isNumber && both {
		return x == y || math.IsNaN(x) && math.IsNaN(y)
	}
	if reflect.DeepEqual(a, b) {
		return true
	}
	return compact(a) == compact(b)
}

// isTrue is JSONLogic's truth of a value.
func isTrue(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	}
	return true
}

// Differences is how many looks gave another value than the library's.
func (r *Reference) Differences() (n int) {
	for _, c := range r.order {
		n += len(c.differences)
	}
	return n
}

// Write tells what differs, and what could not be compared.
func (r *Reference) Write(w io.Writer) {
	const most = 10
	for _, c := range r.order {
		var lines []string
		for i, d := range c.differences {
			if i == most {
				lines = append(lines, fmt.Sprintf("… and %d more", len(c.differences)-most))
				break
			}
			lines = append(lines, "differs  "+d)
		}
		if c.unknown > 0 {
			line := fmt.Sprintf("unknown here %s: an input is missing, which the library takes for null", times(c.unknown))
			if c.takenForTrue > 0 {
				line += fmt.Sprintf(", and gives true %s", times(c.takenForTrue))
			}
			lines = append(lines, line)
		}
		if c.left > 0 {
			lines = append(lines, fmt.Sprintf("not compared %s: %s", times(c.left), firstLine(c.why)))
		}
		if c.refused != nil {
			lines = append(lines, "not compared: "+firstLine(c.refused.Error()))
		}
		if len(lines) == 0 {
			continue
		}
		fmt.Fprintf(w, "  %s  %s  %s\n      %s\n", placed(c.expr.Source().At), c.rule, compactText(c.expr.Source()), strings.Join(lines, "\n      "))
	}
	fmt.Fprintf(w, "  %d of %d looks at conditions gave what the library gives, %d another value\n", r.equal, r.compared, r.Differences())
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
