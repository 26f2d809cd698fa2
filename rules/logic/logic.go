// Package logic compiles JSONLogic expressions and judges them over samples.
//
// There are two forms of an expression. [Compile] makes the plain one, a tree
// of nodes with every name looked up: complete, over decoded JSON, and the
// definition of what an expression means ([Expr.Decide], [Expr.Value]). A
// [Builder] makes a [Set] of many expressions in their quick form, and a
// [Machine] judges the bytes of samples by it, without allocation; what the
// quick form does not know, it leaves to the plain one. docs/adr/0005 says why
// there are two, 0006 how thousands of rules are judged at once.
//
// To add an operator: a row in operators.go, its function, its cases in
// logic_test.go, and a line in twin_writer_test.go so that the fuzz tests know
// it. To make it quick as well: a node of its own in quick_*.go and its case in
// lower.go.
//
// # Meaning
//
// The meaning is that of the official tests of jsonlogic.com; where they are
// silent, of the community's compatibility suites; where these are silent too,
// of json-logic-js. Data is never run as logic: an object that comes from a
// sample is a value, whatever its keys.
//
// # Conditions
//
// As a condition an expression is true, false or unknown. JSONLogic takes a
// missing field for null and null for 0, so that {"<":[{"var":"t"},10]} is true
// of {}: a false alarm. [Expr.Decide] therefore evaluates as JSONLogic does and
// marks the condition unknown as soon as a variable is read that is missing,
// null or not finite. So a verdict that is not unknown is always the truth of
// [Expr.Value].
//
//   - What is not evaluated does not count: the branch that an if does not
//     take, operands after the one that decides an and, an or or a chain of
//     comparisons, elements after the one that decides all, some or none.
//   - A var that fell back to its default does not count.
//   - missing, missing_some and exists only ask.
//   - A missing operand of ?? does not count when another follows it.
//   - What was read by an operand of try that failed does not count when
//     another follows it.
//   - The accumulator of a reduce is not an input; its elements are. Elements
//     are inputs like fields: one element without the field that a predicate
//     reads makes the whole condition unknown, because leaving it out, or
//     taking it for 0, would be a guess. An author who expects ragged lists
//     gives the var a default or asks missing inside the predicate.
package logic

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"tocsin.internal/internal/strictjson"
)

// MaxDepth bounds how many lists and objects of an expression may stand inside
// each other, and with it the recursion of everything that walks one. Nobody
// writes half as deep by hand.
const MaxDepth = 250

// MaxWork bounds what one evaluation may do, so that no expression and no
// sample can hang the engine or take its memory: a fraction of a second, some
// 100 MB in all. A node of a predicate costs 1 for each element, an element of a
// list that is searched 1, 8 bytes of text that are read 1, a byte of text that
// is written 1, an element of a list that is written 4, an object that is made
// (the scope of a reduce, an error) 100. Fifty elements in a pipeline of map,
// filter and reduce cost about a thousand.
const MaxWork = 1 << 22

// maxResultDepth bounds the nesting of a value that is handed out to what
// encoding/json reads back.
const maxResultDepth = 10_000

// Expr is a compiled expression. It is immutable: any number of goroutines may
// use it.
type Expr struct {
	root node
	vars []Var
	raw  strictjson.Raw
}

// Var is a path of the sample that an expression reads.
type Var struct {
	Path     string   // the parts with dots between
	Parts    []string // at least one
	Place    strictjson.Place
	Required bool // without it the condition can be unknown
}

// Compile reads one expression of a rule document. The error names every
// problem with its place: operators that do not exist, objects that do not have
// exactly one key, wrong numbers of operands, literal operands with which an
// operation can never work, and nesting deeper than MaxDepth.
func Compile(raw strictjson.Raw) (*Expr, error) {
	return compile(&compiler{table: operators}, raw)
}

// CompileLoose reads an expression and gives odd shapes the meaning that
// jsonlogic.com and the community's suites give them: an object that does not
// have exactly one key is itself, superfluous operands are ignored, and an
// operation that cannot work fails when it is evaluated. Operators that do not
// exist ([ErrUnknownOperator]) and nesting deeper than MaxDepth are errors here
// too.
func CompileLoose(raw strictjson.Raw) (*Expr, error) {
	return compile(&compiler{table: operators, loose: true}, raw)
}

func compile(c *compiler, raw strictjson.Raw) (*Expr, error) {
	if raw.IsZero() {
		return nil, strictjson.Join(raw.At.As(strictjson.MissingField).Errorf("no expression; want JSONLogic"))
	}
	c.scopes = []scopeKind{sampleScope}
	root := c.expr(raw)
	if len(c.errs) > 0 {
		return nil, strictjson.Join(c.errs...)
	}
	return &Expr{root: root, vars: distinct(c.vars), raw: raw}, nil
}

// distinct keeps each path once; it is required if it is anywhere.
func distinct(all []Var) []Var {
	var out []Var
	at := map[string]int{}
	for _, v := range all {
		key := strings.Join(v.Parts, "\x00")
		i, ok := at[key]
		if !ok {
			at[key] = len(out)
			out = append(out, v)
			continue
		}
		out[i].Required = out[i].Required || v.Required
	}
	return out
}

// Verdict is the answer of a condition.
type Verdict uint8

// The verdicts. The zero Verdict is Unknown.
const (
	Unknown Verdict = iota
	False
	True
	Failed // over inputs that were all there; only a Machine says so, Decide has an error
)

var verdictNames = [...]string{"unknown", "false", "true", "failed"}

func (v Verdict) String() string { return verdictNames[v] }

// Decide judges the expression as a condition over data, which is what
// encoding/json decodes into an any: nil, bool, float64, string, []any or
// map[string]any. It does not change or keep data.
//
// Unknown without an error means that an input is missing, also when that made
// the evaluation fail. Unknown with an error, an [*Error], means that the
// evaluation failed over inputs that were all there.
func (e *Expr) Decide(data any) (Verdict, error) {
	m := machines.Get().(*machine)
	m.start(data)
	v, err := e.root.eval(m)
	unknown := m.unknown
	m.stop()
	switch {
	case unknown:
		return Unknown, nil
	case err != nil:
		return Unknown, err
	case truthy(v):
		return True, nil
	}
	return False, nil
}

// Value is jsonlogic.com's value of the expression over data, as encoding/json
// would decode it. It may share parts with data and with the expression: do not
// change it. The error is an [*Error].
func (e *Expr) Value(data any) (any, error) {
	m := machines.Get().(*machine)
	m.start(data)
	v, err := e.root.eval(m)
	if err == nil {
		_, err = measure(v, 0, MaxWork)
	}
	m.stop()
	if err != nil {
		return nil, err
	}
	return v, nil
}

// machines are kept for the next evaluation, so that one that builds nothing
// allocates nothing.
var machines = sync.Pool{New: func() any { return newMachine() }}

// Vars are the paths of the sample that the expression names, each once, in the
// order of their first appearance. A path is required unless it always has a
// default or stands only inside missing, missing_some or exists, or as an
// operand of ?? that another one follows. Not listed are fields of elements,
// names that are computed when the expression is evaluated, and the sample as a
// whole ({"var":""}).
func (e *Expr) Vars() []Var { return slices.Clone(e.vars) }

// Source is the expression as it was written.
func (e *Expr) Source() strictjson.Raw { return e.raw }

// Operators are the names of all operators, sorted.
func Operators() []string { return slices.Sorted(maps.Keys(operators)) }
