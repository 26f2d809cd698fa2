package importer

import (
	"bytes"
	"strconv"

	"tocsin.internal/rules"
)

// Object is a JSON object whose members keep their order.
type Object []Member

// Member is one of them. Its value is an Object, a List, a string, a bool, nil,
// an int or a Number.
type Member struct {
	Name  string
	Value any
}

// List is a JSON array.
type List []any

// Number is a number as it was written.
type Number string

// Op is a JSONLogic operation.
func Op(operator string, operands ...any) Object { return Object{{operator, List(operands)}} }

// Var reads a field of the sample.
func Var(path string) Object { return Object{{"var", path}} }

// Logic is an object with an expression, as a condition has it.
func Logic(expr any) Object { return Object{{"jsonLogic", expr}} }

// width is how long a line may be before it is broken.
const width = 110

// Format writes a document for people: what fits on a line stands on one.
func Format(v any) []byte { return append(appendPretty(nil, v, 0, 0), '\n') }

// Text is a value on one line; values that mean the same have the same text.
func Text(v any) string { return string(appendLine(nil, v)) }

// appendPretty appends v, which begins at a column and is indented so far.
func appendPretty(b []byte, v any, indent, column int) []byte {
	line := appendLine(nil, v)
	if column+len(line) <= width {
		return append(b, line...)
	}
	pad := append([]byte{'\n'}, bytes.Repeat([]byte(" "), indent+2)...)
	switch v := v.(type) {
	case Object:
		b = append(b, '{')
		for i, m := range v {
			b = append(appendComma(b, i, ""), pad...)
			name := append(rules.AppendText(nil, m.Name), ": "...)
			b = appendPretty(append(b, name...), m.Value, indent+2, indent+2+len(name)+1)
		}
		return append(append(b, pad[:len(pad)-2]...), '}')
	case List:
		b = append(b, '[')
		for i, e := range v {
			b = append(appendComma(b, i, ""), pad...)
			b = appendPretty(b, e, indent+2, indent+2+1)
		}
		return append(append(b, pad[:len(pad)-2]...), ']')
	}
	return append(b, line...)
}

func appendLine(b []byte, v any) []byte {
	switch v := v.(type) {
	case Object:
		b = append(b, '{')
		for i, m := range v {
			b = append(rules.AppendText(appendComma(b, i, " "), m.Name), ": "...)
			b = appendLine(b, m.Value)
		}
		return append(b, '}')
	case List:
		b = append(b, '[')
		for i, e := range v {
			b = appendLine(appendComma(b, i, " "), e)
		}
		return append(b, ']')
	case string:
		return rules.AppendText(b, v)
	case Number:
		return append(b, v...)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case bool:
		return strconv.AppendBool(b, v)
	}
	return append(b, "null"...)
}

func appendComma(b []byte, i int, space string) []byte {
	if i == 0 {
		return b
	}
	return append(append(b, ','), space...)
}
