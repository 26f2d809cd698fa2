// Package thingsboard makes interactions of the alarm rules of ThingsBoard: those
// of device profiles as they are exported, and those that newer versions keep as
// calculated fields of the type ALARM.
package thingsboard

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
	if !each(raw, importer.NameOf(file), out, o) {
		out.Not(raw.At, "no alarm rules in it; want an exported device profile, or a calculated field of the type ALARM")
	}
	return out, nil
}

// each imports every profile and every alarm rule that a document has; name is for
// one that has none.
func each(r strictjson.Raw, name string, out *importer.Result, o importer.Options) (found bool) {
	for _, e := range r.Elems() {
		found = each(e, name, out, o) || found
	}
	if entity := r.Member("entity"); !entity.IsZero() {
		found = each(entity, name, out, o)
	}
	alarms, fields := r.Member("profileData").Member("alarms"), alarmFields(r)
	if alarms.Kind() != strictjson.Array && len(fields) == 0 {
		return found
	}
	p := &profile{out: out, options: o, raw: r, name: r.Member("name").Str(), ids: map[string]bool{}}
	if p.name == "" {
		p.name = name
	}
	for _, alarm := range alarms.Elems() {
		p.alarm(alarm, alarm.Member("alarmType").Str(), nil)
	}
	for _, field := range fields {
		settings := field.Member("configuration")
		p.alarm(settings, field.Member("name").Str(), settings.Member("arguments").Members())
	}
	p.write()
	return true
}

// alarmFields are the calculated fields that are alarm rules.
func alarmFields(r strictjson.Raw) (out []strictjson.Raw) {
	if isAlarmField(r) {
		return []strictjson.Raw{r}
	}
	for _, e := range r.Member("calculatedFields").Elems() {
		if isAlarmField(e) {
			out = append(out, e)
		}
	}
	return out
}

func isAlarmField(r strictjson.Raw) bool {
	settings := r.Member("configuration")
	return r.Member("type").Str() == "ALARM" && settings.Kind() == strictjson.Object || settings.Member("type").Str() == "ALARM"
}
