package engine_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

const poolRules = `{"id":"pool","sources":[
 {"id":"1","modelDid":"did:model","feeds":[{"id":"currentTemp"}]},
 {"id":"2","modelDid":"did:room","feeds":[{"id":"air"}]}],"rules":[
 {"transformation":{"conditions":[{"fieldsIncludedInOutput":["temperature"],"jsonLogic":{">":[{"var":"temperature"},30]}}],
  "outputFeedId":"temperature_status","outputFieldId":"status","outputTrueValue":"extreme","outputFalseValue":"normal","sourceFeedId":"currentTemp","sourceId":"1"}},
 {"alert":{"id":"too-hot","severity":"critical","conditions":[{"jsonLogic":{">":[{"var":"temperature"},30]}}],"sourceId":"1","sourceFeedId":"currentTemp","summary":"{{temperature}}"}},
 {"alert":{"id":"long","severity":"major","for":"5s","clearCondition":{"jsonLogic":{"<":[{"var":"temperature"},20]}},"conditions":[{"jsonLogic":{">":[{"var":"temperature"},25]}}],"sourceId":"1","sourceFeedId":"currentTemp"}}%s]}`

const linkedRules = `,
 {"alert":{"id":"hotter","severity":"major","sourceId":"1","sourceFeedId":"currentTemp","join":{"as":"ambient","sourceId":"2","sourceFeedId":"air","on":{"property":"urn:x#room"},"tolerance":"10m"},
  "conditions":[{"jsonLogic":{">":[{"-":[{"var":"temperature"},{"var":"ambient.t"}]},20]}}],"summary":"{{temperature}} in {{ambient.t}}"}},
 {"alert":{"id":"many","severity":"major","sourceId":"1","sourceFeedId":"currentTemp","groupBy":{"property":"urn:x#room","maxAge":"5m"},"quorum":{"count":2},
  "conditions":[{"jsonLogic":{">":[{"var":"temperature"},30]}}],"summary":"{{$agg.true}} of {{$agg.members}}"}}`

func inRoom(t twins.Twin, room int) twins.Twin {
	t.Properties = append(t.Properties, twins.LangString("urn:x#room", fmt.Sprintf("room_%d", room), "en"))
	return t
}

// connect opens a bus at a server that may be slow.
func connect(t *testing.T, c bus.Config) *bus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := bus.Open(ctx, c)
	require.NoError(t, err)
	return b
}

// crew is workers on one bus, that come and go.
type crew struct {
	t      *testing.T
	bus    *bus.Bus
	config func() engine.Config
	at     map[string]*works
	n      int
}

func (c *crew) join() string {
	c.t.Helper()
	b := connect(c.t, bus.Config{URL: c.bus.ClientURL(), Partitions: c.bus.Partitions()})
	c.n++
	w := &works{t: c.t, bus: b, log: &engine.Log{}}
	config := c.config()
	if config.Lease == 0 {
		config.Lease = 10 * time.Second // one that is late for a moment is not taken for dead
	}
	config.Bus, config.WorkerID, config.Log = b, fmt.Sprintf("worker_%d", c.n), zerolog.New(w.log)
	var err error
	w.Engine, err = engine.New(c.t.Context(), config)
	require.NoError(c.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			assert.NoError(c.t, err)
		case <-time.After(2 * patience):
			c.t.Error("the worker does not stop")
		}
		b.Close()
	})
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Log(config.WorkerID, w.log.String())
		}
	})
	c.t.Cleanup(w.stop)
	w.until("ready", func() bool { return w.Ready() == nil })
	c.at[config.WorkerID] = w
	return config.WorkerID
}

func (c *crew) leave(id string) {
	c.at[id].stop()
	delete(c.at, id)
}

// judged waits until the workers have judged all that is stored.
func (c *crew) judged() {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		for p := range c.bus.Partitions() {
			_, last, err := c.bus.PartitionState(c.t.Context(), p)
			require.NoError(c.t, err)
			if !slices.ContainsFunc(c.workers(), func(w *works) bool { return w.Settled(p) >= last }) {
				return false
			}
		}
		return true
	}, 2*patience, 20*time.Millisecond, "all is judged")
}

func (c *crew) workers() (all []*works) {
	for _, w := range c.at {
		all = append(all, w)
	}
	return all
}

// TestPoolJudgesAsOneWorker lets workers come and go while samples come, and
// holds what they stored against a replay of the stream.
func TestPoolJudgesAsOneWorker(t *testing.T) {
	for name, more := range map[string]string{"alone": "", "linked": linkedRules} {
		t.Run(name, func(t *testing.T) { poolJudges(t, fmt.Sprintf(poolRules, more)) })
	}
}

