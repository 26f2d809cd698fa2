package rules

import (
	"slices"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
	"tocsin.internal/rules/sequence"
	"tocsin.internal/rules/series"
)

// remembers says whether a rule has a field that makes it remember.
func (spec *RuleSpec) remembers() bool {
	return slices.ContainsFunc(statefulNames, func(name string) bool { return !spec.raw.Member(name).IsZero() })
}

// hasOwnDocument says whether conditions may read what is not in the sample.
func (s *Stateful) hasOwnDocument() bool {
	return len(s.Rates)+len(s.Aggregates)+len(s.Joins)+len(s.Enrichments) > 0 || s.Window != nil || s.GroupBy != nil || s.Sequence != nil ||
		s.OnMissing.Mode == MissingLastKnown
}

// stateful makes the part of a rule that remembers. It comes before the
// conditions: they may read what it makes.
func (c *compiler) stateful(spec *RuleSpec, r *rule) {
	if !spec.remembers() {
		return
	}
	c.contradictions(spec)
	s := &stateful{rule: r, slot: len(c.p.stateful), missing: spec.OnMissing, lateness: int64(spec.AllowedLateness), absent: spec.Absent}
	s.timing.of(&spec.Stateful)
	r.stateful = s
	if spec.hasOwnDocument() {
		s.private = &plan{slot: -1, fieldAt: map[string]int{}}
		r.plan = s.private
	}
	c.p.stateful = append(c.p.stateful, s)
	feed := c.feed(r)
	c.group(spec, s)
	for i := range spec.Rates {
		c.rate(s, &spec.Rates[i], feed)
	}
	c.window(spec, s, feed)
	c.joins(spec, s)
	c.enrich(spec, s)
	if q := spec.Sequence; q != nil && len(q.Steps) > 0 {
		s.sequence = &steps{within: int64(q.Within)}
	}
}

// feed is the description of the rule's feed; nil when there is none.
func (c *compiler) feed(r *rule) *SourceFeed {
	if r.source < 0 {
		return nil
	}
	return c.in.Sources[r.source].feed(r.feed)
}

// given is a field's value in the sample, which the feed has to have.
func (c *compiler) given(s *stateful, name string, at strictjson.Place, feed *SourceFeed) field {
	if name != "" && !feed.covers(strings.Split(name, ".")...) {
		c.undeclared(at, name, feed)
	}
	return field{name: name, key: quoted(name) + ":", at: s.shared.field(strings.Split(name, ".")...)}
}

func (c *compiler) rate(s *stateful, spec *Rate, feed *SourceFeed) {
	s.rates = append(s.rates, rate{
		name: quoted(spec.Name) + ":", field: c.given(s, spec.Field, at(spec.raw, "field"), feed),
		spec: series.RateSpec{Per: int64(spec.Per), Window: int64(spec.Window), Mode: series.RateMode(spec.Mode), NonNegative: spec.NonNegative},
	})
}

