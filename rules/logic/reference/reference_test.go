package reference_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
	"tocsin.internal/rules/logic/reference"
)

func compile(t testing.TB, rule string) (*reference.Rule, error) {
	t.Helper()
	raw, err := strictjson.Parse("rule", []byte(rule))
	require.NoError(t, err, rule)
	return reference.Compile(raw)
}

func compiled(t testing.TB, rule string) *reference.Rule {
	t.Helper()
	r, err := compile(t, rule)
	require.NoError(t, err)
	return r
}

func decoded(t testing.TB, text string) any {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}

const sample = `{"temperature":31.2,"status":"active","on":true,"zone":"north","limit":null,"blank":" x","empty":"","nothing":{},
	"motor":{"rpm":1500,"tags":["a","b"]},"numbers":[3,1,2],"rows":[{"p":1,"q":"x"},{"p":4,"q":"y","numbers":[7]}],
	"groups":[{"id":1,"members":[{"age":3},{"age":9}]},{"id":2,"members":[]}],"named":[{"zone":"south"}],"huge":1e21,"emoji":"a😀b"}`

func TestValue(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{`5`, `5`},
		{`[1,{"var":"zone"}]`, `[1,"north"]`},
		{`{">":[{"var":"temperature"},30]}`, `true`},
		{`{"<":[1,{"var":"temperature"},31]}`, `false`},
		{`{"<":[false,1]}`, `true`},
		{`{"===":[{"var":"limit"},null]}`, `true`},
		{`{"===":[{"var":"zone"},1]}`, `false`},
		{`{"var":"motor.tags.1"}`, `"b"`},
		{`{"var":["motor.volts",230]}`, `230`},
		{`{"var":"numbers.1"}`, `1`},
		{`{"+":[{"var":"temperature"},0.8,1]}`, `33`},
		{`{"-":[{"var":"temperature"}]}`, `-31.2`},
		{`{"%":[17,{"var":"motor.rpm"}]}`, `17`},
		{`{"if":[{"var":"on"},{"var":"zone"},"off"]}`, `"north"`},
		{`{"if":[{"==":[1,2]},1]}`, `null`},
		{`{"or":[{"and":[{"var":"on"},0]},{"var":"numbers"}]}`, `[3,1,2]`},
		{`{"!":{"var":"limit"}}`, `true`},
		{`{"!!":[{"var":"numbers"}]}`, `true`},
		{`{"missing":["zone","absent","limit"]}`, `["absent","limit"]`},
		{`{"missing_some":[1,["zone","absent"]]}`, `[]`},
		{`{"in":["or",{"var":"zone"}]}`, `true`},
		{`{"in":[{"var":"zone"},["north","south"]]}`, `true`},
		{`{"in":[2,{"var":"numbers"}]}`, `true`},
		{`{"cat":["zone ",{"var":"zone"},": ",{"var":"temperature"}]}`, `"zone north: 31.2"`},
		{`{"cat":[{"cat":["a","b"]},{"substr":[{"var":"zone"},-2]}]}`, `"abth"`},
		{`{"substr":[{"var":"zone"},1,-1]}`, `"ort"`},
		{`{"merge":[1,{"var":"numbers"},[]]}`, `[1,3,1,2]`},
		{`{"map":[{"var":"numbers"},{"*":[{"var":""},2]}]}`, `[6,2,4]`},
		{`{"map":[{"filter":[{"var":"rows"},{">":[{"var":"p"},1]}]},{"var":"q"}]}`, `["y"]`},
		{`{"filter":[{"var":"numbers"},{"in":[{"var":""},[1,2]]}]}`, `[1,2]`},
		{`{"reduce":[{"map":[{"var":"rows"},{"var":"p"}]},{"+":[{"var":"current"},{"var":"accumulator"}]},10]}`, `15`},
		{`{"reduce":[{"var":"rows"},{"max":[{"var":"current.p"},{"var":"accumulator"}]},0]}`, `4`},
		{`{"all":[{"var":"rows"},{">":[{"var":"p"},0]}]}`, `true`},
		{`{"some":[{"var":"rows"},{"==":[{"var":"q"},"y"]}]}`, `true`},
		{`{"none":[[],{"var":""}]}`, `true`},
		{`{"some":[{"var":"groups"},{"all":[{"var":"members"},{">":[{"var":"age"},2]}]}]}`, `true`},
		{`{"map":[{"var":"groups"},{"filter":[{"var":"members"},{">":[{"var":"age"},5]}]}]}`, `[[{"age":9}],[]]`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			got, err := compiled(t, c.rule).Value(decoded(t, sample))
			require.NoError(t, err)
			assert.True(t, same(got, decoded(t, c.want)), "got %v", got)
			assert.Equal(t, "equal", agree(t, c.rule, sample))
		})
	}
}

