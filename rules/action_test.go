package rules_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

const hotter = `"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]`

// ruleOf is a document with one rule.
func ruleOf(kind, fields string) string {
	return `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"},{"id":"g"}]}],"rules":[{"` + kind + `":{"id":"a","sourceId":"1","sourceFeedId":"f",` + fields + `}}]}`
}

func TestWhatRulesDo(t *testing.T) {
	const red = `"color":"red","recipients":["u"]`
	for _, tt := range []struct {
		name, doc   string
		steps, want []string
	}{
		{
			"a sticker stays while the conditions hold",
			ruleOf("sticker", red+","+hotter),
			[]string{`0 f {"t":31}`, `1 f {"t":32}`, `2 f {}`, `3 f {"t":1}`, `4 f {"t":1}`, `5 f {"t":31}`},
			[]string{`0 raised: sticker "red" put on m1`, `3 cleared: sticker "red" taken off m1`, `5 raised: sticker "red" put on m1`},
		},
		{
			"one that is left to its recipients",
			ruleOf("sticker", red+`,"removeOnClear":false,`+hotter),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`, `2 close twinRemoved`},
			[]string{`0 raised: sticker "red" put on m1`},
		},
		{
			"one that is taken off when the conditions become true",
			ruleOf("sticker", `"op":"remove","color":"red",`+hotter),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`},
			[]string{`0 raised: sticker "red" taken off m1`},
		},
		{
			"what is put is taken off, whatever the sample says by then",
			ruleOf("sticker", `"color":"at-{{t}}","twin":"{{room}}","recipients":["u"],`+hotter),
			[]string{`0 f {"t":31,"room":"r1"}`, `1 f {"t":1}`, `2 f {"t":32,"room":"r2"}`, `3 close ruleChanged`},
			[]string{`0 raised: sticker "at-31" put on r1`, `1 cleared: sticker "at-31" taken off r1`, `2 raised: sticker "at-32" put on r2`, `3 cleared: sticker "at-32" taken off r2`},
		},
		{
			"the colour of a severity",
			ruleOf("sticker", `"color":"of-{{severity}}","on":["raised","updated"],"recipients":["u"],"levels":[{"severity":"minor","jsonLogic":{">":[{"var":"t"},30]}},{"severity":"critical","jsonLogic":{">":[{"var":"t"},40]}}]`),
			[]string{`0 f {"t":31}`, `1 f {"t":41}`, `2 f {"t":42}`, `3 f {"t":1}`},
			[]string{
				`0 raised: sticker "of-minor" put on m1`, `1 updated: sticker "of-minor" taken off m1`, `1 updated: sticker "of-critical" put on m1`,
				`3 cleared: sticker "of-critical" taken off m1`,
			},
		},
		{
			"a field that is missing, null or makes no colour",
			ruleOf("sticker", `"color":"{{c}}","note":"{{n}}","recipients":["u"],`+hotter),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`, `2 f {"t":31,"c":null,"n":1}`, `3 f {"t":1}`, `4 f {"t":31,"c":"no way","n":1}`, `5 f {"t":1}`},
			[]string{
				`0 refused: sticker of rule "a": color: the sample has no field "c"`, `2 refused: sticker of rule "a": color: the sample has no field "c"`,
				`4 refused: sticker of rule "a": color: got the colour "no way"; want 3 to 48 letters, digits and -, or up to 128 of a to z, digits and _, the first no digit`,
			},
		},
		{
			"a note that is too long",
			ruleOf("sticker", `"note":"{{n}}",`+red+`,`+hotter),
			[]string{`0 f {"t":31,"n":"` + strings.Repeat("ž", 512) + `"}`, `1 f {"t":1}`, `2 f {"t":31,"n":"` + strings.Repeat("ž", 513) + `"}`},
			[]string{`0 raised: sticker "red" put on m1`, `1 cleared: sticker "red" taken off m1`, `2 refused: sticker of rule "a": note: a note of 513 characters; want at most 512`},
		},
		{
			"a notification of what a timer fires has the fields of the last sample",
			ruleOf("notification", `"topic":"{{line}}","on":["raised","cleared"],"body":["{{t}}",{"{{t}}":"{{o.x}}"}],"for":"5s",`+hotter),
			[]string{`0 f {"t":31,"line":"l-1","o":{"x":[1, 2]}}`, `6 tick`, `7 close ruleDeleted`},
			[]string{`5 raised: topic "l-1" told: ["31",{"{{t}}":"[1,2]"}]`, `7 cleared: topic "l-1" told: ["31",{"{{t}}":"[1,2]"}]`},
		},
		{
			"a body that is too large",
			ruleOf("notification", `"topic":"t","body":["{{n}}","{{n}}"],`+hotter),
			[]string{`0 f {"t":31,"n":"` + strings.Repeat("n", 40_000) + `"}`, `1 f {"t":1}`, `2 f {"t":31,"n":"` + strings.Repeat("n", 70_000) + `"}`},
			[]string{`0 refused: notification of rule "a": body: 80007 bytes; want at most 65536`, `2 refused: notification of rule "a": body: more than 65536 bytes`},
		},
		{
			"what is silent",
			ruleOf("notification", `"topic":"silent","on":["raised","cleared"],"absent":{"for":"10s"}`),
			[]string{`0 f {}`, `11 tick`, `12 tick`, `13 f {}`},
			[]string{
				`10 raised: topic "silent" told: {"interaction":"i","rule":"a","twin":"m1","event":"raised","severity":"info","summary":"a: no data from m1","data":{}}`,
				`13 cleared: topic "silent" told: {"interaction":"i","rule":"a","twin":"m1","event":"cleared","severity":"info","summary":"a: no data from m1","data":{}}`,
			},
		},
		{
			"out of hours a sticker is put, and a notification waits",
			alertOf(`"stickers":[{` + red + `},{"op":"remove","color":"red"}],"notifications":[{"topic":"t","on":["raised","cleared"],"body":"{{event}}"}],"schedule":{"mute":[{"from":"10:00","to":"10:01"}]},` + hotter),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`, `2 f {"t":31}`, `61 tick`, `62 f {"t":1}`},
			[]string{
				`0 raised quiet`, `0 raised: sticker "red" put on m1`, `1 cleared quiet`, `1 cleared: sticker "red" taken off m1`, `2 raised quiet`, `2 raised: sticker "red" put on m1`,
				`60 unsuppressed timer`, `60 raised: topic "t" told: "raised"`, `62 cleared`, `62 cleared: sticker "red" taken off m1`, `62 cleared: topic "t" told: "cleared"`,
			},
		},
		{
			"what people do to the alert",
			alertOf(`"latched":true,"stickers":[{"on":"acknowledged","color":"blue","recipients":["u"]},{"on":"reset","op":"remove","color":"blue"}],"notifications":[{"on":["shelved","commented"],"topic":"t","body":"{{event}}"}],` + hotter),
			[]string{`0 f {"t":31}`, `1 act ack`, `2 act shelve`, `3 act comment`, `4 f {"t":1}`, `5 act reset`},
			[]string{
				`0 raised`, `1 acknowledged manual`, `1 acknowledged: sticker "blue" put on m1`, `2 shelved manual quiet`, `2 shelved: topic "t" told: "shelved"`,
				`3 commented manual quiet`, `3 commented: topic "t" told: "commented"`, `4 cleared`, `5 reset manual`, `5 reset: sticker "blue" taken off m1`,
			},
		},
		{
			"an alert that is inhibited by the same sample tells no topic",
			documentOfTwo(`{"alert":{"id":"b","severity":"major","sourceId":"1","sourceFeedId":"f",`+hotter+`}}`,
				`{"notification":{"id":"a","topic":"t","body":"{{event}}","inhibitedBy":["b"],"sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{">":[{"var":"t"},20]}}]}}`),
			[]string{`0 f {"t":31}`, `1 f {"t":25}`, `2 f {"t":1}`},
			[]string{`0 b raised`, `1 b cleared`, `1 raised: topic "t" told: "raised"`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, story(t, tt.doc, tt.steps...))
		})
	}
}

