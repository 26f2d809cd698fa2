package logic

import "tocsin.internal/rules/scan"

// pipeline is a list of the sample and the maps and filters that its elements
// go through one by one: no list is built.
//
// The plain evaluator takes all elements through one stage before the next. The
// outcome is the same unless an operation fails: then it hangs on the order
// which inputs were read before, and the plain evaluator has to judge.
type pipeline struct {
	source quick // the list
	frame  int   // where the stages read from
	table  int
	origin *scan.Table
	stages []stage
	nodes  int  // of all bodies
	weight int  // what one element costs, in steps,
	outer  int  // besides what is read from outside the element, in nodes
	far    bool // the list is not of the innermost scope
}

type stage struct {
	body quick
	keep bool // a filter, not a map
}

// open evaluates the source; ok is false when that is not a list, or too long a
// one.
func (p *pipeline) open(m *Machine) (first, count int, ok bool) {
	v := p.source.value(m)
	if v.Kind != scan.List {
		return 0, 0, false
	}
	m.spend(int(v.Count) * (p.weight + p.outer*m.longest/2))
	if m.flags&deopt != 0 {
		return 0, 0, false
	}
	return int(v.Num), int(v.Count), true
}

// next takes an element through the stages and says whether it is left.
func (p *pipeline) next(m *Machine, row int) bool {
	f := &m.frames[p.frame]
	f.row = m.scanner.Row(p.table, row)
	for i := range p.stages {
		s := &p.stages[i]
		if !s.keep {
			p.store(m, &f.element, s.body)
		} else if !s.body.truth(m) {
			return false
		}
	}
	return true
}

// store keeps what a node gives for the bodies to read.
func (p *pipeline) store(m *Machine, to *scan.Value, q quick) {
	if f, ok := q.number(m); ok {
		*to = number(f)
		return
	}
	*to = q.value(m)
	if to.Kind == scan.Text {
		m.spend(p.nodes * int(to.End-to.Start))
	}
}

// made says whether a map has made the elements.
func (p *pipeline) made() bool {
	for i := range p.stages {
		if !p.stages[i].keep {
			return true
		}
	}
	return false
}

// current is the element that is left.
func (p *pipeline) current(m *Machine) scan.Value {
	if p.made() {
		return m.frames[p.frame].element
	}
	return m.frames[p.frame].row[0]
}

// close gives up when an operation has failed.
func (p *pipeline) close(m *Machine) {
	if m.flags&failed != 0 {
		m.flags |= deopt
	}
}

// left is a map or filter whose result is only asked whether it is empty.
type left struct {
	notNumber
	pipeline
}

func (n *left) truth(m *Machine) bool {
	first, count, _ := n.open(m)
	some := false
	for i := 0; i < count && m.flags&deopt == 0; i++ {
		m.frames[n.frame].index = i
		some = n.next(m, first+i) || some
	}
	n.close(m)
	return some
}

func (n *left) value(m *Machine) scan.Value { return m.giveUp() }

// counted is all, some or none.
type counted struct {
	notNumber
	pipeline
	body     quick
	quantity quantity
}

func (n *counted) value(m *Machine) scan.Value { return boolean(n.truth(m)) }

func (n *counted) truth(m *Machine) bool {
	first, count, ok := n.open(m)
	if !ok && len(n.stages) == 0 {
		m.fail()
		return false
	}
	answer, decided, begun := n.quantity.empty, false, false
	for i := 0; i < count && m.flags&deopt == 0; i++ {
		m.frames[n.frame].index = i
		if !n.next(m, first+i) || decided {
			continue // what the stages read of later elements counts too
		}
		if !begun {
			begun, answer = true, !n.quantity.decided
		}
		if n.body.truth(m) == n.quantity.decides {
			decided, answer = true, n.quantity.decided
			if len(n.stages) == 0 {
				break
			}
		}
		if len(n.stages) == 0 && m.flags&failed != 0 {
			return answer
		}
	}
	if len(n.stages) > 0 {
		n.close(m)
	}
	return answer
}

// carried is reduce.
type carried struct {
	notNumber
	pipeline
	body    quick
	initial quick // nil: the first element
}

func (n *carried) truth(m *Machine) bool {
	v := n.value(m)
	return m.holds(&v)
}

func (n *carried) value(m *Machine) scan.Value {
	first, count, _ := n.open(m)
	f := &m.frames[n.frame]
	accumulator := scan.Value{Kind: scan.Null}
	begun := n.initial != nil
	if begun {
		accumulator = n.initial.value(m)
	}
	for i := 0; i < count && m.flags&deopt == 0; i++ {
		f.index = i
		if !n.next(m, first+i) {
			continue
		}
		if !begun {
			begun, accumulator = true, n.current(m)
			continue
		}
		f.accumulator = accumulator
		n.store(m, &accumulator, n.body)
	}
	n.close(m)
	return accumulator
}
