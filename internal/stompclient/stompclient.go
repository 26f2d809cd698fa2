// Package stompclient is a connection to a STOMP 1.1 or 1.2 server over TCP,
// TLS or WebSocket. It reads in the caller's goroutine; heart-beats go out by a
// timer, so that they also do while the caller works on what it has read.
package stompclient

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/go-stomp/stomp/v3/frame"

	"tocsin.internal/internal/wsconn"
)

const (
	// MaxBody bounds the body of a frame; see [TooLargeError].
	MaxBody = 16 << 20
	// maxSkip bounds what is skipped.
	maxSkip = 4 << 30
	// maxHead bounds the command and the headers of a frame.
	maxHead = 64 << 10

	// connectPatience bounds how long it takes to be connected.
	connectPatience = 15 * time.Second
	// writePatience bounds how long the server may take to take a frame.
	writePatience = 10 * time.Second
	// lastWords is how long the server may take to say that it has everything.
	lastWords = time.Second
	// goodbye is the receipt of the last frame.
	goodbye = "tocsin-goodbye"
)

// Options say where to connect, and as who.
type Options struct {
	URL       string            // stomp://host:port, stomp+tls://host:port, ws://… or wss://…
	Login     string            // no header when it is empty
	Passcode  string            // a password, or a token; no header when it is empty
	Host      string            // the virtual host; that of the URL unless said
	Headers   map[string]string // further ones of the first frame
	HeartBeat time.Duration     // offered both ways; 0: none
	Silent    bool              // heart-beats are offered, and none wanted: for who does not read all the time
	TLS       *tls.Config       // of stomp+tls and wss; nil: the system's
}

// Schemes are those of the URLs that Dial takes.
var Schemes = []string{"stomp", "stomp+tls", "ws", "wss"}

// ServerError is an ERROR frame. The connection is over.
type ServerError struct{ Frame *frame.Frame }

func (e *ServerError) Error() string {
	header, body := e.Frame.Header.Get(frame.Message), strings.TrimSpace(string(e.Frame.Body))
	var status struct {
		Message string `json:"message"`
	}
	if json.Unmarshal([]byte(body), &status) == nil && status.Message != "" { // of IOTICS, whose header has the beginning of it
		header, body = status.Message, ""
	}
	said := []string{header, body}
	said = slices.DeleteFunc(said, func(s string) bool { return s == "" })
	text := []rune(strings.ToValidUTF8(strings.Join(said, ": "), "\uFFFD"))
	const most = 300
	if len(text) > most {
		text = append(text[:most], '…')
	}
	return fmt.Sprintf("the server says %q", string(text))
}

// Code is that of the gRPC status in it, as hosts of IOTICS say it; 0 when there is none.
func (e *ServerError) Code() int {
	var status struct {
		Code int `json:"code"`
	}
	if json.Unmarshal(e.Frame.Body, &status) != nil {
		return 0
	}
	return status.Code
}

// TooLargeError comes with a frame whose body was too large, and has been
// skipped: the connection goes on.
type TooLargeError struct{ Bytes int64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("body of %d bytes; want at most %d", e.Bytes, MaxBody)
}

// Conn is a connection. Read and Close are for one goroutine at a time, the
// others for any.
type Conn struct {
	version string
	conn    net.Conn
	end     func() // without a word
	buf     *bufio.Reader
	meter   *meter
	frames  *frame.Reader
	receive time.Duration // the longest silence; 0: any
	stop    func() bool   // of the watch over ctx
	gone    bool          // the server has said its last word
	ctx     context.Context

	mu    sync.Mutex    // of what follows
	send  time.Duration // between two heart-beats
	beat  *time.Timer
	leave *time.Timer // closes the connection when the server does not say goodbye
	over  bool        // everything has been said
}

