package rules

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
)

// decoder gathers what is wrong with the form of a document.
type decoder struct {
	forgiving bool // what is not known is noted, and no error: here it may be of another's engine
	errs      []error
	warnings  []error
	unknowns  []error // fields that were left out
}

// fields are the members that an object takes, each with the pointer it is read into.
type fields map[string]any

func (d *decoder) object(r strictjson.Raw, known fields) {
	if r.IsZero() {
		return
	}
	if r.Kind() != strictjson.Object {
		d.wrong(r, strictjson.Object, "an object")
		return
	}
	for _, m := range r.Members() {
		if into, ok := known[m.Name]; ok {
			d.errs = append(d.errs, m.Value.Decode(into))
			continue
		}
		d.unknown(strictjson.Unknown(r, m, slices.Collect(maps.Keys(known))))
	}
}

func (d *decoder) array(r strictjson.Raw) []strictjson.Raw {
	if !r.IsZero() && r.Kind() != strictjson.Array {
		d.wrong(r, strictjson.Array, "an array")
	}
	return r.Elems()
}

// wrong complains about a value; takes is the type of those that are fine.
func (d *decoder) wrong(r strictjson.Raw, takes strictjson.Kind, want string) {
	d.errs = append(d.errs, r.Wrong(takes, want))
}

func (d *decoder) unknown(err error) {
	if d.forgiving {
		d.unknowns = append(d.unknowns, err)
	} else {
		d.errs = append(d.errs, err)
	}
}

func (d *decoder) source(r strictjson.Raw) SourceSpec {
	s := SourceSpec{Refresh: DefaultRefresh, Cleanup: DefaultCleanup, raw: r}
	var feeds, refresh, cleanup strictjson.Raw
	var filter *Filter
	var model *string
	d.object(r, fields{
		"id":           (*named)(&s.ID),
		"feeds":        &feeds,
		"filter":       &filter,
		"modelDid":     &model,
		"refreshRateS": &refresh,
		"cleanupRateS": &cleanup,
	})
	for _, f := range d.array(feeds) {
		s.Feeds = append(s.Feeds, d.sourceFeed(f))
	}
	if filter != nil {
		s.Filter = *filter
	}
	if model != nil {
		s.ModelDID = *model
	}
	d.seconds(refresh, &s.Refresh, 1, "a number of seconds from 1 to 31622400, such as 300")
	d.seconds(cleanup, &s.Cleanup, 0, "a number of seconds from 0 (never) to 31622400, such as 900")
	return s
}

func (d *decoder) sourceFeed(r strictjson.Raw) SourceFeed {
	f := SourceFeed{raw: r}
	d.object(r, fields{"id": (*named)(&f.ID), "fieldIds": (*names)(&f.FieldIDs)})
	return f
}

// maxSeconds is 366 days: what is longer is a mistake of unit.
const maxSeconds = 366 * 24 * 60 * 60

func (d *decoder) seconds(r strictjson.Raw, into *time.Duration, least float64, want string) {
	if r.IsZero() {
		return
	}
	n, ok := r.Any().(float64)
	if !ok || n < least || n > maxSeconds {
		d.wrong(r, strictjson.Number, want)
		return
	}
	ms := math.Round(n * 1000)
	if n > 0 {
		ms = max(ms, 1)
	}
	*into = time.Duration(ms) * time.Millisecond
}

// kinds are the kinds of rules, each with what reads it.
var kinds = map[string]func(*decoder, strictjson.Raw) RuleSpec{
	"transformation": (*decoder).transformation,
	"alert":          (*decoder).alert,
	"sticker":        (*decoder).stickerRule,
	"notification":   (*decoder).noticeRule,
}

var kindNames = []string{"alert", "notification", "sticker", "transformation"}

func (d *decoder) rule(r strictjson.Raw) RuleSpec {
	if r.Kind() != strictjson.Object {
		d.wrong(r, strictjson.Object, "an object with one kind of rule")
		return RuleSpec{raw: r}
	}
	var found []string
	spec := RuleSpec{raw: r}
	for _, m := range r.Members() {
		decode, ok := kinds[m.Name]
		if !ok {
			d.errs = append(d.errs, m.Key.As(CodeKind).Renamed(m.Name, kindNames).Errorf("unknown kind of rule %q%s", m.Name, nearest(m.Name, kindNames)))
			continue
		}
		found = append(found, m.Name)
		forgiving := d.forgiving
		d.forgiving = forgiving && m.Name == "transformation" // the others are nobody else's
		spec = decode(d, m.Value)
		d.forgiving = forgiving
	}
	switch {
	case len(found) > 1:
		d.errs = append(d.errs, r.At.Start().As(CodeKind).Errorf("a rule of %d kinds (%s); want exactly one", len(found), strings.Join(found, ", ")))
	case len(r.Members()) == 0:
		d.errs = append(d.errs, r.At.As(CodeKind).Errorf("a rule without a kind; want one of %s", strings.Join(kindNames, ", ")))
	}
	return spec
}

func (d *decoder) transformation(r strictjson.Raw) RuleSpec {
	t := new(Transformation)
	spec := d.common(r, fields{
		"outputFeedId":     (*named)(&t.FeedID),
		"outputFieldId":    (*named)(&t.FieldID),
		"outputTrueValue":  &t.True,
		"outputFalseValue": &t.False,
	})
	for _, value := range []strictjson.Raw{t.True, t.False} {
		if value.Kind() == strictjson.Object || value.Kind() == strictjson.Array {
			d.wrong(value, strictjson.String, "a string, a number, true, false or null")
		}
	}
	spec.Transformation = t
	return spec
}

