package lint

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tocsin.internal/internal/strictjson"
)

// value is what an expression may come to.
type value struct {
	raw   strictjson.Raw
	kinds kinds
	field *field // that is read as it is; nil of anything else
}

func (v value) isLiteral() bool {
	return v.raw.Kind() != strictjson.Object && v.raw.Kind() != strictjson.Array
}

func (v value) name() string {
	if v.field != nil {
		return strconv.Quote(v.field.path)
	}
	return "the other side"
}

var literalKinds = map[strictjson.Kind]kinds{
	strictjson.Null: null, strictjson.Bool: boolean, strictjson.Number: number, strictjson.String: text, strictjson.Array: list,
}

// answers are the operators whose result is always of these kinds.
var answers = map[string]kinds{
	"==": boolean, "!=": boolean, "===": boolean, "!==": boolean, "<": boolean, "<=": boolean, ">": boolean, ">=": boolean,
	"!": boolean, "!!": boolean, "in": boolean, "all": boolean, "some": boolean, "none": boolean, "exists": boolean,
	"+": number, "-": number, "*": number, "/": number, "%": number, "max": number, "min": number,
	"cat": text, "substr": text, "map": list, "filter": list, "merge": list, "missing": list, "missing_some": list,
}

// comparisons are the operators that compare neighbours; ordering says that they
// ask which comes first.
var comparisons = map[string]struct{ ordering bool }{
	"==": {}, "!=": {}, "===": {}, "!==": {}, "<": {true}, "<=": {true}, ">": {true}, ">=": {true},
}

// ofElements are the operators whose second operand is asked of each element.
var ofElements = map[string]bool{"map": true, "filter": true, "all": true, "some": true, "none": true, "reduce": true}

// expression checks an expression and says what it may come to.
func (s *scope) expression(raw strictjson.Raw) value {
	if raw.Kind() == strictjson.Array {
		for _, e := range raw.Elems() {
			s.expression(e)
		}
	}
	if raw.Kind() != strictjson.Object || len(raw.Members()) != 1 {
		return value{raw: raw, kinds: literalKinds[raw.Kind()]}
	}
	operator, operands := operation(raw)
	switch {
	case operator == "preserve":
		return value{raw: raw}
	case operator == "var" || operator == "val":
		return s.read(raw)
	}
	values := make([]value, len(operands))
	for i, o := range operands {
		values[i] = s.operand(operator, i, o)
	}
	if c, ok := comparisons[operator]; ok {
		for i := 1; i < len(values); i++ {
			s.compare(operator, c.ordering, values[i-1], values[i])
		}
	}
	if answers[operator] == number {
		s.calculated(operator, values)
	}
	if operator == "in" && len(values) == 2 {
		s.searched(values[0], values[1])
	}
	return value{raw: raw, kinds: s.result(operator, values)}
}

// operation is the operator of an object with one key, and its operands.
func operation(raw strictjson.Raw) (string, []strictjson.Raw) {
	m := raw.Members()[0]
	if m.Value.Kind() == strictjson.Array {
		return m.Name, m.Value.Elems()
	}
	return m.Name, []strictjson.Raw{m.Value}
}

func (s *scope) operand(operator string, i int, raw strictjson.Raw) value {
	if !ofElements[operator] || i == 0 {
		return s.expression(raw)
	}
	before := s.element
	s.element = true
	defer func() { s.element = before }()
	return s.expression(raw)
}

// result is what the operator's result may be.
func (s *scope) result(operator string, values []value) kinds {
	if k := answers[operator]; k != 0 {
		return k
	}
	var some []value
	switch operator {
	case "and", "or", "??", "try":
		some = values
	case "if", "?:":
		for i, v := range values {
			if i%2 == 1 || i == len(values)-1 {
				some = append(some, v)
			}
		}
	}
	var out kinds
	for _, v := range some {
		if v.kinds == 0 {
			return 0
		}
		out |= v.kinds
	}
	return out
}

// read is what a var or a val reads; nothing is known of what is computed.
func (s *scope) read(raw strictjson.Raw) value {
	v := value{raw: raw}
	path, fallback, ok := variableOf(raw)
	if !ok || s.element {
		return v
	}
	v.field = s.variable(path)
	v.kinds = v.field.kinds
	if !fallback.IsZero() {
		if k := literalKinds[fallback.Kind()]; v.kinds != 0 && k != 0 {
			v.kinds |= k
		} else {
			v.kinds = 0
		}
	}
	return v
}

