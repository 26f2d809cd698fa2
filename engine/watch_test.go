package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/internal/pause"
)

// watched starts an engine with rules, and waits until the one interaction runs;
// revision is that of it.
func watched(t *testing.T, data, path string) (w *works, revision func() string) {
	t.Helper()
	w = start(t, data, func(c *engine.Config) { c.RulesPath, c.Twins = path, machines(1) })
	revision = func() string { return w.Stats().Funnels["overheating"].Revision }
	w.until("the interaction runs", func() bool { return revision() != "" })
	return w, revision
}

// hotter is overheating with another threshold.
var hotter = strings.ReplaceAll(overheating, ",30]", ",40]")

// A log that is written beside the rules kept them from being read again.
func TestWatchedBesideABusyFile(t *testing.T) {
	dir := ruleFile(t, overheating)
	file := filepath.Join(dir, "rule.json")
	for name, path := range map[string]string{"a file": file, "a folder": dir} {
		t.Run(name, func(t *testing.T) {
			write(t, file, overheating)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := 0; pause.For(ctx, time.Millisecond) == nil; i++ {
					_ = os.WriteFile(filepath.Join(dir, "engine.log"), []byte(strings.Repeat("x", i%100)), 0o600)
				}
			}()
			defer func() { cancel(); <-done }()
			w, revision := watched(t, engine.DataDir(t), path)
			first := revision()
			write(t, file, hotter)
			w.until("another revision", func() bool { return revision() != first })
			w.stop()
		})
	}
}

// A folder of rules that was moved away was never looked at again, also when
// another one came in its place.
func TestWatchedFolderIsReplaced(t *testing.T) {
	dir := ruleFile(t, overheating)
	w, revision := watched(t, engine.DataDir(t), dir)
	first := revision()
	for i, text := range []string{hotter, overheating} {
		require.NoError(t, os.Rename(dir, dir+strings.Repeat("-old", i+1)))
		w.until("the refusal", func() bool { return strings.Count(w.log.String(), "no such file") > i })
		require.NoError(t, os.Mkdir(dir, 0o700))
		write(t, filepath.Join(dir, "rule.json"), text)
		w.until("the rules of the new folder", func() bool { return (revision() == first) == (text == overheating) && revision() != "" })
	}
}

// An engine whose rules are not there at its start said that the last good ones
// keep running, and ended.
func TestStartWithoutTheFolderOfTheRules(t *testing.T) {
	data, dir := engine.DataDir(t), filepath.Join(t.TempDir(), "deep", "rules")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	write(t, filepath.Join(dir, "rule.json"), overheating)
	w, revision := watched(t, data, dir)
	first := revision()
	w.stop()
	require.NoError(t, os.RemoveAll(filepath.Dir(dir)))
	w, revision = watched(t, data, dir)
	assert.Contains(t, w.log.String(), "the last good ones keep running")
	w.emit(reading("machine_0", 0, 35))
	w.drain()
	assert.Equal(t, uint64(1), w.Stats().Outputs)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	write(t, filepath.Join(dir, "rule.json"), hotter)
	w.until("the rules that have come", func() bool { return revision() != first && revision() != "" })
}

// A link to a folder was taken for one without rules.
func TestRulesBehindALink(t *testing.T) {
	dir := ruleFile(t, overheating)
	next := ruleFile(t, hotter)
	link := filepath.Join(t.TempDir(), "current")
	require.NoError(t, os.Symlink(dir, link))
	files, err := engine.RuleFiles(link)
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(link, "rule.json")}, files)
	w, revision := watched(t, engine.DataDir(t), link)
	first := revision()
	require.NoError(t, os.Symlink(next, link+"-next"))
	require.NoError(t, os.Rename(link+"-next", link))
	w.until("the rules behind the new link", func() bool { return revision() != first && revision() != "" })
	second := revision()
	write(t, filepath.Join(next, "rule.json"), overheating)
	w.until("an edit there", func() bool { return revision() != second })
}
