package backtest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/duration"
)

// MaxVariants bounds how many documents the values of several sweeps make.
const MaxVariants = 1000

// Sweep is a place in a document, and the values to try there.
type Sweep struct {
	Pointer string
	Values  []Value
	path    []string
}

// Value is a value as it was asked for, and as JSON; nil: the member goes.
type Value struct {
	Label string
	JSON  []byte
}

// none takes a member out.
const none = "none"

// ParseSweep reads POINTER=VALUES, where a document says what is meant. The
// pointer names a place that is there, or a member that an object may get; a
// part … of it stands for any parts, as long as one place fits. The values are
// a..b:step, of numbers or durations, or a list: each as JSON, or a text; none
// takes the member out, and so does a duration of 0. For a condition "<95" stands
// for that comparison of the field that the rule reads.
func ParseSweep(arg string, doc strictjson.Raw) (Sweep, error) {
	pointer, values, ok := cutSweep(arg)
	if !ok || values == "" {
		return Sweep{}, fmt.Errorf("--sweep %q; want POINTER=VALUES, such as /rules/0/alert/for=0s,15m,1h or /rules/0/…/1=90..110:1", arg)
	}
	s := Sweep{}
	at, err := s.find(doc, pointer)
	if err != nil {
		return s, fmt.Errorf("--sweep %s: %w", pointer, err)
	}
	texts, err := expand(values)
	if err != nil {
		return s, fmt.Errorf("--sweep %s: %w", pointer, err)
	}
	for _, text := range texts {
		v, err := s.value(text, at, doc)
		if err != nil {
			return s, fmt.Errorf("--sweep %s: %w", pointer, err)
		}
		s.Values = append(s.Values, v)
	}
	return s, nil
}

// cutSweep cuts at the first = that is no part of an operator, as that of
// /jsonLogic/>=/1=90 is.
func cutSweep(arg string) (pointer, values string, ok bool) {
	for i := range len(arg) - 1 {
		if arg[i] == '=' && arg[i+1] != '/' && arg[i+1] != '=' {
			return arg[:i], arg[i+1:], true
		}
	}
	return "", "", false
}

// find resolves the pointer, and gives the value there; the zero Raw: it is a
// member that the document does not have.
func (s *Sweep) find(doc strictjson.Raw, pointer string) (strictjson.Raw, error) {
	if !strings.HasPrefix(pointer, "/") {
		return strictjson.Raw{}, errors.New("want a JSON pointer, which begins with /")
	}
	parts := strings.Split(pointer[1:], "/")
	for i, p := range parts {
		parts[i] = unescape.Replace(p)
	}
	if i := slices.IndexFunc(parts, isAny); i >= 0 {
		fits := matching(doc, parts)
		switch {
		case len(fits) == 0:
			return strictjson.Raw{}, fmt.Errorf("no place in the document fits; want one of %s", some(pointers(doc, nil)))
		case len(fits) > 1:
			return strictjson.Raw{}, fmt.Errorf("%d places fit; want one of %s", len(fits), some(fits))
		}
		return s.find(doc, fits[0])
	}
	s.Pointer, s.path = pointer, parts
	at := doc
	for i, part := range parts {
		next, err := child(at, part)
		if err != nil {
			return strictjson.Raw{}, fmt.Errorf("%s %w", where(parts[:i]), err)
		}
		if next.IsZero() && i < len(parts)-1 {
			return strictjson.Raw{}, fmt.Errorf("%s has no %q%s", where(parts[:i]), part, wanted(part, names(at)))
		}
		at = next
	}
	return at, nil
}

var (
	unescape = strings.NewReplacer("~1", "/", "~0", "~")
	escape   = strings.NewReplacer("~", "~0", "/", "~1")
)

func isAny(part string) bool { return part == "…" || part == "..." }

func where(parts []string) string {
	if len(parts) == 0 {
		return "the document"
	}
	return pointerOf(parts)
}

