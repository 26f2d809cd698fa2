package rules_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// BenchmarkOverheating is the tutorial's rule, bytes in to bytes out.
func BenchmarkOverheating(b *testing.B) {
	p, err := rules.Compile(tutorial(b))
	require.NoError(b, err)
	st := p.NewState(1, nil)
	data := []byte(`{"temperature": 31.2}`)
	at := start
	var s rules.Sample
	var out []rules.Outcome
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(1)
		s = rules.Sample{Twin: "m1", Feed: "currentTemp", At: at, Data: data}
		out = p.Eval(&s, st, out[:0])
	}
	require.Len(b, out, 1)
}

// BenchmarkQuietAlert is an alert rule whose samples change nothing.
func BenchmarkQuietAlert(b *testing.B) {
	p := compiled(b, tooHot)
	st := p.NewState(1, nil)
	data := []byte(`{"t":21.5}`)
	at := start
	var s rules.Sample
	var out []rules.Outcome
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(1)
		s = rules.Sample{Twin: "m1", Feed: "f", At: at, Data: data}
		out = p.Eval(&s, st, out[:0])
	}
	require.Empty(b, out)
}

func BenchmarkAppendJSON(b *testing.B) {
	p, err := rules.Compile(tutorial(b))
	require.NoError(b, err)
	s := rules.Sample{Twin: "m1", Feed: "currentTemp", At: start, Data: []byte(`{"temperature": 31.2}`)}
	out := p.Eval(&s, p.NewState(1, nil), nil)
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = out[0].AppendJSON(line[:0])
	}
}
