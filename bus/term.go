package bus

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A term is a sign that the server takes away when the time of a sticker has
// passed, so that nobody has to look at the clock. Terms are no more than that:
// what a sticker is, and until when, its document says.

// PutTerm keeps the sign of a sticker, in place of another one under the same id,
// until what is left has passed: in whole seconds, and not before.
func (b *Bus) PutTerm(ctx context.Context, id, sticker string, left time.Duration) error {
	seconds := max(int64((left+time.Second-1)/time.Second), 1)
	m := nats.NewMsg(bucketSubject(b.terms, key(id)))
	m.Data = []byte(sticker)
	m.Header.Set(jetstream.MsgTTLHeader, strconv.FormatInt(seconds, 10)+"s")
	if _, err := b.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("bucket %s: %w", b.terms.Bucket(), away(err))
	}
	return nil
}

// DropTerm takes the sign away: the sticker is gone before its time.
func (b *Bus) DropTerm(ctx context.Context, id string) error {
	if err := b.terms.Purge(ctx, key(id), jetstream.PurgeTTL(termMarkers)); err != nil {
		return fmt.Errorf("bucket %s: %w", b.terms.Bucket(), away(err))
	}
	return nil
}

// termMarkers is how long it can be seen that a sign has gone.
const termMarkers = time.Minute

// WatchTerms calls change for each sign that there is, with the sticker's, ready
// once after them, and change for each that comes or goes after that, until ctx
// ends. "" says that it is gone.
func (b *Bus) WatchTerms(ctx context.Context, change func(id, sticker string), ready func()) {
	b.follow(ctx, b.terms, ">", 0, func(e jetstream.KeyValueEntry) {
		change(unkey(e.Key()), string(document(e)))
	}, ready)
}

// Done is the sequence up to which a sink's outcomes of OUT have been dealt with:
// none of them comes again.
func (d *Deliveries) Done(ctx context.Context) (uint64, error) {
	info, err := d.backlogs[0].consumer.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("sink %s: %w", d.subscription.Name, away(err))
	}
	return info.AckFloor.Stream, nil
}
