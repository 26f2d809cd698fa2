package bus

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

func TestTemplates(t *testing.T) {
	for text, want := range map[string]string{
		"in.{twin}.{feed}":         "in.*.* brno.feed.{{partition(8,1)}}.{{wildcard(1)}}.{{wildcard(2)}}",
		"plant.{feed}.of.{twin}.x": "plant.*.of.*.x brno.feed.{{partition(8,2)}}.{{wildcard(2)}}.{{wildcard(1)}}",
		"in.{twin}":                `got "in.{twin}"; want one {twin} and one {feed} in it`,
		"in.{twin}.{twin}.{feed}":  `got "in.{twin}.{twin}.{feed}"; want a subject of plain tokens with one {twin} and one {feed}, as "in.{twin}.{feed}"`,
		"in.*.{twin}.{feed}":       `got "in.*.{twin}.{feed}"; want a subject of plain tokens with one {twin} and one {feed}, as "in.{twin}.{feed}"`,
		"in..{twin}.{feed}":        `got "in..{twin}.{feed}"; want a subject of plain tokens with one {twin} and one {feed}, as "in.{twin}.{feed}"`,
		"in.x{twin}.{feed}":        `got "in.x{twin}.{feed}"; want a subject of plain tokens with one {twin} and one {feed}, as "in.{twin}.{feed}"`,
		"{twin}.{feed}":            "want a token of its own before {twin} and {feed}, so that no other subject fits",
		"feed.1.{twin}.{feed}":     `subjects that begin with "feed" are used already; want another first token`,
		"brno.feed.{twin}.{feed}":  `subjects that begin with "feed" are used already; want another first token`,
		"brno.{twin}.{feed}":       "want a token of its own before {twin} and {feed}, so that no other subject fits",
		"brno.in.{twin}.{feed}":    "brno.in.*.* brno.feed.{{partition(8,1)}}.{{wildcard(1)}}.{{wildcard(2)}}",
		"$JS.{twin}.{feed}":        `subjects that begin with "$JS" are used already; want another first token`,
	} {
		parsed, err := parseTemplate(text, "brno")
		got := parsed.pattern() + " " + parsed.partitioned("brno.", 8)
		if err != nil {
			got = err.Error()
		}
		assert.Equal(t, want, got, text)
	}
}

func streamInfo(t *testing.T, b *Bus, name string) *jetstream.StreamInfo {
	t.Helper()
	s, err := b.js.Stream(t.Context(), name)
	require.NoError(t, err)
	return s.CachedInfo()
}

func TestEveryStreamIsAsItsSettingsSay(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(t.Context(), Config{Dir: dir})
	require.NoError(t, err)
	for name, want := range map[string]Stream{
		"FEED": {MaxBytes: 2 << 30, Discard: DiscardNew}, "OUT": {MaxBytes: 2 << 30, Discard: DiscardNew},
		"DLQ": {MaxBytes: 128 << 20, Discard: DiscardOld}, "ALERTS": {MaxBytes: 1 << 30, MaxAge: 720 * time.Hour, Discard: DiscardOld},
		"NOTIFY": {MaxBytes: 256 << 20, MaxAge: 168 * time.Hour, Discard: DiscardOld},
	} {
		is := streamInfo(t, b, name).Config
		assert.Equal(t, want.MaxBytes, is.MaxBytes, name)
		assert.Equal(t, want.MaxAge, is.MaxAge, name)
		assert.Equal(t, want.Discard == DiscardNew, is.Discard == jetstream.DiscardNew, name)
		assert.Equal(t, jetstream.FileStorage, is.Storage, name)
	}
	assert.Equal(t, 2*time.Minute, streamInfo(t, b, "FEED").Config.Duplicates)
	require.NoError(t, b.Chain(t.Context(), true))
	b.Close()

	// What can change changes, and nothing else does.
	b = open(t, Config{Dir: dir, DuplicateWindow: time.Minute, Streams: Streams{
		Feed: Stream{MaxBytes: 3 << 30, MaxAge: time.Hour}, Out: Stream{MaxBytes: 5 << 30},
		Dead: Stream{MaxAge: 30 * time.Second * 2, Discard: DiscardNew}, Alerts: Stream{MaxAge: 2 * time.Hour}, Notify: Stream{MaxBytes: 1 << 20},
	}})
	feed := streamInfo(t, b, "FEED").Config
	assert.Equal(t, int64(3<<30), feed.MaxBytes)
	assert.Equal(t, time.Hour, feed.MaxAge)
	assert.Equal(t, time.Minute, feed.Duplicates)
	assert.Len(t, feed.Sources, 1, "the chain stays")
	assert.Equal(t, int64(5<<30), streamInfo(t, b, "OUT").Config.MaxBytes)
	dead := streamInfo(t, b, "DLQ").Config
	assert.Equal(t, jetstream.DiscardNew, dead.Discard)
	assert.Equal(t, time.Minute, dead.MaxAge)
	assert.Equal(t, 2*time.Hour, streamInfo(t, b, "ALERTS").Config.MaxAge)
	assert.Equal(t, int64(1<<20), streamInfo(t, b, "NOTIFY").Config.MaxBytes)
}

