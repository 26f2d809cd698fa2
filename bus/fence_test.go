package bus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/pause"
	"tocsin.internal/rules"
)

var commits = []Commit{CommitFast, CommitExactly}

func eachCommit(t *testing.T, f func(t *testing.T, c Commit)) {
	for _, c := range commits {
		t.Run(string(c), func(t *testing.T) { f(t, c) })
	}
}

// numbered is the outcome of partition p with a number, written by somebody.
func numbered(p int, number uint64, by string) (*rules.Outcome, Mark) {
	return &rules.Outcome{
		Kind: rules.Output, Interaction: by, Rule: "r", Twin: "out" + strconv.Itoa(p), Source: "in" + strconv.Itoa(p), Feed: "status", At: noon,
		Data: []byte(`{"status":"normal"}`), Hops: 1,
	}, Mark{Seq: number, Count: 1}
}

// written is what OUT has of each partition: who wrote it, and its number.
func written(t *testing.T, b *Bus) map[int][]string {
	t.Helper()
	all := map[int][]string{}
	end, err := b.last(t.Context(), outStream, "*.*.>") // the stream's own last sequence may be that of a fence that is gone
	require.NoError(t, err)
	c, err := b.out.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	require.NoError(t, err)
	came := time.Now()
	for last := uint64(0); last < end.Seq; {
		require.Less(t, time.Since(came), patience, "OUT gives nothing after %d of %d", last, end.Seq)
		got, err := c.FetchNoWait(1000)
		require.NoError(t, err)
		for m := range got.Messages() {
			came = time.Now()
			meta, err := m.Metadata()
			require.NoError(t, err)
			if last = meta.Sequence.Stream; last > end.Seq {
				break
			}
			if strings.HasPrefix(m.Subject(), fencePrefix) {
				continue
			}
			o, err := rules.DecodeOutcome(m.Data())
			require.NoError(t, err)
			p, err := strconv.Atoi(strings.Split(m.Subject(), ".")[1])
			require.NoError(t, err)
			all[p] = append(all[p], o.Interaction+" "+strconv.FormatUint(o.Seq, 10))
		}
	}
	return all
}

// patience is for what comes in a moment, or never.
const patience = 2 * time.Minute

// series are numbers from one to another, by somebody.
func series(by string, from, to int) (want []string) {
	for i := from; i <= to; i++ {
		want = append(want, by+" "+strconv.Itoa(i))
	}
	return want
}

func own(t *testing.T, b *Bus, w Writer, id string, epoch uint64, partitions ...int) {
	t.Helper()
	for _, p := range partitions {
		f, err := b.Fence(t.Context(), p, id, epoch)
		require.NoError(t, err)
		w.Own(f)
	}
}

// An owner that is stopped with a batch on its way, and goes on after another
// one has taken one of its partitions, stores nothing of it any more; its other
// partitions go on.
func TestTheOldOwnerIsFenced(t *testing.T) {
	for name, flushed := range map[string]bool{"in the middle of a batch": false, "between two batches": true} {
		t.Run(name, func(t *testing.T) {
			eachCommit(t, func(t *testing.T, commit Commit) {
				for first := range 2 { // whose partition the first outcome is of that waits
					if first == 0 && testing.Short() {
						continue
					}
					t.Run(fmt.Sprint("first of ", first), func(t *testing.T) { oldOwnerIsFenced(t, commit, flushed, first) })
				}
			})
		})
	}
}

