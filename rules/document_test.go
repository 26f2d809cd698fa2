package rules_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// whole is a document to break: each line can be replaced by itself.
const whole = `{"id":"hot","label":"Too hot","feeds":[{"id":"out","values":[{"label":"v"}]}],
"enabled":true,
"sources":[{"id":"1","modelDid":"m",
"feeds":[{"id":"f","fieldIds":["t","u"]}],
"refreshRateS":300,
"cleanupRateS":900}],
"rules":[{"transformation":{
"sourceId":"1","sourceFeedId":"f",
"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}],
"outputFeedId":"out","outputFieldId":"v","outputTrueValue":1,"outputFalseValue":0}},
{"alert":{"id":"a","severity":"major",
"sourceId":"1","sourceFeedId":"f",
"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]}}
]}
`

// with is the whole document with line n, from 1, replaced.
func with(n int, line string) string {
	lines := strings.Split(whole, "\n")
	lines[n-1] = line
	return strings.Join(lines, "\n")
}

const transformation = `"sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{"var":"t"}}],"outputFeedId":"o2","outputFieldId":"v"`

func compiled(t testing.TB, doc string) *rules.Program {
	t.Helper()
	p, err := rules.Load("test.json", []byte(doc))
	require.NoError(t, err)
	return p
}

func tutorial(t testing.TB) rules.Interaction {
	t.Helper()
	text, err := os.ReadFile("testdata/tutorial.json")
	require.NoError(t, err)
	in, err := rules.Decode("examples/rules/overheating/interaction.json", text)
	require.NoError(t, err)
	return in
}

func TestWholeIsFine(t *testing.T) {
	assert.Empty(t, compiled(t, whole).Warnings())
}

