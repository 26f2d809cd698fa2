package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

// DefaultRetry are the waits between the attempts to deliver one outcome.
var DefaultRetry = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute}

// delivery is a sink with what waits for it: outcomes, or the notifications of
// a route.
type delivery struct {
	engine  *Engine
	sink    NamedSink
	route   string // "" = outcomes
	routed  bool   // some route names the sink
	waiting *bus.Deliveries
	untold  *untold
}

func (e *Engine) subscribe(ctx context.Context) ([]*delivery, error) {
	all := []*delivery{}
	for _, s := range e.config.Sinks {
		if s.Retry == nil {
			s.Retry = DefaultRetry
		}
		routes := []string{""}
		for _, r := range e.config.Routes {
			if slices.Contains(r.Sinks, s.Name) {
				routes = append(routes, r.Name)
			}
		}
		for _, route := range routes {
			waiting, err := e.bus.Subscribe(ctx, bus.Subscription{Name: s.Name, Kind: s.Kind, Topic: route, Workers: s.Workers})
			if err != nil {
				return nil, err
			}
			d := &delivery{engine: e, sink: s, route: route, routed: len(routes) > 1, waiting: waiting, untold: newUntold()}
			if err := d.recall(ctx); err != nil {
				return nil, err
			}
			all = append(all, d)
		}
	}
	e.stats.deliveries.Store(&all)
	return all, nil
}

// name is the sink's, with the route's where it gets that one's notifications.
func (d *delivery) name() string {
	if d.route == "" {
		return d.sink.Name
	}
	return d.sink.Name + " of route " + d.route
}

// run delivers from when the silences are known.
func (d *delivery) run(ctx context.Context, silences <-chan struct{}) error {
	select {
	case <-silences:
	case <-ctx.Done():
		return nil
	}
	var telling sync.WaitGroup
	defer telling.Wait()
	if d.single() {
		telling.Go(func() { d.tellUntold(ctx) })
	}
	return d.waiting.Run(ctx, d.engine.config.DrainTimeout, d.deliver)
}

// close closes the sink, once, however much it waits for.
func (d *delivery) close() error {
	if c, ok := d.sink.Sink.(sinks.Closer); ok && d.route == "" {
		if err := c.Close(); err != nil {
			return fmt.Errorf("sink %s: %w", d.sink.Name, err)
		}
	}
	return nil
}

// takes says whether the sink gets the alert in the notifications of a route.
func (d *delivery) takes(o *rules.Outcome) bool {
	return d.routed && slices.ContainsFunc(alerts.Explain(d.engine.config.Routes, o), func(r *alerts.Route) bool {
		return slices.Contains(r.Sinks, d.sink.Name)
	})
}

// deliver tries once, unless the outcome is an alert that this sink does not get.
func (d *delivery) deliver(ctx context.Context, x bus.Delivery) bus.Answer {
	o := &x.Outcome
	switch {
	case x.Err != nil || o.Kind != rules.Alert:
		return d.attempt(ctx, x)
	case d.takes(o):
		d.engine.stats.routed.Add(1)
		return d.skip(ctx, o.ID)
	case d.sink.Quiet || o.Life == nil:
		return d.attempt(ctx, x)
	}
	return d.alert(ctx, x)
}

// attempt tries once. What the sink gives up becomes a dead letter, and only
// then is it done with: nothing is dropped without a trace.
func (d *delivery) attempt(ctx context.Context, x bus.Delivery) bus.Answer {
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
		d.engine.trouble(fmt.Errorf("sink %s: %w", d.name(), err))
		wait := d.sink.Retry[x.Attempt-1]
		if asked, ok := sinks.Wait(err); ok {
			wait = max(wait, asked)
		}
		return bus.Answer{Again: wait}
	}
	letter := bus.DeadLetter{
		Stage: bus.StageSink, Sink: d.name(), Reason: fmt.Sprintf("%v (attempt %d)", err, x.Attempt),
		Twin: x.Outcome.Twin, Feed: x.Outcome.Feed, Seq: x.Seq, Data: x.Data,
	}
	if buryErr := d.engine.bus.Bury(ctx, letter); buryErr != nil {
		d.engine.trouble(buryErr)
		return bus.Answer{Again: time.Second}
	}
	if alike, say := d.engine.quiet.note("given up: "+d.name(), time.Now()); say {
		d.engine.log.Error().Str("sink", d.name()).Str("interaction", x.Outcome.Interaction).Str("rule", x.Outcome.Rule).
			Str("twin", x.Outcome.Twin).Int("attempts", x.Attempt).Int("alike", alike).Err(err).Msg("delivery given up; kept as a dead letter")
	}
	d.engine.stats.undelivered.Add(1)
	d.engine.stats.deadLetters.Add(1)
	return bus.Answer{Done: true}
}
