package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/subscriptions"
)

// noting is a sink that says what it does, and answers as it is told.
type noting struct {
	answers []error
	had     [][]string
}

func (n *noting) Deliver(ctx context.Context, o rules.Outcome) error {
	note := sinks.NoteOf(ctx)
	note.Request, note.Answer, note.Status = "POST host, 2 bytes", "200 OK", 200
	if note.Had != nil {
		n.had = append(n.had, note.Had(ctx))
	}
	if len(n.answers) == 0 {
		return nil
	}
	err := n.answers[0]
	n.answers = n.answers[1:]
	if err != nil {
		note.Answer, note.Status, note.Has = "503 Service Unavailable", 503, []string{o.Twin + "@example.com"}
	}
	return err
}

// noter is a delivery to such a sink that nobody runs.
func noter(t *testing.T, sink *noting) (*Engine, *delivery) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: DataDir(t), Partitions: 1})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	e, err := New(t.Context(), Config{Bus: b, Sinks: []NamedSink{{Name: "pager", Type: "webhook", Sink: sink}}})
	require.NoError(t, err)
	t.Cleanup(func() {
		e.cancel()
		e.worker.reader.Close()
		e.worker.writer.Close()
	})
	require.NoError(t, e.subscribe(t.Context()))
	return e, (*e.stats.deliveries.Load())[0]
}

func raised(twin string) rules.Outcome {
	at := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	return rules.Outcome{
		Kind: rules.Alert, ID: "al_" + twin, Interaction: "hot", Rule: "too-hot", Twin: twin, State: rules.StateFiring, Severity: "critical", Data: []byte(`{}`), At: at, Starts: at, Seq: 7,
		Life: &rules.Life{Number: 1, Event: rules.EventRaised, Key: twin, Status: "firing"},
	}
}

// What a sink tried is recorded: to whom, what was said, how often, when again.
func TestAttemptsAreRecorded(t *testing.T) {
	sink := &noting{answers: []error{errors.New("503"), nil, sinks.Permanent(errors.New("404"))}}
	e, d := noter(t, sink)
	try := func(o rules.Outcome, attempt int) {
		d.attempt(t.Context(), bus.Delivery{Outcome: o, Attempt: attempt, Seq: 9})
	}
	try(raised("a"), 1)
	e.writeSent(t.Context())
	try(raised("a"), 2)
	try(raised("b"), 1)
	output := rules.Outcome{Kind: rules.Output, Interaction: "hot", Rule: "r", Twin: "c", Data: []byte(`{}`)}
	try(output, 1) // thousands a second are not worth a record
	try(output, 2)
	e.writeSent(t.Context())

	list, err := e.Sent(t.Context(), SentFilter{})
	require.NoError(t, err)
	var got []string
	for i := range list {
		s := &list[i]
		what, _ := s.Line()
		got = append(got, fmt.Sprintf("%s %s %s %s %s %s %d %s %d %q %s %s next:%t", what, s.Sink, s.SinkKind, s.Kind, s.Event, s.Twin, s.Number, s.Result, s.Status, s.Error, s.Request, s.Has, !s.Next.IsZero()))
	}
	assert.Equal(t, []string{
		`failed pager webhook alert raised a 1 again 503 "503" POST host, 2 bytes [a@example.com] next:true`,
		`sent pager webhook alert raised a 2 arrived 200 "" POST host, 2 bytes [] next:false`,
		`failed pager webhook alert raised b 1 givenUp 503 "404" POST host, 2 bytes [b@example.com] next:false`,
		`sent pager webhook output  c 2 arrived 200 "" POST host, 2 bytes [] next:false`,
	}, got)
	first := raised("a")
	assert.Equal(t, first.EventID(), list[0].Message)
	assert.Equal(t, [][]string{{"a@example.com"}, nil}, sink.had, "who has got it is known from the records")

	for _, c := range []struct {
		f    SentFilter
		want int
	}{
		{SentFilter{Alert: "al_a"}, 2},
		{SentFilter{Alert: "al_a", Failed: true}, 1},
		{SentFilter{Twin: "b"}, 1},
		{SentFilter{Sink: "pager"}, 4},
		{SentFilter{Limit: 1}, 1},
		{SentFilter{Since: time.Now().Add(time.Hour)}, 0},
	} {
		list, err := e.Sent(t.Context(), c.f)
		require.NoError(t, err)
		assert.Len(t, list, c.want, "%+v", c.f)
	}
	_, err = e.Sent(t.Context(), SentFilter{Sink: "pagr"})
	require.ErrorIs(t, err, ErrQuestion)
	assert.EqualError(t, err, `no sink "pagr", and nothing is recorded of one; did you mean "pager"?`)
}

