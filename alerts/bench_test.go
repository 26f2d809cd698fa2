package alerts_test

import (
	"fmt"
	"testing"
	"time"

	"tocsin.internal/alerts"
	"tocsin.internal/rules"
)

const many = 100_000

func manyAlerts(severity string) []rules.Outcome {
	all := make([]rules.Outcome, many)
	for i := range all {
		twin := fmt.Sprint("machine_", i)
		all[i] = rules.Outcome{
			Kind: rules.Alert, Interaction: "overheating", Rule: "too-hot", Twin: twin, ID: "al_" + twin, State: rules.StateFiring, Severity: severity,
			At: start, Starts: start.Add(time.Duration(i)), Summary: "machine is at 33.0 °C", Data: []byte(`{"temperature":33.0}`),
			Life: &rules.Life{Number: 1, Event: rules.EventRaised, Status: rules.StatusFiring, Active: true, Key: "overheating|too-hot|" + twin},
		}
	}
	return all
}

const (
	oneGroup   = `[{"name":"all","groupBy":["rule"],"sinks":["mail"]}]`
	manyGroups = `[{"name":"all","groupBy":["twin"],"sinks":["mail"]}]`
)

// loaded is a router that has told of all alerts.
func loaded(b *testing.B, text string, all []rules.Outcome) *alerts.Router {
	r := alerts.NewRouter(routes(b, text))
	for i := range all {
		r.Take(&all[i], start)
	}
	r.Flush(start.Add(time.Hour), nil, nil)
	return r
}

// One more event of an alert among 100,000 that fire, and the question what is due.
func BenchmarkTake(b *testing.B) {
	for _, tt := range []struct{ name, routes string }{{"one-group", oneGroup}, {"100k-groups", manyGroups}} {
		b.Run(tt.name, func(b *testing.B) {
			all := manyAlerts("minor")
			r := loaded(b, tt.routes, all)
			now, i := start.Add(time.Hour), 0
			b.ReportAllocs()
			for b.Loop() {
				o := &all[i%many]
				life := *o.Life
				life.Number++
				o.Life, o.Severity = &life, []string{"minor", "major"}[life.Number%2]
				r.Take(o, now)
				r.Flush(now, nil, nil)
				i++
			}
		})
	}
}

// A critical change of an alert among 100,000 that fire, told at once.
func BenchmarkFlushCritical(b *testing.B) {
	for _, tt := range []struct{ name, routes string }{{"one-group", oneGroup}, {"100k-groups", manyGroups}} {
		b.Run(tt.name, func(b *testing.B) {
			all := manyAlerts("critical")
			r := loaded(b, tt.routes, all)
			now, i := start.Add(time.Hour), 0
			silenced := func(*rules.Outcome) bool { return false }
			var out []rules.Outcome
			b.ReportAllocs()
			for b.Loop() {
				o := &all[i%many]
				life := *o.Life
				life.Number++
				life.Counts.Raises++
				o.Life = &life
				r.Take(o, now)
				if out = r.Flush(now, silenced, out[:0]); len(out) != 1 {
					b.Fatal("not told at once")
				}
				i++
			}
		})
	}
}

// Everything that 100,000 alerts cost that fail together: Take of each, and the
// flush after groupWait.
func BenchmarkBurst(b *testing.B) {
	for _, tt := range []struct{ name, routes string }{{"one-group", oneGroup}, {"100k-groups", manyGroups}} {
		b.Run(tt.name, func(b *testing.B) {
			all := manyAlerts("minor")
			b.ReportAllocs()
			for b.Loop() {
				loaded(b, tt.routes, all)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/alert")
		})
	}
}

// What a group of 100,000 costs when all of it is looked at again, which is once
// in groupInterval at most, and Save of it.
func BenchmarkWholeGroup(b *testing.B) {
	all := manyAlerts("minor")
	b.Run("repeat", func(b *testing.B) {
		r := loaded(b, oneGroup, all)
		now := start.Add(time.Hour)
		for b.Loop() {
			now = now.Add(alerts.DefaultRepeatInterval)
			if len(r.Flush(now, nil, nil)) != 1 {
				b.Fatal("not repeated")
			}
		}
	})
	b.Run("save", func(b *testing.B) {
		r := loaded(b, oneGroup, all)
		for b.Loop() {
			b.SetBytes(int64(len(r.Save())))
		}
	})
}

func BenchmarkMatchers(b *testing.B) {
	ms, err := alerts.DecodeMatchers(parse(b, `["severity=~\"critical|major\"","label.site=Brno*"]`))
	if err != nil {
		b.Fatal(err)
	}
	o := hot()
	b.ReportAllocs()
	for b.Loop() {
		ms.Match(o)
	}
}
