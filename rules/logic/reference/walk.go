package reference

import (
	"fmt"
	"slices"
	"strings"
)

// walk goes through a rule once, with all that each operation can meet at the
// same time: a predicate is walked over all elements at once. So it takes about
// as long as the rule and the data are large, however long an evaluation would.
type walk struct {
	astral bool
	times  float64 // how often the node is evaluated, at most
	steps  float64 // of the library, at most
	spent  int     // of the walk itself
	err    error   // the first refusal; nothing is walked after it
}

// scope is what the names of an expression are looked up in: the sample, an
// element, or, in a reduce, an element and an accumulator.
type scope struct {
	is     possible
	reduce bool // is holds the elements, which are called "current"

	// replaces says that the library puts values of this scope into the
	// predicate of an iterator before it evaluates that, so that its names mean
	// these values also further inside.
	replaces bool
}

func (w *walk) refuse(n *node, format string, args ...any) {
	if w.err == nil {
		w.err = n.at.Errorf("%w: %s", ErrNotComparable, fmt.Sprintf(format, args...))
	}
}

// work counts steps of the library at the node, at each of its evaluations.
func (w *walk) work(n *node, steps float64) {
	if w.steps += w.times * steps; w.steps > MaxWork {
		w.refuse(n, "more than %d steps of work", MaxWork)
	}
}

func (w *walk) node(n *node, scopes []scope) possible {
	if w.err != nil {
		return possible{}
	}
	w.work(n, 1)
	var p possible
	switch {
	case n.operation():
		p = n.operator.judge(w, n, scopes)
	case n.constant():
		w.work(n, weight(n.value))
		p = possible{known: []any{n.value}}
	default:
		p = computedList(w.nodes(n.operands, scopes))
	}
	if w.spent += p.size(); w.spent > MaxWork {
		w.refuse(n, "more than %d values to think of", MaxWork)
	}
	return p
}

func (w *walk) nodes(nodes []node, scopes []scope) []possible {
	out := make([]possible, len(nodes))
	for i := range nodes {
		out[i] = w.node(&nodes[i], scopes)
	}
	return out
}

// judge says what an operation can give, and refuses it where the library means
// something else.
type judge func(w *walk, n *node, scopes []scope) possible

// eager is a judge that needs to know what the operands can be and no more.
func eager(f func(w *walk, n *node, operands []possible) possible) judge {
	return func(w *walk, n *node, scopes []scope) possible {
		operands := w.nodes(n.operands, scopes)
		for _, o := range operands {
			w.work(n, 1+float64(o.textBytes())/8)
		}
		return f(w, n, operands)
	}
}

func judgeVar(w *walk, n *node, scopes []scope) possible {
	path, own := n.paths[0], scopes[len(scopes)-1]
	replaced := false
	for _, outer := range scopes[:len(scopes)-1] {
		if outer.replaces && (len(path) > 0 || n.listed) {
			replaced = true
			w.notIn(n, path, outer)
		}
	}
	p, m := w.lookUp(n, path, own)
	if replaced || own.replaces {
		w.work(n, 2*p.weight()) // values in a predicate are copied, and read like one
	}
	if len(n.operands) == 1 {
		if m.absent {
			p.computed |= null
		}
		return p
	}
	if replaced {
		w.refuse(n, "%q with a default, which the library takes before it has an element", strings.Join(path, "."))
	}
	if m.null {
		w.refuse(n, "%q with a default and a null that is there, which the library replaces", strings.Join(path, "."))
	}
	return union(p, w.node(&n.operands[1], scopes))
}

// notIn refuses a name that the library finds in a scope further out.
func (w *walk) notIn(n *node, path []string, outer scope) {
	there := len(path) == 0
	if outer.reduce {
		there = there || slices.Contains([]string{"current", "accumulator", "valueType"}, path[0])
	} else {
		p, m := outer.is.member(path)
		there = there || m.odd || !p.kinds().within(null)
	}
	if there {
		w.refuse(n, "%q, which is also there around the elements, where the library looks first", strings.Join(path, "."))
	}
}

func (w *walk) lookUp(n *node, path []string, in scope) (possible, met) {
	p := in.is
	if in.reduce {
		switch {
		case len(path) == 1 && path[0] == "accumulator":
			return possible{computed: number}, met{}
		case len(path) == 0 || path[0] != "current":
			w.refuse(n, "%q in a reduce, where there are only current and accumulator", strings.Join(path, "."))
			return possible{}, met{}
		}
		path = path[1:]
	}
	out, m := p.member(path)
	if m.odd {
		w.refuse(n, "%q, which goes into a text, or into a list by something else than an index", strings.Join(path, "."))
	}
	return out, m
}

func judgeMissing(w *walk, n *node, scopes []scope) possible {
	var names []any
	for _, path := range n.paths {
		w.work(n, 2)
		names = append(names, strings.Join(path, "."))
		p, _ := w.lookUp(n, path, scopes[len(scopes)-1])
		if p.has("") {
			w.refuse(n, `%q, which is "", and that is not missing to the library`, strings.Join(path, "."))
		}
	}
	return possible{computed: list, elems: &possible{known: names}, length: len(names)}
}

// predicate walks the predicate of an iterator in the scope of the elements.
// The library puts what names mean around the iterator into the predicates of
// some iterators, and what they mean in the element into those of others.
func (w *walk) predicate(n *node, source possible, scopes []scope, around, within bool) possible {
	if !source.kinds().within(list) {
		w.refuse(n, "%q over %v", n.name, source.kinds())
	}
	elements := source.elements()
	if w.spent += elements.size(); w.spent > MaxWork {
		w.refuse(n, "more than %d values to think of", MaxWork)
	}
	inner := slices.Clone(scopes)
	if around {
		inner[len(inner)-1].replaces = true
	}
	inner = append(inner, scope{is: elements, reduce: n.name == "reduce", replaces: within})
	times := w.times
	w.times *= float64(max(1, source.longest()))
	p := w.node(&n.operands[1], inner)
	w.times = times
	return p
}

func judgeMap(w *walk, n *node, scopes []scope) possible {
	source := w.node(&n.operands[0], scopes)
	elem := w.predicate(n, source, scopes, false, false)
	return possible{computed: list, elems: &elem, length: source.longest()}
}

func judgeFilter(w *walk, n *node, scopes []scope) possible {
	source := w.node(&n.operands[0], scopes)
	w.truth(n, w.predicate(n, source, scopes, true, false))
	elem := source.elements()
	return possible{computed: list, elems: &elem, length: source.longest()}
}

func judgeReduce(w *walk, n *node, scopes []scope) possible {
	source := w.node(&n.operands[0], scopes)
	if source.elements().kinds()&null != 0 {
		w.refuse(n, "a null in a reduce, which the library skips")
	}
	if p := w.predicate(n, source, scopes, false, false); !p.kinds().within(number) {
		w.refuse(n, "a reduce to %v", p.kinds())
	}
	return possible{computed: number}
}

// quantifier judges all, some and none.
func quantifier(around, within bool) judge {
	return func(w *walk, n *node, scopes []scope) possible {
		source := w.node(&n.operands[0], scopes)
		w.truth(n, w.predicate(n, source, scopes, around, within))
		return possible{computed: boolean}
	}
}

// truth refuses what is true to jsonlogic.com and false to the library.
func (w *walk) truth(n *node, p possible) {
	for _, v := range p.known {
		if members, ok := v.(map[string]any); ok && len(members) == 0 {
			w.refuse(n, "the truth of an empty object")
		}
	}
}
