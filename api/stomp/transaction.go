package stomp

import (
	"github.com/go-stomp/stomp/v3/frame"
)

// The bounds of what a connection may put off.
const (
	maxTransactions = 16
	maxDeferred     = 256 // frames
	deferredFrames  = 4   // of the largest, for which there is room
)

// transact begins a transaction, or does or forgets what was put off in it.
func (c *conn) transact(f *frame.Frame) error {
	name, ok := f.Header.Contains(frame.Transaction)
	if !ok {
		return refuse(invalid, "%s without the header transaction", f.Command)
	}
	frames, begun := c.transactions[name]
	switch {
	case f.Command == frame.BEGIN && begun:
		return refuse(invalid, "transaction %.100q has begun already", name)
	case f.Command == frame.BEGIN && len(c.transactions) == maxTransactions:
		return refuse(exhausted, "%d transactions, which is as many as a connection may have", maxTransactions)
	case f.Command == frame.BEGIN:
		if c.transactions == nil {
			c.transactions = map[string][]*frame.Frame{}
		}
		c.transactions[name] = nil
		return nil
	case !begun:
		return refuse(notFound, "no transaction %.100q", name)
	}
	delete(c.transactions, name)
	c.deferred -= len(frames)
	for _, f := range frames {
		c.deferredBytes -= size(f)
	}
	if f.Command == frame.ABORT {
		return nil
	}
	for _, f := range frames {
		if err := handlers[f.Command](c, f); err != nil {
			return err
		}
	}
	return nil
}

// postpone puts a frame off until its transaction is committed.
func (c *conn) postpone(name string, f *frame.Frame) error {
	frames, begun := c.transactions[name]
	switch {
	case !begun:
		return refuse(notFound, "no transaction %.100q", name)
	case c.deferred == maxDeferred:
		return refuse(exhausted, "%d frames in transactions, which is as many as a connection may have", maxDeferred)
	}
	if room := deferredFrames * c.server.Limits.Frame; c.deferredBytes+size(f) > room {
		return refuse(exhausted, "frames in transactions of more than %d bytes, which is as much as a connection may have", room)
	}
	c.transactions[name] = append(frames, f)
	c.deferred++
	c.deferredBytes += size(f)
	return nil
}

func size(f *frame.Frame) int {
	n := len(f.Body)
	for i := range f.Header.Len() {
		name, value := f.Header.GetAt(i)
		n += len(name) + len(value)
	}
	return n
}
