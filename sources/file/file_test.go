package file_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/sources/file"
	"tocsin.internal/sources/sourcetest"
)

func open(t *testing.T, config string) sources.Source {
	t.Helper()
	raw, err := strictjson.Parse("engine.json", []byte(config))
	require.NoError(t, err)
	s, err := file.New(raw)
	require.NoError(t, err)
	return s
}

// written is the path of a new file.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func line(n int, at string) string {
	return fmt.Sprintf(`{"twin":%q,"feed":%q,"occurredAt":%q,"data":%s}`+"\n", sourcetest.Twin, sourcetest.Feed, at, sourcetest.Data(n))
}

func TestContract(t *testing.T) {
	var ndjson, csv strings.Builder
	csv.WriteString("time,n\n")
	for n := range sourcetest.Count {
		ndjson.WriteString(line(n, "2026-11-22T10:00:00Z"))
		fmt.Fprintf(&csv, "%d,%d\n", 1_700_000_000+n, n)
	}
	for name, tt := range map[string]struct{ file, text, more string }{
		"ndjson":        {"s.ndjson", ndjson.String(), ``},
		"csv":           {"s.csv", csv.String(), `,"twin":"` + sourcetest.Twin + `","feed":"` + sourcetest.Feed + `"`},
		"at some speed": {"s.jsonl", ndjson.String(), `,"speed":1`},
	} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T) sourcetest.Origin {
				return sourcetest.Origin{Source: open(t, fmt.Sprintf(`{"path":%q%s}`, written(t, tt.file, tt.text), tt.more))}
			})
		})
	}
}

// play runs a source to its end and returns its batches.
func play(t *testing.T, s sources.Source) [][]rules.Sample {
	t.Helper()
	var batches [][]rules.Sample
	require.NoError(t, s.Run(t.Context(), func(_ context.Context, batch ...rules.Sample) error {
		batches = append(batches, batch)
		return nil
	}))
	return batches
}

func TestBatches(t *testing.T) {
	path := written(t, "s.ndjson", strings.Repeat(line(1, "2026-11-22T10:00:00Z"), 1001))
	var sizes []int
	for _, batch := range play(t, open(t, fmt.Sprintf(`{"path":%q}`, path))) {
		sizes = append(sizes, len(batch))
	}
	assert.Equal(t, []int{500, 500, 1}, sizes)
}

func TestBrokenLinesBecomeDeadLetters(t *testing.T) {
	path := written(t, "s.ndjson", line(1, "2026-11-22T10:00:00Z")+"{oops\n"+line(2, "2026-11-22T10:00:00Z"))
	batches := play(t, open(t, fmt.Sprintf(`{"path":%q}`, path)))
	require.Len(t, batches, 1)
	require.Len(t, batches[0], 3)
	assert.Empty(t, batches[0][0].Refused)
	assert.Equal(t, path+":2:2: got oops; want a field's name in quotes", batches[0][1].Refused)
	assert.Equal(t, "{oops", string(batches[0][1].Data))
	assert.JSONEq(t, sourcetest.Data(2), string(batches[0][2].Data))
}

func TestTimes(t *testing.T) {
	recorded := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	path := written(t, "s.ndjson", line(1, "2026-11-22T10:00:00Z")+`{"twin":"t","feed":"f","data":{}}`+"\n")
	synctest.Test(t, func(t *testing.T) {
		got := play(t, open(t, fmt.Sprintf(`{"path":%q}`, path)))[0]
		assert.Equal(t, recorded, got[0].At)
		assert.Equal(t, time.Now().UTC(), got[1].At, "a sample without a time gets the time at which it is played")

		got = play(t, open(t, fmt.Sprintf(`{"path":%q,"times":"now"}`, path)))[0]
		assert.Equal(t, time.Now().UTC(), got[0].At)
	})
}

func TestSpeed(t *testing.T) {
	path := written(t, "s.ndjson", line(0, "2026-11-22T10:00:00Z")+line(1, "2026-11-22T10:00:10Z")+
		"oops\n"+line(2, "2026-11-22T09:00:00Z")+line(3, "2026-11-22T10:01:00Z"))
	for speed, want := range map[string][]time.Duration{
		"1":   {0, 10 * time.Second, 10 * time.Second, 10 * time.Second, time.Minute},
		"10":  {0, time.Second, time.Second, time.Second, 6 * time.Second},
		"0.5": {0, 20 * time.Second, 20 * time.Second, 20 * time.Second, 2 * time.Minute},
		"0":   {0},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var got []time.Duration
			require.NoError(t, open(t, fmt.Sprintf(`{"path":%q,"speed":%s}`, path, speed)).Run(t.Context(), func(context.Context, ...rules.Sample) error {
				got = append(got, time.Since(start))
				return nil
			}))
			assert.Equal(t, want, got, "speed %s", speed)
		})
	}
}