func (c *compiler) window(spec *RuleSpec, s *stateful, feed *SourceFeed) {
	w := spec.Window
	if w == nil || w.Type == "" {
		return
	}
	out := &window{
		kind: w.Type,
		size: int64(w.Size) + int64(w.Timeout) + int64(w.MaxDuration), atOnce: w.Type == "sliding" || w.Type == "count",
		waiting: w.Type == "tumbling" || w.Type == "hopping" || w.Type == "session",
	}
	made := series.WindowSpec{
		Type: series.WindowType(w.Type), Size: int64(w.Size), Slide: int64(w.Slide), Timeout: int64(w.Timeout), MaxDuration: int64(w.MaxDuration),
		Count: w.Count, AlignFirst: w.AlignFirst, MinSamples: w.MinSamples, Lateness: s.lateness,
	}
	places := map[string]int{}
	for _, a := range spec.Aggregates {
		index := series.Samples
		if a.Field != "" {
			var known bool
			if index, known = places[a.Field]; !known {
				index = len(out.fields)
				places[a.Field] = index
				out.fields = append(out.fields, c.given(s, a.Field, at(a.raw, "field"), feed))
			}
		}
		made.Aggregates = append(made.Aggregates, series.Aggregate{Op: series.Op(a.Op), Field: index, Percentile: a.Percentile})
		s.aggregateNames = append(s.aggregateNames, quoted(a.Name)+":")
	}
	made.Fields = len(out.fields)
	if out.waiting && len(spec.Rates) > 0 {
		c.errorf(at(spec.raw, "rate").As(CodeContradicts), "a rate is of samples, and a %s window is judged when it closes; want two rules, or a sliding window", w.Type)
	}
	if w.Slide > w.Size && w.Size > 0 {
		c.warnf(at(w.raw, "slide").As(CodeSkips), "the slide is longer than the size: samples between two windows count in none")
	}
	if step := w.step(); step > 0 && spec.AllowedLateness/step > series.MaxSteps {
		c.errorf(at(spec.raw, "allowedLateness"), "%d times what lies between two windows; want at most %d times", spec.AllowedLateness/step, series.MaxSteps)
		return
	}
	var err error
	if out.spec, err = series.NewWindow(made); err == nil {
		s.window = out
	} else if c.in.wrong == nil { // else Decode has complained
		c.errorf(w.raw.At.As(CodeWindow), "%v", err)
	}
}

// step is the least time between two windows; 0 where they are no matter of time.
func (w *Window) step() time.Duration {
	switch {
	case w.Type == "session" && w.MaxDuration > 0:
		return min(w.Timeout, w.MaxDuration)
	case w.Type == "hopping":
		return w.Slide
	case w.Type == "tumbling":
		return w.Size
	}
	return w.Timeout
}

func (c *compiler) joins(spec *RuleSpec, s *stateful) {
	for i := range spec.Joins {
		j := &spec.Joins[i]
		other := RuleSpec{SourceID: j.SourceID, SourceFeedID: j.SourceFeedID, raw: j.raw}
		source := -1
		if j.SourceID != "" && j.SourceFeedID != "" {
			source, _ = c.readFrom(&other)
		}
		c.variable(j.As, at(j.raw, "as"), s)
		s.joins = append(s.joins, join{as: j.As, key: quoted(j.As) + ":", source: source, feed: j.SourceFeedID, property: j.Property, tolerance: int64(j.Tolerance)})
	}
}

// variable checks the name of what a rule makes.
func (c *compiler) variable(name string, at strictjson.Place, s *stateful) {
	feed := c.feed(s.rule)
	switch {
	case strings.ContainsAny(name, ".$"):
		c.errorf(at, "got %q; want a name without a dot and without $", name)
	case s.makes(name):
		c.errorf(at.As(strictjson.NotUnique), "%q is there twice; want another name for one", name)
	case feed != nil && slices.Contains(feed.FieldIDs, name):
		c.errorf(at.As(strictjson.NotUnique), "%q is a field of feed %q; want another name (\"as\")", name, feed.ID)
	}
}

func (c *compiler) enrich(spec *RuleSpec, s *stateful) {
	for i := range spec.Enrichments {
		e := &spec.Enrichments[i]
		c.variable(e.As, at(e.raw, "as"), s)
		out := enrichment{as: e.As, key: quoted(e.As) + ":", model: e.From == "model", properties: e.Properties, defaults: map[string][]byte{}}
		for name, value := range e.Default {
			out.defaults[name] = value.Text()
		}
		s.enrich = append(s.enrich, out)
	}
}

