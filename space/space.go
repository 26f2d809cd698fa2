package space

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"tocsin.internal/identity"
	"tocsin.internal/internal/resolver"
	"tocsin.internal/internal/retryafter"
	"tocsin.internal/internal/secret"
	"tocsin.internal/internal/stompclient"
)

const (
	// appID is how hosts see us.
	appID = "tocsin"
	// maxAnswer bounds an answer, and a line of one that has several.
	maxAnswer = 64 << 20
	// heartBeat is offered to the host.
	heartBeat = 10 * time.Second
	// minLead is how long before its end a token is made anew.
	minLead = time.Minute
)

// Client speaks with a host. Its methods are for any goroutine.
type Client struct {
	config Config
	http   *http.Client
	now    func() time.Time

	mu    sync.Mutex // of what follows, held also while it is made
	index Index
	ids   identity.Client
	user  identity.Identity
	agent identity.Identity
	token string
	until time.Time // when a token of ours ends
}

// Index is what a host says of itself.
type Index struct {
	Stomp    string `json:"stomp"`
	Resolver string `json:"resolver"`
}

// Error is what a host answers when it does not do what it is asked.
type Error struct {
	Status  int
	Code    int // that of a gRPC status; 0 when it says none
	Message string
	Wait    time.Duration // that it asks for; at most an hour
}

