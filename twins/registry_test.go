package twins_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

func TestRegistry(t *testing.T) {
	var r twins.Registry
	assert.Zero(t, r.Len())
	assert.Empty(t, r.Search(twins.Query{}))
	assert.Empty(t, r.Search(twins.Query{Filter: rules.Filter{Properties: []rules.Property{twins.URI("k", "v")}}}))
	assert.Empty(t, slices.Collect(r.All()))
	assert.Empty(t, r.Suggest("x"))
	assert.False(t, r.Delete("machine_1"))
	_, ok := r.Get("machine_1")
	assert.False(t, ok)

	assert.True(t, r.Put(machine(1)), "it is new")
	first, _ := r.Get("machine_1")
	assert.False(t, r.Put(machine(1)), "it says the same")
	same, _ := r.Get("machine_1")
	assert.Same(t, first, same)

	changed := machine(1)
	changed.Location = nil
	assert.True(t, r.Put(changed))
	got, _ := r.Get("machine_1")
	assert.Nil(t, got.Location)
	assert.NotNil(t, first.Location, "what was given out does not change")
	assert.Equal(t, 1, r.Len())

	assert.True(t, r.Delete("machine_1"))
	assert.False(t, r.Delete("machine_1"))
	assert.Zero(t, r.Len())
}

func TestRegistryFollowsProperties(t *testing.T) {
	var r twins.Registry
	p, q := twins.URI("k", "p"), twins.URI("k", "q")
	with := func(props ...rules.Property) int {
		return len(r.Search(twins.Query{Filter: rules.Filter{Properties: props}}))
	}
	r.Put(twins.Twin{ID: "a", Properties: []rules.Property{p, p}})
	assert.Equal(t, 1, with(p), "a property that is there twice counts once")
	r.Put(twins.Twin{ID: "a", Properties: []rules.Property{q}})
	assert.Equal(t, []int{0, 1, 0}, []int{with(p), with(q), with(p, q)})
	r.Put(twins.Twin{ID: "b", Properties: []rules.Property{p, q}})
	assert.Equal(t, []int{1, 2, 1}, []int{with(p), with(q), with(p, q)})
	r.Delete("a")
	assert.Equal(t, []int{1, 1, 1}, []int{with(p), with(q), with(p, q)})
}

func TestSearchOrderAndPages(t *testing.T) {
	var r twins.Registry
	for i := range 1500 {
		r.Put(twins.Twin{ID: fmt.Sprintf("t%04d", i), Properties: []rules.Property{twins.String(rules.PropLabel, fmt.Sprintf("pump %d", i%3))}})
	}
	for name, tt := range map[string]struct {
		query       twins.Query
		n           int
		first, last string
	}{
		"default":        {twins.Query{}, 500, "t0000", "t0499"},
		"negative":       {twins.Query{Limit: -1, Offset: -1}, 500, "t0000", "t0499"},
		"one":            {twins.Query{Limit: 1}, 1, "t0000", "t0000"},
		"at most":        {twins.Query{Limit: 5000}, 1000, "t0000", "t0999"},
		"offset":         {twins.Query{Limit: 10, Offset: 20}, 10, "t0020", "t0029"},
		"the last page":  {twins.Query{Offset: 1400}, 100, "t1400", "t1499"},
		"more keywords":  {twins.Query{Filter: rules.Filter{Text: "2 pump"}, Limit: 500}, 500, "t0002", "t1499"},
		"then fewer":     {twins.Query{Filter: rules.Filter{Text: "2 PUMP"}, Offset: 500}, 500, "t0000", "t0748"},
		"across the two": {twins.Query{Filter: rules.Filter{Text: "2 pump"}, Offset: 499, Limit: 2}, 2, "t1499", "t0000"},
		"said twice":     {twins.Query{Filter: rules.Filter{Text: "pump Pump PUMP"}, Limit: 3}, 3, "t0000", "t0002"},
		"keyword or":     {twins.Query{Filter: rules.Filter{Text: "1 2"}, Limit: 3}, 3, "t0001", "t0004"},
	} {
		t.Run(name, func(t *testing.T) {
			got := r.Search(tt.query)
			require.Len(t, got, tt.n)
			assert.Equal(t, tt.first, got[0].ID)
			assert.Equal(t, tt.last, got[len(got)-1].ID)
		})
	}
	assert.Empty(t, r.Search(twins.Query{Offset: 1500}))
	assert.Empty(t, r.Search(twins.Query{Offset: 1 << 62}))
}

func TestMatchesHasNoPages(t *testing.T) {
	var r twins.Registry
	for i := range 1500 {
		r.Put(machine(i))
	}
	f := rules.Filter{Properties: []rules.Property{twins.URI(rules.PropModel, "model")}}
	n := 0
	for range r.Matches(&f) {
		n++
	}
	assert.Equal(t, 1500, n)
	for m := range r.Matches(&f) {
		assert.Equal(t, "machine_0", m.ID)
		break
	}
}

