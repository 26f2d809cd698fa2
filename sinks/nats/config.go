package nats

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"

	"tocsin.internal/internal/clienttls"
	"tocsin.internal/internal/natsconn"
	"tocsin.internal/internal/natsurl"
	"tocsin.internal/internal/secret"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/sinks"
)

// Config says on which server and under which name. All of it may be absent.
type Config struct {
	URL          string          `json:"url"`   // nats://host:port, or several with commas between; absent: the engine's own bus
	Creds        string          `json:"creds"` // a credentials file, for url
	NKey         string          `json:"nkey"`  // a file with the seed of an NKey, for url
	User         string          `json:"user"`  // for url, with password or passwordFile
	Password     secret.Text     `json:"password"`
	PasswordFile string          `json:"passwordFile"` // holds it, read at each connection; a relative name is looked for in $CREDENTIALS_DIRECTORY first
	TLS          clienttls.Files `json:"tls"`          // for url
	Space        string          `json:"space"`        // the name of the installation in every subject, tocsin unless said
	Stream       bool            `json:"stream"`       // an outcome has arrived when a stream there has stored it
	MQTT         bool            `json:"mqtt"`         // the server's MQTT clients get it by the QoS for which they ask, also those that are away
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
	if err := natsurl.Check(c.URL); err != nil && own.Kind() == strictjson.String {
		errs = append(errs, own.At.Errorf("%w", err))
	}
	for _, field := range []string{"creds", "nkey", "user", "tls"} {
		if v := raw.Member(field); own.IsZero() && !v.IsZero() {
			errs = append(errs, v.At.Errorf("%s without a url; want it with one only", field))
		}
	}
	errs = append(errs, c.checkWho(raw), c.TLS.Check(raw.Member("tls")))
	if c.Space == "" {
		errs = append(errs, raw.Member("space").At.Errorf(`got ""; want the name of the installation`))
	}
	if err := strictjson.Join(errs...); err != nil {
		return nil, err
	}
	if c.URL != "" {
		dial = c.dial
	}
	connect := func(ctx context.Context) (*link, error) {
		nc, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return newLink(nc)
	}
	return &sink{c, sinks.NewConnection(connect)}, nil
}

// checkWho wants one way to say who we are.
func (c *Config) checkWho(raw strictjson.Raw) error {
	var errs []error
	first := ""
	for _, field := range []string{"creds", "nkey", "user"} {
		v := raw.Member(field)
		switch {
		case v.IsZero():
		case first != "":
			errs = append(errs, v.At.Errorf("%s and %s; want one of them", first, field))
		default:
			first = field
		}
	}
	user, written, file := raw.Member("user"), raw.Member("password"), raw.Member("passwordFile")
	switch {
	case !written.IsZero() && !file.IsZero():
		errs = append(errs, file.At.Errorf("password and passwordFile; want one of them"))
	case user.IsZero() && !written.IsZero():
		errs = append(errs, written.At.Errorf("password without user; want both"))
	case user.IsZero() && !file.IsZero():
		errs = append(errs, file.At.Errorf("passwordFile without user; want both"))
	case file.Kind() == strictjson.String:
		if _, err := secret.ReadHeader(c.PasswordFile); err != nil {
			errs = append(errs, file.At.Errorf("%w", err))
		}
	}
	return strictjson.Join(errs...)
}

// dial connects to the server of the Config. Nothing is buffered while it is
// away: what was not sent is an error, and comes again.
func (c Config) dial(context.Context) (*nats.Conn, error) {
	o := []nats.Option{
		nats.Name("tocsin sink"), nats.Timeout(dialTimeout), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second),
		nats.IgnoreAuthErrorAbort(), nats.ReconnectBufSize(-1), nats.SetCustomDialer(dialer{}),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // without one it writes to stderr; publish asks LastError
	}
	if c.Creds != "" {
		o = append(o, nats.UserCredentials(c.Creds))
	}
	if c.NKey != "" {
		key, err := nats.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, fmt.Errorf("nkey: %w", err)
		}
		o = append(o, key)
	}
	if c.User != "" {
		o = append(o, nats.UserInfoHandler(c.who))
	}
	config, err := c.TLS.Config()
	if err != nil {
		return nil, err
	}
	if config != nil {
		o = append(o, nats.Secure(config))
	}
	return nats.Connect(c.URL, o...)
}

type dialer struct{}

// Dial implements nats.CustomDialer.
func (dialer) Dial(network, address string) (net.Conn, error) {
	return natsconn.Dial(context.Background(), &net.Dialer{Timeout: dialTimeout}, network, address)
}

// who reads the file anew. A file that cannot be read is a password that the server refuses.
func (c Config) who() (user, password string) {
	if c.PasswordFile == "" {
		return c.User, string(c.Password)
	}
	password, _ = secret.ReadHeader(c.PasswordFile)
	return c.User, password
}
