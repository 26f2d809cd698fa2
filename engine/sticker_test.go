package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/accounts"
	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

const (
	contractor = "5b7f2b36-7f7c-4d2e-9f36-1a1d2f2f0c11"
	company    = "333b4bf7-43b6-4df1-927a-9ddbd7336144"
	stranger   = "0d3cf0c8-9ed1-4a2c-8a1e-2f4b6f6c1f11"
)

// sticker is one that the contractor sees.
func sticker(twin, color string, stays time.Duration) twins.Sticker {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return twins.Sticker{
		ID: uuid.NewString(), Twin: twin, Account: accounts.Own(), Color: color, Note: "repair now", Recipients: []string{contractor}, Created: now, ValidUntil: now.Add(stays),
		Publish: rules.StickerTopics{Put: []string{"new-request"}, Remove: []string{"task-completed"}, Expire: []string{"request-expired"}},
	}
}

func (w *works) put(stickers ...twins.Sticker) {
	w.t.Helper()
	there, err := w.PutStickers(w.t.Context(), stickers, company)
	require.NoError(w.t, err)
	require.Equal(w.t, stickers, there)
}

// toldOf is what has been told of stickers, sorted: events to followers, and
// notices with their topics.
func (w *works) toldOf(js jetstream.JetStream) (told []string) {
	w.t.Helper()
	c, err := js.OrderedConsumer(w.t.Context(), "NOTIFY", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"stickers.>", "notice.>"}})
	require.NoError(w.t, err)
	batch, err := c.FetchNoWait(10_000)
	require.NoError(w.t, err)
	for m := range batch.Messages() {
		var body struct{ Event, Trigger, Topic, Twin, Color json.RawMessage }
		require.NoError(w.t, json.Unmarshal(m.Data(), &body), string(m.Data()))
		if body.Trigger != nil {
			told = append(told, fmt.Sprintf("%s %s on %s", body.Trigger, body.Twin, body.Topic))
			continue
		}
		told = append(told, fmt.Sprintf("%s %s %s", body.Event, body.Twin, body.Color))
	}
	slices.Sort(told)
	for i := range told {
		told[i] = strings.ReplaceAll(told[i], `"`, "")
	}
	return told
}

func (w *works) tells(want ...string) {
	w.t.Helper()
	slices.Sort(want)
	nc, err := w.bus.Dial(w.t.Context())
	require.NoError(w.t, err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	require.NoError(w.t, err)
	require.EventuallyWithT(w.t, func(c *assert.CollectT) { assert.Equal(c, want, w.toldOf(js)) }, patience, 20*time.Millisecond)
}

// seen are the colors of the stickers that somebody sees.
func (w *works) seen(ids ...string) (colors []string) {
	w.t.Helper()
	list, total, err := w.Stickers(w.t.Context(), engine.StickerQuery{Seen: ids}, 100, 0)
	require.NoError(w.t, err)
	assert.Len(w.t, list, total)
	for _, s := range list {
		colors = append(colors, s.Color)
	}
	return colors
}

func meters(c *engine.Config) { c.Twins = machines(3) }

func TestOfFiftyWhoRemoveAStickerOneDoes(t *testing.T) {
	w := start(t, engine.DataDir(t), meters)
	w.put(sticker("machine_1", "red", time.Hour), sticker("machine_1", "blue", time.Hour))
	_, err := w.PutStickers(t.Context(), []twins.Sticker{sticker("nobody", "red", time.Hour)}, company)
	require.ErrorIs(t, err, engine.ErrNoTwin)
	var group sync.WaitGroup
	var mu sync.Mutex
	var won []twins.Sticker
	for range 50 {
		group.Go(func() {
			s, err := w.RemoveSticker(t.Context(), engine.StickerQuery{Twin: "machine_1", Color: "red", Seen: []string{contractor}}, contractor)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, s)
			} else {
				assert.ErrorIs(t, err, engine.ErrNoSticker)
			}
		})
	}
	group.Wait()
	require.Len(t, won, 1)
	assert.Equal(t, "repair now", won[0].Note)
	_, err = w.RemoveSticker(t.Context(), engine.StickerQuery{Twin: "machine_1", Color: "blue", Seen: []string{company}}, company)
	require.ErrorIs(t, err, engine.ErrNoSticker, "who has put it is not among its recipients")
	assert.Equal(t, []string{"blue"}, w.seen(contractor))
	assert.Empty(t, w.seen(company, stranger))
	w.tells("put machine_1 red", "sticker.put machine_1 on new-request", "put machine_1 blue", "sticker.put machine_1 on new-request",
		"removed machine_1 red", "sticker.removed machine_1 on task-completed")
}

