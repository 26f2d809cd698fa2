package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"tocsin.internal/accounts"
	"tocsin.internal/api/access"
	accountsapi "tocsin.internal/api/accounts"
	"tocsin.internal/api/auth"
	"tocsin.internal/api/keys"
	"tocsin.internal/api/resolver"
	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/identity"
	"tocsin.internal/internal/did"
	resolverclient "tocsin.internal/internal/resolver"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// authConfig says who may do what.
type authConfig struct {
	Mode     string              `json:"mode"`
	Keys     string              `json:"keys"`     // the file of API keys
	Resolver string              `json:"resolver"` // URL of another resolver; "": the engine is one
	Audience string              `json:"audience"` // whom tokens of agents are for; "*": anybody
	Roles    []string            `json:"roles"`    // of users that are not in Users
	Users    map[string][]string `json:"users"`    // the roles of users, by their DIDs
}

// The modes of auth.
const (
	authNone  = "none"  // nobody has to say who they are
	authToken = "token" // API keys
	authDID   = "did"   // tokens of agents, and API keys
)

// open says that nobody has to say who they are.
func (c *authConfig) open() bool { return c.Mode == authNone || c.Mode == "" }

func defaultAuth() authConfig {
	return authConfig{Mode: authNone, Keys: "keys.json", Audience: identity.DefaultAudience, Roles: []string{"member"}}
}

// check says what is wrong with the settings, at their places.
func (c *authConfig) check(note func(err error, path ...string)) {
	note(oneOf(c.Mode, "", authNone, authToken, authDID), "auth", "mode")
	if c.Keys == "" {
		note(errors.New(`got ""; want the file of API keys`), "auth", "keys")
	}
	if c.Audience == "" {
		note(errors.New(`got ""; want whom tokens are for, "*" for anybody`), "auth", "audience")
	}
	if c.Resolver != "" {
		_, err := resolverclient.New(c.Resolver)
		note(err, "auth", "resolver")
	}
	for i, role := range c.Roles {
		note(checkRole(role), "auth", "roles", strconv.Itoa(i))
	}
	for _, user := range slices.Sorted(maps.Keys(c.Users)) {
		if !did.Valid(user) {
			note(fmt.Errorf("%q is no DID with a right checksum; want the roles of users by their DIDs", user), "auth", "users", user)
		}
		for i, role := range c.Users[user] {
			note(checkRole(role), "auth", "users", user, strconv.Itoa(i))
		}
	}
}

func checkRole(role string) error {
	if slices.Contains(access.Roles(), role) {
		return nil
	}
	return fmt.Errorf("no role %q%s", role, strictjson.OneOf(role, access.Roles()))
}

// wrong says what is wrong with the settings, wherever they come from.
func (c *authConfig) wrong() error {
	var errs []error
	c.check(func(err error, path ...string) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", strings.Join(path, "."), err))
		}
	})
	return errors.Join(errs...)
}

// exposed says which address other machines reach where nobody has to say who
// they are; nil for none.
func (c *config) exposed() (path []string, err error) {
	if !c.Auth.open() {
		return nil, nil
	}
	for _, a := range []struct {
		address string
		path    []string
	}{
		{c.HTTP.Listen, []string{"http", "listen"}},
		{c.Stomp.Listen, []string{"stomp", "listen"}},
		{c.Bus.MQTT.Listen, []string{"bus", "mqtt", "listen"}},
	} {
		if host, port, err := net.SplitHostPort(a.address); err == nil && !onlyHere(host) {
			return a.path, fmt.Errorf("got %q, which other machines reach, and anybody there may do everything; want 127.0.0.1:%s, or auth.mode token or did (docs/operators.md, Who may do what)", a.address, port)
		}
	}
	return nil, nil
}

// checkConfig says everything that is wrong with a configuration by itself.
func checkConfig(name string, text []byte) error {
	c, err := readConfig(name, text)
	raw, parseErr := strictjson.Parse(name, text)
	if parseErr != nil {
		return err
	}
	if path, why := c.exposed(); why != nil {
		for _, member := range path {
			raw = raw.Member(member)
		}
		err = strictjson.Join(err, raw.At.Errorf("%w", why))
	}
	return err
}

// onlyHere says that a host is this machine as only its own programs reach it.
func onlyHere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// authWarnings are about what the mode does not guard.
func (c *config) authWarnings() (warnings []string) {
	if host, _, err := net.SplitHostPort(c.Bus.Listen); err == nil && !onlyHere(host) && c.Bus.URL == "" {
		warnings = append(warnings, fmt.Sprintf("bus.listen %s: other machines reach the embedded NATS, which asks nobody who they are; want a server of its own with permissions (deploy/nats)", c.Bus.Listen))
	}
	for _, a := range []struct {
		name, address string
		sealed        bool
	}{
		{"http.listen", c.HTTP.Listen, c.HTTP.TLS.Cert != "" || c.HTTP.Proxied},
		{"stomp.listen", c.Stomp.Listen, c.Stomp.TLS.Cert != ""},
		{"bus.mqtt.listen", c.Bus.MQTT.Listen, c.Bus.MQTT.TLS.Cert != ""},
	} {
		if host, _, err := net.SplitHostPort(a.address); err == nil && !onlyHere(host) && !a.sealed {
			prefix := strings.TrimSuffix(a.name, ".listen")
			warnings = append(warnings, fmt.Sprintf("%s %s: tokens come over the network in the clear; want %s.tls, or a proxy with TLS before it", a.name, a.address, prefix))
		}
	}
	return warnings
}

