package outbound

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer answers with the addresses that of gives: a real one, over UDP.
func dnsServer(t *testing.T, of func(name string) []netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() }) //nolint:errcheck // the test is over
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
			for _, ip := range of(strings.TrimSuffix(q.Name.String(), ".")) {
				h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
				switch {
				case ip.Is4() && q.Type == dnsmessage.TypeA:
					answer.Answers = append(answer.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: ip.As4()}})
				case ip.Is6() && q.Type == dnsmessage.TypeAAAA:
					answer.Answers = append(answer.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
				}
			}
			if len(answer.Answers) == 0 {
				answer.RCode = dnsmessage.RCodeNameError
			}
			packed, err := answer.Pack()
			if err == nil {
				conn.WriteTo(packed, from) //nolint:errcheck // the client asks again
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func allowing(t *testing.T, list ...string) *Allow {
	t.Helper()
	a, _, err := ReadAllow(list)
	require.NoError(t, err)
	return a
}

// Every address that is not public, however it is written.
func TestForbidden(t *testing.T) {
	names := dnsServer(t, func(name string) []netip.Addr {
		switch name {
		case "inside.example":
			return []netip.Addr{netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("fd00::1")}
		case "mixed.example":
			return []netip.Addr{netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("9.9.9.9")}
		}
		return nil
	})
	c := newClient(new(Allow), names)
	c.lookup = time.Minute // the machine may be busy
	for to, want := range map[string]string{
		"http://127.0.0.1/":                 "127.0.0.1:80: not a public address",
		"http://127.8.9.10/":                "127.8.9.10:80: not a public address",
		"http://[::1]/":                     "[::1]:80: not a public address",
		"http://[::ffff:127.0.0.1]/":        "127.0.0.1:80: not a public address",
		"http://[::ffff:10.0.0.1]/":         "10.0.0.1:80: not a public address",
		"http://0.0.0.0/":                   "0.0.0.0:80: not a public address",
		"http://[::]/":                      "[::]:80: not a public address",
		"http://169.254.169.254/latest":     "169.254.169.254:80: not a public address",
		"http://[fe80::1]/":                 "[fe80::1]:80: not a public address",
		"http://[fe80::1%25eth0]/":          "[fe80::1%eth0]:80 is an address of this link only",
		"https://10.0.0.1/":                 "10.0.0.1:443: not a public address",
		"https://172.16.0.1/":               "172.16.0.1:443: not a public address",
		"https://192.168.1.1/":              "192.168.1.1:443: not a public address",
		"https://[fd12::1]/":                "[fd12::1]:443: not a public address",
		"https://100.64.0.1/":               "100.64.0.1:443: not a public address",
		"https://198.18.0.1/":               "198.18.0.1:443: not a public address",
		"https://192.0.0.1/":                "192.0.0.1:443: not a public address",
		"https://240.0.0.1/":                "240.0.0.1:443: not a public address",
		"https://255.255.255.255/":          "255.255.255.255:443: not a public address",
		"https://224.0.0.1/":                "224.0.0.1:443: not a public address",
		"https://[ff02::1]/":                "[ff02::1]:443: not a public address",
		"https://[64:ff9b::7f00:1]/":        "[64:ff9b::7f00:1]:443: not a public address",
		"https://[64:ff9b::808:808]/":       "[64:ff9b::808:808]:443: not a public address",
		"https://[2002:7f00:1::]/":          "[2002:7f00:1::]:443: not a public address",
		"https://[2001:db8::1]/":            "[2001:db8::1]:443: not a public address",
		"http://9.9.9.9:8080/":              "9.9.9.9:8080: a port other than 80 and 443",
		"http://localhost/":                 "127.0.0.1:80: not a public address",
		"http://LOCALHOST.:443/":            "127.0.0.1:443: not a public address",
		"http://a.localhost/":               "127.0.0.1:80: not a public address",
		"http://inside.example/":            "[fd00::1]:80: not a public address",
		"http://u:p@9.9.9.9/":               "a user in the URL",
		"http://9.9.9.9/#x":                 "a fragment in the URL",
		"ftp://9.9.9.9/":                    "not an absolute URL; want https://host/path or http://host/path",
		"//9.9.9.9/":                        "not an absolute URL; want https://host/path or http://host/path",
		"http:9.9.9.9":                      "not an absolute URL; want https://host/path or http://host/path",
		"http://":                           "not an absolute URL; want https://host/path or http://host/path",
		"http://:80/":                       "not an absolute URL; want https://host/path or http://host/path",
		"http://9.9.9.9:0/":                 `port "0"; want 1 to 65535`,
		"http://9.9.9.9:99999/":             `port "99999"; want 1 to 65535`,
		"http://9.9.9.9:/":                  `port "80"; want 1 to 65535`,
		"javascript:alert(1)":               "not an absolute URL; want https://host/path or http://host/path",
		"http://exa mple/":                  "not an absolute URL; want https://host/path or http://host/path",
		"http://9.9.9.9/\r\nX: y":           "not an absolute URL; want https://host/path or http://host/path",
		"http://mixed.example/":             "",
		"https://9.9.9.9/":                  "",
		"http://[2620:fe::fe]/x?y=z":        "",
		"https://nobody-knows.example/hook": "",
	} {
		err := c.Check(t.Context(), to)
		if want == "" {
			assert.NoError(t, err, to)
			continue
		}
		if assert.ErrorIs(t, err, ErrForbidden, to) && to != "http://inside.example/" {
			assert.Equal(t, "nothing is sent there: "+want, err.Error(), to)
		}
		if _, err := read(to); err != nil { // that it is no URL is said by Post, too
			_, err = c.Post(t.Context(), to, http.Header{}, nil)
			assert.ErrorIs(t, err, ErrForbidden, to)
		}
	}
}

func TestAllow(t *testing.T) {
	a := allowing(t, "10.20.0.0/16", "10.30.0.7", "127.0.0.1:9000", "hooks.local:8443", "fd00::/8", "[::1]:9000", "::ffff:10.40.0.1")
	for address, want := range map[string]bool{
		"10.20.3.4:80": true, "10.20.3.4:8080": true, "10.21.0.1:80": false, "10.30.0.7:1": true, "10.30.0.8:80": false,
		"127.0.0.1:9000": true, "127.0.0.1:9001": false, "[fd01::1]:7": true, "[::1]:9000": true, "[::1]:80": false, "10.40.0.1:5": true,
		"[::ffff:10.20.3.4]:80": true,
	} {
		err := a.check("tcp6", netip.MustParseAddrPort(address))
		assert.Equal(t, want, err == nil, "%s: %v", address, err)
	}
	names := dnsServer(t, func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr("10.99.0.1")} })
	for to, want := range map[string]bool{
		"https://hooks.local:8443/x": true, "https://HOOKS.local.:8443/x": true, "https://hooks.local/x": false, "https://other.local:8443/x": false,
	} {
		assert.Equal(t, want, a.checkURL(t.Context(), names, to) == nil, to)
	}
	for _, wrong := range []string{"", "hooks.local", "10.0.0.0/33", "10.0.0.1:0", "10.0.0.1:x", "a b:1", "http://h:1", "*:80", ":80", "fe80::1%eth0", "user@h:1"} {
		_, at, err := ReadAllow([]string{"10.0.0.0/8", wrong})
		require.EqualError(t, err, `got "`+wrong+`"; want such as "10.20.0.0/16", "127.0.0.1:9000" or "hooks.local:8443"`)
		assert.Equal(t, 1, at)
	}
}

