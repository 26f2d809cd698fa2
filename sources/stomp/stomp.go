package stomp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/go-stomp/stomp/v3/frame"

	"tocsin.internal/internal/stompclient"
	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// most is how many samples are handed to emit at once.
const most = 500

// Run reads until ctx ends. A message is acknowledged when emit has stored it. A
// broker that is not there, or goes away, is waited for as long as it takes. The
// error says that the broker, before anything ever worked, has said no: to who
// we are, or to what we want to read. A Tocsin that asks to try again has not.
func (s *source) Run(ctx context.Context, emit sources.Emit) error {
	r := &reading{source: s, emit: emit}
	for {
		err := r.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if no, refused := errors.AsType[*stompclient.ServerError](err); refused && !r.worked && no.Code() != unavailable {
			return fmt.Errorf("stomp source %s: %w", s.Server(), err)
		}
		r.reached = false
		r.Lost(broker, fmt.Errorf("%s: %w", s.Server(), err))
		if r.backoff.Wait(ctx) != nil {
			return nil
		}
	}
}

// unavailable is the gRPC code of a host that cannot answer now.
const unavailable = 14

// broker is what the source is in touch with.
const broker = "broker"

// reading is one call of Run.
type reading struct {
	*source
	emit    sources.Emit
	backoff sources.Backoff
	worked  bool       // the broker has let us subscribe
	reached bool       // on this connection, too; a message may come before the receipt
	storing sync.Mutex // held until what is stored is acknowledged
}

// session is one connection, until it is over.
func (r *reading) session(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		r.storing.Lock() // what has been stored would come again
		defer r.storing.Unlock()
		end()
	})()
	conn, err := r.Dial(life)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Send(r.subscriptions()...); err != nil {
		return err
	}
	for {
		if err := r.batch(ctx, conn); err != nil {
			return err
		}
	}
}

// idPrefix begins the ids of subscriptions; their place in the Config follows.
const idPrefix = "tocsin-"

func (r *reading) subscriptions() []*frame.Frame {
	var out []*frame.Frame
	for i, d := range r.Destinations {
		id := idPrefix + strconv.Itoa(i)
		f := frame.New(frame.SUBSCRIBE, frame.Id, id, frame.Destination, d.Destination, frame.Ack, "client-individual", frame.Receipt, id)
		for name, value := range d.Headers {
			f.Header.Set(name, value)
		}
		out = append(out, f)
	}
	return out
}

// of is the destination whose subscription has the id.
func (r *reading) of(m *frame.Frame) *Destination {
	id := m.Header.Get(frame.Subscription)
	for i := range r.Destinations {
		d := &r.Destinations[i]
		if own, ok := d.Headers[frame.Id]; id == idPrefix+strconv.Itoa(i) && !ok || ok && id == own {
			return d
		}
	}
	return nil
}

// batch stores what has come, as much as there is at once, and acknowledges it.
func (r *reading) batch(ctx context.Context, conn *stompclient.Conn) error {
	var samples []rules.Sample
	var acks []*frame.Frame
	var failed error
	for len(samples) == 0 || len(samples) < most && conn.Waiting() {
		m, err := conn.Read()
		_, tooLarge := errors.AsType[*stompclient.TooLargeError](err)
		if err != nil && !tooLarge {
			failed = err
			break
		}
		r.worked = true
		r.backoff.Reset()
		if !r.reached {
			r.reached = true
			r.Reached(broker)
		}
		if m.Command != frame.MESSAGE {
			continue
		}
		if d := r.of(m); d != nil {
			samples = append(samples, d.sample(m, err, time.Now().UTC()))
			acks = append(acks, conn.Ack(m))
		}
	}
	if len(samples) == 0 {
		return failed
	}
	r.storing.Lock()
	defer r.storing.Unlock()
	if err := sources.Insist(ctx, r.emit, samples...); err != nil {
		return err
	}
	return errors.Join(failed, conn.Send(acks...))
}
