package webhook

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/rules"
	"tocsin.internal/sinks/letter"
)

// The bounds of a message in a chat, in alerts and characters: less than Slack
// and Teams take.
const (
	maxLines = 10
	maxText  = 900
	maxTitle = 140
	maxFacts = 10
)

// card is what a chat shows of an outcome.
type card struct {
	title    string
	severity string // "" for what has none
	resolved bool
	facts    [][2]string
	lines    []string
	link     string
	at       time.Time
}

func (s *sink) card(o *rules.Outcome, now time.Time) (card, error) {
	link, err := s.linkOf(o, now)
	if err != nil {
		return card{}, err
	}
	c := card{title: cut(letter.Summary(o), maxTitle), link: link, at: o.At.UTC()}
	if o.Kind != rules.Alert && !alerts.IsGroup(o) {
		c.facts = facts([][2]string{{"Twin", o.Twin}, {"Feed", o.Feed}, {"Topic", o.Topic}, {"Rule", o.Interaction + " / " + o.Rule}}, nil)
		return c, nil
	}
	g, err := about(o)
	if err != nil {
		return card{}, err
	}
	c.severity, c.resolved = worst(&g).Name, g.Status == rules.StateResolved
	word := "FIRING"
	switch {
	case c.resolved:
		word = "RESOLVED"
	case o.Life != nil && o.Life.Status == rules.StatusAcknowledged:
		word = "ACKNOWLEDGED"
	}
	c.title = cut(fmt.Sprintf("%s (%s): %s", word, c.severity, letter.Summary(o)), maxTitle)
	if o.Kind != rules.Alert {
		c.facts = facts(nil, g.Labels)
		for i := range g.Alerts[:min(len(g.Alerts), maxLines)] {
			c.lines = append(c.lines, cut(line(&g.Alerts[i]), maxText/maxLines*2))
		}
		if more := len(g.Alerts) + g.Truncated - len(c.lines); more > 0 {
			c.lines = append(c.lines, fmt.Sprintf("and %d more", more))
		}
		return c, nil
	}
	first := [][2]string{
		{"Twin", o.Twin}, {"Rule", o.Interaction + " / " + o.Rule}, {"Event", o.Event()}, {"Severity", o.Severity}, {"Since", stamp(o.Starts)}, {"Until", stamp(o.Ends)},
	}
	if l := o.Life; l != nil {
		first = append(first, [][2]string{{"By", l.By}, {"Comment", l.Comment}, {"Description", l.Description}, {"Runbook", l.Runbook}}...)
	}
	c.facts = facts(first, o.Labels)
	return c, nil
}

// facts are the pairs that say something, the labels behind the others.
func facts(pairs [][2]string, labels map[string]string) [][2]string {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, [2]string{name, labels[name]})
	}
	pairs = slices.DeleteFunc(pairs, func(f [2]string) bool { return f[1] == "" })
	pairs = pairs[:min(len(pairs), maxFacts)]
	for i := range pairs {
		pairs[i] = [2]string{cut(pairs[i][0], maxTitle), cut(pairs[i][1], maxText)}
	}
	return pairs
}

// line is an alert of a group on one line.
func line(o *rules.Outcome) string {
	word := o.Severity
	if o.State == rules.StateResolved {
		word = rules.StateResolved
	}
	return word + ": " + letter.Summary(o)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// slackColors are by severity; what is resolved is green.
var slackColors = map[string]string{"critical": "#d00000", "major": "#e85d04", "minor": "#faa307", "warning": "#ffd60a", "info": "#3a86ff", "": "#6c757d"}

const resolvedColor = "#2d6a4f"

// slackMessage is for an incoming webhook of Slack: blocks beside a colour, and
// a text for what shows no blocks.
func slackMessage(s *sink, o *rules.Outcome, now time.Time) (message, error) {
	c, err := s.card(o, now)
	if err != nil {
		return message{}, err
	}
	markdown := func(text string) map[string]any { return map[string]any{"type": "mrkdwn", "text": text} }
	title := "*" + escapeSlack(c.title) + "*"
	if c.link != "" {
		title = "*<" + escapeSlack(c.link) + "|" + escapeSlack(strings.ReplaceAll(c.title, "|", "¦")) + ">*"
	}
	blocks := []map[string]any{{"type": "section", "text": markdown(title)}}
	var fields []map[string]any
	for _, f := range c.facts {
		fields = append(fields, markdown("*"+escapeSlack(f[0])+"*\n"+escapeSlack(f[1])))
	}
	if len(fields) > 0 {
		blocks = append(blocks, map[string]any{"type": "section", "fields": fields})
	}
	if len(c.lines) > 0 {
		blocks = append(blocks, map[string]any{"type": "section", "text": markdown("• " + escapeSlack(strings.Join(c.lines, "\n• ")))})
	}
	blocks = append(blocks, map[string]any{"type": "context", "elements": []any{markdown("Tocsin, " + stamp(c.at))}})
	color := slackColors[c.severity]
	if c.resolved {
		color = resolvedColor
	}
	return asJSON(json.Marshal(map[string]any{
		"text": escapeSlack(c.title), "attachments": []any{map[string]any{"color": color, "fallback": escapeSlack(c.title), "blocks": blocks}},
	}))
}

var slackEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// escapeSlack keeps names from becoming mentions and links.
func escapeSlack(s string) string { return slackEscaper.Replace(s) }

// teamsColors are the colours of Adaptive Cards by severity.
var teamsColors = map[string]string{"critical": "Attention", "major": "Attention", "minor": "Warning", "warning": "Warning", "info": "Accent", "": "Default"}

// teamsCard is an Adaptive Card, as a flow of Teams' Workflows takes it.
func teamsCard(s *sink, o *rules.Outcome, now time.Time) (message, error) {
	c, err := s.card(o, now)
	if err != nil {
		return message{}, err
	}
	color := teamsColors[c.severity]
	if c.resolved {
		color = "Good"
	}
	body := []any{map[string]any{"type": "TextBlock", "text": escapeTeams(c.title), "weight": "Bolder", "size": "Medium", "color": color, "wrap": true}}
	if len(c.facts) > 0 {
		var list []any
		for _, f := range c.facts {
			list = append(list, map[string]string{"title": escapeTeams(f[0]), "value": escapeTeams(f[1])})
		}
		body = append(body, map[string]any{"type": "FactSet", "facts": list})
	}
	for _, text := range c.lines {
		body = append(body, map[string]any{"type": "TextBlock", "text": "\\- " + escapeTeams(text), "wrap": true, "spacing": "Small"})
	}
	body = append(body, map[string]any{"type": "TextBlock", "text": "Tocsin, " + stamp(c.at), "isSubtle": true, "size": "Small"})
	content := map[string]any{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "msteams": map[string]string{"width": "Full"}, "body": body,
	}
	if c.link != "" {
		content["actions"] = []any{map[string]string{"type": "Action.OpenUrl", "title": "Open", "url": c.link}}
	}
	return asJSON(json.Marshal(map[string]any{
		"type": "message", "attachments": []any{map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": content}},
	}))
}

// teamsEscaper keeps names from becoming Markdown.
var teamsEscaper = strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "`", "\\`")

func escapeTeams(s string) string { return teamsEscaper.Replace(s) }
