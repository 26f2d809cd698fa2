package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/duration"
	"tocsin.internal/rules/geo"
	"tocsin.internal/rules/schedule"
)

// statefulField is one field of Stateful in a document.
type statefulField struct {
	decode func(d *decoder, r strictjson.Raw, s *Stateful)
	means  bool // an edit of it makes another rule, which begins anew
	alerts bool // it says something of alerts only
}

// statefulFields is THE table of the fields that make a rule remember.
var statefulFields = map[string]statefulField{
	"for":             {decode: spanInto(func(s *Stateful) *time.Duration { return &s.For }), means: true},
	"clearFor":        {decode: spanInto(func(s *Stateful) *time.Duration { return &s.ClearFor }), means: true},
	"keepFiringFor":   {decode: spanInto(func(s *Stateful) *time.Duration { return &s.KeepFiringFor }), means: true},
	"maxGap":          {decode: spanInto(func(s *Stateful) *time.Duration { return &s.MaxGap }), means: true},
	"allowedLateness": {decode: (*decoder).lateness, means: true},
	"repeatInterval":  {decode: (*decoder).repeatInterval, alerts: true},
	"clearCondition":  {decode: (*decoder).clearCondition, means: true},
	"repeat":          {decode: (*decoder).repeat, means: true},
	"absent":          {decode: (*decoder).absent, means: true, alerts: true},
	"unchanged":       {decode: (*decoder).unchanged, means: true},
	"rate":            {decode: (*decoder).rates, means: true},
	"window":          {decode: (*decoder).window, means: true},
	"aggregate":       {decode: (*decoder).aggregates, means: true},
	"emit":            {decode: (*decoder).emit, means: true},
	"onChange":        {decode: (*decoder).onChange, means: true},
	"onMissing":       {decode: (*decoder).onMissing, means: true},
	"schedule":        {decode: (*decoder).schedule, means: true},
	"throttle":        {decode: (*decoder).throttle},
	"levels":          {decode: (*decoder).levels, means: true, alerts: true},
	"lowering":        {decode: (*decoder).lowering, alerts: true},
	"inhibitedBy":     {decode: (*decoder).inhibitedBy, alerts: true},
	"flapping":        {decode: (*decoder).flapping, alerts: true},
	"join":            {decode: (*decoder).joins, means: true},
	"groupBy":         {decode: (*decoder).groupBy, means: true},
	"quorum":          {decode: (*decoder).quorum, means: true},
	"geofence":        {decode: (*decoder).geofence, means: true},
	"sequence":        {decode: (*decoder).sequence, means: true},
	"within":          {decode: (*decoder).within, means: true},
	"contiguity":      {decode: (*decoder).contiguity, means: true},
	"enrich":          {decode: (*decoder).enrich, means: true},
	"latched":         {decode: (*decoder).latched, alerts: true},
	"ackRequired":     {decode: (*decoder).ackRequired, alerts: true},
}

var statefulNames = slices.Sorted(maps.Keys(statefulFields))

// StatefulFields are the names of the fields that make a rule remember, sorted.
func StatefulFields() []string { return slices.Clone(statefulNames) }

// stateful reads the fields that are there.
func (d *decoder) stateful(r strictjson.Raw, s *Stateful) {
	for _, name := range statefulNames {
		if m := r.Member(name); !m.IsZero() {
			statefulFields[name].decode(d, m, s)
		}
	}
}

func (d *decoder) into(r strictjson.Raw, v any) { d.errs = append(d.errs, r.Decode(v)) }

func (d *decoder) errorf(at strictjson.Place, format string, args ...any) {
	d.errs = append(d.errs, at.Errorf(format, args...))
}

func spanInto(field func(*Stateful) *time.Duration) func(*decoder, strictjson.Raw, *Stateful) {
	return func(d *decoder, r strictjson.Raw, s *Stateful) { d.into(r, (*span)(field(s))) }
}

