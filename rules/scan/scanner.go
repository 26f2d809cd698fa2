package scan

// failed is the offset that a scan of something not valid gives.
const failed = -1

// Scanner is the state of one worker: the slots and rows of its sample, and
// what it learnt from the samples before.
type Scanner struct {
	plan       *Plan
	slots      []Value
	rows       []rows   // by table
	frame      []Value  // the slots that are being filled: those of the sample, or a row
	generation uint32   // of the object that was begun last
	forgotten  int      // slots that were cleared because a name was repeated
	memory     []memory // by node
	name       []byte   // a decoded one
	learns     bool
	template   template
}

// memory is what a scanner knows of a node.
type memory struct {
	seen  uint32 // generation of the object that had it last
	shape shape
}

// NewScanner gives a worker its scanner.
func (p *Plan) NewScanner() *Scanner {
	s := &Scanner{
		plan:   p,
		slots:  make([]Value, p.slots),
		rows:   make([]rows, len(p.tables)),
		memory: make([]memory, p.nodes),
	}
	for i := range p.tables {
		s.rows[i].table = p.tables[i]
	}
	s.Learn(true)
	return s
}

// Learn says whether the scanner expects the next sample to look like the one
// before. It does not change what a scan gives, only how long it takes. It is on
// to begin with.
func (s *Scanner) Learn(on bool) {
	s.learns = on && len(s.plan.tables) == 0
	s.template = template{history: history{credit: patience, unread: s.plan.unread}}
}

// Slots gives the values of the sample by slot. It is the same slice each time,
// and for reading only.
func (s *Scanner) Slots() []Value { return s.slots }

// Row gives the slots of a row of a table, for reading only. Element i of a list
// has the row int(list.Num)+i.
func (s *Scanner) Row(table, row int) []Value { return s.rows[table].at(row) }

// Scan fills the slots and rows from a sample. It gives false when text is not
// JSON as encoding/json has it, when a number is out of float64's range, when it
// is deeper than [MaxDepth], longer than 2 GiB or repeats names without end; then
// slots mean nothing. The text must stay unchanged while slots are read.
func (s *Scanner) Scan(text []byte) bool {
	if uint64(len(text)) > maxText {
		return false
	}
	if s.template.ready && s.template.fits(text, s.slots) {
		return true
	}
	if !s.scan(text) {
		return false
	}
	if s.learns {
		s.template.learn(text, s.slots)
	}
	return true
}

func (s *Scanner) scan(text []byte) bool {
	clear(s.slots)
	for i := range s.rows {
		s.rows[i].clear()
	}
	s.frame, s.forgotten = s.slots, 0
	end := s.value(s.plan.root, text, blanks(text, 0), 0)
	return end >= 0 && blanks(text, end) == len(text)
}

// value scans the value at p, which node n wants, within depth containers. It
// gives where the value ends or failed, as do all that scan something.
func (s *Scanner) value(n *node, text []byte, p, depth int) int {
	if p >= len(text) {
		return failed
	}
	switch c := text[p]; {
	case c == '"':
		return s.text(n, text, p)
	case c <= '9':
		if n.slot == none {
			return skipNumber(text, p)
		}
		num, end := number(text, p)
		if end >= 0 {
			v := &s.frame[n.slot]
			v.set(Number, p, end)
			v.Num = num
		}
		return end
	case c == '[':
		return s.list(n, text, p, depth)
	case c == '{':
		end := s.object(n, text, p, depth)
		if end >= 0 && n.slot != none {
			s.frame[n.slot].set(Object, p, end)
		}
		return end
	}
	kind, end := word(text, p)
	if end >= 0 && n.slot != none {
		s.frame[n.slot].set(kind, p, end)
	}
	return end
}

func (s *Scanner) text(n *node, text []byte, p int) int {
	end, m := skipText(text, p)
	if end < 0 {
		return failed
	}
	if n.slot != none {
		v := &s.frame[n.slot]
		v.set(Text, p, end)
		v.Escaped = m != 0 && m.escaped(text[p:end])
	}
	for _, slot := range n.unread {
		s.frame[slot] = Value{Kind: Unread}
	}
	return end
}

// object scans an object. A member that begins with the bytes that the one at its
// position had last time needs no reading of its name.
func (s *Scanner) object(n *node, text []byte, p, depth int) int {
	if len(n.kids) == 0 {
		return skipObject(text, p, depth)
	}
	if depth >= MaxDepth {
		return failed
	}
	if q := blanks(text, p+1); q < len(text) && text[q] == '}' {
		return q + 1
	}
	s.generation++
	generation := s.generation
	shape := &s.memory[n.id].shape
	for i := 0; ; i++ {
		var kid *node
		if i < len(*shape) && within(text, p, prefix) && (*shape)[i].near(text, p) {
			m := &(*shape)[i]
			kid, p = m.kid, p+len(m.bytes)
			if p < len(text) && text[p] <= ' ' {
				p = blanks(text, p)
			}
		} else if kid, p = s.member(n, text, p, i); p < 0 {
			return failed
		}
		if kid == nil {
			p = skip(text, p, depth+1)
		} else {
			if len(kid.below) > 0 {
				if s.meet(kid, generation); s.forgotten > maxForgotten {
					return failed
				}
			}
			p = s.value(kid, text, p, depth+1)
		}
		if p < 0 {
			return failed
		}
		if p < len(text) && text[p] <= ' ' {
			p = blanks(text, p)
		}
		if p >= len(text) {
			return failed
		}
		if text[p] == '}' {
			return p + 1
		}
	}
}

// meet takes note that an object has the member that kid wants. If it has it
// twice, nothing remains of the first one.
func (s *Scanner) meet(kid *node, generation uint32) {
	m := &s.memory[kid.id]
	if m.seen == generation {
		s.forgotten += len(kid.below)
		for _, slot := range kid.below {
			s.frame[slot] = Value{}
		}
	}
	m.seen = generation
}

// member reads from the brace or comma at p up to the value of the i-th member,
// and gives the kid that wants the value, if any.
func (s *Scanner) member(n *node, text []byte, p, i int) (*node, int) {
	shape := &s.memory[n.id].shape
	if i < len(*shape) && (*shape)[i].at(text, p) {
		m := &(*shape)[i]
		return m.kid, blanks(text, p+len(m.bytes))
	}
	if i > 0 && text[p] != ',' {
		return nil, failed
	}
	start := p
	p = blanks(text, p+1)
	if p >= len(text) || text[p] != '"' {
		return nil, failed
	}
	end, m := skipText(text, p)
	if end < 0 {
		return nil, failed
	}
	kid := s.kid(n, text[p:end], m)
	p = blanks(text, end)
	if p >= len(text) || text[p] != ':' {
		return nil, failed
	}
	p = blanks(text, p+1)
	shape.remember(i, text[start:p], kid)
	return kid, p
}

// kid finds the kid of n by its name as it is written.
func (s *Scanner) kid(n *node, token []byte, m marks) *node {
	if m != 0 && m.escaped(token) {
		s.name = AppendText(s.name[:0], token)
		return n.find(s.name)
	}
	return n.find(token[1 : len(token)-1])
}
