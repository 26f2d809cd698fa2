package rules_test

import (
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

// alertTexts are n alert rules of few shapes, some of a second source.
func alertTexts(random *rand.Rand, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		k := random.IntN(20)
		condition := [...]string{
			fmt.Sprintf(`{"jsonLogic":{">":[{"var":"t"},%d]}}`, k),
			fmt.Sprintf(`{"jsonLogic":{"and":[{"<":[{"var":"h"},%d]},{"==":[{"var":"zone"},"%c"]}]}}`, k, 'A'+k%3),
			fmt.Sprintf(`{"jsonLogic":{">=":[{"var":"t"},%d]}},{"jsonLogic":{"<":[{"var":"h"},%d]}}`, k, random.IntN(20)),
			fmt.Sprintf(`{"jsonLogic":{">":[{"+":[{"var":"t"},{"var":"h"}]},%d]}}`, 2*k),
		}[random.IntN(4)]
		texts[i] = fmt.Sprintf(`{"alert":{"id":"a%d","severity":"major","sourceId":"%d","sourceFeedId":"f","summary":"{{t}}","conditions":[%s]}}`, i, 1+i%7/6, condition)
	}
	return texts
}

func never(source int) string {
	return fmt.Sprintf(`{"alert":{"id":"never%d","severity":"major","sourceId":"%d","sourceFeedId":"f","conditions":[{"jsonLogic":false}]}}`, source, source)
}

func alertProgram(t testing.TB, texts ...string) *rules.Program {
	return compiled(t, `{"id":"x","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]},{"id":"2","modelDid":"n","feeds":[{"id":"f"}]}],"rules":[`+
		strings.Join(texts, ",")+`]}`)
}

func randomReading(random *rand.Rand) string {
	value := func(v string) string {
		return [...]string{v, v, v, v, v, v, "null", `"7"`, `"x"`, "true"}[random.IntN(10)]
	}
	fields := []string{`"t":` + value(fmt.Sprint(random.IntN(22))), `"h":` + value(fmt.Sprint(random.IntN(22))), fmt.Sprintf(`"zone":"%c"`, 'A'+random.IntN(4))}
	random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return "{" + strings.Join(fields[:random.IntN(3)+1], ",") + "}"
}

// TestManyAlerts: many alerts of one interaction raise, resolve and count as
// each does alone.
func TestManyAlerts(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		texts := alertTexts(random, 40+random.IntN(100))
		together := alertProgram(t, append(texts, never(1), never(2))...)
		counters := together.NewCounters()
		st := together.NewState(3, counters)
		type one struct {
			p *rules.Program
			c *rules.Counters
			s *rules.State
		}
		alone := make([]one, len(texts))
		for i, text := range texts {
			p := alertProgram(t, text, never(1), never(2)) // so that it reads both sources, too
			c := p.NewCounters()
			alone[i] = one{p, c, p.NewState(3, c)}
		}
		for n := range 60 {
			at := start.Add(time.Duration(n-random.IntN(3)) * time.Second)
			if random.IntN(15) == 0 {
				bound := rules.SourceSet(random.IntN(4))
				got := together.Bind(bound, at, "m", st, nil)
				var want []rules.Outcome
				for _, a := range alone {
					want = a.p.Bind(bound, at, "m", a.s, want)
				}
				require.Equal(t, want, got, "seed %d, bind %d", seed, n)
			}
			data := []byte(randomReading(random))
			s := rules.Sample{Twin: "m", Feed: "f", At: at, Data: data, Seq: uint64(n)}
			got := together.Eval(&s, st, nil)
			var want []rules.Outcome
			for _, a := range alone {
				s := rules.Sample{Twin: "m", Feed: "f", At: at, Data: data, Seq: uint64(n)}
				want = a.p.Eval(&s, a.s, want)
			}
			require.Equal(t, want, got, "seed %d, sample %d %s", seed, n, data)
			if random.IntN(20) == 0 { // another reader, as after a change of the rules
				other := rules.NewReader("f", alertProgram(t, texts[:35]...), together)
				s := rules.Sample{Twin: "m", Feed: "f", At: at.Add(time.Hour), Data: []byte(`{}`)}
				require.NoError(t, other.Read(&s))
				got := together.Eval(&s, st, nil)
				require.Empty(t, got)
				for _, a := range alone {
					s := rules.Sample{Twin: "m", Feed: "f", At: at.Add(time.Hour), Data: []byte(`{}`)}
					require.Empty(t, a.p.Eval(&s, a.s, nil))
				}
			}
		}
		got := counters.Funnels()
		for i, a := range alone {
			assert.Equal(t, a.c.Funnels()[0], got[i], "seed %d, %s", seed, texts[i])
		}
		again, err := together.LoadState(st.Append(nil), counters)
		require.NoError(t, err)
		assert.Equal(t, st.Append(nil), again.Append(nil))
	}
}

