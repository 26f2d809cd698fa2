package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/internal/natstest"
	"tocsin.internal/rules"
	"tocsin.internal/sinks"
	"tocsin.internal/twins"
)

func TestMain(m *testing.M) {
	engine.BePatient(patience)
	natstest.Main(m)
}

const model = "did:model"

// machine is a twin made from the model.
func machine(id string) twins.Twin {
	return twins.Twin{
		ID: id, Visibility: "PRIVATE",
		Properties: []rules.Property{twins.URI(rules.PropModel, model), twins.LangString(rules.PropLabel, id, "en")},
		Feeds:      []rules.Feed{{ID: "currentTemp", StoreLast: true}},
	}
}

func machines(n int) (out []twins.Twin) {
	for i := range n {
		out = append(out, machine(fmt.Sprintf("machine_%d", i)))
	}
	return out
}

const overheating = `{"id":"overheating","label":"Overheating","sources":[{"id":"1","feeds":[{"id":"currentTemp"}],"modelDid":"did:model"}],"rules":[
 {"transformation":{"conditions":[{"fieldsIncludedInOutput":["temperature"],"jsonLogic":{">":[{"var":"temperature"},30]}}],
  "outputFeedId":"temperature_status","outputFieldId":"status","outputTrueValue":"extreme","outputFalseValue":"normal","sourceFeedId":"currentTemp","sourceId":"1"}},
 {"alert":{"id":"too-hot","severity":"critical","conditions":[{"jsonLogic":{">":[{"var":"temperature"},30]}}],"sourceId":"1","sourceFeedId":"currentTemp","summary":"{{temperature}}"}}]}`

// heard is a sink that remembers.
type heard struct {
	mu       sync.Mutex
	outcomes []rules.Outcome
	wrong    func(rules.Outcome) error
}

func (h *heard) Deliver(_ context.Context, o rules.Outcome) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wrong != nil {
		if err := h.wrong(o); err != nil {
			return err
		}
	}
	h.outcomes = append(h.outcomes, o)
	return nil
}

func (h *heard) all() []rules.Outcome {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.outcomes)
}

// patience is how long a test waits for what happens in its own time: on a busy
// machine that is long.
const patience = 2 * time.Minute

// works is an engine at work.
type works struct {
	*engine.Engine
	t    *testing.T
	bus  *bus.Bus
	stop func()
	log  *engine.Log
}

// start starts an engine on the data in dir; change may change its configuration.
func start(t *testing.T, dir string, change func(*engine.Config)) *works {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4})
	require.NoError(t, err)
	var c engine.Config
	if change != nil {
		change(&c)
	}
	return work(t, b, c)
}

// work runs an engine on a bus until it is stopped, or the test ends.
func work(t *testing.T, b *bus.Bus, c engine.Config) *works {
	t.Helper()
	w := &works{t: t, bus: b, log: &engine.Log{}}
	c.Bus, c.Log = b, zerolog.New(w.log)
	var err error
	w.Engine, err = engine.New(t.Context(), c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			assert.NoError(t, err)
		case <-time.After(2 * patience):
			t.Error("the engine does not stop")
		}
		b.Close()
	})
	t.Cleanup(w.stop)
	w.until("ready", func() bool { return w.Ready() == nil })
	return w
}

func (w *works) until(what string, f func() bool) {
	w.t.Helper()
	require.Eventually(w.t, f, patience, 5*time.Millisecond, what)
}

func (w *works) drain() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	require.NoError(w.t, w.Drained(ctx))
}

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func reading(twin string, second int, temperature any) rules.Sample {
	return rules.Sample{Twin: twin, Feed: "currentTemp", At: noon.Add(time.Duration(second) * time.Second), Data: fmt.Appendf(nil, `{"temperature":%v}`, temperature)}
}

func (w *works) emit(batch ...rules.Sample) {
	w.t.Helper()
	require.NoError(w.t, w.Emit(w.t.Context(), batch...))
}

func ruleFile(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rule.json"), text)
	return dir
}

func write(t *testing.T, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(file+".new", file)) // as editors do
}

