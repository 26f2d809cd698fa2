// Package iotevents makes interactions of the detector and alarm models of AWS
// IoT Events, as its API, `aws iotevents describe-…-model` and CloudFormation
// write them. A detector is a state machine with variables and timers; what of it
// is a threshold, a count, a wait or an absence has a counterpart here, and the
// report names what has none.
package iotevents

import (
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/importer"
)

// Import reads one file. The error is that it is no JSON; everything else is in
// the result.
func Import(file string, text []byte, o importer.Options) (*importer.Result, error) {
	raw, err := strictjson.Parse(file, text)
	if err != nil {
		return nil, err
	}
	out := &importer.Result{}
	d := &reader{out}
	found := d.each(raw, importer.NameOf(file), o)
	if !found {
		out.Not(raw.At, "no detector model and no alarm model in it; want what CreateDetectorModel, CreateAlarmModel, describe-detector-model, describe-alarm-model or CloudFormation (JSON) have")
	}
	return out, nil
}

// each imports every model that a document has; name is for one that has none.
func (d *reader) each(r strictjson.Raw, name string, o importer.Options) (found bool) {
	for _, e := range r.Elems() {
		found = d.each(e, name, o) || found
	}
	if resources := r.Member("Resources"); !resources.IsZero() {
		for _, m := range resources.Members() {
			if properties := m.Value.Member("Properties"); d.one(properties, m.Name, o) {
				found = true
			}
		}
		return found
	}
	for _, wrapper := range []string{"detectorModel", "alarmModel"} {
		if inner := r.Member(wrapper); !inner.IsZero() {
			r = inner
		}
	}
	return d.one(r, name, o) || found
}

// one imports a model; name is its name where it does not say one.
func (d *reader) one(r strictjson.Raw, name string, o importer.Options) bool {
	definition, rule := member(r, "detectorModelDefinition"), member(r, "alarmRule")
	switch {
	case !definition.IsZero():
		described := r
		if inner := member(r, "detectorModelConfiguration"); !inner.IsZero() {
			described = inner
		}
		m := d.model(described, definition)
		m.name = first(m.name, name, "detector")
		(&analysis{model: m, out: d.out, options: o}).run()
	case !rule.IsZero():
		d.alarm(r, rule, name, o)
	default:
		return false
	}
	return true
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
