package stomp_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api/access"
	"tocsin.internal/api/stomp"
)

const (
	feedPath  = `/qapi/twins/did\ciotics\ciotB/interests/twins/did\ciotics\ciotA/feeds/temp`
	connect12 = "CONNECT\naccept-version:1.2\nhost:x\npasscode:key\n\n\x00"
)

// wantError wants an ERROR with a code and a text, then the end.
func (c *client) wantError(code int, message string) {
	c.t.Helper()
	c.wantErrorAs(code, message, message)
}

// wantErrorAs wants the header and the body to say it each in its way.
func (c *client) wantErrorAs(code int, header, body string) {
	c.t.Helper()
	f := c.next()
	for f.Command == "CONNECTED" {
		f = c.next()
	}
	require.Equal(c.t, "ERROR", f.Command)
	assert.Equal(c.t, header, f.Header.Get("message"))
	assert.Equal(c.t, "application/json", f.Header.Get("content-type"))
	var status struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Details []any  `json:"details"`
	}
	require.NoError(c.t, json.Unmarshal(f.Body, &status), "%s", f.Body)
	assert.Equal(c.t, code, status.Code)
	assert.Equal(c.t, body, status.Message)
	assert.Equal(c.t, fmt.Sprint(len(f.Body)), f.Header.Get("content-length"))
	c.over()
}

