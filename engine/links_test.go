package engine

import (
	"fmt"
	"hash/fnv"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

const roomRules = `{"id":"room","sources":[
 {"id":"1","modelDid":"did:machine","feeds":[{"id":"temp"}]},
 {"id":"2","modelDid":"did:room","feeds":[{"id":"air"}]}],
"rules":[{"alert":{"id":"hotter","severity":"major","sourceId":"1","sourceFeedId":"temp",
 "join":{"as":"ambient","sourceId":"2","sourceFeedId":"air","on":{"property":"urn:x#room"},"tolerance":"10m"},
 "conditions":[{"jsonLogic":{">":[{"-":[{"var":"t"},{"var":"ambient.t"}]},20]}}],"summary":"{{t}} in a room of {{ambient.t}}"}},
 {"alert":{"id":"many","severity":"major","sourceId":"1","sourceFeedId":"temp","groupBy":{"property":"urn:x#room","maxAge":"5m"},"quorum":{"count":2},"for":"3s",
 "conditions":[{"jsonLogic":{">":[{"var":"t"},50]}}],"summary":"{{$agg.true}} of {{$agg.members}} in {{twin}}"}},
 {"alert":{"id":"mean","severity":"minor","sourceId":"1","sourceFeedId":"temp","groupBy":{},"aggregate":{"mean":{"op":"avg","field":"t"}},
 "conditions":[{"jsonLogic":{">":[{"var":"$agg.mean"},50]}}],"summary":"mean {{$agg.mean}}"}},
 {"alert":{"id":"limit","severity":"minor","sourceId":"1","sourceFeedId":"temp","enrich":[{"from":"model","default":{"max":80}},{"from":"twin","as":"own","default":{"offset":0}}],
 "conditions":[{"jsonLogic":{">":[{"+":[{"var":"t"},{"var":"own.offset"}]},{"var":"model.max"}]}}]}}]}`

func twinOf(t *testing.T, id, model, properties string) twins.Twin {
	t.Helper()
	raw, err := strictjson.Parse("twin", fmt.Appendf(nil, `[{"twinId":%q,"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":%q}}%s],
		"feeds":[{"id":"temp"},{"id":"air"}]}]`, id, model, properties))
	require.NoError(t, err)
	list, err := twins.Decode(raw)
	require.NoError(t, err)
	return list[0]
}

func room(value string) string {
	return fmt.Sprintf(`,{"key":"urn:x#room","stringLiteralValue":{"value":%q}}`, value)
}

// midday is when nothing has happened yet.
var midday = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// pool is the partitions of one worker.
type pool struct {
	parts []*partition
	seq   uint64
	told  []string
}

func newPool(n int) *pool {
	p := &pool{}
	c := newCompiler()
	for range n {
		p.parts = append(p.parts, newPartition(c, DefaultMaxSampleBytes))
	}
	p.meet()
	return p
}

func (p *pool) meet() {
	together := &peers{p.parts, p.home}
	for _, part := range p.parts {
		part.peers = together
	}
}

func (p *pool) home(twin string) int {
	h := fnv.New32a()
	h.Write([]byte(twin))
	return int(h.Sum32()) % len(p.parts)
}

func (p *pool) apply(t *testing.T, part int, c control) {
	t.Helper()
	p.seq++
	out, err := p.parts[part].apply(c.encode(), event{p.seq, midday}, nil)
	require.NoError(t, err)
	p.note(out)
}

func (p *pool) put(t *testing.T, twin twins.Twin) {
	t.Helper()
	p.apply(t, p.home(twin.ID), putTwin(&twin))
	if twins.IsModel(&twin) {
		for i := range p.parts {
			if i != p.home(twin.ID) {
				p.apply(t, i, putModel(&twin))
			}
		}
	}
}

func (p *pool) rules(t *testing.T, text string) {
	t.Helper()
	program, err := rules.Load("x", []byte(text))
	require.NoError(t, err)
	for i := range p.parts {
		p.apply(t, i, putInteraction(program))
	}
}

func (p *pool) sample(t *testing.T, seconds int, twin, feed, data string) {
	t.Helper()
	p.seq++
	s := rules.Sample{Twin: twin, Feed: feed, At: midday.Add(time.Duration(seconds) * time.Second), Data: []byte(data), Seq: p.seq}
	out, err := p.parts[p.home(twin)].judge(&s, nil)
	require.NoError(t, err)
	p.note(out)
}

func (p *pool) tick(seconds int) {
	for _, part := range p.parts {
		p.seq++
		p.note(part.tick(midday.Add(time.Duration(seconds)*time.Second), false, p.seq, nil))
	}
}

func (p *pool) note(out []rules.Outcome) {
	for _, o := range out {
		p.told = append(p.told, fmt.Sprintf("%g %s %s of %s: %s", o.At.Sub(midday).Seconds(), o.Rule, o.Life.Event, o.Twin, o.Summary))
	}
}

// restart saves all partitions, and loads them as others.
func (p *pool) restart(t *testing.T) {
	t.Helper()
	c := newCompiler()
	for i, part := range p.parts {
		text, err := part.save(p.seq)
		require.NoError(t, err)
		p.parts[i] = newPartition(c, DefaultMaxSampleBytes)
		_, err = p.parts[i].load(text)
		require.NoError(t, err)
	}
	p.meet()
}

func TestADeletedRuleEndsTheAlertOfItsGroup(t *testing.T) {
	p := newPool(16)
	p.rules(t, roomRules)
	for _, id := range []string{"a", "b", "c"} {
		p.put(t, twinOf(t, id, "did:machine", room("r1")))
		p.sample(t, 1, id, "temp", `{"t":60}`)
	}
	p.sample(t, 5, "a", "temp", `{"t":60}`)
	var reasons []string
	for i := range p.parts {
		p.seq++
		out, err := p.parts[i].apply(control{Op: opInteractionDelete, ID: "room"}.encode(), event{p.seq, midday}, nil)
		require.NoError(t, err)
		for _, o := range out {
			if o.Rule == "many" {
				reasons = append(reasons, o.Reason)
			}
		}
		assert.Empty(t, p.parts[i].groups)
	}
	assert.Equal(t, []string{rules.ReasonRuleDeleted}, reasons)
}

func TestEmptyGroupsAreForgotten(t *testing.T) {
	p := newPool(4)
	p.rules(t, roomRules)
	for i := range 20 {
		p.put(t, twinOf(t, "a", "did:machine", room(fmt.Sprint("r", i))))
		p.sample(t, i, "a", "temp", `{"t":60}`)
	}
	groups := 0
	for _, part := range p.parts {
		groups += len(part.groups)
	}
	assert.Equal(t, 2, groups, "the last room, and all machines")
}

func TestAWaitingAbsenceDoesNotKeepOthersFromWaking(t *testing.T) {
	p := newPool(1)
	p.rules(t, `{"id":"i","sources":[{"id":"1","modelDid":"did:machine","feeds":[{"id":"temp"}]}],"rules":[
{"alert":{"id":"silent","severity":"major","sourceId":"1","sourceFeedId":"temp","absent":{"for":"1h"}}},
{"alert":{"id":"hot","severity":"major","sourceId":"1","sourceFeedId":"temp","for":"10s","conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]}}]}`)
	p.put(t, twinOf(t, "a", "did:machine", ""))
	p.put(t, twinOf(t, "b", "did:machine", ""))
	tick := func(from, to int) {
		for ; from <= to; from++ {
			p.seq++
			p.note(p.parts[0].tick(midday.Add(time.Duration(from)*time.Second), true, p.seq, nil))
		}
	}
	tick(0, 1)
	p.sample(t, 0, "a", "temp", `{"t":1}`)
	tick(7200, 7300) // the engine was away for two hours
	p.sample(t, 7300, "b", "temp", `{"t":31}`)
	tick(7301, 10801)
	assert.Equal(t, []string{"7310 hot raised of b: hot on b", "10800 silent raised of a: silent: no data from a"}, p.told)
}

func TestTwinsAreJudgedTogether(t *testing.T) {
	var all [][]string
	for _, n := range []int{1, 3, 16} {
		for _, restarts := range []bool{false, true} {
			p := newPool(n)
			step := func(seconds int, twin, feed, data string) {
				p.sample(t, seconds, twin, feed, data)
				if restarts {
					p.restart(t)
				}
			}
			p.rules(t, roomRules)
			p.put(t, twinOf(t, "R", "did:room", room("r1")))
			p.put(t, twinOf(t, "S", "did:room", room("r2")))
			p.put(t, twinOf(t, "a", "did:machine", room("r1")))
			p.put(t, twinOf(t, "b", "did:machine", room("r1")+`,{"key":"urn:x#offset","stringLiteralValue":{"value":"30"}}`))
			p.put(t, twinOf(t, "did:machine", "did:none", `,{"key":"http://www.w3.org/1999/02/22-rdf-syntax-ns#type","uriValue":{"value":"https://data.iotics.com/app#Model"}},{"key":"urn:x#max","literalValue":{"dataType":"decimal","value":"85"}}`))
			step(0, "R", "air", `{"t":20}`)
			step(0, "S", "air", `{"t":-50}`)
			step(1, "a", "temp", `{"t":30}`)
			step(2, "b", "temp", `{"t":60}`)
			step(3, "a", "temp", `{"t":55}`)
			step(4, "R", "air", `{"t":38}`)
			p.tick(7)
			if restarts {
				p.restart(t)
			}
			step(8, "a", "temp", `{"t":20}`)
			p.put(t, twinOf(t, "a", "did:machine", room("r2")))
			step(9, "a", "temp", `{"t":90}`)
			all = append(all, slices.Clone(p.told))
		}
	}
	assert.Equal(t, []string{
		"2 hotter raised of b: 60 in a room of 20",
		"2 limit raised of b: limit on b",
		"3 hotter raised of a: 55 in a room of 20",
		"3 mean raised of did:machine: mean 57.5",
		"4 hotter cleared of a: 55 in a room of 20",
		"6 many raised of r1: 2 of 2 in r1",
		"8 many cleared of r1: 2 of 2 in r1",
		"8 mean cleared of did:machine: mean 57.5",
		"9 limit raised of a: limit on a",
		"9 mean raised of did:machine: mean 75",
	}, all[0])
	for _, told := range all[1:] {
		assert.ElementsMatch(t, all[0], told)
	}
}
