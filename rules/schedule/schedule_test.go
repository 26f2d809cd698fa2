package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/schedule"
)

func decode(t testing.TB, text string) *schedule.Schedule {
	t.Helper()
	r, err := strictjson.Parse("x", []byte(text))
	require.NoError(t, err)
	s, err := schedule.Decode(r)
	require.NoError(t, err)
	return s
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return at
}

func TestOpen(t *testing.T) {
	const (
		office   = `{"timezone":"Europe/Prague","active":[{"days":["mon-fri"],"from":"06:00","to":"22:00"}]}`
		night    = `{"active":[{"days":["fri"],"from":"22:00","to":"06:00"}]}`
		muted    = `{"active":[{"from":"08:00"}],"mute":[{"days":["Sunday"]},{"dates":["12-24/12-26","2026-11-17"]}]}`
		newYear  = `{"active":[{"dates":["12-31/01-01"]}]}`
		leap     = `{"active":[{"dates":["02-29"]}]}`
		weekend  = `{"active":[{"days":["FRI-mon"]}]}`
		second   = `{"active":[{"from":"10:00:30","to":"10:00:31"}]}`
		midnight = `{"active":[{"days":["tue"],"from":"23:00","to":"24:00"}]}`
		springEU = `{"timezone":"Europe/Prague","active":[{"from":"02:30","to":"04:00"}]}` // the gap is 02:00 to 03:00
		inGap    = `{"timezone":"Europe/Prague","active":[{"from":"02:10","to":"02:50"}]}`
		autumnEU = `{"timezone":"Europe/Prague","active":[{"from":"02:15","to":"02:30"}]}` // 02:00 to 03:00 comes twice
		stJohns  = `{"timezone":"America/St_Johns","active":[{"days":["sun"]}]}`
	)
	tests := []struct {
		schedule, at string
		want         bool
	}{
		{`{}`, "2026-01-01T00:00:00Z", true},
		{`{"mute":[{}]}`, "2026-01-01T00:00:00Z", false},
		{`{"mute":[]}`, "2026-01-01T00:00:00Z", true},
		{office, "2026-11-20T04:59:59Z", false},
		{office, "2026-11-20T05:00:00Z", true},
		{office, "2026-11-20T20:59:59.999Z", true},
		{office, "2026-11-20T21:00:00Z", false},
		{office, "2026-11-21T12:00:00Z", false},
		{night, "2026-11-20T22:00:00Z", true}, // a Friday
		{night, "2026-11-21T05:59:59Z", true},
		{night, "2026-11-21T06:00:00Z", false},
		{night, "2026-11-20T05:00:00Z", false}, // Thursday's night
		{muted, "2026-11-20T07:59:59Z", false},
		{muted, "2026-11-20T08:00:00Z", true},
		{muted, "2026-11-22T12:00:00Z", false},
		{muted, "2030-12-26T12:00:00Z", false},
		{muted, "2030-12-27T12:00:00Z", true},
		{muted, "2026-11-17T12:00:00Z", false},
		{muted, "2027-11-17T12:00:00Z", true},
		{newYear, "2026-12-30T23:59:59Z", false},
		{newYear, "2026-12-31T00:00:00Z", true},
		{newYear, "2027-01-01T23:59:59Z", true},
		{newYear, "2027-01-02T00:00:00Z", false},
		{leap, "2027-03-01T00:00:00Z", false},
		{leap, "2028-02-29T00:00:00Z", true},
		{weekend, "2026-11-20T00:00:00Z", true},
		{weekend, "2026-11-23T23:59:59Z", true},
		{weekend, "2026-11-24T00:00:00Z", false},
		{second, "2026-11-24T10:00:29Z", false},
		{second, "2026-11-24T10:00:30Z", true},
		{second, "2026-11-24T10:00:31Z", false},
		{midnight, "2026-11-24T23:59:59Z", true},
		{midnight, "2026-11-25T00:00:00Z", false},
		{springEU, "2026-03-29T00:59:59Z", false},
		{springEU, "2026-03-29T01:00:00Z", true}, // 03:00, the first instant after the gap
		{springEU, "2026-03-29T02:00:00Z", false},
		{inGap, "2026-03-29T00:59:59Z", false},
		{inGap, "2026-03-29T01:00:00Z", false},
		{autumnEU, "2026-10-25T00:14:59Z", false},
		{autumnEU, "2026-10-25T00:15:00Z", true}, // the first 02:15
		{autumnEU, "2026-10-25T01:29:59Z", true},
		{autumnEU, "2026-10-25T01:30:00Z", false},                                                 // the second 02:30
		{`{"timezone":"Europe/Prague","active":[{"to":"02:00"}]}`, "2026-10-25T00:00:00Z", false}, // the first 02:00
		{`{"timezone":"Europe/Prague","active":[{"to":"03:00"}]}`, "2026-10-25T01:59:59Z", true},
		{`{"timezone":"Europe/Prague","active":[{"to":"03:00"}]}`, "2026-03-29T00:59:59Z", true},
		{`{"timezone":"Europe/Prague","active":[{"to":"03:00"}]}`, "2026-03-29T01:00:00Z", false},
		{stJohns, "2006-10-29T02:29:59Z", false},
		{stJohns, "2006-10-29T02:30:30Z", true}, // Sunday, for a minute
		{stJohns, "2006-10-29T02:45:00Z", true}, // Saturday again, but Sunday has begun
	}
	for _, test := range tests {
		t.Run(test.schedule+test.at, func(t *testing.T) {
			s := decode(t, test.schedule)
			assert.Equal(t, test.want, s.Open(at(t, test.at)))
			var c schedule.Cursor
			assert.Equal(t, test.want, c.Open(s, at(t, test.at)))
		})
	}
}

