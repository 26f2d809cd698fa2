//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

const (
	takeoverVariable = "TOCSIN_CHAOS_PARTITIONS" // numbers of partitions with commas between
	oldVariable      = "TOCSIN_CHAOS_OLD"        // an older engine, from which the rolling upgrade begins
)

// One of two workers is killed: the other one takes over, and the test says how
// long that took.
func TestTakeover(t *testing.T) {
	numbers := "16"
	if text := os.Getenv(takeoverVariable); text != "" {
		numbers = text
	}
	for text := range strings.SplitSeq(numbers, ",") {
		n, err := strconv.Atoi(text)
		require.NoError(t, err, takeoverVariable)
		t.Run(fmt.Sprint(n, " partitions"), func(t *testing.T) { takeover(t, n) })
	}
}

func takeover(t *testing.T, n int) {
	const before, after = 2, 6 // seconds
	random := dice(t)
	dir := place(t)
	rate := max(1000, 50*n)
	s := newSite(t, dir, newWorld(random, plainRules, 20*n, rate*(before+after)), newServer(t, dir))
	s.bus["partitions"] = n
	s.steady(n, 2)
	packets := s.world.single()
	p := newPublisher(t, s.urls(), packets)
	c := newCollector(t, s)
	require.NoError(t, p.paced(t.Context(), before*rate, rate))
	owners := s.owners()
	victim := s.workers[0]
	if owners[0] != victim.id() {
		victim = s.workers[1]
	}
	var killed time.Time
	s.burst(p, rate/10, event{wait: time.Millisecond, do: func() {
		killed = time.Now()
		victim.kill()
	}})
	require.NoError(t, p.paced(t.Context(), len(packets), rate))
	s.prove(c)
	var lost int
	var first, last time.Duration
	for number, owner := range owners {
		if owner != victim.id() {
			continue
		}
		again := c.longestOf(number, killed).to.Sub(killed)
		if lost++; lost == 1 || again < first {
			first = again
		}
		last = max(last, again)
	}
	t.Logf("%d partitions, %d of them lost: the first was judged again %.2f s after the kill, the last %.2f s", n, lost, first.Seconds(), last.Seconds())
}

// New workers join while the old ones judge, and the old ones are stopped, one
// after the other: nothing is lost, nothing is doubled, and nothing stands still
// for long.
func TestRollingUpgrade(t *testing.T) {
	s, _ := newPool(t, 10_000)
	s.binary = os.Getenv(oldVariable)
	s.steady(partitions, 2)
	s.binary = ""
	old := s.workers
	packets := s.world.single()
	p := newPublisher(t, s.urls(), packets)
	c := newCollector(t, s)
	var g errgroup.Group
	rate := len(packets) / 10
	g.Go(func() error { return p.paced(t.Context(), len(packets), rate) })
	for _, w := range old {
		next := s.add()
		next.ready()
		pass(t, time.Second)
		w.term()
		pass(t, time.Second)
	}
	require.NoError(t, g.Wait())
	s.prove(c)
}

// steady adds workers and waits until each judges its part.
func (s *site) steady(partitions, workers int) {
	s.t.Helper()
	for range workers {
		s.add()
	}
	for _, w := range s.workers {
		w.ready()
	}
	until(s.t, startPatience, "a worker for each partition", func() bool {
		judging := map[string]bool{}
		for _, owner := range s.owners() {
			judging[owner] = true
		}
		return len(judging) >= min(workers, partitions) && !judging[""]
	})
}

// owners are the ids of the workers that hold the partitions.
func (s *site) owners() map[int]string {
	s.t.Helper()
	nc, js := connect(s.t, s.urls())
	defer nc.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), startPatience)
	defer cancel()
	pool, err := js.KeyValue(ctx, "pool")
	require.NoError(s.t, err)
	owners := map[int]string{}
	for p := range s.bus["partitions"].(int) {
		owners[p] = ""
		if e, err := pool.Get(ctx, fmt.Sprint("l.p", p)); err == nil {
			var lease struct{ Owner string }
			require.NoError(s.t, json.Unmarshal(e.Value(), &lease))
			owners[p] = lease.Owner
		}
	}
	return owners
}

var workerID = regexp.MustCompile(`"worker":"([^"]+)"`)

// id is what the worker calls itself in the pool.
func (w *worker) id() string {
	text, err := os.ReadFile(w.log)
	require.NoError(w.t, err)
	found := workerID.FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(w.t, found, "%s does not say who it is", w.name)
	return found[len(found)-1][1]
}