// TestRegistryAgainstModel holds the registry to a map and Match, through many changes.
func TestRegistryAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var reg twins.Registry
	known := map[string]twins.Twin{}
	for step := range 3000 {
		switch tw := anyTwin(r); {
		case r.IntN(3) == 0:
			_, there := known[tw.ID]
			require.Equal(t, there, reg.Delete(tw.ID))
			delete(known, tw.ID)
		default:
			old, there := known[tw.ID]
			require.Equal(t, !there || !old.Equal(&tw), reg.Put(tw))
			known[tw.ID] = tw
		}
		require.Equal(t, len(known), reg.Len())
		if step%10 == 0 {
			compare(t, &reg, known, anyFilter(r), r)
		}
	}
}

func anyFilter(r *rand.Rand) rules.Filter {
	var f rules.Filter
	for range r.IntN(3) {
		f.Properties = append(f.Properties, anyProperty(r))
	}
	if r.IntN(3) == 0 {
		f.Text = pick(r, "pump", "pump_2 north", "SÜD pumpe 1", "-", "PUMP \u212aelvin", "turbine", "turbine pump")
	}
	if r.IntN(3) == 0 {
		f.Location = &rules.Circle{
			Location: rules.Location{Lat: pick(r, 0, 51.4, -51.5, 89.9, -90), Lon: pick(r, 0, -0.2, 179.9, -179.9, 90.0)},
			RadiusKm: pick(r, 0, 1, 30, 600, 6000, 12000, 30000.0),
		}
	}
	return f
}

func compare(t *testing.T, reg *twins.Registry, known map[string]twins.Twin, f rules.Filter, r *rand.Rand) {
	t.Helper()
	var all, matching []string
	for id, tw := range known {
		all = append(all, id)
		if twins.Match(&f, &tw) {
			matching = append(matching, id)
		}
	}
	slices.Sort(all)
	slices.Sort(matching)
	ids := func(seq func(func(*twins.Twin) bool)) (out []string) {
		for tw := range seq {
			got, ok := reg.Get(tw.ID)
			require.True(t, ok)
			require.Same(t, got, tw, "every list holds the newest")
			out = append(out, tw.ID)
		}
		return out
	}
	require.Equal(t, all, ids(reg.All()))
	require.Equal(t, matching, ids(reg.Matches(&f)))

	// A keyword alone tells how many of the keywords a twin has.
	score := func(id string) (n int) {
		seen := map[string]bool{}
		for k := range strings.FieldsSeq(strings.ToLower(f.Text)) {
			tw := known[id]
			if !seen[k] && twins.Match(&rules.Filter{Text: k}, &tw) {
				n++
			}
			seen[k] = true
		}
		return n
	}
	slices.SortStableFunc(matching, func(a, b string) int { return cmp.Compare(score(b), score(a)) })
	q := twins.Query{Filter: f, Limit: 1 + r.IntN(20), Offset: r.IntN(10)}
	page := matching[min(q.Offset, len(matching)):min(q.Offset+q.Limit, len(matching))]
	got := ids(slices.Values(reg.Search(q)))
	require.True(t, slices.Equal(page, got), "%v gives %v, not %v", q, got, page)
}

// TestManyTwinsInAnyOrder reaches the splitting and emptying of blocks.
func TestManyTwinsInAnyOrder(t *testing.T) {
	const n = 5000
	r := rand.New(rand.NewPCG(7, 8))
	var reg twins.Registry
	p := twins.URI("k", "v")
	for _, i := range r.Perm(n) {
		reg.Put(twins.Twin{ID: fmt.Sprintf("t%05d", i), Properties: []rules.Property{p}})
	}
	in := func() (ids []string) {
		for tw := range reg.Matches(&rules.Filter{Properties: []rules.Property{p}}) {
			ids = append(ids, tw.ID)
		}
		return ids
	}
	got := in()
	require.Len(t, got, n)
	require.True(t, slices.IsSorted(got))
	for k, i := range r.Perm(n) {
		require.True(t, reg.Delete(fmt.Sprintf("t%05d", i)))
		if k%500 == 0 {
			got := in()
			require.Len(t, got, n-k-1)
			require.True(t, slices.IsSorted(got))
		}
	}
	require.Empty(t, in())
	require.Empty(t, slices.Collect(reg.All()))
}

