package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/sinktest"
)

var at = time.Date(2026, 11, 2, 8, 1, 0, 0, time.UTC)

func fires() rules.Outcome {
	o := sinktest.Alert()
	o.At, o.Starts, o.Severity = at, at, "major"
	o.Life = &rules.Life{Number: 1, Event: rules.EventRaised, Key: "overheating|too-hot|machine_1||", Status: rules.StatusFiring, Active: true, Label: "high"}
	return o
}

func ends() rules.Outcome {
	o := fires()
	life := *o.Life
	life.Number, life.Event, life.Status, life.Active = 2, rules.EventCleared, rules.StatusClosed, false
	o.At, o.Ends, o.State, o.Life = at.Add(time.Minute), at.Add(time.Minute), rules.StateResolved, &life
	return o
}

func group() rules.Outcome {
	a, b := fires(), ends()
	data := []byte(`{"status":"firing","groupLabels":{"rule":"too-hot"},"firing":1,"resolved":1,"suppressed":0,"truncated":3,"alerts":[`)
	data = append(b.AppendJSON(append(a.AppendJSON(data), ',')), "]}"...)
	return rules.Outcome{Kind: rules.Notification, Topic: "brno", At: at, Seq: 2, ID: "nt_1b0a3f5c_2", Data: data}
}

// posted is what the sink of the configuration posts of an outcome.
func posted(t *testing.T, more string, o rules.Outcome) received {
	t.Helper()
	url, got := receiver(t, status(200))
	require.NoError(t, open(t, fmt.Sprintf(`{"url":%q%s}`, url, more)).Deliver(t.Context(), o))
	return <-got
}

func TestCloudEventsByTheirSDK(t *testing.T) {
	odd := fires()
	odd.Twin, odd.Rule = "a \"b\" é%", "x\ny"
	output := rules.Outcome{Kind: rules.Output, Interaction: "i", Rule: "r", Twin: "m", Feed: "f", At: at, Seq: 4, Data: []byte(`{"a":1}`)}
	for _, mode := range []string{"structured", "binary"} {
		for want, o := range map[string]rules.Outcome{
			"tocsin.alert.raised.v1 overheating/too-hot/machine_1 1":  fires(),
			"tocsin.alert.raised.v1 overheating/x_y/a \"b\" é% 1":     odd,
			"tocsin.alert.cleared.v1 overheating/too-hot/machine_1 2": ends(),
			"tocsin.notification.v1 brno 2":                           group(),
			"tocsin.output.v1 i/r/m 4":                                output,
		} {
			r := posted(t, `,"format":"cloudevents","source":"/tocsin/brno","mode":"`+mode+`"`, o)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(r.body))
			require.NoError(t, err)
			req.Header = r.header
			event, err := binding.ToEvent(t.Context(), cehttp.NewMessageFromHttpRequest(req))
			require.NoError(t, err)
			require.NoError(t, event.Validate())
			subject := event.Subject()
			if mode == "binary" {
				subject = strings.NewReplacer("%20", " ", "%22", `"`, "%C3%A9", "é", "%25", "%").Replace(subject) // the SDK leaves this to its user
			}
			assert.Equal(t, want, fmt.Sprintf("%s %s %s", event.Type(), subject, event.Extensions()["sequence"]))
			assert.Equal(t, o.EventID(), event.ID())
			assert.Equal(t, "/tocsin/brno", event.Source())
			assert.Equal(t, "application/json", event.DataContentType())
			assert.True(t, o.At.Equal(event.Time()))
			assert.JSONEq(t, string(o.AppendJSON(nil)), string(event.Data()))
		}
	}
}

