package rules_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// ruleTexts are n rules of all kinds over the feeds f and g, whose fields are a, b and c.
func ruleTexts(r *rand.Rand, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		var conditions []string
		for range 1 + r.IntN(2) {
			logic := fmt.Sprintf(`{"%s":[{"var":"%s"},%d]}`, pick(r, ">", "<", "=="), pick(r, "a", "b", "c.d"), r.IntN(5))
			included := pick(r, ``, `,"fieldsIncludedInOutput":["a","c"]`, `,"fieldsIncludedInOutput":["b"]`)
			conditions = append(conditions, `{"jsonLogic":`+logic+included+`}`)
		}
		common := fmt.Sprintf(`"id":"r%d","sourceId":"%d","sourceFeedId":"%s","conditions":[%s]`, i, 1+r.IntN(2), pick(r, "f", "g"), strings.Join(conditions, ","))
		if r.IntN(2) == 0 {
			texts[i] = `{"alert":{` + common + `,"severity":"` + pick(r, "major", "info") + `","summary":"{{a}} of {{twin}}"}}`
		} else {
			texts[i] = fmt.Sprintf(`{"transformation":{%s,"outputFeedId":"%s","outputFieldId":"v%d","outputTrueValue":%d,"outputFalseValue":%s}}`,
				common, pick(r, "o", "p"), i, i, pick(r, "null", `"no"`))
		}
	}
	return texts
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func document(texts []string) string {
	return `{"id":"many","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"},{"id":"g","fieldIds":["a","b","c"]}]},{"id":"2","modelDid":"n","feeds":[{"id":"f"},{"id":"g"}]}],"rules":[` +
		strings.Join(texts, ",\n") + `]}`
}

func many(t testing.TB, seed uint64) string {
	t.Helper()
	return document(ruleTexts(rand.New(rand.NewPCG(seed, 0)), 8))
}

// series are samples with gaps, repetitions, missing fields and a clock that jumps back.
func series(r *rand.Rand, n int) []rules.Sample {
	samples := make([]rules.Sample, n)
	now := start
	for i := range samples {
		now = now.Add(time.Duration(r.IntN(5)-1) * time.Second)
		fields := map[string]any{}
		for _, name := range []string{"a", "b"} {
			if r.IntN(4) > 0 {
				fields[name] = r.IntN(6)
			}
		}
		if r.IntN(3) > 0 {
			fields["c"] = map[string]any{"d": r.IntN(6)}
		}
		data, _ := json.Marshal(fields)
		samples[i] = rules.Sample{Twin: "m1", Feed: pick(r, "f", "g"), At: now, Data: data, Seq: uint64(i + 1)}
	}
	return samples
}

func evalAll(p *rules.Program, st *rules.State, samples []rules.Sample) []string {
	var all []string
	for i := range samples {
		s := samples[i]
		for _, o := range p.Eval(&s, st, nil) {
			all = append(all, string(o.AppendJSON(nil))+" "+o.EventID())
		}
	}
	return all
}

// The order of the rules changes only the order of the outcomes and, inside
// one output, that of its fields and which rule gives it its name.
func TestOrderOfRules(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		texts := ruleTexts(r, 8)
		samples := series(r, 40)
		shuffled := slices.Clone(texts)
		r.Shuffle(len(texts), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		one, other := compiled(t, document(texts)), compiled(t, document(shuffled))
		assert.Equal(t, decisions(t, one, samples), decisions(t, other, samples), "seed %d", seed)
	}
}

// decisions are the outcomes, free of order and of the name of a joint output.
func decisions(t *testing.T, p *rules.Program, samples []rules.Sample) []string {
	var all []string
	st := p.NewState(3, nil)
	for i := range samples {
		s := samples[i]
		for _, o := range p.Eval(&s, st, nil) {
			var data map[string]any
			require.NoError(t, json.Unmarshal(o.Data, &data))
			name := o.Rule
			if o.Kind == rules.Output {
				name = o.Feed
			}
			all = append(all, fmt.Sprint(o.Seq, o.Kind, name, o.ID, o.State, o.Summary, data))
		}
	}
	slices.Sort(all)
	return all
}

