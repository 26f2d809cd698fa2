package engine

import (
	"fmt"
	"time"

	"tocsin.internal/rules"
)

// skewed says that a sample's time lies too far after the one at which it was
// stored: a device's clock that is a year ahead must not move anything. With
// most at 0 any time is taken.
func skewed(at, stored time.Time, most time.Duration) error {
	if most <= 0 || at.Sub(stored) <= most {
		return nil
	}
	return &rules.DataError{
		Reason: reasonFuture,
		Err:    fmt.Errorf("%s, stored at %s; want at most %s ahead", at.UTC().Format(time.RFC3339), stored.UTC().Format(time.RFC3339), most),
	}
}
