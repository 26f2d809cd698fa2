package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
