package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/engine"
)

// What is wrong with a request is said before the engine is asked.
func TestRequestsAboutRulesAreRead(t *testing.T) {
	h := served(Options{Engine: new(engine.Engine), Samples: http.NotFoundHandler()})
	for _, tt := range []struct{ request, body, want string }{
		{"GET /api/v1/ruleset?revison=3", "", `400 {"error":"revison: no such parameter; did you mean \"revision\"?"}`},
		{"GET /api/v1/ruleset?revision=0", "", `400 {"error":"revision: got \"0\"; want a number from 1 on"}`},
		{"PUT /api/v1/ruleset", `{"by":"ann"}`, `400 {"error":"body:1:1: field \"documents\" is missing"}`},
		{"PUT /api/v1/ruleset", `{"documents":[{"name":"x.json"}]}`, `400 {"error":"body:1:15: /documents/0: field \"text\" is missing"}`},
		{"PUT /api/v1/ruleset", `{"documents":[],"expect":-1}`, `400 {"error":"body:1:26: /expect: got -1; want the number of a revision"}`},
		{"PUT /api/v1/ruleset", `{"documents":[],"expect":1.5}`, `400 {"error":"body:1:26: /expect: got 1.5; want the number of a revision"}`},
		{"PUT /api/v1/ruleset", `{"documents":[]}`, `400 {"error":"the action cannot be used: by is missing; want who does it"}`},
		{"POST /api/v1/ruleset/rollback", `{"by":"ann"}`, `400 {"error":"body:1:1: field \"to\" is missing"}`},
		{"POST /api/v1/ruleset/rollback", `{"by":"ann","to":0}`, `400 {"error":"body:1:18: /to: got 0; want a revision from 1 on"}`},
		{"DELETE /api/v1/ruleset", "", `405 {"error":"no DELETE at /api/v1/ruleset","want":["GET","HEAD","PUT"]}`},
		{"POST /api/v1/rules", "", `405 {"error":"no POST at /api/v1/rules","want":["GET","HEAD"]}`},
	} {
		method, path, _ := strings.Cut(tt.request, " ")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(tt.body)))
		assert.Equal(t, tt.want, fmt.Sprint(w.Code, " ", strings.TrimSpace(w.Body.String())), tt.request)
	}
}

func TestRefusalsOfRules(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
	}{
		{fmt.Errorf("%w:\nx.json:1:1: no", engine.ErrRules), 422},
		{fmt.Errorf("%w: revision 3", engine.ErrExpected), 409},
		{fmt.Errorf("%w: 3", engine.ErrNoRuleset), 404},
		{fmt.Errorf("%w: x", engine.ErrNoInteraction), 404},
	} {
		w := httptest.NewRecorder()
		refuse(w, tt.err)
		assert.Equal(t, tt.status, w.Code, tt.err)
	}
}
