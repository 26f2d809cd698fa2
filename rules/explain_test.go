package rules_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
	"tocsin.internal/rules/logic"
)

// explained plays samples, "<seconds> <feed> <data>", and explains the last one.
func explained(t *testing.T, doc string, steps ...string) *rules.Explanation {
	t.Helper()
	p, err := rules.Load("story", []byte(doc))
	require.NoError(t, err)
	x, err := p.Explainer("a")
	require.NoError(t, err)
	st := p.NewState(1, nil)
	for i, step := range steps {
		var seconds float64
		parts := strings.SplitN(step, " ", 3)
		_, err := fmt.Sscanf(parts[0], "%g", &seconds)
		require.NoError(t, err, step)
		s := rules.Sample{Twin: "m1", Feed: parts[1], At: start.Add(time.Duration(seconds * float64(time.Second))), Data: []byte(parts[2]), Seq: uint64(i + 1)}
		if i == len(steps)-1 {
			e, err := x.Explain(&s, "m1", st, func(st *rules.State, out []rules.Outcome) []rules.Outcome { return p.Eval(&s, st, out) })
			require.NoError(t, err)
			return e
		}
		p.Eval(&s, st, nil)
	}
	return nil
}

var episodeIDs = regexp.MustCompile(`al_[0-9a-z]{26}`)

