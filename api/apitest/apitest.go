// Package apitest serves the API of an engine for tests.
package apitest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/api"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
)

// patience bounds how long an engine may take to be ready.
const patience = 30 * time.Second

// Serve runs an engine on a bus, and its API with the guard and the routes of o,
// until the test ends. It gives the URL of the API when the engine is ready.
func Serve(t *testing.T, b *bus.Bus, e *engine.Engine, o api.Options) (url string) {
	t.Helper()
	at := make(chan net.Addr, 1)
	o.Listen, o.Bound = "127.0.0.1:0", func(a net.Addr) { at <- a }
	o.Engine, o.Samples, o.Log = e, http.NotFoundHandler(), zerolog.Nop()
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { assert.NoError(t, e.Run(ctx)) })
	work.Go(func() { assert.NoError(t, api.Run(ctx, o)) })
	t.Cleanup(func() {
		cancel()
		work.Wait()
		b.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	url = "http://" + (<-at).String()
	require.Eventually(t, func() bool { return e.Ready() == nil }, patience, 5*time.Millisecond)
	return url
}
