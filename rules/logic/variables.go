package logic

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"tocsin.internal/internal/strictjson"
)

// reference is a place from which a variable is read, with every name resolved.
type reference struct {
	up    int // scopes to go out
	from  origin
	parts []part
}

// origin is what of a scope the parts of a reference begin at.
type origin uint8

const (
	fromNowhere origin = iota
	fromData
	fromAccumulator
	fromReduce    // {"current":…, "accumulator":…}
	fromIndex     // of the iteration
	fromList      // that is iterated
	fromIteration // {"index":…, "iterator":…}
)

// part is one name of a path.
type part struct {
	key   string
	index int // the key as an index of a list, or -1
}

func parts(keys []string) []part {
	out := make([]part, len(keys))
	for i, key := range keys {
		out[i] = part{key, listIndex(key)}
	}
	return out
}

// listIndex takes "0" and "17" for an index, but not "01", "-1" or "1e0".
func listIndex(key string) int {
	if len(key) > 1 && key[0] == '0' || strings.TrimLeft(key, "0123456789") != "" {
		return -1
	}
	i, err := strconv.Atoi(key)
	if err != nil {
		return -1
	}
	return i
}

// resolve gives the reference of keys as they are written within scopes. Each
// scope but the sample is two levels: the level climbed first is the iteration
// itself, with its index, the next one is the scope around it.
func resolve(scopes []scopeKind, climb int, keys []string) reference {
	up := climb / 2
	if up >= len(scopes) {
		return reference{}
	}
	r := reference{up: up, from: fromData, parts: parts(keys)}
	kind := scopes[len(scopes)-1-up]
	iteration := climb%2 == 1
	switch {
	case iteration && (kind == sampleScope || kind == errorScope):
		return reference{}
	case iteration:
		return r.named("index", fromIndex, "iterator", fromList, fromIteration)
	case kind == reduceScope:
		return r.named("current", fromData, "accumulator", fromAccumulator, fromReduce)
	}
	return r
}

// named resolves the first part of a reference into something with two names.
func (r reference) named(first string, a origin, second string, b origin, both origin) reference {
	switch {
	case len(r.parts) == 0:
		r.from = both
		return r
	case r.parts[0].key == first:
		r.from = a
	case r.parts[0].key == second:
		r.from = b
	default:
		return reference{}
	}
	r.parts = r.parts[1:]
	return r
}

// find follows the reference. found is false when something on the way is not
// there, which is not the same as a null at its end.
func (r reference) find(m *machine) (v any, found bool, err *Error) {
	if r.from == fromNowhere {
		return nil, false, nil
	}
	s := &m.scopes[len(m.scopes)-1-r.up]
	switch r.from {
	case fromData:
		v = s.data
	case fromAccumulator:
		v = s.accumulator
	case fromReduce:
		v, err = map[string]any{"current": s.data, "accumulator": s.accumulator}, m.writeObject()
	case fromIndex:
		v = float64(s.index)
	case fromList:
		v = s.list
	case fromIteration:
		v, err = map[string]any{"index": float64(s.index), "iterator": s.list}, m.writeObject()
	}
	if err != nil {
		return nil, false, err
	}
	for _, p := range r.parts {
		v, found, err = p.of(m, v)
		if !found || err != nil {
			return nil, false, err
		}
	}
	return v, true, nil
}

// of is JavaScript's property of a value.
func (p part) of(m *machine, v any) (any, bool, *Error) {
	switch x := v.(type) {
	case map[string]any:
		e, ok := x[p.key]
		return e, ok, nil
	case []any:
		if p.index >= 0 && p.index < len(x) {
			return x[p.index], true, nil
		}
		if p.key == "length" {
			return float64(len(x)), true, nil
		}
	case string:
		if p.index < 0 && p.key != "length" {
			return nil, false, nil
		}
		if err := m.readText(x); err != nil {
			return nil, false, err
		}
		n := textLength(x)
		if p.key == "length" {
			return float64(n), true, nil
		}
		if p.index < n {
			return substring(x, p.index, p.index+1), true, nil
		}
	}
	return nil, false, nil
}

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
			c.errorf(raw.At, "%q can never work with %s; want %s", op.operator, raw.Shown(), want)
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
	k, ok := path.(constant)
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
		c.errorf(c.written(op), "%q reads nothing here; %s", op.operator, c.readable())
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
		return &exists{op.site, func(*machine) (reference, *Error) { return n.reference, nil }}
	case *computed:
		return &exists{op.site, n.resolve}
	default:
		return n
	}
}

// exists says whether there is something, be it null, at a path.
type exists struct {
	*site
	resolve func(m *machine) (reference, *Error)
}

func (n *exists) eval(m *machine) (any, *Error) {
	r, err := n.resolve(m)
	if err != nil {
		return nil, err
	}
	_, found, err := r.find(m)
	if err != nil {
		return nil, n.failed(err)
	}
	return found, nil
}

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
	k, ok := n.names.(constant)
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

// emptyList is boxed once; it has no room to grow into.
var emptyList any = []any{}
