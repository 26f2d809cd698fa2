package alerts

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// Matcher asks one thing of an alert. As text it is one of
//
//	name=value  name!=value  name=~regexp  name!~regexp
//
// where name is severity, interaction, rule, twin, feed, state, status, event,
// id or label.NAME; in routes and sinks also property.KEY, see [DecodeLasting]. In a value of = and != a * stands for any text, also for
// none; a literal * needs a regexp. A severity of = and != may be another
// system's word for it, as in rules: crit is critical. A regexp is RE2 and must match the whole
// value, as in Alertmanager. Values may be quoted as in JSON. A label that the
// alert does not have is the empty text.
type Matcher struct {
	name, op, value string
	of              func(*rules.Outcome) string
	property        string         // the key of the twin's property that is meant
	values          Properties     // its values; nil until Bind
	glob            []string       // the value between its stars, when it has any
	re              *regexp.Regexp // of =~ and !~
}

// Matchers match an alert when all of them do.
type Matchers []Matcher

// property is something of an alert that a matcher can name.
type property struct {
	of     func(*rules.Outcome) string
	values []string // all there are; nil when anything may be
	varies bool     // from event to event, so that no route can rest on it
	word   func(string) (canonical string, ok bool)
}

const (
	labelPrefix    = "label."
	propertyPrefix = "property."
)

// Properties gives the values that a twin has now of a property.
type Properties func(twin, key string) []string

var properties = map[string]property{
	"severity":    {of: func(o *rules.Outcome) string { return o.Severity }, values: severityNames(), word: rules.CanonicalSeverity},
	"interaction": {of: func(o *rules.Outcome) string { return o.Interaction }},
	"rule":        {of: func(o *rules.Outcome) string { return o.Rule }},
	"twin":        {of: func(o *rules.Outcome) string { return o.Twin }},
	"feed":        {of: feedOf},
	"id":          {of: func(o *rules.Outcome) string { return o.ID }},
	"state":       {of: func(o *rules.Outcome) string { return o.State }, values: []string{rules.StateFiring, rules.StateResolved}, varies: true},
	"status":      {of: statusOf, values: statuses, varies: true},
	"event":       {of: (*rules.Outcome).Event, values: events, varies: true},
}

var statuses = []string{
	rules.StatusFiring, rules.StatusAcknowledged, rules.StatusRecovering, rules.StatusShelved,
	rules.StatusSuppressed, rules.StatusLatched, rules.StatusCleared, rules.StatusClosed,
}

var events = []string{
	rules.EventRaised, rules.EventUpdated, rules.EventCleared, rules.EventRepeated, rules.EventAcknowledged,
	rules.EventUnacknowledged, rules.EventCommented, rules.EventShelved, rules.EventUnshelved,
	rules.EventSuppressed, rules.EventUnsuppressed, rules.EventFlapping, rules.EventReset, rules.EventClosed,
}

func severityNames() []string {
	var names []string
	for _, s := range Severities {
		names = append(names, s.Name)
	}
	return names
}

func feedOf(o *rules.Outcome) string {
	if o.Life == nil {
		return o.Feed
	}
	return o.Life.Feed
}

func statusOf(o *rules.Outcome) string {
	if o.Life == nil {
		return o.State
	}
	return o.Life.Status
}

// propertyOf finds the property with the name. The error has no place.
func propertyOf(name string, more ...string) (property, error) {
	if label, ok := strings.CutPrefix(name, labelPrefix); ok && label != "" {
		return property{of: func(o *rules.Outcome) string { return o.Labels[label] }}, nil
	}
	if p, ok := properties[name]; ok {
		return p, nil
	}
	known := append(append(slices.Sorted(maps.Keys(properties)), labelPrefix+"NAME"), more...)
	hint := strictjson.DidYouMean(name, known)
	if hint == "" {
		hint = "; want one of " + strings.Join(known, ", ")
	}
	return property{}, fmt.Errorf("unknown name %q%s", name, hint)
}

// ParseMatcher reads a matcher's text. Errors begin with the column, counted in
// characters from 1.
func ParseMatcher(text string) (Matcher, error) { return parseMatcher(text, false) }

// parseMatcher is ParseMatcher; with properties it takes those of twins too.
func parseMatcher(text string, properties bool) (Matcher, error) {
	at := strings.IndexAny(text, "=!")
	if at < 0 {
		return Matcher{}, problem(text, len(text), `no operator; want name=value, with one of =, !=, =~, !~`)
	}
	m := Matcher{name: strings.TrimSpace(text[:at]), op: operatorAt(text[at:])}
	if m.op == "" {
		return Matcher{}, problem(text, at, `unknown operator "!"; want one of =, !=, =~, !~`)
	}
	var more []string
	if properties {
		more = []string{propertyPrefix + "KEY"}
	}
	p, err := propertyOf(m.name, more...)
	if key, ok := strings.CutPrefix(m.name, propertyPrefix); properties && ok && key != "" {
		m.property, err = key, nil
	}
	if err != nil {
		return Matcher{}, problem(text, 0, "%w", err)
	}
	m.of = p.of
	rest := text[at+len(m.op):]
	from := len(text) - len(strings.TrimLeft(rest, " \t"))
	if m.value, err = unquoted(strings.TrimSpace(rest)); err != nil {
		return Matcher{}, problem(text, from, "%w", err)
	}
	if err := m.compile(p); err != nil {
		return Matcher{}, problem(text, from, "%w", err)
	}
	return m, nil
}

