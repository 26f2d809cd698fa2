package series

import (
	"errors"
	"math"
	"slices"
)

// Append appends the state as JSON: watermark, origin, dropped, how many rows,
// the length of a sliding window's front, the rows, the kept rows. A row's time
// is written as what it is after that of the row before. What follows from
// these is left out.
func (w *Window) Append(st *WindowState, b []byte) []byte {
	out := writer{text: b}
	if !st.started {
		return out.close()
	}
	out.int(st.watermark)
	out.int(st.origin - st.watermark)
	out.int(int64(st.Dropped))
	out.int(int64(st.rows.n))
	if st.sliding != nil {
		out.int(int64(st.sliding.front))
	}
	before := st.watermark
	for i := range st.rows.len() {
		row := st.rows.row(i, w.width)
		out.int(int64(row[0]) - before)
		before = int64(row[0])
		w.writeRow(&out, row)
	}
	before = st.watermark
	for i := range st.kept.len() {
		row := st.kept.row(i, w.keptWidth())
		out.int(int64(row[0]) - before)
		before = int64(row[0])
		out.floats(row[1:])
	}
	return out.close()
}

func (w *Window) writeRow(out *writer, row []uint64) {
	if w.spec.Type == Sliding {
		out.floats(row[1:w.head])
		return
	}
	out.int(int64(row[1]))
	if w.spec.Type == Session {
		out.int(int64(row[2] - row[0]))
	}
	for _, c := range w.columns {
		cols := row[w.head+c.at : w.head+c.at+columnWidths[c.kind]]
		switch c.kind {
		case countColumn:
			out.int(int64(cols[0]))
		case firstColumn, lastColumn:
			out.int(int64(cols[0] - row[0]))
			out.floats(cols[1:])
		default:
			out.floats(cols)
		}
	}
}

// Load reads what Append wrote of the same window. After an error the state is
// the zero one.
func (w *Window) Load(st *WindowState, text []byte) error {
	*st = WindowState{}
	r := reader{rest: text}
	if r.empty() {
		return loadError(r.end())
	}
	in := WindowState{started: true}
	w.read(&in, &r)
	err := r.close()
	if err == nil {
		err = w.check(&in)
	}
	if err != nil {
		return loadError(err)
	}
	if w.spec.Type == Sliding {
		w.rebuild(&in)
	}
	*st = in
	return nil
}

func (w *Window) read(st *WindowState, r *reader) {
	st.watermark = r.bounded(-maxTime-MaxSpan, maxTime+MaxSpan)
	st.origin = st.watermark + r.int()
	st.Dropped = uint64(r.bounded(0, math.MaxInt64))
	n := r.bounded(0, math.MaxInt32)
	if w.spec.Type == Sliding {
		st.sliding = w.newSlide()
		st.sliding.front = int(r.bounded(0, n))
	}
	before := st.watermark
	for ; n > 0 && r.err == nil; n-- {
		row := st.rows.push(w.width)
		before += r.int()
		row[0] = uint64(before)
		w.readRow(r, row)
	}
	before = st.watermark
	for r.more() {
		if len(w.kept) == 0 || w.spec.Type == Sliding {
			r.fail(errState)
			return
		}
		row := st.kept.push(w.keptWidth())
		before += r.int()
		row[0] = uint64(before)
		r.floats(row[1:])
	}
}

func (w *Window) readRow(r *reader, row []uint64) {
	if w.spec.Type == Sliding {
		r.floats(row[1:w.head])
		return
	}
	row[1] = uint64(r.bounded(1, math.MaxInt64))
	if w.spec.Type == Session {
		row[2] = row[0] + uint64(r.bounded(0, math.MaxInt64))
	}
	for _, c := range w.columns {
		cols := row[w.head+c.at : w.head+c.at+columnWidths[c.kind]]
		switch c.kind {
		case countColumn:
			cols[0] = uint64(r.bounded(0, math.MaxInt64))
		case firstColumn, lastColumn:
			cols[0] = row[0] + uint64(r.int())
			r.floats(cols[1:])
		default:
			r.floats(cols)
		}
	}
}

func (w *writer) floats(words []uint64) {
	for _, v := range words {
		w.float(float(v))
	}
}

func (r *reader) floats(words []uint64) {
	for i := range words {
		words[i] = word(r.float())
	}
}

// errState is about a state that the window cannot have: another window wrote
// it, or nobody.
var errState = errors.New("want the state of this window")

// check says whether the window can be in the state that was read.
func (w *Window) check(st *WindowState) error {
	if !inOrder(&st.rows, w.width) || !inOrder(&st.kept, w.keptWidth()) ||
		st.kept.n > MaxKept || st.origin < -maxTime || st.origin > maxTime {
		return errState
	}
	ok := true
	switch w.spec.Type {
	case Tumbling, Hopping:
		ok = w.checkPanes(st)
	case Session:
		ok = w.checkSessions(st)
	case Sliding:
		ok = w.checkSliding(st)
	case Count:
		ok = st.rows.n == 0 || st.rows.n == 1 && int64(st.rows.row(0, w.width)[1]) < int64(w.spec.Count)
	case Batch:
		ok = st.rows.n <= 1
	}
	if !ok {
		return errState
	}
	return nil
}

// inOrder says whether the times of rows are in order and in range; a pane can
// start before its first sample.
func inOrder(r *rows, width int) bool {
	before := int64(-maxTime - MaxSpan)
	for i := range r.len() {
		at := int64(r.row(i, width)[0])
		if at < before || at > maxTime {
			return false
		}
		before = at
	}
	return true
}

func (w *Window) checkPanes(st *WindowState) bool {
	for i := range st.rows.len() {
		at := int64(st.rows.row(i, w.width)[0])
		if w.spec.AlignFirst && at < st.origin || i > 0 && at == int64(st.rows.row(i-1, w.width)[0]) {
			return false
		}
		start := w.lastStart(st, at)
		end := start + w.spec.Size
		if at >= end || end <= st.watermark || w.paneStart(start, at) != at {
			return false
		}
	}
	return true
}

func (w *Window) checkSessions(st *WindowState) bool {
	for i := range st.rows.len() {
		row := st.rows.row(i, w.width)
		first, last := int64(row[0]), int64(row[2])
		if last < first || last > maxTime || w.sessionOver(row, st.watermark, true) {
			return false
		}
		if i > 0 && first <= int64(st.rows.row(i-1, w.width)[2]) {
			return false
		}
	}
	return true
}

func (w *Window) checkSliding(st *WindowState) bool {
	if st.rows.n == 0 || st.rows.len() > w.most {
		return false
	}
	oldest, newest := int64(st.rows.row(0, w.width)[0]), int64(st.rows.last(w.width)[0])
	if newest != st.watermark+w.spec.Lateness || oldest <= newest-w.spec.Size {
		return false
	}
	for i := range st.rows.len() {
		for _, v := range st.rows.row(i, w.width)[1:w.head] {
			if v != nan && !finite(float(v)) {
				return false
			}
		}
	}
	return true
}

// rebuild works out what follows from the samples of a sliding window.
func (w *Window) rebuild(st *WindowState) {
	w.stack(st, st.sliding.front-1)
	w.heap(st)
	for j, field := range w.kept {
		for i := range st.rows.len() {
			if v := st.rows.row(i, w.width)[1+field]; v != nan {
				st.sliding.sorted[j] = append(st.sliding.sorted[j], float(v))
			}
		}
		slices.Sort(st.sliding.sorted[j])
	}
}
