// Package api is HTTP for programs and people: the samples' door, alerts and
// silences, dead letters, health, metrics, and what operators look into a running
// engine with.
package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tocsin.internal/api/access"
	"tocsin.internal/api/openapi"
	"tocsin.internal/api/stomp"
	"tocsin.internal/engine"
)

// Options say what a server offers.
type Options struct {
	Listen  string         // host:port
	Engine  *engine.Engine // whose health and counts it tells
	Samples http.Handler   // POST /api/v1/samples
	Version string         // of the program, in metrics
	Guard   *access.Guard  // who may do what; nil: everybody everything
	Routes  []access.Route // of the other rooms
	Bound   func(net.Addr) // told of the address, when it listens; may be nil

	Log            zerolog.Logger
	Origins        access.Origins     // of the web pages that may use it
	Rate           Rate               // of each caller, or of the address of one who is not known
	Proxied        bool               // a proxy before it sets X-Forwarded-For
	MaxConnections int                // at a time; 0: any number
	TLS            TLS                // none: plain HTTP
	Audit          access.Audit       // told of everything that changes something; may be nil
	Stomp          func() stomp.Stats // counts of the STOMP server, for metrics; may be nil
}

// Run serves until ctx ends, then lets the requests that are under way finish.
// From when the engine stops it takes no samples, and /readyz says no.
func Run(ctx context.Context, o Options) error {
	certs, err := newCertificates("http.tls", o.TLS, o.Log)
	if err != nil {
		return err
	}
	d := newDoor(o)
	d.counts.certs = certs
	h := d.handler(ctx.Done(), o)
	return serve(ctx, server{name: "http.listen", address: o.Listen, handler: paced(h), bound: o.Bound, log: o.Log, door: d, connections: o.MaxConnections, certs: certs})
}

// server is what answers at an address, which the configuration has under the name.
type server struct {
	name, address string
	handler       http.Handler
	bound         func(net.Addr) // may be nil
	log           zerolog.Logger
	connections   int
	certs         *certificates // nil: plain HTTP
	door          *door         // whose counts know the connections; may be nil
	headerTime    time.Duration // for a client to send the line and the headers; default 10 s
}

// maxWrite is how long an answer may take; streams have more.
const maxWrite = 5 * time.Minute

func serve(ctx context.Context, s server) error {
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	guests := newCrowd(listener, s.connections)
	if s.door != nil {
		s.door.counts.meet(guests)
	}
	if s.bound != nil {
		s.bound(listener.Addr())
	}
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: cmp.Or(s.headerTime, 10*time.Second),
		ReadTimeout:       2 * time.Minute,
		WriteTimeout:      maxWrite,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ConnState:         guests.watch,
		ErrorLog:          log.New(peers{s.log, s.name}, "", 0),
	}
	done := make(chan error, 1)
	go func() {
		if s.certs == nil {
			done <- server.Serve(guests)
			return
		}
		server.TLSConfig = s.certs.server()
		done <- server.ServeTLS(guests, "", "")
	}()
	select {
	case err := <-done:
		return fmt.Errorf("%s: %w", s.name, err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		server.Close() //nolint:errcheck // the deadline has passed; what is left is cut off
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// peers logs what net/http says of connections: what peers do wrong, at debug.
type peers struct {
	log    zerolog.Logger
	server string
}

// Write makes it a Writer.
func (p peers) Write(line []byte) (int, error) {
	p.log.Debug().Str("server", p.server).Msg(strings.TrimSpace(string(line)))
	return len(line), nil
}

// maxHeader is how many bytes the line and the headers of a request may have.
const maxHeader = 64 << 10

func newDoor(o Options) *door {
	return &door{guard: o.Guard, origins: o.Origins, proxied: o.Proxied, limit: newLimiter(o.Rate), audit: o.Audit, log: o.Log}
}

// handler is everything that is served at http.listen: who asks is looked at
// before anything is done. What is streamed ends with stop.
func (d *door) handler(stop <-chan struct{}, o Options) http.Handler {
	mux := http.NewServeMux()
	all := d.routes(stop, o)
	for _, r := range all {
		if r.Desk != nil {
			r.Handler = atDeskIf(o.Engine, r)
		}
		mux.Handle(r.Pattern, d.guarded(r))
	}
	serveOthers(o.Engine, mux)
	d.elsewhere(mux, all)
	return d.outside(mux)
}

// Routes are all ways in.
func Routes(o Options) []access.Route { return newDoor(o).routes(nil, o) }

// routes are those of this room and of the others.
func (d *door) routes(stop <-chan struct{}, o Options) []access.Route {
	return slices.Concat([]access.Route{
		{Pattern: "POST /api/v1/samples", Action: access.Share, MaxBody: maxSamples, Handler: untilStop(o.Engine, o.Samples)},
		{Pattern: "GET /metrics", Action: access.Open, Unlimited: true, Handler: metrics(o, &d.counts)},
		{Pattern: "GET /openapi.json", Action: access.Open, Handler: description(o.Version)},
		{Pattern: "GET /api/v1/stats", Action: access.Read, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, o.Engine.Stats()) })},
	}, healthRoutes(o.Engine), alertRoutes(o.Engine), deadLetterRoutes(d, o.Engine), explainRoutes(o.Engine), deliveryRoutes(o.Engine), ruleRoutes(o.Engine), subscriptionRoutes(o.Engine), eventRoutes(d, o.Engine, stop), o.Routes)
}

// description answers with the document of the whole API.
func description(version string) http.Handler {
	document := sync.OnceValues(func() ([]byte, error) { return openapi.Document(version) })
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, err := document()
		if err == nil {
			err = write(w, text)
		}
		if err != nil {
			refuse(w, err)
		}
	})
}

// maxSamples bounds a body of samples; their handler has a limit of its own below.
const maxSamples = 64 << 20

// tokenOf is what a request shows; that of the query too, where it may be there.
func tokenOf(r *http.Request, query bool) string {
	token := access.Bearer(r.Header.Get("Authorization"))
	if token == "" && query {
		token = r.URL.Query().Get(access.TokenParameter)
	}
	return token
}

// path is that of a pattern.
func path(pattern string) string {
	if _, rest, ok := strings.Cut(pattern, " "); ok {
		return rest
	}
	return pattern
}

// segment is the first of a path.
func segment(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first
}

// maxEchoed is how much of what a client has sent is said back to it.
const maxEchoed = 200

// shortened is the beginning of a text.
func shortened(text string) string {
	if len(text) <= maxEchoed {
		return text
	}
	return strings.ToValidUTF8(text[:maxEchoed], "") + "…"
}

// methods are those by which there is something at the request's path.
func methods(mux *http.ServeMux, r *http.Request) (allowed []string) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v) //nolint:errcheck,errchkjson // the client is gone
}
