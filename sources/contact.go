package sources

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Remote is a source whose origin may be away while it runs.
type Remote interface {
	Source
	// Tell names who is told of each change in how the source is in touch with its
	// origin: nil when it reads all that it should, else why it does not. It is
	// called before each Run; told is called by one goroutine at a time.
	Tell(told func(error))
}

// Contact is how a Remote is in touch with its origin, to be embedded. Its parts are
// connections and the like, each of which may be lost on its own. The zero value
// tells nobody.
type Contact struct {
	mu    sync.Mutex
	told  func(error)
	parts []any // that are lost, the one that was lost first before the others
	why   map[any]error
}

// Tell implements [Remote].
func (c *Contact) Tell(told func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told, c.parts, c.why = told, nil, map[any]error{}
}

// Lost notes why nothing can be read of a part.
func (c *Contact) Lost(part any, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told == nil {
		return
	}
	if c.why[part] == nil {
		c.parts = append(c.parts, part)
	}
	c.why[part] = err
	c.told(c.state())
}

// Reached notes that a part can be read, or is no longer wanted.
func (c *Contact) Reached(part any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told == nil {
		return
	}
	delete(c.why, part)
	c.parts = slices.DeleteFunc(c.parts, func(p any) bool { return p == part })
	c.told(c.state())
}

// state is what has been lost first, and how much else has.
func (c *Contact) state() error {
	switch n := len(c.parts); n {
	case 0:
		return nil
	case 1:
		return c.why[c.parts[0]]
	default:
		return fmt.Errorf("%w (and %d more)", c.why[c.parts[0]], n-1)
	}
}

// ErrConnecting is why nothing can be read of what has just begun.
var ErrConnecting = errors.New("not connected yet")