// made notes a variable that the rule makes and an expression reads, and says
// whether there is one of that name.
func (c *compiler) made(spec *RuleSpec, s *stateful, v logic.Var) {
	first, rest := v.Parts[0], ""
	if len(v.Parts) > 1 {
		rest = v.Parts[1]
	}
	var known []string
	switch first {
	case "$rate":
		for _, r := range spec.Rates {
			known = append(known, r.Name)
		}
	case "$agg":
		for _, a := range spec.Aggregates {
			known = append(known, a.Name)
		}
		if spec.Quorum != nil {
			known = append(known, "members", "true", "ratio")
		}
	case "steps":
		for _, step := range spec.Sequence.Steps {
			known = append(known, step.ID)
		}
	default:
		for i := range s.joins {
			if n := &s.joins[i]; n.as == first && rest != "" && !slices.Contains(n.names, rest) {
				n.names = append(n.names, rest)
			}
		}
		for i := range s.enrich {
			switch e := &s.enrich[i]; {
			case e.as != first:
			case rest == "":
				c.errorf(v.Place.As(CodeVariable), "%q is all properties; want one of them, such as %q", first, first+".max")
			case !slices.Contains(e.names, rest):
				e.names = append(e.names, rest)
			}
		}
		return
	}
	what := map[string]string{"$rate": "rate", "$agg": "aggregate", "steps": "step"}[first]
	switch {
	case len(known) == 0: // there is another complaint
	case rest == "":
		c.errorf(v.Place.As(CodeVariable), "%q alone has no value; want the name of a %s behind it, such as %q", first, what, first+"."+slices.Min(known))
	case !slices.Contains(known, rest):
		c.errorf(v.Place.As(CodeVariable).Renamed(first+"."+rest, prefixed(first, known)), "no %s is called %q%s", what, rest, nearest(rest, known))
	}
}

func prefixed(first string, names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = first + "." + name
	}
	return out
}

// reads notes what a text reads.
func (c *compiler) reads(spec *RuleSpec, r *rule, path []string, place strictjson.Place) {
	if r.stateful.makes(path[0]) {
		c.made(spec, r.stateful, logic.Var{Path: strings.Join(path, "."), Parts: path, Place: place})
		return
	}
	r.stateful.need(path[0])
}

// testOf compiles a further expression of the rule.
func (c *compiler) testOf(spec *RuleSpec, r *rule, raw strictjson.Raw, feed *SourceFeed) *rule {
	t := &rule{at: len(r.plan.rules)}
	if expr, err := logic.Compile(raw); err != nil {
		c.errs = append(c.errs, err)
	} else {
		t.conditions = append(t.conditions, expr)
		c.inputs(expr, spec, r, feed)
	}
	r.plan.rules = append(r.plan.rules, t)
	return t
}

// finish compiles what of the stateful part needs the rule's conditions.
func (c *compiler) finish(spec *RuleSpec, r *rule, feed *SourceFeed) {
	s := r.stateful
	if s == nil {
		return
	}
	s.asks = len(r.conditions) > 0
	if spec.ClearCondition != nil && !spec.ClearCondition.Logic.IsZero() {
		s.over = c.testOf(spec, r, spec.ClearCondition.Logic, feed)
	}
	if s.missing.Mode == MissingEvaluate {
		for i := range spec.Conditions {
			if !spec.Conditions[i].Logic.IsZero() {
				s.each = append(s.each, c.testOf(spec, r, spec.Conditions[i].Logic, feed))
			}
		}
	}
	if o := spec.OnChange; o != nil {
		s.onChange = &onChange{deadband: o.Deadband, first: o.IncludeFirst}
		for i, name := range o.Fields {
			s.onChange.fields = append(s.onChange.fields, c.given(s, name, elemAt(spec.raw.Member("onChange"), "fields", i), feed))
		}
	}
	if p := spec.Repeat; p != nil {
		s.repeat = &repeated{series.RepeatSpec{Count: p.Count, Within: int64(p.Within), Consecutive: p.Consecutive}}
	}
	c.unchanged(spec, s, feed)
	if g := spec.Geofence; g != nil {
		written := spec.raw.Member("geofence")
		s.fence = &fence{
			area: g.Area, on: g.On, lat: c.given(s, g.Lat, at(written, "lat"), feed), lon: c.given(s, g.Lon, at(written, "lon"), feed), dwell: int64(g.Dwell),
			bufferKm: g.ExitBufferKm, initial: g.EmitInitial, hasAccuracy: g.Accuracy != "",
		}
		if g.Accuracy != "" {
			s.fence.accuracy = c.given(s, g.Accuracy, at(written, "accuracy"), feed)
		}
		s.need(g.Lat)
		s.need(g.Lon)
	}
	if spec.Schedule != nil && !spec.Schedule.Notify() {
		s.gate = spec.Schedule
	}
	c.sequence(spec, r, feed)
	c.members(spec, s)
}

