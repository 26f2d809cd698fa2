package main

import (
	"strconv"

	"tocsin.internal/api/access"
	"tocsin.internal/api/notifications"
	"tocsin.internal/engine"
	"tocsin.internal/internal/outbound"
)

// notifyConfig is what can be said of notifications to those who subscribe.
type notifyConfig struct {
	Allow []string `json:"allow"` // what they may name although it is not public: networks, addresses, host:port
}

func (c *notifyConfig) check(note func(error, ...string)) {
	if _, i, err := outbound.ReadAllow(c.Allow); err != nil {
		note(err, "notifications", "allow", strconv.Itoa(i))
	}
}

// client posts to those who subscribe.
func (c *notifyConfig) client() (*outbound.Client, error) {
	allow, _, err := outbound.ReadAllow(c.Allow)
	if err != nil {
		return nil, err
	}
	return outbound.New(allow), nil
}

// makeNotifications makes the API of subscriptions.
func (c *config) makeNotifications(e *engine.Engine) []access.Route {
	return notifications.Routes(notifications.Options{Engine: e, Public: c.HTTP.Public, Proxied: c.HTTP.Proxied})
}
