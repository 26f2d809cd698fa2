package qapi_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

const (
	typeModel   = `{"key":"http://www.w3.org/1999/02/22-rdf-syntax-ns#type","uriValue":{"value":"https://data.iotics.com/app#Model"}}`
	allowAll    = `{"key":"http://data.iotics.com/public#hostAllowList","uriValue":{"value":"http://data.iotics.com/public#allHosts"}}`
	overheating = `{"enabled":true,"rules":[{"transformation":{"conditions":[{"fieldsIncludedInOutput":["temperature"],"jsonLogic":{">":[{"var":"temperature"},30]}}],` +
		`"outputFeedId":"temperature_status","outputFieldId":"status","outputTrueValue":"extreme","outputFalseValue":"normal","sourceFeedId":"currentTemp","sourceId":"1"}}],` +
		`"sources":[{"cleanupRateS":900,"feeds":[{"fieldIds":["temperature"],"id":"currentTemp"}],"filter":{"properties":[{"key":"https://data.iotics.com/app#model",` +
		`"value":{"uriValue":{"value":"did:model"}}}],"text":null},"id":"1","modelDid":"did:model","refreshRateS":300}]}`
)

// request is one of a client's.
type request struct{ method, path, body string }

// interactionConfig is the request that gives the interaction twin its document.
func interactionConfig(document string) request {
	text, _ := json.Marshal(document) //nolint:errchkjson // a string
	return request{"PATCH", "/qapi/twins/did:alert", `{"newVisibility":{"visibility":"PRIVATE"},"properties":{"added":[` + typeModel + `,` + allowAll + `,
		{"key":"http://www.w3.org/1999/02/22-rdf-syntax-ns#type","uriValue":{"value":"https://data.iotics.com/app#Interaction"}},
		{"key":"https://data.iotics.com/app#interactionConfig","stringLiteralValue":{"value":` + string(text) + `}},
		{` + label + `,"langLiteralValue":{"value":"Sensor Overheating Alert","lang":"en"}}],"clearedAll":true}}`}
}

func sharing(twin string, temperature float64) request {
	data := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"temperature": %v}`, temperature))
	return request{"POST", "/qapi/twins/" + twin + "/feeds/currentTemp/shares", `{"sample":{"data":"` + data + `","mime":"application/json","occurredAt":"2026-11-02T10:00:00.123456+00:00"}}`}
}

const machines = 4

func machine(i int) string { return fmt.Sprintf("did:machine_%d", i) }

// story is what a client does to have its machines watched: of each twin in order.
func story() (all [][]request) {
	all = append(all, []request{
		{"POST", "/qapi/twins", `{"twinId":{"value":"did:model"}}`},
		{"PATCH", "/qapi/twins/did:model", `{"properties":{"added":[` + typeModel + `,` + allowAll + `],"clearedAll":true}}`},
		{"POST", "/qapi/twins/did:model/feeds", `{"feedId":{"value":"currentTemp"}}`},
	})
	for i := range machines {
		id := machine(i)
		all = append(all, []request{
			{"POST", "/qapi/twins", `{"twinId":{"value":"` + id + `"}}`},
			{"PATCH", "/qapi/twins/" + id, `{"properties":{"added":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:model"}},{` + label + `,"langLiteralValue":{"value":"` + strings.TrimPrefix(id, "did:") + ` (tutorial)","lang":"en"}}],"clearedAll":true},"location":{"location":{"lat":51.5,"lon":-0.1}}}`},
			{"POST", "/qapi/twins/" + id + "/feeds", `{"feedId":{"value":"currentTemp"}}`},
			{"PATCH", "/qapi/twins/" + id + "/feeds/currentTemp", `{"storeLast":true,"values":{"added":[{"comment":"Temperature","dataType":"decimal","label":"temperature"}]}}`},
			sharing(id, 25+10*float64(i%2)),
		})
	}
	all = append(all, []request{
		{"POST", "/qapi/twins", `{"twinId":{"value":"did:alert"}}`},
		interactionConfig(overheating),
	}, []request{
		{"POST", "/qapi/twins", `{"twinId":{"value":"did:alert"}}`},
		{"POST", "/qapi/twins/did:alert/feeds", `{"feedId":{"value":"temperature_status"}}`},
		{"PATCH", "/qapi/twins/did:alert/feeds/temperature_status", `{"storeLast":true,"values":{"added":[{"comment":"normal or extreme","dataType":"string","label":"status"}]},"properties":{"added":[{` + label + `,"langLiteralValue":{"value":"Temperature status","lang":"en"}}],"clearedAll":true}}`},
	})
	return all
}

