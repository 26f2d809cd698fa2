package benchmarks

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-stomp/stomp/v3/frame"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/wsconn"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// BenchmarkSpaceSearch asks an engine with so many machines for a page of them
// over the IOTICS API, one search after the other.
func BenchmarkSpaceSearch(b *testing.B) {
	long(b)
	for _, count := range []int{10, 1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("twins=%d", count), func(b *testing.B) {
			w := startWorker(b, spaceOf(b, count))
			for _, search := range []struct{ name, filter string }{
				{"serial", `{"properties":[{"key":"https://data.iotics.com/tutorial#serialNumber","stringLiteralValue":{"value":"000007"}}]}`},
				{"model500", `{"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:iotics:iotModel"}}]}`},
				{"word", `{"text":"machine_7"}`},
				{"nothing", `{"text":"turbine"}`},
				{"circle", `{"location":{"location":{"lat":51.6,"lon":0},"radiusKm":2}}`},
			} {
				b.Run(search.name, func(b *testing.B) {
					var all []time.Duration
					for b.Loop() {
						begin := time.Now()
						w.post(http.MethodPost, "/qapi/searches", `{"filter":`+search.filter+`,"responseType":"FULL"}`)
						all = append(all, time.Since(begin))
					}
					reportQuantiles(b, all)
				})
			}
			b.Logf("%d twins: ready after %s, %.0f MB", count, w.ready.Round(time.Millisecond), w.megabytes("VmRSS"))
		})
	}
}

