package thingsboard

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/duration"
	"tocsin.internal/rules/importer"
)

// profile is a device profile, or an alarm rule on its own.
type profile struct {
	out     *importer.Result
	options importer.Options
	raw     strictjson.Raw
	name    string
	keys    []string // of the telemetry that is read
	ids     map[string]bool
	rules   importer.List
}

const source = "devices"

func (p *profile) did() string {
	if p.options.Model != "" {
		return p.options.Model
	}
	return "urn:thingsboard:profile:" + importer.Slug(p.name)
}

func (p *profile) feed() string {
	if p.options.Feed != "" {
		return p.options.Feed
	}
	return "telemetry"
}

func (p *profile) write() {
	if len(p.rules) == 0 {
		p.out.Not(p.raw.At, "nothing of %q could be taken over as a rule", p.name)
		return
	}
	if p.options.Model != "" {
		p.out.Exactly(p.raw.At, "which twins: those made from the model %q, with their telemetry on the feed %q", p.did(), p.feed())
	} else {
		p.out.Nearly(p.raw.At, "which twins: those made from the model %q, with their telemetry on the feed %q. Give the twins that model, or say others with --model and --feed", p.did(), p.feed())
	}
	feed := importer.Object{{Name: "id", Value: p.feed()}}
	var keys importer.List
	for _, key := range p.keys {
		keys = append(keys, key)
	}
	dotted := slices.ContainsFunc(p.keys, func(key string) bool { return strings.Contains(key, ".") })
	if len(keys) > 0 && !dotted { // a declared field with a dot is one of an object
		feed = append(feed, importer.Member{Name: "fieldIds", Value: keys})
	}
	label := p.name + " (from ThingsBoard)"
	p.out.Add(p.raw.At, importer.Slug(p.name), importer.Object{
		{Name: "label", Value: label},
		{Name: "sources", Value: importer.List{importer.Object{{Name: "id", Value: source}, {Name: "modelDid", Value: p.did()}, {Name: "feeds", Value: importer.List{feed}}}}},
		{Name: "rules", Value: p.rules},
	})
}

// severities from the worst, in which order the rules of an alarm are asked.
var severities = []struct{ theirs, ours string }{
	{"CRITICAL", "critical"}, {"MAJOR", "major"}, {"MINOR", "minor"}, {"WARNING", "warning"}, {"INDETERMINATE", "info"},
}

// rule is one create rule or the clear rule of an alarm.
type rule struct {
	raw      strictjson.Raw
	severity string // ours
	*reading
	when     any
	hold     time.Duration
	count    int
	silent   time.Duration
	schedule importer.Object
	details  string
}

// alarm imports one alarm: create rules by severity and perhaps a clear rule.
func (p *profile) alarm(r strictjson.Raw, name string, arguments []strictjson.Member) {
	if name == "" {
		name = "alarm"
	}
	var rules []*rule
	create := r.Member("createRules")
	for _, m := range create.Members() {
		if !slices.ContainsFunc(severities, func(s struct{ theirs, ours string }) bool { return s.theirs == m.Name }) {
			p.out.Not(m.Key, "no severity %q; want CRITICAL, MAJOR, MINOR, WARNING or INDETERMINATE", m.Name)
		}
	}
	for _, s := range severities {
		m := create.Member(s.theirs)
		if m.Kind() != strictjson.Object {
			continue
		}
		made, err := p.rule(m, arguments)
		if err != nil {
			p.out.Not(m.At, "the rule for %s of %q: %w", s.theirs, name, err)
			continue
		}
		made.severity = s.ours
		rules = append(rules, made)
	}
	if len(rules) == 0 {
		p.out.Not(r.At, "the alarm %q was not taken over: none of its create rules has a counterpart", name)
		return
	}
	over := p.clear(r.Member("clearRule"), name, arguments)
	if len(rules) > 1 && alike(rules) {
		p.levels(r, name, rules, over)
	} else {
		p.apart(r, name, rules, over)
	}
	p.flags(r)
}

