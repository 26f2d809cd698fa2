package engine

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/twins"
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
)

// worker judges FEED, message by message, in its order. One goroutine runs it.
type worker struct {
	engine *Engine
	bus    *bus.Bus
	writer *bus.Writer
	parts  []*partition
	seq    uint64 // of the last message judged
	tail   bus.Mark
	buried struct {
		seq   uint64
		index uint32
	}
	target uint64 // the end of the stream when the worker began

	out     []rules.Outcome
	saved   uint64 // sequence of the last snapshot
	savedAt time.Time
	saving  chan struct{} // holds a token while a snapshot is being written
	counted time.Time     // when the counters were last copied
	busy    bool          // something else than a tick has come since the last snapshot
}

func (w *worker) run(ctx context.Context) error {
	reader, err := w.bus.Read(ctx, w.seq+1)
	if err != nil {
		return err
	}
	defer reader.Close()
	w.savedAt = time.Now()
	var batch []bus.Message
	for {
		w.caughtUp()
		batch, err = reader.Next(ctx, idle, batch)
		if err != nil {
			return w.stop(context.WithoutCancel(ctx))
		}
		if len(batch) == 0 {
			err = w.flush(ctx)
		}
		for i := 0; i < len(batch) && err == nil; i++ {
			err = w.message(ctx, &batch[i])
		}
		if err == nil {
			err = w.snapshotIfDue(ctx)
		}
		w.publishCounters()
		if err != nil && ctx.Err() != nil {
			return w.stop(context.WithoutCancel(ctx))
		}
		if err != nil {
			return err
		}
	}
}

// flush returns when all that has been decided is stored.
func (w *worker) flush(ctx context.Context) error {
	if err := w.writer.Flush(ctx); err != nil {
		return err
	}
	w.engine.stats.settled.Store(w.seq)
	return nil
}

// stop writes down how far the worker has come. What it does not manage is
// judged again after the next start, without a trace.
func (w *worker) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	if err := w.flush(ctx); err != nil {
		return fmt.Errorf("flushing outcomes: %w", err)
	}
	w.saving <- struct{}{} // waits for the one that is being written
	if w.seq == w.engine.stats.snapshot.Load() {
		return nil
	}
	states, err := w.states()
	if err != nil {
		return err
	}
	return w.save(ctx, states, w.seq)
}

// message judges one message. Outcomes that are stored already, because the
// worker judges again after a crash, are not sent again.
func (w *worker) message(ctx context.Context, m *bus.Message) error {
	p := w.parts[m.Partition]
	if m.Seq <= p.seq && (m.Kind > bus.ManySamples || !w.behind(m.Seq)) {
		w.seq = m.Seq
		return nil // its snapshot is newer than another partition's
	}
	var err error
	w.busy = w.busy || m.Kind != bus.Tick
	switch m.Kind {
	case bus.OneSample:
		s := rules.Sample{Twin: m.Twin, Feed: m.Feed, At: m.At, Data: m.Data, Seq: m.Seq, Hops: m.Hops}
		err = w.sample(ctx, p, &s, m.Stored)
	case bus.ManySamples:
		err = w.samples(ctx, p, m)
	case bus.Control:
		err = w.control(ctx, p, m)
	case bus.Tick:
		w.out = p.tick(m.At, m.Wall, m.Seq, w.out[:0])
		w.busy = w.busy || len(w.out) > 0
		err = w.write(ctx, m.Seq, 0)
	case bus.Unreadable:
		err = w.bury(ctx, bus.DeadLetter{Reason: m.Reason, Twin: m.Twin, Feed: m.Feed, Seq: m.Seq, Data: m.Data})
	}
	if err != nil {
		return err
	}
	w.seq = m.Seq
	return nil
}

// behind says whether a partition has not seen a message that another one has:
// it may have to hear of the sample.
func (w *worker) behind(seq uint64) bool {
	return slices.ContainsFunc(w.parts, func(p *partition) bool { return p.seq < seq && p.linksTwins() })
}

func (w *worker) samples(ctx context.Context, p *partition, m *bus.Message) error {
	index := uint32(0)
	for line := range bytes.Lines(m.Data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		s, err := sources.ParseLine(line, int(index)+1)
		s.Seq, s.Index = m.Seq, index
		if s.At.IsZero() {
			s.At = m.Stored
		}
		switch {
		case err != nil:
			err = w.bury(ctx, bus.DeadLetter{Reason: err.Error(), Seq: m.Seq, Index: index, Data: line})
		case w.bus.Partition(s.Twin) != m.Partition:
			err = w.bury(ctx, bus.DeadLetter{Reason: "in a batch of another partition", Twin: s.Twin, Feed: s.Feed, Seq: m.Seq, Index: index, Data: line})
		default:
			err = w.sample(ctx, p, &s, m.Stored)
		}
		if err != nil {
			return err
		}
		index++
	}
	return nil
}

