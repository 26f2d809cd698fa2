package iotevents

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/importer"
	"tocsin.internal/rules/logic"
)

func converted(text string) (string, error) {
	e, err := parse(text)
	if err != nil {
		return "", err
	}
	r := &reading{constants: map[string]literal{"limit": {numeral, "70"}}, feed: "P"}
	v, err := r.logic(e)
	if err != nil {
		return "", err
	}
	return importer.Text(v), nil
}

func TestExpressions(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"$input.P.a > 70", `{">": [{"var": "a"}, 70]}`},
		{"$input.P.a.b>=70.50", `{">=": [{"var": "a.b"}, 70.5]}`},
		{"70 < $input.P.a", `{">": [{"var": "a"}, 70]}`},
		{"$input.P.list[2].x == 007", `{"==": [{"var": "list.2.x"}, 7]}`},
		{"$input.P.`odd-name` != \"x\"", `{"!=": [{"var": "odd-name"}, "x"]}`},
		{"$input.P.s == 'it\\'s'", `{"==": [{"var": "s"}, "it's"]}`},
		{"$input.Q.a > $input.P.a", `{">": [{"var": "Q.a"}, {"var": "a"}]}`},
		{"$input.P.a > $variable.limit", `{">": [{"var": "a"}, 70]}`},
		{"$input.P.a == -5", `{"==": [{"var": "a"}, -5]}`},
		{"$input.P.a - -5 < 0", `{"<": [{"-": [{"var": "a"}, -5]}, 0]}`},
		{"-$input.P.a < 0", `{"<": [{"-": [{"var": "a"}]}, 0]}`},
		{"1 + 2 * $input.P.a > 9 && true", `{">": [{"+": [1, {"*": [2, {"var": "a"}]}]}, 9]}`},
		{"(1 + 2) * $input.P.a > 9", `{">": [{"*": [{"+": [1, 2]}, {"var": "a"}]}, 9]}`},
		{"$input.P.a - 1 - 2 == 0", `{"==": [{"-": [{"-": [{"var": "a"}, 1]}, 2]}, 0]}`},
		{"$input.P.a / 2 % 3 == 1", `{"==": [{"%": [{"/": [{"var": "a"}, 2]}, 3]}, 1]}`},
		{"$input.P.a > 1 || $input.P.b > 2 && $input.P.c > 3", `{"or": [{">": [{"var": "a"}, 1]}, {"and": [{">": [{"var": "b"}, 2]}, {">": [{"var": "c"}, 3]}]}]}`},
		{"!($input.P.a > 1 || $input.P.b == 2)", `{"and": [{"<=": [{"var": "a"}, 1]}, {"!=": [{"var": "b"}, 2]}]}`},
		{"!!$input.P.on", `{"var": "on"}`},
		{"$input.P.on == true", `{"==": [{"var": "on"}, true]}`},
		{"'a' + $input.P.s == 'ab'", `{"==": [{"cat": ["a", {"var": "s"}]}, "ab"]}`},
		{"isUndefined($input.P.a.b)", `{"!": [{"exists": ["a", "b"]}]}`},
		{"isNull($input.P.a)", `{"and": [{"exists": ["a"]}, {"!!": [{"missing": ["a"]}]}]}`},
		{"startsWith($input.P.s, 'žár')", `{"==": [{"substr": [{"var": "s"}, 0, 3]}, "žár"]}`},
		{"endsWith($input.P.s, \"xy\")", `{"==": [{"substr": [{"var": "s"}, -2]}, "xy"]}`},
		{"contains($input.P.s, 'x')", `{"in": ["x", {"var": "s"}]}`},
		{"substring($input.P.s, 1, 3) == 'bc'", `{"==": [{"substr": [{"var": "s"}, 1, 2]}, "bc"]}`},
		{"substring($input.P.s, 2) == 'c'", `{"==": [{"substr": [{"var": "s"}, 2]}, "c"]}`},
		{"convert(Decimal, $input.P.s) > 1", `{">": [{"+": [{"var": "s"}]}, 1]}`},
		{"convert(String, $input.P.a) == '1'", `{"==": [{"cat": [{"var": "a"}]}, "1"]}`},
		{"convert('Boolean', $input.P.s)", `{"==": [{"cat": [{"var": "s"}]}, "true"]}`},
		{"triggerType(\"Message\") && $input.P.a > 1", `{">": [{"var": "a"}, 1]}`},
	} {
		got, err := converted(c.in)
		require.NoError(t, err, c.in)
		assert.Equal(t, c.want, got, c.in)
		raw, err := strictjson.Parse("x", []byte(got))
		require.NoError(t, err)
		_, err = logic.Compile(raw)
		assert.NoError(t, err, got)
	}
}

