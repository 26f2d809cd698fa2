package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/porttest"
)

// watched is an engine with a receiver that the test answers for, and the
// operators' own listener.
type watched struct {
	process
	admin    int
	received chan struct{}
	answer   chan int // the status of the next delivery
}

func watch(t *testing.T) *watched {
	w := &watched{admin: porttest.Port(t), received: make(chan struct{}, 100), answer: make(chan int, 100)}
	w.process = process{t: t, dir: t.TempDir(), port: porttest.Port(t)}
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		w.received <- struct{}{}
		if status, ok := <-w.answer; ok {
			rw.WriteHeader(status)
		}
	}))
	t.Cleanup(receiver.Close)
	t.Cleanup(func() { close(w.answer) })
	w.write("rule.json", crashRule)
	w.write("twins.json", `[{"twinId":"machine_1","properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:m"}}],"feeds":[{"id":"currentTemp"}]}]`)
	w.write("engine.json", fmt.Sprintf(`{"bus":{"dir":%q},"http":{"listen":"127.0.0.1:%d","admin":"127.0.0.1:%d"},"rules":%q,"twins":{"files":[%q]},"log":{"level":"warn"},
		"sources":[{"name":"plant","kind":"stomp","with":{"url":"stomp://127.0.0.1:1","destinations":[{"destination":"/queue/a","twin":"machine_1","feed":"currentTemp"}]}}],
		"sinks":[{"name":"pager","kind":"webhook","outcome":"alert","with":{"url":%q}},{"name":"out","kind":"log"}]}`,
		w.file("data"), w.port, w.admin, w.file("rule.json"), w.file("twins.json"), receiver.URL))
	w.start()
	t.Cleanup(w.kill)
	return w
}

func (w *watched) file(name string) string { return filepath.Join(w.dir, name) }

func (w *watched) write(name, text string) {
	require.NoError(w.t, os.WriteFile(w.file(name), []byte(text), 0o600))
}

// ask gives the answer of the API.
func (w *watched) ask(method, path, body string) (status int, text string) {
	w.t.Helper()
	status, text, err := request(w.t.Context(), method, w.url(path), body, nil)
	require.NoError(w.t, err)
	return status, text
}

// operate gives the answer of the operators' own listener.
func (w *watched) operate(method, path, body string, header http.Header) (status int, text string) {
	w.t.Helper()
	status, text, err := request(w.t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", w.admin, path), body, header)
	require.NoError(w.t, err)
	return status, text
}

func (w *watched) share(second int, data string) {
	w.t.Helper()
	status, text := w.ask(http.MethodPost, "/api/v1/samples", fmt.Sprintf(`{"twin":"machine_1","feed":"currentTemp","occurredAt":"2026-11-02T10:00:%02dZ","data":%s}`, second, data))
	require.Equal(w.t, http.StatusOK, status, text)
}

// scraped is what an engine says of itself, read as Prometheus does.
type scraped struct {
	text   string
	types  map[string]string  // of each family
	help   map[string]string  // of each family
	series map[string]float64 // by name and labels
}

func (w *watched) scrape() scraped {
	w.t.Helper()
	status, text := w.ask(http.MethodGet, "/metrics", "")
	require.Equal(w.t, http.StatusOK, status, text)
	s := scraped{text, map[string]string{}, map[string]string{}, map[string]float64{}}
	for line := range strings.Lines(text) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 4)
		switch {
		case words[0] == "#" && words[1] == "TYPE":
			s.types[words[2]] = words[3]
		case words[0] == "#" && words[1] == "HELP":
			s.help[words[2]] = words[3]
		default:
			at := strings.LastIndexByte(strings.TrimSpace(line), ' ')
			v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
			require.NoError(w.t, err, line)
			s.series[line[:at]] = v
		}
	}
	return s
}

// has says whether queries about the name find something.
func (s scraped) has(name string) bool {
	if s.types[name] != "" {
		return true
	}
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		if family, ok := strings.CutSuffix(name, part); ok && s.types[family] == "histogram" {
			return true
		}
	}
	return false
}

