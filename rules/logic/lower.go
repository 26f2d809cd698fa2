package logic

import (
	"math"

	"tocsin.internal/rules/scan"
)

// lowering makes the quick forms of expressions out of their plain ones. What
// it does not know becomes a giveUp, so an operator that is new to the table
// works at once; to make it quick, give it a case here.
type lowering struct {
	scan   scan.Builder
	pool   []byte // the texts of the expressions
	scopes []quickScope
	nodes  int // that were lowered
	outer  int // of them, how many read from outside the innermost scope
}

// quickScope is where the variables of a scope are found.
type quickScope struct {
	frame int
	table *scan.Table // nil: the sample
	made  bool        // the element is not in the list but was made by a map
	moved bool        // the index is not that of the element in the list
}

func (l *lowering) condition(e *Expr) condition {
	l.scopes = append(l.scopes[:0], quickScope{})
	l.nodes, l.outer = 0, 0
	before := len(l.pool)
	q := l.node(e.root)
	return condition{expr: e, quick: q, nodes: l.nodes, weight: stepsPerNode + len(l.pool) - before}
}

func (l *lowering) node(n node) quick {
	l.nodes++
	switch n := n.(type) {
	case constant:
		return l.constant(n.value)
	case *variable:
		return l.variable(n)
	case *comparison:
		return l.comparison(n)
	case *logical:
		if n.decides {
			return &anyOf{operands: l.all(n.operands)}
		}
		return &allOf{operands: l.all(n.operands)}
	case *conditional:
		return &branches{operands: l.all(n.operands)}
	case *coalesce:
		return &firstPresent{operands: l.all(n.operands)}
	case *missing:
		return l.missing(n)
	case *exists:
		if p, ok := l.place(n.reference); ok && n.computed == nil {
			return &present{place: p}
		}
	case *call:
		return l.call(n)
	case *quantified:
		return l.quantified(n)
	case *reduced:
		return l.reduced(n)
	case *mapped, *filtered:
		if p, ok := l.pipeline(n); ok {
			return &left{pipeline: p}
		}
	}
	return giveUp{}
}

func (l *lowering) all(nodes []node) []quick {
	out := make([]quick, len(nodes))
	for i, n := range nodes {
		out[i] = l.node(n)
	}
	return out
}

func (l *lowering) constant(value any) quick {
	n := &fixed{holds: truthy(value)}
	switch x := value.(type) {
	case nil:
		n.constant = scan.Value{Kind: scan.Null}
	case bool:
		n.constant = boolean(x)
	case float64:
		n.constant = number(x)
	case string:
		start := len(l.pool)
		l.pool = append(l.pool, x...)
		n.constant = scan.Value{Kind: scan.Text, Start: computedText + uint32(start), End: computedText + uint32(len(l.pool))}
	default:
		n.complex = true
	}
	return n
}

// scope is the scope that a reference begins in.
func (l *lowering) scope(r reference) quickScope {
	if r.up > 0 {
		l.outer++
	}
	return l.scopes[len(l.scopes)-1-r.up]
}

// place is the slot of a reference to the data of a scope.
func (l *lowering) place(r reference) (place, bool) {
	if r.from != fromData {
		return place{}, false
	}
	s := l.scope(r)
	if s.made {
		return place{}, false
	}
	return place{s.frame, l.slot(s, r)}, true
}

func keys(parts []part) []string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = p.key
	}
	return out
}

func (l *lowering) slot(s quickScope, r reference) int {
	if s.table == nil {
		return l.scan.Slot(keys(r.parts)...)
	}
	return s.table.Slot(keys(r.parts)...)
}

func (l *lowering) variable(n *variable) quick {
	p, ok := l.place(n.reference)
	switch {
	case ok && n.fallback != nil:
		return &defaulted{place: p, fallback: l.node(n.fallback)}
	case ok && p.frame == 0:
		return &sampleField{p.slot}
	case ok:
		return &rowField{p.frame, p.slot}
	case n.from == fromNowhere || n.fallback != nil || len(n.parts) > 0:
		return giveUp{}
	}
	s := l.scope(n.reference)
	switch {
	case n.from == fromAccumulator:
		return &accumulated{s.frame}
	case n.from == fromIndex && !s.moved:
		return &position{s.frame}
	case n.from == fromData && s.made:
		return &madeElement{s.frame}
	}
	return giveUp{}
}

