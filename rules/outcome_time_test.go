package rules

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTimesAreThoseOfTheStandardLibrary(t *testing.T) {
	want := func(at time.Time) string { return at.UTC().Format(`"` + time.RFC3339Nano + `"`) }
	for day := time.Date(1969, 12, 1, 23, 59, 59, 999_999_999, time.UTC); day.Year() < 10_002; day = day.AddDate(0, 0, 5) {
		if got := string(appendTime(nil, day)); got != want(day) {
			require.Equal(t, want(day), got)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		at := time.Unix(r.Int64N(1<<38)-1<<30, []int64{r.Int64N(1e9), r.Int64N(1e3) * 1e6, r.Int64N(10) * 1e8, 0, 1}[r.IntN(5)])
		require.Equal(t, want(at), string(appendTime(nil, at)))
	}
	assert.Equal(t, `"0001-01-01T00:00:00Z"`, string(appendTime(nil, time.Time{})))
}

func FuzzTimes(f *testing.F) {
	f.Add(int64(951782400), int64(10)) // 29 February 2000
	f.Fuzz(func(t *testing.T, seconds, nanos int64) {
		at := time.Unix(seconds, nanos)
		assert.Equal(t, at.UTC().Format(`"`+time.RFC3339Nano+`"`), string(appendTime(nil, at)))
	})
}
