package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-stomp/stomp/v3/frame"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/identity"
	"tocsin.internal/internal/porttest"
	"tocsin.internal/internal/resolver"
)

// What a client of the IOTICS API is written against: the constants of the
// tutorial for it, whose program this is, step by step and with its bytes.
const (
	labelKey    = "http://www.w3.org/2000/01/rdf-schema#label"
	typeKey     = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
	modelKey    = "https://data.iotics.com/app#model"
	modelType   = `{"key": "` + typeKey + `", "uriValue": {"value": "https://data.iotics.com/app#Model"}}`
	allHosts    = `{"key": "http://data.iotics.com/public#hostAllowList", "uriValue": {"value": "http://data.iotics.com/public#allHosts"}}`
	outputFeed  = "temperature_status"
	outputValue = "status"
)

// tutorial is the client. It knows nothing of the engine but its URL.
type tutorial struct {
	t       *testing.T
	host    string // URL of the host
	sensor  string // URL of the readings, which is not the host's
	ids     identity.Client
	user    identity.Identity
	agent   identity.Identity
	seeds   [2][]byte // of user and agent
	headers http.Header
	twins   map[string]string // of the machines, by name
	labels  map[string]string // of the output twins, by id
	alerts  chan string       // labels of the machines that overheat
	readers []*websocket.Conn
}

func newTutorial(t *testing.T, host, sensor string) *tutorial {
	r, err := resolver.New(host)
	require.NoError(t, err)
	c := &tutorial{
		t: t, host: host, sensor: sensor, ids: identity.Client{Resolver: r, Now: time.Now},
		seeds:   [2][]byte{bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{9}, 32)},
		headers: http.Header{}, twins: map[string]string{}, labels: map[string]string{}, alerts: make(chan string, 1000),
	}
	c.user, c.agent, err = c.ids.UserAndAgent(t.Context(), identity.Secret{Seed: c.seeds[0], Name: "user-key"}, identity.Secret{Seed: c.seeds[1], Name: "agent-key"}, "#AuthDeleg")
	require.NoError(t, err)
	for name, value := range map[string]string{
		"accept": "application/json", "Iotics-ClientRef": "d-poc-x1Yz7QpA", "Iotics-ClientAppId": "web_api_3f2c4b1e-9d52-4c8e-8d3c-0a3b5f7d9e11", "Content-Type": "application/json",
		"User-Agent": "python-requests/2.31.0", "Accept-Encoding": "gzip, deflate",
	} {
		c.headers.Set(name, value)
	}
	c.refreshToken()
	return c
}

func (c *tutorial) refreshToken() string {
	token, err := c.ids.Token(c.agent, c.user.DID, time.Hour)
	require.NoError(c.t, err)
	c.headers.Set("Authorization", "Bearer "+token)
	return token
}

// call is what the client does for every request: 200, and a JSON body.
func (c *tutorial) call(method, url, body string, into any) {
	c.t.Helper()
	text := c.send(method, url, body)
	require.NoError(c.t, json.Unmarshal(text, into), "%s %s: %s", method, url, text)
}

func (c *tutorial) send(method, url, body string) []byte {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, url, strings.NewReader(body))
	require.NoError(c.t, err)
	r.Header = c.headers.Clone()
	res, err := http.DefaultTransport.RoundTrip(r) // no redirects
	require.NoError(c.t, err)
	defer res.Body.Close() //nolint:errcheck // it is read
	text, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	require.Equal(c.t, http.StatusOK, res.StatusCode, "%s %s: %s", method, url, text)
	require.Empty(c.t, res.Header.Get("Content-Encoding"))
	return text
}

func (c *tutorial) createTwin(name string) string {
	twin, err := c.ids.Twin(c.t.Context(), identity.Secret{Seed: c.seeds[1], Name: name}, c.agent, "#ControlDeleg")
	require.NoError(c.t, err)
	c.call("POST", c.host+"/qapi/twins", `{"twinId": {"value": "`+twin.DID+`"}}`, new(any))
	return twin.DID
}

func (c *tutorial) updateTwin(id, properties, more string) {
	c.call("PATCH", c.host+"/qapi/twins/"+id, `{"newVisibility": {"visibility": "PRIVATE"}, "properties": {"added": [`+properties+`], "clearedAll": true}`+more+`}`, new(any))
}

