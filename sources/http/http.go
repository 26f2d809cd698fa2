// Package http is the source that samples are sent to by HTTP.
package http

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/sources"
)

// Config says where to listen.
type Config struct {
	Listen string `json:"listen" strict:"required"` // host:port; an empty host is every interface
	Path   string `json:"path"`                     // /samples unless said
}

type source struct{ Config }

// New makes the source of its Config: a server of its own around a [Handler].
func New(raw strictjson.Raw) (sources.Source, error) {
	s := &source{Config{Path: "/samples"}}
	errs := []error{raw.Decode(&s.Config)}
	listen := raw.Member("listen")
	if _, _, err := net.SplitHostPort(s.Listen); err != nil && listen.Kind() == strictjson.String {
		errs = append(errs, listen.At.Errorf(`got %q; want host:port, such as "127.0.0.1:8081"`, s.Listen))
	}
	if !strings.HasPrefix(s.Path, "/") {
		errs = append(errs, raw.Member("path").At.Errorf(`got %q; want a path, such as "/samples"`, s.Path))
	}
	if err := strictjson.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// How long requests may take to end when ctx has: grace to be stored, and then
// lastWords to be told that they are not.
const (
	grace     = 2 * time.Second
	lastWords = time.Second
)

// Run serves until ctx ends. What is then on its way is still stored and answered.
// Local makes it a sources.Local: it listens where its process is.
func (s *source) Local() {}

func (s *source) Run(ctx context.Context, emit sources.Emit) error {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", s.Listen)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("http source: %w", err)
	}
	return s.serve(ctx, l, emit)
}

func (s *source) serve(ctx context.Context, l net.Listener, emit sources.Emit) error {
	requests, refuse := context.WithCancel(context.WithoutCancel(ctx))
	defer refuse()
	srv := &http.Server{
		Handler:           s.only(NewHandler(Options{Emit: emit})),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		shutdown(context.WithoutCancel(ctx), srv, refuse)
	})
	err := srv.Serve(l)
	if stop() { // it was not ctx that ended it
		return errors.Join(fmt.Errorf("http source: %w", err), srv.Close())
	}
	<-ended
	return nil
}

// only lets through what comes to the path.
func (s *source) only(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != s.Path {
			failed(http.StatusNotFound, "nothing at %q; want %s", r.URL.Path, s.Path).write(w)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func shutdown(ctx context.Context, srv *http.Server, refuse func()) {
	if shutdownWithin(ctx, srv, grace) == nil {
		return
	}
	refuse()
	if shutdownWithin(ctx, srv, lastWords) != nil {
		_ = srv.Close() // there is nobody left to tell
	}
}

func shutdownWithin(ctx context.Context, srv *http.Server, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return srv.Shutdown(ctx)
}
