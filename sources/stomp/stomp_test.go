package stomp_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/stomptest"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
	"tocsin.internal/sources/sourcetest"
	"tocsin.internal/sources/stomp"
)

const plant = `{"destination":"/queue/plant.*","twin":"{2.2}","feed":"{2.3}"}`

func parse(t *testing.T, text string) strictjson.Raw {
	t.Helper()
	raw, err := strictjson.Parse("c", []byte(text))
	require.NoError(t, err)
	return raw
}

func open(t *testing.T, url, destinations, more string) sources.Source {
	t.Helper()
	s, err := stomp.New(parse(t, fmt.Sprintf(`{"url":%q,"destinations":[%s]%s}`, url, destinations, more)))
	require.NoError(t, err)
	return s
}

func TestContract(t *testing.T) {
	for name, url := range map[string]func(*stomptest.Server) string{"tcp": (*stomptest.Server).URL, "websocket": (*stomptest.Server).WebSocketURL} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T) sourcetest.Origin {
				s := stomptest.New(t)
				for n := range sourcetest.Count {
					s.Publish("/queue/plant."+sourcetest.Twin+"."+sourcetest.Feed, sourcetest.Data(n))
				}
				return sourcetest.Origin{Source: open(t, url(s), plant, "")}
			})
		})
	}
}

func run(t *testing.T, s sources.Source) *sourcetest.Running {
	t.Helper()
	return sourcetest.Begin(t, s, nil)
}

