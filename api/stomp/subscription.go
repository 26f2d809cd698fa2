package stomp

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-stomp/stomp/v3/frame"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
)

// subscription is one of a connection.
type subscription struct {
	conn    *conn
	number  uint64 // among those of the connection, from 1
	id      string
	dest    destination
	version version
	head    []byte // of each MESSAGE: what is the same in all of them
	before  []byte // of each body
	after   []byte
	gone    bool   // nothing more is queued; guarded by the queue
	stop    func() // ends it; never nil

	// Where messages are acknowledged.
	mode     string
	durable  string // the name of its place, and whose that is
	owner    string
	credit   chan struct{} // has a place for each message that is not acknowledged
	mu       sync.Mutex
	open     map[string]*delivered // by the id of the event
	delivery uint64                // the number of the last one
	sent     chan string           // mode auto: events that have been written
}

// delivered is a message that waits for its acknowledgement.
type delivered struct {
	Delivery
	number uint64
}

// The modes of acknowledgement.
const (
	auto       = "auto"
	cumulative = "client"
	individual = "client-individual"
)

// subscribe begins a subscription.
func (c *conn) subscribe(f *frame.Frame) error {
	id, key, err := c.key(f)
	if err != nil {
		return err
	}
	switch {
	case c.subs[key] != nil:
		return refuse(invalid, "there is a subscription %.100q already", id)
	case len(c.subs) >= c.server.Limits.Subscriptions:
		return refuse(exhausted, "%d subscriptions, which is as many as a connection may have", len(c.subs))
	}
	text := f.Header.Get(frame.Destination)
	d, err := c.server.destination(text)
	if err != nil {
		return err
	}
	caller, err := c.who(f)
	if err != nil {
		return err
	}
	if err := c.server.Guard.May(c.ctx, caller, access.Read, d.topic.Twin); err != nil {
		return err
	}
	if d.topic.Kind == engine.StickerTopic || d.topic.Kind == engine.NotificationTopic {
		d.topic.Recipients = caller.Recipients()
	}
	c.made++
	sub := &subscription{conn: c, number: c.made, id: id, dest: d, version: c.version(), stop: func() {}}
	sub.head = sub.begin(f, text)
	sub.before, sub.after = c.server.envelope(&d)
	if err := sub.start(caller, f); err != nil {
		return err
	}
	c.subs[key] = sub
	c.subscribed.Store(int64(len(c.subs)))
	return nil
}

// key is what a subscription is found by: its id, or in STOMP 1.0, where it need
// not have one, its destination.
func (c *conn) key(f *frame.Frame) (id, key string, err error) {
	if id, ok := f.Header.Contains(frame.Id); ok {
		return id, id, nil
	}
	if c.version() != v10 {
		return "", "", refuse(invalid, "%s without the header id", f.Command)
	}
	return "", " " + f.Header.Get(frame.Destination), nil
}

// begin is the beginning of each MESSAGE. Destinations of the IOTICS API are
// repeated as they were subscribed to, and so is what the client calls its request.
func (s *subscription) begin(f *frame.Frame, destination string) []byte {
	b := append([]byte(nil), frame.MESSAGE+"\n"...)
	if s.id != "" || s.version != v10 {
		b = appendHeader(b, s.version, frame.Subscription, s.id)
	}
	if s.dest.root == "" {
		b = appendHeader(b, s.version, frame.Destination, destination)
	}
	if s.dest.form == plainForm {
		return b
	}
	b = appendHeader(b, s.version, frame.ContentType, "application/json")
	if s.dest.form == resultsForm {
		return b // what is echoed there is of the search
	}
	headers := echoed(f)
	for i := 0; i+1 < len(headers); i += 2 {
		b = appendHeader(b, s.version, headers[i], headers[i+1])
	}
	return b
}

// append appends the MESSAGE of an item.
func (s *subscription) append(b []byte, i *item) []byte {
	e := i.msg.event
	b = append(b, s.head...)
	b = appendHeader(b, s.version, frame.MessageId, cmp.Or(e.ID, "last"))
	if i.ack != "" && s.version == v12 {
		b = appendHeader(b, s.version, frame.Ack, i.ack)
	}
	if i.again {
		b = append(b, "redelivered:true\n"...)
	}
	if s.dest.form != plainForm {
		return appendBody(b, s.before, i.msg.payload(), s.after)
	}
	if s.dest.root != "" {
		b = appendHeader(b, s.version, frame.Destination, s.dest.path(e.Subject))
	}
	b = appendHeader(b, s.version, frame.ContentType, e.Mime)
	b = append(appendEscaped(append(b, "occurred-at:"...), s.version, e.At.UTC().Format(time.RFC3339Nano)), '\n')
	return appendBody(b, e.Data)
}