func TestExplain(t *testing.T) {
	hot := `"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]`
	for _, c := range []struct {
		name, fields string
		steps        []string
		verdict      string
		why          []string
		before       string
		after        string
	}{
		{"raised", hot, []string{`0 f {"t":31}`}, "true", []string{"alert al_… raised"}, "idle", "firing since 10:00:00, alert al_… firing, major, raised 10:00:00"},
		{
			"fires already", hot,
			[]string{`0 f {"t":31}`, `1 f {"t":32}`},
			"true",
			[]string{"alert al_… has been firing since 10:00:00: one episode, one alert"},
			"firing since 10:00:00, alert al_… firing, major, raised 10:00:00", "firing since 10:00:00, alert al_… firing, major, raised 10:00:00",
		},
		{"cleared", hot, []string{`0 f {"t":31}`, `90 f {"t":1}`}, "false", []string{"alert al_… cleared after 1m30s"}, "firing since 10:00:00, alert al_… firing, major, raised 10:00:00", "idle"},
		{"late", hot, []string{`5 f {"t":1}`, `0 f {"t":31}`}, "late", []string{"late: not newer than the newest sample of its feed, 10:00:05; it changes nothing"}, "idle", "idle"},
		{"unknown", hot, []string{`0 f {}`}, "unknown", []string{"an input is missing, so that the sample decides nothing"}, "idle", "idle"},
		{"held", hot + `,"for":"5m"`, []string{`0 f {"t":31}`, `120 f {"t":31}`}, "true", []string{"pending since 10:00:00: held 2m of 5m"}, "pending since 10:00:00, 2m of 5m", "pending since 10:00:00, 2m of 5m"},
		{
			"gap", hot + `,"for":"5m","maxGap":"2m"`,
			[]string{`60 f {"t":31}`, `240 f {"t":31}`},
			"true",
			[]string{"pending began again at 10:04:00: no sample between 10:01:00 and 10:04:00 (gap 3m > maxGap 2m)"},
			"pending since 10:01:00, 3m of 5m", "pending since 10:04:00, 0s of 5m",
		},
		{"not long enough", hot + `,"for":"5m"`, []string{`0 f {"t":31}`, `60 f {"t":1}`}, "false", []string{"no longer pending: it was true for 1m of 5m"}, "pending since 10:00:00, 1m of 5m", "idle"},
		{
			"clear condition", hot + `,"clearCondition":{"jsonLogic":{"<":[{"var":"t"},20]}}`,
			[]string{`0 f {"t":31}`, `60 f {"t":25}`},
			"false",
			[]string{"the conditions are false, but clearCondition is not true: it fires on", "alert al_… has been firing since 10:00:00: one episode, one alert"},
			"firing since 10:00:00, alert al_… firing, major, raised 10:00:00", "firing since 10:00:00, alert al_… firing, major, raised 10:00:00",
		},
		{"repeat", hot + `,"repeat":{"count":3}`, []string{`0 f {"t":31}`, `1 f {"t":31}`}, "false", []string{"repeat asks for 3 true samples, and there are 2"}, "idle, true 1 of 3 times", "idle, true 2 of 3 times"},
		{
			"unchanged", `"unchanged":{"field":"t","for":"10m"}`,
			[]string{`0 f {"t":31}`, `60 f {"t":31}`},
			"false",
			[]string{"the value has been the same for 1m, and has to be for 10m"},
			"idle, value unchanged since 10:00:00, 1m of 10m", "idle, value unchanged since 10:00:00, 1m of 10m",
		},
		{"not changed", hot + `,"onChange":{"fields":["t"]}`, []string{`0 f {"t":3}`, `1 f {"t":3}`}, "skipped", []string{"held back: none of the fields of onChange has changed"}, "idle", "idle"},
		{
			"tumbling window", `"window":{"type":"tumbling","size":"1m"},"aggregate":{"m":{"op":"avg","field":"t"}},"conditions":[{"jsonLogic":{">":[{"var":"$agg.m"},30]}}]`,
			[]string{`0 f {"t":31}`, `1 f {"t":31}`},
			"skipped",
			[]string{"taken in by the window; the conditions are judged when it closes"},
			"idle, tumbling window holds 1 sample since 10:00:00", "idle, tumbling window holds 2 samples since 10:00:00",
		},
		{"missing is false", hot + `,"onMissing":"false"`, []string{`0 f {}`}, "unknown", []string{"an input is missing, which counts as false here (onMissing)"}, "idle", "idle"},
		{
			"last known", `"onMissing":{"mode":"lastKnown"},"conditions":[{"jsonLogic":{">":[{"var":"t"},{"var":"u"}]}}]`,
			[]string{`0 f {"t":31,"u":40}`, `1 f {"t":31}`},
			"false", nil,
			"idle, last known t is 31 of 10:00:00, last known u is 40 of 10:00:00", "idle, last known t is 31 of 10:00:01, last known u is 40 of 10:00:00",
		},
		{
			"outside its schedule", hot + `,"schedule":{"active":[{"from":"12:00","to":"18:00"}],"scope":"evaluate"}`,
			[]string{`0 f {"t":31}`},
			"true",
			[]string{"outside its schedule the conditions count as false"},
			"idle, outside its schedule", "idle, outside its schedule",
		},
		{
			"muted", hot + `,"schedule":{"mute":[{"from":"09:00","to":"12:00"}]}`,
			[]string{`0 f {"t":31}`},
			"true",
			[]string{"alert al_… raised, and nobody is told", "suppressed outside its schedule"},
			"idle, outside its schedule", "firing since 10:00:00, outside its schedule, alert al_… suppressed, major, raised 10:00:00, suppressed outside its schedule",
		},
		{
			"sequence", `"sequence":[{"id":"up","jsonLogic":{">":[{"var":"t"},30]}},{"id":"down","jsonLogic":{"<":[{"var":"t"},0]}}],"within":"1h"`,
			[]string{`0 f {"t":31}`, `1 f {"t":10}`},
			"false", nil, "idle, 1 of 2 steps seen since 10:00:00", "idle, 1 of 2 steps seen since 10:00:00",
		},
		{
			"geofence", `"geofence":{"circle":{"lat":50,"lon":14,"radiusKm":2},"on":"enter"}`,
			[]string{`0 f {"lat":0,"lon":0}`, `1 f {"lat":50,"lon":14}`},
			"true",
			[]string{"alert al_… raised"},
			"idle, outside the fence", "firing since 10:00:01, inside the fence, alert al_… firing, major, raised 10:00:01",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := explained(t, alertOf(c.fields), c.steps...)
			assert.Equal(t, c.verdict, e.Verdict)
			plain := func(s string) string { return episodeIDs.ReplaceAllString(s, "al_…") }
			var why []string
			for _, w := range e.Why {
				why = append(why, plain(w))
			}
			assert.Equal(t, c.why, why)
			assert.Equal(t, c.before, plain(strings.Join(e.Before.Words, ", ")))
			assert.Equal(t, c.after, plain(strings.Join(e.After.Words, ", ")))
			_, err := json.Marshal(e)
			require.NoError(t, err)
		})
	}
}

