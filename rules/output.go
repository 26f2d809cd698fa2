package rules

import (
	"slices"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

// outputGroup are the transformations, live ones or shadows, that write to one output feed: what they
// make of one sample is one output.
type outputGroup struct {
	feed    string
	outputs []*output
	shadow  bool // all of them are shadows
	mixed   bool // of several sources, so that two of one twin may write the same field
}

// output is one transformation.
type output struct {
	*rule
	field               string
	whenTrue, whenFalse []byte // `"field":value`; nil: no output
}

// pair is a member of an object, nil when the value is absent or null.
func pair(field string, value strictjson.Raw) []byte {
	if value.IsZero() || value.Kind() == strictjson.Null {
		return nil
	}
	return append([]byte(quoted(field)+":"), value.Text()...)
}

func (g *outputGroup) judge(v *view, s *Sample, st *State, t turn, out []Outcome) []Outcome {
	made, data := v.made[:0], spare(out)
	for _, o := range g.outputs {
		if !t.live.Has(o.source) {
			continue
		}
		f := &st.counters.rules[o.index]
		f.Matched++
		if t.late {
			f.Late++
		}
		piece := o.piece(v.decide(o.rule, f))
		if piece == nil || g.mixed && writes(made, o.field) {
			continue
		}
		made = append(made, o)
		data = append(opened(data), piece...)
	}
	v.made = made
	if len(made) == 0 {
		return out
	}
	return append(out, Outcome{
		Kind: Output, Interaction: v.program.in.ID, Rule: made[0].name, Twin: s.Twin, Feed: g.feed, At: s.At, Data: g.includeAll(v, data),
		Seq: s.Seq, Index: s.Index, Source: s.Twin, Hops: s.Hops + 1, Shadow: g.shadow,
	})
}

func (o *output) piece(v logic.Verdict) []byte {
	switch v {
	case logic.True:
		return o.whenTrue
	case logic.False:
		return o.whenFalse
	}
	return nil
}

func writes(made []*output, field string) bool {
	return slices.ContainsFunc(made, func(o *output) bool { return o.field == field })
}

// includeAll appends the included fields of the outputs that were made and closes the object.
func (g *outputGroup) includeAll(v *view, data []byte) []byte {
	if len(v.made) == 1 {
		return v.appendFields(data, v.made[0].included)
	}
	v.taken = v.taken[:0]
	for _, o := range v.made {
		for _, f := range o.included {
			if slices.Contains(v.taken, f) || g.mixed && writes(v.made, f.name) {
				continue
			}
			v.taken = append(v.taken, f)
		}
	}
	return v.appendFields(data, v.taken)
}

func (c *compiler) transformation(spec *RuleSpec, r *rule) {
	t := spec.Transformation
	if t.FeedID == "" {
		c.missing(spec.raw, "outputFeedId")
	}
	if t.FieldID == "" {
		c.missing(spec.raw, "outputFieldId")
	}
	if t.FeedID == "" || t.FieldID == "" {
		return
	}
	o := &output{rule: r, field: t.FieldID, whenTrue: pair(t.FieldID, t.True), whenFalse: pair(t.FieldID, t.False)}
	if o.whenTrue == nil && o.whenFalse == nil {
		c.warnf(spec.raw.At.Start().As(CodeNoOutput), "neither outputTrueValue nor outputFalseValue; this rule has no output")
	}
	c.clashes(spec, o)
	if r.stateful != nil {
		c.statefulOutput(spec, o)
		return
	}
	g := c.groupOf(r, t.FeedID)
	g.outputs = append(g.outputs, o)
	g.mixed = g.mixed || g.outputs[0].source != r.source
}

type groupKey struct {
	feed, outputFeed string
	lane             string
}

// lane keeps what a shadow makes apart: "", or the shadow's name beside live rules.
func (c *compiler) lane(r *rule) string {
	if r.shadow && c.in.Mode != ModeShadow {
		return r.name
	}
	return ""
}

// groupOf is the group of all that is made of one feed for another.
func (c *compiler) groupOf(r *rule, outputFeed string) *outputGroup {
	pl, key := c.planOf(r), groupKey{r.feed, outputFeed, c.lane(r)}
	g := c.groups[key]
	if g == nil {
		g = &outputGroup{feed: outputFeed, shadow: r.shadow}
		c.groups[key] = g
		pl.steps = append(pl.steps, g)
	}
	return g
}

// cell is a field of the output that one feed of one source gives.
type cell struct {
	lane             string
	source           int
	feed, outputFeed string
	field            string
}

// clashes checks that no two rules of one source feed write the same field of
// one output, be it as their value or as a field they include. Which twins match
// two sources is known at run time only: there the first rule writes.
func (c *compiler) clashes(spec *RuleSpec, o *output) {
	outputFeed := spec.Transformation.FeedID
	own := cell{c.lane(o.rule), o.source, o.feed, outputFeed, o.field}
	if other := c.makes[own]; other != nil {
		c.errorf(at(spec.raw, "outputFieldId").As(CodeOutputTwice), "rule %q makes field %q of feed %q from the same feed already; want each field once", other.name, o.field, outputFeed)
	} else if other := c.takes[own]; other != nil {
		c.errorf(at(spec.raw, "outputFieldId").As(CodeOutputTwice), "rule %q includes field %q in feed %q from the same feed already; want each field once", other.name, o.field, outputFeed)
	}
	c.makes[own] = o.rule
	for _, f := range o.included {
		taken := own
		taken.field = f.name
		if other := c.makes[taken]; other != nil {
			c.errorf(at(spec.raw, "conditions").As(CodeOutputTwice), "includes field %q, which rule %q makes in feed %q from the same feed; want each field once", f.name, other.name, outputFeed)
		}
		c.takes[taken] = o.rule
	}
}

// outputFeeds describes the feeds that live rules name: as the interaction does, or
// with nothing but the values that the rules put in.
func (c *compiler) outputFeeds() {
	places := map[string]int{}        // in the program's outputs
	described := map[[2]string]bool{} // feed and field
	for i := range c.in.Rules {
		spec := &c.in.Rules[i]
		t := spec.Transformation
		if t == nil || t.FeedID == "" || c.isShadow(spec) {
			continue
		}
		declared := c.declared(t.FeedID)
		place, found := places[t.FeedID]
		if !found {
			place = len(c.p.outputs)
			places[t.FeedID] = place
			c.p.outputs = append(c.p.outputs, c.outputFeed(spec, declared))
		}
		if value := [2]string{t.FeedID, t.FieldID}; declared == nil && !described[value] {
			described[value] = true
			f := &c.p.outputs[place]
			f.Values = append(f.Values, Value{Label: t.FieldID, DataType: t.dataType()})
		}
	}
}

// declared is the interaction's description of an output feed, or nil.
func (c *compiler) declared(id string) *Feed {
	i := slices.IndexFunc(c.in.Feeds, func(f Feed) bool { return f.ID == id })
	if i < 0 {
		return nil
	}
	return &c.in.Feeds[i]
}

func (c *compiler) outputFeed(spec *RuleSpec, declared *Feed) Feed {
	if declared != nil {
		return *declared
	}
	id := spec.Transformation.FeedID
	if len(c.in.Feeds) > 0 {
		ids := make([]string, len(c.in.Feeds))
		for i, f := range c.in.Feeds {
			ids[i] = f.ID
		}
		c.warnf(at(spec.raw, "outputFeedId").As(CodeUndescribed), "feed %q is not among the interaction's feeds%s", id, nearest(id, ids))
	}
	return Feed{ID: id, StoreLast: true}
}

// dataType is the XSD short name of the output values; "" when they differ.
func (t *Transformation) dataType() string {
	names := map[strictjson.Kind]string{strictjson.String: "string", strictjson.Number: "decimal", strictjson.Bool: "boolean"}
	whenTrue, whenFalse := names[t.True.Kind()], names[t.False.Kind()]
	switch {
	case whenTrue == whenFalse || whenFalse == "":
		return whenTrue
	case whenTrue == "":
		return whenFalse
	}
	return ""
}
