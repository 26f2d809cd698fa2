package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// episode makes the events of one alert, as rules would.
type episode struct{ next rules.Outcome }

func begin(twin, severity string) *episode {
	return &episode{rules.Outcome{
		Kind: rules.Alert, Interaction: "heat", Rule: "too-hot", Twin: twin, Source: twin, ID: "al_" + twin, State: rules.StateFiring,
		Severity: severity, At: noon, Starts: noon, Summary: twin + " is hot", Labels: map[string]string{"site": "brno"},
		Reason: rules.ReasonCondition, Data: []byte(`{"temperature":33}`),
		Life: &rules.Life{Event: rules.EventRaised, Key: "heat|too-hot|" + twin + "||", Status: rules.StatusFiring, Active: true, Label: severity},
	}}
}

// event is the next event, changed by f.
func (e *episode) event(name string, f func(o *rules.Outcome)) rules.Outcome {
	life := *e.next.Life
	life.Number++
	life.Event, life.By, life.Comment = name, "", ""
	e.next.Life = &life
	e.next.At = noon.Add(time.Duration(life.Number-1) * time.Second)
	if f != nil {
		f(&e.next)
	}
	return e.next
}

func (e *episode) raised() rules.Outcome { return e.event(rules.EventRaised, nil) }

func (e *episode) closed() rules.Outcome {
	return e.event(rules.EventCleared, func(o *rules.Outcome) {
		o.State, o.Ends, o.Life.Status, o.Life.Active = rules.StateResolved, o.At, rules.StatusClosed, false
	})
}

