package sinktest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/internal/pause"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

// Flood delivers alerts of several twins at once, each until it has arrived, as
// the engine does. In the middle it lets something happen. It gives the ids of
// their events.
func Flood(t *testing.T, s sinks.Sink, halfway func()) map[string]bool {
	t.Helper()
	const workers, each = 8, 50
	ids := map[string]bool{}
	half := make(chan struct{}, workers)
	var group sync.WaitGroup
	for w := range workers {
		var list [each]rules.Outcome
		for i := range list {
			list[i] = Alert()
			list[i].Twin, list[i].Seq, list[i].ID = fmt.Sprintf("machine_%d", w), uint64(i), fmt.Sprintf("al_%d", i)
			ids[list[i].EventID()] = true
		}
		group.Go(func() {
			for i, o := range list {
				for err := s.Deliver(t.Context(), o); err != nil && t.Context().Err() == nil; err = s.Deliver(t.Context(), o) {
					assert.False(t, sinks.IsPermanent(err), "%v", err)
					wait, _ := sinks.Wait(err)
					pause.For(t.Context(), max(wait, 10*time.Millisecond)) //nolint:errcheck // the loop asks
				}
				if i == each/2 {
					half <- struct{}{}
				}
			}
		})
	}
	<-half
	halfway()
	group.Wait()
	return ids
}
