package twins

import (
	"iter"
	"math"
	"strings"
	"unicode"

	"tocsin.internal/rules"
)

// index lists twins under keys.
type index[K comparable] map[K]list

func (x index[K]) add(k K, t *Twin) {
	l := x[k]
	l.put(t)
	x[k] = l
}

func (x index[K]) remove(k K, id string) {
	l := x[k]
	if l.remove(id); l.len() == 0 {
		delete(x, k)
		return
	}
	x[k] = l
}

// list is a set of twins in the order of their ids. Most keys, such as serial
// numbers, are those of a single twin, for which an [ordered] would be large.
type list struct {
	one  *Twin
	many *ordered
}

func (l *list) put(t *Twin) {
	switch {
	case l.many != nil:
		l.many.put(t)
	case l.one == nil || l.one.ID == t.ID:
		l.one = t
	default:
		l.many = new(ordered)
		l.many.put(l.one)
		l.many.put(t)
		l.one = nil
	}
}

func (l *list) remove(id string) {
	switch {
	case l.many != nil:
		l.many.remove(id)
	case l.one != nil && l.one.ID == id:
		l.one = nil
	}
}

func (l list) len() int {
	switch {
	case l.many != nil:
		return l.many.len
	case l.one != nil:
		return 1
	}
	return 0
}

func (l list) each(yield func(*Twin) bool) {
	switch {
	case l.many != nil:
		l.many.each(yield)
	case l.one != nil:
		yield(l.one)
	}
}

// words are those of a twin's labels and comments, folded; some more than once.
func words(t *Twin) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, p := range t.Properties {
			if p.Key != rules.PropLabel && p.Key != rules.PropComment {
				continue
			}
			for word, rest := nextWord(p.Value.Value); word != ""; word, rest = nextWord(rest) {
				if !yield(folded(word)) {
					return
				}
			}
		}
	}
}

// folded is one text for all that are equal to s by strings.EqualFold. One in
// small ASCII letters is its own.
func folded(s string) string {
	return strings.Map(func(c rune) rune {
		least := c
		for other := unicode.SimpleFold(c); other != c; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		if 'A' <= least && least <= 'Z' {
			least += 'a' - 'A'
		}
		return least
	}, s)
}

// cell is a tenth of a degree of latitude and longitude.
type cell struct{ lat, lon int16 }

const cellsPerDegree = 10

func cellOf(l rules.Location) cell {
	return cell{int16(math.Floor(l.Lat * cellsPerDegree)), int16(math.Floor(l.Lon * cellsPerDegree))}
}

// within are lists in one of which is every twin that lies in the circle; nil
// where there is none, or where they are so many that all twins are as few.
func (r *Registry) within(c *rules.Circle) []list {
	if c == nil {
		return nil
	}
	const kmPerDegree = earthRadiusKm * math.Pi / 180
	const slack = 1e-6 // of what is computed in another way than the distance itself
	high := c.RadiusKm/kmPerDegree + slack
	if math.Abs(c.Lat)+high >= 90 {
		return nil // it holds a pole
	}
	wide := math.Asin(math.Sin(high*math.Pi/180)/math.Cos(c.Lat*math.Pi/180))*180/math.Pi + slack
	if !(wide < 180) {
		return nil
	}
	low, top := cellOf(rules.Location{Lat: c.Lat - high}), cellOf(rules.Location{Lat: c.Lat + high})
	west, east := math.Floor((c.Lon-wide)*cellsPerDegree), math.Floor((c.Lon+wide)*cellsPerDegree)
	if (float64(top.lat-low.lat)+1)*(east-west+1) > float64(r.Len()) {
		return nil
	}
	lists := []list{{}}
	for lat := low.lat; lat <= top.lat; lat++ {
		for lon := west; lon <= east; lon++ {
			for _, around := range []float64{-360, 0, 360} { // the same place on the other side of the date line
				if at := lon + around*cellsPerDegree; at >= -181*cellsPerDegree && at <= 181*cellsPerDegree {
					if l := r.byCell[cell{lat, int16(at)}]; l.len() > 0 {
						lists = append(lists, l)
					}
				}
			}
		}
	}
	return lists
}
