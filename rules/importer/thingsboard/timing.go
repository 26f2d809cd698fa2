package thingsboard

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/importer"
)

var units = map[string]time.Duration{
	"MILLISECONDS": time.Millisecond, "SECONDS": time.Second, "MINUTES": time.Minute, "HOURS": time.Hour, "DAYS": 24 * time.Hour,
}

// lasts reads how long or how often a condition has to be true.
func (r *rule) lasts(spec strictjson.Raw) error {
	switch kind := spec.Member("type").Str(); kind {
	case "", "SIMPLE":
		return nil
	case "DURATION":
		n, err := r.number(either(spec, "value", "predicate"), "the duration")
		if err != nil {
			return err
		}
		unit, ok := units[spec.Member("unit").Str()]
		r.hold = time.Duration(n * float64(unit))
		if !ok || r.hold <= 0 {
			return errors.New("the duration is none, or its unit is not known")
		}
	case "REPEATING":
		n, err := r.number(either(spec, "count", "predicate"), "the count")
		if err != nil {
			return err
		}
		if n < 1 || n > 10_000 || n != math.Trunc(n) {
			return fmt.Errorf("a count of %v; want 1 to 10000", n)
		}
		r.count = int(n)
	default:
		return fmt.Errorf("a condition of the type %q", kind)
	}
	return nil
}

// either is the member of the newer form, or that of the older one.
func either(r strictjson.Raw, newer, older string) strictjson.Raw {
	if m := r.Member(newer); !m.IsZero() {
		return m
	}
	return r.Member(older)
}

var days = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// hours reads a schedule; nil when it is any time.
func (r *reading) hours(raw strictjson.Raw) (importer.Object, error) {
	var windows importer.List
	if raw.Member("dynamicValue").Member("sourceAttribute").Str() != "" {
		r.losses = appendNew(r.losses, "hours from an attribute; those that are written in the profile count here")
	}
	switch kind := raw.Member("type").Str(); kind {
	case "", "ANY_TIME":
		return nil, nil
	case "SPECIFIC_TIME":
		var on []int
		for _, d := range raw.Member("daysOfWeek").Elems() {
			if n, ok := d.Any().(float64); ok {
				on = append(on, int(n))
			}
		}
		window, err := r.window(on, raw)
		if err != nil {
			return nil, err
		}
		windows = append(windows, window)
	case "CUSTOM":
		for _, item := range raw.Member("items").Elems() {
			n, _ := item.Member("dayOfWeek").Any().(float64)
			if item.Member("enabled").Any() != true {
				continue
			}
			window, err := r.window([]int{int(n)}, item)
			if err != nil {
				return nil, err
			}
			windows = append(windows, window)
		}
	default:
		return nil, fmt.Errorf("hours of the type %q", kind)
	}
	if len(windows) == 0 {
		return nil, errors.New("its hours are never")
	}
	out := importer.Object{}
	if zone := raw.Member("timezone").Str(); zone != "" {
		out = append(out, importer.Member{Name: "timezone", Value: zone})
	}
	return append(out, importer.Member{Name: "active", Value: windows}, importer.Member{Name: "scope", Value: "evaluate"}), nil
}

// window is a time of the day on some days of the week, which count from Monday
// as 1.
func (r *reading) window(on []int, raw strictjson.Raw) (importer.Object, error) {
	slices.Sort(on)
	on = slices.Compact(on)
	var names importer.List
	for i := 0; i < len(on); i++ {
		if on[i] < 1 || on[i] > len(days) {
			return nil, fmt.Errorf("day %d of the week; want 1 to 7", on[i])
		}
		last := i
		for last+1 < len(on) && on[last+1] == on[last]+1 {
			last++
		}
		if last-i >= 2 {
			names = append(names, days[on[i]-1]+"-"+days[min(on[last], len(days))-1])
			i = last
			continue
		}
		names = append(names, days[on[i]-1])
	}
	var out importer.Object
	if len(on) < len(days) && len(names) > 0 {
		out = append(out, importer.Member{Name: "days", Value: names})
	}
	from, _ := raw.Member("startsOn").Any().(float64)
	to, _ := raw.Member("endsOn").Any().(float64)
	if to > from || to == 0 || from == to {
		if from == 0 && (to == 0 || to >= dayMillis) || from == to {
			return whole(out), nil
		}
	} else if len(on) < len(days) {
		r.notes = appendNew(r.notes, "hours over midnight: here the days are those on which they begin")
	}
	return append(out, importer.Member{Name: "from", Value: clock(from)}, importer.Member{Name: "to", Value: end(to)}), nil
}

// whole is a window without times; an empty object is every day.
func whole(o importer.Object) importer.Object {
	if o == nil {
		return importer.Object{}
	}
	return o
}

const dayMillis = 24 * 60 * 60 * 1000

func end(millis float64) string {
	if millis == 0 || millis >= dayMillis {
		return "24:00"
	}
	return clock(millis)
}

// clock is a time of the day in milliseconds as text.
func clock(millis float64) string {
	seconds := int(min(max(millis, 0), dayMillis-1) / 1000)
	if seconds%60 > 0 {
		return fmt.Sprintf("%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	}
	return fmt.Sprintf("%02d:%02d", seconds/3600, seconds/60%60)
}