func (c *compiler) unchanged(spec *RuleSpec, s *stateful, feed *SourceFeed) {
	u := spec.Unchanged
	if u == nil {
		return
	}
	name := u.Field
	if name == "" {
		var candidates []string
		if feed != nil {
			candidates = feed.FieldIDs
		}
		if len(candidates) == 0 {
			for _, f := range s.needs {
				candidates = append(candidates, f.name)
			}
		}
		if len(candidates) != 1 {
			if written := spec.raw.Member("unchanged"); written.Kind() == strictjson.Object && written.Member("field").IsZero() {
				c.errorf(written.At, `field "field" is missing; want the one whose value is looked at`)
			}
			return
		}
		name = candidates[0]
	}
	s.unchanged = &unchanged{field: c.given(s, name, at(spec.raw.Member("unchanged"), "field"), feed), spec: series.UnchangedSpec{For: int64(u.For), Tolerance: u.Tolerance}}
	s.need(strings.Split(name, ".")[0])
}

func (c *compiler) sequence(spec *RuleSpec, r *rule, feed *SourceFeed) {
	s := r.stateful
	if s.sequence == nil {
		return
	}
	made := sequence.Spec{Within: int64(spec.Sequence.Within), Strict: spec.Sequence.Strict}
	for i, step := range spec.Sequence.Steps {
		if step.Logic.IsZero() {
			return // Decode has complained
		}
		t := c.testOf(spec, r, step.Logic, feed)
		for _, expr := range t.conditions {
			c.referred(spec, expr, i, feed)
		}
		refers := slices.ContainsFunc(t.conditions, func(e *logic.Expr) bool {
			return slices.ContainsFunc(e.Vars(), func(v logic.Var) bool { return v.Parts[0] == "steps" })
		})
		s.sequence.ids = append(s.sequence.ids, quoted(step.ID)+":")
		s.sequence.tests = append(s.sequence.tests, t)
		s.sequence.refers = append(s.sequence.refers, refers)
		made.Steps = append(made.Steps, sequence.Step{ID: step.ID, Count: step.Count, Not: step.Not, For: int64(step.For)})
	}
	if spec.Sequence.Within == 0 {
		return // there is another complaint
	}
	if last := spec.Sequence.Steps[len(spec.Sequence.Steps)-1]; last.Not && last.For > spec.Sequence.Within {
		c.errorf(at(last.raw, "for").As(CodeContradicts), `longer than the whole sequence may take ("within"); want at most that`)
		return
	}
	var err error
	if s.sequence.machine, err = sequence.New(made); err != nil && c.in.wrong == nil { // else Decode has complained
		c.errorf(at(spec.raw, "sequence").As(CodeWindow), "%v", err)
	}
}

// referred checks what a step reads of what earlier steps saw.
func (c *compiler) referred(spec *RuleSpec, expr *logic.Expr, step int, feed *SourceFeed) {
	for _, v := range expr.Vars() {
		if v.Parts[0] != "steps" || len(v.Parts) < 2 {
			continue
		}
		of := slices.IndexFunc(spec.Sequence.Steps, func(s Step) bool { return s.ID == v.Parts[1] })
		switch {
		case of < 0: // there is another complaint
		case of > step || of == step && spec.Sequence.Steps[step].Count == 1:
			c.errorf(v.Place.As(CodeVariable), "step %q is not before this one", v.Parts[1])
		case spec.Sequence.Steps[of].Not:
			c.errorf(v.Place.As(CodeVariable), `step %q is a "not"; it has seen no sample`, v.Parts[1])
		case len(v.Parts) > 2 && !feed.covers(v.Parts[2:]...):
			c.undeclared(v.Place, strings.Join(v.Parts[2:], "."), feed)
		}
	}
}

