package access

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Origins are those of the web pages that may use the API from a browser, such as
// https://console.example:8443; * is all.
type Origins []string

// Has says whether pages of the origin are among them.
func (o Origins) Has(origin string) bool {
	return slices.ContainsFunc(o, func(known string) bool { return known == "*" || strings.EqualFold(known, origin) })
}

// Foreign is the refusal of a request that a web page has sent which is neither
// the server's own nor one of these. Where nobody has to say who they are, any
// page that a person of the network opens could act on twins; so this is asked
// there before anything else, a WebSocket included. What no browser has sent
// passes.
func (o Origins) Foreign(r *http.Request) error {
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); !o.Has(origin) && (err != nil || !strings.EqualFold(u.Host, r.Host)) {
			return Deny("pages of %.100q may not use the API; http.cors has those that may", origin)
		}
	} else if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" && !visit(r) {
		return Deny("pages of other sites may not use the API; http.cors has those that may")
	}
	return o.rebound(r)
}

// visit says whether a person has followed a link.
func visit(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate"
}

// rebound is the refusal of what has come to this machine by a name that is not
// the machine's own: a page can let its name point here, and the browser then
// takes the server for the page's own.
func (o Origins) rebound(r *http.Request) error {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !loopback(local.String()) {
		return nil
	}
	host := hostname(r.Host)
	if _, err := netip.ParseAddr(host); err == nil || host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || o.hasHost(host) {
		return nil
	}
	return Deny("%.100q is no name of this machine; want localhost or an address, or the name in http.cors", host)
}

func (o Origins) hasHost(host string) bool {
	return slices.ContainsFunc(o, func(known string) bool {
		u, err := url.Parse(known)
		return err == nil && u.Host != "" && strings.EqualFold(u.Hostname(), host)
	})
}

func loopback(address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// hostname is a host without its port and brackets, in small letters.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}
