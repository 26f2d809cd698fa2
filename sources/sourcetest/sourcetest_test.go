package sourcetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tocsin.internal/rules"
	"tocsin.internal/sources"
)

// runFunc is a source made of its one method.
type runFunc func(context.Context, sources.Emit) error

func (f runFunc) Run(ctx context.Context, emit sources.Emit) error { return f(ctx, emit) }

func sample(n int) rules.Sample {
	return rules.Sample{Twin: Twin, Feed: Feed, At: time.Unix(1, 0), Data: []byte(Data(n))}
}

// good keeps the contract: it sends again what emit has refused.
func good(ctx context.Context, emit sources.Emit) error {
	for n := range Count {
		if sources.Insist(ctx, emit, sample(n)) != nil {
			return nil
		}
	}
	<-ctx.Done()
	return nil
}

// stopping keeps it too: it stops at the first error.
func stopping(ctx context.Context, emit sources.Emit) error {
	for n := range Count {
		if err := emit(ctx, sample(n)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	return nil
}

func TestRun(t *testing.T) {
	for name, f := range map[string]runFunc{"good": good, "stopping": stopping} {
		t.Run(name, func(t *testing.T) {
			Run(t, func(*testing.T) Origin { return Origin{Source: f} })
		})
	}
}

// each wraps emit: it sees every sample before it is handed over.
func each(change func(n int, s rules.Sample) []rules.Sample) runFunc {
	return func(ctx context.Context, emit sources.Emit) error {
		for n := range Count {
			if sources.Insist(ctx, emit, change(n, sample(n))...) != nil {
				return nil
			}
		}
		return nil
	}
}

func TestBreachesAreFound(t *testing.T) {
	shared := []byte(Data(0))
	for name, tt := range map[string]struct {
		run    runFunc
		clause string
		want   string
	}{
		"loses one": {each(func(n int, s rules.Sample) []rules.Sample {
			if n == 3 {
				return nil
			}
			return []rules.Sample{s}
		}), "stores every sample once, in order", "the source ended with nil, after 19 of 20 samples"},
		"doubles one": {each(func(n int, s rules.Sample) []rules.Sample {
			if n == 3 {
				return []rules.Sample{s, s}
			}
			return []rules.Sample{s}
		}), "stores every sample once, in order", "21 samples; want 20"},
		"mixes order": {each(func(n int, _ rules.Sample) []rules.Sample {
			return []rules.Sample{sample(Count - 1 - n)}
		}), "stores every sample once, in order", `sample 0 is {"n":19}; want {"n":0}`},
		"no time": {each(func(_ int, s rules.Sample) []rules.Sample {
			s.At = time.Time{}
			return []rules.Sample{s}
		}), "stores every sample once, in order", "sample 0 has no time"},
		"wrong twin": {each(func(_ int, s rules.Sample) []rules.Sample {
			s.Twin = "x"
			return []rules.Sample{s}
		}), "stores every sample once, in order", "sample 0 is of x/feed-1; want twin-1/feed-1"},
		"refuses": {each(func(_ int, s rules.Sample) []rules.Sample {
			s.Refused = "why not"
			return []rules.Sample{s}
		}), "stores every sample once, in order", "sample 0 is refused: why not"},
		"writes into what it gave": {each(func(n int, s rules.Sample) []rules.Sample {
			if n < 10 {
				copy(shared, Data(n))
				s.Data = shared
			}
			return []rules.Sample{s}
		}), "stores every sample once, in order", `sample 0 is {"n":9}; want {"n":0}`},
		"ctx's error": {func(ctx context.Context, _ sources.Emit) error {
			<-ctx.Done()
			return ctx.Err()
		}, "ends when ctx ends", "the source returned context canceled; want nil when ctx ends"},
		"ctx's error before": {func(ctx context.Context, _ sources.Emit) error {
			return ctx.Err()
		}, "ends when ctx has ended before", "the source returned context canceled; want nil when ctx ends"},
		"emit's error at the end": {func(ctx context.Context, emit sources.Emit) error {
			return emit(ctx, sample(0))
		}, "ends while emit blocks", "the source returned context canceled; want nil when ctx ends"},
		"never emits": {func(context.Context, sources.Emit) error {
			return nil
		}, "ends while emit blocks", "the source ended with nil, and emit was never called"},
		"its own error": {func(context.Context, sources.Emit) error {
			return errors.New("no cable")
		}, "stores every sample once, in order", "the source ended: no cable, after 0 of 20 samples"},
		"goes on after an error": {func(ctx context.Context, emit sources.Emit) error {
			for n := range Count {
				_ = emit(ctx, sample(n))
			}
			return nil
		}, "loses nothing when emit fails", "the source ended with nil, after emit had failed; 17 of 20 samples are stored"},
		"hides emit's error": {func(ctx context.Context, emit sources.Emit) error {
			if err := stopping(ctx, emit); err != nil {
				return errors.New("something went wrong")
			}
			return nil
		}, "loses nothing when emit fails", "the source ended: something went wrong, after emit had failed; 0 of 20 samples are stored"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, find(t, tt.clause)(Origin{Source: tt.run}), tt.want)
		})
	}
}

func find(t *testing.T, name string) func(Origin) error {
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
	leaky := func(ctx context.Context, emit sources.Emit) error {
		go func() { <-release }()
		return good(ctx, emit)
	}
	require.NoError(t, find(t, "ends when ctx ends")(Origin{Source: runFunc(leaky)}))
	require.Error(t, goleak.Find(before))
	close(release)
	assert.NoError(t, left(before))
}
