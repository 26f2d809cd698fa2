package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"tocsin.internal/accounts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/subscriptions"
	"tocsin.internal/twins"
)

// maxUntoldLedger bounds a ledger's document with what is still to be told of it.
const maxUntoldLedger = 768 << 10

// ErrUntold says that so much is still to be told of a ledger that nothing can be added.
var ErrUntold = errors.New("the last changes have not been told yet; try again")

// The ids of documents on the shelf of ledgers.
func recordID(twin string) string { return "twin:" + twin }
func ledgerID(l LedgerOf) string  { return "ledger:" + l.Account + ":" + l.Twin }
func historyID(l LedgerOf, entry string) string {
	return "history:" + l.Account + ":" + entry + ":" + l.Twin
}

// LedgerOf names the ledger that an account keeps of a twin.
type LedgerOf struct {
	Twin    string `json:"twin"`
	Account string `json:"account"`
}

// ledgerDocument is a ledger as it is stored.
type ledgerDocument struct {
	Of LedgerOf `json:"of"`
	twins.Ledger
}

func readLedger(text string) (d ledgerDocument, err error) {
	if text != "" {
		err = json.Unmarshal([]byte(text), &d)
	}
	return d, err
}

// TwinRecord is what is kept of a twin; ok says whether there is anything.
func (e *Engine) TwinRecord(ctx context.Context, twin string) (r twins.Record, ok bool, err error) {
	text, _, err := e.bus.Document(ctx, bus.Ledgers, recordID(twin))
	if err != nil || text == "" {
		return r, false, err
	}
	return r, true, json.Unmarshal([]byte(text), &r)
}

// EditTwinRecord keeps what edit makes of what is kept of a twin; see EditDocument.
func (e *Engine) EditTwinRecord(ctx context.Context, twin string, edit func(r twins.Record, known bool) (twins.Record, error)) error {
	return e.editDocument(ctx, bus.Ledgers, recordID(twin), func(there string) (string, error) {
		var r twins.Record
		if there != "" {
			if err := json.Unmarshal([]byte(there), &r); err != nil {
				return "", err
			}
		}
		r, err := edit(r, there != "")
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(r)
		return string(text), err
	})
}

// Ledger is what an account keeps of a twin.
func (e *Engine) Ledger(ctx context.Context, of LedgerOf) (*twins.Ledger, error) {
	text, _, err := e.bus.Document(ctx, bus.Ledgers, ledgerID(of))
	if err != nil {
		return nil, err
	}
	d, err := readLedger(text)
	return &d.Ledger, err
}

// EditLedger changes a ledger, while nobody else does; what it says of its
// changes is told. See EditDocument. The error may wrap ErrUntold.
func (e *Engine) EditLedger(ctx context.Context, of LedgerOf, edit func(*twins.Ledger) error) error {
	return e.editDocument(ctx, bus.Ledgers, ledgerID(of), func(there string) (string, error) {
		d, err := readLedger(there)
		if err != nil {
			return "", err
		}
		d.Of = of
		before := d.Changes
		if err := edit(&d.Ledger); err != nil {
			return "", err
		}
		if d.Changes == before {
			return there, nil
		}
		text, err := json.Marshal(&d)
		if err == nil && len(text) > maxUntoldLedger {
			err = ErrUntold
		}
		return string(text), err
	})
}

// LedgerHistory is the past values of an entry of a ledger. What the ledger has told
// is in the history, so that one is read after it: else a change that is told between
// the two would be in neither.
func (e *Engine) LedgerHistory(ctx context.Context, of LedgerOf, entry string) (h twins.History, err error) {
	l, err := e.Ledger(ctx, of)
	if err != nil {
		return h, err
	}
	text, _, err := e.bus.Document(ctx, bus.Ledgers, historyID(of, entry))
	if err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &h)
	}
	if err != nil {
		return h, err
	}
	for i := range l.Unsent {
		h.Apply(&l.Unsent[i], entry)
	}
	return h, nil
}

// untoldChange is a change of a ledger that has not been told.
type untoldChange struct {
	of LedgerOf
	twins.LedgerChange
}

// ledgers is the outbox of what has become of ledgers.
func (e *Engine) ledgers() outbox[untoldChange] {
	return outbox[untoldChange]{
		shelf: bus.Ledgers,
		read: func(text string) (unsent []untoldChange, err error) {
			if !strings.Contains(text, `"unsent"`) {
				return nil, nil // of the other documents on the shelf too
			}
			d, err := readLedger(text)
			for _, c := range d.Unsent {
				unsent = append(unsent, untoldChange{d.Of, c})
			}
			return unsent, err
		},
		tell: func(ctx context.Context, _ string, c untoldChange) error { return e.tellLedger(ctx, &c) },
		drop: func(there string, told []untoldChange) (string, error) {
			d, err := readLedger(there)
			if err != nil {
				return "", err
			}
			d.Sent(told[len(told)-1].Number)
			text, err := json.Marshal(&d)
			return string(text), err
		},
	}
}

