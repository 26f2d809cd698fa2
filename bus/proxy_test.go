package bus

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy stands between a client and its server. While it is paused nothing
// arrives on either side, as when a process is stopped: what was sent waits.
type proxy struct {
	listener net.Listener
	server   string

	mu      sync.Mutex
	free    *sync.Cond
	paused  bool
	clients map[net.Conn]bool
	wg      sync.WaitGroup
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	at, err := url.Parse(server)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: listener, server: at.Host, clients: map[net.Conn]bool{}}
	p.free = sync.NewCond(&p.mu)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		listener.Close() //nolint:errcheck // it was only listened to
		p.resume()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.server)
		if err != nil {
			closed(client)
			continue
		}
		p.mu.Lock()
		p.clients[client] = true
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(client, server) })
		p.wg.Go(func() { p.pass(server, client) })
	}
}

// pass takes what comes at once, and hands it on while it may.
func (p *proxy) pass(from, to net.Conn) {
	defer closed(to)
	waiting := make(chan []byte, 1024)
	p.wg.Go(func() {
		defer closed(from)
		defer close(waiting)
		for {
			buf := make([]byte, 16<<10)
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			waiting <- buf[:n]
		}
	})
	for chunk := range waiting {
		p.mu.Lock()
		for p.paused {
			p.free.Wait()
		}
		p.mu.Unlock()
		if _, err := to.Write(chunk); err != nil {
			closed(from)
		}
	}
}

func closed(c net.Conn) {
	c.Close() //nolint:errcheck // it may have been before
}

func (p *proxy) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = true
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = false
	p.free.Broadcast()
}

// cut breaks the connections of the clients. What they have sent still arrives.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.clients {
		closed(c)
		delete(p.clients, c)
	}
}