// A worker that starts leaves alone what is as it should be: it must not undo
// what another one changes at the same time.
func TestStreamsThatAreRightAreNotTouched(t *testing.T) {
	b := open(t, Config{Listen: "127.0.0.1:0"})
	updates, err := b.nc.SubscribeSync("$JS.EVENT.ADVISORY.STREAM.UPDATED.*")
	require.NoError(t, err)
	require.NoError(t, b.Chain(t.Context(), true))
	m, err := updates.NextMsg(patience)
	require.NoError(t, err, "advisories are heard")
	assert.Contains(t, m.Subject, "FEED")
	another(t, b)
	require.NoError(t, b.nc.Flush())
	for n, _, err := updates.Pending(); n > 0; n, _, err = updates.Pending() {
		require.NoError(t, err)
		m, err := updates.NextMsg(patience)
		require.NoError(t, err)
		assert.Contains(t, m.Subject, ".KV_", "buckets only")
	}
}

func TestStreamsInMemory(t *testing.T) {
	dir := t.TempDir()
	c := Config{Dir: dir, Streams: Streams{Feed: Stream{Storage: Memory, MaxBytes: 3 << 30}, Dead: Stream{Storage: Memory}}}
	b, err := Open(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, b.Put(t.Context(), "", []rules.Sample{sample("a", 1)}))
	assert.Equal(t, jetstream.MemoryStorage, streamInfo(t, b, "FEED").Config.Storage)
	assert.Equal(t, jetstream.FileStorage, streamInfo(t, b, "OUT").Config.Storage)
	b.Close()
	b = open(t, Config{Dir: dir})
	assert.Equal(t, jetstream.FileStorage, streamInfo(t, b, "FEED").Config.Storage, "a stream in memory is gone, so it may become one on disk")
}

