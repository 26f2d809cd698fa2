//go:build unix

package chaos

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// world is what is judged: twins, the rules about them, and their samples in the
// order in which they are published.
type world struct {
	rules   string
	twins   string // upsert bodies
	rooms   int
	samples []sample
}

// sample is a line of a recording.
type sample struct {
	twin, feed string
	at         time.Time
	data       string
}

func (s *sample) line() string {
	if s.at.IsZero() {
		return fmt.Sprintf(`{"twin":%q,"feed":%q,"data":%s}`, s.twin, s.feed, s.data)
	}
	return fmt.Sprintf(`{"twin":%q,"feed":%q,"occurredAt":%q,"data":%s}`, s.twin, s.feed, s.at.Format(time.RFC3339Nano), s.data)
}

// singleRules look at one twin at a time: they remember nothing, that an alert
// fires, how long something lasts, what came before.
const singleRules = `{"id":"machines","sources":[{"id":"m","feeds":[{"id":"state"}],"modelDid":"did:machine"}],"rules":[
{"transformation":{"sourceId":"m","sourceFeedId":"state","conditions":[{"jsonLogic":{">":[{"var":"temperature"},34]},"fieldsIncludedInOutput":["temperature","n"]}],
 "outputFeedId":"verdict","outputFieldId":"status","outputTrueValue":"hot","outputFalseValue":"normal"}},
{"alert":{"id":"hot","severity":"critical","sourceId":"m","sourceFeedId":"state","summary":"{{twin}} is at {{temperature}}","conditions":[{"jsonLogic":{">":[{"var":"temperature"},36]}}]}},
{"alert":{"id":"stays-hot","severity":"major","sourceId":"m","sourceFeedId":"state","for":"40s","conditions":[{"jsonLogic":{">":[{"var":"temperature"},32]}}],"clearCondition":{"jsonLogic":{"<":[{"var":"temperature"},29]}}}},
{"alert":{"id":"hot-on-average","severity":"minor","sourceId":"m","sourceFeedId":"state","window":{"type":"tumbling","size":"2m"},"aggregate":{"mean":{"op":"avg","field":"temperature"},"n":{"op":"count"}},"conditions":[{"jsonLogic":{">":[{"var":"$agg.mean"},33]}}]}},
{"alert":{"id":"shaken","severity":"warning","sourceId":"m","sourceFeedId":"state","window":{"type":"sliding","size":"3m","minSamples":3},"aggregate":{"spread":{"op":"range","field":"vibration"}},"conditions":[{"jsonLogic":{">":[{"var":"$agg.spread"},6]}}]}},
{"alert":{"id":"rises","severity":"warning","sourceId":"m","sourceFeedId":"state","rate":{"field":"temperature","as":"rise","per":"1m"},"conditions":[{"jsonLogic":{">":[{"var":"$rate.rise"},20]}}]}},
{"alert":{"id":"often","severity":"info","sourceId":"m","sourceFeedId":"state","repeat":{"count":3},"conditions":[{"jsonLogic":{">":[{"var":"vibration"},5]}}]}},
{"alert":{"id":"silent","severity":"major","sourceId":"m","sourceFeedId":"state","absent":{"for":"90s"}}}]}`

// promptRules wait for seconds, by the clock on the wall.
const promptRules = `{"id":"prompt","sources":[{"id":"m","feeds":[{"id":"state"}],"modelDid":"did:machine"}],"rules":[
{"alert":{"id":"hot","severity":"critical","sourceId":"m","sourceFeedId":"state","conditions":[{"jsonLogic":{">":[{"var":"temperature"},36]}}]}},
{"alert":{"id":"stays-hot","severity":"major","sourceId":"m","sourceFeedId":"state","for":"1500ms","conditions":[{"jsonLogic":{">":[{"var":"temperature"},32]}}],"clearCondition":{"jsonLogic":{"<":[{"var":"temperature"},29]}}}},
{"alert":{"id":"stays-cold","severity":"minor","sourceId":"m","sourceFeedId":"state","conditions":[{"jsonLogic":{"<":[{"var":"temperature"},26]}}],"keepFiringFor":"2s"}},
{"alert":{"id":"hot-on-average","severity":"minor","sourceId":"m","sourceFeedId":"state","window":{"type":"tumbling","size":"2s"},"aggregate":{"mean":{"op":"avg","field":"temperature"},"n":{"op":"count"}},"conditions":[{"jsonLogic":{">":[{"var":"$agg.mean"},33]}}]}},
{"alert":{"id":"silent","severity":"major","sourceId":"m","sourceFeedId":"state","absent":{"for":"3s"}}}]}`

