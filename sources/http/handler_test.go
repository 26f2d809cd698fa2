package http

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/pause"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// recorder is an Emit that remembers, or fails with err.
type recorder struct {
	samples []rules.Sample
	calls   int
	err     error
}

func (r *recorder) emit(_ context.Context, batch ...rules.Sample) error {
	r.calls++
	if r.err != nil {
		return r.err
	}
	r.samples = append(r.samples, batch...)
	return nil
}

func newHandler(r *recorder) *Handler {
	return NewHandler(Options{
		Emit: r.emit, MaxSampleBytes: 100, MaxBodyBytes: 2000, Now: func() time.Time { return now },
		Known: func(twin, feed string, at time.Time) (bool, string) {
			switch {
			case twin == "machne_1":
				return false, `unknown twin "machne_1"; did you mean "machine_1"?`
			case feed == "nope":
				return false, ""
			case at.After(now):
				return false, "in the future"
			}
			return true, ""
		},
	})
}

func post(h http.Handler, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/samples", strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestOneSample(t *testing.T) {
	sample := func(data string) string { return `{"twin":"t","feed":"f","data":` + data + `}` }
	deep := strings.Repeat(`{"a":`, 10_001) + "1" + strings.Repeat("}", 10_001)
	for name, tt := range map[string]struct {
		body   string
		status int
		answer string
	}{
		"good":            {sample(`{"a":1}`), 200, `{"stored":1}`},
		"over some lines": {"{\n \"twin\": \"t\",\n \"feed\": \"f\",\n \"data\": {\n  \"a\": 1\n }\n}\n", 200, `{"stored":1}`},
		"duplicate data":  {sample(`{"a":1,"a":2}`), 200, `{"stored":1}`},
		"big numbers":     {sample(`{"a":1e308,"b":123456789012345678901234567890,"c":1e-400}`), 200, `{"stored":1}`},
		"empty":           {" \n", 400, `{"stored":0,"error":"empty body; want {\"twin\",\"feed\",\"occurredAt\",\"data\":{…}}, or several, one a line"}`},
		"not JSON":        {`temperature=31`, 400, `{"stored":0,"refused":[{"line":1,"error":"body:1:1: got temperature=31; want one object with twin, feed, occurredAt and data a line"}]}`},
		"array":           {`[` + sample(`{}`) + `]`, 400, `{"stored":0,"refused":[{"line":1,"error":"body:1:1: got an array; want one object with twin, feed, occurredAt and data a line"}]}`},
		"typo":            {`{"twn":"t"}`, 400, `{"stored":0,"refused":[{"line":1,"error":"body:1:2: unknown field \"twn\"; did you mean \"twin\"?"}]}`},
		"two on a line":   {sample(`{}`) + sample(`{}`), 400, `{"stored":0,"refused":[{"line":1,"error":"body:1:34: text after the end of the sample; want one sample a line"}]}`},
		"NaN":             {sample(`{"a":NaN}`), 400, `{"stored":0,"refused":[{"line":1,"error":"body:1:36: /data: invalid character 'N' looking for beginning of value"}]}`},
		"1e400":           {sample(`{"é":1,"a":-1e400}`), 400, `{"stored":0,"refused":[{"line":1,"error":"body:1:42: /data: number -1e400 is out of range; want one that a 64-bit float can hold"}]}`},
		"brackets":        {sample(`{"a":[}}`), 400, `{"stored":0,"refused":[{"line":1,"error":"body:1:37: /data: invalid character '}' looking for beginning of value"}]}`},
		"deep":            {sample(deep), 413, fmt.Sprintf(`{"stored":0,"refused":[{"line":1,"error":"data of %d bytes; want at most 100"}]}`, len(deep))},
		"data too large":  {sample(`{"a":"` + strings.Repeat("x", 93) + `"}`), 413, `{"stored":0,"refused":[{"line":1,"error":"data of 101 bytes; want at most 100"}]}`},
		"just not":        {sample(`{"a":"` + strings.Repeat("x", 92) + `"}`), 200, `{"stored":1}`},
		"unknown twin":    {`{"twin":"machne_1","feed":"f","data":{}}`, 422, `{"stored":0,"refused":[{"line":1,"error":"unknown twin \"machne_1\"; did you mean \"machine_1\"?"}]}`},
		"unknown feed":    {`{"twin":"t","feed":"nope","data":{}}`, 422, `{"stored":0,"refused":[{"line":1,"error":"unknown twin \"t\" or feed \"nope\""}]}`},
		"a line inside":   {"{\"twin\":\"t\",\"feed\":\"f\",\"data\":{\"a\":[\n{\"b\":1},\n{\"b\":2}\n]}}", 200, `{"stored":1}`},
		"second line":     {"{\"twin\":\"t\",\n\"feed\":\"f\",\n\"data\":{\"a\":tru}}", 400, `{"stored":0,"refused":[{"line":1,"error":"body:3:16: /data: invalid character '}' in literal true (expecting 'e')"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			var r recorder
			h := newHandler(&r)
			h.MaxBodyBytes = 1 << 20
			w := post(h, tt.body)
			assert.Equal(t, tt.status, w.Code)
			assert.Equal(t, tt.answer+"\n", w.Body.String())
			assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
			switch {
			case strings.TrimSpace(tt.body) == "":
				assert.Empty(t, r.samples)
			case tt.status == 200:
				require.Len(t, r.samples, 1)
				assert.Empty(t, r.samples[0].Refused)
				assert.NotContains(t, string(r.samples[0].Data), "\n")
			default:
				require.Len(t, r.samples, 1, "a dead letter")
				assert.NotEmpty(t, r.samples[0].Refused)
				assert.Equal(t, tt.body, string(r.samples[0].Data))
			}
		})
	}
}

func TestDepthIsThatOfEncodingJSON(t *testing.T) {
	for depth, status := range map[int]int{10_000: 200, 10_001: 400} {
		var r recorder
		w := post(NewHandler(Options{Emit: r.emit}), `{"twin":"t","feed":"f","data":`+strings.Repeat(`{"a":`, depth-1)+"{}"+strings.Repeat("}", depth-1)+`}`)
		assert.Equal(t, status, w.Code, w.Body.String())
	}
}

func TestTimesAndIDs(t *testing.T) {
	var r recorder
	body := `{"twin":"t","feed":"f","data":{},"occurredAt":"2026-01-01T00:00:00Z","id":"own"}` + "\n\n" + `{"twin":"t","feed":"f","data":{}}` + "\n" + `{"twin":"t"}`
	w := post(newHandler(&r), body, "Idempotency-Key", "k")
	require.Equal(t, 200, w.Code, w.Body.String())
	require.Len(t, r.samples, 3)
	assert.Equal(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), r.samples[0].At)
	assert.Equal(t, now, r.samples[1].At)
	assert.Equal(t, []string{"own", "k/3", "k/4"}, []string{r.samples[0].ID, r.samples[1].ID, r.samples[2].ID})

	r = recorder{}
	post(newHandler(&r), `{"twin":"t","feed":"f","data":{}}`, "Idempotency-Key", "k")
	assert.Equal(t, "k/1", r.samples[0].ID)

	r = recorder{}
	w = post(newHandler(&r), `{"twin":"t","feed":"f","data":{}}`, "Idempotency-Key", strings.Repeat("x", 241))
	assert.Equal(t, 400, w.Code)
	assert.JSONEq(t, `{"stored":0,"error":"Idempotency-Key of 241 bytes; want at most 240 without control characters"}`, w.Body.String())
	assert.Empty(t, r.samples)
}

func TestBatch(t *testing.T) {
	good := `{"twin":"t","feed":"f","data":{}}`
	for name, tt := range map[string]struct {
		body, contentType string
		status            int
		answer            string
		refused           []bool // of each sample that is emitted
	}{
		"all good":             {good + "\n" + good, "", 200, `{"stored":2}`, []bool{false, false}},
		"one bad":              {good + "\n\n{\n" + good + "\n", "", 200, `{"stored":2,"refused":[{"line":3,"error":"body:3:2: got nothing; want a field's name in quotes"}]}`, []bool{false, true, false}},
		"first bad":            {"{\"twin\":\n" + good + "\r\n" + good, "", 200, `{"stored":2,"refused":[{"line":1,"error":"body:1:9: /twin: got nothing; want the twin's id, a string"}]}`, []bool{true, false, false}},
		"last bad":             {good + "\noops", "", 200, `{"stored":1,"refused":[{"line":2,"error":"body:2:1: got oops; want one object with twin, feed, occurredAt and data a line"}]}`, []bool{false, true}},
		"all bad":              {"{}\n{}", "", 400, `{"stored":0,"refused":[{"line":1,"error":"body:1:1: field \"twin\" is missing"},{"line":2,"error":"body:2:1: field \"twin\" is missing"}]}`, []bool{true, true}},
		"unknown and large":    {strings.Replace(good, `"t"`, `"machne_1"`, 1) + "\n" + strings.Replace(good, `{}`, `{"a":"`+strings.Repeat("x", 100)+`"}`, 1), "", 400, `{"stored":0,"refused":[{"line":1,"error":"unknown twin \"machne_1\"; did you mean \"machine_1\"?"},{"line":2,"error":"data of 108 bytes; want at most 100"}]}`, []bool{true, true}},
		"one line, said so":    {`{"twin":"t","feed":"nope","data":{}}`, "application/x-ndjson; charset=utf-8", 400, `{"stored":0,"refused":[{"line":1,"error":"unknown twin \"t\" or feed \"nope\""}]}`, []bool{true}},
		"broken ends, said so": {"x\n" + good + "\nx", "Application/X-NDJSON", 200, `{"stored":1,"refused":[{"line":1,"error":"body:1:1: got x; want one object with twin, feed, occurredAt and data a line"},{"line":3,"error":"body:3:1: got x; want one object with twin, feed, occurredAt and data a line"}]}`, []bool{true, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			var r recorder
			w := post(newHandler(&r), tt.body, "Content-Type", tt.contentType)
			assert.Equal(t, tt.status, w.Code)
			assert.Equal(t, tt.answer+"\n", w.Body.String())
			assert.Equal(t, 1, r.calls)
			var refused []bool
			for _, s := range r.samples {
				refused = append(refused, s.Refused != "")
			}
			assert.Equal(t, tt.refused, refused)
		})
	}
}

func TestLongBatchGoesInParts(t *testing.T) {
	var r recorder
	h := NewHandler(Options{Emit: r.emit})
	w := post(h, strings.Repeat(`{"twin":"t","feed":"f","data":{}}`+"\n", 2500)+strings.Repeat("{}\n", 150), "Content-Type", "application/x-ndjson")
	require.Equal(t, 200, w.Code)
	assert.Equal(t, 3, r.calls)
	assert.Len(t, r.samples, 2650)
	assert.Contains(t, w.Body.String(), `{"stored":2500,`)
	assert.Contains(t, w.Body.String(), `"moreRefused":50}`)
	assert.Equal(t, 100, strings.Count(w.Body.String(), `"line":`))
}

func TestEmitFails(t *testing.T) {
	good := `{"twin":"t","feed":"f","data":{}}`
	for name, tt := range map[string]struct {
		err               error
		body, wait, error string
	}{
		"broker":      {errors.New("no broker"), good, "2", "not stored: no broker; send again, with an id or an Idempotency-Key nothing is stored twice"},
		"full":        {fmt.Errorf("stream FEED: %w", sources.ErrFull), good, "30", "not stored: stream FEED: the store is full; send again when its operator has given it more room or the samples in it have been judged"},
		"dead letter": {errors.New("no broker"), "oops", "2", "not stored: no broker; send again, with an id or an Idempotency-Key nothing is stored twice"},
	} {
		t.Run(name, func(t *testing.T) {
			w := post(newHandler(&recorder{err: tt.err}), tt.body)
			assert.Equal(t, 503, w.Code)
			assert.Equal(t, tt.wait, w.Header().Get("Retry-After"))
			assert.Contains(t, w.Body.String(), `"stored":0,"error":`+strconv.Quote(tt.error))
		})
	}
}

// notAllowed is the error of an Emit that refuses who has sent the samples.
type notAllowed struct{}

func (notAllowed) Error() string { return "ann may not share" }
func (notAllowed) Status() int   { return 403 }

// What is wrong with a line says which twins and feeds there are, which who may not share
// on them is not told; it is no dead letter either.
func TestWhoMayNotShareIsNotToldWhatThereIs(t *testing.T) {
	unknown := `{"twin":"machne_1","feed":"f","data":{}}` + "\n"
	w := post(newHandler(&recorder{err: notAllowed{}}), unknown+unknown)
	assert.Equal(t, 403, w.Code)
	assert.Equal(t, `{"stored":0,"error":"ann may not share"}`+"\n", w.Body.String())

	calls := 0
	h := NewHandler(Options{Emit: func(context.Context, ...rules.Sample) error {
		if calls++; calls == 1 {
			return nil
		}
		return notAllowed{}
	}})
	w = post(h, strings.Repeat("{}\n", emitted+5), "Content-Type", "application/x-ndjson")
	assert.Equal(t, 403, w.Code)
	assert.Contains(t, w.Body.String(), fmt.Sprintf(`"moreRefused":%d}`, emitted-listed), "those that are dead letters")
}

func TestEmitFailsHalfway(t *testing.T) {
	calls := 0
	h := NewHandler(Options{Emit: func(context.Context, ...rules.Sample) error {
		if calls++; calls == 2 {
			return errors.New("no broker")
		}
		return nil
	}})
	w := post(h, strings.Repeat(`{"twin":"t","feed":"f","data":{}}`+"\n", 1500))
	assert.Equal(t, 503, w.Code)
	assert.Contains(t, w.Body.String(), `{"stored":1000,"error":"not stored: no broker;`)
}

func TestOtherMethods(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		w := httptest.NewRecorder()
		newHandler(&recorder{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/samples", nil))
		assert.Equal(t, 405, w.Code)
		assert.Equal(t, "POST", w.Header().Get("Allow"))
	}
}

func zipped(t *testing.T, text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.String()
}

func TestBody(t *testing.T) {
	good := `{"twin":"t","feed":"f","data":{}}`
	tooLarge := `{"stored":0,"error":"body of more than 2000 bytes; want at most that, nothing of it is stored"}`
	for name, tt := range map[string]struct {
		body, encoding string
		status         int
		answer         string
	}{
		"gzip":             {zipped(t, good), "gzip", 200, `{"stored":1}`},
		"GZIP":             {zipped(t, good), " GZIP ", 200, `{"stored":1}`},
		"identity":         {good, "identity", 200, `{"stored":1}`},
		"no gzip":          {good, "gzip", 400, `{"stored":0,"error":"the body cannot be read: gzip: invalid header; nothing of it is stored"}`},
		"half a gzip":      {zipped(t, good)[:30], "gzip", 400, `{"stored":0,"error":"the body cannot be read: unexpected EOF; nothing of it is stored"}`},
		"deflate":          {good, "deflate", 415, `{"stored":0,"error":"Content-Encoding \"deflate\"; want gzip or none"}`},
		"too large":        {strings.Repeat(good+"\n", 100), "", 413, tooLarge},
		"large, inflated":  {zipped(t, strings.Repeat(good+"\n", 100)), "gzip", 413, tooLarge},
		"large, full of 0": {zipped(t, strings.Repeat("\x00", 1<<20)), "gzip", 413, tooLarge},
	} {
		for _, length := range []string{"said", "unsaid"} {
			t.Run(name+", length "+length, func(t *testing.T) {
				var r recorder
				srv := httptest.NewServer(newHandler(&r))
				defer srv.Close()
				var body io.Reader = strings.NewReader(tt.body)
				if length == "unsaid" {
					body = io.MultiReader(body)
				}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, body)
				require.NoError(t, err)
				req.Header.Set("Content-Encoding", tt.encoding)
				resp, err := srv.Client().Do(req)
				require.NoError(t, err)
				defer resp.Body.Close() //nolint:errcheck // it was only read
				text, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, tt.status, resp.StatusCode)
				assert.Equal(t, tt.answer+"\n", string(text))
				assert.Len(t, r.samples, map[bool]int{true: 1}[tt.status == 200])
			})
		}
	}
}

func TestTooManyInFlight(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	h := NewHandler(Options{MaxInFlight: 2, Emit: func(context.Context, ...rules.Sample) error {
		entered <- struct{}{}
		<-release
		return nil
	}})
	statuses := make(chan int, 2)
	for range 2 {
		go func() { statuses <- post(h, `{"twin":"t","feed":"f","data":{}}`).Code }()
		<-entered
	}
	w := post(h, `{"twin":"t","feed":"f","data":{}}`)
	assert.Equal(t, 429, w.Code)
	assert.Equal(t, "1", w.Header().Get("Retry-After"))
	assert.JSONEq(t, `{"stored":0,"error":"2 requests wait to be stored; send again later"}`, w.Body.String())
	close(release)
	assert.Equal(t, []int{200, 200}, []int{<-statuses, <-statuses})
	go func() { <-entered }()
	assert.Equal(t, 200, post(h, `{"twin":"t","feed":"f","data":{}}`).Code, "there is room again")
}

// pipes is a listener of pipes, so that synctest sees all of a connection.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error {
	close(p)
	return nil
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		srv := &http.Server{Handler: newHandler(&r)}
		server, client := net.Pipe()
		l := make(pipes, 1)
		l <- server
		go srv.Serve(l) //nolint:errcheck // it ends with the listener's error
		start := time.Now()
		_, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
		require.NoError(t, err)
		answer, err := io.ReadAll(client)
		require.NoError(t, err)
		assert.Contains(t, string(answer), "HTTP/1.1 408 ")
		assert.Contains(t, string(answer), `"the body came too slowly; nothing of it is stored"`)
		assert.WithinRange(t, time.Now(), start.Add(time.Minute), start.Add(time.Minute+time.Second))
		assert.Empty(t, r.samples)
		require.NoError(t, srv.Close())
	})
}

