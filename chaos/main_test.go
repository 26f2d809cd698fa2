//go:build unix

package chaos

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// The settings of a run; without them its short form runs.
const (
	seedVariable    = "TOCSIN_CHAOS_SEED"    // the seed of an earlier run, to have its samples and events again
	samplesVariable = "TOCSIN_CHAOS_SAMPLES" // how many samples; the number of events grows with it
	keepVariable    = "TOCSIN_CHAOS_KEEP"    // not empty: the folders stay, also when all is well
)

func TestMain(m *testing.M) {
	code := m.Run()
	for end := time.Now().Add(startPatience); code == 0; { // on a busy machine goroutines need a while to end
		err := goleak.Find()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := binaries.remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = cmp.Or(code, 1)
	}
	os.Exit(code)
}

// binaries are the programs under proof, built when the first test wants one.
var binaries programs

type programs struct {
	once         sync.Once
	dir          string
	engine, nats string
	err          error
}

func (p *programs) build() {
	if p.dir, p.err = os.MkdirTemp("", "tocsin-chaos-"); p.err != nil {
		return
	}
	for _, b := range []struct {
		into *string
		name string
		from string
	}{
		{&p.engine, "engine", "tocsin.internal/cmd/engine"},
		{&p.nats, "nats-server", "github.com/nats-io/nats-server/v2"},
	} {
		*b.into = filepath.Join(p.dir, b.name)
		if text, err := exec.Command("go", "build", "-o", *b.into, b.from).CombinedOutput(); err != nil { //nolint:noctx // the test binary's own deadline is enough
			p.err = errors.Join(p.err, fmt.Errorf("building %s: %w\n%s", b.from, err, text))
		}
	}
}

func (p *programs) remove() error {
	if p.dir == "" {
		return nil
	}
	return os.RemoveAll(p.dir)
}

func engineBinary(t *testing.T) string {
	t.Helper()
	binaries.once.Do(binaries.build)
	require.NoError(t, binaries.err)
	return binaries.engine
}

func natsBinary(t *testing.T) string {
	t.Helper()
	binaries.once.Do(binaries.build)
	require.NoError(t, binaries.err)
	return binaries.nats
}

// place is a folder for a test's configurations, data and logs. It stays when
// the test has failed.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tocsin-"+filepath.Base(t.Name())+"-") //nolint:usetesting // it stays when the test has failed
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() || os.Getenv(keepVariable) != "" {
			t.Logf("configurations, logs and data are in %s", dir)
			return
		}
		os.RemoveAll(dir) //nolint:errcheck // a folder that stays does no harm
	})
	return dir
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// dice are the test's source of chance. Its seed is printed and can be given again.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, seedVariable)
	}
	t.Logf("%s=%d", seedVariable, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// number is what the environment says, or what the short form has.
func number(t *testing.T, variable string, short int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, variable)
	return n
}
