//go:build unix

package chaos

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// proxy stands between a client and its server, so that what connects the two
// can be cut, or hold everything back as a broken network does.
type proxy struct {
	listener net.Listener
	target   string
	group    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	flows chan struct{} // closed while bytes pass
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, target: target, conns: map[net.Conn]bool{}, flows: make(chan struct{})}
	close(p.flows)
	p.group.Go(p.accept)
	t.Cleanup(func() {
		assert.NoError(t, l.Close())
		p.cut()
		p.release()
		p.group.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.group.Go(func() { p.connect(client) })
	}
}

func (p *proxy) connect(client net.Conn) {
	p.keep(client)
	defer p.drop(client)
	<-p.open()
	server, err := net.Dial("tcp", p.target) //nolint:noctx // a local address has nothing to wait for
	if err != nil {
		return
	}
	p.keep(server)
	defer p.drop(server)
	p.group.Go(func() { p.pass(server, client) })
	p.pass(client, server)
}

// pass hands on bytes until one of the two is closed, and then closes both.
func (p *proxy) pass(from, to net.Conn) {
	defer from.Close() //nolint:errcheck // it may be closed already
	defer to.Close()   //nolint:errcheck // it may be closed already
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		<-p.open()
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) open() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flows
}

func (p *proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Close() //nolint:errcheck // it may be closed already
	delete(p.conns, c)
}

// cut ends every connection. New ones can be made at once.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close() //nolint:errcheck // it may be closed already
	}
}

// hold keeps everything back until release; no connection ends.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flows:
		p.flows = make(chan struct{})
	default:
	}
}

func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flows:
	default:
		close(p.flows)
	}
}
