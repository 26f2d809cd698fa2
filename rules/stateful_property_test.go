package rules_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// anyRule is a random rule that remembers: its members as JSON by name.
type anyRule struct {
	kind    string
	members map[string]string
}

func (a anyRule) has(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return a.members[name] != "" })
}

// alerts says whether it is an alert, or one that is not told.
func (a anyRule) alerts() bool { return a.kind != "transformation" }

func (a anyRule) text() string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(a.members)) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", name, a.members[name])
	}
	return fmt.Sprintf(`{%q:{%s}}`, a.kind, &b)
}

func span(r *rand.Rand) string {
	return pick(r, `"500ms"`, `"1s"`, `"2s"`, `"3500ms"`, `"5s"`, `"8s"`, `"20s"`)
}

func comparison(r *rand.Rand) string {
	return fmt.Sprintf(`{"%s":[{"var":"%s"},%d]}`, pick(r, ">", "<", "==", ">="), pick(r, "a", "a", "b", "c.d"), r.IntN(5))
}

func conditions(logic ...string) string {
	return `[{"jsonLogic":` + strings.Join(logic, `,"fieldsIncludedInOutput":["b"]},{"jsonLogic":`) + `}]`
}

// cores are what a rule may ask; each gives a rule that is valid by itself.
var cores = []func(r *rand.Rand, a anyRule){
	func(r *rand.Rand, a anyRule) {
		a.members["conditions"] = conditions(comparison(r))
		if r.IntN(3) == 0 {
			a.members["conditions"] = conditions(comparison(r), comparison(r))
		}
	},
	func(r *rand.Rand, a anyRule) {
		if !a.alerts() {
			a.members["conditions"] = conditions(comparison(r))
			return
		}
		a.members["absent"] = fmt.Sprintf(`{"for":%s%s%s}`, span(r), pick(r, "", `,"expectFirst":true`), pick(r, "", `,"startupGrace":"0s"`))
	},
	func(r *rand.Rand, a anyRule) {
		a.members["unchanged"] = fmt.Sprintf(`{"field":"%s","for":%s%s}`, pick(r, "a", "b"), span(r), pick(r, "", `,"tolerance":1`))
		if r.IntN(2) == 0 {
			a.members["conditions"] = conditions(comparison(r))
		}
	},
	func(r *rand.Rand, a anyRule) {
		a.members["rate"] = fmt.Sprintf(`[{"field":"a","as":"x"%s},{"field":"b"%s}]`,
			pick(r, "", `,"per":"1m"`, `,"mode":"delta"`, `,"mode":"percent"`), pick(r, "", `,"window":"5s"`, `,"nonNegative":true`))
		a.members["conditions"] = conditions(fmt.Sprintf(`{">":[{"var":"$rate.%s"},%d]}`, pick(r, "x", "b"), r.IntN(3)-1), comparison(r))
	},
	func(r *rand.Rand, a anyRule) {
		a.members["window"] = pick(r, `{"type":"tumbling","size":"5s"}`, `{"type":"tumbling","size":"3s","align":"first","minSamples":2}`, `{"type":"hopping","size":"6s","slide":"2s"}`,
			`{"type":"sliding","size":"5s"}`, `{"type":"session","timeout":"4s"}`, `{"type":"session","timeout":"4s","maxDuration":"10s"}`, `{"type":"count","count":3}`)
		a.members["aggregate"] = fmt.Sprintf(`{"m":{"op":"%s","field":"a"},"n":{"op":"count"},"p":{"op":"percentile","field":"b","p":90}}`,
			pick(r, "avg", "sum", "min", "max", "stddev", "first", "last", "median", "range"))
		a.members["conditions"] = conditions(fmt.Sprintf(`{">":[{"var":"$agg.%s"},%d]}`, pick(r, "m", "n", "p"), r.IntN(4)))
	},
	func(r *rand.Rand, a anyRule) {
		a.members["geofence"] = fmt.Sprintf(`{"circle":{"lat":50,"lon":14,"radiusKm":1},"on":"%s"%s%s%s%s}`, pick(r, "inside", "outside", "enter", "exit"),
			pick(r, "", `,"dwell":"3s"`), pick(r, "", `,"exitBuffer":0.5`), pick(r, "", `,"emitInitial":true`), pick(r, "", `,"accuracy":"b"`))
		if r.IntN(3) == 0 {
			a.members["conditions"] = conditions(comparison(r))
		}
	},
	func(r *rand.Rand, a anyRule) {
		second := pick(r, `{"id":"y","jsonLogic":{">":[{"var":"a"},{"var":"steps.x.a"}]}}`, `{"id":"y","jsonLogic":{">":[{"var":"b"},2]},"count":2}`,
			`{"not":{">":[{"var":"b"},3]},"for":"3s"}`, `{"not":{">":[{"var":"b"},4]}},{"jsonLogic":{"<":[{"var":"a"},2]}}`)
		a.members["sequence"] = `[{"id":"x","jsonLogic":` + comparison(r) + `},` + second + `]`
		a.members["within"] = pick(r, `"5s"`, `"20s"`)
		if r.IntN(2) == 0 {
			a.members["contiguity"] = `"strict"`
		}
	},
	func(r *rand.Rand, a anyRule) {
		a.members["enrich"] = `{"from":"` + pick(r, "twin", "model") + `","as":"t","default":{"max":3}}`
		a.members["conditions"] = conditions(`{">":[{"var":"` + pick(r, "a", "b") + `"},{"var":"t.` + pick(r, "max", "least") + `"}]}`)
	},
}

