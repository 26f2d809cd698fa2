package stomp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/go-stomp/stomp/v3/frame"

	"tocsin.internal/internal/stompclient"
)

// errEnded is what deliveries get whose connection has ended without a word.
var errEnded = errors.New("the connection has ended")

// link is one connection. Those who wait for receipts take turns at reading it.
type link struct {
	conn    *stompclient.Conn
	end     context.CancelFunc
	reading chan struct{} // held by who reads

	mu      sync.Mutex
	waiting map[string]chan error // by receipt; each takes one
	number  uint64
	over    error // why it has ended
}

// dial connects. The connection outlives ctx.
func dial(ctx context.Context, c *stompclient.Config) (*link, error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	conn, err := c.DialSilent(life)
	if !stop() && err == nil {
		conn.Close()
		err = ctx.Err()
	}
	if err != nil {
		end()
		return nil, err
	}
	return &link{conn: conn, end: end, reading: make(chan struct{}, 1), waiting: map[string]chan error{}}, nil
}

// Ended implements sinks.Link.
func (l *link) Ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over != nil
}

// send sends a frame and waits for its receipt. When ctx ends before, nobody
// knows what became of the frame, and the connection is given up.
func (l *link) send(ctx context.Context, template *frame.Frame) error {
	receipt, came, err := l.expect()
	if err != nil {
		return err
	}
	f := &frame.Frame{Command: template.Command, Header: template.Header.Clone(), Body: template.Body}
	f.Header.Set(frame.Receipt, receipt)
	stop := context.AfterFunc(ctx, func() { l.fail(fmt.Errorf("%w: no receipt: %w", errEnded, context.Cause(ctx))) })
	defer stop()
	if err := l.conn.Send(f); err != nil {
		l.fail(fmt.Errorf("%w: %w", errEnded, err))
	}
	for {
		select {
		case err := <-came:
			return err
		case l.reading <- struct{}{}:
			err, done := l.readUntil(came)
			<-l.reading
			if done {
				return err
			}
		}
	}
}

// expect makes the place of a receipt.
func (l *link) expect() (string, <-chan error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over != nil {
		return "", nil, fmt.Errorf("%w: %w", errEnded, l.over)
	}
	l.number++
	receipt, came := strconv.FormatUint(l.number, 10), make(chan error, 1)
	l.waiting[receipt] = came
	return receipt, came, nil
}

// readUntil reads for all until the receipt of the one who calls has come.
func (l *link) readUntil(came <-chan error) (err error, done bool) { //nolint:revive // the error is a result like the other
	for {
		select {
		case err := <-came:
			return err, true
		default:
		}
		f, err := l.conn.Read()
		if err != nil {
			l.failRead(err)
			continue // what came has it
		}
		if f.Command == frame.RECEIPT {
			l.arrived(f.Header.Get(frame.ReceiptId))
		}
	}
}

// arrived tells who waits for the receipt.
func (l *link) arrived(receipt string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if came, ok := l.waiting[receipt]; ok {
		delete(l.waiting, receipt)
		came <- nil
	}
}

// failRead ends the link. An ERROR that names a receipt is told to whom it is meant.
func (l *link) failRead(err error) {
	said, ok := errors.AsType[*stompclient.ServerError](err)
	if !ok {
		l.fail(fmt.Errorf("%w: %w", errEnded, err))
		return
	}
	l.mu.Lock()
	receipt := said.Frame.Header.Get(frame.ReceiptId)
	came, meant := l.waiting[receipt]
	if meant {
		delete(l.waiting, receipt)
		came <- err
		err = fmt.Errorf("%w: the server has refused another message", errEnded)
	}
	l.mu.Unlock()
	l.fail(err)
}

// fail ends the link and tells all who wait.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over == nil {
		l.over = err
	}
	for receipt, came := range l.waiting {
		delete(l.waiting, receipt)
		came <- err
	}
	l.end() // whoever reads gets an error
}

// Close ends the connection when nobody reads any more.
func (l *link) Close() error {
	l.fail(errors.New("closed"))
	l.reading <- struct{}{}
	l.conn.Close()
	<-l.reading
	return nil
}
