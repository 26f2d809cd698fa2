// Package nats is the source that reads subjects of a NATS server: a stream of
// JetStream, which loses nothing, or what is published while it listens.
package nats

import (
	"strings"

	"tocsin.internal/internal/clienttls"
	"tocsin.internal/internal/natsurl"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/sources"
)

// Config says what to read and whose samples it is.
//
// A subject's tokens name the twin and the feed: the last two, unless
// TwinToken and FeedToken say otherwise, or Twin and Feed give fixed names; with
// one name fixed the other is the last token. In a token the characters
// . * > / + # % and blank are percent-encoded.
type Config struct {
	URL     string          `json:"url" strict:"required"`     // nats://host:port, or several with commas between
	Creds   string          `json:"creds"`                     // a credentials file
	TLS     clienttls.Files `json:"tls"`                       // any of them asks for TLS
	Subject string          `json:"subject" strict:"required"` // with wildcards, such as plant.*.*

	TwinToken int    `json:"twinToken"` // position in the subject, from 1
	FeedToken int    `json:"feedToken"`
	Twin      string `json:"twin"`
	Feed      string `json:"feed"`

	Stream  string `json:"stream"`  // reads from JetStream and acknowledges what is stored
	Durable string `json:"durable"` // the name of the stream's consumer; made if it is not there
	Queue   string `json:"queue"`   // without a stream: who shares the messages

	Body string `json:"body"` // data, or sample: a whole {"twin","feed","occurredAt","data","id"}
}

// The bodies of Config.
const (
	dataBody   = "data"
	sampleBody = "sample"
)

type source struct {
	Config
	sources.Contact
}

// New makes the source of its Config. It connects in Run.
func New(raw strictjson.Raw) (sources.Source, error) {
	s := &source{Config: Config{Body: dataBody}}
	c := checker{raw: raw}
	if err := raw.Decode(&s.Config); err != nil {
		c.errs = append(c.errs, err)
	}
	c.url(s.URL)
	c.subject(s.Subject)
	c.names(&s.Config)
	c.errs = append(c.errs, s.TLS.Check(raw.Member("tls")))
	if (s.Stream == "") != (s.Durable == "") {
		c.wrong("stream", "stream and durable go together; want both or none")
	}
	if s.Stream != "" && s.Queue != "" {
		c.wrong("queue", "whoever names the same durable shares its messages; want no queue with a stream")
	}
	if s.Body != dataBody && s.Body != sampleBody {
		c.wrong("body", "got %q; want data or sample", s.Body)
	}
	if err := strictjson.Join(c.errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// checker collects complaints about the fields of a Config.
type checker struct {
	raw  strictjson.Raw
	errs []error
}

// wrong complains about a field where it is written, else about the whole.
func (c *checker) wrong(field, format string, args ...any) {
	at := c.raw.At
	if v := c.raw.Member(field); !v.IsZero() {
		at = v.At
	}
	c.errs = append(c.errs, at.Errorf(format, args...))
}

func (c *checker) url(text string) {
	if err := natsurl.Check(text); err != nil && c.isString("url") {
		c.wrong("url", "%w", err)
	}
}

func (c *checker) subject(subject string) {
	tokens := strings.Split(subject, ".")
	for i, token := range tokens {
		switch {
		case !c.isString("subject"):
		case token == "" || strings.ContainsAny(token, " \t\r\n") || len(token) > 1 && strings.ContainsAny(token, "*>"):
			c.wrong("subject", "got %q; want tokens with dots between, or * or > for a token", subject)
			return
		case token == ">" && i < len(tokens)-1:
			c.wrong("subject", "got %q; want > only at the end", subject)
			return
		}
	}
}

func (c *checker) isString(field string) bool {
	return c.raw.Member(field).Kind() == strictjson.String
}

func (c *checker) names(s *Config) {
	most := strings.Count(s.Subject, ".") + 1
	endless := strings.HasSuffix(s.Subject, ">")
	for _, n := range []struct {
		token, name string
		position    int
		fixed       string
	}{{"twinToken", "twin", s.TwinToken, s.Twin}, {"feedToken", "feed", s.FeedToken, s.Feed}} {
		given := !c.raw.Member(n.token).IsZero()
		switch {
		case s.Body == sampleBody && (given || n.fixed != ""):
			c.wrong(n.token, "a sample names its own %s; want neither %s nor %s", n.name, n.name, n.token)
		case given && n.fixed != "":
			c.wrong(n.token, "%s says it already; want one of them", n.name)
		case given && (n.position < 1 || n.position > most && !endless):
			c.wrong(n.token, "got %d; want a position in %q, from 1", n.position, s.Subject)
		}
	}
	needed := 2
	if s.Twin != "" || s.Feed != "" {
		needed = 1
	}
	positions := s.TwinToken != 0 || s.FeedToken != 0
	if c.isString("subject") && s.Body == dataBody && !positions && s.Twin+s.Feed == "" && most < needed && !endless {
		c.wrong("subject", "got %q, which has no token for the twin; want two tokens at least, or twin and feed", s.Subject)
	}
}
