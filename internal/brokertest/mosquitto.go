//go:build unix

package brokertest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/porttest"
)

// MQTT is a broker with the user guest, whose password is guest and who may
// publish everywhere but on forbidden/#. It takes packets of up to 100,000 bytes.
type MQTT struct {
	*Broker
	URL     string
	TLS     string // the URL with TLS
	CA      string // the file that knows its certificate
	Address string // host:port of URL
}

const mosquittoConfig = `user root
listener %d 127.0.0.1
listener %d 127.0.0.1
certfile %[3]s
keyfile %[4]s
allow_anonymous false
password_file %[5]s
acl_file %[6]s
persistence true
persistence_location %[7]s/
autosave_on_changes true
autosave_interval 1
max_packet_size 100000
`

// Mosquitto starts one.
func Mosquitto(t testing.TB) *MQTT {
	t.Helper()
	program := Find(t, "mosquitto", "mosquitto", "/usr/sbin/mosquitto")
	ports := porttest.Ports(t, 2)
	b := &Broker{Dir: t.TempDir(), program: program, ports: ports}
	passwords := b.File(t, "passwords", "guest:guest\n")
	out, err := exec.CommandContext(context.Background(), Find(t, "mosquitto", "mosquitto_passwd"), "-U", passwords).CombinedOutput()
	require.NoError(t, err, "%s", out)
	rights := b.File(t, "rights", "user guest\ntopic readwrite #\ntopic deny forbidden/#\n")
	cert, key := Certificate(t, b.Dir)
	config := b.File(t, "mosquitto.conf", fmt.Sprintf(mosquittoConfig, ports[0], ports[1], cert, key, passwords, rights, b.Dir))
	b.args = []string{"-c", config}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	return &MQTT{b.run(t), "mqtt://" + address, fmt.Sprintf("mqtts://127.0.0.1:%d", ports[1]), cert, address}
}

// Certificate makes one for 127.0.0.1 that signs itself, in a folder.
func Certificate(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	secret, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	b := &Broker{Dir: dir}
	cert = b.File(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return cert, b.File(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})))
}
