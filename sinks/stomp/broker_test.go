package stomp_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/brokertest"
	"tocsin.internal/internal/stompclient"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/sinktest"
)

// patience bounds how long a broker may take, however much else runs beside it.
const patience = 3 * time.Minute

const asGuest = `,"login":"guest","passcode":"guest","host":"/"`

func TestRabbitMQ(t *testing.T) {
	b := brokertest.RabbitMQ(t)
	t.Run("contract", func(t *testing.T) { sinktest.Run(t, func(t *testing.T) sinks.Sink { return open(t, b.URL, asGuest) }) })
	t.Run("contract over WebSocket", func(t *testing.T) {
		sinktest.Run(t, func(t *testing.T) sinks.Sink { return open(t, b.WebSocket, asGuest) })
	})
	t.Run("every outcome", func(t *testing.T) { everyOutcome(t, b) })
	t.Run("killed in the middle", func(t *testing.T) { killed(t, b) })
	t.Run("refuses", func(t *testing.T) {
		err := open(t, b.URL, asGuest+`,"destinations":{"alert":"/nonsense/{twin}"}`).Deliver(t.Context(), sinktest.Alert())
		require.ErrorContains(t, err, `the server says "Unknown destination: '/nonsense/machine_1' is not a valid destination.`)
		assert.False(t, sinks.IsPermanent(err))
		wrong := open(t, b.URL, `,"login":"guest","passcode":"wr0ng","host":"/"`).Deliver(t.Context(), sinktest.Alert())
		require.ErrorContains(t, wrong, "Access refused for user 'guest'")
		assert.NotContains(t, wrong.Error(), "wr0ng")
	})
}

func TestActiveMQ(t *testing.T) {
	b := brokertest.ActiveMQ(t)
	t.Run("contract", func(t *testing.T) { sinktest.Run(t, func(t *testing.T) sinks.Sink { return open(t, b.URL, asGuest) }) })
	t.Run("every outcome", func(t *testing.T) { everyOutcome(t, b) })
	t.Run("killed in the middle", func(t *testing.T) { killed(t, b) })
	t.Run("refuses", func(t *testing.T) {
		err := open(t, b.URL, `,"login":"guest","passcode":"wr0ng","host":"/"`).Deliver(t.Context(), sinktest.Alert())
		require.ErrorContains(t, err, "User name [guest] or password is invalid.")
		assert.NotContains(t, err.Error(), "wr0ng")
	})
}

// listen subscribes with a connection of its own.
func listen(t *testing.T, b *brokertest.STOMP, destination string) *stompclient.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	c, err := stompclient.Dial(ctx, stompclient.Options{URL: b.URL, Login: "guest", Passcode: "guest", Host: b.Host})
	require.NoError(t, err)
	require.NoError(t, c.Send(frame.New(frame.SUBSCRIBE, frame.Id, "1", frame.Destination, destination, frame.Ack, "client-individual", frame.Receipt, "1")))
	f, err := c.Read()
	require.NoError(t, err)
	require.Equal(t, frame.RECEIPT, f.Command)
	return c
}

// everyOutcome proves that another client gets each one as it was, by the names of topics.
func everyOutcome(t *testing.T, b *brokertest.STOMP) {
	odd := sinktest.Alert()
	odd.Interaction, odd.Rule, odd.Twin = "a.b c", "x/y,?", "did:iotics:é*>+#%"
	for _, tt := range []struct {
		subscribed string
		outcome    rules.Outcome
	}{
		{"/topic/alerts.critical." + b.Rest, sinktest.Alert()},
		{"/topic/alerts.*.*.machine_1.raised", sinktest.Alert()},
		{"/topic/alerts.*.*.*.*", odd},
		{"/topic/notifications." + b.Rest, rules.Outcome{Kind: rules.Notification, Topic: "night shift", At: odd.At, Data: []byte("{}")}},
		{"/topic/outputs.i.*.f", rules.Outcome{Kind: rules.Output, Interaction: "i", Rule: "r", Twin: "t", Feed: "f", At: odd.At, Data: []byte(`{"n":1}`)}},
		{"/topic/stickers.t.red.*", rules.Outcome{Kind: rules.Sticker, Twin: "t", Feed: "red", At: odd.At, Sticker: &rules.StickerChange{Op: rules.PutSticker, Color: "red"}}},
	} {
		c := listen(t, b, tt.subscribed)
		require.NoError(t, open(t, b.URL, asGuest).Deliver(t.Context(), tt.outcome))
		m, err := c.Read()
		require.NoError(t, err, tt.subscribed)
		assert.Equal(t, string(tt.outcome.AppendJSON(nil)), string(m.Body))
		assert.Equal(t, tt.outcome.EventID(), m.Header.Get("tocsin-id"))
		assert.Equal(t, tt.outcome.Twin, m.Header.Get("twin"))
		assert.Equal(t, "application/json", m.Header.Get("content-type"))
		c.Close()
	}
}

