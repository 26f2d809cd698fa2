package stomp_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api/stomp"
	"tocsin.internal/engine"
)

func TestVersionsAreAgreedOn(t *testing.T) {
	h := serve(t, false, nil)
	for _, c := range []struct{ send, want string }{
		{"CONNECT\n\n\x00", "1.0"},
		{"CONNECT\naccept-version:1.0\n\n\x00", "1.0"},
		{"CONNECT\naccept-version:1.0,1.1\n\n\x00", "1.1"},
		{"CONNECT\naccept-version:1.1,1.0\n\n\x00", "1.1"},
		{"STOMP\naccept-version:1.0,1.1,1.2\n\n\x00", "1.2"},
		{"STOMP\naccept-version:2.0, 1.2\n\n\x00", "1.2"},
		{"STOMP\r\naccept-version:1.2\r\n\r\n\x00\r\n", "1.2"},
		{"\n\r\n\nSTOMP\naccept-version:1.2\n\n\x00\n\n", "1.2"},
		{"STOMP\naccept-version:1.2\naccept-version:1.0\n\n\x00", "1.2"},
		{"STOMP\naccept-version:1.2\nlogin:ann\npasscode:secret\nhost:/\n\n\x00", "1.2"},
	} {
		t.Run(c.send, func(t *testing.T) {
			h.t = t
			peer := h.dial()
			peer.send(c.send)
			f := peer.want("CONNECTED\nversion:" + c.want + "\nserver:tocsin/test")
			assert.NotEmpty(t, f.Header.Get("session"))
			_, beats := f.Header.Contains("heart-beat")
			assert.Equal(t, c.want != "1.0", beats)
		})
	}
}

// STOMP 1.0 knows no heart-beats, and its clients send none though they may say so.
func TestHeartBeatsOf10AreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, true, nil)
		c := h.dial()
		c.send("CONNECT\naccept-version:1.0\nheart-beat:10000,10000\n\n\x00")
		c.want("CONNECTED\nversion:1.0\nheart-beat:")
		time.Sleep(time.Hour)
		c.subscribe("1", "/twins/a/feeds/b")
	})
}

func TestHeartBeatsAreAgreedOn(t *testing.T) {
	h := serve(t, false, nil)
	for _, c := range []struct{ asked, want string }{
		{"0,0", "0,0"},
		{"10000,10000", "10000,10000"},
		{"500,0", "0,10000"},
		{"0,500", "10000,0"},
		{"60000,30000", "30000,60000"},
		{" 1 , 1 ", "10000,10000"},
		{"999999999999,0", "0,3600000"},
	} {
		peer := h.dial()
		peer.send("CONNECT\naccept-version:1.2\nheart-beat:" + c.asked + "\n\n\x00")
		peer.want("CONNECTED\nheart-beat:" + c.want)
	}
}

// conversation is everything that a client says, with receipts after which it gets
// a message.
const conversation = "\n\r\nSTOMP\r\naccept-version:1.0,1.2\r\nhost:h\r\nheart-beat:0,0\r\n\r\n\x00\n" +
	"SUBSCRIBE\nid:a\\cb\\n\\\\\ndestination:/twins/did\\ciotics\\c1/feeds/a%2Fb%20c\nreceipt:1\n\n\x00\n" +
	"SUBSCRIBE\nid:2\ndestination:/qapi/searches/results\nreceipt:2\n\n\x00" +
	"SEND\ndestination:/qapi/searches/dispatches\ncontent-length:5\nreceipt:3\n\na\x00b\nc\x00" +
	"SEND\ndestination:/qapi/searches/dispatches\nlimit:7\noffset:8\nreceipt:4\n\nplain\x00\n\n" +
	"BEGIN\ntransaction:t\nreceipt:5\n\n\x00SEND\ntransaction:t\ndestination:/qapi/searches/dispatches\nreceipt:6\n\nlater\x00COMMIT\ntransaction:t\nreceipt:7\n\n\x00" +
	"UNSUBSCRIBE\nid:a\\cb\\n\\\\\nreceipt:8\n\n\x00" +
	"DISCONNECT\nreceipt:9\n\n\x00"