func TestNext(t *testing.T) {
	const office = `{"timezone":"Europe/Prague","active":[{"days":["mon-fri"],"from":"06:00","to":"22:00"}]}`
	tests := []struct{ schedule, at, want string }{
		{`{}`, "2026-01-01T00:00:00Z", ""},
		{`{"active":[{}]}`, "2026-01-01T00:00:00Z", ""},
		{`{"mute":[{"dates":["2020-01-01"]}]}`, "2026-01-01T00:00:00Z", ""},
		{office, "2026-11-20T20:59:59.999999999Z", "2026-11-20T21:00:00Z"},
		{office, "2026-11-20T21:00:00Z", "2026-11-23T05:00:00Z"},
		{office, "2026-11-23T05:00:00Z", "2026-11-23T21:00:00Z"},
		{`{"active":[{"to":"12:00"},{"from":"12:00"}],"mute":[{"dates":["07-01"]}]}`, "2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z"},
		{`{"active":[{"dates":["2027-06-01"]}]}`, "2026-06-01T12:00:00Z", "2027-06-01T00:00:00Z"},
		{`{"active":[{"dates":["2027-06-03"]}]}`, "2026-06-01T12:00:00Z", ""},
		{`{"timezone":"Europe/Prague","active":[{"days":["sun"]}]}`, "2026-10-25T12:00:00Z", "2026-10-25T23:00:00Z"},
	}
	for _, test := range tests {
		t.Run(test.schedule+test.at, func(t *testing.T) {
			got := decode(t, test.schedule).Next(at(t, test.at))
			if test.want == "" {
				assert.Zero(t, got)
				return
			}
			assert.Equal(t, at(t, test.want), got)
		})
	}
}

func TestScope(t *testing.T) {
	assert.True(t, decode(t, `{}`).Notify())
	assert.True(t, decode(t, `{"scope":"notify"}`).Notify())
	assert.False(t, decode(t, `{"scope":"evaluate"}`).Notify())
	assert.True(t, new(schedule.Schedule).Open(time.Time{}))
	assert.Zero(t, new(schedule.Schedule).Next(time.Time{}))
}

