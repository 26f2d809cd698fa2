package rules

import "time"

// Kind says what an outcome is.
type Kind string

// The kinds of outcome.
const (
	Output       Kind = "output"
	Alert        Kind = "alert"
	Notification Kind = "notification"
	Sticker      Kind = "sticker"
	Command      Kind = "command"
)

// Outcome is what a rule decided. Its JSON form is what `engine replay` prints
// and what sinks receive; see AppendJSON.
type Outcome struct {
	Kind        Kind
	Interaction string
	Rule        string
	Twin        string    // output: the output twin, offline the source twin; else the twin that was judged
	Feed        string    // output: the output feed; alert: ""
	At          time.Time // the sample's time; of an alert that Close ends, the time of the end
	Data        []byte    // one JSON object on one line
	Seq         uint64    // cause: the sample's Sample.Seq
	Index       uint32    // the sample's Sample.Index; not in the JSON
	Source      string    // the source twin; not in the JSON
	Hops        uint8     // one more than the sample's; not in the JSON

	// Alerts only.
	ID       string // of the episode: stable from raise to resolve, the same after a redelivery
	State    string // StateFiring or StateResolved
	Severity string // critical, major, minor, warning or info
	Starts   time.Time
	Ends     time.Time // zero while firing
	Summary  string
	Labels   map[string]string
	Reason   string // why the state is what it is: one of the reasons below
}

// The states of an alert.
const (
	StateFiring   = "firing"
	StateResolved = "resolved"
)

// The reasons of an alert's state.
const (
	ReasonCondition   = "condition"   // the conditions became true, or false
	ReasonRuleChanged = "ruleChanged" // what the rule asks was edited, or its interaction disabled
	ReasonRuleDeleted = "ruleDeleted"
	ReasonTwinRemoved = "twinRemoved" // the twin is gone, or no longer matches the rule's source
)