func (d *decoder) repeatInterval(r strictjson.Raw, s *Stateful) {
	d.into(r, (*span)(&s.RepeatInterval))
	if s.RepeatInterval > 0 && s.RepeatInterval < time.Second {
		d.errorf(r.At.As(strictjson.WrongTime), `got %s; want at least "1s"`, r.Shown())
	}
}

func (d *decoder) lateness(r strictjson.Raw, s *Stateful) {
	d.into(r, (*spanOrZero)(&s.AllowedLateness))
}

func (d *decoder) clearCondition(r strictjson.Raw, s *Stateful) {
	c := Condition{raw: r}
	d.shaped(r, `{"jsonLogic":{"<":[{"var":"temperature"},95]}}`, fields{"jsonLogic": &c.Logic})
	d.required(r, "jsonLogic")
	s.ClearCondition = &c
}

func (d *decoder) latched(r strictjson.Raw, s *Stateful) { d.into(r, &s.Latched) }

func (d *decoder) ackRequired(r strictjson.Raw, s *Stateful) { d.into(r, &s.AckRequired) }

func (d *decoder) lowering(r strictjson.Raw, s *Stateful) {
	lowering := true
	d.into(r, &lowering)
	s.UpwardOnly = !lowering
}

// shaped is object for a field in whose place people write something simpler:
// the complaint shows one.
func (d *decoder) shaped(r strictjson.Raw, example string, known fields) {
	if r.Kind() != strictjson.Object {
		d.wrong(r, strictjson.Object, "an object such as "+example)
		return
	}
	d.object(r, known)
}

// required complains about members of an object that are not there.
func (d *decoder) required(r strictjson.Raw, names ...string) {
	for _, name := range names {
		if r.Kind() == strictjson.Object && r.Member(name).IsZero() {
			d.errs = append(d.errs, r.Missing(name))
		}
	}
}

// whole reads a whole number from least to most.
func (d *decoder) whole(r strictjson.Raw, into *int, least, most int) {
	if r.IsZero() {
		return
	}
	n, ok := r.Any().(float64)
	if !ok || n != float64(int(n)) || n < float64(least) || n > float64(most) {
		d.wrong(r, strictjson.Number, fmt.Sprintf("a whole number from %d to %d", least, most))
		return
	}
	*into = int(n)
}

// number reads a number from least to most.
func (d *decoder) number(r strictjson.Raw, into *float64, least, most float64) {
	if r.IsZero() {
		return
	}
	n, ok := r.Any().(float64)
	if !ok || n < least || n > most {
		d.wrong(r, strictjson.Number, fmt.Sprintf("a number from %v to %v", least, most))
		return
	}
	*into = n
}

// word reads one of the known words.
func (d *decoder) word(r strictjson.Raw, into *string, known ...string) {
	if r.IsZero() {
		return
	}
	if !slices.Contains(known, r.Str()) {
		code := strictjson.WrongType
		if r.Kind() == strictjson.String {
			code = strictjson.WrongValue
		}
		d.errorf(r.At.As(code).Renamed(r.Str(), known), "got %s%s", r.Shown(), nearest(r.Str(), known))
		return
	}
	*into = r.Str()
}

// maxRepeat bounds what is kept of a count within a time.
const maxRepeat = 10_000

func (d *decoder) repeat(r strictjson.Raw, s *Stateful) {
	out := &Repeat{Consecutive: true}
	var count strictjson.Raw
	d.shaped(r, `{"count":3}`, fields{"count": &count, "within": (*span)(&out.Within), "consecutive": &out.Consecutive})
	d.required(r, "count")
	d.whole(count, &out.Count, 1, maxRepeat)
	if !out.Consecutive && r.Member("within").IsZero() {
		d.errorf(r.At.Start().As(CodeNeeds), `"consecutive":false without "within"; want the time in which %d samples have to be true, such as "10m"`, max(out.Count, 1))
	}
	s.Repeat = out
}