// Dial connects, and is connected until ctx ends or Close. When the server says
// no, the error wraps a [ServerError].
func Dial(ctx context.Context, o Options) (*Conn, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	opening, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	conn, end, err := open(opening, u, o.TLS)
	if err != nil {
		return nil, err
	}
	c := newConn(ctx, conn, end)
	interrupt := context.AfterFunc(opening, end)
	err = c.connect(u, o)
	if !interrupt() {
		err = context.Cause(opening)
	}
	if err != nil {
		end()
		return nil, err
	}
	c.stop = context.AfterFunc(ctx, func() { c.Leave(lastWords) })
	return c, nil
}

func newConn(ctx context.Context, conn net.Conn, end func()) *Conn {
	m := &meter{r: conn}
	buf := bufio.NewReaderSize(m, maxHead)
	return &Conn{ctx: ctx, conn: conn, end: end, meter: m, buf: buf, frames: frame.NewReaderSize(buf, maxHead)}
}

// open also gives what ends the connection without a word.
func open(ctx context.Context, u *url.URL, config *tls.Config) (conn net.Conn, end func(), err error) {
	var dialer net.Dialer
	switch u.Scheme {
	case "stomp":
		conn, err = dialer.DialContext(ctx, "tcp", withPort(u, "61613"))
	case "stomp+tls":
		conn, err = (&tls.Dialer{NetDialer: &dialer, Config: config}).DialContext(ctx, "tcp", withPort(u, "61614"))
	case "ws", "wss":
		return openWebSocket(ctx, u, config)
	default:
		err = fmt.Errorf("scheme %q; want one of %s", u.Scheme, strings.Join(Schemes, ", "))
	}
	return conn, func() { _ = conn.Close() }, err
}

func withPort(u *url.URL, port string) string {
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// openWebSocket asks for no subprotocol and names an origin, as clients of
// IOTICS do. Its messages are texts.
func openWebSocket(ctx context.Context, u *url.URL, config *tls.Config) (net.Conn, func(), error) {
	transport := &http.Transport{TLSClientConfig: config} // without a Proxy: not one from the environment
	defer transport.CloseIdleConnections()
	origin := url.URL{Scheme: strings.Replace(u.Scheme, "ws", "http", 1), Host: u.Host}
	ws, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{ //nolint:bodyclose // the library does
		HTTPClient: &http.Client{Transport: transport},
		HTTPHeader: http.Header{"Origin": {origin.String()}},
	})
	if err == nil {
		conn := wsconn.New(ws, websocket.MessageText, nil, nil)
		return conn, func() { _ = conn.CloseNow() }, nil
	}
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, nil, fmt.Errorf("answer %d %s; want a WebSocket", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL
	}
	return nil, nil, err
}

func (c *Conn) connect(u *url.URL, o Options) error {
	if err := c.write(connectFrame(u, o)); err != nil {
		return err
	}
	for {
		f, err := c.next()
		switch {
		case err != nil:
			return err
		case f == nil:
			continue
		case f.Command == frame.ERROR:
			return &ServerError{f}
		case f.Command != frame.CONNECTED:
			return fmt.Errorf("got %s; want %s", f.Command, frame.CONNECTED)
		}
		c.version = f.Header.Get(frame.Version)
		if c.version != "1.1" && c.version != "1.2" {
			return fmt.Errorf("version %q of STOMP; want 1.1 or 1.2", c.version)
		}
		return c.agree(f.Header.Get(frame.HeartBeat), o)
	}
}

// connectFrame is the one frame whose headers are not escaped.
func connectFrame(u *url.URL, o Options) []byte {
	var b bytes.Buffer
	header := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s:%s\n", name, value)
		}
	}
	b.WriteString(frame.STOMP + "\n")
	header(frame.AcceptVersion, "1.1,1.2")
	header(frame.Host, cmp.Or(o.Host, u.Hostname()))
	header(frame.Login, o.Login)
	header(frame.Passcode, o.Passcode)
	beat := strconv.FormatInt(o.HeartBeat.Milliseconds(), 10)
	wanted := beat
	if o.Silent {
		wanted = "0"
	}
	header(frame.HeartBeat, beat+","+wanted)
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		header(name, o.Headers[name])
	}
	b.WriteString("\n\x00")
	return b.Bytes()
}

