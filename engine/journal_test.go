package engine_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// A notification of many open alerts wrote all of them down. Now it writes what
// the router was asked, and after a crash the router is where it was.
func TestEveryNotificationWroteTheWholeRouter(t *testing.T) {
	dir := engine.DataDir(t)
	change := func(mail *heard) func(*engine.Config) {
		return func(c *engine.Config) {
			c.Sinks = []engine.NamedSink{{Name: "mail", Sink: mail}}
			c.Routes = routes(t, `[{"name":"all","groupWait":"0s","groupInterval":"1h","sinks":["mail"]}]`, "mail")
		}
	}
	mail := &heard{}
	w := start(t, dir, change(mail))
	_, err := w.PutSilence(t.Context(), alerts.Silence{
		Matchers: matchers(t, "twin=m1*"), StartsAt: time.Now().Add(-time.Second), EndsAt: time.Now().Add(time.Hour), CreatedBy: "me", Comment: "work",
	})
	require.NoError(t, err)
	var many []rules.Outcome
	for i := range 400 {
		many = append(many, begin(fmt.Sprint("m", i), "minor").event(rules.EventRaised, func(o *rules.Outcome) {
			o.Data = []byte(`{"log":"` + strings.Repeat("x", 1000) + `"}`)
		}))
	}
	w.decide(many...)
	w.drain()
	var state, journal []byte
	raised := 0
	for state == nil { // until a notification is written down without the state, most of it being the notification itself
		require.Less(t, raised, 100)
		raised++
		before := w.Stats().Notifications
		w.decide(begin(fmt.Sprint("hot", raised), "critical").raised())
		w.until("it is told", func() bool { return w.Stats().Notifications > before })
		s, err := w.bus.LoadRouter(t.Context())
		require.NoError(t, err)
		// Of a state that was written before the many were all told, the journal has the rest of them.
		if journal, err = w.bus.LoadJournal(t.Context()); err == nil && journal != nil && baseOf(t, journal) == sum(s) && 2*len(journal) < len(s) {
			state = s
		}
	}
	w.drain()
	w.stop()
	last := lastOf(t, journal, mail.all())

	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4})
	require.NoError(t, err)
	require.NoError(t, b.SaveRouter(t.Context(), state)) // as a crash would have left it
	require.NoError(t, b.SaveJournal(t.Context(), journal))
	b.Close()
	mail = &heard{}
	w = start(t, dir, change(mail))
	w.decide(begin("hotter", "critical").raised())
	w.until("it is told", func() bool { return len(mail.all()) > 0 })
	w.drain()
	next := mail.all()[0]
	assert.Equal(t, last.Seq+1, next.Seq, "the group knows what it has told")
	assert.Equal(t, strings.TrimSuffix(last.ID, fmt.Sprint(last.Seq))+fmt.Sprint(next.Seq), next.ID)
	var data struct{ Firing, Resolved, Suppressed int }
	require.NoError(t, json.Unmarshal(next.Data, &data))
	assert.Equal(t, 289+raised+1, data.Firing)
	assert.Equal(t, 111, data.Suppressed)
}

func sum(state []byte) string {
	sum := sha256.Sum256(state)
	return hex.EncodeToString(sum[:])
}

func baseOf(t *testing.T, journal []byte) string {
	t.Helper()
	var doc struct{ Base string }
	require.NoError(t, json.Unmarshal(journal, &doc))
	return doc.Base
}

// lastOf is the last notification that a journal is about, among those told.
func lastOf(t *testing.T, journal []byte, told []rules.Outcome) rules.Outcome {
	var doc struct{ Outbox []struct{ ID string } }
	require.NoError(t, json.Unmarshal(journal, &doc))
	require.NotEmpty(t, doc.Outbox)
	i := slices.IndexFunc(told, func(o rules.Outcome) bool { return o.ID == doc.Outbox[len(doc.Outbox)-1].ID })
	require.GreaterOrEqual(t, i, 0)
	return told[i]
}
