package iotics

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/go-stomp/stomp/v3/frame"

	"tocsin.internal/internal/stompclient"
	"tocsin.internal/rules/envelope"
	"tocsin.internal/sources"
	"tocsin.internal/space"
)

// unauthenticated is the code with which a host says that a token is not good.
const unauthenticated = 16

// link is up to perLink feeds on one connection.
type link struct {
	*reading
	ctx    context.Context //nolint:containedctx // it is that of the goroutine that reads
	cancel context.CancelFunc
	reader *envelope.Reader

	mu    sync.Mutex           // of what follows
	feeds map[string]*followed // by id
	now   *session             // on which is subscribed; nil: none
	next  *session             // that takes over when the other has said goodbye
}

// session is one connection of a link.
type session struct {
	*stompclient.Conn
	token string
	until time.Time      // when the token ends; zero: not known
	early []*frame.Frame // that have been read already
}

func newLink(ctx context.Context, r *reading) *link {
	ctx, cancel := context.WithCancel(ctx)
	return &link{reading: r, ctx: ctx, cancel: cancel, reader: envelope.NewReader(), feeds: map[string]*followed{}}
}

func (l *link) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.feeds)
}

// add follows further feeds.
func (l *link) add(feeds []*followed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range feeds {
		f.link = l
		l.feeds[f.id] = f
	}
	if l.now != nil {
		l.subscribe(l.now, feeds)
	}
}

// subscribe sends what subscribes. Where it fails the connection ends, and with
// the next one everything is subscribed anew.
func (l *link) subscribe(s *session, feeds []*followed) {
	var frames []*frame.Frame
	for _, f := range feeds {
		f.asked = true
		sub := frame.New(frame.SUBSCRIBE, frame.Id, f.id, frame.Destination, f.destination, frame.Receipt, f.id)
		if l.Durable == "" {
			sub.Header.Add(frame.Ack, "auto")
		} else {
			sub.Header.Add(frame.Ack, "client-individual")
			sub.Header.Add("durable", l.place(f))
		}
		headers := space.Headers(s.token)
		for i := 0; i < len(headers); i += 2 {
			sub.Header.Add(headers[i], headers[i+1])
		}
		frames = append(frames, sub)
	}
	if s.Send(frames...) != nil {
		s.Leave(0)
	}
}

// place is what the host calls our place in a feed: each has one of its own.
func (l *link) place(f *followed) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{f.feed.Host, f.feed.Twin, f.feed.ID}))
	return l.Durable + "-" + hex.EncodeToString(sum[:8])
}

// remove follows a feed no longer, and gives our place in it up.
func (l *link) remove(f *followed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.feeds, f.id)
	if l.now == nil {
		return
	}
	leave := frame.New(frame.UNSUBSCRIBE, frame.Id, f.id, frame.Destination, f.destination)
	if l.Durable != "" {
		leave.Header.Add("durable", l.place(f))
	}
	if l.now.Send(leave) != nil {
		l.now.Leave(0)
	}
}

// tidy tries feeds again that have been left out, and ends a link that has none.
func (l *link) tidy(now time.Time) (over bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.feeds) == 0 {
		l.cancel()
		l.Reached(l)
		return true
	}
	var again []*followed
	for _, f := range l.feeds {
		if f.blocked && !now.Before(f.until) {
			f.blocked = false
			again = append(again, f)
		}
	}
	if l.now != nil {
		l.subscribe(l.now, again)
	}
	return false
}

// tokenEnd is when the token of the connection ends; zero: never, or there is none.
func (l *link) tokenEnd() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil {
		return time.Time{}
	}
	return l.now.until
}

// run reads until ctx ends. The error says that the host has never let us connect.
func (l *link) run() error {
	defer l.cancel()
	var backoff sources.Backoff
	for l.ctx.Err() == nil {
		s, err := l.take()
		if err == nil {
			err = l.read(s, func() { l.linked.Store(true); backoff.Reset() })
			l.drop(s)
		}
		switch {
		case l.ctx.Err() != nil, errors.Is(err, io.EOF) && l.replaced():
			continue
		case l.blame(s, err):
		case !l.linked.Load() && isRefused(err):
			return err
		default:
			l.Lost(l, fmt.Errorf("%s: %w", l.client.Name(), err))
		}
		_ = backoff.Wait(l.ctx) // the loop asks for its error
	}
	return nil
}