func TestExpressionsThatHaveNoCounterpart(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "the expression ends too early; want a value"},
		{"$input.P.a >", "the expression ends too early; want a value"},
		{"$input.P.a > > 1", `">" at character 14; want a value`},
		{"$input.P.a = 1", `'=' at character 12; want an operator or a value`},
		{"($input.P.a > 1", `the expression ends too early; want ")"`},
		{"$input.P.a > 1)", `")" at character 15; want an operator`},
		{"$output.x", `"$output" at character 2; want $input or $variable`},
		{"$input", "the expression ends too early; want a name behind $input"},
		{"$input.P[1", `the expression ends too early; want "]"`},
		{"'open", "a text begins at character 1 and does not end"},
		{"$input.P > 1", "$input.P alone; want one of its fields"},
		{"$variable.n > 1", "$variable.n changes as the detector runs; rules have no variables"},
		{"$input.P.a & 4 == 4", `the bitwise operator "&" has no counterpart`},
		{"~$input.P.a == 4", `the bitwise operator "~" has no counterpart`},
		{"sum($input.P.a) > 1", "the function sum(…) has no counterpart"},
		{"contains($input.P.a)", "contains(…) with 1 operands"},
		{"startsWith($input.P.a, $input.P.b)", "startsWith(…) with something else than a text in quotes"},
		{"substring($input.P.a, $input.P.b)", "substring(…) with something else than whole numbers"},
		{"convert(Integer, $input.P.a)", "convert(…) to something else than String, Decimal or Boolean"},
		{"isUndefined(1)", "isUndefined(…) and isNull(…) of something else than a field of an input"},
		{"$input.P.a > 1 || timeout('t')", "timeout(…) beside other conditions in a form that has no counterpart; only && may join them"},
		{"!currentInput('P')", "currentInput(…) under || or !, or of two inputs; only && may join it"},
		{"triggerType('Timer') || true", `triggerType(…) of something else than "Message"`},
		{"$input.P.`a.b` > 1", `the field "a.b" has a dot in its name, which a path here cannot have`},
		{strings.Repeat("(", 200) + "1", "nested deeper than 100 levels"},
		{strings.Repeat("!", 200) + "1", "nested deeper than 100 levels"},
	} {
		_, err := converted(c.in)
		require.Error(t, err, c.in)
		assert.Equal(t, c.want, err.Error(), c.in)
	}
}

func FuzzExpressions(f *testing.F) {
	for _, seed := range []string{"$input.P.a > 70 && $variable.limit", "!isUndefined($input.P.a[1].b) || 'x' + \"y\"", "timeout('t') && -1.5.2 % 3", "convert(String, `a`)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := converted(text)
		if err != nil {
			return
		}
		raw, err := strictjson.Parse("x", []byte(got))
		require.NoError(t, err, got)
		_, _ = logic.Compile(raw) // it may be no condition, but does not stop anything
	})
}

// A count is of messages: how many, hangs on when variables change.
func TestCounts(t *testing.T) {
	for _, c := range []struct {
		start, step float64
		operator    string
		with        float64
		serial      bool
		want        int
	}{
		{0, 1, ">", 3, true, 4},
		{0, 1, ">", 3, false, 5},
		{0, 1, ">=", 3, true, 3},
		{0, 1, ">=", 3, false, 4},
		{0, 2, ">=", 5, true, 3},
		{0, 1, "==", 2, true, 2},
		{3, -1, "<=", 1, false, 3},
		{3, -1, "<=", 1, true, 2},
		{0, 1, "<", 0, true, 0},
		{1, 1, ">", 0, false, 1},
	} {
		counted := counter{start: c.start, step: c.step}
		assert.Equal(t, c.want, counted.messages(&compared{"n", c.operator, c.with}, c.serial), "%+v", c)
	}
}
