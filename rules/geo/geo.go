// Package geo says whether a point of the earth is in an area, and how far it is
// from the area's border.
package geo

import "math"

// Point is a place of the earth in degrees.
type Point struct{ Lat, Lon float64 }

// EarthRadiusKm is the mean radius of the earth that all distances use.
const EarthRadiusKm = 6371.0088

const (
	degree   = math.Pi / 180
	fullTurn = 360.0 // degrees of longitude
	halfTurn = fullTurn / 2
)

// DistanceKm is the great circle distance of two points by the haversine formula,
// on a sphere of [EarthRadiusKm]: up to 0.5 % off the ellipsoid's.
func DistanceKm(a, b Point) float64 {
	lat, lon := math.Sin((b.Lat-a.Lat)*degree/2), math.Sin((b.Lon-a.Lon)*degree/2)
	h := lat*lat + math.Cos(a.Lat*degree)*math.Cos(b.Lat*degree)*lon*lon
	return 2 * EarthRadiusKm * math.Asin(math.Sqrt(min(h, 1)))
}

// Area is a circle, or a polygon which may have holes and may lie over the
// antimeridian. It is immutable, so many may use it at once.
//
// The edges of a polygon are straight in latitude and longitude, as those of
// GeoJSON are, and go the short way round the earth.
type Area struct {
	rings    []ring // the first is the outer one; none: a circle
	center   Point
	radiusKm float64
}

// Contains says whether the point is in the area. The edge belongs to it, also
// that of a hole. A point that is not finite, or of a latitude beyond the poles,
// is nowhere; a longitude may be any turn of it.
func (a *Area) Contains(p Point) bool {
	if !p.valid() {
		return false
	}
	if len(a.rings) == 0 {
		return DistanceKm(a.center, p) <= a.radiusKm
	}
	if a.rings[0].locate(p) == outside {
		return false
	}
	for i := range a.rings[1:] {
		if a.rings[i+1].locate(p) == inside {
			return false
		}
	}
	return true
}

// DistanceKm is how far the point is from the nearest border, whether it is in
// the area or not, and 0 on the border. NaN for a point that is nowhere.
func (a *Area) DistanceKm(p Point) float64 {
	if !p.valid() {
		return math.NaN()
	}
	if len(a.rings) == 0 {
		return math.Abs(DistanceKm(a.center, p) - a.radiusKm)
	}
	least := math.Inf(1)
	for i := range a.rings {
		least = min(least, a.rings[i].distanceKm(p))
	}
	return least
}

func (p Point) valid() bool {
	return math.Abs(p.Lat) <= 90 && !math.IsNaN(p.Lon) && !math.IsInf(p.Lon, 0)
}