func TestPutStickersAgain(t *testing.T) {
	w := start(t, engine.DataDir(t), meters)
	first := sticker("machine_1", "red", time.Hour)
	w.put(first)
	again := first
	again.ID = uuid.NewString()
	there, err := w.PutStickers(t.Context(), []twins.Sticker{again}, company)
	require.NoError(t, err)
	assert.Equal(t, first.ID, there[0].ID)
	again.Note = "something else"
	_, err = w.PutStickers(t.Context(), []twins.Sticker{sticker("machine_1", "blue", time.Hour), again}, company)
	require.ErrorIs(t, err, twins.ErrOtherSticker)
	assert.Equal(t, []string{"red"}, w.seen(contractor), "none is put when one cannot be")
	foreign := again
	foreign.Account, foreign.ID = stranger, uuid.NewString()
	w.put(foreign)
	assert.Equal(t, []string{"red", "red"}, w.seen(contractor), "each account has its own colors")
	w.tells("put machine_1 red", "sticker.put machine_1 on new-request", "put machine_1 red", "sticker.put machine_1 on new-request")
}

func TestStickersExpire(t *testing.T) {
	w := start(t, engine.DataDir(t), meters)
	short := sticker("machine_1", "red", 1200*time.Millisecond)
	w.put(short, sticker("machine_1", "blue", time.Hour))
	w.tells("put machine_1 red", "sticker.put machine_1 on new-request", "put machine_1 blue", "sticker.put machine_1 on new-request",
		"expired machine_1 red", "sticker.expired machine_1 on request-expired")
	assert.False(t, time.Now().Before(short.ValidUntil))
	assert.Equal(t, []string{"blue"}, w.seen(contractor))
	_, err := w.RemoveSticker(t.Context(), engine.StickerQuery{Twin: "machine_1", Color: "red", Seen: []string{contractor}}, contractor)
	require.ErrorIs(t, err, engine.ErrNoSticker)
	w.until("the record is cleared away", func() bool {
		text, _, err := w.bus.Document(t.Context(), bus.Stickers, short.Key())
		return err == nil && text == ""
	})
}

// The server takes the sign of a sticker away while no engine runs.
func TestStickersExpireWhileNobodyRuns(t *testing.T) {
	dir := engine.DataDir(t)
	w := start(t, dir, meters)
	w.put(sticker("machine_1", "red", 1500*time.Millisecond), sticker("machine_2", "red", time.Hour))
	w.stop()

	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	signs := map[string]bool{}
	known := false
	b.WatchTerms(ctx, func(id, sticker string) {
		if signs[id] = sticker != ""; known && !signs[id] {
			cancel()
		}
	}, func() {
		known = true
		if !signs["machine_1/"+accounts.Own()+"/red"] {
			cancel() // it has gone already
		}
	})
	require.ErrorIs(t, context.Cause(ctx), context.Canceled)
	b.Close()

	w = start(t, dir, meters)
	want := []string{
		"put machine_1 red", "sticker.put machine_1 on new-request", "put machine_2 red", "sticker.put machine_2 on new-request",
		"expired machine_1 red", "sticker.expired machine_1 on request-expired",
	}
	w.tells(want...)
	w.stop()
	w = start(t, dir, meters)
	assert.Equal(t, []string{"red"}, w.seen(contractor))
	w.tells(want...)
}