var broken = []struct{ name, doc, want string }{
	{
		"empty",
		"",
		`x:1:1: empty document; want a JSON value`,
	},
	{
		"not JSON",
		"{",
		`x:1:2: the document ends too early; want "}" for the "{" that opens at 1:1`,
	},
	{
		"an array",
		"[]",
		`x:1:1: got an array; want an object`,
	},
	{
		"trailing text",
		whole + "x",
		`x:15:1: text after the end of the document; want nothing`,
	},
	{
		"wrapper typo",
		with(2, `"enable":true,`),
		`x:2:1: /enable: unknown field "enable"; did you mean "enabled"?`,
	},
	{
		"wrong case",
		with(2, `"Enabled":true,`),
		`x:2:1: /Enabled: unknown field "Enabled"; did you mean "enabled"?`,
	},
	{
		"duplicate",
		with(2, `"enabled":true,"enabled":false,`),
		`x:2:16: /enabled: duplicate field "enabled"; want each name once`,
	},
	{
		"enabled is no boolean",
		with(2, `"enabled":"yes",`),
		`x:2:11: /enabled: got "yes"; want true or false`,
	},
	{
		"empty id",
		with(1, `{"id":"",`),
		`x:1:7: /id: got ""; want a text that is not empty`,
	},
	{
		"feeds twice",
		with(1, `{"id":"hot","feeds":[{"id":"out"},{"id":"out"}],`),
		`x:1:41: /feeds/1/id: "out" is there twice; want each id once`,
	},
	{
		"feed typo",
		with(1, `{"id":"hot","feeds":[{"id":"out","storelast":true}],`),
		`x:1:34: /feeds/0/storelast: unknown field "storelast"; did you mean "storeLast"?`,
	},
	{
		"no sources, no rules",
		`{}`,
		`x:1:1: field "sources" is missing` + "\n" +
			`x:1:1: field "rules" is missing`,
	},
	{
		"sources is no array",
		`{"sources":{},"rules":[]}`,
		`x:1:12: /sources: got an object; want an array`,
	},
	{
		"source is no object",
		`{"sources":[1],"rules":[]}`,
		`x:1:13: /sources/0: got 1; want an object`,
	},
	{
		"source without anything",
		with(3, `"sources":[{},{"id":"1","modelDid":"m",`),
		`x:3:12: /sources/0: field "id" is missing` + "\n" +
			`x:3:12: /sources/0: field "feeds" is missing` + "\n" +
			`x:3:12: /sources/0: neither filter nor modelDid, which would match every twin; want one of them`,
	},
	{
		"source typo",
		with(3, `"sources":[{"id":"1","modelDID":"m",`),
		`x:3:12: /sources/0: neither filter nor modelDid, which would match every twin; want one of them` + "\n" +
			`x:3:22: /sources/0/modelDID: unknown field "modelDID"; did you mean "modelDid"?`,
	},
	{
		"neither filter nor model",
		with(3, `"sources":[{"id":"1","filter":{"properties":[],"text":null},`),
		`x:3:12: /sources/0: neither filter nor modelDid, which would match every twin; want one of them`,
	},
	{
		"source twice",
		with(3, `"sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]},{"id":"1","modelDid":"m",`),
		`x:3:65: /sources/1/id: source "1" is there twice; want each id once`,
	},
	{
		"source feed twice",
		with(4, `"feeds":[{"id":"f"},{"id":"f"}],`),
		`x:4:27: /sources/0/feeds/1/id: feed "f" is there twice; want each id once`,
	},
	{
		"source without feeds",
		with(4, `"feeds":[],`),
		`x:4:9: /sources/0/feeds: an empty list; want at least one feed`,
	},
	{
		"feed is a text",
		with(4, `"feeds":["f"],`),
		`x:4:10: /sources/0/feeds/0: got "f"; want an object`,
	},
	{
		"fieldIds is a text",
		with(4, `"feeds":[{"id":"f","fieldIds":"t"}],`),
		`x:4:31: /sources/0/feeds/0/fieldIds: got "t"; want an array`,
	},
	{
		"fieldIds with an empty one",
		with(4, `"feeds":[{"id":"f","fieldIds":["t",""]}],`),
		`x:4:36: /sources/0/feeds/0/fieldIds/1: got ""; want a text that is not empty`,
	},
	{
		"refresh of nothing",
		with(5, `"refreshRateS":0,`),
		`x:5:16: /sources/0/refreshRateS: got 0; want a number of seconds from 1 to 31622400, such as 300`,
	},
	{
		"refresh with a unit",
		with(5, `"refreshRateS":"5m",`),
		`x:5:16: /sources/0/refreshRateS: got "5m"; want a number of seconds from 1 to 31622400, such as 300`,
	},
	{
		"refresh of a year and more",
		with(5, `"refreshRateS":31622401,`),
		`x:5:16: /sources/0/refreshRateS: got 31622401; want a number of seconds from 1 to 31622400, such as 300`,
	},
	{
		"negative cleanup",
		with(6, `"cleanupRateS":-1}],`),
		`x:6:16: /sources/0/cleanupRateS: got -1; want a number of seconds from 0 (never) to 31622400, such as 900`,
	},
	{
		"rule is no object",
		with(11, `7,{"alert":{"id":"a","severity":"major",`),
		`x:11:1: /rules/1: got 7; want an object with one kind of rule`,
	},
	{
		"rule without a kind",
		with(11, `{},{"alert":{"id":"a","severity":"major",`),
		`x:11:1: /rules/1: a rule without a kind; want one of alert, notification, sticker, transformation`,
	},
	{
		"rule of an unknown kind",
		with(7, `"rules":[{"transformations":{`),
		`x:7:11: /rules/0/transformations: unknown kind of rule "transformations"; did you mean "transformation"?`,
	},
	{
		"rule of a far kind",
		with(7, `"rules":[{"webhook":{`),
		`x:7:11: /rules/0/webhook: unknown kind of rule "webhook"; want one of alert, notification, sticker, transformation`,
	},
	{
		"rule of two kinds",
		with(11, `{"transformation":{`+transformation+`},"alert":{"id":"a","severity":"major",`),
		`x:11:1: /rules/1: a rule of 2 kinds (transformation, alert); want exactly one`,
	},
	{
		"unknown source",
		with(8, `"sourceId":"2","sourceFeedId":"f",`),
		`x:8:12: /rules/0/transformation/sourceId: no source "2"; did you mean "1"?`,
	},
	{
		"unknown feed",
		with(8, `"sourceId":"1","sourceFeedId":"feed",`),
		`x:8:31: /rules/0/transformation/sourceFeedId: source "1" has no feed "feed"; want "f"`,
	},
	{
		"source is a number",
		with(8, `"sourceId":1,"sourceFeedId":"f",`),
		`x:8:12: /rules/0/transformation/sourceId: got 1; want a text that is not empty`,
	},
	{
		"source and feed missing",
		with(8, ``),
		`x:7:28: /rules/0/transformation: field "sourceId" is missing` + "\n" +
			`x:7:28: /rules/0/transformation: field "sourceFeedId" is missing`,
	},
	{
		"a misspelt stateful field",
		with(8, `"sourceId":"1","sourceFeedId":"f","absents":{"for":"15m"},`),
		`x:8:35: /rules/0/transformation/absents: unknown field "absents"; did you mean "absent"?`,
	},
	{
		"no conditions",
		with(9, `"conditions":[],`),
		`x:9:14: /rules/0/transformation/conditions: an empty list; want at least one condition`,
	},
	{
		"conditions missing",
		with(9, ``),
		`x:7:28: /rules/0/transformation: field "conditions" is missing`,
	},
	{
		"condition without logic",
		with(9, `"conditions":[{"fieldsIncludedInOutput":["t"]}],`),
		`x:9:15: /rules/0/transformation/conditions/0: field "jsonLogic" is missing`,
	},
	{
		"condition typo",
		with(9, `"conditions":[{"jsonlogic":{"var":"t"}}],`),
		`x:9:15: /rules/0/transformation/conditions/0: field "jsonLogic" is missing` + "\n" +
			`x:9:16: /rules/0/transformation/conditions/0/jsonlogic: unknown field "jsonlogic"; did you mean "jsonLogic"?`,
	},
	{
		"unknown operator",
		with(9, `"conditions":[{"jsonLogic":{"mising":["t"]}}],`),
		`x:9:29: /rules/0/transformation/conditions/0/jsonLogic/mising: unknown operator "mising"; did you mean "missing"?`,
	},
	{
		"var outside fieldIds",
		with(9, `"conditions":[{"jsonLogic":{">":[{"var":"tt"},30]}}],`),
		`x:9:41: /rules/0/transformation/conditions/0/jsonLogic/>/0/var: field "tt" is not among the fieldIds of feed "f"; did you mean "t"?`,
	},
	{
		"included outside fieldIds",
		with(9, `"conditions":[{"jsonLogic":{"var":"t"},"fieldsIncludedInOutput":["t","volume"]}],`),
		`x:9:70: /rules/0/transformation/conditions/0/fieldsIncludedInOutput/1: field "volume" is not among the fieldIds of feed "f"; want one of t, u`,
	},
	{
		"included is the output",
		with(9, `"conditions":[{"jsonLogic":{"var":"t"},"fieldsIncludedInOutput":["v"]}],`),
		`x:9:66: /rules/0/transformation/conditions/0/fieldsIncludedInOutput/0: "v" is also the outputFieldId; want another name for one of them`,
	},
	{
		"output feed missing",
		with(10, `"outputFieldId":"v","outputTrueValue":1}},`),
		`x:7:28: /rules/0/transformation: field "outputFeedId" is missing`,
	},
	{
		"output field missing",
		with(10, `"outputFeedId":"out","outputTrueValue":1}},`),
		`x:7:28: /rules/0/transformation: field "outputFieldId" is missing`,
	},
	{
		"output is an object",
		with(10, `"outputFeedId":"out","outputFieldId":"v","outputTrueValue":{},"outputFalseValue":[]}},`),
		`x:10:60: /rules/0/transformation/outputTrueValue: got an object; want a string, a number, true, false or null` + "\n" +
			`x:10:82: /rules/0/transformation/outputFalseValue: got an array; want a string, a number, true, false or null`,
	},
	{
		"the same output twice",
		with(7, `"rules":[{"transformation":{`+strings.Replace(transformation, "o2", "out", 1)+`,"outputTrueValue":1}},{"transformation":{`),
		`x:10:38: /rules/1/transformation/outputFieldId: rule "1.f.out.v" makes field "v" of feed "out" from the same feed already; want each field once`,
	},
	{
		"an output that another includes",
		with(7, `"rules":[{"transformation":{"sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{"var":"t"},"fieldsIncludedInOutput":["u"]}],
"outputFeedId":"out","outputFieldId":"w","outputTrueValue":1}},
{"transformation":{"sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{"var":"t"}}],"outputFeedId":"out","outputFieldId":"u","outputTrueValue":1}},{"transformation":{`),
		`x:9:132: /rules/1/transformation/outputFieldId: rule "1.f.out.w" includes field "u" in feed "out" from the same feed already; want each field once`,
	},
	{
		"includes what another puts out",
		with(7, `"rules":[{"transformation":{"sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{"var":"t"}}],"outputFeedId":"out","outputFieldId":"u","outputTrueValue":1}},
{"transformation":{"sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{"var":"t"},"fieldsIncludedInOutput":["u"]}],
"outputFeedId":"out","outputFieldId":"w","outputTrueValue":1}},{"transformation":{`),
		`x:8:67: /rules/1/transformation/conditions: includes field "u", which rule "1.f.out.u" makes in feed "out" from the same feed; want each field once`,
	},
	{
		"alert without id and severity",
		with(11, `{"alert":{`),
		`x:11:10: /rules/1/alert: field "id" is missing` + "\n" +
			`x:11:10: /rules/1/alert: field "severity" is missing`,
	},
	{
		"alert of an unknown severity",
		with(11, `{"alert":{"id":"a","severity":"criticl",`),
		`x:11:31: /rules/1/alert/severity: unknown severity "criticl"; did you mean "critical"?`,
	},
	{
		"alert of a far severity",
		with(11, `{"alert":{"id":"a","severity":"purple",`),
		`x:11:31: /rules/1/alert/severity: unknown severity "purple"; want one of critical, major, minor, warning, info`,
	},
	{
		"alert of a number",
		with(11, `{"alert":{"id":"a","severity":1,`),
		`x:11:31: /rules/1/alert/severity: got 1; want one of critical, major, minor, warning, info`,
	},
	{
		"alert with an open summary",
		with(11, `{"alert":{"id":"a","severity":"info","summary":"at {{t",`),
		`x:11:48: /rules/1/alert/summary: "{{" is not closed; want "}}" after the name of a field`,
	},
	{
		"alert with an empty field",
		with(11, `{"alert":{"id":"a","severity":"info","summary":"at {{ }}",`),
		`x:11:48: /rules/1/alert/summary: no field is called ""; want {{field}} or {{object.field}}`,
	},
	{
		"alert with a label of a number",
		with(11, `{"alert":{"id":"a","severity":"info","labels":{"line":2},`),
		`x:11:55: /rules/1/alert/labels/line: got 2; want a string`,
	},
	{
		"rule id twice",
		with(7, `"rules":[{"transformation":{"id":"a",`),
		`x:11:16: /rules/1/alert/id: rule "a" is there twice; want each name once`,
	},
	{
		"rule named like another",
		with(7, `"rules":[{"alert":{"id":"1.f.out.v","severity":"info","sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{"var":"t"}}]}},{"transformation":{`),
		`x:7:150: /rules/1/transformation: another rule is called "1.f.out.v" too; want an id for this one`,
	},
	{
		"many at once",
		`{"id":"x","sourcez":[],
"sources":[{"id":"1","feeds":[{"id":"f","fieldIds":["t"]}]}],
"rules":[{"transformation":{"sourceId":"1","sourceFeedId":"g","conditions":[],"outputFeedId":"o","outputFieldId":"v"}},
{"alert":{"id":"a","sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{">":[{"var":"x"},1]}}]}}]}`,
		`x:1:11: /sourcez: unknown field "sourcez"; did you mean "sources"?` + "\n" +
			`x:2:12: /sources/0: neither filter nor modelDid, which would match every twin; want one of them` + "\n" +
			`x:3:59: /rules/0/transformation/sourceFeedId: source "1" has no feed "g"; did you mean "f"?` + "\n" +
			`x:3:76: /rules/0/transformation/conditions: an empty list; want at least one condition` + "\n" +
			`x:4:10: /rules/1/alert: field "severity" is missing` + "\n" +
			`x:4:94: /rules/1/alert/conditions/0/jsonLogic/>/0/var: field "x" is not among the fieldIds of feed "f"; did you mean "t"?`,
	},
}

