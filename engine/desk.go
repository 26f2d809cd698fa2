package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"tocsin.internal/bus"
)

// The desk is what one worker of the pool does for all: it tells the stream what
// changes decisions (rules, twins), keeps the output twins, tells the time, keeps
// the open alerts and tells of them, and makes room in the streams. Whoever holds
// the lease goes on where the one before stopped.
const deskLease = "desk"

// desk is one worker's time at the desk.
type desk struct {
	ready   chan struct{}   // closed when the partitions are told what is wanted
	founded chan struct{}   // closed when there is the own account
	work    context.Context // ends with the time at the desk

	stickers *stickerBook
}

// holdDesk does what the desk does for as long as its lease is held.
func (e *Engine) holdDesk(ctx context.Context) error {
	if retry(ctx, e.takeDesk, e.trouble) != nil {
		return nil // ctx ended before there was anything to do
	}
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	d := &desk{ready: make(chan struct{}), founded: make(chan struct{}), work: work, stickers: newStickerBook()}
	e.desk.Store(d) // from here on the registry is ours to change
	defer e.desk.Store(nil)
	e.log.Info().Msg("at the desk: this worker keeps rules, twins and alerts for all")
	var group errgroup.Group
	run := func(f func(context.Context) error) {
		group.Go(func() error {
			err := f(work)
			if err != nil && work.Err() == nil {
				stop(err)
				return err
			}
			return nil
		})
	}
	run(func(ctx context.Context) error { return e.bus.ServeDesk(ctx, e.answer) })
	run(e.keep)
	run(e.followPushed)
	run(func(ctx context.Context) error { return e.found(ctx, d) })
	run(func(ctx context.Context) error { e.makeRoom(ctx); return nil })
	if e.config.Clock == WallClock {
		run(func(ctx context.Context) error { e.tick(ctx); return nil })
	}
	if e.config.RulesPath != "" {
		run(e.watchRules)
	}
	run(func(ctx context.Context) error { return runOutbox(ctx, e, e.ledgers()) })
	e.runAlerts(work, run)
	e.runPost(work, run)
	e.runStickers(d.stickers, run)
	run(e.tellWanted(d)) // the last: when it is ready, all that can be asked for is there
	return group.Wait()
}

// takeDesk reads what may have changed until this worker was chosen.
func (e *Engine) takeDesk(ctx context.Context) error {
	if err := e.catchUpTwins(ctx); err != nil {
		return err
	}
	if err := e.storeConfigured(ctx); err != nil {
		return err
	}
	if err := e.readPushed(ctx); err != nil {
		return err
	}
	book, err := e.readFiles()
	e.stats.reloaded(err)
	if err != nil {
		e.log.Error().Err(err).Msg("rules refused; the last good ones keep running")
	} else if book.programs != nil {
		e.setFiles(book)
	}
	return e.recoverAlerts(ctx)
}

// runAlerts keeps the open alerts, routes them, and lets the sinks deliver.
func (e *Engine) runAlerts(ctx context.Context, run func(func(context.Context) error)) {
	listening := make(chan struct{})
	run(func(ctx context.Context) error { e.listen(ctx, func() { close(listening) }); return nil })
	run(func(ctx context.Context) error {
		var reader *bus.AlertReader
		err := retry(ctx, func(ctx context.Context) (err error) {
			reader, err = e.bus.ReadAlerts(ctx, e.projector.position)
			return err
		}, e.trouble)
		if err != nil {
			return err
		}
		return e.projector.run(ctx, reader, listening)
	})
	for _, d := range *e.stats.deliveries.Load() {
		run(func(ctx context.Context) error { return d.run(ctx, listening) })
	}
}

// tellWanted brings the partitions to what is wanted now: at the very first the
// state that everything begins with, later the differences.
func (e *Engine) tellWanted(d *desk) func(context.Context) error {
	return func(ctx context.Context) error {
		e.change.Lock()
		defer e.change.Unlock()
		told := map[int]bool{}
		err := retry(ctx, func(ctx context.Context) error {
			began, err := e.begun(ctx)
			if err == nil && !began {
				return e.firstState(ctx, told)
			}
			return err
		}, e.trouble)
		if err == nil {
			err = retry(ctx, func(ctx context.Context) error { return e.sendDifferences(ctx, told) }, e.trouble)
		}
		if err == nil {
			err = retry(ctx, e.keepRevisions, e.trouble)
		}
		if err != nil {
			return err
		}
		close(d.ready)
		e.lookAtAll()
		return nil
	}
}

// atDesk is this worker's time at the desk; nil when another is there.
func (e *Engine) atDesk() *desk { return e.desk.Load() }

// whileAtDesk is a context that ends with the time at the desk, not with a request
// that has begun to change something; ctx, where another worker is at the desk.
func (e *Engine) whileAtDesk(ctx context.Context) context.Context {
	if d := e.atDesk(); d != nil {
		return d.work
	}
	return ctx
}

// awaitDesk returns when this worker is at the desk and the partitions know what
// is wanted.
func (e *Engine) awaitDesk(ctx context.Context) error {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for !e.told() {
		if owner := e.pool.Owner(deskLease); owner != "" && owner != e.config.WorkerID {
			return fmt.Errorf("%w: %s", ErrNotAtDesk, owner)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the engine to catch up: %w", ctx.Err())
		}
	}
	return nil
}

// ErrNotAtDesk says that another worker of the pool has to be asked.
var ErrNotAtDesk = errors.New("another worker is at the desk")

// told says whether the desk may send changes: before, what differs is found later.
func (e *Engine) told() bool {
	d := e.atDesk()
	return d != nil && closed(d.ready)
}

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
