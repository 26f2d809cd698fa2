// Package bus is the only room that knows NATS: the embedded server, the
// streams, their subjects, the buckets, the partitions, and what keeps samples
// and outcomes from being lost or doubled.
package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/rules"
)

// Bus is a connection to the streams. It is safe for concurrent use.
type Bus struct {
	config   Config
	embedded *embedded  // nil when the server is external
	nc       *nats.Conn // for the door and for all requests
	js       jetstream.JetStream
	feed     jetstream.Stream
	out      jetstream.Stream
	dead     jetstream.Stream
	history  jetstream.Stream
	notify   jetstream.Stream
	twins    jetstream.KeyValue
	rules    jetstream.KeyValue
	snaps    jetstream.KeyValue
	alerts   jetstream.KeyValue
	silences jetstream.KeyValue
	router   jetstream.KeyValue
	held     jetstream.KeyValue
	sinks    sync.Map // durable names of the sinks that are subscribed

	projecting atomic.Bool   // somebody keeps the open alerts
	projected  atomic.Uint64 // up to which sequence of OUT
}

// Open starts or reaches the server, and makes or updates the streams and buckets.
func Open(ctx context.Context, c Config) (_ *Bus, err error) {
	c, err = c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	b := &Bus{config: c}
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
	if b.js, err = jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(4096), jetstream.WithPublishAsyncTimeout(publishTimeout)); err != nil {
		return err
	}
	return b.makeStreams(ctx)
}

// Dial makes a connection of its own to the bus's server, for what lives
// outside this room but on the same server. It reconnects for ever. Nothing is
// buffered while it is away: what was not sent is an error at once, so that
// nobody sends again what arrives later anyhow.
func (b *Bus) Dial(ctx context.Context) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("tocsin"), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, time.Second), nats.ReconnectBufSize(-1),
	}
	if b.embedded != nil {
		nc, err := nats.Connect("", append(opts, nats.InProcessServer(b.embedded.server))...)
		if err != nil {
			return nil, fmt.Errorf("embedded NATS: %w", err)
		}
		return nc, nil
	}
	if b.config.Creds != "" {
		opts = append(opts, nats.UserCredentials(b.config.Creds))
	}
	tlsConfig, err := b.config.TLS.config()
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
		return nil, fmt.Errorf("bus.url %s: %w", b.config.URL, err)
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

// ClientURL is where other clients reach the server; "" when the embedded one
// listens nowhere.
func (b *Bus) ClientURL() string {
	switch {
	case b.embedded == nil:
		return b.config.URL
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

// Partition is the partition in which a twin's samples are judged.
func (b *Bus) Partition(twin string) int { return partition(Token(twin), b.config.Partitions) }

func (b *Bus) makeStreams(ctx context.Context) error {
	c := b.config
	feed := b.feedConfig()
	if old, err := b.js.Stream(ctx, feedStream); err == nil {
		feed.Sources = old.CachedInfo().Config.Sources
		if n := partitionsOf(old.CachedInfo().Config); n != 0 && n != c.Partitions {
			return fmt.Errorf("%w: stream %s has %d partitions and the configuration says %d; their number is fixed when the stream is made", ErrConfig, feedStream, n, c.Partitions)
		}
	} else if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("stream %s: %w", feedStream, err)
	}
	for _, s := range []struct {
		into   *jetstream.Stream
		config jetstream.StreamConfig
	}{
		{&b.feed, feed},
		{&b.out, jetstream.StreamConfig{
			Name: outStream, Description: "outcomes; the last one is the checkpoint", Subjects: outSubjects,
			MaxBytes: c.OutMaxBytes, Discard: jetstream.DiscardNew, Replicas: c.Replicas,
			Duplicates: 20 * time.Second, AllowBatchPublish: true, AllowAtomicPublish: true,
			AllowRollup: true, AllowMsgTTL: true, SubjectDeleteMarkerTTL: time.Minute, Compression: jetstream.S2Compression,
		}},
		{&b.dead, jetstream.StreamConfig{
			Name: deadStream, Description: "what could not be read, judged or delivered", Subjects: []string{"dlq.*.*"},
			MaxBytes: c.DeadMaxBytes, Discard: jetstream.DiscardOld, Replicas: c.Replicas,
			Duplicates: duplicateWindow, Compression: jetstream.S2Compression,
		}},
		{&b.history, jetstream.StreamConfig{
			Name: historyStream, Description: "what became of every alert",
			Sources:  []*jetstream.StreamSource{{Name: outStream, FilterSubject: kindSubjects[rules.Alert]}},
			MaxBytes: c.AlertsMaxBytes, MaxAge: c.AlertsMaxAge, Discard: jetstream.DiscardOld, Replicas: c.Replicas,
			Compression: jetstream.S2Compression,
		}},
		{&b.notify, jetstream.StreamConfig{
			Name: notifyStream, Description: "notifications of groups of alerts", Subjects: []string{"routed.*"},
			MaxBytes: notifyMaxBytes, MaxAge: notifyMaxAge, Discard: jetstream.DiscardOld, Replicas: c.Replicas,
			Duplicates: duplicateWindow, Compression: jetstream.S2Compression,
		}},
	} {
		stream, err := b.js.CreateOrUpdateStream(ctx, s.config)
		if err != nil {
			return fmt.Errorf("stream %s: %w", s.config.Name, err)
		}
		*s.into = stream
	}
	return b.makeBuckets(ctx)
}

// duplicateWindow is how long a message id is remembered: longer than an engine
// needs to come back, so that a client may send again what was not answered.
const duplicateWindow = 2 * time.Minute

func (b *Bus) feedConfig() jetstream.StreamConfig {
	c := b.config
	return jetstream.StreamConfig{
		Name: feedStream, Description: "samples and control messages in the order in which they are judged",
		Subjects:         []string{"in.*.*", "feed.*.*.*", "feed.*._tick", "feed.*._ctl", "feed.*._batch"},
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: "in.*.*", Destination: fmt.Sprintf("feed.{{partition(%d,1)}}.{{wildcard(1)}}.{{wildcard(2)}}", c.Partitions)},
		MaxBytes:         c.FeedMaxBytes, Discard: jetstream.DiscardNew, Replicas: c.Replicas,
		Duplicates: duplicateWindow, AllowDirect: true, AllowBatchPublish: true, Compression: jetstream.S2Compression,
	}
}

// partitionsOf reads the number of partitions back from the stream's transform.
func partitionsOf(c jetstream.StreamConfig) (n int) {
	if c.SubjectTransform != nil {
		fmt.Sscanf(c.SubjectTransform.Destination, "feed.{{partition(%d,1)}}", &n) //nolint:errcheck // 0 = none
	}
	return n
}

// Chain makes the outputs of output twins samples again, so that interactions
// can follow each other: FEED then takes every output from OUT, from now on.
func (b *Bus) Chain(ctx context.Context, on bool) error {
	c := b.feedConfig()
	info, err := b.feed.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", feedStream, err)
	}
	if on == (len(info.Config.Sources) > 0) {
		return nil
	}
	if on {
		now := time.Now()
		c.Sources = []*jetstream.StreamSource{{
			Name: outStream, OptStartTime: &now,
			SubjectTransforms: []jetstream.SubjectTransformConfig{{
				Source: "out.*.*.*.*", Destination: fmt.Sprintf("feed.{{partition(%d,4)}}.{{wildcard(4)}}.{{wildcard(3)}}", b.config.Partitions),
			}},
		}}
	}
	if _, err := b.js.UpdateStream(ctx, c); err != nil {
		return fmt.Errorf("stream %s: %w", feedStream, err)
	}
	return nil
}
