package space

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"tocsin.internal/internal/clienttls"
	"tocsin.internal/internal/secret"
	"tocsin.internal/internal/strictjson"
)

// Config says which host, and who we are there: nobody, who has a token, or an
// agent that acts for a user.
type Config struct {
	Host      string          `json:"host" strict:"required"` // its URL; /index.json under it says the rest
	Stomp     string          `json:"stomp"`                  // in place of what index.json says
	Resolver  string          `json:"resolver"`               // in place of what index.json says
	TLS       clienttls.Files `json:"tls"`
	TokenFile string          `json:"tokenFile"` // read for each request; a relative name is looked for in $CREDENTIALS_DIRECTORY first
	User      Key             `json:"user"`      // with agent
	Agent     Key             `json:"agent"`     // who makes tokens for the user
	TokenTime time.Duration   `json:"tokenTime"` // how long those are good, 1h unless said
	Timeout   time.Duration   `json:"timeout"`   // of a request, 15s unless said
}

// Key is what a key of IOTICS is made of.
type Key struct {
	SeedFile string `json:"seedFile"` // holds 16 to 32 bytes in hexadecimal digits
	Name     string `json:"name"`
}

// Defaults are what is not said.
func Defaults() Config { return Config{TokenTime: time.Hour, Timeout: 15 * time.Second} }

// Check says what is wrong with a Config that was read from raw.
func (c *Config) Check(raw strictjson.Raw) error {
	var errs []error
	for _, u := range []struct {
		name, text, want string
		schemes          []string
	}{
		{"host", c.Host, "https://host or http://host", []string{"https", "http"}},
		{"stomp", c.Stomp, "wss://host/path or ws://host/path", []string{"wss", "ws"}},
		{"resolver", c.Resolver, "https://host or http://host", []string{"https", "http"}},
	} {
		at := raw.Member(u.name)
		if parsed, err := url.Parse(u.text); at.Kind() == strictjson.String && (err != nil || parsed.Host == "" || parsed.User != nil || !slices.Contains(u.schemes, parsed.Scheme)) {
			errs = append(errs, at.At.Errorf("not an absolute URL; want %s", u.want))
		}
	}
	errs = append(errs, c.TLS.Check(raw.Member("tls")))
	for name, d := range map[string]time.Duration{"timeout": c.Timeout, "tokenTime": c.TokenTime} {
		if d <= 0 {
			errs = append(errs, raw.Member(name).At.Errorf("got %v; want more than nothing", d))
		}
	}
	return strictjson.Join(append(errs, c.checkWho(raw))...)
}

func (c *Config) checkWho(raw strictjson.Raw) error {
	file, user, agent := raw.Member("tokenFile"), raw.Member("user"), raw.Member("agent")
	switch {
	case !file.IsZero() && !agent.IsZero():
		return agent.At.Errorf("tokenFile and agent; want one of them")
	case user.IsZero() != agent.IsZero():
		return raw.At.Errorf("a user and an agent go together; want both or none")
	case file.Kind() == strictjson.String:
		if _, err := secret.ReadHeader(c.TokenFile); err != nil {
			return file.At.Errorf("%w", err)
		}
		return nil
	}
	return strictjson.Join(c.User.check(user), c.Agent.check(agent))
}

func (k Key) check(raw strictjson.Raw) error {
	if raw.Kind() != strictjson.Object {
		return nil
	}
	var errs []error
	for name, text := range map[string]string{"seedFile": k.SeedFile, "name": k.Name} {
		if text == "" {
			errs = append(errs, raw.Missing(name))
		}
	}
	if at := raw.Member("seedFile"); at.Kind() == strictjson.String && k.SeedFile != "" {
		if _, err := k.seed(); err != nil {
			errs = append(errs, at.At.Errorf("%w", err))
		}
	}
	return strictjson.Join(errs...)
}

func (k Key) seed() ([]byte, error) {
	text, err := secret.Read(k.SeedFile)
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(text)
	if n := len(seed); err != nil || n < 16 || n > 32 || n%4 != 0 {
		return nil, fmt.Errorf("file %s: want 16, 20, 24, 28 or 32 bytes in hexadecimal digits", k.SeedFile)
	}
	return seed, nil
}

// base is the host's URL without a slash at the end.
func (c *Config) base() string { return strings.TrimRight(c.Host, "/") }
