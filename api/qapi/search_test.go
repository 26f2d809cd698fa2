package qapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// found is a search's answer.
type found struct {
	Result struct {
		Headers map[string]any
		Payload struct {
			ResponseType, HostID string
			Twins                []json.RawMessage
		}
	}
}

func (f *found) ids(t *testing.T) (out []string) {
	for _, raw := range f.Result.Payload.Twins {
		var twin struct{ ID struct{ Value string } }
		require.NoError(t, json.Unmarshal(raw, &twin))
		out = append(out, twin.ID.Value)
	}
	return out
}

func (s *space) search(query, body string) found {
	s.t.Helper()
	var f found
	answer := s.do("POST", "/qapi/searches"+query, body)
	require.NoError(s.t, json.Unmarshal([]byte(answer), &f))
	require.NotNil(s.t, f.Result.Payload.Twins, "twins is always there: %s", answer)
	return f
}

func TestSearch(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	typed := `{"key":"http://www.w3.org/1999/02/22-rdf-syntax-ns#type","uriValue":{"value":"https://data.iotics.com/app#Model"}}`
	put := func(id, label, more string) {
		s.do("PUT", "/qapi/twins", `{"twinId":"`+id+`","properties":[{"key":"http://www.w3.org/2000/01/rdf-schema#label","langLiteralValue":{"lang":"en","value":"`+label+`"}}`+more+`],"location":{"lat":51.5,"lon":-0.1},"feeds":[{"id":"f"}]}`)
	}
	put("did:1", "Machine model (tutorial)", `,`+typed)
	put("did:2", "machine_1 (tutorial)", ``)
	put("did:3", "Sensor", `,{"key":"https://data.iotics.com/app#interactionConfig","stringLiteralValue":{"value":"{\"model\":\"machine\"}"}}`)
	put("did:4", "Other", `,{"key":"http://www.w3.org/2000/01/rdf-schema#comment","langLiteralValue":{"lang":"en","value":"of a machine"}},{"key":"n","literalValue":{"dataType":"integer","value":"1"}}`)
	put("did:5", "far", ``)
	s.do("PATCH", "/qapi/twins/did:5", `{"location":{"lat":0,"lon":0}}`)
	for _, c := range []struct {
		name, query, body string
		want              []string
	}{
		{"everything", "", `{}`, []string{"did:1", "did:2", "did:3", "did:4", "did:5"}},
		{"nothing asked, as null", "?scope=GLOBAL", `{"filter":{"properties":null,"text":null,"location":null},"responseType":null}`, []string{"did:1", "did:2", "did:3", "did:4", "did:5"}},
		{"text: any keyword in label or comment, more of them first", "?scope=LOCAL", `{"filter":{"text":"machine model"}}`, []string{"did:1", "did:2", "did:4"}},
		{"properties and text", "?scope=LOCAL", `{"filter":{"properties":[` + typed + `],"text":"Machine model (tutorial)"},"responseType":"FULL"}`, []string{"did:1"}},
		{"typed value", "", `{"filter":{"properties":[{"key":"n","literalValue":{"dataType":"integer","value":"1"}}]}}`, []string{"did:4"}},
		{"another type of the value", "", `{"filter":{"properties":[{"key":"n","stringLiteralValue":{"value":"1"}}]}}`, nil},
		{"nested value", "", `{"filter":{"properties":[{"key":"n","value":{"literalValue":{"dataType":"integer","value":"1"}}}]}}`, []string{"did:4"}},
		{"circle", "", `{"filter":{"location":{"location":{"lat":0.1,"lon":0.1},"radiusKm":20}}}`, []string{"did:5"}},
		{"all three", "", `{"filter":{"text":"other","location":{"location":{"lat":0,"lon":0},"radiusKm":20}}}`, nil},
		{"condition", "", `{"filter":{"jsonLogic":{"and":[{"<":[{"var":"properties.n"},2]},{"!=":[{"var":"id"},"did:1"]}]}}}`, []string{"did:4"}},
		{"condition and text", "?limit=1&offset=1", `{"filter":{"text":"machine model","jsonLogic":{"in":["did:",{"var":"id"}]}}}`, []string{"did:2"}},
		{"condition, null", "", `{"filter":{"text":"far","jsonLogic":null}}`, []string{"did:5"}},
		{"page", "?limit=2&offset=1", `{}`, []string{"did:2", "did:3"}},
		{"beyond", "?offset=9", `{}`, nil},
		{"expiry", "?lang=en", `{"filter":{"text":"far"},"expiryTimeout":"2026-11-02T00:00:00Z"}`, []string{"did:5"}},
	} {
		f := s.search(c.query, c.body)
		assert.Equal(t, c.want, f.ids(t), c.name)
	}

	f := s.search("", `{"filter":{"text":"sensor"},"responseType":"MINIMAL"}`)
	assert.JSONEq(t, `{"id":{"value":"did:3"},"twinId":`+twinName("did:3")+`}`, string(f.Result.Payload.Twins[0]))
	assert.Equal(t, "MINIMAL", f.Result.Payload.ResponseType)
	assert.Equal(t, host, f.Result.Payload.HostID)
	f = s.search("", `{"filter":{"text":"sensor"},"responseType":"LOCATED"}`)
	assert.JSONEq(t, `{"id":{"value":"did:3"},"twinId":`+twinName("did:3")+`,"location":{"lat":51.5,"lon":-0.1}}`, string(f.Result.Payload.Twins[0]))
	f = s.search("", `{"filter":{"text":"far"}}`)
	assert.JSONEq(t, `{"id":{"value":"did:5"},"twinId":`+twinName("did:5")+`,"location":{"lat":0,"lon":0},"visibility":"PRIVATE",
		"properties":[{"key":"http://www.w3.org/2000/01/rdf-schema#label","langLiteralValue":{"lang":"en","value":"far"}}],
		"feeds":[{`+feedName("did:5", "f")+`,"storeLast":false,"properties":[]}],"inputs":[]}`, string(f.Result.Payload.Twins[0]))

	_, header, answer := s.ask("POST", "/qapi/searches", `{"responseType":"MINIMAL","filter":{"text":"nobody"}}`, "Iotics-ClientRef", "r", "Iotics-ClientAppId", "a", "Iotics-TransactionRef", "t1, t2")
	assert.Equal(t, `{"result":{"headers":{"clientRef":"r","clientAppId":"a","transactionRef":["t1","t2"]},"payload":{"responseType":"MINIMAL","hostId":"`+host+`","twins":[]}}}`, answer)
	assert.Equal(t, []string{"r", "a", "t1, t2"}, []string{header.Get("Iotics-ClientRef"), header.Get("Iotics-ClientAppId"), header.Get("Iotics-TransactionRef")}, "every answer says what it belongs to")
}

// A page holds 500 twins where the client does not say, and 1000 at most.
func TestPagesOfASearch(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for i := range 1100 {
		require.NoError(t, s.PutTwin(t.Context(), twins.Twin{ID: fmt.Sprintf("did:%04d", i), Properties: []rules.Property{twins.LangString(rules.PropLabel, "machine", "en")}}))
	}
	for query, want := range map[string]int{"": 500, "?limit=0": 500, "?limit=700": 700, "?limit=5000": 1000, "?offset=1000": 100} {
		f := s.search(query, `{"filter":{"text":"machine"}}`)
		assert.Len(t, f.Result.Payload.Twins, want, query)
	}
	assert.Equal(t, 500, strings.Count(s.do("GET", "/qapi/twins", ""), `"twinId"`))
}
