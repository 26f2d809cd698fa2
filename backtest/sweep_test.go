package backtest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/backtest"
	"tocsin.internal/internal/strictjson"
)

const twoConstants = `{"id":"plant","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"alert":{"id":"hot","severity":"major","sourceId":"1","sourceFeedId":"f",
"conditions":[{"jsonLogic":{">=":[{"var":"value"},100]}},{"jsonLogic":{"<":[{"var":["rpm",0]},7]}}]}}]}`

func parse(t *testing.T, arg string) (backtest.Sweep, error) {
	t.Helper()
	doc, err := strictjson.Parse("plant", []byte(twoConstants))
	require.NoError(t, err)
	return backtest.ParseSweep(arg, doc)
}

func TestParseSweep(t *testing.T) {
	for arg, want := range map[string]struct{ pointer, labels string }{
		"/rules/0/alert/conditions/0/jsonLogic/>=/1=90..110:10": {"/rules/0/alert/conditions/0/jsonLogic/>=/1", "90 100 110"},
		"/rules/0/…/>=/1=1":                    {"/rules/0/alert/conditions/0/jsonLogic/>=/1", "1"},
		"/.../</1=1":                           {"/rules/0/alert/conditions/1/jsonLogic/</1", "1"},
		"/rules/0/alert/for=5m..1h:20m":        {"/rules/0/alert/for", "5m 25m 45m"},
		"/rules/0/alert/for=none, 1m ":         {"/rules/0/alert/for", "none 1m"},
		"/…/>=/1=0.1..0.4:0.1":                 {"/rules/0/alert/conditions/0/jsonLogic/>=/1", "0.1 0.2 0.3 0.4"},
		"/…/>=/1=3..1:-1":                      {"/rules/0/alert/conditions/0/jsonLogic/>=/1", "3 2 1"},
		"/…/>=/1=-1..1:1,7":                    {"/rules/0/alert/conditions/0/jsonLogic/>=/1", "-1 0 1 7"},
		`/rules/0/alert/labels={"a":"1,2"},{}`: {"/rules/0/alert/labels", `{"a":"1,2"} {}`},
		`/rules/0/alert/clearCondition=none,<95,>= 3,{"jsonLogic":true}`: {"/rules/0/alert/clearCondition", `none < 95 >= 3 {"jsonLogic":true}`},
	} {
		s, err := parse(t, arg)
		require.NoError(t, err, arg)
		var labels []string
		for _, v := range s.Values {
			labels = append(labels, v.Label)
		}
		assert.Equal(t, want.pointer, s.Pointer, arg)
		assert.Equal(t, want.labels, strings.Join(labels, " "), arg)
		assert.Equal(t, 0, s.RuleIndex())
	}
}

func TestParseSweepErrors(t *testing.T) {
	for arg, want := range map[string]string{
		"":                                `--sweep ""; want POINTER=VALUES, such as /rules/0/alert/for=0s,15m,1h or /rules/0/…/1=90..110:1`,
		"/rules/0/alert/for":              `--sweep "/rules/0/alert/for"; want POINTER=VALUES, such as /rules/0/alert/for=0s,15m,1h or /rules/0/…/1=90..110:1`,
		"rules=1":                         `--sweep rules: want a JSON pointer, which begins with /`,
		"/rules/0/alrt/for=1m":            `--sweep /rules/0/alrt/for: /rules/0 has no "alrt"; did you mean "alert"?`,
		"/ruls/0/alert/for=1m":            `--sweep /ruls/0/alert/for: the document has no "ruls"; did you mean "rules"?`,
		"/rules/0/conditions/0=1m":        `--sweep /rules/0/conditions/0: /rules/0 has no "conditions"; want one of alert`,
		"/rules/x/alert/for=1m":           `--sweep /rules/x/alert/for: /rules has no element "x"; want 0 to 0`,
		"/rules/0/alert/id/x=1":           `--sweep /rules/0/alert/id/x: /rules/0/alert/id is "hot", which has no parts`,
		"/rules/0/…/1=90":                 `--sweep /rules/0/…/1: 3 places fit; want one of /rules/0/alert/conditions/0/jsonLogic/>=/1, /rules/0/alert/conditions/1/jsonLogic/</0/var/1, /rules/0/alert/conditions/1/jsonLogic/</1`,
		"/rules/0/alert/for=1..2":         `--sweep /rules/0/alert/for: "1..2"; want a step too, such as 1..2:1`,
		"/rules/0/alert/for=1..x:1":       `--sweep /rules/0/alert/for: "x" in "1..x:1" is neither a number nor a duration; want a..b:step`,
		"/rules/0/alert/for=1m..2:1":      `--sweep /rules/0/alert/for: "1m..2:1" mixes numbers and durations; want one of them`,
		"/rules/0/alert/for=2..1:1":       `--sweep /rules/0/alert/for: "2..1:1" never arrives; want a step that leads from the first to the second`,
		"/rules/0/alert/for=1..2:0":       `--sweep /rules/0/alert/for: "1..2:0" never arrives; want a step that leads from the first to the second`,
		"/rules/0/alert/for=1..1e9:1":     `--sweep /rules/0/alert/for: "1..1e9:1" has 1000000000 values; want at most 1000`,
		"/rules/0/alert/for=NaN..1:1":     `--sweep /rules/0/alert/for: "NaN" in "NaN..1:1" is neither a number nor a duration; want a..b:step`,
		"/rules/0/alert/for=1m,,2m":       `--sweep /rules/0/alert/for: an empty value in "1m,,2m"; want values with commas between them`,
		"/…/>=/1=none":                    `--sweep /…/>=/1: "none" takes a member out of an object; want values here`,
		"/rules/0/alert/labels={":         `--sweep /rules/0/alert/labels: { is no JSON: the document ends too early; want "}" for the "{" that opens at 1:1`,
		"/rules/0/alert/conditions/0=<":   `--sweep /rules/0/alert/conditions/0: "<": want a number behind <`,
		"/rules/0/alert/conditions/0=<>3": `--sweep /rules/0/alert/conditions/0: "<>3": no comparison "<>"; want one of <, <=, >, >=, ==, !=`,
	} {
		_, err := parse(t, arg)
		assert.EqualError(t, err, want, arg)
	}
}

