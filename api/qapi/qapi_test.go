package qapi_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api"
	"tocsin.internal/api/access"
	"tocsin.internal/api/apitest"
	"tocsin.internal/api/qapi"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/natstest"
	"tocsin.internal/twins"
)

func TestMain(m *testing.M) { natstest.Main(m) }

const host = "did:iotics:iotHostOfTheTests"

// space is a host that serves the API, with an engine behind it.
type space struct {
	*engine.Engine
	bus *bus.Bus
	t   *testing.T
	url string
}

// start starts one; change may change what serves it.
func start(t *testing.T, change func(*api.Options, *qapi.Options)) *space {
	t.Helper()
	return join(t, bus.Config{Dir: t.TempDir(), Partitions: 2}, change)
}

// join starts one on a bus.
func join(t *testing.T, c bus.Config, change func(*api.Options, *qapi.Options)) *space {
	t.Helper()
	opening, opened := context.WithTimeout(t.Context(), time.Minute)
	defer opened()
	b, err := bus.Open(opening, c)
	require.NoError(t, err)
	e, err := engine.New(t.Context(), engine.Config{Bus: b, Log: zerolog.Nop(), Lease: time.Minute}) // nobody takes over from one that is late
	require.NoError(t, err)
	o := qapi.Options{Engine: e, Emit: e.TryEmit("qapi", time.Minute), Host: host, Version: "1.2.3"}
	var served api.Options
	if change != nil {
		change(&served, &o)
	}
	o.Guard = served.Guard
	served.Routes = qapi.New(o).Routes()
	return &space{Engine: e, bus: b, t: t, url: apitest.Serve(t, b, e, served)}
}

func (s *space) until(what string, f func() bool) {
	s.t.Helper()
	require.Eventually(s.t, f, time.Minute, 5*time.Millisecond, what)
}

// ask sends a request and gives the answer.
func (s *space) ask(method, path, body string, headers ...string) (status int, header http.Header, answer string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer res.Body.Close() //nolint:errcheck // it has been read
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	assert.Equal(s.t, "application/json", res.Header.Get("Content-Type"))
	assert.True(s.t, json.Valid(text), "%s %s: %s", method, path, text)
	assert.NotContains(s.t, string(bytes.TrimSuffix(text, []byte("\n"))), "\n", "one line")
	return res.StatusCode, res.Header, strings.TrimSuffix(string(text), "\n")
}

// sized is a body of so many bytes. One that is a byte over the limit is read to its
// end: who has more to say may find the connection closed before it hears why.
func sized(size int, begins, ends string) string {
	return begins + strings.Repeat("A", size-len(begins)-len(ends)) + ends
}

// do is ask for a request that succeeds.
func (s *space) do(method, path, body string) string {
	s.t.Helper()
	status, _, answer := s.ask(method, path, body)
	require.Equal(s.t, 200, status, "%s %s: %s", method, path, answer)
	return answer
}

// twinName is how an answer names a twin.
func twinName(id string) string {
	return `{"value":"` + id + `","id":"` + id + `","hostId":"` + host + `"}`
}

func feedName(twin, feed string) string {
	return `"feed":{"id":{"value":"` + feed + `"},"twinId":{"value":"` + twin + `"}},` +
		`"feedId":{"value":"` + feed + `","id":"` + feed + `","twinId":"` + twin + `","hostId":"` + host + `"}`
}

const (
	label   = `"key":"http://www.w3.org/2000/01/rdf-schema#label"`
	english = `{` + label + `,"langLiteralValue":{"lang":"en","value":"Pump"}}`
	line2   = `{"key":"https://example.com/line","literalValue":{"dataType":"integer","value":"2"}}`
)

// Every form of an id is taken, wherever one stands, and every write may be sent
// twice.
func TestDialects(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, root := range []string{"/qapi/twins", "/qapi/hosts/" + host + "/twins"} {
		for _, id := range []string{`"did:a"`, `{"value":"did:a"}`, `{"id":"did:a"}`, `{"id":"did:a","hostId":"` + host + `"}`, `{"value":"did:a","id":"did:a","hostId":"h"}`} {
			assert.JSONEq(t, `{"twinId":`+twinName("did:a")+`}`, s.do("POST", root, `{"twinId":`+id+`}`), id)
			assert.JSONEq(t, `{"twinId":`+twinName("did:a")+`}`, s.do("POST", root, `{"id":`+id+`}`), id)
		}
		for _, id := range []string{
			`"id":"f"`, `"id":{"value":"f"}`, `"feedId":"f"`, `"feedId":{"value":"f"}`, `"feedId":{"id":"f"}`, `"feedId":{"id":"f","twinId":"did:a","hostId":"h"}`,
			`"feed":{"id":{"value":"f"},"twinId":{"value":"did:a"}}`, `"feedId":{"id":{"id":"f"},"twinId":{"id":"did:a"}}`, `"feedId":{"value":"f"},"storeLast":true`,
		} {
			assert.JSONEq(t, `{`+feedName("did:a", "f")+`}`, s.do("POST", root+"/did:a/feeds", `{`+id+`}`), id)
		}
	}
	assert.JSONEq(t, `{"feeds":[{"id":{"value":"f"},"twinId":{"value":"did:a"},`+feedName("did:a", "f")+`,"storeLast":false}],
		"feedIds":[{"value":"f","id":"f","twinId":"did:a","hostId":"`+host+`"}]}`, s.do("GET", "/qapi/twins/did:a/feeds", ""))
	assert.Equal(t, 1, s.Stats().Twins)
}