func (l *lowering) comparison(n *comparison) quick {
	plain := &compared{relation: n.relation, operands: l.all(n.operands)}
	if len(plain.operands) == 3 {
		return l.between(n.relation, plain)
	}
	if len(plain.operands) > 3 {
		return plain
	}
	left, right, r := plain.operands[0], plain.operands[1], n.relation
	if _, ok := left.(*fixed); ok {
		left, right, r = right, left, r.mirrored()
	}
	k, ok := right.(*fixed)
	if !ok {
		return plain
	}
	switch {
	case k.constant.Kind == scan.Number:
		return withinOf(left, r, k.constant.Num, plain)
	case k.constant.Kind == scan.Text && r.isEquality():
		if f, ok := left.(*sampleField); ok {
			return &oneOf{slot: f.slot, texts: []string{l.text(k)}, outside: r == notEqual || r == notIdentical, otherwise: plain}
		}
	}
	return plain
}

// withinOf is the comparison of a field with a number.
func withinOf(left quick, r relation, k float64, plain *compared) quick {
	lo, hi, outside := r.bounds(k)
	n := within{outside: outside, lo: lo, hi: hi, strict: r == identical || r == notIdentical, otherwise: plain}
	switch f := left.(type) {
	case *sampleField:
		n.slot = f.slot
		return &n
	case *rowField:
		n.slot = f.slot
		return &rowWithin{n, f.frame}
	}
	return &ranged{n, left}
}

// between recognizes a chain such as 10 < x < 30.
func (l *lowering) between(r relation, plain *compared) quick {
	low, ok := plain.operands[0].(*fixed)
	field, ok2 := plain.operands[1].(*sampleField)
	high, ok3 := plain.operands[2].(*fixed)
	if !ok || !ok2 || !ok3 || low.constant.Kind != scan.Number || high.constant.Kind != scan.Number {
		return plain
	}
	lo, hi, outside := r.mirrored().bounds(low.constant.Num)
	lo2, hi2, _ := r.bounds(high.constant.Num)
	if outside || r == identical {
		return plain
	}
	return &within{slot: field.slot, lo: math.Max(lo, lo2), hi: math.Min(hi, hi2), otherwise: plain}
}

func (l *lowering) text(n *fixed) string {
	return string(l.pool[n.constant.Start-computedText : n.constant.End-computedText])
}

func (l *lowering) missing(n *missing) quick {
	if n.known == nil {
		return giveUp{}
	}
	q := &absent{}
	if n.need != nil {
		q.need = l.node(n.need)
	}
	for _, w := range n.known {
		l.nodes++
		p, ok := l.place(w.reference)
		if !ok {
			return giveUp{}
		}
		q.places = append(q.places, p)
	}
	return q
}

// unlisted gives up on a list, which would be taken for several operands.
type unlisted struct {
	notNumber
	operand quick
}

func (n *unlisted) value(m *Machine) scan.Value {
	v := n.operand.value(m)
	if v.Kind == scan.List {
		m.flags |= deopt
	}
	return v
}

func (n *unlisted) truth(m *Machine) bool {
	v := n.value(m)
	return m.holds(&v)
}

var foldings = map[string]func(a, b float64) float64{
	"-": minus, "/": over, "%": math.Mod, "max": math.Max, "min": math.Min,
}

var singles = map[string]func(float64) float64{
	"-":   func(f float64) float64 { return -f },
	"/":   func(f float64) float64 { return 1 / f },
	"max": func(f float64) float64 { return f },
	"min": func(f float64) float64 { return f },
}

func (l *lowering) call(n *call) quick {
	if len(n.operands) == 0 {
		return giveUp{}
	}
	if n.operator == "in" {
		return l.in(n)
	}
	operands := l.all(n.operands)
	if n.spread {
		operands[0] = &unlisted{operand: operands[0]}
	}
	switch name := n.operator; name {
	case "!", "!!":
		if len(operands) == 1 {
			return &negated{operand: operands[0], twice: name == "!!"}
		}
	case "+":
		return &summed{operands}
	case "*":
		return &multiplied{operands}
	case "-", "/", "%", "max", "min":
		if of := singles[name]; of != nil && len(operands) == 1 {
			return &single{operator: name, operand: operands[0], of: of}
		}
		if len(operands) > 1 {
			return &folded{operator: name, operands: operands, combine: foldings[name]}
		}
	case "cat":
		return &joined{operands: operands}
	case "substr":
		if len(operands) <= 3 {
			return &cut{operands: operands}
		}
	}
	return giveUp{}
}

