package engine_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// withShadows has a live alert above 30 degrees, a shadow of it above a number,
// a shadow output, and an interaction that would follow that.
func withShadows(above int) string {
	return fmt.Sprintf(`{"id":"heat","sources":[{"id":"1","modelDid":"did:model","feeds":[{"id":"currentTemp"}]}],"rules":[
 {"alert":{"id":"trial","mode":"shadow","shadowOf":"hot","severity":"critical","sourceId":"1","sourceFeedId":"currentTemp","conditions":[{"jsonLogic":{">":[{"var":"temperature"},%d]}}]}},
 {"alert":{"id":"hot","severity":"critical","sourceId":"1","sourceFeedId":"currentTemp","conditions":[{"jsonLogic":{">":[{"var":"temperature"},30]}}]}},
 {"transformation":{"id":"out","mode":"shadow","sourceId":"1","sourceFeedId":"currentTemp","conditions":[{"jsonLogic":{">":[{"var":"temperature"},30]}}],"outputFeedId":"status","outputFieldId":"hot","outputTrueValue":1,"outputFalseValue":0}}]}`, above)
}

// recorded are the outcomes of a shadow rule, by twin.
func (w *works) recorded(rule string) map[string][]string {
	w.t.Helper()
	out := map[string][]string{}
	for e, err := range w.bus.Shadows(w.t.Context(), "heat", rule) {
		require.NoError(w.t, err)
		require.NoError(w.t, e.Err)
		require.True(w.t, e.Outcome.Shadow)
		out[e.Outcome.Source] = append(out[e.Outcome.Source], fmt.Sprintf("%s %s %s", e.Outcome.At.Format(time.TimeOnly), e.Outcome.Event(), e.Outcome.Data))
	}
	return out
}

func TestNobodyIsToldOfShadows(t *testing.T) {
	sink := &heard{}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = ruleFile(t, withShadows(35)), machines(2)
		c.Sinks = []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1, Quiet: true}}
	})
	w.emit(reading("machine_0", 0, 31), reading("machine_0", 10, 36), reading("machine_0", 20, 20), reading("machine_1", 0, 40))
	w.drain()
	var told []string
	for _, o := range sink.all() {
		told = append(told, o.Rule+" "+o.Twin+" "+o.Event())
	}
	slices.Sort(told)
	assert.Equal(t, []string{"hot machine_0 cleared", "hot machine_0 raised", "hot machine_1 raised"}, told)
	assert.Equal(t, []string{"machine_1 raised"}, w.open())
	assert.Equal(t, 2, w.Stats().Twins, "no output twin")
	assert.Equal(t, map[string][]string{
		"machine_0": {`12:00:10 raised {"temperature":36}`, `12:00:20 cleared {"temperature":20}`}, "machine_1": {`12:00:00 raised {"temperature":40}`},
	}, w.recorded("trial"))
	assert.Len(t, w.recorded("out")["machine_0"], 3)

	var trial engine.RuleStatus
	w.until("the worker says what it has counted", func() bool {
		in, err := w.InteractionOf(t.Context(), "heat", time.Hour)
		if err == nil {
			trial = in.Rules[0]
		}
		return trial.Raised == 2
	})
	assert.Equal(t, []any{"shadow", uint64(2), uint64(0)}, []any{trial.Mode, trial.Raised, trial.Delivered})
	c := trial.Shadow
	require.NotNil(t, c)
	assert.Equal(t, "heat/hot", c.Of)
	assert.Equal(t, []int{2, 2, 2, 0, 1, 0, 0}, []int{c.Shadow, c.Live, c.Both, c.Earlier, c.Later, c.OnlyShadow, c.OnlyLive})
	require.Len(t, c.Differences, 1)
	assert.Equal(t, "machine_0", c.Differences[0].Twin)
	assert.Equal(t, 10*time.Second, c.Differences[0].Shadow.Sub(c.Differences[0].Live))
}

// What shadows decide is what a replay says, each once, wherever the engine is
// stopped; and live rules decide what they do without shadows beside them.
func TestShadowsAcrossRestarts(t *testing.T) {
	dir, rulesDir := engine.DataDir(t), ruleFile(t, withShadows(33))
	random := rand.New(rand.NewPCG(3, 4))
	var samples []rules.Sample
	for i := range 2000 {
		samples = append(samples, reading(fmt.Sprintf("machine_%d", random.IntN(10)), i, 25+10*random.Float64()))
	}
	want, live := map[string][]string{}, map[string][]string{}
	p, err := rules.Load("heat.json", []byte(withShadows(33)))
	require.NoError(t, err)
	r := engine.NewReplay(map[string]*rules.Program{p.ID(): p}, nil)
	for _, s := range samples {
		got, err := r.Judge(&s, nil)
		require.NoError(t, err)
		for _, o := range got {
			text := fmt.Sprintf("%s %s %s", o.At.Format(time.TimeOnly), o.Event(), o.Data)
			switch {
			case !o.Shadow:
				live[o.Twin] = append(live[o.Twin], text)
			case o.Rule == "trial":
				want[o.Twin] = append(want[o.Twin], text)
			}
		}
	}
	sink := &heard{}
	for rest := samples; len(rest) > 0; {
		w := start(t, dir, func(c *engine.Config) {
			c.RulesPath, c.Twins = rulesDir, machines(10)
			c.Sinks = []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1}}
			c.SnapshotEvery = time.Duration(1+random.IntN(200)) * time.Millisecond
		})
		n := min(len(rest), 200+random.IntN(500))
		w.emit(rest[:n]...)
		if rest = rest[n:]; len(rest) == 0 {
			w.drain()
			assert.Equal(t, want, w.recorded("trial"))
		}
		w.stop()
	}
	got := map[string][]string{}
	for _, o := range sink.all() {
		got[o.Twin] = append(got[o.Twin], fmt.Sprintf("%s %s %s", o.At.Format(time.TimeOnly), o.Event(), o.Data))
	}
	assert.Equal(t, live, got)
}

// A shadow that is made live begins anew; one that is not compared says why.
func TestShadowIsMadeLive(t *testing.T) {
	sink := &heard{}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.Twins, c.Sinks = machines(1), []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1}}
	})
	doc := aRule("a", 30)
	shadow := doc
	shadow.Text = strings.Replace(doc.Text, "{", `{"mode":"shadow",`, 1)
	w.push(shadow)
	w.emit(reading("machine_0", 0, 35))
	w.drain()
	in, err := w.InteractionOf(t.Context(), "a", time.Hour)
	require.NoError(t, err)
	assert.Equal(t, `no other live alert is called "hot"; name one with "shadowOf"`, in.Rules[0].Shadow.Note)
	assert.Equal(t, 1, in.Rules[0].Shadow.Shadow)
	assert.Empty(t, sink.all())
	w.push(doc)
	w.emit(reading("machine_0", 1, 36))
	w.drain()
	require.Len(t, sink.all(), 1)
	assert.Equal(t, []any{"raised", false}, []any{sink.all()[0].Event(), sink.all()[0].Shadow})
	w.push(shadow, aRule("b", 34))
	w.emit(reading("machine_0", 2, 36))
	w.drain()
	in, err = w.InteractionOf(t.Context(), "a", time.Hour)
	require.NoError(t, err)
	assert.Equal(t, "b/hot", in.Rules[0].Shadow.Of)
	assert.Equal(t, 1, in.Rules[0].Shadow.Both)
}
