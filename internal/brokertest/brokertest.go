//go:build unix

// Package brokertest starts message brokers of other people for tests, from
// Debian's packages. Each has ports and a folder of its own, and can be killed
// and started again in the middle of a test.
package brokertest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds how long a broker may take to work, however much else runs beside it.
const patience = 4 * time.Minute

// Broker is a program that ends with the test.
type Broker struct {
	Dir string // where its files are

	program string
	args    []string
	env     []string
	ports   []int                       // that it opens
	works   func(context.Context) error // nil: it does when its ports are open
	cmd     *exec.Cmd
	ended   chan struct{} // closed when cmd has
}

// Find is the path of a program. Where there is none the test is skipped, or, where
// everything is to be tested, fails.
func Find(t testing.TB, debian string, programs ...string) string {
	t.Helper()
	for _, p := range programs {
		if found, err := exec.LookPath(p); err == nil {
			return found
		}
	}
	require.Empty(t, os.Getenv("CI"), "no %s; want it where everything is tested", programs[0])
	t.Skipf("no %s; want Debian's package %s", programs[0], debian)
	return ""
}

// File writes a file of the broker and says where it is.
func (b *Broker) File(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(b.Dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// run starts the broker for the first time.
func (b *Broker) run(t testing.TB) *Broker {
	t.Helper()
	t.Cleanup(b.Kill)
	b.Start(t)
	return b
}

// Start starts the broker, also again, and waits until it works. One that ends
// before is started again, twice at most: on a busy machine its own patience may be too short.
func (b *Broker) Start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for try := 1; ; try++ {
		b.launch(t)
		if b.awaits(ctx) {
			return
		}
		said, _ := os.ReadFile(filepath.Join(b.Dir, "log")) // what there is
		if ctx.Err() != nil || try == 3 {
			require.FailNow(t, "a broker does not begin to work", "%s", said)
		}
		t.Logf("a broker has ended before it worked: %s", said)
		b.Kill()
	}
}

func (b *Broker) launch(t testing.TB) {
	t.Helper()
	log, err := os.Create(filepath.Join(b.Dir, "log")) // a file, and no pipe, which what it starts itself would keep open
	require.NoError(t, err)
	defer log.Close() //nolint:errcheck // the program has its own
	cmd := exec.CommandContext(context.Background(), b.program, b.args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = b.Dir, append(os.Environ(), b.env...), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended says nothing
	}()
	b.cmd, b.ended = cmd, ended
}

// awaits waits until the broker works; false: it has ended, or ctx.
func (b *Broker) awaits(ctx context.Context) bool {
	for {
		if !slices.ContainsFunc(b.ports, closed) && (b.works == nil || b.works(ctx) == nil) {
			return true
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-b.ended:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func closed(port int) bool { return !listens(port) }

func listens(port int) bool {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// Stop lets the broker end as it does it.
func (b *Broker) Stop(t testing.TB) {
	t.Helper()
	require.NoError(t, b.cmd.Process.Signal(syscall.SIGTERM))
	<-b.ended
	b.cmd = nil
}

// Kill ends the broker without a word, and waits until its ports are closed: its
// process may outlive the script that has started it.
func (b *Broker) Kill() {
	if b.cmd == nil {
		return
	}
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
	<-b.ended
	for limit := time.Now().Add(patience); slices.ContainsFunc(b.ports, listens) && time.Now().Before(limit); {
		time.Sleep(20 * time.Millisecond)
	}
	b.cmd = nil
}
