package logic_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/logic"
)

func traced(t testing.TB, rule, data string) *logic.Trace {
	tracer, err := logic.NewTracer(parsed(t, rule))
	require.NoError(t, err, rule)
	return tracer.Trace(decoded(t, data))
}

func TestTraceText(t *testing.T) {
	for _, c := range []struct{ rule, data, want string }{
		{`{">":[{"var":"t"},30]}`, `{"t":31.4}`, `
t = 31.4  >  30  true
`},
		{
			`{"and":[{">":[{"var":"temperature"},30]},{"or":[{"==":[{"var":"mode"},"run"]},{"==":[{"var":"mode"},"test"]}]},{"<":[{"var":"ambient"},40]}]}`,
			`{"temperature":31.4,"mode":"idle","ambient":22}`, `
and                              false
├─ temperature = 31.4  >  30     true
├─ or                            false   ← decides
│  ├─ mode = "idle"  ==  "run"   false
│  └─ mode = "idle"  ==  "test"  false
└─ ambient = 22  <  40           not evaluated
`,
		},
		{`{"and":[{">":[{"var":"t"},30]},{"<":[{"var":"u"},5]}]}`, `{"t":31}`, `
and                   unknown
├─ t = 31  >  30      true
└─ u is absent  <  5  unknown   ← decides
`},
		{`{"==":[{"var":["a.b",0]},{"var":"c"}]}`, `{"c":null}`, `
a.b is absent, so 0  ==  c = null  unknown
`},
		{`{"/":[{"var":"t"},{"-":[{"var":"t"},1]}]}`, `{"t":1}`, `
/               failed: not a finite number
├─ t = 1
└─ t = 1  -  1  0
`},
		{`{"if":[{"<":[{"var":"t"},0]},"ice",{"<":[{"var":"t"},100]},"water","steam"]}`, `{"t":20}`, `
if                 "water"
├─ t = 20  <  0    false
├─ "ice"
├─ t = 20  <  100  true
├─ "water"            ← decides
└─ "steam"
`},
		{`{"some":[{"var":"l"},{">":[{"var":"q"},1]}]}`, `{"l":[{"q":0},{"q":1},{"q":0},{"q":1},{"q":1},{"q":2},{"q":9}]}`, `
some                true
├─ l = [{"q":0},{"q":1},{"q":0},{"q":1},{"q":1},{"q":2},{"q":9}]
├─ [0] q = 0  >  1  false
├─ [1] q = 1  >  1  false
├─ [2] q = 0  >  1  false
├─ … 2 more
└─ [5] q = 2  >  1  true   ← decides
`},
		{`{"in":[{"var":"zone"},["A","B"]]}`, `{"zone":"C"}`, `
zone = "C"  in  ["A","B"]  false
`},
		{`{"!":{"missing":["a","b"]}}`, `{"a":1}`, `
!                      false
└─ missing  ["a","b"]  ["b"]
`},
		{`{"all":[{"var":"l"},{"<":[{"var":""},{"val":[[2],"limit"]}]}]}`, `{"l":[],"limit":3}`, `
all                  false
├─ l = []
└─ item  <  ^.limit  not evaluated
`},
		{`{">":[{"reduce":[{"var":"l"},{"+":[{"var":"current"},{"var":"accumulator"}]},0]},5]}`, `{"l":[1,2,3]}`, `
>                                          true
├─ reduce                                  6
│  ├─ l = [1,2,3]
│  ├─ 0
│  ├─ [0] current = 1  +  accumulator = 0  1
│  ├─ [1] current = 2  +  accumulator = 1  3
│  └─ [2] current = 3  +  accumulator = 3  6
└─ 5
`},
		{`true`, `{}`, `
true
`},
		{`{"try":[{"throw":"no"},{"var":"type"}]}`, `{}`, `
try             "no"
├─ throw  "no"  failed: "no"
└─ type = "no"     ← decides
`},
	} {
		assert.Equal(t, strings.TrimPrefix(c.want, "\n"), traced(t, c.rule, c.data).Text(""), "%s over %s", c.rule, c.data)
	}
}

// sameTrace says where a trace differs from the expression, "" if nowhere.
func sameTrace(e *logic.Expr, tracer *logic.Tracer, data any) string {
	want, wantErr := e.Decide(data)
	if wantErr != nil {
		want = logic.Failed
	}
	got := tracer.Trace(data)
	if got.Verdict != want {
		return fmt.Sprintf("verdict %s; want %s", got.Verdict, want)
	}
	if wantErr != nil && described(wantErr) != described(got.Err) {
		return fmt.Sprintf("%s; want %s", described(got.Err), described(wantErr))
	}
	value, valueErr := e.Value(data)
	failure, _ := errors.AsType[*logic.Error](valueErr)
	switch {
	case valueErr == nil && (got.Root.Err != nil || !reflect.DeepEqual(value, got.Root.Value)):
		return fmt.Sprintf("value %v, %v; want %v", got.Root.Value, got.Root.Err, value)
	case valueErr != nil && got.Root.Err == nil && failure.Type != logic.LimitExceeded:
		return fmt.Sprintf("value %v; want %v", got.Root.Value, valueErr)
	}
	nodes, times := 0, 0
	got.Root.Walk(func(n *logic.Node) {
		nodes++
		if n.Evaluated {
			times++
			if got.Seen[n.ID][n.Verdict()] == 0 {
				want = logic.Failed + 1
			}
		}
	})
	switch {
	case want > logic.Failed:
		return "a node that was seen is not counted"
	case got.Seen[0].Times() != 1:
		return "the whole is not seen once"
	case nodes > 2*logic.MaxTraced:
		return "too many nodes are kept"
	}
	if _, err := json.Marshal(got); err != nil {
		return err.Error()
	}
	if lines := strings.Count(got.Text("  "), "\n"); lines == 0 || lines > 210 {
		return fmt.Sprintf("%d lines", lines)
	}
	return ""
}

