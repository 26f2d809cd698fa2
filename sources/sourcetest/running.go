package sourcetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// Running is a source at work, and what it has emitted.
type Running struct {
	Came chan struct{} // a value for each batch

	mu      sync.Mutex
	samples []rules.Sample
	states  []string
	refuse  error
	cancel  context.CancelFunc
	done    chan error
}

// Begin runs a source until End or the end of the test, with an emit that takes
// what comes, or refuses it with an error.
func Begin(t *testing.T, s sources.Source, refuse error) *Running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &Running{refuse: refuse, Came: make(chan struct{}, 10000), cancel: cancel, done: make(chan error, 1)}
	if remote, ok := s.(sources.Remote); ok {
		remote.Tell(r.note)
	}
	go func() { r.done <- s.Run(ctx, r.Emit) }()
	t.Cleanup(cancel)
	return r
}

func (r *Running) note(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.states) == 0 || r.states[len(r.states)-1] != text {
		r.states = append(r.states, text)
	}
}

// States are how a [sources.Remote] was in touch with its origin: "" when it was.
func (r *Running) States() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.states)
}

// Emit is its sources.Emit.
func (r *Running) Emit(_ context.Context, batch ...rules.Sample) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse == nil {
		r.samples = append(r.samples, batch...)
	}
	r.Came <- struct{}{}
	return r.refuse
}

// Refuse lets emit refuse from now on with an error.
func (r *Running) Refuse(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = err
}

// Samples are those that were taken.
func (r *Running) Samples() []rules.Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.samples)
}

// Wait returns the samples when there are n of them.
func (r *Running) Wait(t *testing.T, n int) []rules.Sample {
	t.Helper()
	limit := time.After(3 * time.Minute)
	for {
		if samples := r.Samples(); len(samples) >= n {
			return samples
		}
		select {
		case <-r.Came:
		case err := <-r.done:
			require.Fail(t, "the source has ended", "%v", err)
		case <-limit:
			require.Fail(t, "too few samples", "%d of %d", len(r.Samples()), n)
		}
	}
}

// End stops the source, which has to end without an error.
func (r *Running) End(t *testing.T) {
	t.Helper()
	r.cancel()
	require.NoError(t, <-r.done)
}
