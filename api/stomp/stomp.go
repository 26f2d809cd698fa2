// Package stomp is a STOMP server, 1.0, 1.1 and 1.2, over TCP and over WebSocket:
// samples, messages to inputs and searches in the form of the IOTICS API, and
// alerts, notifications and stickers in the engine's own.
package stomp

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
)

// Options say what a server offers, and to whom.
type Options struct {
	Live    Live
	Guard   *access.Guard // nil: everybody everything
	Space   Space         // nil: the IOTICS API's destinations are not there
	Host    string        // the host's id in the IOTICS API
	Name    string        // the installation's, which may stand in destinations; "" for none
	Version string        // of the program
	Log     zerolog.Logger
	Limits  Limits
	Bound   func() // told when connections are taken; may be nil
}

// Live is what happens: an engine's, see [FromEngine].
type Live interface {
	// Follow calls f for everything that happens on the topic from now on, or after
	// the event with the id after, one after the other and until stop is called.
	Follow(ctx context.Context, t engine.Topic, after string, f func(*engine.Event)) (stop func(), err error)

	// Since is the id to follow a topic from for everything that was stored at a
	// time or later; the zero time is before all.
	Since(ctx context.Context, t engine.Topic, at time.Time) (after string, err error)

	// LastSample is the newest sample of a feed that keeps it.
	LastSample(ctx context.Context, twin, feed string) (last *engine.Event, ok bool, err error)

	// Subscribe takes up the owner's place of that name in a topic, one of no name for "".
	Subscribe(ctx context.Context, owner, name string, t engine.Topic) (Place, error)

	// Unsubscribe gives a place up. It says whether there was one.
	Unsubscribe(ctx context.Context, owner, name string) (found bool, err error)
}

// Place is a place in a topic that goes forward as what comes is acknowledged.
type Place interface {
	Next(ctx context.Context) (Delivery, error)
	Close()
}

// Delivery is an event that is to be acknowledged, or asked for again.
type Delivery struct {
	Event   *engine.Event
	Attempt int // how often it has been given, from 1
	Ack     func(context.Context) error
	Nak     func(ctx context.Context, after time.Duration) error
}

// Space is the IOTICS API, which gives parts of messages and answers searches: see
// qapi.Space.
type Space interface {
	// AppendInterest appends what a follower follows.
	AppendInterest(b []byte, follower, followed, feed string) []byte

	// AppendInputID appends the name of an input.
	AppendInputID(b []byte, twin, input string) []byte

	// Found is the payload of a search's answer. An error with a method GRPCCode
	// tells the client of that code.
	Found(ctx context.Context, body io.Reader, limit, offset int) (payload []byte, err error)
}

// Limits are what connections may ask for and how long things may take. What is
// zero is as in [Limits.orDefault].
type Limits struct {
	Connections   int           // at a time
	Subscriptions int           // of a connection
	Frame         int           // bytes of one from a client
	Headers       int           // of a frame
	Line          int           // bytes of a header
	Queue         int           // messages that wait for a client to read
	Unacked       int           // messages of a subscription that wait for their acknowledgement
	Connect       time.Duration // until the first frame has come
	Receive       time.Duration // for a frame from its first byte to its last
	Beat          time.Duration // between heart-beats, at least
	Slow          time.Duration // that a client may be too slow
	Write         time.Duration // that a write may take
	Linger        time.Duration // for a client to take its last frame
	Check         time.Duration // between looks whether a token still holds; those of users are looked at more often
}

// orDefault fills in what is not said.
func (l Limits) orDefault() Limits {
	return Limits{
		Connections:   cmp.Or(l.Connections, 10_000),
		Subscriptions: cmp.Or(l.Subscriptions, 100),
		Frame:         cmp.Or(l.Frame, 1<<20),
		Headers:       cmp.Or(l.Headers, 64),
		Line:          cmp.Or(l.Line, 16<<10),
		Queue:         cmp.Or(l.Queue, 1024),
		Unacked:       cmp.Or(l.Unacked, 256),
		Connect:       cmp.Or(l.Connect, 10*time.Second),
		Receive:       cmp.Or(l.Receive, 30*time.Second),
		Beat:          cmp.Or(l.Beat, 10*time.Second),
		Slow:          cmp.Or(l.Slow, 30*time.Second),
		Write:         cmp.Or(l.Write, 30*time.Second),
		Linger:        cmp.Or(l.Linger, 5*time.Second),
		Check:         cmp.Or(l.Check, time.Minute),
	}
}

// Server serves STOMP while its Run runs.
type Server struct {
	Options
	counts counts
	last   atomic.Pointer[message] // the event that was told last, with what was made of it

	mu      sync.Mutex
	running context.Context //nolint:containedctx // of Run; nil before and after it
	conns   map[*conn]struct{}
	group   sync.WaitGroup
}

