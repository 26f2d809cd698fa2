package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// intake reads streams for one goroutine, by any number of readings. What the
// server sends waits in one channel; there is no goroutine and no lock between
// the connection and Next. What may be on its way and waiting is bounded by what
// the readings ask the server for.
type intake[T any] struct {
	nc       *nats.Conn
	read     func(*nats.Msg, delivery) T
	readings []*reading
	bySub    map[*nats.Subscription]*reading
	last     *reading // of the last message
	come     chan *nats.Msg
	back     chan nats.Status // the connection was lost and is there again
	wake     chan struct{}
	timer    *time.Timer
}

// reading is a part of a stream that is read from a sequence on, by a pull
// consumer without acknowledgement. Its messages carry numbers, so what was lost
// on the way is noticed; then, or when the consumer is gone, the reading begins
// again with a new consumer after the last message that came.
type reading struct {
	stream, filter string
	next           uint64 // sequence of the stream that comes next, at least
	consumer       string
	sub            *nats.Subscription
	number         uint64    // the consumer's, of the last message that came
	asked          int       // messages that the last request was about
	open           int       // messages that were asked for and have not come
	low            int       // open messages at which it asks for more
	size           int       // of a message, the average of late
	alone          bool      // the next message is larger than a request may be
	due            time.Time // it begins again unless the server is heard of until then
}

// What readings may have on the way and waiting, all of them together. A single
// one may always have a few messages, and the largest message there is.
const (
	intakeMessages = 2048
	intakeBytes    = 16 << 20
	readingLeast   = 64  // messages, and of a reading's first request
	nextMost       = 512 // messages of one Next
)

const (
	requestExpires   = 30 * time.Second
	requestHeartbeat = time.Second
	readingPatience  = 2500 * time.Millisecond // without a message or a heartbeat, something is wrong
	readingRetry     = 250 * time.Millisecond
	readingForgotten = time.Minute // the server drops a consumer that nobody asks for messages
)

func newIntake[T any](nc *nats.Conn, read func(*nats.Msg, delivery) T) *intake[T] {
	return &intake[T]{
		nc: nc, read: read, bySub: map[*nats.Subscription]*reading{},
		come: make(chan *nats.Msg, 4*intakeMessages), back: nc.StatusChanged(nats.CONNECTED), wake: make(chan struct{}, 1),
		timer: time.NewTimer(time.Hour),
	}
}

// add begins a reading. What fits no filter ("" = none) does not come.
func (i *intake[T]) add(ctx context.Context, stream, filter string, from uint64) (*reading, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	r := &reading{stream: stream, filter: filter, next: max(from, 1)}
	r.rename()
	answer, err := i.nc.RequestWithContext(ctx, r.api("CREATE"), r.config())
	if err == nil {
		err = apiError(answer.Data)
	}
	if err == nil {
		err = i.listen(r)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: reading it: %w", stream, away(err))
	}
	i.readings = append(i.readings, r)
	i.ask(r, time.Now())
	return r, nil
}

// remove ends a reading; nothing of it comes any more.
func (i *intake[T]) remove(r *reading) {
	i.forget(r)
	i.readings = slices.DeleteFunc(i.readings, func(o *reading) bool { return o == r })
}

// clear ends all readings.
func (i *intake[T]) clear() {
	for _, r := range i.readings {
		i.forget(r)
	}
	i.readings = nil
}

// Close ends the reading.
func (i *intake[T]) Close() {
	i.clear()
	i.nc.RemoveStatusListener(i.back)
	i.timer.Stop()
}

