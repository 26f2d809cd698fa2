//go:build unix

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stopPatience is how long a process that was asked to stop may take.
const stopPatience = 3 * time.Minute

// process is a program that is started, and started again, with the same
// arguments. What it logs is kept in one file.
type process struct {
	t    *testing.T
	name string
	path string
	args []string
	log  string // the file's name

	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone

	mu    sync.Mutex
	meant bool // it was told to end
}

func (p *process) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(p.t, err)
	defer log.Close() //nolint:errcheck // the process has its own
	p.setMeant(false)
	p.cmd = exec.CommandContext(p.t.Context(), p.path, p.args...)
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "TOCSIN_") })
	p.cmd.Stderr = log
	require.NoError(p.t, p.cmd.Start())
	p.done = make(chan struct{})
	go p.wait(p.cmd, p.done)
}

func (p *process) wait(cmd *exec.Cmd, done chan struct{}) {
	err := cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.meant && p.t.Context().Err() == nil {
		p.t.Errorf("%s ended by itself: %v; the end of its log:\n%s", p.name, err, p.tail(20))
	}
	close(done)
}

func (p *process) setMeant(meant bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meant = meant
}

func (p *process) running() bool {
	if p.cmd == nil || p.cmd.Process == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal says something to the process, if it still runs.
func (p *process) signal(s os.Signal) {
	p.cmd.Process.Signal(s) //nolint:errcheck // it may be gone
}

func (p *process) pause()  { p.signal(syscall.SIGSTOP) }
func (p *process) resume() { p.signal(syscall.SIGCONT) }

// kill ends the process at once, also a paused one.
func (p *process) kill() {
	if !p.running() {
		return
	}
	p.setMeant(true)
	p.signal(syscall.SIGKILL)
	<-p.done
}

// term asks the process to stop, and waits until it has done so in peace.
func (p *process) term() {
	p.t.Helper()
	if !p.running() {
		return
	}
	p.setMeant(true)
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(stopPatience)
	defer timer.Stop()
	select {
	case <-p.done:
		require.Zero(p.t, p.cmd.ProcessState.ExitCode(), "%s: the end of its log:\n%s", p.name, p.tail(20))
	case <-timer.C:
		require.Fail(p.t, fmt.Sprintf("%s did not stop within %s; the end of its log:\n%s", p.name, stopPatience, p.tail(20)))
	}
}

// tail is the end of the log.
func (p *process) tail(lines int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.SplitAfter(string(text), "\n")
	return strings.Join(all[max(0, len(all)-lines-1):], "")
}
