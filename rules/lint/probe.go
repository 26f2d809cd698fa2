package lint

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

// A condition is judged over probes: samples with the values at which a
// comparison can change its answer (its literals), one between each two and one
// beyond each end. Over conditions that only compare fields with literals and
// with each other these are all the cases there are.

// mostProbes bounds how many samples one question is asked of.
const mostProbes = 4096

// test is a condition that can be judged over probes.
type test struct {
	raw    strictjson.Raw
	expr   *logic.Expr
	direct bool                 // probes are all cases
	reads  []read               // in the order of their first appearance
	pool   map[string][]literal // what a path is compared with; "" is what all are
}

type read struct {
	path  string
	field *field
}

type literal struct {
	value    any
	ordering bool
}

// newTest is the condition made ready.
func (s *scope) newTest(raw strictjson.Raw, expr *logic.Expr) *test {
	t := &test{raw: raw, expr: expr, pool: map[string][]literal{}}
	t.direct = t.gather(raw)
	for _, v := range expr.Vars() {
		t.reads = append(t.reads, read{v.Path, s.variable(v.Path)})
	}
	return t
}

// part is the test of an expression inside the test's.
func (s *scope) part(raw strictjson.Raw) *test {
	expr, err := logic.Compile(raw)
	if err != nil {
		return nil
	}
	return s.newTest(raw, expr)
}

// gather notes what paths are compared with, and says whether the expression
// does nothing else with them.
func (t *test) gather(raw strictjson.Raw) bool {
	if raw.Kind() != strictjson.Object {
		return raw.Kind() != strictjson.Array
	}
	operator, operands := operation(raw)
	switch operator {
	case "var":
		_, fallback, ok := variableOf(raw)
		return ok && fallback.IsZero()
	case "and", "or", "!", "!!", "if", "?:":
		direct := true
		for _, o := range operands {
			direct = t.gather(o) && direct
		}
		return direct
	case "in":
		return len(operands) == 2 && t.among(operands[0], operands[1])
	}
	if c, ok := comparisons[operator]; ok {
		return t.compared(operands, c.ordering)
	}
	return t.rest(raw)
}

// compared notes the operands of a comparison.
func (t *test) compared(operands []strictjson.Raw, ordering bool) bool {
	path, others := "", 0
	for _, o := range operands {
		if p, fallback, ok := plainVariable(o); ok && fallback.IsZero() {
			if others++; others > 1 {
				path = "" // two fields: what one is compared with, the other may be
			} else {
				path = p
			}
		}
	}
	if others > 1 {
		t.pool[""] = append(t.pool[""], literal{-1.0, true}, literal{1.0, true})
	}
	direct := true
	for _, o := range operands {
		switch o.Kind() {
		case strictjson.Object:
			_, fallback, ok := plainVariable(o)
			direct = direct && ok && fallback.IsZero()
			t.rest(o)
		case strictjson.Array:
			direct = false
		default:
			t.pool[path] = append(t.pool[path], literal{o.Any(), ordering})
		}
	}
	return direct
}

// among notes the values among which a field is looked for.
func (t *test) among(needle, haystack strictjson.Raw) bool {
	path, fallback, ok := plainVariable(needle)
	if !ok || !fallback.IsZero() || haystack.Kind() != strictjson.Array {
		t.rest(needle)
		t.rest(haystack)
		return false
	}
	for _, e := range haystack.Elems() {
		if e.Kind() == strictjson.Object || e.Kind() == strictjson.Array {
			t.rest(e)
			return false
		}
		t.pool[path] = append(t.pool[path], literal{e.Any(), false})
	}
	return true
}

func plainVariable(raw strictjson.Raw) (path string, fallback strictjson.Raw, ok bool) {
	if raw.Kind() != strictjson.Object || len(raw.Members()) != 1 || raw.Members()[0].Name != "var" {
		return "", fallback, false
	}
	return variableOf(raw)
}

