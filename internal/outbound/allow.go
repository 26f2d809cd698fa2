// Package outbound posts to URLs that strangers have given, and lets them lead
// nowhere but to the public internet: what an address is is looked at when it is
// dialed, after its name has been resolved.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"code.dny.dev/ssrf"
	"golang.org/x/net/idna"
)

// ErrForbidden is what the error wraps when a URL leads to where nothing is sent.
var ErrForbidden = errors.New("nothing is sent there")

// Allow are the exceptions: what may be reached although it is not public. The
// zero Allow has none.
type Allow struct {
	prefixes []netip.Prefix   // at any port
	places   []netip.AddrPort // at that port
	names    map[string]bool  // host:port, whatever the name resolves to
}

// ReadAllow reads exceptions: a network "10.20.0.0/16" or an address "10.1.2.3" at
// any port, an address with a port "127.0.0.1:9000", or a name with a port
// "hooks.local:8443", whatever it resolves to. The index is that of the wrong one.
func ReadAllow(list []string) (*Allow, int, error) {
	a := &Allow{names: map[string]bool{}}
	for i, text := range list {
		if err := a.add(text); err != nil {
			return nil, i, err
		}
	}
	return a, 0, nil
}

func (a *Allow) add(text string) error {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		a.prefixes = append(a.prefixes, prefix.Masked())
		return nil
	}
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		a.prefixes = append(a.prefixes, netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()))
		return nil
	}
	if place, err := netip.ParseAddrPort(text); err == nil && place.Addr().Zone() == "" && place.Port() > 0 {
		a.places = append(a.places, netip.AddrPortFrom(place.Addr().Unmap(), place.Port()))
		return nil
	}
	host, port, err := net.SplitHostPort(text)
	number, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || number == 0 || host == "" || strings.ContainsAny(host, "/@:*[]% ") {
		return fmt.Errorf(`got %q; want such as "10.20.0.0/16", "127.0.0.1:9000" or "hooks.local:8443"`, text)
	}
	a.names[net.JoinHostPort(canonical(host), port)] = true
	return nil
}

// canonical is a host as hosts are compared, and as net/http dials it: letters that
// stand for others are those, so that an address cannot be hidden in them.
func canonical(host string) string {
	if ascii, err := idna.Lookup.ToASCII(host); err == nil && strings.ContainsFunc(host, func(c rune) bool { return c > unicode.MaxASCII }) {
		host = ascii
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// has says whether an address is an exception.
func (a *Allow) has(place netip.AddrPort) bool {
	return slices.Contains(a.places, place) || slices.ContainsFunc(a.prefixes, func(p netip.Prefix) bool { return p.Contains(place.Addr()) })
}

// named says whether a name at a port is an exception.
func (a *Allow) named(host, port string) bool {
	return a.names[net.JoinHostPort(canonical(host), port)]
}

// guardian refuses loopback, link-local, private, shared, translated (NAT64,
// 6to4), documentation, multicast and unspecified addresses, and every port but
// 80 and 443.
var guardian = ssrf.New()

// check is the last word on an address, just before it is dialed.
func (a *Allow) check(network string, place netip.AddrPort) error {
	place = netip.AddrPortFrom(place.Addr().Unmap(), place.Port())
	if a.has(place) {
		return nil
	}
	if place.Addr().Zone() != "" {
		return fmt.Errorf("%w: %s is an address of this link only", ErrForbidden, place)
	}
	if place.Addr().Is4() {
		network = "tcp4"
	}
	if err := guardian.Safe(network, place.String(), nil); err != nil {
		return fmt.Errorf("%w: %s: %s", ErrForbidden, place, reason(err))
	}
	return nil
}

// reason says why an address is refused.
func reason(err error) string {
	switch {
	case errors.Is(err, ssrf.ErrProhibitedPort):
		return "a port other than 80 and 443"
	case errors.Is(err, ssrf.ErrProhibitedIP):
		return "not a public address"
	}
	return err.Error()
}

// place is where a URL leads.
type place struct{ scheme, host, port string }

// read reads a URL. Its error wraps ErrForbidden.
func read(text string) (place, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https":
		return place{}, fmt.Errorf("%w: not an absolute URL; want https://host/path or http://host/path", ErrForbidden)
	case u.User != nil:
		return place{}, fmt.Errorf("%w: a user in the URL", ErrForbidden)
	case u.Fragment != "":
		return place{}, fmt.Errorf("%w: a fragment in the URL", ErrForbidden)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strings.HasSuffix(u.Host, ":") {
		return place{}, fmt.Errorf("%w: port %q; want 1 to 65535", ErrForbidden, port)
	}
	return place{u.Scheme, u.Hostname(), port}, nil
}

// resolver finds the addresses of names.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// checkURL says whether a URL may lead anywhere. A name that cannot be resolved now
// may be later; one of which all addresses are refused may not.
func (a *Allow) checkURL(ctx context.Context, names resolver, text string) error {
	p, err := read(text)
	if err != nil || a.named(p.host, p.port) {
		return err
	}
	port, _ := strconv.ParseUint(p.port, 10, 16) // read has looked at it
	name := canonical(p.host)
	if ip, err := netip.ParseAddr(name); err == nil {
		return a.check("tcp6", netip.AddrPortFrom(ip, uint16(port)))
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return a.check("tcp4", netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)))
	}
	addrs, err := names.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil //nolint:nilerr // it may have an address later
	}
	for _, ip := range addrs {
		if err = a.check("tcp6", netip.AddrPortFrom(ip, uint16(port))); err == nil {
			return nil
		}
	}
	return err
}