func oldOwnerIsFenced(t *testing.T, commit Commit, flushed bool, first int) {
	url, _, _ := external(t)
	between := newProxy(t, url)
	b := open(t, Config{URL: url, Partitions: 2, Commit: commit})
	behind := open(t, Config{URL: between.url(), Partitions: 2, Commit: commit})
	old, err := behind.NewWriter(t.Context(), "old", nil)
	require.NoError(t, err)
	defer old.Close()
	own(t, behind, old, "old", 1, 0, 1)
	number := 0
	write := func(n int) {
		for range n {
			number++
			for i := range 2 {
				p := (first + i) % 2
				o, m := numbered(p, uint64(number), "old")
				require.NoError(t, old.Write(t.Context(), p, o, m))
			}
		}
	}
	write(300)
	if flushed {
		require.NoError(t, old.Flush(t.Context()))
	}
	between.pause()
	write(100) // they wait

	next, err := b.NewWriter(t.Context(), "next", nil)
	require.NoError(t, err)
	defer next.Close()
	own(t, b, next, "next", 2, 1)
	tail, err := b.Tail(t.Context(), 1)
	require.NoError(t, err)
	at := int(tail.Seq)
	if flushed {
		assert.Equal(t, 300, at)
	}
	for i := range 50 {
		o, m := numbered(1, uint64(at+i+1), "next")
		require.NoError(t, next.Write(t.Context(), 1, o, m))
	}
	require.NoError(t, next.Flush(t.Context()))

	between.resume()
	require.NoError(t, old.Flush(t.Context()))
	assert.Equal(t, []int{1}, old.Lost())
	assert.Empty(t, old.Lost())
	write(100)
	require.NoError(t, old.Flush(t.Context()))
	for i := range 50 {
		o, m := numbered(1, uint64(at+50+i+1), "next")
		require.NoError(t, next.Write(t.Context(), 1, o, m))
	}
	require.NoError(t, next.Flush(t.Context()))
	assert.Empty(t, next.Lost())
	assert.Equal(t, map[int][]string{
		0: series("old", 1, 500),
		1: append(series("old", 1, at), series("next", at+1, at+100)...),
	}, written(t, b))
}

// Whoever fences a partition again under the same id, as a worker does that has
// lost its lease and got it back before anybody else, has the tail of what is
// stored: what of it was on its way is not stored after that.
func TestAPartitionIsFencedAgainWithOutcomesOnTheirWay(t *testing.T) {
	for name, heard := range map[string]bool{"owned before they arrive": false, "owned after they were refused": true} {
		t.Run(name, func(t *testing.T) {
			eachCommit(t, func(t *testing.T, commit Commit) { fencedAgain(t, commit, heard) })
		})
	}
}

func fencedAgain(t *testing.T, commit Commit, heard bool) {
	url, _, _ := external(t)
	between := newProxy(t, url)
	b := open(t, Config{URL: url, Partitions: 2, Commit: commit})
	behind := open(t, Config{URL: between.url(), Partitions: 2, Commit: commit})
	w, err := behind.NewWriter(t.Context(), "w", nil)
	require.NoError(t, err)
	defer w.Close()
	own(t, b, w, "w", 1, 0, 1)
	write := func(p, from, to int) {
		for number := from; number <= to; number++ {
			o, m := numbered(p, uint64(number), "w")
			require.NoError(t, w.Write(t.Context(), p, o, m))
		}
	}
	write(0, 1, 10)
	write(1, 1, 10)
	stored := func() bool { // the first of each: their batch is open, and knows their fences
		for p := range 2 {
			if tail, err := b.Tail(t.Context(), p); err != nil || tail.Seq == 0 {
				return false
			}
		}
		return true
	}
	require.Eventually(t, stored, patience, time.Millisecond)
	between.pause()
	write(0, 11, 100) // they wait
	write(1, 11, 100)

	again, err := b.Fence(t.Context(), 1, "w", 2)
	require.NoError(t, err)
	tail, err := b.Tail(t.Context(), 1)
	require.NoError(t, err)
	at := int(tail.Seq)
	w.Disown(1)
	between.resume()
	if heard {
		require.NoError(t, w.Flush(t.Context()))
	}
	w.Own(again)
	write(1, at+1, at+50)
	require.NoError(t, w.Flush(t.Context()))
	assert.Empty(t, w.Lost())
	assert.Equal(t, map[int][]string{0: series("w", 1, 100), 1: series("w", 1, at+50)}, written(t, b))
}

func TestAnEarlierEpochIsRefused(t *testing.T) {
	b := open(t, Config{Partitions: 1})
	_, err := b.Fence(t.Context(), 0, "one", 2)
	require.NoError(t, err)
	_, err = b.Fence(t.Context(), 0, "two", 1)
	require.ErrorIs(t, err, ErrFenced)
	require.EqualError(t, err, "fence of partition 0: somebody else has it")
	_, err = b.Fence(t.Context(), 0, "two", 3)
	require.NoError(t, err)
}

