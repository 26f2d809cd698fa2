package rules_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// player plays a story in which rules are edited and people act.
type player struct {
	t     *testing.T
	p     *rules.Program
	st    *rules.State
	edits []string          // documents
	ids   map[string]string // of the newest episode, by rule
}

// play is story with two more kinds of lines: "<seconds> edit" goes on with the
// next document, "<seconds> act <action> <rule> [<until>]" does something to the
// newest alert of a rule.
func play(t *testing.T, docs []string, steps ...string) (told []string) {
	t.Helper()
	pl := player{t: t, p: compiled(t, docs[0]), edits: docs[1:], ids: map[string]string{}}
	pl.st = pl.p.NewState(1, nil)
	for i, step := range steps {
		for _, o := range pl.step(uint64(i+1), step) {
			if o.Kind == rules.Alert {
				pl.ids[o.Rule] = o.ID
			}
			told = append(told, tell(&o))
		}
		loaded, err := pl.p.LoadState(pl.st.Append(nil), nil)
		require.NoError(t, err, step)
		pl.st = loaded
	}
	require.Empty(t, pl.edits)
	return told
}

func (pl *player) step(seq uint64, step string) (out []rules.Outcome) {
	pl.t.Helper()
	words := strings.SplitN(step, " ", 3)
	at := pl.at(words[0])
	switch words[1] {
	case "tick":
		return pl.p.Tick(at, "m1", pl.st, seq, nil)
	case "edit":
		next := compiled(pl.t, pl.edits[0])
		pl.st, out = next.Adopt(pl.p, pl.st, 1, nil, at, "m1", nil)
		pl.p, pl.edits = next, pl.edits[1:]
		return out
	case "act":
		act := strings.Fields(words[2])
		do := rules.Action{Do: act[0], Rule: act[1], ID: pl.ids[act[1]], By: "eva"}
		if len(act) > 2 {
			do.Until = pl.at(act[2])
		}
		return pl.p.Act(do, at, "m1", pl.st, nil)
	}
	s := rules.Sample{Twin: "m1", Feed: words[1], At: at, Data: []byte(words[2]), Seq: seq}
	return pl.p.Eval(&s, pl.st, nil)
}