func TestRefusedRules(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{`{"log":1}`, `rule:1:2: /log: not comparable with the reference: the operator "log"`},
		{`{"if":[true,{"set":[{"var":""},"x",1]}]}`, `rule:1:14: /if/1/set: not comparable with the reference: the operator "set"`},
		{`{"a":1,"b":{"if":[true,{"var":""}]}}`, `rule:1:1: not comparable with the reference: an object with 2 keys`},
		{`[{}]`, `rule:1:2: /0: not comparable with the reference: an object with 0 keys`},
		{`{"-":5}`, `rule:1:2: /-: not comparable with the reference: "-" with an operand that is not in a list`},
		{`{"/":[4]}`, `rule:1:2: /~1: not comparable with the reference: "/" with 1 operands`},
		{`{"==":[3,3,2]}`, `rule:1:2: /==: not comparable with the reference: "==" with 3 operands`},
		{`{"var":["a",9,1]}`, `rule:1:2: /var: not comparable with the reference: "var" with 3 operands`},
		{`{"var":[]}`, `rule:1:2: /var: not comparable with the reference: "var" with 0 operands`},
		{`{"var":true}`, `rule:1:8: /var: not comparable with the reference: "var" with a name that is not a written text`},
		{`{"var":[1]}`, `rule:1:9: /var/0: not comparable with the reference: "var" with a name that is not a written text`},
		{`{"var":{"var":"a"}}`, `rule:1:9: /var/var: not comparable with the reference: "var" with a name that is not a written text`},
		{`{"var":"a..b"}`, `rule:1:8: /var: not comparable with the reference: "var" of "a..b", a path with an empty part`},
		{`{"missing":[["a"]]}`, `rule:1:13: /missing/0: not comparable with the reference: "missing" with a name that is not a written text`},
		{`{"missing_some":["1",{"var":"l"}]}`, `rule:1:18: /missing_some/0: not comparable with the reference: "missing_some" of a number that is not written or not whole` + "\n" +
			`rule:1:23: /missing_some/1/var: not comparable with the reference: "missing_some" with names that are not written`},
		{`{"substr":["abc",0.5]}`, `rule:1:18: /substr/1: not comparable with the reference: "substr" with a window that is not written in whole numbers`},
		{`{"map":[[{"var":"x"}],1]}`, `rule:1:9: /map/0: not comparable with the reference: "map" over a written list with operations in it`},
		{`{"map":[{"var":"l"},null]}`, `rule:1:21: /map/1: not comparable with the reference: "map" with null for a predicate`},
		{`{"some":[{"var":"l"},{"var":"k"}]}`, `rule:1:23: /some/1/var: not comparable with the reference: "some" with a predicate that is not an operation`},
		{`{"reduce":[{"var":"l"},1,"a"]}`, `rule:1:24: /reduce/1: not comparable with the reference: "reduce" with a predicate that is not an operation` + "\n" +
			`rule:1:26: /reduce/2: not comparable with the reference: "reduce" from something else than a written number`},
		{strings.Repeat(`[`, 251) + strings.Repeat(`]`, 251), `rule:1:251: ` + strings.Repeat("/0", 250) + `: not comparable with the reference: nested deeper than 250 levels`},
	} {
		t.Run(c.want, func(t *testing.T) {
			_, err := compile(t, c.rule)
			assert.ErrorIs(t, err, reference.ErrNotComparable)
			assert.EqualError(t, err, c.want)
		})
	}
	_, err := reference.Compile(strictjson.Raw{})
	assert.EqualError(t, err, "-:1:1: no expression; want JSONLogic")
}

