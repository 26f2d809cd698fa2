package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/sinktest"
)

// secretBytes is what is behind the secret of these tests.
const secretBytes = "0123456789abcdef0123456789abcdef"

var secretText = "whsec_" + base64.StdEncoding.EncodeToString([]byte(secretBytes))

func open(t *testing.T, config string) sinks.Sink {
	t.Helper()
	raw, err := strictjson.Parse("c", []byte(config))
	require.NoError(t, err)
	s, err := New(raw, rules.Alert, rules.Notification)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.(sinks.Closer).Close()) })
	return s
}

// received is a request as the server saw it.
type received struct {
	header http.Header
	body   []byte
}

// receiver is a server that answers with what answer writes, and keeps the requests.
func receiver(t *testing.T, answer http.HandlerFunc) (url string, got <-chan received) {
	t.Helper()
	requests := make(chan received, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		requests <- received{r.Header, body}
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, requests
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestContract(t *testing.T) {
	for _, more := range []string{
		"", `,"format":"standard","secret":"` + secretText + `"`,
		`,"format":"cloudevents"`, `,"format":"cloudevents","mode":"binary"`, `,"format":"slack","link":"https://h/{{.id | urlquery}}"`, `,"format":"teams"`,
		`,"format":"pagerduty","routingKey":"k"`, `,"format":"alertmanager"`, `,"format":"template","body":"{\"text\":{{json .summary}}}"`,
	} {
		sinktest.Run(t, func(t *testing.T) sinks.Sink {
			url, _ := receiver(t, status(http.StatusNoContent))
			return open(t, fmt.Sprintf(`{"url":%q%s}`, url, more))
		})
	}
}

func TestRequest(t *testing.T) {
	url, got := receiver(t, status(200))
	o := sinktest.Alert()
	require.NoError(t, open(t, fmt.Sprintf(`{"url":"%s/hook?x=1","headers":{"authorization":"Bearer x","X-Site":"brno"}}`, url)).Deliver(t.Context(), o))
	r := <-got
	assert.Equal(t, string(o.AppendJSON(nil)), string(r.body))
	assert.Equal(t, o.EventID(), r.header.Get("webhook-id"))
	assert.NotContains(t, r.header.Get("webhook-id"), ".")
	assert.Equal(t, "application/json", r.header.Get("Content-Type"))
	assert.Equal(t, "Tocsin", r.header.Get("User-Agent"))
	assert.Equal(t, "Bearer x", r.header.Get("Authorization"))
	assert.Equal(t, "brno", r.header.Get("X-Site"))
	assert.Empty(t, r.header.Get("webhook-signature"), "there is no secret")
	seconds, err := strconv.ParseInt(r.header.Get("webhook-timestamp"), 10, 64)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), time.Unix(seconds, 0), time.Minute)
}

func TestStandardBody(t *testing.T) {
	url, got := receiver(t, status(200))
	s := open(t, fmt.Sprintf(`{"url":%q,"format":"standard"}`, url))
	resolved := sinktest.Alert()
	resolved.State, resolved.Ends = rules.StateResolved, resolved.At.Add(time.Minute)
	output := rules.Outcome{Kind: rules.Output, Twin: "m", Feed: "f", At: resolved.At, Data: []byte(`{"a":1}`)}
	for want, o := range map[string]rules.Outcome{"alert.raised": sinktest.Alert(), "alert.cleared": resolved, "output": output} {
		require.NoError(t, s.Deliver(t.Context(), o))
		assert.JSONEq(t, fmt.Sprintf(`{"type":%q,"timestamp":"2026-11-22T10:00:00Z","data":%s}`, want, o.AppendJSON(nil)), string((<-got).body))
	}
	odd := sinktest.Alert()
	odd.State = "a\"b\xff"
	require.NoError(t, s.Deliver(t.Context(), odd))
	assert.True(t, json.Valid((<-got).body))
}

// hmacSHA256 is RFC 2104 written out.
func hmacSHA256(key, message []byte) []byte {
	block := make([]byte, sha256.BlockSize)
	copy(block, key)
	pad := func(with byte) []byte {
		out := bytes.Clone(block)
		for i := range out {
			out[i] ^= with
		}
		return out
	}
	inner := sha256.Sum256(append(pad(0x36), message...))
	outer := sha256.Sum256(append(pad(0x5c), inner[:]...))
	return outer[:]
}

func TestSignature(t *testing.T) {
	url, got := receiver(t, status(200))
	for _, format := range []string{"outcome", "standard"} {
		s := open(t, fmt.Sprintf(`{"url":%q,"secret":%q,"format":%q}`, url, secretText, format))
		require.NoError(t, s.Deliver(t.Context(), sinktest.Alert()))
		r := <-got
		signed := r.header.Get("webhook-id") + "." + r.header.Get("webhook-timestamp") + "." + string(r.body)
		want := "v1," + base64.StdEncoding.EncodeToString(hmacSHA256([]byte(secretBytes), []byte(signed)))
		assert.Equal(t, want, r.header.Get("webhook-signature"))
	}
}

