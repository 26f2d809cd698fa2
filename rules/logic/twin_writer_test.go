package logic_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// author writes rules of all operators, and samples for them. Its choices
// decide everything; when they are used up it takes the simplest way.
type author struct {
	writer
	loose  bool            // odd shapes too, that only CompileLoose takes
	scopes []*names        // around the expression that is written, the sample's first
	used   map[string]bool // names that the rules read, of the sample and of elements
	wild   int             // one value in so many is of another kind than its name says; 0: none
	blanks int             // how samples are spaced
	last   []*sampleValue  // the samples so far
}

// names are the paths of a scope, by what they lead to.
type names struct {
	numbers, texts, bools, lists, odd []string

	iterated bool // val reaches the index and the list one level up
	reduced  bool // current and accumulator are all there is
}

// kind is what an expression is wanted to give.
type kind uint8

const (
	aNumber kind = iota
	aText
	aBool
	aList
	kinds
)

var (
	sampleNames = &names{
		numbers: []string{"n", "m", "o.n", "z", "o.deep.n", "l.0", "items.0.q", "items.length", "t.length", "rows.0.1", "l.length", "0", "length", "é", "", "items.1.sub.0.r", "rows.0.length"},
		texts:   []string{"t", "u", "o.t", "s.0", "t.0", "items.0.s", "u.1", "items.0.tags.0", "name"},
		bools:   []string{"b", "o.b", "items.0.b"},
		lists:   []string{"items", "l", "s", "rows", "o.l", "items.0.tags", "items.1.sub", "rows.0", "empty"},
		odd:     []string{"o", "o.deep", "x", "x.y.z", "n.a", "t.x", "o.", ".n", "01", "l.01", "l.-1", "l.1e0", "l.99999999999999999999", "items.7.q", "t.99", "t.0.0", "a.b", `k\"q`, "t.length.length", "l.length.0", "b.0", "z.z"},
	}
	itemNames = &names{
		numbers:  []string{"q", "p", "o.n", "tags.length", "sub.0.r", "sub.length", "nums.0"},
		texts:    []string{"s", "tags.0", "s.0"},
		bools:    []string{"b"},
		lists:    []string{"tags", "sub", "nums"},
		odd:      []string{"", "o", "x", "n", "tags.x", "q.q", "sub.0"},
		iterated: true,
	}
	numberNames = &names{numbers: []string{""}, texts: []string{""}, bools: []string{""}, lists: []string{""}, odd: []string{"length", "0", "q"}, iterated: true}
	textNames   = &names{numbers: []string{"length"}, texts: []string{"", "0", "1"}, bools: []string{""}, lists: []string{""}, odd: []string{"x", "length.x"}, iterated: true}
	rowNames    = &names{numbers: []string{"0", "1", "length"}, texts: []string{"2"}, bools: []string{"0"}, lists: []string{""}, odd: []string{"q", "01", "9"}, iterated: true}
	failureName = &names{numbers: []string{"code"}, texts: []string{"type"}, bools: []string{"type"}, lists: []string{""}, odd: []string{"", "x"}}
)

// elements are the names in the elements of lists, by the last name of the
// path to the list.
var elements = map[string]*names{
	"items": itemNames, "sub": {numbers: []string{"r", "q"}, texts: []string{"s"}, bools: []string{"b"}, lists: []string{"tags"}, odd: []string{"", "x"}, iterated: true},
	"l": numberNames, "nums": numberNames, "s": textNames, "tags": textNames, "rows": rowNames,
}

// reducing gives the names in a reduce over elements with other names.
func reducing(element *names) *names {
	current := func(paths []string, accumulator ...string) []string {
		var out []string
		for _, path := range paths {
			out = append(out, strings.TrimSuffix("current."+path, "."))
		}
		return append(out, accumulator...)
	}
	return &names{
		numbers:  current(element.numbers, "accumulator", "accumulator", "accumulator.length", "accumulator.0"),
		texts:    current(element.texts, "accumulator", "accumulator.0"),
		bools:    current(element.bools, "accumulator"),
		lists:    current(element.lists, "accumulator"),
		odd:      append(current(element.odd, "accumulator.x", "accumulator.current"), ""),
		iterated: true,
		reduced:  true,
	}
}

func (n *names) of(k kind) []string {
	switch k {
	case aNumber:
		return n.numbers
	case aText:
		return n.texts
	case aBool:
		return n.bools
	default:
		return n.lists
	}
}

// one says yes one time in n; never when the choices are used up.
func (a *author) one(n int) bool { return a.choose(n) == n-1 }

// within writes what stands in a further scope.
func (a *author) within(n *names, write func() string) string {
	a.scopes = append(a.scopes, n)
	defer func() { a.scopes = a.scopes[:len(a.scopes)-1] }()
	return write()
}

func (a *author) rule() string {
	a.scopes = []*names{sampleNames}
	depth := 1 + a.choose(4)
	if a.choose(4) < 2 {
		return a.expr(aBool, depth)
	}
	return a.expr(kind(a.choose(int(kinds))), depth)
}

// expr writes an expression that is likely to give a kind.
func (a *author) expr(k kind, depth int) string {
	if a.one(32) {
		k = kind(a.choose(int(kinds)))
	}
	if a.loose && a.one(12) {
		return a.oddShape(depth)
	}
	if depth <= 0 || a.choose(4) == 0 {
		return a.leaf(k)
	}
	if a.one(16) {
		return a.wrapped(k, depth-1)
	}
	switch k {
	case aNumber:
		return a.numeric(depth - 1)
	case aText:
		return a.textual(depth - 1)
	case aBool:
		return a.boolean(depth - 1)
	default:
		return a.listing(depth - 1)
	}
}

