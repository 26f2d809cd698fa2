package engine

import (
	"maps"
	"slices"
	"sync"

	"tocsin.internal/alerts"
	"tocsin.internal/rules"
)

// board is what is known of the alerts that are open. Its records are never
// changed, only replaced.
type board struct {
	mu      sync.RWMutex
	open    map[string]*alerts.Record // by key
	keys    map[string]string         // of the open alerts, by episode
	count   map[AlertStatus]int       // of the open alerts
	waiting map[*waiter]struct{}
}

// waiter is somebody who waits for what becomes of an episode.
type waiter struct {
	id     string
	events chan *alerts.Record
}

// waiterEvents is how many events a waiter may be behind before it misses some.
const waiterEvents = 64

func newBoard() *board {
	return &board{open: map[string]*alerts.Record{}, keys: map[string]string{}, count: map[AlertStatus]int{}, waiting: map[*waiter]struct{}{}}
}

// clear forgets the alerts, not those who wait for them.
func (b *board) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.open)
	clear(b.keys)
	clear(b.count)
}

// load takes in a record that was kept.
func (b *board) load(r *alerts.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(r)
}

// take takes in an alert's outcome. It gives what is known of the episode now,
// or nil when the outcome is no news.
func (b *board) take(o *rules.Outcome) *alerts.Record {
	if o.Life == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	next := new(alerts.Record)
	if last := b.open[o.Life.Key]; last != nil {
		*next = *last
	}
	if !next.Apply(o) {
		return nil
	}
	b.set(next)
	for w := range b.waiting {
		if w.id == o.ID {
			select {
			case w.events <- next:
			default:
			}
		}
	}
	return next
}

func (b *board) set(r *alerts.Record) {
	key := r.Outcome.Life.Key
	if last := b.open[key]; last != nil {
		delete(b.keys, last.Outcome.ID)
		b.count[statusOf(last)]--
	}
	if !r.Current() {
		delete(b.open, key)
		return
	}
	b.open[key], b.keys[r.Outcome.ID] = r, key
	b.count[statusOf(r)]++
}

func statusOf(r *alerts.Record) AlertStatus {
	return AlertStatus{r.Outcome.Severity, r.Outcome.Life.Status}
}

// statuses is how many alerts are open, those of which there are none included.
func (b *board) statuses() map[AlertStatus]int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := map[AlertStatus]int{}
	for _, s := range alerts.Severities {
		out[AlertStatus{s.Name, rules.StatusFiring}] = 0
	}
	maps.Copy(out, b.count)
	return out
}

// get is the open alert with the id, or nil.
func (b *board) get(id string) *alerts.Record {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.open[b.keys[id]]
}

// all is every open alert.
func (b *board) all() []*alerts.Record {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.Collect(maps.Values(b.open))
}

func (b *board) len() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.open)
}

// ids are those of the open alerts.
func (b *board) ids() []string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.Collect(maps.Keys(b.keys))
}

// wait tells of every event of an episode from now on, until stop is called.
func (b *board) wait(id string) (events <-chan *alerts.Record, stop func()) {
	w := &waiter{id, make(chan *alerts.Record, waiterEvents)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting[w] = struct{}{}
	return w.events, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.waiting, w)
	}
}
