package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

// letters are the numbers of the dead letters that are meant, the newest first.
func (w *works) letters(f engine.LetterFilter) (numbers []uint64) {
	w.t.Helper()
	found, total, err := w.DeadLetters(w.t.Context(), f, 100)
	require.NoError(w.t, err)
	require.Len(w.t, found, total)
	for _, l := range found {
		numbers = append(numbers, l.Seq)
	}
	return numbers
}

// A sample that came before its twin was described is judged when it is retried
// after that, once; and late when something newer has been judged.
func TestAnUnknownTwinIsDescribed(t *testing.T) {
	sink := &heard{}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = ruleFile(t, overheating), machines(1)
		c.Sinks = []engine.NamedSink{{Name: "heard", Kind: rules.Alert, Sink: sink}}
	})
	w.emit(reading("machine_7", 1, 35))
	line := reading("machine_7", 2, 36)
	line.Refused = `unknown twin "machine_7"`
	line.Data = []byte(`{"twin":"machine_7","feed":"currentTemp","occurredAt":"2026-11-02T12:00:02Z","data":{"temperature":36}}`)
	w.emit(line)                        // as the HTTP door does: the whole line is kept
	w.emit(reading("machine_7", 0, 20)) // it is older than the others
	w.until("dead letters", func() bool { return len(w.letters(engine.LetterFilter{})) == 3 })
	var seqs [3]uint64
	found, _, err := w.DeadLetters(t.Context(), engine.LetterFilter{}, 10)
	require.NoError(t, err)
	for _, l := range found {
		seqs[l.OccurredAt.Second()] = l.Seq
	}
	_, err = w.RetryDeadLetter(t.Context(), seqs[1])
	var conflict *engine.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.EqualError(t, err, `it cannot be retried: unknown twin "machine_7"; did you mean "machine_0"?`)

	require.NoError(t, w.PutTwin(t.Context(), machine("machine_7")))
	for _, second := range []int{1, 2, 0} {
		l, err := w.RetryDeadLetter(t.Context(), seqs[second])
		require.NoError(t, err)
		assert.Equal(t, seqs[second], l.Seq)
		_, err = w.RetryDeadLetter(t.Context(), seqs[second])
		require.ErrorIs(t, err, engine.ErrNoLetter)
		w.drain()
	}
	got := sink.all()
	require.Len(t, got, 1, "the third one is late: it ends nothing")
	assert.Equal(t, `{"temperature":35}`, string(got[0].Data))
	assert.True(t, got[0].At.Equal(noon.Add(time.Second)), "its own time")
	assert.Equal(t, uint64(3), w.Stats().Outputs)
	assert.Empty(t, w.letters(engine.LetterFilter{}))
}

func TestWhatCannotBeRetried(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.Twins = machines(1)
		c.Sinks = []engine.NamedSink{{Name: "pager", Sink: &heard{}}}
	})
	sample := bus.DeadLetter{Stage: bus.StageFeed, Reason: "x", Twin: "machine_0", Feed: "currentTemp", Data: []byte(`{}`)}
	with := func(change func(*bus.DeadLetter)) bus.DeadLetter {
		l := sample
		change(&l)
		return l
	}
	for name, tt := range map[string]struct {
		letter bus.DeadLetter
		want   string
	}{
		"large":        {with(func(l *bus.DeadLetter) { l.Data = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", 70_000)) }), "only the first 65536 of its 70008 bytes are kept"},
		"no twin":      {with(func(l *bus.DeadLetter) { l.Twin, l.Feed = "", "" }), "no twin or no feed"},
		"not JSON":     {with(func(l *bus.DeadLetter) { l.Data = []byte("oops") }), "not JSON"},
		"feed":         {with(func(l *bus.DeadLetter) { l.Feed = "temp" }), `unknown feed "temp" of twin "machine_0"; it has ["currentTemp"]`},
		"future":       {with(func(l *bus.DeadLetter) { l.Time = time.Now().Add(time.Hour) }), "in the future: "},
		"sink":         {with(func(l *bus.DeadLetter) { l.Stage, l.Sink = bus.StageSink, "pagr" }), `no sink "pagr" is configured any more; did you mean "pager"?`},
		"another sink": {with(func(l *bus.DeadLetter) { l.Stage, l.Sink = bus.StageSink, "mail" }), `no sink "mail" is configured any more; configured are ["pager"]`},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, w.bus.Bury(t.Context(), tt.letter))
			number := w.letters(engine.LetterFilter{})[0]
			_, err := w.RetryDeadLetter(t.Context(), number)
			var conflict *engine.ConflictError
			require.ErrorAs(t, err, &conflict)
			assert.Contains(t, err.Error(), "it cannot be retried: "+tt.want)
			_, err = w.DropDeadLetter(t.Context(), number)
			require.NoError(t, err)
		})
	}
	assert.Empty(t, w.letters(engine.LetterFilter{}))
}

