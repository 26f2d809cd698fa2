package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"tocsin.internal/rules"
)

const (
	// publishTimeout is how long the server may take to acknowledge.
	publishTimeout = 5 * time.Second
	// A message of many samples holds at most so many, so that one message is
	// neither large nor a long step for the worker.
	batchSamples = 500
	batchBytes   = 256 << 10
)

// ErrFull says that a stream is full: judged samples or delivered outcomes have
// to go before anything new can come.
var ErrFull = errors.New("the store is full")

// Put stores samples in FEED, in their order, and returns nil when the server
// has them all. After an error some may have been stored; put again with the
// same call id (any name that is the caller's alone, "" for none), they are
// stored once. Samples with an id of their own go one by one under it; the
// others share messages, one a partition and at most batchSamples samples.
func (b *Bus) Put(ctx context.Context, call string, samples []rules.Sample) error {
	d := door{bus: b, call: call, open: map[int]*bytes.Buffer{}, count: map[int]int{}}
	for i := range samples {
		if err := d.add(&samples[i], len(samples) == 1); err != nil {
			return err
		}
	}
	for p := range b.config.Partitions {
		if err := d.flush(p); err != nil {
			return err
		}
	}
	return d.wait(ctx)
}

func (b *Bus) sampleSubject(p int, twin, feed string) string {
	return b.root + "feed." + strconv.Itoa(p) + "." + twin + "." + Token(feed)
}

// LastID is the id under which the last sample of a twin's feed was put that FEED
// retains; "" for none. Of samples that share a message it knows nothing.
func (b *Bus) LastID(ctx context.Context, twin, feed string) (string, error) {
	token := Token(twin)
	m, err := b.ask(ctx, b.config.Streams.Feed.Name, question{LastOf: b.sampleSubject(partition(token, b.config.Partitions), token, feed)})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", nil
	}
	if err != nil {
		return "", putError(err)
	}
	return m.Header.Get(headerMsgID), nil
}

// CallID is a name for Put that nobody else has.
func CallID() string { return nuid.Next() }

// door collects the samples of one Put.
type door struct {
	bus     *Bus
	call    string
	n       int // messages sent, for their ids
	open    map[int]*bytes.Buffer
	count   map[int]int
	futures []jetstream.PubAckFuture
}

func (d *door) add(s *rules.Sample, alone bool) error {
	token := Token(s.Twin)
	p := partition(token, d.bus.config.Partitions)
	// What cannot stand in a line of NDJSON goes alone, and is judged for what it is.
	if alone || s.ID != "" || len(s.Data) > batchBytes || bytes.IndexByte(s.Data, '\n') >= 0 || !json.Valid(s.Data) {
		if err := d.flush(p); err != nil {
			return err
		}
		m := nats.NewMsg(d.bus.sampleSubject(p, token, s.Feed))
		m.Data = s.Data
		if !s.At.IsZero() {
			m.Header.Set(headerTime, s.At.UTC().Format(time.RFC3339Nano))
		}
		return d.send(m, s.ID)
	}
	buf := d.open[p]
	if buf == nil {
		buf = new(bytes.Buffer)
		d.open[p] = buf
	}
	buf.Write(s.AppendLine(buf.AvailableBuffer()))
	buf.WriteByte('\n')
	if d.count[p]++; d.count[p] >= batchSamples || buf.Len() >= batchBytes {
		return d.flush(p)
	}
	return nil
}

func (d *door) flush(p int) error {
	buf := d.open[p]
	if buf == nil {
		return nil
	}
	delete(d.open, p)
	delete(d.count, p)
	m := nats.NewMsg(d.bus.root + "feed." + strconv.Itoa(p) + "._batch")
	m.Data = buf.Bytes()
	return d.send(m, "")
}

func (d *door) send(m *nats.Msg, id string) error {
	d.n++
	if id == "" && d.call != "" {
		id = d.call + "/" + strconv.Itoa(d.n)
	}
	if id != "" {
		m.Header.Set(headerMsgID, id)
	}
	f, err := d.bus.js.PublishMsgAsync(m, jetstream.WithStallWait(publishTimeout))
	if err != nil {
		return putError(err)
	}
	d.futures = append(d.futures, f)
	return nil
}

