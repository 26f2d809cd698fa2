package ledgers_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/api"
	"tocsin.internal/api/access"
	"tocsin.internal/api/apitest"
	"tocsin.internal/api/ledgers"
	"tocsin.internal/api/trusted"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/natstest"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

func TestMain(m *testing.M) { natstest.Main(m) }

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// The accounts beside the own one, and a role.
const (
	otherAccount = "b0000000-0000-4000-8000-000000000001"
	thirdAccount = "b0000000-0000-4000-8000-000000000002"
	inspector    = "b0000000-0000-4000-8000-000000000003"
)

// callers are those of the tests, by what they show.
var callers = map[string]*access.Caller{
	"":      access.Anybody,
	"own":   {Name: "own", Actions: []access.Action{}, Account: accounts.Own(), User: accounts.OwnUser("own")},
	"other": {Name: "other", Actions: []access.Action{}, Account: otherAccount, User: "b0000000-0000-4000-8000-00000000000b", Role: inspector},
	"third": {Name: "third", Actions: []access.Action{}, Account: thirdAccount, User: "b0000000-0000-4000-8000-00000000000c"},
	"agent": {Name: "did:ann", Agent: "did:ann#a", Actions: []access.Action{}, Account: accounts.Own()},
	"line":  {Name: "line", Actions: []access.Action{}, Account: accounts.Own(), Twins: []string{"line-1.*"}},
}

// house is a server with an engine behind it, and a clock that is set.
type house struct {
	*engine.Engine
	bus *bus.Bus
	t   *testing.T
	url string
	mu  sync.Mutex
	at  time.Time
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *house) wait(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

func start(t *testing.T, described ...twins.Twin) *house {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), Partitions: 2})
	require.NoError(t, err)
	e, err := engine.New(t.Context(), engine.Config{Bus: b, Log: zerolog.Nop(), Twins: described})
	require.NoError(t, err)
	h := &house{Engine: e, bus: b, t: t, at: noon}
	guard := &access.Guard{Controls: func(_ context.Context, c *access.Caller, twin string) error {
		if c.Agent == "" || twin == "did:mine" {
			return nil
		}
		return access.Deny("twin: no delegation")
	}}
	routes := ledgers.Routes(e, guard, h.now)
	for i, r := range routes { // who asks is decided here, and that they may
		inner := r.Handler
		routes[i].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, r.WithContext(access.With(r.Context(), callers[r.Header.Get("Authorization")])))
		})
	}
	h.url = apitest.Serve(t, b, e, api.Options{Routes: routes})
	return h
}

// ask sends a request and wants a status.
func (h *house) ask(who string, want int, method, path, body string) string {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader(body))
	require.NoError(h.t, err)
	r.Header.Set("Authorization", who)
	res, err := http.DefaultClient.Do(r)
	require.NoError(h.t, err)
	defer res.Body.Close() //nolint:errcheck // it has been read
	text, err := io.ReadAll(res.Body)
	require.NoError(h.t, err)
	require.Equal(h.t, want, res.StatusCode, "%s %s %s: %s", method, path, body, text)
	return string(text)
}

// refused is why a request is refused.
func (h *house) refused(who string, status int, method, path, body string) (subcode, description string) {
	h.t.Helper()
	var e struct{ Subcode, Trace, Description string }
	require.NoError(h.t, json.Unmarshal([]byte(h.ask(who, status, method, path, body)), &e))
	assert.Len(h.t, e.Trace, 36)
	return e.Subcode, e.Description
}

// of is a part of a JSON text.
func of(t *testing.T, text string, path ...string) string {
	t.Helper()
	value := json.RawMessage(text)
	for _, part := range path {
		var object map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(value, &object), "%v of %s", path, text)
		value = object[part]
	}
	return string(value)
}

// meter makes one.
func (h *house) meter(who string) string {
	h.t.Helper()
	made := h.ask(who, 201, "POST", "/twins", `{"description":{"application":"metering","type":"water-meter","serial":"12345"}}`)
	return strings.Trim(of(h.t, made, "creation_certificate", "uuid"), `"`)
}