func TestTwins(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.do("POST", "/qapi/twins", `{"twinId":"did:a"}`)
	s.do("PATCH", "/qapi/twins/did:a", `{"newVisibility":{"visibility":"PUBLIC"},"properties":{"added":[`+english+`,`+line2+`],"clearedAll":true},"location":{"location":{"lat":51.5,"lon":-0.1}}}`)
	described := `{"twin":{"id":{"value":"did:a"},"visibility":"PUBLIC"},"twinId":` + twinName("did:a") + `,"result":{"location":{"lat":51.5,"lon":-0.1},"visibility":"PUBLIC","properties":[` + english + `,` + line2 + `],"feeds":[],"inputs":[]}}`
	assert.JSONEq(t, described, s.do("GET", "/qapi/twins/did:a", ""))

	s.do("PATCH", "/qapi/twins/did:a", `{}`)
	assert.JSONEq(t, described, s.do("GET", "/qapi/twins/did:a", ""), "nothing asked, nothing changed")
	s.do("PATCH", "/qapi/twins/did:a", `{"location":{},"newVisibility":"PRIVATE","properties":{"deletedByKey":["https://example.com/line"],"added":[`+line2+`,`+english+`]}}`)
	twin, ok := s.Twin("did:a")
	require.True(t, ok)
	assert.Nil(t, twin.Location)
	assert.Equal(t, "PRIVATE", twin.Visibility)
	assert.Len(t, twin.Properties, 2, "deleted before it was added; the other one was there")
	for _, nowhere := range []string{`{"lat":1,"lon":2}`, `{}`, `{"location":{"lat":1,"lon":2}}`, `{"location":null}`} {
		s.do("PATCH", "/qapi/twins/did:a", `{"location":`+nowhere+`}`)
		twin, _ := s.Twin("did:a")
		assert.Equal(t, strings.Contains(nowhere, "lat"), twin.Location != nil, nowhere)
	}

	upsert := `{"twinId":{"id":"did:b"},"properties":[` + english + `],"location":{"lat":1,"lon":2},"feeds":[{"id":"f","storeLast":true,"values":[{"label":"t"}],"properties":[]},{"id":{"value":"g"}}],"inputs":[{"id":"i","values":[{"label":"on","dataType":"boolean"}],"properties":[` + english + `]}]}`
	for range 2 {
		assert.JSONEq(t, `{"twinId":`+twinName("did:b")+`}`, s.do("PUT", "/qapi/twins", upsert))
	}
	twin, _ = s.Twin("did:b")
	assert.Equal(t, "PRIVATE", twin.Visibility)
	assert.True(t, twin.Feeds[0].StoreLast)
	assert.False(t, twin.Feeds[1].StoreLast)
	assert.JSONEq(t, `{"input":{"id":{"value":"i"},"twinId":{"value":"did:b"}},"inputId":{"value":"i","id":"i","twinId":"did:b","hostId":"`+host+`"},
		"result":{"values":[{"label":"on","comment":"","unit":"","dataType":"boolean"}],"properties":[`+english+`]}}`, s.do("GET", "/qapi/twins/did:b/inputs/i", ""))
	s.do("DELETE", "/qapi/twins/did:b/inputs/i", "")
	s.do("DELETE", "/qapi/twins/did:b/inputs/i", "")
	s.do("DELETE", "/qapi/twins/did:b/feeds/g", "")
	s.do("DELETE", "/qapi/twins/did:b/feeds/g", "")
	assert.JSONEq(t, `{"interests":[]}`, s.do("GET", "/qapi/twins/did:b/interests", ""))

	var list struct {
		Twins []struct{ ID, TwinID struct{ Value, ID string } }
	}
	require.NoError(t, json.Unmarshal([]byte(s.do("GET", "/qapi/twins?limit=1&offset=1", "")), &list))
	require.Len(t, list.Twins, 1)
	assert.Equal(t, "did:b", list.Twins[0].ID.Value)
	assert.Equal(t, "did:b", list.Twins[0].TwinID.ID)
	for range 2 {
		assert.JSONEq(t, `{"twinId":`+twinName("did:b")+`}`, s.do("DELETE", "/qapi/twins/did:b", ""))
	}
	assert.Equal(t, 1, s.Stats().Twins)
}