// lines are outcomes without their place in a stream, in order by twin.
func lines(outcomes []rules.Outcome) map[string][]string {
	out := map[string][]string{}
	for _, o := range outcomes {
		twin := o.Twin
		o.Seq, o.Count = 0, 0
		if o.Kind == rules.Output {
			o.Twin = ""
		}
		out[twin] = append(out[twin], string(o.AppendJSON(nil)))
	}
	return out
}

// replayed are the outcomes of an offline replay, their output twins named as live.
func replayed(t *testing.T, rule string, samples []rules.Sample) map[string][]string {
	t.Helper()
	p, err := rules.Load("rule.json", []byte(rule))
	require.NoError(t, err)
	r := engine.NewReplay(map[string]*rules.Program{p.ID(): p}, nil)
	var all []rules.Outcome
	for _, s := range samples {
		got, err := r.Judge(&s, nil)
		if err != nil {
			continue
		}
		for _, o := range got {
			if o.Kind == rules.Output {
				o.Twin = twins.OutputID(o.Interaction, o.Twin)
			}
			all = append(all, o)
		}
	}
	return lines(all)
}

func TestSamplesBecomeOutcomes(t *testing.T) {
	sink := &heard{}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = ruleFile(t, overheating), machines(2)
		c.Sinks = []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1}}
	})
	w.until("output twins", func() bool { return w.Stats().Twins == 4 })
	samples := []rules.Sample{
		reading("machine_0", 0, 31.2), reading("machine_1", 0, 30), reading("machine_0", 1, 31),
		reading("machine_0", 2, "null"), reading("machine_0", 3, 29),
		{Twin: "machine_1", Feed: "currentTemp", At: noon, Data: []byte(`{"other":1}`)},
	}
	w.emit(samples...)
	w.drain()
	got := sink.all()
	require.Len(t, got, 6)
	out0 := twins.OutputID("overheating", "machine_0")
	first := slices.IndexFunc(got, func(o rules.Outcome) bool { return o.Twin == out0 }) // the partition of machine_1 may be before it
	require.GreaterOrEqual(t, first, 0)
	assert.Equal(t, `{"status":"extreme","temperature":31.2}`, string(got[first].Data))
	twin, ok := w.Twin(out0)
	require.True(t, ok)
	assert.Equal(t, "machine_0 - Overheating", twin.Label())
	assert.Equal(t, replayed(t, overheating, samples), lines(got))
	w.until("counters", func() bool {
		f := w.Stats().Funnels["overheating"]
		return len(f.Rules) == 2 && f.Rules[0].Unknown == 2 && f.Rules[1].Raised == 1 && f.Rules[1].Resolved == 1
	})
}

// The same samples give the same outcomes, wherever the engine is stopped and
// started again: none missing, none twice, in order.
func TestLiveIsReplayAlsoAcrossRestarts(t *testing.T) {
	dir, rulesDir := engine.DataDir(t), ruleFile(t, overheating)
	random := rand.New(rand.NewPCG(1, 2))
	var samples []rules.Sample
	for i := range 3000 {
		s := reading(fmt.Sprintf("machine_%d", random.IntN(20)), i-random.IntN(3), 25+10*random.Float64())
		switch random.IntN(50) {
		case 0:
			s.Data = []byte(`{"temperature":null}`)
		case 1:
			s.Data = []byte(`not JSON`)
		}
		samples = append(samples, s)
	}
	want := replayed(t, overheating, samples)
	sink := &heard{}
	for rest := samples; len(rest) > 0; {
		w := start(t, dir, func(c *engine.Config) {
			c.RulesPath, c.Twins = rulesDir, machines(20)
			c.Sinks = []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1}}
		})
		n := min(1+random.IntN(1500), len(rest))
		for _, s := range rest[:n/10] {
			w.emit(s)
		}
		w.emit(rest[n/10 : n]...)
		if rest = rest[n:]; len(rest) == 0 {
			w.drain()
		}
		w.stop()
	}
	assert.Equal(t, want, lines(sink.all()))
}

