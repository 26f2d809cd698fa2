package lint

import (
	"slices"
	"strings"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/logic"
)

// Checked is what was found out about an interaction.
type Checked struct {
	Diagnostics []Diagnostic
	ID          string
	At          strictjson.Place // of the id, or of the document without one
	Rules       int
	Sources     int
}

// Interaction says everything about an interaction. models are what is known of
// the twins; nil when nothing is.
func Interaction(d *Document, models Models) Checked {
	if d.Raw.IsZero() {
		return Checked{Diagnostics: d.Report()}
	}
	doc := d.load()
	in := &doc.in
	l := &linter{in: in, feeds: newCatalogue(in, models), errs: []error{doc.err}}
	if doc.program != nil {
		l.errs = append(l.errs, doc.program.Warnings()...)
	}
	l.run()
	return Checked{
		Diagnostics: d.Report(l.errs...), ID: in.ID, At: memberAt(in.Raw(), "id"), Rules: len(in.Rules), Sources: len(in.Sources),
	}
}

// Model is what the interaction's output twins are to others that read them: a
// model of the interaction's own id.
func (d *Document) Model() (Model, bool) {
	doc := d.load()
	if doc.err != nil {
		return Model{}, false
	}
	m := Model{Twin: doc.in.ID, Feeds: slices.Clone(doc.program.Feeds()), Values: map[Cell][]any{}}
	for _, r := range doc.in.Rules {
		if r.Transformation != nil {
			m.written(r)
		}
	}
	return m, true
}

// written notes what a rule writes to a feed: one of its values, and the fields
// that it includes.
func (m *Model) written(r rules.RuleSpec) {
	t := r.Transformation
	cell := Cell{t.FeedID, t.FieldID}
	for _, value := range []strictjson.Raw{t.True, t.False} {
		if v := value.Any(); v != nil && !slices.Contains(m.Values[cell], v) {
			m.Values[cell] = append(m.Values[cell], v)
		}
	}
	feed := &m.Feeds[slices.IndexFunc(m.Feeds, func(f rules.Feed) bool { return f.ID == t.FeedID })]
	for _, c := range r.Conditions {
		for _, name := range c.Included {
			if !slices.ContainsFunc(feed.Values, func(v rules.Value) bool { return v.Label == name }) {
				feed.Values = append(slices.Clip(feed.Values), rules.Value{Label: name})
			}
		}
	}
}

// linter gathers what there is to say about one interaction.
type linter struct {
	in    *rules.Interaction
	feeds *catalogue
	errs  []error
}

func (l *linter) say(at strictjson.Place, code strictjson.Code, format string, args ...any) {
	l.errs = append(l.errs, at.As(code).Errorf(format, args...))
}

func (l *linter) run() {
	l.declared()
	l.outputs()
	l.stickers()
	l.notes()
	for i := range l.in.Rules {
		spec := &l.in.Rules[i]
		if spec.Transformation == nil && spec.Alert == nil {
			continue
		}
		s := &scope{linter: l, spec: spec, source: l.sourceOf(spec.SourceID)}
		s.rule()
	}
}

// sourceOf is the index of a source; -1 when there is none of that id.
func (l *linter) sourceOf(id string) int {
	return slices.IndexFunc(l.in.Sources, func(s rules.SourceSpec) bool { return s.ID == id })
}

// outputs checks what rules write to the output twin's feeds.
func (l *linter) outputs() {
	type written struct{ feed, field string }
	first := map[written]*rules.RuleSpec{}
	for i := range l.in.Rules {
		spec := &l.in.Rules[i]
		t := spec.Transformation
		if t == nil || t.FeedID == "" || t.FieldID == "" {
			continue
		}
		key := written{t.FeedID, t.FieldID}
		other := first[key]
		if other == nil {
			first[key] = spec
			continue
		}
		if other.SourceID == spec.SourceID && other.SourceFeedID == spec.SourceFeedID {
			continue // an error, of the compiler
		}
		l.say(spec.Raw().Member("outputFieldId").At, codeOneOutput,
			"field %q of output feed %q is written from feed %q too (rule %d), so a twin that has both gets now the one, now the other; want a field of its own",
			t.FieldID, t.FeedID, other.SourceFeedID, slices.IndexFunc(l.in.Rules, func(r rules.RuleSpec) bool { return r.Transformation == other.Transformation })+1)
	}
}