func pointerOf(parts []string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + escape.Replace(p))
	}
	return b.String()
}

// child is a member or an element; the zero Raw: an object has none of the name.
func child(r strictjson.Raw, part string) (strictjson.Raw, error) {
	switch r.Kind() {
	case strictjson.Object:
		return r.Member(part), nil
	case strictjson.Array:
		i, err := strconv.Atoi(part)
		if err != nil || i < 0 || i >= len(r.Elems()) {
			return strictjson.Raw{}, fmt.Errorf("has no element %q; want 0 to %d", part, len(r.Elems())-1)
		}
		return r.Elems()[i], nil
	}
	return strictjson.Raw{}, fmt.Errorf("is %s, which has no parts", r.Shown())
}

func names(r strictjson.Raw) []string {
	var out []string
	for _, m := range r.Members() {
		out = append(out, m.Name)
	}
	return out
}

func wanted(part string, known []string) string {
	if hint := strictjson.DidYouMean(part, known); hint != "" {
		return hint
	}
	return "; want one of " + strings.Join(known, ", ")
}

// some are the first of many, for a message.
func some(all []string) string {
	const most = 8
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s … (%d more)", strings.Join(all[:most], ", "), len(all)-most)
}

// pointers are the places of all scalars of a document.
func pointers(r strictjson.Raw, path []string) []string {
	var out []string
	walk(r, path, func(path []string, r strictjson.Raw) {
		if r.Kind() != strictjson.Object && r.Kind() != strictjson.Array {
			out = append(out, pointerOf(path))
		}
	})
	return out
}

func walk(r strictjson.Raw, path []string, visit func([]string, strictjson.Raw)) {
	visit(path, r)
	for _, m := range r.Members() {
		walk(m.Value, append(slices.Clone(path), m.Name), visit)
	}
	for i, e := range r.Elems() {
		walk(e, append(slices.Clone(path), strconv.Itoa(i)), visit)
	}
}

// matching are the pointers of the places that a path with … fits: numbers
// before anything else, as it is a constant that one tries.
func matching(doc strictjson.Raw, parts []string) []string {
	var numbers, others []string
	walk(doc, nil, func(path []string, r strictjson.Raw) {
		switch {
		case !fits(path, parts) || len(path) == 0:
		case r.Kind() == strictjson.Number:
			numbers = append(numbers, pointerOf(path))
		default:
			others = append(others, pointerOf(path))
		}
	})
	if len(numbers) > 0 {
		return numbers
	}
	return others
}

func fits(path, parts []string) bool {
	switch {
	case len(parts) == 0:
		return len(path) == 0
	case isAny(parts[0]):
		return fits(path, parts[1:]) || len(path) > 0 && fits(path[1:], parts)
	}
	return len(path) > 0 && path[0] == parts[0] && fits(path[1:], parts[1:])
}

// expand gives the values of a list, of which some may be ranges.
func expand(text string) ([]string, error) {
	items, err := list(text)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, item := range items {
		from, rest, ok := strings.Cut(item, "..")
		if !ok || strings.ContainsAny(item, `"{[`) {
			out = append(out, item)
			continue
		}
		values, err := ranged(item, from, rest)
		if err != nil {
			return nil, err
		}
		out = append(out, values...)
	}
	return out, nil
}

// list cuts at the commas that are in no text and in no brackets.
func list(text string) ([]string, error) {
	var out []string
	depth, inString, start := 0, false, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ',' && depth == 0:
			out = append(out, text[start:i])
			start = i + 1
		}
	}
	out = append(out, text[start:])
	for i := range out {
		if out[i] = strings.TrimSpace(out[i]); out[i] == "" {
			return nil, fmt.Errorf("an empty value in %q; want values with commas between them", text)
		}
	}
	return out, nil
}

