package rules

import (
	"slices"

	"tocsin.internal/rules/logic"
)

// Program is a compiled interaction. It never changes, so that workers share it.
type Program struct {
	in       Interaction
	sources  []SourceSpec
	rules    []*rule
	outputs  []Feed
	warnings []error
	text     []byte
	hash     string

	feeds      []string // the source feeds that rules read; their places in State.newest
	plans      map[string]*plan
	alerts     []*alertRule // their places in State.episodes
	alertNamed map[string]*alertRule
	stateful   []*stateful
	timed      bool // something can fall due without a sample
	links      []Link
	linked     []link // by Link.ID
	inhibits   bool   // an alert inhibits another
	watch      func(Judged)
}

// rule is what every kind of rule has.
type rule struct {
	name       string
	kind       string // "alert", "sticker", "notification" or "transformation"
	shadow     bool   // its outcomes are recorded only
	shadowOf   string
	hash       string // of what it asks; its state outlives edits of everything else
	index      int    // in Program.rules and Counters.rules
	at         int    // in plan.rules
	source     int    // in Program.sources
	feed       string
	conditions []*logic.Expr
	included   []field // in first-seen order

	shared   *plan     // of its feed
	plan     *plan     // what it is judged by: the shared one, or its own
	feedSlot int       // in State.feeds
	stateful *stateful // nil: it remembers nothing but whether its alert fires
}

func (r *rule) includes(name string) bool {
	return slices.ContainsFunc(r.included, func(f field) bool { return f.name == name })
}

// plan is all that a sample of one feed can decide.
type plan struct {
	slot    int // in State.newest
	intakes []intake
	steps   []step // in the order of the rules
	rules   []*rule
	many    *manyAlerts // nil while there are few
	single  []step      // the steps before they were gathered; nil while there are few

	// The fields that are wanted as they were written, by their index, and the
	// index of each by its path.
	fields  [][]string
	fieldAt map[string]int
}

// step turns a sample into outcomes; each kind of rule has its own.
type step interface {
	judge(v *view, s *Sample, st *State, t turn, out []Outcome) []Outcome
}

// turn is what is known of a sample before the first rule is judged.
type turn struct {
	live   SourceSet // the sources that take the sample
	late   bool      // not newer than the newest
	at     int64
	newest int64 // before it; noTime: none
}

// intake is a feed of a source.
type intake struct {
	source int
	fields []int // its fieldIds, in plan.fields; none: every sample is taken
}

// ID is the interaction's.
func (p *Program) ID() string { return p.in.ID }

// Label is the interaction's name for people.
func (p *Program) Label() string { return p.in.Label }

// OutputLabel is the text of the label of output twins: see [Interaction].
func (p *Program) OutputLabel() string { return p.in.OutputLabel }

// Enabled says whether the program decides anything.
func (p *Program) Enabled() bool { return p.in.Enabled }

// Sources are the interaction's; the index is the bit in a SourceSet. A
// source's Filter is the one to search with: it includes the ModelDID where
// that stands for it.
func (p *Program) Sources() []SourceSpec { return p.sources }

// Feeds are the output feeds that some rule names.
func (p *Program) Feeds() []Feed { return p.outputs }

// Takes says whether a sample of the feed can decide anything.
func (p *Program) Takes(feed string) bool { return p.in.Enabled && p.plans[feed] != nil }

// Timed says whether something can fall due without a sample.
func (p *Program) Timed() bool { return p.timed }

// WantsFacts says whether a rule reads properties of a twin or of its model.
func (p *Program) WantsFacts() bool {
	return slices.ContainsFunc(p.stateful, func(r *stateful) bool { return len(r.enrich) > 0 })
}

// Rules are the names of the rules, in the order of the document. A rule's name
// is its id; a transformation without one is called
// <sourceId>.<sourceFeedId>.<outputFeedId>.<outputFieldId>.
func (p *Program) Rules() []string {
	names := make([]string, len(p.rules))
	for i, r := range p.rules {
		names[i] = r.name
	}
	return names
}

// RuleInfo says what a rule is, for lists of rules.
type RuleInfo struct {
	Name, Kind, Mode string
	ShadowOf         string // "INTERACTION/RULE", "RULE" of the same interaction, or "": a live rule of the same name in another one
}

// Infos are those of the rules, in the order of the document.
func (p *Program) Infos() []RuleInfo {
	infos := make([]RuleInfo, len(p.rules))
	for i, r := range p.rules {
		infos[i] = RuleInfo{r.name, r.kind, ModeLive, r.shadowOf}
		if r.shadow {
			infos[i].Mode = ModeShadow
		}
		if p.in.ShadowOf != "" && r.shadowOf == "" {
			infos[i].ShadowOf = p.in.ShadowOf + "/" + r.name
		}
	}
	return infos
}

// Mode is that of the interaction as a whole.
func (p *Program) Mode() string { return p.in.Mode }

// Warnings are what the author should know of a program that is valid.
func (p *Program) Warnings() []error { return p.warnings }

// Text is a document that Load turns into the same program.
func (p *Program) Text() []byte { return slices.Clone(p.text) }

// Hash is the same for documents that mean the same: 16 hexadecimal digits.
func (p *Program) Hash() string { return p.hash }
