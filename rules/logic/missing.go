package logic

import (
	"math"
	"slices"

	"tocsin.internal/internal/strictjson"
)

// missing gives the names that are not there.
type missing struct {
	*site
	scopes []scopeKind
	need   node // missing_some: how many are enough; else nil
	names  node
	listed bool     // names gives a list of operands
	known  []wanted // when names is constant
}

// wanted is a name that missing asks for.
type wanted struct {
	name any
	reference
}

// compileMissing takes the names as operands, or as one list.
func compileMissing(c *compiler, op operation) node {
	raws := op.operands
	if len(raws) > 0 && raws[0].Kind() == strictjson.Array {
		raws = raws[0].Elems()
	}
	c.nameLiterals(op, raws)
	return c.missing(&missing{site: op.site, names: c.expr(op.arg), listed: op.listed}, raws)
}

// compileMissingSome takes how many names are enough, and a list of names.
func compileMissingSome(c *compiler, op operation) node {
	c.literals(op, aNumber, aList)
	need := c.operand(op, 0)
	if len(op.operands) < 2 {
		return &broken{op.site}
	}
	raws := op.operands[1].Elems()
	c.nameLiterals(op, raws)
	listed := op.operands[1].Kind() == strictjson.Array
	return c.missing(&missing{site: op.site, need: need, names: c.expr(op.operands[1]), listed: listed}, raws)
}

func (c *compiler) nameLiterals(op operation, raws []strictjson.Raw) {
	c.literals(operation{site: op.site, operands: raws}, aName)
}

// missing resolves the names when they are known. raws is how they were written.
func (c *compiler) missing(n *missing, raws []strictjson.Raw) node {
	n.scopes = slices.Clone(c.scopes)
	k, ok := constantOf(n.names)
	if !ok {
		return n
	}
	known, err := n.wanted(newMachine(), k.value)
	if err != nil {
		return &broken{n.site}
	}
	n.known = known
	for i, w := range known {
		at := n.at
		if i < len(raws) {
			at = raws[i].At
		}
		c.name(w.reference, at, false)
	}
	return n
}

func (n *missing) wanted(m *machine, names any) ([]wanted, *Error) {
	all, ok := names.([]any)
	switch {
	case !ok:
		all = []any{names}
	case n.listed && len(all) > 0:
		if first, ok := all[0].([]any); ok {
			all = first
		}
	}
	if err := m.writeList(len(all)); err != nil {
		return nil, err
	}
	out := make([]wanted, len(all))
	for i, name := range all {
		keys, err := dotted(m, name)
		if err != nil {
			return nil, err
		}
		out[i] = wanted{name, resolve(n.scopes, 0, keys)}
	}
	return out, nil
}

func (n *missing) eval(m *machine) (any, *Error) {
	need := math.NaN()
	if n.need != nil {
		v, err := n.need.eval(m)
		if err != nil {
			return nil, err
		}
		if need, err = m.numberOrNaN(v); err != nil {
			return nil, n.failed(err)
		}
	}
	names := n.known
	if names == nil {
		v, err := n.names.eval(m)
		if err != nil {
			return nil, err
		}
		if names, err = n.wanted(m, v); err != nil {
			return nil, n.failed(err)
		}
	}
	absent, err := n.absent(m, names)
	if err != nil {
		return nil, n.failed(err)
	}
	if len(absent) == 0 || float64(len(names)-len(absent)) >= need {
		return emptyList, nil
	}
	return absent, nil
}

// absent gives the names of what is not there, null, or an empty text.
func (n *missing) absent(m *machine, names []wanted) ([]any, *Error) {
	if err := m.spend(len(names)); err != nil {
		return nil, err
	}
	var out []any
	for _, w := range names {
		v, _, err := w.find(m)
		if err != nil {
			return nil, err
		}
		if v == nil || v == "" {
			out = append(out, w.name)
		}
	}
	return out, nil
}
