package series

import (
	"slices"
	"unsafe"
)

// A sliding window is a queue of samples that is made of two stacks, so that
// each of its aggregates is a merge and none is ever subtracted: error does not
// grow, and min and max need nothing else. A row is a sample's time, its values,
// and columns. The columns of a row of the front are those of all samples from
// it to the end of the front; back holds those of the samples behind the front.
// When the front is used up, the back becomes the front. All columns follow
// from the samples and the length of the front alone.
type slide struct {
	front  int // rows
	back   []uint64
	sorted [][]float64 // for percentiles, by plan.kept: values, smallest first
}

func (s *slide) size() int {
	size := int(unsafe.Sizeof(*s)) + 8*cap(s.back) + int(unsafe.Sizeof(s.sorted))*cap(s.sorted)
	for _, values := range s.sorted {
		size += 8 * cap(values)
	}
	return size
}

func (w *Window) newSlide() *slide {
	s := &slide{back: make([]uint64, w.words), sorted: make([][]float64, len(w.kept))}
	w.clear(s.back)
	return s
}

func (w *Window) addSliding(st *WindowState, sc *Scratch, at int64, emit Emit) bool {
	if st.sliding == nil {
		st.sliding = w.newSlide()
	}
	newest := st.watermark + w.spec.Lateness
	switch {
	case at < st.watermark || at <= newest-w.spec.Size:
		return false
	case at < newest:
		w.insertSample(st, sc, at)
		return true
	}
	st.watermark = at - w.spec.Lateness
	w.expire(st, at-w.spec.Size)
	w.pushSample(st, sc, at)
	w.room(sc)
	if st.sliding.front > 0 {
		w.merge(sc.merged, st.rows.row(0, w.width)[w.head:])
	}
	w.merge(sc.merged, st.sliding.back)
	w.tell(st, sc, at, st.rows.len(), 0, 0, emit)
	return true
}

// expire drops the samples that are not newer than limit.
func (w *Window) expire(st *WindowState, limit int64) {
	if st.rows.n > 0 && int64(st.rows.last(w.width)[0]) <= limit {
		w.empty(st)
		return
	}
	for st.rows.n > 0 && int64(st.rows.row(0, w.width)[0]) <= limit {
		w.popSample(st)
	}
}

func (w *Window) empty(st *WindowState) {
	s := st.sliding
	st.rows.clear()
	s.front = 0
	w.clear(s.back)
	for i := range s.sorted {
		s.sorted[i] = s.sorted[i][:0]
	}
}

func (w *Window) pushSample(st *WindowState, sc *Scratch, at int64) {
	if st.rows.len() == w.most {
		st.Dropped++
		w.popSample(st)
	}
	w.setSample(st.rows.push(w.width), sc, at)
	w.add(st.sliding.back, at, sc.values)
	w.rank(st, sc)
}

// insertSample puts a sample in its place among newer ones.
func (w *Window) insertSample(st *WindowState, sc *Scratch, at int64) {
	i := st.rows.place(at, w.width)
	if st.rows.len() == w.most {
		st.Dropped++
		if i == 0 {
			return
		}
		w.popSample(st)
		i--
	}
	w.setSample(st.rows.insert(i, w.width), sc, at)
	w.rank(st, sc)
	if i < st.sliding.front {
		st.sliding.front++
		w.stack(st, i)
		return
	}
	w.heap(st)
}

func (w *Window) setSample(row []uint64, sc *Scratch, at int64) {
	row[0] = uint64(at)
	copy(row[1:w.head], sc.values)
}

func (w *Window) popSample(st *WindowState) {
	s := st.sliding
	if s.front == 0 {
		s.front = st.rows.len()
		w.stack(st, s.front-1)
		w.clear(s.back)
	}
	row := st.rows.row(0, w.width)
	for j, field := range w.kept {
		if v := row[1+field]; v != nan {
			i, _ := slices.BinarySearch(s.sorted[j], float(v))
			s.sorted[j] = slices.Delete(s.sorted[j], i, i+1)
		}
	}
	st.rows.pop()
	s.front--
}

// rank adds the sample in the scratch to the sorted values.
func (w *Window) rank(st *WindowState, sc *Scratch) {
	s := st.sliding
	for j, field := range w.kept {
		if v := sc.values[field]; v != nan {
			i, _ := slices.BinarySearch(s.sorted[j], float(v))
			s.sorted[j] = slices.Insert(s.sorted[j], i, float(v))
		}
	}
}

// stack works out the columns of the front's rows i and before.
func (w *Window) stack(st *WindowState, i int) {
	for ; i >= 0; i-- {
		row := st.rows.row(i, w.width)
		w.clear(row[w.head:])
		w.add(row[w.head:], int64(row[0]), row[1:w.head])
		if i+1 < st.sliding.front {
			w.merge(row[w.head:], st.rows.row(i+1, w.width)[w.head:])
		}
	}
}

// heap works out the columns of the back.
func (w *Window) heap(st *WindowState) {
	w.clear(st.sliding.back)
	for i := st.sliding.front; i < st.rows.len(); i++ {
		row := st.rows.row(i, w.width)
		w.add(st.sliding.back, int64(row[0]), row[1:w.head])
	}
}