// rest notes the literals of an expression that does more than compare. It is
// direct only where it reads nothing.
func (t *test) rest(raw strictjson.Raw) bool {
	switch raw.Kind() {
	case strictjson.Object:
		operator, operands := operation(raw)
		if operator == "var" || operator == "val" || operator == "missing" || operator == "missing_some" || operator == "exists" {
			return false
		}
		nothing := true
		for _, o := range operands {
			nothing = t.rest(o) && nothing
		}
		return nothing
	case strictjson.Array:
		nothing := true
		for _, e := range raw.Elems() {
			nothing = t.rest(e) && nothing
		}
		return nothing
	}
	t.pool[""] = append(t.pool[""], literal{raw.Any(), false})
	return true
}

// probes are all samples that the tests are judged over: values of each path
// that one of them reads. Not ok are too many, or paths within each other.
func probes(tests ...*test) (reads []read, points [][]any, ok bool) {
	total := 1
	for _, t := range tests {
		for _, r := range t.reads {
			if !slices.ContainsFunc(reads, func(other read) bool { return other.path == r.path }) {
				reads = append(reads, r)
			}
		}
	}
	for i, r := range reads {
		for _, other := range reads[:i] {
			if strings.HasPrefix(r.path, other.path+".") || strings.HasPrefix(other.path, r.path+".") {
				return nil, nil, false
			}
		}
		var pool []literal
		for _, t := range tests {
			pool = append(append(pool, t.pool[r.path]...), t.pool[""]...)
		}
		values := r.field.points(pool)
		if total *= len(values); total == 0 || total > mostProbes {
			return nil, nil, false
		}
		points = append(points, values)
	}
	return reads, points, true
}

// points are the values of a field to try.
func (f *field) points(pool []literal) []any {
	if f.values != nil {
		return f.values
	}
	k := f.kinds
	if k == 0 {
		for _, l := range pool {
			switch l.value.(type) {
			case float64:
				k |= number
			case bool:
				k |= boolean
			case string:
				k |= text
			}
		}
	}
	if k == 0 {
		k = boolean
	}
	var out []any
	if k&number != 0 {
		for _, n := range f.numbers(pool) {
			out = append(out, n)
		}
	}
	if k&boolean != 0 {
		out = append(out, true, false)
	}
	if k&text != 0 {
		out = append(out, texts(pool)...)
	}
	return out
}

// numbers are the literals, what lies between them and beyond, as far as the
// field can be that.
func (f *field) numbers(pool []literal) []float64 {
	at := []float64{}
	for _, l := range pool {
		switch v := l.value.(type) {
		case float64:
			at = append(at, v)
		case string:
			if n, err := strconv.ParseFloat(numberIn(v), 64); err == nil {
				at = append(at, n)
			}
		case bool:
			at = append(at, 0, 1)
		}
	}
	if len(at) == 0 {
		at = append(at, 0)
	}
	slices.Sort(at)
	at = slices.Compact(at)
	out := []float64{at[0] - 1, at[len(at)-1] + 1, f.min, f.max}
	for i, n := range at {
		out = append(out, n)
		if i > 0 {
			out = append(out, at[i-1]+(n-at[i-1])/2)
		}
		if f.whole {
			out = append(out, math.Floor(n), math.Ceil(n), math.Floor(n)-1, math.Ceil(n)+1)
		}
	}
	out = slices.DeleteFunc(out, func(n float64) bool {
		return math.IsInf(n, 0) || math.IsNaN(n) || n < f.min || n > f.max || f.whole && n != math.Trunc(n)
	})
	slices.Sort(out)
	return slices.Compact(out)
}

// texts are the literals, and texts before, behind and beside them.
func texts(pool []literal) []any {
	out := []any{"some other text"}
	for _, l := range pool {
		v, ok := l.value.(string)
		if !ok {
			continue
		}
		if !slices.Contains(out, any(v)) {
			out = append(out, v)
		}
		if l.ordering && !slices.Contains(out, any(v+"~")) {
			out = append(out, v+"~")
		}
	}
	return append(out, "")
}

