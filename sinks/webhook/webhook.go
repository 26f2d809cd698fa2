// Package webhook is the sink that posts outcomes to an HTTP server, signed as
// Standard Webhooks 1.0.0 has it.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

const (
	idHeader        = "webhook-id"        // the outcome's EventID: the same on every attempt
	timestampHeader = "webhook-timestamp" // of this attempt, in seconds since 1970
	signatureHeader = "webhook-signature"

	defaultTimeout = 15 * time.Second
	// longestWait bounds what a receiver can ask for with Retry-After.
	longestWait = time.Hour
	// drained is how much of an answer is read so that the connection can be used again.
	drained = 64 << 10
)

type sink struct {
	Config
	host   string
	key    []byte
	client *http.Client
}

func newSink(c Config, host string, key []byte) *sink {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return &sink{c, host, key, &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{ // without a Proxy: not one from the environment
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}}
}

// Deliver posts the outcome once. A 2xx is arrival. A redirect and any other
// 4xx but 408, 425 and 429 is Permanent; a 429 or 503 that says when is a
// RetryAfter of at most an hour; everything else is again later.
func (s *sink) Deliver(ctx context.Context, o rules.Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	now := time.Now()
	req, err := s.request(ctx, &o, now)
	if err != nil {
		return sinks.Permanent(s.wrong(err))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return s.wrong(err)
	}
	defer resp.Body.Close()                         //nolint:errcheck // it was only read
	_, _ = io.CopyN(io.Discard, resp.Body, drained) // the status has been read
	return s.verdict(resp, now)
}

// Close ends the idle connections.
func (s *sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

func (s *sink) request(ctx context.Context, o *rules.Outcome, now time.Time) (*http.Request, error) {
	body := s.body(o)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, string(s.URL), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	id, timestamp := o.EventID(), strconv.FormatInt(now.Unix(), 10)
	req.Header.Set("User-Agent", "Tocsin")
	s.Headers.addTo(req.Header)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(idHeader, id)
	req.Header.Set(timestampHeader, timestamp)
	if s.key != nil {
		req.Header.Set(signatureHeader, sign(s.key, id, timestamp, body))
	}
	return req, nil
}

func (s *sink) body(o *rules.Outcome) []byte {
	if s.Format == outcomeFormat {
		return o.AppendJSON(nil)
	}
	kind := string(o.Kind)
	if event := o.Event(); event != "" {
		kind += "." + event
	}
	b, _ := jsontext.AppendQuote([]byte(`{"type":`), kind) // its only error is invalid UTF-8, which it has replaced
	b = o.At.UTC().AppendFormat(append(b, `,"timestamp":"`...), time.RFC3339Nano)
	return append(o.AppendJSON(append(b, `","data":`...)), '}')
}

// sign is the header of Standard Webhooks, version 1.
func sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// wrong says what went wrong without the URL, which may be a secret.
func (s *sink) wrong(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return fmt.Errorf("webhook %s: %w", s.host, err)
}

func (s *sink) verdict(resp *http.Response, now time.Time) error {
	code := resp.StatusCode
	err := fmt.Errorf("webhook %s: answer %d %s", s.host, code, http.StatusText(code))
	switch {
	case code/100 == 2:
		return nil
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		if wait := retryAfter(resp.Header.Get("Retry-After"), now); wait > 0 {
			return sinks.RetryAfter(wait, err)
		}
		return err
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly:
		return err
	case code/100 == 3:
		return sinks.Permanent(fmt.Errorf("%w; redirects are not followed, want the URL that it leads to", err))
	case code/100 == 4:
		return sinks.Permanent(err)
	}
	return err
}

// retryAfter reads seconds or a date; 0 for what is neither, or over.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(longestWait/time.Second))) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), longestWait)
}
