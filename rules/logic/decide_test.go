package logic_test

import (
	"errors"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/logic"
)

func TestDecide(t *testing.T) {
	const failed = "failed" // unknown, with an error
	for _, c := range []struct{ rule, data, want string }{
		{`{">":[{"var":"t"},30]}`, `{"t":31}`, "true"},
		{`{">":[{"var":"t"},30]}`, `{"t":30}`, "false"},
		{`{">":[{"var":"t"},30]}`, `{"t":"31"}`, "true"},
		{`{"var":"t"}`, `{"t":"off"}`, "true"},
		{`{"and":[1,[]]}`, `{}`, "false"},

		// A missing or null input is unknown, whatever JSONLogic makes of it.
		{`{"<":[{"var":"t"},10]}`, `{}`, "unknown"},
		{`{">":[{"var":"t"},10]}`, `{}`, "unknown"},
		{`{"<":[{"var":"t"},10]}`, `{"t":null}`, "unknown"},
		{`{"==":[{"var":"t"},null]}`, `{}`, "unknown"},
		{`{"!":[{"var":"t"}]}`, `{}`, "unknown"},
		{`{"==":[{"var":"a.b"},1]}`, `{"a":5}`, "unknown"},
		{`{"in":[{"var":"zone"},["A"]]}`, `{}`, "unknown"},
		{`{"in":["A",{"var":"zones"}]}`, `{}`, "unknown"},
		{`{"cat":["x",{"var":"t"}]}`, `{}`, "unknown"},
		{`{"==":[{"val":["a","b"]},1]}`, `{"a":{}}`, "unknown"},
		{`{"==":[{"var":""},1]}`, `null`, "unknown"},
		{`{"==":[{"var":{"var":"name"}},1]}`, `{"name":"t"}`, "unknown"},
		{`{"if":[{"var":"t"},true,false]}`, `{}`, "unknown"},
		{`[{"var":"t"}]`, `{}`, "unknown"},

		// Also when that makes the evaluation fail.
		{`{"/":[1,{"var":"t"}]}`, `{}`, "unknown"},
		{`{"all":[{"var":"items"},true]}`, `{}`, "unknown"},
		{`{"throw":{"var":"t"}}`, `{}`, "unknown"},

		// A default that was used.
		{`{"<":[{"var":["t",0]},10]}`, `{}`, "true"},
		{`{"==":[{"var":["t",null]},null]}`, `{}`, "true"},
		{`{"<":[{"var":["t",0]},10]}`, `{"t":null}`, "unknown"},
		{`{"<":[{"var":["t",{"var":"u"}]},10]}`, `{}`, "unknown"},
		{`{"<":[{"var":["t",{"var":"u"}]},10]}`, `{"t":1}`, "true"},

		// What only asks.
		{`{"missing":["t"]}`, `{}`, "true"},
		{`{"missing":["t"]}`, `{"t":1}`, "false"},
		{`{"missing_some":[1,["t","u"]]}`, `{"u":1}`, "false"},
		{`{"exists":"t"}`, `{}`, "false"},
		{`{"exists":"t"}`, `{"t":null}`, "true"},
		{`{"missing":[{"var":"name"}]}`, `{}`, "unknown"},

		// What is not evaluated.
		{`{"if":[{"missing":["t"]},false,{">":[{"var":"t"},30]}]}`, `{}`, "false"},
		{`{"if":[{"exists":"t"},{">":[{"var":"t"},30]},true]}`, `{}`, "true"},
		{`{"and":[false,{"var":"t"}]}`, `{}`, "false"},
		{`{"and":[{"var":"t"},false]}`, `{}`, "unknown"},
		{`{"or":[true,{"var":"t"}]}`, `{}`, "true"},
		{`{"or":[{"var":"t"},true]}`, `{}`, "unknown"},
		{`{"<":[5,3,{"var":"t"}]}`, `{}`, "false"},
		{`{"or":[{"missing":["t"]},{">":[{"var":"t"},30]}]}`, `{}`, "true"},

		// ?? guards all operands but the last.
		{`{">":[{"??":[{"var":"t"},5]},3]}`, `{}`, "true"},
		{`{">":[{"??":[{"var":"t"},{"var":"u"}]},3]}`, `{"u":4}`, "true"},
		{`{">":[{"??":[{"var":"t"},{"var":"u"}]},3]}`, `{}`, "unknown"},
		{`{"??":[{"var":"t"},null]}`, `{}`, "false"},
		{`{">":[{"??":[{"+":[{"var":"t"},1]},5]},3]}`, `{}`, "unknown"},

		// try guards what failed.
		{`{"==":[{"try":[{"/":[1,{"var":"t"}]},0]},0]}`, `{}`, "true"},
		{`{"==":[{"try":[{"/":[1,{"var":"t"}]},{"var":"u"}]},0]}`, `{}`, "unknown"},
		{`{"try":[{"<":[{"var":"t"},10]},false]}`, `{}`, "unknown"},

		// Elements are inputs, up to the one that decides.
		{`{"all":[{"var":"l"},{">":[{"var":"q"},1]}]}`, `{"l":[{"q":2},{}]}`, "unknown"},
		{`{"all":[{"var":"l"},{">":[{"var":"q"},1]}]}`, `{"l":[{"q":0},{}]}`, "false"},
		{`{"some":[{"var":"l"},{">":[{"var":"q"},1]}]}`, `{"l":[{"q":2},{}]}`, "true"},
		{`{"some":[{"var":"l"},{">":[{"var":"q"},1]}]}`, `{"l":[{},{"q":2}]}`, "unknown"},
		{`{"none":[{"var":"l"},{">":[{"var":"q"},1]}]}`, `{"l":[null]}`, "unknown"},
		{`{"filter":[{"var":"l"},{">":[{"var":["q",0]},1]}]}`, `{"l":[{},{"q":2}]}`, "true"},
		{`{"filter":[{"var":"l"},{"missing":["q"]}]}`, `{"l":[{"q":1}]}`, "false"},
		{`{"all":[{"var":"l"},{">":[{"var":""},{"val":[[2],"limit"]}]}]}`, `{"l":[2]}`, "unknown"},
		{`{"all":[{"var":"l"},true]}`, `{"l":[]}`, "false"},
		{`{"map":[{"var":"l"},{"var":""}]}`, `{"l":[1,null]}`, "unknown"},
		{`{"reduce":[{"var":"l"},{"+":[{"var":"current"},{"var":"accumulator"}]},0]}`, `{"l":[1,null]}`, "unknown"},
		{`{"reduce":[{"var":"l"},{"??":[{"var":"accumulator"},{"var":"current"}]},null]}`, `{"l":[1,2]}`, "true"},
		{`{"reduce":[{"var":"l"},{"if":[{"var":"accumulator"},1,2]},null]}`, `{"l":[1,2]}`, "true"},

		// Inputs that are there and do not work.
		{`{"/":[{"var":"t"},0]}`, `{"t":1}`, failed},
		{`{"<":[{"var":"t"},5]}`, `{"t":"warm"}`, failed},
		{`{"<":[{"var":"t"},5]}`, `{"t":[]}`, failed},
		{`{"*":[{"var":"t"},10]}`, `{"t":1e308}`, failed},
		{`{"throw":"no"}`, `{}`, failed},
		{`{"all":[{"var":"l"},true]}`, `{"l":"text"}`, failed},
		{`{"try":[{"throw":"no"},true]}`, `{}`, "true"},
	} {
		v, err := compiled(t, c.rule).Decide(decoded(t, c.data))
		if c.want == failed {
			_, ok := errors.AsType[*logic.Error](err)
			assert.True(t, ok, "%s over %s: %v", c.rule, c.data, err)
			assert.Equal(t, logic.Unknown, v)
			continue
		}
		require.NoError(t, err, "%s over %s", c.rule, c.data)
		assert.Equal(t, c.want, v.String(), "%s over %s", c.rule, c.data)
	}
}

