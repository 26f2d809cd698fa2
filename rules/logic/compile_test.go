package logic_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

func TestCompileErrors(t *testing.T) {
	for name, c := range map[string]struct{ rule, want string }{
		"typo":              {`{"misssing":"a"}`, `rule:1:2: /misssing: unknown operator "misssing"; did you mean "missing"?`},
		"case":              {`{"AND":[1]}`, `rule:1:2: /AND: unknown operator "AND"; did you mean "and"?`},
		"other languages":   {`{"=>":[1,2]}`, `rule:1:2: /=>: unknown operator "=>"; did you mean ">="?`},
		"and":               {`{"&&":[1,2]}`, `rule:1:2: /&&: unknown operator "&&"; did you mean "and"?`},
		"nothing near":      {`{"temperature":30}`, `rule:1:2: /temperature: unknown operator "temperature"; want one of jsonlogic.com's, or "preserve" around a value that is no operation`},
		"two keys":          {`{"if":[true,{"<":[1,2],">":[1,2]}]}`, `rule:1:13: /if/1: object with 2 keys; an operation has exactly one key, and "preserve" takes a value as it stands`},
		"no key":            {`{"==":[{"var":"a"},{}]}`, `rule:1:20: /==/1: object with 0 keys; an operation has exactly one key, and "preserve" takes a value as it stands`},
		"too few":           {`{"<":[1]}`, `rule:1:2: /<: "<" has 1 operand; want at least 2`},
		"none":              {`{"and":[]}`, `rule:1:2: /and: "and" has 0 operands; want at least 1`},
		"too many":          {`{"in":[1,[2],3]}`, `rule:1:2: /in: "in" has 3 operands; want exactly 2`},
		"range":             {`{"substr":["a"]}`, `rule:1:2: /substr: "substr" has 1 operand; want 2 to 3`},
		"literal, one":      {`{"%":5}`, `rule:1:2: /%: "%" has 1 operand; want at least 2`},
		"not a list":        {`{"or":{"var":"a"}}`, `rule:1:2: /or: "or" has an operand that is not in a list; want a list of operands`},
		"text to add":       {`{"+":[{"var":"a"},"abc"]}`, `rule:1:19: /+/1: "+" can never work with "abc"; want a number`},
		"text to subtract":  {`{"-":[{"var":"a"},"3 m"]}`, `rule:1:19: /-/1: "-" can never work with "3 m"; want a number`},
		"list to add":       {`{"*":[{"var":"a"},[1,2]]}`, `rule:1:19: /*/1: "*" can never work with an array; want a number`},
		"list to compare":   {`{">":[{"var":"a"},[30]]}`, `rule:1:19: />/1: ">" can never work with an array; want a text, a number, a boolean or null`},
		"no haystack":       {`{"in":[{"var":"a"},5]}`, `rule:1:20: /in/1: "in" can never work with 5; want a text or a list`},
		"no list":           {`{"all":["items",true]}`, `rule:1:9: /all/0: "all" can never work with "items"; want a list`},
		"null predicate":    {`{"map":[{"var":"a"},null]}`, `rule:1:21: /map/1: "map" can never work with null; want an expression for each element`},
		"path":              {`{"var":true}`, `rule:1:8: /var: "var" can never work with true; want a path such as "motor.rpm"`},
		"path in a list":    {`{"var":[["a","b"]]}`, `rule:1:9: /var/0: "var" can never work with an array; want a path such as "motor.rpm"`},
		"val":               {`{"val":["a",null]}`, `rule:1:13: /val/1: "val" can never work with null; want a name`},
		"climb":             {`{"val":[[1,2],"a"]}`, `rule:1:9: /val/0: "val" can never work with an array; want a name`},
		"climb too far":     {`{"map":[{"var":"l"},{"val":[[3],"a"]}]}`, `rule:1:29: /map/1/val/0: "val" reads nothing here; val can climb 2 levels`},
		"outside of reduce": {`{"reduce":[{"var":"l"},{"+":[{"var":"accumulator"},{"var":"limit"}]},0]}`, `rule:1:59: /reduce/1/+/1/var: "var" reads nothing here; inside reduce there are "current" and "accumulator", and val reaches further out with [[2], "name"]`},
		"names":             {`{"missing":["a",true]}`, `rule:1:17: /missing/1: "missing" can never work with true; want a name`},
		"how many":          {`{"missing_some":["many",["a"]]}`, `rule:1:18: /missing_some/0: "missing_some" can never work with "many"; want a number`},
		"names in a list":   {`{"missing_some":[1,["a",null]]}`, `rule:1:25: /missing_some/1/1: "missing_some" can never work with null; want a name`},
		"all at once": {
			"{\"and\":[\n {\"grater\":[1,2]},\n {\"<\":[1]},\n {\"a\":1,\"b\":2}]}",
			"rule:2:3: /and/0/grater: unknown operator \"grater\"; want one of jsonlogic.com's, or \"preserve\" around a value that is no operation\n" +
				"rule:3:3: /and/1/<: \"<\" has 1 operand; want at least 2\n" +
				"rule:4:2: /and/2: object with 2 keys; an operation has exactly one key, and \"preserve\" takes a value as it stands",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := logic.Compile(parsed(t, c.rule))
			require.EqualError(t, err, c.want)
		})
	}
}