// stickers checks that what is put goes again.
func (l *linter) stickers() {
	removed := map[string]bool{}
	for _, s := range l.allStickers() {
		removed[s.Color] = removed[s.Color] || s.Op == rules.RemoveSticker
	}
	for _, s := range l.allStickers() {
		if s.Op == rules.PutSticker && !s.TakeOff && s.Validity == 0 && s.Until.IsZero() && !removed[s.Color] {
			l.say(memberAt(s.Raw(), "color"), codeStays, `sticker %q stays for a year unless a recipient takes it off: no rule removes it, and it has no validity; want "validity", such as "24h", or "removeOnClear":true`, s.Color)
		}
	}
}

// allStickers are those of all rules.
func (l *linter) allStickers() (out []rules.StickerSpec) {
	for i := range l.in.Rules {
		if a := l.in.Rules[i].Alert; a != nil {
			out = append(out, a.Stickers...)
		}
	}
	return out
}

// notes are said about what is fine.
func (l *linter) notes() {
	for i := range l.in.Sources {
		filter := l.in.Sources[i].Raw().Member("filter")
		if t := filter.Member("text"); t.Kind() == strictjson.Null {
			l.say(t.At, codeTaken, `filter.text null means "no text filter"`)
		}
	}
	for i := range l.in.Rules {
		spec := &l.in.Rules[i]
		if t := spec.Transformation; t != nil && len(spec.Conditions) > 0 && !remembers(spec) && t.True.Kind() > strictjson.Null {
			l.say(t.True.At, codeOften, `%s is emitted on every sample; add "emit":"onChange", or an alert rule for one alert per episode`, t.True.Shown())
		}
		if a := spec.Alert; a != nil && a.Label != a.Severity && a.Severity != "" {
			l.say(spec.Raw().Member("severity").At, codeTaken, "severity %q is taken as %q", a.Label, a.Severity)
		}
	}
}

func remembers(spec *rules.RuleSpec) bool {
	return slices.ContainsFunc(rules.StatefulFields(), func(name string) bool { return !spec.Raw().Member(name).IsZero() })
}

// scope is where the expressions of one rule are judged.
type scope struct {
	*linter
	spec    *rules.RuleSpec
	source  int
	element bool // now inside what map, filter and the like ask of each element
}

// rule checks the expressions of a rule.
func (s *scope) rule() {
	var conditions []*test
	for _, c := range s.spec.Conditions {
		if t := s.condition(c.Logic); t != nil {
			conditions = append(conditions, t)
		}
		s.included(c)
	}
	s.together(conditions)
	if c := s.spec.ClearCondition; c != nil {
		s.overlap(conditions, s.condition(c.Logic))
	}
	for _, level := range s.spec.Levels {
		t, clearing := s.condition(level.Logic), s.condition(level.Clear)
		if t != nil {
			s.overlap([]*test{t}, clearing)
		}
	}
	if q := s.spec.Sequence; q != nil {
		for _, step := range q.Steps {
			s.condition(step.Logic)
		}
	}
}

// included checks the units of fields that go out under the same name.
func (s *scope) included(c rules.Condition) {
	t := s.spec.Transformation
	if t == nil {
		return
	}
	at := slices.IndexFunc(s.in.Feeds, func(f rules.Feed) bool { return f.ID == t.FeedID })
	if at < 0 {
		return
	}
	for i, name := range c.Included {
		f := s.variable(name)
		for _, v := range s.in.Feeds[at].Values {
			if v.Label != name || v.Unit == "" || f.unit == "" || v.Unit == f.unit {
				continue
			}
			place := c.Raw().Member("fieldsIncludedInOutput").Elems()[i].At
			s.say(place, codeUnit, "%q is in %s, and output feed %q says %s; a field that is included goes out as it came, so want one unit", name, unitName(f.unit), t.FeedID, unitName(v.Unit))
		}
	}
}

