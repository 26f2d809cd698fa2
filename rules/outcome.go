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
	Twin        string         // output: the output twin, offline the source twin; else the twin that was judged
	Feed        string         // output: the output feed; sticker: its colour; notification of a rule: its topic; alert: ""
	At          time.Time      // the sample's time; of an alert that Close ends, the time of the end
	Data        []byte         // one JSON object on one line
	Seq         uint64         // cause: the sample's Sample.Seq
	Index       uint32         // the sample's Sample.Index
	Ordinal     uint32         // which of the outcomes of its sample, from 0
	Count       uint32         // of the outcomes of its sample; 0: no stream has it, and its JSON tells of Seq alone
	Source      string         // the source twin; not in the JSON
	Hops        uint8          // one more than the sample's
	Topic       string         // notifications only
	Sticker     *StickerChange // stickers only
	Notice      *Notice        // notifications that a rule makes; nil of those that a route makes of alerts
	Shadow      bool           // of a rule in ModeShadow: it is recorded, and nobody is told; "mode":"shadow" in JSON
	Refused     string         // why this sticker or notification cannot be made: it is a dead letter, and goes nowhere; not in the JSON

	// Of alerts, and of what they do, which has the ID alone.
	ID       string // of the episode: stable from raise to resolve, the same after a redelivery
	State    string // StateFiring or StateResolved
	Severity string // critical, major, minor, warning or info
	Starts   time.Time
	Ends     time.Time // zero while firing
	Summary  string
	Labels   map[string]string
	Reason   string // why the state is what it is: one of the reasons below
	Life     *Life  // the rest of what is known of the episode
}

// Action is what a person does to an alert.
type Action struct {
	Do          string // one of the actions below
	ID          string // of the episode
	Interaction string
	Rule        string
	By, Comment string    // who and why
	Until       time.Time // shelve: to when
}

// The actions.
const (
	Acknowledge   = "ack"
	Unacknowledge = "unack"
	Clear         = "clear"
	Shelve        = "shelve"
	Unshelve      = "unshelve"
	Reset         = "reset"
	Comment       = "comment"
)

// Life is what an alert's outcome tells of its episode beyond its first form:
// three axes that never mix (condition, acknowledgement, suppression), as in OPC
// UA Part 9 and ThingsBoard, and the status that people see.
type Life struct {
	Number      uint32       // of the event in its episode, from 1; receivers drop lower ones
	Event       string       // one of the events below
	Feed        string       // of the rule
	Revision    string       // of the rule: the hash of what it means
	Key         string       // interaction|rule|twin|feed|instance: one episode at a time has it
	Status      string       // derived from the axes; one of the statuses below
	Active      bool         // the condition axis; "condition" in JSON is active or normal
	Label       string       // the author's word for the severity
	Previous    string       // the severity before this event, if it was another
	Pending     time.Time    // when the conditions became true; zero when the rule does not wait
	Ack         Ack          // the acknowledgement axis
	Latched     bool         // stays until somebody resets it
	Flapping    bool         // changes so often that its changes are not told
	Suppression *Suppression // the suppression axis; nil when nothing is
	Counts      Counts
	Silent      bool   // no notification for this event; "notify":false in JSON
	By, Comment string // who caused the event, where a person did
	Description string
	Runbook     string
}

// Ack says whether somebody took the alert.
type Ack struct {
	Required bool // a cleared alert stays until it is acknowledged
	By       string
	At       time.Time // zero: nobody has
	Comment  string
}

// Suppression says why an alert is quiet, and until when.
type Suppression struct {
	By      string    `json:"by"` // one of the suppressions below
	Until   time.Time `json:"until,omitzero"`
	Person  string    `json:"person,omitempty"`  // shelved: who
	Comment string    `json:"comment,omitempty"` // shelved: why
	Rules   []string  `json:"rules,omitempty"`   // inhibited: by the alerts of these rules
}

// Counts are an episode's numbers.
type Counts struct {
	Samples    uint64 `json:"samples"`    // of its feed since it was raised, the first one included
	Raises     uint64 `json:"raises"`     // more than one where a latched or unacknowledged alert was raised again
	Repeats    uint64 `json:"repeats"`    // of the notification
	Suppressed uint64 `json:"suppressed"` // events that were not told since the last one that was
}

// The events of an episode.
const (
	EventRaised         = "raised"
	EventUpdated        = "updated" // another severity
	EventCleared        = "cleared"
	EventRepeated       = "repeated" // still firing
	EventAcknowledged   = "acknowledged"
	EventUnacknowledged = "unacknowledged"
	EventCommented      = "commented"
	EventShelved        = "shelved"
	EventUnshelved      = "unshelved"
	EventSuppressed     = "suppressed"
	EventUnsuppressed   = "unsuppressed"
	EventFlapping       = "flapping"
	EventReset          = "reset"  // a latched alert was let go
	EventClosed         = "closed" // acknowledged after it had cleared
)

// The statuses of an episode, for people.
const (
	StatusFiring       = "firing"
	StatusAcknowledged = "acknowledged"
	StatusRecovering   = "recovering" // normal again, but not yet for as long as the rule asks
	StatusShelved      = "shelved"
	StatusSuppressed   = "suppressed"
	StatusLatched      = "latched" // normal again, waits for a reset
	StatusCleared      = "cleared" // normal again, waits for an acknowledgement
	StatusClosed       = "closed"
)

// What suppresses an alert.
const (
	ByShelf     = "shelved"
	ByInhibitor = "inhibited"
	BySchedule  = "schedule"
)

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
	ReasonTimer       = "timer"       // it had lasted long enough
	ReasonAbsent      = "absent"      // no sample came
	ReasonManual      = "manual"      // a person did it
)
