//go:build unix

package chaos

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/porttest"
)

// newEmbedded is a site of one engine with its server inside, that can be killed.
func newEmbedded(t *testing.T, w *world, more map[string]any) (*site, *worker) {
	t.Helper()
	dir := place(t)
	s := newSite(t, dir, w)
	s.named = true
	s.bus["partitions"], s.bus["dir"], s.bus["listen"] = partitions, filepath.Join(dir, "data"), fmt.Sprint("127.0.0.1:", porttest.Port(t))
	s.more["snapshotEvery"] = "100ms"
	maps.Copy(s.more, more)
	e := s.add()
	e.ready()
	return s, e
}

// Samples through HTTP, the engine killed again and again in the middle, and
// what was not answered sent again: each is judged once, the outcomes are those
// of a replay, in order.
func TestKilledEngineLosesAndDoublesNothing(t *testing.T) {
	random := dice(t)
	s, e := newEmbedded(t, newWorld(random, singleRules, 50, number(t, samplesVariable, 10_000)), nil)
	c := newCollector(t, s)
	kills := e.feed(s.world.lines(), 50, func(int) (time.Duration, bool) { return soon(random, 15) })
	s.prove(c)
	t.Logf("killed %d times", kills)
}

// What was answered with "stored" is judged once, whatever becomes of the rest:
// nothing is sent again here.
func TestKilledEngineJudgesWhatItAnswered(t *testing.T) {
	random := dice(t)
	s, e := newEmbedded(t, newWorld(random, singleRules, 50, number(t, samplesVariable, 10_000)), nil)
	c := newCollector(t, s)
	lines := s.world.lines()
	var answered []string
	kills := 0
	for i := 0; i < len(lines); i += 50 {
		batch := lines[i:min(i+50, len(lines))]
		post := func() bool { return e.post(fmt.Sprint("batch-", i), batch) }
		wait, due := soon(random, 15)
		if due {
			kills++
		}
		if due && e.killed(wait, post) || !due && post() {
			answered = append(answered, batch...)
		}
	}
	feed := s.feed()
	t.Logf("killed %d times; %d samples answered, %d stored, %d sent", kills, len(answered), len(feed), len(lines))
	assert.Empty(t, lacking(answered, feed), "answered, and not in FEED")
	assert.Empty(t, lacking(feed, lines), "in FEED more often than sent")
	s.verify(c, s.replayStream()) // a twin may lack its last sample
}

// lacking gives the lines that others do not have, or not so often.
func lacking(lines, others []string) (out []string) {
	left := map[string]int{}
	for _, line := range others {
		left[line]++
	}
	for _, line := range lines {
		if left[line]--; left[line] < 0 {
			out = append(out, line)
		}
	}
	return out
}

// soon says, once in so many times, that the engine is to be killed, and when.
func soon(random *rand.Rand, once int) (time.Duration, bool) {
	return time.Duration(random.IntN(4000)) * time.Microsecond, random.IntN(once) == 0
}

// killed does something during which the engine is killed, and starts it again.
func (w *worker) killed(wait time.Duration, do func() bool) bool {
	w.t.Helper()
	w.setMeant(true)
	process := w.cmd.Process                                 // and not the one that is started again, however late this is
	timer := time.AfterFunc(wait, func() { process.Kill() }) //nolint:errcheck // it may be gone
	done := do()
	timer.Stop()
	w.kill()
	w.launch()
	w.ready()
	return done
}

// post sends a batch under its key, and says whether it was answered: all of it
// is stored.
func (w *worker) post(key string, batch []string) bool {
	header := http.Header{"Content-Type": {"application/x-ndjson"}, "Idempotency-Key": {key}}
	status, text, err := w.request(http.MethodPost, "/api/v1/samples", strings.Join(batch, "\n"), header)
	if err != nil || status == http.StatusServiceUnavailable {
		return false
	}
	require.Equal(w.t, http.StatusOK, status, text)
	require.Contains(w.t, text, fmt.Sprintf(`"stored":%d`, len(batch)))
	return true
}

// feed posts lines in batches until each has been answered. During those of
// which due says so the engine is killed, after the time that it says.
func (w *worker) feed(lines []string, size int, due func(i int) (time.Duration, bool)) (kills int) {
	w.t.Helper()
	for i := 0; i < len(lines); i += size {
		post := func() bool { return w.post(fmt.Sprint("batch-", i), lines[i:min(i+size, len(lines))]) }
		if wait, ok := due(i); ok {
			kills++
			w.killed(wait, post)
		}
		for !post() {
			require.NoError(w.t, w.t.Context().Err())
		}
	}
	return kills
}