// extra is a field that may stand beside a core, and those that it may not
// stand beside.
type extra struct {
	name   string
	alerts bool // it is of alerts only
	told   bool // and of those that are told
	not    []string
	needs  []string // one of them
	value  func(r *rand.Rand) string
}

func oneOf(values ...string) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return pick(r, values...) }
}

const (
	someLevels  = `[{"severity":"warning","jsonLogic":{">":[{"var":"a"},1]}},{"severity":"critical","jsonLogic":{">":[{"var":"a"},3]},"clearCondition":{"jsonLogic":{"<":[{"var":"a"},2]}}}]`
	timeLevels  = `[{"severity":"info"},{"severity":"minor","after":"2s"},{"severity":"critical","after":"9s"}]`
	mixedLevels = `[{"severity":"minor"},{"severity":"critical","jsonLogic":{">":[{"var":"a"},2]},"after":"4s"}]`
)

var extras = []extra{
	{name: "for", not: []string{"absent", "sequence"}, value: span},
	{name: "maxGap", needs: []string{"for"}, value: span},
	{name: "clearFor", not: []string{"absent"}, value: span},
	{name: "keepFiringFor", not: []string{"absent"}, value: span},
	{name: "clearCondition", not: []string{"absent"}, value: func(r *rand.Rand) string { return `{"jsonLogic":` + comparison(r) + `}` }},
	{name: "repeat", not: []string{"absent", "sequence", "window"}, needs: []string{"conditions"}, value: oneOf(`{"count":2}`, `{"count":3,"within":"10s"}`, `{"count":2,"within":"5s","consecutive":false}`)},
	{name: "onChange", not: []string{"absent", "window"}, value: oneOf(`{"fields":["a"]}`, `{"fields":["a","c"],"deadband":1}`, `{"fields":["b"],"includeFirst":false}`)},
	{name: "onMissing", not: []string{"absent", "sequence"}, value: oneOf(`"skip"`, `"false"`, `"lastKnown"`, `{"mode":"lastKnown","maxAge":"5s"}`, `"evaluate"`, `"error"`)},
	{name: "allowedLateness", not: []string{"sequence"}, value: oneOf(`"1s"`, `"3s"`)},
	{name: "schedule", value: func(r *rand.Rand) string {
		m := r.IntN(4)
		return fmt.Sprintf(`{"%s":[{"from":"10:0%d","to":"10:0%d"}],"scope":"%s"}`, pick(r, "active", "mute"), m, m+1+r.IntN(3), pick(r, "notify", "evaluate"))
	}},
	{name: "throttle", value: oneOf(`{"max":1,"per":"10s"}`, `{"max":3,"per":"1m"}`)},
	{name: "levels", alerts: true, not: []string{"sequence"}, value: oneOf(someLevels, timeLevels, mixedLevels)},
	{name: "lowering", alerts: true, needs: []string{"levels"}, value: oneOf("false")},
	{name: "repeatInterval", alerts: true, value: oneOf(`"41s"`, `"1m"`)},
	{name: "flapping", alerts: true, not: []string{"absent"}, value: oneOf(`{"window":4,"low":0.2,"high":0.5}`, `{}`)},
	{name: "latched", told: true, value: oneOf("true")},
	{name: "ackRequired", told: true, value: oneOf("true")},
	{name: "stickers", told: true, value: oneOf(
		`[{"color":"red","recipients":["u"],"note":"{{summary}}","validity":"1h"},{"op":"remove","color":"red"}]`,
		`[{"on":["raised","updated"],"color":"{{severity}}","twin":"{{twin}}-{{a}}","recipients":["u"],"removeOnClear":true},{"on":"acknowledged","op":"remove","color":"of-{{c.d}}"}]`,
	)},
	{name: "notifications", told: true, value: oneOf(`[{"topic":"t"},{"topic":"of.{{b}}","on":["raised","cleared","unsuppressed"],"body":["{{a}}",{"x":"{{event}}"}]}]`, `[{"on":["updated","cleared","repeated","shelved"],"topic":"t"}]`)},
	{name: "emit", not: []string{"alert"}, value: oneOf(`"every"`, `"onChange"`, `"edge"`)},
}

