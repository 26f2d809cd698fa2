package geo_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules/geo"
)

func decode(t testing.TB, text string) *geo.Area {
	t.Helper()
	r, err := strictjson.Parse("x", []byte(text))
	require.NoError(t, err)
	a, warnings, err := geo.DecodeArea(r)
	require.NoError(t, err)
	require.Empty(t, warnings)
	return a
}

func TestDistanceKm(t *testing.T) {
	tests := []struct {
		name string
		a, b geo.Point
		want float64
	}{
		{"the same", geo.Point{Lat: 50, Lon: 14}, geo.Point{Lat: 50, Lon: 14}, 0},
		{"a degree of latitude", geo.Point{Lat: 50, Lon: 14}, geo.Point{Lat: 51, Lon: 14}, math.Pi / 180 * geo.EarthRadiusKm},
		{"a degree over the antimeridian", geo.Point{Lat: 0, Lon: 179.5}, geo.Point{Lat: 0, Lon: -179.5}, math.Pi / 180 * geo.EarthRadiusKm},
		{"the other side", geo.Point{Lat: 30, Lon: 20}, geo.Point{Lat: -30, Lon: -160}, math.Pi * geo.EarthRadiusKm},
		{"the pole, by any longitude", geo.Point{Lat: 90, Lon: 0}, geo.Point{Lat: 90, Lon: 123}, 0},
		{"Prague to Vienna", geo.Point{Lat: 50.0755, Lon: 14.4378}, geo.Point{Lat: 48.2082, Lon: 16.3738}, 250.9},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.InDelta(t, test.want, geo.DistanceKm(test.a, test.b), 0.1)
			assert.InDelta(t, test.want, geo.DistanceKm(test.b, test.a), 0.1)
		})
	}
}

const (
	square  = `{"polygon":[[50,14],[51,14],[51,15],[50,15]]}`
	holed   = `{"polygon":{"type":"Polygon","coordinates":[[[0,0],[10,0],[10,10],[0,10],[0,0]],[[4,4],[6,4],[6,6],[4,6],[4,4]]]}}`
	fiji    = `{"polygon":[[-20,176],[-20,-178],[-12,-178],[-12,176]]}`
	fijiE   = `{"polygon":[[-20,-178],[-12,-178],[-12,176],[-20,176]]}`
	fijiH   = `{"polygon":{"type":"Polygon","coordinates":[[[176,-20],[-178,-20],[-178,-12],[176,-12],[176,-20]],[[-179,-17],[-179,-15],[179,-15],[179,-17],[-179,-17]]]}}`
	disc    = `{"circle":{"lat":50,"lon":14,"radiusKm":10}}`
	disc180 = `{"circle":{"lat":0,"lon":180,"radiusKm":100}}`
	concave = `{"polygon":[[0,0],[0,10],[10,10],[1,5]]}`
)

func TestContains(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	tests := []struct {
		area     string
		lat, lon float64
		want     bool
	}{
		{square, 50.5, 14.5, true},
		{square, 50.5, 14.5 + 360, true},
		{square, 50.5, 14.5 - 720, true},
		{square, 50, 14.5, true},
		{square, 50, 14, true},
		{square, 51, 15, true},
		{square, 50.5, 15, true},
		{square, 49.999999, 14.5, false},
		{square, 50.5, 15.000001, false},
		{square, 50, 13.9, false},
		{square, nan, 14.5, false},
		{square, 50.5, nan, false},
		{square, 50.5, inf, false},
		{square, 91, 14.5, false},
		{concave, 0.5, 5, true},
		{concave, 1, 5, true},
		{concave, 2, 5, false},
		{concave, 8, 9, true},
		{holed, 2, 2, true},
		{holed, 5, 5, false},
		{holed, 4, 5, true},
		{holed, 4, 4, true},
		{holed, 11, 5, false},
		{fiji, -17, 179, true},
		{fiji, -17, -179, true},
		{fiji, -17, 180, true},
		{fiji, -17, -180, true},
		{fiji, -17, 176, true},
		{fiji, -17, -178, true},
		{fiji, -17, 0, false},
		{fiji, -17, 175, false},
		{fiji, -17, -177, false},
		{fijiE, -17, 179, true},
		{fijiE, -17, -179, true},
		{fijiE, -17, 0, false},
		{fijiH, -16, 180, false},
		{fijiH, -16, -179.5, false},
		{fijiH, -16, 178.5, true},
		{fijiH, -16, 179, true},
		{disc, 50, 14, true},
		{disc, 50.08, 14, true},
		{disc, 50.1, 14, false},
		{disc, nan, 14, false},
		{disc180, 0, -179.5, true},
		{disc180, 0, 179.5, true},
		{disc180, 0, 179, false},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %v %v", test.area, test.lat, test.lon), func(t *testing.T) {
			assert.Equal(t, test.want, decode(t, test.area).Contains(geo.Point{Lat: test.lat, Lon: test.lon}))
		})
	}
}

