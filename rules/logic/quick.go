package logic

import "tocsin.internal/rules/scan"

// quick is a node of the quick form of an expression. It reads slots, which
// the scan of a sample has filled, where a [node] reads decoded values, and
// builds nothing. What goes wrong is noted in the machine's flags and looked at
// once, at the end. A node that finds a sample too odd for it sets deopt, and
// the plain evaluator judges that sample instead.
//
// number is a shorter way to a value that is a number; where ok is false the
// node has to be asked for its value.
type quick interface {
	truth(m *Machine) bool
	value(m *Machine) scan.Value
	number(m *Machine) (f float64, ok bool)
}

// notNumber is part of nodes whose value is seldom a number.
type notNumber struct{}

func (notNumber) number(*Machine) (float64, bool) { return 0, false }

// maxFrames is how many iterations may stand inside each other in the quick
// form, and one for the sample.
const maxFrames = 6

// frame is what variables of one iteration are read from; the first frame is
// the sample's.
type frame struct {
	row         []scan.Value // slots of the element, as it is in the list
	element     scan.Value   // the element when a map has made it
	accumulator scan.Value
	index       int
}

// stepsPerNode is more than any node costs the plain evaluator besides reading
// texts and elements; see MaxWork.
const stepsPerNode = 32

func (m *Machine) spend(steps int) {
	m.work += steps
	if m.work > MaxWork {
		m.flags |= deopt
	}
}

// missed notes that an input was missing, unless an operation failed before:
// the plain evaluator stops there.
func (m *Machine) missed() {
	if m.flags&failed == 0 {
		m.flags |= unknown
	}
}

func (m *Machine) fail() { m.flags |= failed }

// giveUp is a node that only the plain evaluator knows.
type giveUp struct{ notNumber }

func (giveUp) truth(m *Machine) bool { return m.giveUp().Kind == scan.True }

func (giveUp) value(m *Machine) scan.Value { return m.giveUp() }

func (m *Machine) giveUp() scan.Value {
	m.flags |= deopt
	return scan.Value{}
}

// computedText is where the offsets of texts begin that are in the machine's
// scratch, without quotes; below it they are in the sample. A scan takes no
// sample that is longer.
const computedText = 1 << 31

func boolean(b bool) scan.Value {
	if b {
		return scan.Value{Kind: scan.True}
	}
	return scan.Value{Kind: scan.False}
}

func number(f float64) scan.Value { return scan.Value{Kind: scan.Number, Num: f} }

// text is the content of a text. It is valid until the next sample.
func (m *Machine) text(v *scan.Value) string {
	switch {
	case v.Start >= computedText:
		return view(m.scratch[v.Start-computedText : v.End-computedText])
	case v.Escaped:
		start := len(m.scratch)
		m.scratch = scan.AppendText(m.scratch, m.sample[v.Start:v.End])
		return view(m.scratch[start:])
	}
	return view(m.sample[v.Start+1 : v.End-1])
}

// newText is the text that begins at start of the scratch.
func (m *Machine) newText(start int) scan.Value {
	m.longest = max(m.longest, len(m.scratch)-start)
	return scan.Value{Kind: scan.Text, Start: computedText + uint32(start), End: computedText + uint32(len(m.scratch))}
}

func isEmptyText(v *scan.Value) bool {
	if v.Start >= computedText {
		return v.Start == v.End
	}
	return v.End-v.Start == 2
}

// holds is the truth of a value.
func (m *Machine) holds(v *scan.Value) bool {
	switch v.Kind {
	case scan.True, scan.Object:
		return true
	case scan.Number:
		return v.Num != 0 && v.Num == v.Num
	case scan.Text:
		return !isEmptyText(v)
	case scan.List:
		return v.Count > 0
	}
	return false
}

// fixed is a constant of the expression.
type fixed struct {
	constant scan.Value
	holds    bool
	complex  bool // a list or an object, of which only the truth is known
}

func (n *fixed) number(*Machine) (float64, bool) {
	return n.constant.Num, n.constant.Kind == scan.Number
}

func (n *fixed) truth(*Machine) bool { return n.holds }

func (n *fixed) value(m *Machine) scan.Value {
	if n.complex {
		m.flags |= deopt
	}
	return n.constant
}