func (e *Error) Error() string {
	text := fmt.Sprintf("answer %d %s", e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// New makes a client of a Config that has been checked. It reads the files of TLS.
func New(c Config) (*Client, error) {
	config, err := c.TLS.Config()
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return &Client{config: c, now: time.Now, http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{ // without a Proxy: not one from the environment
			DialContext:            dialer.DialContext,
			TLSClientConfig:        config,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}}, nil
}

// Close ends the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Name is the host without what may be a secret.
func (c *Client) Name() string {
	u, err := url.Parse(c.config.Host)
	if err != nil {
		return ""
	}
	return u.Host
}

// HasIdentities says that twins are identities of their own here.
func (c *Client) HasIdentities() bool { return c.config.Agent.Name != "" }

// Token is what to show now, and until when it is good: zero when that is not
// known. "": nothing is to be shown.
func (c *Client) Token(ctx context.Context) (string, time.Time, error) {
	if c.config.TokenFile != "" {
		text, err := secret.ReadHeader(c.config.TokenFile)
		return text, expiry(text), err
	}
	if !c.HasIdentities() {
		return "", time.Time{}, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token != "" && c.now().Add(c.Lead()).Before(c.until) {
		return c.token, c.until, nil
	}
	if err := c.identify(ctx); err != nil {
		return "", time.Time{}, err
	}
	token, err := c.ids.Token(c.agent, c.user.DID, c.config.TokenTime)
	if err != nil {
		return "", time.Time{}, err
	}
	c.token, c.until = token, expiry(token)
	return c.token, c.until, nil
}

// expiry is when a token ends that says so: a JWT; else zero.
func expiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	var in struct {
		Exp float64 `json:"exp"`
	}
	const latest = 1 << 40
	if err != nil || json.Unmarshal(claims, &in) != nil || in.Exp <= 0 || in.Exp > latest {
		return time.Time{}
	}
	return time.Unix(int64(in.Exp), 0)
}

// Renew forgets a token that the host does not take.
func (c *Client) Renew(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == token {
		c.token = ""
	}
}

// Lead is how long before its end a token is made anew.
func (c *Client) Lead() time.Duration { return min(minLead, c.config.TokenTime/5) }

// identify makes the user and the agent known to the resolver, once.
func (c *Client) identify(ctx context.Context) error {
	if c.agent.DID != "" {
		return nil
	}
	user, err := c.config.User.secret()
	if err != nil {
		return err
	}
	agent, err := c.config.Agent.secret()
	if err != nil {
		return err
	}
	address := c.config.Resolver
	if address == "" {
		index, err := c.loadIndex(ctx)
		if err != nil {
			return err
		}
		address = index.Resolver
	}
	r, err := resolver.New(address)
	if err != nil {
		return fmt.Errorf("resolver: %w", err)
	}
	ids := identity.Client{Resolver: r, Now: c.now}
	u, a, err := ids.UserAndAgent(ctx, user, agent, "#AuthDeleg")
	if err != nil {
		return err
	}
	c.ids, c.user, c.agent = ids, u, a
	return nil
}

func (k Key) secret() (identity.Secret, error) {
	seed, err := k.seed()
	return identity.Secret{Seed: seed, Name: k.Name}, err
}

// Twin is the DID of a twin of the agent's, by the name of its key. Its document
// says that the agent controls it, and is registered where there is none.
func (c *Client) Twin(ctx context.Context, name string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.identify(ctx); err != nil {
		return "", err
	}
	seed, err := c.config.Agent.secret()
	if err != nil {
		return "", err
	}
	seed.Name = name
	twin, err := c.ids.Twin(ctx, seed, c.agent, "#ControlDeleg")
	return twin.DID, err
}

// Index is what the host says of itself, asked once.
func (c *Client) Index(ctx context.Context) (Index, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loadIndex(ctx)
}

func (c *Client) loadIndex(ctx context.Context) (Index, error) {
	if c.index.Stomp != "" {
		return c.index, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	body, err := c.once(ctx, http.MethodGet, "/index.json", nil, "", nil)
	if err != nil {
		return Index{}, fmt.Errorf("index.json: %w", err)
	}
	index, err := parseIndex(body)
	if err != nil {
		return Index{}, err
	}
	if c.config.Stomp != "" {
		index.Stomp = c.config.Stomp
	}
	c.index = index
	return index, nil
}

func parseIndex(body []byte) (Index, error) {
	var index Index
	if err := json.Unmarshal(body, &index); err != nil {
		return Index{}, fmt.Errorf("index.json: %w", err)
	}
	u, err := url.Parse(index.Stomp)
	if err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss" {
		return Index{}, fmt.Errorf("index.json: stomp is %.200q; want a URL with ws:// or wss://", index.Stomp)
	}
	return index, nil
}

// Connect opens a connection on which feeds can be followed, with the token that
// it shows. It lives until ctx ends.
func (c *Client) Connect(ctx context.Context) (*stompclient.Conn, string, time.Time, error) {
	index, err := c.Index(ctx)
	if err != nil {
		return nil, "", time.Time{}, err
	}
	token, until, err := c.Token(ctx)
	if err != nil {
		return nil, "", time.Time{}, err
	}
	config, err := c.config.TLS.Config()
	if err != nil {
		return nil, "", time.Time{}, err
	}
	conn, err := stompclient.Dial(ctx, stompclient.Options{URL: index.Stomp, Passcode: token, HeartBeat: heartBeat, TLS: config})
	return conn, token, until, err
}

// Headers are what each request says besides, also those over STOMP: names and
// values in turn.
func Headers(token string) []string {
	headers := []string{"Iotics-ClientAppId", appID, "Iotics-ClientRef", appID}
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	return headers
}

// do asks the host, and once more with a new token when it does not take the
// old one. An answer that is no success is an *Error.
func (c *Client) do(ctx context.Context, method, path string, body []byte, header http.Header) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	for first := true; ; first = false {
		token, _, err := c.Token(ctx)
		if err != nil {
			return nil, err
		}
		answer, err := c.once(ctx, method, path, body, token, header)
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusUnauthorized || !first || token == "" {
			return answer, err
		}
		c.Renew(token)
	}
}

func (c *Client) once(ctx context.Context, method, path string, body []byte, token string, header http.Header) ([]byte, error) {
	resp, err := c.send(ctx, method, path, body, token, header)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	return answer, c.verdict(resp, answer)
}

func (c *Client) send(ctx context.Context, method, path string, body []byte, token string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.config.base()+path, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("not a request: " + path)
	}
	maps.Copy(req.Header, header)
	headers := Headers(token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", appID)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL
	}
	return resp, err
}

// verdict is nil for a success.
func (c *Client) verdict(resp *http.Response, answer []byte) error {
	if resp.StatusCode/100 == 2 {
		return nil
	}
	e := &Error{Status: resp.StatusCode, Wait: retryafter.Parse(resp.Header.Get("Retry-After"), c.now())}
	var said struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(answer, &said) == nil {
		e.Code, e.Message = said.Code, short(said.Message)
	}
	return e
}

func short(text string) string {
	const most = 300
	runes := []rune(strings.ToValidUTF8(text, "\uFFFD"))
	if len(runes) > most {
		runes = append(runes[:most], '…')
	}
	return string(runes)
}