// A change and what is to be told of it are one: a process that was killed after
// any of the steps is finished by the next, and nothing is told twice.
func TestStickersOfAProcessThatWasKilled(t *testing.T) {
	for told := range 4 {
		dir := engine.DataDir(t)
		b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4})
		require.NoError(t, err)
		s := sticker("machine_1", "red", time.Hour)
		var r twins.StickerRecord
		_, err = r.Put(s, "", company, time.Now())
		require.NoError(t, err)
		require.True(t, r.Remove(contractor, time.Now()))
		text, err := r.Encode()
		require.NoError(t, err)
		_, err = b.PutDocument(t.Context(), bus.Stickers, s.Key(), text, 0)
		require.NoError(t, err)
		for i := range told { // what it had told when it was killed
			e := &r.Unsent[i/2]
			if i%2 == 0 {
				body, err := e.JSON()
				require.NoError(t, err)
				require.NoError(t, b.PutStickerEvent(t.Context(), s.Twin, s.Color, bus.Notice{ID: e.ID(""), Body: body}))
				continue
			}
			topic := e.Topics()[0]
			body, err := e.Notice(topic)
			require.NoError(t, err)
			require.NoError(t, b.PutNotice(t.Context(), s.Account, topic, bus.Notice{ID: e.ID(topic), Body: body}))
		}
		b.Close()
		w := start(t, dir, meters)
		w.tells("put machine_1 red", "sticker.put machine_1 on new-request", "removed machine_1 red", "sticker.removed machine_1 on task-completed")
		w.until("the record is cleared away", func() bool {
			text, _, err := w.bus.Document(t.Context(), bus.Stickers, s.Key())
			return err == nil && text == ""
		})
		assert.Empty(t, w.seen(contractor))
		w.stop()
	}
}

const leaks = `{"id":"meters","sources":[{"id":"1","feeds":[{"id":"currentTemp"}],"modelDid":"did:model"}],"rules":[
 {"sticker":{"id":"repair","sourceId":"1","sourceFeedId":"currentTemp","conditions":[{"jsonLogic":{">":[{"var":"temperature"},30]}}],
  "op":"put","color":"{{colour}}","note":"{{temperature}} °C","recipients":["` + contractor + `"],"removeOnClear":false,"onExisting":"error","publish":{"on_put":"new-request","on_remove":"task-completed"}}}]}`

func leak(second int, temperature float64, colour string) rules.Sample {
	s := reading("machine_1", second, temperature)
	s.Data = fmt.Appendf(nil, `{"temperature":%v,"colour":%q}`, temperature, colour)
	return s
}

