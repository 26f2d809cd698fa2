package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
	"tocsin.internal/internal/leaktest"
	"tocsin.internal/rules"
)

// caster gives events to those who follow.
type caster struct {
	mu      sync.Mutex
	follows map[int]func(*engine.Event)
	n       int
	came    chan []engine.Topic
}

func newCaster() *caster {
	return &caster{follows: map[int]func(*engine.Event){}, came: make(chan []engine.Topic, 100)}
}

func (c *caster) follow(_ context.Context, topics []engine.Topic, after string, f func(*engine.Event)) (string, func(), error) {
	if after == "bad" {
		return "", nil, fmt.Errorf("%w: %q", engine.ErrEventID, after)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	n := c.n
	c.follows[n] = f
	c.came <- topics
	if after == "" {
		after = "f0"
	}
	return after, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.follows, n)
	}, nil
}

func (c *caster) cast(e *engine.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.follows {
		f(e)
	}
}

func (c *caster) followers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.follows)
}

func sampleEvent(n int, data string) *engine.Event {
	return &engine.Event{ID: fmt.Sprint("f", n), Kind: engine.SampleTopic, Twin: "machine_1", Name: "t", At: time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC), Data: []byte(data)}
}

// following serves events of the caster behind a guard.
func following(t *testing.T, l live, guard *access.Guard, start func(*httptest.Server)) *httptest.Server {
	t.Helper()
	d := newDoor(Options{Guard: guard})
	if l.counts == nil {
		l.counts = &d.counts
	}
	l.guard = guard
	if l.beat == 0 {
		l.beat = time.Hour
	}
	if l.write == 0 {
		l.write = time.Minute
	}
	if l.check == 0 {
		l.check = time.Hour
	}
	mux := http.NewServeMux()
	mux.Handle("GET /api/v1/events", d.guarded(access.Route{Action: access.Read, QueryToken: true, Handler: http.HandlerFunc(l.serve)}))
	s := httptest.NewUnstartedServer(d.outside(mux))
	start(s)
	t.Cleanup(s.Close)
	return s
}

func open(t *testing.T, client *http.Client, url string) (*bufio.Reader, got) {
	t.Helper()
	resp, err := get(t, client, url)
	require.NoError(t, err)
	return bufio.NewReader(resp.body), resp
}

func lines(t *testing.T, r *bufio.Reader, n int) (out []string) {
	t.Helper()
	for range n {
		line, err := r.ReadString('\n')
		require.NoError(t, err, out)
		out = append(out, strings.TrimSuffix(line, "\n"))
	}
	return out
}

func TestEventsAsTheyAreWritten(t *testing.T) {
	alert := `{"kind":"alert","twin":"machine_1"}`
	for want, e := range map[string]*engine.Event{
		"id: f1\nevent: sample\ndata: {\"twin\":\"machine_1\",\"feed\":\"t\",\"occurredAt\":\"2026-11-02T10:00:00Z\",\"data\":{\"a\":1}}\n\n": sampleEvent(1, "{\r\n\"a\": 1}\n"),
		"id: a1\nevent: alert\ndata: " + alert + "\n\n": {ID: "a1", Kind: engine.AlertTopic, Data: []byte(alert), Outcome: new(rules.Outcome)},
		"id: a2\nevent: alert\ndata: {\"a\":1}\n\n":     {ID: "a2", Kind: engine.AlertTopic, Data: []byte("{\n\"a\":1\r}"), Outcome: new(rules.Outcome)},
		"id: i1\nevent: input\ndata: {\"twin\":\"fan\",\"input\":\"set\",\"from\":\"a\",\"occurredAt\":\"0001-01-01T00:00:00Z\",\"mime\":\"text/plain\",\"data\":\"CgA=\"}\n\n": {ID: "i1", Kind: engine.InputTopic, Twin: "fan", Name: "set", From: "a", Mime: "text/plain", Data: []byte("\n\x00")},
		"id: f2\nevent: sample\ndata: null\n\n": sampleEvent(2, "no JSON"),
	} {
		assert.Equal(t, want, string(appendEvent(nil, e)))
	}
}

