package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/alerts"
	"tocsin.internal/bus"
	"tocsin.internal/rules"
)

func TestHistogram(t *testing.T) {
	var h histogram
	h.Bounds = []float64{1, 2, 5}
	assert.Equal(t, Histogram{Bounds: h.Bounds, Counts: []uint64{0, 0, 0, 0}}, h.read(), "nothing observed")
	for v, times := range map[float64]uint64{0.5: 1, 1: 2, 1.5: 4, 5: 8, 6: 16} {
		h.observe(v, times)
	}
	got := h.read()
	assert.Equal(t, []uint64{3, 4, 8, 16}, got.Counts, "a bound is of its bucket")
	assert.InDelta(t, 0.5+2+6+40+96, got.Sum, 1e-9)
	both := got.with(got)
	assert.Equal(t, []uint64{6, 8, 16, 32}, both.Counts)
	assert.Equal(t, []uint64{3, 4, 8, 16}, h.read().Counts, "what was read is a copy")
	assert.Equal(t, got, Histogram{}.with(got))
}

func TestCountsTellOfWhatIsAtZero(t *testing.T) {
	var c counts[string]
	assert.Equal(t, map[string]uint64{"a": 0}, c.read("a"))
	c.add("a", 2)
	c.add("b", 1)
	c.add("a", 3)
	assert.Equal(t, map[string]uint64{"a": 5, "b": 1, "c": 0}, c.read("a", "c"))
}

func TestShare(t *testing.T) {
	for _, whole := range []uint64{0, 1, 15, 16, 17, 12345} {
		sum, least, most := uint64(0), ^uint64(0), uint64(0)
		for i := range 16 {
			part := share(whole, i, 16)
			sum, least, most = sum+part, min(least, part), max(most, part)
		}
		assert.Equal(t, whole, sum)
		assert.LessOrEqual(t, most-least, uint64(1))
	}
}

// The reasons of dead letters are texts with names in them; in metrics they are
// one of few.
func TestLetterReasons(t *testing.T) {
	e := &Engine{config: Config{MaxSampleBytes: 10}}
	p := newPartition(newCompiler(), 20)
	described := twinOf(t, "a", "did:machine", "")
	p.put(&described, event{}, nil)
	judged := func(twin, feed, data string) string {
		_, err := p.judge(&rules.Sample{Twin: twin, Feed: feed, Data: []byte(data)}, nil)
		require.Error(t, err)
		return dataReason(err)
	}
	for want, text := range map[string]string{
		"unknown_twin":        judged("b", "temp", `{}`),
		"unknown_feed":        judged("a", "b", `{}`),
		"too_large":           judged("a", "temp", `{"t":"0123456789abcdef"}`),
		"not_json":            judged("a", "temp", `hot`),
		"not_an_object":       judged("a", "temp", `[]`),
		"number_out_of_range": judged("a", "temp", `{"t":1e999}`),
		"loop":                reasonLoop,
		"in_the_future":       skewed(midday.Add(time.Hour), midday, time.Minute).Error(),
		"too_deep":            (&rules.DataError{Reason: rules.TooDeep}).Error(),
		"repeated_names":      (&rules.DataError{Reason: rules.RepeatedNames}).Error(),
		"bad_name":            e.refusal(&rules.Sample{Twin: strings.Repeat("x", 300), Feed: "f"}),
		"other_partition":     reasonOtherPartition,
		letterUnreadable:      `line 3:1:1: /data: got null; want an object`,
	} {
		assert.Equal(t, want, letterReason(text), text)
	}
	assert.Equal(t, "bad_name", letterReason(e.refusal(&rules.Sample{})))
	assert.Equal(t, "too_large", letterReason(e.refusal(&rules.Sample{Twin: "a", Feed: "f", Data: make([]byte, 11)})))
	known := map[string]bool{}
	for _, l := range knownLetters() {
		known[l.Reason] = true
	}
	require.NoError(t, quick.Check(func(text string) bool { return known[letterReason(text)] }, nil))
}

