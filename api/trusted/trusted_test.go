package trusted_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/accounts"
	"tocsin.internal/api/access"
	"tocsin.internal/api/trusted"
)

func TestActor(t *testing.T) {
	own := accounts.Own()
	for name, c := range map[string]struct {
		caller              *access.Caller
		account, user, role string
	}{
		"anybody":      {access.Anybody, own, accounts.Administrator(own), accounts.SuperAdmin(own)},
		"an admin key": {&access.Caller{Name: "root"}, own, accounts.OwnUser("root"), accounts.SuperAdmin(own)},
		"a user":       {&access.Caller{Name: "x", Account: "a", User: "u", Role: "r", Actions: []access.Action{}}, "a", "u", "r"},
		"a stranger":   {&access.Caller{Name: "x", Actions: []access.Action{}}, own, accounts.OwnUser("x"), ""},
	} {
		account, user, role := trusted.Actor(access.With(t.Context(), c.caller))
		assert.Equal(t, []string{c.account, c.user, c.role}, []string{account, user, role}, name)
	}
	_, _, role := trusted.Actor(context.Background())
	assert.Empty(t, role, "nobody has come through the guard")
}

func TestRoutes(t *testing.T) {
	mux := http.NewServeMux()
	for _, r := range trusted.Routes(access.Route{Pattern: "GET /things", Handler: trusted.Serve(nil, func(*http.Request) (int, any, error) { return http.StatusOK, nil, nil })}) {
		assert.True(t, r.Desk(nil))
		assert.EqualValues(t, trusted.MaxBody, r.MaxBody)
		mux.Handle(r.Pattern, r.Handler)
	}
	for path, want := range map[string]int{"/things": 200, "/things/": 200, "/things//": 307, "/things/x": 404} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		assert.Equal(t, want, w.Code, path)
	}
}