func TestTwin(t *testing.T) {
	h := start(t)
	made := h.ask("other", 201, "POST", "/twins/", `{"description":{"type":"meter","n":3,"list":[1]}}`)
	id := strings.Trim(of(t, made, "creation_certificate", "uuid"), `"`)
	assert.JSONEq(t, `{"creation_certificate":{"uuid":"`+id+`","creator":"`+otherAccount+`","created_ts":1793620800.000},"owner":"`+otherAccount+`","status":"alive","updated_ts":1793620800.000,
		"description":{"type":"meter","n":3,"list":[1]}}`, made)
	assert.JSONEq(t, made, h.ask("third", 200, "GET", "/twins/"+id, ""), "a description is public")
	tw, ok := h.Twin(id)
	require.True(t, ok)
	assert.Equal(t, twins.Public, tw.Visibility)
	assert.Equal(t, []rules.Property{twins.String("type", "meter"), {Key: "n", Value: rules.Literal{Kind: rules.TypedLiteral, DataType: "integer", Value: "3"}}}, tw.Properties)

	h.wait(1500 * time.Millisecond)
	_, why := h.refused("third", 403, "PATCH", "/twins/"+id, `{"description":{}}`)
	assert.Equal(t, "only the owner of the twin may do that", why)
	changed := h.ask("other", 200, "PATCH", "/twins/"+id, `{"description":{"type":"pump"}}`)
	assert.JSONEq(t, `{"type":"pump"}`, of(t, changed, "description"))
	assert.Equal(t, "1793620801.500", of(t, changed, "updated_ts"))
	tw, _ = h.Twin(id)
	assert.Equal(t, []rules.Property{twins.String("type", "pump")}, tw.Properties)
	assert.Equal(t, changed, h.ask("other", 200, "PATCH", "/twins/"+id, `{}`), "nothing said, nothing changed")

	h.refused("third", 403, "DELETE", "/twins/"+id, "")
	gone := h.ask("other", 200, "DELETE", "/twins/"+id, "")
	assert.Equal(t, `"terminated"`, of(t, gone, "status"))
	assert.Equal(t, `"terminated"`, of(t, h.ask("own", 200, "GET", "/twins/"+id+"?show_terminated=True", ""), "status"), "as clients in Python ask")
	h.refused("own", 404, "GET", "/twins/"+id+"?show_terminated=False", "")
	assert.JSONEq(t, `{"issuer":"`+otherAccount+`","terminated_ts":1793620801.500}`, of(t, gone, "termination_certificate"))
	_, ok = h.Twin(id)
	assert.False(t, ok, "rules know it no longer")
	assert.JSONEq(t, gone, h.ask("third", 200, "GET", "/twins/"+id, ""))
	h.refused("other", 400, "PATCH", "/twins/"+id, `{"description":{}}`)
	h.refused("other", 400, "DELETE", "/twins/"+id, ``)
	h.ask("other", 201, "POST", "/twins/"+id+"/ledgers/personal", `{"entries":{"a":{"value":1}}}`)

	assert.NotContains(t, h.ask("other", 201, "POST", "/twins", ""), "description")
	assert.NotContains(t, h.ask("other", 201, "POST", "/twins", `{"description":null}`), "description")
	assert.Contains(t, h.ask("other", 201, "POST", "/twins", `{"description":{}}`), `"description":{}`)
}

