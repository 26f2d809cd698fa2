package stomp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	gostomp "github.com/go-stomp/stomp/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api/access"
	"tocsin.internal/api/stomp"
	"tocsin.internal/engine"
	"tocsin.internal/internal/wsconn"
)

// patience is how long a program of somebody else may take on a busy machine.
const patience = 3 * time.Minute

const (
	interestPath = "/qapi/twins/did:iotics:f/interests/twins/did:iotics:a/feeds/temp"
	clients      = "testdata/clients"
)

var stickers = engine.Event{ID: "s1", At: noon, Mime: "application/json", Data: []byte(`{"kind":"sticker"}`)}

// known is a house with one token.
func known(t *testing.T) *house {
	return serve(t, false, func(o *stomp.Options) {
		o.Guard = keys(map[string]*access.Caller{"key": {Name: "ann"}})
	})
}

// web is the house's WebSocket, with more pages where they are named.
func (h *house) web(pages map[string]http.HandlerFunc) string {
	h.t.Helper()
	mux := http.NewServeMux()
	route := h.Route()
	assert.Equal(h.t, access.Open, route.Action)
	mux.Handle(route.Pattern, route.Handler)
	for pattern, page := range pages {
		mux.HandleFunc(pattern, page)
	}
	server := httptest.NewServer(mux)
	h.t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// missing skips a test for want of a tool, but not where it has to be there.
func missing(t *testing.T, what, install string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		require.Fail(t, what+" is missing", install)
	}
	t.Skipf("%s is missing; %s", what, install)
}

// seen is what a client of another language reports.
type seen map[string]any

// run starts a program that reports in lines of JSON, and is written to by say.
func run(t *testing.T, name string, args ...string) (reports func() seen, say func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	cmd := exec.CommandContext(ctx, name, args...)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = t.Output()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close() //nolint:errcheck // it may be over
		cancel()
		cmd.Wait() //nolint:errcheck // it was killed
	})
	lines := bufio.NewScanner(out)
	next := func() seen {
		t.Helper()
		require.True(t, lines.Scan(), "%s has ended: %v", name, lines.Err())
		var s seen
		require.NoError(t, json.Unmarshal(lines.Bytes(), &s), lines.Text())
		return s
	}
	return next, func() { io.WriteString(in, "\n") } //nolint:errcheck // the next report is missing then
}

func TestPythonClient(t *testing.T) {
	const python = "/usr/bin/python3" // the one that Debian's packages are for
	if exec.CommandContext(t.Context(), python, "-c", "import stomp").Run() != nil {
		missing(t, "stomp.py", "apt-get install python3-stomp")
	}
	for _, version := range []string{"1.1", "1.2"} {
		t.Run(version, func(t *testing.T) {
			h := known(t)
			_, port, err := net.SplitHostPort(h.tcp.Addr().String())
			require.NoError(t, err)
			next, say := run(t, python, filepath.Join(clients, "client.py"), port, version)
			assert.Equal(t, seen{"event": "connected", "version": version, "beats": "10000,10000"}, next())
			assert.Equal(t, seen{"event": "receipt", "id": "feed"}, next())
			require.Equal(t, 1, h.world.share("did:iotics:a", "temp", `{"temp":1}`))
			message := next()
			assert.Equal(t, interestPath, message["destination"])
			assert.Contains(t, message["body"], `"data":"eyJ0ZW1wIjoxfQ=="`)
			say()
			assert.Equal(t, seen{"event": "receipt", "id": "stickers"}, next())
			h.answerTwice(t, func() seen { return next() })
			say()
			assert.Equal(t, seen{"event": "receipt", "id": "gone"}, next())
			assert.Zero(t, h.world.share("did:iotics:a", "temp", `{"temp":1}`))
			say()
			assert.Equal(t, seen{"event": "error", "message": `no destination "/nothing"`, "body": map[string]any{"code": 5.0, "message": `no destination "/nothing"`, "details": []any{}}}, next())
			assert.Equal(t, seen{"event": "disconnected"}, next())
		})
	}
}

// answerTwice gives a sticker to a client that first does not want it and then does.
func (h *house) answerTwice(t *testing.T, next func() seen) {
	t.Helper()
	p := h.world.places["ann/"]
	require.NotNil(t, p)
	first, again := stickers, stickers
	first.Subject, again.Subject = "a.red", "a.again"
	for i, want := range []string{"nak s1 1s", "ack s1"} {
		p.events <- []*engine.Event{&first, &again}[i]
		s := next()
		assert.Equal(t, "/topic/stickers/"+strings.ReplaceAll([]string{"a.red", "a.again"}[i], ".", "/"), s["destination"])
		assert.Equal(t, `{"kind":"sticker"}`, s["body"])
		assert.Equal(t, want, <-p.settled)
	}
}

