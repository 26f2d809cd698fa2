package rules

import (
	"slices"
	"strings"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/duration"
	"tocsin.internal/rules/logic"
)

func (c *compiler) rules() {
	if len(c.in.Rules) == 0 {
		c.missing(c.in.raw, "rules")
		c.warnf(at(c.in.raw, "rules").As(CodeNoRules), "no rules; this interaction decides nothing")
	}
	for i := range c.in.Rules {
		spec := &c.in.Rules[i]
		switch {
		case spec.Transformation != nil:
			c.transformation(spec, c.rule(spec))
		case spec.Alert != nil:
			c.alert(spec, c.rule(spec))
		case spec.raw.IsZero(): // else Decode has complained
			c.errorf(strictjson.Place{}.As(CodeKind), "rule %d has no kind", i)
		}
	}
}

// rule compiles what all kinds have in common.
func (c *compiler) rule(spec *RuleSpec) *rule {
	r := &rule{name: spec.name(), kind: spec.kind(), shadow: c.isShadow(spec), shadowOf: spec.ShadowOf, index: len(c.p.rules), feed: spec.SourceFeedID}
	c.named(spec)
	source, feed := c.readFrom(spec)
	r.source = source
	r.shared = c.planOf(r)
	r.plan, r.feedSlot = r.shared, r.shared.slot
	c.stateful(spec, r)
	pl := r.plan
	r.at = len(pl.rules)
	pl.rules = append(pl.rules, r)
	c.conditions(spec, r, feed, pl)
	c.finish(spec, r, feed)
	r.hash = spec.hash(r.shadow)
	c.p.rules = append(c.p.rules, r)
	return r
}

func (spec *RuleSpec) name() string {
	if spec.ID != "" || spec.Transformation == nil {
		return spec.ID
	}
	return strings.Join([]string{spec.SourceID, spec.SourceFeedID, spec.Transformation.FeedID, spec.Transformation.FieldID}, ".")
}

func (spec *RuleSpec) kind() string {
	if spec.Alert != nil {
		return string(spec.Alert.Does)
	}
	return "transformation"
}

// isShadow says whether nobody is told of what the rule decides.
func (c *compiler) isShadow(spec *RuleSpec) bool {
	return c.in.Mode == ModeShadow || spec.Mode == ModeShadow
}

// modes checks what is said of modes. A rule that is named by shadowOf may come
// later in the document.
func (c *compiler) modes() {
	if c.in.ShadowOf != "" && c.in.Mode != ModeShadow {
		c.errorf(at(c.in.raw, "shadowOf").As(CodeNeeds), `"shadowOf" is of an interaction with "mode":"shadow"`)
	}
	for i := range c.in.Rules {
		spec := &c.in.Rules[i]
		written := spec.raw.Member("mode").Str()
		switch {
		case c.in.Mode == ModeShadow && written == ModeLive:
			c.errorf(at(spec.raw, "mode").As(CodeContradicts), "a live rule in an interaction that is a shadow as a whole; want it left out, or the interaction live")
		case spec.ShadowOf != "" && !c.isShadow(spec):
			c.errorf(at(spec.raw, "shadowOf").As(CodeNeeds), `"shadowOf" is of a rule with "mode":"shadow"`)
		case spec.ShadowOf != "" && !strings.Contains(spec.ShadowOf, "/"):
			c.shadowOf(spec)
		}
	}
}

// shadowOf checks that there is a rule of that name in the interaction.
func (c *compiler) shadowOf(spec *RuleSpec) {
	place := at(spec.raw, "shadowOf")
	other := c.names[spec.ShadowOf]
	switch {
	case c.in.Mode == ModeShadow:
		c.errorf(place, `want "INTERACTION/RULE": all rules of this interaction are shadows`)
	case other == nil:
		var live []string
		for name, s := range c.names {
			if !c.isShadow(s) {
				live = append(live, name)
			}
		}
		c.unknown(place, "no rule "+quoted(spec.ShadowOf), spec.ShadowOf, live)
	case c.isShadow(other):
		c.errorf(place, "rule %q is a shadow itself; want a live one", spec.ShadowOf)
	}
}