func anyStateful(r *rand.Rand, i int) anyRule {
	a := anyRule{pick(r, "alert", "alert", "transformation", "sticker", "notification"), map[string]string{
		"id": fmt.Sprintf(`"r%d"`, i), "sourceId": pick(r, `"1"`, `"1"`, `"2"`), "sourceFeedId": pick(r, `"f"`, `"f"`, `"g"`),
	}}
	if i < 2 { // so that each feed has a rule: others' samples let nothing fall due
		a.members["sourceFeedId"] = []string{`"f"`, `"g"`}[i]
	}
	switch a.kind {
	case "alert":
		a.members["severity"], a.members["summary"] = pick(r, `"major"`, `"critical"`), `"{{a}} of {{twin}}"`
	case "sticker":
		maps.Copy(a.members, map[string]string{
			"color": pick(r, `"red"`, `"of-{{a}}-{{severity}}"`), "note": `"{{summary}} {{twin}}"`, "recipients": `["u"]`, "on": pick(r, `"raised"`, `["raised","updated"]`),
			"removeOnClear": pick(r, "true", "false"),
		})
	case "notification":
		maps.Copy(a.members, map[string]string{"topic": pick(r, `"t"`, `"{{rule}}.{{b}}"`), "on": pick(r, `"raised"`, `["raised","cleared","updated","repeated"]`)})
	default:
		maps.Copy(a.members, map[string]string{"outputFeedId": `"o"`, "outputFieldId": fmt.Sprintf(`"v%d"`, i), "outputTrueValue": "1", "outputFalseValue": pick(r, "0", "null")})
	}
	cores[r.IntN(len(cores))](r, a)
	for _, e := range extras {
		isOfOtherKind := e.alerts && !a.alerts() || e.told && a.kind != "alert" || e.name == "emit" && a.alerts()
		if isOfOtherKind || r.IntN(4) > 0 || a.has(e.not...) || len(e.needs) > 0 && !a.has(e.needs...) {
			continue
		}
		a.members[e.name] = e.value(r)
	}
	if a.alerts() && i > 0 && r.IntN(4) == 0 {
		a.members["inhibitedBy"] = `["r0"]`
	}
	return a
}

// anyCase is some rules, and what happens to a twin.
type anyCase struct {
	seed    uint64
	rules   []anyRule
	text    string
	program *rules.Program
	samples []rules.Sample
	actions map[int]string // by sample: what a person does after it to the alert that told last
}

var facts = &rules.Facts{
	Twin:  []rules.Property{{Key: "urn:x#max", Value: rules.Literal{Kind: rules.StringLiteral, Value: "2"}}},
	Model: []rules.Property{{Key: "urn:x#least", Value: rules.Literal{Kind: rules.StringLiteral, Value: "1"}}},
}

func newCase(t testing.TB, seed uint64, acts bool) *anyCase {
	r := rand.New(rand.NewPCG(seed, 11))
	c := &anyCase{seed: seed, actions: map[int]string{}}
	for i := range 2 + r.IntN(3) {
		rule := anyStateful(r, i)
		if i == 0 && rule.kind != "alert" {
			rule = anyRule{"alert", map[string]string{"id": `"r0"`, "severity": `"major"`, "sourceId": `"1"`, "sourceFeedId": `"f"`, "for": `"1s"`, "conditions": conditions(comparison(r))}}
		}
		c.rules = append(c.rules, rule)
	}
	c.text = documentOf(c.rules)
	p, err := rules.Load("case", []byte(c.text))
	require.NoError(t, err, "seed %d: %s", seed, c.text)
	c.program, c.samples = p, anySamples(r, 50)
	for i := range c.samples {
		if acts && r.IntN(12) == 0 {
			c.actions[i] = pick(r, rules.Acknowledge, rules.Unacknowledge, rules.Clear, rules.Shelve, rules.Unshelve, rules.Reset, rules.Comment)
		}
	}
	return c
}