func (pl *player) at(text string) time.Time {
	pl.t.Helper()
	var seconds float64
	_, err := fmt.Sscanf(text, "%g", &seconds)
	require.NoError(pl.t, err, text)
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

// hotWith is an alert over 30 with further fields.
func hotWith(fields string) string {
	return alertOf(`"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]` + fields)
}

// says is a transformation that says hot over 30, else ok.
func says(fields string) string {
	return `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"transformation":{"id":"a","sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}],"outputFeedId":"o","outputFieldId":"v","outputTrueValue":"hot","outputFalseValue":"ok"` + fields + `}}]}`
}

// pair is alert a over t and alert b over x, each with further fields.
func pair(a, b string) string {
	alert := func(id, name, fields string) string {
		return `{"alert":{"id":"` + id + `","severity":"major","sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{">":[{"var":"` + name + `"},30]}}]` + fields + `}}`
	}
	return `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[` + alert("a", "t", a) + `,` + alert("b", "x", b) + `]}`
}

// over is an alert over an aggregate of a window.
func over(window, aggregate, condition, fields string) string {
	return alertOf(`"window":` + window + `,"aggregate":` + aggregate + `,"conditions":[{"jsonLogic":` + condition + `}]` + fields)
}

func TestOddStories(t *testing.T) {
	const (
		stages = `"levels":[{"severity":"info","jsonLogic":{">":[{"var":"t"},60]}},{"severity":"critical","jsonLogic":{">":[{"var":"p"},5]}}]`
		bands  = `"levels":[{"severity":"info","jsonLogic":{">":[{"var":"t"},60]},"clearCondition":{"jsonLogic":{"<":[{"var":"t"},50]}}},{"severity":"critical","jsonLogic":{">":[{"var":"t"},80]},"clearCondition":{"jsonLogic":{"<":[{"var":"t"},70]}}}]`
		yard   = `"circle":{"lat":50,"lon":14,"radiusKm":1}`
		ab     = `"sequence":[{"id":"a","jsonLogic":{"==":[{"var":"s"},"a"]}},{"id":"b","jsonLogic":{"==":[{"var":"s"},"b"]}}],"within":"10s"`
		mean   = `{"m":{"op":"avg","field":"t"}}`
		many   = `{"n":{"op":"count"}}`
		high   = `{">":[{"var":"$agg.m"},30]}`
	)
	change := func(before, after string) []string { return []string{hotWith(before), hotWith(after)} }
	hot := func(fields string) []string { return []string{hotWith(fields)} }
	alert := func(fields string) []string { return []string{alertOf(fields)} }
	for _, tt := range []struct {
		name  string
		docs  []string
		steps []string
		want  []string
	}{
		{"for: a clock that jumps back neither fires nor breaks the wait", hot(`,"for":"10s"`), []string{`100 f {"t":31}`, `0 f {"t":1}`, `1 f {"t":1}`, `105 f {"t":31}`, `110 f {"t":31}`}, []string{`110 raised`}},
		{"for: an equal time is late, whatever it says", hot(`,"for":"10s"`), []string{`0 f {"t":31}`, `0 f {"t":1}`, `10 f {"t":31}`}, []string{`10 raised`}},
		{"for: an edit of its length begins anew", change(`,"for":"10s"`, `,"for":"20s"`), []string{`0 f {"t":31}`, `5 edit`, `11 tick`, `12 f {"t":31}`, `21 tick`, `33 tick`}, []string{`32 raised timer`}},
		{"for: an edit of the summary goes on waiting", change(`,"for":"10s"`, `,"for":"10s","summary":"x"`), []string{`0 f {"t":31}`, `5 edit`, `11 tick`}, []string{`10 raised timer`}},
		{"for: cleared by a person while it is hot, it waits again", hot(`,"for":"10s"`), []string{`0 f {"t":31}`, `10 f {"t":31}`, `11 act clear a`, `12 f {"t":31}`, `22 f {"t":31}`}, []string{`10 raised`, `11 cleared manual`, `22 raised`}},

		{"clearCondition: of another field than the condition", hot(`,"clearCondition":{"jsonLogic":{"==":[{"var":"button"},1]}}`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `5 f {"button":1}`, `6 f {"t":31,"button":1}`, `7 f {"t":31}`, `8 f {"button":1,"t":1}`}, []string{`0 raised`, `5 cleared`, `6 raised`, `8 cleared`}},
		{"clearCondition: between the two thresholds nothing changes", hot(`,"clearCondition":{"jsonLogic":{"<":[{"var":"t"},20]}}`), []string{`0 f {"t":25}`, `1 f {"t":31}`, `2 f {"t":25}`, `3 f {}`, `4 f {"t":19}`, `5 f {"t":25}`}, []string{`1 raised`, `4 cleared`}},
		{"clearCondition: a late sample does not clear", hot(`,"clearCondition":{"jsonLogic":{"<":[{"var":"t"},20]}}`), []string{`5 f {"t":31}`, `4 f {"t":1}`, `5 f {"t":1}`, `6 f {"t":1}`}, []string{`5 raised`, `6 cleared`}},

		{"clearFor: a silence clears by its timer, once", hot(`,"clearFor":"10s"`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `86400 f {"t":31}`}, []string{`0 raised`, `11 cleared timer`, `86400 raised`}},
		{"clearFor: between the two thresholds the wait is broken", hot(`,"clearFor":"10s","clearCondition":{"jsonLogic":{"<":[{"var":"t"},20]}}`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `5 f {"t":25}`, `6 f {"t":1}`, `12 f {"t":1}`, `16 f {"t":1}`}, []string{`0 raised`, `16 cleared`}},
		{"clearFor: an unknown value does not break the wait", hot(`,"clearFor":"10s"`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `5 f {}`, `12 tick`}, []string{`0 raised`, `11 cleared timer`}},

		{"keepFiringFor: counts from the last true sample, not from the first", hot(`,"keepFiringFor":"10s"`), []string{`0 f {"t":31}`, `9 f {"t":31}`, `10 f {"t":1}`, `18 tick`, `20 tick`}, []string{`0 raised`, `19 cleared timer`}},
		{"keepFiringFor: the longer of it and clearFor counts", hot(`,"keepFiringFor":"10s","clearFor":"3s"`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `5 f {"t":1}`, `11 tick`, `20 f {"t":31}`, `29 f {"t":1}`, `33 tick`}, []string{`0 raised`, `10 cleared timer`, `20 raised`, `32 cleared timer`}},
		{"keepFiringFor: a twin that falls silent while it is hot goes on firing", hot(`,"keepFiringFor":"10s"`), []string{`0 f {"t":31}`, `11 tick`, `60 tick`}, []string{`0 raised`}},

		{"maxGap: by default three times for", hot(`,"for":"10s"`), []string{`0 f {"t":1}`, `5 f {"t":31}`, `14 f {"t":31}`, `15 f {"t":31}`}, []string{`15 raised`}},
		{"maxGap: a silence longer than it does not fire by a tick", hot(`,"for":"10s","maxGap":"4s"`), []string{`0 f {"t":31}`, `11 tick`, `30 tick`, `31 f {"t":31}`, `35 f {"t":31}`, `39 f {"t":31}`, `42 tick`}, []string{`41 raised timer`}},
		{"maxGap: at the limit the wait goes on", hot(`,"for":"8s","maxGap":"4s"`), []string{`0 f {"t":31}`, `4 f {"t":31}`, `8 f {"t":31}`}, []string{`8 raised`}},

		{"allowedLateness: beyond it a sample is late", hot(`,"for":"10s","allowedLateness":"5s"`), []string{`0 f {"t":31}`, `8 f {"t":31}`, `3 f {"t":1}`, `10 f {"t":31}`}, []string{`10 raised`}},
		{"allowedLateness: an older sample neither raises nor clears", hot(`,"allowedLateness":"5s"`), []string{`10 f {"t":1}`, `8 f {"t":31}`, `11 f {"t":31}`, `9 f {"t":1}`, `12 f {"t":1}`}, []string{`11 raised`, `12 cleared`}},
		{"allowedLateness: a window waits for what is on its way", []string{over(`{"type":"tumbling","size":"10s"}`, many, `{">=":[{"var":"$agg.n"},3]}`, `,"allowedLateness":"5s"`)}, []string{`0 f {}`, `12 f {}`, `8 f {}`, `9 f {}`, `14 f {}`, `16 f {}`}, []string{`10 raised timer`}},

		{"repeat: of equal times one counts", hot(`,"repeat":{"count":3}`), []string{`100 f {"t":31}`, `0 f {"t":31}`, `100 f {"t":31}`, `101 f {"t":31}`, `102 f {"t":31}`}, []string{`102 raised`}},
		{"repeat: in a row and within", hot(`,"repeat":{"count":3,"within":"10s"}`), []string{`0 f {"t":31}`, `8 f {"t":31}`, `16 f {"t":31}`, `17 f {"t":31}`, `30 f {"t":31}`}, []string{`17 raised`, `30 cleared`}},
		{"repeat: for begins when the count is reached", hot(`,"repeat":{"count":2},"for":"10s"`), []string{`0 f {"t":31}`, `5 f {"t":31}`, `14 f {"t":31}`, `15 f {"t":31}`}, []string{`15 raised`}},

		{"absent: any sample of the feed is a sign of life, one of another feed is none", alert(`"absent":{"for":"10s"}`), []string{`0 f {}`, `9 f {"x":1}`, `18 f {}`, `27 g {"x":1}`, `29 tick`}, []string{`28 raised absent`}},
		{"absent: backfill is no sign of life", alert(`"absent":{"for":"10s"}`), []string{`0 f {}`, `-3300 f {}`, `11 tick`, `-3299 f {}`, `12 f {}`}, []string{`10 raised absent`, `12 cleared`}},
		{"absent: a twin that has never shared is not missed", alert(`"absent":{"for":"10s","expectFirst":true}`), []string{`0 tick`, `20 tick`, `30 f {}`, `41 tick`}, []string{`40 raised absent`}},

		{"unchanged: unknown values do not move it", alert(`"unchanged":{"field":"s","for":"10s"}`), []string{`0 f {"s":"on"}`, `5 f {}`, `6 f {"s":null}`, `10 f {"s":"on"}`, `11 f {"s":"off"}`}, []string{`10 raised`, `11 cleared`}},
		{"unchanged: a slow drift leaves the band around the first value", alert(`"unchanged":{"field":"t","for":"10s","tolerance":1}`), []string{`0 f {"t":1}`, `5 f {"t":1.9}`, `10 f {"t":2.5}`, `15 f {"t":3}`, `20 f {"t":3}`}, []string{`20 raised`}},
		{"unchanged: 1, 1.0 and 1e0 are the same number", alert(`"unchanged":{"field":"t","for":"10s"}`), []string{`0 f {"t":1}`, `5 f {"t":1.0}`, `10 f {"t":1e0}`}, []string{`10 raised`}},

		{"rate: over an unknown value it is that of the whole time", alert(`"rate":{"field":"t"},"conditions":[{"jsonLogic":{">":[{"var":"$rate.t"},2]}}]`), []string{`0 f {"t":1}`, `10 f {}`, `20 f {"t":61}`, `20 f {"t":1}`, `21 f {"t":61}`}, []string{`20 raised`, `21 cleared`}},
		{"rate: a counter that starts anew has none", alert(`"rate":{"field":"t","nonNegative":true},"conditions":[{"jsonLogic":{">":[{"var":"$rate.t"},3]}}]`), []string{`0 f {"t":100}`, `1 f {"t":200}`, `2 f {"t":1}`, `3 f {"t":2}`}, []string{`1 raised`, `3 cleared`}},
		{"rate: percent over a window, and after a gap none", alert(`"rate":{"field":"t","window":"10s","mode":"percent"},"conditions":[{"jsonLogic":{">":[{"var":"$rate.t"},10]}}]`), []string{`0 f {"t":100}`, `5 f {"t":105}`, `10 f {"t":111}`, `20 f {"t":112}`, `40 f {"t":200}`, `45 f {"t":300}`}, []string{`10 raised`, `20 cleared`, `45 raised`}},

		{"window: clearCondition over its aggregate", []string{over(`{"type":"tumbling","size":"10s"}`, mean, high, `,"clearCondition":{"jsonLogic":{"<":[{"var":"$agg.m"},10]}}`)}, []string{`0 f {"t":40}`, `12 f {"t":20}`, `22 f {"t":1}`, `31 tick`}, []string{`10 raised timer`, `30 cleared timer`}},
		{"window: a session ends after its timeout", []string{over(`{"type":"session","timeout":"5s"}`, many, `{">=":[{"var":"$agg.n"},3]}`, ``)}, []string{`0 f {}`, `5 f {}`, `10 f {}`, `15 tick`, `16 tick`, `30 f {}`, `40 tick`}, []string{`15 raised timer`, `35 cleared timer`}},
		{"window: too few samples say nothing", []string{over(`{"type":"tumbling","size":"10s","minSamples":2}`, mean, high, ``)}, []string{`0 f {"t":40}`, `1 f {}`, `11 tick`, `12 f {"t":1}`, `21 tick`, `22 f {"t":10}`, `23 f {"t":10}`, `31 tick`}, []string{`10 raised timer`, `30 cleared timer`}},
		{"window: a clock that jumps back puts nothing into an old window", []string{over(`{"type":"tumbling","size":"10s"}`, many, `{">=":[{"var":"$agg.n"},2]}`, ``)}, []string{`3600 f {}`, `300 f {}`, `301 f {}`, `3605 f {}`, `3611 f {}`}, []string{`3610 raised timer`}},

		{"aggregate: no value, no verdict; a text is none", []string{over(`{"type":"tumbling","size":"10s"}`, mean, high, ``)}, []string{`0 f {"t":40}`, `12 f {}`, `22 f {"t":null}`, `31 f {"t":"x"}`, `41 f {"t":3}`, `51 tick`}, []string{`10 raised timer`, `50 cleared timer`}},
		{"aggregate: against the sample itself", []string{over(`{"type":"sliding","size":"10s"}`, mean, `{">":[{"var":"t"},{"+":[{"var":"$agg.m"},5]}]}`, ``)}, []string{`0 f {"t":40}`, `1 f {"t":60}`, `2 f {"t":40}`}, []string{`1 raised`, `2 cleared`}},
		{"aggregate: count with a field counts values", []string{over(`{"type":"count","count":3}`, `{"n":{"op":"count","field":"t"}}`, `{"==":[{"var":"$agg.n"},2]}`, ``)}, []string{`0 f {"t":1}`, `1 f {}`, `2 f {"t":1}`, `3 f {"t":1}`, `4 f {"t":1}`, `5 f {"t":1}`}, []string{`2 raised`, `5 cleared`}},

		{"emit every: an unknown says nothing, a late one says nothing", []string{says(`,"emit":"every"`)}, []string{`5 f {"t":1}`, `4 f {"t":31}`, `5 f {"t":31}`, `6 f {}`, `7 f {"t":31}`}, []string{`5 o {"v":"ok"}`, `7 o {"v":"hot"}`}},
		{"emit onChange: with for, by a tick", []string{says(`,"for":"10s","emit":"onChange"`)}, []string{`0 f {"t":1}`, `1 f {"t":31}`, `5 f {"t":31}`, `12 tick`, `13 f {"t":32}`, `14 f {}`, `15 f {"t":1}`}, []string{`0 o {"v":"ok"}`, `11 o {"v":"hot"}`, `15 o {"v":"ok"}`}},
		{"emit edge: with clearFor, a short dip is no edge", []string{says(`,"clearFor":"10s","emit":"edge"`)}, []string{`0 f {"t":31}`, `1 f {"t":1}`, `5 f {"t":31}`, `6 f {"t":1}`, `17 tick`, `18 f {"t":31}`}, []string{`0 o {"v":"hot"}`, `18 o {"v":"hot"}`}},
		{"emit onChange: what the throttle held back is said later", []string{says(`,"emit":"onChange","throttle":{"max":1,"per":"10s"}`)}, []string{`0 f {"t":31}`, `1 f {"t":1}`, `2 f {"t":1}`, `12 f {"t":1}`, `13 f {"t":1}`}, []string{`0 o {"v":"hot"}`, `12 o {"v":"ok"}`}},
		{"emit onChange: what the schedule held back is said later", []string{says(`,"emit":"onChange","schedule":{"mute":[{"from":"10:01","to":"10:02"}]}`)}, []string{`0 f {"t":31}`, `70 f {"t":1}`, `121 tick`, `130 f {"t":1}`}, []string{`0 o {"v":"hot"}`, `130 o {"v":"ok"}`}},

		{"onChange: a slow drift counts from the last value that did", hot(`,"onChange":{"fields":["t"],"deadband":1},"repeat":{"count":2}`), []string{`0 f {"t":31}`, `1 f {"t":31.9}`, `2 f {"t":32}`, `3 f {"t":32.1}`}, []string{`3 raised`}},
		{"onChange: the same number in another spelling is no change", hot(`,"onChange":{"fields":["t"]},"repeat":{"count":2}`), []string{`0 f {"t":31}`, `5 f {"t":31.0}`, `10 f {"t":3.1e1}`}, nil},
		{"onChange: without the first", hot(`,"onChange":{"fields":["t"],"includeFirst":false}`), []string{`1 f {"t":31}`, `2 f {"t":32}`}, []string{`2 raised`}},
		{"onChange: samples of other fields are passed over", hot(`,"onChange":{"fields":["t"]},"repeat":{"count":2}`), []string{`0 f {"t":31}`, `1 f {"x":1}`, `2 f {"t":31,"x":2}`, `3 f {"t":32}`}, []string{`3 raised`}},

		{"onMissing false: breaks the wait", hot(`,"onMissing":"false","for":"10s"`), []string{`0 f {"t":31}`, `5 f {}`, `6 f {"t":31}`, `16 f {"t":31}`}, []string{`16 raised`}},
		{"onMissing lastKnown: null is a value that is not there", hot(`,"onMissing":"lastKnown"`), []string{`0 f {"t":31}`, `5 f {"t":null}`, `6 f {}`, `16 f {"t":1}`, `17 f {}`}, []string{`0 raised`, `16 cleared`}},
		{"onMissing error: decides nothing", hot(`,"onMissing":"error"`), []string{`0 f {"t":31}`, `1 f {}`, `2 f {"t":1}`}, []string{`0 raised`, `2 cleared`}},
		{"onMissing evaluate: says nothing of clearCondition, which stays unknown", hot(`,"onMissing":"evaluate","clearCondition":{"jsonLogic":{"<":[{"var":"t"},10]}}`), []string{`0 f {"t":31}`, `5 f {}`, `6 f {"t":1}`}, []string{`0 raised`, `6 cleared`}},

		{"schedule of the evaluation: it ends at closing time without a sample", hot(`,"schedule":{"active":[{"from":"10:00","to":"10:01"}],"scope":"evaluate"}`), []string{`0 f {"t":31}`, `30 f {}`, `61 tick`, `70 f {"t":31}`}, []string{`0 raised`, `60 cleared timer`}},
		{"schedule of the evaluation: a later sample finds it closed", hot(`,"schedule":{"active":[{"from":"10:00","to":"10:01"}],"scope":"evaluate"}`), []string{`0 f {"t":31}`, `70 f {"t":31}`}, []string{`0 raised`, `60 cleared timer`}},
		{"schedule of the evaluation: of a transformation", []string{says(`,"emit":"onChange","schedule":{"active":[{"from":"10:00","to":"10:02"}],"scope":"evaluate"}`)}, []string{`0 f {"t":31}`, `121 tick`, `130 f {"t":31}`}, []string{`0 o {"v":"hot"}`, `120 o {"v":"ok"}`}},
		{"schedule of the telling: what was told to fire is told to clear", hot(`,"schedule":{"mute":[{"from":"10:01","to":"10:02"}]}`), []string{`0 f {"t":31}`, `61 tick`, `70 f {"t":1}`}, []string{`0 raised`, `60 suppressed timer quiet`, `70 cleared`}},

		{"throttle: tells again when its time has passed", hot(`,"throttle":{"max":2,"per":"10s"}`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `2 f {"t":31}`, `3 f {"t":1}`, `4 f {"t":31}`, `5 f {"t":1}`, `10 f {"t":31}`}, []string{`0 raised`, `1 cleared`, `2 raised`, `3 cleared`, `4 raised quiet`, `5 cleared quiet`, `10 raised`}},
		{"throttle: a critical alert passes it", []string{strings.Replace(hotWith(`,"throttle":{"max":1,"per":"10m"}`), `"major"`, `"critical"`, 1)}, []string{`0 f {"t":31}`, `1 f {"t":1}`, `2 f {"t":31}`}, []string{`0 raised critical`, `1 cleared critical`, `2 raised critical`}},
		{"throttle: repeats count, too", hot(`,"throttle":{"max":1,"per":"1m"},"repeatInterval":"20s"`), []string{`0 f {"t":31}`, `21 tick`, `41 tick`, `61 tick`}, []string{`0 raised`, `20 repeated timer quiet`, `40 repeated timer quiet`, `60 repeated timer`}},
		{"throttle: of an absence", alert(`"absent":{"for":"10s"},"throttle":{"max":1,"per":"1h"}`), []string{`0 f {}`, `11 tick`, `20 f {}`, `31 tick`}, []string{`10 raised absent`, `20 cleared`, `30 raised absent quiet`}},

		{"repeatInterval: goes on while it recovers", hot(`,"repeatInterval":"10s","clearFor":"30s"`), []string{`0 f {"t":31}`, `5 f {"t":1}`, `11 tick`, `21 tick`, `31 tick`, `36 tick`}, []string{`0 raised`, `10 repeated timer`, `20 repeated timer`, `30 repeated timer`, `35 cleared timer`}},
		{"repeatInterval: stops when it is acknowledged", hot(`,"repeatInterval":"10s"`), []string{`0 f {"t":31}`, `11 tick`, `12 act ack a`, `60 tick`, `61 f {"t":1}`}, []string{`0 raised`, `10 repeated timer`, `12 acknowledged manual`, `61 cleared`}},
		{"repeatInterval: begins when it is told, after the quiet time", hot(`,"repeatInterval":"10s","schedule":{"mute":[{"from":"10:00","to":"10:01"}]}`), []string{`0 f {"t":31}`, `11 tick`, `61 tick`, `71 tick`}, []string{`0 raised quiet`, `60 unsuppressed timer`, `70 repeated timer`}},

		{"levels: a level that becomes unknown is kept", alert(stages), []string{`0 f {"t":61}`, `1 f {"t":61,"p":6}`, `2 f {"t":61}`, `3 f {"t":50}`, `4 f {"t":50,"p":1}`}, []string{`0 raised info`, `1 updated critical`, `4 cleared critical`}},
		{"levels: an unknown lower level does not hold back a higher one", alert(stages), []string{`0 f {}`, `1 f {"p":6}`, `2 f {"t":50}`, `3 f {"p":1}`, `4 f {"t":50,"p":1}`}, []string{`1 raised critical`, `4 cleared critical`}},
		{"levels: with for the level is the one at its end", alert(bands + `,"for":"10s"`), []string{`0 f {"t":61}`, `5 f {"t":85}`, `11 tick`, `11 f {"t":75}`, `12 f {"t":65}`, `14 f {"t":45}`}, []string{`10 raised critical timer`, `12 updated info`, `14 cleared info`}},
		{"levels: unknown values move nothing, resets neither", alert(bands), []string{`0 f {"t":85}`, `1 f {}`, `2 f {"t":75}`, `3 f {}`, `4 f {"t":40}`}, []string{`0 raised critical`, `4 cleared critical`}},
		{"levels: beside conditions the alert has its own severity below them", hot(`,"levels":[{"severity":"critical","jsonLogic":{">":[{"var":"t"},80]}}]`), []string{`0 f {"t":31}`, `1 f {"t":81}`, `2 f {"t":31}`, `3 f {"t":1}`}, []string{`0 raised`, `1 updated critical`, `2 updated`, `3 cleared`}},

		{"inhibitedBy: raised by one sample, the inhibited one is quiet from the beginning", []string{pair(`,"inhibitedBy":["b"]`, ``)}, []string{`0 f {"t":31,"x":31}`, `1 f {"x":1}`, `2 f {"t":1}`}, []string{`0 raised quiet`, `0 b raised`, `1 b cleared`, `1 unsuppressed`, `2 cleared`}},
		{"inhibitedBy: an unknown keeps the inhibitor", []string{pair(`,"inhibitedBy":["b"]`, ``)}, []string{`0 f {"t":31}`, `1 f {"x":31}`, `2 f {}`, `3 f {"t":1}`}, []string{`0 raised`, `1 b raised`, `1 suppressed quiet`, `3 cleared`}},
		{"inhibitedBy: one that clears by its timer lets go", []string{pair(`,"inhibitedBy":["b"]`, `,"clearFor":"10s"`)}, []string{`0 f {"t":31,"x":31}`, `1 f {"x":1}`, `12 tick`}, []string{`0 raised quiet`, `0 b raised`, `11 b cleared timer`, `11 unsuppressed timer`}},

		{"flapping: unknown values are no changes", hot(`,"flapping":{"window":4,"low":0.2,"high":0.6}`), []string{`0 f {"t":31}`, `1 f {}`, `2 f {"t":1}`, `3 f {}`, `4 f {"t":31}`, `5 f {"t":1}`, `6 f {"t":1}`, `7 f {"t":1}`, `8 f {"t":1}`, `9 f {"t":31}`}, []string{`0 raised`, `2 cleared`, `4 raised`, `4 flapping`, `5 cleared`, `9 raised`, `9 flapping`}},
		{"flapping: with for, what does not fire does not flap", hot(`,"for":"10s","flapping":{"window":4,"low":0.2,"high":0.6}`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `2 f {"t":31}`, `3 f {"t":1}`, `4 f {"t":31}`, `5 f {"t":1}`}, nil},
		{"flapping: late samples are no changes", hot(`,"flapping":{"window":4,"low":0.2,"high":0.6}`), []string{`10 f {"t":31}`, `9 f {"t":1}`, `8 f {"t":31}`, `7 f {"t":1}`, `11 f {"t":1}`}, []string{`10 raised`, `11 cleared`}},

		{"geofence: a fix that may as well be outside decides nothing", alert(`"geofence":{` + yard + `,"accuracy":"acc"}`), []string{`0 f {"lat":50,"lon":14,"acc":2000}`, `1 f {"lat":50,"lon":14,"acc":10}`, `2 f {"lat":50.0095,"lon":14,"acc":500}`, `3 f {"lat":51,"lon":14,"acc":500}`, `4 f {"lat":50,"lon":14}`}, []string{`1 raised`, `3 cleared`, `4 raised`}},
		{"geofence: exitBuffer keeps it inside on the way out, not on the way in", alert(`"geofence":{` + yard + `,"exitBuffer":0.5}`), []string{`0 f {"lat":50,"lon":14}`, `1 f {"lat":50.012,"lon":14}`, `2 f {"lat":50.02,"lon":14}`, `3 f {"lat":50.012,"lon":14}`, `4 f {"lat":50,"lon":14}`}, []string{`0 raised`, `2 cleared`, `4 raised`}},
		{"geofence: half a fix is none", alert(`"geofence":{` + yard + `,"on":"exit"}`), []string{`0 f {"lat":50,"lon":14}`, `1 f {"lat":51}`, `2 f {"lat":51,"lon":14}`, `3 f {}`, `4 f {"lat":50,"lon":14}`}, []string{`2 raised`, `4 cleared`}},

		{"sequence: of equal times the second is late", alert(ab), []string{`0 f {"s":"a"}`, `0 f {"s":"b"}`, `1 f {"s":"b"}`, `2 f {"s":"c"}`}, []string{`1 raised`, `2 cleared`}},
		{"sequence: the time is from the first to the last, both included", alert(ab), []string{`0 f {"s":"a"}`, `10 f {"s":"b"}`, `20 f {"s":"a"}`, `30.001 f {"s":"b"}`}, []string{`10 raised`, `20 cleared`}},
		{"sequence: strict lets no other sample in between, but unknown ones", alert(ab + `,"contiguity":"strict"`), []string{`0 f {"s":"a"}`, `1 f {}`, `2 f {"s":"b"}`, `3 f {"s":"a"}`, `4 f {"s":"x"}`, `5 f {"s":"b"}`}, []string{`2 raised`, `3 cleared`}},
		{"sequence: keepFiringFor lets it be seen for longer", alert(ab + `,"keepFiringFor":"10s"`), []string{`0 f {"s":"a"}`, `1 f {"s":"b"}`, `2 f {"s":"x"}`, `30 tick`}, []string{`1 raised`, `11 cleared timer`}},

		{"enrich: what nobody has told is the default", alert(`"enrich":{"from":"model","default":{"max":30}},"conditions":[{"jsonLogic":{">":[{"var":"t"},{"var":"model.max"}]}}]`), []string{`0 f {"t":31}`, `1 f {"t":30}`}, []string{`0 raised`, `1 cleared`}},
		{"enrich: without a default it is unknown", alert(`"enrich":{"from":"model"},"conditions":[{"jsonLogic":{">":[{"var":"t"},{"var":"model.max"}]}}]`), []string{`0 f {"t":31}`}, nil},
		{"enrich: an edit of the default begins anew", []string{
			alertOf(`"enrich":{"from":"model","default":{"max":30}},"conditions":[{"jsonLogic":{">":[{"var":"t"},{"var":"model.max"}]}}]`),
			alertOf(`"enrich":{"from":"model","default":{"max":40}},"conditions":[{"jsonLogic":{">":[{"var":"t"},{"var":"model.max"}]}}]`),
		}, []string{`0 f {"t":31}`, `1 edit`, `2 f {"t":31}`, `3 f {"t":41}`}, []string{`0 raised`, `1 cleared ruleChanged`, `3 raised`}},

		{"latched: raised again before it is reset it is the same alert", hot(`,"latched":true`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `2 act reset a`, `3 f {"t":31}`, `4 f {"t":1}`, `5 f {"t":31}`, `6 act reset a`, `7 act clear a`}, []string{`0 raised`, `1 cleared`, `2 reset manual`, `3 raised`, `4 cleared`, `5 raised`, `7 cleared manual`}},
		{"latched: an acknowledgement is no reset", hot(`,"latched":true`), []string{`0 f {"t":31}`, `1 act ack a`, `2 f {"t":1}`, `3 act ack a`, `4 act reset a`}, []string{`0 raised`, `1 acknowledged manual`, `2 cleared`, `4 reset manual`}},
		{"latched: an absence", alert(`"absent":{"for":"10s"},"latched":true`), []string{`0 f {}`, `11 tick`, `20 f {}`, `21 act reset a`, `31 tick`}, []string{`10 raised absent`, `20 cleared`, `21 reset manual`, `30 raised absent`}},

		{"ackRequired: acknowledged before it clears, it closes at once", hot(`,"ackRequired":true`), []string{`0 f {"t":31}`, `1 act ack a`, `2 f {"t":1}`, `3 act ack a`}, []string{`0 raised`, `1 acknowledged manual`, `2 cleared`}},
		{"ackRequired: acknowledged after, it closes then", hot(`,"ackRequired":true`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `2 act ack a`}, []string{`0 raised`, `1 cleared`, `2 acknowledged manual`, `2 closed manual`}},
		{"ackRequired: raised again, it has to be acknowledged again", hot(`,"ackRequired":true`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `2 f {"t":31}`, `3 act ack a`, `4 f {"t":1}`}, []string{`0 raised`, `1 cleared`, `2 raised`, `3 acknowledged manual`, `4 cleared`}},

		{"an edit that takes the memory from a rule keeps its alert", change(`,"throttle":{"max":5,"per":"1h"}`, ``), []string{`0 f {"t":31}`, `1 edit`, `2 f {"t":1}`, `3 f {"t":31}`}, []string{`0 raised`, `2 cleared`, `3 raised`}},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, play(t, tt.docs, tt.steps...)) })
	}
}

