package qapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api"
	"tocsin.internal/api/qapi"
)

func TestIndex(t *testing.T) {
	t.Parallel()
	behind := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "space.example.com, inner"}
	for _, c := range []struct {
		name    string
		index   qapi.Index
		headers []string
		want    map[string]string // "{}" stands for the address
	}{
		{"as the request says", qapi.Index{}, behind, map[string]string{"stomp": "ws://{}/ws", "qapi": "http://{}/qapi", "resolver": "http://{}"}},
		{"behind a proxy", qapi.Index{Trusted: true}, behind, map[string]string{"stomp": "wss://space.example.com/ws", "qapi": "https://space.example.com/qapi", "resolver": "https://space.example.com"}},
		{"a proxy that says nothing", qapi.Index{Trusted: true}, nil, map[string]string{"stomp": "ws://{}/ws"}},
		{"a proxy that says what is no scheme", qapi.Index{Trusted: true}, []string{"X-Forwarded-Proto", "javascript"}, map[string]string{"stomp": "ws://{}/ws"}},
		{"as configured", qapi.Index{Public: "https://plant.example.com:8443", Resolver: "https://resolver.example.com", Trusted: true}, behind, map[string]string{
			"stomp": "wss://plant.example.com:8443/ws", "metrics": "https://plant.example.com:8443/metrics", "resolver": "https://resolver.example.com",
		}},
	} {
		s := start(t, func(_ *api.Options, o *qapi.Options) { o.Index = c.index })
		status, _, answer := s.ask("GET", "/index.json", "", c.headers...)
		require.Equal(t, http.StatusOK, status)
		var got map[string]any
		require.NoError(t, json.Unmarshal([]byte(answer), &got))
		for name, want := range c.want {
			assert.Equal(t, strings.ReplaceAll(want, "{}", strings.TrimPrefix(s.url, "http://")), got[name], "%s: %s", c.name, name)
		}
		assert.Equal(t, map[string]any{"space": "1.2.3", "host": "1.2.3"}, got["version"])
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	assert.JSONEq(t, `{"hostId":"`+host+`"}`, s.do("GET", "/qapi/host/id", ""))
	assert.JSONEq(t, `{"status":"OK"}`, s.do("GET", "/qapi/status", ""))
	assert.JSONEq(t, `{"api":["v2","v3"],"version":{"space":"1.2.3","host":"1.2.3"}}`, s.do("GET", "/qapi/versions", ""))
}
