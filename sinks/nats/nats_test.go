package nats_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/natstest"
	"tocsin.internal/internal/porttest"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/nats"
	"tocsin.internal/sinks/sinktest"
)

// serve starts a server; change may alter its options.
func serve(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, AuthTimeout: 60}
	if change != nil {
		change(o)
	}
	return natstest.Serve(t, o)
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// listen subscribes to everything.
func listen(t *testing.T, s *server.Server, options ...client.Option) *client.Subscription {
	t.Helper()
	nc, err := client.Connect(s.ClientURL(), append(options, client.Timeout(time.Minute))...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	sub, err := nc.SubscribeSync(">")
	require.NoError(t, err)
	require.NoError(t, nc.FlushTimeout(time.Minute))
	return sub
}

func parse(t *testing.T, text string) strictjson.Raw {
	t.Helper()
	raw, err := strictjson.Parse("c", []byte(text))
	require.NoError(t, err)
	return raw
}

// noDial fails the test when a sink that has a url asks for the engine's bus.
func noDial(context.Context) (*client.Conn, error) {
	return nil, errors.New("the engine's bus was asked for")
}

func open(t *testing.T, config string) sinks.Sink {
	t.Helper()
	s, err := nats.New(parse(t, config), noDial)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.(sinks.Closer).Close()) })
	return s
}

func TestContract(t *testing.T) {
	t.Run("its own server", func(t *testing.T) {
		sinktest.Run(t, func(t *testing.T) sinks.Sink {
			return open(t, fmt.Sprintf(`{"url":%q}`, serve(t, nil).ClientURL()))
		})
	})
	t.Run("the engine's", func(t *testing.T) {
		sinktest.Run(t, func(t *testing.T) sinks.Sink {
			url := serve(t, nil).ClientURL()
			s, err := nats.New(strictjson.Raw{}, func(context.Context) (*client.Conn, error) { return client.Connect(url, client.Timeout(time.Minute)) })
			require.NoError(t, err)
			return s
		})
	})
}

func TestSubjects(t *testing.T) {
	s := serve(t, nil)
	sub := listen(t, s)
	resolved := sinktest.Alert()
	resolved.State = rules.StateResolved
	odd := sinktest.Alert()
	odd.Interaction, odd.Rule, odd.Twin, odd.Severity = "a.b c", "x/y", "did:iotics:iot*>+#%\n", ""
	for name, tt := range map[string]struct {
		config  string
		outcome rules.Outcome
		want    string
	}{
		"raised":       {``, sinktest.Alert(), "alerts.v1.tocsin.critical.overheating:too-hot.machine_1.raised"},
		"cleared":      {``, resolved, "alerts.v1.tocsin.critical.overheating:too-hot.machine_1.cleared"},
		"space":        {`,"space":"brno 2"`, sinktest.Alert(), "alerts.v1.brno%202.critical.overheating:too-hot.machine_1.raised"},
		"odd names":    {``, odd, "alerts.v1.tocsin.%.a%2Eb%20c:x%2Fy.did:iotics:iot%2A%3E%2B%23%25%0A.raised"},
		"notification": {``, rules.Outcome{Kind: rules.Notification, Topic: "night shift"}, "notify.v1.tocsin.night%20shift"},
		"sticker":      {``, rules.Outcome{Kind: rules.Sticker, Twin: "t", Sticker: &rules.StickerChange{Op: rules.RemoveSticker, Color: "red"}}, "stickers.v1.tocsin.t.red.remove"},
		"output":       {``, rules.Outcome{Kind: rules.Output, Interaction: "i", Rule: "r", Twin: "t", Feed: "f"}, "outputs.v1.tocsin.i.t.f"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, open(t, fmt.Sprintf(`{"url":%q%s}`, s.ClientURL(), tt.config)).Deliver(t.Context(), tt.outcome))
			m, err := sub.NextMsg(time.Minute)
			require.NoError(t, err)
			assert.Equal(t, tt.want, m.Subject)
			assert.Equal(t, string(tt.outcome.AppendJSON(nil)), string(m.Data))
			assert.Equal(t, client.Header{"Nats-Msg-Id": {tt.outcome.EventID()}}, m.Header)
		})
	}
}

func TestGivenUp(t *testing.T) {
	s := open(t, fmt.Sprintf(`{"url":%q}`, serve(t, func(o *server.Options) { o.MaxPayload = 1000 }).ClientURL()))
	large, long, state := sinktest.Alert(), sinktest.Alert(), sinktest.Alert()
	large.Summary = strings.Repeat("x", 1000)
	long.Twin = strings.Repeat("x", 3000)
	state.State = "pending"
	for name, tt := range map[string]struct {
		outcome rules.Outcome
		want    string
	}{
		"command": {rules.Outcome{Kind: rules.Command}, "nats sink: no address for a command; want alert, notification, output or sticker"},
		"state":   {state, `nats sink: alert in state "pending"; want firing or resolved`},
		"long":    {long, "nats sink: subject of 3053 bytes; want at most 3000"},
		"large":   {large, fmt.Sprintf("nats sink: %d bytes on alerts.v1.tocsin.critical.overheating:too-hot.machine_1.raised: nats: maximum payload exceeded", len(large.AppendJSON(nil)))},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Deliver(t.Context(), tt.outcome)
			require.EqualError(t, err, tt.want)
			assert.True(t, sinks.IsPermanent(err))
		})
	}
}