func TestAlertmanagerBody(t *testing.T) {
	r := posted(t, `,"format":"alertmanager","space":"brno","link":"https://h/alerts/{{.id}}"`, group())
	assert.JSONEq(t, `{"version":"4","groupKey":"nt_1b0a3f5c","truncatedAlerts":3,"status":"firing","receiver":"brno","groupLabels":{"rule":"too-hot"},"externalURL":"",
	 "commonLabels":{"alertname":"too-hot","interaction":"overheating","severity":"error","twin":"machine_1","site":"brno","space":"brno"},
	 "commonAnnotations":{"summary":"machine_1 is at 31.2","alert_id":"al_55n8fqhnwb2bt0rfhw83whrv71"},"alerts":[
	 {"status":"firing","labels":{"alertname":"too-hot","interaction":"overheating","severity":"error","twin":"machine_1","site":"brno","space":"brno"},
	  "annotations":{"summary":"machine_1 is at 31.2","alert_id":"al_55n8fqhnwb2bt0rfhw83whrv71","status":"firing"},"startsAt":"2026-11-02T08:01:00Z","endsAt":"0001-01-01T00:00:00Z",
	  "generatorURL":"https://h/alerts/al_55n8fqhnwb2bt0rfhw83whrv71","fingerprint":"`+fingerprintOf(t)+`"},
	 {"status":"resolved","labels":{"alertname":"too-hot","interaction":"overheating","severity":"error","twin":"machine_1","site":"brno","space":"brno"},
	  "annotations":{"summary":"machine_1 is at 31.2","alert_id":"al_55n8fqhnwb2bt0rfhw83whrv71","status":"closed"},"startsAt":"2026-11-02T08:01:00Z","endsAt":"2026-11-02T08:02:00Z",
	  "generatorURL":"https://h/alerts/al_55n8fqhnwb2bt0rfhw83whrv71","fingerprint":"`+fingerprintOf(t)+`"}]}`, string(r.body))
	var one struct{ Alerts []any }
	require.NoError(t, json.Unmarshal(posted(t, `,"format":"alertmanager"`, fires()).body, &one))
	assert.Len(t, one.Alerts, 1)
}

func fingerprintOf(t *testing.T) string {
	t.Helper()
	o := fires()
	return o.Life.Fingerprint()
}

func TestPagerDuty(t *testing.T) {
	const config = `,"format":"pagerduty","routingKey":"R0UT1NG","link":"https://h/{{.id}}"`
	o := fires()
	assert.JSONEq(t, `{"routing_key":"R0UT1NG","event_action":"trigger","dedup_key":"`+fingerprintOf(t)+`","client":"Tocsin",
	 "client_url":"https://h/al_55n8fqhnwb2bt0rfhw83whrv71","links":[{"href":"https://h/al_55n8fqhnwb2bt0rfhw83whrv71","text":"Tocsin"}],
	 "payload":{"summary":"machine_1 is at 31.2","source":"machine_1","severity":"error","timestamp":"2026-11-02T08:01:00Z","component":"machine_1","group":"overheating","class":"too-hot",
	 "custom_details":{"id":"al_55n8fqhnwb2bt0rfhw83whrv71","labels":{"site":"brno"},"data":{"temperature":31.2},"description":"","runbook":"","status":"firing"}}}`, string(posted(t, config, o).body))
	o.Life.Event, o.Life.Number = rules.EventAcknowledged, 2
	for want, o := range map[string]rules.Outcome{"trigger": group(), "acknowledge": o, "resolve": ends()} {
		var got struct {
			Action string `json:"event_action"`
			Key    string `json:"dedup_key"`
		}
		require.NoError(t, json.Unmarshal(posted(t, config, o).body, &got))
		assert.Equal(t, want, got.Action)
		if want == "trigger" {
			assert.Equal(t, "nt_1b0a3f5c", got.Key, "the same for all notifications of a group")
		} else {
			assert.Equal(t, fingerprintOf(t), got.Key)
		}
	}
}

func TestSlack(t *testing.T) {
	o := fires()
	o.Summary = "<!channel> & 31.2"
	assert.JSONEq(t, `{"text":"FIRING (major): &lt;!channel&gt; &amp; 31.2","attachments":[{"color":"#e85d04","fallback":"FIRING (major): &lt;!channel&gt; &amp; 31.2","blocks":[
	 {"type":"section","text":{"type":"mrkdwn","text":"*<https://h/al_55n8fqhnwb2bt0rfhw83whrv71|FIRING (major): &lt;!channel&gt; &amp; 31.2>*"}},
	 {"type":"section","fields":[{"type":"mrkdwn","text":"*Twin*\nmachine_1"},{"type":"mrkdwn","text":"*Rule*\noverheating / too-hot"},{"type":"mrkdwn","text":"*Event*\nraised"},
	  {"type":"mrkdwn","text":"*Severity*\nmajor"},{"type":"mrkdwn","text":"*Since*\n2026-11-02 08:01:00 UTC"},{"type":"mrkdwn","text":"*site*\nbrno"}]},
	 {"type":"context","elements":[{"type":"mrkdwn","text":"Tocsin, 2026-11-02 08:01:00 UTC"}]}]}]}`, string(posted(t, `,"format":"slack","link":"https://h/{{.id}}"`, o).body))
	grouped := string(posted(t, `,"format":"slack"`, group()).body)
	assert.Contains(t, grouped, `FIRING (major): 1 firing, 1 resolved: too-hot`)
	assert.Contains(t, grouped, `• major: machine_1 is at 31.2\n• resolved: machine_1 is at 31.2\n• and 3 more`)
	assert.Contains(t, string(posted(t, `,"format":"slack"`, ends()).body), resolvedColor)
	taken := *o.Life
	taken.Event, taken.Status, taken.By = rules.EventAcknowledged, rules.StatusAcknowledged, "ann"
	o.Life = &taken
	assert.Contains(t, string(posted(t, `,"format":"slack"`, o).body), `"text":"ACKNOWLEDGED (major): `, "no second alarm")
}

