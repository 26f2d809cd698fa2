package schedule

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin.internal/internal/strictjson"
)

// What one schedule may have at most. Beyond it a holiday calendar or a week is
// not something that a person wrote, and every sample would pay for it.
const (
	maxWindows = 100
	maxDates   = 1000
)

// Decode reads
//
//	{"timezone": "Europe/Prague",
//	 "active": [{"days": ["mon-fri"], "from": "06:00", "to": "22:00"}],
//	 "mute":   [{"dates": ["12-24/12-26", "2026-12-31"]}],
//	 "scope":  "notify"}
//
// All of it may be left out: the zone is UTC then, the schedule always active,
// nothing muted, and the scope notify (the other one is evaluate). Of a window,
// days are every day when absent, and may go over the week's end ("fri-mon");
// dates restrict it to days of every year or of one, and may go over the new
// year; from is the day's start when absent, and to its end. A window whose to
// is before its from ends on the day after. The error has every problem with its
// place.
func Decode(r strictjson.Raw) (*Schedule, error) {
	var d decoder
	s := &Schedule{zone: time.UTC}
	d.object(r, map[string]func(strictjson.Raw){
		"timezone": func(r strictjson.Raw) { s.zone = d.zone(r) },
		"active":   func(r strictjson.Raw) { s.active = d.active(r) },
		"mute":     func(r strictjson.Raw) { s.mute = d.windows(r) },
		"scope":    func(r strictjson.Raw) { s.evaluate = d.scope(r) },
	})
	if err := strictjson.Join(d.errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// CodeSchedule is of what is wrong with a schedule.
const CodeSchedule strictjson.Code = "E0502"

// decoder gathers what is wrong.
type decoder struct{ errs []error }

func (d *decoder) errorf(r strictjson.Raw, format string, args ...any) {
	d.errs = append(d.errs, r.At.As(CodeSchedule).Errorf(format, args...))
}

func (d *decoder) object(r strictjson.Raw, known map[string]func(strictjson.Raw)) {
	if r.Kind() != strictjson.Object {
		d.errorf(r, "got %s; want an object", r.Shown())
		return
	}
	for _, m := range r.Members() {
		if read, ok := known[m.Name]; ok {
			read(m.Value)
			continue
		}
		names := make([]string, 0, len(known))
		for name := range known {
			names = append(names, name)
		}
		d.errs = append(d.errs, strictjson.Unknown(r, m, names))
	}
}

func (d *decoder) array(r strictjson.Raw, most int, of string) []strictjson.Raw {
	switch {
	case r.Kind() != strictjson.Array:
		d.errorf(r, "got %s; want an array of %s", r.Shown(), of)
	case len(r.Elems()) > most:
		d.errorf(r, "%d %s; want at most %d", len(r.Elems()), of, most)
	default:
		return r.Elems()
	}
	return nil
}

// some is an array that is not empty.
func (d *decoder) some(r strictjson.Raw, most int, of string) []strictjson.Raw {
	if r.Kind() == strictjson.Array && len(r.Elems()) == 0 {
		d.errorf(r, "no %s; want at least one, or leave the field out for every time", of)
	}
	return d.array(r, most, of)
}

func (d *decoder) zone(r strictjson.Raw) *time.Location {
	name := r.Str()
	zone, err := time.LoadLocation(name)
	known := err == nil && name != "" && name != "Local" &&
		!strings.HasPrefix(name, "right/") && !strings.HasPrefix(name, "posix/") // those count leap seconds, or depend on the machine
	if known {
		return zone
	}
	if r.Kind() != strictjson.String || name == "" {
		d.errorf(r, `got %s; want the IANA name of a time zone, such as "Europe/Prague"`, r.Shown())
	} else {
		d.errorf(r, "unknown time zone %s%s", r.Shown(), cmp.Or(nearestZone(name), `; want an IANA name such as "Europe/Prague"`))
	}
	return time.UTC
}

// nearestZone is the hint for a zone that is not known: by its whole name, or by
// its city alone.
func nearestZone(written string) string {
	if hint := strictjson.DidYouMean(written, zones); hint != "" {
		return hint
	}
	cities := make([]string, len(zones))
	for i, zone := range zones {
		cities[i] = strings.ReplaceAll(zone[strings.LastIndexByte(zone, '/')+1:], "_", " ")
	}
	written = strings.ReplaceAll(written[strings.LastIndexByte(written, '/')+1:], "_", " ")
	hint := strictjson.DidYouMean(written, cities)
	for i, city := range cities {
		if strings.Contains(hint, `"`+city+`"`) {
			return strings.Replace(hint, city, zones[i], 1)
		}
	}
	return ""
}

func (d *decoder) scope(r strictjson.Raw) (evaluate bool) {
	switch r.Str() {
	case "notify":
		return false
	case "evaluate":
		return true
	}
	d.errorf(r, `got %s; want "notify" or "evaluate"%s`, r.Shown(), strictjson.DidYouMean(r.Str(), []string{"notify", "evaluate"}))
	return false
}

func (d *decoder) active(r strictjson.Raw) []window {
	d.some(r, maxWindows, "windows")
	return d.windows(r)
}

func (d *decoder) windows(r strictjson.Raw) []window {
	var out []window
	for _, e := range d.array(r, maxWindows, "windows") {
		out = append(out, d.window(e))
	}
	return out
}

func (d *decoder) window(r strictjson.Raw) window {
	w := window{days: everyDay, to: secondsOfDay}
	before := len(d.errs)
	d.object(r, map[string]func(strictjson.Raw){
		"days":  func(r strictjson.Raw) { w.days = d.days(r) },
		"dates": func(r strictjson.Raw) { w.dates = d.dates(r) },
		"from":  func(r strictjson.Raw) { w.from = d.clock(r, `; want "00:00", which is the next day's`) },
		"to":    func(r strictjson.Raw) { w.to = d.clock(r, "") },
	})
	if len(d.errs) == before && w.from == w.to {
		d.errorf(r, "from and to are the same time; want them to differ, or leave out both for the whole day")
	}
	if w.to < w.from {
		w.to += secondsOfDay
	}
	return w
}

// dayNames are the days of the week in the order of [time.Weekday].
var dayNames = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

const (
	everyDay   = 1<<7 - 1
	shortNames = 3 // letters
)

func (d *decoder) days(r strictjson.Raw) uint8 {
	var days uint8
	for _, e := range d.some(r, maxWindows, "days") {
		if e.Kind() != strictjson.String {
			d.errorf(e, `got %s; want a day or days, such as "mon" or "mon-fri"`, e.Shown())
			continue
		}
		head, tail, isRange := strings.Cut(e.Str(), "-")
		from := d.day(e, head)
		to := from
		if isRange {
			to = d.day(e, tail)
		}
		if from < 0 || to < 0 {
			continue
		}
		for day := from; ; day = (day + 1) % len(dayNames) {
			days |= 1 << day
			if day == to {
				break
			}
		}
	}
	return days
}

// day is the number of a day of the week, or -1.
func (d *decoder) day(r strictjson.Raw, name string) int {
	lower := strings.ToLower(strings.TrimSpace(name))
	var known []string
	for i, full := range dayNames {
		if lower == full || lower == full[:shortNames] {
			return i
		}
		known = append(known, full, full[:shortNames])
	}
	hint := cmp.Or(strictjson.DidYouMean(lower, known), "; want mon, tue, wed, thu, fri, sat, sun, or their full names")
	d.errorf(r, "unknown day %q%s", name, hint)
	return -1
}

const wantDate = `want a date such as "2026-12-24" or, for every year, "12-24", or two of one form with "/" between`

func (d *decoder) dates(r strictjson.Raw) []dateRange {
	var out []dateRange
	for _, e := range d.some(r, maxDates, "dates") {
		head, tail, isRange := strings.Cut(e.Str(), "/")
		if !isRange {
			tail = head
		}
		first, okFirst := date(head)
		last, okLast := date(tail)
		yearly := len(head) == len(monthDay)
		switch {
		case !okFirst || !okLast || len(head) != len(tail):
			d.errorf(e, "got %s; %s", e.Shown(), wantDate)
		case !yearly && last < first:
			d.errorf(e, "got %s, whose end is before its start; %s", e.Shown(), wantDate)
		default:
			out = append(out, dateRange{first, last, yearly})
		}
	}
	return out
}

const monthDay = "01-02"

// date is a date as [dateRange] has it.
func date(text string) (int, bool) {
	full := text
	if len(text) == len(monthDay) {
		full = "2000-" + text // a leap year: the 29th of February is a day of some years
	}
	t, err := time.Parse(time.DateOnly, full)
	if err != nil || !slices.Contains([]int{len(monthDay), len(time.DateOnly)}, len(text)) {
		return 0, false
	}
	n := int(t.Month())*100 + t.Day()
	if len(text) == len(time.DateOnly) {
		n += t.Year() * 10000
	}
	return n, true
}

// clock is a time of the day in seconds. noEnd says what is wanted in place of
// 24:00, or is "" where that is fine.
func (d *decoder) clock(r strictjson.Raw, noEnd string) int {
	seconds, ok := clock(r.Str())
	switch {
	case !ok:
		d.errorf(r, `got %s; want a time of day such as "06:00" or "22:30:15"`, r.Shown())
	case seconds == secondsOfDay && noEnd != "":
		d.errorf(r, "got %s%s", r.Shown(), noEnd)
	}
	return seconds
}

func clock(text string) (seconds int, ok bool) {
	parts := strings.Split(text, ":")
	if len(parts) == 2 {
		parts = append(parts, "00")
	}
	if len(parts) != 3 {
		return 0, false
	}
	for i, below := range []int{25, 60, 60} {
		n, err := strconv.ParseUint(parts[i], 10, 8)
		if err != nil || len(parts[i]) != 2 || int(n) >= below {
			return 0, false
		}
		seconds = 60*seconds + int(n)
	}
	return seconds, seconds <= secondsOfDay
}
