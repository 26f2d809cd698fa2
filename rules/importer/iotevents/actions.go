package iotevents

import (
	"fmt"
	"slices"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/importer"
)

// messages makes alerts of the events of the quiet state that tell somebody
// without leaving it.
func (a *analysis) messages(alarms []*state) {
	for _, s := range a.states {
		for _, e := range s.input {
			if len(tellingOf(e)) == 0 || e.wrong != nil {
				continue
			}
			if slices.Contains(alarms, s) {
				a.out.Nearly(e.raw.At, "the event %q tells again while the state %q lasts; write \"repeatInterval\" where that is wanted", e.name, s.name)
				continue
			}
			a.message(e)
		}
	}
}

// message makes an alert of one event.
func (a *analysis) message(e *event) {
	r := &alert{reading: reading{constants: a.constants}}
	q := a.asked(e)
	var expr any
	var err error
	switch {
	case q.timer != "":
		err = fmt.Errorf("it hangs on a timer without a state of its own")
	case q.counter != nil:
		err = a.countedMessage(r, e, q)
		expr = importer.Any(r.conditions...)
	default:
		expr, err = r.all(q)
	}
	if err == nil && expr == any(true) {
		err = fmt.Errorf("it tells of every message; a rule decides something. The stream of the feed itself has every sample")
	}
	if err != nil {
		a.out.Not(e.at, "the event %q: %w", e.name, err)
		return
	}
	if r.feed == "" {
		r.feed = a.firstInput()
	}
	name := first(e.name, e.from.name)
	severity := severityIn(name)
	rule := a.head(importer.Unique(importer.Slug(name), a.ids), severity, &r.reading)
	rule = append(rule, importer.Member{Name: "conditions", Value: importer.Conditions(expr)})
	rule = r.appendCount(rule)
	if len(r.clear) > 0 {
		rule = append(rule, importer.Member{Name: "clearCondition", Value: importer.Logic(importer.Any(r.clear...))})
	}
	a.finish(rule, e.raw.At, name, severity, &r.reading)
	a.out.Nearly(e.raw.At, "the event %q tells at each message for which it is true; the alert tells once, and when it is over", e.name)
}

// tells notes the actions that tell somebody: whom, a rule does not say here.
func (a *analysis) tells(alarms []*state) {
	for _, e := range a.events() {
		for _, x := range tellingOf(e) {
			a.out.Not(x.key, "%s: rules name no receivers; %s", describe(x), mend(x.kind))
		}
		entering := slices.Contains(e.from.enter, e) && slices.Contains(alarms, e.from) && len(tellingOf(e)) > 0
		if entering && len(e.when) > 0 && e.wrong == nil {
			a.out.Nearly(e.at, "the event %q tells of the state %q only under this condition; here the alert tells of it always", e.name, e.from.name)
		}
	}
}

// countedMessage reads an event that tells when so many messages have counted; it
// is over when the count is set back.
func (a *analysis) countedMessage(r *alert, e *event, q asked) error {
	if err := a.counted(r, e, q); err != nil {
		return err
	}
	c, err := a.counter(e.from, q.counter.variable)
	if err != nil {
		return err
	}
	for _, reset := range c.resets {
		if expr, err := r.all(a.asked(reset)); err == nil && reset != e {
			r.clear = appendNew(r.clear, expr)
		}
	}
	if importer.Text(importer.Any(r.clear...)) == importer.Text(importer.Negate(importer.Any(r.conditions...))) {
		r.clear = nil
	}
	return nil
}

func tellingOf(e *event) (out []action) {
	for _, x := range e.actions {
		if !x.quietly() {
			out = append(out, x)
		}
	}
	return out
}

// targets are where the settings of an action say whom it tells.
var targets = []string{"targetArn", "functionArn", "mqttTopic", "queueUrl", "deliveryStreamName", "tableName", "inputName", "propertyAlias", "propertyId", "entryId"}

func describe(x action) string {
	for _, name := range targets {
		if m := member(x.raw, name); m.Kind() == strictjson.String {
			return fmt.Sprintf("the action %s to %q", x.kind, m.Str())
		}
	}
	return "the action " + x.kind
}

func mend(kind string) string {
	switch kind {
	case "iotTopicPublish":
		return `add a sink of the kind "nats" to the engine's configuration, or a webhook that publishes`
	case "iotEvents":
		return "an interaction may read the outputs of another one (\"modelDid\"); write a transformation"
	}
	return `add a sink to the engine's configuration: {"name": …, "kind": "webhook", "outcome": "alert", "with": {"url": …}}`
}