// decide stores alerts as if the worker had decided them.
func (w *works) decide(outcomes ...rules.Outcome) {
	w.t.Helper()
	nc, err := w.bus.Dial(w.t.Context())
	require.NoError(w.t, err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	require.NoError(w.t, err)
	tails := map[int]uint64{}
	for p := range w.bus.Partitions() {
		tail, err := w.bus.Tail(w.t.Context(), p)
		require.NoError(w.t, err)
		tails[p] = tail.Seq
	}
	for i := range outcomes {
		o := &outcomes[i]
		p := w.bus.Partition(o.Twin)
		tails[p]++
		o.Seq, o.Index, o.Ordinal, o.Count = tails[p], 0, 0, 1
		subject := strings.Join([]string{"alert", strconv.Itoa(p), bus.Token(o.Severity), bus.Token(o.Interaction + ":" + o.Rule), bus.Token(o.Twin), o.Event()}, ".")
		_, err = js.PublishAsync(subject, o.AppendJSON(nil))
		require.NoError(w.t, err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		w.t.Fatal("the alerts were not stored within a minute")
	}
}

func twinsOf(records []alerts.Record) (out []string) {
	for _, r := range records {
		out = append(out, r.Outcome.Twin+" "+r.Outcome.Life.Event)
	}
	slices.Sort(out)
	return out
}

// open are the open alerts that match.
func (w *works) open(texts ...string) []string {
	w.t.Helper()
	records, total := w.Alerts(matchers(w.t, texts...), 100)
	assert.Len(w.t, records, total)
	return twinsOf(records)
}

func matchers(t *testing.T, texts ...string) (ms alerts.Matchers) {
	t.Helper()
	for _, text := range texts {
		m, err := alerts.ParseMatcher(text)
		require.NoError(t, err)
		ms = append(ms, m)
	}
	return ms
}

func TestOpenAlertsAreKnown(t *testing.T) {
	dir := engine.DataDir(t)
	w := start(t, dir, nil)
	a, b, c := begin("a", "critical"), begin("b", "minor"), begin("c", "minor")
	c.next.ID = "al_" + strings.Repeat("c", 26)
	w.decide(a.raised(), b.raised(), c.raised(), b.event(rules.EventUpdated, func(o *rules.Outcome) { o.Severity = "major" }), c.closed())
	w.drain()
	check := func() {
		assert.Equal(t, []string{"a raised", "b updated"}, w.open())
		assert.Equal(t, []string{"b updated"}, w.open("severity=major"))
		assert.Equal(t, 2, w.Stats().OpenAlerts)
		r, err := w.Alert(t.Context(), "al_b")
		require.NoError(t, err)
		assert.Equal(t, "b is hot", r.Outcome.Summary)
		assert.True(t, noon.Equal(r.Times.Raised))
	}
	check()
	w.until("the history has it", func() bool {
		closed, total, err := w.ClosedAlerts(t.Context(), nil, 10)
		return err == nil && total == 1 && slices.Equal([]string{"c cleared"}, twinsOf(closed))
	})
	w.stop()

	w = start(t, dir, nil)
	w.drain() // it may take in again what it had not written down
	check()
	history, err := w.AlertHistory(t.Context(), "al_b")
	require.NoError(t, err)
	require.Len(t, history, 2)
	assert.Equal(t, rules.EventUpdated, history[1].Life.Event)
	r, err := w.Alert(t.Context(), c.next.ID)
	require.NoError(t, err)
	assert.Equal(t, rules.StatusClosed, r.Outcome.Life.Status)
	assert.False(t, r.Times.Closed.IsZero())
	for _, ask := range []func() error{
		func() error { _, err := w.Alert(t.Context(), "al_bb"); return err },
		func() error { _, err := w.AlertHistory(t.Context(), "al_bb"); return err },
		func() error {
			_, err := w.Act(t.Context(), rules.Action{Do: "ack", ID: "al_bb", By: "me"})
			return err
		},
	} {
		err := ask()
		require.ErrorIs(t, err, engine.ErrNoAlert)
		assert.ErrorContains(t, err, `"al_bb"; did you mean "al_`)
	}
	w.decide(b.closed(), begin("b", "minor").event(rules.EventRaised, func(o *rules.Outcome) {
		o.ID, o.Starts = "al_b2", noon.Add(time.Hour)
	}))
	w.drain()
	assert.Equal(t, []string{"a raised", "b raised"}, w.open())
	_, err = w.Alert(t.Context(), "al_b2")
	require.NoError(t, err)
}

func TestAListOfAlertsIsCutAtItsLimit(t *testing.T) {
	w := start(t, engine.DataDir(t), nil)
	for i, twin := range []string{"a", "b", "c"} {
		w.decide(begin(twin, "minor").event(rules.EventRaised, func(o *rules.Outcome) { o.Starts = noon.Add(time.Duration(i) * time.Hour) }))
	}
	w.drain()
	records, total := w.Alerts(nil, 2)
	assert.Equal(t, 3, total)
	require.Len(t, records, 2)
	assert.Equal(t, "c", records[0].Outcome.Twin, "that began last")
	assert.Equal(t, "b", records[1].Outcome.Twin)
	records, total = w.Alerts(matchers(t, "twin=a"), 2)
	assert.Equal(t, 1, total)
	require.Len(t, records, 1)
}

// Nobody can be kept from the history by those who ask for ids that cannot be.
func TestAnIDThatCannotBeWasLookedForInTheWholeHistory(t *testing.T) {
	w := start(t, engine.DataDir(t), nil)
	b := begin("b", "minor")
	w.decide(b.raised(), b.closed()) // its id has the wrong form
	w.drain()
	_, err := w.Alert(t.Context(), "al_b")
	require.ErrorIs(t, err, engine.ErrNoAlert)
	_, err = w.AlertHistory(t.Context(), "al_b")
	require.ErrorIs(t, err, engine.ErrNoAlert)
	_, err = w.Alert(t.Context(), "al_"+strings.Repeat("0", 26))
	require.ErrorIs(t, err, engine.ErrNoAlert)
}

// What was taken in is taken in again after a crash, from where the projector was.
func TestAlertsAfterACrash(t *testing.T) {
	dir := engine.DataDir(t)
	w := start(t, dir, nil)
	a, b := begin("a", "critical"), begin("b", "minor")
	w.decide(a.raised(), b.raised(), a.closed())
	w.drain()
	w.stop()
	w = start(t, dir, nil)
	require.NoError(t, w.bus.SaveRouter(t.Context(), []byte(`{"position":0}`)))
	w.stop()
	w = start(t, dir, nil)
	w.decide(b.event(rules.EventRepeated, nil))
	w.drain()
	assert.Equal(t, []string{"b repeated"}, w.open())
}

func routes(t *testing.T, text string, sinks ...string) []alerts.Route {
	t.Helper()
	raw, err := strictjson.Parse("routes", []byte(text))
	require.NoError(t, err)
	out, err := alerts.DecodeRoutes(raw, sinks)
	require.NoError(t, err)
	return out
}

// told is what a sink has heard, by twin and event or by topic and counts.
func told(h *heard) (out []string) {
	for _, o := range h.all() {
		if o.Kind != rules.Notification {
			out = append(out, o.Twin+" "+o.Life.Event)
			continue
		}
		var data struct {
			Status   string
			Firing   int
			Resolved int
		}
		if err := json.Unmarshal(o.Data, &data); err != nil {
			out = append(out, err.Error())
		}
		out = append(out, fmt.Sprintf("%s %s %d/%d", o.Topic, data.Status, data.Firing, data.Resolved))
	}
	return out
}

func TestWhoIsToldOfWhat(t *testing.T) {
	mail, pager, archive := &heard{}, &heard{}, &heard{}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.Sinks = []engine.NamedSink{{Name: "mail", Sink: mail}, {Name: "pager", Sink: pager, Kind: rules.Alert}, {Name: "archive", Sink: archive, Quiet: true}}
		c.Routes = routes(t, `[{"name":"brno","match":["severity=critical"],"groupBy":["rule"],"sinks":["mail"]}]`, "mail")
	})
	w.decide(begin("a", "critical").raised(), begin("b", "critical").raised(), begin("c", "minor").raised(),
		begin("d", "minor").event(rules.EventRaised, func(o *rules.Outcome) { o.Life.Silent = true }))
	w.until("a notification", func() bool { return w.Stats().Notifications > 0 })
	w.drain()
	s, err := w.PutSilence(t.Context(), alerts.Silence{
		Matchers: matchers(t, "twin=e"), StartsAt: time.Now().Add(-time.Second), EndsAt: time.Now().Add(time.Hour), CreatedBy: "me", Comment: "work",
	})
	require.NoError(t, err)
	w.decide(begin("e", "minor").raised())
	w.drain()
	ended, err := w.ExpireSilence(t.Context(), s.ID, "eva")
	require.NoError(t, err)
	assert.True(t, ended.Expired(time.Now()))
	assert.Equal(t, "eva", ended.EndedBy)
	ended, err = w.ExpireSilence(t.Context(), s.ID, "jan")
	require.NoError(t, err)
	assert.Equal(t, "eva", ended.EndedBy, "it was over")
	_, err = w.ExpireSilence(t.Context(), s.ID, " ")
	require.ErrorIs(t, err, engine.ErrAction)
	w.decide(begin("f", "minor").raised())
	w.drain()
	for _, sink := range []*heard{pager, mail} { // which may be before or after f
		w.until("e, which still fires when the silence is over", func() bool { return slices.Contains(told(sink), "e raised") })
	}
	assert.Equal(t, []string{"a raised", "b raised", "c raised", "d raised", "e raised", "f raised"}, told(archive))
	assert.ElementsMatch(t, []string{"a raised", "b raised", "c raised", "e raised", "f raised"}, told(pager))
	got := told(mail)
	assert.ElementsMatch(t, []string{"c raised", "e raised", "f raised"}, slices.DeleteFunc(slices.Clone(got), func(s string) bool { return strings.HasPrefix(s, "brno") }))
	assert.Contains(t, got, "brno firing 2/0")
	stats := w.Stats()
	assert.Equal(t, []uint64{2, 2, 2}, []uint64{stats.Silent, stats.Silenced, stats.Routed})
	for _, o := range mail.all() {
		if o.Kind == rules.Notification {
			assert.NotEmpty(t, o.ID)
		}
	}
	_, err = w.ExpireSilence(t.Context(), s.ID+"x", "eva")
	require.ErrorIs(t, err, engine.ErrNoSilence)
	assert.ErrorContains(t, err, "did you mean")
}

