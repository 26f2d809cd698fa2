package main

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"tocsin.internal/api"
	"tocsin.internal/api/access"
)

// httpConfig is what can be said of the API.
type httpConfig struct {
	Listen string `json:"listen"`
	Admin  string `json:"admin"`

	Public  string `json:"public"`  // URL under which clients reach it; "": as their requests say
	Proxied bool   `json:"proxied"` // a proxy before it sets X-Forwarded-Proto and X-Forwarded-Host

	Rate struct {
		PerSecond float64 `json:"perSecond"`
		Burst     int     `json:"burst"`
	} `json:"rate"`
	MaxConnections int       `json:"maxConnections"`
	CORS           []string  `json:"cors"`
	TLS            serverTLS `json:"tls"`
	Audit          struct {
		Path    string `json:"path"`
		Samples bool   `json:"samples"`
	} `json:"audit"`
}

// defaultConnections is how many connections the API holds at a time.
const defaultConnections = 20_000

// check says what is wrong with the settings of the API, each at its path; open
// says whether nobody has to say who they are.
func (c *httpConfig) check(open bool, note func(error, ...string)) {
	note(checkListen(c.Listen), "http", "listen")
	note(checkAdmin(c.Admin), "http", "admin")
	note(checkPublic(c.Public), "http", "public")
	if c.Rate.PerSecond < 0 || c.Rate.PerSecond > 1e6 {
		note(fmt.Errorf("got %g; want requests a second, or 0 for no limit", c.Rate.PerSecond), "http", "rate", "perSecond")
	}
	if c.Rate.Burst < 0 || c.Rate.Burst > 0 && c.Rate.PerSecond == 0 {
		note(fmt.Errorf("got %d; want at least 1, beside perSecond", c.Rate.Burst), "http", "rate", "burst")
	}
	if c.MaxConnections < 0 {
		note(fmt.Errorf("got %d; want a number of connections, or 0 for any", c.MaxConnections), "http", "maxConnections")
	}
	for i, origin := range c.CORS {
		err := checkOrigin(origin)
		if origin == "*" && open {
			err = errors.New("got *, with auth.mode none: every web page that somebody opens could act on twins; want origins")
		}
		note(err, "http", "cors", strconv.Itoa(i))
	}
	note(c.TLS.check(), "http", "tls")
}

// checkOrigin takes an origin as browsers send it, or * for all.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if origin == "*" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && origin == u.Scheme+"://"+u.Host {
		return nil
	}
	return fmt.Errorf("got %q; want an origin such as https://console.example, or *", origin)
}

// options are the settings as the API takes them.
func (c *httpConfig) options() api.Options {
	rate := api.Rate{PerSecond: c.Rate.PerSecond, Burst: c.Rate.Burst}
	if rate.Burst == 0 {
		rate.Burst = int(2 * rate.PerSecond)
	}
	return api.Options{
		Listen: c.Listen, Rate: rate, MaxConnections: c.MaxConnections, Proxied: c.Proxied, Origins: access.Origins(c.CORS), TLS: api.TLS(c.TLS),
	}
}

// url is where the API answers.
func (c *httpConfig) url(address string) string {
	if c.TLS.Cert != "" {
		return "https://" + address
	}
	return "http://" + address
}