// An address or a name that is written in letters which stand for others is refused
// when it is given, and not only when it is dialed; and such a name is allowed in
// either form.
func TestHostsInLettersThatStandForOthers(t *testing.T) {
	c := newClient(new(Allow), dnsServer(t, func(name string) []netip.Addr {
		if name == "xn--mnchen-3ya.example" {
			return []netip.Addr{netip.MustParseAddr("10.1.2.3")}
		}
		return nil
	}))
	c.lookup = time.Minute // the machine may be busy
	for to, want := range map[string]string{
		"http://①②⑦.⓪.⓪.①/":        "127.0.0.1:80",
		"http://127。0。0。1/":        "127.0.0.1:80",
		"http://１０.0.0.1/":         "10.0.0.1:80",
		"http://127.0.0.1./":       "127.0.0.1:80",
		"https://ⓛocalhost/":       "127.0.0.1:443",
		"https://a.localhoſt/":     "127.0.0.1:443",
		"https://münchen.example/": "10.1.2.3:443",
	} {
		require.EqualError(t, c.Check(t.Context(), to), "nothing is sent there: "+want+": not a public address", to)
	}
	for _, name := range []string{"münchen.example", "xn--mnchen-3ya.example"} {
		c.allow = allowing(t, name+":8443")
		require.NoError(t, c.Check(t.Context(), "https://MÜNCHEN.example:8443/"))
		assert.True(t, c.allow.named("xn--mnchen-3ya.example", "8443"), "as net/http dials it")
	}
}

