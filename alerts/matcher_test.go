package alerts_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

func hot() *rules.Outcome {
	return &rules.Outcome{
		Kind: rules.Alert, Interaction: "overheating", Rule: "too-hot", Twin: "did:iotics:m1", ID: "al_1", State: rules.StateFiring, Severity: "critical",
		Labels: map[string]string{"site": "Brno North", "line.no": "2", "note": `say "hi"`},
		Life:   &rules.Life{Number: 1, Event: rules.EventRaised, Status: rules.StatusAcknowledged, Feed: "temp", Key: "k"},
	}
}

func TestMatchers(t *testing.T) {
	tests := []struct {
		text string
		want bool
	}{
		{`severity=critical`, true},
		{`severity=major`, false},
		{`severity=CRIT`, true}, // as rules take it
		{`severity!=fatal`, false},
		{`severity!=major`, true},
		{`severity!=critical`, false},
		{`severity=~"critical|major"`, true},
		{`severity=~crit`, false}, // anchored
		{`severity=~cri|major`, false},
		{`severity=~crit.*`, true},
		{`severity!~crit.*`, false},
		{`severity!~"minor|info"`, true},
		{` severity = "critical" `, true},
		{`interaction=overheating`, true},
		{`rule=too-hot`, true},
		{`twin=did:iotics:m1`, true},
		{`feed=temp`, true},
		{`id=al_1`, true},
		{`state=firing`, true},
		{`status=acknowledged`, true},
		{`event=raised`, true},
		{`label.site=Brno North`, true},
		{`label.site="Brno North"`, true},
		{`label.line.no=2`, true},
		{`label.note="say \"hi\""`, true},
		{`label.none=`, true},
		{`label.none=""`, true},
		{`label.none!=""`, false},
		{`label.none=~.*`, true},
		{`label.none=~.+`, false},
		{`twin=did:*`, true},
		{`twin=*:m1`, true},
		{`twin=did:*:m*`, true},
		{`twin=d*d*d`, false},
		{`twin=did*x*1`, false},
		{`twin=*`, true},
		{`label.none=*`, true},
		{`twin=**iotics**`, true},
		{`twin=did:iotics:m1*m1`, false}, // no part is used twice
		{`twin!=did:*`, false},
		{`twin!="x*"`, true},
		{`twin=a=b`, false},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			m, err := alerts.ParseMatcher(test.text)
			require.NoError(t, err)
			assert.Equal(t, test.want, m.Match(hot()))
			again, err := alerts.ParseMatcher(m.String())
			require.NoError(t, err)
			assert.Equal(t, test.want, again.Match(hot()), m.String())
		})
	}
	assert.False(t, new(alerts.Matcher).Match(hot()))
}

func TestMatchersOfAnAlertInItsFirstForm(t *testing.T) {
	o := hot()
	o.Life = nil
	for text, want := range map[string]bool{`status=firing`: true, `feed=temp`: false, `event=raised`: true} {
		m, err := alerts.ParseMatcher(text)
		require.NoError(t, err)
		assert.Equal(t, want, m.Match(o), text)
	}
}

func TestMatchersAreAllRequired(t *testing.T) {
	for text, want := range map[string]bool{
		`[]`:                                   true,
		`["severity=critical","rule=too-hot"]`: true,
		`["severity=critical","rule=cold"]`:    false,
	} {
		ms, err := alerts.DecodeMatchers(parse(t, text))
		require.NoError(t, err)
		assert.Equal(t, want, ms.Match(hot()), text)
	}
}

func TestMatcherErrors(t *testing.T) {
	const names = "event, feed, id, interaction, rule, severity, state, status, twin, label.NAME"
	tests := []struct{ text, want string }{
		{``, `column 1: no operator; want name=value, with one of =, !=, =~, !~`},
		{`severity`, `column 9: no operator; want name=value, with one of =, !=, =~, !~`},
		{`severity!critical`, `column 9: unknown operator "!"; want one of =, !=, =~, !~`},
		{`severty=critical`, `column 1: unknown name "severty"; did you mean "severity"?`},
		{`=x`, `column 1: unknown name ""; want one of ` + names},
		{`colour=red`, `column 1: unknown name "colour"; want one of ` + names},
		{`label.=red`, `column 1: unknown name "label."; want one of ` + names},
		{`severity=critcal`, `column 10: unknown severity "critcal"; did you mean "critical"?`},
		{`severity = `, `column 12: unknown severity ""; want one of critical, major, minor, warning, info`},
		{`state!="on"`, `column 8: unknown state "on"; want one of firing, resolved`},
		{`label.é="a`, `column 9: value "a is not well quoted; want "…" with \" and \\ inside`},
		{`rule="a" b`, `column 6: value "a" b is not well quoted; want "…" with \" and \\ inside`},
		{`rule=~a(`, "column 7: not a regular expression: error parsing regexp: missing closing ): `^(?:a()$`"},
		{`rule=~(?=a)`, "column 7: not a regular expression: error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
	}
	for _, test := range tests {
		_, err := alerts.ParseMatcher(test.text)
		assert.EqualError(t, err, test.want, test.text)
	}
}

func TestDecodeMatchersErrors(t *testing.T) {
	_, err := alerts.DecodeMatchers(parse(t, `["severity=critical", 7,`+"\n"+` "rul=x"]`))
	assert.EqualError(t, err, `x:1:23: /1: got 7; want a matcher such as "severity=critical"
x:2:2: /2: matcher "rul=x": column 1: unknown name "rul"; did you mean "rule"?`)
	_, err = alerts.DecodeMatchers(parse(t, `"severity=critical"`))
	assert.EqualError(t, err, `x:1:1: got "severity=critical"; want an array of matchers such as "severity=critical"`)
}

func parse(t testing.TB, text string) strictjson.Raw {
	t.Helper()
	raw, err := strictjson.Parse("x", []byte(text))
	require.NoError(t, err)
	return raw
}

// What is read is written so that it is read as the same.
func FuzzParseMatcher(f *testing.F) {
	for _, text := range []string{`severity=critical`, `label.a="\u00e9\xff"`, `twin!=a*b*`, `rule=~"a|b"`, `feed!~[a-z]+`, "label.\x00 = é", `=`, `id=""`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := alerts.ParseMatcher(text)
		if err != nil {
			require.Regexp(t, `^column \d+: `, err.Error())
			return
		}
		again, err := alerts.ParseMatcher(m.String())
		require.NoError(t, err)
		require.Equal(t, m.String(), again.String())
		require.Equal(t, m.Match(hot()), again.Match(hot()))
	})
}

func parseOrSkip(t *testing.T, text string) strictjson.Raw {
	t.Helper()
	raw, err := strictjson.Parse("x", []byte(text))
	if err != nil {
		t.Skip()
	}
	return raw
}