func (c *tutorial) createFeed(twin, feed string) {
	c.call("POST", c.host+"/qapi/twins/"+twin+"/feeds", `{"feedId": {"value": "`+feed+`"}}`, new(any))
}

func (c *tutorial) updateFeed(twin, feed, values, properties string) {
	c.call("PATCH", c.host+"/qapi/twins/"+twin+"/feeds/"+feed, `{"storeLast": true, "values": {"added": [`+values+`]}, "properties": {"added": [`+properties+`], "clearedAll": true}}`, new(any))
}

func lang(key, value string) string {
	return `{"key": "` + key + `", "langLiteralValue": {"value": "` + value + `", "lang": "en"}}`
}

// foundTwin is what the client reads of a twin that it has found.
type foundTwin struct {
	ID    struct{ Value string }
	Feeds []struct {
		Feed struct{ ID struct{ Value string } }
	}
	Properties []struct {
		Key              string
		LangLiteralValue *struct{ Value string }
	}
}

// search takes the twins of the first line that has some.
func (c *tutorial) search(filter string) (found []foundTwin) {
	c.t.Helper()
	c.headers.Set("Iotics-RequestTimeout", time.Now().UTC().Add(time.Minute).Format("2006-01-02T15:04:05.000000+00:00"))
	defer c.headers.Del("Iotics-RequestTimeout")
	text := c.send("POST", c.host+"/qapi/searches?scope=LOCAL", `{"filter": {`+filter+`}, "responseType": "FULL"}`)
	for line := range bytes.Lines(text) {
		var answer struct {
			Result struct{ Payload struct{ Twins *[]foundTwin } }
		}
		require.NoError(c.t, json.Unmarshal(line, &answer), "%s", line)
		if answer.Result.Payload.Twins != nil {
			return *answer.Result.Payload.Twins
		}
	}
	c.t.Fatalf("no twins in %s", text)
	return nil
}

func (c *tutorial) createModel() string {
	id := c.createTwin("#MachineModel")
	c.updateTwin(id, modelType+", "+allHosts+", "+lang(labelKey, "Machine model (tutorial)"), "")
	c.createFeed(id, "currentTemp")
	c.updateFeed(id, "currentTemp", `{"comment": "Temperature in degrees Celsius", "dataType": "decimal", "label": "temperature", "unit": "http://purl.obolibrary.org/obo/UO_0000027"}`, lang(labelKey, "currentTemp"))
	return id
}

func (c *tutorial) readings() (list []struct{ Temp json.Number }) {
	c.call("GET", c.sensor, "", &list)
	return list
}

func (c *tutorial) createMachines() {
	model := c.search(`"properties": [` + modelType + `], "text": "Machine model (tutorial)"`)[0]
	for i, reading := range c.readings() {
		name := fmt.Sprintf("machine_%d", i)
		id := c.createTwin(name)
		c.updateTwin(id, allHosts+
			`, {"key": "`+typeKey+`", "uriValue": {"value": "https://data.iotics.com/tutorial#Sensor"}}`+
			`, {"key": "`+modelKey+`", "uriValue": {"value": "`+model.ID.Value+`"}}`+
			fmt.Sprintf(`, {"key": "https://data.iotics.com/tutorial#serialNumber", "stringLiteralValue": {"value": "%06d"}}, `, i)+
			lang(labelKey, name+" (tutorial)"), `, "location": {"location": {"lat": 51.5, "lon": -0.1}}`)
		for _, f := range model.Feeds {
			c.copyFeed(model.ID.Value, id, f.Feed.ID.Value)
			c.share(id, f.Feed.ID.Value, reading.Temp)
		}
		c.twins[name] = id
	}
}

