package bus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The stages at which something becomes a dead letter.
const (
	StageDoor = "door" // a source could not read it; it never reached FEED
	StageFeed = "feed" // it is in FEED, and could not be judged
	StageSink = "sink" // it was decided, and could not be delivered
)

// Stages are all of them.
var Stages = []string{StageDoor, StageFeed, StageSink}

// DeadLetterBytes is how much of what was refused a dead letter keeps.
const DeadLetterBytes = 64 << 10

// DeadLetter is what could not be read, judged or delivered, with the reason.
type DeadLetter struct {
	Letter     uint64 // its own number, the sequence in DLQ; set when it is read
	Stage      string
	Reason     string
	Twin, Feed string
	Partition  int       // StageFeed: the partition that judged it
	Sink       string    // StageSink; "" when it was too large to come to one
	Route      string    // StageSink: whose notification it is; "" when it is an outcome of OUT
	Attempts   int       // StageSink
	Seq        uint64    // StageFeed: the message in FEED; StageSink: in OUT, of a route in NOTIFY
	Index      uint32    // StageFeed: the sample in its message
	Time       time.Time // of the sample, where it has one
	At         time.Time // when the broker stored the letter; set when it is read
	Size       int       // bytes of what was refused; set when it is read
	Data       []byte    // the first DeadLetterBytes

	subject string // StageSink: of the outcome's message
	before  uint64 // StageSink: the letter whose place it takes
}

// Whole says whether the letter has all of what was refused.
func (l *DeadLetter) Whole() bool { return l.Size <= DeadLetterBytes }

func (l *DeadLetter) place() string {
	return strconv.FormatUint(l.Seq, 10) + "." + strconv.FormatUint(uint64(l.Index), 10)
}

func (l *DeadLetter) id() string {
	return fmt.Sprintf("%s %s %s %s %d", l.Stage, l.Sink, l.Route, l.place(), l.before)
}

// Bury keeps the letter and returns nil when the server has it. A letter of
// FEED or of a sink that comes twice within the duplicate window is kept once.
func (b *Bus) Bury(ctx context.Context, l DeadLetter) error {
	m := nats.NewMsg(b.letterSubject(&l))
	m.Data = l.Data[:min(len(l.Data), DeadLetterBytes)]
	set := func(name, value string) {
		if value != "" {
			m.Header.Set(name, value)
		}
	}
	set(headerReason, oneLine(l.Reason))
	set(headerTwin, oneLine(l.Twin))
	set(headerFeed, oneLine(l.Feed))
	set(headerSink, oneLine(l.Sink))
	set(headerRoute, oneLine(l.Route))
	set(headerSubject, l.subject)
	if l.Stage != StageSink && !(plain(l.Twin) && plain(l.Feed)) {
		set(headerSubject, "in."+Token(l.Twin)+"."+Token(l.Feed))
	}
	if l.Attempts > 0 {
		set(headerAttempts, strconv.Itoa(l.Attempts))
	}
	if !l.Time.IsZero() {
		set(headerTime, l.Time.UTC().Format(time.RFC3339Nano))
	}
	if len(l.Data) > len(m.Data) {
		set(headerSize, strconv.Itoa(len(l.Data)))
	}
	if l.Seq != 0 {
		set(headerSeq, l.place())
		set(headerMsgID, l.id())
	}
	if _, err := b.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("stream %s: %w", deadStream, away(err))
	}
	return nil
}

func (b *Bus) letterSubject(l *DeadLetter) string {
	p := l.Partition
	if l.Stage != StageFeed {
		p = b.Partition(l.Twin)
	}
	return b.root + "dlq." + l.Stage + "." + strconv.Itoa(p)
}

// oneLine makes any text the value of a header.
func oneLine(s string) string {
	const most = 1000
	b := []byte(s[:min(len(s), most)])
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}

// plain says whether a header can have the text as it is.
func plain(s string) bool { return s == oneLine(s) && s == strings.TrimSpace(s) }

// LastBuried is the place in FEED of the last sample of a partition that became
// a dead letter, so that judging again after a crash buries nothing twice.
func (b *Bus) LastBuried(ctx context.Context, p int) (seq uint64, index uint32, err error) {
	m, err := b.dead.GetLastMsgForSubject(ctx, b.root+"dlq."+StageFeed+"."+strconv.Itoa(p))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("stream %s: %w", deadStream, err)
	}
	if _, err := fmt.Sscanf(m.Header.Get(headerSeq), "%d.%d", &seq, &index); err != nil {
		return 0, 0, fmt.Errorf("stream %s: message %d has no place in its header %s", deadStream, m.Sequence, headerSeq)
	}
	return seq, index, nil
}