func TestBroken(t *testing.T) {
	for _, tt := range broken {
		t.Run(tt.name, func(t *testing.T) {
			_, err := rules.Load("x", []byte(tt.doc))
			require.Error(t, err)
			assert.Equal(t, tt.want, err.Error())
		})
	}
}

// What Decode refuses Compile refuses too, with the same words and its own.
func TestCompileRepeatsDecode(t *testing.T) {
	doc := `{"id":"x","sourcez":[],"sources":[],"rules":[{"alert":{"id":"a","severity":"info","sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":true}]}}]}`
	in, err := rules.Decode("x", []byte(doc))
	require.EqualError(t, err, `x:1:11: /sourcez: unknown field "sourcez"; did you mean "sources"?`)
	_, err = rules.Compile(in)
	assert.EqualError(t, err, `x:1:11: /sourcez: unknown field "sourcez"; did you mean "sources"?
x:1:94: /rules/0/alert/sourceId: no source "1"; there is none`)
}

func TestCompileByHand(t *testing.T) {
	_, err := rules.Compile(rules.Interaction{Rules: make([]rules.RuleSpec, 1)})
	assert.EqualError(t, err, `-:1:1: no id; want "id" in the document or a file with a name
-:1:1: field "sources" is missing
-:1:1: rule 0 has no kind`)
}