func TestFeeds(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.do("POST", "/qapi/twins", `{"twinId":"did:a"}`)
	s.do("POST", "/qapi/twins/did:a/feeds", `{"feedId":"f"}`)
	update := `{"storeLast":true,"values":{"added":[{"comment":"Degrees","dataType":"decimal","label":"t"},{"label":"h","unit":"http://u"}]},"properties":{"added":[` + english + `],"clearedAll":true}}`
	described := `{` + feedName("did:a", "f") + `,"result":{"values":[{"label":"t","comment":"Degrees","unit":"","dataType":"decimal"},{"label":"h","comment":"","unit":"http://u","dataType":""}],"properties":[` + english + `],"storeLast":true}}`
	for range 2 {
		assert.JSONEq(t, `{`+feedName("did:a", "f")+`}`, s.do("PATCH", "/qapi/twins/did:a/feeds/f", update))
		assert.JSONEq(t, described, s.do("GET", "/qapi/twins/did:a/feeds/f", ""))
		s.do("POST", "/qapi/twins/did:a/feeds", `{"feedId":"f"}`) // again: it stays as it is
	}
	s.do("PATCH", "/qapi/twins/did:a/feeds/f", `{"values":{"added":[{"label":"x"},{"label":"t","unit":"K"}],"deletedByLabel":["h","x"]}}`)
	twin, _ := s.Twin("did:a")
	assert.Equal(t, "K", twin.Feeds[0].Values[0].Unit)
	assert.Len(t, twin.Feeds[0].Values, 1, "deleted by label beats added")
	assert.True(t, twin.Feeds[0].StoreLast)
}

func TestShares(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.do("POST", "/qapi/twins", `{"twinId":"did:a"}`)
	s.do("POST", "/qapi/twins/did:a/feeds", `{"feedId":"f"}`)
	for _, sample := range []string{
		`{"data":"eyJ0IjozMX0=","mime":"application/json","occurredAt":"2026-11-02T00:27:31.641240+00:00"}`,
		`{"data":"eyJ0IjozMn0=","mime":"application/json; charset=utf-8","occurredAt":"2026-11-02T06:00:00+05:30"}`,
		`{"data":"ewogInQiOiAzMwp9Cg==","mime":"application/json"}`,
		`{"data":"eyJ0IjozNH0=","occurredAt":null}`,
	} {
		assert.JSONEq(t, `{}`, s.do("POST", "/qapi/twins/did:a/feeds/f/shares", `{"sample":`+sample+`}`), sample)
	}
	s.until("they are judged", func() bool { return s.Stats().Samples == 4 })
	assert.Zero(t, s.Stats().DeadLetters)

	for i, c := range []struct {
		path, body string
		status     int
		message    string
	}{
		{"did:a/feeds/f", `{"sample":{"data":"eyJ0IjozMX0","mime":"application/json"}}`, 400, `body:1:19: /sample/data: got "eyJ0IjozMX0"; want base64 with padding (RFC 4648, section 4)`},
		{"did:a/feeds/f", `{"sample":{"data":"//__","mime":"application/json"}}`, 400, `body:1:19: /sample/data: got "//__"; want base64 with padding (RFC 4648, section 4)`},
		{"did:a/feeds/f", `{"sample":{"data":"aGk=","mime":"text/plain"}}`, 400, `body:1:33: /sample/mime: got "text/plain"; want application/json: rules read nothing else`},
		{"did:a/feeds/f", `{"sample":{"data":"WzFd"}}`, 400, `body:1:19: /sample/data: decoded, it is no object; want one`},
		{"did:a/feeds/f", `{"sample":{"data":"e30","occurredAt":"yesterday"}}`, 400, `body:1:38: /sample/occurredAt: got "yesterday"; want a time such as 2026-11-02T10:00:00+00:00`},
		{"did:a/feeds/f", `{"sample":{"data":"e30=","occurredAt":"0000-01-01T00:00:00+01:00"}}`, 400, `want a time such as`},
		{"did:a/feeds/f", `{"sample":{"data":"e30=","occurredAt":"9999-12-31T23:59:59-01:00"}}`, 400, `want a time such as`},
		{"did:a/feeds/f", `{"sample":{"data":"e30=","occurredAt":1730541600}}`, 400, `/sample/occurredAt: got 1730541600; want a time such as`},
		{"did:a/feeds/f", `{"sample":{"data":"e30=","occurredAt":"2036-11-02T10:00:00Z"}}`, 400, `at most 5m0s ahead`},
		{"did:a/feeds/f", `{"simple":{}}`, 400, `body:1:1: field "sample" is missing`},
		{"did:a/feeds/f", `{"sample":`, 400, `body:1:`},
		{"did:a/feeds/g", `{"sample":{"data":"e30="}}`, 404, `unknown feed "g" of twin "did:a"; it has ["f"]`},
		{"did:b/feeds/f", `{"sample":{"data":"e30="}}`, 404, `unknown twin "did:b"`},
	} {
		status, _, answer := s.ask("POST", "/qapi/twins/"+c.path+"/shares", c.body)
		assert.Equal(t, c.status, status, c.body)
		assert.Contains(t, refusalOf(t, answer, map[int]int{400: 3, 404: 5}[c.status]), c.message)
		assert.Equal(t, uint64(i+1), s.Stats().DeadLetters, "it is kept: %s", c.body)
	}
	status, _, answer := s.ask("POST", "/qapi/twins/did:a/feeds/f/shares", sized(512<<10+1, `{"sample":{"data":"`, `"}}`))
	assert.Equal(t, 413, status)
	assert.Contains(t, refusalOf(t, answer, 3), "too large")
}

