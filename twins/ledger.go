package twins

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Ledger is what one account keeps of one twin: entries with names, as Trusted
// Twin has them. It stands in one document together with what is still to be told
// of its changes.
type Ledger struct {
	Entries map[string]*Entry `json:"entries"`
	Created Timestamp         `json:"created,omitzero"` // of the newest entry
	Updated Timestamp         `json:"updated,omitzero"`
	Changed Timestamp         `json:"changed,omitzero"` // the newest change of a value
	Changes uint64            `json:"changes"`          // how often it has changed
	Unsent  []LedgerChange    `json:"unsent,omitempty"` // the oldest first
}

// LedgerFeed is the feed on which a twin tells of its ledger: that of the
// installation's own account. Another account's has the account in its name too,
// after a colon.
const LedgerFeed = "ledger"

// IsLedgerFeed says whether a feed tells of a ledger.
func IsLedgerFeed(id string) bool { return id == LedgerFeed || strings.HasPrefix(id, LedgerFeed+":") }

// Entry is one of a ledger. It has a value, or shows the last value of a feed or
// another entry.
type Entry struct {
	Value      json.RawMessage `json:"value,omitempty"`
	Feed       *FeedLink       `json:"feed,omitempty"`
	Ref        *EntryLink      `json:"ref,omitempty"`
	Include    *EntryLink      `json:"include,omitempty"`
	Visibility json.RawMessage `json:"visibility,omitempty"` // who else sees it; nil: nobody
	History    string          `json:"history,omitempty"`    // for how long its values are kept; "": not
	Timeseries json.RawMessage `json:"timeseries,omitempty"` // kept for clients that set it
	Publish    *LedgerPublish  `json:"publish,omitempty"`
	Created    Timestamp       `json:"entry_created_ts"`
	Updated    Timestamp       `json:"entry_updated_ts"` // of what the entry is, not of its value
	Changed    Timestamp       `json:"value_changed_ts"`
}

// Linked says whether the entry shows what is elsewhere.
func (e *Entry) Linked() bool { return e.Feed != nil || e.Ref != nil || e.Include != nil }

// FeedLink is a field of the last sample of one of the twin's feeds.
type FeedLink struct {
	Feed  string `json:"feed"`
	Field string `json:"field,omitempty"` // a path with dots; "": all of it
}

// EntryLink is an entry of another ledger.
type EntryLink struct {
	Twin    string
	Account string // "": the ledger's own
	Entry   string
}

// LedgerPublish says when a change of an entry is told on a topic, and on which.
type LedgerPublish struct {
	Rule   json.RawMessage `json:"rule,omitempty"` // JSONLogic over the change; nil: always
	Topics []string        `json:"topic"`
}

// LedgerChange is what one request has done to a ledger.
type LedgerChange struct {
	Number  uint64          `json:"number"` // of the ledger's changes, from 1
	At      Timestamp       `json:"at"`
	Entries []EntryChange   `json:"entries"` // by name
	Data    json.RawMessage `json:"data"`    // the sample that tells of it
}

// EntryChange is what became of one entry.
type EntryChange struct {
	Name    string          `json:"name"`
	Op      EntryOp         `json:"op"`
	Old     json.RawMessage `json:"old,omitempty"`     // its value before; nil: none
	New     json.RawMessage `json:"new,omitempty"`     // its value since; nil: none
	Topics  []string        `json:"topics,omitempty"`  // who is to be told
	History string          `json:"history,omitempty"` // for how long its values are kept; "": not
}

// EntryOp is a kind of change.
type EntryOp string

// The kinds of change of an entry.
const (
	EntryAdded   EntryOp = "added"
	EntryUpdated EntryOp = "updated"
	EntryDeleted EntryOp = "deleted"
)

// The errors of entries that cannot be changed as wanted.
var (
	ErrEntryThere   = errors.New("the entry is there already")
	ErrEntryMissing = errors.New("no such entry")
	ErrEntryLinked  = errors.New("the entry shows what is elsewhere; its value cannot be set")
	ErrEntryValued  = errors.New("the entry has a value; it cannot become a link")
	ErrLedgerFull   = errors.New("the ledger is too large")
)

// MaxLedger is how many bytes the entries of a ledger may have.
const MaxLedger = 64 << 10

// changedName is the field of a sample that names the entries that have changed.
const changedName = "_changed"

// Add adds entries, and says of those that it did not add why. The other error
// wraps ErrLedgerFull; then the ledger is of no use.
func (l *Ledger) Add(entries map[string]EntryUpdate, at Timestamp) (refused map[string]error, err error) {
	return l.change(slices.Collect(maps.Keys(entries)), at, func(name string, e *Entry, at Timestamp) (*Entry, error) {
		if e != nil {
			return nil, fmt.Errorf("entry %q: %w", name, ErrEntryThere)
		}
		u := entries[name]
		added := &Entry{Created: at, Updated: at, Changed: at}
		return added, u.apply(added, at)
	})
}