func documentOfTwo(a, b string) string {
	return `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"},{"id":"g"}]}],"rules":[` + a + `,` + b + `]}`
}

func TestAStickerIsWhatTheRuleSays(t *testing.T) {
	p := compiled(t, ruleOf("sticker", `"mode":"shadow","color":"red","note":"{{summary}} {{t}}","recipients":["u","v"],"validity":"24h","account":"acc","onExisting":"replace",
		"severity":"low","summary":"{{twin}}:","publish":["on_put","on_expire"],`+hotter))
	out := p.Eval(&rules.Sample{Twin: "m1", Feed: "f", At: start.Add(1_234_567), Data: []byte(`{"t":31.50}`), Seq: 7}, p.NewState(1, nil), nil)
	require.Len(t, out, 1)
	o := out[0]
	assert.Equal(t, &rules.StickerChange{
		Op: rules.PutSticker, Event: rules.EventRaised, Twin: "m1", Account: "acc", Color: "red", Note: "m1: 31.50", Recipients: []string{"u", "v"},
		Until: start.Add(24*time.Hour + time.Millisecond), Publish: rules.StickerTopics{Put: []string{"red"}, Expire: []string{"red"}}, OnExisting: rules.ReplaceSticker,
	}, o.Sticker)
	assert.Equal(t, "red", o.Feed)
	assert.True(t, o.Shadow)
	assert.Equal(t, "raised", o.Event())
	assert.Equal(t, `{"kind":"sticker","interaction":"i","rule":"a","twin":"m1","id":"`+o.ID+`","event":"raised","op":"put","color":"red","account":"acc",`+
		`"occurredAt":"2026-11-22T10:00:00.001234567Z","mode":"shadow","note":"m1: 31.50","recipients":["u","v"],"validity_ts":1795428000.001,`+
		`"publish":{"on_put":["red"],"on_expire":["red"]},"onExisting":"replace","data":{"t":31.50},"cause":{"seq":7}}`, string(o.AppendJSON(nil)))
}