// DeadLetters gives the newest n letters, the newest first.
func (b *Bus) DeadLetters(ctx context.Context, n int) ([]DeadLetter, error) {
	info, err := b.dead.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", deadStream, err)
	}
	var out []DeadLetter
	for seq := info.State.LastSeq; seq >= max(info.State.FirstSeq, 1) && len(out) < n; seq-- {
		l, err := b.DeadLetter(ctx, seq)
		if errors.Is(err, ErrNoLetter) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// ErrNoLetter is what the error wraps when there is no such letter.
var ErrNoLetter = errors.New("no such dead letter")

// DeadLetter gives the letter with a number. The error may wrap ErrNoLetter.
func (b *Bus) DeadLetter(ctx context.Context, number uint64) (DeadLetter, error) {
	m, err := b.dead.GetMsg(ctx, number)
	if number == 0 || errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && m.Header.Get(headerGone) != "" {
		return DeadLetter{}, b.noLetter(ctx, number)
	}
	if err != nil {
		return DeadLetter{}, fmt.Errorf("stream %s: %w", deadStream, away(err))
	}
	l := b.readLetter(m.Subject, m.Header)
	l.Letter, l.At, l.Data = m.Sequence, m.Time, m.Data
	if l.Size == 0 {
		l.Size = len(l.Data)
	}
	return l, nil
}

// noLetter says which there are.
func (b *Bus) noLetter(ctx context.Context, number uint64) error {
	info, err := b.dead.Info(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("stream %s: %w", deadStream, away(err))
	case info.State.Msgs == 0:
		return fmt.Errorf("%w: %d; there are none", ErrNoLetter, number)
	}
	return fmt.Errorf("%w: %d; those that are kept are from %d to %d", ErrNoLetter, number, info.State.FirstSeq, info.State.LastSeq)
}

// readLetter reads all but the body, and what the server knows.
func (b *Bus) readLetter(subject string, h nats.Header) DeadLetter {
	l := DeadLetter{
		Reason: h.Get(headerReason), Twin: h.Get(headerTwin), Feed: h.Get(headerFeed), Sink: h.Get(headerSink), Route: h.Get(headerRoute),
		subject: h.Get(headerSubject),
	}
	fmt.Sscanf(h.Get(headerSeq), "%d.%d", &l.Seq, &l.Index) //nolint:errcheck // a letter of the door has no place
	l.Attempts, _ = strconv.Atoi(h.Get(headerAttempts))     // only one of a sink has been tried
	l.Size, _ = strconv.Atoi(h.Get(headerSize))             // 0: it is whole
	l.Time, _ = time.Parse(time.RFC3339, h.Get(headerTime)) // zero: it has none
	if t := strings.Split(strings.TrimPrefix(subject, b.root), "."); len(t) > 2 {
		l.Stage = t[1]
		l.Partition, _ = strconv.Atoi(t[2])
	}
	if t := strings.Split(l.subject, "."); l.Stage != StageSink && len(t) == 3 && t[0] == "in" {
		l.Twin, l.Feed, l.subject = Name(t[1]), Name(t[2]), ""
	}
	return l
}

// LetterQuery says which letters are meant. The zero query means all of them.
type LetterQuery struct {
	Stage, Sink, Twin string // "" = any
	Reason            string // a part of it
	From, To          uint64 // their numbers; 0 = from the first, to the last
}

func (q *LetterQuery) takes(l *DeadLetter) bool {
	return (q.Stage == "" || q.Stage == l.Stage) && (q.Sink == "" || q.Sink == l.Sink) && (q.Twin == "" || q.Twin == l.Twin) && strings.Contains(l.Reason, q.Reason)
}

// subjects are those under which the letters are; none when they may be under any.
func (q *LetterQuery) subjects(b *Bus) []string {
	stage, p := "*", "*"
	if q.Stage != "" {
		stage = q.Stage
	}
	if q.Twin != "" && (q.Stage == StageDoor || q.Stage == StageSink) { // what was judged is in the partition that judged it
		p = strconv.Itoa(b.Partition(q.Twin))
	}
	if stage == p {
		return nil
	}
	return []string{b.root + "dlq." + stage + "." + p}
}

// letterFetch is how many letters are asked for at a time.
const letterFetch = 5_000

// Letters gives the letters that are meant, the oldest first, without Data. The
// error, if there is one, comes last.
func (b *Bus) Letters(ctx context.Context, q LetterQuery) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		if err := b.letters(ctx, q, yield); err != nil {
			yield(DeadLetter{}, fmt.Errorf("stream %s: %w", deadStream, away(err)))
		}
	}
}

