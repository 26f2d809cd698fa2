// Package sinks is where outcomes go. Each kind lives in its own folder with
// its Config and is named once, in cmd/engine/kinds.go.
package sinks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tocsin.internal/rules"
)

// Sink takes outcomes out.
type Sink interface {
	// Deliver hands over one outcome and returns nil when it has arrived. It may
	// be called concurrently, and more than once for one outcome: the outcome's
	// EventID is the same each time. An error means again later; Permanent means
	// never; RetryAfter means not before. Deliver itself does not retry.
	Deliver(ctx context.Context, o rules.Outcome) error
}

// Closer is what a sink implements that holds something open.
type Closer interface{ Close() error }

// Holder is what a sink implements of which no two may hold the same.
type Holder interface{ Holds() string } // such as "the file /var/log/alerts.ndjson"

// Repeater is what a sink implements whose receiver forgets what it is not told
// again.
type Repeater interface {
	// RepeatEvery is how long to wait between two repetitions.
	RepeatEvery() time.Duration
	// Repeat tells the receiver of all that fires now, of what the sink is told
	// of: once at the beginning, and then again and again. It may be called while
	// deliveries go on. An error is not tried again before the next time.
	Repeat(ctx context.Context, firing []rules.Outcome) error
}

type permanent struct{ error }

func (e permanent) Unwrap() error { return e.error }

// Permanent marks an error that no retry will mend: the outcome becomes a dead letter.
func Permanent(err error) error { return permanent{err} }

// IsPermanent says whether err is or wraps one that Permanent has marked.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[permanent](err)
	return ok
}

type retryAfter struct {
	error
	wait time.Duration
}

func (e retryAfter) Unwrap() error { return e.error }
func (e retryAfter) Error() string { return fmt.Sprintf("%v (retry after %s)", e.error, e.wait) }

// RetryAfter marks an error whose receiver has said how long to wait.
func RetryAfter(wait time.Duration, err error) error { return retryAfter{err, wait} }

// Wait is the time that RetryAfter has put into err.
func Wait(err error) (time.Duration, bool) {
	e, ok := errors.AsType[retryAfter](err)
	return e.wait, ok
}
