package bus

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"tocsin.internal/internal/clienttls"
	"tocsin.internal/internal/natsurl"
)

// Durability says when the embedded server asks the disk to keep what it wrote.
type Durability string

// The durabilities. A killed process loses nothing in any of them; they differ
// in what a power cut can take.
const (
	Fast     Durability = "fast"     // every two minutes
	Interval Durability = "interval" // every second
	Always   Durability = "always"   // before a message is acknowledged
)

// Config says where the bus is. The zero Config is an embedded server with its
// data in ./data that listens nowhere.
type Config struct {
	Dir        string     // embedded: where the data is; default "data"
	Listen     string     // embedded: host:port for other clients; "" = none
	Durability Durability // embedded: default Interval
	MQTT       MQTT       // embedded

	URL   string // an external server, or several separated by commas; "" = embedded
	Creds string // external: path of a credentials file
	TLS   TLS    // external

	Partitions      int           // of FEED, 1 to 64, fixed when the stream is made; default 16
	ReplayWindow    time.Duration // how long judged samples are kept for replays; default 24 h
	DuplicateWindow time.Duration // how long a message id is remembered; default 2 min
	Replicas        int           // of streams and buckets; default 1
	Commit          Commit        // of outcomes; default CommitFast on one replica of OUT, CommitExactly on more
	Prefix          string        // of all subjects and buckets and, where they have no name of their own, streams; for several installations in one account
	FeedSubject     string        // where any NATS client may put samples; default "in.{twin}.{feed}" after the prefix
	Streams         Streams
}

// Streams are the settings of each stream.
type Streams struct {
	Feed, Out, Dead, Alerts, Notify, Shadow, Deliveries, Sent Stream
}

// Stream is what can be said of a stream; what is zero has its default.
type Stream struct {
	Name     string
	MaxBytes int64
	MaxAge   time.Duration // FEED: samples that nobody has judged go too; not for OUT
	Discard  Discard       // DLQ and NOTIFY
	Replicas int           // default Config.Replicas
	Storage  Storage       // default File; fixed when the stream is made

	Existing bool // FEED: somebody else has made it, and only subjects are added to it
	Purge    bool // FEED, an existing one: what has been judged goes, too
}

// Discard says what becomes of a full stream.
type Discard string

// The ways to discard.
const (
	DiscardOld Discard = "old" // the oldest goes
	DiscardNew Discard = "new" // the new one is refused
)

// Storage says where a stream lies.
type Storage string

// The storages.
const (
	File   Storage = "file"
	Memory Storage = "memory" // gone with the server
)

// defaults are the streams as they are when nobody says anything.
var defaults = Streams{
	Feed:   Stream{Name: feedStream, MaxBytes: 2 << 30, Discard: DiscardNew},
	Out:    Stream{Name: outStream, MaxBytes: 2 << 30, Discard: DiscardNew},
	Dead:   Stream{Name: deadStream, MaxBytes: 128 << 20, Discard: DiscardOld},
	Alerts: Stream{Name: historyStream, MaxBytes: 1 << 30, MaxAge: 30 * 24 * time.Hour, Discard: DiscardOld},
	Notify: Stream{Name: notifyStream, MaxBytes: 256 << 20, MaxAge: 7 * 24 * time.Hour, Discard: DiscardOld},
	Shadow: Stream{Name: shadowStream, MaxBytes: 256 << 20, MaxAge: 7 * 24 * time.Hour, Discard: DiscardOld},

	Deliveries: Stream{Name: deliveriesStream, MaxBytes: 1 << 30, MaxAge: 7 * 24 * time.Hour, Discard: DiscardNew},
	Sent:       Stream{Name: sentStream, MaxBytes: 256 << 20, MaxAge: 7 * 24 * time.Hour, Discard: DiscardOld},
}

// TLS names the files of a TLS connection. The zero TLS asks for none.
type TLS = clienttls.Files

// ErrConfig is what the error wraps when the configuration itself cannot be used.
var ErrConfig = errors.New("bus")

// Wrong is a setting that cannot be used, by its path in the configuration.
type Wrong struct {
	Path []string
	What string
}