// stompjs is what testdata/clients/scenario.js sees.
func (h *house) stompjs(t *testing.T, next func() seen) {
	t.Helper()
	assert.Equal(t, seen{"event": "connected", "version": "1.2", "beats": "10000,10000"}, next())
	assert.Equal(t, seen{"event": "subscribed"}, next())
	require.Equal(t, 1, h.world.share("did:iotics:a", "temp", `{"temp":1}`))
	assert.Equal(t, seen{"event": "message", "destination": interestPath, "follower": "did:iotics:f", "data": `{"temp":1}`}, next())
	assert.Equal(t, seen{"event": "acknowledging"}, next())
	h.answerTwice(t, next)
	assert.Equal(t, seen{"event": "result", "limit": 5.0, "length": 70005.0, "begins": "café "}, next())
	assert.Equal(t, seen{"event": "error", "message": `no destination "/nothing"`, "body": map[string]any{"code": 5.0, "message": `no destination "/nothing"`, "details": []any{}}}, next())
	assert.Equal(t, seen{"event": "closed", "code": 1008.0}, next())
}

// installed skips a test where the packages of testdata/clients are not.
func installed(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(clients, "node_modules/@stomp/stompjs")); err != nil {
		missing(t, "@stomp/stompjs", "npm ci in api/stomp/"+clients)
	}
}

func TestJavaScriptClient(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		missing(t, "Node", "apt-get install nodejs")
	}
	installed(t)
	h := known(t)
	next, _ := run(t, "node", filepath.Join(clients, "node.mjs"), "ws://"+h.web(nil)+"/ws")
	h.stompjs(t, next)
}

func TestBrowserClient(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "Chromium", "apt-get install chromium")
	}
	installed(t)
	h := known(t)
	reports := make(chan seen, 100)
	file := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(clients, name)) }
	}
	address := h.web(map[string]http.HandlerFunc{
		"GET /": file("browser.html"), "GET /scenario.js": file("scenario.js"),
		"GET /stomp.umd.min.js": file("node_modules/@stomp/stompjs/bundles/stomp.umd.min.js"),
		"POST /report": func(_ http.ResponseWriter, r *http.Request) {
			var s seen
			if json.NewDecoder(r.Body).Decode(&s) == nil {
				reports <- s
			}
		},
	})
	profile := t.TempDir()
	cmd := exec.CommandContext(context.Background(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--user-data-dir="+profile, "--remote-debugging-port=0", "http://"+address+"/")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // the browser and what it started
		cmd.Wait()                                      //nolint:errcheck // it was killed
		// Others that it started, such as the one for crashes, end a little later and write until then.
		assert.Eventually(t, func() bool { return os.RemoveAll(profile) == nil }, 30*time.Second, 20*time.Millisecond)
	})
	h.stompjs(t, func() seen {
		t.Helper()
		select {
		case s := <-reports:
			return s
		case <-time.After(patience):
			require.Fail(t, "the page says nothing")
			return nil
		}
	})
}

// dialer opens a connection for a client of go-stomp.
type dialer func(t *testing.T, h *house) io.ReadWriteCloser

func overTCP(t *testing.T, h *house) io.ReadWriteCloser {
	t.Helper()
	n, err := new(net.Dialer).DialContext(t.Context(), "tcp", h.tcp.Addr().String())
	require.NoError(t, err)
	return n
}

func overWebSocket(t *testing.T, h *house) io.ReadWriteCloser {
	t.Helper()
	return h.webSocket(t, nil, "v12.stomp")
}

func (h *house) webSocket(t *testing.T, header http.Header, subprotocols ...string) *wsconn.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), "ws://"+h.web(nil)+"/ws", &websocket.DialOptions{Subprotocols: subprotocols, HTTPHeader: header}) //nolint:bodyclose // it has none
	require.NoError(t, err)
	if len(subprotocols) > 0 {
		assert.Equal(t, subprotocols[0], ws.Subprotocol())
	}
	n := wsconn.New(ws, websocket.MessageText, nil, nil)
	t.Cleanup(func() { n.CloseNow() }) //nolint:errcheck // it may be closed
	return n
}

