package iotevents

import (
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/importer"
)

// comparisons of simple alarm rules.
var comparisons = map[string]string{
	"GREATER": ">", "GREATER_OR_EQUAL": ">=", "LESS": "<", "LESS_OR_EQUAL": "<=", "EQUAL": "==", "NOT_EQUAL": "!=",
}

// alarm imports an alarm model: a threshold with a severity.
func (d *reader) alarm(r, rule strictjson.Raw, fallback string, o importer.Options) {
	name := first(d.text(member(r, "alarmModelName"), "the name"), fallback, "alarm")
	a := &analysis{
		model: &model{raw: r, name: name, key: d.text(member(r, "key"), "the key"), comment: d.text(member(r, "alarmModelDescription"), "the description")},
		out:   d.out, options: o, ids: map[string]bool{},
	}
	simple := member(rule, "simpleRule")
	if simple.IsZero() {
		d.out.Not(rule.At, "the alarm model %q has no simple rule; nothing was taken over", name)
		return
	}
	read := &reading{}
	operator := d.text(member(simple, "comparisonOperator"), "the comparison")
	property, propertyErr := parse(d.text(member(simple, "inputProperty"), "the property"))
	threshold, thresholdErr := parse(d.text(member(simple, "threshold"), "the threshold"))
	if propertyErr != nil || thresholdErr != nil || comparisons[operator] == "" {
		d.out.Not(simple.At, "the rule cannot be read: want a property of an input, a comparison and a threshold")
		return
	}
	left, leftErr := read.logic(property)
	right, rightErr := read.logic(threshold)
	if leftErr != nil || rightErr != nil || read.feed == "" {
		d.out.Not(simple.At, "the rule cannot be read: the property or the threshold has no counterpart")
		return
	}
	const severity = "major"
	id := importer.Slug(name)
	body := append(a.head(id, severity, read), importer.Member{Name: "conditions", Value: importer.Conditions(importer.Op(comparisons[operator], left, right))})
	capabilities := member(r, "alarmCapabilities")
	if enabled := member(member(capabilities, "acknowledgeFlow"), "enabled"); enabled.Any() == true {
		body = append(body, importer.Member{Name: "ackRequired", Value: true})
		d.out.Exactly(enabled.At, "the flow of acknowledgement: \"ackRequired\"")
	}
	body = append(body,
		importer.Member{Name: "summary", Value: "{{twin}}: " + name},
		importer.Member{Name: "description", Value: "From the alarm model " + name + "."},
	)
	if written := member(r, "severity"); !written.IsZero() {
		body = append(body, importer.Member{Name: "labels", Value: importer.Object{{Name: "severity", Value: string(written.Text())}}})
		d.out.Nearly(written.At, "the severity %s is a number without a meaning of its own; the alert has %q, and the number as a label", written.Text(), severity)
	} else {
		d.out.Nearly(r.At, "no severity; the alert has %q", severity)
	}
	a.rules = importer.List{importer.Object{{Name: "alert", Value: body}}}
	d.out.Exactly(simple.At, "the rule: the alert %q", id)
	d.notTaken(r, capabilities)
	a.write()
}

// notTaken notes what of an alarm model is not of its rule.
func (d *reader) notTaken(r, capabilities strictjson.Raw) {
	for _, x := range member(member(r, "alarmEventActions"), "alarmActions").Elems() {
		for _, m := range x.Members() {
			a := action{raw: m.Value, key: m.Key, kind: m.Name}
			d.out.Not(m.Key, "%s: rules name no receivers; %s", describe(a), mend(m.Name))
		}
	}
	if n := member(r, "alarmNotification"); !n.IsZero() {
		d.out.Not(n.At, "whom the alarm notifies: rules name no receivers; %s", mend("sns"))
	}
	if off := member(member(capabilities, "initializationConfiguration"), "disabledOnInitialization"); off.Any() == true {
		d.out.Nearly(off.At, "the original is disabled until somebody enables it for each key; here it decides from the start. Write \"enabled\": false where that is not wanted")
	}
}
