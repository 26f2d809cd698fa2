package logic

import "tocsin.internal/rules/scan"

// read gives a value that was read, and notes when it is no value to decide on.
func (m *Machine) read(v *scan.Value) scan.Value {
	if v.Kind <= scan.Null {
		m.missed()
	} else if v.Kind == scan.Unread {
		m.flags |= deopt
	}
	return *v
}

// sampleField reads a slot of the sample.
type sampleField struct{ slot int }

func (n *sampleField) truth(m *Machine) bool {
	v := m.read(&m.slots[n.slot])
	return m.holds(&v)
}

func (n *sampleField) number(m *Machine) (float64, bool) {
	v := &m.slots[n.slot]
	return v.Num, v.Kind == scan.Number
}

func (n *sampleField) value(m *Machine) scan.Value { return m.read(&m.slots[n.slot]) }

// rowField reads a slot of the element of an iteration.
type rowField struct{ frame, slot int }

func (n *rowField) truth(m *Machine) bool {
	v := m.read(&m.frames[n.frame].row[n.slot])
	return m.holds(&v)
}

func (n *rowField) number(m *Machine) (float64, bool) {
	v := &m.frames[n.frame].row[n.slot]
	return v.Num, v.Kind == scan.Number
}

func (n *rowField) value(m *Machine) scan.Value { return m.read(&m.frames[n.frame].row[n.slot]) }

// madeElement reads an element that a map has made.
type madeElement struct{ frame int }

func (n *madeElement) truth(m *Machine) bool {
	v := n.value(m)
	return m.holds(&v)
}

func (n *madeElement) number(m *Machine) (float64, bool) {
	v := &m.frames[n.frame].element
	return v.Num, v.Kind == scan.Number
}

func (n *madeElement) value(m *Machine) scan.Value { return m.read(&m.frames[n.frame].element) }

// accumulated reads what a reduce carries along, which is not an input.
type accumulated struct{ frame int }

func (n *accumulated) truth(m *Machine) bool { return m.holds(&m.frames[n.frame].accumulator) }

func (n *accumulated) number(m *Machine) (float64, bool) {
	v := &m.frames[n.frame].accumulator
	return v.Num, v.Kind == scan.Number
}

func (n *accumulated) value(m *Machine) scan.Value { return m.frames[n.frame].accumulator }

// position reads the index of the element of an iteration.
type position struct{ frame int }

func (n *position) truth(m *Machine) bool { return m.frames[n.frame].index != 0 }

func (n *position) number(m *Machine) (float64, bool) { return float64(m.frames[n.frame].index), true }

func (n *position) value(m *Machine) scan.Value { return number(float64(m.frames[n.frame].index)) }

// place is a slot of a frame, for nodes that only ask what is there.
type place struct{ frame, slot int }

func (p place) of(m *Machine) *scan.Value {
	v := &m.frames[p.frame].row[p.slot]
	if v.Kind == scan.Unread {
		m.flags |= deopt
	}
	return v
}

// defaulted reads a slot, or its fallback when there is nothing.
type defaulted struct {
	notNumber
	place
	fallback quick
}

func (n *defaulted) truth(m *Machine) bool {
	if v := n.of(m); v.Kind != scan.Missing {
		r := m.read(v)
		return m.holds(&r)
	}
	return n.fallback.truth(m)
}

func (n *defaulted) value(m *Machine) scan.Value {
	if v := n.of(m); v.Kind != scan.Missing {
		return m.read(v)
	}
	return n.fallback.value(m)
}

// present is exists.
type present struct {
	notNumber
	place
}

func (n *present) truth(m *Machine) bool { return n.of(m).Kind != scan.Missing }

func (n *present) value(m *Machine) scan.Value { return boolean(n.truth(m)) }

// absent is missing and, when need is not nil, missing_some, as a condition:
// is any name missing?
type absent struct {
	notNumber
	places []place
	need   quick
}

func (n *absent) truth(m *Machine) bool {
	need := 0.0
	if n.need != nil {
		v := n.need.value(m)
		need = m.numberOf(&v)
	}
	gone := 0
	for _, p := range n.places {
		if v := p.of(m); v.Kind <= scan.Null || v.Kind == scan.Text && isEmptyText(v) {
			gone++
		}
	}
	return gone > 0 && (n.need == nil || !(float64(len(n.places)-gone) >= need))
}

func (n *absent) value(m *Machine) scan.Value { return m.giveUp() }
