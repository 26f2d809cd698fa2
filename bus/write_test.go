package bus

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/pause"
	"tocsin.internal/rules"
)

func TestWriterKeepsOrderAndTail(t *testing.T) {
	b := open(t, Config{})
	w := newWriter(t, b, calm(t))
	assert.Equal(t, Mark{}, tail(t, b, "machine"))
	w.flush()
	const n = 5000
	for i := range n {
		o, m := outcome("machine", uint64(i+1))
		w.put(o, m)
		if i == 10 || i == 3000 {
			w.flush()
			assert.Equal(t, m, tail(t, b, "machine"))
		}
	}
	w.flush()
	assert.Equal(t, inOrder(n), stored(t, b))
}

// calm is a writer's trouble in a test that makes none: the server may be busy.
func calm(t *testing.T) func(error) {
	return func(err error) {
		if !errors.Is(err, errUnanswered) && !Away(err) {
			t.Errorf("trouble: %v", err)
		}
	}
}

func TestWriterIDs(t *testing.T) {
	b := open(t, Config{})
	for _, id := range []string{"", "a.b", "a b", "a*", "12345678901234567890123456789012345678901"} {
		_, err := b.NewWriter(t.Context(), id, nil)
		require.ErrorContains(t, err, "want an id of 1 to 40 letters, digits, - and _", id)
	}
}

// The server takes a batch for dead after ten seconds; here it is told to at once.
func TestWriterBeginsAgainWhenItsBatchIsForgotten(t *testing.T) {
	b := open(t, Config{})
	var troubles []error
	w := newWriter(t, b, func(err error) { troubles = append(troubles, err) })
	o, m := outcome("machine", 1)
	w.put(o, m)
	f := w.Writer.(*fast)
	require.NoError(t, f.nc.PublishRequest(b.root+endSubject, f.replyTo(2, opEnd), nil)) // behind its back
	for i := uint64(2); i <= 2000; i++ {
		o, m := outcome("machine", i)
		w.put(o, m)
	}
	w.flush()
	assert.NotEmpty(t, troubles)
	assert.Equal(t, inOrder(2000), stored(t, b))
}

func TestServerGoesAwayWhileOutcomesAreWritten(t *testing.T) {
	eachCommit(t, func(t *testing.T, commit Commit) {
		url, stop, start := external(t)
		b := open(t, Config{URL: url, Commit: commit})
		w := newWriter(t, b, nil)
		n := fewer(30_000)
		half := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			<-half
			stop()
			start()
		})
		for i := range n {
			o, m := outcome("machine", uint64(i+1))
			w.put(o, m)
			if i == n/2 {
				close(half)
			}
		}
		wg.Wait()
		w.flush()
		assert.Equal(t, map[int][]string{b.Partition("machine"): series("i", 1, n)}, written(t, b))
	})
}

// A server that is killed keeps what it has acknowledged, and of a batch all or
// nothing.
func TestServerIsKilledWhileOutcomesAreWritten(t *testing.T) {
	eachCommit(t, func(t *testing.T, commit Commit) {
		n, kills := 20_000, 4
		if testing.Short() {
			n, kills = 5000, 2
		}
		e := newElsewhere(t)
		b := open(t, Config{URL: e.url, Commit: commit})
		w := newWriter(t, b, nil)
		due := make(chan struct{}, kills)
		var wg sync.WaitGroup
		wg.Go(func() {
			for range due {
				e.restart()
			}
		})
		for i := range n {
			o, m := outcome(fmt.Sprint("machine_", i%2), uint64(i/2+1))
			w.put(o, m)
			if i%(n/kills) == n/kills/2 {
				due <- struct{}{}
			}
		}
		close(due)
		wg.Wait()
		w.flush()
		assert.Equal(t, map[int][]string{
			b.Partition("machine_0"): series("i", 1, n/2), b.Partition("machine_1"): series("i", 1, n/2),
		}, written(t, b))
	})
}

