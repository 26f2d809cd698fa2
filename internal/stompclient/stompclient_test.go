package stompclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tocsin.internal/internal/stompclient"
	"tocsin.internal/internal/stomptest"
)

func dial(t *testing.T, ctx context.Context, url string) *stompclient.Conn { //nolint:revive // t comes first
	t.Helper()
	c, err := stompclient.Dial(ctx, stompclient.Options{URL: url})
	require.NoError(t, err)
	return c
}

// serve is a server for one client, after whose first frame it goes on as is said.
func serve(t *testing.T, on func(net.Conn, *frame.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close() //nolint:errcheck // a test
		r := frame.NewReader(c)
		if _, err := r.Read(); err == nil {
			on(c, r)
		}
	}()
	t.Cleanup(func() {
		l.Close() //nolint:errcheck // a test
		<-done
	})
	return "stomp://" + l.Addr().String()
}

// talk is a server that says one thing.
func talk(t *testing.T, says func(io.Writer)) string {
	t.Helper()
	return serve(t, func(c net.Conn, _ *frame.Reader) {
		says(c)
		io.Copy(io.Discard, c) //nolint:errcheck // until the client goes
	})
}

func say(text string) func(io.Writer) {
	return func(w io.Writer) { io.WriteString(w, text) } //nolint:errcheck // a test
}

const connected = "CONNECTED\nversion:1.2\n\n\x00"

func TestFirstAnswer(t *testing.T) {
	for text, want := range map[string]string{
		"\n\n" + connected:                        "",
		"CONNECTED\nversion:1.1\n\n\x00":          "",
		"CONNECTED\n\n\x00":                       `version "" of STOMP; want 1.1 or 1.2`,
		"CONNECTED\nversion:2.0\n\n\x00":          `version "2.0" of STOMP; want 1.1 or 1.2`,
		"RECEIPT\nreceipt-id:1\n\n\x00":           "got RECEIPT; want CONNECTED",
		"ERROR\nmessage:no\n\nbecause \xff\n\x00": `the server says "no: because ` + "\uFFFD" + `"`,
		"ERROR\nmessage:you may…\n\n{\"code\":7,\"message\":\"you may not\"}\x00": `the server says "you may not"`,
		"ERROR\n\n" + strings.Repeat("a", 400) + "\x00":                           `the server says "` + strings.Repeat("a", 300) + `…"`,
		"HTTP/1.1 400 Bad Request\r\n\r\n":                                        "invalid command",
		strings.Repeat("a", 70<<10):                                               "headers of more than 65536 bytes",
		"CONNECTED\nversion:1.2\ncontent-length:-1\n\n":                           `strconv.ParseUint: parsing "-1": invalid syntax`,
	} {
		c, err := stompclient.Dial(t.Context(), stompclient.Options{URL: talk(t, say(text))})
		if want == "" {
			require.NoError(t, err)
			c.Close()
			continue
		}
		require.EqualError(t, err, want)
	}
}

func TestNobodyThere(t *testing.T) {
	for _, url := range []string{"stomp://127.0.0.1:1", "stomp+tls://127.0.0.1:1", "ws://127.0.0.1:1/ws", "http://127.0.0.1:1", "%"} {
		_, err := stompclient.Dial(t.Context(), stompclient.Options{URL: url})
		require.Error(t, err, url)
	}
	ctx, cancel := context.WithCancel(t.Context())
	url := talk(t, func(io.Writer) { cancel() })
	_, err := stompclient.Dial(ctx, stompclient.Options{URL: url})
	require.ErrorIs(t, err, context.Canceled)
}

func TestTooLargeBodyIsSkipped(t *testing.T) {
	large := strings.Repeat("a", 1<<20)
	c := dial(t, t.Context(), talk(t, func(w io.Writer) {
		fmt.Fprintf(w, "%sMESSAGE\nmessage-id:1\ncontent-length:%d\n\n", connected, 17<<20)
		for range 17 {
			io.WriteString(w, large) //nolint:errcheck // a test
		}
		io.WriteString(w, "\x00MESSAGE\nmessage-id:2\n\nhello\x00") //nolint:errcheck // a test
	}))
	defer c.Close()
	f, err := c.Read()
	require.EqualError(t, err, "body of 17825792 bytes; want at most 16777216")
	assert.Equal(t, "1", f.Header.Get(frame.MessageId))
	f, err = c.Read()
	require.NoError(t, err)
	assert.Equal(t, "hello", string(f.Body))
}

