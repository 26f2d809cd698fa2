package engine_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// ear remembers what a follower got.
type ear struct {
	mu     sync.Mutex
	events []*engine.Event
}

func (l *ear) hear(e *engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *ear) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.events)
}

func (l *ear) ids() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		ids = append(ids, e.ID)
	}
	return ids
}

// texts are the events in short.
func (l *ear) texts() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		text := fmt.Sprintf("%s %s.%s %s", e.Kind, e.Twin, e.Name, e.Data)
		if e.Outcome != nil {
			text = fmt.Sprintf("%s %s %s %s", e.Kind, e.Twin, e.Subject, e.Outcome.Data)
		}
		out = append(out, text)
	}
	return out
}

// follow follows topics until the test ends.
func (w *works) follow(after string, topics ...engine.Topic) (*ear, func()) {
	w.t.Helper()
	l := &ear{}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	stop, err := w.FollowAll(ctx, topics, after, l.hear)
	require.NoError(w.t, err)
	w.t.Cleanup(stop)
	return l, stop
}

func feedOf(twin string) engine.Topic {
	return engine.Topic{Kind: engine.FeedTopic, Twin: twin, Name: "currentTemp"}
}

func statusOf(twin string) engine.Topic {
	return engine.Topic{Kind: engine.FeedTopic, Twin: twins.OutputID("overheating", twin), Name: "temperature_status"}
}

func TestFollowAFeedSeesSinglesAndBatches(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = ruleFile(t, overheating), machines(3)
	})
	w.until("output twins", func() bool { return w.Stats().Twins == 6 })
	one, _ := w.follow("", feedOf("machine_0"))
	all, _ := w.follow("", engine.Topic{Kind: engine.SampleTopic})
	status, _ := w.follow("", statusOf("machine_0"))
	alerts, _ := w.follow("", engine.Topic{Kind: engine.AlertTopic, Pattern: "critical.overheating:too-hot.*.raised"})
	both, _ := w.follow("", engine.Topic{Kind: engine.SampleTopic, Pattern: "machine_1.>"}, feedOf("machine_1"))

	w.emit(reading("machine_0", 0, 31))
	w.emit(reading("machine_0", 1, 32), reading("machine_1", 1, 20), reading("machine_0", 2, 33), reading("stranger", 2, 33), reading("machine_0", 3, `"`))
	w.emit(rules.Sample{Twin: "machine_0", Feed: "other", At: noon, Data: []byte(`{}`)}, reading("machine_0", 4, 3))
	w.emit(reading("machine_0", 999999999, 31))
	w.emit(reading("machine_2", 0, 1))

	w.until("all that can be judged", func() bool { return all.len() == 12 && one.len() == 4 && both.len() == 1 })
	w.until("outputs and the alert", func() bool { return status.len() == 4 && alerts.len() == 1 })
	assert.Equal(t, []string{
		`sample machine_0.currentTemp {"temperature":31}`, `sample machine_0.currentTemp {"temperature":32}`,
		`sample machine_0.currentTemp {"temperature":33}`, `sample machine_0.currentTemp {"temperature":3}`,
	}, one.texts())
	out := twins.OutputID("overheating", "machine_0")
	assert.Equal(t, []string{
		`sample ` + out + `.temperature_status {"status":"extreme","temperature":31}`, `sample ` + out + `.temperature_status {"status":"extreme","temperature":32}`,
		`sample ` + out + `.temperature_status {"status":"extreme","temperature":33}`, `sample ` + out + `.temperature_status {"status":"normal","temperature":3}`,
	}, status.texts())
	assert.Equal(t, []string{`alert machine_0 critical.overheating:too-hot.machine_0.raised {"temperature":31}`}, alerts.texts())
	assert.Equal(t, []string{`sample machine_1.currentTemp {"temperature":20}`}, both.texts())
}