// agree sets the heart-beats to what both sides want.
func (c *Conn) agree(theirs string, o Options) error {
	ours := o.HeartBeat
	if theirs == "" || ours == 0 {
		return nil
	}
	sends, wants, err := frame.ParseHeartBeat(theirs)
	if err != nil {
		return fmt.Errorf("heart-beat %q; want two numbers", theirs)
	}
	if sends > 0 && !o.Silent {
		c.receive = 2 * max(sends, ours)
	}
	if wants > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.send = max(wants, ours) * 4 / 5
		c.beat = time.AfterFunc(c.send, c.sendBeat)
	}
	return nil
}

// sendBeat sends a heart-beat, and the next one after a while.
func (c *Conn) sendBeat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	if err := c.put([]byte("\n")); err != nil {
		c.end() // the reader gets an error
	}
}

// write sends bytes at once.
func (c *Conn) write(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.put(b)
}

// put is write by who holds mu.
func (c *Conn) put(b []byte) error {
	_ = c.conn.SetWriteDeadline(time.Now().Add(writePatience)) // an error is that of the write
	_, err := c.conn.Write(b)
	_ = c.conn.SetWriteDeadline(time.Time{})
	if c.beat != nil && !c.over {
		c.beat.Reset(c.send)
	}
	return err
}

// Send sends frames at once, all in one piece.
func (c *Conn) Send(frames ...*frame.Frame) error {
	if len(frames) == 0 {
		return nil
	}
	var b bytes.Buffer
	w := frame.NewWriter(&b)
	for _, f := range frames {
		if err := w.Write(f); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return net.ErrClosed
	}
	return c.put(b.Bytes())
}

// Ack is the frame that acknowledges a message.
func (c *Conn) Ack(message *frame.Frame) *frame.Frame {
	if c.version == "1.1" {
		return frame.New(frame.ACK, frame.Subscription, message.Header.Get(frame.Subscription), frame.MessageId, message.Header.Get(frame.MessageId))
	}
	return frame.New(frame.ACK, frame.Id, message.Header.Get(frame.Ack))
}

// Read waits for the next frame that is not a heart-beat. A *TooLargeError comes
// with a frame, and the connection goes on; after any other error it is over. An
// ERROR frame is a *ServerError. After Leave the end is io.EOF; when ctx has
// ended the error is its own.
func (c *Conn) Read() (*frame.Frame, error) {
	for {
		f, err := c.next()
		switch {
		case c.ctx.Err() != nil:
			return nil, c.ctx.Err()
		case f == nil && err == nil:
		case f != nil && f.Command == frame.ERROR:
			return nil, &ServerError{f}
		case f != nil && isGoodbye(f):
			c.gone = true
			return nil, io.EOF
		default:
			return f, err
		}
	}
}

// Waiting says that a whole frame has come already, or something that Read will
// not wait for. One that is larger than what is read ahead has not.
func (c *Conn) Waiting() bool {
	come, _ := c.buf.Peek(c.buf.Buffered())
	come = bytes.TrimLeft(come, "\r\n") // heart-beats
	end := endOfHead(come)
	if end == 0 {
		return false
	}
	if n := contentLength(come[:end]); n > 0 { // whose body may have a NUL
		return int64(len(come)-end) > n
	}
	return bytes.IndexByte(come[end:], 0) >= 0
}