func (l *lowering) in(n *call) quick {
	if len(n.operands) != 2 {
		return giveUp{}
	}
	needle := l.node(n.operands[0])
	switch haystack := n.operands[1].(type) {
	case constant:
		if elems, ok := haystack.value.([]any); ok {
			return l.inConstants(needle, elems)
		}
	case *list:
		return &listed{needle: needle, elements: l.all(haystack.elems)}
	}
	q := &found{needle: needle, haystack: l.node(n.operands[1]), table: -1}
	if v, ok := n.operands[1].(*variable); ok && v.fallback == nil {
		if t := l.table(v.reference); t != nil {
			q.table = t.ID()
		}
	}
	return q
}

// inConstants is in with a constant list. Of a field in a list of texts it
// makes the quickest form.
func (l *lowering) inConstants(needle quick, elems []any) quick {
	constants := make([]node, len(elems))
	texts := make([]string, 0, len(elems))
	for i, e := range elems {
		constants[i] = constant{e}
		if s, ok := e.(string); ok {
			texts = append(texts, s)
		}
	}
	plain := &listed{needle: needle, elements: l.all(constants)}
	if field, ok := needle.(*sampleField); ok && len(texts) == len(elems) {
		return &oneOf{slot: field.slot, texts: texts, otherwise: plain}
	}
	return plain
}

// table is the table of the list that a reference reads, nil when there is none.
func (l *lowering) table(r reference) *scan.Table {
	if r.from != fromData {
		return nil
	}
	s := l.scope(r)
	switch {
	case s.made:
		return nil
	case s.table == nil:
		return l.scan.Table(keys(r.parts)...)
	}
	return s.table.Table(keys(r.parts)...)
}

// pipeline lowers the source of an iteration: a list of the sample, or maps and
// filters over one.
func (l *lowering) pipeline(n node) (pipeline, bool) {
	switch n := n.(type) {
	case *mapped:
		return l.stage(&n.iteration, false)
	case *filtered:
		return l.stage(&n.iteration, true)
	case *variable:
		t := l.table(n.reference)
		if n.fallback != nil || t == nil || len(l.scopes) == maxFrames {
			return pipeline{}, false
		}
		return pipeline{source: l.node(n), far: n.up > 0, frame: len(l.scopes), table: t.ID(), origin: t, weight: 2 * stepsPerNode}, true
	}
	return pipeline{}, false
}

func (l *lowering) stage(n *iteration, keep bool) (pipeline, bool) {
	p, ok := l.pipeline(n.source)
	if !ok {
		return p, false
	}
	body := l.body(n, &p)
	p.stages = append(p.stages, stage{body, keep})
	return p, true
}

// body lowers the predicate of an iteration over what the pipeline gives.
func (l *lowering) body(n *iteration, p *pipeline) quick {
	nodes, outer, consts := l.nodes, l.outer, len(l.pool)

	l.scopes = append(l.scopes, quickScope{frame: p.frame, table: p.origin, made: p.made(), moved: len(p.stages) > 0})
	q := l.node(n.predicate)
	l.scopes = l.scopes[:len(l.scopes)-1]
	p.weight += 4*n.size + stepsPerElement + (l.nodes-nodes)*(stepsPerNode+len(l.pool)-consts)
	p.outer += l.outer - outer
	p.nodes += l.nodes - nodes
	if p.far { // each element of the scope around reads all of the list
		l.outer += l.nodes - nodes
	}
	return q
}

func (l *lowering) quantified(n *quantified) quick {
	p, ok := l.pipeline(n.source)
	if !ok {
		return giveUp{}
	}
	q := &counted{quantity: n.quantity}
	q.body = l.body(&n.iteration, &p)
	q.pipeline = p
	return q
}

func (l *lowering) reduced(n *reduced) quick {
	p, ok := l.pipeline(n.source)
	if !ok {
		return giveUp{}
	}
	q := &carried{}
	if n.initial != nil {
		q.initial = l.node(n.initial)
	}
	q.body = l.body(&n.iteration, &p)
	q.pipeline = p
	return q
}
