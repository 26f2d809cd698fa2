package iotics_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
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
	"tocsin.internal/sources"
	"tocsin.internal/sources/iotics"
	"tocsin.internal/sources/sourcetest"
)

// host is a small IOTICS host.
type host struct {
	*stomptest.Server
	web *httptest.Server

	mu       sync.Mutex
	token    string // the only one that is good; "": none is asked for
	twins    map[string][]string
	last     map[string]string // by twin/feed: a message
	searched int
	refused  int
	v2       bool // answers as of 2022
	open     bool // keeps searches open until the time that it was told
	broken   int  // that many answers of samples/last are 500
	asked    int  // for samples/last
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{Server: stomptest.New(t), twins: map[string][]string{}, last: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /index.json", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"stomp":%q,"resolver":"http://127.0.0.1:1","version":"1"}`, h.WebSocketURL())
	})
	mux.HandleFunc("POST /qapi/searches", h.known(h.search))
	mux.HandleFunc("GET /qapi/host/id", h.known(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"hostId":"here"}`) }))
	mux.HandleFunc("GET /qapi/twins/{a}/interests/twins/{twin}/feeds/{feed}/samples/last", h.known(h.lastSample))
	mux.HandleFunc("GET /qapi/twins/{a}/interests/hosts/{host}/twins/{twin}/feeds/{feed}/samples/last", h.known(h.lastSample))
	h.web = httptest.NewServer(mux)
	t.Cleanup(h.web.Close)
	h.Answer = func(f *frame.Frame) []*frame.Frame {
		h.mu.Lock()
		defer h.mu.Unlock()
		if f.Command == frame.STOMP && h.token != "" && f.Header.Get(frame.Passcode) != h.token {
			return []*frame.Frame{failure(16, "token expired")}
		}
		return nil
	}
	return h
}

func failure(code int, message string) *frame.Frame {
	f := frame.New(frame.ERROR, frame.Message, message)
	f.Body = fmt.Appendf(nil, `{"code":%d,"message":%q}`, code, message)
	return f
}

func (h *host) known(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		ok := h.token == "" || r.Header.Get("Authorization") == "Bearer "+h.token
		if !ok {
			h.refused++
		}
		h.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"code":16,"message":"token expired"}`)
			return
		}
		next(w, r)
	}
}

func (h *host) search(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.searched++
	var twins []any
	names := make([]string, 0, len(h.twins))
	for twin := range h.twins {
		names = append(names, twin)
	}
	slices.Sort(names)
	if r.URL.Query().Get("offset") != "0" {
		names = nil
	}
	for _, twin := range names {
		var feeds []any
		for _, feed := range h.twins[twin] {
			if h.v2 {
				feeds = append(feeds, map[string]any{"feed": map[string]any{"id": map[string]string{"value": feed}, "twinId": map[string]string{"value": twin}}})
			} else {
				feeds = append(feeds, map[string]any{"feedId": map[string]string{"id": feed, "twinId": twin, "hostId": "here"}})
			}
		}
		if h.v2 {
			twins = append(twins, map[string]any{"id": map[string]string{"value": twin}, "feeds": feeds})
		} else {
			twins = append(twins, map[string]any{"twinId": map[string]string{"id": twin, "hostId": "here"}, "feeds": feeds})
		}
	}
	open := h.open
	h.mu.Unlock()
	if twins == nil {
		twins = []any{}
	}
	line, err := json.Marshal(map[string]any{"result": map[string]any{"payload": map[string]any{"responseType": "FULL", "twins": twins}}})
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(w, "%s\n", line)
	if !open {
		return
	}
	_ = http.NewResponseController(w).Flush()
	until, err := time.Parse(time.RFC3339, r.Header.Get("Iotics-RequestTimeout"))
	if err != nil {
		panic(err)
	}
	select {
	case <-time.After(time.Until(until)):
		fmt.Fprint(w, `{"error":{"grpc_code":4,"message":"deadline exceeded"}}`)
	case <-r.Context().Done():
	}
}

