package alerts

import (
	"cmp"
	"slices"
	"time"

	"tocsin.internal/rules"
)

// alert is what the router knows of an alert that is in a group.
type alert struct {
	last  rules.Outcome
	quiet bool // left out, whatever the silences say
	in    []*member
}

func (a *alert) update(o *rules.Outcome) {
	a.quiet = quiet(o, a.quiet)
	a.last = *o
	a.last.Data = slices.Clone(o.Data)
}

// succeed takes note, in every group, that another episode follows, if one does.
func (a *alert) succeed(next *rules.Outcome) {
	if next.ID == a.last.ID {
		return
	}
	for _, m := range a.in {
		m.end(next)
	}
}

// quiet says whether an alert is left out after the event. What people say of it
// changes nothing about that, nor does a repetition that is Silent.
func quiet(o *rules.Outcome, before bool) bool {
	if o.State == rules.StateFiring && o.Life.Suppression != nil {
		return true
	}
	switch o.Life.Event {
	case rules.EventAcknowledged, rules.EventUnacknowledged, rules.EventCommented:
		return before
	case rules.EventRepeated:
		return before && o.Life.Silent
	case rules.EventUnshelved, rules.EventUnsuppressed:
		return false
	}
	return o.Life.Silent
}

// lift takes the alert out of whatever its groups know of it, before it changes.
func (a *alert) lift() {
	for _, m := range a.in {
		m.lift()
	}
}

func (a *alert) memberOf(groupKey string) *member {
	for _, m := range a.in {
		if m.group.key == groupKey {
			return m
		}
	}
	return nil
}

func (a *alert) join(g *group) *member {
	m := &member{alert: a, group: g, at: len(g.members)}
	g.members = append(g.members, m)
	a.in = append(a.in, m)
	return m
}

// member is an alert in a group.
type member struct {
	alert *alert
	group *group
	at    int  // in group.members
	fresh int  // its place in group.changed, from 1; 0 when it is not there
	heap  int  // its place in group.firing
	gone  bool // it belongs to another group now
	left  leftOut

	// As it was last told; toldID is "" when it never was.
	toldID       string
	toldSeverity string
	toldRaises   uint64

	ended *rules.Outcome // an earlier episode, told to fire, whose end was not told; nil: none
}

// leftOut says why a member was left out when it was last looked at.
type leftOut uint8

const (
	notLeftOut leftOut = iota
	quieted
	silencedNow
)

func (m *member) place() *int { return &m.heap }

func (m *member) told() bool { return m.toldID != "" }

// open says whether the alert fires in the group.
func (m *member) open() bool { return !m.gone && m.alert.last.State == rules.StateFiring }

// speaks says whether there may be something to tell of the alert as it is.
func (m *member) speaks() bool { return m.open() || m.told() }

// end takes note that another episode takes the place of the last one: what was
// told of that has to be taken back under its own id.
func (m *member) end(next *rules.Outcome) {
	last := m.alert.last
	if m.toldID != last.ID {
		return
	}
	if last.State == rules.StateFiring { // its end never came
		life := *last.Life
		life.Active, life.Status = false, rules.StatusClosed
		last.State, last.Ends, last.Life = rules.StateResolved, next.Starts, &life
	}
	m.ended, m.toldID, m.toldSeverity, m.toldRaises = &last, "", "", 0
}

// reason says why the member is left out, if it is.
func (m *member) reason(silenced func(*rules.Outcome) bool) leftOut {
	quiet := m.alert.quiet || !m.speaks()
	switch {
	case quiet && m.ended != nil && silenced(m.ended):
		return silencedNow
	case !m.speaks():
		return notLeftOut
	case m.alert.quiet:
		return quieted
	case silenced(&m.alert.last):
		return silencedNow
	}
	return notLeftOut
}

// news says whether there is something to tell of the alert as it is that was not told.
func (m *member) news() bool {
	if !m.open() {
		return m.told()
	}
	o := &m.alert.last
	return m.toldID != o.ID || m.toldSeverity != o.Severity || m.toldRaises != o.Life.Counts.Raises
}

// critical says whether a change of it is told at once.
func (m *member) critical() bool {
	return !m.gone && m.alert.last.Severity == "critical" || m.ended != nil && m.ended.Severity == "critical"
}

func (m *member) tell() {
	o := &m.alert.last
	m.toldID, m.toldSeverity, m.toldRaises = o.ID, o.Severity, o.Life.Counts.Raises
}

