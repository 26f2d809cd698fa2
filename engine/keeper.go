package engine

import (
	"context"
	"time"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// settle is how long the keeper waits for more changes before it looks which
// output twins they ask for: a thing is described in several steps.
const settle = 200 * time.Millisecond

// PutTwin makes or changes a twin. When it returns, the twin is stored and the
// stream knows it: samples that are stored later are judged with it.
func (e *Engine) PutTwin(ctx context.Context, t twins.Twin) error {
	if err := e.awaitDesk(ctx); err != nil {
		return err
	}
	e.change.Lock()
	defer e.change.Unlock()
	return e.putTwin(ctx, e.withLedgers(t))
}

// EditTwin changes a twin by what edit makes of it, while nobody else changes
// one. Edit gets the zero Twin with the id where there is none; what it gets it
// must not change, but put others in its place. An error of edit leaves
// everything as it was.
func (e *Engine) EditTwin(ctx context.Context, id string, edit func(t twins.Twin, known bool) (twins.Twin, error)) error {
	if err := e.awaitDesk(ctx); err != nil {
		return err
	}
	e.change.Lock()
	defer e.change.Unlock()
	was, known := e.Twin(id)
	if !known {
		was = &twins.Twin{ID: id}
	}
	t, err := edit(*was, known)
	if err != nil {
		return err
	}
	return e.putTwin(ctx, t)
}

func (e *Engine) putTwin(ctx context.Context, t twins.Twin) error {
	e.mu.RLock()
	old, had := e.twins.Get(t.ID)
	same := had && old.Equal(&t)
	e.mu.RUnlock()
	if same {
		return nil
	}
	if err := e.insist(ctx, func(ctx context.Context) error { return e.bus.PutTwin(ctx, t.ID, t.AppendJSON(nil)) }); err != nil {
		return err
	}
	ctx = e.whileAtDesk(ctx) // what is stored is told, whoever waits for it
	before := e.wanted()
	e.mu.Lock()
	e.twins.Put(t)
	kept, _ := e.twins.Get(t.ID)
	e.mu.Unlock()
	if err := e.send(ctx, placed{e.bus.Partition(t.ID), putTwin(kept)}); err != nil {
		return err
	}
	switch {
	case twins.IsModel(kept):
		if err := e.sendOthers(ctx, t.ID, putModel(kept)); err != nil {
			return err
		}
	case had && twins.IsModel(old):
		if err := e.sendOthers(ctx, t.ID, control{Op: opModelDelete, ID: t.ID}); err != nil {
			return err
		}
	}
	e.lookAt(t.ID)
	if had && twins.Maker(old) != "" {
		e.lookAt(twins.Source(old)) // it stays what its interaction makes of the source
	}
	if e.readRuleTwin(kept) {
		return e.publishRules(ctx, before)
	}
	if e.ownsRules(t.ID) {
		e.lookAtAll() // its output twins have its visibility and allow lists
	}
	return nil
}

// ownsRules says whether a twin is an interaction that runs.
func (e *Engine) ownsRules(id string) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	_, ok := e.owned[id]
	return ok
}

// DeleteTwin forgets a twin. Its open alerts end, and so do the interactions
// and output twins that came of it. It is not an error when there is none.
func (e *Engine) DeleteTwin(ctx context.Context, id string) error {
	if err := e.awaitDesk(ctx); err != nil {
		return err
	}
	e.change.Lock()
	defer e.change.Unlock()
	return e.deleteTwin(ctx, id)
}

func (e *Engine) deleteTwin(ctx context.Context, id string) error {
	e.mu.RLock()
	old, had := e.twins.Get(id)
	e.mu.RUnlock()
	if !had {
		return nil
	}
	if err := e.insist(ctx, func(ctx context.Context) error { return e.bus.DeleteTwin(ctx, id) }); err != nil {
		return err
	}
	ctx = e.whileAtDesk(ctx) // what is gone is told, whoever waits for it
	before := e.wanted()
	e.mu.Lock()
	e.twins.Delete(id)
	_, owned := e.owned[id]
	delete(e.owned, id)
	delete(e.failed, id)
	delete(e.orphan, id)
	e.mu.Unlock()
	if err := e.send(ctx, placed{e.bus.Partition(id), control{Op: opTwinDelete, ID: id}}); err != nil {
		return err
	}
	if twins.IsModel(old) {
		if err := e.sendOthers(ctx, id, control{Op: opModelDelete, ID: id}); err != nil {
			return err
		}
	}
	e.lookAt(id)
	if twins.Maker(old) != "" {
		e.lookAt(twins.Source(old)) // it may still be wanted
	}
	if owned {
		return e.publishRules(ctx, before)
	}
	return nil
}