// A purge may take the fence with it: its owner puts it up again, and who is
// not the owner any more does not.
func TestAPurgeTakesTheFence(t *testing.T) {
	eachCommit(t, func(t *testing.T, commit Commit) {
		b := open(t, Config{Partitions: 2, Commit: commit})
		old, err := b.NewWriter(t.Context(), "old", calm(t))
		require.NoError(t, err)
		defer old.Close()
		own(t, b, old, "old", 1, 0, 1)
		put := func(w Writer, by string, p int, number uint64) {
			o, m := numbered(p, number, by)
			require.NoError(t, w.Write(t.Context(), p, o, m))
			require.NoError(t, w.Flush(t.Context()))
		}
		purge := func() {
			require.NoError(t, b.keepTails(t.Context(), math.MaxUint64))
			require.NoError(t, b.out.Purge(t.Context()))
		}
		put(old, "old", 0, 1)
		put(old, "old", 1, 1)
		purge()
		put(old, "old", 0, 2)
		put(old, "old", 1, 2)
		assert.Equal(t, map[int][]string{0: {"old 2"}, 1: {"old 2"}}, written(t, b))

		next, err := b.NewWriter(t.Context(), "next", nil)
		require.NoError(t, err)
		defer next.Close()
		own(t, b, next, "next", 2, 1)
		purge()
		assert.Empty(t, written(t, b), "the last message of all is gone too")
		tail, err := b.Tail(t.Context(), 1)
		require.NoError(t, err)
		assert.Equal(t, Mark{Seq: 2, Count: 1}, tail, "it was written down")
		put(old, "old", 1, 3)
		assert.Equal(t, []int{1}, old.Lost())
		put(next, "next", 1, 3)
		put(old, "old", 0, 3)
		assert.Empty(t, next.Lost())
		assert.Equal(t, map[int][]string{0: {"old 3"}, 1: {"next 3"}}, written(t, b))
	})
}

// What is disowned is forgotten; who owns it again begins anew.
func TestOwnAgain(t *testing.T) {
	eachCommit(t, func(t *testing.T, commit Commit) {
		b := open(t, Config{Partitions: 2, Commit: commit})
		w, err := b.NewWriter(t.Context(), "w", calm(t))
		require.NoError(t, err)
		defer w.Close()
		own(t, b, w, "w", 1, 0, 1)
		put := func(p int, number uint64) {
			o, m := numbered(p, number, "w")
			require.NoError(t, w.Write(t.Context(), p, o, m))
		}
		put(0, 1)
		put(1, 1)
		require.NoError(t, w.Flush(t.Context()))
		w.Disown(1)
		put(1, 2)
		put(0, 2)
		own(t, b, w, "w", 2, 1)
		put(1, 2)
		require.NoError(t, w.Flush(t.Context()))
		own(t, b, w, "w", 3, 1)
		put(1, 3)
		put(0, 3)
		require.NoError(t, w.Flush(t.Context()))
		assert.Empty(t, w.Lost())
		assert.Equal(t, map[int][]string{0: series("w", 1, 3), 1: series("w", 1, 3)}, written(t, b))
	})
}

// The tail is that of the kind of outcome that came last, in each partition.
func TestTailOfAllKinds(t *testing.T) {
	b := open(t, Config{Partitions: 2})
	w := newWriter(t, b, nil)
	twin := "m"
	p := b.Partition(twin)
	for i, o := range []*rules.Outcome{
		{Kind: rules.Alert, Severity: "critical", State: rules.StateFiring, Twin: twin},
		{Kind: rules.Sticker, Feed: "red", Twin: twin},
		{Kind: rules.Notification, Feed: "topic", Twin: twin},
		{Kind: rules.Command, Feed: "stop", Twin: twin},
		{Kind: rules.Output, Feed: "status", Twin: twin},
		{Kind: rules.Alert, Severity: "critical", State: rules.StateResolved, Twin: twin},
	} {
		want := Mark{Seq: 7, Index: 2, Ordinal: uint32(i), Count: 6}
		w.put(o, want)
		w.flush()
		assert.Equal(t, want, tail(t, b, twin))
	}
	other, err := b.Tail(t.Context(), 1-p)
	require.NoError(t, err)
	assert.Zero(t, other)
	_, err = b.snaps.Put(t.Context(), "tail."+strconv.Itoa(p), []byte("8.0 0/1"))
	require.NoError(t, err)
	assert.Equal(t, Mark{Seq: 8, Count: 1}, tail(t, b, twin), "what was written down may be later")
	_, err = b.snaps.Put(t.Context(), "tail."+strconv.Itoa(p), []byte("8"))
	require.NoError(t, err)
	_, err = b.Tail(t.Context(), p)
	require.ErrorContains(t, err, `got "8"; want "seq.index ordinal/count"`)
}

