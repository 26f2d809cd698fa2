package engine_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

func lastingMatchers(t *testing.T, text string) alerts.Matchers {
	t.Helper()
	raw, err := strictjson.Parse("match", []byte(text))
	require.NoError(t, err)
	ms, err := alerts.DecodeLasting(raw)
	require.NoError(t, err)
	return ms
}

// A sink gets what its match lets through; of an alert that it was told of it
// hears the end also when that does not fit any more.
func TestSinksMatch(t *testing.T) {
	critical, line, everything := &heard{}, &heard{}, &heard{}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.Sinks = []engine.NamedSink{
			{Name: "critical", Sink: critical, Match: lastingMatchers(t, `["severity=critical"]`)},
			{Name: "line", Sink: line, Match: lastingMatchers(t, `["property.line=2","twin!=d"]`)},
			{Name: "all", Sink: everything},
		}
	})
	for id, value := range map[string]string{"a": "1", "b": "2", "d": "2"} {
		require.NoError(t, w.PutTwin(t.Context(), twins.Twin{ID: id, Properties: []rules.Property{twins.URI("http://plant.example/def#line", value)}}))
	}
	a, b, c, d := begin("a", "minor"), begin("b", "critical"), begin("c", "minor"), begin("d", "minor")
	severity := func(to, from string) func(*rules.Outcome) {
		return func(o *rules.Outcome) { o.Severity, o.Life.Previous = to, from }
	}
	w.decide(a.raised(), b.raised(), c.raised(), d.raised())
	w.decide(a.event(rules.EventUpdated, severity("critical", "minor")), b.event(rules.EventUpdated, severity("minor", "critical")))
	w.decide(a.closed(), b.closed(), c.closed(), d.closed())
	w.drain()
	assert.Equal(t, []string{"b raised", "a updated", "a cleared", "b cleared"}, told(critical))
	assert.Equal(t, []string{"b raised", "b updated", "b cleared"}, told(line))
	assert.Len(t, told(everything), 10)
	assert.NotZero(t, w.Stats().Filtered)
}

// Routes go by properties of twins, too.
func TestRoutesByProperties(t *testing.T) {
	mail := &heard{}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.Sinks = []engine.NamedSink{{Name: "mail", Sink: mail}}
		c.Routes = routes(t, `[{"name":"line2","match":["property.line=2"],"groupWait":"0s","sinks":["mail"]}]`, "mail")
	})
	require.NoError(t, w.PutTwin(t.Context(), twins.Twin{ID: "b", Properties: []rules.Property{twins.URI("http://plant.example/def#line", "2")}}))
	w.decide(begin("a", "minor").raised(), begin("b", "minor").raised())
	w.until("both", func() bool { return len(mail.all()) == 2 })
	got := told(mail)
	slices.Sort(got)
	assert.Equal(t, []string{"a raised", "line2 firing 1/0"}, got)
}

// forgetful is a sink that wants to be told again.
type forgetful struct {
	heard
	mu     sync.Mutex
	rounds [][]string
}

func (f *forgetful) RepeatEvery() time.Duration { return 5 * time.Millisecond }

func (f *forgetful) Repeat(_ context.Context, firing []rules.Outcome) error {
	names := []string{}
	for i := range firing {
		names = append(names, firing[i].Twin)
	}
	slices.Sort(names)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rounds = append(f.rounds, names)
	return nil
}

// last says whether the newest round has exactly the twins.
func (f *forgetful) last(twins ...string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.rounds) > 0 && slices.Equal(f.rounds[len(f.rounds)-1], twins)
}

// Of what fires a sink that forgets is told again: also after a restart, but not
// of what is over, silenced, or not for it.
func TestWhatFiresIsRepeated(t *testing.T) {
	dir := engine.DataDir(t)
	change := func(f *forgetful) func(*engine.Config) {
		return func(c *engine.Config) {
			c.Sinks = []engine.NamedSink{{Name: "f", Sink: f, Kind: rules.Alert, Match: lastingMatchers(t, `["severity!=info"]`)}}
		}
	}
	f := &forgetful{}
	w := start(t, dir, change(f))
	a, b := begin("a", "critical"), begin("b", "minor")
	w.decide(a.raised(), b.raised(), begin("c", "info").raised())
	w.until("both are repeated", func() bool { return f.last("a", "b") })
	w.decide(a.closed())
	w.until("only one still fires", func() bool { return f.last("b") })
	_, err := w.PutSilence(t.Context(), alerts.Silence{
		Matchers: matchers(t, "twin=b"), StartsAt: time.Now().Add(-time.Second), EndsAt: time.Now().Add(time.Hour), CreatedBy: "me", Comment: "work",
	})
	require.NoError(t, err)
	w.until("it is silenced", func() bool { return f.last() })
	w.decide(begin("d", "major").raised())
	w.until("another", func() bool { return f.last("d") })
	w.drain()
	w.stop()
	again := &forgetful{}
	w = start(t, dir, change(again))
	w.until("it is told of what fired before", func() bool { return again.last("d") })
}
