package reference

import (
	"math/bits"
	"slices"
	"strings"
)

// kinds is a set of JSON types.
type kinds uint8

const (
	null kinds = 1 << iota
	boolean
	number
	text
	list
	object
)

var kindNames = [...]string{"null", "a boolean", "a number", "a text", "a list", "an object"}

func (k kinds) String() string {
	var names []string
	for ; k != 0; k &= k - 1 {
		names = append(names, kindNames[bits.TrailingZeros8(uint8(k))])
	}
	return strings.Join(names, " or ")
}

// within says whether k holds nothing but what other holds.
func (k kinds) within(other kinds) bool { return k&^other == 0 }

func kindOf(v any) kinds {
	switch v.(type) {
	case bool:
		return boolean
	case float64:
		return number
	case string:
		return text
	case []any:
		return list
	case map[string]any:
		return object
	}
	return null
}

// possible is what an expression can give: known values, which are parts of the
// data or of the rule, and values that operations compute.
type possible struct {
	known    []any
	computed kinds
	elems    *possible // of computed lists, nil when these are empty
	length   int       // of computed lists, at most
	bytes    int       // of computed texts, at most
}

// kinds are those of all values, known or computed.
func (p possible) kinds() kinds {
	k := p.computed
	for _, v := range p.known {
		k |= kindOf(v)
	}
	return k
}

// has says whether a known value is the scalar.
func (p possible) has(scalar any) bool {
	return slices.ContainsFunc(p.known, func(v any) bool { return kindOf(v)&(list|object) == 0 && v == scalar })
}

// longest is the length of the longest list.
func (p possible) longest() int {
	n := p.length
	for _, v := range p.known {
		if elems, ok := v.([]any); ok {
			n = max(n, len(elems))
		}
	}
	return n
}

// textBytes is the length of the longest text.
func (p possible) textBytes() int {
	n := p.bytes
	for _, v := range p.known {
		if s, ok := v.(string); ok {
			n = max(n, len(s))
		}
	}
	return n
}

// weight is how many values and eights of bytes the heaviest value is.
func (p possible) weight() float64 {
	w := 1 + float64(p.bytes)/8
	if p.elems != nil {
		w += float64(p.length) * p.elems.weight()
	}
	for _, v := range p.known {
		w = max(w, weight(v))
	}
	return w
}

func weight(v any) float64 {
	w := 1.0
	switch v := v.(type) {
	case string:
		w += float64(len(v)) / 8
	case []any:
		for _, e := range v {
			w += weight(e)
		}
	case map[string]any:
		for _, e := range v {
			w += weight(e)
		}
	}
	return w
}

// union is what one of the parts gives.
func union(parts ...possible) possible {
	var out possible
	var elems []possible
	for _, p := range parts {
		out.known = append(out.known, p.known...)
		out.computed |= p.computed
		out.length = max(out.length, p.length)
		out.bytes = max(out.bytes, p.bytes)
		if p.elems != nil {
			elems = append(elems, *p.elems)
		}
	}
	if elems != nil {
		all := union(elems...)
		out.elems = &all
	}
	return out
}

// elements are those of all lists.
func (p possible) elements() possible {
	var out possible
	if p.elems != nil {
		out = *p.elems
		out.known = slices.Clone(out.known)
	}
	for _, v := range p.known {
		if elems, ok := v.([]any); ok {
			out.known = append(out.known, elems...)
		}
	}
	return out
}

// met is what a path meets on its way.
type met struct {
	absent bool // there is nothing at its end
	null   bool // there is a null at its end
	odd    bool // it goes into a list by something else than an index, or into a text
}

func (m met) and(n met) met {
	return met{m.absent || n.absent, m.null || n.null, m.odd || n.odd}
}

// member is what the path leads to, where that is not absent.
func (p possible) member(path []string) (out possible, m met) {
	if len(path) == 0 {
		return p, met{null: p.kinds()&null != 0}
	}
	for _, v := range p.known {
		part, one := member(v, path)
		m = m.and(one)
		if !one.absent {
			out.known = append(out.known, part)
		}
	}
	m = m.and(met{absent: p.computed != 0, odd: p.computed&text != 0})
	if p.computed&list == 0 {
		return out, m
	}
	m.odd = m.odd || !index(path[0])
	if p.elems == nil {
		return out, m
	}
	below, more := p.elems.member(path[1:])
	return union(out, below), m.and(more)
}

func member(v any, path []string) (part any, m met) {
	for _, name := range path {
		found := false
		switch parent := v.(type) {
		case map[string]any:
			v, found = parent[name]
		case []any:
			m.odd = m.odd || !index(name)
			v, found = elem(parent, name)
		case string:
			m.odd = true
		}
		if !found {
			m.absent = true
			return nil, m
		}
	}
	m.null = v == nil
	return v, m
}

// index says whether a name is one of a list's element as JavaScript has it: no
// leading zeros, no more digits than a list can need.
func index(name string) bool {
	if name == "" || len(name) > 9 || name[0] == '0' && name != "0" {
		return false
	}
	for i := range len(name) {
		if name[i] < '0' || name[i] > '9' {
			return false
		}
	}
	return true
}

func elem(elems []any, name string) (any, bool) {
	if !index(name) {
		return nil, false
	}
	i := 0
	for _, digit := range []byte(name) {
		i = i*10 + int(digit-'0')
	}
	if i >= len(elems) {
		return nil, false
	}
	return elems[i], true
}

// size is how many known values there are.
func (p possible) size() int {
	n := 1 + len(p.known)
	if p.elems != nil {
		n += p.elems.size()
	}
	return n
}

// computedList is a list of what the parts can be.
func computedList(parts []possible) possible {
	elems := union(parts...)
	return possible{computed: list, elems: &elems, length: len(parts)}
}