func TestServerSaysNo(t *testing.T) {
	s := serve(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "ann", Password: "s3cret", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{"outputs.>"}}}}}
	})
	url := strings.Replace(s.ClientURL(), "nats://", "nats://ann:s3cret@", 1)
	sink := open(t, fmt.Sprintf(`{"url":%q}`, url))
	for range 2 { // the second is a new refusal, not the first once more
		err := sink.Deliver(t.Context(), sinktest.Alert())
		require.ErrorIs(t, err, client.ErrPermissionViolation)
		assert.False(t, sinks.IsPermanent(err), "an operator can mend it")
		assert.NotContains(t, err.Error(), "s3cret")
	}
	require.NoError(t, sink.Deliver(t.Context(), rules.Outcome{Kind: rules.Output}))

	wrong := open(t, fmt.Sprintf(`{"url":%q}`, strings.Replace(url, "s3cret", "wr0ng", 1)))
	err := wrong.Deliver(t.Context(), sinktest.Alert())
	require.ErrorIs(t, err, client.ErrAuthorization)
	assert.NotContains(t, err.Error(), "wr0ng")
}

func TestServerGoesAndComes(t *testing.T) {
	port := porttest.Port(t)
	s := serve(t, func(o *server.Options) { o.Port = port })
	sink := open(t, fmt.Sprintf(`{"url":"nats://127.0.0.1:%d"}`, port))
	require.NoError(t, sink.Deliver(t.Context(), sinktest.Alert()))
	stop(s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := sink.Deliver(ctx, sinktest.Alert())
	require.Error(t, err)
	assert.False(t, sinks.IsPermanent(err))

	s = serve(t, func(o *server.Options) { o.Port = port })
	sub := listen(t, s)
	require.Eventually(t, func() bool { return sink.Deliver(t.Context(), sinktest.Alert()) == nil }, time.Minute, 10*time.Millisecond)
	m, err := sub.NextMsg(time.Minute)
	require.NoError(t, err)
	assert.Contains(t, m.Subject, "alerts.v1.")
}

func TestDialIsTriedAgain(t *testing.T) {
	url := serve(t, nil).ClientURL()
	tries := 0
	s, err := nats.New(parse(t, `{"space":"x"}`), func(context.Context) (*client.Conn, error) {
		if tries++; tries == 1 {
			return nil, errors.New("not yet")
		}
		return client.Connect(url, client.Timeout(time.Minute))
	})
	require.NoError(t, err)
	require.EqualError(t, s.Deliver(t.Context(), sinktest.Alert()), "nats sink: not yet")
	require.Eventually(t, func() bool { return s.Deliver(t.Context(), sinktest.Alert()) == nil }, time.Minute, 10*time.Millisecond)
	require.NoError(t, s.Deliver(t.Context(), sinktest.Alert()))
	assert.Equal(t, 2, tries)
	require.NoError(t, s.(sinks.Closer).Close())
	require.EqualError(t, s.Deliver(t.Context(), sinktest.Alert()), "nats sink: closed")
	require.NoError(t, s.(sinks.Closer).Close())
}

func TestConfigErrors(t *testing.T) {
	for name, tt := range map[string]struct{ config, want string }{
		"typo":               {`{"spce":"x"}`, `c:1:2: /spce: unknown field "spce"; did you mean "space"?`},
		"url":                {`{"url":"http://u:s3cret@h"}`, `c:1:8: /url: not the address of a NATS server; want nats://host:port, or several with commas between`},
		"empty url":          {`{"url":""}`, `c:1:8: /url: not the address of a NATS server; want nats://host:port, or several with commas between`},
		"creds alone":        {`{"creds":"f"}`, `c:1:10: /creds: creds without a url; want it with one only`},
		"nkey alone":         {`{"nkey":"f"}`, `c:1:9: /nkey: nkey without a url; want it with one only`},
		"two ways":           {`{"url":"nats://h","creds":"f","user":"u"}`, `c:1:38: /user: creds and user; want one of them`},
		"password alone":     {`{"url":"nats://h","password":"s3cret"}`, `c:1:30: /password: password without user; want both`},
		"two passwords":      {`{"url":"nats://h","user":"u","password":"s3cret","passwordFile":"f"}`, `c:1:65: /passwordFile: password and passwordFile; want one of them`},
		"no password file":   {`{"url":"nats://h","user":"u","passwordFile":"/no/such"}`, `c:1:45: /passwordFile: open /no/such: no such file or directory`},
		"tls alone":          {`{"tls":{}}`, `c:1:8: /tls: tls without a url; want it with one only`},
		"half a certificate": {`{"url":"nats://h","tls":{"key":"x"}}`, `c:1:25: /tls: a certificate and its key go together; want both or none`},
		"space":              {`{"space":""}`, `c:1:10: /space: got ""; want the name of the installation`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := nats.New(parse(t, tt.config), noDial)
			require.EqualError(t, err, tt.want)
			assert.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestCredentialsAndTLSAreUsed(t *testing.T) {
	url := serve(t, nil).ClientURL()
	for more, want := range map[string]string{
		`,"creds":"no such file"`:                    "open no such file: no such file or directory",
		`,"nkey":"no such file"`:                     "nkey: nats: open no such file: no such file or directory",
		`,"tls":{"ca":"no such file"}`:               "open no such file: no such file or directory",
		`,"tls":{"cert":"no such","key":"no such2"}`: "open no such: no such file or directory",
	} {
		err := open(t, fmt.Sprintf(`{"url":%q%s}`, url, more)).Deliver(t.Context(), sinktest.Alert())
		require.ErrorContains(t, err, want)
	}
}
