package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"tocsin.internal/bus"
)

// outbox is a shelf whose documents carry what others are still to be told of
// them, so that a change and what is told of it are stored as one. Whoever is at
// the desk tells it, then takes it off the document. It may be told twice, if only
// because somebody goes on where another was killed: tell has to publish under an
// id that the item has from the beginning.
type outbox[T any] struct {
	shelf bus.Shelf
	read  func(text string) ([]T, error)                           // what is still to be told, the oldest first
	tell  func(ctx context.Context, document string, item T) error // ErrTooLarge gives it up; another error has it tried again
	drop  func(there string, told []T) (without string, err error) // the document without these; it may have changed meanwhile
}

// outboxWorkers is how many documents of a shelf are seen to at a time.
const outboxWorkers = 8

// runOutbox tells what the documents of a shelf have to tell, from those that are
// there on, until ctx ends.
func runOutbox[T any](ctx context.Context, e *Engine, o outbox[T]) error {
	due := dueDocuments{wake: make(chan struct{}, 1)}
	var watch errgroup.Group
	watch.Go(func() error {
		e.bus.WatchDocuments(ctx, o.shelf, func(id, text string, _ bus.Revision) {
			if items, err := o.read(text); err != nil {
				e.trouble(fmt.Errorf("document %q: %w", id, err))
			} else if len(items) > 0 {
				due.add(id)
			}
		}, func() {})
		return nil
	})
	for {
		select {
		case <-ctx.Done():
			return watch.Wait()
		case <-due.wake:
		}
		var round errgroup.Group
		round.SetLimit(outboxWorkers)
		for id := range due.take() {
			round.Go(func() error {
				return retry(ctx, func(ctx context.Context) error { return o.empty(ctx, e, id) }, e.trouble)
			})
		}
		round.Wait() //nolint:errcheck // the only error is that ctx has ended
	}
}

// empty tells what one document has to tell, and takes it off.
func (o *outbox[T]) empty(ctx context.Context, e *Engine, id string) error {
	text, _, err := e.bus.Document(ctx, o.shelf, id)
	if err != nil {
		return err
	}
	items, err := o.read(text)
	if err != nil || len(items) == 0 {
		return nil //nolint:nilerr // who watches has told
	}
	for _, item := range items {
		err := o.tell(ctx, id, item)
		if errors.Is(err, bus.ErrTooLarge) {
			e.log.Error().Err(err).Str("document", id).Msg("not told: it is too large")
		} else if err != nil {
			return fmt.Errorf("document %q: %w", id, err)
		}
	}
	return e.editDocument(ctx, o.shelf, id, func(there string) (string, error) { return o.drop(there, items) })
}

// dueDocuments are the ids of documents that have something to tell.
type dueDocuments struct {
	mu   sync.Mutex
	ids  map[string]bool
	wake chan struct{} // has one when there are some
}

func (d *dueDocuments) add(id string) {
	d.mu.Lock()
	if d.ids == nil {
		d.ids = map[string]bool{}
	}
	d.ids[id] = true
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *dueDocuments) take() map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := d.ids
	d.ids = nil
	return ids
}
