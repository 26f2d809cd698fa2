package engine_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

func (l *ear) subjects() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		out = append(out, e.Subject)
	}
	return out
}

func TestFollowersHearOnlyOfAlertsThatAreTold(t *testing.T) {
	w := start(t, engine.DataDir(t), nil)
	_, err := w.PutSilence(t.Context(), alerts.Silence{
		Matchers: matchers(t, "twin=e"), StartsAt: time.Now().Add(-time.Second), EndsAt: time.Now().Add(time.Hour), CreatedBy: "me", Comment: "work",
	})
	require.NoError(t, err)
	plain, _ := w.follow("", engine.Topic{Kind: engine.AlertTopic})
	all, _ := w.follow("", engine.Topic{Kind: engine.AlertTopic, Quiet: true})
	minor, _ := w.follow("", engine.Topic{Kind: engine.AlertTopic, Pattern: "minor.*.*.*"}, engine.Topic{Kind: engine.AlertTopic, Pattern: "*.heat:too-hot.f.>"})
	w.decide(begin("a", "critical").raised(), begin("d", "minor").event(rules.EventRaised, func(o *rules.Outcome) { o.Life.Silent = true }),
		begin("e", "minor").raised(), begin("f", "minor").raised())
	w.until("the last one", func() bool { return minor.len() == 1 && plain.len() == 2 && all.len() == 4 })
	assert.ElementsMatch(t, []string{"critical.heat:too-hot.a.raised", "minor.heat:too-hot.f.raised"}, plain.subjects())
	past, _ := w.follow("a0", engine.Topic{Kind: engine.AlertTopic})
	w.until("those before", func() bool { return past.len() == 2 })
	assert.Equal(t, plain.ids(), past.ids())
}

func TestTopicsThatCannotBeFollowed(t *testing.T) {
	w := start(t, engine.DataDir(t), nil)
	for want, topic := range map[string]engine.Topic{
		`no such topic: kind "news"`:                                          {Kind: "news"},
		`no such topic: want a twin and a feed with names of 1 to 256 bytes`:  {Kind: engine.FeedTopic, Twin: "machine_0"},
		`no such topic: want a twin and a input with names of 1 to 256 bytes`: {Kind: engine.InputTopic, Name: strings.Repeat("x", 257), Twin: "a"},
		`no such topic: pattern "critical" fits nothing; want severity.rule.twin.event, with * for any of them, or > at the end for the rest`: {Kind: engine.AlertTopic, Pattern: "critical"},
		`no such topic: pattern "m.f.>" fits nothing; want twin.feed, with * for any of them, or > at the end for the rest`:                   {Kind: engine.SampleTopic, Pattern: "m.f.>"},
		`no such topic: pattern "a..b" has an empty token`:                                                                                    {Kind: engine.AlertTopic, Pattern: "a..b"},
		`no such topic: pattern ">.b" has > before its end`:                                                                                   {Kind: engine.AlertTopic, Pattern: ">.b"},
		`no such topic: pattern "a.b*" has a wildcard that is not a token of its own; in names * is %2A and > is %3E`:                         {Kind: engine.OutputTopic, Pattern: "a.b*"},
		`no such topic: a pattern of 5000 bytes; want at most 4096`:                                                                           {Kind: engine.StickerTopic, Pattern: strings.Repeat("x", 5000)},
	} {
		_, err := w.Follow(t.Context(), topic, "", func(*engine.Event) {})
		require.ErrorIs(t, err, engine.ErrTopic)
		assert.EqualError(t, err, want)
		_, err = w.Subscribe(t.Context(), "ann", "", topic)
		require.ErrorIs(t, err, engine.ErrTopic)
	}
	_, err := w.FollowAll(t.Context(), nil, "", func(*engine.Event) {})
	require.ErrorIs(t, err, engine.ErrTopic)
	for _, id := range []string{"f", "f-1", "f01", "f1-f2", "x1", "f1.", "f1.4294967295", "f1-", "f18446744073709551616", " f1", strings.Repeat("f1-", 100)} {
		_, err = w.Follow(t.Context(), feedOf("machine_0"), id, func(*engine.Event) {})
		require.ErrorIs(t, err, engine.ErrEventID, id)
	}
	w.stop()
	_, err = w.Follow(t.Context(), feedOf("machine_0"), "", func(*engine.Event) {})
	require.ErrorIs(t, err, engine.ErrStopped)
}