func TestMetricsAreServed(t *testing.T) {
	w := watch(t)
	for range 10 {
		w.answer <- http.StatusOK
	}
	w.share(1, `{"temperature":20}`)
	w.share(2, `{"temperature":35}`)
	w.share(2, `{"temperature":36}`)
	w.share(3, `{"temperature":null}`)
	status, _ := w.ask(http.MethodPost, "/api/v1/samples", `{"twin":"machin_1","feed":"currentTemp","data":{}}`)
	require.Equal(t, http.StatusUnprocessableEntity, status)
	<-w.received
	var s scraped
	want := map[string]float64{
		`tocsin_samples_total{source="api"}`: 4,
		`tocsin_source_up{source="plant"}`:   0,
		`tocsin_judged_samples_total`:        4,
		`tocsin_rule_samples_total{interaction="overheating",rule="too-hot",stage="received"}`: 4,
		`tocsin_rule_samples_total{interaction="overheating",rule="too-hot",stage="unknown"}`:  1,
		`tocsin_rule_samples_total{interaction="overheating",rule="too-hot",stage="raised"}`:   1,
		`tocsin_rule_state{interaction="overheating",rule="too-hot",state="ok"}`:               1,
		`tocsin_rule_state{interaction="overheating",rule="too-hot",state="degraded"}`:         0,
		`tocsin_late_samples_total{interaction="overheating"}`:                                 1,
		`tocsin_rule_eval_seconds_count`:                                                       4,
		`tocsin_outcomes_total{kind="output"}`:                                                 3,
		`tocsin_outcomes_total{kind="alert"}`:                                                  1,
		`tocsin_dead_letters_total{from="door",reason="unknown_twin"}`:                         1,
		`tocsin_dead_letters_total{from="sink",reason="refused"}`:                              0,
		`tocsin_alerts{severity="critical",status="firing"}`:                                   1,
		`tocsin_alert_events_total{event="raised",severity="critical"}`:                        1,
		`tocsin_sink_deliveries_total{kind="webhook",result="arrived",sink="pager"}`:           1,
		`tocsin_sink_deliveries_total{kind="log",result="arrived",sink="out"}`:                 4,
		`tocsin_sink_delivery_seconds_count{kind="webhook"}`:                                   1,
		`tocsin_sink_queue_messages{sink="pager"}`:                                             0,
		`tocsin_partition_lag_messages{partition="15"}`:                                        0,
		`tocsin_pool_workers`:                  1,
		`tocsin_pool_partitions`:               16,
		`tocsin_twins`:                         2,
		`tocsin_ready`:                         1,
		`tocsin_config_last_reload_successful`: 1,
		fmt.Sprintf(`tocsin_build_info{goversion=%q,version="dev"}`, runtime.Version()):          1,
		`tocsin_rule_lost_total{interaction="overheating",rule="too-hot"}`:                       0,
		`tocsin_rule_samples_total{interaction="overheating",rule="too-hot",stage="filtered"}`:   0,
		`tocsin_rule_samples_total{interaction="overheating",rule="too-hot",stage="suppressed"}`: 0,
		`tocsin_rule_eval_seconds_bucket{le="+Inf"}`:                                             4,
		`tocsin_sink_deliveries_total{kind="webhook",result="given_up",sink="pager"}`:            0,
		`tocsin_dead_letters_total{from="feed",reason="not_json"}`:                               0,
		`tocsin_alert_events_total{event="cleared",severity="info"}`:                             0,
		`tocsin_rule_samples_total{interaction="overheating",rule="too-hot",stage="late"}`:       1,
		`tocsin_sink_deliveries_total{kind="webhook",result="retried",sink="pager"}`:             0,
	}
	left := func() map[string]float64 { // what is not as wanted yet
		s = w.scrape()
		wrong := map[string]float64{}
		for series, v := range want {
			if got, ok := s.series[series]; !ok || got != v {
				wrong[series] = got
			}
		}
		return wrong
	}
	wrong := left()
	for end := time.Now().Add(30 * time.Second); len(wrong) > 0 && time.Now().Before(end); wrong = left() {
		<-time.After(20 * time.Millisecond)
	}
	assert.Empty(t, wrong)

	problems, err := promlint.New(strings.NewReader(s.text)).Lint()
	require.NoError(t, err, "Prometheus can read it")
	for _, p := range problems {
		assert.NotContains(t, p.Metric, "tocsin_", p.Text)
	}
	assert.NotContains(t, s.text, "machine_1", "twins are many: none of them may be a label")
	assert.NotContains(t, s.text, "twin=")

	t.Run("what the operator's guide promises is served, and the other way round", func(t *testing.T) {
		promised := map[string]bool{}
		for _, m := range regexp.MustCompile("(?m)^\\| `(tocsin_[a-z_]+)` \\|").FindAllStringSubmatch(read(t, "docs/operators.md"), -1) {
			promised[m[1]] = true
		}
		served := map[string]bool{}
		for name := range s.types {
			if strings.HasPrefix(name, "tocsin_") {
				served[name] = true
				assert.NotEmpty(t, s.help[name], name)
			}
		}
		assert.Equal(t, slices.Sorted(maps.Keys(promised)), slices.Sorted(maps.Keys(served)))
	})
	t.Run("dashboard", func(t *testing.T) { checkDashboard(t, s) })
	t.Run("alerts of Prometheus", func(t *testing.T) {
		checkNames(t, s, read(t, "deploy/prometheus/tocsin.rules.yml"))
	})
}

