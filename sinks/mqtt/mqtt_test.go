package mqtt_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/brokertest"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/mqtt"
	"tocsin.internal/sinks/sinktest"
)

func parse(t testing.TB, text string) strictjson.Raw {
	t.Helper()
	raw, err := strictjson.Parse("c", []byte(text))
	require.NoError(t, err)
	return raw
}

func open(t testing.TB, url, more string) sinks.Sink {
	t.Helper()
	s, err := mqtt.New(parse(t, fmt.Sprintf(`{"url":%q%s}`, url, more)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.(sinks.Closer).Close()) })
	return s
}

const asGuest = `,"user":"guest","password":"guest"`

// listener is another client, with a session that outlives connections.
type listener struct {
	client *paho.Client
	came   chan *paho.Publish
}

func listen(t *testing.T, b *brokertest.MQTT, id, topic string) *listener {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", b.Address)
	require.NoError(t, err)
	l := &listener{came: make(chan *paho.Publish, 10_000)}
	l.client = paho.NewClient(paho.ClientConfig{Conn: packets.NewThreadSafeConn(conn), PacketTimeout: time.Minute, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
		func(p paho.PublishReceived) (bool, error) {
			l.came <- p.Packet
			return true, nil
		},
	}})
	keep := uint32(3600)
	_, err = l.client.Connect(t.Context(), &paho.Connect{
		ClientID: id, UsernameFlag: true, Username: "guest", PasswordFlag: true, Password: []byte("guest"), KeepAlive: 60, Properties: &paho.ConnectProperties{SessionExpiryInterval: &keep},
	})
	require.NoError(t, err)
	_, err = l.client.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: topic, QoS: 1, RetainAsPublished: true}}})
	require.NoError(t, err)
	return l
}

func (l *listener) next(t *testing.T) *paho.Publish {
	t.Helper()
	select {
	case p := <-l.came:
		return p
	case <-time.After(time.Minute):
		require.Fail(t, "nothing came")
		return nil
	}
}

func (l *listener) close() { _ = l.client.Disconnect(&paho.Disconnect{}) }

func TestMosquitto(t *testing.T) {
	b := brokertest.Mosquitto(t)
	for _, qos := range []int{0, 1, 2} {
		t.Run(fmt.Sprintf("contract with QoS %d", qos), func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinks.Sink {
				return open(t, b.URL, fmt.Sprintf(`%s,"qos":%d,"retain":"state"`, asGuest, qos))
			})
		})
	}
	t.Run("contract over TLS", func(t *testing.T) {
		sinktest.Run(t, func(t *testing.T) sinks.Sink {
			return open(t, b.TLS, fmt.Sprintf(`%s,"tls":{"ca":%q}`, asGuest, b.CA))
		})
	})
	t.Run("every outcome", func(t *testing.T) { everyOutcome(t, b) })
	t.Run("state", func(t *testing.T) { state(t, b) })
	t.Run("will", func(t *testing.T) { will(t, b) })
	t.Run("says no", func(t *testing.T) { saysNo(t, b) })
	t.Run("restarted in the middle", func(t *testing.T) { restarted(t, b) })
}

