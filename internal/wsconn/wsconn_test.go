package wsconn_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tocsin.internal/internal/wsconn"
)

// pair is the two ends of a WebSocket: one that has been accepted, and the raw
// one of the client.
func pair(t *testing.T) (*wsconn.Conn, *websocket.Conn) {
	t.Helper()
	accepted := make(chan *wsconn.Conn, 1)
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if !assert.NoError(t, err) {
			close(accepted)
			return
		}
		accepted <- wsconn.New(ws, websocket.MessageBinary, nil, nil)
		<-over
	}))
	client, _, err := websocket.Dial(t.Context(), server.URL, nil) //nolint:bodyclose // it has none
	require.NoError(t, err)
	conn := <-accepted
	require.NotNil(t, conn)
	t.Cleanup(func() {
		conn.CloseNow()   //nolint:errcheck // the test may have closed it
		client.CloseNow() //nolint:errcheck // the test may have closed it
		close(over)
		server.Close()
	})
	return conn, client
}

func TestMain(m *testing.M) {
	code := m.Run()
	for end := time.Now().Add(time.Minute); code == 0; { // on a busy machine goroutines need a while to end
		err := goleak.Find()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func TestReadsMessagesOfBothKindsAsOneStream(t *testing.T) {
	conn, client := pair(t)
	for i, part := range []string{"SE", "", "ND\n", strings.Repeat("x", 100_000), "\x00\n"} {
		kind := websocket.MessageText
		if i%2 == 0 {
			kind = websocket.MessageBinary
		}
		require.NoError(t, client.Write(t.Context(), kind, []byte(part)))
	}
	want := "SEND\n" + strings.Repeat("x", 100_000) + "\x00\n"
	got := make([]byte, len(want))
	_, err := io.ReadFull(iotest.OneByteReader(conn), got[:7])
	require.NoError(t, err)
	_, err = io.ReadFull(conn, got[7:])
	require.NoError(t, err)
	assert.Equal(t, want, string(got))
}

func TestEachWriteIsABinaryMessage(t *testing.T) {
	conn, client := pair(t)
	for _, part := range []string{"one", "two"} {
		n, err := conn.Write([]byte(part))
		require.NoError(t, err)
		assert.Equal(t, len(part), n)
		kind, got, err := client.Read(t.Context())
		require.NoError(t, err)
		assert.Equal(t, websocket.MessageBinary, kind)
		assert.Equal(t, part, string(got))
	}
}

func TestEndsOfAConnection(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(context.Context, *wsconn.Conn, *websocket.Conn) error
		want error
	}{
		{"the other side closes it", func(_ context.Context, _ *wsconn.Conn, c *websocket.Conn) error {
			go c.Close(websocket.StatusNormalClosure, "") //nolint:errcheck // the reader looks at it
			return nil
		}, io.EOF},
		{"the other side goes away", func(_ context.Context, _ *wsconn.Conn, c *websocket.Conn) error {
			go c.Close(websocket.StatusGoingAway, "") //nolint:errcheck // the reader looks at it
			return nil
		}, io.EOF},
		{"the deadline passes", func(_ context.Context, c *wsconn.Conn, _ *websocket.Conn) error {
			return c.SetReadDeadline(time.Now().Add(time.Millisecond))
		}, os.ErrDeadlineExceeded},
		{"both deadlines pass", func(_ context.Context, c *wsconn.Conn, _ *websocket.Conn) error {
			return c.SetDeadline(time.Now().Add(-time.Second))
		}, os.ErrDeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, client := pair(t)
			require.NoError(t, c.end(t.Context(), conn, client))
			_, err := conn.Read(make([]byte, 10))
			require.ErrorIs(t, err, c.want)
			_, err = conn.Write([]byte("x"))
			require.Error(t, err)
		})
	}
}

func TestDeadlinesThatAreTakenBackDoNotPass(t *testing.T) {
	conn, client := pair(t)
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Hour)))
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(2*time.Hour)))
	require.NoError(t, conn.SetWriteDeadline(time.Time{}))
	require.NoError(t, conn.SetReadDeadline(time.Time{}))
	require.NoError(t, client.Write(t.Context(), websocket.MessageText, []byte("x")))
	n, err := conn.Read(make([]byte, 10))
	require.NoError(t, err)
	assert.Equal(t, 1, n)
}

func TestAWriteThatNobodyReadsEndsAtItsDeadline(t *testing.T) {
	conn, _ := pair(t)
	require.NoError(t, conn.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	var err error
	for big := make([]byte, 1<<20); err == nil; {
		_, err = conn.Write(big)
	}
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestCloseSaysWhy(t *testing.T) {
	conn, client := pair(t)
	got := make(chan error, 1)
	go func() {
		_, _, err := client.Read(context.Background())
		got <- err
	}()
	require.NoError(t, conn.CloseWith(websocket.StatusGoingAway, "the server stops"))
	var closed websocket.CloseError
	require.ErrorAs(t, <-got, &closed)
	assert.Equal(t, websocket.CloseError{Code: websocket.StatusGoingAway, Reason: "the server stops"}, closed)
	assert.Equal(t, "websocket", conn.RemoteAddr().String())
	assert.Equal(t, "websocket", conn.LocalAddr().Network())
}