// refusalOf is the message of a gRPC status, whose code is wanted.
func refusalOf(t *testing.T, answer string, code int) string {
	t.Helper()
	var status struct {
		Code    int
		Message string
		Details []any
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &status), answer)
	assert.Equal(t, code, status.Code, answer)
	assert.NotNil(t, status.Details)
	return status.Message
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.do("PUT", "/qapi/twins", `{"twinId":"did:a","feeds":[{"id":"f"}],"inputs":[{"id":"i"}]}`)
	s.do("PUT", "/qapi/twins", `{"twinId":"did:big","properties":[{"key":"k","stringLiteralValue":{"value":"`+strings.Repeat("y", 300_000)+`"}}]}`)
	long := strings.Repeat("x", 10_000)
	for _, c := range []struct {
		method, path, body string
		status             int
		message            string
	}{
		{"POST", "/qapi/twins", ``, 400, "empty document"},
		{"POST", "/qapi/twins", `[]`, 400, "got an array; want an object"},
		{"POST", "/qapi/twins", `{"twinId":3}`, 400, `body:1:11: /twinId: got 3; want an id: "x", {"value":"x"} or {"id":"x"}`},
		{"POST", "/qapi/twins", `{"twinId":null}`, 400, "want an id"},
		{"POST", "/qapi/twins", `{"twinId":{"name":"a"}}`, 400, "no id in it"},
		{"POST", "/qapi/twins", `{"twinId":{}}`, 400, "want an id"},
		{"PUT", "/qapi/twins", `{"twinId":{"name":"a"}}`, 400, "want an id"},
		{"POST", "/qapi/twins/did:a/feeds", `{"feedId":{"id":{"name":"f"}}}`, 400, "no id in it"},
		{"POST", "/qapi/twins", `{"twinId":{"value":"a","id":"b"}}`, 400, "want one id"},
		{"POST", "/qapi/twins", `{"twin":"a"}`, 400, `field "twinId" is missing`},
		{"POST", "/qapi/twins", `{"twinId":"a","twinId":"b"}`, 400, "duplicate"},
		{"POST", "/qapi/twins", `{"twinId":"` + long + `"}`, 400, "id of 10000 bytes; want at most 256"},
		{"POST", "/qapi/twins", `{"twinId":"a\u0000b"}`, 400, "printable"},
		{"GET", "/qapi/twins/" + long, ``, 400, "twin id of 10000 bytes in the path; want at most 256"},
		{"GET", "/qapi/twins/did:a/feeds/" + long, ``, 400, "feed id of 10000 characters in the path"},
		{"GET", "/qapi/twins/a%00b", ``, 400, "printable"},
		{"GET", "/qapi/twins/a%FFb", ``, 400, "printable"},
		{"GET", "/qapi/twins?limit=x", ``, 400, `limit: got "x"; want a whole number, zero or more`},
		{"GET", "/qapi/twins?offset=-1", ``, 400, `offset: got "-1"`},
		{"GET", "/qapi/twins/did:b", ``, 404, `no twin "did:b"`},
		{"PATCH", "/qapi/twins/did:b", `{}`, 404, `no twin "did:b"`},
		{"PATCH", "/qapi/twins/did:a", `{"location":{"lat":91,"lon":0}}`, 400, "/location/lat: got 91; want degrees from -90 to 90"},
		{"PATCH", "/qapi/twins/did:a", `{"newVisibility":{"visibility":"SECRET"}}`, 400, `got "SECRET"; want PUBLIC or PRIVATE`},
		{"PATCH", "/qapi/twins/did:a", `{"properties":{"added":[{"key":"k","uriVal":{"value":"x"}}]}}`, 400, `/properties/added/0/uriVal: unknown field "uriVal"`},
		{"PATCH", "/qapi/twins/did:a", `{"properties":{"added":[{"key":"k"}]}}`, 400, `has no value; want one of`},
		{"PATCH", "/qapi/twins/did:a", `{"properties":{"added":[{"key":"k","uriValue":{"value":"x"},"stringLiteralValue":{"value":"x"}}]}}`, 400, `has both stringLiteralValue and uriValue; want one`},
		{"PATCH", "/qapi/twins/did:a", `{"properties":{"added":[{"key":"k","literalValue":{"dataType":"decimals","value":"1"}}]}}`, 400, `did you mean "decimal"?`},
		{"PATCH", "/qapi/twins/did:a", `{"properties":{"clearedAll":"yes"}}`, 400, `/properties/clearedAll: got "yes"; want true or false`},
		{"PATCH", "/qapi/twins/did:a", `{"labels":{"added":[{"lang":"en","value":"x"}]}}`, 400, `/labels: labels is of the API before 27 January 2022; want properties such as {"key":"http://www.w3.org/2000/01/rdf-schema#label"`},
		{"PATCH", "/qapi/twins/did:a/feeds/f", `{"tags":{"added":["x"]}}`, 400, `/tags: tags is of the API before 27 January 2022`},
		{"PATCH", "/qapi/twins/did:a/feeds/g", `{}`, 404, `no feed "g" of twin "did:a"; did you mean "f"?`},
		{"POST", "/qapi/twins/did:a/feeds", `{"feedId":{"id":"f","twinId":"did:b"}}`, 400, `a feed of twin "did:b"; want one of twin "did:a", as the path says`},
		{"POST", "/qapi/twins/did:a/feeds", `{}`, 400, `field "feedId" is missing`},
		{"POST", "/qapi/twins/did:b/feeds", `{"feedId":"f"}`, 404, `no twin "did:b"`},
		{"PUT", "/qapi/twins", `{"twinId":"did:c","feeds":[{"id":"f"},{"id":"f"}]}`, 400, `"f" is there twice`},
		{"PUT", "/qapi/twins", `{"twinId":"did:c","feeds":[{"id":"f","labels":[]}]}`, 400, `/feeds/0/labels: labels is of the API before`},
		{"PATCH", "/qapi/twins/did:big", `{"properties":{"added":[{"key":"l","stringLiteralValue":{"value":"` + strings.Repeat("z", 300_000) + `"}}]}}`, 400, `bytes with its feeds and properties; want at most 524288`},
		{"PUT", "/qapi/twins", sized(512<<10+1, `{"twinId":"did:c","properties":"`, `"}`), 413, `too large`},
		{"GET", "/qapi/twins/did:a/inputs/j", ``, 404, `no input "j" of twin "did:a"; did you mean "i"?`},
		{"POST", "/qapi/twins/did:a/interests/twins/did:a/inputs/j/messages", `{"message":{"data":"e30="}}`, 404, `no input "j"`},
		{"POST", "/qapi/twins/did:a/interests/twins/did:a/inputs/i/messages", `{"message":{"data":"!"}}`, 400, `want base64`},
		{"POST", "/qapi/twins/did:b/interests/twins/did:a/inputs/i/messages", `{"message":{"data":"e30="}}`, 404, `no twin "did:b"`},
		{"GET", "/qapi/twins/did:a/interests/twins/did:a/feeds/f/samples/last", ``, 404, `keeps no sample (storeLast is false)`},
		{"GET", "/qapi/hosts/did:other/twins/did:a", ``, 404, `no host "did:other"`},
		{"GET", "/qapi/twins/did:a/interests/hosts/did:other/twins/did:a/feeds/f/samples/last", ``, 404, `no host "did:other"`},
		{"POST", "/qapi/searches?scope=HERE", `{}`, 400, `scope: got "HERE"; want LOCAL or GLOBAL`},
		{"POST", "/qapi/searches", `{"responseType":"ALL"}`, 400, `/responseType: got "ALL"; want FULL, LOCATED or MINIMAL`},
		{"POST", "/qapi/searches", `{"filter":{"properties":[{"key":"k","value":{"uriVal":{}}}]}}`, 400, `unknown field "uriVal"`},
		{"POST", "/qapi/searches", `{"filter":{"location":{"location":{"lat":1,"lon":1},"radiusKm":-1}}}`, 400, `/filter/location/radiusKm: got -1`},
		{"POST", "/qapi/searches", `{"filter":{"jsonLogic":{"gt":[1,2]}}}`, 400, `/filter/jsonLogic`},
		{"POST", "/qapi/searches", `{"filter":{"jsonLogic":{},"txt":"x","text":7}}`, 400, `/filter/text: got 7`},
		{"POST", "/qapi/twins", `{"twinId":"/"}`, 400, `/twinId: got "/"; want an id that can stand in a path`},
		{"POST", "/qapi/twins", `{"twinId":"did:a","id":"did:b"}`, 400, `twinId is "did:a" and id is "did:b"; want one id`},
		{"POST", "/qapi/twins", `{"id":""}`, 400, `/id: got ""; want an id`},
		{"POST", "/qapi/twins/did:a/feeds", `{"id":"/"}`, 400, `/id: got "/"; want an id that can stand in a path`},
		{"PUT", "/qapi/twins", `{"twinId":"/","feeds":[{"id":"/"}],"inputs":[{"id":"/"}]}`, 400, `/inputs/0: got "/"`},
		{"GET", "/qapi/nothing", ``, 404, "nothing at /qapi/nothing"},
		{"PUT", "/qapi/twins/did:a", `{}`, 405, "no PUT at /qapi/twins/did:a"},
	} {
		status, _, answer := s.ask(c.method, c.path, c.body)
		assert.Equal(t, c.status, status, "%s %.100s %.100s: %s", c.method, c.path, c.body, answer)
		assert.Contains(t, refusalOf(t, answer, map[int]int{400: 3, 404: 5, 405: 12, 413: 3}[c.status]), c.message)
		assert.Less(t, len(answer), 1500)
	}
	_, known := s.Twin("did:c")
	assert.False(t, known)
	twin, _ := s.Twin("did:a")
	assert.Empty(t, twin.Properties, "what is refused changes nothing")
}