// pen is a writer of the test below, behind a proxy of its own.
type pen struct {
	id      string
	bus     *Bus
	between *proxy
	writer  Writer
	takes   chan taken
	next    map[int]uint64 // by partition that it takes for its own
	trouble error          // the last one
}

type taken struct {
	fence Fence
	next  uint64
}

// run writes what is next of some partition it owns, now and then flushes, and
// learns what it has lost, as long as going goes on. Its error says what it was
// at when ctx ended, and its last trouble.
func (w *pen) run(ctx, going context.Context, r *rand.Rand) error {
	for going.Err() == nil {
		for len(w.takes) > 0 {
			t := <-w.takes
			w.writer.Own(t.fence)
			w.next[t.fence.Partition] = t.next
		}
		for range 1 + r.IntN(200) {
			for p := range w.next {
				o, m := numbered(p, w.next[p], w.id)
				w.next[p]++
				if err := w.writer.Write(ctx, p, o, m); err != nil {
					return fmt.Errorf("%s: writing %d of partition %d: %w", w.id, m.Seq, p, errors.Join(err, w.trouble))
				}
				break // any of them: the order of a map is random
			}
		}
		if r.IntN(3) == 0 {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
		for _, p := range w.writer.Lost() {
			if len(w.takes) == 0 {
				delete(w.next, p)
			}
		}
		if len(w.next) == 0 {
			select {
			case t := <-w.takes:
				w.takes <- t
			case <-going.Done():
			}
		}
	}
	return w.flush(ctx)
}

func (w *pen) flush(ctx context.Context) error {
	if err := w.writer.Flush(ctx); err != nil {
		return fmt.Errorf("%s: flushing: %w", w.id, errors.Join(err, w.trouble))
	}
	return nil
}

// ordeal is the test below: its pens, and what happens to them.
type ordeal struct {
	*testing.T
	*rand.Rand
	bus   *Bus
	pens  []*pen
	epoch uint64
	begun time.Time
}

// note logs what happens, and when.
func (t *ordeal) note(format string, args ...any) {
	t.Logf("%4d ms: %s", time.Since(t.begun).Milliseconds(), fmt.Sprintf(format, args...))
}

// insist does what may fail while the server is away.
func (t *ordeal) insist(what string, f func() error) {
	t.Helper()
	for begun := time.Now(); ; {
		err := f()
		if err == nil {
			return
		}
		require.Less(t, time.Since(begun), patience, "%s: %v", what, err)
		require.NoError(t, pause.For(t.Context(), 10*time.Millisecond))
	}
}

// take makes a partition a pen's.
func (t *ordeal) take(w *pen, p int) {
	t.epoch++
	var got taken
	t.insist(fmt.Sprintf("fencing partition %d", p), func() (err error) {
		got.fence, err = t.bus.Fence(t.Context(), p, w.id, t.epoch)
		return err
	})
	var tail Mark
	t.insist(fmt.Sprintf("the tail of partition %d", p), func() (err error) {
		tail, err = t.bus.Tail(t.Context(), p)
		return err
	})
	got.next = tail.Seq + 1
	t.note("%s takes %d, with epoch %d and fence %d for %s, from %d on", w.id, p, t.epoch, got.fence.Seq, got.fence.record.Batch, got.next)
	w.takes <- got
}

// Three writers take partitions from each other while they are stopped and let
// go, their connections are cut, the server restarts, and fences are purged: OUT
// has each partition's outcomes in order, none missing, none twice, and none of
// an owner after the next one's.
func TestWritersInTrouble(t *testing.T) {
	eachCommit(t, writersInTrouble)
}

func writersInTrouble(t *testing.T, commit Commit) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const partitions = 4
	url, stop, start := external(t)
	b := open(t, Config{URL: url, Partitions: partitions, Commit: commit})
	all := &ordeal{T: t, Rand: rand.New(rand.NewPCG(seed, 0)), bus: b, begun: time.Now()}
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	going, enough := context.WithCancel(ctx)
	defer enough()
	errs := make(chan error, 3)
	for i := range 3 {
		w := &pen{id: fmt.Sprint("w", i), between: newProxy(t, url), takes: make(chan taken, 1000), next: map[int]uint64{}}
		w.bus = open(t, Config{URL: w.between.url(), Partitions: partitions, Commit: commit})
		var err error
		w.writer, err = w.bus.NewWriter(t.Context(), w.id, func(err error) { w.trouble = err })
		require.NoError(t, err)
		t.Cleanup(w.writer.Close)
		all.pens = append(all.pens, w)
		mine := rand.New(rand.NewPCG(seed, uint64(i+1)))
		go func() { errs <- w.run(ctx, going, mine) }()
	}
	for p := range partitions {
		all.take(all.pens[p%len(all.pens)], p)
	}
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
		all.happen(partitions, func() { stop(); start() })
		require.NoError(t, pause.For(t.Context(), time.Duration(all.IntN(60))*time.Millisecond))
	}
	for _, w := range all.pens {
		w.between.resume()
	}
	all.note("all go on, and end")
	enough()
	defer time.AfterFunc(patience, giveUp).Stop()
	never := time.After(2 * patience)
	for range all.pens {
		select {
		case err := <-errs:
			require.NoError(t, err)
		case <-never:
			t.Fatal("a writer goes on, although its context has ended")
		}
		all.note("one has ended")
	}
	all.check()
}

