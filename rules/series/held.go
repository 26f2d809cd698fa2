package series

// Held is what a window holds now, for people: the number of samples, and the
// time of the oldest, or of the start of its pane; 0, 0 when there are none.
func (w *Window) Held(st *WindowState) (samples int, oldest int64) {
	n := st.rows.len()
	if n == 0 {
		return 0, 0
	}
	oldest = int64(st.rows.row(0, w.width)[0])
	if w.spec.Type == Sliding {
		return n, oldest
	}
	for i := range n {
		samples += int(st.rows.row(i, w.width)[1])
	}
	return samples, oldest
}

// Counted is how many true samples count now, for people.
func (s *RepeatSpec) Counted(st *RepeatState) int {
	if s.Within == 0 {
		return int(st.run)
	}
	if st.times == nil {
		return 0
	}
	return st.times.len()
}

// Since is when the run of equal values began, for people; ok is false when
// there is none.
func (st *UnchangedState) Since() (since int64, ok bool) {
	return st.since, st.first.kind != noValue
}
