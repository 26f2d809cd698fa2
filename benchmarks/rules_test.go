package benchmarks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

const (
	modelID = "did:model"

	transformation = `{"transformation":{"conditions":[{"fieldsIncludedInOutput":["temperature"],"jsonLogic":` + tooHot + `}],` +
		`"outputFeedId":"temperature_status","outputFieldId":"status%d","outputTrueValue":"extreme","outputFalseValue":"normal",` +
		`"sourceFeedId":"currentTemp","sourceId":"1"}}`

	alert = `{"alert":{"id":"too-hot","severity":"critical","conditions":[{"jsonLogic":{">":[{"var":"temperature"},90]}}],` +
		`"sourceId":"1","sourceFeedId":"currentTemp","summary":"{{temperature}} degrees"}}`
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// interaction is a document with these rules about machines made from one model.
func interaction(ruleTexts ...string) string {
	return `{"id":"overheating","sources":[{"id":"1","feeds":[{"id":"currentTemp","fieldIds":["temperature"]}],"modelDid":"` + modelID + `"}],` +
		`"rules":[` + strings.Join(ruleTexts, ",") + `]}`
}

// overheating is the interaction of one rule: every sample gives one output.
func overheating() string { return interaction(fmt.Sprintf(transformation, 0)) }

func load(b *testing.B, text string) *rules.Program {
	b.Helper()
	p, err := rules.Load("interaction", []byte(text))
	require.NoError(b, err)
	return p
}

// BenchmarkEval judges a sample from its bytes: the overheating rule, which
// makes an output of each, and an alert of which they change nothing.
func BenchmarkEval(b *testing.B) {
	for _, bb := range []struct {
		name, rule, sample string
		outcomes           int
	}{
		{"output", overheating(), hotSample, 1},
		{"output-ten-fields", overheating(), tenFields, 1},
		{"quiet-alert", interaction(alert), hotSample, 0},
	} {
		b.Run(bb.name, func(b *testing.B) {
			p := load(b, bb.rule)
			st, data, at := p.NewState(1, nil), []byte(bb.sample), noon
			var out []rules.Outcome
			b.ReportAllocs()
			for b.Loop() {
				at = at.Add(time.Millisecond) // what is not newer is late
				s := rules.Sample{Twin: "machine_17", Feed: "currentTemp", At: at, Data: data}
				out = p.Eval(&s, st, out[:0])
			}
			require.Len(b, out, bb.outcomes)
		})
	}
}

// BenchmarkManyAlerts judges a sample by many alert rules of one feed, of which
// it changes nothing: thresholds of three forms over three fields, and readings
// that move between two neighbouring ones.
func BenchmarkManyAlerts(b *testing.B) {
	const manyAlert = `{"alert":{"id":"a%d","severity":"major","conditions":[{"jsonLogic":%s}],"sourceId":"1","sourceFeedId":"currentTemp"}}`
	forms := []string{`{">":[{"var":"temperature"},%d]}`, `{"and":[{">":[{"var":"humidity"},%d]},{"==":[{"var":"zone"},"B"]}]}`, `{"<":[{"var":"motor.rpm"},%d]}`}
	for _, n := range []int{1, 100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			texts := make([]string, n)
			for i := range texts {
				texts[i] = fmt.Sprintf(manyAlert, i, fmt.Sprintf(forms[i%len(forms)], 100*i))
			}
			p := load(b, strings.Replace(interaction(texts...), `"fieldIds":["temperature"]`, `"fieldIds":[]`, 1))
			st, reader, at := p.NewState(1, nil), rules.NewReader("currentTemp", p), noon
			data := ring(b, func(i int) string {
				return fmt.Sprintf(`{"temperature":150.%02d,"humidity":250.%02d,"zone":"B","motor":{"rpm":10%02d,"load":0.7}}`, i, 64-i, i)
			})
			var s rules.Sample
			var out []rules.Outcome
			judge := func(i int) {
				at = at.Add(time.Millisecond)
				s = rules.Sample{Twin: "machine_17", Feed: "currentTemp", At: at, Data: data[i%len(data)].text}
				if err := reader.Read(&s); err != nil {
					b.Fatal(err)
				}
				out = p.Eval(&s, st, out[:0])
			}
			judge(0) // raises what holds
			i := 1
			b.ReportAllocs()
			for b.Loop() {
				judge(i)
				i++
			}
			require.Empty(b, out)
		})
	}
}

// BenchmarkAppendJSON renders the overheating rule's outcome.
func BenchmarkAppendJSON(b *testing.B) {
	p := load(b, overheating())
	s := rules.Sample{Twin: "machine_17", Feed: "currentTemp", At: noon, Seq: 17, Data: []byte(hotSample)}
	out := p.Eval(&s, p.NewState(1, nil), nil)
	require.Len(b, out, 1)
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = out[0].AppendJSON(line[:0])
	}
	b.ReportMetric(float64(len(line)), "B/outcome")
}

// BenchmarkLoad validates and compiles a document of ten rules.
func BenchmarkLoad(b *testing.B) {
	texts := make([]string, 10)
	for i := range texts {
		texts[i] = fmt.Sprintf(transformation, i)
	}
	text := []byte(interaction(texts...))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rules.Load("interaction", text); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*len(texts)), "ns/rule")
}
