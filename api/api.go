// Package api is HTTP for programs and people: the samples' door, alerts and
// silences, dead letters, health, metrics, and what operators look into a running
// engine with.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"tocsin.internal/engine"
)

// Options say what a server offers.
type Options struct {
	Listen  string         // host:port
	Engine  *engine.Engine // whose health and counts it tells
	Samples http.Handler   // POST /api/v1/samples
	Version string         // of the program, in metrics
	Bound   func(net.Addr) // told of the address, when it listens; may be nil
}

// Run serves until ctx ends, then lets the requests that are under way finish.
// From when the engine stops it takes no samples, and /readyz says no.
func Run(ctx context.Context, o Options) error {
	return serve(ctx, "http.listen", o.Listen, handler(o), o.Bound)
}

// serve answers at an address, which the configuration has under that name.
func serve(ctx context.Context, name, address string, h http.Handler, bound func(net.Addr)) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if bound != nil {
		bound(listener.Addr())
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("%s: %w", name, err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		server.Close() //nolint:errcheck // the deadline has passed; what is left is cut off
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/v1/samples", untilStop(o.Engine, o.Samples))
	serveHealth(mux, o.Engine)
	mux.Handle("GET /metrics", metrics(o.Engine, o.Version))
	mux.HandleFunc("GET /api/v1/stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, o.Engine.Stats()) })
	serveAlerts(mux, o.Engine)
	serveDeadLetters(mux, o.Engine)
	serveExplain(mux, o.Engine)
	serveRules(mux, o.Engine)
	serveOthers(o.Engine, mux)
	elsewhere(mux, []string{
		"POST /api/v1/samples", "GET /api/v1/stats", "GET /api/v1/scale", "GET /api/v1/alerts", "GET /api/v1/alerts/{id}", "GET /api/v1/alerts/{id}/history",
		"POST /api/v1/alerts/{id}/{action}", "GET /api/v1/silences", "POST /api/v1/silences", "DELETE /api/v1/silences/{id}",
		"GET /api/v1/deadletters", "DELETE /api/v1/deadletters", "POST /api/v1/deadletters/retry", "GET /api/v1/deadletters/{seq}",
		"DELETE /api/v1/deadletters/{seq}", "POST /api/v1/deadletters/{seq}/retry",
		"GET /api/v1/explain",
		"GET /api/v1/rules", "GET /api/v1/rules/{interaction}",
		"GET /api/v1/ruleset", "PUT /api/v1/ruleset", "GET /api/v1/ruleset/revisions", "POST /api/v1/ruleset/rollback",
		"GET /livez", "GET /readyz", "GET /startupz", "GET /metrics",
	})
	return mux
}

// elsewhere answers at all other paths with what there is.
func elsewhere(mux *http.ServeMux, there []string) {
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if allowed := methods(mux, r); len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			answer(w, http.StatusMethodNotAllowed, map[string]any{"error": "no " + r.Method + " at " + r.URL.Path, "want": allowed})
			return
		}
		answer(w, http.StatusNotFound, map[string]any{"error": "nothing at " + r.URL.Path, "want": there})
	})
}

// methods are those by which there is something at the request's path.
func methods(mux *http.ServeMux, r *http.Request) (allowed []string) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
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