// everyOutcome proves that another client gets each one as it was, by its topic.
func everyOutcome(t *testing.T, b *brokertest.MQTT) {
	odd := sinktest.Alert()
	odd.Interaction, odd.Rule, odd.Twin, odd.Severity = "a.b c", "x/y", "did:iotics:é*>+#%", ""
	for i, tt := range []struct {
		subscribed, want string
		outcome          rules.Outcome
	}{
		{"alerts/v1/tocsin/critical/#", "alerts/v1/tocsin/critical/overheating:too-hot/machine_1/raised", sinktest.Alert()},
		{"alerts/v1/+/+/+/machine_1/raised", "alerts/v1/tocsin/critical/overheating:too-hot/machine_1/raised", sinktest.Alert()},
		{"alerts/v1/+/+/+/+/+", "alerts/v1/tocsin/%/a%2Eb%20c:x%2Fy/did:iotics:é%2A%3E%2B%23%25/raised", odd},
		{"notifications/#", "notifications/v1/tocsin/night%20shift", rules.Outcome{Kind: rules.Notification, Topic: "night shift", At: odd.At}},
		{"outputs/v1/+/i/#", "outputs/v1/tocsin/i/t/f", rules.Outcome{Kind: rules.Output, Interaction: "i", Rule: "r", Twin: "t", Feed: "f", At: odd.At}},
		{"stickers/v1/+/t/#", "stickers/v1/tocsin/t/red/put", rules.Outcome{Kind: rules.Sticker, Twin: "t", At: odd.At, Sticker: &rules.StickerChange{Op: rules.PutSticker, Color: "red"}}},
	} {
		l := listen(t, b, fmt.Sprint("every-", i), tt.subscribed) // what one session has not acknowledged in time, it gets again
		require.NoError(t, open(t, b.URL, asGuest).Deliver(t.Context(), tt.outcome))
		p := l.next(t)
		assert.Equal(t, tt.want, p.Topic)
		assert.Equal(t, string(tt.outcome.AppendJSON(nil)), string(p.Payload))
		assert.Equal(t, "application/json", p.Properties.ContentType)
		assert.Equal(t, tt.outcome.EventID(), p.Properties.User.Get("tocsin-id"))
		assert.Equal(t, tt.outcome.Severity, p.Properties.User.Get("severity"))
		assert.False(t, p.Retain)
		l.close()
	}
}

// state proves that who comes later gets the last state of what fires, and
// nothing of what has ended.
func state(t *testing.T, b *brokertest.MQTT) {
	sink := open(t, b.URL, asGuest+`,"retain":"state","space":"s"`)
	fires, ends := sinktest.Alert(), sinktest.Alert()
	ends.ID, ends.Twin = "al_ends", "machine_2"
	require.NoError(t, sink.Deliver(t.Context(), fires))
	require.NoError(t, sink.Deliver(t.Context(), ends))
	fires.Severity = "major"
	require.NoError(t, sink.Deliver(t.Context(), fires))

	l := listen(t, b, "state", "state/v1/s/#")
	defer l.close()
	severity := map[string]string{}
	for range 2 {
		p := l.next(t)
		assert.True(t, p.Retain)
		var said struct{ Severity string }
		require.NoError(t, json.Unmarshal(p.Payload, &said))
		severity[p.Topic] = said.Severity
	}
	assert.Equal(t, map[string]string{
		"state/v1/s/overheating:too-hot/machine_1/al_55n8fqhnwb2bt0rfhw83whrv71": "major", "state/v1/s/overheating:too-hot/machine_2/al_ends": "critical",
	}, severity)

	ends.State = rules.StateResolved
	require.NoError(t, sink.Deliver(t.Context(), ends))
	assert.Empty(t, l.next(t).Payload)
	later := listen(t, b, "later", "state/v1/s/#")
	defer later.close()
	assert.Equal(t, "state/v1/s/overheating:too-hot/machine_1/al_55n8fqhnwb2bt0rfhw83whrv71", later.next(t).Topic)
	require.NoError(t, sink.Deliver(t.Context(), fires)) // so nothing else was retained
	assert.Equal(t, "state/v1/s/overheating:too-hot/machine_1/al_55n8fqhnwb2bt0rfhw83whrv71", later.next(t).Topic)
}

// will proves that the broker publishes it when the connection breaks, and not
// when the sink closes it.
func will(t *testing.T, b *brokertest.MQTT) {
	l := listen(t, b, "will", "status/#")
	defer l.close()
	config := asGuest + `,"clientId":"engine","will":{"topic":"status/%s","payload":"gone","qos":1,"retain":true}`
	closed := open(t, b.URL, fmt.Sprintf(config, "closed"))
	require.NoError(t, closed.Deliver(t.Context(), sinktest.Alert()))
	require.NoError(t, closed.(sinks.Closer).Close())
	broken := open(t, b.URL, fmt.Sprintf(config, "broken"))
	require.NoError(t, broken.Deliver(t.Context(), sinktest.Alert()))
	thief := open(t, b.URL, asGuest+`,"clientId":"engine"`) // takes the connection over
	require.NoError(t, thief.Deliver(t.Context(), sinktest.Alert()))
	p := l.next(t)
	assert.Equal(t, "status/broken gone", p.Topic+" "+string(p.Payload))
	assert.True(t, p.Retain)
	require.Eventually(t, func() bool { return broken.Deliver(t.Context(), sinktest.Alert()) == nil }, time.Minute, 10*time.Millisecond)
}