func TestTwinsThatWereDescribedElsewhere(t *testing.T) {
	h := start(t, twins.Twin{ID: "line-1.a", Properties: []rules.Property{twins.LangString(rules.PropLabel, "Press", "en"), twins.String("serial", "7")}},
		twins.Twin{ID: "line-2.b", Visibility: twins.Public, Properties: []rules.Property{twins.String("http://example.com/p", "x")}})
	assert.JSONEq(t, `{"creation_certificate":{"uuid":"line-1.a","creator":"`+accounts.Own()+`"},"owner":"`+accounts.Own()+`","status":"alive","description":{"label":"Press","serial":"7"}}`, h.ask("own", 200, "GET", "/twins/line-1.a", ""))
	assert.NotContains(t, h.ask("other", 200, "GET", "/twins/line-1.a", ""), "Press", "it is private")
	assert.Equal(t, `["line-1.a","line-2.b"]`, of(t, h.ask("own", 200, "GET", "/twins", ""), "twins"))
	assert.Equal(t, `["line-2.b"]`, of(t, h.ask("other", 200, "GET", "/twins", ""), "twins"))
	first := h.ask("own", 200, "GET", "/twins?count=1&details=true", "")
	assert.Equal(t, `"alive"`, of(t, first, "twins", "line-1.a", "status"))
	second := h.ask("own", 200, "GET", "/twins?count=1&cursor="+strings.Trim(of(t, first, "cursor"), `"`), "")
	assert.Equal(t, `["line-2.b"]`, of(t, second, "twins"))

	_, why := h.refused("line", 403, "PATCH", "/twins/line-2.b", `{"description":{"a":1}}`)
	assert.Equal(t, `line may not change twin "line-2.b"`, why)
	h.ask("line", 200, "PATCH", "/twins/line-1.a", `{"description":{"room":"4"}}`)
	tw, _ := h.Twin("line-1.a")
	assert.Equal(t, []rules.Property{twins.LangString(rules.PropLabel, "Press", "en"), twins.String("room", "4")}, tw.Properties)
	require.NoError(t, h.DeleteTwin(t.Context(), "line-1.a"))
	assert.Equal(t, `"terminated"`, of(t, h.ask("own", 200, "GET", "/twins/line-1.a", ""), "status"), "whoever has deleted it")
	require.NoError(t, h.PutTwin(t.Context(), twins.Twin{ID: "line-1.a"}))
	assert.Equal(t, `"alive"`, of(t, h.ask("own", 200, "GET", "/twins/line-1.a", ""), "status"))
}

// The twins of an agent belong to the own account here, as all agents do; that makes none
// of them free to end, or to describe, the twins of others.
func TestAnAgentChangesNoTwinThatItDoesNotControl(t *testing.T) {
	h := start(t, twins.Twin{ID: "did:mine"}, twins.Twin{ID: "did:theirs"})
	for _, again := range []bool{false, true} {
		for _, request := range [][2]string{{"PATCH", `{"description":{"n":1}}`}, {"DELETE", ""}} {
			subcode, why := h.refused("agent", 403, request[0], "/twins/did:theirs", request[1])
			assert.Equal(t, "403100 twin: no delegation", subcode+" "+why)
		}
		if !again {
			h.ask("own", 200, "PATCH", "/twins/did:theirs", `{"description":{"n":2}}`)
		}
	}
	h.ask("agent", 200, "PATCH", "/twins/did:mine", `{"description":{"n":1}}`)
	h.ask("agent", 200, "DELETE", "/twins/did:mine", "")
	made := h.meter("agent")
	h.ask("agent", 200, "PATCH", "/twins/"+made, `{"description":{"n":1}}`)
	h.ask("agent", 200, "DELETE", "/twins/"+made, "")
}

