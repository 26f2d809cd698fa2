package rules_test

import (
	"encoding/csv"
	"errors"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

const tooHot = `{"id":"hot","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]},{"id":"2","modelDid":"n","feeds":[{"id":"f"}]}],"rules":[
{"alert":{"id":"a","severity":"crit","sourceId":"1","sourceFeedId":"f","labels":{"line":"2"},"summary":"{{twin}} is at {{t}} °C in {{ place.hall }}{{gone}}",
 "conditions":[{"jsonLogic":{">":[{"var":"t"},30]}},{"jsonLogic":{"!=":[{"var":["place.hall","x"]},"out"]}}]}},
{"alert":{"id":"b","severity":"low","sourceId":"2","sourceFeedId":"f",
 "conditions":[{"jsonLogic":{">":[{"var":"t"},40]},"fieldsIncludedInOutput":["u","t"]}]}}]}`

// history is one twin and the program that judges it, a second from sample to sample.
type history struct {
	p   *rules.Program
	st  *rules.State
	c   *rules.Counters
	now time.Time
	seq uint64
}

func newHistory(p *rules.Program, bound rules.SourceSet) *history {
	c := p.NewCounters()
	return &history{p: p, st: p.NewState(bound, c), c: c, now: start}
}

func (h *history) next(data string) []rules.Outcome {
	h.now, h.seq = h.now.Add(time.Second), h.seq+1
	s := rules.Sample{Twin: "m1", Feed: "f", At: h.now, Data: []byte(data), Seq: h.seq}
	return h.p.Eval(&s, h.st, nil)
}

func TestAlertLife(t *testing.T) {
	h := newHistory(compiled(t, tooHot), 1)
	assert.Empty(t, h.next(`{"t":30}`))
	raised := h.next(`{"t":31.20,"place":{"hall":"A\"1"}}`)
	require.Len(t, raised, 1)
	const key = "hot|a|m1|f|"
	assert.Equal(t, rules.Outcome{
		Kind: rules.Alert, Interaction: "hot", Rule: "a", Twin: "m1", At: start.Add(2 * time.Second), Data: []byte(`{"t":31.20,"place":{"hall":"A\"1"}}`),
		Seq: 2, Source: "m1", Hops: 1, ID: raised[0].ID, State: rules.StateFiring, Severity: "critical", Starts: start.Add(2 * time.Second),
		Summary: `m1 is at 31.20 °C in A"1`, Labels: map[string]string{"line": "2"}, Reason: rules.ReasonCondition,
		Life: &rules.Life{
			Number: 1, Event: rules.EventRaised, Feed: "f", Revision: raised[0].Life.Revision, Key: key, Status: rules.StatusFiring, Active: true, Label: "crit",
			Counts: rules.Counts{Samples: 1, Raises: 1},
		},
	}, raised[0])
	assert.Regexp(t, "^[0-9a-f]{16}$", raised[0].Life.Revision)
	assert.Regexp(t, `^al_[0-9a-hjkmnp-tv-z]{26}$`, raised[0].ID)
	assert.True(t, h.st.Firing())

	assert.Empty(t, h.next(`{"t":35}`), "fires once")
	assert.Empty(t, h.next(`{"u":1}`), "unknown changes nothing")
	assert.Empty(t, h.next(`{"t":null}`))
	resolved := h.next(`{"t":2}`)
	require.Len(t, resolved, 1)
	assert.Equal(t, rules.Outcome{
		Kind: rules.Alert, Interaction: "hot", Rule: "a", Twin: "m1", At: start.Add(6 * time.Second), Data: []byte(`{"t":2}`),
		Seq: 6, Source: "m1", Hops: 1, ID: raised[0].ID, State: rules.StateResolved, Severity: "critical", Starts: start.Add(2 * time.Second), Ends: start.Add(6 * time.Second),
		Summary: `m1 is at 31.20 °C in A"1`, Labels: map[string]string{"line": "2"}, Reason: rules.ReasonCondition,
		Life: &rules.Life{
			Number: 2, Event: rules.EventCleared, Feed: "f", Revision: raised[0].Life.Revision, Key: key, Status: rules.StatusClosed, Label: "crit",
			Counts: rules.Counts{Samples: 5, Raises: 1},
		},
	}, resolved[0])
	assert.Empty(t, h.next(`{"t":2}`))
	again := h.next(`{"t":99}`)
	require.Len(t, again, 1)
	assert.NotEqual(t, raised[0].ID, again[0].ID, "a new episode")
	assert.Equal(t, rules.Funnel{Received: 8, Matched: 8, Unknown: 2, True: 3, False: 3, Raised: 2, Resolved: 1}, h.c.Funnels()[0])
}

func TestAlertIDIsOfTheKeyAndTheTime(t *testing.T) {
	raise := func(doc, twin string, at time.Time) string {
		p := compiled(t, doc)
		s := rules.Sample{Twin: twin, Feed: "f", At: at, Data: []byte(`{"t":31}`), Seq: 99}
		return p.Eval(&s, p.NewState(1, nil), nil)[0].ID
	}
	id := raise(tooHot, "m1", start)
	assert.Equal(t, id, raise(tooHot, "m1", start.In(time.FixedZone("", 3600))), "whichever zone the time is written in")
	assert.Equal(t, id, raise(strings.Replace(tooHot, `"crit"`, `"info"`, 1), "m1", start))
	assert.NotEqual(t, id, raise(tooHot, "m2", start))
	assert.NotEqual(t, id, raise(tooHot, "m1", start.Add(time.Nanosecond)))
	assert.NotEqual(t, id, raise(strings.Replace(tooHot, `"id":"a"`, `"id":"c"`, 1), "m1", start))
	assert.NotEqual(t, id, raise(strings.Replace(tooHot, `"id":"hot"`, `"id":"hat"`, 1), "m1", start))
}

func TestAlertData(t *testing.T) {
	h := newHistory(compiled(t, tooHot), 2)
	out := h.next(`{"t":41,"v":2,"u":"x"}`)
	require.Len(t, out, 1)
	assert.Equal(t, `{"u":"x","t":41}`, string(out[0].Data), "the included fields")
	assert.Equal(t, "b on m1", out[0].Summary, "the default")
	assert.Equal(t, "warning", out[0].Severity)

	empty := strings.Replace(tooHot, `[{"jsonLogic":{">":[{"var":"t"},40]},"fieldsIncludedInOutput":["u","t"]}]`, `[{"jsonLogic":true}]`, 1)
	assert.Equal(t, `{}`, string(newHistory(compiled(t, empty), 2).next(`{"t":1}`)[0].Data))
}

func TestSummaries(t *testing.T) {
	for _, tt := range []struct{ summary, data, want string }{
		{"plain", `{"t":31}`, "plain"},
		{"{{t}}{{ t }}", `{"t":31.0}`, "31.031.0"},
		{"{{t}} }} {x}", `{"t":31}`, "31 }} {x}"},
		{"{{twin}}", `{"t":31}`, "m1"},
		{"{{twin}}", `{"t":31,"twin":"other"}`, "other"},
		{"{{twin.name}}", `{"t":31}`, ""},
		{"{{a.b.c}}", `{"t":31,"a":{"b":{"c":true}}}`, "true"},
		{"{{a.b.c}}", `{"t":31,"a":{"b":[1]}}`, ""},
		{"{{a}}", `{"t":31,"a":{ "b" : [1, 2] }}`, `{"b":[1,2]}`},
		{"{{a}}", `{"t":31,"a":null}`, ""},
		{"{{a}}", `{"t":31,"a":"\u00e9\n<b>"}`, "é\n<b>"},
		{"{{a}}", `{"t":31,"a":"` + strings.Repeat("é", 1000) + `"}`, strings.Repeat("é", 510) + "…"},
	} {
		p := compiled(t, `{"id":"x","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"alert":{"id":"a","severity":"info","sourceId":"1",
"sourceFeedId":"f","summary":"`+tt.summary+`","conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]}}]}`)
		s := rules.Sample{Twin: "m1", Feed: "f", At: start, Data: []byte(tt.data)}
		out := p.Eval(&s, p.NewState(1, nil), nil)
		require.Len(t, out, 1, tt.summary)
		assert.Equal(t, tt.want, out[0].Summary, tt.summary)
	}
}

// Three-valued and: false beside unknown is false, true beside unknown is unknown.
func TestUnknownBesideFalse(t *testing.T) {
	p := compiled(t, `{"id":"x","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"transformation":{"sourceId":"1","sourceFeedId":"f",
"outputFeedId":"o","outputFieldId":"v","outputTrueValue":1,"outputFalseValue":0,
"conditions":[{"jsonLogic":{">":[{"var":"a"},0]}},{"jsonLogic":{">":[{"var":"b"},0]}},{"jsonLogic":{"if":[{"==":[{"var":["c",0]},1]},{"throw":"no"},true]}}]}}]}`)
	h := newHistory(p, 1)
	for _, tt := range []struct{ data, want string }{
		{`{"a":1,"b":1}`, `{"v":1}`},
		{`{"a":0,"b":1}`, `{"v":0}`},
		{`{"a":0}`, `{"v":0}`},
		{`{"b":0}`, `{"v":0}`},
		{`{"b":1}`, ``},
		{`{"c":1}`, ``},
		{`{"a":1,"b":1,"c":1}`, ``},
		{`{"a":1,"b":0,"c":1}`, `{"v":0}`},
	} {
		got := ""
		for _, o := range h.next(tt.data) {
			got += string(o.Data)
		}
		assert.Equal(t, tt.want, got, tt.data)
	}
	assert.Equal(t, rules.Funnel{Received: 8, Matched: 8, Unknown: 1, Errors: 2, True: 1, False: 4}, h.c.Funnels()[0], "an error counts as one, also beside unknown")
}

func TestClose(t *testing.T) {
	h := newHistory(compiled(t, tooHot), 3)
	raised := h.next(`{"t":50}`)
	require.Len(t, raised, 2)
	out := h.p.Close(start.Add(time.Hour), "m1", h.st, rules.ReasonRuleDeleted, nil)
	require.Len(t, out, 2)
	for i := range out {
		assert.Equal(t, raised[i].ID, out[i].ID)
		assert.Equal(t, raised[i].Starts, out[i].Starts)
		assert.Equal(t, raised[i].Summary, out[i].Summary)
		assert.Equal(t, rules.StateResolved, out[i].State)
		assert.Equal(t, rules.ReasonRuleDeleted, out[i].Reason)
		assert.Equal(t, start.Add(time.Hour), out[i].At)
		assert.Equal(t, start.Add(time.Hour), out[i].Ends)
		assert.Equal(t, `{}`, string(out[i].Data))
	}
	assert.Empty(t, h.p.Close(start.Add(time.Hour), "m1", h.st, rules.ReasonRuleDeleted, nil), "once")
	assert.Equal(t, uint64(1), h.c.Funnels()[0].Resolved)
	assert.False(t, h.st.Firing())
}

// The clock of the device is ahead of ours: its alert does not end before it starts.
func TestCloseBeforeTheStart(t *testing.T) {
	h := newHistory(compiled(t, tooHot), 1)
	raised := h.next(`{"t":50}`)
	out := h.p.Close(start.Add(-time.Hour), "m1", h.st, rules.ReasonTwinRemoved, nil)
	assert.Equal(t, raised[0].Starts, out[0].Ends)
}

func TestBind(t *testing.T) {
	h := newHistory(compiled(t, tooHot), 3)
	require.Len(t, h.next(`{"t":50}`), 2)
	out := h.p.Bind(2, start.Add(time.Hour), "m1", h.st, nil)
	require.Len(t, out, 1)
	assert.Equal(t, "a", out[0].Rule)
	assert.Equal(t, rules.ReasonTwinRemoved, out[0].Reason)
	assert.Equal(t, rules.SourceSet(2), h.st.Bound())
	assert.Empty(t, h.next(`{"t":60}`), "the other one still fires")
	assert.Empty(t, h.p.Bind(3, start.Add(time.Hour), "m1", h.st, nil))
	assert.Equal(t, "a", h.next(`{"t":60}`)[0].Rule, "bound again, a new episode")
}

func TestAdopt(t *testing.T) {
	replace := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(tooHot) }
	for _, tt := range []struct {
		name, doc string
		bound     rules.SourceSet
		want      []string // rule, reason
		firing    bool
	}{
		{"nothing that matters", replace(`"crit"`, `"info"`, `"line":"2"`, `"line":"3"`), 3, nil, true},
		{"rules in another place", replace(`"rules":[`, `"rules":[{"alert":{"id":"c","severity":"info","sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{">":[{"var":"t"},99]}}]}},`), 3, nil, true},
		{"a condition", replace(`},40]`, `},41]`), 3, []string{"b ruleChanged"}, true},
		{"the other source", replace(`"sourceId":"2"`, `"sourceId":"1"`), 3, []string{"b ruleChanged"}, true},
		{"a rule away", replace(`"id":"b"`, `"id":"c"`), 3, []string{"b ruleDeleted"}, true},
		{"a source away", tooHot, 1, []string{"b twinRemoved"}, true},
		{"disabled", replace(`"sources"`, `"enabled":false,"sources"`), 3, []string{"a ruleChanged", "b ruleChanged"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHistory(compiled(t, tooHot), 3)
			require.Len(t, h.next(`{"t":50}`), 2)
			p := compiled(t, tt.doc)
			c := p.NewCounters()
			st, out := p.Adopt(h.p, h.st, tt.bound, c, start.Add(time.Hour), "m1", nil)
			var got []string
			for _, o := range out {
				got = append(got, o.Rule+" "+o.Reason)
			}
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.firing, st.Firing())
			assert.Equal(t, tt.bound, st.Bound())

			late := rules.Sample{Twin: "m1", Feed: "f", At: h.now, Data: []byte(`{"t":1}`)}
			for _, o := range p.Eval(&late, st, nil) {
				assert.NotEqual(t, rules.Alert, o.Kind, "what was late stays late")
			}
		})
	}
}