func TestMessages(t *testing.T) {
	at := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	follow := "/qapi/twins/did:a/interests/twins/did:m/feeds/temp"
	const feedData = `"feedData":{"data":"eyJ0IjozMX0=","mime":"application/json","occurredAt":"2026-11-02T10:00:00Z"}`
	for name, tt := range map[string]struct {
		destination, to, body string
		headers               []string
		want                  rules.Sample
		noID                  bool
	}{
		"destination":      {plant, "/queue/plant.m1.temp", `{"a":1}`, nil, rules.Sample{Twin: "m1", Feed: "temp", Data: []byte(`{"a":1}`)}, true},
		"encoded":          {plant, "/queue/plant.m%2F1.te%2Emp", `{}`, nil, rules.Sample{Twin: "m/1", Feed: "te.mp", Data: []byte(`{}`)}, true},
		"badly encoded":    {plant, "/queue/plant.m%1.t", `{}`, nil, rules.Sample{Refused: `/queue/plant.m%1.t: destination "/queue/plant.m%1.t": invalid URL escape "%1"; want % only before two hexadecimal digits`, Data: []byte(`{}`)}, true},
		"too few parts":    {plant, "/queue/plant.m1", `{}`, nil, rules.Sample{Twin: "m1", Refused: `/queue/plant.m1: destination "/queue/plant.m1" with 2 tokens in part 2; want the one at 3`, Data: []byte(`{}`)}, true},
		"lines":            {plant, "/queue/plant.m1.temp", "{\n\"a\": 1\n}", nil, rules.Sample{Twin: "m1", Feed: "temp", Data: []byte(`{"a":1}`)}, true},
		"lines, not JSON":  {plant, "/queue/plant.m1.temp", "a\nb", nil, rules.Sample{Twin: "m1", Feed: "temp", Refused: "/queue/plant.m1.temp: not JSON: invalid character 'a' looking for beginning of value", Data: []byte("a\nb")}, true},
		"headers":          {`{"destination":"/queue/q","twin":"hall-{unit}","feed":"{kind}","time":"{at}","id":"{n}"}`, "/queue/q", `{}`, []string{"unit", "m:1", "kind", "temp", "at", "2026-11-02T11:00:00+01:00", "n", "7"}, rules.Sample{Twin: "hall-m:1", Feed: "temp", At: at, ID: "7", Data: []byte(`{}`)}, false},
		"time in ms":       {`{"destination":"/queue/q","twin":"a","feed":"b","time":"{timestamp}"}`, "/queue/q", `{}`, []string{"timestamp", "1793613600000"}, rules.Sample{Twin: "a", Feed: "b", At: at, Data: []byte(`{}`)}, true},
		"no such header":   {`{"destination":"/queue/q","twin":"{unit}","feed":"b"}`, "/queue/q", `{}`, nil, rules.Sample{Refused: `/queue/q: no header "unit"`, Data: []byte(`{}`)}, true},
		"not a time":       {`{"destination":"/queue/q","twin":"a","feed":"b","time":"{at}"}`, "/queue/q", `{}`, []string{"at", "now"}, rules.Sample{Twin: "a", Feed: "b", Refused: `/queue/q: time "now"; want RFC 3339, such as "2026-11-22T10:00:00Z", or milliseconds since 1970`, Data: []byte(`{}`)}, true},
		"id too long":      {`{"destination":"/queue/q","twin":"a","feed":"b","id":"{n}"}`, "/queue/q", `{}`, []string{"n", strings.Repeat("x", 300)}, rules.Sample{Twin: "a", Feed: "b", Refused: `/queue/q: message id of 300 bytes; want at most 256`, Data: []byte(`{}`)}, true},
		"sample":           {`{"destination":"/queue/q","format":"sample"}`, "/queue/q", `{"twin":"m","feed":"f","occurredAt":"2026-11-02T10:00:00Z","data":{"a":1},"id":"x"}`, nil, rules.Sample{Twin: "m", Feed: "f", At: at, ID: "x", Data: []byte(`{"a":1}`), Seq: 1}, false},
		"no sample":        {`{"destination":"/queue/q","format":"sample"}`, "/queue/q", `{"twin":"m"}`, nil, rules.Sample{Twin: "m", Refused: `/queue/q: -:1:1: field "feed" is missing`, Data: []byte(`{"twin":"m"}`), Seq: 1}, true},
		"iotics":           {`{"destination":"` + follow + `","format":"iotics"}`, follow, `{"interest":{},` + feedData + `}`, nil, rules.Sample{Twin: "did:m", Feed: "temp", At: at, Data: []byte(`{"t":31}`)}, false},
		"iotics, named":    {`{"destination":"/queue/q","format":"iotics","twin":"mine"}`, "/queue/q", `{"interest":{"followedFeed":{"feed":{"id":{"value":"f"},"twinId":{"value":"d"}}}},` + feedData + `}`, nil, rules.Sample{Twin: "mine", Feed: "f", At: at, Data: []byte(`{"t":31}`)}, false},
		"iotics, new form": {`{"destination":"/queue/q","format":"iotics"}`, "/queue/q", `{"interest":{"followedFeedId":{"id":"f","twinId":"d","hostId":"h"}},` + feedData + `}`, nil, rules.Sample{Twin: "d", Feed: "f", At: at, Data: []byte(`{"t":31}`)}, false},
		"iotics, nothing":  {`{"destination":"/queue/q","format":"iotics"}`, "/queue/q", `{}`, nil, rules.Sample{Refused: `/queue/q: envelope: no feedData, sample or message in it`, Data: []byte(`{}`)}, true},
		"iotics, whose":    {`{"destination":"/queue/q","format":"iotics"}`, "/queue/q", `{` + feedData + `}`, nil, rules.Sample{Refused: `/queue/q: a message of IOTICS without interest.followedFeedId; want one with the feed and its twin`, Data: []byte(`{` + feedData + `}`)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := stomptest.New(t)
			s.Publish(tt.to, tt.body, tt.headers...)
			r := run(t, open(t, s.URL(), tt.destination, ""))
			got := r.Wait(t, 1)[0]
			if tt.want.At.IsZero() {
				assert.WithinDuration(t, time.Now(), got.At, time.Minute)
				got.At = time.Time{}
			}
			assert.Equal(t, tt.noID, got.ID == "")
			if tt.want.ID == "" {
				got.ID = ""
			}
			assert.Equal(t, tt.want, got)
			assert.True(t, s.Until(func(st stomptest.State) bool { return st.Kept == 0 }), "what cannot be read is acknowledged, too")
			r.End(t)
		})
	}
}

func TestHello(t *testing.T) {
	s := stomptest.New(t)
	file := filepath.Join(t.TempDir(), "passcode")
	require.NoError(t, os.WriteFile(file, []byte("s3:cret\n"), 0o600))
	r := run(t, open(t, s.URL(), `{"destination":"/queue/a","twin":"a","feed":"b","headers":{"prefetch-count":"9","id":"mine"}}`,
		fmt.Sprintf(`,"login":"tocsin","passcodeFile":%q,"host":"/plant","headers":{"client-id":"t:1"},"heartBeat":"0s"`, file)))
	s.Publish("/queue/a", `{}`)
	r.Wait(t, 1)
	assert.True(t, s.Until(func(st stomptest.State) bool { return st.Kept == 0 }))
	r.End(t)
	assert.True(t, s.Until(func(st stomptest.State) bool { return st.Count(frame.DISCONNECT) == 1 }))
	s.Until(func(st stomptest.State) bool {
		hello := st.Frames[0]
		assert.Equal(t, frame.STOMP, hello.Command)
		for name, want := range map[string]string{"accept-version": "1.1,1.2", "host": "/plant", "login": "tocsin", "passcode": "s3:cret", "heart-beat": "0,0", "client-id": "t:1"} {
			assert.Equal(t, want, hello.Header.Get(name), name)
		}
		sub := st.Frames[1]
		for name, want := range map[string]string{"destination": "/queue/a", "ack": "client-individual", "prefetch-count": "9", "id": "mine"} {
			assert.Equal(t, want, sub.Header.Get(name), name)
		}
		return true
	})
}