// read gives a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(text)
}

var metricName = regexp.MustCompile(`\b(?:tocsin|go|process)_[a-z_]+\b`)

// checkNames fails for each metric that is named and not served.
func checkNames(t *testing.T, s scraped, text string) {
	t.Helper()
	names := metricName.FindAllString(text, -1)
	require.NotEmpty(t, names)
	for _, name := range names {
		assert.True(t, s.has(name), "%s is not served", name)
	}
}

// panel is what the checks read of a dashboard's panel.
type panel struct {
	ID      int
	Type    string
	Title   string
	Targets []struct{ Expr string }
}

func dashboardPanels(t *testing.T) []panel {
	t.Helper()
	var d struct {
		UID, Title string
		Panels     []panel
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, "deploy/grafana/tocsin.json")), &d))
	require.NotEmpty(t, d.UID)
	require.NotEmpty(t, d.Panels)
	return d.Panels
}

func checkDashboard(t *testing.T, s scraped) {
	ids := map[int]bool{}
	for _, p := range dashboardPanels(t) {
		assert.False(t, ids[p.ID], "panel id %d is there twice", p.ID)
		ids[p.ID] = true
		assert.NotEmpty(t, p.Title)
		assert.Equal(t, p.Type == "row", len(p.Targets) == 0, "%s: a row has no query, every other panel has one", p.Title)
		for _, target := range p.Targets {
			checkNames(t, s, target.Expr)
		}
	}
}

// promtool is a command of Prometheus; the test is skipped where it is not installed.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian: apt-get install prometheus)")
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	assert.NoError(t, err, "%s", out)
}

func TestPrometheusRules(t *testing.T) {
	dir := filepath.Join("..", "..", "deploy", "prometheus")
	promtool(t, "check", "rules", filepath.Join(dir, "tocsin.rules.yml"))
	promtool(t, "test", "rules", filepath.Join(dir, "tocsin.rules.test.yml"))
}

// The dashboard's queries are given to promtool as the expressions of rules.
func TestDashboardQueries(t *testing.T) {
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$interaction", ".*")
	var file bytes.Buffer
	file.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for _, p := range dashboardPanels(t) {
		for i, target := range p.Targets {
			fmt.Fprintf(&file, "      - {record: 'panel:%d:%d', expr: %s}\n", p.ID, i, strconv.Quote(variables.Replace(target.Expr)))
		}
	}
	name := filepath.Join(t.TempDir(), "dashboard.yml")
	require.NoError(t, os.WriteFile(name, file.Bytes(), 0o600))
	promtool(t, "check", "rules", name)
}

// From the first moment of its stop an engine says that it is not ready and takes
// no samples, and still tells how it is while its sinks finish.
func TestAStoppingEngineSaysSo(t *testing.T) {
	w := watch(t)
	status, text := w.ask(http.MethodGet, "/startupz", "")
	assert.Equal(t, http.StatusOK, status, text)
	require.Eventually(t, func() bool { // a source begins once the engine is ready
		status, text = w.ask(http.MethodGet, "/readyz", "")
		return status == http.StatusOK && strings.Contains(text, `"source plant"`)
	}, 30*time.Second, 20*time.Millisecond, "%s", &w.log)
	var ready struct {
		Ready      bool
		Components []struct {
			Name  string
			OK    bool
			Since time.Time
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &ready))
	assert.True(t, ready.Ready)
	var names []string
	for _, c := range ready.Components {
		names = append(names, c.Name)
		assert.Equal(t, c.Name != "source plant", c.OK, c.Name)
		assert.WithinDuration(t, time.Now(), c.Since, 5*time.Minute)
	}
	assert.Equal(t, []string{"bus", "streams", "rules", "partitions", "sink pager", "sink out", "source plant"}, names, "a source that is away is told of, and is no reason to send nothing here")
	require.Eventually(t, func() bool {
		_, text := w.ask(http.MethodGet, "/api/v1/scale", "")
		return text == `{"lag":0,"workers":1}`+"\n"
	}, 30*time.Second, 20*time.Millisecond)

	w.share(1, `{"temperature":35}`)
	<-w.received // and is not answered: the engine's end waits for it
	require.NoError(t, w.cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		status, text = w.ask(http.MethodGet, "/readyz", "")
		return status == http.StatusServiceUnavailable
	}, 20*time.Second, time.Millisecond) // the engine's end waits for longer
	assert.Contains(t, text, `"stopping":true`)
	status, text = w.ask(http.MethodPost, "/api/v1/samples", `{"twin":"machine_1","feed":"currentTemp","data":{"temperature":1}}`)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, `{"error":"the engine is stopping","stored":0}`+"\n", text)
	status, _ = w.ask(http.MethodGet, "/livez", "")
	assert.Equal(t, http.StatusOK, status)
	assert.Zero(t, w.scrape().series["tocsin_ready"])
	w.answer <- http.StatusOK
	assert.NoError(t, w.cmd.Wait(), "%s", &w.log)
}

