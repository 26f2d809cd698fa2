package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/rules"
)

// AlertEvent is an alert's outcome in OUT or in the history.
type AlertEvent struct {
	Seq     uint64 // in OUT
	Stored  time.Time
	Outcome rules.Outcome
	Data    []byte // the outcome's JSON
	Err     error  // the message is no outcome
}

// AlertReader gives the alerts of OUT in their order. One goroutine may use it.
type AlertReader struct{ *intake[AlertEvent] }

// ReadAlerts begins after sequence after. What comes after it has not been
// projected: see Projected.
//
// When OUT has never come so far, because it was made anew, it begins at the start.
func (b *Bus) ReadAlerts(ctx context.Context, after uint64) (*AlertReader, error) {
	info, err := b.out.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", outStream, err)
	}
	if after > info.State.LastSeq {
		after = 0
	}
	b.projected.Store(after)
	in := newIntake(b.nc, func(m *nats.Msg, d delivery) AlertEvent { return b.readAlert(m.Subject, m.Header, m.Data, d) })
	if _, err := in.add(ctx, info.Config.Name, b.kindSubject(rules.Alert), after+1); err != nil {
		in.Close()
		return nil, err
	}
	return &AlertReader{in}, nil
}

func (b *Bus) readAlert(subject string, header nats.Header, data []byte, d delivery) AlertEvent {
	e := AlertEvent{Seq: d.seq, Stored: d.stored, Data: data}
	if seq := sourceSeq(header); seq > 0 {
		e.Seq = seq
	}
	e.Outcome, e.Err = b.readOutcome(subject, data)
	return e
}

// Projected says that nobody needs the alerts of OUT up to seq any more to know
// which are open and who has to be told. Until somebody says so, OUT keeps them all.
func (b *Bus) Projected(seq uint64) { b.projected.Store(seq) }

// unprojected is the first sequence of OUT that has an alert which is not projected.
func (b *Bus) unprojected(ctx context.Context) (uint64, error) {
	first, err := b.firstFrom(ctx, b.config.Streams.Out.Name, b.projected.Load()+1, b.kindSubject(rules.Alert))
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", outStream, err)
	}
	return first, nil
}

// AlertsWait says whether OUT has alerts after seq.
func (b *Bus) AlertsWait(ctx context.Context, seq uint64) (bool, error) {
	first, err := b.firstFrom(ctx, b.config.Streams.Out.Name, seq+1, b.kindSubject(rules.Alert))
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", outStream, err)
	}
	return first != math.MaxUint64, nil
}

// AlertChange is what becomes of the record under a fingerprint.
type AlertChange struct {
	Fingerprint string
	Record      []byte // nil: the alert is closed, the record goes
}

// ChangeAlerts changes the open alerts and returns nil when the server has it all.
func (b *Bus) ChangeAlerts(ctx context.Context, changes []AlertChange) error {
	return b.changeAll(ctx, b.alerts, len(changes), func(i int) *nats.Msg {
		m := nats.NewMsg("$KV." + b.alerts.Bucket() + "." + key(changes[i].Fingerprint))
		m.Data = changes[i].Record
		if m.Data == nil {
			m.Header.Set("KV-Operation", "PURGE")
			m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
			m.Header.Set(jetstream.MsgTTLHeader, "60s")
		}
		return m
	})
}

// Alerts gives the record of every open alert. The error, if there is one, comes last.
func (b *Bus) Alerts(ctx context.Context) iter.Seq2[[]byte, error] { return b.all(ctx, b.alerts) }

// HistoryQuery says which events of the history are asked for. The zero query
// asks for all of them.
type HistoryQuery struct {
	Interaction, Rule string // both or none
	Twin              string // "" = of all
	Holds             string // a part of the outcome's JSON; "" = any
	Newest            uint64 // look only at so many of the newest messages; 0 = at all
}

// everything says that no subject would leave anything out.
func (q HistoryQuery) everything() bool { return q.Rule == "" && q.Twin == "" }

func (q HistoryQuery) subject(partitions int) string {
	p, rule, twin := "*", "*", "*"
	if q.Rule != "" {
		rule = Token(q.Interaction + ":" + q.Rule)
	}
	if q.Twin != "" {
		twin = Token(q.Twin)
		p = strconv.Itoa(partition(twin, partitions))
	}
	return strings.Join([]string{"alert", p, "*", rule, twin, "*"}, ".")
}