func TestRefusedOverData(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{`{">":[{"var":"status"},1]}`, `">" of a number or a text`},
		{`{"<":[{"var":"absent"},1]}`, `"<" of null or a number`},
		{`{"==":[{"var":"numbers"},{"var":"numbers"}]}`, `"==" of a list`},
		{`{"<":[{"var":"emoji"},"b"]}`, `"<" of texts of which one has characters beyond U+FFFF, which the library orders by code point`},
		{`{"+":[{"var":"on"},1]}`, `"+" of a boolean`},
		{`{"/":[1,{"var":["absent",0]}]}`, `"/" by 0`},
		{`{"var":"numbers.length"}`, `"numbers.length", which goes into a text, or into a list by something else than an index`},
		{`{"var":"zone.0"}`, `"zone.0", which goes into a text, or into a list by something else than an index`},
		{`{"var":"numbers.1e0"}`, `"numbers.1e0", which goes into a text, or into a list by something else than an index`},
		{`{"var":["limit",9]}`, `"limit" with a default and a null that is there, which the library replaces`},
		{`{"!":{"var":"numbers"}}`, `"!" of a list that is not in a list, of which the library takes the first element`},
		{`{"and":[{"var":"nothing"}]}`, `the truth of an empty object`},
		{`{"missing":"empty"}`, `"empty", which is "", and that is not missing to the library`},
		{`{"in":[1,{"var":"zone"}]}`, `a number in a text`},
		{`{"in":[null,{"var":"numbers"}]}`, `null in a list`},
		{`{"in":[1,{"var":"motor.tags"}]}`, `a number in a list with a text`},
		{`{"in":[5,[[1,10]]]}`, `a list in a list, which is a range to the library`},
		{`{"in":["",{"var":"empty"}]}`, `"" in "", which the library finds`},
		{`{"in":[1,{"var":"motor"}]}`, `"in" in an object`},
		{`{"cat":["a",{"var":"on"}]}`, `"cat" of a boolean`},
		{`{"cat":["a",{"var":"huge"}]}`, `"cat" of 1e+21, which JavaScript writes otherwise`},
		{`{"cat":["a",{"+":[1,2]}]}`, `"cat" of a computed number, which JavaScript can write otherwise`},
		{`{"cat":[{"var":"blank"},"a"]}`, `"cat" with " x" at an end, where the library takes blanks away`},
		{`{"cat":["a",{"var":"empty"}]}`, `"cat" with "" at an end, where the library takes blanks away`},
		{`{"substr":[{"var":"zone"},9]}`, `"substr" of "north" out of its bounds`},
		{`{"substr":["abc",2,-5]}`, `"substr" of "abc" out of its bounds`},
		{`{"substr":[{"var":"emoji"},1]}`, `"substr" of a text with characters beyond U+FFFF, which the library counts once`},
		{`{"substr":[{"cat":["a","b"]},1]}`, `"substr" of a computed text, the length of which is not known`},
		{`{"map":[{"var":"absent"},1]}`, `"map" over null`},
		{`{"reduce":[[1,null],{"+":[{"var":"accumulator"},1]},0]}`, `a null in a reduce, which the library skips`},
		{`{"reduce":[{"var":"numbers"},{"cat":["a","b"]},0]}`, `a reduce to a text`},
		{`{"reduce":[{"var":"numbers"},{"var":"valueType"},0]}`, `"valueType" in a reduce, where there are only current and accumulator`},
		{`{"some":[{"var":"named"},{"==":[{"var":"zone"},"south"]}]}`, `"zone", which is also there around the elements, where the library looks first`},
		{`{"filter":[{"var":"rows"},{"!!":[{"var":"numbers"}]}]}`, `"numbers", which is also there around the elements, where the library looks first`},
		{`{"map":[{"var":"groups"},{"all":[{"var":"members"},{"none":[[1],{"==":[{"var":"age"},1]}]}]}]}`, `"age", which is also there around the elements, where the library looks first`},
		{`{"none":[{"var":"rows"},{"==":[{"var":["q",1]},1]}]}`, `"q" with a default, which the library takes before it has an element`},
		{`{"reduce":[{"var":"rows"},{"if":[{"some":[[{"x":1,"y":2}],{"==":[{"var":"current"},1]}]},1,2]},0]}`, `an object with 2 keys`},
		{`{"reduce":[{"var":"numbers"},{"if":[{"some":[[[1]],{"==":[{"var":"current"},1]}]},1,2]},0]}`, `"current", which is also there around the elements, where the library looks first`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r, err := compile(t, c.rule)
			if err == nil {
				_, err = r.Value(decoded(t, sample))
			}
			assert.ErrorIs(t, err, reference.ErrNotComparable)
			assert.ErrorContains(t, err, ": not comparable with the reference: "+c.want)
		})
	}
}

