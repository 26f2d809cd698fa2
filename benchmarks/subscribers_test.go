package benchmarks

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/outbound"
	"tocsin.internal/subscriptions"
)

// told is an HTTP server that notes when each message came.
type told struct {
	mu   sync.Mutex
	put  time.Time // when the notice was put that comes now
	took []time.Duration
	all  chan struct{} // has one when so many as are wanted have come
	want int
}

// ServeHTTP answers at once.
func (s *told) ServeHTTP(http.ResponseWriter, *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took = append(s.took, time.Since(s.put))
	if s.want--; s.want == 0 {
		s.all <- struct{}{}
	}
}

func (s *told) expect(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put, s.want = time.Now(), n
}

// serve answers on an address of this machine until the benchmark ends.
func serve(b *testing.B, h http.Handler) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go server.Serve(l) //nolint:errcheck // it is closed below
	b.Cleanup(func() { server.Close() })
	return "http://" + l.Addr().String()
}

// BenchmarkSubscribers tells 10,000 subscriptions of one notice after the other:
// all of them well, and with 1 % dead, of which half refuse and half hang. The
// times are those of the live ones, from when the notice was put.
func BenchmarkSubscribers(b *testing.B) {
	const subscribers = 10_000
	for _, dead := range []int{0, subscribers / 100} {
		b.Run(fmt.Sprintf("dead=%d", dead), func(b *testing.B) {
			live := &told{all: make(chan struct{}, 1)}
			url := serve(b, live)
			hanging := serve(b, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
			bs, err := bus.Open(b.Context(), bus.Config{Dir: b.TempDir(), Partitions: 4})
			require.NoError(b, err)
			b.Cleanup(bs.Close)
			for i := range subscribers {
				to := url
				switch {
				case i < dead/2:
					to = "http://127.0.0.1:1"
				case i < dead:
					to = hanging
				}
				r := subscriptions.Request{CallbackURL: fmt.Sprintf("%s/%d", to, i), Topic: "red", Expires: time.Hour, ClientSecret: "MDEyMzQ1Njc4OWFi"}
				s := subscriptions.Subscribe(nil, subscriptions.Subscriber{Account: accounts.Own(), Base: url}, &r, time.Now()).Confirm(time.Now())
				_, err := bs.PutDocument(b.Context(), bus.Subscriptions, s.ID, s.Encode(), 0)
				require.NoError(b, err)
			}
			allow, _, err := outbound.ReadAllow([]string{"127.0.0.0/8"})
			require.NoError(b, err)
			e, err := engine.New(b.Context(), engine.Config{Bus: bs, Outbound: outbound.New(allow), DrainTimeout: time.Millisecond})
			require.NoError(b, err)
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- e.Run(ctx) }()
			b.Cleanup(func() {
				stop()
				require.NoError(b, <-done)
			})
			_, err = e.Subscriptions(b.Context()) // when they are known
			for err != nil {
				_, err = e.Subscriptions(b.Context())
			}
			n := 0
			for b.Loop() {
				n++
				notice := subscriptions.Notice{ID: fmt.Sprint(n), Trigger: "sticker.put", Account: accounts.Own(), Topic: "red", Twin: "t", Event: json.RawMessage(`{"color":"red"}`), At: time.Now()}
				body, err := notice.Encode()
				require.NoError(b, err)
				live.expect(subscribers - dead)
				require.NoError(b, bs.PutNotice(b.Context(), notice.Account, "red", bus.Notice{ID: notice.ID, Body: body}))
				<-live.all
			}
			slices.Sort(live.took)
			b.ReportMetric(float64(len(live.took))/b.Elapsed().Seconds(), "notifications/s")
			b.ReportMetric(live.took[len(live.took)/2].Seconds()*1000, "p50-ms")
			b.ReportMetric(live.took[len(live.took)*99/100].Seconds()*1000, "p99-ms")
		})
	}
}
