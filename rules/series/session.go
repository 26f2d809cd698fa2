package series

// A session is a row: the time of its first sample, the number of its samples,
// the time of its last one, and its columns. Several are open at once only
// within Lateness; they are in order of time and do not overlap.

func (w *Window) addSession(st *WindowState, sc *Scratch, at int64, emit Emit) bool {
	watermark := at - w.spec.Lateness
	w.closeSessions(st, sc, watermark, false, emit)
	st.watermark = max(st.watermark, watermark)
	row := w.session(st, at)
	if row == nil {
		return false
	}
	row[1]++
	w.add(row[w.head:], at, sc.values)
	w.keep(st, sc, at)
	return true
}

// session is the one that a sample at belongs to, made wide enough for it; nil
// when that is closed by now.
func (w *Window) session(st *WindowState, at int64) []uint64 {
	i := st.rows.place(at, w.width)
	if i > 0 {
		if row := st.rows.row(i-1, w.width); at <= int64(row[2]) || w.joins(int64(row[0]), int64(row[2]), at, at) {
			row[2] = uint64(max(int64(row[2]), at))
			w.joinNext(st, i-1)
			return row
		}
	}
	if i < st.rows.len() {
		row := st.rows.row(i, w.width)
		wider := [3]uint64{uint64(at), 0, row[2]}
		if w.joins(at, at, int64(row[0]), int64(row[2])) && !w.sessionOver(wider[:], st.watermark, false) {
			row[0] = uint64(at)
			return row
		}
	}
	own := [3]uint64{uint64(at), 0, uint64(at)}
	if w.sessionOver(own[:], st.watermark, false) {
		return nil
	}
	row := st.rows.insert(i, w.width)
	copy(row, own[:])
	w.clear(row[w.head:])
	return row
}

// joins says whether samples first..last and later ones from..to are one session.
func (w *Window) joins(first, last, from, to int64) bool {
	return from <= last+w.spec.Timeout && (w.spec.MaxDuration == 0 || to < first+w.spec.MaxDuration)
}

// joinNext makes session i and the next one a single one, if they have met.
func (w *Window) joinNext(st *WindowState, i int) {
	if i+1 == st.rows.len() {
		return
	}
	row, next := st.rows.row(i, w.width), st.rows.row(i+1, w.width)
	if !w.joins(int64(row[0]), int64(row[2]), int64(next[0]), int64(next[2])) {
		return
	}
	row[1] += next[1]
	row[2] = next[2]
	w.merge(row[w.head:], next[w.head:])
	st.rows.remove(i+1, w.width)
}

// sessionEnd is the last instant at which a session may take a sample or, when
// it runs into MaxDuration, the first at which it may not.
func (w *Window) sessionEnd(row []uint64) (end int64, byTimeout bool) {
	end = int64(row[2]) + w.spec.Timeout
	if w.spec.MaxDuration > 0 {
		if most := int64(row[0]) + w.spec.MaxDuration; most <= end {
			return most, false
		}
	}
	return end, true
}

// sessionOver says whether the watermark closes a session; a tick's must have
// passed its end.
func (w *Window) sessionOver(row []uint64, watermark int64, tick bool) bool {
	end, byTimeout := w.sessionEnd(row)
	return end < watermark || end == watermark && !byTimeout && !tick
}

func (w *Window) closeSessions(st *WindowState, sc *Scratch, watermark int64, tick bool, emit Emit) {
	for st.rows.n > 0 {
		row := st.rows.row(0, w.width)
		if !w.sessionOver(row, watermark, tick) {
			return
		}
		end, _ := w.sessionEnd(row)
		first, samples, last := int64(row[0]), int(row[1]), int64(row[2])
		w.room(sc)
		copy(sc.merged, row[w.head:])
		w.tell(st, sc, end, samples, first, last, emit)
		st.watermark = max(st.watermark, min(watermark, end+1))
		st.rows.pop()
		w.forget(st, last+1)
	}
}
