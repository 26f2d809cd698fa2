package backtest_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/backtest"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// plant is a document with one alert on the field value of the feed f.
func plant(more string) string {
	return `{"id":"plant","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"alert":{"id":"hot","severity":"major","sourceId":"1","sourceFeedId":"f",` + more +
		`"conditions":[{"jsonLogic":{">":[{"var":"value"},100]}}]}}]}`
}

func set(t testing.TB, name, doc string) backtest.Set {
	t.Helper()
	p, err := rules.Load(name, []byte(doc))
	require.NoError(t, err)
	return backtest.Set{Name: name, Programs: map[string]*rules.Program{p.ID(): p}}
}

// machine is the recording of a machine that fails; its counts are known from
// two other programs.
func machine(t *testing.T) *backtest.Recording {
	t.Helper()
	const name = "../../shared/data/nab/machine_temperature_system_failure.csv"
	r := &backtest.Recording{Format: backtest.CSV, Name: name, CSV: sources.CSVOptions{Name: name, Twin: "m", Feed: "f"}}
	err := r.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the recording is not there")
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func TestMachineTemperature(t *testing.T) {
	doc, err := strictjson.Parse("plant", []byte(plant("")))
	require.NoError(t, err)
	var sweeps []backtest.Sweep
	for _, arg := range []string{"/rules/0/alert/for=0s,15m,1h", "/rules/0/alert/clearCondition=none,<95"} {
		s, err := backtest.ParseSweep(arg, doc)
		require.NoError(t, err)
		sweeps = append(sweeps, s)
	}
	variants, err := backtest.Variants("plant", []byte(plant("")), sweeps)
	require.NoError(t, err)
	var sets []backtest.Set
	for _, v := range variants {
		sets = append(sets, backtest.Set{Programs: map[string]*rules.Program{"plant": v.Program}})
	}
	run, err := backtest.Judge(t.Context(), machine(t).Play, nil, backtest.Watch{}, sets...)
	require.NoError(t, err)
	assert.Equal(t, 22_695, run.Samples)
	var alerts []int
	for i := range variants {
		total := run.Verdicts[i].Total(run.Last, backtest.Every)
		alerts = append(alerts, total.Alerts)
		assert.Equal(t, uint64(1586), total.True)
		assert.Equal(t, uint64(12), total.Late)
		assert.Equal(t, i == 0, variants[i].Configured)
	}
	assert.Equal(t, []int{239, 21, 52, 17, 15, 12}, alerts)
	assert.InDelta(t, 239/78.76*7, run.PerWeek(239), 0.01)
}

func TestMachineTemperatureCompared(t *testing.T) {
	rec := machine(t)
	run, err := backtest.Judge(t.Context(), rec.Play, nil, backtest.Watch{}, set(t, "old", plant("")), set(t, "new", plant(`"for":"15m","clearCondition":{"jsonLogic":{"<":[{"var":"value"},95]}},`)))
	require.NoError(t, err)
	c := backtest.Compare(run)
	assert.Equal(t, backtest.Side[int]{Old: 239, New: 17}, c.Total.Alerts)
	assert.Equal(t, []int{0, 222, 152, 0, 17, 17, 0, 0}, []int{c.Total.New, c.Total.Gone, c.Total.InLonger, c.Total.Earlier, c.Total.Later, c.Total.Longer, c.Total.Shorter, c.Total.Same})
	assert.Equal(t, c.Total, c.Rules[0].Tally)
	assert.Equal(t, c.Total, c.Twins[0].Tally)
	assert.Len(t, c.Changes, 239)
	sum := 0
	for _, day := range c.Days {
		sum += day.Alerts.Old
	}
	assert.Equal(t, 239, sum)

	for _, buckets := range []int{100, 1000, 50_000} {
		panels, err := backtest.Panels(t.Context(), rec.Play, run, 3, buckets)
		require.NoError(t, err)
		require.Len(t, panels, 1)
		p := panels[0]
		assert.Equal(t, "value", p.Field)
		assert.Equal(t, []backtest.Threshold{{Op: ">", Value: 100}, {Op: "<", Value: 95, Clear: true, New: true}}, p.Thresholds)
		assert.LessOrEqual(t, len(p.Buckets), buckets)
		assert.Greater(t, len(p.Buckets), min(buckets, 22_000)/3)
		low, high := p.Buckets[0].Low, p.Buckets[0].High
		for i, b := range p.Buckets {
			low, high = min(low, b.Low), max(high, b.High)
			assert.True(t, i == 0 || b.At.After(p.Buckets[i-1].At))
		}
		assert.InDelta(t, 2.0847, low, 0.001, "peaks stay")
		assert.InDelta(t, 108.51, high, 0.01)
	}
}

// samples are lines of NDJSON: each is "<twin> <hours> <value>".
func samples(lines ...string) *backtest.Recording {
	start := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	var b strings.Builder
	for _, l := range lines {
		var twin string
		var hours, value float64
		if _, err := fmt.Sscanf(l, "%s %g %g", &twin, &hours, &value); err != nil {
			b.WriteString(l + "\n")
			continue
		}
		at := start.Add(time.Duration(hours * float64(time.Hour)))
		fmt.Fprintf(&b, `{"twin":%q,"feed":"f","occurredAt":%q,"data":{"value":%g}}`+"\n", twin, at.Format(time.RFC3339Nano), value)
	}
	r := &backtest.Recording{Format: backtest.NDJSON, Name: "s"}
	if err := r.Read(strings.NewReader(b.String()), false); err != nil {
		panic(err)
	}
	return r
}

func TestCompare(t *testing.T) {
	hold := plant(`"for":"2h","maxGap":"9h",`)
	for name, tt := range map[string]struct {
		old, new string
		samples  []string
		want     []string
	}{
		"the same":            {plant(""), plant(""), []string{"a 0 101", "a 1 99", "a 2 101"}, nil},
		"gone":                {plant(""), hold, []string{"a 0 101", "a 1 99", "a 9 99"}, []string{"gone 1h"}},
		"new":                 {hold, plant(""), []string{"a 0 101", "a 1 99", "a 9 99"}, []string{"new 1h"}},
		"later":               {plant(""), hold, []string{"a 0 101", "a 5 99"}, []string{"later,shorter 2h -2h"}},
		"earlier":             {hold, plant(""), []string{"a 0 101", "a 5 99"}, []string{"earlier,longer -2h 2h"}},
		"longer":              {plant(""), plant(`"keepFiringFor":"2h",`), []string{"a 0 101", "a 1 99", "a 9 99"}, []string{"longer 0s 1h"}},
		"open at the end":     {plant(""), plant(`"keepFiringFor":"2h",`), []string{"a 0 101", "a 3 101"}, nil},
		"within a longer one": {plant(""), plant(`"keepFiringFor":"2h",`), []string{"a 0 101", "a 1 99", "a 2 101", "a 3 99", "a 9 9"}, []string{"longer 0s 3h", "gone within 1h"}},
		"parts":               {plant(`"keepFiringFor":"2h",`), plant(""), []string{"a 0 101", "a 1 99", "a 2 101", "a 3 99", "a 9 9"}, []string{"shorter 0s -3h", "new within 1h"}},
		"severity":            {plant(""), strings.ReplaceAll(plant(""), "major", "minor"), []string{"a 0 101", "a 1 99"}, []string{"severity 0s 0s"}},
		"of its own twin":     {plant(""), hold, []string{"a 0 101", "b 0 101", "b 1 99", "a 5 99"}, []string{"later,shorter 2h -2h", "gone 1h"}},
		"another rule":        {plant(""), strings.ReplaceAll(plant(""), `"hot"`, `"warm"`), []string{"a 0 101", "a 1 99"}, []string{"gone 1h", "new 1h"}},
	} {
		t.Run(name, func(t *testing.T) {
			run, err := backtest.Judge(t.Context(), samples(tt.samples...).Play, nil, backtest.Watch{}, set(t, "old", tt.old), set(t, "new", tt.new))
			require.NoError(t, err)
			c := backtest.Compare(run)
			var got []string
			for _, change := range c.Changes {
				got = append(got, tell(&change))
			}
			assert.ElementsMatch(t, tt.want, got)
		})
	}
}

func tell(c *backtest.Change) string {
	text := strings.Join(c.What, ",")
	if c.Within {
		text += " within"
	}
	for _, a := range []*backtest.Alert{c.Old, c.New} {
		if a != nil && (c.Old == nil || c.New == nil) {
			return text + " " + backtest.Span(a.End.Sub(a.Start))
		}
	}
	return text + " " + backtest.Span(c.Begins) + " " + backtest.Span(c.Lasts)
}

func TestFlapping(t *testing.T) {
	run, err := backtest.Judge(t.Context(), samples("a 0 101", "a 0.1 99", "a 0.3 101", "b 0.4 101", "a 0.5 99", "a 1 101").Play, nil, backtest.Watch{}, set(t, "old", plant("")))
	require.NoError(t, err)
	total := run.Verdicts[0].Total(run.Last, backtest.Every)
	assert.Equal(t, 4, total.Alerts)
	assert.Equal(t, 1, total.Flapping)
	assert.Equal(t, 2, total.Open)
	assert.Equal(t, 54*time.Minute, total.InAlarm)
}

// order is how a rule that waits gets the samples of a recording.
func order(t *testing.T, r *backtest.Recording) []string {
	t.Helper()
	var got []string
	watch := backtest.Watch{Unreadable: func(s *rules.Sample, err error) { got = append(got, fmt.Sprintf("line %d", s.Seq)) }}
	play := func(ctx context.Context, replays []*engine.Replay, each backtest.Each) error {
		return r.Play(ctx, replays, func(i int, s *rules.Sample, out []rules.Outcome, err error) error {
			if err == nil {
				got = append(got, fmt.Sprintf("%s %d", s.Twin, s.Seq))
			}
			return each(i, s, out, err)
		})
	}
	_, err := backtest.Judge(t.Context(), play, nil, watch, set(t, "timed", plant(`"for":"1h",`)))
	require.NoError(t, err)
	return got
}

func TestOrderOfTime(t *testing.T) {
	lines := []string{"a 0 1", "a 3 1", "b 1 1", "x", "b 2 1", "a 1 1", "b 4 1"}
	want := []string{"a 1", "b 3", "line 4", "b 5", "a 2", "a 6", "b 7"}
	assert.Equal(t, want, order(t, samples(lines...)))
	inOrder := []string{"a 0 1", "b 1 1", "x", "a 2 1"}
	assert.Equal(t, []string{"a 1", "b 2", "line 3", "a 4"}, order(t, samples(inOrder...)))
	r := samples(lines...)
	r.From, r.Until = time.Date(2026, 11, 2, 1, 0, 0, 0, time.UTC), time.Date(2026, 11, 2, 4, 0, 0, 0, time.UTC)
	assert.Equal(t, []string{"b 3", "line 4", "b 5", "a 2", "a 6"}, order(t, r))

	once := &backtest.Recording{Format: backtest.NDJSON, Name: "s"}
	name := filepath.Join(t.TempDir(), "s.ndjson")
	require.NoError(t, os.WriteFile(name, []byte(`{"twin":"b","feed":"f","occurredAt":"2026-11-02T01:00:00Z","data":{}}
x
{"twin":"a","feed":"f","occurredAt":"2026-11-02T00:00:00Z","data":{}}`), 0o600))
	file, err := os.Open(name)
	require.NoError(t, err)
	require.NoError(t, once.Read(file, true))
	assert.Equal(t, []string{"line 2", "a 3", "b 1"}, order(t, once), "of what is read as it comes")
	require.NoError(t, file.Close())
}

func TestCutRecording(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s.ndjson")
	line := `{"twin":"a","feed":"f","occurredAt":"2026-11-02T00:00:00Z","data":{"value":1}}` + "\n"
	require.NoError(t, os.WriteFile(name, []byte(strings.Repeat(line, 10_000)), 0o600))
	r := &backtest.Recording{Format: backtest.NDJSON, Name: name}
	require.NoError(t, r.Open(name))
	defer func() { require.NoError(t, r.Close()) }()
	cut := backtest.Watch{Sample: func(n int) {
		if n == 100 {
			require.NoError(t, os.Truncate(name, 20_000))
		}
	}}
	_, err := backtest.Judge(t.Context(), r.Play, nil, cut, set(t, "old", plant("")))
	require.EqualError(t, err, name+": the file was cut while it was read")
}

func TestSpan(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "15m": 15 * time.Minute, "1h": time.Hour, "1h30m": 90 * time.Minute, "47h": 47 * time.Hour, "2d": 48 * time.Hour, "2d4h40m": 52*time.Hour + 40*time.Minute,
		"2d1s": 48*time.Hour + time.Second, "1m30s": 90 * time.Second, "-5m": -5 * time.Minute, "1h0m5s": time.Hour + 5*time.Second, "100ms": 100 * time.Millisecond,
	} {
		assert.Equal(t, want, backtest.Span(d))
	}
}