func TestErrors(t *testing.T) {
	h := serve(t, false, func(o *stomp.Options) {
		o.Limits = stomp.Limits{Subscriptions: 2, Linger: time.Minute}
		o.Guard = keys(map[string]*access.Caller{"key": access.Anybody, "reader": {Name: "reader", Actions: []access.Action{access.Read}}, "device": {Name: "device", Actions: []access.Action{access.Share}}})
	})
	subscribe := func(headers string) string { return "SUBSCRIBE\nid:1\n" + headers + "\n\n\x00" }
	for _, c := range []struct {
		name, send string
		code       int
		want       string
	}{
		{"no STOMP at all", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 3, `no command "GET / HTTP/1.1"`},
		{"a command that is none", "HELLO\n\n\x00", 3, `no command "HELLO"`},
		{"a command of a server", "MESSAGE\n\n\x00", 3, `no command "MESSAGE"`},
		{"a command in small letters", "connect\n\n\x00", 3, `no command "connect"`},
		{"nothing before CONNECT", subscribe("destination:/topic/alerts/>"), 3, "SUBSCRIBE before CONNECT"},
		{"DISCONNECT before CONNECT", "DISCONNECT\n\n\x00", 3, "DISCONNECT before CONNECT"},
		{"a version that is none", "CONNECT\naccept-version:1.3,2.0\n\n\x00", 3, `accept-version "1.3,2.0"; want one of 1.2,1.1,1.0`},
		{"heart-beats that are none", "CONNECT\naccept-version:1.2\npasscode:key\nheart-beat:10\n\n\x00", 3, `heart-beat "10"; want MILLISECONDS,MILLISECONDS`},
		{"negative heart-beats", "CONNECT\naccept-version:1.2\npasscode:key\nheart-beat:-1,0\n\n\x00", 3, `heart-beat "-1,0"; want MILLISECONDS,MILLISECONDS`},
		{"no token", "STOMP\naccept-version:1.2\n\n\x00", 16, "no token; want it as passcode or in a header Authorization"},
		{"a token that is not known", "STOMP\naccept-version:1.2\npasscode:no\n\n\x00", 16, `token "no" is not known`},
		{"a token that is not known as a header", "STOMP\naccept-version:1.2\nAuthorization:bearer no\n\n\x00", 16, `token "no" is not known`},
		{"twice connected", connect12 + connect12, 3, "CONNECT on a connection that is connected"},
		{"a carriage return alone", connect12 + "\r\rSEND\n\n\x00", 3, "a carriage return without a newline between frames"},
		{"NULs alone", connect12 + "\x00\x00", 3, "a NUL in the command or the headers, which end with an empty line"},
		{"a frame without its empty line", connect12 + "SEND\ndestination:/x\x00", 3, "a NUL in the command or the headers, which end with an empty line"},
		{"a NUL in a header", connect12 + "SEND\ndesti\x00nation:/x\n\n\x00", 3, "a NUL in the command or the headers, which end with an empty line"},
		{"a header without a colon", connect12 + "SEND\nabc\n\n\x00", 3, `a header "abc"; want NAME:VALUE`},
		{"a header without a name", connect12 + "SEND\n:abc\n\n\x00", 3, `a header ":abc"; want NAME:VALUE`},
		{"an escape that is none", connect12 + "SEND\na:b\\t\n\n\x00", 3, `header "a" has an escape that STOMP 1.2 does not know`},
		{"an escape at the end", connect12 + "SEND\na:b\\\n\n\x00", 3, `header "a" has an escape that STOMP 1.2 does not know`},
		{"an escape of 1.2 in 1.1", "CONNECT\naccept-version:1.1\npasscode:key\n\n\x00SEND\na:b\\r\n\n\x00", 3, `header "a" has an escape that STOMP 1.1 does not know`},
		{"too many headers", connect12 + "SEND\n" + strings.Repeat("a:b\n", 65) + "\n\x00", 8, "a frame with more than 64 headers"},
		{"a header that is too long", connect12 + "SEND\na:" + strings.Repeat("b", 16<<10) + "\n\n\x00", 8, "a line of more than 16384 bytes"},
		{"a header that never ends", connect12 + "SEND\na:" + strings.Repeat("b", 20<<10), 8, "a line of more than 16384 bytes"},
		{"a length that is none", connect12 + "SEND\ncontent-length:x\n\nabc\x00", 3, `content-length "x"; want a number of bytes`},
		{"a negative length", connect12 + "SEND\ncontent-length:-1\n\nabc\x00", 3, `content-length "-1"; want a number of bytes`},
		{"an enormous length", connect12 + "SEND\ncontent-length:99999999999999999999\n\nabc\x00", 8, "a frame of more than 1048576 bytes"},
		{"a length over the limit", connect12 + "SEND\ncontent-length:1048577\n\nabc\x00", 8, "a frame of more than 1048576 bytes"},
		{"a body that is too long", connect12 + "SEND\ndestination:/x\n\n" + strings.Repeat("b", 1<<20) + "\x00", 8, "a frame of more than 1048576 bytes"},
		{"no NUL after the length", connect12 + "SEND\ncontent-length:2\n\nabc\x00", 3, "no NUL after the 2 bytes of content-length"},
		{"a subscription without an id", connect12 + "SUBSCRIBE\ndestination:/topic/alerts/>\n\n\x00", 3, "SUBSCRIBE without the header id"},
		{"the same id twice", connect12 + subscribe("destination:/topic/alerts/>") + subscribe("destination:/topic/alerts"), 3, `there is a subscription "1" already`},
		{"too many subscriptions", connect12 + subscribe("destination:/topic/alerts/>") + "SUBSCRIBE\nid:2\ndestination:/topic/alerts\n\n\x00" + "SUBSCRIBE\nid:3\ndestination:/topic/alerts\n\n\x00", 8, "2 subscriptions, which is as many as a connection may have"},
		{"no destination", connect12 + "SUBSCRIBE\nid:1\n\n\x00", 5, `no destination ""`},
		{"a destination that is none", connect12 + subscribe("destination:/queue/a"), 5, `no destination "/queue/a"`},
		{"a destination that lacks a name", connect12 + subscribe("destination:/twins//feeds/temp"), 5, `no destination "/twins//feeds/temp"`},
		{"another host", connect12 + subscribe("destination:/qapi/twins/a/interests/hosts/elsewhere/twins/b/feeds/c"), 5, `no host "elsewhere"; this is "did:iotics:host"`},
		{"an ack that is none", connect12 + subscribe("destination:/topic/alerts\nack:always"), 3, `ack "always"; want auto, client or client-individual`},
		{"a replay that is none", connect12 + subscribe("destination:/topic/alerts\nreplay:yesterday"), 3, `replay "yesterday"; want last, all or a time such as 2026-11-02T10:00:00Z`},
		{"the last one of many", connect12 + subscribe("destination:/topic/alerts\nreplay:last"), 3, "replay:last is for feeds"},
		{"replay with acknowledgement", connect12 + subscribe("destination:/topic/alerts\nreplay:all\nack:client"), 3, "replay with ack:client or durable; want it with neither: a durable subscription goes on where it was"},
		{"acknowledged results", connect12 + subscribe("destination:/qapi/searches/results\nack:client"), 3, "answers of searches come once: no ack, durable or replay at /qapi/searches/results"},
		{"a pattern that is too short", connect12 + subscribe("destination:/topic/alerts/critical"), 3, `1 names in "critical"; want 4, or > at the end for the rest`},
		{"a pattern that is too long", connect12 + subscribe("destination:/topic/stickers/a/b/c"), 3, `3 names in "a/b/c"; want 2, or > at the end for the rest`},
		{"the rest in the middle", connect12 + subscribe("destination:/topic/alerts/>/x"), 3, `> before the end of ">/x"`},
		{"half a wildcard", connect12 + subscribe("destination:/topic/stickers/machine_*/red"), 3, `a wildcard that is no name of its own in "machine_*/red"; in a name * is %2A and > is %3E`},
		{"an empty name", connect12 + subscribe("destination:/topic/stickers//red"), 3, `an empty name in "/red"`},
		{"who may not read", "STOMP\naccept-version:1.2\npasscode:device\n\n\x00" + subscribe("destination:"+feedPath), 7, "device may not read"},
		{"a token for a subscription that is not known", connect12 + subscribe("destination:"+feedPath+"\nAuthorization:Bearer no"), 16, `token "no" is not known`},
		{"a token for a subscription that may not read", connect12 + subscribe("destination:"+feedPath+"\nauthorization:Bearer device"), 7, "device may not read"},
		{"an unsubscription of nothing", connect12 + "UNSUBSCRIBE\nid:9\n\n\x00", 5, `no subscription "9"`},
		{"an unsubscription without an id", connect12 + "UNSUBSCRIBE\ndestination:/topic/alerts\n\n\x00", 3, "UNSUBSCRIBE without the header id"},
		{"an acknowledgement of nothing", connect12 + "ACK\nmessage-id:1\n\n\x00", 3, "ACK without the header id"},
		{"an acknowledgement in 1.1", "CONNECT\naccept-version:1.1\npasscode:key\n\n\x00NACK\nid:1\n\n\x00", 3, "NACK without the header message-id"},
		{"a message to a topic", connect12 + "SEND\ndestination:/topic/alerts\n\nx\x00", 3, `nothing can be sent to "/topic/alerts"; samples and messages to inputs are shared over HTTP`},
		{"a message to a feed", connect12 + "SEND\ndestination:" + feedPath + "\n\nx\x00", 3, `nothing can be sent to "` + strings.ReplaceAll(feedPath, `\c`, ":") + `"; samples and messages to inputs are shared over HTTP`},
		{"a search without ears", connect12 + "SEND\ndestination:/qapi/searches/dispatches\n\n{}\x00", 3, "a search without a subscription to /qapi/searches/results"},
		{"a search that may not be", "STOMP\naccept-version:1.2\npasscode:device\n\n\x00" + "SEND\ndestination:/qapi/searches/dispatches\n\n{}\x00", 7, "device may not read"},
		{"a search that is wrong", connect12 + subscribe("destination:/qapi/searches/results") + "SEND\ndestination:/qapi/searches/dispatches\n\nwrong\x00", 3, "the search is wrong"},
		{"a search with a limit that is none", connect12 + subscribe("destination:/qapi/searches/results") + "SEND\ndestination:/qapi/searches/dispatches\nlimit:many\n\n{}\x00", 3, `limit: got "many"; want a number`},
		{"a search of everything", connect12 + subscribe("destination:/qapi/searches/results") + "SEND\ndestination:/qapi/searches/dispatches\nscope:ALL\n\n{}\x00", 3, `scope: got "ALL"; want LOCAL or GLOBAL`},
		{"a search that nobody waits for", connect12 + subscribe("destination:/qapi/searches/results") + "SEND\ndestination:/qapi/searches/dispatches\nIotics-RequestTimeout:2026-11-02T10\\c00\\c00Z\n\n{}\x00", 4, `Iotics-RequestTimeout "2026-11-02T10:00:00Z" is over`},
		{"a search until something", connect12 + subscribe("destination:/qapi/searches/results") + "SEND\ndestination:/qapi/searches/dispatches\nIotics-RequestTimeout:soon\n\n{}\x00", 3, `Iotics-RequestTimeout: got "soon"; want a time such as 2026-11-02T10:00:00Z`},
		{"a transaction without a name", connect12 + "BEGIN\n\n\x00", 3, "BEGIN without the header transaction"},
		{"a transaction twice", connect12 + "BEGIN\ntransaction:a\n\n\x00BEGIN\ntransaction:a\n\n\x00", 3, `transaction "a" has begun already`},
		{"a transaction that was not begun", connect12 + "COMMIT\ntransaction:a\n\n\x00", 5, `no transaction "a"`},
		{"a frame of a transaction that was not begun", connect12 + "ACK\nid:1\ntransaction:a\n\n\x00", 5, `no transaction "a"`},
		{"too much in a transaction", connect12 + "BEGIN\ntransaction:a\n\n\x00" + strings.Repeat("ACK\nid:1\ntransaction:a\n\n\x00", 257), 8, "256 frames in transactions, which is as many as a connection may have"},
		{"too long frames in a transaction", connect12 + "BEGIN\ntransaction:a\n\n\x00" + strings.Repeat("SEND\ntransaction:a\n\n"+strings.Repeat("x", 1_000_000)+"\x00", 5), 8, "frames in transactions of more than 4194304 bytes, which is as much as a connection may have"},
		{"too many transactions", connect12 + transactions(17), 8, "16 transactions, which is as many as a connection may have"},
		{"a wrong frame in a transaction", connect12 + "BEGIN\ntransaction:a\n\n\x00SEND\ndestination:/x\ntransaction:a\n\n\x00COMMIT\ntransaction:a\n\n\x00", 3, `nothing can be sent to "/x"; samples and messages to inputs are shared over HTTP`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.t = t
			peer := h.dial()
			peer.send(c.send)
			peer.wantError(c.code, c.want)
		})
	}
}

