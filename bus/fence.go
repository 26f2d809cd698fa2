package bus

import (
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
)

// Fence says that a partition's outcomes are its owner's: each batch names the
// sequence of the message ckpt.<p> in OUT that it expects to be the last, and
// the server refuses the batch when there has been another.
type Fence struct {
	Partition int
	Seq       uint64 // of ckpt.<p>

	record fenceRecord
	life   uint64 // the writer's whose batches it names; 0: none's
}

// ErrFenced says that somebody with a later epoch has the partition.
var ErrFenced = errors.New("somebody else has it")

// fenceRecord says, in the bucket of the snapshots, who may write the outcomes
// of a partition, and by which name the server knows its batch. It is the truth;
// ckpt.<p> is what the server compares with, and a purge may take it.
type fenceRecord struct {
	Owner string `json:"owner"`
	Epoch uint64 `json:"epoch"`
	Batch string `json:"batch"`
	// Open are batches of those before that may still be open.
	Open []string `json:"open,omitempty"`
}

// before gives the batches that may still be open before one under a new name begins.
func (r *fenceRecord) before(batch string) (open []string) {
	for _, id := range append(r.Open, r.Batch) {
		if id != "" && id != batch && !slices.Contains(open, id) {
			open = append(open, id)
		}
	}
	return open
}

// batchID is the name of a writer's batches in one of its lives. A life ends
// when the writer cannot know any more what of it is still on its way.
func batchID(owner string, life uint64) string { return owner + "-" + strconv.FormatUint(life, 10) }

const fencePrefix = "ckpt."

// Fence makes the owner, the id of a writer, the one who may write the outcomes
// of partition p. When it returns nothing that was written before, by another
// one or by the owner itself, is on its way any more: what is to come is refused,
// and Tail says what was stored. A later owner comes with a greater epoch; one
// that comes with a smaller one gets ErrFenced. The error may wrap ErrFull.
func (b *Bus) Fence(ctx context.Context, p int, owner string, epoch uint64) (Fence, error) {
	return b.claim(ctx, p, claimant{owner, epoch, func(old *fenceRecord) (life uint64, ok bool) {
		if old.Owner == owner {
			return 0, old.Epoch <= epoch // any batch of its may have outcomes from before
		}
		return 1, old.Epoch <= epoch
	}})
}

// claimant is who claims a partition. Its life is the writer's whose batches the
// fence is to name, after the record of the one before; not ok: it may not be followed.
type claimant struct {
	owner string
	epoch uint64
	life  func(old *fenceRecord) (life uint64, ok bool)
}

// claim puts a record in place of the one before, if that one may be followed,
// and fences it. The record is written twice: first with the batches that have
// to be ended, then, when they are, to make sure that nobody else has come.
func (b *Bus) claim(ctx context.Context, p int, c claimant) (Fence, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	for {
		f, err := b.tryClaim(ctx, p, c)
		switch {
		case err == nil:
			return f, nil
		case !overtaken(err) || ctx.Err() != nil:
			return Fence{}, fmt.Errorf("fence of partition %d: %w", p, err)
		}
	}
}

func (b *Bus) tryClaim(ctx context.Context, p int, c claimant) (Fence, error) {
	token := b.root + fencePrefix + strconv.Itoa(p)
	key := bucketSubject(b.snaps, "fence."+strconv.Itoa(p))
	var record, fence lastMessage
	err := b.lastOf(ctx, &record, bucketStream(b.snaps), key, &fence, b.config.Streams.Out.Name, token)
	if err != nil {
		return Fence{}, err
	}
	var old fenceRecord
	if len(record.Data) > 0 {
		if err := json.Unmarshal(record.Data, &old); err != nil {
			return Fence{}, err
		}
	}
	life, ok := c.life(&old)
	if !ok && len(record.Data) > 0 {
		return Fence{}, ErrFenced
	}
	want := fenceRecord{Owner: c.owner, Epoch: c.epoch, Batch: batchID(c.owner, life)}
	opening := want
	opening.Open = old.before(want.Batch)
	revision, err := b.putAfter(ctx, key, record.Seq, &opening)
	if err != nil {
		return Fence{}, err
	}
	seq, err := b.putAfter(ctx, token, fence.Seq, &want)
	if err != nil {
		return Fence{}, err
	}
	for _, id := range opening.Open {
		if err := b.endBatch(ctx, id); err != nil {
			return Fence{}, err
		}
	}
	_, err = b.putAfter(ctx, key, revision, &want)
	return Fence{Partition: p, Seq: seq, record: want, life: life}, err
}