func TestEntries(t *testing.T) {
	h := start(t)
	path := "/twins/" + h.meter("") + "/ledgers/personal"
	const four = `{"entries":{"reading":{"value":1250,"visibility":null,"history":"1M"},"battery":{"value":87},"log":{"value":[]},"location":{"value":{"lat":51.1,"lon":17.03}}}}`
	assert.Equal(t, `{}`, of(t, h.ask("", 200, "GET", path, ""), "entries"))
	made := h.ask("", 201, "POST", path, four)
	assert.JSONEq(t, `{"value":1250,"visibility":null,"history":"1M","entry_created_ts":1793620800.000,"entry_updated_ts":1793620800.000,"value_changed_ts":1793620800.000}`, of(t, made, "entries", "reading"))
	assert.JSONEq(t, made, h.ask("own", 200, "GET", path+"/", ""))

	again := h.ask("", 200, "POST", path, four)
	assert.JSONEq(t, `{"error":{"subcode":"400358","description":"entry \"log\": the entry is there already"}}`, of(t, again, "entries", "log"))
	some := h.ask("", 201, "POST", path, `{"entries":{"log":{"value":1},"new":{"value":null,"timeseries":{"t":{"measurement":"{entry_name}"}}}}}`)
	assert.Equal(t, `"400358"`, of(t, some, "entries", "log", "error", "subcode"))
	assert.JSONEq(t, `{"t":{"measurement":"{entry_name}"}}`, of(t, some, "entries", "new", "timeseries"))

	h.wait(time.Second)
	changed := h.ask("", 200, "PATCH", path, `{"entries":{"reading":{"value":1251},"battery":{"visibility":"True"},"nope":{"value":1}}}`)
	assert.JSONEq(t, `{"value":1251,"visibility":null,"history":"1M","entry_created_ts":1793620800.000,"entry_updated_ts":1793620800.000,"value_changed_ts":1793620801.000}`, of(t, changed, "entries", "reading"))
	assert.JSONEq(t, `{"value":87,"visibility":"True","entry_created_ts":1793620800.000,"entry_updated_ts":1793620801.000,"value_changed_ts":1793620800.000}`, of(t, changed, "entries", "battery"))
	assert.Equal(t, `"404100"`, of(t, changed, "entries", "nope", "error", "subcode"))

	shown := func(query string) (names []string) {
		var in struct{ Entries map[string]any }
		require.NoError(t, json.Unmarshal([]byte(h.ask("", 200, "GET", path+query, "")), &in))
		for name := range in.Entries {
			names = append(names, name)
		}
		return names
	}
	assert.ElementsMatch(t, []string{"reading", "log"}, shown("?entries=reading,log,absent"))
	assert.ElementsMatch(t, []string{"battery"}, shown("?show_private=false"))
	assert.ElementsMatch(t, []string{"reading", "log", "location", "new"}, shown("?show_public=False"))

	assert.JSONEq(t, `{"entries":{"reading":1251,"battery":87}}`, h.ask("", 200, "GET", path+"/value?entries=reading,battery,nope", ""))
	set := h.ask("", 200, "PATCH", path+"/value", `{"entries":{"reading":1252,"nope":1}}`)
	assert.Equal(t, "1252", of(t, set, "entries", "reading"))
	assert.Equal(t, `"404100"`, of(t, set, "entries", "nope", "error", "subcode"))
	assert.Contains(t, h.ask("", 200, "GET", path+"/value", ""), `"reading":1252`)

	gone := h.ask("", 200, "DELETE", path+"?entries=log,nope", "")
	assert.Equal(t, `[]`, of(t, gone, "entries", "log", "value"))
	assert.Equal(t, `"404100"`, of(t, gone, "entries", "nope", "error", "subcode"))
	h.ask("", 200, "DELETE", path, "")
	assert.Equal(t, `{}`, of(t, h.ask("", 200, "GET", path, ""), "entries"))
}

func TestVisibility(t *testing.T) {
	h := start(t)
	twin := h.meter("")
	path := "/twins/" + twin + "/ledgers/"
	h.ask("own", 201, "POST", path+"personal", `{"entries":{"secret":{"value":"s","history":"INF"},"all":{"value":1,"visibility":"True","history":"INF","publish":{"topic":"t"}},
		"role":{"value":2,"visibility":{"==":[{"var":"role"},"`+inspector+`"]}}}}`)
	for _, name := range []string{"owner", "creator", accounts.Own()} {
		seen := h.ask("other", 200, "GET", path+name, "")
		assert.JSONEq(t, `{"all":{"value":1,"entry_created_ts":1793620800.000,"entry_updated_ts":1793620800.000,"value_changed_ts":1793620800.000},
			"role":{"value":2,"entry_created_ts":1793620800.000,"entry_updated_ts":1793620800.000,"value_changed_ts":1793620800.000}}`, of(t, seen, "entries"), "and nobody learns the rules")
	}
	assert.JSONEq(t, `["all"]`, `["`+strings.Join(keysOf(t, h.ask("third", 200, "GET", path+"owner", "")), `","`)+`"]`)
	assert.Len(t, keysOf(t, h.ask("own", 200, "GET", path+"owner", "")), 3)
	assert.Len(t, keysOf(t, h.ask("", 200, "GET", path+"owner", "")), 3)
	assert.JSONEq(t, `{"entries":{"secret":"Entry not accessible.","all":{"1793620800.000":1},"nope":"Entry not accessible."}}`, h.ask("other", 200, "GET", path+"owner/history?entries=secret,all,nope", ""))
	h.refused("other", 404, "GET", path+"owner/entries/secret/history", "")
	h.refused("other", 404, "GET", path+"owner/entries/nope/history", "")

	h.ask("own", 200, "PATCH", path+"personal", `{"entries":{"all":{"visibility":null}}}`)
	_, hidden := h.refused("third", 404, "GET", path+"owner", "")
	_, absent := h.refused("third", 404, "GET", path+otherAccount, "")
	assert.Equal(t, absent, hidden, "what cannot be seen is as what is not there")
	_, past := h.refused("third", 404, "GET", path+"owner/history", "")
	_, value := h.refused("third", 404, "GET", path+"owner/value", "")
	assert.Equal(t, absent, value)
	h.refused("third", 403, "PATCH", path+"owner/value", `{"entries":{"all":1}}`)
	assert.Equal(t, absent, past)
	for _, method := range []string{"POST", "PATCH", "DELETE"} {
		h.refused("other", 403, method, path+"owner", `{"entries":{"all":{"value":1}}}`)
		h.refused("other", 403, method, path+thirdAccount, `{"entries":{"all":{"value":1}}}`)
	}
	h.ask("other", 201, "POST", path+"personal", `{"entries":{"all":{"value":"mine"}}}`)
	assert.Equal(t, `"mine"`, of(t, h.ask("other", 200, "GET", path+strings.ToUpper(otherAccount), ""), "entries", "all", "value"))
	assert.Equal(t, `1`, of(t, h.ask("own", 200, "GET", path+"personal", ""), "entries", "all", "value"))
	assert.Equal(t, `"mine"`, of(t, h.ask("", 200, "GET", path+otherAccount, ""), "entries", "all", "value"), "who stands for the installation sees all")
	h.refused("line", 403, "POST", path+"personal", `{"entries":{"x":{"value":1}}}`)
}

