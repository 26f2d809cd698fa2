package series

import "math"

// A count or batch window is one row: the time of its first sample, the number
// of its samples, and its columns.

func (w *Window) addCounted(st *WindowState, sc *Scratch, at int64, emit Emit) bool {
	if at < st.watermark {
		return false
	}
	st.watermark = max(st.watermark, at-w.spec.Lateness)
	if st.rows.n == 0 {
		row := st.rows.push(w.width)
		row[0], row[1] = uint64(at), 0
		w.clear(row[w.head:])
	}
	row := st.rows.row(0, w.width)
	row[1]++
	w.add(row[w.head:], at, sc.values)
	w.keep(st, sc, at)
	if w.spec.Type == Count && int(row[1]) >= w.spec.Count {
		w.endCounted(st, sc, at, emit)
	}
	return true
}

func (w *Window) endCounted(st *WindowState, sc *Scratch, at int64, emit Emit) {
	row := st.rows.row(0, w.width)
	w.room(sc)
	copy(sc.merged, row[w.head:])
	w.tell(st, sc, at, int(row[1]), math.MinInt64, math.MaxInt64, emit)
	st.rows.clear()
	st.kept.clear()
}
