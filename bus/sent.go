package bus

import (
	"bytes"
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The subjects of SENT: what was tried of one outcome, and of the notification of
// a group of alerts.
const (
	sentToken  = "sent" // sent.<sink>.<one or group>.<id>
	sentSingly = "one"
	sentGroup  = "group"
)

// SentRecord is what an attempt of a sink was, and how it ended.
type SentRecord struct {
	Sink  string
	ID    string // of the alert; of what is no alert, the id of the event
	Group bool   // it tells of several alerts, whose ids are in Data
	Data  []byte // JSON
}

// PutSent keeps records, and gives those that the server did not take, with the
// last error. They hold nothing up and may be lost.
func (b *Bus) PutSent(ctx context.Context, list []SentRecord) (rest []SentRecord, err error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	futures := make([]jetstream.PubAckFuture, len(list))
	for i := range list {
		m := nats.NewMsg(b.sentSubject(&list[i]))
		m.Data = list[i].Data
		if futures[i], err = b.js.PublishMsgAsync(m, jetstream.WithStallWait(publishTimeout)); err != nil {
			break
		}
	}
	for i, f := range futures {
		if f == nil {
			rest = append(rest, list[i:]...)
			break
		}
		select {
		case <-f.Ok():
		case failed := <-f.Err():
			if tooLarge(failed) {
				continue // it never will
			}
			err = failed
			rest = append(rest, list[i])
		case <-ctx.Done():
			err = context.Cause(ctx)
			rest = append(rest, list[i])
		}
	}
	if err != nil {
		err = fmt.Errorf("stream %s: %w", sentStream, putError(err))
	}
	return rest, err
}

func (b *Bus) sentSubject(r *SentRecord) string {
	kind := sentSingly
	if r.Group {
		kind = sentGroup
	}
	return string(addTokens([]byte(b.root+sentToken), r.Sink, kind, r.ID))
}

// SentQuery says which records are wanted: those that fit all of it.
type SentQuery struct {
	Sink   string // "" = of all
	ID     string // of what was sent; "" = of all
	Alert  string // the id of an alert, sent singly or in a group; "" = of all. Not beside ID
	Newest uint64 // 0 = all; else of so many of the newest in the stream
}

// subjects are those that the records of a query have.
func (b *Bus) sentSubjects(q *SentQuery) []string {
	prefix := b.root + sentToken + "."
	if q.Sink == "" {
		prefix += "*."
	} else {
		prefix += Token(q.Sink) + "."
	}
	switch {
	case q.Alert != "":
		return []string{prefix + sentSingly + "." + Token(q.Alert), prefix + sentGroup + ".*"}
	case q.ID != "":
		return []string{prefix + "*." + Token(q.ID)}
	}
	return []string{prefix + ">"}
}

// Sent calls do for each record that fits, the oldest first.
func (b *Bus) Sent(ctx context.Context, q SentQuery, do func(data []byte)) error {
	c := jetstream.OrderedConsumerConfig{FilterSubjects: b.sentSubjects(&q)}
	if q.Newest > 0 {
		info, err := b.sent.Info(ctx)
		if err != nil {
			return fmt.Errorf("stream %s: %w", sentStream, away(err))
		}
		if last := info.State.LastSeq; last > q.Newest {
			c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, last-q.Newest+1
		}
	}
	needle := []byte(`"` + q.Alert + `"`)
	return b.each(ctx, b.sent, sentStream, c, func(m jetstream.Msg, _ delivery) {
		if q.Alert == "" || bytes.Contains(m.Data(), needle) {
			do(m.Data())
		}
	})
}
