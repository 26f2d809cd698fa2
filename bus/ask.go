package bus

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// question asks for one message of a stream: the last one of a subject, or the
// first one of a subject from a sequence or a time on.
type question struct {
	Seq    uint64    `json:"seq,omitempty"`
	Since  time.Time `json:"start_time,omitzero"`
	NextOf string    `json:"next_by_subj,omitempty"`
	LastOf string    `json:"last_by_subj,omitempty"`
}

// ask asks the stream's leader. The client's own methods ask any replica where
// the stream allows direct gets, as buckets do, and one that lags behind does
// not have what has just been stored. The error is jetstream.ErrMsgNotFound
// when there is no such message.
func (b *Bus) ask(ctx context.Context, stream string, q question) (*jetstream.RawStreamMsg, error) {
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := b.request(ctx, "STREAM.MSG.GET."+stream, q, &answer); err != nil {
		return nil, err
	}
	switch e := answer.Error; {
	case e != nil && e.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, jetstream.ErrMsgNotFound
	case e != nil:
		return nil, e
	}
	m := answer.Message
	raw := &jetstream.RawStreamMsg{Subject: m.Subject, Sequence: m.Seq, Data: m.Data, Time: m.Time}
	if len(m.Header) == 0 {
		return raw, nil
	}
	var err error
	raw.Header, err = nats.DecodeHeadersMsg(m.Header)
	return raw, err
}

// purge deletes the messages of a stream under a subject that come before a
// sequence; the subject "" and the sequence 0 stand for all.
func (b *Bus) purge(ctx context.Context, stream, subject string, before uint64) error {
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	err := b.request(ctx, "STREAM.PURGE."+stream, jetstream.StreamPurgeRequest{Subject: subject, Sequence: before}, &answer)
	if err == nil && answer.Error != nil {
		err = answer.Error
	}
	return err
}

func (b *Bus) request(ctx context.Context, what string, question, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	text, err := json.Marshal(question)
	if err != nil {
		return err
	}
	reply, err := b.nc.RequestWithContext(ctx, jetstream.DefaultAPIPrefix+what, text)
	if err != nil {
		return away(err)
	}
	return json.Unmarshal(reply.Data, answer)
}
