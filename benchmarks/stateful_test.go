package benchmarks

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// statefulField is a field of a rule that remembers, beside the condition
// temperature > 50 unless it brings its own.
type statefulField struct {
	name, fields, condition string

	fill   int           // how many samples fill its memory
	silent time.Duration // and how long the silence after them
}

const (
	isHot   = `{">":[{"var":"temperature"},50]}`
	isCool  = `{"<":[{"var":"temperature"},45]}`
	meanHot = `{">":[{"var":"$agg.mean"},33]}`
	noLogic = "none"
	average = `"aggregate":{"mean":{"op":"avg","field":"temperature"}}`
	circle  = `"geofence":{"circle":{"lat":50,"lon":14,"radiusKm":10},"lat":"lat","lon":"lon"`
)

// statefulFields begins with the alert that remembers nothing but whether it fires.
var statefulFields = []statefulField{
	{name: "stateless"},
	{name: "for", fields: `"for":"15m"`},
	{name: "for+clearCondition", fields: `"for":"15m","clearCondition":{"jsonLogic":` + isCool + `}`},
	{name: "for+maxGap", fields: `"for":"15m","maxGap":"1m"`},
	{name: "clearCondition", fields: `"clearCondition":{"jsonLogic":` + isCool + `}`},
	{name: "clearFor", fields: `"clearFor":"10s"`},
	{name: "keepFiringFor", fields: `"keepFiringFor":"10s"`},
	{name: "allowedLateness", fields: `"allowedLateness":"2m"`},
	{name: "repeat", fields: `"repeat":{"count":3}`},
	{name: "repeat-within", fields: `"repeat":{"count":3,"within":"1m","consecutive":false}`},
	{name: "absent", fields: `"absent":{"for":"10m"}`, condition: noLogic, silent: 11 * time.Minute},
	{name: "unchanged", fields: `"unchanged":{"field":"u","for":"10m"}`, condition: noLogic},
	{name: "onChange", fields: `"onChange":{"fields":["u"]}`},
	{name: "onMissing", fields: `"onMissing":"lastKnown"`},
	{name: "rate", fields: `"rate":{"field":"temperature","per":"1m"}`, condition: `{">":[{"var":"$rate.temperature"},1500]}`},
	{name: "rate-window", fields: `"rate":{"field":"temperature","window":"1m","mode":"delta"}`, condition: `{">":[{"var":"$rate.temperature"},20]}`, fill: 60},
	{name: "window-tumbling", fields: `"window":{"type":"tumbling","size":"1m"},` + average, condition: meanHot, fill: 60},
	{name: "window-hopping", fields: `"window":{"type":"hopping","size":"1m","slide":"10s"},` + average, condition: meanHot, fill: 60},
	{name: "window-sliding", fields: `"window":{"type":"sliding","size":"1m"},` + average, condition: meanHot, fill: 60},
	{name: "window-session", fields: `"window":{"type":"session","timeout":"1m","maxDuration":"5m"},` + average, condition: meanHot, fill: 60},
	{name: "window-count", fields: `"window":{"type":"count","count":60},` + average, condition: meanHot, fill: 59},
	{name: "geofence", fields: circle + `}`, condition: noLogic},
	{name: "geofence-dwell", fields: circle + `,"dwell":"10s"}`, condition: noLogic},
	{name: "sequence", fields: `"sequence":[{"jsonLogic":` + isHot + `,"count":2},{"jsonLogic":` + isCool + `}],"within":"1m"`, condition: noLogic},
	{name: "join", fields: `"join":{"as":"air","sourceId":"1","sourceFeedId":"air"}`, condition: `{">":[{"-":[{"var":"temperature"},{"var":"air.t"}]},30]}`},
	{name: "groupBy", fields: `"groupBy":{"maxAge":"5m"},"quorum":{"count":1}`},
	{name: "enrich", fields: `"enrich":{"from":"model","default":{"max":50}}`, condition: `{">":[{"var":"temperature"},{"var":"model.max"}]}`},
	{name: "schedule", fields: `"schedule":{"timezone":"Europe/Prague","active":[{"from":"06:00","to":"22:00"}],"scope":"evaluate"}`},
	{name: "throttle", fields: `"throttle":{"max":2,"per":"1h"}`},
	{name: "repeatInterval", fields: `"repeatInterval":"1h"`},
	{name: "levels", fields: `"levels":[{"severity":"minor","jsonLogic":` + isHot + `},{"severity":"critical","jsonLogic":{">":[{"var":"temperature"},58]}}]`, condition: noLogic},
	{name: "levels-after", fields: `"levels":[{"severity":"minor"},{"severity":"critical","after":"1m"}]`},
	{name: "flapping", fields: `"flapping":{"window":21,"low":0.25,"high":0.5}`, fill: 21},
	{name: "latched", fields: `"latched":true`},
}