func TestAnswers(t *testing.T) {
	for code, permanent := range map[int]bool{
		301: true, 302: true, 304: true, 307: true, 308: true,
		400: true, 401: true, 403: true, 404: true, 405: true, 409: true, 410: true, 413: true, 422: true,
		408: false, 425: false, 429: false, 500: false, 501: false, 502: false, 503: false, 504: false,
	} {
		url, got := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
		})
		err := open(t, fmt.Sprintf(`{"url":%q}`, url)).Deliver(t.Context(), sinktest.Alert())
		require.ErrorContains(t, err, fmt.Sprintf("webhook %s: answer %d %s", strings.TrimPrefix(url, "http://"), code, http.StatusText(code)))
		assert.Equal(t, permanent, sinks.IsPermanent(err), "%d", code)
		_, waits := sinks.Wait(err)
		assert.False(t, waits, "%d", code)
		<-got
		assert.Empty(t, got, "no redirect is followed")
	}
	for _, code := range []int{200, 201, 202, 204, 299} {
		url, _ := receiver(t, status(code))
		require.NoError(t, open(t, fmt.Sprintf(`{"url":%q}`, url)).Deliver(t.Context(), sinktest.Alert()))
	}
}

func TestRetryAfter(t *testing.T) {
	for code, want := range map[int]time.Duration{429: 7 * time.Second, 503: 7 * time.Second, 500: 0, 404: 0} {
		url, _ := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(code)
		})
		wait, _ := sinks.Wait(open(t, fmt.Sprintf(`{"url":%q}`, url)).Deliver(t.Context(), sinktest.Alert()))
		assert.Equal(t, want, wait, "%d", code)
	}
}

func TestTimeout(t *testing.T) {
	ended := make(chan struct{}, 1000)
	url, got := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		ended <- struct{}{}
	})
	s := open(t, fmt.Sprintf(`{"url":%q,"timeout":"50ms"}`, url))
	for len(got) == 0 { // the time may be over before the request has come
		err := s.Deliver(t.Context(), sinktest.Alert())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.False(t, sinks.IsPermanent(err))
	}
	<-ended
}

// TestEndlessAnswer proves that an answer is not read for ever.
func TestEndlessAnswer(t *testing.T) {
	url, _ := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	})
	require.NoError(t, open(t, fmt.Sprintf(`{"url":%q}`, url)).Deliver(t.Context(), sinktest.Alert()))
}

func TestErrorsDoNotShowTheURL(t *testing.T) {
	url, _ := receiver(t, status(404))
	for _, address := range []string{url, "http://127.0.0.1:1", "http://no-such-host.invalid"} {
		err := open(t, fmt.Sprintf(`{"url":"%s/s3cret?token=s3cret","headers":{"Authorization":"s3cret"}}`, address)).Deliver(t.Context(), sinktest.Alert())
		require.ErrorContains(t, err, "webhook "+strings.TrimPrefix(address, "http://")+": ")
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

func TestNoProxyFromTheEnvironment(t *testing.T) {
	proxy, proxied := receiver(t, status(200))
	t.Setenv("HTTP_PROXY", proxy)
	t.Setenv("http_proxy", proxy)
	err := open(t, `{"url":"http://no-such-host.invalid/"}`).Deliver(t.Context(), sinktest.Alert())
	require.Error(t, err)
	assert.Empty(t, proxied)
	assert.Nil(t, open(t, `{"url":"http://h/"}`).(*sink).client.Transport.(*http.Transport).Proxy)
}

func TestTheSameIDAndANewTimestamp(t *testing.T) {
	url, got := receiver(t, status(500))
	s := open(t, fmt.Sprintf(`{"url":%q}`, url))
	require.Error(t, s.Deliver(t.Context(), sinktest.Alert()))
	first := <-got
	require.Error(t, s.Deliver(t.Context(), sinktest.Alert()))
	second := <-got
	assert.Empty(t, got, "Deliver does not retry")
	assert.Equal(t, first.header.Get("webhook-id"), second.header.Get("webhook-id"))
	assert.Equal(t, first.body, second.body)
}

func TestGuard(t *testing.T) {
	url, got := receiver(t, status(200))
	err := open(t, fmt.Sprintf(`{"url":%q,"guard":true}`, url)).Deliver(t.Context(), sinktest.Alert())
	require.ErrorContains(t, err, "nothing is sent there")
	assert.True(t, sinks.IsPermanent(err))
	assert.Empty(t, got)
	require.NoError(t, open(t, fmt.Sprintf(`{"url":%q,"guard":true,"allow":["127.0.0.0/8"]}`, url)).Deliver(t.Context(), sinktest.Alert()))
	assert.Len(t, got, 1)
}