// The room for a body was made that was to be skipped.
func TestTooLargeBodyWhoseLengthHasZeros(t *testing.T) {
	const length = 17 << 20
	c := dial(t, t.Context(), talk(t, func(w io.Writer) {
		fmt.Fprintf(w, "%sMESSAGE\nmessage-id:1\ncontent-length:%020d\ncontent-length:5\n\n", connected, length)
		io.WriteString(w, strings.Repeat("a", length)+"\x00MESSAGE\nmessage-id:2\n\nhello\x00") //nolint:errcheck // a test
	}))
	defer c.Close()
	f, err := c.Read()
	require.EqualError(t, err, "body of 17825792 bytes; want at most 16777216")
	assert.Equal(t, "1", f.Header.Get(frame.MessageId))
	f, err = c.Read()
	require.NoError(t, err)
	assert.Equal(t, "hello", string(f.Body))
}

// What a message says was taken for a header of its frame.
func TestBodyLikeAHead(t *testing.T) {
	body := "a\ncontent-length:99999999\n\nb"
	c := dial(t, t.Context(), talk(t, say(connected+"MESSAGE\r\nmessage-id:1\r\n\r\n"+body+"\x00")))
	defer c.Close()
	f, err := c.Read()
	require.NoError(t, err)
	assert.Equal(t, body, string(f.Body))
}

// A frame whose end did not come was waited for without a limit, when what had
// come of its body had a NUL.
func TestHalfAFrameWithNUL(t *testing.T) {
	url := serve(t, func(c net.Conn, _ *frame.Reader) {
		io.WriteString(c, "CONNECTED\nversion:1.2\nheart-beat:20,0\n\n\x00"+"MESSAGE\n\nwhole\x00\nMESSAGE\ncontent-length:100\n\nhalf\x00") //nolint:errcheck // a test
		io.Copy(io.Discard, c)                                                                                                               //nolint:errcheck // until the client goes
	})
	c, err := stompclient.Dial(t.Context(), stompclient.Options{URL: url, HeartBeat: 20 * time.Millisecond})
	require.NoError(t, err)
	defer c.Close()
	m, err := c.Read()
	require.NoError(t, err)
	assert.Equal(t, "whole", string(m.Body))
	assert.False(t, c.Waiting())
	failed := make(chan error, 1)
	go func() {
		_, err := c.Read()
		failed <- err
	}()
	select {
	case err := <-failed:
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
	case <-time.After(time.Minute):
		require.Fail(t, "it waits for ever")
	}
}

func TestWaiting(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                     false,
		"\n\r\n":                               false,
		"MESSAGE\n":                            false,
		"MESSAGE\n\nhalf":                      false,
		"\n\r\nMESSAGE\n\n\x00":                true,
		"MESSAGE\r\n\r\n\x00":                  true,
		"MESSAGE\ncontent-length:0\n\n\x00":    true,
		"MESSAGE\ncontent-length:3\n\na\x00b":  false,
		"MESSAGE\ncontent-length:3\n\na\x00bc": true,
		"MESSAGE\ncontent-length:99999999\n\n\x00": false,
	} {
		ours, theirs := net.Pipe()
		go func() {
			io.WriteString(theirs, "ACK\n\n\x00"+text) //nolint:errcheck // a test
			theirs.Close()                             //nolint:errcheck // a test
		}()
		c := stompclient.Over(t.Context(), ours)
		_, err := c.Read()
		require.NoError(t, err)
		assert.Equal(t, want, c.Waiting(), "%q", text)
		ours.Close() //nolint:errcheck // a test
	}
}

func TestEndlessBody(t *testing.T) {
	large := strings.Repeat("a", 1<<20)
	c := dial(t, t.Context(), talk(t, func(w io.Writer) {
		io.WriteString(w, connected+"MESSAGE\n\n") //nolint:errcheck // a test
		for range 20 {
			if _, err := io.WriteString(w, large); err != nil {
				return
			}
		}
	}))
	defer c.Close()
	_, err := c.Read()
	require.EqualError(t, err, "a frame of more than 16777216 bytes without a length")
}