// A name that is public when it is asked for first and leads inside afterwards.
func TestRebinding(t *testing.T) {
	var reached atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(s.Close)
	var inside atomic.Bool
	names := dnsServer(t, func(string) []netip.Addr {
		if inside.Load() {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		}
		return []netip.Addr{netip.MustParseAddr("9.9.9.9")}
	})
	c := newClient(new(Allow), names)
	c.lookup = time.Minute // the machine may be busy
	t.Cleanup(c.Close)
	to := "http://rebind.example/hook"
	require.NoError(t, c.Check(t.Context(), to))
	inside.Store(true)
	_, err := c.Post(t.Context(), to, http.Header{}, nil)
	require.ErrorIs(t, err, ErrForbidden)
	assert.ErrorContains(t, err, "127.0.0.1:80: not a public address")
	assert.False(t, reached.Load())
}

// listening serves on an address that is allowed, and gives its URL and a client.
func listening(t *testing.T, h http.HandlerFunc) (string, *Client) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c := New(allowing(t, strings.TrimPrefix(s.URL, "http://")))
	t.Cleanup(c.Close)
	return s.URL, c
}

func TestPost(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	to, c := listening(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Retry-After", r.Header.Get("X-Mine")+string(body))
		w.WriteHeader(http.StatusTooManyRequests)
	})
	got, err := c.Post(t.Context(), to+"/x?y=z", http.Header{"X-Mine": {"1"}}, []byte("2"))
	require.NoError(t, err)
	assert.Equal(t, http.StatusTooManyRequests, got.Status)
	assert.Equal(t, "12", got.Header.Get("Retry-After"))
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var asked atomic.Int32
	to, c := listening(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	got, err := c.Post(t.Context(), to, http.Header{}, []byte("x"))
	require.NoError(t, err)
	assert.Equal(t, http.StatusTemporaryRedirect, got.Status)
	assert.Equal(t, int32(1), asked.Load())
}

// An endpoint that streams for ever has answered: nobody waits for its end.
func TestEndlessAnswers(t *testing.T) {
	for name, chunk := range map[string]string{"fast": strings.Repeat("x", 64<<10), "slow": "x"} {
		ended := make(chan struct{})
		to, c := listening(t, func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, chunk); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
				select {
				case <-time.After(10 * time.Millisecond):
				case <-r.Context().Done():
				}
			}
		})
		got, err := c.Post(t.Context(), to, http.Header{}, nil)
		require.NoError(t, err, name)
		assert.Equal(t, http.StatusOK, got.Status, name)
		<-ended
	}
}

func TestEndlessHeaders(t *testing.T) {
	to, c := listening(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", maxHeader+1))
	})
	_, err := c.Post(t.Context(), to, http.Header{}, nil)
	require.ErrorContains(t, err, "server response headers exceeded")
}

// An endpoint that takes the request and says nothing.
func TestHang(t *testing.T) {
	release := make(chan struct{})
	to, c := listening(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	c.http.Timeout = 50 * time.Millisecond
	_, err := c.Post(t.Context(), to+"/s3cret", http.Header{}, nil)
	require.ErrorContains(t, err, "no answer in time")
	assert.NotContains(t, err.Error(), "s3cret")
}

func TestRefused(t *testing.T) {
	const address = "127.0.0.1:1"
	c := New(allowing(t, address))
	_, err := c.Post(t.Context(), "http://"+address+"/s3cret", http.Header{}, nil)
	require.ErrorContains(t, err, "connection refused")
	assert.NotContains(t, err.Error(), "s3cret")
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"http://127.0.0.1", "http://[::ffff:127.0.0.1]:80/", "https://0x7f.1/", "http://2130706433/", "http://127.1/", "http://[64:ff9b::1]/", "http://u@h"} {
		f.Add(seed)
	}
	names := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }}
	c := newClient(new(Allow), names)
	f.Fuzz(func(t *testing.T, to string) {
		if c.Check(t.Context(), to) != nil {
			return
		}
		u, err := url.Parse(to)
		require.NoError(t, err)
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
			ip = ip.Unmap()
			assert.False(t, ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified(), to)
		}
	})
}
