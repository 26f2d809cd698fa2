package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/internal/natsconn"
	"tocsin.internal/internal/pause"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

const (
	// most is how many samples are handed to emit at once.
	most = 500
	// betweenTries is how long it waits before it tries again to reach the server.
	betweenTries = time.Second
	// dialTimeout bounds one try.
	dialTimeout = 5 * time.Second
)

// Run reads until ctx ends, and waits for a server that is not there as long as
// it takes. A message of a stream is acknowledged when emit has stored it; one
// that emit refuses is handed to it again. The error says what will not mend by
// itself: an account that may not read the subject, a stream that does not exist.
func (s *source) Run(ctx context.Context, emit sources.Emit) error {
	err := s.run(ctx, emit)
	if ctx.Err() != nil || err == nil {
		return nil
	}
	return fmt.Errorf("nats source %s: %w", s.Subject, err)
}

func (s *source) run(ctx context.Context, emit sources.Emit) error {
	r := &reading{source: s, emit: emit, messages: make(chan message, most), denied: make(chan error, 1)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	nc, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	if s.Stream == "" {
		return r.subscribe(ctx, nc)
	}
	defer flush(nc)
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for {
		if err := r.consume(ctx, js); err != nil {
			return err
		}
	}
}

// flush sees to it that the last acknowledgements arrive, if the server is there.
func flush(nc *nats.Conn) {
	if nc.IsConnected() {
		_ = nc.FlushTimeout(time.Second) // what does not arrive comes again
	}
}

// The parts that the source is in touch with.
const (
	server = "server"
	stream = "stream"
)

// reading is one call of Run.
type reading struct {
	*source
	emit     sources.Emit
	messages chan message
	denied   chan error // the server does not let us subscribe
}

func (r *reading) connect(ctx context.Context) (*nats.Conn, error) {
	for {
		nc, err := nats.Connect(r.URL, r.options(ctx)...)
		switch {
		case err == nil:
			return nc, nil
		case !mayMend(err):
			return nil, err
		}
		r.Lost(server, err)
		if err := pause.For(ctx, betweenTries); err != nil {
			return nil, err
		}
	}
}

func (r *reading) options(ctx context.Context) []nats.Option {
	o := []nats.Option{
		nats.Name("tocsin source " + r.Subject),
		nats.Timeout(dialTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(betweenTries),
		nats.IgnoreAuthErrorAbort(),
		nats.SetCustomDialer(dialer{ctx}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if ctx.Err() == nil {
				r.Lost(server, cmp.Or(err, io.EOF))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { r.Reached(server) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !errors.Is(err, nats.ErrPermissionViolation) {
				return
			}
			select {
			case r.denied <- err:
			default:
			}
		}),
	}
	if r.Creds != "" {
		o = append(o, nats.UserCredentials(r.Creds))
	}
	if r.TLS.CA != "" {
		o = append(o, nats.RootCAs(r.TLS.CA))
	}
	if r.TLS.Cert != "" {
		o = append(o, nats.ClientCert(r.TLS.Cert, r.TLS.Key))
	}
	return o
}

// dialer lets ctx interrupt a dial.
type dialer struct{ ctx context.Context } // nats.CustomDialer has no parameter for it

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return natsconn.Dial(d.ctx, &net.Dialer{Timeout: dialTimeout}, network, address)
}

// mayMend says that a server which is not there may come.
func mayMend(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op != "remote error" // which is how TLS says no
	}
	_, lookup := errors.AsType[*net.DNSError](err)
	return lookup || errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, io.EOF)
}

// subscribe reads what is published while it listens.
func (r *reading) subscribe(ctx context.Context, nc *nats.Conn) error {
	sub, err := nc.QueueSubscribe(r.Subject, r.Queue, func(m *nats.Msg) {
		r.push(ctx, message{subject: m.Subject, header: m.Header, body: m.Data, at: time.Now().UTC(), ack: func() error { return nil }})
	})
	if err != nil {
		return err
	}
	r.Reached(server)
	return r.pump(ctx, nil, sub.Dropped)
}

// consume reads a stream until its consumer is gone, which is nil.
func (r *reading) consume(ctx context.Context, js jetstream.JetStream) error {
	consumer, err := r.consumer(ctx, js)
	if err != nil {
		return err
	}
	reader, err := consumer.Consume(func(m jetstream.Msg) {
		if meta, err := m.Metadata(); err == nil {
			r.push(ctx, message{m.Subject(), m.Headers(), m.Data(), meta.Timestamp.UTC(), streamID(meta.Stream, meta.Sequence.Stream), m.Ack})
		}
	}, jetstream.PullMaxMessages(2*most))
	if err != nil {
		return err
	}
	defer reader.Stop()
	r.Reached(stream)
	return r.pump(ctx, reader.Closed(), func() (int, error) { return 0, nil })
}

// consumer finds the durable consumer or makes it, and waits while JetStream
// does not answer. What was delivered before and never acknowledged is asked for
// first, in order, of servers that can (2.14); others deliver it late.
func (r *reading) consumer(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
	for {
		c, err := js.Consumer(ctx, r.Stream, r.Durable)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			c, err = js.CreateConsumer(ctx, r.Stream, jetstream.ConsumerConfig{
				Durable: r.Durable, FilterSubject: r.Subject, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Minute,
			})
		}
		if err == nil {
			if c.CachedInfo().NumAckPending > 0 {
				_, _ = js.ResetConsumer(ctx, r.Stream, r.Durable) // an older server says no: late is better than never
			}
			return c, nil
		}
		err = fmt.Errorf("stream %s, durable %s: %w", r.Stream, r.Durable, err)
		if isFinal(err) {
			return nil, err
		}
		r.Lost(stream, err)
		if err := r.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// isFinal says that JetStream's answer will not change by itself.
func isFinal(err error) bool {
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return true
	}
	answer, ok := errors.AsType[jetstream.JetStreamError](err)
	return ok && answer.APIError() != nil && answer.APIError().Code < 500
}

// wait is the pause before the next try, unless the server has said no.
func (r *reading) wait(ctx context.Context) error {
	select {
	case err := <-r.denied:
		return err
	default:
		return pause.For(ctx, betweenTries)
	}
}

func (r *reading) push(ctx context.Context, m message) {
	select {
	case r.messages <- m:
	case <-ctx.Done():
	}
}

// pump hands what has come to emit, as much as there is at once. It ends with
// ctx, or with nil when gone is closed. What the client had to drop because
// emit was too slow is counted in a dead letter.
func (r *reading) pump(ctx context.Context, gone <-chan struct{}, dropped func() (int, error)) error {
	lost := 0
	for {
		var batch []message
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-gone:
			return pause.For(ctx, betweenTries)
		case err := <-r.denied:
			return err
		case m := <-r.messages:
			batch = r.more(append(batch, m))
		}
		samples := make([]rules.Sample, len(batch))
		for i, m := range batch {
			samples[i] = r.sample(m)
		}
		if n, err := dropped(); err == nil && n > lost {
			samples = append(samples, rules.Sample{At: time.Now().UTC(), Refused: fmt.Sprintf("%s: %d messages came faster than they could be stored and are lost; want a stream", r.Subject, n-lost)})
			lost = n
		}
		if err := sources.Insist(ctx, r.emit, samples...); err != nil {
			return err
		}
		for _, m := range batch {
			_ = m.ack() // without it the message comes again, and its id says so
		}
	}
}

// more adds what is waiting, without waiting for it.
func (r *reading) more(batch []message) []message {
	for len(batch) < most {
		select {
		case m := <-r.messages:
			batch = append(batch, m)
		default:
			return batch
		}
	}
	return batch
}
