package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
)

// ofRule is a document whose alert "a" has the given fields, on its second line.
func ofRule(fields string) string {
	return `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f","fieldIds":["t","u","lat","lon"]},{"id":"g"}]}],"rules":[{"alert":{"id":"a","severity":"major","sourceId":"1","sourceFeedId":"f",
` + fields + `}},{"alert":{"id":"b","severity":"major","sourceId":"1","sourceFeedId":"g","conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]}}]}`
}

// wrongOf is what Load says of a document, without what all its lines have in
// common: the name, the line of the fields, the rule.
func wrongOf(t *testing.T, doc string) string {
	t.Helper()
	_, err := rules.Load("x", []byte(doc))
	require.Error(t, err)
	return strings.ReplaceAll(strings.ReplaceAll(err.Error(), "x:2:", ""), " /rules/0/alert/", " /")
}

func TestStatefulErrorHasItsPlace(t *testing.T) {
	_, err := rules.Load("x.json", []byte(ofRule(`"for":15`)))
	assert.EqualError(t, err, `x.json:1:132: /rules/0/alert: field "conditions" is missing
x.json:2:7: /rules/0/alert/for: got 15, a number without a unit; want a duration such as "15m" or "PT15M"`)
}

func TestStatefulErrors(t *testing.T) {
	const c = `,"conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}]`
	for _, tt := range []struct{ in, want string }{
		{`"for":15` + c, `7: /for: got 15, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"for":"15"` + c, `7: /for: got "15": not a duration; want a duration such as "15m" or "PT15M"`},
		{`"for":"0s"` + c, `7: /for: got "0s"; want a duration above zero, such as "15m" or "PT15M"`},
		{`"for":"-5m"` + c, `7: /for: got "-5m": negative; want a duration such as "15m" or "PT15M"`},
		{`"for":"367d"` + c, `7: /for: got "367d": over 366 days; want a duration such as "15m" or "PT15M"`},
		{`"for":null` + c, `7: /for: got null; want a duration such as "15m" or "PT15M"`},
		{`"for":["5m"]` + c, `7: /for: got an array; want a duration such as "15m" or "PT15M"`},
		{`"for":"15min"` + c, `7: /for: got "15min": no unit "min" here; want one of w, d, h, m, s, ms, us, ns`},
		{`"For":"15m"` + c, `1: /For: unknown field "For"; did you mean "for"?`},
		{`"fr":"15m"` + c, `1: /fr: unknown field "fr"; did you mean "for"?`},
		{`"clearFor":5` + c, `12: /clearFor: got 5, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"keepFiringFor":{}` + c, `17: /keepFiringFor: got an object; want a duration such as "15m" or "PT15M"`},
		{
			`"maxGap":"0s"` + c,
			`10: /maxGap: "maxGap" without "for": it bounds the gaps between samples while "for" runs` + "\n" +
				`10: /maxGap: got "0s"; want a duration above zero, such as "15m" or "PT15M"`,
		},
		{`"maxGap":"5m"` + c, `10: /maxGap: "maxGap" without "for": it bounds the gaps between samples while "for" runs`},
		{`"allowedLateness":5` + c, `19: /allowedLateness: got 5, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"allowedLateness":"-1s"` + c, `19: /allowedLateness: got "-1s": negative; want a duration such as "15m" or "PT15M"`},
		{`"repeatInterval":"1x"` + c, `18: /repeatInterval: got "1x": no unit "x" here; want one of w, d, h, m, s, ms, us, ns`},
		{
			`"clearCondition":{"<":[{"var":"t"},3]}` + c,
			`18: /clearCondition: field "jsonLogic" is missing` + "\n" +
				`19: /clearCondition/<: unknown field "<"; want one of jsonLogic`,
		},
		{`"clearCondition":true` + c, `18: /clearCondition: got true; want an object such as {"jsonLogic":{"<":[{"var":"temperature"},95]}}`},
		{`"clearCondition":[{"jsonLogic":{"<":[{"var":"t"},3]}}]` + c, `18: /clearCondition: got an array; want an object such as {"jsonLogic":{"<":[{"var":"temperature"},95]}}`},
		{
			`"clearCondition":{"jsonlogic":{"<":[{"var":"t"},3]}}` + c,
			`18: /clearCondition: field "jsonLogic" is missing` + "\n" +
				`19: /clearCondition/jsonlogic: unknown field "jsonlogic"; did you mean "jsonLogic"?`,
		},
		{`"clearCondition":{"jsonLogic":{"<":[{"var":"x"},3]}}` + c, `44: /clearCondition/jsonLogic/</0/var: field "x" is not among the fieldIds of feed "f"; did you mean "t"?`},
		{`"clearCondition":{"jsonLogic":{"<":[{"var":"t"},3]},"for":"5m"}` + c, `53: /clearCondition/for: unknown field "for"; want one of jsonLogic`},
		{`"clearCondition":{"jsonLogic":{"<":[{"var":"t"},3]},"fieldsIncludedInOutput":["t"]}` + c, `53: /clearCondition/fieldsIncludedInOutput: unknown field "fieldsIncludedInOutput"; want one of jsonLogic`},
		{`"repeat":3` + c, `10: /repeat: got 3; want an object such as {"count":3}`},
		{`"repeat":{}` + c, `10: /repeat: field "count" is missing`},
		{`"repeat":{"count":0}` + c, `19: /repeat/count: got 0; want a whole number from 1 to 10000`},
		{`"repeat":{"count":1.5}` + c, `19: /repeat/count: got 1.5; want a whole number from 1 to 10000`},
		{`"repeat":{"count":"3"}` + c, `19: /repeat/count: got "3"; want a whole number from 1 to 10000`},
		{`"repeat":{"count":3,"consecutive":false}` + c, `10: /repeat: "consecutive":false without "within"; want the time in which 3 samples have to be true, such as "10m"`},
		{`"repeat":{"count":3,"within":10}` + c, `30: /repeat/within: got 10, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"repeat":{"count":3,"window":"10m"}` + c, `21: /repeat/window: unknown field "window"; want one of consecutive, count, within`},
		{`"repeat":{"count":20000}` + c, `19: /repeat/count: got 20000; want a whole number from 1 to 10000`},
		{`"repeat":{"count":3,"consecutive":1}` + c, `35: /repeat/consecutive: got 1; want true or false`},
		{`"repeat":{"count":3},"unchanged":{"for":"5m","field":"t"}`, `10: /repeat: "repeat" without "conditions": want the condition that is counted`},
		{`"absent":"5m"`, `10: /absent: got "5m"; want an object such as {"for":"10m"}`},
		{`"absent":{}`, `10: /absent: field "for" is missing`},
		{`"absent":{"for":5}`, `17: /absent/for: got 5, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"absent":{"for":"5m","grace":"1m"}`, `22: /absent/grace: unknown field "grace"; want one of expectFirst, for, startupGrace`},
		{`"absent":{"for":"5m","startupGrace":5}`, `37: /absent/startupGrace: got 5, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"absent":{"for":"5m","expectFirst":"yes"}`, `36: /absent/expectFirst: got "yes"; want true or false`},
		{`"absent":{"for":"5m","perField":true}`, `22: /absent/perField: unknown field "perField"; want one of expectFirst, for, startupGrace`},
		{`"unchanged":"5m"`, `13: /unchanged: got "5m"; want an object such as {"field":"temperature","for":"10m"}`},
		{`"unchanged":{"for":"5m"}`, `13: /unchanged: field "field" is missing; want the one whose value is looked at`},
		{`"unchanged":{"field":"t"}`, `13: /unchanged: field "for" is missing`},
		{`"unchanged":{"field":"x","for":"5m"}`, `22: /unchanged/field: field "x" is not among the fieldIds of feed "f"; did you mean "t"?`},
		{`"unchanged":{"field":"t","for":"5m","tolerance":-1}`, `49: /unchanged/tolerance: got -1; want a number from 0 to 1e+308`},
		{`"unchanged":{"field":"t","for":"5m","tolerance":"1"}`, `49: /unchanged/tolerance: got "1"; want a number from 0 to 1e+308`},
		{`"unchanged":{"field":"","for":"5m"}`, `22: /unchanged/field: got ""; want a text that is not empty`},
		{
			`"unchanged":{"fields":["t"],"for":"5m"}`,
			`13: /unchanged: field "field" is missing; want the one whose value is looked at` + "\n" +
				`14: /unchanged/fields: unknown field "fields"; did you mean "field"?`,
		},
		{`"rate":"t"` + c, `8: /rate: got "t"; want an object such as {"field":"temperature","per":"1m"}`},
		{`"rate":{}` + c, `8: /rate: field "field" is missing`},
		{`"rate":[]` + c, `8: /rate: an empty list; want at least one`},
		{`"rate":{"field":"x"}` + c, `17: /rate/field: field "x" is not among the fieldIds of feed "f"; did you mean "t"?`},
		{`"rate":{"field":"t","mode":"perunit"}` + c, `28: /rate/mode: got "perunit"; did you mean "perUnit"?`},
		{`"rate":{"field":"t","mode":"delta","per":"1m"}` + c, `42: /rate/per: "per" has no meaning in mode "delta"; want mode "perUnit"`},
		{`"rate":{"field":"t","per":60}` + c, `27: /rate/per: got 60, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"rate":[{"field":"t"},{"field":"t"}]` + c, `23: /rate/1: rate "t" is there twice; want another name for one ("as")`},
		{`"rate":{"field":"t.rpm"}` + c, `17: /rate/field: a name with a dot; want "as" beside it, such as "as":"rpm"`},
		{`"rate":{"field":"t","nonNegative":1}` + c, `35: /rate/nonNegative: got 1; want true or false`},
		{`"rate":{"field":"t","window":0}` + c, `30: /rate/window: got 0, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"rate":{"field":"t"},"conditions":[{"jsonLogic":{">":[{"var":"$rate.u"},30]}}]`, `62: /conditions/0/jsonLogic/>/0/var: no rate is called "u"; did you mean "t"?`},
		{`"rate":{"field":"t"},"conditions":[{"jsonLogic":{">":[{"var":"$rate"},30]}}]`, `62: /conditions/0/jsonLogic/>/0/var: "$rate" alone has no value; want the name of a rate behind it, such as "$rate.t"`},
		{`"rate":{"field":"t","as":"speed"},"conditions":[{"jsonLogic":{">":[{"var":"$rate.sped"},30]}}]`, `75: /conditions/0/jsonLogic/>/0/var: no rate is called "sped"; did you mean "speed"?`},
		{`"rate":{"field":"t"},"conditions":[{"jsonLogic":{">":[{"var":"rate.t"},30]}}]`, `62: /conditions/0/jsonLogic/>/0/var: field "rate.t" is not among the fieldIds of feed "f"; want one of lat, lon, t, u`},
		{
			`"window":"5m"`,
			`x:1:132: /rules/0/alert: field "conditions" is missing` + "\n" +
				`10: /window: "window" without "aggregate": want what is made of its samples, such as {"mean":{"op":"avg","field":"temperature"}}` + "\n" +
				`10: /window: "window" without "conditions" or "levels": want what is asked of its aggregates` + "\n" +
				`10: /window: got "5m"; want an object such as {"type":"tumbling","size":"10m"}`,
		},
		{`"window":{},"aggregate":{"m":{"op":"avg","field":"t"}}` + c, `10: /window: field "type" is missing`},
		{`"window":{"type":"tumblin","size":"5m"},"aggregate":{"m":{"op":"avg","field":"t"}}` + c, `18: /window/type: got "tumblin"; did you mean "tumbling"?`},
		{`"window":{"type":"rolling","size":"5m"},"aggregate":{"m":{"op":"avg","field":"t"}}` + c, `18: /window/type: got "rolling"; want one of count, hopping, session, sliding, tumbling`},
		{`"window":{"type":"tumbling"},"aggregate":{"m":{"op":"avg","field":"t"}}` + c, `10: /window: field "size" is missing`},
		{`"window":{"type":"tumbling","size":"5m","slide":"1m"},"aggregate":{"m":{"op":"avg","field":"t"}}` + c, `41: /window/slide: "slide" has no meaning in a window of type "tumbling"; it takes align, minSamples, size, type`},
		{`"window":{"type":"hopping","size":"5m"},"aggregate":{"m":{"op":"avg","field":"t"}}` + c, `10: /window: field "slide" is missing`},
		{`"window":{"type":"hopping","size":"5m","slide":"1ms"},"aggregate":{"m":{"op":"avg","field":"t"}}` + c, `48: /window/slide: size is 300000 times the slide; want at most 10000 times`},
		{
			`"window":{"type":"count","size":5},"aggregate":{"m":{"op":"avg","field":"t"}}` + c,
			`10: /window: field "count" is missing` + "\n" +
				`33: /window/size: got 5, a number without a unit; want a duration such as "15m" or "PT15M"` + "\n" +
				`33: /window/size: a window of type "count" has a count of samples, no size; want "count"`,
		},
		{`"window":{"type":"count","count":0},"aggregate":{"m":{"op":"avg","field":"t"}}` + c, `34: /window/count: got 0; want a whole number from 1 to 100000`},
		{
			`"window":{"type":"session","size":"5m"},"aggregate":{"m":{"op":"avg","field":"t"}}` + c,
			`10: /window: field "timeout" is missing` + "\n" +
				`28: /window/size: "size" has no meaning in a window of type "session"; it takes maxDuration, minSamples, timeout, type`,
		},
		{`"window":{"type":"tumbling","size":5},"aggregate":{"m":{"op":"avg","field":"t"}}` + c, `36: /window/size: got 5, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"window":{"type":"tumbling","size":"5m","minSamples":-1},"aggregate":{"m":{"op":"avg","field":"t"}}` + c, `54: /window/minSamples: got -1; want a whole number from 0 to 1000000`},
		{`"window":{"type":"tumbling","size":"5m","align":"start"},"aggregate":{"m":{"op":"avg","field":"t"}}` + c, `49: /window/align: got "start"; want one of epoch, first`},
		{`"window":{"type":"tumbling","size":"5m"}` + c, `10: /window: "window" without "aggregate": want what is made of its samples, such as {"mean":{"op":"avg","field":"temperature"}}`},
		{
			`"window":{"type":"tumbling","size":"5m"},"aggregate":{"m":{"op":"avg","field":"t"}}`,
			`x:1:132: /rules/0/alert: field "conditions" is missing` + "\n" +
				`10: /window: "window" without "conditions" or "levels": want what is asked of its aggregates`,
		},
		{`"aggregate":{"m":{"op":"avg","field":"t"}}` + c, `13: /aggregate: "aggregate" without "window" or "groupBy": want what it is over`},
		{`"window":{"type":"tumbling","size":"1m"},"allowedLateness":"366d","aggregate":{"m":{"op":"avg","field":"t"}}` + c, `60: /allowedLateness: 527040 times what lies between two windows; want at most 10000 times`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":[{"op":"avg","field":"t"}]` + c, `54: /aggregate: got an array; want an object of names, such as {"mean":{"op":"avg","field":"temperature"}}`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{}` + c, `54: /aggregate: an empty object; want at least one name, such as {"mean":{"op":"avg","field":"temperature"}}`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{"m":{"op":"averge","field":"t"}}` + c, `65: /aggregate/m/op: got "averge"; want one of avg, count, first, last, max, mean, median, min, percentile, range, stddev, sum`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{"m":{"op":"variance","field":"t"}}` + c, `65: /aggregate/m/op: got "variance"; want one of avg, count, first, last, max, mean, median, min, percentile, range, stddev, sum`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{"m":{"op":"avg"}}` + c, `59: /aggregate/m: field "field" is missing`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{"m":{"field":"t"}}` + c, `59: /aggregate/m: field "op" is missing`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{"m":{"op":"percentile","field":"t"}}` + c, `59: /aggregate/m: field "p" is missing; want the percentile from 0 to 100`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{"m":{"op":"percentile","field":"t","p":101}}` + c, `94: /aggregate/m/p: got 101; want a number from 0 to 100`},
		{
			`"window":{"type":"tumbling","size":"5m"},"aggregate":{"m":{"op":"percentile","field":"t","percentil":99}}` + c,
			`59: /aggregate/m: field "p" is missing; want the percentile from 0 to 100` + "\n" +
				`90: /aggregate/m/percentil: unknown field "percentil"; did you mean "percentile"?`,
		},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{"m":{"op":"avg","field":"t","p":99}}` + c, `87: /aggregate/m/p: a percentile beside op "avg"; want op "percentile"`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{"m.n":{"op":"avg","field":"t"}}` + c, `55: /aggregate/m.n: got "m.n"; want a name without a dot`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{"m":{"op":"avg","field":"x"}}` + c, `79: /aggregate/m/field: field "x" is not among the fieldIds of feed "f"; did you mean "t"?`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{"m":"avg"}` + c, `59: /aggregate/m: got "avg"; want an object such as {"op":"avg","field":"temperature"}`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{"mean":{"op":"avg","field":"t"}},"conditions":[{"jsonLogic":{">":[{"var":"$agg.men"},30]}}]`, `128: /conditions/0/jsonLogic/>/0/var: no aggregate is called "men"; did you mean "mean"?`},
		{`"window":{"type":"tumbling","size":"5m"},"aggregate":{"mean":{"op":"avg","field":"t"}},"conditions":[{"jsonLogic":{">":[{"var":"agg.mean"},30]}}]`, `128: /conditions/0/jsonLogic/>/0/var: field "agg.mean" is not among the fieldIds of feed "f"; want one of lat, lon, t, u`},
		{`"emit":"edge"` + c, `8: /emit: "emit" is of transformations; an alert tells of its changes, and again after repeatInterval`},
		{`"onChange":"t"` + c, `12: /onChange: got "t"; want an object such as {"fields":["temperature"]}`},
		{`"onChange":["t"]` + c, `12: /onChange: got an array; want an object such as {"fields":["temperature"]}`},
		{`"onChange":{}` + c, `12: /onChange: field "fields" is missing`},
		{`"onChange":{"fields":[]}` + c, `22: /onChange/fields: an empty list; want the fields whose change counts`},
		{`"onChange":{"fields":["x"]}` + c, `23: /onChange/fields/0: field "x" is not among the fieldIds of feed "f"; did you mean "t"?`},
		{`"onChange":{"fields":["t"],"deadband":-1}` + c, `39: /onChange/deadband: got -1; want a number from 0 to 1e+308`},
		{
			`"onChange":{"field":"t"}` + c,
			`12: /onChange: field "fields" is missing` + "\n" +
				`13: /onChange/field: unknown field "field"; did you mean "fields"?`,
		},
		{`"onChange":{"fields":["t"],"includeFirst":"no"}` + c, `43: /onChange/includeFirst: got "no"; want true or false`},
		{`"onMissing":"ignore"` + c, `13: /onMissing: got "ignore"; want one of error, evaluate, false, lastKnown, skip`},
		{`"onMissing":"lastknown"` + c, `13: /onMissing: got "lastknown"; did you mean "lastKnown"?`},
		{`"onMissing":false` + c, `13: /onMissing: got false; want it in quotes: "false"`},
		{`"onMissing":{}` + c, `13: /onMissing: field "mode" is missing`},
		{`"onMissing":{"mode":"skip","maxAge":"5m"}` + c, `37: /onMissing/maxAge: "maxAge" has a meaning in mode "lastKnown" only`},
		{`"onMissing":{"mode":"lastKnown","maxAge":5}` + c, `42: /onMissing/maxAge: got 5, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"schedule":"night"` + c, `12: /schedule: got "night"; want an object`},
		{`"schedule":{"timezone":"Europe/Pragu"}` + c, `24: /schedule/timezone: unknown time zone "Europe/Pragu"; did you mean "Europe/Prague"?`},
		{`"schedule":{"active":[{"from":"06:00","to":"06:00"}]}` + c, `23: /schedule/active/0: from and to are the same time; want them to differ, or leave out both for the whole day`},
		{`"schedule":{"active":[{"days":["mo"]}]}` + c, `32: /schedule/active/0/days/0: unknown day "mo"; did you mean "mon"?`},
		{`"schedule":{"active":[{"from":"6:00"}]}` + c, `31: /schedule/active/0/from: got "6:00"; want a time of day such as "06:00" or "22:30:15"`},
		{`"schedule":{"scope":"eval"}` + c, `21: /schedule/scope: got "eval"; want "notify" or "evaluate"`},
		{`"schedule":{"timezone":"CEST+1"}` + c, `24: /schedule/timezone: unknown time zone "CEST+1"; want an IANA name such as "Europe/Prague"`},
		{`"throttle":{"max":0,"per":"1h"}` + c, `19: /throttle/max: got 0; want a whole number from 1 to 10000`},
		{`"throttle":{"max":1}` + c, `12: /throttle: field "per" is missing`},
		{`"throttle":5` + c, `12: /throttle: got 5; want an object such as {"max":3,"per":"1h"}`},
		{`"throttle":{"max":1,"per":3600}` + c, `27: /throttle/per: got 3600, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"levels":{}` + c, `10: /levels: got an object; want an array`},
		{`"levels":[]` + c, `10: /levels: an empty list; want at least one level`},
		{`"levels":[{}]` + c, `11: /levels/0: field "severity" is missing`},
		{`"levels":["critical"]` + c, `11: /levels/0: got "critical"; want an object such as {"severity":"critical","after":"10m"}`},
		{`"levels":[{"severity":"urgent"}]` + c, `23: /levels/0/severity: unknown severity "urgent"; want one of critical, major, minor, warning, info`},
		{`"levels":[{"severity":"major"},{"severity":"high","after":"5m"}]` + c, `44: /levels/1/severity: severity "major" is there twice; want each level once`},
		{`"levels":[{"severity":"major","after":"5m"},{"severity":"critical","after":"1m"}]` + c, `45: /levels/1: critical comes after "1m", and the lower major after "5m"; want a later time for the higher severity`},
		{`"levels":[{"severity":"major","after":"5m"},{"severity":"critical"}]` + c, `45: /levels/1: critical comes at once, and the lower major after "5m"; want a later time for the higher severity`},
		{`"levels":[{"severity":"major"}]`, `10: /levels: no conditions, and no level has "jsonLogic"; want one of them`},
		{`"levels":[{"severity":"major","jsonLogic":{">":[{"var":"x"},3]}}]`, `56: /levels/0/jsonLogic/>/0/var: field "x" is not among the fieldIds of feed "f"; did you mean "t"?`},
		{`"levels":[{"severity":"major","clearCondition":{"jsonLogic":{">":[{"var":"t"},3]}}}]` + c, `48: /levels/0/clearCondition: a level without "jsonLogic" has nothing to clear; want "jsonLogic" in it, or the clearCondition beside the levels`},
		{`"levels":[{"severity":"major","jsonLogic":{">":[{"var":"t"},3]},"clearCondition":{}}]` + c, `82: /levels/0/clearCondition: field "jsonLogic" is missing`},
		{`"levels":[{"severity":"major","after":"5"}]` + c, `39: /levels/0/after: got "5": not a duration; want a duration such as "15m" or "PT15M"`},
		{`"levels":[{"severity":"major","jsonLogic":{">":[{"var":"t"},3]},"lowering":false}]`, `65: /levels/0/lowering: unknown field "lowering"; want one of after, clearCondition, jsonLogic, severity`},
		{`"lowering":false` + c, `12: /lowering: "lowering" without "levels": it says whether a level may be lowered`},
		{`"lowering":"no","levels":[{"severity":"major"}]` + c, `12: /lowering: got "no"; want true or false`},
		{`"inhibitedBy":"b"` + c, `15: /inhibitedBy: got "b"; want an array`},
		{`"inhibitedBy":["c"]` + c, `16: /inhibitedBy/0: no alert "c"; did you mean "a"?`},
		{`"inhibitedBy":["a"]` + c, `16: /inhibitedBy/0: an alert cannot inhibit itself`},
		{`"inhibitedBy":[]` + c, `15: /inhibitedBy: an empty list; want the alerts that inhibit this one`},
		{`"inhibitedBy":[1]` + c, `16: /inhibitedBy/0: got 1; want a text that is not empty`},
		{`"flapping":{"window":2}` + c, `22: /flapping/window: got 2; want a whole number from 3 to 64`},
		{`"flapping":{"low":0.5,"high":0.25}` + c, `12: /flapping: low is 0.5 and high is 0.25; want low below high`},
		{`"flapping":true` + c, `12: /flapping: got true; want an object such as {"window":21,"low":0.25,"high":0.5}`},
		{`"flapping":{"high":2}` + c, `20: /flapping/high: got 2; want a number from 0 to 1`},
		{`"flapping":{"low":25}` + c, `19: /flapping/low: got 25; want a number from 0 to 1`},
		{`"flapping":{"low":"a"}` + c, `19: /flapping/low: got "a"; want a number from 0 to 1`},
		{
			`"join":{}` + c,
			`8: /join: field "as" is missing` + "\n" +
				`8: /join: field "sourceId" is missing` + "\n" +
				`8: /join: field "sourceFeedId" is missing`,
		},
		{`"join":{"as":"x","sourceId":"1"}` + c, `8: /join: field "sourceFeedId" is missing`},
		{`"join":{"as":"x","sourceId":"3","sourceFeedId":"h"}` + c, `29: /join/sourceId: no source "3"; did you mean "1"?`},
		{`"join":{"as":"x","sourceId":"1","sourceFeedId":"k"}` + c, `48: /join/sourceFeedId: source "1" has no feed "k"; did you mean "f"?`},
		{`"join":{"as":"x.y","sourceId":"1","sourceFeedId":"g"}` + c, `14: /join/as: got "x.y"; want a name without a dot and without $`},
		{`"join":{"as":"x","sourceId":"1","sourceFeedId":"g","on":"property"}` + c, `57: /join/on: got "property"; want "twin" (another feed of the same twin) or {"property":KEY}`},
		{`"join":{"as":"x","sourceId":"1","sourceFeedId":"g","on":{}}` + c, `57: /join/on: field "property" is missing`},
		{`"join":{"as":"x","sourceId":"1","sourceFeedId":"g","tolerance":5}` + c, `64: /join/tolerance: got 5, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"join":[{"as":"x","sourceId":"1","sourceFeedId":"g"},{"as":"x","sourceId":"1","sourceFeedId":"g"}]` + c, `60: /join/1/as: "x" is there twice; want another name for one`},
		{
			`"groupBy":"site"` + c,
			`11: /groupBy: "groupBy" without "quorum" or "aggregate": want what is asked of its members` + "\n" +
				`11: /groupBy: got "site"; want an object`,
		},
		{`"groupBy":{"property":""},"quorum":{"count":2}` + c, `23: /groupBy/property: got ""; want a text that is not empty`},
		{`"groupBy":{"maxAge":5},"quorum":{"count":2}` + c, `21: /groupBy/maxAge: got 5, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"groupBy":{"location":{}},"quorum":{"count":2}` + c, `12: /groupBy/location: unknown field "location"; want one of maxAge, property`},
		{`"groupBy":{}` + c, `11: /groupBy: "groupBy" without "quorum" or "aggregate": want what is asked of its members`},
		{`"quorum":{"count":2}` + c, `10: /quorum: "quorum" without "groupBy": want whose members are counted`},
		{`"groupBy":{},"quorum":{}` + c, `23: /quorum: want either "count" or "ratio"`},
		{`"groupBy":{},"quorum":{"count":2,"ratio":0.5}` + c, `23: /quorum: want either "count" or "ratio"`},
		{`"groupBy":{},"quorum":{"count":0}` + c, `32: /quorum/count: got 0; want a whole number from 1 to 1000000`},
		{`"groupBy":{},"quorum":{"ratio":0}` + c, `32: /quorum/ratio: got 0; want a number above 0 and at most 1, such as 0.5 for half of them`},
		{`"groupBy":{},"quorum":{"ratio":1.5}` + c, `32: /quorum/ratio: got 1.5; want a number above 0 and at most 1, such as 0.5 for half of them`},
		{`"groupBy":{},"quorum":{"ratio":50}` + c, `32: /quorum/ratio: got 50; want a number above 0 and at most 1, such as 0.5 for half of them`},
		{`"groupBy":{},"quorum":3` + c, `23: /quorum: got 3; want an object`},
		{`"geofence":"zone"`, `12: /geofence: got "zone"; want an object such as {"circle":{"lat":50.08,"lon":14.42,"radiusKm":2}}`},
		{`"geofence":{}`, `12: /geofence: no area; want a polygon or a circle`},
		{`"geofence":{"polygon":[[50,14],[51,14]]}`, `23: /geofence/polygon: 2 different points; want at least 3`},
		{`"geofence":{"polygon":[[50,14],[51,14],[95,15]]}`, `41: /geofence/polygon/2/0: got 95; want a latitude from -90 to 90 (a point is [latitude, longitude] here)`},
		{`"geofence":{"polygon":[[50,14],[51,15],[50,15],[51,14]]}`, `23: /geofence/polygon: the ring crosses itself: the edge from [50, 14] to [51, 15] meets that from [50, 15] to [51, 14]; want a simple polygon`},
		{`"geofence":{"circle":{"lat":50,"lon":14}}`, `22: /geofence/circle: field "radiusKm" is missing`},
		{`"geofence":{"circle":{"lat":50,"lon":14,"radiusKm":0}}`, `52: /geofence/circle/radiusKm: got 0; want a radius in kilometres above 0 and up to 20015`},
		{`"geofence":{"circle":{"lat":50,"lon":14,"radiusKm":1},"polygon":[]}`, `12: /geofence: both a polygon and a circle; want one of them`},
		{
			`"geofence":{"circle":{"lat":50,"lon":14,"radius":1}}`,
			`22: /geofence/circle: field "radiusKm" is missing` + "\n" +
				`41: /geofence/circle/radius: unknown field "radius"; did you mean "radiusKm"?`,
		},
		{`"geofence":{"circle":{"lat":50,"lon":14,"radiusKm":1},"on":"entry"}`, `60: /geofence/on: got "entry"; want one of enter, exit, inside, outside`},
		{`"geofence":{"circle":{"lat":50,"lon":14,"radiusKm":1},"dwell":5}`, `63: /geofence/dwell: got 5, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"geofence":{"circle":{"lat":50,"lon":14,"radiusKm":1},"exitBuffer":-1}`, `68: /geofence/exitBuffer: got -1; want a number from 0 to 1000`},
		{`"geofence":{"circle":{"lat":50,"lon":14,"radiusKm":1},"lat":"latitude"}`, `61: /geofence/lat: field "latitude" is not among the fieldIds of feed "f"; want one of lat, lon, t, u`},
		{`"geofence":{"circle":{"lat":50,"lon":14,"radiusKm":1},"accuracy":"acc"}`, `66: /geofence/accuracy: field "acc" is not among the fieldIds of feed "f"; want one of lat, lon, t, u`},
		{`"geofence":{"circle":{"lat":50,"lon":14,"radiusKm":1},"emitInitial":1}`, `69: /geofence/emitInitial: got 1; want true or false`},
		{
			`"sequence":[]`,
			`12: /sequence: "sequence" without "within": want the time in which it has to happen, such as "10m"` + "\n" +
				`12: /sequence: an empty list; want the steps`,
		},
		{`"sequence":{},"within":"1m"`, `12: /sequence: got an object; want an array`},
		{`"sequence":[],"within":"1m"`, `12: /sequence: an empty list; want the steps`},
		{`"sequence":[{"jsonLogic":{">":[{"var":"t"},3]}}]`, `12: /sequence: "sequence" without "within": want the time in which it has to happen, such as "10m"`},
		{`"sequence":[{"id":"a"}],"within":"1m"`, `13: /sequence/0: field "jsonLogic" or "not" is missing`},
		{`"sequence":[{"not":{">":[{"var":"t"},3]}}],"within":"1m"`, `13: /sequence/0: a sequence cannot begin with "not"; want a step that happens`},
		{`"sequence":[{"jsonLogic":{">":[{"var":"t"},3]}},{"not":{">":[{"var":"t"},3]}}],"within":"1m"`, `49: /sequence/1: the last step is "not" without "for"; want how long it must not happen, such as "5m"`},
		{`"sequence":[{"jsonLogic":{">":[{"var":"t"},3]}},{"not":{">":[{"var":"t"},3]},"for":"5m"}],"within":"1m"`, `84: /sequence/1/for: longer than the whole sequence may take ("within"); want at most that`},
		{`"sequence":[{"jsonLogic":{">":[{"var":"t"},3]},"for":"1m"},{"jsonLogic":{">":[{"var":"t"},3]}}],"within":"1m"`, `54: /sequence/0/for: "for" has a meaning in the last step with "not" only`},
		{`"sequence":[{"id":"a","jsonLogic":{">":[{"var":"t"},3]}},{"id":"a","jsonLogic":{">":[{"var":"t"},3]}}],"within":"1m"`, `64: /sequence/1/id: step "a" is there twice; want each id once`},
		{`"sequence":[{"id":"a","jsonLogic":{">":[{"var":"t"},3]},"count":0},{"jsonLogic":{">":[{"var":"t"},3]}}],"within":"1m"`, `65: /sequence/0/count: got 0; want a whole number from 1 to 1000`},
		{`"sequence":[{"id":"a","jsonLogic":{">":[{"var":"t"},3]}},{"jsonLogic":{">":[{"var":"t"},{"var":"steps.b.t"}]}}],"within":"1m"`, `96: /sequence/1/jsonLogic/>/1/var: no step is called "b"; did you mean "2"?`},
		{`"sequence":[{"id":"a","jsonLogic":{">":[{"var":"t"},3]}},{"jsonLogic":{">":[{"var":"t"},{"var":"steps"}]}}],"within":"1m"`, `96: /sequence/1/jsonLogic/>/1/var: "steps" alone has no value; want the name of a step behind it, such as "steps.2"`},
		{`"sequence":[{"id":"a","jsonLogic":{">":[{"var":"t"},3]}},{"jsonLogic":{">":[{"var":"x"},3]}}],"within":"1m"`, `84: /sequence/1/jsonLogic/>/0/var: field "x" is not among the fieldIds of feed "f"; did you mean "t"?`},
		{
			`"sequence":[{"id":"a","jsonLogic":{">":[{"var":"t"},3]},"not":{">":[{"var":"t"},3]}},{"jsonLogic":{">":[{"var":"t"},3]}}],"within":"1m"`,
			`13: /sequence/0: both "jsonLogic" and "not"; want one of them` + "\n" +
				`13: /sequence/0: a sequence cannot begin with "not"; want a step that happens`,
		},
		{`"sequence":[{"id":"a","jsonLogic":{">":[{"var":"t"},3]}},{"not":{">":[{"var":"t"},3]},"count":2,"for":"30s"}],"within":"1m"`, `95: /sequence/1/count: a step with "not" has no count`},
		{`"sequence":[{"id":"a","jsonLogic":{">":[{"var":"t"},3]}},{"jsonLogic":{">":[{"var":"t"},{"var":"steps.a.x"}]}}],"within":"1m"`, `96: /sequence/1/jsonLogic/>/1/var: field "x" is not among the fieldIds of feed "f"; did you mean "t"?`},
		{`"within":"1m"` + c, `10: /within: "within" without "sequence": it is the time of a sequence`},
		{`"within":60,"sequence":[{"jsonLogic":{">":[{"var":"t"},3]}},{"jsonLogic":{">":[{"var":"t"},3]}}]`, `10: /within: got 60, a number without a unit; want a duration such as "15m" or "PT15M"`},
		{`"contiguity":"strict"` + c, `14: /contiguity: "contiguity" without "sequence": it is how the steps of a sequence follow each other`},
		{`"contiguity":"strick","within":"1m","sequence":[{"jsonLogic":{">":[{"var":"t"},3]}},{"jsonLogic":{">":[{"var":"t"},3]}}]`, `14: /contiguity: got "strick"; did you mean "strict"?`},
		{`"enrich":{}` + c, `10: /enrich: field "from" is missing`},
		{`"enrich":"model"` + c, `10: /enrich: got "model"; want an object such as {"from":"model","default":{"max":100}}`},
		{`"enrich":{"from":"modl"}` + c, `18: /enrich/from: got "modl"; did you mean "model"?`},
		{`"enrich":{"from":"table"}` + c, `18: /enrich/from: got "table"; want one of model, twin`},
		{`"enrich":{"from":"model","as":"$m"}` + c, `31: /enrich/as: got "$m"; want a name without a dot and without $`},
		{`"enrich":[{"from":"model"},{"from":"model"}]` + c, `28: /enrich/1: "model" is there twice; want another name for one`},
		{`"enrich":{"from":"model","default":{"max":null}}` + c, `43: /enrich/default/max: the default of "max" is null; want a number, a text, true or false`},
		{`"enrich":{"from":"model","default":{"max":[1]}}` + c, `43: /enrich/default/max: the default of "max" is an array; want a number, a text, true or false`},
		{`"enrich":{"from":"model","properties":["max"]}` + c, `39: /enrich/properties: got an array; want an object`},
		{`"enrich":{"from":"model","properties":{"max":1}}` + c, `46: /enrich/properties/max: got 1; want a string`},
		{
			`"enrich":{"from":"model","as":"t"}` + c,
			`31: /enrich/as: "t" is a field of feed "f"; want another name ("as")` + "\n" +
				`76: /conditions/0/jsonLogic/>/0/var: "t" is all properties; want one of them, such as "t.max"`,
		},
		{`"conditions":[{"jsonLogic":{">":[{"var":"t"},{"var":"model.max"}]}}]`, `53: /conditions/0/jsonLogic/>/1/var: field "model.max" is not among the fieldIds of feed "f"; want one of lat, lon, t, u`},
		{`"enrich":{"from":"model"},"conditions":[{"jsonLogic":{">":[{"var":"t"},{"var":"model"}]}}]`, `79: /conditions/0/jsonLogic/>/1/var: "model" is all properties; want one of them, such as "model.max"`},
		{`"latched":"yes"` + c, `11: /latched: got "yes"; want true or false`},
		{`"ackRequired":1` + c, `15: /ackRequired: got 1; want true or false`},
		{`"conditions":[]`, `14: /conditions: an empty list; want at least one condition`},
		{`"for":"5m"`, `x:1:132: /rules/0/alert: field "conditions" is missing`},
		{
			`"clearCondition":{"jsonLogic":{"<":[{"var":"t"},3]}}`,
			`x:1:132: /rules/0/alert: field "conditions" is missing` + "\n" +
				`18: /clearCondition: "clearCondition" without "conditions", "levels", "unchanged", "geofence" or "sequence": there is nothing to clear`,
		},
		{
			`"repeat":{"count":2}`,
			`x:1:132: /rules/0/alert: field "conditions" is missing` + "\n" +
				`10: /repeat: "repeat" without "conditions": want the condition that is counted`,
		},
		{`"sequence":[{"jsonLogic":{">":[{"var":"t"},3]}}],"within":"1m","for":"1m"`, `70: /for: "for" beside "sequence": a sequence happens at one sample, which is over with the next`},
		{`"sequence":[{"id":"a","jsonLogic":{">":[{"var":"t"},{"var":"steps.b.t"}]}},{"id":"b","jsonLogic":{">":[{"var":"t"},3]}}],"within":"1m"`, `60: /sequence/0/jsonLogic/>/1/var: step "b" is not before this one`},
		{
			`"onMissing":"lastKnown","for":5,"clearFor":0,"levels":[{"severity":"x"}]` + c,
			`31: /for: got 5, a number without a unit; want a duration such as "15m" or "PT15M"` + "\n" +
				`44: /clearFor: got 0, a number without a unit; want a duration such as "15m" or "PT15M"` + "\n" +
				`68: /levels/0/severity: unknown severity "x"; want one of critical, major, minor, warning, info`,
		},
		{`"rate":{"field":"t","as":"a.b"}` + c, `26: /rate/as: got "a.b"; want a name without a dot`},
		{
			`"enrich":{"from":"twin","as":"t"}` + c,
			`30: /enrich/as: "t" is a field of feed "f"; want another name ("as")` + "\n" +
				`75: /conditions/0/jsonLogic/>/0/var: "t" is all properties; want one of them, such as "t.max"`,
		},
	} {
		t.Run(tt.in, func(t *testing.T) { assert.Equal(t, tt.want, wrongOf(t, ofRule(tt.in))) })
	}
}

func TestFieldsThatContradict(t *testing.T) {
	const step = `{"jsonLogic":{">":[{"var":"t"},3]}}`
	written := map[string]string{
		"absent": `{"for":"5m"}`, "allowedLateness": `"5s"`, "clearCondition": step, "clearFor": `"5m"`, "conditions": `[` + step + `]`,
		"enrich": `{"from":"model"}`, "flapping": `{}`, "for": `"5m"`, "geofence": `{"circle":{"lat":50,"lon":14,"radiusKm":1}}`, "groupBy": `{}`,
		"join": `{"as":"x","sourceId":"1","sourceFeedId":"g"}`, "keepFiringFor": `"5m"`, "onChange": `{"fields":["t"]}`, "onMissing": `"skip"`,
		"rate": `{"field":"t"}`, "repeat": `{"count":3}`, "sequence": `[` + step + `]`, "unchanged": `{"field":"t","for":"5m"}`,
		"window": `{"type":"tumbling","size":"5m"}`,
	}
	for _, tt := range []struct{ a, b, why string }{
		{"absent", "for", `the time of an absence is in absent.for`},
		{"absent", "clearCondition", `an absence ends with the first sample`},
		{"absent", "clearFor", `an absence ends with the first sample`},
		{"absent", "keepFiringFor", `an absence ends with the first sample`},
		{"absent", "repeat", `an absence has no samples to count`},
		{"absent", "unchanged", `a twin that is silent says nothing that could stay the same; want two rules`},
		{"absent", "window", `want two rules`},
		{"absent", "rate", `want two rules`},
		{"absent", "geofence", `want two rules`},
		{"absent", "sequence", `want two rules`},
		{"absent", "onChange", `an absence asks whether samples come, not what they say`},
		{"absent", "onMissing", `an absence asks whether samples come, not what they say`},
		{"absent", "join", `an absence asks whether samples come, not what they say`},
		{"absent", "groupBy", `want two rules`},
		{"absent", "flapping", `use startupGrace or a longer absent.for`},
		{"sequence", "conditions", `the steps are the conditions`},
		{"sequence", "for", `a sequence happens at one sample, which is over with the next`},
		{"sequence", "repeat", `a step has its own "count"`},
		{"sequence", "unchanged", `want two rules`},
		{"sequence", "geofence", `want two rules`},
		{"sequence", "window", `want two rules`},
		{"sequence", "onMissing", `what is not known fills no step`},
		{"sequence", "allowedLateness", `a sequence goes by the order of the samples`},
		{"window", "repeat", `a window counts: want an aggregate with op "count"`},
		{"window", "unchanged", `want an aggregate with op "range"`},
		{"window", "geofence", `want two rules`},
		{"window", "onChange", `want emit onChange, or two rules`},
		{"groupBy", "window", `a group judges the newest sample of each of its members`},
		{"groupBy", "rate", `want two rules`},
		{"groupBy", "repeat", `want two rules`},
		{"groupBy", "unchanged", `want two rules`},
		{"groupBy", "geofence", `want two rules`},
		{"groupBy", "sequence", `want two rules`},
		{"groupBy", "join", `want two rules`},
		{"groupBy", "enrich", `want two rules`},
		{"groupBy", "onChange", `want two rules`},
	} {
		t.Run(tt.a+" and "+tt.b, func(t *testing.T) {
			first := fmt.Sprintf(`"%s":%s,`, tt.a, written[tt.a])
			lines := strings.Split(wrongOf(t, ofRule(fmt.Sprintf(`%s"%s":%s`, first, tt.b, written[tt.b]))), "\n")
			assert.Contains(t, lines, fmt.Sprintf(`%d: /%s: "%s" beside "%s": %s`, len(first)+len(tt.b)+4, tt.b, tt.b, tt.a, tt.why))
		})
	}
}

func TestFieldsOfAlertsInATransformation(t *testing.T) {
	for name, value := range map[string]string{
		"absent": `{"for":"5m"}`, "levels": `[{"severity":"critical"}]`, "lowering": `false`, "inhibitedBy": `["b"]`, "flapping": `{}`,
		"repeatInterval": `"1h"`, "latched": `true`, "ackRequired": `true`,
	} {
		doc := strings.Replace(ofRule(fmt.Sprintf(`"%s":%s`, name, value)), `"alert":{"id":"a","severity":"major",`, `"transformation":{"id":"a","outputFeedId":"o","outputFieldId":"v","outputTrueValue":1,`, 1)
		want := fmt.Sprintf(`%d: /rules/0/transformation/%s: "%s" is of alerts; a transformation has none`, len(name)+4, name, name)
		assert.Contains(t, strings.Split(wrongOf(t, doc), "\n"), want)
	}
}

func TestAlertsThatInhibitEachOther(t *testing.T) {
	three := func(a, b, c string) string {
		alert := func(id, by string) string {
			return `
{"alert":{"id":"` + id + `","severity":"major","sourceId":"1","sourceFeedId":"f","conditions":[{"jsonLogic":{">":[{"var":"t"},30]}}],"inhibitedBy":["` + by + `"]}}`
		}
		return `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[` + alert("a", a) + "," + alert("b", b) + "," + alert("c", c) + `]}`
	}
	_, err := rules.Load("x", []byte(three("b", "c", "a")))
	assert.EqualError(t, err, `x:2:139: /rules/0/alert/inhibitedBy: alerts inhibit each other in a circle; want one that comes first
x:3:139: /rules/1/alert/inhibitedBy: alerts inhibit each other in a circle; want one that comes first
x:4:139: /rules/2/alert/inhibitedBy: alerts inhibit each other in a circle; want one that comes first`)
	_, err = rules.Load("x", []byte(three("b", "c", "b")))
	assert.EqualError(t, err, `x:3:139: /rules/1/alert/inhibitedBy: alerts inhibit each other in a circle; want one that comes first
x:4:139: /rules/2/alert/inhibitedBy: alerts inhibit each other in a circle; want one that comes first`, "a is not in the circle")
}

func TestStatefulWarnings(t *testing.T) {
	p, err := rules.Load("x", []byte(ofRule(`"window":{"type":"hopping","size":"5m","slide":"10m"},"aggregate":{"mean":{"op":"avg","field":"t"}},"conditions":[{"jsonLogic":{">":[{"var":"$agg.mean"},30]}}]`)))
	require.NoError(t, err)
	require.Len(t, p.Warnings(), 1)
	assert.EqualError(t, p.Warnings()[0], `x:2:48: /rules/0/alert/window/slide: the slide is longer than the size: samples between two windows count in none`)
}