// TestDataAsLogic has what would end the process, and what would run a part of
// the data.
func TestDataAsLogic(t *testing.T) {
	for _, c := range []struct{ name, rule, data, want string }{
		{
			"overflow", `{"if":[true,{"var":"x"}]}`, `{"x":{"if":[true,{"var":"x"}]}}`,
			`data /x: not comparable with the reference: an object whose only key is the operator "if" could run as logic`,
		},
		{
			"secret", `{"if":[true,{"var":"o"}]}`, `{"o":{"var":"secret"},"secret":"S"}`,
			`data /o: not comparable with the reference: an object whose only key is the operator "var" could run as logic`,
		},
		{
			"operator of the library alone", `1`, `{"a/b":[{"contains_all":[]}],"x":1}`,
			`data /a~1b/0: not comparable with the reference: an object whose only key is the operator "contains_all" could run as logic`,
		},
		{
			"no operator", `{"if":[true,{"var":"o"}]}`, `{"o":{"value":1},"x":2}`,
			`not comparable with the reference: it takes an object of the data for logic`,
		},
		{
			"substituted", `{"some":[{"var":"l"},{"in":[1,{"var":"k"}]}]}`, `{"l":[{"k":[{"value":1}]}]}`,
			`rule:1:23: /some/1/in: not comparable with the reference: a number in a list with an object`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := compiled(t, c.rule).Value(decoded(t, c.data))
			assert.ErrorIs(t, err, reference.ErrNotComparable)
			assert.EqualError(t, err, c.want)
		})
	}
	for name, rule := range map[string]string{
		"overflow from a list of the rule":    `{"map":[[{"if":[true,{"var":""}]}],{"if":[true,{"var":""}]}]}`,
		"overflow from an object of the rule": `{"map":[[{"x":{"if":[true,{"var":"x"}]},"y":1}],{"if":[true,{"var":"x"}]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compile(t, rule)
			assert.ErrorIs(t, err, reference.ErrNotComparable)
		})
	}
}

func TestUnfitData(t *testing.T) {
	deep := any(1.0)
	for range reference.MaxDepth + 1 {
		deep = []any{deep}
	}
	for want, data := range map[string]any{
		strings.Repeat("/0", reference.MaxDepth) + ": not comparable with the reference: nested deeper than 250 levels": deep,
		"data /a: not comparable with the reference: NaN is no JSON number":                                             map[string]any{"a": math.NaN(), "b": 1.0},
		"data: not comparable with the reference: int is no decoded JSON":                                               1,
		"not comparable with the reference: more than 4194304 values":                                                   make([]any, reference.MaxWork),
	} {
		_, err := compiled(t, `1`).Value(data)
		assert.ErrorIs(t, err, reference.ErrNotComparable)
		assert.ErrorContains(t, err, want)
	}
}

func TestNotFinite(t *testing.T) {
	for _, rule := range []string{`{"*":[{"var":"a"},10]}`, `[1,{"/":[{"var":"a"},0.1]}]`, `{"-":[{"*":[{"var":"a"},10]},{"*":[{"var":"a"},10]}]}`} {
		_, err := compiled(t, rule).Value(decoded(t, `{"a":1e308}`))
		assert.ErrorIs(t, err, reference.ErrNotFinite, rule)
	}
}

// TestTooMuchWork has rules over 1,000 elements that would take the library
// from seconds to for ever, or all memory.
func TestTooMuchWork(t *testing.T) {
	doubled := func(depth int) string {
		rule := `{"var":""}`
		for range depth {
			rule = `{"map":[` + rule + `,[{"var":""},{"var":""}]]}`
		}
		return rule
	}
	list := `[` + strings.Repeat(`1,`, 999) + `1]`
	text := `"` + strings.Repeat(`x`, 100_000) + `"`
	for name, rule := range map[string]string{
		"nested iterators":      `{"map":[{"var":""},{"map":[` + list + `,{"map":[` + list + `,1]}]}]}`,
		"search in each":        `{"map":[{"var":""},{"some":[` + list + `,{"in":[{"var":""},` + list + `]}]}]}`,
		"large texts":           `{"map":[{"var":""},{"cat":[` + text + `,` + text + `]}]}`,
		"parts of large texts":  `{"map":[{"var":""},{"substr":[` + text + `,1]}]}`,
		"large lists":           `{"map":[{"var":""},{"merge":[` + list + `,` + list + `,` + list + `,` + list + `,` + list + `]}]}`,
		"a result of 2^100":     doubled(100),
		"lists of lists put in": `{"some":[` + doubled(24) + `,{"==":[{"some":[[1],{"in":["a",{"var":"0"}]}]},true]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compiled(t, rule).Value(decoded(t, list))
			assert.ErrorIs(t, err, reference.ErrNotComparable)
		})
	}
}

