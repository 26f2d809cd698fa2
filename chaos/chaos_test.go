//go:build unix

package chaos

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// partitions is how many FEED has where the number is not what is proved.
const partitions = 16

// Workers are killed, paused, cut off, stopped and added, the server is
// restarted, at random and in the middle of bursts: the outcomes are those of a
// replay of the same samples, none missing, none twice, each twin's in order.
func TestChaos(t *testing.T) {
	for _, variant := range []struct {
		name, rules, clock string
		named              bool // workers keep their ids
		share              int  // of the samples
	}{
		{"one twin at a time", singleRules, noClock, false, 1},
		{"many twins together", manyRules, noClock, true, 2},
		{"by the clock on the wall", promptRules, wallClock, false, 4},
	} {
		t.Run(variant.name, func(t *testing.T) {
			random := dice(t)
			count := number(t, samplesVariable, 20_000) / variant.share
			dir := place(t)
			s := newSite(t, dir, newWorld(random, variant.rules, min(1000, count/10), count), newServer(t, dir))
			s.bus["partitions"], s.more["clock"], s.named = partitions, variant.clock, variant.named
			if variant.clock == wallClock {
				s.world.happensNow()
			}
			s.storm(random)
		})
	}
}

// clockFormat is how times of day are printed, to be looked up in the logs.
const clockFormat = "15:04:05.000"

// The clocks of the engine.
const (
	noClock   = "off"
	wallClock = "wall"
)

// storm lets workers judge the world's samples while everything happens to them,
// and proves what came out.
func (s *site) storm(random *rand.Rand) {
	packets := s.world.packets(random, partitions)
	rate := min(max(len(packets)/8, 200), 4000) // a second
	for range 3 {
		s.add().ready() // by then the bus knows the twins, which the replay asks for
	}
	link := newProxy(s.t, s.servers[0].address())
	p := newPublisher(s.t, "nats://"+link.address(), packets)
	c := newCollector(s.t, s)
	events := s.plan(random, link, len(packets), rate)
	began := time.Now()
	for _, e := range events {
		require.NoError(s.t, p.paced(s.t.Context(), e.at, rate))
		s.t.Logf("%s packet %d: %s", time.Now().Format(clockFormat), p.next, e.name)
		s.burst(p, rate/2, e)
	}
	require.NoError(s.t, p.upTo(s.t.Context(), len(packets)))
	s.t.Logf("%d events; %s in %.1f s", len(events), p, time.Since(began).Seconds())
	s.prove(c)
}

// prove lets the workers finish, and compares what came out with a replay of FEED.
func (s *site) prove(c *collector) {
	s.t.Helper()
	if s.more["clock"] == wallClock {
		s.stopTheClock()
	}
	feed := s.feed()
	s.sameAsPublished(feed)
	s.verify(c, s.offline(feed))
	worst := c.longest()
	s.t.Logf("%d samples, %d outcomes; the longest time that a partition had none was %s, of partition %d from %s on",
		len(s.world.samples), c.count, worst.length().Round(time.Millisecond), worst.partition, worst.from.Local().Format(clockFormat))
}

// stopTheClock ends the ticks, so that FEED stays as it is: the workers stop, and
// one without a clock judges what they have left.
func (s *site) stopTheClock() {
	s.t.Helper()
	for _, w := range s.workers {
		w.term()
	}
	s.more["clock"] = noClock
	s.add()
}

// burst publishes packets as fast as they go; the event happens among them.
func (s *site) burst(p *publisher, n int, e event) {
	s.t.Helper()
	var g errgroup.Group
	g.Go(func() error { return p.upTo(s.t.Context(), min(p.next+n, len(p.packets))) })
	pass(s.t, e.wait)
	e.do()
	require.NoError(s.t, g.Wait())
}

// offline is what a replay gives for what is in FEED: of the samples as a
// recording, where the rules look at one twin at a time and go by the samples'
// own time; else, because then the order in FEED counts, of the stream itself.
func (s *site) offline(feed []string) *outcomes {
	s.t.Helper()
	want := s.replayStream()
	if s.world.rules != singleRules {
		return want
	}
	recorded := s.replay(feed)
	require.Empty(s.t, difference(recorded.byTwin, want.byTwin))
	return recorded
}

// sameAsPublished proves that FEED has what was published: each sample once,
// and, on a single server, each twin's in their order. A cluster that loses its
// leader may take what was sent later first.
func (s *site) sameAsPublished(feed []string) {
	s.t.Helper()
	want, got := perTwin(s.world.lines()), perTwin(feed)
	if len(s.servers) > 1 {
		for _, lines := range []map[string][]string{want, got} {
			for _, all := range lines {
				slices.Sort(all)
			}
		}
	}
	require.Equal(s.t, want, got)
}

func perTwin(lines []string) map[string][]string {
	out := map[string][]string{}
	for _, line := range lines {
		twin, _, _ := strings.Cut(strings.TrimPrefix(line, `{"twin":"`), `"`)
		out[twin] = append(out[twin], line)
	}
	return out
}