// Where outputs are samples again, FEED has them too: they come once.
func TestChainedOutputsComeOnce(t *testing.T) {
	dir := ruleFile(t, overheating)
	write(t, filepath.Join(dir, "a.json"), `{"id":"a","sources":[{"id":"1","feeds":[{"id":"temperature_status"}],"filter":{"text":"machine"}}],"rules":[{"transformation":{"conditions":
		 [{"jsonLogic":{"==":[{"var":"status"},"extreme"]}}],"outputFeedId":"a","outputFieldId":"a","outputTrueValue":1,"sourceFeedId":"temperature_status","sourceId":"1"}}]}`)
	w := start(t, engine.DataDir(t), func(c *engine.Config) { c.RulesPath, c.Twins = dir, machines(1) })
	w.until("an output twin of the output twin", func() bool { return w.Stats().Twins == 3 })
	first := twins.OutputID("overheating", "machine_0")
	second := twins.OutputID("a", first)
	all, _ := w.follow("", engine.Topic{Kind: engine.SampleTopic})
	one, _ := w.follow("", statusOf("machine_0"))
	w.emit(reading("machine_0", 0, 40))
	w.emit(reading("machine_0", 1, 40))
	w.until("all", func() bool { return all.len() >= 6 && one.len() >= 2 })
	w.drain()
	assert.Equal(t, `12:00:01 {"a":1}`, w.last(second, "a"))
	assert.ElementsMatch(t, []string{
		"machine_0.currentTemp", "machine_0.currentTemp", first + ".temperature_status", first + ".temperature_status", second + ".a", second + ".a",
	}, all.subjects())
	assert.Equal(t, 2, one.len())
	assert.Equal(t, `12:00:01 {"status":"extreme","temperature":40}`, w.last(first, "temperature_status"))
	again, _ := w.follow("f0-o0", engine.Topic{Kind: engine.SampleTopic})
	w.until("the same again", func() bool { return again.len() >= 6 })
	assert.ElementsMatch(t, all.subjects(), again.subjects())
}

// A follower that catches up and does not read holds back nobody, and misses
// nothing; one that lets itself be called by its own call goes at once.
func TestASlowFollowerIsAlone(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) { c.Twins = machines(2) })
	const many = 20_000
	emit := func(from, to int) {
		for ; from < to; from += 500 {
			var batch []rules.Sample
			for i := range 500 {
				batch = append(batch, reading("machine_0", from+i, from+i))
			}
			w.emit(batch...)
		}
	}
	emit(0, 1000)
	fast, _ := w.follow("", feedOf("machine_0"))
	slow := &ear{}
	free := make(chan struct{})
	stop, err := w.Follow(t.Context(), feedOf("machine_0"), "f0", func(e *engine.Event) {
		if e.Past {
			<-free
		}
		slow.hear(e)
	})
	require.NoError(t, err)
	defer stop()
	emit(1000, many)
	w.until("all are with the fast one", func() bool { return fast.len() == many-1000 })
	followers := func(want engine.Followers) {
		t.Helper()
		w.until(fmt.Sprintf("%+v", want), func() bool { return w.Metrics(t.Context()).Followers == want })
	}
	followers(engine.Followers{Live: 1, Behind: 1})
	assert.Zero(t, slow.len())
	close(free)
	w.until("and with the slow one", func() bool { return slow.len() >= many })
	w.until("which is live then", func() bool {
		w.emit(reading("machine_0", 0, 1))
		slow.mu.Lock()
		defer slow.mu.Unlock()
		return !slow.events[len(slow.events)-1].Past
	})
	for i, text := range slow.texts()[:many] {
		require.Equal(t, fmt.Sprintf(`sample machine_0.currentTemp {"temperature":%d}`, i), text)
	}

	var stopOnce func()
	once := &ear{}
	ready := make(chan struct{})
	stopOnce, err = w.Follow(t.Context(), feedOf("machine_1"), "", func(e *engine.Event) {
		<-ready
		once.hear(e)
		stopOnce()
	})
	require.NoError(t, err)
	close(ready)
	w.emit(reading("machine_1", 0, 1), reading("machine_1", 1, 1))
	after, _ := w.follow("", feedOf("machine_1"))
	w.emit(reading("machine_1", 2, 3))
	w.until("another", func() bool { return slices.Contains(after.texts(), `sample machine_1.currentTemp {"temperature":3}`) })
	assert.Equal(t, 1, once.len())
	followers(engine.Followers{Live: 3})
}

