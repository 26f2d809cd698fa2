package access

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
)

// Base is the URL under which a client has reached the API, without a path: that
// of public where there is one, else what the request says; behind a proxy, what
// that says.
func Base(r *http.Request, public string, proxied bool) url.URL {
	u := url.URL{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	if proxied {
		u.Scheme = cmp.Or(first(r, "X-Forwarded-Proto"), u.Scheme)
		u.Host = cmp.Or(first(r, "X-Forwarded-Host"), u.Host)
	}
	if public, err := url.Parse(public); err == nil && public.Host != "" {
		u.Scheme, u.Host = public.Scheme, public.Host
	}
	if u.Scheme != "https" {
		u.Scheme = "http"
	}
	return u
}

// first is what the proxy that is the nearest to the client has said.
func first(r *http.Request, header string) string {
	text, _, _ := strings.Cut(r.Header.Get(header), ",")
	return strings.TrimSpace(text)
}