// Late samples do not move alerts: without them the alerts are the same.
func TestLateSamplesMoveNothing(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := compiled(t, document(ruleTexts(r, 8)))
		samples := series(r, 60)
		newest := map[string]time.Time{}
		var inTime []rules.Sample
		for _, s := range samples {
			// Source 2 takes every sample, so the newest of a feed is that of all its samples.
			if s.At.After(newest[s.Feed]) {
				newest[s.Feed] = s.At
				inTime = append(inTime, s)
			}
		}
		require.Less(t, len(inTime), len(samples))
		assert.Equal(t, alerts(p, inTime), alerts(p, samples), "seed %d", seed)
	}
}

func alerts(p *rules.Program, samples []rules.Sample) []string {
	return slices.DeleteFunc(evalAll(p, p.NewState(3, nil), samples), func(line string) bool { return !strings.HasPrefix(line, `{"kind":"alert"`) })
}

// A worker that takes over from a snapshot decides as the first one would have.
func TestSnapshotGoesOn(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		p := compiled(t, document(ruleTexts(r, 8)))
		samples := series(r, 60)
		cut := r.IntN(len(samples))
		st := p.NewState(3, nil)
		evalAll(p, st, samples[:cut])

		q := compiled(t, string(p.Text()))
		moved, err := q.LoadState(st.Append(nil), nil)
		require.NoError(t, err)
		assert.Equal(t, st.Empty(), moved.Empty())
		assert.Equal(t, evalAll(p, st, samples[cut:]), evalAll(q, moved, samples[cut:]), "seed %d", seed)
		assert.Equal(t, string(st.Append(nil)), string(moved.Append(nil)))
	}
}

// Adopting the same document changes nothing.
func TestAdoptOfTheSameGoesOn(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 4))
		p := compiled(t, document(ruleTexts(r, 8)))
		samples := series(r, 60)
		cut := r.IntN(len(samples))
		one, other := p.NewState(3, nil), p.NewState(3, nil)
		evalAll(p, one, samples[:cut])
		evalAll(p, other, samples[:cut])
		q := compiled(t, string(p.Text()))
		moved, out := q.Adopt(p, other, 3, nil, start, "m1", nil)
		require.Empty(t, out)
		assert.Equal(t, evalAll(p, one, samples[cut:]), evalAll(q, moved, samples[cut:]), "seed %d", seed)
	}
}

// FuzzLoad holds everything that a document and a sample can do to not
// panicking, and what is accepted to its own text.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(whole), []byte(`{"t":31}`))
	f.Add([]byte(rows), []byte(`{"t":31,"u":90,"site":{"hall":1}}`))
	f.Add([]byte(tooHot), []byte(`{"t":null}`))
	f.Add([]byte(many(f, 7)), []byte(`{"a":1,"b":"x","c":{"d":[]}}`))
	for _, tt := range broken {
		f.Add([]byte(tt.doc), []byte(`{}`))
	}
	f.Fuzz(func(t *testing.T, doc, data []byte) {
		_, decodeErr := rules.Decode("x", doc)
		p, err := rules.Load("x", doc)
		if err != nil {
			if err.Error() == "" || p != nil {
				t.Fatal("an error that says nothing, or a program beside it")
			}
			return
		}
		if decodeErr != nil {
			t.Fatalf("Compile accepted what Decode refused: %v", decodeErr)
		}
		q, err := rules.Load("y", p.Text())
		if err != nil {
			t.Fatalf("its own text: %v\n%s", err, p.Text())
		}
		if string(q.Text()) != string(p.Text()) || q.Hash() != p.Hash() {
			t.Fatalf("got %s, want %s", q.Text(), p.Text())
		}
		bound := rules.SourceSet(1)<<len(p.Sources()) - 1
		st := p.NewState(bound, nil)
		for _, spec := range p.Sources() {
			for _, feed := range spec.Feeds {
				for _, at := range []time.Time{start, start, start.Add(time.Second)} {
					s := rules.Sample{Twin: "m", Feed: feed.ID, At: at, Data: data}
					for _, o := range p.Eval(&s, st, nil) {
						if line := o.AppendJSON(nil); !json.Valid(line) {
							t.Fatalf("not JSON: %s", line)
						}
					}
				}
			}
		}
		moved, err := q.LoadState(st.Append(nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		if string(moved.Append(nil)) != string(st.Append(nil)) {
			t.Fatal("the snapshot is another one")
		}
		p.Close(start, "m", st, rules.ReasonRuleDeleted, nil)
	})
}
