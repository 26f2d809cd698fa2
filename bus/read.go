package bus

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"tocsin.internal/rules"
)

// MessageKind says what a message of FEED is.
type MessageKind uint8

// The kinds of message.
const (
	OneSample   MessageKind = iota // Data is the sample's
	ManySamples                    // Data is NDJSON, one sample a line, all of this partition
	Control                        // Data is a control message
	Tick                           // At is the time that has come; Wall says whose
	Unreadable                     // Reason says why; Data is what came
)

// Message is one message of FEED.
type Message struct {
	Seq       uint64
	Partition int
	Kind      MessageKind
	Twin      string // OneSample, Unreadable
	Feed      string
	At        time.Time // the sample's own time, or the tick's, else when the broker took it
	Stored    time.Time // when the broker took it
	Hops      uint8     // 0, or how many interactions made it
	Wall      bool      // Tick: At is the wall's time, not that of the newest sample
	Data      []byte
	Reason    string // Unreadable only: a dead letter's reason
	Pending   uint64 // messages that its consumer had still to send after it
}

// Reader gives the messages of FEED, those of each partition in their order. It
// reads the whole stream, or some partitions one by one; it goes on by itself
// when the server was away. One goroutine may use it; Wake may be called from any.
type Reader struct {
	*intake[Message]
	bus        *Bus
	partitions map[int]*reading
}

// NewReader begins a reader that reads nothing yet.
func (b *Bus) NewReader() *Reader {
	r := &Reader{bus: b, partitions: map[int]*reading{}}
	r.intake = newIntake(b.nc, func(m *nats.Msg, d delivery) Message { return b.message(m.Subject, m.Header, m.Data, d) })
	return r
}

// Whole reads all partitions from the sequence on, in place of whatever it read
// before, of which nothing comes any more.
func (r *Reader) Whole(ctx context.Context, from uint64) error {
	r.Clear()
	_, err := r.add(ctx, r.bus.feed.CachedInfo().Config.Name, "", from)
	return err
}

// Add reads partition p from the sequence on, in place of an earlier reading of
// p, of which nothing comes any more. It is not for a reader of the whole stream.
func (r *Reader) Add(ctx context.Context, p int, from uint64) error {
	r.Remove(p)
	reading, err := r.add(ctx, r.bus.feed.CachedInfo().Config.Name, r.bus.partitionSubject(p), from)
	if err == nil {
		r.partitions[p] = reading
	}
	return err
}

// Remove ends the reading of partition p; nothing of it comes any more.
func (r *Reader) Remove(p int) {
	if reading, ok := r.partitions[p]; ok {
		delete(r.partitions, p)
		r.remove(reading)
	}
}

// Clear ends all readings; others may begin.
func (r *Reader) Clear() {
	r.clear()
	clear(r.partitions)
}

func (b *Bus) partitionSubject(p int) string { return b.root + "feed." + strconv.Itoa(p) + ".>" }

// path is what a subject of FEED says.
type path struct {
	partition  int
	kind       MessageKind
	twin, feed string
}

func (b *Bus) message(subject string, header nats.Header, data []byte, d delivery) Message {
	p := b.parsePath(subject)
	m := Message{
		Seq: d.seq, Partition: p.partition, Kind: p.kind, Twin: p.twin, Feed: p.feed,
		At: d.stored, Stored: d.stored, Data: data, Pending: d.pending,
	}
	switch p.kind {
	case OneSample:
	case Tick:
		m.readTick()
		return m
	case Unreadable:
		m.Reason = "subject"
		return m
	default:
		return m
	}
	if len(header) == 0 {
		return m
	}
	if sourceStream(header) == b.config.Streams.Out.Name {
		m.readOutput()
		return m
	}
	if at := header.Get(headerTime); at != "" {
		t, err := time.Parse(time.RFC3339, at)
		if err != nil {
			m.Kind, m.Reason = Unreadable, "time"
			return m
		}
		m.At = t
	}
	return m
}

// readOutput takes the sample out of the output that an interaction made.
func (m *Message) readOutput() {
	o, err := rules.DecodeOutcome(m.Data)
	if err != nil {
		m.Kind, m.Reason = Unreadable, "outcome"
		return
	}
	m.At, m.Data, m.Hops = o.At, o.Data, o.Hops
}

func (b *Bus) parsePath(subject string) path {
	bad := path{kind: Unreadable}
	rest, own := strings.CutPrefix(subject, b.root+"feed.")
	if !own { // an existing stream keeps samples under the subjects at which they came
		twin, feed, ok := b.door.match(subject)
		if !ok {
			return bad
		}
		return path{partition: partition(twin, b.config.Partitions), kind: OneSample, twin: Name(twin), feed: Name(feed)}
	}
	number, rest, ok := strings.Cut(rest, ".")
	p, err := strconv.Atoi(number)
	if !ok || err != nil || p < 0 || p >= b.config.Partitions {
		return bad
	}
	bad.partition = p
	if output, ok := strings.CutPrefix(rest, "_out."); ok && strings.IndexByte(output, '.') >= 0 {
		rest = output // else it is a twin of that name
	}
	twin, feed, named := strings.Cut(rest, ".")
	switch {
	case named && strings.IndexByte(feed, '.') < 0:
		return path{partition: p, kind: OneSample, twin: Name(twin), feed: Name(feed)}
	case named:
		return bad
	case twin == "_ctl":
		return path{partition: p, kind: Control}
	case twin == tickToken:
		return path{partition: p, kind: Tick}
	case twin == "_batch":
		return path{partition: p, kind: ManySamples}
	}
	return bad
}