func (d *decoder) absent(r strictjson.Raw, s *Stateful) {
	out := &Absent{}
	d.shaped(r, `{"for":"10m"}`, fields{"for": (*span)(&out.For), "startupGrace": (*spanOrZero)(&out.Grace), "expectFirst": &out.ExpectFirst})
	d.required(r, "for")
	if r.Member("startupGrace").IsZero() {
		out.Grace = out.For
	}
	s.Absent = out
}

func (d *decoder) unchanged(r strictjson.Raw, s *Stateful) {
	out := &Unchanged{}
	var tolerance strictjson.Raw
	d.shaped(r, `{"field":"temperature","for":"10m"}`, fields{"field": (*named)(&out.Field), "for": (*span)(&out.For), "tolerance": &tolerance})
	d.required(r, "for")
	d.number(tolerance, &out.Tolerance, 0, 1e308)
	s.Unchanged = out
}

// oneOrMany are the elements of an array, or the object itself.
func (d *decoder) oneOrMany(r strictjson.Raw) []strictjson.Raw {
	if r.Kind() != strictjson.Array {
		return []strictjson.Raw{r}
	}
	if len(r.Elems()) == 0 {
		d.errorf(r.At, "an empty list; want at least one")
	}
	return r.Elems()
}

func (d *decoder) rates(r strictjson.Raw, s *Stateful) {
	for _, e := range d.oneOrMany(r) {
		out := Rate{Mode: "perUnit", raw: e}
		var mode strictjson.Raw
		d.shaped(e, `{"field":"temperature","per":"1m"}`, fields{
			"field": (*named)(&out.Field), "as": (*named)(&out.Name), "per": (*span)(&out.Per), "window": (*span)(&out.Window),
			"mode": &mode, "nonNegative": &out.NonNegative,
		})
		d.required(e, "field")
		d.word(mode, &out.Mode, "perUnit", "delta", "percent")
		switch {
		case strings.Contains(out.Name, "."):
			d.errorf(at(e, "as"), "got %q; want a name without a dot", out.Name)
		case out.Name == "" && strings.Contains(out.Field, "."):
			d.errorf(at(e, "field"), `a name with a dot; want "as" beside it, such as "as":%q`, out.Field[strings.LastIndex(out.Field, ".")+1:])
		}
		out.Name = cmp.Or(out.Name, out.Field)
		if out.Per != 0 && out.Mode != "perUnit" {
			d.errorf(at(e, "per").As(CodeNoMeaning), `"per" has no meaning in mode %q; want mode "perUnit"`, out.Mode)
		}
		if out.Per == 0 {
			out.Per = time.Second
		}
		if out.Name != "" && slices.ContainsFunc(s.Rates, func(other Rate) bool { return other.Name == out.Name }) {
			d.errorf(e.At.As(strictjson.NotUnique), `rate %q is there twice; want another name for one ("as")`, out.Name)
		}
		s.Rates = append(s.Rates, out)
	}
}

func (d *decoder) window(r strictjson.Raw, s *Stateful) {
	w := &Window{raw: r}
	var kind, align, count, least strictjson.Raw
	d.shaped(r, `{"type":"tumbling","size":"10m"}`, fields{
		"type": &kind, "size": (*span)(&w.Size), "slide": (*span)(&w.Slide), "timeout": (*span)(&w.Timeout),
		"maxDuration": (*span)(&w.MaxDuration), "count": &count, "align": &align, "minSamples": &least,
	})
	d.required(r, "type")
	d.word(kind, &w.Type, "tumbling", "hopping", "sliding", "session", "count")
	d.whole(count, &w.Count, 1, 100_000)
	d.whole(least, &w.MinSamples, 0, 1_000_000)
	var where string
	d.word(align, &where, "epoch", "first")
	w.AlignFirst = where == "first"
	needs := map[string][]string{
		"tumbling": {"size"}, "hopping": {"size", "slide"}, "sliding": {"size"}, "session": {"timeout"}, "count": {"count"},
	}[w.Type]
	d.required(r, needs...)
	takes := append(map[string][]string{
		"tumbling": {"align"}, "hopping": {"align"}, "session": {"maxDuration"},
	}[w.Type], append(needs, "type", "minSamples")...)
	if w.Type == "count" && !r.Member("size").IsZero() && r.Member("count").IsZero() {
		d.errorf(at(r, "size").As(CodeNoMeaning), `a window of type "count" has a count of samples, no size; want "count"`)
	} else if w.Type != "" {
		for _, m := range r.Members() {
			if known := []string{"size", "slide", "timeout", "maxDuration", "count", "align"}; slices.Contains(known, m.Name) && !slices.Contains(takes, m.Name) {
				d.errorf(m.Key.As(CodeNoMeaning), "%q has no meaning in a window of type %q; it takes %s", m.Name, w.Type, strings.Join(slices.Sorted(slices.Values(takes)), ", "))
			}
		}
	}
	if w.Slide > 0 && w.Size/w.Slide > 10_000 {
		d.errorf(at(r, "slide").As(CodeWindow), "size is %d times the slide; want at most 10000 times", w.Size/w.Slide)
	}
	s.Window = w
}