// pieces are fields that can stand beside each other in any number.
var pieces = []string{
	`"for":"10s"`, `"for":"10s","maxGap":"5s"`, `"clearFor":"7s"`, `"keepFiringFor":"9s"`, `"allowedLateness":"4s"`,
	`"clearCondition":{"jsonLogic":{"<":[{"var":"t"},20]}}`, `"repeat":{"count":2}`, `"repeat":{"count":2,"within":"9s","consecutive":false}`,
	`"unchanged":{"field":"u","for":"6s"}`, `"onChange":{"fields":["t"]}`, `"onMissing":"false"`, `"onMissing":"evaluate"`,
	`"onMissing":"lastKnown"`, `"onMissing":{"mode":"lastKnown","maxAge":"8s"}`,
	`"schedule":{"active":[{"from":"10:00:10","to":"10:00:40"}],"scope":"evaluate"}`, `"schedule":{"mute":[{"from":"10:00:10","to":"10:00:40"}]}`,
	`"throttle":{"max":2,"per":"20s"}`, `"repeatInterval":"6s"`, `"flapping":{"window":6,"low":0.2,"high":0.5}`, `"latched":true`, `"ackRequired":true`,
	`"levels":[{"severity":"info"},{"severity":"critical","jsonLogic":{">":[{"var":"t"},45]},"clearCondition":{"jsonLogic":{"<":[{"var":"t"},40]}}}]`,
	`"window":{"type":"tumbling","size":"5s"},"aggregate":{"max":{"op":"max","field":"t"}}`,
	`"window":{"type":"session","timeout":"4s"},"aggregate":{"max":{"op":"max","field":"t"}}`,
	`"rate":{"field":"t","window":"9s"}`, `"enrich":{"from":"model","default":{"max":30}}`,
	`"levels":[{"severity":"info"},{"severity":"critical","after":"8s"}]`,
	`"levels":[{"severity":"warning","jsonLogic":{">":[{"var":"t"},32]}},{"severity":"critical","jsonLogic":{">":[{"var":"t"},40]},"after":"8s"}]`,
	`"levels":[{"severity":"info"},{"severity":"critical","after":"8s"}],"lowering":false`,
	`"geofence":{"circle":{"lat":33,"lon":0,"radiusKm":500},"lat":"t","lon":"u"}`,
	`"geofence":{"circle":{"lat":33,"lon":0,"radiusKm":500},"lat":"t","lon":"u","dwell":"6s"}`,
	`"geofence":{"circle":{"lat":33,"lon":0,"radiusKm":500},"lat":"t","lon":"u","on":"exit","dwell":"5s","exitBuffer":200}`,
	`"geofence":{"circle":{"lat":33,"lon":0,"radiusKm":500},"lat":"t","lon":"u","on":"enter","emitInitial":true}`,
}

