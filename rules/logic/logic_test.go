package logic_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

func parsed(t testing.TB, text string) strictjson.Raw {
	raw, err := strictjson.Parse("rule", []byte(text))
	require.NoError(t, err, text)
	return raw
}

func compiled(t testing.TB, text string) *logic.Expr {
	e, err := logic.Compile(parsed(t, text))
	require.NoError(t, err, text)
	return e
}

func loose(t testing.TB, text string) *logic.Expr {
	e, err := logic.CompileLoose(parsed(t, text))
	require.NoError(t, err, text)
	return e
}

func decoded(t testing.TB, text string) any {
	var v any
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}

// encoded writes -0 as 0, since JSON knows no other.
func encoded(t testing.TB, v any) string {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	if string(text) == "-0" {
		return "0"
	}
	return string(text)
}

// valued is the value of an expression as JSON, or the type of its error.
func valued(t testing.TB, e *logic.Expr, data string) string {
	v, err := e.Value(decoded(t, data))
	if err != nil {
		failure, ok := errors.AsType[*logic.Error](err)
		require.True(t, ok, "%T", err)
		return "error " + failure.Type
	}
	return encoded(t, v)
}

func TestOperators(t *testing.T) {
	names := logic.Operators()
	assert.True(t, slices.IsSorted(names))
	for _, name := range names {
		if name == "?:" || name == "log" {
			continue // no case needs them
		}
		assert.True(t, slices.ContainsFunc(operatorCases, func(c operatorCase) bool { return strings.Contains(c.rule, `"`+name+`"`) }), "no case for %q", name)
	}
}

type operatorCase struct{ rule, data, want string }

