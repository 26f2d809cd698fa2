package logic

import (
	"math"

	"tocsin.internal/rules/scan"
)

// numberOf is JavaScript's Number of a value; lists and objects are NaN.
func (m *Machine) numberOf(v *scan.Value) float64 {
	switch v.Kind {
	case scan.Number:
		return v.Num
	case scan.Missing, scan.Null, scan.False:
		return 0
	case scan.True:
		return 1
	case scan.Text:
		return textNumber(m.text(v))
	}
	return math.NaN()
}

// leadingNumberOf is numberOf, but of a text the number that it begins with.
func (m *Machine) leadingNumberOf(v *scan.Value) float64 {
	if v.Kind == scan.Text {
		return leadingNumber(m.text(v))
	}
	return m.numberOf(v)
}

// finite is the result of an operation.
func (m *Machine) finite(f float64) (float64, bool) {
	if f-f != 0 {
		m.fail()
	}
	return f, true
}

// asNumber is the value of a node as JavaScript's Number.
func (m *Machine) asNumber(q quick) float64 {
	if f, ok := q.number(m); ok {
		return f
	}
	v := q.value(m)
	return m.numberOf(&v)
}

// asLeadingNumber is asNumber, but of a text the number that it begins with.
func (m *Machine) asLeadingNumber(q quick) float64 {
	if f, ok := q.number(m); ok {
		return f
	}
	v := q.value(m)
	return m.leadingNumberOf(&v)
}

// arithmetic makes of an operation's number what the others ask of a node.
func arithmetic(f float64, _ bool) scan.Value { return number(f) }

// summed is +, and multiplied *, which take texts by their leading number. What
// is not a number makes the result NaN, which fails when all operands have been
// read, as it does in the plain evaluator.
type summed struct{ operands []quick }

func (n *summed) number(m *Machine) (float64, bool) {
	sum := 0.0
	for _, o := range n.operands {
		sum += m.asLeadingNumber(o)
	}
	return m.finite(sum)
}

func (n *summed) value(m *Machine) scan.Value { return arithmetic(n.number(m)) }

func (n *summed) truth(m *Machine) bool { return n.value(m).Num != 0 }

type multiplied struct{ operands []quick }

func (n *multiplied) number(m *Machine) (float64, bool) {
	product := 1.0
	for _, o := range n.operands {
		product *= m.asLeadingNumber(o)
	}
	return m.finite(product)
}

func (n *multiplied) value(m *Machine) scan.Value { return arithmetic(n.number(m)) }

func (n *multiplied) truth(m *Machine) bool { return n.value(m).Num != 0 }

// folded is - / % min max of two operands or more.
type folded struct {
	operator string // tells groups apart
	operands []quick
	combine  func(a, b float64) float64
}

func (n *folded) number(m *Machine) (float64, bool) {
	result := m.asNumber(n.operands[0])
	for _, o := range n.operands[1:] {
		result = n.combine(result, m.asNumber(o))
	}
	return m.finite(result)
}

func (n *folded) value(m *Machine) scan.Value { return arithmetic(n.number(m)) }

func (n *folded) truth(m *Machine) bool { return n.value(m).Num != 0 }

// single is - and / of one operand.
type single struct {
	operator string // tells groups apart
	operand  quick
	of       func(float64) float64
}

func (n *single) number(m *Machine) (float64, bool) { return m.finite(n.of(m.asNumber(n.operand))) }

func (n *single) value(m *Machine) scan.Value { return arithmetic(n.number(m)) }

func (n *single) truth(m *Machine) bool { return n.value(m).Num != 0 }