// killed proves that a broker which is killed and comes back while many deliver
// gets everything, and that what comes twice has the same id.
func killed(t *testing.T, b *brokertest.STOMP) {
	sink := open(t, b.URL, asGuest+`,"timeout":"5s","destinations":{"alert":"/queue/killed"}`)
	listen(t, b, "/queue/killed").Close()
	settled(t, b, "killed")
	missing := sinktest.Flood(t, sink, func() {
		b.Kill()
		b.Start(t)
	})
	left := len(missing)
	for limit := time.Now().Add(patience); left > 0; {
		left = take(t, b, "/queue/killed", missing, left)
		require.True(t, left == 0 || time.Now().Before(limit), "%d missing: %v", left, missing)
	}
}

// settled waits until RabbitMQ has a new queue for good. It gives receipts for the
// queue and for its messages when it has noted under a number what it is about to
// do. That it has done it is noted some moments later: killed before, it forgets
// the queue, with all that is in it.
func settled(t *testing.T, b *brokertest.STOMP, queue string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(b.Dir, "data", "*", "LATEST.LOG"))
	require.NoError(t, err)
	if len(logs) == 0 {
		return // another broker
	}
	require.Eventually(t, func() bool {
		log, err := os.ReadFile(logs[0])
		if err == nil && committed(log, queue) {
			return true
		}
		// From time to time the log is made into tables.
		tables, err := filepath.Glob(filepath.Join(filepath.Dir(logs[0]), "rabbit_durable_queue.DC?"))
		return err == nil && slices.ContainsFunc(tables, func(name string) bool {
			table, _ := os.ReadFile(name)
			return bytes.Contains(table, []byte(queue))
		})
	}, patience, 20*time.Millisecond)
}

// committed finds {tid,NUMBER,PROCESS} of the first note that names the queue, and
// looks for another with it that says "committed".
func committed(log []byte, queue string) bool {
	before, _, _ := bytes.Cut(log, []byte(queue))
	planned := bytes.LastIndex(before, []byte("presume_abort"))
	if planned < 0 {
		return false
	}
	const name = 3 // bytes, at most, of what stands before a name: its kind and its length
	tid := before[max(0, bytes.LastIndex(before[:planned], []byte("tid"))) : planned-name]
	for found := true; found; {
		if _, log, found = bytes.Cut(log, tid); bytes.HasPrefix(log[min(name, len(log)):], []byte("committed")) {
			return true
		}
	}
	return false
}

// take reads from a queue what is missing, until nothing is or nothing more
// comes. Another connection gets what the broker kept back from this one.
func take(t *testing.T, b *brokertest.STOMP, queue string, missing map[string]bool, left int) int {
	t.Helper()
	c := listen(t, b, queue)
	defer c.Close()
	const quiet = 30 * time.Second
	leave := time.AfterFunc(quiet, func() { c.Leave(time.Second) })
	defer leave.Stop()
	for n := 0; left > 0; n++ {
		m, err := c.Read()
		if err != nil {
			t.Logf("after %d messages, %d missing: %v", n, left, err)
			return left
		}
		leave.Reset(quiet)
		id := m.Header.Get("tocsin-id")
		_, ours := missing[id]
		require.True(t, ours, id)
		if missing[id] {
			missing[id] = false // but known: it may come twice
			left--
		}
		if err := c.Send(c.Ack(m)); err != nil {
			t.Logf("no acknowledgement of %s: %v", id, err)
			return left
		}
	}
	return 0
}
