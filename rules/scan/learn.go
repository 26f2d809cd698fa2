package scan

import "slices"

const (
	maxTemplate = 1 << 16 // bytes of a sample that is made a template
	patience    = 256     // hits that a scanner is ready to lose by learning
	learnCost   = 8       // hits that learning once takes back
	maxStrange  = 3       // samples of another form in a row before theirs is learnt
	restFor     = 1 << 16 // samples without learning once patience is lost
)

// history is what a template is made of, and what it was good for.
type history struct {
	unread bool // slots below a text say that it is one
	text   []byte
	tokens []token
	spare  []token

	hits    int // since something was learnt
	credit  int
	strange int // samples of another form in a row
	rest    int // samples to go without learning
}

// token is a scalar of the template.
type token struct {
	start, end int
	slot       int     // or none
	kinds      scalars // that were there, if it is a hole
}

// learn makes a template of a valid sample that did not fit. It has holes for
// the numbers in slots and for what differs from the template before.
func (t *template) learn(text []byte, slots []Value) {
	t.current = false
	if len(text) > maxTemplate || !t.worthwhile() {
		return
	}
	tokens := appendTokens(t.spare[:0], text)
	t.spare = tokens
	if !t.sameForm(text, tokens) {
		if t.ready && t.strange < maxStrange {
			t.strange++
			return
		}
	} else {
		t.addHoles(text, tokens)
	}
	t.tokens, t.spare = tokens, t.tokens
	t.text = append(t.text[:0], text...)
	t.slots = append(t.slots[:0], slots...)
	t.strange = 0
	t.assign()
	t.cut()
	t.keep()
	t.ready = true
}

// worthwhile says whether hits pay for learning. A feed without a form of its
// own costs no more than a try now and then.
func (t *template) worthwhile() bool {
	if t.rest > 0 {
		t.rest--
		return false
	}
	if t.hits > 0 {
		t.strange = 0
	}
	t.credit = min(t.credit+t.hits, patience) - learnCost
	t.hits = 0
	if t.credit < 0 {
		t.ready = false
		t.credit, t.rest = patience, restFor
		return false
	}
	return true
}

// appendTokens appends the scalars of a valid sample, but no names of members.
func appendTokens(tokens []token, text []byte) []token {
	for p := 0; p < len(text); {
		end := p + 1
		switch c := text[p]; {
		case c <= ' ', c == '{', c == '}', c == '[', c == ']', c == ',', c == ':':
			p = end
			continue
		case c == '"':
			end, _ = skipText(text, p)
			if q := blanks(text, end); q < len(text) && text[q] == ':' {
				p = end
				continue
			}
		case c <= '9':
			end = skipNumber(text, p)
		default:
			_, end = word(text, p)
		}
		tokens = append(tokens, token{start: p, end: end, slot: none})
		p = end
	}
	return tokens
}

// sameForm says whether a sample has the same bytes between its scalars, and
// scalars that slots do not tell apart.
func (t *template) sameForm(text []byte, tokens []token) bool {
	if len(tokens) != len(t.tokens) {
		return false
	}
	p, q := 0, 0
	for i, k := range tokens {
		was := t.tokens[i]
		if string(text[p:k.start]) != string(t.text[q:was.start]) {
			return false
		}
		if t.unread && (text[k.start] == '"') != (t.text[was.start] == '"') {
			return false
		}
		p, q = k.end, was.end
	}
	return string(text[p:]) == string(t.text[q:])
}

// addHoles makes holes of the scalars that are not those of the template.
func (t *template) addHoles(text []byte, tokens []token) {
	for i := range tokens {
		k, was := &tokens[i], t.tokens[i]
		k.kinds = was.kinds
		if was.kinds != 0 || string(text[k.start:k.end]) != string(t.text[was.start:was.end]) {
			k.kinds |= kindOf(text[k.start]) | kindOf(t.text[was.start])
		}
	}
}

// assign tells the scalars their slots, and makes holes of the numbers.
func (t *template) assign() {
	for slot, v := range t.slots {
		if v.End == 0 || v.Kind > Text {
			continue
		}
		i, _ := slices.BinarySearchFunc(t.tokens, int(v.Start), func(k token, start int) int { return k.start - start })
		t.tokens[i].slot = slot
		if v.Kind == Number {
			t.tokens[i].kinds |= numbers
		}
	}
}

// cut makes the pieces.
func (t *template) cut() {
	t.pieces = t.pieces[:0]
	from := 0
	for _, k := range t.tokens {
		if k.kinds == 0 {
			continue
		}
		t.pieces = append(t.pieces, newPiece(t.text, from, k.start, k.slot, k.kinds))
		from = k.end
	}
	t.pieces = append(t.pieces, newPiece(t.text, from, len(t.text), none, 0))
}

func newPiece(text []byte, from, to, slot int, kinds scalars) piece {
	c := piece{from: from, slot: slot, kinds: kinds}
	c.set(text[from:to])
	return c
}

// keep notes the slots that are not holes.
func (t *template) keep() {
	t.constants = t.constants[:0]
	for slot, v := range t.slots {
		if v.End == 0 {
			continue
		}
		start, fixed := t.find(int(v.Start))
		if !fixed {
			continue
		}
		end, _ := t.find(int(v.End) - 1)
		end.offset++
		t.constants = append(t.constants, constant{slot, start, end})
	}
}

// find gives the place of a byte of the template. It has none in a hole.
func (t *template) find(offset int) (at place, ok bool) {
	i, exact := slices.BinarySearchFunc(t.pieces, offset, func(c piece, offset int) int { return c.from - offset })
	if !exact {
		i--
	}
	if i < 0 || offset >= t.pieces[i].from+len(t.pieces[i].bytes) {
		return place{}, false
	}
	return place{i, offset - t.pieces[i].from}, true
}
