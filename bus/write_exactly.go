package bus

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/rules"
)

// What one atomic batch holds at most; the server takes no more than a thousand messages.
const (
	batchOutcomes     = 999
	batchOutcomeBytes = 1 << 20
)

// exactly is the Writer of CommitExactly. It uses JetStream's atomic batches
// (server ADR-50): messages are staged, and the last one has all of them stored,
// or none. While one batch is being committed the next one is staged, and it is
// committed as soon as the server has answered, with what it has got by then.
// The first message of each partition in a batch carries the expectation of its
// fence.
type exactly struct {
	ledger
	inbox   string
	numbers []string // of the messages of a batch, as text
	wake    chan struct{}

	mu         sync.Mutex
	batch      uint64 // the one that is being staged
	committing int    // so many of pending, from the first, are in the batch before
	staged     int    // so many after them are in the one that is being staged
	bytes      int    // of them
	why        error  // why the batch that was being committed is not stored
	header     nats.Header
}

// The headers of atomic batches.
const (
	headerBatchID     = "Nats-Batch-Id"
	headerBatchNumber = "Nats-Batch-Sequence"
	headerBatchCommit = "Nats-Batch-Commit"
)

// listen makes ready for the server's answers.
func (w *exactly) listen() error {
	w.inbox, w.wake, w.header = nats.NewInbox(), make(chan struct{}, 1), nats.Header{}
	w.numbers = make([]string, batchOutcomes+2)
	for i := range w.numbers {
		w.numbers[i] = strconv.Itoa(i)
	}
	w.begin()
	_, err := w.nc.Subscribe(w.inbox+".*", w.answer)
	return err
}

// begin makes ready for another batch.
func (w *exactly) begin() {
	w.batch++
	w.staged, w.bytes = 0, 0
	w.header[headerBatchID] = []string{batchID(w.id, w.life) + "-" + strconv.FormatUint(w.batch, 10)}
}

// reply is the subject of the answer to a batch.
func (w *exactly) reply(batch uint64) string {
	return w.inbox + "." + strconv.FormatUint(batch, 10)
}

// Write implements Writer.
func (w *exactly) Write(ctx context.Context, p int, o *rules.Outcome, m Mark) error {
	if w.stale(p) {
		if err := w.mend(ctx, errStale); err != nil {
			return err
		}
	}
	if err := w.await(ctx, w.room); err != nil {
		return err
	}
	if !w.parts[p].owned {
		return nil
	}
	err := w.write(p, o, m)
	if err == nil || errors.Is(err, ErrTooLarge) {
		return err
	}
	return w.mend(ctx, err)
}

func (w *exactly) write(p int, o *rules.Outcome, m Mark) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.stage(w.add(p, o, m), w.committing == 0)
	if errors.Is(err, nats.ErrMaxPayload) {
		return w.refuse()
	}
	return err
}

// stage sends a message of the batch. The last one has the batch stored.
func (w *exactly) stage(m *outMessage, last bool) error {
	h := &w.parts[m.partition]
	msg := nats.Msg{Subject: text(m.subject), Data: m.body, Header: w.header}
	w.header[headerBatchNumber] = w.numbers[w.staged+1 : w.staged+2]
	if h.armed != w.batch {
		h.expect(w.bus.root, w.header)
	}
	if last {
		w.header[headerBatchCommit] = []string{"1"}
		msg.Reply = w.reply(w.batch)
	}
	err := w.nc.PublishMsg(&msg)
	delete(w.header, headerBatchCommit)
	delete(w.header, jetstream.ExpectedLastSubjSeqHeader)
	delete(w.header, jetstream.ExpectedLastSubjSeqSubjHeader)
	if err != nil {
		return err
	}
	h.armed = w.batch
	w.staged++
	w.bytes += len(m.body)
	if last {
		w.committing = w.staged
		w.begin()
	}
	return nil
}

// room says whether the batch takes another message.
func (w *exactly) room() bool { return w.staged < batchOutcomes && w.bytes < batchOutcomeBytes }

// commit has the batch stored that has been staged.
func (w *exactly) commit() error {
	w.header[headerBatchNumber] = w.numbers[w.staged+1 : w.staged+2]
	w.header[headerBatchCommit] = []string{"eob"} // the message itself is none of it
	err := w.nc.PublishMsg(&nats.Msg{Subject: w.bus.root + endSubject, Reply: w.reply(w.batch), Header: w.header})
	delete(w.header, headerBatchCommit)
	if err == nil {
		w.committing = w.staged
		w.begin()
	}
	return err
}

// answer takes what the server says of the batch that is being committed, and
// commits the next one.
func (w *exactly) answer(m *nats.Msg) {
	a, err := readAnswer(m)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.committing == 0 || w.why != nil || m.Subject != w.reply(w.batch-1) {
		return // of one that was given up
	}
	switch {
	case err != nil:
	case a.Error != nil:
		err = writeError(a.Error)
	default:
		w.pending.drop(w.committing)
		if w.committing = 0; w.staged > 0 {
			err = w.commit()
		}
	}
	w.why = err
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Flush implements Writer.
func (w *exactly) Flush(ctx context.Context) error {
	return w.await(ctx, func() bool { return w.committing == 0 && !w.broken })
}

// await waits until done; it mends what breaks meanwhile.
func (w *exactly) await(ctx context.Context, done func() bool) error {
	var patience *time.Timer
	for last := uint64(0); ; {
		w.mu.Lock()
		why, ok, batch := w.why, done(), w.batch
		w.mu.Unlock()
		switch {
		case w.broken:
			why = errAway // the last attempt to mend was given up
		case why == nil && ok:
			return nil
		}
		if why != nil {
			if err := w.mend(ctx, why); err != nil {
				return err
			}
			continue
		}
		if patience == nil {
			patience = time.NewTimer(ackPatient)
			defer patience.Stop()
		} else if batch > last {
			patience.Reset(ackPatient)
		}
		last = batch
		select {
		case <-w.wake:
		case <-patience.C:
			patience.Reset(ackPatient)
			if err := w.mend(ctx, errUnanswered); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// mend gets the writer going again. Until it has, nothing that the server
// answers counts.
func (w *exactly) mend(ctx context.Context, err error) error {
	w.mu.Lock()
	w.committing = 0
	w.mu.Unlock()
	return w.ledger.mend(ctx, err, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.why = nil
		w.begin()
		err := w.stageAll()
		if err != nil {
			w.committing = 0
		}
		return err
	})
}

// stageAll sends everything that is pending, in two batches at most, as before.
func (w *exactly) stageAll() error {
	for i := range w.pending.n {
		if err := w.stage(w.pending.at(i), false); err != nil {
			return err
		}
		if more := i < w.pending.n-1; w.committing == 0 && !(more && w.room()) {
			if err := w.commit(); err != nil {
				return err
			}
		}
	}
	return nil
}
