package bus

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// cluster starts three servers that know each other.
func cluster(t *testing.T) (url string) {
	t.Helper()
	var routes []string
	var ports []int
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close() //nolint:errcheck // twice is an error
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, "nats://127.0.0.1:"+strconv.Itoa(ports[len(ports)-1]))
		require.NoError(t, l.Close())
	}
	var urls []string
	for i, port := range ports {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprintf("n%d", i), JetStream: true, StoreDir: t.TempDir(), Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port}, Routes: server.RoutesFromStr(strings.Join(routes, ",")),
		})
		require.NoError(t, err)
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		require.True(t, s.ReadyForConnections(30*time.Second))
		urls = append(urls, s.ClientURL())
	}
	return strings.Join(urls, ",")
}

// Replicated streams have error codes and answers of their own.
func TestSnapshotsAndRoomOnACluster(t *testing.T) {
	c := Config{URL: cluster(t), Replicas: 3, Partitions: 2, ReplayWindow: time.Nanosecond}
	var b *Bus
	require.Eventually(t, func() (ok bool) {
		var err error
		b, err = Open(t.Context(), c)
		return err == nil
	}, 60*time.Second, 250*time.Millisecond)
	defer b.Close()
	names := twinsOf(b)
	for i := range 6 {
		require.NoError(t, b.Put(t.Context(), "", []rules.Sample{sample(names[i%2], i)}))
	}
	first, err := b.SaveSnapshot(t.Context(), 0, 4, []byte("first"), 0)
	require.NoError(t, err)
	_, err = b.ClaimSnapshot(t.Context(), 0, first)
	require.NoError(t, err)
	_, err = b.SaveSnapshot(t.Context(), 0, 5, []byte("too late"), first)
	require.ErrorIs(t, err, ErrOvertaken)
	judgedOf(t, b, 1, 6)
	assert.Equal(t, uint64(5), firstAfterRoom(t, b))
	writeOutcomes(t, b, 3)
	require.NoError(t, b.MakeRoom(t.Context()))
	info, err := b.out.Info(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uint64(1), info.State.Msgs)
	state, _, err := b.LoadSnapshot(t.Context(), 0)
	require.NoError(t, err)
	assert.Equal(t, "first", string(state))
}
