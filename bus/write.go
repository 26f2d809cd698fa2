package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/internal/pause"
	"tocsin.internal/rules"
)

// Commit says how outcomes are stored in OUT.
type Commit string

// The commits. Both store the outcomes of a partition once, in their order and
// without a gap, and refuse those of who is not its owner any more.
const (
	CommitFast    Commit = "fast"    // one after the other: the fastest on one replica
	CommitExactly Commit = "exactly" // in batches of which all is stored, or nothing: the fastest on more
)

// Writer stores outcomes in OUT, those of each partition in their order without
// a gap. So the last one of a partition that is stored tells what has been
// decided and stored: it is the partition's checkpoint. One goroutine may use a
// Writer.
type Writer interface {
	// Own says that outcomes of the fence's partition may be written from now on.
	// The fence is that of this writer's id.
	Own(f Fence)
	// Disown forgets what of a partition is not stored; Flush first to have it stored.
	Disown(p int)
	// Write sends an outcome of partition p on its way, with its mark as its
	// cause. It blocks while too many are on their way, and while the bus is away.
	// Its error is that of ctx, or wraps ErrTooLarge: this outcome is dropped. What
	// is of a partition that is not owned is dropped without a word.
	Write(ctx context.Context, p int, o *rules.Outcome, m Mark) error
	// Flush returns nil when all that was written is stored, but for what was dropped.
	Flush(ctx context.Context) error
	// Lost gives the partitions that somebody else has fenced since the last call.
	// What was written of them and is not stored was dropped, and so is what will be.
	Lost() []int
	// Close gives up what has not been stored.
	Close()
}

// NewWriter begins a writer. Its id is one that no other has ever had, a token of
// at most 40 letters, digits, - and _. Trouble, which may be nil, is told when
// the bus cannot be written to; the writer itself tries until it can.
func (b *Bus) NewWriter(ctx context.Context, id string, trouble func(error)) (Writer, error) {
	if id == "" || len(id) > 40 || key(id) != id {
		return nil, fmt.Errorf("writer %q: want an id of 1 to 40 letters, digits, - and _", id)
	}
	nc, err := b.dial(ctx, nats.SkipSubjectValidation()) // they are rendered here
	if err != nil {
		return nil, err
	}
	l := ledger{bus: b, nc: nc, id: id, life: 1, trouble: trouble, parts: make([]holding, b.config.Partitions), renderer: newRenderer(b.root)}
	var w interface {
		Writer
		listen() error
	} = &fast{ledger: l}
	if b.config.Commit == CommitExactly {
		w = &exactly{ledger: l}
	}
	if err := w.listen(); err != nil {
		nc.Close()
		return nil, err
	}
	return w, nil
}

// ledger is what writers of both kinds keep: the partitions that they own, and
// the outcomes that are not known to be stored.
type ledger struct {
	bus     *Bus
	nc      *nats.Conn
	id      string
	life    uint64 // of the batches' name: see batchID
	broken  bool   // it has to be mended before anything can be written
	unsure  bool   // a new life has begun, and what of the old one was stored is not known yet
	trouble func(error)

	parts   []holding
	lost    []int
	pending queue // in order
	renderer
}

// holding is a partition.
type holding struct {
	owned bool
	era   uint32 // how often it has been owned
	fence Fence
	armed uint64 // the batch that has the expectation of its fence
}

// Own implements Writer.
func (l *ledger) Own(f Fence) {
	h := &l.parts[f.Partition]
	*h = holding{owned: true, era: h.era + 1, fence: f}
	l.lost = slices.DeleteFunc(l.lost, func(p int) bool { return p == f.Partition })
}

// Disown implements Writer.
func (l *ledger) Disown(p int) {
	l.parts[p].owned = false
}

// Lost implements Writer.
func (l *ledger) Lost() []int {
	lost := l.lost
	l.lost = nil
	return lost
}

// Close implements Writer.
func (l *ledger) Close() { l.nc.Close() }

// add puts an outcome at the end of what is pending.
func (l *ledger) add(p int, o *rules.Outcome, m Mark) *outMessage {
	o.Seq, o.Index, o.Ordinal, o.Count = m.Seq, m.Index, m.Ordinal, m.Count
	next := l.pending.push()
	next.partition, next.era, next.mark = p, l.parts[p].era, m
	l.render(next, p, o)
	l.pending.bytes += len(next.body)
	return next
}

// refuse drops the last outcome, for which a message would be too large.
func (l *ledger) refuse() error {
	err := fmt.Errorf("stream %s: an outcome of %d bytes: %w", outStream, len(l.pending.at(l.pending.n-1).body), ErrTooLarge)
	l.pending.pop()
	return err
}

