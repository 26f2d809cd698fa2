//go:build unix

package chaos

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// The server of a cluster that leads a stream is killed in the middle of a
// burst, and comes back: the outcomes are those of a replay.
func TestClusterLosesItsLeader(t *testing.T) {
	random := dice(t)
	count := number(t, samplesVariable, 10_000)
	dir := place(t)
	s := newSite(t, dir, newWorld(random, singleRules, min(1000, count/10), count), newCluster(t, dir, 3)...)
	s.bus["partitions"], s.bus["replicas"] = partitions, 3
	for range 2 {
		s.add().ready()
	}
	packets := s.world.packets(random, partitions)
	p := newPublisher(t, s.urls(), packets)
	c := newCollector(t, s)
	for i, stream := range []string{"OUT", "FEED"} {
		require.NoError(t, p.paced(t.Context(), len(packets)*(2*i+1)/5, len(packets)/10))
		leader := s.leader(stream)
		var killed time.Time
		s.burst(p, len(packets)/10, event{wait: time.Duration(random.IntN(30)) * time.Millisecond, do: func() {
			killed = time.Now()
			leader.kill()
		}})
		t.Logf("%s, the leader of %s, was killed; the publisher went on after %s", leader.name, stream, time.Since(killed).Round(time.Millisecond))
		require.NoError(t, p.paced(t.Context(), len(packets)*(2*i+2)/5, len(packets)/10))
		leader.start()
		leader.ready()
		s.inSync(stream)
	}
	require.NoError(t, p.paced(t.Context(), len(packets), len(packets)/10))
	t.Log(p)
	s.prove(c)
}

// leader is the server that leads a stream.
func (s *site) leader(stream string) *server {
	s.t.Helper()
	_, js := connect(s.t, s.urls())
	var found *server
	until(s.t, startPatience, "a leader of "+stream, func() bool {
		found = s.leads(js, stream)
		return found != nil
	})
	return found
}

func (s *site) leads(js jetstream.JetStream, stream string) *server {
	info, err := js.Stream(s.t.Context(), stream)
	if err != nil {
		return nil
	}
	for _, server := range s.servers {
		if server.name == info.CachedInfo().Cluster.Leader {
			return server
		}
	}
	return nil
}

// inSync waits until every replica of a stream has caught up: a second server
// may be lost only then.
func (s *site) inSync(stream string) {
	s.t.Helper()
	_, js := connect(s.t, s.urls())
	until(s.t, startPatience, "replicas of "+stream, func() bool {
		info, err := js.Stream(s.t.Context(), stream)
		if err != nil {
			return false
		}
		for _, peer := range info.CachedInfo().Cluster.Replicas {
			if !peer.Current || peer.Offline {
				return false
			}
		}
		return info.CachedInfo().Cluster.Leader != ""
	})
}