func TestDecideNotFinite(t *testing.T) {
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		v, err := compiled(t, overheating).Decide(map[string]any{"temperature": f})
		require.NoError(t, err)
		assert.Equal(t, logic.Unknown, v)
	}
}

// TestMachineIsCleared: nothing of one evaluation is left for the next.
func TestMachineIsCleared(t *testing.T) {
	failing := compiled(t, `{"map":[{"var":"l"},{"+":[1,{"/":[{"var":""},0]}]}]}`)
	for range 100 {
		_, err := failing.Decide(decoded(t, `{"l":[1,2]}`))
		require.Error(t, err)
		v, err := compiled(t, `{"missing":["l"]}`).Decide(decoded(t, `{}`))
		require.NoError(t, err)
		assert.Equal(t, logic.True, v)
	}
}

// TestConcurrent: one expression, many goroutines, each with its own answer.
func TestConcurrent(t *testing.T) {
	e := compiled(t, `{"all":[{"var":"l"},{">":[{"+":[{"var":""},{"val":[[2],"n"]}]},10]}]}`)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			data := map[string]any{"n": float64(i), "l": []any{5.0, 6.0}}
			want := logic.False
			if i > 5 {
				want = logic.True
			}
			for range 1000 {
				v, err := e.Decide(data)
				if v != want || err != nil {
					t.Errorf("got %s, %v for %d", v, err, i)
					return
				}
			}
		})
	}
	group.Wait()
}