// clear reads the clear rule; nil when there is none, or none that has a
// counterpart.
func (p *profile) clear(r strictjson.Raw, name string, arguments []strictjson.Member) *rule {
	if r.Kind() != strictjson.Object {
		return nil
	}
	over, err := p.rule(r, arguments)
	if err == nil && over.silent > 0 {
		err = fmt.Errorf("silence clears nothing here")
	}
	if err != nil {
		p.out.Not(r.At, "the clear rule of %q: %w; the alert ends when its conditions are false", name, err)
		return &rule{reading: &reading{}}
	}
	if over.count > 1 {
		p.out.Nearly(r.At, "the clear rule asks for %d messages in a row; here the first one ends the alert. Write \"clearFor\" with the time that they take", over.count)
	}
	if over.schedule != nil {
		p.out.Not(r.At, "the clear rule has hours; here it counts at any time")
	}
	return over
}

// alike says whether rules differ in their conditions only, so that they are
// levels of one alert.
func alike(rules []*rule) bool {
	first := importer.Text(rules[0].schedule)
	for _, r := range rules {
		if r.hold > 0 || r.count > 1 || r.silent > 0 || importer.Text(r.schedule) != first {
			return false
		}
	}
	return true
}

// levels makes one alert of rules that are alike.
func (p *profile) levels(at strictjson.Raw, name string, rules []*rule, over *rule) {
	least := rules[len(rules)-1]
	shared := &reading{}
	var levels importer.List
	var begins []any
	for _, r := range slices.Backward(rules) {
		levels = append(levels, importer.Object{{Name: "severity", Value: r.severity}, {Name: "jsonLogic", Value: r.when}})
		begins = append(begins, r.when)
		shared.merge(r.reading)
	}
	body := p.head(name, "", least.severity, shared.withClear(over))
	body = append(body, importer.Member{Name: "levels", Value: levels}, importer.Member{Name: "lowering", Value: false})
	body = p.tail(body, at, importer.Any(begins...), least, over)
	id := body[0].Value
	for _, r := range rules {
		p.out.Exactly(r.raw.At, "the level %q of the alert %q", r.severity, id)
	}
	p.add(body, name, rules[0], shared)
}

// apart makes an alert of each rule; the worse keeps the others quiet.
func (p *profile) apart(at strictjson.Raw, name string, rules []*rule, over *rule) {
	var worse importer.List
	for _, r := range rules {
		suffix := ""
		if len(rules) > 1 {
			suffix = r.severity
		}
		body := p.head(name, suffix, r.severity, (&reading{}).merge(r.reading).withClear(over))
		if r.when != nil {
			body = append(body, importer.Member{Name: "conditions", Value: importer.Conditions(r.when)})
		}
		if r.hold > 0 {
			body = append(body, importer.Member{Name: "for", Value: duration.Text(r.hold)})
		}
		if r.count > 1 {
			body = append(body, importer.Member{Name: "repeat", Value: importer.Object{{Name: "count", Value: r.count}}})
		}
		if r.silent > 0 {
			body = append(body, importer.Member{Name: "absent", Value: importer.Object{{Name: "for", Value: duration.Text(r.silent)}}})
		}
		body = p.tail(body, at, r.when, r, over)
		if len(worse) > 0 {
			body = append(body, importer.Member{Name: "inhibitedBy", Value: slices.Clone(worse)})
		}
		worse = append(worse, body[0].Value)
		p.out.Exactly(r.raw.At, "the alert %q", body[0].Value)
		p.add(body, name, r, r.reading)
	}
	if len(rules) > 1 {
		p.out.Nearly(at.At, "%q is one alarm whose severity rises; here each severity is an alert of its own, and the worse one keeps the others quiet, because their rules differ in more than their conditions", name)
	}
}

