package reference

import (
	"math"
	"slices"
	"unicode"
	"unicode/utf8"
)

// operator is a row of the table of operators.
type operator struct {
	min, max int                        // how many operands
	bare     bool                       // an operand may stand without a list
	compile  func(c *compiler, n *node) // checks what is written, nil when all is fine
	judge    judge
}

const many = math.MaxInt

// operators are those that jsonlogic.com and the library have both.
var operators = map[string]operator{
	"var":          {min: 1, max: 2, bare: true, compile: compileVar, judge: judgeVar},
	"missing":      {min: 1, max: many, bare: true, compile: compileMissing, judge: judgeMissing},
	"missing_some": {min: 2, max: 2, compile: compileMissingSome, judge: judgeMissing},

	"if":  {min: 2, max: many, judge: eager(judgeIf)},
	"?:":  {min: 2, max: many, judge: eager(judgeIf)},
	"and": {min: 1, max: many, judge: eager(judgeEither)},
	"or":  {min: 1, max: many, judge: eager(judgeEither)},
	"!":   {min: 1, max: 1, bare: true, judge: eager(judgeNot)},
	"!!":  {min: 1, max: 1, bare: true, judge: eager(judgeNot)},

	"==":  {min: 2, max: 2, judge: compare(number|boolean, text)},
	"!=":  {min: 2, max: 2, judge: compare(number|boolean, text)},
	"===": {min: 2, max: 2, judge: compare(null | boolean | number | text)},
	"!==": {min: 2, max: 2, judge: compare(null | boolean | number | text)},
	"<":   {min: 2, max: 3, judge: eager(order)},
	"<=":  {min: 2, max: 3, judge: eager(order)},
	">":   {min: 2, max: 3, judge: eager(order)},
	">=":  {min: 2, max: 3, judge: eager(order)},

	"+":   {min: 1, max: many, judge: eager(arithmetic)},
	"-":   {min: 1, max: many, judge: eager(arithmetic)},
	"*":   {min: 1, max: many, judge: eager(arithmetic)},
	"/":   {min: 2, max: many, judge: eager(division)},
	"%":   {min: 2, max: 2, judge: eager(division)},
	"max": {min: 1, max: many, judge: eager(arithmetic)},
	"min": {min: 1, max: many, judge: eager(arithmetic)},

	"cat":    {min: 1, max: many, judge: eager(judgeCat)},
	"substr": {min: 2, max: 3, compile: compileSubstr, judge: eager(judgeSubstr)},
	"in":     {min: 2, max: 2, judge: eager(judgeIn)},

	"merge":  {min: 0, max: many, judge: eager(judgeMerge)},
	"map":    {min: 2, max: 2, compile: compileIterator, judge: judgeMap},
	"filter": {min: 2, max: 2, compile: compileIterator, judge: judgeFilter},
	"reduce": {min: 3, max: 3, compile: compileReduce, judge: judgeReduce},
	"all":    {min: 2, max: 2, compile: compileQuantifier, judge: quantifier(false, true)},
	"some":   {min: 2, max: 2, compile: compileQuantifier, judge: quantifier(true, true)},
	"none":   {min: 2, max: 2, compile: compileQuantifier, judge: quantifier(true, false)},
}

func judgeIf(w *walk, n *node, operands []possible) possible {
	var results []possible
	for i, p := range operands {
		if last := i == len(operands)-1; i%2 == 1 || last {
			results = append(results, p)
		} else {
			w.truth(n, p)
		}
	}
	if len(operands)%2 == 0 {
		results = append(results, possible{computed: null})
	}
	return union(results...)
}

func judgeEither(w *walk, n *node, operands []possible) possible {
	for _, p := range operands {
		w.truth(n, p)
	}
	return union(operands...)
}

func judgeNot(w *walk, n *node, operands []possible) possible {
	w.truth(n, operands[0])
	if !n.listed && operands[0].kinds()&list != 0 {
		w.refuse(n, "%q of a list that is not in a list, of which the library takes the first element", n.name)
	}
	return possible{computed: boolean}
}

// compare judges comparisons of which all operands are of one of the sets.
func compare(sets ...kinds) judge {
	return eager(func(w *walk, n *node, operands []possible) possible {
		if met := together(operands); !slices.ContainsFunc(sets, met.within) {
			w.refuse(n, "%q of %v", n.name, met)
		}
		return possible{computed: boolean}
	})
}

func order(w *walk, n *node, operands []possible) possible {
	switch met := together(operands); {
	case met == text && slices.ContainsFunc(operands, w.mayBeAstral):
		w.refuse(n, "%q of texts of which one has characters beyond U+FFFF, which the library orders by code point", n.name)
	case met != text && !met.within(number|boolean):
		w.refuse(n, "%q of %v", n.name, met)
	}
	return possible{computed: boolean}
}

// mayBeAstral says whether a text has, or a computed one could have, characters
// that are two units in UTF-16: the library counts and orders them otherwise.
func (w *walk) mayBeAstral(p possible) bool {
	return p.computed&text != 0 && w.astral || slices.ContainsFunc(p.known, func(v any) bool {
		s, ok := v.(string)
		return ok && astral(s)
	})
}

func together(operands []possible) kinds {
	var k kinds
	for _, p := range operands {
		k |= p.kinds()
	}
	return k
}