func (f *statefulField) document() string {
	text := f.fields
	if f.condition != noLogic {
		condition := f.condition
		if condition == "" {
			condition = isHot
		}
		text = strings.TrimPrefix(text+`,"conditions":[{"jsonLogic":`+condition+`}]`, ",")
	}
	return `{"id":"stateful","sources":[{"id":"1","feeds":[{"id":"currentTemp"},{"id":"air"}],"modelDid":"` + modelID + `"}],"rules":[` +
		`{"alert":{"id":"too-hot","severity":"major","sourceId":"1","sourceFeedId":"currentTemp",` + text + `}}]}`
}

// state is a sample of which every field above finds what it asks for.
func state(temperature float64, i int) []byte {
	lat := 51.0 // far away
	if temperature > 50 {
		lat = 50.01
	}
	return fmt.Appendf(nil, `{"temperature":%.1f,"u":%d,"lat":%g,"lon":14.01}`, temperature, i/10%7, lat)
}

// oneOfTwenty are samples of which about 5 % are hot.
func oneOfTwenty() [][]byte {
	r, all := seeded(7), make([][]byte, 1_000)
	for i := range all {
		temperature := 20 + 20*r.Float64()
		if r.IntN(20) == 0 {
			temperature = 51 + 10*r.Float64()
		}
		all[i] = state(temperature, i)
	}
	return all
}

// judging is a twin, or a group, and the rule that judges it.
type judging struct {
	program *rules.Program
	reader  *rules.Reader
	state   *rules.State
	group   bool
	at      time.Time
	sample  rules.Sample
	out     []rules.Outcome
}

func newJudging(b *testing.B, f *statefulField) *judging {
	b.Helper()
	p := load(b, f.document())
	j := &judging{program: p, reader: rules.NewReader("currentTemp", p), state: p.NewState(1, nil), at: noon}
	links := p.Links()
	if j.group = len(links) > 0 && links[0].Group; j.group {
		j.state = p.NewGroupState(nil)
	}
	j.neighbour()
	return j
}

// neighbour is a sample of the feed that joins look at.
func (j *judging) neighbour() {
	j.sample = rules.Sample{Twin: "machine_17", Feed: "air", At: j.at, Data: []byte(`{"t":20}`)}
	j.out = j.program.Eval(&j.sample, j.state, j.out[:0])
}

func (j *judging) judge(b *testing.B, data []byte) {
	j.at = j.at.Add(time.Second)
	j.sample = rules.Sample{Twin: "machine_17", Feed: "currentTemp", At: j.at, Data: data}
	if err := j.reader.Read(&j.sample); err != nil {
		b.Fatal(err)
	}
	if j.group {
		j.out = j.program.Relay(j.program.Links()[0].ID, &j.sample, "hall", j.state, j.out[:0])
		return
	}
	j.out = j.program.Eval(&j.sample, j.state, j.out[:0])
}

// spent is what rounds of samples cost.
type spent struct {
	samples int
	time    time.Duration
	mallocs uint64
}