// manyRules look at several twins: a machine and its room, the machines of a room.
const manyRules = `{"id":"rooms","sources":[{"id":"m","feeds":[{"id":"state"}],"modelDid":"did:machine"},{"id":"r","feeds":[{"id":"air"}],"modelDid":"did:room"}],"rules":[
{"transformation":{"sourceId":"m","sourceFeedId":"state","conditions":[{"jsonLogic":{">":[{"var":"temperature"},34]},"fieldsIncludedInOutput":["temperature","n"]}],
 "outputFeedId":"verdict","outputFieldId":"status","outputTrueValue":"hot","outputFalseValue":"normal"}},
{"alert":{"id":"over-air","severity":"major","sourceId":"m","sourceFeedId":"state","join":{"as":"air","sourceId":"r","sourceFeedId":"air","on":{"property":"https://example.com/plant#room"},"tolerance":"5m"},
 "conditions":[{"jsonLogic":{">":[{"-":[{"var":"temperature"},{"var":"air.temperature"}]},14]}}]}},
{"alert":{"id":"room-hot","severity":"critical","sourceId":"m","sourceFeedId":"state","groupBy":{"property":"https://example.com/plant#room","maxAge":"4m"},"quorum":{"ratio":0.4},
 "conditions":[{"jsonLogic":{">":[{"var":"temperature"},32]}}]}},
{"alert":{"id":"room-mean","severity":"minor","sourceId":"m","sourceFeedId":"state","groupBy":{"property":"https://example.com/plant#room"},"aggregate":{"mean":{"op":"avg","field":"temperature"}},
 "conditions":[{"jsonLogic":{">":[{"var":"$agg.mean"},31]}}],"for":"20s"}}]}`

// plainRules give one output a sample.
const plainRules = `{"id":"plain","sources":[{"id":"m","feeds":[{"id":"state"}],"modelDid":"did:machine"}],"rules":[
{"transformation":{"sourceId":"m","sourceFeedId":"state","conditions":[{"jsonLogic":{">":[{"var":"temperature"},34]},"fieldsIncludedInOutput":["temperature","sent"]}],
 "outputFeedId":"verdict","outputFieldId":"status","outputTrueValue":"hot","outputFalseValue":"normal"}}]}`

// begin lies in the past of whoever runs the proofs: a device's clock may not
// be far ahead.
var begin = time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)

// newWorld makes samples: of machines in no order, a machine's newest on average
// half a minute after the one before; some late, some twice at one time, some
// that lack a field. At the end each twin shares once more, at one time, so that
// whatever waits has fallen due for each.
func newWorld(random *rand.Rand, rules string, machines, count int) *world {
	w := &world{rules: rules, rooms: max(machines/25, 1)}
	w.describe(machines)
	step := 30 * time.Second / time.Duration(machines)
	temperatures := make([]float64, machines)
	for i := range temperatures {
		temperatures[i] = 25 + 10*random.Float64()
	}
	at := begin
	for n := range count {
		at = at.Add(step)
		if random.IntN(40) == 0 {
			w.samples = append(w.samples, w.air(random, random.IntN(w.rooms), at))
			continue
		}
		m := random.IntN(machines)
		temperatures[m] += 4*random.NormFloat64() + (30-temperatures[m])/6
		w.samples = append(w.samples, sample{machine(m), "state", shaken(random, at, step), w.state(random, temperatures[m], n)})
	}
	at = at.Add(5 * time.Minute)
	for m := range machines {
		w.samples = append(w.samples, sample{machine(m), "state", at, w.state(random, temperatures[m], count+m)})
	}
	return w
}