// settled is called when the rule is complete.
func (c *compiler) settled(spec *RuleSpec, s *stateful) {
	a := s.alert
	s.timed = s.hold+s.clear+s.keep > 0 || s.absent != nil || s.window != nil && s.window.waiting || s.fence != nil && s.fence.dwell > 0 ||
		s.sequence != nil || s.gate != nil || s.group != nil && s.group.maxAge > 0 || a != nil && (a.every > 0 || a.schedule != nil || a.throttle != nil ||
		slices.ContainsFunc(a.levels, func(l level) bool { return l.after > 0 }))
	s.memory = s.onChange != nil || s.window != nil || len(s.rates) > 0 || s.missing.Mode == MissingLastKnown || s.repeat != nil || s.unchanged != nil ||
		s.fence != nil || s.sequence != nil || len(s.joins) > 0 || spec.Throttle != nil || spec.Flapping != nil || spec.Emit == EmitOnChange ||
		s.absent != nil && s.asks
	c.p.timed = c.p.timed || s.timed
	for _, expr := range s.conditions {
		for _, v := range expr.Vars() {
			s.need(v.Parts[0])
		}
	}
	for _, f := range s.included {
		s.need(f.name)
	}
	c.joinPlans(spec, s)
}

func (c *compiler) statefulAlert(spec *RuleSpec, a *alertRule) {
	s := a.rule.stateful
	s.alert = a
	a.stateful = s
	a.upwardOnly, a.latched, a.ackRequired = spec.UpwardOnly, spec.Latched, spec.AckRequired
	a.throttle, a.flapping, a.every = spec.Throttle, spec.Flapping, int64(spec.RepeatInterval)
	if spec.Schedule != nil && spec.Schedule.Notify() {
		a.schedule = spec.Schedule
	}
	feed := c.feed(a.rule)
	for _, l := range spec.Levels {
		out := level{severity: l.Severity, label: l.Label, after: int64(l.After)}
		if !l.Logic.IsZero() {
			out.test = c.testOf(spec, a.rule, l.Logic, feed)
		}
		if !l.Clear.IsZero() {
			out.clear = c.testOf(spec, a.rule, l.Clear, feed)
		}
		a.levels = append(a.levels, out)
	}
	if s.group != nil {
		a.fields = []field{newField("$agg", a.plan)}
	}
	if len(a.fields) == 0 { // what the conditions do not read, the rest of the rule may
		for _, f := range s.needs {
			a.fields = append(a.fields, newField(f.name, a.plan))
		}
	}
	c.settled(spec, s)
	if s.group == nil {
		a.shared.steps = append(a.shared.steps, s)
	}
}

func (c *compiler) statefulOutput(spec *RuleSpec, o *output) {
	s := o.rule.stateful
	s.output = &statefulOutput{output: o, feedID: spec.Transformation.FeedID, emit: spec.Emit, throttle: spec.Throttle}
	if spec.Schedule != nil && spec.Schedule.Notify() {
		s.output.schedule = spec.Schedule
	}
	c.settled(spec, s)
	if s.group == nil {
		o.shared.steps = append(o.shared.steps, s)
	}
}

