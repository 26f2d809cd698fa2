package stomp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api/access"
	"tocsin.internal/api/stomp"
	"tocsin.internal/engine"
	"tocsin.internal/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// world is what happens, as far as a test has it happen.
type world struct {
	mu        sync.Mutex
	followers map[*follower]bool
	last      map[string]*engine.Event // by twin and feed
	places    map[string]*place        // by owner and name
	number    int
	during    func() // what happens while the last sample is asked for
}

type follower struct {
	topic engine.Topic
	f     func(*engine.Event)
}

func newWorld() *world {
	return &world{followers: map[*follower]bool{}, last: map[string]*engine.Event{}, places: map[string]*place{}}
}

// Follow makes the world one that can be followed.
func (w *world) Follow(_ context.Context, t engine.Topic, after string, f func(*engine.Event)) (func(), error) {
	if t.Pattern == "away" {
		return nil, fmt.Errorf("follow: %w", engine.ErrStopped)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if after != "" {
		f(&engine.Event{ID: "since " + after, Kind: engine.SampleTopic, Twin: t.Twin, Name: t.Name, At: noon, Mime: "text/plain", Data: []byte("since"), Past: true})
	}
	who := &follower{t, f}
	w.followers[who] = true
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.followers, who)
	}, nil
}

// Since is the time.
func (w *world) Since(_ context.Context, _ engine.Topic, at time.Time) (string, error) {
	return at.Format(time.DateTime), nil
}

// LastSample is what keep has put there.
func (w *world) LastSample(_ context.Context, twin, feed string) (*engine.Event, bool, error) {
	e, ok := w.last[twin+" "+feed]
	if twin == "nobody" {
		return nil, false, engine.ErrNoTwin
	}
	if w.during != nil {
		w.during()
	}
	return e, ok, nil
}

// Subscribe takes up a place.
func (w *world) Subscribe(_ context.Context, owner, name string, t engine.Topic) (stomp.Place, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := owner + "/" + name
	p := w.places[key]
	if p == nil || name == "" {
		p = &place{topic: t, events: make(chan *engine.Event, 1000), settled: make(chan string, 1000)}
		w.places[key] = p
	}
	return p, nil
}

// Unsubscribe gives a place up.
func (w *world) Unsubscribe(_ context.Context, owner, name string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.places[owner+"/"+name]
	delete(w.places, owner+"/"+name)
	return p != nil, nil
}

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// happen tells who follows the topic of an event, and says how many do.
func (w *world) happen(t engine.Topic, e engine.Event) int {
	w.mu.Lock()
	w.number++
	if e.ID == "" {
		e.ID = fmt.Sprintf("f%d", w.number)
	}
	if e.At.IsZero() {
		e.At = noon
	}
	var all []*follower
	for who := range w.followers {
		if reflect.DeepEqual(who.topic, t) {
			all = append(all, who)
		}
	}
	w.mu.Unlock()
	for _, who := range all {
		who.f(&e)
	}
	return len(all)
}

// share is a sample of a feed.
func (w *world) share(twin, feed, data string) int {
	return w.happen(engine.Topic{Kind: engine.FeedTopic, Twin: twin, Name: feed}, engine.Event{Kind: engine.SampleTopic, Twin: twin, Name: feed, Mime: "application/json", Data: []byte(data)})
}

// place gives the events that a test puts in, and tells what becomes of them.
type place struct {
	topic   engine.Topic
	events  chan *engine.Event
	settled chan string
}

// Next waits for an event.
func (p *place) Next(ctx context.Context) (stomp.Delivery, error) {
	select {
	case e := <-p.events:
		if e == nil {
			return stomp.Delivery{}, errors.New("the place is gone")
		}
		return stomp.Delivery{
			Event:   e,
			Attempt: 1 + strings.Count(e.Subject, "again"),
			Ack:     func(context.Context) error { p.settled <- "ack " + e.ID; return nil },
			Nak: func(_ context.Context, after time.Duration) error {
				p.settled <- fmt.Sprintf("nak %s %s", e.ID, after)
				return nil
			},
		}, nil
	case <-ctx.Done():
		return stomp.Delivery{}, ctx.Err()
	}
}

// Close says that nobody is there.
func (p *place) Close() { p.settled <- "closed" }

// pipes is a listener of connections in memory, which do not buffer.
type pipes struct {
	conns     chan net.Conn
	began     chan struct{} // closed when connections are waited for
	over      chan struct{}
	beginning sync.Once
	ending    sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), began: make(chan struct{}), over: make(chan struct{})}
}

// Accept waits for a connection.
func (p *pipes) Accept() (net.Conn, error) {
	p.beginning.Do(func() { close(p.began) })
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}

// Close ends it.
func (p *pipes) Close() error {
	p.ending.Do(func() { close(p.over) })
	return nil
}

// Addr is nowhere.
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// house is a server that runs.
type house struct {
	*stomp.Server
	t     *testing.T
	world *world
	pipes *pipes
	tcp   net.Listener // nil in a bubble
}

// serve runs a server until the test ends; over TCP too, unless inMemory.
func serve(t *testing.T, inMemory bool, change func(*stomp.Options)) *house {
	t.Helper()
	w := newWorld()
	o := stomp.Options{Live: w, Host: "did:iotics:host", Version: "test", Space: space{}, Limits: stomp.Limits{Linger: time.Minute}} // the tests may be late
	if change != nil {
		change(&o)
	}
	h := &house{Server: stomp.New(o), t: t, world: w, pipes: newPipes()}
	listeners := []net.Listener{h.pipes}
	if !inMemory {
		var err error
		h.tcp, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		listeners = append(listeners, h.tcp)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx, listeners...) }()
	<-h.pipes.began // a WebSocket would be refused before
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-done)
	})
	return h
}

