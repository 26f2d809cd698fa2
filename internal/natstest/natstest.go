// Package natstest starts NATS servers for tests.
package natstest

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tocsin.internal/internal/leaktest"
)

// patience bounds how long a server may take until it has connections.
const patience = time.Minute

// Serve starts a server that ends with the test.
func Serve(t testing.TB, o *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(o)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(patience))
	return s
}

// Deployed starts a server as config, the path of deploy/nats/nats-server.conf,
// has it, but on any port. The password of a user is "of-" and its name.
func Deployed(t *testing.T, config string) *server.Server {
	t.Helper()
	for _, user := range []string{"engine", "machine_1", "pager", "console"} {
		t.Setenv(strings.ToUpper(user)+"_PASSWORD", "of-"+user)
	}
	o, err := server.ProcessConfigFile(config)
	require.NoError(t, err)
	o.Host, o.Port, o.StoreDir, o.NoLog, o.NoSigs = "127.0.0.1", server.RANDOM_PORT, t.TempDir(), true, true
	return Serve(t, o)
}

// Main is [leaktest.Main], but for what outlives a server (nats-server v2.15.2):
// its wait for the answer when a stream asks its source for messages.
func Main(m *testing.M, known ...goleak.Option) {
	leaktest.Main(m, append(known, goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"))...)
}
