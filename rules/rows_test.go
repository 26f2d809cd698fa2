package rules_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// rows is one document for many rows of the table of decisions: two sources,
// several rules, an alert beside them.
const rows = `{"id":"rows","sources":[
 {"id":"1","modelDid":"did:m","feeds":[{"id":"temp","fieldIds":["t","u","site"]},{"id":"rpm"}]},
 {"id":"2","filter":{"text":"pump"},"feeds":[{"id":"temp"}]}],
"rules":[
 {"transformation":{"sourceId":"1","sourceFeedId":"temp","outputFeedId":"status","outputFieldId":"hot","outputTrueValue":true,"outputFalseValue":false,
   "conditions":[{"jsonLogic":{">":[{"var":"t"},30]},"fieldsIncludedInOutput":["t"]},{"jsonLogic":{"<":[{"var":"t"},90]},"fieldsIncludedInOutput":["site","t"]}]}},
 {"transformation":{"sourceId":"1","sourceFeedId":"temp","outputFeedId":"status","outputFieldId":"humid","outputTrueValue":"wet",
   "conditions":[{"jsonLogic":{">":[{"var":"u"},80]},"fieldsIncludedInOutput":["u","t"]}]}},
 {"transformation":{"id":"note","sourceId":"2","sourceFeedId":"temp","outputFeedId":"note","outputFieldId":"n","outputTrueValue":1.50,"outputFalseValue":-0,
   "conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]}},
 {"alert":{"id":"hot","severity":"HIGH","sourceId":"1","sourceFeedId":"temp","labels":{"line":"2","site":"brno"},
   "summary":"{{twin}}: {{t}} °C at {{ site.hall }}{{nothing}}",
   "conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]}}]}`

func sampleOf(feed, data string) rules.Sample {
	return rules.Sample{Twin: "m1", Feed: feed, At: start, Data: []byte(data), Seq: 17}
}

// lines are outcomes as JSON lines without what the rows do not vary.
func lines(out []rules.Outcome) []string {
	var all []string
	for i := range out {
		all = append(all, fmt.Sprintf("%s %s %s %s", out[i].Rule, out[i].Feed, out[i].State, out[i].Data))
	}
	return all
}

// judged are the outcomes of one sample for a twin without a past.
func judged(p *rules.Program, set rules.SourceSet, s rules.Sample) []string {
	return lines(p.Eval(&s, p.NewState(set, nil), nil))
}

func TestRows(t *testing.T) {
	p := compiled(t, rows)
	for _, tt := range []struct {
		name, feed, data string
		set              rules.SourceSet
		want             []string
	}{
		{"row 5 all conditions are true", "temp", `{"t":31}`, 1, []string{`1.temp.status.hot status  {"hot":true,"t":31}`, `hot  firing {"t":31}`}},
		{"row 5 one condition is false", "temp", `{"t":95}`, 1, []string{`1.temp.status.hot status  {"hot":false,"t":95}`, `hot  firing {"t":95}`}},
		{"row 6 fields go out on the false outcome too, in first-seen order", "temp", `{"site":"a","t":1}`, 1, []string{`1.temp.status.hot status  {"hot":false,"t":1,"site":"a"}`}},
		{"row 6 a field that is null is there", "temp", `{"site":null,"t":1}`, 1, []string{`1.temp.status.hot status  {"hot":false,"t":1,"site":null}`}},
		{"row 7 fields stay as they were written", "temp", `{"t": 31.20,"site": { "hall" : "é\u0041" } }`, 1, []string{`1.temp.status.hot status  {"hot":true,"t":31.20,"site":{"hall":"é\u0041"}}`, `hot  firing {"t":31.20}`}},
		{"row 8 an outcome without a value gives nothing", "temp", `{"u":70}`, 1, nil},
		{"row 8 values are emitted as typed", "temp", `{"t":31}`, 2, []string{`note note  {"n":1.50}`}},
		{"row 8 a value of minus zero", "temp", `{"t":1}`, 2, []string{`note note  {"n":-0}`}},
		{"row 10 a missing input", "temp", `{"site":"a"}`, 1, nil},
		{"row 10 an input that is null", "temp", `{"t":null}`, 1, nil},
		{"row 10 a missing input beside one that is there", "temp", `{"u":81}`, 1, []string{`1.temp.status.humid status  {"humid":"wet","u":81}`}},
		{"row 12 texts are coerced", "temp", `{"t":"31"}`, 2, []string{`note note  {"n":1.50}`}},
		{"row 13 the boundary is normal", "temp", `{"t":30}`, 2, []string{`note note  {"n":-0}`}},
		{"row 14 a feed without a rule", "rpm", `{"t":31}`, 3, nil},
		{"row 14 a feed that no source has", "other", `{"t":31}`, 3, nil},
		{"row 15 a sample with none of the fieldIds is ignored", "temp", `{"x":31}`, 1, nil},
		{"row 15 without fieldIds every sample counts", "temp", `{"t":31,"x":1}`, 2, []string{`note note  {"n":1.50}`}},
		{"row 15 nothing is stripped", "temp", `{"t":31,"x":1,"site":"s"}`, 1, []string{`1.temp.status.hot status  {"hot":true,"t":31,"site":"s"}`, `hot  firing {"t":31}`}},
		{
			"row 16 one output of two rules, named after the first", "temp", `{"t":31,"u":81,"site":"s"}`, 1,
			[]string{`1.temp.status.hot status  {"hot":true,"humid":"wet","t":31,"site":"s","u":81}`, `hot  firing {"t":31}`},
		},
		{"row 16 rules are independent, also of one that fails", "temp", `{"t":"x","u":81}`, 1, []string{`1.temp.status.humid status  {"humid":"wet","u":81,"t":"x"}`}},
		{"row 17 both sources", "temp", `{"t":31}`, 3, []string{`1.temp.status.hot status  {"hot":true,"t":31}`, `note note  {"n":1.50}`, `hot  firing {"t":31}`}},
		{"row 17 no source", "temp", `{"t":31}`, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, judged(p, tt.set, sampleOf(tt.feed, tt.data)))
		})
	}
}