// next reads a frame; nil for a heart-beat.
func (c *Conn) next() (*frame.Frame, error) {
	if c.receive > 0 && !c.Waiting() {
		_ = c.conn.SetReadDeadline(time.Now().Add(c.receive))
		defer c.conn.SetReadDeadline(time.Time{}) //nolint:errcheck // an error is that of the read
	}
	c.meter.left = MaxBody + 2*maxHead
	head, err := c.head()
	if err != nil {
		return nil, err
	}
	if n := contentLength(head); n > MaxBody {
		return c.skip(head, n)
	}
	return c.frames.Read()
}

// head waits for the command and the headers of the next frame, with the empty
// line behind them; nil for a heart-beat.
func (c *Conn) head() ([]byte, error) {
	for {
		come, _ := c.buf.Peek(c.buf.Buffered())
		if len(come) > 0 && (come[0] == '\n' || come[0] == '\r') {
			return nil, nil
		}
		if end := endOfHead(come); end > 0 {
			return come[:end], nil
		}
		if len(come) == c.buf.Size() {
			return nil, fmt.Errorf("headers of more than %d bytes", maxHead)
		}
		if _, err := c.buf.Peek(len(come) + 1); err != nil {
			return nil, err
		}
	}
}

// endOfHead is where the body begins; 0 when the head is not complete. What looks
// like another end of it may be in the body.
func endOfHead(b []byte) int {
	for from := 0; ; {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0
		}
		from += i + 1
		if rest := bytes.TrimPrefix(b[from:], []byte("\r")); bytes.HasPrefix(rest, []byte("\n")) {
			return len(b) - len(rest) + 1
		}
	}
}

// contentLength is what the first header of that name says; 0 when there is
// none, or one that says nothing.
func contentLength(head []byte) int64 {
	_, rest, _ := bytes.Cut(head, []byte("\n"+frame.ContentLength+":"))
	text, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.ParseInt(string(bytes.TrimRight(text, "\r")), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// withoutLength is a head that announces no body.
func withoutLength(head []byte) (out []byte) {
	for line := range bytes.Lines(head) {
		if !bytes.HasPrefix(line, []byte(frame.ContentLength+":")) {
			out = append(out, line...)
		}
	}
	return out
}

// skip reads over a frame whose body is too large.
func (c *Conn) skip(head []byte, n int64) (*frame.Frame, error) {
	if n > maxSkip {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	f, err := frame.NewReader(io.MultiReader(bytes.NewReader(withoutLength(head)), strings.NewReader("\x00"))).Read()
	if err != nil {
		return nil, err
	}
	c.meter.left = n + 2*maxHead
	if _, err := io.CopyN(io.Discard, c.buf, int64(len(head))+n+1); err != nil {
		return nil, err
	}
	return f, &TooLargeError{n}
}

// meter bounds what is read.
type meter struct {
	r    io.Reader
	left int64
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, fmt.Errorf("a frame of more than %d bytes without a length", MaxBody)
	}
	n, err := m.r.Read(p)
	m.left -= int64(n)
	return n, err
}

func isGoodbye(f *frame.Frame) bool {
	return f.Command == frame.RECEIPT && f.Header.Get(frame.ReceiptId) == goodbye
}

// Leave asks the server to send what it has begun, and no more; it has that long
// until the connection ends. Nothing can be sent after it.
func (c *Conn) Leave(patience time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.over = true
	if c.beat != nil {
		c.beat.Stop()
	}
	c.leave = time.AfterFunc(patience, c.end)
	if c.put([]byte(frame.DISCONNECT+"\n"+frame.Receipt+":"+goodbye+"\n\n\x00")) != nil {
		c.end()
	}
}

// Close ends the connection. It waits a moment until the server has what was
// sent, and reads over what it still sends.
func (c *Conn) Close() {
	c.stop()
	c.Leave(lastWords)
	c.receive = 0
	for !c.gone {
		f, err := c.next()
		_, tooLarge := errors.AsType[*TooLargeError](err)
		c.gone = err != nil && !tooLarge || f != nil && (isGoodbye(f) || f.Command == frame.ERROR)
	}
	c.leave.Stop()
	c.end()
}
