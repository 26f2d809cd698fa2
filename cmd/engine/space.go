package main

import (
	"cmp"
	"fmt"
	"net/url"

	"tocsin.internal/api/access"
	"tocsin.internal/api/qapi"
	"tocsin.internal/engine"
	"tocsin.internal/twins"
)

// makeSpace makes the IOTICS API.
func (c *config) makeSpace(e *engine.Engine, guard *access.Guard) *qapi.Space {
	return qapi.New(qapi.Options{
		Engine: e, Guard: guard, Emit: e.TryEmit("qapi", patience), MaxSampleBytes: c.MaxSampleBytes,
		Host: cmp.Or(c.Space.Host, twins.NewID("host", c.Bus.Prefix)), Version: version,
		Index: qapi.Index{Public: c.HTTP.Public, Resolver: c.Auth.Resolver, Trusted: c.HTTP.Proxied},
	})
}

// checkPublic wants the URL of the API to have nothing behind the host.
func checkPublic(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return fmt.Errorf("got %q; want a URL such as https://space.example.com", text)
	}
	return nil
}
