package engine

import (
	"context"
	"time"
)

// Since is the id to follow a topic from for everything that was stored at a time
// or later; the zero time is before all that is kept.
func (e *Engine) Since(ctx context.Context, t Topic, at time.Time) (after string, err error) {
	one, err := e.topic(t)
	if err != nil {
		return "", err
	}
	var p places
	for tail := range one.tails.each {
		before, err := e.bus.TailBefore(ctx, tail, at)
		if err != nil {
			return "", err
		}
		p.set(tail, tailPlace{before, whole})
	}
	return p.String(), nil
}
