package sinktest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tocsin.internal/rules"
	"tocsin.internal/sinks"
)

// deliverFunc is a sink made of its one method.
type deliverFunc func(context.Context, rules.Outcome) error

func (f deliverFunc) Deliver(ctx context.Context, o rules.Outcome) error { return f(ctx, o) }

// good keeps the contract: it takes alerts and nothing else.
func good(ctx context.Context, o rules.Outcome) error {
	if o.Kind != rules.Alert {
		return sinks.Permanent(errors.New("alerts only"))
	}
	return ctx.Err()
}

// closer is a sink that has something to close.
type closer struct {
	deliverFunc
	err error
}

func (c closer) Close() error { return c.err }

func TestRun(t *testing.T) {
	Run(t, func(*testing.T) sinks.Sink { return deliverFunc(good) })
	Run(t, func(*testing.T) sinks.Sink { return closer{deliverFunc: good} })
}

func TestBreachesAreFound(t *testing.T) {
	var mu sync.Mutex
	calls := 0
	var once sync.Once
	inside, refused := make(chan struct{}, 1), make(chan struct{})
	for name, tt := range map[string]struct {
		deliver deliverFunc
		clause  string
		want    string
	}{
		"second time": {func(ctx context.Context, _ rules.Outcome) error {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls == 2 {
				return errors.New("seen before")
			}
			return ctx.Err()
		}, "takes one outcome twice", "delivery 2: seen before"},
		"one at a time": {func(context.Context, rules.Outcome) error {
			select {
			case inside <- struct{}{}:
				<-refused
				<-inside
				return nil
			default:
				once.Do(func() { close(refused) })
				return errors.New("busy")
			}
		}, "takes many at once", "busy"},
		"ctx unseen": {func(context.Context, rules.Outcome) error {
			return nil
		}, "says no when ctx has ended", "nil although ctx had ended; want an error"},
		"ctx is for good": {func(ctx context.Context, _ rules.Outcome) error {
			return sinks.Permanent(ctx.Err())
		}, "says no when ctx has ended", "gave up because ctx had ended: context canceled"},
		"kind for later": {func(_ context.Context, o rules.Outcome) error {
			if o.Kind == rules.Command {
				return errors.New("what is this")
			}
			return nil
		}, "says for good what it cannot take", `kind "command": what is this; want nil or an error marked permanent`},
		"name for later": {func(_ context.Context, o rules.Outcome) error {
			if o.Twin == "*" {
				return errors.New("bad subject")
			}
			return nil
		}, "survives every name", `name "*": bad subject; want nil or an error marked permanent`},
		"panic": {func(_ context.Context, o rules.Outcome) error {
			_ = o.Twin[0]
			return nil
		}, "survives every name", `name "": panic: runtime error: index out of range [0] with length 0`},
		"changes data": {func(_ context.Context, o rules.Outcome) error {
			o.Data[0] = '['
			return nil
		}, "leaves the outcome as it is", `outcome with data ["temperature":31.2} and labels [site] after Deliver; want them as before`},
		"changes labels": {func(_ context.Context, o rules.Outcome) error {
			clear(o.Labels)
			return nil
		}, "leaves the outcome as it is", "labels [] after Deliver"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, find(t, tt.clause)(tt.deliver), tt.want)
		})
	}
	require.EqualError(t, closing(closer{err: errors.New("stuck")}), "stuck")
}

func find(t *testing.T, name string) func(sinks.Sink) error {
	for _, c := range clauses {
		if c.name == name {
			return c.check
		}
	}
	require.Fail(t, "no clause", name)
	return nil
}

func TestLeakIsFound(t *testing.T) {
	before := goleak.IgnoreCurrent()
	release := make(chan struct{})
	leaky := func(ctx context.Context, o rules.Outcome) error {
		go func() { <-release }()
		return good(ctx, o)
	}
	require.NoError(t, twice(deliverFunc(leaky)))
	require.Error(t, goleak.Find(before))
	close(release)
	assert.NoError(t, left(before))
}
