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
	Feed        string    // output: the output feed
	At          time.Time // the sample's time
	Data        []byte    // one JSON object
	Seq         uint64    // cause: the sample's Sample.Seq
	Index       uint32    // cause: the sample's Sample.Index
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
}

// The states of an alert.
const (
	StateFiring   = "firing"
	StateResolved = "resolved"
)
