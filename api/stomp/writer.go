package stomp

import (
	"errors"
	"os"
	"sync"
	"time"
)

// batch is how many frames are taken to be written at most, and joinedBytes how many
// bytes are then written as one, where that may be.
const (
	batch       = 64
	joinedBytes = 64 << 10
)

// scratch is what a writer needs that has something to write.
type scratch struct {
	items []item
	buf   []byte
}

var scratches = sync.Pool{New: func() any { return &scratch{items: make([]item, 0, batch), buf: make([]byte, 0, 4<<10)} }}

// write writes what waits, and beats when nothing does, until nothing will follow
// or the client is gone.
func (c *conn) write() {
	defer close(c.wrote)
	beats := time.NewTimer(c.pause())
	defer beats.Stop()
	for {
		wrote, last, ok := c.drain()
		switch {
		case !ok:
			return
		case last:
			c.bye(c.why)
			return
		case wrote:
			beats.Reset(c.pause())
		}
		select {
		case <-c.out.wake:
		case <-beats.C:
			if !c.beat() {
				return
			}
			beats.Reset(c.pause())
		}
	}
}

// drain writes what waits. ok is false when the client is gone, last true when
// nothing will follow.
func (c *conn) drain() (wrote, last, ok bool) {
	w, _ := scratches.Get().(*scratch)
	defer func() {
		clear(w.items[:cap(w.items)])
		if cap(w.buf) <= 2*joinedBytes {
			scratches.Put(w)
		}
	}()
	for {
		w.items, last = c.out.take(w.items[:0], c.batch())
		if len(w.items) == 0 {
			return wrote, last, true
		}
		if wrote = true; !c.deliver(w) {
			return wrote, last, false
		}
	}
}

// batch is how many frames are taken at a time: few beside those that may wait, so
// that what is taken does not count as written.
func (c *conn) batch() int { return max(1, min(batch, c.server.Limits.Queue/16)) }

// pause is how long nothing may be written.
func (c *conn) pause() time.Duration {
	if every := time.Duration(c.beats.Load()); every > 0 {
		return every
	}
	return maxBeat // in vain
}

// beat sends a heart-beat, where any were agreed on.
func (c *conn) beat() bool {
	if c.beats.Load() == 0 {
		return true
	}
	return c.put(beat)
}

// deliver writes frames; false: the client is gone.
func (c *conn) deliver(w *scratch) bool {
	from := 0
	w.buf = w.buf[:0]
	for n := range w.items {
		w.buf = w.items[n].append(w.buf)
		if c.joined && n < len(w.items)-1 && len(w.buf) < joinedBytes {
			continue
		}
		if !c.put(w.buf) {
			return false
		}
		c.written(w.items[from : n+1])
		w.buf, from = w.buf[:0], n+1
	}
	return true
}

// append appends the frame.
func (i *item) append(b []byte) []byte {
	if i.frame != nil {
		return append(b, i.frame...)
	}
	return i.sub.append(b, i)
}

func (c *conn) written(items []item) {
	messages := uint64(0)
	for i := range items {
		if items[i].sub != nil {
			messages++
		}
		if items[i].after != nil {
			items[i].after()
		}
	}
	c.server.counts.messages.Add(messages)
}

// put writes to the client, which must take it in time.
func (c *conn) put(b []byte) bool {
	err := c.net.SetWriteDeadline(time.Now().Add(c.server.Limits.Write))
	if err == nil {
		_, err = c.net.Write(b)
	}
	if err != nil {
		c.lost(err)
		return false
	}
	c.net.SetWriteDeadline(time.Time{}) //nolint:errcheck // it is written, also when the client has read it and gone already
	return true
}

// lost says that the client does not take what it is sent.
func (c *conn) lost(err error) {
	late := errors.Is(err, os.ErrDeadlineExceeded)
	c.ending.Do(func() {
		if late {
			c.server.counts.slow.Add(1)
			c.server.Log.Warn().Str("client", c.net.RemoteAddr().String()).Msg("stomp: a client that does not read is cut off")
		}
		c.ended.Store(true)
		c.out.finish(nil)
		c.cancel()
	})
	c.cut()
}

// push takes in a message for a client, and looks at whether it reads what it is
// sent.
func (c *conn) push(sub *subscription, m *message) {
	dropped, slow := c.out.push(sub, m)
	if dropped > 0 {
		c.server.counts.dropped.Add(uint64(dropped))
	}
	if slow == 0 {
		return
	}
	c.timers.Lock()
	defer c.timers.Unlock()
	if c.timers.slow != nil {
		c.timers.slow.Stop()
	}
	c.timers.slow = time.AfterFunc(c.server.Limits.Slow, func() {
		if c.out.tooSlow(slow) {
			c.server.counts.slow.Add(1)
			c.server.Log.Warn().Str("client", c.net.RemoteAddr().String()).Msg("stomp: a client that is too slow is disconnected")
			c.fail(refuse(exhausted, "slow consumer: messages were dropped for %s", c.server.Limits.Slow), nil)
		}
	})
}
