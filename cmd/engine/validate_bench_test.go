package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkValidate checks a thousand files; an op is all of them.
func BenchmarkValidate(b *testing.B) {
	text, err := os.ReadFile("../../examples/rules/overheating-held/interaction.json")
	require.NoError(b, err)
	dir := b.TempDir()
	for i := range 1000 {
		doc := bytes.Replace(text, []byte(`"overheating-held"`), fmt.Appendf(nil, `"rule-%d"`, i), 1)
		require.NoError(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("rule-%d.json", i)), doc, 0o600))
	}
	b.SetBytes(int64(1000 * len(text)))
	for b.Loop() {
		require.Zero(b, run([]string{"validate", dir}, io.Discard, io.Discard))
	}
}