// start lets messages come, in the way that the frame asks for.
func (s *subscription) start(caller *access.Caller, f *frame.Frame) error {
	mode, ok := f.Header.Contains(frame.Ack)
	if !ok {
		mode = auto
	}
	replay := f.Header.Get("replay")
	s.mode, s.durable, s.owner = mode, f.Header.Get("durable"), caller.Name
	switch {
	case mode != auto && mode != cumulative && mode != individual:
		return refuse(invalid, "ack %.40q; want auto, client or client-individual", mode)
	case s.dest.form == resultsForm && (mode != auto || s.durable != "" || replay != ""):
		return refuse(invalid, "answers of searches come once: no ack, durable or replay at %s", results)
	case s.dest.form == resultsForm:
		return nil
	case replay != "" && (mode != auto || s.durable != ""):
		return refuse(invalid, "replay with ack:%s or durable; want it with neither: a durable subscription goes on where it was", mode)
	case mode == auto && s.durable == "":
		return s.follow(replay)
	}
	return s.take()
}

// follow has the subscription told of everything that happens from now on, or, where
// replay says so, of what was before.
func (s *subscription) follow(replay string) (err error) {
	ctx, live, topic := s.conn.ctx, s.conn.server.Live, s.dest.topic
	after, tell := "", s.tell
	var first latest
	switch replay {
	case "", "none":
	case "last":
		if topic.Kind != engine.FeedTopic {
			return refuse(invalid, "replay:last is for feeds")
		}
		first.tell, first.holding, tell = s.tell, true, first.take
	default:
		at, err := since(replay)
		if err != nil {
			return err
		}
		if after, err = live.Since(ctx, topic, at); err != nil {
			return err
		}
	}
	stop, err := live.Follow(ctx, topic, after, tell)
	if err != nil {
		return err
	}
	s.stop = stop
	if replay != "last" {
		return nil
	}
	last, ok, err := live.LastSample(ctx, topic.Twin, topic.Name)
	if errors.Is(err, engine.ErrNoTwin) || errors.Is(err, engine.ErrNoFeed) {
		ok, err = false, nil // they may come
	}
	if err != nil {
		stop()
		return err
	}
	if !ok {
		last = nil
	}
	first.begin(last)
	return nil
}

// since reads from when on somebody wants to be told.
func since(text string) (at time.Time, err error) {
	if text == "all" {
		return at, nil
	}
	if at, err = time.Parse(time.RFC3339, text); err != nil {
		return at, refuse(invalid, "replay %.60q; want last, all or a time such as 2026-11-02T10:00:00Z", text)
	}
	return at, nil
}

// latest puts the last sample before those that come after it.
type latest struct {
	tell func(*engine.Event)

	mu      sync.Mutex
	holding bool
	held    []*engine.Event
}

// take tells of an event, or holds it.
func (l *latest) take(e *engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holding {
		l.held = append(l.held, e)
		return
	}
	l.tell(e)
}

// begin tells of the last sample, unless that is among those that are held, and
// holds no more.
func (l *latest) begin(last *engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	among := func(e *engine.Event) bool { return e.At.Equal(last.At) && bytes.Equal(e.Data, last.Data) }
	if last != nil && !slices.ContainsFunc(l.held, among) {
		l.tell(last)
	}
	for _, e := range l.held {
		l.tell(e)
	}
	l.holding, l.held = false, nil
}

// tell queues an event. One of the past waits until there is room for it.
func (s *subscription) tell(e *engine.Event) {
	m := s.conn.server.message(e)
	if !e.Past {
		s.conn.push(s, m)
		return
	}
	s.conn.out.keep(s.conn.ctx, item{sub: s, msg: m}) //nolint:errcheck // nobody wants it any more
}

// take has the subscription told of what is to be acknowledged. A durable place
// belongs to its caller: others may have one of the same name.
func (s *subscription) take() error {
	place, err := s.conn.server.Live.Subscribe(s.conn.ctx, s.owner, s.durable, s.dest.topic)
	switch {
	case errors.Is(err, engine.ErrOtherTopic):
		return refuse(exists, "durable %.100q is your place in another destination; want another name, or give it up there: UNSUBSCRIBE with the same header", s.durable)
	case err != nil:
		return err
	}
	s.credit = make(chan struct{}, s.conn.server.Limits.Unacked)
	s.open = map[string]*delivered{}
	ctx, cancel := context.WithCancel(s.conn.ctx)
	begun, done := make(chan struct{}), make(chan struct{})
	s.conn.begin = func() { close(begun) }
	s.conn.others.Go(func() {
		defer close(done)
		defer place.Close()
		select {
		case <-begun:
		case <-ctx.Done():
			return
		}
		defer s.giveBack(context.WithoutCancel(ctx))
		var other sync.WaitGroup
		defer other.Wait()
		if s.mode == auto {
			s.sent = make(chan string, cap(s.credit))
			other.Go(func() { s.settleSent(ctx) })
		}
		s.pump(ctx, place)
	})
	s.stop = func() {
		cancel()
		<-done
	}
	return nil
}

// pump queues what comes, as long as the client acknowledges it.
func (s *subscription) pump(ctx context.Context, place Place) {
	for {
		select {
		case s.credit <- struct{}{}:
		case <-ctx.Done():
			return
		}
		d, err := place.Next(ctx)
		if err == nil {
			err = s.offer(ctx, d)
		}
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			s.conn.fail(refuse(unavailable, "subscription %.100q: %v", s.id, err), nil)
		}
		return
	}
}

