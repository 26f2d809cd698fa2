package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"tocsin.internal/rules"
)

// The writer's window: how often the server acknowledges, and how many outcomes
// may be on their way. Outcomes that are not acknowledged stay in memory.
const (
	flow       = 250
	window     = 4 * flow
	ackPatient = 2 * time.Second // without an acknowledgement, something is wrong
)

// Writer stores outcomes in OUT in their order without a gap, by JetStream's
// fast-ingest publish (server ADR-50): messages of a batch that never ends,
// numbered in the reply subject, acknowledged every few hundred. Because there
// is no gap, the last outcome that is stored tells what has been decided and
// stored: it is the checkpoint. One goroutine may use a Writer.
type Writer struct {
	bus     *Bus
	nc      *nats.Conn
	trouble func(error) // told of what the writer is about to mend itself

	pending []outMessage // not acknowledged, in order; the first has number first
	spare   [][]byte     // memory of those that were
	first   uint64       // number in the batch of pending[0]
	sent    uint64       // number of the last one sent; 0 = no batch is open
	inbox   string       // of the batch
	sub     *nats.Subscription
	header  nats.Header
	cause   []byte // scratch

	mu    sync.Mutex
	acked uint64 // all numbers up to it are stored
	ended bool   // the server takes no more in this batch
	why   error  // why it ended, if not because it was told to
	wake  chan struct{}
}

type outMessage struct {
	mark    Mark
	kind    string
	hops    uint8
	subject string
	body    []byte
}

// NewWriter begins a writer. trouble is told when the bus cannot be written to;
// the writer itself tries until it can.
func (b *Bus) NewWriter(ctx context.Context, trouble func(error)) (*Writer, error) {
	nc, err := b.Dial(ctx)
	if err != nil {
		return nil, err
	}
	w := &Writer{bus: b, nc: nc, trouble: trouble, wake: make(chan struct{}, 1), first: 1}
	w.header = nats.Header{headerKind: []string{""}, headerCause: []string{""}}
	return w, nil
}

// Close gives up what has not been stored; Flush first.
func (w *Writer) Close() { w.nc.Close() }

// Write sends one outcome on its way. It blocks while too many are on their
// way, and while the bus is away; its error is that of ctx.
func (w *Writer) Write(ctx context.Context, o *rules.Outcome, m Mark) error {
	var body []byte
	if n := len(w.spare); n > 0 {
		body, w.spare = w.spare[n-1][:0], w.spare[:n-1]
	}
	w.pending = append(w.pending, outMessage{m, string(o.Kind), o.Hops, subject(o, w.bus.config.Partitions), o.AppendJSON(body)})
	if err := w.send(len(w.pending) - 1); err != nil {
		return w.mend(ctx, err)
	}
	return w.await(ctx, window)
}

// Flush ends the batch and returns nil when every outcome written is stored.
func (w *Writer) Flush(ctx context.Context) error {
	if len(w.pending) == 0 && w.sent == 0 {
		return nil
	}
	for {
		if w.sent == 0 && len(w.pending) > 0 { // the last attempt to mend was given up
			if err := w.mend(ctx, errAway); err != nil {
				return err
			}
			continue
		}
		if w.sent > 0 {
			if err := w.nc.PublishRequest(endSubject, w.reply(w.sent+1, opEnd), nil); err != nil {
				if err := w.mend(ctx, err); err != nil {
					return err
				}
				continue
			}
		}
		if err := w.await(ctx, 0); err != nil {
			return err
		}
		if len(w.pending) == 0 {
			w.forget()
			return nil
		}
	}
}

// The operations of the fast-ingest protocol, the last but one part of a reply subject.
const (
	opStart  = 0
	opAppend = 1
	opEnd    = 3
)

func (w *Writer) reply(number uint64, op int) string {
	b := make([]byte, 0, 96)
	b = append(b, w.inbox...)
	b = append(b, '.')
	b = strconv.AppendInt(b, flow, 10)
	b = append(b, ".fail."...)
	b = strconv.AppendUint(b, number, 10)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(op), 10)
	b = append(b, ".$FI"...)
	return string(b)
}

// send sends pending[i].
func (w *Writer) send(i int) error {
	op := opAppend
	if w.sent == 0 {
		if err := w.begin(); err != nil {
			return err
		}
		op = opStart
	}
	p := &w.pending[i]
	w.header[headerKind][0] = p.kind
	w.cause = appendCause(w.cause[:0], p.mark, p.hops)
	w.header[headerCause][0] = string(w.cause)
	m := nats.Msg{Subject: p.subject, Reply: w.reply(w.sent+1, op), Header: w.header, Data: p.body}
	if err := w.nc.PublishMsg(&m); err != nil {
		return err
	}
	w.sent++
	return nil
}

// begin opens a batch under a name of its own.
func (w *Writer) begin() error {
	inbox := nats.InboxPrefix + nuid.Next()
	sub, err := w.nc.Subscribe(inbox+".>", func(m *nats.Msg) { w.answer(inbox, m.Data) })
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.inbox, w.acked, w.ended, w.why = inbox, 0, false, nil
	w.mu.Unlock()
	w.sub, w.first = sub, 1
	return nil
}

