package resolver_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api/resolver"
	"tocsin.internal/identity"
	client "tocsin.internal/internal/resolver"
)

var at = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// store keeps documents in memory.
type store struct {
	sync.Mutex
	tokens map[string]string
	err    error
}

func (s *store) Document(_ context.Context, id string) (string, error) {
	s.Lock()
	defer s.Unlock()
	return s.tokens[id], s.err
}

func (s *store) EditDocument(_ context.Context, id string, edit func(string) (string, error)) error {
	s.Lock()
	defer s.Unlock()
	if s.err != nil {
		return s.err
	}
	token, err := edit(s.tokens[id])
	if err == nil {
		s.tokens[id] = token
	}
	return err
}

func serve(t *testing.T) (*store, *httptest.Server, *[]string) {
	s := &store{tokens: map[string]string{}}
	var changed []string
	mux := http.NewServeMux()
	for _, r := range resolver.Routes(resolver.Options{Store: s, Now: func() time.Time { return at }, Changed: func(id string) { changed = append(changed, id) }}) {
		mux.Handle(r.Pattern, r.Handler)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return s, server, &changed
}

func call(t *testing.T, method, url, body string) (int, string) {
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close() //nolint:errcheck // a test
	var answer map[string]string
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer), "every answer is JSON")
	return resp.StatusCode, answer["error"]
}

func secret(name string) identity.Secret {
	return identity.Secret{Seed: []byte(strings.Repeat("s", 16)), Name: name}
}

// What the tutorial does, over HTTP: discover, register, discover again.
func TestClientsOfIOTICS(t *testing.T) {
	s, server, changed := serve(t)
	http, err := client.New(server.URL)
	require.NoError(t, err)
	c := identity.Client{Resolver: http, Now: func() time.Time { return at }}
	for range 2 { // a second run meets its own
		user, agent, err := c.UserAndAgent(t.Context(), secret("user"), secret("agent"), "#AuthDeleg")
		require.NoError(t, err)
		twin, err := c.Twin(t.Context(), secret("twin"), agent, "#ControlDeleg")
		require.NoError(t, err)
		assert.Contains(t, *changed, twin.DID)
		assert.Contains(t, *changed, user.DID)
	}
	assert.Len(t, s.tokens, 3)
	assert.Len(t, *changed, 7, "two registrations of what delegates, one of the agent, then one of each delegation")
}

func TestBadInput(t *testing.T) {
	s, server, changed := serve(t)
	k, err := identity.FromSeed(secret("x").Seed, identity.User, "x")
	require.NoError(t, err)
	owner := identity.NewIdentity(k, identity.User)
	d := identity.NewDocument(owner, identity.User, at)
	token, err := identity.DocumentToken(d, owner)
	require.NoError(t, err)
	other, err := identity.FromSeed(secret("y").Seed, identity.User, "y")
	require.NoError(t, err)
	forged, err := identity.DocumentToken(d, identity.Identity{DID: owner.DID, Name: owner.Name, Key: other})
	require.NoError(t, err)
	stolen := *d
	stolen.PublicKey = []identity.PublicKey{{ID: "#user-0", Base58: other.Public()}}
	taken, err := identity.DocumentToken(&stolen, identity.Identity{DID: owner.DID, Name: owner.Name, Key: other})
	require.NoError(t, err)
	d.UpdateTime -= 1000
	older, err := identity.DocumentToken(d, owner)
	require.NoError(t, err)

	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/1.0/discover/" + owner.DID, "", 404, "no document of " + owner.DID},
		{"GET", "/1.0/discover/machine_1", "", 404, "no DID"},
		{"GET", "/1.0/discover/" + url.PathEscape("did:iotics:a*>.b / ?\x00#"), "", 404, "no DID"},
		{"GET", "/1.0/discover/" + strings.Repeat("x", 10_000), "", 404, "no DID"},
		{"POST", "/1.0/register", "", 400, "no token: token is malformed: token contains an invalid number of segments"},
		{"POST", "/1.0/register", "{}", 400, "no token: token is malformed: token contains an invalid number of segments"},
		{"POST", "/1.0/register", strings.Repeat("x", identity.MaxDocumentToken+1), 413, "http: request body too large"},
		{"POST", "/1.0/register", forged, 400, "the signature is not that of its issuer's key"},
		{"POST", "/1.0/register", taken, 403, "none of its keys is the one that " + owner.DID + " is made of"},
		{"POST", "/1.0/register", token + "\n", 200, ""},
		{"POST", "/1.0/register", token, 200, ""},
		{"POST", "/1.0/register", taken, 403, "not by an owner of the document that is there: the signature is not that of its issuer's key"},
		{"POST", "/1.0/register", older, 409, owner.DID + ": an older document than the one that is there"},
		{"GET", "/1.0/discover/" + owner.DID, "", 200, ""},
		{"GET", "/1.0/discover/" + owner.DID + "%23user-0", "", 200, ""},
	} {
		status, text := call(t, tt.method, server.URL+tt.path, tt.body)
		assert.Equal(t, tt.status, status, "%s %.60s", tt.method, tt.path)
		assert.Equal(t, tt.want, text, "%s %.60s", tt.method, tt.path)
	}
	assert.Equal(t, []string{owner.DID, owner.DID}, *changed)

	s.err = errors.New("away")
	status, text := call(t, "GET", server.URL+"/1.0/discover/"+owner.DID, "")
	assert.Equal(t, "503 away", http503(status, text))
	status, text = call(t, "POST", server.URL+"/1.0/register", token)
	assert.Equal(t, "503 away", http503(status, text))
}

func http503(status int, text string) string {
	if status == http.StatusServiceUnavailable {
		return "503 " + text
	}
	return text
}

func TestTooManyRegistrations(t *testing.T) {
	_, server, _ := serve(t)
	status := 0
	for range 1001 {
		status, _ = call(t, "POST", server.URL+"/1.0/register", "x")
	}
	assert.Equal(t, http.StatusTooManyRequests, status)
}
