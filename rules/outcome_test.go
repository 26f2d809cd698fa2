package rules_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

func TestOutcomeJSON(t *testing.T) {
	alert := rules.Outcome{
		Kind: rules.Alert, Interaction: "overheating", Rule: "too-hot", Twin: "machine_1", At: start, Data: []byte(`{"temperature":31.2}`), Seq: 17, Source: "machine_1",
		ID: "al_1", State: rules.StateFiring, Severity: "critical", Starts: start.Add(123_456_700), Summary: "a \"b\" <c> \x01\u2028 é", Reason: rules.ReasonCondition,
	}
	resolved := alert
	resolved.State, resolved.Ends, resolved.Labels = rules.StateResolved, start.In(time.FixedZone("", 7200)), map[string]string{"z": "1", "a": "<"}
	for _, tt := range []struct {
		name string
		o    rules.Outcome
		want string
	}{
		{
			"output",
			rules.Outcome{Kind: rules.Output, Interaction: "i", Rule: "r", Twin: "t\n", Feed: "f", At: start, Data: []byte(`{"a":1}`), Seq: 1, Index: 2, Source: "s", Hops: 3},
			`{"kind":"output","interaction":"i","rule":"r","twin":"t\n","feed":"f","occurredAt":"2026-11-22T10:00:00Z","data":{"a":1},"cause":{"seq":1}}`,
		},
		{
			"output in a stream",
			rules.Outcome{Kind: rules.Output, Interaction: "i", Rule: "r", Twin: "t", Feed: "f", At: start, Data: []byte(`{"a":1}`), Seq: 17, Index: 2, Ordinal: 1, Count: 3, Hops: 1},
			`{"kind":"output","interaction":"i","rule":"r","twin":"t","feed":"f","occurredAt":"2026-11-22T10:00:00Z","data":{"a":1},"cause":{"seq":17,"index":2,"ordinal":1,"count":3,"hops":1}}`,
		},
		{
			"the usual place in a stream",
			rules.Outcome{Kind: rules.Output, Interaction: "i", Rule: "r", Twin: "t", Feed: "f", At: start, Data: []byte(`{"a":1}`), Seq: 17, Count: 1},
			`{"kind":"output","interaction":"i","rule":"r","twin":"t","feed":"f","occurredAt":"2026-11-22T10:00:00Z","data":{"a":1},"cause":{"seq":17}}`,
		},
		{
			"firing", alert,
			`{"kind":"alert","interaction":"overheating","rule":"too-hot","twin":"machine_1","id":"al_1","state":"firing","severity":"critical","occurredAt":"2026-11-22T10:00:00Z",` +
				`"startsAt":"2026-11-22T10:00:00.1234567Z","endsAt":null,"summary":"a \"b\" <c> \u0001` + "\u2028" + ` é","labels":{},"reason":"condition","data":{"temperature":31.2},"cause":{"seq":17}}`,
		},
		{
			"resolved", resolved,
			`{"kind":"alert","interaction":"overheating","rule":"too-hot","twin":"machine_1","id":"al_1","state":"resolved","severity":"critical","occurredAt":"2026-11-22T10:00:00Z",` +
				`"startsAt":"2026-11-22T10:00:00.1234567Z","endsAt":"2026-11-22T10:00:00Z","summary":"a \"b\" <c> \u0001` + "\u2028" + ` é","labels":{"a":"<","z":"1"},"reason":"condition","data":{"temperature":31.2},"cause":{"seq":17}}`,
		},
		{
			"notification",
			rules.Outcome{Kind: rules.Notification, Interaction: "i", Rule: "r", Twin: "t", At: start},
			`{"kind":"notification","interaction":"i","rule":"r","twin":"t","occurredAt":"2026-11-22T10:00:00Z","data":{},"cause":{"seq":0}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, "x"+tt.want, string(tt.o.AppendJSON([]byte("x"))))
		})
	}
	alert.Twin = "a\xffb"
	assert.Contains(t, string(alert.AppendJSON(nil)), "\"twin\":\"a\uFFFDb\"")
}

func TestDecodeOutcomeErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`{`, `outcome: unexpected end of JSON input`},
		{`{"kind":"weather","data":{}}`, `outcome: unknown kind "weather"`},
		{`{"kind":"output","data":[]}`, `outcome: data is not an object`},
		{`{"kind":"output"}`, `outcome: data is not an object`},
	} {
		_, err := rules.DecodeOutcome([]byte(tt.text))
		assert.EqualError(t, err, tt.want)
	}
}

// anyOutcome is an outcome of the fields that JSON carries.
func anyOutcome(r *rand.Rand) rules.Outcome {
	text := func() string {
		runes := make([]rune, r.IntN(6))
		for i := range runes {
			runes[i] = []rune("ab\"\\\n\x00<\u2028é😀./|")[r.IntN(13)]
		}
		return string(runes)
	}
	when := func() time.Time { return time.Unix(r.Int64N(1<<33), r.Int64N(1e9)).UTC() }
	o := rules.Outcome{
		Kind: []rules.Kind{rules.Output, rules.Alert, rules.Notification, rules.Sticker, rules.Command}[r.IntN(5)], Interaction: text(), Rule: text(), Twin: text(),
		At: when(), Data: []byte(`{"t":` + []string{"1", "2.50", `"x"`, "[]"}[r.IntN(4)] + `}`),
		Seq: r.Uint64(), Index: uint32(r.IntN(3)), Ordinal: uint32(r.IntN(3)), Count: 1 + uint32(r.IntN(3)), Hops: uint8(r.IntN(3)),
	}
	if (o.Kind == rules.Sticker || o.Kind == rules.Notification) && r.IntN(2) == 0 {
		anyAction(r, &o, text)
		return o
	}
	if o.Kind != rules.Alert {
		o.Feed = text()
		return o
	}
	o.ID, o.Severity, o.Starts, o.Summary, o.Reason, o.State = text(), text(), when(), text(), text(), rules.StateFiring
	if r.IntN(2) == 0 {
		o.State, o.Ends = rules.StateResolved, when()
	}
	for range r.IntN(3) {
		if o.Labels == nil {
			o.Labels = map[string]string{}
		}
		o.Labels[text()] = text()
	}
	return o
}

func TestOutcomeRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		want := anyOutcome(r)
		line := want.AppendJSON(nil)
		require.True(t, json.Valid(line), "%s", line)
		require.NotContains(t, string(line), "\n")
		got, err := rules.DecodeOutcome(line)
		require.NoError(t, err, "%s", line)
		require.Equal(t, want, got)
		require.Equal(t, want.EventID(), got.EventID())
		require.Equal(t, string(line), string(got.AppendJSON(nil)))
	}
}

func TestEventID(t *testing.T) {
	base := rules.Outcome{Kind: rules.Alert, Interaction: "i", Rule: "r", Twin: "t", At: start, Seq: 7, ID: "al_1", State: rules.StateFiring, Reason: rules.ReasonCondition}
	id := base.EventID()
	assert.Regexp(t, `^ev_[0-9a-hjkmnp-tv-z]{26}$`, id)
	for name, change := range map[string]func(*rules.Outcome){
		"data":    func(o *rules.Outcome) { o.Data = []byte(`{}`) },
		"source":  func(o *rules.Outcome) { o.Source = "s" },
		"summary": func(o *rules.Outcome) { o.Summary = "s" },
		"zone":    func(o *rules.Outcome) { o.At = o.At.In(time.FixedZone("", 60)) },
	} {
		o := base
		change(&o)
		assert.Equal(t, id, o.EventID(), name)
	}
	for name, change := range map[string]func(*rules.Outcome){
		"kind":        func(o *rules.Outcome) { o.Kind = rules.Output },
		"interaction": func(o *rules.Outcome) { o.Interaction, o.Rule = "ir", "" },
		"rule":        func(o *rules.Outcome) { o.Rule = "s" },
		"twin":        func(o *rules.Outcome) { o.Twin = "u" },
		"feed":        func(o *rules.Outcome) { o.Feed = "f" },
		"seq":         func(o *rules.Outcome) { o.Seq = 8 },
		"index":       func(o *rules.Outcome) { o.Index = 1 },
		"time":        func(o *rules.Outcome) { o.At = o.At.Add(1) },
		"episode":     func(o *rules.Outcome) { o.ID = "al_2" },
		"state":       func(o *rules.Outcome) { o.State = rules.StateResolved },
		"reason":      func(o *rules.Outcome) { o.Reason = rules.ReasonTwinRemoved },
	} {
		o := base
		change(&o)
		assert.NotEqual(t, id, o.EventID(), name)
	}
}
