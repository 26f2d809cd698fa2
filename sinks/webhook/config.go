package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/sinks"
)

// Config says where to post and how. Errors show neither the URL, whose path
// may be a secret, nor the secret, nor the headers' values.
type Config struct {
	URL        text          `json:"url" strict:"required"` // absolute, http or https
	Secret     text          `json:"secret"`                // signs; "whsec_" and the base64 of 24 to 64 bytes
	SecretFile string        `json:"secretFile"`            // holds the secret; a relative name is looked for in $CREDENTIALS_DIRECTORY first
	Headers    headers       `json:"headers"`               // besides ours
	Timeout    time.Duration `json:"timeout"`               // of one attempt, 15s unless said
	Format     string        `json:"format"`                // outcome: the outcome alone, or standard: {"type","timestamp","data"}
}

// The formats of Config.
const (
	outcomeFormat  = "outcome"
	standardFormat = "standard"
)

// text is a string that errors do not show.
type text string

// DecodeStrict implements strictjson.Decoder.
func (s *text) DecodeStrict(raw strictjson.Raw) error {
	if raw.Kind() != strictjson.String {
		return raw.At.Errorf("got %s; want a string", raw.Kind())
	}
	*s = text(raw.Str())
	return nil
}

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
	http.CanonicalHeaderKey(idHeader), http.CanonicalHeaderKey(timestampHeader), http.CanonicalHeaderKey(signatureHeader),
}

// isHeaderName wants a token of RFC 9110.
func isHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// New makes the sink of its Config.
func New(raw strictjson.Raw) (sinks.Sink, error) {
	c := Config{Timeout: defaultTimeout, Format: outcomeFormat}
	err := raw.Decode(&c)
	key, keyErr := c.key(raw)
	host, urlErr := c.host(raw)
	var errs []error
	if c.Timeout <= 0 {
		errs = append(errs, raw.Member("timeout").At.Errorf("got %v; want more than nothing", c.Timeout))
	}
	if c.Format != outcomeFormat && c.Format != standardFormat {
		errs = append(errs, raw.Member("format").At.Errorf("got %q; want outcome or standard", c.Format))
	}
	if err := strictjson.Join(append(errs, err, urlErr, keyErr)...); err != nil {
		return nil, err
	}
	return newSink(c, host, key), nil
}

func (c *Config) host(raw strictjson.Raw) (string, error) {
	at := raw.Member("url")
	if at.Kind() != strictjson.String {
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
	written, file, secret := raw.Member("secret"), raw.Member("secretFile"), string(c.Secret)
	at := written.At
	switch {
	case !written.IsZero() && !file.IsZero():
		return nil, file.At.Errorf("secret and secretFile; want one of them")
	case file.Kind() == strictjson.String:
		at = file.At
		b, err := os.ReadFile(credential(c.SecretFile))
		if err != nil {
			return nil, at.Errorf("%w", err)
		}
		secret = strings.TrimSpace(string(b))
	case written.Kind() != strictjson.String:
		return nil, nil // there is none, or Decode has complained
	}
	key, err := decodeSecret(secret)
	if err != nil {
		return nil, at.Errorf("%w", err)
	}
	return key, nil
}

func decodeSecret(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	if !ok {
		return nil, errors.New("a secret that does not begin with whsec_; want whsec_ and the base64 of 24 to 64 bytes")
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err != nil:
		return nil, errors.New("a secret that is not base64 behind whsec_; want the base64 of 24 to 64 bytes")
	case len(key) < 24 || len(key) > 64:
		return nil, fmt.Errorf("a secret of %d bytes; want 24 to 64", len(key))
	}
	return key, nil
}

// credential finds a secret's file: beside the service's other credentials, if it is there.
func credential(name string) string {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" || filepath.IsAbs(name) {
		return name
	}
	if in := filepath.Join(dir, name); exists(in) {
		return in
	}
	return name
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func (h headers) addTo(header http.Header) { maps.Copy(header, http.Header(h)) }
