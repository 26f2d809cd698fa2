package iotevents

import (
	"fmt"
	"slices"
	"strings"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/importer"
)

// analysis finds what a detector model is, and writes it down as rules.
type analysis struct {
	*model
	out       *importer.Result
	options   importer.Options
	constants map[string]literal
	quiet     *state
	feeds     []string
	ids       map[string]bool
	rules     importer.List
}

func (a *analysis) run() {
	a.constants, a.ids = a.model.constants(), map[string]bool{}
	if a.quiet = a.quietState(); a.quiet == nil {
		a.out.Not(a.raw.At, "no state is called %q, with which the detector begins; nothing was taken over", a.initial)
		return
	}
	a.complain()
	alarms := a.alarms()
	if !a.levels(alarms) {
		for _, s := range alarms {
			a.alarm(s, alarms)
		}
	}
	a.messages(alarms)
	a.tells(alarms)
	if len(a.rules) == 0 {
		a.out.Not(a.raw.At, "nothing of this model could be taken over as a rule")
		return
	}
	a.write()
}

// write adds the interaction.
func (a *analysis) write() {
	if a.options.Model != "" {
		a.out.Exactly(a.raw.At, "which twins: those made from the model %q", a.did())
	} else {
		a.out.Nearly(a.raw.At, "which twins: those made from the model %q; the original takes every message of its inputs. Give the twins that model, or name another one with --model", a.did())
	}
	if a.key != "" {
		a.out.Exactly(member(a.raw, "key").At, "a detector for each %q: a state for each twin; share the samples under its value as the twin", a.key)
	}
	var feeds importer.List
	for _, feed := range a.feeds {
		feeds = append(feeds, importer.Object{{Name: "id", Value: feed}})
	}
	label := a.name + " (from AWS IoT Events)"
	if a.comment != "" {
		label = a.comment + " (" + a.name + ", from AWS IoT Events)"
	}
	a.out.Add(a.raw.At, importer.Slug(a.name), importer.Object{
		{Name: "label", Value: label},
		{Name: "sources", Value: importer.List{importer.Object{{Name: "id", Value: source}, {Name: "modelDid", Value: a.did()}, {Name: "feeds", Value: feeds}}}},
		{Name: "rules", Value: a.rules},
	})
}

const source = "detectors"

func (a *analysis) did() string { return first(a.options.Model, "urn:iotevents:"+a.name) }

// quietState is where nothing is wrong: the first state that is not left at
// once.
func (a *analysis) quietState() *state {
	s := a.state(a.initial)
	for range a.states {
		if s == nil || len(s.transitions) != 1 || len(a.asked(s.transitions[0]).plain)+len(s.tellers()) > 0 || !a.atOnce(s.transitions[0]) {
			break
		}
		s = a.state(s.transitions[0].next)
	}
	if s == nil {
		return a.state(a.initial)
	}
	if !s.calm() {
		for _, e := range s.transitions {
			if next := a.state(e.next); next != nil && next.calm() {
				a.out.Nearly(next.raw.At, "the state %q is taken for the one in which nothing is wrong, by its name", next.name)
				return next
			}
		}
	}
	return s
}

// calm says whether a state is called as one in which nothing is wrong.
func (s *state) calm() bool {
	lower := strings.ToLower(s.name)
	for _, word := range []string{"abnormal", "unsafe", "unhealthy"} {
		if strings.Contains(lower, word) {
			return false
		}
	}
	words := []string{"normal", "online", "healthy", "nominal", "standby", "idle", "running", "ready", "safe", "okay"}
	return lower == "ok" || lower == "on" || slices.ContainsFunc(words, func(word string) bool { return strings.Contains(lower, word) })
}

// atOnce says whether any message makes the transition.
func (a *analysis) atOnce(e *event) bool {
	q := a.asked(e)
	return e.wrong == nil && q.timer == "" && q.counter == nil && len(q.plain) == 0
}

// complain notes the conditions that cannot be read.
func (a *analysis) complain() {
	for _, e := range a.events() {
		if e.wrong != nil {
			a.out.Not(e.at, "the condition cannot be read: %w", e.wrong)
		}
		if e.next != "" && a.state(e.next) == nil {
			a.out.Not(e.raw.At, "no state is called %q", e.next)
		}
	}
}