// soonGone is how long the server keeps a consumer that was made for one
// question: while it is there, it counts as one that needs the stream.
const soonGone = time.Second

// historyFetch is how many events are asked for at a time.
const historyFetch = 20_000

// History gives events of alerts, the oldest first: those of the history, then
// those of OUT that have not come there yet. The error, if there is one, comes last.
func (b *Bus) History(ctx context.Context, q HistoryQuery) iter.Seq2[AlertEvent, error] {
	return func(yield func(AlertEvent, error) bool) {
		from, last, copied, err := b.historyState(ctx, q)
		if err != nil {
			yield(AlertEvent{}, fmt.Errorf("stream %s: %w", historyStream, err))
			return
		}
		var subjects []string // none is much cheaper for the server than one that fits all
		if !q.everything() {
			subjects = []string{b.root + q.subject(b.config.Partitions)}
		}
		if from <= last && !b.events(ctx, b.history, q.Holds, subjects, from, last, yield) {
			return
		}
		b.events(ctx, b.out, q.Holds, []string{b.root + q.subject(b.config.Partitions)}, copied+1, math.MaxUint64, yield)
	}
}

// historyState is where the query begins in the history, where that ends, and
// up to which sequence of OUT it has come.
func (b *Bus) historyState(ctx context.Context, q HistoryQuery) (from, last, copied uint64, err error) {
	info, err := b.history.Info(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	from, last = max(info.State.FirstSeq, 1), info.State.LastSeq
	if q.Newest > 0 && last > q.Newest {
		from = max(from, last-q.Newest+1)
	}
	if last < from {
		return from, last, 0, nil
	}
	m, err := b.history.GetMsg(ctx, last)
	if errors.Is(err, jetstream.ErrMsgNotFound) { // it has just gone
		return from, last, 0, nil
	}
	if err != nil {
		return 0, 0, 0, err
	}
	return from, last, sourceSeq(m.Header), nil
}

// headerSource is what the server adds to a message that a stream takes from
// another; nobody can publish it. Its first words are that stream and the
// sequence there.
const headerSource = "Nats-Stream-Source"

// sourceStream is the stream that a message was copied from; "" = it was not copied.
func sourceStream(h nats.Header) string {
	name, _, _ := strings.Cut(h.Get(headerSource), " ")
	return name
}

// sourceSeq is the sequence that a message had in the stream it was copied
// from. 0 = it was not copied.
func sourceSeq(h nats.Header) uint64 {
	if words := strings.Fields(h.Get(headerSource)); len(words) > 1 {
		seq, _ := strconv.ParseUint(words[1], 10, 64)
		return seq
	}
	return 0
}

// events yields the alerts of a stream from one sequence to another; false when
// no more are wanted.
func (b *Bus) events(ctx context.Context, s jetstream.Stream, holds string, subjects []string, from, to uint64, yield func(AlertEvent, error) bool) bool {
	fail := func(err error) bool {
		yield(AlertEvent{}, fmt.Errorf("stream %s: %w", s.CachedInfo().Config.Name, err))
		return false
	}
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: subjects, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, InactiveThreshold: soonGone,
	})
	if err != nil {
		return fail(err)
	}
	needle := []byte(holds)
	more := true
	err = found(ctx, c, historyFetch, func(m jetstream.Msg, d delivery) bool {
		if d.seq > to {
			return false
		}
		more = !bytes.Contains(m.Data(), needle) || yield(b.readAlert(m.Subject(), m.Headers(), m.Data(), d), nil)
		return more
	})
	if err != nil {
		return fail(err)
	}
	return more
}

// ErrTooLarge says that the server will never take a message of this size.
var ErrTooLarge = errors.New("too large for the bus")

// codeTooLarge is the server's code for a message above a stream's limit (JetStream API errors).
const codeTooLarge = 10054

func tooLarge(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return errors.Is(err, nats.ErrMaxPayload) || ok && e.ErrorCode == codeTooLarge
}

