package retryafter_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/internal/retryafter"
)

func TestParse(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "3600": time.Hour, "3601": time.Hour, "99999999999999999999": time.Hour, "-1": 0, "1.5": 0, "soon": 0,
		"Sun, 22 Nov 2026 10:02:00 GMT": 2 * time.Minute, "Sun, 22 Nov 2026 09:00:00 GMT": 0, "Mon, 23 Nov 2026 10:00:00 GMT": time.Hour,
	} {
		assert.Equal(t, want, retryafter.Parse(header, now), "%q", header)
	}
}
