package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/porttest"
)

// lively is an engine with two machines whose events are followed.
func lively(t *testing.T, http string) *watched {
	w := &watched{process: process{t: t, dir: t.TempDir(), port: porttest.Port(t)}}
	w.write("rule.json", crashRule)
	twin := `{"twinId":"machine_%d","properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:m"}}],"feeds":[{"id":"currentTemp"}]}`
	w.write("twins.json", "["+fmt.Sprintf(twin, 1)+","+fmt.Sprintf(twin, 2)+"]")
	w.write("engine.json", fmt.Sprintf(`{"bus":{"dir":%q},"http":{"listen":"127.0.0.1:%d"%s},"rules":%q,"twins":{"files":[%q]},"log":{"level":"warn"}}`,
		w.file("data"), w.port, http, w.file("rule.json"), w.file("twins.json")))
	w.start()
	t.Cleanup(w.kill)
	return w
}

func (w *watched) temperature(machine, second int, degrees float64) {
	w.t.Helper()
	status, text := w.ask(http.MethodPost, "/api/v1/samples", fmt.Sprintf(
		`{"twin":"machine_%d","feed":"currentTemp","occurredAt":"2026-11-02T10:%02d:%02dZ","data":{"temperature":%g}}`, machine, second/60, second%60, degrees))
	require.Equal(w.t, http.StatusOK, status, text)
}

// sent is an event as it is sent to browsers.
type sent struct{ id, kind, data string }

// stream is an open stream of events.
type stream struct {
	t      *testing.T
	lines  *bufio.Scanner
	id     string // the last one
	cancel context.CancelFunc
}

func (w *watched) events(topics, after string) *stream {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	w.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url("/api/v1/events?topics="+url.QueryEscape(topics)), http.NoBody)
	require.NoError(w.t, err)
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { resp.Body.Close() }) //nolint:errcheck // it is read
	require.Equal(w.t, http.StatusOK, resp.StatusCode)
	require.Equal(w.t, "text/event-stream", resp.Header.Get("Content-Type"))
	s := &stream{t: w.t, lines: bufio.NewScanner(resp.Body), cancel: cancel}
	first, ok := s.next()
	require.True(w.t, ok, &w.log)
	require.Empty(w.t, first.kind)
	require.NotEmpty(w.t, s.id)
	return s
}

// next is the next event, or the id that comes first; false when the stream has ended.
func (s *stream) next() (e sent, ok bool) {
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data = value
		case "":
			if e.id != "" {
				s.id = e.id
				return e, true
			}
		}
	}
	return e, false
}

func (s *stream) take(n int) (out []string) {
	s.t.Helper()
	for range n {
		e, ok := s.next()
		require.True(s.t, ok, "the stream ended after %q: %v", out, s.lines.Err())
		var data struct {
			Twin, Event string
			Data        map[string]any
		}
		require.NoError(s.t, json.Unmarshal([]byte(e.data), &data), e.data)
		out = append(out, strings.TrimSpace(fmt.Sprint(e.kind, " ", data.Twin, " ", data.Data["temperature"], " ", data.Event)))
	}
	return out
}

// Whoever goes on where they were misses nothing and gets nothing twice, though
// the engine has died meanwhile.
func TestEventsGoOnWhereTheyWere(t *testing.T) {
	w := lively(t, "")
	machine := w.events("feed:machine_1/currentTemp", "")
	alerts := w.events("alerts:critical.overheating:too-hot.>", "")
	all := w.events("samples,alerts", "")
	w.temperature(1, 1, 20)
	w.temperature(2, 1, 31)
	w.temperature(1, 2, 32)
	assert.Equal(t, []string{"sample machine_1 20", "sample machine_1 32"}, machine.take(2))
	assert.Equal(t, []string{"alert machine_2 31 raised", "alert machine_1 32 raised"}, alerts.take(2))
	assert.Len(t, all.take(8), 8, "three samples, three outputs, two alerts")
	alerts.cancel()
	quiet := w.events("twin:machine_2", "") // nothing has happened yet

	w.temperature(2, 3, 12)
	w.kill()
	w.start()
	w.temperature(1, 4, 34)
	assert.Equal(t, []string{"sample machine_1 34"}, w.events("feed:machine_1/currentTemp", machine.id).take(1))
	assert.Equal(t, []string{"alert machine_2 12 cleared"}, w.events("alerts", alerts.id).take(1))
	rest := w.events("samples,alerts", all.id)
	got := rest.take(5)
	assert.ElementsMatch(t, []string{"sample machine_2 12", "sample machine_1 34", "alert machine_2 12 cleared"}, withoutOutputs(got))
	two := w.events("twin:machine_2", quiet.id).take(2)
	assert.ElementsMatch(t, []string{"sample machine_2 12", "alert machine_2 12 cleared"}, two)
	w.temperature(2, 5, 35)
	assert.ElementsMatch(t, []string{"sample machine_2 35", "alert machine_2 35 raised"}, withoutOutputs(rest.take(3)))
}

