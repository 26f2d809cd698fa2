package bus

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// late is a consumer of a server that is late with its answer to each other fetch.
type late struct {
	jetstream.Consumer
	gives   int   // messages that come all the same
	ends    error // with which the client ends it
	fetches int
}

func (l *late) FetchNoWait(n int) (jetstream.MessageBatch, error) {
	if l.fetches++; l.fetches%2 == 0 {
		return l.Consumer.FetchNoWait(n)
	}
	some := &part{err: l.ends, messages: make(chan jetstream.Msg, n)}
	if l.gives > 0 {
		batch, err := l.Consumer.FetchNoWait(l.gives)
		if err != nil {
			return nil, err
		}
		for m := range batch.Messages() {
			some.messages <- m
		}
		close(some.messages)
		return some, nil
	}
	time.AfterFunc(time.Second, func() { close(some.messages) })
	return some, nil
}

type part struct {
	messages chan jetstream.Msg
	err      error
}

func (p *part) Messages() <-chan jetstream.Msg { return p.messages }
func (p *part) Error() error                   { return p.err }

// What a server that was late had not sent was taken for what is not there: parts
// of the history, and of what is judged again, were missing.
func TestALateServerHasNoFewerMessages(t *testing.T) {
	b := open(t, Config{})
	const n = 10
	writeOutcomes(t, b, n)
	for name, l := range map[string]late{
		"says nothing":     {},
		"says only a part": {gives: 3},
		"has forgotten it": {ends: nats.ErrNoResponders},
		"has deleted it":   {gives: 1, ends: jetstream.ErrConsumerDeleted},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			l.Consumer, err = b.out.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{"out.>"}})
			require.NoError(t, err)
			got := 0
			require.NoError(t, found(t.Context(), &l, 5, func(jetstream.Msg, delivery) bool { got++; return true }))
			assert.Equal(t, n, got)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			l.gives, l.fetches = 0, 0
			require.ErrorIs(t, found(ctx, &l, 5, nil), context.Canceled)
		})
	}
}

// mute is a bucket whose first watch never says that it has given all.
type mute struct {
	jetstream.KeyValue
	watches int
}

func (m *mute) Watch(ctx context.Context, keys string, opts ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	w, err := m.KeyValue.Watch(ctx, keys, opts...)
	if m.watches++; m.watches == 1 {
		w = muteWatch{w}
	}
	return w, err
}

type muteWatch struct{ jetstream.KeyWatcher }

func (m muteWatch) Updates() <-chan jetstream.KeyValueEntry {
	out := make(chan jetstream.KeyValueEntry, 10)
	go func() {
		defer close(out)
		for e := range m.KeyWatcher.Updates() {
			if e != nil {
				out <- e
			}
		}
	}()
	return out
}

// An engine that began while markers of closed alerts went waited for them for ever.
func TestAWatchThatNeverSaysThatItHasGivenAll(t *testing.T) {
	b := open(t, Config{})
	_, err := b.PutDocument(t.Context(), Stickers, "a", "x", 0)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	seen, ended := make(chan string, 10), make(chan struct{})
	go func() {
		defer close(ended)
		b.follow(ctx, &mute{KeyValue: b.shelf(Stickers)}, ">", 0, func(e jetstream.KeyValueEntry) { seen <- e.Key() }, func() { seen <- "ready" })
	}()
	assert.Equal(t, "a", <-seen)
	assert.Equal(t, "ready", <-seen)
	_, err = b.PutDocument(t.Context(), Stickers, "b", "x", 0)
	require.NoError(t, err)
	assert.Equal(t, "b", <-seen)
	stop()
	<-ended
}
