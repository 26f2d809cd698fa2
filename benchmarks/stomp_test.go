package benchmarks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api/stomp"
	"tocsin.internal/engine"
	"tocsin.internal/internal/wsconn"
)

// oneFeed is a feed that many follow.
type oneFeed struct {
	stomp.Live

	mu        sync.Mutex
	followers []func(*engine.Event)
}

func (o *oneFeed) Follow(_ context.Context, _ engine.Topic, _ string, f func(*engine.Event)) (func(), error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.followers = append(o.followers, f)
	return func() {}, nil
}

func (o *oneFeed) share(n int) {
	e := &engine.Event{
		ID: fmt.Sprint("f", n), Kind: engine.SampleTopic, Twin: "machine_1", Name: "currentTemp", At: time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC),
		Mime: "application/json", Data: []byte(`{"temperature":31.25,"status":"extreme","line":"brno-2"}`),
	}
	for _, f := range o.followers {
		f(e)
	}
}

// iotics gives the parts of messages that the IOTICS API has.
type iotics struct{ stomp.Space }

func (iotics) AppendInterest(b []byte, follower, followed, feed string) []byte {
	return fmt.Appendf(b, `{"followerTwinId":{"id":%q},"followedFeedId":{"id":%q,"twinId":%q}}`, follower, feed, followed)
}

// stompReader counts the messages that a client gets.
type stompReader struct {
	conn net.Conn
	got  atomic.Int64
	over chan struct{}
}

func (r *stompReader) run() {
	defer close(r.over)
	buf := make([]byte, 64<<10)
	for {
		n, err := r.conn.Read(buf)
		r.got.Add(int64(bytes.Count(buf[:n], []byte{0})))
		if err != nil {
			return
		}
	}
}

func (r *stompReader) subscribe(b *testing.B, i int) {
	b.Helper()
	_, err := io.WriteString(r.conn, "STOMP\naccept-version:1.2\n\n\x00SUBSCRIBE\nid:1\nreceipt:r\ndestination:"+
		fmt.Sprintf(`/qapi/twins/did\ciotics\ciot%d/interests/twins/machine_1/feeds/currentTemp`, i)+"\n\n\x00")
	require.NoError(b, err)
	for seen := ""; strings.Count(seen, "\x00") < 2; {
		buf := make([]byte, 4096)
		n, err := r.conn.Read(buf)
		require.NoError(b, err)
		seen += string(buf[:n])
	}
}

// BenchmarkStomp is samples of a feed that 1,000 clients follow, one of which does
// not read.
func BenchmarkStomp(b *testing.B) {
	const clients, ahead = 1000, 256
	for _, transport := range []string{"TCP", "WebSocket"} {
		b.Run(transport, func(b *testing.B) {
			feed := &oneFeed{}
			server := stomp.New(stomp.Options{Live: feed, Space: iotics{}, Host: "did:host", Limits: stomp.Limits{Write: time.Minute, Slow: time.Minute, Linger: 100 * time.Millisecond}})
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(b, err)
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- server.Run(ctx, listener) }()
			web := httptest.NewServer(server.Route().Handler)
			all := make([]*stompReader, clients)
			for i := range all {
				all[i] = &stompReader{over: make(chan struct{})}
				if transport == "TCP" {
					all[i].conn, err = net.Dial("tcp", listener.Addr().String())
				} else {
					ws, _, dialErr := websocket.Dial(ctx, web.URL, nil) //nolint:bodyclose // it has none
					require.NoError(b, dialErr)
					all[i].conn, err = wsconn.New(ws, websocket.MessageText, nil, nil), nil
				}
				require.NoError(b, err)
				all[i].subscribe(b, i)
				if i > 0 {
					go all[i].run()
				} else {
					close(all[i].over)
				}
			}
			behind := func(n int) bool {
				for _, r := range all[1:] {
					if r.got.Load() < int64(n) {
						return true
					}
				}
				return false
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				feed.share(n)
				if n++; n%ahead == 0 {
					for behind(n - ahead/2) {
						time.Sleep(100 * time.Microsecond)
					}
				}
			}
			for behind(n) {
				time.Sleep(100 * time.Microsecond)
			}
			b.ReportMetric(float64(n)*(clients-1)/b.Elapsed().Seconds(), "messages/s")
			b.ReportMetric(float64(server.Stats().Dropped), "dropped")
			for _, r := range all {
				if ws, ok := r.conn.(*wsconn.Conn); ok {
					ws.CloseNow() //nolint:errcheck // it was there to count
				} else {
					r.conn.Close() //nolint:errcheck // it was there to count
				}
				<-r.over
			}
			stop()
			web.Close()
			require.NoError(b, <-done)
		})
	}
}