func TestRow2Enabled(t *testing.T) {
	off := compiled(t, with(2, `"enabled":false,`))
	assert.False(t, off.Enabled())
	assert.False(t, off.Takes("f"))
	assert.Empty(t, judged(off, 1, sampleOf("f", `{"t":31}`)))
	assert.True(t, compiled(t, with(2, ``)).Enabled(), "missing = true")
	_, err := rules.Load("x", []byte(with(2, `"enabled":false,"x":1,`)))
	assert.Error(t, err, "still validated")
}

func TestRow4UnknownFieldsOfATwinsConfig(t *testing.T) {
	const doc = `{"id":"other","version":2,"sources":[{"id":"1","modelDid":"m","host":"h","feeds":[{"id":"f","unit":"C"}]}],"rules":[{"transformation":{"colour":"red",` +
		`"sourceId":"1","sourceFeedId":"f","outputFeedId":"o","outputFieldId":"v","outputTrueValue":1,"conditions":[{"jsonLogic":{"var":"t"},"fieldsIncluded":[]}]}}]}`
	in, err := rules.DecodeConfig("did:i", "Label", nil, "did:i", []byte(doc))
	require.NoError(t, err)
	p, err := rules.Compile(in)
	require.NoError(t, err)
	assert.Equal(t, "did:i", p.ID())
	left := []string{`/id: `, `/version: `, `/sources/0/host: `, `/sources/0/feeds/0/unit: `, `/rules/0/transformation/colour: unknown field "colour"; want one of`, `unknown field "fieldsIncluded"; want one of`}
	require.Len(t, p.Warnings(), len(left))
	for i, w := range p.Warnings() {
		assert.ErrorContains(t, w, left[i])
	}

	_, err = rules.Decode("did:i", []byte(doc))
	assert.ErrorContains(t, err, `/rules/0/transformation/colour: unknown field "colour"`, "in a file it is an error")
	_, err = rules.DecodeConfig("did:i", "", nil, "x", []byte(`{"sources":[{"filter":{"txt":"pump"}}],"rules":[{"alert":{"colour":"red"}}]}`))
	assert.ErrorContains(t, err, `/rules/0/alert/colour: unknown field "colour"`, "what is not IOTICS's is strict there too")
	assert.ErrorContains(t, err, `/sources/0/filter/txt: unknown field "txt"`, "without it the filter would match more")

	in, err = rules.DecodeConfig("did:i", "", nil, "x", []byte(strings.Replace(doc, "modelDid", "modelDi", 1)))
	require.NoError(t, err)
	_, err = rules.Compile(in)
	assert.ErrorContains(t, err, `neither filter nor modelDid`)
	assert.ErrorContains(t, err, `/sources/0/modelDi: unknown field "modelDi"; did you mean "modelDid"?`, "what may be missing is said with what is")
}

