package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Shelf is a bucket of documents, each under an id, that are changed one at a
// time and never by two at once.
type Shelf int

// The shelves.
const (
	Identities    Shelf = iota // documents of DIDs, as their owners have signed them
	Accounts                   // accounts, users, roles and the hashes of secrets
	Stickers                   // stickers, and what is still to be told of them
	Ledgers                    // ledgers of twins
	Subscriptions              // who is told of a topic, and where
	shelves
)

// shelfNames are the buckets' names and descriptions, and for how long it can be
// seen of a document that it has gone; 0: for ever.
var shelfNames = [shelves]struct {
	bucket, description string
	markers             time.Duration
}{
	Identities:    {"dids", "documents of users, agents and twins, as their owners have signed them", 0},
	Accounts:      {"accounts", "accounts, users, roles and the hashes of secrets", 0},
	Stickers:      {"stickers", "stickers on twins, and what is still to be told of them", deskMarkers},
	Ledgers:       {"ledgers", "ledgers of twins, an account each", 0},
	Subscriptions: {"subscriptions", "who is told of a topic, and where", deskMarkers},
}

// deskMarkers is for shelves that have many documents, for a short while, and that
// only the desk follows: whoever is away for so long has lost the desk, and reads
// all anew when it is there again.
const deskMarkers = time.Hour

func (b *Bus) shelf(s Shelf) jetstream.KeyValue { return b.shelves[s] }

// Document gives what is kept under an id, as the server's leader has it: "" and
// revision 0 when there is nothing.
func (b *Bus) Document(ctx context.Context, s Shelf, id string) (string, Revision, error) {
	kv := b.shelf(s)
	m, err := b.ask(ctx, bucketStream(kv), question{LastOf: bucketSubject(kv, key(id))})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, fmt.Errorf("bucket %s: %q: %w", kv.Bucket(), id, err)
	}
	if len(m.Data) == 0 {
		return "", Revision(m.Sequence), nil // deleted; the revision is what a change has to name
	}
	return string(m.Data), Revision(m.Sequence), nil
}

// FollowDocuments calls change for each id whose document changes from now on,
// until ctx ends.
func (b *Bus) FollowDocuments(ctx context.Context, s Shelf, change func(id string)) {
	kv := b.shelf(s)
	after, err := b.revision(ctx, kv)
	if err != nil {
		after = 0 // they come once more
	}
	b.follow(ctx, kv, ">", after, func(e jetstream.KeyValueEntry) { change(unkey(e.Key())) }, func() {})
}

// WatchDocuments calls change for each document that there is, ready once after
// them, and change for each that changes after that, until ctx ends. "" says that
// the document is gone.
func (b *Bus) WatchDocuments(ctx context.Context, s Shelf, change func(id, text string, r Revision), ready func()) {
	b.follow(ctx, b.shelf(s), ">", 0, func(e jetstream.KeyValueEntry) {
		change(unkey(e.Key()), string(document(e)), Revision(e.Revision()))
	}, ready)
}

// PutDocument keeps a text under an id in place of the one with the revision
// after, and gives its own; 0 = there must be none. The error may wrap
// ErrOvertaken: then nothing was kept.
func (b *Bus) PutDocument(ctx context.Context, s Shelf, id, text string, after Revision) (Revision, error) {
	kv := b.shelf(s)
	r, err := kv.Update(ctx, key(id), []byte(text), uint64(after))
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		err = ErrOvertaken
	}
	if err != nil {
		return 0, fmt.Errorf("bucket %s: %q: %w", kv.Bucket(), id, away(err))
	}
	return Revision(r), nil
}

// DeleteDocument forgets what is kept under an id with the revision after. The
// error may wrap ErrOvertaken.
func (b *Bus) DeleteDocument(ctx context.Context, s Shelf, id string, after Revision) error {
	kv := b.shelf(s)
	remove, is := kv.Delete, []jetstream.KVDeleteOpt{jetstream.LastRevision(uint64(after))}
	if ttl := shelfNames[s].markers; ttl > 0 {
		remove, is = kv.Purge, append(is, jetstream.PurgeTTL(ttl))
	}
	err := remove(ctx, key(id), is...)
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		err = ErrOvertaken
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %q: %w", kv.Bucket(), id, away(err))
	}
	return nil
}
