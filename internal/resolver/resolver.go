// Package resolver asks a resolver over HTTP for the documents of DIDs, and
// registers them there.
package resolver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tocsin.internal/internal/did"
)

// Client talks to the resolver at a URL.
type Client struct {
	url  string
	http *http.Client
}

const (
	timeout = 10 * time.Second
	// maxAnswer bounds what a resolver may answer, in bytes.
	maxAnswer = 256 << 10
)

// New is a client of the resolver at an absolute URL, over http or https.
func New(address string) (Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return Client{}, fmt.Errorf("got %q; want an absolute URL, such as https://did.example.org", address)
	}
	return Client{strings.TrimSuffix(address, "/"), &http.Client{Timeout: timeout}}, nil
}

// Discover gives the token of a DID's document. Its error wraps [did.ErrUnknown]
// when there is none.
func (c Client) Discover(ctx context.Context, id string) (string, error) {
	var answer struct{ Token string }
	text, err := c.do(ctx, http.MethodGet, "/1.0/discover/"+url.PathEscape(id), "")
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Token == "" {
		return "", fmt.Errorf("resolver %s: got no token", c.url)
	}
	return answer.Token, nil
}

// Register keeps the token of a document.
func (c Client) Register(ctx context.Context, token string) error {
	_, err := c.do(ctx, http.MethodPost, "/1.0/register", token)
	return err
}

func (c Client) do(ctx context.Context, method, path, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "text/plain")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("resolver: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it is read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("resolver %s: %w", c.url, err)
	case resp.StatusCode == http.StatusNotFound && method == http.MethodGet:
		return nil, fmt.Errorf("resolver %s: %w", c.url, did.ErrUnknown)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("resolver %s: %s: %.200s", c.url, resp.Status, text)
	}
	return text, nil
}