func (a *author) leaf(k kind) string {
	if a.choose(4) < 3 {
		return a.reference(k)
	}
	return a.literal(k)
}

// literal is one that every operator takes that wants its kind, so a list is
// in a preserve.
func (a *author) literal(k kind) string {
	if a.one(24) {
		return a.pick("null", "true", `"7"`, "0", `" 5 "`, `"0x10"`, `""`)
	}
	switch k {
	case aNumber:
		return a.pick("1", "2", "30", "0", "-1", "0.5", "3", "31.2", "-7.25", "100", "1e3", "-0", "1e308", "5e-324", "9007199254740993", "1e21", "1E-7", "4", "10", "12345678901234567890")
	case aText:
		return a.literalText()
	case aBool:
		return a.pick("true", "false")
	default:
		return op("preserve", a.elems()...)
	}
}

func (a *author) literalText() string {
	return a.pick(`"a"`, `"abc"`, `"active"`, `"31"`, `"B"`, `"é"`, `"😀"`, `"a😀b"`, `"\u0061\n"`, `"x y"`, `"-5"`, `"\u0000"`, `"\ufb01"`, `"1e3"`, `","`, `"é\u00e9"`, `"\ufffd"`, `"\"\\"`)
}

// operand is an expression that arithmetic takes; a rule document may not hand
// it a text that is no number.
func (a *author) operand(k kind, depth int) string {
	x := a.expr(k, depth)
	if !a.loose && x[0] == '"' && strings.Trim(x, `"0123456789x `) != "" {
		return "1"
	}
	return x
}

// operands are from least to most operands of arithmetic.
func (a *author) operands(least, most, depth int) []string {
	out := make([]string, least+a.choose(most-least+1))
	for i := range out {
		out[i] = a.operand(aNumber, depth)
	}
	return out
}

// elems are literals, mostly of one kind.
func (a *author) elems() []string {
	k := a.pick("n", "t", "mixed")
	out := make([]string, a.choose(5))
	for i := range out {
		switch k {
		case "n":
			out[i] = a.literal(aNumber)
		case "t":
			out[i] = a.literal(aText)
		default:
			out[i] = a.pick("1", `"a"`, "null", "true", "[]", "[1,2]", `{"preserve":{"q":1}}`, "false", "0", `""`, `[[1],"x"]`)
		}
	}
	return out
}

// reference reads a variable.
func (a *author) reference(k kind) string {
	up := 0
	if len(a.scopes) > 1 && a.choose(5) == 4 {
		up = a.choose(len(a.scopes))
	}
	scope := a.scopes[len(a.scopes)-1-up]
	from := scope.of(k)
	if a.one(12) {
		from = scope.odd
	}
	path := from[a.choose(len(from))]
	a.uses(path)
	if up > 0 {
		return a.outer(up, path)
	}
	switch a.choose(20) {
	case 12, 13:
		return op("var", `"`+path+`"`)
	case 14, 15:
		return op("var", `"`+path+`"`, a.literal(k))
	case 16:
		return op("var", `"`+path+`"`, a.expr(k, 1))
	case 17, 18:
		return op("val", keys(path)...)
	case 19:
		if a.one(3) {
			return a.computed(path)
		}
	}
	return variable(path)
}

// uses remembers the names of a path for the samples.
func (a *author) uses(path string) {
	for name := range strings.SplitSeq(path, ".") {
		a.used[name] = true
	}
}

// keys is a path as the operands of val.
func keys(path string) []string {
	if path == "" {
		return nil
	}
	parts := strings.Split(path, ".")
	for i, part := range parts {
		parts[i] = `"` + part + `"`
	}
	return parts
}

// outer reads a scope further out, or what is known of an iteration.
func (a *author) outer(up int, path string) string {
	if a.choose(4) == 3 {
		if between := a.choose(up); a.scopes[len(a.scopes)-1-between].iterated {
			return a.pick(
				fmt.Sprintf(`{"val":[[%d],"index"]}`, 2*between+1),
				fmt.Sprintf(`{"val":[[%d],"index"]}`, -2*between-1),
				fmt.Sprintf(`{"val":[[%d],"iterator","length"]}`, 2*between+1),
				fmt.Sprintf(`{"val":[[%d],"iterator",0]}`, 2*between+1),
				fmt.Sprintf(`{"val":[[%d],"iterator"]}`, 2*between+1),
				fmt.Sprintf(`{"val":[[%d]]}`, 2*between+1),
			)
		}
	}
	return op("val", append([]string{fmt.Sprintf("[%d]", 2*up)}, keys(path)...)...)
}

// computed reads a name that is worked out while the rule is judged.
func (a *author) computed(path string) string {
	if a.scopes[len(a.scopes)-1].reduced {
		path = "accumulator"
	}
	a.used["name"] = true
	return a.pick(
		op("var", op("cat", `"`+path+`"`)),
		op("var", op("if", a.expr(aBool, 0), `"`+path+`"`, `"n"`)),
		`{"var":{"val":[[`+strconv.Itoa(2*(len(a.scopes)-1))+`],"name"]}}`,
		op("var", op("cat", `"`+path+`"`), `7`),
		op("val", op("cat", `"`+path+`"`)),
		`{"val":`+op("preserve", keys(path)...)+`}`,
		op("exists", op("cat", `"`+path+`"`)),
		op("missing", op("cat", `"`+path+`"`), `"n"`),
		op("val", `[`+op("+", strconv.Itoa(2*(len(a.scopes)-1)))+`]`, `"n"`),
	)
}

