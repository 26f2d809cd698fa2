package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/natstest"
)

// guest is a connection of a user of deploy/nats/nats-server.conf.
type guest struct {
	*nats.Conn
	t        *testing.T
	refusals chan string
}

func connect(t *testing.T, s *server.Server, user string) *guest {
	g := &guest{t: t, refusals: make(chan string, 16)}
	var err error
	g.Conn, err = nats.Connect(s.ClientURL(), nats.UserInfo(user, "of-"+user), nats.CustomInboxPrefix("_INBOX_"+user), nats.Timeout(patience),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				g.refusals <- err.Error()
			}
		}))
	require.NoError(t, err)
	t.Cleanup(g.Close)
	return g
}

// refused says that the server has refused what has just been done.
func (g *guest) refused(what, subject string) {
	g.t.Helper()
	require.NoError(g.t, g.Flush())
	select {
	case text := <-g.refusals:
		assert.Contains(g.t, strings.ToLower(text), what)
		assert.Contains(g.t, strings.ToLower(text), strings.ToLower(subject))
	case <-time.After(patience):
		g.t.Errorf("%s %s is allowed", what, subject)
	}
}

func (g *guest) mayNotPublish(subjects ...string) {
	g.t.Helper()
	for _, subject := range subjects {
		require.NoError(g.t, g.Publish(subject, []byte(`{"temperature":31}`)))
		g.refused("publish", subject)
	}
}

func (g *guest) mayNotListen(subjects ...string) {
	g.t.Helper()
	for _, subject := range subjects {
		_, err := g.SubscribeSync(subject)
		require.NoError(g.t, err)
		g.refused("subscription", subject)
	}
}

func TestPermissions(t *testing.T) {
	s := natstest.Deployed(t, "../deploy/nats/nats-server.conf")

	// The engine makes all it needs.
	b := open(t, Config{URL: strings.Replace(s.ClientURL(), "nats://", "nats://engine:of-engine@", 1)})
	require.NoError(t, b.PutTwin(t.Context(), "machine_1", []byte(`{}`)))

	// A device shares samples of its twin, and gets the answer.
	device := connect(t, s, "machine_1")
	answer, err := device.Request("in.machine_1.currentTemp", []byte(`{"temperature":31}`), patience)
	require.NoError(t, err)
	assert.Contains(t, string(answer.Data), `"stream":"FEED"`)
	device.mayNotPublish(
		"in.machine_2.currentTemp", "in.machine_10.currentTemp", "feed.0.machine_1.currentTemp", "feed.0._ctl", "alert.0.critical.i:r.machine_1.raised",
		"$KV.twins.machine_1", "$KV.dids.x", "$JS.API.STREAM.DELETE.FEED", "$JS.API.STREAM.MSG.GET.FEED", "$JS.API.CONSUMER.CREATE.FEED", "desk",
	)
	device.mayNotListen("in.machine_1.>", "in.>", "feed.>", "alert.>", ">", "_INBOX.>", "_INBOX_pager.>", "$KV.>")

	// A reader of alerts reads these, by the consumer that was made for it.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = b.js.CreateConsumer(ctx, historyStream, jetstream.ConsumerConfig{Durable: "pager", AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverNewPolicy})
	require.NoError(t, err)
	_, err = b.js.Publish(ctx, "alert.0.critical.i:r.machine_1.raised", []byte(`{"kind":"alert"}`))
	require.NoError(t, err)
	pager := connect(t, s, "pager")
	const next = "$JS.API.CONSUMER.MSG.NEXT.ALERTS.pager"
	told, err := pager.Request(next, fmt.Appendf(nil, `{"batch":1,"expires":%d}`, patience), 2*patience)
	require.NoError(t, err)
	assert.JSONEq(t, `{"kind":"alert"}`, string(told.Data))
	require.NoError(t, told.AckSync(nats.AckWait(patience)))
	pager.mayNotPublish(
		"in.machine_1.currentTemp", "alert.0.critical.i:r.machine_1.raised", "$JS.API.CONSUMER.CREATE.ALERTS.other", "$JS.API.CONSUMER.CREATE.ALERTS.pager",
		"$JS.API.CONSUMER.DELETE.ALERTS.pager", "$JS.API.CONSUMER.MSG.NEXT.OUT.pager", "$JS.API.STREAM.MSG.GET.ALERTS", "$JS.API.STREAM.PURGE.ALERTS", "$JS.ACK.OUT.pager.1.1.1.1.0", "$KV.twins.machine_1",
	)
	pager.mayNotListen("alert.>", "in.>", "feed.>", "out.>", ">", "_INBOX.>", "_INBOX_machine_1.>")

	// A listener hears the stable names, and nothing else.
	console := connect(t, s, "console")
	heard, err := console.SubscribeSync("alerts.v1.>")
	require.NoError(t, err)
	require.NoError(t, console.Flush())
	require.NoError(t, b.nc.Publish("alerts.v1.tocsin.critical.i:r.machine_1.raised", []byte(`{}`)))
	_, err = heard.NextMsg(patience)
	require.NoError(t, err)
	console.mayNotPublish("alerts.v1.tocsin.critical.i:r.machine_1.raised", "in.machine_1.currentTemp", "$MQTT.msgs.alerts.v1.x", "$JS.API.STREAM.PURGE.ALERTS")
	console.mayNotListen("outputs.v1.>", "alert.>", "$MQTT.msgs.>", ">", "_INBOX.>")

	// Nobody else gets in.
	for _, user := range []nats.Option{nats.UserInfo("machine_1", "guessed"), nats.UserInfo("nobody", ""), nats.UserInfo("", "")} {
		_, err = nats.Connect(s.ClientURL(), user, nats.Timeout(patience))
		require.ErrorIs(t, err, nats.ErrAuthorization)
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	for urls, want := range map[string]string{
		"":                               "",
		"nats://a:4222":                  "nats://a:4222",
		"nats://engine:secret@a:4222":    "nats://engine:xxxxx@a:4222",
		"nats://token@a:4222,nats://b":   "nats://xxxxx@a:4222,nats://b",
		"nats://e:s@a:4222,tls://e:s@b":  "nats://e:xxxxx@a:4222,tls://e:xxxxx@b",
		"nats://engine:se%cret@a:4222":   "a:4222",
		"nats://engine:secret@nowhere:x": "nowhere:x",
	} {
		assert.Equal(t, want, Redacted(urls))
	}
	_, err := Open(t.Context(), Config{URL: "nats://engine:secret@127.0.0.1:1"})
	require.ErrorContains(t, err, "nats://engine:xxxxx@127.0.0.1:1")
	assert.NotContains(t, err.Error(), "secret")
}
