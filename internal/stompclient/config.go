package stompclient

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"tocsin.internal/internal/clienttls"
	"tocsin.internal/internal/secret"
	"tocsin.internal/internal/strictjson"
)

// Config is what a person writes of a connection.
type Config struct {
	URL          string            `json:"url" strict:"required"` // stomp://host:port, stomp+tls://, ws:// or wss://
	Login        string            `json:"login"`
	Passcode     secret.Text       `json:"passcode"`     // a password, or a token
	PasscodeFile string            `json:"passcodeFile"` // holds it, read at each connection; a relative name is looked for in $CREDENTIALS_DIRECTORY first
	TLS          clienttls.Files   `json:"tls"`
	Host         string            `json:"host"`      // the virtual host; that of the URL unless said
	Headers      map[string]string `json:"headers"`   // further ones of the first frame
	HeartBeat    time.Duration     `json:"heartBeat"` // 10s unless said
}

// Defaults are what a Config has before it is decoded.
func Defaults() Config { return Config{HeartBeat: 10 * time.Second} }

// Check complains about what Decode could not know. No complaint shows the URL:
// it may hold a password.
func (c *Config) Check(raw strictjson.Raw) error {
	return strictjson.Join(c.checkURL(raw), c.checkPasscode(raw), c.TLS.Check(raw.Member("tls")), CheckHeaders(raw.Member("headers"), c.Headers),
		oneLine(raw.Member("login"), c.Login), oneLine(raw.Member("host"), c.Host))
}

func (c *Config) checkURL(raw strictjson.Raw) error {
	at, tls := raw.Member("url"), raw.Member("tls")
	if at.Kind() != strictjson.String {
		return nil // Decode has complained
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Hostname() == "" || !slices.Contains(Schemes, u.Scheme):
		return at.At.Errorf("not the address of a STOMP server; want stomp://host:port, stomp+tls://, ws:// or wss://")
	case u.User != nil:
		return at.At.Errorf("a user in the URL; want login and passcode")
	case (u.Scheme == "stomp" || u.Scheme == "ws") && !tls.IsZero():
		return tls.At.Errorf("tls without TLS in the URL; want stomp+tls:// or wss://")
	}
	return nil
}

func (c *Config) checkPasscode(raw strictjson.Raw) error {
	written, file := raw.Member("passcode"), raw.Member("passcodeFile")
	switch {
	case !written.IsZero() && !file.IsZero():
		return file.At.Errorf("passcode and passcodeFile; want one of them")
	case file.Kind() == strictjson.String:
		if _, err := secret.ReadHeader(c.PasscodeFile); err != nil {
			return file.At.Errorf("%w", err)
		}
		return nil
	}
	return oneLine(written, string(c.Passcode))
}

func oneLine(at strictjson.Raw, value string) error {
	if strings.ContainsAny(value, "\r\n\x00") {
		return at.At.Errorf("more than one line; want one")
	}
	return nil
}

// ours are the headers that frames have anyway.
var ours = []string{
	"accept-version", "host", "login", "passcode", "heart-beat", "destination", "ack", "receipt", "content-length",
}

// CheckHeaders complains about headers of a frame which the program writes
// itself, or which are none. reserved are further ones of the program.
func CheckHeaders(in strictjson.Raw, headers map[string]string, reserved ...string) error {
	var errs []error
	for _, m := range in.Members() {
		switch value := headers[m.Name]; {
		case slices.Contains(ours, m.Name), slices.Contains(reserved, m.Name):
			errs = append(errs, m.Key.Errorf("header %s is written here; want others", m.Name))
		case m.Name == "" || strings.ContainsAny(m.Name, ":\r\n\x00"):
			errs = append(errs, m.Key.Errorf("%q is not the name of a header", m.Name))
		default:
			errs = append(errs, oneLine(m.Value, value))
		}
	}
	return strictjson.Join(errs...)
}

// Dial connects; see the function of that name. The files are read anew.
func (c *Config) Dial(ctx context.Context) (*Conn, error) { return c.dial(ctx, false) }

// DialSilent is Dial for who does not read all the time; see [Options.Silent].
func (c *Config) DialSilent(ctx context.Context) (*Conn, error) { return c.dial(ctx, true) }

func (c *Config) dial(ctx context.Context, silent bool) (*Conn, error) {
	passcode := string(c.Passcode)
	if c.PasscodeFile != "" {
		var err error
		if passcode, err = secret.ReadHeader(c.PasscodeFile); err != nil {
			return nil, fmt.Errorf("passcodeFile: %w", err)
		}
	}
	tls, err := c.TLS.Config()
	if err != nil {
		return nil, err
	}
	return Dial(ctx, Options{
		URL: c.URL, Login: c.Login, Passcode: passcode, Host: c.Host, Headers: c.Headers, HeartBeat: c.HeartBeat, Silent: silent, TLS: tls,
	})
}

// Server is the address without what may be a secret.
func (c *Config) Server() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return ""
	}
	return u.Host
}