func TestRow7OutputSample(t *testing.T) {
	p := compiled(t, rows)
	s := sampleOf("temp", `{"t":31}`)
	s.Index, s.Hops = 3, 2
	out := p.Eval(&s, p.NewState(1, nil), nil)
	require.Len(t, out, 2)
	assert.Equal(t, rules.Outcome{
		Kind: rules.Output, Interaction: "rows", Rule: "1.temp.status.hot", Twin: "m1", Feed: "status", At: start,
		Data: []byte(`{"hot":true,"t":31}`), Seq: 17, Index: 3, Source: "m1", Hops: 3,
	}, out[0])
	assert.Equal(t, uint8(3), out[1].Hops)
}

func TestRow15NestedFieldIds(t *testing.T) {
	p := compiled(t, `{"id":"x","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f","fieldIds":["motor.rpm","site"]}]}],"rules":[
{"transformation":{"sourceId":"1","sourceFeedId":"f","outputFeedId":"o","outputFieldId":"v","outputTrueValue":1,"outputFalseValue":"slow",
 "conditions":[{"jsonLogic":{">":[{"var":["motor.rpm",2]},1]}},{"jsonLogic":{"!=":[{"var":["site.name","x"]},"y"]}}]}}]}`)
	assert.Equal(t, []rules.Value{{Label: "v"}}, p.Feeds()[0].Values, "no data type for a number and a text")
	for data, want := range map[string][]string{
		`{"motor":{"rpm":0}}`:   {`1.f.o.v o  {"v":"slow"}`},
		`{"site":{}}`:           {`1.f.o.v o  {"v":1}`},
		`{"motor":{"rpn":9}}`:   nil,
		`{"motor":9}`:           nil,
		`{"motor.rpm":9,"x":1}`: nil,
	} {
		assert.Equal(t, want, judged(p, 1, sampleOf("f", data)), data)
	}
}

func TestRow17TheFirstSourceWritesAFieldOfBoth(t *testing.T) {
	p := compiled(t, `{"id":"x","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]},{"id":"2","modelDid":"n","feeds":[{"id":"f"}]}],"rules":[
{"transformation":{"sourceId":"1","sourceFeedId":"f","outputFeedId":"o","outputFieldId":"v","outputTrueValue":"one","conditions":[{"jsonLogic":{">":[{"var":"t"},30]},"fieldsIncludedInOutput":["w"]}]}},
{"transformation":{"sourceId":"2","sourceFeedId":"f","outputFeedId":"o","outputFieldId":"v","outputTrueValue":"two","outputFalseValue":"cold",
 "conditions":[{"jsonLogic":{">":[{"var":"t"},20]},"fieldsIncludedInOutput":["t"]}]}},
{"transformation":{"sourceId":"2","sourceFeedId":"f","outputFeedId":"o","outputFieldId":"w","outputTrueValue":0,"conditions":[{"jsonLogic":{">":[{"var":"t"},50]}}]}}]}`)
	assert.Equal(t, []string{`1.f.o.v o  {"v":"one","w":9}`}, judged(p, 3, sampleOf("f", `{"t":31,"w":9}`)), "its fields go with it")
	assert.Equal(t, []string{`2.f.o.v o  {"v":"two","t":21}`}, judged(p, 3, sampleOf("f", `{"t":21,"w":9}`)))
	assert.Equal(t, []string{`1.f.o.v o  {"v":"one","w":0}`}, judged(p, 3, sampleOf("f", `{"t":51,"w":9}`)), "a value wins over an included field")
}

func TestRow19ModelAndFilter(t *testing.T) {
	model := rules.Property{Key: rules.PropModel, Value: rules.Literal{Kind: rules.URI, Value: "did:m"}}
	p := compiled(t, rows)
	assert.Equal(t, rules.Filter{Properties: []rules.Property{model}}, p.Sources()[0].Filter, "modelDid stands for the filter")
	assert.Equal(t, rules.Filter{Text: "pump"}, p.Sources()[1].Filter)

	p, err := rules.Compile(tutorial(t))
	require.NoError(t, err)
	model.Value.Value = "did:iotics:iotMODEL"
	assert.Equal(t, []rules.Property{model}, p.Sources()[0].Filter.Properties, "the nested form")
	assert.Empty(t, p.Warnings())

	p = compiled(t, with(3, `"sources":[{"id":"1","modelDid":"m","filter":{"properties":[{"key":"k","uriValue":{"value":"v"}}]},`))
	assert.Len(t, p.Sources()[0].Filter.Properties, 1, "beside properties modelDid only describes")
}