// hash is the same as long as the rule asks the same of the same feed, and tells
// of it or does not.
func (spec *RuleSpec) hash(shadow bool) string {
	asked := RuleSpec{SourceID: spec.SourceID, SourceFeedID: spec.SourceFeedID, Transformation: &Transformation{}}
	if shadow {
		asked.Mode = ModeShadow
	}
	for _, condition := range spec.Conditions {
		asked.Conditions = append(asked.Conditions, Condition{Logic: condition.Logic})
	}
	if spec.Alert != nil && spec.Alert.Does != Alert {
		asked.ID = string(spec.Alert.Does) // another kind begins anew
	}
	text := asked.appendJSON(nil)
	for _, name := range statefulNames {
		m := spec.raw.Member(name)
		if m.IsZero() || !statefulFields[name].means || name == "schedule" && (spec.Schedule == nil || spec.Schedule.Notify()) {
			continue
		}
		text = appendMeaning(append(append(append(text[:len(text)-2], `,"`...), name...), `":`...), m)
		text = append(text, "}}"...)
	}
	return fingerprint(text)
}

// appendMeaning appends a field with its durations in one spelling.
func appendMeaning(b []byte, r strictjson.Raw) []byte {
	switch r.Kind() {
	case strictjson.Object:
		b = append(b, '{')
		for i, m := range r.Members() {
			b = append(AppendText(appendComma(b, i), m.Name), ':')
			if m.Name == "jsonLogic" || m.Name == "not" {
				b = appendRaw(b, m.Value)
			} else {
				b = appendMeaning(b, m.Value)
			}
		}
		return append(b, '}')
	case strictjson.String:
		if d, err := duration.Decode(r); err == nil {
			return duration.Append(b, d)
		}
	}
	return appendRaw(b, r)
}

func (c *compiler) named(spec *RuleSpec) {
	if spec.ID == "" && spec.Alert != nil {
		c.missing(spec.raw, "id")
	}
	name := spec.name()
	other, twice := c.names[name]
	switch {
	case name == "":
	case !twice:
		c.names[name] = spec
	case spec.ID != "":
		c.errorf(at(spec.raw, "id").As(strictjson.NotUnique), "rule %q is there twice; want each name once", name)
	case c.isShadow(other) != c.isShadow(spec), other.ID != "" || other.SourceID != spec.SourceID || other.SourceFeedID != spec.SourceFeedID:
		c.errorf(spec.raw.At.Start().As(strictjson.NotUnique), "another rule is called %q too; want an id for this one", name)
	} // two that make the same field of the same feed are a matter of clashes
}

// readFrom finds the rule's source, -1 when there is none, and its feed, nil when there is none.
func (c *compiler) readFrom(spec *RuleSpec) (int, *SourceFeed) {
	if spec.SourceID == "" {
		c.missing(spec.raw, "sourceId")
	}
	if spec.SourceFeedID == "" {
		c.missing(spec.raw, "sourceFeedId")
	}
	if spec.SourceID == "" {
		return -1, nil
	}
	var ids []string
	for i := range c.in.Sources {
		s := &c.in.Sources[i]
		if s.ID == spec.SourceID {
			return i, c.feedOf(spec, s)
		}
		ids = append(ids, s.ID)
	}
	if len(ids) == 0 && !c.in.raw.IsZero() && c.in.raw.Member("sources").Kind() != strictjson.Array {
		return -1, nil // there is another complaint
	}
	c.unknown(at(spec.raw, "sourceId").As(CodeSource), "no source "+quoted(spec.SourceID), spec.SourceID, ids)
	return -1, nil
}

func (c *compiler) feedOf(spec *RuleSpec, s *SourceSpec) *SourceFeed {
	if f := s.feed(spec.SourceFeedID); f != nil || spec.SourceFeedID == "" || len(s.Feeds) == 0 {
		return f // or there is another complaint
	}
	var ids []string
	for _, f := range s.Feeds {
		ids = append(ids, f.ID)
	}
	c.unknown(at(spec.raw, "sourceFeedId").As(CodeFeed), "source "+quoted(s.ID)+" has no feed "+quoted(spec.SourceFeedID), spec.SourceFeedID, ids)
	return nil
}

func (s *SourceSpec) feed(id string) *SourceFeed {
	i := slices.IndexFunc(s.Feeds, func(f SourceFeed) bool { return f.ID == id })
	if i < 0 {
		return nil
	}
	return &s.Feeds[i]
}

// unknown complains about a reference to something that is not there. With a
// nameless candidate, which has its own complaint, it may be that one.
func (c *compiler) unknown(at strictjson.Place, what, written string, known []string) {
	switch {
	case slices.Contains(known, ""):
	case len(known) == 0:
		c.errorf(at, "%s; there is none", what)
	default:
		c.errorf(at.Renamed(written, known), "%s%s", what, nearest(written, known))
	}
}

