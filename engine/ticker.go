package engine

import (
	"context"
	"errors"
	"time"

	"tocsin.internal/bus"
)

// Clock says whose time the ticks in the stream carry.
type Clock string

// The clocks.
const (
	WallClock    Clock = "wall"    // the time of day
	SamplesClock Clock = "samples" // the newest sample's: recordings that are played live
	NoClock      Clock = "off"     // no ticks: nothing falls due without a sample
)

// tickEvery is how often the partitions are told the time.
const tickEvery = time.Second

// tick tells all partitions the time, from when the engine is ready. A tick
// that the bus does not take is dropped: the next one says more.
func (e *Engine) tick(ctx context.Context) {
	if e.config.Clock == NoClock || e.awaitReady(ctx) != nil {
		return
	}
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for told := (time.Time{}); ; {
		at := e.now()
		if !at.IsZero() && !at.Equal(told) {
			switch err := e.bus.PutTick(ctx, at, e.config.Clock == WallClock); {
			case err == nil:
				told = at
			case ctx.Err() != nil:
				return
			default:
				if errors.Is(err, bus.ErrFull) {
					e.full.Store(true)
				}
				e.trouble(err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// firstTick says what time it is before the sources bring anything: that nothing
// came while the engine was away is not the twins' doing.
func (e *Engine) firstTick(ctx context.Context) {
	if e.config.Clock != WallClock {
		return
	}
	if err := e.bus.PutTick(ctx, e.now(), true); err != nil {
		e.trouble(err)
	}
}

// now is what the configured clock shows; the zero time when there is no sample yet.
func (e *Engine) now() time.Time {
	if e.config.Clock == WallClock {
		return time.Now().Truncate(time.Second)
	}
	if newest := e.stats.newest.Load(); newest != 0 {
		return time.Unix(0, newest)
	}
	return time.Time{}
}
