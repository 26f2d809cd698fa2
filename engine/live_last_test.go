package engine

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

const keptOutputs = `{"id":"heat","sources":[{"id":"1","filter":{"text":"pump"},"feeds":[{"id":"temp"}]}],"rules":[
{"transformation":{"sourceId":"1","sourceFeedId":"temp","conditions":[{"jsonLogic":{">":[{"var":"t"},50]}}],"outputFeedId":"out","outputFieldId":"hot","outputTrueValue":1,"outputFalseValue":0}}]}`

func keepingPartition(t testing.TB, text string) *partition {
	t.Helper()
	program, err := rules.Load("heat", []byte(text))
	require.NoError(t, err)
	p := newPartition(newCompiler(), 1000)
	p.putProgram(program, event{}, new([]rules.Outcome))
	p.put(&twins.Twin{ID: "a", Properties: []rules.Property{twins.LangString(rules.PropLabel, "pump", "en")}, Feeds: []rules.Feed{{ID: "temp"}}}, event{}, nil)
	return p
}

// What is kept of outputs is what a snapshot gives back, and goes with the feed of
// the interaction.
func TestLastOutputsAreInSnapshots(t *testing.T) {
	p := keepingPartition(t, keptOutputs)
	output := lastQuestion{Twin: "a", Feed: "out", Interaction: "heat"}
	assert.Nil(t, p.lastOf(output))
	for i, data := range []string{`{"t":60}`, `{"t":10}`} {
		_, err := p.judge(&rules.Sample{Twin: "a", Feed: "temp", At: midday.Add(-time.Duration(i) * time.Second), Seq: uint64(i + 1), Data: []byte(data)}, nil)
		require.NoError(t, err)
	}
	text, err := p.save(2)
	require.NoError(t, err)
	again := newPartition(newCompiler(), 1000)
	_, err = again.load(text)
	require.NoError(t, err)
	for _, p := range []*partition{p, again} {
		last := p.lastOf(output)
		require.NotNil(t, last)
		assert.Equal(t, `{"hot":0}`, string(last.Data), "the late one came last")
		assert.Equal(t, uint64(2), last.Seq)
		assert.Equal(t, `{"t":10}`, string(p.lastOf(lastQuestion{Twin: "a", Feed: "temp"}).Data))
		assert.Equal(t, `{"t":60}`, string(p.twins["a"].feeds[0].last.data), "rules that come later begin with the newest")
		assert.Nil(t, p.lastOf(lastQuestion{Twin: "b", Feed: "out", Interaction: "heat"}))
		assert.Nil(t, p.lastOf(lastQuestion{Twin: "a", Feed: "out", Interaction: "other"}))
		assert.Nil(t, p.lastOf(lastQuestion{Twin: "a", Feed: "none"}))
	}
	other, err := rules.Load("heat", []byte(`{"id":"heat","sources":[{"id":"1","filter":{"text":"pump"},"feeds":[{"id":"temp"}]}],"rules":[
{"transformation":{"sourceId":"1","sourceFeedId":"temp","conditions":[{"jsonLogic":{">":[{"var":"t"},50]}}],"outputFeedId":"another","outputFieldId":"hot","outputTrueValue":1}}]}`))
	require.NoError(t, err)
	again.putProgram(other, event{seq: 3, at: midday}, new([]rules.Outcome))
	assert.Nil(t, again.lastOf(output))
}

// Keeping the last of them allocates nothing for each.
func TestLastOutputsCostNoMemoryEach(t *testing.T) {
	live, offline := keepingPartition(t, keptOutputs), keepingPartition(t, keptOutputs)
	offline.offline = true
	allocations := func(p *partition) int {
		var out []rules.Outcome
		s := rules.Sample{Twin: "a", Feed: "temp", At: midday, Seq: 1, Data: []byte(`{"t":60}`)}
		least := math.MaxInt
		for range 10 { // what goes on beside it allocates too
			least = min(least, int(testing.AllocsPerRun(1000, func() {
				s := s
				out, _ = p.judge(&s, out[:0])
			})))
		}
		return least
	}
	assert.Equal(t, allocations(offline), allocations(live))
}

// BenchmarkJudgeLive is a sample's judging where the last output is kept.
func BenchmarkJudgeLive(b *testing.B) {
	p := keepingPartition(b, keptOutputs)
	var out []rules.Outcome
	b.ReportAllocs()
	for b.Loop() {
		s := rules.Sample{Twin: "a", Feed: "temp", At: midday, Seq: 1, Data: []byte(`{"t":60}`)}
		out, _ = p.judge(&s, out[:0])
	}
}