// Several installations in one account: none sees anything of another.
func TestInstallationsShareAnAccount(t *testing.T) {
	url, _, _ := external(t)
	var all []*Bus
	for _, prefix := range []string{"brno", "praha", ""} {
		all = append(all, open(t, Config{URL: url, Prefix: prefix, Partitions: 2, ReplayWindow: time.Nanosecond}))
	}
	for i, b := range all {
		subject := []string{"brno.in.a.temp", "praha.in.a.temp", "in.a.temp"}[i]
		_, err := b.js.Publish(t.Context(), subject, []byte(`{}`))
		require.NoError(t, err)
		require.NoError(t, b.Put(t.Context(), "", []rules.Sample{sample("a", 1)}))
		require.NoError(t, b.Put(t.Context(), "", []rules.Sample{sample("a", 2), sample("a", 3)}))
		require.NoError(t, b.PutTick(t.Context(), noon, true))
		_, err = b.PutControl(t.Context(), 1, []byte(`{}`))
		require.NoError(t, err)
		require.NoError(t, b.Chain(t.Context(), true))
		require.NoError(t, b.Bury(t.Context(), DeadLetter{Stage: StageFeed, Partition: 1, Seq: uint64(7 + i), Reason: "tried"}))
	}
	for i, b := range all {
		d, err := b.Subscribe(t.Context(), Subscription{Name: "all"})
		require.NoError(t, err)
		routed, err := b.Subscribe(t.Context(), Subscription{Name: "all", Topic: "brno"})
		require.NoError(t, err)
		require.NoError(t, b.PutNotification(t.Context(), &rules.Outcome{Kind: rules.Notification, Topic: "brno", ID: "nt_1", At: noon, Data: []byte("{}")}))
		w := newWriter(t, b, nil)
		w.put(outcome("a", uint64(i+1)))
		w.put(alert("a", 1, rules.EventRaised), Mark{Seq: uint64(i + 10), Count: 1})
		w.flush()
		assert.Equal(t, uint64(i+10), tail(t, b, "a").Seq)
		var kinds []rules.Kind
		for _, source := range []*Deliveries{d, routed} {
			want := 2
			if source == routed {
				want = 1
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			n := 0
			require.NoError(t, source.Run(ctx, time.Second, func(_ context.Context, got Delivery) Answer {
				assert.NoError(t, got.Err)
				if got.Outcome.Kind == rules.Output {
					assert.Equal(t, "a", got.Outcome.Source)
				}
				kinds = append(kinds, got.Outcome.Kind)
				if n++; n == want {
					cancel()
				}
				return Answer{Done: true}
			}))
			cancel()
		}
		assert.Equal(t, []rules.Kind{rules.Output, rules.Alert, rules.Notification}, kinds)
		assert.Len(t, history(t, b, HistoryQuery{Twin: "a"}), 1)
		seq, _, err := b.LastBuried(t.Context(), 1)
		require.NoError(t, err)
		assert.Equal(t, uint64(7+i), seq)
		letters, err := b.DeadLetters(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, letters, 1)
		assert.Equal(t, StageFeed, letters[0].Stage)
	}
	for _, b := range all {
		got := read(t, b, 1, 7) // and the output, which came back
		require.Len(t, got, 7)
		assert.Equal(t, "a-out", got[6].Twin)
		for _, m := range got {
			assert.NotEqual(t, Unreadable, m.Kind, m.Reason)
		}
		first, last, err := b.PartitionState(t.Context(), 1)
		require.NoError(t, err)
		assert.Equal(t, uint64(1), first)
		assert.NotZero(t, last)
		judged(t, b, 7)
		b.Apart(true)
		b.Projected(1 << 40)
		assert.Equal(t, uint64(8), firstAfterRoom(t, b))
		untilOutHas(t, b, 1)
	}
}

func TestNamesAreSettable(t *testing.T) {
	b := open(t, Config{
		Partitions: 2, Prefix: "brno", FeedSubject: "plant.{feed}.of.{twin}", ReplayWindow: time.Nanosecond,
		Streams: Streams{Out: Stream{Name: "RESULTS"}},
	})
	ctx := t.Context()
	var names []string
	for name := range b.js.StreamNames(ctx).Name() {
		names = append(names, name)
	}
	assert.ElementsMatch(t, []string{
		"brno_FEED", "RESULTS", "brno_DLQ", "brno_ALERTS", "brno_NOTIFY", "brno_SHADOW", "brno_DELIVERIES", "brno_SENT", "KV_brno_twins", "KV_brno_snapshots", "KV_brno_alerts",
		"KV_brno_silences", "KV_brno_router", "KV_brno_held", "KV_brno_rules", "KV_brno_pool", "KV_brno_dids",
		"KV_brno_accounts", "KV_brno_stickers", "KV_brno_stickerterms", "KV_brno_ledgers", "KV_brno_subscriptions",
	}, names)
	_, err := b.js.Publish(ctx, "plant.temp.of.machine_7", []byte(`{"n":1}`))
	require.NoError(t, err)
	require.NoError(t, b.Put(ctx, "", []rules.Sample{sample("machine_7", 2)}))
	for _, m := range read(t, b, 1, 2) {
		assert.Equal(t, OneSample, m.Kind)
		assert.Equal(t, "machine_7", m.Twin)
		assert.Equal(t, "temp", m.Feed)
		assert.Equal(t, b.Partition("machine_7"), m.Partition)
	}
	assert.True(t, b.Partitioned())
	judged(t, b, 2)
	b.Apart(true)
	assert.Equal(t, uint64(3), firstAfterRoom(t, b))
	writeAlerts(t, b, alert("a", 1, rules.EventRaised), alert("b", 1, rules.EventRaised))
	b.Projected(1 << 40)
	untilOutHas(t, b, 1)
	assert.Len(t, history(t, b, HistoryQuery{}), 2)
	require.NoError(t, b.Chain(ctx, true))
	assert.Equal(t, "RESULTS", streamInfo(t, b, "brno_FEED").Config.Sources[0].Name)
	require.NoError(t, b.Chain(ctx, false))
	assert.Empty(t, streamInfo(t, b, "brno_FEED").Config.Sources)
}

// existing makes a stream as an operator would, with a sample of each of two
// twins, and gives the configuration that reads it.
func existing(t *testing.T, change func(*jetstream.StreamConfig)) (Config, jetstream.JetStream) {
	t.Helper()
	url, _, _ := external(t)
	nc, err := nats.Connect(url, nats.Timeout(patience))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	c := jetstream.StreamConfig{
		Name: "PLANT", Subjects: []string{"plant.>"}, MaxBytes: 10 << 20, Discard: jetstream.DiscardNew, MaxConsumers: 50, Duplicates: 30 * time.Second,
		Description: "theirs", Metadata: map[string]string{"owner": "ann"},
	}
	change(&c)
	_, err = js.CreateStream(t.Context(), c)
	require.NoError(t, err)
	for i, twin := range []string{"a", "b"} {
		if c.Mirror == nil && takes(c.Subjects, "plant."+twin+".temp") {
			_, err := js.Publish(t.Context(), "plant."+twin+".temp", fmt.Appendf(nil, `{"n":%d}`, i))
			require.NoError(t, err)
		}
	}
	return Config{URL: url, Partitions: 4, FeedSubject: "plant.{twin}.{feed}", Streams: Streams{Feed: Stream{Name: "PLANT", Existing: true}}}, js
}

func TestAnExistingStreamIsRead(t *testing.T) {
	c, js := existing(t, func(*jetstream.StreamConfig) {})
	c.ReplayWindow = time.Nanosecond
	before, err := js.Stream(t.Context(), "PLANT")
	require.NoError(t, err)
	b := open(t, c)
	assert.False(t, b.Partitioned())
	after := streamInfo(t, b, "PLANT").Config
	assert.Equal(t, append([]string{"plant.>"}, feedSubjects...), after.Subjects)
	want := before.CachedInfo().Config
	want.Subjects = after.Subjects
	assert.Equal(t, want, after, "nothing else has changed")

	require.NoError(t, b.Put(t.Context(), "", []rules.Sample{sample("a", 3)}))
	require.NoError(t, b.PutTick(t.Context(), noon, true))
	seq, err := b.PutControl(t.Context(), 1, []byte(`{}`))
	require.NoError(t, err)
	_, err = b.js.Publish(t.Context(), "plant.else", []byte(`{}`))
	require.NoError(t, err)
	got := read(t, b, 1, int(seq)+1)
	for i, twin := range []string{"a", "b", "a"} {
		assert.Equal(t, OneSample, got[i].Kind)
		assert.Equal(t, twin, got[i].Twin)
		assert.Equal(t, "temp", got[i].Feed)
		assert.Equal(t, b.Partition(twin), got[i].Partition)
	}
	assert.Equal(t, Control, got[seq-1].Kind)
	assert.Equal(t, "subject", got[seq].Reason, "what does not fit is a dead letter")
	var kept []uint64
	for m, err := range b.Retained(t.Context(), b.Partition("a"), noon, seq+1) {
		require.NoError(t, err)
		if m.Kind == OneSample {
			assert.Equal(t, "a", m.Twin)
			kept = append(kept, m.Seq)
		}
	}
	assert.Equal(t, []uint64{1, 3}, kept)

	// The engine's own messages go, theirs stay.
	judged(t, b, seq+1)
	require.NoError(t, b.MakeRoom(t.Context()))
	assert.Equal(t, uint64(3), streamInfo(t, b, "PLANT").State.Msgs)
	require.NoError(t, b.Chain(t.Context(), true))
	b.Close()

	c.Streams.Feed.Purge = true
	b = open(t, c)
	require.NoError(t, b.MakeRoom(t.Context()))
	assert.Zero(t, streamInfo(t, b, "PLANT").State.Msgs)
	assert.Len(t, streamInfo(t, b, "PLANT").Config.Sources, 1)
	require.NoError(t, b.Chain(t.Context(), false))
	assert.Equal(t, want, streamInfo(t, b, "PLANT").Config)
	b.Close()

	c.Partitions = 8
	_, err = Open(t.Context(), c)
	require.ErrorContains(t, err, "stream PLANT has 4 partitions and the configuration says 8")
	require.ErrorIs(t, err, ErrConfig)
}

// With the engine's transform it is as good as the engine's own.
func TestAnExistingStreamWithTheTransformHasPartitions(t *testing.T) {
	c, _ := existing(t, func(c *jetstream.StreamConfig) {
		c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "plant.*.*", Destination: "feed.{{partition(4,1)}}.{{wildcard(1)}}.{{wildcard(2)}}"}
	})
	b := open(t, c)
	assert.True(t, b.Partitioned())
	r := b.NewReader()
	defer r.Close()
	require.NoError(t, r.Add(t.Context(), b.Partition("b"), 1))
	got, err := r.Next(t.Context(), patience, nil)
	require.NoError(t, err)
	require.NotEmpty(t, got)
	assert.Equal(t, "b", got[0].Twin)
}

