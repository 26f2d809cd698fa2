package bus

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// another is a second bus on the same server, as another worker has it.
func another(t *testing.T, b *Bus) *Bus {
	t.Helper()
	return open(t, Config{URL: b.ClientURL(), Partitions: b.config.Partitions})
}

// keys are the keys of the bucket of snapshots that fit the pattern.
func keys(t *testing.T, b *Bus, pattern string) (got []string) {
	t.Helper()
	s, err := b.js.Stream(t.Context(), bucketStream(b.snaps))
	require.NoError(t, err)
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(bucketSubject(b.snaps, pattern)))
	require.NoError(t, err)
	for subject := range info.State.Subjects {
		got = append(got, strings.TrimPrefix(subject, bucketSubject(b.snaps, "")))
	}
	return got
}

func snapshotOf(t *testing.T, b *Bus, p int) (string, Revision) {
	t.Helper()
	state, r, err := b.LoadSnapshot(t.Context(), p)
	require.NoError(t, err)
	return string(state), r
}

func TestASnapshotIsSavedAfterTheOneThatWasSeen(t *testing.T) {
	b := open(t, Config{Partitions: 4, Listen: "127.0.0.1:0"})
	other := another(t, b)
	state, r := snapshotOf(t, b, 3)
	assert.Empty(t, state)
	assert.Zero(t, r)
	claimed, err := b.ClaimSnapshot(t.Context(), 3, 0)
	require.NoError(t, err)
	assert.Zero(t, claimed, "there is nothing to claim")

	first, err := b.SaveSnapshot(t.Context(), 3, 10, []byte("first"), 0)
	require.NoError(t, err)
	_, err = other.SaveSnapshot(t.Context(), 3, 99, []byte("mine"), 0)
	require.ErrorIs(t, err, ErrOvertaken)
	second, err := b.SaveSnapshot(t.Context(), 3, 20, []byte("second"), first)
	require.NoError(t, err)
	_, err = other.ClaimSnapshot(t.Context(), 3, first)
	require.ErrorIs(t, err, ErrOvertaken)
	claimed, err = other.ClaimSnapshot(t.Context(), 3, second)
	require.NoError(t, err)
	assert.Greater(t, claimed, second)
	_, err = b.SaveSnapshot(t.Context(), 3, 30, []byte("too late"), second)
	require.ErrorIs(t, err, ErrOvertaken)
	state, r = snapshotOf(t, b, 3)
	assert.Equal(t, "second", state)
	assert.Equal(t, claimed, r)
	assert.Len(t, keys(t, b, "p3.>"), 1, "who was overtaken leaves nothing")

	seqs, err := b.SnapshotSeqs(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []uint64{0, 0, 0, 20}, seqs)
}

// An owner whose answer was lost saves again after the revision that it knows;
// one that somebody has claimed from it since does not.
func TestASnapshotWhoseAnswerWasLostIsSavedAgain(t *testing.T) {
	b := open(t, Config{})
	first, err := b.SaveSnapshot(t.Context(), 0, 1, []byte("first"), 0)
	require.NoError(t, err)
	_, err = b.SaveSnapshot(t.Context(), 0, 2, []byte("unanswered"), first)
	require.NoError(t, err)
	again, err := b.SaveSnapshot(t.Context(), 0, 3, []byte("again"), first)
	require.NoError(t, err)
	state, r := snapshotOf(t, b, 0)
	assert.Equal(t, "again", state)
	assert.Equal(t, again, r)

	_, err = b.SaveSnapshot(t.Context(), 0, 4, []byte("unanswered"), again)
	require.NoError(t, err)
	_, r = snapshotOf(t, b, 0)
	_, err = b.ClaimSnapshot(t.Context(), 0, r)
	require.NoError(t, err)
	_, err = b.SaveSnapshot(t.Context(), 0, 5, []byte("too late"), again)
	require.ErrorIs(t, err, ErrOvertaken)
}