// What a rule makes itself is in what its conditions are shown to read.
func TestExplainShowsWhatIsMade(t *testing.T) {
	e := explained(t, alertOf(`"window":{"type":"sliding","size":"1m"},"aggregate":{"m":{"op":"max","field":"t"}},"conditions":[{"jsonLogic":{">":[{"var":"$agg.m"},30]}}]`), `0 f {"t":31}`, `1 f {"t":2}`)
	assert.JSONEq(t, `{"$agg":{"m":31}}`, string(e.Judged))
	assert.Equal(t, "$agg.m = 31  >  30  true\n", e.Tests[0].Trace.Text(""))

	e = explained(t, alertOf(`"join":[{"as":"other","sourceId":"1","sourceFeedId":"g"}],"conditions":[{"jsonLogic":{">":[{"var":"t"},{"var":"other.x"}]}}]`), `0 g {"x":7}`, `1 f {"t":2}`)
	assert.Equal(t, "t = 2  >  other.x = 7  false\n", e.Tests[0].Trace.Text(""))
	assert.Equal(t, []string{"idle", `other is {"x":7} of 10:00:00`}, e.After.Words)
}

// To explain changes nothing, and tells what then happens.
func TestExplainIsWhatHappens(t *testing.T) {
	verdicts := map[string]int{}
	forCases(t, 60, false, func(t *testing.T, c *anyCase) {
		var explainers []*rules.Explainer
		for _, name := range c.program.Rules() {
			x, err := c.program.Explainer(name)
			require.NoError(t, err)
			explainers = append(explainers, x)
		}
		st := c.program.NewState(3, nil)
		st.Inform(facts)
		for i := range c.samples {
			s := c.samples[i]
			before := string(st.Append(nil))
			var all []*rules.Explanation
			for _, x := range explainers {
				copied := rules.Sample{Twin: s.Twin, Feed: s.Feed, At: s.At, Data: s.Data, Seq: s.Seq}
				e, err := x.Explain(&copied, s.Twin, st, func(st *rules.State, out []rules.Outcome) []rules.Outcome {
					return c.program.Eval(&copied, st, out)
				})
				require.NoError(t, err)
				all = append(all, e)
			}
			require.Equal(t, before, string(st.Append(nil)), "it changes nothing")
			made := map[string][]string{}
			for _, o := range c.program.Eval(&s, st, nil) {
				made[o.Rule] = append(made[o.Rule], string(o.AppendJSON(nil)))
			}
			for k, e := range all {
				var told []string
				for _, o := range e.Outcomes {
					told = append(told, string(o))
				}
				name := explainers[k].Rule()
				require.Equal(t, made[name], told, "sample %d, rule %s", i, name)
				require.Equal(t, c.program.Describe(st, name, s.At), e.After)
				verdicts[e.Verdict]++
				decisions := e.Counted.True + e.Counted.False + e.Counted.Unknown + e.Counted.Errors
				for _, test := range e.Tests {
					isCondition := strings.HasPrefix(test.What, "condition")
					require.False(t, isCondition && decisions == 1 && e.Verdict == "true" && test.Trace.Verdict == logic.False, "sample %d, rule %s: %s", i, name, test.Trace.Text(""))
				}
				require.NotEmpty(t, e.Text("sample", ""))
				require.NotEmpty(t, e.Line())
			}
		}
	})
	t.Log(verdicts)
}