func TestHotSwap(t *testing.T) {
	sink := &heard{}
	dir := ruleFile(t, overheating)
	file := filepath.Join(dir, "rule.json")
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = dir, machines(1)
		c.Sinks = []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1}}
	})
	revision := func() string { return w.Stats().Funnels["overheating"].Revision }
	w.emit(reading("machine_0", 0, 35))
	w.until("the first revision", func() bool { return len(sink.all()) == 2 })
	first := revision()

	write(t, file, strings.ReplaceAll(overheating, ",30]", ",40]"))
	w.until("another revision", func() bool { return revision() != first })
	w.until("the alert of the old rule ends", func() bool { return len(sink.all()) == 3 })
	assert.Equal(t, "ruleChanged", sink.all()[2].Reason)
	second := revision()

	write(t, file, strings.ReplaceAll(overheating, `"sourceId"`, `"sorceId"`))
	w.until("the refusal", func() bool { return strings.Contains(w.log.String(), "rules refused; the last good ones keep running") })
	assert.Contains(t, w.log.String(), `did you mean \"sourceId\"?`)
	w.emit(reading("machine_0", 1, 35))
	w.until("the last good one judges", func() bool { return len(sink.all()) == 4 })
	assert.Equal(t, `{"status":"normal","temperature":35}`, string(sink.all()[3].Data))
	assert.Equal(t, second, revision())

	require.NoError(t, os.Remove(file))
	w.until("it is gone", func() bool { return w.Stats().Twins == 1 && len(w.Stats().Funnels) == 0 })
	w.emit(reading("machine_0", 2, 50))
	w.drain()
	assert.Len(t, sink.all(), 4)
}

// An engine that is started with broken rule files goes on with the last good
// ones, and says so; one that has none says what is wrong.
func TestStartWithBrokenRules(t *testing.T) {
	data, dir := engine.DataDir(t), ruleFile(t, overheating)
	w := start(t, data, func(c *engine.Config) { c.RulesPath, c.Twins = dir, machines(1) })
	w.stop()
	write(t, filepath.Join(dir, "rule.json"), "{")
	w = start(t, data, func(c *engine.Config) { c.RulesPath, c.Twins = dir, machines(1) })
	assert.Contains(t, w.log.String(), "the last good ones keep running")
	w.emit(reading("machine_0", 0, 35))
	w.drain()
	assert.Equal(t, uint64(1), w.Stats().Outputs)

	b, err := bus.Open(t.Context(), bus.Config{Dir: engine.DataDir(t)})
	require.NoError(t, err)
	defer b.Close()
	_, err = engine.New(t.Context(), engine.Config{Bus: b, RulesPath: dir})
	require.ErrorIs(t, err, engine.ErrConfig)
	require.ErrorContains(t, err, "rule.json:1:2")
}

func TestUnknownTwins(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) { c.RulesPath, c.Twins = ruleFile(t, overheating), machines(1) })
	ok, why := w.Known("machin_0", "currentTemp", time.Time{})
	assert.False(t, ok)
	assert.Equal(t, `unknown twin "machin_0"; did you mean "machine_0"?`, why)
	ok, why = w.Known("machine_0", "temp", time.Time{})
	assert.False(t, ok)
	assert.Equal(t, `unknown feed "temp" of twin "machine_0"; it has ["currentTemp"]`, why)
	ok, why = w.Known("machine_0", "currentTemp", time.Now().Add(time.Hour))
	assert.False(t, ok)
	assert.Regexp(t, `^in the future: \S+Z, stored at \S+Z; want at most 5m0s ahead$`, why)
	ok, _ = w.Known("machine_0", "currentTemp", time.Now().Add(time.Minute))
	assert.True(t, ok)
	bad := reading("machine_0", 0, 1)
	bad.Feed = "temp"
	large := reading("machine_0", 0, fmt.Sprintf("%q", strings.Repeat("x", 300<<10)))
	w.emit(reading("nobody", 0, 35), bad, large, rules.Sample{Refused: "line 3: no JSON", Data: []byte("x")}, rules.Sample{Data: []byte("{}")})
	w.until("dead letters", func() bool { return w.Stats().DeadLetters == 5 })
	letters, err := w.bus.DeadLetters(t.Context(), 10)
	require.NoError(t, err)
	var reasons []string
	for _, l := range letters {
		reasons = append(reasons, l.Stage+": "+l.Reason)
	}
	assert.ElementsMatch(t, []string{
		`feed: unknown twin: "nobody"`, `feed: unknown feed: "temp" of twin "machine_0"`,
		"door: too large: 307218 bytes; want at most 262144", "door: line 3: no JSON", "door: no twin or no feed",
	}, reasons)
}