// inhibitions finds the alerts that the rules name.
func (c *compiler) inhibitions() {
	var names []string
	for name, a := range c.p.alertNamed {
		if a.does == Alert {
			names = append(names, name)
		}
	}
	for i := range c.in.Rules {
		spec := &c.in.Rules[i]
		a := c.p.alertNamed[spec.ID]
		if a == nil || spec.Alert == nil {
			continue
		}
		for n, name := range spec.InhibitedBy {
			b := c.p.alertNamed[name]
			place := elemAt(spec.raw, "inhibitedBy", n)
			switch {
			case b == nil || b.does != Alert:
				c.unknown(place.As(CodeInhibition), "no alert "+quoted(name), name, names)
			case b == a:
				c.errorf(place.As(CodeInhibition), "an alert cannot inhibit itself")
			case a.grouped() != b.grouped():
				c.errorf(place.As(CodeInhibition), "%q is of a group of twins and %q is not; want alerts of the same twin", pick(a.grouped(), a.name, b.name), pick(a.grouped(), b.name, a.name))
			case b.shadow && !a.shadow:
				c.errorf(place.As(CodeInhibition), "%q is a shadow, of which nobody is told, and cannot keep a live alert quiet; want a live one", b.name)
			default:
				a.inhibitedBy = append(a.inhibitedBy, b)
				c.p.inhibits = true
			}
		}
	}
	for i := range c.in.Rules {
		spec := &c.in.Rules[i]
		if a := c.p.alertNamed[spec.ID]; a != nil && a.inhibits(a, map[*alertRule]bool{}) {
			c.errorf(at(spec.raw, "inhibitedBy").As(CodeInhibition), "alerts inhibit each other in a circle; want one that comes first")
		}
	}
}

// inhibits says whether b is among those that inhibit a, or those that inhibit these.
func (a *alertRule) inhibits(b *alertRule, seen map[*alertRule]bool) bool {
	for _, by := range a.inhibitedBy {
		if by == b {
			return true
		}
		if !seen[by] {
			seen[by] = true
			if by.inhibits(b, seen) {
				return true
			}
		}
	}
	return false
}

// grouped says whether the alert is of a group of twins.
func (a *alertRule) grouped() bool { return a.stateful != nil && a.stateful.group != nil }

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// contradictions are fields that cannot stand beside each other.
func (c *compiler) contradictions(spec *RuleSpec) {
	has := func(name string) bool { return !spec.raw.Member(name).IsZero() }
	place := func(name string) strictjson.Place { return spec.raw.Member(name).At }
	for _, name := range statefulNames {
		if f := statefulFields[name]; f.alerts && spec.Transformation != nil && has(name) {
			c.errorf(place(name).As(CodeOtherKind), "%q is of alerts; a transformation has none", name)
		}
	}
	for _, name := range []string{"latched", "ackRequired"} {
		if spec.Alert != nil && spec.Alert.Does != Alert && has(name) {
			c.errorf(place(name).As(CodeOtherKind), "%q is of alerts: nobody resets or acknowledges what is no alert", name)
		}
	}
	if spec.Alert != nil && has("emit") {
		c.errorf(place("emit").As(CodeOtherKind), `"emit" is of transformations; an alert tells of its changes, and again after repeatInterval`)
	}
	if spec.Transformation != nil && has("groupBy") {
		c.errorf(place("groupBy").As(CodeOtherKind), `"groupBy" is of alerts; a group of twins has no output twin`)
	}
	for _, pair := range contradicting {
		if has(pair.a) && has(pair.b) {
			c.errorf(place(pair.b).As(CodeContradicts), "%q beside %q: %s", pair.b, pair.a, pair.why)
		}
	}
	for _, need := range needing {
		if has(need.a) && !slices.ContainsFunc(need.one, has) {
			c.errorf(place(need.a).As(CodeNeeds), "%q without %s: %s", need.a, oneOfThem(need.one), need.why)
		}
	}
	if len(spec.Levels) > 0 && !has("conditions") && !slices.ContainsFunc(spec.Levels, func(l Level) bool { return !l.Logic.IsZero() }) &&
		!has("absent") && !has("unchanged") && !has("geofence") && !has("sequence") {
		c.errorf(place("levels").As(CodeNeeds), `no conditions, and no level has "jsonLogic"; want one of them`)
	}
}

