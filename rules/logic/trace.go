package logic

import (
	"slices"

	"tocsin.internal/internal/strictjson"
)

// Tracer is an expression that tells how it is judged: part by part, with every
// value. It is the plain form with a note around each node, so that it judges
// as [Expr.Decide] does; it is for people, never for the hot path. It is
// immutable: any number of goroutines may use it.
type Tracer struct {
	root  node
	parts []Part
}

// Part is an operation, a list or a value of the expression.
type Part struct {
	Raw      strictjson.Raw // as it was written; Raw.At is its place
	Operator string         // "" for a list or a value
	Operands []int          // its parts, as indexes of [Tracer.Parts]

	variable *variable // that it is, or nil
	outer    bool      // the variable is of the sample, and read outside of iterations
	each     int       // the operand that is judged for each element, or -1
	quantity *quantity // of all, some and none
	constant bool
}

// Constant says that the part is a value of the expression.
func (p *Part) Constant() bool { return p.constant }

// MaxTraced bounds the nodes that a trace keeps. What is judged beyond it is
// counted, but not kept.
const MaxTraced = 100_000

// keptElements is how many of the first elements of a list are kept, beside the
// last one that was looked at and the first whose predicate was unknown.
const keptElements = 3

// NewTracer reads an expression. The error is that of [Compile].
func NewTracer(raw strictjson.Raw) (*Tracer, error) {
	return newTracer(&compiler{table: operators}, raw)
}

// NewLooseTracer is NewTracer for expressions of [CompileLoose].
func NewLooseTracer(raw strictjson.Raw) (*Tracer, error) {
	return newTracer(&compiler{table: operators, loose: true}, raw)
}

func newTracer(c *compiler, raw strictjson.Raw) (*Tracer, error) {
	t := &Tracer{}
	c.traces = t
	e, err := compile(c, raw)
	if err != nil {
		return nil, err
	}
	t.root = e.root
	return t, nil
}

// Parts are all parts of the expression, each before its operands; the first is
// the whole. They must not be changed.
func (t *Tracer) Parts() []Part { return t.parts }

// traced compiles one part.
func (c *compiler) traced(raw strictjson.Raw) node {
	t := c.traces
	id := len(t.parts)
	t.parts = append(t.parts, Part{Raw: raw, each: -1})
	n := c.bare(raw)
	k, isConstant := constantOf(n)
	if isConstant {
		n = k
		t.parts = t.parts[:id+1] // what a constant is made of is of no interest
	}
	p := Part{Raw: raw, each: -1, constant: isConstant, Operands: t.directly(id)}
	if members := raw.Members(); len(members) == 1 && !isConstant {
		p.Operator = members[0].Name
	}
	switch n := n.(type) {
	case *variable:
		p.variable, p.outer = n, len(c.scopes) == 1
	case *quantified:
		p.quantity = &n.quantity
	}
	if iterates(n) && len(p.Operands) > 1 {
		p.each = p.Operands[1]
	}
	t.parts[id] = p
	return &traced{node: n, id: id}
}

func iterates(n node) bool {
	switch n.(type) {
	case *mapped, *filtered, *reduced, *quantified:
		return true
	}
	return false
}

// directly are the parts after id that are in no other part after it.
func (t *Tracer) directly(id int) []int {
	var out []int
	for i := id + 1; i < len(t.parts); i = t.after(i) {
		out = append(out, i)
	}
	return out
}

// after is the index after the last part of part i.
func (t *Tracer) after(i int) int {
	for len(t.parts[i].Operands) > 0 {
		i = t.parts[i].Operands[len(t.parts[i].Operands)-1]
	}
	return i + 1
}

// Trace is how an expression was judged over one sample.
type Trace struct {
	Verdict Verdict // Failed where Decide has an error
	Err     *Error  // of a Failed
	Root    *Node
	Cut     bool   // there was more to keep than MaxTraced
	Seen    []Seen // by part: what it was, each time that it was judged
}

