package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/subscriptions"
	"tocsin.internal/twins"
)

// events makes events of what comes in the tails, for those in the index. One
// goroutine uses it.
type events struct {
	engine *Engine
	index  *index
	at     *places
	tell   func(*follower, *Event)
	next   func() // before each event
	reader *rules.Reader
	past   bool // what it gives has been there before
	fresh  bool // the registry has been brought up to date since the last batch
}

// begin is called before each batch of messages.
func (x *events) begin() { x.fresh = false }

// message gives what a message holds.
func (x *events) message(ctx context.Context, m *bus.TailMessage) {
	if m.Tail != bus.SampleTail {
		x.at.set(m.Tail, tailPlace{m.Seq, whole})
		x.other(ctx, m)
		return
	}
	switch {
	case m.Kind == bus.OneSample && m.Hops == 0: // else OUT has it
		x.at.set(m.Tail, tailPlace{m.Seq, whole})
		x.sample(ctx, m, &rules.Sample{Twin: m.Twin, Feed: m.Feed, At: m.At, Data: m.Data})
	case m.Kind == bus.ManySamples:
		x.samples(ctx, m)
	}
	x.at.set(m.Tail, tailPlace{m.Seq, whole})
}

// samples gives those samples of a batch that have not been given.
func (x *events) samples(ctx context.Context, m *bus.TailMessage) {
	from := uint32(0)
	if was := x.at.at[bus.SampleTail]; was.seq == m.Seq {
		from = was.index + 1
	}
	index := uint32(0)
	for line := range bytes.Lines(m.Data) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if index >= from {
			x.at.set(bus.SampleTail, tailPlace{m.Seq, index})
			x.line(ctx, m, line)
		}
		index++
	}
}

func (x *events) line(ctx context.Context, m *bus.TailMessage, line []byte) {
	s, err := sources.ParseLine(line, 0)
	if err != nil || x.engine.bus.Partition(s.Twin) != m.Partition {
		return
	}
	if s.At.IsZero() {
		s.At = m.Stored
	}
	if !x.wanted(SampleTopic, feedKey{s.Twin, s.Feed}) {
		return
	}
	s.Data = bytes.Clone(s.Data) // the event must not keep its batch
	x.sample(ctx, m, &s)
}

// sample gives a sample, unless it became a dead letter.
func (x *events) sample(ctx context.Context, m *bus.TailMessage, s *rules.Sample) {
	key := feedKey{s.Twin, s.Feed}
	if !x.wanted(SampleTopic, key) || len(s.Data) > x.engine.config.MaxSampleBytes ||
		skewed(s.At, m.Stored, x.engine.config.MaxSkew) != nil || x.reader.Read(s) != nil || !x.known(ctx, s.Twin, s.Feed) {
		return
	}
	x.give(SampleTopic, key, m, &Event{
		Kind: SampleTopic, Twin: s.Twin, Name: s.Feed, At: s.At, Mime: mimeJSON, Data: s.Data, Subject: bus.Token(s.Twin) + "." + bus.Token(s.Feed),
	})
}

const mimeJSON = "application/json"

// known says whether the twin has the feed.
func (x *events) known(ctx context.Context, twin, feed string) bool {
	if x.engine.hasFeed(twin, feed) {
		return true
	}
	if x.fresh {
		return false
	}
	// Another worker may have just made it.
	x.fresh = x.engine.catchUpTwins(ctx) == nil
	return x.engine.hasFeed(twin, feed)
}

// other gives what is no sample.
func (x *events) other(ctx context.Context, m *bus.TailMessage) {
	switch m.Tail {
	case bus.OutputTail:
		x.output(m)
	case bus.AlertTail:
		x.alert(m)
	case bus.StickerTail:
		x.sticker(m)
	case bus.NotificationTail:
		x.outcome(NotificationTopic, m)
	case bus.NoticeTail:
		x.notice(m)
	case bus.InputTail:
		x.input(m)
	}
}

// output gives an output, and the sample that it is.
func (x *events) output(m *bus.TailMessage) {
	key := feedKey{m.Twin, m.Feed}
	sample, output := x.wanted(SampleTopic, key), x.wanted(OutputTopic, feedKey{})
	if !sample && !output {
		return
	}
	o, err := x.engine.bus.Outcome(m)
	if err != nil {
		return
	}
	x.give(SampleTopic, key, m, &Event{Kind: SampleTopic, Twin: o.Twin, Name: o.Feed, At: o.At, Mime: mimeJSON, Data: o.Data, Subject: m.Subject})
	x.give(OutputTopic, feedKey{}, m, &Event{Kind: OutputTopic, Twin: o.Twin, Name: o.Feed, At: o.At, Mime: mimeJSON, Data: m.Data, Subject: m.Subject, Outcome: &o})
}

