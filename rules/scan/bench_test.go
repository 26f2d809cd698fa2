package scan_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tocsin.internal/rules/scan"
)

// ringSize is how many samples a benchmark goes through, so that it does not
// measure one constant sample.
const ringSize = 64

func ring(sample func(i int) string) [][]byte {
	samples := make([][]byte, ringSize)
	for i := range samples {
		samples[i] = []byte(sample(i))
	}
	return samples
}

// wave is a reading that moves as those of machines do, with two decimals.
func wave(i int, mean, swing float64) float64 {
	return math.Round(100*(mean+swing*math.Sin(float64(i)*0.7))) / 100
}

func smallSample(i int) string {
	return fmt.Sprintf(`{"temperature":%.1f}`, wave(i, 31, 9))
}

func tenFieldSample(i int) string {
	return fmt.Sprintf(`{"id":"machine-17","temperature":%v,"humidity":%v,"status":"active","pressure":%v,"motor":{"rpm":%.0f,"load":%v},`+
		`"zone":"B","battery":%.1f,"ok":true,"at":"2026-11-22T10:%02d:00.5Z"}`,
		wave(i, 31, 9), wave(i, 55, 20), wave(i, 1000, 60), wave(i, 1480, 300), wave(i, 0.7, 0.2), wave(i, 80, 7), i%60)
}

func listSample(i int) string {
	var b strings.Builder
	b.WriteString(`{"items":[`)
	for j := range 50 {
		if j > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"qty":%d,"price":%v}`, 1+(i+j)%9, wave(i+j, 12, 9))
	}
	b.WriteString(`]}`)
	return b.String()
}

func smallPlan() *scan.Plan {
	var b scan.Builder
	b.Slot("temperature")
	return b.Build()
}

func tenFieldPlan() *scan.Plan {
	var b scan.Builder
	for _, path := range []string{"temperature", "humidity", "status", "motor.rpm", "zone", "pressure"} {
		b.Slot(strings.Split(path, ".")...)
	}
	return b.Build()
}

func listPlan() *scan.Plan {
	var b scan.Builder
	items := b.Table("items")
	items.Slot("qty")
	items.Slot("price")
	return b.Build()
}

func benchmark(b *testing.B, plan *scan.Plan, learn bool, samples [][]byte) {
	s := plan.NewScanner()
	s.Learn(learn)
	for _, text := range samples {
		require.True(b, s.Scan(text))
	}
	b.SetBytes(int64(len(samples[0])))
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if !s.Scan(samples[i%ringSize]) {
			b.Fatal("not valid")
		}
	}
}

func BenchmarkSmall(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmark(b, smallPlan(), false, ring(smallSample)) })
	b.Run("learnt", func(b *testing.B) { benchmark(b, smallPlan(), true, ring(smallSample)) })
}

func BenchmarkTenFields(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmark(b, tenFieldPlan(), false, ring(tenFieldSample)) })
	b.Run("learnt", func(b *testing.B) { benchmark(b, tenFieldPlan(), true, ring(tenFieldSample)) })
	b.Run("valid", func(b *testing.B) {
		samples := ring(tenFieldSample)
		for i := 0; b.Loop(); i++ {
			if !json.Valid(samples[i%ringSize]) {
				b.Fatal("not valid")
			}
		}
	})
}

func BenchmarkList(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmark(b, listPlan(), false, ring(listSample)) })
}