// over calls ask with each sample until it says stop.
func over(reads []read, points [][]any, ask func(sample map[string]any, values []any) bool) {
	values := make([]any, len(reads))
	var next func(i int) bool
	next = func(i int) bool {
		if i == len(reads) {
			return ask(sampleOf(reads, values), values)
		}
		for _, v := range points[i] {
			if values[i] = v; !next(i + 1) {
				return false
			}
		}
		return true
	}
	next(0)
}

func sampleOf(reads []read, values []any) map[string]any {
	sample := map[string]any{}
	for i, r := range reads {
		in := sample
		parts := strings.Split(r.path, ".")
		for _, part := range parts[:len(parts)-1] {
			inner, ok := in[part].(map[string]any)
			if !ok {
				inner = map[string]any{}
				in[part] = inner
			}
			in = inner
		}
		in[parts[len(parts)-1]] = values[i]
	}
	return sample
}

// always is what the tests, all together, come to over every probe: True, False,
// or Unknown where it depends.
func always(tests ...*test) logic.Verdict {
	reads, points, ok := probes(tests...)
	if !ok {
		return logic.Unknown
	}
	var seen [4]bool
	over(reads, points, func(sample map[string]any, _ []any) bool {
		verdict := logic.True
		for _, t := range tests {
			v, err := t.expr.Decide(sample)
			if err != nil || v == logic.Unknown {
				verdict = logic.Unknown
				break
			}
			if v == logic.False {
				verdict = logic.False
			}
		}
		seen[verdict] = true
		return !seen[logic.Unknown] && (!seen[logic.True] || !seen[logic.False])
	})
	switch {
	case seen[logic.Unknown] || seen[logic.True] == seen[logic.False]:
		return logic.Unknown
	case seen[logic.True]:
		return logic.True
	}
	return logic.False
}

// whatever names what a condition reads.
func whatever(reads []read) string {
	if len(reads) == 0 {
		return "without a field in it"
	}
	names := make([]string, len(reads))
	for i, r := range reads {
		names[i] = strconv.Quote(r.path)
	}
	if len(names) == 1 {
		return "whatever " + names[0] + " is"
	}
	return "whatever " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " are"
}

// constant checks whether a condition, or a part of it, never changes.
func (s *scope) constant(t *test) {
	s.constantPart(t.raw, "this condition")
}

func (s *scope) constantPart(raw strictjson.Raw, what string) bool {
	if raw.Kind() != strictjson.Object {
		if what == "this condition" && raw.Kind() == strictjson.Bool {
			s.say(raw.At, codeConstant, "this condition is always %s; want a comparison with a field", raw.Text())
		}
		return false
	}
	operator, operands := operation(raw)
	if operator == "var" || operator == "val" || operator == "preserve" || ofElements[operator] {
		return false
	}
	t := s.part(raw)
	if t == nil {
		return false
	}
	if verdict := always(t); t.direct && verdict != logic.Unknown && (answers[operator] == boolean || operator == "and" || operator == "or" || what == "this condition") {
		s.say(raw.At.Noting("always "+verdict.String()), codeConstant, "%s is always %s, %s%s", what, verdict, whatever(t.reads), s.otherwise(raw, verdict))
		return true
	}
	for _, o := range operands {
		s.constantPart(o, "this part of the condition")
	}
	return false
}

// otherwise is the hint for a condition that never changes: and for or, or the
// other way round, where that would do.
func (s *scope) otherwise(raw strictjson.Raw, verdict logic.Verdict) string {
	other, canSwap := map[string]string{"and": "or", "or": "and"}[raw.Members()[0].Name]
	if canSwap {
		swapped, err := strictjson.Parse("", fmt.Appendf(nil, "{%q:%s}", other, raw.Members()[0].Value.Text()))
		if err == nil {
			if t := s.part(swapped); t != nil && always(t) == logic.Unknown {
				return fmt.Sprintf("; did you mean %q, or other bounds?", other)
			}
		}
	}
	if verdict == logic.True {
		return "; want one that some sample does not meet"
	}
	return "; want one that some sample meets"
}

