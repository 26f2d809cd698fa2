package iotics

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"golang.org/x/sync/errgroup"

	"tocsin.internal/internal/stompclient"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/space"
)

// remembered is how many ids of a feed's newest samples are kept, so that what
// comes on an old and a new connection is emitted once.
const remembered = 64

// followed is a feed that is followed.
type followed struct {
	feed        space.Feed
	twin        string // ours
	number      int
	id          string // of the subscription, and of its receipt
	destination string
	link        *link

	// Guarded by the link.
	asked   bool // to be followed, and the host has not said yes
	blocked bool // the host does not let us follow it
	block   time.Duration
	until   time.Time

	// Of the link's reader alone.
	primed bool      // newest says what we have of before the start
	newest time.Time // of the samples that were emitted
	ids    []string  // of the last of them
}

// is says whether a sample was emitted lately.
func (f *followed) is(s *rules.Sample) bool { return s.ID != "" && slices.Contains(f.ids, s.ID) }

// note remembers a sample.
func (f *followed) note(s *rules.Sample) {
	if s.Refused != "" {
		return
	}
	if s.At.After(f.newest) {
		f.newest = s.At
	}
	if len(f.ids) == remembered {
		f.ids = append(f.ids[:0], f.ids[1:]...)
	}
	f.ids = append(f.ids, s.ID)
}

// batch is what has come, in order, and what to acknowledge for it.
type batch struct {
	of      []*followed // of each sample
	samples []rules.Sample
	acks    []*frame.Frame
	begun   []begun // whose subscription has begun
}

// read emits what comes until the connection is over. working is called when the
// host does what it should.
func (l *link) read(s *session, working func()) error {
	for {
		var b batch
		err := l.gather(s, &b, true, working)
		for err == nil && len(b.begun) > 0 {
			err = l.catchUp(&b, func() error { return l.gather(s, &b, false, working) })
		}
		if emitErr := l.store(s, &b); emitErr != nil {
			return emitErr
		}
		if err != nil {
			return err
		}
	}
}

// begun is a feed whose subscription has begun, and the newest sample before that.
type begun struct {
	*followed
	before time.Time
}

// gather reads what has come, as much as there is at once; wait: something at least.
func (l *link) gather(s *session, b *batch, wait bool, working func()) error {
	for wait && len(b.samples)+len(b.begun) == 0 || len(b.samples) < most && (len(s.early) > 0 || s.Waiting()) {
		m, err := s.nextFrame()
		_, tooLarge := errors.AsType[*stompclient.TooLargeError](err)
		if err != nil && !tooLarge {
			return err
		}
		switch m.Command {
		case frame.RECEIPT:
			if f := l.begins(m.Header.Get(frame.ReceiptId)); f != nil {
				working()
				l.Reached(l)
				l.Reached(f)
				b.begun = append(b.begun, begun{f, f.newest})
			}
		case frame.MESSAGE:
			if f := l.of(m.Header.Get(frame.Subscription)); f != nil {
				working()
				b.take(f, l.sample(f, m.Body, err))
				if l.Durable != "" {
					b.acks = append(b.acks, s.Ack(m))
				}
			}
		}
	}
	return nil
}

// nextFrame is one that has been read already, or waits for one.
func (s *session) nextFrame() (*frame.Frame, error) {
	if len(s.early) == 0 {
		return s.Read()
	}
	m := s.early[0]
	s.early = s.early[1:]
	return m, nil
}

func (l *link) of(id string) *followed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.feeds[id]
}

// begins is the feed whose subscription has begun: the host lets us follow it. It
// does so once, however often the host says it.
func (l *link) begins(id string) *followed {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.feeds[id]
	if f == nil || !f.asked {
		return nil
	}
	f.asked, f.block = false, 0
	return f
}

// take adds a sample, unless it was emitted lately.
func (b *batch) take(f *followed, s rules.Sample) {
	if !f.is(&s) {
		b.insert(len(b.samples), f, s)
	}
}

func (b *batch) insert(at int, f *followed, s rules.Sample) {
	f.note(&s)
	b.of = slices.Insert(b.of, at, f)
	b.samples = slices.Insert(b.samples, at, s)
}

// sample reads {"interest","feedData"}; one that cannot be read comes as a dead letter.
func (l *link) sample(f *followed, body []byte, tooLarge error) rules.Sample {
	out := rules.Sample{Twin: f.twin, Feed: f.feed.ID}
	opened, err := l.reader.Open(body)
	if tooLarge != nil {
		err = tooLarge
	}
	if err == nil {
		out.At = opened.At
		out.Data, err = sources.OneLine(bytes.Clone(opened.Data))
	}
	if err != nil {
		out.Refused, out.Data = fmt.Sprintf("%s: %v", f.destination, err), body
	} else if !out.At.IsZero() {
		out.ID = space.SampleID(out.Twin, out.Feed, out.At, out.Data)
	}
	if out.At.IsZero() {
		out.At = time.Now().UTC()
	}
	return out
}

// store emits a batch and acknowledges it where that is wanted. What cannot be
// acknowledged comes again.
func (l *link) store(s *session, b *batch) error {
	if len(b.samples) > 0 {
		if err := sources.Insist(l.ctx, l.emit, b.samples...); err != nil {
			return err
		}
	}
	_ = s.Send(b.acks...) // the next read says that the connection is over
	return nil
}

const (
	// catchers is how many last samples are asked for at once.
	catchers = 8
	// catchTries is how often each is.
	catchTries = 3
)

// catchUp adds the last samples of the feeds whose subscriptions have begun, where
// they are newer than what came before: they were shared while nobody listened.
// more adds what has come meanwhile, so that each finds its place.
func (l *link) catchUp(b *batch, more func() error) error {
	feeds := b.begun
	b.begun = nil
	if l.Durable != "" {
		return nil // the host has kept everything
	}
	bodies := make([][]byte, len(feeds))
	var g errgroup.Group
	g.SetLimit(catchers)
	for i, f := range feeds {
		g.Go(func() error {
			bodies[i] = l.lastSample(f.followed)
			return nil
		})
	}
	_ = g.Wait() // nobody fails
	err := more()
	for i, f := range feeds {
		if bodies[i] == nil {
			continue
		}
		s := l.sample(f.followed, bodies[i], nil)
		if s.Refused == "" && s.ID != "" && s.At.After(l.before(f)) && !f.is(&s) {
			b.insert(b.place(f.followed, s.At), f.followed, s)
		}
	}
	return err
}

// before is when the newest sample of the feed happened that was stored before it
// was subscribed to, also by an engine that was stopped since.
func (l *link) before(f begun) time.Time {
	if !f.primed && l.source.newest != nil {
		if at, ok := l.source.newest(l.ctx, f.twin, f.feed.ID); ok && at.After(f.before) {
			f.before = at
		}
	}
	f.primed = true
	return f.before
}

// place is where a sample of that time belongs among those of its feed.
func (b *batch) place(f *followed, at time.Time) int {
	for i, s := range b.samples {
		if b.of[i] == f && s.At.After(at) {
			return i
		}
	}
	return len(b.samples)
}

// lastSample asks for a feed's last sample; nil: there is none, or the host does
// not say.
func (l *link) lastSample(f *followed) []byte {
	var backoff sources.Backoff
	for range catchTries {
		body, err := l.client.LastSample(l.ctx, l.followerOf(f.feed), f.feed)
		if err == nil {
			return body
		}
		if backoff.Wait(l.ctx) != nil {
			return nil
		}
	}
	return nil
}