func TestLoop(t *testing.T) {
	path := written(t, "s.ndjson", line(0, "2026-11-22T10:00:00Z")+line(1, "2026-11-22T10:00:10Z"))
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	require.NoError(t, open(t, fmt.Sprintf(`{"path":%q,"loop":true,"times":"now"}`, path)).Run(ctx, func(_ context.Context, batch ...rules.Sample) error {
		for _, s := range batch {
			got = append(got, string(s.Data))
		}
		if len(got) == 6 {
			cancel()
		}
		return nil
	}))
	one, two := sourcetest.Data(0), sourcetest.Data(1)
	assert.Equal(t, []string{one, two, one, two, one, two}, got)
}

func TestRunErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.ndjson")
	empty := written(t, "empty.ndjson", "\n")
	onlyBroken := written(t, "broken.ndjson", "x\n")
	table := written(t, "s.csv", "stamp,n\n1,2\n")
	for name, tt := range map[string]struct{ config, want string }{
		"missing":            {fmt.Sprintf(`{"path":%q}`, missing), "file source: open " + missing + ": no such file or directory"},
		"a folder":           {fmt.Sprintf(`{"path":%q,"format":"ndjson"}`, filepath.Dir(empty)), "file source: " + filepath.Dir(empty) + ": read " + filepath.Dir(empty) + ": is a directory"},
		"nothing to loop":    {fmt.Sprintf(`{"path":%q,"loop":true,"times":"now"}`, empty), "file source: " + empty + " has no samples to play in a loop"},
		"only broken lines":  {fmt.Sprintf(`{"path":%q,"loop":true,"times":"now"}`, onlyBroken), "file source: " + onlyBroken + " has no samples to play in a loop"},
		"no such column":     {fmt.Sprintf(`{"path":%q,"twin":"t","feed":"f","timeColumn":"stmp"}`, table), "file source: " + table + `:1:1: no time column "stmp"; want one of stamp, n; did you mean "stamp"?`},
		"no column for time": {fmt.Sprintf(`{"path":%q,"twin":"t","feed":"f"}`, table), "file source: " + table + ":1:1: no time column among stamp, n; want timestamp, time, occurredAt, datetime, date, or the name of another"},
	} {
		t.Run(name, func(t *testing.T) {
			err := open(t, tt.config).Run(t.Context(), func(context.Context, ...rules.Sample) error { return nil })
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestConfigErrors(t *testing.T) {
	for name, tt := range map[string]struct{ config, want string }{
		"no path":         {`{}`, `c:1:1: field "path" is missing`},
		"empty path":      {`{"path":""}`, `c:1:9: /path: got ""; want the name of a file`},
		"typo":            {`{"path":"a.ndjson","lop":true}`, `c:1:20: /lop: unknown field "lop"; did you mean "loop"?`},
		"unknown ending":  {`{"path":"a/b.txt"}`, `c:1:9: /path: b.txt does not end in .ndjson, .jsonl or .csv; want a format`},
		"format":          {`{"path":"a.ndjson","format":"xml"}`, `c:1:29: /format: got "xml"; want ndjson or csv`},
		"twin in ndjson":  {`{"path":"a.NDJSON","twin":"t"}`, `c:1:27: /twin: a line of NDJSON says it itself; want "twin" for csv only`},
		"csv alone":       {`{"path":"a.csv"}`, "c:1:1: whose samples are these; want twin or twinColumn\nc:1:1: which feed do the samples belong to; want feed"},
		"twin twice":      {`{"path":"a.csv","feed":"f","twin":"t","twinColumn":"c"}`, `c:1:52: /twinColumn: twin says it already; want one of them`},
		"comma":           {`{"path":"a.csv","feed":"f","twin":"t","comma":";;"}`, `c:1:47: /comma: got ";;"; want the one character that separates cells`},
		"speed":           {`{"path":"a.ndjson","speed":-1}`, `c:1:28: /speed: got -1; want 0 (as fast as it goes), 1 (as recorded) or another multiple`},
		"times":           {`{"path":"a.ndjson","times":"then"}`, `c:1:28: /times: got "then"; want recorded or now`},
		"loop and times":  {`{"path":"a.ndjson","loop":true}`, `c:1:27: /loop: the second round would be late for every rule; want "times": "now" with it`},
		"several at once": {`{"path":"a.ndjson","speed":-1,"times":"then","twin":"t"}`, "c:1:28: /speed: got -1; want 0 (as fast as it goes), 1 (as recorded) or another multiple\nc:1:39: /times: got \"then\"; want recorded or now\nc:1:53: /twin: a line of NDJSON says it itself; want \"twin\" for csv only"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := strictjson.Parse("c", []byte(tt.config))
			require.NoError(t, err)
			_, err = file.New(raw)
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestRealRecording(t *testing.T) {
	const path = "../../../shared/data/nab/machine_temperature_system_failure.csv"
	if _, err := os.Stat(path); err != nil {
		t.Skip("the recording is not in this clone")
	}
	n := 0
	for _, batch := range play(t, open(t, fmt.Sprintf(`{"path":%q,"twin":"m","feed":"temperature"}`, path))) {
		n += len(batch)
	}
	assert.Equal(t, 22_695, n)
}