// Ids may be any printable text; in paths it is percent-encoded.
func TestOddIDs(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, c := range [][2]string{
		{"a.b.c", "a.b.c"}, {"*", "%2A"}, {">", "%3E"}, {"a/b", "a%2Fb"}, {"a b", "a%20b"}, {"ü+ö", "%C3%BC+%C3%B6"}, {"%", "%25"}, {"%2F", "%252F"}, {"=?#", "%3D%3F%23"}, {"..", "%2E%2E"},
	} {
		id, in := c[0], c[1]
		s.do("POST", "/qapi/twins", `{"twinId":{"value":"`+id+`"}}`)
		s.do("POST", "/qapi/twins/"+in+"/feeds", `{"feedId":{"value":"`+id+`"}}`)
		assert.Contains(t, s.do("GET", "/qapi/twins/"+in+"/feeds/"+in, ""), feedName(id, id))
		s.do("POST", "/qapi/twins/"+in+"/feeds/"+in+"/shares", `{"sample":{"data":"e30=","occurredAt":"2026-11-02T10:00:00Z"}}`)
	}
	s.until("they are judged", func() bool { return s.Stats().Samples == 10 })
	assert.Zero(t, s.Stats().DeadLetters)
	s.do("DELETE", "/qapi/twins/%2A", "")
	assert.Equal(t, 9, s.Stats().Twins, "an id is no pattern")
}

