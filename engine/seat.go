package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/internal/pause"
)

// seat is a partition that the worker judges, with its places in the streams; or
// a shadow of one that another worker judges, which only tells of its twins.
type seat struct {
	*partition
	number int
	epoch  uint64
	fence  bus.Fence
	at     uint64   // the last message judged; the worker's goroutine alone has it
	read   bool     // the reader gives what comes after at; before, what comes is for who sat here last
	tail   bus.Mark // outcomes up to it are stored
	buried struct { // dead letters up to it are kept
		seq   uint64
		index uint32
	}
	target uint64        // the last message when it was taken
	gone   chan struct{} // closed when somebody else has fenced it

	judged, settled atomic.Uint64 // at, for others; settled: outcomes up to it are stored
	pending         atomic.Uint64 // messages that were still to come after the last one, of all that the reader's consumer gives
	saved           atomic.Uint64 // what the snapshot stands for
	savedAt         atomic.Int64  // Unix nanoseconds

	writing  sync.Mutex
	revision bus.Revision // under writing: of the snapshot
	left     bool         // under writing: the snapshot is somebody else's
}

// passed notes that a message has been judged, after which so many were still to
// come.
func (s *seat) passed(seq, pending uint64) {
	if seq > s.at {
		s.at = seq
		s.judged.Store(seq)
		s.pending.Store(pending)
	}
}

// fenced says whether somebody else has fenced it.
func (s *seat) fenced() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// caughtUp says whether it has judged what there was when it was taken.
func (s *seat) caughtUp() bool { return s.judged.Load() >= s.target }

// snapshotPoll is how often a worker looks whether the desk has written down a
// partition's first state.
const snapshotPoll = 20 * time.Millisecond

// holdPartition judges a partition for as long as its lease is held.
func (e *Engine) holdPartition(ctx context.Context, number int, l bus.Lease) {
	var s *seat
	err := retry(ctx, func(ctx context.Context) (err error) {
		if s, err = e.takeSeat(ctx, number, l.Epoch); errors.Is(err, bus.ErrFenced) {
			return nil
		}
		return err
	}, e.trouble)
	if err != nil || s == nil {
		return // given back, the lease is taken again with a greater epoch
	}
	w, from := e.worker, s.at+1
	if w.order(ctx, func(context.Context) error { w.attach(s); return nil }) == nil {
		e.seats.Store(number, s)
		e.log.Debug().Int("partition", number).Uint64("epoch", l.Epoch).Uint64("from", from).Msg("partition taken")
		select {
		case <-ctx.Done():
		case <-s.gone:
		}
	}
	lost := errors.Is(context.Cause(ctx), bus.ErrLeaseLost) || s.fenced()
	e.seats.Delete(number)
	e.leaveSeat(context.WithoutCancel(ctx), s, lost)
}

// takeSeat makes ready what the worker needs to judge a partition: from here on
// nobody else can store outcomes of it.
func (e *Engine) takeSeat(ctx context.Context, number int, epoch uint64) (*seat, error) {
	fence, err := e.bus.Fence(ctx, number, e.life, epoch)
	if err != nil {
		return nil, err
	}
	s := &seat{number: number, epoch: epoch, gone: make(chan struct{})}
	text, err := e.firstSnapshot(ctx, s)
	if err != nil {
		return nil, err
	}
	if s.tail, err = e.bus.Tail(ctx, number); err != nil {
		return nil, err
	}
	if s.buried.seq, s.buried.index, err = e.bus.LastBuried(ctx, number); err != nil {
		return nil, err
	}
	s.partition = e.worker.newPartition()
	s.created = e.adopt
	first, target, err := e.bus.PartitionState(ctx, number)
	if err != nil {
		return nil, err
	}
	s.at, s.target = max(first, 1)-1, target
	if text != nil {
		at, err := s.load(text)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", number, err)
		}
		if first > at+1 && target > at && s.at > at {
			e.log.Error().Int("partition", number).Uint64("snapshot", at).Uint64("first", first).Msg("the stream begins after the snapshot; samples between them are gone")
		}
		s.at = at
	}
	if err := e.notAhead(ctx, s); err != nil {
		return nil, err
	}
	s.fence = fence
	s.judged.Store(s.at)
	s.settled.Store(s.at)
	s.saved.Store(s.at)
	s.savedAt.Store(time.Now().UnixNano())
	return s, nil
}

