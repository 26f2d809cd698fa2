package auth

import (
	"sync"
	"time"
)

// cache keeps so many values, each until its time.
type cache[V any] struct {
	most int

	mu     sync.Mutex
	values map[string]kept[V]
	drops  uint64
}

type kept[V any] struct {
	value V
	until time.Time
}

func newCache[V any](most int) *cache[V] {
	return &cache[V]{most: most, values: map[string]kept[V]{}}
}

func (c *cache[V]) get(name string, now time.Time) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.values[name]
	if !ok || !now.Before(k.until) {
		return v, false
	}
	return k.value, true
}

// put keeps a value until its time. Where there is no room any one goes.
func (c *cache[V]) put(name string, v V, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(name, kept[V]{v, until})
}

func (c *cache[V]) keep(name string, k kept[V]) {
	if _, there := c.values[name]; !there && len(c.values) >= c.most {
		for other := range c.values {
			delete(c.values, other)
			break
		}
	}
	c.values[name] = k
}

// since is for putSince.
func (c *cache[V]) since() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drops
}

// putSince is put, if nothing was dropped since: the value may be from before.
func (c *cache[V]) putSince(name string, v V, until time.Time, since uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drops == since {
		c.keep(name, kept[V]{v, until})
	}
}

// dropOld drops a value that is to be kept until before a time.
func (c *cache[V]) dropOld(name string, until time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.values[name]
	if !ok || !k.until.Before(until) {
		return false
	}
	c.drops++
	delete(c.values, name)
	return true
}

func (c *cache[V]) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	delete(c.values, name)
}
