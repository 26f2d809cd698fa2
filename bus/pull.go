package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/internal/pause"
)

const (
	// nextWait is how long a pull waits for outcomes; a stop waits for it.
	nextWait = 500 * time.Millisecond
	// lookEvery is how often a puller compares what waits with what it knows, and
	// lookAgain when that does not fit.
	lookEvery, lookAgain = 5 * time.Second, time.Second
)

// puller fetches from a backlog as much as it is asked for. One goroutine runs it.
type puller struct {
	*backlog
	*custody
	ordered bool
	trouble func(error)
	ask     chan int // how many the dispatcher has room for
	arrive  chan<- arrival

	known   bool      // where the consumer was when we began
	early   []*parcel // what came while we waited for what was fetched before us
	begun   uint64    // what is before it was fetched by somebody before us
	next    uint64    // sequence after the newest message that was fetched
	earlier int       // fetched before us, not dealt with, and not here yet
	floor   uint64    // what is before it had been dealt with when we began
	waited  int       // how much waited when it was last looked
	settled int       // acknowledgements of which the server knew then for sure
	looked  time.Time // when that was, by the server's clock
	suspect bool      // some of what waited seems to be gone
}

// arrival is what a puller has fetched.
type arrival struct {
	from    *puller
	parcels []*parcel
	idle    bool // it has nothing to do
	ended   bool // it is over
}

// parcel is a delivery on its way to a worker.
type parcel struct {
	from     *puller
	seq      uint64 // in the backlog's stream
	lane     *lane  // those of one lane go one after the other; nil = it has none
	waits    bool   // its lane waits when it has to be tried again
	delivery Delivery
}

// run fetches until ctx ends.
func (p *puller) run(ctx context.Context) {
	defer func() { p.arrive <- arrival{from: p, ended: true} }()
	p.know(p.consumer.CachedInfo())
	for ctx.Err() == nil {
		err := p.begin(ctx)
		if err == nil {
			break
		}
		p.mend(ctx, err)
	}
	p.arrive <- arrival{from: p, idle: true}
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			look.Reset(p.look(ctx))
		case n := <-p.ask:
			if err := p.fetch(ctx, n); err != nil && ctx.Err() == nil {
				p.mend(ctx, err)
			}
			p.arrive <- arrival{from: p, idle: true}
		}
	}
}

// know takes in where the consumer is.
func (p *puller) know(info *jetstream.ConsumerInfo) {
	p.floor, p.next, p.earlier = info.AckFloor.Stream+1, info.Delivered.Stream+1, info.NumAckPending
	p.begun = p.next
	p.waited, p.looked = int(info.NumPending)+info.NumAckPending, info.TimeStamp
}

// begin learns where the consumer is. Where order counts it waits until what
// somebody before us had fetched and not dealt with has come again: at once when
// that one has given it back, else after AckWait. After an error it can be called
// again: what has come waits for the rest, or it would go ahead of it.
func (p *puller) begin(ctx context.Context) error {
	if !p.known {
		info, err := p.consumer.Info(ctx)
		if err != nil {
			return err
		}
		p.know(info)
		p.known = true
	}
	if !p.ordered || p.letters {
		return nil
	}
	if err := p.returned(ctx); err != nil {
		return err
	}
	slices.SortFunc(p.early, func(a, b *parcel) int { return cmp.Compare(a.seq, b.seq) })
	p.arrive <- arrival{from: p, parcels: p.early}
	p.early = nil
	return nil
}

// returned fetches until everything is here that was fetched before us, or AckWait is over.
func (p *puller) returned(ctx context.Context) error {
	deadline := time.Now().Add(p.config.AckWait + givenLate)
	for wait := givenBack; p.earlier > 0 && ctx.Err() == nil; {
		last := !time.Now().Before(deadline)
		n := p.earlier
		if !last {
			n = min(n, beginFetch)
		}
		batch, err := p.consumer.FetchNoWait(n)
		if err != nil {
			return err
		}
		got := p.parcels(ctx, batch)
		p.early = append(p.early, got...)
		if last {
			break
		}
		if len(got) == 0 || slices.ContainsFunc(got, func(x *parcel) bool { return x.seq >= p.begun }) {
			pause.For(ctx, min(wait, time.Until(deadline))) //nolint:errcheck // the server does not have it back yet; the loop asks for ctx
			wait *= 2
		}
	}
	return nil
}

const (
	// givenBack is how long the server may take to have what was given back.
	givenBack = 50 * time.Millisecond
	// givenLate is how much later than after AckWait a busy server may give again
	// what nobody has given back.
	givenLate = 5 * time.Second
	// beginFetch bounds what is fetched too early while that is waited for.
	beginFetch = 64
)

// fetch hands over at most n outcomes as they come.
func (p *puller) fetch(ctx context.Context, n int) error {
	batch, err := p.consumer.Fetch(n, jetstream.FetchMaxWait(nextWait))
	if err != nil {
		return err
	}
	messages := batch.Messages()
	for m := range messages {
		list := p.parcel(ctx, nil, m)
		for len(messages) > 0 {
			list = p.parcel(ctx, list, <-messages)
		}
		if len(list) > 0 {
			p.arrive <- arrival{from: p, parcels: list}
		}
	}
	return batch.Error()
}