func TestNoExpression(t *testing.T) {
	_, err := logic.Compile(strictjson.Raw{})
	require.ErrorContains(t, err, "no expression; want JSONLogic")
}

func TestUnknownOperator(t *testing.T) {
	for _, compile := range []func(strictjson.Raw) (*logic.Expr, error){logic.Compile, logic.CompileLoose} {
		_, err := compile(parsed(t, `{"if":[true,1,{"nope":1}]}`))
		require.ErrorIs(t, err, logic.ErrUnknownOperator)
	}
}

func TestDepth(t *testing.T) {
	nested := func(operations int) string {
		return strings.Repeat(`{"!":[`, operations) + "true" + strings.Repeat("]}", operations)
	}
	e := compiled(t, nested(logic.MaxDepth))
	v, err := e.Decide(nil)
	require.NoError(t, err)
	assert.Equal(t, logic.True, v)

	for _, compile := range []func(strictjson.Raw) (*logic.Expr, error){logic.Compile, logic.CompileLoose} {
		raw, err := strictjson.Parse("rule", []byte("["+nested(240)+","+strings.Repeat("[", 400)+strings.Repeat("]", 400)+"]"))
		require.NoError(t, err)
		_, err = compile(raw)
		require.ErrorContains(t, err, "expression nested deeper than 250 levels")
		assert.Len(t, strings.Split(err.Error(), "\n"), 1)
	}
}

func TestVars(t *testing.T) {
	type want struct {
		path     string
		required bool
	}
	for rule, wants := range map[string][]want{
		`{">":[{"var":"t"},{"var":"motor.rpm"}]}`:                                          {{"t", true}, {"motor.rpm", true}},
		`{">":[{"var":["t",0]},1]}`:                                                        {{"t", false}},
		`{"or":[{"missing":["t","u"]},{">":[{"var":"t"},1]}]}`:                             {{"t", true}, {"u", false}},
		`{"missing_some":[1,["a","b"]]}`:                                                   {{"a", false}, {"b", false}},
		`{"missing":"a"}`:                                                                  {{"a", false}},
		`{"missing":[["a","b"]]}`:                                                          {{"a", false}, {"b", false}},
		`{"and":[{"exists":["a","b"]},{"val":["c",0]}]}`:                                   {{"a.b", false}, {"c.0", true}},
		`{"??":[{"var":"a"},{"val":"b"},{"var":"c"}]}`:                                     {{"a", false}, {"b", false}, {"c", true}},
		`{"??":[{"+":[{"var":"a"},1]},0]}`:                                                 {{"a", true}},
		`{"all":[{"var":"items"},{">":[{"var":"qty"},{"val":[[2],"limit"]}]}]}`:            {{"items", true}, {"limit", true}},
		`{"reduce":[{"var":"l"},{"+":[{"var":"current"},{"val":[[2],"a"]}]},{"var":"b"}]}`: {{"l", true}, {"a", true}, {"b", true}},
		`{"try":[{"/":[1,{"var":"a"}]},{"val":"type"},{"val":[[2],"b"]}]}`:                 {{"a", true}, {"b", true}},
		`{"var":{"cat":["a",{"var":"b"}]}}`:                                                {{"b", true}},
		`{"var":["a",{"var":"b"}]}`:                                                        {{"a", false}, {"b", true}},
		`{"some":[{"var":"l"},{"missing":["q"]}]}`:                                         {{"l", true}},
		`{"==":[{"var":""},1]}`:                                                            nil,
		`{"preserve":{"var":"a"}}`:                                                         nil,
		`true`:                                                                             nil,
	} {
		var got []want
		for _, v := range compiled(t, rule).Vars() {
			got = append(got, want{v.Path, v.Required})
			assert.Equal(t, v.Path, strings.Join(v.Parts, "."))
		}
		assert.Equal(t, wants, got, rule)
	}

	v := compiled(t, `{"and":[{"var":"a"},{"val":["b","c"]},{"missing":["d"]}]}`).Vars()
	assert.Equal(t, []string{"/and/0/var", "/and/1/val/0", "/and/2/missing/0"}, []string{v[0].Place.Pointer(), v[1].Place.Pointer(), v[2].Place.Pointer()})
}
