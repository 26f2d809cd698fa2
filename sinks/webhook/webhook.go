// Package webhook is the sink that posts outcomes to an HTTP server, signed as
// Standard Webhooks 1.0.0 has it, in the form that the server takes.
package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"tocsin.internal/internal/outbound"
	"tocsin.internal/internal/standardwebhooks"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

const (
	defaultTimeout = 15 * time.Second
	// drained is how much of an answer is read so that the connection can be used again.
	drained = 64 << 10
)

type sink struct {
	Config
	host    string
	key     []byte
	write   format
	letters letters
	client  *http.Client
	guard   *outbound.Client // nil: the operator knows where the URL leads
}

func newClient() *http.Client {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{ // without a Proxy: not one from the environment
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// Deliver posts the outcome once. A 2xx is arrival. A redirect and any other
// 4xx but 408, 425 and 429 is Permanent; a 429 or 503 that says when is a
// RetryAfter of at most an hour; everything else is again later.
func (s *sink) Deliver(ctx context.Context, o rules.Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	now := time.Now()
	req, body, err := s.request(ctx, &o, now)
	if err != nil {
		return sinks.Permanent(s.wrong(err))
	}
	note := sinks.NoteOf(ctx)
	note.Request = fmt.Sprintf("POST %s, %d bytes", s.host, len(body))
	answer, err := s.post(ctx, req, body)
	if errors.Is(err, outbound.ErrForbidden) {
		return sinks.Permanent(s.wrong(err))
	}
	if err != nil {
		return s.wrong(err)
	}
	note.Status, note.Answer = answer.Status, fmt.Sprintf("%d %s", answer.Status, http.StatusText(answer.Status))
	return s.verdict(answer, now)
}

// post posts once; with a guard, to where strangers may send us.
func (s *sink) post(ctx context.Context, req *http.Request, body []byte) (outbound.Answer, error) {
	if s.guard != nil {
		return s.guard.Post(ctx, string(s.URL), req.Header, body)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return outbound.Answer{}, err
	}
	defer resp.Body.Close()                         //nolint:errcheck // it was only read
	_, _ = io.CopyN(io.Discard, resp.Body, drained) // the status has been read
	return outbound.Answer{Status: resp.StatusCode, Header: resp.Header}, nil
}

// Close ends the idle connections.
func (s *sink) Close() error {
	s.client.CloseIdleConnections()
	if s.guard != nil {
		s.guard.Close()
	}
	return nil
}

func (s *sink) request(ctx context.Context, o *rules.Outcome, now time.Time) (*http.Request, []byte, error) {
	m, err := s.write(s, o, now)
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, string(s.URL), bytes.NewReader(m.body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("User-Agent", "Tocsin")
	s.Headers.addTo(req.Header)
	req.Header.Set("Content-Type", m.contentType)
	for name, value := range m.header {
		req.Header.Set(name, value)
	}
	standardwebhooks.Stamp(req.Header, s.key, o.EventID(), now, m.body)
	return req, m.body, nil
}

// wrong says what went wrong without the URL, which may be a secret.
func (s *sink) wrong(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return fmt.Errorf("webhook %s: %w", s.host, err)
}

func (s *sink) verdict(answer outbound.Answer, now time.Time) error {
	code := answer.Status
	err := fmt.Errorf("webhook %s: answer %d %s", s.host, code, http.StatusText(code))
	switch v := standardwebhooks.Judge(code, answer.Header, now); {
	case v.Arrived:
		return nil
	case v.After > 0:
		return sinks.RetryAfter(v.After, err)
	case code/100 == 3:
		return sinks.Permanent(fmt.Errorf("%w; redirects are not followed, want the URL that it leads to", err))
	case v.Never:
		return sinks.Permanent(err)
	}
	return err
}