func TestDistanceToTheBorder(t *testing.T) {
	const degree = math.Pi / 180 * geo.EarthRadiusKm
	tests := []struct {
		area           string
		lat, lon, want float64
	}{
		{square, 52, 14.5, degree},
		{square, 50.9, 14.5, degree / 10},
		{square, 50, 14.3, 0},
		{square, 50, 14, 0},
		{square, 49, 14, degree},
		{concave, 0.5, 2.5, 0},
		{`{"polygon":[[0,0],[0,1],[1,1],[1e-200,0]]}`, -1, 0, degree},
		{holed, 5, 5, 0.9962 * degree},
		{holed, 5, -1, 0.9962 * degree},
		{fiji, -11, 180, degree},
		{fiji, -11, -180, degree},
		{fiji, -20, 179.3, 0},
		{fijiE, -20, -179.3, 0},
		{disc, 50, 14, 10},
		{disc, 51, 14, degree - 10},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %v %v", test.area, test.lat, test.lon), func(t *testing.T) {
			got := decode(t, test.area).DistanceKm(geo.Point{Lat: test.lat, Lon: test.lon})
			if test.want == 0 {
				assert.Zero(t, got)
				return
			}
			assert.InEpsilon(t, test.want, got, 1e-3)
		})
	}
	assert.True(t, math.IsNaN(decode(t, square).DistanceKm(geo.Point{Lat: 91})))
	assert.True(t, math.IsNaN(decode(t, disc).DistanceKm(geo.Point{Lon: math.Inf(-1)})))
}

