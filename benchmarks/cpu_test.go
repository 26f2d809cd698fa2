package benchmarks

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// measured reports, besides allocations, the processor time of an op on all
// cores together: the garbage of an op is collected on another core, and that
// is not free. It is called before the loop, and its result after it.
func measured(b *testing.B) (done func()) {
	b.ReportAllocs()
	before := processorTime(b)
	return func() {
		b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	}
}

func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