func ranged(text, from, rest string) ([]string, error) {
	to, step, ok := strings.Cut(rest, ":")
	if !ok {
		return nil, fmt.Errorf("%q; want a step too, such as %s:1", text, text)
	}
	var bounds [3]float64
	units := 0
	for i, t := range []string{from, to, step} {
		f, err := strconv.ParseFloat(t, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			d, ok := span(t)
			if !ok {
				return nil, fmt.Errorf("%q in %q is neither a number nor a duration; want a..b:step", t, text)
			}
			f = float64(d)
			units++
		}
		bounds[i] = f
	}
	low, high, by := bounds[0], bounds[1], bounds[2]
	steps := math.Floor((high-low)/by + 1e-9)
	switch {
	case units%3 != 0:
		return nil, fmt.Errorf("%q mixes numbers and durations; want one of them", text)
	case by == 0 || steps < 0 || math.IsNaN(steps):
		return nil, fmt.Errorf("%q never arrives; want a step that leads from the first to the second", text)
	case steps >= MaxVariants:
		return nil, fmt.Errorf("%q has %.0f values; want at most %d", text, steps+1, MaxVariants)
	}
	var out []string
	for i := range int(steps) + 1 {
		v := low + float64(i)*by
		if units > 0 {
			out = append(out, Span(time.Duration(v)))
		} else {
			out = append(out, strconv.FormatFloat(round(v, max(decimals(from), decimals(step))), 'f', -1, 64))
		}
	}
	return out, nil
}

// decimals is how many digits a number has behind its point.
func decimals(text string) int {
	if strings.ContainsAny(text, "eE") {
		return 12
	}
	_, behind, _ := strings.Cut(text, ".")
	return len(behind)
}

func round(f float64, decimals int) float64 {
	text := strconv.FormatFloat(f, 'f', decimals, 64)
	f, _ = strconv.ParseFloat(text, 64) // it has just been written
	return f
}

func span(text string) (time.Duration, bool) {
	raw, err := strictjson.Value("", text)
	if err != nil {
		return 0, false
	}
	d, err := duration.DecodeOrZero(raw)
	return d, err == nil
}

// Span writes a duration for people and for rules: 15m, 1h30m, 2d4h.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	if d < 0 {
		return "-" + Span(-d)
	}
	text := ""
	if d >= 2*day {
		text = strconv.Itoa(int(d/day)) + "d"
		if d %= day; d == 0 {
			return text
		}
	}
	short := d.String()
	if strings.HasSuffix(short, "m0s") {
		short = strings.TrimSuffix(short, "0s")
	}
	if strings.HasSuffix(short, "h0m") {
		short = strings.TrimSuffix(short, "0m")
	}
	return text + short
}

// value reads one value for the place that has now what is at.
func (s *Sweep) value(text string, at, doc strictjson.Raw) (Value, error) {
	last := s.path[len(s.path)-1]
	isCondition := last == "clearCondition" || len(s.path) > 1 && s.path[len(s.path)-2] == "conditions"
	if d, ok := span(text); text == none || ok && d == 0 && at.Kind() != strictjson.Number {
		if _, err := strconv.Atoi(last); err == nil {
			return Value{}, fmt.Errorf("%q takes a member out of an object; want values here", text)
		}
		return Value{Label: text}, nil
	}
	if isCondition && strings.ContainsAny(text[:1], "<>=!") {
		return s.comparison(text, doc)
	}
	raw, err := strictjson.Parse("", []byte(text))
	if err != nil && strings.ContainsAny(text[:1], `"{[`) {
		return Value{}, fmt.Errorf("%s is no JSON: %w", text, placeless(err))
	}
	if err != nil {
		raw, err = strictjson.Value("", text)
	}
	return Value{Label: text, JSON: raw.Text()}, err
}

