package geo

import (
	"fmt"
	"math"

	"tocsin.internal/internal/strictjson"
)

// Members are the members of a geofence that DecodeArea reads.
var Members = []string{"polygon", "circle"}

// maxPoints bounds one area: each sample pays for each point.
const maxPoints = 10_000

// maxRadiusKm is half of the earth's circumference: a circle beyond it is the earth.
const maxRadiusKm = math.Pi * EarthRadiusKm

// DecodeArea reads the one of [Members] that the object has, and leaves its
// others alone:
//
//	"polygon": [[50.08, 14.42], [50.09, 14.42], [50.09, 14.45]]        latitude first
//	"polygon": {"type": "Polygon", "coordinates": [[[14.42, 50.08], …]]}   GeoJSON, longitude first; further rings are holes
//	"circle":  {"lat": 50.08, "lon": 14.42, "radiusKm": 2.5}
//
// A list of points needs not repeat the first one at its end; a ring of GeoJSON
// that does not is closed with a warning. The error has every problem with its
// place.
func DecodeArea(r strictjson.Raw) (area *Area, warnings []error, err error) {
	var d decoder
	a := new(Area)
	polygon, round := r.Member("polygon"), r.Member("circle")
	switch {
	case r.Kind() != strictjson.Object:
		d.errorf(r, "got %s; want an object with a polygon or a circle", r.Shown())
	case polygon.IsZero() == round.IsZero() && polygon.IsZero():
		d.errorf(r, "no area; want a polygon or a circle")
	case polygon.IsZero() == round.IsZero():
		d.errorf(r, "both a polygon and a circle; want one of them")
	case polygon.IsZero():
		a.center, a.radiusKm = d.circle(round)
	default:
		a.rings = d.polygon(polygon)
	}
	if err := strictjson.Join(d.errs...); err != nil {
		return nil, d.warnings, err
	}
	return a, d.warnings, nil
}

// The codes of what is wrong with an area.
const (
	CodeArea     strictjson.Code = "E0501"
	CodeOpenRing strictjson.Code = "W0501" // a ring that was closed for its author
)

// decoder gathers what is wrong.
type decoder struct{ errs, warnings []error }

func (d *decoder) errorf(r strictjson.Raw, format string, args ...any) {
	d.errs = append(d.errs, r.At.As(CodeArea).Errorf(format, args...))
}

func (d *decoder) circle(r strictjson.Raw) (center Point, radiusKm float64) {
	var in struct {
		Lat      strictjson.Raw `json:"lat" strict:"required"`
		Lon      strictjson.Raw `json:"lon" strict:"required"`
		RadiusKm strictjson.Raw `json:"radiusKm" strict:"required"`
	}
	if err := r.Decode(&in); err != nil {
		d.errs = append(d.errs, err)
	}
	center = Point{d.degrees(in.Lat, "latitude", 90, ""), d.degrees(in.Lon, "longitude", halfTurn, "")}
	radiusKm, ok := in.RadiusKm.Any().(float64)
	if !in.RadiusKm.IsZero() && (!ok || radiusKm <= 0 || radiusKm > maxRadiusKm) {
		d.errorf(in.RadiusKm, "got %s; want a radius in kilometres above 0 and up to %.0f", in.RadiusKm.Shown(), math.Floor(maxRadiusKm))
	}
	return center, radiusKm
}

// degrees is a number from -most to most. An absent one is another's complaint.
func (d *decoder) degrees(r strictjson.Raw, what string, most float64, order string) float64 {
	n, ok := r.Any().(float64)
	if !r.IsZero() && (!ok || math.Abs(n) > most) {
		d.errorf(r, "got %s; want a %s from -%v to %v%s", r.Shown(), what, most, most, order)
		return 0
	}
	return n
}

// notation is how a polygon is written.
type notation struct {
	lat, lon int    // which element of a point
	most     int    // elements of a point
	order    string // for messages
}

var (
	ours    = notation{lat: 0, lon: 1, most: 2, order: " (a point is [latitude, longitude] here)"}
	geoJSON = notation{lat: 1, lon: 0, most: 3, order: " (a point is [longitude, latitude] in GeoJSON)"}
)

func (d *decoder) polygon(r strictjson.Raw) []ring {
	switch r.Kind() {
	case strictjson.Array:
		if outer, ok := d.ring(r, ours); ok {
			return []ring{outer}
		}
		return nil
	case strictjson.Object:
		return d.geoJSON(r)
	}
	d.errorf(r, "got %s; want an array of [latitude, longitude], or a GeoJSON Polygon", r.Shown())
	return nil
}

