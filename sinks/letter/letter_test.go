package letter

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

var now = time.Date(2026, 11, 2, 10, 6, 30, 0, time.UTC)

func template(t *testing.T, text string) strictjson.Raw {
	t.Helper()
	raw, err := strictjson.Value("t", text)
	require.NoError(t, err)
	return raw
}

func alert() rules.Outcome {
	o := sampleAlert(rules.EventRaised, map[string]string{"site": "brno", "line": "2"})
	o.Data = []byte(`{"temperature":31.25,"big":12000000,"names":["a","b"],"state":{"x":1}}`)
	return o
}

func TestFunctions(t *testing.T) {
	for text, want := range map[string]string{
		`{{.summary}}`: "machine_1 is at 31.2",
		`{{.severity | upper}} {{upper .rule | lower}}`:                  "CRITICAL too-hot",
		`{{title "north-west o'brien"}}`:                                 "North-West O'brien",
		`{{get .labels "site"}}{{get .labels "none"}}`:                   "brno",
		`{{get .labels "none" "else"}}`:                                  "else",
		`{{get .labels "none" | default "other"}}`:                       "other",
		`{{default "other" .severity}}`:                                  "critical",
		`{{get .data "temperature" | round 1}}`:                          "31.2",
		`{{get .data "big"}}`:                                            "12000000",
		`{{get .data "names" | join ", "}}`:                              "a, b",
		`{{get .data "state"}}`:                                          "map[x:1]",
		`{{get .data "state" | json}}`:                                   `{"x":1}`,
		`{{json .labels}}`:                                               `{"line":"2","site":"brno"}`,
		`{{keys .labels | join ","}}`:                                    "line,site",
		`{{range $name, $value := .labels}}{{$name}}={{$value}};{{end}}`: "line=2;site=brno;",
		`{{.startsAt | date "15:04"}}`:                                   "08:01",
		`{{.startsAt | date "15:04" "Europe/Prague"}}`:                   "09:01",
		`{{date "date" .startsAt}}`:                                      "2026-11-02",
		`{{date "date" .endsAt}}`:                                        "",
		`{{ago .startsAt}}`:                                              "2h5m ago",
		`{{truncate 9 .summary}}`:                                        "machine_…",
		`{{.summary | replace "_" " "}}`:                                 "machine 1 is at 31.2",
		`{{if match "^mach" .twin}}yes{{end}}`:                           "yes",
		`{{if gt (get .data "temperature" 0) 30}}hot{{end}}`:             "hot",
		`{{if and (eq .severity "critical") (ne .rule "x")}}1{{end}}`:    "1",
		`{{urlquery "a b&c"}}`:                                           "a+b%26c",
		`{{range .alerts}}{{.severity}} {{.twin}}{{end}}`:                "critical machine_1",
		`{{len .alerts}} {{.firing}} {{.resolved}}`:                      "1 1 0",
		`{{with .description}}x{{else}}none{{end}}`:                      "none",
		`{{.ack.state}}|{{.suppression.by}}|{{.counts.repeats}}`:         "unacknowledged||0",
		`{{trim "  a "}}{{not true}}{{index .labels "site"}}`:            "afalsebrno",
	} {
		tpl, err := Text(template(t, text), nil)
		require.NoError(t, err, text)
		o := alert()
		got, err := tpl.Write(&o, now)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
}

// What rules do to stickers and tell topics was told by the sample alone, and
// templates were refused that asked for it.
func TestAStickerAndANoticeSaidNothing(t *testing.T) {
	put := rules.Outcome{
		Kind: rules.Sticker, Interaction: "meters", Rule: "leaks", Twin: "meter_1", At: sampleTime, Data: []byte(`{"leak":true}`),
		Sticker: &rules.StickerChange{
			Event: rules.EventRaised, Op: rules.PutSticker, Twin: "pump_1", Color: "red", Account: "a", Note: "40 l/h", Recipients: []string{"r"}, Until: sampleTime,
			Publish: rules.StickerTopics{Put: []string{"request"}}, OnExisting: rules.KeepSticker, OnRemove: rules.Acknowledge,
		},
	}
	taken := put
	taken.Sticker = &rules.StickerChange{Event: rules.EventCleared, Op: rules.RemoveSticker, Twin: "meter_1", Color: "red", Own: true}
	told := func(body string) rules.Outcome {
		return rules.Outcome{
			Kind: rules.Notification, Interaction: "meters", Rule: "leaks", Twin: "meter_1", At: sampleTime, Data: []byte(`{"leak":true}`),
			Notice: &rules.Notice{Event: rules.EventRaised, Topic: "request", Account: "a", Recipients: []string{"r"}, Body: []byte(body)},
		}
	}
	for want, o := range map[string]rules.Outcome{
		"sticker of pump_1: put red: 40 l/h | 1793606460.0 {}":              put,
		"sticker of meter_1: remove red | 0.0 {}":                           taken,
		`notification of meter_1: request: it leaks | 0.0 "it leaks"`:       told(`"it leaks"`),
		`notification of meter_1: request: {"l/h":40.5} | 0.0 {"l/h":40.5}`: told(`{"l/h":40.5}`),
		"1 firing, 1 resolved: heat | 0.0 {}":                               sampleGroup(),
		"machine_1 is at 31.2 | 0.0 {}":                                     alert(),
	} {
		tpl, err := Text(template(t, `{{.summary}} | {{round 1 .validity_ts}} {{json .body}}`), nil)
		require.NoError(t, err)
		got, err := tpl.Write(&o, now)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		for name := range decoded(o.AppendJSON(nil)) {
			assert.Contains(t, blank(), name, "every name is there for every kind")
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{{.summry}}`:                  `t:1:4: template: no field "summry"; did you mean "summary"?`,
		"line\n\tsays \"{{.summry}}\"": `t:1:19: template: no field "summry"; did you mean "summary"?`,
		`é😀{{uper .rule}}`:             `t:1:6: template: no function "uper"; did you mean "upper"?`,
		`{{if false}}{{with .ack}}{{$.summry}}{{end}}{{end}}`: `t:1:30: template: no field "summry"; did you mean "summary"?`,
		`{{with .ack}}{{.stat}}{{end}}`:                       `t:1:17: template, for an alert that fires: no field "stat"; did you mean "state"?`,
		`{{.labels.site}}`:                                    `t:1:11: template: .labels.site may be missing; want (get .labels "site"), which is empty then, or (get .labels "site" "what else")`,
		`{{range .alerts}}{{.data.temperature}}{{end}}`:       `t:1:26: template, for an alert that fires: .data.temperature may be missing; want (get .data "temperature"), which is empty then, or (get .data "temperature" "what else")`,
		`{{.ack.stat}}`:                                       `t:1:8: template, for an alert that fires: no field "stat"; did you mean "state"?`,
		`{{if .summary}}`:                                     `t:1:2: template: unexpected EOF`,
		"a\n{{.summary}":                                      `t:1:5: template: bad character U+007D '}'`,
		`{{printf "%d" 1}}`:                                   `t:1:4: template: no function "printf"; want one of ago, and, date, default, eq, ge, get, gt, index, join, json, keys, le, len, lower, lt, match, ne, not, or, replace, round, title, trim, truncate, upper, urlquery`,
		`{{call .rule}}`:                                      `t:1:4: template: no function "call"; want one of ago, and, date, default, eq, ge, get, gt, index, join, json, keys, le, len, lower, lt, match, ne, not, or, replace, round, title, trim, truncate, upper, urlquery`,
		`{{define "a"}}{{end}}`:                               `t:1:2: template: a template in a template (define or block); want one`,
		`{{template "t" .}}`:                                  `t:1:13: template: a template in a template; want one`,
		`{{truncate 0 .summary}}`:                             `t:1:4: template, for an alert that fires: error calling truncate: truncate to 0 characters; want at least 1`,
		`{{date "15:04" "Atlantis" .startsAt}}`:               `t:1:4: template, for an alert that fires: error calling date: unknown time zone Atlantis`,
		`{{match "(" .summary}}`:                              "t:1:4: template, for an alert that fires: error calling match: error parsing regexp: missing closing ): `(`",
		`{{range .summary}}{{end}}`:                           `t:1:10: template, for an alert that fires: range can't iterate over machine_1 is at 31.2`,
		`{{gt .summary 5}}`:                                   `t:1:4: template, for an alert that fires: error calling gt: machine_1 is at 31.2 and 5 cannot be compared; want two numbers or two texts`,
		`{{.summary.Len}}`:                                    `t:1:12: template, for an alert that fires: can't evaluate field Len in type interface {}`,
	} {
		_, err := Text(template(t, text), nil)
		assert.EqualError(t, err, want, text)
	}
	_, err := Text(template(t, `{{range 1000000000}}{{end}}`), nil)
	assert.ErrorContains(t, err, "t:1:10: template, for an alert that fires: error calling _round: ")
	assert.Regexp(t, "more than 100000 rounds of range|takes too long", err, "whichever comes first on a busy machine")
	_, err = HTML(template(t, `<a href="{{.summary}}`))
	require.EqualError(t, err, `t:1:2: template: ends in a non-text context: {stateURL delimDoubleQuote urlPartNone jsCtxRegexp [] attrURL elementNone <nil>}`)
	raw, err := strictjson.Parse("t", []byte("5"))
	require.NoError(t, err)
	_, err = Text(raw, nil)
	require.EqualError(t, err, `t:1:1: got 5; want a template, a string`)
	_, err = Text(template(t, strings.Repeat("x", MaxTemplate+1)), nil)
	require.EqualError(t, err, `t:1:1: a template of 65537 bytes; want at most 65536`)
}

// TestGrowth holds that a letter that grows without end is refused early.
func TestGrowth(t *testing.T) {
	for text, want := range map[string]string{
		`{{range 90000}}` + strings.Repeat("x", 100) + `{{end}}`:                         "more than 1048576 bytes",
		`{{$s := "xxxxxxxxxx"}}{{range 100}}{{$s = replace "x" "xxxxxxxxxx" $s}}{{end}}`: "more than 1048576 bytes",
		`{{range 1000}}{{range 1000}}{{end}}{{end}}`:                                     "more than 100000 rounds",
		strings.Repeat("{{if true}}", 200) + strings.Repeat("{{end}}", 200):              "nested deeper than 50 levels",
	} {
		_, err := Text(template(t, text), nil)
		require.Error(t, err)
		assert.Regexp(t, want+"|takes too long", err, "whichever comes first on a busy machine")
	}
}

// TestHeldUp is of a process that was held up while it wrote a letter: that was
// given up as too slow, for good.
func TestHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spent := &clock{last: time.Now()}
		time.Sleep(time.Hour)
		assert.False(t, spent.over())
		steps := 0
		for !spent.over() {
			time.Sleep(maxStep / 10)
			steps++
		}
		assert.InDelta(t, maxTime/(maxStep/10), steps, 11, "what takes long by itself ends")
	})
}

