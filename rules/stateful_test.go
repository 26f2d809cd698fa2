package rules_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// alertOf is a document with one alert over feed f, with the given fields.
func alertOf(fields string) string {
	return `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"},{"id":"g"}]},{"id":"2","modelDid":"n","feeds":[{"id":"h"}]}],"rules":[{"alert":{"id":"a","severity":"major","sourceId":"1","sourceFeedId":"f",` + fields + `}}]}`
}

// ladder runs a recording through an alert and counts what it raised.
func ladder(t *testing.T, samples []rules.Sample, fields string, ticks time.Duration) int {
	t.Helper()
	p := compiled(t, strings.ReplaceAll(alertOf(fields), `"f"`, `"machine"`))
	st := p.NewState(1, nil)
	raised := 0
	var before time.Time
	for _, s := range samples {
		var out []rules.Outcome
		if ticks > 0 && !before.IsZero() {
			for at := before.Add(ticks); at.Before(s.At); at = at.Add(ticks) {
				out = p.Tick(at, s.Twin, st, s.Seq, out)
			}
		}
		if s.At.After(before) {
			before = s.At
		}
		for _, o := range p.Eval(&s, st, out) {
			if o.Life.Event == rules.EventRaised {
				raised++
			}
		}
	}
	return raised
}

func TestLadders(t *testing.T) {
	samples := recording(t, "machine_temperature_system_failure.csv")
	condition := func(op string, n int) string { return fmt.Sprintf(`{"jsonLogic":{"%s":[{"var":"value"},%d]}}`, op, n) }
	for _, tt := range []struct{ above, below, edges, held, cleared, both int }{
		{100, 95, 239, 52, 21, 17},
		{102, 97, 176, 35, 14, 6},
	} {
		conditions := `"conditions":[` + condition(">", tt.above) + `]`
		clearing := `,"clearCondition":` + condition("<", tt.below)
		for _, ticks := range []time.Duration{0, time.Minute, 7 * time.Second} {
			assert.Equal(t, tt.edges, ladder(t, samples, conditions+`,"clearFor":"1ms"`, 0))
			assert.Equal(t, tt.held, ladder(t, samples, conditions+`,"for":"15m"`, ticks))
			assert.Equal(t, tt.cleared, ladder(t, samples, conditions+clearing, ticks))
			assert.Equal(t, tt.both, ladder(t, samples, conditions+clearing+`,"for":"15m"`, ticks))
			assert.Equal(t, tt.both, ladder(t, samples, conditions+clearing+`,"for":"15m","maxGap":"30m"`, ticks))
		}
	}
}

func TestAbsencesOfAmbientTemperature(t *testing.T) {
	samples := recording(t, "ambient_temperature_system_failure.csv")
	for _, ticks := range []time.Duration{0, time.Minute, time.Hour} {
		assert.Equal(t, 10, ladder(t, samples, `"absent":{"for":"90m"}`, ticks))
	}
}

// story plays samples and ticks given as text to one twin, and tells what came
// of them. A step is "<seconds> <feed> <data>", "<seconds> tick", or
// "<seconds> act <what>", which ann does to the last alert that was told.
func story(t *testing.T, doc string, steps ...string) []string {
	t.Helper()
	p, err := rules.Load("story", []byte(doc))
	require.NoError(t, err)
	again, err := rules.Load("again", p.Text())
	require.NoError(t, err)
	require.Equal(t, p.Hash(), again.Hash())
	require.Equal(t, p.Text(), again.Text())
	st := p.NewState(1, nil)
	var told []string
	var last rules.Outcome
	for i, step := range steps {
		var seconds float64
		var feed, data string
		parts := strings.SplitN(step, " ", 3)
		_, err := fmt.Sscanf(parts[0], "%g", &seconds)
		require.NoError(t, err, step)
		feed = parts[1]
		if len(parts) > 2 {
			data = parts[2]
		}
		at := start.Add(time.Duration(seconds * float64(time.Second)))
		var out []rules.Outcome
		switch feed {
		case "tick":
			out = p.Tick(at, "m1", st, uint64(i+1), nil)
		case "act":
			out = p.Act(rules.Action{Do: data, ID: last.ID, Interaction: "i", Rule: last.Rule, By: "ann", Comment: "why", Until: at.Add(time.Minute)}, at, "m1", st, nil)
		case "close":
			out = p.Close(at, "m1", st, data, nil)
		default:
			s := rules.Sample{Twin: "m1", Feed: feed, At: at, Data: []byte(data), Seq: uint64(i + 1)}
			out = p.Eval(&s, st, nil)
		}
		text := string(st.Append(nil))
		loaded, err := p.LoadState([]byte(text), nil)
		require.NoError(t, err)
		require.Equal(t, text, string(loaded.Append(nil)))
		require.Equal(t, st.Wake(), loaded.Wake())
		st = loaded // each step goes on from a snapshot
		for _, o := range out {
			told = append(told, tell(&o))
			if o.Kind == rules.Alert {
				last = o
			}
		}
	}
	return told
}

