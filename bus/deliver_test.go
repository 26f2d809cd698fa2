package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// decide stores outcomes of the twins in OUT, the first with the sequence from.
func decide(t *testing.T, b *Bus, from int, twins ...string) {
	t.Helper()
	var last jetstream.PubAckFuture
	for i, twin := range twins {
		o, mark := outcome(twin, uint64(from+i))
		o.Count = mark.Count
		var err error
		last, err = b.js.PublishMsgAsync(&nats.Msg{Subject: string(appendSubject([]byte(b.root), b.home(o), o)), Data: o.AppendJSON(nil)}, jetstream.WithStallWait(time.Minute))
		require.NoError(t, err)
	}
	select {
	case <-last.Ok():
	case err := <-last.Err():
		require.NoError(t, err)
	}
}

// inTurn names n twins again and again, until there are names for so many outcomes.
func inTurn(n, outcomes int) (twins []string) {
	for i := range outcomes {
		twins = append(twins, fmt.Sprintf("twin_%d", i%n))
	}
	return twins
}

// receiver is what a sink does in a test: it remembers, and answers as it is told.
type receiver struct {
	t      *testing.T
	answer func(Delivery) Answer // nil: done
	enough int                   // after so many that are done stop is called
	stop   context.CancelFunc

	mu      sync.Mutex
	done    []Delivery
	tried   int
	now     map[string]int // deliveries under way, by twin
	most    int            // deliveries that were under way at a time
	trouble []error
}

func (r *receiver) deliver(_ context.Context, d Delivery) Answer {
	twin := d.Outcome.Source
	r.mu.Lock()
	r.tried++
	if r.now == nil {
		r.now = map[string]int{}
	}
	r.now[twin]++
	under := 0
	for n := range maps.Values(r.now) {
		under += n
	}
	r.most = max(r.most, under)
	r.mu.Unlock()
	a := Answer{Done: true}
	if r.answer != nil {
		a = r.answer(d)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now[twin]--
	if a.Done {
		r.done = append(r.done, d)
	}
	if len(r.done) == r.enough && r.stop != nil {
		r.stop()
	}
	return a
}

func (r *receiver) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble = append(r.trouble, err)
}

func (r *receiver) said(target error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.trouble, func(err error) bool { return errors.Is(err, target) })
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.done)
}

// run runs the deliveries until enough are done.
func (r *receiver) run(d *Deliveries, enough int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	r.enough, r.stop = enough, cancel
	require.NoError(r.t, d.Run(ctx, 30*time.Second, r.deliver))
	require.GreaterOrEqual(r.t, r.count(), enough, "in time")
}

// start runs the deliveries until end is called, which waits for them.
func (r *receiver) start(d *Deliveries) (end func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	over := make(chan error, 1)
	go func() { over <- d.Run(ctx, 30*time.Second, r.deliver) }()
	end = sync.OnceFunc(func() {
		cancel()
		assert.NoError(r.t, <-over)
	})
	r.t.Cleanup(end)
	return end
}

// seqs are the causes of what was delivered, of one twin or, for "", of all.
func (r *receiver) seqs(twin string) (seqs []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.done {
		if twin == "" || d.Outcome.Source == twin {
			seqs = append(seqs, d.Outcome.Seq)
		}
	}
	return seqs
}

func upTo(n int) (seqs []uint64) {
	for i := range n {
		seqs = append(seqs, uint64(i+1))
	}
	return seqs
}

func (b *Bus) subscribeFor(t *testing.T, r *receiver, s Subscription) *Deliveries {
	t.Helper()
	s.Trouble = r.note
	d, err := b.Subscribe(t.Context(), s)
	require.NoError(t, err)
	return d
}

func waiting(t *testing.T, d *Deliveries) int {
	t.Helper()
	n, err := d.Waiting(t.Context())
	require.NoError(t, err)
	return n
}