func TestHTMLEscapes(t *testing.T) {
	tpl, err := HTML(template(t, `<b title="{{.summary}}">{{.summary}}</b>{{range .alerts}}<i>{{.twin}}</i>{{end}}`))
	require.NoError(t, err)
	o := alert()
	o.Summary = `<script>"x"`
	got, err := tpl.Write(&o, now)
	require.NoError(t, err)
	assert.Equal(t, `<b title="&lt;script&gt;&#34;x&#34;">&lt;script&gt;&#34;x&#34;</b><i>machine_1</i>`, got)
}

func TestKinds(t *testing.T) {
	const text = `{{.kind}} {{.twin}}: {{.summary}}{{range .alerts}}[{{.severity}}{{get .labels "site"}}]{{end}}`
	tpl, err := Text(template(t, text), nil)
	require.NoError(t, err)
	for kind, want := range map[rules.Kind]string{
		rules.Output:       "output machine_1_status: output of machine_1_status: {}",
		rules.Notification: "notification : 1 firing, 1 resolved: heat[critical][critical]",
	} {
		got, err := tpl.Write(&samples([]rules.Kind{kind})[0].outcome, now)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

// TestFailsLater is of what no sample shows.
func TestFailsLater(t *testing.T) {
	tpl, err := Text(template(t, `{{if eq .twin "machine_9"}}{{.ack.nowhere}}{{end}}`), nil)
	require.NoError(t, err)
	o := alert()
	o.Twin = "machine_9"
	_, err = tpl.Write(&o, now)
	require.ErrorContains(t, err, `map has no entry for key "nowhere"`)
}

func FuzzTemplate(f *testing.F) {
	f.Add(`{{.summary}} {{range .alerts}}{{.severity | upper}}{{end}}`, `{"a":1}`)
	f.Add(`{{range $i := 10}}{{$i}}{{end}}{{with get .labels "x"}}{{.}}{{end}}`, `{}`)
	f.Fuzz(func(t *testing.T, text, data string) {
		raw, err := strictjson.Value("t", text)
		if err != nil {
			return
		}
		o := alert()
		o.Data = []byte(data)
		for _, read := range []func() (*Template, error){
			func() (*Template, error) { return Text(raw, nil) },
			func() (*Template, error) { return HTML(raw) },
		} {
			if tpl, err := read(); err == nil {
				letter, err := tpl.Write(&o, now)
				if err == nil && len(letter) > MaxBytes {
					t.Fatal("too long")
				}
			}
		}
	})
}