// Many letters are dealt with at once; what stays has its reason.
func TestManyLetters(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) { c.Twins = machines(1) })
	w.emit(reading("x", 0, 1), reading("y", 0, 1), reading("x", 1, 1), rules.Sample{Refused: "no JSON", Data: []byte("oops")})
	w.until("dead letters", func() bool { return len(w.letters(engine.LetterFilter{})) == 4 })
	unknown := engine.LetterFilter{Stage: bus.StageFeed, Reason: "unknown twin"}
	work, err := w.EachDeadLetter(t.Context(), unknown, time.Minute, w.RetryDeadLetter)
	require.NoError(t, err)
	assert.Equal(t, 0, work.Done)
	assert.Equal(t, 3, work.Failed)
	assert.Contains(t, work.Failures[0].Error, "unknown twin")
	require.NoError(t, w.PutTwin(t.Context(), machine("x")))
	work, err = w.EachDeadLetter(t.Context(), unknown, time.Minute, w.RetryDeadLetter)
	require.NoError(t, err)
	assert.Equal(t, 2, work.Done)
	assert.Equal(t, 1, work.Failed)
	assert.Zero(t, work.Next)
	left := w.letters(engine.LetterFilter{})
	require.Len(t, left, 2)
	work, err = w.EachDeadLetter(t.Context(), engine.LetterFilter{}, 0, w.DropDeadLetter)
	require.NoError(t, err)
	assert.Equal(t, engine.LetterWork{Done: 1, Next: left[0], To: left[0]}, work, "a part of it, and where to go on")
	w.emit(reading("z", 0, 1))
	w.until("one more", func() bool { return len(w.letters(engine.LetterFilter{})) == 2 })
	work, err = w.EachDeadLetter(t.Context(), engine.LetterFilter{From: work.Next, To: work.To}, time.Minute, w.DropDeadLetter)
	require.NoError(t, err)
	assert.Equal(t, engine.LetterWork{Done: 1, To: left[0]}, work)
	assert.Len(t, w.letters(engine.LetterFilter{}), 1, "what came meanwhile is left alone")
}

// An outcome that a sink has given up comes to it again when it is asked for,
// under the same event id.
func TestASinkIsMended(t *testing.T) {
	var mu sync.Mutex
	mended := false
	var tried []string
	sink := &heard{wrong: func(o rules.Outcome) error {
		mu.Lock()
		defer mu.Unlock()
		tried = append(tried, o.EventID())
		if !mended {
			return sinks.Permanent(errors.New("410 Gone"))
		}
		return nil
	}}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = ruleFile(t, overheating), machines(1)
		c.Sinks = []engine.NamedSink{{Name: "pager", Sink: sink}}
	})
	w.emit(reading("machine_0", 0, 35))
	w.drain()
	numbers := w.letters(engine.LetterFilter{Sink: "pager"})
	require.Len(t, numbers, 2)

	_, err := w.RetryDeadLetter(t.Context(), numbers[1])
	require.NoError(t, err)
	w.until("another letter", func() bool { return w.letters(engine.LetterFilter{})[0] > numbers[0] })
	w.drain()
	mu.Lock()
	mended = true
	mu.Unlock()
	work, err := w.EachDeadLetter(t.Context(), engine.LetterFilter{}, time.Minute, w.RetryDeadLetter)
	require.NoError(t, err)
	assert.Equal(t, 2, work.Done)
	w.drain()
	assert.Empty(t, w.letters(engine.LetterFilter{}))
	var ids []string
	for _, o := range sink.all() {
		ids = append(ids, o.EventID())
	}
	mu.Lock()
	defer mu.Unlock()
	assert.ElementsMatch(t, tried[:2], ids)
}

// Each twin gets its outcomes in order, whatever has to be tried again, and not
// more of them a second than the sink is to have.
func TestSinkByTwinAtARate(t *testing.T) {
	const twins, rounds, perSecond = 5, 8, 100
	refused := map[string]bool{}
	sink := &heard{}
	sink.wrong = func(o rules.Outcome) error {
		if id := o.EventID(); o.Seq%3 == 0 && !refused[id] {
			refused[id] = true
			return errors.New("503")
		}
		return nil
	}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = ruleFile(t, overheating), machines(twins)
		c.Sinks = []engine.NamedSink{{
			Name: "slow", Kind: rules.Output, Sink: sink, Workers: 4, ByTwin: true, Rate: perSecond, Burst: 1, Retry: []time.Duration{5 * time.Millisecond},
		}}
	})
	began := time.Now()
	for i := range rounds {
		for m := range twins {
			w.emit(reading(fmt.Sprintf("machine_%d", m), i, 20))
		}
	}
	w.drain()
	tries := len(sink.all()) + len(refused)
	assert.GreaterOrEqual(t, time.Since(began), time.Duration(tries-1)*time.Second/perSecond)
	at := map[string][]time.Time{}
	for _, o := range sink.all() {
		at[o.Source] = append(at[o.Source], o.At)
	}
	assert.Len(t, at, twins)
	assert.NotEmpty(t, refused)
	for twin, times := range at {
		assert.Len(t, times, rounds)
		assert.True(t, slices.IsSortedFunc(times, time.Time.Compare), "%s: %v", twin, times)
	}
}

// What waits for its turn does not hold up a stop, and is not lost.
func TestAStopDoesNotWaitForTheRate(t *testing.T) {
	dir := engine.DataDir(t)
	sink := &heard{}
	config := func(rate float64) func(*engine.Config) {
		return func(c *engine.Config) {
			c.RulesPath, c.Twins = ruleFile(t, overheating), machines(1)
			c.Sinks = []engine.NamedSink{{Name: "slow", Kind: rules.Output, Sink: sink, Workers: 3, Rate: rate}}
			c.DrainTimeout = 5 * patience
		}
	}
	w := start(t, dir, config(0.001))
	for i := range 5 {
		w.emit(reading("machine_0", i, 20))
	}
	w.until("the first one", func() bool { return len(sink.all()) == 1 })
	w.stop() // which must not take as long as the drain may
	w = start(t, dir, config(0))
	w.drain()
	assert.Len(t, sink.all(), 5)
	assert.Empty(t, w.letters(engine.LetterFilter{}))
}
