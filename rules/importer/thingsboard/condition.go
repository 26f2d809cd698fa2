package thingsboard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/importer"
)

// reading is what conditions read.
type reading struct {
	keys       []string            // of the telemetry
	attributes []string            // of the device
	defaults   importer.Object     // of attributes, by their names in the variable
	arguments  []strictjson.Member // of a calculated field
	notes      []string            // what differs
	losses     []string            // what was not taken over
}

func (r *reading) merge(other *reading) *reading {
	for _, key := range other.keys {
		r.keys = appendNew(r.keys, key)
	}
	for _, attribute := range other.attributes {
		r.attributes = appendNew(r.attributes, attribute)
	}
	for _, d := range other.defaults {
		if !slices.ContainsFunc(r.defaults, func(m importer.Member) bool { return m.Name == d.Name }) {
			r.defaults = append(r.defaults, d)
		}
	}
	for _, note := range other.notes {
		r.notes = appendNew(r.notes, note)
	}
	for _, loss := range other.losses {
		r.losses = appendNew(r.losses, loss)
	}
	return r
}

func (r *reading) withClear(over *rule) *reading {
	if over == nil {
		return r
	}
	return r.merge(over.reading)
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// enrichment makes the attributes variables; nil when none is read.
func (r *reading) enrichment() any {
	if len(r.attributes) == 0 {
		return nil
	}
	out := importer.Object{{Name: "from", Value: "twin"}, {Name: "as", Value: owner}}
	if len(r.defaults) > 0 {
		out = append(out, importer.Member{Name: "default", Value: r.defaults})
	}
	return out
}

// owner is the first part of the variables that attributes are.
const owner = "device"

func (r *reading) attribute(name string) any {
	r.attributes = appendNew(r.attributes, name)
	r.notes = appendNew(r.notes, fmt.Sprintf("the attribute %q is a property of the twin here (a key that ends with it); give the twins that property", name))
	if strings.Contains(name, ".") {
		return importer.Op("val", owner, name)
	}
	return importer.Var(owner + "." + name)
}

func (r *reading) telemetry(key string) any {
	r.keys = appendNew(r.keys, key)
	if strings.Contains(key, ".") {
		return importer.Op("val", key)
	}
	return importer.Var(key)
}

// rule reads a create rule or the clear rule, in its older or newer form.
func (p *profile) rule(raw strictjson.Raw, arguments []strictjson.Member) (*rule, error) {
	r := &rule{raw: raw, reading: &reading{arguments: arguments}, details: raw.Member("alarmDetails").Str()}
	condition := raw.Member("condition")
	hours, spec := raw.Member("schedule"), condition.Member("spec")
	var err error
	if expression := condition.Member("expression"); !expression.IsZero() {
		hours, spec = condition.Member("schedule"), condition
		if argument := hours.Member("dynamicValueArgument").Str(); argument != "" {
			r.losses = append(r.losses, fmt.Sprintf("hours from the argument %q; write a \"schedule\"", argument))
		}
		hours = hours.Member("staticValue")
		err = r.expression(expression)
	} else {
		err = r.filters(condition.Member("condition"))
	}
	if err != nil {
		return nil, err
	}
	if err := r.lasts(spec); err != nil {
		return nil, err
	}
	r.schedule, err = r.hours(hours)
	return r, err
}

// filters reads the list of conditions of a device profile, all of them required.
func (r *rule) filters(raw strictjson.Raw) error {
	var all []any
	for _, f := range raw.Elems() {
		left, err := r.key(f.Member("key"), f.Member("value"))
		if err != nil {
			return err
		}
		expr, err := r.predicate(left, f.Member("predicate"))
		if err != nil {
			return err
		}
		all = append(all, expr)
	}
	if len(all) == 0 {
		return errors.New("it has no condition")
	}
	r.when = importer.All(all...)
	return nil
}

// key is the value that a filter looks at.
func (r *reading) key(raw, constant strictjson.Raw) (any, error) {
	name := raw.Member("key").Str()
	switch kind := raw.Member("type").Str(); kind {
	case "TIME_SERIES":
		return r.telemetry(name), nil
	case "ATTRIBUTE", "SERVER_ATTRIBUTE", "SHARED_ATTRIBUTE", "CLIENT_ATTRIBUTE":
		return r.attribute(name), nil
	case "CONSTANT":
		return scalar(constant)
	default:
		return nil, fmt.Errorf("a condition on %q, which is a %s; samples do not have it", name, strings.ToLower(strings.ReplaceAll(kind, "_", " ")))
	}
}

// expression reads the condition of a calculated field.
func (r *rule) expression(raw strictjson.Raw) error {
	if raw.Member("type").Str() == "TBEL" {
		return errors.New("its condition is a script (TBEL); write it as JSONLogic")
	}
	var out []any
	for _, f := range raw.Member("filters").Elems() {
		if silent, err := r.noData(f, len(raw.Member("filters").Elems())); silent || err != nil {
			return err
		}
		left, err := r.argument(f.Member("argument").Str())
		if err != nil {
			return err
		}
		var predicates []any
		for _, p := range f.Member("predicates").Elems() {
			expr, err := r.predicate(left, p)
			if err != nil {
				return err
			}
			predicates = append(predicates, expr)
		}
		out = append(out, joined(f.Member("operation").Str(), predicates))
	}
	if len(out) == 0 {
		return errors.New("it has no condition")
	}
	r.when = joined(raw.Member("operation").Str(), out)
	return nil
}

func joined(operation string, exprs []any) any {
	if operation == "OR" {
		return importer.Any(exprs...)
	}
	return importer.All(exprs...)
}

// noData reads a filter that asks for silence.
func (r *rule) noData(f strictjson.Raw, filters int) (bool, error) {
	predicates := f.Member("predicates").Elems()
	i := slices.IndexFunc(predicates, func(p strictjson.Raw) bool { return p.Member("type").Str() == "NO_DATA" })
	if i < 0 {
		return false, nil
	}
	if len(predicates) > 1 || filters > 1 {
		return true, errors.New("silence beside other conditions; want two rules")
	}
	n, err := r.number(predicates[i].Member("duration"), "the time of the silence")
	if err != nil {
		return true, err
	}
	r.silent = time.Duration(n * float64(units[predicates[i].Member("unit").Str()]))
	if r.silent <= 0 {
		return true, errors.New("the time of the silence is none")
	}
	if _, err = r.argument(f.Member("argument").Str()); err == nil && len(r.keys) == 1 {
		r.when = importer.Op("exists", r.keys[0])
	}
	return true, err
}

// argument is the value of an argument of a calculated field.
func (r *reading) argument(name string) (any, error) {
	i := slices.IndexFunc(r.arguments, func(m strictjson.Member) bool { return m.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("no argument is called %q", name)
	}
	a := r.arguments[i].Value
	if other := a.Member("refEntityId"); other.Kind() == strictjson.Object {
		return nil, fmt.Errorf("the argument %q is of another entity; a \"join\" can read another twin", name)
	}
	key := a.Member("refEntityKey").Member("key").Str()
	switch kind := a.Member("refEntityKey").Member("type").Str(); kind {
	case "TS_LATEST":
		return r.telemetry(key), nil
	case "ATTRIBUTE":
		r.fallback(key, a.Member("defaultValue"))
		return r.attribute(key), nil
	default:
		return nil, fmt.Errorf("the argument %q is a %s; a \"window\" with \"aggregate\" can look back", name, kind)
	}
}

// fallback is the default of an attribute.
func (r *reading) fallback(attribute string, raw strictjson.Raw) {
	value, err := scalar(raw)
	known := slices.ContainsFunc(r.defaults, func(m importer.Member) bool { return m.Name == attribute })
	if err == nil && value != any("") && !known {
		r.defaults = append(r.defaults, importer.Member{Name: attribute, Value: value})
	}
}

// scalar is a literal value.
func scalar(r strictjson.Raw) (any, error) {
	switch r.Kind() {
	case strictjson.String:
		return r.Str(), nil
	case strictjson.Number:
		return importer.Number(r.Text()), nil
	case strictjson.Bool:
		return r.Any(), nil
	}
	return nil, errors.New("a condition without a value")
}

// value is what a predicate compares with: a constant, or an attribute with a
// default.
func (r *reading) value(raw strictjson.Raw) (any, error) {
	if argument := raw.Member("dynamicValueArgument").Str(); argument != "" {
		return r.argument(argument)
	}
	if static := raw.Member("staticValue"); !static.IsZero() {
		return scalar(static)
	}
	constant := raw.Member("userValue")
	if constant.IsZero() || constant.Kind() == strictjson.Null {
		constant = raw.Member("defaultValue")
	}
	dynamic := raw.Member("dynamicValue")
	attribute := dynamic.Member("sourceAttribute").Str()
	if attribute == "" {
		return scalar(constant)
	}
	switch of := dynamic.Member("sourceType").Str(); of {
	case "CURRENT_DEVICE":
		if dynamic.Member("inherit").Any() == true {
			r.losses = appendNew(r.losses, fmt.Sprintf("the attribute %q of the customer or the tenant, where the device has none; here the default counts", attribute))
		}
		r.fallback(attribute, constant)
		return r.attribute(attribute), nil
	default:
		r.losses = appendNew(r.losses, fmt.Sprintf("the threshold is the attribute %q of the %s; here the default counts. Give it to the twins or to their model and read it with \"enrich\"", attribute, strings.ToLower(strings.TrimPrefix(of, "CURRENT_"))))
		return scalar(constant)
	}
}

// number is a value that is a constant.
func (r *reading) number(raw strictjson.Raw, what string) (float64, error) {
	if raw.Member("dynamicValueArgument").Str() != "" {
		return 0, fmt.Errorf("%s comes from an argument; here it is a constant", what)
	}
	if attribute := raw.Member("dynamicValue").Member("sourceAttribute").Str(); attribute != "" {
		r.losses = appendNew(r.losses, fmt.Sprintf("%s comes from the attribute %q; here the default counts", what, attribute))
	}
	for _, name := range []string{"staticValue", "userValue", "defaultValue"} {
		if n, ok := raw.Member(name).Any().(float64); ok {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%s is missing", what)
}

var comparisons = map[string]string{
	"EQUAL": "==", "NOT_EQUAL": "!=", "GREATER": ">", "LESS": "<", "GREATER_OR_EQUAL": ">=", "LESS_OR_EQUAL": "<=",
}

// predicate is what is asked of a value.
func (r *reading) predicate(left any, raw strictjson.Raw) (any, error) {
	operation := raw.Member("operation").Str()
	kind := raw.Member("type").Str()
	if kind == "COMPLEX" {
		var out []any
		for _, e := range raw.Member("predicates").Elems() {
			expr, err := r.predicate(left, e)
			if err != nil {
				return nil, err
			}
			out = append(out, expr)
		}
		return joined(operation, out), nil
	}
	right, err := r.value(raw.Member("value"))
	if err != nil {
		return nil, err
	}
	if raw.Member("ignoreCase").Any() == true {
		r.notes = appendNew(r.notes, "upper and lower case are the same there; here they differ")
	}
	if name := comparisons[operation]; name != "" {
		return importer.Op(name, left, right), nil
	}
	return part(operation, left, right)
}

// part asks for a part of a text.
func part(operation string, left, right any) (any, error) {
	literal, isLiteral := right.(string)
	switch operation {
	case "CONTAINS":
		return importer.Op("in", right, left), nil
	case "NOT_CONTAINS":
		return importer.Op("!", importer.Op("in", right, left)), nil
	}
	if !isLiteral {
		return nil, fmt.Errorf("%s with a value that is no constant text", operation)
	}
	var words importer.List
	for word := range strings.SplitSeq(literal, ",") {
		words = append(words, strings.TrimSpace(word))
	}
	length := utf8.RuneCountInString(literal)
	switch operation {
	case "STARTS_WITH":
		return importer.Op("==", importer.Op("substr", left, 0, length), literal), nil
	case "ENDS_WITH":
		return importer.Op("==", importer.Op("substr", left, -length), literal), nil
	case "IN":
		return importer.Op("in", left, words), nil
	case "NOT_IN":
		return importer.Op("!", importer.Op("in", left, words)), nil
	}
	return nil, fmt.Errorf("the operation %q has no counterpart", operation)
}
