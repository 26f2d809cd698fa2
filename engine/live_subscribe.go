package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

// The errors of subscriptions.
var (
	ErrOtherTopic = bus.ErrOtherTopic
	ErrPlaceGone  = bus.ErrPlaceGone
	ErrClosed     = bus.ErrKeptClosed
)

// Subscription is a place in a topic that the server keeps. One goroutine may call
// Next.
type Subscription struct {
	owner, name string
	topic       []byte
	engine      *Engine
	kept        *bus.Kept
	events      events
	at          places
	turn        uint64
	given       uint64
	ready       []*Event  // of the message that came last
	parts       *parts    // theirs
	listener    *follower // to silences; nil: it needs none

	mu   sync.Mutex
	done map[uint64]map[uint32]bool // of batches that come again: what has been dealt with
}

// parts are the events of one message, which is answered when all of them are.
type parts struct {
	subscription *Subscription
	message      *bus.KeptMessage

	// Under the subscription's mu.
	open    int // events that are not answered
	again   bool
	after   time.Duration // when it is to come again
	working time.Time     // when the server was told that it is being dealt with
}

// Pending is an event until it is acknowledged. What is not for 30 seconds comes
// again, at most twenty times.
type Pending struct {
	Event   *Event
	Attempt int // how often it has been given, from 1

	of    *parts
	index uint32
	once  sync.Once
}

