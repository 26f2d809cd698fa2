// Package wsconn makes a net.Conn of a WebSocket: what the messages of the other
// side hold, text and binary, is read as one stream, and each Write is a message.
package wsconn

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// Conn is a WebSocket as a net.Conn. One goroutine may read and others write and
// close it at the same time. A deadline that passes ends the connection, also
// when nothing is being read or written then.
type Conn struct {
	ws      *websocket.Conn
	kind    websocket.MessageType
	local   net.Addr
	remote  net.Addr
	message io.Reader // the one that is being read; nil between two

	read, write deadline
	late        atomic.Bool // a deadline has passed
}

// New makes a connection that writes messages of a kind. Addresses that are nil
// are those of no place. A message may be as long as it likes: the reader, who
// never has it as a whole, sets limits.
func New(ws *websocket.Conn, kind websocket.MessageType, local, remote net.Addr) *Conn {
	ws.SetReadLimit(-1)
	return &Conn{ws: ws, kind: kind, local: orNowhere(local), remote: orNowhere(remote)}
}

// Read reads what has come, over the ends of messages. io.EOF says that the other
// side closed the connection in good order.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			_, message, err := c.ws.Reader(context.Background())
			if err != nil {
				return 0, c.explain(err)
			}
			c.message = message
		}
		n, err := c.message.Read(p)
		if errors.Is(err, io.EOF) {
			c.message, err = nil, nil
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, c.explain(err)
		}
	}
}

// Write sends p as one message.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.ws.Write(context.Background(), c.kind, p); err != nil {
		return 0, c.explain(err)
	}
	return len(p), nil
}

// Close tells the other side, waits some seconds until it has understood, and ends
// the connection.
func (c *Conn) Close() error { return c.CloseWith(websocket.StatusNormalClosure, "") }

// CloseWith is Close with a reason, of at most 123 bytes.
func (c *Conn) CloseWith(code websocket.StatusCode, reason string) error {
	defer c.stop()
	return c.ws.Close(code, reason)
}

// CloseNow ends the connection without a word.
func (c *Conn) CloseNow() error {
	defer c.stop()
	return c.ws.CloseNow()
}

func (c *Conn) stop() {
	c.SetDeadline(time.Time{}) //nolint:errcheck // it gives none
}

func (c *Conn) expire() {
	c.late.Store(true)
	c.ws.CloseNow() //nolint:errcheck // whoever reads or writes gets an error
}

// LocalAddr is this side's address.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the other side's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	c.read.set(t, c.expire)
	c.write.set(t, c.expire)
	return nil
}

// SetReadDeadline ends the connection at t unless it is set anew; zero: never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.read.set(t, c.expire)
	return nil
}

// SetWriteDeadline ends the connection at t unless it is set anew; zero: never.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.write.set(t, c.expire)
	return nil
}

// deadline is when a connection ends.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
}

func (d *deadline) set(t time.Time, expire func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.timer == nil && !t.IsZero():
		d.timer = time.AfterFunc(time.Until(t), expire)
	case t.IsZero() && d.timer != nil:
		d.timer.Stop()
	case d.timer != nil:
		d.timer.Reset(time.Until(t))
	}
}

// explain says what an error means to somebody who knows no WebSocket.
func (c *Conn) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case c.late.Load():
		return os.ErrDeadlineExceeded
	}
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway:
		return io.EOF
	default:
		return err
	}
}

// nowhere is the address of a side that has none.
type nowhere struct{}

// Network and String make it a net.Addr.
func (nowhere) Network() string { return "websocket" }

// String names no place.
func (nowhere) String() string { return "websocket" }

func orNowhere(a net.Addr) net.Addr {
	if a == nil {
		return nowhere{}
	}
	return a
}
