package stickers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/api/access"
	"tocsin.internal/api/stickers"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/twins"
)

// world is a server with the ways in to stickers, and who may ask it.
type world struct {
	t       *testing.T
	mux     *http.ServeMux
	callers map[string]*access.Caller
}

func start(t *testing.T) *world {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), Partitions: 1})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	e, err := engine.New(t.Context(), engine.Config{Bus: b, Log: zerolog.Nop(), Twins: []twins.Twin{{ID: "meter_1"}, {ID: "did:x:1/a b"}}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() { cancel(); assert.NoError(t, <-done) })
	require.Eventually(t, func() bool { return e.Ready() == nil }, time.Minute, 5*time.Millisecond)
	one := func(account string) *access.Caller {
		return &access.Caller{Name: "one", Account: account, User: uuid.NewString(), Role: uuid.NewString(), Actions: []access.Action{"put_sticker"}}
	}
	company := uuid.NewString()
	w := &world{t, http.NewServeMux(), map[string]*access.Caller{
		"company": one(company), "contractor": one(company), "stranger": one(uuid.NewString()), "anybody": access.Anybody, "key": {Name: "key", Actions: []access.Action{"read"}},
	}}
	began, asked := time.Now().Add(-time.Hour), atomic.Int64{}
	clock := func() time.Time { return began.Add(time.Duration(asked.Add(1)) * time.Second) } // no two at one time
	for _, r := range stickers.Routes(e, clock) {
		w.mux.Handle(r.Pattern, r.Handler)
	}
	return w
}

// ask asks and gives the status and the body, in which ids are named.
func (w *world) ask(who, method, path, body string) (status int, text string) {
	w.t.Helper()
	for name, c := range w.callers {
		for what, id := range map[string]string{"user": c.User, "role": c.Role, "account": c.Account} {
			body = strings.ReplaceAll(body, "<"+name+"."+what+">", id)
			path = strings.ReplaceAll(path, "<"+name+"."+what+">", id)
		}
	}
	r := httptest.NewRequestWithContext(access.With(w.t.Context(), w.callers[who]), method, path, strings.NewReader(body))
	rec := httptest.NewRecorder()
	w.mux.ServeHTTP(rec, r)
	answer, err := io.ReadAll(rec.Body)
	require.NoError(w.t, err)
	return rec.Code, strings.TrimSpace(string(answer))
}

// colors asks for a list and gives the colors in it.
func (w *world) colors(who, query string) (colors []string) {
	w.t.Helper()
	status, text := w.ask(who, "GET", "/stickers"+query, "")
	require.Equal(w.t, 200, status, text)
	var answer struct{ Stickers []struct{ Color string } }
	require.NoError(w.t, json.Unmarshal([]byte(text), &answer), text)
	colors = []string{}
	for _, s := range answer.Stickers {
		colors = append(colors, s.Color)
	}
	return colors
}

// put puts stickers for the contractor, one after the other.
func (w *world) put(who, recipients string, colors ...string) {
	w.t.Helper()
	for _, color := range colors {
		status, text := w.ask(who, "POST", "/twins/meter_1/stickers/", `{"stickers":{"`+color+`":{"note":"`+color+`","recipients":["<`+recipients+`>"]}}}`)
		require.Equal(w.t, 201, status, text)
	}
}

