package series

import (
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// WindowType says which samples a window holds and when it is told of.
type WindowType string

// The types of windows.
const (
	Tumbling WindowType = "tumbling" // [start, start+Size), one after the other
	Hopping  WindowType = "hopping"  // [start, start+Size), one each Slide
	Sliding  WindowType = "sliding"  // (at-Size, at], told of at each sample
	Session  WindowType = "session"  // until more than Timeout passes without a sample, or MaxDuration since the first
	Count    WindowType = "count"    // each Count samples, as they come
	Batch    WindowType = "batch"    // until Close
)

// WindowTypes are all types of windows.
var WindowTypes = []WindowType{Tumbling, Hopping, Sliding, Session, Count, Batch}

// The bounds of windows.
const (
	// MaxSpan bounds every duration: four and a half years.
	MaxSpan = 1 << 57
	// MaxSteps bounds how often a Slide, or a session, goes into Size and Lateness.
	MaxSteps = 10_000
	// MaxSliding bounds the samples of a sliding window; the oldest go first.
	MaxSliding = 100_000
	// MaxKept bounds the samples whose values are kept for percentiles; the
	// oldest go first. A sliding window with a percentile holds no more of them.
	MaxKept = 10_000
	// MaxWidth bounds the fields and the aggregates of a window.
	MaxWidth = 1000
)

// maxTime bounds times, to the years 1697 to 2243: sums with durations then
// stay in range.
const maxTime = math.MaxInt64 - 4*MaxSpan

// WindowSpec is a window and what is told of it.
type WindowSpec struct {
	Type        WindowType
	Size        int64 // tumbling, hopping, sliding
	Slide       int64 // hopping
	Timeout     int64 // session
	MaxDuration int64 // session; 0: no limit
	Count       int   // count
	// AlignFirst lets windows start with the first sample and then each Slide,
	// rather than at multiples of Slide since 1970 in UTC.
	AlignFirst bool
	// MinSamples is how many samples a window must hold to be told of; at least 1.
	MinSamples int
	// Lateness is by how much the watermark stays behind the newest sample.
	Lateness   int64
	Fields     int // how many values a sample has
	Aggregates []Aggregate
}

// Emit takes what is told of a window: its end, the number of its samples, and
// a result for each aggregate, NaN where there is nothing to say. The results
// are valid during the call only.
type Emit func(end int64, samples int, results []float64)

// Window is a compiled WindowSpec. It does not change and may be shared.
type Window struct {
	spec WindowSpec
	plan
	head  int // words of a row before its columns
	width int // words of a row
	most  int // rows of a sliding window
}

// WindowState is what a window remembers of one twin. It belongs to the Window
// that filled it.
type WindowState struct {
	// Dropped counts the samples that [MaxSliding] and [MaxKept] had no room for.
	Dropped uint64

	watermark int64 // what it has passed is closed
	origin    int64 // the first sample's time
	rows      rows  // panes, sessions, samples of a sliding window, or what is counted
	kept      rows  // times and values for percentiles, but of a sliding window
	sliding   *slide
	started   bool
}

// Scratch is room to work in. It belongs to one worker and serves any window.
type Scratch struct {
	values  []uint64 // of the sample, by plan.fields
	merged  []uint64 // columns
	results []float64
	sorted  []float64
}

func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// NewWindow compiles a spec. An error says what is wrong with it.
func NewWindow(spec WindowSpec) (*Window, error) {
	if spec.Type == Tumbling {
		spec.Slide = spec.Size
	}
	if err := spec.check(); err != nil {
		return nil, fmt.Errorf("series: %w", err)
	}
	w := &Window{spec: spec, plan: newPlan(spec.Aggregates), head: 2}
	switch spec.Type {
	case Session:
		w.head = 3
	case Sliding:
		w.head = 1 + len(w.fields)
		w.most = MaxSliding
		if len(w.kept) > 0 {
			w.most = MaxKept
		}
	}
	w.width = w.head + w.words
	return w, nil
}

func (s *WindowSpec) check() error {
	if !slices.Contains(WindowTypes, s.Type) {
		return fmt.Errorf("no window type %q; want one of %v", s.Type, WindowTypes)
	}
	grid := s.Type == Tumbling || s.Type == Hopping
	spans := []struct {
		name  string
		v     int64
		least int64
	}{
		{"size", s.Size, least(grid || s.Type == Sliding)},
		{"slide", s.Slide, least(grid)},
		{"timeout", s.Timeout, least(s.Type == Session)},
		{"maxDuration", s.MaxDuration, 0},
		{"lateness", s.Lateness, 0},
		{"count", int64(s.Count), least(s.Type == Count)},
	}
	for _, span := range spans {
		if span.v < span.least || span.v > MaxSpan {
			return fmt.Errorf("%s %d; want %d to %d", span.name, span.v, span.least, int64(MaxSpan))
		}
	}
	if step, span := s.steps(); step > 0 && span/step > MaxSteps {
		return fmt.Errorf("%d ns goes into %d ns more than %d times", step, span, MaxSteps)
	}
	if s.Fields < 0 || s.Fields > MaxWidth || len(s.Aggregates) > MaxWidth {
		return fmt.Errorf("%d aggregates of %d fields; want at most %d", len(s.Aggregates), s.Fields, MaxWidth)
	}
	for i, a := range s.Aggregates {
		if err := a.check(s.Fields); err != nil {
			return fmt.Errorf("aggregate %d: %w", i, err)
		}
	}
	return nil
}

func least(required bool) int64 {
	if required {
		return 1
	}
	return 0
}

// steps is the least time between two windows and the time over which many can
// be open.
func (s *WindowSpec) steps() (step, span int64) {
	switch {
	case s.Type == Session && s.MaxDuration > 0:
		return min(s.Timeout, s.MaxDuration), s.Lateness
	case s.Type == Session:
		return s.Timeout, s.Lateness
	case s.Type == Tumbling || s.Type == Hopping:
		return s.Slide, max(s.Size, s.Lateness)
	}
	return 0, 0
}

// Add takes a sample: its time and its values by field, NaN for one that it does
// not have. Windows that its time closes are told of first. It is false for a
// sample that is late, all windows that could hold it being closed, and for a
// time that is not in the years 1697 to 2243.
func (w *Window) Add(st *WindowState, sc *Scratch, at int64, values []float64, emit Emit) bool {
	if at < -maxTime || at > maxTime {
		return false
	}
	w.gather(sc, values)
	if !st.started {
		st.started, st.watermark, st.origin = true, at-w.spec.Lateness, at
	}
	switch w.spec.Type {
	case Tumbling, Hopping:
		return w.addHopping(st, sc, at, emit)
	case Sliding:
		return w.addSliding(st, sc, at, emit)
	case Session:
		return w.addSession(st, sc, at, emit)
	}
	return w.addCounted(st, sc, at, emit)
}

// Advance says that it is now: windows of time (tumbling, hopping, session)
// close whose end and Lateness are past. Those that hold no sample stay as they
// are, so samples that come long after their time can still fill them.
func (w *Window) Advance(st *WindowState, sc *Scratch, now int64, emit Emit) {
	if st.rows.n == 0 {
		return
	}
	now = min(max(now, -maxTime), maxTime)
	switch w.spec.Type {
	case Tumbling, Hopping:
		w.closeHopping(st, sc, now-w.spec.Lateness-1, emit)
	case Session:
		w.closeSessions(st, sc, now-w.spec.Lateness, true, emit)
	}
	if st.rows.n == 0 {
		st.rows, st.kept = rows{}, rows{}
	}
}

// Close ends a batch at a time; to other windows it does nothing.
func (w *Window) Close(st *WindowState, sc *Scratch, at int64, emit Emit) {
	if w.spec.Type == Batch && st.rows.n > 0 {
		w.endCounted(st, sc, at, emit)
	}
}

// Due is a time such that Advance closes a window at any later one and none at
// it or before; 0 when nothing is open.
func (w *Window) Due(st *WindowState) int64 {
	if st.rows.n == 0 {
		return 0
	}
	switch w.spec.Type {
	case Tumbling, Hopping:
		return w.nextStart(st) + w.spec.Size + w.spec.Lateness
	case Session:
		end, _ := w.sessionEnd(st.rows.row(0, w.width))
		return end + w.spec.Lateness
	}
	return 0
}

// gather puts the values that the plan reads into the scratch, NaN for those
// that are missing or not finite.
func (w *Window) gather(sc *Scratch, values []float64) {
	sc.values = sized(sc.values, len(w.fields))
	for i, field := range w.fields {
		sc.values[i] = nan
		if field < len(values) && finite(values[field]) {
			sc.values[i] = word(values[field] + 0) // adding 0 makes -0 equal to 0
		}
	}
}

// room gives the scratch room for columns, and makes them those of no values.
func (w *Window) room(sc *Scratch) {
	sc.merged = sized(sc.merged, w.words)
	w.clear(sc.merged)
}

func (w *Window) keptWidth() int { return 1 + len(w.kept) }

// keep remembers the values of a sample for percentiles.
func (w *Window) keep(st *WindowState, sc *Scratch, at int64) {
	if len(w.kept) == 0 {
		return
	}
	i := st.kept.place(at, w.keptWidth())
	if st.kept.n == MaxKept {
		st.Dropped++
		if i == 0 {
			return
		}
		st.kept.pop()
		i--
	}
	row := st.kept.insert(i, w.keptWidth())
	row[0] = uint64(at)
	for j, field := range w.kept {
		row[1+j] = sc.values[field]
	}
}

// forget drops the kept values that are older than from.
func (w *Window) forget(st *WindowState, from int64) {
	for st.kept.n > 0 && int64(st.kept.row(0, w.keptWidth())[0]) < from {
		st.kept.pop()
	}
}

// tell emits a window: its columns are in the scratch, and what percentiles
// need is what was kept from..to.
func (w *Window) tell(st *WindowState, sc *Scratch, end int64, samples int, from, to int64, emit Emit) {
	if samples < max(1, w.spec.MinSamples) {
		return
	}
	sc.results = sized(sc.results, len(w.outputs))
	sorted, sortedOf := []float64(nil), -1
	for i := range w.outputs {
		o := &w.outputs[i]
		if o.op != OpPercentile {
			sc.results[i] = o.result(sc.merged, samples)
			continue
		}
		if o.a != sortedOf {
			sorted, sortedOf = w.sorted(st, sc, o.a, from, to), o.a
		}
		sc.results[i] = percentile(sorted, o.percentile)
	}
	emit(end, samples, sc.results)
}

// sorted are the values of a kept field, valid until the next call.
func (w *Window) sorted(st *WindowState, sc *Scratch, column int, from, to int64) []float64 {
	if st.sliding != nil {
		return st.sliding.sorted[column]
	}
	sc.sorted = sc.sorted[:0]
	for i := range st.kept.len() {
		row := st.kept.row(i, w.keptWidth())
		if at := int64(row[0]); at >= from && at <= to && row[1+column] != nan {
			sc.sorted = append(sc.sorted, float(row[1+column]))
		}
	}
	slices.Sort(sc.sorted)
	return sc.sorted
}

// Size is about how many bytes the state takes.
func (st *WindowState) Size() int {
	size := int(unsafe.Sizeof(*st)) + st.rows.size() + st.kept.size()
	if st.sliding != nil {
		size += st.sliding.size()
	}
	return size
}
