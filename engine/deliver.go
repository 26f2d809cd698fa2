package engine

import (
	"cmp"
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
	"tocsin.internal/subscriptions"
)

// DefaultRetry are the waits between the attempts to deliver one outcome.
var DefaultRetry = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute}

// delivery is a sink with what waits for it: outcomes, or the notifications of
// a route. It can be run again when it has ended.
type delivery struct {
	engine  *Engine
	sink    NamedSink
	route   string          // "" = outcomes
	routed  bool            // some route names the sink
	fixed   alerts.Matchers // of the sink's, those by what never changes
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
				engine: e, sink: s, route: route, routed: len(routes) > 1, fixed: s.Match.Fixed(), waiting: waiting, pace: pace, untold: newUntold(), meter: e.stats.sink(s.Name, s.Type),
			})
		}
	}
	e.stats.deliveries.Store(&all)
	if err := e.awaitNotices(ctx); err != nil {
		return err
	}
	return e.awaitDecisions(ctx)
}

// subscribeSoon is subscribe, which waits for a server that is away.
func (e *Engine) subscribeSoon(ctx context.Context) error {
	var wrong error
	err := retry(ctx, func(ctx context.Context) error {
		if wrong = e.subscribe(ctx); bus.Away(wrong) {
			return wrong
		}
		return nil
	}, e.trouble)
	return cmp.Or(err, wrong)
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
	if r, ok := d.sink.Sink.(sinks.Repeater); ok && d.route == "" {
		telling.Go(func() { d.repeat(ctx, r) })
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

// closeSinks closes the sinks that are to be closed, however much waits for them.
func (e *Engine) closeSinks() error {
	var errs []error
	for _, s := range e.config.Sinks {
		if c, ok := s.Sink.(sinks.Closer); ok {
			if err := c.Close(); err != nil {
				errs = append(errs, fmt.Errorf("sink %s: %w", s.Name, err))
			}
		}
	}
	return errors.Join(errs...)
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
	case x.Err != nil || x.Letter != 0:
		return d.attempt(ctx, x)
	case o.Kind != rules.Alert:
		if d.route == "" && !d.sink.Match.Match(o) {
			return d.leaveOut()
		}
		return d.attempt(ctx, x)
	case d.takes(o):
		d.engine.stats.routed.Add(1)
		d.engine.stats.told.add(o, Told{Delivered: 1})
		return d.skip(ctx, o.ID)
	case d.route == "" && !d.fixed.Match(o):
		return d.leaveOut()
	case d.sink.Quiet || o.Life == nil:
		if d.route == "" && !d.sink.Match.Match(o) {
			return d.leaveOut()
		}
		return d.attempt(ctx, x)
	}
	return d.alert(ctx, x)
}

// leaveOut is done with what the sink's configuration does not want.
func (d *delivery) leaveOut() bus.Answer {
	d.engine.stats.filtered.Add(1)
	d.meter.filtered.Add(1)
	return bus.Answer{Done: true}
}

// kept says whether an alert is kept from the sink now: by a silence, or because
// the sink does not want it.
func (d *delivery) kept(now time.Time) func(*rules.Outcome) bool {
	silenced := d.engine.silenced(now)
	return func(o *rules.Outcome) bool { return silenced(o) || !d.sink.Match.Match(o) }
}

// attempt tries once. What the sink gives up becomes a dead letter, and only
// then is it done with: nothing is dropped without a trace.
func (d *delivery) attempt(ctx context.Context, x bus.Delivery) bus.Answer {
	if !d.turn(ctx) {
		return bus.Answer{}
	}
	err, note, began := x.Err, &sinks.Note{Had: d.had(&x)}, time.Now()
	if err == nil {
		err = d.hand(sinks.WithNote(ctx, note), x.Outcome)
	} else {
		err = sinks.Permanent(err)
	}
	tried := subscriptions.Attempt{At: began.UTC(), Took: time.Since(began).Seconds(), Result: subscriptions.Arrived}
	if err == nil {
		d.noteSent(&x, note, tried)
		d.engine.stats.delivered.Add(1)
		d.engine.stats.told.add(&x.Outcome, Told{Delivered: 1})
		d.meter.arrived.Add(1)
		return bus.Answer{Done: true}
	}
	if ctx.Err() != nil {
		return bus.Answer{} // not the sink's fault: it is being stopped
	}
	tried.Error, tried.Result = subscriptions.Cut(err.Error()), subscriptions.GivenUp
	reason := letterRetries
	switch {
	case sinks.IsPermanent(err):
		reason = letterRefused
	case x.Attempt > len(d.sink.Retry):
	case x.Crowded:
		err = fmt.Errorf("%w; too many outcomes of the twin wait behind it", err)
	default:
		return d.again(&x, note, tried, err)
	}
	d.noteSent(&x, note, tried)
	return d.giveUp(ctx, x, reason, err)
}

// again says when it is tried again.
func (d *delivery) again(x *bus.Delivery, note *sinks.Note, tried subscriptions.Attempt, err error) bus.Answer {
	d.meter.retried.Add(1)
	d.complain(err)
	wait := d.sink.Retry[x.Attempt-1]
	if asked, ok := sinks.Wait(err); ok {
		wait = max(wait, asked)
	}
	tried.Result, tried.Next = subscriptions.Again, time.Now().Add(wait).UTC()
	d.noteSent(x, note, tried)
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
