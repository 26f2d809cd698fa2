package rules_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/rules"
)

// lacking is an alert that completes samples, and has c in its data.
func lacking(fields string) string {
	return alertOf(`"onMissing":"lastKnown","conditions":[{"jsonLogic":{">":[{"var":"t"},30]},"fieldsIncludedInOutput":["c"]}]` + fields)
}

// beside is an alert whose conditions are over t and over g.x, of another feed.
func beside(conditions, fields string) string {
	return alertOf(`"join":{"as":"g","sourceId":"1","sourceFeedId":"g"},"conditions":[{"jsonLogic":` + conditions + `}]` + fields)
}

// twoFeeds is an alert a over t of feed f and an alert b over x of feed g, with
// further conditions and fields of a.
func twoFeeds(conditions, fields string) string {
	return `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"},{"id":"g"}]}],"rules":[` +
		`{"alert":{"id":"a","severity":"major","sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}` + conditions + `]` + fields + `}},` +
		`{"alert":{"id":"b","severity":"major","sourceId":"1","sourceFeedId":"g","conditions":[{"jsonLogic":{">":[{"var":"x"},30]}}]}}]}`
}

// TestMendedStories are stories that once ended otherwise.
func TestMendedStories(t *testing.T) {
	const (
		higher  = `{">":[{"var":"t"},{"var":"g.x"}]}`
		atLeast = `{">":[{"var":"g.x"},1]}`
		yard    = `"circle":{"lat":50,"lon":14,"radiusKm":1}`
		byTime  = `,"levels":[{"severity":"warning"},{"severity":"critical","after":"1m"}]`
		mean    = `{"m":{"op":"avg","field":"t"}}`
		high    = `{">":[{"var":"$agg.m"},30]}`
	)
	change := func(before, after string) []string { return []string{hotWith(before), hotWith(after)} }
	hot := func(fields string) []string { return []string{hotWith(fields)} }
	alert := func(fields string) []string { return []string{alertOf(fields)} }
	joined := func(conditions, fields string) []string { return []string{beside(conditions, fields)} }
	for _, tt := range []struct {
		name  string
		docs  []string
		steps []string
		want  []string
	}{
		{"edit: what is known of fields is kept by their names", []string{lacking(``), lacking(`,"summary":"{{d}}"`)}, []string{`0 f {"t":31,"c":1}`, `1 edit`, `2 f {"d":7}`, `3 f {"t":1}`}, []string{`0 raised`, `3 cleared`}},
		{"edit: an alert whose rule begins to remember is cleared by it", change(``, `,"repeatInterval":"1h"`), []string{`0 f {"t":31}`, `1 edit`, `2 f {"t":1}`, `3 f {"t":1}`}, []string{`0 raised`, `2 cleared`}},
		{"edit: an alert that is inhibited by nothing any more is told", []string{pair(`,"inhibitedBy":["b"]`, ``), pair(``, ``)}, []string{`0 f {"t":31,"x":31}`, `1 edit`, `2 f {"t":31,"x":1}`, `3 tick`}, []string{`0 raised quiet`, `0 b raised`, `1 unsuppressed ruleChanged`, `2 b cleared`}},
		{"edit: another spelling of a duration is no other rule", change(`,"for":"60s"`, `,"for":"1m"`), []string{`0 f {"t":31}`, `60 f {"t":31}`, `65 edit`, `66 f {"t":1}`}, []string{`60 raised`, `66 cleared`}},
		{"edit: a cleared alert that need not wait for a reset any more is closed", change(`,"latched":true`, `,"latched":false`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `2 edit`, `3 f {"t":1}`}, []string{`0 raised`, `1 cleared`, `2 closed ruleChanged`}},

		{"repeatInterval: counts from the end of the muted time", hot(`,"repeatInterval":"10m","schedule":{"mute":[{"from":"10:15","to":"12:00"}]}`), []string{`0 f {"t":31}`, `601 tick`, `901 tick`, `7201 tick`, `7202 tick`, `7210 f {"t":31}`, `7211 f {"t":31}`, `7801 tick`}, []string{`0 raised`, `600 repeated timer`, `900 suppressed timer quiet`, `7200 unsuppressed timer quiet`, `7800 repeated timer`}},
		{"repeatInterval: counts from the end of the shelf", hot(`,"repeatInterval":"10s"`), []string{`0 f {"t":31}`, `1 act shelve a 60`, `55 f {"t":31}`, `61 tick`, `71 tick`}, []string{`0 raised`, `1 shelved manual quiet`, `60 unshelved timer quiet`, `70 repeated timer`}},
		{"repeatInterval: one repetition stands for those while the engine was away", hot(`,"repeatInterval":"10m"`), []string{`0 f {"t":31}`, `3600 tick`, `3601 f {"t":31}`, `3602 tick`, `3611 f {"t":31}`, `3612 tick`, `4500 tick`}, []string{`0 raised`, `3000 repeated timer`, `3600 repeated timer`, `4200 repeated timer`}},
		{"throttle: an alert that it kept quiet is told when it may be", hot(`,"throttle":{"max":1,"per":"10s"},"repeatInterval":"20s"`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `2 f {"t":31}`, `20 f {"t":31}`, `31 tick`, `51 tick`, `70 f {"t":1}`}, []string{`0 raised`, `1 cleared`, `2 raised quiet`, `10 unsuppressed timer`, `30 repeated timer`, `50 repeated timer`, `70 cleared`}},

		{"schedule: a severity that rose while it was muted is told after", hot(`,"levels":[{"severity":"warning"},{"severity":"critical","after":"10m"}],"schedule":{"mute":[{"from":"10:05","to":"12:00"}]}`), []string{`0 f {"t":31}`, `301 tick`, `601 tick`, `7201 tick`}, []string{`0 raised warning`, `300 suppressed warning timer quiet`, `600 updated critical timer quiet`, `7200 unsuppressed critical timer`}},
		{"schedule of the evaluation: nobody is missed while it is closed", alert(`"absent":{"for":"10s"},"schedule":{"active":[{"from":"12:00","to":"18:00"}],"scope":"evaluate"}`), []string{`0 f {"t":31}`, `11 tick`, `7000 f {"t":31}`, `7100 tick`}, nil},
		{"schedule of the evaluation: it ends at closing time between the two thresholds, too", hot(`,"clearCondition":{"jsonLogic":{"<":[{"var":"t"},10]}},"schedule":{"active":[{"from":"10:00","to":"10:01"}],"scope":"evaluate"}`), []string{`0 f {"t":31}`, `30 f {"t":20}`, `61 tick`, `90 tick`}, []string{`0 raised`, `60 cleared timer`}},

		{"levels: while it recovers the severity stays", alert(`"levels":[{"severity":"info","jsonLogic":{">":[{"var":"t"},60]}}],"clearFor":"10s"`), []string{`0 f {"t":61}`, `1 f {"t":50}`, `12 tick`}, []string{`0 raised info`, `11 cleared info timer`}},
		{"levels: of an absence", alert(`"absent":{"for":"10s"}` + byTime), []string{`0 f {}`, `11 tick`, `71 tick`}, []string{`10 raised warning absent`, `70 updated critical timer`}},
		{"levels: of a sequence", alert(`"latched":true,"sequence":[{"jsonLogic":{">":[{"var":"t"},30]}}],"within":"1m","clearCondition":{"jsonLogic":{"<":[{"var":"t"},0]}}` + byTime), []string{`0 f {"t":31}`, `61 tick`, `65 f {"t":1}`}, []string{`0 raised warning`, `60 updated critical timer`}},

		{"clearFor: an older sample that is true begins the wait anew", hot(`,"clearFor":"10s","allowedLateness":"5s"`), []string{`0 f {"t":31}`, `1 f {"t":1}`, `8 f {"t":1}`, `6 f {"t":31}`, `12 f {"t":1}`, `19 tick`}, []string{`0 raised`, `18 cleared timer`}},
		{"for: a window that closes at the end of the wait is judged first", []string{over(`{"type":"tumbling","size":"10s"}`, mean, high, `,"for":"20s"`)}, []string{`0 f {"t":40}`, `12 f {"t":40}`, `22 f {"t":1}`, `31 tick`}, nil},
		{"for: another feed's sample, hours later, does not end the wait", []string{twoFeeds(``, `,"for":"10s"`)}, []string{`0 f {"t":31}`, `7200 g {"x":1}`, `5 f {"t":1}`}, nil},
		{"for: a sample that says nothing leaves the fields of the one before", []string{held}, []string{`0 f {"t":31}`, `5 f {}`, `11 tick`}, []string{`0 o {"hot":false,"t":31}`, `10 o {"hot":true,"t":31}`}},
		{"window: an older sample that fills it is judged at the newest time", []string{over(`{"type":"count","count":3}`, mean, high, `,"allowedLateness":"5s"`)}, []string{`0 f {"t":40}`, `4 f {"t":40}`, `2 f {"t":40}`}, []string{`4 raised`}},
		{"latched: an alert that was told to fire is told to clear, also while it is muted", hot(`,"latched":true,"schedule":{"mute":[{"from":"10:00:10","to":"10:00:40"}]}`), []string{`0 f {"t":31}`, `15 f {"t":1}`}, []string{`0 raised`, `10 suppressed timer quiet`, `15 cleared`}},
		{"inhibitedBy: an inhibitor that a person clears lets go", []string{pair(`,"inhibitedBy":["b"]`, ``)}, []string{`0 f {"t":31,"x":31}`, `1 act clear b`, `2 tick`}, []string{`0 raised quiet`, `0 b raised`, `1 b cleared manual`, `1 unsuppressed`}},

		{"onChange: the first sample that has the field is the first", hot(`,"onChange":{"fields":["t"],"includeFirst":false}`), []string{`0 f {}`, `1 f {"t":31}`, `2 f {"t":32}`}, []string{`2 raised`}},
		{"onChange: null is no change", hot(`,"onChange":{"fields":["t"]},"repeat":{"count":2}`), []string{`0 f {"t":31}`, `1 f {"t":null}`, `2 f {"t":31}`, `3 f {"t":32}`}, []string{`3 raised`}},
		{"unchanged: beside a fence, the end of the dwell looks at the value as it was", alert(`"unchanged":{"field":"t","for":"5s"},"geofence":{` + yard + `,"dwell":"5s"}`), []string{`0 f {"t":1,"lat":51,"lon":14}`, `6 f {"t":1,"lat":50,"lon":14}`, `12 tick`}, []string{`11 raised timer`}},
		{"geofence: an older fix moves nothing", alert(`"allowedLateness":"5s","geofence":{` + yard + `,"on":"exit","dwell":"10s"}`), []string{`0 f {"lat":50,"lon":14}`, `10 f {"lat":50,"lon":14}`, `8 f {"lat":51,"lon":14}`, `19 tick`}, nil},
		{"geofence: the first fix has to stay there for dwell, too", alert(`"geofence":{` + yard + `,"on":"outside","dwell":"10s"}`), []string{`0 f {"lat":51,"lon":14}`, `9 f {"lat":51,"lon":14}`, `11 tick`}, []string{`10 raised timer`}},

		{"join: clearFor goes on while the other side says nothing", joined(higher, `,"clearFor":"10s"`), []string{`0 g {"x":30}`, `1 f {"t":31}`, `2 g {"x":32}`, `5 f {"t":31}`, `13 tick`, `14 g {"x":30}`, `15 g {}`, `16 f {"t":40}`, `17 g {"x":50}`, `28 tick`}, []string{`1 raised`, `12 cleared timer`, `14 raised`, `27 cleared timer`}},
		{"join: for begins with the other side's sample", joined(higher, `,"for":"10s","summary":"{{t}} over {{g.x}}"`), []string{`0 f {"t":31}`, `1 g {"x":30}`, `12 tick`, `13 f {"t":1}`}, []string{`11 raised timer`, `13 cleared`}},
		{"join: the other side's sample counts though the own feed is further on", alert(`"join":{"as":"g","sourceId":"1","sourceFeedId":"g","tolerance":"10s"},"conditions":[{"jsonLogic":` + higher + `}]`), []string{`0 g {"x":30}`, `10 f {"t":31}`, `11 f {"t":1}`, `5 g {"x":2}`, `6 f {"t":90}`}, []string{`10 raised`, `11 cleared`}},
		{"join: lastKnown is of the own feed, not of the other side", joined(higher, `,"onMissing":"lastKnown"`), []string{`0 g {"x":30}`, `1 f {"t":31}`, `2 g {}`, `3 f {"t":29}`, `4 g {"x":5}`, `5 f {}`, `6 g {"x":29}`}, []string{`1 raised`, `6 cleared`}},
		{"join: the other side's sample does not make a value older", joined(atLeast, `,"unchanged":{"field":"t","for":"10s"}`), []string{`0 g {"x":30}`, `1 f {"t":31}`, `12 g {"x":30}`, `13 f {"t":31}`}, []string{`13 raised`}},
		{"join: the other side's sample needs no change of the own field", joined(atLeast, `,"onChange":{"fields":["t"]}`), []string{`0 g {"x":30}`, `1 f {"t":31}`, `12 g {"x":0}`, `13 f {"t":31}`}, []string{`1 raised`, `12 cleared`}},
		{"join: the rate is what it was when the other side says something", joined(`{">":[{"var":"$rate.t"},{"var":"g.x"}]}`, `,"rate":{"field":"t"}`), []string{`0 g {"x":1}`, `1 f {"t":31}`, `2 f {"t":41}`, `3 g {"x":20}`, `4 f {"t":42}`}, []string{`2 raised`, `3 cleared`}},
		{"join: a window that closes is judged with the other side's newest", joined(`{">":[{"var":"$agg.m"},{"var":"g.x"}]}`, `,"window":{"type":"tumbling","size":"10s"},"aggregate":`+mean), []string{`0 g {"x":1}`, `1 f {"t":31}`, `2 f {"t":41}`, `3 g {"x":20}`, `12 f {"t":42}`, `21 tick`}, []string{`10 raised timer`}},
		{"join: the twin stays where it was when the other side says something", joined(atLeast, `,"geofence":{`+yard+`}`), []string{`0 g {"x":30}`, `1 f {"lat":50,"lon":14}`, `12 g {"x":0}`, `13 g {"x":3}`}, []string{`1 raised`, `12 cleared`, `13 raised`}},
		{"join: evaluated without the other side, it is null", joined(higher, `,"onMissing":"evaluate"`), []string{`1 f {"t":31}`}, []string{`1 raised`}},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, play(t, tt.docs, tt.steps...)) })
	}
}