func TestAdminListener(t *testing.T) {
	w := watch(t)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/vars"} {
		status, _ := w.operate(http.MethodGet, path, "", nil)
		assert.Equal(t, http.StatusOK, status, path)
		status, _ = w.ask(http.MethodGet, path, "")
		assert.Equal(t, http.StatusNotFound, status, "%s is not for everybody", path)
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{http.MethodGet, "/api/v1/log/level", "", 200, `{"level":"warn"}`},
		{http.MethodPut, "/api/v1/log/level", `{"level":"info"}`, 200, `{"level":"info"}`},
		{http.MethodGet, "/api/v1/log/level", "", 200, `{"level":"info"}`},
		{http.MethodPut, "/api/v1/log/level", `{"level":"loud"}`, 400, `{"error":"body:1:10: /level: got \"loud\"; want one of trace, debug, info, warn, error"}`},
		{http.MethodPut, "/api/v1/log/level", ``, 400, `{"error":"body:1:1: field \"level\" is missing"}`},
		{http.MethodDelete, "/api/v1/log/level", "", 405, `{"error":"no DELETE at /api/v1/log/level","want":["GET","HEAD","PUT"]}`},
		{http.MethodPost, "/api/v1/reload", "", 200, `{"ok":true}`},
	} {
		status, text := w.operate(tt.method, tt.path, tt.body, nil)
		assert.Equal(t, fmt.Sprint(tt.status, " ", tt.text, "\n"), fmt.Sprint(status, " ", text), "%s %s %s", tt.method, tt.path, tt.body)
	}
	status, _ := w.operate(http.MethodPost, "/api/v1/reload", "", http.Header{"Origin": {"https://elsewhere.example"}})
	assert.Equal(t, http.StatusForbidden, status, "no page of others may do it")

	w.write("rule.json", "{")
	status, text := w.operate(http.MethodPost, "/api/v1/reload", "", nil)
	assert.Equal(t, http.StatusUnprocessableEntity, status)
	assert.Contains(t, text, "rule.json:1:2: the document ends too early")
	assert.Zero(t, w.scrape().series["tocsin_config_last_reload_successful"])

	w.write("rule.json", strings.Replace(crashRule, "too-hot", "hotter", 1))
	require.Eventually(t, func() bool {
		status, _ = w.operate(http.MethodPost, "/api/v1/reload", "", nil)
		return status == http.StatusOK && w.scrape().series["tocsin_config_last_reload_successful"] == 1
	}, 30*time.Second, 50*time.Millisecond)
	require.NoError(t, w.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, w.cmd.Wait())
	assert.Contains(t, w.log.String(), `"was":"warn","is":"info"`)
	assert.Contains(t, w.log.String(), "interaction runs", "the new level is the one that counts")
}

func TestAdminListensOnlyWhereItIsTold(t *testing.T) {
	assert.Empty(t, defaultConfig().HTTP.Admin)
	for address, want := range map[string]string{
		"":               "",
		"127.0.0.1:6060": "",
		"0.0.0.0:6060":   "",
		"[::1]:6060":     "",
		":6060":          `got ":6060", which is every interface; want a host too, such as 127.0.0.1:6060`,
		"localhost":      `got "localhost"; want host:port`,
	} {
		err := checkAdmin(address)
		if want == "" {
			assert.NoError(t, err, address)
			continue
		}
		assert.EqualError(t, err, want)
	}
}
