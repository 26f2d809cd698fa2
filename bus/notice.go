package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Notice is something that happened, of which others are to be told: one JSON
// object under an id of its own.
type Notice struct {
	ID   string // the same whenever it is put again
	Body []byte
}

// The subjects of NOTIFY that tell of what happened.
const (
	noticeToken  = "notice"   // notice.<account>.<topic>.<id>
	stickerToken = "stickers" // stickers.<twin>.<colour>.<id>
)

// PutNotice keeps a notice for those who subscribe to a topic of an account. One
// that is put again is kept once, for as long as the stream keeps it. The error
// may wrap ErrTooLarge: to try again does not help.
func (b *Bus) PutNotice(ctx context.Context, account, topic string, n Notice) error {
	return b.putOnce(ctx, string(addTokens([]byte(b.root+noticeToken), account, topic, n.ID)), n)
}

// PutStickerEvent keeps what happened to a sticker, as PutNotice does.
func (b *Bus) PutStickerEvent(ctx context.Context, twin, colour string, n Notice) error {
	return b.putOnce(ctx, string(addTokens([]byte(b.root+stickerToken), twin, colour, n.ID)), n)
}

// putOnce puts a message on a subject on which there is none.
func (b *Bus) putOnce(ctx context.Context, subject string, n Notice) error {
	m := nats.NewMsg(subject)
	m.Data = n.Body
	m.Header.Set(headerMsgID, subject)
	_, err := b.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(0))
	switch {
	case err == nil, overtaken(err):
		return nil
	case tooLarge(err):
		return fmt.Errorf("stream %s: %d bytes: %w", notifyStream, len(n.Body), ErrTooLarge)
	}
	return fmt.Errorf("stream %s: %w", notifyStream, away(err))
}
