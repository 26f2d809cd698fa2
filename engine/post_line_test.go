package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/subscriptions"
)

// Who had seen that an attempt failed, and asked for another one before the office
// had noted that, was not heard.
func TestARetryWasForgottenBehindItsAttempt(t *testing.T) {
	p := newPost(&Engine{})
	p.put([]bus.Job{{Subscription: "s", ID: "n", Seq: 1}}, time.Now())
	failed := &subscriptions.Attempt{Seq: 1, Result: subscriptions.Again, Failures: 1, Next: time.Now().Add(time.Hour)}
	for _, hurried := range []bool{true, false} {
		l, _ := p.take()
		require.Equal(t, "s", l.id)
		if hurried {
			p.hurry("s")
		}
		p.note(l, failed)
		p.release(l, false, false)
		assert.Equal(t, hurried, len(p.ready[1]) == 1)
	}
	p.close()
}