func (c *compiler) conditions(spec *RuleSpec, r *rule, feed *SourceFeed, pl *plan) {
	if len(spec.Conditions) == 0 && !spec.asksOtherwise() {
		c.missing(spec.raw, "conditions")
		if list := spec.raw.Member("conditions"); list.Kind() == strictjson.Array {
			c.errorf(list.At, "an empty list; want at least one condition")
		}
	}
	for i := range spec.Conditions {
		condition := &spec.Conditions[i]
		if condition.Logic.IsZero() {
			c.missing(condition.raw, "jsonLogic")
			continue
		}
		expr, err := logic.Compile(condition.Logic)
		if err != nil {
			c.errs = append(c.errs, err)
			continue
		}
		r.conditions = append(r.conditions, expr)
		c.inputs(expr, spec, r, feed)
		c.included(spec, condition, r, feed, pl)
	}
}

// asksOtherwise says whether a rule asks something without conditions.
func (spec *RuleSpec) asksOtherwise() bool {
	return spec.Absent != nil || spec.Unchanged != nil || spec.Geofence != nil || spec.Sequence != nil || len(spec.Levels) > 0
}

// inputs checks that the feed's fieldIds cover what the expression reads.
func (c *compiler) inputs(expr *logic.Expr, spec *RuleSpec, r *rule, feed *SourceFeed) {
	for _, v := range expr.Vars() {
		if r.stateful.makes(v.Parts[0]) {
			c.made(spec, r.stateful, v)
			continue
		}
		if missing := map[string]string{"$rate": `"rate"`, "$agg": `"window" or "groupBy" with "aggregate"`}[v.Parts[0]]; missing != "" {
			c.errorf(v.Place.As(CodeVariable), "reads %s, and the rule has no %s", v.Parts[0], missing)
			continue
		}
		r.stateful.need(v.Parts[0])
		if !feed.covers(v.Parts...) {
			c.undeclared(v.Place.Noting(spec.OnMissing.effect(v.Required)), v.Path, feed)
		}
	}
}

func (c *compiler) included(spec *RuleSpec, condition *Condition, r *rule, feed *SourceFeed, pl *plan) {
	for i, name := range condition.Included {
		place := elemAt(condition.raw, "fieldsIncludedInOutput", i)
		switch {
		case spec.Transformation != nil && name == spec.Transformation.FieldID:
			c.errorf(place.As(CodeOutputTwice), "%q is also the outputFieldId; want another name for one of them", name)
		case r.stateful.makes(name):
			r.included = append(r.included, newField(name, pl))
		case !feed.covers(name):
			c.undeclared(place, name, feed)
		case !r.includes(name):
			r.included = append(r.included, newField(name, pl))
		}
	}
}

func (c *compiler) undeclared(at strictjson.Place, field string, feed *SourceFeed) {
	c.errorf(at.As(CodeField).Renamed(field, feed.FieldIDs), "field %q is not among the fieldIds of feed %q%s", field, feed.ID, nearest(field, feed.FieldIDs))
}

// covers says whether a field, or an object that it is in, is a declared one.
// A feed without declarations, or that there is not, covers everything.
func (f *SourceFeed) covers(path ...string) bool {
	if f == nil || len(f.FieldIDs) == 0 {
		return true
	}
	for i := range path {
		if slices.Contains(f.FieldIDs, strings.Join(path[:i+1], ".")) {
			return true
		}
	}
	return false
}

// planOf is the plan of the rule's feed, with the rule's source among its intakes.
func (c *compiler) planOf(r *rule) *plan {
	pl := c.p.plans[r.feed]
	if pl == nil {
		pl = &plan{slot: len(c.p.feeds), fieldAt: map[string]int{}}
		c.p.plans[r.feed] = pl
		c.p.feeds = append(c.p.feeds, r.feed)
	}
	if r.source < 0 || slices.ContainsFunc(pl.intakes, func(in intake) bool { return in.source == r.source }) {
		return pl
	}
	in := intake{source: r.source}
	if f := c.in.Sources[r.source].feed(r.feed); f != nil {
		for _, id := range f.FieldIDs {
			in.fields = append(in.fields, pl.field(strings.Split(id, ".")...))
		}
	}
	pl.intakes = append(pl.intakes, in)
	return pl
}
