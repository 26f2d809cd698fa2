package bus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

func TestDeliveries(t *testing.T) {
	want := delivery{seq: 17, number: 3, stored: time.Unix(1, 5), pending: 42}
	for _, tt := range []struct {
		reply string
		want  delivery
		ok    bool
	}{
		{"$JS.ACK.FEED.c.1.17.3.1000000005.42", want, true},
		{"$JS.ACK._.HASH.FEED.c.1.17.3.1000000005.42", want, true},
		{"$JS.ACK.hub.HASH.FEED.c.1.17.3.1000000005.42.random", want, true},
		{"$JS.ACK.FEED.c.1.17.3.1000000005", delivery{}, false},
		{"$JS.ACK.FEED.c.1.17.3.1000000005.x", delivery{}, false},
		{"$JS.ACK.FEED.c.1.17.-3.1000000005.42", delivery{}, false},
		{"$JS.ACK", delivery{}, false},
		{"_INBOX.x", delivery{}, false},
		{"", delivery{}, false},
	} {
		got, ok := parseDelivery(tt.reply)
		assert.Equal(t, tt.ok, ok, tt.reply)
		assert.Equal(t, tt.want, got, tt.reply)
	}
}

func TestTheServersNewerReplySubjects(t *testing.T) {
	s, err := server.NewServer(&server.Options{
		JetStream: true, JetStreamMaxStore: 1 << 40, StoreDir: t.TempDir(), Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true,
		FeatureFlags: map[string]bool{server.FeatureFlagJsAckFormatV2: true},
	})
	require.NoError(t, err)
	s.Start()
	defer func() { s.Shutdown(); s.WaitForShutdown() }()
	require.True(t, s.ReadyForConnections(patience))
	b := open(t, Config{URL: s.ClientURL(), Partitions: 2})
	f := &feeder{t, b, map[int]int{}}
	f.put(100)
	c := newCollector(t, b)
	require.NoError(t, c.r.Whole(t.Context(), 1))
	m := <-c.r.come
	for m.Reply == "" { // a busy server says that it is there
		m = <-c.r.come
	}
	assert.Greater(t, strings.Count(m.Reply, "."), 8)
	c.until(c.have(f, 0, 1))
}

// four reads all four partitions of a bus, one by one.
func (c *collector) four() {
	c.t.Helper()
	for p := range 4 {
		require.NoError(c.t, c.r.Add(c.t.Context(), p, 1))
	}
}

// waiting says that everything has come that was asked for; the ends of
// requests come too.
func (c *collector) waiting() bool {
	asked := 0
	for _, r := range c.r.readings {
		asked += r.open
	}
	return len(c.r.come) >= asked
}

func TestAReaderHoldsNoMoreThanItAskedFor(t *testing.T) {
	b := open(t, Config{Partitions: 4})
	f := &feeder{t, b, map[int]int{}}
	for range 6 {
		f.put(5000)
	}
	c := newCollector(t, b)
	c.four()
	for !c.have(f, 0, 1, 2, 3)() {
		var err error
		c.buf, err = c.r.Next(t.Context(), patience, c.buf)
		require.NoError(t, err)
		c.check(c.buf)
		assert.LessOrEqual(t, len(c.buf), nextMost)
		if c.last[0].Pending > 2*intakeMessages {
			require.Eventually(t, c.waiting, patience, time.Millisecond)
			assert.LessOrEqual(t, len(c.r.come), intakeMessages+readingLeast)
		}
	}
}

func TestLargeMessagesComeInFewerAtATime(t *testing.T) {
	b := open(t, Config{Partitions: 1})
	s := sample("m", 0)
	s.Data = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", 500_000))
	const n, fit = 60, intakeBytes / 500_200
	for range n {
		require.NoError(t, b.Put(t.Context(), "", []rules.Sample{s}))
	}
	r := b.NewReader()
	defer r.Close()
	require.NoError(t, r.Whole(t.Context(), 1))
	const beats = 10 // of a server that needs seconds
	require.Eventually(t, func() bool { return len(r.come) > fit }, patience, time.Millisecond, "and that the request ends")
	for got, batch := 0, []Message(nil); got < n; got += len(batch) {
		var err error
		batch, err = r.Next(t.Context(), patience, batch)
		require.NoError(t, err)
		require.NotEmpty(t, batch)
		assert.LessOrEqual(t, len(r.come), fit+1+beats)
	}
}

