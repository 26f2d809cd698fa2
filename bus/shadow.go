package bus

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/internal/pause"
	"tocsin.internal/rules"
)

// The outcomes of shadow rules lie in a stream of their own, which no sink and no
// other stream reads, and they are no part of the order of OUT: its marks count
// live outcomes alone. They are written at least once, under an id by which the
// server and who reads them know one again.

const shadowToken = "shadow"

// shadowPending is how many of them are on their way at most.
const shadowPending = 1000

// ShadowWriter records outcomes of shadow rules. One goroutine may use it.
type ShadowWriter struct {
	bus     *Bus
	trouble func(error)
	pending []shadowMessage
}

type shadowMessage struct {
	message *nats.Msg
	future  jetstream.PubAckFuture // nil: it has not been sent
}

// NewShadowWriter begins a writer. Trouble is told when the bus cannot be written
// to; the writer itself tries until it can.
func (b *Bus) NewShadowWriter(trouble func(error)) *ShadowWriter {
	return &ShadowWriter{bus: b, trouble: trouble}
}

// Write sends an outcome of partition p on its way; it waits when there are many.
// Its error is that of ctx, or wraps ErrTooLarge: then this one is dropped.
func (w *ShadowWriter) Write(ctx context.Context, p int, o *rules.Outcome) error {
	m := nats.NewMsg(w.bus.shadowSubject(strconv.Itoa(p), o.Interaction, o.Rule, cmp.Or(o.Source, o.Twin)))
	m.Data = o.AppendJSON(nil)
	if n := w.bus.MaxMessage() - messageMargin; len(m.Data) > n {
		return fmt.Errorf("stream %s: %d bytes: %w", shadowStream, len(m.Data), ErrTooLarge)
	}
	m.Header.Set(headerMsgID, o.EventID())
	w.pending = append(w.pending, shadowMessage{message: m})
	w.send(&w.pending[len(w.pending)-1])
	if len(w.pending) < shadowPending {
		return nil
	}
	return w.Flush(ctx)
}

// messageMargin is what a message needs beside its body.
const messageMargin = 4 << 10

func (w *ShadowWriter) send(m *shadowMessage) {
	future, err := w.bus.js.PublishMsgAsync(m.message, jetstream.WithStallWait(publishTimeout))
	if err == nil {
		m.future = future
	}
}

// Flush returns nil when all that was written is stored. It tries until ctx ends,
// whose error it then gives.
func (w *ShadowWriter) Flush(ctx context.Context) error {
	for wait := 100 * time.Millisecond; len(w.pending) > 0; wait = min(2*wait, 2*time.Second) {
		err := w.await(ctx)
		if err == nil {
			break
		}
		w.trouble(fmt.Errorf("stream %s: %w", shadowStream, away(err)))
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
		for i := range w.pending {
			if w.pending[i].future == nil {
				w.send(&w.pending[i])
			}
		}
	}
	return nil
}

// await keeps what is not stored. The error is that of the last one of these.
func (w *ShadowWriter) await(ctx context.Context) (err error) {
	rest := w.pending[:0]
	for _, m := range w.pending {
		failed := errAway
		if m.future != nil {
			failed = await(ctx, []jetstream.PubAckFuture{m.future})
		}
		if failed != nil {
			m.future, err = nil, failed
			rest = append(rest, m)
		}
	}
	clear(w.pending[len(rest):])
	w.pending = rest
	return err
}

// shadowSubject is where the outcomes of a shadow rule of the twin go.
func (b *Bus) shadowSubject(p, interaction, rule, twin string) string {
	return string(addTokens([]byte(b.root+shadowToken+"."+p), interaction+":"+rule, twin))
}

// Shadows gives the outcomes of a shadow rule that are kept, the oldest first,
// each once. The error, if there is one, comes last.
func (b *Bus) Shadows(ctx context.Context, interaction, rule string) iter.Seq2[AlertEvent, error] {
	return func(yield func(AlertEvent, error) bool) {
		subject := b.root + shadowToken + ".*." + Token(interaction+":"+rule) + ".*"
		seen := map[string]bool{} // what was written again after the server had forgotten its id
		b.events(ctx, b.shadow, "", []string{subject}, 1, math.MaxUint64, func(e AlertEvent, err error) bool {
			if err == nil && e.Err == nil {
				id := e.Outcome.EventID()
				if seen[id] {
					return true
				}
				seen[id] = true
			}
			return yield(e, err)
		})
	}
}
