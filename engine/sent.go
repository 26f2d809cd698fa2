package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/subscriptions"
)

// Sent is one attempt to deliver something: of a sink, or to a subscription. Its
// Message is the event id, its Seq the place in OUT, of a route in NOTIFY.
type Sent struct {
	Sink        string   `json:"sink"`
	SinkKind    string   `json:"sinkKind,omitempty"`
	Route       string   `json:"route,omitempty"` // whose notification it was
	Kind        string   `json:"kind,omitempty"`  // of the outcome
	Event       string   `json:"event,omitempty"` // of an alert: raised, cleared …
	Alert       string   `json:"alert,omitempty"`
	Alerts      []string `json:"alerts,omitempty"` // of a group
	Interaction string   `json:"interaction,omitempty"`
	Rule        string   `json:"rule,omitempty"`
	Twin        string   `json:"twin,omitempty"`
	Request     string   `json:"request,omitempty"`
	Answer      string   `json:"answer,omitempty"`
	Has         []string `json:"has,omitempty"` // the recipients who got it by this attempt, where each is a matter of its own
	subscriptions.Attempt
}

// What is kept of records until the bus has them.
const (
	maxUnkept    = 10_000
	keepSentEach = 200 * time.Millisecond

	maxSentAlerts = 1000 // of a group that a record names
)

// sentLog writes down what sinks have tried, beside the deliveries: they never wait
// for it. When the bus cannot keep up, the oldest records are lost.
type sentLog struct {
	mu   sync.Mutex
	list []bus.SentRecord
	lost int
}

func (l *sentLog) add(r bus.SentRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) >= maxUnkept {
		l.list = slices.Delete(l.list, 0, maxUnkept/10)
		l.lost += maxUnkept / 10
	}
	l.list = append(l.list, r)
}

func (l *sentLog) take() (list []bus.SentRecord, lost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list, lost = l.list, l.lost
	l.list, l.lost = nil, 0
	return list, lost
}

// giveBack keeps what could not be written for the next time.
func (l *sentLog) giveBack(rest []bus.SentRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(rest, l.list...)
	if over := len(l.list) - maxUnkept; over > 0 {
		l.list, l.lost = slices.Clone(l.list[over:]), l.lost+over
	}
}

// keepSent writes down what was tried until ctx ends, and then what is left.
func (e *Engine) keepSent(ctx context.Context) {
	each := time.NewTicker(keepSentEach)
	defer each.Stop()
	for ctx.Err() == nil {
		select {
		case <-each.C:
			e.writeSent(ctx)
		case <-ctx.Done():
		}
	}
	e.writeSent(context.WithoutCancel(ctx))
}

func (e *Engine) writeSent(ctx context.Context) {
	list, lost := e.sent.take()
	if lost > 0 {
		e.trouble(fmt.Errorf("%d records of attempts to deliver are lost: the bus does not keep up; what was delivered is not concerned", lost))
	}
	if len(list) == 0 {
		return
	}
	rest, err := e.bus.PutSent(ctx, list)
	if err != nil && ctx.Err() == nil {
		e.trouble(err)
	}
	e.sent.giveBack(rest)
}

// noteSent records an attempt. An output that has arrived at once is not recorded:
// there may be thousands of them a second, and the metrics count them.
func (d *delivery) noteSent(x *bus.Delivery, note *sinks.Note, a subscriptions.Attempt) {
	o := &x.Outcome
	if o.Kind == rules.Output && a.Result == subscriptions.Arrived && x.Attempt == 1 && x.Letter == 0 {
		return
	}
	a.Message, a.Seq, a.Number = o.EventID(), x.Seq, x.Tries()
	s := Sent{
		Sink: d.sink.Name, SinkKind: d.sink.Type, Route: d.route, Kind: string(o.Kind), Event: o.Event(), Interaction: o.Interaction, Rule: o.Rule, Twin: o.Twin,
		Request: note.Request, Answer: note.Answer, Has: note.Has, Attempt: a,
	}
	if s.Status == 0 {
		s.Status = note.Status
	}
	r := bus.SentRecord{Sink: s.Sink, ID: a.Message}
	switch {
	case o.Kind == rules.Alert:
		s.Alert, r.ID = o.ID, o.ID
	case alerts.IsGroup(o):
		s.Event = ""
		r.Group = true
		if g, err := alerts.ReadGroup(o); err == nil {
			for i := range g.Alerts[:min(len(g.Alerts), maxSentAlerts)] {
				s.Alerts = append(s.Alerts, g.Alerts[i].ID)
			}
		}
	}
	r.Data, _ = json.Marshal(&s) // texts, numbers and times of our own
	d.engine.sent.add(r)
}