// variableOf is the path that a var or a val reads, and its default.
func variableOf(raw strictjson.Raw) (path string, fallback strictjson.Raw, ok bool) {
	operator, operands := operation(raw)
	if len(operands) == 0 {
		return "", fallback, false
	}
	if operator == "var" && len(operands) > 1 {
		fallback, operands = operands[1], operands[:1]
	}
	parts := make([]string, len(operands))
	for i, o := range operands {
		if o.Kind() != strictjson.String || o.Str() == "" {
			return "", fallback, false
		}
		parts[i] = o.Str()
	}
	return strings.Join(parts, "."), fallback, true
}

// withUnit is a number with its unit, as people write one.
var withUnit = regexp.MustCompile(`^\s*([-+]?[0-9]+(?:[.,][0-9]+)?)\s*([°%\pL][\pL°%/²³0-9]*)\s*$`)

// numberIn is the number that a text is; "" when it is none.
func numberIn(s string) string {
	s = strings.TrimSpace(s)
	if _, err := strconv.ParseFloat(s, 64); err != nil || strings.ContainsAny(s, "xXpPnNiI_") {
		return ""
	}
	return strings.TrimPrefix(s, "+")
}

// compare checks two neighbours of a comparison.
func (s *scope) compare(operator string, ordering bool, a, b value) {
	if a.isLiteral() && b.isLiteral() {
		s.literals(operator, a, b)
		return
	}
	s.compareWith(operator, ordering, a, b)
	s.compareWith(operator, ordering, b, a)
	if a.field == nil || b.field == nil {
		return
	}
	if x, y := a.field, b.field; x.unit != "" && y.unit != "" && x.unit != y.unit {
		s.say(b.raw.At, codeUnit, "%q is in %s and %q in %s; want both in one unit", x.path, unitName(x.unit), y.path, unitName(y.unit))
	}
	if a.kinds.only(number) && b.kinds.only(text) || a.kinds.only(text) && b.kinds.only(number) {
		s.say(b.raw.At.Noting("never as meant"), codeText, "%q is %s and %q %s; want two of one type", a.field.path, a.kinds, b.field.path, b.kinds)
	}
}

// literals checks two neighbours that do not depend on a sample: one of them may
// have been meant as a field, or both as one number.
func (s *scope) literals(operator string, a, b value) {
	for _, v := range []value{a, b} {
		if name := v.raw.Str(); name != "" && slices.Contains(s.names(), name) {
			s.say(v.raw.At.Noting("a text here"), codeText, `%q is a text here, and not the field of that name; want {"var":%q}`, name, name)
			return
		}
	}
	hint := "a field on one side"
	if a.kinds == number && b.kinds == number && !bytes.ContainsAny(a.raw.Text(), ".eE") && !bytes.HasPrefix(b.raw.Text(), []byte("-")) {
		hint = fmt.Sprintf("a field on one side, or %s.%s if that is the number", a.raw.Text(), b.raw.Text())
	}
	s.say(b.raw.At, codeConstant, "%s and %s are compared with each other, which is always the same; want %s", a.raw.Shown(), b.raw.Shown(), hint)
}

// names are the fields that the rule's feed is known to have.
func (s *scope) names() []string {
	if s.source < 0 {
		return nil
	}
	out := s.feeds.labels(s.source, s.spec.SourceFeedID)
	for _, f := range s.in.Sources[s.source].Feeds {
		if f.ID == s.spec.SourceFeedID {
			out = append(out, f.FieldIDs...)
		}
	}
	return out
}