func TestDecodeAreaRefuses(t *testing.T) {
	const (
		latFirst = ` (a point is [latitude, longitude] here)`
		lonFirst = ` (a point is [longitude, latitude] in GeoJSON)`
	)
	tests := []struct{ in, want string }{
		{`[]`, `x:1:1: got an array; want an object with a polygon or a circle`},
		{`{"on":"enter"}`, `x:1:1: no area; want a polygon or a circle`},
		{`{"polygon":[],"circle":{}}`, `x:1:1: both a polygon and a circle; want one of them`},
		{`{"polygon":null}`, `x:1:12: /polygon: got null; want an array of [latitude, longitude], or a GeoJSON Polygon`},
		{`{"polygon":[]}`, `x:1:12: /polygon: 0 different points; want at least 3`},
		{`{"polygon":[[0,0],[1,1]]}`, `x:1:12: /polygon: 2 different points; want at least 3`},
		{`{"polygon":[[0,0],[1,1],[1,1],[0,0]]}`, `x:1:12: /polygon: 2 different points; want at least 3`},
		{`{"polygon":[[0,0],[91,1],[1,181]]}`, "x:1:20: /polygon/1/0: got 91; want a latitude from -90 to 90" + latFirst +
			"\nx:1:29: /polygon/2/1: got 181; want a longitude from -180 to 180" + latFirst},
		{`{"polygon":[[0,"0"],[1,1,5],7]}`, "x:1:16: /polygon/0/1: got \"0\"; want a longitude from -180 to 180" + latFirst +
			"\nx:1:21: /polygon/1: a point of 3 elements; want two numbers" + latFirst +
			"\nx:1:29: /polygon/2: got 7; want an array of two numbers" + latFirst},
		{`{"polygon":[[0,0],[1,1],[0,1],[1,0]]}`, `x:1:12: /polygon: the ring crosses itself: the edge from [0, 0] to [1, 1] meets that from [0, 1] to [1, 0]; want a simple polygon`},
		{`{"polygon":[[0,0],[1,1],[2,2]]}`, `x:1:12: /polygon: the ring crosses itself: the edge from [0, 0] to [1, 1] meets that from [2, 2] to [0, 0]; want a simple polygon`},
		{`{"polygon":[[0,0],[0,4],[4,4],[0,2],[4,0]]}`, `x:1:12: /polygon: the ring crosses itself: the edge from [0, 0] to [0, 4] meets that from [0, 2] to [4, 0]; want a simple polygon`},
		{`{"polygon":[[0,-179],[1,179],[0,179],[1,-179]]}`, `x:1:12: /polygon: the ring crosses itself: the edge from [0, -179] to [1, 179] meets that from [0, 179] to [1, -179]; want a simple polygon`},
		{`{"polygon":[[0,0],[0,180],[10,90]]}`, `x:1:12: /polygon: the edge from [0, 0] to [0, 180] spans 180 degrees of longitude, so either way round is the short one; want a point in between`},
		{`{"polygon":[[80,0],[80,120],[80,-120]]}`, `x:1:12: /polygon: the ring goes around a pole; want a circle, or a polygon beside the pole`},
		{`{"polygon":[[0,0],[0,120],[0,-120],[0,-1],[10,-1],[10,-120],[10,120],[10,0]]}`, ``},
		{`{"polygon":[[0,0],[0,120],[0,-120],[0,1],[10,1],[10,-120],[10,120],[10,0]]}`, `x:1:12: /polygon: the ring goes around the earth; want less than 360 degrees of longitude`},
		{`{"polygon":{"type":"MultiPolygon","coordinates":3,"crs":1}}`, "x:1:20: /polygon/type: got \"MultiPolygon\"; want \"Polygon\"" +
			"\nx:1:49: /polygon/coordinates: got 3; want an array of rings, the outer one first" +
			"\nx:1:51: /polygon/crs: unknown field \"crs\"; want one of bbox, coordinates, type"},
		{`{"polygon":{"type":"Polygon","coordinates":["x"]}}`, `x:1:45: /polygon/coordinates/0: got "x"; want an array of points` + lonFirst},
		{`{"polygon":[[10,0],[0,90],[0,180]]}`, `x:1:12: /polygon: the edge from [0, 180] to [10, 0] spans 180 degrees of longitude, so either way round is the short one; want a point in between`},
		{`{"polygon":{}}`, "x:1:12: /polygon: field \"type\" is missing\nx:1:12: /polygon: field \"coordinates\" is missing"},
		{`{"polygon":{"type":"Polygon","coordinates":[[50,14],[51,14],[51,15]]}}`, `x:1:44: /polygon/coordinates: the coordinates are one ring; want an array of rings, so one more pair of brackets around it`},
		{`{"polygon":{"type":"Polygon","coordinates":[[[14,95],[15,50],[15,51],[14,95]]]}}`, `x:1:50: /polygon/coordinates/0/0/1: got 95; want a latitude from -90 to 90` + lonFirst +
			"\nx:1:74: /polygon/coordinates/0/3/1: got 95; want a latitude from -90 to 90" + lonFirst},
		{`{"polygon":{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]],[[5,5],[6,5],[6,6],[5,5]]]}}`, `x:1:71: /polygon/coordinates/1: the hole's point [5, 5] is outside of the polygon; want holes within the first ring`},
		{`{"circle":[1,2,3]}`, `x:1:11: /circle: got an array; want an object`},
		{`{"circle":{"lat":1,"lng":2}}`, "x:1:11: /circle: field \"lon\" is missing\nx:1:11: /circle: field \"radiusKm\" is missing\nx:1:20: /circle/lng: unknown field \"lng\"; want one of lat, lon, radiusKm"},
		{`{"circle":{"lat":-90.5,"lon":"2","radiusKm":0}}`, "x:1:18: /circle/lat: got -90.5; want a latitude from -90 to 90" +
			"\nx:1:30: /circle/lon: got \"2\"; want a longitude from -180 to 180" +
			"\nx:1:45: /circle/radiusKm: got 0; want a radius in kilometres above 0 and up to 20015"},
		{`{"circle":{"lat":0,"lon":0,"radiusKm":20016}}`, `x:1:39: /circle/radiusKm: got 20016; want a radius in kilometres above 0 and up to 20015`},
		{`{"circle":{"lat":0,"lon":0,"radiusKm":null}}`, `x:1:39: /circle/radiusKm: got null; want a radius in kilometres above 0 and up to 20015`},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			r, err := strictjson.Parse("x", []byte(test.in))
			require.NoError(t, err)
			_, _, err = geo.DecodeArea(r)
			if test.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, test.want)
		})
	}
}

