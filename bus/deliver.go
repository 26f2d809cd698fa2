package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/rules"
)

// Delivery is one attempt to hand an outcome to a sink.
type Delivery struct {
	Outcome rules.Outcome
	Attempt int    // from 1
	Seq     uint64 // in OUT; of a topic: in NOTIFY
	Data    []byte // the outcome's JSON
	Err     error  // the message is no outcome
	Letter  uint64 // 0, or the dead letter that is delivered again
	Crowded bool   // so much of the same twin waits behind it that it should not be waited for

	subject  string // of the message
	route    string // of the letter
	attempts int    // that it had when it became the letter
}

// DeadLetter is what becomes of the delivery when a sink gives it up. The route
// is that of a notification, "" of an outcome.
func (d *Delivery) DeadLetter(sink, route, reason string) DeadLetter {
	if d.Letter != 0 {
		route = d.route
	}
	o := &d.Outcome
	return DeadLetter{
		Stage: StageSink, Sink: sink, Route: route, Reason: reason, Attempts: d.Tries(),
		Twin: o.Twin, Feed: o.Feed, Seq: d.Seq, Data: d.Data, subject: d.subject, before: d.Letter,
	}
}

// Tries is how often it was tried, this time and those before it became a dead
// letter included.
func (d *Delivery) Tries() int { return d.attempts + d.Attempt }

// Answer says what becomes of a delivery.
type Answer struct {
	Again time.Duration // > 0: deliver again, not before
	Done  bool          // it has arrived, or has become a dead letter
}

// Subscription says what a sink gets, and how.
type Subscription struct {
	Name    string        // of the durable consumer: one sink, one name
	Kind    rules.Kind    // "" = all
	Topic   string        // "" = outcomes of OUT; else the notifications that a route makes under this topic
	Workers int           // deliveries at a time; default 1, which keeps their order
	ByTwin  bool          // those of one twin one after the other and in order, also when one has to be tried again
	AckWait time.Duration // after which the server gives to somebody else what was fetched by one who shows no sign of life; default 15 s
	Trouble func(error)   // told of what the deliveries mend themselves, and of ErrGone; may be nil
}

// kindSubject is the subject that all outcomes of a kind in OUT fit; "" for all kinds.
func (b *Bus) kindSubject(k rules.Kind) string {
	if k == "" {
		return ""
	}
	return b.root + kindTokens[k] + ">"
}

// ErrGone is what the error wraps when outcomes were removed from a stream
// before a sink had them, or a sink's place in it was.
var ErrGone = errors.New("removed by somebody else")

const (
	defaultAckWait = 15 * time.Second
	// How many outcomes may wait for their next attempt before a sink gets no
	// others. By twin they wait in memory, and a twin has but a share of it.
	maxAway = 1000
	maxHeld = 8192
)

// Subscribe makes the durable consumers, so that every outcome from now on waits
// for the sink, also while nobody delivers.
func (b *Bus) Subscribe(ctx context.Context, s Subscription) (*Deliveries, error) {
	s.Workers = max(s.Workers, 1)
	if s.AckWait == 0 {
		s.AckWait = defaultAckWait
	}
	pending := max(maxAway, 4*s.Workers)
	if s.ByTwin {
		pending = max(maxHeld, 4*s.Workers)
	}
	c := jetstream.ConsumerConfig{
		Durable: sinkPrefix + key(s.Name), Description: "sink " + s.Name,
		DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: s.AckWait, MaxDeliver: -1, MaxAckPending: pending,
		FilterSubject: b.kindSubject(s.Kind),
	}
	d := &Deliveries{bus: b, subscription: s, pending: pending, lastCall: lastCall}
	if s.Topic == "" {
		again := c
		again.Durable, again.Description = retryPrefix+key(s.Name), "dead letters for the sink "+s.Name
		again.DeliverPolicy, again.FilterSubject = jetstream.DeliverAllPolicy, b.retrySubject(s.Name)+".*"
		d.backlogs = []*backlog{{bus: b, name: s.Name, stream: b.out, config: c}, {bus: b, name: s.Name, stream: b.notify, config: again, letters: true}}
	} else {
		c.Durable += "==" + key(s.Topic) // a key never has two of them
		c.FilterSubject = b.topicSubject(s.Topic)
		d.backlogs = []*backlog{{bus: b, name: s.Name, stream: b.notify, config: c}}
	}
	for _, l := range d.backlogs {
		if err := l.make(ctx); err != nil {
			return nil, fmt.Errorf("sink %s: %w", s.Name, err)
		}
	}
	b.sinks.Store(c.Durable, true)
	return d, nil
}

