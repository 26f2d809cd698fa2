package logic_test

import (
	"fmt"
	"testing"
)

func TestPrintDev(t *testing.T) {
	for _, c := range [][3]string{
		{"outer data before the element", `{"filter":[{"var":"l"},{"==":[{"var":"k"},1]}]}`, `{"k":1,"l":[{"k":1},{"k":2}]}`},
		{"a default before the element", `{"some":[{"var":"l"},{"==":[{"var":["k",9]},1]}]}`, `{"l":[{"k":1}]}`},
		{"data as logic, from an if", `{"if":[true,{"var":"o"}]}`, `{"o":{"var":"secret"},"secret":"S"}`},
		{"data as logic, from an element", `{"some":[{"var":"l"},{"==":[{"var":"x"},"S"]}]}`, `{"l":[{"x":1}],"x":{"var":"secret"},"secret":"S"}`},
		{"double dots", `{"var":"a..b"}`, `{"a":{"b":1}}`},
		{"leading dot", `{"var":".a"}`, `{"a":1}`},
		{"trailing dot", `{"var":"a."}`, `{"a":1}`},
		{"a null that is there", `{"var":["a",9]}`, `{"a":null}`},
		{"a third operand", `{"var":["a",9,1]}`, `{}`},
		{"an index as a float", `{"var":"1e0"}`, `[5,6]`},
		{"var of null", `{"var":null}`, `7`},
		{"var of a list with null", `{"var":[null]}`, `7`},
		{"var of a boolean", `{"var":true}`, `{"true":1}`},
		{"length", `{"var":"a.length"}`, `{"a":[1,2]}`},
		{"characters", `{"var":"a.0"}`, `{"a":"xy"}`},
		{"null is 0", `{">=":[{"var":"a"},0]}`, `{"a":null}`},
		{"null in arithmetic", `{"-":[{"var":"a"},1]}`, `{"a":null}`},
		{"booleans in arithmetic", `{"+":[true,1]}`, `{}`},
		{"lists in arithmetic", `{"+":[[1],1]}`, `{}`},
		{"text in arithmetic", `{"+":[{"var":"a"},1]}`, `{"a":"x"}`},
		{"underscores", `{">":[{"var":"a"},999]}`, `{"a":"1_000"}`},
		{"inf", `{">":[{"var":"a"},999]}`, `{"a":"inf"}`},
		{"blanks", `{">":[{"var":"a"},4]}`, `{"a":" 5 "}`},
		{"hexadecimal", `{">":[{"var":"a"},15]}`, `{"a":"0x10"}`},
		{"too large", `{">":[{"var":"a"},1]}`, `{"a":"1e999"}`},
		{"text that is no number", `{">":[{"var":"a"},1]}`, `{"a":"x"}`},
		{"lists compared", `{">":[{"var":"a"},1]}`, `{"a":[5]}`},
		{"division by zero", `{"/":[1,0]}`, `{}`},
		{"the truth of NaN", `{"!":[{"/":[0,0]}]}`, `{}`},
		{"overflow", `{"*":[1e308,10]}`, `{}`},
		{"negative without list", `{"-":5}`, `{}`},
		{"product without list", `{"*":2}`, `{}`},
		{"reciprocal", `{"/":[4]}`, `{}`},
		{"subtraction of three", `{"-":[9,2,3]}`, `{}`},
		{"division of three", `{"/":[12,2,3]}`, `{}`},
		{"modulo of three", `{"%":[17,10,4]}`, `{}`},
		{"modulo of fractions", `{"%":[5.5,2]}`, `{}`},
		{"max of texts", `{"max":["10","9"]}`, `{}`},
		{"max of nothing", `{"max":[]}`, `{}`},
		{"identity of lists", `{"===":[{"var":"a"},{"var":"a"}]}`, `{"a":[1]}`},
		{"equality of lists", `{"==":[{"var":"a"},{"var":"a"}]}`, `{"a":[1]}`},
		{"null equals 0", `{"==":[{"var":"a"},0]}`, `{"a":null}`},
		{"null equals false", `{"==":[{"var":"a"},false]}`, `{"a":null}`},
		{"truth of a list", `{"!":{"var":"a"}}`, `{"a":[0]}`},
		{"truth of an object", `{"!!":[{"var":"a"}]}`, `{"a":{}}`},
		{"numbers in lists", `{"in":[0,["abc"]]}`, `{}`},
		{"ranges in lists", `{"in":[5,[[1,10]]]}`, `{}`},
		{"booleans in lists", `{"in":[true,[true]]}`, `{}`},
		{"number in text", `{"in":[2,"123"]}`, `{}`},
		{"null in text", `{"in":[null,"null"]}`, `{}`},
		{"haystack", `{"in":["a",{"var":"a"}]}`, `{"a":null}`},
		{"outer blanks", `{"cat":["a"," "]}`, `{}`},
		{"booleans as text", `{"cat":["a",true]}`, `{}`},
		{"lists as text", `{"cat":["a",[1]]}`, `{}`},
		{"null as text", `{"cat":["a",null]}`, `{}`},
		{"numbers as text", `{"cat":["a",1e21]}`, `{}`},
		{"numbers as text", `{"cat":["a",1e-7]}`, `{}`},
		{"start beyond the end", `{"substr":["abc",9]}`, `{}`},
		{"UTF-16", `{"substr":["a😀b",3]}`, `{}`},
		{"negative window", `{"substr":["abc",2,-5]}`, `{}`},
		{"empty text is missing", `{"missing":["a"]}`, `{"a":""}`},
		{"one list in a list", `{"missing":[["a","b"]]}`, `{}`},
		{"reduce without initial value", `{"reduce":[{"var":"a"},{"+":[{"var":"accumulator"},{"var":"current"}]}]}`, `{"a":[1,2]}`},
		{"reduce to a list", `{"reduce":[{"var":"a"},{"merge":[{"var":"accumulator"},{"var":"current"}]},[]]}`, `{"a":[1,2]}`},
		{"reduce skips null", `{"reduce":[{"var":"a"},{"+":[{"var":"accumulator"},1]},0]}`, `{"a":[1,null]}`},
		{"reduce of nothing", `{"reduce":[{"var":"a"},{"+":[{"var":"accumulator"},1]},7]}`, `{}`},
		{"and without list", `{"and":true}`, `{}`},
		{"comparison without list", `{">":5}`, `{}`},
		{"a chain", `{">":[3,2,2]}`, `{}`},
		{"a chain of equals", `{"==":[3,3,2]}`, `{}`},
		{"a chain, lazily", `{"<":[3,2,{"var":"a"}]}`, `{"a":[]}`},
		{"order of texts", `{"<":["😀","ﬁ"]}`, `{}`},
		{"a literal predicate", `{"filter":[[1,2],true]}`, `{}`},
		{"quantifier without list", `{"all":[{"var":"a"},{">":[{"var":""},1]}]}`, `{}`},
		{"and of nothing", `{"and":[]}`, `{}`},
		{"no operator", `{"log":1}`, `{}`},
		{"val", `{"val":["a","b"]}`, `{"a":{"b":1}}`},
		{"exists", `{"exists":"a"}`, `{"a":1}`},
		{"??", `{"??":[null,1]}`, `{}`},
		{"try", `{"try":[{"throw":"x"},1]}`, `{}`},
		{"preserve", `{"preserve":{"var":"a"}}`, `{}`},
		{"two keys", `{"if":[true,{"a":1,"b":2}]}`, `{}`},
	} {
		func() {
			defer func() {
				if r := recover(); r != nil {
					fmt.Println("PANIC", c, r)
				}
			}()
			o, p := valued(t, loose(t, c[1]), c[2]), peersValue(t, c[1], c[2])
			same := ""
			if o == p {
				same = "SAME "
			}
			fmt.Printf("%s\t\t{%q, `%s`, `%s`, `%s`, `%s`},\n", same, c[0], c[1], c[2], o, p)
		}()
	}
}
