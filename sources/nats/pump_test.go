package nats

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

func TestWhatIsDroppedIsCounted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	acked, lost := 0, 7
	var refused []string
	r := &reading{source: &source{Config: Config{Subject: "plant.*.*"}}, messages: make(chan message, most+1), emit: func(_ context.Context, batch ...rules.Sample) error {
		for _, s := range batch {
			if s.Refused != "" {
				refused = append(refused, s.Refused)
			}
		}
		if lost == 7 {
			lost = 9
		} else {
			cancel()
		}
		return nil
	}}
	for range most + 1 { // two batches
		r.messages <- message{subject: "plant.a.b", body: []byte("{}"), ack: func() error {
			acked++
			return nil
		}}
	}
	require.ErrorIs(t, r.pump(ctx, nil, func() (int, error) { return lost, nil }), context.Canceled)
	assert.Equal(t, most+1, acked)
	assert.Equal(t, []string{
		"plant.*.*: 7 messages came faster than they could be stored and are lost; want a stream",
		"plant.*.*: 2 messages came faster than they could be stored and are lost; want a stream",
	}, refused)
}