// happen is one trouble.
func (t *ordeal) happen(partitions int, restart func()) {
	w := t.pens[t.IntN(len(t.pens))]
	switch n := t.IntN(20); {
	case n < 6:
		t.note("%s is stopped", w.id)
		w.between.pause()
	case n < 12:
		t.note("%s goes on", w.id)
		w.between.resume()
	case n < 14:
		t.note("%s is cut off", w.id)
		w.between.cut()
	case n < 18:
		t.take(w, t.IntN(partitions))
	case n < 19:
		p := t.IntN(partitions)
		t.note("the fence of %d is purged", p)
		t.insist(fmt.Sprintf("purging the fence of partition %d", p), func() error {
			return t.bus.out.Purge(t.Context(), jetstream.WithPurgeSubject(fencePrefix+strconv.Itoa(p)))
		})
	default:
		t.note("the server restarts")
		restart()
		t.note("it is back")
	}
}

// check looks at what OUT has in the end.
func (t *ordeal) check() {
	t.insist("the server, at last", t.bus.Healthy)
	total := 0
	for p, got := range written(t.T, t.bus) {
		total += len(got)
		for i, text := range got {
			if _, number, _ := strings.Cut(text, " "); number != strconv.Itoa(i+1) {
				t.Fatalf("partition %d: want %d, got %q; it has %s", p, i+1, text, runs(got))
			}
		}
	}
	t.note("%d outcomes", total)
	assert.NotZero(t, total)
}

// runs tells who wrote what, as "w0 1-17, w1 18-20".
func runs(got []string) string {
	var text strings.Builder
	by, next := "", 0
	for _, one := range got {
		who, digits, _ := strings.Cut(one, " ")
		number, err := strconv.Atoi(digits)
		if by != who || number != next || err != nil {
			if by != "" {
				fmt.Fprintf(&text, "-%d, ", next-1)
			}
			text.WriteString(one)
		}
		by, next = who, number+1
	}
	fmt.Fprintf(&text, "-%d", next-1)
	return text.String()
}