// copyFeed gives a machine a feed of the model's, with the properties verbatim.
func (c *tutorial) copyFeed(model, id, feed string) {
	c.createFeed(id, feed)
	var described struct {
		Result struct {
			Properties []json.RawMessage
			Values     []map[string]string
			StoreLast  bool
		}
	}
	c.call("GET", c.host+"/qapi/twins/"+model+"/feeds/"+feed, "", &described)
	require.True(c.t, described.Result.StoreLast)
	var values, properties []string
	for _, v := range described.Result.Values {
		for _, name := range []string{"comment", "label", "unit", "dataType"} {
			require.Contains(c.t, v, name)
		}
		values = append(values, fmt.Sprintf(`{"comment": %q, "dataType": %q, "label": %q, "unit": %q}`, v["comment"], v["dataType"], v["label"], v["unit"]))
	}
	for _, p := range described.Result.Properties {
		properties = append(properties, string(p))
	}
	c.updateFeed(id, feed, strings.Join(values, ", "), strings.Join(properties, ", "))
}

func (c *tutorial) share(twin, feed string, temperature json.Number) {
	data := base64.StdEncoding.EncodeToString([]byte(`{"temperature": ` + temperature.String() + `}`))
	at := time.Now().UTC().Format("2006-01-02T15:04:05.000000+00:00")
	c.call("POST", c.host+"/qapi/twins/"+twin+"/feeds/"+feed+"/shares", `{"sample": {"data": "`+data+`", "mime": "application/json", "occurredAt": "`+at+`"}}`, new(any))
}

func (c *tutorial) createInteraction(model string) string {
	id := c.createTwin("#SensorInteraction")
	config := `{"enabled": true, "rules": [{"transformation": {"conditions": [{"fieldsIncludedInOutput": ["temperature"], "jsonLogic": {">": [{"var": "temperature"}, 30]}}], ` +
		`"outputFeedId": "temperature_status", "outputFieldId": "status", "outputTrueValue": "extreme", "outputFalseValue": "normal", "sourceFeedId": "currentTemp", "sourceId": "1"}}], ` +
		`"sources": [{"cleanupRateS": 900, "feeds": [{"fieldIds": ["temperature"], "id": "currentTemp"}], "filter": {"properties": [{"key": "` + modelKey + `", ` +
		`"value": {"uriValue": {"value": "` + model + `"}}}], "text": null}, "id": "1", "modelDid": "` + model + `", "refreshRateS": 300}]}`
	c.updateTwin(id, modelType+", "+allHosts+
		`, {"key": "`+typeKey+`", "uriValue": {"value": "https://data.iotics.com/app#Interaction"}}`+
		fmt.Sprintf(`, {"key": "https://data.iotics.com/app#interactionConfig", "stringLiteralValue": {"value": %q}}, `, config)+
		lang(labelKey, "Sensor Overheating Alert"), "")
	c.createFeed(id, outputFeed)
	c.updateFeed(id, outputFeed, `{"comment": "Temperature status: normal or extreme", "dataType": "string", "label": "status"}`, lang(labelKey, "Temperature status"))
	return id
}

// follow waits for the output twins and follows each over a socket of its own.
func (c *tutorial) follow(interaction string) {
	var found []foundTwin
	require.Eventually(c.t, func() bool {
		found = c.search(`"properties": [{"key": "` + modelKey + `", "uriValue": {"value": "` + interaction + `"}}]`)
		return len(found) >= len(c.twins)
	}, time.Minute, 20*time.Millisecond)
	require.Len(c.t, found, len(c.twins))
	for _, f := range found {
		i := slices.IndexFunc(f.Properties, func(p struct {
			Key              string
			LangLiteralValue *struct{ Value string }
		},
		) bool {
			return p.Key == labelKey
		})
		require.NotNil(c.t, f.Properties[i].LangLiteralValue)
		c.labels[f.ID.Value] = f.Properties[i].LangLiteralValue.Value
	}
	for _, f := range found {
		c.subscribe("/qapi/twins/" + f.ID.Value + "/interests/twins/" + f.ID.Value + "/feeds/" + outputFeed)
	}
}

// escaped is a header's text as STOMP 1.2 has it.
var escaped = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, ":", `\c`)

// stompFrame is a frame as the Python client writes it: a text message, its
// headers sorted.
func stompFrame(command string, headers map[string]string) string {
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	b := command + "\n"
	for _, name := range names {
		value := headers[name]
		if command != "STOMP" {
			value = escaped.Replace(value)
		}
		b += name + ":" + value + "\n"
	}
	return b + "\n\x00"
}

