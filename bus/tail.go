package bus

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/rules"
)

// Tail is a part of the streams that can be followed.
type Tail uint8

// The tails.
const (
	SampleTail       Tail = iota // FEED
	OutputTail                   // outputs in OUT
	AlertTail                    // alerts in OUT
	StickerTail                  // what happened to stickers, in NOTIFY
	NotificationTail             // notifications in NOTIFY
	InputTail                    // messages to inputs in NOTIFY
	NoticeTail                   // what those are told who subscribe to a topic, in NOTIFY
	Tails                        // how many there are
)

// tail is where a tail lies.
func (b *Bus) tail(t Tail) (s jetstream.Stream, filter string) {
	switch t {
	case OutputTail:
		return b.out, b.kindSubject(rules.Output)
	case AlertTail:
		return b.out, b.kindSubject(rules.Alert)
	case StickerTail:
		return b.notify, b.root + stickerToken + ".>"
	case NotificationTail:
		return b.notify, b.root + routedToken + ".>"
	case InputTail:
		return b.notify, b.root + inputToken + ".>"
	case NoticeTail:
		return b.notify, b.root + noticeToken + ".>"
	}
	return b.feed, ""
}

// TailMessage is one message of a tail.
type TailMessage struct {
	Tail    Tail
	Message        // of SampleTail; of the others Seq, Stored, Pending, Data and, where the subject has them, Twin and Feed
	Subject string // without the root and what comes before the names: tokens between dots
	whole   string
}

// Outcome is the outcome of a message that is no sample.
func (b *Bus) Outcome(m *TailMessage) (rules.Outcome, error) { return b.readOutcome(m.whole, m.Data) }

// TailReader gives what comes in any number of tails, each in its order. It goes
// on by itself when the server was away. One goroutine may use it; Wake may be
// called from any.
type TailReader struct {
	*intake[TailMessage]
	bus   *Bus
	tails [Tails]*reading
}

// NewTailReader begins a reader that reads nothing yet.
func (b *Bus) NewTailReader() *TailReader {
	r := &TailReader{bus: b}
	r.intake = newIntake(b.nc, r.message)
	return r
}

// Begin reads a tail from a sequence of its stream on.
func (r *TailReader) Begin(ctx context.Context, t Tail, from uint64) error {
	_, filter := r.bus.tail(t)
	return r.begin(ctx, t, from, filter)
}

// BeginOf is Begin for the samples of one partition, where FEED keeps them apart.
func (r *TailReader) BeginOf(ctx context.Context, partition int, from uint64) error {
	if !r.bus.partitioned {
		return r.Begin(ctx, SampleTail, from)
	}
	return r.begin(ctx, SampleTail, from, r.bus.partitionSubject(partition))
}

func (r *TailReader) begin(ctx context.Context, t Tail, from uint64, filter string) (err error) {
	s, _ := r.bus.tail(t)
	r.End(t)
	r.tails[t], err = r.add(ctx, s.CachedInfo().Config.Name, filter, from)
	return err
}

// End ends the reading of a tail; nothing of it comes any more.
func (r *TailReader) End(t Tail) {
	if r.tails[t] != nil {
		r.remove(r.tails[t])
		r.tails[t] = nil
	}
}

// Has says whether there is something to read in a tail after one sequence and up
// to another.
func (r *TailReader) Has(ctx context.Context, t Tail, after, upTo uint64) (bool, error) {
	stream, subject := r.tails[t].stream, r.tails[t].filter
	if subject == "" {
		subject = ">"
	}
	first, err := r.bus.firstFrom(ctx, stream, after+1, subject)
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", stream, err)
	}
	return first <= upTo, nil
}

func (r *TailReader) message(m *nats.Msg, d delivery) TailMessage {
	t := SampleTail
	for i, reading := range r.tails {
		if reading == d.of {
			t = Tail(i)
		}
	}
	return r.bus.tailMessage(t, m.Subject, m.Header, m.Data, d)
}

func (b *Bus) tailMessage(t Tail, subject string, header nats.Header, data []byte, d delivery) TailMessage {
	if t == SampleTail {
		return TailMessage{Tail: t, Message: b.message(subject, header, data, d), whole: subject}
	}
	m := TailMessage{Tail: t, whole: subject, Message: Message{Seq: d.seq, At: d.stored, Stored: d.stored, Pending: d.pending, Data: data}}
	_, m.Subject, _ = strings.Cut(strings.TrimPrefix(subject, b.root), ".")
	switch t {
	case OutputTail: // <p>.<source>.<feed>.<twin>
		if parts := strings.Split(m.Subject, "."); len(parts) == 4 {
			m.Twin, m.Feed, m.Subject = Name(parts[3]), Name(parts[2]), parts[3]+"."+parts[2]
		}
	case AlertTail: // <p>.…
		_, m.Subject, _ = strings.Cut(m.Subject, ".")
	case StickerTail: // <twin>.<colour>.<id>
		m.Subject = m.Subject[:max(strings.LastIndexByte(m.Subject, '.'), 0)]
	case NoticeTail: // <account>.<topic>.<id>
		if parts := strings.Split(m.Subject, "."); len(parts) == 3 {
			m.Subject = parts[1]
		}
	case InputTail:
		twin, input, _ := strings.Cut(m.Subject, ".")
		m.Twin, m.Feed = Name(twin), Name(input)
	}
	return m
}

// TailEnds are the first and the last sequence of a tail's stream; the last is
// one below the first when there is nothing in it.
func (b *Bus) TailEnds(ctx context.Context, t Tail) (first, last uint64, err error) {
	s, _ := b.tail(t)
	info, err := s.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("stream %s: %w", s.CachedInfo().Config.Name, away(err))
	}
	return max(info.State.FirstSeq, 1), info.State.LastSeq, nil
}

const (
	routedToken = "routed"
	inputToken  = "input"
)

// PutInput keeps a message to an input of a twin for whoever follows it.
func (b *Bus) PutInput(ctx context.Context, twin, input string, body []byte) error {
	m := nats.NewMsg(b.root + inputToken + "." + Token(twin) + "." + Token(input))
	m.Data = body
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	_, err := b.js.PublishMsg(ctx, m)
	switch {
	case err == nil:
		return nil
	case tooLarge(err):
		return fmt.Errorf("stream %s: %d bytes: %w", notifyStream, len(body), ErrTooLarge)
	}
	return fmt.Errorf("stream %s: %w", notifyStream, away(err))
}