// wrapped is an expression of a kind in an operation that hands it through.
func (a *author) wrapped(k kind, depth int) string {
	x := func() string { return a.expr(k, depth) }
	failing := func() string {
		switch a.choose(3) {
		case 0:
			return a.throw(depth)
		case 1:
			return op("/", a.operand(aNumber, depth), "0")
		}
		return x()
	}
	switch a.choose(14) {
	case 0, 1, 2:
		return op(a.pick("if", "if", "?:"), a.branches(k, depth)...)
	case 3, 4:
		return op("??", x(), x())
	case 5, 6:
		return op("??", x(), x(), a.literal(k))
	case 7:
		return op("try", failing(), a.within(failureName, x))
	case 8:
		return op("try", failing(), a.within(failureName, failing), a.within(failureName, x))
	case 9:
		return op("log", x())
	}
	return op(a.pick("and", "or"), a.some(1, 3, k, depth)...)
}

// branches are the operands of an if.
func (a *author) branches(k kind, depth int) []string {
	var out []string
	for range 1 + a.choose(3) {
		out = append(out, a.expr(aBool, depth), a.expr(k, depth))
	}
	if a.choose(4) < 3 {
		out = append(out, a.expr(k, depth))
	}
	return out
}

// some are from least to most expressions of a kind.
func (a *author) some(least, most int, k kind, depth int) []string {
	out := make([]string, least+a.choose(most-least+1))
	for i := range out {
		out[i] = a.expr(k, depth)
	}
	return out
}

func (a *author) throw(depth int) string {
	switch a.choose(4) {
	case 0:
		return op("throw", a.literal(aText))
	case 1:
		return op("throw", `{"preserve":{"type":"t","code":7}}`)
	case 2:
		return op("throw", a.expr(aText, depth))
	}
	return `{"throw":` + a.literal(aText) + `}`
}

func (a *author) numeric(depth int) string {
	x := func() string { return a.operand(aNumber, depth) }
	switch a.choose(18) {
	case 0, 1:
		return op("+", a.operands(1, 4, depth)...)
	case 2:
		return op("-", a.operands(1, 3, depth)...)
	case 3:
		return op("*", a.operands(1, 3, depth)...)
	case 4:
		return op("/", a.operands(1, 3, depth)...)
	case 5:
		return op("%", a.operands(2, 3, depth)...)
	case 6:
		return op(a.pick("max", "min"), a.operands(1, 4, depth)...)
	case 7:
		return `{"` + a.pick("+", "-", "*", "/", "max", "min") + `":` + x() + `}`
	case 8:
		return `{"` + a.pick("+", "-", "*", "/", "max", "min", "%") + `":` + a.operation(aList, depth) + `}`
	case 9:
		return op(a.pick("+", "*"), a.operand(aText, depth), x())
	case 10, 11:
		return a.reduce(depth)
	case 12:
		return op("if", a.branches(aNumber, depth)...)
	}
	return op("-", x(), x())
}

// operation is an expression that is no literal.
func (a *author) operation(k kind, depth int) string {
	if depth > 0 && k == aList && a.choose(2) == 1 {
		return a.iteration(a.pick("map", "filter"), depth)
	}
	return a.reference(k)
}

func (a *author) textual(depth int) string {
	x := func() string { return a.expr(aText, depth) }
	switch a.choose(12) {
	case 0, 1:
		return op("cat", a.some(1, 3, aText, depth)...)
	case 2:
		return op("cat", x(), a.expr(kind(a.choose(int(kinds))), depth))
	case 3:
		return op("substr", x(), a.cut(depth))
	case 4, 5:
		return op("substr", x(), a.cut(depth), a.cut(depth))
	case 6:
		return `{"cat":` + a.operation(aList, depth) + `}`
	}
	return op("if", a.branches(aText, depth)...)
}

// cut is where a substr begins or how long it is.
func (a *author) cut(depth int) string {
	if a.choose(3) == 2 {
		return a.operand(aNumber, depth)
	}
	return a.pick("0", "1", "2", "-1", "-2", "5", "1.5", "null", `"1"`, "-9", "1e300", "true")
}

var orders = []string{"<", "<=", ">", ">="}

var equalities = []string{"==", "!=", "===", "!=="}

func (a *author) boolean(depth int) string {
	x := func() string { return a.expr(aBool, depth) }
	switch a.choose(22) {
	case 0, 1, 2:
		return op(a.pick(orders...), a.expr(aNumber, depth), a.expr(aNumber, depth))
	case 3:
		return op(a.pick(orders...), a.some(3, 4, aNumber, depth)...)
	case 4:
		return op(a.pick(equalities...), a.expr(aNumber, depth), a.expr(aNumber, depth))
	case 5, 6:
		return op(a.pick(equalities...), a.expr(aText, depth), a.expr(aText, depth))
	case 7:
		return op(a.pick(append(orders, equalities...)...), a.some(2, 3, aText, depth)...)
	case 8:
		k := kind(a.choose(int(kinds)))
		return op(a.pick(append(equalities, orders...)...), a.expr(k, depth), a.expr(kind(a.choose(int(kinds))), depth))
	case 9, 10:
		return op("and", a.some(1, 4, aBool, depth)...)
	case 11, 12:
		return op("or", a.some(1, 4, aBool, depth)...)
	case 13:
		return op(a.pick("!", "!!"), a.expr(kind(a.choose(int(kinds))), depth))
	case 14:
		return `{"` + a.pick("!", "!!") + `":` + x() + `}`
	case 15, 16:
		return a.in(depth)
	case 17, 18, 19:
		return a.iteration(a.pick("all", "some", "none"), depth)
	case 20:
		return a.asking(depth)
	}
	return op("if", a.branches(aBool, depth)...)
}

