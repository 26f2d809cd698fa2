package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The subjects of DELIVERIES.
const (
	jobToken     = "deliver"  // deliver.<subscription>.<job>: what waits for a subscriber
	attemptToken = "attempts" // attempts.<subscription>: the last attempts to deliver it
)

// attemptsKept is how many attempts of a subscription are kept.
const attemptsKept = 100

// Job is something that is to be delivered to one subscriber.
type Job struct {
	Subscription string
	ID           string // nothing else that waits for the subscriber has it
	Data         []byte
	Seq          uint64    // in DELIVERIES: those of a subscription are delivered in this order; set when it is put or read
	Stored       time.Time // set when it is read
}

func (b *Bus) jobSubject(subscription, id string) string {
	return string(addTokens([]byte(b.root+jobToken), subscription, id))
}

func (b *Bus) attemptSubject(subscription string) string {
	return string(addTokens([]byte(b.root+attemptToken), subscription))
}

// PutJobs keeps jobs, each once for as long as it waits, and sets their Seq: 0 of
// one that was there. It returns nil when the server has all of them; after an
// error the same may be put again.
func (b *Bus) PutJobs(ctx context.Context, jobs []Job) error {
	for len(jobs) > 0 {
		n := min(len(jobs), changeWindow)
		if err := b.putJobs(ctx, jobs[:n]); err != nil {
			return fmt.Errorf("stream %s: %w", deliveriesStream, away(err))
		}
		jobs = jobs[n:]
	}
	return nil
}

func (b *Bus) putJobs(ctx context.Context, jobs []Job) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	futures := make([]jetstream.PubAckFuture, len(jobs))
	for i := range jobs {
		m := nats.NewMsg(b.jobSubject(jobs[i].Subscription, jobs[i].ID))
		m.Data = jobs[i].Data
		var err error
		if futures[i], err = b.js.PublishMsgAsync(m, jetstream.WithExpectLastSequencePerSubject(0), jetstream.WithStallWait(publishTimeout)); err != nil {
			return err
		}
	}
	for i, f := range futures {
		select {
		case ack := <-f.Ok():
			jobs[i].Seq = ack.Sequence
		case err := <-f.Err():
			if !overtaken(err) {
				return putError(err)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// NextJob is the first job of a subscription from a sequence on; false when there
// is none.
func (b *Bus) NextJob(ctx context.Context, subscription string, from uint64) (Job, bool, error) {
	m, err := b.ask(ctx, b.config.Streams.Deliveries.Name, question{Seq: max(from, 1), NextOf: b.allJobs(subscription)})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Job{}, false, nil
	}
	if err != nil {
		return Job{}, false, fmt.Errorf("stream %s: %w", deliveriesStream, err)
	}
	return Job{Subscription: subscription, ID: b.jobID(m.Subject), Data: m.Data, Seq: m.Sequence, Stored: m.Time}, true, nil
}

func (b *Bus) jobID(subject string) string {
	return Name(subject[strings.LastIndexByte(subject, '.')+1:])
}

// EndJobs forgets the jobs of a subscription up to a sequence.
func (b *Bus) EndJobs(ctx context.Context, subscription string, upTo uint64) error {
	if err := b.purge(ctx, b.config.Streams.Deliveries.Name, b.allJobs(subscription), upTo+1); err != nil {
		return fmt.Errorf("stream %s: %w", deliveriesStream, err)
	}
	return nil
}

// EndDeliveries forgets all that waits for a subscription, and its attempts.
func (b *Bus) EndDeliveries(ctx context.Context, subscription string) error {
	for _, subject := range []string{b.allJobs(subscription), b.attemptSubject(subscription)} {
		if err := b.purge(ctx, b.config.Streams.Deliveries.Name, subject, 0); err != nil {
			return fmt.Errorf("stream %s: %w", deliveriesStream, err)
		}
	}
	return nil
}

func (b *Bus) allJobs(subscription string) string {
	return b.root + jobToken + "." + Token(subscription) + ".*"
}

// PutAttempt keeps an attempt to deliver something to a subscriber.
func (b *Bus) PutAttempt(ctx context.Context, subscription string, attempt []byte) error {
	if _, err := b.js.Publish(ctx, b.attemptSubject(subscription), attempt); err != nil {
		return fmt.Errorf("stream %s: %w", deliveriesStream, putError(err))
	}
	return nil
}

// Attempts are those that are kept of a subscription, the newest first.
func (b *Bus) Attempts(ctx context.Context, subscription string) (out [][]byte, err error) {
	err = b.eachDelivery(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{b.attemptSubject(subscription)}}, func(m jetstream.Msg, _ delivery) {
		out = append([][]byte{m.Data()}, out...)
	})
	return out, err
}

// Queues tells of all subscriptions that there is something of: of each its last
// attempt, then of each job that waits its sequence.
func (b *Bus) Queues(ctx context.Context, last func(subscription string, attempt []byte), waiting func(subscription string, seq uint64)) error {
	prefix := b.root + attemptToken + "."
	err := b.eachDelivery(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{prefix + "*"}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}, func(m jetstream.Msg, _ delivery) {
		last(Name(strings.TrimPrefix(m.Subject(), prefix)), m.Data())
	})
	if err != nil {
		return err
	}
	prefix = b.root + jobToken + "."
	return b.eachDelivery(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{prefix + "*.*"}, HeadersOnly: true}, func(m jetstream.Msg, d delivery) {
		token, _, _ := strings.Cut(strings.TrimPrefix(m.Subject(), prefix), ".")
		waiting(Name(token), d.seq)
	})
}

