package rules

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
)

// Interaction is the document that a rule author writes, as it was read.
// Compile says whether it makes sense.
type Interaction struct {
	ID, Label string
	Feeds     []Feed // the output feeds; Compile describes those that a rule names and that are not here
	Enabled   bool
	Mode      string // ModeLive or ModeShadow: of all its rules
	ShadowOf  string // the interaction that it is compared with; "": see Program.Infos
	Sources   []SourceSpec
	Rules     []RuleSpec

	// OutputLabel is the label of output twins, in which {{source}} and
	// {{interaction}} stand for the two labels; "" is "{{source}} - {{interaction}}".
	OutputLabel string

	raw      strictjson.Raw
	wrong    error // what Decode has found
	warnings []error
	unknowns []error // those of warnings that may be what is missing elsewhere
}

// SourceSpec says which twins and feeds the rules read.
type SourceSpec struct {
	ID       string
	Feeds    []SourceFeed
	Filter   Filter
	ModelDID string        // the model the twins were made from; it stands for a filter when Filter.Properties is empty
	Refresh  time.Duration // between two searches for twins; at least a second
	Cleanup  time.Duration // from a twin's last match until its output twin is deleted; 0 = never

	raw strictjson.Raw
}

// SourceFeed is one feed of a source. With FieldIDs, samples that have none of
// them are ignored.
type SourceFeed struct {
	ID       string
	FieldIDs []string

	raw strictjson.Raw
}

// RuleSpec is one element of rules: what all kinds have in common, and one kind.
type RuleSpec struct {
	ID           string // an alert has one; a transformation may
	SourceID     string
	SourceFeedID string
	Mode         string      // ModeLive or ModeShadow
	ShadowOf     string      // the rule that it is compared with; "": see Program.Infos
	Conditions   []Condition // all of them are required
	Stateful

	// Exactly one is set.
	Transformation *Transformation
	Alert          *AlertSpec

	raw strictjson.Raw
}

// Condition is one JSONLogic expression.
type Condition struct {
	Logic    strictjson.Raw
	Included []string // fields of the sample that go out with the outcome

	raw strictjson.Raw
}

// Transformation is the rule kind of IOTICS: an output for true, another for false.
type Transformation struct {
	FeedID, FieldID string
	True, False     strictjson.Raw // JSON scalars; absent or null: no output
}

// AlertSpec is the rule kind that fires when its conditions become true and
// resolves when they become false. The kinds sticker and notification are alerts
// of which nobody is told: what they do is all that comes of them.
type AlertSpec struct {
	Does        Kind   // Alert; of a rule of one of the other kinds Sticker or Notification
	Severity    string // critical, major, minor, warning or info
	Label       string // the author's word for it
	Summary     string // text with {{field}}; "" for the default
	Description string // text with {{field}}
	Runbook     string // where it says what to do, a URL
	Labels      map[string]string
	Stickers    []StickerSpec
	Notices     []NoticeSpec
}

// The modes of interactions and rules. What shadows decide is recorded, and
// nobody is told of it.
const (
	ModeLive   = "live"
	ModeShadow = "shadow"
)

// Raw is the document as it was written; the zero Raw when it could not be read.
func (in *Interaction) Raw() strictjson.Raw { return in.raw }

// Raw is the source as it was written.
func (s *SourceSpec) Raw() strictjson.Raw { return s.raw }

// Raw is the feed as it was written.
func (f *SourceFeed) Raw() strictjson.Raw { return f.raw }

// Raw is the rule as it was written, without its kind.
func (r *RuleSpec) Raw() strictjson.Raw { return r.raw }

// Raw is the condition as it was written.
func (c *Condition) Raw() strictjson.Raw { return c.raw }

// The defaults of a source.
const (
	DefaultRefresh = 300 * time.Second
	DefaultCleanup = 900 * time.Second
)

// Decode reads an interaction file, or a bare IOTICS configuration, whose id is
// then its folder's name (interaction.json) or its own without the ending. The
// error has every problem of the document's form with its place; Compile gives
// it again, together with what is wrong with the meaning of what could be read.
func Decode(name string, text []byte) (Interaction, error) {
	in := Interaction{ID: idOf(name), Enabled: true}
	var schema string
	var feeds strictjson.Raw
	in.decode(name, text, false, fields{
		"$schema": &schema,
		"id":      (*named)(&in.ID),
		"label":   &in.Label,
		"feeds":   &feeds,
	})
	var err error
	in.Feeds, err = DecodeFeeds(feeds)
	in.wrong = strictjson.Join(in.wrong, err)
	if in.Label == "" {
		in.Label = in.ID
	}
	return in, in.wrong
}

// DecodeConfig is Decode for the configuration in a property of an interaction
// twin, whose id, label and feeds are the twin's. A field that is not known is a
// warning there (Program.Warnings), but for those of filters and of rules that
// are no transformations: without these they would mean something else.
func DecodeConfig(id, label string, feeds []Feed, name string, text []byte) (Interaction, error) {
	in := Interaction{ID: id, Label: label, Feeds: feeds, Enabled: true}
	if label == "" {
		in.Label = id
	}
	in.decode(name, text, true, nil)
	return in, in.wrong
}

// Load is Decode and Compile in one; its error has the problems of both.
func Load(name string, text []byte) (*Program, error) {
	in, _ := Decode(name, text) // Compile says it again
	return Compile(in)
}

// decode reads the members that every form has, and those of the wrapper.
func (in *Interaction) decode(name string, text []byte, fromTwin bool, wrapper fields) {
	raw, err := strictjson.Parse(name, text)
	in.raw = raw
	d := decoder{forgiving: fromTwin, errs: []error{err}}
	var sources, rules strictjson.Raw
	var mode strictjson.Raw
	known := fields{"enabled": &in.Enabled, "mode": &mode, "shadowOf": (*named)(&in.ShadowOf), "outputLabel": (*named)(&in.OutputLabel), "sources": &sources, "rules": &rules}
	maps.Copy(known, wrapper)
	d.object(raw, known)
	in.Mode = d.mode(mode)
	for _, r := range d.array(sources) {
		in.Sources = append(in.Sources, d.source(r))
	}
	for _, r := range d.array(rules) {
		in.Rules = append(in.Rules, d.rule(r))
	}
	in.wrong, in.warnings, in.unknowns = strictjson.Join(d.errs...), slices.Concat(d.unknowns, d.warnings), d.unknowns
}

// idOf is the id of a document that does not say its own; "" when the file has no name.
func idOf(name string) string {
	base := filepath.Base(name)
	if base == "interaction.json" {
		folder := filepath.Base(filepath.Dir(name))
		if folder != "." && folder != ".." && folder != string(filepath.Separator) {
			return folder
		}
	}
	id := strings.TrimSuffix(base, filepath.Ext(base))
	if id == "-" || id == "." || id == string(filepath.Separator) {
		return ""
	}
	return id
}
