package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/porttest"
)

// peer speaks STOMP as it is written.
type peer struct {
	t *testing.T
	net.Conn
	frames *frame.Reader
}

func (w *watched) stomp(port int) *peer {
	w.t.Helper()
	p := connect(w.t, port)
	p.want("CONNECTED")
	return p
}

// connect asks for a connection, with these headers besides.
func connect(t *testing.T, port int, headers ...string) *peer {
	t.Helper()
	n, err := new(net.Dialer).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, err)
	t.Cleanup(func() { n.Close() }) //nolint:errcheck // it may be over
	p := &peer{t, n, frame.NewReader(n)}
	p.send(strings.Join(append([]string{"STOMP", "accept-version:1.2"}, headers...), "\n") + "\n\n\x00")
	return p
}

func (p *peer) send(text string) {
	p.t.Helper()
	_, err := io.WriteString(p.Conn, text)
	require.NoError(p.t, err)
}

// subscribe subscribes and waits until that is done, but not for what is replayed.
func (p *peer) subscribe(headers ...string) {
	p.t.Helper()
	p.send("SUBSCRIBE\nreceipt:r\n" + strings.Join(headers, "\n") + "\n\n\x00")
	p.want("RECEIPT")
}

// want is the next frame, which begins as it is written.
func (p *peer) want(command string, body ...string) *frame.Frame {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(time.Minute)))
	for {
		f, err := p.frames.Read()
		require.NoError(p.t, err)
		if f == nil {
			continue
		}
		require.Equal(p.t, command, f.Command, "%v %s", f.Header, f.Body)
		for _, part := range body {
			require.Contains(p.t, string(f.Body), part)
		}
		return f
	}
}

func TestStomp(t *testing.T) {
	port := porttest.Port(t)
	w := lively(t, fmt.Sprintf(`},"stomp":{"listen":"127.0.0.1:%d"`, port))
	p := w.stomp(port)
	p.subscribe("id:feed", `destination:/qapi/twins/did\ciotics\cme/interests/twins/machine_1/feeds/currentTemp`)
	w.temperature(1, 1, 20)
	f := p.want("MESSAGE", `"followedFeedId":{"value":"currentTemp","id":"currentTemp","twinId":"machine_1"`, `"feedData":{"data":"eyJ0ZW1wZXJhdHVyZSI6MjB9","mime":"application/json","occurredAt":"2026-11-02T10:00:01Z"}`)
	assert.Equal(t, "/qapi/twins/did:iotics:me/interests/twins/machine_1/feeds/currentTemp", f.Header.Get("destination"))
	p.send("UNSUBSCRIBE\nid:feed\n\n\x00")

	p.subscribe("id:search", "destination:/qapi/searches/results")
	p.send("SEND\ndestination:/qapi/searches/dispatches\nlimit:1\nscope:LOCAL\n\n" + `{"responseType":"FULL","filter":{"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:m"}}]}}` + "\x00")
	p.want("MESSAGE", `{"responseType":"FULL"`, `"twins":[{"id":{"value":"machine_1"}`)
	p.send("UNSUBSCRIBE\nid:search\n\n\x00")

	t.Run("durable", func(t *testing.T) {
		const alerts = "destination:/topic/alerts/tocsin/*/*/machine_1/raised"
		p := w.stomp(port)
		p.subscribe("id:1", alerts, "durable:console", "ack:client-individual")
		w.temperature(1, 2, 40)
		f := p.want("MESSAGE", `"event":"raised"`)
		assert.Regexp(t, `^/topic/alerts/[a-z]+/[^/]+:[^/]+/machine_1/raised$`, f.Header.Get("destination"))
		p.send("NACK\nid:" + f.Header.Get("ack") + "\n\n\x00")
		again := p.want("MESSAGE", `"event":"raised"`)
		assert.Equal(t, f.Header.Get("message-id"), again.Header.Get("message-id"))
		assert.Equal(t, "true", again.Header.Get("redelivered"))
		require.NoError(t, p.Close())

		p = w.stomp(port)
		p.subscribe("id:2", alerts, "durable:console", "ack:client-individual")
		f = p.want("MESSAGE", `"event":"raised"`)
		p.send("ACK\nid:" + f.Header.Get("ack") + "\nreceipt:a\n\n\x00")
		p.want("RECEIPT")
		p.send("SUBSCRIBE\nid:3\nack:client\ndurable:console\ndestination:/topic/alerts/>\n\n\x00")
		p.want("ERROR", `{"code":6,`)
	})
	t.Run("replay", func(t *testing.T) {
		p := w.stomp(port)
		p.send("SUBSCRIBE\nid:all\nreplay:all\ndestination:/twins/machine_1/feeds/currentTemp\n\n\x00")
		p.want("MESSAGE", `{"temperature":20}`)
		p.want("MESSAGE", `{"temperature":40}`)
		p.send("UNSUBSCRIBE\nid:all\n\n\x00")
		p.subscribe("id:future", `replay:2099-01-01T00\c00\c00Z`, "destination:/twins/machine_1/feeds/currentTemp")
		p.send("UNSUBSCRIBE\nid:future\n\n\x00SUBSCRIBE\nid:alerts\nreplay:all\ndestination:/topic/alerts/>\n\n\x00")
		p.want("MESSAGE", `"event":"raised"`)
	})

	s := w.scrape()
	for end := time.Now().Add(30 * time.Second); s.series["tocsin_stomp_messages_total"] < 8; s = w.scrape() { // the last one is counted when it has been written
		require.True(t, time.Now().Before(end), "eight messages were read")
		<-time.After(20 * time.Millisecond)
	}
	assert.GreaterOrEqual(t, s.series["tocsin_stomp_connections_total"], 4.0)
	assert.GreaterOrEqual(t, s.series["tocsin_stomp_connections"], 1.0)
	assert.GreaterOrEqual(t, s.series["tocsin_stomp_frames_total"], 15.0)
	assert.Equal(t, 1, int(s.series["tocsin_stomp_errors_total"]))
	assert.Zero(t, s.series["tocsin_stomp_dropped_total"]+s.series["tocsin_stomp_slow_total"])

	require.NoError(t, w.cmd.Process.Signal(os.Interrupt))
	p.want("ERROR", `{"code":14,"details":[],"message":"the server is stopping"}`)
	require.NoError(t, w.cmd.Wait(), &w.log)
}
