package rules_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// alertWith is an interaction with one alert that has the fields.
func alertWith(fields string) string {
	return `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"alert":{"id":"a","severity":"major","sourceId":"1","sourceFeedId":"f",` + fields + `}}]}`
}

// What a rule had no room for is counted, whatever it remembers.
func TestLostIsCounted(t *testing.T) {
	const most = 10_000 // of a rate's window, and of the values of a median
	for _, tt := range []struct {
		name, fields string
		samples      int
	}{
		{"sequence", `"sequence":[{"jsonLogic":{">":[{"var":"t"},0]}},{"jsonLogic":{"<":[{"var":"t"},0]}}],"within":"24h"`, 8 + 3},
		{"rate", `"rate":{"field":"t","window":"24h"},"conditions":[{"jsonLogic":{">":[{"var":"$rate.t"},5]}}]`, most + 3},
		{"window", `"window":{"type":"sliding","size":"24h"},"aggregate":{"m":{"op":"median","field":"t"}},"conditions":[{"jsonLogic":{">":[{"var":"$agg.m"},1e9]}}]`, most + 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHistory(compiled(t, alertWith(tt.fields)), 1)
			for i := range tt.samples {
				h.next(fmt.Sprintf(`{"t":%d}`, i+1))
			}
			counted, late := h.c.Take(nil)
			require.Len(t, counted, 1)
			assert.Equal(t, uint64(3), counted[0].Lost)
			assert.Zero(t, late)
		})
	}
}

// Take gives what has been counted since the last Take, and a late sample once,
// for however many rules it is late.
func TestTake(t *testing.T) {
	condition := `"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]`
	alert := func(id, more string) string {
		return `{"alert":{"id":"` + id + `","severity":"major","sourceId":"1","sourceFeedId":"f",` + more + condition + `}}`
	}
	tests := []struct {
		name, rules string
		late        uint64
		funnels     []rules.Funnel
	}{
		{
			"two rules that take no late samples", alert("a", "") + "," + alert("b", ""), 2,
			[]rules.Funnel{{Received: 4, Matched: 4, Late: 2, True: 1, False: 1, Raised: 1, Resolved: 1}, {Received: 4, Matched: 4, Late: 2, True: 1, False: 1, Raised: 1, Resolved: 1}},
		},
		{
			"one that allows 10 seconds", alert("a", `"allowedLateness":"10s",`), 1,
			[]rules.Funnel{{Received: 4, Matched: 4, Late: 1, True: 1, False: 2, Raised: 1, Resolved: 1}},
		},
		{
			"and one that does not", alert("a", `"allowedLateness":"10s",`) + "," + alert("b", ""), 2,
			[]rules.Funnel{{Received: 4, Matched: 4, Late: 1, True: 1, False: 2, Raised: 1, Resolved: 1}, {Received: 4, Matched: 4, Late: 2, True: 1, False: 1, Raised: 1, Resolved: 1}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := compiled(t, `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[`+tt.rules+`]}`)
			c := p.NewCounters()
			st := p.NewState(1, c)
			for i, x := range []struct{ second, value int }{{60, 31}, {55, 1}, {20, 2}, {61, 3}} {
				s := rules.Sample{Twin: "m1", Feed: "f", At: start.Add(time.Duration(x.second) * time.Second), Data: fmt.Appendf(nil, `{"t":%d}`, x.value), Seq: uint64(i + 1)}
				p.Eval(&s, st, nil)
			}
			buf := make([]rules.Funnel, 0, 8)
			counted, late := c.Take(buf)
			assert.Equal(t, tt.funnels, counted)
			assert.Equal(t, tt.late, late)
			counted, late = c.Take(counted)
			assert.Equal(t, make([]rules.Funnel, len(tt.funnels)), counted, "since the last Take nothing")
			assert.Zero(t, late)
		})
	}
}

// The counts of many alerts, which are kept together, are taken as well.
func TestTakeOfMany(t *testing.T) {
	doc := `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[`
	for i := range 40 {
		if i > 0 {
			doc += ","
		}
		doc += fmt.Sprintf(`{"alert":{"id":"a%d","severity":"major","sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{">":[{"var":"t"},%d]}}]}}`, i, i)
	}
	h := newHistory(compiled(t, doc+"]}"), 1)
	h.next(`{"t":20}`)
	h.next(`{}`)
	counted, _ := h.c.Take(nil)
	require.Len(t, counted, 40)
	assert.Equal(t, rules.Funnel{Received: 2, Matched: 2, True: 1, Unknown: 1, Raised: 1}, counted[19])
	assert.Equal(t, rules.Funnel{Received: 2, Matched: 2, False: 1, Unknown: 1}, counted[20])
	h.next(`{"t":0}`)
	counted, _ = h.c.Take(counted)
	assert.Equal(t, rules.Funnel{Received: 1, Matched: 1, False: 1, Resolved: 1}, counted[19])
}