// together checks whether conditions, all of which are required, can be true at
// once.
func (s *scope) together(tests []*test) {
	if len(tests) < 2 {
		return
	}
	for _, t := range tests {
		if !t.direct || always(t) != logic.Unknown {
			return
		}
	}
	if always(tests...) == logic.False {
		last := tests[len(tests)-1]
		reads, _, _ := probes(tests...)
		s.say(last.raw.At.Noting("never true together with the ones before it"), codeConstant, "all conditions are required, and they are never true together, %s; want bounds that meet", whatever(reads))
	}
}

// overlap checks whether a condition and what clears it can both be true.
func (s *scope) overlap(conditions []*test, clearing *test) {
	if clearing == nil || len(conditions) == 0 {
		return
	}
	tests := append(slices.Clone(conditions), clearing)
	reads, points, ok := probes(tests...)
	if !ok {
		return
	}
	over(reads, points, func(sample map[string]any, values []any) bool {
		for _, t := range tests {
			if v, err := t.expr.Decide(sample); err != nil || v != logic.True {
				return true
			}
		}
		s.say(clearing.raw.At.Noting("true together with the condition"), codeOverlap,
			"the condition and its clearCondition are both true where %s; want what clears to be false while the condition is true", shown(reads, values))
		return false
	})
}

func shown(reads []read, values []any) string {
	out := make([]string, len(reads))
	for i, r := range reads {
		out[i] = fmt.Sprintf("%s = %s", r.path, asJSON(values[i]))
	}
	return strings.Join(out, " and ")
}

func asJSON(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}

// unreached checks what of an expression is never reached: comparisons that what
// is known of a field decides, and branches.
func (s *scope) unreached(t *test) { s.unreachedIn(t.raw) }

func (s *scope) unreachedIn(raw strictjson.Raw) {
	if raw.Kind() != strictjson.Object {
		return
	}
	operator, operands := operation(raw)
	if operator == "preserve" || ofElements[operator] {
		return
	}
	if _, compares := comparisons[operator]; compares || operator == "in" {
		s.outside(raw, operator, operands)
	}
	if operator == "if" || operator == "?:" {
		s.branches(operands)
	}
	for _, o := range operands {
		s.unreachedIn(o)
	}
}

// outside checks a comparison of a field of which more is known than its type.
func (s *scope) outside(raw strictjson.Raw, operator string, operands []strictjson.Raw) {
	t := s.part(raw)
	if t == nil || !t.direct || len(t.reads) != 1 || !t.reads[0].field.bounded() {
		return
	}
	f := t.reads[0].field
	if operator == "in" {
		s.outsideList(f, operands[1])
		return
	}
	verdict := always(t)
	if verdict == logic.Unknown {
		return
	}
	for _, o := range operands {
		if o.Kind() == strictjson.Object {
			continue
		}
		at, hint := o.At.Noting("always "+verdict.String()), "; want one that it can be"
		if known := f.texts(); o.Kind() == strictjson.String && len(known) > 0 {
			at, hint = at.Renamed(o.Str(), known), nearest(o.Str(), known)
		}
		s.say(at, codeNever, "%q is %s, so this is always %s%s", f.path, f.domain(), verdict, hint)
		return
	}
}

// outsideList checks the values among which a field is looked for.
func (s *scope) outsideList(f *field, haystack strictjson.Raw) {
	for _, e := range haystack.Elems() {
		v := e.Any()
		n, isNumber := v.(float64)
		switch {
		case f.values != nil && !slices.Contains(f.values, v), f.values == nil && isNumber && (n < f.min || n > f.max || f.whole && n != math.Trunc(n)):
		default:
			continue
		}
		at, hint := e.At.Noting("never found"), "; want values that it can have"
		if known := f.texts(); e.Kind() == strictjson.String && len(known) > 0 {
			at, hint = at.Renamed(e.Str(), known), nearest(e.Str(), known)
		}
		s.say(at, codeNever, "%q is %s, so %s is never found%s", f.path, f.domain(), e.Shown(), hint)
	}
}