// Seen is how often a part was each [Verdict].
type Seen [4]int

// Times is how often the part was judged at all.
func (s Seen) Times() int { return s[Unknown] + s[False] + s[True] + s[Failed] }

// Node is one evaluation of a part, or, in an operation that did not need it,
// that there was none.
type Node struct {
	Part      *Part
	ID        int // of the part
	Evaluated bool
	Value     any     // unless Err; of a variable of the sample also when it was not evaluated
	Absent    bool    // it is a variable, and there is nothing
	Unknown   bool    // it read an input that is missing, null or not finite
	Err       *Error  // why it failed
	Decides   bool    // the value of the node around it hangs on this one alone
	Operands  []*Node // in the order of the expression; without the predicate of an iteration

	// Of the predicate of an iteration, for the elements that are kept.
	Elements []*Element
	Looked   int // how many elements were looked at
}

// Element is the predicate of an iteration at one element.
type Element struct {
	Index       int
	Value       any // the element
	Accumulator any // of a reduce, before it
	Predicate   *Node

	size int // nodes
}

// Verdict is what the node is as a condition of its own; Unknown when it was not
// evaluated.
func (n *Node) Verdict() Verdict {
	switch {
	case !n.Evaluated || n.Unknown:
		return Unknown
	case n.Err != nil:
		return Failed
	case truthy(n.Value):
		return True
	}
	return False
}

// Walk visits the node and all nodes in it, each before its operands.
func (n *Node) Walk(visit func(*Node)) {
	visit(n)
	for _, o := range n.Operands {
		o.Walk(visit)
	}
	for _, e := range n.Elements {
		e.Predicate.Walk(visit)
	}
}

// Trace judges the expression over data, as Decide does. The trace shares parts
// with data and with the expression: do not change it.
func (t *Tracer) Trace(data any) *Trace {
	r := &recording{tracer: t, seen: make([]Seen, len(t.parts)), left: MaxTraced}
	m := newMachine()
	m.trace = r
	m.start(data)
	_, err := t.root.eval(m)
	out := &Trace{Root: r.root, Seen: r.seen, Verdict: r.root.Verdict()}
	if out.Verdict == Failed {
		out.Err = err
	}
	r.complete(m, r.root)
	out.Cut = r.cut
	r.root.decide()
	return out
}

// traced is a node that says how it was evaluated.
type traced struct {
	node
	id int
}

func (n *traced) eval(m *machine) (any, *Error) {
	r := m.trace
	var e *Element
	if r.each(n.id) {
		s := m.innermost()
		e = &Element{Index: s.index, Value: s.data, Accumulator: s.accumulator}
	}
	before := m.unknown
	m.unknown = false
	around, own, left := r.open, r.node(n.id), r.left
	r.open = own
	v, err := n.node.eval(m)
	r.open = around
	own.Evaluated, own.Unknown, own.Err = true, m.unknown, err
	if err == nil {
		own.Value = v
	}
	if own.Part.variable != nil {
		own.Absent = r.absent(m, own.Part.variable)
	}
	m.unknown = m.unknown || before
	r.seen[n.id][own.Verdict()]++
	r.close(own, e, left-r.left)
	return v, err
}

// recording is a trace under way.
type recording struct {
	tracer *Tracer
	root   *Node
	open   *Node // whose operands are evaluated
	seen   []Seen
	left   int // nodes that may still be kept
	cut    bool
}

func (r *recording) node(id int) *Node { return &Node{Part: &r.tracer.parts[id], ID: id} }

// each says whether a part is the predicate of the operation that is open.
func (r *recording) each(id int) bool { return r.open != nil && r.open.Part.each == id }

// absent says whether there is nothing at a variable. To ask costs the
// evaluation nothing.
func (r *recording) absent(m *machine, v *variable) bool {
	work := m.work
	_, found, _ := v.find(m)
	m.work = work
	return !found
}

