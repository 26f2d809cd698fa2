package letter

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/rules"
)

// Data is an outcome as templates see it: its JSON, with every name that some
// outcome has, so that a template can be used for all. What does not apply is "",
// 0, false or empty. alerts are those of a group, or the one alert.
func Data(o *rules.Outcome) map[string]any {
	data := blank()
	overlay(data, decoded(o.AppendJSON(nil)))
	data["event"], data["eventId"] = o.Event(), o.EventID()
	switch {
	case o.Kind == rules.Alert:
		alone := maps.Clone(data)
		delete(alone, "alerts")
		data["alerts"] = []any{alone}
		data[o.State] = number(1)
		data["status"] = orElse(o.State, data["status"])
	case alerts.IsGroup(o):
		group, _ := data["data"].(map[string]any)
		overlay(data, group)
		data["data"], data["state"] = map[string]any{}, data["status"]
		data["alerts"] = listed(group["alerts"])
		data["severity"] = worst(data["alerts"].([]any))
	}
	if data["summary"] == "" {
		data["summary"] = summary(data)
	}
	return data
}

// Summary is an outcome in a few words: an alert's own, or what stands for it.
func Summary(o *rules.Outcome) string { return text(Data(o)["summary"]) }

// blank has every name.
func blank() map[string]any {
	data := map[string]any{}
	for _, name := range []string{
		"kind", "event", "id", "eventId", "interaction", "rule", "twin", "feed", "topic", "mode", "state", "status", "severity", "severityLabel",
		"previousSeverity", "occurredAt", "startsAt", "endsAt", "pendingSince", "summary", "description", "runbook", "reason", "by", "comment",
		"key", "fingerprint", "condition", "revision", "op", "color", "note", "onTwin", "onExisting", "onRemove", "account",
	} {
		data[name] = ""
	}
	for _, name := range []string{"seq", "firing", "resolved", "suppressed", "truncated", "validity_ts"} {
		data[name] = number(0)
	}
	for _, name := range []string{"latched", "flapping", "own"} {
		data[name] = false
	}
	for _, name := range []string{"labels", "groupLabels", "data", "publish", "body"} {
		data[name] = map[string]any{}
	}
	data["notify"] = true
	data["alerts"], data["recipients"] = []any{}, []any{}
	data["ack"] = map[string]any{"required": false, "state": "", "by": "", "at": "", "comment": ""}
	data["suppression"] = map[string]any{"by": "", "until": "", "person": "", "comment": "", "rules": []any{}}
	data["counts"] = map[string]any{"samples": number(0), "raises": number(0), "repeats": number(0), "suppressed": number(0)}
	data["cause"] = map[string]any{"seq": number(0), "index": number(0), "ordinal": number(0), "count": number(0), "hops": number(0)}
	return data
}

