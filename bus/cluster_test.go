package bus

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/porttest"
	"tocsin.internal/rules"
)

// cluster starts three servers that know each other.
func cluster(t *testing.T) (url string) {
	t.Helper()
	var routes []string
	var ports []int
	for range 3 {
		ports = append(ports, porttest.Port(t))
		routes = append(routes, "nats://127.0.0.1:"+strconv.Itoa(ports[len(ports)-1]))
	}
	var urls []string
	for i, port := range ports {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprintf("n%d", i), JetStream: true, JetStreamMaxStore: 1 << 40, StoreDir: t.TempDir(), Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port}, Routes: server.RoutesFromStr(strings.Join(routes, ",")),
		})
		require.NoError(t, err)
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		require.True(t, s.ReadyForConnections(patience))
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
	}, patience, 250*time.Millisecond)
	defer b.Close()
	names := twinsOf(b)
	for i := range 6 {
		eventually(t, func() bool {
			return b.Put(t.Context(), fmt.Sprint("call ", i), []rules.Sample{sample(names[i%2], i)}) == nil
		}, "a sample is stored, although leaders may change")
	}
	var first Revision
	eventually(t, func() (ok bool) {
		var err error
		first, err = b.SaveSnapshot(t.Context(), 0, 4, []byte("first"), 0)
		return err == nil
	}, "a snapshot is saved")
	_, err := b.ClaimSnapshot(t.Context(), 0, first)
	require.NoError(t, err)
	_, err = b.SaveSnapshot(t.Context(), 0, 5, []byte("too late"), first)
	require.ErrorIs(t, err, ErrOvertaken)
	judgedOf(t, b, 1, 6)
	assert.Equal(t, uint64(5), firstAfterRoom(t, b))
	writeOutcomes(t, b, 3)
	untilOutHas(t, b, 1)
	state, _, err := b.LoadSnapshot(t.Context(), 0)
	require.NoError(t, err)
	assert.Equal(t, "first", string(state))
}
