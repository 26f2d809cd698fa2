package logic

import "reflect"

// relation is what a comparison asks of two neighbours.
type relation uint8

const (
	equal relation = iota
	notEqual
	less
	lessOrEqual
	greater
	greaterOrEqual
	identical
	notIdentical
)

func compare(r relation) func(*compiler, operation) node {
	return func(c *compiler, op operation) node {
		if r != identical && r != notIdentical {
			c.literals(op, aScalar)
		}
		if len(op.operands) < 2 {
			return &broken{op.site}
		}
		return &comparison{op.site, r, c.exprs(op.operands)}
	}
}

// comparison holds when its relation holds between all neighbours. It reads no
// further than the first pair that does not.
type comparison struct {
	*site
	relation relation
	operands []node
}

func (n *comparison) eval(m *machine) (any, *Error) {
	left, err := n.operands[0].eval(m)
	if err != nil {
		return nil, err
	}
	for _, o := range n.operands[1:] {
		right, err := o.eval(m)
		if err != nil {
			return nil, err
		}
		holds, err := m.compare(n.relation, left, right)
		if err != nil {
			return nil, n.failed(err)
		}
		if !holds {
			return false, nil
		}
		left = right
	}
	return true, nil
}

func (r relation) isEquality() bool {
	return r == equal || r == notEqual || r == identical || r == notIdentical
}

func (r relation) numbers(a, b float64) bool {
	switch r {
	case equal, identical:
		return a == b
	case notEqual, notIdentical:
		return a != b
	case less:
		return a < b
	case lessOrEqual:
		return a <= b
	case greater:
		return a > b
	default:
		return a >= b
	}
}

// compare compares two texts as text and anything else as numbers; what is no
// number fails. A text beside a null is as in JavaScript: never equal, in order
// as a number beside 0, and never failing. Identity compares kind and value.
func (m *machine) compare(r relation, a, b any) (bool, *Error) {
	if x, y, ok := both[float64](a, b); ok && x == x && y == y {
		return r.numbers(x, y), nil
	}
	if r == identical || r == notIdentical {
		same, err := m.identical(a, b)
		return same == (r == identical), err
	}
	if s, t, ok := both[string](a, b); ok {
		return r.numbers(float64(compareText(s, t)), 0), m.readText(s)
	}
	besideNull := isTextOrNull(a) && isTextOrNull(b)
	if besideNull && (r == equal || r == notEqual) {
		return (a == nil && b == nil) == (r == equal), nil
	}
	x, err := m.numberOrNaN(a)
	if err != nil {
		return false, err
	}
	y, err := m.numberOrNaN(b)
	if err != nil {
		return false, err
	}
	if !besideNull && (x != x || y != y) {
		return false, errNaN
	}
	return r.numbers(x, y), nil
}

func both[T any](a, b any) (x, y T, ok bool) {
	if x, ok = a.(T); ok {
		y, ok = b.(T)
	}
	return x, y, ok
}

func isTextOrNull(v any) bool {
	_, ok := v.(string)
	return ok || v == nil
}

// identical is JavaScript's ===. Lists and objects are identical only to
// themselves, and empty lists, which cannot be told apart, to none.
func (m *machine) identical(a, b any) (bool, *Error) {
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		return ok && len(x) > 0 && len(x) == len(y) && &x[0] == &y[0], nil
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && reflect.ValueOf(x).Pointer() == reflect.ValueOf(y).Pointer(), nil
	case string:
		y, ok := b.(string)
		if !ok || len(x) != len(y) {
			return false, nil
		}
		return x == y, m.readText(x)
	case nil:
		return b == nil, nil
	case bool:
		y, ok := b.(bool)
		return ok && x == y, nil
	case float64:
		y, ok := b.(float64)
		return ok && x == y, nil
	}
	return false, nil
}