// What was made and written down before a crash is told after it, once.
func TestNotificationsSurviveACrash(t *testing.T) {
	dir := engine.DataDir(t)
	change := func(mail *heard) func(*engine.Config) {
		return func(c *engine.Config) {
			c.Sinks = []engine.NamedSink{{Name: "mail", Sink: mail}}
			c.Routes = routes(t, `[{"name":"all","groupWait":"0s","sinks":["mail"]}]`, "mail")
		}
	}
	mail := &heard{}
	w := start(t, dir, change(mail))
	a := begin("a", "minor")
	w.decide(a.raised())
	w.until("the notification", func() bool { return len(mail.all()) == 1 })
	w.drain()
	o := mail.all()[0]
	w.stop()
	// As it would be if the engine had died between writing down and publishing.
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4})
	require.NoError(t, err)
	state, err := b.LoadRouter(t.Context())
	require.NoError(t, err)
	head, rest, _ := strings.Cut(string(state), "\n")
	lost := o
	lost.Seq, lost.ID = 2, "nt_lost"
	var outbox []string
	for _, o := range []rules.Outcome{o, lost} {
		outbox = append(outbox, fmt.Sprintf(`{"id":%q,"outcome":%s}`, o.ID, o.AppendJSON(nil)))
	}
	head = strings.TrimSuffix(head, "}") + `,"outbox":[` + strings.Join(outbox, ",") + `]}`
	require.NoError(t, b.SaveRouter(t.Context(), []byte(head+"\n"+rest)))
	b.Close()
	mail = &heard{}
	w = start(t, dir, change(mail))
	w.until("the lost notification", func() bool { return len(mail.all()) == 1 })
	w.drain()
	require.Len(t, mail.all(), 1, "the other one was told before")
	assert.Equal(t, "nt_lost", mail.all()[0].ID)
	// The group is known: its end is told as one.
	w.decide(a.closed())
	w.until("the router has it", func() bool { return w.Stats().OpenAlerts == 0 })
}

