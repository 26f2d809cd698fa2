//go:build unix

package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// Every worker is away while devices go on sharing: FEED keeps all of it, and
// the workers judge it when they come back.
func TestWeekend(t *testing.T) {
	s, random := newPool(t, 20_000)
	for range 2 {
		s.add().ready()
	}
	packets := s.world.packets(random, partitions)
	p := newPublisher(t, s.urls(), packets)
	c := newCollector(t, s)
	require.NoError(t, p.upTo(t.Context(), len(packets)/10))
	s.workers[0].kill()
	s.workers[1].term()
	require.NoError(t, p.upTo(t.Context(), len(packets)*9/10))
	s.servers[0].restart(true, 0)
	back := time.Now()
	for _, w := range s.workers {
		w.launch()
	}
	for _, w := range s.workers {
		w.ready()
	}
	t.Logf("ready %s after the workers had come back, with %d packets to judge", time.Since(back).Round(time.Millisecond), len(packets)*8/10)
	require.NoError(t, p.upTo(t.Context(), len(packets)))
	s.prove(c)
}

// A FEED that is full takes nothing more and says so; when the workers are back
// there is room again. What was acknowledged is judged.
func TestFullFeedHoldsThePublisherBack(t *testing.T) {
	s, random := newPool(t, 20_000)
	s.bus["streams"] = map[string]any{"feed": map[string]any{"maxBytes": max(1<<20, 70*len(s.world.samples))}}
	s.add().ready()
	s.workers[0].term()
	packets := s.world.packets(random, partitions)
	p := newPublisher(t, s.urls(), packets)
	p.window = 1 // a small message would find a place where a large one before it did not
	c := newCollector(t, s)
	var g errgroup.Group
	g.Go(func() error { return p.upTo(t.Context(), len(packets)) })
	until(t, readPatience, "a full FEED", func() bool { return p.full.Load() > 20 })
	stored := p.stored.Load()
	t.Logf("FEED was full with %d of %d packets", stored, len(packets))
	assert.Less(t, stored, int64(len(packets)))
	for range 2 {
		s.add()
	}
	s.workers[0].launch()
	require.NoError(t, g.Wait())
	t.Log(p)
	s.verify(c, s.replay(s.world.lines()))
}
