package logic

import (
	"math"

	"tocsin.internal/internal/strictjson"
)

// operator is a row of the table of operators.
type operator struct {
	min, max int // how many operands a rule document may give it

	// lazy operators evaluate their operands themselves and want them in a list,
	// not as the result of another operation.
	lazy bool

	compile func(c *compiler, op operation) node
}

const many = math.MaxInt

// operators is the one table of operators. To add one: a row, its function, a
// test.
var operators = map[string]operator{
	// Variables.
	"var":          {min: 0, max: 2, compile: compileVar},
	"val":          {min: 0, max: many, compile: compileVal},
	"exists":       {min: 1, max: many, compile: compileExists},
	"missing":      {min: 1, max: many, compile: compileMissing},
	"missing_some": {min: 2, max: 2, compile: compileMissingSome},

	// Control.
	"if":       {min: 2, max: many, lazy: true, compile: compileIf},
	"?:":       {min: 2, max: many, lazy: true, compile: compileIf},
	"and":      {min: 1, max: many, lazy: true, compile: compileAnd},
	"or":       {min: 1, max: many, lazy: true, compile: compileOr},
	"??":       {min: 1, max: many, lazy: true, compile: compileCoalesce},
	"try":      {min: 1, max: many, compile: compileTry},
	"throw":    {min: 1, max: 1, compile: compileThrow},
	"!":        {min: 1, max: 1, compile: eager(not)},
	"!!":       {min: 1, max: 1, compile: eager(truth)},
	"log":      {min: 1, max: 1, compile: compileLog},
	"preserve": {min: 0, max: many, compile: compilePreserve},

	// Comparisons: chains, so that {"<":[1, x, 5]} asks for both.
	"==":  {min: 2, max: many, lazy: true, compile: compare(equal)},
	"!=":  {min: 2, max: many, lazy: true, compile: compare(notEqual)},
	"===": {min: 2, max: many, lazy: true, compile: compare(identical)},
	"!==": {min: 2, max: many, lazy: true, compile: compare(notIdentical)},
	"<":   {min: 2, max: many, lazy: true, compile: compare(less)},
	"<=":  {min: 2, max: many, lazy: true, compile: compare(lessOrEqual)},
	">":   {min: 2, max: many, lazy: true, compile: compare(greater)},
	">=":  {min: 2, max: many, lazy: true, compile: compare(greaterOrEqual)},

	// Arithmetic.
	"+":   {min: 1, max: many, compile: spread(add, aLeadingNumber)},
	"-":   {min: 1, max: many, compile: spread(subtract, aNumber)},
	"*":   {min: 1, max: many, compile: spread(multiply, aLeadingNumber)},
	"/":   {min: 1, max: many, compile: spread(divide, aNumber)},
	"%":   {min: 2, max: many, compile: spread(modulo, aNumber)},
	"max": {min: 1, max: many, compile: spread(largest, aNumber)},
	"min": {min: 1, max: many, compile: spread(smallest, aNumber)},

	// Text.
	"cat":    {min: 1, max: many, compile: spread(cat, anything)},
	"substr": {min: 2, max: 3, compile: eager(substr, anything, aNumber)},
	"in":     {min: 2, max: 2, compile: eager(in, anything, aHaystack)},

	// Lists.
	"merge":  {min: 0, max: many, compile: eager(merge)},
	"map":    {min: 2, max: 2, lazy: true, compile: compileMap},
	"filter": {min: 2, max: 2, lazy: true, compile: compileFilter},
	"reduce": {min: 2, max: 3, lazy: true, compile: compileReduce},
	"all":    {min: 2, max: 2, lazy: true, compile: quantifier(all)},
	"some":   {min: 2, max: 2, lazy: true, compile: quantifier(some)},
	"none":   {min: 2, max: 2, lazy: true, compile: quantifier(none)},
}

// elsewhere are what authors write who come from another language.
var elsewhere = map[string]string{
	"=": "==", "=>": ">=", "=<": "<=", "<>": "!=", "&&": "and", "||": "or", "not": "!",
	"concat": "cat", "contains": "in", "any": "some", "every": "all", "mod": "%",
}

// literal says what a literal operand would have to be, or "" when it can work.
// Operands that are operations are not literal.
type literal func(raw strictjson.Raw) string

func anything(strictjson.Raw) string { return "" }

func aNumber(raw strictjson.Raw) string {
	if raw.Kind() == strictjson.Array || raw.Kind() == strictjson.String && math.IsNaN(textNumber(raw.Str())) {
		return "a number"
	}
	return ""
}

func aLeadingNumber(raw strictjson.Raw) string {
	if raw.Kind() == strictjson.Array || raw.Kind() == strictjson.String && math.IsNaN(leadingNumber(raw.Str())) {
		return "a number"
	}
	return ""
}

func aHaystack(raw strictjson.Raw) string {
	if raw.Kind() == strictjson.Array || raw.Kind() == strictjson.String {
		return ""
	}
	return "a text or a list"
}

func aScalar(raw strictjson.Raw) string {
	if raw.Kind() == strictjson.Array {
		return "a text, a number, a boolean or null"
	}
	return ""
}

func aList(raw strictjson.Raw) string {
	if raw.Kind() != strictjson.Array {
		return "a list"
	}
	return ""
}

func aName(raw strictjson.Raw) string {
	if raw.Kind() != strictjson.String && raw.Kind() != strictjson.Number {
		return "a name"
	}
	return ""
}

func aPath(raw strictjson.Raw) string {
	if raw.Kind() == strictjson.Null {
		return ""
	}
	if aName(raw) != "" {
		return `a path such as "motor.rpm"`
	}
	return ""
}