func (a *author) in(depth int) string {
	k := kind(a.choose(int(kinds)))
	switch a.choose(6) {
	case 0, 1:
		return op("in", a.expr(aText, depth), `["a","abc",`+a.literal(aText)+`]`)
	case 2:
		return op("in", a.expr(aNumber, depth), `[1,30,`+a.literal(aNumber)+`]`)
	case 3:
		return op("in", a.expr(k, depth), "["+strings.Join(a.elems(), ",")+"]")
	case 4:
		if haystack := a.expr(aText, depth); haystack[0] == '"' || haystack[0] == '{' {
			return op("in", a.expr(k, depth), haystack)
		}
	}
	return op("in", a.expr(k, depth), a.list(depth))
}

// asking asks whether there is something.
func (a *author) asking(depth int) string {
	scope := a.scopes[len(a.scopes)-1]
	name := func() string {
		from := scope.of(kind(a.choose(int(kinds))))
		path := from[a.choose(len(from))]
		a.uses(path)
		return `"` + path + `"`
	}
	switch a.choose(7) {
	case 0:
		return op("missing", name(), name())
	case 1:
		return op("missing", "["+name()+","+name()+"]")
	case 2:
		return op("missing_some", a.pick("1", "2", "0", "1.5", `"1"`), "["+name()+","+name()+","+name()+"]")
	case 3:
		return op("if", op("missing", name()), "false", a.expr(aBool, depth))
	case 4:
		return op("missing_some", a.operand(aNumber, depth), "["+name()+","+name()+"]")
	case 5:
		return `{"missing":` + a.operation(aList, depth) + `}`
	}
	path := strings.Trim(name(), `"`)
	if path == "" {
		return op("exists", `""`)
	}
	return op("exists", keys(path)...)
}

// list is an operand that has to be a list; as a literal it may stand by itself.
func (a *author) list(depth int) string {
	if a.choose(6) < 5 {
		if x := a.expr(aList, depth); x[0] == '[' || x[0] == '{' {
			return x
		}
	}
	return "[" + strings.Join(a.elems(), ",") + "]"
}

func (a *author) listing(depth int) string {
	switch a.choose(20) {
	case 6:
		return op("merge", a.some(0, 3, aList, depth)...)
	case 7:
		return `{"merge":` + a.operation(aList, depth) + `}`
	case 8:
		return op("merge", "["+a.expr(aNumber, depth)+"]", a.expr(aText, depth))
	case 9:
		return a.asking(depth)
	case 10:
		return a.reduce(depth)
	case 5:
		return op("if", a.branches(aList, depth)...)
	}
	return a.iteration(a.pick("map", "filter"), depth)
}

// iteration is map, filter, all, some or none.
func (a *author) iteration(name string, depth int) string {
	source, element := a.source(depth)
	wanted := aBool
	if name == "map" {
		wanted = kind(a.choose(int(kinds)))
	}
	return op(name, source, a.within(element, func() string {
		if name == "map" && a.one(8) {
			return "[" + strings.Join(a.some(1, 2, wanted, depth), ",") + "]"
		}
		if depth == 0 {
			return a.atom()
		}
		body := a.expr(wanted, depth)
		if body == "null" {
			return "0"
		}
		return body
	}))
}

// atom is the simplest predicate.
func (a *author) atom() string {
	return op(a.pick(orders...), a.reference(aNumber), a.literal(aNumber))
}

// source is a list to iterate, with what its elements are.
func (a *author) source(depth int) (string, *names) {
	scope := a.scopes[len(a.scopes)-1]
	path := scope.lists[a.choose(len(scope.lists))]
	name := path[strings.LastIndexByte(path, '.')+1:]
	element, ok := elements[name]
	if !ok {
		element = numberNames
	}
	a.uses(path)
	list := variable(path)
	for depth > 0 && a.choose(3) == 2 {
		depth--
		list, element = a.stage(list, element, depth)
	}
	if list != variable(path) {
		return list, element
	}
	switch a.choose(8) {
	case 5:
		return op("var", `"`+path+`"`, "[]"), element
	case 6:
		if len(a.scopes) > 1 {
			a.uses("items")
			return fmt.Sprintf(`{"val":[[%d],"items"]}`, 2*(len(a.scopes)-1)), itemNames
		}
	case 7:
		return a.list(depth), element
	}
	return list, element
}

// stage is a map or filter of a list, with what its elements are then.
func (a *author) stage(list string, element *names, depth int) (string, *names) {
	within := func(k kind) string {
		return a.within(element, func() string {
			if body := a.expr(k, depth); body != "null" {
				return body
			}
			return "0"
		})
	}
	switch a.choose(5) {
	case 0, 1, 2:
		return op("filter", list, within(aBool)), element
	case 3:
		return op("map", list, within(aNumber)), numberNames
	}
	return op("map", list, within(aText)), textNames
}