func documentOf(all []anyRule) string {
	texts := make([]string, len(all))
	for i := range all {
		texts[i] = all[i].text()
	}
	return documentWith(texts...)
}

func documentWith(texts ...string) string {
	return `{"id":"any","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"},{"id":"g"}]},{"id":"2","modelDid":"n","feeds":[{"id":"f"},{"id":"g"}]}],"rules":[` +
		strings.Join(texts, ",\n") + `]}`
}

// anySamples are samples with gaps, repetitions, missing and foreign values,
// late ones, equal times and a clock that jumps back, gaps and jumps
// less than a minute: what fell due longer before a tick is left to the next
// sample of its feed.
func anySamples(r *rand.Rand, n int) []rules.Sample {
	samples := make([]rules.Sample, n)
	now, newest := start, start
	for i := range samples {
		switch r.IntN(30) {
		case 0:
			now = now.Add(-time.Duration(r.IntN(40)) * time.Second)
		case 1, 2:
			now = now.Add(time.Duration(r.IntN(55)) * time.Second)
		case 3, 4: // the same time again
		case 5:
			now = now.Add(-time.Duration(r.IntN(3000)) * time.Millisecond)
		default:
			now = now.Add(time.Duration(1+r.IntN(8)) * 500 * time.Millisecond)
		}
		if now.After(newest) {
			newest = now
		} else if behind := newest.Add(-40 * time.Second); now.Before(behind) {
			now = behind
		}
		fields := map[string]any{}
		for _, name := range []string{"a", "b"} {
			switch k := r.IntN(20); {
			case k == 0:
				fields[name] = nil
			case k == 1:
				fields[name] = "x"
			case k < 18:
				fields[name] = r.IntN(6)
			}
		}
		if r.IntN(3) > 0 {
			fields["c"] = map[string]any{"d": r.IntN(6)}
		}
		if r.IntN(8) > 0 {
			fields["lat"], fields["lon"] = []float64{50, 50.001, 50.012, 51, 91}[r.IntN(5)], 14
		}
		data, _ := json.Marshal(fields)
		if i > 0 && r.IntN(6) == 0 {
			data = samples[i-1].Data
		}
		samples[i] = rules.Sample{Twin: "m1", Feed: pick(r, "f", "f", "g"), At: now, Data: data, Seq: uint64(i + 1)}
	}
	return samples
}

// after is how long the clock goes on after the last sample.
const after = 100 * time.Second

// clock is which ticks come between two times.
type clock func(st *rules.State, from, to time.Time, tick func(time.Time))

// each ticks at the multiples of a time.
func each(d time.Duration) clock {
	return func(_ *rules.State, from, to time.Time, tick func(time.Time)) {
		for at := from.Truncate(d).Add(d); !at.After(to); at = at.Add(d) {
			tick(at)
		}
	}
}

// asked ticks where the state asks for it, as a replay does.
func asked(st *rules.State, _, to time.Time, tick func(time.Time)) {
	for st.Wake() < to.UnixNano() {
		at := time.Unix(0, st.Wake()).UTC().Add(time.Second)
		if at.After(to) {
			at = to
		}
		tick(at)
	}
}

func atNoTime(*rules.State, time.Time, time.Time, func(time.Time)) {}

// run is a case that was played.
type run struct {
	p        *rules.Program
	st       *rules.State
	counters *rules.Counters
	outcomes []rules.Outcome
	lines    []string // of the outcomes
	inTime   int      // how many of them came up to the last sample
	wakes    []int64  // after each sample
}

