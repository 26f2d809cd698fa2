package logic_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/logic"
)

func machine(t testing.TB, rules ...string) *logic.Machine {
	var b logic.Builder
	for _, r := range rules {
		b.Rule(loose(t, r))
	}
	return b.Build().NewMachine()
}

// TestQuick: the quick form gives the plain one's verdict and value.
func TestQuick(t *testing.T) {
	for _, c := range operatorCases {
		m := machine(t, c.rule)
		require.True(t, m.Load([]byte(c.data)))
		e := loose(t, c.rule)
		want, err := e.Decide(decoded(t, c.data))
		if err != nil {
			want = logic.Failed
		}
		assert.Equal(t, want, m.Decide(0), "%s over %s", c.rule, c.data)
		value, err := e.Value(decoded(t, c.data))
		got, gotErr := m.AppendValue(nil, 0)
		assert.Equal(t, err, gotErr, "%s over %s", c.rule, c.data)
		if err == nil {
			assert.JSONEq(t, encoded(t, value), string(got), "%s over %s", c.rule, c.data)
		}
	}
}

// TestMachineAllocatesNothing: what rules commonly consist of is judged by the
// quick form, without allocation.
func TestMachineAllocatesNothing(t *testing.T) {
	const sample = `{"id":"machine-17","temperature":31.25,"humidity":55.5,"status":"act\u0069ve","pressure":1013.2,"motor":{"rpm":1480},` +
		`"zone":"B","ok":true,"tags":["a","b"],"items":[{"qty":11,"price":1.5},{"qty":3,"price":2}]}`
	for _, rule := range []string{
		overheating, fiveComparisons, `{">":[` + pipeline + `,5]}`,
		`{"<":[10,{"var":"temperature"},40]}`,
		`{">":[{"+":[{"*":[{"var":"temperature"},1.8]},32]},80]}`,
		`{"and":[{"var":"ok"},{"!":[{"missing":["temperature","motor.rpm"]}]}]}`,
		`{"if":[{"exists":"motor"},{">":[{"var":"motor.rpm"},1000]},false]}`,
		`{"in":["b",{"var":"tags"}]}`,
		`{"==":[{"cat":[{"var":"zone"},"-",{"var":"motor.rpm"}]},"B-1480"]}`,
		`{"==":[{"substr":[{"var":"id"},0,7]},"machine"]}`,
		`{"some":[{"var":"items"},{"and":[{">":[{"var":"qty"},10]},{"<":[{"var":"price"},2]}]}]}`,
		`{">":[{"var":["speed",7]},5]}`,
		`{"!":[{"??":[{"var":"gone"},false]}]}`,
		`{"!=":[{"max":[{"var":"temperature"},{"var":"humidity"}]},{"-":[{"var":"pressure"}]}]}`,
	} {
		m := machine(t, rule)
		text := []byte(sample)
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			if !m.Load(text) || m.Decide(0) != logic.True {
				t.Fatal(rule)
			}
		}), rule)
		assert.Zero(t, m.Deopts(), rule)
	}
}

// TestValueAllocatesNothing: scalars, computed or not, are rendered into the
// caller's buffer.
func TestValueAllocatesNothing(t *testing.T) {
	m := machine(t, `{"var":"t"}`, `{"+":[{"var":"t"},1]}`, `{"cat":["\"",{"var":"u"},"é"]}`, `{"var":"o"}`, `{">":[{"var":"t"},1]}`)
	text, buffer := []byte(`{"t": 31.20, "u": "a\nb", "o": {"x": [1, 2]}}`), []byte(nil)
	want := []string{`31.20`, `32.2`, `"\"a\nbé"`, `{"x":[1,2]}`, `true`}
	render := func() {
		m.Load(text)
		for i, w := range want {
			var err error
			if buffer, err = m.AppendValue(buffer[:0], i); err != nil || string(buffer) != w {
				t.Fatalf("got %s, want %s, %v", buffer, w, err)
			}
		}
	}
	render()
	assert.Zero(t, testing.AllocsPerRun(100, render))
	assert.Zero(t, m.Deopts())
}

func TestRawFields(t *testing.T) {
	var b logic.Builder
	for _, path := range [][]string{{"a"}, {"b", "c"}, {"gone"}, {"a.b"}, {"n"}, {"s"}, {"s", "length"}} {
		b.Field(path...)
	}
	m := b.Build().NewMachine()
	require.True(t, m.Load([]byte("{\"a\": 1.50, \"b\":{\"c\": [1, \"x y\"]}, \"a.b\":true, \"n\":null, \"s\":\"x\xff\"}")))
	for i, want := range []string{`1.50`, `[1,"x y"]`, ``, `true`, `null`, "\"x\uFFFD\""} {
		assert.Equal(t, want != "", m.Has(i), i)
		if want != "" {
			assert.Equal(t, want, string(m.AppendRaw(nil, i)))
		}
	}
	assert.Nil(t, m.Raw(2))
	assert.Nil(t, m.Raw(6), "what a sample does not hold as it is")
}