func (d *decoder) geoJSON(r strictjson.Raw) []ring {
	var in struct {
		Type        strictjson.Raw `json:"type" strict:"required"`
		Coordinates strictjson.Raw `json:"coordinates" strict:"required"`
		BBox        strictjson.Raw `json:"bbox"`
	}
	if err := r.Decode(&in); err != nil {
		d.errs = append(d.errs, err)
	}
	if !in.Type.IsZero() && in.Type.Str() != "Polygon" {
		d.errorf(in.Type, `got %s; want "Polygon"`, in.Type.Shown())
	}
	if !in.Coordinates.IsZero() && len(in.Coordinates.Elems()) == 0 {
		d.errorf(in.Coordinates, "got %s; want an array of rings, the outer one first", in.Coordinates.Shown())
		return nil
	}
	if first := in.Coordinates.Elems(); len(first) > 0 && len(first[0].Elems()) > 0 && first[0].Elems()[0].Kind() == strictjson.Number {
		d.errorf(in.Coordinates, "the coordinates are one ring; want an array of rings, so one more pair of brackets around it")
		return nil
	}
	var rings []ring
	for _, e := range in.Coordinates.Elems() {
		next, ok := d.ring(e, geoJSON)
		if ok && len(rings) > 0 && len(rings[0].points) > 0 {
			d.hole(e, &rings[0], &next)
		}
		rings = append(rings, next)
	}
	return rings
}

// hole complains about one that is not in its polygon.
func (d *decoder) hole(r strictjson.Raw, outer, hole *ring) {
	for _, p := range hole.points {
		if outer.locate(p) == outside {
			d.errorf(r, "the hole's point %s is outside of the polygon; want holes within the first ring", p)
			return
		}
	}
}

// ring reads a ring; not ok is one that cannot be one.
func (d *decoder) ring(r strictjson.Raw, in notation) (out ring, ok bool) {
	if r.Kind() != strictjson.Array {
		d.errorf(r, "got %s; want an array of points%s", r.Shown(), in.order)
		return ring{}, false
	}
	if len(r.Elems()) > maxPoints {
		d.errorf(r, "%d points; want at most %d", len(r.Elems()), maxPoints)
		return ring{}, false
	}
	before := len(d.errs)
	var points []Point
	for _, e := range r.Elems() {
		points = append(points, d.point(e, in))
	}
	if len(d.errs) > before {
		return ring{}, false
	}
	points, closed := distinct(points)
	if len(points) < 3 {
		d.errorf(r, "%d different points; want at least 3", len(points))
		return ring{}, false
	}
	if in == geoJSON && !closed {
		d.warnings = append(d.warnings, r.At.As(CodeOpenRing).Errorf("the ring is not closed; want its first point again as the last one"))
	}
	if err := unwind(points); err != nil {
		d.errorf(r, "%w", err)
		return ring{}, false
	}
	if err := simple(points); err != nil {
		d.errorf(r, "%w", err)
		return ring{}, false
	}
	return newRing(points), true
}

func (d *decoder) point(r strictjson.Raw, in notation) Point {
	n := r.Elems()
	switch {
	case r.Kind() != strictjson.Array:
		d.errorf(r, "got %s; want an array of two numbers%s", r.Shown(), in.order)
		return Point{}
	case len(n) < 2 || len(n) > in.most:
		d.errorf(r, "a point of %d elements; want two numbers%s", len(n), in.order)
		return Point{}
	}
	return Point{
		Lat: d.degrees(n[in.lat], "latitude", 90, in.order),
		Lon: d.degrees(n[in.lon], "longitude", halfTurn, in.order),
	}
}

// distinct leaves out points that repeat the one before them, and the last one
// if it closes the ring.
func distinct(points []Point) (out []Point, closed bool) {
	for i, p := range points {
		if i == 0 || p != points[i-1] {
			out = append(out, p)
		}
	}
	if n := len(out); n > 1 && out[0] == out[n-1] {
		return out[:n-1], true
	}
	return out, false
}

// unwind makes longitudes go on beyond 180 degrees where an edge crosses the
// antimeridian: the short way is meant.
func unwind(points []Point) error {
	first := points[0]
	least, most := first.Lon, first.Lon
	for i := range points {
		before := points[max(i-1, 0)]
		lon, err := follow(before, points[i])
		if err != nil {
			return err
		}
		points[i].Lon = lon
		least, most = min(least, lon), max(most, lon)
	}
	last := points[len(points)-1]
	lon, err := follow(last, first)
	switch {
	case err != nil:
		return err
	case math.Abs(lon-first.Lon) > halfTurn:
		return fmt.Errorf("the ring goes around a pole; want a circle, or a polygon beside the pole")
	case most-least >= fullTurn:
		return fmt.Errorf("the ring goes around the earth; want less than %v degrees of longitude", fullTurn)
	}
	return nil
}

// follow is the longitude of b that is nearest to a's.
func follow(a, b Point) (float64, error) {
	lon := b.Lon - fullTurn*math.Round((b.Lon-a.Lon)/fullTurn)
	if math.Abs(lon-a.Lon) == halfTurn {
		return 0, fmt.Errorf("the edge from %s to %s spans 180 degrees of longitude, so either way round is the short one; want a point in between", a, b)
	}
	return lon, nil
}

// String is the point as messages show it, latitude first.
func (p Point) String() string {
	if math.Abs(p.Lon) > halfTurn {
		p.Lon -= fullTurn * math.Round(p.Lon/fullTurn)
	}
	return fmt.Sprintf("[%v, %v]", p.Lat, p.Lon)
}
