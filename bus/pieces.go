package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// pieceBytes is how much of a value goes into one message: less than any
// server's usual limit.
const pieceBytes = 512 << 10

// Revision tells one save of a value from another; 0 = there is none.
type Revision uint64

// ErrOvertaken says that somebody else has saved since.
var ErrOvertaken = errors.New("somebody else has saved since")

// head says which pieces are the newest value under a name. The pieces of each
// save have keys of their own, and the head is written after them, by compare
// and set: a value is there whole or not at all, and two savers never mix.
// (The client's object store would do, but it leaks a goroutine now and then in
// a put: nats.go v1.55.0, cleanupReplySub.)
type head struct {
	Save   string `json:"save,omitempty"`  // part of the keys of the pieces; "" = they lie at Place
	Place  int    `json:"place,omitempty"` // 0 or 1; as it was written before saves had names
	Pieces int    `json:"chunks"`
	Sum    string `json:"sha256"`
	Seq    uint64 `json:"seq,omitempty"` // of FEED, for which the value stands

	// Who wrote it after which revision, so that they know it again when the
	// answer was lost.
	By    string   `json:"by,omitempty"`
	After Revision `json:"after,omitempty"`
}

func (h *head) key(name string, piece int) string {
	if h.Save == "" {
		return fmt.Sprintf("%s.%d.%d", name, h.Place, piece)
	}
	return fmt.Sprintf("%s.%s.%d", name, h.Save, piece)
}

func sum(value []byte) string {
	digest := sha256.Sum256(value)
	return hex.EncodeToString(digest[:])
}

// bucketSubject is where a bucket has what lies under a key.
func bucketSubject(kv jetstream.KeyValue, key string) string { return "$KV." + kv.Bucket() + "." + key }

func bucketStream(kv jetstream.KeyValue) string { return "KV_" + kv.Bucket() }

// savePieces keeps a value of any size in place of the one that has the revision.
func (b *Bus) savePieces(ctx context.Context, kv jetstream.KeyValue, name string, value []byte, seq uint64, after Revision) (Revision, error) {
	h := head{Save: nuid.Next(), Sum: sum(value), Seq: seq, By: b.id, After: after}
	var first uint64
	for piece := range slices.Chunk(value, pieceBytes) {
		at, err := kv.Put(ctx, h.key(name, h.Pieces), piece)
		if err != nil {
			return 0, err
		}
		if h.Pieces == 0 {
			first = at
		}
		h.Pieces++
	}
	r, err := b.putHead(ctx, kv, name, h, after)
	if errors.Is(err, ErrOvertaken) {
		b.tidy(ctx, kv, name+"."+h.Save+".>", 0)
	}
	if err != nil {
		return 0, err
	}
	if first == 0 {
		first = uint64(r)
	}
	// No head names the pieces before these any more, and none will: whoever
	// saves next begins after having seen this head.
	b.tidy(ctx, kv, name+".>", first)
	return r, nil
}

// putHead writes the head if the one there has the revision still, or is an
// earlier attempt of the same writer.
func (b *Bus) putHead(ctx context.Context, kv jetstream.KeyValue, name string, h head, after Revision) (Revision, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return 0, err
	}
	for {
		r, err := kv.Update(ctx, name, text, uint64(after))
		if err == nil || !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return Revision(r), err
		}
		there, at, err := b.readHead(ctx, kv, name)
		switch {
		case err != nil:
			return 0, err
		case h.By == "" || there.By != h.By || there.After != h.After:
			return 0, ErrOvertaken
		}
		after = at
	}
}

// tidy deletes what lies under keys and came before the sequence; 0 = all of
// it. What it leaves is left to the next one.
func (b *Bus) tidy(ctx context.Context, kv jetstream.KeyValue, keys string, before uint64) {
	b.purge(ctx, bucketStream(kv), bucketSubject(kv, keys), before) //nolint:errcheck // see above
}

// replacePieces keeps a value of any size in place of whatever is there.
func (b *Bus) replacePieces(ctx context.Context, kv jetstream.KeyValue, name string, value []byte) error {
	for {
		_, after, err := b.readHead(ctx, kv, name)
		if err != nil {
			return err
		}
		if _, err = b.savePieces(ctx, kv, name, value, 0, after); !errors.Is(err, ErrOvertaken) {
			return err
		}
	}
}

// readHead gives the head under a name; revision 0 when there is none.
func (b *Bus) readHead(ctx context.Context, kv jetstream.KeyValue, name string) (h head, r Revision, err error) {
	m, err := b.ask(ctx, bucketStream(kv), question{LastOf: bucketSubject(kv, name)})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return h, 0, nil
	}
	if err != nil {
		return h, 0, err
	}
	if err := json.Unmarshal(m.Data, &h); err != nil {
		return h, 0, fmt.Errorf("the head of %s: %w", name, err)
	}
	return h, Revision(m.Sequence), nil
}

// loadPieces gives the value under a name; nil and 0 when there is none.
func (b *Bus) loadPieces(ctx context.Context, kv jetstream.KeyValue, name string) ([]byte, Revision, error) {
	for {
		h, r, err := b.readHead(ctx, kv, name)
		if err != nil || r == 0 {
			return nil, 0, err
		}
		value, err := b.collect(ctx, kv, name, &h)
		if err == nil {
			return value, r, nil
		}
		// Pieces go when the next head is there.
		if _, now, headErr := b.readHead(ctx, kv, name); headErr != nil || now == r {
			return nil, 0, err
		}
	}
}

func (b *Bus) collect(ctx context.Context, kv jetstream.KeyValue, name string, h *head) ([]byte, error) {
	value := []byte{}
	for piece := range h.Pieces {
		m, err := b.ask(ctx, bucketStream(kv), question{LastOf: bucketSubject(kv, h.key(name, piece))})
		if err != nil {
			return nil, fmt.Errorf("chunk %d: %w", piece, err)
		}
		value = append(value, m.Data...)
	}
	if sum(value) != h.Sum {
		return nil, errors.New("its sum is not the one in its head")
	}
	return value, nil
}
