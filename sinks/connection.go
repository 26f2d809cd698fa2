package sinks

import (
	"context"
	"errors"
	"time"
)

// The shortest and the longest pause after a server was not reached.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// Link is a connection to a server.
type Link interface {
	Ended() bool // it is of no use any more
	Close() error
}

// Connection is the link that a sink's deliveries share: the first who needs it
// makes it, and makes it again when it has ended.
type Connection[L Link] struct {
	dial func(context.Context) (L, error)
	turn chan struct{} // held by whoever looks at what follows

	link  L
	there bool
	over  bool
	pause time.Duration // after the last failure; 0: there was none
	until time.Time     // nobody tries before
	why   error
}

// NewConnection makes nothing yet. What dial makes outlives the context of dial.
func NewConnection[L Link](dial func(context.Context) (L, error)) *Connection[L] {
	return &Connection[L]{dial: dial, turn: make(chan struct{}, 1)}
}

// Get is the link; fresh says that this call has made it. After a server was not
// reached it is left alone for a while, and the error of then is a RetryAfter.
func (c *Connection[L]) Get(ctx context.Context) (link L, fresh bool, err error) {
	var none L
	if err := c.take(ctx); err != nil {
		return none, false, err
	}
	defer c.release()
	now := time.Now()
	switch {
	case c.over:
		return none, false, errors.New("closed")
	case c.there && !c.link.Ended():
		return c.link, false, nil
	case now.Before(c.until):
		return none, false, RetryAfter(c.until.Sub(now), c.why)
	}
	if c.there {
		_ = c.link.Close() // it has ended
		c.there = false
	}
	if link, err = c.dial(ctx); err != nil {
		c.failed(ctx, err)
		return none, false, err
	}
	c.link, c.there, c.pause = link, true, 0
	return link, true, nil
}

// failed begins a pause, unless it was the caller who gave up.
func (c *Connection[L]) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	c.pause = min(max(2*c.pause, firstPause), lastPause)
	c.until, c.why = time.Now().Add(c.pause), err
}

func (c *Connection[L]) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Connection[L]) release() { <-c.turn }

// Close closes the link, if there has been need for one. There will be no other.
func (c *Connection[L]) Close() error {
	c.turn <- struct{}{}
	defer c.release()
	c.over = true
	if !c.there {
		return nil
	}
	c.there = false
	return c.link.Close()
}
