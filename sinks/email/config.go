package email

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/internal/clienttls"
	"tocsin.internal/internal/secret"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/letter"
)

// Config says by which server mails go, to whom, and what is in them. Errors show
// no password.
type Config struct {
	Server       string           `json:"server" strict:"required"` // host:port
	Security     string           `json:"security"`                 // starttls, tls or none; starttls unless said
	TLS          clienttls.Files  `json:"tls"`
	Username     string           `json:"username"`
	Password     secret.Text      `json:"password"`
	PasswordFile string           `json:"passwordFile"`
	From         string           `json:"from" strict:"required"` // an address, with a name or without
	To           []strictjson.Raw `json:"to" strict:"required"`   // templates: an address, several with commas between, or none
	CC           []strictjson.Raw `json:"cc"`
	Subject      strictjson.Raw   `json:"subject"` // template
	Text         strictjson.Raw   `json:"text"`    // template
	HTML         strictjson.Raw   `json:"html"`    // template of HTML; "": mails have no HTML
	Timeout      time.Duration    `json:"timeout"` // of one attempt, 30s unless said
}

// The ways to keep what is sent from others.
const (
	startTLS    = "starttls"
	implicitTLS = "tls"
	noTLS       = "none"
)

const defaultTimeout = 30 * time.Second