func variants(t *testing.T, args ...string) ([]backtest.Variant, error) {
	t.Helper()
	var sweeps []backtest.Sweep
	for _, arg := range args {
		s, err := parse(t, arg)
		require.NoError(t, err)
		sweeps = append(sweeps, s)
	}
	return backtest.Variants("plant", []byte(twoConstants), sweeps)
}

func TestVariants(t *testing.T) {
	vs, err := variants(t, "/…/>=/1=90,100", "/rules/0/alert/for=0s,5m", "/rules/0/alert/conditions/1=<7,>8")
	require.NoError(t, err)
	var got []string
	for _, v := range vs {
		text := ""
		for _, value := range v.Values {
			text += value.Label + " "
		}
		if v.Configured {
			text += "configured"
		}
		got = append(got, text)
	}
	assert.Equal(t, []string{"90 0s < 7 ", "90 0s > 8 ", "90 5m < 7 ", "90 5m > 8 ", "100 0s < 7 ", "100 0s > 8 ", "100 5m < 7 ", "100 5m > 8 "}, got[len(got)-8:], "the last one's values change fastest")
	assert.Equal(t, "configured", got[0], "none of them is: < reads another field than the document")
}

func TestVariantErrors(t *testing.T) {
	for want, args := range map[string][]string{
		`--sweep /rules/0/alert/for=5: /rules/0/alert/for: got 5, a number without a unit; want a duration such as "15m" or "PT15M"`:                                                  {"/rules/0/alert/for=1m,5"},
		`--sweep /rules/0/alert/fr=1m: /rules/0/alert/fr: unknown field "fr"; did you mean "for"?`:                                                                                    {"/rules/0/alert/fr=1m"},
		`--sweep /rules/0/alert/id=none: /rules/0/alert: field "id" is missing`:                                                                                                       {"/rules/0/alert/id=none"},
		`--sweep: 1000 × 2 values make more than 1000 combinations; want fewer`:                                                                                                       {"/…/>=/1=1..1000:1", "/rules/0/alert/for=1m,2m"},
		`--sweep /rules/0/alert/for=1m --sweep /rules/0/alert/severity=urgent: /rules/0/alert/severity: unknown severity "urgent"; want one of critical, major, minor, warning, info`: {"/rules/0/alert/for=1m", "/rules/0/alert/severity=urgent"},
	} {
		_, err := variants(t, args...)
		assert.EqualError(t, err, want)
	}
}

// FuzzSweep: whatever is asked for is an error or documents, never a panic.
func FuzzSweep(f *testing.F) {
	for _, arg := range []string{"/rules/0/…/1=90..110:10", "/rules/0/alert/for=none,1m", "/…=<95,{}", "/rules/0/alert=none", "/=1", "/a~1b=\"x\",[1,2]", "/rules/0=1..2:-1", "/…/…/…=0s"} {
		f.Add(arg, arg)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		doc, err := strictjson.Parse("plant", []byte(twoConstants))
		require.NoError(t, err)
		var sweeps []backtest.Sweep
		for _, arg := range []string{one, two} {
			if s, err := backtest.ParseSweep(arg, doc); err == nil && len(s.Values) < 5 {
				assert.NotEmpty(t, s.Name(doc))
				sweeps = append(sweeps, s)
			}
		}
		if vs, err := backtest.Variants("plant", []byte(twoConstants), sweeps); err == nil {
			assert.NotEmpty(t, vs)
		}
	})
}
