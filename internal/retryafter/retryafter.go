// Package retryafter reads the header Retry-After.
package retryafter

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// longest bounds what somebody can ask for.
const longest = time.Hour

// Parse reads seconds or a date, at most an hour ahead; 0 for what is neither, or
// over.
func Parse(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(longest/time.Second))) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), longest)
}
