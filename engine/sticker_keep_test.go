package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// keepers are the stickers' keepers of workers that all take themselves for the one
// at the desk, on one server.
func keepers(t *testing.T, n int) (all []*stickerKeeper) {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: DataDir(t), Partitions: 1})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	for range n {
		e := &Engine{bus: b, log: zerolog.Nop(), people: newPeople()}
		e.twins.Put(twins.Twin{ID: "meter_1"})
		require.NoError(t, e.awaitDecisions(t.Context()))
		all = append(all, &stickerKeeper{engine: e, book: newStickerBook(), due: dueDocuments{wake: make(chan struct{}, 1)}})
	}
	return all
}

// start runs the keeper and what tells of stickers.
func (k *stickerKeeper) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(t, k.run(ctx)) })
	running.Go(func() { assert.NoError(t, runOutbox(ctx, k.engine, k.engine.stickerOutbox())) })
	t.Cleanup(func() { cancel(); running.Wait() })
	select {
	case <-k.book.ready:
	case <-time.After(time.Minute):
		t.Fatal("the keeper does not begin")
	}
}

func decision(seq uint64, op, note string) bus.Delivery {
	c := &rules.StickerChange{Op: op, Twin: "meter_1", Color: "red", Note: note, Recipients: []string{"ann"}}
	return bus.Delivery{Seq: seq, Attempt: 1, Outcome: rules.Outcome{
		Kind: rules.Sticker, Interaction: "i", Rule: "r", Twin: "meter_1", Feed: "red", At: time.Date(2026, 11, 2, 12, 0, int(seq), 0, time.UTC), Seq: seq, Sticker: c, Data: []byte(`{}`),
	}}
}

// record is what is kept of the sticker that decision puts.
func (k *stickerKeeper) record(t *testing.T) twins.StickerRecord {
	t.Helper()
	x := decision(1, rules.PutSticker, "")
	s, err := twins.DecidedSticker(&x.Outcome, "5404aaf0-fbc6-5f00-a0ad-ad628fb3645b", "1")
	require.NoError(t, err)
	text, _, err := k.engine.bus.Document(t.Context(), bus.Stickers, s.Key())
	require.NoError(t, err)
	r, err := twins.DecodeStickerRecord(text)
	require.NoError(t, err)
	return r
}

// What was decided and done is not done again, whatever has become of it since.
func TestADecisionThatComesAgain(t *testing.T) {
	k := keepers(t, 1)[0]
	k.start(t)
	carryOut := func(x bus.Delivery) { assert.True(t, k.carryOut(t.Context(), x).Done) }
	first, kept := decision(1, rules.PutSticker, "a"), decision(2, rules.PutSticker, "b")
	carryOut(first)
	carryOut(kept) // there is one: it is kept
	assert.Equal(t, "a", k.record(t).Sticker.Note)
	_, err := k.remove(t)
	require.NoError(t, err)
	carryOut(first)
	carryOut(kept)
	assert.Equal(t, twins.StickerRemoved, k.record(t).State, "it was taken off, and comes back")

	carryOut(decision(3, rules.RemoveSticker, ""))
	again := decision(4, rules.PutSticker, "c")
	carryOut(again)
	carryOut(decision(3, rules.RemoveSticker, ""))
	assert.Equal(t, twins.StickerLive, k.record(t).State, "what was removed before is removed again")
	assert.Equal(t, "c", k.record(t).Sticker.Note)
	carryOut(decision(5, rules.RemoveSticker, ""))
	carryOut(again)
	assert.Equal(t, twins.StickerRemoved, k.record(t).State)

	odd := decision(6, "paint", "")
	carryOut(odd)
	odd.Outcome.Sticker = nil
	odd.Seq = 7
	carryOut(odd)
	nobody := decision(8, rules.PutSticker, "")
	nobody.Outcome.Sticker.Twin = "nobody"
	carryOut(nobody)
	assert.Equal(t, uint64(3), k.engine.stats.undelivered.Load())
}

// A rule whose put had left the sticker of a person, or of another rule, took that
// off when its conditions ended, and its subscribers were told that the work was done.
func TestARuleTookOffWhatItHadNotPut(t *testing.T) {
	k := keepers(t, 1)[0]
	k.start(t)
	carryOut := func(x bus.Delivery) { assert.True(t, k.carryOut(t.Context(), x).Done) }
	ends := func(seq uint64, own bool) bus.Delivery {
		x := decision(seq, rules.RemoveSticker, "")
		x.Outcome.Sticker.Own = own
		return x
	}
	other := decision(1, rules.PutSticker, "of another rule")
	other.Outcome.Rule = "other"
	carryOut(other)
	carryOut(decision(2, rules.PutSticker, "kept"))
	carryOut(ends(3, true))
	assert.Equal(t, twins.StickerLive, k.record(t).State)
	carryOut(ends(4, false))
	assert.Equal(t, twins.StickerRemoved, k.record(t).State, "a rule that says so takes off any")
	carryOut(decision(5, rules.PutSticker, "its own"))
	carryOut(ends(6, true))
	assert.Equal(t, twins.StickerRemoved, k.record(t).State)
}