// had says which recipients have got it by attempts that are recorded.
func (d *delivery) had(x *bus.Delivery) func(context.Context) []string {
	if x.Attempt == 1 && x.Letter == 0 {
		return nil
	}
	event, id := x.Outcome.EventID(), x.Outcome.EventID()
	if x.Outcome.Kind == rules.Alert {
		id = x.Outcome.ID
	}
	return func(ctx context.Context) (has []string) {
		err := d.engine.bus.Sent(ctx, bus.SentQuery{Sink: d.sink.Name, ID: id}, func(data []byte) {
			var s Sent
			if json.Unmarshal(data, &s) == nil && s.Message == event {
				has = append(has, s.Has...)
			}
		})
		if err != nil && ctx.Err() == nil {
			d.engine.trouble(err)
		}
		return has
	}
}

// SentFilter says which attempts are wanted: those that fit all of it.
type SentFilter struct {
	Sink   string // "subscription ID" is one of those
	Alert  string
	Twin   string
	Failed bool      // only those that did not arrive
	Since  time.Time // of the attempt
	Limit  int       // of the newest; 0 = all
}

// sentDepth is how far back the attempts are looked through, unless an alert is named.
const sentDepth = 200_000

func (f *SentFilter) fits(s *Sent) bool {
	return (f.Twin == "" || s.Twin == f.Twin) && (!f.Failed || s.Result != subscriptions.Arrived) && !s.At.Before(f.Since)
}

// Sent gives the attempts that fit, the oldest first. The error may be an
// ErrQuestion, when there is no such sink.
func (e *Engine) Sent(ctx context.Context, f SentFilter) ([]Sent, error) {
	if id, ok := strings.CutPrefix(f.Sink, subscriberSink); ok {
		return e.sentTo(ctx, id, &f)
	}
	out, err := sentOf(ctx, e.bus, &f)
	var names []string
	for i := range e.config.Sinks {
		names = append(names, e.config.Sinks[i].Name)
	}
	if err == nil && len(out) == 0 && f.Sink != "" && !slices.Contains(names, f.Sink) {
		return nil, unclear("no sink %q, and nothing is recorded of one%s", f.Sink, strictjson.DidYouMean(f.Sink, names))
	}
	return out, err
}

func sentOf(ctx context.Context, b *bus.Bus, f *SentFilter) (out []Sent, err error) {
	q := bus.SentQuery{Sink: f.Sink, Alert: f.Alert}
	if f.Alert == "" {
		q.Newest = sentDepth
	}
	err = b.Sent(ctx, q, func(data []byte) {
		var s Sent
		if json.Unmarshal(data, &s) != nil || !f.fits(&s) {
			return
		}
		if out = append(out, s); f.Limit > 0 && len(out) > 2*f.Limit {
			out = slices.Delete(out, 0, len(out)-f.Limit)
		}
	})
	slices.SortStableFunc(out, func(a, b Sent) int { return a.At.Compare(b.At) })
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[len(out)-f.Limit:]
	}
	return out, err
}

// sentTo gives the attempts to deliver to a subscription, in the same shape.
func (e *Engine) sentTo(ctx context.Context, id string, f *SentFilter) (out []Sent, err error) {
	attempts, err := e.Deliveries(ctx, id)
	for _, a := range slices.Backward(attempts) {
		s := Sent{Sink: subscriberSink + id, SinkKind: "subscription", Attempt: a}
		if f.Alert == "" && f.fits(&s) {
			out = append(out, s)
		}
	}
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[len(out)-f.Limit:]
	}
	return out, err
}

// Said is the answer of the receiver, or what went wrong, and who has got it.
func (s *Sent) Said() string {
	text := cmp.Or(s.Error, s.Answer, "arrived")
	if len(s.Has) > 0 {
		text += ", " + strings.Join(s.Has, " and ") + " got it"
	}
	return text
}

// Line says in words where it was sent and what came of it.
func (s *Sent) Line() (what, text string) {
	what = "failed"
	if s.Result == subscriptions.Arrived {
		what = "sent"
	}
	to := strings.TrimSpace(s.SinkKind + " " + s.Sink)
	if s.Route != "" {
		to += " of route " + s.Route
	}
	text = to + "   " + s.Said()
	switch s.Result {
	case subscriptions.Arrived:
		text += " in " + time.Duration(s.Took*float64(time.Second)).Round(time.Millisecond).String()
		if s.Number > 1 {
			text += fmt.Sprintf(", attempt %d", s.Number)
		}
	case subscriptions.Again:
		text += fmt.Sprintf(", retry %d at %s", s.Number, s.Next.UTC().Format(time.TimeOnly))
	case subscriptions.GivenUp:
		text += ", given up: a dead letter"
	}
	return what, text
}