// take is the connection that takes over, or a new one.
func (l *link) take() (*session, error) {
	l.mu.Lock()
	s := l.next
	l.next = nil
	l.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := l.connect(l.ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = s
	l.subscribe(s, l.allowed())
	select {
	case l.connected <- struct{}{}:
	default:
	}
	return s, nil
}

func (l *link) connect(ctx context.Context) (*session, error) {
	conn, token, until, err := l.client.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &session{Conn: conn, token: token, until: until}, nil
}

// allowed are the feeds that are not left out; mu is held.
func (l *link) allowed() []*followed {
	var out []*followed
	for _, f := range l.feeds {
		if !f.blocked {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b *followed) int { return cmp.Compare(a.number, b.number) })
	return out
}

// drop ends a connection.
func (l *link) drop(s *session) {
	l.mu.Lock()
	if l.now == s {
		l.now = nil
	}
	l.mu.Unlock()
	s.Close()
}

// replaced says that another connection takes over.
func (l *link) replaced() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next != nil
}

// blame finds the feed that the host did not let us follow, and leaves it out for
// a while. A token that is no longer good is forgotten.
func (l *link) blame(s *session, err error) bool {
	e, ok := errors.AsType[*stompclient.ServerError](err)
	if !ok {
		return false
	}
	if s != nil && e.Code() == unauthenticated {
		l.client.Renew(s.token)
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.feeds[e.Frame.Header.Get(frame.ReceiptId)]
	if f == nil {
		return false
	}
	f.block = min(max(2*f.block, l.Refresh), longestBlock)
	f.blocked, f.until = true, time.Now().Add(f.block)
	l.Lost(f, fmt.Errorf("%s: %w", l.client.Name(), err))
	return true
}

// renew subscribes to everything on a new connection, whose token is new, and
// then leaves the old one: its reader reads that to its end and goes on with the
// new one. What comes on both is known by its id. Without a new token nothing is
// done.
func (l *link) renew(ctx context.Context) {
	l.mu.Lock()
	old, waiting := l.now, l.next != nil
	l.mu.Unlock()
	if old == nil || waiting {
		return
	}
	if token, _, err := l.client.Token(ctx); err != nil || token == old.token {
		return
	}
	s, err := l.connect(l.ctx) //nolint:contextcheck // it lives as long as the link
	if err != nil {
		return
	}
	if err := l.settle(s); err != nil {
		s.Close()
		return
	}
	l.mu.Lock()
	lost := l.now != old
	if !lost {
		l.now, l.next = s, s
		old.Leave(handover)
	}
	l.mu.Unlock()
	if lost { // and its reader has a new one
		s.Close()
	}
}

// settle subscribes, and waits until the host has said yes to everything.
func (l *link) settle(s *session) error {
	timer := time.AfterFunc(handover, func() { s.Leave(0) })
	defer timer.Stop()
	l.mu.Lock()
	feeds := l.allowed()
	l.subscribe(s, feeds)
	l.mu.Unlock()
	open := map[string]bool{}
	for _, f := range feeds {
		open[f.id] = true
	}
	early := 0
	for len(open) > 0 {
		f, err := s.Read()
		if err != nil {
			return err
		}
		if f.Command == frame.RECEIPT {
			delete(open, f.Header.Get(frame.ReceiptId))
		} else {
			s.early = append(s.early, f)
			early += size(f)
		}
		if early > mostEarly {
			return fmt.Errorf("more than %d MiB before the receipts", mostEarly>>20)
		}
	}
	return nil
}

// size is about what a frame takes of the memory.
func size(f *frame.Frame) int {
	n := len(f.Body) + 256
	for i := range f.Header.Len() {
		name, value := f.Header.GetAt(i)
		n += len(name) + len(value)
	}
	return n
}