func TestUnknownTwinsAreCreated(t *testing.T) {
	data := engine.DataDir(t)
	sink := &heard{}
	config := func(c *engine.Config) {
		m := machine(model)
		m.Properties = []rules.Property{twins.URI(rules.PropType, rules.TypeModel)}
		c.RulesPath, c.Twins = ruleFile(t, overheating), []twins.Twin{m}
		c.Unknown, c.CreateFrom = engine.Create, model
		c.Sinks = []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1}}
	}
	w := start(t, data, config)
	w.emit(reading("new", 0, 35))
	w.until("the twin and its output twin", func() bool { return w.Stats().Twins == 3 })
	w.drain()
	require.Len(t, sink.all(), 2, "its first sample is judged")
	w.stop()
	w = start(t, data, config)
	assert.Equal(t, 3, w.Stats().Twins)
	w.emit(reading("new", 1, 36))
	w.drain()
	assert.Len(t, sink.all(), 3, "the alert fires on")
	var crowd []rules.Sample
	for i := range 1500 {
		crowd = append(crowd, reading(fmt.Sprintf("crowd_%d", i), 0, 20))
	}
	w.emit(crowd...)
	w.until("every one of a crowd", func() bool { return w.Stats().Twins == 3+2*1500 })

	b, err := bus.Open(t.Context(), bus.Config{Dir: engine.DataDir(t)})
	require.NoError(t, err)
	defer b.Close()
	_, err = engine.New(t.Context(), engine.Config{Bus: b, Unknown: engine.Create, CreateFrom: "did:modell", Twins: []twins.Twin{machine(model)}})
	require.ErrorIs(t, err, engine.ErrConfig)
	require.ErrorContains(t, err, `twins.createFrom: no twin "did:modell"; did you mean "did:model"?`)
}

// An interaction twin starts as soon as it is whole, in whatever order its
// parts arrive; its machines need not share again.
func TestInteractionTwin(t *testing.T) {
	sink := &heard{}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.Twins = machines(3)
		c.Sinks = []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1}}
	})
	w.emit(reading("machine_0", 0, 35), reading("machine_1", 0, 20), reading("machine_0", 1, 36))
	it := twins.Twin{ID: "did:interaction", Visibility: "PRIVATE", Properties: []rules.Property{
		twins.URI(rules.PropType, rules.TypeInteraction), twins.LangString(rules.PropLabel, "Sensor Overheating Alert", "en"),
	}}
	require.NoError(t, w.PutTwin(t.Context(), it))
	text := overheating[strings.Index(overheating, `"sources"`):]
	it.Properties = append(it.Properties, twins.String(rules.PropInteractionConfig, "{"+text))
	require.NoError(t, w.PutTwin(t.Context(), it))
	w.until("output twins", func() bool {
		return len(w.Search(twins.Query{Filter: rules.Filter{Properties: []rules.Property{twins.URI(rules.PropModel, it.ID)}}})) == 3
	})
	w.drain()
	var data []string
	for _, o := range sink.all() {
		data = append(data, string(o.Data))
	}
	assert.ElementsMatch(t, []string{`{"status":"extreme","temperature":36}`, `{"temperature":36}`, `{"status":"normal","temperature":20}`}, data, "the last samples were judged at once")

	it.Feeds = []rules.Feed{{ID: "temperature_status", Values: []rules.Value{{Label: "status", DataType: "string", Comment: "Temperature status"}}}}
	require.NoError(t, w.PutTwin(t.Context(), it))
	w.until("the output feed follows", func() bool {
		twin, _ := w.Twin(twins.OutputID(it.ID, "machine_2"))
		f, _ := twin.Feed("temperature_status")
		return len(f.Values) == 1 && f.Values[0].Comment == "Temperature status"
	})

	bad := it
	bad.Properties = slices.Clone(it.Properties)
	bad.Properties[2] = twins.String(rules.PropInteractionConfig, `{"rules":1}`)
	require.NoError(t, w.PutTwin(t.Context(), bad))
	assert.Contains(t, w.Stats().Refused[it.ID], "/rules: got 1; want an array")
	w.emit(reading("machine_0", 2, 37))
	w.drain()
	assert.Len(t, sink.all(), 4, "the last good one goes on")

	require.NoError(t, w.DeleteTwin(t.Context(), it.ID))
	w.until("output twins go with it", func() bool { return w.Stats().Twins == 3 })
	w.drain()
	last := sink.all()[len(sink.all())-1]
	assert.Equal(t, "ruleDeleted", last.Reason)
	assert.Equal(t, rules.StateResolved, last.State)
}