func transactions(n int) (text string) {
	for i := range n {
		text += fmt.Sprintf("BEGIN\ntransaction:%d\n\n\x00", i)
	}
	return text
}

func TestAnErrorRepeatsReceiptAndTransaction(t *testing.T) {
	h := serve(t, false, nil)
	c := h.connected("1.2")
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nreceipt:r\\c1\nIotics-TransactionRef:txref-1_page0\n\n\x00")
	c.want("ERROR\nreceipt-id:r:1\nIotics-TransactionRef:txref-1_page0\nmessage:no destination \"/queue/a\"")
	c.over()
}

func TestAVersionThatIsNoneGetsTheList(t *testing.T) {
	h := serve(t, false, nil)
	c := h.dial()
	c.send("CONNECT\naccept-version:3.0\n\n\x00")
	c.want("ERROR\nversion:1.2,1.1,1.0")
	c.over()
}

func TestWhatTheEngineRefuses(t *testing.T) {
	h := serve(t, false, nil)
	c := h.connected("1.2")
	c.send("SUBSCRIBE\nid:1\ndestination:/topic/notifications/away\n\n\x00")
	c.wantError(14, "follow: the engine has stopped")
}

func TestMoreConnectionsThanMayBe(t *testing.T) {
	h := serve(t, false, func(o *stomp.Options) { o.Limits.Connections = 2 })
	first := h.connected("1.2")
	h.connected("1.1")
	third := h.dial()
	third.wantError(8, "there are 2 connections, which is as many as may be")
	first.send("DISCONNECT\n\n\x00")
	first.over()
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool { return h.Stats().Open == 1 }, 30*time.Second, time.Millisecond)
	h.connected("1.0")
	assert.Equal(t, uint64(3), h.Stats().Connections)
}
