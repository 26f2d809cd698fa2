package bus

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const tickToken = "_tick"

// tick is the body of a tick: time is now At.
type tick struct {
	At    time.Time `json:"at"`
	Clock string    `json:"clock"`
}

// The clocks that a tick can tell.
const (
	wallClock    = "wall"
	samplesClock = "samples"
)

// PutTick tells every partition that the time is at: the wall's, or that of the
// newest sample. Ticks of several engines for one time are one. An error means
// that some partitions do not know; the next tick tells them.
func (b *Bus) PutTick(ctx context.Context, at time.Time, wall bool) error {
	t := tick{at.UTC(), samplesClock}
	if wall {
		t.Clock = wallClock
	}
	body, err := json.Marshal(t)
	if err != nil {
		return putError(err) // a year of more than four digits
	}
	futures := make([]jetstream.PubAckFuture, 0, b.config.Partitions)
	for p := range b.config.Partitions {
		n := strconv.Itoa(p)
		m := nats.NewMsg(b.root + "feed." + n + "." + tickToken)
		m.Data = body
		m.Header.Set(headerMsgID, "tick/"+n+"/"+t.Clock+"/"+t.At.Format(time.RFC3339Nano))
		f, err := b.js.PublishMsgAsync(m, jetstream.WithStallWait(publishTimeout))
		if err != nil {
			return putError(err)
		}
		futures = append(futures, f)
	}
	if err := await(ctx, futures); err != nil {
		return putError(err)
	}
	return nil
}

// readTick takes the time out of a tick's body.
func (m *Message) readTick() {
	var t tick
	err := json.Unmarshal(m.Data, &t)
	if err != nil || t.At.IsZero() || t.Clock != wallClock && t.Clock != samplesClock {
		m.Kind, m.Reason = Unreadable, "tick"
		return
	}
	m.At, m.Wall = t.At, t.Clock == wallClock
}