func TestTopics(t *testing.T) {
	for list, want := range map[string]string{
		"alerts":                            "[{alert    false []}]",
		"alerts:critical.>,samples":         "[{alert   critical.> false []} {sample    false []}]",
		"feed:did:a:b/t":                    "[{feed did:a:b t  false []}]",
		"input:a%2Fb%2Cc%25/d%2Fe":          "[{input a/b,c% d/e  false []}]",
		"twin:a.b":                          "[{sample   a%2Eb.> false []} {alert   *.*.a%2Eb.* false []} {sticker   a%2Eb.> false []}]",
		"outputs:a%2Cb.*":                   "[{output   a,b.* false []}]",
		"notifications:brno,stickers:*.red": "[{notification   brno false []} {sticker   *.red false []}]",
		"":                                  "topics: no topic \"\"; want one of alerts, feed, input, notifications, outputs, samples, stickers, twin",
		"twins:a":                           "topics: no topic \"twins\"; did you mean \"twin\"?",
		"alerts:":                           "topics: \"alerts:\" has an empty pattern; want alerts alone for all",
		"twin:":                             "topics: \"twin:\" names no twin; want twin:TWIN",
		"twin:%zz":                          "topics: \"twin:%zz\" names no twin; want twin:TWIN",
		"feed:a/b/c":                        "topics: \"feed:a/b/c\": not two ids with a slash between them; want feed:TWIN/FEED",
		"feed:%zz/b":                        "topics: \"feed:%zz/b\": invalid URL escape \"%zz\"; want feed:TWIN/FEED",
		"feed:a/%zz":                        "topics: \"feed:a/%zz\": invalid URL escape \"%zz\"; want feed:TWIN/FEED",
		strings.Repeat("alerts,", 200) + "alerts": "topics: there are 201; want at most 200",
	} {
		topics, err := readTopics([]string{list}, false)
		got := fmt.Sprint(topics)
		if err != nil {
			got = err.Error()
		}
		assert.Equal(t, want, got, list)
	}
	topics, err := readTopics([]string{"alerts", "samples"}, true)
	require.NoError(t, err)
	assert.Equal(t, "[{alert    true []} {sample    false []}]", fmt.Sprint(topics))
}

// A stream goes on as long as it is wanted, over HTTP/1.1 and HTTP/2: it has a
// beat, and outlives what other answers may take.
func TestAStreamLives(t *testing.T) {
	const timeout = time.Second
	for proto, start := range map[string]func(*httptest.Server){
		"HTTP/1.1": (*httptest.Server).Start,
		"HTTP/2.0": func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		c := newCaster()
		s := following(t, live{follow: c.follow, beat: 100 * time.Millisecond}, nil, func(s *httptest.Server) {
			s.Config.ReadTimeout, s.Config.WriteTimeout = timeout, timeout
			start(s)
		})
		body, resp := begun(t, s)
		assert.Equal(t, proto, resp.proto)
		assert.Equal(t, "text/event-stream", resp.header.Get("Content-Type"))
		assert.Equal(t, "no-store", resp.header.Get("Cache-Control"))
		for end := time.Now().Add(timeout + timeout/2); time.Now().Before(end); {
			assert.Equal(t, []string{":", ""}, lines(t, body, 2), "longer than the timeouts of the server")
		}
		c.cast(sampleEvent(1, `{"a":1}`))
		for line := ""; !strings.HasPrefix(line, "data: "); line = lines(t, body, 1)[0] {
			assert.NotContains(t, line, "end")
		}
		require.NoError(t, resp.body.(io.Closer).Close(), "the client goes")
		require.Eventually(t, func() bool { return c.followers() == 0 }, time.Minute, time.Millisecond)
	}
}

// begun opens a stream and reads it to its first beat. Until then the timeouts of
// the server hold, which a busy machine may miss: it tries again.
func begun(t *testing.T, s *httptest.Server) (*bufio.Reader, got) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		resp, err := get(t, s.Client(), s.URL+"/api/v1/events?topics=samples")
		if err == nil {
			body := bufio.NewReader(resp.body)
			head := make([]byte, len(streamBegins))
			if _, err = io.ReadFull(body, head); err == nil {
				require.Equal(t, streamBegins, string(head))
				return body, resp
			}
			resp.body.(io.Closer).Close() //nolint:errcheck // it has ended
		}
		require.True(t, time.Now().Before(end), "%v", err)
	}
}

