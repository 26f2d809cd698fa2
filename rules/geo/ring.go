package geo

import "math"

// ring is a closed line. Its longitudes are unwound: neighbours are less than
// half a turn apart, so some may be beyond 180 degrees.
type ring struct {
	points   []Point // the first is not repeated at the end
	min, max Point
}

func newRing(points []Point) ring {
	r := ring{points: points, min: points[0], max: points[0]}
	for _, p := range points {
		r.min = Point{min(r.min.Lat, p.Lat), min(r.min.Lon, p.Lon)}
		r.max = Point{max(r.max.Lat, p.Lat), max(r.max.Lon, p.Lon)}
	}
	return r
}

type side uint8

const (
	outside side = iota
	onEdge
	inside
)

// near is how far from a line, in degrees, is still on it: a tenth of a millimetre.
const near = 1e-9

// locate says on which side of the ring a point is.
func (r *ring) locate(p Point) side {
	if p.Lat < r.min.Lat-near || p.Lat > r.max.Lat+near {
		return outside
	}
	p.Lon += fullTurn * math.Ceil((r.min.Lon-near-p.Lon)/fullTurn)
	for ; p.Lon <= r.max.Lon+near; p.Lon += fullTurn {
		if s := r.locateUnwound(p); s != outside {
			return s
		}
	}
	return outside
}

// locateUnwound counts how many edges a line from the point to the east crosses.
func (r *ring) locateUnwound(p Point) side {
	odd := false
	a := r.points[len(r.points)-1]
	for _, b := range r.points {
		if touches(a, b, p) {
			return onEdge
		}
		if (a.Lat > p.Lat) != (b.Lat > p.Lat) && p.Lon < a.Lon+(p.Lat-a.Lat)/(b.Lat-a.Lat)*(b.Lon-a.Lon) {
			odd = !odd
		}
		a = b
	}
	if odd {
		return inside
	}
	return outside
}

// touches says whether p is on the edge from a to b.
func touches(a, b, p Point) bool {
	if p.Lat < min(a.Lat, b.Lat)-near || p.Lat > max(a.Lat, b.Lat)+near ||
		p.Lon < min(a.Lon, b.Lon)-near || p.Lon > max(a.Lon, b.Lon)+near {
		return false
	}
	q := between(a, b, along(a, b, p, 1))
	return math.Hypot(p.Lat-q.Lat, p.Lon-q.Lon) <= near
}

// along is where on the way from a to b, from 0 to 1, the point nearest to p is,
// if a degree of longitude is width degrees of latitude wide.
func along(a, b, p Point, width float64) float64 {
	lat, lon := b.Lat-a.Lat, (b.Lon-a.Lon)*width
	length := lat*lat + lon*lon
	if length == 0 {
		return 0
	}
	return max(0, min(1, ((p.Lat-a.Lat)*lat+(p.Lon-a.Lon)*width*lon)/length))
}

func between(a, b Point, t float64) Point {
	return Point{a.Lat + t*(b.Lat-a.Lat), a.Lon + t*(b.Lon-a.Lon)}
}

func (r *ring) distanceKm(p Point) float64 {
	least := math.Inf(1)
	a := r.points[len(r.points)-1]
	for _, b := range r.points {
		pieces := math.Ceil(max(math.Abs(b.Lat-a.Lat), math.Abs(b.Lon-a.Lon), near))
		from := a
		for i := 1.0; i <= pieces; i++ {
			to := between(a, b, i/pieces)
			least = min(least, pieceKm(from, to, p))
			from = to
		}
		a = b
	}
	return least
}

// pieceKm is the distance to a piece of an edge that is at most one degree long,
// so that it is nearly flat around the middle between it and a near point.
func pieceKm(a, b, p Point) float64 {
	p.Lon -= fullTurn * math.Round((p.Lon-(a.Lon+b.Lon)/2)/fullTurn)
	if touches(a, b, p) {
		return 0
	}
	nearest := between(a, b, 0.5)
	for range 2 {
		width := math.Cos((p.Lat + nearest.Lat) / 2 * degree)
		nearest = between(a, b, along(a, b, p, width))
	}
	return DistanceKm(nearest, p)
}