func poolJudges(t *testing.T, text string) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	b, err := bus.Open(t.Context(), bus.Config{Dir: engine.DataDir(t), Listen: "127.0.0.1:0", Partitions: 8})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pool.json"), text)
	var described []twins.Twin
	for i := range 40 {
		described = append(described, inRoom(machine(fmt.Sprintf("machine_%d", i)), i%6))
	}
	for i := range 6 {
		air := machine(fmt.Sprintf("air_%d", i))
		air.Properties[0] = twins.URI(rules.PropModel, "did:room")
		air.Feeds = []rules.Feed{{ID: "air", StoreLast: true}}
		described = append(described, inRoom(air, i))
	}
	c := &crew{t: t, bus: b, at: map[string]*works{}, config: func() engine.Config {
		return engine.Config{RulesPath: dir, Twins: described, Clock: engine.NoClock, SnapshotEvery: 100 * time.Millisecond}
	}}
	c.join()
	noon := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	for step := range 12 {
		var batch []rules.Sample
		for i := range 300 {
			at := noon.Add(time.Duration(step*300+i) * 100 * time.Millisecond)
			s := rules.Sample{Twin: fmt.Sprintf("machine_%d", random.IntN(40)), Feed: "currentTemp", At: at, Data: fmt.Appendf(nil, `{"temperature":%d}`, 10+random.IntN(30))}
			if random.IntN(8) == 0 {
				s = rules.Sample{Twin: fmt.Sprintf("air_%d", random.IntN(6)), Feed: "air", At: at, Data: fmt.Appendf(nil, `{"t":%d}`, random.IntN(25))}
			}
			batch = append(batch, s)
		}
		require.NoError(t, b.Put(t.Context(), "", batch[:150]))
		for _, s := range batch[150:] {
			require.NoError(t, b.Put(t.Context(), "", []rules.Sample{s}))
		}
		switch ids := slices.Sorted(func(yield func(string) bool) {
			for id := range c.at {
				if !yield(id) {
					return
				}
			}
		}); {
		case len(ids) < 3 && (len(ids) == 1 || random.IntN(2) == 0):
			c.join()
		default:
			c.leave(ids[random.IntN(len(ids))])
		}
	}
	c.judged()
	want, got := expected(t, b, text, described), stored(t, b)
	for _, who := range slices.Sorted(maps.Keys(want)) {
		if !assert.Equal(t, want[who], got[who], "%s in partition %d", who, b.Partition(strings.Fields(who)[0])) {
			break
		}
	}
	assert.Len(t, got, len(want))
}

// stored is what OUT has, by partition's twin.
func stored(t *testing.T, b *bus.Bus) map[string][]string {
	nc, err := nats.Connect(b.ClientURL(), nats.Timeout(patience))
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	require.NoError(t, err)
	s, err := js.Stream(t.Context(), "OUT")
	require.NoError(t, err)
	c, err := s.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	require.NoError(t, err)
	out := map[string][]string{}
	for {
		batch, err := c.FetchNoWait(5000)
		require.NoError(t, err)
		n := 0
		for m := range batch.Messages() {
			n++
			if strings.HasPrefix(m.Subject(), "ckpt.") {
				continue
			}
			o, err := rules.DecodeOutcome(m.Data())
			require.NoError(t, err)
			if o.Kind == rules.Output { // offline there is no output twin
				o.Twin = strings.Split(m.Subject(), ".")[2]
			}
			out[whose(&o)] = append(out[whose(&o)], line(&o))
		}
		if n == 0 && batch.Error() == nil {
			return out
		}
	}
}

// whose outcome it is: their order is that of the twin.
func whose(o *rules.Outcome) string { return o.Twin + " " + string(o.Kind) }

func line(o *rules.Outcome) string {
	return fmt.Sprintf("%d %s %s %s %s %s %s", o.Seq, o.Rule, o.At.UTC().Format(time.RFC3339Nano), o.ID, o.State, o.Summary, o.Data)
}

// expected is what a replay of the stream says.
func expected(t *testing.T, b *bus.Bus, text string, described []twins.Twin) map[string][]string {
	p, err := rules.Load("pool", []byte(text))
	require.NoError(t, err)
	r := engine.NewReplay(map[string]*rules.Program{p.ID(): p}, described)
	out := map[string][]string{}
	require.NoError(t, r.Stream(t.Context(), b, time.Time{}, time.Hour, func(_ *rules.Sample, outcomes []rules.Outcome, err error) error {
		require.NoError(t, err)
		for i := range outcomes {
			o := &outcomes[i]
			out[whose(o)] = append(out[whose(o)], line(o))
		}
		return nil
	}))
	return out
}
