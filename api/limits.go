package api

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tocsin.internal/api/access"
)

// Rate is how often one caller may ask; the zero Rate is no limit.
type Rate struct {
	PerSecond float64
	Burst     int // how many requests at once
}

// maxCallers is how many callers are known in each half of the table of a limiter.
const maxCallers = 10_000

// limiter holds callers to a rate. Of those that have not asked for the longest
// it forgets how often they had, so that its memory is bounded.
type limiter struct {
	rate Rate
	now  func() time.Time

	mu        sync.Mutex
	new, aged map[string]*rate.Limiter
}

// newLimiter is nil for no limit.
func newLimiter(r Rate) *limiter {
	if r.PerSecond <= 0 {
		return nil
	}
	return &limiter{rate: r, now: time.Now, new: map[string]*rate.Limiter{}}
}

// take counts a request of somebody; its error is the refusal of one too many.
func (l *limiter) take(who string) error {
	if l == nil {
		return nil
	}
	now := l.now()
	taken := l.of(who).ReserveN(now, 1)
	wait := taken.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	taken.CancelAt(now)
	return &access.Refused{Code: access.Exhausted, Why: "too many requests; want fewer, see http.rate", After: wait}
}

func (l *limiter) of(who string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.new[who]; known != nil {
		return known
	}
	if len(l.new) >= maxCallers {
		l.new, l.aged = map[string]*rate.Limiter{}, l.new
	}
	known := l.aged[who]
	if known == nil {
		known = rate.NewLimiter(rate.Limit(l.rate.PerSecond), max(l.rate.Burst, 1))
	}
	l.new[who] = known
	return known
}

// retryAfter is a wait in whole seconds, at least one.
func retryAfter(wait time.Duration) int { return max(int(math.Ceil(wait.Seconds())), 1) }

// client is whose rate the requests of an address count to: that of the address
// itself, of IPv6 that of its network, which one machine has to itself.
func client(remote string) string {
	ip, err := netip.ParseAddr(remote)
	if err != nil {
		a, err := netip.ParseAddrPort(remote)
		if err != nil {
			return remote
		}
		ip = a.Addr()
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return network.String()
}

// How long a client may take over its body: so long for its beginning, and then
// as fast as this at least.
const (
	bodyGrace   = 20 * time.Second
	minBodyRate = 512 // bytes a second
)

// paced lets clients not be slower with a body than it takes, so that slow ones
// hold no connection. Only the waiting for the client counts.
func paced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &pacedBody{ReadCloser: r.Body, until: http.NewResponseController(w).SetReadDeadline, now: time.Now, left: bodyGrace}
		}
		next.ServeHTTP(w, r)
	})
}

type pacedBody struct {
	io.ReadCloser
	until func(time.Time) error // sets by when a read has to be done
	now   func() time.Time
	left  time.Duration // that the client may take
}

// Read makes it a Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	begun := b.now()
	if err := b.until(begun.Add(b.left)); err != nil {
		return b.ReadCloser.Read(p) // not a connection: what another worker has handed over
	}
	n, err := b.ReadCloser.Read(p)
	b.left += time.Duration(n)*time.Second/minBodyRate - b.now().Sub(begun)
	b.left = min(max(b.left, 0), bodyGrace)
	if err == io.EOF {
		b.until(time.Time{}) //nolint:errcheck // it could be set before
	}
	return n, err
}

// How much of a body over the limit is read on, and for how long.
const (
	lingerBytes = 64 << 20
	lingerTime  = 5 * time.Second
)

// bounded is a body of which so much is taken. Where there is more, it is read on
// and forgotten: a client that sends all before it reads the answer would find its
// connection reset in the place of it.
type bounded struct {
	io.ReadCloser
	rest io.Reader // nil when that has been read
}

func bound(w http.ResponseWriter, body io.ReadCloser, most int64) io.ReadCloser {
	return &bounded{http.MaxBytesReader(w, body, most), body}
}

// Read makes it a Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if _, over := errors.AsType[*http.MaxBytesError](err); over && b.rest != nil {
		linger(b.rest)
		b.rest = nil
	}
	return n, err
}

func linger(r io.Reader) {
	until := time.Now().Add(lingerTime)
	part := make([]byte, 32<<10)
	for read := 0; read < lingerBytes && time.Now().Before(until); {
		n, err := r.Read(part)
		if err != nil {
			return
		}
		read += n
	}
}

// crowd is a listener that holds at most so many connections. When it has no room
// for one more, the one goes that has not asked for anything for the longest; only
// where all are in use the new one is turned away.
type crowd struct {
	net.Listener
	most       int // 0: any number
	open       atomic.Int64
	turnedAway atomic.Uint64

	mu      sync.Mutex
	idle    *list.List // of net.Conn, the longest idle first
	waiting map[net.Conn]*list.Element
}

func newCrowd(l net.Listener, most int) *crowd {
	return &crowd{Listener: l, most: most, idle: list.New(), waiting: map[net.Conn]*list.Element{}}
}

// Accept makes it a Listener.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c.most == 0 || c.open.Load() < int64(c.most) || c.evict() {
			c.open.Add(1)
			return &member{Conn: conn, leave: sync.OnceFunc(func() { c.open.Add(-1) })}, nil
		}
		c.turnedAway.Add(1)
		conn.Close() //nolint:errcheck // it has not been used
	}
}

// evict closes the connection that has been idle for the longest, if any is.
func (c *crowd) evict() bool {
	c.mu.Lock()
	first := c.idle.Front()
	var conn net.Conn
	if first != nil {
		conn, _ = c.idle.Remove(first).(net.Conn)
		delete(c.waiting, conn)
	}
	c.mu.Unlock()
	if conn == nil {
		return false
	}
	c.turnedAway.Add(1)
	conn.Close() //nolint:errcheck // whoever has it finds it closed
	return true
}

// watch is told by the server what becomes of its connections.
func (c *crowd) watch(conn net.Conn, state http.ConnState) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if was := c.waiting[conn]; was != nil {
		c.idle.Remove(was)
		delete(c.waiting, conn)
	}
	if state == http.StateNew || state == http.StateIdle {
		c.waiting[conn] = c.idle.PushBack(conn)
	}
}

// member is a connection of a crowd.
type member struct {
	net.Conn
	leave func()
}

// Close makes it a Conn.
func (m *member) Close() error {
	m.leave()
	return m.Conn.Close()
}

type passedOnKey struct{}

// passedOn is ctx of a request that another worker has handed over: that one has
// counted and recorded it.
func passedOn(ctx context.Context) context.Context {
	return context.WithValue(ctx, passedOnKey{}, true)
}

func wasPassedOn(ctx context.Context) bool { return ctx.Value(passedOnKey{}) != nil }
