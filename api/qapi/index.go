package qapi

import (
	"cmp"
	"net/http"
	"strings"

	"tocsin.internal/api/access"
	"tocsin.internal/rules"
)

// Index says where the space is found.
type Index struct {
	Public   string // URL under which clients reach the host; "": as the request says
	Resolver string // URL of the resolver; "": the host itself
	Trusted  bool   // the headers X-Forwarded-Proto and X-Forwarded-Host are the proxy's
}

// index says where everything is.
func (s *Space) index(_ http.ResponseWriter, r *http.Request) ([]byte, error) {
	base := access.Base(r, s.Index.Public, s.Index.Trusted)
	at := func(path string) string {
		u := base
		u.Path = path
		return u.String()
	}
	b := []byte{'{'}
	for _, m := range [][2]string{
		{"resolver", cmp.Or(s.Index.Resolver, at(""))},
		{"stomp", "ws" + strings.TrimPrefix(at("/ws"), "http")},
		{"qapi", at("/qapi")},
		{"metrics", at("/metrics")},
		{"hosttwin-health", at("/readyz")},
		{"core-health", at("/readyz")},
		{"core-metrics", at("/metrics")},
	} {
		b = rules.AppendText(append(rules.AppendText(b, m[0]), ':'), m[1])
		b = append(b, ',')
	}
	return append(s.appendVersion(append(b, `"version":`...)), '}'), nil
}

func (s *Space) appendVersion(b []byte) []byte {
	b = rules.AppendText(append(b, `{"space":`...), s.Version)
	return append(rules.AppendText(append(b, `,"host":`...), s.Version), '}')
}

func (s *Space) hostID(http.ResponseWriter, *http.Request) ([]byte, error) {
	return append(rules.AppendText([]byte(`{"hostId":`), s.Host), '}'), nil
}

// status says whether the host can be used.
func (s *Space) status(http.ResponseWriter, *http.Request) ([]byte, error) {
	if err := s.Engine.Ready(); err != nil {
		return nil, err
	}
	return []byte(`{"status":"OK"}`), nil
}

// versions says what is spoken.
func (s *Space) versions(http.ResponseWriter, *http.Request) ([]byte, error) {
	return append(s.appendVersion([]byte(`{"api":["v2","v3"],"version":`)), '}'), nil
}
