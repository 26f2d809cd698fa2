package examples_test

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/trials"
)

var update = flag.Bool("update", false, "write outcomes.ndjson instead of comparing with it")

// Each folder of rules is an example that engine test runs: its tests pass, and
// it has a README.
func TestRules(t *testing.T) {
	folders, err := trials.Find("rules")
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	for _, f := range folders {
		t.Run(filepath.Base(f.Dir), func(t *testing.T) {
			require.NoError(t, f.Err)
			assert.FileExists(t, filepath.Join(f.Dir, "README.md"))
			programs, err := engine.LoadRules(f.Dir)
			require.NoError(t, err)
			assert.Contains(t, programs, filepath.Base(f.Dir), "an example's id is its folder's name")
			coverage, outcomes := f.Coverage(), 0
			for _, c := range f.Cases {
				r := c.Run(coverage)
				if *update {
					said, err := r.Update()
					require.NoError(t, err)
					t.Log(said)
				}
				assert.NoError(t, r.Err, c.Name)
				for i := range r.Failures {
					t.Error(r.Failures[i].Text())
				}
				outcomes += r.Outcomes
			}
			assert.Positive(t, outcomes, "an example decides something")
			assert.True(t, coverage.Full(), "an example shows each condition true and false: engine test %s --coverage", f.Dir)
		})
	}
}

// The pages that list the examples name each of them.
func TestExamplesAreListed(t *testing.T) {
	index, err := os.ReadFile("README.md")
	require.NoError(t, err)
	folders, err := trials.Find("rules")
	require.NoError(t, err)
	for _, f := range folders {
		name := filepath.Base(f.Dir)
		assert.Contains(t, string(index), "["+name+"](rules/"+name+"/README.md)")
	}
}

// The recording of the README: one alert, raised and cleared.
func TestRecordingInCSV(t *testing.T) {
	programs, err := engine.LoadRules("rules/overheating-alert")
	require.NoError(t, err)
	file, err := os.Open("machine.csv")
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // it was only read
	recording, err := sources.NewCSV(file, sources.CSVOptions{Name: file.Name(), Twin: "machine_1", Feed: "currentTemp"})
	require.NoError(t, err)
	var got []string
	for _, o := range judge(t, recording, engine.NewReplay(programs, nil)) {
		got = append(got, o.State+" "+o.At.Format("15:04")+" "+string(o.Data))
	}
	assert.Equal(t, []string{`firing 10:10 {"temperature":30.4}`, `resolved 10:30 {"temperature":29.8}`}, got)
}

// judge gives all outcomes of a recording.
func judge(t *testing.T, recording interface{ Next() (rules.Sample, error) }, r *engine.Replay) (all []rules.Outcome) {
	t.Helper()
	for {
		s, err := recording.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all, err = r.Judge(&s, all)
		require.NoError(t, err, "line %d", s.Seq)
	}
}
