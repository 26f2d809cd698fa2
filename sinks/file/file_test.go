package file_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/file"
	"tocsin.internal/sinks/sinktest"
)

func parse(t *testing.T, text string) strictjson.Raw {
	t.Helper()
	raw, err := strictjson.Parse("c", []byte(text))
	require.NoError(t, err)
	return raw
}

func open(t *testing.T, path, more string) sinks.Sink {
	t.Helper()
	s, err := file.New(parse(t, fmt.Sprintf(`{"path":%q%s}`, path, more)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.(sinks.Closer).Close()) })
	return s
}

// numbered is an outcome that differs by its twin alone.
func numbered(n int) rules.Outcome {
	o := sinktest.Alert()
	o.Twin = fmt.Sprintf("machine_%04d", n)
	return o
}

func line(n int) string {
	o := numbered(n)
	return string(o.AppendJSON(nil)) + "\n"
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	if !strings.HasSuffix(path, ".gz") {
		return string(b)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	require.NoError(t, err)
	plain, err := io.ReadAll(z)
	require.NoError(t, err)
	return string(plain)
}

func rotated(t *testing.T, path string) []string {
	t.Helper()
	found, err := filepath.Glob(strings.TrimSuffix(path, ".ndjson") + "-*")
	require.NoError(t, err)
	return found
}

func TestContract(t *testing.T) {
	for _, config := range []string{``, `,"sync":"interval"`, `,"maxBytes":2000,"gzip":true`, `,"maxBytes":5000,"gzip":false,"keep":1`} {
		t.Run(config, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinks.Sink { return open(t, filepath.Join(t.TempDir(), "a.ndjson"), config) })
		})
	}
}

// TestManyAtOnce proves that lines of many deliveries, of two processes even, stay
// whole and none is missing, whatever is rotated meanwhile.
func TestManyAtOnce(t *testing.T) {
	const each = 200
	path := filepath.Join(t.TempDir(), "a.ndjson")
	both := []sinks.Sink{open(t, path, `,"maxBytes":20000,"keep":0`), open(t, path, `,"maxBytes":20000,"keep":0,"gzip":false,"sync":"interval"`)}
	var group sync.WaitGroup
	for n := range 4 * each {
		group.Go(func() { assert.NoError(t, both[n%2].Deliver(t.Context(), numbered(n))) })
	}
	group.Wait()
	var all strings.Builder
	for _, f := range append(rotated(t, path), path) {
		all.WriteString(text(t, f))
	}
	for n := range 4 * each {
		require.Contains(t, all.String(), line(n))
	}
	assert.Equal(t, 4*each, strings.Count(all.String(), "\n"))
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ndjson")
	left := strings.TrimSuffix(path, ".ndjson") + "-20261122T100000.000000000Z.ndjson.gz.part"
	other := strings.TrimSuffix(path, ".ndjson") + "-of-somebody-else.ndjson"
	for _, name := range []string{left, other} {
		require.NoError(t, os.WriteFile(name, []byte("x"), 0o600))
	}
	s := open(t, path, fmt.Sprintf(`,"maxBytes":%d,"keep":2`, 2*len(line(0))))
	for n := range 9 {
		require.NoError(t, s.Deliver(t.Context(), numbered(n)))
	}
	assert.Equal(t, line(8), text(t, path))
	old := rotated(t, path)
	require.Len(t, old, 3)
	assert.True(t, strings.HasSuffix(old[0], ".ndjson.gz"))
	assert.Equal(t, line(4)+line(5), text(t, old[0]))
	assert.Equal(t, line(6)+line(7), text(t, old[1]))
	assert.Equal(t, other, old[2])
}

func TestAge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ndjson")
	require.NoError(t, os.WriteFile(path, []byte(line(0)), 0o600))
	yesterday := time.Now().Add(-24 * time.Hour)
	require.NoError(t, os.Chtimes(path, yesterday, yesterday))
	s := open(t, path, `,"maxAge":"24h","gzip":false`)
	require.NoError(t, s.Deliver(t.Context(), numbered(1)))
	require.NoError(t, s.Deliver(t.Context(), numbered(2)))
	old := rotated(t, path)
	require.Len(t, old, 1)
	assert.Equal(t, line(0), text(t, old[0]))
	assert.Contains(t, old[0], yesterday.UTC().Format("20060102T150405"))
	assert.Equal(t, line(1)+line(2), text(t, path))
}

// TestMends proves that a line which a crash has cut goes, that a whole one and
// what somebody else wrote stays.
func TestMends(t *testing.T) {
	for before, want := range map[string]string{
		"":                                       "",
		line(0):                                  line(0),
		line(0) + line(1)[:40]:                   line(0),
		line(0)[:3]:                              "",
		"hello":                                  "hello\n",
		line(0) + "hello":                        line(0) + "hello\n",
		strings.Repeat("x", 1<<17):               strings.Repeat("x", 1<<17) + "\n",
		`{"kind":"` + strings.Repeat("x", 1<<17): "",
	} {
		path := filepath.Join(t.TempDir(), "a.ndjson")
		require.NoError(t, os.WriteFile(path, []byte(before), 0o600))
		require.NoError(t, open(t, path, "").Deliver(t.Context(), numbered(7)))
		assert.Equal(t, want+line(7), text(t, path), "%.50q", before)
	}
}

