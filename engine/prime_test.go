package engine

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

const heldRule = `{"id":"hot","sources":[{"id":"1","modelDid":"did:machine","feeds":[{"id":"temp"}]}],"rules":[
{"alert":{"id":"long","severity":"major","sourceId":"1","sourceFeedId":"temp","for":"10s","conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]}}]}`

func sampleMessage(seq uint64, seconds int, data string) *bus.Message {
	at := midday.Add(time.Duration(seconds) * time.Second)
	return &bus.Message{Seq: seq, Kind: bus.OneSample, Twin: "a", Feed: "temp", At: at, Stored: at, Data: []byte(data)}
}

func TestNewRulesKnowThePast(t *testing.T) {
	past, p := newPool(1), newPool(1)
	for _, pool := range []*pool{past, p} {
		pool.put(t, twinOf(t, "a", "did:machine", ""))
	}
	past.rules(t, heldRule)
	p.seq = 100
	p.rules(t, heldRule)
	fresh := p.parts[0].fresh
	require.Len(t, fresh, 1)
	assert.Equal(t, []string{"long"}, fresh[0].names)

	future := sampleMessage(1, 0, `{"t":1}`)
	future.At = future.At.AddDate(1, 0, 0) // it moves no clock
	review := past.parts[0]
	for _, m := range []*bus.Message{
		future, sampleMessage(2, 0, `{"t":31}`), sampleMessage(3, 5, `{"t":31}`),
		{Seq: 4, Kind: bus.ManySamples, Stored: midday, Data: []byte(`{"twin":"a","feed":"temp","occurredAt":"2026-11-02T12:00:08Z","data":{"t":32}}` + "\n" + `{"twin":"b","feed":"temp","data":{}}` + "\nx\n")},
		{Seq: 5, Kind: bus.Tick, At: midday.Add(11 * time.Second), Stored: midday},
	} {
		review.review(m, DefaultMaxSkew)
	}
	out := p.parts[0].takeOver(review, fresh[0], event{101, midday}, nil)
	require.Len(t, out, 1)
	assert.Equal(t, rules.EventRaised, out[0].Life.Event)
	assert.Equal(t, midday.Add(10*time.Second), out[0].At)
	assert.Equal(t, uint64(101), out[0].Seq)
	assert.False(t, out[0].Life.Silent)

	p.parts[0].fresh = nil
	p.rules(t, heldRule)
	assert.Empty(t, p.parts[0].fresh, "an edit that changes nothing")
	p.sample(t, 12, "a", "temp", `{"t":33}`)
	assert.Empty(t, p.told, "it fires already")
	p.sample(t, 13, "a", "temp", `{"t":3}`)
	assert.Equal(t, []string{"13 long cleared of a: long on a"}, p.told)
}

func TestReplayOfAStreamHasWhatPeopleDid(t *testing.T) {
	program, err := rules.Load("x", []byte(heldRule))
	require.NoError(t, err)
	r := NewReplay(map[string]*rules.Program{"hot": program}, nil)
	var told []string
	var last rules.Outcome
	each := func(_ *rules.Sample, out []rules.Outcome, err error) error {
		if err != nil {
			told = append(told, err.Error())
		}
		for _, o := range out {
			last = o
			told = append(told, fmt.Sprintf("%g %s", o.At.Sub(midday).Seconds(), o.Life.Event))
		}
		return nil
	}
	play := func(m *bus.Message) {
		_, err := r.message(m, nil, DefaultMaxSkew, each)
		require.NoError(t, err)
	}
	play(sampleMessage(1, 0, `{"t":31}`))
	play(sampleMessage(2, 10, `{"t":31}`))
	far := sampleMessage(3, 11, `{"t":1}`)
	far.At = far.At.AddDate(1, 0, 0)
	play(far)
	text, err := json.Marshal(act(rules.Action{Do: rules.Acknowledge, ID: last.ID, Interaction: "hot", Rule: "long", By: "ann"}, "a"))
	require.NoError(t, err)
	play(&bus.Message{Seq: 4, Kind: bus.Control, Stored: midday.Add(12 * time.Second), Data: text})
	play(&bus.Message{Seq: 5, Kind: bus.Control, Data: []byte(`{"op":"interaction.delete","id":"hot"}`)})
	play(&bus.Message{Seq: 6, Kind: bus.Control, Data: []byte(`x`)})
	play(sampleMessage(7, 20, `{"t":1}`))
	assert.Equal(t, []string{
		"10 raised", "in the future: 2027-11-02T12:00:11Z, stored at 2026-11-02T12:00:11Z; want at most 5m0s ahead", "12 acknowledged", "20 cleared",
	}, told)
}

func TestPeopleActByTheClockOfTheRules(t *testing.T) {
	p := newPool(1)
	p.rules(t, heldRule)
	p.put(t, twinOf(t, "a", "did:machine", ""))
	p.sample(t, 0, "a", "temp", `{"t":31}`)
	p.sample(t, 10, "a", "temp", `{"t":31}`)
	p.tick(10)
	id := ""
	for _, b := range p.parts[0].twins["a"].bindings {
		s := string(b.state.Append(nil))
		var state struct {
			Episodes map[string]struct{ ID string }
		}
		require.NoError(t, json.Unmarshal([]byte(s), &state))
		id = state.Episodes["long"].ID
	}
	// A recording is played years later: an hour on the shelf is an hour of the recording.
	now := midday.AddDate(3, 0, 0)
	c := act(rules.Action{Do: rules.Shelve, ID: id, Interaction: "hot", Rule: "long", By: "ann", Comment: "x", Until: now.Add(time.Hour)}, "a")
	out, err := p.parts[0].apply(c.encode(), event{50, now}, nil)
	require.NoError(t, err)
	p.note(out)
	p.restart(t)
	p.tick(3609)
	p.tick(3612)
	assert.Equal(t, []string{"10 long raised of a: long on a", "10 long shelved of a: long on a", "3610 long unshelved of a: long on a"}, p.told)
}