// texts are the only texts that a field can be.
func (f *field) texts() []string {
	var out []string
	for _, v := range f.values {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// domain says what a field can be.
func (f *field) domain() string {
	switch {
	case f.values != nil:
		shown := make([]string, len(f.values))
		for i, v := range f.values {
			shown[i] = asJSON(v)
		}
		return "only ever " + strings.Join(shown, " or ")
	case f.kinds.only(boolean):
		return "true or false"
	case math.IsInf(f.min, -1) && math.IsInf(f.max, 1):
		return "a whole number"
	case math.IsInf(f.min, -1):
		return "at most " + asJSON(f.max)
	case math.IsInf(f.max, 1):
		return "at least " + asJSON(f.min)
	}
	return asJSON(f.min) + " to " + asJSON(f.max)
}

// branches checks the branches of an if.
func (s *scope) branches(operands []strictjson.Raw) {
	var asked []*test
	for i := 0; i+1 < len(operands); i += 2 {
		t := s.part(operands[i])
		if t == nil || !t.direct {
			return
		}
		asked = append(asked, t)
	}
	reads, points, ok := probes(asked...)
	if !ok || len(reads) == 0 {
		return
	}
	taken, clean := make([]bool, len(asked)+1), true
	over(reads, points, func(sample map[string]any, _ []any) bool {
		at := len(asked)
		for i, t := range asked {
			v, err := t.expr.Decide(sample)
			if err != nil || v == logic.Unknown {
				clean = false
				return false
			}
			if v == logic.True {
				at = i
				break
			}
		}
		taken[at] = true
		return true
	})
	for i, was := range taken {
		at := 2*i + 1
		if i == len(asked) {
			at = 2 * i
		}
		if clean && !was && at < len(operands) {
			s.say(operands[at].At.Noting("never reached"), codeNever, "this branch is never taken, %s; want its condition apart from those before it", whatever(reads))
		}
	}
}

// absent checks what becomes of a condition where a field is not there.
func (s *scope) absent(t *test) {
	for _, v := range t.expr.Vars() {
		f := s.variable(v.Path)
		if len(f.lacking) > 0 && f.says != "" && v.Required {
			s.say(v.Place.Noting("unknown for that twin"), codeAbsent, `feed %q of twin %s has no %q, so the condition never decides there; want "onMissing", a default in the var, or a source without that twin`,
				f.feed, f.lacking[0], v.Path)
		}
	}
	s.fallbacks(t.raw)
	if s.spec.OnMissing.Mode != "evaluate" || len(t.reads) == 0 {
		return
	}
	if v, err := t.expr.Value(map[string]any{}); err == nil && v == true {
		place := t.expr.Vars()[0].Place
		s.say(place.Noting("absent counts as 0"), codeAbsent, `with onMissing "evaluate" a sample without %q counts as 0, for which this condition is true; want onMissing "skip" or "false"`, t.reads[0].path)
	}
}

// fallbacks checks comparisons with a field whose default is null.
func (s *scope) fallbacks(raw strictjson.Raw) {
	if raw.Kind() != strictjson.Object {
		return
	}
	operator, operands := operation(raw)
	for _, o := range operands {
		if c, ok := comparisons[operator]; ok && c.ordering {
			if path, fallback, ok := plainVariable(o); ok && fallback.Kind() == strictjson.Null {
				s.say(fallback.At.Noting("counts as 0"), codeAbsent, "a sample without %q gives null, which %q takes for 0; want no default, so that it is unknown, or a number", path, operator)
			}
		}
		s.fallbacks(o)
	}
}