// tellLedger keeps the values of a change, publishes its notices, and stores the
// sample that rules judge.
func (e *Engine) tellLedger(ctx context.Context, c *untoldChange) error {
	for _, change := range c.Entries {
		if err := e.keepHistory(ctx, c, change.Name); err != nil {
			return err
		}
	}
	notices, err := c.notices()
	if err != nil {
		return err
	}
	for _, n := range notices {
		body, err := n.Encode()
		if err != nil {
			return err
		}
		if err := e.bus.PutNotice(ctx, n.Account, n.Topic, bus.Notice{ID: n.ID, Body: body}); err != nil {
			return err
		}
	}
	return e.shareLedger(ctx, c)
}

// id is that of something that is told of the change: the same whenever it is told.
func (c *untoldChange) id(of ...string) string {
	parts := append([]string{c.of.Twin, c.of.Account, strconv.FormatUint(c.Number, 10)}, of...)
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("tocsin:ledger:"+strings.Join(parts, "\n"))).String()
}

func (e *Engine) keepHistory(ctx context.Context, c *untoldChange, entry string) error {
	return e.editDocument(ctx, bus.Ledgers, historyID(c.of, entry), func(there string) (string, error) {
		var h twins.History
		if there != "" {
			if err := json.Unmarshal([]byte(there), &h); err != nil {
				return "", err
			}
		}
		h.Apply(&c.LedgerChange, entry)
		if len(h.Records) == 0 {
			return "", nil
		}
		text, err := json.Marshal(h)
		return string(text), err
	})
}

// entryEvent is what subscribers are told of an entry that has changed.
type entryEvent struct {
	New     json.RawMessage `json:"new_value"`
	Old     json.RawMessage `json:"old_value"`
	Changed twins.Timestamp `json:"changed_ts"`
}

// notices are one for each topic and kind of change, in an order of their own.
func (c *untoldChange) notices() (out []subscriptions.Notice, err error) {
	type key struct{ topic, trigger string }
	all := map[key]map[string]entryEvent{}
	for _, change := range c.Entries {
		for _, topic := range change.Topics {
			k := key{topic, "ledger.entry." + string(change.Op)}
			if all[k] == nil {
				all[k] = map[string]entryEvent{}
			}
			all[k][change.Name] = entryEvent{change.New, change.Old, c.At}
		}
	}
	for k, entries := range all {
		event, err := json.Marshal(entries)
		if err != nil {
			return nil, err
		}
		out = append(out, subscriptions.Notice{
			ID: c.id(k.trigger, k.topic), Trigger: k.trigger, Account: c.of.Account, Topic: k.topic, Twin: c.of.Twin, Event: event, At: c.At.Time(),
		})
	}
	slices.SortFunc(out, func(a, b subscriptions.Notice) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Trigger, b.Trigger))
	})
	return out, nil
}

// shareLedger stores the sample of a change on the twin's feed of the ledger. A
// twin that has been terminated has none.
func (e *Engine) shareLedger(ctx context.Context, c *untoldChange) error {
	feed := twins.LedgerFeed
	if c.of.Account != accounts.Own() {
		feed += ":" + c.of.Account
	}
	known, err := e.describeLedger(ctx, c.of.Twin, feed)
	if err != nil || !known {
		return err
	}
	last, err := e.bus.LastID(ctx, c.of.Twin, feed)
	if err != nil {
		return err
	}
	if numberOfSample(last) >= c.Number {
		return nil // the worker before has stored it, however long ago
	}
	id := fmt.Sprintf("%s%d:%s:%s", sampleIDs, c.Number, c.of.Account, c.of.Twin)
	return e.EmitFrom(twins.LedgerFeed)(ctx, rules.Sample{Twin: c.of.Twin, Feed: feed, At: c.At.Time(), Data: c.Data, ID: id})
}

// sampleIDs begins the ids under which the samples of ledgers are put; the number
// of the change follows.
const sampleIDs = "ledger:"

// numberOfSample is the number of the change that a sample tells of; 0 of another id.
func numberOfSample(id string) uint64 {
	rest, _ := strings.CutPrefix(id, sampleIDs)
	number, _, _ := strings.Cut(rest, ":")
	n, err := strconv.ParseUint(number, 10, 64)
	if rest == id || err != nil {
		return 0
	}
	return n
}

// describeLedger sees to it that a twin has the feed of a ledger, so that rules
// can follow it; known says whether there is the twin.
func (e *Engine) describeLedger(ctx context.Context, twin, feed string) (known bool, err error) {
	if t, ok := e.Twin(twin); ok {
		if _, has := t.Feed(feed); has {
			return true, nil
		}
	}
	err = e.EditTwin(ctx, twin, func(t twins.Twin, there bool) (twins.Twin, error) {
		known = there
		if !there {
			return t, ErrNoTwin
		}
		return t.WithFeed(rules.Feed{ID: feed, StoreLast: true}), nil
	})
	if errors.Is(err, ErrNoTwin) {
		return false, nil
	}
	return known, err
}

// withLedgers is a twin that is described anew, with the feeds of its ledgers:
// who describes it knows nothing of them.
func (e *Engine) withLedgers(t twins.Twin) twins.Twin {
	if old, ok := e.Twin(t.ID); ok {
		return ledgersOf(old, t)
	}
	return t
}

// ledgersOf is t with the feeds of the ledgers that old has.
func ledgersOf(old *twins.Twin, t twins.Twin) twins.Twin {
	for _, f := range old.Feeds {
		if _, has := t.Feed(f.ID); !has && twins.IsLedgerFeed(f.ID) {
			t = t.WithFeed(f)
		}
	}
	return t
}
