package rules

import (
	"slices"

	"tocsin.internal/internal/strictjson"
)

// maxSources is how many bits a SourceSet has.
const maxSources = 64

// Compile checks what the document means and makes it runnable. The error has
// every problem with its place, those that Decode has found included.
func Compile(in Interaction) (*Program, error) {
	if in.wrong != nil && in.raw.Kind() != strictjson.Object {
		return nil, in.wrong // nothing could be read
	}
	c := &compiler{
		in:     &in,
		p:      &Program{in: in, plans: map[string]*plan{}, alertNamed: map[string]*alertRule{}, warnings: slices.Clone(in.warnings)},
		names:  map[string]*RuleSpec{},
		groups: map[groupKey]*outputGroup{},
		makes:  map[cell]*rule{},
		takes:  map[cell]*rule{},
	}
	if in.ID == "" {
		c.errorf(in.raw.At.Start().As(strictjson.MissingField), `no id; want "id" in the document or a file with a name`)
	}
	c.sources()
	c.rules()
	c.inhibitions()
	c.modes()
	c.outputFeeds()
	c.errs = append(c.errs, in.wrong)
	if err := strictjson.Join(c.errs...); err != nil {
		return nil, strictjson.Join(strictjson.Join(in.unknowns...), err)
	}
	for _, pl := range c.p.plans {
		pl.gather()
	}
	c.p.text = in.appendJSON(nil)
	c.p.hash = fingerprint(c.p.text)
	return c.p, nil
}

type compiler struct {
	in     *Interaction
	p      *Program
	names  map[string]*RuleSpec
	groups map[groupKey]*outputGroup
	makes  map[cell]*rule // which rule makes an output field
	takes  map[cell]*rule // which rule includes a field in an output
	errs   []error
}

func (c *compiler) errorf(at strictjson.Place, format string, args ...any) {
	c.errs = append(c.errs, at.Errorf(format, args...))
}

func (c *compiler) warnf(at strictjson.Place, format string, args ...any) {
	if !at.Coded() {
		at = at.As(CodeWarning)
	}
	c.p.warnings = append(c.p.warnings, at.Errorf(format, args...))
}

// at is the place of a member, or of the object that lacks it.
func at(r strictjson.Raw, member string) strictjson.Place {
	if m := r.Member(member); !m.IsZero() {
		return m.At
	}
	return r.At
}

// elemAt is the place of an element of a member that is an array.
func elemAt(r strictjson.Raw, member string, i int) strictjson.Place {
	if elems := r.Member(member).Elems(); i < len(elems) {
		return elems[i].At
	}
	return at(r, member)
}

// missing complains about a member that has to be there. One that was written
// wrongly has been complained about by Decode, and so has what is no object.
func (c *compiler) missing(r strictjson.Raw, member string) {
	isObject := r.IsZero() || r.Kind() == strictjson.Object
	if isObject && r.Member(member).IsZero() {
		c.errs = append(c.errs, r.Missing(member))
	}
}

func (c *compiler) sources() {
	if len(c.in.Sources) == 0 {
		c.missing(c.in.raw, "sources")
	}
	if n := len(c.in.Sources); n > maxSources {
		c.errorf(at(c.in.raw, "sources"), "%d sources; want at most %d", n, maxSources)
	}
	seen := map[string]bool{}
	for i := range c.in.Sources {
		s := &c.in.Sources[i]
		if s.ID == "" {
			c.missing(s.raw, "id")
		} else if seen[s.ID] {
			c.errorf(at(s.raw, "id").As(strictjson.NotUnique), "source %q is there twice; want each id once", s.ID)
		}
		seen[s.ID] = true
		c.sourceFeeds(s)
		c.p.sources = append(c.p.sources, c.searched(*s))
	}
}

func (c *compiler) sourceFeeds(s *SourceSpec) {
	if len(s.Feeds) == 0 {
		c.missing(s.raw, "feeds")
		if feeds := s.raw.Member("feeds"); feeds.Kind() == strictjson.Array {
			c.errorf(feeds.At, "an empty list; want at least one feed")
		}
	}
	seen := map[string]bool{}
	for i := range s.Feeds {
		f := &s.Feeds[i]
		if f.ID == "" {
			c.missing(f.raw, "id")
		} else if seen[f.ID] {
			c.errorf(at(f.raw, "id").As(strictjson.NotUnique), "feed %q is there twice; want each id once", f.ID)
		}
		seen[f.ID] = true
		if len(c.in.Rules) > 0 && !c.isRead(s, f) {
			c.warnf(at(f.raw, "id").As(CodeUnread), "no rule reads feed %q of source %q", f.ID, s.ID)
		}
	}
}

func (c *compiler) isRead(s *SourceSpec, f *SourceFeed) bool {
	return slices.ContainsFunc(c.in.Rules, func(r RuleSpec) bool {
		joins := slices.ContainsFunc(r.Joins, func(j Join) bool { return j.SourceID == s.ID && j.SourceFeedID == f.ID })
		return joins || r.SourceID == s.ID && r.SourceFeedID == f.ID
	})
}

// searched is the source with the filter that finds its twins.
func (c *compiler) searched(s SourceSpec) SourceSpec {
	model := Property{Key: PropModel, Value: Literal{Kind: URI, Value: s.ModelDID}}
	switch {
	case s.ModelDID != "" && len(s.Filter.Properties) == 0:
		s.Filter.Properties = []Property{model}
	case s.ModelDID != "" && contradicts(s.Filter, model):
		c.warnf(at(s.raw, "modelDid").As(CodeOtherModel), "filter asks for another model than modelDid %q; the filter counts", s.ModelDID)
	case s.Filter.Empty() && s.raw.Kind() != strictjson.Object && !s.raw.IsZero():
		// Decode has complained
	case s.Filter.Empty():
		c.errorf(s.raw.At.Start().As(CodeEveryTwin), "neither filter nor modelDid, which would match every twin; want one of them")
	}
	return s
}

func contradicts(f Filter, model Property) bool {
	asksForModel := slices.ContainsFunc(f.Properties, func(p Property) bool { return p.Key == PropModel })
	return asksForModel && !slices.Contains(f.Properties, model)
}

func quoted(s string) string { return string(AppendText(nil, s)) }