// However often the deliveries are stopped and run again, each outcome is
// delivered once, and in its order where there is one worker.
func TestStoppedDeliveriesGoOnWhereTheyWere(t *testing.T) {
	for name, s := range map[string]Subscription{
		"one worker":   {Name: "s"},
		"many workers": {Name: "s", Workers: 8},
		"by twin":      {Name: "s", Workers: 8, ByTwin: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{})
			r := &receiver{t: t}
			d := b.subscribeFor(t, r, s)
			d.lastCall = patience // what is given back is an attempt
			n := fewer(2000)
			decide(t, b, 1, inTurn(20, n)...)
			for r.count() < n {
				r.run(d, min(r.count()+n/5, n))
			}
			got := r.seqs("")
			assert.ElementsMatch(t, upTo(n), got, "each once")
			if s.Workers == 0 {
				assert.Equal(t, upTo(n), got)
			}
			for i := range 20 {
				if twin := r.seqs(fmt.Sprintf("twin_%d", i)); s.ByTwin {
					assert.True(t, slices.IsSorted(twin), twin)
				}
			}
			for _, x := range r.done {
				assert.Equal(t, 1, x.Attempt, "what was fetched ahead is not an attempt")
			}
			assert.Zero(t, waiting(t, d))
			assert.Empty(t, r.trouble)
		})
	}
}

// Outcomes of a twin wait for the one before them to be tried again; other twins go on.
func TestOneTwinWaitsAlone(t *testing.T) {
	for name, c := range map[string]Config{"plain": {}, "under a prefix": {Prefix: "brno", Partitions: 1}} {
		t.Run(name, func(t *testing.T) {
			b := open(t, c)
			refuse := true
			refused, others := make(chan struct{}, 1), make(chan struct{})
			r := &receiver{t: t}
			r.answer = func(d Delivery) Answer {
				if d.Outcome.Source == "twin_3" && refuse {
					assert.Equal(t, uint64(4), d.Outcome.Seq, "the first one is tried again, and no other")
					select {
					case <-others:
						refuse = false
					default:
						select {
						case refused <- struct{}{}:
						default:
						}
						return Answer{Again: time.Millisecond}
					}
				}
				return Answer{Done: true}
			}
			d := b.subscribeFor(t, r, Subscription{Name: "s", Workers: 4, ByTwin: true})
			const n = 1000
			decide(t, b, 1, inTurn(10, n)...)
			end := r.start(d)
			require.Eventually(t, func() bool { return r.count() == n*9/10 }, patience, time.Millisecond, "all others")
			assert.Empty(t, r.seqs("twin_3"))
			<-refused
			close(others)
			require.Eventually(t, func() bool { return r.count() == n }, patience, time.Millisecond)
			end()
			for i := range 10 {
				got := r.seqs(fmt.Sprintf("twin_%d", i))
				assert.Len(t, got, n/10)
				assert.True(t, slices.IsSorted(got), got)
			}
			assert.Greater(t, r.done[slices.IndexFunc(r.done, func(d Delivery) bool { return d.Outcome.Seq == 4 })].Attempt, 1)
			assert.Zero(t, waiting(t, d))
		})
	}
}

// One twin's deliveries never overlap; those of different twins do.
func TestTwinsGoAtATime(t *testing.T) {
	b := open(t, Config{})
	r := &receiver{t: t}
	const workers = 4
	var met atomic.Int32
	all := make(chan struct{})
	r.answer = func(d Delivery) Answer {
		r.mu.Lock()
		assert.Equal(t, 1, r.now[d.Outcome.Source])
		r.mu.Unlock()
		if d.Outcome.Seq <= workers { // the first of each twin waits for those of the others
			if met.Add(1) == workers {
				close(all)
			}
			<-all
		}
		return Answer{Done: true}
	}
	d := b.subscribeFor(t, r, Subscription{Name: "s", Workers: workers, ByTwin: true})
	decide(t, b, 1, inTurn(workers, 400)...)
	r.run(d, 400)
	assert.Equal(t, workers, r.most)
}

// A twin that has more waiting than its share is not waited for any more.
func TestATwinHasAShareOfTheRoom(t *testing.T) {
	b := open(t, Config{})
	r := &receiver{t: t}
	r.answer = func(d Delivery) Answer {
		if d.Outcome.Source == "bad" && !d.Crowded {
			return Answer{Again: time.Hour}
		}
		return Answer{Done: true}
	}
	d := b.subscribeFor(t, r, Subscription{Name: "s", Workers: 2, ByTwin: true})
	const bad, good = maxHeld / laneShare, 10
	twins := append(inTurn(1, bad), inTurn(good, good)...)
	for i := range bad {
		twins[i] = "bad"
	}
	decide(t, b, 1, twins...)
	end := r.start(d)
	require.Eventually(t, func() bool { return len(r.seqs("bad")) > 0 && r.count()-len(r.seqs("bad")) == good }, patience, time.Millisecond)
	end()
	got := r.seqs("bad")
	assert.True(t, slices.IsSorted(got), "in its order")
	assert.Less(t, len(got), bad, "what is within its share waits")
	assert.Equal(t, bad-len(got), waiting(t, d))
}