// TestLongWait proves that the time limit of the body does not end a request
// that waits for the store.
func TestLongWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &http.Server{Handler: NewHandler(Options{Emit: func(ctx context.Context, _ ...rules.Sample) error {
			return pause.For(ctx, time.Hour)
		}})}
		server, client := net.Pipe()
		l := make(pipes, 1)
		l <- server
		go srv.Serve(l) //nolint:errcheck // it ends with the listener's error
		body := `{"twin":"t","feed":"f","data":{}}`
		_, err := fmt.Fprintf(client, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		require.NoError(t, err)
		answer, err := io.ReadAll(client)
		require.NoError(t, err)
		assert.Contains(t, string(answer), "HTTP/1.1 200 ")
		require.NoError(t, srv.Close())
	})
}

func BenchmarkBatch(b *testing.B) {
	const lines = 1000
	body := strings.Repeat(`{"twin":"machine_1","feed":"currentTemp","occurredAt":"2026-11-22T10:00:00Z","data":{"temperature":31.2}}`+"\n", lines)
	h := NewHandler(Options{Emit: func(context.Context, ...rules.Sample) error { return nil }})
	b.ReportAllocs()
	for b.Loop() {
		if w := post(h, body); w.Code != http.StatusOK {
			b.Fatal(w.Body.String())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
}