func (a *author) reduce(depth int) string {
	source, element := a.source(depth)
	current := reducing(element)
	simple := current.numbers[0]
	a.uses(simple)
	body := a.within(current, func() string {
		switch a.choose(12) {
		case 0, 1, 2:
			return op(a.pick("+", "*", "max", "min", "-"), variable("accumulator"), variable(simple))
		case 3:
			return op("cat", variable("accumulator"), a.expr(aText, depth))
		case 4:
			return op("merge", variable("accumulator"), a.expr(kind(a.choose(int(kinds))), depth))
		case 5:
			return op("if", a.expr(aBool, depth), variable("accumulator"), a.expr(aNumber, depth))
		case 6:
			return op(a.pick("and", "or", "??"), variable("accumulator"), a.expr(aBool, depth))
		case 7:
			return "[" + variable("accumulator") + "," + a.expr(aNumber, depth) + "]"
		case 8:
			return op("+", variable("accumulator"), op("*", variable(simple), a.operand(aNumber, depth)))
		case 9:
			return variable("")
		}
		return a.expr(kind(a.choose(int(kinds))), depth)
	})
	if a.one(5) {
		return op("reduce", source, body)
	}
	initial := a.pick("0", "1", `""`, "null", "[]", "true", "false", `{"preserve":{"x":1,"length":2}}`, "[1,2]", `"a"`, "-0", "n")
	if initial == "n" {
		initial = a.expr(aNumber, depth)
	}
	return op("reduce", source, body, initial)
}

// oddShape is a shape that a rule document may not have.
func (a *author) oddShape(depth int) string {
	x := func() string {
		if depth <= 0 {
			return a.leaf(kind(a.choose(int(kinds))))
		}
		return a.expr(kind(a.choose(int(kinds))), depth-1)
	}
	name := a.pick("+", "-", "*", "/", "%", "max", "min", "cat", "substr", "in", "merge", "map", "filter", "reduce", "all", "some", "none", "and", "or", "if", "?:", "??", "!", "!!",
		"==", "!=", "===", "!==", "<", "<=", ">", ">=", "var", "val", "exists", "missing", "missing_some", "try", "throw", "log", "preserve")
	switch a.choose(12) {
	case 0:
		return op(name)
	case 1, 2:
		return op(name, x())
	case 3:
		return `{"` + name + `":` + x() + `}`
	case 4:
		return `{"` + name + `":null}`
	case 5:
		return op(name, "null", "null")
	case 6:
		return op(name, x(), x(), x(), x())
	case 7:
		return `{"a":` + x() + `,"var":"n"}`
	case 8:
		return "{}"
	case 9:
		return "[" + x() + "," + x() + "]"
	case 10:
		return op(name, "["+x()+"]", x())
	}
	return op(name, x(), x())
}

// sampleValue is a value of a sample, as it will be written.
type sampleValue struct {
	text  string // of a scalar
	open  byte   // '{' or '[', else 0
	names []string
	elems []*sampleValue
}

func scalar(text string) *sampleValue { return &sampleValue{text: text} }

// samples are more or less alike, so that what a machine has learnt from one is
// tried on the next.
func (a *author) samples(n int) []string {
	a.blanks = max(0, a.choose(8)-5)
	out := make([]string, n)
	for i := range out {
		v := a.sample()
		a.last = append(a.last, v)
		out[i] = a.spoilt(string(a.write(nil, v)))
	}
	return out
}

func (a *author) sample() *sampleValue {
	if len(a.last) == 0 || a.one(8) {
		return a.freshSample()
	}
	before := a.last[a.choose(len(a.last))]
	switch a.choose(8) {
	case 0, 1, 2, 3:
		return a.varied(before, false)
	case 4, 5:
		return a.varied(before, true)
	case 6:
		return a.shuffled(before)
	}
	return before
}

func (a *author) freshSample() *sampleValue {
	if a.one(40) {
		return a.wildValue()
	}
	v := &sampleValue{open: '{'}
	for _, name := range [...]string{"n", "m", "t", "u", "b", "o", "l", "s", "items", "rows", "z", "0", "length", "é", "", "name", "empty", "x", `k\"q`, "a.b", "a", "id"} {
		wanted := a.used[name] && (name != "0" && name != "length" || a.one(4)) // those are of lists mostly
		if !wanted && !a.one(24) || wanted && a.one(12) {
			continue
		}
		a.put(v, name)
	}
	return v
}

// put adds a member, sometimes twice, sometimes with escapes in its name.
func (a *author) put(v *sampleValue, name string) {
	if a.one(64) {
		v.names, v.elems = append(v.names, a.quoted(name)), append(v.elems, a.wildValue())
	}
	v.names, v.elems = append(v.names, a.quoted(name)), append(v.elems, a.named(name))
	if a.one(64) {
		v.names, v.elems = append(v.names, a.quoted(name)), append(v.elems, a.named(name))
	}
}

func (a *author) quoted(name string) string {
	if a.one(48) && name != "" && name[0] < 0x80 && name != `k\"q` {
		return fmt.Sprintf(`"\u%04x%s"`, name[0], name[1:])
	}
	return `"` + name + `"`
}

