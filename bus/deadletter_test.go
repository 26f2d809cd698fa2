package bus

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

func bury(t *testing.T, b *Bus, letters ...DeadLetter) {
	t.Helper()
	for _, l := range letters {
		require.NoError(t, b.Bury(t.Context(), l))
	}
}

// numbers are those of the letters that a query means.
func numbers(t *testing.T, b *Bus, q LetterQuery) (numbers []uint64) {
	t.Helper()
	for l, err := range b.Letters(t.Context(), q) {
		require.NoError(t, err)
		assert.Empty(t, l.Data)
		numbers = append(numbers, l.Letter)
	}
	return numbers
}

func TestLetters(t *testing.T) {
	b := open(t, Config{Partitions: 4})
	assert.Empty(t, numbers(t, b, LetterQuery{}))
	_, err := b.DeadLetter(t.Context(), 7)
	require.ErrorIs(t, err, ErrNoLetter)
	require.EqualError(t, err, "no such dead letter: 7; there are none")
	bury(
		t, b,
		DeadLetter{Stage: StageDoor, Reason: "line 3: no JSON", Data: []byte("x")},
		DeadLetter{Stage: StageFeed, Reason: `unknown twin: "m 1"`, Twin: " m\t1", Feed: "temp", Seq: 17, Index: 2, Time: noon, Data: []byte(`{"t":1}`)},
		DeadLetter{Stage: StageSink, Reason: "410 Gone", Twin: "m2", Feed: "status", Sink: "pager", Attempts: 7, Seq: 17, Data: []byte(`{"kind":"output"}`)},
		DeadLetter{Stage: StageSink, Reason: "410 Gone", Sink: "pager", Route: "brno", Attempts: 1, Seq: 17, Data: []byte(`{}`)},
		DeadLetter{Stage: StageFeed, Reason: "too large: 70000 bytes", Twin: "m2", Feed: "temp", Seq: 18, Data: make([]byte, 70_000)},
	)
	for _, tt := range []struct {
		query LetterQuery
		want  []uint64
	}{
		{LetterQuery{}, []uint64{1, 2, 3, 4, 5}},
		{LetterQuery{Stage: StageSink}, []uint64{3, 4}},
		{LetterQuery{Stage: StageSink, Twin: "m2"}, []uint64{3}},
		{LetterQuery{Twin: "m2"}, []uint64{3, 5}},
		{LetterQuery{Twin: " m\t1"}, []uint64{2}},
		{LetterQuery{Sink: "pager"}, []uint64{3, 4}},
		{LetterQuery{Sink: "page"}, nil},
		{LetterQuery{Reason: "unknown twin"}, []uint64{2}},
		{LetterQuery{From: 2, To: 4}, []uint64{2, 3, 4}},
		{LetterQuery{From: 9}, nil},
	} {
		assert.Equal(t, tt.want, numbers(t, b, tt.query), "%+v", tt.query)
	}
	l, err := b.DeadLetter(t.Context(), 2)
	require.NoError(t, err)
	assert.Equal(t, " m\t1", l.Twin, "as it is, and not as a header can say it")
	assert.Equal(t, "temp", l.Feed)
	assert.True(t, l.Time.Equal(noon))
	assert.Equal(t, "17.2", l.place())
	assert.Equal(t, 7, l.Size)
	assert.True(t, l.Whole())
	assert.WithinDuration(t, time.Now(), l.At, time.Minute)
	l, err = b.DeadLetter(t.Context(), 5)
	require.NoError(t, err)
	assert.Len(t, l.Data, DeadLetterBytes)
	assert.Equal(t, 70_000, l.Size)
	assert.False(t, l.Whole())
	for l, err := range b.Letters(t.Context(), LetterQuery{From: 4}) {
		require.NoError(t, err)
		assert.Equal(t, map[uint64]int{4: 2, 5: 70_000}[l.Letter], l.Size)
	}
	_, err = b.DeadLetter(t.Context(), 7)
	require.EqualError(t, err, "no such dead letter: 7; those that are kept are from 1 to 5")
}

// What is dropped must not come again when the engine judges again after a
// crash: how far burying has come is still known.
func TestDroppedLettersStayBuried(t *testing.T) {
	b := open(t, Config{Partitions: 1})
	for i := range 3 {
		bury(t, b, DeadLetter{Stage: StageFeed, Reason: "x", Twin: "a", Feed: "f", Seq: uint64(10 + i)})
	}
	drop := func(number uint64) {
		t.Helper()
		l, err := b.DeadLetter(t.Context(), number)
		require.NoError(t, err)
		require.NoError(t, b.DropLetter(t.Context(), &l))
		require.ErrorIs(t, b.DropLetter(t.Context(), &l), ErrNoLetter)
		_, err = b.DeadLetter(t.Context(), number)
		require.ErrorIs(t, err, ErrNoLetter)
	}
	last := func() uint64 {
		seq, _, err := b.LastBuried(t.Context(), 0)
		require.NoError(t, err)
		return seq
	}
	drop(1)
	drop(3)
	assert.Equal(t, uint64(12), last())
	assert.Equal(t, []uint64{2}, numbers(t, b, LetterQuery{}))
	drop(2)
	assert.Equal(t, uint64(12), last())
	letters, err := b.DeadLetters(t.Context(), 10)
	require.NoError(t, err)
	assert.Empty(t, letters)
	bury(t, b, DeadLetter{Stage: StageFeed, Reason: "x", Twin: "a", Feed: "f", Seq: 13})
	assert.Equal(t, uint64(13), last())
	assert.Len(t, numbers(t, b, LetterQuery{}), 1)
}

