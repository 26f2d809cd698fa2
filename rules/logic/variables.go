package logic

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"tocsin.internal/internal/strictjson"
)

// climbed splits what val was given into the levels to climb and the keys: a
// first list of one number is how many levels.
func climbed(m *machine, values []any) (climb int, keys []string, err *Error) {
	if len(values) > 0 {
		if first, ok := values[0].([]any); ok && len(first) == 1 {
			values = values[1:]
			n, err := m.numberOrNaN(first[0])
			if err != nil {
				return 0, nil, err
			}
			climb = levels(n)
		}
	}
	if err := m.spend(len(values)); err != nil {
		return 0, nil, err
	}
	keys = make([]string, len(values))
	for i, v := range values {
		if keys[i], err = m.text(v); err != nil {
			return 0, nil, err
		}
	}
	return climb, keys, nil
}

// levels is how far a val climbs: the sign has no meaning, NaN is not at all, and
// too far is beyond all scopes.
func levels(n float64) int {
	if math.IsNaN(n) {
		return 0
	}
	return int(math.Ceil(min(math.Abs(n), 2*MaxDepth+2)))
}

// dotted splits the path of a var.
func dotted(m *machine, v any) ([]string, *Error) {
	path, err := m.text(v)
	if err != nil || v == nil || path == "" {
		return nil, err
	}
	if err := m.spend(strings.Count(path, ".")); err != nil {
		return nil, err
	}
	return strings.Split(path, "."), nil
}

// variable reads a path that is known.
type variable struct {
	*site
	reference
	fallback node // nil without
	listed   int  // index among the compiler's vars, or -1
}

func (n *variable) eval(m *machine) (any, *Error) {
	return n.read(m, n.reference)
}

func (n *variable) read(m *machine, r reference) (any, *Error) {
	v, found, err := r.find(m)
	if err != nil {
		return nil, n.failed(err)
	}
	if !found && n.fallback != nil {
		return n.fallback.eval(m)
	}
	if r.from != fromAccumulator {
		m.input(v)
	}
	return v, nil
}

// computed reads a path that is worked out each time.
type computed struct {
	variable
	scopes []scopeKind
	path   node
	split  func(m *machine, path any) (climb int, keys []string, err *Error)
}

func (n *computed) eval(m *machine) (any, *Error) {
	r, err := n.resolve(m)
	if err != nil {
		return nil, err
	}
	return n.read(m, r)
}

func (n *computed) resolve(m *machine) (reference, *Error) {
	path, err := n.path.eval(m)
	if err != nil {
		return reference{}, err
	}
	climb, keys, err := n.split(m, path)
	if err != nil {
		return reference{}, n.failed(err)
	}
	return resolve(n.scopes, climb, keys), nil
}

func splitVar(m *machine, path any) (int, []string, *Error) {
	keys, err := dotted(m, path)
	return 0, keys, err
}

// splitVal takes a list for the levels and keys, anything else for one key.
func splitVal(m *machine, path any) (int, []string, *Error) {
	values, ok := path.([]any)
	if !ok {
		values = []any{path}
	}
	return climbed(m, values)
}

func compileVar(c *compiler, op operation) node {
	c.literals(op, aPath, anything)
	hasDefault := len(op.operands) > 1
	n := c.reading(op, c.operand(op, 0), splitVar, !hasDefault)
	if !hasDefault {
		return n
	}
	switch n := n.(type) {
	case *variable:
		n.fallback = c.expr(op.operands[1])
	case *computed:
		n.fallback = c.expr(op.operands[1])
	}
	return n
}

func compileVal(c *compiler, op operation) node {
	return c.reading(op, c.valPath(op), splitVal, true)
}

// valPath is the operand of val and exists: the list that was written, or an
// operation that gives a list or a key.
func (c *compiler) valPath(op operation) node {
	if !c.loose {
		for i, raw := range op.operands {
			want := aName(raw)
			if raw.Kind() == strictjson.Object || want == "" || i == 0 && op.listed && isClimb(raw) {
				continue
			}
			c.errorf(raw.At.As(CodeOperands), "%q can never work with %s; want %s", op.operator, raw.Shown(), want)
		}
	}
	return c.expr(op.arg)
}

// isClimb recognizes [2], which sends val two levels up.
func isClimb(raw strictjson.Raw) bool {
	elems := raw.Elems()
	return len(elems) == 1 && (elems[0].Kind() == strictjson.Number || elems[0].Kind() == strictjson.Object)
}

// reading compiles the reading of a variable.
func (c *compiler) reading(op operation, path node, split func(*machine, any) (int, []string, *Error), required bool) node {
	v := variable{site: op.site, listed: -1}
	k, ok := constantOf(path)
	if !ok {
		return &computed{v, slices.Clone(c.scopes), path, split}
	}
	climb, keys, err := split(newMachine(), k.value)
	if err != nil {
		return &broken{op.site}
	}
	v.reference = resolve(c.scopes, climb, keys)
	v.listed = c.name(v.reference, c.written(op), required)
	if v.from == fromNowhere && !c.loose {
		c.errorf(c.written(op).As(CodeOperands), "%q reads nothing here; %s", op.operator, c.readable())
	}
	return &v
}

// readable says what there is to read.
func (c *compiler) readable() string {
	if c.scopes[len(c.scopes)-1] == reduceScope {
		return `inside reduce there are "current" and "accumulator", and val reaches further out with [[2], "name"]`
	}
	return fmt.Sprintf("val can climb %d levels", 2*(len(c.scopes)-1))
}

// written is where the name of a variable stands.
func (c *compiler) written(op operation) strictjson.Place {
	if len(op.operands) > 0 {
		return op.operands[0].At
	}
	return op.arg.At
}

// name adds a path of the sample to the variables of the expression and gives
// its index there, or -1 when the reference is not one.
func (c *compiler) name(r reference, at strictjson.Place, required bool) int {
	if r.from != fromData || len(r.parts) == 0 || c.scopes[len(c.scopes)-1-r.up] != sampleScope {
		return -1
	}
	keys := make([]string, len(r.parts))
	for i, p := range r.parts {
		keys[i] = p.key
	}
	c.vars = append(c.vars, Var{strings.Join(keys, "."), keys, at, required})
	return len(c.vars) - 1
}

func compileExists(c *compiler, op operation) node {
	switch n := c.reading(op, c.valPath(op), splitVal, false).(type) {
	case *variable:
		return &exists{site: op.site, reference: n.reference}
	case *computed:
		return &exists{site: op.site, computed: n}
	default:
		return n
	}
}

// exists says whether there is something, be it null, at a path.
type exists struct {
	*site
	reference
	computed *computed // gives the reference, unless it is nil
}

func (n *exists) eval(m *machine) (any, *Error) {
	r := n.reference
	if n.computed != nil {
		var err *Error
		if r, err = n.computed.resolve(m); err != nil {
			return nil, err
		}
	}
	_, found, err := r.find(m)
	if err != nil {
		return nil, n.failed(err)
	}
	return found, nil
}
