package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"tocsin.internal/internal/pause"
)

// What workers ask the one at the desk goes by plain messages: an answer that
// does not come is an error of who asks.
const (
	deskPatience = 10 * time.Second
	deskPiece    = 512 << 10 // an answer goes in pieces, as servers limit messages
	headerMore   = "Tocsin-More"
)

func (b *Bus) deskSubject() string { return "tocsin." + b.pool.Bucket() + ".desk" }

// workerSubject is where a worker is asked itself.
func (b *Bus) workerSubject(id string) string {
	return "tocsin." + b.pool.Bucket() + ".worker." + Token(id)
}

// ServeDesk answers what other workers ask the desk, several at a time, until ctx ends.
func (b *Bus) ServeDesk(ctx context.Context, answer func(context.Context, []byte) []byte) error {
	return b.serve(ctx, b.deskSubject(), answer)
}

// ServeWorker answers what others ask the worker with the id, until ctx ends.
func (b *Bus) ServeWorker(ctx context.Context, id string, answer func(context.Context, []byte) []byte) error {
	return b.serve(ctx, b.workerSubject(id), answer)
}

func (b *Bus) serve(ctx context.Context, subject string, answer func(context.Context, []byte) []byte) error {
	const atOnce = 16
	places := make(chan struct{}, atOnce)
	sub, err := b.nc.Subscribe(subject, func(m *nats.Msg) {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		go func() {
			defer func() { <-places }()
			b.reply(m, answer(ctx, m.Data))
		}()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	<-ctx.Done()
	sub.Unsubscribe() //nolint:errcheck // the connection is gone, and with it the subscription
	for range atOnce {
		places <- struct{}{}
	}
	return nil
}

func (b *Bus) reply(m *nats.Msg, text []byte) {
	for {
		n := min(len(text), deskPiece)
		part := nats.NewMsg(m.Reply)
		part.Data = text[:n]
		if text = text[n:]; len(text) > 0 {
			part.Header.Set(headerMore, "1")
		}
		if b.nc.PublishMsg(part) != nil || len(text) == 0 {
			return // who asked sees that nothing comes
		}
	}
}

// ErrNoDesk says that no worker is at the desk just now.
var ErrNoDesk = errors.New("no worker is at the desk")

// AskDesk asks the worker at the desk. While there is none it waits a little: one
// takes over within seconds.
func (b *Bus) AskDesk(ctx context.Context, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, deskPatience)
	defer cancel()
	for {
		text, err := b.askOne(ctx, b.deskSubject(), body)
		if !errors.Is(err, nats.ErrNoResponders) {
			return text, err
		}
		if pause.For(ctx, 100*time.Millisecond) != nil {
			return nil, ErrNoDesk
		}
	}
}

// AskWorker asks the worker with the id, until ctx ends.
func (b *Bus) AskWorker(ctx context.Context, id string, body []byte) ([]byte, error) {
	text, err := b.askOne(ctx, b.workerSubject(id), body)
	if err != nil {
		return nil, fmt.Errorf("worker %s: %w", id, err)
	}
	return text, nil
}

func (b *Bus) askOne(ctx context.Context, subject string, body []byte) ([]byte, error) {
	inbox := nats.InboxPrefix + nuid.Next()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is gone, and with it the subscription
	if err := b.nc.PublishRequest(subject, inbox, body); err != nil {
		return nil, away(err)
	}
	var text []byte
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		if text = append(text, m.Data...); m.Header.Get(headerMore) == "" {
			return text, nil
		}
	}
}