// comparison is a condition, of the field that the rule's first condition reads.
func (s *Sweep) comparison(text string, doc strictjson.Raw) (Value, error) {
	op := text[:len(text)-len(strings.TrimLeft(text, "<>=!"))]
	number := strings.TrimSpace(text[len(op):])
	if !slices.Contains([]string{"<", "<=", ">", ">=", "==", "!=", "===", "!=="}, op) {
		return Value{}, fmt.Errorf("%q: no comparison %q; want one of <, <=, >, >=, ==, !=", text, op)
	}
	operand, err := strictjson.Parse("", []byte(number))
	if err != nil {
		return Value{}, fmt.Errorf("%q: want a number behind %s", text, op)
	}
	rule := doc
	for _, part := range s.path {
		if rule, err = child(rule, part); err != nil || !rule.Member("conditions").IsZero() {
			break
		}
	}
	field := ""
	walk(rule.Member("conditions"), nil, func(path []string, r strictjson.Raw) {
		if name := varOf(r); name != "" && field == "" {
			field = name
		}
	})
	if field == "" {
		return Value{}, fmt.Errorf("%q: the rule's conditions read no field to compare; want the whole condition as JSON", text)
	}
	quoted, err := strictjson.Value("", field)
	if err != nil {
		return Value{}, err
	}
	json := fmt.Sprintf(`{"jsonLogic":{%q:[{"var":%s},%s]}}`, op, quoted.Text(), operand.Text())
	return Value{Label: op + " " + number, JSON: []byte(json)}, nil
}

// varOf is the field that {"var":"x"} or {"var":["x", …]} reads; else "".
func varOf(r strictjson.Raw) string {
	v := r.Member("var")
	if len(r.Members()) != 1 {
		return ""
	}
	if v.Kind() == strictjson.Array && len(v.Elems()) > 0 {
		v = v.Elems()[0]
	}
	return v.Str()
}

// Name is what a column of the values is called: the member, or the operand of
// which comparison.
func (s *Sweep) Name(doc strictjson.Raw) string {
	last := s.path[len(s.path)-1]
	if _, err := strconv.Atoi(last); err != nil {
		return cmp.Or(last, s.Pointer)
	}
	if len(s.path) > 1 {
		if r, err := follow(doc, s.path[:len(s.path)-1]); err == nil {
			for _, e := range r.Elems() {
				if name := varOf(e); name != "" {
					return name + " " + s.path[len(s.path)-2]
				}
			}
		}
	}
	return pointerOf(s.path[max(0, len(s.path)-2):])[1:]
}

func follow(r strictjson.Raw, path []string) (strictjson.Raw, error) {
	for _, part := range path {
		var err error
		if r, err = child(r, part); err != nil {
			return r, err
		}
	}
	return r, nil
}

// RuleIndex is the place of the rule in the document that the sweep changes; -1:
// it is not within one.
func (s *Sweep) RuleIndex() int {
	if len(s.path) > 1 && s.path[0] == "rules" {
		if i, err := strconv.Atoi(s.path[1]); err == nil {
			return i
		}
	}
	return -1
}

// Variant is a document with one value of each sweep.
type Variant struct {
	Values     []Value // of each sweep; none: as it is written
	Program    *rules.Program
	Configured bool // it means what the document says
}

// Variants are the documents of all combinations of the sweeps' values. Where
// none of them is the document itself, that comes first.
func Variants(name string, text []byte, sweeps []Sweep) ([]Variant, error) {
	configured, err := rules.Load(name, text)
	if err != nil {
		return nil, err
	}
	n := 1
	for _, s := range sweeps {
		if n *= len(s.Values); n > MaxVariants {
			return nil, fmt.Errorf("--sweep: %s values make more than %d combinations; want fewer", product(sweeps), MaxVariants)
		}
	}
	var out []Variant
	var errs []error
	found := false
	for i := range n {
		v, err := variant(name, text, sweeps, i)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		v.Configured = v.Program.Hash() == configured.Hash()
		found = found || v.Configured
		out = append(out, v)
	}
	if len(errs) > 0 {
		return nil, few(errs)
	}
	if !found {
		out = slices.Insert(out, 0, Variant{Program: configured, Configured: true})
	}
	return out, nil
}