// asked is a condition taken apart.
type asked struct {
	plain   []expression
	timer   string
	input   string
	counter *compared
}

// compared is a variable that is compared with a number.
type compared struct {
	variable, operator string
	with               float64
}

func (a *analysis) asked(e *event) (q asked) {
	for _, part := range e.when {
		if c, ok := part.(call); ok && len(c.args) == 1 {
			if l, ok := c.args[0].(literal); ok && c.function == "timeout" {
				q.timer = l.text
				continue
			} else if ok && c.function == "currentInput" && (q.input == "" || q.input == l.text) {
				q.input = l.text
				continue
			}
		}
		if a.isOnce(e, part) {
			continue
		}
		if c := a.compared(part); c != nil && q.counter == nil {
			q.counter = c
			continue
		}
		q.plain = append(q.plain, part)
	}
	return q
}

// isOnce says whether a part of a condition is a flag that the event itself
// turns, so that it happens once. So do alerts.
func (a *analysis) isOnce(e *event, part expression) bool {
	o, ok := part.(operation)
	if !ok || len(o.operands) != 2 || o.operator != "==" && o.operator != "!=" {
		return false
	}
	v, isVariable := o.operands[0].(reference)
	with, isLiteral := o.operands[1].(literal)
	to, isSet := e.sets(v.name).(literal)
	return isVariable && v.of == "variable" && isLiteral && isSet && (to != with) == (o.operator == "==")
}

func (a *analysis) compared(part expression) *compared {
	o, ok := part.(operation)
	if !ok || len(o.operands) != 2 {
		return nil
	}
	left, right, op := o.operands[0], o.operands[1], o.operator
	if _, ok := left.(literal); ok {
		left, right = right, left
		op = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}[op]
	}
	v, isVariable := left.(reference)
	l, isNumber := right.(literal)
	if _, constant := a.constants[v.name]; !isVariable || v.of != "variable" || constant || !isNumber || l.kind != numeral {
		return nil
	}
	return &compared{v.name, op, number(l.text)}
}

// alarms are the states that mean that something is wrong: those that are
// neither quiet nor a wait on the way.
func (a *analysis) alarms() (out []*state) {
	for _, s := range a.states {
		if s == a.quiet || a.leaves(s) == nil && !a.isReached(s) {
			if s != a.quiet && s.name != a.initial {
				a.out.Not(s.raw.At, "no transition leads to the state %q", s.name)
			}
			continue
		}
		switch {
		case a.isWait(s) || a.isRecovery(s) || s.name == a.initial && !a.isReached(s):
		case s.calm():
			a.out.Nearly(s.raw.At, "the state %q is taken for one in which nothing is wrong, by its name; no alert", s.name)
		default:
			out = append(out, s)
		}
	}
	return out
}

func (a *analysis) isReached(s *state) bool { return len(a.into(s)) > 0 }

// into are the transitions to a state from others.
func (a *analysis) into(s *state) (out []*event) {
	for _, e := range a.events() {
		if e.next == s.name && e.from != s && e.wrong == nil {
			out = append(out, e)
		}
	}
	return out
}

// leaves is the transition of a state that a timer makes which began with the
// state; nil when there is none.
func (a *analysis) leaves(s *state) *event {
	for _, e := range s.transitions {
		q := a.asked(e)
		if q.timer == "" || e.wrong != nil || slices.ContainsFunc(s.input, func(i *event) bool { return i.times(q.timer) }) {
			continue
		}
		if slices.ContainsFunc(append(s.enter, a.into(s)...), func(i *event) bool { return i.times(q.timer) }) {
			return e
		}
	}
	return nil
}

// isWait says whether a state only waits until something has lasted.
func (a *analysis) isWait(s *state) bool {
	e := a.leaves(s)
	return e != nil && e.next != a.quiet.name && e.next != s.name && len(s.tellers()) == 0 && a.state(e.next) != nil
}

// isRecovery says whether a state only waits until something has been over for
// so long.
func (a *analysis) isRecovery(s *state) bool {
	e := a.leaves(s)
	return e != nil && e.next == a.quiet.name && len(s.tellers()) == 0 && !slices.ContainsFunc(a.into(s), func(i *event) bool { return i.from == a.quiet })
}