func TestAdoptOfAnotherFeed(t *testing.T) {
	h := newHistory(compiled(t, tooHot), 1)
	require.Len(t, h.next(`{"t":50}`), 1)
	p := compiled(t, strings.NewReplacer(`"sourceFeedId":"f"`, `"sourceFeedId":"g"`, `{"id":"f"}`, `{"id":"g"}`).Replace(tooHot))
	st, out := p.Adopt(h.p, h.st, 1, nil, h.now, "m1", nil)
	require.Len(t, out, 1)
	assert.Equal(t, rules.ReasonRuleChanged, out[0].Reason)
	assert.True(t, st.Empty())
}

func TestSnapshot(t *testing.T) {
	p := compiled(t, tooHot)
	h := newHistory(p, 3)
	assert.True(t, h.st.Empty())
	assert.Equal(t, `{"version":2,"bound":3,"feeds":{}}`, string(h.st.Append(nil)))
	raised := h.next(`{"t":35}`)
	assert.False(t, h.st.Empty())
	text := string(h.st.Append([]byte("x"))[1:])
	hash := regexp.MustCompile(`"rule":"[0-9a-f]{16}"`).FindString(text)
	assert.Equal(t, `{"version":2,"bound":3,"feeds":{"f":[1795341601000000000,1]},"episodes":{"a":{`+hash+`,"id":"`+raised[0].ID+
		`","n":1,"active":true,"told":true,"starts":1795341601000000000,"since":1795341601000000000,"toldAt":1795341601000000000,"toldRank":5,"seen":0,"raises":1,"summary":"m1 is at 35 °C in ","data":{"t":35}}}}`, text)

	st, err := p.LoadState([]byte(text), nil)
	require.NoError(t, err)
	assert.Equal(t, text, string(st.Append(nil)))

	for _, tt := range []struct{ text, want string }{
		{``, `state of hot: EOF`},
		{strings.Replace(text, `"version":2`, `"version":3`, 1), `state of hot: version 3; want 2`},
		{strings.Replace(text, `"bound"`, `"bind"`, 1), `state of hot: json: unknown field "bind"`},
		{strings.Replace(text, `"f"`, `"g"`, 1), `state of hot: no rule reads feed "g"`},
		{strings.Replace(text, `"a":{`, `"c":{`, 1), `state of hot: alert "c" is of another rule`},
		{strings.Replace(text, hash, `"rule":""`, 1), `state of hot: alert "a" is of another rule`},
	} {
		_, err := p.LoadState([]byte(tt.text), nil)
		assert.EqualError(t, err, tt.want)
	}
}

