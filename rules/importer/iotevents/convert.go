package iotevents

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"tocsin.internal/rules/importer"
)

// reading is what an expression is read in: whose samples the rule judges, and
// what is known of the variables.
type reading struct {
	constants map[string]literal // variables that always have this value
	feed      string             // the input that the rule is about; "" takes the first one that is read
	others    []string           // further inputs that were read, in their order
	notes     []string           // where the JSONLogic differs
}

func (r *reading) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.notes, text) {
		r.notes = append(r.notes, text)
	}
}

// logic is the expression in JSONLogic.
func (r *reading) logic(e expression) (any, error) {
	switch e := e.(type) {
	case literal:
		return e.value(), nil
	case reference:
		return r.reference(e)
	case operation:
		return r.operation(e)
	case call:
		return r.call(e)
	}
	return nil, errors.New("an empty expression")
}

func (l literal) value() any {
	switch l.kind {
	case numeral:
		return importer.Number(plain(l.text))
	case truth:
		return l.text == "true"
	}
	return l.text
}

// plain is a number without leading zeros, which JSON does not know.
func plain(text string) string {
	if _, err := strconv.ParseInt(text, 10, 64); err == nil {
		n, _ := strconv.ParseInt(text, 10, 64)
		return strconv.FormatInt(n, 10)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "0"
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func (r *reading) reference(e reference) (any, error) {
	if e.of == "variable" {
		if value, ok := r.constants[e.name]; ok {
			return value.value(), nil
		}
		return nil, fmt.Errorf("$variable.%s changes as the detector runs; rules have no variables", e.name)
	}
	path, err := r.path(e)
	if err != nil {
		return nil, err
	}
	return importer.Var(path), nil
}

// path is where the rule finds a field of an input: its own feed's as it is,
// those of others behind the name of a join.
func (r *reading) path(e reference) (string, error) {
	if len(e.path) == 0 {
		return "", fmt.Errorf("$input.%s alone; want one of its fields", e.name)
	}
	for _, part := range e.path {
		if strings.Contains(part, ".") {
			return "", fmt.Errorf("the field %q has a dot in its name, which a path here cannot have", part)
		}
	}
	path := strings.Join(e.path, ".")
	if r.feed == "" {
		r.feed = e.name
	}
	if e.name == r.feed {
		return path, nil
	}
	if !slices.Contains(r.others, e.name) {
		r.others = append(r.others, e.name)
	}
	return e.name + "." + path, nil
}

// operators by their JSONLogic names.
var operators = map[string]string{
	"||": "or", "&&": "and", "==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
	"+": "+", "-": "-", "*": "*", "/": "/", "%": "%", "!": "!",
}

func (r *reading) operation(e operation) (any, error) {
	name, ok := operators[e.operator]
	if !ok {
		return nil, fmt.Errorf("the bitwise operator %q has no counterpart", e.operator)
	}
	var operands []any
	for _, o := range e.operands {
		operand, err := r.logic(o)
		if err != nil {
			return nil, err
		}
		operands = append(operands, operand)
	}
	switch {
	case name == "and":
		return importer.All(operands...), nil
	case name == "or":
		r.note("a part of || that reads a missing field is false in the original; here the whole is unknown then, and decides nothing")
		return importer.Any(operands...), nil
	case name == "+" && slices.ContainsFunc(e.operands, isText):
		return importer.Op("cat", operands...), nil
	case name == "/":
		r.note("a quotient of whole numbers is rounded in the original, and is not here")
	case name == "!":
		return importer.Negate(operands[0]), nil
	}
	if inverted := turned(name, operands); inverted != nil {
		return inverted, nil
	}
	return importer.Op(name, operands...), nil
}

// turned writes a comparison with the number on the right.
func turned(name string, operands []any) any {
	mirror := map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
	if mirror[name] == "" || len(operands) != 2 {
		return nil
	}
	_, left := operands[0].(importer.Number)
	_, right := operands[1].(importer.Number)
	if !left || right {
		return nil
	}
	return importer.Op(mirror[name], operands[1], operands[0])
}

func isText(e expression) bool {
	switch e := e.(type) {
	case literal:
		return e.kind == quotation
	case operation:
		return e.operator == "+" && slices.ContainsFunc(e.operands, isText)
	case call:
		return e.function == "substring" || e.function == "convert" && len(e.args) > 0 && e.args[0] == literal{quotation, "String"}
	}
	return false
}

// function is one that is an expression here.
type function struct {
	least, most int // operands
	logic       func(r *reading, args []expression) (any, error)
}

func functionOf(name string) (function, bool) {
	f, ok := map[string]function{
		"isUndefined": {1, 1, (*reading).isUndefined},
		"isNull":      {1, 1, (*reading).isNull},
		"startsWith":  {2, 2, (*reading).startsWith},
		"endsWith":    {2, 2, (*reading).endsWith},
		"contains":    {2, 2, (*reading).contains},
		"substring":   {2, 3, (*reading).substring},
		"convert":     {2, 2, (*reading).convert},
		"triggerType": {1, 1, (*reading).triggerType},
	}[name]
	return f, ok
}

func (r *reading) call(e call) (any, error) {
	f, ok := functionOf(e.function)
	switch {
	case e.function == "timeout":
		return nil, errors.New("timeout(…) beside other conditions in a form that has no counterpart; only && may join them")
	case e.function == "currentInput":
		return nil, errors.New("currentInput(…) under || or !, or of two inputs; only && may join it")
	case !ok:
		return nil, fmt.Errorf("the function %s(…) has no counterpart", e.function)
	case len(e.args) < f.least || len(e.args) > f.most:
		return nil, fmt.Errorf("%s(…) with %d operands", e.function, len(e.args))
	}
	return f.logic(r, e.args)
}

// names is the path of a field for exists, which takes its parts.
func (r *reading) names(e expression) (path string, parts []any, err error) {
	field, ok := e.(reference)
	if !ok || field.of != "input" {
		return "", nil, errors.New("isUndefined(…) and isNull(…) of something else than a field of an input")
	}
	if path, err = r.path(field); err != nil {
		return "", nil, err
	}
	for part := range strings.SplitSeq(path, ".") {
		parts = append(parts, part)
	}
	return path, parts, nil
}

func (r *reading) isUndefined(args []expression) (any, error) {
	_, parts, err := r.names(args[0])
	return importer.Op("!", importer.Op("exists", parts...)), err
}

// isNull takes what is there and counts as missing.
func (r *reading) isNull(args []expression) (any, error) {
	path, parts, err := r.names(args[0])
	return importer.Op("and", importer.Op("exists", parts...), importer.Op("!!", importer.Op("missing", path))), err
}

// affix is a text and a literal that it begins or ends with.
func (r *reading) affix(args []expression, function string) (text any, affix string, err error) {
	l, ok := args[1].(literal)
	if !ok || l.kind != quotation {
		return nil, "", fmt.Errorf("%s(…) with something else than a text in quotes", function)
	}
	text, err = r.logic(args[0])
	return text, l.text, err
}

func (r *reading) startsWith(args []expression) (any, error) {
	text, prefix, err := r.affix(args, "startsWith")
	return importer.Op("==", importer.Op("substr", text, 0, utf8.RuneCountInString(prefix)), prefix), err
}

func (r *reading) endsWith(args []expression) (any, error) {
	text, suffix, err := r.affix(args, "endsWith")
	if suffix == "" {
		return true, err
	}
	return importer.Op("==", importer.Op("substr", text, -utf8.RuneCountInString(suffix)), suffix), err
}

func (r *reading) contains(args []expression) (any, error) {
	text, err := r.logic(args[0])
	if err != nil {
		return nil, err
	}
	part, err := r.logic(args[1])
	return importer.Op("in", part, text), err
}

func (r *reading) substring(args []expression) (any, error) {
	text, err := r.logic(args[0])
	if err != nil {
		return nil, err
	}
	var places []int
	for _, arg := range args[1:] {
		l, ok := arg.(literal)
		n, err := strconv.Atoi(l.text)
		if !ok || l.kind != numeral || err != nil || n < 0 {
			return nil, errors.New("substring(…) with something else than whole numbers")
		}
		places = append(places, n)
	}
	if len(places) == 1 {
		return importer.Op("substr", text, places[0]), nil
	}
	return importer.Op("substr", text, places[0], max(places[1]-places[0], 0)), nil
}

func (r *reading) convert(args []expression) (any, error) {
	to, ok := args[0].(literal)
	value, err := r.logic(args[1])
	switch {
	case err != nil:
		return nil, err
	case ok && to.text == "String":
		return importer.Op("cat", value), nil
	case ok && to.text == "Decimal":
		return importer.Op("+", value), nil
	case ok && to.text == "Boolean":
		return importer.Op("==", importer.Op("cat", value), "true"), nil
	}
	return nil, errors.New("convert(…) to something else than String, Decimal or Boolean")
}

// triggerType of a message is what every sample is.
func (r *reading) triggerType(args []expression) (any, error) {
	if l, ok := args[0].(literal); ok && l.text == "Message" {
		return true, nil
	}
	return nil, errors.New(`triggerType(…) of something else than "Message"`)
}