// Twin gives a twin; the caller must not change it.
func (e *Engine) Twin(id string) (*twins.Twin, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.twins.Get(id)
}

// propertyValues are the values that a twin has of a property, which is named by
// its key or by what stands behind the last # or / of it.
func (e *Engine) propertyValues(twin, key string) []string {
	t, ok := e.Twin(twin)
	if !ok {
		return nil
	}
	return t.Values(key)
}

// Search gives the twins that a query finds; the caller must not change them.
func (e *Engine) Search(q twins.Query) []*twins.Twin {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.twins.Search(q)
}

// SearchWhere is Search among the twins of which a condition holds. Nothing waits
// for it while it judges them.
func (e *Engine) SearchWhere(ctx context.Context, q twins.Query, where *twins.Where) ([]*twins.Twin, error) {
	e.mu.RLock()
	found := e.twins.Ranked(&q.Filter, e.twins.Len())
	e.mu.RUnlock()
	return where.Page(ctx, found, q)
}

// adopt takes note of a twin that the policy has created in the stream; the
// keeper registers it.
func (e *Engine) adopt(id string) {
	e.mu.Lock()
	e.strangers[id] = true
	e.mu.Unlock()
	e.nudge()
}

func (e *Engine) lookAt(id string) {
	e.mu.Lock()
	e.pending[id] = true
	e.mu.Unlock()
	e.nudge()
}

func (e *Engine) lookAtAll() {
	e.mu.Lock()
	e.all = true
	e.mu.Unlock()
	e.nudge()
}

func (e *Engine) nudge() {
	select {
	case e.dirty <- struct{}{}:
	default:
	}
}

// keep keeps the output twins what the interactions and their sources ask for.
func (e *Engine) keep(ctx context.Context) error {
	if e.awaitDesk(ctx) != nil {
		return nil
	}
	var due <-chan time.Time
	for {
		refresh := time.NewTimer(e.refresh())
		select {
		case <-ctx.Done():
			refresh.Stop()
			return nil
		case <-e.dirty:
			if due == nil {
				due = time.After(settle)
			}
		case <-due:
			due = nil
			if err := e.reconcile(ctx); err != nil && ctx.Err() == nil {
				e.trouble(err)
				e.lookAtAll()
			}
		case <-refresh.C:
			e.lookAtAll()
		}
		refresh.Stop()
	}
}

// refresh is the shortest period in which a source or an unmatched output twin
// asks to be looked at again.
func (e *Engine) refresh() time.Duration {
	d := rules.DefaultRefresh
	for _, p := range e.wanted() {
		for _, s := range p.Sources() {
			d = min(d, s.Refresh)
			if s.Cleanup > 0 {
				e.mu.RLock()
				if len(e.orphan) > 0 {
					d = min(d, max(s.Cleanup/4, time.Second))
				}
				e.mu.RUnlock()
			}
		}
	}
	return d
}

// reconcile makes, changes and deletes output twins.
func (e *Engine) reconcile(ctx context.Context) error {
	e.change.Lock()
	defer e.change.Unlock()
	e.mu.Lock()
	strangers := e.strangers
	e.strangers = map[string]bool{}
	e.mu.Unlock()
	for id := range strangers {
		if _, known := e.Twin(id); known {
			continue // described by somebody meanwhile
		}
		if err := e.putTwin(ctx, twins.FromModel(e.unknown.Model, id, id)); err != nil {
			return err
		}
	}
	e.mu.Lock()
	all, ids := e.all, e.pending
	e.all, e.pending = false, map[string]bool{}
	e.mu.Unlock()
	if all {
		ids = e.everyTwin()
	}
	wanted := e.wanted()
	for id := range ids {
		for _, p := range wanted {
			if err := e.reconcileTwin(ctx, p, id); err != nil {
				return err
			}
		}
	}
	return e.tidy(ctx, wanted)
}

