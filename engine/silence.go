package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/internal/strictjson"
)

// ErrNoSilence is what the error wraps when there is no such silence.
var ErrNoSilence = errors.New("no such silence")

// silenceKept is how long a silence that is over can still be seen.
const silenceKept = 7 * 24 * time.Hour

// hush is what is silenced.
type hush struct {
	mu   sync.Mutex
	byID map[string]alerts.Silence
	list atomic.Pointer[alerts.Silences] // by start; for those who read often
}

func newHush() *hush {
	h := &hush{byID: map[string]alerts.Silence{}}
	h.list.Store(&alerts.Silences{})
	return h
}

// put takes in a silence; forget says that it is gone.
func (h *hush) put(s alerts.Silence) { h.change(func() { h.byID[s.ID] = s }) }

func (h *hush) clear() { h.change(func() { clear(h.byID) }) }

func (h *hush) forget(id string) { h.change(func() { delete(h.byID, id) }) }

func (h *hush) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	list := alerts.Silences(slices.SortedFunc(maps.Values(h.byID), func(a, b alerts.Silence) int {
		if c := a.StartsAt.Compare(b.StartsAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	}))
	h.list.Store(&list)
}

func (h *hush) get(id string) (alerts.Silence, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.byID[id]
	return s, ok
}

// listen keeps the silences as the bucket has them. It calls ready when it has
// them all.
func (e *Engine) listen(ctx context.Context, ready func()) {
	e.bus.WatchSilences(ctx, func(id string, doc []byte) {
		if doc == nil {
			e.hush.forget(id)
			return
		}
		s, err := decodeSilence(doc)
		if err != nil {
			e.trouble(fmt.Errorf("silence %s: %w", id, err))
			return
		}
		e.hush.put(s)
	}, ready)
}

func decodeSilence(doc []byte) (alerts.Silence, error) {
	raw, err := strictjson.Parse("silence", doc)
	if err != nil {
		return alerts.Silence{}, err
	}
	return alerts.DecodeSilence(raw, time.Time{})
}

// Silences are the silences that were, are or will be, those that begin first
// first. One that is over is kept for a week.
func (e *Engine) Silences() alerts.Silences { return *e.hush.list.Load() }

// PutSilence begins a silence, or changes the one with its id. A silence
// without an id gets one.
func (e *Engine) PutSilence(ctx context.Context, s alerts.Silence) (alerts.Silence, error) {
	if s.ID == "" {
		s.ID = "si_" + strings.ToLower(rand.Text()) // ids that begin differently can be shortened
	} else if _, ok := e.hush.get(s.ID); !ok {
		return s, e.noSilence(s.ID)
	}
	return s, e.keepSilence(ctx, s)
}

// ExpireSilence ends a silence now, and keeps who did. One that is over already
// stays as it is; one that has not begun is forgotten. The error may wrap
// ErrNoSilence or ErrAction.
func (e *Engine) ExpireSilence(ctx context.Context, id, by string) (alerts.Silence, error) {
	if err := checkBy(by); err != nil {
		return alerts.Silence{}, fmt.Errorf("%w: %w", ErrAction, err)
	}
	s, ok := e.hush.get(id)
	if !ok {
		return s, e.noSilence(id)
	}
	now := time.Now().UTC()
	switch {
	case s.Expired(now):
		return s, nil
	case !s.StartsAt.Before(now):
		if err := e.bus.DeleteSilence(ctx, id); err != nil {
			return s, err
		}
		e.hush.forget(id)
		return s, nil
	}
	s.EndsAt, s.EndedBy = now, strings.TrimSpace(by)
	return s, e.keepSilence(ctx, s)
}

func (e *Engine) keepSilence(ctx context.Context, s alerts.Silence) error {
	if err := e.bus.PutSilence(ctx, s.ID, s.AppendJSON(nil), max(time.Until(s.EndsAt), 0)+silenceKept); err != nil {
		return err
	}
	e.hush.put(s)
	return nil
}

func (e *Engine) noSilence(id string) error {
	var ids []string
	for _, s := range e.Silences() {
		ids = append(ids, s.ID)
	}
	return fmt.Errorf("%w: %q%s", ErrNoSilence, id, strictjson.DidYouMean(id, ids))
}
