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
	for range 20_000 {
		outcomes[agree(t, randomBytes(random))]++
	}
	t.Log(outcomes)
	assert.Greater(t, outcomes["equal"], 15_000, "most pairs compare")
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

// TestPeerDeviates is what the peer means otherwise, or not at all.
func TestPeerDeviates(t *testing.T) {
	for _, c := range []struct{ part, rule, data, ours, peers string }{
		{"scope: outer data first", `{"filter":[{"var":"l"},{"==":[{"var":"k"},1]}]}`, `{"k":1,"l":[{"k":1},{"k":2}]}`, `[{"k":1}]`, `[{"k":1},{"k":2}]`},
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
