package webhook

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tocsin.internal/internal/outbound"
	"tocsin.internal/internal/secret"
	"tocsin.internal/internal/standardwebhooks"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/letter"
)

// Config says where to post and how. Errors show neither the URL, whose path
// may be a secret, nor the secret, nor the headers' values.
type Config struct {
	URL        secret.Text    `json:"url"`        // absolute, http or https; pagerduty has one of its own
	Secret     secret.Text    `json:"secret"`     // signs; "whsec_" and the base64 of 24 to 64 bytes
	SecretFile string         `json:"secretFile"` // holds the secret; a relative name is looked for in $CREDENTIALS_DIRECTORY first
	Headers    headers        `json:"headers"`    // besides ours
	Timeout    time.Duration  `json:"timeout"`    // of one attempt, 15s unless said
	Format     string         `json:"format"`     // one of formats
	Guard      bool           `json:"guard"`      // refuse to reach what is not on the public internet
	Allow      []string       `json:"allow"`      // with guard: networks, addresses, host:port that may be reached all the same
	Link       strictjson.Raw `json:"link"`       // template: the URL of a page about the outcome

	Mode        string         `json:"mode"`        // cloudevents: structured or binary
	Source      string         `json:"source"`      // cloudevents and pagerduty: who we are, /tocsin unless said
	Space       string         `json:"space"`       // alertmanager: a label
	Body        strictjson.Raw `json:"body"`        // template: what is posted
	ContentType string         `json:"contentType"` // template: of body; application/json unless said

	RoutingKey     secret.Text `json:"routingKey"` // pagerduty: of the integration
	RoutingKeyFile string      `json:"routingKeyFile"`
}

// belongs is which format each field is for; the others are for all.
var belongs = map[string][]string{
	"mode": {"cloudevents"}, "source": {"cloudevents", "pagerduty"}, "space": {"alertmanager"}, "body": {"template"}, "contentType": {"template"},
	"routingKey": {"pagerduty"}, "routingKeyFile": {"pagerduty"}, "link": {"alertmanager", "pagerduty", "slack", "teams"},
}

// The modes of CloudEvents over HTTP.
const (
	structured = "structured"
	binary     = "binary"
)

// headers are names and values that errors do not show.
type headers http.Header