func TestTwinsComeAndGo(t *testing.T) {
	sink := &heard{}
	rule := strings.Replace(overheating, `"modelDid":"did:model"`, `"modelDid":"did:model","refreshRateS":1,"cleanupRateS":1`, 1)
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = ruleFile(t, rule), machines(2)
		c.Sinks = []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1}}
	})
	w.until("output twins", func() bool { return w.Stats().Twins == 4 })
	w.emit(reading("machine_0", 0, 35), reading("machine_1", 0, 35))
	w.drain()
	stranger := machine("machine_0")
	stranger.Properties = stranger.Properties[1:]
	require.NoError(t, w.PutTwin(t.Context(), stranger))
	require.NoError(t, w.DeleteTwin(t.Context(), "machine_1"))
	w.emit(reading("machine_0", 1, 36))
	w.drain()
	got := sink.all()
	require.Len(t, got, 6, "two outputs, two raised, two ended; then nothing")
	assert.Equal(t, "twinRemoved", got[4].Reason)
	assert.Equal(t, "twinRemoved", got[5].Reason)
	w.until("the output twins are cleaned up", func() bool { return w.Stats().Twins == 1 })
	require.NoError(t, w.PutTwin(t.Context(), machine("machine_0")))
	w.until("the output twin is back", func() bool { return w.Stats().Twins == 2 })
}

// Outputs are samples again: another interaction follows the output twins. Two
// that follow each other would go on for ever; they end after eight hops.
func TestInteractionsChainAndLoopsEnd(t *testing.T) {
	sink := &heard{}
	dir := ruleFile(t, overheating)
	loop := func(id, from string) string {
		return fmt.Sprintf(`{"id":%q,"sources":[{"id":"1","feeds":[{"id":%q}],"filter":{"text":"machine"}}],"rules":[{"transformation":{"conditions":
		 [{"jsonLogic":{"!!":[true]}}],"outputFeedId":"temperature_status","outputFieldId":%q,"outputTrueValue":1,"sourceFeedId":%q,"sourceId":"1"}}]}`, id, from, id, from)
	}
	write(t, filepath.Join(dir, "a.json"), loop("a", "temperature_status"))
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = dir, machines(1)
		c.Sinks = []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1}}
	})
	w.until("an output twin of the output twin", func() bool { return w.Stats().Twins == 3 })
	w.emit(reading("machine_0", 0, 20))
	w.until("its output", func() bool { return len(sink.all()) == 2 })
	chained := sink.all()[1]
	assert.Equal(t, "a", chained.Interaction)
	assert.Equal(t, twins.OutputID("a", twins.OutputID("overheating", "machine_0")), chained.Twin)
	assert.True(t, chained.At.Equal(noon))

	write(t, filepath.Join(dir, "b.json"), loop("b", "temperature_status"))
	const perLevel = 2 // a follows b's output twins, b follows a's
	all := 2 + perLevel*(engine.MaxHops-1)
	w.until("output twins of eight levels", func() bool { return w.Stats().Twins == all })
	w.emit(reading("machine_0", 1, 20))
	deepest := func() (n int) {
		for _, o := range sink.all() {
			n = max(n, int(o.Hops))
		}
		return n
	}
	w.until("eight hops", func() bool { return deepest() == engine.MaxHops })
	w.drain()
	assert.Equal(t, all, w.Stats().Twins)
	assert.Equal(t, engine.MaxHops, deepest())
	letters, err := w.bus.DeadLetters(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	assert.Equal(t, "loop: made by 8 interactions, and one more follows", letters[0].Reason)
}