func TestDecodeRefuses(t *testing.T) {
	const (
		wantDate = `; want a date such as "2026-12-24" or, for every year, "12-24", or two of one form with "/" between`
		wantTime = `; want a time of day such as "06:00" or "22:30:15"`
	)
	tests := []struct{ in, want string }{
		{`[]`, `x:1:1: got an array; want an object`},
		{`{"timezon":"UTC"}`, `x:1:2: /timezon: unknown field "timezon"; did you mean "timezone"?`},
		{`{"timezone":""}`, `x:1:13: /timezone: got ""; want the IANA name of a time zone, such as "Europe/Prague"`},
		{`{"timezone":2}`, `x:1:13: /timezone: got 2; want the IANA name of a time zone, such as "Europe/Prague"`},
		{`{"timezone":"Europe/Pragu"}`, `x:1:13: /timezone: unknown time zone "Europe/Pragu"; did you mean "Europe/Prague"?`},
		{`{"timezone":"prague"}`, `x:1:13: /timezone: unknown time zone "prague"; did you mean "Europe/Prague"?`},
		{`{"timezone":"new york"}`, `x:1:13: /timezone: unknown time zone "new york"; did you mean "America/New_York"?`},
		{`{"timezone":"Local"}`, `x:1:13: /timezone: unknown time zone "Local"; want an IANA name such as "Europe/Prague"`},
		{`{"timezone":"../etc/passwd"}`, `x:1:13: /timezone: unknown time zone "../etc/passwd"; want an IANA name such as "Europe/Prague"`},
		{`{"scope":"notfy"}`, `x:1:10: /scope: got "notfy"; want "notify" or "evaluate"; did you mean "notify"?`},
		{`{"active":{}}`, `x:1:11: /active: got an object; want an array of windows`},
		{`{"active":[]}`, `x:1:11: /active: no windows; want at least one, or leave the field out for every time`},
		{`{"active":["mon"]}`, `x:1:12: /active/0: got "mon"; want an object`},
		{`{"active":[{"day":["mon"]}]}`, `x:1:13: /active/0/day: unknown field "day"; did you mean "days"?`},
		{`{"active":[{"days":"mon"}]}`, `x:1:20: /active/0/days: got "mon"; want an array of days`},
		{`{"active":[{"days":[]}]}`, `x:1:20: /active/0/days: no days; want at least one, or leave the field out for every time`},
		{`{"active":[{"days":[1]}]}`, `x:1:21: /active/0/days/0: got 1; want a day or days, such as "mon" or "mon-fri"`},
		{`{"active":[{"days":["mom"]}]}`, `x:1:21: /active/0/days/0: unknown day "mom"; did you mean "mon"?`},
		{`{"active":[{"days":["mon-"]}]}`, `x:1:21: /active/0/days/0: unknown day ""; want mon, tue, wed, thu, fri, sat, sun, or their full names`},
		{`{"mute":[{"from":"6:00"}]}`, `x:1:18: /mute/0/from: got "6:00"` + wantTime},
		{`{"mute":[{"from":6}]}`, `x:1:18: /mute/0/from: got 6` + wantTime},
		{`{"mute":[{"from":"06:60"}]}`, `x:1:18: /mute/0/from: got "06:60"` + wantTime},
		{`{"mute":[{"to":"24:01"}]}`, `x:1:16: /mute/0/to: got "24:01"` + wantTime},
		{`{"mute":[{"to":"+1:00"}]}`, `x:1:16: /mute/0/to: got "+1:00"` + wantTime},
		{`{"mute":[{"from":"24:00"}]}`, `x:1:18: /mute/0/from: got "24:00"; want "00:00", which is the next day's`},
		{`{"mute":[{"from":"06:00","to":"06:00"}]}`, `x:1:10: /mute/0: from and to are the same time; want them to differ, or leave out both for the whole day`},
		{`{"mute":[{"to":"00:00"}]}`, `x:1:10: /mute/0: from and to are the same time; want them to differ, or leave out both for the whole day`},
		{`{"mute":[{"dates":["2026-02-29"]}]}`, `x:1:20: /mute/0/dates/0: got "2026-02-29"` + wantDate},
		{`{"mute":[{"dates":["02-30"]}]}`, `x:1:20: /mute/0/dates/0: got "02-30"` + wantDate},
		{`{"mute":[{"dates":["12-24/2026-12-26"]}]}`, `x:1:20: /mute/0/dates/0: got "12-24/2026-12-26"` + wantDate},
		{`{"mute":[{"dates":["2026-12-26/2026-12-24"]}]}`, `x:1:20: /mute/0/dates/0: got "2026-12-26/2026-12-24", whose end is before its start` + wantDate},
		{`{"mute":[{"dates":[1224]}]}`, `x:1:20: /mute/0/dates/0: got 1224` + wantDate},
		{
			"{\"timezone\":\"UCT2\",\n\"active\":[{\"days\":[\"x\"],\"from\":\"x\"}]}",
			"x:1:13: /timezone: unknown time zone \"UCT2\"; want an IANA name such as \"Europe/Prague\"\n" +
				"x:2:20: /active/0/days/0: unknown day \"x\"; want mon, tue, wed, thu, fri, sat, sun, or their full names\n" +
				"x:2:32: /active/0/from: got \"x\"" + wantTime,
		},
		{`{"mute":[` + strings.Repeat(`{},`, 100) + `{}]}`, `x:1:9: /mute: 101 windows; want at most 100`},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			r, err := strictjson.Parse("x", []byte(test.in))
			require.NoError(t, err)
			_, err = schedule.Decode(r)
			assert.EqualError(t, err, test.want)
		})
	}
}