// A sink that is down is tried by one delivery at a time, and not as often as
// there are workers and outcomes.
func TestASinkThatIsDownIsLeftAlone(t *testing.T) {
	for name, byTwin := range map[string]bool{"loose": false, "by twin": true} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{})
			r := &receiver{t: t}
			const workers, n = 50, 1000
			const wait = 20 * time.Millisecond
			down := true
			r.answer = func(Delivery) Answer {
				r.mu.Lock()
				defer r.mu.Unlock()
				if down {
					return Answer{Again: wait}
				}
				return Answer{Done: true}
			}
			d := b.subscribeFor(t, r, Subscription{Name: "s", Workers: workers, ByTwin: byTwin})
			decide(t, b, 1, inTurn(100, n)...)
			began := time.Now()
			r.start(d)
			require.Eventually(t, func() bool { return time.Since(began) > 500*time.Millisecond }, patience, 10*time.Millisecond)
			r.mu.Lock()
			const wave = workers + maxSpare + downAfter // that were under way before it was known
			assert.LessOrEqual(t, r.tried, wave+int(time.Since(began)/wait))
			down = false
			r.mu.Unlock()
			require.Eventually(t, func() bool { return r.count() == n }, patience, time.Millisecond)
			require.Len(t, r.trouble, 1)
			assert.EqualError(t, r.trouble[0], "sink s: 5 attempts in a row have failed; one at a time is made until one succeeds")
		})
	}
}

// What a process that was killed had fetched comes again before what follows.
func TestOrderAfterAKill(t *testing.T) {
	for name, s := range map[string]Subscription{"one worker": {}, "by twin": {Workers: 4, ByTwin: true}} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{})
			r := &receiver{t: t}
			s.Name, s.AckWait = "s", time.Second
			d := b.subscribeFor(t, r, s)
			decide(t, b, 1, inTurn(2, 40)...)
			killed, err := d.backlogs[0].consumer.Fetch(20)
			require.NoError(t, err)
			n := 0
			for m := range killed.Messages() {
				if n++; n%3 == 0 {
					require.NoError(t, m.DoubleAck(t.Context()))
				}
			}
			require.Equal(t, 20, n)
			const left = 40 - 20/3
			r.run(d, left)
			for _, twin := range []string{"twin_0", "twin_1"} {
				assert.True(t, slices.IsSorted(r.seqs(twin)), r.seqs(twin))
			}
			assert.Len(t, r.done, left)
			assert.Zero(t, waiting(t, d))
		})
	}
}

// What came too early waits also while the server is away, or it would go ahead of
// what a process that was killed had fetched.
func TestOrderAfterAKillAndALostConnection(t *testing.T) {
	url, stop, start := external(t)
	b := open(t, Config{URL: url})
	r := &receiver{t: t}
	d := b.subscribeFor(t, r, Subscription{Name: "s", AckWait: 5 * time.Second, Workers: 4, ByTwin: true})
	decide(t, b, 1, inTurn(2, 40)...)
	c := d.backlogs[0].consumer
	killed, err := c.Fetch(20)
	require.NoError(t, err)
	n := 0
	for m := range killed.Messages() {
		if n++; n%3 == 0 {
			require.NoError(t, m.DoubleAck(t.Context()))
		}
	}
	r.start(d)
	require.Eventually(t, func() bool {
		info, err := c.Info(t.Context())
		return err == nil && info.Delivered.Stream > 20
	}, patience, time.Millisecond)
	stop()
	require.Eventually(t, func() bool { return r.said(errAway) }, patience, time.Millisecond)
	start()
	const left = 40 - 20/3
	require.Eventually(t, func() bool { return r.count() >= left }, patience, 10*time.Millisecond)
	for _, twin := range []string{"twin_0", "twin_1"} {
		assert.True(t, slices.IsSorted(r.seqs(twin)), r.seqs(twin))
	}
	assert.Len(t, r.seqs(""), left)
}