func TestSixtyFourSources(t *testing.T) {
	doc := func(n int) string {
		sources := make([]string, n)
		for i := range sources {
			sources[i] = fmt.Sprintf(`{"id":"%d","modelDid":"m","feeds":[{"id":"f"}]}`, i)
		}
		return `{"sources":[` + strings.Join(sources, ",") + `],"rules":[]}`
	}
	assert.Len(t, compiled(t, doc(64)).Sources(), 64)
	_, err := rules.Load("x", []byte(doc(65)))
	assert.EqualError(t, err, "x:1:12: /sources: 65 sources; want at most 64")
}

func TestManyCandidatesAreCut(t *testing.T) {
	feeds := make([]string, 20)
	for i := range feeds {
		feeds[i] = fmt.Sprintf(`{"id":"%c"}`, 'a'+i)
	}
	_, err := rules.Load("x", []byte(`{"sources":[{"id":"1","modelDid":"m","feeds":[`+strings.Join(feeds, ",")+`]}],"rules":[{"alert":{"id":"a","severity":"info","sourceId":"1","sourceFeedId":"other","conditions":[{"jsonLogic":true}]}}]}`))
	assert.ErrorContains(t, err, `source "1" has no feed "other"; want one of a, b, c, d, e, f, g, h, i, j, k, l, …`)
}