func TestTeams(t *testing.T) {
	o := fires()
	o.Summary = "[x](http://evil) *b*"
	assert.JSONEq(t, `{"type":"message","attachments":[{"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null,"content":{
	 "$schema":"http://adaptivecards.io/schemas/adaptive-card.json","type":"AdaptiveCard","version":"1.4","msteams":{"width":"Full"},"body":[
	 {"type":"TextBlock","text":"FIRING (major): \\[x\\](http://evil) \\*b\\*","weight":"Bolder","size":"Medium","color":"Attention","wrap":true},
	 {"type":"FactSet","facts":[{"title":"Twin","value":"machine\\_1"},{"title":"Rule","value":"overheating / too-hot"},{"title":"Event","value":"raised"},{"title":"Severity","value":"major"},
	  {"title":"Since","value":"2026-11-02 08:01:00 UTC"},{"title":"site","value":"brno"}]},
	 {"type":"TextBlock","text":"Tocsin, 2026-11-02 08:01:00 UTC","isSubtle":true,"size":"Small"}],
	 "actions":[{"type":"Action.OpenUrl","title":"Open","url":"https://h/al_55n8fqhnwb2bt0rfhw83whrv71"}]}}]}`, string(posted(t, `,"format":"teams","link":"https://h/{{.id}}"`, o).body))
	assert.Contains(t, string(posted(t, `,"format":"teams"`, group()).body), `and 3 more`)
}

// Receivers of Standard Webhooks may refuse more than 20 kB.
func TestStandardIsShort(t *testing.T) {
	o := fires()
	o.Data = []byte(`{"blob":"` + strings.Repeat("x", 30_000) + `"}`)
	r := posted(t, `,"format":"standard"`, o)
	assert.Less(t, len(r.body), 2000)
	assert.Contains(t, string(r.body), `"data":{"truncated":true}`)
	assert.Contains(t, string(r.body), `"summary":"machine_1 is at 31.2"`)
}

func TestTrustedTwin(t *testing.T) {
	o := fires()
	r := posted(t, `,"format":"trustedtwin","secret":"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="`, o)
	var got struct {
		Type, Trigger, Message, Twin string
		Event                        struct{ ID string }
		Sent                         json.Number `json:"sent_ts"`
	}
	require.NoError(t, json.Unmarshal(r.body, &got))
	assert.Equal(t, []string{"Notification", "alert.raised", "machine_1", o.ID}, []string{got.Type, got.Trigger, got.Twin, got.Event.ID})
	assert.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, got.Message)
	assert.Regexp(t, `^[0-9]{10}\.[0-9]{3}$`, got.Sent)
	assert.NotEmpty(t, r.header.Get("webhook-signature"))
	again := posted(t, `,"format":"trustedtwin"`, o)
	assert.Contains(t, string(again.body), got.Message, "the same on every attempt")
}

func TestTemplate(t *testing.T) {
	r := posted(t, `,"format":"template","contentType":"text/plain; charset=utf-8","body":"{{.severity}}: {{.summary}}"`, fires())
	assert.Equal(t, "major: machine_1 is at 31.2", string(r.body))
	assert.Equal(t, "text/plain; charset=utf-8", r.header.Get("Content-Type"))
	r = posted(t, `,"format":"template","body":"{\"topic\":\"plant\",\"title\":{{json .summary}},\"tags\":[{{range $i, $a := .alerts}}{{if $i}},{{end}}{{json $a.severity}}{{end}}]}"`, group())
	assert.JSONEq(t, `{"topic":"plant","title":"1 firing, 1 resolved: too-hot","tags":["major","major"]}`, string(r.body))
}

// TestTemplateThatFails is of what only a later outcome shows.
func TestTemplateThatFails(t *testing.T) {
	url, got := receiver(t, status(200))
	for _, body := range []string{`{{if eq .twin \"odd\"}}{{.ack.nowhere}}{{end}}1`, `{{if eq .twin \"odd\"}}x{{end}}1`} {
		o := fires()
		o.Twin = "odd"
		err := open(t, fmt.Sprintf(`{"url":%q,"format":"template","body":"%s"}`, url, body)).Deliver(t.Context(), o)
		require.Error(t, err)
		assert.True(t, sinks.IsPermanent(err), err)
	}
	assert.Empty(t, got)
}