func TestNobodyFollowsNothingIsRead(t *testing.T) {
	dir := engine.DataDir(t)
	w := start(t, dir, func(c *engine.Config) { c.RulesPath, c.Twins = ruleFile(t, overheating), machines(1) })
	nc, err := w.bus.Dial(t.Context())
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	require.NoError(t, err)
	consumers := func() (n int) {
		for _, name := range []string{"FEED", "OUT", "NOTIFY"} {
			s, err := js.Stream(t.Context(), name)
			require.NoError(t, err)
			list := s.ListConsumers(t.Context())
			for c := range list.Info() {
				if c.Config.InactiveThreshold >= time.Minute { // none that was made for one question
					n++
				}
			}
			require.NoError(t, list.Err())
		}
		return n
	}
	comesTo := func(n int) bool {
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			if consumers() == n {
				return true
			}
		}
		return false
	}
	rounds := func() bool { // others come and go while an engine starts
		before := consumers()
		_, stopFirst := w.follow("", feedOf("machine_0"), engine.Topic{Kind: engine.AlertTopic})
		_, stopSecond := w.follow("", feedOf("machine_0"))
		ok := comesTo(before + 2)
		stopFirst()
		ok = ok && comesTo(before+1)
		stopSecond()
		stopSecond()
		return ok && comesTo(before)
	}
	done := false
	for end := time.Now().Add(2 * patience); !done && time.Now().Before(end); {
		done = rounds()
	}
	assert.True(t, done, "one reader a tail, and none when nobody follows")
}

// Wherever a follower stops and goes on, it gets everything once.
func TestFollowGoesOnWhereItWas(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) { c.RulesPath, c.Twins = ruleFile(t, overheating), machines(3) })
	w.until("output twins", func() bool { return w.Stats().Twins == 6 })
	topics := []engine.Topic{feedOf("machine_0"), statusOf("machine_0"), {Kind: engine.AlertTopic}}
	whole, _ := w.follow("", topics...)
	emit := func(from, to int) {
		for i := from; i < to; i += 5 {
			if i%3 == 0 {
				w.emit(reading("machine_0", i, i%60))
				i -= 4
				continue
			}
			var batch []rules.Sample
			for k := range 5 {
				batch = append(batch, reading(fmt.Sprintf("machine_%d", k%2), i+k, (i+k)%60))
			}
			w.emit(batch...)
		}
		w.drain()
	}
	emit(0, 200)
	emit(200, 400)
	out := twins.OutputID("overheating", "machine_0")
	of := func(what string, texts []string) (list []string) {
		for _, text := range texts {
			if strings.HasPrefix(text, what) {
				list = append(list, text)
			}
		}
		return list
	}
	answered := func() bool {
		texts := whole.texts()
		return len(of("sample "+out, texts)) == len(of("sample machine_0", texts)) && uint64(len(of("alert", texts))) == w.Stats().Alerts
	}
	w.until("all", answered)
	n := whole.len()
	require.Greater(t, n, 300)
	first := whole.ids()[0]
	for _, i := range []int{0, 1, n / 3, n / 2, n - 2, n - 1} {
		id := whole.ids()[i]
		again, stop := w.follow(id, topics...)
		want := whole.texts()[i+1:]
		w.until("what was missed after "+id, func() bool { return again.len() >= len(want) })
		assert.ElementsMatch(t, want, again.texts(), id)
		stop()
		again.mu.Lock()
		for _, e := range again.events {
			assert.True(t, e.Past)
		}
		again.mu.Unlock()
	}

	// While more comes.
	var group sync.WaitGroup
	late := &ear{}
	group.Go(func() { emit(400, 900) })
	stop, err := w.FollowAll(t.Context(), topics, first, late.hear)
	require.NoError(t, err)
	defer stop()
	group.Wait()
	w.until("all", answered)
	w.until("the same", func() bool { return late.len() >= whole.len()-1 })
	for _, what := range []string{"sample machine_0", "sample " + out, "alert"} {
		assert.True(t, slices.Equal(of(what, whole.texts()[1:]), of(what, late.texts())), "%s in order", what)
	}
	n = 1000
	w.until("it is live", func() bool { // what comes while it still catches up is not
		w.emit(reading("machine_0", n, 1))
		n++
		late.mu.Lock()
		defer late.mu.Unlock()
		return !late.events[len(late.events)-1].Past
	})
}

// subscribe takes up a place until the test ends.
func (w *works) subscribe(name string, t engine.Topic) *engine.Subscription {
	w.t.Helper()
	s, err := w.Subscribe(w.t.Context(), "ann", name, t)
	require.NoError(w.t, err)
	w.t.Cleanup(s.Close)
	return s
}

func next(t *testing.T, s *engine.Subscription) *engine.Pending {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience) // the server gives again after 30 seconds
	defer cancel()
	p, err := s.Next(ctx)
	require.NoError(t, err)
	return p
}

