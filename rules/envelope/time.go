package envelope

import "time"

const dateAndClock = "2006-01-02T15:04:05"

// parseTime reads a time as RFC 3339 has it and gives it in UTC, where it has to
// be in the years 0 to 9999 too. The package time needs twice as long, and
// allocates for offsets that it does not know as a zone.
func parseTime(text []byte) (time.Time, bool) {
	if len(text) <= len(dateAndClock) || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' {
		return time.Time{}, false
	}
	century, year, month, day := two(text[0:]), two(text[2:]), two(text[5:]), two(text[8:])
	hour, minute, second := two(text[11:]), two(text[14:]), two(text[17:])
	if century > 99 || year > 99 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	year += 100 * century
	if month < 1 || month > 12 || day < 1 || day > days(year, month) {
		return time.Time{}, false
	}
	nanos, zone, ok := fraction(text[len(dateAndClock):])
	if !ok {
		return time.Time{}, false
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if len(zone) == 1 && zone[0] == 'Z' {
		return at, true
	}
	east, ok := offset(zone)
	if !ok {
		return time.Time{}, false
	}
	if east == 0 {
		return at, true
	}
	at = at.Add(-east)
	return at, at.Year() >= 0 && at.Year() <= 9999
}

const notDigits = 255

// two is the number that two digits make. The text has at least two bytes.
func two(text []byte) int {
	tens, ones := text[0]-'0', text[1]-'0'
	if tens > 9 || ones > 9 {
		return notDigits
	}
	return int(tens)*10 + int(ones)
}

func days(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// fraction reads a fraction of a second, if there is one, and gives the rest of
// the text. Digits beyond nanoseconds are cut off.
func fraction(text []byte) (nanos int, rest []byte, ok bool) {
	if text[0] != '.' {
		return 0, text, true
	}
	i := 1
	for ; i < len(text) && text[i]-'0' <= 9; i++ {
		if i < len(units) {
			nanos = 10*nanos + int(text[i]-'0')
		}
	}
	return nanos * units[min(i, len(units))-1], text[i:], i > 1
}

// units has how many nanoseconds the last of that many digits of a fraction
// counts.
var units = [...]int{0, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1}

// offset reads how far east of Greenwich a time is.
func offset(zone []byte) (time.Duration, bool) {
	if len(zone) != len("+00:00") || zone[0] != '+' && zone[0] != '-' || zone[3] != ':' {
		return 0, false
	}
	hours, minutes := two(zone[1:]), two(zone[4:])
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	east := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if zone[0] == '-' {
		east = -east
	}
	return east, true
}

// appendTime appends the time as time.RFC3339Nano in UTC.
func appendTime(dst []byte, at time.Time) []byte {
	year, month, day := at.UTC().Date()
	const secondsOfDay = 24 * 60 * 60
	second := int(at.Unix()%secondsOfDay+secondsOfDay) % secondsOfDay
	dst = append(dst, dateAndClock...)
	text := dst[len(dst)-len(dateAndClock):]
	put(text[0:], year/100)
	put(text[2:], year%100)
	put(text[5:], int(month))
	put(text[8:], day)
	put(text[11:], second/3600)
	put(text[14:], second/60%60)
	put(text[17:], second%60)
	if nanos := at.Nanosecond(); nanos != 0 {
		dst = appendFraction(dst, nanos)
	}
	return append(dst, 'Z')
}

// appendFraction appends a fraction of a second without zeros at its end.
func appendFraction(dst []byte, nanos int) []byte {
	dst = append(dst, ".000000000"...)
	digits := dst[len(dst)-9:]
	put(digits[0:], nanos/10_000_000)
	put(digits[2:], nanos/100_000%100)
	put(digits[4:], nanos/1_000%100)
	if rest := nanos % 1_000; rest != 0 {
		put(digits[6:], rest/10)
		digits[8] += byte(rest % 10)
	} else {
		dst = dst[:len(dst)-3]
	}
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// put writes a number below 100.
func put(text []byte, n int) { text[0], text[1] = byte('0'+n/10), byte('0'+n%10) }