func TestIDs(t *testing.T) {
	const bare = `{"sources":[],"rules":[]}`
	for _, tt := range []struct{ name, doc, id, label string }{
		{"rules/overheating/interaction.json", bare, "overheating", "overheating"},
		{"rules/overheating.json", bare, "overheating", "overheating"},
		{"overheating", bare, "overheating", "overheating"},
		{"interaction.json", bare, "interaction", "interaction"},
		{"./interaction.json", bare, "interaction", "interaction"},
		{"x.json", `{"id":"a","sources":[],"rules":[]}`, "a", "a"},
		{"x.json", `{"$schema":"https://example.com/s.json","id":"a","label":"A b","sources":[],"rules":[]}`, "a", "A b"},
	} {
		in, err := rules.Decode(tt.name, []byte(tt.doc))
		require.NoError(t, err, tt.name)
		assert.Equal(t, tt.id, in.ID, tt.name)
		assert.Equal(t, tt.label, in.Label, tt.name)
	}
	_, err := rules.Load("-", []byte(bare))
	assert.EqualError(t, err, `-:1:1: no id; want "id" in the document or a file with a name`)
}

func TestAccessors(t *testing.T) {
	p := compiled(t, whole)
	assert.Equal(t, "hot", p.ID())
	assert.Equal(t, "Too hot", p.Label())
	assert.Equal(t, []string{"1.f.out.v", "a"}, p.Rules())
	assert.True(t, p.Takes("f"))
	assert.False(t, p.Takes("g"))
	assert.Equal(t, []rules.Feed{{ID: "out", StoreLast: true, Values: []rules.Value{{Label: "v"}}}}, p.Feeds())
	source := p.Sources()[0]
	assert.Equal(t, "1", source.ID)
	assert.Equal(t, []string{"t", "u"}, source.Feeds[0].FieldIDs)
	assert.Equal(t, 300*time.Second, source.Refresh)
	assert.Equal(t, 900*time.Second, source.Cleanup)
}

