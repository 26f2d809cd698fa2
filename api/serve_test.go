package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
)

// running serves until the test ends, and gives the address.
func running(t *testing.T, o Options) string {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	o.Engine = new(engine.Engine)
	if o.Samples == nil {
		o.Samples = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				refuse(w, err)
				return
			}
			fmt.Fprint(w, n)
		})
	}
	bound := make(chan string, 1)
	o.Bound = func(a net.Addr) { bound <- a.String() }
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-done)
	})
	select {
	case address := <-bound:
		return address
	case err := <-done:
		done <- nil
		require.NoError(t, err)
	}
	return ""
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() }) //nolint:errcheck // the test is over
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return conn
}

// got is an answer, of which the body is closed with the test.
type got struct {
	status int
	proto  string
	header http.Header
	body   io.Reader
}

func get(t *testing.T, client *http.Client, url string) (got, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	resp, err := client.Do(req)
	if err != nil {
		return got{}, err
	}
	t.Cleanup(func() { resp.Body.Close() }) //nolint:errcheck // the test is over
	return got{resp.StatusCode, resp.Proto, resp.Header, resp.Body}, nil
}

// things is a route to try.
var things = []access.Route{{Pattern: "GET /things", Action: access.Read, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, access.From(r.Context()).Name)
})}}

func TestRates(t *testing.T) {
	now := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	l := newLimiter(Rate{PerSecond: 2, Burst: 3})
	l.now = func() time.Time { return now }
	for range 3 {
		require.NoError(t, l.take("a"))
	}
	refused, ok := access.AsRefused(l.take("a"))
	require.True(t, ok)
	assert.Equal(t, access.Exhausted, refused.Code)
	assert.Equal(t, 500*time.Millisecond, refused.After)
	assert.Equal(t, 1, retryAfter(refused.After))
	require.NoError(t, l.take("b"), "others are not held up")
	now = now.Add(500 * time.Millisecond)
	require.NoError(t, l.take("a"), "who was refused did not spend what he had")
	require.Error(t, l.take("a"))
	for i := range 3 * maxCallers {
		require.NoError(t, l.take("stranger "+strconv.Itoa(i)))
	}
	assert.LessOrEqual(t, len(l.new)+len(l.aged), 2*maxCallers, "the table is bounded")
	assert.NoError(t, (*limiter)(nil).take("a"), "no limit")
	assert.Nil(t, newLimiter(Rate{}))
}

func TestClientsAreToldApartByAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:4000": "192.0.2.7", "[::ffff:192.0.2.7]:4000": "192.0.2.7", "[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64", "[fe80::1%eth0]:1": "fe80::/64", "@": "@", "": "", "192.0.2.7": "192.0.2.7",
	} {
		assert.Equal(t, want, client(remote), remote)
	}
	for said, want := range map[string]string{"": "192.0.2.1:9", "198.51.100.1, 203.0.113.9": "203.0.113.9", "203.0.113.9,": "192.0.2.1:9", "unknown": "192.0.2.1:9", "2001:db8::1": "2001:db8::1"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = "192.0.2.1:9"
		if said != "" {
			r.Header.Add("X-Forwarded-For", "198.51.100.7")
			r.Header.Add("X-Forwarded-For", said)
		}
		assert.Equal(t, want, (&door{proxied: true}).from(r), said)
		assert.Equal(t, "192.0.2.1:9", new(door).from(r), "nobody is believed who is not asked to be")
	}
}