// Nobody but the recipients sees a sticker, and a refusal does not tell whether
// there is one.
func TestWhoSeesASticker(t *testing.T) {
	w := start(t)
	for _, recipient := range []string{"contractor.user", "contractor.role"} {
		w.put("company", recipient, "red")
		assert.Equal(t, []string{"red"}, w.colors("contractor", ""))
		assert.Equal(t, []string{"red"}, w.colors("anybody", "?context=system"))
		for _, who := range []string{"company", "stranger", "key"} {
			assert.Empty(t, w.colors(who, "?context=system"), who)
			status, text := w.ask(who, "GET", "/twins/meter_1/stickers", "")
			assert.Equal(t, `200 {"stickers":{}}`, fmt.Sprint(status, " ", text), who)
			var bodies []string
			for _, request := range []string{
				"GET /twins/meter_1/stickers/red", "GET /twins/meter_1/stickers/blue", "GET /twins/none/stickers/red",
				"DELETE /twins/meter_1/stickers/red", "DELETE /twins/meter_1/stickers/red?context=system", "DELETE /twins/none/stickers/red",
			} {
				method, path, _ := strings.Cut(request, " ")
				status, text := w.ask(who, method, path, "")
				assert.Equal(t, 404, status, request)
				var no map[string]string
				require.NoError(t, json.Unmarshal([]byte(text), &no))
				assert.NotEmpty(t, no["trace"])
				bodies = append(bodies, no["subcode"]+" "+no["description"])
			}
			for _, body := range bodies {
				assert.Equal(t, "404100 sticker not found", body)
			}
		}
		status, text := w.ask("contractor", "DELETE", "/twins/meter_1/stickers/red", "")
		assert.Equal(t, 200, status, text)
		assert.Contains(t, text, `"color":"red","note":"red"`)
		status, _ = w.ask("contractor", "DELETE", "/twins/meter_1/stickers/red", "")
		assert.Equal(t, 404, status)
	}
	w.put("company", "stranger.account", "red")
	assert.Empty(t, w.colors("stranger", ""), "it is of another account")
	assert.Equal(t, []string{"red"}, w.colors("stranger", "?context=<company.account>"))
	status, _ := w.ask("stranger", "DELETE", "/twins/meter_1/stickers/red", "")
	assert.Equal(t, 404, status, "it is of another account")
	status, _ = w.ask("stranger", "DELETE", "/twins/meter_1/stickers/red?context=<company.account>", "")
	assert.Equal(t, 200, status)
	w.put("anybody", "company.account", "grey")
	assert.Equal(t, []string{"grey"}, w.colors("anybody", ""))
	assert.Empty(t, w.colors("company", ""))
	assert.Equal(t, []string{"grey"}, w.colors("company", "?context="+accounts.Own()))
	status, _ = w.ask("anybody", "DELETE", "/twins/meter_1/stickers/grey", "")
	assert.Equal(t, 200, status)
}

func TestContextsAndPages(t *testing.T) {
	w := start(t)
	w.put("company", "contractor.user", "red", "blue", "green")
	w.put("stranger", "contractor.user", "red")
	for query, want := range map[string]string{
		"":                                     "[green blue red]",
		"?context=personal":                    "[green blue red]",
		"?context=system":                      "[red green blue red]",
		"?context=<stranger.account>":          "[red]",
		"?context=<stranger.account>,personal": "[red green blue red]",
		"?context=<stranger.account>&context=<contractor.account>": "[red green blue red]",
		"?color=red":                         "[red]",
		"?color=red&context=system":          "[red red]",
		"?limit=2":                           "[green blue]",
		"?limit=2&offset=2":                  "[red]",
		"?offset=7":                          "[]",
		"?ge=4000000000":                     "[]",
		"?le=1000000000":                     "[]",
		"?ge=1000000000.5&le=4000000000.125": "[green blue red]",
	} {
		assert.Equal(t, want, fmt.Sprint(w.colors("contractor", query)), query)
	}
	for query, want := range map[string]string{
		"?limit=0": "limit=0; want 1 to 100", "?limit=101": "limit=101; want 1 to 100", "?limit=x": "limit=x; want 1 to 100", "?offset=-1": "offset=-1; want 0 to 2147483647",
		"?ge=NaN": "ge=NaN; want a time in seconds since 1970, such as 1700000000.000", "?le=-1": "le=-1; want a time in seconds since 1970, such as 1700000000.000",
		"?context=mine": `context "mine"; want system, personal, or the UUIDs of accounts with commas between them`, "?ge=%zz": `the query cannot be read: invalid URL escape "%zz"`, "?colour=red": `"colour": no such parameter; did you mean "color"?`,
		"?limit=1&limit=2": "limit is there 2 times; want it once", "?color=%20": `got the colour " "; want 3 to 48 letters, digits and -, or up to 128 of a to z, digits and _, the first no digit`,
	} {
		status, text := w.ask("contractor", "GET", "/stickers"+query, "")
		assert.Equal(t, 400, status, query)
		var no struct{ Subcode, Description string }
		require.NoError(t, json.Unmarshal([]byte(text), &no))
		assert.Equal(t, "400400 "+want, no.Subcode+" "+no.Description)
	}
	status, text := w.ask("contractor", "GET", "/twins/meter_1/stickers", "")
	assert.Equal(t, 200, status)
	var grouped struct {
		Stickers map[string]map[string]struct{ Note string }
	}
	require.NoError(t, json.Unmarshal([]byte(text), &grouped), text)
	assert.Len(t, grouped.Stickers[w.callers["company"].Account], 3)
	assert.Len(t, grouped.Stickers[w.callers["stranger"].Account], 1)
	status, text = w.ask("contractor", "GET", "/twins/meter_1/stickers/red", "")
	assert.Equal(t, 200, status)
	assert.Contains(t, text, w.callers["company"].Account, "that of one's own account comes first")
	for range 98 {
		w.put("company", "contractor.user", "c"+strings.ReplaceAll(uuid.NewString(), "-", ""))
	}
	assert.Len(t, w.colors("contractor", ""), 100)
	assert.Equal(t, []string{"red"}, w.colors("contractor", "?offset=100"))
}

