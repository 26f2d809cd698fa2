package series

import "unsafe"

// DuplicatesSpec finds values that are equal to the one before. A value opens a
// window of Window; equal ones that follow up to its end, that instant
// included, are duplicates. The first equal value after it opens the next
// window, and so does any other value at once.
type DuplicatesSpec struct {
	Window int64
}

// DuplicatesState is what it remembers: the previous value and its window.
type DuplicatesState struct {
	previous Value
	end      int64
	newest   int64
	told     bool // of an equal value in this window
}

// Add takes a value. It is a duplicate when it equals the previous one and the
// window is still open: who eliminates duplicates drops it. It is the first when
// it is the window's first that equals the previous one: who detects duplicates
// tells of it. An equal value after the end of a window is thus no duplicate, but
// it is the first of the next window. No value, and one that is older than the
// newest, are neither and change nothing.
func (s *DuplicatesSpec) Add(st *DuplicatesState, at int64, v Value) (duplicate, first bool) {
	if v.kind == noValue || st.previous.kind != noValue && at < st.newest {
		return false, false
	}
	st.newest = at
	equal := v == st.previous
	duplicate = equal && at <= st.end
	if !duplicate {
		st.previous, st.end, st.told = v, plus(at, s.Window), false
	}
	first = equal && !st.told
	st.told = st.told || equal
	return duplicate, first
}

// Append appends the state as JSON.
func (s *DuplicatesSpec) Append(st *DuplicatesState, b []byte) []byte {
	w := writer{text: b}
	if st.previous.kind != noValue {
		w.int(st.end)
		w.int(st.newest)
		w.bool(st.told)
		w.scalar(st.previous)
	}
	return w.close()
}

// Load reads what Append wrote. After an error the state is the zero one.
func (s *DuplicatesSpec) Load(st *DuplicatesState, text []byte) error {
	*st = DuplicatesState{}
	r := reader{rest: text}
	if r.empty() {
		return loadError(r.end())
	}
	in := DuplicatesState{end: r.int(), newest: r.int(), told: r.bool(), previous: r.scalar()}
	err := r.close()
	if err == nil {
		*st = in
	}
	return loadError(err)
}

// Size is how many bytes the state takes.
func (st *DuplicatesState) Size() int { return int(unsafe.Sizeof(*st)) }