func (w *Wrong) Error() string { return strings.Join(w.Path, ".") + ": " + w.What }

// Check says what is wrong with the configuration itself.
func (c Config) Check() []*Wrong {
	_, wrong := c.withDefaults()
	return wrong
}

// withDefaults checks the configuration and fills in what it leaves out.
func (c Config) withDefaults() (Config, []*Wrong) {
	c.Dir = cmp.Or(c.Dir, "data")
	c.Durability = cmp.Or(c.Durability, Interval)
	c.Partitions = cmp.Or(c.Partitions, 16)
	c.ReplayWindow = cmp.Or(c.ReplayWindow, 24*time.Hour)
	c.DuplicateWindow = cmp.Or(c.DuplicateWindow, 2*time.Minute)
	c.Replicas = cmp.Or(c.Replicas, 1)
	if c.FeedSubject == "" {
		c.FeedSubject = "in.{twin}.{feed}"
		if c.Prefix != "" {
			c.FeedSubject = c.Prefix + "." + c.FeedSubject
		}
	}
	k := checker{config: &c}
	k.want(c.Durability == Fast || c.Durability == Interval || c.Durability == Always, fmt.Sprintf("got %q; want %s, %s or %s", c.Durability, Fast, Interval, Always), "durability")
	k.want(c.Partitions >= 1 && c.Partitions <= 64, fmt.Sprintf("got %d; want 1 to 64", c.Partitions), "partitions")
	k.want(c.ReplayWindow > 0, fmt.Sprintf("got %s; want more than 0", c.ReplayWindow), "replayWindow")
	k.want(c.DuplicateWindow >= minDuplicates, fmt.Sprintf("got %s; want at least %s: what is sent again comes so late", c.DuplicateWindow, minDuplicates), "duplicateWindow")
	k.want(c.Replicas >= 1 && c.Replicas <= 5, fmt.Sprintf("got %d; want 1 to 5", c.Replicas), "replicas")
	k.want(c.Prefix == "" || plainName(c.Prefix), fmt.Sprintf("got %q; want letters, digits, - and _", c.Prefix), "prefix")
	if _, err := parseTemplate(c.FeedSubject, c.Prefix); err != nil {
		k.want(false, err.Error(), "feedSubject")
	}
	if c.URL != "" {
		if err := natsurl.CheckBare(c.URL); err != nil {
			k.want(false, err.Error(), "url")
		}
	}
	k.want(c.URL != "" || c.Creds == "", "the embedded server takes none; want a url with it", "creds")
	k.want(c.URL != "" || c.TLS == TLS{}, "the embedded server takes none; want a url with it", "tls")
	k.want(c.URL == "" || c.MQTT.Listen == "", "it is the embedded server's; want mqtt { listen } in the configuration of the external one (deploy/nats)", "mqtt", "listen")
	k.want(c.URL == "" || c.Listen == "", "both url and listen; want url for an external server or listen for the embedded one", "listen")
	if len(k.wrong) > 0 { // what follows from it needs no word
		c.Replicas, c.Prefix = 1, ""
	}
	k.streams()
	if c.Commit == "" {
		c.Commit = CommitFast
		if c.Streams.Out.Replicas > 1 {
			c.Commit = CommitExactly
		}
	}
	k.want(c.Commit == CommitFast || c.Commit == CommitExactly, fmt.Sprintf("got %q; want %s or %s", c.Commit, CommitFast, CommitExactly), "commit")
	// The replicas of a stream are not told that a fast batch has ended: the next
	// leader may take the one that follows for it.
	k.want(c.Commit != CommitFast || c.Streams.Out.Replicas <= 1, fmt.Sprintf("%s on %d replicas of OUT; want %s", CommitFast, c.Streams.Out.Replicas, CommitExactly), "commit")
	return c, k.wrong
}

// minDuplicates is how long an engine may need to send again what was not answered.
const minDuplicates = 2 * publishTimeout

// checker collects what is wrong.
type checker struct {
	config *Config
	wrong  []*Wrong
}

func (k *checker) want(ok bool, what string, path ...string) {
	if !ok {
		k.wrong = append(k.wrong, &Wrong{path, what})
	}
}

