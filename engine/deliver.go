package engine

import (
	"context"
	"fmt"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/sinks"
)

// DefaultRetry are the waits between the attempts to deliver one outcome.
var DefaultRetry = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute}

// delivery is a sink with what waits for it.
type delivery struct {
	engine  *Engine
	sink    NamedSink
	waiting *bus.Deliveries
}

func (e *Engine) subscribe(ctx context.Context) ([]*delivery, error) {
	all := []*delivery{}
	for _, s := range e.config.Sinks {
		if s.Retry == nil {
			s.Retry = DefaultRetry
		}
		waiting, err := e.bus.Subscribe(ctx, bus.Subscription{Name: s.Name, Kind: s.Kind, Workers: s.Workers})
		if err != nil {
			return nil, err
		}
		all = append(all, &delivery{e, s, waiting})
	}
	e.stats.deliveries.Store(&all)
	return all, nil
}

func (d *delivery) run(ctx context.Context) error {
	return d.waiting.Run(ctx, d.engine.config.DrainTimeout, d.deliver)
}

func (d *delivery) close() error {
	if c, ok := d.sink.Sink.(sinks.Closer); ok {
		if err := c.Close(); err != nil {
			return fmt.Errorf("sink %s: %w", d.sink.Name, err)
		}
	}
	return nil
}

// deliver tries once. What the sink gives up becomes a dead letter, and only
// then is it done with: nothing is dropped without a trace.
func (d *delivery) deliver(ctx context.Context, x bus.Delivery) bus.Answer {
	err := x.Err
	if err == nil {
		err = d.sink.Sink.Deliver(ctx, x.Outcome)
	} else {
		err = sinks.Permanent(err)
	}
	if err == nil {
		d.engine.stats.delivered.Add(1)
		return bus.Answer{Done: true}
	}
	if ctx.Err() != nil {
		return bus.Answer{} // not the sink's fault: it is being stopped
	}
	if !sinks.IsPermanent(err) && x.Attempt <= len(d.sink.Retry) {
		d.engine.trouble(fmt.Errorf("sink %s: %w", d.sink.Name, err))
		wait := d.sink.Retry[x.Attempt-1]
		if asked, ok := sinks.Wait(err); ok {
			wait = max(wait, asked)
		}
		return bus.Answer{Again: wait}
	}
	letter := bus.DeadLetter{
		Stage: bus.StageSink, Sink: d.sink.Name, Reason: fmt.Sprintf("%v (attempt %d)", err, x.Attempt),
		Twin: x.Outcome.Twin, Feed: x.Outcome.Feed, Seq: x.Seq, Data: x.Data,
	}
	if buryErr := d.engine.bus.Bury(ctx, letter); buryErr != nil {
		d.engine.trouble(buryErr)
		return bus.Answer{Again: time.Second}
	}
	if alike, say := d.engine.quiet.note("given up: "+d.sink.Name, time.Now()); say {
		d.engine.log.Error().Str("sink", d.sink.Name).Str("interaction", x.Outcome.Interaction).Str("rule", x.Outcome.Rule).
			Str("twin", x.Outcome.Twin).Int("attempts", x.Attempt).Int("alike", alike).Err(err).Msg("delivery given up; kept as a dead letter")
	}
	d.engine.stats.undelivered.Add(1)
	d.engine.stats.deadLetters.Add(1)
	return bus.Answer{Done: true}
}
