// Package porttest finds ports for the servers of tests.
package porttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// Port is one of [Ports].
func Port(t testing.TB) int {
	t.Helper()
	return Ports(t, 1)[0]
}

// Ports are free ones on 127.0.0.1 for servers that listen later, or again. They
// are below those that a system gives to whoever does not ask for a certain one,
// so that none is taken meanwhile. Who asks here sees by UDP what others have.
func Ports(t testing.TB, n int) []int {
	t.Helper()
	const lowest, several = 10_000, 20_000
	var config net.ListenConfig
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		require.Less(t, tries, several, "no free port")
		port := lowest + rand.IntN(several) //nolint:gosec // nobody gains by guessing it
		address := fmt.Sprintf("127.0.0.1:%d", port)
		mark, err := config.ListenPacket(context.Background(), "udp", address)
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = mark.Close() })
		l, err := config.Listen(context.Background(), "tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		require.NoError(t, l.Close())
		ports = append(ports, port)
	}
	return ports
}