// operatorCases are the corners that the suites leave out; every operator has one.
var operatorCases = []operatorCase{
	// var
	{`{"var":""}`, `{"a":1}`, `{"a":1}`},
	{`{"var":null}`, `7`, `7`},
	{`{"var":[]}`, `7`, `7`},
	{`{"var":"a.b.c"}`, `{"a":{"b":{"c":null}}}`, `null`},
	{`{"var":["a.b",9]}`, `{"a":null}`, `9`},
	{`{"var":["a",9]}`, `{"a":null}`, `null`},
	{`{"var":["a",null]}`, `{}`, `null`},
	{`{"var":["a",{"var":"b"}]}`, `{"b":2}`, `2`},
	{`{"var":["a",{"/":[1,0]}]}`, `{"a":1}`, `1`},
	{`{"var":"a."}`, `{"a":{"":3}}`, `3`},
	{`{"var":".a"}`, `{"":{"a":3}}`, `3`},
	{`{"var":"a..b"}`, `{"a":{"":{"b":3}}}`, `3`},
	{`{"var":"a.b"}`, `{"a.b":3}`, `null`},
	{`{"var":1}`, `[5,6]`, `6`},
	{`{"var":1.1}`, `[5,[6,7]]`, `7`},
	{`{"var":"01"}`, `[5,6]`, `null`},
	{`{"var":"-1"}`, `[5,6]`, `null`},
	{`{"var":"1e0"}`, `[5,6]`, `null`},
	{`{"var":"99999999999999999999"}`, `[5,6]`, `null`},
	{`{"var":"list.length"}`, `{"list":[5,6]}`, `2`},
	{`{"var":"text.length"}`, `{"text":"a😀"}`, `3`},
	{`{"var":"text.1"}`, `{"text":"aé"}`, `"é"`},
	{`{"var":"text.2"}`, `{"text":"aé"}`, `null`},
	{`{"var":"text.x"}`, `{"text":"aé"}`, `null`},
	{`{"var":"number.length"}`, `{"number":5}`, `null`},
	{`{"var":{"cat":["a",".","b"]}}`, `{"a":{"b":3}}`, `3`},
	{`{"var":[{"var":"name"},"none"]}`, `{"name":"x"}`, `"none"`},
	{`{"var":{"var":"list"}}`, `{"list":["a","b"],"a,b":3}`, `3`},
	{`{"var":"length"}`, `{"length":3}`, `3`},
	// val, exists
	{`{"val":"a.b"}`, `{"a.b":3,"a":{"b":4}}`, `3`},
	{`{"val":["a","b"]}`, `{"a":{"b":4}}`, `4`},
	{`{"val":["a",1]}`, `{"a":[5,6]}`, `6`},
	{`{"val":[]}`, `[1]`, `[1]`},
	{`{"val":{"var":"path"}}`, `{"path":["a","b"],"a":{"b":4}}`, `4`},
	{`{"map":[[7],{"val":[[1],"index"]}]}`, `{}`, `[0]`},
	{`{"map":[[7],{"val":[[1],"iterator",0]}]}`, `{}`, `[7]`},
	{`{"map":[[7],{"val":[[1]]}]}`, `{}`, `[{"index":0,"iterator":[7]}]`},
	{`{"map":[[7],{"val":[[-2],"a"]}]}`, `{"a":3}`, `[3]`},
	{`{"map":[[7],{"val":[[{"+":[1,1]}],"a"]}]}`, `{"a":3}`, `[3]`},
	{`{"map":[[7],{"val":[[{"+":[1,2]}],"a"]}]}`, `{"a":3}`, `[null]`},
	{`{"map":[[7],{"val":[[{"*":[1e300,1e5]}],"a"]}]}`, `{"a":3}`, `[null]`},
	{`{"reduce":[[7,8],{"+":[{"val":"current"},{"val":"accumulator"},{"val":[[2],"a"]}]},0]}`, `{"a":3}`, `21`},
	{`{"reduce":[[7],{"var":""},0]}`, `{}`, `{"accumulator":0,"current":7}`},
	{`{"reduce":[[7],{"map":[[1],{"val":[[2],"current"]}]},0]}`, `{}`, `[7]`},
	{`{"exists":"a"}`, `{"a":null}`, `true`},
	{`{"exists":["a","b"]}`, `{"a":{}}`, `false`},
	{`{"exists":["a","b"]}`, `{"a":5}`, `false`},
	{`{"exists":{"var":"name"}}`, `{"name":"b","b":1}`, `true`},
	{`{"exists":1}`, `[1,2]`, `true`},
	// missing, missing_some
	{`{"missing":["a","b"]}`, `{"a":"","b":0}`, `["a"]`},
	{`{"missing":["a"]}`, `{"a":null}`, `["a"]`},
	{`{"missing":["a"]}`, `{"a":false}`, `[]`},
	{`{"missing":[["a","b"]]}`, `{}`, `["a","b"]`},
	{`{"missing":{"var":"names"}}`, `{"names":["a","names"]}`, `["a"]`},
	{`{"missing":[{"cat":["a","b"]},"c"]}`, `{"c":1}`, `["ab"]`},
	{`{"missing":[1,"0"]}`, `[5]`, `[1]`},
	{`{"filter":[{"var":"l"},{"missing":"q"}]}`, `{"q":1,"l":[{"q":1},{}]}`, `[{}]`},
	{`{"missing_some":[2,["a","b","c"]]}`, `{"a":1}`, `["b","c"]`},
	{`{"missing_some":[0,["a"]]}`, `{}`, `[]`},
	{`{"missing_some":[{"var":"n"},{"var":"names"}]}`, `{"n":1,"names":["a","n"]}`, `[]`},
	// control
	{`{"if":[{"var":"a"},"yes","no"]}`, `{"a":{}}`, `"yes"`},
	{`{"if":[{"var":"a"},"yes","no"]}`, `{"a":"0"}`, `"yes"`},
	{`{"if":[0,1]}`, `{}`, `null`},
	{`{"if":[true,{"var":"o"}]}`, `{"o":{"var":"secret"},"secret":"S"}`, `{"var":"secret"}`},
	{`{"and":[1,"",{"/":[1,0]}]}`, `{}`, `""`},
	{`{"or":[0,"x",{"/":[1,0]}]}`, `{}`, `"x"`},
	{`{"??":[{"var":"a"},{"var":"b"},3]}`, `{"b":false}`, `false`},
	{`{"??":[{"/":[1,0]},3]}`, `{}`, `error NaN`},
	{`{"try":[{"/":[1,0]},{"val":"type"}]}`, `{}`, `"NaN"`},
	{`{"try":[{"throw":{"preserve":{"type":"t","code":7}}},{"val":"code"}]}`, `{}`, `7`},
	{`{"try":[{"throw":{"preserve":{"type":"t","code":7}}},{"throw":{"val":[]}}]}`, `{}`, `error t`},
	{`{"try":[{"throw":"a"},{"throw":"b"},{"val":[[2],"x"]}]}`, `{"x":3}`, `3`},
	{`{"map":[[1],{"try":[{"throw":"a"},{"val":[[3],"index"]}]}]}`, `{}`, `[0]`},
	{`{"throw":7}`, `{}`, `error 7`},
	{`{"throw":{"preserve":["a","b"]}}`, `{}`, `error a`},
	{`{"throw":{"preserve":{}}}`, `{}`, `error null`},
	{`{"!":{"var":"a"}}`, `{"a":[0]}`, `false`},
	{`{"!!":{"var":"a"}}`, `{"a":[0]}`, `true`},
	{`{"!!":[{"var":"a"}]}`, `{"a":{}}`, `true`},
	{`{"preserve":{"var":"a"}}`, `{"a":1}`, `{"var":"a"}`},
	{`{"log":[{"var":"a"}]}`, `{"a":1}`, `1`},
	// comparisons
	{`{"==":[{"var":"a"},{"var":"a"}]}`, `{"a":[1]}`, `error NaN`},
	{`{"==":[null,{"var":"a"}]}`, `{"a":""}`, `false`},
	{`{"==":[null,{"var":"a"}]}`, `{"a":null}`, `true`},
	{`{"==":[null,{"var":"a"}]}`, `{"a":0}`, `true`},
	{`{"!=":[null,{"var":"a"}]}`, `{"a":"x"}`, `true`},
	{`{"==":["1e1",{"var":"a"}]}`, `{"a":10}`, `true`},
	{`{"==":[true,{"var":"a"}]}`, `{"a":"1"}`, `true`},
	{`{"==":["",{"var":"a"}]}`, `{"a":0}`, `true`},
	{`{"==":["NaN",{"var":"a"}]}`, `{"a":0}`, `error NaN`},
	{`{"===":[{"var":"a"},{"var":"a"}]}`, `{"a":[1]}`, `true`},
	{`{"===":[{"var":"a"},{"var":"a"}]}`, `{"a":{}}`, `true`},
	{`{"===":[{"var":"a"},{"var":"b"}]}`, `{"a":[1],"b":[1]}`, `false`},
	{`{"===":[{"var":"a"},[]]}`, `{"a":[]}`, `false`},
	{`{"!==":[{"var":"a"},null]}`, `{"a":false}`, `true`},
	{`{"===":["a","a","b"]}`, `{}`, `false`},
	{`{"<":[null,"a"]}`, `{}`, `false`},
	{`{"<":[null,"1"]}`, `{}`, `true`},
	{`{"<=":[null,null]}`, `{}`, `true`},
	{`{"<":["10","9"]}`, `{}`, `true`},
	{`{"<":["10",9]}`, `{}`, `false`},
	{`{"<":["a","ab"]}`, `{}`, `true`},
	{`{"<":["😀","\ufb01"]}`, `{}`, `true`},
	{`{"<":["\ufb01","😀"]}`, `{}`, `false`},
	{`{"<":["é","😀"]}`, `{}`, `true`},
	{`{"<":["😀","😁"]}`, `{}`, `true`},
	{`{"<=":[1,{"var":"a"},5]}`, `{"a":5}`, `true`},
	{`{"<":[1,{"var":"a"},5]}`, `{"a":5}`, `false`},
	{`{">":[3,2,2]}`, `{}`, `false`},
	{`{">=":[3,2,{"var":"a"}]}`, `{"a":[]}`, `error NaN`},
	{`{">":[" 0x10 ",15]}`, `{}`, `true`},
	{`{"==":["0b101",5]}`, `{}`, `true`},
	{`{"==":["0O17",15]}`, `{}`, `true`},
	{`{"==":["0x8",{"var":"a"}]}`, `{"a":8}`, `true`},
	{`{"==":["-0x8",{"var":"a"}]}`, `{"a":8}`, `error NaN`},
	{`{"==":["0x",{"var":"a"}]}`, `{"a":8}`, `error NaN`},
	{`{"==":["0b2",{"var":"a"}]}`, `{"a":8}`, `error NaN`},
	{`{"==":["0x+8",{"var":"a"}]}`, `{"a":8}`, `error NaN`},
	{`{"==":["1_000",{"var":"a"}]}`, `{"a":1000}`, `error NaN`},
	{`{"==":["inf",{"var":"a"}]}`, `{"a":8}`, `error NaN`},
	{`{"<":[{"var":"a"},"Infinity"]}`, `{"a":8}`, `true`},
	{`{"<":[{"var":"a"},"1e999"]}`, `{"a":8}`, `true`},
	{`{"==":["\u00a0\ufeff5.\u2028",5]}`, `{}`, `true`},
	{`{"==":[".5e1",5]}`, `{}`, `true`},
	{`{"==":[".",{"var":"a"}]}`, `{"a":5}`, `error NaN`},
	{`{"==":["5e",{"var":"a"}]}`, `{"a":5}`, `error NaN`},
	{`{"==":["0x20000000000001",{"var":"a"}]}`, `{"a":9007199254740992}`, `true`},
	// arithmetic
	{`{"+":["3.14abc"]}`, `{}`, `3.14`},
	{`{"+":["1e3x","-2e","  4"]}`, `{}`, `1002`},
	{`{"*":["2 m",null]}`, `{}`, `0`},
	{`{"+":[{"var":"a"}]}`, `{"a":"abc"}`, `error NaN`},
	{`{"+":{"var":"a"}}`, `{"a":[1,2]}`, `3`},
	{`{"+":[{"var":"a"}]}`, `{"a":[1,2]}`, `error NaN`},
	{`{"+":[1e308,1e308]}`, `{}`, `error NaN`},
	{`{"-":[{"var":"a"},1]}`, `{"a":"3abc"}`, `error NaN`},
	{`{"-":[0]}`, `{}`, `0`},
	{`{"-":{"var":"a"}}`, `{"a":[]}`, `error Invalid Arguments`},
	{`{"/":[1,{"var":"a"}]}`, `{"a":"0"}`, `error NaN`},
	{`{"/":[1,0,5]}`, `{}`, `error NaN`},
	{`{"/":[4]}`, `{}`, `0.25`},
	{`{"/":[0]}`, `{}`, `error NaN`},
	{`{"%":[-7,3]}`, `{}`, `-1`},
	{`{"%":[5.5,2]}`, `{}`, `1.5`},
	{`{"%":[5,0]}`, `{}`, `error NaN`},
	{`{"%":{"var":"a"}}`, `{"a":[17,10,4]}`, `3`},
	{`{"%":{"var":"a"}}`, `{"a":[17]}`, `error Invalid Arguments`},
	{`{"max":["3",null,true]}`, `{}`, `3`},
	{`{"max":{"var":"a"}}`, `{"a":[]}`, `error Invalid Arguments`},
	{`{"min":[1,{"var":"a"}]}`, `{"a":"x"}`, `error NaN`},
	{`{"min":{"var":"a"}}`, `{"a":[2,1,3]}`, `1`},
	{`{"+":[0.1,0.2]}`, `{}`, `0.30000000000000004`},
	// text
	{`{"cat":[1.5,true,null,"x",[1,null,[2,"y"]]]}`, `{}`, `"1.5truex1,,2,y"`},
	{`{"cat":[{"var":"a"}]}`, `{"a":{"b":1}}`, `"[object Object]"`},
	{`{"cat":{"var":"a"}}`, `{"a":["x",[1,2],null]}`, `"x1,2"`},
	{`{"cat":[1e21," ",1e-7," ",123456789012345680000," ",0.000001," ",-1.5e-10]}`, `{}`, `"1e+21 1e-7 123456789012345680000 0.000001 -1.5e-10"`},
	{`{"cat":[1e308," ",1e-308," ",1e100," ",1e-100]}`, `{}`, `"1e+308 1e-308 1e+100 1e-100"`},
	{`{"cat":[{"-":[0]}]}`, `{}`, `"0"`},
	{`{"substr":["jsonlogic",-5,-2]}`, `{}`, `"log"`},
	{`{"substr":["jsonlogic",-50,2]}`, `{}`, `"js"`},
	{`{"substr":["jsonlogic",50]}`, `{}`, `""`},
	{`{"substr":["jsonlogic",4,-50]}`, `{}`, `""`},
	{`{"substr":["jsonlogic","4","2"]}`, `{}`, `"lo"`},
	{`{"substr":["jsonlogic",1.9,1.9]}`, `{}`, `"s"`},
	{`{"substr":["jsonlogic",0,null]}`, `{}`, `""`},
	{`{"substr":["jsonlogic",{"var":"a"}]}`, `{"a":"x"}`, `"jsonlogic"`},
	{`{"substr":[12345,1,2]}`, `{}`, `"23"`},
	{`{"substr":["a😀b",3]}`, `{}`, `"b"`},
	{`{"substr":["a😀b",1,2]}`, `{}`, `"😀"`},
	{`{"substr":["a😀b",1,1]}`, `{}`, `"�"`},
	{`{"substr":["x",0,1e300]}`, `{}`, `"x"`},
	{`{"in":[2,"123"]}`, `{}`, `true`},
	{`{"in":["",{"var":"a"}]}`, `{"a":""}`, `false`},
	{`{"in":["1",[1,2]]}`, `{}`, `false`},
	{`{"in":[null,[1,null]]}`, `{}`, `true`},
	{`{"in":["a",{"var":"a"}]}`, `{"a":{"a":1}}`, `false`},
	{`{"in":["a",{"var":"a"}]}`, `{"a":5}`, `false`},
	{`{"in":[{"var":"a"},{"var":"b"}]}`, `{"a":[1],"b":[[1]]}`, `false`},
	{`{"in":[{"var":"b.0"},{"var":"b"}]}`, `{"b":[[1]]}`, `true`},
	// lists
	{`{"merge":[[1,[2]],null,3]}`, `{}`, `[1,[2],null,3]`},
	{`{"merge":{"var":"a"}}`, `{"a":[[1],2]}`, `[[1],2]`},
	{`{"map":[{"var":"a"},{"*":[{"var":""},2]}]}`, `{"a":"text"}`, `[]`},
	{`{"map":[{"var":"a"},5]}`, `{"a":[1,2]}`, `[5,5]`},
	{`{"map":[{"var":"a"},{"var":"b"}]}`, `{"a":[1,{"b":2}],"b":3}`, `[null,2]`},
	{`{"filter":[{"var":"a"},{"var":"b"}]}`, `{"a":[{"b":0},{"b":2}]}`, `[{"b":2}]`},
	{`{"reduce":[{"var":"a"},{"+":[{"var":"current"},{"var":"accumulator"}]}]}`, `{"a":[]}`, `null`},
	{`{"reduce":[{"var":"a"},{"+":[{"var":"current"},{"var":"accumulator"}]}]}`, `{"a":[1,2]}`, `3`},
	{`{"reduce":[{"var":"a"},{"+":[{"var":"current"},{"var":"accumulator"}]},null]}`, `{"a":[1,2]}`, `3`},
	{`{"reduce":[{"var":"a"},{"var":"current"},{"var":"b"}]}`, `{"b":4}`, `4`},
	{`{"all":[{"var":"a"},true]}`, `{"a":[]}`, `false`},
	{`{"all":[{"var":"a"},{">":[{"var":""},1]}]}`, `{"a":[0,[]]}`, `false`},
	{`{"all":[{"var":"a"},{">":[{"var":""},1]}]}`, `{"a":[2,[]]}`, `error NaN`},
	{`{"some":[{"var":"a"},true]}`, `{"a":[]}`, `false`},
	{`{"some":[{"var":"a"},true]}`, `{"a":"text"}`, `error Invalid Arguments`},
	{`{"none":[{"var":"a"},true]}`, `{"a":[]}`, `true`},
	{`{"none":[{"var":"a"},{"var":""}]}`, `{"a":[0,1,[]]}`, `false`},
	// What is no operation is itself.
	{`[1,{"var":"a"},[{"var":"a"}]]`, `{"a":2}`, `[1,2,[2]]`},
	{`"text"`, `{}`, `"text"`},
}