func (c *tutorial) subscribe(destination string) {
	var index struct{ Stomp string }
	c.call("GET", c.host+"/index.json", "", &index)
	ws, reader := c.connect(index.Stomp, c.refreshToken())
	headers := map[string]string{"ack": "auto", "destination": destination, "id": c.headers.Get("Iotics-ClientRef")}
	for _, name := range []string{"accept", "Iotics-ClientRef", "Iotics-ClientAppId", "Content-Type", "Authorization"} {
		headers[name] = c.headers.Get(name)
	}
	headers["receipt"] = destination
	require.NoError(c.t, ws.Write(c.t.Context(), websocket.MessageText, []byte(stompFrame("SUBSCRIBE", headers))))
	receipt := c.next(reader)
	require.Equal(c.t, frame.RECEIPT, receipt.Command)
	require.Equal(c.t, destination, receipt.Header.Get("receipt-id"))
	go c.listen(reader, destination)
}

// connect opens a socket and says who it is.
func (c *tutorial) connect(endpoint, token string) (*websocket.Conn, *frame.Reader) {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	ws, res, err := websocket.Dial(ctx, endpoint, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {c.host}}})
	require.NoError(c.t, err)
	if res.Body != nil {
		res.Body.Close() //nolint:errcheck // there is none
	}
	c.readers = append(c.readers, ws)
	at, err := url.Parse(endpoint)
	require.NoError(c.t, err)
	hello := stompFrame("STOMP", map[string]string{"accept-version": "1.2", "host": at.Hostname(), "passcode": token, "heart-beat": "0,0"})
	require.NoError(c.t, ws.Write(ctx, websocket.MessageText, []byte(hello)))
	reader := frame.NewReader(&binaryOnly{c.t, ws, nil})
	connected := c.next(reader)
	require.Equal(c.t, frame.CONNECTED, connected.Command)
	assert.Equal(c.t, "1.2", connected.Header.Get("version"))
	assert.Equal(c.t, "0,0", connected.Header.Get("heart-beat"))
	return ws, reader
}

func (c *tutorial) next(r *frame.Reader) *frame.Frame {
	c.t.Helper()
	for {
		f, err := r.Read()
		require.NoError(c.t, err)
		if f != nil { // nil: a heart-beat
			return f
		}
	}
}

// binaryOnly reads a socket as a client does that dies of a text message.
type binaryOnly struct {
	t    *testing.T
	ws   *websocket.Conn
	left []byte
}

// Read makes it a Reader.
func (b *binaryOnly) Read(p []byte) (int, error) {
	for len(b.left) == 0 {
		kind, text, err := b.ws.Read(b.t.Context())
		if err != nil {
			return 0, err
		}
		assert.Equal(b.t, websocket.MessageBinary, kind)
		b.left = text
	}
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

// listen is the callback: it tells of the machines that overheat, by the label of
// the twin that the destination names.
func (c *tutorial) listen(r *frame.Reader, destination string) {
	for {
		f, err := r.Read()
		if err != nil {
			return // the socket is closed
		}
		if f == nil {
			continue
		}
		var body struct {
			Interest struct {
				FollowerTwinID struct{ Value, ID string }
				FollowedFeedID struct{ ID, TwinID string }
			}
			FeedData struct{ Data, Mime, OccurredAt string }
		}
		assert.Equal(c.t, frame.MESSAGE, f.Command)
		assert.Equal(c.t, destination, f.Header.Get("destination"))
		assert.NoError(c.t, json.Unmarshal(f.Body, &body))
		twin := strings.Split(f.Header.Get("destination"), "/")[3]
		assert.Equal(c.t, twin, body.Interest.FollowerTwinID.Value)
		assert.Equal(c.t, outputFeed, body.Interest.FollowedFeedID.ID)
		data, err := base64.StdEncoding.DecodeString(body.FeedData.Data)
		assert.NoError(c.t, err)
		var sample map[string]any
		assert.NoError(c.t, json.Unmarshal(data, &sample))
		c.alerts <- fmt.Sprintf("%s: %v %v", c.labels[twin], sample[outputValue], sample["temperature"])
	}
}

func (c *tutorial) close() {
	for _, ws := range c.readers {
		ws.CloseNow() //nolint:errcheck // it may be closed
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() //nolint:forcetypeassert // it is one
}

// outputs counts, from now on, what the interactions decide. await waits until it is n.
func (c *tutorial) outputs() (await func(n int)) {
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.host+"/api/v1/events?topics=outputs", http.NoBody)
	require.NoError(c.t, err)
	r.Header.Set("Authorization", c.headers.Get("Authorization"))
	res, err := http.DefaultClient.Do(r)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { res.Body.Close() }) //nolint:errcheck // it is read
	require.Equal(c.t, http.StatusOK, res.StatusCode)
	return func(n int) {
		lines := bufio.NewScanner(res.Body)
		for n > 0 && lines.Scan() {
			if strings.HasPrefix(lines.Text(), "data: ") {
				n--
			}
		}
		require.Zero(c.t, n, lines.Err())
	}
}