func TestManyPointsAreRefused(t *testing.T) {
	points := make([][2]float64, 10_001)
	for i := range points {
		points[i] = [2]float64{math.Sin(float64(i) / 5000), math.Cos(float64(i) / 5000)}
	}
	_, _, err := geo.DecodeArea(polygon(t, points))
	assert.EqualError(t, err, "x:1:12: /polygon: 10001 points; want at most 10000")
}

func TestARingOfGeoJSONThatIsOpenIsClosedWithAWarning(t *testing.T) {
	r, err := strictjson.Parse("x", []byte(`{"polygon":{"type":"Polygon","bbox":[0,0,1,1],"coordinates":[[[0,0,250],[1,0],[1,1],[0,1]]]}}`))
	require.NoError(t, err)
	a, warnings, err := geo.DecodeArea(r)
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	assert.EqualError(t, warnings[0], `x:1:62: /polygon/coordinates/0: the ring is not closed; want its first point again as the last one`)
	assert.True(t, a.Contains(geo.Point{Lat: 0.5, Lon: 0}))
}

func polygon(t testing.TB, points [][2]float64) strictjson.Raw {
	t.Helper()
	text, err := json.Marshal(map[string]any{"polygon": points})
	require.NoError(t, err)
	r, err := strictjson.Parse("x", text)
	require.NoError(t, err)
	return r
}

// star is a polygon around a point: a spoke to each corner, so it does not cross itself.
func star(r *rand.Rand, lat, lon, size float64) [][2]float64 {
	corners := 3 + r.IntN(20)
	angles := make([]float64, corners)
	for i := range angles {
		angles[i] = (float64(i) + 0.9*r.Float64()) * 2 * math.Pi / float64(corners)
	}
	points := make([][2]float64, corners)
	for i, angle := range angles {
		spoke := size * (0.2 + 0.8*r.Float64())
		points[i] = [2]float64{lat + spoke*math.Sin(angle), lon + spoke*math.Cos(angle)}
	}
	if r.IntN(2) == 0 {
		slices.Reverse(points)
	}
	return points
}

// turned is the polygon further east, with longitudes from -180 to 180.
func turned(points [][2]float64, east float64) [][2]float64 {
	out := slices.Clone(points)
	for i := range out {
		out[i][1] = math.Remainder(out[i][1]+east, 360)
	}
	return out
}

// winds is the slow twin of Contains: how often the polygon goes around the point.
func winds(points [][2]float64, lat, lon float64) bool {
	total := 0.0
	for i, a := range points {
		b := points[(i+1)%len(points)]
		from, to := math.Atan2(a[0]-lat, a[1]-lon), math.Atan2(b[0]-lat, b[1]-lon)
		total += math.Remainder(to-from, 2*math.Pi)
	}
	return math.Abs(total) > math.Pi
}

// sampled is the slow twin of DistanceKm: the nearest of many points of the border.
func sampled(points [][2]float64, p geo.Point) float64 {
	const pieces = 2000
	least := math.Inf(1)
	for i, a := range points {
		b := points[(i+1)%len(points)]
		for j := range pieces {
			t := float64(j) / pieces
			least = min(least, geo.DistanceKm(geo.Point{Lat: a[0] + t*(b[0]-a[0]), Lon: a[1] + t*(b[1]-a[1])}, p))
		}
	}
	return least
}

func TestContainsIsThatOfTheSlowTwinOnEveryMeridian(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		points := star(r, 80*r.Float64()-40, 0, 0.01+40*r.Float64())
		east := 720*r.Float64() - 360
		a, _, err := geo.DecodeArea(polygon(t, points))
		require.NoError(t, err)
		b, _, err := geo.DecodeArea(polygon(t, turned(points, east)))
		require.NoError(t, err)
		for range 50 {
			p := geo.Point{Lat: points[0][0] + 60*(r.Float64()-0.5), Lon: points[0][1] + 60*(r.Float64()-0.5)}
			if math.Abs(p.Lat) > 90 || a.DistanceKm(p) < 1e-6 {
				continue
			}
			want := winds(points, p.Lat, p.Lon)
			there := geo.Point{Lat: p.Lat, Lon: math.Remainder(p.Lon+east, 360)}
			require.Equal(t, want, a.Contains(p), "%v in %v", p, points)
			require.Equal(t, want, b.Contains(there), "%v in %v", there, turned(points, east))
			require.InDelta(t, a.DistanceKm(p), b.DistanceKm(there), 1e-6)
		}
		for i, a := range points { // the border, turned or not
			c, t1 := points[(i+1)%len(points)], r.Float64()
			p := geo.Point{Lat: a[0] + t1*(c[0]-a[0]), Lon: math.Remainder(a[1]+t1*(c[1]-a[1])+east, 360)}
			require.True(t, b.Contains(p))
			require.Zero(t, b.DistanceKm(p))
		}
	}
}

func TestDistanceIsThatOfTheSlowTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		size := []float64{0.01, 1, 20}[r.IntN(3)]
		points := star(r, 120*r.Float64()-60, 0, size)
		a, _, err := geo.DecodeArea(polygon(t, points))
		require.NoError(t, err)
		p := geo.Point{Lat: points[0][0] + 3*size*(r.Float64()-0.5), Lon: points[0][1] + 3*size*(r.Float64()-0.5)}
		if math.Abs(p.Lat) > 85 {
			continue
		}
		want := sampled(points, p)
		require.InDelta(t, want, a.DistanceKm(p), 0.001*want+size*0.1, "%v in %v", p, points)
	}
}

func TestACircleIsByDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		center := geo.Point{Lat: 180*r.Float64() - 90, Lon: 360*r.Float64() - 180}
		p := geo.Point{Lat: 180*r.Float64() - 90, Lon: 360*r.Float64() - 180}
		d := geo.DistanceKm(center, p)
		for _, radius := range []float64{d * 0.999999, d, d * 1.000001} {
			a := decode(t, fmt.Sprintf(`{"circle":{"lat":%v,"lon":%v,"radiusKm":%v}}`, center.Lat, center.Lon, min(radius, 20015)))
			require.Equal(t, radius >= d, a.Contains(p))
			require.InDelta(t, math.Abs(radius-d), a.DistanceKm(p), 1e-9)
		}
	}
}

func TestContainsAllocatesNothing(t *testing.T) {
	for _, text := range []string{holed, fijiH, disc} {
		a := decode(t, text)
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			a.Contains(geo.Point{Lat: 5, Lon: 2})
			a.DistanceKm(geo.Point{Lat: 5, Lon: 2})
		}))
	}
}

func FuzzDecodeArea(f *testing.F) {
	for _, text := range []string{square, holed, fiji, fijiH, disc, disc180, concave} {
		f.Add(text, 5.0, 179.0)
	}
	f.Fuzz(func(t *testing.T, text string, lat, lon float64) {
		r, err := strictjson.Parse("x", []byte(text))
		if err != nil {
			return
		}
		a, _, err := geo.DecodeArea(r)
		if err != nil {
			require.Nil(t, a)
			return
		}
		p := geo.Point{Lat: lat, Lon: lon}
		d := a.DistanceKm(p)
		if math.IsNaN(d) {
			require.False(t, a.Contains(p))
			return
		}
		require.GreaterOrEqual(t, d, 0.0)
		require.LessOrEqual(t, d, math.Pi*geo.EarthRadiusKm+1e-6)
		around := geo.Point{Lat: lat, Lon: lon + 360}
		if math.Abs(lon) < 1000 && d > 1e-6 {
			require.Equal(t, a.Contains(p), a.Contains(around))
		}
	})
}

func BenchmarkArea(b *testing.B) {
	points := star(rand.New(rand.NewPCG(1, 2)), 50, 14, 0.1)
	hundred := make([][2]float64, 100)
	for i := range hundred {
		angle := float64(i) * 2 * math.Pi / 100
		hundred[i] = [2]float64{50 + 0.1*math.Sin(angle), 14 + 0.1*math.Cos(angle)}
	}
	for _, points := range [][][2]float64{points[:4], hundred} {
		a, _, err := geo.DecodeArea(polygon(b, points))
		require.NoError(b, err)
		p := geo.Point{Lat: 50.01, Lon: 14.01}
		b.Run(fmt.Sprintf("contains/%d", len(points)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.Contains(p)
			}
		})
		b.Run(fmt.Sprintf("distance/%d", len(points)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.DistanceKm(p)
			}
		})
	}
}
