package webhook

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"tocsin.internal/alerts"
	"tocsin.internal/rules"
	"tocsin.internal/sinks/letter"
)

// message is what is posted of an outcome.
type message struct {
	body        []byte
	contentType string
	header      map[string]string
}

// format makes a message of an outcome. Its error is one for good.
type format func(s *sink, o *rules.Outcome, now time.Time) (message, error)

// formats are the forms of Config.Format.
var formats = map[string]format{
	"outcome":      func(_ *sink, o *rules.Outcome, _ time.Time) (message, error) { return asJSON(o.AppendJSON(nil), nil) },
	"standard":     func(_ *sink, o *rules.Outcome, _ time.Time) (message, error) { return asJSON(standard(o), nil) },
	"cloudevents":  cloudEvent,
	"alertmanager": alertmanagerBody,
	"pagerduty":    pagerDutyEvent,
	"slack":        slackMessage,
	"teams":        teamsCard,
	"template":     written,
	"trustedtwin": func(_ *sink, o *rules.Outcome, now time.Time) (message, error) {
		return asJSON(trustedTwin(o, now), nil)
	},
}

// aboutAlerts are the formats that tell of alerts and groups of them only.
var aboutAlerts = map[string]bool{"alertmanager": true, "pagerduty": true}

func asJSON(body []byte, err error) (message, error) {
	return message{body: body, contentType: "application/json"}, err
}

// eventType is the type of an outcome: alert.raised, output.
func eventType(o *rules.Outcome) string {
	if event := o.Event(); event != "" {
		return string(o.Kind) + "." + event
	}
	return string(o.Kind)
}

// maxStandard is what Standard Webhooks wants a body to be shorter than.
const maxStandard = 20_000

// standard leaves the data out where the body would be too long with it; of a group
// they are what it tells, so they stay.
func standard(o *rules.Outcome) []byte {
	if body := standardBody(o); len(body) < maxStandard || alerts.IsGroup(o) {
		return body
	}
	short := *o
	short.Data = []byte(`{"truncated":true}`)
	return standardBody(&short)
}

func standardBody(o *rules.Outcome) []byte {
	b := append([]byte(`{"type":`), quoted(eventType(o))...)
	b = o.At.UTC().AppendFormat(append(b, `,"timestamp":"`...), time.RFC3339Nano)
	return append(o.AppendJSON(append(b, `","data":`...)), '}')
}

// trustedTwin is a notification as Trusted Twin posts it, of what is no sticker, too.
// It has no hash: a secret signs it as Standard Webhooks has it.
func trustedTwin(o *rules.Outcome, now time.Time) []byte {
	b := append([]byte(`{"type":"Notification","trigger":`), quoted(eventType(o))...)
	b = fmt.Appendf(b, `,"message":"%s","twin":%s,"event":`, uuid.NewSHA1(uuid.NameSpaceURL, []byte("tocsin:"+o.EventID())), quoted(o.Twin))
	b = append(o.AppendJSON(b), `,"sent_ts":`...)
	return append(strconv.AppendFloat(b, float64(now.UnixMilli())/1000, 'f', 3, 64), '}')
}

func quoted(s string) []byte {
	b, _ := jsontext.AppendQuote(nil, s) // its only error is invalid UTF-8, which it has replaced
	return b
}

// written is what the template of the configuration says.
func written(s *sink, o *rules.Outcome, now time.Time) (message, error) {
	body, err := s.letters.body.Write(o, now)
	if err != nil {
		return message{}, err
	}
	if check, _ := checkContent(s.ContentType); check != nil {
		if err := check(body); err != nil {
			return message{}, err
		}
	}
	return message{body: []byte(body), contentType: s.ContentType}, nil
}

