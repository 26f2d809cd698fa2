package benchmarks

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
	"tocsin.internal/rules/envelope"
)

const (
	// statusOf is an interaction that gives each sample of a feed a status.
	statusOf = `{"id":"overheating","sources":[{"id":"1","feeds":[{"id":"currentTemp","fieldIds":%s}],"modelDid":"` + modelID + `"}],` +
		`"rules":[{"transformation":{"conditions":[{"fieldsIncludedInOutput":["temperature"],"jsonLogic":%s}],` +
		`"outputFeedId":"temperature_status","outputFieldId":"status","outputTrueValue":"extreme","outputFalseValue":"normal",` +
		`"sourceFeedId":"currentTemp","sourceId":"1"}}]}`

	// feedMessage carries a sample to those who follow the feed.
	feedMessage = `{"interest":{"followedFeed":{"feed":{"id":"currentTemp","twinId":"did:iotics:iotHHtQGpMHSvzCBLpPvLYxBcv1bRz4hQ2h5"}},` +
		`"followerTwinId":{"id":"did:iotics:iotJBkTwqBcmCGHLAM3YZ5BmXjV4GmWkFbg8"}},` +
		`"feedData":{"data":"%s","mime":"application/json","occurredAt":"%s"}}`
)

// BenchmarkBytesToBytes makes of the bytes of a sample those of an output, as
// {"status":"extreme","temperature":31.2}: raw, the object alone, in and out;
// enveloped, the messages that carry it in base64.
func BenchmarkBytesToBytes(b *testing.B) {
	for _, c := range []struct {
		sample  string
		q       statusQuestion
		samples []sample
	}{
		{"20B", statusQuestion{overheats, `["temperature"]`}, hotSamples(b)},
		{"190B", statusQuestion{fiveComparisons, `["temperature","humidity","status","motor.rpm","zone"]`}, machineSamples(b, alone())},
	} {
		raw, enveloped := exchanges(b, c.q.question, c.samples)
		for _, w := range outputWays {
			b.Run(w.name+"/sample="+c.sample+"/raw", func(b *testing.B) { transform(b, w.raw(b, c.q), raw) })
			b.Run(w.name+"/sample="+c.sample+"/enveloped", func(b *testing.B) { transform(b, w.enveloped(b, c.q), enveloped) })
		}
	}
}

// statusQuestion is a question and the fields that a feed needs for it.
type statusQuestion struct {
	question
	fields string
}

// outputWays are the engine's, and what a program does that has only a library:
// decode, ask, encode.
var outputWays = []struct {
	name           string
	raw, enveloped func(*testing.B, statusQuestion) transformer
}{
	{"tocsin", programRaw, programEnveloped},
	{"jsonlogic", plainRaw(jsonlogicCondition), plainEnveloped(jsonlogicCondition)},
	{"expr", plainRaw(exprCondition), plainEnveloped(exprCondition)},
	{"cel", plainRaw(celCondition), plainEnveloped(celCondition)},
}

// transformer makes of what comes in what goes out, which is good until the next
// call.
type transformer func(in []byte) (out []byte)

// exchange is what comes in and what is to go out, as JSON with the data in
// clear.
type exchange struct {
	in   []byte
	want string
}

func exchanges(b *testing.B, q question, samples []sample) (raw, enveloped []exchange) {
	holds := decisions(b, q, samples)
	for i, s := range samples {
		status := map[bool]string{true: "extreme", false: "normal"}[holds[i]]
		want := fmt.Sprintf(`{"status":%q,"temperature":%v}`, status, s.values["temperature"])
		raw = append(raw, exchange{s.text, want})
		at := noon.Add(time.Duration(i) * 1100 * time.Millisecond).Format(time.RFC3339Nano)
		in := fmt.Appendf(nil, feedMessage, base64.StdEncoding.EncodeToString(s.text), at)
		enveloped = append(enveloped, exchange{in, fmt.Sprintf(`{"data":%s,"mime":"application/json","occurredAt":%q}`, want, at)})
	}
	return raw, enveloped
}

// transform measures a transformer after a check of what it makes.
func transform(b *testing.B, f transformer, all []exchange) {
	for _, x := range all {
		require.JSONEq(b, x.want, revealed(b, f(x.in)))
	}
	defer measured(b)()
	for i := 0; b.Loop(); i++ {
		f(all[i%ringSize].in)
	}
}

// revealed is an output with its data, if it is in an envelope, in clear.
func revealed(b *testing.B, out []byte) string {
	var envelope struct {
		Sample *carried `json:"sample"`
	}
	require.NoError(b, json.Unmarshal(out, &envelope))
	if envelope.Sample == nil {
		return string(out)
	}
	s := envelope.Sample
	return fmt.Sprintf(`{"data":%s,"mime":%q,"occurredAt":%q}`, s.Data, s.Mime, s.OccurredAt)
}

// carried is data in a message. encoding/json has bytes in base64.
type carried struct {
	Data       []byte `json:"data"`
	Mime       string `json:"mime"`
	OccurredAt string `json:"occurredAt"`
}

// plainRaw decodes a sample, asks a library and encodes the output.
func plainRaw(r read) func(*testing.B, statusQuestion) transformer {
	return func(b *testing.B, q statusQuestion) transformer {
		holds := r(b, q.question)
		return func(in []byte) []byte {
			var values map[string]any
			if err := json.Unmarshal(in, &values); err != nil {
				b.Fatal(err)
			}
			status := "normal"
			if holds(values) {
				status = "extreme"
			}
			return encode(b, map[string]any{"status": status, "temperature": values["temperature"]})
		}
	}
}

// plainEnveloped does the same with what is in an envelope.
func plainEnveloped(r read) func(*testing.B, statusQuestion) transformer {
	return func(b *testing.B, q statusQuestion) transformer {
		output := plainRaw(r)(b, q)
		return func(in []byte) []byte {
			var message struct {
				FeedData carried `json:"feedData"`
			}
			if err := json.Unmarshal(in, &message); err != nil {
				b.Fatal(err)
			}
			data := &message.FeedData
			return encode(b, map[string]carried{"sample": {output(data.Data), data.Mime, data.OccurredAt}})
		}
	}
}

func encode(b *testing.B, v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// programRaw is a program that makes an output of each sample.
func programRaw(b *testing.B, q statusQuestion) transformer {
	eval := programEval(b, q)
	at := noon
	return func(in []byte) []byte {
		at = at.Add(time.Millisecond) // what is not newer is late
		return eval(at, in).Data
	}
}

func programEval(b *testing.B, q statusQuestion) func(at time.Time, data []byte) *rules.Outcome {
	p := load(b, fmt.Sprintf(statusOf, q.fields, q.logic))
	st := p.NewState(1, nil)
	var s rules.Sample
	var out []rules.Outcome
	return func(at time.Time, data []byte) *rules.Outcome {
		s = rules.Sample{Twin: "machine_17", Feed: "currentTemp", At: at, Data: data}
		if out = p.Eval(&s, st, out[:0]); len(out) != 1 {
			b.Fatalf("%d outcomes", len(out))
		}
		return &out[0]
	}
}

// programEnveloped opens the envelope before, and puts the output into one.
func programEnveloped(b *testing.B, q statusQuestion) transformer {
	eval, reader := programEval(b, q), envelope.NewReader()
	var out []byte
	return func(in []byte) []byte {
		e, err := reader.Open(in)
		if err != nil {
			b.Fatal(err)
		}
		o := eval(e.At, e.Data)
		out = envelope.AppendShare(out[:0], o.Data, o.At)
		return out
	}
}
