package engine

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin.internal/twins"
)

// decodeTwin reads an upsert body. One that says just what the registry has is the
// registry's own twin: most of what the bucket and the streams say of twins is that,
// and need not be read again; and each twin is in memory once.
func (e *Engine) decodeTwin(body []byte) (*twins.Twin, error) {
	if id, ok := twins.IDOf(body); ok {
		if t, known := e.Twin(id); known && bytes.Equal(t.AppendJSON(make([]byte, 0, len(body)+1)), body) {
			return t, nil
		}
	}
	return decodeTwin(body)
}

// readTwins brings the configured twins and the bucket's together in the registry.
// Of those with one id the configured one counts, with the ledgers of the other.
func (e *Engine) readTwins(ctx context.Context) error {
	for _, t := range e.config.Twins {
		e.twins.Put(t)
		e.unstored[t.ID] = true
	}
	e.config.Twins = nil // the registry has them
	revision, err := e.bus.TwinsRevision(ctx)
	if err != nil {
		return err
	}
	for doc, err := range e.bus.Twins(ctx) {
		if err != nil {
			return err
		}
		t, err := e.decodeTwin(doc)
		if err != nil {
			return fmt.Errorf("bucket twins: %w", err)
		}
		if !e.unstored[t.ID] {
			e.twins.Put(*t)
			continue
		}
		configured, _ := e.twins.Get(t.ID)
		described := ledgersOf(t, *configured)
		e.twins.Put(described)
		if described.Equal(t) {
			delete(e.unstored, t.ID)
		}
	}
	e.followed.Store(revision)
	return nil
}

// follow keeps the registry what the bucket says, while another worker is at
// the desk, until ctx ends.
func (e *Engine) follow(ctx context.Context) {
	e.bus.FollowTwins(ctx, e.followed.Load(), func(revision uint64, id string, doc []byte) {
		if e.atDesk() == nil {
			e.takeOverTwin(id, doc)
		}
		e.followed.Store(revision)
	})
}

// takeOverTwin takes in what another worker has made of a twin; nil: it is gone.
func (e *Engine) takeOverTwin(id string, doc []byte) {
	var t *twins.Twin
	if doc != nil {
		var err error
		if t, err = e.decodeTwin(doc); err != nil {
			e.trouble(fmt.Errorf("bucket twins: %q: %w", id, err))
			return
		}
	}
	e.mu.Lock()
	delete(e.unstored, id)
	if t == nil {
		e.twins.Delete(id)
		delete(e.owned, id)
		delete(e.failed, id)
		delete(e.orphan, id)
	} else {
		e.twins.Put(*t)
		delete(e.strangers, id)
	}
	e.mu.Unlock()
	if t != nil {
		e.readRuleTwin(t)
	}
}

// catchUpTwins returns when the registry has what the bucket had when it was called.
func (e *Engine) catchUpTwins(ctx context.Context) error {
	revision, err := e.bus.TwinsRevision(ctx)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for e.followed.Load() < revision {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// storeConfigured stores the configured twins that the bucket does not have so.
func (e *Engine) storeConfigured(ctx context.Context) error {
	e.mu.RLock()
	todo := map[string]*twins.Twin{}
	for id := range e.unstored {
		if t, ok := e.twins.Get(id); ok {
			todo[id] = t
		}
	}
	e.mu.RUnlock()
	ids := slices.Sorted(maps.Keys(todo))
	if err := e.bus.PutTwins(ctx, ids, func(id string) []byte { return todo[id].AppendJSON(nil) }); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		delete(e.unstored, id)
	}
	return nil
}

// retell is how often a worker tells the desk of the twins that the policy has
// created, until the bucket has them.
const retell = 2 * time.Second

// tellStrangers tells the desk of twins that the policy has created here, until
// ctx ends. What was told in vain is told again.
func (e *Engine) tellStrangers(ctx context.Context) error {
	ticker := time.NewTicker(retell)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if e.atDesk() != nil {
			continue
		}
		for _, id := range e.toAdopt() {
			if _, err := e.ask(ctx, request{Op: "adopt", ID: id}); err != nil && ctx.Err() == nil {
				e.trouble(err)
				break
			}
		}
	}
}

func (e *Engine) toAdopt() (ids []string) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for id := range e.strangers {
		if _, known := e.twins.Get(id); !known {
			ids = append(ids, id)
		}
	}
	return ids
}
