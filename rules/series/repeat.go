package series

import (
	"fmt"
	"unsafe"
)

// MaxRepeat bounds the count of a repetition.
const MaxRepeat = 10_000

// RepeatSpec says when a condition has been true often enough: on Count samples
// in a row, or on Count of any samples. With Within only those in
// (at-Within, at] count; without Consecutive it is needed. Count is 1 to
// MaxRepeat.
type RepeatSpec struct {
	Count       int
	Within      int64
	Consecutive bool
}

// RepeatState is what it remembers.
type RepeatState struct {
	newest int64
	times  *rows // with Within: of the newest true samples, at most Count of them
	run    int32 // without: true samples in a row, at most Count
	seen   bool
}

const timeWidth = 1

// Add takes a verdict and says whether Count is reached at the newest time. Of
// samples with one time only the first counts. Where they must be in a row, a
// sample that is not newer than the newest changes nothing; else an older one is
// counted in its place. Without Consecutive a false sample can still find Count
// reached.
func (s *RepeatSpec) Add(st *RepeatState, at int64, isTrue bool) (reached bool) {
	late := st.seen && at <= st.newest
	if !late {
		st.newest, st.seen = at, true
		s.forget(st)
	}
	switch {
	case late && s.Consecutive:
	case s.Consecutive && !isTrue:
		st.run = 0
		if st.times != nil {
			st.times.clear()
		}
	case !isTrue:
	case s.Within == 0:
		st.run = min(st.run+1, int32(s.Count))
	default:
		s.note(st, at)
	}
	return s.reached(st)
}

func (s *RepeatSpec) reached(st *RepeatState) bool {
	if s.Within == 0 {
		return int(st.run) >= s.Count
	}
	return st.times != nil && st.times.len() >= s.Count
}

// forget drops the times that are no longer within.
func (s *RepeatSpec) forget(st *RepeatState) {
	if st.times == nil {
		return
	}
	for st.times.n > 0 && int64(st.times.row(0, timeWidth)[0]) <= minus(st.newest, s.Within) {
		st.times.pop()
	}
}

// note remembers the time of a true sample.
func (s *RepeatSpec) note(st *RepeatState, at int64) {
	if at <= minus(st.newest, s.Within) {
		return
	}
	if st.times == nil {
		st.times = &rows{}
	}
	i := st.times.place(at, timeWidth)
	switch {
	case i > 0 && int64(st.times.row(i-1, timeWidth)[0]) == at:
		return
	case st.times.len() < s.Count:
	case i == 0:
		return
	default:
		st.times.pop()
		i--
	}
	st.times.insert(i, timeWidth)[0] = uint64(at)
}

// Append appends the state as JSON.
func (s *RepeatSpec) Append(st *RepeatState, b []byte) []byte {
	w := writer{text: b}
	if !st.seen {
		return w.close()
	}
	w.int(st.newest)
	w.int(int64(st.run))
	if st.times != nil {
		for i := range st.times.len() {
			w.int(minus(st.newest, int64(st.times.row(i, timeWidth)[0])))
		}
	}
	return w.close()
}

// Load reads what Append wrote. After an error the state is the zero one.
func (s *RepeatSpec) Load(st *RepeatState, text []byte) error {
	*st = RepeatState{}
	r := reader{rest: text}
	if r.empty() {
		return loadError(r.end())
	}
	in := RepeatState{newest: r.int(), run: int32(r.bounded(0, int64(s.Count))), seen: true}
	if s.Within > 0 && r.more() {
		in.times = &rows{}
		s.loadTimes(&in, &r)
	}
	err := r.close()
	if err == nil {
		*st = in
	}
	return loadError(err)
}

func (s *RepeatSpec) loadTimes(st *RepeatState, r *reader) {
	for most := s.Within - 1; r.more(); {
		age := r.bounded(0, most)
		if r.err == nil && st.times.len() == s.Count {
			r.fail(fmt.Errorf("want at most %d times", s.Count))
		}
		if r.err != nil {
			return
		}
		st.times.push(timeWidth)[0] = uint64(minus(st.newest, age))
		most = age - 1
	}
}

// Size is about how many bytes the state takes.
func (st *RepeatState) Size() int {
	size := int(unsafe.Sizeof(*st))
	if st.times != nil {
		size += int(unsafe.Sizeof(*st.times)) + st.times.size()
	}
	return size
}