// span is a window as the slow twin has it: minutes from the start of a day.
type span struct {
	days     [7]bool
	from, to int
}

// stretch is minutes of a zone around a day, each with what its clocks show, in
// minutes since 1970 as UTC would count them.
type stretch struct {
	start time.Time
	wall  []int
}

func newStretch(zone *time.Location, around time.Time, days int) stretch {
	s := stretch{start: around.AddDate(0, 0, -days)}
	for i := range 2 * days * 24 * 60 {
		t := s.start.Add(time.Duration(i) * time.Minute).In(zone)
		y, m, d := t.Date()
		s.wall = append(s.wall, int(time.Date(y, m, d, t.Hour(), t.Minute(), 0, 0, time.UTC).Unix()/60))
	}
	return s
}

// mark walks minute by minute: a window lasts from the first minute at which
// clocks show its beginning or later until the last one at which they show less
// than its end.
func (s stretch) mark(windows []span) []bool {
	open := make([]bool, len(s.wall))
	for day := s.wall[0]/1440 - 2; day <= s.wall[len(s.wall)-1]/1440+2; day++ {
		weekday := time.Unix(int64(day)*86400, 0).UTC().Weekday()
		for _, w := range windows {
			if !w.days[weekday] {
				continue
			}
			to := day*1440 + w.to
			if w.to < w.from {
				to += 1440
			}
			begin := slices.IndexFunc(s.wall, func(wall int) bool { return wall >= day*1440+w.from })
			end := len(s.wall)
			for end > 0 && s.wall[end-1] >= to {
				end--
			}
			for i := max(begin, 0); begin >= 0 && i < end; i++ {
				open[i] = true
			}
		}
	}
	return open
}

func randomWindows(r *rand.Rand) (spans []span, text string) {
	names := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	var parts []string
	for range r.IntN(4) {
		w := span{from: r.IntN(24*4) * 15, to: r.IntN(24*4+1) * 15}
		if r.IntN(2) == 0 { // near the hours at which clocks change
			w.from, w.to = r.IntN(16)*15, r.IntN(16)*15
		}
		if w.from == w.to {
			w.to += 15
		}
		var days []string
		for range 1 + r.IntN(3) {
			first, last := r.IntN(7), r.IntN(7)
			days = append(days, fmt.Sprintf("%q", names[first]+"-"+names[last]))
			for day := first; ; day = (day + 1) % 7 {
				w.days[day] = true
				if day == last {
					break
				}
			}
		}
		spans = append(spans, w)
		parts = append(parts, fmt.Sprintf(`{"days":[%s],"from":"%02d:%02d","to":"%02d:%02d"}`,
			strings.Join(days, ","), w.from/60, w.from%60, w.to/60, w.to%60))
	}
	return spans, strings.Join(parts, ",")
}

func TestOpenAndNextAreThoseOfTheSlowTwin(t *testing.T) {
	tests := []struct{ zone, around string }{
		{"Europe/Prague", "2026-03-29"},
		{"Europe/Prague", "2026-10-25"},
		{"America/New_York", "2026-03-08"},
		{"America/New_York", "2026-11-01"},
		{"Australia/Lord_Howe", "2026-04-05"},
		{"Australia/Lord_Howe", "2026-10-04"},
		{"America/St_Johns", "2006-10-29"},  // back over midnight
		{"America/Havana", "2026-11-01"},    // 01:00 is 00:00 again
		{"Africa/Cairo", "2026-04-24"},      // there is no 00:00
		{"Pacific/Apia", "2011-12-30"},      // there is no such day
		{"Pacific/Kwajalein", "1993-08-21"}, // nor there
		{"Asia/Kathmandu", "2026-06-01"},
		{"UTC", "2026-06-01"},
		{"UTC", "2400-02-28"},
	}
	for _, test := range tests {
		t.Run(test.zone+test.around, func(t *testing.T) {
			zone, err := time.LoadLocation(test.zone)
			require.NoError(t, err)
			const days = 5
			minutes := newStretch(zone, at(t, test.around+"T00:00:00Z"), days)
			r := rand.New(rand.NewPCG(1, 2))
			for range 4 {
				active, activeText := randomWindows(r)
				mute, muteText := randomWindows(r)
				text := fmt.Sprintf(`{"timezone":%q,"mute":[%s]`, test.zone, muteText)
				if len(active) > 0 {
					text += fmt.Sprintf(`,"active":[%s]`, activeText)
				}
				compare(t, text+"}", minutes, minutes.mark(active), minutes.mark(mute), len(active) == 0)
			}
		})
	}
}