func (w *worker) sample(ctx context.Context, p *partition, s *rules.Sample, stored time.Time) error {
	w.engine.stats.samples.Add(1)
	err := skewed(s.At, stored, w.engine.config.MaxSkew)
	if err == nil {
		w.out, err = p.judge(s, w.out[:0])
	}
	if at := s.At.UnixNano(); err == nil && at > w.engine.stats.newest.Load() {
		w.engine.stats.newest.Store(at)
	}
	if err != nil {
		return w.bury(ctx, bus.DeadLetter{Reason: dataReason(err), Twin: s.Twin, Feed: s.Feed, Seq: s.Seq, Index: s.Index, Data: s.Data})
	}
	return w.write(ctx, s.Seq, s.Index)
}

func (w *worker) control(ctx context.Context, p *partition, m *bus.Message) error {
	var err error
	w.out, err = p.apply(m.Data, event{m.Seq, m.Stored}, w.out[:0])
	if err != nil {
		w.engine.log.Error().Err(err).Int("partition", m.Partition).Uint64("seq", m.Seq).Msg("control message refused")
		return w.bury(ctx, bus.DeadLetter{Reason: err.Error(), Seq: m.Seq, Data: m.Data})
	}
	if len(p.fresh) > 0 {
		if err := retry(ctx, func(ctx context.Context) error { return w.prime(ctx, p, m) }, w.engine.trouble); err != nil {
			return err
		}
	}
	return w.write(ctx, m.Seq, 0)
}

func (w *worker) write(ctx context.Context, seq uint64, index uint32) error {
	for i := range w.out {
		mark := bus.Mark{Seq: seq, Index: index, Ordinal: uint32(i), Count: uint32(len(w.out))}
		if w.tail.Covers(mark) {
			continue
		}
		if err := w.writer.Write(ctx, &w.out[i], mark); err != nil {
			return err
		}
		w.engine.stats.count(&w.out[i])
	}
	return nil
}

// bury keeps a dead letter, and tries until the bus takes it.
func (w *worker) bury(ctx context.Context, l bus.DeadLetter) error {
	if l.Seq < w.buried.seq || l.Seq == w.buried.seq && l.Index <= w.buried.index {
		return nil
	}
	l.Stage = bus.StageFeed
	err := retry(ctx, func(ctx context.Context) error { return w.bus.Bury(ctx, l) }, w.engine.trouble)
	if err == nil {
		w.engine.stats.deadLetters.Add(1)
	}
	return err
}

// caughtUp tells the engine, once, that the partitions are what the stream says.
func (w *worker) caughtUp() {
	if w.target != noTarget && w.seq >= w.target {
		w.target = noTarget
		w.engine.caughtUp(w.parts)
	}
}

const noTarget = ^uint64(0)

