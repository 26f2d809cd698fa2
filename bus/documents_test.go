package bus

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDocuments(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	const id = "did:iotics:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQbC"
	text, r, err := b.Document(t.Context(), Identities, id)
	require.NoError(t, err)
	assert.Empty(t, text)
	assert.Zero(t, r)
	_, err = b.PutDocument(t.Context(), Identities, id, "one", 0)
	require.NoError(t, err)
	_, err = b.PutDocument(t.Context(), Identities, id, "two", 0)
	require.ErrorIs(t, err, ErrOvertaken)
	text, r, err = b.Document(t.Context(), Identities, id)
	require.NoError(t, err)
	assert.Equal(t, "one", text)
	next, err := b.PutDocument(t.Context(), Identities, id, "two", r)
	require.NoError(t, err)
	_, err = b.PutDocument(t.Context(), Identities, id, "three", r)
	require.ErrorIs(t, err, ErrOvertaken)
	text, _, err = b.Document(t.Context(), Identities, id)
	require.NoError(t, err)
	assert.Equal(t, "two", text)
	require.ErrorIs(t, b.DeleteDocument(t.Context(), Identities, id, r), ErrOvertaken)
	require.NoError(t, b.DeleteDocument(t.Context(), Identities, id, next))
	text, r, err = b.Document(t.Context(), Identities, id)
	require.NoError(t, err)
	assert.Empty(t, text)
	_, err = b.PutDocument(t.Context(), Identities, id, "again", r)
	require.NoError(t, err)
	text, _, err = b.Document(t.Context(), Stickers, id)
	require.NoError(t, err)
	assert.Empty(t, text, "each shelf has its own")
}

func TestWatchDocuments(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	before, err := b.PutDocument(t.Context(), Stickers, "a b", "x", 0)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	seen, ended := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(ended)
		b.WatchDocuments(ctx, Stickers, func(id, text string, r Revision) { seen <- id + ":" + text }, func() { seen <- "ready" })
	}()
	assert.Equal(t, "a b:x", <-seen)
	assert.Equal(t, "ready", <-seen)
	require.NoError(t, b.DeleteDocument(t.Context(), Stickers, "a b", before))
	assert.Equal(t, "a b:", <-seen)
	stop()
	<-ended
}

// Of each sticker that ever was a marker stayed, for ever.
func TestMarkersOfStickersStay(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	for _, s := range []Shelf{Stickers, Subscriptions} {
		r, err := b.PutDocument(t.Context(), s, "a", "x", 0)
		require.NoError(t, err)
		require.ErrorIs(t, b.DeleteDocument(t.Context(), s, "a", r+1), ErrOvertaken)
		require.NoError(t, b.DeleteDocument(t.Context(), s, "a", r))
		stream := bucketStream(b.shelf(s))
		m, err := b.ask(t.Context(), stream, question{LastOf: bucketSubject(b.shelf(s), "a")})
		require.NoError(t, err)
		assert.Equal(t, "1h0m0s", m.Header.Get("Nats-TTL"))
		text, r, err := b.Document(t.Context(), s, "a")
		require.NoError(t, err)
		assert.Empty(t, text)

		// When the marker has gone, who knows of it has to look again, and who puts anew does.
		require.NoError(t, b.purge(t.Context(), stream, bucketSubject(b.shelf(s), "a"), 0))
		_, err = b.PutDocument(t.Context(), s, "a", "y", r)
		require.ErrorIs(t, err, ErrOvertaken)
		_, r, err = b.Document(t.Context(), s, "a")
		require.NoError(t, err)
		_, err = b.PutDocument(t.Context(), s, "a", "y", r)
		require.NoError(t, err)
	}
}

// A pool whose buckets kept their markers goes on with new ones.
func TestBucketsOfAnEarlierVersion(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	s, err := b.js.Stream(t.Context(), bucketStream(b.shelf(Stickers)))
	require.NoError(t, err)
	require.NoError(t, b.js.DeleteStream(t.Context(), s.CachedInfo().Config.Name))
	_, err = b.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "stickers", History: 1})
	require.NoError(t, err)
	r, err := b.PutDocument(t.Context(), Stickers, "a", "x", 0)
	require.NoError(t, err)
	require.NoError(t, b.makeBuckets(t.Context()))
	require.NoError(t, b.DeleteDocument(t.Context(), Stickers, "a", r))
}

func TestNoticesAreKeptOnce(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	for range 3 {
		require.NoError(t, b.PutNotice(t.Context(), "acme", "new.request", Notice{ID: "n1", Body: []byte(`{}`)}))
		require.NoError(t, b.PutStickerEvent(t.Context(), "machine_1", "red", Notice{ID: "n1", Body: []byte(`{}`)}))
	}
	require.NoError(t, b.PutNotice(t.Context(), "acme", "new.request", Notice{ID: "n2", Body: []byte(`{}`)}))
	info, err := b.notify.Info(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uint64(3), info.State.Msgs)
}

func TestFollowDocuments(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	_, err := b.PutDocument(t.Context(), Identities, "did:iotics:before", "x", 0)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	changed, ended := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(ended)
		b.FollowDocuments(ctx, Identities, func(id string) { changed <- id })
	}()
	// Until the watch has begun a change is not seen; so there are several.
	var r Revision
	require.Eventually(t, func() bool {
		var err error
		_, r, err = b.Document(t.Context(), Identities, "did:iotics:after")
		require.NoError(t, err)
		_, err = b.PutDocument(t.Context(), Identities, "did:iotics:after", "x", r)
		require.NoError(t, err)
		return len(changed) > 0
	}, patience, 20*time.Millisecond)
	assert.Equal(t, "did:iotics:after", <-changed)
	stop()
	<-ended
}