// shareAll shares a reading of every machine, and waits for what they make of it.
func (c *tutorial) shareAll() (told []string) {
	readings := c.readings()
	for i, r := range readings {
		c.share(c.twins[fmt.Sprintf("machine_%d", i)], "currentTemp", r.Temp)
	}
	for range readings {
		select {
		case alert := <-c.alerts:
			told = append(told, alert)
		case <-time.After(time.Minute):
			c.t.Fatalf("told of %d of %d machines: %q", len(told), len(readings), told)
		}
	}
	slices.Sort(told)
	return told
}

// A client that is written against the IOTICS API runs against the engine with
// nothing changed but its constants, also a second time.
func TestTutorialRunsUnchanged(t *testing.T) {
	temperatures := []string{"21.5", "30", "30.1", "45", "-3", "29.999", "31", "0", "1e2", "12"}
	sensor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		list := make([]string, len(temperatures))
		for i, temp := range temperatures {
			list[i] = `{"temp": ` + temp + `}`
		}
		fmt.Fprintf(w, "[%s]", strings.Join(list, ", "))
	}))
	defer sensor.Close()
	dir := t.TempDir()
	p := &process{t: t, dir: dir, port: porttest.Port(t)}
	config := fmt.Sprintf(`{"bus":{"dir":%q},"http":{"listen":"127.0.0.1:%d"},"auth":{"mode":"did"}}`, filepath.Join(dir, "data"), p.port)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "engine.json"), []byte(config), 0o600))
	p.start()
	defer p.kill()

	var want []string
	for i, temp := range []string{"normal 21.5", "normal 30", "extreme 30.1", "extreme 45", "normal -3", "normal 29.999", "extreme 31", "normal 0", "extreme 100", "normal 12"} {
		want = append(want, fmt.Sprintf("machine_%d (tutorial) - Sensor Overheating Alert: %s", i, temp))
	}
	for _, machines := range []int{0, 10} { // that the interaction knows already
		c := newTutorial(t, p.url(""), sensor.URL)
		model := c.createModel()
		await := c.outputs()
		c.createMachines()
		await(machines) // who follows is told of what comes from then on
		c.follow(c.createInteraction(model))
		for range 2 {
			assert.Equal(t, want, c.shareAll())
		}
		c.close()
		assert.Empty(t, c.alerts)
	}

	c := newTutorial(t, p.url(""), sensor.URL)
	defer c.close()
	ws, res, err := websocket.Dial(t.Context(), strings.Replace(p.url("/ws"), "http", "ws", 1), nil)
	require.NoError(t, err)
	if res.Body != nil {
		res.Body.Close() //nolint:errcheck // there is none
	}
	c.readers = append(c.readers, ws)
	require.NoError(t, ws.Write(t.Context(), websocket.MessageText, []byte(stompFrame("STOMP", map[string]string{"accept-version": "1.2", "host": "127.0.0.1", "passcode": "eyJ.x.y"}))))
	refused := c.next(frame.NewReader(&binaryOnly{t, ws, nil}))
	assert.Equal(t, frame.ERROR, refused.Command)
	var status struct{ Code int }
	require.NoError(t, json.Unmarshal(refused.Body, &status))
	assert.Equal(t, 16, status.Code)
}
