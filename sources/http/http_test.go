package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/pause"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/sources/sourcetest"
)

func parse(t *testing.T, text string) strictjson.Raw {
	t.Helper()
	raw, err := strictjson.Parse("c", []byte(text))
	require.NoError(t, err)
	return raw
}

// listening is a source that has its port already, so that a test knows it.
type listening struct {
	*source
	l net.Listener
}

func (s listening) Run(ctx context.Context, emit sources.Emit) error {
	return s.serve(ctx, s.l, emit)
}

func listen(t *testing.T) (listening, string) {
	t.Helper()
	s, err := New(parse(t, `{"listen":"127.0.0.1:0"}`))
	require.NoError(t, err)
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // Run has closed it, or never begun
	return listening{s.(*source), l}, "http://" + l.Addr().String()
}

// send posts until the server says that it has stored, as a good client does.
func send(ctx context.Context, client *http.Client, url, body string) (status int, answer string, err error) {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			return 0, "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, "", err
		}
		text, err := io.ReadAll(resp.Body)
		err = errors.Join(err, resp.Body.Close())
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable || ctx.Err() != nil {
			return resp.StatusCode, string(text), err
		}
	}
}

func TestContract(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Origin {
		s, url := listen(t)
		client := &http.Client{Transport: &http.Transport{}}
		t.Cleanup(client.CloseIdleConnections)
		return sourcetest.Origin{Source: s, Send: func(ctx context.Context) error {
			for n := range sourcetest.Count {
				body := fmt.Sprintf(`{"twin":%q,"feed":%q,"data":%s}`, sourcetest.Twin, sourcetest.Feed, sourcetest.Data(n))
				if _, _, err := send(ctx, client, url+"/samples", body); err != nil {
					return err
				}
			}
			return nil
		}}
	})
}

func TestOtherPaths(t *testing.T) {
	s, url := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, func(context.Context, ...rules.Sample) error { return nil }) }()
	for _, path := range []string{"/", "/samples/", "/samples/x", "/Samples"} {
		status, answer, err := send(ctx, http.DefaultClient, url+path, "{}")
		require.NoError(t, err)
		assert.Equal(t, 404, status)
		assert.Equal(t, fmt.Sprintf(`{"stored":0,"error":"nothing at \"%s\"; want /samples"}`+"\n", path), answer)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	require.NoError(t, <-done)
}

// TestShutdownAnswers proves that a request that is on its way when ctx ends is stored and answered.
func TestShutdownAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		l := make(pipes, 1)
		l <- server
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- (&source{Config{Path: "/samples"}}).serve(ctx, l, func(emitCtx context.Context, _ ...rules.Sample) error {
				cancel()
				return pause.For(emitCtx, grace/2)
			})
		}()
		body := `{"twin":"t","feed":"f","data":{}}`
		_, err := fmt.Fprintf(client, "POST /samples HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		require.NoError(t, err)
		answer, err := io.ReadAll(client)
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(string(answer), "HTTP/1.1 200 "), "%s", answer)
		assert.True(t, strings.HasSuffix(string(answer), `{"stored":1}`+"\n"), "%s", answer)
		require.NoError(t, <-done)
	})
}

// TestShutdownDoesNotWaitForever proves that a request which cannot be stored
// is told so, and that one whose emit hears nothing holds nobody up.
func TestShutdownDoesNotWaitForever(t *testing.T) {
	for name, tt := range map[string]struct {
		emit   func(ctx context.Context, release <-chan struct{}) error
		answer string
		after  time.Duration
	}{
		"told": {func(ctx context.Context, _ <-chan struct{}) error {
			<-ctx.Done()
			return ctx.Err()
		}, "HTTP/1.1 503 ", grace},
		"deaf": {func(_ context.Context, release <-chan struct{}) error {
			<-release
			return nil
		}, "", grace + lastWords},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client := net.Pipe()
				l := make(pipes, 1)
				l <- server
				ctx, cancel := context.WithCancel(t.Context())
				release, done, called := make(chan struct{}), make(chan error, 1), make(chan struct{})
				go func() {
					done <- (&source{Config{Path: "/samples"}}).serve(ctx, l, func(ctx context.Context, _ ...rules.Sample) error {
						close(called)
						return tt.emit(ctx, release)
					})
				}()
				body := `{"twin":"t","feed":"f","data":{}}`
				_, err := fmt.Fprintf(client, "POST /samples HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				require.NoError(t, err)
				<-called
				start := time.Now()
				cancel()
				answer, err := io.ReadAll(client)
				require.NoError(t, err)
				assert.True(t, strings.HasPrefix(string(answer), tt.answer), "%s", answer)
				require.NoError(t, <-done)
				assert.WithinRange(t, time.Now(), start.Add(tt.after), start.Add(tt.after+900*time.Millisecond))
				close(release)
			})
		})
	}
}

func TestRunErrors(t *testing.T) {
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close() //nolint:errcheck // the test is over
	s, err := New(parse(t, fmt.Sprintf(`{"listen":%q}`, l.Addr())))
	require.NoError(t, err)
	err = s.Run(t.Context(), func(context.Context, ...rules.Sample) error { return nil })
	require.EqualError(t, err, fmt.Sprintf("http source: listen tcp %s: bind: address already in use", l.Addr()))

	broken, _ := listen(t)
	require.NoError(t, broken.l.Close())
	err = broken.Run(t.Context(), func(context.Context, ...rules.Sample) error { return nil })
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestConfigErrors(t *testing.T) {
	for name, tt := range map[string]struct{ config, want string }{
		"nothing":       {`{}`, `c:1:1: field "listen" is missing`},
		"typo":          {`{"listen":":1","pth":"/a"}`, `c:1:16: /pth: unknown field "pth"; did you mean "path"?`},
		"only a port":   {`{"listen":"8081"}`, `c:1:11: /listen: got "8081"; want host:port, such as "127.0.0.1:8081"`},
		"empty":         {`{"listen":""}`, `c:1:11: /listen: got ""; want host:port, such as "127.0.0.1:8081"`},
		"a number":      {`{"listen":8081}`, `c:1:11: /listen: got 8081; want a string`},
		"path":          {`{"listen":":1","path":"samples"}`, `c:1:23: /path: got "samples"; want a path, such as "/samples"`},
		"path and port": {`{"listen":"x","path":""}`, "c:1:11: /listen: got \"x\"; want host:port, such as \"127.0.0.1:8081\"\nc:1:22: /path: got \"\"; want a path, such as \"/samples\""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(parse(t, tt.config))
			require.EqualError(t, err, tt.want)
		})
	}
}