func (d *door) wait(ctx context.Context) error {
	if err := await(ctx, d.futures); err != nil {
		return putError(err)
	}
	return nil
}

// await returns when the server has every message, or at the first error.
func await(ctx context.Context, futures []jetstream.PubAckFuture) error {
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return err
		case <-ctx.Done():
			return fmt.Errorf("waiting for the bus: %w", context.Cause(ctx))
		}
	}
	return nil
}

// The server's codes for a store that takes no more (JetStream API errors).
const (
	codeStoreFailed = 10077 // maximum messages or bytes exceeded
	codeNoResources = 10023
	codeNoStorage   = 10047
	codeMemExceeded = 10028
)

// codeUnavailable is the class of the server's codes for what may be otherwise soon.
const codeUnavailable = 503

// codeUnknownBatch is the server's code for a message of a batch that has ended.
const codeUnknownBatch = 10208

// errAway is what the client calls an exceeded buffer: there is none, on purpose.
var errAway = errors.New("NATS is out of reach; connecting again")

// Away says whether an error is of a server that cannot be reached, or does not
// answer, at the moment.
func Away(err error) bool {
	return slices.ContainsFunc([]error{
		errAway, context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, jetstream.ErrJetStreamNotEnabled, nats.ErrDisconnected, nats.ErrReconnectBufExceeded,
		jetstream.ErrAsyncPublishTimeout,
	}, func(target error) bool { return errors.Is(err, target) })
}

// NotYet says whether an error of [Open] is of a server that may just not have
// started yet, or whose cluster has not: nobody listens there, or nobody answers.
func NotYet(err error) bool {
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok {
		return refused.Code == codeUnavailable && !errors.Is(err, jetstream.ErrJetStreamNotEnabled)
	}
	op, network := errors.AsType[*net.OpError](err)
	return network && (op.Op == "dial" || op.Timeout()) || Away(err) || errors.Is(err, nats.ErrNoServers)
}

func away(err error) error {
	if errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrDisconnected) {
		return errAway
	}
	return err
}

func putError(err error) error {
	if e, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch e.ErrorCode {
		case codeStoreFailed, codeNoResources, codeNoStorage, codeMemExceeded:
			return fmt.Errorf("stream %s: %w: %s", feedStream, ErrFull, e.Description)
		}
	}
	return fmt.Errorf("stream %s: %w", feedStream, away(err))
}

func (b *Bus) controlSubject(p int) string { return b.root + "feed." + strconv.Itoa(p) + "._ctl" }

// PutControl stores a control message in a partition's order and gives its sequence.
func (b *Bus) PutControl(ctx context.Context, p int, body []byte) (uint64, error) {
	ack, err := b.js.Publish(ctx, b.controlSubject(p), body)
	if err != nil {
		return 0, putError(err)
	}
	return ack.Sequence, nil
}

// PutControls stores control messages in a partition's order, and returns nil when
// the server has them all; after an error it has some of them, not always the first.
func (b *Bus) PutControls(ctx context.Context, p int, bodies [][]byte) error {
	futures := make([]jetstream.PubAckFuture, 0, len(bodies))
	for _, body := range bodies {
		f, err := b.js.PublishAsync(b.controlSubject(p), body, jetstream.WithStallWait(publishTimeout))
		if err != nil {
			return putError(err)
		}
		futures = append(futures, f)
	}
	if err := await(ctx, futures); err != nil {
		return putError(err)
	}
	return nil
}

// FeedState is where FEED begins and ends.
type FeedState struct {
	First, Last uint64 // sequences; Last+1 = First when it is empty
	Controls    bool   // there is a control message in it
}

// FeedState asks the server.
func (b *Bus) FeedState(ctx context.Context) (FeedState, error) {
	info, err := b.feed.Info(ctx, jetstream.WithSubjectFilter(b.root+"feed.*._ctl"))
	if err != nil {
		return FeedState{}, fmt.Errorf("stream %s: %w", feedStream, err)
	}
	return FeedState{First: info.State.FirstSeq, Last: info.State.LastSeq, Controls: len(info.State.Subjects) > 0}, nil
}