// The server's largest message may have been larger when FEED took it.
func TestMessagesLargerThanThereMayBe(t *testing.T) {
	dir := t.TempDir()
	serve := func(largest int32) (*server.Server, func()) {
		s, err := server.NewServer(&server.Options{JetStream: true, JetStreamMaxStore: 1 << 40, StoreDir: dir, Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, MaxPayload: largest})
		require.NoError(t, err)
		s.Start()
		require.True(t, s.ReadyForConnections(patience))
		return s, func() { s.Shutdown(); s.WaitForShutdown() }
	}
	s, stop := serve(4 << 20)
	config := Config{URL: s.ClientURL(), Partitions: 64}
	b := open(t, config)
	large := sample("m", 0)
	large.Data = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", 3<<20))
	for _, s := range []rules.Sample{sample("m", 1), large, large, sample("m", 4)} {
		require.NoError(t, b.Put(t.Context(), "", []rules.Sample{s}))
	}
	b.Close()
	stop()

	s, stop = serve(1 << 20)
	defer stop()
	config.URL = s.ClientURL()
	b = open(t, config)
	r := b.NewReader()
	defer r.Close()
	for p := range 64 {
		require.NoError(t, r.Add(t.Context(), p, 1))
	}
	var lengths []int
	for len(lengths) < 4 {
		batch, err := r.Next(t.Context(), patience, nil)
		require.NoError(t, err)
		require.NotEmpty(t, batch)
		for _, m := range batch {
			lengths = append(lengths, len(m.Data))
		}
	}
	assert.Equal(t, []int{7, len(large.Data), len(large.Data), 7}, lengths)
}

func TestAReaderNoticesWhatWasLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(t *testing.T, b *Bus, f *feeder, r *Reader)
	}{
		{"a message on the way", func(_ *testing.T, _ *Bus, f *feeder, r *Reader) {
			f.put(500)
			<-r.come
		}},
		{"the last message", func(_ *testing.T, _ *Bus, f *feeder, r *Reader) {
			f.put(1)
			<-r.come
		}},
		{"all that the server sends", func(t *testing.T, _ *Bus, f *feeder, r *Reader) {
			require.NoError(t, r.readings[0].sub.Unsubscribe())
			f.put(500)
		}},
		{"its consumers", func(t *testing.T, b *Bus, f *feeder, r *Reader) {
			for c := range b.feed.ListConsumers(t.Context()).Info() {
				require.NoError(t, b.feed.DeleteConsumer(t.Context(), c.Name))
			}
			f.put(500)
		}},
		{"its connection", func(t *testing.T, b *Bus, f *feeder, _ *Reader) {
			require.NoError(t, b.nc.ForceReconnect())
			f.put(500)
		}},
		{"its connection, with much that is on the way", func(t *testing.T, b *Bus, f *feeder, _ *Reader) {
			for range 4 {
				f.put(5000)
			}
			require.NoError(t, b.nc.ForceReconnect())
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url, _, _ := external(t)
			b := open(t, Config{URL: url, Partitions: 4})
			f := &feeder{t, b, map[int]int{}}
			f.put(1000)
			c := newCollector(t, b)
			c.four()
			c.until(c.have(f, 0, 1, 2, 3))
			tt.lose(t, b, f, c.r)
			c.until(c.have(f, 0, 1, 2, 3))
			f.put(100)
			c.until(c.have(f, 0, 1, 2, 3))
		})
	}
}

func TestReadingsLeaveNoConsumers(t *testing.T) {
	b := open(t, Config{Partitions: 4})
	consumers := func() int {
		info, err := b.feed.Info(t.Context())
		require.NoError(t, err)
		return info.State.Consumers
	}
	r := b.NewReader()
	for p := range 4 {
		require.NoError(t, r.Add(t.Context(), p, 1))
	}
	assert.Equal(t, 4, consumers())
	r.Remove(0)
	r.Remove(0)
	require.Eventually(t, func() bool { return consumers() == 3 }, patience, time.Millisecond)
	require.NoError(t, r.Whole(t.Context(), 1))
	require.Eventually(t, func() bool { return consumers() == 1 }, patience, time.Millisecond)
	r.Close()
	require.Eventually(t, func() bool { return consumers() == 0 }, patience, time.Millisecond)
	r.Close()
}

func TestReadingWhatIsNotThere(t *testing.T) {
	b := open(t, Config{})
	r := b.NewReader()
	defer r.Close()
	_, err := r.add(t.Context(), "NONE", "", 1)
	assert.EqualError(t, err, "stream NONE: reading it: nats: API error: code=404 err_code=10059 description=stream not found")
}

func TestReadingAllocatesNothing(t *testing.T) {
	b := open(t, Config{})
	r := b.NewReader()
	defer r.Close()
	require.NoError(t, r.Whole(t.Context(), 1))
	b.Close() // it would allocate, too
	reading := r.readings[0]
	for _, subject := range []string{"feed.6.machine_1.currentTemp", "in.machine_1.currentTemp"} { // the latter in an existing stream
		m := &nats.Msg{Subject: subject, Reply: "$JS.ACK.FEED.c.1.17.1.1000000005.42", Data: []byte(`{"temperature":31.2}`), Sub: reading.sub}
		buf := make([]Message, 0, 1)
		now := time.Now()
		assert.Zero(t, testing.AllocsPerRun(1000, func() {
			reading.number, reading.open = 0, intakeMessages
			buf = r.take(m, now, buf[:0])
		}), subject)
		require.Len(t, buf, 1)
		assert.Equal(t, Message{
			Seq: 17, Partition: b.Partition("machine_1"), Kind: OneSample, Twin: "machine_1", Feed: "currentTemp",
			At: time.Unix(1, 5), Stored: time.Unix(1, 5), Data: m.Data, Pending: 42,
		}, buf[0])
	}
}