// Rules of kind sticker and notification are alerts of which nobody is told: they
// do what they do when the alert of the same fields raises, changes and clears.
func TestAKindIsTheAlertsMachine(t *testing.T) {
	events := func(c *anyCase, kind string) (all []string) {
		c.text = documentOf(c.rules)
		p, err := rules.Load("case", []byte(c.text))
		require.NoError(t, err, c.text)
		c.program = p
		for _, o := range c.play(each(time.Second), nil).outcomes {
			told := kind != "notification" || o.Life == nil || !o.Life.Silent
			switch e := o.Event(); {
			case o.Rule != "r1" || !told:
			case e == rules.EventRaised, e == rules.EventUpdated, e == rules.EventCleared, e == rules.EventRepeated:
				all = append(all, fmt.Sprint(o.At, o.Seq, e))
			}
		}
		return all
	}
	forCases(t, 150, false, func(t *testing.T, c *anyCase) {
		for i := range c.rules {
			if i != 1 || c.rules[i].kind == "transformation" || c.rules[i].has("schedule", "throttle", "inhibitedBy") {
				continue
			}
			members := c.rules[i].members
			for _, name := range []string{"severity", "summary", "latched", "ackRequired", "stickers", "notifications", "color", "note", "recipients", "on", "topic", "removeOnClear"} {
				delete(members, name)
			}
			members["severity"] = `"info"`
			c.rules[i].kind = "alert"
			want := events(c, "alert")
			members["on"] = `["raised","updated","cleared","repeated"]`
			members["color"], members["recipients"], members["removeOnClear"] = `"red"`, `["u"]`, `false`
			c.rules[i].kind = "sticker"
			same(t, want, events(c, "sticker"), "sticker")
		}
	})
}

// A rule that is edited while its sticker is on the twin takes that one off.
func TestAnEditedRuleTakesOffWhatItHasPut(t *testing.T) {
	load := func(fields string) *rules.Program { return compiled(t, ruleOf("sticker", fields)) }
	for _, tt := range []struct{ name, edit, adopted, cleared string }{
		{"the colour", `"recipients":["u"],"color":"blue",` + hotter, "", "red"},
		{"nothing is put any more", `"op":"remove","color":"blue",` + hotter, "", "red"},
		{"the condition", `"recipients":["u"],"color":"red","conditions":[{"jsonLogic":{">":[{"var":"t"},35]}}]`, "red", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old := load(`"recipients":["u"],"color":"red",` + hotter)
			next := load(tt.edit)
			st := old.NewState(1, nil)
			require.Len(t, old.Eval(&rules.Sample{Twin: "m1", Feed: "f", At: start, Data: []byte(`{"t":31}`)}, st, nil), 1)
			colors := func(out []rules.Outcome) (text string) {
				for _, o := range out {
					require.Equal(t, rules.RemoveSticker, o.Sticker.Op)
					text += o.Sticker.Color
				}
				return text
			}
			st, out := next.Adopt(old, st, 1, nil, start.Add(time.Second), "m1", nil)
			assert.Equal(t, tt.adopted, colors(out))
			out = next.Eval(&rules.Sample{Twin: "m1", Feed: "f", At: start.Add(2 * time.Second), Data: []byte(`{"t":1}`)}, st, nil)
			assert.Equal(t, tt.cleared, colors(out))
		})
	}
}

