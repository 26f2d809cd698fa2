package stomp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/stomptest"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/sinktest"
	"tocsin.internal/sinks/stomp"
)

func parse(t *testing.T, text string) strictjson.Raw {
	t.Helper()
	raw, err := strictjson.Parse("c", []byte(text))
	require.NoError(t, err)
	return raw
}

func open(t *testing.T, url, more string) sinks.Sink {
	t.Helper()
	s, err := stomp.New(parse(t, fmt.Sprintf(`{"url":%q%s}`, url, more)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.(sinks.Closer).Close()) })
	return s
}

func TestContract(t *testing.T) {
	for name, url := range map[string]func(*stomptest.Server) string{"tcp": (*stomptest.Server).URL, "websocket": (*stomptest.Server).WebSocketURL} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinks.Sink { return open(t, url(stomptest.New(t)), "") })
		})
	}
}

func sent(s *stomptest.Server, n int) []*frame.Frame {
	var out []*frame.Frame
	s.Until(func(st stomptest.State) bool {
		out = nil
		for _, f := range st.Frames {
			if f != nil && f.Command == frame.SEND {
				out = append(out, f)
			}
		}
		return len(out) >= n
	})
	return out
}

func TestFrames(t *testing.T) {
	server := stomptest.New(t)
	odd := sinktest.Alert()
	odd.Interaction, odd.Rule, odd.Twin, odd.Severity = "a.b c", "x/y,?", "did:iotics:iot*>+#%\n", ""
	for name, tt := range map[string]struct {
		config  string
		outcome rules.Outcome
		want    string
	}{
		"alert":        {``, sinktest.Alert(), "/topic/alerts.critical.overheating:too-hot.machine_1.raised"},
		"odd names":    {``, odd, "/topic/alerts.%.a%2Eb%20c:x%2Fy%2C%3F.did:iotics:iot%2A%3E%2B%23%25%0A.raised"},
		"notification": {``, rules.Outcome{Kind: rules.Notification, Topic: "night shift"}, "/topic/notifications.night%20shift"},
		"output":       {``, rules.Outcome{Kind: rules.Output, Interaction: "i", Rule: "r", Twin: "t", Feed: "f"}, "/topic/outputs.i.t.f"},
		"sticker":      {``, rules.Outcome{Kind: rules.Sticker, Twin: "t", Sticker: &rules.StickerChange{Op: rules.PutSticker, Color: "red"}}, "/topic/stickers.t.red.put"},
		"own names":    {`,"space":"brno","destinations":{"alert":"/queue/{space}.{severity}/{id}"}`, sinktest.Alert(), "/queue/brno.critical/al_55n8fqhnwb2bt0rfhw83whrv71"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(sent(server, 0))
			require.NoError(t, open(t, server.URL(), tt.config+`,"messageHeaders":{"expires":"0"}`).Deliver(t.Context(), tt.outcome))
			f := sent(server, before+1)[before]
			assert.Equal(t, tt.want, f.Header.Get(frame.Destination))
			assert.Equal(t, string(tt.outcome.AppendJSON(nil)), string(f.Body))
			for header, want := range map[string]string{
				"tocsin-id": tt.outcome.EventID(), "content-type": "application/json", "persistent": "true", "kind": string(tt.outcome.Kind), "severity": tt.outcome.Severity, "expires": "0",
			} {
				assert.Equal(t, want, f.Header.Get(header), header)
			}
		})
	}
}

