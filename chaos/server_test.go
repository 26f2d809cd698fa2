//go:build unix

package chaos

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/porttest"
)

// startPatience is how long a process may take until it answers.
const startPatience = 3 * time.Minute

// server is a nats-server with JetStream in a folder of its own.
type server struct {
	process
	port int
}

// newServer starts a server by itself.
func newServer(t *testing.T, dir string) *server {
	t.Helper()
	s := makeServer(t, dir, "nats", porttest.Port(t), "")
	s.start()
	s.ready()
	return s
}

// newCluster starts servers that replicate to each other.
func newCluster(t *testing.T, dir string, size int) []*server {
	t.Helper()
	var routes []string
	for range size {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", porttest.Port(t)))
	}
	servers := make([]*server, size)
	for i := range servers {
		cluster := fmt.Sprintf("cluster { name: proof, listen: %q, no_advertise: true, routes: [%s] }\n",
			strings.TrimPrefix(routes[i], "nats://"), strings.Join(routes, ", "))
		servers[i] = makeServer(t, dir, fmt.Sprint("nats-", i), porttest.Port(t), cluster)
		servers[i].start()
	}
	for _, s := range servers {
		s.ready()
	}
	_, js := connect(t, servers[0].url())
	until(t, startPatience, "places for replicas", func() bool {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FORMED", Subjects: []string{"formed"}, Replicas: size})
		return err == nil
	})
	until(t, startPatience, "the end of the stream", func() bool {
		err := js.DeleteStream(t.Context(), "FORMED")
		return err == nil || errors.Is(err, jetstream.ErrStreamNotFound)
	})
	return servers
}

func makeServer(t *testing.T, dir, name string, port int, cluster string) *server {
	t.Helper()
	config := fmt.Sprintf("server_name: %s\nlisten: \"127.0.0.1:%d\"\njetstream { store_dir: %q, max_memory_store: 1GB, max_file_store: 32GB }\n%s",
		name, port, filepath.Join(dir, name), cluster)
	s := &server{port: port}
	s.process = process{
		t: t, name: name, path: natsBinary(t), log: filepath.Join(dir, name+".log"),
		args: []string{"-c", write(t, dir, name+".conf", config)},
	}
	t.Cleanup(s.kill)
	return s
}

func (s *server) url() string { return fmt.Sprint("nats://", s.address()) }

func (s *server) address() string { return fmt.Sprint("127.0.0.1:", s.port) }

// ready waits until the server's JetStream answers: in a cluster, until there
// is a leader.
func (s *server) ready() {
	s.t.Helper()
	until(s.t, startPatience, s.name, func() bool { return s.ask() == nil })
}

func (s *server) ask() error {
	nc, err := nats.Connect(s.url(), nats.NoReconnect())
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	_, err = js.AccountInfo(s.t.Context())
	return err
}

// restart ends the server, kindly or not, and starts it again after a while.
func (s *server) restart(kindly bool, down time.Duration) {
	s.t.Helper()
	if kindly {
		s.term()
	} else {
		s.kill()
	}
	pass(s.t, down)
	s.start()
	s.ready()
}

// until looks, in the test's own goroutine, until it sees what it waits for.
func until(t *testing.T, patience time.Duration, what string, seen func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !seen(); pass(t, 10*time.Millisecond) {
		if time.Now().After(end) {
			require.Fail(t, fmt.Sprintf("waited %s for %s in vain", patience, what))
		}
	}
}

// pass lets time pass: events of a proof have a length.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// connect makes a connection that comes back whatever happens to the servers.
func connect(t *testing.T, url string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectBufSize(-1), nats.Timeout(startPatience))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return nc, js
}