// Wake lets Next return at once with what there is: the one that waits, or else
// the next one. It may be called from any goroutine.
func (i *intake[T]) Wake() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// Next gives what has come, in buf's memory; nothing when nothing came within
// wait, or Wake was called. Its error is that of ctx.
func (i *intake[T]) Next(ctx context.Context, wait time.Duration, buf []T) ([]T, error) {
	clear(buf)
	buf = buf[:0]
	for end := time.Now().Add(wait); ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now := time.Now()
		if buf = i.drain(now, buf); len(buf) > 0 {
			return buf, nil
		}
		i.timer.Reset(min(end.Sub(now), i.tend(now).Sub(now)))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-i.wake:
			return i.drain(time.Now(), buf), nil
		case <-i.back:
			for _, r := range i.readings {
				i.begin(r, now)
			}
		case m := <-i.come:
			now = time.Now()
			if buf = i.drain(now, i.take(m, now, buf)); len(buf) > 0 {
				return buf, nil
			}
		case now = <-i.timer.C:
			if !now.Before(end) {
				return buf, nil
			}
		}
	}
}

// drain takes what waits.
func (i *intake[T]) drain(now time.Time, buf []T) []T {
	for len(buf) < nextMost {
		select {
		case m := <-i.come:
			buf = i.take(m, now, buf)
		default:
			return buf
		}
	}
	return buf
}

// tend begins those readings again of which nothing was heard, and gives the
// time at which it has to be called next. It may be called when nothing waits.
func (i *intake[T]) tend(now time.Time) time.Time {
	next := now.Add(time.Hour)
	for _, r := range i.readings {
		if !now.Before(r.due) {
			i.begin(r, now)
		}
		if r.due.Before(next) {
			next = r.due
		}
	}
	return next
}

// take appends a message, unless it is one about the reading, or of none.
func (i *intake[T]) take(m *nats.Msg, now time.Time, buf []T) []T {
	r := i.last
	if r == nil || r.sub != m.Sub {
		if r = i.bySub[m.Sub]; r == nil {
			return buf // of a reading that was ended
		}
		i.last = r
	}
	r.due = now.Add(readingPatience)
	if m.Reply == "" {
		i.hear(r, m, now)
		return buf
	}
	d, ok := parseDelivery(m.Reply)
	if !ok {
		return buf // not from the server
	}
	if d.number != r.number+1 {
		i.begin(r, now)
		return buf
	}
	r.number, r.next = d.number, d.seq+1
	r.size += (len(m.Data) - r.size) / 8
	if r.open--; r.open <= r.low {
		i.ask(r, now)
	}
	d.of = r
	return append(buf, i.read(m, d))
}

// hear takes what the server says of a reading: the answer to the making of the
// consumer, or that a request has ended or stands.
func (i *intake[T]) hear(r *reading, m *nats.Msg, now time.Time) {
	status := m.Header.Get("Status")
	switch status {
	case "":
		if apiError(m.Data) != nil {
			r.due = now.Add(readingRetry)
			return
		}
		i.ask(r, now)
	case "100":
		if sent, err := strconv.ParseUint(m.Header.Get("Nats-Last-Consumer"), 10, 64); err == nil && sent > r.number {
			i.begin(r, now) // what it sent last was lost
		}
	default:
		rest, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
		if err != nil { // there is no such consumer any more
			r.due = now.Add(readingRetry)
			return
		}
		r.open -= rest
		r.alone = status == "409" && rest == r.asked
		i.ask(r, now)
	}
}

// begin makes a new consumer for a reading.
func (i *intake[T]) begin(r *reading, now time.Time) {
	i.forget(r)
	r.rename()
	r.due = now.Add(readingPatience)
	err := i.listen(r)
	if err == nil {
		err = i.nc.PublishRequest(r.api("CREATE"), r.sub.Subject, r.config())
	}
	if err != nil {
		r.due = now.Add(readingRetry)
	}
}

// listen lets what the server sends to a reading come.
func (i *intake[T]) listen(r *reading) (err error) {
	if r.sub, err = i.nc.ChanSubscribe(nats.NewInbox(), i.come); err == nil {
		i.bySub[r.sub] = r
	}
	return err
}

