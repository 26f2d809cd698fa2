package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tocsin.internal/accounts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/twins"
)

// stickerSink is the name under which what rules decide of stickers waits for the
// desk, and by which dead letters name it.
const stickerSink = "tocsin.stickers"

// awaitDecisions lets what rules decide of stickers wait from now on.
func (e *Engine) awaitDecisions(ctx context.Context) (err error) {
	e.decisions, err = e.bus.Subscribe(ctx, bus.Subscription{Name: stickerSink, Kind: rules.Sticker, Trouble: e.deliveryTrouble})
	return err
}

// carryOutAll carries out what rules decide, one after the other.
func (k *stickerKeeper) carryOutAll(ctx context.Context) error {
	select {
	case <-k.book.ready:
	case <-ctx.Done():
		return nil
	}
	return k.engine.decisions.Run(ctx, k.engine.config.DrainTimeout, k.carryOut)
}

// carryOut carries out a decision. One that cannot be becomes a dead letter.
func (k *stickerKeeper) carryOut(ctx context.Context, x bus.Delivery) bus.Answer {
	e, no := k.engine, x.Err
	if no == nil {
		err := retry(ctx, func(ctx context.Context) error {
			err := k.decide(ctx, &x)
			if sinks.IsPermanent(err) {
				no, err = err, nil
			}
			return err
		}, e.trouble)
		if err != nil {
			return bus.Answer{} // it is being stopped
		}
	}
	if no == nil {
		return bus.Answer{Done: true}
	}
	if err := e.bus.Bury(ctx, x.DeadLetter(stickerSink, "", no.Error())); err != nil {
		e.trouble(err)
		return bus.Answer{Again: time.Second}
	}
	if alike, say := e.quiet.note("sticker refused", time.Now()); say {
		o := &x.Outcome
		e.log.Error().Str("interaction", o.Interaction).Str("rule", o.Rule).Str("twin", o.Twin).Int("alike", alike).Err(no).Msg("a rule's sticker is refused; kept as a dead letter")
	}
	e.stats.undelivered.Add(1)
	e.stats.told.add(&x.Outcome, Told{Undelivered: 1})
	e.stats.deadLetters.Add(1)
	e.stats.buried(bus.StageSink, letterRefused)
	return bus.Answer{Done: true}
}

// decide does what an outcome says, once. The error is permanent where it cannot
// be done.
func (k *stickerKeeper) decide(ctx context.Context, x *bus.Delivery) error {
	o := &x.Outcome
	c := o.Sticker
	if c == nil {
		return sinks.Permanent(errors.New("the outcome says nothing of a sticker"))
	}
	id := twins.StickerDecision(o)
	target := twins.Sticker{Twin: c.Twin, Account: cmp.Or(c.Account, accounts.Own()), Color: c.Color}
	change := func(r *twins.StickerRecord, by string) error {
		if !c.Own || r.Sticker.Rule == by {
			r.Remove(by, time.Now())
		}
		return nil
	}
	switch c.Op {
	case rules.RemoveSticker:
		if err := rules.CheckStickerColor(c.Color); err != nil {
			return sinks.Permanent(err)
		}
	case rules.PutSticker:
		s, err := twins.DecidedSticker(o, target.Account, id)
		if err != nil {
			return sinks.Permanent(errors.New(strings.ReplaceAll(err.Error(), "\n", "; ")))
		}
		if _, err := k.engine.mustKnow(ctx, c.Twin); errors.Is(err, ErrNoTwin) {
			return sinks.Permanent(err)
		} else if err != nil {
			return err
		}
		change = func(r *twins.StickerRecord, by string) error {
			_, err := r.Put(s, cmp.Or(c.OnExisting, rules.KeepSticker), by, time.Now())
			return err
		}
	default:
		return sinks.Permanent(fmt.Errorf("op %q; want put or remove", c.Op))
	}
	var refused error
	err := k.engine.editSticker(ctx, k.book, target.Key(), func(r *twins.StickerRecord) error {
		refused = nil
		if r.Known(x.Seq, id, x.Letter != 0) {
			return nil
		}
		refused = change(r, o.Interaction+"/"+o.Rule)
		r.Note(x.Seq, id, refused == nil)
		return nil
	})
	if err == nil && refused != nil {
		err = sinks.Permanent(fmt.Errorf("%w: %q on twin %q", refused, c.Color, c.Twin))
	}
	return err
}