// compareWith checks an operand against a literal beside it.
func (s *scope) compareWith(operator string, ordering bool, of, with value) {
	if !with.isLiteral() {
		if with.raw.Kind() == strictjson.Array && of.raw.Kind() == strictjson.Object {
			s.say(with.raw.At, codeList, `%s is compared with a list, which it never is; want {"in":[…, list]} for "one of them"`, of.name())
		}
		return
	}
	at, never := with.raw.At, "never equal"
	if ordering {
		never = "never true"
	} else if strings.HasPrefix(operator, "!") {
		never = "always different"
	}
	switch with.raw.Kind() {
	case strictjson.Null:
		if of.field != nil && !ordering {
			s.say(at.Noting("never decides"), codeAbsent, `%s that is null or absent makes the condition unknown, so this never finds it; want {"missing":[%s]}, or "absent" or "onMissing" in the rule`, of.name(), of.name())
		}
	case strictjson.String:
		s.compareText(ordering, of, with, never)
	case strictjson.Number:
		if of.kinds.only(text) {
			s.say(at, codeText, "%s is a text, and %s a number; want a text, such as %q", of.name(), with.raw.Text(), string(with.raw.Text()))
		}
		s.disagreement(of, at)
	case strictjson.Bool:
		if of.kinds.only(text) {
			s.say(at.Noting(never), codeText, "%s is a text, and %s is none; want %q if that is what it says", of.name(), with.raw.Text(), string(with.raw.Text()))
		}
	}
}

// compareText checks a text that an operand is compared with.
func (s *scope) compareText(ordering bool, of, with value, never string) {
	at, written := with.raw.At, with.raw.Str()
	isNumber, isBool := of.kinds.only(number), of.kinds.only(boolean)
	mayBeText := of.kinds == 0 || of.kinds&text != 0
	plain, unit := numberIn(written), withUnit.FindStringSubmatch(written)
	switch {
	case unit != nil && (isNumber || mayBeText && ordering):
		says := ""
		if of.field != nil && of.field.unit != "" {
			says = " (in " + unitName(of.field.unit) + ")"
		}
		s.say(at.Noting(never), codeUnit, "%q is a text with a unit in it, and %s%s is compared as a number; want %s without the unit", written, of.name(), says, strings.Replace(unit[1], ",", ".", 1))
	case plain != "" && (isNumber || mayBeText && ordering && of.kinds == 0):
		s.say(at.Instead(plain), codeText, "%q is a text, and %s is compared as a number; want %s without quotes", written, of.name(), plain)
	case isNumber:
		s.say(at.Noting(never), codeText, "%s is a number, and %q is none; want a number", of.name(), written)
	case isBool && (written == "true" || written == "false"):
		s.say(at.Noting(never).Instead(written), codeText, "%s is a boolean, and %q a text; want %s without quotes", of.name(), written, written)
	case isBool:
		s.say(at.Noting(never), codeText, "%s is true or false, and %q is a text; want true or false", of.name(), written)
	}
}

// disagreement says that a field has no one unit which a number could be in.
func (s *scope) disagreement(of value, at strictjson.Place) {
	f := of.field
	if f == nil || f.other == "" || f.told {
		return
	}
	f.told = true
	s.say(at, codeUnit, "%q is in %s of twin %s and in %s of twin %s; want a source with twins of one unit", f.path, unitName(f.unit), f.says, unitName(f.unit2), f.other)
}

// calculated checks the operands of an operator for numbers.
func (s *scope) calculated(operator string, values []value) {
	var first *field
	for _, v := range values {
		if v.field == nil {
			continue
		}
		if v.kinds.only(text) {
			s.say(v.raw.At, codeText, "%s is a text, and %q wants numbers; want a number", v.name(), operator)
		}
		sameUnit := operator == "+" || operator == "-" || operator == "max" || operator == "min"
		switch {
		case !sameUnit || v.field.unit == "":
		case first == nil:
			first = v.field
		case first.unit != v.field.unit:
			s.say(v.raw.At, codeUnit, "%q is in %s and %q in %s; want both in one unit", first.path, unitName(first.unit), v.field.path, unitName(v.field.unit))
		}
	}
}

// searched checks what in looks for and where.
func (s *scope) searched(needle, haystack value) {
	if haystack.raw.Kind() != strictjson.Array || needle.field == nil || needle.kinds == 0 {
		return
	}
	for _, e := range haystack.raw.Elems() {
		k := literalKinds[e.Kind()]
		if k == 0 || k == list || needle.kinds&k != 0 {
			continue
		}
		at := e.At.Noting("never found")
		if plain := numberIn(e.Str()); needle.kinds.only(number) && plain != "" {
			at = at.Instead(plain)
		}
		s.say(at, codeText, "%s is %s, and %s is not; want values of one type", needle.name(), needle.kinds, e.Shown())
	}
}
