package resolver_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/did"
	"tocsin.internal/internal/resolver"
)

func TestResolver(t *testing.T) {
	var registered string
	mux := http.NewServeMux()
	mux.HandleFunc("GET /1.0/discover/{did}", func(w http.ResponseWriter, r *http.Request) {
		switch id := r.PathValue("did"); id {
		case "did:iotics:known":
			io.WriteString(w, `{"token":"`+registered+`"}`) //nolint:errcheck // a test
		case "odd / ?#":
			io.WriteString(w, `{}`) //nolint:errcheck // a test
		case "broken":
			http.Error(w, "it hurts", http.StatusInternalServerError)
		default:
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("POST /1.0/register", func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, "text/plain", r.Header.Get("Content-Type"))
		registered = string(text)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c, err := resolver.New(server.URL + "/")
	require.NoError(t, err)
	require.NoError(t, c.Register(t.Context(), "a.b.c"))
	token, err := c.Discover(t.Context(), "did:iotics:known")
	require.NoError(t, err)
	assert.Equal(t, "a.b.c", token)
	_, err = c.Discover(t.Context(), "did:iotics:new")
	require.ErrorIs(t, err, did.ErrUnknown)
	_, err = c.Discover(t.Context(), "odd / ?#")
	require.ErrorContains(t, err, "got no token")
	_, err = c.Discover(t.Context(), "broken")
	require.ErrorContains(t, err, "500 Internal Server Error: it hurts")
}

func TestURLs(t *testing.T) {
	for _, url := range []string{"", "did.example.org", "ftp://x", "http://", "http://x?a=b", "http://x#a", ":"} {
		_, err := resolver.New(url)
		assert.ErrorContains(t, err, "want an absolute URL", "%q", url)
	}
}
