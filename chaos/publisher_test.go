//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/pause"
)

// packet is a message on its way to FEED. Its id stays the same on every attempt.
type packet struct {
	id      string
	subject string
	header  nats.Header
	data    []byte
}

// publisher brings packets to FEED in their order, and each until it has been
// acknowledged. On one server this is the order in FEED: what a broken
// connection or a killed server takes away is always the end of what was sent.
type publisher struct {
	nc      *nats.Conn
	gone    <-chan struct{} // nobody takes answers any more
	inbox   string
	answers chan answer
	window  int // packets on their way at a time

	packets []packet
	next    int          // all before it are acknowledged
	stored  atomic.Int64 // what is acknowledged, for who looks from outside
	full    atomic.Int64 // answers that say that FEED is full
	refused map[string]int
}

type answer struct {
	index int
	err   error
}

func newPublisher(t *testing.T, url string, packets []packet) *publisher {
	t.Helper()
	nc, _ := connect(t, url)
	p := &publisher{nc: nc, gone: t.Context().Done(), inbox: nc.NewInbox(), window: 64, packets: packets, refused: map[string]int{}}
	p.answers = make(chan answer, 4*p.window)
	_, err := nc.Subscribe(p.inbox+".*", p.answer)
	require.NoError(t, err)
	return p
}

// codeStoreFailed is the server's code for a stream that takes no more.
const codeStoreFailed = 10077

// answer takes what the server says of a packet.
func (p *publisher) answer(m *nats.Msg) {
	index, err := strconv.Atoi(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	if err != nil {
		return
	}
	var said struct {
		Error *struct {
			Code        int `json:"err_code"`
			Description string
		}
	}
	err = json.Unmarshal(m.Data, &said)
	switch {
	case m.Header.Get("Status") != "":
		err = nats.ErrNoResponders
	case err == nil && said.Error != nil:
		err = errors.New(said.Error.Description)
		if said.Error.Code == codeStoreFailed {
			p.full.Add(1)
		}
	}
	select {
	case p.answers <- answer{index, err}:
	case <-p.gone:
	}
}

// upTo publishes the packets before n and returns when all are acknowledged. Its
// error is that of ctx.
func (p *publisher) upTo(ctx context.Context, n int) error {
	for p.next < n {
		if err := p.chunk(ctx, min(p.next+p.window, n)); err != nil {
			return err
		}
	}
	return nil
}

// chunk publishes the packets before end.
func (p *publisher) chunk(ctx context.Context, end int) error {
	open := map[int]bool{}
	for i := p.next; i < end; i++ {
		open[i] = true
	}
	for len(open) > 0 {
		var why error
		for i := p.next; i < end && why == nil; i++ {
			if open[i] {
				why = p.send(i)
			}
		}
		if why == nil {
			why = p.await(ctx, open)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if why != nil {
			p.refused[why.Error()]++
			if err := pause.For(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
	}
	p.next = end
	p.stored.Store(int64(end))
	return nil
}

func (p *publisher) send(i int) error {
	k := &p.packets[i]
	header := nats.Header{"Nats-Msg-Id": {k.id}}
	maps.Copy(header, k.header)
	return p.nc.PublishMsg(&nats.Msg{Subject: k.subject, Reply: p.inbox + "." + strconv.Itoa(i), Header: header, Data: k.data})
}

// errSilence says that some packets were not answered.
var errSilence = errors.New("no answer")

// await takes answers until there is one for each open packet, or none has come
// for a while; the acknowledged ones are open no more. The error is the last
// one of those that were refused.
func (p *publisher) await(ctx context.Context, open map[int]bool) error {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	var why error
	for left := len(open); left > 0; {
		select {
		case a := <-p.answers:
			if !open[a.index] {
				continue // of an earlier attempt
			}
			left--
			if a.err != nil {
				why = a.err
				continue
			}
			delete(open, a.index)
			timer.Reset(time.Second)
		case <-timer.C:
			return errors.Join(why, errSilence)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return why
}

// paced publishes the packets before n in bursts, at a rate in packets a second.
func (p *publisher) paced(ctx context.Context, n, rate int) error {
	const bursts = 10 // a second
	ticker := time.NewTicker(time.Second / bursts)
	defer ticker.Stop()
	for p.next < n {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := p.upTo(ctx, min(p.next+max(rate/bursts, 1), n)); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) String() string {
	return fmt.Sprintf("%d of %d packets stored, attempts that were not: %v", p.stored.Load(), len(p.packets), p.refused)
}