func TestAnExistingStreamThatWillNotDo(t *testing.T) {
	for name, tt := range map[string]struct {
		stream func(*jetstream.StreamConfig)
		config func(*Config)
		want   string
	}{
		"not there": {nil, func(c *Config) { c.Streams.Feed.Name = "PLAN" }, "stream PLAN is not there, and streams.feed.existing says that it is"},
		"not said": {
			nil, func(c *Config) { c.Streams.Feed.Existing = false },
			"there is a stream PLANT that the engine has not made; want another streams.feed.name, or streams.feed.existing to read that one",
		},
		"other subjects": {
			func(c *jetstream.StreamConfig) { c.Subjects = []string{"other.*", "plant.*"} },
			nil, `stream PLANT has no subject that fits feedSubject "plant.{twin}.{feed}"; it has ["other.*" "plant.*"]`,
		},
		"a queue": {
			func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy },
			nil, "stream PLANT forgets what was read; want one that keeps it, retention limits",
		},
		"last values": {
			func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
			nil, "stream PLANT keeps only some messages a subject",
		},
		"a mirror": {
			func(c *jetstream.StreamConfig) { c.Subjects, c.Mirror = nil, &jetstream.StreamSource{Name: "X"} },
			nil, "stream PLANT is a mirror",
		},
		"other partitions": {
			func(c *jetstream.StreamConfig) {
				c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "plant.*.*", Destination: "feed.{{partition(2,1)}}.{{wildcard(1)}}.{{wildcard(2)}}"}
			},
			nil, "stream PLANT has 2 partitions and the configuration says 4",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, js := existing(t, func(c *jetstream.StreamConfig) {
				if tt.stream != nil {
					tt.stream(c)
				}
			})
			before, err := js.Stream(t.Context(), "PLANT")
			require.NoError(t, err)
			if tt.config != nil {
				tt.config(&c)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err = Open(ctx, c)
			require.ErrorContains(t, err, tt.want)
			require.ErrorIs(t, err, ErrConfig)
			after, err := js.Stream(t.Context(), "PLANT")
			require.NoError(t, err)
			assert.Equal(t, before.CachedInfo().Config, after.CachedInfo().Config, "it is left as it was")
		})
	}
}

func TestWrongSettingsAreAllNamed(t *testing.T) {
	var got []string
	for _, w := range (Config{
		Partitions: 65, Creds: "x", Prefix: "a.b",
		Streams: Streams{Out: Stream{MaxAge: time.Hour}, Dead: Stream{Existing: true, MaxBytes: 5}},
	}).Check() {
		got = append(got, w.Error())
	}
	assert.Equal(t, strings.Split(`partitions: got 65; want 1 to 64
prefix: got "a.b"; want letters, digits, - and _
creds: the embedded server takes none; want a url with it
streams.out.maxAge: it has no age: what was decided stays until it was delivered; replayWindow says how long after that
streams.dead.existing: only FEED may be somebody else's
streams.dead.maxBytes: an existing stream keeps its own; change it there`, "\n"), got[:6])
	assert.Empty(t, Config{}.Check())
}
