package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// aRule is an interaction of one alert above a number of degrees.
func aRule(id string, above int) engine.RuleDocument {
	return engine.RuleDocument{Name: id + "/interaction.json", Text: fmt.Sprintf(`{"sources":[{"id":"1","modelDid":"did:model","feeds":[{"id":"currentTemp"}]}],
 "rules":[{"alert":{"id":"hot","severity":"major","sourceId":"1","sourceFeedId":"currentTemp","conditions":[{"jsonLogic":{">":[{"var":"temperature"},%d]}}]}}]}
`, above)}
}

func (w *works) push(docs ...engine.RuleDocument) engine.Pushed {
	w.t.Helper()
	done, err := w.PushRules(w.t.Context(), engine.Push{Documents: docs, By: "ann", Message: "why"})
	require.NoError(w.t, err)
	return done
}

// ruleControls are the operations on interactions in a partition's stream.
func (w *works) ruleControls(p int) (ops []string) {
	w.t.Helper()
	for m, err := range w.bus.Controls(w.t.Context(), p, 1) {
		require.NoError(w.t, err)
		op, _, _ := strings.Cut(strings.TrimPrefix(string(m.Data), `{"op":"`), `"`)
		if strings.HasPrefix(op, "interaction") {
			ops = append(ops, op)
		}
	}
	return ops
}

func (w *works) runs() map[string]string {
	w.t.Helper()
	s, err := w.Rules(w.t.Context())
	require.NoError(w.t, err)
	out := map[string]string{}
	for _, in := range s.Interactions {
		out[in.ID] = in.Source.Kind
	}
	return out
}

// A set takes effect as a whole, at one place in each partition's stream.
func TestPushedRulesRunTogether(t *testing.T) {
	dir, sink := engine.DataDir(t), &heard{}
	config := func(c *engine.Config) {
		c.Twins, c.Sinks = machines(3), []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1}}
	}
	w := start(t, dir, config)
	done := w.push(aRule("a", 30), aRule("b", 30))
	assert.Equal(t, []string{"a/interaction.json", "b/interaction.json"}, done.Added)
	assert.Equal(t, uint64(1), done.Revision)
	done = w.push(aRule("b", 40), aRule("c", 30))
	assert.Equal(t, [][]string{{"c/interaction.json"}, {"b/interaction.json"}, {"a/interaction.json"}}, [][]string{done.Added, done.Changed, done.Removed})
	for p := range w.bus.Partitions() {
		assert.Equal(t, []string{"interactions", "interactions"}, w.ruleControls(p))
	}
	assert.Equal(t, map[string]string{"b": engine.SetRules, "c": engine.SetRules}, w.runs())
	w.emit(reading("machine_0", 0, 35), reading("machine_1", 0, 45))
	w.drain()
	assert.Len(t, sink.all(), 3, "c of both, b of one")
	var b engine.InteractionStatus
	w.until("the worker says what it has counted", func() bool {
		s, err := w.Rules(t.Context())
		if err != nil || len(s.Interactions) != 2 {
			return false
		}
		b = s.Interactions[0]
		return b.Rules[0].Received == 2 && b.Twins == 3
	})
	assert.Equal(t, rules.Funnel{Received: 2, Matched: 2, True: 1, False: 1, Raised: 1}, b.Rules[0].Funnel)
	assert.Equal(t, uint64(1), b.Rules[0].Delivered)
	assert.Equal(t, 3, b.Twins)
	assert.False(t, b.Since.IsZero())
	assert.Equal(t, engine.RuleSource{Kind: engine.SetRules, Name: "b/interaction.json", Revision: 2}, b.Source)
	w.stop()

	w = start(t, dir, config)
	assert.Equal(t, map[string]string{"b": engine.SetRules, "c": engine.SetRules}, w.runs(), "after a restart")
	w.until("since when it runs is known", func() bool {
		again, err := w.InteractionOf(t.Context(), "b", time.Hour)
		return err == nil && again.Number == b.Number && b.Since.Sub(again.Since).Abs() < time.Second
	})
}

