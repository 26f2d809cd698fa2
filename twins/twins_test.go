package twins_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// machine is a twin as the IOTICS tutorial makes it.
func machine(n int) twins.Twin {
	return twins.Twin{
		ID:         fmt.Sprintf("machine_%d", n),
		Visibility: twins.Private,
		Properties: []rules.Property{
			twins.URI(rules.PropHostAllowList, "http://data.iotics.com/public#allHosts"),
			twins.URI(rules.PropType, "https://data.iotics.com/tutorial#Sensor"),
			twins.URI(rules.PropModel, "model"),
			twins.String("https://data.iotics.com/tutorial#serialNumber", fmt.Sprintf("%06d", n)),
			twins.LangString(rules.PropLabel, fmt.Sprintf("machine_%d (tutorial)", n), "en"),
		},
		Location: &rules.Location{Lat: 51.5, Lon: -0.1},
		Feeds:    []rules.Feed{temperature()},
	}
}

func temperature() rules.Feed {
	return rules.Feed{
		ID: "currentTemp", StoreLast: true,
		Values: []rules.Value{{
			Label: "temperature", Comment: "Temperature in degrees Celsius",
			DataType: "decimal", Unit: "http://purl.obolibrary.org/obo/UO_0000027",
		}},
		Properties: []rules.Property{twins.LangString(rules.PropLabel, "currentTemp", "en")},
	}
}

// model is the twin that the machines are made from.
func model() twins.Twin {
	return twins.Twin{
		ID:         "model",
		Visibility: twins.Private,
		Properties: []rules.Property{
			twins.URI(rules.PropType, rules.TypeModel),
			twins.URI(rules.PropHostAllowList, "http://data.iotics.com/public#allHosts"),
			twins.LangString(rules.PropLabel, "Machine model (tutorial)", "en"),
		},
		Feeds: []rules.Feed{temperature()},
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// anyTwin has all parts of a twin, with few values, so that two of them often have some in common.
func anyTwin(r *rand.Rand) twins.Twin {
	t := twins.Twin{ID: pick(r, "a", "B", "did:iotics:x", "ü ", "-") + fmt.Sprint(r.IntN(40)), Visibility: pick(r, "", twins.Public, twins.Private)}
	for range r.IntN(5) {
		t.Properties = append(t.Properties, anyProperty(r))
	}
	if r.IntN(2) == 0 {
		t.Location = &rules.Location{Lat: pick(r, 0, 51.5, -51.49, 89.95, -90, 90, 1e-9, -0.01), Lon: pick(r, 0, -0.1, -0.15, 179.99, -180, 180, 90.0)}
	}
	for i := range r.IntN(3) {
		f := rules.Feed{ID: fmt.Sprintf("f%d", i), StoreLast: r.IntN(2) == 0}
		for j := range r.IntN(3) {
			f.Values = append(f.Values, rules.Value{Label: fmt.Sprint("v", j), Comment: anyText(r), Unit: pick(r, "", "http://u"), DataType: pick(r, "", "decimal", "string")})
		}
		for range r.IntN(2) {
			f.Properties = append(f.Properties, anyProperty(r))
		}
		t.Feeds = append(t.Feeds, f)
		if f.StoreLast = false; r.IntN(2) == 0 {
			t.Inputs = append(t.Inputs, f)
		}
	}
	return t
}

func anyProperty(r *rand.Rand) rules.Property {
	key := pick(r, rules.PropLabel, rules.PropComment, rules.PropType, "k")
	switch r.IntN(4) {
	case 0:
		return twins.URI(key, pick(r, "u", "v"))
	case 1:
		return twins.LangString(key, anyText(r), pick(r, "en", "de"))
	case 2:
		return rules.Property{Key: key, Value: rules.Literal{Kind: rules.TypedLiteral, Value: pick(r, "1", "x"), DataType: pick(r, "decimal", "string")}}
	}
	return twins.String(key, anyText(r))
}

func anyText(r *rand.Rand) string {
	return pick(r, "", "Pump 1", "pump_2 (north)", "Pumpe Süd", `"quoted" \ </script>`, "a\u2028b\x00\n", "🚰 pump", "machine")
}

func TestHelpers(t *testing.T) {
	m := machine(3)
	assert.Equal(t, "machine_3 (tutorial)", m.Label())
	assert.True(t, m.Has(rules.PropModel, rules.Literal{Kind: rules.URI, Value: "model"}))
	assert.False(t, m.Has(rules.PropModel, rules.Literal{Kind: rules.StringLiteral, Value: "model"}), "another kind of literal")
	assert.False(t, m.Has(rules.PropType, rules.Literal{Kind: rules.URI, Value: "model"}), "another key")

	f, ok := m.Feed("currentTemp")
	assert.True(t, ok)
	assert.Equal(t, temperature(), f)
	_, ok = m.Feed("currenttemp")
	assert.False(t, ok)
}

func TestLabel(t *testing.T) {
	for name, tt := range map[string]struct {
		props []rules.Property
		want  string
	}{
		"none":          {nil, "id"},
		"blank":         {[]rules.Property{twins.String(rules.PropLabel, " ")}, "id"},
		"after a blank": {[]rules.Property{twins.String(rules.PropLabel, ""), twins.String(rules.PropLabel, "x")}, "x"},
		"the first":     {[]rules.Property{twins.LangString(rules.PropLabel, "Pumpe", "de"), twins.LangString(rules.PropLabel, "pump", "en")}, "Pumpe"},
		"not a comment": {[]rules.Property{twins.String(rules.PropComment, "c")}, "id"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, (&twins.Twin{ID: "id", Properties: tt.props}).Label())
		})
	}
}

func TestEqual(t *testing.T) {
	for name, change := range map[string]func(*twins.Twin){
		"id":             func(o *twins.Twin) { o.ID = "x" },
		"visibility":     func(o *twins.Twin) { o.Visibility = twins.Public },
		"property":       func(o *twins.Twin) { o.Properties[4].Value.Lang = "de" },
		"fewer":          func(o *twins.Twin) { o.Properties = o.Properties[1:] },
		"no location":    func(o *twins.Twin) { o.Location = nil },
		"other location": func(o *twins.Twin) { o.Location = &rules.Location{Lat: 51.5} },
		"no feed":        func(o *twins.Twin) { o.Feeds = nil },
		"feed id":        func(o *twins.Twin) { o.Feeds[0].ID = "x" },
		"storeLast":      func(o *twins.Twin) { o.Feeds[0].StoreLast = false },
		"value":          func(o *twins.Twin) { o.Feeds[0].Values[0].Unit = "" },
		"feed property":  func(o *twins.Twin) { o.Feeds[0].Properties = nil },
		"input":          func(o *twins.Twin) { o.Inputs = []rules.Feed{{ID: "i"}} },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := machine(1), machine(1)
			assert.True(t, a.Equal(&b))
			change(&b)
			assert.False(t, a.Equal(&b))
			assert.False(t, b.Equal(&a))
		})
	}
	a, b := machine(1), machine(1)
	b.Inputs = []rules.Feed{}
	assert.True(t, a.Equal(&b), "no inputs are no inputs")
}