func problem(text string, offset int, format string, args ...any) error {
	return fmt.Errorf("column %d: %w", utf8.RuneCountInString(text[:offset])+1, fmt.Errorf(format, args...))
}

// operatorAt is the operator that text begins with, which is with = or !.
func operatorAt(text string) string {
	for _, op := range []string{"=~", "!~", "!=", "="} {
		if strings.HasPrefix(text, op) {
			return op
		}
	}
	return ""
}

func unquoted(text string) (string, error) {
	if !strings.HasPrefix(text, `"`) {
		return text, nil
	}
	s, err := strconv.Unquote(text)
	if err != nil {
		return "", fmt.Errorf("value %s is not well quoted; want \"…\" with \\\" and \\\\ inside", text)
	}
	return s, nil
}

// compile makes ready what Match needs. The error has no place.
func (m *Matcher) compile(p property) error {
	if m.op == "=~" || m.op == "!~" {
		re, err := regexp.Compile("^(?:" + m.value + ")$")
		if err != nil {
			return fmt.Errorf("not a regular expression: %w", err)
		}
		m.re = re
		return nil
	}
	if strings.Contains(m.value, "*") {
		m.glob = strings.Split(m.value, "*")
		return nil
	}
	if p.word != nil {
		if canonical, ok := p.word(m.value); ok {
			m.value = canonical
		}
	}
	if p.values == nil || slices.Contains(p.values, m.value) {
		return nil
	}
	hint := strictjson.DidYouMean(m.value, p.values)
	if hint == "" {
		hint = "; want one of " + strings.Join(p.values, ", ")
	}
	return fmt.Errorf("unknown %s %q%s", m.name, m.value, hint)
}

// String is the matcher as text, its value quoted.
func (m Matcher) String() string { return m.name + m.op + strconv.Quote(m.value) }

// Match says whether the alert is as the matcher asks.
func (m *Matcher) Match(o *rules.Outcome) bool {
	if m.property != "" {
		return m.matchTwin(o.Twin)
	}
	return m.of != nil && m.accepts(m.of(o))
}

// matchTwin says whether a property of the twin is as asked: of several values
// one is enough, but where none may be so, all must not be.
func (m *Matcher) matchTwin(twin string) bool {
	var values []string
	if m.values != nil {
		values = m.values(twin, m.property)
	}
	if len(values) == 0 {
		return m.accepts("")
	}
	if m.op[0] == '!' {
		return !slices.ContainsFunc(values, func(v string) bool { return !m.accepts(v) })
	}
	return slices.ContainsFunc(values, m.accepts)
}

func (m *Matcher) accepts(value string) bool {
	negative := m.op[0] == '!'
	switch {
	case m.re != nil:
		return m.re.MatchString(value) != negative
	case m.glob != nil:
		return globs(m.glob, value) != negative
	}
	return (m.value == value) != negative
}

// globs says whether value is the parts in their order with anything between.
func globs(parts []string, value string) bool {
	rest, ok := strings.CutPrefix(value, parts[0])
	last := parts[len(parts)-1]
	if !ok || len(rest) < len(last) || !strings.HasSuffix(rest, last) {
		return false
	}
	rest = rest[:len(rest)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		if _, rest, ok = strings.Cut(rest, part); !ok {
			return false
		}
	}
	return true
}

// Match says whether the alert is as all matchers ask; none ask for nothing.
func (ms Matchers) Match(o *rules.Outcome) bool {
	for i := range ms {
		if !ms[i].Match(o) {
			return false
		}
	}
	return true
}

// DecodeMatchers reads a list of matchers' texts. The error has every problem
// with its place.
func DecodeMatchers(raw strictjson.Raw) (Matchers, error) { return decodeMatchers(raw, false) }

// DecodeLasting is DecodeMatchers for what an alert goes by as long as it lives:
// nothing that changes from event to event. A name may be property.KEY too, a
// property of the twin, by its key or by what stands behind the last # or / of
// it; Bind says where its values are.
func DecodeLasting(raw strictjson.Raw) (Matchers, error) {
	ms, err := decodeMatchers(raw, true)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, e := range raw.Elems() {
		errs = append(errs, lasting(e, ms[i].name))
	}
	return ms, strictjson.Join(errs...)
}

// Bind gives matchers by properties their values. It changes a copy.
func (ms Matchers) Bind(values Properties) Matchers {
	ms = slices.Clone(ms)
	for i := range ms {
		ms[i].values = values
	}
	return ms
}

// Fixed are the matchers by what is always the same of an alert.
func (ms Matchers) Fixed() Matchers {
	return slices.DeleteFunc(slices.Clone(ms), func(m Matcher) bool { return m.property != "" || m.name == "severity" })
}

func decodeMatchers(raw strictjson.Raw, properties bool) (Matchers, error) {
	if raw.Kind() != strictjson.Array {
		return nil, raw.At.Errorf(`got %s; want an array of matchers such as "severity=critical"`, raw.Shown())
	}
	var ms Matchers
	var errs []error
	for _, e := range raw.Elems() {
		if e.Kind() != strictjson.String {
			errs = append(errs, e.At.Errorf(`got %s; want a matcher such as "severity=critical"`, e.Shown()))
			continue
		}
		m, err := parseMatcher(e.Str(), properties)
		if err != nil {
			errs = append(errs, e.At.Errorf("matcher %s: %w", e.Shown(), err))
			continue
		}
		ms = append(ms, m)
	}
	return ms, strictjson.Join(errs...)
}

func (ms Matchers) appendJSON(b []byte) []byte {
	b = append(b, '[')
	for i, m := range ms {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, m.String())
	}
	return append(b, ']')
}
