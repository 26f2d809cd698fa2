package bus

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// alert is an event of the episode al_<twin>.
func alert(twin string, number uint32, event string) *rules.Outcome {
	o := rules.Outcome{
		Kind: rules.Alert, Interaction: "hot", Rule: "too.hot", Twin: twin, Source: twin, At: noon, Starts: noon, Severity: "major",
		ID: "al_" + twin, State: rules.StateFiring, Reason: rules.ReasonCondition, Data: []byte("{}"),
		Life: &rules.Life{Number: number, Event: event, Status: rules.StatusFiring, Active: true, Key: "hot|too.hot|" + twin},
	}
	if event == rules.EventCleared {
		o.State, o.Ends, o.Life.Status, o.Life.Active = rules.StateResolved, noon, rules.StatusClosed, false
	}
	return &o
}

// writeAlerts writes outcomes, each the only one of its sample.
func writeAlerts(t *testing.T, b *Bus, outcomes ...*rules.Outcome) {
	t.Helper()
	w := newWriter(t, b, nil)
	for _, o := range outcomes {
		w.put(o, Mark{Seq: tail(t, b, o.Twin).Seq + 1, Count: 1})
		w.flush()
	}
}

func nextAlerts(t *testing.T, r *AlertReader, n int) (all []AlertEvent) {
	t.Helper()
	for len(all) < n {
		got, err := r.Next(t.Context(), patience, nil)
		require.NoError(t, err)
		require.NotEmpty(t, got, "want %d alerts, have %d", n, len(all))
		all = append(all, got...)
	}
	return all
}

func TestAlertsComeInOrderFromWhereTheProjectionIs(t *testing.T) {
	b := open(t, Config{ReplayWindow: time.Nanosecond})
	writeAlerts(t, b, alert("a", 1, rules.EventRaised), alert("b", 1, rules.EventRaised))
	writeOutcomes(t, b, 5)
	writeAlerts(t, b, alert("a", 2, rules.EventCleared))
	r, err := b.ReadAlerts(t.Context(), 0)
	require.NoError(t, err)
	defer r.Close()
	got := nextAlerts(t, r, 3)
	require.NoError(t, got[2].Err)
	assert.Equal(t, rules.EventCleared, got[2].Outcome.Life.Event)
	assert.Equal(t, "al_a", got[2].Outcome.ID)

	require.Eventually(t, func() bool { // a copy is in the history
		info, err := b.history.Info(t.Context())
		return err == nil && info.State.Msgs == 3
	}, patience, 10*time.Millisecond)
	left := func() int {
		require.NoError(t, b.MakeRoom(t.Context()))
		return len(stored(t, b))
	}
	assert.Equal(t, 8, left(), "nothing is projected")
	b.Projected(got[0].Seq)
	assert.Equal(t, 7, left())
	b.Projected(got[1].Seq)
	assert.Equal(t, 1, left(), "outputs hold nothing up; the last one is the checkpoint")
	waits, err := b.AlertsWait(t.Context(), got[2].Seq-1)
	require.NoError(t, err)
	assert.True(t, waits)
	waits, err = b.AlertsWait(t.Context(), got[2].Seq)
	require.NoError(t, err)
	assert.False(t, waits)
}

func history(t *testing.T, b *Bus, q HistoryQuery) (got []string) {
	t.Helper()
	for e, err := range b.History(t.Context(), q) {
		require.NoError(t, err)
		require.NoError(t, e.Err)
		got = append(got, e.Outcome.Twin+" "+e.Outcome.Life.Event)
	}
	return got
}