func (s *spent) round(b *testing.B, j *judging, samples [][]byte) {
	const times = 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := processorTime(b)
	for range times {
		for _, data := range samples {
			j.judge(b, data)
		}
	}
	s.time += processorTime(b) - began
	runtime.ReadMemStats(&after)
	s.mallocs += after.Mallocs - before.Mallocs
	s.samples += times * len(samples)
}

func (s *spent) each() float64 { return float64(s.time.Nanoseconds()) / float64(s.samples) }

// BenchmarkStatefulFields judges samples of one twin, a second from one to the
// next, of which 5 % are hot, by an alert with one of the fields that remember.
// The stateless alert takes turns with it over the same samples: of_stateless is
// how many times its processor time the field's alert needs.
func BenchmarkStatefulFields(b *testing.B) {
	samples := oneOfTwenty()
	for i := range statefulFields {
		f := &statefulFields[i]
		b.Run(f.name, func(b *testing.B) {
			plain, with := newJudging(b, &statefulFields[0]), newJudging(b, f)
			var first, warm, stateless, stateful spent
			first.round(b, plain, samples)
			warm.round(b, with, samples)
			for b.Loop() {
				stateless.round(b, plain, samples)
				stateful.round(b, with, samples)
			}
			b.ReportMetric(0, "ns/op") // of both
			b.ReportMetric(stateful.each(), "cpu-ns/op")
			b.ReportMetric(stateful.each()/stateless.each(), "of_stateless")
			b.ReportMetric(float64(stateful.mallocs)/float64(stateful.samples), "allocs/sample")
		})
	}
}

// heap is what lives on it.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held on to
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkStatefulMemory is what 100,000 twins remember, in bytes for each:
// idle after one cool sample; and busy, with the memory that the field fills.
func BenchmarkStatefulMemory(b *testing.B) {
	for i := range statefulFields {
		f := &statefulFields[i]
		b.Run(f.name, func(b *testing.B) {
			var idle, busy float64
			for b.Loop() {
				idle = f.bytes(b, 0)
				busy = f.bytes(b, max(f.fill, 1))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(idle, "idle-B/twin")
			b.ReportMetric(busy, "busy-B/twin")
		})
	}
}

// bytes is what a state weighs after a cool sample and so many hot ones.
func (f *statefulField) bytes(b *testing.B, hot int) float64 {
	twins := 100_000
	if testing.Short() {
		twins /= 100
	}
	j := newJudging(b, f)
	shared, states := j.program.NewCounters(), make([]*rules.State, twins)
	renew := func() {
		j.at, j.state = noon, j.program.NewState(1, shared)
		if j.group {
			j.state = j.program.NewGroupState(shared)
		}
	}
	fill := func() {
		renew()
		if strings.HasPrefix(f.name, "join") {
			j.neighbour()
		}
		j.judge(b, state(21, 0))
		for k := range hot {
			j.judge(b, state(51+float64(k%9), k))
		}
		if hot > 0 && f.silent > 0 {
			j.out = j.program.Tick(j.at.Add(f.silent), "machine_17", j.state, 0, j.out[:0])
		}
	}
	fill() // makes what all twins share
	before := heap()
	for i := range states {
		fill()
		states[i] = j.state
	}
	grown := heap() - before
	runtime.KeepAlive(states)
	return float64(grown) / float64(twins)
}

const million = 1_000_000

// pendingField waits for so long that no timer rings by itself.
func pendingField(hold string) *statefulField {
	return &statefulField{fields: `"for":"` + hold + `","clearCondition":{"jsonLogic":` + isCool + `}`}
}

// BenchmarkMillionPending is the heap of a million twins whose alert waits: of
// the rules' states alone, which have to fit into a gigabyte, and of a whole
// partition, with the twins, their feeds and the timers.
func BenchmarkMillionPending(b *testing.B) {
	n := million
	if testing.Short() {
		n /= 100
	}
	b.Run("states", func(b *testing.B) {
		var grown uint64
		for b.Loop() {
			j := newJudging(b, pendingField("15m"))
			shared, states, hot := j.program.NewCounters(), make([]*rules.State, n), state(51, 0)
			before := heap()
			for i := range states {
				j.at, j.state = noon, j.program.NewState(1, shared)
				j.judge(b, hot)
				require.NotEqual(b, int64(rules.NoWake), j.state.Wake())
				states[i] = j.state
			}
			grown = heap() - before
			runtime.KeepAlive(states)
		}
		weigh(b, grown, n)
		require.Less(b, int64(grown), int64(1<<30), "less than nothing, when something else has gone meanwhile")
	})
	b.Run("partition", func(b *testing.B) {
		var grown uint64
		for b.Loop() {
			before := heap()
			replay := newReplay(b, pendingField("15m"))
			replay.pend(b, n, func(int) time.Duration { return 0 })
			grown = heap() - before
			require.Equal(b, n, replay.Twins())
		}
		weigh(b, grown, n)
	})
}

func weigh(b *testing.B, grown uint64, twins int) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(grown)/(1<<20), "MB")
	b.ReportMetric(float64(grown)/float64(twins), "B/twin")
}

