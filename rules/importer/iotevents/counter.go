package iotevents

import (
	"fmt"
	"strconv"

	"tocsin.internal/rules/importer"
)

func number(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64)
	return n
}

// counter is how a variable changes while the detector is in a state.
type counter struct {
	start  float64
	step   float64 // added by each message that counts
	counts *event  // which does
	resets []*event
}

// counter finds out how a variable is counted in a state. A state that counts in
// two directions is none.
func (a *analysis) counter(s *state, variable string) (counter, error) {
	c := counter{start: a.start(s, variable)}
	for _, e := range s.input {
		value := e.sets(variable)
		if value == nil {
			continue
		}
		if _, ok := value.(literal); ok {
			c.resets = append(c.resets, e)
			continue
		}
		step, ok := stepOf(value, variable)
		switch {
		case !ok:
			return c, fmt.Errorf("$variable.%s is set to more than itself and a number", variable)
		case c.counts != nil:
			return c, fmt.Errorf("$variable.%s is counted in two ways; rules have no variables", variable)
		}
		c.step, c.counts = step, e
	}
	if c.counts == nil {
		return c, fmt.Errorf("$variable.%s is compared and not counted in the state %q; rules have no variables", variable, s.name)
	}
	return c, nil
}

// start is what the variable is when the state begins.
func (a *analysis) start(s *state, variable string) float64 {
	for _, e := range append(append([]*event{}, s.enter...), a.into(s)...) {
		if l, ok := e.sets(variable).(literal); ok {
			return number(l.text)
		}
	}
	for _, e := range s.input { // what it is set back to
		if l, ok := e.sets(variable).(literal); ok {
			return number(l.text)
		}
	}
	return 0
}

// stepOf is d of $variable.x + d and $variable.x - d.
func stepOf(value expression, variable string) (float64, bool) {
	o, ok := value.(operation)
	if !ok || len(o.operands) != 2 || o.operator != "+" && o.operator != "-" {
		return 0, false
	}
	left, right := o.operands[0], o.operands[1]
	if _, ok := left.(literal); ok && o.operator == "+" {
		left, right = right, left
	}
	v, isVariable := left.(reference)
	l, isNumber := right.(literal)
	if !isVariable || !isNumber || v.of != "variable" || v.name != variable || l.kind != numeral {
		return 0, false
	}
	if o.operator == "-" {
		return -number(l.text), true
	}
	return number(l.text), true
}

// maxCount is how many messages a count may take.
const maxCount = 10_000

// messages is at which message that counts the comparison becomes true; 0: never.
// A transition that is judged with all others sees the variable as it was before
// the message.
func (c *counter) messages(with *compared, serial bool) int {
	value := c.start
	for n := 1; n <= maxCount; n++ {
		if serial {
			value += c.step
		}
		if importer.Holds(with.operator, value, with.with) {
			return n
		}
		if !serial {
			value += c.step
		}
	}
	return 0
}

// counted reads a way into an alarm that a count opens.
func (a *analysis) counted(r *alert, e *event, q asked) error {
	c, err := a.counter(e.from, q.counter.variable)
	if err != nil {
		return err
	}
	what, err := r.all(a.asked(c.counts))
	if err != nil {
		return err
	}
	beside, err := r.all(q)
	if err != nil {
		return err
	}
	n := c.messages(q.counter, a.serial)
	if n == 0 {
		return fmt.Errorf("$variable.%s never gets there", q.counter.variable)
	}
	if beside == any(true) && !a.serial && n > 1 {
		n-- // the message that makes the transition need not count itself
		a.out.Nearly(e.at, "the original acts with the message after the %d that count, whatever it says; here the last of them does", n)
	} else if beside != any(true) && importer.Text(beside) != importer.Text(what) {
		a.out.Nearly(e.at, "what counts and what makes the transition are not the same; here both have to be true on each of %d samples", n)
	}
	r.conditions, r.count = appendNew(r.conditions, importer.All(what, beside)), max(r.count, n)
	a.resets(r, c, what, e, n)
	return nil
}

// resets says whether a count is of messages in a row.
func (a *analysis) resets(r *alert, c counter, what any, e *event, n int) {
	if len(c.resets) == 0 {
		r.anywhere = true
		a.out.Nearly(e.at, "a count of %d that nothing sets back: here those of the last 366 days count, which is the longest time there is", n)
		return
	}
	var back []any
	for _, reset := range c.resets {
		if expr, err := r.all(a.asked(reset)); err == nil {
			back = append(back, expr)
		}
	}
	if importer.Text(importer.Any(back...)) != importer.Text(importer.Negate(what)) {
		a.out.Nearly(e.at, "the count is set back otherwise than by a message that does not count; here %d in a row are wanted", n)
		return
	}
	a.out.Exactly(e.at, "a count of %d messages in a row: \"repeat\"", n)
}

// slowly notes a way out of an alarm that a count opens.
func (a *analysis) slowly(r *alert, s *state, e *event, q asked, expr any) {
	c, err := a.counter(s, q.counter.variable)
	n := 0
	if err == nil {
		n = c.messages(q.counter, a.serial)
	}
	if n == 0 {
		a.out.Not(e.at, "the way out of the state %q by $variable.%s has no counterpart; here the first message that says so ends it", s.name, q.counter.variable)
		return
	}
	if expr == any(true) {
		if what, err := r.all(a.asked(c.counts)); err == nil {
			r.clear = appendNew(r.clear, what)
		}
	}
	if n > 1 {
		a.out.Nearly(e.at, "the original leaves the state %q with message %d in a row that says so; here the first one ends the alert. Write \"clearFor\" with the time that %d messages take", s.name, n, n-1)
	}
}