func TestRow20And21Rates(t *testing.T) {
	p := compiled(t, strings.NewReplacer(`"refreshRateS":300`, `"refreshRateS":1.5`, `"cleanupRateS":900`, `"cleanupRateS":0`).Replace(whole))
	assert.Equal(t, 1500*time.Millisecond, p.Sources()[0].Refresh)
	assert.Zero(t, p.Sources()[0].Cleanup)
	p = compiled(t, rows)
	assert.Equal(t, rules.DefaultRefresh, p.Sources()[0].Refresh)
	assert.Equal(t, rules.DefaultCleanup, p.Sources()[0].Cleanup)
}

func TestRow24OutputFeeds(t *testing.T) {
	assert.Equal(t, []rules.Feed{
		{ID: "status", StoreLast: true, Values: []rules.Value{{Label: "hot", DataType: "boolean"}, {Label: "humid", DataType: "string"}}},
		{ID: "note", StoreLast: true, Values: []rules.Value{{Label: "n", DataType: "decimal"}}},
	}, compiled(t, rows).Feeds(), "made from the rules")

	declared := strings.Replace(rows, `"sources"`, `"feeds":[{"id":"unused"},{"id":"status","storeLast":false,"values":[{"label":"hot","unit":"u"}]}],"sources"`, 1)
	feeds := compiled(t, declared).Feeds()
	require.Len(t, feeds, 2)
	assert.Equal(t, rules.Feed{ID: "status", Values: []rules.Value{{Label: "hot", Unit: "u"}}}, feeds[0], "as the interaction describes it")
	assert.Equal(t, "note", feeds[1].ID)
}

func TestRow31LateSamples(t *testing.T) {
	p := compiled(t, rows)
	c := p.NewCounters()
	st := p.NewState(1, c)
	at := func(seconds int, data string) rules.Sample {
		s := sampleOf("temp", data)
		s.At = start.Add(time.Duration(seconds) * time.Second)
		return s
	}
	first, late, equal, next := at(60, `{"t":31}`), at(59, `{"t":1}`), at(60, `{"t":2}`), at(61, `{"t":3}`)
	assert.Len(t, p.Eval(&first, st, nil), 2)
	assert.Equal(t, []string{`1.temp.status.hot status  {"hot":false,"t":1}`}, lines(p.Eval(&late, st, nil)), "a transformation answers, the alert does not")
	assert.Equal(t, []string{`1.temp.status.hot status  {"hot":false,"t":2}`}, lines(p.Eval(&equal, st, nil)))
	out := p.Eval(&next, st, nil)
	assert.Equal(t, []string{`1.temp.status.hot status  {"hot":false,"t":3}`, `hot  resolved {"t":3}`}, lines(out))
	assert.Equal(t, rules.Funnel{Received: 4, Matched: 4, Late: 2, True: 1, False: 3}, c.Funnels()[0])
	assert.Equal(t, rules.Funnel{Received: 4, Matched: 4, Late: 2, Unknown: 4}, c.Funnels()[1])
	assert.Equal(t, rules.Funnel{Received: 4}, c.Funnels()[2], "of a source that the twin does not match")
	assert.Equal(t, rules.Funnel{Received: 4, Matched: 4, Late: 2, True: 1, False: 1, Raised: 1, Resolved: 1}, c.Funnels()[3])
}

func TestRow32EqualConfig(t *testing.T) {
	a, b := compiled(t, rows), compiled(t, strings.ReplaceAll(rows, "\n", "  "))
	assert.Equal(t, a.Hash(), b.Hash())
}

func TestTutorial(t *testing.T) {
	p, err := rules.Compile(tutorial(t))
	require.NoError(t, err)
	assert.Equal(t, "overheating", p.ID())
	for _, tt := range []struct{ data, want string }{
		{`{"temperature": 31.2}`, `{"status":"extreme","temperature":31.2}`},
		{`{"temperature": 30}`, `{"status":"normal","temperature":30}`},
		{`{"temperature": 29.999}`, `{"status":"normal","temperature":29.999}`},
	} {
		s := sampleOf("currentTemp", tt.data)
		out := p.Eval(&s, p.NewState(1, nil), nil)
		require.Len(t, out, 1)
		assert.Equal(t, `{"kind":"output","interaction":"overheating","rule":"1.currentTemp.temperature_status.status","twin":"m1","feed":"temperature_status",`+
			`"occurredAt":"2026-11-22T10:00:00Z","data":`+tt.want+`,"cause":{"seq":17}}`, string(out[0].AppendJSON(nil)))
	}
}
