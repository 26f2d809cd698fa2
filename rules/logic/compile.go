package logic

import (
	"fmt"
	"strconv"

	"tocsin.internal/internal/strictjson"
)

// compiler reads one expression.
type compiler struct {
	table  map[string]operator // a field, because the table's functions compile their operands
	loose  bool                // as CompileLoose
	scopes []scopeKind         // around the expression that is read, the sample first
	depth  int
	deeper bool // than MaxDepth, which was said
	nodes  int  // read so far
	vars   []Var
	errs   []error
	traces *Tracer // that is made, or nil
}

// scopeKind is a scope as far as it is known before there is data.
type scopeKind uint8

const (
	sampleScope  scopeKind = iota
	elementScope           // of map, filter, all, some, none
	reduceScope            // current and accumulator
	errorScope             // the operands of try after the first
)

// operation is an operator with its operands, as they were written.
type operation struct {
	*site
	arg      strictjson.Raw
	operands []strictjson.Raw
	listed   bool // the operands stand in a list
}

func (c *compiler) errorf(at strictjson.Place, format string, args ...any) {
	c.errs = append(c.errs, at.Errorf(format, args...))
}

func (c *compiler) expr(raw strictjson.Raw) node {
	if c.traces != nil {
		return c.traced(raw)
	}
	return c.bare(raw)
}

func (c *compiler) bare(raw strictjson.Raw) node {
	c.nodes++
	if raw.Kind() != strictjson.Array && raw.Kind() != strictjson.Object {
		return constant{raw.Any()}
	}
	if c.depth == MaxDepth {
		if !c.deeper {
			c.errorf(raw.At.Start().As(strictjson.TooLarge), "expression nested deeper than %d levels", MaxDepth)
		}
		c.deeper = true
		return constant{}
	}
	c.depth++
	defer func() { c.depth-- }()
	if raw.Kind() == strictjson.Array {
		return c.list(raw)
	}
	return c.object(raw)
}

func (c *compiler) exprs(raws []strictjson.Raw) []node {
	nodes := make([]node, len(raws))
	for i, raw := range raws {
		nodes[i] = c.expr(raw)
	}
	return nodes
}

func (c *compiler) list(raw strictjson.Raw) node {
	elems := c.exprs(raw.Elems())
	values, ok := constants(elems)
	if ok {
		return constant{values}
	}
	return &list{&site{"[]", raw.At}, elems}
}

func (c *compiler) object(raw strictjson.Raw) node {
	if len(raw.Members()) != 1 {
		if !c.loose {
			c.errorf(raw.At.As(CodeKeys), `object with %d keys; an operation has exactly one key, and "preserve" takes a value as it stands`, len(raw.Members()))
		}
		return constant{raw.Any()}
	}
	member := raw.Members()[0]
	row, ok := c.table[member.Name]
	if !ok {
		c.errs = append(c.errs, c.unknownOperator(member))
		return constant{}
	}
	op := operation{site: &site{member.Name, member.Key}, arg: member.Value, operands: []strictjson.Raw{member.Value}}
	if op.arg.Kind() == strictjson.Array {
		op.operands, op.listed = op.arg.Elems(), true
	}
	if !c.loose && !c.count(op, row) {
		return constant{}
	}
	if row.lazy && !op.listed {
		return &broken{op.site}
	}
	return row.compile(c, op)
}

func (c *compiler) unknownOperator(m strictjson.Member) error {
	known := make([]string, 0, len(c.table))
	for name := range c.table {
		known = append(known, name)
	}
	at, hint := m.Key.As(CodeOperator).Renamed(m.Name, known), strictjson.DidYouMean(m.Name, known)
	if meant, ok := elsewhere[m.Name]; ok {
		hint = fmt.Sprintf("; did you mean %q?", meant)
		if at = at.Instead(strconv.Quote(meant)); meant == "in" {
			at = m.Key.As(CodeOperator) // whose operands are the other way round
		}
	}
	if hint == "" {
		hint = `; want one of jsonlogic.com's, or "preserve" around a value that is no operation`
	}
	return at.Errorf("%w %q%s", ErrUnknownOperator, m.Name, hint)
}

