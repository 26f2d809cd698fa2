package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

// DefaultRetry are the waits between the attempts to deliver one outcome.
var DefaultRetry = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute}

// delivery is a sink with what waits for it: outcomes, or the notifications of
// a route. It can be run again when it has ended.
type delivery struct {
	engine  *Engine
	sink    NamedSink
	route   string // "" = outcomes
	routed  bool   // some route names the sink
	waiting *bus.Deliveries
	pace    *rate.Limiter   // shared by all that the sink gets; nil: it has no limit
	ending  <-chan struct{} // closed when what has not begun is not to begin any more
	untold  *untold
	meter   *sinkMeter
	running atomic.Bool // this worker delivers
}

// subscribe makes the places of all sinks. Nothing is delivered yet.
func (e *Engine) subscribe(ctx context.Context) error {
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
		pace := newPace(&s)
		for _, route := range routes {
			waiting, err := e.bus.Subscribe(ctx, bus.Subscription{
				Name: s.Name, Kind: s.Kind, Topic: route, Workers: s.Workers, ByTwin: s.ByTwin, Trouble: e.deliveryTrouble,
			})
			if err != nil {
				return err
			}
			all = append(all, &delivery{
				engine: e, sink: s, route: route, routed: len(routes) > 1, waiting: waiting, pace: pace, untold: newUntold(), meter: e.stats.sink(s.Name, s.Type),
			})
		}
	}
	e.stats.deliveries.Store(&all)
	return nil
}

// deliveryTrouble logs what a sink's deliveries mend themselves, and what they cannot.
func (e *Engine) deliveryTrouble(err error) {
	if !errors.Is(err, bus.ErrGone) {
		e.trouble(err)
		return
	}
	e.log.Error().Err(err).Msg("somebody changed what waits for a sink")
}

// name is the sink's, with the route's where it gets that one's notifications.
func (d *delivery) name() string {
	if d.route == "" {
		return d.sink.Name
	}
	return d.sink.Name + " of route " + d.route
}

// run delivers, from when the silences are known, until ctx ends and what is half
// delivered has arrived. What another process has done meanwhile it reads anew.
func (d *delivery) run(ctx context.Context, silences <-chan struct{}) error {
	select {
	case <-silences:
	case <-ctx.Done():
		return nil
	}
	if err := retry(ctx, d.recall, d.engine.trouble); err != nil {
		return nil //nolint:nilerr // it was only stopped
	}
	d.ending = ctx.Done()
	d.running.Store(true)
	defer d.running.Store(false)
	var telling sync.WaitGroup
	defer telling.Wait()
	if d.single() {
		telling.Go(func() { d.tellUntold(ctx) })
	}
	return d.waiting.Run(ctx, d.engine.config.DrainTimeout, d.deliver)
}

// newPace limits how often a sink is tried; nil when it is not limited.
func newPace(s *NamedSink) *rate.Limiter {
	if s.Rate <= 0 {
		return nil
	}
	burst := s.Burst
	if burst == 0 {
		burst = max(int(s.Rate/10), 1)
	}
	return rate.NewLimiter(rate.Limit(s.Rate), burst)
}

// turn waits until the sink may be tried. It says false when that is not to
// happen any more.
func (d *delivery) turn(ctx context.Context) bool {
	if d.pace == nil {
		return true
	}
	ours := d.pace.Reserve()
	timer := time.NewTimer(ours.Delay())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.ending:
	case <-ctx.Done():
	}
	ours.Cancel()
	return false
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
	case x.Err != nil || o.Kind != rules.Alert || x.Letter != 0:
		return d.attempt(ctx, x)
	case d.takes(o):
		d.engine.stats.routed.Add(1)
		d.engine.stats.told.add(o, Told{Delivered: 1})
		return d.skip(ctx, o.ID)
	case d.sink.Quiet || o.Life == nil:
		return d.attempt(ctx, x)
	}
	return d.alert(ctx, x)
}

// attempt tries once. What the sink gives up becomes a dead letter, and only
// then is it done with: nothing is dropped without a trace.
func (d *delivery) attempt(ctx context.Context, x bus.Delivery) bus.Answer {
	if !d.turn(ctx) {
		return bus.Answer{}
	}
	err := x.Err
	if err == nil {
		err = d.hand(ctx, x.Outcome)
	} else {
		err = sinks.Permanent(err)
	}
	if err == nil {
		d.engine.stats.delivered.Add(1)
		d.engine.stats.told.add(&x.Outcome, Told{Delivered: 1})
		d.meter.arrived.Add(1)
		return bus.Answer{Done: true}
	}
	if ctx.Err() != nil {
		return bus.Answer{} // not the sink's fault: it is being stopped
	}
	switch {
	case sinks.IsPermanent(err):
		return d.giveUp(ctx, x, letterRefused, err)
	case x.Attempt > len(d.sink.Retry):
		return d.giveUp(ctx, x, letterRetries, err)
	case x.Crowded:
		return d.giveUp(ctx, x, letterRetries, fmt.Errorf("%w; too many outcomes of the twin wait behind it", err))
	}
	d.meter.retried.Add(1)
	d.complain(err)
	wait := d.sink.Retry[x.Attempt-1]
	if asked, ok := sinks.Wait(err); ok {
		wait = max(wait, asked)
	}
	return bus.Answer{Again: wait}
}

// giveUp makes a dead letter of what the sink did not take. The reason is the
// class by which it is counted.
func (d *delivery) giveUp(ctx context.Context, x bus.Delivery, reason string, err error) bus.Answer {
	if buryErr := d.engine.bus.Bury(ctx, x.DeadLetter(d.sink.Name, d.route, err.Error())); buryErr != nil {
		d.engine.trouble(buryErr)
		return bus.Answer{Again: time.Second}
	}
	if alike, say := d.engine.quiet.note("given up: "+d.name(), time.Now()); say {
		o := &x.Outcome
		ofAlert := func(line *zerolog.Event) {
			if o.Kind == rules.Alert {
				line.Str("alert", o.ID)
			}
		}
		d.engine.log.Error().Str("sink", d.name()).Str("interaction", o.Interaction).Str("rule", o.Rule).Str("twin", o.Twin).Func(ofAlert).
			Int("attempts", x.Attempt).Int("alike", alike).Err(err).Msg("delivery given up; kept as a dead letter")
	}
	d.engine.stats.undelivered.Add(1)
	d.engine.stats.told.add(&x.Outcome, Told{Undelivered: 1})
	d.engine.stats.deadLetters.Add(1)
	d.engine.stats.buried(bus.StageSink, reason)
	d.meter.givenUp.Add(1)
	return bus.Answer{Done: true}
}

// hand hands an outcome to the sink, and takes note of how that went unless it
// was cut short.
func (d *delivery) hand(ctx context.Context, o rules.Outcome) error {
	began := time.Now()
	err := d.sink.Sink.Deliver(ctx, o)
	if err == nil || ctx.Err() == nil {
		d.meter.took.observe(time.Since(began).Seconds(), 1)
		d.engine.noteSink(d.sink.Name, err)
	}
	return err
}

// complain logs a delivery that will be tried again: once in a while for each
// sink, because texts of the network name ports that are never the same.
func (d *delivery) complain(err error) {
	if alike, say := d.engine.quiet.note("sink "+d.name(), time.Now()); say {
		d.engine.log.Warn().Str("sink", d.name()).Err(err).Int("alike", alike).Msg("delivery failed; trying again")
	}
}
