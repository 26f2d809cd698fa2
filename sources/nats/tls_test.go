package nats_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/sources/sourcetest"
)

// authority writes a certificate that is its own authority, for 127.0.0.1, and
// its key beside it.
func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "cert.pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(path+".key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	return path
}

func TestTLS(t *testing.T) {
	cert := authority(t)
	pair, err := tls.LoadX509KeyPair(cert, cert+".key")
	require.NoError(t, err)
	text, err := os.ReadFile(cert)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(text))
	s := serve(t, func(o *server.Options) {
		o.TLS, o.TLSVerify = true, true
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	})
	r := run(t, open(t, s.ClientURL(), fmt.Sprintf(`,"tls":{"ca":%q,"cert":%q,"key":%q}`, cert, cert, cert+".key")))
	require.NoError(t, waitForSubscription(t.Context(), s))
	nc, err := client.Connect(s.ClientURL(), client.Timeout(time.Minute), client.RootCAs(cert), client.ClientCert(cert, cert+".key"))
	require.NoError(t, err)
	defer nc.Close()
	publish(t, nc, "plant.m1.temp", sourcetest.Data(0))
	assert.Equal(t, sourcetest.Data(0), string(r.Wait(t, 1)[0].Data))
	r.End(t)

	err = open(t, s.ClientURL(), fmt.Sprintf(`,"tls":{"ca":%q}`, cert)).Run(t.Context(), r.Emit)
	require.ErrorContains(t, err, "remote error: tls:", "no client certificate")
	err = open(t, s.ClientURL(), fmt.Sprintf(`,"tls":{"ca":%q,"cert":%q,"key":%q}`, authority(t), cert, cert+".key")).Run(t.Context(), r.Emit)
	require.ErrorContains(t, err, "x509: ", "another authority")
}
