// Package api is HTTP for programs and people: the samples' door, alerts and
// silences, health, and what the engine counts of itself.
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
	Bound   func(net.Addr) // told of the address, when it listens; may be nil
}

// Run serves until ctx ends, then lets the requests that are under way finish.
func Run(ctx context.Context, o Options) error {
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("http.listen: %w", err)
	}
	if o.Bound != nil {
		o.Bound(listener.Addr())
	}
	server := &http.Server{
		Handler:           handler(ctx, o),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("http: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		server.Close() //nolint:errcheck // the deadline has passed; what is left is cut off
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http: %w", err)
	}
	return nil
}

func handler(ctx context.Context, o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/v1/samples", o.Samples)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, map[string]any{"ok": true}) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		err := o.Engine.Ready()
		if err == nil && ctx.Err() != nil {
			err = errors.New("stopping")
		}
		if err != nil {
			answer(w, http.StatusServiceUnavailable, map[string]any{"ok": false, "error": err.Error()})
			return
		}
		answer(w, http.StatusOK, map[string]any{"ok": true})
	})
	mux.HandleFunc("GET /api/v1/stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, o.Engine.Stats()) })
	serveAlerts(mux, o.Engine)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if allowed := methods(mux, r); len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			answer(w, http.StatusMethodNotAllowed, map[string]any{"error": "no " + r.Method + " at " + r.URL.Path, "want": allowed})
			return
		}
		answer(w, http.StatusNotFound, map[string]any{
			"error": "nothing at " + r.URL.Path,
			"want": []string{
				"POST /api/v1/samples", "GET /api/v1/stats", "GET /api/v1/alerts", "GET /api/v1/alerts/{id}", "GET /api/v1/alerts/{id}/history",
				"POST /api/v1/alerts/{id}/{action}", "GET /api/v1/silences", "POST /api/v1/silences", "DELETE /api/v1/silences/{id}",
				"GET /livez", "GET /readyz",
			},
		})
	})
	return mux
}

// methods are those by which there is something at the request's path.
func methods(mux *http.ServeMux, r *http.Request) (allowed []string) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
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
