package natsconn_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/natsconn"
)

// read reads what a server says to who has said a word.
func read(t *testing.T, word, said string, piece func(io.Reader) io.Reader) (string, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close() //nolint:errcheck // a test
	served := make(chan struct{})
	go func() {
		defer close(served)
		if c, err := l.Accept(); err == nil {
			io.WriteString(c, said)       //nolint:errcheck // a test
			c.(*net.TCPConn).CloseWrite() //nolint:errcheck,forcetypeassert // a test
			io.Copy(io.Discard, c)        //nolint:errcheck // until the client goes
			c.Close()                     //nolint:errcheck // a test
		}
	}()
	c, err := natsconn.Dial(context.Background(), new(net.Dialer), "tcp", l.Addr().String())
	require.NoError(t, err)
	_, err = io.WriteString(c, word)
	require.NoError(t, err)
	text, err := io.ReadAll(piece(c))
	require.NoError(t, c.Close())
	<-served
	return string(text), err
}

func TestWhatServersSay(t *testing.T) {
	const large = "the server announces a message larger than any that servers take"
	for said, want := range map[string]string{
		"": "",
		"INFO {}\r\nPING\r\n+OK\r\nMSG a.b 1 5\r\nMSG x\r\nMSG a 1 r 0\r\n\r\nPONG\r\n":              "",
		"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nMSG\r\nmsg\ta\t1\t4\r\nhmsgMSG a 1 999999999\r\nPING\r\n": "",
		"MSG a 1 69206017\r\n":                                     large,
		"MSG a 1 9000000000000000000\r\n":                          large,
		"MSG a 1 99999999999999999999999999\r\n":                   large,
		"PING\r\nMSG a 1 1\r\nx\r\nhMSG a 1 10 9000000000000000\n": large,
		"MSG a 1 -1\r\n":                                           large,
		"MSG a 1 2\r\nxMSG\nMSG a 1 900000000\n":                   large,
		"INFO " + strings.Repeat("x", 2<<20):                       "a line of the protocol has more than 1 MiB",
	} {
		for _, piece := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.OneByteReader} {
			text, err := read(t, "CONNECT {}\r\n", said, piece)
			if want == "" {
				require.NoError(t, err, "%.40q", said)
				assert.Equal(t, said, text)
				continue
			}
			require.EqualError(t, err, want, "%.40q", said)
		}
	}
	for _, word := range []string{"\x16\x03\x01", "GET / HTTP/1.1\r\n"} {
		const said = "MSG a 1 9000000000000000000\r\n"
		text, err := read(t, word, said, iotest.OneByteReader)
		require.NoError(t, err)
		assert.Equal(t, said, text)
	}
}