// count checks the number of operands of an operation in a rule document.
func (c *compiler) count(op operation, row operator) bool {
	if !op.listed && row.lazy {
		c.errorf(op.at.As(CodeOperands), "%q has an operand that is not in a list; want a list of operands", op.operator)
		return false
	}
	if !op.listed && op.arg.Kind() == strictjson.Object && row.max == many {
		return true // an operation that may give any number of operands
	}
	if n := len(op.operands); n < row.min || n > row.max {
		noun := "operands"
		if n == 1 {
			noun = "operand"
		}
		c.errorf(op.at.As(CodeOperands), "%q has %d %s; want %s", op.operator, n, noun, row.wants())
		return false
	}
	return true
}

func (row operator) wants() string {
	switch {
	case row.max == many:
		return fmt.Sprintf("at least %d", row.min)
	case row.max == row.min:
		return fmt.Sprintf("exactly %d", row.min)
	}
	return fmt.Sprintf("%d to %d", row.min, row.max)
}

// literals checks the literal operands of an operation in a rule document; the
// last check holds for all further operands.
func (c *compiler) literals(op operation, checks ...literal) {
	if c.loose || len(checks) == 0 {
		return
	}
	for i, raw := range op.operands {
		if raw.Kind() == strictjson.Object {
			continue
		}
		if want := checks[min(i, len(checks)-1)](raw); want != "" {
			c.errorf(raw.At.As(CodeOperands), "%q can never work with %s; want %s", op.operator, raw.Shown(), want)
		}
	}
}

// operand is the operand i, or a null when there are fewer.
func (c *compiler) operand(op operation, i int) node {
	if i >= len(op.operands) {
		return constant{}
	}
	return c.expr(op.operands[i])
}

// within reads an expression in a further scope. size is what one evaluation
// of it costs.
func (c *compiler) within(kind scopeKind, read func() node) (n node, size int) {
	before := c.nodes
	c.scopes = append(c.scopes, kind)
	n = read()
	c.scopes = c.scopes[:len(c.scopes)-1]
	return n, c.nodes - before
}

// broken is an operation that always fails.
type broken struct{ *site }

func (n *broken) eval(*machine) (any, *Error) { return nil, n.failed(errInvalid) }

// constant is a value of the expression.
type constant struct{ value any }

func (n constant) eval(*machine) (any, *Error) { return n.value, nil }

// constantOf is the value that a node is, traced or not.
func constantOf(n node) (constant, bool) {
	if t, ok := n.(*traced); ok {
		n = t.node
	}
	k, ok := n.(constant)
	return k, ok
}

// constants are the values of nodes that are all constant.
func constants(nodes []node) ([]any, bool) {
	values := make([]any, len(nodes))
	for i, n := range nodes {
		k, ok := constantOf(n)
		if !ok {
			return nil, false
		}
		values[i] = k.value
	}
	return values, true
}

// list is a list of the expression with operations in it.
type list struct {
	*site
	elems []node
}

func (n *list) eval(m *machine) (any, *Error) {
	if err := m.writeList(len(n.elems)); err != nil {
		return nil, n.failed(err)
	}
	out := make([]any, len(n.elems))
	for i, e := range n.elems {
		v, err := e.eval(m)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// function is an operator that works on the values of its operands. It must not
// keep the slice.
type function func(m *machine, operands []any) (any, *Error)

// eager compiles an operator that is a function.
func eager(f function, checks ...literal) func(*compiler, operation) node {
	return func(c *compiler, op operation) node {
		c.literals(op, checks...)
		return &call{site: op.site, function: f, operands: c.exprs(op.operands)}
	}
}

// spread compiles an operator that is a function and, where its only operand is
// not written as a list but gives one, takes the elements as its operands.
func spread(f function, checks ...literal) func(*compiler, operation) node {
	return func(c *compiler, op operation) node {
		c.literals(op, checks...)
		return &call{site: op.site, function: f, operands: c.exprs(op.operands), spread: !op.listed}
	}
}

// call applies a function to the values of its operands.
type call struct {
	*site
	function function
	operands []node
	spread   bool
}

func (n *call) eval(m *machine) (any, *Error) {
	base := len(m.operands)
	for _, o := range n.operands {
		v, err := o.eval(m)
		if err != nil {
			m.drop(base)
			return nil, err
		}
		m.operands = append(m.operands, v)
	}
	operands := m.operands[base:]
	if n.spread {
		if elems, ok := operands[0].([]any); ok {
			operands = elems
		}
	}
	v, err := n.function(m, operands)
	m.drop(base)
	if err != nil {
		return nil, n.failed(err)
	}
	return v, nil
}

// operand is the operand i, or null when there are fewer.
func operand(operands []any, i int) any {
	if i >= len(operands) {
		return nil
	}
	return operands[i]
}
