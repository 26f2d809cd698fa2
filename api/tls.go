package api

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// TLS are the PEM files by which a server proves who it is; the zero TLS is plain
// HTTP.
type TLS struct {
	Cert, Key string
	ClientCA  string // who has signed for the clients that may connect; "": any client may
}

// lookAgain is how often the files are looked at, at most.
const lookAgain = time.Second

// certificates are those in the files as they are now. Files that cannot be used
// leave the last good ones in place.
type certificates struct {
	name  string // of the settings
	files TLS
	log   zerolog.Logger
	now   func() time.Time

	mu     sync.Mutex
	looked time.Time
	stamps []stamp // of the files that were read last
	config *tls.Config
	expiry time.Time
	failed bool
}

// stamp is how a file looks from outside.
type stamp struct {
	modified time.Time
	size     int64
}

// newCertificates reads the files; nil where there are none.
func newCertificates(name string, files TLS, log zerolog.Logger) (*certificates, error) {
	if files == (TLS{}) {
		return nil, nil
	}
	c := &certificates{name: name, files: files, log: log, now: time.Now}
	c.stamps = c.stamp()
	c.looked = c.now()
	return c, c.load()
}

// Listen listens for connections that are no HTTP, with TLS where files are named.
// name is that of the settings, and the address is name.listen.
func Listen(name, address string, files TLS, log zerolog.Logger) (net.Listener, error) {
	certs, err := newCertificates(name+".tls", files, log)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s.listen: %w", name, err)
	}
	if certs == nil {
		return l, nil
	}
	return tls.NewListener(l, certs.server()), nil
}

// ServerTLS is the configuration of a listener that others open; nil where no files
// are named. name is that of the settings.
func ServerTLS(name string, files TLS, log zerolog.Logger) (*tls.Config, error) {
	certs, err := newCertificates(name, files, log)
	if certs == nil || err != nil {
		return nil, err
	}
	return certs.server(), nil
}

// server is the configuration of a listener.
func (c *certificates) server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current(), nil }}
}

// current is the configuration for a client that connects now.
func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= lookAgain {
		c.looked = now
		if stamps := c.stamp(); !slices.Equal(stamps, c.stamps) {
			c.stamps = stamps
			c.reload()
		}
	}
	return c.config
}

func (c *certificates) reload() {
	if err := c.load(); err != nil {
		c.failed = true
		c.log.Error().Err(err).Msg("certificate refused; the last good one is used further")
		return
	}
	c.failed = false
	c.log.Info().Time("expires", c.expiry).Str("cert", c.files.Cert).Msg("certificate read again")
}

func (c *certificates) stamp() (out []stamp) {
	for _, name := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		var s stamp
		if info, err := os.Stat(name); err == nil {
			s = stamp{info.ModTime(), info.Size()}
		}
		out = append(out, s)
	}
	return out
}

// load makes the configuration of what is in the files.
func (c *certificates) load() error {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if c.files.ClientCA != "" {
		text, err := os.ReadFile(c.files.ClientCA)
		if err != nil {
			return fmt.Errorf("%s.clientCA: %w", c.name, err)
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("%s.clientCA: no certificate in %s", c.name, c.files.ClientCA)
		}
	}
	c.config, c.expiry = config, pair.Leaf.NotAfter
	return nil
}

// state is when the certificate expires, and whether the newest files are in use.
func (c *certificates) state() (expiry time.Time, good bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.expiry, !c.failed
}