// someAlert is a valid alert of up to four pieces; "" where they contradict.
func someAlert(r *rand.Rand) string {
	fields := []string{`"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]`}
	used := map[string]bool{}
	for range 1 + r.IntN(4) {
		piece := pieces[r.IntN(len(pieces))]
		if name, _, _ := strings.Cut(piece, ":"); !used[name] {
			used[name] = true
			fields = append(fields, piece)
		}
	}
	doc := alertOf(strings.Join(fields, ","))
	if _, err := rules.Load("x", []byte(doc)); err != nil {
		return ""
	}
	return doc
}

// someSamples jump back and forth, and lack fields.
func someSamples(r *rand.Rand) (samples []rules.Sample) {
	at := 0
	for i := range 5 + r.IntN(25) {
		at += r.IntN(7)
		if r.IntN(15) == 0 {
			at += 30
		}
		back := max(0, r.IntN(24)-19)
		var fields []string
		if r.IntN(8) != 0 {
			fields = append(fields, fmt.Sprintf(`"t":%d`, []int{10, 25, 31, 35, 43, 50}[r.IntN(6)]))
		}
		if r.IntN(4) != 0 {
			fields = append(fields, fmt.Sprintf(`"u":%d`, r.IntN(2)))
		}
		samples = append(samples, rules.Sample{
			Twin: "m1", Feed: "f", At: start.Add(time.Duration(at-back) * time.Second), Data: []byte("{" + strings.Join(fields, ",") + "}"), Seq: uint64(i + 1),
		})
	}
	return samples
}