const streamBegins = "retry: 2000\nid: f0\n\n:\n\n"

// One that does not read is let go, and slows nobody.
func TestAClientThatDoesNotReadIsLetGo(t *testing.T) {
	c := newCaster()
	counts := &counts{}
	s := following(t, live{follow: c.follow, counts: counts}, nil, (*httptest.Server).Start)
	short := following(t, live{follow: c.follow, counts: counts, write: 2 * time.Second}, nil, (*httptest.Server).Start)
	stuck, err := new(net.Dialer).DialContext(t.Context(), "tcp", short.Listener.Addr().String())
	require.NoError(t, err)
	defer stuck.Close() //nolint:errcheck // the test is over
	require.NoError(t, stuck.(*net.TCPConn).SetReadBuffer(4096))
	fmt.Fprintf(stuck, "GET /api/v1/events?topics=samples HTTP/1.1\r\nHost: localhost\r\n\r\n")
	<-c.came
	body, _ := open(t, s.Client(), s.URL+"/api/v1/events?topics=samples")
	<-c.came
	lines(t, body, 3)
	const many, size = 3000, 10_000
	got := make(chan int)
	go func() {
		n := 0
		for n < many {
			line, err := body.ReadString('\n')
			if err != nil {
				break
			}
			if strings.HasPrefix(line, "id: ") {
				n++
			}
		}
		got <- n
	}()
	data := `{"a":"` + strings.Repeat("x", size) + `"}`
	for i := range many {
		for counts.read().events < uint64(max(0, i-maxQueued/2)) {
			time.Sleep(time.Millisecond) // the one that reads need not be faster than this test
		}
		c.cast(sampleEvent(i, data))
	}
	assert.Equal(t, many, <-got, "the one that reads gets all")
	require.Eventually(t, func() bool { return c.followers() == 1 }, time.Minute, time.Millisecond, "the other is gone")
	read := counts.read()
	assert.EqualValues(t, 1, read.ended[endedSlow])
	assert.EqualValues(t, 1, read.streams)
	assert.Positive(t, read.unsent)
}

// What was before comes first and may make its giver wait, what happens now never.
func TestWhatWasBeforeComesFirst(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	q := newQueue(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range maxPast + 10 {
			e := sampleEvent(i, "{}")
			e.Past = true
			q.put(e)
		}
		for i := range 5 {
			q.put(sampleEvent(maxPast+10+i, "{}"))
		}
	}()
	w := &recorder{header: http.Header{}}
	s := stream{live: live{counts: &counts{}}, queue: q, w: w, conn: http.NewResponseController(w)}
	for s.events < maxPast+15 {
		select {
		case e := <-q.past:
			s.take(e)
		case e := <-q.live:
			s.take(e)
		}
	}
	<-done
	last := -1
	for line := range strings.Lines(string(s.page)) {
		var n int
		if _, err := fmt.Sscanf(line, "id: f%d", &n); err == nil {
			assert.Equal(t, last+1, n)
			last = n
		}
	}
	assert.Equal(t, maxPast+14, last)
	for range maxQueued + 3 {
		q.put(sampleEvent(1, "{}"))
	}
	<-q.full
	assert.Equal(t, maxQueued, q.lost())
	cancel()
	for range maxPast + 1 {
		q.put(&engine.Event{Past: true}) // nobody takes it any more
	}
}