// named is a value as its name promises, mostly.
func (a *author) named(name string) *sampleValue {
	if a.wild > 0 && a.one(a.wild) {
		return a.wildValue()
	}
	switch name {
	case "t", "u", "name", "id", "type":
		return scalar(a.sampleText())
	case "b":
		return scalar(a.pick("true", "false"))
	case "o":
		return a.members("n", "t", "b", "l", "deep")
	case "deep":
		return a.members("n", "x")
	case "l", "nums":
		return a.listOf("n")
	case "s", "tags":
		return a.listOf("t")
	case "items":
		return a.listOf("item")
	case "item":
		return a.members("q", "p", "s1", "b", "tags", "sub", "nums", "o1", "n")
	case "s1":
		return scalar(a.sampleText())
	case "o1":
		return a.members("n")
	case "sub":
		return a.listOf("subitem")
	case "subitem":
		return a.members("r", "q", "s1", "b")
	case "rows":
		return a.listOf("l")
	case "empty":
		return &sampleValue{open: '['}
	}
	return scalar(a.sampleNumber())
}

func (a *author) members(of ...string) *sampleValue {
	v := &sampleValue{open: '{'}
	for _, name := range of {
		written := strings.TrimRight(name, "1") // s and o of an item are not those of the sample
		if !a.used[written] || a.one(16) {
			continue
		}
		v.names = append(v.names, a.quoted(written))
		v.elems = append(v.elems, a.named(name))
	}
	return v
}

func (a *author) listOf(name string) *sampleValue {
	v := &sampleValue{open: '['}
	n := a.choose(5)
	if a.one(32) {
		n = 20
	}
	for range n {
		v.elems = append(v.elems, a.named(name))
	}
	return v
}

func (a *author) sampleNumber() string {
	return a.pick("30", "31.2", "0", "1", "2", "-1", "3", "0.5", "-7.25", "100", "1e3", "4", "5", "10", "29.999999999999996", "30.000000000000004", "12", "7",
		"1e308", "-0", "-0.0", "5e-324", "9007199254740993", "12345678901234567890", "1E2", "0e5", "1e-7", "1e21", "100000000000000000000000", "0.1", "1.7976931348623157e308", "30.0")
}

func (a *author) sampleText() string {
	if a.choose(2) == 0 {
		return a.pick(`"a"`, `"abc"`, `"active"`, `"B"`, `"x y"`, `"n"`)
	}
	return a.pick(`"31"`, `""`, `" 5 "`, `"0x10"`, `"é"`, `"😀"`, `"a😀b"`, `"\u0061bc"`, `"\ud83d\ude00"`, `"\ud800"`, `"\udc00\ud800x"`, `"\u0000"`, `"\n"`, "\"\xff\"", "\"a\xf0\x9f\"", `"Infinity"`, `"-5"`,
		`"1e3"`, `"1e999"`, `"3.14abc"`, `"true"`, `"null"`, `".5"`, `"5."`, `"\/"`, `"\u00e9"`, `"a\\"`, `"\""`, `"o.n"`, `"items"`, "\"\u2028\"", `"\u00a05"`, `"<&>"`, `"0"`, `"-0"`, `"NaN"`, `"\ufb01"`, `"30"`, `"a,b"`, `"0b101"`, `"0O17"`, `"0x"`, `"0x1g"`, `"-0x1"`, `"+5"`, `"."`, `"1_000"`, `"5e"`,
		`"a text that is longer than a few words of a machine, with nothing in it"`, `"\tlonger, and with an escape somewhere \u0041 in the middle of it"`)
}

func (a *author) wildValue() *sampleValue {
	switch a.choose(8) {
	case 0, 1:
		return scalar("null")
	case 2:
		return scalar(a.sampleText())
	case 3:
		return scalar(a.sampleNumber())
	case 4:
		return scalar(a.pick("true", "false"))
	case 5:
		n := a.choose(4)
		return &sampleValue{open: '{', names: []string{`"a"`, `"length"`, `"0"`}[:n], elems: []*sampleValue{scalar("1"), scalar("2"), scalar(`"x"`)}[:n]}
	case 6:
		return a.members("q", "n", "deep")
	}
	v := &sampleValue{open: '['}
	for range a.choose(4) {
		v.elems = append(v.elems, a.wildValue())
	}
	return v
}

// varied is v with other scalars, of other kinds too if it may be wild.
func (a *author) varied(v *sampleValue, wild bool) *sampleValue {
	if v.open == 0 {
		switch {
		case a.choose(3) > 0:
			return v
		case wild && a.choose(4) == 0:
			return a.wildValue()
		}
		switch v.text[0] {
		case '"':
			return scalar(a.sampleText())
		case 't', 'f':
			return scalar(a.pick("true", "false"))
		case 'n':
			return v
		}
		return scalar(a.sampleNumber())
	}
	out := &sampleValue{open: v.open, names: v.names}
	for _, e := range v.elems {
		out.elems = append(out.elems, a.varied(e, wild))
	}
	return out
}

// shuffled is v with a member or element that is gone, doubled or elsewhere.
func (a *author) shuffled(v *sampleValue) *sampleValue {
	if len(v.elems) == 0 {
		return v
	}
	out := &sampleValue{open: v.open}
	from, to, gone := a.choose(len(v.elems)), a.choose(len(v.elems)), a.choose(3)
	add := func(i int, e *sampleValue) {
		if len(v.names) > 0 {
			out.names = append(out.names, v.names[i])
		}
		out.elems = append(out.elems, e)
	}
	for i, e := range v.elems {
		if i == to && gone > 0 {
			add(from, v.elems[from])
		}
		if i == from && gone < 2 {
			continue
		}
		if e.open != 0 && a.one(4) {
			e = a.shuffled(e)
		}
		add(i, e)
	}
	return out
}

