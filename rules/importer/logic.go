package importer

import (
	"slices"
	"strconv"
)

// inverse are the comparisons that hold when the others do not.
var inverse = map[string]string{">": "<=", "<=": ">", "<": ">=", ">=": "<", "==": "!=", "!=": "=="}

// Negate is an expression that is true when expr is not.
func Negate(expr any) any {
	op, operands := operation(expr)
	if b, ok := expr.(bool); ok {
		return !b
	}
	switch {
	case inverse[op] != "" && len(operands) == 2:
		return Op(inverse[op], operands...)
	case op == "!":
		return operands[0]
	case op == "and" || op == "or":
		var out List
		for _, o := range operands {
			out = append(out, Negate(o))
		}
		return Op(map[string]string{"and": "or", "or": "and"}[op], out...)
	}
	return Op("!", expr)
}

// operation takes an operation apart; "" when the expression is none.
func operation(expr any) (op string, operands List) {
	o, ok := expr.(Object)
	if !ok || len(o) != 1 {
		return "", nil
	}
	operands, ok = o[0].Value.(List)
	if !ok {
		operands = List{o[0].Value}
	}
	return o[0].Name, operands
}

// Conditions are the conditions of a rule that ask the expression: one for each
// operand of an and.
func Conditions(expr any) List {
	op, operands := operation(expr)
	if op != "and" {
		operands = List{expr}
	}
	var out List
	for _, e := range operands {
		out = append(out, Logic(e))
	}
	return out
}

// All is true when all expressions are.
func All(exprs ...any) any { return joined("and", true, exprs) }

// Any is true when one of the expressions is.
func Any(exprs ...any) any { return joined("or", false, exprs) }

// joined leaves out what says nothing and what is there already.
func joined(op string, nothing bool, exprs []any) any {
	var out List
	seen := map[string]bool{}
	for _, e := range exprs {
		inner := List{e}
		if name, operands := operation(e); name == op {
			inner = operands
		}
		for _, e := range inner {
			text := Text(e)
			switch {
			case e == any(nothing) || seen[text]:
			case e == any(!nothing):
				return !nothing
			default:
				seen[text] = true
				out = append(out, e)
			}
		}
	}
	switch len(out) {
	case 0:
		return nothing
	case 1:
		return out[0]
	}
	return Op(op, out...)
}

// Disjoint says whether two expressions can be seen never to be true together:
// by comparisons of one value with numbers.
func Disjoint(a, b any) bool {
	if Text(a) == Text(Negate(b)) {
		return true
	}
	sides := [][2]any{{a, b}, {b, a}}
	for _, side := range sides {
		if op, operands := operation(side[0]); op == "or" { // with none of them
			return !slices.ContainsFunc(operands, func(o any) bool { return !Disjoint(o, side[1]) })
		}
	}
	for _, side := range sides {
		if op, operands := operation(side[0]); op == "and" { // with one of them
			return slices.ContainsFunc(operands, func(o any) bool { return Disjoint(o, side[1]) })
		}
	}
	x, okX := boundOf(a)
	y, okY := boundOf(b)
	return okX && okY && x.of == y.of && x.excludes(y)
}

// bound is a comparison of a value with a number.
type bound struct {
	of string
	op string
	n  float64
}

func boundOf(expr any) (bound, bool) {
	op, operands := operation(expr)
	if inverse[op] == "" || len(operands) != 2 {
		return bound{}, false
	}
	n, ok := operands[1].(Number)
	if !ok {
		return bound{}, false
	}
	f, err := strconv.ParseFloat(string(n), 64)
	return bound{Text(operands[0]), op, f}, err == nil
}

func (b bound) holds(v float64) bool { return Holds(b.op, v, b.n) }

// Holds says whether a comparison of two numbers by one of JSONLogic's operators
// is true; any other operator is taken for !=.
func Holds(op string, v, n float64) bool {
	switch op {
	case ">":
		return v > n
	case ">=":
		return v >= n
	case "<":
		return v < n
	case "<=":
		return v <= n
	case "==":
		return v == n
	}
	return v != n
}

// excludes looks at the two bounds, at what lies between them and beyond: two
// comparisons that are true of one number are so of one of these.
func (b bound) excludes(other bound) bool {
	low, high := min(b.n, other.n), max(b.n, other.n)
	for _, v := range []float64{low - 1, low, (low + high) / 2, high, high + 1} {
		if b.holds(v) && other.holds(v) {
			return false
		}
	}
	return true
}