// notAhead sees to it that nothing counts as judged that FEED does not have: a
// power cut can take the end of FEED and leave what was decided about it, and
// then new samples come under the same sequences.
func (e *Engine) notAhead(ctx context.Context, s *seat) error {
	state, err := e.bus.FeedState(ctx)
	if err != nil {
		return err
	}
	ahead := max(s.at, s.tail.Seq, s.buried.seq)
	if ahead <= state.Last {
		return nil
	}
	e.log.Error().Int("partition", s.number).Uint64("judged", ahead).Uint64("last", state.Last).Msg("the stream has lost its end; what was decided about it stays, what comes now is judged")
	s.at = min(s.at, state.Last)
	s.seq = min(s.seq, state.Last)
	if s.tail.Seq > state.Last {
		s.tail = bus.Mark{Seq: state.Last, Index: math.MaxUint32, Ordinal: math.MaxUint32, Count: 1}
	}
	if s.buried.seq > state.Last {
		s.buried.seq, s.buried.index = state.Last, math.MaxUint32
	}
	return nil
}

// firstSnapshot loads the snapshot and makes it ours.
func (e *Engine) firstSnapshot(ctx context.Context, s *seat) ([]byte, error) {
	text, revision, err := e.snapshotOf(ctx, s.number)
	if err == nil && text != nil {
		s.revision, err = e.bus.ClaimSnapshot(ctx, s.number, revision)
	}
	return text, err
}

// snapshotOf loads a partition's snapshot. Where there is none the desk is about
// to write down what everything begins with; unless the stream has control
// messages, which say it themselves.
func (e *Engine) snapshotOf(ctx context.Context, number int) ([]byte, bus.Revision, error) {
	for {
		state, err := e.bus.FeedState(ctx)
		if err != nil {
			return nil, 0, err
		}
		text, revision, err := e.bus.LoadSnapshot(ctx, number)
		if err != nil || text != nil || state.Controls {
			return text, revision, err
		}
		if err := pause.For(ctx, snapshotPoll); err != nil {
			return nil, 0, err
		}
	}
}

// leaveSeat gives a partition up. Unless it is lost already, what it remembers is
// written down for whoever takes it next.
func (e *Engine) leaveSeat(ctx context.Context, s *seat, lost bool) {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	w := e.worker
	var last state
	err := w.order(ctx, func(context.Context) (err error) {
		last, err = w.detach(ctx, s, lost)
		return err
	})
	if err == nil && last.seat != nil {
		err = last.save(ctx, e.bus)
	}
	s.writing.Lock()
	s.left = true
	s.writing.Unlock()
	if err != nil && !errors.Is(err, bus.ErrOvertaken) {
		e.trouble(fmt.Errorf("partition %d: leaving it: %w", s.number, err))
	}
	if lost || s.fenced() || errors.Is(err, bus.ErrOvertaken) {
		e.log.Warn().Int("partition", s.number).Uint64("epoch", s.epoch).Msg("fenced: another worker has taken the partition; what this one decided since is not stored")
		return
	}
	e.log.Debug().Int("partition", s.number).Uint64("judged", s.judged.Load()).Msg("partition left")
}

func (w *worker) newPartition() *partition {
	p := newPartition(w.compiler, w.engine.config.MaxSampleBytes)
	p.peers, p.decode = w.peers, w.engine.decodeTwin
	return p
}

// attach begins to judge a partition.
func (w *worker) attach(s *seat) {
	w.writer.Own(s.fence)
	w.sit(s.number, s)
}

// sit puts somebody, or nobody, at the partition's place.
func (w *worker) sit(number int, s *seat) {
	w.seats[number] = s
	w.peers.all[number] = nil
	if s != nil {
		w.peers.all[number] = s.partition
	}
	switch {
	case w.linked(): // what comes from others before the reader follows would be lost
		w.moved = atOnce
	case w.moved.IsZero():
		w.moved = time.Now()
	}
}

// detach ends it. What it gives is to be written down; unless the partition is
// lost, or was never attached.
func (w *worker) detach(ctx context.Context, s *seat, lost bool) (state, error) {
	if w.seats[s.number] != s {
		return state{}, nil
	}
	var last state
	var err error
	if !lost {
		if err = w.flush(ctx); err == nil && w.seats[s.number] == s {
			last, err = s.state()
		}
	}
	if w.seats[s.number] == s {
		w.collect()
		w.writer.Disown(s.number)
		w.sit(s.number, nil)
	}
	return last, err
}

