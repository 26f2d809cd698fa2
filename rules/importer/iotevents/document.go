package iotevents

import (
	"slices"
	"strconv"
	"strings"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/importer"
)

// model is a detector model as it was read.
type model struct {
	raw                strictjson.Raw
	name, key, comment string
	serial             bool // variables change between the events of one message
	initial            string
	states             []*state
}

type state struct {
	raw                strictjson.Raw
	name               string
	enter, input, exit []*event
	transitions        []*event // with next
}

// event is a condition with actions, and of a transition the next state.
type event struct {
	raw     strictjson.Raw
	name    string
	at      strictjson.Place // of the condition
	when    []expression     // all of them; none: always
	wrong   error            // the condition cannot be read
	actions []action
	next    string
	from    *state
}

type action struct {
	raw  strictjson.Raw // of its settings
	key  strictjson.Place
	kind string // setVariable, setTimer, resetTimer, clearTimer, or what tells: sns, lambda, …
}

// member finds a member by its name in the API, or as CloudFormation writes it.
func member(r strictjson.Raw, name string) strictjson.Raw {
	if m := r.Member(name); !m.IsZero() {
		return m
	}
	return r.Member(strings.ToUpper(name[:1]) + name[1:])
}

// reader reads models; what it cannot is noted.
type reader struct{ out *importer.Result }

func (d *reader) text(r strictjson.Raw, what string) string {
	switch {
	case r.IsZero():
	case r.Kind() == strictjson.String:
		return r.Str()
	case r.Kind() == strictjson.Number:
		return string(r.Text())
	default:
		d.out.Not(r.At, "%s is %s; write the text that it stands for", what, r.Shown())
	}
	return ""
}

func (d *reader) model(r, definition strictjson.Raw) *model {
	m := &model{
		raw: r, name: d.text(member(r, "detectorModelName"), "the name"), key: d.text(member(r, "key"), "the key"),
		comment: d.text(member(r, "detectorModelDescription"), "the description"),
		serial:  d.text(member(r, "evaluationMethod"), "the evaluation method") == "SERIAL",
		initial: d.text(member(definition, "initialStateName"), "the initial state"),
	}
	for _, s := range member(definition, "states").Elems() {
		m.states = append(m.states, d.state(s))
	}
	return m
}

func (d *reader) state(r strictjson.Raw) *state {
	s := &state{raw: r, name: d.text(member(r, "stateName"), "the name of a state")}
	s.enter = d.events(s, member(member(r, "onEnter"), "events"))
	s.exit = d.events(s, member(member(r, "onExit"), "events"))
	s.input = d.events(s, member(member(r, "onInput"), "events"))
	s.transitions = d.events(s, member(member(r, "onInput"), "transitionEvents"))
	return s
}

func (d *reader) events(s *state, r strictjson.Raw) (out []*event) {
	for _, e := range r.Elems() {
		ev := &event{raw: e, from: s, at: e.At, name: d.text(member(e, "eventName"), "the name of an event"), next: d.text(member(e, "nextState"), "the next state")}
		if condition := member(e, "condition"); !condition.IsZero() {
			ev.at = condition.At
			parsed, err := parse(d.text(condition, "a condition"))
			ev.when, ev.wrong = conjuncts(parsed), err
		}
		for _, a := range member(e, "actions").Elems() {
			for _, m := range a.Members() {
				ev.actions = append(ev.actions, action{m.Value, m.Key, strings.ToLower(m.Name[:min(1, len(m.Name))]) + m.Name[min(1, len(m.Name)):]})
			}
		}
		out = append(out, ev)
	}
	return out
}

// conjuncts are what && joins; true says nothing.
func conjuncts(e expression) []expression {
	switch e := e.(type) {
	case nil:
		return nil
	case operation:
		if e.operator == "&&" {
			return append(conjuncts(e.operands[0]), conjuncts(e.operands[1])...)
		}
	case literal:
		if e == (literal{truth, "true"}) {
			return nil
		}
	case call:
		if e.function == "triggerType" && len(e.args) == 1 {
			return nil // what else is asked says whether it is a message or a timer
		}
	}
	return []expression{e}
}

func (m *model) state(name string) *state {
	if i := slices.IndexFunc(m.states, func(s *state) bool { return s.name == name }); i >= 0 {
		return m.states[i]
	}
	return nil
}

// events are all of a model.
func (m *model) events() (out []*event) {
	for _, s := range m.states {
		out = append(out, s.all()...)
	}
	return out
}

func (s *state) all() []*event { return slices.Concat(s.enter, s.input, s.transitions, s.exit) }

// quietly says whether an action is about the detector itself.
func (a *action) quietly() bool {
	return slices.Contains([]string{"setVariable", "setTimer", "resetTimer", "clearTimer"}, a.kind)
}

// named is the variable or the timer that an action is about.
func (a *action) named() string {
	if a.kind == "setVariable" {
		return member(a.raw, "variableName").Str()
	}
	return member(a.raw, "timerName").Str()
}

// seconds are how long a timer runs; 0 when that is not a number.
func (a *action) seconds() int {
	if n, ok := member(a.raw, "seconds").Any().(float64); ok {
		return int(n)
	}
	n, _ := strconv.ParseFloat(strings.Trim(member(a.raw, "durationExpression").Str(), "' "), 64)
	return int(n)
}

// sets is the value that an event gives to a variable; nil when it gives none.
func (e *event) sets(variable string) expression {
	for _, a := range e.actions {
		if a.kind == "setVariable" && a.named() == variable {
			value, _ := parse(member(a.raw, "value").Str())
			return value
		}
	}
	return nil
}

// times says whether an event sets or resets a timer.
func (e *event) times(timer string) bool {
	return slices.ContainsFunc(e.actions, func(a action) bool {
		return (a.kind == "setTimer" || a.kind == "resetTimer") && a.named() == timer
	})
}

// timer is how long the timer runs that the model sets under this name.
func (m *model) timer(name string) int {
	for _, e := range m.events() {
		for _, a := range e.actions {
			if a.kind == "setTimer" && a.named() == name {
				return a.seconds()
			}
		}
	}
	return 0
}

// constants are the variables that have one value for ever.
func (m *model) constants() map[string]literal {
	out := map[string]literal{}
	changes := map[string]bool{}
	for _, e := range m.events() {
		for _, a := range e.actions {
			if a.kind != "setVariable" {
				continue
			}
			value, _ := parse(member(a.raw, "value").Str())
			l, ok := value.(literal)
			before, known := out[a.named()]
			if !ok || known && before != l {
				changes[a.named()] = true
			}
			out[a.named()] = l
		}
	}
	for name := range changes {
		delete(out, name)
	}
	return out
}
