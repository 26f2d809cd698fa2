// Package stomptest is a small STOMP server for tests, over TCP and WebSocket. It
// does what it is told, also what no good server does.
package stomptest

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/go-stomp/stomp/v3/frame"

	"tocsin.internal/internal/wsconn"
)

// Server keeps the messages of each destination until they are acknowledged,
// and gives them to whoever subscribes.
type Server struct {
	// Answer says what to answer to a frame in place of what the server would;
	// nil: that. Frames without a command are not sent, and the connection ends
	// after an ERROR.
	Answer func(f *frame.Frame) []*frame.Frame
	// Chop sends every byte by itself.
	Chop bool

	listener net.Listener
	web      *httptest.Server
	group    sync.WaitGroup

	mu     sync.Mutex
	moved  *sync.Cond
	conns  map[*conn]bool
	kept   []*message
	frames []*frame.Frame // that have come
	number int
	gone   bool
}

type message struct {
	id, destination string
	headers         []string
	body            []byte
}

type conn struct {
	net.Conn
	mu   sync.Mutex
	subs map[string]*frame.Frame // by id
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{listener: l, conns: map[*conn]bool{}}
	s.moved = sync.NewCond(&s.mu)
	s.web = httptest.NewServer(http.HandlerFunc(s.ServeHTTP))
	s.group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.group.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		s.mu.Lock()
		s.gone = true
		s.moved.Broadcast()
		s.mu.Unlock()
		_ = l.Close()
		s.Drop()
		s.web.Close()
		s.group.Wait()
	})
	return s
}

// URL is the address over TCP.
func (s *Server) URL() string { return "stomp://" + s.listener.Addr().String() }

// WebSocketURL is the address over WebSocket.
func (s *Server) WebSocketURL() string { return strings.Replace(s.web.URL, "http", "ws", 1) + "/ws" }

// ServeHTTP speaks STOMP over a WebSocket, in binary messages.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	s.serve(wsconn.New(ws, websocket.MessageBinary, nil, nil))
}

func (s *Server) serve(c net.Conn) {
	client := &conn{Conn: c, subs: map[string]*frame.Frame{}}
	s.mu.Lock()
	s.conns[client] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, client)
		s.moved.Broadcast()
		s.mu.Unlock()
		_ = c.Close()
	}()
	r := frame.NewReader(c)
	for {
		f, err := r.Read()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.frames = append(s.frames, f)
		s.moved.Broadcast()
		s.mu.Unlock()
		if f != nil && !s.take(client, f) {
			return
		}
	}
}

// take answers a frame; false ends the connection.
func (s *Server) take(c *conn, f *frame.Frame) bool {
	if s.Answer != nil {
		if frames := s.Answer(f); frames != nil {
			for _, f := range frames {
				if f.Command != "" {
					s.send(c, f)
				}
				if f.Command == frame.ERROR {
					return false
				}
			}
			return true
		}
	}
	switch f.Command {
	case frame.CONNECT, frame.STOMP:
		s.send(c, frame.New(frame.CONNECTED, frame.Version, "1.2"))
	case frame.SUBSCRIBE:
		kept := s.subscribe(c, f)
		s.receipt(c, f)
		for _, m := range kept {
			s.deliver(c, f, m)
		}
		return true
	case frame.UNSUBSCRIBE:
		s.mu.Lock()
		delete(c.subs, f.Header.Get(frame.Id))
		s.mu.Unlock()
	case frame.ACK:
		s.mu.Lock()
		s.kept = slices.DeleteFunc(s.kept, func(m *message) bool { return m.id == f.Header.Get(frame.Id) })
		s.moved.Broadcast()
		s.mu.Unlock()
	}
	s.receipt(c, f)
	return f.Command != frame.DISCONNECT
}

func (s *Server) receipt(c *conn, f *frame.Frame) {
	if id, ok := f.Header.Contains(frame.Receipt); ok {
		s.send(c, frame.New(frame.RECEIPT, frame.ReceiptId, id))
	}
}

