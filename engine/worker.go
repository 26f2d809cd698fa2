package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/internal/pause"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

const (
	// idle is how long the worker waits for more before it asks the bus to
	// acknowledge what it wrote: short enough for a drain, long enough to cost nothing.
	idle = 200 * time.Millisecond
	// A snapshot is taken after Config.SnapshotEvery, or after so many messages.
	snapshotMessages = 300_000
	// Where only ticks came a snapshot has little to say; it is taken all the
	// same, because what it covers can be purged.
	idleSnapshots = 10
	// What a worker may take to write down where it is when it stops.
	stopPatience = 20 * time.Second
	// gather is how long the worker waits for more partitions before it reads
	// from other places: they come and go in numbers.
	gather = 15 * time.Millisecond
)

// worker judges the partitions that this engine holds, message by message, in
// their order. One goroutine runs it; those that hold the leases give it orders.
type worker struct {
	engine   *Engine
	bus      *bus.Bus
	writer   bus.Writer
	shadows  *bus.ShadowWriter
	reader   *bus.Reader
	compiler *compiler
	peers    *peers
	seats    []*seat // by partition; nil = neither judged nor watched
	orders   chan order

	whole   bool          // the reader reads all partitions
	reading map[int]*seat // else those that it reads, and for whom
	moved   time.Time     // since when seats have changed and the reader has not; zero = it has
	out     []rules.Outcome
	count   []uint32 // scratch: outcomes of a sample by partition

	judged   uint64 // messages since the last snapshot
	savedAt  time.Time
	counted  time.Time
	busy     bool          // something else than a tick has come since the last snapshot
	saving   chan struct{} // holds a token while a snapshot is being written
	snapshot bool          // asked for before its time
}

// order is what a goroutine that holds a lease asks of the worker.
type order struct {
	do   func(context.Context) error
	done chan error
}

func newWorker(e *Engine) *worker {
	n := e.bus.Partitions()
	w := &worker{
		engine: e, bus: e.bus, compiler: newCompiler(), seats: make([]*seat, n), orders: make(chan order, 2*n),
		reading: map[int]*seat{}, count: make([]uint32, n), saving: make(chan struct{}, 1), savedAt: time.Now(),
	}
	w.peers = &peers{make([]*partition, n), e.bus.Partition}
	return w
}

