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
)

// pieceBytes is how much of a value goes into one message: less than any
// server's usual limit.
const pieceBytes = 512 << 10

// head says where the newest value under a name is. It is written after the
// pieces, which lie in two places in turn: a value is there whole or not at all.
// (The client's object store would do, but it leaks a goroutine now and then in
// a put: nats.go v1.55.0, cleanupReplySub.)
type head struct {
	Place  int    `json:"place"` // 0 or 1
	Pieces int    `json:"chunks"`
	Sum    string `json:"sha256"`
}

func (h head) key(name string, piece int) string {
	return fmt.Sprintf("%s.%d.%d", name, h.Place, piece)
}

func sum(value []byte) string {
	digest := sha256.Sum256(value)
	return hex.EncodeToString(digest[:])
}

// savePieces keeps a value of any size in place of the one before.
func savePieces(ctx context.Context, kv jetstream.KeyValue, name string, value []byte) error {
	old, _, err := readHead(ctx, kv, name)
	if err != nil {
		return err
	}
	next := head{Place: 1 - old.Place, Sum: sum(value)}
	for piece := range slices.Chunk(value, pieceBytes) {
		if _, err := kv.Put(ctx, next.key(name, next.Pieces), piece); err != nil {
			return err
		}
		next.Pieces++
	}
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	_, err = kv.Put(ctx, name, text)
	return err
}

func readHead(ctx context.Context, kv jetstream.KeyValue, name string) (h head, found bool, err error) {
	e, err := kv.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return h, false, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), &h)
	}
	return h, err == nil, err
}

// loadPieces gives the value under a name, or nil when there is none.
func loadPieces(ctx context.Context, kv jetstream.KeyValue, name string) ([]byte, error) {
	h, found, err := readHead(ctx, kv, name)
	if err != nil || !found {
		return nil, err
	}
	value := []byte{}
	for piece := range h.Pieces {
		e, err := kv.Get(ctx, h.key(name, piece))
		if err != nil {
			return nil, fmt.Errorf("chunk %d: %w", piece, err)
		}
		value = append(value, e.Value()...)
	}
	if sum(value) != h.Sum {
		return nil, errors.New("its sum is not the one in its head")
	}
	return value, nil
}
