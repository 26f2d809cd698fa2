package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/rules"
)

func TestShadowsAreComparedAlertByAlert(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 2, 12, minute, 0, 0, time.UTC) }
	alert := func(twin string, from, to int) lifetime {
		s := lifetime{twin: twin, from: at(from)}
		if to > 0 {
			s.to = at(to)
		}
		return s
	}
	for name, tt := range map[string]struct {
		shadow, live []lifetime
		want         [5]int // both, earlier, later, only the shadow, only the live one
	}{
		"none":                      {nil, nil, [5]int{}},
		"the same":                  {[]lifetime{alert("a", 1, 5)}, []lifetime{alert("a", 1, 9)}, [5]int{1, 0, 0, 0, 0}},
		"earlier":                   {[]lifetime{alert("a", 1, 5)}, []lifetime{alert("a", 4, 9)}, [5]int{1, 1, 0, 0, 0}},
		"later, both still fire":    {[]lifetime{alert("a", 6, 0)}, []lifetime{alert("a", 4, 0)}, [5]int{1, 0, 1, 0, 0}},
		"one after the other":       {[]lifetime{alert("a", 1, 4)}, []lifetime{alert("a", 4, 9)}, [5]int{0, 0, 0, 1, 1}},
		"of two twins":              {[]lifetime{alert("a", 1, 5)}, []lifetime{alert("b", 1, 5)}, [5]int{0, 0, 0, 1, 1}},
		"a long one and two in it":  {[]lifetime{alert("a", 1, 20)}, []lifetime{alert("a", 2, 4), alert("a", 6, 8)}, [5]int{1, 1, 0, 0, 1}},
		"each its own":              {[]lifetime{alert("a", 1, 5), alert("a", 10, 15)}, []lifetime{alert("a", 2, 5), alert("a", 9, 0)}, [5]int{2, 1, 1, 0, 0}},
		"only the shadow, of three": {[]lifetime{alert("a", 1, 2), alert("b", 1, 2), alert("c", 1, 2)}, []lifetime{alert("b", 1, 2)}, [5]int{1, 0, 0, 2, 0}},
	} {
		var c Comparison
		c.compare(tt.shadow, tt.live)
		assert.Equal(t, tt.want, [5]int{c.Both, c.Earlier, c.Later, c.OnlyShadow, c.OnlyLive}, name)
		assert.Equal(t, []int{len(tt.shadow), len(tt.live)}, []int{c.Shadow, c.Live}, name)
		assert.Len(t, c.Differences, c.Earlier+c.Later+c.OnlyShadow+c.OnlyLive, name)
	}
}

func TestWhatAShadowIsComparedWith(t *testing.T) {
	rule := func(name, mode string) RuleStatus { return RuleStatus{Rule: name, Kind: "alert", Mode: mode} }
	all := []InteractionStatus{
		{ID: "trial", Rules: []RuleStatus{rule("hot", rules.ModeShadow), rule("own", rules.ModeLive)}},
		{ID: "a/b", Rules: []RuleStatus{rule("hot", rules.ModeLive), rule("cold", rules.ModeLive)}},
		{ID: "c", Rules: []RuleStatus{rule("cold", rules.ModeLive)}},
	}
	for _, tt := range []struct {
		name, shadowOf string
		of             *ruleKey
		note           string
	}{
		{"hot", "", &ruleKey{"a/b", "hot"}, ""},
		{"hot", "own", &ruleKey{"trial", "own"}, ""},
		{"hot", "c/cold", &ruleKey{"c", "cold"}, ""},
		{"hot", "a/b/cold", &ruleKey{"a/b", "cold"}, ""},
		{"hot", "trial/hot", nil, `no live alert "trial/hot" runs`},
		{"cold", "", nil, `2 live alerts are called "cold"; name one with "shadowOf"`},
		{"new", "", nil, `no other live alert is called "new"; name one with "shadowOf"`},
	} {
		of, note := liveOf(all, &all[0], &RuleStatus{Rule: tt.name, ShadowOf: tt.shadowOf})
		assert.Equal(t, tt.of, of, tt.name+" "+tt.shadowOf)
		assert.Equal(t, tt.note, note)
	}
}