// keepOutbox writes down notifications that were made and not told, as if the
// engine had died between the two.
func keepOutbox(t *testing.T, dir string, outbox ...rules.Outcome) {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4})
	require.NoError(t, err)
	defer b.Close()
	var items []string
	for _, o := range outbox {
		items = append(items, fmt.Sprintf(`{"id":%q,"outcome":%s}`, o.ID, o.AppendJSON(nil)))
	}
	require.NoError(t, b.SaveRouter(t.Context(), []byte(`{"position":0,"outbox":[`+strings.Join(items, ",")+"]}\n")))
}

// The alert desk must not stand still for ever behind what no server takes.
func TestANotificationTooLargeIsADeadLetter(t *testing.T) {
	dir := engine.DataDir(t)
	start(t, dir, nil).stop()
	large := rules.Outcome{Kind: rules.Notification, Topic: "all", ID: "nt_1", Seq: 1, Data: []byte(`{"x":"` + strings.Repeat("x", 9<<20) + `"}`)}
	small := rules.Outcome{Kind: rules.Notification, Topic: "all", ID: "nt_2", Seq: 2, Data: []byte(`{"status":"firing","firing":2}`)}
	keepOutbox(t, dir, large, small)
	mail := &heard{}
	w := start(t, dir, func(c *engine.Config) {
		c.Sinks = []engine.NamedSink{{Name: "mail", Sink: mail}}
		c.Routes = routes(t, `[{"name":"all","groupWait":"0s","sinks":["mail"]}]`, "mail")
	})
	w.until("the notification behind it", func() bool { return len(mail.all()) == 1 })
	assert.Equal(t, "nt_2", mail.all()[0].ID)
	letters, err := w.bus.DeadLetters(t.Context(), 2)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	assert.Equal(t, "all", letters[0].Route)
	assert.Contains(t, letters[0].Reason, "too large for the bus")
}

// answers plays the partition: it gives the outcomes of actions that are stored.
func (w *works) answers(ctx context.Context, answer func(id, do, by string) []rules.Outcome) {
	r := w.bus.NewReader()
	defer r.Close()
	if !assert.NoError(w.t, r.Whole(ctx, 1)) {
		return
	}
	for {
		batch, err := r.Next(ctx, time.Second, nil)
		if err != nil {
			return
		}
		for _, m := range batch {
			var c struct {
				Op  string
				Act struct{ ID, Do, By, Twin, Rule, Comment string }
			}
			if m.Kind == bus.Control && assert.NoError(w.t, json.Unmarshal(m.Data, &c)) && c.Op == "alert.act" {
				assert.Equal(w.t, "too-hot", c.Act.Rule)
				assert.Equal(w.t, w.bus.Partition(c.Act.Twin), m.Partition)
				w.decide(answer(c.Act.ID, c.Act.Do, c.Act.By)...) //nolint:contextcheck // its context is that of the test
			}
		}
	}
}

