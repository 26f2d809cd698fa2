package rules

import (
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/duration"
	"tocsin.internal/rules/geo"
	"tocsin.internal/rules/schedule"
)

// Stateful are the fields that make a rule remember. They stand beside the
// conditions and mean the same for every kind of rule; docs/fields has a page
// for each.
type Stateful struct {
	For             time.Duration
	ClearFor        time.Duration
	KeepFiringFor   time.Duration
	MaxGap          time.Duration // 0: three times For
	AllowedLateness time.Duration
	RepeatInterval  time.Duration
	ClearCondition  *Condition
	Repeat          *Repeat
	Absent          *Absent
	Unchanged       *Unchanged
	Rates           []Rate
	Window          *Window
	Aggregates      []Aggregate
	Emit            string // EmitEvery, EmitOnChange, EmitEdge or ""
	OnChange        *OnChange
	OnMissing       OnMissing
	Schedule        *schedule.Schedule
	Throttle        *Throttle
	Levels          []Level
	UpwardOnly      bool // levels: "lowering":false
	InhibitedBy     []string
	Flapping        *Flapping
	Joins           []Join
	GroupBy         *GroupBy
	Quorum          *Quorum
	Geofence        *Geofence
	Sequence        *Sequence
	Enrichments     []Enrich
	Latched         bool // a cleared alert stays until somebody resets it
	AckRequired     bool // a cleared alert stays until somebody acknowledges it
}

// The values of emit.
const (
	EmitEvery    = "every"    // every verdict; the default
	EmitOnChange = "onChange" // those that differ from the last one sent
	EmitEdge     = "edge"     // from false to true only
)

// Repeat asks for many true samples.
type Repeat struct {
	Count       int
	Within      time.Duration // 0: no matter how long it takes
	Consecutive bool
}

// Absent asks for samples that do not come.
type Absent struct {
	For, Grace  time.Duration
	ExpectFirst bool // a twin that has never shared counts from when it was found
}

// Unchanged asks for a value that stays the same while samples come.
type Unchanged struct {
	Field     string
	For       time.Duration
	Tolerance float64
}

// Rate is a variable: $rate.<Name>.
type Rate struct {
	Name, Field string
	Per, Window time.Duration
	Mode        string
	NonNegative bool

	raw strictjson.Raw
}

// Window collects samples; its aggregates are variables.
type Window struct {
	Type                              string
	Size, Slide, Timeout, MaxDuration time.Duration
	Count, MinSamples                 int
	AlignFirst                        bool

	raw strictjson.Raw
}

// Aggregate is a variable: $agg.<Name>.
type Aggregate struct {
	Name, Op, Field string
	Percentile      float64

	raw strictjson.Raw
}

// OnChange lets only samples through in which a field has changed.
type OnChange struct {
	Fields       []string
	Deadband     float64
	IncludeFirst bool
}

// OnMissing says what an unknown condition means.
type OnMissing struct {
	Mode   string // one of the modes below, or ""
	MaxAge time.Duration
}

// The modes of onMissing.
const (
	MissingSkip      = "skip" // no decision; the default
	MissingFalse     = "false"
	MissingLastKnown = "lastKnown"
	MissingEvaluate  = "evaluate" // JSONLogic's own meaning: null counts as 0
	MissingError     = "error"
)

// effect is what becomes of a condition whose input no sample has.
func (m OnMissing) effect(required bool) string {
	switch {
	case !required:
		return "no sample has it"
	case m.Mode == MissingFalse:
		return "in no sample: this condition is always false"
	case m.Mode == MissingEvaluate:
		return "in no sample: it counts as null, which is 0"
	}
	return "unknown on every sample: this condition never decides"
}

// Throttle bounds how often a rule tells.
type Throttle struct {
	Max int
	Per time.Duration
}

// Level is a severity that holds by a condition, after a time, or both.
type Level struct {
	Severity, Label string
	Logic, Clear    strictjson.Raw
	After           time.Duration

	raw strictjson.Raw
}

// Flapping is when an alert changes too often to be told: shares of changes in
// the last Window verdicts.
type Flapping struct {
	Window    int
	Low, High float64
}

// Join makes the latest sample of another feed, or of other twins, variables.
type Join struct {
	As                     string
	SourceID, SourceFeedID string
	Property               string // "": the feed of the same twin; else both twins have the same value of it
	Tolerance              time.Duration

	raw strictjson.Raw
}

// GroupBy makes one instance of the rule for all twins with the same value.
type GroupBy struct {
	Property string // "": all twins of the source
	MaxAge   time.Duration
}

// Quorum asks how many members of the group have to be true.
type Quorum struct {
	Count int
	Ratio float64
}

// Geofence asks where a twin is.
type Geofence struct {
	Area         *geo.Area
	On           string
	Lat, Lon     string // the fields
	Accuracy     string // field, in metres; "": none
	Dwell        time.Duration
	ExitBufferKm float64
	EmitInitial  bool
}

// The values of on.
const (
	FenceInside  = "inside"
	FenceOutside = "outside"
	FenceEnter   = "enter"
	FenceExit    = "exit"
)

// Sequence asks for steps one after the other.
type Sequence struct {
	Steps  []Step
	Within time.Duration
	Strict bool
}

// Step is one element of a sequence.
type Step struct {
	ID    string
	Logic strictjson.Raw
	Count int
	Not   bool
	For   time.Duration

	raw strictjson.Raw
}

// Enrich makes properties variables: <As>.<name>.
type Enrich struct {
	From, As   string
	Properties map[string]string // by name; others are found by the end of their keys
	Default    map[string]strictjson.Raw

	raw strictjson.Raw
}

// span is a positive duration, spanOrZero one that may be zero.
type (
	span       time.Duration
	spanOrZero time.Duration
)

// DecodeStrict reads "15m" or "PT15M".
func (s *span) DecodeStrict(r strictjson.Raw) error {
	d, err := duration.Decode(r)
	*s = span(d)
	return err
}

// DecodeStrict reads it, or "0s".
func (s *spanOrZero) DecodeStrict(r strictjson.Raw) error {
	d, err := duration.DecodeOrZero(r)
	*s = spanOrZero(d)
	return err
}
