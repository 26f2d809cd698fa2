package bus

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"tocsin.internal/rules"
)

// The window: how often the server acknowledges, and how many outcomes may be on
// their way. Outcomes that are not acknowledged stay in memory.
const (
	flow        = 500 // the server acknowledges no rarer
	window      = 8 * flow
	windowBytes = 8 << 20
	ackPatient  = 2 * time.Second // without an acknowledgement, something is wrong
	pingEvery   = 3 * time.Second // the server forgets a batch of which it has heard nothing for ten
)

// fast is the Writer of CommitFast. It uses JetStream's fast-ingest publish
// (server ADR-50): messages of a batch that goes on until it is flushed, numbered
// in the reply subject, acknowledged every few hundred. The first message of each
// partition in a batch carries the expectation of its fence.
type fast struct {
	ledger
	inbox string
	reply []byte // scratch
	first uint64 // number in the batch of the first pending
	batch uint64 // of all batches

	sent  atomic.Uint64 // number of the last one sent; 0 = no batch is open
	acked atomic.Uint64 // all numbers up to it are stored
	over  atomic.Bool   // the server takes no more in this batch
	wake  chan struct{}
	ping  *time.Timer

	mu     sync.Mutex
	prefix string // of the reply subjects of this batch
	ending bool   // the server has been told that the batch ends
	why    error  // why the batch is over, if not because it was told to
}

// listen makes ready for the server's answers.
func (w *fast) listen() error {
	w.inbox, w.wake = nats.NewInbox(), make(chan struct{}, 1)
	w.begin()
	if _, err := w.nc.Subscribe(w.inbox+".>", w.answer); err != nil {
		return err
	}
	pinged := uint64(0)
	w.ping = time.AfterFunc(pingEvery, func() {
		if sent := w.sent.Load(); sent > 0 && sent == pinged {
			w.keepAlive(sent)
		}
		if pinged = w.sent.Load(); !w.nc.IsClosed() {
			w.ping.Reset(pingEvery)
		}
	})
	return nil
}

// keepAlive tells the server that a batch goes on of which so much was sent.
func (w *fast) keepAlive(sent uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent.Load() == sent && !w.ending {
		w.nc.PublishRequest(w.bus.root+endSubject, string(appendReply([]byte(w.prefix), sent, opPing)), nil) //nolint:errcheck // the next outcome finds out
	}
}

// Close implements Writer.
func (w *fast) Close() {
	w.ping.Stop()
	w.ledger.Close()
}

// The operations of the fast-ingest protocol, the last but one part of a reply subject.
const (
	opStart  = 0
	opAppend = 1
	opEnd    = 3
	opPing   = 4
)

// impossible is a number that no message of a batch has.
const impossible = 1 << 62

// appendBatch renders what the reply subjects of a batch have in common.
func appendBatch(b []byte, inbox, id string) []byte {
	b = append(b, inbox...)
	b = append(b, '.')
	b = append(b, id...)
	b = append(b, '.')
	b = strconv.AppendInt(b, flow, 10)
	return append(b, ".fail."...)
}

// appendReply renders what follows.
func appendReply(b []byte, number uint64, op int) []byte {
	b = strconv.AppendUint(b, number, 10)
	b = append(b, '.', '0'+byte(op))
	return append(b, ".$FI"...)
}

// Write implements Writer.
func (w *fast) Write(ctx context.Context, p int, o *rules.Outcome, m Mark) error {
	if w.broken || w.stale(p) {
		if err := w.mend(ctx, errStale); err != nil {
			return err
		}
	}
	if !w.parts[p].owned {
		return nil
	}
	switch err := w.send(w.add(p, o, m)); {
	case errors.Is(err, nats.ErrMaxPayload):
		return w.refuse()
	case err != nil:
		return w.mend(ctx, err)
	}
	w.reap(w.acked.Load())
	switch {
	case w.pending.bytes > windowBytes:
		return w.Flush(ctx) // the server counts messages, not bytes
	case w.pending.n > window || w.over.Load():
		return w.await(ctx, window)
	}
	return nil
}