// New makes the sink of its Config, for outcomes of the kinds; of every kind when
// none is given.
func New(raw strictjson.Raw, kinds ...rules.Kind) (sinks.Sink, error) {
	c := Config{Security: startTLS, Timeout: defaultTimeout}
	errs := []error{raw.Decode(&c)}
	note := func(err error) { errs = append(errs, err) }
	s := &sink{Config: c, progress: map[string]*progress{}}
	s.host, s.port = c.address(raw.Member("server"), note)
	if known := []string{startTLS, implicitTLS, noTLS}; c.Security != startTLS && c.Security != implicitTLS && c.Security != noTLS {
		note(raw.Member("security").At.Errorf("got %q%s", c.Security, strictjson.OneOf(c.Security, known)))
	}
	if c.Timeout <= 0 {
		note(raw.Member("timeout").At.Errorf("got %v; want more than nothing", c.Timeout))
	}
	if from := raw.Member("from"); from.Kind() == strictjson.String {
		var err error
		if s.from, err = mail.ParseAddress(c.From); err != nil {
			note(from.At.Errorf("got %q; want a mail address such as tocsin@example.com", c.From))
		}
	}
	files, err := c.TLS.Config()
	switch {
	case err != nil:
		note(raw.Member("tls").At.Errorf("%w", err))
	case c.Security == noTLS && files != nil:
		note(raw.Member("tls").At.Errorf("files for TLS without it; want security starttls or tls"))
	}
	s.tls = cmp.Or(files, &tls.Config{MinVersion: tls.VersionTLS12})
	s.tls.ServerName = s.host
	s.password, err = c.password(raw)
	note(err)
	s.read(raw, kinds, note)
	if err := strictjson.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

func (c *Config) address(raw strictjson.Raw, note func(error)) (host string, port int) {
	if raw.Kind() != strictjson.String {
		return "", 0 // Decode has complained
	}
	host, text, err := net.SplitHostPort(c.Server)
	n, portErr := strconv.ParseUint(text, 10, 16)
	if err != nil || portErr != nil || host == "" || n == 0 {
		note(raw.At.Errorf("got %q; want host:port such as smtp.example.com:587", c.Server))
	}
	return host, int(n)
}

func (c *Config) password(raw strictjson.Raw) (string, error) {
	written, file, user := raw.Member("password"), raw.Member("passwordFile"), raw.Member("username")
	switch {
	case !written.IsZero() && !file.IsZero():
		return "", file.At.Errorf("password and passwordFile; want one of them")
	case user.IsZero() != (written.IsZero() && file.IsZero()):
		return "", raw.At.Start().Errorf("a username and a password go together; want both or none")
	case file.Kind() != strictjson.String:
		return string(c.Password), nil
	}
	text, err := secret.ReadHeader(c.PasswordFile)
	if err != nil {
		return "", file.At.Errorf("%w", err)
	}
	return text, nil
}

// read makes the letters of the configuration, and of the defaults.
func (s *sink) read(raw strictjson.Raw, kinds []rules.Kind, note func(error)) {
	template := func(given strictjson.Raw, standard string, read func(strictjson.Raw) (*letter.Template, error)) *letter.Template {
		if given.IsZero() {
			var err error
			if given, err = strictjson.Value("default", standard); err != nil {
				note(err)
			}
		}
		t, err := read(given)
		note(err)
		return t
	}
	text := func(r strictjson.Raw) (*letter.Template, error) { return letter.Text(r, nil, kinds...) }
	html := func(r strictjson.Raw) (*letter.Template, error) { return letter.HTML(r, kinds...) }
	addresses := func(list []strictjson.Raw) (out []*letter.Template) {
		for _, e := range list {
			t, err := letter.Text(e, checkAddresses, kinds...)
			note(err)
			out = append(out, t)
		}
		return out
	}
	s.to, s.cc = addresses(s.To), addresses(s.CC)
	if to := raw.Member("to"); to.Kind() == strictjson.Array && len(s.To) == 0 {
		note(to.At.Errorf("nobody; want at least one mail address"))
	}
	s.subject, s.text = template(s.Subject, defaultSubject, text), template(s.Text, defaultText, text)
	if s.HTML.IsZero() || s.HTML.Str() != "" || s.HTML.Kind() != strictjson.String {
		s.html = template(s.HTML, defaultHTML, html)
	}
}

// checkAddresses takes mail addresses with commas between, and none.
func checkAddresses(text string) error {
	_, err := parseAddresses(text)
	return err
}

func parseAddresses(text string) ([]*mail.Address, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	list, err := mail.ParseAddressList(text)
	if err != nil {
		return nil, fmt.Errorf("%.80q is no mail address; want one, several with commas between, or nothing", text)
	}
	for _, a := range list {
		if strings.ContainsFunc(a.Address+a.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, errors.New("a control character in a mail address")
		}
	}
	return list, nil
}

// What mails say unless the configuration says otherwise.
const (
	defaultSubject = `{{if .state}}[{{if eq .status "acknowledged"}}ACKNOWLEDGED{{else}}{{upper .state}}{{end}}{{with .severity}} {{.}}{{end}}] {{end}}{{.summary | truncate 150}}`

	defaultText = `{{.summary}}
{{range .alerts}}
{{if eq .status "acknowledged"}}ACKNOWLEDGED{{else}}{{upper .state}}{{end}} {{.severity}}: {{.summary}}
  twin: {{.twin}}
  rule: {{.interaction}} / {{.rule}}
  since: {{date "datetime" .startsAt}} UTC
{{- with .endsAt}}
  until: {{date "datetime" .}} UTC{{end}}
{{- with .by}}
  by: {{.}}{{end}}
{{- with .comment}}
  comment: {{.}}{{end}}
{{- with .description}}
  description: {{.}}{{end}}
{{- with .runbook}}
  runbook: {{.}}{{end}}
{{- range $name, $value := .labels}}
  {{$name}}: {{$value}}{{end}}
{{else}}
  kind: {{.kind}}
  twin: {{.twin}}
  rule: {{.interaction}} / {{.rule}}
  at: {{date "datetime" .occurredAt}} UTC
  data: {{json .data}}
{{end}}
{{- if gt .truncated 0}}
and {{.truncated}} more
{{end}}
-- 
Tocsin, {{date "datetime" .occurredAt}} UTC
`

	defaultHTML = `<!DOCTYPE html>
<html><body style="font-family:sans-serif">
<h2 style="margin:0 0 12px">{{.summary}}</h2>
{{range .alerts}}<table style="border-left:6px solid {{if eq .state "resolved"}}#2d6a4f{{else if eq .severity "critical"}}#d00000{{else if eq .severity "major"}}#e85d04{{else}}#faa307{{end}};margin:0 0 12px;padding-left:8px">
<tr><th colspan="2" align="left">{{if eq .status "acknowledged"}}ACKNOWLEDGED{{else}}{{upper .state}}{{end}} {{.severity}}: {{.summary}}</th></tr>
<tr><td>twin</td><td>{{.twin}}</td></tr>
<tr><td>rule</td><td>{{.interaction}} / {{.rule}}</td></tr>
<tr><td>since</td><td>{{date "datetime" .startsAt}} UTC</td></tr>
{{with .endsAt}}<tr><td>until</td><td>{{date "datetime" .}} UTC</td></tr>{{end}}
{{with .by}}<tr><td>by</td><td>{{.}}</td></tr>{{end}}
{{with .comment}}<tr><td>comment</td><td>{{.}}</td></tr>{{end}}
{{with .description}}<tr><td>description</td><td>{{.}}</td></tr>{{end}}
{{with .runbook}}<tr><td>runbook</td><td>{{if match "^https?://" .}}<a href="{{.}}">{{.}}</a>{{else}}{{.}}{{end}}</td></tr>{{end}}
{{range $name, $value := .labels}}<tr><td>{{$name}}</td><td>{{$value}}</td></tr>{{end}}
</table>
{{else}}<p>{{.kind}} of {{.twin}} by {{.interaction}} / {{.rule}}</p><pre>{{json .data}}</pre>
{{end}}
{{- if gt .truncated 0}}<p>and {{.truncated}} more</p>{{end}}
<p style="color:#6c757d">Tocsin, {{date "datetime" .occurredAt}} UTC</p>
</body></html>
`
)
