package alertmanager

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"tocsin.internal/internal/clienttls"
	"tocsin.internal/internal/secret"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/letter"
)

// Config says which Alertmanagers are told. Errors show no password.
type Config struct {
	URLs         []string        `json:"urls" strict:"required"` // of each, as its pages are reached: http://host:9093
	Username     string          `json:"username"`               // of basic authentication
	Password     secret.Text     `json:"password"`
	PasswordFile string          `json:"passwordFile"`
	TokenFile    string          `json:"tokenFile"` // instead: holds a bearer token
	TLS          clienttls.Files `json:"tls"`
	Space        string          `json:"space"`   // the label "space" of every alert, tocsin unless said
	Link         strictjson.Raw  `json:"link"`    // template: the URL of a page about the alert
	Resend       time.Duration   `json:"resend"`  // between repetitions of what fires, 1m unless said
	Timeout      time.Duration   `json:"timeout"` // of one request, 15s unless said
}

const (
	defaultResend  = time.Minute
	defaultTimeout = 15 * time.Second
)

// New makes the sink of its Config.
func New(raw strictjson.Raw) (sinks.Sink, error) {
	c := Config{Space: "tocsin", Resend: defaultResend, Timeout: defaultTimeout}
	errs := []error{raw.Decode(&c)}
	note := func(err error) { errs = append(errs, err) }
	note(c.checkURLs(raw.Member("urls")))
	for name, d := range map[string]time.Duration{"resend": c.Resend, "timeout": c.Timeout} {
		if d <= 0 {
			note(raw.Member(name).At.Errorf("got %v; want more than nothing", d))
		}
	}
	authorization, err := c.authorization(raw)
	note(err)
	tlsConfig, err := c.TLS.Config()
	if err != nil {
		note(raw.Member("tls").At.Errorf("%w", err))
	}
	var link *letter.Template
	if !c.Link.IsZero() {
		link, err = letter.Text(c.Link, letter.CheckLink, rules.Alert)
		note(err)
	}
	if err := strictjson.Join(errs...); err != nil {
		return nil, err
	}
	return newSink(c, authorization, tlsConfig, link), nil
}

func (c *Config) checkURLs(raw strictjson.Raw) error {
	if raw.Kind() != strictjson.Array {
		return nil // Decode has complained
	}
	var errs []error
	if len(raw.Elems()) == 0 {
		errs = append(errs, raw.At.Errorf("no URL; want that of at least one Alertmanager"))
	}
	for _, e := range raw.Elems() {
		u, err := url.Parse(e.Str())
		switch {
		case e.Kind() != strictjson.String:
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "":
			errs = append(errs, e.At.Errorf("not the URL of an Alertmanager; want http://host:9093 or https://host/prefix"))
		case u.User != nil:
			errs = append(errs, e.At.Errorf("a user in the URL; want username and password beside it"))
		case strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/api/v2/alerts"):
			errs = append(errs, e.At.Errorf("the path of its API; want the URL without /api/v2/alerts"))
		}
	}
	return strictjson.Join(errs...)
}

// authorization is the header that shows who we are; "" for none.
func (c *Config) authorization(raw strictjson.Raw) (string, error) {
	token, user := raw.Member("tokenFile"), raw.Member("username")
	password, err := c.password(raw)
	switch {
	case err != nil:
		return "", err
	case !token.IsZero() && !user.IsZero():
		return "", token.At.Errorf("tokenFile and username; want one of them")
	case token.Kind() == strictjson.String:
		text, err := secret.ReadHeader(c.TokenFile)
		if err != nil {
			return "", token.At.Errorf("%w", err)
		}
		return "Bearer " + text, nil
	case user.IsZero() && password != "":
		return "", raw.Missing("username")
	case user.IsZero():
		return "", nil
	}
	return basic(c.Username, password), nil
}

func (c *Config) password(raw strictjson.Raw) (string, error) {
	file := raw.Member("passwordFile")
	switch {
	case file.Kind() != strictjson.String:
		return string(c.Password), nil
	case !raw.Member("password").IsZero():
		return "", file.At.Errorf("password and passwordFile; want one of them")
	}
	text, err := secret.ReadHeader(c.PasswordFile)
	if err != nil {
		return "", file.At.Errorf("%w", err)
	}
	return text, nil
}

var errKind = errors.New(`want an alert, or a group of them: "outcome":"alert" beside the sink's name`)

// wrongKind is for good.
func wrongKind(o *rules.Outcome) error {
	return sinks.Permanent(fmt.Errorf("alertmanager sink: an outcome of kind %q; %w", o.Kind, errKind))
}
