package space

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDestination(t *testing.T) {
	for want, f := range map[string]Feed{
		"/qapi/twins/did:a/interests/twins/did:m/feeds/temp":                {"", "did:m", "temp"},
		"/qapi/twins/did:a/interests/hosts/did:h/twins/did:m/feeds/temp":    {"did:h", "did:m", "temp"},
		"/qapi/twins/did:a/interests/twins/a%2Fb%25/feeds/a%2Fb ?":          {"", "a/b%", "a/b ?"},
		"/qapi/twins/did:a/interests/twins/hosts%2Fx%2Ftwins%2Fy/feeds/%25": {"", "hosts/x/twins/y", "%"},
	} {
		assert.Equal(t, want, f.Destination("did:a"))
		got, ok := ParseDestination(want)
		assert.True(t, ok, want)
		assert.Equal(t, f, got)
	}
	for _, text := range []string{"", "/queue/a", "/qapi/twins/a/interests/twins/b", "/qapi/twins/a/interests/twins//feeds/f", "/qapi/twins/a/interests/twins/b/feeds/", "/qapi/twins/a/inputs/b"} {
		_, ok := ParseDestination(text)
		assert.False(t, ok, text)
	}
}

func TestFoundOfEveryDialect(t *testing.T) {
	const v2 = `{"id":{"value":"d"},"feeds":[{"feed":{"id":{"value":"f"},"twinId":{"value":"d"}}}]}`
	const v3 = `{"twinId":{"id":"d","hostId":"h"},"feeds":[{"feedId":{"id":"f","twinId":"d"}},{}]}`
	const both = `{"id":{"value":"d"},"twinId":{"value":"d","id":"d","hostId":"h"},"feeds":[{"feed":{"id":{"value":"f"}},"feedId":{"value":"f","id":"f","twinId":"d","hostId":"h"}}]}`
	for line, want := range map[string]Found{
		`{"result":{"headers":{},"payload":{"responseType":"FULL","remoteHostId":{"value":"h"},"twins":[` + v2 + `]}}}`: {"d", "h", []string{"f"}},
		`{"result":{"payload":{"hostId":"x","twins":[` + v3 + `]}}}`:                                                    {"d", "h", []string{"f"}},
		`{"result":{"twins":[` + both + `]}}`:                                                                           {"d", "h", []string{"f"}},
		`{"payload":{"hostId":{"id":"h"},"twins":[` + v2 + `]}}`:                                                        {"d", "h", []string{"f"}},
		`{"responseType":"FULL","hostId":"h","twins":[` + v2 + `,{}]}`:                                                  {"d", "h", []string{"f"}},
	} {
		found, payload, err := parseFound([]byte(line))
		require.NoError(t, err, line)
		assert.True(t, payload)
		assert.Equal(t, []Found{want}, found, line)
	}
	for _, line := range []string{`{}`, `{"result":null}`, `{"result":{"payload":{}}}`} {
		_, payload, err := parseFound([]byte(line))
		require.NoError(t, err)
		assert.False(t, payload, line)
	}
}

func TestAnswersOfSearches(t *testing.T) {
	line := func(twin string) string { return `{"result":{"payload":{"twins":[{"id":{"value":"` + twin + `"}}]}}}` }
	const over = `{"error":{"grpc_code":4,"http_code":408,"message":"deadline"}}`
	for text, want := range map[string]string{
		line("a"): "[a]",
		line("a") + "\n\n" + line("b") + "\n" + over: "[a b]",
		over:                                   "[]",
		"":                                     "[]",
		`{"result":{"payload":{"twins":[]}}}`:  "[]",
		`{"error":{"code":3,"message":"bad"}}`: "answer 200 OK: bad",
		"<html>":                               "a line of the answer: invalid character '<' looking for beginning of value",
	} {
		found, err := readFound(strings.NewReader(text), false)
		got := []string{}
		for _, f := range found {
			got = append(got, f.Twin)
		}
		if err != nil {
			assert.Equal(t, want, err.Error(), text)
			continue
		}
		assert.Equal(t, want, fmt.Sprint(got), text)
	}
	first, err := readFound(strings.NewReader(line("a")+"\n"+line("b")), true)
	require.NoError(t, err)
	assert.Len(t, first, 1, "the host itself has one line, and may keep the answer open after it")
}

// TestPages proves that a search goes on until a page has nothing new, also where
// a host makes pages smaller than it is asked for, or does not know offsets.
func TestPages(t *testing.T) {
	for name, size := range map[string]int{"whole": page, "smaller": 100, "no offsets": 0} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				var offset, n int
				fmt.Sscan(r.URL.Query().Get("offset"), &offset) //nolint:errcheck // 0 then
				if n = min(size, 1200-offset); size == 0 {
					offset, n = 0, 3
				}
				var twins []string
				for i := range max(n, 0) {
					twins = append(twins, fmt.Sprintf(`{"id":{"value":"t%d"}}`, offset+i))
				}
				fmt.Fprintf(w, `{"result":{"payload":{"twins":[%s]}}}`, strings.Join(twins, ","))
			}))
			defer srv.Close()
			found, err := client(t, srv.URL).Search(t.Context(), []byte(`{}`), Local)
			require.NoError(t, err)
			want := map[string]int{"whole": 1200, "smaller": 1200, "no offsets": 3}[name]
			assert.Len(t, found, want)
		})
	}
}

// endless gives a line for ever, and counts its bytes.
type endless struct {
	line string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.line[e.read%len(e.line):])
	e.read += n
	return n, nil
}

