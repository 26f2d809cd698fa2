package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestClocks(t *testing.T) {
	e := &Engine{config: Config{Clock: SamplesClock}}
	assert.True(t, e.now().IsZero(), "no sample yet")
	at := time.Date(2013, 12, 2, 21, 15, 0, 5, time.UTC)
	e.stats.newest.Store(at.UnixNano())
	assert.True(t, at.Equal(e.now()))
	e.config.Clock = WallClock
	assert.WithinDuration(t, time.Now(), e.now(), time.Minute)
	e.config.Clock = NoClock
	e.tick(t.Context()) // returns at once; the engine is not even ready
}
