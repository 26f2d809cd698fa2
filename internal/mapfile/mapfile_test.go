package mapfile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/mapfile"
)

func open(t *testing.T, text []byte) *mapfile.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a")
	require.NoError(t, os.WriteFile(name, text, 0o600))
	f, err := mapfile.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func TestText(t *testing.T) {
	for _, text := range []string{"", "a", "a\nb\n"} {
		f := open(t, []byte(text))
		require.NoError(t, f.Guard(func() error {
			assert.Equal(t, text, string(f.Text()))
			return nil
		}))
	}
	wrong := errors.New("wrong")
	require.ErrorIs(t, open(t, []byte("a")).Guard(func() error { return wrong }), wrong)
}

func TestNoFile(t *testing.T) {
	_, err := mapfile.Open(filepath.Join(t.TempDir(), "nowhere"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = mapfile.Open(t.TempDir())
	require.ErrorContains(t, err, "is a folder; want a file")
}

func TestCutFile(t *testing.T) {
	text := bytes.Repeat([]byte("a"), 1<<20)
	for _, left := range []int64{0, 5000} {
		f := open(t, text)
		err := f.Guard(func() error {
			require.NoError(t, os.Truncate(f.Name(), left))
			assert.NotEqual(t, len(text), bytes.Count(f.Text(), []byte("a")))
			return nil
		})
		require.ErrorIs(t, err, mapfile.ErrCut)
	}
	f := open(t, text)
	require.ErrorIs(t, f.Guard(func() error { return os.Truncate(f.Name(), int64(len(text)-1)) }), mapfile.ErrCut, "cut within the last page")
}

func TestOtherPanicsPass(t *testing.T) {
	f := open(t, []byte("a"))
	assert.Panics(t, func() {
		f.Guard(func() error { panic("a bug") }) //nolint:errcheck // it panics
	})
}
