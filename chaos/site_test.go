//go:build unix

package chaos

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/porttest"
)

// site is one installation: its servers, and the workers of its pool.
type site struct {
	t       *testing.T
	dir     string
	world   *world
	servers []*server // none: the worker has its own inside
	bus     map[string]any
	more    map[string]any // further settings of every worker
	rules   string         // files
	twins   string
	binary  string // of the workers that are added; "" = the one that is built here
	named   bool   // workers have the same id after each start
	workers []*worker
}

// newSite writes down the world's rules and twins. The servers come with it; the
// workers do not.
func newSite(t *testing.T, dir string, w *world, servers ...*server) *site {
	t.Helper()
	s := &site{t: t, dir: dir, world: w, servers: servers, bus: map[string]any{}}
	s.more = map[string]any{"snapshotEvery": "500ms", "clock": "off"}
	s.rules = write(t, dir, "rules.json", w.rules)
	s.twins = write(t, dir, "twins.json", w.twins)
	return s
}

// urls names every server.
func (s *site) urls() string {
	if len(s.servers) == 0 {
		return fmt.Sprint("nats://", s.bus["listen"])
	}
	var urls []string
	for _, server := range s.servers {
		urls = append(urls, server.url())
	}
	return strings.Join(urls, ",")
}

// worker is an engine of the pool.
type worker struct {
	process
	port  int
	proxy *proxy // between it and its server, where there is one
}

// newPool is a site of one server and so many samples, more with
// TOCSIN_CHAOS_SAMPLES, by rules that look at one twin at a time; and the dice of
// the test.
func newPool(t *testing.T, samples int) (*site, *rand.Rand) {
	t.Helper()
	random, dir := dice(t), place(t)
	count := number(t, samplesVariable, samples)
	s := newSite(t, dir, newWorld(random, singleRules, min(1000, count/10), count), newServer(t, dir))
	s.bus["partitions"] = partitions
	return s, random
}

// add makes one more worker and starts it. Where there is a single server the
// worker reaches it through a proxy of its own.
func (s *site) add() *worker {
	s.t.Helper()
	name := fmt.Sprint("worker-", len(s.workers)+1)
	w := &worker{port: porttest.Port(s.t)}
	bus := maps.Clone(s.bus)
	switch len(s.servers) {
	case 0:
	case 1:
		w.proxy = newProxy(s.t, s.servers[0].address())
		bus["url"] = "nats://" + w.proxy.address()
	default:
		bus["url"] = s.urls()
	}
	settings := map[string]any{
		"bus": bus, "http": map[string]any{"listen": fmt.Sprint("127.0.0.1:", w.port)},
		"rules": s.rules, "twins": map[string]any{"files": []string{s.twins}}, "log": map[string]any{"format": "json"},
	}
	maps.Copy(settings, s.more)
	if s.named {
		settings["pool"] = map[string]any{"id": name}
	}
	text, err := json.MarshalIndent(settings, "", "  ")
	require.NoError(s.t, err)
	w.process = process{
		t: s.t, name: name, path: cmp.Or(s.binary, engineBinary(s.t)), log: filepath.Join(s.dir, name+".log"),
		args: []string{"run", "-c", write(s.t, s.dir, name+".json", string(text))},
	}
	s.t.Cleanup(w.kill)
	s.workers = append(s.workers, w)
	w.launch()
	return w
}

// launch starts the worker and waits until it answers at all.
func (w *worker) launch() {
	w.t.Helper()
	w.start()
	w.answers("/livez")
}

// ready waits until the worker has caught up.
func (w *worker) ready() {
	w.t.Helper()
	w.answers("/readyz")
}

func (w *worker) answers(path string) {
	w.t.Helper()
	until(w.t, startPatience, w.name+path, func() bool {
		status, _, err := w.request(http.MethodGet, path, "", nil)
		return err == nil && status == http.StatusOK
	})
}

// client keeps no connection: the other side may be another process next time.
var client = http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}

// request asks the worker's API; it gives the status and the body of the answer.
func (w *worker) request(method, path, body string, header http.Header) (status int, text string, err error) {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", w.port, path), strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it is read
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