func TestGoClient(t *testing.T) {
	for name, dial := range map[string]dialer{"TCP": overTCP, "WebSocket": overWebSocket} {
		for _, version := range []gostomp.Version{gostomp.V10, gostomp.V11, gostomp.V12} {
			t.Run(fmt.Sprint(name, " ", version), func(t *testing.T) {
				h := known(t)
				c, err := gostomp.Connect(dial(t, h), gostomp.ConnOpt.Login("ann", "key"), gostomp.ConnOpt.AcceptVersion(version), gostomp.ConnOpt.HeartBeat(10*time.Second, 10*time.Second))
				require.NoError(t, err)
				assert.Equal(t, version, c.Version())
				sub, err := c.Subscribe(interestPath, gostomp.AckAuto)
				require.NoError(t, err)
				require.Eventually(t, func() bool { return h.Stats().Subscriptions == 1 }, 30*time.Second, time.Millisecond)
				h.world.share("did:iotics:a", "temp", `{"temp":1}`)
				m := <-sub.C
				require.NoError(t, m.Err)
				assert.Equal(t, interestPath, m.Destination)
				assert.Equal(t, "application/json", m.ContentType)

				// Its Unsubscribe is left out: it misses receipts that come at once.
				mine, err := c.Subscribe("/topic/stickers/>", gostomp.AckClientIndividual)
				require.NoError(t, err)
				require.Eventually(t, func() bool { return h.Stats().Subscriptions == 2 }, 30*time.Second, time.Millisecond)
				p := h.world.places["ann/"]
				e := stickers
				e.Subject = "a.red"
				p.events <- &e
				m = <-mine.C
				require.NoError(t, m.Err)
				require.NoError(t, c.Ack(m))
				assert.Equal(t, "ack s1", <-p.settled)
				require.NoError(t, c.Disconnect())
			})
		}
	}
}

func TestWebSocket(t *testing.T) {
	h := known(t)
	for _, c := range []struct {
		name         string
		header       http.Header
		subprotocols []string
		connect      string
		want         string
	}{
		{"without a subprotocol", nil, nil, "STOMP\naccept-version:1.2\npasscode:key\n\n\x00", "CONNECTED\nversion:1.2"},
		{"with the subprotocol of 1.1", nil, []string{"v11.stomp"}, "STOMP\naccept-version:1.1\npasscode:key\n\n\x00", "CONNECTED\nversion:1.1"},
		{"from another origin", http.Header{"Origin": {"https://elsewhere.example"}}, nil, "STOMP\naccept-version:1.2\npasscode:key\n\n\x00", "CONNECTED"},
		{"with the token by HTTP", http.Header{"Authorization": {"Bearer key"}}, nil, "STOMP\naccept-version:1.2\n\n\x00", "CONNECTED"},
		{"with another one in the frame", http.Header{"Authorization": {"Bearer key"}}, nil, "STOMP\naccept-version:1.2\npasscode:no\n\n\x00", "ERROR\nmessage:token \"no\" is not known"},
		{"without a token", nil, nil, "STOMP\naccept-version:1.2\n\n\x00", "ERROR\nmessage:no token; want it as passcode or in a header Authorization"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.t = t
			peer := h.over(h.webSocket(t, c.header, c.subprotocols...))
			peer.send(c.connect)
			peer.want(c.want)
		})
	}
}

// Clients exist that die of text; what they send is text all the same.
func TestWebSocketMessagesAreBinaryAndOneFrameEach(t *testing.T) {
	h := known(t)
	ws, _, err := websocket.Dial(t.Context(), "ws://"+h.web(nil)+"/ws", nil) //nolint:bodyclose // it has none
	require.NoError(t, err)
	defer ws.CloseNow() //nolint:errcheck // it may be closed
	for i := range conversation {
		kind := websocket.MessageText
		if i%3 == 0 {
			kind = websocket.MessageBinary
		}
		text := conversation[i : i+1]
		if i == strings.Index(conversation, "\nhost:h") {
			text = "\npasscode:key\n"
		}
		require.NoError(t, ws.Write(t.Context(), kind, []byte(text)))
	}
	for range 13 {
		kind, frame, err := ws.Read(t.Context())
		require.NoError(t, err)
		assert.Equal(t, websocket.MessageBinary, kind)
		assert.Equal(t, byte(0), frame[len(frame)-1])
	}
	_, _, err = ws.Read(t.Context())
	assert.Equal(t, websocket.StatusNormalClosure, websocket.CloseStatus(err))
}

func TestWebSocketEndsWithItsReason(t *testing.T) {
	h := known(t)
	n := h.webSocket(t, nil)
	peer := h.over(n)
	peer.send("HELLO\n\n\x00")
	peer.want("ERROR\nmessage:no command \"HELLO\"")
	_, err := n.Read(make([]byte, 1))
	var closed websocket.CloseError
	require.ErrorAs(t, err, &closed)
	assert.Equal(t, websocket.CloseError{Code: websocket.StatusPolicyViolation, Reason: `no command "HELLO"`}, closed)
}

func TestWhatIsNoWebSocket(t *testing.T) {
	h := known(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.web(nil)+"/ws", http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close() //nolint:errcheck // it is not read
	assert.Equal(t, http.StatusUpgradeRequired, response.StatusCode)
	assert.Zero(t, h.Stats().Connections)
}

// over is a client on a connection that is there.
func (h *house) over(n net.Conn) *client { return newClient(h.t, n) }
