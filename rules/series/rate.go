package series

import (
	"fmt"
	"math"
	"time"
	"unsafe"
)

// RateMode says in which terms a rate is told.
type RateMode string

// The modes of a rate.
const (
	PerUnit RateMode = "perUnit" // by how much a unit of time, the default
	Delta   RateMode = "delta"   // by how much
	Percent RateMode = "percent" // by how much of the earlier value
)

// MaxRatePairs bounds what a rate over a window remembers. Beyond it the oldest
// pair goes and is counted, so the rate is over less than the window.
const MaxRatePairs = 10_000

// RateSpec says how fast a number changes: since the previous value or, with a
// Window, since the oldest value that is not older than Window.
type RateSpec struct {
	Per         int64 // the unit of time of PerUnit; 0: a second
	Window      int64
	Mode        RateMode
	NonNegative bool // the number is a counter: a drop is a reset, not a rate
}

// RateState is what a rate remembers.
type RateState struct {
	at      int64 // of the newest value
	v       float64
	past    *rows  // with a Window: time and value, the newest one included
	Resets  uint32 // counters that started anew
	Dropped uint32 // values that a window had no room for
	seen    bool
}

const pairWidth = 2

// Add takes a value and says the rate at its time. There is none (ok is false)
// for the first value, for one that is not newer than the newest, after a
// counter's reset, for a percentage of 0, where the rate is not finite, and
// where a Window holds no earlier value.
func (s *RateSpec) Add(st *RateState, at int64, v float64) (rate float64, ok bool) {
	if !finite(v) || st.seen && at <= st.at {
		return 0, false
	}
	known := st.seen
	if known && s.NonNegative && v < st.v {
		st.Resets++
		known = false
		if st.past != nil {
			st.past.clear()
		}
	}
	fromAt, from := st.at, st.v
	if s.Window > 0 {
		fromAt, from, known = st.slide(at, v, s.Window)
	}
	st.at, st.v, st.seen = at, v, true
	if !known {
		return 0, false
	}
	rate = s.between(minus(at, fromAt), from, v)
	return rate, finite(rate)
}

// slide moves the window and says its oldest pair, if there is one besides the
// new one.
func (st *RateState) slide(at int64, v float64, window int64) (fromAt int64, from float64, ok bool) {
	if st.past == nil {
		st.past = &rows{}
	}
	past := st.past
	for past.n > 0 && int64(past.row(0, pairWidth)[0]) < minus(at, window) {
		past.pop()
	}
	if past.n == MaxRatePairs {
		past.pop()
		st.Dropped++
	}
	pair := past.push(pairWidth)
	pair[0], pair[1] = uint64(at), math.Float64bits(v)
	pair = past.row(0, pairWidth)
	return int64(pair[0]), math.Float64frombits(pair[1]), past.n > 1
}

func (s *RateSpec) between(dt int64, from, to float64) float64 {
	switch s.Mode {
	case Delta:
		return to - from
	case Percent:
		return 100 * (to - from) / math.Abs(from)
	}
	per := s.Per
	if per == 0 {
		per = int64(time.Second)
	}
	return (to - from) / float64(dt) * float64(per)
}

// Append appends the state as JSON.
func (s *RateSpec) Append(st *RateState, b []byte) []byte {
	w := writer{text: b}
	if !st.seen {
		return w.close()
	}
	w.int(st.at)
	w.float(st.v)
	w.int(int64(st.Resets))
	w.int(int64(st.Dropped))
	if st.past != nil {
		for i := range st.past.len() - 1 {
			pair := st.past.row(i, pairWidth)
			w.int(minus(st.at, int64(pair[0])))
			w.float(math.Float64frombits(pair[1]))
		}
	}
	return w.close()
}

// Load reads what Append wrote. After an error the state is the zero one.
func (s *RateSpec) Load(st *RateState, text []byte) error {
	*st = RateState{}
	r := reader{rest: text}
	if r.empty() {
		return loadError(r.end())
	}
	in := RateState{at: r.int(), v: r.finite(), seen: true}
	in.Resets = uint32(r.bounded(0, math.MaxUint32))
	in.Dropped = uint32(r.bounded(0, math.MaxUint32))
	if s.Window > 0 {
		in.past = &rows{}
		s.loadPast(&in, &r)
	}
	err := r.close()
	if err == nil {
		*st = in
	}
	return loadError(err)
}

func (s *RateSpec) loadPast(st *RateState, r *reader) {
	most := s.Window
	for r.more() {
		age := r.bounded(1, most)
		most = age - 1
		if v := r.finite(); r.err == nil {
			pair := st.past.push(pairWidth)
			pair[0], pair[1] = uint64(minus(st.at, age)), math.Float64bits(v)
		}
		if st.past.n == MaxRatePairs {
			r.fail(fmt.Errorf("want less than %d values", MaxRatePairs))
		}
	}
	pair := st.past.push(pairWidth)
	pair[0], pair[1] = uint64(st.at), math.Float64bits(st.v)
}

// Size is about how many bytes the state takes.
func (st *RateState) Size() int {
	size := int(unsafe.Sizeof(*st))
	if st.past != nil {
		size += int(unsafe.Sizeof(*st.past)) + st.past.size()
	}
	return size
}
