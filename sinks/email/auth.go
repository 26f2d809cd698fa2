package email

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail/smtp"
)

const (
	// mostSaid bounds what a server says at once.
	mostSaid = 128 << 10
	// mostRounds bounds how often a server may want a password hashed: a million take half a second.
	mostRounds = 1_000_000
)

// terse is a connection to a server that says little before it is asked again.
// What it says is kept line by line, and as a whole.
type terse struct {
	net.Conn
	said int
}

// Read implements net.Conn.
func (t *terse) Read(p []byte) (int, error) {
	if t.said >= mostSaid {
		return 0, fmt.Errorf("the server says more than %d KiB at once", mostSaid>>10)
	}
	n, err := t.Conn.Read(p)
	t.said += n
	return n, err
}

// Write implements net.Conn.
func (t *terse) Write(p []byte) (int, error) {
	t.said = 0
	return t.Conn.Write(p)
}

// mechanisms are the ways to say who we are, the best first. Those that show the
// password are for connections that are secret.
var mechanisms = []struct {
	name   string
	secret bool
	begin  func(s *sink, state *tls.ConnectionState) smtp.Auth
}{
	{"SCRAM-SHA-256-PLUS", true, func(s *sink, state *tls.ConnectionState) smtp.Auth {
		return smtp.ScramSHA256PlusAuth(s.Username, s.password, state)
	}},
	{"SCRAM-SHA-256", false, func(s *sink, _ *tls.ConnectionState) smtp.Auth { return smtp.ScramSHA256Auth(s.Username, s.password) }},
	{"SCRAM-SHA-1-PLUS", true, func(s *sink, state *tls.ConnectionState) smtp.Auth {
		return smtp.ScramSHA1PlusAuth(s.Username, s.password, state)
	}},
	{"SCRAM-SHA-1", false, func(s *sink, _ *tls.ConnectionState) smtp.Auth { return smtp.ScramSHA1Auth(s.Username, s.password) }},
	{"NTLM", false, func(s *sink, _ *tls.ConnectionState) smtp.Auth { return smtp.NTLMAuth(s.Username, s.password, "") }},
	{"CRAM-MD5", false, func(s *sink, _ *tls.ConnectionState) smtp.Auth { return smtp.CRAMMD5Auth(s.Username, s.password) }},
	{"PLAIN", true, func(s *sink, _ *tls.ConnectionState) smtp.Auth {
		return smtp.PlainAuth("", s.Username, s.password, s.host, false)
	}},
	{"LOGIN", true, func(s *sink, _ *tls.ConnectionState) smtp.Auth {
		return smtp.LoginAuth(s.Username, s.password, s.host, false)
	}},
}

// authenticate says who we are in the best way that the server knows.
func (s *sink) authenticate(client *smtp.Client) error {
	state, secret := client.TLSConnectionState()
	_, offered := client.Extension("AUTH")
	known := strings.Split(offered, " ")
	for _, m := range mechanisms {
		if !slices.Contains(known, m.name) || m.secret && !secret {
			continue
		}
		if err := client.Auth(patient{m.begin(s, &state)}); err != nil {
			return fmt.Errorf("SMTP AUTH failed: %w", err)
		}
		return nil
	}
	return errors.New("SMTP AUTH failed: the server knows none of the ways to say who we are")
}

// patient is not held up by a server that wants a password hashed too often, in
// which nothing could interrupt it.
type patient struct{ smtp.Auth }

// Next implements smtp.Auth.
func (p patient) Next(said []byte, more bool) ([]byte, error) {
	for part := range bytes.SplitSeq(said, []byte(",")) {
		rounds, ok := bytes.CutPrefix(part, []byte("i="))
		if n, err := strconv.Atoi(string(rounds)); ok && err == nil && n > mostRounds {
			return nil, fmt.Errorf("the server wants the password hashed %d times; want at most %d", n, mostRounds)
		}
	}
	return p.Auth.Next(said, more)
}