// client speaks STOMP as it is written.
type client struct {
	t *testing.T
	net.Conn
	frames *frame.Reader
}

func (h *house) dial() *client {
	h.t.Helper()
	var n net.Conn
	if h.tcp == nil {
		var theirs net.Conn
		n, theirs = net.Pipe()
		h.pipes.conns <- theirs
	} else {
		var err error
		n, err = new(net.Dialer).DialContext(h.t.Context(), "tcp", h.tcp.Addr().String())
		require.NoError(h.t, err)
		require.NoError(h.t, n.SetReadDeadline(time.Now().Add(2*time.Minute)))
	}
	h.t.Cleanup(func() { n.Close() }) //nolint:errcheck // it may be closed
	return newClient(h.t, n)
}

func newClient(t *testing.T, n net.Conn) *client { return &client{t, n, frame.NewReader(n)} }

// connected is a client that has connected, by the version.
func (h *house) connected(version string) *client {
	h.t.Helper()
	c := h.dial()
	c.send("CONNECT\naccept-version:" + version + "\nhost:x\n\n\x00")
	c.want("CONNECTED\nversion:" + version)
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	_, err := io.WriteString(c.Conn, text)
	require.NoError(c.t, err)
}

// next is the next frame, heart-beats left out.
func (c *client) next() *frame.Frame {
	c.t.Helper()
	for {
		f, err := c.frames.Read()
		require.NoError(c.t, err)
		if f != nil {
			return f
		}
	}
}

// want wants the next frame to have a command and headers, of those that are named,
// and a body, where one is.
func (c *client) want(text string) *frame.Frame {
	c.t.Helper()
	head, body, hasBody := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	f := c.next()
	require.Equal(c.t, lines[0], f.Command, "%v %s", f.Header, f.Body)
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		assert.Equal(c.t, value, f.Header.Get(name), name)
	}
	if hasBody {
		assert.Equal(c.t, body, string(f.Body))
	}
	return f
}

// over wants the connection to be closed.
func (c *client) over() {
	c.t.Helper()
	for {
		f, err := c.frames.Read()
		if err != nil {
			assert.ErrorIs(c.t, err, io.EOF)
			return
		}
		if f != nil {
			assert.Fail(c.t, "a frame after the last one", "%s %v %s", f.Command, f.Header, f.Body)
		}
	}
}

// subscribe subscribes and waits until that has been done.
func (c *client) subscribe(id, destination string, headers ...string) {
	c.t.Helper()
	c.send("SUBSCRIBE\nid:" + id + "\ndestination:" + strings.ReplaceAll(destination, ":", `\c`) + "\nreceipt:sub-" + id + "\n" + strings.Join(append(headers, ""), "\n") + "\n\x00")
	c.want("RECEIPT\nreceipt-id:sub-" + id)
}

// keys is a guard that knows some tokens.
func keys(callers map[string]*access.Caller) *access.Guard {
	return &access.Guard{Identify: func(_ context.Context, token string) (*access.Caller, error) {
		if c := callers[token]; c != nil {
			return c, nil
		}
		return nil, access.Unknown("token %q is not known", token)
	}}
}

// coded is an error with a code of its own.
type coded int

func (c coded) Error() string { return "the search is wrong" }

// GRPCCode is the code.
func (c coded) GRPCCode() int { return int(c) }

// space is an IOTICS API.
type space struct{}

func (space) AppendInterest(b []byte, follower, followed, feed string) []byte {
	return fmt.Appendf(b, `{"followerTwinId":{"id":%q},"followedFeedId":{"id":%q,"twinId":%q}}`, follower, feed, followed)
}

func (space) AppendInputID(b []byte, twin, input string) []byte {
	return fmt.Appendf(b, `{"id":%q,"twinId":%q}`, input, twin)
}

// Found answers with what it was asked.
func (space) Found(_ context.Context, body io.Reader, limit, offset int) ([]byte, error) {
	text, err := io.ReadAll(body)
	if string(text) == "wrong" {
		return nil, coded(3)
	}
	return fmt.Appendf(nil, `{"limit":%d,"offset":%d,"body":%q}`, limit, offset, text), err
}

func TestAFollowerOfAFeed(t *testing.T) {
	h := serve(t, false, nil)
	c := h.connected("1.2")
	const destination = "/qapi/twins/did:iotics:iotB/interests/twins/did:iotics:iotA/feeds/currentTemp"
	c.send("SUBSCRIBE\ndestination:" + strings.ReplaceAll(destination, ":", `\c`) + "\nid:1\nack:auto\nAuthorization:Bearer x\nIotics-ClientRef:ref\nIotics-TransactionRef:t1,t2\nreceipt:topic\n\n\x00")
	c.want("RECEIPT\nreceipt-id:topic")
	require.Equal(t, 1, h.world.share("did:iotics:iotA", "currentTemp", `{"temp":31.5}`))
	f := c.want("MESSAGE\ndestination:" + destination + "\nsubscription:1\nmessage-id:f1\ncontent-type:application/json\nIotics-ClientRef:ref\nIotics-TransactionRef:t1,t2\nAuthorization:")
	assert.JSONEq(t, `{
		"interest": {"followerTwinId": {"id": "did:iotics:iotB"}, "followedFeedId": {"id": "currentTemp", "twinId": "did:iotics:iotA"}},
		"feedData": {"data": "eyJ0ZW1wIjozMS41fQ==", "mime": "application/json", "occurredAt": "2026-11-02T12:00:00Z"}
	}`, string(f.Body))
	c.send("DISCONNECT\nreceipt:bye\n\n\x00")
	c.want("RECEIPT\nreceipt-id:bye")
	c.over()
}