// variable is what is known of what an expression reads by the path.
func (s *scope) variable(path string) *field {
	first, rest, _ := strings.Cut(path, ".")
	switch first {
	case "$rate", "$agg":
		f := newField("", path)
		f.kinds = number
		return f
	case "steps":
		if s.spec.Sequence != nil {
			_, path, _ = strings.Cut(rest, ".")
		}
	}
	for _, j := range s.spec.Joins {
		if j.As == first {
			return s.feeds.field(s.sourceOf(j.SourceID), j.SourceFeedID, rest)
		}
	}
	for _, e := range s.spec.Enrichments {
		if e.As == first {
			return newField("", path)
		}
	}
	return s.feeds.field(s.source, s.spec.SourceFeedID, path)
}

// condition checks one expression; nil when it cannot be judged.
func (s *scope) condition(raw strictjson.Raw) *test {
	if raw.IsZero() {
		return nil
	}
	expr, err := logic.Compile(raw)
	if err != nil {
		return nil // the loader says it
	}
	t := s.newTest(raw, expr)
	before := len(s.errs)
	s.undescribed(expr)
	answer := s.expression(raw)
	s.answer(raw, answer)
	if len(s.errs) == before { // else it is wrong for a reason that was said
		s.unreached(t)
		s.absent(t)
	}
	if len(s.errs) == before {
		s.constant(t)
	}
	return t
}

// undescribed checks what an expression reads where only the twins say what
// there is: what the source declares, the compiler has checked.
func (s *scope) undescribed(expr *logic.Expr) {
	if s.source < 0 {
		return
	}
	source := &s.in.Sources[s.source]
	at := slices.IndexFunc(source.Feeds, func(f rules.SourceFeed) bool { return f.ID == s.spec.SourceFeedID })
	if at < 0 || len(source.Feeds[at].FieldIDs) > 0 {
		return
	}
	labels := s.feeds.labels(s.source, s.spec.SourceFeedID)
	if len(labels) == 0 {
		return
	}
	made := []string{"$rate", "$agg", "steps"}
	for _, j := range s.spec.Joins {
		made = append(made, j.As)
	}
	for _, e := range s.spec.Enrichments {
		made = append(made, e.As)
	}
	for _, v := range expr.Vars() {
		if slices.Contains(made, v.Parts[0]) || slices.ContainsFunc(labels, func(label string) bool { return covers(label, v.Path) || covers(v.Path, label) }) {
			continue
		}
		s.say(v.Place.Noting("unknown on every sample: this condition never decides").Renamed(v.Path, labels), rules.CodeField,
			"no twin's feed %q has a field %q%s", s.spec.SourceFeedID, v.Path, nearest(v.Path, labels))
	}
}

// answer checks what a condition comes to.
func (s *scope) answer(raw strictjson.Raw, v value) {
	switch {
	case raw.Kind() == strictjson.Array:
		s.say(raw.At, codeList, `a list is true whenever it has an element; want {"and":[…]} around them, or one condition for each`)
	case raw.Kind() == strictjson.String:
		s.say(raw.At, codeNoAnswer, `the text %s is a value and no question; want an operation such as {">":[{"var":"temperature"},30]}`, raw.Shown())
	case v.kinds.only(number | text | list | object):
		s.say(raw.At, codeNoAnswer, "the condition comes to %s, which is true unless it is %s; want a comparison", v.kinds, v.kinds.untruth())
	}
}

func (k kinds) String() string {
	switch {
	case k.only(number):
		return "a number"
	case k.only(text):
		return "a text"
	case k.only(list):
		return "a list"
	case k.only(boolean):
		return "true or false"
	}
	return "a value"
}

// untruth is the value of the kind that counts as false.
func (k kinds) untruth() string {
	switch {
	case k.only(number):
		return "0"
	case k.only(text), k.only(list):
		return "empty"
	}
	return "empty or 0"
}
