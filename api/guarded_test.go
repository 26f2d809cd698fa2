package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
)

// keys is a guard that knows these callers by their token.
func keys(callers map[string]*access.Caller) *access.Guard {
	return &access.Guard{Identify: func(_ context.Context, token string) (*access.Caller, error) {
		if c := callers[token]; c != nil {
			return c, nil
		}
		return nil, access.Unknown("no such token")
	}}
}

// reader may look, writer may control.
var reader, writer = &access.Caller{Name: "reader", Actions: []access.Action{access.Read}}, &access.Caller{Name: "writer"}

// Each tree of routes refuses in its own form, also where there is nothing.
func TestRefusalsHaveTheFormOfTheirRoutes(t *testing.T) {
	form := func(w http.ResponseWriter, _ *http.Request, err error) {
		refused, _ := access.AsRefused(err)
		w.WriteHeader(refused.Status())
		fmt.Fprintf(w, "code %d: %s", refused.Code, err)
	}
	done := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "by ", access.From(r.Context()).Name) })
	h := served(Options{
		Engine: new(engine.Engine), Samples: http.NotFoundHandler(),
		Guard: keys(map[string]*access.Caller{"r": reader, "w": writer}),
		Routes: []access.Route{
			{Pattern: "POST /qapi/twins", Action: access.Control, Handler: done, Refuse: form},
			{Pattern: "GET /1.0/discover/{did}", Action: access.Open, Handler: done},
		},
	})
	for _, tt := range []struct{ request, token, want string }{
		{"POST /qapi/twins", "w", "200 by writer"},
		{"POST /qapi/twins", "r", "403 code 7: reader may not control"},
		{"POST /qapi/twins", "", "401 Bearer code 16: no token; want the header Authorization: Bearer TOKEN"},
		{"POST /qapi/twins", "x", "401 Bearer code 16: no such token"},
		{"PUT /qapi/twins", "w", "405 code 12: no PUT at /qapi/twins"},
		{"GET /qapi/none", "", "404 code 5: nothing at /qapi/none"},
		{"GET /1.0/discover/x", "", "200 by"},
		{"GET /api/v1/stats", "", `401 Bearer {"error":"no token; want the header Authorization: Bearer TOKEN"}`},
		{"GET /qap/none", "", `404 {"error":"nothing at /qap/none","want":["GET /1.0/discover/{did}"`},
		{"GET /" + strings.Repeat("x", 10_000), "", `404 {"error":"nothing at /` + strings.Repeat("x", 199) + `…","want":[`},
	} {
		method, path, _ := strings.Cut(tt.request, " ")
		r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
		if tt.token != "" {
			r.Header.Set("Authorization", "Bearer "+tt.token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := strings.Join(append([]string{fmt.Sprint(w.Code)}, w.Header().Values("WWW-Authenticate")...), " ") + " " + strings.TrimSpace(w.Body.String())
		assert.Equal(t, tt.want, got[:min(len(tt.want), len(got))], tt.request)
	}
}

// served is what answers at http.listen.
func served(o Options) http.Handler { return newDoor(o).handler(nil, o) }
