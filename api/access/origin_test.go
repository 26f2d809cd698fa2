package access_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/api/access"
)

func TestForeignPages(t *testing.T) {
	const (
		stranger = `pages of "https://evil.example" may not use the API; http.cors has those that may`
		others   = "pages of other sites may not use the API; http.cors has those that may"
	)
	known := access.Origins{"https://console.example", "http://tocsin.plant:8080"}
	for name, tt := range map[string]struct {
		method, host, local string
		header              map[string]string
		want                string
	}{
		"a program":                   {host: "10.0.0.5:8080"},
		"a program by a service name": {host: "tocsin:8080", local: "10.0.0.5:8080"},
		"the server's own page":       {host: "10.0.0.5:8080", header: map[string]string{"Origin": "http://10.0.0.5:8080", "Sec-Fetch-Site": "same-origin"}},
		"a page that may":             {host: "10.0.0.5:8080", header: map[string]string{"Origin": "https://console.example", "Sec-Fetch-Site": "cross-site"}},
		"a page that may not":         {host: "10.0.0.5:8080", header: map[string]string{"Origin": "https://evil.example"}, want: stranger},
		"a WebSocket of it":           {method: "GET", host: "10.0.0.5:8080", header: map[string]string{"Origin": "https://evil.example", "Upgrade": "websocket"}, want: stranger},
		"another port of the machine": {host: "localhost:8080", header: map[string]string{"Origin": "http://localhost:3000"}, want: `pages of "http://localhost:3000" may not use the API; http.cors has those that may`},
		"a page without an origin":    {host: "10.0.0.5:8080", header: map[string]string{"Origin": "null"}, want: `pages of "null" may not use the API; http.cors has those that may`},
		"an origin that is none":      {host: "10.0.0.5:8080", header: map[string]string{"Origin": "http://%"}, want: `pages of "http://%" may not use the API; http.cors has those that may`},
		"a picture on another page":   {method: "GET", host: "localhost:8080", header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, want: others},
		"a form on another page":      {method: "POST", host: "localhost:8080", header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, want: others},
		"a link on another page":      {method: "GET", host: "localhost:8080", header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}},
		"an address that was typed":   {method: "GET", host: "localhost:8080", header: map[string]string{"Sec-Fetch-Site": "none"}},
		"a name that was bound anew":  {host: "evil.example:8080", local: "127.0.0.1:8080", want: `"evil.example" is no name of this machine; want localhost or an address, or the name in http.cors`},
		"the same on IPv6":            {host: "evil.example", local: "[::1]:8080", want: `"evil.example" is no name of this machine; want localhost or an address, or the name in http.cors`},
		"the machine by its address":  {host: "127.0.0.1:8080", local: "127.0.0.1:8080"},
		"the machine by its IPv6":     {host: "[::1]:8080", local: "[::1]:8080"},
		"the machine by its name":     {host: "LOCALHOST:8080", local: "127.0.0.1:8080"},
		"a name for it":               {host: "twin.localhost:8080", local: "127.0.0.1:8080"},
		"a name that is in http.cors": {host: "tocsin.plant:8080", local: "127.0.0.1:8080"},
		"no host, as of HTTP/1.0":     {local: "127.0.0.1:8080"},
		"a long host":                 {host: string(make([]byte, 10_000)), local: "10.0.0.5:8080"},
	} {
		ctx := t.Context()
		if tt.local != "" {
			addr, err := net.ResolveTCPAddr("tcp", tt.local)
			assert.NoError(t, err)
			ctx = context.WithValue(ctx, http.LocalAddrContextKey, net.Addr(addr))
		}
		method := tt.method
		if method == "" {
			method = "POST"
		}
		r := httptest.NewRequestWithContext(ctx, method, "/api/v1/samples", http.NoBody)
		r.Host = tt.host
		for k, v := range tt.header {
			r.Header.Set(k, v)
		}
		got := ""
		if err := known.Foreign(r); err != nil {
			got = err.Error()
		}
		assert.Equal(t, tt.want, got, name)
	}
	assert.True(t, access.Origins{"*"}.Has("https://x"))
	assert.False(t, access.Origins(nil).Has("https://x"))
}