func (k *stickerKeeper) remove(t *testing.T) (s twins.Sticker, err error) {
	found := k.book.find(&StickerQuery{Color: "red"}, time.Now())
	if len(found) == 0 {
		return s, ErrNoSticker
	}
	err = k.engine.editSticker(t.Context(), k.book, found[0].Key(), func(r *twins.StickerRecord) error {
		if r.Sticker.ID != found[0].ID || !r.Remove("ann", time.Now()) {
			return ErrNoSticker
		}
		return nil
	})
	return found[0], err
}

// Two workers that both take themselves for the one at the desk do everything once.
func TestTwoDesks(t *testing.T) {
	two := keepers(t, 2)
	for _, k := range two {
		k.start(t)
	}
	told := make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	reader := two[0].engine.bus.NewTailReader()
	require.NoError(t, reader.Begin(ctx, bus.StickerTail, 1))
	var reading sync.WaitGroup
	reading.Go(func() {
		defer reader.Close()
		var batch []bus.TailMessage
		var err error
		for {
			if batch, err = reader.Next(ctx, time.Second, batch); err != nil {
				return
			}
			for i := range batch {
				told <- batch[i].Subject
			}
		}
	})
	t.Cleanup(func() { cancel(); reading.Wait() })
	const rounds = 20
	for i := range rounds {
		x := decision(uint64(2*i+1), rules.PutSticker, fmt.Sprint(i))
		var both sync.WaitGroup
		var won atomic.Int32
		for _, k := range two {
			both.Go(func() { k.carryOut(t.Context(), x) })
		}
		both.Wait()
		for _, k := range two {
			require.Eventually(t, func() bool { return len(k.book.find(&StickerQuery{}, time.Now())) == 1 }, time.Minute, time.Millisecond)
		}
		for _, k := range two { // when both know it: one would miss what the other has taken off already
			both.Go(func() {
				if _, err := k.remove(t); err == nil {
					won.Add(1)
				}
			})
		}
		both.Wait()
		assert.Equal(t, int32(1), won.Load())
		for _, k := range two {
			require.Eventually(t, func() bool { return len(k.book.find(&StickerQuery{}, time.Now())) == 0 }, time.Minute, time.Millisecond)
		}
	}
	for range 2 * rounds {
		select {
		case subject := <-told:
			assert.Equal(t, "meter_1.red", subject)
		case <-time.After(time.Minute):
			t.Fatal("not everything is told")
		}
	}
	for _, k := range two {
		require.Eventually(t, func() bool { return len(k.record(t).Unsent) == 0 }, time.Minute, time.Millisecond)
	}
	assert.Empty(t, told, "something is told twice")
}

// A page of the index is what sorting and filtering all of it gives.
func TestPagesOfStickers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noon := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	b := newStickerBook()
	records := map[string]twins.StickerRecord{}
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	for i := range 3000 {
		s := twins.Sticker{
			ID: fmt.Sprint(i), Twin: "t" + fmt.Sprint(random.IntN(20)), Account: pick("a", "b"), Color: pick("red", "blue", "green"),
			Recipients: []string{pick("x", "y", "z"), pick("u", "v")}, Created: noon.Add(time.Duration(random.IntN(50)) * time.Second), ValidUntil: noon.Add(time.Hour),
		}
		r := twins.StickerRecord{Sticker: s, State: pick(twins.StickerLive, twins.StickerLive, twins.StickerRemoved)}
		revision := bus.Revision(i + 1)
		if random.IntN(10) == 0 {
			b.put(s.Key(), nil, revision)
			delete(records, s.Key())
		} else {
			b.put(s.Key(), &r, revision)
			records[s.Key()] = r
		}
		b.put(s.Key(), &twins.StickerRecord{}, revision-1) // it comes late
	}
	for _, q := range []StickerQuery{
		{},
		{Twin: "t3"},
		{Color: "red"},
		{Twin: "t3", Color: "red", First: "b"},
		{Accounts: []string{"b"}},
		{Seen: []string{"x", "v"}},
		{Seen: []string{}},
		{Seen: []string{"x"}, From: noon.Add(10 * time.Second), To: noon.Add(20 * time.Second)},
		{Twin: "nobody"},
		{Seen: []string{"nobody"}},
	} {
		var want []twins.Sticker
		for _, r := range records {
			if r.Live(noon) && q.means(&r.Sticker) {
				want = append(want, r.Sticker)
			}
		}
		got := b.find(&q, noon)
		assert.ElementsMatch(t, want, got)
		for i := 1; i < len(got); i++ {
			assert.Negative(t, q.compare(got[i-1], got[i]))
		}
	}
	assert.Empty(t, b.find(&StickerQuery{}, noon.Add(time.Hour)), "what has expired is not there")
	for key := range records {
		b.put(key, nil, 10_000)
	}
	assert.Empty(t, b.byTwin)
	assert.Empty(t, b.byRecipient)
	b.forget()
	b.forget()
	assert.Empty(t, b.all)
}
