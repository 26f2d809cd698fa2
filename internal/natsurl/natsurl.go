// Package natsurl checks the addresses of NATS servers that somebody has written.
package natsurl

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

var errAddress = errors.New("not the address of a NATS server; want nats://host:port, or several with commas between")

// Check wants addresses that a client can use. The error does not show them: they
// may hold a password.
func Check(text string) error {
	for server := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return errAddress
		}
	}
	return nil
}

// CheckBare is Check of addresses that may lack the scheme.
func CheckBare(text string) error {
	servers := strings.Split(text, ",")
	for i, server := range servers {
		if !strings.Contains(server, "://") {
			servers[i] = "nats://" + strings.TrimSpace(server)
		}
	}
	return Check(strings.Join(servers, ","))
}
