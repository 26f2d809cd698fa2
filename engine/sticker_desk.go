package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tocsin.internal/bus"
	"tocsin.internal/twins"
)

// runStickers keeps the stickers for as long as this worker is at the desk.
func (e *Engine) runStickers(book *stickerBook, run func(func(context.Context) error)) {
	k := &stickerKeeper{engine: e, book: book, due: dueDocuments{wake: make(chan struct{}, 1)}}
	run(k.run)
	run(func(ctx context.Context) error { return runOutbox(ctx, e, e.stickerOutbox()) })
	run(func(ctx context.Context) error { return k.carryOutAll(ctx) })
}

// stickerOutbox tells what happens to stickers.
func (e *Engine) stickerOutbox() outbox[twins.StickerEvent] {
	return outbox[twins.StickerEvent]{
		shelf: bus.Stickers,
		read: func(text string) ([]twins.StickerEvent, error) {
			r, err := twins.DecodeStickerRecord(text)
			return r.Unsent, err
		},
		tell: func(ctx context.Context, _ string, event twins.StickerEvent) error { return e.tellSticker(ctx, &event) },
		drop: func(there string, told []twins.StickerEvent) (string, error) {
			r, err := twins.DecodeStickerRecord(there)
			if err != nil {
				return "", err
			}
			r.Told(told)
			return r.Encode()
		},
	}
}

// tellSticker tells those who follow stickers, and those who subscribe to the
// event's topics.
func (e *Engine) tellSticker(ctx context.Context, event *twins.StickerEvent) error {
	body, err := event.JSON()
	if err != nil {
		return err
	}
	s := &event.Sticker
	if err := e.bus.PutStickerEvent(ctx, s.Twin, s.Color, bus.Notice{ID: event.ID(""), Body: body}); err != nil {
		return err
	}
	for _, topic := range event.Topics() {
		if body, err = event.Notice(topic); err != nil {
			return err
		}
		if err := e.bus.PutNotice(ctx, s.Account, topic, bus.Notice{ID: event.ID(topic), Body: body}); err != nil {
			return err
		}
	}
	return e.actBySticker(ctx, event)
}

// actBySticker does to the sticker's alert what its removal by a recipient means.
// Done again it does nothing: the alert is acknowledged, or gone.
func (e *Engine) actBySticker(ctx context.Context, event *twins.StickerEvent) error {
	do, twin, ok := event.Act()
	if !ok {
		return nil
	}
	do.By = e.people.named(do.By)
	if err := e.awaitDesk(ctx); err != nil {
		return err
	}
	return e.putControl(ctx, placed{e.bus.Partition(twin), act(do, twin)})
}

// stickerKeeper sees that the server watches the time of each sticker, ends those
// whose time has passed, and clears away what nobody needs any more.
type stickerKeeper struct {
	engine *Engine
	book   *stickerBook
	due    dueDocuments  // the keys of what has changed
	done   atomic.Uint64 // up to which sequence of OUT no decision of a rule comes again
	dealt  uint64        // done, when it was asked for last
}

// sweepEvery is how often the keeper looks which records nobody needs any more.
const sweepEvery = 10 * time.Second

func (k *stickerKeeper) run(ctx context.Context) error {
	var watch errgroup.Group
	records, terms := make(chan struct{}), make(chan struct{})
	watch.Go(func() error {
		k.engine.bus.WatchDocuments(ctx, bus.Stickers, k.changed, func() { close(records) })
		return nil
	})
	watch.Go(func() error {
		k.engine.bus.WatchTerms(ctx, func(key, sticker string) { k.book.watched(key, sticker); k.due.add(key) }, func() { close(terms) })
		return nil
	})
	for _, known := range []chan struct{}{records, terms} {
		select {
		case <-known:
		case <-ctx.Done():
			return watch.Wait()
		}
	}
	close(k.book.ready)
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return watch.Wait()
		case <-k.due.wake:
		case <-sweep.C:
			k.sweep(ctx)
		}
		var round errgroup.Group
		round.SetLimit(outboxWorkers)
		for key := range k.due.take() {
			round.Go(func() error {
				return retry(ctx, func(ctx context.Context) error { return k.settle(ctx, key) }, k.engine.trouble)
			})
		}
		round.Wait() //nolint:errcheck // the only error is that ctx has ended
	}
}

// changed takes in a record.
func (k *stickerKeeper) changed(key, text string, revision bus.Revision) {
	if text == "" {
		k.book.put(key, nil, revision)
		return
	}
	r, err := twins.DecodeStickerRecord(text)
	if err != nil {
		k.engine.trouble(fmt.Errorf("sticker %q: %w", key, err))
		return
	}
	k.book.put(key, &r, revision)
	k.due.add(key)
}

// sweep finds what may be cleared away.
func (k *stickerKeeper) sweep(ctx context.Context) {
	k.book.forget()
	dead := k.book.dead()
	if len(dead) == 0 {
		return
	}
	done, err := k.engine.decisions.Done(ctx)
	if err != nil {
		k.engine.trouble(err)
		return
	}
	k.done.Store(k.dealt) // a server that is killed forgets what was dealt with in its last moments
	k.dealt = done
	for _, key := range dead {
		k.due.add(key)
	}
}

// settle does what is to be done about one record.
func (k *stickerKeeper) settle(ctx context.Context, key string) error {
	s, ok := k.book.look(key)
	now := time.Now()
	r := &s.record
	switch {
	case !ok:
		return nil
	case r.Live(now):
		if s.term == r.Sticker.ID {
			return nil
		}
		return k.engine.bus.PutTerm(ctx, key, r.Sticker.ID, r.Sticker.ValidUntil.Sub(now))
	case r.State == twins.StickerLive:
		return k.engine.editSticker(ctx, k.book, key, func(r *twins.StickerRecord) error { r.Expire(now); return nil })
	}
	if s.term != "" {
		if err := k.engine.bus.DropTerm(ctx, key); err != nil {
			return err
		}
	}
	if s.gone || !k.over(r) {
		return nil
	}
	return k.engine.editDocument(ctx, bus.Stickers, key, func(there string) (string, error) {
		if r, err := twins.DecodeStickerRecord(there); err != nil || !k.over(&r) {
			return there, err
		}
		return "", nil
	})
}

// over says whether nobody needs the record any more: there is no sticker, all is
// told, and no rule's decision of it can come again.
func (k *stickerKeeper) over(r *twins.StickerRecord) bool {
	return r.State != twins.StickerLive && len(r.Unsent) == 0 && r.Applied <= k.done.Load()
}
