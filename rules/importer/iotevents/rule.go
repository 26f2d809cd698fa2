package iotevents

import (
	"fmt"
	"slices"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/duration"
	"tocsin.internal/rules/importer"
)

// add writes the alert down.
func (a *analysis) add(r *alert, s *state, alarms []*state) {
	id := importer.Unique(importer.Slug(s.name), a.ids)
	severity := severityOf(s)
	if r.feed == "" && len(r.others) == 0 {
		r.feed = a.firstInput()
	}
	if r.feed == "" {
		a.out.Not(s.raw.At, "the state %q reads no input; say which feed it is about", s.name)
		return
	}
	rule := a.head(id, severity, &r.reading)
	if len(r.conditions) > 0 {
		expr := importer.Any(r.conditions...)
		if expr == any(true) {
			a.out.Nearly(s.raw.At, "any message leads to the state %q; the alert fires with the first sample", s.name)
		}
		rule = append(rule, importer.Member{Name: "conditions", Value: importer.Conditions(expr)})
	}
	if r.hold > 0 {
		rule = append(rule, importer.Member{Name: "for", Value: lasting(r.hold)})
	}
	rule = r.appendCount(rule)
	if r.absent > 0 {
		rule = append(rule, importer.Member{Name: "absent", Value: importer.Object{{Name: "for", Value: lasting(r.absent)}}})
	}
	if len(r.clear) > 0 {
		rule = append(rule, importer.Member{Name: "clearCondition", Value: importer.Logic(importer.Any(r.clear...))})
	}
	if r.recover > 0 {
		rule = append(rule, importer.Member{Name: "clearFor", Value: lasting(r.recover)})
	}
	var inhibitors importer.List
	for _, other := range r.inhibited {
		if slices.ContainsFunc(alarms, func(s *state) bool { return importer.Slug(s.name) == other }) {
			inhibitors = append(inhibitors, other)
		}
	}
	if len(inhibitors) > 0 {
		rule = append(rule, importer.Member{Name: "inhibitedBy", Value: inhibitors})
	}
	a.finish(rule, s.raw.At, s.name, severity, &r.reading)
}

// appendCount appends how many messages it takes.
func (r *alert) appendCount(rule importer.Object) importer.Object {
	if r.count <= 1 {
		return rule
	}
	repeat := importer.Object{{Name: "count", Value: r.count}}
	if r.anywhere {
		repeat = append(repeat, importer.Member{Name: "within", Value: "366d"}, importer.Member{Name: "consecutive", Value: false})
	}
	return append(rule, importer.Member{Name: "repeat", Value: repeat})
}

// head is the beginning of a rule; it notes the feeds that are read.
func (a *analysis) head(id, severity string, r *reading) importer.Object {
	rule := importer.Object{
		{Name: "id", Value: id},
		{Name: "severity", Value: severity},
		{Name: "sourceId", Value: source},
		{Name: "sourceFeedId", Value: r.feed},
	}
	a.feeds = appendNew(a.feeds, r.feed)
	var joins importer.List
	for _, other := range r.others {
		a.feeds = appendNew(a.feeds, other)
		joins = append(joins, importer.Object{{Name: "as", Value: other}, {Name: "sourceId", Value: source}, {Name: "sourceFeedId", Value: other}})
	}
	if len(joins) > 0 {
		rule = append(rule, importer.Member{Name: "join", Value: joins})
	}
	return rule
}

// finish adds the texts, and tells what has become of the state.
func (a *analysis) finish(rule importer.Object, at strictjson.Place, what, severity string, r *reading) {
	id := rule[0].Value
	rule = append(rule,
		importer.Member{Name: "summary", Value: "{{twin}}: " + what},
		importer.Member{Name: "description", Value: fmt.Sprintf("From %s of the detector model %s.", what, a.name)},
	)
	a.rules = append(a.rules, importer.Object{{Name: "alert", Value: rule}})
	a.out.Exactly(at, "%q: the alert %q", what, id)
	a.out.Nearly(at, "severity %q of the alert %q, guessed from the name; the original has none", severity, id)
	for _, note := range r.notes {
		a.out.Nearly(at, "%s", note)
	}
}

// lasting is a number of seconds as a duration.
func lasting(seconds int) string {
	return duration.Text(time.Duration(seconds) * time.Second)
}

func appendNew[T any](list []T, e T) []T {
	if slices.ContainsFunc(list, func(x T) bool { return importer.Text(x) == importer.Text(e) }) {
		return list
	}
	return append(list, e)
}

// firstInput is the first input that the model names.
func (a *analysis) firstInput() string {
	for _, e := range a.events() {
		for _, part := range e.when {
			if in := inputOf(part); in != "" {
				return in
			}
		}
	}
	return ""
}

func inputOf(e expression) string {
	switch e := e.(type) {
	case reference:
		if e.of == "input" {
			return e.name
		}
	case operation:
		for _, o := range e.operands {
			if in := inputOf(o); in != "" {
				return in
			}
		}
	case call:
		if l, ok := firstLiteral(e.args); ok && e.function == "currentInput" {
			return l.text
		}
		for _, o := range e.args {
			if in := inputOf(o); in != "" {
				return in
			}
		}
	}
	return ""
}

func firstLiteral(args []expression) (literal, bool) {
	if len(args) == 0 {
		return literal{}, false
	}
	l, ok := args[0].(literal)
	return l, ok
}
