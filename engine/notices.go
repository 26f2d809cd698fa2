package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"tocsin.internal/accounts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/subscriptions"
)

// noticeSink is the name under which what rules tell those who subscribe waits for
// the desk, and by which dead letters name it.
const noticeSink = "tocsin.notices"

// ruleTrigger is the trigger of notices that rules make.
const ruleTrigger = "rule"

// awaitNotices lets what rules tell those who subscribe wait from now on.
func (e *Engine) awaitNotices(ctx context.Context) (err error) {
	for _, s := range e.config.Sinks {
		if s.Name == noticeSink {
			return fmt.Errorf("%w: sinks: the name %q is the engine's own", ErrConfig, s.Name)
		}
	}
	e.notices, err = e.bus.Subscribe(ctx, bus.Subscription{Name: noticeSink, Kind: rules.Notification, Trouble: e.deliveryTrouble})
	return err
}

// tellNotices tells what rules say to those who subscribe, until ctx ends.
func (e *Engine) tellNotices(ctx context.Context) error {
	return e.notices.Run(ctx, e.config.DrainTimeout, e.tellNotice)
}

// tellNotice makes a notice of what a rule has decided: the same one however often
// it is done. What cannot be told becomes a dead letter.
func (e *Engine) tellNotice(ctx context.Context, x bus.Delivery) bus.Answer {
	err := x.Err
	if err == nil {
		err = e.putRuleNotice(ctx, &x.Outcome)
	}
	switch {
	case err == nil:
		e.stats.told.add(&x.Outcome, Told{Delivered: 1})
		return bus.Answer{Done: true}
	case x.Err == nil && !errors.Is(err, bus.ErrTooLarge):
		if ctx.Err() == nil {
			e.trouble(err)
		}
		return bus.Answer{Again: time.Second}
	}
	if err := e.bus.Bury(ctx, x.DeadLetter(noticeSink, "", err.Error())); err != nil {
		e.trouble(err)
		return bus.Answer{Again: time.Second}
	}
	e.stats.undelivered.Add(1)
	e.stats.told.add(&x.Outcome, Told{Undelivered: 1})
	e.stats.deadLetters.Add(1)
	e.stats.buried(bus.StageSink, letterRefused)
	return bus.Answer{Done: true}
}

func (e *Engine) putRuleNotice(ctx context.Context, o *rules.Outcome) error {
	if o.Notice == nil {
		return nil
	}
	n := subscriptions.Notice{
		ID: o.EventID(), Trigger: ruleTrigger, Account: cmp.Or(o.Notice.Account, accounts.Own()), Topic: o.Notice.Topic,
		Twin: o.Twin, Event: o.Notice.Body, At: o.At, Recipients: o.Notice.Recipients,
	}
	body, err := n.Encode()
	if err != nil {
		return err
	}
	return e.bus.PutNotice(ctx, n.Account, n.Topic, bus.Notice{ID: n.ID, Body: body})
}