// tellers are the events of a state that tell somebody.
func (s *state) tellers() (out []*event) {
	for _, e := range s.all() {
		if slices.ContainsFunc(e.actions, func(x action) bool { return !x.quietly() }) {
			out = append(out, e)
		}
	}
	return out
}

// alert is a rule as it is found out.
type alert struct {
	reading
	at         strictjson.Place
	hold       int // seconds
	absent     int // seconds
	count      int
	anywhere   bool // count: not in a row
	conditions []any
	clear      []any
	recover    int // seconds
	inhibited  []string
}

// alarm makes an alert of a state.
func (a *analysis) alarm(s *state, alarms []*state) {
	r := &alert{reading: reading{constants: a.constants}, at: s.raw.At}
	var wrong error
	seen, silences := 0, 0
	for _, e := range a.into(s) {
		if a.isRecovery(e.from) {
			continue // it was this alarm before
		}
		before := len(r.conditions)
		if err := a.enters(r, e); err != nil {
			a.out.Not(e.at, "the transition %q to %q: %w", e.name, s.name, err)
			wrong = err
			continue
		}
		if a.asked(e).timer != "" && r.hold == 0 {
			silences++
		}
		if seen++; len(r.conditions) > before && seen > 1 {
			a.out.Nearly(e.at, "one more way into the state %q: here one of the ways is enough, whatever the state before", s.name)
		}
	}
	if seen == 0 {
		if wrong != nil {
			a.out.Not(s.raw.At, "the state %q was not taken over: what leads to it has no counterpart", s.name)
		}
		return
	}
	if silences > 0 && seen > silences {
		a.out.Not(s.raw.At, "the state %q begins by silence and in other ways; only the silence was taken over. Write another rule for the others", s.name)
	}
	a.exits(r, s, alarms)
	a.add(r, s, alarms)
}

// enters reads one way into an alarm.
func (a *analysis) enters(r *alert, e *event) error {
	q := a.asked(e)
	switch {
	case q.timer != "" && a.isWait(e.from):
		return a.held(r, e, q)
	case q.timer != "":
		return a.silence(r, e, q)
	case q.counter != nil:
		return a.counted(r, e, q)
	}
	expr, err := r.all(q)
	if err == nil {
		r.conditions = appendNew(r.conditions, expr)
	}
	return err
}

// all is the plain part of a condition.
func (r *alert) all(q asked) (any, error) {
	if q.input != "" && r.feed == "" {
		r.feed = q.input
	}
	if q.input != "" && r.feed != q.input {
		r.note("currentInput(%q): here samples of each input are judged", q.input)
	}
	var out []any
	for _, part := range q.plain {
		expr, err := r.logic(part)
		if err != nil {
			return nil, err
		}
		out = append(out, expr)
	}
	return importer.All(out...), nil
}

// held reads a way through a state that waits.
func (a *analysis) held(r *alert, e *event, q asked) error {
	w := e.from
	for _, into := range a.into(w) {
		way := a.asked(into)
		if way.timer != "" || way.counter != nil {
			return fmt.Errorf("the wait in the state %q begins by a timer or a count", w.name)
		}
		expr, err := r.all(way)
		if err != nil {
			return err
		}
		r.conditions = appendNew(r.conditions, expr)
	}
	began := importer.Any(r.conditions...)
	if last, err := r.all(q); err != nil {
		return err
	} else if last != any(true) && importer.Text(last) != importer.Text(began) {
		a.out.Nearly(e.at, "the original asks once more when the wait ends; here what began the wait has to hold all the time")
	}
	r.hold = a.timer(q.timer)
	if r.hold <= 0 {
		return fmt.Errorf("the timer %q has no length that is a number", q.timer)
	}
	var ends []any
	for _, out := range w.transitions {
		if out == e {
			continue
		}
		expr, err := r.all(a.asked(out))
		if err != nil {
			return err
		}
		ends = append(ends, expr)
	}
	if importer.Text(importer.Any(ends...)) != importer.Text(importer.Negate(began)) {
		a.out.Nearly(w.raw.At, "the wait in the state %q ends otherwise than by what began it being false; here it ends so", w.name)
	}
	a.clocks(q.timer)
	a.out.Exactly(w.raw.At, "the state %q and its timer of %d s: \"for\"", w.name, r.hold)
	return nil
}