// Flush implements Writer.
func (w *fast) Flush(ctx context.Context) error {
	for w.broken || w.sent.Load() > 0 {
		err := errAway // the last attempt to mend was given up
		if !w.broken {
			w.mu.Lock()
			w.ending = true
			w.mu.Unlock()
			err = w.nc.PublishRequest(w.bus.root+endSubject, w.replyTo(w.sent.Load()+1, opEnd), nil)
		}
		if err != nil {
			err = w.mend(ctx, err)
		} else {
			err = w.await(ctx, 0)
		}
		if err != nil {
			return err
		}
		if w.pending.n == 0 && w.over.Load() {
			w.begin()
		}
	}
	return nil
}

// replyTo renders a reply subject. It is good until the next one.
func (w *fast) replyTo(number uint64, op int) string {
	w.reply = appendReply(append(w.reply[:0], w.prefix...), number, op)
	return text(w.reply)
}

// send sends an outcome.
func (w *fast) send(m *outMessage) error {
	sent, op := w.sent.Load(), opAppend
	if sent == 0 {
		op = opStart
	}
	h := &w.parts[m.partition]
	if h.armed == w.batch {
		if err := w.nc.PublishRequest(text(m.subject), w.replyTo(sent+1, op), m.body); err != nil {
			return err
		}
	} else {
		first := nats.Msg{Subject: text(m.subject), Reply: w.replyTo(sent+1, op), Data: m.body, Header: nats.Header{}}
		h.expect(w.bus.root, first.Header)
		if err := w.nc.PublishMsg(&first); err != nil {
			return err
		}
		h.armed = w.batch
	}
	w.sent.Store(sent + 1)
	return nil
}

// begin makes ready for another batch.
func (w *fast) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batch++
	inbox := w.inbox + "." + strconv.FormatUint(w.batch, 10)
	w.prefix = string(appendBatch(nil, inbox, batchID(w.id, w.life)))
	w.sent.Store(0)
	w.acked.Store(0)
	w.over.Store(false)
	w.first, w.why, w.ending = 1, nil, false
}

// mend gets the writer going again.
func (w *fast) mend(ctx context.Context, err error) error {
	w.mu.Lock()
	w.ending = true // no more pings
	w.mu.Unlock()
	return w.ledger.mend(ctx, err, func() error {
		w.begin()
		for i := range w.pending.n {
			if err := w.send(w.pending.at(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// answer takes what the server says of the batch.
func (w *fast) answer(m *nats.Msg) {
	a, err := readAnswer(m)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !strings.HasPrefix(m.Subject, w.prefix) {
		return // of an earlier batch
	}
	switch {
	case w.over.Load():
		// Why it ended has been said; what comes now follows from it.
	case err != nil:
		w.end(err)
	case a.Error != nil:
		w.end(writeError(a.Error))
	case a.Type == "gap":
		w.why = errors.New("messages were lost on their way")
	case a.Type == "ack":
		w.acked.Store(max(w.acked.Load(), a.Seq))
	case a.Type == "":
		w.acked.Store(max(w.acked.Load(), a.Count))
		w.end(w.why)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *fast) end(why error) {
	w.why = why
	w.over.Store(true)
}

// await waits until at most n outcomes are on their way, or, for n = 0, until
// the batch has ended; it mends what breaks meanwhile.
func (w *fast) await(ctx context.Context, n int) error {
	var patience *time.Timer
	for last := uint64(0); ; {
		over, acked := w.over.Load(), w.acked.Load()
		w.reap(acked)
		switch {
		case over && (w.pending.n > 0 || n > 0):
			return w.mend(ctx, w.reason())
		case over, n > 0 && w.pending.n <= n, w.sent.Load() == 0:
			return nil
		}
		if patience == nil {
			patience = time.NewTimer(ackPatient)
			defer patience.Stop()
		} else if acked > last {
			patience.Reset(ackPatient)
		}
		last = acked
		select {
		case <-w.wake:
		case <-patience.C:
			return w.mend(ctx, errUnanswered)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reason is why the batch is over.
func (w *fast) reason() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why == nil {
		return errors.New("the batch ended early")
	}
	return w.why
}

// reap forgets what is stored.
func (w *fast) reap(acked uint64) {
	if acked < w.first {
		return
	}
	n := min(acked-w.first+1, uint64(w.pending.n))
	w.pending.drop(int(n))
	w.first += n
}