// A rule that begins with a past puts its sticker as if it had always been there.
func TestPrimedRulesPutTheirStickers(t *testing.T) {
	p := compiled(t, ruleOf("sticker", `"color":"at-{{t}}","recipients":["u"],"for":"5s",`+hotter))
	past, st := p.NewState(1, nil), p.NewState(1, nil)
	for second := range 8 {
		p.Eval(&rules.Sample{Twin: "m1", Feed: "f", At: start.Add(time.Duration(second) * time.Second), Data: fmt.Appendf(nil, `{"t":%d}`, 31+second)}, past, nil)
	}
	out := p.Prime([]string{"a"}, past, st, "m1", nil)
	require.Len(t, out, 1)
	assert.Equal(t, `sticker "at-36" put on m1`, out[0].Does())
	out = p.Eval(&rules.Sample{Twin: "m1", Feed: "f", At: start.Add(time.Minute), Data: []byte(`{"t":1}`)}, st, nil)
	require.Len(t, out, 1)
	assert.Equal(t, `sticker "at-36" taken off m1`, out[0].Does())
}

func TestActionErrors(t *testing.T) {
	const where = "test.json:1:"
	many := strings.Repeat(`"u%d",`, rules.MaxStickerRecipients) + `"v"`
	var numbers []any
	for i := range rules.MaxStickerRecipients {
		numbers = append(numbers, i)
	}
	for _, tt := range []struct{ fields, want string }{
		{`"stickers":[{"color":"red","recipients":["u"]},{"color":"red","recipients":["v"]}]`, `/stickers/1/color: another entry puts sticker "red" on "raised" too; want one entry for it, or other events`},
		{`"stickers":[{"color":"red","recipients":["u"]},{"op":"remove","on":["cleared","raised"],"color":"red"}]`, `/stickers/1/color: another entry puts sticker "red" on "raised" too; want one entry for it, or other events`},
		{`"stickers":[{"color":"red","recipients":["u"],"removeOnClear":true},{"op":"remove","color":"red"}]`, `/stickers/1/color: another entry removes sticker "red" on "cleared" too; want one entry for it, or other events`},
		{`"stickers":[{"color":"red"}]`, `/stickers/0: field "recipients" is missing`},
		{`"stickers":[{"recipients":["u"]}]`, `/stickers/0: field "color" is missing`},
		{`"stickers":[7]`, `/stickers/0: got 7; want an object such as {"color":"red","recipients":["…"]}`},
		{`"stickers":{}`, `/stickers: got an object; want an array`},
		{`"stickers":[{"color":"red","recipients":[` + fmt.Sprintf(many, numbers...) + `]}]`, `/stickers/0/recipients: 101 recipients; want at most 100`},
		{`"stickers":[{"color":"red","recipients":["u"],"note":"` + strings.Repeat("n", 513) + `"}]`, `/stickers/0/note: a note of 513 characters; want at most 512`},
		{`"stickers":[{"color":"red","recipients":["u"],"twin":""}]`, `/stickers/0/twin: got ""; want a text that is not empty`},
		{`"stickers":[{"color":"` + strings.Repeat("a", 129) + `","recipients":["u"]}]`, `/stickers/0/color: got the colour "` + strings.Repeat("a", 64) + `…"; want 3 to 48 letters, digits and -, or up to 128 of a to z, digits and _, the first no digit`},
		{`"stickers":[{"color":"red","recipients":["u"],"onRemove":"acknowledge"}]`, `/stickers/0/onRemove: got "acknowledge"; want one of ack, clear`},
		{`"stickers":[{"op":"remove","color":"red","onRemove":"ack"}]`, `/stickers/0/onRemove: "onRemove" is of a sticker that is put; "op":"remove" takes on, twin, color and account`},
		{`"notifications":[{}]`, `/notifications/0: field "topic" is missing`},
		{`"notifications":[{"topic":"t","on":"raisd"}]`, `/notifications/0/on: got "raisd"; did you mean "raised"?`},
		{`"notifications":[{"topic":"t","color":"red"}]`, `/notifications/0/color: unknown field "color"; want one of account, body, on, recipients, topic`},
	} {
		_, err := rules.Load("test.json", []byte(alertOf(tt.fields+","+hotter)))
		require.Error(t, err, tt.fields)
		assert.Contains(t, err.Error(), where, tt.fields)
		assert.Contains(t, err.Error()+"\n", ": /rules/0/alert"+tt.want+"\n", tt.fields)
	}
}