// withoutOutputs leaves out what output twins share.
func withoutOutputs(events []string) (out []string) {
	for _, e := range events {
		if !strings.HasPrefix(e, "sample did:iotics:") {
			out = append(out, e)
		}
	}
	return out
}

func TestWrongQuestionsForEvents(t *testing.T) {
	w := lively(t, "")
	for query, want := range map[string]string{
		"":                                 `400 {"error":"topics is missing; want such as topics=alerts,twin:machine_1"}`,
		"topics=alrts":                     `400 {"error":"topics: no topic \"alrts\"; did you mean \"alerts\"?"}`,
		"topics=alerts:a..b":               `400 {"error":"no such topic: pattern \"a..b\" has an empty token"}`,
		"topics=alerts&after=garbage":      `400 {"error":"not the id of an event: \"garbage\""}`,
		"topics=alerts&aftr=a1":            `400 {"error":"aftr: no such parameter; did you mean \"after\"?"}`,
		"topics=alerts&quiet=perhaps":      `400 {"error":"quiet: got \"perhaps\"; want true or false"}`,
		"topics=feed:machine_1":            `400 {"error":"topics: \"feed:machine_1\": not two ids with a slash between them; want feed:TWIN/FEED"}`,
		"topics=" + strings.Repeat(",", 9): `400 {"error":"topics: no topic \"\"; want one of alerts, feed, input, notifications, outputs, samples, stickers, twin"}`,
	} {
		status, text := w.ask(http.MethodGet, "/api/v1/events?"+query, "")
		assert.Equal(t, want, fmt.Sprint(status, " ", strings.TrimSpace(text)), query)
	}
	for _, id := range []string{"\x01", "-", "f", "f1-f1", strings.Repeat("f1-", 10_000), "f18446744073709551616", "f1.4294967295", "é"} {
		status, text, err := request(t.Context(), http.MethodGet, w.url("/api/v1/events?topics=alerts"), "", http.Header{"Last-Event-Id": {strings.Trim(id, "\x01") + "x"}})
		require.NoError(t, err)
		assert.Equal(t, http.StatusBadRequest, status, id)
		assert.Less(t, len(text), 200, "what is wrong is said in short")
	}
}

// chromium is the browser, or the test is skipped where there is none: never in CI.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("no chromium: CI has to have one")
	}
	t.Skip("no chromium on this machine: no real browser has been tried")
	return ""
}

const eventPage = `<!doctype html><title>events</title><script>
const report = (text) => fetch("/report", {method: "POST", body: text});
const es = new EventSource(new URLSearchParams(location.search).get("events"));
es.onopen = () => report("open");
for (const kind of ["sample", "alert"]) es.addEventListener(kind, (e) => {
  const d = JSON.parse(e.data);
  report([kind, d.twin, d.data.temperature, d.event || "", e.lastEventId ? "id" : "no id"].join(" "));
});
</script>`

// browse opens the page in a real browser, and gives what it reports.
func browse(t *testing.T, server *httptest.Server, page string) {
	t.Helper()
	var out bytes.Buffer
	profile, err := os.MkdirTemp("", "tocsin-browser-") //nolint:usetesting // processes of the browser may still write there
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.Eventually(t, func() bool { return os.RemoveAll(profile) == nil }, 30*time.Second, 20*time.Millisecond)
	})
	cmd := exec.CommandContext(t.Context(), chromium(t), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0", "--user-data-dir="+profile, server.URL+page)
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(out.String())
		}
	})
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may be dead already
		cmd.Wait()         //nolint:errcheck // killed is what it is meant to be
	})
}

