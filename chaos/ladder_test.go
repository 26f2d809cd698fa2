//go:build unix

package chaos

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ladders are rules of which each has less to say than the one before, over a
// year's recording of a machine's temperature, and how often they fire.
var ladders = []struct {
	id, feed, fields string
	raised           int
}{
	{"plain-100", "machine", above(100), 239},
	{"held-100", "machine", above(100) + `,"for":"15m"`, 52},
	{"cleared-100", "machine", above(100) + below(95), 21},
	{"both-100", "machine", above(100) + below(95) + `,"for":"15m"`, 17},
	{"plain-102", "machine", above(102), 176},
	{"held-102", "machine", above(102) + `,"for":"15m"`, 35},
	{"cleared-102", "machine", above(102) + below(97), 14},
	{"both-102", "machine", above(102) + below(97) + `,"for":"15m"`, 6},
	{"silent", "ambient", `"absent":{"for":"90m"}`, 10},
}

func above(limit int) string {
	return fmt.Sprintf(`"conditions":[{"jsonLogic":{">":[{"var":"value"},%d]}}]`, limit)
}

func below(limit int) string {
	return fmt.Sprintf(`,"clearCondition":{"jsonLogic":{"<":[{"var":"value"},%d]}}`, limit)
}

// ladderRules is one interaction of them all.
func ladderRules() string {
	var alerts []string
	for _, l := range ladders {
		alerts = append(alerts, fmt.Sprintf(`{"alert":{"id":%q,"severity":"major","sourceId":%q,"sourceFeedId":%q,%s,"summary":"{{value}}"}}`, l.id, l.feed, l.feed, l.fields))
	}
	return `{"id":"ladder","sources":[{"id":"machine","feeds":[{"id":"machine"}],"modelDid":"did:machine"},{"id":"ambient","feeds":[{"id":"ambient"}],"modelDid":"did:ambient"}],"rules":[` +
		strings.Join(alerts, ",") + `]}`
}

// nab gives the samples of a recording, of a twin and a feed of one name; its
// times are those that the file has, some of them late.
func nab(t *testing.T, name, twin string) (samples []sample) {
	t.Helper()
	file, err := os.Open("../../shared/data/nab/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("the recording %s is not there: nothing of this test has run", name)
	}
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // it was only read
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	for _, row := range rows[1:] {
		at, err := time.Parse(time.DateTime, row[0])
		require.NoError(t, err)
		samples = append(samples, sample{twin, twin, at, fmt.Sprintf(`{"value":%s}`, row[1])})
	}
	return samples
}

// A recording of a year through the stream, by the clock of its samples, the
// engine killed again and again: the alerts are those of a replay, with the same
// ids and times, none missing, none twice, and as many as the ladder says.
func TestKilledEngineClimbsTheLadder(t *testing.T) {
	for _, recording := range []struct {
		file, twin string
		batch      int
	}{
		{"machine_temperature_system_failure.csv", "machine", 500},
		{"ambient_temperature_system_failure.csv", "ambient", 200},
	} {
		t.Run(recording.twin, func(t *testing.T) {
			climb(t, nab(t, recording.file, recording.twin), recording.twin, recording.batch)
		})
	}
}

func climb(t *testing.T, samples []sample, twin string, batchSize int) {
	random := dice(t)
	w := &world{rules: ladderRules(), twins: "[" + describe(twin, "did:"+twin, twin, 0) + "]", samples: samples}
	s, e := newEmbedded(t, w, map[string]any{"clock": "samples"})
	require.Equal(t, expected(twin), raised(t, s.replay(w.lines()).byTwin[twin]))
	c := newCollector(t, s)
	killed := false
	kills := e.feed(w.lines(), batchSize, func(i int) (time.Duration, bool) {
		due := random.IntN(6) == 0 || !killed && i > len(samples)/2
		killed = killed || due
		return time.Duration(random.IntN(20_000)) * time.Microsecond, due
	})
	s.prove(c)
	t.Logf("killed %d times", kills)
	assert.Equal(t, expected(twin), raised(t, c.byTwin[twin]))
}

// expected is how often the rules about a twin fire.
func expected(twin string) map[string]int {
	all := map[string]int{}
	for _, l := range ladders {
		if l.feed == twin {
			all[l.id] = l.raised
		}
	}
	return all
}

// raised counts by rule how often the lines say so.
func raised(t *testing.T, lines []outcome) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, line := range lines {
		var o struct{ Rule, Event string }
		require.NoError(t, json.Unmarshal([]byte(line.text), &o))
		if o.Event == "raised" {
			counts[o.Rule]++
		}
	}
	return counts
}
