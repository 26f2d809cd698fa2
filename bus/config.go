package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"
)

// Durability says when the embedded server asks the disk to keep what it wrote.
type Durability string

// The durabilities. A killed process loses nothing in any of them; they differ
// in what a power cut can take.
const (
	Fast     Durability = "fast"     // every two minutes
	Interval Durability = "interval" // every second
	Always   Durability = "always"   // before a message is acknowledged
)

// Config says where the bus is. The zero Config is an embedded server with its
// data in ./data that listens nowhere.
type Config struct {
	Dir        string     // embedded: where the data is; default "data"
	Listen     string     // embedded: host:port for other clients; "" = none
	Durability Durability // embedded: default Interval

	URL   string // an external server, or several separated by commas; "" = embedded
	Creds string // external: path of a credentials file
	TLS   TLS    // external

	Partitions     int           // of FEED, 1 to 64, fixed when the stream is made; default 16
	FeedMaxBytes   int64         // default 2 GiB; what was accepted stays until it was judged
	OutMaxBytes    int64         // default 2 GiB
	DeadMaxBytes   int64         // default 128 MiB; the oldest dead letters go first
	AlertsMaxBytes int64         // of the alerts' history, default 1 GiB; the oldest events go first
	AlertsMaxAge   time.Duration // of the alerts' history, default 30 days
	ReplayWindow   time.Duration // how long judged samples are kept for replays; default 24 h
	Replicas       int           // of the streams; default 1
}

// TLS names the files of a TLS connection. The zero TLS asks for none.
type TLS struct {
	CA, Cert, Key string
}

// ErrConfig is what the error wraps when the configuration itself cannot be used.
var ErrConfig = errors.New("bus")

// Check says what is wrong with the configuration itself.
func (c Config) Check() error {
	_, err := c.withDefaults()
	return err
}

// withDefaults checks the configuration and fills in what it leaves out.
func (c Config) withDefaults() (Config, error) {
	set := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.FeedMaxBytes, 2<<30)
	set(&c.OutMaxBytes, 2<<30)
	set(&c.DeadMaxBytes, 128<<20)
	set(&c.AlertsMaxBytes, 1<<30)
	if c.Dir == "" {
		c.Dir = "data"
	}
	if c.Durability == "" {
		c.Durability = Interval
	}
	if c.Partitions == 0 {
		c.Partitions = 16
	}
	if c.ReplayWindow == 0 {
		c.ReplayWindow = 24 * time.Hour
	}
	if c.AlertsMaxAge == 0 {
		c.AlertsMaxAge = 30 * 24 * time.Hour
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	switch {
	case c.Durability != Fast && c.Durability != Interval && c.Durability != Always:
		return c, fmt.Errorf("durability %q; want %s, %s or %s", c.Durability, Fast, Interval, Always)
	case c.Partitions < 1 || c.Partitions > 64:
		return c, fmt.Errorf("%d partitions; want 1 to 64", c.Partitions)
	case c.Replicas < 1 || c.Replicas > 5:
		return c, fmt.Errorf("%d replicas; want 1 to 5", c.Replicas)
	case c.AlertsMaxAge < time.Minute:
		return c, fmt.Errorf("a history of alerts of %s; want at least 1m", c.AlertsMaxAge)
	case min(c.FeedMaxBytes, c.OutMaxBytes, c.DeadMaxBytes, c.AlertsMaxBytes) < 1<<20:
		return c, errors.New("a stream of less than 1 MiB; want more")
	case c.URL == "" && (c.Creds != "" || c.TLS != TLS{}):
		return c, errors.New("credentials or TLS without a url; the embedded server takes neither")
	case c.URL != "" && c.Listen != "":
		return c, errors.New("both url and listen; want url for an external server or listen for the embedded one")
	}
	return c, nil
}

func (t TLS) config() (*tls.Config, error) {
	if (t == TLS{}) {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls ca: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls ca: no certificate in %s", t.CA)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, errors.New("tls: want both cert and key, or neither")
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls cert: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
