//go:build unix

package brokertest_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/brokertest"
)

// TestComesBack proves that a broker which was killed is gone, and that it comes
// back at the same place. The tests of sources and sinks do so with the other brokers.
func TestComesBack(t *testing.T) {
	b := brokertest.Mosquitto(t)
	talk := func() error {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.Address)
		if err == nil {
			err = c.Close()
		}
		return err
	}
	require.NoError(t, talk())
	b.Kill()
	require.Error(t, talk())
	b.Start(t)
	require.NoError(t, talk())
}