// play plays a case. Between is called after each sample and may put another
// program and state into the run.
func (c *anyCase) play(ticks clock, between func(i int, now time.Time, r *run)) *run {
	r := &run{p: c.program, counters: c.program.NewCounters()}
	r.st = r.p.NewState(3, r.counters)
	r.st.Inform(facts)
	r.st.Found(start.Add(-time.Second))
	now := start
	for i := range c.samples {
		s := c.samples[i]
		r.advance(ticks, now, s.At, s.Seq)
		if s.At.After(now) {
			now = s.At
		}
		r.note(r.p.Eval(&s, r.st, nil))
		r.act(c.actions[i], now, s.Seq)
		r.wakes = append(r.wakes, r.st.Wake())
		if between != nil {
			between(i, now, r)
		}
	}
	r.inTime = len(r.lines)
	end := uint64(len(c.samples) + 1)
	r.advance(ticks, now, now.Add(after), end)
	r.note(r.p.Tick(now.Add(after), "m1", r.st, end, nil))
	return r
}

func (r *run) advance(ticks clock, from, to time.Time, seq uint64) {
	if to.After(from) {
		ticks(r.st, from, to, func(at time.Time) { r.note(r.p.Tick(at, "m1", r.st, seq, nil)) })
	}
}

func (r *run) note(out []rules.Outcome) {
	for i := range out {
		r.outcomes = append(r.outcomes, out[i])
		r.lines = append(r.lines, string(out[i].AppendJSON(nil))+" "+out[i].EventID())
	}
}

// act does something to the alert that told last.
func (r *run) act(what string, now time.Time, seq uint64) {
	i := len(r.outcomes) - 1
	for i >= 0 && r.outcomes[i].Kind != rules.Alert {
		i--
	}
	if what == "" || i < 0 {
		return
	}
	o := r.outcomes[i]
	out := r.p.Act(rules.Action{Do: what, ID: o.ID, Rule: o.Rule, By: "me", Until: now.Add(15 * time.Second)}, now, "m1", r.st, nil)
	for i := range out {
		out[i].Seq, out[i].Index = seq, 1
	}
	r.note(out)
}

// same says where two lists of lines part, and nothing of the rest.
func same(t *testing.T, want, got []string, what ...any) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		var w, g string
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		if w != g {
			t.Errorf("%v line %d:\nwant %s\n got %s", what, i, w, g)
			return
		}
	}
}

// forCases calls f with n cases, more with TOCSIN_FUZZ_CASES, or with the one
// of TOCSIN_FUZZ_SEED. In every other one a person acts on alerts, if acts.
func forCases(t *testing.T, n int, acts bool, f func(t *testing.T, c *anyCase)) {
	t.Helper()
	first := uint64(0)
	if more, err := strconv.Atoi(os.Getenv("TOCSIN_FUZZ_CASES")); err == nil {
		n = more
	}
	if at, err := strconv.ParseUint(os.Getenv("TOCSIN_FUZZ_SEED"), 10, 64); err == nil {
		first, n = at, 1
	}
	for seed := first; seed < first+uint64(n) && !t.Failed(); seed++ {
		c := newCase(t, seed, acts && seed%2 == 0)
		f(t, c)
		if t.Failed() {
			t.Logf("seed %d: %s", seed, c.text)
		}
	}
}

// A state that was saved and loaded goes on as if it had not been.
func TestResumedIsNotResumed(t *testing.T) {
	forCases(t, 400, true, func(t *testing.T, c *anyCase) {
		want := c.play(each(time.Second), nil)
		random := rand.New(rand.NewPCG(c.seed, 12))
		got := c.play(each(time.Second), func(_ int, _ time.Time, r *run) {
			if random.IntN(4) > 0 {
				return
			}
			loaded, err := r.p.LoadState(r.st.Append(nil), r.counters)
			require.NoError(t, err)
			require.Equal(t, r.st.Firing(), loaded.Firing())
			loaded.Inform(facts)
			r.st = loaded
		})
		same(t, want.lines, got.lines)
		assert.Equal(t, want.wakes, got.wakes)
		assert.Equal(t, want.counters.Funnels(), got.counters.Funnels())
	})
}

// How often ticks come changes nothing. Up to the last sample none are needed:
// a sample lets fall due first what was due before it.
func TestTicksMoreOftenChangeNothing(t *testing.T) {
	forCases(t, 400, true, func(t *testing.T, c *anyCase) {
		want := c.play(each(time.Second), nil)
		for _, tt := range []struct {
			name  string
			ticks clock
		}{{"tenths", each(100 * time.Millisecond)}, {"asked", asked}, {"never", atNoTime}} {
			name, got := tt.name, c.play(tt.ticks, nil)
			if name == "never" {
				want.lines, got.lines = want.lines[:want.inTime], got.lines[:got.inTime]
			}
			same(t, want.lines, got.lines, name)
			if name != "never" {
				assert.Equal(t, want.wakes, got.wakes, name)
			}
		}
	})
}