func TestSnapshotOfVersion1(t *testing.T) {
	p := compiled(t, tooHot)
	h := newHistory(p, 3)
	raised := h.next(`{"t":35}`)
	old := `{"version":1,"bound":3,"newest":{"f":"2026-11-22T10:00:01Z"},"firing":{"a":{"rule":"` + raised[0].Life.Revision + `","id":"` + raised[0].ID +
		`","starts":"2026-11-22T10:00:01Z","summary":"hot"}}}`
	st, err := p.LoadState([]byte(old), nil)
	require.NoError(t, err)
	h.st = st
	assert.Empty(t, h.next(`{"t":36}`))
	resolved := h.next(`{"t":1}`)
	require.Len(t, resolved, 1)
	assert.Equal(t, raised[0].ID, resolved[0].ID)
	assert.Equal(t, "hot", resolved[0].Summary)
	assert.False(t, resolved[0].Life.Silent)
}

func TestFunnelAdd(t *testing.T) {
	p := compiled(t, tooHot)
	a, b := newHistory(p, 3), newHistory(p, 3)
	for _, data := range []string{`{"t":50}`, `{}`, `{"t":1}`} {
		a.next(data)
		b.next(data)
	}
	sum := a.c.Funnels()[0]
	sum.Add(b.c.Funnels()[0])
	assert.Equal(t, rules.Funnel{Received: 6, Matched: 6, Unknown: 2, True: 2, False: 2, Raised: 2, Resolved: 2}, sum)
}

