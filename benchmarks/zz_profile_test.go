package benchmarks

import (
	"fmt"
	"os"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProfile(t *testing.T) {
	for _, p := range []packing{single, batch} {
		for name, data := range map[string]string{"20": hotSample, "190": tenFields} {
			testing.Benchmark(func(b *testing.B) {
				for range b.N {
					const n = 200_000
					w := openBus(b)
					w.fill(b, p, data, n)
					e := newEngine(b, w)
					f, err := os.Create(fmt.Sprintf("/tmp/prof.%s.%s", p, name))
					require.NoError(b, err)
					start := time.Now()
					require.NoError(b, pprof.StartCPUProfile(f))
					e.start()
					e.until("outcomes", func() bool { return w.last(b, "OUT") >= n })
					pprof.StopCPUProfile()
					fmt.Println(p, name, n/time.Since(start).Seconds())
					f.Close()
					e.stop()
					w.close()
				}
			})
		}
	}
}