func (d *decoder) alert(r strictjson.Raw) RuleSpec {
	a := &AlertSpec{Does: Alert}
	var stickers, notices strictjson.Raw
	spec := d.alertOf(r, a, fields{
		"description":   (*named)(&a.Description),
		"runbook":       (*named)(&a.Runbook),
		"labels":        &a.Labels,
		"stickers":      &stickers,
		"notifications": &notices,
	})
	for _, e := range d.array(stickers) {
		a.Stickers = append(a.Stickers, d.sticker(e))
	}
	for _, e := range d.array(notices) {
		a.Notices = append(a.Notices, d.notice(e))
	}
	return spec
}

// alertOf reads what an alert has of which nobody need be told, and the kind's own.
func (d *decoder) alertOf(r strictjson.Raw, a *AlertSpec, own fields) RuleSpec {
	own["severity"], own["summary"] = (*severity)(&a.Severity), (*named)(&a.Summary)
	spec := d.common(r, own)
	a.Label = r.Member("severity").Str()
	spec.Alert = a
	return spec
}

// common reads the fields that every kind has, and the kind's own.
func (d *decoder) common(r strictjson.Raw, own fields) RuleSpec {
	spec := RuleSpec{raw: r}
	var conditions, mode strictjson.Raw
	known := fields{
		"id":           (*named)(&spec.ID),
		"mode":         &mode,
		"shadowOf":     (*named)(&spec.ShadowOf),
		"sourceId":     (*named)(&spec.SourceID),
		"sourceFeedId": (*named)(&spec.SourceFeedID),
		"conditions":   &conditions,
	}
	maps.Copy(known, own)
	for _, name := range statefulNames {
		known[name] = new(strictjson.Raw)
	}
	d.object(r, known)
	spec.Mode = d.mode(mode)
	d.stateful(r, &spec.Stateful)
	for _, c := range d.array(conditions) {
		spec.Conditions = append(spec.Conditions, d.condition(c))
	}
	return spec
}

// mode is the one that is written, or the default.
func (d *decoder) mode(r strictjson.Raw) string {
	mode := ModeLive
	d.word(r, &mode, ModeLive, ModeShadow)
	return mode
}

func (d *decoder) condition(r strictjson.Raw) Condition {
	c := Condition{raw: r}
	d.object(r, fields{"jsonLogic": &c.Logic, "fieldsIncludedInOutput": (*names)(&c.Included)})
	return c
}

// named is a text that must say something.
type named string

// DecodeStrict reads the text.
func (n *named) DecodeStrict(r strictjson.Raw) error {
	if r.Str() == "" {
		return r.Wrong(strictjson.String, "a text that is not empty")
	}
	*n = named(r.Str())
	return nil
}

// names is a list of them.
type names []string

// DecodeStrict reads the list.
func (n *names) DecodeStrict(r strictjson.Raw) error {
	var list []named
	if err := r.Decode(&list); err != nil {
		return err
	}
	for _, name := range list {
		*n = append(*n, string(name))
	}
	return nil
}

// severity is one of the canonical words, or another system's word for it.
type severity string

// severities are the words that are understood, each with the canonical one.
var severities = map[string]severity{
	"critical": "critical", "crit": "critical", "fatal": "critical", "page": "critical", "emergency": "critical",
	"major": "major", "high": "major", "error": "major", "significant": "major",
	"minor": "minor", "medium": "minor", "normal": "minor",
	"warning": "warning", "low": "warning", "warn": "warning",
	"info": "info", "indeterminate": "info", "notice": "info", "none": "info",
}

// severityRank orders the canonical words; 0 for none.
func severityRank(word string) int {
	return 1 + slices.Index([]string{"info", "warning", "minor", "major", "critical"}, word)
}

// DecodeStrict reads the word in either case: ThingsBoard and Oracle shout.
func (s *severity) DecodeStrict(r strictjson.Raw) error {
	const want = "want one of critical, major, minor, warning, info"
	if r.Kind() != strictjson.String {
		return r.At.As(strictjson.WrongType).Errorf("got %s; %s", r.Shown(), want)
	}
	found, ok := CanonicalSeverity(r.Str())
	if !ok {
		known := slices.Collect(maps.Keys(severities))
		hint := strictjson.DidYouMean(r.Str(), known)
		if hint == "" {
			hint = "; " + want
		}
		return r.At.Renamed(r.Str(), known).Errorf("unknown severity %s%s", r.Shown(), hint)
	}
	*s = severity(found)
	return nil
}

// CanonicalSeverity is the canonical word for a severity's word of this or of
// another system, in either case; false when it is none.
func CanonicalSeverity(word string) (string, bool) {
	found, ok := severities[strings.ToLower(word)]
	return string(found), ok
}

// nearest is the hint for a name that is not one of known.
func nearest(written string, known []string) string {
	if hint := strictjson.DidYouMean(written, known); hint != "" {
		return hint
	}
	const most = 12
	sorted := slices.Compact(slices.Sorted(slices.Values(known)))
	if len(sorted) == 1 {
		return "; want " + quoted(sorted[0])
	}
	if len(sorted) > most {
		sorted = append(sorted[:most], "…")
	}
	return "; want one of " + strings.Join(sorted, ", ")
}