func (e *Engine) everyTwin() map[string]bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	ids := make(map[string]bool, e.twins.Len())
	for t := range e.twins.All() {
		ids[t.ID] = true
	}
	return ids
}

// reconcileTwin sees to the output twin that program p makes of a twin. When p
// follows an output twin, the outputs have to become samples first.
func (e *Engine) reconcileTwin(ctx context.Context, p *rules.Program, id string) error {
	e.mu.RLock()
	source, ok := e.twins.Get(id)
	e.mu.RUnlock()
	outputID := twins.OutputID(p.ID(), id)
	if !ok || !p.Enabled() || twins.Maker(source) == p.ID() || !follows(p, source) || e.depth(source) >= MaxHops {
		if p.Enabled() {
			e.orphaned(outputID)
		}
		return nil
	}
	e.mu.Lock()
	delete(e.orphan, outputID)
	spec := e.outputSpec(p)
	e.mu.Unlock()
	if twins.Maker(source) != "" && !e.chained {
		if err := e.insist(ctx, func(ctx context.Context) error { return e.bus.Chain(ctx, true) }); err != nil {
			return err
		}
		e.chained = true
	}
	if len(spec.Feeds) == 0 {
		return nil // alerts only
	}
	return e.putTwin(ctx, e.withLedgers(twins.Output(spec, source)))
}

// depth is how many interactions have made a twin one after the other. It ends
// circles of interactions, as MaxHops does for samples: each would make an output
// twin of the other's.
func (e *Engine) depth(t *twins.Twin) (n int) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for ok := true; ok && n < MaxHops && twins.Maker(t) != ""; n++ {
		t, ok = e.twins.Get(twins.Source(t))
	}
	return n
}

// follows says whether a source of p takes the twin and one of its feeds.
func follows(p *rules.Program, t *twins.Twin) bool {
	for _, s := range p.Sources() {
		if !twins.Match(&s.Filter, t) {
			continue
		}
		for _, f := range s.Feeds {
			if _, ok := t.Feed(f.ID); ok {
				return true
			}
		}
	}
	return false
}

func (e *Engine) outputSpec(p *rules.Program) twins.OutputSpec {
	spec := twins.OutputSpec{Interaction: p.ID(), Label: p.Label(), LabelTemplate: p.OutputLabel(), Feeds: p.Feeds()}
	if o, ok := e.owned[p.ID()]; ok && o.program == p {
		spec.Visibility, spec.Properties = o.twin.Visibility, o.twin.Properties
	}
	return spec
}

// orphaned notes since when an output twin has had no source.
func (e *Engine) orphaned(outputID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.twins.Get(outputID); ok && e.orphan[outputID].IsZero() {
		e.orphan[outputID] = time.Now()
	}
}

// tidy deletes the output twins whose interaction is gone, and those that have
// been without a source for longer than their interaction's cleanupRateS.
func (e *Engine) tidy(ctx context.Context, wanted map[string]*rules.Program) error {
	now := time.Now()
	var gone, lost []string // lost: the source went while nobody looked
	e.mu.RLock()
	for t := range e.twins.All() {
		maker := twins.Maker(t)
		if maker == "" {
			continue
		}
		p := wanted[maker]
		since, orphan := e.orphan[t.ID]
		if _, ok := e.twins.Get(twins.Source(t)); !ok && !orphan {
			lost = append(lost, t.ID)
		}
		if p == nil || orphan && p.Enabled() && cleanup(p) > 0 && now.Sub(since) >= cleanup(p) {
			gone = append(gone, t.ID)
		}
	}
	e.mu.RUnlock()
	for _, id := range lost {
		e.orphaned(id)
	}
	for _, id := range gone {
		if err := e.deleteTwin(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// cleanup is the longest cleanupRateS of a program's sources; 0 = never.
func cleanup(p *rules.Program) (d time.Duration) {
	for _, s := range p.Sources() {
		if s.Cleanup == 0 {
			return 0
		}
		d = max(d, s.Cleanup)
	}
	return d
}
