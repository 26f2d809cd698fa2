package logic

import (
	"math"
	"slices"

	"tocsin.internal/rules/scan"
)

// within is a slot compared with numbers: every relation with a constant, and
// a chain of two, asks whether a number lies between two bounds. This is the
// node that most rules consist of.
type within struct {
	notNumber
	slot      int
	outside   bool // the answer is no when it lies between
	lo, hi    float64
	strict    bool  // by identity: nothing but a number can be equal
	otherwise quick // judges what is not a number
}

func (n *within) holds(f float64) bool { return (n.lo <= f && f <= n.hi) != n.outside }

func (n *within) truth(m *Machine) bool {
	v := &m.slots[n.slot]
	if v.Kind != scan.Number {
		return n.otherwise.truth(m)
	}
	return n.holds(v.Num)
}

func (n *within) value(m *Machine) scan.Value { return boolean(n.truth(m)) }

// rowWithin is within for a slot of an element.
type rowWithin struct {
	within
	frame int
}

func (n *rowWithin) truth(m *Machine) bool {
	v := &m.frames[n.frame].row[n.slot]
	if v.Kind != scan.Number {
		return n.otherwise.truth(m)
	}
	return n.holds(v.Num)
}

func (n *rowWithin) value(m *Machine) scan.Value { return boolean(n.truth(m)) }

// ranged is within for anything that gives a number.
type ranged struct {
	within
	operand quick
}

func (n *ranged) truth(m *Machine) bool {
	f, ok := n.operand.number(m)
	if !ok {
		return n.otherwise.truth(m)
	}
	return n.holds(f)
}

func (n *ranged) value(m *Machine) scan.Value { return boolean(n.truth(m)) }

// bounds are the numbers x for which "x relation k" holds.
func (r relation) bounds(k float64) (lo, hi float64, outside bool) {
	switch r {
	case less:
		return math.Inf(-1), math.Nextafter(k, math.Inf(-1)), false
	case lessOrEqual:
		return math.Inf(-1), k, false
	case greater:
		return math.Nextafter(k, math.Inf(1)), math.Inf(1), false
	case greaterOrEqual:
		return k, math.Inf(1), false
	case notEqual, notIdentical:
		return k, k, true
	default:
		return k, k, false
	}
}

// mirrored is the relation of b to a where r is that of a to b.
func (r relation) mirrored() relation {
	switch r {
	case less:
		return greater
	case lessOrEqual:
		return greaterOrEqual
	case greater:
		return less
	case greaterOrEqual:
		return lessOrEqual
	}
	return r
}

// oneOf is a slot compared with texts: equality, or in a list of texts.
type oneOf struct {
	notNumber
	slot      int
	texts     []string
	outside   bool  // none of them
	otherwise quick // judges what is not a plain text
}

func (n *oneOf) truth(m *Machine) bool {
	v := &m.slots[n.slot]
	if v.Kind != scan.Text || v.Escaped {
		return n.otherwise.truth(m)
	}
	return slices.Contains(n.texts, view(m.sample[v.Start+1:v.End-1])) != n.outside
}

func (n *oneOf) value(m *Machine) scan.Value { return boolean(n.truth(m)) }

// compared is any comparison.
type compared struct {
	notNumber
	relation relation
	operands []quick
}

func (n *compared) truth(m *Machine) bool {
	var left scan.Value
	if a, ok := n.operands[0].number(m); ok {
		if b, ok := n.operands[1].number(m); ok && len(n.operands) == 2 {
			return n.relation.numbers(a, b)
		}
		left = number(a)
	} else {
		left = n.operands[0].value(m)
	}
	for _, o := range n.operands[1:] {
		right := o.value(m)
		if m.flags&failed != 0 || !m.relate(n.relation, &left, &right) {
			return false
		}
		left = right
	}
	return true
}

func (n *compared) value(m *Machine) scan.Value { return boolean(n.truth(m)) }

// relate is machine.compare of the plain evaluator.
func (m *Machine) relate(r relation, a, b *scan.Value) bool {
	if a.Kind == scan.Number && b.Kind == scan.Number {
		return r.numbers(a.Num, b.Num)
	}
	if r == identical || r == notIdentical {
		return m.same(a, b) == (r == identical)
	}
	if a.Kind == scan.Text && b.Kind == scan.Text {
		return r.numbers(float64(compareText(m.text(a), m.text(b))), 0)
	}
	besideNull := orNull(a) && orNull(b)
	if besideNull && (r == equal || r == notEqual) {
		return (a.Kind <= scan.Null && b.Kind <= scan.Null) == (r == equal)
	}
	x, y := m.numberOf(a), m.numberOf(b)
	if x != x || y != y {
		if !besideNull {
			m.fail()
			return false
		}
	}
	return r.numbers(x, y)
}

// orNull says whether a value is a text or null.
func orNull(v *scan.Value) bool { return v.Kind == scan.Text || v.Kind <= scan.Null }

// same is machine.identical of the plain evaluator. Whether two lists or two
// objects are the same one is not known here.
func (m *Machine) same(a, b *scan.Value) bool {
	switch {
	case a.Kind == scan.Text && b.Kind == scan.Text:
		return m.text(a) == m.text(b)
	case a.Kind <= scan.Null || b.Kind <= scan.Null:
		return a.Kind <= scan.Null && b.Kind <= scan.Null
	case a.Kind != b.Kind:
		return false
	case a.Kind == scan.Number:
		return a.Num == b.Num
	case a.Kind >= scan.List:
		m.flags |= deopt
	}
	return true
}