// subscribe gives what was kept before. Whoever has the receipt misses nothing
// that is published after it.
func (s *Server) subscribe(c *conn, f *frame.Frame) (kept []*message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.subs[f.Header.Get(frame.Id)] = f
	s.moved.Broadcast()
	return slices.Clone(s.kept)
}

func (s *Server) deliver(c *conn, sub *frame.Frame, m *message) {
	if !fits(sub.Header.Get(frame.Destination), m.destination) {
		return
	}
	out := frame.New(frame.MESSAGE, frame.Destination, m.destination, frame.Subscription, sub.Header.Get(frame.Id), frame.MessageId, m.id, frame.Ack, m.id, frame.ContentLength, strconv.Itoa(len(m.body)))
	for i := 0; i < len(m.headers); i += 2 {
		out.Header.Add(m.headers[i], m.headers[i+1])
	}
	out.Body = m.body
	s.send(c, out)
}

// fits says whether a destination is the one that was subscribed; * at the end
// stands for anything.
func fits(subscribed, destination string) bool {
	if begin, ok := strings.CutSuffix(subscribed, "*"); ok {
		return strings.HasPrefix(destination, begin)
	}
	return subscribed == destination
}

// send writes a frame as one piece, or byte by byte.
func (s *Server) send(c *conn, f *frame.Frame) {
	var b bytes.Buffer
	if err := frame.NewWriter(&b).Write(f); err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	size := b.Len()
	if s.Chop {
		size = 1
	}
	for piece := range slices.Chunk(b.Bytes(), size) {
		if _, err := c.Write(piece); err != nil {
			return
		}
	}
}

// Publish gives a message to all who have subscribed, and keeps it for those
// who acknowledge. Headers are names and values in turn.
func (s *Server) Publish(destination, body string, headers ...string) {
	s.mu.Lock()
	s.number++
	m := &message{"m" + strconv.Itoa(s.number), destination, headers, []byte(body)}
	s.kept = append(s.kept, m)
	type to struct {
		c   *conn
		sub *frame.Frame
	}
	var all []to
	for c := range s.conns {
		for _, sub := range c.subs {
			all = append(all, to{c, sub})
		}
	}
	s.mu.Unlock()
	for _, to := range all {
		s.deliver(to.c, to.sub, m)
	}
}

// Forget drops what is kept.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = nil
}

// Drop ends all connections without a word, and waits until the server knows them
// no more. No Answer may call it.
func (s *Server) Drop() {
	s.mu.Lock()
	all := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		if ws, ok := c.Conn.(*wsconn.Conn); ok {
			_ = ws.CloseNow()
			continue
		}
		_ = c.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for slices.ContainsFunc(all, func(c *conn) bool { return s.conns[c] }) {
		s.moved.Wait()
	}
}

// SendAll sends a frame to everybody.
func (s *Server) SendAll(f *frame.Frame) {
	s.mu.Lock()
	all := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		s.send(c, f)
	}
}

// State is what a server knows.
type State struct {
	Conns, Kept   int
	Subscriptions []string       // destinations
	Frames        []*frame.Frame // that have come; nil for a heart-beat
}

// Count says how many frames of a command have come.
func (st State) Count(command string) int {
	n := 0
	for _, f := range st.Frames {
		if f != nil && f.Command == command {
			n++
		}
	}
	return n
}

// Until waits for a state, or for the end of the test: false.
func (s *Server) Until(wanted func(State) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.gone {
		if wanted(s.state()) {
			return true
		}
		s.moved.Wait()
	}
	return false
}

func (s *Server) state() State {
	st := State{Conns: len(s.conns), Kept: len(s.kept), Frames: s.frames}
	for c := range s.conns {
		for _, sub := range c.subs {
			st.Subscriptions = append(st.Subscriptions, sub.Header.Get(frame.Destination))
		}
	}
	slices.Sort(st.Subscriptions)
	return st
}