func TestColoursTopicsAndNotes(t *testing.T) {
	for text, fine := range map[string]bool{
		"red": true, "Red-1": true, "re": true, "_": true, "r_d": true, "7a": false, "7ab": true, "-ab": true, "r-": false, "": false, "R_d": false, "réd": false, "a b": false,
		strings.Repeat("A", 48): true, strings.Repeat("A", 49): false, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false,
	} {
		assert.Equal(t, fine, rules.CheckStickerColor(text) == nil, "%q", text)
	}
	for text, fine := range map[string]bool{"t": true, "a.b-c_D9": true, "": false, "a/b": false, "*": false, strings.Repeat("t", 127): true, strings.Repeat("t", 128): false} {
		assert.Equal(t, fine, rules.CheckTopic(text) == nil, "%q", text)
	}
}

// anyAction is what a rule does, as JSON carries it.
func anyAction(r *rand.Rand, o *rules.Outcome, text func() string) {
	list := func() (out []string) {
		for range r.IntN(3) {
			out = append(out, "x"+text())
		}
		return out
	}
	o.ID = text()
	switch o.Kind {
	case rules.Sticker:
		o.Sticker = &rules.StickerChange{
			Op: pick(r, rules.PutSticker, rules.RemoveSticker), Event: text(), Twin: pick(r, o.Twin, "x"+text()), Account: text(), Color: text(), Note: text(),
			Recipients: list(), Publish: rules.StickerTopics{Put: list(), Remove: list(), Expire: list()}, OnExisting: text(), Own: r.IntN(2) == 0,
		}
		if r.IntN(2) == 0 {
			o.Sticker.Until = time.UnixMilli(1 + r.Int64N(1<<42)).UTC()
		}
		o.Feed = o.Sticker.Color
	case rules.Notification:
		o.Notice = &rules.Notice{Event: text(), Account: text(), Topic: text(), Recipients: list(), Body: []byte(pick(r, `"b"`, `{"a":[1]}`, `[]`))}
		o.Feed = o.Notice.Topic
	}
}

// FuzzDecodeOutcome holds what comes from a stream to not panicking, and to be
// the same when it is written and read again.
func FuzzDecodeOutcome(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 40 {
		o := anyOutcome(r)
		f.Add(o.AppendJSON(nil))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		o, err := rules.DecodeOutcome(line)
		if err != nil {
			return
		}
		text := o.AppendJSON(nil)
		if !json.Valid(text) {
			t.Fatalf("not JSON: %s", text)
		}
		_ = o.EventID()
		_ = o.Does()
		again, err := rules.DecodeOutcome(text)
		if err != nil {
			t.Fatal(err)
		}
		if next := again.AppendJSON(nil); string(next) != string(text) {
			t.Fatalf("%s\nis read and written as\n%s", text, next)
		}
	})
}

// What a removal does to the alert travels with the sticker, there and back.
func TestAStickerSaysWhatItsRemovalDoes(t *testing.T) {
	p := compiled(t, alertOf(`"stickers":[{"color":"red","recipients":["u"],"onRemove":"clear"}],`+hotter))
	out := p.Eval(&rules.Sample{Twin: "m1", Feed: "f", At: start, Data: []byte(`{"t":31}`), Seq: 7}, p.NewState(1, nil), nil)
	require.Len(t, out, 2)
	assert.Equal(t, rules.Clear, out[1].Sticker.OnRemove)
	assert.Equal(t, `sticker "red" put on m1; who takes it off clears the alert`, out[1].Does())
	text := out[1].AppendJSON(nil)
	assert.Contains(t, string(text), `"recipients":["u"],"onRemove":"clear"`)
	back, err := rules.DecodeOutcome(text)
	require.NoError(t, err)
	assert.Equal(t, out[1].Sticker, back.Sticker)
	assert.Equal(t, out[1].ID, back.ID)
	_, err = rules.Load("test.json", []byte(ruleOf("sticker", `"color":"red","recipients":["u"],"onRemove":"ack",`+hotter)))
	require.ErrorContains(t, err, `/onRemove: "onRemove" acts on an alert, and nobody sees the one of this rule; want the sticker among an alert's stickers`)
}