// Callers have a rate each; those that are not known share that of their address.
// What platforms ask is not limited.
func TestTooManyRequests(t *testing.T) {
	o := Options{
		Engine: new(engine.Engine), Samples: http.NotFoundHandler(), Rate: Rate{PerSecond: 0.001, Burst: 2}, Routes: things,
		Guard: keys(map[string]*access.Caller{"r": reader, "w": writer}),
	}
	d := newDoor(o)
	now := time.Now()
	d.limit.now = func() time.Time { return now } // what is to be waited for does not get less meanwhile
	h := d.handler(nil, o)
	ask := func(path, token, from string) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		r.RemoteAddr = from
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusTooManyRequests {
			return "429 " + w.Header().Get("Retry-After") + " " + strings.TrimSpace(w.Body.String())
		}
		return strconv.Itoa(w.Code)
	}
	const spent = `429 1000 {"error":"too many requests; want fewer, see http.rate"}`
	for range 2 {
		assert.Equal(t, "200", ask("/things", "r", "192.0.2.1:1"))
	}
	assert.Equal(t, spent, ask("/things", "r", "192.0.2.2:1"), "the caller counts, wherever he is")
	assert.Equal(t, "200", ask("/things", "w", "192.0.2.1:2"))
	for range 2 {
		assert.Equal(t, "401", ask("/things", "wrong", "192.0.2.1:3"))
	}
	assert.Equal(t, spent, ask("/things", "", "192.0.2.1:4"))
	assert.Equal(t, spent, ask("/nothing", "", "192.0.2.1:5"))
	assert.Equal(t, "200", ask("/livez", "", "192.0.2.1:6"))
	assert.Equal(t, "200", ask("/things", "w", "192.0.2.1:7"), "a neighbour that is not known takes nothing from who is")
	assert.Equal(t, "404", ask("/nothing", "", "192.0.2.9:1"))
}

// A client that sends its body too slowly is let go.
func TestSlowBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name  string
			bytes int
			every time.Duration
			reads int // until it is let go; 0: it is not
		}{
			{"all at once", 100_000, 0, 0},
			{"as fast as it has to be", 512, time.Second, 0},
			{"a pause within the grace", 4096, 8 * time.Second, 0},
			{"a byte a second", 1, time.Second, 21},
			{"nothing", 0, time.Hour, 1},
		} {
			r, w := io.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer w.Close() //nolint:errcheck // of a pipe
				for range 50 {
					time.Sleep(tt.every)
					if _, err := w.Write(make([]byte, tt.bytes)); err != nil {
						return
					}
				}
			}()
			var until time.Time
			stopped := false
			set := func(at time.Time) error {
				until = at
				return nil
			}
			timed := readerFunc(func(p []byte) (int, error) {
				timer := time.AfterFunc(time.Until(until), func() { w.CloseWithError(os.ErrDeadlineExceeded) })
				defer timer.Stop()
				return r.Read(p)
			})
			b := &pacedBody{ReadCloser: io.NopCloser(timed), until: set, now: time.Now, left: bodyGrace}
			reads, buf := 0, make([]byte, 4096)
			for !stopped {
				n, err := b.Read(buf)
				switch {
				case errors.Is(err, io.EOF):
					assert.Zero(t, tt.reads, tt.name)
					assert.True(t, until.IsZero(), "the rest of the request has all the time")
					stopped = true
				case err != nil:
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
					assert.Equal(t, tt.reads, reads+1, tt.name)
					stopped = true
				case n > 0:
					reads++
				}
			}
			<-done
		}
	})
}

// The same of a real client: it is told, and its connection is closed.
func TestASlowBodyIsCutOff(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &pacedBody{ReadCloser: r.Body, until: http.NewResponseController(w).SetReadDeadline, now: time.Now, left: 50 * time.Millisecond}
		_, err := document(r)
		refuse(w, err)
	}))
	defer s.Close()
	conn := dial(t, s.Listener.Addr().String())
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(answer), "HTTP/1.1 408 Request Timeout\r\n")
	assert.Contains(t, string(answer), "Connection: close\r\n")
	assert.Contains(t, string(answer), `{"error":"the body came too slowly"}`)
}

// Who sends headers for ever is cut off, though something comes all the time.
func TestSlowHeadersAreCutOff(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	bound, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- serve(ctx, server{
			name: "http.listen", address: "127.0.0.1:0", handler: http.NotFoundHandler(), bound: func(a net.Addr) { bound <- a.String() }, headerTime: 200 * time.Millisecond,
		})
	}()
	address := <-bound
	conn := dial(t, address)
	fmt.Fprint(conn, "GET / HTTP/1.1\r\n")
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		io.Copy(io.Discard, conn) //nolint:errcheck // it ends in one way or another
	}()
	for open := true; open; {
		select {
		case <-ticks.C:
			fmt.Fprint(conn, "X: y\r\n")
		case <-closed:
			open = false
		}
	}
	require.Eventually(t, func() bool { // on a busy machine these may be late too
		return status(t, address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") == 404
	}, 30*time.Second, 20*time.Millisecond, "others are served")
	stop()
	require.NoError(t, <-done)
}

