package bus

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// custody is what one end of a consumer knows of the messages that it has fetched.
// It keeps the server from giving to somebody else what is in its hands, and
// knows of what is done with before the server knows. It is safe for concurrent use.
type custody struct {
	nc      *nats.Conn
	inbox   string // where the server confirms
	replies *nats.Subscription

	mu       sync.Mutex
	open     map[uint64]*entry // by sequence in the stream: fetched, and not confirmed as done
	acks     []uint64          // sequences of what is done and not confirmed, in the order in which the server was told
	sent     int               // acknowledgements, since the beginning
	back     int               // entries that are given back and not confirmed
	settled  chan struct{}     // nothing waits for the server's word any more
	connects uint64            // how often the connection was lost and made again before the last question
}

// askEvery is how many acknowledgements go before the server is asked whether it
// has them: it handles them in their order.
const askEvery = 64

// entry is what has become of a message.
type entry struct {
	state standing
	reply string    // the message's, to which the server listens
	at    time.Time // when the server was last told of it
}

type standing uint8

const (
	inHand   standing = iota
	later             // the server gives it again after a while
	done              // acknowledged; the server has not confirmed it
	returned          // given back at once; the server has not confirmed it
)

// The words of the protocol by which a message is answered.
const (
	wordDone     = "+ACK"
	wordProgress = "+WPI"
)

// wordLater is that the message is to be given again, but not before. There is
// always a delay: without one, a server that is stopped now forgets that it was said.
func wordLater(wait time.Duration) string {
	return `-NAK {"delay":` + strconv.FormatInt(max(wait.Nanoseconds(), 1), 10) + "}"
}

func newCustody(nc *nats.Conn) (*custody, error) {
	c := &custody{nc: nc, inbox: nc.NewInbox() + ".", open: map[uint64]*entry{}, settled: make(chan struct{}, 1), connects: nc.Stats().Reconnects}
	var err error
	c.replies, err = nc.Subscribe(c.inbox+"*", c.confirm)
	return c, err
}

func (c *custody) close() {
	c.replies.Unsubscribe() //nolint:errcheck // the connection is closed, then
}

// confirm takes the server's word: that it has so many acknowledgements, or that
// it has a message back.
func (c *custody) confirm(m *nats.Msg) {
	what := strings.TrimPrefix(m.Subject, c.inbox)
	n, _ := strconv.ParseUint(what[1:], 10, 64)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := c.open[n]; {
	case what[0] == asked:
		for len(c.acks) > 0 && c.sent-len(c.acks) < int(n) {
			delete(c.open, c.acks[0])
			c.acks = c.acks[1:]
		}
	case e != nil && e.state == returned:
		delete(c.open, n)
		c.back--
	}
	if len(c.acks) == 0 && c.back == 0 {
		select {
		case c.settled <- struct{}{}:
		default:
		}
	}
}

// What the server confirms, as the first letter of the last token of its reply.
const (
	asked  = 'a' // with a number of acknowledgements
	gotten = 'r' // with the sequence of a message that was given back
)

// come takes in a message that has come. It says whether it is work: one that is
// in hand or done came again because the server had not heard of it in time; and
// whether it is here for the first time.
func (c *custody) come(seq uint64, reply string, now time.Time) (work, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.open[seq]
	if e == nil {
		c.open[seq] = &entry{inHand, reply, now}
		return true, true
	}
	e.reply, e.at = reply, now
	switch e.state {
	case later:
		e.state = inHand
		return true, false
	case done:
		c.say(e, wordDone)
	}
	return false, false
}

// say lets the server know. What is not sent because it is away is said again later.
func (c *custody) say(e *entry, word string) {
	c.nc.Publish(e.reply, []byte(word)) //nolint:errcheck // see above
}

// acknowledge says that a message is done with.
func (c *custody) acknowledge(seq uint64, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.open[seq]
	e.state, e.at = done, now
	c.acks = append(c.acks, seq)
	c.sent++
	if c.sent%askEvery == 0 {
		c.ask()
		return
	}
	c.say(e, wordDone)
}

// ask says the last acknowledgement once more, if it was said before, and asks
// whether the server has it. What was said on a connection that is lost it may
// not have: then all are said again.
func (c *custody) ask() {
	if n := c.nc.Stats().Reconnects; n != c.connects {
		c.connects = n
		for _, seq := range c.acks {
			c.say(c.open[seq], wordDone)
		}
	}
	if len(c.acks) > 0 {
		e := c.open[c.acks[len(c.acks)-1]]
		c.nc.PublishRequest(e.reply, c.inbox+string(asked)+strconv.Itoa(c.sent), []byte(wordDone)) //nolint:errcheck // it is asked again
	}
}

// giveBack lets the server have a message for whoever comes next.
func (c *custody) giveBack(seq uint64, e *entry) {
	c.nc.PublishRequest(e.reply, c.inbox+string(gotten)+strconv.FormatUint(seq, 10), []byte(wordLater(0))) //nolint:errcheck // it is said again
}

// postpone lets the server give a message again after a while.
func (c *custody) postpone(seq uint64, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.open[seq]
	e.state = later
	c.say(e, wordLater(wait))
}

// beat says again what the server has not heard for so long: that a message is
// being worked on, or that it is done with.
func (c *custody) beat(now time.Time, silence time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for seq, e := range c.open {
		if now.Sub(e.at) < silence {
			continue
		}
		switch e.state {
		case inHand:
			c.say(e, wordProgress)
		case done:
			c.say(e, wordDone)
		case returned:
			c.giveBack(seq, e)
		case later:
			continue
		}
		e.at = now
	}
	c.ask()
}

// settle gives back what is in hand, and with all also what was to come later, and
// waits until the server has confirmed what it was told, or ctx ends.
func (c *custody) settle(ctx context.Context, all bool) {
	c.mu.Lock()
	for seq, e := range c.open {
		if e.state == inHand || all && e.state == later {
			e.state, e.at = returned, time.Now()
			c.back++
			c.giveBack(seq, e)
		}
	}
	c.ask()
	c.mu.Unlock()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for c.waits() {
		select {
		case <-c.settled:
		case <-again.C:
			c.beat(time.Now(), time.Second)
		case <-ctx.Done():
			return
		}
	}
}

func (c *custody) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acks)+c.back > 0
}

// first is the lowest sequence that is not done with; next when there is none.
func (c *custody) first(next uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for seq, e := range c.open {
		if e.state != done {
			next = min(next, seq)
		}
	}
	return next
}

// counts are the acknowledgements that were sent, those of which the server knows
// for sure, and the messages of which it may know otherwise than we.
func (c *custody) counts() (sent, confirmed, unsure int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.open {
		if e.state != later {
			unsure++
		}
	}
	return c.sent, c.sent - len(c.acks), unsure
}

// forgetLater forgets what the server was to give again and does not have any more.
func (c *custody) forgetLater() {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.open, func(_ uint64, e *entry) bool { return e.state == later })
}