const (
	sinkPrefix  = "sink_"
	retryPrefix = "retry_"
)

func (b *Bus) subscribed(durable string) bool {
	_, ok := b.sinks.Load(durable)
	return ok
}

// backlog is a durable consumer: what waits for a sink in one stream.
type backlog struct {
	bus      *Bus
	name     string // of the sink
	stream   jetstream.Stream
	config   jetstream.ConsumerConfig
	consumer jetstream.Consumer
	letters  bool // what waits are letters to deliver again
}

// make finds the consumer or makes it. Where one began is fixed when it is made.
func (l *backlog) make(ctx context.Context) error {
	if old, err := l.stream.Consumer(ctx, l.config.Durable); err == nil {
		was := old.CachedInfo().Config
		l.config.DeliverPolicy, l.config.OptStartSeq, l.config.OptStartTime = was.DeliverPolicy, was.OptStartSeq, was.OptStartTime
	} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	var err error
	l.consumer, err = l.stream.CreateOrUpdateConsumer(ctx, l.config)
	return err
}

// Deliveries are what waits for one sink. They can be run again when they have
// ended, and by one process at a time.
type Deliveries struct {
	bus          *Bus
	subscription Subscription
	backlogs     []*backlog
	pending      int           // the most that may be unacknowledged
	lastCall     time.Duration // how long after the end what was fetched may still be begun
}

// Waiting is the number of outcomes that have not been dealt with.
func (d *Deliveries) Waiting(ctx context.Context) (n int, err error) {
	for _, l := range d.backlogs {
		info, err := l.consumer.Info(ctx)
		if err != nil {
			return 0, fmt.Errorf("sink %s: %w", l.name, err)
		}
		n += int(info.NumPending) + info.NumAckPending
	}
	return n, nil
}

// ordered says whether it matters in which order deliveries begin.
func (d *Deliveries) ordered() bool { return d.subscription.ByTwin || d.subscription.Workers == 1 }

func (d *Deliveries) trouble(err error) {
	if d.subscription.Trouble != nil {
		d.subscription.Trouble(fmt.Errorf("sink %s: %w", d.subscription.Name, err))
	}
}

// Run calls deliver for each outcome until ctx ends, then waits for the calls
// that are under way and for the server's word that it knows what is done. The
// context that deliver gets lives on until grace after that: what is half
// delivered may finish. What was fetched and not begun goes back to the server,
// for whoever runs next.
func (d *Deliveries) Run(ctx context.Context, grace time.Duration, deliver func(context.Context, Delivery) Answer) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	r, err := newDispatcher(d)
	if err != nil {
		return fmt.Errorf("sink %s: %w", d.subscription.Name, err)
	}
	defer r.close()
	r.start(ctx, work, deliver)
	r.run(ctx)
	return nil
}

// readOutcome puts together what the body and the subject say.
func (b *Bus) readOutcome(subject string, data []byte) (rules.Outcome, error) {
	o, err := rules.DecodeOutcome(data)
	if err != nil {
		return o, err
	}
	o.Source = o.Twin
	t := strings.Split(strings.TrimPrefix(subject, b.root), ".")
	switch {
	case o.Kind != rules.Output:
	case t[0] == shadowToken && len(t) == 4:
		o.Source = Name(t[3])
	case len(t) > 2:
		o.Source = Name(t[2])
	}
	return o, nil
}