// toldWithTicks is what samples make with ticks so often, and as often a restart; 0:
// no ticks before the last sample has come. Without a reader each sample is read
// when it is judged.
func toldWithTicks(t *testing.T, p *rules.Program, samples []rules.Sample, every time.Duration, reader *rules.Reader) (told []string) {
	t.Helper()
	st := p.NewState(1, nil)
	note := func(out []rules.Outcome) {
		for i := range out {
			o := &out[i]
			told = append(told, fmt.Sprint(tell(o), " ", string(o.Data), " ", o.Summary, " ", o.Life.Status, " ", o.Life.Counts))
		}
	}
	now := samples[0].At
	for i := range samples {
		s := samples[i]
		for at := now.Add(every); every > 0 && at.Before(s.At); at = at.Add(every) {
			note(p.Tick(at, s.Twin, st, s.Seq, nil))
			loaded, err := p.LoadState(st.Append(nil), nil)
			require.NoError(t, err)
			st = loaded
		}
		if s.At.After(now) {
			now = s.At
		}
		if reader != nil {
			require.NoError(t, reader.Read(&s))
		}
		note(p.Eval(&s, st, nil))
	}
	for range 90 {
		now = now.Add(time.Second)
		note(p.Tick(now, "m1", st, 0, nil))
	}
	return told
}

func TestTicksAndRestartsChangeNothing(t *testing.T) {
	judged := 0
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 4))
		doc := someAlert(r)
		if doc == "" {
			continue
		}
		samples := someSamples(r)
		p := compiled(t, doc)
		reader := rules.NewReader("f", p)
		want := toldWithTicks(t, p, samples, 0, reader)
		judged += len(want)
		for _, by := range []struct {
			every  time.Duration
			reader *rules.Reader
		}{{time.Second, reader}, {3700 * time.Millisecond, reader}, {0, nil}, {time.Second, nil}} {
			if got := toldWithTicks(t, p, samples, by.every, by.reader); !slices.Equal(want, got) {
				assert.Equal(t, want, got, "seed %d, ticks every %v, with a reader: %t\n%s", seed, by.every, by.reader != nil, doc)
				return
			}
		}
	}
	assert.Greater(t, judged, 1000, "the rules decide something")
}