// A state asks to be woken exactly where something happens.
func TestWakeIsExact(t *testing.T) {
	forCases(t, 200, true, func(t *testing.T, c *anyCase) {
		c.play(each(time.Second), func(_ int, _ time.Time, r *run) {
			wake := r.st.Wake()
			if wake == rules.NoWake {
				return
			}
			st, err := r.p.LoadState(r.st.Append(nil), nil)
			require.NoError(t, err)
			st.Inform(facts)
			text := string(st.Append(nil))
			require.Empty(t, r.p.Tick(time.Unix(0, wake), "m1", st, 0, nil))
			require.Equal(t, text, string(st.Append(nil)))
			require.Equal(t, wake, st.Wake())
			out := r.p.Tick(time.Unix(0, wake+1), "m1", st, 0, nil)
			require.True(t, len(out) > 0 || st.Wake() != wake || text != string(st.Append(nil)), "nothing happens")
			require.Greater(t, st.Wake(), wake)
		})
	})
}

// life follows the episodes of one alert.
type life struct {
	id     string
	number uint32
	starts time.Time
	active bool
	told   bool   // of the part that is active, or was last, that it fires
	as     string // the severity that was told last
	closed bool
}

// An alert's episodes are told as they have to be: in order, with deterministic
// ids, nothing twice, nothing that was told left open.
func TestEpisodes(t *testing.T) {
	forCases(t, 400, true, func(t *testing.T, c *anyCase) {
		lives, ids, events := map[string]*life{}, map[string]bool{}, map[string]string{}
		for _, o := range c.play(each(time.Second), nil).outcomes {
			what := fmt.Sprintf("%s of %s at %s", cmp.Or(o.Feed, o.ID), o.Rule, o.At)
			what += " " + o.Event()
			assert.Empty(t, events[o.EventID()], "event id twice: %s", what)
			events[o.EventID()] = what
			assert.True(t, json.Valid(o.AppendJSON(nil)))
			if o.Kind != rules.Alert {
				continue
			}
			l := lives[o.Rule]
			if l == nil || l.closed {
				assert.False(t, ids[o.ID], "an id twice: %s", what)
				ids[o.ID] = true
				l = &life{id: o.ID, starts: o.Starts}
				lives[o.Rule] = l
			}
			l.follow(t, &o, what)
		}
	})
}

func (l *life) follow(t *testing.T, o *rules.Outcome, what string) {
	l.number++
	assert.Equal(t, l.id, o.ID, what)
	assert.Equal(t, l.number, o.Life.Number, what)
	assert.Equal(t, l.starts, o.Starts, what)
	assert.Equal(t, o.Life.Active, o.State == rules.StateFiring, what)
	assert.Equal(t, o.Life.Active, o.Ends.IsZero(), what)
	if !o.Life.Active {
		assert.False(t, o.Ends.Before(o.Starts), what)
	}
	if o.Life.Pending.After(o.Starts) {
		t.Errorf("pending after its start: %s", what)
	}
	switch o.Life.Event {
	case rules.EventRaised:
		assert.False(t, l.active, what)
		l.active, l.told = true, false
	case rules.EventCleared:
		assert.True(t, l.active, what)
		assert.Equal(t, l.told, !o.Life.Silent, "told to fire, and told to clear: %s", what)
		l.active = false
	case rules.EventUnsuppressed, rules.EventUnshelved:
		assert.False(t, l.told && l.as == o.Severity && !o.Life.Silent, "told twice: %s", what)
		if l.active && !l.told && o.Life.Suppression == nil {
			assert.False(t, o.Life.Silent, "never told: %s", what)
		}
	case rules.EventUpdated, rules.EventRepeated, rules.EventSuppressed:
		assert.True(t, l.active, what)
	}
	assert.Equal(t, l.active, o.Life.Active, what)
	if !o.Life.Silent {
		l.told, l.as = l.told || l.active, o.Severity
	}
	l.closed = o.Life.Status == rules.StatusClosed && o.Life.Event != rules.EventAcknowledged // closed follows
}

