package benchmarks

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/diegoholiveira/jsonlogic/v3"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/logic"
)

const (
	hotSample = `{"temperature":31.2}`

	// tenFields is a sample of ten fields and 190 bytes.
	tenFields = `{"id":"machine-17","temperature":31.25,"humidity":55.5,"status":"active","pressure":1013.25,` +
		`"motor":{"rpm":1480,"load":0.7},"zone":"B","battery":87.1,"ok":true,"at":"2026-11-22T10:00:00.5Z"}`

	tooHot = `{">":[{"var":"temperature"},30]}`

	fiveComparisons = `{"and":[{">":[{"var":"temperature"},30]},{"<":[{"var":"humidity"},80]},{"==":[{"var":"status"},"active"]},` +
		`{"or":[{">=":[{"var":"motor.rpm"},1500]},{"in":[{"var":"zone"},["A","B","C"]]}]}]}`
)

// BenchmarkOverheating judges one comparison over a sample of one field.
func BenchmarkOverheating(b *testing.B) { compare(b, tooHot, hotSample) }

// BenchmarkFiveComparisons judges five comparisons under and/or, one of them of
// a nested field and one an in, over a sample of ten fields.
func BenchmarkFiveComparisons(b *testing.B) { compare(b, fiveComparisons, tenFields) }

// condition is an expression that an engine has read, over decoded JSON. The
// benchmarks are of true ones.
type condition func(data any) (truth bool)

// logicEngines read an expression once, as each does best.
var logicEngines = []struct {
	name string
	read func(b *testing.B, expression string) condition
}{
	{"tocsin", func(b *testing.B, expression string) condition {
		raw, err := strictjson.Parse("expression", []byte(expression))
		require.NoError(b, err)
		e, err := logic.Compile(raw)
		require.NoError(b, err)
		return func(data any) bool {
			v, err := e.Decide(data)
			return err == nil && v == logic.True
		}
	}},
	{"jsonlogic", func(b *testing.B, expression string) condition {
		var rule any
		require.NoError(b, json.Unmarshal([]byte(expression), &rule))
		return func(data any) bool {
			v, err := jsonlogic.ApplyInterface(rule, data)
			return err == nil && v == true
		}
	}},
}

// compare measures each engine from the sample's bytes to the decision, and
// from loaded values to the decision.
func compare(b *testing.B, expression, sample string) {
	for _, engine := range logicEngines {
		holds := engine.read(b, expression)
		b.Run("engine="+engine.name+"/from=bytes", func(b *testing.B) {
			text, truth := []byte(sample), false
			b.ReportAllocs()
			for b.Loop() {
				var data any
				if err := json.Unmarshal(text, &data); err != nil {
					b.Fatal(err)
				}
				truth = holds(data)
			}
			require.True(b, truth)
		})
		b.Run("engine="+engine.name+"/from=values", func(b *testing.B) {
			var data any
			require.NoError(b, json.NewDecoder(bytes.NewReader([]byte(sample))).Decode(&data))
			truth := false
			b.ReportAllocs()
			for b.Loop() {
				truth = holds(data)
			}
			require.True(b, truth)
		})
	}
}