func (c *client) answersConversation(h *house) {
	c.t.Helper()
	c.want("CONNECTED\nversion:1.2")
	c.want("RECEIPT\nreceipt-id:1")
	c.want("RECEIPT\nreceipt-id:2")
	c.want("MESSAGE\nsubscription:2\ndestination:/qapi/searches/results\n\n" + `{"limit":0,"offset":0,"body":"a\x00b\nc"}`)
	c.want("RECEIPT\nreceipt-id:3")
	c.want("MESSAGE\nsubscription:2\n\n" + `{"limit":7,"offset":8,"body":"plain"}`)
	c.want("RECEIPT\nreceipt-id:4")
	c.want("RECEIPT\nreceipt-id:5")
	c.want("RECEIPT\nreceipt-id:6")
	c.want("MESSAGE\nsubscription:2\n\n" + `{"limit":0,"offset":0,"body":"later"}`)
	c.want("RECEIPT\nreceipt-id:7")
	c.want("RECEIPT\nreceipt-id:8")
	assert.Zero(c.t, h.world.share("did:iotics:1", "a/b c", "1"), "nobody follows any more")
	c.want("RECEIPT\nreceipt-id:9")
	c.over()
}

func TestFramesMayBeSplitAnywhere(t *testing.T) {
	h := serve(t, true, nil)
	for at := range len(conversation) + 1 {
		c := h.dial()
		go func() {
			c.Write([]byte(conversation[:at])) //nolint:errcheck // the reader notices
			c.Write([]byte(conversation[at:])) //nolint:errcheck // the reader notices
		}()
		c.answersConversation(h)
	}
	c := h.dial()
	go func() {
		for i := range len(conversation) {
			c.Write([]byte{conversation[i]}) //nolint:errcheck // the reader notices
		}
	}()
	c.answersConversation(h)
}

func TestBodiesMayHoldAnything(t *testing.T) {
	h := serve(t, false, nil)
	for _, version := range []string{"1.0", "1.1", "1.2"} {
		c := h.connected(version)
		c.send("SUBSCRIBE\nid:1\ndestination:/twins/a/feeds/b\nreceipt:r\n\n\x00")
		c.want("RECEIPT\nreceipt-id:r")
		for _, data := range []string{"", "\x00", "a\x00\x00b\n\n", "\xff\xfe", strings.Repeat("x\x00", 200_000)} {
			require.Positive(t, h.world.share("a", "b", data))
			f := c.want("MESSAGE\nsubscription:1\ndestination:/twins/a/feeds/b")
			assert.Equal(t, data, string(f.Body))
		}
		c.send("DISCONNECT\n\n\x00")
		c.over()
	}
}

// What STOMP 1.0 has in a header is not escaped; but clients do it all the same.
func TestHeadersAreEscapedAsTheVersionDoes(t *testing.T) {
	h := serve(t, false, nil)
	for _, c := range []struct{ version, subscribe, echoed string }{
		{"1.0", `x:y\cz\a`, `x:y:z\a`}, {"1.1", `x\cy\\\n`, `x\cy\\\n`}, {"1.2", `x\cy\\\n\r`, `x\cy\\\n\r`},
	} {
		peer := h.connected(c.version)
		peer.send("SUBSCRIBE\nid:1\ndestination:/qapi/twins/f/interests/twins/a/feeds/b\nIotics-ClientRef:" + c.subscribe + "\nreceipt:r\n\n\x00")
		peer.want("RECEIPT\nreceipt-id:r")
		require.Positive(t, h.world.share("a", "b", "1"))
		raw := make([]byte, 4096)
		n, err := peer.Read(raw)
		require.NoError(t, err)
		assert.Contains(t, string(raw[:n]), "\nIotics-ClientRef:"+c.echoed+"\n")
		peer.send("DISCONNECT\n\n\x00")
		peer.over()
	}
}