func TestOperator(t *testing.T) {
	for _, c := range operatorCases {
		assert.Equal(t, c.want, valued(t, compiled(t, c.rule), c.data), "%s over %s", c.rule, c.data)
	}
}

// TestOddShapes: CompileLoose gives them a meaning, Compile refuses each of them.
func TestOddShapes(t *testing.T) {
	for _, c := range []operatorCase{
		{`{}`, `{}`, `{}`},
		{`{"var":"a","cat":1}`, `{"a":1}`, `{"cat":1,"var":"a"}`},
		{`{"if":[true,{"a":{"var":"a"},"b":1}]}`, `{"a":1}`, `{"a":{"var":"a"},"b":1}`},
		{`{"and":[]}`, `{}`, `false`},
		{`{"or":[]}`, `{}`, `false`},
		{`{"??":[]}`, `{}`, `null`},
		{`{"if":[]}`, `{}`, `null`},
		{`{"if":[7]}`, `{}`, `7`},
		{`{"if":true}`, `{}`, `error Invalid Arguments`},
		{`{"and":{"var":"a"}}`, `{"a":[1,2]}`, `error Invalid Arguments`},
		{`{"??":5}`, `{}`, `error Invalid Arguments`},
		{`{"try":[]}`, `{}`, `error Invalid Arguments`},
		{`{"throw":[]}`, `{}`, `error null`},
		{`{"!":[]}`, `{}`, `true`},
		{`{"!!":[1,0]}`, `{}`, `true`},
		{`{"<":[1]}`, `{}`, `error Invalid Arguments`},
		{`{"===":1}`, `{}`, `error Invalid Arguments`},
		{`{"+":[]}`, `{}`, `0`},
		{`{"*":[]}`, `{}`, `1`},
		{`{"-":[]}`, `{}`, `error Invalid Arguments`},
		{`{"/":[]}`, `{}`, `error Invalid Arguments`},
		{`{"%":[1]}`, `{}`, `error Invalid Arguments`},
		{`{"max":[]}`, `{}`, `error Invalid Arguments`},
		{`{"max":[[1,2]]}`, `{}`, `error NaN`},
		{`{"+":["abc",1]}`, `{}`, `error NaN`},
		{`{"<":[[],1]}`, `{}`, `error NaN`},
		{`{"substr":[]}`, `{}`, `error Invalid Arguments`},
		{`{"substr":"abc"}`, `{}`, `"abc"`},
		{`{"in":["a"]}`, `{}`, `false`},
		{`{"in":["a",null]}`, `{}`, `false`},
		{`{"cat":[]}`, `{}`, `""`},
		{`{"missing":[]}`, `{}`, `[]`},
		{`{"missing":[null]}`, `{}`, `[]`},
		{`{"missing_some":[1]}`, `{}`, `error Invalid Arguments`},
		{`{"missing_some":["x",["a"]]}`, `{}`, `["a"]`},
		{`{"missing_some":[1,"a"]}`, `{}`, `["a"]`},
		{`{"var":[["a"]]}`, `{"a":1}`, `1`},
		{`{"var":true}`, `{"true":1}`, `1`},
		{`{"var":["a",2,3]}`, `{}`, `2`},
		{`{"val":[["x"],"a"]}`, `{"a":1}`, `1`},
		{`{"val":[[1],"a"]}`, `{"a":1}`, `null`},
		{`{"val":null}`, `{"null":1}`, `1`},
		{`{"exists":[]}`, `{}`, `true`},
		{`{"map":[[1],null]}`, `{}`, `error Invalid Arguments`},
		{`{"map":[[1]]}`, `{}`, `error Invalid Arguments`},
		{`{"filter":[1,null]}`, `{}`, `error Invalid Arguments`},
		{`{"all":[[1]]}`, `{}`, `false`},
		{`{"all":[null,true]}`, `{}`, `error Invalid Arguments`},
		{`{"reduce":[[1]]}`, `{}`, `1`},
		{`{"reduce":[[1,2],{"var":"temperature"},0]}`, `{"temperature":5}`, `null`},
		{`{"if":[true,1,{"<":[1]}]}`, `{}`, `1`},
	} {
		assert.Equal(t, c.want, valued(t, loose(t, c.rule), c.data), "%s over %s", c.rule, c.data)
		_, err := logic.Compile(parsed(t, c.rule))
		assert.Error(t, err, c.rule)
	}
}