// TestHeartBeats proves that ours go out while nobody reads, and that a server
// which keeps silent is given up.
func TestHeartBeats(t *testing.T) {
	beats := make(chan struct{}, 100)
	url := serve(t, func(c net.Conn, r *frame.Reader) {
		io.WriteString(c, "CONNECTED\nversion:1.2\nheart-beat:20,20\n\n\x00") //nolint:errcheck // a test
		for {
			f, err := r.Read()
			if err != nil {
				return
			}
			if f == nil {
				select {
				case beats <- struct{}{}:
				default: // they are not counted any more
				}
			}
		}
	})
	c, err := stompclient.Dial(t.Context(), stompclient.Options{URL: url, HeartBeat: 20 * time.Millisecond})
	require.NoError(t, err)
	for range 3 {
		<-beats
	}
	_, err = c.Read()
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout())
	c.Close()
}

// TestGoodbye proves that a connection ends with ctx, after the server has what
// was sent, and leaves nothing behind.
func TestGoodbye(t *testing.T) {
	for name, url := range map[string]func(*stomptest.Server) string{"tcp": (*stomptest.Server).URL, "websocket": (*stomptest.Server).WebSocketURL} {
		t.Run(name, func(t *testing.T) {
			s := stomptest.New(t)
			before := goleak.IgnoreCurrent()
			ctx, cancel := context.WithCancel(t.Context())
			c := dial(t, ctx, url(s))
			require.NoError(t, c.Send(frame.New(frame.SUBSCRIBE, frame.Id, "1", frame.Destination, "/queue/a", frame.Ack, "client-individual")))
			s.Publish("/queue/a", "hello")
			m, err := c.Read()
			require.NoError(t, err)
			require.NoError(t, c.Send(c.Ack(m)))
			cancel()
			_, err = c.Read()
			require.ErrorIs(t, err, context.Canceled)
			c.Close()
			require.ErrorIs(t, c.Send(frame.New(frame.ACK)), net.ErrClosed)
			assert.True(t, s.Until(func(st stomptest.State) bool { return st.Kept == 0 && st.Conns == 0 && st.Count(frame.DISCONNECT) == 1 }))
			var left error
			for limit := time.Now().Add(time.Minute); time.Now().Before(limit); {
				if left = goleak.Find(before); left == nil {
					break
				}
			}
			assert.NoError(t, left)
		})
	}
}

func TestLeave(t *testing.T) {
	s := stomptest.New(t)
	c := dial(t, t.Context(), s.WebSocketURL())
	require.NoError(t, c.Send(frame.New(frame.SUBSCRIBE, frame.Id, "1", frame.Destination, "/queue/a")))
	s.Until(func(st stomptest.State) bool { return len(st.Subscriptions) == 1 })
	s.Publish("/queue/a", "hello")
	c.Leave(time.Minute)
	m, err := c.Read()
	require.NoError(t, err)
	assert.Equal(t, "hello", string(m.Body))
	_, err = c.Read()
	require.ErrorIs(t, err, io.EOF)
	c.Close()
}

func TestAckOfOlderServers(t *testing.T) {
	c := dial(t, t.Context(), talk(t, say("CONNECTED\nversion:1.1\n\n\x00MESSAGE\nsubscription:s\nmessage-id:m\n\n\x00")))
	defer c.Close()
	m, err := c.Read()
	require.NoError(t, err)
	ack := c.Ack(m)
	assert.Equal(t, "s m", ack.Header.Get(frame.Subscription)+" "+ack.Header.Get(frame.MessageId))
}

// FuzzRead proves that nothing which a server sends does harm.
func FuzzRead(f *testing.F) {
	for _, text := range []string{"", "\n", "\r\n", connected, "MESSAGE\r\na:b\r\n\r\nbody\x00", "MESSAGE\ncontent-length:4\n\nbody\x00", "MESSAGE\ncontent-length:99999999999\n\nbody\x00", "MESSAGE\ncontent-length:9223372036854775807\n\n", "MESSAGE\ncontent-length:000000002854775807\n\n", "MESSAGE\n:\n\n\x00", "MESSAGE\na:\\c\\q\\\n\n\x00", "ERROR\n\n{\"code\":16}\x00", "\x00\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ours, theirs := net.Pipe()
		go func() {
			go io.Copy(io.Discard, theirs) //nolint:errcheck // a test
			theirs.Write(text)             //nolint:errcheck // a test
			theirs.Close()                 //nolint:errcheck // a test
		}()
		c := stompclient.Over(t.Context(), ours)
		defer c.Close()
		for {
			_, err := c.Read()
			var large *stompclient.TooLargeError
			if err != nil && !errors.As(err, &large) {
				return
			}
		}
	})
}
