package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
)

func TestLetterQuestions(t *testing.T) {
	for query, want := range map[string]string{
		"": "{Stage: Sink: Twin: Reason: From:0 To:0} 1000 false false",
		"stage=sink&sink=pager&twin=a%20b&reason=410&limit=5&from=2&to=9": "{Stage:sink Sink:pager Twin:a b Reason:410 From:2 To:9} 5 false false",
		"stage=sinks": `stage: no stage "sinks"; did you mean "sink"?`,
		"stage=x":     `stage: no stage "x"; want one of door, feed, sink`,
		"limit=0":     `limit: got "0"; want 1 to 100000`,
		"from=x":      `from: got "x"; want the number of a dead letter`,
		"all=true":    "all: no such parameter",
		"reasn=x":     `reasn: no such parameter; did you mean "reason"?`,
	} {
		assert.Equal(t, want, asked(t, query, listParameters), query)
	}
	for query, want := range map[string]string{
		"all=true&dryRun=1": "{Stage: Sink: Twin: Reason: From:0 To:0} 1000 true true",
		"all=yes":           `all: got "yes"; want true or false`,
		"limit=5":           "limit: no such parameter",
	} {
		assert.Equal(t, want, asked(t, query, eachParameters), query)
	}
}

func asked(t *testing.T, query string, known []string) string {
	t.Helper()
	values, err := url.ParseQuery(query)
	require.NoError(t, err)
	q, err := readLetterQuestion(values, known)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%+v %d %t %t", q.filter, q.limit, q.all, q.dryRun)
}

// What could not be told of a sticker or a notice is not shown, by its dead letter, to a
// user who may read and is told only of those that are meant for it.
func TestADeadLetterShowsNoUserWhatIsMeantForOthers(t *testing.T) {
	may := func(a access.Action) []access.Action { return []access.Action{access.Read, a} }
	user := &access.Caller{Name: "Jane", Account: "a", User: "u", Role: "r", Actions: may("list_stickers")}
	boss := &access.Caller{Name: "Joe", Account: "a", User: "v", Role: "s", Actions: may(access.Operate)}
	key := &access.Caller{Name: "console", Actions: may("list_stickers")}
	key.Settle([]string{"viewer"})
	notice := `{"notice":"1","body":{"account":"b","topic":"red","event":{"note":"leak"}}}`
	for _, c := range []struct {
		letter engine.Letter
		shown  bool // to the user
	}{
		{engine.Letter{Stage: "sink", Sink: "subscription 1", Data: json.RawMessage(notice)}, false},
		{engine.Letter{Stage: "sink", Sink: "subscription 1", Truncated: true, Text: notice[:40]}, false},
		{engine.Letter{Stage: "sink", Sink: "tocsin.stickers", Data: json.RawMessage(`{"kind":"sticker","note":"leak"}`)}, false},
		{engine.Letter{Stage: "sink", Sink: "mail", Data: json.RawMessage(`{"kind":"notification","body":"leak"}`)}, false},
		{engine.Letter{Stage: "sink", Sink: "mail", Data: json.RawMessage(`{"kind":"alert"}`)}, true},
		{engine.Letter{Stage: "sink", Sink: "mail", Route: "night", Data: json.RawMessage(`{"alerts":[]}`)}, true},
		{engine.Letter{Stage: "door", Data: json.RawMessage(`{"kind":"sticker"}`)}, true},
		{engine.Letter{Stage: "feed", Base64: []byte{0xff}}, true},
	} {
		for by, shown := range map[*access.Caller]bool{user: c.shown, boss: true, key: true, access.Anybody: true} {
			want := c.letter
			if !shown {
				want.Data, want.Text, want.Base64 = nil, "", nil
			}
			assert.Equal(t, want, letters{}.seen(access.With(t.Context(), by), c.letter), "%s: %+v", by.Name, c.letter)
		}
	}
}

func TestLetterPaths(t *testing.T) {
	h := served(Options{Engine: new(engine.Engine), Samples: http.NotFoundHandler()})
	for request, want := range map[string]string{
		"GET /api/v1/deadletters/x":          `400 {"error":"got \"x\"; want the number of a dead letter"}`,
		"DELETE /api/v1/deadletters/0":       `400 {"error":"got \"0\"; want the number of a dead letter"}`,
		"POST /api/v1/deadletters/-1/retry":  `400 {"error":"got \"-1\"; want the number of a dead letter"}`,
		"DELETE /api/v1/deadletters?stage=x": `400 {"error":"stage: no stage \"x\"; want one of door, feed, sink"}`,
		"POST /api/v1/deadletters":           `405 {"error":"no POST at /api/v1/deadletters","want":["GET","HEAD","DELETE"]}`,
		"DELETE /api/v1/deadletters/5/retry": `405 {"error":"no DELETE at /api/v1/deadletters/5/retry","want":["POST"]}`,
		"POST /api/v1/deadletters/5/deliver": `404 `,
	} {
		var method, path string
		_, err := fmt.Sscan(request, &method, &path)
		require.NoError(t, err)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
		assert.Contains(t, fmt.Sprint(w.Code, " ", w.Body.String()), want, request)
	}
}
