package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/rules/importer"
	"tocsin.internal/sources"
	"tocsin.internal/twins"
)

// Imported rules fire as the original would: each original has samples, and the
// alerts that they make there.
func TestImportedRulesFire(t *testing.T) {
	for system, take := range importers {
		folders, err := filepath.Glob(filepath.Join("../../rules/importer", system, "testdata", "*"))
		require.NoError(t, err)
		require.NotEmpty(t, folders)
		for _, folder := range folders {
			t.Run(system+"/"+filepath.Base(folder), func(t *testing.T) {
				text, err := os.ReadFile(filepath.Join(folder, "input.json"))
				require.NoError(t, err)
				imported, err := take("input.json", text, importer.Options{})
				require.NoError(t, err)
				programs := map[string]*rules.Program{}
				for _, d := range imported.Documents {
					programs[d.ID], err = rules.Load(d.ID, d.Text)
					require.NoError(t, err)
				}
				want, err := os.ReadFile(filepath.Join(folder, "wanted.txt"))
				require.NoError(t, err)
				var wanted []string
				for line := range strings.Lines(string(want)) {
					if !strings.HasPrefix(line, "#") {
						wanted = append(wanted, strings.TrimSpace(line))
					}
				}
				assert.ElementsMatch(t, wanted, fired(t, folder, programs))
			})
		}
	}
}

// fired are the alerts that a folder's samples make.
func fired(t *testing.T, folder string, programs map[string]*rules.Program) (lines []string) {
	t.Helper()
	var described []twins.Twin
	if file := filepath.Join(folder, "twins.json"); isThere(file) {
		var err error
		described, err = readTwins([]string{file})
		require.NoError(t, err)
	}
	samples, err := os.ReadFile(filepath.Join(folder, "samples.ndjson"))
	require.NoError(t, err)
	replay, recording := engine.NewReplay(programs, described), sources.NewNDJSON(bytes.NewReader(samples), folder)
	for {
		s, err := recording.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		require.NoError(t, err)
		outcomes, err := replay.Judge(&s, nil)
		require.NoError(t, err)
		for _, o := range outcomes {
			lines = append(lines, fmt.Sprint(o.At.Format("15:04 "), o.Life.Event, " ", o.Severity, " ", o.Rule, " ", o.Twin))
		}
	}
}

func isThere(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