// told waits for the samples that follow on a feed.
func (s *space) told(twin, feed string) (next func() string) {
	samples := make(chan string, 16)
	stop, err := s.Follow(s.t.Context(), engine.Topic{Kind: engine.FeedTopic, Twin: twin, Name: feed}, "", func(e *engine.Event) { samples <- string(e.Data) })
	require.NoError(s.t, err)
	s.t.Cleanup(stop)
	return func() (got string) {
		s.until("a sample", func() bool {
			select {
			case got = <-samples:
				return true
			default:
				return false
			}
		})
		return got
	}
}

// An interaction that is made through the API works as soon as it is complete, in
// whatever order its parts, its model and its machines arrive.
func TestInteractionArrivesInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := start(t, nil)
			next := s.told(twins.OutputID("did:alert", machine(2)), "temperature_status")
			random := rand.New(rand.NewPCG(seed, 0))
			for todo := story(); len(todo) > 0; {
				i := random.IntN(len(todo))
				r := todo[i][0]
				s.do(r.method, r.path, r.body)
				if todo[i] = todo[i][1:]; len(todo[i]) == 0 {
					todo = append(todo[:i], todo[i+1:]...)
				}
			}
			byModel := `{"filter":{"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:alert"}}]}}`
			s.until("output twins", func() bool {
				f := s.search("?scope=LOCAL", byModel)
				return len(f.ids(t)) == machines
			})
			for i := range machines {
				s.checkOutput(i)
			}
			f := s.search("", `{"filter":{"properties":[`+typeModel+`]}}`)
			assert.Equal(t, []string{"did:alert", "did:model"}, f.ids(t), "output twins are no models")

			assert.JSONEq(t, `{"status":"normal","temperature":25}`, next(), "the sample of the story")
			r := sharing(machine(2), 31)
			s.do(r.method, r.path, r.body)
			assert.JSONEq(t, `{"status":"extreme","temperature":31}`, next())
		})
	}
}

// checkOutput wants the output twin of a machine to be what it has to be.
func (s *space) checkOutput(i int) {
	s.t.Helper()
	id := twins.OutputID("did:alert", machine(i))
	var out *twins.Twin
	s.until("the output feed follows that of the interaction", func() bool {
		out, _ = s.Twin(id)
		f, ok := out.Feed("temperature_status")
		return ok && len(f.Values) == 1 && f.Values[0].Comment == "normal or extreme" && len(f.Properties) == 1 && out.Location != nil && len(out.Properties) == 5
	})
	assert.Equal(s.t, twins.Twin{
		ID: id, Visibility: "PRIVATE",
		Properties: []rules.Property{
			twins.LangString(rules.PropLabel, fmt.Sprintf("machine_%d (tutorial) - Sensor Overheating Alert", i), "en"),
			twins.URI(rules.PropModel, "did:alert"),
			twins.URI(rules.PropCreatedFrom, rules.CreatedByInteraction),
			twins.URI(rules.PropDataSource, machine(i)),
			twins.URI(rules.PropHostAllowList, "http://data.iotics.com/public#allHosts"),
		},
		Location: &rules.Location{Lat: 51.5, Lon: -0.1},
		Feeds: []rules.Feed{{
			ID: "temperature_status", StoreLast: true,
			Values:     []rules.Value{{Label: "status", Comment: "normal or extreme", DataType: "string"}},
			Properties: []rules.Property{twins.LangString(rules.PropLabel, "Temperature status", "en")},
		}},
	}, *out)
}

// runs is what GET /api/v1/rules says of the interaction.
func (s *space) runs() (in engine.InteractionStatus, all engine.RulesStatus) {
	s.t.Helper()
	require.NoError(s.t, json.Unmarshal([]byte(s.do("GET", "/api/v1/rules", "")), &all))
	for _, in := range all.Interactions {
		if in.ID == "did:alert" {
			return in, all
		}
	}
	return in, all
}

