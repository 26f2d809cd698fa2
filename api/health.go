package api

import (
	"errors"
	"net/http"

	"tocsin.internal/api/access"
	"tocsin.internal/engine"
)

// serveHealth answers the platform that keeps the engine running: whether the
// process is alive, has started, can be given work, and how much work waits.
func healthRoutes(e *engine.Engine) []access.Route {
	return []access.Route{
		{Pattern: "GET /livez", Action: access.Open, Unlimited: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, map[string]any{"ok": true})
		})},
		{Pattern: "GET /readyz", Action: access.Open, Unlimited: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			h := e.Health()
			answerHealth(w, "ready", h.Ready, h)
		})},
		{Pattern: "GET /startupz", Action: access.Open, Unlimited: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			h := e.Health()
			answerHealth(w, "started", h.Started, h)
		})},
		{Pattern: "GET /api/v1/scale", Action: access.Read, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for _, c := range e.Health().Components {
				if c.Name == engine.BusComponent && !c.OK {
					refuse(w, errors.New(c.Error)) // what is known of the lag is of the past
					return
				}
			}
			pool := e.Pool()
			answer(w, http.StatusOK, map[string]any{"lag": pool.Lag, "workers": pool.Workers})
		})},
	}
}

func answerHealth(w http.ResponseWriter, name string, ok bool, h engine.Health) {
	code, body := http.StatusOK, map[string]any{name: ok, "components": h.Components}
	if !ok {
		code = http.StatusServiceUnavailable
	}
	if h.Stopping {
		body["stopping"] = true
	}
	answer(w, code, body)
}

// untilStop refuses what an engine that stops does not take any more.
func untilStop(e *engine.Engine, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !e.Stopping() {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", "2")
		w.Header().Set("Connection", "close")
		answer(w, http.StatusServiceUnavailable, map[string]any{"stored": 0, "error": "the engine is stopping"})
	})
}
