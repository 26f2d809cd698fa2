package series

// A tumbling or hopping window keeps panes: the samples between two instants at
// which any window starts or ends. There are at most two panes a Slide, whatever
// Size is, and each window is a whole number of them. A row is the start of a
// pane, the number of its samples, and its columns; a pane without samples has
// no row.

func (w *Window) addHopping(st *WindowState, sc *Scratch, at int64, emit Emit) bool {
	watermark := at - w.spec.Lateness
	w.closeHopping(st, sc, watermark, emit)
	st.watermark = max(st.watermark, watermark)
	if w.spec.AlignFirst && at < st.origin {
		return false
	}
	start := w.lastStart(st, at)
	if at >= start+w.spec.Size {
		return true // between two windows
	}
	if start+w.spec.Size <= st.watermark {
		return false
	}
	pane := w.pane(st, w.paneStart(start, at))
	pane[1]++
	w.add(pane[w.head:], at, sc.values)
	w.keep(st, sc, at)
	return true
}

// lastStart is the start of the last window that starts by at, which is not
// before the first one's.
func (w *Window) lastStart(st *WindowState, at int64) int64 {
	if w.spec.AlignFirst {
		return at - int64(uint64(at-st.origin)%uint64(w.spec.Slide))
	}
	past := at % w.spec.Slide
	if past < 0 {
		past += w.spec.Slide
	}
	return at - past
}

// paneStart is the start of the pane of at, where start is lastStart.
func (w *Window) paneStart(start, at int64) int64 {
	if ends := start + w.spec.Size%w.spec.Slide; at >= ends {
		return ends // where an earlier window ends, or start itself
	}
	return start
}

func (w *Window) pane(st *WindowState, start int64) []uint64 {
	i := st.rows.place(start, w.width)
	if i > 0 {
		if row := st.rows.row(i-1, w.width); int64(row[0]) == start {
			return row
		}
	}
	row := st.rows.insert(i, w.width)
	row[0], row[1] = uint64(start), 0
	w.clear(row[w.head:])
	return row
}

// nextStart is the start of the first open window that holds the oldest pane.
func (w *Window) nextStart(st *WindowState) int64 {
	pane := int64(st.rows.row(0, w.width)[0])
	last := w.lastStart(st, pane)
	start := last - (w.spec.Size-(pane-last)-1)/w.spec.Slide*w.spec.Slide
	if w.spec.AlignFirst {
		start = max(start, st.origin)
	}
	if end := start + w.spec.Size; end <= st.watermark {
		start += int64((uint64(st.watermark-end)/uint64(w.spec.Slide) + 1) * uint64(w.spec.Slide))
	}
	return start
}

// closeHopping tells of the windows that end by upTo, in the order of their ends.
func (w *Window) closeHopping(st *WindowState, sc *Scratch, upTo int64, emit Emit) {
	for st.rows.n > 0 {
		start := w.nextStart(st)
		end := start + w.spec.Size
		if end > upTo {
			return
		}
		w.tell(st, sc, end, w.mergePanes(st, sc, end), start, end-1, emit)
		st.watermark = end
		next := start + w.spec.Slide
		for st.rows.n > 0 && int64(st.rows.row(0, w.width)[0]) < next {
			st.rows.pop()
		}
		w.forget(st, next)
	}
}

// mergePanes merges the panes before end; those of closed windows are gone.
func (w *Window) mergePanes(st *WindowState, sc *Scratch, end int64) (samples int) {
	w.room(sc)
	for i := range st.rows.len() {
		pane := st.rows.row(i, w.width)
		if int64(pane[0]) >= end {
			break
		}
		samples += int(pane[1])
		w.merge(sc.merged, pane[w.head:])
	}
	return samples
}