// TestSomebodyElseRotates proves that what logrotate does is noticed: renaming the
// file, removing it, cutting it to nothing.
func TestSomebodyElseRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ndjson")
	s := open(t, path, "")
	require.NoError(t, s.Deliver(t.Context(), numbered(0)))
	require.NoError(t, os.Rename(path, path+".1"))
	require.NoError(t, s.Deliver(t.Context(), numbered(1)))
	assert.Equal(t, line(0), text(t, path+".1"))
	assert.Equal(t, line(1), text(t, path))
	require.NoError(t, os.Remove(path))
	require.NoError(t, s.Deliver(t.Context(), numbered(2)))
	assert.Equal(t, line(2), text(t, path))
	require.NoError(t, os.Truncate(path, 0))
	require.NoError(t, s.Deliver(t.Context(), numbered(3)))
	assert.Equal(t, line(3), text(t, path))
}

// TestFullDisk runs itself with a limit on the size of files.
func TestFullDisk(t *testing.T) {
	const variable = "TOCSIN_TEST_FULL_DISK"
	path := os.Getenv(variable)
	if path == "" {
		path = filepath.Join(t.TempDir(), "a.ndjson")
		again := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -f 8 && exec "$0" -test.run='^TestFullDisk$' -test.v`, os.Args[0])
		again.Env = append(os.Environ(), variable+"="+path)
		out, err := again.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "PASS: TestFullDisk")
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	s := open(t, path, "")
	var err error
	n := 0
	for ; err == nil; n++ {
		err = s.Deliver(t.Context(), numbered(n))
	}
	require.ErrorIs(t, err, syscall.EFBIG)
	assert.False(t, sinks.IsPermanent(err))
	assert.Greater(t, n, 3)
	whole := text(t, path)
	assert.True(t, strings.HasSuffix(whole, line(n-2)), "no part of a line is left")
	require.NoError(t, os.Truncate(path, 0)) // there is room again
	require.NoError(t, s.Deliver(t.Context(), numbered(n)))
	assert.Equal(t, line(n), text(t, path))
}

// TestKilled kills a process that writes, again and again: every line is whole
// but the last, and what was delivered is there.
func TestKilled(t *testing.T) {
	const variable = "TOCSIN_TEST_KILLED"
	if path := os.Getenv(variable); path != "" {
		s := open(t, path, `,"maxBytes":100000,"keep":0`)
		for n := 0; ; n++ {
			if err := s.Deliver(t.Context(), numbered(n)); err != nil {
				t.Fatal(err)
			}
			fmt.Println("delivered", n)
		}
	}
	path := filepath.Join(t.TempDir(), "a.ndjson")
	delivered := 0
	for range 5 {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
		again.Env = append(os.Environ(), variable+"="+path)
		out, err := again.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, again.Start())
		_, err = io.ReadFull(out, make([]byte, 2000))
		require.NoError(t, err)
		require.NoError(t, again.Process.Kill())
		rest, _ := io.ReadAll(out)
		_ = again.Wait()
		delivered += 100 + bytes.Count(rest, []byte("delivered")) // of the first 2000 bytes at least 100
	}
	require.NoError(t, open(t, path, `,"keep":0`).Deliver(t.Context(), numbered(0)))
	lines := 0
	for _, f := range append(rotated(t, path), path) {
		for l := range strings.Lines(text(t, f)) {
			_, err := strictjson.Parse("line", []byte(strings.TrimSuffix(l, "\n")))
			require.NoError(t, err)
			lines++
		}
	}
	assert.GreaterOrEqual(t, lines, delivered)
}

func TestClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ndjson")
	s := open(t, path, `,"sync":"interval"`)
	require.NoError(t, s.Deliver(t.Context(), numbered(0)))
	require.NoError(t, s.(sinks.Closer).Close())
	require.EqualError(t, s.Deliver(t.Context(), numbered(1)), "file sink: closed")
	assert.Equal(t, line(0), text(t, path))
}

func TestHolds(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	a, b := open(t, filepath.Join(dir, "a"), ""), open(t, filepath.Join(link, "..", filepath.Base(link), "a"), "")
	assert.Equal(t, a.(sinks.Holder).Holds(), b.(sinks.Holder).Holds())
	assert.NotEqual(t, a.(sinks.Holder).Holds(), open(t, filepath.Join(dir, "b"), "").(sinks.Holder).Holds())
}

func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
	for config, want := range map[string]string{
		`{}`:                                `c:1:1: field "path" is missing`,
		`{"path":""}`:                       `c:1:9: /path: got ""; want the path of a file`,
		`{"path":"/no/such/f"}`:             `c:1:9: /path: stat /no/such: no such file or directory; want a folder that is there`,
		`{"path":"DIR"}`:                    `c:1:9: /path: DIR is no regular file`,
		`{"path":"DIR/f/g"}`:                `c:1:9: /path: DIR/f is no folder`,
		`{"path":"DIR/f","maxByte":1}`:      `/maxByte: unknown field "maxByte"; did you mean "maxBytes"?`,
		`{"path":"DIR/f","maxBytes":-1}`:    `/maxBytes: got -1; want bytes, or 0 for any size`,
		`{"path":"DIR/f","keep":-1}`:        `/keep: got -1; want a number of files, or 0 for all`,
		`{"path":"DIR/f","maxAge":"-24h"}`:  `/maxAge: got "-24h"; want a duration with its unit, such as "90s" or "15m"`,
		`{"path":"DIR/f","sync":"allways"}`: `/sync: got "allways"; did you mean "always"?`,
	} {
		_, err := file.New(parse(t, strings.ReplaceAll(config, "DIR", dir)))
		require.ErrorContains(t, err, strings.ReplaceAll(want, "DIR", dir), config)
		assert.NotErrorIs(t, err, os.ErrPermission)
	}
}
