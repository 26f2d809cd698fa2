package schedule

import "time"

// edge is a side of a window: what counts of a wall time that comes twice.
type edge int64

const (
	begin edge = 0 // the first time that it comes
	end   edge = 1 // when the last time before it has gone by, in seconds that belong to the window
)

// farthest is more than any zone has ever been away from UTC, in seconds.
const farthest = 16 * 60 * 60

// instant is when clocks of the zone show a wall time, in Unix seconds. The wall
// time is given as the Unix seconds at which clocks of UTC show it. One that is
// skipped is the first instant after the gap.
func instant(zone *time.Location, wall int64, e edge) int64 {
	found, seen := int64(0), false
	for at := wall - farthest; ; {
		t := time.Unix(at, 0).In(zone)
		_, offset := t.Zone()
		from, until := t.ZoneBounds()
		shown := wall - int64(offset)
		inside := shown - int64(e)                  // the second that has to be in the period
		if !from.IsZero() && inside < from.Unix() { // it came in an earlier period, or never
			if !seen {
				return from.Unix()
			}
			return found
		}
		if until.IsZero() || inside < until.Unix() {
			found, seen = shown, true
		}
		if seen && e == begin || until.IsZero() || until.Unix() > wall+farthest {
			return found
		}
		at = until.Unix()
	}
}