// A text stands for the whole program, so that it can be stored in its place.
func TestTextRoundTrip(t *testing.T) {
	docs := []string{whole, rows, many(t, 1)}
	text, err := os.ReadFile("testdata/tutorial.json")
	require.NoError(t, err)
	docs = append(docs, string(text))
	for i, doc := range docs {
		p := compiled(t, doc)
		q := compiled(t, string(p.Text()))
		assert.Equal(t, string(p.Text()), string(q.Text()), i)
		assert.Equal(t, p.Hash(), q.Hash(), i)
		assert.Equal(t, p.Rules(), q.Rules(), i)
		require.Len(t, q.Feeds(), len(p.Feeds()), i)
		for j := range p.Feeds() {
			assert.Equal(t, string(p.Feeds()[j].AppendJSON(nil)), string(q.Feeds()[j].AppendJSON(nil)), i)
		}
		require.Len(t, q.Sources(), len(p.Sources()), i)
		for j := range p.Sources() {
			assert.Equal(t, p.Sources()[j].Filter, q.Sources()[j].Filter, i)
		}
		assert.NotContains(t, string(p.Text()), "\n")
	}
}

func TestText(t *testing.T) {
	const want = `{"id":"tutorial","label":"tutorial","feeds":[],"enabled":true,"sources":[{"id":"1","feeds":[{"id":"currentTemp","fieldIds":["temperature"]}],` +
		`"filter":{"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"did:iotics:iotMODEL"}}]},"modelDid":"did:iotics:iotMODEL","refreshRateS":300,"cleanupRateS":900}],` +
		`"rules":[{"transformation":{"sourceId":"1","sourceFeedId":"currentTemp","conditions":[{"jsonLogic":{">":[{"var":"temperature"},30]},"fieldsIncludedInOutput":["temperature"]}],` +
		`"outputFeedId":"temperature_status","outputFieldId":"status","outputTrueValue":"extreme","outputFalseValue":"normal"}}]}`
	in := tutorial(t)
	in.ID, in.Label = "tutorial", "tutorial"
	p, err := rules.Compile(in)
	require.NoError(t, err)
	assert.Equal(t, want, string(p.Text()))
}