// TestSeveralConditions: the order of a rule's conditions does not count.
func TestSeveralConditions(t *testing.T) {
	const isFalse, isTrue, isUnknown, fails = `{"<":[{"var":"t"},0]}`, `{">":[{"var":"t"},0]}`, `{">":[{"var":"gone"},0]}`, `{">":[{"var":"text"},0]}`
	for _, c := range []struct {
		conditions []string
		want       logic.Verdict
	}{
		{[]string{isTrue, isTrue}, logic.True},
		{[]string{isUnknown, isTrue, isFalse}, logic.False},
		{[]string{fails, isUnknown, isFalse}, logic.False},
		{[]string{isUnknown, isTrue}, logic.Unknown},
		{[]string{isUnknown, fails, isTrue}, logic.Failed},
		{[]string{fails, isUnknown}, logic.Failed},
	} {
		for _, rules := range []int{1, 20} { // alone and in a group
			var b logic.Builder
			for range rules {
				var exprs []*logic.Expr
				for _, text := range c.conditions {
					exprs = append(exprs, compiled(t, text))
				}
				b.Rule(exprs...)
			}
			m := b.Build().NewMachine()
			require.True(t, m.Load([]byte(`{"t":1,"text":"x"}`)))
			for i := range rules {
				assert.Equal(t, c.want, m.Decide(i), "%s, %d rules", c.conditions, rules)
			}
		}
	}
}

// TestBetweenNothing: bounds in the wrong order hold of no number, also in a group.
func TestBetweenNothing(t *testing.T) {
	var rules []string
	for i := range 20 {
		rules = append(rules, fmt.Sprintf(`{"<":[%d,{"var":"t"},%d]}`, 2*i, 20))
	}
	m := machine(t, rules...)
	for v := range 50 {
		require.True(t, m.Load(fmt.Appendf(nil, `{"t":%d}`, v)))
		for i := range rules {
			want := logic.False
			if 2*i < v && v < 20 {
				want = logic.True
			}
			assert.Equal(t, want, m.Decide(i), "%d of %s", v, rules[i])
		}
	}
}

// TestNoSampleHangsTheMachine runs what would take minutes or gigabytes if the
// quick form did not give up in time.
func TestNoSampleHangsTheMachine(t *testing.T) {
	deep := "1"
	for range 50 {
		deep = `{"==":[{"+":[` + deep + `]},{"var":"s"}]}`
	}
	list := "[" + strings.Repeat("1,", 100_000) + "1]"
	for name, c := range map[string]struct{ rule, data string }{
		"filters in filters":         {`{"filter":[{"var":"a"},{"filter":[{"val":[[2],"a"]},{">":[{"var":""},5]}]}]}`, `{"a":` + list + `}`},
		"all of a filter":            {`{"all":[{"filter":[{"var":"a"},true]},{"some":[{"val":[[2],"a"]},{">":[{"var":""},5]}]}]}`, `{"a":` + list + `}`},
		"reduce without end":         {`{"reduce":[{"var":"a"},{"some":[{"val":[[2],"a"]},{">":[{"var":""},5]}]},0]}`, `{"a":` + list + `}`},
		"an escaped text in a list":  {`{"in":[{"var":"n"},{"var":"l"}]}`, `{"n":"` + strings.Repeat(`\u0041`, 50_000) + `","l":["b"` + strings.Repeat(`,"a"`, 100_000) + `]}`},
		"operands evaluated again":   {deep, `{"s":"1"}`},
		"inner lists of the outside": {`{"all":[{"var":"a"},{"none":[{"val":[[2],"b"]},{"or":[` + strings.Repeat(`{"==":[{"var":""},"x"]},`, 30) + `false]}]}]}`, `{"a":[` + strings.Repeat("1,", 28) + `1],"b":["` + strings.Repeat("0", 39_000) + `"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine(t, c.rule)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			require.True(t, m.Load([]byte(c.data)))
			got := m.Decide(0)
			runtime.ReadMemStats(&after)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(200<<20))
			want, err := compiled(t, c.rule).Decide(decoded(t, c.data))
			if err != nil {
				want = logic.Failed
			}
			assert.Equal(t, want, got)
		})
	}
}

// TestFarBounds: thresholds so far apart that their distance is infinite.
func TestFarBounds(t *testing.T) {
	var rules []string
	for i := range 10 {
		rules = append(rules, fmt.Sprintf(`{">":[{"var":"t"},%d.7%de308]}`, 1-2*(i%2), i))
	}
	m := machine(t, rules...)
	for _, v := range []string{"1e308", "-1e308", "0", "1.7976931348623157e308", "-1.7976931348623157e308", `"Infinity"`, `"-Infinity"`, "1.75e308"} {
		data := `{"t":` + v + `}`
		require.True(t, m.Load([]byte(data)))
		for i, rule := range rules {
			want, err := compiled(t, rule).Decide(decoded(t, data))
			require.NoError(t, err)
			assert.Equal(t, want, m.Decide(i), "%s over %s", rule, data)
		}
	}
}
