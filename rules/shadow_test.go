package rules_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// shadowDoc is an interaction with members of its own and rules.
func shadowDoc(members, list string) string {
	return `{"id":"i",` + members + `"sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[` + list + `]}`
}

const above30 = `"sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]`

func anAlert(id, more string) string {
	return `{"alert":{"id":"` + id + `","severity":"major",` + more + above30 + `}}`
}

func anOutput(more string) string {
	return `{"transformation":{` + more + above30 + `,"outputFeedId":"o","outputFieldId":"hot","outputTrueValue":true,"outputFalseValue":false}}`
}

// What a shadow decides is marked, and goes on its own beside what a live rule
// of the same output decides.
func TestShadowsAreMarked(t *testing.T) {
	p := compiled(t, shadowDoc("", strings.Join([]string{
		anAlert("live", ""), anAlert("trial", `"mode":"shadow","shadowOf":"live",`), anOutput(""), anOutput(`"id":"out","mode":"shadow",`),
		anOutput(`"id":"changes","mode":"shadow","emit":"onChange",`),
	}, ",")))
	s := sampleOf("f", `{"t":31}`)
	var got []string
	for _, o := range p.Eval(&s, p.NewState(1, nil), nil) {
		text := string(o.AppendJSON(nil))
		assert.Equal(t, o.Shadow, strings.Contains(text, `,"mode":"shadow"`), text)
		back, err := rules.DecodeOutcome([]byte(text))
		require.NoError(t, err)
		assert.Equal(t, o.Shadow, back.Shadow)
		mode := "live"
		if o.Shadow {
			mode = "shadow"
		}
		got = append(got, o.Rule+" "+mode)
	}
	assert.ElementsMatch(t, []string{"live live", "trial shadow", "1.f.o.hot live", "out shadow", "changes shadow"}, got)
	assert.Equal(t, []rules.RuleInfo{
		{Name: "live", Kind: "alert", Mode: "live"},
		{Name: "trial", Kind: "alert", Mode: "shadow", ShadowOf: "live"},
		{Name: "1.f.o.hot", Kind: "transformation", Mode: "live"},
		{Name: "out", Kind: "transformation", Mode: "shadow"},
		{Name: "changes", Kind: "transformation", Mode: "shadow"},
	}, p.Infos())
	again := compiled(t, string(p.Text()))
	assert.Equal(t, p.Hash(), again.Hash())
	assert.Equal(t, p.Infos(), again.Infos())
}

// An interaction that is a shadow as a whole has no output feeds, so no output
// twins are made for it.
func TestShadowInteractions(t *testing.T) {
	live, shadow := compiled(t, shadowDoc("", anAlert("a", "")+","+anOutput(""))), compiled(t, shadowDoc(`"mode":"shadow","shadowOf":"base",`, anAlert("a", "")+","+anOutput("")))
	assert.Len(t, live.Feeds(), 1)
	assert.Empty(t, shadow.Feeds())
	assert.Equal(t, []string{"live", "shadow"}, []string{live.Mode(), shadow.Mode()})
	assert.Equal(t, "base/a", shadow.Infos()[0].ShadowOf)
	assert.NotEqual(t, live.Hash(), shadow.Hash())

	s := sampleOf("f", `{"t":31}`)
	st := shadow.NewState(1, nil)
	for _, o := range shadow.Eval(&s, st, nil) {
		assert.True(t, o.Shadow)
	}
	// Made live, the alert begins anew: of the shadow's nobody was told.
	next, out := live.Adopt(shadow, st, 1, nil, start, "m1", nil)
	require.Len(t, out, 1)
	assert.Equal(t, []any{true, rules.StateResolved, rules.ReasonRuleChanged}, []any{out[0].Shadow, out[0].State, out[0].Reason})
	assert.False(t, next.Firing())
}

func TestModesAreChecked(t *testing.T) {
	for _, tt := range []struct{ doc, want string }{
		{shadowDoc("", anAlert("a", `"mode":"shadwo",`)), `/mode: got "shadwo"; did you mean "shadow"?`},
		{shadowDoc(`"mode":1,`, anAlert("a", "")), `/mode: got 1; want one of live, shadow`},
		{shadowDoc(`"mode":"shadow",`, anAlert("a", `"mode":"live",`)), "/mode: a live rule in an interaction that is a shadow as a whole"},
		{shadowDoc("", anAlert("a", `"shadowOf":"b",`)), `/shadowOf: "shadowOf" is of a rule with "mode":"shadow"`},
		{shadowDoc(`"shadowOf":"b",`, anAlert("a", "")), `/shadowOf: "shadowOf" is of an interaction with "mode":"shadow"`},
		{shadowDoc("", anAlert("hot", "")+","+anAlert("a", `"mode":"shadow","shadowOf":"hto",`)), `/shadowOf: no rule "hto"; did you mean "hot"?`},
		{shadowDoc("", anAlert("a", `"mode":"shadow",`)+","+anAlert("b", `"mode":"shadow","shadowOf":"a",`)), `/shadowOf: rule "a" is a shadow itself; want a live one`},
		{shadowDoc(`"mode":"shadow",`, anAlert("a", "")+","+anAlert("b", `"shadowOf":"a",`)), `/shadowOf: want "INTERACTION/RULE"`},
		{shadowDoc("", anAlert("a", `"mode":"shadow",`)+","+anAlert("b", `"inhibitedBy":["a"],`)), `/inhibitedBy/0: "a" is a shadow, of which nobody is told, and cannot keep a live alert quiet`},
		{shadowDoc("", anOutput("")+","+anOutput(`"mode":"shadow",`)), `another rule is called "1.f.o.hot" too; want an id for this one`},
	} {
		_, err := rules.Load("x", []byte(tt.doc))
		assert.ErrorContains(t, err, tt.want)
	}
	for _, doc := range []string{
		shadowDoc("", anAlert("a", `"mode":"live",`)),
		shadowDoc("", anAlert("a", `"mode":"shadow","shadowOf":"elsewhere/a",`)),
		shadowDoc("", anAlert("b", `"mode":"shadow",`)+","+anAlert("a", `"mode":"shadow","inhibitedBy":["b"],`)),
		shadowDoc("", anAlert("b", "")+","+anAlert("a", `"mode":"shadow","inhibitedBy":["b"],`)),
	} {
		_, err := rules.Load("x", []byte(doc))
		assert.NoError(t, err)
	}
	assert.Equal(t, compiled(t, shadowDoc("", anAlert("a", `"mode":"live",`))).Hash(), compiled(t, shadowDoc("", anAlert("a", ""))).Hash())
}