// A full stream stops the writer until there is room again.
func TestOutIsFull(t *testing.T) {
	eachCommit(t, func(t *testing.T, commit Commit) {
		b := open(t, Config{Streams: Streams{Out: Stream{MaxBytes: 1 << 20}}, ReplayWindow: time.Nanosecond, Commit: commit})
		var full atomic.Int32
		w := newWriter(t, b, func(err error) {
			if !errors.Is(err, ErrFull) {
				calm(t)(err)
				return
			}
			full.Add(1)
		})
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			defer close(done)
			for i := range 10_000 { // some 3 MB
				o, m := outcome("machine", uint64(i+1))
				w.put(o, m)
			}
			w.flush()
		})
		rooms := 0
		for waiting := true; waiting; {
			select {
			case <-done:
				waiting = false
			case <-time.After(5 * time.Millisecond):
				if full.Swap(0) > 0 {
					rooms++
					assert.NoError(t, b.MakeRoom(t.Context()))
				}
			}
		}
		wg.Wait()
		assert.Greater(t, rooms, 1)
		assert.Equal(t, Mark{Seq: 10_000, Count: 1}, tail(t, b, "machine"))
		left := stored(t, b)
		assert.Equal(t, inOrder(10_000)[10_000-len(left):], left, "what is left has no gap")
	})
}

// What is large is bounded by its bytes, and what the server would never take is
// refused.
func TestLargeOutcomes(t *testing.T) {
	eachCommit(t, func(t *testing.T, commit Commit) {
		url, _, _ := external(t)
		b := open(t, Config{URL: url, Commit: commit})
		w := newWriter(t, b, calm(t))
		n := 60
		if testing.Short() {
			n = 20
		}
		for i := range n {
			o, m := outcome("machine", uint64(i+1))
			o.Data = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", 500<<10))
			w.put(o, m)
			o, m = outcome("machine", uint64(i+1))
			o.Data = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", 1<<20))
			require.ErrorIs(t, w.Write(t.Context(), b.home(o), o, m), ErrTooLarge)
		}
		w.flush()
		assert.Equal(t, inOrder(n), stored(t, b))
	})
}

// The server forgets a batch of which it has heard nothing for ten seconds.
func TestBatchesMayRest(t *testing.T) {
	t.Parallel()
	eachCommit(t, func(t *testing.T, commit Commit) {
		t.Parallel()
		b := open(t, Config{Commit: commit})
		w := newWriter(t, b, func(err error) {
			e, ok := errors.AsType[*jetstream.APIError](err)
			assert.False(t, ok && e.ErrorCode == codeUnknownBatch, "the server has forgotten it: %v", err)
		})
		for i := range 3 {
			o, m := outcome("machine", uint64(i+1))
			w.put(o, m)
			if i == 1 {
				require.NoError(t, pause.For(t.Context(), 11*time.Second))
			}
		}
		w.flush()
		assert.Equal(t, inOrder(3), stored(t, b))
	})
}

// The server answers from another process, so that only what the writer and its
// client allocate is counted.
func TestWritingAllocatesNothing(t *testing.T) {
	b := open(t, Config{URL: newElsewhere(t).url})
	mended := 0
	w := newWriter(t, b, func(error) { mended++ })
	outputs := make([]*rules.Outcome, 100)
	for i := range outputs {
		outputs[i], _ = outcome(fmt.Sprint("machine_", i), 1)
	}
	seq := uint64(0)
	write := func() {
		for _, o := range outputs {
			seq++
			w.put(o, Mark{Seq: seq, Count: 1})
		}
	}
	for range 2 * window / len(outputs) {
		write() // the queue and what is rendered get their size
	}
	var perWrite float64
	for before := -1; before < mended; { // what a server that was too busy gets once more does not count
		before = mended
		perWrite = testing.AllocsPerRun(200, write) / float64(len(outputs))
	}
	assert.Less(t, perWrite, 0.2, "but for acknowledgements, of which there is one in hundreds")
	w.flush()
}

func BenchmarkRender(b *testing.B) {
	r := newRenderer("")
	var m outMessage
	outputs := make([]*rules.Outcome, 1000)
	for i := range outputs {
		outputs[i], _ = outcome(fmt.Sprint("machine_", i), 12345)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.render(&m, 3, outputs[i%len(outputs)])
	}
}
