package scan

// keptValues is how many values of rows are kept for the next sample when it
// does not need them: 1.5 MB.
const keptValues = 1 << 16

// maxValues is how many values the rows of a table may have, 12 MB: a sample of
// a megabyte can have half a million elements. A list that has more is Unread.
const maxValues = 1 << 19

// rows are those of a table, one after another.
type rows struct {
	table
	values []Value
	full   bool // some element has no row
}

func (r *rows) at(row int) []Value {
	return r.values[row*r.width : (row+1)*r.width]
}

func (r *rows) count() int { return len(r.values) / r.width }

// add appends an empty row.
func (r *rows) add() []Value {
	size := len(r.values)
	if size+r.width > cap(r.values) {
		grown := make([]Value, size, 2*size+16*r.width)
		copy(grown, r.values)
		r.values = grown
	}
	r.values = r.values[:size+r.width]
	row := r.values[size:]
	clear(row)
	return row
}

// clear removes all rows, and lets go of their memory if it was much and the
// sample before did with little of it.
func (r *rows) clear() {
	if cap(r.values) > keptValues && len(r.values) < cap(r.values)/4 {
		r.values = nil
	}
	r.values, r.full = r.values[:0], false
}

func (s *Scanner) list(n *node, text []byte, p, depth int) int {
	if depth >= MaxDepth {
		return failed
	}
	first := 0
	if n.table != none {
		first = s.rows[n.table].count()
	}
	count, end := s.elements(n, text, blanks(text, p+1), depth+1)
	if end < 0 {
		return failed
	}
	if n.slot != none {
		v := &s.frame[n.slot]
		v.set(List, p, end)
		v.Num, v.Count = float64(first), uint32(count)
		if n.table != none && s.rows[n.table].full {
			v.Kind = Unread
		}
	}
	if n.length != none {
		s.frame[n.length] = Value{Kind: Number, Num: float64(count)}
	}
	return end
}

// elements scans a list from its first element, or from its end, and counts.
func (s *Scanner) elements(n *node, text []byte, p, depth int) (count, end int) {
	if p < len(text) && text[p] == ']' {
		return 0, p + 1
	}
	named := n.elements
	for {
		if len(named) > 0 && named[0].index == count {
			p = s.namedElement(n, named[0].node, text, p, depth)
			named = named[1:]
		} else if n.table != none {
			p = s.row(n.table, text, p, depth)
		} else {
			p = skip(text, p, depth)
		}
		if p < 0 {
			return 0, failed
		}
		count++
		p = blanks(text, p)
		if p >= len(text) {
			return 0, failed
		}
		if text[p] == ']' {
			return count, p + 1
		}
		if text[p] != ',' {
			return 0, failed
		}
		p = blanks(text, p+1)
	}
}

// namedElement scans an element that a path names by its index. It is scanned
// twice when it has a row, too.
func (s *Scanner) namedElement(n, kid *node, text []byte, p, depth int) int {
	if n.table != none && s.row(n.table, text, p, depth) < 0 {
		return failed
	}
	return s.value(kid, text, p, depth)
}

// row scans an element of a list into a new row.
func (s *Scanner) row(table int, text []byte, p, depth int) int {
	r := &s.rows[table]
	if len(r.values)+r.width > maxValues {
		r.full = true
		return skip(text, p, depth)
	}
	outer := s.frame
	s.frame = r.add()
	end := s.value(r.root, text, p, depth)
	s.frame = outer
	return end
}
