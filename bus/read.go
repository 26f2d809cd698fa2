package bus

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

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
}

// Reader gives the messages of FEED in their order. One goroutine may use it.
type Reader struct {
	*intake[Message]
	bus   *Bus
	paths map[string]path
}

// Read begins at sequence from.
func (b *Bus) Read(ctx context.Context, from uint64) (*Reader, error) {
	r := &Reader{bus: b, paths: map[string]path{}}
	var err error
	r.intake, err = newIntake(ctx, b.feed, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
	}, r.message)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", feedStream, err)
	}
	return r, nil
}

// path is what a subject of FEED says.
type path struct {
	partition  int
	kind       MessageKind
	twin, feed string
}

func (r *Reader) message(raw jetstream.Msg) Message {
	m := Message{Data: raw.Data()}
	if meta, err := raw.Metadata(); err == nil {
		m.Seq, m.Stored = meta.Sequence.Stream, meta.Timestamp
	}
	m.At = m.Stored
	p, ok := r.paths[raw.Subject()]
	if !ok {
		p = parsePath(raw.Subject(), r.bus.config.Partitions)
		if len(r.paths) > 100_000 {
			clear(r.paths) // a bound on what strangers' subjects may cost
		}
		r.paths[raw.Subject()] = p
	}
	m.Partition, m.Kind, m.Twin, m.Feed = p.partition, p.kind, p.twin, p.feed
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
	header := raw.Headers()
	if len(header) == 0 {
		return m
	}
	if kind := header.Get(headerKind); kind != "" {
		m.readOutput(header.Get(headerCause))
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
func (m *Message) readOutput(cause string) {
	_, hops, err := parseCause(cause)
	if err != nil {
		m.Kind, m.Reason = Unreadable, "cause"
		return
	}
	o, err := rules.DecodeOutcome(m.Data)
	if err != nil {
		m.Kind, m.Reason = Unreadable, "outcome"
		return
	}
	m.At, m.Data, m.Hops = o.At, o.Data, hops
}

func parsePath(subject string, partitions int) path {
	t := strings.Split(subject, ".")
	bad := path{kind: Unreadable}
	if len(t) < 3 || t[0] != "feed" {
		return bad
	}
	p, err := strconv.Atoi(t[1])
	if err != nil || p < 0 || p >= partitions {
		return bad
	}
	switch {
	case len(t) == 3 && t[2] == "_ctl":
		return path{partition: p, kind: Control}
	case len(t) == 3 && t[2] == tickToken:
		return path{partition: p, kind: Tick}
	case len(t) == 3 && t[2] == "_batch":
		return path{partition: p, kind: ManySamples}
	case len(t) == 4:
		return path{partition: p, kind: OneSample, twin: Name(t[2]), feed: Name(t[3])}
	}
	bad.partition = p
	return bad
}
