package bus

// queue holds outcomes in their order. What leaves it leaves its memory behind.
type queue struct {
	ring  []outMessage // its length is a power of two
	head  int
	n     int
	bytes int // of the bodies
}

func (q *queue) at(i int) *outMessage { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

// push adds one, with the memory of one that was.
func (q *queue) push() *outMessage {
	if q.n == len(q.ring) {
		bigger := make([]outMessage, max(2*q.n, 64))
		for i := range q.n {
			bigger[i] = *q.at(i)
		}
		q.ring, q.head = bigger, 0
	}
	q.n++
	return q.at(q.n - 1)
}

// drop forgets the first n.
func (q *queue) drop(n int) {
	for i := range n {
		q.leave(q.at(i))
	}
	q.head = (q.head + n) & (len(q.ring) - 1)
	q.n -= n
}

// pop forgets the last one.
func (q *queue) pop() {
	q.leave(q.at(q.n - 1))
	q.n--
}

// keptBody is the memory that a body may leave behind.
const keptBody = 2 << 10

func (q *queue) leave(m *outMessage) {
	q.bytes -= len(m.body)
	if m.body = m.body[:0]; cap(m.body) > keptBody {
		m.body = nil
	}
}

// keep forgets those of which f does not say that they stay.
func (q *queue) keep(f func(*outMessage) bool) {
	n := 0
	for i := range q.n {
		if m := q.at(i); f(m) {
			to := q.at(n)
			*to, *m = *m, *to
			n++
		}
	}
	for q.n > n {
		q.pop()
	}
}