// PutNotification keeps a notification for the sinks that wait for its topic.
// One that is put again within the duplicate window is kept once. The error may
// wrap ErrTooLarge: to try again does not help.
func (b *Bus) PutNotification(ctx context.Context, o *rules.Outcome) error {
	m := nats.NewMsg(b.topicSubject(o.Topic))
	m.Data = o.AppendJSON(nil)
	m.Header.Set(headerMsgID, o.EventID())
	_, err := b.js.PublishMsg(ctx, m)
	switch {
	case err == nil:
		return nil
	case tooLarge(err):
		return fmt.Errorf("stream %s: %d bytes: %w", notifyStream, len(m.Data), ErrTooLarge)
	}
	return fmt.Errorf("stream %s: %w", notifyStream, away(err))
}

func (b *Bus) topicSubject(topic string) string { return b.root + routedToken + "." + Token(topic) }

// SaveRouter keeps the state of the routing in place of the one before.
func (b *Bus) SaveRouter(ctx context.Context, state []byte) error {
	if err := b.replacePieces(ctx, b.router, "router", state); err != nil {
		return fmt.Errorf("bucket %s: %w", b.router.Bucket(), away(err))
	}
	return nil
}

// LoadRouter gives the state of the routing, or nil when there is none.
func (b *Bus) LoadRouter(ctx context.Context) ([]byte, error) {
	state, _, err := b.loadPieces(ctx, b.router, "router")
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", b.router.Bucket(), err)
	}
	return state, nil
}

// SaveJournal keeps what has happened to the routing since SaveRouter, in place
// of the journal before.
func (b *Bus) SaveJournal(ctx context.Context, journal []byte) error {
	if err := b.replacePieces(ctx, b.router, "journal", journal); err != nil {
		return fmt.Errorf("bucket %s: %w", b.router.Bucket(), away(err))
	}
	return nil
}

// LoadJournal gives that journal, or nil when there is none.
func (b *Bus) LoadJournal(ctx context.Context) ([]byte, error) {
	journal, _, err := b.loadPieces(ctx, b.router, "journal")
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", b.router.Bucket(), err)
	}
	return journal, nil
}

func heldKey(sink, id string) string { return key(sink) + "." + key(id) }

// Hold keeps what was kept from a sink of the episode with the id.
func (b *Bus) Hold(ctx context.Context, sink, id string, doc []byte) error {
	if _, err := b.held.Put(ctx, heldKey(sink, id), doc); err != nil {
		return fmt.Errorf("bucket %s: %w", b.held.Bucket(), away(err))
	}
	return nil
}

// Release forgets it.
func (b *Bus) Release(ctx context.Context, sink, id string) error {
	if err := b.held.Purge(ctx, heldKey(sink, id), jetstream.PurgeTTL(time.Minute)); err != nil {
		return fmt.Errorf("bucket %s: %w", b.held.Bucket(), away(err))
	}
	return nil
}

// Held gives what was kept from a sink. The error, if there is one, comes last.
func (b *Bus) Held(ctx context.Context, sink string) iter.Seq2[[]byte, error] {
	return b.under(ctx, b.held, key(sink)+".*")
}

// PutSilence keeps a silence under its id, which is a token of letters, digits,
// - and _, for as long as it is of use to somebody.
func (b *Bus) PutSilence(ctx context.Context, id string, doc []byte, keep time.Duration) error {
	m := nats.NewMsg("$KV." + b.silences.Bucket() + "." + key(id))
	m.Data = doc
	m.Header.Set(jetstream.MsgTTLHeader, strconv.Itoa(max(int(keep/time.Second), 1))+"s")
	if _, err := b.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("bucket %s: %w", b.silences.Bucket(), away(err))
	}
	return nil
}

// DeleteSilence forgets a silence.
func (b *Bus) DeleteSilence(ctx context.Context, id string) error {
	return remove(ctx, b.silences, id)
}

// WatchSilences calls change for each silence that there is, ready once after
// them, and change for each that changes after that, until ctx ends. A nil
// document says that the silence is gone.
func (b *Bus) WatchSilences(ctx context.Context, change func(id string, doc []byte), ready func()) {
	b.follow(ctx, b.silences, ">", 0, func(e jetstream.KeyValueEntry) { change(e.Key(), document(e)) }, ready)
}
