package stomp

import (
	"context"
	"sync"
)

// queue is what waits to be written to one client, in its order. What is loose, the
// messages that nobody acknowledges, makes room when there is too much of it: the
// oldest goes. What is kept stays.
type queue struct {
	limit int
	wake  chan struct{} // there may be something to take

	mu    sync.Mutex
	order uint64
	loose ring[item]
	kept  ring[item]
	bytes int           // of the bodies of the loose ones
	room  chan struct{} // closed when something of kept has been taken; nil: nobody waits
	slow  uint64        // which time it is that the client is too slow; 0: it is not
	times uint64        // that it was
	over  bool          // nothing more is taken in
}

// item is something to write.
type item struct {
	order uint64
	frame []byte // complete; nil: the message
	sub   *subscription
	msg   *message
	ack   string // what the client acknowledges it with
	again bool   // it has come before
	after func() // called when it has been written; may be nil
}

// maxLooseBytes bounds the bodies that wait for one client.
const maxLooseBytes = 16 << 20

func newQueue(limit int) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1)}
}

func (q *queue) notify() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// push takes a message in, and says how many others had to go for it; slow is not
// 0 when the client is too slow from now on.
func (q *queue) push(sub *subscription, m *message) (dropped int, slow uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over || sub.gone {
		return 0, 0
	}
	size := len(m.event.Data)
	for q.loose.len() >= q.limit || q.loose.len() > 0 && q.bytes+size > maxLooseBytes {
		q.bytes -= len(q.loose.pop().msg.event.Data)
		dropped++
	}
	if dropped > 0 && q.slow == 0 {
		q.times++
		q.slow = q.times
		slow = q.slow
	}
	q.bytes += size
	q.order++
	q.loose.push(item{order: q.order, sub: sub, msg: m})
	q.notify()
	return dropped, slow
}

// keep takes in what must not be lost, when there is room for it.
func (q *queue) keep(ctx context.Context, i item) error {
	for {
		q.mu.Lock()
		if q.over || i.sub != nil && i.sub.gone {
			q.mu.Unlock()
			return context.Canceled
		}
		if q.kept.len() < q.limit {
			q.add(i)
			q.mu.Unlock()
			return nil
		}
		if q.room == nil {
			q.room = make(chan struct{})
		}
		room := q.room
		q.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reply takes in a frame that a client's own has called for; false: it asks and
// does not read.
func (q *queue) reply(frame []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		return true
	}
	if q.kept.len() >= 2*q.limit {
		return false
	}
	q.add(item{frame: frame})
	return true
}

func (q *queue) add(i item) {
	q.order++
	i.order = q.order
	q.kept.push(i)
	q.notify()
}

// finish takes in the last frame, unless it is nil, and nothing more. Messages that
// still wait are dropped for it.
func (q *queue) finish(frame []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		return
	}
	q.loose, q.bytes = ring[item]{}, 0
	if frame != nil {
		q.add(item{frame: frame})
	}
	q.over = true
	q.free()
	q.notify()
}

// leave lets nothing more in of a subscription.
func (q *queue) leave(sub *subscription) {
	q.mu.Lock()
	defer q.mu.Unlock()
	sub.gone = true
	q.free()
}

// free wakes who waits for room.
func (q *queue) free() {
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

// tooSlow says whether the client has been too slow since push said so.
func (q *queue) tooSlow(since uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.slow == since
}

// take appends what is to be written next to items, of which there may be so many.
// last says that nothing will follow.
func (q *queue) take(items []item, most int) (_ []item, last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(items) < most {
		switch {
		case q.loose.len() > 0 && (q.kept.len() == 0 || q.loose.first().order < q.kept.first().order):
			i := q.loose.pop()
			q.bytes -= len(i.msg.event.Data)
			items = append(items, i)
			continue
		case q.kept.len() > 0:
			items = append(items, q.kept.pop())
			continue
		}
		break
	}
	if q.kept.len() < q.limit {
		q.free()
	}
	if q.loose.len() == 0 {
		q.slow = 0
	}
	return items, q.over && q.loose.len() == 0 && q.kept.len() == 0
}

// ring is a queue that keeps no memory when it is empty.
type ring[T any] struct {
	buf  []T
	head int
	n    int
}

// keptRing is how many places an empty ring keeps.
const keptRing = 16

func (r *ring[T]) len() int  { return r.n }
func (r *ring[T]) first() *T { return &r.buf[r.head] }

func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		grown := make([]T, max(4, 2*r.n))
		for i := range r.n {
			grown[i] = r.buf[(r.head+i)%len(r.buf)]
		}
		r.buf, r.head = grown, 0
	}
	r.buf[(r.head+r.n)%len(r.buf)] = v
	r.n++
}

// pop takes the first one; there must be one.
func (r *ring[T]) pop() T {
	var none T
	v := r.buf[r.head]
	r.buf[r.head] = none
	r.head = (r.head + 1) % len(r.buf)
	if r.n--; r.n == 0 && len(r.buf) > keptRing {
		*r = ring[T]{}
	}
	return v
}