func saysNo(t *testing.T, b *brokertest.MQTT) {
	err := open(t, b.URL, `,"user":"guest","password":"wr0ng"`).Deliver(t.Context(), sinktest.Alert())
	require.ErrorContains(t, err, "mqtt sink "+b.Address+": the broker says 0x87 Not authorized")
	assert.False(t, sinks.IsPermanent(err))
	assert.NotContains(t, err.Error(), "wr0ng")

	for _, qos := range []int{1, 2} {
		err = open(t, b.URL, fmt.Sprintf(`%s,"qos":%d,"topics":{"alert":"forbidden/{twin}"}`, asGuest, qos)).Deliver(t.Context(), sinktest.Alert())
		require.ErrorContains(t, err, "the broker says 0x87 ")
		assert.False(t, sinks.IsPermanent(err), "an operator can mend it")
	}

	large := sinktest.Alert()
	large.Summary = strings.Repeat("x", 100_000)
	err = open(t, b.URL, asGuest).Deliver(t.Context(), large)
	require.ErrorContains(t, err, "the broker takes at most 100000")
	assert.True(t, sinks.IsPermanent(err))

	err = open(t, b.TLS, asGuest).Deliver(t.Context(), sinktest.Alert())
	require.ErrorContains(t, err, "certificate")
	assert.False(t, sinks.IsPermanent(err))
}

// restarted proves that a broker which stops and comes back while many deliver
// gets everything, and that what comes twice has the same id. It is not killed:
// Mosquitto acknowledges before it has written.
func restarted(t *testing.T, b *brokertest.MQTT) {
	topic := "restarted/{twin}/{id}"
	before := listen(t, b, "restarted", "restarted/#")
	sink := open(t, b.URL, fmt.Sprintf(`%s,"timeout":"5s","topics":{"alert":%q}`, asGuest, topic))
	var after *listener
	ids := sinktest.Flood(t, sink, func() {
		b.Stop(t)
		b.Start(t)
		after = listen(t, b, "restarted", "restarted/#")
	})
	defer after.close()

	got := map[string]bool{}
	for len(got) < len(ids) {
		var p *paho.Publish
		select {
		case p = <-before.came:
		case p = <-after.came:
		case <-time.After(time.Minute):
			require.Fail(t, "missing", "%d of %d came", len(got), len(ids))
		}
		id := p.Properties.User.Get("tocsin-id")
		require.True(t, ids[id], id)
		got[id] = true
	}
}

func TestNobodyThere(t *testing.T) {
	sink := open(t, "mqtt://127.0.0.1:1", "")
	err := sink.Deliver(t.Context(), sinktest.Alert())
	require.ErrorContains(t, err, "mqtt sink 127.0.0.1:1: dial tcp 127.0.0.1:1: ")
	assert.False(t, sinks.IsPermanent(err))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, sink.Deliver(ctx, sinktest.Alert()), context.Canceled)
	require.NoError(t, sink.(sinks.Closer).Close())
	require.EqualError(t, sink.Deliver(t.Context(), sinktest.Alert()), "mqtt sink 127.0.0.1:1: closed")
}