func (b *Bus) letters(ctx context.Context, q LetterQuery, yield func(DeadLetter, error) bool) error {
	c, err := b.dead.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: q.subjects(b), DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(q.From, 1),
		HeadersOnly: true, InactiveThreshold: soonGone,
	})
	if err != nil {
		return err
	}
	return found(ctx, c, letterFetch, func(m jetstream.Msg, d delivery) bool {
		if q.To > 0 && d.seq > q.To {
			return false
		}
		l := b.readLetter(m.Subject(), m.Headers())
		l.Letter, l.At = d.seq, d.stored
		if l.Size == 0 {
			l.Size, _ = strconv.Atoi(m.Headers().Get(nats.MsgSize))
		}
		return m.Headers().Get(headerGone) != "" || !q.takes(&l) || yield(l, nil)
	})
}

// DropLetter removes the letter for good. The error may wrap ErrNoLetter.
//
// The last letter of FEED in a partition says how far that partition has come
// (see LastBuried): a message without a body takes its place.
func (b *Bus) DropLetter(ctx context.Context, l *DeadLetter) error {
	if l.Stage == StageFeed {
		if err := b.markGone(ctx, l); err != nil {
			return err
		}
	}
	err := b.dead.DeleteMsg(ctx, l.Letter)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		if _, gone := b.DeadLetter(ctx, l.Letter); gone != nil {
			return gone // somebody was faster
		}
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", deadStream, away(err))
	}
	return nil
}

func (b *Bus) markGone(ctx context.Context, l *DeadLetter) error {
	m := nats.NewMsg(b.letterSubject(l))
	m.Header.Set(headerGone, strconv.FormatUint(l.Letter, 10))
	m.Header.Set(headerSeq, l.place())
	_, err := b.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(l.Letter))
	if err != nil && !overtaken(err) { // a later letter says it already
		return fmt.Errorf("stream %s: %w", deadStream, away(err))
	}
	return nil
}

// ErrRetrying says that a letter is being delivered again already.
var ErrRetrying = errors.New("it is being delivered again already")

// Deliver lets the sink of a letter have its outcome again: as one more of those
// that wait for it, when its turn comes. The letter stays until then: it goes
// when the outcome has arrived, or when another letter takes its place because
// the sink has given it up once more. The error may wrap ErrRetrying.
func (b *Bus) Deliver(ctx context.Context, l *DeadLetter) error {
	subject := b.retrySubject(l.Sink) + "." + strconv.FormatUint(l.Letter, 10)
	_, err := b.js.Publish(ctx, subject, nil, jetstream.WithExpectLastSequencePerSubject(0))
	switch {
	case err == nil:
		return nil
	case overtaken(err):
		return ErrRetrying
	}
	return fmt.Errorf("stream %s: %w", notifyStream, away(err))
}

// retrySubject is that of the letters which are to be delivered to a sink again,
// without the letter's number.
func (b *Bus) retrySubject(sink string) string { return b.root + "retry." + Token(sink) }

// endRetry removes a letter whose outcome has arrived or has become another one,
// and what asked for it.
func (b *Bus) endRetry(ctx context.Context, letter, retry uint64) error {
	if err := b.DropLetter(ctx, &DeadLetter{Letter: letter}); err != nil && !errors.Is(err, ErrNoLetter) {
		return err
	}
	return b.forgetRetry(ctx, retry)
}

func (b *Bus) forgetRetry(ctx context.Context, retry uint64) error {
	if err := b.notify.DeleteMsg(ctx, retry); err != nil && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return fmt.Errorf("stream %s: %w", notifyStream, away(err))
	}
	return nil
}

// Retrying are the numbers of the letters that are being delivered again.
func (b *Bus) Retrying(ctx context.Context) (map[uint64]bool, error) {
	info, err := b.notify.Info(ctx, jetstream.WithSubjectFilter(b.root+"retry.>"))
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", notifyStream, away(err))
	}
	numbers := make(map[uint64]bool, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		numbers[letterOf(subject)] = true
	}
	return numbers, nil
}

// letterOf is the number of the letter that a subject of a retry names; 0 = none.
func letterOf(subject string) uint64 {
	number, _ := strconv.ParseUint(subject[strings.LastIndexByte(subject, '.')+1:], 10, 64)
	return number
}