// Subscribe takes up the place of that name in a topic; one that is new begins
// now, and one for which nobody comes for seven days is given up. A name is its
// owner's alone; several who take up one place share what comes. Without a name
// the place is gone with the subscription.
//
// What is not fetched in time may be lost: room is made in FEED and OUT without
// regard to subscriptions. The error may wrap ErrTopic, ErrNoTwin or ErrOtherTopic.
func (e *Engine) Subscribe(ctx context.Context, owner, name string, t Topic) (*Subscription, error) {
	if len(owner) > maxName || len(name) > maxName {
		return nil, fmt.Errorf("%w: want an owner and a name of at most %d bytes", ErrTopic, maxName)
	}
	one, err := e.topic(t)
	if err != nil {
		return nil, err
	}
	if t.Kind == FeedTopic {
		if _, err := e.mustKnow(ctx, t.Twin); err != nil {
			return nil, err
		}
		one, _ = e.topic(t)
	}
	what, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	s := &Subscription{engine: e, owner: owner, name: name, topic: what, done: map[uint64]map[uint32]bool{}}
	s.events = events{engine: e, index: newIndex(), at: &s.at, tell: s.tell, next: func() { s.turn++ }, reader: rules.NewReader("")}
	s.events.index.add(&follower{topics: []topic{one}})
	if one.tails.has(bus.AlertTail) {
		if s.listener, err = e.hub.listen(ctx); err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
	}
	if s.kept, err = e.bus.Keep(ctx, bus.Keep{Owner: owner, Name: name, Topic: string(what), Parts: e.keepParts(&one)}); err != nil {
		s.unhear()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return s, nil
}

// Unsubscribe gives up a place. It says whether there was one.
func (e *Engine) Unsubscribe(ctx context.Context, owner, name string) (found bool, err error) {
	return e.bus.Forget(ctx, owner, name)
}

// keepParts is where what is told on a topic lies.
func (e *Engine) keepParts(t *topic) (list []bus.KeepPart) {
	for tail := range t.tails.each {
		list = append(list, bus.KeepPart{Tail: tail, Subjects: e.keepSubjects(t, tail)})
	}
	return list
}

func (e *Engine) keepSubjects(t *topic, tail bus.Tail) []string {
	pattern := t.pattern
	if t.kind == FeedTopic || t.kind == InputTopic {
		pattern = []string{bus.Token(t.key.twin), bus.Token(t.key.name)}
	}
	if tail != bus.SampleTail {
		return []string{e.bus.TailSubject(tail, pattern)}
	}
	tokens := [2]string{"*", "*"}
	for i, token := range pattern[:min(len(pattern), 2)] {
		if token != ">" {
			tokens[i] = token
		}
	}
	return e.bus.SampleSubjects(tokens[0], tokens[1])
}

func (s *Subscription) tell(_ *follower, e *Event) {
	if s.given != s.turn {
		s.given = s.turn
		s.ready = append(s.ready, e)
	}
}

// Next waits for an event that is to be acknowledged. The error is that of ctx, or
// wraps ErrPlaceGone or ErrClosed.
func (s *Subscription) Next(ctx context.Context) (*Pending, error) {
	for {
		if p := s.take(); p != nil {
			return p, nil
		}
		m, err := s.kept.Next(ctx)
		if err != nil {
			return nil, err
		}
		s.read(ctx, m)
		if len(s.ready) > 0 {
			continue
		}
		if err := s.kept.Skip(m); err != nil {
			s.engine.trouble(err) // it comes again
		}
	}
}

// read makes events of a message: those that have not been dealt with.
func (s *Subscription) read(ctx context.Context, m *bus.KeptMessage) {
	if m.Last() {
		s.engine.trouble(fmt.Errorf("subscription %q of %q: message %d of %s was given %d times and is given no more", s.name, s.owner, m.Seq, s.topic, m.Attempt))
	}
	s.at = places{}
	s.ready = s.ready[:0]
	s.events.begin()
	s.events.message(ctx, &m.TailMessage)
	s.mu.Lock()
	defer s.mu.Unlock()
	if done := s.done[m.Seq]; done != nil && m.Tail == bus.SampleTail {
		s.ready = slices.DeleteFunc(s.ready, func(e *Event) bool { return done[indexOf(e)] })
	}
	s.parts = &parts{subscription: s, message: m, open: len(s.ready), working: time.Now()}
}

// indexOf is the sample's in its batch.
func indexOf(e *Event) uint32 {
	at, err := parsePlaces(e.ID)
	if err != nil {
		return 0
	}
	return at.at[bus.SampleTail].index
}

func (s *Subscription) take() *Pending {
	if len(s.ready) == 0 {
		return nil
	}
	e := s.ready[0]
	s.ready = s.ready[1:]
	return &Pending{Event: e, Attempt: s.parts.message.Attempt, of: s.parts, index: indexOf(e)}
}

// Close ends the subscription and Next; it may be called by any goroutine, and more
// than once. What was given and not acknowledged waits for who
// takes up its place next; one without a name is gone.
func (s *Subscription) Close() {
	s.kept.Close()
	s.unhear()
}

func (s *Subscription) unhear() {
	if s.listener != nil {
		s.engine.hub.leave(s.listener)
	}
}

// Ack says that it has been dealt with; nil when the server knows it, and after an
// error it may come again. Events that came in one message are acknowledged to the
// server with the last of them.
func (p *Pending) Ack(ctx context.Context) error { return p.answer(ctx, false, 0) }

// Nak asks for it again, after a while; of events that came in one message, when
// the others have been answered too.
func (p *Pending) Nak(ctx context.Context, after time.Duration) error {
	return p.answer(ctx, true, after)
}

func (p *Pending) answer(ctx context.Context, again bool, after time.Duration) (err error) {
	p.once.Do(func() {
		kept, m := p.of.subscription.kept, p.of.message
		switch last, again := p.of.answered(p.index, again, after); {
		case last && again:
			err = kept.Nak(m, p.of.after)
		case last:
			err = kept.Ack(ctx, m)
		}
	})
	return err
}

// progressEvery is how often the server is told that a message is being dealt with.
const progressEvery = 10 * time.Second

// answered notes the answer for an event, and says whether it was the last one of
// the message and whether that is to come again.
func (p *parts) answered(index uint32, again bool, after time.Duration) (last, whole bool) {
	s := p.subscription
	s.mu.Lock()
	defer s.mu.Unlock()
	p.open--
	switch {
	case again:
		p.again, p.after = true, max(p.after, after)
	case p.message.Tail == bus.SampleTail && p.message.Kind == bus.ManySamples:
		if s.done[p.message.Seq] == nil {
			s.done[p.message.Seq] = map[uint32]bool{}
		}
		s.done[p.message.Seq][index] = true
		if p.open == 0 && !p.again {
			delete(s.done, p.message.Seq)
		}
	}
	if now := time.Now(); p.open > 0 && now.Sub(p.working) >= progressEvery {
		p.working = now
		s.kept.Working(p.message) //nolint:errcheck // it comes again
	}
	return p.open == 0, p.again
}