// TestWideRules has operations with very many operands: the time must not grow
// with their square.
func TestWideRules(t *testing.T) {
	for operator, want := range map[string]string{"or": "1", "and": "0", "if": "1", "+": "1", "max": "1"} {
		rule := `{"` + operator + `":[` + strings.Repeat(`{"var":"a"},`, 30_000) + `1]}`
		got, err := compiled(t, rule).Value(decoded(t, `{"a":0}`))
		require.NoError(t, err)
		assert.True(t, same(decoded(t, want), got), operator)
	}
}

func TestConcurrent(t *testing.T) {
	r := compiled(t, `{"reduce":[{"filter":[{"var":"rows"},{">":[{"var":"p"},0]}]},{"+":[{"var":"current.p"},{"var":"accumulator"}]},0]}`)
	data := decoded(t, sample)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 50 {
				v, err := r.Value(data)
				assert.NoError(t, err)
				assert.True(t, same(5.0, v))
			}
		})
	}
	wait.Wait()
}

// TestSuite runs the official tests of jsonlogic.com: what is judged is judged
// as they say.
func TestSuite(t *testing.T) {
	text, err := os.ReadFile("../testdata/tests.json")
	require.NoError(t, err)
	raw, err := strictjson.Parse("tests.json", text)
	require.NoError(t, err)
	judged := 0
	for _, c := range raw.Elems() {
		if c.Kind() != strictjson.Array {
			continue // a heading
		}
		rule, err := reference.Compile(c.Elems()[0])
		if errors.Is(err, reference.ErrNotComparable) {
			continue
		}
		require.NoError(t, err)
		got, err := rule.Value(c.Elems()[1].Any())
		if errors.Is(err, reference.ErrNotComparable) {
			continue
		}
		assert.NoError(t, err, string(c.Text()))
		assert.True(t, same(got, c.Elems()[2].Any()), "%s: got %v", c.Text(), got)
		judged++
	}
	assert.GreaterOrEqual(t, judged, 240)
}