// lift takes the member out of what was found when it was last looked at.
func (m *member) lift() {
	m.group.firing.remove(m)
	if m.left != notLeftOut {
		m.group.left[m.left]--
		m.left = notLeftOut
	}
}

// due is when the group has to be told of the member as it is.
func (m *member) due(now time.Time) time.Time {
	g := m.group
	if !m.news() && m.ended == nil { // it was quiet; it may still have to be repeated
		return latest(now.Add(g.route.GroupWait), g.sent.Add(g.route.RepeatInterval))
	}
	if m.critical() {
		return now
	}
	wait := g.route.GroupWait
	if !g.sent.IsZero() { // a clock that was set back must not make it wait longer
		wait = max(wait, min(g.sent.Add(g.route.GroupInterval).Sub(now), g.route.GroupInterval))
	}
	return now.Add(wait)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earlier orders the alerts of a group.
func earlier(a, b *member) bool { return byStart(&a.alert.last, &b.alert.last) < 0 }

func byStart(x, y *rules.Outcome) int {
	if c := x.Starts.Compare(y.Starts); c != 0 {
		return c
	}
	return cmp.Compare(x.Life.Key, y.Life.Key)
}

// group is the alerts of a route that are told together.
type group struct {
	key     string
	route   *Route
	values  []string  // of what the route groups by
	born    time.Time // when its first alert came
	number  uint64    // of its notifications so far
	checked time.Time // when all members were looked at
	sent    time.Time // the last notification; zero: none
	due     time.Time // zero: never
	heap    int       // its place in Router.queue
	members []*member
	changed []*member            // since they were last looked at
	firing  ordered[*member]     // those that fire and are not left out, but for the changed ones
	left    [silencedNow + 1]int // how many are left out, but for the changed ones
}

func newGroup(key string, route *Route, values []string, born time.Time) *group {
	return &group{key: key, route: route, values: values, born: born, firing: ordered[*member]{before: earlier}}
}

func (g *group) place() *int { return &g.heap }

// sooner orders the groups by when they are due.
func sooner(a, b *group) bool {
	if c := a.due.Compare(b.due); c != 0 {
		return c < 0
	}
	return a.key < b.key
}

// change notes that the member has to be looked at.
func (g *group) change(m *member) {
	if m.fresh == 0 {
		g.changed = append(g.changed, m)
		m.fresh = len(g.changed)
	}
}

// drop takes the member out of the group.
func (g *group) drop(m *member) {
	m.lift()
	if m.fresh > 0 {
		last := g.changed[len(g.changed)-1]
		g.changed[m.fresh-1], last.fresh = last, m.fresh
		g.changed[len(g.changed)-1] = nil
		g.changed = g.changed[:len(g.changed)-1]
	}
	last := g.members[len(g.members)-1]
	g.members[m.at], last.at = last, m.at
	g.members[len(g.members)-1] = nil
	g.members = g.members[:len(g.members)-1]
}

// look finds out which of the members that have changed are left out, and
// returns what is to be told of the others. Silences may have begun or ended
// since, so it looks at all members where that was long ago.
func (g *group) look(now time.Time, silenced func(*rules.Outcome) bool) (news []*member) {
	look := g.changed
	if !now.Before(g.checked.Add(g.route.GroupInterval)) || g.overdue(now) {
		g.checked = now
		g.firing.clear()
		look = g.members
	}
	for _, m := range look {
		m.lift()
		if why := m.reason(silenced); why != notLeftOut {
			g.leaveOut(m, why)
		} else if m.open() {
			g.firing.add(m)
		}
		if m.left == notLeftOut && m.news() || m.left != silencedNow && m.ended != nil {
			news = append(news, m)
		}
	}
	for _, m := range g.changed {
		m.fresh = 0
	}
	clear(g.changed)
	g.changed = g.changed[:0]
	return news
}

func (g *group) leaveOut(m *member, why leftOut) {
	m.left = why
	g.left[why]++
}

func (g *group) overdue(now time.Time) bool {
	return !g.sent.IsZero() && !now.Before(g.sent.Add(g.route.RepeatInterval))
}

// repeats says whether it is time to tell again what fires.
func (g *group) repeats(now time.Time) bool { return len(g.firing.items) > 0 && g.overdue(now) }

// next is when there may be something to tell again if nothing changes.
func (g *group) next(now time.Time) time.Time {
	var next time.Time
	if len(g.firing.items) > 0 {
		next = g.sent.Add(g.route.RepeatInterval)
	}
	if check := now.Add(g.route.GroupInterval); g.left[silencedNow] > 0 && (next.IsZero() || check.Before(next)) {
		next = check
	}
	return next
}
