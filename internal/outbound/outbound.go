package outbound

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// The limits of one attempt.
const (
	connectTime = 5 * time.Second
	headerTime  = 10 * time.Second
	wholeTime   = 15 * time.Second
	drainTime   = time.Second // for what comes after the headers
	lookupTime  = 2 * time.Second
	maxHeader   = 16 << 10
	maxBody     = 64 << 10
	idlePerHost = 4
	idleAll     = 1024
	idleTime    = 30 * time.Second
)

// Client posts to URLs that strangers have given.
type Client struct {
	allow    *Allow
	resolver *net.Resolver
	http     *http.Client
	lookup   time.Duration // that a check may take
}

// New makes a client that reaches the public internet and what is allowed besides.
func New(allow *Allow) *Client { return newClient(allow, net.DefaultResolver) }

func newClient(allow *Allow, names *net.Resolver) *Client {
	c := &Client{allow: allow, resolver: names, lookup: lookupTime}
	c.http = &http.Client{
		Timeout:       wholeTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{ // without a Proxy: not one from the environment
			DialContext:            c.dial,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    connectTime,
			ResponseHeaderTimeout:  headerTime,
			MaxIdleConns:           idleAll,
			MaxIdleConnsPerHost:    idlePerHost,
			IdleConnTimeout:        idleTime,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true,
		},
	}
	return c
}

// dial reaches a host. Each address that its name has is looked at just before it
// is dialed, so that a name which resolves otherwise from one time to the next
// leads nowhere else.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: connectTime, Resolver: c.resolver, Control: func(network, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: %q is no address", ErrForbidden, address)
		}
		return c.allow.check(network, to)
	}}
	if c.allow.named(host, port) {
		d.Control = nil
	}
	return d.DialContext(ctx, network, address)
}

// Check says whether a URL may lead anywhere; its error wraps ErrForbidden. That
// of Post has the last word.
func (c *Client) Check(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, c.lookup)
	defer cancel()
	return c.allow.checkURL(ctx, c.resolver, text)
}

// Answer is what a server has answered.
type Answer struct {
	Status int
	Header http.Header
}

// Post posts a body once. Redirects are not followed, and of the answer only the
// status and the headers count. The error may wrap ErrForbidden; it does not show
// the URL.
func (c *Client) Post(ctx context.Context, to string, header http.Header, body []byte) (Answer, error) {
	if _, err := read(to); err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("%w: not a URL", ErrForbidden)
	}
	req.Header = header
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{}, hidden(err)
	}
	defer resp.Body.Close()                        //nolint:errcheck // the connection is used again where all was read
	defer time.AfterFunc(drainTime, cancel).Stop() // what goes on for ever is cut off
	io.CopyN(io.Discard, resp.Body, maxBody)       //nolint:errcheck // the status has been read
	return Answer{resp.StatusCode, resp.Header}, nil
}

// Close ends the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// hidden is an error without the URL, which may hold a secret.
func hidden(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return fmt.Errorf("no answer in time: %w", err)
	}
	return err
}