// same compares values; 0 and -0 are the same.
func same(a, b any) bool {
	x, ok := a.([]any)
	y, ok2 := b.([]any)
	if ok && ok2 && len(x) == len(y) {
		for i := range x {
			if !same(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	f, ok := a.(float64)
	g, ok2 := b.(float64)
	return ok && ok2 && f == g || reflect.DeepEqual(a, b)
}

// agree holds the reference to the engine's evaluator and says how it went.
func agree(t testing.TB, rule, data string) string {
	r, err := compile(t, rule)
	if err != nil {
		require.ErrorIs(t, err, reference.ErrNotComparable)
		return "rule refused"
	}
	got, err := r.Value(decoded(t, data))
	if errors.Is(err, reference.ErrNotComparable) {
		return "data refused"
	}
	raw, compileErr := strictjson.Parse("rule", []byte(rule))
	require.NoError(t, compileErr)
	ours, compileErr := logic.Compile(raw)
	if compileErr != nil {
		return "not compiled"
	}
	want, oursErr := ours.Value(decoded(t, data))
	if failure, ok := errors.AsType[*logic.Error](oursErr); ok && failure.Type == logic.NaN && (err == nil || errors.Is(err, reference.ErrNotFinite)) {
		return "not finite"
	}
	if err != nil || oursErr != nil || !same(got, want) {
		t.Fatalf("%s over %s: %v, %v; the reference gives %v, %v", rule, data, want, oursErr, got, err)
	}
	return "equal"
}

// FuzzReference: no rule and no data ends the process, hangs or panics, and what
// is judged is judged as the engine does.
func FuzzReference(f *testing.F) {
	random := writer{rand.New(rand.NewPCG(1, 2))}
	for range 200 {
		f.Add(random.rule(3), random.sample())
	}
	f.Add(`{"if":[true,{"var":"x"}]}`, `{"x":{"if":[true,{"var":"x"}]}}`)
	f.Add(`{"map":[[{"if":[true,{"var":""}]}],{"if":[true,{"var":""}]}]}`, `1`)
	f.Add(`{"map":[{"var":""},{"map":[{"var":""},[{"var":""},{"var":""}]]}]}`, `[[1],[2,[3]]]`)
	f.Fuzz(func(t *testing.T, rule, data string) {
		if _, err := strictjson.Parse("rule", []byte(rule)); err != nil || !json.Valid([]byte(data)) {
			return
		}
		if json.Unmarshal([]byte(data), new(any)) != nil {
			return // a number out of range
		}
		agree(t, rule, data)
	})
}

// TestAgree writes rules and data of all shapes, those outside of the common
// part too.
func TestAgree(t *testing.T) {
	random := writer{rand.New(rand.NewPCG(5, 6))}
	outcomes := map[string]int{}
	for range 20_000 {
		outcomes[agree(t, random.rule(3), random.sample())]++
	}
	t.Log(outcomes)
	assert.Greater(t, outcomes["equal"], 3_000)
}

type writer struct{ *rand.Rand }

var (
	scalars = []string{
		"null", "true", "false", "0", "1", "-1", "2", "5", "0.5", "1e21", "1e-7",
		`""`, `" "`, `"a"`, `"ab"`, `" a"`, `"5"`, `"x y"`, `"0x10"`, `"😀"`, `"ﬁ"`,
	}
	members = []string{"a", "b", "c", "d", "l", "m", "x", "var", "if"}
	paths   = []string{
		"a", "b", "c", "d", "l", "m", "x", "var", "if", "a.b", "l.0", "m.0.a", "l.length", "0", "", "a..b", "current", "accumulator", "current.a",
	}
)

func (w writer) pick(from ...string) string { return from[w.IntN(len(from))] }

func (w writer) times(n int, one func() string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = one()
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func (w writer) value(depth int) string {
	switch {
	case depth == 0 || w.IntN(3) > 0:
		return w.pick(scalars...)
	case w.IntN(2) == 0:
		return w.times(w.IntN(4), func() string { return w.value(depth - 1) })
	}
	return w.object(depth, 1+w.IntN(3))
}

func (w writer) object(depth, size int) string {
	parts := make([]string, size)
	for i, name := range w.Perm(len(members))[:size] {
		parts[i] = fmt.Sprintf("%q:%s", members[name], w.value(depth-1))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (w writer) sample() string {
	switch w.IntN(10) {
	case 0:
		return w.value(2)
	case 1, 2:
		return `{"a":1,"var":"a","b":2,"c":"x","d":true,"l":[1,2,3],"m":[{"a":1,"x":2},{"a":3,"x":4}]}`
	case 3:
		return `{"a":5,"c":"text","l":["a","b"],"m":[{"x":1,"l":[1,2]},{"x":2,"l":[]}]}`
	}
	return w.object(3, 2+w.IntN(4))
}

func (w writer) variable() string {
	if w.IntN(8) == 0 {
		return fmt.Sprintf(`{"var":[%q,%s]}`, w.pick(paths...), w.value(1))
	}
	return fmt.Sprintf(`{"var":%q}`, w.pick(paths...))
}

func (w writer) rule(depth int) string {
	if depth == 0 || w.IntN(5) == 0 {
		if w.IntN(3) == 0 {
			return w.value(1)
		}
		return w.variable()
	}
	a := func() string { return w.rule(depth - 1) }
	source := func() string { return w.pick(a(), `{"var":"l"}`, `{"var":"m"}`, `{"var":""}`) }
	op, operands := "", ""
	switch w.IntN(9) {
	case 0:
		op, operands = w.pick("==", "!=", "===", "!==", "<", "<=", ">", ">="), w.times(2+w.IntN(2), a)
	case 1:
		op, operands = w.pick("+", "-", "*", "/", "%", "max", "min"), w.times(1+w.IntN(3), a)
	case 2:
		op, operands = w.pick("and", "or", "if", "?:"), w.times(1+w.IntN(4), a)
	case 3:
		op, operands = w.pick("!", "!!"), w.pick(a(), w.times(1, a))
	case 4:
		op, operands = w.pick("all", "some", "none", "filter", "map"), fmt.Sprintf("[%s,%s]", source(), a())
	case 5:
		op, operands = "reduce", fmt.Sprintf("[%s,%s,%s]", source(), a(), w.pick("0", "1", a()))
	case 6:
		op, operands = w.pick("cat", "merge", "in"), w.times(w.IntN(4), a)
	case 7:
		op, operands = "substr", fmt.Sprintf("[%s,%s%s]", a(), w.pick("0", "1", "-1", "5"), w.pick("", ",1", ",-1", ",3"))
	case 8:
		return w.pick(`{"missing":["a","b"]}`, `{"missing":"x"}`, `{"missing":["a.b",["c"]]}`, `{"missing_some":[1,["a","x"]]}`)
	}
	return fmt.Sprintf("{%q:%s}", op, operands)
}