// What rules decide is done once, also by an engine that has started again after
// somebody has taken the sticker off.
func TestRulesPutStickers(t *testing.T) {
	dir, file := engine.DataDir(t), ruleFile(t, leaks)
	change := func(c *engine.Config) { c.Twins, c.RulesPath = machines(2), file }
	w := start(t, dir, change)
	w.emit(leak(1, 40, "red"))
	w.tells("put machine_1 red", "sticker.put machine_1 on new-request")
	list, _, err := w.Stickers(t.Context(), engine.StickerQuery{}, 100, 0)
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, "40 °C", list[0].Note)
	assert.Equal(t, leak(1, 40, "red").At, list[0].Created, "it was made when the sample says")
	assert.Equal(t, accounts.Own(), list[0].Account)

	w.emit(leak(2, 20, "red"), leak(3, 41, "red"), leak(4, 20, "red"), leak(5, 42, "ü"))
	letters := func(n int) (all []engine.Letter) {
		w.until(fmt.Sprint(n, " dead letters"), func() bool {
			all, _, err = w.DeadLetters(t.Context(), engine.LetterFilter{}, 10)
			require.NoError(t, err)
			return len(all) == n
		})
		return all
	}
	all := letters(2)
	with := func(reason string) engine.Letter { // one is of the worker and one of the desk: either may be the first
		i := slices.IndexFunc(all, func(l engine.Letter) bool { return strings.Contains(l.Reason, reason) })
		require.GreaterOrEqual(t, i, 0, "%s in %v", reason, all)
		return all[i]
	}
	refused := with(`there is another sticker of that color: "red" on twin "machine_1"`)
	assert.Equal(t, "sink", refused.Stage)
	assert.Equal(t, "feed", with(`got the colour "ü"`).Stage)
	w.until("both are counted", func() bool {
		from := map[string]uint64{}
		counted := w.Metrics(t.Context()).DeadLetters
		for class, n := range counted {
			from[class.From] += n
		}
		return counted[engine.LetterClass{From: "sink", Reason: "refused"}] == 1 && from["sink"] == 1 && from["feed"] == 1
	})

	w.until("nothing waits to be carried out", func() bool {
		return maps.Equal(map[rules.Kind]int{rules.Sticker: 0, rules.Notification: 0}, w.Metrics(t.Context()).Undone)
	})

	_, err = w.RemoveSticker(t.Context(), engine.StickerQuery{Twin: "machine_1", Color: "red", Seen: []string{contractor}}, contractor)
	require.NoError(t, err)
	w.stop()
	w = start(t, dir, change)
	assert.Empty(t, w.seen(contractor))
	_, err = w.RetryDeadLetter(t.Context(), refused.Seq)
	require.NoError(t, err)
	w.tells("put machine_1 red", "sticker.put machine_1 on new-request", "removed machine_1 red", "sticker.removed machine_1 on task-completed",
		"put machine_1 red", "sticker.put machine_1 on new-request")
	letters(1)
}

const repairs = `{"id":"meters","sources":[{"id":"1","feeds":[{"id":"currentTemp"}],"modelDid":"did:model"}],"rules":[
 {"alert":{"id":"leak","severity":"major","ackRequired":true,"sourceId":"1","sourceFeedId":"currentTemp","conditions":[{"jsonLogic":{">":[{"var":"temperature"},30]}}],
  "stickers":[{"color":"{{colour}}","recipients":["` + contractor + `"],"onRemove":"ack","removeOnClear":true},
   {"color":"last","recipients":["` + contractor + `"],"onRemove":"clear"}]}}]}`

// A recipient who takes off the sticker of an alert acknowledges it, or clears it,
// as the rule says, also where the engine was down before that was done; a removal
// by the rule itself does neither.
func TestARemovalByARecipientDidNothingToItsAlert(t *testing.T) {
	dir, file := engine.DataDir(t), ruleFile(t, repairs)
	change := func(c *engine.Config) { c.Twins, c.RulesPath = machines(2), file }
	w := start(t, dir, change)
	is := func(what string) alerts.Record {
		var last alerts.Record
		w.until(what, func() bool {
			open, _ := w.Alerts(nil, 10)
			got := "none"
			if len(open) == 1 {
				last = open[0]
				got = last.Outcome.State + " " + last.Outcome.Life.Ack.By
			}
			return got == what
		})
		return last
	}
	take := func(color string) {
		t.Helper()
		w.until("the sticker is there", func() bool { return slices.Contains(w.seen(contractor), color) })
		_, err := w.RemoveSticker(t.Context(), engine.StickerQuery{Twin: "machine_1", Color: color, Seen: []string{contractor}}, contractor)
		require.NoError(t, err)
	}
	w.emit(leak(1, 40, "red"))
	take("red")
	a := is("firing " + contractor)
	assert.Equal(t, `took the sticker "red" off machine_1`, a.Outcome.Life.Ack.Comment)
	take("last")
	is("none")

	w.emit(leak(2, 40, "red"))
	w.until("the sticker is there", func() bool { return slices.Contains(w.seen(contractor), "red") })
	w.emit(leak(3, 20, "red"))
	is("resolved ")
	w.until("the rule has taken it off", func() bool { return !slices.Contains(w.seen(contractor), "red") })
	w.emit(leak(4, 40, "red"))
	first := is("firing ")
	w.until("the sticker is there", func() bool { return slices.Contains(w.seen(contractor), "red") })
	w.stop()

	// The engine was killed after it had kept the removal, before it told of it.
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4})
	require.NoError(t, err)
	s := twins.Sticker{Twin: "machine_1", Account: accounts.Own(), Color: "red"}
	text, revision, err := b.Document(t.Context(), bus.Stickers, s.Key())
	require.NoError(t, err)
	r, err := twins.DecodeStickerRecord(text)
	require.NoError(t, err)
	require.True(t, r.Take(contractor, time.Now()))
	text, err = r.Encode()
	require.NoError(t, err)
	_, err = b.PutDocument(t.Context(), bus.Stickers, s.Key(), text, revision)
	require.NoError(t, err)
	b.Close()
	w = start(t, dir, change)
	again := is("firing " + contractor)
	assert.Equal(t, first.Outcome.ID, again.Outcome.ID)

	// The sticker "last" has stayed through several alerts: it clears the one that is.
	take("last")
	is("none")
}

