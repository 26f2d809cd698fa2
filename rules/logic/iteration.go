package logic

import (
	"slices"

	"tocsin.internal/internal/strictjson"
)

// iteration is a list and an expression that is evaluated for each element.
type iteration struct {
	*site
	source    node
	predicate node
	size      int // nodes of the predicate
}

func (c *compiler) iteration(op operation, kind scopeKind) iteration {
	c.literals(op, aList, anything)
	n := iteration{site: op.site, source: c.operand(op, 0)}
	n.predicate, n.size = c.within(kind, func() node { return c.operand(op, 1) })
	return n
}

// list is the source's value; ok is false when that is not a list.
func (n *iteration) list(m *machine) (list []any, ok bool, err *Error) {
	v, err := n.source.eval(m)
	if err != nil {
		return nil, false, err
	}
	list, ok = v.([]any)
	return list, ok, nil
}

// each evaluates the predicate for one element after the other until visit says
// that it has seen enough.
func (n *iteration) each(m *machine, list []any, visit func(i int, v any) (enough bool)) *Error {
	m.push(scope{list: list})
	defer m.pop()
	for i, e := range list {
		if err := m.spend(n.size); err != nil {
			return n.failed(err)
		}
		s := m.innermost()
		s.data, s.index = e, i
		v, err := n.predicate.eval(m)
		if err != nil {
			return err
		}
		if visit(i, v) {
			return nil
		}
	}
	return nil
}

// hasPredicate refuses a null as a predicate, as the suites do for map and
// filter.
func (c *compiler) hasPredicate(op operation) bool {
	if len(op.operands) > 1 && op.operands[1].Kind() != strictjson.Null {
		return true
	}
	if !c.loose {
		c.errorf(op.operands[1].At.As(CodeOperands), "%q can never work with null; want an expression for each element", op.operator)
	}
	return false
}

func compileMap(c *compiler, op operation) node {
	if !c.hasPredicate(op) {
		return &broken{op.site}
	}
	return &mapped{c.iteration(op, elementScope)}
}

// mapped is the list of what its predicate makes of the elements.
type mapped struct{ iteration }

func (n *mapped) eval(m *machine) (any, *Error) {
	list, _, err := n.list(m)
	if err != nil || len(list) == 0 {
		return emptyList, err
	}
	if err := m.writeList(len(list)); err != nil {
		return nil, n.failed(err)
	}
	out := make([]any, len(list))
	err = n.each(m, list, func(i int, v any) bool {
		out[i] = v
		return false
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func compileFilter(c *compiler, op operation) node {
	if !c.hasPredicate(op) {
		return &broken{op.site}
	}
	return &filtered{c.iteration(op, elementScope)}
}

// filtered is the list of the elements whose predicate is true.
type filtered struct{ iteration }

func (n *filtered) eval(m *machine) (any, *Error) {
	list, _, err := n.list(m)
	if err != nil || len(list) == 0 {
		return emptyList, err
	}
	var out []any
	err = n.each(m, list, func(i int, v any) bool {
		if truthy(v) {
			out = append(out, list[i])
		}
		return false
	})
	if err != nil || len(out) == 0 {
		return emptyList, err
	}
	if err := m.writeList(len(out)); err != nil {
		return nil, n.failed(err)
	}
	return out, nil
}

// quantity is what all, some and none ask of the elements.
type quantity struct {
	decides bool // the truth of a predicate that decides
	decided bool // the answer then
	empty   bool // the answer of an empty list
}

var (
	all  = quantity{decides: false, decided: false, empty: false}
	some = quantity{decides: true, decided: true, empty: false}
	none = quantity{decides: true, decided: false, empty: true}
)

func quantifier(q quantity) func(*compiler, operation) node {
	return func(c *compiler, op operation) node { return &quantified{c.iteration(op, elementScope), q} }
}

// quantified is all, some or none. It reads no further than the element that
// decides, and fails when there is no list.
type quantified struct {
	iteration
	quantity quantity
}

func (n *quantified) eval(m *machine) (any, *Error) {
	list, ok, err := n.list(m)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, n.failed(errInvalid)
	}
	if len(list) == 0 {
		return n.quantity.empty, nil
	}
	answer := !n.quantity.decided
	err = n.each(m, list, func(_ int, v any) bool {
		if truthy(v) != n.quantity.decides {
			return false
		}
		answer = n.quantity.decided
		return true
	})
	return answer, err
}

func compileReduce(c *compiler, op operation) node {
	n := &reduced{iteration: c.iteration(op, reduceScope)}
	if len(op.operands) > 2 {
		n.initial = c.expr(op.operands[2])
	}
	return n
}

// reduced carries an accumulator through a list. Without an initial value it
// begins with the first element.
type reduced struct {
	iteration
	initial node
}

func (n *reduced) eval(m *machine) (any, *Error) {
	list, _, err := n.list(m)
	if err != nil {
		return nil, err
	}
	var accumulator any
	first := 0
	if n.initial != nil {
		if accumulator, err = n.initial.eval(m); err != nil {
			return nil, err
		}
	} else if len(list) > 0 {
		accumulator, first = list[0], 1
	}
	m.push(scope{list: list})
	defer m.pop()
	for i := first; i < len(list); i++ {
		if err := m.spend(n.size); err != nil {
			return nil, n.failed(err)
		}
		s := m.innermost()
		s.data, s.accumulator, s.index = list[i], accumulator, i
		if accumulator, err = n.predicate.eval(m); err != nil {
			return nil, err
		}
	}
	return accumulator, nil
}

// merge makes one list of its operands and the elements of those that are lists.
func merge(m *machine, operands []any) (any, *Error) {
	n := 0
	for _, v := range operands {
		if elems, ok := v.([]any); ok {
			n += len(elems)
		} else {
			n++
		}
	}
	if err := m.writeList(n); err != nil || n == 0 {
		return emptyList, err
	}
	out := make([]any, 0, n)
	for _, v := range operands {
		if elems, ok := v.([]any); ok {
			out = append(out, elems...)
		} else {
			out = append(out, v)
		}
	}
	return slices.Clip(out), nil
}

// emptyList is boxed once; it has no room to grow into.
var emptyList any = []any{}