// leaveLost gives up the partitions that somebody else has fenced.
func (w *worker) leaveLost() {
	for _, number := range w.writer.Lost() {
		s := w.seats[number]
		if s == nil || s.shadow {
			continue
		}
		w.writer.Disown(number)
		w.sit(number, nil)
		close(s.gone)
	}
}

// atOnce is a change that the reader must follow before the next message.
var atOnce = time.Unix(1, 0)

// readWhatIsHeld lets the reader follow the seats, when they have stopped moving.
func (w *worker) readWhatIsHeld(ctx context.Context) error {
	if w.moved.IsZero() || !w.moved.Equal(atOnce) && time.Since(w.moved) < gather && !w.complete() {
		return nil
	}
	err := retry(ctx, w.reread, w.engine.trouble)
	if err == nil {
		w.moved = time.Time{}
	}
	return err
}

// complete says whether all partitions are held.
func (w *worker) complete() bool {
	for _, s := range w.seats {
		if s == nil || s.shadow {
			return false
		}
	}
	return true
}

// linked says whether a rule that is judged here looks at several twins.
func (w *worker) linked() bool {
	for _, s := range w.seats {
		if s != nil && !s.shadow && s.linksTwins() {
			return true
		}
	}
	return false
}

func (w *worker) reread(ctx context.Context) error {
	linked, complete := w.linked(), w.complete()
	if err := w.watchOthers(ctx, linked && !complete); err != nil {
		return err
	}
	if complete || linked || w.held() > 0 && !w.bus.Partitioned() {
		w.whole = true
		clear(w.reading)
		err := w.reader.Whole(ctx, w.oldest()+1)
		for _, s := range w.seats {
			if s != nil {
				s.read = err == nil
			}
		}
		return err
	}
	if w.whole || w.held() == 0 {
		w.reader.Clear()
		w.whole = false
		clear(w.reading)
	}
	for number, s := range w.seats {
		switch was := w.reading[number]; {
		case s == was:
		case s == nil:
			w.reader.Remove(number)
			delete(w.reading, number)
		default:
			if err := w.reader.Add(ctx, number, s.at+1); err != nil {
				return err
			}
			w.reading[number], s.read = s, true
		}
	}
	return nil
}

func (w *worker) held() (n int) {
	for _, s := range w.seats {
		if s != nil && !s.shadow {
			n++
		}
	}
	return n
}

// oldest is the place up to which all seats have judged. What comes after it a
// seat may have judged already, but not heard of from others.
func (w *worker) oldest() uint64 {
	oldest := ^uint64(0)
	for _, s := range w.seats {
		if s != nil {
			s.seq = s.at
			oldest = min(oldest, s.at)
		}
	}
	return oldest
}

// watchOthers keeps, where rules look at several twins, shadows of the partitions
// that other workers judge: whose samples concern us hangs on what is known of
// those twins.
func (w *worker) watchOthers(ctx context.Context, wanted bool) error {
	for number, s := range w.seats {
		switch {
		case !wanted && s != nil && s.shadow:
			w.seats[number], w.peers.all[number] = nil, nil
		case wanted && s == nil:
			shadow, err := w.engine.shadow(ctx, number)
			if err != nil {
				return err
			}
			w.seats[number], w.peers.all[number] = shadow, shadow.partition
		}
	}
	return nil
}

// shadow loads a partition that another worker judges.
func (e *Engine) shadow(ctx context.Context, number int) (*seat, error) {
	text, _, err := e.snapshotOf(ctx, number)
	if err != nil {
		return nil, err
	}
	s := &seat{partition: e.worker.newPartition(), number: number}
	s.shadow = true
	if text == nil {
		return s, nil
	}
	s.at, err = s.load(text)
	return s, err
}

// Settled is up to which sequence of FEED this worker has judged a partition and
// stored what it decided; 0 where another one judges it.
func (e *Engine) Settled(partition int) uint64 {
	if s, ok := e.seats.Load(partition); ok {
		return s.(*seat).settled.Load()
	}
	return 0
}