func keysOf(t *testing.T, ledger string) (names []string) {
	t.Helper()
	var in struct{ Entries map[string]any }
	require.NoError(t, json.Unmarshal([]byte(ledger), &in))
	for name := range in.Entries {
		names = append(names, name)
	}
	return names
}

func TestHistory(t *testing.T) {
	h := start(t)
	path := "/twins/" + h.meter("") + "/ledgers/personal"
	h.ask("", 201, "POST", path, `{"entries":{"reading":{"value":0,"history":"1D"},"other":{"value":"x","history":"1W"},"none":{"value":1}}}`)
	for i := range 4 {
		h.wait(6 * time.Hour)
		h.ask("", 200, "PATCH", path, `{"entries":{"reading":{"value":`+string(rune('1'+i))+`}}}`)
	}
	assert.JSONEq(t, `{"entries":{"reading":{"1793707200.000":4,"1793685600.000":3,"1793664000.000":2,"1793642400.000":1,"1793620800.000":0},"other":{"1793620800.000":"x"}}}`, h.ask("", 200, "GET", path+"/history", ""))
	one := path + "/entries/reading/history"
	assert.Equal(t, `{"entries":{"reading":{"1793707200.000":4,"1793685600.000":3}}}`, strings.TrimSpace(h.ask("", 200, "GET", one+"?limit=2", "")), "the newest first")
	assert.JSONEq(t, `{"entries":{"reading":{"1793664000.000":2,"1793642400.000":1}}}`, h.ask("", 200, "GET", one+"/?ge=1793620800.001&le=1793664000", ""))
	assert.JSONEq(t, `{"entries":{"none":{}}}`, h.ask("", 200, "GET", path+"/entries/none/history", ""))
	h.wait(7 * time.Hour)
	assert.JSONEq(t, `{"entries":{"reading":{"1793707200.000":4,"1793685600.000":3,"1793664000.000":2}}}`, h.ask("", 200, "GET", one, ""), "a day")
	h.ask("", 200, "DELETE", path+"?entries=reading", "")
	h.ask("", 201, "POST", path, `{"entries":{"reading":{"value":9,"history":"1D"}}}`)
	assert.JSONEq(t, `{"entries":{"reading":{"1793732400.000":9}}}`, h.ask("", 200, "GET", one, ""), "the past goes with the entry")
}

