package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// The bucket of the rules has three things: under the id of an interaction the
// document that runs, each change of it a revision; under rulesetHead the
// revisions of the set that was pushed; and the pieces of these sets. A key that
// stands for an id has no dot.
const (
	rulesetPrefix = "ruleset."
	rulesetHead   = rulesetPrefix + "head"
	rulesKept     = 64 // revisions
)

// Ruleset is a revision of the set of rules that was pushed to the server.
type Ruleset struct {
	Number uint64 // 1, 2, 3 …
	At     time.Time
	Note   json.RawMessage // what the caller says of it

	head rulesetRecord
}

// rulesetRecord is a revision in the bucket: a set is there whole or not at all,
// because its pieces are written before it.
type rulesetRecord struct {
	Number uint64          `json:"number"`
	Note   json.RawMessage `json:"note"`
	Save   string          `json:"save"` // part of the keys of its pieces
	Pieces int             `json:"pieces"`
	First  uint64          `json:"first"` // sequence of the first piece
	Sum    string          `json:"sha256"`
}

func (r *rulesetRecord) key(piece int) string {
	return fmt.Sprintf("%s%s.%d", rulesetPrefix, r.Save, piece)
}

// LastRuleset is the newest revision; Number 0: there is none.
func (b *Bus) LastRuleset(ctx context.Context) (Ruleset, error) {
	r, _, err := b.lastRuleset(ctx)
	if err != nil {
		return r, b.rulesetError(err)
	}
	return r, nil
}

func (b *Bus) rulesetError(err error) error {
	return fmt.Errorf("bucket %s: the set of rules: %w", b.rules.Bucket(), away(err))
}

func (b *Bus) lastRuleset(ctx context.Context) (r Ruleset, revision uint64, err error) {
	m, err := b.ask(ctx, bucketStream(b.rules), question{LastOf: bucketSubject(b.rules, rulesetHead)})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return r, 0, nil
	}
	if err != nil {
		return r, 0, err
	}
	r, err = readRuleset(m.Data, m.Time)
	return r, m.Sequence, err
}

func readRuleset(text []byte, at time.Time) (Ruleset, error) {
	r := Ruleset{At: at}
	if err := json.Unmarshal(text, &r.head); err != nil {
		return r, err
	}
	r.Number, r.Note = r.head.Number, r.head.Note
	return r, nil
}

// Rulesets are the revisions that are kept, the newest first.
func (b *Bus) Rulesets(ctx context.Context) ([]Ruleset, error) {
	entries, err := b.rules.History(ctx, rulesetHead)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, b.rulesetError(err)
	}
	var all []Ruleset
	for _, e := range entries {
		if e.Operation() != jetstream.KeyValuePut {
			continue
		}
		r, err := readRuleset(e.Value(), e.Created())
		if err != nil {
			return nil, b.rulesetError(err)
		}
		all = append(all, r)
	}
	slices.Reverse(all)
	return all, nil
}

// LoadRuleset gives the set of a revision, byte for byte.
func (b *Bus) LoadRuleset(ctx context.Context, r *Ruleset) ([]byte, error) {
	set := []byte{}
	for piece := range r.head.Pieces {
		m, err := b.ask(ctx, bucketStream(b.rules), question{LastOf: bucketSubject(b.rules, r.head.key(piece))})
		if err != nil {
			return nil, b.rulesetError(fmt.Errorf("revision %d, piece %d: %w", r.Number, piece, err))
		}
		set = append(set, m.Data...)
	}
	if sum(set) != r.head.Sum {
		return nil, b.rulesetError(fmt.Errorf("revision %d: its sum is not the one that was written down", r.Number))
	}
	return set, nil
}

// SaveRuleset makes a set the newest revision, if the one that is after still is.
// The error wraps ErrOvertaken when somebody else has saved since; after any
// other one the set may be there.
func (b *Bus) SaveRuleset(ctx context.Context, after uint64, note json.RawMessage, set []byte) (Ruleset, error) {
	last, revision, err := b.lastRuleset(ctx)
	if err == nil && last.Number != after {
		err = ErrOvertaken
	}
	if err != nil {
		return Ruleset{}, b.rulesetError(err)
	}
	r, err := b.saveRuleset(ctx, rulesetRecord{Number: after + 1, Note: note, Save: nuid.Next(), Sum: sum(set)}, revision, set)
	if err != nil {
		return r, b.rulesetError(err)
	}
	return r, nil
}

func (b *Bus) saveRuleset(ctx context.Context, head rulesetRecord, revision uint64, set []byte) (Ruleset, error) {
	for piece := range slices.Chunk(set, pieceBytes) {
		at, err := b.rules.Put(ctx, head.key(head.Pieces), piece)
		if err != nil {
			return Ruleset{}, err
		}
		if head.Pieces == 0 {
			head.First = at
		}
		head.Pieces++
	}
	text, err := json.Marshal(head)
	if err != nil {
		return Ruleset{}, err
	}
	_, failed := b.rules.Update(ctx, rulesetHead, text, revision)
	last, _, err := b.lastRuleset(ctx)
	switch {
	case err == nil && last.head.Save == head.Save:
		b.tidyRulesets(ctx)
		return last, nil
	case failed == nil: // another one has followed already, or the answer is not there
		return Ruleset{Number: head.Number, At: time.Now(), Note: head.Note, head: head}, nil
	case errors.Is(failed, jetstream.ErrKeyRevisionMismatch):
		b.tidy(ctx, b.rules, rulesetPrefix+head.Save+".>", 0)
		return Ruleset{}, ErrOvertaken
	}
	return Ruleset{}, failed
}

// tidyRulesets drops the pieces of revisions that are not kept any more. What it
// leaves is left to the next one.
func (b *Bus) tidyRulesets(ctx context.Context) {
	all, err := b.Rulesets(ctx)
	if err == nil && len(all) == rulesKept {
		b.tidy(ctx, b.rules, rulesetPrefix+"*.*", all[len(all)-1].head.First)
	}
}

// FollowRuleset calls change when there may be another revision of the set, until
// ctx ends.
func (b *Bus) FollowRuleset(ctx context.Context, change func()) {
	b.follow(ctx, b.rules, rulesetHead, 0, func(jetstream.KeyValueEntry) { change() }, change)
}

// RuleRevision is the document of an interaction that was put last.
type RuleRevision struct {
	ID       string
	Doc      []byte
	Revision uint64
	At       time.Time
}

// RuleRevisions are those of all interactions.
func (b *Bus) RuleRevisions(ctx context.Context) ([]RuleRevision, error) {
	w, err := b.rules.Watch(ctx, "*", jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", b.rules.Bucket(), err)
	}
	defer w.Stop() //nolint:errcheck // it ends with the context at the latest
	var all []RuleRevision
	for {
		select {
		case e := <-w.Updates():
			if e == nil {
				return all, nil
			}
			all = append(all, RuleRevision{unkey(e.Key()), e.Value(), e.Revision(), e.Created()})
		case <-ctx.Done():
			return nil, fmt.Errorf("bucket %s: %w", b.rules.Bucket(), ctx.Err())
		}
	}
}

// MaxMessage is how many bytes a message may have.
func (b *Bus) MaxMessage() int { return int(b.nc.MaxPayload()) }
