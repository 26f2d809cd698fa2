package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// A sink that gets alerts singly is told the end of what it was told of, and of
// nothing else; and what still fires when the silence is over.
func TestASinkHeardOnlyTheEndsOfSilencedAlerts(t *testing.T) {
	dir := engine.DataDir(t)
	pager := &heard{}
	change := func(c *engine.Config) { c.Sinks = []engine.NamedSink{{Name: "pager", Sink: pager}} }
	w := start(t, dir, change)
	a, b, c := begin("a", "minor"), begin("b", "minor"), begin("c", "minor")
	w.decide(c.raised())
	w.drain()
	s, err := w.PutSilence(t.Context(), alerts.Silence{
		Matchers: matchers(t, "twin=~[a-c]"), StartsAt: time.Now().Add(-time.Second), EndsAt: time.Now().Add(time.Hour), CreatedBy: "me", Comment: "work",
	})
	require.NoError(t, err)
	w.decide(a.raised(), b.raised(), c.event(rules.EventUpdated, nil), a.closed(), c.closed())
	w.drain()
	assert.Equal(t, []string{"c raised", "c cleared"}, told(pager))
	assert.Equal(t, uint64(4), w.Stats().Silenced)
	w.stop()

	w = start(t, dir, change) // it still knows what it has not told
	d := begin("d", "minor")
	w.decide(d.raised())
	w.drain()
	assert.Equal(t, []string{"c raised", "c cleared", "d raised"}, told(pager))
	_, err = w.ExpireSilence(t.Context(), s.ID, "me")
	require.NoError(t, err)
	w.until("b is told of", func() bool { return len(pager.all()) == 4 })
	w.decide(b.closed())
	w.drain()
	assert.Equal(t, []string{"c raised", "c cleared", "d raised", "b raised", "b cleared"}, told(pager))
}

// What the sink does not take when the silence is over is tried again, and then
// becomes a dead letter.
func TestAnAlertToldLateIsRefused(t *testing.T) {
	pager := &heard{wrong: func(rules.Outcome) error { return errors.New("no") }}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.Sinks = []engine.NamedSink{{Name: "pager", Sink: pager, Retry: []time.Duration{time.Millisecond}}}
	})
	s, err := w.PutSilence(t.Context(), alerts.Silence{
		Matchers: matchers(t, "twin=a"), StartsAt: time.Now().Add(-time.Second), EndsAt: time.Now().Add(time.Hour), CreatedBy: "me", Comment: "work",
	})
	require.NoError(t, err)
	w.decide(begin("a", "minor").raised())
	w.drain()
	require.Zero(t, w.Stats().Undelivered)
	_, err = w.ExpireSilence(t.Context(), s.ID, "me")
	require.NoError(t, err)
	w.until("a dead letter", func() bool { return w.Stats().Undelivered == 1 })
	letters, err := w.bus.DeadLetters(t.Context(), 2)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	assert.Equal(t, "no", letters[0].Reason)
	assert.Equal(t, 2, letters[0].Attempts)
	assert.Equal(t, "a", letters[0].Twin)
}

// An event that was overtaken by the end of its episode is not told, and not kept.
func TestAHeldAlertWasOverAlready(t *testing.T) {
	dir := engine.DataDir(t)
	a := begin("a", "minor")
	held, _ := (*alerts.Held)(nil).Next(new(a.raised()), true)
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4})
	require.NoError(t, err)
	require.NoError(t, b.Hold(t.Context(), "pager", held.Last.ID, held.AppendJSON(nil)))
	b.Close()
	pager := &heard{}
	w := start(t, dir, func(c *engine.Config) { c.Sinks = []engine.NamedSink{{Name: "pager", Sink: pager}} })
	w.until("it is forgotten", func() bool {
		n := 0
		for _, err := range w.bus.Held(t.Context(), "pager") {
			require.NoError(t, err)
			n++
		}
		return n == 0
	})
	assert.Empty(t, pager.all())
}