// DecodeStrict implements strictjson.Decoder.
func (h *headers) DecodeStrict(raw strictjson.Raw) error {
	if raw.Kind() != strictjson.Object {
		return raw.At.Errorf("got %s; want an object", raw.Kind())
	}
	*h = headers{}
	var errs []error
	for _, m := range raw.Members() {
		name := http.CanonicalHeaderKey(m.Name)
		switch value := m.Value; {
		case !isHeaderName(m.Name):
			errs = append(errs, m.Key.Errorf("%q is not the name of a header", m.Name))
		case slices.Contains(ours, name):
			errs = append(errs, m.Key.Errorf("header %s is written here; want others", name))
		case (*h)[name] != nil:
			errs = append(errs, m.Key.Errorf("duplicate header %s; want each name once", name))
		case value.Kind() != strictjson.String:
			errs = append(errs, value.At.Errorf("got %s; want a string", value.Kind()))
		case strings.ContainsFunc(value.Str(), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			errs = append(errs, value.At.Errorf("a control character in the value of header %s; want none", name))
		default:
			(*h)[name] = []string{value.Str()}
		}
	}
	return strictjson.Join(errs...)
}

// ours are the headers that an attempt has anyway.
var ours = []string{
	"Connection", "Content-Length", "Content-Type", "Host", "Transfer-Encoding",
	http.CanonicalHeaderKey(standardwebhooks.IDHeader), http.CanonicalHeaderKey(standardwebhooks.TimestampHeader), http.CanonicalHeaderKey(standardwebhooks.SignatureHeader),
}

// isHeaderName wants a token of RFC 9110.
func isHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// New makes the sink of its Config, for outcomes of the kinds; of every kind when
// none is given.
func New(raw strictjson.Raw, kinds ...rules.Kind) (sinks.Sink, error) {
	c := Config{Timeout: defaultTimeout, Format: "outcome", Mode: structured, Source: "/tocsin", Space: "tocsin", ContentType: "application/json"}
	errs := []error{raw.Decode(&c)}
	note := func(err error) { errs = append(errs, err) }
	key, err := c.key(raw)
	note(err)
	if raw.Member("url").IsZero() && c.Format == "pagerduty" {
		c.URL = pagerDuty
	}
	host, err := c.host(raw)
	note(err)
	if c.Timeout <= 0 {
		note(raw.Member("timeout").At.Errorf("got %v; want more than nothing", c.Timeout))
	}
	write, known := formats[c.Format]
	if !known {
		note(raw.Member("format").At.Errorf("no format %q%s", c.Format, strictjson.OneOf(c.Format, slices.Sorted(maps.Keys(formats)))))
	}
	guard, err := c.guard(raw)
	note(err)
	var l letters
	if known {
		note(c.fits(raw, kinds))
		l, err = c.letters(raw, kinds)
		note(err)
	}
	if err := strictjson.Join(errs...); err != nil {
		return nil, err
	}
	return &sink{c, host, key, write, l, newClient(), guard}, nil
}

// guard keeps the URL from leading into our own network; nil without one.
func (c *Config) guard(raw strictjson.Raw) (*outbound.Client, error) {
	list := raw.Member("allow")
	if !c.Guard && !list.IsZero() {
		return nil, list.At.Errorf(`allow without a guard; want "guard":true beside it`)
	}
	if !c.Guard {
		return nil, nil
	}
	allow, i, err := outbound.ReadAllow(c.Allow)
	if err != nil {
		return nil, list.Elems()[i].At.Errorf("%w", err)
	}
	return outbound.New(allow), nil
}

// fits says what of the configuration does not go with its format.
func (c *Config) fits(raw strictjson.Raw, kinds []rules.Kind) error {
	var errs []error
	for _, m := range raw.Members() {
		if of, only := belongs[m.Name]; only && !slices.Contains(of, c.Format) {
			errs = append(errs, m.Key.Errorf("%s in format %s; want it with %s only", m.Name, c.Format, strings.Join(of, ", ")))
		}
	}
	isOther := func(k rules.Kind) bool { return k != rules.Alert && k != rules.Notification }
	if aboutAlerts[c.Format] && (len(kinds) == 0 || slices.ContainsFunc(kinds, isOther)) {
		errs = append(errs, raw.Member("format").At.Errorf(`format %s of a sink that gets more than alerts; want "outcome":"alert" beside its name`, c.Format))
	}
	if c.Mode != structured && c.Mode != binary {
		errs = append(errs, raw.Member("mode").At.Errorf("no mode %q%s", c.Mode, strictjson.OneOf(c.Mode, []string{structured, binary})))
	}
	if u, err := url.Parse(c.Source); err != nil || u.String() == "" || c.Source != u.String() {
		errs = append(errs, raw.Member("source").At.Errorf("got %q; want a URI reference such as /tocsin/brno", c.Source))
	}
	return strictjson.Join(errs...)
}

// letters are the templates of a Config, and the key that PagerDuty wants.
type letters struct {
	body, link *letter.Template // nil: there is none
	routing    string
}

func (c *Config) letters(raw strictjson.Raw, kinds []rules.Kind) (l letters, err error) {
	var errs []error
	if !c.Link.IsZero() {
		l.link, err = letter.Text(c.Link, letter.CheckLink, kinds...)
		errs = append(errs, err)
	}
	switch c.Format {
	case "template":
		if c.Body.IsZero() {
			errs = append(errs, raw.Missing("body"))
			break
		}
		check, err := checkContent(c.ContentType)
		if err != nil {
			errs = append(errs, raw.Member("contentType").At.Errorf("%w", err))
		}
		l.body, err = letter.Text(c.Body, check, kinds...)
		errs = append(errs, err)
	case "pagerduty":
		l.routing, err = c.routing(raw)
		errs = append(errs, err)
	}
	return l, strictjson.Join(errs...)
}

// routing is the key of a PagerDuty integration. Errors do not show it.
func (c *Config) routing(raw strictjson.Raw) (string, error) {
	written, file := raw.Member("routingKey"), raw.Member("routingKeyFile")
	key, at := string(c.RoutingKey), written.At
	switch {
	case written.IsZero() && file.IsZero():
		return "", raw.Missing("routingKey")
	case !written.IsZero() && !file.IsZero():
		return "", file.At.Errorf("routingKey and routingKeyFile; want one of them")
	case !file.IsZero():
		at = file.At
		var err error
		if key, err = secret.ReadHeader(c.RoutingKeyFile); err != nil {
			return "", at.Errorf("%w", err)
		}
	}
	if key == "" {
		return "", at.Errorf("an empty key; want that of an Events API v2 integration")
	}
	return key, nil
}

// checkContent says how a body of the type is checked; nil: not at all.
func checkContent(contentType string) (func(string) error, error) {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.Contains(media, "/") {
		return nil, fmt.Errorf("got %q; want a media type such as application/json", contentType)
	}
	if media != "application/json" && !strings.HasSuffix(media, "+json") {
		return nil, nil
	}
	return func(body string) error {
		if !json.Valid([]byte(body)) {
			return fmt.Errorf("%.60q is not JSON; want texts in it as {{json .summary}}", body)
		}
		return nil
	}, nil
}

func (c *Config) host(raw strictjson.Raw) (string, error) {
	at := raw.Member("url")
	switch {
	case at.IsZero() && c.URL == "":
		return "", raw.Missing("url")
	case !at.IsZero() && at.Kind() != strictjson.String:
		return "", nil // Decode has complained
	}
	u, err := url.Parse(string(c.URL))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", at.At.Errorf("not an absolute URL; want http://host/path or https://host/path")
	case u.User != nil:
		return "", at.At.Errorf("a user in the URL; want an Authorization header in headers")
	}
	return u.Host, nil
}

// key is what signs; nil without a secret.
func (c *Config) key(raw strictjson.Raw) ([]byte, error) {
	written, file, text := raw.Member("secret"), raw.Member("secretFile"), string(c.Secret)
	at := written.At
	switch {
	case !written.IsZero() && !file.IsZero():
		return nil, file.At.Errorf("secret and secretFile; want one of them")
	case file.Kind() == strictjson.String:
		at = file.At
		var err error
		if text, err = secret.Read(c.SecretFile); err != nil {
			return nil, at.Errorf("%w", err)
		}
	case written.Kind() != strictjson.String:
		return nil, nil // there is none, or Decode has complained
	}
	key, err := standardwebhooks.DecodeSecret(text)
	if err != nil {
		return nil, at.Errorf("%w", err)
	}
	return key, nil
}

func (h headers) addTo(header http.Header) { maps.Copy(header, http.Header(h)) }