func TestHash(t *testing.T) {
	base := compiled(t, whole).Hash()
	assert.Len(t, base, 16)
	same := []string{
		strings.ReplaceAll(whole, ",", ", "),
		with(6, `"cleanupRateS":900.0}],`),
		with(5, ``), // the default
		with(9, `"conditions":[{"fieldsIncludedInOutput":[],"jsonLogic":{">":[{"var":"t"},30]}}],`),
	}
	for i, doc := range same {
		assert.Equal(t, base, compiled(t, doc).Hash(), i)
	}
	others := []string{
		with(2, `"enabled":false,`),
		with(6, `"cleanupRateS":0}],`),
		with(9, `"conditions":[{"jsonLogic":{">":[{"var":"t"},31]}}],`),
		with(10, `"outputFeedId":"out","outputFieldId":"v","outputTrueValue":1.0,"outputFalseValue":0}},`), // goes out as it is written
	}
	for i, doc := range others {
		assert.NotEqual(t, base, compiled(t, doc).Hash(), i)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct{ name, doc, want string }{
		{"nothing reads the feed", with(4, `"feeds":[{"id":"f"},{"id":"g"}],`), `x:4:27: /sources/0/feeds/1/id: no rule reads feed "g" of source "1"`},
		{
			"two models", with(3, `"sources":[{"id":"1","modelDid":"m","filter":{"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":"n"}}]},`),
			`x:3:33: /sources/0/modelDid: filter asks for another model than modelDid "m"; the filter counts`,
		},
		{"no output", with(10, `"outputFeedId":"out","outputFieldId":"v","outputTrueValue":null}},`), `x:7:28: /rules/0/transformation: neither outputTrueValue nor outputFalseValue; this rule has no output`},
		{"an output feed that is not described", with(1, `{"id":"hot","feeds":[{"id":"outs"}],`), `x:10:16: /rules/0/transformation/outputFeedId: feed "out" is not among the interaction's feeds; did you mean "outs"?`},
		{"a summary that names nothing", with(11, `{"alert":{"id":"a","severity":"info","summary":"{{twin}} {{t}} {{tt}}",`), `x:11:48: /rules/1/alert/summary: field "tt" is not among the fieldIds of feed "f"; did you mean "t"?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := rules.Load("x", []byte(tt.doc))
			require.NoError(t, err)
			require.Len(t, p.Warnings(), 1)
			assert.EqualError(t, p.Warnings()[0], tt.want)
		})
	}
	p := compiled(t, `{"id":"x","sources":[],"rules":[]}`)
	require.Len(t, p.Warnings(), 1)
	assert.EqualError(t, p.Warnings()[0], `test.json:1:32: /rules: no rules; this interaction decides nothing`)
}

// The label of output twins is part of what an interaction means; a document
// without one means what it meant.
func TestOutputLabel(t *testing.T) {
	document := func(label string) string {
		return `{"id":"x",` + label + `"sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"transformation":{"sourceId":"1","sourceFeedId":"f","outputFeedId":"o","outputFieldId":"v","outputTrueValue":1,"conditions":[{"jsonLogic":{">":[{"var":"t"},1]}}]}}]}`
	}
	without, err := rules.Load("x.json", []byte(document("")))
	require.NoError(t, err)
	assert.Empty(t, without.OutputLabel())
	assert.NotContains(t, string(without.Text()), "outputLabel")
	with, err := rules.Load("x.json", []byte(document(`"outputLabel":"{{source}}!",`)))
	require.NoError(t, err)
	assert.Equal(t, "{{source}}!", with.OutputLabel())
	assert.NotEqual(t, without.Hash(), with.Hash())
	again, err := rules.Load("x.json", with.Text())
	require.NoError(t, err)
	assert.Equal(t, with.Hash(), again.Hash())
	_, err = rules.Load("x.json", []byte(document(`"outputLabel":"",`)))
	assert.EqualError(t, err, `x.json:1:25: /outputLabel: got ""; want a text that is not empty`)
}