func (a *author) write(b []byte, v *sampleValue) []byte {
	if v.open == 0 {
		return append(b, v.text...)
	}
	b = append(b, v.open)
	for i, e := range v.elems {
		if i > 0 {
			b = a.space(append(b, ','))
		}
		if v.open == '{' {
			b = a.space(append(append(b, v.names[i]...), ':'))
		}
		b = a.write(b, e)
	}
	if a.blanks > 1 {
		b = a.space(b)
	}
	return append(b, v.open+2)
}

func (a *author) space(b []byte) []byte {
	switch a.blanks {
	case 1:
		return append(b, ' ')
	case 2:
		return append(b, a.pick("", " ", "\n", "\t", "\r\n  ", "  ")...)
	}
	return b
}

// spoilt breaks a sample now and then.
func (a *author) spoilt(text string) string {
	if !a.one(50) {
		return text
	}
	at := a.choose(256) * len(text) / 256
	return text[:at] + a.pick("", "x", "1", "1e999", ",", `"`, "\x00", "}", "null", "0", "-", ".", "e", `\`, " ", "\xff", `\u12`, "]", "9") + text[at+a.choose(2)*min(1, len(text)-at):]
}

// line writes many rules of few shapes, and samples at their constants.
type line struct {
	author
	numbers []float64
	texts   []string
	large   bool
}

func newLine(choices []byte) *line {
	l := &line{author: author{writer: writer{choices: choices}, used: map[string]bool{}}}
	if l.one(64) {
		l.grow()
	}
	for range 1 + l.choose(12) {
		l.numbers = append(l.numbers, l.constant())
	}
	for range 1 + l.choose(6) {
		l.texts = append(l.texts, l.literalText())
	}
	l.scopes = []*names{sampleNames}
	return l
}

// grow makes it thousands of rules, with constants that are nearly all different.
func (l *line) grow() {
	l.large = true
	random := rand.New(rand.NewPCG(uint64(l.choose(256)), uint64(l.choose(256))))
	for range 60_000 {
		l.choices = append(l.choices, byte(random.Uint32()))
	}
	for range 4_000 {
		l.numbers = append(l.numbers, math.Round(random.NormFloat64()*5000)/100)
	}
}

func (l *line) constant() float64 {
	if len(l.numbers) > 0 && l.choose(4) == 3 {
		near := l.anyNumber()
		return math.Nextafter(near, math.MaxFloat64*float64(1-2*l.choose(2)))
	}
	if l.one(6) {
		return [...]float64{0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64, 5e-324, -5e-324, 1 << 53, 1e21}[l.choose(8)]
	}
	return float64(l.choose(256)-100) / [...]float64{1, 10, 4, 3}[l.choose(4)]
}

// decimal is a number as JSON, in one of its forms.
func (l *line) decimal(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e15 && l.one(8) {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	if l.one(16) {
		return strconv.FormatFloat(f, 'e', 25, 64)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func (l *line) number() string { return l.decimal(l.anyNumber()) }

func (l *line) anyNumber() float64 {
	if len(l.numbers) > 256 {
		return l.numbers[(l.choose(256)<<8+l.choose(256))%len(l.numbers)]
	}
	return l.numbers[l.choose(len(l.numbers))]
}

func (l *line) text() string { return l.texts[l.choose(len(l.texts))] }

// either is mostly a number.
func (l *line) either() string {
	switch l.choose(16) {
	case 13:
		return l.text()
	case 14:
		return `"` + l.number() + `"`
	case 15:
		return l.pick("null", "true", "false", `""`, `"0x10"`)
	}
	return l.number()
}

// template is a shape; each call fills in other constants.
type template func() string

func (l *line) field() string {
	path := [...]string{"n", "m", "t", "u", "o.n", "z", "l.0", "b", "o.t", "t.length"}[l.choose(10)]
	l.uses(path)
	return path
}

func (l *line) template(depth int) template {
	if depth == 0 || l.choose(3) == 0 {
		return l.atomTemplate()
	}
	name := l.pick("and", "and", "or", "!", "!!", "if")
	switch name {
	case "!", "!!":
		inner := l.template(depth - 1)
		return func() string { return op(name, inner()) }
	case "if":
		condition, yes, no := l.template(depth-1), l.template(depth-1), l.template(depth-1)
		return func() string { return op("if", condition(), yes(), no()) }
	}
	operands := make([]template, 1+l.choose(4))
	for i := range operands {
		operands[i] = l.template(depth - 1)
	}
	return func() string {
		out := make([]string, len(operands))
		for i, o := range operands {
			out[i] = o()
		}
		return op(name, out...)
	}
}

func (l *line) atomTemplate() template {
	path := l.field()
	field, compare, equal := variable(path), l.pick(orders...), l.pick(equalities...)
	switch l.choose(18) {
	case 4, 5:
		return func() string { return op(compare, l.number(), field) }
	case 6:
		if l.one(2) {
			return func() string { number := l.number(); return op(equal, number, field, number) }
		}
		return func() string { return op(compare, l.number(), field, l.number()) }
	case 7, 8:
		return func() string { return op(equal, field, l.either()) }
	case 9, 10:
		return func() string { return op(equal, field, l.text()) }
	case 11:
		return func() string {
			elems := make([]string, l.choose(5))
			for i := range elems {
				elems[i] = l.either()
			}
			return op("in", field, "["+strings.Join(elems, ",")+"]")
		}
	case 12:
		return func() string { return op("in", field, `[`+l.text()+`,`+l.text()+`]`) }
	case 13:
		return func() string { return op(compare, op("var", `"`+path+`"`, l.number()), l.number()) }
	case 14:
		return func() string { return op("if", op("missing", `"`+path+`"`), "false", op(compare, field, l.number())) }
	case 15:
		return func() string { return op(compare, field, l.either()) }
	case 3:
		return func() string { return op(compare, field, l.pick("null", l.text())) }
	case 1, 2:
		return l.workedOutTemplate(compare, equal)
	case 16:
		other := variable(l.field())
		return func() string { return op(compare, op("-", field, other), l.number()) }
	case 17:
		return l.rareTemplate(path)
	}
	return func() string { return op(compare, field, l.number()) }
}

// workedOutTemplate compares what is worked out, the same for all rules.
func (l *line) workedOutTemplate(compare, equal string) template {
	a, b := l.workedOut(2), l.workedOut(1)
	switch l.choose(8) {
	case 4:
		return func() string { return op(equal, a, l.either()) }
	case 5:
		return func() string { return op(compare, l.number(), a, l.number()) }
	case 6:
		return func() string { return op(compare, a, b) }
	case 7:
		return func() string { return a }
	}
	return func() string { return op(compare, a, l.number()) }
}

func (l *line) workedOut(depth int) string {
	if depth == 0 || l.choose(3) == 0 {
		switch l.choose(6) {
		case 4:
			return op("var", `"`+l.field()+`"`, l.either())
		case 5:
			return l.number()
		}
		return variable(l.field())
	}
	operands := make([]string, 1+l.choose(3))
	for i := range operands {
		operands[i] = l.workedOut(depth - 1)
	}
	if len(operands) == 1 {
		return op(l.pick("-", "/", "+", "*", "max"), operands...)
	}
	return op(l.pick("+", "-", "*", "/", "%", "max", "min"), operands...)
}

func (l *line) rareTemplate(path string) template {
	field, other := variable(path), variable(l.field())
	switch l.choose(6) {
	case 0:
		return func() string { return field }
	case 1:
		return func() string { return op("in", l.text(), field) }
	case 2:
		return func() string { return op("<", field, other) }
	case 3:
		return func() string { return l.pick("true", "false", "0", `""`, "1") }
	case 4:
		return func() string { return op("exists", keys(path)...) }
	}
	return func() string { return op("==", l.either(), field, l.either()) }
}

// rules are each one or more conditions.
func (l *line) rules() [][]condition {
	shapes, n := 1+l.choose(4), 30+l.choose(171)
	if l.large {
		shapes, n = 1, 24*n
	}
	templates := make([]template, shapes)
	for i := range templates {
		templates[i] = l.template(l.choose(3))
	}
	out := make([][]condition, n)
	for i := range out {
		for range 1 + max(0, l.choose(12)-9) {
			out[i] = append(out[i], condition{text: templates[l.choose(len(templates))]()})
		}
		if l.one(40) {
			out[i] = []condition{{text: l.rule()}}
		}
	}
	return out
}

// samples are at the constants, beside them, and of other kinds.
func (l *line) samples(n int) []string {
	l.blanks, l.wild = max(0, l.choose(8)-5), 8
	out := make([]string, n)
	var v *sampleValue
	for i := range out {
		if v == nil || l.one(4) {
			v = l.freshSample()
		}
		v = l.placed(v, "")
		out[i] = string(l.write(nil, v))
	}
	return out
}

// placed is v with values that lie where rules begin or cease to hold.
func (l *line) placed(v *sampleValue, name string) *sampleValue {
	if v.open == 0 {
		return l.place(v, name)
	}
	out := &sampleValue{open: v.open, names: v.names}
	for i, e := range v.elems {
		if len(v.names) > i {
			name = v.names[i]
		}
		out.elems = append(out.elems, l.placed(e, name))
	}
	return out
}

func (l *line) place(v *sampleValue, name string) *sampleValue {
	if name == `"b"` || l.choose(3) == 2 {
		return v
	}
	textual := name == `"t"` || name == `"u"`
	switch l.choose(24) {
	case 20, 21:
		return l.wildValue()
	case 19, 22:
		return scalar(`"` + l.number() + `"`)
	case 23:
		return scalar(l.pick(`"Infinity"`, `"-Infinity"`, `"1e999"`, `""`, `" "`, "true", "false"))
	case 13:
		textual = !textual
	}
	if textual {
		text := l.text()
		if l.one(4) && text[1] >= 'a' && text[1] <= 'z' {
			return scalar(fmt.Sprintf(`"\u%04x%s`, text[1], text[2:]))
		}
		return scalar(text)
	}
	f := l.anyNumber()
	switch l.choose(6) {
	case 3:
		f = math.Nextafter(f, math.MaxFloat64)
	case 4:
		f = math.Nextafter(f, -math.MaxFloat64)
	case 5:
		f += float64(l.choose(16)-8) / 2
	}
	return scalar(l.decimal(f))
}
