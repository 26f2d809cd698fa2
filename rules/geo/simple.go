package geo

import (
	"cmp"
	"fmt"
	"slices"
)

// edge is the line from a point of a ring to the next one.
type edge struct {
	a, b Point
	n    int // its place in the ring
}

func (e *edge) west() float64 { return min(e.a.Lon, e.b.Lon) }
func (e *edge) east() float64 { return max(e.a.Lon, e.b.Lon) }

// simple complains about a ring that crosses or touches itself. It goes from
// west to east and compares each edge with those that overlap it in longitude.
func simple(points []Point) error {
	edges := make([]edge, len(points))
	for i, p := range points {
		edges[i] = edge{p, points[(i+1)%len(points)], i}
	}
	slices.SortFunc(edges, func(e, f edge) int { return cmp.Compare(e.west(), f.west()) })
	for i := range edges {
		e := &edges[i]
		for j := i + 1; j < len(edges) && edges[j].west() <= e.east(); j++ {
			if f := &edges[j]; clash(e, f, len(points)) {
				return fmt.Errorf("the ring crosses itself: the edge from %s to %s meets that from %s to %s; want a simple polygon", e.a, e.b, f.a, f.b)
			}
		}
	}
	return nil
}

// clash says whether two edges of a ring of n have a point in common that they
// should not have.
func clash(e, f *edge, n int) bool {
	switch {
	case (e.n+1)%n == f.n:
		return folds(e.a, e.b, f.b)
	case (f.n+1)%n == e.n:
		return folds(f.a, f.b, e.b)
	}
	return meet(e, f)
}

// folds says whether the way from b to c goes back over that from a to b.
func folds(a, b, c Point) bool {
	return turn(a, b, c) == 0 && (a.Lat-b.Lat)*(c.Lat-b.Lat)+(a.Lon-b.Lon)*(c.Lon-b.Lon) > 0
}

func meet(e, f *edge) bool {
	c, d := turn(e.a, e.b, f.a), turn(e.a, e.b, f.b)
	a, b := turn(f.a, f.b, e.a), turn(f.a, f.b, e.b)
	if a*b < 0 && c*d < 0 {
		return true
	}
	return c == 0 && boxed(e, f.a) || d == 0 && boxed(e, f.b) || a == 0 && boxed(f, e.a) || b == 0 && boxed(f, e.b)
}

// turn is above 0 if the way from a over b to c turns left, below if right, and
// 0 if it is straight.
func turn(a, b, c Point) float64 {
	cross := (b.Lon-a.Lon)*(c.Lat-a.Lat) - (b.Lat-a.Lat)*(c.Lon-a.Lon)
	return float64(cmp.Compare(cross, 0))
}

// boxed says whether a point in line with an edge is on it.
func boxed(e *edge, p Point) bool {
	return e.west() <= p.Lon && p.Lon <= e.east() && min(e.a.Lat, e.b.Lat) <= p.Lat && p.Lat <= max(e.a.Lat, e.b.Lat)
}