// What the API does not know is left out, and said.
func TestUnknownFieldsAreTolerated(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	status, header, _ := s.ask("POST", "/qapi/twins", `{"twinId":{"value":"did:a","colour":"red"},"later":{"x":1}}`)
	assert.Equal(t, 200, status)
	assert.Equal(t, []string{
		`299 - "body:1:28: /twinId/colour: unknown field \"colour\"; want one of hostId, id, twinId, value"`,
		`299 - "body:1:44: /later: unknown field \"later\"; want one of id, twinId"`,
	}, header.Values("Warning"))
	status, header, _ = s.ask("PATCH", "/qapi/twins/did:a", `{"properties":{"added":[{"key":"k","stringLiteralValue":{"value":"","later":1}}],"deleted":null},"a":1,"b":1,"c":1,"d":1,"e":1,"ü":"\n"}`)
	assert.Equal(t, 200, status)
	assert.Len(t, header.Values("Warning"), 6)
	assert.Equal(t, `299 - "2 more"`, header.Values("Warning")[5])
	twin, _ := s.Twin("did:a")
	assert.Len(t, twin.Properties, 1)
}

// Clients that write all fields of a property have the literals that it has not as
// null. Without any literal it is none.
func TestLiteralsThatAreNullAreAbsent(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	nulls := `"uriValue":null,"literalValue":null,"langLiteralValue":null`
	property := `{"key":"k",` + nulls + `,"stringLiteralValue":{"value":"b"}}`
	s.do("PUT", "/qapi/twins", `{"twinId":"did:a","properties":[`+property+`],"feeds":[{"id":"f"}]}`)
	s.do("PATCH", "/qapi/twins/did:a/feeds/f", `{"properties":{"added":[`+property+`]}}`)
	found := s.do("POST", "/qapi/searches", `{"filter":{"properties":[`+property+`]}}`)
	assert.Contains(t, found, `"properties":[{"key":"k","stringLiteralValue":{"value":"b"}}]`)
	for _, none := range []string{nulls, `"uriValue":null`} {
		status, _, text := s.ask("PATCH", "/qapi/twins/did:a", `{"properties":{"added":[{"key":"l",`+none+`}]}}`)
		assert.Equal(t, 400, status, text)
		assert.Contains(t, text, "/properties/added/0/uriValue: got null; want an object")
	}
}

