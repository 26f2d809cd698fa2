package logic

import (
	"cmp"
	"math"
	"slices"
)

// numberColumn answers one comparison for all rules of a group at once. Rule i
// asks whether a finite number lies between lo[i] and hi[i]; as the number grows, rule
// after rule begins to hold, and ends. So the answer of all is a bit set that
// hangs on how many of the sorted bounds are passed. Every few bounds the whole
// set is kept, between them what changes: that takes memory in proportion to
// the rules, where a set for each bound would take the square.
type numberColumn struct {
	// The range of the bounds, from first to last, in equal cells: guide[i] bounds
	// lie before cell i. Where the bounds are spread evenly, that is as good as
	// knowing where a number lies, without the dozen guesses of a binary search.
	first, last float64
	cells       float64  // per unit
	guide       []uint32 // nil when there is no such range

	words  int
	shift  int       // from one kept set to the next are 1<<shift bounds
	sets   []uint64  // the kept sets, words each
	bounds []float64 // ascending, each once
	ends   []uint32  // the changes at bounds[i] are changes[ends[i]:ends[i+1]]
	change []uint32  // rules whose answer changes
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
		if !(n.lo <= n.hi) || math.IsInf(n.lo, 1) {
			continue // holds of no finite number
		}
		if math.IsInf(n.lo, -1) {
			first[i/64] |= 1 << (i % 64)
		} else {
			bounds = append(bounds, bound{n.lo, uint32(i)})
		}
		if end := math.Nextafter(n.hi, math.Inf(1)); !math.IsInf(end, 1) {
			bounds = append(bounds, bound{end, uint32(i)})
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
	c.divide()
	return c
}

// keep makes the sets, of which set is the first.
func (c *numberColumn) keep(set []uint64, bytes int) {
	for (len(c.bounds)>>c.shift+1)*c.words*8 > bytes {
		c.shift++
	}
	c.sets = append(c.sets, set...)
	for i := range c.bounds {
		for _, rule := range c.change[c.ends[i]:c.ends[i+1]] {
			set[rule/64] ^= 1 << (rule % 64)
		}
		if (i+1)&(1<<c.shift-1) == 0 {
			c.sets = append(c.sets, set...)
		}
	}
}

// cellsPerBound is so large that most cells have no bound in them, and whether
// one has is mostly guessed right.
const cellsPerBound = 4

// divide makes the guide.
func (c *numberColumn) divide() {
	n := len(c.bounds)
	if n == 0 {
		c.first = math.Inf(1)
		return
	}
	c.first, c.last = c.bounds[0], c.bounds[n-1]
	c.cells = cellsPerBound * float64(n) / (c.last - c.first)
	if math.IsInf(c.cells, 0) || math.IsInf(c.last-c.first, 0) {
		return // too close together, or too far apart
	}
	c.guide = make([]uint32, c.cell(c.last)+2)
	next := 0
	for i, b := range c.bounds {
		for ; next <= c.cell(b); next++ {
			c.guide[next] = uint32(i)
		}
	}
	c.guide[next] = uint32(n)
}

// cell is where a number not below the first bound lies. Of two numbers the
// greater one never lies before the other, so a number has passed all bounds
// of the cells before its own and none of those behind.
func (c *numberColumn) cell(v float64) int { return int((v - c.first) * c.cells) }

// passed is how many bounds are not above v.
func (c *numberColumn) passed(v float64) int {
	switch {
	case v < c.first:
		return 0
	case v >= c.last:
		return len(c.bounds)
	}
	low, n := 0, len(c.bounds)
	if c.guide != nil {
		cell := c.cell(v)
		low, n = int(c.guide[cell]), int(c.guide[cell+1]-c.guide[cell])
	}
	for n > 0 {
		half := n >> 1
		if c.bounds[low+half] <= v {
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
	if c.shift == 0 {
		return c.sets[passed*c.words : (passed+1)*c.words]
	}
	k := passed >> c.shift
	kept := c.sets[k*c.words : (k+1)*c.words]
	changes := c.change[c.ends[k<<c.shift]:c.ends[passed]]
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
