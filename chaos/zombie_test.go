//go:build unix

package chaos

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asleep is how long a worker is paused: longer than its lease, so that others
// have taken what it held when it goes on.
const asleep = 4 * time.Second

// A worker that is paused in the middle of a burst, and goes on when others have
// taken its partitions, stores nothing any more: the outcomes are those of a
// replay, and it says that it was fenced.
func TestPausedWorkerIsFenced(t *testing.T) {
	s, random := newPool(t, 20_000)
	for range 3 {
		s.add().ready()
	}
	packets := s.world.packets(random, partitions)
	p := newPublisher(t, s.urls(), packets)
	c := newCollector(t, s)
	rounds := max(3, len(packets)/20_000)
	for round := range rounds {
		w := s.workers[round%len(s.workers)]
		s.holds(w, true)
		until := len(packets) * (round + 1) / (rounds + 1)
		s.burst(p, max(1, until-p.next)*9/10, event{wait: time.Duration(random.IntN(30)) * time.Millisecond, do: w.pause})
		slept := time.Now()
		require.NoError(t, p.paced(t.Context(), until, max(1, (until-p.next)/int(asleep.Seconds()))))
		pass(t, time.Until(slept.Add(asleep)))
		s.holds(w, false)
		w.resume()
	}
	require.NoError(t, p.upTo(t.Context(), len(packets)))
	s.prove(c)
	for i := range min(rounds, len(s.workers)) {
		assert.True(t, s.workers[i].says("fenced"), "%s was paused and does not say that it was fenced; the end of its log:\n%s", s.workers[i].name, s.workers[i].tail(20))
	}
}

// holds waits until a worker holds something, or until others have all of it.
func (s *site) holds(w *worker, something bool) {
	s.t.Helper()
	until(s.t, startPatience, w.name+" to win or lose its partitions", func() bool {
		return slices.Contains(slices.Collect(maps.Values(s.owners())), w.id()) == something
	})
}

// A worker that is killed in the middle of what it stores, and comes back at once
// under its configured name, does not take the server's memory of the batch that
// it left open for its own: the outcomes are those of a replay.
func TestWorkerComesBackUnderItsName(t *testing.T) {
	s, random := newPool(t, 20_000)
	s.named = true
	s.add().ready()
	packets := s.world.packets(random, partitions)
	p := newPublisher(t, s.urls(), packets)
	c := newCollector(t, s)
	w := s.workers[0]
	rounds := max(8, len(packets)/20_000)
	for round := range rounds {
		until := len(packets) * (round + 1) / (rounds + 1)
		s.burst(p, until-p.next, event{wait: time.Duration(random.IntN(60)) * time.Millisecond, do: func() { w.kill(); w.launch() }})
		w.ready()
	}
	require.NoError(t, p.upTo(t.Context(), len(packets)))
	s.prove(c)
}

// says tells whether a line of the log has the word.
func (p *process) says(word string) bool {
	text, err := os.ReadFile(p.log)
	require.NoError(p.t, err)
	return strings.Contains(string(text), word)
}