// Who may follow no longer is told so.
func TestAStreamEndsWithItsToken(t *testing.T) {
	var mu sync.Mutex
	expires, revoked := time.Now().Add(time.Hour), error(nil)
	guard := &access.Guard{Identify: func(_ context.Context, token string) (*access.Caller, error) {
		mu.Lock()
		defer mu.Unlock()
		if token != "secret" {
			return nil, access.Unknown("no such token")
		}
		return &access.Caller{Name: "r", Expires: expires, Actions: []access.Action{access.Read}}, revoked
	}}
	c := newCaster()
	s := following(t, live{follow: c.follow, check: 20 * time.Millisecond}, guard, (*httptest.Server).Start)
	resp, err := get(t, s.Client(), s.URL+"/api/v1/events?topics=samples")
	require.NoError(t, err)
	assert.Equal(t, 401, resp.status)
	url := s.URL + "/api/v1/events?topics=samples&access_token=secret"

	body, _ := open(t, s.Client(), url)
	lines(t, body, 3)
	mu.Lock()
	revoked = access.Unknown("the key was revoked")
	mu.Unlock()
	assert.Equal(t, []string{"event: end", `data: {"error":"the key was revoked"}`, ""}, lines(t, body, 3))
	_, err = body.ReadString('\n')
	require.ErrorIs(t, err, io.EOF)

	mu.Lock()
	revoked = nil
	mu.Unlock()
	body, _ = open(t, s.Client(), url)
	lines(t, body, 3)
	mu.Lock()
	expires = time.Now()
	mu.Unlock()
	assert.Equal(t, []string{"event: end", `data: {"error":"the token has expired"}`, ""}, lines(t, body, 3))
}

// Who is told of stickers is looked at where a stream begins; so it ends where its user
// gets another role, and is not told of those of its old one for ever after.
func TestAStreamEndsWhereItsUserGetsAnotherRole(t *testing.T) {
	var role atomic.Value
	role.Store("old")
	guard := &access.Guard{Identify: func(context.Context, string) (*access.Caller, error) {
		return &access.Caller{Name: "Jane", Account: "a", User: "u", Role: role.Load().(string), Actions: []access.Action{access.Read}}, nil
	}}
	c := newCaster()
	s := following(t, live{follow: c.follow, check: 20 * time.Millisecond}, guard, (*httptest.Server).Start)
	body, _ := open(t, s.Client(), s.URL+"/api/v1/events?topics=stickers&access_token=secret")
	lines(t, body, 3)
	assert.Equal(t, []string{"u", "old", "a"}, (<-c.came)[0].Recipients)
	role.Store("new")
	assert.Equal(t, []string{"event: end", `data: {"error":"what you may do has changed; connect again"}`, ""}, lines(t, body, 3))
}

func TestAStreamEndsWithTheServer(t *testing.T) {
	c, stop := newCaster(), make(chan struct{})
	s := following(t, live{follow: c.follow, stop: stop}, nil, (*httptest.Server).Start)
	body, _ := open(t, s.Client(), s.URL+"/api/v1/events?topics=samples&after=f7")
	assert.Equal(t, []string{"retry: 2000", "id: f7", ""}, lines(t, body, 3))
	close(stop)
	assert.Equal(t, []string{"event: end", `data: {"error":"the engine is stopping"}`, ""}, lines(t, body, 3))
	require.Eventually(t, func() bool { return c.followers() == 0 }, time.Minute, time.Millisecond)
}

func TestNothingIsLeftOfStreams(t *testing.T) {
	before := goleak.IgnoreCurrent()
	c := newCaster()
	s := following(t, live{follow: c.follow}, nil, (*httptest.Server).Start)
	transport := &http.Transport{TLSClientConfig: &tls.Config{}} //nolint:gosec // it is plain HTTP
	ctx, cancel := context.WithCancel(t.Context())
	for range 20 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/v1/events?topics=alerts", http.NoBody)
		require.NoError(t, err)
		resp, err := transport.RoundTrip(req) //nolint:bodyclose // cancelled below
		require.NoError(t, err)
		lines(t, bufio.NewReader(resp.Body), 3)
	}
	assert.Equal(t, 20, c.followers())
	cancel()
	require.Eventually(t, func() bool { return c.followers() == 0 }, time.Minute, time.Millisecond)
	transport.CloseIdleConnections()
	s.Close()
	assert.NoError(t, leaktest.Find(before))
}

func TestWhatCannotBeFollowed(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{{fmt.Errorf("%w: x", engine.ErrTopic), 400}, {fmt.Errorf("%w: x", engine.ErrEventID), 400}, {engine.ErrStopped, 503}, {errors.New("NATS is away"), 503}} {
		l := live{counts: &counts{}, follow: func(context.Context, []engine.Topic, string, func(*engine.Event)) (string, func(), error) {
			return "", nil, tt.err
		}}
		w := httptest.NewRecorder()
		l.serve(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/events?topics=alerts", http.NoBody))
		assert.Equal(t, tt.want, w.Code, tt.err)
	}
}