func TestSinksAreTriedAgainAndThenGivenUp(t *testing.T) {
	tries := 0
	sink := &heard{wrong: func(o rules.Outcome) error {
		if o.Kind == rules.Alert {
			return sinks.Permanent(errors.New("410 Gone"))
		}
		if tries++; tries < 3 {
			return errors.New("503")
		}
		return nil
	}}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = ruleFile(t, overheating), machines(1)
		c.Sinks = []engine.NamedSink{{Name: "pager", Sink: sink, Workers: 1, Retry: []time.Duration{time.Millisecond, time.Millisecond}}}
	})
	w.emit(reading("machine_0", 0, 35))
	w.drain()
	assert.Len(t, sink.all(), 1)
	assert.Equal(t, 3, tries)
	s := w.Stats()
	assert.Equal(t, uint64(1), s.Delivered)
	assert.Equal(t, uint64(1), s.Undelivered)
	letters, err := w.bus.DeadLetters(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	assert.Equal(t, "pager", letters[0].Sink)
	assert.Equal(t, "410 Gone", letters[0].Reason)
	assert.Equal(t, 1, letters[0].Attempts)
	o, err := rules.DecodeOutcome(letters[0].Data)
	require.NoError(t, err)
	assert.Equal(t, "too-hot", o.Rule)
}

// A sink that has everything lets OUT go on, however small it is; the worker,
// which waits for room, must not be the one that has to make it.
func TestFullOutcomesMakeRoom(t *testing.T) {
	dir := engine.DataDir(t)
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Streams: bus.Streams{Out: bus.Stream{MaxBytes: 1 << 20}}})
	require.NoError(t, err)
	defer b.Close()
	sink := &heard{}
	e, err := engine.New(t.Context(), engine.Config{
		Bus: b, RulesPath: ruleFile(t, overheating), Twins: machines(10),
		Sinks: []engine.NamedSink{{Name: "all", Sink: sink}, {Name: "alerts", Kind: rules.Alert, Sink: &heard{}}},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	const rounds = 500 // 2 MB of outcomes
	for i := range rounds {
		var batch []rules.Sample
		for m := range 10 {
			batch = append(batch, reading(fmt.Sprintf("machine_%d", m), i, 20))
		}
		require.NoError(t, e.Emit(ctx, batch...))
	}
	require.Eventually(t, func() bool { return len(sink.all()) == 10*rounds }, 3*patience, 20*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}

// An interaction that is taken away and put back begins a new life: what it
// raises is a new episode, also when the same sample is its cause.
func TestAnAlertOfAnEarlierLifeIsAnother(t *testing.T) {
	sink := &heard{}
	dir := ruleFile(t, overheating)
	file := filepath.Join(dir, "rule.json")
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = dir, machines(1)
		c.Sinks = []engine.NamedSink{{Name: "heard", Kind: rules.Alert, Sink: sink}}
	})
	w.emit(reading("machine_0", 0, 35))
	w.until("raised", func() bool { return len(sink.all()) == 1 })
	require.NoError(t, os.Remove(file))
	w.until("cleared", func() bool { return len(sink.all()) == 2 })
	write(t, file, overheating)
	w.until("raised again", func() bool { return len(sink.all()) == 3 })
	first, again := sink.all()[0], sink.all()[2]
	assert.NotEqual(t, first.ID, again.ID)
	assert.NotEqual(t, first.EventID(), again.EventID())
	assert.Equal(t, first.Starts, again.Starts)
}

// A source twin that goes while an output twin waits for its clean-up is still
// gone after a restart.
func TestOutputTwinsAreCleanedUpAfterARestart(t *testing.T) {
	data := engine.DataDir(t)
	config := func(cleanup int) func(*engine.Config) {
		rule := strings.Replace(overheating, `"modelDid":"did:model"`, fmt.Sprintf(`"modelDid":"did:model","refreshRateS":1,"cleanupRateS":%d`, cleanup), 1)
		return func(c *engine.Config) { c.RulesPath = ruleFile(t, rule) }
	}
	w := start(t, data, config(3600))
	require.NoError(t, w.PutTwin(t.Context(), machine("machine_0")))
	w.until("output twin", func() bool { return w.Stats().Twins == 2 })
	require.NoError(t, w.DeleteTwin(t.Context(), "machine_0"))
	w.stop()
	assert.Equal(t, 1, w.Stats().Twins)
	w = start(t, data, config(1))
	w.until("clean-up", func() bool { return w.Stats().Twins == 0 })
}

func TestRuleFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.json", "b/interaction.json", "b/tests.json", ".hidden/interaction.json", "c/d/interaction.json", "notes.txt"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(overheating), 0o600))
	}
	files, err := engine.RuleFiles(dir)
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(dir, "a.json"), filepath.Join(dir, "b/interaction.json"), filepath.Join(dir, "c/d/interaction.json")}, files)
	files, err = engine.RuleFiles(filepath.Join(dir, "b"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(dir, "b/interaction.json")}, files)
	_, err = engine.LoadRules(dir)
	require.ErrorContains(t, err, `b/interaction.json: id "overheating" is that of `+filepath.Join(dir, "a.json")+` too; want an id of its own`)
}

// Output twins have the visibility and the allow lists of their interaction also
// after it has changed these alone.
func TestOutputTwinsFollowTheInteractionTwin(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) { c.Twins = machines(1) })
	it := twins.Twin{ID: "did:interaction", Visibility: "PRIVATE", Properties: []rules.Property{
		twins.URI(rules.PropType, rules.TypeInteraction), twins.String(rules.PropInteractionConfig, "{"+overheating[strings.Index(overheating, `"sources"`):]),
	}}
	require.NoError(t, w.PutTwin(t.Context(), it))
	made := func() *twins.Twin { twin, _ := w.Twin(twins.OutputID(it.ID, "machine_0")); return twin }
	w.until("output twin", func() bool { return made() != nil })
	it.Visibility = "PUBLIC"
	it.Properties = append(slices.Clone(it.Properties), twins.URI(rules.PropHostAllowList, "http://data.iotics.com/public#allHosts"))
	require.NoError(t, w.PutTwin(t.Context(), it))
	w.until("it follows", func() bool {
		return made().Visibility == "PUBLIC" && made().Has(rules.PropHostAllowList, rules.Literal{Kind: rules.URI, Value: "http://data.iotics.com/public#allHosts"})
	})
}

// Whoever asks for a change may go at any time: what is stored, the stream knows.
func TestAChangeOutlivesItsRequest(t *testing.T) {
	sink := &heard{}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath = ruleFile(t, overheating)
		c.Sinks = []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1}}
	})
	stored := 0
	for i := range 60 {
		id := fmt.Sprintf("machine_%d", i)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Duration(i) * 20 * time.Microsecond) // at every step of the change
			cancel()
		}()
		err := w.EditTwin(ctx, id, func(twins.Twin, bool) (twins.Twin, error) { return machine(id), nil })
		cancel()
		if _, ok := w.Twin(id); ok {
			stored++
			require.NoError(t, err, "what is stored is done")
			w.emit(reading(id, 0, 35))
		}
	}
	w.drain()
	assert.Len(t, sink.all(), 2*stored)
	assert.Zero(t, w.Stats().DeadLetters)
}

// A disabled interaction keeps its output twins, however long it is disabled.
func TestDisabledKeepsOutputTwins(t *testing.T) {
	cleaned := strings.Replace(overheating, `"modelDid":"did:model"`, `"modelDid":"did:model","refreshRateS":1,"cleanupRateS":1`, 1)
	dir := ruleFile(t, cleaned)
	write(t, filepath.Join(dir, "other.json"), strings.Replace(cleaned, `"id":"overheating"`, `"id":"other"`, 1))
	w := start(t, engine.DataDir(t), func(c *engine.Config) { c.RulesPath, c.Twins = dir, machines(1) })
	has := func(interaction string) bool { _, ok := w.Twin(twins.OutputID(interaction, "machine_0")); return ok }
	w.until("output twins", func() bool { return has("overheating") && has("other") })
	write(t, filepath.Join(dir, "rule.json"), strings.Replace(cleaned, `"sources"`, `"enabled":false,"sources"`, 1))
	require.NoError(t, w.Reload(t.Context()))
	require.NoError(t, w.DeleteTwin(t.Context(), "machine_0"))
	w.until("the other's is cleaned up", func() bool { return !has("other") })
	assert.True(t, has("overheating"))
}
