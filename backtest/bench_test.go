package backtest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tocsin.internal/backtest"
)

// BenchmarkReplay judges samples of ten twins, as they lie in a mapped file, by
// one set of rules; its number is that of samples a second.
func BenchmarkReplay(b *testing.B) {
	const n = 100_000
	var text strings.Builder
	at := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	for i := range n {
		fmt.Fprintf(&text, `{"twin":"machine_%d","feed":"f","occurredAt":%q,"data":{"value":%.2f,"motor":{"rpm":%d}}}`+"\n",
			i%10, at.Add(time.Duration(i/10)*5*time.Second).Format(time.RFC3339), 90+float64(i*7%1000)/99, 1480+i%7)
	}
	for _, bb := range []struct{ name, doc string }{
		{"output", `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"}]}],"rules":[{"transformation":{"sourceId":"1","sourceFeedId":"f","outputFeedId":"o","outputFieldId":"hot",
			"outputTrueValue":true,"conditions":[{"jsonLogic":{">":[{"var":"value"},100]}}]}}]}`},
		{"alert", plant("")},
		{"for and clearCondition", plant(`"for":"1m","clearCondition":{"jsonLogic":{"<":[{"var":"value"},95]}},`)},
		{"sliding window", strings.ReplaceAll(plant(`"window":{"type":"sliding","size":"5m"},"aggregate":{"mean":{"op":"avg","field":"value"}},`), `"var":"value"`, `"var":"$agg.mean"`)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			p := set(b, bb.name, bb.doc)
			r := &backtest.Recording{Format: backtest.NDJSON, Name: "s"}
			require.NoError(b, r.Read(strings.NewReader(text.String()), false))
			for b.Loop() {
				run, err := backtest.Judge(b.Context(), r.Play, nil, backtest.Watch{}, p)
				require.NoError(b, err)
				require.Equal(b, n, run.Samples)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}
