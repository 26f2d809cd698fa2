package nats_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/natstest"
	"tocsin.internal/internal/porttest"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/sources/nats"
	"tocsin.internal/sources/sourcetest"
)

// serve starts a server; change may alter its options.
func serve(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, JetStreamMaxStore: 1 << 40, StoreDir: t.TempDir(), NoLog: true, NoSigs: true, AuthTimeout: 60, TLSTimeout: 60}
	if change != nil {
		change(o)
	}
	return natstest.Serve(t, o)
}

func dial(t *testing.T, s *server.Server) *client.Conn {
	t.Helper()
	nc, err := client.Connect(s.ClientURL(), client.Timeout(time.Minute))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// stream makes the stream PLANT with the subjects plant.>.
func stream(t *testing.T, nc *client.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PLANT", Subjects: []string{"plant.>"}})
	require.NoError(t, err)
	return js
}

func open(t *testing.T, url, more string) sources.Source {
	t.Helper()
	s, err := nats.New(parse(t, fmt.Sprintf(`{"url":%q,"subject":"plant.*.*"%s}`, url, more)))
	require.NoError(t, err)
	return s
}

func parse(t *testing.T, text string) strictjson.Raw {
	t.Helper()
	raw, err := strictjson.Parse("c", []byte(text))
	require.NoError(t, err)
	return raw
}

func subject(t *testing.T) string {
	t.Helper()
	return "plant." + sourcetest.Twin + "." + sourcetest.Feed
}

func TestContractStream(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Origin {
		s := serve(t, nil)
		nc := dial(t, s)
		js := stream(t, nc)
		for n := range sourcetest.Count {
			_, err := js.Publish(t.Context(), subject(t), []byte(sourcetest.Data(n)))
			require.NoError(t, err)
		}
		return sourcetest.Origin{Source: open(t, s.ClientURL(), `,"stream":"PLANT","durable":"tocsin"`)}
	})
}

func TestContractCore(t *testing.T) {
	for name, more := range map[string]string{"alone": "", "in a queue": `,"queue":"q"`} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T) sourcetest.Origin {
				s := serve(t, nil)
				nc := dial(t, s)
				return sourcetest.Origin{Source: open(t, s.ClientURL(), more), Send: func(ctx context.Context) error {
					if err := waitForSubscription(ctx, s); err != nil {
						return err
					}
					for n := range sourcetest.Count {
						if err := nc.Publish(subject(t), []byte(sourcetest.Data(n))); err != nil {
							return err
						}
					}
					return nc.FlushTimeout(time.Minute)
				}}
			})
		})
	}
}

// waitForSubscription returns when somebody listens to plant.*.*.
func waitForSubscription(ctx context.Context, s *server.Server) error {
	for ctx.Err() == nil {
		subs, err := s.Subsz(&server.SubszOptions{Subscriptions: true, Test: "plant.a.b"})
		if err != nil || subs.Total > 0 {
			return err
		}
	}
	return ctx.Err()
}

func run(t *testing.T, s sources.Source) *sourcetest.Running {
	t.Helper()
	return sourcetest.Begin(t, s, nil)
}

func publish(t *testing.T, nc *client.Conn, subject, body string, headers ...string) {
	t.Helper()
	m := client.NewMsg(subject)
	m.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	require.NoError(t, nc.PublishMsg(m))
	require.NoError(t, nc.FlushTimeout(time.Minute))
}

