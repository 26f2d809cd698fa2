package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/rules"
)

// Delivery is one attempt to hand an outcome to a sink.
type Delivery struct {
	Outcome rules.Outcome
	Attempt int    // from 1
	Seq     uint64 // in OUT
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
	Workers int        // deliveries at a time; default 8
	AckWait time.Duration
}

var kindSubjects = map[rules.Kind]string{
	rules.Output: "out.>", rules.Alert: "alert.>", rules.Sticker: "sticker.>", rules.Notification: "notify.>", rules.Command: "cmd.>",
}

// Subscribe makes the durable consumer, so that every outcome from now on waits
// for the sink, also while nobody delivers.
func (b *Bus) Subscribe(ctx context.Context, s Subscription) (*Deliveries, error) {
	c := jetstream.ConsumerConfig{
		Durable: "sink_" + key(s.Name), Description: "sink " + s.Name,
		DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: max(s.AckWait, 30*time.Second), MaxDeliver: -1, MaxAckPending: 512,
		FilterSubject: kindSubjects[s.Kind],
	}
	if old, err := b.out.Consumer(ctx, c.Durable); err == nil {
		// Where a consumer began is fixed when it is made.
		was := old.CachedInfo().Config
		c.DeliverPolicy, c.OptStartSeq, c.OptStartTime = was.DeliverPolicy, was.OptStartSeq, was.OptStartTime
	} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("sink %s: %w", s.Name, err)
	}
	consumer, err := b.out.CreateOrUpdateConsumer(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", s.Name, err)
	}
	if s.Workers == 0 {
		s.Workers = 8
	}
	return &Deliveries{subscription: s, consumer: consumer}, nil
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

// Run calls deliver for each outcome until ctx ends, then waits for the calls
// that are under way. The context that deliver gets lives on until grace after
// that: what is half delivered may finish.
func (d *Deliveries) Run(ctx context.Context, grace time.Duration, deliver func(context.Context, Delivery) Answer) error {
	queue := make(chan jetstream.Msg)
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var workers sync.WaitGroup
	for range d.subscription.Workers {
		workers.Go(func() {
			for m := range queue {
				deliverOne(work, m, deliver)
			}
		})
	}
	consume, err := d.consumer.Consume(func(m jetstream.Msg) {
		select {
		case queue <- m:
		case <-ctx.Done():
			m.Nak() //nolint:errcheck // it comes again after its wait
		}
	}, jetstream.PullMaxMessages(2*d.subscription.Workers))
	if err == nil {
		<-ctx.Done()
		consume.Stop()
		<-consume.Closed()
	}
	close(queue)
	stop := time.AfterFunc(grace, cancel)
	workers.Wait()
	stop.Stop()
	if err != nil {
		return fmt.Errorf("sink %s: %w", d.subscription.Name, err)
	}
	return nil
}

// deliverOne acknowledges as the answer says. A failed acknowledgement needs no
// word: the outcome comes again.
func deliverOne(ctx context.Context, m jetstream.Msg, deliver func(context.Context, Delivery) Answer) {
	d := Delivery{Attempt: 1, Data: m.Data()}
	if meta, err := m.Metadata(); err == nil {
		d.Attempt, d.Seq = int(meta.NumDelivered), meta.Sequence.Stream
	}
	d.Outcome, d.Err = rules.DecodeOutcome(m.Data())
	answer := deliver(ctx, d)
	switch {
	case answer.Done:
		m.Ack() //nolint:errcheck // see above
	case answer.Again > 0:
		m.NakWithDelay(answer.Again) //nolint:errcheck // see above
	default:
		m.Nak() //nolint:errcheck // see above
	}
}
