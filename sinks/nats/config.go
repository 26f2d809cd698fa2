package nats

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/sinks"
)

// Config says on which server and under which name. All of it may be absent.
type Config struct {
	URL   string `json:"url"`   // nats://host:port, or several with commas between; absent: the engine's own bus
	Creds string `json:"creds"` // a credentials file, for url
	TLS   TLS    `json:"tls"`   // for url
	Space string `json:"space"` // the name of the installation in every subject, tocsin unless said
}

// TLS names PEM files. Any of them asks for TLS.
type TLS struct {
	CA   string `json:"ca"`
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

const defaultSpace = "tocsin"

// New makes the sink of its Config, which may be absent. dial makes a
// connection to the engine's own bus, which is used, and closed at the end, when
// the Config has no url.
func New(raw strictjson.Raw, dial func(context.Context) (*nats.Conn, error)) (sinks.Sink, error) {
	c := Config{Space: defaultSpace}
	var errs []error
	if !raw.IsZero() {
		errs = append(errs, raw.Decode(&c))
	}
	own := raw.Member("url")
	if own.Kind() == strictjson.String && !isServer(c.URL) {
		errs = append(errs, own.At.Errorf("not the address of a NATS server; want nats://host:port, or several with commas between"))
	}
	for _, field := range []string{"creds", "tls"} {
		if v := raw.Member(field); own.IsZero() && !v.IsZero() {
			errs = append(errs, v.At.Errorf("%s without a url; want it with one only", field))
		}
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		errs = append(errs, raw.Member("tls").At.Errorf("a certificate and its key go together; want both or none"))
	}
	if c.Space == "" {
		errs = append(errs, raw.Member("space").At.Errorf(`got ""; want the name of the installation`))
	}
	if err := strictjson.Join(errs...); err != nil {
		return nil, err
	}
	if c.URL != "" {
		dial = c.dial
	}
	return &sink{dial: dial, space: token(c.Space), turn: make(chan struct{}, 1)}, nil
}

// isServer wants addresses that the client can use. No message shows them: they may hold a password.
func isServer(text string) bool {
	for server := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return false
		}
	}
	return true
}

// dial connects to the server of the Config. Nothing is buffered while it is
// away: what was not sent is an error, and comes again.
func (c Config) dial(context.Context) (*nats.Conn, error) {
	o := []nats.Option{
		nats.Name("tocsin sink"), nats.Timeout(dialTimeout), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second),
		nats.IgnoreAuthErrorAbort(), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // without one it writes to stderr; publish asks LastError
	}
	if c.Creds != "" {
		o = append(o, nats.UserCredentials(c.Creds))
	}
	if c.TLS.CA != "" {
		o = append(o, nats.RootCAs(c.TLS.CA))
	}
	if c.TLS.Cert != "" {
		o = append(o, nats.ClientCert(c.TLS.Cert, c.TLS.Key))
	}
	return nats.Connect(c.URL, o...)
}