func TestMessages(t *testing.T) {
	recorded := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tt := range map[string]struct {
		config, subject, body string
		headers               []string
		want                  rules.Sample // At zero: about now
	}{
		"data":              {``, "plant.m1.temp", `{"a":1}`, nil, rules.Sample{Twin: "m1", Feed: "temp", Data: []byte(`{"a":1}`)}},
		"more tokens":       {`,"subject":"plant.>"`, "plant.hall.m1.temp", `{}`, nil, rules.Sample{Twin: "m1", Feed: "temp", Data: []byte(`{}`)}},
		"positions":         {`,"subject":"plant.>","twinToken":3,"feedToken":2`, "plant.temp.m1.x", `{}`, nil, rules.Sample{Twin: "m1", Feed: "temp", Data: []byte(`{}`)}},
		"fixed twin":        {`,"twin":"m9"`, "plant.x.temp", `{}`, nil, rules.Sample{Twin: "m9", Feed: "temp", Data: []byte(`{}`)}},
		"fixed feed":        {`,"feed":"temp"`, "plant.x.m1", `{}`, nil, rules.Sample{Twin: "m1", Feed: "temp", Data: []byte(`{}`)}},
		"both fixed":        {`,"twin":"m9","feed":"temp"`, "plant.x.y", `{}`, nil, rules.Sample{Twin: "m9", Feed: "temp", Data: []byte(`{}`)}},
		"encoded":           {``, "plant.did:x:a%2Eb%20%25.te%2amp", `{}`, nil, rules.Sample{Twin: "did:x:a.b %", Feed: "te*mp", Data: []byte(`{}`)}},
		"headers":           {``, "plant.m1.temp", `{}`, []string{"Tocsin-Time", "2026-01-02T04:04:05+01:00", "Nats-Msg-Id", "m-1"}, rules.Sample{Twin: "m1", Feed: "temp", At: recorded, ID: "m-1", Data: []byte(`{}`)}},
		"over lines":        {``, "plant.m1.temp", "{\n\"a\": 1\r\n}", nil, rules.Sample{Twin: "m1", Feed: "temp", Data: []byte(`{"a":1}`)}},
		"sample":            {`,"body":"sample"`, "plant.m1.temp", `{"twin":"t","feed":"f","occurredAt":"2026-01-02T03:04:05Z","data":{},"id":"own"}`, nil, rules.Sample{Twin: "t", Feed: "f", At: recorded, ID: "own", Data: []byte(`{}`), Seq: 1}},
		"sample, headers":   {`,"body":"sample"`, "plant.m1.temp", `{"twin":"t","feed":"f","data":{}}`, []string{"Tocsin-Time", "2026-01-02T03:04:05Z", "Nats-Msg-Id", "m-1"}, rules.Sample{Twin: "t", Feed: "f", At: recorded, ID: "m-1", Data: []byte(`{}`), Seq: 1}},
		"not judged here":   {``, "plant.m1.temp", `[1`, nil, rules.Sample{Twin: "m1", Feed: "temp", Data: []byte(`[1`)}},
		"bad time":          {``, "plant.m1.temp", `{}`, []string{"Tocsin-Time", "now"}, rules.Sample{Twin: "m1", Feed: "temp", Data: []byte(`{}`), Refused: `plant.m1.temp: header Tocsin-Time: got "now"; want a time as RFC 3339 has it, such as "2026-11-22T10:00:00Z"`}},
		"bad id":            {``, "plant.m1.temp", `{}`, []string{"Nats-Msg-Id", strings.Repeat("x", 257)}, rules.Sample{Twin: "m1", Feed: "temp", Data: []byte(`{}`), Refused: `plant.m1.temp: header Nats-Msg-Id: message id of 257 bytes; want at most 256`}},
		"bad lines":         {``, "plant.m1.temp", "{\n]", nil, rules.Sample{Twin: "m1", Feed: "temp", Data: []byte("{\n]"), Refused: `plant.m1.temp: not JSON: invalid character ']' looking for beginning of object key string`}},
		"bad sample":        {`,"body":"sample"`, "plant.m1.temp", `{}`, nil, rules.Sample{Data: []byte(`{}`), Seq: 1, Refused: `plant.m1.temp: -:1:1: field "twin" is missing`}},
		"bad token":         {``, "plant.m%zz.temp", `{}`, nil, rules.Sample{Data: []byte(`{}`), Refused: `plant.m%zz.temp: token 2: invalid URL escape "%zz"; want the twin with % only before two hexadecimal digits`}},
		"too few tokens":    {`,"subject":">","twinToken":4`, "plant.m1.temp", `{}`, nil, rules.Sample{Data: []byte(`{}`), Refused: `plant.m1.temp: subject of 3 tokens; want the twin at 4`}},
		"one token, no two": {`,"subject":">"`, "plant", `{}`, nil, rules.Sample{Data: []byte(`{}`), Refused: `plant: subject of 1 tokens; want the twin at 1`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(o *server.Options) { o.JetStream = false })
			config := fmt.Sprintf(`{"url":%q,"subject":"plant.*.*"%s}`, s.ClientURL(), tt.config)
			if strings.Contains(tt.config, `"subject"`) {
				config = fmt.Sprintf(`{"url":%q%s}`, s.ClientURL(), tt.config)
			}
			src, err := nats.New(parse(t, config))
			require.NoError(t, err)
			r := run(t, src)
			require.NoError(t, waitForSubscription(t.Context(), s))
			start := time.Now()
			publish(t, dial(t, s), tt.subject, tt.body, tt.headers...)
			got := r.Wait(t, 1)[0]
			if tt.want.At.IsZero() {
				assert.WithinRange(t, got.At, start, time.Now())
				got.At = time.Time{}
			}
			assert.Equal(t, tt.want, got)
			r.End(t)
		})
	}
}

