package engine

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/twins"
)

// stickerBook is the index of all stickers, of one time at the desk. It is safe for
// concurrent use.
type stickerBook struct {
	ready chan struct{} // closed when it has all that there are

	mu          sync.RWMutex
	all         map[string]*bookedSticker // by the key of the record
	byTwin      map[string]map[string]*bookedSticker
	byRecipient map[string]map[string]*bookedSticker
}

// bookedSticker is a record, and what is known beside it.
type bookedSticker struct {
	record   twins.StickerRecord // never changed after
	revision bus.Revision
	gone     bool   // there is no record any more
	old      bool   // and has not been for a while: no earlier one comes late
	term     string // the sticker whose time the server watches
}

func newStickerBook() *stickerBook {
	return &stickerBook{
		ready: make(chan struct{}), all: map[string]*bookedSticker{}, byTwin: map[string]map[string]*bookedSticker{}, byRecipient: map[string]map[string]*bookedSticker{},
	}
}

// put takes in a record, unless a newer one is there; nil says that it is gone.
func (b *stickerBook) put(key string, r *twins.StickerRecord, revision bus.Revision) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.entry(key)
	if revision < s.revision {
		return
	}
	b.unlist(key, s)
	s.revision, s.gone, s.old, s.record = revision, r == nil, false, twins.StickerRecord{}
	if r != nil {
		s.record = *r
	}
	if s.record.State == twins.StickerLive {
		list(b.byTwin, s.record.Sticker.Twin, key, s)
		for _, id := range s.record.Sticker.Recipients {
			list(b.byRecipient, id, key, s)
		}
	}
}

// watched takes note of whose time the server watches; "" = nobody's.
func (b *stickerBook) watched(key, sticker string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entry(key).term = sticker
}

func (b *stickerBook) entry(key string) *bookedSticker {
	s := b.all[key]
	if s == nil {
		s = &bookedSticker{gone: true}
		b.all[key] = s
	}
	return s
}

// forget drops what was gone when it was called before.
func (b *stickerBook) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, s := range b.all {
		if s.gone && s.old && s.term == "" {
			delete(b.all, key)
		}
		s.old = s.gone
	}
}

func (b *stickerBook) unlist(key string, s *bookedSticker) {
	unlist(b.byTwin, s.record.Sticker.Twin, key)
	for _, id := range s.record.Sticker.Recipients {
		unlist(b.byRecipient, id, key)
	}
}

func list(index map[string]map[string]*bookedSticker, name, key string, s *bookedSticker) {
	if index[name] == nil {
		index[name] = map[string]*bookedSticker{}
	}
	index[name][key] = s
}

func unlist(index map[string]map[string]*bookedSticker, name, key string) {
	if delete(index[name], key); len(index[name]) == 0 {
		delete(index, name)
	}
}

// look is what is known under a key.
func (b *stickerBook) look(key string) (bookedSticker, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if s := b.all[key]; s != nil {
		return *s, true
	}
	return bookedSticker{}, false
}

// dead are the keys of records without a sticker.
func (b *stickerBook) dead() (keys []string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for key, s := range b.all {
		if !s.gone && s.record.State != twins.StickerLive {
			keys = append(keys, key)
		}
	}
	return keys
}

// find gives the stickers that are meant, in their order.
func (b *stickerBook) find(q *StickerQuery, now time.Time) (found []twins.Sticker) {
	b.mu.RLock()
	for _, s := range b.among(q) {
		if s.record.Live(now) && q.means(&s.record.Sticker) {
			found = append(found, s.record.Sticker)
		}
	}
	b.mu.RUnlock()
	slices.SortFunc(found, q.compare)
	return found
}

// among are those in which the search has to look, each once.
func (b *stickerBook) among(q *StickerQuery) map[string]*bookedSticker {
	switch {
	case q.Twin != "":
		return b.byTwin[q.Twin]
	case q.Seen == nil:
		return b.all
	}
	found := map[string]*bookedSticker{}
	for _, id := range q.Seen {
		maps.Copy(found, b.byRecipient[id])
	}
	return found
}

func (q *StickerQuery) means(s *twins.Sticker) bool {
	return (q.Twin == "" || s.Twin == q.Twin) && (q.Color == "" || s.Color == q.Color) &&
		(q.Accounts == nil || slices.Contains(q.Accounts, s.Account)) &&
		(q.From.IsZero() || !s.Created.Before(q.From)) && (q.To.IsZero() || !s.Created.After(q.To)) &&
		(q.Seen == nil || slices.ContainsFunc(s.Recipients, func(id string) bool { return slices.Contains(q.Seen, id) }))
}

func (q *StickerQuery) compare(a, b twins.Sticker) int {
	if q.First != "" && (a.Account == q.First) != (b.Account == q.First) {
		if a.Account == q.First {
			return -1
		}
		return 1
	}
	return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.Account, b.Account), strings.Compare(a.Twin, b.Twin), strings.Compare(a.Color, b.Color))
}
