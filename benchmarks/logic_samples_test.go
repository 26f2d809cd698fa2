package benchmarks

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ringSize is how many samples a benchmark goes round. They differ, so that a
// guess that suits one of them, of the processor or of an engine, does not make
// all of them look fast.
const ringSize = 64

// sample is a sample as it comes and as encoding/json decodes it.
type sample struct {
	text   []byte
	values map[string]any
}

func ring(b *testing.B, text func(i int) string) []sample {
	samples := make([]sample, ringSize)
	for i := range samples {
		s := &samples[i]
		s.text = []byte(text(i))
		require.NoError(b, json.Unmarshal(s.text, &s.values))
	}
	return samples
}

// seeded is the same in every run. Each user has a stream of its own.
func seeded(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(22, stream)) }

// span is the range of a field.
type span struct {
	low, high float64
	decimals  int
}

var (
	hotTemperatures = span{0, 60, 1}
	temperatures    = span{20, 50, 2}
	humidities      = span{30, 90, 1}
	pressures       = span{980, 1040, 2}
	speeds          = span{1000, 2000, 0}
	loads           = span{0, 1, 2}
	batteries       = span{0, 100, 1}
	quantities      = span{1, 20, 0}
	prices          = span{0.25, 2.35, 2}
)

// number is the number at a share of the range, from 0 to 1, as JSON.
func (s span) number(share float64) string {
	scale := math.Pow10(s.decimals)
	n := math.Round((s.low+share*(s.high-s.low))*scale) / scale
	return strconv.FormatFloat(n, 'f', -1, 64)
}

func hotSamples(b *testing.B) []sample {
	r := seeded(1)
	return ring(b, func(int) string { return fmt.Sprintf(`{"temperature":%s}`, hotTemperatures.number(r.Float64())) })
}

func orderSamples(b *testing.B) []sample {
	r := seeded(2)
	return ring(b, func(int) string {
		items := make([]string, 50)
		for i := range items {
			items[i] = fmt.Sprintf(`{"qty":%s,"price":%s}`, quantities.number(r.Float64()), prices.number(r.Float64()))
		}
		return `{"items":[` + strings.Join(items, ",") + `]}`
	})
}

// report is what machines report in samples like tenFields.
type report struct {
	machine      int
	status, zone string
	at           time.Time
	shares       [6]float64 // where in its range each number is
	without      string     // a field that this sample lacks
}

var zones = []string{"A", "B", "C", "D"}

func (r report) text() string {
	members := []struct{ name, value string }{
		{"id", fmt.Sprintf(`"machine-%d"`, r.machine)},
		{"temperature", temperatures.number(r.shares[0])},
		{"humidity", humidities.number(r.shares[1])},
		{"status", strconv.Quote(r.status)},
		{"pressure", pressures.number(r.shares[2])},
		{"motor", fmt.Sprintf(`{"rpm":%s,"load":%s}`, speeds.number(r.shares[3]), loads.number(r.shares[4]))},
		{"zone", strconv.Quote(r.zone)},
		{"battery", batteries.number(r.shares[5])},
		{"ok", "true"},
		{"at", strconv.Quote(r.at.Format(time.RFC3339Nano))},
	}
	var parts []string
	for _, m := range members {
		if m.name != r.without {
			parts = append(parts, fmt.Sprintf("%q:%s", m.name, m.value))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func machineSamples(b *testing.B, reports []report) []sample {
	return ring(b, func(i int) string { return reports[i].text() })
}

// alone are reports of one machine, each number of which is anywhere in its
// range.
func alone() []report {
	r, all := seeded(3), make([]report, ringSize)
	for i := range all {
		x := &all[i]
		x.machine, x.status, x.zone = 17, "active", "B"
		x.at = noon.Add(time.Duration(i) * 500 * time.Millisecond)
		for k := range x.shares {
			x.shares[k] = r.Float64()
		}
	}
	return all
}

// fleet are the same of a hundred machines, whose texts differ too.
func fleet() []report {
	r, all := seeded(6), alone()
	for i := range all {
		x := &all[i]
		x.machine, x.zone = r.IntN(100), zones[r.IntN(len(zones))]
		if r.IntN(16) == 0 {
			x.status = "idle"
		}
	}
	return all
}

// drifting are reports of one machine, whose numbers move by 1 % of their range
// from sample to sample, each up for half of the ring and down for the other.
func drifting() []report {
	const half, step = ringSize / 2, 0.01
	r, all := seeded(4), alone()
	for k := range all[0].shares {
		base, phase := r.Float64()*(1-half*step), r.IntN(ringSize)
		for i := range all {
			away := (i+phase)%ringSize - half
			all[i].shares[k] = base + step*float64(max(away, -away))
		}
	}
	return all
}

// lacking are those of a fleet, of which every tenth lacks a field.
func lacking() []report {
	lost := []string{"temperature", "humidity", "zone", "pressure", "motor"}
	all := fleet()
	for i := 9; i < len(all); i += 10 {
		all[i].without = lost[i/10%len(lost)]
	}
	return all
}
