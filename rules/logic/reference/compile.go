package reference

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"tocsin.internal/internal/strictjson"
)

// node is a part of a rule: an operation, a list with operations in it, or a
// value.
type node struct {
	at       strictjson.Place
	name     string // of the operator, "" when there is none
	operator *operator
	operands []node // of the operation, or the elements of the list
	listed   bool   // the operands stand in a list
	value    any    // when there are no operands

	paths [][]string // of var, missing and missing_some
}

func (n *node) operation() bool { return n.operator != nil }

// constant says whether the node is a value.
func (n *node) constant() bool { return n.operator == nil && n.operands == nil }

// compiler reads one expression.
type compiler struct {
	astral bool
	deeper bool // than MaxDepth, which was said
	errs   []error
}

func (c *compiler) refuse(at strictjson.Place, format string, args ...any) {
	c.errs = append(c.errs, at.Errorf("%w: %s", ErrNotComparable, fmt.Sprintf(format, args...)))
}

func (c *compiler) node(raw strictjson.Raw, depth int) node {
	n := node{at: raw.At}
	switch raw.Kind() {
	case strictjson.Array:
		if c.tooDeep(raw, depth) {
			return n
		}
		c.list(&n, raw, depth)
	case strictjson.Object:
		if c.tooDeep(raw, depth) {
			return n
		}
		c.operation(&n, raw, depth)
	default:
		n.value = raw.Any()
		c.astral = c.astral || astral(raw.Str())
	}
	return n
}

func (c *compiler) tooDeep(raw strictjson.Raw, depth int) bool {
	if depth < MaxDepth {
		return false
	}
	if !c.deeper {
		c.refuse(raw.At, "nested deeper than %d levels", MaxDepth)
	}
	c.deeper = true
	return true
}

func (c *compiler) nodes(raws []strictjson.Raw, depth int) (nodes []node, constant bool) {
	nodes, constant = make([]node, len(raws)), true
	for i, raw := range raws {
		nodes[i] = c.node(raw, depth+1)
		constant = constant && nodes[i].constant()
	}
	return nodes, constant
}

func (c *compiler) list(n *node, raw strictjson.Raw, depth int) {
	elems, constant := c.nodes(raw.Elems(), depth)
	if !constant {
		n.operands = elems
		return
	}
	values := make([]any, len(elems))
	for i, e := range elems {
		values[i] = e.value
	}
	n.value = values
}

// operation reads an object. One that is not an operation would stay as it is,
// with whatever is in it, and a var could fetch that for the library to run.
func (c *compiler) operation(n *node, raw strictjson.Raw, depth int) {
	if len(raw.Members()) != 1 {
		c.refuse(raw.At, "an object with %d keys", len(raw.Members()))
		return
	}
	m := raw.Members()[0]
	op, ok := operators[m.Name]
	if !ok {
		c.refuse(m.Key, "the operator %q", m.Name)
		return
	}
	n.at, n.name, n.operator = m.Key, m.Name, &op
	n.listed = m.Value.Kind() == strictjson.Array
	raws := []strictjson.Raw{m.Value}
	if n.listed {
		raws = m.Value.Elems()
	}
	if !n.listed && !op.bare {
		c.refuse(n.at, "%q with an operand that is not in a list", n.name)
	}
	if len(raws) < op.min || len(raws) > op.max {
		c.refuse(n.at, "%q with %d operands", n.name, len(raws))
		return
	}
	n.operands, _ = c.nodes(raws, depth)
	if op.compile != nil {
		op.compile(c, n)
	}
}

// compileVar wants the name as a text, which is a plain path, or, alone, as an
// index. The default can be anything.
func compileVar(c *compiler, n *node) {
	name := n.operands[0]
	if f, ok := name.value.(float64); ok && !n.listed && f == math.Trunc(f) && !math.Signbit(f) && f < 1<<53 {
		n.paths = [][]string{{strconv.FormatFloat(f, 'f', -1, 64)}}
		return
	}
	c.path(n, name)
}

// compileMissing wants names, each of them written.
func compileMissing(c *compiler, n *node) {
	for _, name := range n.operands {
		c.path(n, name)
	}
}

func compileMissingSome(c *compiler, n *node) {
	if f, ok := n.operands[0].value.(float64); !ok || f != math.Trunc(f) || f < 0 || f > 1<<31 {
		c.refuse(n.operands[0].at, "%q of a number that is not written or not whole", n.name)
	}
	names, ok := n.operands[1].value.([]any)
	if !ok {
		c.refuse(n.operands[1].at, "%q with names that are not written", n.name)
	}
	for _, name := range names {
		c.path(n, node{at: n.operands[1].at, value: name})
	}
}

func (c *compiler) path(n *node, name node) {
	path, ok := name.value.(string)
	if !ok {
		c.refuse(name.at, "%q with a name that is not a written text", n.name)
		return
	}
	if path == "" && n.name == "var" {
		n.paths = append(n.paths, nil)
		return
	}
	parts := strings.Split(path, ".")
	if slices.Contains(parts, "") {
		c.refuse(name.at, "%q of %q, a path with an empty part", n.name, path)
		return
	}
	n.paths = append(n.paths, parts)
}

// compileSubstr wants a written window.
func compileSubstr(c *compiler, n *node) {
	for _, window := range n.operands[1:] {
		if f, ok := window.value.(float64); !ok || f != math.Trunc(f) || math.Abs(f) > 1<<31 {
			c.refuse(window.at, "%q with a window that is not written in whole numbers", n.name)
		}
	}
}

// compileIterator refuses what the library does not evaluate: operations in a
// list that is written as the source. Elements they would be, and run. A null
// is no predicate to the community's suites.
func compileIterator(c *compiler, n *node) {
	if source := n.operands[0]; !source.operation() && !source.constant() {
		c.refuse(source.at, "%q over a written list with operations in it", n.name)
	}
	if predicate := n.operands[1]; predicate.constant() && predicate.value == nil {
		c.refuse(predicate.at, "%q with null for a predicate", n.name)
	}
}

// compileQuantifier wants a predicate that is still an operation after the
// library has replaced names by what they stand for.
func compileQuantifier(c *compiler, n *node) {
	compileIterator(c, n)
	predicate := n.operands[1]
	whole := predicate.name == "var" && !predicate.listed && predicate.operands != nil && predicate.operands[0].value == ""
	if !predicate.operation() || predicate.name == "var" && !whole {
		c.refuse(predicate.at, "%q with a predicate that is not an operation", n.name)
	}
}

func compileReduce(c *compiler, n *node) {
	compileIterator(c, n)
	if !n.operands[1].operation() {
		c.refuse(n.operands[1].at, "%q with a predicate that is not an operation", n.name)
	}
	if _, ok := n.operands[2].value.(float64); !ok {
		c.refuse(n.operands[2].at, "%q from something else than a written number", n.name)
	}
}