func arithmetic(w *walk, n *node, operands []possible) possible {
	for _, p := range operands {
		if !p.kinds().within(number) {
			w.refuse(n, "%q of %v", n.name, p.kinds())
		}
	}
	return possible{computed: number}
}

func division(w *walk, n *node, operands []possible) possible {
	for _, divisor := range operands[1:] {
		if divisor.has(0.0) {
			w.refuse(n, "%q by 0", n.name)
		}
	}
	return arithmetic(w, n, operands)
}

// judgeCat makes texts that are not empty and have no outer blanks, so that
// they may stand in another cat.
func judgeCat(w *walk, n *node, operands []possible) possible {
	out := possible{computed: text}
	for _, p := range operands {
		if !p.kinds().within(text | number) {
			w.refuse(n, "%q of %v", n.name, p.kinds())
		}
		if p.computed&number != 0 {
			w.refuse(n, "%q of a computed number, which JavaScript can write otherwise", n.name)
		}
		for _, v := range p.known {
			if f, ok := v.(float64); ok && !plain(f) {
				w.refuse(n, "%q of %v, which JavaScript writes otherwise", n.name, f)
			}
		}
		out.bytes += max(p.textBytes(), maxNumberBytes)
	}
	w.work(n, float64(out.bytes)/8)
	w.blanks(n, operands[0], utf8.DecodeRuneInString)
	w.blanks(n, operands[len(operands)-1], utf8.DecodeLastRuneInString)
	return out
}

// maxNumberBytes is the length of the longest number that is plain.
const maxNumberBytes = 24

// blanks refuses an operand at an end of a cat with which the result can have
// outer blanks: the library trims them.
func (w *walk) blanks(n *node, p possible, outermost func(string) (rune, int)) {
	for _, v := range p.known {
		s, ok := v.(string)
		if !ok {
			continue
		}
		if r, size := outermost(s); size == 0 || unicode.IsSpace(r) {
			w.refuse(n, "%q with %q at an end, where the library takes blanks away", n.name, s)
		}
	}
}

// plain says whether JavaScript prints the number as the library does: without
// an exponent, and 0 without a sign.
func plain(f float64) bool {
	a := math.Abs(f)
	return f == 0 && !math.Signbit(f) || a >= 1e-6 && a < 1e21
}

func judgeSubstr(w *walk, n *node, operands []possible) possible {
	p := operands[0]
	w.work(n, float64(p.textBytes()))
	switch {
	case !p.kinds().within(text):
		w.refuse(n, "%q of %v", n.name, p.kinds())
	case p.computed != 0:
		w.refuse(n, "%q of a computed text, the length of which is not known", n.name)
	case w.mayBeAstral(p):
		w.refuse(n, "%q of a text with characters beyond U+FFFF, which the library counts once", n.name)
	default:
		return p.windows(w, n)
	}
	return possible{}
}

// windows are what is left of the texts by a substr, for which all windows must
// begin and end within their text.
func (p possible) windows(w *walk, n *node) possible {
	var out possible
	for _, v := range p.known {
		s := []rune(v.(string))
		from, to := window(n, len(s))
		if from < 0 || from > to || to > len(s) {
			w.refuse(n, "%q of %q out of its bounds", n.name, v)
			return possible{}
		}
		out.known = append(out.known, string(s[from:to]))
	}
	return out
}

func window(n *node, size int) (from, to int) {
	from = int(n.operands[1].value.(float64))
	if from < 0 {
		from += size
	}
	if len(n.operands) == 2 {
		return from, size
	}
	length := int(n.operands[2].value.(float64))
	if length < 0 {
		return from, size + length
	}
	return from, min(from+length, size)
}

func judgeIn(w *walk, n *node, operands []possible) possible {
	needle, haystack := operands[0], operands[1]
	k := haystack.kinds()
	elems := haystack.elements()
	w.work(n, float64(haystack.longest())*(1+float64(elems.textBytes())/8))
	switch {
	case !k.within(text | list):
		w.refuse(n, "%q in %v", n.name, k)
	case k&text != 0 && !needle.kinds().within(text):
		w.refuse(n, "%v in a text", needle.kinds())
	case haystack.has("") && needle.has(""):
		w.refuse(n, `"" in "", which the library finds`)
	case !needle.kinds().within(boolean | number | text):
		w.refuse(n, "%v in a list", needle.kinds())
	case elems.kinds()&list != 0:
		w.refuse(n, "a list in a list, which is a range to the library")
	case needle.kinds()&number != 0 && !elems.kinds().within(number):
		w.refuse(n, "a number in a list with %v", elems.kinds()&^number)
	}
	return possible{computed: boolean}
}

func judgeMerge(w *walk, n *node, operands []possible) possible {
	out := possible{computed: list}
	var parts []possible
	for _, p := range operands {
		one := p
		one.known = scalars(p.known)
		one.computed &^= list
		one.elems = nil
		parts = append(parts, one, p.elements())
		out.length += max(1, p.longest())
	}
	w.work(n, float64(out.length))
	elems := union(parts...)
	out.elems = &elems
	return out
}

// scalars are the values that are not lists.
func scalars(values []any) []any {
	var out []any
	for _, v := range values {
		if kindOf(v) != list {
			out = append(out, v)
		}
	}
	return out
}