// offer queues a message that is to be acknowledged. One that has come before,
// because its time was up, takes the place of that.
func (s *subscription) offer(ctx context.Context, d Delivery) error {
	id := d.Event.ID
	s.mu.Lock()
	if s.open[id] != nil {
		s.refund()
	}
	s.delivery++
	s.open[id] = &delivered{d, s.delivery}
	s.mu.Unlock()
	i := item{sub: s, msg: s.conn.server.message(d.Event), ack: strconv.FormatUint(s.number, 10) + "." + id, again: d.Attempt > 1}
	if s.mode == auto {
		i.after = func() { s.wrote(id) }
	}
	return s.conn.out.keep(ctx, i)
}

// wrote notes that a message has been written which the client does not acknowledge.
func (s *subscription) wrote(id string) {
	select {
	case s.sent <- id:
	default: // it came twice
	}
}

// settleSent acknowledges for the client what has been written.
func (s *subscription) settleSent(ctx context.Context) {
	for {
		select {
		case id := <-s.sent:
			if err := s.settle(ctx, id, Delivery.acknowledge); err != nil && ctx.Err() == nil {
				s.conn.fail(err, nil)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// refund lets one more message come.
func (s *subscription) refund() {
	select {
	case <-s.credit:
	default:
	}
}

func (d Delivery) acknowledge(ctx context.Context) error { return d.Ack(ctx) }

// nakDelay is when a message comes again that the client did not want.
const nakDelay = time.Second

func (d Delivery) again(ctx context.Context) error { return d.Nak(ctx, nakDelay) }

// settle does with a message what the client says, and in the cumulative mode with
// all before it. One that is settled already is let be.
func (s *subscription) settle(ctx context.Context, id string, how func(Delivery, context.Context) error) error {
	s.mu.Lock()
	var settled []Delivery
	if last := s.open[id]; last != nil {
		for other, d := range s.open {
			if d == last || s.mode == cumulative && d.number < last.number {
				settled = append(settled, d.Delivery)
				delete(s.open, other)
				s.refund()
			}
		}
	}
	s.mu.Unlock()
	for _, d := range settled {
		if err := how(d, ctx); err != nil {
			return refuse(unavailable, "subscription %.100q: %v", s.id, err)
		}
	}
	return nil
}

// giveBack lets what was not acknowledged come to the next who takes up the place.
func (s *subscription) giveBack(ctx context.Context) {
	if s.durable == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.conn.server.Limits.Linger)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	inOrder := func(a, b *delivered) int { return cmp.Compare(a.number, b.number) }
	for _, d := range slices.SortedFunc(maps.Values(s.open), inOrder) { // as they come again
		if d.Nak(ctx, 0) != nil {
			return // it comes again when its time is up
		}
		delete(s.open, d.Event.ID)
	}
}

// unsubscribe ends a subscription, and gives its place up where the frame names it.
func (c *conn) unsubscribe(f *frame.Frame) error {
	id, key, err := c.key(f)
	if err != nil {
		return err
	}
	sub := c.subs[key]
	if sub == nil {
		return refuse(notFound, "no subscription %.100q", id)
	}
	delete(c.subs, key)
	c.subscribed.Store(int64(len(c.subs)))
	c.out.leave(sub)
	sub.stop()
	if durable := f.Header.Get("durable"); durable != "" && durable == sub.durable {
		_, err = c.server.Live.Unsubscribe(c.ctx, sub.owner, durable)
	}
	return err
}

// leaveAll ends all subscriptions.
func (c *conn) leaveAll() {
	for _, sub := range c.subs {
		c.out.leave(sub)
		sub.stop()
	}
}

func (c *conn) ack(f *frame.Frame) error  { return c.settle(f, Delivery.acknowledge) }
func (c *conn) nack(f *frame.Frame) error { return c.settle(f, Delivery.again) }

// settle finds the message that a frame acknowledges, or does not: in STOMP 1.2 by
// its header ack, before that by its id and subscription. One that is not there is
// let be: it may have come twice.
func (c *conn) settle(f *frame.Frame, how func(Delivery, context.Context) error) error {
	name := frame.MessageId
	if c.version() == v12 {
		name = frame.Id
	}
	id, ok := f.Header.Contains(name)
	if !ok {
		return refuse(invalid, "%s without the header %s", f.Command, name)
	}
	subscription, named := f.Header.Contains(frame.Subscription)
	number, event, numbered := strings.Cut(id, ".")
	for _, sub := range c.subs {
		switch {
		case sub.open == nil, sub.mode == auto, named && sub.id != subscription && c.version() != v12:
			continue
		case c.version() != v12:
			event = id
		case !numbered || number != strconv.FormatUint(sub.number, 10):
			continue
		}
		if err := sub.settle(c.ctx, event, how); err != nil {
			return err
		}
	}
	return nil
}