func oneOfThem(names []string) string {
	quotedNames := make([]string, len(names))
	for i, name := range names {
		quotedNames[i] = quoted(name)
	}
	last := len(quotedNames) - 1
	if last == 0 {
		return quotedNames[0]
	}
	return strings.Join(quotedNames[:last], ", ") + " or " + quotedNames[last]
}

// contradicting are pairs of fields that exclude each other.
var contradicting = []struct{ a, b, why string }{
	{"absent", "for", "the time of an absence is in absent.for"},
	{"absent", "clearCondition", "an absence ends with the first sample"},
	{"absent", "clearFor", "an absence ends with the first sample"},
	{"absent", "keepFiringFor", "an absence ends with the first sample"},
	{"absent", "repeat", "an absence has no samples to count"},
	{"absent", "unchanged", "a twin that is silent says nothing that could stay the same; want two rules"},
	{"absent", "window", "want two rules"},
	{"absent", "rate", "want two rules"},
	{"absent", "geofence", "want two rules"},
	{"absent", "sequence", "want two rules"},
	{"absent", "onChange", "an absence asks whether samples come, not what they say"},
	{"absent", "onMissing", "an absence asks whether samples come, not what they say"},
	{"absent", "join", "an absence asks whether samples come, not what they say"},
	{"absent", "groupBy", "want two rules"},
	{"absent", "flapping", "use startupGrace or a longer absent.for"},
	{"sequence", "conditions", "the steps are the conditions"},
	{"sequence", "for", "a sequence happens at one sample, which is over with the next"},
	{"sequence", "repeat", `a step has its own "count"`},
	{"sequence", "unchanged", "want two rules"},
	{"sequence", "geofence", "want two rules"},
	{"sequence", "window", "want two rules"},
	{"sequence", "onMissing", "what is not known fills no step"},
	{"sequence", "allowedLateness", "a sequence goes by the order of the samples"},
	{"join", "repeat", "which side's samples count? Want two rules"},
	{"window", "repeat", `a window counts: want an aggregate with op "count"`},
	{"window", "unchanged", `want an aggregate with op "range"`},
	{"window", "geofence", "want two rules"},
	{"window", "onChange", "want emit onChange, or two rules"},
	{"groupBy", "window", "a group judges the newest sample of each of its members"},
	{"groupBy", "rate", "want two rules"},
	{"groupBy", "repeat", "want two rules"},
	{"groupBy", "unchanged", "want two rules"},
	{"groupBy", "geofence", "want two rules"},
	{"groupBy", "sequence", "want two rules"},
	{"groupBy", "join", "want two rules"},
	{"groupBy", "enrich", "want two rules"},
	{"groupBy", "onChange", "want two rules"},
}

// needing are fields that mean nothing without another one.
var needing = []struct {
	a   string
	one []string
	why string
}{
	{"aggregate", []string{"window", "groupBy"}, "want what it is over"},
	{"window", []string{"aggregate"}, `want what is made of its samples, such as {"mean":{"op":"avg","field":"temperature"}}`},
	{"window", []string{"conditions", "levels"}, "want what is asked of its aggregates"},
	{"quorum", []string{"groupBy"}, "want whose members are counted"},
	{"groupBy", []string{"quorum", "aggregate"}, "want what is asked of its members"},
	{"sequence", []string{"within"}, "want the time in which it has to happen, such as \"10m\""},
	{"within", []string{"sequence"}, "it is the time of a sequence"},
	{"contiguity", []string{"sequence"}, "it is how the steps of a sequence follow each other"},
	{"lowering", []string{"levels"}, "it says whether a level may be lowered"},
	{"maxGap", []string{"for"}, `it bounds the gaps between samples while "for" runs`},
	{"clearCondition", []string{"conditions", "levels", "unchanged", "geofence", "sequence"}, "there is nothing to clear"},
	{"repeat", []string{"conditions"}, "want the condition that is counted"},
}