func TestSubscriptionsAreAcknowledged(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) { c.RulesPath, c.Twins = ruleFile(t, overheating), machines(2) })
	w.until("output twins", func() bool { return w.Stats().Twins == 4 })
	feed := w.subscribe("", feedOf("machine_0"))
	alerts := w.subscribe("alerts", engine.Topic{Kind: engine.AlertTopic, Pattern: "critical.*.machine_0.>"})
	status := w.subscribe("status", statusOf("machine_0"))
	w.emit(reading("machine_0", 0, 31), reading("machine_1", 0, 31), reading("machine_0", 1, 32), reading("machine_0", 2, 1))

	texts := func(p *engine.Pending) string { return fmt.Sprintf("%d %s", p.Attempt, p.Event.Data) }
	first, second, third := next(t, feed), next(t, feed), next(t, feed)
	assert.Equal(t, []string{`1 {"temperature":31}`, `1 {"temperature":32}`, `1 {"temperature":1}`}, []string{texts(first), texts(second), texts(third)})
	require.NoError(t, first.Ack(t.Context()))
	require.NoError(t, second.Nak(t.Context(), 0))
	require.NoError(t, third.Ack(t.Context()))
	again := next(t, feed)
	assert.Equal(t, `2 {"temperature":32}`, texts(again), "alone, of all in its message")
	require.NoError(t, again.Ack(t.Context()))

	raised := next(t, alerts)
	assert.Equal(t, "critical.overheating:too-hot.machine_0.raised", raised.Event.Subject)
	require.NoError(t, raised.Ack(t.Context()))
	assert.Equal(t, "cleared", next(t, alerts).Event.Outcome.Event())
	alerts.Close() // what was not acknowledged comes to who takes up its place
	alerts = w.subscribe("alerts", engine.Topic{Kind: engine.AlertTopic, Pattern: "critical.*.machine_0.>"})
	back := next(t, alerts)
	assert.Equal(t, []any{2, "critical.overheating:too-hot.machine_0.cleared"}, []any{back.Attempt, back.Event.Subject})
	require.NoError(t, back.Ack(t.Context()))
	assert.JSONEq(t, `{"status":"extreme","temperature":31}`, string(next(t, status).Event.Data))

	_, err := w.Subscribe(t.Context(), "ann", "alerts", engine.Topic{Kind: engine.AlertTopic})
	require.ErrorIs(t, err, engine.ErrOtherTopic)
	bobs, err := w.Subscribe(t.Context(), "bob", "alerts", engine.Topic{Kind: engine.AlertTopic})
	require.NoError(t, err, "names are their owners' alone")
	bobs.Close()
	found, err := w.Unsubscribe(t.Context(), "ann", "alerts")
	require.NoError(t, err)
	assert.True(t, found)
	_, err = alerts.Next(t.Context())
	require.ErrorIs(t, err, engine.ErrPlaceGone)
	found, err = w.Unsubscribe(t.Context(), "ann", "alerts")
	require.NoError(t, err)
	assert.False(t, found)
	_, err = w.Subscribe(t.Context(), "ann", "", feedOf("nobody"))
	require.ErrorIs(t, err, engine.ErrNoTwin)
}

func TestMessagesToInputs(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		valve := machine("valve")
		valve.Inputs = []rules.Feed{{ID: "set point"}}
		c.Twins = append(machines(1), valve)
	})
	topic := engine.Topic{Kind: engine.InputTopic, Twin: "valve", Name: "set point"}
	got, _ := w.follow("", topic)
	place := w.subscribe("", topic)
	message := engine.Event{Twin: "valve", Name: "set point", From: "machine_0", At: noon, Mime: "text/plain", Data: []byte("50 %\n")}
	require.NoError(t, w.SendInput(t.Context(), message))
	w.until("it", func() bool { return got.len() == 1 })
	for _, e := range []*engine.Event{got.events[0], next(t, place).Event} {
		e := *e
		assert.NotEmpty(t, e.ID)
		e.ID, e.Stored = "", time.Time{}
		want := message
		want.Kind, want.Subject = engine.InputTopic, "valve.set%20point"
		assert.Equal(t, want, e)
	}
	again, _ := w.follow("i0", topic)
	w.until("it, from the first on", func() bool { return again.len() == 1 })

	message.Name = "set"
	require.ErrorIs(t, w.SendInput(t.Context(), message), engine.ErrNoInput)
	message.Twin = "valv"
	require.ErrorIs(t, w.SendInput(t.Context(), message), engine.ErrNoTwin)
}