// New makes a server.
func New(o Options) *Server {
	o.Limits = o.Limits.orDefault()
	return &Server{Options: o, conns: map[*conn]struct{}{}}
}

// counts are what Stats tells.
type counts struct {
	connections, messages, dropped, slow, errors, frames atomic.Uint64
}

// Stats are counters since the start, and what there is now.
type Stats struct {
	Open          int    // connections now
	Subscriptions int    // of them
	Connections   uint64 // that were taken
	Messages      uint64 // that were written
	Dropped       uint64 // that were not, because their client was too slow
	Slow          uint64 // connections that were ended because of that
	Errors        uint64 // ERROR frames, the slow ones' included
	Frames        uint64 // that clients sent, heart-beats not counted
}

// Stats tells how it goes.
func (s *Server) Stats() Stats {
	out := Stats{
		Connections: s.counts.connections.Load(), Messages: s.counts.messages.Load(), Dropped: s.counts.dropped.Load(),
		Slow: s.counts.slow.Load(), Errors: s.counts.errors.Load(), Frames: s.counts.frames.Load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Open = len(s.conns)
	for c := range s.conns {
		out.Subscriptions += int(c.subscribed.Load())
	}
	return out
}

// Run takes connections from the listeners, which it closes, and lets [Server.Route]
// take WebSockets, until ctx ends. Then it tells the clients, and returns when the last
// one is gone.
func (s *Server) Run(ctx context.Context, listeners ...net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.mu.Lock()
	s.running = ctx
	s.mu.Unlock()
	if s.Bound != nil {
		s.Bound()
	}
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		s.group.Go(func() { failed <- s.accept(ctx, l) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.mu.Lock()
	s.running = nil
	for c := range s.conns {
		c.fail(refuse(unavailable, "the server is stopping"), nil)
	}
	s.mu.Unlock()
	for _, l := range listeners {
		l.Close() //nolint:errcheck // it is not used any more
	}
	s.group.Wait()
	return err
}

// acceptRetry is when a listener is asked again that has failed, such as for want
// of file descriptors.
const acceptRetry = 50 * time.Millisecond

func (s *Server) accept(ctx context.Context, l net.Listener) error {
	for {
		n, err := l.Accept()
		switch {
		case err == nil:
			s.group.Go(func() { s.serveTCP(n) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("stomp: %w", err)
		default:
			s.Log.Warn().Err(err).Msg("stomp: a connection could not be taken")
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(acceptRetry):
			}
		}
	}
}

// serveTCP serves a connection of a listener, with TLS where the listener does.
func (s *Server) serveTCP(n net.Conn) {
	c := newConn(s, n)
	c.joined = true
	c.cut = func() { n.Close() } //nolint:errcheck // nothing can be done about it
	c.bye = func(error) {
		if half, ok := n.(interface{ CloseWrite() error }); ok {
			half.CloseWrite() //nolint:errcheck // the client is gone
		} else {
			n.Close() //nolint:errcheck // nothing can be done about it
		}
	}
	c.serve()
}

// admit counts a connection in; the error says why it cannot be served.
func (s *Server) admit(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.running == nil:
		return refuse(unavailable, "the server is stopping")
	case len(s.conns) >= s.Limits.Connections:
		return refuse(exhausted, "there are %d connections, which is as many as may be", len(s.conns))
	}
	s.conns[c] = struct{}{}
	s.counts.connections.Add(1)
	return nil
}

func (s *Server) release(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// message is an event with what is made of it, once for all who are told.
func (s *Server) message(e *engine.Event) *message {
	if m := s.last.Load(); m != nil && m.event == e {
		return m
	}
	m := &message{event: e}
	s.last.Store(m)
	return m
}

func newSession() string { return rand.Text() }

// FromEngine is what happens in an engine.
func FromEngine(e *engine.Engine) Live { return live{e} }

type live struct{ *engine.Engine }

// Subscribe makes a Place of the engine's subscription.
func (l live) Subscribe(ctx context.Context, owner, name string, t engine.Topic) (Place, error) {
	s, err := l.Engine.Subscribe(ctx, owner, name, t)
	if err != nil {
		return nil, err
	}
	return place{s}, nil
}

type place struct{ *engine.Subscription }

// Next makes a Delivery of what the engine's subscription gives.
func (p place) Next(ctx context.Context) (Delivery, error) {
	next, err := p.Subscription.Next(ctx)
	if err != nil {
		return Delivery{}, err
	}
	return Delivery{next.Event, next.Attempt, next.Ack, next.Nak}, nil
}