func TestStreamGivesTimeAndID(t *testing.T) {
	s := serve(t, nil)
	nc := dial(t, s)
	js := stream(t, nc)
	publish(t, nc, "plant.m1.temp", `{}`)
	publish(t, nc, "plant.m1.temp", `{}`, "Nats-Msg-Id", "own")
	publish(t, nc, "plant.other", `{}`) // not asked for
	r := run(t, open(t, s.ClientURL(), `,"stream":"PLANT","durable":"tocsin"`))
	got := r.Wait(t, 2)
	assert.Equal(t, []string{"PLANT/1", "own"}, []string{got[0].ID, got[1].ID})
	str, err := js.Stream(t.Context(), "PLANT")
	require.NoError(t, err)
	stored, err := str.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	assert.True(t, stored.Time.Equal(got[0].At))
	r.End(t)
	require.Len(t, r.Samples(), 2)
}

// TestOnlyWhatIsStoredIsAcknowledged ends a source whose emit has refused, and
// starts another: it gets everything, in order, and nothing twice.
func TestOnlyWhatIsStoredIsAcknowledged(t *testing.T) {
	s := serve(t, nil)
	nc := dial(t, s)
	js := stream(t, nc)
	for n := range 3 {
		publish(t, nc, "plant.m1.temp", sourcetest.Data(n))
	}
	src := open(t, s.ClientURL(), `,"stream":"PLANT","durable":"tocsin"`)
	first := run(t, src)
	first.Wait(t, 3)
	acknowledged(t, js, 3)
	first.Refuse(sources.ErrFull)
	for n := 3; n < 8; n++ {
		publish(t, nc, "plant.m1.temp", sourcetest.Data(n))
	}
	<-first.Came
	first.End(t)
	require.Len(t, first.Samples(), 3)

	second := run(t, src)
	publish(t, nc, "plant.m1.temp", sourcetest.Data(8))
	var data []string
	for _, sample := range second.Wait(t, 6) {
		data = append(data, string(sample.Data))
	}
	var want []string
	for n := 3; n < 9; n++ {
		want = append(want, sourcetest.Data(n))
	}
	assert.Equal(t, want, data)
	second.End(t)
	acknowledged(t, js, 9)
}

// acknowledged waits until the server knows that all messages of the stream PLANT are stored.
func acknowledged(t *testing.T, js jetstream.JetStream, messages uint64) {
	t.Helper()
	require.Eventually(t, func() bool {
		c, err := js.Consumer(t.Context(), "PLANT", "tocsin")
		if err != nil {
			return false
		}
		info := c.CachedInfo()
		return info.AckFloor.Stream == messages && info.NumAckPending == 0 && info.NumPending == 0
	}, time.Minute, 20*time.Millisecond)
}

func TestConsumerDeletedIsMadeAgain(t *testing.T) {
	s := serve(t, nil)
	nc := dial(t, s)
	js := stream(t, nc)
	r := run(t, open(t, s.ClientURL(), `,"stream":"PLANT","durable":"tocsin"`))
	publish(t, nc, "plant.m1.temp", sourcetest.Data(0))
	r.Wait(t, 1)
	require.NoError(t, js.DeleteConsumer(t.Context(), "PLANT", "tocsin"))
	publish(t, nc, "plant.m1.temp", sourcetest.Data(1))
	got := r.Wait(t, 3) // the new consumer begins at the beginning
	assert.Equal(t, sourcetest.Data(1), string(got[len(got)-1].Data))
	r.End(t)
}