func (w *worker) snapshotIfDue(ctx context.Context) error {
	if w.seq == w.engine.stats.snapshot.Load() {
		return nil
	}
	every := w.engine.config.SnapshotEvery
	if !w.busy {
		every *= idleSnapshots
	}
	due := time.Since(w.savedAt) >= every || w.seq-w.saved >= snapshotMessages
	if !due && !w.engine.full.CompareAndSwap(true, false) {
		return nil
	}
	select {
	case w.saving <- struct{}{}:
	default:
		if !due {
			w.engine.full.Store(true) // for the next time
		}
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
	seq := w.seq
	w.saved, w.savedAt, w.busy = seq, time.Now(), false
	w.engine.background(func(ctx context.Context) {
		defer func() { <-w.saving }()
		if err := w.save(ctx, states, seq); err != nil {
			w.engine.trouble(err)
			return
		}
		w.engine.wantRoom()
	})
	return nil
}

func (w *worker) states() ([][]byte, error) {
	states := make([][]byte, len(w.parts))
	for i, p := range w.parts {
		var err error
		if states[i], err = p.save(max(w.seq, p.seq)); err != nil {
			return nil, fmt.Errorf("partition %d: %w", i, err)
		}
	}
	return states, nil
}

func (w *worker) save(ctx context.Context, states [][]byte, seq uint64) error {
	for i, state := range states {
		if err := w.bus.SaveSnapshot(ctx, i, state); err != nil {
			return err
		}
	}
	w.engine.stats.snapshot.Store(seq)
	return nil
}

// publishCounters copies, once a second, what only the worker may read.
func (w *worker) publishCounters() {
	w.engine.stats.judged.Store(w.seq)
	if time.Since(w.counted) < time.Second {
		return
	}
	w.counted = time.Now()
	funnels := map[string]Funnels{}
	for _, p := range w.parts {
		for _, r := range p.programs {
			f := funnels[r.ID()]
			if f.Rules == nil {
				f = Funnels{Revision: r.Hash(), Names: r.Rules(), Rules: make([]rules.Funnel, len(r.Rules()))}
			}
			for i, counted := range r.counters.Funnels() {
				f.Rules[i].Add(counted)
			}
			funnels[r.ID()] = f
		}
	}
	w.engine.stats.funnels.Store(&funnels)
}

// recoverPartitions gives the partitions as the snapshots have them, and the
// sequence up to which they stand. A stream that has neither a snapshot nor a
// control message begins with what is configured now: that is its first state.
func (e *Engine) recoverPartitions(ctx context.Context, state bus.FeedState) ([]*partition, uint64, error) {
	c := newCompiler()
	parts := make([]*partition, e.bus.Partitions())
	together := &peers{parts, e.bus.Partition}
	first := max(state.First, 1) - 1
	seq, found := state.Last, 0
	for i := range parts {
		parts[i] = newPartition(c, e.config.MaxSampleBytes)
		parts[i].created = e.adopt
		parts[i].peers = together
		text, err := e.bus.LoadSnapshot(ctx, i)
		if err != nil {
			return nil, 0, err
		}
		at := first
		if text != nil {
			if at, err = parts[i].load(text); err != nil {
				return nil, 0, fmt.Errorf("partition %d: %w", i, err)
			}
			found++
		}
		seq = min(seq, at)
	}
	if found == len(parts) || state.Controls {
		if seq < first {
			e.log.Error().Uint64("snapshot", seq).Uint64("first", first+1).Msg("the stream begins after the snapshot; samples between them are gone")
		}
		return parts, seq, nil
	}
	return e.firstState(ctx, parts, first)
}

// firstState is written down before the first sample is judged.
func (e *Engine) firstState(ctx context.Context, parts []*partition, first uint64) ([]*partition, uint64, error) {
	for i, p := range parts {
		peers := p.peers
		*p = *newPartition(p.compiler, p.maxBytes)
		p.created, p.peers = e.adopt, peers
		p.unknown = e.unknown
		for _, program := range e.wanted() {
			p.putProgram(program, event{}, new([]rules.Outcome))
		}
		for t := range e.twins.All() {
			if e.bus.Partition(t.ID) == i {
				p.put(t, event{}, nil)
			} else if twins.IsModel(t) {
				p.putModel(t)
			}
		}
	}
	for i, p := range parts {
		text, err := p.save(first)
		if err != nil {
			return nil, 0, err
		}
		if err := e.bus.SaveSnapshot(ctx, i, text); err != nil {
			return nil, 0, err
		}
	}
	return parts, first, nil
}

// differences are the control messages that make the partitions what is wanted now.
func (e *Engine) differences(parts []*partition) []placed {
	var out []placed
	wanted := e.wanted()
	for i, p := range parts {
		for _, program := range wanted {
			if j, found := p.find(program.ID()); !found || p.programs[j].Hash() != program.Hash() {
				out = append(out, placed{i, putInteraction(program)})
			}
		}
		for _, r := range p.programs {
			if wanted[r.ID()] == nil {
				out = append(out, placed{i, control{Op: opInteractionDelete, ID: r.ID()}})
			}
		}
		if string(p.unknown.control().encode()) != string(e.unknown.control().encode()) {
			out = append(out, placed{i, e.unknown.control()})
		}
		for id := range p.models {
			if t, ok := e.twins.Get(id); !ok || !twins.IsModel(t) {
				out = append(out, placed{i, control{Op: opModelDelete, ID: id}})
			}
		}
		for id, m := range maps.All(p.twins) {
			t, ok := e.twins.Get(id)
			switch {
			case !ok && e.made(m):
				e.adopt(id)
			case !ok:
				out = append(out, placed{i, control{Op: opTwinDelete, ID: id}})
			case !t.Equal(m.twin):
				out = append(out, placed{i, putTwin(t)})
			}
		}
	}
	for t := range e.twins.All() {
		home := e.bus.Partition(t.ID)
		if parts[home].twins[t.ID] == nil {
			out = append(out, placed{home, putTwin(t)})
		}
		for i, p := range parts {
			if was := p.models[t.ID]; twins.IsModel(t) && i != home && (was == nil || !was.Equal(t)) {
				out = append(out, placed{i, putModel(t)})
			}
		}
	}
	return out
}

// placed is a control message and its partition.
type placed struct {
	partition int
	control   control
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
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
