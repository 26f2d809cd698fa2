package main

import (
	"context"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"tocsin.internal/api/access"
	"tocsin.internal/bus"
)

// mqttConfig is the MQTT listener of the embedded server, which is off without an
// address.
type mqttConfig struct {
	Listen string    `json:"listen"`
	TLS    serverTLS `json:"tls"`
}

func (c *mqttConfig) check(note func(error, ...string)) {
	note(checkListen(c.Listen), "bus", "mqtt", "listen")
	note(c.TLS.check(), "bus", "mqtt", "tls")
}

// mqttWarnings say that its clients would hear nothing.
func (c *config) mqttWarnings() []string {
	if c.Bus.MQTT.Listen == "" || slices.ContainsFunc(c.Sinks, func(p part) bool {
		return p.Kind.Str() == "nats" && p.With.Member("url").IsZero()
	}) {
		return nil
	}
	return []string{`bus.mqtt: nothing publishes outcomes for its clients; want a sink {"name":"mqtt","kind":"nats","with":{"mqtt":true}}`}
}

// told are the first tokens of what sinks of the kind nats publish. Of stickers hears
// only who may see all of them.
var told = []string{"alerts.v1", "outputs.v1", "notify.v1"}

const toldStickers = "stickers.v1"

// serveMQTT lets in over MQTT who shows a token as password, or anybody where
// nobody has to show one.
func serveMQTT(b *bus.Bus, guard *access.Guard, log zerolog.Logger) serve {
	return func(ctx context.Context, open func()) error {
		open() // the server has listened since the bus was opened; who comes waits until it is known who may
		if address := b.MQTTAddress(); address != "" {
			log.Info().Str("address", address).Msg("MQTT listens")
		}
		return b.ServeMQTT(ctx, func(ctx context.Context, password string) (bus.Guest, error) {
			caller, err := guard.Caller(ctx, password)
			if err != nil {
				return bus.Guest{}, err
			}
			return mqttGuest(ctx, guard, caller, password)
		})
	}
}

// mqttGuest is what a caller may do over MQTT; the error of one who may do nothing is a refusal.
func mqttGuest(ctx context.Context, guard *access.Guard, caller *access.Caller, token string) (bus.Guest, error) {
	g := bus.Guest{Until: caller.Expires, Again: access.LookAgain(token)}
	refused := guard.May(ctx, caller, access.Read, "")
	if refused == nil {
		for _, first := range told {
			g.Hears = append(g.Hears, first, first+".>")
		}
		if caller.Recipients() == nil {
			g.Hears = append(g.Hears, toldStickers, toldStickers+".>")
		}
	}
	if guard.May(ctx, caller, access.Share, "") == nil {
		g.Twins = sharedTwins(caller)
	}
	if len(g.Hears) == 0 && len(g.Twins) == 0 {
		return bus.Guest{}, refused
	}
	return g, nil
}

// sharedTwins are those that a subject can name. A pattern such as machine_* is none,
// and which twins an agent controls is not known beforehand.
func sharedTwins(caller *access.Caller) (ids []string) {
	if caller.Agent != "" {
		return nil
	}
	if caller.Twins == nil {
		return []string{"*"}
	}
	for _, pattern := range caller.Twins {
		if pattern == "*" || !strings.Contains(pattern, "*") {
			ids = append(ids, pattern)
		}
	}
	return ids
}
