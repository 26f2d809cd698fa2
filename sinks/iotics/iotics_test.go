package iotics_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/identity"
	"tocsin.internal/internal/did"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/iotics"
	"tocsin.internal/sinks/sinktest"
	"tocsin.internal/twins"
)

// host is a small IOTICS host with a resolver.
type host struct {
	*httptest.Server

	mu        sync.Mutex
	twins     map[string]bool
	feeds     map[string]bool // twin/feed
	shared    []string
	asked     []string // METHOD /path body
	headers   []http.Header
	documents map[string]string
	v2        bool // knows no upsert
	token     string
	answer    func(w http.ResponseWriter) bool // in place of storing a share
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{twins: map[string]bool{}, feeds: map[string]bool{}, documents: map[string]string{}}
	mux := http.NewServeMux()
	handle := func(pattern string, f func(r *http.Request, body string) int) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.asked = append(h.asked, r.Method+" "+r.URL.Path+" "+string(body))
			h.headers = append(h.headers, r.Header)
			if h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			if len(body) > 0 && !json.Valid(body) {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			if strings.HasSuffix(pattern, "/shares") && h.answer != nil && h.answer(w) {
				return
			}
			w.WriteHeader(f(r, string(body)))
			fmt.Fprint(w, `{}`)
		})
	}
	id := func(body, field string) string {
		var in map[string]json.RawMessage
		_ = json.Unmarshal([]byte(body), &in)
		var inner struct{ ID, Value string }
		_ = json.Unmarshal(in[field], &inner)
		if inner.ID != inner.Value {
			return ""
		}
		return inner.ID
	}
	handle("PUT /qapi/twins", func(_ *http.Request, body string) int {
		if h.v2 {
			return http.StatusNotImplemented
		}
		var in struct {
			Feeds []struct{ ID string }
		}
		_ = json.Unmarshal([]byte(body), &in)
		h.twins[id(body, "twinId")] = true
		for _, f := range in.Feeds {
			h.feeds[id(body, "twinId")+"/"+f.ID] = true
		}
		return 200
	})
	handle("POST /qapi/twins", func(_ *http.Request, body string) int { h.twins[id(body, "twinId")] = true; return 200 })
	found := func(ok bool) int {
		if ok {
			return 200
		}
		return 404
	}
	handle("GET /qapi/twins/{twin}", func(r *http.Request, _ string) int { return found(h.twins[r.PathValue("twin")]) })
	handle("PATCH /qapi/twins/{twin}", func(r *http.Request, _ string) int { return found(h.twins[r.PathValue("twin")]) })
	handle("POST /qapi/twins/{twin}/feeds", func(r *http.Request, body string) int {
		h.feeds[r.PathValue("twin")+"/"+id(body, "feedId")] = true
		return found(h.twins[r.PathValue("twin")])
	})
	feed := func(r *http.Request) string { return r.PathValue("twin") + "/" + r.PathValue("feed") }
	handle("PATCH /qapi/twins/{twin}/feeds/{feed}", func(r *http.Request, _ string) int { return found(h.feeds[feed(r)]) })
	handle("POST /qapi/twins/{twin}/feeds/{feed}/shares", func(r *http.Request, body string) int {
		if !h.feeds[feed(r)] {
			return 404
		}
		h.shared = append(h.shared, feed(r)+" "+body)
		return 200
	})
	mux.HandleFunc("GET /index.json", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"stomp":"ws://127.0.0.1:1/ws","resolver":%q}`, h.URL)
	})
	mux.HandleFunc("GET /1.0/discover/{did}", func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		token, ok := h.documents[r.PathValue("did")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, `{"token":%q}`, token)
	})
	mux.HandleFunc("POST /1.0/register", func(_ http.ResponseWriter, r *http.Request) {
		token, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		d, err := identity.ParseDocument(string(token))
		if err != nil {
			panic(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.documents[d.ID] = string(token)
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

func open(t *testing.T, h *host, more string, describe iotics.Describe) sinks.Sink {
	t.Helper()
	raw, err := strictjson.Parse("c", fmt.Appendf(nil, `{"host":%q%s}`, h.URL, more))
	require.NoError(t, err)
	s, err := iotics.New(raw, describe)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.(sinks.Closer).Close()) })
	return s
}

func output(twin string) rules.Outcome {
	return rules.Outcome{Kind: rules.Output, Interaction: "i", Rule: "r", Twin: twin, Feed: "status", At: time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC), Data: []byte(`{"status":"extreme"}`), Seq: 7}
}

// outputs makes outputs of the alerts that sinktest delivers, which the sink does not take.
type outputs struct{ sinks.Sink }

func (s outputs) Deliver(ctx context.Context, o rules.Outcome) error {
	if o.Kind == rules.Alert {
		o.Kind, o.Feed = rules.Output, "status"
	}
	return s.Sink.Deliver(ctx, o)
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinks.Sink { return outputs{open(t, newHost(t), "", nil)} })
}

func TestOutputsOnly(t *testing.T) {
	h := newHost(t)
	err := open(t, h, "", nil).Deliver(t.Context(), sinktest.Alert())
	require.EqualError(t, err, `iotics sink: kind "alert"; want "output"`)
	assert.True(t, sinks.IsPermanent(err))
	assert.Empty(t, h.asked)
}

const share = `status {"sample":{"data":"eyJzdGF0dXMiOiJleHRyZW1lIn0=","mime":"application/json","occurredAt":"2026-11-02T10:00:00Z"}}`

func described(id string) (*twins.Twin, bool) {
	return &twins.Twin{
		ID: id, Visibility: twins.Private, Location: &rules.Location{Lat: 51.5, Lon: -0.1},
		Properties: []rules.Property{twins.LangString(rules.PropLabel, "Machine 1 - Overheating", "en"), twins.URI(rules.PropCreatedFrom, rules.CreatedByInteraction)},
		Feeds:      []rules.Feed{{ID: "status", StoreLast: true, Values: []rules.Value{{Label: "status", DataType: "string"}}}, {ID: "other"}},
	}, true
}

func TestMakesWhatIsMissing(t *testing.T) {
	const properties = `[{"key":"http://www.w3.org/2000/01/rdf-schema#label","langLiteralValue":{"lang":"en","value":"Machine 1 - Overheating"}}]`
	const values = `[{"label":"status","comment":"","unit":"","dataType":"string"}]`
	for name, tt := range map[string]struct {
		change func(*host)
		want   []string
	}{
		"no twin": {func(*host) {}, []string{
			"GET /qapi/twins/m ",
			`PUT /qapi/twins {"twinId":{"id":"m","value":"m"},"visibility":"PRIVATE","properties":` + properties + `,"location":{"lat":51.5,"lon":-0.1},"feeds":[{"id":"status","storeLast":true,"values":` + values + `,"properties":[]},{"id":"other","storeLast":false,"values":[],"properties":[]}],"inputs":[]}`,
		}},
		"no twin, an old host": {func(h *host) { h.v2 = true }, []string{
			"GET /qapi/twins/m ",
			`PUT /qapi/twins {"twinId":{"id":"m","value":"m"},"visibility":"PRIVATE","properties":` + properties + `,"location":{"lat":51.5,"lon":-0.1},"feeds":[{"id":"status","storeLast":true,"values":` + values + `,"properties":[]},{"id":"other","storeLast":false,"values":[],"properties":[]}],"inputs":[]}`,
			`POST /qapi/twins {"twinId":{"id":"m","value":"m"}}`,
			`PATCH /qapi/twins/m {"properties":{"clearedAll":true,"added":` + properties + `},"newVisibility":{"visibility":"PRIVATE"},"location":{"location":{"lat":51.5,"lon":-0.1}}}`,
			`POST /qapi/twins/m/feeds {"feedId":{"id":"status","value":"status"}}`,
			`PATCH /qapi/twins/m/feeds/status {"storeLast":true,"values":{"added":` + values + `},"properties":{"clearedAll":true,"added":[]}}`,
		}},
		"no feed": {func(h *host) { h.twins["m"] = true }, []string{
			"GET /qapi/twins/m ",
			`POST /qapi/twins/m/feeds {"feedId":{"id":"status","value":"status"}}`,
			`PATCH /qapi/twins/m/feeds/status {"storeLast":true,"values":{"added":` + values + `},"properties":{"clearedAll":true,"added":[]}}`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			tt.change(h)
			s := open(t, h, "", described)
			require.NoError(t, s.Deliver(t.Context(), output("m")))
			assert.Equal(t, []string{"m/" + share}, h.shared)
			assert.Equal(t, tt.want, h.asked[1:len(h.asked)-1])
			require.NoError(t, s.Deliver(t.Context(), output("m")))
			assert.Len(t, h.shared, 2)
			o := output("m")
			assert.Equal(t, o.EventID(), h.headers[len(h.headers)-1].Get("Idempotency-Key"), "so that the host can tell that it is the same")
		})
	}
}

func TestUnknownLocally(t *testing.T) {
	h := newHost(t)
	none := func(string) (*twins.Twin, bool) { return nil, false }
	require.NoError(t, open(t, h, `,"twin":"plant.{twin}"`, none).Deliver(t.Context(), output("a/b ?")))
	assert.Equal(t, []string{"plant.a/b ?/" + share}, h.shared)
	assert.Contains(t, h.asked[2], `"value":"a/b ?"`, "the label")
}

func TestAnswers(t *testing.T) {
	for status, want := range map[int]struct {
		permanent bool
		wait      time.Duration
	}{400: {true, 0}, 401: {}, 403: {true, 0}, 408: {}, 409: {true, 0}, 413: {true, 0}, 429: {false, 7 * time.Second}, 500: {}, 503: {false, 7 * time.Second}, 504: {}, 302: {true, 0}} {
		h := newHost(t)
		h.answer = func(w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			fmt.Fprint(w, `{"code":3,"message":"it hurts"}`)
			return true
		}
		err := open(t, h, "", nil).Deliver(t.Context(), output("m"))
		require.EqualError(t, err, fmt.Sprintf("iotics sink %s: answer %d %s: it hurts", strings.TrimPrefix(h.URL, "http://"), status, http.StatusText(status))+map[bool]string{true: " (retry after 7s)"}[want.wait > 0])
		assert.Equal(t, want.permanent, sinks.IsPermanent(err), "%d", status)
		wait, _ := sinks.Wait(err)
		assert.Equal(t, want.wait, wait, "%d", status)
	}
}

func TestNewToken(t *testing.T) {
	h := newHost(t)
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) { require.NoError(t, os.WriteFile(file, []byte(token), 0o600)) }
	write("one")
	h.token = "one"
	s := open(t, h, fmt.Sprintf(`,"tokenFile":%q`, file), nil)
	require.NoError(t, s.Deliver(t.Context(), output("m")))
	h.token = "two"
	err := s.Deliver(t.Context(), output("m"))
	require.ErrorContains(t, err, "401")
	assert.False(t, sinks.IsPermanent(err))
	write("two")
	require.NoError(t, s.Deliver(t.Context(), output("m")))
}

// TestIdentities proves that each twin gets an identity whose document lets the
// agent control it, and that tokens hold.
func TestIdentities(t *testing.T) {
	h := newHost(t)
	dir := t.TempDir()
	seed := func(name, digit string) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(strings.Repeat(digit, 64)+"\n"), 0o600))
		return file
	}
	s := open(t, h, fmt.Sprintf(`,"user":{"seedFile":%q,"name":"u"},"agent":{"seedFile":%q,"name":"a"}`, seed("user", "1"), seed("agent", "2")), described)
	require.NoError(t, s.Deliver(t.Context(), output("m")))
	require.Len(t, h.shared, 1)
	id, _, _ := strings.Cut(h.shared[0], "/")
	assert.True(t, did.Valid(id), id)
	token := strings.TrimPrefix(h.headers[0].Get("Authorization"), "Bearer ")
	discover := func(_ context.Context, id string) (*identity.Document, error) {
		text, ok := h.documents[id]
		if !ok {
			return nil, identity.ErrUnknown
		}
		return identity.ParseDocument(text)
	}
	claims, err := identity.Verify(t.Context(), discover, token, identity.DefaultAudience, time.Now())
	require.NoError(t, err)
	require.NoError(t, identity.Controls(t.Context(), discover, claims.Agent, id))
	require.NoError(t, s.Deliver(t.Context(), output("m")))
	assert.Len(t, h.documents, 3, "user, agent, twin")
}

func TestConfigErrors(t *testing.T) {
	for name, tt := range map[string]struct{ config, want string }{
		"nothing":      {`{}`, `c:1:1: field "host" is missing`},
		"host":         {`{"host":"ftp://u:s3cret@h"}`, `c:1:9: /host: not an absolute URL; want https://host or http://host`},
		"twin":         {`{"host":"http://h","twin":"all"}`, `c:1:27: /twin: got "all" for all twins; want a text with {twin}`},
		"user alone":   {`{"host":"http://h","user":{"seedFile":"x","name":"y"}}`, `c:1:1: a user and an agent go together; want both or none`},
		"two ways":     {`{"host":"http://h","tokenFile":"/x","user":{"seedFile":"x","name":"y"},"agent":{"seedFile":"x","name":"y"}}`, `c:1:80: /agent: tokenFile and agent; want one of them`},
		"no token":     {`{"host":"http://h","tokenFile":"/no/such"}`, `c:1:32: /tokenFile: open /no/such: no such file or directory`},
		"no time":      {`{"host":"http://h","timeout":"0s"}`, `c:1:30: /timeout: got 0s; want more than nothing`},
		"half a key":   {`{"host":"http://h","user":{"name":"y"},"agent":{"seedFile":"/no/such","name":"y"}}`, "c:1:27: /user: field \"seedFile\" is missing\nc:1:60: /agent/seedFile: open /no/such: no such file or directory"},
		"resolver":     {`{"host":"http://h","resolver":"h","stomp":"http://h"}`, "c:1:31: /resolver: not an absolute URL; want https://host or http://host\nc:1:43: /stomp: not an absolute URL; want wss://host/path or ws://host/path"},
		"half a pair":  {`{"host":"https://h","tls":{"key":"x"}}`, `c:1:27: /tls: a certificate and its key go together; want both or none`},
		"no such file": {`{"host":"https://h","tls":{"ca":"/no/such"}}`, `c:1:27: /tls: tls ca: open /no/such: no such file or directory`},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := strictjson.Parse("c", []byte(tt.config))
			require.NoError(t, err)
			_, err = iotics.New(raw, nil)
			require.EqualError(t, err, tt.want)
		})
	}
}