// close gives a node that was evaluated to the one around it.
func (r *recording) close(n *Node, e *Element, size int) {
	switch {
	case r.open == nil:
		r.root = n
	case r.left == 0:
		r.cut = true
	case e != nil:
		e.Predicate, e.size = n, size+1
		r.element(e)
	default:
		r.left--
		r.open.Operands = append(r.open.Operands, n)
	}
}

// element keeps the first elements, the first one that is unknown, and the last.
func (r *recording) element(e *Element) {
	n := r.open
	n.Looked++
	r.left--
	last := len(n.Elements) - 1
	if last < keptElements || last == keptElements && n.Elements[last].Predicate.Unknown {
		n.Elements = append(n.Elements, e)
		return
	}
	r.left += n.Elements[last].size
	n.Elements[last] = e
}

// complete adds, to the node and to all in it, the operands that were not evaluated,
// with the values of their variables.
func (r *recording) complete(m *machine, n *Node) {
	if v := n.Part.variable; v != nil && !n.Evaluated && n.Part.outer {
		value, found, _ := v.find(m)
		n.Value, n.Absent = value, !found
	}
	evaluated := n.Operands
	n.Operands = nil
	for _, id := range n.Part.Operands {
		if id == n.Part.each && n.Looked > 0 {
			continue
		}
		var o *Node
		if len(evaluated) > 0 && evaluated[0].ID == id {
			o, evaluated = evaluated[0], evaluated[1:]
		} else {
			o = r.node(id)
			if r.left--; r.left <= 0 {
				r.left, r.cut = 0, true
				continue
			}
		}
		r.complete(m, o)
		n.Operands = append(n.Operands, o)
	}
	for _, e := range n.Elements {
		r.complete(m, e.Predicate)
	}
}

// decide marks what the value of a node hangs on alone, and goes on in that, or,
// where all operands count, in all of them.
func (n *Node) decide() {
	if one := n.decisive(); one != nil {
		one.Decides = true
		one.decide()
		return
	}
	if len(n.Elements) > 0 {
		return
	}
	for _, o := range n.Operands {
		if o.Evaluated {
			o.decide()
		}
	}
}

// decisive is the operand, or the predicate at an element, that decides alone;
// nil when there is none.
func (n *Node) decisive() *Node {
	last := n.last()
	if last == nil {
		return nil
	}
	switch op := n.Part.Operator; {
	case op == "try" || op == "??":
		return n.alone(last)
	case n.Unknown:
		return n.alone(n.first(func(o *Node) bool { return o.Unknown }))
	case n.Err != nil:
		return n.alone(n.first(func(o *Node) bool { return o.Err != nil }))
	case op == "if" || op == "?:":
		return last
	case op == "and" && !truthy(n.Value) || op == "or" && truthy(n.Value):
		return n.alone(last)
	case n.Part.quantity != nil && n.Looked > 0 && n.Value == n.Part.quantity.decided:
		return n.Elements[len(n.Elements)-1].Predicate
	}
	return nil
}

// alone is o unless it is the only operand: then there was nothing to decide.
func (n *Node) alone(o *Node) *Node {
	if len(n.Operands)+len(n.Elements) < 2 {
		return nil
	}
	return o
}

// last is what was evaluated last.
func (n *Node) last() *Node {
	if k := len(n.Elements); k > 0 {
		return n.Elements[k-1].Predicate
	}
	for _, o := range slices.Backward(n.Operands) {
		if o.Evaluated {
			return o
		}
	}
	return nil
}

// first is the first that was evaluated and is so; nil when none is.
func (n *Node) first(is func(*Node) bool) *Node {
	for _, o := range n.Operands {
		if o.Evaluated && is(o) {
			return o
		}
	}
	for _, e := range n.Elements {
		if is(e.Predicate) {
			return e.Predicate
		}
	}
	return nil
}