// An id that cannot be one is there all the same.
func TestAnIDThatIsWrongIsNotMissing(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for id, want := range map[string]string{
		`{"value":"a\nb"}`:         `body:1:20: /twinId/value: got \"a\\nb\"; want an id of printable characters`,
		`{"value":"a","id":"b"}`:   `body:1:11: /twinId: value is \"a\" and id is \"b\"; want one id`,
		`{"value":"","later":"b"}`: `body:1:20: /twinId/value: got \"\"; want an id`,
	} {
		status, _, text := s.ask("POST", "/qapi/twins", `{"twinId":`+id+`}`)
		assert.Equal(t, 400, status)
		assert.Contains(t, text, want)
		assert.NotContains(t, text, "no id in it")
	}
}

// The last sample is that of a feed that keeps it, also of an output twin.
func TestLastSample(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	last := func(twin, feed string) string {
		return "/qapi/twins/did:model/interests/twins/" + twin + "/feeds/" + feed + "/samples/last"
	}
	for i, requests := range story() {
		for _, r := range requests {
			s.do(r.method, r.path, r.body)
		}
		if i == 0 {
			s.do("PUT", "/qapi/twins", `{"twinId":"did:silent","feeds":[{"id":"f","storeLast":true}]}`)
			status, _, answer := s.ask("GET", last("did:silent", "f"), "")
			assert.Equal(t, 404, status)
			assert.Equal(t, `nothing has been shared yet on feed "f" of twin "did:silent"`, refusalOf(t, answer, 5))
		}
	}
	want := func(twin, feed, data string) string {
		return `{"interest":{"followerTwinId":` + twinName("did:model") + `,"followedFeed":{"feed":{"id":{"value":"` + feed + `"},"twinId":{"value":"` + twin + `"}}},
			"followedFeedId":{"value":"` + feed + `","id":"` + feed + `","twinId":"` + twin + `","hostId":"` + host + `"}},
			"feedData":{"data":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `","mime":"application/json","occurredAt":"2026-11-02T10:00:00.123456Z"}}`
	}
	assert.JSONEq(t, want(machine(1), "currentTemp", `{"temperature": 35}`), s.do("GET", last(machine(1), "currentTemp"), ""))
	out := twins.OutputID("did:alert", machine(1))
	s.until("the output", func() bool {
		status, _, _ := s.ask("GET", last(out, "temperature_status"), "")
		return status == 200
	})
	assert.JSONEq(t, want(out, "temperature_status", `{"status":"extreme","temperature":35}`), s.do("GET", last(out, "temperature_status"), ""))
}