func TestDestinations(t *testing.T) {
	h := serve(t, false, func(o *stomp.Options) { o.Name = "plant-1" })
	alert := func(pattern string) engine.Topic { return engine.Topic{Kind: engine.AlertTopic, Pattern: pattern} }
	for _, c := range []struct {
		destination string
		topic       engine.Topic
	}{
		{"/qapi/twins/f/interests/twins/a/feeds/b", engine.Topic{Kind: engine.FeedTopic, Twin: "a", Name: "b"}},
		{"/qapi/twins/f/interests/hosts/did:iotics:host/twins/a/feeds/b", engine.Topic{Kind: engine.FeedTopic, Twin: "a", Name: "b"}},
		{"/qapi/hosts/did:iotics:host/twins/f/interests/twins/a/feeds/b", engine.Topic{Kind: engine.FeedTopic, Twin: "a", Name: "b"}},
		{"/qapi/twins/a/inputs/b", engine.Topic{Kind: engine.InputTopic, Twin: "a", Name: "b"}},
		{"/qapi/hosts/did:iotics:host/twins/a/inputs/b", engine.Topic{Kind: engine.InputTopic, Twin: "a", Name: "b"}},
		{"/twins/did:iotics:1/feeds/b", engine.Topic{Kind: engine.FeedTopic, Twin: "did:iotics:1", Name: "b"}},
		{"/twins/a%2Fb%20%2A%3E/feeds/%", engine.Topic{Kind: engine.FeedTopic, Twin: "a/b *>", Name: ""}},
		{"/topic/alerts", alert("")},
		{"/topic/alerts/", alert("")},
		{"/topic/alerts/>", alert(">")},
		{"/topic/alerts/critical/>", alert("critical.>")},
		{"/topic/alerts/*/overheating:too-hot/*/raised", alert("*.overheating:too-hot.*.raised")},
		{"/topic/alerts/critical/overheating:too hot/line.1/*", alert("critical.overheating:too%20hot.line%2E1.*")},
		{"/topic/alerts/critical/i:r/%2A/raised", alert("critical.i:r.%2A.raised")},
		{"/topic/alerts/plant-1/critical/>", alert("critical.>")},
		{"/topic/alerts/plant-1/>", alert(">")},
		{"/topic/alerts/*/critical/i:r/*/raised", alert("critical.i:r.*.raised")},
		{"/topic/notifications", engine.Topic{Kind: engine.NotificationTopic}},
		{"/topic/notifications/brno", engine.Topic{Kind: engine.NotificationTopic, Pattern: "brno"}},
		{"/topic/stickers/*/red", engine.Topic{Kind: engine.StickerTopic, Pattern: "*.red"}},
	} {
		t.Run(c.destination, func(t *testing.T) {
			h.t = t
			peer := h.connected("1.2")
			peer.subscribe("1", c.destination)
			assert.Positive(t, h.world.happen(c.topic, engine.Event{Twin: "a", Name: "b", Mime: "application/json", Subject: "x.y", Data: []byte("{}")}))
			peer.want("MESSAGE\nsubscription:1")
			peer.send("DISCONNECT\nreceipt:r\n\n\x00")
			peer.want("RECEIPT\nreceipt-id:r")
			peer.over()
		})
	}
}

func TestAnAlertHasItsOwnDestination(t *testing.T) {
	h := serve(t, false, nil)
	c := h.connected("1.2")
	c.subscribe("a", "/topic/alerts/critical/>")
	h.world.happen(engine.Topic{Kind: engine.AlertTopic, Pattern: "critical.>"}, engine.Event{
		ID: "a7", Kind: engine.AlertTopic, Mime: "application/json", Subject: "critical.i:too%20hot.a%2Fb.raised", Data: []byte(`{"kind":"alert"}`),
	})
	c.want("MESSAGE\nsubscription:a\nmessage-id:a7\ncontent-type:application/json\ndestination:/topic/alerts/critical/i:too%20hot/a%2Fb/raised\noccurred-at:2026-11-02T12:00:00Z\n\n" + `{"kind":"alert"}`)
}

func TestMessagesToAnInput(t *testing.T) {
	h := serve(t, false, nil)
	c := h.connected("1.2")
	c.subscribe("in", "/qapi/twins/did:iotics:t/inputs/setPoint", "Iotics-ClientAppId:app")
	require.Equal(t, 1, h.world.happen(engine.Topic{Kind: engine.InputTopic, Twin: "did:iotics:t", Name: "setPoint"}, engine.Event{
		Kind: engine.InputTopic, Mime: `text/"plain"`, Data: []byte("21 °C"), At: noon.Add(1500 * time.Microsecond),
	}))
	f := c.want("MESSAGE\nsubscription:in\ndestination:/qapi/twins/did:iotics:t/inputs/setPoint\nIotics-ClientAppId:app")
	assert.JSONEq(t, `{"inputId":{"id":"setPoint","twinId":"did:iotics:t"},"message":{"data":"MjEgwrBD","mime":"text/\"plain\"","occurredAt":"2026-11-02T12:00:00.0015Z"}}`, string(f.Body))
}

func TestASearchAnswersWhoAsked(t *testing.T) {
	h := serve(t, false, nil)
	c := h.connected("1.2")
	c.subscribe("s", "/qapi/searches/results", "Iotics-ClientRef:of-the-subscription")
	c.send("SEND\ndestination:/qapi/searches/dispatches\nscope:LOCAL\nlimit:5\noffset:10\nIotics-TransactionRef:txref-7_page2\nIotics-RequestTimeout:2099-01-01T00\\c00\\c00Z\n\n{}\x00")
	f := c.want("MESSAGE\nsubscription:s\ndestination:/qapi/searches/results\nIotics-TransactionRef:txref-7_page2\nIotics-ClientRef:\ncontent-type:application/json\n\n" + `{"limit":5,"offset":10,"body":"{}"}`)
	assert.NotEmpty(t, f.Header.Get("message-id"))
}