// A notification of a group is found by each alert that it tells of.
func TestAGroupIsFoundByItsAlerts(t *testing.T) {
	e, d := noter(t, &noting{})
	data := fmt.Appendf(nil, `{"status":"firing","groupLabels":{},"alerts":[%s,%s]}`, asJSON(raised("a")), asJSON(raised("b")))
	o := rules.Outcome{Kind: rules.Notification, ID: "nt_1", Topic: "brno", Data: data, At: raised("a").At}
	require.True(t, alerts.IsGroup(&o))
	d.route = "brno"
	d.attempt(t.Context(), bus.Delivery{Outcome: o, Attempt: 1})
	e.writeSent(t.Context())
	list, err := e.Sent(t.Context(), SentFilter{Alert: "al_b"})
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, []string{"al_a", "al_b"}, list[0].Alerts)
	assert.Equal(t, "brno", list[0].Route)
}

func asJSON(o rules.Outcome) []byte { return o.AppendJSON(nil) }

// A bus that is away costs records, the oldest first, and nothing else.
func TestRecordsThatFindNoRoomAreLost(t *testing.T) {
	var l sentLog
	for range maxUnkept + 1 {
		l.add(bus.SentRecord{ID: "new"})
	}
	list, lost := l.take()
	assert.Len(t, list, maxUnkept-maxUnkept/10+1)
	assert.Equal(t, maxUnkept/10, lost)
	l.add(bus.SentRecord{ID: "last"})
	l.giveBack(make([]bus.SentRecord, maxUnkept))
	list, lost = l.take()
	assert.Len(t, list, maxUnkept)
	assert.Equal(t, "last", list[maxUnkept-1].ID)
	assert.Equal(t, 1, lost)
}

func TestLines(t *testing.T) {
	next := time.Date(2026, 11, 2, 3, 12, 10, 0, time.UTC)
	for want, s := range map[string]Sent{
		"sent webhook pager   200 OK in 84ms":                                        {Sink: "pager", SinkKind: "webhook", Answer: "200 OK", Attempt: subscriptions.Attempt{Number: 1, Result: subscriptions.Arrived, Took: 0.084}},
		"sent email mail of route night   250, a@x got it in 0s, attempt 2":          {Sink: "mail", SinkKind: "email", Route: "night", Answer: "250", Has: []string{"a@x"}, Attempt: subscriptions.Attempt{Number: 2, Result: subscriptions.Arrived}},
		"failed email mail   421 try again, a@x and b@x got it, retry 1 at 03:12:10": {Sink: "mail", SinkKind: "email", Has: []string{"a@x", "b@x"}, Attempt: subscriptions.Attempt{Number: 1, Result: subscriptions.Again, Error: "421 try again", Next: next}},
		"failed webhook pager   answer 404, given up: a dead letter":                 {Sink: "pager", SinkKind: "webhook", Attempt: subscriptions.Attempt{Number: 1, Result: subscriptions.GivenUp, Error: "answer 404"}},
	} {
		what, text := s.Line()
		assert.Equal(t, want, what+" "+text)
	}
}