// The same rules again, and rules that mean the same, go on where they were.
func TestAdoptGoesOn(t *testing.T) {
	// What an edit of the words, or of the telling, must not change.
	essence := func(r *run, words bool) (all []string) {
		for _, o := range r.outcomes {
			switch {
			case o.Kind == rules.Output:
				if !words {
					continue // the throttle is of what it sends
				}
				all = append(all, fmt.Sprint(o.Rule, o.At, string(o.Data)))
			case o.Kind != rules.Alert:
				if o.Sticker != nil && o.Refused == "" && (o.Sticker.Event == rules.EventRaised || o.Sticker.Event == rules.EventCleared) {
					all = append(all, fmt.Sprint(o.Rule, o.ID, o.At, o.Sticker.Op, o.Sticker.Event, o.Sticker.Twin))
				}
			case words:
				all = append(all, fmt.Sprint(o.Rule, o.ID, o.At, o.Life.Event, o.Life.Number, o.Life.Silent, o.Life.Active, o.Reason))
			case o.Life.Event == rules.EventRaised || o.Life.Event == rules.EventCleared:
				all = append(all, fmt.Sprint(o.Rule, o.ID, o.At, o.Life.Event, o.Reason))
			}
		}
		return all
	}
	forCases(t, 200, false, func(t *testing.T, c *anyCase) {
		want := c.play(each(time.Second), nil)
		random := rand.New(rand.NewPCG(c.seed, 13))
		cut := random.IntN(len(c.samples))
		adopting := func(text string) *run {
			next, err := rules.Load("next", []byte(text))
			require.NoError(t, err)
			return c.play(each(time.Second), func(i int, now time.Time, r *run) {
				if i != cut {
					return
				}
				var out []rules.Outcome
				counters := next.NewCounters()
				r.st, out = next.Adopt(r.p, r.st, 3, counters, now, "m1", nil)
				r.p, r.counters = next, counters
				require.Empty(t, out)
			})
		}
		again := adopting(string(c.program.Text()))
		same(t, want.lines, again.lines)
		assert.Equal(t, want.wakes, again.wakes)
		same(t, essence(want, true), essence(adopting(edited(c.rules, func(a anyRule) {
			if a.kind == "alert" {
				a.members["summary"], a.members["labels"], a.members["description"] = `"another {{b}}"`, `{"line":"2"}`, `"{{a}}"`
				if !a.has("throttle", "levels") {
					a.members["severity"] = `"minor"`
				}
			}
		})), true))
		same(t, essence(want, false), essence(adopting(edited(c.rules, func(a anyRule) {
			a.members["throttle"] = `{"max":2,"per":"7s"}`
		})), false))
		same(t, essence(want, false), essence(adopting(edited(c.rules, func(a anyRule) { delete(a.members, "throttle") })), false))
	})
}

func edited(all []anyRule, edit func(anyRule)) string {
	var out []anyRule
	for _, a := range all {
		b := anyRule{a.kind, maps.Clone(a.members)}
		edit(b)
		out = append(out, b)
	}
	return documentOf(out)
}

// twoAlerts is a document of two alerts over feed f.
func twoAlerts(a, b string) string {
	const alert = `{"alert":{"id":"%s","severity":"major","sourceId":"1","sourceFeedId":"f",%s}}`
	return documentWith(fmt.Sprintf(alert, "a", a), fmt.Sprintf(alert, "b", b))
}

