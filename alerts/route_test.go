package alerts_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
)

var sinkNames = []string{"mail", "pager"}

func routes(t testing.TB, text string) []alerts.Route {
	t.Helper()
	rs, err := alerts.DecodeRoutes(parse(t, text), sinkNames)
	require.NoError(t, err)
	return rs
}

func TestDecodeRoutes(t *testing.T) {
	rs := routes(t, `[
	 {"name":"brno","match":["severity=~\"critical|major\"","label.site=Brno*"],"groupBy":["interaction","label.site"],
	  "groupWait":"0s","groupInterval":"1m","repeatInterval":"P1D","sinks":["mail","pager"],"continue":true},
	 {"name":"rest","sinks":["mail"]}]`)
	require.Len(t, rs, 2)
	assert.True(t, rs[0].Match.Match(hot()))
	rs[0].Match = nil
	assert.Equal(t, alerts.Route{
		Name: "brno", GroupBy: []string{"interaction", "label.site"}, GroupWait: 0, GroupInterval: time.Minute, RepeatInterval: 24 * time.Hour,
		Sinks: []string{"mail", "pager"}, Continue: true,
	}, rs[0])
	assert.Equal(t, alerts.Route{
		Name: "rest", GroupWait: 30 * time.Second, GroupInterval: 5 * time.Minute, RepeatInterval: 4 * time.Hour, Sinks: []string{"mail"},
	}, rs[1])
	assert.Empty(t, routes(t, `[]`))
}

func TestDecodeRoutesErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{`{}`, `x:1:1: got an object; want an array`},
		{`[7]`, `x:1:2: /0: got 7; want an object`},
		{`[{}]`, `x:1:2: /0: field "name" is missing
x:1:2: /0: field "sinks" is missing`},
		{`[{"name":"","sinks":[]}]`, `x:1:10: /0/name: got ""; want a text that is not empty
x:1:21: /0/sinks: no sink; want the name of at least one`},
		{`[{"name":"a","sinks":["mail"]},{"name":"a","sinks":["mail"]}]`, `x:1:40: /1/name: a second route with the name "a"; want each name once`},
		{`[{"name":"a","sinks":["mial","pager","pager","x"]}]`, `x:1:23: /0/sinks/0: no sink "mial"; did you mean "mail"?
x:1:38: /0/sinks/2: sink "pager" a second time; want each name once
x:1:46: /0/sinks/3: no sink "x"; want one of mail, pager`},
		{`[{"name":"a","sinks":"mail"}]`, `x:1:22: /0/sinks: got "mail"; want an array`},
		{`[{"name":"a","sinks":["mail"],"groupBy":"rule"}]`, `x:1:41: /0/groupBy: got "rule"; want an array`},
		{`[{"name":"a","sinks":["mail"],"groupby":[]}]`, `x:1:31: /0/groupby: unknown field "groupby"; did you mean "groupBy"?`},
		{`[{"name":"a","sinks":["mail"],"match":["rul=a","event=raised","status!=closed","state=firing"]}]`, `x:1:40: /0/match/0: matcher "rul=a": column 1: unknown name "rul"; did you mean "rule"?`},
		{`[{"name":"a","sinks":["mail"],"match":["rule=a","event=raised"],"groupBy":["status"]}]`, `x:1:49: /0/match/1: event changes while the alert lives; want one of severity, interaction, rule, twin, feed, id, label.NAME
x:1:76: /0/groupBy/0: status changes while the alert lives; want one of severity, interaction, rule, twin, feed, id, label.NAME`},
		{`[{"name":"a","sinks":["mail"],"groupBy":["rule","rule","...","twn","label."]}]`, `x:1:49: /0/groupBy/1: "rule" a second time; want each name once
x:1:56: /0/groupBy/2: "..." beside other names; want it alone, for a group for each alert
x:1:62: /0/groupBy/3: unknown name "twn"; did you mean "twin"?
x:1:68: /0/groupBy/4: unknown name "label."; want one of event, feed, id, interaction, rule, severity, state, status, twin, label.NAME`},
		{`[{"name":"a","sinks":["mail"],"groupWait":30,"groupInterval":"999ms","repeatInterval":"0s"}]`, `x:1:43: /0/groupWait: got 30, a number without a unit; want a duration such as "15m" or "PT15M"
x:1:62: /0/groupInterval: got "999ms"; want at least 1s
x:1:87: /0/repeatInterval: got "0s"; want at least 1s`},
	}
	for _, test := range tests {
		rs, err := alerts.DecodeRoutes(parse(t, test.text), sinkNames)
		assert.EqualError(t, err, test.want, test.text)
		assert.Nil(t, rs)
	}
	_, err := alerts.DecodeRoutes(parse(t, `[{"name":"a","sinks":["mail"]}]`), nil)
	assert.EqualError(t, err, `x:1:23: /0/sinks/0: no sink "mail"; the configuration has none`)
}

func TestExplain(t *testing.T) {
	rs := routes(t, `[
	 {"name":"cold","match":["rule=cold"],"sinks":["mail"]},
	 {"name":"page","match":["severity=critical"],"sinks":["pager"],"continue":true},
	 {"name":"hot","match":["rule=too-hot"],"sinks":["mail"]},
	 {"name":"rest","sinks":["mail"]}]`)
	taken := func(severity, rule string) []string {
		o := hot()
		o.Severity, o.Rule = severity, rule
		var names []string
		for _, route := range alerts.Explain(rs, o) {
			names = append(names, route.Name)
		}
		return names
	}
	assert.Equal(t, []string{"page", "hot"}, taken("critical", "too-hot"))
	assert.Equal(t, []string{"cold"}, taken("critical", "cold"))
	assert.Equal(t, []string{"page", "rest"}, taken("critical", "x"))
	assert.Equal(t, []string{"rest"}, taken("info", "x"))
	assert.Empty(t, alerts.Explain(rs[:1], hot()))
}

// FuzzDecodeRoutes: nothing that is written can stop a router.
func FuzzDecodeRoutes(f *testing.F) {
	f.Add(`[{"name":"a","match":["severity=critical"],"groupBy":["rule","label.x"],"groupWait":"0s","sinks":["mail"]}]`)
	f.Add(`[{"name":"a","groupBy":["..."],"sinks":["mail"],"continue":true},{"name":"b","sinks":["pager"]}]`)
	f.Fuzz(func(t *testing.T, text string) {
		raw := parseOrSkip(t, text)
		rs, err := alerts.DecodeRoutes(raw, sinkNames)
		if err != nil {
			return
		}
		r := alerts.NewRouter(rs)
		if routed := r.Take(hot(), start); routed != (len(alerts.Explain(rs, hot())) > 0) {
			t.Error("Take and Explain do not agree")
		}
		require.Len(t, r.Flush(start, nil, nil), len(alerts.Explain(rs, hot())), "critical")
		require.NoError(t, alerts.NewRouter(rs).Load(r.Save()))
	})
}
