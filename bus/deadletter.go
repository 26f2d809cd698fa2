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

// The stages at which something becomes a dead letter.
const (
	StageDoor = "door" // a source could not read it; it never reached FEED
	StageFeed = "feed" // it is in FEED, and could not be judged
	StageSink = "sink" // it was decided, and could not be delivered
)

// DeadLetterBytes is how much of what was refused a dead letter keeps.
const DeadLetterBytes = 64 << 10

// DeadLetter is what could not be read, judged or delivered, with the reason.
type DeadLetter struct {
	Stage      string
	Reason     string
	Twin, Feed string
	Sink       string    // StageSink
	Seq        uint64    // StageFeed: the message in FEED; StageSink: in OUT
	Index      uint32    // StageFeed: the sample in its message
	At         time.Time // when the broker stored the letter; set when it is read
	Data       []byte    // the first DeadLetterBytes
}

func (l *DeadLetter) place() string {
	return strconv.FormatUint(l.Seq, 10) + "." + strconv.FormatUint(uint64(l.Index), 10)
}

// Bury keeps the letter and returns nil when the server has it. A letter of
// FEED or of a sink that comes twice within the duplicate window is kept once.
func (b *Bus) Bury(ctx context.Context, l DeadLetter) error {
	p := b.Partition(l.Twin)
	m := nats.NewMsg("dlq." + l.Stage + "." + strconv.Itoa(p))
	m.Data = l.Data[:min(len(l.Data), DeadLetterBytes)]
	for name, value := range map[string]string{headerReason: l.Reason, headerTwin: l.Twin, headerFeed: l.Feed, headerSink: l.Sink} {
		if value != "" {
			m.Header.Set(name, oneLine(value))
		}
	}
	if l.Seq != 0 {
		m.Header.Set(headerSeq, l.place())
		m.Header.Set(headerMsgID, l.Stage+" "+l.Sink+" "+l.place())
	}
	if _, err := b.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("stream %s: %w", deadStream, err)
	}
	return nil
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

// LastBuried is the place in FEED of the last sample that became a dead letter,
// so that judging again after a crash buries nothing twice.
func (b *Bus) LastBuried(ctx context.Context) (seq uint64, index uint32, err error) {
	m, err := b.dead.GetLastMsgForSubject(ctx, "dlq."+StageFeed+".*")
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
		m, err := b.dead.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", deadStream, err)
		}
		out = append(out, readLetter(m))
	}
	return out, nil
}

func readLetter(m *jetstream.RawStreamMsg) DeadLetter {
	l := DeadLetter{
		Reason: m.Header.Get(headerReason), Twin: m.Header.Get(headerTwin), Feed: m.Header.Get(headerFeed),
		Sink: m.Header.Get(headerSink), At: m.Time, Data: m.Data,
	}
	fmt.Sscanf(m.Header.Get(headerSeq), "%d.%d", &l.Seq, &l.Index) //nolint:errcheck // a letter of the door has no place
	l.Stage = strings.Split(m.Subject, ".")[1]
	return l
}
