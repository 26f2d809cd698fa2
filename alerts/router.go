package alerts

import (
	"slices"
	"time"

	"tocsin.internal/rules"
)

// Router gathers alerts in the groups of their routes and says when which group
// is to be told of, with the timing of Alertmanager:
//
//   - The first change of a group waits groupWait, so that what fails together is
//     told together. A later change waits groupWait too, and until groupInterval
//     after the last notification.
//   - What changes about a critical alert is told at once, with all that waits in
//     its group.
//   - While something fires and nothing changes, it is told again every
//     repeatInterval.
//
// A change is an alert that fires and was not told, another severity than was
// told, a latched alert that was raised again, and the end of an alert that was
// told: where another episode has taken its place meanwhile, both are listed,
// each under its own id. Acknowledgements, comments and the rule's own repetitions are none; they
// show in the next notification.
//
// Alerts that are silenced, that a shelf, an inhibitor or a schedule suppresses,
// or whose last event is Silent are left out. They are told when they are no
// longer, if they still fire. A silenced alert that ends after it was told is
// told as resolved when the silence is over; one whose end is Silent never is.
// Whether a silence has begun or ended is looked at every groupInterval.
//
// An alert whose severity or labels change may go over to another group. The
// one that it leaves tells of it as resolved, if it had told of it, and lists it
// as what it is now.
//
// A Router is not safe for concurrent use.
type Router struct {
	routes []Route
	alerts map[string]*alert // by key
	groups map[string]*group // by key
	queue  ordered[*group]   // those that are due some time
}

// NewRouter makes the router of routes as DecodeRoutes makes them.
func NewRouter(routes []Route) *Router {
	r := &Router{routes: slices.Clone(routes), alerts: map[string]*alert{}, groups: map[string]*group{}, queue: ordered[*group]{before: sooner}}
	for i := range r.routes {
		route := &r.routes[i]
		route.by = nil
		for _, name := range route.labelNames() {
			p, _ := propertyOf(name) // DecodeRoutes has refused unknown names
			route.by = append(route.by, p)
		}
	}
	return r
}

// Take takes in an alert's outcome and says whether a route takes it; if none
// does, or it is no alert, the outcome goes the way of all others. What is not
// newer than what is known changes nothing; after a change of routes all current
// alerts may be taken again. With its end the router forgets an alert, so an
// earlier outcome of it must not be taken afterwards.
//
// now is when the outcome arrived. Where that is the time at which a stream has
// stored it, a notification that is made again after a crash has the same id.
// The outcome's Labels and Life must not be changed afterwards.
func (r *Router) Take(o *rules.Outcome, now time.Time) (routed bool) {
	if !isAlert(o) {
		return false
	}
	routed = len(Explain(r.routes, o)) > 0
	a := r.alerts[o.Life.Key]
	switch {
	case a == nil && (!routed || o.State == rules.StateResolved):
		return routed // it is nobody's, or nobody was told that it fires
	case a == nil:
		a = &alert{}
		a.update(o)
		r.alerts[o.Life.Key] = a
	case supersedes(o, &a.last):
		a.lift()
		a.succeed(o)
		a.update(o)
	case o.ID != a.last.ID || o.Life.Number != a.last.Life.Number:
		return routed
	}
	if a.last.State == rules.StateFiring {
		r.place(a, now)
	}
	r.settle(a, now)
	return routed
}

// place puts a firing alert into the groups where it belongs, and marks it as
// gone from the others.
func (r *Router) place(a *alert, now time.Time) {
	for _, m := range a.in {
		m.gone = true
	}
	for _, route := range Explain(r.routes, &a.last) {
		key, values := route.groupOf(&a.last)
		if m := a.memberOf(key); m != nil {
			m.gone = false
			continue
		}
		g := r.groups[key]
		if g == nil {
			g = newGroup(key, route, values, now)
			r.groups[key] = g
		}
		a.join(g)
	}
}

// settle takes note, in every group of the alert, of what has happened to it.
func (r *Router) settle(a *alert, now time.Time) {
	for _, m := range slices.Clone(a.in) {
		if a.quiet && a.last.State == rules.StateResolved {
			m.toldID = "" // its end is not told
		}
		if !m.speaks() && m.ended == nil {
			r.forget(m)
			continue
		}
		m.group.change(m)
		if !a.quiet || m.ended != nil {
			r.wake(m.group, m.due(now))
		}
	}
}

// forget takes the alert out of the group, and with the last of either goes the other.
func (r *Router) forget(m *member) {
	a, g := m.alert, m.group
	g.drop(m)
	if a.in = slices.DeleteFunc(a.in, func(other *member) bool { return other == m }); len(a.in) == 0 {
		delete(r.alerts, a.last.Life.Key)
	}
	if len(g.members) == 0 {
		r.queue.remove(g)
		delete(r.groups, g.key)
	}
}

// wake makes the group due at the time, if it is not already due before.
func (r *Router) wake(g *group, at time.Time) {
	if !g.due.IsZero() && !at.Before(g.due) {
		return
	}
	r.queue.remove(g)
	g.due = at
	r.queue.add(g)
}

// Due is when Flush has something to do next; zero when it has not.
func (r *Router) Due() time.Time {
	if len(r.queue.items) == 0 {
		return time.Time{}
	}
	return r.queue.items[0].due
}

// Flush appends the notifications that are due, in the order in which they fell
// due. silenced says whether an alert is silenced now; nil silences nothing. It
// must not keep or change what it gets. A group that is not due costs nothing;
// one that is costs as much as has changed in it and is listed, and once in
// groupInterval as much as it has alerts.
//
// A notification has the route's name as Topic, as At the time it fell due, as
// Seq its number in its group from 1, and an ID made of the group and this
// number: until it has been made and saved, it is made with the same.
func (r *Router) Flush(now time.Time, silenced func(*rules.Outcome) bool, out []rules.Outcome) []rules.Outcome {
	if silenced == nil {
		silenced = func(*rules.Outcome) bool { return false }
	}
	var due []*group
	for len(r.queue.items) > 0 && !now.Before(r.queue.items[0].due) {
		due = append(due, r.queue.take())
	}
	for _, g := range due {
		out = r.flush(g, now, silenced, out)
	}
	return out
}

func (r *Router) flush(g *group, now time.Time, silenced func(*rules.Outcome) bool, out []rules.Outcome) []rules.Outcome {
	news := g.look(now, silenced)
	if len(news) > 0 || g.repeats(now) {
		out = append(out, g.notification(news, silenced))
		g.sent = now
	}
	g.due = g.next(now)
	if !g.due.IsZero() {
		r.queue.add(g)
	}
	for _, m := range news {
		m.ended = nil
		switch {
		case m.left != notLeftOut:
		case m.open():
			m.tell()
		default:
			r.forget(m)
		}
	}
	return out
}