// The totals of rules outlive edits of their interaction and partitions that go.
func TestTotalsOutliveEditsAndPartitions(t *testing.T) {
	p := newPool(2)
	for i := range 6 {
		p.put(t, twinOf(t, fmt.Sprint("m", i), "did:machine", ""))
	}
	share := func(seconds int) {
		for i := range 6 {
			p.sample(t, seconds, fmt.Sprint("m", i), "temp", `{"t":40}`)
		}
	}
	interaction := func(id, threshold, more string) string {
		return `{"id":"` + id + `","sources":[{"id":"1","modelDid":"did:machine","feeds":[{"id":"temp"}]}],"rules":[
{"alert":{"id":"hot","severity":"major","sourceId":"1","sourceFeedId":"temp","conditions":[{"jsonLogic":{">":[{"var":"t"},` + threshold + `]}}]}}` + more + `]}`
	}
	var total tally
	p.rules(t, interaction("i", "30", ""))
	share(1)
	total.collect(p.parts)
	share(2)
	before := total.read()
	p.rules(t, interaction("i", "50", `,{"alert":{"id":"cold","severity":"minor","sourceId":"1","sourceFeedId":"temp","conditions":[{"jsonLogic":{"<":[{"var":"t"},0]}}]}}`))
	share(3)
	share(3)
	total.collect(p.parts)
	assert.Equal(t, rules.Funnel{Received: 6, Matched: 6, True: 6, Raised: 6}, before["i"].Rules[0])
	got := total.read()["i"]
	assert.Equal(t, []string{"hot", "cold"}, got.Names)
	assert.NotEqual(t, before["i"].Revision, got.Revision)
	hot := got.Rules[0]
	assert.Equal(t, uint64(12), hot.True, "those before the edit included")
	assert.Equal(t, uint64(6), hot.Late)
	assert.Equal(t, uint64(6), got.Late, "each late sample once, for two rules")
	assert.Equal(t, uint64(12), got.Rules[1].Received)

	total.collect(p.parts[:1])
	assert.Equal(t, 6, got.Twins)
	got.Twins = 3
	assert.Equal(t, got, total.read()["i"], "no count falls when a partition goes")

	p.apply(t, 0, control{Op: opInteractionDelete, ID: "i"})
	p.rules(t, interaction("other", "30", ""))
	total.collect(p.parts[:1])
	read := total.read()
	assert.Len(t, read, 1, "what runs nowhere is forgotten")
	assert.Equal(t, RulesOK, read["other"].State)
	assert.Len(t, total.places, 1)
	assert.Len(t, total.rules, 1)
}

// What is counted of the open alerts is what a look at all of them says.
func TestStatusesOfOpenAlerts(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	statuses := []string{rules.StatusFiring, rules.StatusAcknowledged, rules.StatusShelved, rules.StatusClosed}
	b := newBoard()
	for n := range 2000 {
		key := fmt.Sprint(random.IntN(20))
		r := &alerts.Record{Outcome: rules.Outcome{
			ID: fmt.Sprint(key, "-", n/500), Severity: alerts.Severities[random.IntN(5)].Name,
			Life: &rules.Life{Key: key, Status: statuses[random.IntN(len(statuses))]},
		}}
		b.load(r)
		if n%100 != 0 {
			continue
		}
		want := map[AlertStatus]int{}
		for _, r := range b.all() {
			want[statusOf(r)]++
		}
		got := b.statuses()
		for status, count := range got {
			assert.Equal(t, want[status], count, status)
			delete(want, status)
		}
		assert.Empty(t, want)
	}
}

func TestHealthRemembersSinceWhen(t *testing.T) {
	var h health
	h.begin(&Config{Sinks: []NamedSink{{Name: "a"}, {Name: "b"}}})
	names := func() (all []string) {
		for _, c := range h.read() {
			all = append(all, fmt.Sprint(c.Name, " ", c.OK))
		}
		return all
	}
	assert.Equal(t, []string{"bus true", "streams true", "rules true", "partitions false", "sink a true", "sink b true"}, names())
	of := func(name string) Component {
		return h.read()[slices.IndexFunc(h.read(), func(c Component) bool { return c.Name == name })]
	}
	began := of(BusComponent).Since
	at := began.Add(time.Hour)
	_, changed := h.note(BusComponent, nil, at)
	assert.False(t, changed, "it was OK before")
	was, changed := h.note(BusComponent, errors.New("away"), at)
	assert.True(t, changed)
	assert.Equal(t, time.Hour, was)
	assert.Equal(t, Component{BusComponent, false, "away", at}, of(BusComponent))
	_, changed = h.note(BusComponent, errors.New("far away"), at.Add(time.Minute))
	assert.False(t, changed)
	assert.Equal(t, Component{BusComponent, false, "far away", at}, of(BusComponent), "since the first time")
	was, changed = h.note(BusComponent, nil, at.Add(2*time.Minute))
	assert.True(t, changed)
	assert.Equal(t, 2*time.Minute, was)
	assert.Equal(t, Component{BusComponent, true, "", at.Add(2 * time.Minute)}, of(BusComponent))
}

// What counting adds to the worker's way: a batch, and an outcome of each kind.
func BenchmarkCounting(b *testing.B) {
	var s stats
	s.eval.Bounds = evalBounds
	b.Run("batch", func(b *testing.B) {
		b.ReportAllocs()
		m := &bus.Message{Seq: 1, Stored: time.Now()}
		for b.Loop() {
			j := s.begin()
			s.samples.Add(1)
			s.end(j, m, true)
		}
	})
	for _, o := range []rules.Outcome{{Kind: rules.Output}, {Kind: rules.Alert, Severity: "major", Life: &rules.Life{Event: rules.EventRaised}}} {
		b.Run("outcome="+string(o.Kind), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.count(&o)
			}
		})
	}
}
