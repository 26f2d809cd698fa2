// Package schedule says when a rule is on: windows of the week and of the
// calendar, in the wall time of a zone.
package schedule

import (
	"math"
	"time"
)

// Schedule is the windows in which a rule is on, and those in which it is muted.
// It is immutable, so many may use it at once. The zero Schedule is always open.
//
// A window belongs to the day on which it begins. Where clocks are put forward
// over one of its edges, the edge is the first instant after the gap. Where they
// are put back, so that wall times come twice, a window begins with the first and
// ends after the second, so that nothing of it is lost: 02:15 to 02:30 may last
// 75 minutes. What ends as the repeated hour begins ends there.
type Schedule struct {
	zone     *time.Location
	active   []window // none: always
	mute     []window
	evaluate bool
}

// window is a span of wall time on some days.
type window struct {
	days  uint8       // bit n is [time.Weekday] n
	dates []dateRange // none: every date
	from  int         // seconds of the day
	to    int         // the same; above from, and beyond one day if it ends on the next one
}

const secondsOfDay = 24 * 60 * 60

// dateRange is days from first to last, both included.
type dateRange struct {
	first, last int  // year*10000 + month*100 + day; without the year if yearly
	yearly      bool // every year; then last before first is over the new year
}

// Notify says that the schedule is about delivery alone: a rule is judged at any
// time. Else it is judged only when the schedule is open.
func (s *Schedule) Notify() bool { return !s.evaluate }

// Open says whether the schedule is open at t: within an active window, or none
// is given, and within no muted one. A [Cursor] is faster.
func (s *Schedule) Open(t time.Time) bool { return s.around(t.Unix()).open }

// lookAhead is how many seconds Next goes before it says never: 366 days.
const lookAhead = 366 * secondsOfDay

// Next is the first instant after t, in UTC, at which Open changes, or the zero
// time if it does not within 366 days.
func (s *Schedule) Next(t time.Time) time.Time {
	now := s.around(t.Unix())
	for at := now.until; at <= t.Unix()+lookAhead; {
		next := s.around(at)
		if next.open != now.open {
			return time.Unix(at, 0).UTC()
		}
		at = next.until
	}
	return time.Time{}
}

// Cursor answers as Open of the schedule does and remembers for how long the
// answer holds. The zero Cursor is ready. It belongs to one worker.
type Cursor struct {
	of   *Schedule
	span span
}

// Open is s.Open(t). It allocates nothing.
func (c *Cursor) Open(s *Schedule, t time.Time) bool {
	at := t.Unix()
	if c.of != s || at < c.span.from || at >= c.span.until {
		c.of, c.span = s, s.around(at)
	}
	return c.span.open
}

// span is a time in which a schedule is open throughout, or closed. The next one
// may be the same.
type span struct {
	open        bool
	from, until int64 // Unix seconds; until is beyond the span
}

// around is a span that at, in Unix seconds, is in. Where there are windows it
// ends within the day: only those that begin near it are looked at.
func (s *Schedule) around(at int64) span {
	if len(s.active)+len(s.mute) == 0 {
		return span{true, math.MinInt64, math.MaxInt64}
	}
	y, m, d := time.Unix(at, 0).In(s.zone).Date()
	today := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	within := span{
		from:  min(at, instant(s.zone, today.Unix(), begin)),
		until: max(at+1, instant(s.zone, today.Unix()+secondsOfDay, end)),
	}
	active := s.within(s.active, at, today, &within)
	muted := s.within(s.mute, at, today, &within)
	within.open = (active || len(s.active) == 0) && !muted
	return within
}

// within says whether at is in one of the windows, and narrows the span to
// between their edges. A window that began two days ago may still be open, and
// one of tomorrow may be already, where clocks are put back over midnight.
func (s *Schedule) within(windows []window, at int64, today time.Time, narrow *span) bool {
	in := false
	for days := -2; days <= 2; days++ {
		day := today.AddDate(0, 0, days)
		for i := range windows {
			w := &windows[i]
			if !w.on(day) {
				continue
			}
			from := instant(s.zone, day.Unix()+int64(w.from), begin)
			to := instant(s.zone, day.Unix()+int64(w.to), end)
			in = in || from <= at && at < to
			narrow.cut(at, from)
			narrow.cut(at, to)
		}
	}
	return in
}

// cut narrows the span so that it does not go over an instant.
func (sp *span) cut(at, instant int64) {
	if instant <= at {
		sp.from = max(sp.from, instant)
	} else {
		sp.until = min(sp.until, instant)
	}
}

// on says whether the window begins on the day.
func (w *window) on(day time.Time) bool {
	if w.days&(1<<day.Weekday()) == 0 {
		return false
	}
	if len(w.dates) == 0 {
		return true
	}
	year, month, d := day.Date()
	ofYear := int(month)*100 + d
	for _, r := range w.dates {
		if r.has(year, ofYear) {
			return true
		}
	}
	return false
}

func (r dateRange) has(year, ofYear int) bool {
	switch {
	case !r.yearly:
		date := year*10000 + ofYear
		return r.first <= date && date <= r.last
	case r.first <= r.last:
		return r.first <= ofYear && ofYear <= r.last
	}
	return ofYear >= r.first || ofYear <= r.last
}
