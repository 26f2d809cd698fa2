package api

import (
	"context"
	"errors"
	"expvar"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"tocsin.internal/api/access"
	"tocsin.internal/internal/strictjson"
)

// AdminOptions say what the operators' own server offers: profiles, what the
// runtime says of itself, the level of the log, reading the rules again. It shows
// more than others should see, and listens only where it is told to.
type AdminOptions struct {
	Listen string // host:port
	Log    zerolog.Logger
	Reload func(context.Context) error // reads the rules again
	Audit  access.Audit                // told of what is changed; may be nil
	Bound  func(net.Addr)              // told of the address, when it listens; may be nil
}

// RunAdmin serves until ctx ends, then lets the requests that are under way finish.
func RunAdmin(ctx context.Context, o AdminOptions) error {
	return serve(ctx, server{name: "http.admin", address: o.Listen, handler: adminHandler(o), bound: o.Bound, log: o.Log})
}

func adminHandler(o AdminOptions) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("GET /debug/vars", expvar.Handler())
	a := admin{o}
	d := &door{audit: o.Audit, log: o.Log}
	mux.HandleFunc("GET /api/v1/log/level", a.level)
	mux.Handle("PUT /api/v1/log/level", d.guarded(access.Route{Action: access.Operate, Handler: http.HandlerFunc(a.setLevel)}))
	mux.Handle("POST /api/v1/reload", d.guarded(access.Route{Action: access.Author, Handler: http.HandlerFunc(a.reload)}))
	var there []access.Route
	for _, pattern := range []string{"GET /debug/pprof/", "GET /debug/vars", "GET /api/v1/log/level", "PUT /api/v1/log/level", "POST /api/v1/reload"} {
		there = append(there, access.Route{Pattern: pattern})
	}
	d.elsewhere(mux, there)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if access.Origins(nil).Foreign(r) != nil {
			refuse(w, access.Deny("no page in a browser may use it; want localhost or an address as its host"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// admin is the part of the API that is for operators alone.
type admin struct{ AdminOptions }

// LogLevels are the levels of the log, from all there is to say to the least.
var LogLevels = []string{"trace", "debug", "info", "warn", "error"}

func (a admin) level(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"level": zerolog.GlobalLevel().String()})
}

// setLevel changes the level of the whole process until it ends.
func (a admin) setLevel(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	level, err := readLevel(r)
	if err != nil {
		refuse(w, err)
		return
	}
	if was := zerolog.GlobalLevel(); was != level {
		zerolog.SetGlobalLevel(level)
		a.Log.Log().Stringer("was", was).Stringer("is", level).Str("client", r.RemoteAddr).Msg("log level changed")
	}
	a.level(w, r)
}

func readLevel(r *http.Request) (zerolog.Level, error) {
	raw, err := document(r)
	if err != nil {
		return 0, err
	}
	var doc struct {
		Level strictjson.Raw `json:"level" strict:"required"`
	}
	if err := raw.Decode(&doc); err != nil {
		return 0, badRequest{err}
	}
	if !slices.Contains(LogLevels, doc.Level.Str()) {
		return 0, badRequest{doc.Level.At.Errorf("got %s; want one of %s", doc.Level.Shown(), strings.Join(LogLevels, ", "))}
	}
	return zerolog.ParseLevel(doc.Level.Str())
}

// reload reads the rules again and says what came of it.
func (a admin) reload(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	err := a.Reload(ctx)
	switch {
	case err == nil:
		answer(w, http.StatusOK, map[string]any{"ok": true})
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		refuse(w, err)
	default:
		answer(w, http.StatusUnprocessableEntity, map[string]any{"ok": false, "error": err.Error()})
	}
}