func TestErrorNamesItsPlace(t *testing.T) {
	_, err := compiled(t, "{\"and\":[true,\n {\"/\":[{\"var\":\"a\"},{\"var\":\"b\"}]}]}").Decide(decoded(t, `{"a":1,"b":0}`))
	require.EqualError(t, err, `rule:2:3: /and/1/~1: "/" failed: NaN`)
	failure, ok := errors.AsType[*logic.Error](err)
	require.True(t, ok)
	assert.Equal(t, "/and/1/~1", failure.Place().Pointer())
}

func TestValueLeavesDataAlone(t *testing.T) {
	data := decoded(t, `{"list":[3,1,2],"more":[[4],[5]]}`)
	for _, rule := range []string{
		`{"merge":[{"var":"list"},{"var":"more"},1]}`, `{"filter":[{"var":"list"},{">":[{"var":""},1]}]}`, `{"map":[{"var":"more"},{"merge":[{"var":""},1]}]}`,
		`{"reduce":[{"var":"more"},{"merge":[{"var":"accumulator"},{"var":"current"}]}]}`,
	} {
		_, err := compiled(t, rule).Value(data)
		require.NoError(t, err)
		assert.Equal(t, `{"list":[3,1,2],"more":[[4],[5]]}`, encoded(t, data), rule)
	}
}
