package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/twins"
)

// What an engine really answers is what its description says.
func TestAnswersAreAsDescribed(t *testing.T) {
	w := lively(t, "")
	_, text := w.ask(http.MethodGet, "/openapi.json", "")
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("openapi.json", parsed))
	paths := parsed.(map[string]any)["paths"].(map[string]any)

	var nothing struct{ Want []string }
	_, text = w.ask(http.MethodGet, "/nonsense", "")
	require.NoError(t, json.Unmarshal([]byte(text), &nothing))
	var operations []string
	for p, methods := range paths {
		for _, method := range slices.Sorted(maps.Keys(methods.(map[string]any))) {
			operations = append(operations, strings.ToUpper(method)+" "+p)
		}
	}
	assert.ElementsMatch(t, nothing.Want, operations, "what the engine serves, and what it describes")

	w.temperature(1, 1, 31)
	w.ask(http.MethodPost, "/api/v1/samples", `{"twin":"nobody","feed":"currentTemp","data":{}}`)
	require.Eventually(t, func() bool { return w.scrape().series[`tocsin_alerts{severity="critical",status="firing"}`] == 1 }, 30*time.Second, 20*time.Millisecond)
	var found struct{ Alerts []struct{ ID string } }
	_, text = w.ask(http.MethodGet, "/api/v1/alerts", "")
	require.NoError(t, json.Unmarshal([]byte(text), &found))
	require.Len(t, found.Alerts, 1)
	alert := found.Alerts[0].ID
	const search = `{"responseType":"FULL","filter":{"properties":[{"key":"https://data.iotics.com/app#model","value":{"uriValue":{"value":"did:m"}}}]}}`
	const sample = `{"data":"eyJ0ZW1wZXJhdHVyZSI6MzF9","mime":"application/json"}`
	for _, tt := range []struct {
		request, pattern, body string
		status                 int
	}{
		{"GET /livez", "", "", 200},
		{"GET /readyz", "", "", 200},
		{"GET /startupz", "", "", 200},
		{"GET /api/v1/scale", "", "", 200},
		{"GET /api/v1/stats", "", "", 200},
		{"POST /api/v1/samples", "", `{"twin":"nobody","feed":"currentTemp","data":{}}`, 422},
		{"POST /api/v1/samples", "", `{"twin":"machine_1","feed":"currentTemp","data":{"temperature":33},"occurredAt":"2026-11-02T10:00:09Z"}`, 200},
		{"GET /api/v1/alerts", "", "", 200},
		{"GET /api/v1/alerts/" + alert, "/api/v1/alerts/{id}", "", 200},
		{"GET /api/v1/alerts/al_none", "/api/v1/alerts/{id}", "", 404},
		{"GET /api/v1/alerts/" + alert + "/history", "/api/v1/alerts/{id}/history", "", 200},
		{"POST /api/v1/alerts/" + alert + "/comment", "/api/v1/alerts/{id}/{do}", `{"by":"ann","comment":"seen"}`, 200},
		{"POST /api/v1/silences", "", `{"matchers":["label.line=\"2\""],"endsAt":"2027-11-02T18:00:00Z","createdBy":"ann","comment":"maintenance"}`, 200},
		{"GET /api/v1/silences", "", "", 200},
		{"GET /api/v1/rules", "", "", 200},
		{"GET /api/v1/rules/overheating", "/api/v1/rules/{interaction}", "", 200},
		{"PUT /api/v1/ruleset", "", `{"by":"ann","documents":[{"name":"x.json","text":"{}"}]}`, 422},
		{"PUT /api/v1/ruleset", "", `{"by":"ann","documents":[],"dryRun":true}`, 200},
		{"GET /api/v1/ruleset", "", "", 200},
		{"GET /api/v1/ruleset/revisions", "", "", 200},
		{"GET /api/v1/explain?rule=overheating/too-hot&twin=machine_1", "/api/v1/explain", "", 200},
		{"GET /api/v1/deadletters", "", "", 200},
		{"GET /api/v1/deadletters/1", "/api/v1/deadletters/{seq}", "", 200},
		{"DELETE /api/v1/deadletters?all=true&dryRun=true", "/api/v1/deadletters", "", 200},
		{"GET /index.json", "", "", 200},
		{"GET /qapi/host/id", "", "", 200},
		{"GET /qapi/status", "", "", 200},
		{"GET /qapi/versions", "", "", 200},
		{"GET /qapi/twins?limit=2", "/qapi/twins", "", 200},
		{"POST /qapi/twins", "", `{"twinId":{"id":"pump"}}`, 200},
		{"PUT /qapi/twins", "", `{"twinId":{"value":"fan"},"visibility":"PRIVATE","location":{"lat":51.5,"lon":-0.1},"properties":[{"key":"http://a.example/n","literalValue":{"dataType":"integer","value":"3"}}],"feeds":[{"id":"speed","storeLast":true,"values":[{"label":"rpm","comment":"","unit":"","dataType":"integer"}]}],"inputs":[{"id":"set"}]}`, 200},
		{"PATCH /qapi/twins/pump", "/qapi/twins/{twin}", `{"properties":{"added":[{"key":"http://a.example/n","stringLiteralValue":{"value":"x"}}]}}`, 200},
		{"GET /qapi/twins/fan", "/qapi/twins/{twin}", "", 200},
		{"GET /qapi/hosts/" + twins.NewID("host", "") + "/twins/fan", "/qapi/hosts/{host}/twins/{twin}", "", 200},
		{"GET /qapi/twins/none", "/qapi/twins/{twin}", "", 404},
		{"GET /qapi/twins/fan/feeds", "/qapi/twins/{twin}/feeds", "", 200},
		{"POST /qapi/twins/pump/feeds", "/qapi/twins/{twin}/feeds", `{"feedId":{"id":"flow"}}`, 200},
		{"GET /qapi/twins/fan/feeds/speed", "/qapi/twins/{twin}/feeds/{feed}", "", 200},
		{"PATCH /qapi/twins/pump/feeds/flow", "/qapi/twins/{twin}/feeds/{feed}", `{"storeLast":true}`, 200},
		{"DELETE /qapi/twins/pump/feeds/flow", "/qapi/twins/{twin}/feeds/{feed}", "", 200},
		{"POST /qapi/twins/machine_1/feeds/currentTemp/shares", "/qapi/twins/{twin}/feeds/{feed}/shares", `{"sample":` + sample + `}`, 200},
		{"GET /qapi/twins/fan/interests", "/qapi/twins/{twin}/interests", "", 200},
		{"GET /qapi/twins/fan/inputs/set", "/qapi/twins/{twin}/inputs/{input}", "", 200},
		{"POST /qapi/twins/pump/interests/twins/fan/inputs/set/messages", "/qapi/twins/{twin}/interests/twins/{followed}/inputs/{input}/messages", `{"message":` + sample + `}`, 200},
		{"GET /qapi/twins/fan/interests/twins/machine_1/feeds/currentTemp/samples/last", "/qapi/twins/{twin}/interests/twins/{followed}/feeds/{feed}/samples/last", "", 200},
		{"POST /qapi/searches?scope=LOCAL", "/qapi/searches", search, 200},
		{"POST /qapi/searches?scope=NOWHERE", "/qapi/searches", search, 400},
		{"DELETE /qapi/twins/pump", "/qapi/twins/{twin}", "", 200},
		{"GET /1.0/discover/did:iotics:iotDKL4C6HSAhCHP1GP6GGEVXDV8ycp8FHMp", "/1.0/discover/{did}", "", 404},
		{"POST /1.0/register", "", "nothing", 400},
		{"GET /api/v1/events?topics=x", "/api/v1/events", "", 400},
	} {
		method, path, _ := strings.Cut(tt.request, " ")
		status, text := w.ask(method, path, tt.body)
		for end := time.Now().Add(30 * time.Second); path == "/readyz" && status != tt.status && time.Now().Before(end); {
			<-time.After(20 * time.Millisecond) // a worker that is late is not ready for a moment
			status, text = w.ask(method, path, tt.body)
		}
		require.Equal(t, tt.status, status, "%s: %s", tt.request, text)
		if tt.pattern == "" {
			tt.pattern, _, _ = strings.Cut(path, "?")
		}
		pointer := answerSchema(paths, tt.pattern, strings.ToLower(method), fmt.Sprint(status))
		schema, err := c.Compile("openapi.json#" + pointer)
		require.NoError(t, err, tt.request)
		answer, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(text)))
		require.NoError(t, err, "%s: %s", tt.request, text)
		assert.NoError(t, schema.Validate(answer), "%s: %s", tt.request, text)
	}
}

// answerSchema points to the schema of an answer.
func answerSchema(paths map[string]any, pattern, method, status string) string {
	operation, _ := paths[pattern].(map[string]any)[method].(map[string]any)
	responses, _ := operation["responses"].(map[string]any)
	escaped := strings.NewReplacer("/", "~1", "{", "%7B", "}", "%7D").Replace(pattern)
	if _, ok := responses[status]; ok {
		return "/paths/" + escaped + "/" + method + "/responses/" + status + "/content/application~1json/schema"
	}
	name, _ := responses["default"].(map[string]any)["$ref"].(string)
	return strings.TrimPrefix(name, "#") + "/content/application~1json/schema"
}
