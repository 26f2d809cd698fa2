package stompclient

import (
	"context"
	"net"
)

// Over is a connection whose server has said that it is connected.
func Over(ctx context.Context, conn net.Conn) *Conn {
	c := newConn(ctx, conn, func() { _ = conn.Close() })
	c.version = "1.2"
	c.stop = func() bool { return true }
	return c
}