// A bad document is refused, which is seen where the rules are; the last good one
// goes on. The same document again is nothing new, and another takes its place.
func TestInteractionIsEdited(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	bad := strings.Replace(overheating, `"sourceId":"1"`, `"sourceId":"2"`, 1)
	for _, requests := range story() {
		for _, r := range requests {
			if strings.Contains(r.body, "interactionConfig") {
				r = interactionConfig(bad)
			}
			s.do(r.method, r.path, r.body)
		}
	}
	_, all := s.runs()
	assert.Empty(t, all.Interactions)
	require.Len(t, all.Refused, 1)
	assert.Equal(t, engine.RuleSource{Kind: engine.TwinRules, Name: "did:alert"}, all.Refused[0].Source)
	assert.Contains(t, all.Refused[0].Error, `/rules/0/transformation/sourceId`)

	put := func(r request) { s.do(r.method, r.path, r.body) }
	out := twins.OutputID("did:alert", machine(0))
	next := s.told(out, "temperature_status")
	put(interactionConfig(overheating))
	good, all := s.runs()
	assert.Equal(t, engine.RulesOK, good.State)
	assert.Empty(t, all.Refused)
	s.until("output twin", func() bool { _, ok := s.Twin(out); return ok })
	assert.JSONEq(t, `{"status":"normal","temperature":25}`, next(), "what was shared before")

	status, header, _ := s.ask("PATCH", "/qapi/twins/did:alert", interactionConfig(bad).body)
	assert.Equal(t, 200, status)
	assert.Contains(t, header.Get("Warning"), `299 - "the interaction is refused: interactionConfig of did:alert:1:`)
	assert.Empty(t, header.Values("Warning")[1:])
	said := header.Get("Warning")
	_, header, _ = s.ask("GET", "/qapi/twins/did:alert", "")
	assert.Equal(t, said, header.Get("Warning"), "who looks at the twin sees it too")
	degraded, _ := s.runs()
	assert.Equal(t, engine.RulesDegraded, degraded.State)
	require.NotNil(t, degraded.Refused)
	assert.Contains(t, degraded.Refused.Error, `/rules/0/transformation/sourceId`)
	assert.Equal(t, good.Revision, degraded.Revision)
	put(sharing(machine(0), 31))
	assert.JSONEq(t, `{"status":"extreme","temperature":31}`, next(), "the last good one goes on")

	_, header, _ = s.ask("PATCH", "/qapi/twins/did:alert", interactionConfig(strings.Replace(overheating, `"enabled":true`, `"enabled":true,"createdBy":"ann"`, 1)).body)
	require.Len(t, header.Values("Warning"), 1)
	assert.Contains(t, header.Get("Warning"), `/createdBy: unknown field \"createdBy\"`, "somebody else's field keeps no rule from running")
	tolerant, _ := s.runs()
	assert.Equal(t, engine.RulesOK, tolerant.State)

	put(interactionConfig(overheating))
	put(interactionConfig(overheating))
	again, _ := s.runs()
	assert.Equal(t, engine.RulesOK, again.State)
	assert.Equal(t, []any{good.Revision, good.Number, good.Since}, []any{again.Revision, again.Number, again.Since}, "nothing new")

	put(interactionConfig(strings.NewReplacer(`"extreme"`, `"hot"`, `"temperature_status"`, `"heat"`).Replace(overheating)))
	s.until("the output feed is another", func() bool {
		twin, _ := s.Twin(out)
		return len(twin.Feeds) == 1 && twin.Feeds[0].ID == "heat"
	})
	next = s.told(out, "heat")
	put(sharing(machine(0), 32))
	assert.JSONEq(t, `{"status":"hot","temperature":32}`, next(), "the output twin survives")

	put(interactionConfig(strings.Replace(overheating, `"enabled":true`, `"outputLabel":"{{interaction}} of {{source}}"`, 1)))
	s.until("the label is another", func() bool {
		twin, _ := s.Twin(out)
		return twin.Label() == "Sensor Overheating Alert of machine_0 (tutorial)"
	})

	put(request{"DELETE", "/qapi/twins/" + out, ""})
	s.until("it is made again", func() bool { _, ok := s.Twin(out); return ok })
	put(request{"PATCH", "/qapi/twins/" + out, `{"properties":{"clearedAll":true}}`})
	s.until("it is what it was", func() bool { twin, _ := s.Twin(out); return twins.Maker(twin) == "did:alert" })

	put(request{"DELETE", "/qapi/twins/did:alert", ""})
	s.until("its output twins go with it", func() bool { return s.Stats().Twins == machines+1 })
}

// Messages to an input reach who follows it.
func TestInputs(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.do("PUT", "/qapi/twins", `{"twinId":"did:pump","inputs":[{"id":"on","values":[{"label":"on","dataType":"boolean"}]}]}`)
	s.do("POST", "/qapi/twins", `{"twinId":"did:panel"}`)
	events := make(chan *engine.Event, 4)
	stop, err := s.Follow(t.Context(), engine.Topic{Kind: engine.InputTopic, Twin: "did:pump", Name: "on"}, "", func(e *engine.Event) { events <- e })
	require.NoError(t, err)
	defer stop()
	for _, path := range []string{"/qapi/twins/did:panel/interests/twins/did:pump", "/qapi/hosts/" + host + "/twins/did:panel/interests/hosts/" + host + "/twins/did:pump"} {
		assert.JSONEq(t, `{}`, s.do("POST", path+"/inputs/on/messages", `{"message":{"data":"aGVsbG8=","mime":"text/plain","occurredAt":"2026-11-02T11:00:00+01:00"}}`))
		e := <-events
		assert.Equal(t, []string{"did:panel", "text/plain", "hello", "2026-11-02T10:00:00Z"}, []string{e.From, e.Mime, string(e.Data), e.At.Format("2006-01-02T15:04:05Z07:00")})
	}
}