// The recording's own README says how many edges and late samples it has.
// recording are the samples of a file of NAB, of the feed machine.
func recording(t *testing.T, name string) []rules.Sample {
	t.Helper()
	file, err := os.Open("../../shared/data/nab/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the recording is not there")
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	var samples []rules.Sample
	for i, row := range rows[1:] {
		at, err := time.Parse(time.DateTime, row[0])
		require.NoError(t, err)
		samples = append(samples, rules.Sample{Twin: "machine", Feed: "machine", At: at, Data: []byte(`{"value":` + row[1] + `}`), Seq: uint64(i + 1)})
	}
	return samples
}

func TestMachineTemperature(t *testing.T) {
	samples := recording(t, "machine_temperature_system_failure.csv")
	p := compiled(t, `{"id":"nab","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"machine"}]}],"rules":[
{"alert":{"id":"hot","severity":"major","sourceId":"1","sourceFeedId":"machine","conditions":[{"jsonLogic":{">":[{"var":"value"},100]}}]}},
{"transformation":{"id":"status","sourceId":"1","sourceFeedId":"machine","outputFeedId":"o","outputFieldId":"hot","outputTrueValue":true,
 "conditions":[{"jsonLogic":{">":[{"var":"value"},100]}}]}}]}`)
	c := p.NewCounters()
	st := p.NewState(1, c)
	states := map[string]int{}
	for _, s := range samples {
		for _, o := range p.Eval(&s, st, nil) {
			states[o.State]++
		}
	}
	assert.Equal(t, map[string]int{rules.StateFiring: 239, rules.StateResolved: 239, "": 1586}, states)
	assert.Equal(t, uint64(22_695), c.Funnels()[0].Received)
	assert.Equal(t, uint64(12), c.Funnels()[0].Late)
	assert.Equal(t, uint64(1586), c.Funnels()[1].True)
}
