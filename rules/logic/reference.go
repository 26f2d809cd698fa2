package logic

import (
	"strconv"
	"strings"
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