// aggregateOps are the operations, by every name that is understood.
var aggregateOps = map[string]string{
	"count": "count", "sum": "sum", "avg": "avg", "mean": "avg", "min": "min", "max": "max", "stddev": "stddev", "first": "first",
	"last": "last", "percentile": "percentile", "median": "median", "range": "range",
}

const anAggregate = `{"mean":{"op":"avg","field":"temperature"}}`

func (d *decoder) aggregates(r strictjson.Raw, s *Stateful) {
	if r.Kind() != strictjson.Object {
		d.wrong(r, strictjson.Object, "an object of names, such as "+anAggregate)
		return
	}
	if len(r.Members()) == 0 {
		d.errorf(r.At, "an empty object; want at least one name, such as "+anAggregate)
	}
	for _, m := range r.Members() {
		a := Aggregate{Name: m.Name, raw: m.Value}
		var op, p strictjson.Raw
		d.shaped(m.Value, `{"op":"avg","field":"temperature"}`, fields{"op": &op, "field": (*named)(&a.Field), "p": &p, "percentile": &p})
		d.required(m.Value, "op")
		d.word(op, &a.Op, slices.Collect(maps.Keys(aggregateOps))...)
		a.Op = aggregateOps[a.Op]
		if a.Op != "count" && a.Op != "" {
			d.required(m.Value, "field")
		}
		if a.Op == "percentile" && p.IsZero() {
			d.errorf(m.Value.At.Start().As(strictjson.MissingField), `field "p" is missing; want the percentile from 0 to 100`)
		} else if a.Op != "percentile" && !p.IsZero() {
			d.errorf(p.At.As(CodeNoMeaning), `a percentile beside op %s; want op "percentile"`, op.Shown())
		}
		d.number(p, &a.Percentile, 0, 100)
		if m.Name == "" || strings.Contains(m.Name, ".") {
			d.errorf(m.Key, "got %q; want a name without a dot", m.Name)
		}
		s.Aggregates = append(s.Aggregates, a)
	}
}

func (d *decoder) emit(r strictjson.Raw, s *Stateful) {
	d.word(r, &s.Emit, EmitEvery, EmitOnChange, EmitEdge)
}

func (d *decoder) onChange(r strictjson.Raw, s *Stateful) {
	out := &OnChange{IncludeFirst: true}
	var deadband strictjson.Raw
	d.shaped(r, `{"fields":["temperature"]}`, fields{"fields": (*names)(&out.Fields), "deadband": &deadband, "includeFirst": &out.IncludeFirst})
	d.required(r, "fields")
	if list := r.Member("fields"); list.Kind() == strictjson.Array && len(list.Elems()) == 0 {
		d.errorf(list.At, "an empty list; want the fields whose change counts")
	}
	d.number(deadband, &out.Deadband, 0, 1e308)
	s.OnChange = out
}