// BenchmarkSpaceStart starts an engine with so many machines of files for the first
// time, and once more on the same data: how long until it is ready, what processor
// time that took, and the most memory that it had.
func BenchmarkSpaceStart(b *testing.B) {
	long(b)
	for _, count := range []int{10_000, 30_000, 100_000} {
		b.Run(fmt.Sprintf("twins=%d", count), func(b *testing.B) {
			for b.Loop() {
				settings := spaceOf(b, count)
				for _, name := range []string{"first", "again"} {
					w := startWorker(b, settings)
					b.ReportMetric(w.ready.Seconds(), name+"-s")
					b.ReportMetric(w.processor().Seconds(), name+"-cpu-s")
					b.ReportMetric(w.megabytes("VmHWM"), name+"-MB")
					w.stop()
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkSpaceShare shares samples over the IOTICS API: one after the other,
// with the time until a follower has the MESSAGE over a WebSocket, of the feed
// itself and of the output twin; and by eight clients at once.
func BenchmarkSpaceShare(b *testing.B) {
	long(b)
	settings := spaceOf(b, 10)
	settings["rules"] = spaceRules(b)
	w := startWorker(b, settings)
	machine := twins.NewID("machine", "7")
	for _, follow := range []struct{ name, path string }{
		{"to=feed", "/twins/" + machine + "/feeds/currentTemp"},
		{"to=output", "/twins/" + twins.OutputID("overheating", machine) + "/feeds/temperature_status"},
	} {
		b.Run(follow.name, func(b *testing.B) {
			messages, end := w.follow(follow.path)
			defer end()
			var all []time.Duration
			for i := 0; b.Loop(); i++ {
				begin := time.Now()
				w.share(machine, i)
				all = append(all, receive(b, messages, "a MESSAGE").Sub(begin))
			}
			reportQuantiles(b, all)
		})
	}
	b.Run("clients=8", func(b *testing.B) {
		begin := time.Now()
		var clients sync.WaitGroup
		for c := range 8 {
			clients.Go(func() {
				for i := c; i < b.N; i += 8 {
					w.share(twins.NewID("machine", strconv.Itoa(c)), i)
				}
			})
		}
		clients.Wait()
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "shares/s")
	})
}

// spaceOf are the settings of an engine with so many machines.
func spaceOf(b *testing.B, count int) map[string]any {
	b.Helper()
	dir := b.TempDir()
	var text []byte
	var files []string
	for i := range count {
		if text = append(text, ','); i%10_000 == 0 { // a document has its limit
			text = []byte("[")
		}
		t := twins.Twin{
			ID: twins.NewID("machine", strconv.Itoa(i)), Visibility: twins.Private,
			Properties: []rules.Property{
				twins.URI(rules.PropModel, "did:iotics:iotModel"),
				twins.String("https://data.iotics.com/tutorial#serialNumber", fmt.Sprintf("%06d", i)),
				twins.LangString(rules.PropLabel, fmt.Sprintf("machine_%d (tutorial)", i), "en"),
			},
			Location: &rules.Location{Lat: 51.5 + float64(i%100)/100, Lon: -0.1 + float64(i/100%100)/100},
			Feeds:    []rules.Feed{{ID: "currentTemp", StoreLast: true}},
		}
		text = t.AppendJSON(text)
		if i%10_000 == 9_999 || i == count-1 {
			files = append(files, filepath.Join(dir, fmt.Sprintf("twins_%d.json", i)))
			require.NoError(b, os.WriteFile(files[len(files)-1], append(text, ']'), 0o600))
		}
	}
	return map[string]any{"bus": map[string]any{"dir": filepath.Join(dir, "data")}, "twins": map[string]any{"files": files}, "log": map[string]any{"level": "warn"}}
}

func spaceRules(b *testing.B) string {
	b.Helper()
	text, err := os.ReadFile("../examples/rules/overheating/interaction.json")
	require.NoError(b, err)
	model := regexpModel.FindSubmatch(text)
	require.NotNil(b, model)
	file := filepath.Join(b.TempDir(), "interaction.json")
	require.NoError(b, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), string(model[1]), "did:iotics:iotModel")), 0o600))
	return file
}

func (w *worker) share(twin string, i int) {
	sample := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"temperature":%d.5}`, 25+i%10))
	w.post(http.MethodPost, "/qapi/twins/"+twin+"/feeds/currentTemp/shares", `{"sample":{"data":"`+sample+`","mime":"application/json"}}`)
}

func (w *worker) post(method, path, body string) {
	request, err := http.NewRequestWithContext(context.Background(), method, w.api+path, strings.NewReader(body))
	if err == nil {
		var response *http.Response
		if response, err = http.DefaultClient.Do(request); err == nil {
			if response.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s %s: %s", method, path, response.Status)
			}
			io.Copy(io.Discard, response.Body) //nolint:errcheck // it was said
			response.Body.Close()              //nolint:errcheck // it is read
		}
	}
	if err != nil {
		panic(err) // also in a client's goroutine
	}
}

// follow tells when each MESSAGE came.
func (w *worker) follow(destination string) (messages <-chan time.Time, end func()) {
	w.b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ws, _, err := websocket.Dial(ctx, strings.Replace(w.api, "http", "ws", 1)+"/ws", nil) //nolint:bodyclose // it has none
	require.NoError(w.b, err)
	conn := wsconn.New(ws, websocket.MessageText, nil, nil)
	_, err = io.WriteString(conn, "STOMP\naccept-version:1.2\nhost:a\n\n\x00SUBSCRIBE\nid:1\nreceipt:r\ndestination:"+strings.ReplaceAll(destination, ":", `\c`)+"\n\n\x00")
	require.NoError(w.b, err)
	came, receipt := make(chan time.Time, 1024), make(chan struct{})
	go func() {
		reader := frame.NewReader(bufio.NewReader(conn))
		for {
			f, err := reader.Read()
			switch {
			case err != nil:
				return
			case f == nil: // a heart-beat
			case f.Command == frame.RECEIPT:
				close(receipt)
			case f.Command == frame.MESSAGE:
				came <- time.Now()
			}
		}
	}()
	receive(w.b, receipt, "the receipt of "+destination)
	return came, func() { cancel(); ws.CloseNow() } //nolint:errcheck // it is over
}

func reportQuantiles(b *testing.B, all []time.Duration) {
	b.Helper()
	slices.Sort(all)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(quantile(all, 0.5), "p50-ms")
	b.ReportMetric(quantile(all, 0.99), "p99-ms")
}

// regexpModel finds the model that the example's source asks for.
var regexpModel = regexp.MustCompile(`"(did:iotics:iot[^"]+)"`)
