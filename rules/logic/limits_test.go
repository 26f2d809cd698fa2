package logic_test

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/logic"
)

// numbers is a list of 0 to n-1.
func numbers(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = float64(i)
	}
	return list
}

// TestLimits runs what would take hours or gigabytes without MaxWork.
func TestLimits(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	data := map[string]any{"list": numbers(20_000), "long": long, "same": strings.Clone(long), "digits": strings.Repeat("0", 100_000)}
	over := func(body string) string { return `{"map":[{"val":[[2],"list"]},` + body + `]}` }
	for name, rule := range map[string]string{
		"nested iterators":  `{"map":[{"var":"list"},` + over(`1`) + `]}`,
		"nested all":        `{"all":[{"var":"list"},{"all":[{"val":[[2],"list"]},true]}]}`,
		"a large predicate": `{"map":[{"var":"list"},[` + strings.Repeat(`{"var":""},`, 300) + `1]]}`,
		"doubling text":     `{"reduce":[{"var":"list"},{"cat":[{"var":"accumulator"},{"var":"accumulator"}]},"x"]}`,
		"doubling list":     `{"reduce":[{"var":"list"},{"merge":[{"var":"accumulator"},{"var":"accumulator"}]},[1]]}`,
		"a list that holds twice itself, as a value": `{"reduce":[{"var":"list"},[{"var":"accumulator"},{"var":"accumulator"}],1]}`,
		"a list that holds twice itself, as a text":  `{"cat":[{"reduce":[{"var":"list"},[{"var":"accumulator"},{"var":"accumulator"}],1]}]}`,
		"a deep list, as a value":                    `{"reduce":[{"var":"list"},[{"var":"accumulator"}],1]}`,
		"a deep list, as a text":                     `{"cat":[{"reduce":[{"var":"list"},[{"var":"accumulator"}],1]}]}`,
		"a deep list, as a name":                     `{"var":{"reduce":[{"var":"list"},[{"var":"accumulator"}],1]}}`,
		"searching lists":                            `{"all":[{"var":"list"},{"!":[{"in":["x",{"val":[[2],"list"]}]}]}]}`,
		"searching texts":                            `{"all":[{"var":"list"},{"!":[{"in":["x",{"val":[[2],"long"]}]}]}]}`,
		"measuring texts":                            `{"all":[{"var":"list"},{"val":[[2],"long","length"]}]}`,
		"cutting texts":                              `{"all":[{"var":"list"},{"substr":[{"val":[[2],"long"]},5,3]}]}`,
		"comparing texts":                            `{"all":[{"var":"list"},{"==":[{"val":[[2],"long"]},{"val":[[2],"same"]}]}]}`,
		"identical texts":                            `{"all":[{"var":"list"},{"===":[{"val":[[2],"long"]},{"val":[[2],"same"]}]}]}`,
		"reading numbers":                            `{"all":[{"var":"list"},{"!":[{"-":[{"val":[[2],"digits"]}]}]}]}`,
		"long names":                                 `{"all":[{"var":"list"},{"!":[{"var":{"val":[[2],"long"]}}]}]}`,
		"long keys":                                  `{"all":[{"var":"list"},{"!":[{"val":[{"val":[[2],"long"]}]}]}]}`,
		"numbers beside null":                        `{"all":[{"var":"list"},{"<=":[{"val":[[2],"digits"]},null]}]}`,
		"cuts from far":                              `{"all":[{"var":"list"},{"substr":["x",{"val":[[2],"digits"]}]}]}`,
		"errors":                                     `{"map":[{"var":"list"},{"map":[{"val":[[2],"list"]},{"try":[{"throw":"x"},{"val":[]}]}]}]}`,
		"scopes of reduces":                          `{"reduce":[{"var":"list"},{"reduce":[{"val":[[2],"list"]},{"var":""},{"var":""}]},1]}`,
		"asking for names":                           `{"all":[{"var":"list"},{"missing":[{"val":[[2],"list"]}]}]}`,
		"try does not help":                          `{"try":[{"map":[{"var":"list"},{"try":[` + over(`1`) + `,1]}]},1]}`,
	} {
		t.Run(name, func(t *testing.T) {
			e := compiled(t, rule)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := e.Value(data)
			runtime.ReadMemStats(&after)
			failure, ok := errors.AsType[*logic.Error](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, logic.LimitExceeded, failure.Type)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(200<<20))
		})
	}
}

// TestWithinLimits is what must still work.
func TestWithinLimits(t *testing.T) {
	data := map[string]any{"list": numbers(20_000)}
	for rule, want := range map[string]string{
		`{"reduce":[{"filter":[{"var":"list"},{">":[{"%":[{"var":""},2]},0]}]},{"+":[{"var":"accumulator"},{"var":"current"}]},0]}`:                                            `100000000`,
		`{"reduce":[{"map":[{"filter":[{"var":"list"},{"<":[{"var":""},500]}]},{"cat":[{"var":""}]}]},{"cat":[{"var":"accumulator"},{"substr":[{"var":"current"},0,1]}]},""]}`: ``,
	} {
		v, err := compiled(t, rule).Value(data)
		require.NoError(t, err)
		if want != "" {
			got, err := json.Marshal(v)
			require.NoError(t, err)
			assert.JSONEq(t, want, string(got))
		}
	}
}

// TestDeepData: what encoding/json can read at all is no danger.
func TestDeepData(t *testing.T) {
	data := decoded(t, strings.Repeat("[", 9_999)+strings.Repeat("]", 9_999))
	for _, rule := range []string{`{"cat":[{"var":""}]}`, `{"==":[{"cat":[{"var":""}]},""]}`, `{"var":{"var":""}}`, `{"in":[{"var":""},"x"]}`, `{"var":""}`} {
		_, err := compiled(t, rule).Value(data)
		require.NoError(t, err, rule)
		_, err = compiled(t, rule).Decide(data)
		require.NoError(t, err, rule)
	}
}