func TestAnAbortedTransactionDoesNothing(t *testing.T) {
	h := serve(t, false, nil)
	c := h.connected("1.1")
	c.subscribe("s", "/qapi/searches/results")
	c.send("BEGIN\ntransaction:t\n\n\x00SEND\ntransaction:t\ndestination:/qapi/searches/dispatches\n\nx\x00ABORT\ntransaction:t\nreceipt:1\n\n\x00")
	c.want("RECEIPT\nreceipt-id:1")
	c.send("BEGIN\ntransaction:t\n\n\x00COMMIT\ntransaction:t\nreceipt:2\n\n\x00")
	c.want("RECEIPT\nreceipt-id:2")
}

func TestASubscriptionWithoutAnID(t *testing.T) {
	h := serve(t, false, nil)
	c := h.connected("1.0")
	c.send("SUBSCRIBE\ndestination:/twins/a/feeds/b\nreceipt:1\n\n\x00")
	c.want("RECEIPT\nreceipt-id:1")
	require.Equal(t, 1, h.world.share("a", "b", "x"))
	f := c.want("MESSAGE\ndestination:/twins/a/feeds/b\n\nx")
	_, has := f.Header.Contains("subscription")
	assert.False(t, has)
	c.send("UNSUBSCRIBE\ndestination:/twins/a/feeds/b\nreceipt:2\n\n\x00")
	c.want("RECEIPT\nreceipt-id:2")
	assert.Zero(t, h.world.share("a", "b", "x"))
}

func TestNothingIsPushedThatWasBefore(t *testing.T) {
	h := serve(t, false, nil)
	h.world.last["a b"] = &engine.Event{At: noon, Mime: "application/json", Data: []byte("last")}
	c := h.connected("1.2")
	c.subscribe("1", "/twins/a/feeds/b")
	c.subscribe("2", "/twins/a/feeds/b", "replay:none")
	h.world.share("a", "b", "next")
	c.want("MESSAGE\n\nnext")
	c.want("MESSAGE\n\nnext")
}

func TestReplay(t *testing.T) {
	h := serve(t, false, nil)
	h.world.last["a b"] = &engine.Event{At: noon, Mime: "application/json", Data: []byte("last")}
	c := h.connected("1.2")
	c.send("SUBSCRIBE\nid:last\ndestination:/twins/a/feeds/b\nreplay:last\nreceipt:1\n\n\x00")
	c.want("MESSAGE\nsubscription:last\nmessage-id:last\n\nlast")
	c.want("RECEIPT\nreceipt-id:1")
	h.world.share("a", "b", "next")
	c.want("MESSAGE\nsubscription:last\nmessage-id:f1\n\nnext")
	for _, feed := range []string{"/twins/a/feeds/empty", "/twins/nobody/feeds/b"} {
		c.subscribe("none of "+feed, feed, "replay:last")
	}
	c.send("SUBSCRIBE\nid:all\ndestination:/topic/alerts\nreplay:all\nreceipt:2\n\n\x00")
	c.want("MESSAGE\nsubscription:all\nmessage-id:since 0001-01-01 00:00:00\n\nsince")
	c.want("RECEIPT\nreceipt-id:2")
	c.send("SUBSCRIBE\nid:time\ndestination:/topic/alerts\nreplay:2026-11-02T11\\c00\\c00Z\nreceipt:3\n\n\x00")
	c.want("MESSAGE\nsubscription:time\nmessage-id:since 2026-11-02 11:00:00\n\nsince")
	c.want("RECEIPT\nreceipt-id:3")
}

// What comes while the last sample is looked for comes after it, and once.
func TestTheLastSampleComesOnce(t *testing.T) {
	h := serve(t, false, nil)
	h.world.last["a b"] = &engine.Event{At: noon, Mime: "application/json", Data: []byte("2")}
	for _, c := range []struct{ during, want []string }{
		{[]string{"3", "4"}, []string{"2", "3", "4"}}, {[]string{"1", "2", "3"}, []string{"1", "2", "3"}}, {[]string{"2"}, []string{"2"}},
	} {
		h.world.during = func() {
			for _, data := range c.during {
				h.world.share("a", "b", data)
			}
		}
		peer := h.connected("1.2")
		peer.send("SUBSCRIBE\nid:1\ndestination:/twins/a/feeds/b\nreplay:last\nreceipt:r\n\n\x00")
		for _, want := range c.want {
			peer.want("MESSAGE\n\n" + want)
		}
		peer.want("RECEIPT")
		peer.send("DISCONNECT\n\n\x00")
		peer.over()
	}
}
