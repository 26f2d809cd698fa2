package logic

import (
	"cmp"
	"math"
	"slices"
)

// numberColumn answers one comparison for all rules of a group at once. Rule i
// asks whether a number lies between lo[i] and hi[i]; as the number grows, rule
// after rule begins to hold, and ends. So the answer of all is a bit set that
// hangs on how many of the sorted bounds are passed. Every few bounds the whole
// set is kept, between them what changes: that takes memory in proportion to
// the rules, where a set for each bound would take the square.
type numberColumn struct {
	bounds []float64 // ascending, each once
	ends   []uint32  // the changes at bounds[i] are changes[ends[i]:ends[i+1]]
	change []uint32  // rules whose answer changes
	every  int       // bounds from one kept set to the next
	sets   []uint64  // the kept sets, words each
	words  int
}

// keptBytes is how much a column keeps in sets: little enough to stay in the
// cache near the processor, or some bytes a rule when there are very many.
const (
	keptBytes        = 128 << 10
	keptBytesPerRule = 40
)

type bound struct {
	at   float64
	rule uint32
}

func newNumberColumn(nodes []*within) *numberColumn {
	c := &numberColumn{words: (len(nodes) + 63) / 64}
	first := make([]uint64, c.words)
	var bounds []bound
	for i, n := range nodes {
		if !(n.lo <= n.hi) {
			continue // holds of nothing
		}
		if math.IsInf(n.lo, -1) {
			first[i/64] |= 1 << (i % 64)
		} else {
			bounds = append(bounds, bound{n.lo, uint32(i)})
		}
		if !math.IsInf(n.hi, 1) {
			bounds = append(bounds, bound{math.Nextafter(n.hi, math.Inf(1)), uint32(i)})
		}
	}
	slices.SortFunc(bounds, func(a, b bound) int { return cmp.Compare(a.at, b.at) })
	for _, b := range bounds {
		if n := len(c.bounds); n == 0 || c.bounds[n-1] != b.at {
			c.bounds = append(c.bounds, b.at)
			c.ends = append(c.ends, uint32(len(c.change)))
		}
		c.change = append(c.change, b.rule)
	}
	c.ends = append(c.ends, uint32(len(c.change)))
	c.keep(first, max(keptBytes, keptBytesPerRule*len(nodes)))
	return c
}

// keep makes the sets, of which set is the first.
func (c *numberColumn) keep(set []uint64, bytes int) {
	c.every = 1 + (len(c.bounds)+1)*c.words*8/bytes
	c.sets = append(c.sets, set...)
	for i := range c.bounds {
		for _, rule := range c.change[c.ends[i]:c.ends[i+1]] {
			set[rule/64] ^= 1 << (rule % 64)
		}
		if (i+1)%c.every == 0 {
			c.sets = append(c.sets, set...)
		}
	}
}

// passed is how many bounds are not above v. near is where the answer may be.
func (c *numberColumn) passed(v float64, near int) int {
	b := c.bounds
	if (near == 0 || b[near-1] <= v) && (near == len(b) || v < b[near]) {
		return near
	}
	low, n := 0, len(b)
	for n > 0 {
		half := n >> 1
		if b[low+half] <= v {
			low += half + 1
			n -= half + 1
		} else {
			n = half
		}
	}
	return low
}

// set gives the answers when so many bounds are passed. It may use buffer.
func (c *numberColumn) set(passed int, buffer []uint64) []uint64 {
	k := passed / c.every
	kept := c.sets[k*c.words : (k+1)*c.words]
	changes := c.change[c.ends[k*c.every]:c.ends[passed]]
	if len(changes) == 0 {
		return kept
	}
	copy(buffer, kept)
	for _, rule := range changes {
		buffer[rule/64] ^= 1 << (rule % 64)
	}
	return buffer
}

// textColumn answers for all rules of a group whether a text is one of theirs.
type textColumn struct {
	few   map[string][]uint32 // the rules of a text
	sets  map[string][]uint64 // as bits, where they are many
	empty []uint64
}

func newTextColumn(nodes []*oneOf) *textColumn {
	words := (len(nodes) + 63) / 64
	c := &textColumn{few: map[string][]uint32{}, sets: map[string][]uint64{}, empty: make([]uint64, words)}
	for i, n := range nodes {
		for _, s := range n.texts {
			if r := c.few[s]; len(r) == 0 || r[len(r)-1] != uint32(i) {
				c.few[s] = append(r, uint32(i))
			}
		}
	}
	for s, rules := range c.few {
		if len(rules) > words {
			c.sets[s] = marked(make([]uint64, words), rules)
			delete(c.few, s)
		}
	}
	return c
}

func marked(set []uint64, rules []uint32) []uint64 {
	for _, rule := range rules {
		set[rule/64] |= 1 << (rule % 64)
	}
	return set
}

// set gives the answers for a text. It may use buffer.
func (c *textColumn) set(text string, buffer []uint64) []uint64 {
	if set, ok := c.sets[text]; ok {
		return set
	}
	rules, ok := c.few[text]
	if !ok {
		return c.empty
	}
	clear(buffer)
	return marked(buffer, rules)
}