func (k *checker) streams() {
	s := &k.config.Streams
	taken := map[string]bool{}
	for _, stream := range []struct {
		key       string
		is        *Stream
		byDefault Stream
		fixed     string // why it cannot discard otherwise
		noAge     string // why it can have no age
	}{
		{"feed", &s.Feed, defaults.Feed, "what was accepted stays until it was judged", ""},
		{"out", &s.Out, defaults.Out, "what was decided stays until it was delivered", "what was decided stays until it was delivered; replayWindow says how long after that"},
		{"dead", &s.Dead, defaults.Dead, "", ""},
		{"alerts", &s.Alerts, defaults.Alerts, "it is a copy", ""},
		{"notify", &s.Notify, defaults.Notify, "", ""},
		{"shadow", &s.Shadow, defaults.Shadow, "what is recorded keeps nothing waiting", ""},
		{"deliveries", &s.Deliveries, defaults.Deliveries, "what waits for a subscriber stays until it was delivered", ""},
		{"sent", &s.Sent, defaults.Sent, "what is recorded keeps nothing waiting", ""},
	} {
		is, d := stream.is, stream.byDefault
		at := func(field string) []string { return []string{"streams", stream.key, field} }
		k.want(stream.key == "feed" || !is.Existing, "only FEED may be somebody else's", at("existing")...)
		k.want(is.Existing || !is.Purge, "it is for an existing stream; the engine's own is always purged", at("purge")...)
		k.existing(is, at)
		if is.Name == "" {
			is.Name = joined(k.config.Prefix, d.Name)
		}
		is.MaxBytes, is.MaxAge = cmp.Or(is.MaxBytes, d.MaxBytes), cmp.Or(is.MaxAge, d.MaxAge)
		is.Discard, is.Storage, is.Replicas = cmp.Or(is.Discard, d.Discard), cmp.Or(is.Storage, File), cmp.Or(is.Replicas, k.config.Replicas)
		k.want(plainName(is.Name), fmt.Sprintf("got %q; want letters, digits, - and _", is.Name), at("name")...)
		k.want(!taken[is.Name], fmt.Sprintf("%q is the name of another stream", is.Name), at("name")...)
		taken[is.Name] = true
		k.want(is.MaxBytes >= 1<<20, fmt.Sprintf("got %d; want at least 1048576 (1 MiB)", is.MaxBytes), at("maxBytes")...)
		k.want(is.MaxAge == 0 || stream.noAge == "", "it has no age: "+stream.noAge, at("maxAge")...)
		k.want(is.MaxAge == 0 || is.MaxAge >= time.Minute, fmt.Sprintf("got %s; want at least 1m", is.MaxAge), at("maxAge")...)
		k.want(is.Discard == DiscardOld || is.Discard == DiscardNew, fmt.Sprintf("got %q; want %s or %s", is.Discard, DiscardOld, DiscardNew), at("discard")...)
		k.want(is.Existing || is.Discard == d.Discard || stream.fixed == "", fmt.Sprintf("it is always %s: %s", d.Discard, stream.fixed), at("discard")...)
		k.want(is.Replicas >= 1 && is.Replicas <= 5, fmt.Sprintf("got %d; want 1 to 5", is.Replicas), at("replicas")...)
		k.want(is.Storage == File || is.Storage == Memory, fmt.Sprintf("got %q; want %s or %s", is.Storage, File, Memory), at("storage")...)
	}
}

// existing says what cannot be said of a stream that somebody else has made.
func (k *checker) existing(s *Stream, at func(string) []string) {
	if !s.Existing {
		return
	}
	for _, setting := range []struct {
		field string
		said  bool
	}{
		{"maxBytes", s.MaxBytes != 0},
		{"maxAge", s.MaxAge != 0},
		{"discard", s.Discard != ""},
		{"replicas", s.Replicas != 0},
		{"storage", s.Storage != ""},
	} {
		k.want(!setting.said, "an existing stream keeps its own; change it there", at(setting.field)...)
	}
}

// joined is a name of an installation's own.
func joined(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "_" + name
}

// plainName says whether a stream or a bucket may be called so.
func plainName(name string) bool {
	return name != "" && len(name) <= 200 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}
