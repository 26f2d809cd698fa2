package schedule

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestHintsAreZones(t *testing.T) {
	for _, zone := range zones {
		_, err := time.LoadLocation(zone)
		assert.NoError(t, err)
	}
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(zones))), len(zones))
}