func (d *decoder) onMissing(r strictjson.Raw, s *Stateful) {
	mode := r
	if r.Kind() == strictjson.Object {
		mode = strictjson.Raw{}
		d.object(r, fields{"mode": &mode, "maxAge": (*span)(&s.OnMissing.MaxAge)})
		d.required(r, "mode")
	}
	if mode.Kind() == strictjson.Bool && string(mode.Text()) == "false" {
		d.errorf(mode.At.As(strictjson.WrongType).Instead(`"false"`), `got false; want it in quotes: "false"`)
		return
	}
	d.word(mode, &s.OnMissing.Mode, MissingSkip, MissingFalse, MissingLastKnown, MissingEvaluate, MissingError)
	if s.OnMissing.MaxAge != 0 && s.OnMissing.Mode != MissingLastKnown {
		d.errorf(at(r, "maxAge").As(CodeNoMeaning), `"maxAge" has a meaning in mode "lastKnown" only`)
	}
}

func (d *decoder) schedule(r strictjson.Raw, s *Stateful) {
	var err error
	s.Schedule, err = schedule.Decode(r)
	d.errs = append(d.errs, err)
}

func (d *decoder) throttle(r strictjson.Raw, s *Stateful) {
	out := &Throttle{}
	var most strictjson.Raw
	d.shaped(r, `{"max":3,"per":"1h"}`, fields{"max": &most, "per": (*span)(&out.Per)})
	d.required(r, "max", "per")
	d.whole(most, &out.Max, 1, maxRepeat)
	s.Throttle = out
}

func (d *decoder) levels(r strictjson.Raw, s *Stateful) {
	seen := map[string]bool{}
	for _, e := range d.array(r) {
		l := Level{raw: e}
		var clearing strictjson.Raw
		d.shaped(e, `{"severity":"critical","after":"10m"}`, fields{"severity": (*severity)(&l.Severity), "jsonLogic": &l.Logic, "clearCondition": &clearing, "after": (*span)(&l.After)})
		d.required(e, "severity")
		l.Label = e.Member("severity").Str()
		if seen[l.Severity] && l.Severity != "" {
			d.errorf(at(e, "severity").As(strictjson.NotUnique), "severity %q is there twice; want each level once", l.Severity)
		}
		seen[l.Severity] = true
		if !clearing.IsZero() {
			d.shaped(clearing, `{"jsonLogic":{"<":[{"var":"temperature"},95]}}`, fields{"jsonLogic": &l.Clear})
			d.required(clearing, "jsonLogic")
			if l.Logic.IsZero() {
				d.errorf(clearing.At.As(CodeNeeds), `a level without "jsonLogic" has nothing to clear; want "jsonLogic" in it, or the clearCondition beside the levels`)
			}
		}
		s.Levels = append(s.Levels, l)
	}
	if r.Kind() == strictjson.Array && len(r.Elems()) == 0 {
		d.errorf(r.At, "an empty list; want at least one level")
	}
	slices.SortStableFunc(s.Levels, func(a, b Level) int { return severityRank(a.Severity) - severityRank(b.Severity) })
	for i := 1; i < len(s.Levels); i++ {
		if low, high := s.Levels[i-1], s.Levels[i]; high.Logic.IsZero() && low.Logic.IsZero() && high.After <= low.After {
			d.errorf(high.raw.At.As(CodeContradicts), "%s comes %s, and the lower %s %s; want a later time for the higher severity", high.Severity, high.comes(), low.Severity, low.comes())
		}
	}
}

// comes is when a level without jsonLogic does.
func (l *Level) comes() string {
	if l.After == 0 {
		return "at once"
	}
	return "after " + string(duration.Append(nil, l.After))
}

func (d *decoder) inhibitedBy(r strictjson.Raw, s *Stateful) {
	d.into(r, (*names)(&s.InhibitedBy))
	if r.Kind() == strictjson.Array && len(r.Elems()) == 0 {
		d.errorf(r.At, "an empty list; want the alerts that inhibit this one")
	}
}