// Who catches up is live in the end, though one thing that it follows never rests
// and nothing comes of another.
func TestAFollowerCatchesUpWhileMoreComes(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) { c.Twins = machines(1) })
	w.emit(reading("machine_0", 0, 0))
	w.decide(begin("a", "critical").raised())
	late := &ear{}
	var live atomic.Bool
	stop, err := w.FollowAll(t.Context(), []engine.Topic{feedOf("machine_0"), {Kind: engine.AlertTopic}, {Kind: engine.NotificationTopic}}, "f0-a0-n0", func(e *engine.Event) {
		late.hear(e)
		if !e.Past {
			live.Store(true)
		}
	})
	require.NoError(t, err)
	defer stop()
	n := 1
	for deadline := time.Now().Add(patience); !live.Load() && time.Now().Before(deadline); n++ {
		w.emit(reading("machine_0", n, n))
	}
	w.until("all", func() bool { return late.len() >= n+1 })
	assert.True(t, live.Load())
	i := 0
	for _, text := range late.texts() {
		if strings.HasPrefix(text, "sample") {
			require.Equal(t, fmt.Sprintf(`sample machine_0.currentTemp {"temperature":%d}`, i), text)
			i++
		}
	}
	assert.Equal(t, []int{n, n + 1}, []int{i, late.len()})
}

// What is followed goes on where it was when the server was away and when the
// engine was.
func TestFollowersOutliveTheServer(t *testing.T) {
	url, stop, start := ownServer(t)
	begin := func() *works {
		b := connect(t, bus.Config{URL: url, Partitions: 2})
		w := work(t, b, engine.Config{RulesPath: ruleFile(t, overheating), Twins: machines(2)})
		w.until("output twins", func() bool { return w.Stats().Twins == 4 })
		return w
	}
	w := begin()
	topics := []engine.Topic{feedOf("machine_0"), statusOf("machine_0")}
	got, _ := w.follow("", topics...)
	place := w.subscribe("place", feedOf("machine_0"))
	for i := range 10 {
		w.emit(reading("machine_0", i, i))
	}
	w.until("ten of each", func() bool { return got.len() == 20 })
	require.NoError(t, next(t, place).Ack(t.Context()))
	stop()
	start()
	for i := 10; i < 20; i++ {
		w.emit(reading("machine_0", i, i))
	}
	w.until("ten more of each", func() bool { return got.len() >= 40 })
	for i := 1; i < 20; i++ {
		p := next(t, place)
		assert.Equal(t, fmt.Sprintf(`{"temperature":%d}`, i), string(p.Event.Data))
		require.NoError(t, p.Ack(t.Context()))
	}
	id := got.ids()[9]
	place.Close()
	w.stop()

	w = begin()
	w.emit(reading("machine_0", 20, 20))
	again, _ := w.follow(id, topics...)
	w.until("the rest", func() bool { return again.len() >= 32 })
	w.drain()
	texts := append(got.texts()[:10], again.texts()...)
	assert.Len(t, texts, 42)
	slices.Sort(texts)
	assert.Len(t, slices.Compact(texts), 42, "none twice")
	p := next(t, w.subscribe("place", feedOf("machine_0")))
	assert.Equal(t, `{"temperature":20}`, string(p.Event.Data))
}