// Update changes entries, and says of those that it did not change why. What
// an update does not say stays as it is. See Add.
func (l *Ledger) Update(entries map[string]EntryUpdate, at Timestamp) (refused map[string]error, err error) {
	return l.change(slices.Collect(maps.Keys(entries)), at, func(name string, e *Entry, at Timestamp) (*Entry, error) {
		if e == nil {
			return nil, fmt.Errorf("%w: %q", ErrEntryMissing, name)
		}
		u, changed := entries[name], *e
		if err := u.fits(e); err != nil {
			return nil, fmt.Errorf("entry %q: %w", name, err)
		}
		return &changed, u.apply(&changed, at)
	})
}

// Delete deletes entries, and says of those that it did not delete why.
func (l *Ledger) Delete(names []string, at Timestamp) (refused map[string]error, err error) {
	return l.change(names, at, func(name string, e *Entry, _ Timestamp) (*Entry, error) {
		if e == nil {
			return nil, fmt.Errorf("%w: %q", ErrEntryMissing, name)
		}
		return nil, nil
	})
}

// change puts what become makes of each entry in its place; nil deletes it.
func (l *Ledger) change(names []string, at Timestamp, become func(name string, e *Entry, at Timestamp) (*Entry, error)) (refused map[string]error, _ error) {
	if l.Entries == nil {
		l.Entries = map[string]*Entry{}
	}
	if newest := max(l.Created, l.Updated, l.Changed); l.Changes > 0 {
		at = max(at, newest+1) // each change has a time of its own, whatever the clock
	}
	slices.Sort(names)
	refused = map[string]error{}
	before := maps.Clone(l.Entries)
	var changes []EntryChange
	for _, name := range slices.Compact(names) {
		old := before[name]
		e, err := become(name, old, at)
		if err != nil {
			refused[name] = err
			continue
		}
		c, changed := entryChange(name, old, e)
		if !changed {
			continue
		}
		changes = append(changes, c)
		l.put(name, e)
	}
	if len(changes) == 0 {
		return refused, nil
	}
	if text, err := json.Marshal(l.Entries); err != nil || len(text) > MaxLedger {
		return nil, errors.Join(fmt.Errorf("%w: %d bytes; want at most %d", ErrLedgerFull, len(text), MaxLedger), err)
	}
	return refused, l.note(changes, before, at)
}

func (l *Ledger) put(name string, e *Entry) {
	if e == nil {
		delete(l.Entries, name)
		return
	}
	l.Entries[name] = e
	l.Created, l.Updated, l.Changed = max(l.Created, e.Created), max(l.Updated, e.Updated), max(l.Changed, e.Changed)
}

// entryChange is the difference of an entry, if there is any.
func entryChange(name string, old, e *Entry) (c EntryChange, changed bool) {
	c = EntryChange{Name: name, Op: EntryUpdated}
	if old == nil {
		c.Op = EntryAdded
	} else {
		c.Old = old.Value
	}
	if e == nil {
		c.Op = EntryDeleted
	} else {
		c.New, c.History = e.Value, e.History
	}
	return c, old == nil || e == nil || !old.same(e)
}

func (e *Entry) same(o *Entry) bool {
	a, err := json.Marshal(e)
	b, wrong := json.Marshal(o)
	return err == nil && wrong == nil && string(a) == string(b)
}

// note keeps what is to be told of the changes.
func (l *Ledger) note(changes []EntryChange, before map[string]*Entry, at Timestamp) error {
	values := map[string]json.RawMessage{}
	for name, e := range l.Entries {
		if !e.Linked() {
			values[name] = e.Value
		}
	}
	for i := range changes {
		c := &changes[i]
		e := l.Entries[c.Name]
		if e == nil {
			e = before[c.Name]
		}
		c.Topics = e.topics(c, values, at)
	}
	var names []string
	for _, c := range changes {
		names = append(names, c.Name)
	}
	changed, err := json.Marshal(names)
	if err != nil {
		return err
	}
	values[changedName] = changed
	data, err := json.Marshal(values)
	if err != nil {
		return err
	}
	l.Changes++
	l.Unsent = append(l.Unsent, LedgerChange{Number: l.Changes, At: at, Entries: changes, Data: data})
	return nil
}

// Sent takes changes off what is still to be told, up to the one of that number.
func (l *Ledger) Sent(upTo uint64) {
	l.Unsent = slices.DeleteFunc(l.Unsent, func(c LedgerChange) bool { return c.Number <= upTo })
}