func (d *decoder) flapping(r strictjson.Raw, s *Stateful) {
	out := &Flapping{Window: 21, Low: .25, High: .5}
	var window, low, high strictjson.Raw
	d.shaped(r, `{"window":21,"low":0.25,"high":0.5}`, fields{"window": &window, "low": &low, "high": &high})
	d.whole(window, &out.Window, 3, 64)
	d.number(low, &out.Low, 0, 1)
	d.number(high, &out.High, 0, 1)
	if out.Low >= out.High {
		d.errorf(r.At.As(CodeContradicts), "low is %v and high is %v; want low below high", out.Low, out.High)
	}
	s.Flapping = out
}

func (d *decoder) joins(r strictjson.Raw, s *Stateful) {
	for _, e := range d.oneOrMany(r) {
		j := Join{raw: e}
		var on strictjson.Raw
		d.object(e, fields{
			"as": (*named)(&j.As), "sourceId": (*named)(&j.SourceID), "sourceFeedId": (*named)(&j.SourceFeedID),
			"on": &on, "tolerance": (*span)(&j.Tolerance),
		})
		d.required(e, "as", "sourceId", "sourceFeedId")
		switch on.Kind() {
		case strictjson.None:
		case strictjson.Object:
			d.object(on, fields{"property": (*named)(&j.Property)})
			d.required(on, "property")
		default:
			if on.Str() != "twin" {
				d.wrong(on, strictjson.String, `"twin" (another feed of the same twin) or {"property":KEY}`)
			}
		}
		if slices.ContainsFunc(s.Joins, func(other Join) bool { return other.As == j.As }) {
			d.errorf(at(e, "as").As(strictjson.NotUnique), "%q is there twice; want another name for one", j.As)
		}
		s.Joins = append(s.Joins, j)
	}
}

func (d *decoder) groupBy(r strictjson.Raw, s *Stateful) {
	out := &GroupBy{}
	d.object(r, fields{"property": (*named)(&out.Property), "maxAge": (*span)(&out.MaxAge)})
	s.GroupBy = out
}

func (d *decoder) quorum(r strictjson.Raw, s *Stateful) {
	out := &Quorum{}
	var count, ratio strictjson.Raw
	d.object(r, fields{"count": &count, "ratio": &ratio})
	d.whole(count, &out.Count, 1, 1_000_000)
	var ok bool
	if out.Ratio, ok = ratio.Any().(float64); !ratio.IsZero() && (!ok || out.Ratio <= 0 || out.Ratio > 1) {
		d.wrong(ratio, strictjson.Number, "a number above 0 and at most 1, such as 0.5 for half of them")
	}
	if count.IsZero() == ratio.IsZero() && r.Kind() == strictjson.Object {
		d.errorf(r.At.As(CodeContradicts), `want either "count" or "ratio"`)
	}
	s.Quorum = out
}

func (d *decoder) geofence(r strictjson.Raw, s *Stateful) {
	out := &Geofence{On: FenceInside, Lat: "lat", Lon: "lon"}
	var on, buffer, polygon, circle strictjson.Raw
	d.shaped(r, `{"circle":{"lat":50.08,"lon":14.42,"radiusKm":2}}`, fields{
		"polygon": &polygon, "circle": &circle, "on": &on, "dwell": (*span)(&out.Dwell), "exitBuffer": &buffer,
		"lat": (*named)(&out.Lat), "lon": (*named)(&out.Lon), "accuracy": (*named)(&out.Accuracy), "emitInitial": &out.EmitInitial,
	})
	if s.Geofence = out; r.Kind() != strictjson.Object {
		return
	}
	d.word(on, &out.On, FenceInside, FenceOutside, FenceEnter, FenceExit)
	d.number(buffer, &out.ExitBufferKm, 0, 1000)
	var warnings []error
	var err error
	out.Area, warnings, err = geo.DecodeArea(r)
	d.errs, d.warnings = append(d.errs, err), append(d.warnings, warnings...)
}

