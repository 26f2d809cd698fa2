package scan

// template is a valid sample, cut into pieces. The next sample is likely to have
// the same bytes but for a few scalars. If so, comparing them proves it valid,
// and tells where everything is.
type template struct {
	ready     bool
	pieces    []piece
	constants []constant
	slots     []Value // of the sample that the template was made of
	current   bool    // the slots of the scanner are those of a sample that fitted
	history
}

// piece is a run of bytes and the hole after it.
type piece struct {
	run
	from  int     // where the run is in the template
	found int     // and in the sample
	slot  int     // of the hole, or none
	kinds scalars // of the hole; none after the last run
}

// scalars is a set of kinds.
type scalars uint8

const (
	numbers scalars = 1 << iota
	texts
	words
)

// constant is a slot whose value is always the same, but not its place.
type constant struct {
	slot       int
	start, end place
}

// place is a byte of a piece's run.
type place struct{ piece, offset int }

// fits says whether a sample is as the template has it. If so it is valid, and
// the slots are filled; else they mean nothing.
func (t *template) fits(text []byte, slots []Value) bool {
	if !t.current {
		copy(slots, t.slots)
	}
	t.current = t.matches(text, slots)
	if !t.current {
		return false
	}
	for i := range t.constants {
		c := &t.constants[i]
		v := &slots[c.slot]
		v.Start, v.End = t.offset(c.start), t.offset(c.end)
	}
	t.hits++
	return true
}

func (t *template) offset(at place) uint32 {
	return uint32(t.pieces[at.piece].found + at.offset)
}

// matches compares the runs, and scans what is in the holes.
func (t *template) matches(text []byte, slots []Value) bool {
	p := 0
	for i := 0; ; i++ {
		c := &t.pieces[i]
		if !(within(text, p, prefix) && c.near(text, p) || c.at(text, p)) {
			return false
		}
		c.found = p
		p += len(c.bytes)
		switch {
		case c.kinds == 0:
			return p == len(text)
		case p == len(text):
			return false
		case c.kinds != numbers:
			p = c.fill(text, p, slots)
		case c.slot == none:
			p = skipNumber(text, p)
		default:
			v := &slots[c.slot]
			num, end := number(text, p)
			v.set(Number, p, end)
			v.Num = num
			p = end
		}
		if p < 0 {
			return false
		}
	}
}

// fill scans a hole that has not only numbers.
func (c *piece) fill(text []byte, p int, slots []Value) int {
	if c.kinds&kindOf(text[p]) == 0 {
		return failed
	}
	var v Value
	var end int
	switch kindOf(text[p]) {
	case texts:
		var m marks
		end, m = skipText(text, p)
		v.set(Text, p, end)
		v.Escaped = m != 0 && end >= 0 && m.escaped(text[p:end])
	case words:
		var kind Kind
		kind, end = word(text, p)
		v.set(kind, p, end)
	default:
		var num float64
		num, end = number(text, p)
		v.set(Number, p, end)
		v.Num = num
	}
	if end >= 0 && c.slot != none {
		slots[c.slot] = v
	}
	return end
}

// kindOf gives the kind of a scalar by its first byte.
func kindOf(first byte) scalars {
	switch {
	case first == '"':
		return texts
	case first > '9':
		return words
	}
	return numbers
}