func TestGivenUp(t *testing.T) {
	long, state, own := sinktest.Alert(), sinktest.Alert(), sinktest.Alert()
	long.Twin, state.State, own.Twin = strings.Repeat("x", 3000), "pending", "$SYS"
	for want, tt := range map[string]struct {
		config  string
		outcome rules.Outcome
	}{
		"no address for a command; want alert, notification, output or sticker": {``, rules.Outcome{Kind: rules.Command}},
		`alert in state "pending"; want firing or resolved`:                     {``, state},
		"topic of 3053 bytes; want at most 3000":                                {``, long},
		`topic "$SYS/x"; want none that begins with $`:                          {`,"topics":{"alert":"{twin}/x"}`, own},
	} {
		err := open(t, "mqtt://127.0.0.1:1", tt.config).Deliver(t.Context(), tt.outcome)
		require.EqualError(t, err, "mqtt sink 127.0.0.1:1: "+want)
		assert.True(t, sinks.IsPermanent(err))
	}
}

func TestConfigErrors(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                                                              `c:1:1: field "url" is missing`,
		`{"url":"mqtt://h","topic":{}}`:                                   `c:1:19: /topic: unknown field "topic"; did you mean "topics"?`,
		`{"url":"http://u:s3cret@h"}`:                                     `c:1:8: /url: not the address of an MQTT broker; want mqtt://host:port or mqtts://host:port`,
		`{"url":"mqtt://u:s3cret@h"}`:                                     `c:1:8: /url: a user in the URL; want user and password`,
		`{"url":"mqtt://h/topic"}`:                                        `c:1:8: /url: more than an address; want mqtt://host:port or mqtts://host:port`,
		`{"url":"mqtt://h","qos":3}`:                                      `c:1:25: /qos: got 3; want 0, 1 or 2`,
		`{"url":"mqtt://h","retain":"stat"}`:                              `c:1:28: /retain: got "stat"; did you mean "state"?`,
		`{"url":"mqtt://h","stateTopic":"x"}`:                             `c:1:32: /stateTopic: stateTopic without "retain":"state"; want both`,
		`{"url":"mqtt://h","space":""}`:                                   `c:1:27: /space: got ""; want the name of the installation`,
		`{"url":"mqtt://h","timeout":"0s"}`:                               `c:1:29: /timeout: got 0s; want more than nothing`,
		`{"url":"mqtt://h","tls":{"ca":"x"}}`:                             `c:1:25: /tls: tls without TLS in the URL; want mqtts://`,
		`{"url":"mqtts://h","tls":{"key":""}}`:                            ``,
		`{"url":"mqtts://h","tls":{"key":"k"}}`:                           `c:1:26: /tls: a certificate and its key go together; want both or none`,
		`{"url":"mqtt://h","password":"s3cret","passwordFile":"f"}`:       `c:1:54: /passwordFile: password and passwordFile; want one of them`,
		`{"url":"mqtt://h","passwordFile":"/no/such/file"}`:               `c:1:34: /passwordFile: open /no/such/file: no such file or directory`,
		`{"url":"mqtt://h","user":"a\nb"}`:                                `c:1:26: /user: control characters; want none`,
		`{"url":"mqtt://h","topics":{"alert":"a/#"}}`:                     `c:1:37: /topics/alert: a wildcard in a topic; want neither + nor #`,
		`{"url":"mqtt://h","topics":{"alert":"a/{sevrity}"}}`:             `c:1:37: /topics/alert: no place {sevrity}; did you mean "severity"?`,
		`{"url":"mqtt://h","will":{"payload":"x"}}`:                       `c:1:26: /will: field "topic" is missing`,
		`{"url":"mqtt://h","will":{"topic":"a/+","qos":7}}`:               `c:1:35: /will/topic: topic "a/+"; want neither + nor # nor control characters`,
		`{"url":"mqtt://h","will":{"topic":"a","qos":7}}`:                 `c:1:45: /will/qos: got 7; want 0, 1 or 2`,
		`{"url":"mqtt://h","retain":"state","stateTopic":"a/{twin}/{i}"}`: `c:1:49: /stateTopic: no place {i}`,
	} {
		_, err := mqtt.New(parse(t, config))
		if want == "" {
			require.NoError(t, err, config)
			continue
		}
		require.ErrorContains(t, err, want, config)
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

// A broker can still be speaking of messages while the connection ends: the
// client would write its answers to a connection that it has let go of.
func TestTheBrokerSpeaksWhileTheConnectionEnds(t *testing.T) {
	said := []byte{0x40, 2, 0, 1} // the message has arrived
	for range 500 {
		said = append(said, 0x50, 2, 0, 2) // which only a message with QoS 2 has
	}
	for range 100 {
		sink := open(t, answers(t, said), "")
		require.NoError(t, sink.Deliver(t.Context(), sinktest.Alert()))
		require.NoError(t, sink.(sinks.Closer).Close())
	}
}

// answers is the address of a broker that says this when it has got a message.
func answers(t *testing.T, said []byte) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var group sync.WaitGroup
	group.Go(func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		for {
			p, err := packets.ReadPacket(c)
			switch {
			case err != nil:
				_ = c.Close()
				return
			case p.Type == packets.CONNECT:
				_, _ = c.Write([]byte{0x20, 3, 0, 0, 0})
			case p.Type == packets.PUBLISH:
				_, _ = c.Write(said)
			}
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		group.Wait()
	})
	return "mqtt://" + listener.Addr().String()
}