// A host could fill the memory with the answer to a search.
func TestEndlessAnswer(t *testing.T) {
	answer := &endless{line: `{"twins":[{"id":"` + strings.Repeat("a", 1<<20) + `"}]}` + "\n"}
	_, err := readFound(io.LimitReader(answer, 2*mostNamed), false)
	require.ErrorIs(t, err, errMuch)
	if testing.Short() {
		t.Skip("many pages take long")
	}

	page := `{"twins":[{"id":"%d","feeds":[{"feedId":"` + strings.Repeat("a", 8<<20) + `"}]}]}`
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprintf(w, page, asked)
		if asked > mostNamed>>22 {
			asked = 0 // nothing new
		}
	}))
	defer srv.Close()
	_, err = client(t, srv.URL).Search(t.Context(), []byte(`{}`), Local)
	require.ErrorIs(t, err, errMuch)
}

// A host that did not answer was waited for without a limit, and whoever needed
// a token waited, too.
func TestSilentHost(t *testing.T) {
	silent := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-silent:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	defer close(silent)
	config := Defaults()
	config.Host, config.Timeout = srv.URL, 50*time.Millisecond
	c, err := New(config)
	require.NoError(t, err)
	defer c.Close()
	failed := make(chan error, 1)
	go func() {
		_, _, _, err := c.Connect(t.Context())
		failed <- err
	}()
	select {
	case err := <-failed:
		require.ErrorIs(t, err, context.DeadlineExceeded)
	case <-time.After(time.Minute):
		require.Fail(t, "it waits for ever")
	}
}

func client(t *testing.T, url string) *Client {
	t.Helper()
	config := Defaults()
	config.Host = url
	c, err := New(config)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestLastSample(t *testing.T) {
	const sample = `{"interest":{},"feedData":{"data":"e30="}}`
	for body, want := range map[string]string{
		sample:                                  sample,
		`{"payload":` + sample + `}`:            sample,
		`{"result":{"payload":` + sample + `}}`: sample,
		`{}`:                                    "",
		`{"feedData":null}`:                     "",
		`{"result":{"result":{"result":{"result":{}}}}}`: "",
	} {
		got, err := unwrapLast([]byte(body))
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	status, path := 0, ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.EscapedPath()
		w.WriteHeader(status)
		w.Write([]byte(sample)) //nolint:errcheck // a test
	}))
	defer srv.Close()
	c := client(t, srv.URL)
	for _, status = range []int{200, 404, 403, 400, 405, 429, 500, 503} {
		got, err := c.LastSample(t.Context(), "a", Feed{"h", "t/1", "f ?"})
		switch status {
		case 200:
			assert.Equal(t, sample, string(got))
		case 429, 500, 503:
			require.Error(t, err)
		default:
			require.NoError(t, err)
			assert.Nil(t, got)
		}
	}
	assert.Equal(t, "/qapi/twins/a/interests/hosts/h/twins/t%2F1/feeds/f%20%3F/samples/last", path)
}

func TestIndex(t *testing.T) {
	index, err := parseIndex([]byte(`{"stomp":"wss://h/ws","resolver":"https://did.h","version":{"space":"1"}}`))
	require.NoError(t, err)
	assert.Equal(t, Index{"wss://h/ws", "https://did.h"}, index)
	for _, body := range []string{`{}`, `[]`, `{"stomp":"http://h"}`, `{"stomp":"ws:"}`, `<html>`} {
		_, err := parseIndex([]byte(body))
		require.Error(t, err, body)
	}
}

func TestExpiry(t *testing.T) {
	token := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x"
	}
	assert.Equal(t, time.Unix(1793613600, 0), expiry(token(`{"exp":1793613600}`)))
	for _, text := range []string{"", "secret", "a.b", "a.!.c", token(`{}`), token(`{"exp":-1}`), token(`{"exp":1e300}`), token(`{"exp":"soon"}`)} {
		assert.Zero(t, expiry(text), text)
	}
}

func TestErrorsDoNotShowTheURL(t *testing.T) {
	c := client(t, "http://127.0.0.1:1/s3cret")
	_, err := c.Search(context.Background(), []byte(`{}`), Local)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "s3cret")
}

// FuzzAnswers proves that nothing which a host answers does harm, and that what is
// found has a name.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{`{"result":{"payload":{"twins":[{"id":{"value":"d"},"feeds":[{"feed":{"id":{"value":"f"}}}]}]}}}`, `{"error":{"code":4}}`, `{"twins":[{"id":"d","twinId":{"id":"e","hostId":"h"},"feeds":[{"feedId":"f"}]}]}`, `{"interest":{"followedFeed":{"feed":{"id":{"value":"f"},"twinId":{"value":"d"}}}}}`, `{"payload":{"feedData":{}}}`, `{"stomp":"ws://h"}`, "null", "\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		found, err := readFound(bytes.NewReader(text), false)
		for _, twin := range found {
			if err == nil && twin.Twin == "" {
				t.Fatal("a twin without a name")
			}
		}
		if feed, err := Followed(text); err == nil && (feed.Twin == "" || feed.ID == "") {
			t.Fatal("a feed without a name")
		}
		if last, err := unwrapLast(text); err == nil && last != nil && !json.Valid(last) {
			t.Fatal("a sample that is not JSON")
		}
		if index, err := parseIndex(text); err == nil && index.Stomp == "" {
			t.Fatal("an index without an address")
		}
		expiry(string(text))
		if feed, ok := ParseDestination(string(text)); ok {
			again, ok := ParseDestination(feed.Destination("x"))
			if !ok || again != feed {
				t.Fatalf("%q: %v, then %v", text, feed, again)
			}
		}
		e := &Error{Status: 500, Message: short(string(text))}
		if !errors.As(error(e), &e) || len([]rune(e.Message)) > 301 {
			t.Fatal("a long message")
		}
	})
}