// Every worker of a pool can be asked, whoever judges; also of what another one
// has just made.
func TestEveryWorkerCanBeFollowed(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: engine.DataDir(t), Listen: "127.0.0.1:0", Partitions: 4})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	dir := ruleFile(t, overheating)
	c := &crew{t: t, bus: b, at: map[string]*works{}, config: func() engine.Config {
		return engine.Config{RulesPath: dir, Twins: machines(8)}
	}}
	c.join()
	c.join()
	first, second := c.at["worker_1"], c.at["worker_2"]
	first.until("output twins everywhere", func() bool { return first.Stats().Twins == 16 && second.Stats().Twins == 16 })
	first.until("both judge", func() bool {
		n := 0
		for p := range 4 {
			if first.Settled(p) > 0 {
				n++
			}
		}
		return n == 2
	})
	var ears []*ear
	for _, w := range []*works{first, second} {
		l, _ := w.follow("", engine.Topic{Kind: engine.SampleTopic}, engine.Topic{Kind: engine.AlertTopic})
		ears = append(ears, l)
	}
	var batch []rules.Sample
	for i := range 8 {
		batch = append(batch, reading(fmt.Sprintf("machine_%d", i), i, 40))
	}
	first.emit(batch...)
	for _, l := range ears {
		first.until("samples, outputs and alerts", func() bool { return l.len() == 24 })
	}
	for i := range 8 {
		for _, w := range []*works{first, second} {
			id := fmt.Sprintf("machine_%d", i)
			assert.Equal(t, fmt.Sprintf(`12:00:%02d {"temperature":40}`, i), w.last(id, "currentTemp"))
			assert.Equal(t, fmt.Sprintf(`12:00:%02d {"status":"extreme","temperature":40}`, i), w.last(twins.OutputID("overheating", id), "temperature_status"))
		}
	}

	desk, other := first, second
	if first.Elsewhere() != "" {
		desk, other = second, first
	}
	for i := range 20 {
		twin := machine(fmt.Sprintf("new_%d", i))
		l, stop := other.follow("", feedOf(twin.ID))
		err := desk.PutTwin(t.Context(), twin)
		require.NoError(t, err)
		desk.emit(reading(twin.ID, 0, 1))
		other.until("its sample", func() bool { return l.len() == 1 })
		assert.Equal(t, `12:00:00 {"temperature":1}`, other.last(twin.ID, "currentTemp"))
		stop()
	}
}

// A stream that somebody else has made, with subjects of its own, is followed as
// ours is.
func TestFollowInAStreamThatWasThere(t *testing.T) {
	own, err := bus.Open(t.Context(), bus.Config{Dir: engine.DataDir(t), Listen: "127.0.0.1:0", Prefix: "other"})
	require.NoError(t, err)
	t.Cleanup(own.Close)
	nc, err := own.Dial(t.Context())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PLANT", Subjects: []string{"plant.*.*"}})
	require.NoError(t, err)
	b := connect(t, bus.Config{
		URL: own.ClientURL(), Partitions: 4, FeedSubject: "plant.{feed}.{twin}", Streams: bus.Streams{Feed: bus.Stream{Name: "PLANT", Existing: true}},
	})
	w := work(t, b, engine.Config{RulesPath: ruleFile(t, overheating), Twins: machines(2)})
	w.until("output twins", func() bool { return w.Stats().Twins == 4 })
	got, _ := w.follow("", feedOf("machine_0"), statusOf("machine_0"))
	place := w.subscribe("", feedOf("machine_0"))
	_, err = js.Publish(t.Context(), "plant.currentTemp.machine_0", []byte(`{"temperature":1}`))
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "plant.currentTemp.machine_1", []byte(`{"temperature":2}`))
	require.NoError(t, err)
	w.emit(reading("machine_0", 0, 3), reading("machine_1", 0, 4), reading("machine_0", 0, 5))
	w.until("three and their outputs", func() bool { return got.len() == 6 })
	for _, n := range []int{1, 3, 5} {
		p := next(t, place)
		assert.Equal(t, fmt.Sprintf(`{"temperature":%d}`, n), string(p.Event.Data))
		require.NoError(t, p.Ack(t.Context()))
	}
	assert.Equal(t, `{"temperature":5}`, strings.SplitN(w.last("machine_0", "currentTemp"), " ", 2)[1])
	again, _ := w.follow("f0", feedOf("machine_0"))
	w.until("what was before", func() bool { return again.len() == 3 })
}