// clocks notes where a timer is more than one that begins and runs out.
func (a *analysis) clocks(timer string) {
	length := a.timer(timer)
	for _, e := range a.events() {
		for _, x := range e.actions {
			if x.kind != "setTimer" || x.named() != timer {
				continue
			}
			if x.seconds() != length {
				a.out.Nearly(x.key, "the timer %q has another length here, %d s; %d s count", timer, x.seconds(), length)
			}
			if e.next == "" && len(a.asked(e).plain) > 0 {
				a.out.Nearly(e.at, "the timer %q is set under a condition; here it runs always", timer)
			}
		}
	}
}

// silence reads a timer that messages begin anew.
func (a *analysis) silence(r *alert, e *event, q asked) error {
	var lives []*event
	for _, i := range append(slices.Clone(e.from.input), e.from.transitions...) {
		if i.times(q.timer) {
			lives = append(lives, i)
		}
	}
	r.absent = a.timer(q.timer)
	switch {
	case len(lives) == 0:
		r.absent = 0
		return fmt.Errorf("the timer %q runs from when the state %q began, whatever comes; want a rule of another kind", q.timer, e.from.name)
	case r.absent <= 0:
		return fmt.Errorf("the timer %q has no length that is a number", q.timer)
	}
	for _, life := range lives {
		expr, err := r.all(a.asked(life))
		if err != nil {
			return err
		}
		if expr != any(true) {
			r.conditions = appendNew(r.conditions, expr)
		}
	}
	a.clocks(q.timer)
	a.out.Exactly(e.at, "the timer %q, begun anew by messages: \"absent\" for %d s", q.timer, r.absent)
	return nil
}

// exits reads how an alarm ends.
func (a *analysis) exits(r *alert, s *state, alarms []*state) {
	began := importer.Any(r.conditions...)
	ways := 0
	for _, e := range s.transitions {
		next := a.state(e.next)
		if e.wrong != nil || next == nil || next == s {
			continue
		}
		if slices.Contains(alarms, next) && rank(severityOf(next)) > rank(severityOf(s)) {
			r.inhibited = appendNew(r.inhibited, importer.Slug(next.name))
			a.out.Nearly(e.at, "the state %q ends when %q begins; here both alerts may fire, and the worse one keeps the other quiet", s.name, next.name)
			continue
		}
		ways++
		q := a.asked(e)
		if q.timer != "" && slices.Contains(alarms, next) && e != a.leaves(s) {
			a.out.Nearly(e.at, "the state %q ends when the silence of %q begins; here it goes on firing beside it", s.name, next.name)
			continue
		}
		if q.timer != "" {
			a.out.Not(e.at, "the state %q ends %d s after it began, whatever the samples say; here it ends when its conditions are false", s.name, a.timer(q.timer))
			continue
		}
		expr, err := r.all(q)
		if err != nil {
			a.out.Not(e.at, "the transition %q from %q: %w; here the alert ends when its conditions are false", e.name, s.name, err)
			continue
		}
		if q.counter != nil {
			a.slowly(r, s, e, q, expr)
		}
		if a.isRecovery(next) {
			r.recover = a.timer(a.asked(a.leaves(next)).timer)
			a.out.Exactly(next.raw.At, "the state %q and its timer of %d s: \"clearFor\"", next.name, r.recover)
		}
		if r.absent > 0 {
			if expr != any(true) && importer.Text(expr) != importer.Text(began) {
				a.out.Nearly(e.at, "the silence ends when something is true in the original; here with the next sample")
			}
			continue
		}
		if expr == any(true) && q.counter != nil {
			continue
		}
		r.clear = appendNew(r.clear, expr)
	}
	switch {
	case r.absent > 0:
		r.clear = nil
	case ways == 0:
		r.clear = []any{false}
		a.out.Nearly(s.raw.At, "nothing leads out of the state %q: the alert stays until somebody clears it", s.name)
	case len(r.clear) == 0:
	case importer.Text(importer.Any(r.clear...)) == importer.Text(importer.Negate(began)):
		r.clear = nil
	case !importer.Disjoint(began, importer.Any(r.clear...)):
		a.out.Nearly(s.raw.At, "where what begins the state %q and what ends it are both true, the alert goes on here; the original goes back and forth", s.name)
	}
}
