package logic_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/diegoholiveira/jsonlogic/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

// FuzzPeer holds Value to diegoholiveira/jsonlogic on the part where both mean
// the same; see writer for that part and TestPeerDeviates for the rest.
func FuzzPeer(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		f.Add(randomBytes(random))
	}
	f.Fuzz(func(t *testing.T, choices []byte) { agree(t, choices) })
}

// TestPeer is FuzzPeer on many more seeds than a corpus should hold.
func TestPeer(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	outcomes := map[string]int{}
	for range 5_000 {
		outcomes[agree(t, randomBytes(random))]++
	}
	t.Log(outcomes)
	assert.Greater(t, outcomes["equal"], 4_000, "most pairs compare")
}

func randomBytes(random *rand.Rand) []byte {
	b := make([]byte, 20+random.IntN(100))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// agree evaluates one pair with both and says how it went.
func agree(t *testing.T, choices []byte) string {
	w := writer{choices: choices}
	data := w.data()
	rule := w.expression(4)
	var peersRule, peersData any
	require.NoError(t, json.Unmarshal([]byte(rule), &peersRule), rule)
	require.NoError(t, json.Unmarshal([]byte(data), &peersData), data)
	want, peersErr := jsonlogic.ApplyInterface(peersRule, peersData)
	got, err := compiled(t, rule).Value(decoded(t, data))

	failure, failed := errors.AsType[*logic.Error](err)
	switch {
	case failed && failure.Type == logic.NaN:
		return "not finite" // the peer carries infinities and NaN on
	case failed:
		t.Fatalf("%s over %s: %v, the peer gives %v", rule, data, err, want)
	case peersErr != nil:
		t.Fatalf("%s over %s: %v, the peer fails: %v", rule, data, got, peersErr)
	case !reflect.DeepEqual(got, want) && !bothZero(got, want):
		t.Fatalf("%s over %s: %#v, the peer gives %#v", rule, data, got, want)
	}
	return "equal"
}

func bothZero(a, b any) bool {
	x, ok := a.(float64)
	y, ok2 := b.(float64)
	return ok && ok2 && math.Abs(x-y) == 0
}

// writer writes expressions of the common part: comparisons of two numbers, two
// ASCII texts or two booleans; arithmetic on numbers; and, or, if, ! and !! over
// lists of operands; paths that are there; in with a text or a list of one kind;
// cat without outer blanks; substr within bounds; map, filter, reduce with a
// number; all, some and none whose names do not occur in the outer data. An if
// gives scalars only: of an object with one key the peer makes logic, and can
// take the process with it.
type writer struct {
	choices []byte
	element int // how many iterators are around
}

// choose gives a number below n; when the choices are used up, always 0.
func (w *writer) choose(n int) int {
	if len(w.choices) == 0 {
		return 0
	}
	c := int(w.choices[0]) % n
	w.choices = w.choices[1:]
	return c
}

func (w *writer) pick(from ...string) string { return from[w.choose(len(from))] }

func (w *writer) literalNumber() string {
	return w.pick("0", "1", "2", "-1", "30", "0.5", "-7.25", "100", "1e3", "80")
}

func (w *writer) literalText() string {
	return `"` + w.pick("a", "b", "abc", "active", "B", "zone-1", "x y", "Z") + `"`
}

func (w *writer) literalBool() string { return w.pick("true", "false") }

func (w *writer) data() string {
	list := func(elem func() string) string {
		elems := make([]string, w.choose(5))
		for i := range elems {
			elems[i] = elem()
		}
		return "[" + strings.Join(elems, ",") + "]"
	}
	item := func() string {
		return fmt.Sprintf(`{"q":%s,"p":%s,"s":%s}`, w.literalNumber(), w.literalNumber(), w.literalText())
	}
	return fmt.Sprintf(`{"n":%s,"m":{"n":%s,"k":1},"t":%s,"u":%s,"b":%s,"c":%s,"numbers":%s,"texts":%s,"items":%s}`,
		w.literalNumber(), w.literalNumber(), w.literalText(), w.literalText(), w.literalBool(), w.literalBool(),
		list(w.literalNumber), list(w.literalText), list(item))
}

func (w *writer) expression(depth int) string {
	switch w.choose(6) {
	case 0:
		return w.number(depth)
	case 1:
		return w.text(depth)
	case 2:
		return w.list(depth)
	}
	return w.bool(depth)
}

func op(name string, operands ...string) string {
	return `{"` + name + `":[` + strings.Join(operands, ",") + `]}`
}

func variable(path string) string { return `{"var":"` + path + `"}` }

func (w *writer) number(depth int) string {
	if depth == 0 || w.choose(4) == 0 {
		if w.element > 0 {
			return w.pick(variable("q"), variable("p"), w.literalNumber())
		}
		return w.pick(variable("n"), variable("m.n"), `{"var":["absent",5]}`, w.literalNumber())
	}
	a := func() string { return w.number(depth - 1) }
	switch w.choose(8) {
	case 0:
		return op("+", a(), a(), a())
	case 1:
		return op("*", a(), a())
	case 2:
		return op("-", a(), a())
	case 3:
		return op("/", a(), a())
	case 4:
		return op(w.pick("min", "max"), a(), a())
	case 5:
		return op("-", a())
	case 6:
		if w.element == 0 {
			return op("reduce", variable("numbers"), op("+", variable("accumulator"), variable("current")), w.literalNumber())
		}
	}
	return op("if", w.bool(depth-1), a(), a())
}

func (w *writer) text(depth int) string {
	if depth == 0 || w.choose(3) == 0 {
		if w.element > 0 {
			return w.pick(variable("s"), w.literalText())
		}
		return w.pick(variable("t"), variable("u"), w.literalText())
	}
	switch w.choose(3) {
	case 0:
		return op("cat", w.text(depth-1), w.text(depth-1))
	case 1:
		return op("substr", `"jsonlogic"`, w.pick("0", "1", "4", "-5"), w.pick("1", "2", "4"))
	}
	return op("if", w.bool(depth-1), w.text(depth-1), w.text(depth-1))
}

func (w *writer) bool(depth int) string {
	if depth == 0 {
		if w.element > 0 {
			return op("<", variable("q"), w.literalNumber()) // a predicate must be an operation
		}
		return w.pick(variable("b"), variable("c"), w.literalBool())
	}
	a := func() string { return w.bool(depth - 1) }
	switch w.choose(10) {
	case 0, 1:
		return op(w.pick("<", "<=", ">", ">=", "==", "!=", "===", "!=="), w.number(depth-1), w.number(depth-1))
	case 2:
		return op(w.pick("<", "<=", ">", ">=", "==", "!=", "===", "!=="), w.text(depth-1), w.text(depth-1))
	case 3:
		return op(w.pick("==", "!=", "===", "!=="), a(), a())
	case 4:
		return op("and", a(), a(), a())
	case 5:
		return op("or", a(), a())
	case 6:
		return op(w.pick("!", "!!"), a())
	case 7:
		return op("in", w.text(depth-1), w.pick(w.text(depth-1), `["a","abc","active"]`))
	case 8:
		return op("in", w.number(depth-1), `[1,2,30]`)
	}
	if w.element > 0 {
		return op("<", w.number(depth-1), w.number(depth-1))
	}
	w.element++
	defer func() { w.element-- }()
	return op(w.pick("all", "some", "none"), variable("items"), w.bool(depth-1))
}

func (w *writer) list(depth int) string {
	w.element++
	defer func() { w.element-- }()
	if depth == 0 || w.choose(2) == 0 {
		return op("map", variable("items"), w.number(max(0, depth-1)))
	}
	return op("filter", variable("items"), w.bool(depth-1))
}

// TestPeerDeviates is what the peer means otherwise, or not at all. One more
// cannot be tried: {"if":[true,{"var":"x"}]} over {"x":{"if":[true,{"var":"x"}]}}
// ends the process.
func TestPeerDeviates(t *testing.T) {
	for _, c := range []struct{ part, rule, data, ours, peers string }{
		{"outer data before the element", `{"filter":[{"var":"l"},{"==":[{"var":"k"},1]}]}`, `{"k":1,"l":[{"k":1},{"k":2}]}`, `[{"k":1}]`, `[{"k":1},{"k":2}]`},
		{"a default before the element", `{"some":[{"var":"l"},{"==":[{"var":["k",9]},1]}]}`, `{"l":[{"k":1}]}`, `true`, `false`},
		{"data as logic, from an if", `{"if":[true,{"var":"o"}]}`, `{"o":{"var":"secret"},"secret":"S"}`, `{"var":"secret"}`, `"S"`},
		{"double dots", `{"var":"a..b"}`, `{"a":{"b":1}}`, `null`, `1`},
		{"leading dot", `{"var":".a"}`, `{"a":1}`, `null`, `1`},
		{"trailing dot", `{"var":"a."}`, `{"a":1}`, `null`, `1`},
		{"a null that is there", `{"var":["a",9]}`, `{"a":null}`, `null`, `9`},
		{"a third operand", `{"var":["a",9,1]}`, `{}`, `9`, `null`},
		{"an index as a float", `{"var":"1e0"}`, `[5,6]`, `null`, `6`},
		{"var of a list with null", `{"var":[null]}`, `7`, `7`, `error`},
		{"var of a boolean", `{"var":true}`, `{"true":1}`, `1`, `error`},
		{"length", `{"var":"a.length"}`, `{"a":[1,2]}`, `2`, `1`},
		{"characters", `{"var":"a.0"}`, `{"a":"xy"}`, `"x"`, `null`},
		{"null is 0", `{">=":[{"var":"a"},0]}`, `{"a":null}`, `true`, `false`},
		{"null in arithmetic", `{"-":[{"var":"a"},1]}`, `{"a":null}`, `-1`, `error`},
		{"booleans in arithmetic", `{"+":[true,1]}`, `{}`, `2`, `error`},
		{"text in arithmetic", `{"+":[{"var":"a"},1]}`, `{"a":"x"}`, `error NaN`, `1`},
		{"underscores", `{">":[{"var":"a"},999]}`, `{"a":"1_000"}`, `error NaN`, `true`},
		{"inf", `{">":[{"var":"a"},999]}`, `{"a":"inf"}`, `error NaN`, `true`},
		{"blanks", `{">":[{"var":"a"},4]}`, `{"a":" 5 "}`, `true`, `false`},
		{"hexadecimal", `{">":[{"var":"a"},15]}`, `{"a":"0x10"}`, `true`, `false`},
		{"too large", `{">":[{"var":"a"},1]}`, `{"a":"1e999"}`, `true`, `false`},
		{"text that is no number", `{">":[{"var":"a"},1]}`, `{"a":"x"}`, `error NaN`, `false`},
		{"lists compared", `{">":[{"var":"a"},1]}`, `{"a":[5]}`, `error NaN`, `false`},
		{"division by zero", `{"/":[1,0]}`, `{}`, `error NaN`, `+Inf`},
		{"the truth of NaN", `{"!":[{"/":[0,0]}]}`, `{}`, `error NaN`, `false`},
		{"overflow", `{"*":[1e308,10]}`, `{}`, `error NaN`, `+Inf`},
		{"negative without list", `{"-":5}`, `{}`, `-5`, `error`},
		{"product without list", `{"*":2}`, `{}`, `2`, `error`},
		{"reciprocal", `{"/":[4]}`, `{}`, `0.25`, `4`},
		{"modulo of three", `{"%":[17,10,4]}`, `{}`, `3`, `7`},
		{"max of nothing", `{"max":[]}`, `{}`, `error Invalid Arguments`, `null`},
		{"identity of lists", `{"===":[{"var":"a"},{"var":"a"}]}`, `{"a":[1]}`, `true`, `false`},
		{"equality of lists", `{"==":[{"var":"a"},{"var":"a"}]}`, `{"a":[1]}`, `error NaN`, `false`},
		{"null equals 0", `{"==":[{"var":"a"},0]}`, `{"a":null}`, `true`, `false`},
		{"null equals false", `{"==":[{"var":"a"},false]}`, `{"a":null}`, `true`, `false`},
		{"truth of a list", `{"!":{"var":"a"}}`, `{"a":[0]}`, `false`, `true`},
		{"truth of an object", `{"!!":[{"var":"a"}]}`, `{"a":{}}`, `true`, `false`},
		{"numbers in lists", `{"in":[0,["abc"]]}`, `{}`, `false`, `true`},
		{"ranges in lists", `{"in":[5,[[1,10]]]}`, `{}`, `false`, `true`},
		{"number in text", `{"in":[2,"123"]}`, `{}`, `true`, `error`},
		{"null in text", `{"in":[null,"null"]}`, `{}`, `true`, `error`},
		{"outer blanks", `{"cat":["a"," "]}`, `{}`, `"a "`, `"a"`},
		{"booleans as text", `{"cat":["a",true]}`, `{}`, `"atrue"`, `error`},
		{"lists as text", `{"cat":["a",[1]]}`, `{}`, `"a1"`, `error`},
		{"large numbers as text", `{"cat":["a",1e21]}`, `{}`, `"a1e+21"`, `"a1000000000000000000000"`},
		{"small numbers as text", `{"cat":["a",1e-7]}`, `{}`, `"a1e-7"`, `"a0.0000001"`},
		{"start beyond the end", `{"substr":["abc",9]}`, `{}`, `""`, `"abc"`},
		{"UTF-16", `{"substr":["a😀b",3]}`, `{}`, `"b"`, `""`},
		{"negative window", `{"substr":["abc",2,-5]}`, `{}`, `""`, `error`},
		{"empty text is missing", `{"missing":["a"]}`, `{"a":""}`, `["a"]`, `[]`},
		{"one list in a list", `{"missing":[["a","b"]]}`, `{}`, `["a","b"]`, `[]`},
		{"reduce without initial value", `{"reduce":[{"var":"a"},{"+":[{"var":"accumulator"},{"var":"current"}]}]}`, `{"a":[1,2]}`, `3`, `0`},
		{"reduce to a list", `{"reduce":[{"var":"a"},{"merge":[{"var":"accumulator"},{"var":"current"}]},[]]}`, `{"a":[1,2]}`, `[1,2]`, `error`},
		{"reduce skips null", `{"reduce":[{"var":"a"},{"+":[{"var":"accumulator"},1]},0]}`, `{"a":[1,null]}`, `2`, `1`},
		{"reduce of nothing", `{"reduce":[{"var":"a"},{"+":[{"var":"accumulator"},1]},7]}`, `{}`, `7`, `0`},
		{"a chain of equals", `{"==":[3,3,2]}`, `{}`, `false`, `true`},
		{"order of texts", `{"<":["😀","ﬁ"]}`, `{}`, `true`, `false`},
		{"quantifier without list", `{"all":[{"var":"a"},{">":[{"var":""},1]}]}`, `{}`, `error Invalid Arguments`, `false`},
		{"and of nothing", `{"and":[]}`, `{}`, `false`, `null`},
		{"log", `{"log":1}`, `{}`, `1`, `error`},
		{"val", `{"val":["a","b"]}`, `{"a":{"b":1}}`, `1`, `error`},
		{"exists", `{"exists":"a"}`, `{"a":1}`, `true`, `error`},
		{"??", `{"??":[null,1]}`, `{}`, `1`, `error`},
		{"try", `{"try":[{"throw":"x"},1]}`, `{}`, `1`, `error`},
		{"preserve", `{"preserve":{"var":"a"}}`, `{}`, `{"var":"a"}`, `error`},
	} {
		t.Run(c.part, func(t *testing.T) {
			assert.Equal(t, c.ours, valued(t, loose(t, c.rule), c.data), "ours")
			assert.Equal(t, c.peers, peersValue(t, c.rule, c.data), "the peer's")
		})
	}
}

func peersValue(t *testing.T, rule, data string) string {
	v, err := jsonlogic.ApplyInterface(decoded(t, rule), decoded(t, data))
	if err != nil {
		return "error"
	}
	if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return fmt.Sprint(f)
	}
	return encoded(t, v)
}