func TestLinks(t *testing.T) {
	h := start(t, twins.Twin{ID: "meter", Feeds: []rules.Feed{{ID: "sensor", StoreLast: true}, {ID: "quiet"}}})
	path := "/twins/meter/ledgers/"
	h.ask("own", 201, "POST", path+"personal", `{"entries":{"t":{"feed":"sensor","field":"air.t","visibility":"True"},"all":{"feed":"sensor"},"q":{"feed":"quiet"},"no":{"feed":"none","field":"x"}}}`)
	assert.Equal(t, "null", of(t, h.ask("own", 200, "GET", path+"personal", ""), "entries", "t", "value"), "no sample yet")
	require.NoError(t, h.Emit(t.Context(), rules.Sample{Twin: "meter", Feed: "sensor", At: noon.Add(-time.Hour), Data: []byte(`{"air":{"t":21.5}}`)}))
	mine := h.ask("own", 200, "GET", path+"personal", "")
	assert.JSONEq(t, `{"value":21.5,"feed":"sensor","field":"air.t","visibility":"True","entry_created_ts":1793620800.000,"entry_updated_ts":1793620800.000,"value_changed_ts":1793617200.000}`, of(t, mine, "entries", "t"))
	assert.JSONEq(t, `{"air":{"t":21.5}}`, of(t, mine, "entries", "all", "value"))
	assert.Equal(t, "null", of(t, mine, "entries", "q", "value"))
	assert.Equal(t, "null", of(t, mine, "entries", "no", "value"))
	assert.Equal(t, "21.5", of(t, h.ask("other", 200, "GET", path+"owner", ""), "entries", "t", "value"))
	_, why := h.refused("other", 403, "POST", path+"personal", `{"entries":{"spy":{"feed":"sensor"}}}`)
	assert.Equal(t, "only the owner of the twin may link entries to its feeds", why)

	twin := h.meter("other")
	h.ask("own", 201, "POST", path+"personal", `{"entries":{"secret":{"value":"s"}}}`)
	source := "twin://meter/" + accounts.Own() + "/"
	h.ask("other", 201, "POST", "/twins/"+twin+"/ledgers/personal", `{"entries":{"air":{"reference":{"status":"ok","source":"`+source+`t"},"visibility":"True"},"spy":{"ref":{"source":"`+source+`secret"}},
		"loop":{"include":{"source":"twin://`+twin+`/air"}},"value":{"value":3},"same":{"include":{"source":"twin://`+twin+`/value"}}}}`)
	theirs := h.ask("other", 200, "GET", "/twins/"+twin+"/ledgers/personal", "")
	assert.Equal(t, "21.5", of(t, theirs, "entries", "air", "value"))
	assert.JSONEq(t, `{"source":"`+source+`t","status":"ok"}`, of(t, theirs, "entries", "air", "ref"))
	assert.Equal(t, "null", of(t, theirs, "entries", "spy", "value"))
	assert.JSONEq(t, `{"source":"`+source+`secret","status":"not_found"}`, of(t, theirs, "entries", "spy", "ref"))
	assert.Equal(t, `"not_found"`, of(t, theirs, "entries", "loop", "include", "status"), "a link to a link has no end")
	assert.Equal(t, "3", of(t, theirs, "entries", "same", "value"))
	assert.Len(t, keysOf(t, h.ask("other", 200, "GET", "/twins/"+twin+"/ledgers/personal?show_references=false", "")), 3)
	assert.Equal(t, "21.5", of(t, h.ask("third", 200, "GET", "/twins/"+twin+"/ledgers/owner", ""), "entries", "air", "value"))
}

