package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// silent is a little less than the time after which the client ends a fetch that
// does not wait, as if there were no more (nats.go v1.55.0).
const silent = 900 * time.Millisecond

// lateFetches is how often a server that says nothing is asked again.
const lateFetches = 10

// found calls do for each message that an ordered consumer finds in its stream now,
// until do wants no more. A server that is late is asked again: that it says
// nothing is no word that there is nothing. So is one that has dropped the
// consumer, because it was asked late.
func found(ctx context.Context, c jetstream.Consumer, atATime int, do func(jetstream.Msg, delivery) (more bool)) error {
	for left := lateFetches; ; left-- {
		batch, err := c.FetchNoWait(atATime)
		if err != nil {
			return err
		}
		began, n, last := time.Now(), 0, delivery{}
		for m := range batch.Messages() {
			n++
			var ok bool
			if last, ok = parseDelivery(m.Reply()); !ok {
				return jetstream.ErrNotJSMessage
			}
			if !do(m, last) {
				return nil
			}
		}
		err = batch.Error()
		switch {
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrConsumerDeleted):
		case err != nil:
			return err
		case n > 0:
			if last.pending == 0 {
				return nil
			}
			left = lateFetches
		case time.Since(began) < silent, left <= 0:
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}