// A letter's outcome comes to its sink again, the same in all that makes its
// event id, and the letter goes when it has arrived.
func TestALetterIsDeliveredAgain(t *testing.T) {
	b := open(t, Config{Prefix: "in"})
	r := &receiver{t: t}
	r.answer = func(d Delivery) Answer {
		require.NoError(t, d.Err)
		if d.Letter == 0 {
			require.NoError(t, b.Bury(t.Context(), d.DeadLetter("ops.pager", d.Outcome.Topic, "410 Gone")))
		}
		return Answer{Done: true}
	}
	d := b.subscribeFor(t, r, Subscription{Name: "ops.pager", ByTwin: true})
	w := newWriter(t, b, nil)
	o, m := outcome("machine 1", 5)
	m.Index = 3
	w.put(o, m)
	w.flush()
	topic := b.subscribeFor(t, r, Subscription{Name: "ops.pager", Topic: "brno"})
	require.NoError(t, b.PutNotification(t.Context(), &rules.Outcome{Kind: rules.Notification, Topic: "brno", ID: "nt_1", At: noon, Seq: 2, Data: []byte(`{}`)}))
	r.run(d, 1)
	r.run(topic, 2)
	require.Equal(t, []uint64{1, 2}, numbers(t, b, LetterQuery{Sink: "ops.pager"}))

	for number := uint64(1); number <= 2; number++ {
		l, err := b.DeadLetter(t.Context(), number)
		require.NoError(t, err)
		assert.Equal(t, []string{"", "machine 1-out", ""}[number], l.Twin)
		require.NoError(t, b.Deliver(t.Context(), &l))
		require.ErrorIs(t, b.Deliver(t.Context(), &l), ErrRetrying)
	}
	retrying, err := b.Retrying(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[uint64]bool{1: true, 2: true}, retrying)
	require.Eventually(t, func() bool { return waiting(t, d) == 2 }, patience, time.Millisecond)
	r.run(d, 4)
	first, again := r.done[0], r.done[2]
	assert.Equal(t, first.Outcome.EventID(), again.Outcome.EventID())
	assert.Equal(t, uint32(3), again.Outcome.Index)
	assert.Equal(t, "machine 1", again.Outcome.Source)
	assert.Equal(t, first.Seq, again.Seq)
	assert.Equal(t, r.done[1].Outcome.EventID(), r.done[3].Outcome.EventID(), "of a notification, too")
	assert.Empty(t, numbers(t, b, LetterQuery{}))
	retrying, err = b.Retrying(t.Context())
	require.NoError(t, err)
	assert.Empty(t, retrying)
	assert.Zero(t, waiting(t, d))
}

// What is given up once more is another letter, however soon that is; and one
// that was dropped meanwhile is not delivered.
func TestALetterIsGivenUpAgain(t *testing.T) {
	b := open(t, Config{})
	r := &receiver{t: t}
	r.answer = func(d Delivery) Answer {
		if d.Attempt == 1 {
			return Answer{Again: time.Millisecond}
		}
		l := d.DeadLetter("s", "", fmt.Sprintf("no %d", d.Letter))
		require.NoError(t, b.Bury(t.Context(), l))
		return Answer{Done: true}
	}
	d := b.subscribeFor(t, r, Subscription{Name: "s"})
	decide(t, b, 1, "a")
	r.run(d, 1)
	for number := uint64(1); number <= 3; number++ {
		l, err := b.DeadLetter(t.Context(), number)
		require.NoError(t, err)
		assert.Equal(t, int(2*number), l.Attempts, "all of them")
		assert.Equal(t, fmt.Sprintf("no %d", number-1), l.Reason)
		require.NoError(t, b.Deliver(t.Context(), &l))
		r.run(d, int(number)+1)
		assert.Equal(t, []uint64{number + 1}, numbers(t, b, LetterQuery{}))
	}
	l, err := b.DeadLetter(t.Context(), 4)
	require.NoError(t, err)
	require.NoError(t, b.Deliver(t.Context(), &l))
	require.NoError(t, b.DropLetter(t.Context(), &l))
	end := r.start(d)
	require.Eventually(t, func() bool { return waiting(t, d) == 0 }, patience, time.Millisecond)
	end()
	assert.Equal(t, 4, r.count())
	assert.Empty(t, r.trouble)
}
