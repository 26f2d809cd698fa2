// Package sourcetest is the contract of sources.Source as a test, which every
// kind of source runs.
package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// What an origin gives: Count samples, Data(0) to Data(Count-1), in this
// order, of one feed of one twin.
const (
	Count = 20
	Twin  = "twin-1"
	Feed  = "feed-1"
)

// Data is the data of the n-th sample.
func Data(n int) string { return fmt.Sprintf(`{"n":%d}`, n) }

// Origin is a source under test and the place that its samples come from.
type Origin struct {
	Source sources.Source
	// Send makes the place give its samples, and gives one again when it is told
	// that it has not been stored. It is called once, beside Run, and returns at
	// the latest when ctx ends. nil means that the samples are there already.
	Send func(ctx context.Context) error
}

// Run holds a kind of source to the contract. Each clause opens an origin of
// its own; what open starts, it ends in t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Origin) {
	for _, c := range clauses {
		before := goleak.IgnoreCurrent()
		t.Run(c.name, func(t *testing.T) { require.NoError(t, c.check(open(t))) })
		assert.NoError(t, left(before), "%s: Run has left a goroutine", c.name)
	}
}

type clause struct {
	name  string
	check func(Origin) error
}

var clauses = []clause{
	{"stores every sample once, in order", storesAll},
	{"ends when ctx ends", endsWithCtx},
	{"ends when ctx has ended before", endsAtOnce},
	{"ends while emit blocks", endsWhileBlocked},
	{"loses nothing when emit fails", losesNothing},
}

// soon is how long a source may take to notice something, however busy the machine is.
const soon = time.Minute

// left says what still runs that did not before, when it has had the time to end.
func left(before goleak.Option) error {
	err := goleak.Find(before)
	for limit := time.Now().Add(soon); err != nil && time.Now().Before(limit); {
		err = goleak.Find(before)
	}
	return err
}

var errRefused = errors.New("not stored, by the contract test")

func storesAll(o Origin) error {
	var st store
	r := start(o, st.emit)
	defer r.cancel()
	if err := r.wait(st.has(Count)); err != nil {
		return fmt.Errorf("%w, after %d of %d samples", err, st.len(), Count)
	}
	if err := r.end(); err != nil {
		return err
	}
	return st.check()
}

func endsWithCtx(o Origin) error {
	var st store
	o.Send = nil
	r := start(o, st.emit)
	return r.end()
}

func endsAtOnce(o Origin) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan error, 1)
	go func() {
		done <- o.Source.Run(ctx, func(ctx context.Context, _ ...rules.Sample) error { return ctx.Err() })
	}()
	return returned(done)
}

func endsWhileBlocked(o Origin) error {
	called := make(chan struct{})
	var once sync.Once
	r := start(o, func(ctx context.Context, _ ...rules.Sample) error {
		once.Do(func() { close(called) })
		<-ctx.Done()
		return ctx.Err()
	})
	if err := r.wait(called); err != nil {
		return fmt.Errorf("%w, and emit was never called", err)
	}
	return r.end()
}

func losesNothing(o Origin) error {
	st := store{failures: 3}
	r := start(o, st.emit)
	defer r.cancel()
	err := r.wait(st.has(Count))
	switch {
	case errors.Is(err, errRefused):
		return nil // it stopped rather than lose a sample
	case err != nil:
		return fmt.Errorf("%w, after emit had failed; %d of %d samples are stored", err, st.len(), Count)
	}
	return r.end()
}

// running is a call of Source.Run.
type running struct {
	cancel context.CancelFunc
	done   chan error
	sent   chan error
}

func start(o Origin, emit sources.Emit) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, done: make(chan error, 1), sent: make(chan error, 1)}
	go func() { r.done <- o.Source.Run(ctx, emit) }()
	go func() {
		if o.Send == nil {
			r.sent <- nil
			return
		}
		r.sent <- o.Send(ctx)
	}()
	return r
}

// wait returns nil when event comes. A source that ends with nil may have brought it before.
func (r *running) wait(event <-chan struct{}) error {
	select {
	case <-event:
		return nil
	case <-time.After(soon):
		return errors.Join(fmt.Errorf("nothing happens for %v", soon), r.sendFailed())
	case err := <-r.done:
		r.done <- err
		if err != nil {
			return fmt.Errorf("the source ended: %w", err)
		}
	}
	select {
	case <-event:
		return nil
	default:
		return errors.New("the source ended with nil")
	}
}

// sendFailed is what Send has failed with until now.
func (r *running) sendFailed() error {
	select {
	case err := <-r.sent:
		r.sent <- err
		return sendError(err)
	default:
		return nil
	}
}

func sendError(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("the origin's Send: %w", err)
}

// end ends ctx and wants Run to return nil soon.
func (r *running) end() error {
	r.cancel()
	if err := returned(r.done); err != nil {
		return err
	}
	select {
	case err := <-r.sent:
		return sendError(err)
	case <-time.After(soon):
		return errors.New("the origin's Send does not return when ctx ends")
	}
}

func returned(done <-chan error) error {
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("the source returned %w; want nil when ctx ends", err)
		}
		return nil
	case <-time.After(soon):
		return fmt.Errorf("the source has not returned %v after ctx ended", soon)
	}
}

// store is an Emit that remembers. It keeps the samples as they came, so that
// a source that writes into what it has handed over is found out.
type store struct {
	mu       sync.Mutex
	failures int // of its first calls
	samples  []rules.Sample
	seen     map[string]bool
	want     int
	full     chan struct{}
}

// has is closed when n different samples are stored.
func (st *store) has(n int) <-chan struct{} {
	st.mu.Lock()
	defer st.mu.Unlock()
	full := make(chan struct{})
	st.want, st.full = n, full
	st.look()
	return full
}

func (st *store) emit(_ context.Context, batch ...rules.Sample) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failures > 0 {
		st.failures--
		return errRefused
	}
	if st.seen == nil {
		st.seen = map[string]bool{}
	}
	for _, s := range batch {
		st.samples = append(st.samples, s)
		st.seen[string(s.Data)] = true
	}
	st.look()
	return nil
}

func (st *store) look() {
	if st.full != nil && len(st.seen) >= st.want {
		close(st.full)
		st.full = nil
	}
}

func (st *store) len() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return len(st.seen)
}

func (st *store) check() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	var errs []error
	for i, s := range st.samples {
		switch {
		case s.Refused != "":
			errs = append(errs, fmt.Errorf("sample %d is refused: %s", i, s.Refused))
		case s.Twin != Twin || s.Feed != Feed:
			errs = append(errs, fmt.Errorf("sample %d is of %s/%s; want %s/%s", i, s.Twin, s.Feed, Twin, Feed))
		case s.At.IsZero():
			errs = append(errs, fmt.Errorf("sample %d has no time", i))
		case string(s.Data) != Data(i):
			errs = append(errs, fmt.Errorf("sample %d is %s; want %s", i, s.Data, Data(i)))
		}
	}
	if len(st.samples) != Count {
		errs = append(errs, fmt.Errorf("%d samples; want %d", len(st.samples), Count))
	}
	return errors.Join(errs...)
}