// partition is a partition of the engine without a bus.
type partition struct {
	*engine.Replay
	out []rules.Outcome
}

func newReplay(b *testing.B, f *statefulField) *partition {
	b.Helper()
	p := load(b, f.document())
	return &partition{Replay: engine.NewReplay(map[string]*rules.Program{p.ID(): p}, nil)}
}

// share judges a sample of a twin after a time, and what fell due before it.
func (p *partition) share(b *testing.B, twin string, after time.Duration, data []byte) {
	s := rules.Sample{Twin: twin, Feed: "currentTemp", At: noon.Add(after), Data: data}
	var err error
	if p.out, err = p.Judge(&s, p.out[:0]); err != nil {
		b.Fatal(err)
	}
}

// pend lets n twins share a hot sample each.
func (p *partition) pend(b *testing.B, n int, after func(i int) time.Duration) {
	hot := state(51, 0)
	for i := range n {
		p.share(b, fmt.Sprintf("machine_%07d", i), after(i), hot)
		require.Empty(b, p.out)
	}
}

// BenchmarkTick is the cost of a tick while a million timers run, of which none,
// one or 2,000 fall due, in the median; the sample of a quiet twin that makes the
// tick is part of it.
func BenchmarkTick(b *testing.B) {
	const single, many = 2_000, 2_000 // seconds in which one falls due; how many then do in each
	n := million
	if testing.Short() {
		n /= 100
	}
	var none, one, crowd []time.Duration
	for b.Loop() {
		none, one, crowd = nil, nil, nil
		replay, cool := newReplay(b, pendingField("2h")), state(21, 0)
		replay.pend(b, n, func(i int) time.Duration {
			return time.Duration(min(i, single)+max(0, i-single)/many) * time.Second
		})
		end := single + (n-single)/many
		tick := func(second, due int) time.Duration {
			began := time.Now()
			replay.share(b, "quiet", time.Duration(second)*time.Second+time.Millisecond, cool)
			took := time.Since(began)
			require.Len(b, replay.out, due)
			return took
		}
		for second := end; second < 7_200; second++ {
			none = append(none, tick(second, 0))
		}
		for second := range single {
			one = append(one, tick(7_200+second, 1))
		}
		for second := single; second < end; second++ {
			crowd = append(crowd, tick(7_200+second, many))
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(microseconds(none), "none-µs")
	b.ReportMetric(microseconds(one), "one-µs")
	b.ReportMetric(microseconds(crowd), "2000-µs")
}

func microseconds(took []time.Duration) float64 {
	slices.Sort(took)
	return float64(took[len(took)/2].Nanoseconds()) / 1000
}
