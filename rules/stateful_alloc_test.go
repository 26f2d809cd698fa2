package rules_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// A rule that remembers makes no garbage while its samples change nothing: a
// caller that uses a sample and the slice again has no allocation at all.
func TestRememberingAllocatesNothing(t *testing.T) {
	const (
		held  = `"for":"15m","clearCondition":{"jsonLogic":{"<":[{"var":"t"},95]}},"conditions":[{"jsonLogic":{">":[{"var":"t"},100]}}]`
		doing = `"stickers":[{"color":"{{severity}}-{{t}}","recipients":["u"],"removeOnClear":true}],"notifications":[{"topic":"t.{{t}}"}],`
		rate  = `"rate":{"field":"t","per":"1m"},"conditions":[{"jsonLogic":{">":[{"var":"$rate.t"},1000]}}]`
		move  = `"rate":{"field":"t"},"conditions":[{"jsonLogic":{"!=":[{"var":"$rate.t"},0]}}]`
		mean  = `"window":{"type":"tumbling","size":"1m"},"aggregate":{"mean":{"op":"avg","field":"t"}},"conditions":[{"jsonLogic":{">":[{"var":"$agg.mean"},100]}}]`
	)
	for _, tt := range []struct {
		name, fields string
		begins       []string // samples that bring it to where it stays
		every        time.Duration
		stays        []string
		firing       bool
		waiting      bool
	}{
		{"for, idle", held, nil, time.Second, []string{`{"t":90.5}`, `{"t":97}`}, false, false},
		{"for, pending", held, nil, time.Millisecond, []string{`{"t":101}`, `{"t":102.5}`}, false, true},
		{"for, firing", held, []string{`{"t":101}`, `{"t":101}`}, 16 * time.Minute, []string{`{"t":101}`, `{"t":97}`, `{}`}, true, false},
		{"rate", rate, nil, time.Second, []string{`{"t":90.5}`, `{"t":97}`, `{"t":91}`}, false, false},
		{"rate, firing", move, nil, time.Second, []string{`{"t":1}`, `{"t":101}`, `{"t":201}`, `{}`}, true, false},
		{"window", mean, nil, time.Second, []string{`{"t":90.5}`, `{"t":97}`, `{"t":101}`}, false, true},
		{"stickers and notifications", doing + held, []string{`{"t":101}`, `{"t":101}`}, 16 * time.Minute, []string{`{"t":101}`, `{"t":97}`, `{}`}, true, false},
		{"window, firing", mean, []string{`{"t":101}`, `{"t":120}`}, time.Minute, []string{`{"t":101}`, `{"t":120}`}, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := compiled(t, alertOf(tt.fields))
			st, at := p.NewState(1, nil), start
			var s rules.Sample
			var out []rules.Outcome
			reader := rules.NewReader("f", p)
			judge := func(data []byte) {
				at = at.Add(tt.every)
				s = rules.Sample{Twin: "m1", Feed: "f", At: at, Data: data}
				if reader.Read(&s) == nil {
					out = p.Eval(&s, st, out[:0])
				}
			}
			var stays [][]byte
			for _, data := range tt.stays {
				stays = append(stays, []byte(data))
			}
			round := func() { // several windows
				for i := range 240 {
					judge(stays[i%len(stays)])
				}
			}
			for _, data := range tt.begins {
				judge([]byte(data))
			}
			round()
			require.Equal(t, tt.firing, st.Firing())
			require.Equal(t, tt.waiting, st.Wake() != rules.NoWake)
			assert.Zero(t, testing.AllocsPerRun(100, round))
			assert.Equal(t, tt.firing, st.Firing(), "nothing has changed")
			assert.Empty(t, out)
		})
	}
}
