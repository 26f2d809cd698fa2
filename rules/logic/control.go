package logic

func compileIf(c *compiler, op operation) node { return &conditional{c.exprs(op.operands)} }

// conditional is pairs of a condition and a value, then perhaps a value for
// when no condition holds.
type conditional struct{ operands []node }

func (n *conditional) eval(m *machine) (any, *Error) {
	i := 0
	for ; i+1 < len(n.operands); i += 2 {
		v, err := n.operands[i].eval(m)
		if err != nil {
			return nil, err
		}
		if truthy(v) {
			return n.operands[i+1].eval(m)
		}
	}
	if i < len(n.operands) {
		return n.operands[i].eval(m)
	}
	return nil, nil
}

func compileAnd(c *compiler, op operation) node { return &logical{c.exprs(op.operands), false} }

func compileOr(c *compiler, op operation) node { return &logical{c.exprs(op.operands), true} }

// logical gives the first operand whose truth decides, else the last one.
type logical struct {
	operands []node
	decides  bool
}

func (n *logical) eval(m *machine) (any, *Error) {
	var v any = false // of no operands
	for _, o := range n.operands {
		var err *Error
		if v, err = o.eval(m); err != nil || truthy(v) == n.decides {
			return v, err
		}
	}
	return v, nil
}

func compileCoalesce(c *compiler, op operation) node {
	n := &coalesce{c.exprs(op.operands)}
	for _, o := range n.operands[:max(0, len(n.operands)-1)] {
		if v, ok := o.(*variable); ok && v.listed >= 0 {
			c.vars[v.listed].Required = false
		}
	}
	return n
}

// coalesce gives the first operand that is not null. What was unknown in those
// before it does not count.
type coalesce struct{ operands []node }

func (n *coalesce) eval(m *machine) (any, *Error) {
	for i, o := range n.operands {
		before := m.unknown
		v, err := o.eval(m)
		if err != nil || v != nil || i == len(n.operands)-1 {
			return v, err
		}
		m.unknown = before
	}
	return nil, nil
}

// compileTry reads the operands after the first in the scope of the error that
// the one before failed with.
func compileTry(c *compiler, op operation) node {
	n := &try{site: op.site}
	for i, raw := range op.operands {
		if i == 0 {
			n.operands = append(n.operands, c.expr(raw))
			continue
		}
		o, _ := c.within(errorScope, func() node { return c.expr(raw) })
		n.operands = append(n.operands, o)
	}
	return n
}

// try gives the first operand that does not fail. What was unknown in those
// before it does not count.
type try struct {
	*site
	operands []node
}

func (n *try) eval(m *machine) (any, *Error) {
	var last *Error
	for i, o := range n.operands {
		before := m.unknown
		v, err := n.attempt(m, o, i, last)
		if err == nil || err.final || i == len(n.operands)-1 {
			return v, err
		}
		m.unknown = before
		last = err
	}
	return nil, n.failed(errInvalid)
}

func (n *try) attempt(m *machine, o node, i int, last *Error) (any, *Error) {
	if i == 0 {
		return o.eval(m)
	}
	m.push(scope{data: last.Value})
	v, err := o.eval(m)
	m.pop()
	return v, err
}

func compileThrow(c *compiler, op operation) node {
	return &throw{op.site, c.operand(op, 0)}
}

// throw fails with an object, as it is, or with {"type": anything else}.
type throw struct {
	*site
	operand node
}

func (n *throw) eval(m *machine) (any, *Error) {
	v, err := n.operand.eval(m)
	if err != nil {
		return nil, err
	}
	if elems, ok := v.([]any); ok {
		v = operand(elems, 0)
	}
	object, ok := v.(map[string]any)
	if !ok {
		if err := m.writeObject(); err != nil {
			return nil, n.failed(err)
		}
		object = map[string]any{"type": v}
	}
	kind, err := m.text(object["type"])
	if err != nil {
		return nil, n.failed(err)
	}
	return nil, &Error{Type: kind, Value: object, site: n.site}
}

func not(_ *machine, operands []any) (any, *Error) { return !truthy(operand(operands, 0)), nil }

func truth(_ *machine, operands []any) (any, *Error) { return truthy(operand(operands, 0)), nil }

// compileLog makes log its operand: rules write no log.
func compileLog(c *compiler, op operation) node { return c.operand(op, 0) }

// compilePreserve makes preserve its operand as it stands.
func compilePreserve(_ *compiler, op operation) node { return constant{op.arg.Any()} }
