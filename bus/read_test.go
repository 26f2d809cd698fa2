package bus

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// feeder fills FEED with messages of one sample, whose data is their place
// among those of their partition.
type feeder struct {
	t      *testing.T
	b      *Bus
	placed map[int]int
}

func (f *feeder) put(n int) {
	f.t.Helper()
	batch := make([]rules.Sample, 0, n)
	for range n {
		twin := fmt.Sprintf("m%d", len(batch))
		p := f.b.Partition(twin)
		s := sample(twin, f.placed[p])
		s.ID = fmt.Sprintf("%d/%d", p, f.placed[p]) // a message of its own, once
		batch = append(batch, s)
		f.placed[p]++
	}
	require.Eventually(f.t, func() bool { return f.b.Put(f.t.Context(), "", batch) == nil }, patience, 50*time.Millisecond)
}

// collector takes what a reader gives and checks the order of each partition.
type collector struct {
	t    *testing.T
	r    *Reader
	next map[int]int // by partition: the place of the message that must come now
	seq  map[int]uint64
	last map[int]Message
	buf  []Message
}

func newCollector(t *testing.T, b *Bus) *collector {
	r := b.NewReader()
	t.Cleanup(r.Close)
	return &collector{t: t, r: r, next: map[int]int{}, seq: map[int]uint64{}, last: map[int]Message{}}
}

// until reads until enough says so.
func (c *collector) until(enough func() bool) {
	c.t.Helper()
	for !enough() {
		var err error
		c.buf, err = c.r.Next(c.t.Context(), patience, c.buf)
		require.NoError(c.t, err)
		require.NotEmpty(c.t, c.buf, "have %v", c.next)
		c.check(c.buf)
	}
}

func (c *collector) check(batch []Message) {
	c.t.Helper()
	for _, m := range batch {
		require.Equal(c.t, fmt.Sprintf(`{"n":%d}`, c.next[m.Partition]), string(m.Data), "partition %d, message %d", m.Partition, m.Seq)
		require.Greater(c.t, m.Seq, c.seq[m.Partition])
		c.next[m.Partition]++
		c.seq[m.Partition] = m.Seq
		c.last[m.Partition] = m
	}
}

// have says whether the partitions have come as far as the feeder.
func (c *collector) have(f *feeder, partitions ...int) func() bool {
	return func() bool {
		for _, p := range partitions {
			if c.next[p] < f.placed[p] {
				return false
			}
		}
		return true
	}
}

func TestPartitionsCanBeReadOneByOne(t *testing.T) {
	b := open(t, Config{Partitions: 4})
	f := &feeder{t, b, map[int]int{}}
	f.put(3000)
	c := newCollector(t, b)
	require.NoError(t, c.r.Add(t.Context(), 0, 1))
	require.NoError(t, c.r.Add(t.Context(), 2, 1))
	c.until(c.have(f, 0, 2))
	assert.Len(t, c.next, 2, "nothing of the others")
	assert.Zero(t, c.last[0].Pending)
	assert.Zero(t, c.last[2].Pending)

	// One leaves, one joins, one begins again from a sequence.
	c.r.Remove(2)
	from := c.seq[0] - 1
	require.NoError(t, c.r.Add(t.Context(), 0, from))
	c.next[0]--
	c.seq[0] = from - 1
	require.NoError(t, c.r.Add(t.Context(), 1, 1))
	was := c.next[2]
	f.put(1000)
	c.until(c.have(f, 0, 1))
	assert.Equal(t, was, c.next[2], "nothing of the one that left")

	// All of them, in place of what there is.
	clear(c.next)
	clear(c.seq)
	require.NoError(t, c.r.Whole(t.Context(), 1))
	c.until(c.have(f, 0, 1, 2, 3))
	assert.Zero(t, c.last[c.buf[len(c.buf)-1].Partition].Pending)
}

// What was queued before is older than what is asked for again: it would look
// as if the messages between them had been lost.
func TestNothingOfAnEarlierReadingComes(t *testing.T) {
	b := open(t, Config{Partitions: 2})
	f := &feeder{t, b, map[int]int{}}
	f.put(1000)
	c := newCollector(t, b)
	for range 20 {
		require.NoError(t, c.r.Add(t.Context(), 0, 1))
		require.NoError(t, c.r.Add(t.Context(), 1, 1))
	}
	c.until(c.have(f, 0, 1))
	for range 20 {
		clear(c.next)
		clear(c.seq)
		require.NoError(t, c.r.Whole(t.Context(), 1))
	}
	c.until(c.have(f, 0, 1))
}

func TestAReaderCanBeWoken(t *testing.T) {
	r := open(t, Config{}).NewReader()
	defer r.Close()
	r.Wake()
	got, err := r.Next(t.Context(), time.Hour, nil)
	require.NoError(t, err)
	assert.Empty(t, got, "woken before")
	var wg sync.WaitGroup
	wg.Go(r.Wake)
	got, err = r.Next(t.Context(), time.Hour, nil)
	require.NoError(t, err)
	assert.Empty(t, got, "woken while it waits")
	wg.Wait()
	got, err = r.Next(t.Context(), time.Millisecond, nil)
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestAReaderLosesNothingWithItsServer(t *testing.T) {
	for _, tt := range []struct {
		name  string
		whole bool
	}{{"whole", true}, {"by partition", false}} {
		t.Run(tt.name, func(t *testing.T) {
			url, stop, start := external(t)
			b := open(t, Config{URL: url, Partitions: 4})
			f := &feeder{t, b, map[int]int{}}
			f.put(fewer(10_000))
			c := newCollector(t, b)
			if tt.whole {
				require.NoError(t, c.r.Whole(t.Context(), 1))
			} else {
				for p := range 4 {
					require.NoError(t, c.r.Add(t.Context(), p, 1))
				}
			}
			c.until(func() bool { return c.next[0] > 0 })
			stop()
			start()
			f.put(1000)
			c.until(c.have(f, 0, 1, 2, 3))
			require.NoError(t, b.nc.ForceReconnect())
			f.put(fewer(10_000))
			c.until(func() bool { return c.next[0] > f.placed[0]/2 })
			require.NoError(t, b.nc.ForceReconnect())
			c.until(c.have(f, 0, 1, 2, 3))
		})
	}
}
