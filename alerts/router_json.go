package alerts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"tocsin.internal/rules"
)

// saveVersion is raised when what Save writes means something else.
const saveVersion = 1

// The form of Save is one JSON object on a line: a savedHead, then Alerts
// savedAlerts, then Groups savedGroups. The alerts' outcomes are written as they
// are everywhere, so that what is told after Load is the same to the byte.
type savedHead struct {
	Version int `json:"version"`
	Alerts  int `json:"alerts"`
	Groups  int `json:"groups"`
}

type savedAlert struct {
	Quiet bool            `json:"quiet"`
	Alert json.RawMessage `json:"alert"`
}

type savedGroup struct {
	Route   string        `json:"route"`
	GroupBy []string      `json:"groupBy"` // to see whether the route still does
	Values  []string      `json:"values"`
	Key     string        `json:"key"`
	Born    stamp         `json:"born"`
	Number  uint64        `json:"number"`
	Checked stamp         `json:"checked"`
	Sent    stamp         `json:"sent"`
	Due     stamp         `json:"due"`
	Members []savedMember `json:"members"`
}

type savedMember struct {
	Alert    int     `json:"alert"` // which, from 0
	Changed  bool    `json:"changed,omitempty"`
	Gone     bool    `json:"gone,omitempty"`
	Left     leftOut `json:"left,omitempty"`
	ID       string  `json:"id,omitempty"`
	Severity string  `json:"severity,omitempty"`
	Raises   uint64  `json:"raises,omitempty"`

	Ended json.RawMessage `json:"ended,omitempty"` // an outcome
}

// stamp is a time in nanoseconds since 1970; the zero time is 0.
type stamp int64

func stampOf(t time.Time) stamp {
	if t.IsZero() {
		return 0
	}
	return stamp(t.UnixNano())
}

func (s stamp) time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(s)).UTC()
}

// Save is the whole state of the router: of what Load makes of it, Take, Due and
// Flush answer as they would have here. Equal states give equal bytes.
func (r *Router) Save() []byte {
	b := appendLine(nil, savedHead{saveVersion, len(r.alerts), len(r.groups)})
	number := make(map[*alert]int, len(r.alerts))
	for i, key := range slices.Sorted(maps.Keys(r.alerts)) {
		a := r.alerts[key]
		number[a] = i
		b = strconv.AppendBool(append(b, `{"quiet":`...), a.quiet)
		b = a.last.AppendJSON(append(b, `,"alert":`...))
		b = append(b, "}\n"...)
	}
	for _, key := range slices.Sorted(maps.Keys(r.groups)) {
		b = appendLine(b, r.groups[key].saved(number))
	}
	return b
}

func appendLine(b []byte, v any) []byte {
	line, err := json.Marshal(v)
	if err != nil { // they are made of texts and numbers
		panic(err)
	}
	return append(append(b, line...), '\n')
}

func (g *group) saved(number map[*alert]int) savedGroup {
	s := savedGroup{
		Route: g.route.Name, GroupBy: g.route.GroupBy, Values: g.values, Key: g.key, Born: stampOf(g.born), Number: g.number,
		Checked: stampOf(g.checked), Sent: stampOf(g.sent), Due: stampOf(g.due),
	}
	for _, m := range g.members {
		saved := savedMember{
			Alert: number[m.alert], Changed: m.fresh > 0, Gone: m.gone, Left: m.left,
			ID: m.toldID, Severity: m.toldSeverity, Raises: m.toldRaises,
		}
		if m.ended != nil {
			saved.Ended = m.ended.AppendJSON(nil)
		}
		s.Members = append(s.Members, saved)
	}
	slices.SortFunc(s.Members, func(a, b savedMember) int { return a.Alert - b.Alert })
	return s
}

// Load puts a router into the state that Save has written. Groups of routes
// that are not there any more, or that group by something else now, are left
// out with what they have told. After an error the router is as it was.
func (r *Router) Load(b []byte) error {
	in := json.NewDecoder(bytes.NewReader(b))
	var head savedHead
	if err := in.Decode(&head); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	if head.Version != saveVersion {
		return fmt.Errorf("router: state of version %d; want %d", head.Version, saveVersion)
	}
	fresh := NewRouter(r.routes)
	alerts, err := loadAlerts(in, head.Alerts)
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	for range head.Groups {
		var g savedGroup
		if err := in.Decode(&g); err != nil {
			return fmt.Errorf("router: group: %w", err)
		}
		if err := fresh.restore(&g, alerts); err != nil {
			return fmt.Errorf("router: group: %w", err)
		}
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("router: text after the last group")
	}
	*r = *fresh
	return nil
}

func loadAlerts(in *json.Decoder, count int) ([]*alert, error) {
	var alerts []*alert
	for range count {
		var s savedAlert
		if err := in.Decode(&s); err != nil {
			return nil, fmt.Errorf("alert: %w", err)
		}
		o, err := rules.DecodeOutcome(s.Alert)
		if err != nil {
			return nil, fmt.Errorf("alert: %w", err)
		}
		if !isAlert(&o) {
			return nil, errors.New("alert: not the outcome of an alert with its key and number")
		}
		alerts = append(alerts, &alert{last: o, quiet: s.Quiet})
	}
	return alerts, nil
}

func (r *Router) restore(s *savedGroup, alerts []*alert) error {
	i := slices.IndexFunc(r.routes, func(route Route) bool { return route.Name == s.Route })
	if i < 0 || !slices.Equal(r.routes[i].GroupBy, s.GroupBy) || len(s.Values) != len(r.routes[i].by) {
		return nil
	}
	g := newGroup(s.Key, &r.routes[i], s.Values, s.Born.time())
	g.number, g.checked, g.sent, g.due = s.Number, s.Checked.time(), s.Sent.time(), s.Due.time()
	for _, m := range s.Members {
		if m.Alert < 0 || m.Alert >= len(alerts) || m.Left > silencedNow {
			return fmt.Errorf("no alert %d of %d, or unknown reason %d", m.Alert, len(alerts), m.Left)
		}
		if err := g.restore(&m, alerts[m.Alert]); err != nil {
			return err
		}
	}
	if len(g.members) == 0 {
		return errors.New("no members")
	}
	r.groups[g.key] = g
	if !g.due.IsZero() {
		r.queue.add(g)
	}
	for _, m := range g.members {
		r.alerts[m.alert.last.Life.Key] = m.alert
	}
	return nil
}

func (g *group) restore(s *savedMember, a *alert) error {
	m := a.join(g)
	if len(s.Ended) > 0 {
		ended, err := rules.DecodeOutcome(s.Ended)
		if err != nil {
			return err
		}
		if !isAlert(&ended) {
			return errors.New("the episode before is not the outcome of an alert")
		}
		m.ended = &ended
	}
	m.gone, m.toldID, m.toldSeverity, m.toldRaises = s.Gone, s.ID, s.Severity, s.Raises
	switch {
	case s.Changed:
		g.change(m)
	case s.Left != notLeftOut:
		g.leaveOut(m, s.Left)
	case m.open():
		g.firing.add(m)
	}
	return nil
}