// eachDelivery calls do for what is in DELIVERIES now.
func (b *Bus) eachDelivery(ctx context.Context, c jetstream.OrderedConsumerConfig, do func(jetstream.Msg, delivery)) error {
	return b.each(ctx, b.deliveries, deliveriesStream, c, do)
}

// each calls do for what a consumer finds in a stream now.
func (b *Bus) each(ctx context.Context, of jetstream.Stream, name string, c jetstream.OrderedConsumerConfig, do func(jetstream.Msg, delivery)) error {
	c.InactiveThreshold = soonGone
	consumer, err := of.OrderedConsumer(ctx, c)
	if err == nil {
		err = found(ctx, consumer, letterFetch, func(m jetstream.Msg, d delivery) bool {
			do(m, d)
			return true
		})
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, away(err))
	}
	return nil
}

// StoredNotice is a notice of NOTIFY.
type StoredNotice struct {
	Notice
	Seq uint64 // in NOTIFY
}

// NoticeReader gives the notices of NOTIFY in their order, after those that its
// place says were dealt with. One goroutine may use it.
type NoticeReader struct {
	*intake[StoredNotice]
	bus   *Bus
	done  uint64   // the place
	after Revision // its revision
	last  uint64   // of NOTIFY, when it began
}

// noticesKey is where the place in NOTIFY is kept: see NoticeReader.Done.
const noticesKey = "notices"

// ReadNotices begins where the one before has come to. When NOTIFY has never come
// so far, because it was made anew, it begins at the start.
func (b *Bus) ReadNotices(ctx context.Context) (*NoticeReader, error) {
	kept, err := b.ask(ctx, bucketStream(b.router), question{LastOf: bucketSubject(b.router, noticesKey)})
	r := &NoticeReader{bus: b}
	var from uint64
	if err == nil {
		from, _ = strconv.ParseUint(string(kept.Data), 10, 64) // 0: it was deleted
		r.after = Revision(kept.Sequence)
	} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("bucket %s: %w", b.router.Bucket(), err)
	}
	info, err := b.notify.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", notifyStream, away(err))
	}
	if from > info.State.LastSeq {
		from = 0
	}
	r.done, r.last = from, info.State.LastSeq
	r.intake = newIntake(b.nc, func(m *nats.Msg, d delivery) StoredNotice {
		return StoredNotice{Notice{ID: b.jobID(m.Subject), Body: m.Data}, d.seq}
	})
	if _, err := r.add(ctx, info.Config.Name, b.root+noticeToken+".*.*.*", from+1); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Waits says whether there is a notice that was there when the reader began, and
// has not been dealt with.
func (r *NoticeReader) Waits(ctx context.Context) (bool, error) {
	if r.done >= r.last {
		return false, nil
	}
	first, err := r.bus.firstFrom(ctx, r.bus.config.Streams.Notify.Name, r.done+1, r.bus.root+noticeToken+".>")
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", notifyStream, err)
	}
	return first <= r.last, nil
}

// Done says that the notices up to a sequence of NOTIFY have been dealt with. The
// error may wrap ErrOvertaken: somebody else is at it. After any other the same may
// be said again.
func (r *NoticeReader) Done(ctx context.Context, seq uint64) error {
	revision, err := r.bus.router.Update(ctx, noticesKey, strconv.AppendUint(nil, seq, 10), uint64(r.after))
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		revision, err = r.said(ctx, seq)
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", r.bus.router.Bucket(), away(err))
	}
	r.done, r.after = seq, Revision(revision)
	return nil
}

// said is the revision of a place that has been kept, although nobody has heard so.
func (r *NoticeReader) said(ctx context.Context, seq uint64) (uint64, error) {
	kept, err := r.bus.ask(ctx, bucketStream(r.bus.router), question{LastOf: bucketSubject(r.bus.router, noticesKey)})
	if err == nil && string(kept.Data) != strconv.FormatUint(seq, 10) {
		err = ErrOvertaken
	}
	if err != nil {
		return 0, err
	}
	return kept.Sequence, nil
}