// What was stored and not told before a crash runs after it, as a whole.
func TestPushIsFinishedAfterACrash(t *testing.T) {
	dir := engine.DataDir(t)
	w := start(t, dir, func(c *engine.Config) { c.Twins = machines(1) })
	w.push(aRule("a", 30), aRule("b", 30))
	w.stop()
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir, Partitions: 4})
	require.NoError(t, err)
	_, err = b.SaveRuleset(t.Context(), 1, []byte(`{"by":"bob","count":2}`), fmt.Appendf(nil, `[{"name":"c.json","text":%q},{"name":"d.json","text":%q}]`, aRule("", 1).Text, aRule("", 2).Text))
	require.NoError(t, err)
	b.Close()

	w = start(t, dir, nil)
	assert.Equal(t, map[string]string{"c": engine.SetRules, "d": engine.SetRules}, w.runs())
	for p := range w.bus.Partitions() {
		ops := w.ruleControls(p)
		assert.Equal(t, []string{"interactions", "interactions"}, ops)
	}
	w.emit(reading("machine_0", 0, 35))
	w.drain()
	assert.Equal(t, []string{"machine_0 raised", "machine_0 raised"}, w.open())
}

func TestPushesAreRefused(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) { c.RulesPath = ruleFile(t, overheating) })
	none := uint64(0)
	doc := func(name, text string) []engine.RuleDocument {
		return []engine.RuleDocument{{Name: name, Text: text}, aRule("good", 1)}
	}
	same := []engine.RuleDocument{aRule("x", 1), {Name: "y.json", Text: strings.Replace(aRule("", 1).Text, "{", `{"id":"x",`, 1)}}
	for name, tt := range map[string]struct {
		push engine.Push
		is   error
		text string
	}{
		"a wrong document":    {engine.Push{By: "ann", Documents: doc("x.json", `{"sources":[],"rules":[{"alrt":{}}]}`)}, engine.ErrRules, "x.json:1:25: /rules/0/alrt: unknown kind of rule"},
		"no JSON":             {engine.Push{By: "ann", Documents: doc("x.json", "\x00\x01")}, engine.ErrRules, "x.json:1:1: "},
		"not UTF-8":           {engine.Push{By: "ann", Documents: doc("x.json", "\xff")}, engine.ErrRules, "x.json: is not UTF-8"},
		"a path out of here":  {engine.Push{By: "ann", Documents: doc("../x/interaction.json", "{}")}, engine.ErrRules, `name "../x/interaction.json": want NAME.json, or`},
		"a path of nothing":   {engine.Push{By: "ann", Documents: doc("a/b.json", "{}")}, engine.ErrRules, `name "a/b.json": want NAME.json, or`},
		"one id twice":        {engine.Push{By: "ann", Documents: same}, engine.ErrRules, `y.json: id "x" is that of x/interaction.json too; want an id of its own`},
		"one name twice":      {engine.Push{By: "ann", Documents: []engine.RuleDocument{aRule("x", 1), aRule("x", 2)}}, engine.ErrRules, "x/interaction.json: is there twice"},
		"nobody":              {engine.Push{Documents: doc("x.json", aRule("", 1).Text)}, engine.ErrAction, "by is missing"},
		"a revision too many": {engine.Push{By: "ann", Rollback: 7}, engine.ErrNoRuleset, "no such revision of the rules: 7; nothing has been pushed yet"},
	} {
		_, err := w.PushRules(t.Context(), tt.push)
		require.ErrorIs(t, err, tt.is, name)
		assert.ErrorContains(t, err, tt.text, name)
	}
	all, err := w.Rulesets(t.Context())
	require.NoError(t, err)
	assert.Empty(t, all)
	assert.Equal(t, map[string]string{"overheating": engine.FileRules}, w.runs())

	dry, err := w.PushRules(t.Context(), engine.Push{By: "ann", Documents: []engine.RuleDocument{aRule("overheating", 1)}, DryRun: true, Expect: &none})
	require.NoError(t, err)
	assert.Equal(t, []string{"overheating/interaction.json"}, dry.Added)
	require.Len(t, dry.Hidden, 1)
	assert.Equal(t, engine.FileRules, dry.Hidden[0].By.Kind)
}

