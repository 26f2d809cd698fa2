// Package clienttls reads the files of a TLS connection to a server.
package clienttls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"tocsin.internal/internal/strictjson"
)

// Files names PEM files: who may have signed the server's certificate, and a
// certificate of our own with its key.
type Files struct {
	CA   string `json:"ca"`
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// Check wants a certificate and its key, or neither.
func (f Files) Check(raw strictjson.Raw) error {
	if (f.Cert == "") != (f.Key == "") {
		return raw.At.Errorf("a certificate and its key go together; want both or none")
	}
	return nil
}

// Config reads the files; nil when there are none.
func (f Files) Config() (*tls.Config, error) {
	if (f == Files{}) {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("tls ca: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls ca: no certificate in %s", f.CA)
		}
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("tls: want both cert and key, or neither")
	}
	if f.Cert != "" {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("tls cert: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