// head is the beginning of an alert.
func (p *profile) head(name, suffix, severity string, r *reading) importer.Object {
	id := importer.Slug(name)
	if suffix != "" {
		id += "-" + suffix
	}
	body := importer.Object{
		{Name: "id", Value: importer.Unique(id, p.ids)},
		{Name: "severity", Value: severity},
		{Name: "sourceId", Value: source},
		{Name: "sourceFeedId", Value: p.feed()},
	}
	for _, key := range r.keys {
		if !slices.Contains(p.keys, key) {
			p.keys = append(p.keys, key)
		}
	}
	if enrich := r.enrichment(); enrich != nil {
		body = append(body, importer.Member{Name: "enrich", Value: enrich})
	}
	if len(r.keys) > 1 {
		body = append(body, importer.Member{Name: "onMissing", Value: "lastKnown"})
	}
	return body
}

// tail is when an alert ends, and its hours.
func (p *profile) tail(body importer.Object, at strictjson.Raw, began any, r, over *rule) importer.Object {
	switch {
	case r.silent > 0:
		if over != nil {
			p.out.Nearly(at.At, "silence ends with the next message; the clear rule was not taken over for it")
		}
	case over == nil:
		body = append(body, importer.Member{Name: "clearCondition", Value: importer.Logic(false)})
		p.out.Exactly(at.At, "no clear rule: the alert stays until somebody clears it")
	case over.when == nil:
	case importer.Text(over.when) != importer.Text(importer.Negate(began)):
		body = append(body, importer.Member{Name: "clearCondition", Value: importer.Logic(over.when)})
		fallthrough
	default:
		if over.hold > 0 {
			body = append(body, importer.Member{Name: "clearFor", Value: duration.Text(over.hold)})
		}
		if over.count <= 1 && over.schedule == nil {
			p.out.Exactly(over.raw.At, "the clear rule")
		}
	}
	if r.schedule != nil {
		body = append(body, importer.Member{Name: "schedule", Value: r.schedule})
		p.out.Nearly(r.raw.At, "the hours: here an alert ends when they end, and begins when they begin where the last sample says so; there it stays, and begins with a message")
	}
	return body
}

// add puts the texts behind an alert, and the alert among the rules.
func (p *profile) add(body importer.Object, name string, r *rule, read *reading) {
	body = append(body, importer.Member{Name: "summary", Value: "{{twin}}: " + strings.NewReplacer("{{", "{", "}}", "}").Replace(name)})
	body = append(body, importer.Member{Name: "description", Value: p.details(r)})
	p.rules = append(p.rules, importer.Object{{Name: "alert", Value: body}})
	for _, note := range read.notes {
		p.out.Nearly(r.raw.At, "%s", note)
	}
	for _, loss := range read.losses {
		p.out.Not(r.raw.At, "%s", loss)
	}
}

var placeholder = regexp.MustCompile(`\$\{([^{}]+)\}`)

// details are the alarm's details as a description.
func (p *profile) details(r *rule) string {
	text := "From the alarm rules of " + p.name + "."
	if r.details == "" {
		return text
	}
	details := placeholder.ReplaceAllStringFunc(r.details, func(found string) string {
		key := found[2 : len(found)-1]
		if strings.Contains(key, ".") || !slices.Contains(p.keys, key) {
			p.out.Nearly(r.raw.At, "the details name %s, which no condition reads; here it is a text", found)
			return key
		}
		return "{{" + key + "}}"
	})
	return details + " (" + text + ")"
}

// flags notes what is about other entities than the device.
func (p *profile) flags(r strictjson.Raw) {
	for _, name := range []string{"propagate", "propagateToOwner", "propagateToOwnerHierarchy", "propagateToTenant"} {
		if m := r.Member(name); m.Any() == true {
			p.out.Not(m.At, "%s: an alert is of its twin alone; a route of the configuration or a label can group alerts", name)
		}
	}
	for _, m := range append(r.Member("createRules").Members(), strictjson.Member{Value: r.Member("clearRule")}) {
		if dashboard := m.Value.Member("dashboardId"); dashboard.Kind() == strictjson.Object || dashboard.Kind() == strictjson.String {
			p.out.Not(dashboard.At, "the dashboard: write its address as \"runbook\"")
		}
	}
}
