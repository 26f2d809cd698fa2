package engine_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
)

// What a rule cannot make becomes one dead letter a sample; what it can make is
// told all the same.
func TestWhatCannotBeMadeIsADeadLetter(t *testing.T) {
	const doc = `{"id":"heat","sources":[{"id":"1","modelDid":"did:model","feeds":[{"id":"currentTemp"}]}],"rules":[
 {"alert":{"id":"hot","severity":"critical","sourceId":"1","sourceFeedId":"currentTemp","conditions":[{"jsonLogic":{">":[{"var":"temperature"},30]}}],
  "stickers":[{"color":"red","note":"{{who}}","recipients":["u"]},{"color":"blue","recipients":["u"]}],"notifications":[{"topic":"of.{{who}}"},{"topic":"hot"}]}}]}`
	sink := &heard{}
	w := start(t, engine.DataDir(t), func(c *engine.Config) {
		c.RulesPath, c.Twins = ruleFile(t, doc), machines(1)
		c.Sinks = []engine.NamedSink{{Name: "heard", Sink: sink, Workers: 1}}
	})
	w.emit(reading("machine_0", 0, 31), reading("machine_0", 10, 32))
	w.drain()
	var told []string
	for _, o := range sink.all() {
		if o.Kind != rules.Alert {
			told = append(told, string(o.Kind)+" "+o.Feed)
		}
	}
	assert.ElementsMatch(t, []string{"sticker blue", "notification hot"}, told)
	letters, total, err := w.DeadLetters(t.Context(), engine.LetterFilter{}, 10)
	require.NoError(t, err)
	require.Equal(t, 1, total)
	assert.Equal(t, `sticker of rule "hot": note: the sample has no field "who"; notification of rule "hot": topic: the sample has no field "who"`, letters[0].Reason)
	assert.Equal(t, "machine_0", letters[0].Twin)
}