// The server never heard that an outcome is done with: it gives it again, and it
// is not delivered again.
func TestLostAcknowledgements(t *testing.T) {
	url, stop, start := external(t)
	b := open(t, Config{URL: url})
	r := &receiver{t: t}
	r.answer = func(d Delivery) Answer {
		if d.Outcome.Seq == 3 {
			stop() // between the delivery and its acknowledgement
		}
		return Answer{Done: true}
	}
	d := b.subscribeFor(t, r, Subscription{Name: "s", AckWait: 2 * time.Second})
	decide(t, b, 1, inTurn(2, 6)...)
	r.start(d)
	require.Eventually(t, func() bool { return len(r.seqs("")) >= 3 }, patience, time.Millisecond)
	start()
	require.Eventually(t, func() bool {
		n, err := d.Waiting(t.Context())
		return err == nil && n == 0 && b.Healthy() == nil
	}, patience, 10*time.Millisecond)
	assert.Equal(t, upTo(6), r.seqs(""))
}

// A slow delivery is not given to somebody else: the server hears that it is
// under way.
func TestASlowDeliveryIsNotDoubled(t *testing.T) {
	b := open(t, Config{})
	r := &receiver{t: t}
	const ackWait = 300 * time.Millisecond
	began := time.Now()
	r.answer = func(Delivery) Answer {
		assert.Eventually(t, func() bool { return time.Since(began) > 4*ackWait }, patience, 10*time.Millisecond)
		return Answer{Done: true}
	}
	d := b.subscribeFor(t, r, Subscription{Name: "s", Workers: 2, AckWait: ackWait})
	decide(t, b, 1, inTurn(2, 4)...)
	r.run(d, 4)
	assert.ElementsMatch(t, upTo(4), r.seqs(""))
	assert.Equal(t, 4, r.tried)
}

// One delivery that hangs holds up no other: what a worker would have got next,
// the others take.
func TestAHangingDelivery(t *testing.T) {
	for name, byTwin := range map[string]bool{"loose": false, "by twin": true} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{})
			n := fewer(3000)
			r := &receiver{t: t}
			others := make(chan struct{})
			r.answer = func(d Delivery) Answer {
				if d.Outcome.Seq == uint64(n/2) {
					<-others
				}
				return Answer{Done: true}
			}
			d := b.subscribeFor(t, r, Subscription{Name: "s", Workers: 2, ByTwin: byTwin})
			decide(t, b, 1, inTurn(n, n)...)
			r.start(d)
			require.Eventually(t, func() bool { return r.count() == n-1 }, patience, time.Millisecond)
			close(others)
			require.Eventually(t, func() bool { return r.count() == n }, patience, time.Millisecond)
		})
	}
}

// What was to be tried again later is tried by the next run at once, and before
// what came after it; nobody waits for that.
func TestLaterIsNowForTheNextRun(t *testing.T) {
	b := open(t, Config{})
	r := &receiver{t: t}
	first := true
	r.answer = func(d Delivery) Answer {
		if d.Outcome.Seq == 1 && first {
			first = false
			return Answer{Again: time.Hour}
		}
		return Answer{Done: true}
	}
	d := b.subscribeFor(t, r, Subscription{Name: "s", AckWait: time.Hour})
	decide(t, b, 1, inTurn(1, 5)...)
	r.run(d, 4)
	assert.Equal(t, []uint64{2, 3, 4, 5}, r.seqs(""), "the others did not wait for it")
	decide(t, b, 6, inTurn(1, 5)...)
	r.run(d, 10)
	assert.Equal(t, []uint64{2, 3, 4, 5, 1, 6, 7, 8, 9, 10}, r.seqs(""))
	assert.Equal(t, 2, r.done[4].Attempt)
}

// Somebody deletes the consumer: it is made again where it was, and says so.
func TestADeletedConsumerIsMadeAgain(t *testing.T) {
	b := open(t, Config{})
	r := &receiver{t: t}
	d := b.subscribeFor(t, r, Subscription{Name: "s"})
	decide(t, b, 1, inTurn(2, 100)...)
	end := r.start(d)
	require.Eventually(t, func() bool { return r.count() == 100 && waiting(t, d) == 0 }, patience, time.Millisecond)
	require.NoError(t, b.out.DeleteConsumer(t.Context(), "sink_s"))
	decide(t, b, 101, inTurn(2, 100)...)
	require.Eventually(t, func() bool { return r.count() >= 200 && waiting(t, d) == 0 }, patience, time.Millisecond)
	end()
	assert.Equal(t, upTo(200), r.seqs("")[:200], "nothing is lost")
	i := slices.IndexFunc(r.trouble, func(err error) bool { return errors.Is(err, ErrGone) })
	require.GreaterOrEqual(t, i, 0)
	assert.EqualError(t, r.trouble[i], "sink s: consumer sink_s of stream OUT was removed by somebody else; it is made again and goes on at sequence 101, from where outcomes may come twice")
}