// at starts a server on a port and a folder, so that it can come again.
func at(t *testing.T, port int, dir string, jetStream bool) *server.Server {
	t.Helper()
	return serve(t, func(o *server.Options) { o.Port, o.StoreDir, o.JetStream = port, dir, jetStream })
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func TestServerComesLate(t *testing.T) {
	port := porttest.Port(t)
	r := run(t, open(t, fmt.Sprintf("nats://127.0.0.1:%d", port), ""))
	s := at(t, port, t.TempDir(), false)
	require.NoError(t, waitForSubscription(t.Context(), s))
	publish(t, dial(t, s), "plant.m1.temp", sourcetest.Data(0))
	r.Wait(t, 1)
	r.End(t)
}

func TestServerGoesForAWhile(t *testing.T) {
	for name, more := range map[string]string{"core": "", "stream": `,"stream":"PLANT","durable":"tocsin"`} {
		t.Run(name, func(t *testing.T) {
			port, dir, jetStream := porttest.Port(t), t.TempDir(), more != ""
			s := at(t, port, dir, jetStream)
			nc := dial(t, s)
			var js jetstream.JetStream
			if jetStream {
				js = stream(t, nc)
			}
			r := run(t, open(t, s.ClientURL(), more))
			require.NoError(t, waitForSubscription(t.Context(), s))
			publish(t, nc, "plant.m1.temp", sourcetest.Data(0))
			r.Wait(t, 1)
			if jetStream {
				acknowledged(t, js, 1) // it would come again
			}
			stop(s)

			s = at(t, port, dir, jetStream)
			require.NoError(t, waitForSubscription(t.Context(), s))
			publish(t, dial(t, s), "plant.m1.temp", sourcetest.Data(1))
			assert.Equal(t, sourcetest.Data(1), string(r.Wait(t, 2)[1].Data))
			require.Eventually(t, func() bool { // the client says so beside what it reads
				states := r.States()
				return len(states) > 2 && states[len(states)-1] == ""
			}, time.Minute, 20*time.Millisecond)
			r.End(t)
			states := r.States()
			assert.Empty(t, states[0])
			assert.NotEmpty(t, states[1])
		})
	}
}

// TestJetStreamSaysLater proves that a JetStream which is not ready is asked
// again, and one that says no is not.
func TestJetStreamSaysLater(t *testing.T) {
	s := serve(t, func(o *server.Options) { o.JetStream = false })
	nc := dial(t, s)
	answers := []string{
		`{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}`,
		`{"code":503,"err_code":10076,"description":"JetStream not enabled"}`,
	}
	var asked atomic.Int32
	_, err := nc.Subscribe("$JS.API.CONSUMER.INFO.PLANT.tocsin", func(m *client.Msg) {
		before := asked.Add(1) - 1
		_ = m.Respond(fmt.Appendf(nil, `{"type":"io.nats.jetstream.api.v1.consumer_info_response","error":%s}`, answers[min(before, 1)]))
	})
	require.NoError(t, err)
	require.NoError(t, nc.FlushTimeout(time.Minute))
	err = open(t, s.ClientURL(), `,"stream":"PLANT","durable":"tocsin"`).Run(t.Context(), func(context.Context, ...rules.Sample) error { return nil })
	require.ErrorIs(t, err, jetstream.ErrJetStreamNotEnabled)
	assert.Equal(t, int32(2), asked.Load())
}

func TestRunErrors(t *testing.T) {
	users := func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "ann", Password: "s3cret", Permissions: &server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"plant.>"}}}},
		}
	}
	for name, tt := range map[string]struct {
		change     func(*server.Options)
		user, more string
		want       string
	}{
		"no stream":      {nil, "", `,"stream":"NOPE","durable":"d"`, "nats source plant.*.*: stream NOPE, durable d: nats: API error: code=404 err_code=10059 description=stream not found"},
		"password":       {users, "ann:wr0ng@", "", "nats source plant.*.*: nats: Authorization Violation"},
		"may not listen": {users, "ann:s3cret@", "", "nats source plant.*.*: nats: permissions violation: Permissions Violation for Subscription to \"plant.*.*\""},
		"no credentials": {nil, "", `,"creds":"` + filepath.Join(os.TempDir(), "no such file") + `"`, "no such file or directory"},
		"no CA":          {nil, "", `,"tls":{"ca":"` + filepath.Join(os.TempDir(), "no such file") + `"}`, "no such file or directory"},
		"no TLS":         {nil, "", `,"tls":{"ca":"an authority"}`, "nats: secure connection not available"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, tt.change)
			tt.more = strings.Replace(tt.more, "an authority", authority(t), 1)
			url := strings.Replace(s.ClientURL(), "nats://", "nats://"+tt.user, 1)
			err := open(t, url, tt.more).Run(t.Context(), func(context.Context, ...rules.Sample) error { return nil })
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), "s3cret")
			assert.NotContains(t, err.Error(), "wr0ng")
		})
	}
}

// The client library made room for what a server announced, panicked in a
// goroutine of its own, and ended the engine.
func TestServerThatAnnouncesAHugeMessage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	var announced atomic.Int32
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "INFO {\"server_id\":\"x\",\"version\":\"2.10.0\",\"proto\":1,\"headers\":true,\"max_payload\":1048576}\r\n") //nolint:errcheck // a test
			for lines := bufio.NewScanner(c); lines.Scan(); {
				switch {
				case lines.Text() == "PING":
					io.WriteString(c, "PONG\r\n") //nolint:errcheck // a test
				case strings.HasPrefix(lines.Text(), "SUB"):
					announced.Add(1)
					io.WriteString(c, "MSG plant.a.b 1 9000000000000000000\r\nabc\r\n") //nolint:errcheck // a test
				}
			}
			c.Close() //nolint:errcheck // a test
		}
	})
	r := sourcetest.Begin(t, open(t, "nats://"+l.Addr().String(), ""), nil)
	require.Eventually(t, func() bool { return announced.Load() == 2 }, time.Minute, 10*time.Millisecond, "it connects again")
	r.End(t)
	require.NoError(t, l.Close())
	served.Wait()
}