func compare(t *testing.T, text string, minutes stretch, active, mute []bool, always bool) {
	t.Helper()
	s := decode(t, text)
	var cursor schedule.Cursor
	const margin = 2 * 24 * 60 // windows may go over the ends of the stretch
	open := make([]bool, len(minutes.wall))
	change := time.Time{}
	for i := len(open) - margin; i >= margin; i-- {
		now := minutes.start.Add(time.Duration(i) * time.Minute)
		open[i] = (active[i] || always) && !mute[i]
		if i < len(open)-margin && open[i] != open[i+1] {
			change = now.Add(time.Minute)
		}
		got := [...]bool{s.Open(now), cursor.Open(s, now.Add(17*time.Second))}
		if want := [...]bool{open[i], open[i]}; got != want { // testify is slow for so many
			require.Equal(t, want, got, "%s at %s", text, now)
		}
		if !change.IsZero() && i%7 == 0 {
			require.Equal(t, change, s.Next(now.Add(59*time.Second)), "%s after %s", text, now)
		}
	}
}

func TestCursorFollowsItsSchedule(t *testing.T) {
	day, night := decode(t, `{"active":[{"from":"06:00","to":"22:00"}]}`), decode(t, `{"mute":[{"from":"06:00","to":"22:00"}]}`)
	noon := at(t, "2026-06-01T12:00:00Z")
	var c schedule.Cursor
	assert.True(t, c.Open(day, noon))
	assert.False(t, c.Open(night, noon))
	assert.True(t, c.Open(day, noon))
	assert.False(t, c.Open(day, noon.Add(12*time.Hour)))
	assert.Zero(t, testing.AllocsPerRun(100, func() { c.Open(day, noon); c.Open(night, noon) }))
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"timezone":"Europe/Prague","active":[{"days":["mon-fri","sun"],"from":"06:00","to":"22:00"}],"mute":[{"dates":["12-24/12-26"]}]}`, int64(1774746000))
	f.Add(`{"scope":"evaluate","active":[{"from":"22:00:01","to":"06:00"}]}`, int64(0))
	f.Add(`{"timezone":"Australia/Lord_Howe","mute":[{"dates":["2026-02-29","12-31/01-01"]}]}`, int64(-1<<40))
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		r, err := strictjson.Parse("x", []byte(text))
		if err != nil {
			return
		}
		s, err := schedule.Decode(r)
		if err != nil {
			return
		}
		now := time.Unix(seconds%(1<<36), 0)
		var c schedule.Cursor
		require.Equal(t, s.Open(now), c.Open(s, now))
		next := s.Next(now)
		if next.IsZero() {
			return
		}
		require.True(t, next.After(now))
		require.Equal(t, s.Open(now), s.Open(next.Add(-time.Second)))
		require.NotEqual(t, s.Open(now), s.Open(next))
	})
}

func BenchmarkOpen(b *testing.B) {
	s := decode(b, `{"timezone":"Europe/Prague","active":[{"days":["mon-fri"],"from":"06:00","to":"22:00"}],"mute":[{"dates":["12-24/12-26"]}]}`)
	start := at(b, "2026-11-20T00:00:00Z")
	b.Run("schedule", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Open(start)
		}
	})
	b.Run("cursor", func(b *testing.B) {
		b.ReportAllocs()
		var c schedule.Cursor
		for i := 0; b.Loop(); i++ {
			c.Open(s, start.Add(time.Duration(i)*time.Second))
		}
	})
	b.Run("next", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Next(start)
		}
	})
	never := decode(b, `{"timezone":"Europe/Prague","active":[{"days":["mon-sun"]}]}`)
	b.Run("never", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			never.Next(start)
		}
	})
}
