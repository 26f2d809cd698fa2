package stomp

import (
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"tocsin.internal/api/access"
	"tocsin.internal/internal/wsconn"
)

// Route is where WebSockets come in. Who asks is looked at when they connect: a
// browser cannot show a token before.
func (s *Server) Route() access.Route {
	return access.Route{Pattern: "GET /ws", Action: access.Open, Handler: http.HandlerFunc(s.serveWebSocket)}
}

// subprotocols are those of STOMP, the best first. A client may name none.
var subprotocols = []string{"v12.stomp", "v11.stomp", "v10.stomp"}

func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	// Where a token has to be shown it is in no cookie, so that pages of other sites
	// can do nothing that their own server could not; where none has to, the API
	// looks at the page's origin before this.
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: subprotocols, InsecureSkipVerify: true})
	if err != nil {
		return // it has answered
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	n := wsconn.New(ws, websocket.MessageBinary, local, remote(r.RemoteAddr))
	c := newConn(s, n)
	c.shown = access.Bearer(r.Header.Get("Authorization"))
	c.cut = func() { n.CloseNow() }                       //nolint:errcheck // nothing can be done about it
	c.bye = func(why error) { n.CloseWith(closing(why)) } //nolint:errcheck // the client is gone
	c.serve()
}

// remote is an address as the HTTP server has it.
type remote string

// Network and String make it a net.Addr.
func (remote) Network() string { return "tcp" }

// String is host:port.
func (r remote) String() string { return string(r) }

// maxReason bounds what is said with the end of a WebSocket, in bytes.
const maxReason = 120

// closing is what the end of a connection is told with.
func closing(why error) (websocket.StatusCode, string) {
	if why == nil {
		return websocket.StatusNormalClosure, ""
	}
	text := why.Error()
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "")
	}
	if r, ok := errors.AsType[*refusal](why); ok && r.code == unavailable {
		return websocket.StatusGoingAway, text
	}
	return websocket.StatusPolicyViolation, text
}