func TestSuggest(t *testing.T) {
	var r twins.Registry
	for i := range 10 {
		r.Put(machine(i))
	}
	r.Put(twins.Twin{ID: "did:iotics:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQbC"})
	r.Put(twins.Twin{ID: "Łódź"})
	for written, want := range map[string]string{
		"machine_3":                "machine_3",
		"machnie_3":                "machine_3",
		"Machine-3":                "machine_3",
		"machine3":                 "machine_3",
		"mashin_3":                 "machine_3",
		"machine_30":               "machine_0",
		"MACHINE_3":                "machine_3",
		"łodź":                     "Łódź",
		"pump":                     "",
		"machines of another kind": "",
		"":                         "",
		"did:iotics:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQbD": "did:iotics:iotPJFSNrw69fxyFQ1hFzRVRZsdaU9iFfQbC",
		"did:iotics:iotXqziDRUAqcb7Sd5NcCKMHi2DCvnNKmY7B": "",
	} {
		assert.Equal(t, want, r.Suggest(written), written)
	}
	for i := range 5000 {
		r.Put(machine(i))
	}
	assert.Equal(t, "machine_4711", r.Suggest("machine_4711x"))
	assert.Empty(t, r.Suggest("machine-4711"), "among many, one that is far in the order is not found, but no other is suggested")
}

// fleet is 100,000 machines of 100 models in 1,000 places.
func fleet() []twins.Twin {
	all := make([]twins.Twin, 100_000)
	for i := range all {
		m := machine(i)
		m.ID = twins.NewID("machine", fmt.Sprint(i))
		m.Properties[2] = twins.URI(rules.PropModel, fmt.Sprintf("model_%d", i%100))
		m.Location = &rules.Location{Lat: float64(i%1000)/10 - 50, Lon: float64(i%360) - 180}
		all[i] = m
	}
	return all
}

func filled(all []twins.Twin) *twins.Registry {
	var r twins.Registry
	for _, t := range all {
		r.Put(t)
	}
	return &r
}

func BenchmarkSearch(b *testing.B) {
	r := filled(fleet())
	model := []rules.Property{twins.URI(rules.PropModel, "model_7")}
	all := []rules.Property{twins.URI(rules.PropHostAllowList, "http://data.iotics.com/public#allHosts")}
	serial := []rules.Property{twins.String("https://data.iotics.com/tutorial#serialNumber", "012345")}
	for _, bb := range []struct {
		name   string
		filter rules.Filter
		limit  int
		want   int
	}{
		{"one of 100000", rules.Filter{Properties: serial}, 0, 1},
		{"500 of 1000 by model", rules.Filter{Properties: model}, 0, 500},
		{"model and text", rules.Filter{Properties: model, Text: "machine_4007 tutorial"}, 0, 500},
		{"500 of all by allow list", rules.Filter{Properties: all}, 0, 500},
		{"text alone", rules.Filter{Text: "machine_4007"}, 0, 1},
		{"three keywords", rules.Filter{Text: "machine_4007 pump tutorial"}, 0, 500},
		{"circle alone", rules.Filter{Location: &rules.Circle{Location: rules.Location{Lat: 10, Lon: 20}, RadiusKm: 100}}, 0, -1},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			q := twins.Query{Filter: bb.filter, Limit: bb.limit}
			for b.Loop() {
				if got := r.Search(q); bb.want >= 0 && len(got) != bb.want {
					b.Fatalf("found %d, want %d", len(got), bb.want)
				}
			}
		})
	}
	b.Run("matches 1000 by model", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for range r.Matches(&rules.Filter{Properties: model}) {
				n++
			}
			if n != 1000 {
				b.Fatal(n)
			}
		}
	})
	b.Run("suggest near", func(b *testing.B) {
		id := twins.NewID("machine", "4007")
		id = id[:len(id)-1] + "?"
		for b.Loop() {
			if r.Suggest(id) == "" {
				b.Fatal("nothing")
			}
		}
	})
	b.Run("suggest nothing", func(b *testing.B) {
		id := twins.NewID("another")
		for b.Loop() {
			if r.Suggest(id) != "" {
				b.Fatal("something")
			}
		}
	})
	b.Run("put a change", func(b *testing.B) {
		t, _ := r.Get(twins.NewID("machine", "4007"))
		one, two := *t, *t
		two.Location = nil
		for i := 0; b.Loop(); i++ {
			if i%2 == 0 {
				r.Put(two)
			} else {
				r.Put(one)
			}
		}
	})
}

func BenchmarkFill(b *testing.B) {
	all := fleet()
	b.ReportAllocs()
	for b.Loop() {
		filled(all)
	}
}

func BenchmarkMatch(b *testing.B) {
	m := machine(4007)
	f := rules.Filter{
		Properties: []rules.Property{twins.URI(rules.PropModel, "model")}, Text: "pump tutorial",
		Location: &rules.Circle{Location: rules.Location{Lat: 51, Lon: 0}, RadiusKm: 100},
	}
	b.ReportAllocs()
	for b.Loop() {
		if !twins.Match(&f, &m) {
			b.Fatal("no match")
		}
	}
}
