package mqtt

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tocsin.internal/internal/clienttls"
	"tocsin.internal/internal/secret"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/sinks"
)

// Config says where to connect, as who, and under which topics to publish.
type Config struct {
	URL          string          `json:"url" strict:"required"` // mqtt://host:port or mqtts://host:port
	User         string          `json:"user"`
	Password     secret.Text     `json:"password"`     // a password, or a token
	PasswordFile string          `json:"passwordFile"` // holds it, read at each connection; a relative name is looked for in $CREDENTIALS_DIRECTORY first
	TLS          clienttls.Files `json:"tls"`
	ClientID     string          `json:"clientId"` // the broker makes one up, unless said
	Will         *Will           `json:"will"`     // what the broker publishes when the connection breaks
	Timeout      time.Duration   `json:"timeout"`  // of one delivery, 30s unless said

	Topics     sinks.Addresses `json:"topics"`     // of each kind of outcome
	Space      string          `json:"space"`      // the name of the installation, for {space}; tocsin unless said
	QoS        uint8           `json:"qos"`        // 0, 1 or 2; 1 unless said
	Retain     string          `json:"retain"`     // none, or state: also the last state of each alert, retained
	StateTopic sinks.Address   `json:"stateTopic"` // on which that is
}

// Will is a message that the broker publishes for us.
type Will struct {
	Topic   string `json:"topic" strict:"required"`
	Payload string `json:"payload"`
	QoS     uint8  `json:"qos"`
	Retain  bool   `json:"retain"`
}

// The retentions of Config.
const (
	retainNone  = "none"
	retainState = "state"
)

// schemes are those of the URLs, with and without TLS, and their ports.
var schemes = map[string]struct {
	tls  bool
	port string
}{"mqtt": {false, "1883"}, "tcp": {false, "1883"}, "mqtts": {true, "8883"}, "ssl": {true, "8883"}, "tls": {true, "8883"}}

// New makes the sink of its Config. It connects when there is something to deliver.
func New(raw strictjson.Raw) (sinks.Sink, error) {
	c := Config{
		Space: "tocsin", QoS: 1, Timeout: 30 * time.Second, Retain: retainNone,
		Topics: sinks.Addresses{
			Alert:        sinks.MustAddress("alerts/v1/{space}/{severity}/{interaction}:{rule}/{twin}/{event}"),
			Notification: sinks.MustAddress("notifications/v1/{space}/{topic}"),
			Output:       sinks.MustAddress("outputs/v1/{space}/{interaction}/{twin}/{feed}"),
			Sticker:      sinks.MustAddress("stickers/v1/{space}/{twin}/{color}/{event}"),
		},
		StateTopic: sinks.MustAddress("state/v1/{space}/{interaction}:{rule}/{twin}/{id}"),
	}
	err := strictjson.Join(raw.Decode(&c), c.checkServer(raw), c.checkMessages(raw))
	if err != nil {
		return nil, err
	}
	return newSink(c), nil
}

// checkServer complains without the URL's text: it may hold a password.
func (c *Config) checkServer(raw strictjson.Raw) error {
	var errs []error
	at, tls := raw.Member("url"), raw.Member("tls")
	u, err := url.Parse(c.URL)
	switch {
	case at.Kind() != strictjson.String: // Decode has complained
	case err != nil || u.Hostname() == "" || schemes[u.Scheme].port == "":
		errs = append(errs, at.At.Errorf("not the address of an MQTT broker; want mqtt://host:port or mqtts://host:port"))
	case u.User != nil:
		errs = append(errs, at.At.Errorf("a user in the URL; want user and password"))
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		errs = append(errs, at.At.Errorf("more than an address; want mqtt://host:port or mqtts://host:port"))
	case !schemes[u.Scheme].tls && !tls.IsZero():
		errs = append(errs, tls.At.Errorf("tls without TLS in the URL; want mqtts://"))
	}
	errs = append(errs, c.TLS.Check(tls))
	switch written, file := raw.Member("password"), raw.Member("passwordFile"); {
	case !written.IsZero() && !file.IsZero():
		errs = append(errs, file.At.Errorf("password and passwordFile; want one of them"))
	case file.Kind() == strictjson.String:
		if _, err := secret.ReadHeader(c.PasswordFile); err != nil {
			errs = append(errs, file.At.Errorf("%w", err))
		}
	}
	for name, text := range map[string]string{"user": c.User, "clientId": c.ClientID} {
		if !isText(text) {
			errs = append(errs, raw.Member(name).At.Errorf("control characters; want none"))
		}
	}
	return strictjson.Join(errs...)
}

func (c *Config) checkMessages(raw strictjson.Raw) error {
	var errs []error
	if c.Space == "" {
		errs = append(errs, raw.Member("space").At.Errorf(`got ""; want the name of the installation`))
	}
	if c.Timeout <= 0 {
		errs = append(errs, raw.Member("timeout").At.Errorf("got %v; want more than nothing", c.Timeout))
	}
	errs = append(errs, checkQoS(raw, c.QoS))
	if known := []string{retainNone, retainState}; !slices.Contains(known, c.Retain) {
		errs = append(errs, raw.Member("retain").At.Errorf("got %q%s", c.Retain, strictjson.OneOf(c.Retain, known)))
	}
	if at := raw.Member("stateTopic"); !at.IsZero() && c.Retain != retainState {
		errs = append(errs, at.At.Errorf(`stateTopic without "retain":"state"; want both`))
	}
	topics := raw.Member("topics")
	for _, at := range []strictjson.Raw{topics.Member("alert"), topics.Member("notification"), topics.Member("output"), topics.Member("sticker"), raw.Member("stateTopic")} {
		if at.Kind() == strictjson.String && strings.ContainsAny(at.Str(), "+#") {
			errs = append(errs, at.At.Errorf("a wildcard in a topic; want neither + nor #"))
		}
	}
	if at := raw.Member("will"); c.Will != nil {
		errs = append(errs, checkQoS(at, c.Will.QoS))
		if err := checkTopic(c.Will.Topic, true); err != nil && at.Member("topic").Kind() == strictjson.String {
			errs = append(errs, at.Member("topic").At.Errorf("%w", err))
		}
	}
	return strictjson.Join(errs...)
}

func checkQoS(in strictjson.Raw, qos uint8) error {
	if qos > 2 {
		return in.Member("qos").At.Errorf("got %d; want 0, 1 or 2", qos)
	}
	return nil
}

// longestTopic is what brokers take at least: Mosquitto's levels are not to be more than 200.
const longestTopic = 3000

// checkTopic says why nobody can publish on a topic. Only who wrote it may begin
// it with $, which is the broker's own.
func checkTopic(topic string, own bool) error {
	switch {
	case topic == "":
		return fmt.Errorf("an empty topic")
	case len(topic) > longestTopic:
		return fmt.Errorf("topic of %d bytes; want at most %d", len(topic), longestTopic)
	case strings.ContainsAny(topic, "+#") || !isText(topic):
		return fmt.Errorf("topic %q; want neither + nor # nor control characters", topic)
	case topic[0] == '$' && !own:
		return fmt.Errorf("topic %q; want none that begins with $", topic)
	}
	return nil
}

func isText(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// server is the address without what may be a secret.
func (c *Config) server() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return ""
	}
	return u.Host
}
