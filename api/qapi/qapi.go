// Package qapi is the IOTICS REST API: twins, feeds, shares, inputs, searches. It
// speaks the two dialects in use at once: an id in a request may have any of its
// forms, and an answer has the fields of both.
package qapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// Options say what a space is made of.
type Options struct {
	Engine *engine.Engine
	Guard  *access.Guard // nil: everybody may everything

	// Emit stores shared samples (sources.Emit).
	Emit           func(ctx context.Context, batch ...rules.Sample) error
	MaxSampleBytes int // of a sample's data; default engine.DefaultMaxSampleBytes

	Host    string // the host's id
	Version string // of the program
	Index   Index
}

// Space serves the API.
type Space struct{ Options }

// New is a space.
func New(o Options) *Space {
	if o.MaxSampleBytes == 0 {
		o.MaxSampleBytes = engine.DefaultMaxSampleBytes
	}
	return &Space{o}
}

const (
	// maxBody bounds the body of a request; it has to fit a message to the desk.
	maxBody = 512 << 10
	// patience is how long a request may take that names no deadline.
	patience = 15 * time.Second
)

// echoed are the headers by which clients find out what an answer belongs to.
var echoed = []string{"Iotics-Clientappid", "Iotics-Clientref", "Iotics-Transactionref"}

// endpoint answers with a JSON value.
type endpoint func(http.ResponseWriter, *http.Request) ([]byte, error)

// Routes are all ways in. Those to a twin begin with /qapi/twins or with
// /qapi/hosts/{host}/twins.
func (s *Space) Routes() []access.Route {
	always := func(*http.Request) bool { return true }
	routes := []access.Route{
		{Pattern: "GET /index.json", Action: access.Open, Handler: s.serve(s.index)},
		{Pattern: "GET /qapi/host/id", Action: access.Read, Handler: s.serve(s.hostID)},
		{Pattern: "GET /qapi/status", Action: access.Open, Handler: s.serve(s.status)},
		{Pattern: "GET /qapi/versions", Action: access.Open, Handler: s.serve(s.versions)},
		{Pattern: "POST /qapi/searches", Action: access.Read, Handler: s.serve(s.search)},
	}
	for _, root := range []string{"/qapi/twins", "/qapi/hosts/{host}/twins"} {
		add := func(method, path string, action access.Action, f endpoint, desk func(*http.Request) bool) {
			routes = append(routes, access.Route{Pattern: method + " " + root + path, Action: action, Handler: s.serve(f), Desk: desk})
		}
		add("GET", "", access.Read, s.listTwins, nil)
		add("POST", "", access.Control, s.createTwin, always)
		add("PUT", "", access.Control, s.upsertTwin, always)
		add("GET", "/{twin}", access.Read, s.describeTwin, always)
		add("PATCH", "/{twin}", access.Control, s.updateTwin, always)
		add("DELETE", "/{twin}", access.Control, s.deleteTwin, always)
		add("GET", "/{twin}/feeds", access.Read, s.listFeeds, always)
		add("POST", "/{twin}/feeds", access.Control, s.createFeed, always)
		add("GET", "/{twin}/feeds/{feed}", access.Read, s.describeFeed, always)
		add("PATCH", "/{twin}/feeds/{feed}", access.Control, s.updateFeed, always)
		add("DELETE", "/{twin}/feeds/{feed}", access.Control, s.deleteFeed, always)
		add("GET", "/{twin}/inputs/{input}", access.Read, s.describeInput, always)
		add("DELETE", "/{twin}/inputs/{input}", access.Control, s.deleteInput, always)
		add("GET", "/{twin}/interests", access.Read, s.listInterests, always)
		routes = append(routes, access.Route{
			Pattern: "POST " + root + "/{twin}/feeds/{feed}/shares", Action: access.Share,
			Handler: s.serve(s.share), MaxBody: s.maxShare(), Desk: func(r *http.Request) bool { return !s.knowsFeed(r) },
		})
		for _, of := range []string{"/{twin}/interests/twins/{followed}", "/{twin}/interests/hosts/{followedHost}/twins/{followed}"} {
			add("GET", of+"/feeds/{feed}/samples/last", access.Read, s.lastSample, always)
			add("POST", of+"/inputs/{input}/messages", access.Send, s.sendInput, always)
		}
	}
	for i := range routes {
		routes[i].Refuse = Refuse
		routes[i].MaxBody = cmp.Or(routes[i].MaxBody, maxBody)
	}
	return routes
}

// serve answers a request: 200 and the endpoint's value, or what is wrong.
func (s *Space) serve(f endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range echoed {
			if said := r.Header.Values(name); len(said) > 0 {
				w.Header()[name] = said
			}
		}
		deadline, err := deadlineOf(r)
		if err == nil {
			err = s.checkPath(r)
		}
		if err != nil {
			Refuse(w, r, err)
			return
		}
		ctx, cancel := context.WithDeadline(r.Context(), deadline)
		defer cancel()
		var body []byte
		if err = ctx.Err(); err == nil {
			body, err = f(w, r.WithContext(ctx))
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("not done by %s, the deadline of the request: %w", deadline.UTC().Format(time.RFC3339), err)
		}
		if err != nil {
			Refuse(w, r, err)
			return
		}
		write(w, http.StatusOK, body)
	})
}

// deadlineOf is until when a client waits.
func deadlineOf(r *http.Request) (time.Time, error) {
	most := time.Now().Add(patience)
	text := r.Header.Get("Iotics-RequestTimeout")
	if text == "" {
		return most, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05", text) // the example of the API's own document has no zone
	}
	if err != nil {
		return at, wrongf("header Iotics-RequestTimeout: got %q; want a time such as %q", cut(text), "2026-11-02T10:00:00Z")
	}
	if at.After(most) {
		at = most
	}
	return at, nil
}

// write answers with a JSON value.
func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client is gone
}

// may says whether the caller may do something to a twin.
func (s *Space) may(r *http.Request, a access.Action, twin string) error {
	return s.Guard.May(r.Context(), access.From(r.Context()), a, twin)
}

// cut shortens a text for a message.
func cut(text string) string { return cutTo(100, text) }

func cutTo(most int, text string) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