// shaken is a time as a device may have it: most often the right one.
func shaken(random *rand.Rand, at time.Time, step time.Duration) time.Time {
	switch random.IntN(50) {
	case 0:
		return at.Add(-time.Duration(random.IntN(120)) * time.Second)
	case 1:
		return at.Truncate(time.Minute)
	}
	return at.Add(time.Duration(random.Int64N(int64(step))))
}

// state has the number n, which no other sample has.
func (w *world) state(random *rand.Rand, temperature float64, n int) string {
	vibration := 4 + 1.5*random.NormFloat64()
	switch random.IntN(100) {
	case 0:
		return fmt.Sprintf(`{"n":%d,"vibration":%.2f}`, n, vibration)
	case 1:
		return fmt.Sprintf(`{"n":%d,"temperature":null,"vibration":%.2f}`, n, vibration)
	}
	return fmt.Sprintf(`{"n":%d,"temperature":%.1f,"vibration":%.2f}`, n, temperature, vibration)
}

func (w *world) air(random *rand.Rand, room int, at time.Time) sample {
	return sample{fmt.Sprint("room_", room), "air", at, fmt.Sprintf(`{"n":%d,"temperature":%.1f}`, len(w.samples), 18+6*random.Float64())}
}

// happensNow takes the times from the samples: they count when they are stored.
func (w *world) happensNow() {
	for i := range w.samples {
		w.samples[i].at = time.Time{}
	}
}

// lines are the samples as a recording has them.
func (w *world) lines() (all []string) {
	for i := range w.samples {
		all = append(all, w.samples[i].line())
	}
	return all
}

func machine(i int) string { return fmt.Sprint("machine_", i) }

// describe writes down the machines and their rooms.
func (w *world) describe(machines int) {
	var all []string
	for m := range machines {
		all = append(all, describe(machine(m), "did:machine", "state", m%w.rooms))
	}
	for r := range w.rooms {
		all = append(all, describe(fmt.Sprint("room_", r), "did:room", "air", r))
	}
	w.twins = "[" + strings.Join(all, ",\n") + "]"
}

// describe is the upsert body of a twin.
func describe(id, model, feed string, room int) string {
	return fmt.Sprintf(`{"twinId":%q,"feeds":[{"id":%q}],"properties":[{"key":"https://data.iotics.com/app#model","uriValue":{"value":%q}},{"key":"https://example.com/plant#room","stringLiteralValue":{"value":"hall_%d"}}]}`,
		id, feed, model, room)
}

// packets are the samples as they are published: most one by one through the
// door, some many in a message.
func (w *world) packets(random *rand.Rand, partitions int) (out []packet) {
	for i := 0; i < len(w.samples); {
		if random.IntN(200) == 0 {
			end := min(i+1+random.IntN(200), len(w.samples))
			for p, lines := range batches(w.samples[i:end], partitions) {
				if len(lines) > 0 {
					out = append(out, packet{id: fmt.Sprint("packet-", len(out)), subject: fmt.Sprintf("feed.%d._batch", p), data: lines})
				}
			}
			i = end
			continue
		}
		out = append(out, w.samples[i].packet(len(out)))
		i++
	}
	return out
}

// single are the samples one by one.
func (w *world) single() (out []packet) {
	for i := range w.samples {
		out = append(out, w.samples[i].packet(i))
	}
	return out
}

func (s *sample) packet(i int) packet {
	p := packet{id: fmt.Sprint("packet-", i), subject: "in." + s.twin + "." + s.feed, data: []byte(s.data)}
	if !s.at.IsZero() {
		p.header = nats.Header{"Tocsin-Time": {s.at.Format(time.RFC3339Nano)}}
	}
	return p
}

// batches are the lines of samples by partition.
func batches(samples []sample, partitions int) [][]byte {
	lines := make([]bytes.Buffer, partitions)
	for i := range samples {
		p := partition(samples[i].twin, partitions)
		fmt.Fprintln(&lines[p], samples[i].line())
	}
	out := make([][]byte, partitions)
	for p := range lines {
		out[p] = lines[p].Bytes()
	}
	return out
}

// partition is where a twin is judged.
func partition(twin string, partitions int) int {
	h := fnv.New32a()
	h.Write([]byte(twin))
	return int(h.Sum32() % uint32(partitions))
}
