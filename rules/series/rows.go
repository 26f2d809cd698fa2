package series

// rows is a queue of rows of words, oldest first, in one buffer that grows by
// doubling. How wide a row is its owner knows, and says the same each time.
type rows struct {
	words   []uint64
	head, n int32 // in rows
	room    int32 // rows that the buffer has room for
}

func (r *rows) len() int { return int(r.n) }

func (r *rows) row(i, width int) []uint64 {
	at := int(r.head) + i
	if at >= int(r.room) {
		at -= int(r.room)
	}
	at *= width
	return r.words[at : at+width : at+width]
}

func (r *rows) last(width int) []uint64 { return r.row(int(r.n)-1, width) }

// push adds a row whose words are still to be set.
func (r *rows) push(width int) []uint64 {
	if r.n == r.room {
		r.grow(width)
	}
	r.n++
	return r.last(width)
}

// insert adds a row before row i, its words still to be set.
func (r *rows) insert(i, width int) []uint64 {
	r.push(width)
	for j := int(r.n) - 1; j > i; j-- {
		copy(r.row(j, width), r.row(j-1, width))
	}
	return r.row(i, width)
}

// remove takes row i out.
func (r *rows) remove(i, width int) {
	for ; i+1 < int(r.n); i++ {
		copy(r.row(i, width), r.row(i+1, width))
	}
	r.n--
}

// pop takes the oldest row out.
func (r *rows) pop() {
	r.head++
	r.n--
	if r.head == r.room {
		r.head = 0
	}
}

// clear takes all rows out and keeps the buffer.
func (r *rows) clear() { r.head, r.n = 0, 0 }

func (r *rows) grow(width int) {
	room := max(1, 2*r.room)
	words := make([]uint64, int(room)*width)
	for i := range int(r.n) {
		copy(words[i*width:], r.row(i, width))
	}
	r.words, r.head, r.room = words, 0, room
}

// place is where a row of time at goes: after all that are not newer. The first
// word of a row is its time.
func (r *rows) place(at int64, width int) int {
	i := int(r.n)
	for i > 0 && int64(r.row(i-1, width)[0]) > at {
		i--
	}
	return i
}

func (r *rows) size() int { return 8 * len(r.words) }