func product(sweeps []Sweep) string {
	var counts []string
	for _, s := range sweeps {
		counts = append(counts, strconv.Itoa(len(s.Values)))
	}
	return strings.Join(counts, " × ")
}

// few are the first of many errors, each once.
func few(errs []error) error {
	const most = 5
	var once []error
	for _, err := range errs {
		if !slices.ContainsFunc(once, func(e error) bool { return e.Error() == err.Error() }) {
			once = append(once, err)
		}
	}
	if len(once) > most {
		once = append(once[:most:most], fmt.Errorf("… %d more", len(once)-most))
	}
	return errors.Join(once...)
}

// variant is the i-th combination; the last sweep's values change fastest.
func variant(name string, text []byte, sweeps []Sweep, i int) (Variant, error) {
	v := Variant{Values: make([]Value, len(sweeps))}
	var said []string
	for j, s := range slices.Backward(sweeps) {
		v.Values[j] = s.Values[i%len(s.Values)]
		i /= len(s.Values)
		said = append(said, s.Pointer+"="+v.Values[j].Label)
	}
	for j, s := range sweeps {
		doc, err := strictjson.Parse(name, text)
		if err != nil {
			return v, err
		}
		if text, err = change(doc, s.path, v.Values[j].JSON); err != nil {
			return v, fmt.Errorf("--sweep %s: %w", s.Pointer, err)
		}
	}
	var err error
	if v.Program, err = rules.Load(name, text); err != nil {
		slices.Reverse(said)
		return v, fmt.Errorf("--sweep %s: %w", strings.Join(said, " --sweep "), placeless(err))
	}
	return v, nil
}

// placeless takes the lines and columns from an error: they are of a document
// that nobody has seen.
func placeless(err error) error {
	es, ok := errors.AsType[strictjson.Errors](err)
	if !ok {
		return err
	}
	var out []string
	for _, e := range es {
		if e.Pointer != "" {
			out = append(out, e.Pointer+": "+e.Err.Error())
		} else {
			out = append(out, e.Err.Error())
		}
	}
	return errors.New(strings.Join(out, "; "))
}

// change writes the document with another value at a path; nil: the member goes.
func change(r strictjson.Raw, path []string, value []byte) ([]byte, error) {
	if len(path) == 0 {
		return value, nil
	}
	var b bytes.Buffer
	separate := func(open byte) {
		if b.Len() > 0 {
			open = ','
		}
		b.WriteByte(open)
	}
	switch r.Kind() {
	case strictjson.Array:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(r.Elems()) {
			return nil, fmt.Errorf("no element %q", path[0])
		}
		for j, e := range r.Elems() {
			separate('[')
			text := e.Text()
			if i == j {
				if text, err = change(e, path[1:], value); err != nil {
					return nil, err
				}
			}
			b.Write(text)
		}
		b.WriteByte(']')
		return b.Bytes(), nil
	case strictjson.Object:
		found := false
		member := func(name string, v strictjson.Raw) error {
			text := v.Text()
			if name == path[0] {
				found = true
				var err error
				if text, err = change(v, path[1:], value); err != nil {
					return err
				}
				if text == nil {
					return nil
				}
			}
			quoted, err := strictjson.Value("", name)
			if err != nil {
				return err
			}
			separate('{')
			b.Write(quoted.Text())
			b.WriteByte(':')
			b.Write(text)
			return nil
		}
		for _, m := range r.Members() {
			if err := member(m.Name, m.Value); err != nil {
				return nil, err
			}
		}
		if !found {
			if err := member(path[0], strictjson.Raw{}); err != nil {
				return nil, err
			}
		}
		if b.Len() == 0 {
			b.WriteByte('{')
		}
		b.WriteByte('}')
		return b.Bytes(), nil
	}
	return nil, fmt.Errorf("%s has no parts", r.Shown())
}