// cloudEvent is CloudEvents 1.0: all in the body, or the attributes in headers.
func cloudEvent(s *sink, o *rules.Outcome, _ time.Time) (message, error) {
	seq := o.Seq
	if o.Life != nil {
		seq = uint64(o.Life.Number)
	}
	attributes := [][2]string{
		{"specversion", "1.0"},
		{"id", o.EventID()},
		{"source", s.Source},
		{"type", "tocsin." + eventType(o) + ".v1"},
		{"subject", subject(o)},
		{"time", o.At.UTC().Format(time.RFC3339Nano)},
		{"sequence", strconv.FormatUint(seq, 10)},
	}
	if s.Mode == binary {
		m := message{body: o.AppendJSON(nil), contentType: "application/json", header: map[string]string{}}
		for _, a := range attributes {
			m.header["ce-"+a[0]] = percentEncoded(a[1])
		}
		return m, nil
	}
	b := []byte{'{'}
	for _, a := range attributes {
		b = rules.AppendText(append(b, `"`+a[0]+`":`...), clean(a[1]))
		b = append(b, ',')
	}
	b = o.AppendJSON(append(b, `"datacontenttype":"application/json","data":`...))
	return message{body: append(b, '}'), contentType: "application/cloudevents+json; charset=utf-8"}, nil
}

// subject is what a CloudEvent is about; never empty.
func subject(o *rules.Outcome) string {
	if o.Topic != "" {
		return clean(o.Topic)
	}
	return clean(o.Interaction + "/" + o.Rule + "/" + o.Twin)
}