// FuzzAnything: no expression and no data ends the process, hangs, or makes a
// verdict that is not the truth of the value.
func FuzzAnything(f *testing.F) {
	for _, c := range operatorCases {
		f.Add(c.rule, c.data)
	}
	f.Add(`{"reduce":[{"var":""},[{"var":"accumulator"},{"var":"accumulator"}],1]}`, `[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30]`)
	f.Add(`{"if":[true,{"var":"x"}]}`, `{"x":{"if":[true,{"var":"x"}]}}`)
	f.Fuzz(func(t *testing.T, rule, text string) {
		var data any
		if err := json.Unmarshal([]byte(text), &data); err != nil {
			return
		}
		raw, err := strictjson.Parse("rule", []byte(rule))
		if err != nil {
			return
		}
		strict, strictErr := logic.Compile(raw)
		e, err := logic.CompileLoose(raw)
		if err != nil {
			require.Error(t, strictErr)
			return
		}
		value, valueErr := e.Value(data)
		verdict, err := e.Decide(data)
		if strictErr == nil {
			again, againErr := strict.Decide(data)
			assert.Equal(t, verdict, again)
			assert.Equal(t, err, againErr)
		}
		if err != nil {
			assert.Equal(t, logic.Unknown, verdict)
			assert.Equal(t, valueErr, err)
		}
		if verdict == logic.Unknown || valueErr != nil {
			return
		}
		truth, err := compiled(t, `{"!!":[{"var":""}]}`).Value(value)
		require.NoError(t, err)
		assert.Equal(t, verdict == logic.True, truth)
		_, err = json.Marshal(value)
		require.NoError(t, err)
	})
}