func (w *works) last(twin, feed string) string {
	w.t.Helper()
	e, ok, err := w.LastSample(w.t.Context(), twin, feed)
	require.NoError(w.t, err)
	if !ok {
		return "none"
	}
	return e.At.Format(time.TimeOnly) + " " + string(e.Data)
}

// The last samples are right at once and after a restart; and what was there before
// the interaction has been judged once.
func TestLastSamples(t *testing.T) {
	dir, rulesDir := engine.DataDir(t), t.TempDir()
	sink := &heard{}
	status := func(twin string) (string, string) {
		return twins.OutputID("overheating", twin), "temperature_status"
	}
	begin := func() *works {
		return start(t, dir, func(c *engine.Config) {
			quiet := machine("quiet")
			quiet.Feeds[0].StoreLast = false
			c.RulesPath, c.Twins = rulesDir, append(machines(3), quiet)
			c.Sinks = []engine.NamedSink{{Name: "heard", Sink: sink}}
		})
	}
	w := begin()
	assert.Equal(t, "none", w.last("machine_0", "currentTemp"))
	w.emit(reading("machine_0", 5, 35), reading("machine_1", 0, 20), reading("quiet", 0, 1))
	assert.Equal(t, `12:00:05 {"temperature":35}`, w.last("machine_0", "currentTemp"))
	assert.Equal(t, "none", w.last("quiet", "currentTemp"))

	write(t, filepath.Join(rulesDir, "rule.json"), overheating)
	out, feed := status("machine_0")
	w.until("output twins", func() bool { return w.Stats().Twins == 8 })
	assert.Equal(t, `12:00:05 {"status":"extreme","temperature":35}`, w.last(status("machine_0")))
	assert.Equal(t, `12:00:00 {"status":"normal","temperature":20}`, w.last(status("machine_1")))
	assert.Equal(t, "none", w.last(status("machine_2")), "the twin is there without a sample")
	w.drain()
	live, _ := w.follow("", engine.Topic{Kind: engine.FeedTopic, Twin: out, Name: feed})
	other, _ := w.follow("", engine.Topic{Kind: engine.FeedTopic, Twin: "machine_0", Name: "currentTemp"})
	w.emit(reading("machine_0", 3, 10)) // late
	assert.Equal(t, `12:00:03 {"temperature":10}`, w.last("machine_0", "currentTemp"), "as it was shared")
	assert.Equal(t, `12:00:03 {"status":"normal","temperature":10}`, w.last(status("machine_0")))
	w.drain()
	w.until("what came since", func() bool { return live.len() > 0 && other.len() > 0 })
	assert.Equal(t, []string{`sample machine_0.currentTemp {"temperature":10}`}, other.texts(), "who follows later gets none of what was there")
	assert.Len(t, live.texts(), 1)
	alerts := len(sink.all())
	w.stop()

	w = begin()
	assert.Equal(t, `12:00:03 {"temperature":10}`, w.last("machine_0", "currentTemp"))
	assert.Equal(t, `12:00:03 {"status":"normal","temperature":10}`, w.last(status("machine_0")))
	assert.Equal(t, `12:00:00 {"status":"normal","temperature":20}`, w.last(status("machine_1")))
	w.drain()
	assert.Len(t, sink.all(), alerts, "nothing is told twice")
	w.emit(rules.Sample{Twin: out, Feed: feed, At: noon, Data: []byte(`{"status":"by hand"}`)})
	assert.Equal(t, `12:00:00 {"status":"by hand"}`, w.last(out, feed))
	w.emit(reading("machine_0", 6, 40))
	assert.Equal(t, `12:00:06 {"status":"extreme","temperature":40}`, w.last(out, feed))

	for _, topic := range []engine.Topic{feedOf("machine_0"), {Kind: engine.FeedTopic, Twin: out, Name: feed}} {
		last, _, err := w.LastSample(t.Context(), topic.Twin, topic.Name)
		require.NoError(t, err)
		w.drain()
		since, stop := w.follow(last.ID, topic)
		w.emit(reading("machine_0", 7, 41))
		w.until("what came since", func() bool { return since.len() > 0 })
		assert.Contains(t, since.texts()[0], `"temperature":41}`)
		stop()
	}

	_, _, err := w.LastSample(t.Context(), "machine_9", "currentTemp")
	require.ErrorIs(t, err, engine.ErrNoTwin)
	_, _, err = w.LastSample(t.Context(), "machine_0", "currentTmp")
	require.ErrorIs(t, err, engine.ErrNoFeed)
}