// forget ends what listen began. Where the server cannot be told, it drops the
// consumer by itself.
func (i *intake[T]) forget(r *reading) {
	if r.sub != nil {
		delete(i.bySub, r.sub)
		r.sub.Unsubscribe()                //nolint:errcheck // the connection is gone, and with it the subscription
		i.nc.Publish(r.api("DELETE"), nil) //nolint:errcheck // see above
	}
	i.last, r.sub, r.number, r.open, r.low = nil, nil, 0, 0, 0
}

// ask asks the server for as many messages as the reading may have, and sets
// the number at which it is time to ask again.
func (i *intake[T]) ask(r *reading, now time.Time) {
	share := max(intakeMessages/len(i.readings), readingLeast)
	bytes := max(intakeBytes/len(i.readings), int(i.nc.MaxPayload())+4096) // a message's subject and reply count too
	want := min(share, bytes/max(r.size, 1)+1)
	r.low = want / 2
	r.asked = want - r.open
	switch {
	case r.alone:
		r.asked, bytes, r.alone = 1, 0, false
	case r.number == 0:
		r.asked = min(r.asked, readingLeast)
	}
	if r.asked <= 0 {
		return
	}
	body := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`, r.asked, bytes, requestExpires, requestHeartbeat)
	if err := i.nc.PublishRequest(r.api("MSG.NEXT"), r.sub.Subject, body); err != nil {
		r.due = now.Add(readingRetry)
		return
	}
	r.open += r.asked
}

// readingPrefix begins the names of the consumers of readings.
const readingPrefix = "tocsin-"

func (r *reading) rename() { r.consumer = readingPrefix + nuid.Next() }

func (r *reading) api(what string) string {
	return "$JS.API.CONSUMER." + what + "." + r.stream + "." + r.consumer
}

// config is the request that makes the reading's consumer.
func (r *reading) config() []byte {
	body, err := json.Marshal(struct {
		Stream string                   `json:"stream_name"`
		Config jetstream.ConsumerConfig `json:"config"`
	}{r.stream, jetstream.ConsumerConfig{
		Name: r.consumer, FilterSubject: r.filter, AckPolicy: jetstream.AckNonePolicy,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.next,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: readingForgotten,
	}})
	if err != nil {
		panic(err) // plain fields
	}
	return body
}

func apiError(answer []byte) error {
	var a struct{ Error *jetstream.APIError }
	if err := json.Unmarshal(answer, &a); err != nil {
		return fmt.Errorf("the answer %q is not understood: %w", answer, err)
	}
	if a.Error != nil {
		return a.Error
	}
	return nil
}

// delivery is what a consumer says of a message.
type delivery struct {
	seq     uint64 // in the stream
	number  uint64 // among the consumer's, from 1
	stored  time.Time
	pending uint64 // messages that the consumer has still to send
	of      *reading
}

// parseDelivery reads the reply subject of a message from a consumer (server
// ADR-15): $JS.ACK.<stream>.<consumer>.<attempt>.<seq>.<number>.<stored>.<pending>,
// or with <domain>.<account> before the stream and, perhaps, more at the end.
func parseDelivery(reply string) (d delivery, ok bool) {
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	if !ok {
		return d, false
	}
	skip := 3
	if strings.Count(rest, ".") > 6 {
		skip = 5
	}
	for range skip {
		if _, rest, ok = strings.Cut(rest, "."); !ok {
			return d, false
		}
	}
	var numbers [4]uint64
	for i := range numbers {
		end := 0
		for ; end < len(rest) && rest[end] != '.'; end++ {
			digit := rest[end] - '0'
			if digit > 9 {
				return d, false
			}
			numbers[i] = 10*numbers[i] + uint64(digit)
		}
		if end == 0 {
			return d, false
		}
		rest = rest[min(end+1, len(rest)):]
	}
	return delivery{seq: numbers[0], number: numbers[1], stored: time.Unix(0, int64(numbers[2])), pending: numbers[3]}, true
}