// clean takes out what CloudEvents does not allow in its texts.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// percentEncoded is a text as the HTTP binding of CloudEvents puts it in a header.
func percentEncoded(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// about are the alerts that an outcome tells of: one, or those of a group.
func about(o *rules.Outcome) (alerts.Group, error) {
	switch {
	case alerts.IsGroup(o):
		return alerts.ReadGroup(o)
	case o.Kind != rules.Alert:
		return alerts.Group{}, fmt.Errorf("an outcome of kind %q; want an alert, or a group of them", o.Kind)
	}
	g := alerts.Group{ID: o.ID, Status: o.State, Labels: map[string]string{"alertname": o.Rule}, Alerts: []rules.Outcome{*o}}
	if o.State == rules.StateFiring {
		g.Firing = 1
	} else {
		g.Resolved = 1
	}
	return g, nil
}

// linkOf is the page about an outcome; "" when there is none.
func (s *sink) linkOf(o *rules.Outcome, now time.Time) (string, error) {
	if s.letters.link == nil {
		return "", nil
	}
	link, err := s.letters.link.Write(o, now)
	if err != nil {
		return "", fmt.Errorf("link: %w", err)
	}
	if letter.CheckLink(link) != nil {
		return "", nil // what the outcome says makes no URL: better the message without it
	}
	return link, nil
}

// alertmanagerBody is what Alertmanager posts to its webhooks, version 4.
func alertmanagerBody(s *sink, o *rules.Outcome, now time.Time) (message, error) {
	g, err := about(o)
	if err != nil {
		return message{}, err
	}
	type one struct {
		Status       string            `json:"status"`
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		StartsAt     time.Time         `json:"startsAt"`
		EndsAt       time.Time         `json:"endsAt"`
		GeneratorURL string            `json:"generatorURL"`
		Fingerprint  string            `json:"fingerprint"`
	}
	list := []one{}
	var labels, annotations []map[string]string
	for i := range g.Alerts {
		a := &g.Alerts[i]
		link, err := s.linkOf(a, now)
		if err != nil {
			return message{}, err
		}
		x := one{a.State, alerts.PrometheusLabels(a, s.Space), alerts.PrometheusAnnotations(a), a.Starts.UTC(), a.Ends.UTC(), link, fingerprint(a)}
		list, labels, annotations = append(list, x), append(labels, x.Labels), append(annotations, x.Annotations)
	}
	return asJSON(json.Marshal(map[string]any{
		"version": "4", "groupKey": groupKey(&g), "truncatedAlerts": g.Truncated, "status": g.Status, "receiver": s.Space, "groupLabels": g.Labels,
		"commonLabels": common(labels), "commonAnnotations": common(annotations), "externalURL": "", "alerts": list,
	}))
}

// groupKey is the same for all that is told of a group, or of an alert.
func groupKey(g *alerts.Group) string {
	if g.Route == "" {
		return g.ID
	}
	if at := strings.LastIndexByte(g.ID, '_'); at > 0 {
		return g.ID[:at]
	}
	return g.ID
}

func fingerprint(o *rules.Outcome) string {
	if o.Life == nil {
		return o.ID
	}
	return o.Life.Fingerprint()
}

// common is what all have alike.
func common(all []map[string]string) map[string]string {
	out := map[string]string{}
	if len(all) == 0 {
		return out
	}
	for name, value := range all[0] {
		alike := true
		for _, other := range all[1:] {
			v, there := other[name]
			alike = alike && there && v == value
		}
		if alike {
			out[name] = value
		}
	}
	return out
}

// pagerDuty takes events of the Events API v2.
const pagerDuty = "https://events.pagerduty.com/v2/enqueue"

// The bounds of PagerDuty.
const (
	maxPagerSummary = 1024 // characters
	maxDedupKey     = 255
)

func pagerDutyEvent(s *sink, o *rules.Outcome, now time.Time) (message, error) {
	g, err := about(o)
	if err != nil {
		return message{}, err
	}
	link, err := s.linkOf(o, now)
	if err != nil {
		return message{}, err
	}
	key, severity := groupKey(&g), worst(&g)
	if o.Kind == rules.Alert {
		key = fingerprint(o)
	}
	payload := map[string]any{
		"summary": cut(letter.Summary(o), maxPagerSummary), "source": cmp.Or(o.Twin, s.Source), "severity": severity.PagerDuty,
		"timestamp": o.At.UTC().Format(time.RFC3339Nano), "component": o.Twin, "group": o.Interaction, "class": cmp.Or(o.Rule, o.Topic, "tocsin"),
		"custom_details": details(o, &g),
	}
	event := map[string]any{"routing_key": s.letters.routing, "event_action": pagerAction(o, &g), "dedup_key": cut(clean(key), maxDedupKey), "client": "Tocsin", "payload": payload}
	if link != "" {
		event["client_url"] = link
		event["links"] = []map[string]string{{"href": link, "text": "Tocsin"}}
	}
	return asJSON(json.Marshal(event))
}

func pagerAction(o *rules.Outcome, g *alerts.Group) string {
	switch {
	case g.Status == rules.StateResolved:
		return "resolve"
	case o.Event() == rules.EventAcknowledged:
		return "acknowledge"
	}
	return "trigger"
}

// worst is the worst severity of what fires, or of all where nothing does.
func worst(g *alerts.Group) alerts.Severity {
	found := alerts.Severities[len(alerts.Severities)-1]
	for i := range g.Alerts {
		a := &g.Alerts[i]
		if s, ok := alerts.SeverityOf(a.Severity); ok && s.Number > found.Number && (a.State == rules.StateFiring || g.Firing == 0) {
			found = s
		}
	}
	return found
}

// details are what else there is to know; of a group its alerts.
func details(o *rules.Outcome, g *alerts.Group) any {
	if o.Kind != rules.Alert {
		var lines []string
		for i := range g.Alerts[:min(len(g.Alerts), maxLines)] {
			lines = append(lines, line(&g.Alerts[i]))
		}
		return map[string]any{"firing": g.Firing, "resolved": g.Resolved, "labels": g.Labels, "alerts": lines}
	}
	d := map[string]any{"id": o.ID, "labels": o.Labels, "data": json.RawMessage(o.Data)}
	if !json.Valid(o.Data) {
		delete(d, "data")
	}
	if o.Life != nil {
		d["description"], d["runbook"], d["status"] = o.Life.Description, o.Life.Runbook, o.Life.Status
	}
	return d
}

// cut shortens a text to so many characters.
func cut(s string, most int) string {
	r := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	if len(r) <= most {
		return string(r)
	}
	return string(r[:most-1]) + "…"
}