// TestReceiptsArePipelined proves that a delivery does not wait for the receipts
// of others, and that any order of receipts is right.
func TestReceiptsArePipelined(t *testing.T) {
	const many = 50
	server := stomptest.New(t)
	var mu sync.Mutex
	var receipts []*frame.Frame
	server.Answer = func(f *frame.Frame) []*frame.Frame {
		if f.Command != frame.SEND {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		receipts = append([]*frame.Frame{frame.New(frame.RECEIPT, frame.ReceiptId, f.Header.Get(frame.Receipt))}, receipts...)
		if len(receipts) < many {
			return []*frame.Frame{{}} // not yet
		}
		return receipts
	}
	sink := open(t, server.URL(), "")
	var group sync.WaitGroup
	for range many {
		group.Go(func() { assert.NoError(t, sink.Deliver(t.Context(), sinktest.Alert())) })
	}
	group.Wait()
	assert.Len(t, receipts, many)
}

// refusing answers with an ERROR to the messages of a twin.
func refusing(twin string, headers ...string) func(f *frame.Frame) []*frame.Frame {
	return func(f *frame.Frame) []*frame.Frame {
		if f.Command != frame.SEND || f.Header.Get("twin") != twin {
			return nil
		}
		said := frame.New(frame.ERROR, append([]string{frame.Message, "no room"}, headers...)...)
		if len(headers) == 0 {
			said.Header.Set(frame.ReceiptId, f.Header.Get(frame.Receipt))
		}
		return []*frame.Frame{said}
	}
}

func TestServerSaysNo(t *testing.T) {
	for name, headers := range map[string][]string{"with its receipt": nil, "without": {"version", "1.2"}} {
		t.Run(name, func(t *testing.T) {
			server := stomptest.New(t)
			server.Answer = refusing("machine_2", headers...)
			sink := open(t, server.URL(), "")
			require.NoError(t, sink.Deliver(t.Context(), sinktest.Alert()))
			bad := sinktest.Alert()
			bad.Twin = "machine_2"
			err := sink.Deliver(t.Context(), bad)
			require.ErrorContains(t, err, `the server says "no room"`)
			assert.False(t, sinks.IsPermanent(err), "an operator can mend it")
			require.NoError(t, sink.Deliver(t.Context(), sinktest.Alert()))
		})
	}
}

// TestUnusedConnectionHasEnded proves that a delivery does not fail because the
// server had ended a connection that nobody used.
func TestUnusedConnectionHasEnded(t *testing.T) {
	server := stomptest.New(t)
	sink := open(t, server.URL(), "")
	for range 3 {
		require.NoError(t, sink.Deliver(t.Context(), sinktest.Alert()))
		server.Drop()
	}
}

func TestNoReceipt(t *testing.T) {
	server := stomptest.New(t)
	server.Answer = func(f *frame.Frame) []*frame.Frame {
		if f.Command == frame.SEND {
			return []*frame.Frame{{}}
		}
		return nil
	}
	sink := open(t, server.URL(), `,"timeout":"50ms"`)
	var err error
	require.Eventually(t, func() bool { // the time may be over before there is a connection
		err = sink.Deliver(t.Context(), sinktest.Alert())
		return err != nil && strings.Contains(err.Error(), "no receipt")
	}, time.Minute, time.Millisecond)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.False(t, sinks.IsPermanent(err))
}

func TestNobodyThere(t *testing.T) {
	sink := open(t, "stomp://127.0.0.1:1", "")
	require.ErrorContains(t, sink.Deliver(t.Context(), sinktest.Alert()), "stomp sink 127.0.0.1:1: dial tcp 127.0.0.1:1: ")
	var wait time.Duration
	require.Eventually(t, func() bool { // the pause grows, and nobody is asked in it
		err := sink.Deliver(t.Context(), sinktest.Alert())
		require.Error(t, err)
		require.False(t, sinks.IsPermanent(err))
		wait, _ = sinks.Wait(err)
		return wait > 200*time.Millisecond
	}, time.Minute, time.Millisecond)
	require.NoError(t, sink.(sinks.Closer).Close())
	require.EqualError(t, sink.Deliver(t.Context(), sinktest.Alert()), "stomp sink 127.0.0.1:1: closed")
}

func TestGivenUp(t *testing.T) {
	sink := open(t, "stomp://127.0.0.1:1", "")
	long, state := sinktest.Alert(), sinktest.Alert()
	long.Twin, state.State = strings.Repeat("x", 3000), "pending"
	for want, o := range map[string]rules.Outcome{
		"no address for a command; want alert, notification, output or sticker": {Kind: rules.Command},
		`alert in state "pending"; want firing or resolved`:                     state,
		"destination of 3050 bytes; want at most 3000":                          long,
	} {
		err := sink.Deliver(t.Context(), o)
		require.EqualError(t, err, "stomp sink 127.0.0.1:1: "+want)
		assert.True(t, sinks.IsPermanent(err))
	}
}

func TestConfigErrors(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                                   `c:1:1: field "url" is missing`,
		`{"url":"stomp://h","destination":{}}`: `c:1:20: /destination: unknown field "destination"; did you mean "destinations"?`,
		`{"url":"http://u:s3cret@h"}`:          `c:1:8: /url: not the address of a STOMP server; want stomp://host:port, stomp+tls://, ws:// or wss://`,
		`{"url":"stomp://h","passcode":"a","passcodeFile":"s3cret"}`:  `c:1:50: /passcodeFile: passcode and passcodeFile; want one of them`,
		`{"url":"stomp://h","destinations":{"alert":"/a/{twn}"}}`:     `c:1:44: /destinations/alert: no place {twn}; did you mean "twin"?`,
		`{"url":"stomp://h","destinations":{"alert":"/a/{twin"}}`:     `c:1:44: /destinations/alert: got "/a/{twin"; want a } behind each {`,
		`{"url":"stomp://h","destinations":{"alert":"/a/twin}"}}`:     `c:1:44: /destinations/alert: got "/a/twin}"; want a { before each }`,
		`{"url":"stomp://h","destinations":{"alert":""}}`:             `c:1:44: /destinations/alert: got ""; want a name with places in it, such as {severity} and {twin}`,
		`{"url":"stomp://h","destinations":{"alert":"a b"}}`:          `c:1:44: /destinations/alert: got "a b"; want neither blanks nor control characters`,
		`{"url":"stomp://h","destinations":{"alerts":"/a"}}`:          `c:1:36: /destinations/alerts: unknown field "alerts"; did you mean "alert"?`,
		`{"url":"stomp://h","messageHeaders":{"tocsin-id":"a"}}`:      `c:1:38: /messageHeaders/tocsin-id: header tocsin-id is written here; want others`,
		`{"url":"stomp://h","timeout":"0s"}`:                          `c:1:30: /timeout: got 0s; want more than nothing`,
		`{"url":"stomp://h","space":""}`:                              `c:1:28: /space: got ""; want the name of the installation`,
		`{"url":"stomp://h","tls":{"ca":"x"}}`:                        `c:1:26: /tls: tls without TLS in the URL; want stomp+tls:// or wss://`,
		`{"url":"stomp+tls://h","tls":{"cert":"x"}}`:                  `c:1:30: /tls: a certificate and its key go together; want both or none`,
		`{"url":"stomp://h","passcodeFile":"/no/such/file"}`:          `c:1:35: /passcodeFile: open /no/such/file: no such file or directory`,
		`{"url":"stomp://h","destinations":{"alert":7,"output":"x"}}`: `c:1:44: /destinations/alert: got a number; want a string`,
	} {
		_, err := stomp.New(parse(t, config))
		require.ErrorContains(t, err, want, config)
		assert.NotContains(t, strings.ReplaceAll(err.Error(), "/passcodeFile", ""), "s3cret")
	}
}

// TestConnectionIsShared proves that deliveries have one connection, and that
// Close ends it.
func TestConnectionIsShared(t *testing.T) {
	server := stomptest.New(t)
	sink := open(t, server.URL(), "")
	var group sync.WaitGroup
	var errs [20]error
	for i := range errs {
		group.Go(func() { errs[i] = sink.Deliver(t.Context(), sinktest.Alert()) })
	}
	group.Wait()
	require.NoError(t, errors.Join(errs[:]...))
	assert.True(t, server.Until(func(st stomptest.State) bool { return st.Conns == 1 && st.Count(frame.STOMP) == 1 }))
	require.NoError(t, sink.(sinks.Closer).Close())
	assert.True(t, server.Until(func(st stomptest.State) bool { return st.Conns == 0 && st.Count(frame.DISCONNECT) == 1 }))
}