// Of pushes at one time that are made for the same revision one wins.
func TestOnePushWins(t *testing.T) {
	w := start(t, engine.DataDir(t), nil)
	none := uint64(0)
	var won, lost atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			_, err := w.PushRules(t.Context(), engine.Push{Documents: []engine.RuleDocument{aRule(fmt.Sprintf("r%d", i), i)}, By: "ann", Expect: &none})
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, engine.ErrExpected):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	assert.Equal(t, []int32{1, 7}, []int32{won.Load(), lost.Load()})
	assert.Len(t, w.runs(), 1)
}

// 64 revisions are kept, each byte for byte; rolling back makes a new one.
func TestRevisionsAreKept(t *testing.T) {
	w := start(t, engine.DataDir(t), nil)
	large := strings.Repeat(" ", 600<<10) // of several pieces
	const pushes = 67
	for i := range pushes {
		doc := aRule("r", i)
		doc.Text += large
		w.push(doc)
	}
	all, err := w.Rulesets(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 64)
	assert.Equal(t, []uint64{67, 4}, []uint64{all[0].Revision, all[63].Revision})
	assert.Equal(t, []string{"ann", "why"}, []string{all[0].By, all[0].Message})
	_, err = w.Ruleset(t.Context(), 3)
	require.EqualError(t, err, "no such revision of the rules: 3; there are 4 to 67")
	done, err := w.PushRules(t.Context(), engine.Push{Rollback: 5, By: "bob"})
	require.NoError(t, err)
	assert.Equal(t, []uint64{68, 5}, []uint64{done.Revision, done.Of})
	for revision, above := range map[uint64]int{5: 4, 68: 4, 67: 66, 0: 4} {
		s, err := w.Ruleset(t.Context(), revision)
		require.NoError(t, err)
		require.Len(t, s.Documents, 1)
		assert.Equal(t, aRule("r", above).Text+large, s.Documents[0].Text)
	}
}

// Many rules that do not fit into a message as they are change together, too.
func TestManyRulesChangeTogether(t *testing.T) {
	w := start(t, engine.DataDir(t), func(c *engine.Config) { c.Twins = machines(1) })
	var docs []engine.RuleDocument
	for i := range 500 {
		docs = append(docs, aRule(fmt.Sprintf("rule_%d", i), i))
	}
	w.push(docs...)
	assert.Equal(t, []string{"interactions"}, w.ruleControls(0))
	w.emit(reading("machine_0", 0, 1000))
	w.drain()
	assert.Equal(t, 500, w.Stats().OpenAlerts)
}

// Any worker takes a push and says what all have counted.
func TestRulesOfAPool(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: engine.DataDir(t), Partitions: 4, Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	c := &crew{t: t, bus: b, at: map[string]*works{}, config: func() engine.Config { return engine.Config{Twins: machines(20)} }}
	for range 3 {
		c.join()
	}
	for _, w := range c.workers() {
		w.until("settled", func() bool { return w.Pool().Workers == 3 && w.Ready() == nil })
	}
	for i, w := range c.workers() {
		w.push(aRule("a", 30+i), aRule("b", 30+i))
	}
	var samples []rules.Sample
	for i := range 20 {
		samples = append(samples, reading(fmt.Sprintf("machine_%d", i), 0, 50))
	}
	c.workers()[0].emit(samples...)
	c.judged()
	for _, w := range c.workers() {
		var s engine.RulesStatus
		w.until("every worker has counted", func() bool {
			var err error
			s, err = w.Rules(t.Context())
			counts := 0
			for _, in := range s.Interactions {
				counts += int(in.Rules[0].Received)
			}
			return err == nil && s.Counted == 3 && (w.Elsewhere() != "" || counts == 40)
		})
		assert.Equal(t, []int{3, 3}, []int{s.Workers, s.Counted})
		if w.Elsewhere() != "" {
			continue // it knows the counts, but perhaps not yet the rules
		}
		require.Len(t, s.Interactions, 2)
		assert.Equal(t, uint64(3), s.Set.Revision)
		assert.Equal(t, 20, s.Interactions[0].Twins)
		assert.Equal(t, rules.Funnel{Received: 20, Matched: 20, True: 20, Raised: 20}, s.Interactions[0].Rules[0].Funnel)
	}
}