// A message that a broker did not answer took its place for as long as the
// connection lasted, and a broker that takes one at a time got no other.
func TestNoAnswerToOneMessage(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	published := 0
	serve := func(c net.Conn) {
		defer c.Close() //nolint:errcheck // a test
		for {
			p, err := packets.ReadPacket(c)
			switch {
			case err != nil:
				return
			case p.Type == packets.CONNECT:
				_, _ = c.Write([]byte{0x20, 6, 0, 0, 3, 0x21, 0, 1})
			case p.Type == packets.PINGREQ:
				_, _ = c.Write([]byte{0xd0, 0})
			case p.Type == packets.PUBLISH:
				if published++; published == 1 {
					cancel() // who delivers gives up
					continue
				}
				_, _ = c.Write([]byte{0x40, 2, 0, byte(p.Content.(*packets.Publish).PacketID)})
			}
		}
	}
	group.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serve(c) // one after the other
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		group.Wait()
	})
	sink := open(t, "mqtt://"+listener.Addr().String(), `,"timeout":"1m"`)
	require.ErrorIs(t, sink.Deliver(ctx, sinktest.Alert()), context.Canceled)
	require.NoError(t, sink.Deliver(t.Context(), sinktest.Alert()))
	require.NoError(t, sink.(sinks.Closer).Close())
}

// FuzzBroker proves that nothing which a broker says does harm.
func FuzzBroker(f *testing.F) {
	welcome := []byte{0x20, 3, 0, 0, 0}
	for _, said := range [][]byte{
		nil, welcome,
		{0x20, 3, 0, 0x87, 0},
		append(welcome[:5:5], 0x40, 4, 0, 1, 0x87, 0), append(welcome[:5:5], 0x40, 2, 0, 1), append(welcome[:5:5], 0xe0, 2, 0x8b, 0), append(welcome[:5:5], 0xf0, 0),
		append(welcome[:5:5], 0x30, 5, 0, 1, 'a', 0, 'b'),
		{0x20, 9, 0, 0, 6, 0x15, 0, 3, 'a', 'b', 'c'},
		{0xf0, 2, 0x18, 0},
		append(welcome[:5:5], 0x40, 0xff, 0xff, 0xff, 0x7f), append(welcome[:5:5], 0x50, 2, 0, 1),
	} {
		f.Add(said)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(f, err)
	f.Cleanup(func() { _ = listener.Close() })
	f.Fuzz(func(t *testing.T, said []byte) {
		var group sync.WaitGroup
		group.Go(func() {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write(said)
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = c.Read(make([]byte, 4096))
			_ = c.Close()
		})
		sink := open(t, "mqtt://"+listener.Addr().String(), `,"timeout":"10s"`)
		if err := sink.Deliver(t.Context(), sinktest.Alert()); err != nil {
			require.NotEmpty(t, err.Error())
		}
		require.NoError(t, sink.(sinks.Closer).Close())
		group.Wait()
	})
}