// TestDroppedConnection proves that what was not acknowledged comes again, and
// that subscriptions are made anew.
func TestDroppedConnection(t *testing.T) {
	s := stomptest.New(t)
	s.Chop = true
	r := run(t, open(t, s.WebSocketURL(), plant, ""))
	s.Publish("/queue/plant.m.f", `{"n":1}`)
	r.Wait(t, 1)
	require.True(t, s.Until(func(st stomptest.State) bool { return st.Kept == 0 }))
	s.Drop()
	s.Publish("/queue/plant.m.f", `{"n":2}`)
	assert.Equal(t, `{"n":2}`, string(r.Wait(t, 2)[1].Data))
	require.True(t, s.Until(func(st stomptest.State) bool { return st.Kept == 0 }))
	s.SendAll(frame.New(frame.ERROR, frame.Message, "out of memory"))
	require.True(t, s.Until(func(st stomptest.State) bool { return st.Count(frame.STOMP) == 3 && len(st.Subscriptions) == 1 }))
	s.Publish("/queue/plant.m.f", `{"n":3}`)
	assert.Equal(t, `{"n":3}`, string(r.Wait(t, 3)[2].Data))
	r.End(t)
	assert.Len(t, r.Samples(), 3)
	states := r.States()
	require.Len(t, states, 5)
	for i, want := range []string{"", "EOF", "", `the server says "out of memory"`, ""} {
		assert.Equal(t, want == "", states[i] == "", states)
		assert.Contains(t, states[i], want)
	}
}

func TestNothingIsAcknowledgedThatIsNotStored(t *testing.T) {
	s := stomptest.New(t)
	source := open(t, s.URL(), plant, "")
	r := sourcetest.Begin(t, source, assert.AnError)
	s.Publish("/queue/plant.m.f", `{"n":1}`)
	<-r.Came
	r.End(t)
	assert.True(t, s.Until(func(st stomptest.State) bool { return st.Kept == 1 && st.Count(frame.ACK) == 0 && st.Conns == 0 }))
	again := run(t, source)
	again.Wait(t, 1)
	again.End(t)
}

// TestStoredAndNotAcknowledgedAtTheEnd is of a source that ends while emit stores: it
// said goodbye before it acknowledged.
func TestStoredAndNotAcknowledgedAtTheEnd(t *testing.T) {
	for range 20 {
		s := stomptest.New(t)
		s.Publish("/queue/plant.m.f", `{"n":1}`)
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, open(t, s.URL(), plant, "").Run(ctx, func(context.Context, ...rules.Sample) error {
			cancel()
			for range 1000 {
				runtime.Gosched() // whoever watches ctx may go first
			}
			return nil
		}))
		assert.True(t, s.Until(func(st stomptest.State) bool { return st.Count(frame.DISCONNECT) == 1 && st.Conns == 0 }))
		s.Until(func(st stomptest.State) bool {
			assert.Zero(t, st.Kept)
			return true
		})
	}
}

func TestRefusedAtFirst(t *testing.T) {
	for _, command := range []string{frame.STOMP, frame.SUBSCRIBE} {
		s := stomptest.New(t)
		s.Answer = func(f *frame.Frame) []*frame.Frame {
			if f.Command != command {
				return nil
			}
			no := frame.New(frame.ERROR, frame.Message, "Bad CONNECT")
			no.Body = []byte("Access refused for user 'tocsin'\n")
			return []*frame.Frame{no}
		}
		err := open(t, s.URL(), plant, "").Run(t.Context(), new(sourcetest.Running).Emit)
		want := fmt.Sprintf(`stomp source %s: the server says "Bad CONNECT: Access refused for user 'tocsin'"`, strings.TrimPrefix(s.URL(), "stomp://"))
		require.EqualError(t, err, want)
	}
}

// TestAskedToTryAgainAtFirst is of a Tocsin that is stopping, or whose NATS is away:
// what it answered to the first subscription ended the engine.
func TestAskedToTryAgainAtFirst(t *testing.T) {
	s := stomptest.New(t)
	var asked atomic.Bool
	s.Answer = func(f *frame.Frame) []*frame.Frame {
		if f.Command != frame.SUBSCRIBE || asked.Swap(true) {
			return nil
		}
		again := frame.New(frame.ERROR, frame.Message, "UNAVAILABLE")
		again.Body = []byte(`{"code":14,"message":"NATS is out of reach; connecting again","details":[]}`)
		return []*frame.Frame{again}
	}
	r := run(t, open(t, s.URL(), plant, ""))
	s.Publish("/queue/plant.m.f", `{"n":1}`)
	assert.Equal(t, `{"n":1}`, string(r.Wait(t, 1)[0].Data))
	r.End(t)
	assert.True(t, asked.Load())
}

