package series

import "unsafe"

// UnchangedSpec says when a value stands still: when for For or longer it was
// within Tolerance of the first value of the run.
type UnchangedSpec struct {
	For       int64
	Tolerance float64 // for numbers; other values must be equal
}

// UnchangedState is what it remembers: the run of equal values.
type UnchangedState struct {
	first  Value
	since  int64
	newest int64
}

// Add takes a value. No value, and one that is older than the newest, change
// nothing.
func (s *UnchangedSpec) Add(st *UnchangedState, at int64, v Value) {
	if v.kind == noValue || st.first.kind != noValue && at < st.newest {
		return
	}
	st.newest = at
	if !v.within(st.first, s.Tolerance) {
		st.first, st.since = v, at
	}
}

// Stuck says whether by the time at the value has stood still for For.
func (s *UnchangedSpec) Stuck(st *UnchangedState, at int64) bool {
	return st.first.kind != noValue && minus(at, st.since) >= s.For
}

// Due is when the value will have stood still for For unless another one comes;
// 0 when there is none.
func (s *UnchangedSpec) Due(st *UnchangedState) int64 {
	if st.first.kind == noValue {
		return 0
	}
	return plus(st.since, s.For)
}

// Append appends the state as JSON.
func (s *UnchangedSpec) Append(st *UnchangedState, b []byte) []byte {
	w := writer{text: b}
	if st.first.kind != noValue {
		w.int(st.since)
		w.int(st.newest)
		w.scalar(st.first)
	}
	return w.close()
}

// Load reads what Append wrote. After an error the state is the zero one.
func (s *UnchangedSpec) Load(st *UnchangedState, text []byte) error {
	*st = UnchangedState{}
	r := reader{rest: text}
	if r.empty() {
		return loadError(r.end())
	}
	in := UnchangedState{since: r.int(), newest: r.int(), first: r.scalar()}
	err := r.close()
	if err == nil {
		*st = in
	}
	return loadError(err)
}

// Size is how many bytes the state takes.
func (st *UnchangedState) Size() int { return int(unsafe.Sizeof(*st)) }