// outcome gives an outcome that only patterns ask for.
func (x *events) outcome(k TopicKind, m *bus.TailMessage) {
	if !x.wanted(k, feedKey{}) {
		return
	}
	if o, err := x.engine.bus.Outcome(m); err == nil {
		x.give(k, feedKey{}, m, &Event{Kind: k, Twin: o.Twin, At: o.At, Mime: mimeJSON, Data: m.Data, Subject: m.Subject, Outcome: &o})
	}
}

// alert gives an event of an alert. One of which nobody is to be told goes to
// those who asked for these too.
func (x *events) alert(m *bus.TailMessage) {
	o, err := x.engine.bus.Outcome(m)
	if err != nil {
		return
	}
	quiet := o.Life != nil && o.Life.Silent || x.engine.silenced(time.Now())(&o)
	e := x.finish(m, &Event{Kind: AlertTopic, Twin: o.Twin, At: o.At, Mime: mimeJSON, Data: m.Data, Subject: m.Subject, Outcome: &o})
	for _, l := range x.index.kinds[AlertTopic] {
		if (l.topic.quiet || !quiet) && fits(l.topic.pattern, m.Subject) {
			x.tell(l.follower, e)
		}
	}
}

// inputMessage is a message to an input as it is stored.
type inputMessage struct {
	From string    `json:"from,omitempty"`
	Mime string    `json:"mime,omitempty"`
	At   time.Time `json:"occurredAt"`
	Data []byte    `json:"data"`
}

func (x *events) input(m *bus.TailMessage) {
	key := feedKey{m.Twin, m.Feed}
	if !x.wanted(InputTopic, key) {
		return
	}
	var in inputMessage
	if json.Unmarshal(m.Data, &in) != nil {
		return
	}
	x.give(InputTopic, key, m, &Event{Kind: InputTopic, Twin: m.Twin, Name: m.Feed, From: in.From, At: in.At, Mime: in.Mime, Data: in.Data, Subject: m.Subject})
}

// sticker gives what happened to a sticker.
func (x *events) sticker(m *bus.TailMessage) {
	if !x.wanted(StickerTopic, feedKey{}) {
		return
	}
	var s struct {
		Twin       string    `json:"twin"`
		Recipients []string  `json:"recipients"`
		At         time.Time `json:"at"`
	}
	if json.Unmarshal(m.Data, &s) == nil {
		x.give(StickerTopic, feedKey{}, m, &Event{
			Kind: StickerTopic, Twin: s.Twin, At: s.At, Mime: mimeJSON, Data: m.Data, Subject: m.Subject, Recipients: s.Recipients,
		})
	}
}

// notice gives what those are told who subscribe to a topic: its recipients, or
// all of its account and who else is to be told.
func (x *events) notice(m *bus.TailMessage) {
	if !x.wanted(NotificationTopic, feedKey{}) {
		return
	}
	n, err := subscriptions.DecodeNotice("", m.Data)
	if err != nil {
		return
	}
	told, data := n.Recipients, m.Data
	if told == nil {
		told = append([]string{n.Account}, n.Also...)
	}
	if n.Also != nil {
		if data, err = n.Public().Encode(); err != nil {
			return
		}
	}
	x.give(NotificationTopic, feedKey{}, m, &Event{
		Kind: NotificationTopic, Twin: n.Twin, At: n.At, Mime: mimeJSON, Data: data, Subject: m.Subject, Recipients: told,
	})
}

// wanted says whether anybody may want an event.
func (x *events) wanted(k TopicKind, key feedKey) bool {
	switch {
	case len(x.index.kinds[k]) > 0:
		return true
	case k == SampleTopic:
		return len(x.index.feeds[key]) > 0
	}
	return k == InputTopic && len(x.index.inputs[key]) > 0
}

// give gives an event to all who want it.
func (x *events) give(k TopicKind, key feedKey, m *bus.TailMessage, e *Event) {
	x.finish(m, e)
	switch k {
	case SampleTopic:
		for _, f := range x.index.feeds[key] {
			x.tell(f, e)
		}
	case InputTopic:
		for _, f := range x.index.inputs[key] {
			x.tell(f, e)
		}
	}
	for _, l := range x.index.kinds[k] {
		if l.topic.wants(e) {
			x.tell(l.follower, e)
		}
	}
}

func (x *events) finish(m *bus.TailMessage, e *Event) *Event {
	x.next()
	e.ID, e.Stored, e.Past = x.at.String(), m.Stored, x.past
	return e
}

// hasFeed says whether a twin of that name has the feed, or would get it.
func (e *Engine) hasFeed(twin, feed string) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	t, ok := e.twins.Get(twin)
	if !ok {
		if e.unknown.Policy != Create {
			return false
		}
		t = e.unknown.Model
	}
	_, ok = t.Feed(feed)
	return ok
}

// shares says whether a twin is there whose samples are all in FEED: it is no output twin.
func (e *Engine) shares(twin string) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	t, ok := e.twins.Get(twin)
	return ok && twins.Maker(t) == ""
}