// Who follows stickers is told what happens to those that it may see.
func TestFollowStickers(t *testing.T) {
	w := start(t, engine.DataDir(t), meters)
	var all, theirs, blue ear
	for _, f := range []struct {
		topic engine.Topic
		to    *ear
	}{
		{engine.Topic{Kind: engine.StickerTopic}, &all},
		{engine.Topic{Kind: engine.StickerTopic, Recipients: []string{company}}, &theirs},
		{engine.Topic{Kind: engine.StickerTopic, Pattern: "*.blue"}, &blue},
	} {
		stop, err := w.Follow(t.Context(), f.topic, "", f.to.hear)
		require.NoError(t, err)
		defer stop()
	}
	place, err := w.Subscribe(t.Context(), "ann", "work", engine.Topic{Kind: engine.StickerTopic, Pattern: "machine_1.>", Recipients: []string{company}})
	require.NoError(t, err)
	defer place.Close()
	one, two := sticker("machine_1", "red", time.Hour), sticker("machine_1", "blue", time.Hour)
	two.Recipients = []string{stranger, company}
	w.put(one)
	w.put(two)
	_, err = w.RemoveSticker(t.Context(), engine.StickerQuery{Color: "blue"}, company)
	require.NoError(t, err)
	w.until("told", func() bool { return all.len() == 3 && theirs.len() == 2 && blue.len() == 2 })
	e := theirs.events[1]
	assert.Equal(t, "machine_1.blue", e.Subject)
	assert.Equal(t, []string{stranger, company}, e.Recipients)
	assert.Contains(t, string(e.Data), `{"kind":"sticker","event":"removed"`)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	for _, event := range []string{"put", "removed"} {
		p, err := place.Next(ctx)
		require.NoError(t, err)
		assert.Contains(t, string(p.Event.Data), `{"kind":"sticker","event":"`+event+`"`)
		assert.Contains(t, string(p.Event.Data), `"color":"blue"`)
		require.NoError(t, p.Ack(ctx))
	}
	var past ear
	after, err := w.Since(t.Context(), engine.Topic{Kind: engine.StickerTopic}, time.Time{})
	require.NoError(t, err)
	stop, err := w.Follow(t.Context(), engine.Topic{Kind: engine.StickerTopic}, after, past.hear)
	require.NoError(t, err)
	defer stop()
	w.until("told what was before", func() bool { return past.len() == 3 })
}

func TestASinkHasANameOfItsOwn(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: engine.DataDir(t), Partitions: 1})
	require.NoError(t, err)
	defer b.Close()
	_, err = engine.New(t.Context(), engine.Config{Bus: b, Sinks: []engine.NamedSink{{Name: "tocsin.stickers", Sink: &heard{}}}})
	assert.ErrorIs(t, err, engine.ErrConfig)
}