func (h *host) lastSample(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	if h.broken > 0 {
		h.broken--
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	last, ok := h.last[r.PathValue("twin")+"/"+r.PathValue("feed")]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"code":5,"message":"nothing yet"}`)
		return
	}
	fmt.Fprint(w, last)
}

// message is what a follower gets.
func message(second int, data string) string {
	return fmt.Sprintf(`{"interest":{},"feedData":{"data":%q,"mime":"application/json","occurredAt":%q}}`,
		base64.StdEncoding.EncodeToString([]byte(data)), time.Date(2026, 11, 2, 10, 0, second, 0, time.UTC).Format(time.RFC3339))
}

func destination(twin, feed string) string {
	return "/qapi/twins/" + twin + "/interests/twins/" + twin + "/feeds/" + feed
}

// share shares a sample, which is not kept for who comes later but as the last one.
func (h *host) share(twin, feed string, second int, data string) {
	h.mu.Lock()
	h.last[twin+"/"+feed] = message(second, data)
	h.mu.Unlock()
	h.Publish(destination(twin, feed), message(second, data))
	h.Forget()
}

func (h *host) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func parse(t *testing.T, text string) strictjson.Raw {
	t.Helper()
	raw, err := strictjson.Parse("c", []byte(text))
	require.NoError(t, err)
	return raw
}

func open(t *testing.T, h *host, more string) sources.Source {
	t.Helper()
	s, err := iotics.New(parse(t, fmt.Sprintf(`{"host":%q%s}`, h.web.URL, more)), nil)
	require.NoError(t, err)
	return s
}

func run(t *testing.T, s sources.Source) *sourcetest.Running {
	t.Helper()
	return sourcetest.Begin(t, s, nil)
}

func data(samples []rules.Sample) []string {
	out := make([]string, len(samples))
	for i, s := range samples {
		out[i] = s.Twin + "/" + s.Feed + " " + s.At.Format("04:05") + " " + string(s.Data) + s.Refused
	}
	return out
}

func (h *host) subscribed(n int) bool {
	return h.Until(func(st stomptest.State) bool { return len(st.Subscriptions) == n })
}

func TestContract(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Origin {
		h := newHost(t)
		for n := range sourcetest.Count {
			h.Publish(destination(sourcetest.Twin, sourcetest.Feed), message(n, sourcetest.Data(n)))
		}
		return sourcetest.Origin{Source: open(t, h, fmt.Sprintf(`,"follow":[{"twin":%q,"feed":%q}]`, sourcetest.Twin, sourcetest.Feed))}
	})
}

const filter = `,"filter":{"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:iotics:model"}}]}`

func TestFollowsWhatIsFound(t *testing.T) {
	for name, change := range map[string]func(*host){"v3": func(*host) {}, "v2": func(h *host) { h.v2 = true }, "open": func(h *host) { h.open = true }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits most of the time
			h := newHost(t)
			change(h)
			h.twins = map[string][]string{"did:a": {"temp", "noise"}, "did:b": {"temp"}}
			r := run(t, open(t, h, filter+`,"feeds":["temp"],"twin":"far/{twin}","refresh":"1s"`))
			require.True(t, h.subscribed(2))
			h.share("did:a", "temp", 1, `{"n":1}`)
			h.share("did:a", "noise", 1, `{"n":9}`)
			r.Wait(t, 1)
			h.share("did:b", "temp", 2, `{"n":2}`)
			r.Wait(t, 2)
			h.set(func() { h.twins = map[string][]string{"did:c": {"temp"}, "did:b": {"temp"}} })
			require.True(t, h.Until(func(st stomptest.State) bool {
				return slices.Equal(st.Subscriptions, []string{destination("did:b", "temp"), destination("did:c", "temp")})
			}), "new ones are followed, those that are gone are not")
			h.share("did:c", "temp", 3, `{"n":3}`)
			got := r.Wait(t, 3)
			r.End(t)
			assert.Equal(t, []string{`far/did:a/temp 00:01 {"n":1}`, `far/did:b/temp 00:02 {"n":2}`, `far/did:c/temp 00:03 {"n":3}`}, data(got))
			assert.Equal(t, 1, func() (n int) {
				h.Until(func(st stomptest.State) bool { n = st.Count(frame.STOMP); return true })
				return n
			}(), "one connection for all")
		})
	}
}

// TestNoGap proves that the sample which was shared while the connection was gone
// is asked for, that what is there already is not emitted again, and that samples
// keep their order.
func TestNoGap(t *testing.T) {
	h := newHost(t)
	h.share("m", "f", 1, `{"n":1}`)
	r := run(t, open(t, h, `,"follow":[{"twin":"m","feed":"f"},{"twin":"m","feed":"silent"}]`))
	r.Wait(t, 1)
	h.share("m", "f", 2, `{"n":2}`)
	r.Wait(t, 2)
	h.set(func() { h.broken = 1 })
	h.Drop()
	h.share("m", "f", 3, `{"n":3}`)
	r.Wait(t, 3)
	h.Drop()
	require.True(t, h.subscribed(2))
	h.share("m", "f", 4, `{"n":4}`)
	got := r.Wait(t, 4)
	require.Eventually(t, func() bool { return len(r.States()) == 6 }, time.Minute, time.Millisecond, "a sample may come before the receipt")
	r.End(t)
	assert.Equal(t, []string{`m/f 00:01 {"n":1}`, `m/f 00:02 {"n":2}`, `m/f 00:03 {"n":3}`, `m/f 00:04 {"n":4}`}, data(got))
	states := r.States()
	require.Len(t, states, 6, states)
	assert.Equal(t, []string{sources.ErrConnecting.Error(), "", "", ""}, []string{states[0], states[1], states[3], states[5]})
	assert.Contains(t, states[2], "EOF")
}

// TestLastSampleThatIsThere proves that an engine which has a sample of before
// it was stopped does not store it again.
func TestLastSampleThatIsThere(t *testing.T) {
	h := newHost(t)
	h.share("m", "f", 1, `{"n":1}`)
	h.share("m", "g", 3, `{"n":3}`)
	newest := func(_ context.Context, twin, feed string) (time.Time, bool) {
		return time.Date(2026, 11, 2, 10, 0, 1, 0, time.UTC), twin == "m" && (feed == "f" || feed == "g")
	}
	s, err := iotics.New(parse(t, fmt.Sprintf(`{"host":%q,"follow":[{"twin":"m","feed":"f"},{"twin":"m","feed":"g"}]}`, h.web.URL)), newest)
	require.NoError(t, err)
	r := run(t, s)
	r.Wait(t, 1)
	h.share("m", "f", 4, `{"n":4}`)
	got := r.Wait(t, 2)
	r.End(t)
	assert.Equal(t, []string{`m/g 00:03 {"n":3}`, `m/f 00:04 {"n":4}`}, data(got))
}

// TestNewToken proves that a token which the host does not take any more is read
// anew, over REST and over STOMP.
func TestNewToken(t *testing.T) {
	h := newHost(t)
	h.token = "one"
	h.twins = map[string][]string{"m": {"f"}}
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("one\n"), 0o600))
	r := run(t, open(t, h, filter+fmt.Sprintf(`,"refresh":"1s","tokenFile":%q`, file)))
	require.True(t, h.subscribed(1))
	h.share("m", "f", 0, `{"n":0}`)
	r.Wait(t, 1) // from here on the source knows that it was let in
	h.set(func() { h.token = "two" })
	h.SendAll(failure(16, "token expired"))
	h.Drop()
	require.True(t, h.Until(func(st stomptest.State) bool { return st.Count(frame.STOMP) > 2 }), "it tries again")
	require.NoError(t, os.WriteFile(file, []byte("two\n"), 0o600))
	require.True(t, h.subscribed(1))
	h.share("m", "f", 1, `{"n":1}`)
	r.Wait(t, 2)
	r.End(t)
	h.Until(func(st stomptest.State) bool {
		i := slices.IndexFunc(st.Frames, func(f *frame.Frame) bool { return f != nil && f.Command == frame.SUBSCRIBE })
		for name, want := range map[string]string{"ack": "auto", "Authorization": "Bearer one", "Iotics-ClientAppId": "tocsin"} {
			assert.Equal(t, want, st.Frames[i].Header.Get(name))
		}
		return true
	})
}

func jwt(until time.Time) string {
	claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, until.Unix()))
	return "e30." + claims + ".e30"
}

// TestTokenThatEnds proves that there is a new connection with a new token before
// the old one ends, and that nothing is lost or doubled on the way.
func TestTokenThatEnds(t *testing.T) {
	h := newHost(t)
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(jwt(time.Now())), 0o600)) // it does not look itself
	r := run(t, open(t, h, fmt.Sprintf(`,"follow":[{"twin":"m","feed":"f"}],"tokenFile":%q,"tokenTime":"5s"`, file)))
	require.True(t, h.subscribed(1))
	h.share("m", "f", 1, `{"n":1}`)
	r.Wait(t, 1)
	require.NoError(t, os.WriteFile(file, []byte(jwt(time.Now().Add(time.Hour))), 0o600))
	both := false
	for n := 2; !both || n < 50; n++ {
		h.share("m", "f", n, fmt.Sprintf(`{"n":%d}`, n))
		r.Wait(t, n)
		h.Until(func(st stomptest.State) bool {
			both = both || st.Count(frame.STOMP) == 2 && st.Count(frame.DISCONNECT) == 1 && st.Conns == 1
			return true
		})
	}
	r.End(t)
	for i, s := range r.Samples() {
		assert.Equal(t, fmt.Sprintf(`{"n":%d}`, i+1), string(s.Data))
	}
}

// A host that gives a receipt again and again was asked each time for what might
// have been missed, and what it sent in between was gathered without a bound.
func TestReceiptsAgain(t *testing.T) {
	h := newHost(t)
	r := run(t, open(t, h, `,"follow":[{"twin":"m","feed":"f"}]`))
	require.True(t, h.subscribed(1))
	for range 20 {
		h.SendAll(frame.New(frame.RECEIPT, frame.ReceiptId, "tocsin-1"))
	}
	h.share("m", "f", 1, `{"n":1}`)
	r.Wait(t, 1)
	r.End(t)
	h.set(func() { assert.Equal(t, 1, h.asked) })
}

// What a host sends on a new connection before its receipts was kept without a bound.
func TestMuchBeforeTheReceipts(t *testing.T) {
	h := newHost(t)
	subscribed := 0
	h.Answer = func(f *frame.Frame) (out []*frame.Frame) {
		if f.Command != frame.SUBSCRIBE {
			return nil
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if subscribed++; subscribed != 2 {
			return nil
		}
		m := frame.New(frame.MESSAGE, frame.Subscription, f.Header.Get(frame.Id), frame.ContentLength, fmt.Sprint(8<<20))
		m.Body = make([]byte, 8<<20)
		return append(slices.Repeat([]*frame.Frame{m}, 9), frame.New(frame.RECEIPT, frame.ReceiptId, f.Header.Get(frame.Receipt)))
	}
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(jwt(time.Now())), 0o600)) // it does not look itself
	r := run(t, open(t, h, fmt.Sprintf(`,"follow":[{"twin":"m","feed":"f"}],"tokenFile":%q,"tokenTime":"5s"`, file)))
	require.True(t, h.subscribed(1))
	require.NoError(t, os.WriteFile(file, []byte(jwt(time.Now().Add(time.Hour))), 0o600))
	assert.True(t, h.Until(func(st stomptest.State) bool { return st.Count(frame.SUBSCRIBE) == 3 }), "it tries again")
	r.End(t)
}

// TestForbiddenFeed proves that a feed that may not be followed does not keep the
// others from being followed.
func TestForbiddenFeed(t *testing.T) {
	h := newHost(t)
	h.Answer = func(f *frame.Frame) []*frame.Frame {
		if f.Command != frame.SUBSCRIBE || !strings.HasSuffix(f.Header.Get(frame.Destination), "/secret") {
			return nil
		}
		no := failure(7, "you may not")
		no.Header.Add(frame.ReceiptId, f.Header.Get(frame.Receipt))
		return []*frame.Frame{no}
	}
	r := run(t, open(t, h, `,"follow":[{"twin":"m","feed":"a"},{"twin":"m","feed":"secret"},{"twin":"m","feed":"z"}]`))
	require.True(t, h.subscribed(2))
	h.share("m", "a", 1, `{}`)
	h.share("m", "z", 1, `{}`)
	r.Wait(t, 2)
	r.End(t)
	states := r.States()
	assert.Contains(t, states[len(states)-1], "you may not", "it reads not all that it should")
}

func TestManyFeeds(t *testing.T) {
	h := newHost(t)
	feeds := make([]string, 250)
	for i := range feeds {
		feeds[i] = fmt.Sprintf("f%d", i)
	}
	h.twins["m"] = feeds
	r := run(t, open(t, h, filter))
	require.True(t, h.Until(func(st stomptest.State) bool { return len(st.Subscriptions) == 250 && st.Conns == 3 }))
	for i, feed := range feeds {
		h.share("m", feed, 1, fmt.Sprintf(`{"n":%d}`, i))
	}
	assert.Len(t, r.Wait(t, 250), 250)
	r.End(t)
}

func TestDurable(t *testing.T) {
	h := newHost(t)
	r := run(t, open(t, h, `,"follow":[{"twin":"m","feed":"f"},{"twin":"n","feed":"f"}],"durable":"brno"`))
	require.True(t, h.subscribed(2))
	h.Drop()
	for n := range 5 {
		h.Publish(destination("m", "f"), message(n, fmt.Sprintf(`{"n":%d}`, n)))
	}
	got := r.Wait(t, 5)
	assert.True(t, h.Until(func(st stomptest.State) bool { return st.Kept == 0 }), "they are acknowledged")
	r.End(t)
	assert.Len(t, got, 5)
	h.Until(func(st stomptest.State) bool {
		var names []string
		for _, f := range st.Frames {
			if f.Command == frame.SUBSCRIBE {
				assert.Equal(t, "client-individual", f.Header.Get("ack"))
				names = append(names, f.Header.Get("durable"))
			}
		}
		assert.Equal(t, []string{"brno-fcaead49559bb36f", "brno-4a9337d21450a733"}, names[:2], "a place of its own in each feed")
		assert.Equal(t, names[:2], names[2:4], "the same when it comes back")
		return true
	})
}

func TestUnreadableMessages(t *testing.T) {
	h := newHost(t)
	h.Chop = true
	r := run(t, open(t, h, `,"follow":[{"twin":"m","feed":"f","host":"far"}],"twin":"{host}.{twin}","follower":"me"`))
	require.True(t, h.subscribed(1))
	to := "/qapi/twins/me/interests/hosts/far/twins/m/feeds/f"
	for _, body := range []string{`{}`, `not JSON`, message(1, "not\nJSON"), `{"feedData":{"data":"e30=","mime":"text/plain"}}`, message(2, `{"n":2}`)} {
		h.Publish(to, body)
	}
	got := r.Wait(t, 5)
	r.End(t)
	for i, want := range []string{"envelope: no feedData, sample or message in it", "envelope: not JSON", "not JSON: invalid character 'o' in literal null (expecting 'u')", `envelope: feedData.mime is "text/plain"; want application/json`} {
		assert.Equal(t, to+": "+want, got[i].Refused)
		assert.Equal(t, "far.m", got[i].Twin)
	}
	assert.Empty(t, got[4].Refused)
}

func TestRefusedAtFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("wrong"), 0o600))
	for more, want := range map[string]string{
		filter:                                "search: answer 401 Unauthorized: token expired",
		`,"follow":[{"twin":"m","feed":"f"}]`: `the server says "token expired"`,
	} {
		h := newHost(t)
		h.token = "right"
		err := open(t, h, more+fmt.Sprintf(`,"tokenFile":%q`, file)).Run(t.Context(), new(sourcetest.Running).Emit)
		require.EqualError(t, err, "iotics source "+strings.TrimPrefix(h.web.URL, "http://")+": "+want)
	}
}

func TestNoHost(t *testing.T) {
	s, err := iotics.New(parse(t, `{"host":"http://127.0.0.1:1"`+filter+`}`), nil)
	require.NoError(t, err)
	run(t, s).End(t)
}

func TestConfigErrors(t *testing.T) {
	const follow = `"follow":[{"twin":"m","feed":"f"}]`
	for name, tt := range map[string]struct{ config, want string }{
		"nothing":          {`{}`, "c:1:1: field \"host\" is missing\nc:1:1: nothing to follow; want a filter, or twins and feeds in follow"},
		"typo":             {`{"host":"http://h",` + follow + `,"scop":"LOCAL"}`, `c:1:55: /scop: unknown field "scop"; did you mean "scope"?`},
		"empty filter":     {`{"host":"http://h","filter":{}}`, `c:1:29: /filter: a filter that asks for nothing; want properties, text or a location`},
		"no filter":        {`{"host":"http://h",` + follow + `,"feeds":["f"]}`, `c:1:63: /feeds: feeds without a filter; want it with one only`},
		"scope":            {`{"host":"http://h","filter":{"text":"pump"},"scope":"here"}`, `c:1:53: /scope: got "here"; want LOCAL or GLOBAL`},
		"refresh":          {`{"host":"http://h",` + follow + `,"refresh":"1ms"}`, `c:1:65: /refresh: got 1ms; want 1s or more`},
		"one twin":         {`{"host":"http://h","filter":{"text":"pump"},"twin":"all"}`, `c:1:52: /twin: got "all" for many twins; want a text with {twin}`},
		"no feed":          {`{"host":"http://h","follow":[{"twin":"m"},{"twin":"","feed":"f"}]}`, "c:1:30: /follow/0: field \"feed\" is missing\nc:1:43: /follow/1: got \"\"; want the id of a twin and of its feed"},
		"key, no agent":    {`{"host":"http://h",` + follow + `,"followerKey":"k"}`, `c:1:69: /followerKey: want it with an agent, and without follower`},
		"lines":            {`{"host":"http://h",` + follow + `,"durable":"a\nb"}`, `c:1:65: /durable: more than one line; want one`},
		"a filter's parts": {`{"host":"http://h","filter":{"propertys":[]}}`, `c:1:30: /filter/propertys: unknown field "propertys"; did you mean "properties"?`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := iotics.New(parse(t, tt.config), nil)
			require.EqualError(t, err, tt.want)
		})
	}
}
