package trials

import (
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/duration"
)

// firstDay is the day of times that do not say theirs.
var firstDay = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// clock reads the times of a case.
type clock struct {
	day    time.Time // midnight before times such as "00:05"
	origin time.Time // before times such as "5m"
	set    bool      // the origin has been found
}

const wantTime = `want a time of the day such as "00:05", a time after the first sample such as "5m", or "2026-11-02T00:05:00Z"`

// begin makes a time the origin, unless there is one. It brings its day along.
func (c *clock) begin(at time.Time, bringsDay bool) {
	if c.set {
		return
	}
	c.origin, c.set = at, true
	if bringsDay {
		c.day = time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, at.Location())
	}
}

// first reads the time of the first sample, or of the start, and begins there.
func (c *clock) first(r strictjson.Raw) (time.Time, error) {
	at, err := c.read(r)
	if err != nil || c.set {
		return at, err
	}
	absolute, isAbsolute := parseAbsolute(r.Str())
	switch {
	case isAbsolute:
		c.begin(absolute, true)
	case isClock(r.Str()):
		c.begin(at, false)
	default:
		c.begin(c.origin, false) // a duration: from midnight on
	}
	return at, nil
}

func (c *clock) read(r strictjson.Raw) (time.Time, error) {
	text := r.Str()
	if r.Kind() != strictjson.String {
		return time.Time{}, r.At.Errorf("got %s; %s", r.Shown(), wantTime)
	}
	if at, ok := parseAbsolute(text); ok {
		return at.UTC(), nil
	}
	if isClock(text) {
		for _, layout := range []string{"15:04", "15:04:05"} {
			if at, err := time.Parse(layout, text); err == nil {
				midnight := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
				return c.day.Add(at.Sub(midnight)).UTC(), nil
			}
		}
		return time.Time{}, r.At.Errorf("got %q; %s", text, wantTime)
	}
	d, err := duration.DecodeOrZero(r)
	if err != nil {
		return time.Time{}, r.At.Errorf("got %q; %s", text, wantTime)
	}
	return c.origin.Add(d).UTC(), nil
}

func parseAbsolute(text string) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339, text)
	return at, err == nil
}

func isClock(text string) bool { return strings.Contains(text, ":") && !strings.Contains(text, "T") }