func (p *puller) parcels(ctx context.Context, batch jetstream.MessageBatch) (list []*parcel) {
	for m := range batch.Messages() {
		list = p.parcel(ctx, list, m)
	}
	return list
}

// parcel appends what a message is to be delivered as, if it is.
func (p *puller) parcel(ctx context.Context, list []*parcel, m jetstream.Msg) []*parcel {
	meta, err := m.Metadata()
	if err != nil {
		p.trouble(err)
		return list
	}
	seq, now := meta.Sequence.Stream, time.Now()
	work, first := p.come(seq, m.Reply(), now)
	if first && seq < p.begun && p.earlier > 0 {
		p.earlier--
	}
	p.next = max(p.next, seq+1)
	if !work {
		return list
	}
	x := &parcel{from: p, seq: seq, delivery: Delivery{Attempt: int(meta.NumDelivered), Seq: seq, Data: m.Data(), subject: m.Subject()}}
	switch {
	case strings.HasPrefix(m.Subject(), p.bus.root+fencePrefix): // what workers say to each other
		p.acknowledge(seq, now)
		return list
	case p.letters:
		return p.letter(ctx, list, x, m)
	}
	x.waits = true
	return append(list, x)
}

// letter puts the outcome of a dead letter into the parcel. One that is gone has
// been dropped, or has arrived.
func (p *puller) letter(ctx context.Context, list []*parcel, x *parcel, m jetstream.Msg) []*parcel {
	number := letterOf(m.Subject())
	l, err := p.bus.DeadLetter(ctx, number)
	switch {
	case errors.Is(err, ErrNoLetter):
		if err := p.bus.forgetRetry(ctx, x.seq); err != nil {
			p.postpone(x.seq, time.Second)
			return list
		}
		p.acknowledge(x.seq, time.Now())
		return list
	case err != nil:
		p.trouble(err)
		p.postpone(x.seq, time.Second)
		return list
	}
	d := &x.delivery
	d.Letter, d.Seq, d.Data, d.subject, d.route, d.attempts = number, l.Seq, l.Data, l.subject, l.Route, l.Attempts
	return append(list, x)
}

// mend sees to it that a fetch can succeed again. A consumer that somebody has
// deleted is made again where it was.
func (p *puller) mend(ctx context.Context, err error) {
	if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, nats.ErrNoResponders) {
		err = p.makeAgain(ctx)
	}
	if err != nil && ctx.Err() == nil {
		p.trouble(away(err))
		pause.For(ctx, nextWait) //nolint:errcheck // the caller asks
	}
}

func (p *puller) makeAgain(ctx context.Context) error {
	_, err := p.stream.Consumer(ctx, p.config.Durable)
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	// The server may still be writing the state of the old one, which the new one
	// would take for its own (nats-server v2.15.2, consumerFileStore.flushLoop).
	pause.For(ctx, nextWait) //nolint:errcheck // it is made also when ctx has ended: the next run would not know where it was
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	c := p.config
	if !p.letters {
		c.DeliverPolicy, c.OptStartTime, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, nil, p.first(p.next)
		if p.earlier > 0 {
			c.OptStartSeq = min(c.OptStartSeq, p.floor)
		}
	}
	if _, err := p.stream.CreateConsumer(ctx, c); err != nil {
		return err
	}
	p.trouble(fmt.Errorf("consumer %s of stream %s was %w; it is made again and goes on at sequence %d, from where outcomes may come twice", c.Durable, p.stream.CachedInfo().Config.Name, ErrGone, max(c.OptStartSeq, 1)))
	p.earlier, p.waited = 0, 0
	return nil
}

// look compares what waits with what waited: the difference has been dealt with,
// or is gone. It says when to look again.
func (p *puller) look(ctx context.Context) time.Duration {
	if p.letters {
		return lookEvery // the letters themselves stay
	}
	_, settled, _ := p.counts()
	info, err := p.consumer.Info(ctx)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		p.mend(ctx, err)
	}
	if err != nil {
		return lookEvery
	}
	waits := int(info.NumPending) + info.NumAckPending
	sent, _, unsure := p.counts()
	gone := p.waited - (sent - p.settled) - unsure - waits
	if gone > 0 && p.config.FilterSubject == "" {
		fences, err := p.fences(ctx)
		if err != nil {
			return lookAgain
		}
		gone -= fences
	}
	if gone > 0 && !p.suspect {
		p.suspect = true // or the server is about to hear of something that was stored
		return lookAgain
	}
	if gone > 0 {
		p.trouble(fmt.Errorf("%d outcomes or more that waited for it in stream %s were %w, and are lost", gone, p.stream.CachedInfo().Config.Name, ErrGone))
	}
	if info.NumAckPending == 0 {
		p.forgetLater()
	}
	p.suspect, p.waited, p.settled, p.looked = false, waits, settled, info.TimeStamp
	return lookEvery
}

// fences is how many fences of partitions have been put up since it was last
// looked: each takes the place of one that may have waited.
func (p *puller) fences(ctx context.Context) (n int, err error) {
	for i := range p.bus.Partitions() {
		m, err := p.stream.GetLastMsgForSubject(ctx, p.bus.root+fencePrefix+strconv.Itoa(i))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case err != nil:
			return 0, err
		case m.Time.After(p.looked):
			n++
		}
	}
	return n, nil
}