// What the properties of this file have found.
func TestFoundByProperties(t *testing.T) {
	const hot = `"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]`
	for _, tt := range []struct {
		name, doc string
		steps     []string
		want      []string
	}{
		{
			"an absence with levels in time does not hang a tick that comes late",
			alertOf(`"absent":{"for":"10s"},"levels":[{"severity":"minor"},{"severity":"critical","after":"1m"}]`),
			[]string{`0 f {"t":1}`, `11 tick`, `200 tick`, `201 tick`},
			[]string{`10 raised minor absent`, `70 updated critical timer`},
		},
		{
			"the level of one alert is not another one's",
			twoAlerts(`"for":"5s","levels":[{"severity":"minor"},{"severity":"critical","jsonLogic":{">":[{"var":"t"},3]}}],"conditions":[{"jsonLogic":{">":[{"var":"t"},0]}}]`, `"absent":{"for":"10s"}`),
			[]string{`1 f {"t":5}`, `20 tick`},
			[]string{`6 raised critical timer`, `11 b raised absent`},
		},
		{
			"an old sample does not raise an absence again under the same id",
			alertOf(`"absent":{"for":"10s"},"allowedLateness":"5s"`),
			[]string{`0 f {"t":1}`, `11 tick`, `-3 f {"t":1}`, `12 tick`, `13 f {"t":1}`},
			[]string{`10 raised absent`, `13 cleared`},
		},
		{
			"a latched alert that is raised again in closed hours is told when they open, and what was not told is not told to clear",
			alertOf(hot + `,"latched":true,"schedule":{"mute":[{"from":"10:01","to":"10:02"},{"from":"10:03","to":"10:04"}]}`),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`, `61 f {"t":31}`, `62 f {"t":1}`, `63 f {"t":31}`, `121 tick`, `122 f {"t":1}`},
			[]string{`0 raised`, `1 cleared`, `61 raised quiet`, `62 cleared quiet`, `63 raised quiet`, `120 unsuppressed timer`, `122 cleared`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, story(t, tt.doc, tt.steps...))
		})
	}
}

// A timer shows its rule what the rule's own twin has said last.
func TestATimerIsOfItsOwnTwin(t *testing.T) {
	p := compiled(t, alertOf(`"summary":"{{name}}","sequence":[{"jsonLogic":{">":[{"var":"t"},3]}},{"not":{">":[{"var":"t"},9]},"for":"5s"}],"within":"1m","latched":true`))
	counters := p.NewCounters()
	one, other := p.NewState(1, counters), p.NewState(1, counters)
	share := func(st *rules.State, second int, data string) []rules.Outcome {
		s := rules.Sample{Twin: "m", Feed: "f", At: start.Add(time.Duration(second) * time.Second), Data: []byte(data)}
		return p.Eval(&s, st, nil)
	}
	require.Empty(t, share(one, 0, `{"t":5,"name":"one"}`))
	require.Empty(t, share(other, 1, `{"t":1,"name":"the other"}`))
	first := p.Tick(start.Add(6*time.Second), "m", one, 0, nil)
	require.Len(t, first, 1)
	assert.Equal(t, "one", first[0].Summary)
	assert.JSONEq(t, `{"t":5,"name":"one"}`, string(first[0].Data))
	text := string(one.Append(nil))
	assert.NotContains(t, text, "the other")
}

// A person who clears an absence has seen that the twin is silent: it is not
// raised again before the twin has shared once more.
func TestAClearedAbsenceStaysCleared(t *testing.T) {
	p := compiled(t, alertOf(`"absent":{"for":"10s"}`))
	st := p.NewState(1, nil)
	s := rules.Sample{Twin: "m1", Feed: "f", At: start, Data: []byte(`{}`)}
	p.Eval(&s, st, nil)
	raised := p.Tick(start.Add(11*time.Second), "m1", st, 0, nil)
	require.Len(t, raised, 1)
	cleared := p.Act(rules.Action{Do: rules.Clear, ID: raised[0].ID, Rule: "a", By: "me"}, start.Add(12*time.Second), "m1", st, nil)
	require.Len(t, cleared, 1)
	assert.Empty(t, p.Tick(start.Add(13*time.Second), "m1", st, 0, nil))
	s = rules.Sample{Twin: "m1", Feed: "f", At: start.Add(20 * time.Second), Data: []byte(`{}`)}
	assert.Empty(t, p.Eval(&s, st, nil))
	assert.Len(t, p.Tick(start.Add(31*time.Second), "m1", st, 0, nil), 1)
}

// FuzzLoadState holds snapshots of anybody's to not panicking.
func FuzzLoadState(f *testing.F) {
	for seed := range uint64(60) {
		c := newCase(f, seed, true)
		c.play(each(time.Second), func(i int, _ time.Time, r *run) {
			if i%20 == 10 {
				f.Add(uint8(seed), r.st.Append(nil))
			}
		})
	}
	f.Fuzz(func(t *testing.T, seed uint8, text []byte) {
		c := newCase(t, uint64(seed)%60, true)
		st, err := c.program.LoadState(text, nil)
		if err != nil {
			return
		}
		st.Inform(facts)
		now := start
		for i := range c.samples {
			s := c.samples[i]
			for range 3 { // a foreign state may ask to be woken at any time
				now = now.Add(time.Second)
				c.program.Tick(now, "m1", st, 0, nil)
			}
			for _, o := range c.program.Eval(&s, st, nil) {
				if line := o.AppendJSON(nil); !json.Valid(line) {
					t.Fatalf("not JSON: %s", line)
				}
			}
		}
		if _, err := c.program.LoadState(st.Append(nil), nil); err != nil {
			t.Fatal(err)
		}
	})
}