// TestQuietSamplesAllocateNothing: what changes nothing costs no allocation.
func TestQuietSamplesAllocateNothing(t *testing.T) {
	p := alertProgram(t, alertTexts(rand.New(rand.NewPCG(1, 2)), 200)...)
	few := compiled(t, tooHot)
	for name, p := range map[string]*rules.Program{"many": p, "few": few} {
		st := p.NewState(1, nil)
		at, data := start, []byte(`{"t":5,"h":11,"zone":"A"}`)
		reader := rules.NewReader("f", p)
		var s rules.Sample
		var out []rules.Outcome
		eval := func() {
			at = at.Add(time.Second)
			s = rules.Sample{Twin: "m", Feed: "f", At: at, Data: data}
			if err := reader.Read(&s); err != nil {
				t.Fatal(err)
			}
			out = p.Eval(&s, st, out[:0])
		}
		eval()
		assert.Zero(t, testing.AllocsPerRun(1000, eval), name)
	}
}

// TestManyKeepTheirPlace: the order of outcomes is that of the rules, however
// many alerts there are.
func TestManyKeepTheirPlace(t *testing.T) {
	transformation := `{"transformation":{"id":"tr","sourceId":"1","sourceFeedId":"f","outputFeedId":"o","outputFieldId":"x","outputTrueValue":1,"conditions":[{"jsonLogic":{">":[{"var":"t"},0]}}]}}`
	for _, n := range []int{3, 31, 32, 40} {
		var texts []string
		for i := range n {
			texts = append(texts, fmt.Sprintf(`{"alert":{"id":"a%d","severity":"major","sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{">":[{"var":"t"},%d]}}]}}`, i, i))
		}
		texts = slices.Insert(texts, 1, transformation)
		p := alertProgram(t, texts...)
		s := rules.Sample{Twin: "m", Feed: "f", At: start, Data: []byte(`{"t":2.5}`)}
		var got []string
		for _, o := range p.Eval(&s, p.NewState(1, nil), nil) {
			got = append(got, o.Rule)
		}
		assert.Equal(t, []string{"a0", "tr", "a1", "a2"}, got, n)
	}
}

// TestEachProgramItsOwnBits: what a twin's state holds does not grow with the
// programs of others on the same feed.
func TestEachProgramItsOwnBits(t *testing.T) {
	var programs []*rules.Program
	for i := range 20 {
		texts := alertTexts(rand.New(rand.NewPCG(uint64(i), 3)), 60)
		programs = append(programs, alertProgram(t, texts...))
	}
	together := rules.NewReader("f", programs...)
	random := rand.New(rand.NewPCG(4, 5))
	states, alone := make([]*rules.State, len(programs)), make([]*rules.State, len(programs))
	for i, p := range programs {
		states[i], alone[i] = p.NewState(3, nil), p.NewState(3, nil)
	}
	for n := range 50 {
		at, data := start.Add(time.Duration(n)*time.Second), []byte(randomReading(random))
		s := rules.Sample{Twin: "m", Feed: "f", At: at, Data: data}
		require.NoError(t, together.Read(&s))
		for i, p := range programs {
			o := rules.Sample{Twin: "m", Feed: "f", At: at, Data: data}
			require.Equal(t, p.Eval(&o, alone[i], nil), p.Eval(&s, states[i], nil))
		}
	}
}

// TestSampleIsUsedAgain: a sample that is given other data is read again, and one
// that another feed's reader has read is read by the right one.
func TestSampleIsUsedAgain(t *testing.T) {
	p := alertProgram(t, alertTexts(rand.New(rand.NewPCG(1, 2)), 5)...)
	r := rules.NewReader("f", p)
	s := rules.Sample{Twin: "m", Feed: "f", At: start, Data: []byte(`{"t":1}`)}
	require.NoError(t, r.Read(&s))
	s.Data = []byte(`broken!`)
	require.Error(t, r.Read(&s))
	s.Data = []byte(`{"t":1,"h":2}`)
	require.NoError(t, rules.NewReader("g", p).Read(&s))
	fresh := rules.Sample{Twin: "m", Feed: "f", At: start, Data: []byte(`{"t":1,"h":2}`)}
	assert.Equal(t, p.Eval(&fresh, p.NewState(3, nil), nil), p.Eval(&s, p.NewState(3, nil), nil))
}

// TestOutcomesReuseTheirRoom: a caller that uses its slice again pays for no
// allocation.
func TestOutcomesReuseTheirRoom(t *testing.T) {
	p := all(t, "a", "b")
	st, at, data := p.NewState(1, nil), start, []byte(`{"a":1,"b":[1, 2]}`)
	var s rules.Sample
	var out []rules.Outcome
	judge := func() {
		at = at.Add(time.Second)
		s = rules.Sample{Twin: "m", Feed: "f", At: at, Data: data}
		if out = p.Eval(&s, st, out[:0]); string(out[0].Data) != `{"output":0,"a":1,"b":[1,2]}` {
			t.Fatalf("%s", out[0].Data)
		}
	}
	judge()
	assert.Zero(t, testing.AllocsPerRun(1000, judge))
}