// A browser's own EventSource, on a page of another origin, goes on by itself
// when the engine comes back.
func TestEventsInABrowser(t *testing.T) {
	reports := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, err := io.ReadAll(r.Body)
			if err == nil {
				reports <- string(body)
			}
			return
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, eventPage) //nolint:errcheck // the browser is gone
	}))
	t.Cleanup(server.Close)
	w := lively(t, fmt.Sprintf(`,"cors":[%q]`, server.URL))
	next := func() string {
		select {
		case text := <-reports:
			return text
		case <-time.After(2 * time.Minute):
			require.Fail(t, "the browser reports nothing", &w.log)
		}
		return ""
	}
	browse(t, server, "/?events="+url.QueryEscape(w.url("/api/v1/events?topics=feed:machine_1/currentTemp,alerts")))
	require.Equal(t, "open", next())
	w.temperature(1, 1, 20)
	assert.Equal(t, "sample machine_1 20  id", next())
	w.temperature(1, 2, 31)
	assert.ElementsMatch(t, []string{"sample machine_1 31  id", "alert machine_1 31 raised id"}, []string{next(), next()})
	w.kill()
	w.start()
	w.temperature(1, 3, 13)
	got := []string{next(), next(), next()}
	assert.ElementsMatch(t, []string{"open", "sample machine_1 13  id", "alert machine_1 13 cleared id"}, got)
	w.temperature(1, 4, 14)
	assert.Equal(t, "sample machine_1 14  id", next())
}

// A twin may have any name that fits, and is found, shared on and followed by it.
func TestOddNames(t *testing.T) {
	w := lively(t, "")
	for _, id := range []string{"a.b", "*", ">", "a/b", "a b", "a,b", "50%", "%2F", "ü€", "..", "a?b#c", "did:iotics:iotDKL4C6HSAhCHP1GP6GGEVXDV8ycp8FHMp", strings.Repeat("x", 128)} {
		document, err := json.Marshal(map[string]any{"twinId": map[string]string{"id": id}, "feeds": []any{map[string]any{"id": id, "storeLast": true}}})
		require.NoError(t, err)
		status, text := w.ask(http.MethodPut, "/qapi/twins", string(document))
		require.Equal(t, http.StatusOK, status, "%s: %s", id, text)
		twin := "/qapi/twins/" + inPath(id)
		status, text = w.ask(http.MethodGet, twin, "")
		require.Equal(t, http.StatusOK, status, "%s: %s", id, text)
		topic := "feed:" + inPath(id) + "/" + inPath(id)
		feed, whole := w.events(topic, ""), w.events("twin:"+inPath(id), "")
		status, text = w.ask(http.MethodPost, twin+"/feeds/"+inPath(id)+"/shares", `{"sample":{"data":"eyJ0ZW1wZXJhdHVyZSI6MzF9","mime":"application/json","occurredAt":"2026-11-02T10:00:00Z"}}`)
		require.Equal(t, http.StatusOK, status, "%s: %s", id, text)
		assert.Equal(t, []string{"sample " + id + " 31"}, feed.take(1), id)
		assert.Equal(t, []string{"sample " + id + " 31"}, whole.take(1), id)
		feed.cancel()
		whole.cancel()
		status, text = w.ask(http.MethodDelete, twin, "")
		require.Equal(t, http.StatusOK, status, "%s: %s", id, text)
	}
	long := strings.Repeat("x", 10_000)
	for request, want := range map[string]int{
		"GET /qapi/twins/" + long:                                 400,
		"DELETE /qapi/twins/" + long:                              400,
		"GET /qapi/twins/machine_1/feeds/" + long:                 400,
		"GET /api/v1/alerts/" + long:                              404,
		"GET /api/v1/rules/" + long:                               404,
		"GET /api/v1/events?topics=feed:" + long + "/t":           400,
		"GET /api/v1/events?topics=alerts:" + long:                400,
		"GET /api/v1/explain?rule=" + long:                        404,
		"GET /api/v1/explain?rule=overheating&at=3pm":             400,
		"GET /1.0/discover/" + long:                               404,
		"GET /api/v1/deadletters/" + long:                         400,
		"POST /api/v1/alerts/" + long + "/ack":                    400,
		"GET /qapi/twins/machine_1/" + long:                       404,
		"BREW /qapi/twins":                                        405,
		"GET /api/v1/deadletters?reason=" + url.QueryEscape(long): 200,
	} {
		method, path, _ := strings.Cut(request, " ")
		status, text := w.ask(method, path, "")
		assert.Equal(t, want, status, "%.60s: %.200s", request, text)
		assert.Less(t, len(text), 2*len(long), "%.60s", request)
	}
}

// inPath is a name as it stands in a path: also one that is only dots.
func inPath(id string) string { return strings.ReplaceAll(url.PathEscape(id), ".", "%2E") }