// Of a pool any worker can be asked for anything; what one has done, the next
// request to another finds done.
func TestAnyWorkerOfAPool(t *testing.T) {
	t.Parallel()
	a := join(t, bus.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Partitions: 2}, nil)
	b := join(t, bus.Config{URL: a.bus.ClientURL(), Partitions: 2}, nil)
	workers := []*space{a, b}
	require.Len(t, slices.DeleteFunc(slices.Clone(workers), func(s *space) bool { return s.Elsewhere() == "" }), 1)
	turn := 0
	for _, requests := range story() {
		for _, r := range requests {
			workers[turn%2].do(r.method, r.path, r.body)
			turn++
		}
	}
	for i, s := range workers {
		twin := machine(i)
		s.do("PATCH", "/qapi/twins/"+twin, `{"properties":{"added":[`+line2+`]}}`)
		assert.Contains(t, workers[1-i].do("GET", "/qapi/twins/"+twin, ""), "https://example.com/line")
		s.until("output twins", func() bool {
			f := s.search("", `{"filter":{"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:alert"}}]}}`)
			return len(f.ids(t)) == machines
		})
		status, _, answer := s.ask("POST", "/qapi/twins/did:nobody/feeds/f/shares", `{"sample":{"data":"e30="}}`)
		assert.Equal(t, 404, status)
		assert.Contains(t, refusalOf(t, answer, 5), "did:nobody")
		status, header, answer := s.ask("PATCH", "/qapi/twins/"+twin, `{"x":1}`)
		assert.Equal(t, 200, status, answer)
		assert.Len(t, header.Values("Warning"), 1)
		status, _, answer = s.ask("PUT", "/qapi/twins", sized(512<<10+1, `{"twinId":"did:c","properties":"`, `"}`))
		assert.Equal(t, 413, status)
		refusalOf(t, answer, 3)
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for text, want := range map[string]int{
		"": 200, "2046-11-02T10:00:00.123456+00:00": 200, "2046-11-02T10:00:00.123": 200, "2026-11-02T10:00:00Z": 504, "soon": 400,
	} {
		status, _, answer := s.ask("POST", "/qapi/searches", `{}`, "Iotics-RequestTimeout", text)
		assert.Equal(t, want, status, answer)
		if status != 200 {
			message := refusalOf(t, answer, map[int]int{400: 3, 504: 4}[want])
			assert.Contains(t, message, map[int]string{400: "header Iotics-RequestTimeout", 504: "not done by 2026-11-02T10:00:00Z"}[want])
		}
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	callers := map[string]*access.Caller{
		"reader": {Name: "reader", Actions: []access.Action{access.Read}},
		"pump":   {Name: "pump", Actions: []access.Action{access.Read, access.Share}, Twins: []string{"did:pump*"}},
		"maker":  {Name: "maker", Actions: []access.Action{access.Read, access.Control}, Twins: []string{"did:pump*"}},
	}
	s := start(t, func(o *api.Options, _ *qapi.Options) {
		o.Guard = &access.Guard{Identify: func(_ context.Context, token string) (*access.Caller, error) {
			if c := callers[token]; c != nil {
				return c, nil
			}
			return nil, access.Unknown("nobody has this token")
		}}
	})
	require.NoError(t, s.PutTwin(t.Context(), twins.Twin{ID: "did:other"}))
	for _, c := range []struct {
		who, method, path, body string
		status                  int
	}{
		{"", "GET", "/index.json", ``, 200},
		{"", "GET", "/qapi/twins", ``, 401},
		{"nobody", "GET", "/qapi/twins", ``, 401},
		{"reader", "GET", "/qapi/twins", ``, 200},
		{"reader", "POST", "/qapi/twins", `{"twinId":"did:pump1"}`, 403},
		{"maker", "POST", "/qapi/twins", `{"twinId":"did:other"}`, 403},
		{"maker", "POST", "/qapi/twins", `{"twinId":"did:pump1"}`, 200},
		{"maker", "PUT", "/qapi/twins", `{"twinId":"did:other"}`, 403},
		{"maker", "PATCH", "/qapi/twins/did:other", `{}`, 403},
		{"maker", "DELETE", "/qapi/twins/did:other", ``, 403},
		{"maker", "POST", "/qapi/twins/did:other/feeds", `{"feedId":"f"}`, 403},
		{"maker", "PATCH", "/qapi/twins/did:other/feeds/f", `{}`, 403},
		{"maker", "DELETE", "/qapi/twins/did:other/feeds/f", ``, 403},
		{"maker", "DELETE", "/qapi/twins/did:other/inputs/i", ``, 403},
		{"maker", "POST", "/qapi/twins/did:pump1/feeds", `{"feedId":"f"}`, 200},
		{"maker", "POST", "/qapi/twins/did:pump1/feeds/f/shares", `{"sample":{"data":"e30="}}`, 403},
		{"pump", "POST", "/qapi/twins/did:other/feeds/f/shares", `{"sample":{"data":"e30="}}`, 403},
		{"pump", "POST", "/qapi/twins/did:pump1/feeds/f/shares", `{"sample":{"data":"e30="}}`, 200},
		{"pump", "POST", "/qapi/twins/did:pump1/interests/twins/did:pump1/inputs/i/messages", `{"message":{"data":"e30="}}`, 403},
		{"nobody", "GET", "/qapi/nothing", ``, 404},
	} {
		status, header, answer := s.ask(c.method, c.path, c.body, "Authorization", "Bearer "+c.who)
		assert.Equal(t, c.status, status, "%s %s %s: %s", c.who, c.method, c.path, answer)
		switch status {
		case 401:
			refusalOf(t, answer, 16)
			assert.Equal(t, "Bearer", header.Get("WWW-Authenticate"))
		case 403:
			refusalOf(t, answer, 7)
		}
	}
}
