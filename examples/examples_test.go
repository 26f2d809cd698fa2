package examples_test

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/twins"
)

var update = flag.Bool("update", false, "write outcomes.ndjson instead of comparing with it")

// Each folder of rules is an example: interaction.json makes outcomes.ndjson
// of samples.ndjson, line by line.
func TestRules(t *testing.T) {
	folders, err := filepath.Glob("rules/*")
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			assert.FileExists(t, filepath.Join(folder, "README.md"))
			programs, err := engine.LoadRules(folder)
			require.NoError(t, err)
			assert.Contains(t, programs, filepath.Base(folder), "an example's id is its folder's name")
			got := replay(t, folder, programs, nil)
			require.NotEmpty(t, got, "an example decides something")
			want := filepath.Join(folder, "outcomes.ndjson")
			if *update {
				require.NoError(t, os.WriteFile(want, []byte(got), 0o644))
			}
			text, err := os.ReadFile(want)
			require.NoError(t, err, "go test ./examples -update writes it")
			sameLines(t, want, string(text), got)
			if described := readTwins(t, folder); described != nil {
				sameLines(t, want+" with twins.json", string(text), replay(t, folder, programs, described))
			}
		})
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

// sameLines stops at the first line that differs.
func sameLines(t *testing.T, name, want, got string) {
	t.Helper()
	wanted, lines := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i, line := range lines[:min(len(lines), len(wanted))] {
		require.Equal(t, wanted[i], line, "%s:%d", name, i+1)
	}
	assert.Len(t, lines, len(wanted), "%s: lines", name)
}

// replay is what engine replay prints. Lines that it would complain of are not for an example.
func replay(t *testing.T, folder string, programs map[string]*rules.Program, described []twins.Twin) string {
	t.Helper()
	file, err := os.Open(filepath.Join(folder, "samples.ndjson"))
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // it was only read
	var out []byte
	for _, o := range judge(t, sources.NewNDJSON(file, file.Name()), engine.NewReplay(programs, described)) {
		out = append(o.AppendJSON(out), '\n')
	}
	return string(out)
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

// readTwins gives the twins of an example that describes them, else nil.
func readTwins(t *testing.T, folder string) []twins.Twin {
	t.Helper()
	name := filepath.Join(folder, "twins.json")
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	raw, err := strictjson.Parse(name, text)
	require.NoError(t, err)
	described, err := twins.Decode(raw)
	require.NoError(t, err)
	return described
}
