package logic_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/rules/logic"
)

const (
	overheating = `{">":[{"var":"temperature"},30]}`

	fiveComparisons = `{"and":[{">":[{"var":"temperature"},30]},{"<":[{"var":"humidity"},80]},{"==":[{"var":"status"},"active"]},
		{"or":[{">=":[{"var":"motor.rpm"},1500]},{"in":[{"var":"zone"},["A","B","C"]]}]}]}`

	pipeline = `{"reduce":[{"map":[{"filter":[{"var":"items"},{">":[{"var":"qty"},10]}]},{"*":[{"var":"qty"},{"var":"price"}]}]},
		{"+":[{"var":"accumulator"},{"var":"current"}]},0]}`

	tenFields = `{"id":"machine-17","temperature":31.25,"humidity":55.5,"status":"active","pressure":1013.2,"motor":{"rpm":1480,"load":0.7},
		"zone":"B","battery":87,"ok":true,"at":"2026-11-22T10:00:00Z"}`
)

func fiftyItems() any {
	items := make([]any, 50)
	for i := range items {
		items[i] = map[string]any{"qty": float64(i), "price": 1.5}
	}
	return map[string]any{"items": items}
}

func BenchmarkDecide(b *testing.B) {
	for _, bb := range []struct {
		name, rule string
		data       any
	}{
		{"overheating", overheating, decoded(b, `{"temperature":31.2}`)},
		{"five comparisons", fiveComparisons, decoded(b, tenFields)},
		{"pipeline", pipeline, fiftyItems()},
		{"unknown", overheating, decoded(b, `{}`)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			e := compiled(b, bb.rule)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = e.Decide(bb.data)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	raw := parsed(b, fiveComparisons)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = logic.Compile(raw)
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	for _, rule := range []string{overheating, fiveComparisons, `{"some":[{"var":"list"},{"<":[{"var":""},0]}]}`, `{"if":[{"missing":["temperature"]},false,true]}`} {
		e := compiled(t, rule)
		data := decoded(t, tenFields)
		data.(map[string]any)["list"] = []any{1.0, 2.0, 3.0}
		got := testing.AllocsPerRun(1000, func() {
			v, err := e.Decide(data)
			if v == logic.Unknown || err != nil {
				t.Fatal(v, err)
			}
		})
		assert.Zero(t, got, rule)
	}
}