func (s *Stateful) steps() *Sequence {
	if s.Sequence == nil {
		s.Sequence = &Sequence{}
	}
	return s.Sequence
}

func (d *decoder) sequence(r strictjson.Raw, s *Stateful) {
	out := s.steps()
	for i, e := range d.array(r) {
		step := Step{Count: 1, raw: e}
		var count, not strictjson.Raw
		d.shaped(e, `{"id":"hot","jsonLogic":{">":[{"var":"temperature"},100]}}`, fields{"id": (*named)(&step.ID), "jsonLogic": &step.Logic, "count": &count, "not": &not, "for": (*span)(&step.For)})
		d.whole(count, &step.Count, 1, 1000)
		if !not.IsZero() {
			if !step.Logic.IsZero() {
				d.errorf(e.At.As(CodeContradicts), `both "jsonLogic" and "not"; want one of them`)
			}
			if !count.IsZero() {
				d.errorf(count.At.As(CodeNoMeaning), `a step with "not" has no count`)
				step.Count = 1
			}
			step.Not, step.Logic = true, not
			if not.Kind() == strictjson.Object && !not.Member("jsonLogic").IsZero() {
				step.Logic = not.Member("jsonLogic")
			}
		}
		if step.Logic.IsZero() && e.Kind() == strictjson.Object {
			d.errorf(e.At.Start().As(strictjson.MissingField), `field "jsonLogic" or "not" is missing`)
		}
		if step.ID == "" {
			step.ID = fmt.Sprint(i + 1)
		}
		if slices.ContainsFunc(out.Steps, func(other Step) bool { return other.ID == step.ID }) {
			d.errorf(at(e, "id").As(strictjson.NotUnique), "step %q is there twice; want each id once", step.ID)
		}
		out.Steps = append(out.Steps, step)
	}
	if n := len(out.Steps); n > 0 {
		first, last := out.Steps[0], out.Steps[n-1]
		switch {
		case first.Not:
			d.errorf(first.raw.At.As(CodeWindow), `a sequence cannot begin with "not"; want a step that happens`)
		case last.Not && last.For == 0:
			d.errorf(last.raw.At.As(CodeNeeds), `the last step is "not" without "for"; want how long it must not happen, such as "5m"`)
		}
		for _, step := range out.Steps[:n-1] {
			if step.For != 0 {
				d.errorf(at(step.raw, "for").As(CodeNoMeaning), `"for" has a meaning in the last step with "not" only`)
			}
		}
		if !last.Not && last.For != 0 {
			d.errorf(at(last.raw, "for").As(CodeNoMeaning), `"for" has a meaning in the last step with "not" only`)
		}
	} else if r.Kind() == strictjson.Array {
		d.errorf(r.At, "an empty list; want the steps")
	}
}

func (d *decoder) within(r strictjson.Raw, s *Stateful) { d.into(r, (*span)(&s.steps().Within)) }

func (d *decoder) contiguity(r strictjson.Raw, s *Stateful) {
	var how string
	d.word(r, &how, "relaxed", "strict")
	s.steps().Strict = how == "strict"
}

func (d *decoder) enrich(r strictjson.Raw, s *Stateful) {
	for _, e := range d.oneOrMany(r) {
		out := Enrich{raw: e}
		var from strictjson.Raw
		d.shaped(e, `{"from":"model","default":{"max":100}}`, fields{"from": &from, "as": (*named)(&out.As), "properties": &out.Properties, "default": &out.Default})
		d.required(e, "from")
		d.word(from, &out.From, "twin", "model")
		if out.As == "" {
			out.As = out.From
		}
		for name, value := range out.Default {
			if k := value.Kind(); k == strictjson.Object || k == strictjson.Array || k == strictjson.Null {
				d.errorf(value.At, "the default of %q is %s; want a number, a text, true or false", name, value.Shown())
			}
		}
		s.Enrichments = append(s.Enrichments, out)
	}
}