// TestNoServer proves that a server may come late, and that waiting for it can end.
func TestNoServer(t *testing.T) {
	r := run(t, open(t, "stomp://127.0.0.1:1", plant, ""))
	r.End(t)
	assert.Empty(t, r.Samples())
}

func TestConfigErrors(t *testing.T) {
	const d = `"destinations":[{"destination":"/queue/a","twin":"a","feed":"b"}]`
	for name, tt := range map[string]struct{ config, want string }{
		"nothing":         {`{}`, "c:1:1: field \"url\" is missing\nc:1:1: field \"destinations\" is missing"},
		"typo":            {`{"url":"stomp://h",` + d + `,"passcod":"x"}`, `c:1:86: /passcod: unknown field "passcod"; did you mean "passcode"?`},
		"url":             {`{"url":"http://u:s3cret@h",` + d + `}`, `c:1:8: /url: not the address of a STOMP server; want stomp://host:port, stomp+tls://, ws:// or wss://`},
		"user in the url": {`{"url":"stomp://u:s3cret@h",` + d + `}`, `c:1:8: /url: a user in the URL; want login and passcode`},
		"tls":             {`{"url":"stomp://h",` + d + `,"tls":{"ca":"x"}}`, `c:1:92: /tls: tls without TLS in the URL; want stomp+tls:// or wss://`},
		"half a pair":     {`{"url":"wss://h",` + d + `,"tls":{"cert":"x"}}`, `c:1:90: /tls: a certificate and its key go together; want both or none`},
		"two passcodes":   {`{"url":"stomp://h",` + d + `,"passcode":"s3cret","passcodeFile":"x"}`, `c:1:121: /passcodeFile: passcode and passcodeFile; want one of them`},
		"no such file":    {`{"url":"stomp://h",` + d + `,"passcodeFile":"/no/such"}`, `c:1:101: /passcodeFile: open /no/such: no such file or directory`},
		"lines":           {`{"url":"stomp://h",` + d + `,"passcode":"s3cret\nx"}`, `c:1:97: /passcode: more than one line; want one`},
		"header of ours":  {`{"url":"stomp://h",` + d + `,"headers":{"host":"x","a:b":"c","d":"e\n"}}`, "c:1:97: /headers/host: header host is written here; want others\nc:1:108: /headers/a:b: \"a:b\" is not the name of a header\nc:1:122: /headers/d: more than one line; want one"},
		"none":            {`{"url":"stomp://h","destinations":[]}`, `c:1:35: /destinations: no destination; want one at least`},
		"no twin":         {`{"url":"stomp://h","destinations":[{"destination":"a","feed":""}]}`, "c:1:36: /destinations/0: no twin; want a name, or where it stands: \"{2.3}\" in the destination, \"{twin}\" in a header\nc:1:36: /destinations/0: no feed; want a name, or where it stands: \"{2.3}\" in the destination, \"{feed}\" in a header"},
		"no destination":  {`{"url":"stomp://h","destinations":[{"destination":"","format":"sample"}]}`, `c:1:51: /destinations/0/destination: got ""; want a destination, such as "/topic/plant.*.*"`},
		"sample, named":   {`{"url":"stomp://h","destinations":[{"destination":"a","format":"sample","twin":"x","id":"{y}"}]}`, "c:1:36: /destinations/0: a sample names its own twin and feed; want neither twin nor feed\nc:1:89: /destinations/0/id: the body says it; want it with format data only"},
		"format":          {`{"url":"stomp://h","destinations":[{"destination":"a","format":"xml"}]}`, `c:1:64: /destinations/0/format: got "xml"; want data, sample or iotics`},
		"template":        {`{"url":"stomp://h","destinations":[{"destination":"a","twin":"{","feed":"{0}"}]}`, "c:1:62: /destinations/0/twin: got \"{\"; want {name} of a header, or {2} or {2.3} of the destination\nc:1:73: /destinations/0/feed: got \"{0}\"; want {name} of a header, or {2} or {2.3} of the destination"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := stomp.New(parse(t, tt.config))
			require.EqualError(t, err, tt.want)
			assert.NotContains(t, err.Error(), "s3cret")
		})
	}
}