// Nothing is fetched for a sink that is down: that its consumer was deleted is
// found all the same.
func TestAConsumerIsDeletedWhileItsSinkIsDown(t *testing.T) {
	b := open(t, Config{})
	r := &receiver{t: t, answer: func(Delivery) Answer { return Answer{Again: time.Hour} }}
	d := b.subscribeFor(t, r, Subscription{Name: "s"})
	decide(t, b, 1, inTurn(2, 20)...)
	r.start(d)
	require.Eventually(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.tried >= downAfter }, patience, time.Millisecond)
	require.NoError(t, b.out.DeleteConsumer(t.Context(), "sink_s"))
	require.Eventually(t, func() bool { return r.said(ErrGone) }, patience, time.Millisecond)
	assert.Equal(t, 20, waiting(t, d))
}

// Somebody purges the stream while outcomes wait: what they were is gone, but
// not without a word.
func TestPurgedOutcomesAreMissed(t *testing.T) {
	for name, answer := range map[string]Answer{"not fetched": {Done: true}, "waiting for the next attempt": {Again: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, Config{})
			r := &receiver{t: t}
			hold, held := make(chan struct{}), make(chan struct{}, 1000)
			r.answer = func(d Delivery) Answer {
				select {
				case held <- struct{}{}:
				default:
				}
				if answer.Done {
					<-hold
				}
				return answer
			}
			d := b.subscribeFor(t, r, Subscription{Name: "s"})
			decide(t, b, 1, inTurn(2, 100)...)
			eventually(t, func() bool { return waiting(t, d) == 100 }, "the consumer knows of them")
			r.start(d)
			<-held
			if !answer.Done {
				require.Eventually(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.tried >= downAfter }, patience, time.Millisecond)
			}
			require.NoError(t, b.out.Purge(t.Context(), jetstream.WithPurgeKeep(1)))
			close(hold)
			require.Eventually(t, func() bool { return r.said(ErrGone) }, patience, 10*time.Millisecond)
		})
	}
}

// What workers write into OUT to know each other is for no sink.
func TestCheckpointsAreNotDelivered(t *testing.T) {
	b := open(t, Config{})
	r := &receiver{t: t}
	d := b.subscribeFor(t, r, Subscription{Name: "s"})
	_, err := b.js.Publish(t.Context(), "ckpt.3", []byte(`{"owner":"w"}`))
	require.NoError(t, err)
	decide(t, b, 1, "a")
	r.run(d, 1)
	assert.Equal(t, upTo(1), r.seqs(""))
	assert.Zero(t, waiting(t, d))
}

// A fence that waits for a sink goes when another one is put up: that is no loss.
func TestFencesAreNotMissed(t *testing.T) {
	b := open(t, Config{Partitions: 4})
	r := &receiver{t: t}
	d := b.subscribeFor(t, r, Subscription{Name: "s"})
	newWriter(t, b, nil)
	decide(t, b, 1, inTurn(2, 10)...)
	run, err := newDispatcher(d)
	require.NoError(t, err)
	defer run.close()
	p := run.pullers[0]
	wait := func(n int) {
		t.Helper()
		require.Eventually(t, func() bool { return waiting(t, d) == n }, patience, time.Millisecond)
	}
	wait(14)
	info, err := p.consumer.Info(t.Context())
	require.NoError(t, err)
	p.know(info)
	newWriter(t, b, nil)
	decide(t, b, 11, inTurn(2, 5)...)
	wait(19)
	assert.Equal(t, lookEvery, p.look(t.Context()))
	require.NoError(t, b.out.Purge(t.Context(), jetstream.WithPurgeKeep(15)))
	wait(15)
	assert.Equal(t, lookAgain, p.look(t.Context()))
	assert.Equal(t, lookEvery, p.look(t.Context()))
	require.Len(t, r.trouble, 1)
	assert.EqualError(t, r.trouble[0], "sink s: 4 outcomes or more that waited for it in stream OUT were removed by somebody else, and are lost")
}
