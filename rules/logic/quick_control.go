package logic

import "tocsin.internal/rules/scan"

// allOf is and.
type allOf struct {
	notNumber
	operands []quick
}

func (n *allOf) truth(m *Machine) bool {
	for _, o := range n.operands {
		if !o.truth(m) {
			return false
		}
	}
	return len(n.operands) > 0
}

func (n *allOf) value(m *Machine) scan.Value { return m.deciding(n.operands, false) }

// anyOf is or.
type anyOf struct {
	notNumber
	operands []quick
}

func (n *anyOf) truth(m *Machine) bool {
	for _, o := range n.operands {
		if o.truth(m) {
			return true
		}
	}
	return false
}

func (n *anyOf) value(m *Machine) scan.Value { return m.deciding(n.operands, true) }

// deciding is the value of the first operand whose truth decides, else of the
// last one.
func (m *Machine) deciding(operands []quick, decides bool) scan.Value {
	v := boolean(false)
	for _, o := range operands {
		if v = o.value(m); m.holds(&v) == decides {
			return v
		}
	}
	return v
}

// negated is ! and, when twice, !!.
type negated struct {
	notNumber
	operand quick
	twice   bool
}

func (n *negated) truth(m *Machine) bool { return n.operand.truth(m) == n.twice }

func (n *negated) value(m *Machine) scan.Value { return boolean(n.truth(m)) }

// branches is if.
type branches struct {
	notNumber
	operands []quick
}

// taken is the operand that gives the value, nil when none does.
func (n *branches) taken(m *Machine) quick {
	i := 0
	for ; i+1 < len(n.operands); i += 2 {
		if n.operands[i].truth(m) {
			return n.operands[i+1]
		}
	}
	if i < len(n.operands) {
		return n.operands[i]
	}
	return nil
}

func (n *branches) truth(m *Machine) bool {
	o := n.taken(m)
	return o != nil && o.truth(m)
}

func (n *branches) value(m *Machine) scan.Value {
	if o := n.taken(m); o != nil {
		return o.value(m)
	}
	return scan.Value{Kind: scan.Null}
}

// firstPresent is ??.
type firstPresent struct {
	notNumber
	operands []quick
}

func (n *firstPresent) truth(m *Machine) bool {
	v := n.value(m)
	return m.holds(&v)
}

func (n *firstPresent) value(m *Machine) scan.Value {
	for i, o := range n.operands {
		before := m.flags
		v := o.value(m)
		if v.Kind > scan.Null || i == len(n.operands)-1 || m.flags&failed != 0 {
			return v
		}
		m.flags = before | m.flags&deopt
	}
	return scan.Value{Kind: scan.Null}
}