func tell(o *rules.Outcome) string {
	at := fmt.Sprintf("%g", o.At.Sub(start).Seconds())
	if o.Kind == rules.Output {
		return at + " " + o.Feed + " " + string(o.Data)
	}
	if o.Refused != "" {
		return at + " refused: " + o.Refused
	}
	if o.Sticker != nil || o.Notice != nil {
		return at + " " + o.Event() + ": " + o.Does()
	}
	text := at + " " + o.Life.Event
	if o.Rule != "a" {
		text = at + " " + o.Rule + " " + o.Life.Event
	}
	if o.Severity != "major" {
		text += " " + o.Severity
	}
	if o.Reason != rules.ReasonCondition {
		text += " " + o.Reason
	}
	if o.Life.Silent {
		text += " quiet"
	}
	return text
}

const inhibited = `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[
{"alert":{"id":"a","severity":"major","sourceId":"1","sourceFeedId":"f","inhibitedBy":["offline"],"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]}},
{"alert":{"id":"offline","severity":"major","sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{"!":[{"var":"on"}]}}]}}]}`

const held = `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[
{"transformation":{"sourceId":"1","sourceFeedId":"f","outputFeedId":"o","outputFieldId":"hot","outputTrueValue":true,"outputFalseValue":false,"for":"10s",
 "conditions":[{"jsonLogic":{">":[{"var":"t"},30]},"fieldsIncludedInOutput":["t"]}]}}]}`

