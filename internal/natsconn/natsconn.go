// Package natsconn is a connection to a NATS server that announces no message
// larger than any that servers take: the client library makes room for what is
// announced, in a goroutine of its own, and panics where there can be none.
package natsconn

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
)

const (
	// largest is what servers may be set to take, and what they add themselves.
	largest = 66 << 20
	// longest bounds a line of the protocol.
	longest = 1 << 20
)

var (
	errLarge = errors.New("the server announces a message larger than any that servers take")
	errLong  = errors.New("a line of the protocol has more than 1 MiB")
)

// conn looks at what comes. With TLS and over WebSocket it cannot: there the
// client's first bytes are none of the protocol.
type conn struct {
	net.Conn
	spoken atomic.Bool
	blind  atomic.Bool

	line    []byte // that has begun
	payload int    // bytes of a message that are still to come
	rest    bool   // of a line, which says nothing
}

// Dial connects; the connection outlives ctx.
func Dial(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.blind.Load() {
		return n, err
	}
	if err := c.look(b[:n]); err != nil {
		return 0, err
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	const handshake, get = 0x16, 'G'
	if len(b) > 0 && !c.spoken.Swap(true) {
		c.blind.Store(b[0] == handshake || b[0] == get)
	}
	return c.Conn.Write(b)
}

// look follows the lines and the payloads between them.
func (c *conn) look(b []byte) error {
	for len(b) > 0 {
		if n := min(c.payload, len(b)); n > 0 {
			c.payload -= n
			b = b[n:]
			continue
		}
		end := bytes.IndexByte(b, '\n')
		part := b
		if end >= 0 {
			part, b = b[:end], b[end+1:]
		} else {
			b = nil
		}
		switch {
		case c.rest:
			c.rest = end < 0
		case len(c.line)+len(part) > longest:
			return errLong
		case end < 0:
			c.line = append(c.line, part...)
		default:
			if len(c.line) > 0 {
				part = append(c.line, part...)
				c.line = nil
			}
			size, err := announced(part)
			if err != nil {
				return err
			}
			if size >= 0 {
				c.payload, c.rest = size, true
			}
		}
	}
	return nil
}

// announced is the size of the payload that follows a line; -1: none does.
func announced(line []byte) (int, error) {
	const blanks = " \t\r"
	operation := line[:max(bytes.IndexAny(line, " \t"), 0)]
	if !bytes.EqualFold(operation, []byte("MSG")) && !bytes.EqualFold(operation, []byte("HMSG")) {
		return -1, nil
	}
	line = bytes.TrimRight(line, blanks)
	n, err := strconv.ParseUint(string(line[bytes.LastIndexAny(line, blanks)+1:]), 10, 64)
	if err != nil || n > largest {
		return 0, errLarge
	}
	return int(n), nil
}