// TestTraceAgrees holds traces to the plain evaluator.
func TestTraceAgrees(t *testing.T) {
	pairs := 0
	var verdicts [4]int
	for seed := uint64(1); pairs < 4_000; seed++ {
		c := anyRules(choicesOf(rand.New(rand.NewPCG(seed, 77)), 4000))
		for _, rule := range c.rules {
			for _, condition := range rule {
				e, err := condition.compile()
				require.NoError(t, err)
				read := logic.NewTracer
				if condition.loose {
					read = logic.NewLooseTracer
				}
				tracer, err := read(parsed(t, condition.text))
				require.NoError(t, err)
				for _, sample := range c.samples {
					var data any
					if json.Unmarshal([]byte(sample), &data) != nil {
						continue
					}
					pairs++
					v, _ := e.Decide(data)
					verdicts[v]++
					if d := sameTrace(e, tracer, data); d != "" {
						t.Fatalf("seed %d: %s over %s: %s", seed, condition.text, sample, d)
					}
				}
			}
		}
	}
	t.Log(pairs, verdicts)
}

// TestTraceParts names each part with its place.
func TestTraceParts(t *testing.T) {
	tracer, err := logic.NewTracer(parsed(t, `{"and":[{">":[{"var":"t"},30]},{"all":[{"var":"l"},{"!":[{"var":"x"}]}]}]}`))
	require.NoError(t, err)
	var got []string
	for i, p := range tracer.Parts() {
		got = append(got, fmt.Sprintf("%d %s %s %v", i, p.Raw.At.Pointer(), p.Raw.Text(), p.Operands))
	}
	assert.Equal(t, []string{
		`0  {"and":[{">":[{"var":"t"},30]},{"all":[{"var":"l"},{"!":[{"var":"x"}]}]}]} [1 5]`,
		`1 /and/0 {">":[{"var":"t"},30]} [2 4]`,
		`2 /and/0/>/0 {"var":"t"} [3]`,
		`3 /and/0/>/0/var "t" []`,
		`4 /and/0/>/1 30 []`,
		`5 /and/1 {"all":[{"var":"l"},{"!":[{"var":"x"}]}]} [6 8]`,
		`6 /and/1/all/0 {"var":"l"} [7]`,
		`7 /and/1/all/0/var "l" []`,
		`8 /and/1/all/1 {"!":[{"var":"x"}]} [9]`,
		`9 /and/1/all/1/!/0 {"var":"x"} [10]`,
		`10 /and/1/all/1/!/0/var "x" []`,
	}, got)
	seen := tracer.Trace(decoded(t, `{"t":31,"l":[{"x":0},{"x":false},{}]}`)).Seen
	assert.Equal(t, logic.Seen{logic.True: 1}, seen[1])
	assert.Equal(t, logic.Seen{logic.True: 2, logic.Unknown: 1}, seen[8])
}

// TestTraceOfMuch: what is large or deep is cut, and says so.
func TestTraceOfMuch(t *testing.T) {
	many := `{"or":[` + strings.Repeat(`{">":[{"var":"t"},30]},`, 9_999) + `{"<":[{"var":"t"},30]}]}`
	text := traced(t, many, `{"t":1}`).Text("")
	assert.Contains(t, text, "├─ … 9989 more, false\n")
	assert.Contains(t, text, "└─ t = 1  <  30  true   ← decides\n")

	deep := strings.Repeat(`{"!":[`, 120) + `{"var":"t"}` + strings.Repeat(`]}`, 120)
	got := traced(t, deep, `{"t":1}`)
	assert.Equal(t, logic.True, got.Verdict)
	assert.Contains(t, got.Text(""), "└─ …\n")
	_, err := json.Marshal(got)
	require.NoError(t, err)

	list := `{"l":[` + strings.Repeat(`1,`, 99_999) + `1]}`
	got = traced(t, `{"all":[{"var":"l"},{"and":[{">":[{"var":""},0]},{"<":[{"var":""},9]}]}]}`, list)
	assert.False(t, got.Cut)
	assert.Equal(t, 100_000, got.Root.Looked)
	assert.Contains(t, got.Text(""), "├─ … 99996 more\n")

	got = traced(t, `{"map":[{"var":"l"},{"map":[{"var":"l"},1]}]}`, list)
	assert.Equal(t, logic.Unknown, got.Verdict)
	limit := traced(t, `{"map":[{"var":"l"},{"map":[{"val":[[2],"l"]},{"+":[1,1]}]}]}`, list)
	assert.Equal(t, logic.Failed, limit.Verdict)
	assert.Contains(t, limit.Text(""), "failed: more work than one evaluation may do")
}