// TestInhibitorOfAnotherFeed: what a sample of another feed says of an alert has
// the alert's own data.
func TestInhibitorOfAnotherFeed(t *testing.T) {
	for name, doc := range map[string]string{
		"one condition":  twoFeeds(``, `,"inhibitedBy":["b"]`),
		"two conditions": twoFeeds(`,{"jsonLogic":{">":[{"var":"u"},0]}}`, `,"inhibitedBy":["b"]`),
		"with a rate":    twoFeeds(`,{"jsonLogic":{">":[{"var":"u"},0]}}`, `,"inhibitedBy":["b"],"rate":{"field":"t"}`),
	} {
		t.Run(name, func(t *testing.T) {
			p := compiled(t, doc)
			st := p.NewState(1, nil)
			data := map[string]string{}
			for i, step := range []struct{ feed, data string }{{"f", `{"t":31,"u":1}`}, {"g", `{"x":77,"y":5}`}, {"g", `{"x":1}`}} {
				s := rules.Sample{Twin: "m1", Feed: step.feed, At: start.AddDate(0, 0, i), Data: []byte(step.data), Seq: uint64(i + 1)}
				for _, o := range p.Eval(&s, st, nil) {
					data[o.Rule+" "+o.Life.Event] = string(o.Data)
				}
			}
			own := data["a raised"]
			assert.Contains(t, own, `"t":31`)
			assert.Equal(t, map[string]string{
				"a raised": own, "b raised": `{"x":77}`, "a suppressed": own, "b cleared": `{"x":1}`, "a unsuppressed": own,
			}, data)
		})
	}
}