func (w *Writer) forget() {
	if w.sub != nil {
		w.sub.Unsubscribe() //nolint:errcheck // the connection is gone, and with it the subscription
	}
	w.sub, w.sent, w.first = nil, 0, 1
}

// answer takes what the server says of a batch: an acknowledgement on the way,
// a gap (the end follows), or the end, which says how many it has stored.
func (w *Writer) answer(inbox string, data []byte) {
	var a struct {
		Type  string              `json:"type"`
		Seq   uint64              `json:"seq"`
		Count uint64              `json:"count"`
		Error *jetstream.APIError `json:"error"`
	}
	err := json.Unmarshal(data, &a)
	w.mu.Lock()
	defer w.mu.Unlock()
	if inbox != w.inbox {
		return
	}
	switch {
	case w.ended:
		// Why it ended has been said; what comes now follows from it.
	case err != nil:
		w.ended, w.why = true, fmt.Errorf("the answer %q is not understood: %w", bytes.TrimSpace(data), err)
	case a.Error != nil:
		w.ended, w.why = true, writeError(a.Error)
	case a.Type == "gap":
		w.why = errors.New("messages were lost on their way")
	case a.Type == "ack":
		w.acked = max(w.acked, a.Seq)
	case a.Type == "":
		w.acked, w.ended = max(w.acked, a.Count), true
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func writeError(e *jetstream.APIError) error {
	switch e.ErrorCode {
	case codeStoreFailed, codeNoResources, codeNoStorage, codeMemExceeded:
		return fmt.Errorf("%w: %s", ErrFull, e.Description)
	}
	return e
}

// await waits until at most n outcomes are on their way, or, for n = 0, until
// the batch has ended; it mends what breaks meanwhile.
func (w *Writer) await(ctx context.Context, n int) error {
	var patience *time.Timer
	for last := uint64(0); ; {
		w.mu.Lock()
		acked, ended, why := w.acked, w.ended, w.why
		w.mu.Unlock()
		w.reap(acked)
		switch {
		case ended && (len(w.pending) > 0 || n > 0):
			if why == nil {
				why = errors.New("the batch ended early")
			}
			return w.mend(ctx, why)
		case ended, n > 0 && len(w.pending) <= n, n == 0 && w.sent == 0:
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
			return w.mend(ctx, fmt.Errorf("no acknowledgement for %s", ackPatient))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reap forgets what is stored.
func (w *Writer) reap(acked uint64) {
	if w.sent == 0 || acked < w.first {
		return
	}
	n := int(min(acked-w.first+1, uint64(len(w.pending))))
	w.drop(n)
	w.first += uint64(n)
}

func (w *Writer) drop(n int) {
	for i := range n {
		if len(w.spare) < window {
			w.spare = append(w.spare, w.pending[i].body)
		}
	}
	w.pending = append(w.pending[:0], w.pending[n:]...)
}

// mend gets the writer going again after err: it lets the server finish with
// the old batch, looks which outcome is the last that was stored, and sends
// what comes after it in a new batch. It tries until ctx ends.
func (w *Writer) mend(ctx context.Context, err error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		if w.trouble != nil {
			w.trouble(fmt.Errorf("stream %s: %w", outStream, away(err)))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		if err = w.resume(ctx); err == nil {
			return nil
		}
	}
}

func (w *Writer) resume(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if w.sent > 0 {
		if err := w.settle(ctx); err != nil {
			return err
		}
	}
	tail, err := w.bus.Tail(ctx)
	if err != nil {
		return err
	}
	w.forget()
	n := 0
	for n < len(w.pending) && tail.Covers(w.pending[n].mark) {
		n++
	}
	w.drop(n)
	for i := range w.pending {
		if err := w.send(i); err != nil {
			return err
		}
	}
	return nil
}

// settle returns when nothing of the old batch is on its way any more: the
// server takes a connection's messages in order, so the answer to one more
// message of the batch, whatever it says, comes after all of them.
func (w *Writer) settle(ctx context.Context) error {
	inbox := nats.NewInbox()
	sub, err := w.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is gone, and with it the subscription
	// A plain publish that the stream must refuse: it expects an impossible sequence.
	m := nats.Msg{Subject: endSubject, Reply: inbox, Header: nats.Header{jetstream.ExpectedLastSeqHeader: []string{"18446744073709551614"}}}
	if err := w.nc.PublishMsg(&m); err != nil {
		return err
	}
	_, err = sub.NextMsgWithContext(ctx)
	return err
}

// Tail is the mark of the last outcome in OUT; the zero Mark when there is none.
func (b *Bus) Tail(ctx context.Context) (Mark, error) {
	m, err := b.out.GetLastMsgForSubject(ctx, ">")
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Mark{}, nil
	}
	if err != nil {
		return Mark{}, fmt.Errorf("stream %s: the last outcome: %w", outStream, err)
	}
	mark, _, err := parseCause(m.Header.Get(headerCause))
	if err != nil {
		return Mark{}, fmt.Errorf("stream %s: message %d: %w", outStream, m.Sequence, err)
	}
	return mark, nil
}