// What this code's predecessor wrote: pieces in two places in turn, and a head
// that has no sequence.
func TestSnapshotsOfAnOlderVersionAreRead(t *testing.T) {
	b := open(t, Config{Partitions: 2})
	for key, value := range map[string]string{
		"p1.0.0": "of before", "p1.1.0": `{"version":1,`, "p1.1.1": `"seq":17}`,
		"p1": `{"place":1,"chunks":2,"sha256":"696ff086602af58b91f452e29f366e4f41513a3dc726049522ae0b1a1aa5c10d"}`,
	} {
		_, err := b.snaps.Put(t.Context(), key, []byte(value))
		require.NoError(t, err)
	}
	state, r := snapshotOf(t, b, 1)
	assert.Equal(t, `{"version":1,"seq":17}`, state)
	seqs, err := b.SnapshotSeqs(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []uint64{0, 0}, seqs)
	r, err = b.ClaimSnapshot(t.Context(), 1, r)
	require.NoError(t, err)
	state, _ = snapshotOf(t, b, 1)
	assert.Equal(t, `{"version":1,"seq":17}`, state)
	_, err = b.SaveSnapshot(t.Context(), 1, 18, []byte("new"), r)
	require.NoError(t, err)
	state, _ = snapshotOf(t, b, 1)
	assert.Equal(t, "new", state)
	assert.Len(t, keys(t, b, "p1.>"), 1, "what lay at the two places is gone")
}

func TestWhatACrashedSaveLeftIsTidied(t *testing.T) {
	b := open(t, Config{})
	large := bytes.Repeat([]byte("state"), 300_000)
	r, err := b.SaveSnapshot(t.Context(), 1, 1, large, 0)
	require.NoError(t, err)
	for _, key := range []string{"p1.crashed.0", "p1.crashed.1", "p10.other.0"} {
		_, err := b.snaps.Put(t.Context(), key, []byte("left"))
		require.NoError(t, err)
	}
	require.Len(t, keys(t, b, "p1.>"), 5)
	r, err = b.SaveSnapshot(t.Context(), 1, 2, large, r)
	require.NoError(t, err)
	assert.Len(t, keys(t, b, "p1.>"), 3)
	assert.Len(t, keys(t, b, "p10.>"), 1, "another partition's stays")
	_, err = b.SaveSnapshot(t.Context(), 1, 3, nil, r)
	require.NoError(t, err)
	assert.Empty(t, keys(t, b, "p1.>"))
	state, _, err := b.LoadSnapshot(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, []byte{}, state, "an empty state is one")
}

// Several that take themselves for the owner save at once: each value that is
// read is one that was saved whole, and each save that succeeded is followed.
func TestSnapshotsOfSeveralSaversDoNotMix(t *testing.T) {
	b := open(t, Config{Listen: "127.0.0.1:0"})
	const savers, saves = 3, 6
	var mu sync.Mutex
	after := map[Revision]string{}
	var unanswered atomic.Bool // a save, of which the pieces may stay until the next one
	var wg sync.WaitGroup
	for i := range savers {
		saver := another(t, b)
		wg.Go(func() {
			for done := 0; done < saves; {
				_, r, err := saver.LoadSnapshot(t.Context(), 5)
				if Away(err) {
					continue // the server is busy
				}
				if !assert.NoError(t, err) {
					return
				}
				name := fmt.Sprintf("saver %d, save %d", i, done)
				state := bytes.Repeat([]byte(name), pieceBytes/len(name)*5/2)
				got, err := saver.SaveSnapshot(t.Context(), 5, 1, state, r)
				if Away(err) {
					unanswered.Store(true)
					continue
				}
				if err != nil {
					assert.ErrorIs(t, err, ErrOvertaken)
					continue
				}
				done++
				mu.Lock()
				assert.Empty(t, after[r], "only one may follow revision %d", r)
				after[r] = name
				mu.Unlock()
				assert.Greater(t, got, r)
			}
		})
	}
	wg.Wait()
	assert.Len(t, after, savers*saves)
	if !unanswered.Load() {
		assert.Len(t, keys(t, b, "p5.>"), 3)
	}
}