// What becomes of requests is counted, by route and not by path.
func TestRequestsAreCounted(t *testing.T) {
	o := Options{Engine: new(engine.Engine), Samples: http.NotFoundHandler(), Routes: things, Guard: keys(map[string]*access.Caller{"r": reader}), Rate: Rate{PerSecond: 0.001, Burst: 3}}
	d := newDoor(o)
	h := d.handler(nil, o)
	for _, request := range []string{"GET /things r", "GET /things r", "GET /things -", "GET /things/1 -", "POST /api/v1/samples r", "GET /livez -", "GET /things r"} {
		parts := strings.Fields(request)
		r := httptest.NewRequestWithContext(t.Context(), parts[0], parts[1], http.NoBody)
		if parts[2] != "-" {
			r.Header.Set("Authorization", "Bearer "+parts[2])
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	read := d.counts.read()
	assert.Equal(t, map[counted]uint64{
		{"GET /things", 200}: 2, {"GET /things", 401}: 1, {"GET /things", 429}: 1, {"/", 404}: 1, {"POST /api/v1/samples", 403}: 1, {"GET /livez", 200}: 1,
	}, read.requests)
	assert.Equal(t, map[string]uint64{"unauthenticated": 1, "denied": 1, "rate": 1, "foreign": 0, "connections": 0}, read.refused)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Where there is no room the idle give way, and only then the new.
func TestConnectionsAreBounded(t *testing.T) {
	release := make(chan struct{})
	busy := make(chan struct{}, 10)
	address := running(t, Options{MaxConnections: 3, Samples: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		busy <- struct{}{}
		<-release
		fmt.Fprint(w, "done")
	})})
	idle := dial(t, address) // says nothing
	var working []net.Conn
	for range 3 {
		conn := dial(t, address)
		fmt.Fprint(conn, "POST /api/v1/samples HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
		<-busy
		working = append(working, conn)
	}
	_, err := idle.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "it made room")
	late := dial(t, address)
	_, err = late.Read(make([]byte, 1))
	require.Error(t, err, "all others are in use")
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	close(release)
	for _, conn := range working {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, 200, resp.StatusCode, "they have been served")
	}
	require.Eventually(t, func() bool { // they become idle a moment after their answer has come
		return status(t, address, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n") == 200
	}, 30*time.Second, 20*time.Millisecond, "there is room again")
}

// status is that of the answer to these bytes; 0: the connection was closed.
func status(t *testing.T, address, request string) int {
	t.Helper()
	conn := dial(t, address)
	io.WriteString(conn, request) //nolint:errcheck // it may be closed before all is sent
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close() //nolint:errcheck // the test is over
	return resp.StatusCode
}

// Many that connect and say nothing keep nobody else out.
func TestManyIdleConnections(t *testing.T) {
	many := 1000
	if text := os.Getenv("TOCSIN_TEST_CONNECTIONS"); text != "" {
		var err error
		many, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	address := running(t, Options{MaxConnections: many})
	conns := make([]net.Conn, many)
	for i := range conns {
		conns[i] = dial(t, address)
	}
	assert.Equal(t, 200, status(t, address, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	_, err := conns[0].Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "the one that has been idle for the longest")
	fmt.Fprint(conns[many-1], "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conns[many-1]), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, 200, resp.StatusCode)
}

func TestBadRequests(t *testing.T) {
	address := running(t, Options{Routes: []access.Route{{Pattern: "POST /bounded", Action: access.Operate, MaxBody: 1000, Handler: orRefuse(func(_ http.ResponseWriter, r *http.Request) error {
		_, err := document(r)
		return err
	})}}})
	long := strings.Repeat("x", 10_000)
	for name, tt := range map[string]struct {
		request string
		status  int
	}{
		"an unknown method":            {"BREW /api/v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
		"a long unknown method":        {long + " /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
		"no HTTP":                      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		"a long path":                  {"GET /api/v1/" + long + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		"a path beyond all bounds":     {"GET /" + strings.Repeat("x", 100_000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 431},
		"one long header":              {"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 100_000) + "\r\n\r\n", 431},
		"a flood of headers":           {"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: y\r\n", 20_000) + "\r\n", 431},
		"a header with NUL":            {"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n", 400},
		"no host":                      {"GET /livez HTTP/1.1\r\n\r\n", 400},
		"two hosts":                    {"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		"two lengths":                  {"POST /api/v1/samples HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400},
		"a length below none":          {"POST /api/v1/samples HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400},
		"a broken chunk":               {"POST /api/v1/samples HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 503},
		"a body over the limit":        {"POST /bounded HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n" + strings.Repeat(" ", 1001), 413},
		"a NUL in a path":              {"GET /api/v1/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		"a path that leaves":           {"GET /api/v1/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 307},
		"a path in percents":           {"GET /api/v1/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
		"another server's request":     {"GET http://example.com/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 403},
		"a tunnel":                     {"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 403},
		"all of it":                    {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 200},
		"an upgrade that there is not": {"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 200},
	} {
		assert.Equal(t, tt.status, status(t, address, tt.request), name)
	}
	assert.Equal(t, 200, status(t, address, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

// Many clients send all of a body before they read the answer: those whose body
// was too large found the connection reset in its place.
func TestTheAnswerToABodyOverTheLimitWasLost(t *testing.T) {
	address := running(t, Options{Routes: []access.Route{{Pattern: "POST /bounded", Action: access.Operate, MaxBody: 1000, Handler: orRefuse(func(_ http.ResponseWriter, r *http.Request) error {
		_, err := document(r)
		return err
	})}}})
	const size = 20 << 20
	for name, header := range map[string]string{"at once": "Content-Length: " + strconv.Itoa(size), "chunked": "Transfer-Encoding: chunked"} {
		head, tail := "POST /bounded HTTP/1.1\r\nHost: localhost\r\n"+header+"\r\n\r\n", ""
		if name == "chunked" {
			head, tail = head+strconv.FormatInt(size, 16)+"\r\n", "\r\n0\r\n\r\n"
		}
		conn := dial(t, address)
		_, err := io.WriteString(conn, head+strings.Repeat(" ", size)+tail)
		require.NoError(t, err, name)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err, name)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, 413, resp.StatusCode, name)
	}
}

// A fault of ours in one request is told and logged, and ends nothing else.
func TestAFaultEndsOneRequestOnly(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	address := running(t, Options{Log: zerolog.New(zerolog.SyncWriter(lockedWriter{&mu, &log})), Samples: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("a fault")
	})})
	assert.Equal(t, 500, status(t, address, "POST /api/v1/samples HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"))
	assert.Equal(t, 200, status(t, address, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	mu.Lock()
	defer mu.Unlock()
	assert.Contains(t, log.String(), `"panic":"a fault"`)
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func TestCORS(t *testing.T) {
	h := served(Options{
		Engine: new(engine.Engine), Samples: http.NotFoundHandler(), Origins: access.Origins{"https://console.example"}, Routes: things,
		Guard: keys(map[string]*access.Caller{"r": reader}),
	})
	ask := func(method, path string, header map[string]string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
		for k, v := range header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	pre := ask("OPTIONS", "/api/v1/alerts/al_1/ack", map[string]string{
		"Origin": "https://console.example", "Access-Control-Request-Method": "POST",
		"Access-Control-Request-Headers": "authorization, content-type,last-event-id, Iotics-ClientRef,x-secret", "Access-Control-Request-Private-Network": "true",
	})
	assert.Equal(t, 204, pre.Code, "without a token: browsers ask so")
	assert.Equal(t, "https://console.example", pre.Header().Get("Access-Control-Allow-Origin"))
	assert.Equal(t, "POST", pre.Header().Get("Access-Control-Allow-Methods"))
	assert.Equal(t, "authorization, content-type, last-event-id, iotics-clientref", pre.Header().Get("Access-Control-Allow-Headers"))
	assert.Equal(t, "true", pre.Header().Get("Access-Control-Allow-Private-Network"))
	assert.Equal(t, "600", pre.Header().Get("Access-Control-Max-Age"))
	assert.Contains(t, pre.Header().Values("Vary"), "Origin")
	assert.Empty(t, pre.Header().Get("Access-Control-Allow-Credentials"), "tokens, not cookies")

	plain := ask("GET", "/things", map[string]string{"Origin": "https://console.example", "Authorization": "Bearer r"})
	assert.Equal(t, 200, plain.Code)
	assert.Equal(t, "https://console.example", plain.Header().Get("Access-Control-Allow-Origin"))
	assert.Contains(t, plain.Header().Get("Access-Control-Expose-Headers"), "Iotics-TransactionRef", "what a request said comes back")
	refused := ask("GET", "/things", map[string]string{"Origin": "https://console.example"})
	assert.Equal(t, 401, refused.Code)
	assert.NotEmpty(t, refused.Header().Get("Access-Control-Allow-Origin"), "the page can read why")

	for _, origin := range []string{"https://evil.example", "https://console.example.evil.example", "http://console.example", "null"} {
		other := ask("OPTIONS", "/things", map[string]string{"Origin": origin, "Access-Control-Request-Method": "GET"})
		assert.Empty(t, other.Header().Get("Access-Control-Allow-Origin"), origin)
		assert.Equal(t, []string{"Origin"}, other.Header().Values("Vary"), "caches keep them apart")
		assert.Equal(t, 405, other.Code)
	}
}

// Where nobody has to say who they are, no page of another site gets in.
func TestPagesOfOtherSites(t *testing.T) {
	address := running(t, Options{Origins: access.Origins{"https://console.example"}})
	ask := func(header string) int {
		return status(t, address, "POST /api/v1/samples HTTP/1.1\r\nContent-Length: 0\r\n"+header+"\r\n\r\n")
	}
	assert.Equal(t, 200, ask("Host: "+address))
	assert.Equal(t, 403, ask("Host: "+address+"\r\nOrigin: https://evil.example"))
	assert.Equal(t, 200, ask("Host: "+address+"\r\nOrigin: https://console.example"))
	assert.Equal(t, 200, ask("Host: "+address+"\r\nOrigin: http://"+address))
	assert.Equal(t, 403, ask("Host: evil.example\r\nOrigin: http://evil.example"), "its name was made to point here")
	assert.Equal(t, 403, ask("Host: "+address+"\r\nSec-Fetch-Site: cross-site"))

	known := running(t, Options{Guard: keys(map[string]*access.Caller{"w": writer})})
	assert.Equal(t, 200, status(t, known, "POST /api/v1/samples HTTP/1.1\r\nHost: tocsin.example\r\nOrigin: https://other.example\r\nAuthorization: Bearer w\r\nContent-Length: 0\r\n\r\n"),
		"a token says who it is")
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	require.NoError(a.t, os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// issue writes a certificate for a name, and its key.
func (a *authority) issue(name string, serial int64) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	a.write(name+".pem", "CERTIFICATE", der)
	der, err = x509.MarshalECPrivateKey(key)
	require.NoError(a.t, err)
	a.write(name+".key", "EC PRIVATE KEY", der)
}

// client trusts the authority.
func (a *authority) client(config *tls.Config) *http.Client {
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AddCert(a.cert)
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	a.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t, "plant")
	ca.issue("server", 2)
	address := running(t, Options{TLS: TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key")}})
	for _, tt := range []struct {
		config *tls.Config
		proto  string
	}{{&tls.Config{}, "HTTP/2.0"}, {&tls.Config{NextProtos: []string{"http/1.1"}, MaxVersion: tls.VersionTLS12}, "HTTP/1.1"}} {
		c := ca.client(tt.config)
		c.Transport.(*http.Transport).ForceAttemptHTTP2 = tt.proto == "HTTP/2.0"
		resp, err := get(t, c, "https://"+address+"/livez")
		require.NoError(t, err)
		assert.Equal(t, 200, resp.status)
		assert.Equal(t, tt.proto, resp.proto)
	}
	_, err := get(t, ca.client(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), "https://"+address+"/livez") //nolint:gosec // it must be refused
	require.ErrorContains(t, err, "protocol version")
	_, err = get(t, http.DefaultClient, "https://"+address+"/livez")
	require.ErrorContains(t, err, "unknown authority")
	resp, err := get(t, http.DefaultClient, "http://"+address+"/livez")
	require.NoError(t, err)
	assert.Equal(t, 400, resp.status, "plain HTTP is told what is wrong")
}

func TestClientsProveWhoTheyAre(t *testing.T) {
	ca, other := newAuthority(t, "plant"), newAuthority(t, "elsewhere")
	ca.issue("server", 2)
	ca.issue("client", 3)
	other.issue("client", 3)
	address := running(t, Options{TLS: TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key"), ClientCA: ca.file("ca.pem")}})
	for name, of := range map[string]*authority{"": nil, "client": ca, "stranger": other} {
		config := &tls.Config{}
		if of != nil {
			pair, err := tls.LoadX509KeyPair(of.file("client.pem"), of.file("client.key"))
			require.NoError(t, err)
			config.Certificates = []tls.Certificate{pair}
		}
		resp, err := get(t, ca.client(config), "https://"+address+"/livez")
		if name == "client" {
			require.NoError(t, err)
			assert.Equal(t, 200, resp.status)
			continue
		}
		assert.Error(t, err, name)
	}
}

// A new certificate is used as soon as it is there; one that cannot be used
// leaves the last good one in place.
func TestCertificatesAreReadAgain(t *testing.T) {
	ca := newAuthority(t, "plant")
	ca.issue("server", 2)
	var log bytes.Buffer
	c, err := newCertificates("http.tls", TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key")}, zerolog.New(&log))
	require.NoError(t, err)
	now := time.Now()
	c.now = func() time.Time { return now }
	serial := func() int64 { return c.current().Certificates[0].Leaf.SerialNumber.Int64() }
	later := func() { now = now.Add(lookAgain) }
	assert.EqualValues(t, 2, serial())
	ca.issue("server", 30_000)
	assert.EqualValues(t, 2, serial(), "not looked at more than once a second")
	later()
	assert.EqualValues(t, 30_000, serial())
	expiry, good := c.state()
	assert.True(t, good)
	assert.WithinDuration(t, time.Now().Add(time.Hour), expiry, time.Minute)
	good30, err := os.ReadFile(ca.file("server.key"))
	require.NoError(t, err)
	for name, text := range map[string]string{"server.pem": "no PEM", "server.key": "", "server.pem ": ""} {
		if strings.HasSuffix(name, " ") {
			require.NoError(t, os.Remove(ca.file(strings.TrimSpace(name))))
		} else {
			require.NoError(t, os.WriteFile(ca.file(name), []byte(text), 0o600))
		}
		later()
		assert.EqualValues(t, 30_000, serial(), name)
		_, good := c.state()
		assert.False(t, good)
	}
	said := log.Len()
	later()
	serial()
	assert.Equal(t, said, log.Len(), "it is said once")
	assert.Contains(t, log.String(), "certificate refused; the last good one is used further")
	require.NoError(t, os.WriteFile(ca.file("server.key"), good30, 0o600))
	ca.issue("server", 4)
	later()
	assert.EqualValues(t, 4, serial())
	_, good = c.state()
	assert.True(t, good)

	_, err = newCertificates("http.tls", TLS{Cert: ca.file("none.pem"), Key: ca.file("server.key")}, zerolog.Nop())
	require.ErrorContains(t, err, "http.tls: ")
	_, err = newCertificates("http.tls", TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key"), ClientCA: ca.file("server.key")}, zerolog.Nop())
	require.ErrorContains(t, err, "http.tls.clientCA: no certificate in ")
}

// The listener for operators has no password: a page whose name was bound anew to this
// machine could read its memory, and so could one of another port.
func TestTheAdminListenerAnswersNoPage(t *testing.T) {
	s := httptest.NewServer(adminHandler(AdminOptions{Reload: func(context.Context) error { return nil }}))
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	require.NoError(t, err)
	for _, c := range []struct {
		host, header, value string
		status              int
	}{
		{"127.0.0.1:" + port, "", "", 200},
		{"localhost:" + port, "", "", 200},
		{"localhost:" + port, "Origin", "http://localhost:" + port, 200},
		{"evil.example:" + port, "", "", 403},
		{"evil.example:" + port, "Origin", "http://evil.example:" + port, 403},
		{"evil.example:" + port, "Sec-Fetch-Site", "same-origin", 403},
		{"localhost:" + port, "Origin", "https://evil.example", 403},
		{"localhost:" + port, "Sec-Fetch-Site", "cross-site", 403},
	} {
		for method, path := range map[string]string{http.MethodGet: "/debug/vars", http.MethodPost: "/api/v1/reload"} {
			r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, http.NoBody)
			require.NoError(t, err)
			r.Host = c.host
			if c.header != "" {
				r.Header.Set(c.header, c.value)
			}
			resp, err := s.Client().Do(r)
			require.NoError(t, err)
			assert.Equal(t, c.status, resp.StatusCode, "%s %+v", method, c)
			require.NoError(t, resp.Body.Close())
		}
	}
}