func TestRequestsThatCannotBe(t *testing.T) {
	h := start(t)
	twin := h.meter("")
	ledger := "/twins/" + twin + "/ledgers/personal"
	for _, tt := range []struct {
		method, path, body string
		status             int
		subcode, why       string
	}{
		{"POST", "/twins", `{`, 400, "400415", `body:1:2: `},
		{"POST", "/twins", "{\"description\":\"\xff\"}", 400, "400314", "the body is not UTF-8"},
		{"POST", "/twins", `{"description":"` + strings.Repeat("x", trusted.MaxBody+1-len(`{"description":""}`)) + `"}`, 400, "400141", "a body of more than 65536 bytes"},
		{"POST", "/twins", `{"description":[]}`, 400, "400400", "want an object, or null"},
		{"POST", "/twins", `{"description":{"A":1}}`, 400, "400400", `key "A"`},
		{"POST", "/twins", `{"dscription":{}}`, 400, "400400", `did you mean "description"?`},
		{"GET", "/twins/nobody", ``, 404, "404100", "twin not found"},
		{"PATCH", "/twins/nobody", `{}`, 404, "404100", "twin not found"},
		{"DELETE", "/twins/nobody", ``, 404, "404100", "twin not found"},
		{"GET", "/twins/nobody/ledgers/personal", ``, 404, "404100", "twin not found"},
		{"POST", "/twins/nobody/ledgers/personal", `{"entries":{"a":{"value":1}}}`, 404, "404100", "twin not found"},
		{"GET", "/twins?match=x", ``, 400, "400400", `parameter "match": there is none`},
		{"GET", "/twins?count=101", ``, 400, "400400", `parameter "count": got "101"; want a number from 1 to 100`},
		{"GET", "/twins?cursor=x", ``, 400, "400400", `parameter "cursor": got "x"; want that of an answer`},
		{"GET", "/twins?count=1&count=2", ``, 400, "400400", `parameter "count" is there 2 times; want it once`},
		{"PUT", "/twins/" + twin, ``, 405, "405100", "no PUT at"},
		{"GET", "/twins/" + twin + "/x", ``, 404, "404100", "nothing at"},
		{"GET", "/twins/" + twin + "/ledgers/x", ``, 400, "400400", `ledger "x": want personal, owner, creator, or the UUID of an account`},
		{"POST", ledger, ``, 400, "400400", `field "entries" is missing`},
		{"POST", ledger, `{"entries":{}}`, 400, "400400", `no entry`},
		{"POST", ledger, `{"entries":{"A":{"value":1}}}`, 400, "400400", `name "A"`},
		{"POST", ledger, `{"entries":{"a":{"value":1,"visibility":"USER.role == 'x'"}}}`, 400, "400400", `expressions in text are not read`},
		{"POST", ledger, `{"entries":{"a":{"ref":{"source":"twin://t/e"},"reference":{"source":"twin://t/e"}}}}`, 400, "400400", `/entries/a: more than one of value, feed, ref and include; want one`},
		{"GET", "/twins/" + twin + "?show_terminated=x", ``, 400, "400400", `parameter "show_terminated": got "x"; want true or false`},
		{"POST", ledger, `{"entries":{"a":{"value":1,"history":"1H"}}}`, 400, "400400", `/entries/a/history: got "1H"`},
		{"POST", ledger, `{"entries":{"a":{"value":1},"b":{}}}`, 400, "400400", `/entries/b: field "value" is missing`},
		{"PATCH", ledger + "/value", `{"entries":{"A":1}}`, 400, "400400", `/entries/A: name "A"`},
		{"PATCH", ledger + "/value", `{"entries":{}}`, 400, "400400", `want {"<entry>": value, …}`},
		{"GET", ledger + "?entries=A", ``, 400, "400400", `parameter "entries": name "A"`},
		{"GET", ledger + "?show_public=maybe", ``, 400, "400400", `parameter "show_public": got "maybe"; want true or false`},
		{"GET", ledger + "/history?ge=x", ``, 400, "400400", `parameter "ge": got "x"; want seconds since 1970 such as 1700000000.000`},
		{"GET", ledger + "/history?le=-1", ``, 400, "400400", `parameter "le": got "-1"`},
		{"GET", ledger + "/history?limit=0", ``, 400, "400400", `parameter "limit": got "0"; want a number from 1 to 100`},
		{"GET", ledger + "/history?limt=1", ``, 400, "400400", `did you mean "limit"?`},
		{"GET", ledger + "/entries/nope/history", ``, 404, "404100", "entry not found"},
	} {
		subcode, why := h.refused("", tt.status, tt.method, tt.path, tt.body)
		assert.Equal(t, tt.subcode, subcode, "%s %s %.80s", tt.method, tt.path, tt.body)
		assert.Contains(t, why, tt.why, "%s %s %.80s", tt.method, tt.path, tt.body)
	}
	large := `{"entries":{"NAME":{"value":"` + strings.Repeat("x", 40<<10) + `"}}}`
	h.ask("", 201, "POST", ledger, strings.Replace(large, "NAME", "a", 1))
	subcode, why := h.refused("", 400, "POST", ledger, strings.Replace(large, "NAME", "b", 1))
	assert.Equal(t, "400141", subcode)
	assert.Contains(t, why, "the ledger is too large")
	assert.Len(t, keysOf(t, h.ask("", 200, "GET", ledger, "")), 1)
	assert.Contains(t, h.ask("", 200, "GET", "/twins", ""), twin)
}
