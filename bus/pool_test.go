package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAssign(t *testing.T) {
	var partitions []string
	for i := range 16 {
		partitions = append(partitions, fmt.Sprintf("p%d", i))
	}
	count := func(a map[string]string) map[string]int {
		n := map[string]int{}
		for _, name := range partitions {
			n[a[name]]++
		}
		return n
	}
	assert.Empty(t, assign(nil, []string{"desk"}, partitions))
	three := assign([]string{"a", "b", "c"}, []string{"desk"}, partitions)
	assert.Len(t, three, 17)
	for w, n := range count(three) {
		assert.LessOrEqual(t, n, 6, w)
		assert.GreaterOrEqual(t, n, 4, w)
	}
	assert.Equal(t, three, assign([]string{"a", "b", "c"}, []string{"desk"}, partitions), "the same for everybody")
	// Where one goes, what it held moves, and little else.
	two := assign([]string{"a", "b"}, []string{"desk"}, partitions)
	moved := 0
	for _, name := range partitions {
		if three[name] != "c" && three[name] != two[name] {
			moved++
		}
	}
	assert.LessOrEqual(t, moved, 4)
	// Names spread over workers, whoever they are.
	spread := map[string]int{}
	for i := range 1000 {
		spread[ranked([]string{"a", "b", "c", "d"}, fmt.Sprint("name", i))[0]]++
	}
	for w, n := range spread {
		assert.InDelta(t, 250, n, 80, w)
	}
}

// tenants notes who holds what, and that nobody else does.
type tenants struct {
	t      *testing.T
	mu     sync.Mutex
	holder map[string]string
	epoch  map[string]uint64
	taken  int
}

func (l *tenants) hold(id string) func(context.Context, Lease) {
	return func(ctx context.Context, x Lease) {
		l.mu.Lock()
		assert.Empty(l.t, l.holder[x.Name], "%s takes %s", id, x.Name)
		assert.Greater(l.t, x.Epoch, l.epoch[x.Name], x.Name)
		l.holder[x.Name], l.epoch[x.Name] = id, x.Epoch
		l.taken++
		l.mu.Unlock()
		<-ctx.Done()
		l.mu.Lock()
		if l.holder[x.Name] == id {
			l.holder[x.Name] = ""
		}
		l.mu.Unlock()
	}
}

func (l *tenants) by(id string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.holder {
		if h == id {
			n++
		}
	}
	return n
}

func TestWorkersShareWhatThereIs(t *testing.T) {
	b := open(t, Config{})
	l := &tenants{t: t, holder: map[string]string{}, epoch: map[string]uint64{}}
	var partitions []string
	for i := range 16 {
		partitions = append(partitions, fmt.Sprintf("p%d", i))
	}
	join := func(id string) (leave func()) {
		ctx, cancel := context.WithCancel(t.Context())
		// Nobody dies here, however late its signs of life are.
		p := b.NewPool(PoolConfig{ID: id, Lease: patience, Names: []string{"desk"}, Balanced: partitions, Trouble: func(err error) { t.Log(id, err) }})
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx, l.hold(id)) }()
		return func() {
			cancel()
			assert.NoError(t, <-done)
			assert.Empty(t, p.Held())
		}
	}
	leaveA := join("a")
	eventually(t, func() bool { return l.by("a") == 17 }, "a alone holds all")
	leaveB := join("b")
	eventually(t, func() bool { return l.by("a")+l.by("b") == 17 && l.by("b") >= 8 }, "b takes its half")
	leaveC := join("c")
	eventually(t, func() bool { return l.by("a")+l.by("b")+l.by("c") == 17 && l.by("c") >= 4 }, "c takes its third")
	leaveA()
	eventually(t, func() bool { return l.by("b")+l.by("c") == 17 }, "b and c have what a gave back")
	leaveB()
	eventually(t, func() bool { return l.by("c") == 17 }, "c has all")
	leaveC()
	assert.Less(t, l.taken, 17*5, "little moves that need not")
	for _, name := range slices.Concat(partitions, []string{"desk"}) {
		e, err := b.pool.Get(t.Context(), leasePrefix+name)
		require.NoError(t, err)
		assert.Contains(t, string(e.Value()), `"owner":""`)
	}
}

func TestTheYoungerOfTwoWithOneIDGoes(t *testing.T) {
	b := open(t, Config{})
	join := func() (*Pool, chan error, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		p := b.NewPool(PoolConfig{ID: "same", Lease: time.Second, Names: []string{"desk"}})
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx, func(ctx context.Context, _ Lease) { <-ctx.Done() }) }()
		return p, done, cancel
	}
	older, olderDone, stop := join()
	eventually(t, func() bool { return len(older.Held()) == 1 }, "the older holds the desk")
	_, youngerDone, stopYounger := join()
	defer stopYounger()
	err := <-youngerDone
	require.ErrorIs(t, err, ErrConfig)
	assert.ErrorContains(t, err, `under the id "same"`)
	stop()
	assert.NoError(t, <-olderDone)
}

func eventually(t *testing.T, f func() bool, what string) {
	t.Helper()
	require.Eventually(t, f, patience, 10*time.Millisecond, what)
}

func TestWorkersTellOfTheirLag(t *testing.T) {
	b := open(t, Config{})
	join := func(id string) (*Pool, func()) {
		ctx, cancel := context.WithCancel(t.Context())
		p := b.NewPool(PoolConfig{ID: id, Lease: time.Second, Names: []string{"desk"}})
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx, func(ctx context.Context, _ Lease) { <-ctx.Done() }) }()
		return p, sync.OnceFunc(func() {
			cancel()
			assert.NoError(t, <-done)
		})
	}
	one, leaveOne := join("one")
	defer leaveOne()
	two, leaveTwo := join("two")
	defer leaveTwo()
	one.Tell(5)
	assert.Equal(t, uint64(5), one.Lag(), "its own at once")
	two.Tell(7)
	eventually(t, func() bool { return one.Lag() == 12 && two.Lag() == 12 }, "each knows of both")
	leaveTwo()
	eventually(t, func() bool { return one.Lag() == 5 }, "who is gone does not count")
}