func TestPeopleAct(t *testing.T) {
	w := start(t, engine.DataDir(t), nil)
	a := begin("a", "critical")
	w.decide(a.raised(), begin("b", "minor").raised())
	w.drain()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.answers(ctx, func(id, do, by string) []rules.Outcome {
			if id != "al_a" || do == rules.Acknowledge && !a.next.Life.Ack.At.IsZero() {
				return nil
			}
			events := map[string]string{rules.Acknowledge: rules.EventAcknowledged, rules.Shelve: rules.EventShelved, rules.Comment: rules.EventCommented}
			return []rules.Outcome{a.event(events[do], func(o *rules.Outcome) {
				o.Life.By = by
				if do == rules.Acknowledge {
					o.Life.Ack = rules.Ack{By: by, At: o.At}
				}
			}), a.event(rules.EventUpdated, nil)}
		})
	}()
	defer func() { cancel(); <-done }()

	// Two at once: one has it, the other is told who.
	type answer struct {
		by string
		r  alerts.Record
		e  error
	}
	answers := make(chan answer, 2)
	for _, by := range []string{"ann", "bob"} {
		go func() {
			r, err := w.Act(t.Context(), rules.Action{Do: rules.Acknowledge, ID: "al_a", By: by})
			answers <- answer{by, r, err}
		}()
	}
	first, second := <-answers, <-answers
	if first.e != nil {
		first, second = second, first
	}
	require.NoError(t, first.e)
	assert.Equal(t, first.by, first.r.Outcome.Life.Ack.By)
	conflict, ok := errors.AsType[*engine.ConflictError](second.e)
	require.True(t, ok, "%v", second.e)
	assert.Equal(t, first.by, conflict.By)
	assert.EqualError(t, conflict, "already acknowledged by "+first.by+" at 2026-11-02T12:00:01Z")

	r, err := w.Act(t.Context(), rules.Action{Do: rules.Acknowledge, ID: "al_a", By: first.by})
	require.NoError(t, err, "sent again")
	assert.Equal(t, first.by, r.Outcome.Life.Ack.By)
	assert.NotEqual(t, rules.EventCommented, r.Outcome.Life.Event)
	r, err = w.Act(t.Context(), rules.Action{Do: rules.Acknowledge, ID: "al_a", By: first.by, Comment: "parts are ordered"})
	require.NoError(t, err, "with more to say")
	assert.Equal(t, rules.EventCommented, r.Outcome.Life.Event)
	_, err = w.Act(t.Context(), rules.Action{Do: rules.Shelve, ID: "al_a", By: "ann", Comment: "parts are on their way", Until: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	for _, tt := range []struct {
		action rules.Action
		want   string
	}{
		{rules.Action{Do: "akc", By: "ann"}, `no action "akc"; did you mean "ack"?`},
		{rules.Action{Do: "dance", By: "ann"}, `no action "dance"; want one of ack, unack, clear, shelve, unshelve, reset, comment`},
		{rules.Action{Do: "ack"}, "by is missing; want who does it"},
		{rules.Action{Do: "ack", By: strings.Repeat("x", 257)}, "by has 257 bytes; want at most 256"},
		{rules.Action{Do: "ack", By: "ann", Until: time.Now().Add(time.Hour)}, "ack has no end; until and for go with shelve alone"},
		{
			rules.Action{Do: "shelve", By: " "},
			"by is missing; want who does it\ncomment is missing; shelve wants to know why\nuntil is missing; want the end of the shelf, within 24h0m0s",
		},
		{rules.Action{Do: "ack", By: "ann", Comment: strings.Repeat("x", 4097)}, "comment has 4097 bytes; want at most 4096"},
		{rules.Action{Do: "comment", By: "ann"}, "comment is missing; comment wants to know why"},
		{rules.Action{Do: "shelve", By: "ann", Until: time.Now().Add(time.Hour)}, "comment is missing; shelve wants to know why"},
		{rules.Action{Do: "shelve", By: "ann", Comment: "x"}, "until is missing; want the end of the shelf, within 24h0m0s"},
		{rules.Action{Do: "shelve", By: "ann", Comment: "x", Until: time.Date(2017, 11, 22, 12, 0, 0, 0, time.UTC)}, "until is 2017-11-22T12:00:00Z, which is over; want a time to come"},
		{rules.Action{Do: "shelve", By: "ann", Comment: "x", Until: time.Date(2125, 11, 22, 12, 0, 0, 0, time.UTC)}, "until is 2125-11-22T12:00:00Z; want a time within 24h0m0s"},
		{rules.Action{Do: "unack", By: "ann"}, "not acknowledged"},
		{rules.Action{Do: "unshelve", By: "ann"}, "not shelved"},
		{rules.Action{Do: "reset", By: "ann"}, "not latched"},
	} {
		tt.action.ID = "al_b"
		_, err := w.Act(t.Context(), tt.action)
		require.ErrorContains(t, err, tt.want)
	}
	w.decide(a.closed())
	w.drain()
	_, err = w.Act(t.Context(), rules.Action{Do: rules.Clear, ID: "al_a", By: "ann"})
	require.ErrorIs(t, err, engine.ErrNoAlert)
}
