package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
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
func nab(t *testing.T, name, twin string) (lines []string) {
	t.Helper()
	file, err := os.Open("../../../shared/data/nab/" + name)
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
		lines = append(lines, fmt.Sprintf(`{"twin":%q,"feed":%q,"occurredAt":%q,"data":{"value":%s}}`, twin, twin, at.Format(time.RFC3339), row[1]))
	}
	return lines
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

func climb(t *testing.T, lines []string, twin string, batchSize int) {
	p := &process{t: t, dir: t.TempDir(), port: freePort(t), nats: freePort(t)}
	write := func(name, text string) string {
		file := filepath.Join(p.dir, name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	rule := write("rule.json", ladderRules())
	twins := fmt.Sprintf(`[{"twinId":%q,"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:%s"}}],"feeds":[{"id":%q}]}]`, twin, twin, twin)
	write("engine.json", fmt.Sprintf(`{"bus":{"dir":%q,"listen":"127.0.0.1:%d"},"http":{"listen":"127.0.0.1:%d"},"rules":%q,"twins":{"files":[%q]},"snapshotEvery":"100ms","clock":"samples"}`,
		filepath.Join(p.dir, "data"), p.nats, p.port, rule, write("twins.json", twins)))
	want := replayLines(t, rule, write("samples.ndjson", strings.Join(lines, "\n")+"\n"))
	require.Equal(t, expected(twin), raised(t, want.byTwin[twin]))

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	p.start()
	defer p.kill()
	killed := false
	kills := p.feed(lines, batchSize, func(i int) (time.Duration, bool) {
		due := random.IntN(6) == 0 || !killed && i > len(lines)/2
		killed = killed || due
		return time.Duration(random.IntN(20_000)) * time.Microsecond, due
	})
	got := outLines(t, p.nats, len(want.all))
	t.Logf("%d samples, %d outcomes, killed %d times", len(lines), len(want.all), kills)
	assert.Equal(t, expected(twin), raised(t, got[twin]))
	require.Equal(t, want.byTwin, got)
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
func raised(t *testing.T, lines []string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, line := range lines {
		var o struct{ Rule, Event string }
		require.NoError(t, json.Unmarshal([]byte(line), &o))
		if o.Event == "raised" {
			counts[o.Rule]++
		}
	}
	return counts
}
