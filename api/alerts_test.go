package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		body   string
	}{
		{wrong("want more"), 400, `{"error":"want more"}`},
		{fmt.Errorf("%w: by is missing", engine.ErrAction), 400, `{"error":"the action cannot be used: by is missing"}`},
		{badRequest{&http.MaxBytesError{Limit: 1}}, 413, `{"error":"http: request body too large"}`},
		{fmt.Errorf("%w: x", engine.ErrNoAlert), 404, `{"error":"no such alert: x"}`},
		{fmt.Errorf("%w: x", engine.ErrNoSilence), 404, `{"error":"no such silence: x"}`},
		{fmt.Errorf("%w: 7", engine.ErrNoLetter), 404, `{"error":"no such dead letter: 7"}`},
		{&engine.ConflictError{Why: "already acknowledged", By: "ann", At: noon}, 409, `{"error":"already acknowledged by ann at 2026-11-22T12:00:00Z","by":"ann","at":"2026-11-22T12:00:00Z"}`},
		{&engine.ConflictError{Why: "not latched"}, 409, `{"error":"not latched"}`},
		{engine.ErrUnanswered, 202, `{"pending":"the action is stored, but not carried out yet"}`},
		{errors.New("NATS is out of reach"), 503, `{"error":"NATS is out of reach"}`},
	} {
		w := httptest.NewRecorder()
		refuse(w, tt.err)
		assert.Equal(t, tt.status, w.Code, tt.body)
		assert.JSONEq(t, tt.body, w.Body.String())
	}
}

// What there is at a path is not denied to who asks by another method.
func TestMethods(t *testing.T) {
	h := served(Options{Engine: new(engine.Engine), Samples: http.NotFoundHandler()})
	for request, want := range map[string]string{
		"DELETE /api/v1/alerts":           "405 GET, HEAD",
		"PUT /api/v1/silences":            "405 GET, HEAD, POST",
		"GET /api/v1/silences/si_1":       "405 DELETE",
		"GET /api/v1/alerts/al_1/ack":     "405 POST",
		"PUT /api/v1/alerts/al_1/history": "405 GET, HEAD, POST",
		"POST /livez":                     "405 GET, HEAD",
		"HEAD /livez":                     "200 ",
		"GET /api/v1/alert":               "404 ",
		"POST /":                          "404 ",
	} {
		method, path, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
		assert.Equal(t, want, fmt.Sprint(w.Code, " ", w.Header().Get("Allow")), request)
	}
}

func TestQuestions(t *testing.T) {
	for query, want := range map[string]string{
		"": "[] 1000 false",
		"severity=major&twin=a*b&limit=5&closed=true": `[severity="major" twin="a*b"] 5 true`,
		"filter=rule!%3Dx&filter=label.a%3D~b":        `[rule!="x" label.a=~"b"] 1000 false`,
		"twin=a%22b":                                  `[twin="a\"b"] 1000 false`,
		"limit=0":                                     `limit: got "0"; want 1 to 100000`,
		"limit=many":                                  `limit: got "many"; want 1 to 100000`,
		"closed=maybe":                                `closed: got "maybe"; want true or false`,
		"filters=x":                                   `filters: no such parameter; did you mean "filter"?`,
		"severity=hot":                                `severity: column 10: unknown severity "hot"; want one of critical, major, minor, warning, info`,
		"filter=x":                                    `filter: column 2: no operator; want name=value, with one of =, !=, =~, !~`,
	} {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		q, err := readQuestion(values)
		got := fmt.Sprint(q.filter, q.limit, q.closed)
		if err != nil {
			got = err.Error()
		}
		assert.Equal(t, want, got, query)
	}
}

func TestActions(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                                    "  0001-01-01T00:00:00Z",
		`{"by":"ann","comment":"x","for":"2h"}`: "ann x 2026-11-22T14:00:00Z",
		`{"by":"ann","until":"2026-11-22T15:00:00+01:00"}`: "ann  2026-11-22T14:00:00Z",
		`{"for":"2h","until":"2026-11-22T15:00:00Z"}`:      "body:1:21: /until: both until and for; want one of them",
		`{"until":"noon"}`: `body:1:10: /until: got "noon"; want a time such as "2026-11-22T10:00:00Z"`,
		`{"for":2}`:        `body:1:8: /for: got 2; want a duration with its unit, such as "90s" or "15m"`,
		`{"bye":"ann"}`:    `body:1:2: /bye: unknown field "bye"; did you mean "by"?`,
	} {
		raw, err := strictjson.Parse("body", []byte(body))
		require.NoError(t, err)
		a, err := readAction(raw, noon)
		got := fmt.Sprint(a.By, " ", a.Comment, " ", a.Until.UTC().Format(time.RFC3339))
		if err != nil {
			got = err.Error()
		}
		assert.Equal(t, want, got, body)
	}
}