func TestPutsThatAreRefused(t *testing.T) {
	w := start(t)
	status, text := w.ask("company", "POST", "/twins/meter_1/stickers", `{"stickers":{"red":{"recipients":["<company.user>"]}}}`)
	assert.Equal(t, 201, status, text)
	for body, want := range map[string]string{
		`{"stickers":{"red":{"recipients":["<company.user>"]}}}`:               "201",
		`{"stickers":{"red":{"message":"x","recipients":["<company.user>"]}}}`: "400 400358 there is another sticker of that color: \"red\"",
		`{"stickers":{}}`: "400 400400 stickers: got an object; want one or more by their colors, such as {\"red\":{\"recipients\":[…]}}",
		`{}`:              "400 400400 body:1:1: field \"stickers\" is missing",
		``:                "400 400400 body:1:1: field \"stickers\" is missing",
		`{"stickers"`:     "400 400415 body:1:12: the document ends",
		"{\"stickers\":{\"red\":{\"note\":\"\xff\"}}}":                           "400 400314 the body is not UTF-8",
		`{"stickers":{"a b":{"recipients":["<company.user>"]}}}`:                 "400 400400 body:1:20: /stickers/a b: got the colour \"a b\"; want 3 to 48",
		`{"stickers":{"red":{"recipients":["<company.user>"],"validity_ts":1}}}`: "400 400400 body:1:89: /stickers/red/validity_ts: valid until 1970-01-01T00:00:01Z, which is over; want a time to come",
	} {
		status, text := w.ask("company", "POST", "/twins/meter_1/stickers", body)
		var no struct{ Subcode, Description string }
		require.NoError(t, json.Unmarshal([]byte(text), &no), text)
		got := strings.TrimSpace(fmt.Sprint(status, " ", no.Subcode, " ", no.Description))
		assert.Equal(t, want, got[:min(len(got), len(want))], body)
	}
	status, text = w.ask("company", "POST", "/twins/nobody/stickers", `{"stickers":{"red":{"recipients":["<company.user>"]}}}`)
	assert.Equal(t, 404, status, text)
	status, text = w.ask("company", "POST", "/twins/did:x:1%2Fa%20b/stickers", `{"stickers":{"red":{"recipients":["<company.user>"]}}}`)
	assert.Equal(t, 201, status, text)
	status, text = w.ask("company", "DELETE", "/twins/did:x:1%2Fa%20b/stickers/red/", "")
	assert.Equal(t, 200, status, text)
}
