package alerts

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/rules/duration"
)

// Route says which alerts are told in groups, and how. Alerts take the first
// route that matches, and further ones as long as the last one says Continue.
type Route struct {
	Name           string
	Match          Matchers      // none: every alert
	GroupBy        []string      // names as in matchers; none: one group; EachAlone: a group for each alert
	GroupWait      time.Duration // from a change to the notification, so that others can join it
	GroupInterval  time.Duration // between the notifications of a group, at least
	RepeatInterval time.Duration // between notifications while something fires and nothing changes
	Sinks          []string      // who gets the notifications
	Continue       bool

	by []property // of labelNames; in a router
}

// EachAlone in GroupBy, alone, gives every alert its own group.
const EachAlone = "..."

// What a route has when it does not say otherwise.
const (
	DefaultGroupWait      = 30 * time.Second
	DefaultGroupInterval  = 5 * time.Minute
	DefaultRepeatInterval = 4 * time.Hour
)

func (r *Route) alone() bool { return len(r.GroupBy) == 1 && r.GroupBy[0] == EachAlone }

// labelNames are the names of the labels that a group of the route has.
func (r *Route) labelNames() []string {
	if r.alone() {
		return []string{"interaction", "rule", "twin", "feed"}
	}
	return r.GroupBy
}

// groupOf is the key of the alert's group in the route, and the values of its labels.
func (r *Route) groupOf(o *rules.Outcome) (key string, values []string) {
	for _, p := range r.by {
		values = append(values, p.of(o))
	}
	if r.alone() {
		return groupKey(r.Name, append(slices.Clone(values), o.Life.Key)), values
	}
	return groupKey(r.Name, values), values
}

// groupKey is made so that no two lists of parts give the same.
func groupKey(route string, parts []string) string {
	var b []byte
	for _, part := range append([]string{route}, parts...) {
		b = append(strconv.AppendInt(b, int64(len(part)), 10), ':')
		b = append(b, part...)
	}
	return string(b)
}

// Explain is the routes that an alert takes, in their order.
func Explain(routes []Route, o *rules.Outcome) []*Route {
	var taken []*Route
	for i := range routes {
		if !routes[i].Match.Match(o) {
			continue
		}
		taken = append(taken, &routes[i])
		if !routes[i].Continue {
			break
		}
	}
	return taken
}

// DecodeRoutes reads the list of routes of a configuration that has the sinks
// with the given names. The error has every problem with its place.
func DecodeRoutes(raw strictjson.Raw, sinkNames []string) ([]Route, error) {
	var docs []routeDoc
	errs := []error{raw.Decode(&docs)}
	var routes []Route
	named := map[string]bool{}
	for i := range docs {
		at := raw.Elems()[i]
		if name := string(docs[i].Name); name != "" {
			if named[name] {
				errs = append(errs, at.Member("name").At.Errorf("a second route with the name %q; want each name once", name))
			}
			named[name] = true
		}
		route, err := docs[i].route(sinkNames)
		errs = append(errs, err)
		routes = append(routes, route)
	}
	if err := strictjson.Join(errs...); err != nil {
		return nil, err
	}
	return routes, nil
}

// routeDoc is how a route is written.
type routeDoc struct {
	Name           words          `json:"name" strict:"required"`
	Match          strictjson.Raw `json:"match"`
	GroupBy        strictjson.Raw `json:"groupBy"`
	GroupWait      strictjson.Raw `json:"groupWait"`
	GroupInterval  strictjson.Raw `json:"groupInterval"`
	RepeatInterval strictjson.Raw `json:"repeatInterval"`
	Sinks          strictjson.Raw `json:"sinks" strict:"required"`
	Continue       bool           `json:"continue"`
}

func (d *routeDoc) route(sinkNames []string) (Route, error) {
	r := Route{
		Name: string(d.Name), Continue: d.Continue,
		GroupWait: DefaultGroupWait, GroupInterval: DefaultGroupInterval, RepeatInterval: DefaultRepeatInterval,
	}
	return r, strictjson.Join(
		r.matches(d.Match),
		r.groups(d.GroupBy),
		r.tells(d.Sinks, sinkNames),
		lasts(d.GroupWait, &r.GroupWait, 0),
		lasts(d.GroupInterval, &r.GroupInterval, time.Second),
		lasts(d.RepeatInterval, &r.RepeatInterval, time.Second),
	)
}

// lasts reads a duration of at least least, when it is there.
func lasts(raw strictjson.Raw, into *time.Duration, least time.Duration) error {
	if raw.IsZero() {
		return nil
	}
	d, err := duration.DecodeOrZero(raw)
	if err == nil && d < least {
		err = raw.At.Errorf("got %s; want at least %s", raw.Shown(), least)
	}
	*into = d
	return err
}

func (r *Route) matches(raw strictjson.Raw) error {
	if raw.IsZero() {
		return nil
	}
	ms, err := DecodeLasting(raw)
	r.Match = ms
	return err
}

// lasting refuses what differs from one event of an alert to the next: the
// alert would leave its group between being told of and being resolved.
func lasting(raw strictjson.Raw, name string) error {
	if !properties[name].varies {
		return nil
	}
	return raw.At.Errorf("%s changes while the alert lives; want one of %s", name, strings.Join(lastingNames(), ", "))
}

func lastingNames() []string {
	return []string{"severity", "interaction", "rule", "twin", "feed", "id", labelPrefix + "NAME"}
}

func (r *Route) groups(raw strictjson.Raw) error {
	if raw.IsZero() {
		return nil
	}
	if err := raw.Decode(&r.GroupBy); err != nil {
		return err
	}
	var errs []error
	for i, e := range raw.Elems() {
		name := e.Str()
		_, err := propertyOf(name)
		switch {
		case slices.Contains(r.GroupBy[:i], name):
			errs = append(errs, e.At.Errorf("%q a second time; want each name once", name))
		case name == EachAlone && len(r.GroupBy) > 1:
			errs = append(errs, e.At.Errorf("%q beside other names; want it alone, for a group for each alert", name))
		case name == EachAlone:
		case err != nil:
			errs = append(errs, e.At.Errorf("%w", err))
		default:
			errs = append(errs, lasting(e, name))
		}
	}
	return strictjson.Join(errs...)
}

func (r *Route) tells(raw strictjson.Raw, sinkNames []string) error {
	if raw.IsZero() {
		return nil // said already
	}
	if err := raw.Decode(&r.Sinks); err != nil {
		return err
	}
	if len(r.Sinks) == 0 {
		return raw.At.Errorf("no sink; want the name of at least one")
	}
	var errs []error
	for i, e := range raw.Elems() {
		switch name := e.Str(); {
		case slices.Contains(r.Sinks[:i], name):
			errs = append(errs, e.At.Errorf("sink %q a second time; want each name once", name))
		case !slices.Contains(sinkNames, name):
			errs = append(errs, e.At.Errorf("no sink %q%s", name, sinkHint(name, sinkNames)))
		}
	}
	return strictjson.Join(errs...)
}

func sinkHint(name string, known []string) string {
	if hint := strictjson.DidYouMean(name, known); hint != "" {
		return hint
	}
	if len(known) == 0 {
		return "; the configuration has none"
	}
	return "; want one of " + strings.Join(known, ", ")
}