// putAfter stores a value under a subject whose last message has the sequence
// after, in place of all that is there.
func (b *Bus) putAfter(ctx context.Context, subject string, after uint64, value any) (uint64, error) {
	m := nats.NewMsg(subject)
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	var err error
	if m.Data, err = json.Marshal(value); err != nil {
		return 0, err
	}
	ack, err := b.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(after))
	if err != nil {
		if e, ok := errors.AsType[*jetstream.APIError](err); ok {
			err = writeError(e)
		}
		return 0, fmt.Errorf("%s: %w", subject, away(err))
	}
	return ack.Sequence, nil
}

// overtaken says that somebody has stored something else in the meantime.
func overtaken(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// lastMessage is the last one under a subject; Seq 0: there is none.
type lastMessage struct {
	Seq  uint64
	Data []byte
}

// lastOf asks for two of them at once.
func (b *Bus) lastOf(ctx context.Context, one *lastMessage, oneStream, oneSubject string, two *lastMessage, twoStream, twoSubject string) error {
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { *one, errs[0] = b.last(ctx, oneStream, oneSubject) })
	*two, errs[1] = b.last(ctx, twoStream, twoSubject)
	wg.Wait()
	return errors.Join(errs[:]...)
}

// last gives the last message under a subject, as the stream's leader has it.
func (b *Bus) last(ctx context.Context, stream, subject string) (lastMessage, error) {
	m, err := b.ask(ctx, stream, question{LastOf: subject})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return lastMessage{}, nil
	}
	if err != nil {
		return lastMessage{}, fmt.Errorf("stream %s: %w", stream, err)
	}
	return lastMessage{m.Sequence, m.Data}, nil
}

// How long an answer of the server may take before it is asked again, and how
// long a batch that is ending may take to store what it has.
const (
	pingPatience = 500 * time.Millisecond
	pingPause    = 2 * time.Millisecond
)

// endBatch ends a fast-ingest batch by its name, whoever's it is: the server
// keeps batches by the name in the reply subject, and a number that cannot be
// the next one ends it. When it returns nothing more of the batch is stored.
func (b *Bus) endBatch(ctx context.Context, id string) error {
	wrap := func(err error) error { return fmt.Errorf("stream %s: end of batch %s: %w", outStream, id, away(err)) }
	inbox := nats.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox + ".>")
	if err != nil {
		return wrap(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is gone, and with it the subscription
	reply := string(appendReply(appendBatch(nil, inbox, id), impossible, opPing))
	for {
		if err := b.nc.PublishRequest(b.root+endSubject, reply, nil); err != nil {
			return wrap(err)
		}
		for wait := pingPatience; ; wait = pingPause {
			m, err := sub.NextMsg(wait)
			if ctx.Err() != nil {
				return wrap(ctx.Err())
			}
			if errors.Is(err, nats.ErrTimeout) {
				break // ask again
			}
			if err != nil {
				return wrap(err)
			}
			a, err := readAnswer(m)
			switch {
			case err != nil:
				return wrap(err)
			case a.Error != nil && a.Error.ErrorCode != codeUnknownBatch:
				return wrap(a.Error)
			case a.Type == "":
				return nil // it has ended, or is not known
			}
		}
	}
}
