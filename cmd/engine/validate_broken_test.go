package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/lint"
)

// diagnosed is what validate has to say about one file, without notes.
func diagnosed(name string) (*validation, []lint.Diagnostic) {
	v := newValidation(validateFlags{})
	v.gather([]string{name})
	v.learn()
	v.check()
	var out []lint.Diagnostic
	for _, d := range v.all() {
		if d.Level != lint.Note {
			out = append(out, d)
		}
	}
	return v, out
}

// TestBroken holds what is said about documents with one mistake each, as people
// make them: its place, its mend, and nothing else. wanted.txt has a line for each.
func TestBroken(t *testing.T) {
	text, err := os.ReadFile("testdata/broken/wanted.txt")
	require.NoError(t, err)
	wanted := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, ":")
		wanted[name] = strings.TrimSpace(line)
	}
	files, err := filepath.Glob("testdata/broken/*.json")
	require.NoError(t, err)
	require.Len(t, wanted, len(files)-1, "twins.json is what the documents are checked against")
	for _, file := range files {
		name := filepath.Base(file)
		if name == "twins.json" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			_, got := diagnosed(file)
			require.Len(t, got, 1)
			assert.Equal(t, wanted[name], strings.TrimPrefix(got[0].String(), "testdata/broken/"))
		})
	}
}

// TestMendedIsFine holds that what --fix writes is right, and nothing else changes.
func TestMendedIsFine(t *testing.T) {
	right, err := os.ReadFile("testdata/broken/twins.json")
	require.NoError(t, err)
	files, err := filepath.Glob("testdata/broken/*.json")
	require.NoError(t, err)
	mended := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		_, before := diagnosed(file)
		if len(before) != 1 || before[0].Fix == nil {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "plant.json")
			require.NoError(t, os.WriteFile(filepath.Join(dir, "twins.json"), right, 0o600))
			require.NoError(t, os.WriteFile(name, text, 0o640))
			v, _ := diagnosed(name)
			v.mend(&strings.Builder{})
			after, err := os.ReadFile(name)
			require.NoError(t, err)
			fix := before[0].Fix
			assert.Equal(t, string(text[:fix.Offset])+fix.Text+string(text[fix.Offset+fix.Len:]), string(after), "byte for byte")
			_, left := diagnosed(name)
			assert.Empty(t, left)
			info, err := os.Stat(name)
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o640), info.Mode().Perm())
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Len(t, entries, 2, "nothing is left beside it")
		})
		mended++
	}
	assert.Greater(t, mended, 10)
}