// knownFields are the names of Data and of the objects in it, in their order.
func knownFields() []string {
	var names []string
	for name, value := range blank() {
		names = append(names, name)
		if members, ok := value.(map[string]any); ok {
			names = slices.AppendSeq(names, maps.Keys(members))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// overlay puts the members of an object over those that are there; a null
// leaves them.
func overlay(data, members map[string]any) {
	for name, value := range members {
		if value == nil {
			continue
		}
		in, isObject := value.(map[string]any)
		there, known := data[name].(map[string]any)
		if isObject && known && len(there) > 0 {
			overlay(there, in)
			continue
		}
		data[name] = value
	}
}

// worst is the severity of the worst of the alerts that fire, or of all where
// none does.
func worst(list []any) string {
	firing, all := "", ""
	for _, e := range list {
		alert := e.(map[string]any)
		severity := text(alert["severity"])
		if alerts.Rank(severity) > alerts.Rank(all) {
			all = severity
		}
		if alert["state"] == rules.StateFiring && alerts.Rank(severity) > alerts.Rank(firing) {
			firing = severity
		}
	}
	return cmp.Or(firing, all)
}

// listed are the alerts of a group, each with every name.
func listed(list any) []any {
	in, _ := list.([]any)
	out := make([]any, 0, len(in))
	for _, e := range in {
		members, ok := e.(map[string]any)
		if !ok {
			continue
		}
		one := blank()
		delete(one, "alerts")
		overlay(one, members)
		out = append(out, one)
	}
	return out
}

// decoded is JSON of our own with its numbers.
func decoded(text []byte) map[string]any {
	var members map[string]any
	if json.Unmarshal(text, &members) != nil {
		return nil // a name that is not UTF-8 was replaced; there is nothing else
	}
	return numbered(members).(map[string]any)
}

func numbered(v any) any {
	switch v := v.(type) {
	case float64:
		return number(v)
	case []any:
		for i := range v {
			v[i] = numbered(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = numbered(v[name])
		}
	}
	return v
}

func sortedKeys(members map[string]any) []any {
	var names []any
	for _, name := range slices.Sorted(maps.Keys(members)) {
		names = append(names, name)
	}
	return names
}

// sample is an outcome that templates are tried with.
type sample struct {
	name    string
	outcome rules.Outcome
}

// sampleTime is when the samples happened.
var sampleTime = time.Date(2026, 11, 2, 8, 1, 0, 0, time.UTC)

// samples are outcomes of the kinds, of every kind when none is given.
func samples(kinds []rules.Kind) []sample {
	all := []sample{
		{"an alert that fires", sampleAlert(rules.EventRaised, map[string]string{"site": "brno"})},
		{"an alert without labels", sampleAlert(rules.EventRaised, nil)},
		{"an alert that is resolved", sampleAlert(rules.EventCleared, nil)},
		{"a group of alerts", sampleGroup()},
		{"a notification of a rule", rules.Outcome{
			Kind: rules.Notification, Interaction: "overheating", Rule: "tell", Twin: "machine_1", At: sampleTime, Topic: "heat", Data: []byte(`{}`), Notice: &rules.Notice{Topic: "heat", Body: []byte(`{}`)},
		}},
		{"an output", rules.Outcome{Kind: rules.Output, Interaction: "overheating", Rule: "status", Twin: "machine_1_status", Feed: "temperature_status", At: sampleTime, Data: []byte(`{}`)}},
		{"a sticker", rules.Outcome{
			Kind: rules.Sticker, Interaction: "overheating", Rule: "tag", Twin: "machine_1", Feed: "red", At: sampleTime, Data: []byte(`{}`),
			Sticker: &rules.StickerChange{Op: rules.PutSticker, Twin: "machine_1", Color: "red"},
		}},
		{"a command", rules.Outcome{Kind: rules.Command, Interaction: "overheating", Rule: "stop", Twin: "machine_1", Feed: "stop", At: sampleTime, Data: []byte(`{}`)}},
	}
	if len(kinds) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(s sample) bool { return !slices.Contains(kinds, s.outcome.Kind) })
}

func sampleAlert(event string, labels map[string]string) rules.Outcome {
	o := rules.Outcome{
		Kind: rules.Alert, Interaction: "overheating", Rule: "too-hot", Twin: "machine_1", At: sampleTime, Data: []byte(`{}`), Seq: 17,
		ID: "al_55n8fqhnwb2bt0rfhw83whrv71", State: rules.StateFiring, Severity: "critical", Starts: sampleTime, Summary: "machine_1 is at 31.2",
		Labels: labels, Reason: rules.ReasonCondition,
		Life: &rules.Life{Number: 1, Event: event, Key: "overheating|too-hot|machine_1||", Status: rules.StatusFiring, Active: true, Label: "critical"},
	}
	if event == rules.EventCleared {
		o.State, o.Ends, o.Life.Status, o.Life.Active, o.Life.Number = rules.StateResolved, sampleTime, rules.StatusClosed, false, 2
	}
	return o
}

func sampleGroup() rules.Outcome {
	fires, over := sampleAlert(rules.EventRaised, nil), sampleAlert(rules.EventCleared, nil)
	b := []byte(`{"status":"firing","groupLabels":{},"firing":1,"resolved":1,"suppressed":0,"truncated":0,"alerts":[`)
	b = over.AppendJSON(append(fires.AppendJSON(b), ','))
	return rules.Outcome{Kind: rules.Notification, Topic: "heat", At: sampleTime, Seq: 1, ID: "nt_1b0a3f5c7d9e2b4a6c8d0e1f2a3b4c5d_1", Data: append(b, "]}"...)}
}

// summary stands for the one that only alerts have.
func summary(data map[string]any) string {
	if len(data["alerts"].([]any)) > 0 || truth(data["groupLabels"]) || data["firing"] != number(0) || data["resolved"] != number(0) {
		return groupSummary(data)
	}
	twin, says := data["twin"], text(data["data"])
	switch {
	case data["op"] != "": // to a sticker
		if data["onTwin"] != "" {
			twin = data["onTwin"]
		}
		says = fmt.Sprintf("%s %s", data["op"], data["color"])
		if data["note"] != "" {
			says += fmt.Sprintf(": %s", data["note"])
		}
	case data["kind"] == string(rules.Notification):
		says = fmt.Sprintf("%s: %s", data["topic"], text(data["body"]))
	}
	cut, _ := truncate(200, fmt.Sprintf("%s of %s: %s", data["kind"], twin, says))
	return cut
}

func groupSummary(data map[string]any) string {
	s := fmt.Sprintf("%v firing", data["firing"])
	if data["resolved"] != number(0) {
		s += fmt.Sprintf(", %v resolved", data["resolved"])
	}
	labels, _ := data["groupLabels"].(map[string]any)
	var parts []any
	for _, name := range sortedKeys(labels) {
		if v := text(labels[name.(string)]); v != "" {
			parts = append(parts, v)
		}
	}
	if len(parts) == 0 {
		parts = append(parts, data["topic"])
	}
	in, _ := join(" ", parts)
	return s + ": " + in
}