// order has f done between two messages, by the worker's goroutine. Its error is
// f's, or that of ctx, and then f may be done later.
func (w *worker) order(ctx context.Context, f func(context.Context) error) error {
	o := order{f, make(chan error, 1)}
	select {
	case w.orders <- o:
	case <-ctx.Done():
		return ctx.Err()
	}
	w.reader.Wake()
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run judges until ctx ends; by then others have taken the seats away.
func (w *worker) run(ctx context.Context) error {
	defer w.reader.Close()
	defer w.writer.Close()
	var batch []bus.Message
	for {
		w.obey(ctx)
		if err := w.readWhatIsHeld(ctx); err != nil {
			return stopped(ctx, err)
		}
		var err error
		if batch, err = w.reader.Next(ctx, w.patience(), batch); err != nil {
			return stopped(ctx, err)
		}
		if err = w.batch(ctx, batch); err != nil {
			return stopped(ctx, err)
		}
		if err = w.snapshotIfDue(ctx); err != nil {
			return stopped(ctx, err)
		}
		w.publishCounters()
	}
}

// stopped is no error: the worker was told to.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// obey carries out the orders that wait.
func (w *worker) obey(ctx context.Context) {
	for {
		select {
		case o := <-w.orders:
			o.done <- o.do(ctx)
		default:
			return
		}
	}
}

func (w *worker) patience() time.Duration {
	if w.moved.IsZero() {
		return idle
	}
	return gather
}

// batch judges what has come.
func (w *worker) batch(ctx context.Context, batch []bus.Message) error {
	if len(batch) == 0 {
		return w.flush(ctx)
	}
	began := w.engine.stats.begin()
	for i := range batch {
		if err := w.message(ctx, &batch[i]); err != nil {
			return err
		}
		if w.moved.Equal(atOnce) {
			batch = batch[:i+1] // what follows is read again, in the order of all partitions
			break
		}
	}
	last := &batch[len(batch)-1]
	if w.whole {
		w.passedAll(last)
	}
	w.engine.stats.end(began, last, w.whole)
	w.leaveLost()
	return nil
}

// passedAll says, where all is read in one order, that every seat has what came
// up to this: its state may hold samples of others, and it has no more of its own.
func (w *worker) passedAll(last *bus.Message) {
	for _, s := range w.seats {
		if s != nil && s.read {
			s.passed(last.Seq, last.Pending)
		}
	}
}

// flush returns when all that has been decided is stored.
func (w *worker) flush(ctx context.Context) error {
	if err := w.writer.Flush(ctx); err != nil {
		return err
	}
	if err := w.shadows.Flush(ctx); err != nil {
		return err
	}
	w.leaveLost()
	for _, s := range w.seats {
		if s != nil && !s.shadow {
			s.settled.Store(s.at)
		}
	}
	return nil
}

// message judges one message. Outcomes that are stored already, because the
// worker judges again after a crash, are not sent again.
func (w *worker) message(ctx context.Context, m *bus.Message) error {
	s := w.seats[m.Partition]
	if s == nil || !s.read {
		return nil
	}
	if m.Seq <= s.at && (m.Kind > bus.ManySamples || !w.behind(m.Seq)) {
		return nil // another partition's place is further back
	}
	var err error
	w.judged++
	w.busy = w.busy || m.Kind != bus.Tick
	switch m.Kind {
	case bus.OneSample:
		x := rules.Sample{Twin: m.Twin, Feed: m.Feed, At: m.At, Data: m.Data, Seq: m.Seq, Hops: m.Hops}
		err = w.sample(ctx, s, &x, m.Stored)
	case bus.ManySamples:
		err = w.samples(ctx, s, m)
	case bus.Control:
		err = w.control(ctx, s, m)
	case bus.Tick:
		if s.shadow {
			break
		}
		w.out = s.tick(m.At, m.Wall, m.Seq, w.out[:0])
		w.busy = w.busy || len(w.out) > 0
		err = w.write(ctx, s, m.Seq, 0)
	case bus.Unreadable:
		err = w.bury(ctx, s, bus.DeadLetter{Reason: m.Reason, Twin: m.Twin, Feed: m.Feed, Time: m.At, Seq: m.Seq, Data: m.Data})
	}
	if err != nil {
		return err
	}
	s.passed(m.Seq, m.Pending)
	return nil
}

// behind says whether a partition has not seen a message that another one has:
// it may have to hear of the sample.
func (w *worker) behind(seq uint64) bool {
	return slices.ContainsFunc(w.seats, func(s *seat) bool { return s != nil && s.at < seq && s.linksTwins() })
}

func (w *worker) samples(ctx context.Context, s *seat, m *bus.Message) error {
	index := uint32(0)
	for line := range bytes.Lines(m.Data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		x, err := sources.ParseLine(line, int(index)+1)
		x.Seq, x.Index = m.Seq, index
		if x.At.IsZero() {
			x.At = m.Stored
		}
		switch {
		case err != nil:
			err = w.bury(ctx, s, bus.DeadLetter{Reason: err.Error(), Seq: m.Seq, Index: index, Data: line})
		case w.bus.Partition(x.Twin) != m.Partition:
			err = w.bury(ctx, s, bus.DeadLetter{Reason: reasonOtherPartition, Twin: x.Twin, Feed: x.Feed, Time: x.At, Seq: m.Seq, Index: index, Data: line})
		default:
			err = w.sample(ctx, s, &x, m.Stored)
		}
		if err != nil {
			return err
		}
		index++
	}
	return nil
}

func (w *worker) sample(ctx context.Context, s *seat, x *rules.Sample, stored time.Time) error {
	err := skewed(x.At, stored, w.engine.config.MaxSkew)
	if err == nil {
		w.out, err = s.judge(x, w.out[:0])
	}
	if !s.shadow && x.Seq > s.at {
		w.engine.stats.samples.Add(1)
		if at := x.At.UnixNano(); err == nil && at > w.engine.stats.newest.Load() {
			w.engine.stats.newest.Store(at)
		}
	}
	if err != nil {
		return w.bury(ctx, s, bus.DeadLetter{Reason: dataReason(err), Twin: x.Twin, Feed: x.Feed, Time: x.At, Seq: x.Seq, Index: x.Index, Data: x.Data})
	}
	return w.write(ctx, s, x.Seq, x.Index)
}

func (w *worker) control(ctx context.Context, s *seat, m *bus.Message) error {
	linked := s.linksTwins()
	var err error
	w.out, err = s.apply(m.Data, event{m.Seq, m.Stored}, w.out[:0])
	if !s.shadow && s.linksTwins() != linked {
		w.moved = atOnce
	}
	if err != nil {
		w.engine.log.Error().Err(err).Int("partition", m.Partition).Uint64("seq", m.Seq).Msg("control message refused")
		return w.bury(ctx, s, bus.DeadLetter{Reason: err.Error(), Seq: m.Seq, Data: m.Data})
	}
	if s.shadow {
		s.fresh = nil // whoever judges it primes it
	}
	if len(s.fresh) > 0 {
		if err := retry(ctx, func(ctx context.Context) error { return w.prime(ctx, s.partition, m) }, w.engine.trouble); err != nil {
			return err
		}
	}
	return w.write(ctx, s, m.Seq, 0)
}

// write sends the outcomes of one sample on their way. Where rules look at
// several twins they may belong to several partitions; each counts its own, so
// that the marks are the same whoever else is judged beside it.
func (w *worker) write(ctx context.Context, s *seat, seq uint64, index uint32) error {
	if err := w.refuse(ctx, seq, index); err != nil {
		return err
	}
	if err := w.record(ctx, seq, index); err != nil {
		return err
	}
	if len(w.out) == 0 {
		return nil
	}
	if !s.linksTwins() {
		for i := range w.out {
			if err := w.writeOne(ctx, s, &w.out[i], bus.Mark{Seq: seq, Index: index, Ordinal: uint32(i), Count: uint32(len(w.out))}); err != nil {
				return err
			}
		}
		return nil
	}
	return w.writeApart(ctx, seq, index)
}

// record takes what shadow rules have decided out of what goes to OUT, where the
// marks count live outcomes alone, and records it.
func (w *worker) record(ctx context.Context, seq uint64, index uint32) error {
	found := false
	for i := range w.out {
		o := &w.out[i]
		if !o.Shadow {
			continue
		}
		found = true
		p := w.home(o)
		if s := w.seats[p]; s == nil || s.shadow {
			continue
		}
		o.Seq, o.Index, o.Ordinal, o.Count = seq, index, uint32(i), uint32(len(w.out))
		switch err := w.shadows.Write(ctx, p, o); {
		case errors.Is(err, bus.ErrTooLarge):
			w.engine.trouble(err)
		case err != nil:
			return err
		}
	}
	if found {
		w.out = slices.DeleteFunc(w.out, func(o rules.Outcome) bool { return o.Shadow })
	}
	return nil
}

func (w *worker) writeApart(ctx context.Context, seq uint64, index uint32) error {
	clear(w.count)
	for i := range w.out {
		w.count[w.home(&w.out[i])]++
	}
	ordinal := map[int]uint32{}
	for i := range w.out {
		p := w.home(&w.out[i])
		if s := w.seats[p]; s != nil && !s.shadow {
			if err := w.writeOne(ctx, s, &w.out[i], bus.Mark{Seq: seq, Index: index, Ordinal: ordinal[p], Count: w.count[p]}); err != nil {
				return err
			}
		}
		ordinal[p]++
	}
	return nil
}

// home is the partition to which an outcome belongs.
func (w *worker) home(o *rules.Outcome) int {
	if o.Source != "" {
		return w.bus.Partition(o.Source)
	}
	return w.bus.Partition(o.Twin)
}

func (w *worker) writeOne(ctx context.Context, s *seat, o *rules.Outcome, mark bus.Mark) error {
	if s.tail.Covers(mark) {
		return nil
	}
	switch err := w.writer.Write(ctx, s.number, o, mark); {
	case errors.Is(err, bus.ErrTooLarge):
		return w.bury(ctx, s, bus.DeadLetter{Reason: err.Error(), Twin: o.Twin, Feed: o.Feed, Time: o.At, Seq: mark.Seq, Index: mark.Index, Data: o.Data})
	case err != nil:
		return err
	}
	w.engine.stats.count(o)
	return nil
}

// bury keeps a dead letter, and tries until the bus takes it.
func (w *worker) bury(ctx context.Context, s *seat, l bus.DeadLetter) error {
	if s.shadow || l.Seq <= s.seq || l.Seq < s.buried.seq || l.Seq == s.buried.seq && l.Index <= s.buried.index {
		return nil
	}
	l.Stage, l.Partition = bus.StageFeed, s.number
	err := retry(ctx, func(ctx context.Context) error { return w.bus.Bury(ctx, l) }, w.engine.trouble)
	if err == nil {
		w.engine.stats.deadLetters.Add(1)
		w.engine.stats.buried(l.Stage, letterReason(l.Reason))
	}
	return err
}

// snapshotIfDue writes down the state of all partitions that are held.
func (w *worker) snapshotIfDue(ctx context.Context) error {
	if w.judged == 0 {
		return nil
	}
	every := w.engine.config.SnapshotEvery
	if !w.busy {
		every *= idleSnapshots
	}
	due := time.Since(w.savedAt) >= every || w.judged >= snapshotMessages
	w.snapshot = w.engine.full.Swap(false) || w.snapshot
	if !due && !w.snapshot {
		return nil
	}
	select {
	case w.saving <- struct{}{}:
	default:
		return nil // the last one is still being written
	}
	// A snapshot must not run ahead of the outcomes: it says that they are stored.
	if err := w.flush(ctx); err != nil {
		<-w.saving
		return err
	}
	states, err := w.states()
	if err != nil {
		<-w.saving
		return err
	}
	w.judged, w.savedAt, w.busy, w.snapshot = 0, time.Now(), false, false
	w.engine.background(func(ctx context.Context) {
		defer func() { <-w.saving }()
		for _, st := range states {
			if err := st.save(ctx, w.bus); err != nil && !errors.Is(err, bus.ErrOvertaken) && ctx.Err() == nil {
				w.engine.trouble(err)
			}
		}
		w.engine.wantRoom()
	})
	return nil
}

// state is what is written down of a seat.
type state struct {
	seat *seat
	seq  uint64
	text []byte
}

func (w *worker) states() ([]state, error) {
	var out []state
	for _, s := range w.seats {
		if s == nil || s.shadow {
			continue
		}
		st, err := s.state()
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

func (s *seat) state() (state, error) {
	text, err := s.save(s.at)
	if err != nil {
		return state{}, fmt.Errorf("partition %d: %w", s.number, err)
	}
	return state{s, s.at, text}, nil
}

// save writes the state down, in place of the seat's last one.
func (st state) save(ctx context.Context, b *bus.Bus) error {
	s := st.seat
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.left || st.seq < s.saved.Load() {
		return nil
	}
	r, err := b.SaveSnapshot(ctx, s.number, st.seq, st.text, s.revision)
	if err != nil {
		return err
	}
	s.revision = r
	s.saved.Store(st.seq)
	s.savedAt.Store(time.Now().UnixNano())
	return nil
}

// publishCounters collects, once a second, what only the worker may read.
func (w *worker) publishCounters() {
	if time.Since(w.counted) >= time.Second {
		w.counted = time.Now()
		w.collect()
	}
}

// collect takes what the rules have counted. What shadows count is not ours.
func (w *worker) collect() {
	var parts []*partition
	for _, s := range w.seats {
		switch {
		case s == nil:
		case s.shadow:
			s.retired = nil
		default:
			parts = append(parts, s.partition)
		}
	}
	w.engine.stats.rules.collect(parts)
}

// retry calls f until it succeeds or ctx ends, whose error it then gives.
func retry(ctx context.Context, f func(context.Context) error, trouble func(error)) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		trouble(err)
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
	}
}