// openKeys reads the API keys, where the mode knows any.
func (c *authConfig) openKeys(log zerolog.Logger) (*keys.Ring, error) {
	if c.open() {
		return nil, nil
	}
	ring, err := keys.Open(c.Keys, time.Now, func(err error) {
		log.Error().Err(err).Str("file", c.Keys).Msg("API keys cannot be read; the ones before hold on")
	})
	if err != nil {
		return nil, fmt.Errorf("auth.keys: %w", err)
	}
	if c.Mode == authToken && ring.Empty() {
		log.Warn().Str("file", c.Keys).Msg(`no API keys: "engine key new" makes one`)
	}
	return ring, nil
}

// invite says in the log how the first user comes to a secret; nil where nobody has
// to show one, or an API key lets somebody do everything.
func (c *config) invite(ring *keys.Ring, log zerolog.Logger) func(pin string, until time.Time) {
	if c.Auth.open() || c.HTTP.Listen == "" || ring.Admin() {
		return nil
	}
	base := cmp.Or(strings.TrimSuffix(c.HTTP.Public, "/"), c.HTTP.url(c.HTTP.Listen))
	return func(pin string, until time.Time) {
		log.Warn().Time("until", until).Str("command", fmt.Sprintf("curl -X POST %s/secrets/%s/%s", base, accounts.Own(), pin)).
			Msg("nobody may administer this engine yet: the command makes the secret of the first user, once")
	}
}

// ways are the guard of the ways in, and the resolver's routes.
type ways struct {
	guard  *access.Guard
	routes []access.Route
	forget func(id string) // told of documents that others have changed; nil: need not know
}

// follow forgets what other workers have been told anew.
func (w ways) follow(b *bus.Bus) serve {
	return func(ctx context.Context, open func()) error {
		open()
		if w.forget != nil {
			b.FollowDocuments(ctx, bus.Identities, w.forget)
		}
		return nil
	}
}

// makeWays makes them of the configuration. Without another resolver the engine
// is one, in every mode: clients register before anything else.
func (c *authConfig) makeWays(e *engine.Engine, ring *keys.Ring) (ways, error) {
	o := auth.Options{Keys: ring, Users: e.Identify, Anybody: c.open(), Now: time.Now}
	var client resolverclient.Client
	if c.Mode == authDID {
		o.DIDs = &auth.DIDs{Audience: c.Audience, Roles: c.Roles, Users: c.Users, Find: func(ctx context.Context, id string) (string, error) {
			token, err := e.Document(ctx, id)
			if err == nil && token == "" {
				err = did.ErrUnknown
			}
			return token, err
		}}
	}
	if c.Resolver != "" {
		var err error
		if client, err = resolverclient.New(c.Resolver); err != nil {
			return ways{}, fmt.Errorf("auth.resolver: %w", err)
		}
		if o.DIDs != nil {
			o.DIDs.Find = client.Discover
		}
	}
	who, err := auth.New(o)
	if err != nil {
		return ways{}, fmt.Errorf("auth: %w", err)
	}
	w := ways{guard: who.Guard(), routes: accountsapi.Routes(e, time.Now)}
	if c.Mode == authDID && c.Resolver == "" {
		w.forget = who.Forget
	}
	if c.Resolver == "" {
		w.routes = append(w.routes, resolver.Routes(resolver.Options{Store: e, Now: time.Now, Changed: who.Forget})...)
	}
	return w, nil
}

// permitted stores samples of twins on which the caller may share.
func (w ways) permitted(emit sources.Emit) sources.Emit {
	return func(ctx context.Context, batch ...rules.Sample) error {
		caller := access.From(ctx)
		for i := range batch {
			if err := w.guard.May(ctx, caller, access.Share, batch[i].Twin); err != nil {
				return err
			}
		}
		return emit(ctx, batch...)
	}
}

// tokenVariable has what commands show to a running engine, when --token-file
// does not say where it is.
const tokenVariable = "TOCSIN_TOKEN"

// maxTokenFile bounds what is read as a token.
const maxTokenFile = 64 << 10

func readToken(text []byte) (string, error) {
	token := strings.TrimSpace(string(text))
	if token == "" || len(text) > maxTokenFile || strings.ContainsAny(token, " \t\r\n") {
		return "", errors.New("want one token on one line")
	}
	return token, nil
}