func TestHistoryOutlivesOut(t *testing.T) {
	b := open(t, Config{ReplayWindow: time.Nanosecond})
	writeAlerts(t, b, alert("a", 1, rules.EventRaised), alert("b", 1, rules.EventRaised), alert("a", 2, rules.EventCleared), alert("c", 1, rules.EventRaised))
	assert.Len(t, history(t, b, HistoryQuery{}), 4, "also of what has not come to the history yet")
	require.Eventually(t, func() bool {
		info, err := b.history.Info(t.Context())
		return err == nil && info.State.Msgs == 4
	}, patience, 10*time.Millisecond)
	b.Projected(1 << 40)
	require.NoError(t, b.MakeRoom(t.Context()))
	info, err := b.out.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(1), info.State.Msgs)
	writeAlerts(t, b, alert("c", 2, rules.EventCleared))
	assert.Equal(t, []string{"c raised", "c cleared"}, history(t, b, HistoryQuery{Twin: "c"}))
	require.Eventually(t, func() bool {
		info, err := b.history.Info(t.Context())
		return err == nil && info.State.Msgs == 5
	}, patience, 10*time.Millisecond)
	for _, tt := range []struct {
		query HistoryQuery
		want  []string
	}{
		{HistoryQuery{}, []string{"a raised", "b raised", "a cleared", "c raised", "c cleared"}},
		{HistoryQuery{Twin: "a"}, []string{"a raised", "a cleared"}},
		{HistoryQuery{Interaction: "hot", Rule: "too.hot", Twin: "b"}, []string{"b raised"}},
		{HistoryQuery{Interaction: "hot", Rule: "too"}, nil},
		{HistoryQuery{Holds: `"id":"al_a"`}, []string{"a raised", "a cleared"}},
		{HistoryQuery{Holds: `"id":"al_"`}, nil},
		{HistoryQuery{Newest: 2}, []string{"c raised", "c cleared"}},
		{HistoryQuery{Newest: 9}, []string{"a raised", "b raised", "a cleared", "c raised", "c cleared"}},
	} {
		assert.Equal(t, tt.want, history(t, b, tt.query), "%+v", tt.query)
	}
}

func TestOpenAlertsAreKept(t *testing.T) {
	b := open(t, Config{})
	var changes []AlertChange
	for i := range changeWindow + 3 {
		changes = append(changes, AlertChange{fmt.Sprintf("%016x", i), []byte(`{}`)})
	}
	changes = append(changes, AlertChange{changes[0].Fingerprint, nil}, AlertChange{changes[1].Fingerprint, nil}, AlertChange{changes[1].Fingerprint, []byte(`{"again":1}`)})
	eventually(t, func() bool { // so many may be too much at once for a busy server
		err := b.ChangeAlerts(t.Context(), changes)
		assert.True(t, err == nil || Away(err), "%v", err)
		return err == nil
	}, "they are changed")
	require.NoError(t, b.ChangeAlerts(t.Context(), nil))
	open, again := 0, 0
	for doc, err := range b.Alerts(t.Context()) {
		require.NoError(t, err)
		if open++; string(doc) == `{"again":1}` {
			again++
		}
	}
	assert.Equal(t, changeWindow+2, open)
	assert.Equal(t, 1, again)
}

