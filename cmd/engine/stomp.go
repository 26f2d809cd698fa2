package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/rs/zerolog"

	"tocsin.internal/api"
	"tocsin.internal/api/access"
	"tocsin.internal/api/qapi"
	"tocsin.internal/api/stomp"
	"tocsin.internal/engine"
)

// stompConfig is what can be said of STOMP over TCP, which is off without an
// address. Over WebSocket it is at /ws of the API.
type stompConfig struct {
	Listen string    `json:"listen"`
	TLS    serverTLS `json:"tls"`
}

func (c *stompConfig) check(note func(error, ...string)) {
	note(checkListen(c.Listen), "stomp", "listen")
	note(c.TLS.check(), "stomp", "tls")
}

// serverTLS are the files of a server.
type serverTLS struct {
	Cert     string `json:"cert"`
	Key      string `json:"key"`
	ClientCA string `json:"clientCA"`
}

func (t *serverTLS) check() error {
	if (t.Cert == "") != (t.Key == "") || t.ClientCA != "" && t.Cert == "" {
		return errors.New("want cert and key together, with clientCA or without")
	}
	return nil
}

// newStomp makes the STOMP server.
func newStomp(c config, e *engine.Engine, guard *access.Guard, space *qapi.Space, log zerolog.Logger) *stomp.Server {
	return stomp.New(stomp.Options{
		Live: stomp.FromEngine(e), Guard: guard, Space: space, Host: space.Host, Name: cmp.Or(c.Bus.Prefix, "tocsin"), Version: version, Log: log,
	})
}

func serveStomp(c config, s *stomp.Server, log zerolog.Logger) serve {
	return func(ctx context.Context, open func()) error {
		s.Bound = open
		if c.Stomp.Listen == "" {
			return s.Run(ctx)
		}
		l, err := api.Listen("stomp", c.Stomp.Listen, api.TLS(c.Stomp.TLS), log)
		if err != nil {
			return err
		}
		log.Info().Str("address", l.Addr().String()).Msg("STOMP listens")
		return s.Run(ctx, l)
	}
}
