package benchmarks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/porttest"
)

// binaries are the server and the engine, built once a run.
var binaries = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "benchmarks"); err != nil {
		return "", err
	}
	for _, pkg := range []string{"github.com/nats-io/nats-server/v2", "./cmd/engine"} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, binaryName(pkg)), pkg)
		build.Dir = ".."
		if text, err := build.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("building %s: %w: %s", pkg, err, text)
		}
	}
	return dir, nil
})

func binaryName(pkg string) string {
	if pkg == "./cmd/engine" {
		return "engine"
	}
	return "nats-server"
}

func TestMain(m *testing.M) {
	code := m.Run()
	if builtBinaries {
		if dir, err := binaries(); err == nil {
			os.RemoveAll(dir) //nolint:errcheck // it is temporary
		}
	}
	os.Exit(code)
}

var builtBinaries bool

func binary(b *testing.B, name string) string {
	b.Helper()
	builtBinaries = true
	dir, err := binaries()
	require.NoError(b, err)
	return filepath.Join(dir, name)
}

// process is a program of its own, so that its processor time and its memory are its own.
type process struct {
	b     *testing.B
	cmd   *exec.Cmd
	said  bytes.Buffer
	ended chan error
}

func startProcess(b *testing.B, name string, args ...string) *process {
	b.Helper()
	p := &process{b: b, cmd: exec.Command(binary(b, name), args...), ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	require.NoError(b, p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait() }()
	b.Cleanup(p.kill)
	return p
}

// kill ends it without a chance to do anything more.
func (p *process) kill() {
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended
	select {
	case err := <-p.ended:
		p.ended <- err
	case <-time.After(10 * time.Second):
	}
}

// stop asks it to end and waits for that.
func (p *process) stop() {
	p.b.Helper()
	require.NoError(p.b, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(p.b, receive(p.b, p.ended, "the end of a process"))
	p.ended <- nil
}

// processor is the time that all cores together have spent on it, to 10 ms.
func (p *process) processor() time.Duration {
	stat := p.proc("stat")
	_, after, _ := strings.Cut(stat, ") ") // the name of the program may have blanks
	fields := strings.Fields(after)
	ticks := 0
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(field)
		require.NoError(p.b, err, stat)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// megabytes reads VmRSS (resident now) or VmHWM (the most that ever was).
func (p *process) megabytes(name string) float64 {
	_, after, _ := strings.Cut(p.proc("status"), name+":")
	kB, err := strconv.Atoi(strings.Fields(after)[0])
	require.NoError(p.b, err)
	return float64(kB) / 1024
}

func (p *process) proc(file string) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	require.NoError(p.b, err, "%s", &p.said)
	return string(text)
}

// cluster is one server, or three that replicate.
type cluster struct {
	url     string
	servers []*process
}

func (c *cluster) processor() (all time.Duration) {
	for _, s := range c.servers {
		all += s.processor()
	}
	return all
}

func (c *cluster) kill() {
	for _, s := range c.servers {
		s.kill()
	}
}

// startServers starts servers on loopback, each with its data in a folder of its own.
func startServers(b *testing.B, n int) *cluster {
	b.Helper()
	var c cluster
	var urls, routes []string
	clients, peers := porttest.Ports(b, n), porttest.Ports(b, n)
	for i := range n {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", clients[i]))
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", peers[i]))
	}
	for i := range n {
		args := []string{"-a", "127.0.0.1", "-p", strconv.Itoa(clients[i]), "-js", "-sd", b.TempDir(), "-n", fmt.Sprintf("n%d", i)}
		if n > 1 {
			args = append(args, "--cluster_name", "bench", "--cluster", routes[i], "--routes", strings.Join(routes, ","))
		}
		c.servers = append(c.servers, startProcess(b, "nats-server", args...))
	}
	c.url = strings.Join(urls, ",")
	return &c
}

// worker is a process of "engine run".
type worker struct {
	*process
	api   string
	ready time.Duration // from its start until it was ready
}

// launchWorker starts an engine.
func launchWorker(b *testing.B, settings map[string]any) *worker {
	b.Helper()
	api := fmt.Sprintf("127.0.0.1:%d", porttest.Port(b))
	settings["http"] = map[string]any{"listen": api}
	text, err := json.Marshal(settings)
	require.NoError(b, err)
	file := filepath.Join(b.TempDir(), "engine.json")
	require.NoError(b, os.WriteFile(file, text, 0o600))
	return &worker{process: startProcess(b, "engine", "run", "-c", file), api: "http://" + api}
}

// startWorker launches an engine and waits until it is ready.
func startWorker(b *testing.B, settings map[string]any) *worker {
	b.Helper()
	binary(b, "engine") // what it takes to build is not its start
	begin := time.Now()
	return launchWorker(b, settings).awaitReady(begin)
}

// awaitReady asks every millisecond.
func (w *worker) awaitReady(begin time.Time) *worker {
	w.b.Helper()
	client := http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := begin.Add(time.Minute); ; <-tick.C {
		require.Less(w.b, time.Now(), deadline, "%s", &w.said)
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, w.api+"/readyz", nil)
		require.NoError(w.b, err)
		response, err := client.Do(request)
		if err != nil {
			continue
		}
		response.Body.Close() //nolint:errcheck // nothing of it is used
		if response.StatusCode == http.StatusOK {
			w.ready = time.Since(begin)
			return w
		}
	}
}
