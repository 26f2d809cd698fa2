// Package bus is the only room that knows NATS: the embedded server, the
// streams, their subjects, the buckets, the partitions, and what keeps samples
// and outcomes from being lost or doubled.
package bus

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Bus is a connection to the streams. It is safe for concurrent use.
type Bus struct {
	config     Config
	embedded   *embedded  // nil when the server is external
	nc         *nats.Conn // for the door and for all requests
	js         jetstream.JetStream
	feed       jetstream.Stream
	out        jetstream.Stream
	dead       jetstream.Stream
	history    jetstream.Stream
	notify     jetstream.Stream
	shadow     jetstream.Stream
	deliveries jetstream.Stream
	sent       jetstream.Stream
	twins      jetstream.KeyValue
	rules      jetstream.KeyValue
	pool       jetstream.KeyValue
	snaps      jetstream.KeyValue
	alerts     jetstream.KeyValue
	silences   jetstream.KeyValue
	router     jetstream.KeyValue
	held       jetstream.KeyValue
	terms      jetstream.KeyValue
	shelves    [shelves]jetstream.KeyValue
	sinks      sync.Map // durable names of the sinks that are subscribed
	id         string   // of this Bus: nobody else has it
	root       string   // of all subjects: "", or the installation's prefix and a dot
	apart      atomic.Bool

	door        template // where anybody may put samples
	partitioned bool

	projected atomic.Uint64 // up to which sequence of OUT the open alerts are known
}

// Open starts or reaches the server, and makes or updates the streams and buckets.
func Open(ctx context.Context, c Config) (_ *Bus, err error) {
	c, wrong := c.withDefaults()
	if len(wrong) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrConfig, wrong[0])
	}
	b := &Bus{config: c, id: nuid.Next()}
	if c.Prefix != "" {
		b.root = c.Prefix + "."
	}
	if c.URL == "" {
		if b.embedded, err = startEmbedded(c); err != nil {
			return nil, err
		}
	}
	if err := b.open(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Bus) open(ctx context.Context) (err error) {
	if b.nc, err = b.Dial(ctx); err != nil {
		return err
	}
	opts := []jetstream.JetStreamOpt{jetstream.WithPublishAsyncMaxPending(4096), jetstream.WithPublishAsyncTimeout(publishTimeout)}
	if b.embedded != nil {
		opts = append(opts, jetstream.WithDefaultTimeout(embeddedPatience))
	}
	if b.js, err = jetstream.New(b.nc, opts...); err != nil {
		return err
	}
	if err := b.makeStreams(ctx); err != nil {
		if has, _ := b.nc.ConnectedServerJetStream(); !has && errors.Is(err, nats.ErrNoResponders) {
			err = fmt.Errorf("%w: that server has no JetStream (nats-server -js turns it on), and none is beside it", err)
		}
		return err
	}
	if b.embedded == nil {
		return nil
	}
	if err := b.limitMQTT(ctx); err != nil {
		return err
	}
	return b.forgetWorkers(ctx)
}

// Dial makes a connection of its own to the bus's server, for what lives
// outside this room but on the same server. It reconnects for ever. Nothing is
// buffered while it is away: what was not sent is an error at once, so that
// nobody sends again what arrives later anyhow.
func (b *Bus) Dial(ctx context.Context) (*nats.Conn, error) { return b.dial(ctx) }

func (b *Bus) dial(ctx context.Context, opts ...nats.Option) (*nats.Conn, error) {
	opts = append(opts,
		nats.Name("tocsin"), nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, time.Second), nats.ReconnectBufSize(-1), nats.Timeout(publishTimeout),
	)
	if b.embedded != nil {
		nc, err := nats.Connect("", append(opts, nats.InProcessServer(b.embedded.server), nats.Timeout(embeddedPatience))...)
		if err != nil {
			return nil, fmt.Errorf("embedded NATS: %w", err)
		}
		return nc, nil
	}
	if b.config.Creds != "" {
		opts = append(opts, nats.UserCredentials(b.config.Creds))
	}
	tlsConfig, err := b.config.TLS.Config()
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	if tlsConfig != nil {
		opts = append(opts, nats.Secure(tlsConfig))
	}
	if deadline, ok := ctx.Deadline(); ok {
		opts = append(opts, nats.Timeout(max(time.Until(deadline), time.Millisecond)))
	}
	nc, err := nats.Connect(b.config.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("bus.url %s: %w", Redacted(b.config.URL), err)
	}
	return nc, nil
}

// Close ends the connection and, when it is embedded, the server.
func (b *Bus) Close() {
	if b.nc != nil {
		b.nc.Close()
	}
	if b.embedded != nil {
		b.embedded.close()
	}
}

// Redacted are the URLs of servers, with commas between them, without passwords and
// tokens: NATS takes a user without a password for a token.
func Redacted(urls string) string {
	all := strings.Split(urls, ",")
	for i, text := range all {
		if u, err := url.Parse(text); err == nil {
			if _, has := u.User.Password(); u.User != nil && !has {
				u.User = url.User("xxxxx")
			}
			all[i] = u.Redacted()
		} else if _, host, ok := strings.Cut(text, "@"); ok {
			all[i] = host
		}
	}
	return strings.Join(all, ",")
}

// ClientURL is where other clients reach the server; "" when the embedded one
// listens nowhere. Passwords are left out.
func (b *Bus) ClientURL() string {
	switch {
	case b.embedded == nil:
		return Redacted(b.config.URL)
	case b.config.Listen == "":
		return ""
	}
	return b.embedded.server.ClientURL()
}

// Healthy says whether the server is within reach.
func (b *Bus) Healthy() error {
	if s := b.nc.Status(); s != nats.CONNECTED {
		return fmt.Errorf("NATS is %s", strings.ToLower(s.String()))
	}
	return nil
}

// Partitions is the number of partitions of FEED.
func (b *Bus) Partitions() int { return b.config.Partitions }

// Partitioned says whether FEED keeps the partitions apart, so that one of them
// can be read by itself. An existing stream does where it has the transform for it.
func (b *Bus) Partitioned() bool { return b.partitioned }

// Partition is the partition in which a twin's samples are judged.
func (b *Bus) Partition(twin string) int { return partition(Token(twin), b.config.Partitions) }