// stale says that a partition's fence does not name the batches of this life: it
// came to a writer that has mended since it began, or that had the partition before.
func (l *ledger) stale(p int) bool { return l.parts[p].owned && l.parts[p].fence.life != l.life }

var errStale = errors.New("the fence is of another life")

// errUnanswered says that something is wrong: so long the server never needs,
// unless it is very busy.
var errUnanswered = fmt.Errorf("no acknowledgement for %s", ackPatient)

// mend gets the writer going again after err, by means of send, which sends
// everything that is pending in new batches. It tries until ctx ends.
func (l *ledger) mend(ctx context.Context, err error, send func() error) error {
	l.broken = true
	quiet := overtaken(err) || errors.Is(err, errStale) // a purge has taken the fence, or somebody else has the partition
	wrap := func(err error) error { return fmt.Errorf("stream %s: %w", outStream, away(err)) }
	err = wrap(err)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		if !quiet {
			if l.trouble != nil {
				l.trouble(err)
			}
			if err := pause.For(ctx, wait); err != nil {
				return err
			}
		}
		quiet = false
		if err = l.resume(ctx); err == nil {
			if err = send(); err == nil {
				l.broken = false
				return nil
			}
			err = wrap(err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// resume begins a new life. It puts up every fence anew, which refuses what of
// the old life is still on its way, also on a connection that is gone; a
// partition that somebody else has fenced is lost. Then it forgets what turns
// out to have been stored.
func (l *ledger) resume(ctx context.Context) error {
	if !l.unsure {
		l.life++
		l.unsure = true
	}
	if err := l.renew(ctx); err != nil {
		return err
	}
	l.pending.keep(func(m *outMessage) bool { h := &l.parts[m.partition]; return h.owned && h.era == m.era })
	tails := map[int]Mark{}
	for i := range l.pending.n {
		p := l.pending.at(i).partition
		if _, found := tails[p]; found {
			continue
		}
		tail, err := l.bus.Tail(ctx, p)
		if err != nil {
			return err
		}
		tails[p] = tail
	}
	l.pending.keep(func(m *outMessage) bool { return !tails[m.partition].Covers(m.mark) })
	l.unsure = false
	return nil
}

// renew puts up the fences of this life, all at once.
func (l *ledger) renew(ctx context.Context) error {
	errs := make([]error, len(l.parts))
	var wg sync.WaitGroup
	for p := range l.parts {
		h := &l.parts[p]
		if !l.stale(p) {
			continue
		}
		was := h.fence.record
		again := claimant{was.Owner, was.Epoch, func(old *fenceRecord) (uint64, bool) {
			return l.life, old.Owner == was.Owner && old.Epoch == was.Epoch
		}}
		wg.Go(func() {
			f, err := l.bus.claim(ctx, p, again)
			if err == nil {
				h.fence, h.armed = f, 0
			}
			errs[p] = err
		})
	}
	wg.Wait()
	for p, err := range errs {
		if errors.Is(err, ErrFenced) {
			l.parts[p].owned = false
			l.lost = append(l.lost, p)
			errs[p] = nil
		}
	}
	return errors.Join(errs...)
}

// expect puts the expectation of a partition's fence into a message.
func (h *holding) expect(root string, header nats.Header) {
	header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(h.fence.Seq, 10)}
	header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{root + fencePrefix + strconv.Itoa(h.fence.Partition)}
}

// outMessage is an outcome on its way.
type outMessage struct {
	mark      Mark
	partition int
	era       uint32
	subject   []byte
	body      []byte
}

// answer is what the server says of a batch: that it has got so far (ack), that
// messages were lost (gap), that one is refused (err), or, with no type, that it
// has ended, and how many it has stored.
type answer struct {
	Type  string              `json:"type"`
	Seq   uint64              `json:"seq"`
	Count uint64              `json:"count"`
	Error *jetstream.APIError `json:"error"`
}

func readAnswer(m *nats.Msg) (a answer, err error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == noResponders {
		return a, nats.ErrNoResponders // the stream has no leader
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return a, fmt.Errorf("the answer %q is not understood: %w", bytes.TrimSpace(m.Data), err)
	}
	return a, nil
}

// noResponders is the status of the answer to a message for which nobody is there.
const noResponders = "503"

func writeError(e *jetstream.APIError) error {
	switch e.ErrorCode {
	case codeStoreFailed, codeNoResources, codeNoStorage, codeMemExceeded:
		return fmt.Errorf("%w: %s", ErrFull, e.Description)
	}
	return e
}