func TestStories(t *testing.T) {
	hot := func(fields string) string {
		return alertOf(`"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}],` + fields)
	}
	for _, tt := range []struct {
		name, doc string
		steps     []string
		want      []string
	}{
		{
			"for fires by a tick, with the time at which it fell due",
			hot(`"for":"10s"`),
			[]string{`0 f {"t":31}`, `9 tick`, `10 tick`, `11 tick`, `12 f {"t":1}`},
			[]string{`10 raised timer`, `12 cleared`},
		},
		{
			"for fires at the sample that is late enough",
			hot(`"for":"10s"`),
			[]string{`0 f {"t":31}`, `5 f {"t":31}`, `10 f {"t":31}`},
			[]string{`10 raised`},
		},
		{
			"for falls due before a later sample, whatever that says",
			hot(`"for":"10s"`),
			[]string{`0 f {"t":31}`, `12 f {"t":1}`},
			[]string{`10 raised timer`, `12 cleared`},
		},
		{
			"a gap longer than maxGap begins the wait anew",
			hot(`"for":"10s","maxGap":"4s"`),
			[]string{`0 f {"t":31}`, `3 f {"t":31}`, `8 f {"t":31}`, `12 f {"t":31}`, `16 f {"t":31}`, `18 f {"t":31}`},
			[]string{`18 raised`},
		},
		{
			"unknown changes nothing",
			hot(`"for":"10s"`),
			[]string{`0 f {"t":31}`, `5 f {}`, `10 f {"t":31}`, `11 f {}`},
			[]string{`10 raised`},
		},
		{
			"a backlog is judged by its own time: a tick far ahead leaves it to the next sample",
			hot(`"for":"10s"`),
			[]string{`0 f {"t":31}`, `7200 tick`, `5 f {"t":1}`},
			nil,
		},
		{
			"clearFor clears by a tick",
			hot(`"clearFor":"10s"`),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`, `11 tick`, `12 tick`},
			[]string{`0 raised`, `11 cleared timer`},
		},
		{
			"clearFor begins anew when the condition comes back",
			hot(`"clearFor":"10s"`),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`, `6 f {"t":31}`, `7 f {"t":1}`, `12 f {"t":1}`, `17 f {"t":1}`},
			[]string{`0 raised`, `17 cleared`},
		},
		{
			"keepFiringFor holds after the last true sample",
			hot(`"keepFiringFor":"10s"`),
			[]string{`0 f {"t":31}`, `4 f {"t":31}`, `5 f {"t":1}`, `9 f {"t":1}`, `14 f {"t":1}`},
			[]string{`0 raised`, `14 cleared`},
		},
		{
			"condition wins over clearCondition",
			hot(`"clearCondition":{"jsonLogic":{"<":[{"var":"t"},40]}}`),
			[]string{`0 f {"t":31}`, `1 f {"t":35}`, `2 f {"t":30}`},
			[]string{`0 raised`, `2 cleared`},
		},
		{
			"an unknown clearCondition never clears",
			hot(`"clearCondition":{"jsonLogic":{"<":[{"var":"u"},1]}}`),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`, `2 f {"t":1,"u":0}`},
			[]string{`0 raised`, `2 cleared`},
		},
		{
			"repeat counts true samples in a row",
			hot(`"repeat":{"count":3}`),
			[]string{`0 f {"t":31}`, `1 f {"t":31}`, `2 f {"t":1}`, `3 f {"t":31}`, `4 f {}`, `5 f {"t":31}`, `6 f {"t":31}`, `7 f {"t":31}`, `8 f {"t":1}`},
			[]string{`6 raised`, `8 cleared`},
		},
		{
			"repeat within a time",
			hot(`"repeat":{"count":2,"within":"10s","consecutive":false}`),
			[]string{`0 f {"t":31}`, `5 f {"t":1}`, `9 f {"t":31}`, `15 f {"t":1}`, `20 f {"t":1}`},
			[]string{`9 raised`, `15 cleared`},
		},
		{
			"levels of Kapacitor with their resets",
			alertOf(`"levels":[
{"severity":"info","jsonLogic":{">":[{"var":"t"},60]},"clearCondition":{"jsonLogic":{"<":[{"var":"t"},50]}}},
{"severity":"warning","jsonLogic":{">":[{"var":"t"},70]},"clearCondition":{"jsonLogic":{"<":[{"var":"t"},60]}}},
{"severity":"critical","jsonLogic":{">":[{"var":"t"},80]},"clearCondition":{"jsonLogic":{"<":[{"var":"t"},70]}}}]`),
			[]string{`0 f {"t":61}`, `1 f {"t":73}`, `2 f {"t":64}`, `3 f {"t":85}`, `4 f {"t":62}`, `5 f {"t":56}`, `6 f {"t":47}`},
			[]string{`0 raised info`, `1 updated warning`, `3 updated critical`, `4 updated info`, `6 cleared info`},
		},
		{
			"levels that only rise",
			alertOf(`"lowering":false,"levels":[{"severity":"info","jsonLogic":{">":[{"var":"t"},60]}},{"severity":"critical","jsonLogic":{">":[{"var":"t"},80]}}]`),
			[]string{`0 f {"t":61}`, `1 f {"t":85}`, `2 f {"t":62}`, `6 f {"t":47}`},
			[]string{`0 raised info`, `1 updated critical`, `6 cleared critical`},
		},
		{
			"escalation in time, by ticks",
			hot(`"levels":[{"severity":"warning"},{"severity":"minor","after":"10s"},{"severity":"critical","after":"1m"}]`),
			[]string{`0 f {"t":31}`, `11 tick`, `61 tick`, `70 f {"t":1}`, `200 tick`},
			[]string{`0 raised warning`, `10 updated minor timer`, `60 updated critical timer`, `70 cleared critical`},
		},
		{
			"absent raises when it falls due and clears at the first sample",
			alertOf(`"absent":{"for":"10s"}`),
			[]string{`100 tick`, `0 f {"t":1}`, `5 f {"t":1}`, `15 tick`, `16 tick`, `30 f {"t":2}`, `50 f {"t":2}`},
			[]string{`15 raised absent`, `30 cleared`, `40 raised absent`, `50 cleared`},
		},
		{
			"absent with conditions waits for a sample for which they are true",
			alertOf(`"absent":{"for":"10s"},"conditions":[{"jsonLogic":{">":[{"var":"t"},5]}}]`),
			[]string{`0 f {"t":1}`, `20 f {"t":6}`, `25 f {"t":1}`, `29 f {}`, `31 tick`, `32 f {"t":1}`, `33 f {"t":9}`, `44 f {"t":1}`, `45 act clear`, `46 f {"t":1}`, `60 tick`, `61 f {"t":7}`, `72 tick`},
			[]string{`30 raised absent`, `33 cleared`, `43 raised absent`, `45 cleared manual`, `71 raised absent`},
		},
		{
			"unchanged asks for samples that say the same",
			alertOf(`"unchanged":{"field":"t","for":"10s","tolerance":0.5}`),
			[]string{`0 f {"t":1}`, `5 f {"t":1.5}`, `10 f {"t":0.6}`, `11 f {"t":2}`},
			[]string{`10 raised`, `11 cleared`},
		},
		{
			"rate by the minute",
			alertOf(`"rate":{"field":"t","per":"1m"},"conditions":[{"jsonLogic":{">":[{"var":"$rate.t"},30]}}]`),
			[]string{`0 f {"t":1}`, `10 f {"t":2}`, `20 f {"t":8}`, `20 f {"t":80}`, `30 f {"t":8}`},
			[]string{`20 raised`, `30 cleared`},
		},
		{
			"a tumbling window is judged when it closes",
			alertOf(`"window":{"type":"tumbling","size":"10s"},"aggregate":{"mean":{"op":"avg","field":"t"}},"conditions":[{"jsonLogic":{">":[{"var":"$agg.mean"},30]}}],"summary":"{{$agg.mean}} of {{t}}"`),
			[]string{`0 f {"t":40}`, `5 f {"t":30}`, `10 f {"t":1}`, `20 tick`, `21 tick`},
			[]string{`10 raised`, `20 cleared timer`},
		},
		{
			"a sliding window is judged at each sample",
			alertOf(`"window":{"type":"sliding","size":"10s"},"aggregate":{"n":{"op":"count"}},"conditions":[{"jsonLogic":{">=":[{"var":"$agg.n"},3]}}]`),
			[]string{`0 f {"t":1}`, `1 f {"t":1}`, `2 f {"t":1}`, `11 f {"t":1}`},
			[]string{`2 raised`, `11 cleared`},
		},
		{
			"onChange lets only changes through",
			alertOf(`"onChange":{"fields":["t"],"deadband":1},"repeat":{"count":2},"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]`),
			[]string{`0 f {"t":31}`, `1 f {"t":31.5}`, `2 f {"t":32}`, `3 f {"t":33}`},
			[]string{`3 raised`},
		},
		{
			"onMissing false",
			hot(`"onMissing":"false"`),
			[]string{`0 f {"t":31}`, `1 f {}`},
			[]string{`0 raised`, `1 cleared`},
		},
		{
			"onMissing lastKnown",
			alertOf(`"onMissing":{"mode":"lastKnown","maxAge":"10s"},"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}},{"jsonLogic":{">":[{"var":"u"},1]}}]`),
			[]string{`0 f {"t":31}`, `1 f {"u":2}`, `2 f {"u":0}`, `11 f {"u":2}`, `12 f {"t":40}`},
			[]string{`1 raised`, `2 cleared`, `12 raised`},
		},
		{
			"onMissing evaluate: null counts as 0",
			alertOf(`"onMissing":"evaluate","conditions":[{"jsonLogic":{"<":[{"var":"t"},30]}}]`),
			[]string{`0 f {}`, `1 f {"t":40}`},
			[]string{`0 raised`, `1 cleared`},
		},
		{
			"schedule of the evaluation: the timer starts when it opens",
			hot(`"for":"10m","maxGap":"20h","schedule":{"active":[{"from":"12:00","to":"18:00"}],"scope":"evaluate"}`),
			[]string{`0 f {"t":31}`, `7201 tick`, `7860 tick`, `28801 tick`},
			[]string{`7800 raised timer`, `28800 cleared timer`},
		},
		{
			"schedule of the telling: recorded, and told when it opens",
			hot(`"schedule":{"mute":[{"from":"09:00","to":"12:00"}]}`),
			[]string{`0 f {"t":31}`, `7201 tick`, `7300 f {"t":1}`},
			[]string{`0 raised quiet`, `7200 unsuppressed timer`, `7300 cleared`},
		},
		{
			"an alert that nobody was told of clears quietly",
			hot(`"schedule":{"mute":[{"from":"09:00","to":"12:00"}]}`),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`},
			[]string{`0 raised quiet`, `1 cleared quiet`},
		},
		{
			"repeatInterval",
			hot(`"repeatInterval":"10s"`),
			[]string{`0 f {"t":31}`, `11 tick`, `21 tick`, `25 f {"t":1}`, `60 tick`},
			[]string{`0 raised`, `10 repeated timer`, `20 repeated timer`, `25 cleared`},
		},
		{
			"throttle, and the next one that is told",
			hot(`"throttle":{"max":1,"per":"10s"}`),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`, `2 f {"t":31}`, `3 f {"t":1}`, `10 f {"t":31}`},
			[]string{`0 raised`, `1 cleared`, `2 raised quiet`, `3 cleared quiet`, `10 raised`},
		},
		{
			"allowedLateness: an older sample breaks a wait and raises nothing",
			hot(`"for":"10s","allowedLateness":"5s"`),
			[]string{`0 f {"t":31}`, `8 f {"t":31}`, `4 f {"t":1}`, `10 f {"t":31}`, `13 f {"t":31}`, `18 f {"t":31}`},
			[]string{`18 raised`},
		},
		{
			"geofence: enter needs to have been outside",
			alertOf(`"geofence":{"circle":{"lat":50,"lon":14,"radiusKm":1},"on":"enter","dwell":"10s"}`),
			[]string{`0 f {"lat":50,"lon":14}`, `10 f {"lat":51,"lon":14}`, `21 tick`, `30 f {"lat":50,"lon":14}`, `35 f {"lat":51,"lon":14}`, `40 f {"lat":50,"lon":14}`, `51 tick`, `60 f {"lat":51,"lon":14}`, `71 tick`},
			[]string{`50 raised timer`, `70 cleared timer`},
		},
		{
			"sequence: a, then b higher than a, within 10 s",
			alertOf(`"sequence":[{"id":"a","jsonLogic":{">":[{"var":"t"},30]}},{"id":"b","jsonLogic":{">":[{"var":"t"},{"var":"steps.a.t"}]}}],"within":"10s"`),
			[]string{`0 f {"t":31}`, `5 f {"t":31}`, `9 f {"t":32}`, `12 f {"t":1}`},
			[]string{`9 raised`, `12 cleared`},
		},
		{
			"sequence: a and then no b",
			alertOf(`"sequence":[{"jsonLogic":{"==":[{"var":"door"},"open"]}},{"not":{"==":[{"var":"door"},"closed"]},"for":"10s"}],"within":"1m"`),
			[]string{`0 f {"door":"open"}`, `5 f {"door":"closed"}`, `20 f {"door":"open"}`, `31 tick`, `40 f {"door":"closed"}`},
			[]string{`30 raised timer`, `40 cleared`},
		},
		{
			"flapping is told once in and once out",
			hot(`"flapping":{"window":4,"low":0.2,"high":0.6}`),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`, `2 f {"t":31}`, `3 f {"t":1}`, `4 f {"t":31}`, `5 f {"t":1}`, `6 f {"t":31}`, `7 f {"t":31}`, `8 f {"t":31}`, `9 f {"t":31}`},
			[]string{`0 raised`, `1 cleared`, `2 raised`, `2 flapping`, `3 cleared`, `4 raised quiet`, `5 cleared quiet`, `6 raised quiet`, `9 flapping`},
		},
		{
			"join with another feed of the twin, judged on either's sample",
			alertOf(`"join":{"as":"other","sourceId":"1","sourceFeedId":"g","tolerance":"10s"},"conditions":[{"jsonLogic":{">":[{"var":"t"},{"var":"other.limit.high"}]}}]`),
			[]string{`0 f {"t":31}`, `1 g {"limit":{"high":30}}`, `2 g {"limit":{"high":40}}`, `3 f {"t":41}`, `4 f {"t":39}`, `13 f {"t":99}`, `14 g {"limit":{"high":98}}`},
			[]string{`1 raised`, `2 cleared`, `3 raised`, `4 cleared`, `14 raised`},
		},
		{
			"inhibitedBy: recorded, not told, and told when the other one ends",
			inhibited,
			[]string{`0 f {"t":31,"on":true}`, `1 f {"t":31,"on":false}`, `2 f {"t":31,"on":true}`, `3 f {"t":1,"on":false}`, `4 f {"t":1,"on":true}`, `5 f {"t":31,"on":false}`, `6 f {"t":31,"on":true}`, `7 f {"t":1,"on":true}`},
			[]string{`0 raised`, `1 offline raised`, `1 suppressed quiet`, `2 offline cleared`, `2 unsuppressed quiet`, `3 cleared`, `3 offline raised`, `4 offline cleared`, `5 raised quiet`, `5 offline raised`, `6 offline cleared`, `6 unsuppressed`, `7 cleared`},
		},
		{
			"acknowledged by two people at once: the first one has it",
			hot(`"repeatInterval":"10s"`),
			[]string{`0 f {"t":31}`, `1 act ack`, `1 act ack`, `30 tick`, `31 act unack`, `31 act comment`, `45 tick`, `50 f {"t":1}`},
			[]string{`0 raised`, `1 acknowledged manual`, `31 unacknowledged manual`, `31 commented manual quiet`, `41 repeated timer`, `50 cleared`},
		},
		{
			"a shelf ends by itself",
			hot(`"for":"1s"`),
			[]string{`0 f {"t":31}`, `1 f {"t":31}`, `2 act shelve`, `62 tick`, `63 tick`, `64 f {"t":1}`},
			[]string{`1 raised`, `2 shelved manual quiet`, `62 unshelved timer quiet`, `64 cleared`},
		},
		{
			"a simple alert has a shelf and can be cleared by hand; the next true sample raises it again",
			alertOf(`"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]`),
			[]string{`0 f {"t":31}`, `1 act shelve`, `70 tick`, `71 act clear`, `72 f {"t":31}`},
			[]string{`0 raised`, `1 shelved manual quiet`, `61 unshelved timer quiet`, `71 cleared manual`, `72 raised`},
		},
		{
			"latched: stays until it is reset",
			hot(`"latched":true`),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`, `2 act reset`, `3 f {"t":31}`, `4 act reset`, `5 f {"t":1}`, `6 f {"t":31}`},
			[]string{`0 raised`, `1 cleared`, `2 reset manual`, `3 raised`, `5 cleared`, `6 raised`},
		},
		{
			"ackRequired: closed by the acknowledgement",
			hot(`"ackRequired":true`),
			[]string{`0 f {"t":31}`, `1 f {"t":1}`, `2 f {"t":31}`, `3 f {"t":1}`, `4 act ack`},
			[]string{`0 raised`, `1 cleared`, `2 raised`, `3 cleared`, `4 acknowledged manual`, `4 closed manual`},
		},
		{
			"a transformation holds its value, also between samples",
			held,
			[]string{`0 f {"t":31}`, `5 f {"t":31}`, `11 tick`, `12 f {"t":31}`, `13 f {"t":1}`, `14 f {}`},
			[]string{`0 o {"hot":false,"t":31}`, `5 o {"hot":false,"t":31}`, `10 o {"hot":true,"t":31}`, `12 o {"hot":true,"t":31}`, `13 o {"hot":false,"t":1}`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, story(t, tt.doc, tt.steps...))
		})
	}
}