func TestNotificationsWaitForTheirSinksOnce(t *testing.T) {
	b := open(t, Config{})
	mail, err := b.Subscribe(t.Context(), Subscription{Name: "mail", Topic: "brno.critical"})
	require.NoError(t, err)
	other, err := b.Subscribe(t.Context(), Subscription{Name: "mail", Topic: "brno"})
	require.NoError(t, err)
	singly, err := b.Subscribe(t.Context(), Subscription{Name: "mail"})
	require.NoError(t, err)
	o := rules.Outcome{Kind: rules.Notification, Topic: "brno.critical", At: noon, Data: []byte(`{"firing":2}`), Seq: 7, ID: "nt_1"}
	for range 2 {
		require.NoError(t, b.PutNotification(t.Context(), &o))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var got []rules.Outcome
	require.NoError(t, mail.Run(ctx, time.Second, func(_ context.Context, d Delivery) Answer {
		assert.NoError(t, d.Err)
		got = append(got, d.Outcome)
		cancel()
		return Answer{Done: true}
	}))
	require.Len(t, got, 1)
	assert.Equal(t, "brno.critical", got[0].Topic)
	assert.Equal(t, o.EventID(), got[0].EventID())
	assert.Equal(t, `{"firing":2}`, string(got[0].Data))
	for _, d := range []*Deliveries{mail, other, singly} {
		n, err := d.Waiting(t.Context())
		require.NoError(t, err)
		assert.Zero(t, n, d.subscription)
	}
	assert.Empty(t, messages(t, b), "OUT has one writer only")
}

func TestANotificationIsTooLargeForTheServer(t *testing.T) {
	b := open(t, Config{})
	o := rules.Outcome{Kind: rules.Notification, Topic: "all", ID: "nt_1", Data: bytes.Repeat([]byte("1"), maxPayload)}
	require.ErrorIs(t, b.PutNotification(t.Context(), &o), ErrTooLarge)
	o.Data = []byte(`{}`)
	require.NoError(t, b.PutNotification(t.Context(), &o))
	c, err := b.notify.Info(t.Context())
	require.NoError(t, err)
	config := c.Config
	config.MaxMsgSize = 100
	_, err = b.js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	o.ID, o.Seq, o.Data = "nt_2", 2, bytes.Repeat([]byte("1"), 200)
	require.ErrorIs(t, b.PutNotification(t.Context(), &o), ErrTooLarge)
}

func TestRouterState(t *testing.T) {
	b := open(t, Config{})
	state, err := b.LoadRouter(t.Context())
	require.NoError(t, err)
	assert.Nil(t, state)
	for _, n := range []int{3, 2 * pieceBytes, 1} {
		want := make([]byte, n)
		want[n-1] = byte(n)
		require.NoError(t, b.SaveRouter(t.Context(), want))
		state, err = b.LoadRouter(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, state)
	}
}

func TestWhatIsHeldIsOfOneSink(t *testing.T) {
	b := open(t, Config{})
	held := func(sink string) (docs []string) {
		for doc, err := range b.Held(t.Context(), sink) {
			require.NoError(t, err)
			docs = append(docs, string(doc))
		}
		return docs
	}
	assert.Empty(t, held("mail"))
	require.NoError(t, b.Hold(t.Context(), "mail", "al_1", []byte(`1`)))
	require.NoError(t, b.Hold(t.Context(), "mail", "al_2", []byte(`2`)))
	require.NoError(t, b.Hold(t.Context(), "mail.too", "al_1", []byte(`3`)))
	require.NoError(t, b.Release(t.Context(), "mail", "al_1"))
	require.NoError(t, b.Release(t.Context(), "mail", "al_1"))
	assert.Equal(t, []string{"2"}, held("mail"))
	assert.Equal(t, []string{"3"}, held("mail.too"))
}

// A server that was away has forgotten who watches.
func TestSilencesAreWatchedWhenTheServerIsBack(t *testing.T) {
	url, stop, start := external(t)
	b := open(t, Config{URL: url})
	require.NoError(t, b.PutSilence(t.Context(), "si_1", []byte(`1`), time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	events := make(chan string, 9)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.WatchSilences(ctx, func(id string, doc []byte) { events <- id + " " + string(doc) }, func() { events <- "ready" })
	}()
	assert.Equal(t, "si_1 1", <-events)
	assert.Equal(t, "ready", <-events)
	stop()
	start()
	eventually(t, func() bool { return b.PutSilence(t.Context(), "si_2", []byte(`2`), time.Hour) == nil }, "the server is back")
	assert.Equal(t, "si_2 2", <-events, "what it has told it does not tell again")
	cancel()
	<-done
}

func TestSilencesAreWatched(t *testing.T) {
	b := open(t, Config{})
	require.NoError(t, b.PutSilence(t.Context(), "si_1", []byte(`1`), time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := make(chan string, 9)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.WatchSilences(ctx, func(id string, doc []byte) { events <- id + " " + string(doc) }, func() { events <- "ready" })
	}()
	assert.Equal(t, "si_1 1", <-events)
	assert.Equal(t, "ready", <-events)
	require.NoError(t, b.PutSilence(t.Context(), "si_2", []byte(`2`), time.Nanosecond))
	assert.Equal(t, "si_2 2", <-events)
	require.NoError(t, b.DeleteSilence(t.Context(), "si_1"))
	for e := <-events; e != "si_1 "; e = <-events { // it is gone
		require.Equal(t, "si_2 ", e, "its time may be over by now")
	}
	cancel()
	<-done
}
