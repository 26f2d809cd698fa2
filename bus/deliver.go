package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
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
}

// Answer says what becomes of a delivery.
type Answer struct {
	Again time.Duration // > 0: deliver again, not before
	Done  bool          // it has arrived, or has become a dead letter
}

// Subscription says what a sink gets.
type Subscription struct {
	Name    string     // of the durable consumer: one sink, one name
	Kind    rules.Kind // "" = all
	Topic   string     // "" = outcomes of OUT; else the notifications that a route makes under this topic
	Workers int        // deliveries at a time; default 1, which keeps their order
	AckWait time.Duration
}

var kindSubjects = map[rules.Kind]string{
	rules.Output: "out.>", rules.Alert: "alert.>", rules.Sticker: "sticker.>", rules.Notification: "notify.>", rules.Command: "cmd.>",
}

// Subscribe makes the durable consumer, so that every outcome from now on waits
// for the sink, also while nobody delivers.
func (b *Bus) Subscribe(ctx context.Context, s Subscription) (*Deliveries, error) {
	stream := b.out
	c := jetstream.ConsumerConfig{
		Durable: sinkPrefix + key(s.Name), Description: "sink " + s.Name,
		DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: max(s.AckWait, 30*time.Second), MaxDeliver: -1, MaxAckPending: 512,
		FilterSubject: kindSubjects[s.Kind],
	}
	if s.Topic != "" {
		stream = b.notify
		c.Durable += "==" + key(s.Topic) // a key never has two of them
		c.FilterSubject = topicSubject(s.Topic)
	}
	if old, err := stream.Consumer(ctx, c.Durable); err == nil {
		// Where a consumer began is fixed when it is made.
		was := old.CachedInfo().Config
		c.DeliverPolicy, c.OptStartSeq, c.OptStartTime = was.DeliverPolicy, was.OptStartSeq, was.OptStartTime
	} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("sink %s: %w", s.Name, err)
	}
	consumer, err := stream.CreateOrUpdateConsumer(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", s.Name, err)
	}
	if s.Workers == 0 {
		s.Workers = 1
	}
	b.sinks.Store(c.Durable, true)
	return &Deliveries{subscription: s, consumer: consumer}, nil
}

const sinkPrefix = "sink_"

func (b *Bus) subscribed(durable string) bool {
	_, ok := b.sinks.Load(durable)
	return ok
}

// Deliveries are what waits for one sink.
type Deliveries struct {
	subscription Subscription
	consumer     jetstream.Consumer
}

// Waiting is the number of outcomes that have not been dealt with.
func (d *Deliveries) Waiting(ctx context.Context) (int, error) {
	info, err := d.consumer.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("sink %s: %w", d.subscription.Name, err)
	}
	return int(info.NumPending) + info.NumAckPending, nil
}

// nextWait is how long a worker's pull waits for an outcome; a stop waits for it.
const nextWait = 500 * time.Millisecond

// Run calls deliver for each outcome until ctx ends, then waits for the calls
// that are under way. The context that deliver gets lives on until grace after
// that: what is half delivered may finish.
//
// A worker pulls one outcome at a time. What a client fetches ahead would run
// out of its AckWait behind a slow sink, and be delivered twice.
func (d *Deliveries) Run(ctx context.Context, grace time.Duration, deliver func(context.Context, Delivery) Answer) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	var workers sync.WaitGroup
	for range d.subscription.Workers {
		workers.Go(func() {
			for ctx.Err() == nil {
				d.next(ctx, work, deliver)
			}
		})
	}
	workers.Wait()
	return nil
}

// next delivers one outcome, if one comes. While the bus is away it waits.
func (d *Deliveries) next(ctx, work context.Context, deliver func(context.Context, Delivery) Answer) {
	m, err := d.consumer.Next(jetstream.FetchMaxWait(nextWait))
	switch {
	case err == nil:
		deliverOne(work, m, deliver)
	case !errors.Is(err, nats.ErrTimeout):
		timer := time.NewTimer(nextWait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// deliverOne acknowledges as the answer says. A failed acknowledgement needs no
// word: the outcome comes again.
func deliverOne(ctx context.Context, m jetstream.Msg, deliver func(context.Context, Delivery) Answer) {
	d := Delivery{Attempt: 1, Data: m.Data()}
	if meta, err := m.Metadata(); err == nil {
		d.Attempt, d.Seq = int(meta.NumDelivered), meta.Sequence.Stream
	}
	d.Outcome, d.Err = readOutcome(m)
	answer := deliver(ctx, d)
	switch {
	case answer.Done:
		// The server's word that it knows: a plain acknowledgement could still be
		// on its way when the process or the embedded server ends.
		ack, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
		defer cancel()
		m.DoubleAck(ack) //nolint:errcheck // see above
	case answer.Again > 0:
		m.NakWithDelay(answer.Again) //nolint:errcheck // see above
	default:
		m.Nak() //nolint:errcheck // see above
	}
}

// readOutcome puts together what the body, the header and the subject say.
func readOutcome(m jetstream.Msg) (rules.Outcome, error) {
	o, err := rules.DecodeOutcome(m.Data())
	if err != nil {
		return o, err
	}
	mark, hops, err := parseCause(m.Headers().Get(headerCause))
	if err != nil {
		return o, err
	}
	o.Index, o.Hops, o.Source = mark.Index, hops, o.Twin
	if o.Kind == rules.Notification {
		o.ID = m.Headers().Get(headerID)
	}
	if t := strings.Split(m.Subject(), "."); o.Kind == rules.Output && len(t) > 2 {
		o.Source = Name(t[2])
	}
	return o, nil
}
