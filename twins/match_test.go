package twins_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

func TestMatchText(t *testing.T) {
	for name, tt := range map[string]struct {
		text, label string
		want        bool
	}{
		"the whole label":           {"Machine model (tutorial)", "Machine model (tutorial)", true},
		"any keyword is enough":     {"nothing model", "Machine model", true},
		"no keyword":                {"nothing else", "Machine model", false},
		"case":                      {"MACHINE", "machine", true},
		"case of other letters":     {"ÄPFEL straße", "äpfel", true},
		"a part of a word":          {"mach", "machine", false},
		"a word is a part":          {"machines", "machine", false},
		"punctuation around":        {"(model)", "a model.", true},
		"several words in one":      {"machine_1", "machine_1 (tutorial)", true},
		"only the first of them":    {"machine_1", "machine_2 (tutorial)", false},
		"the second is longer":      {"machine_1", "machine_12", false},
		"another separator":         {"machine_1", "Machine 1", true},
		"not in sequence":           {"machine_1", "1 machine", false},
		"in sequence later":         {"a_b", "a a b", true},
		"a word of a compound":      {"machine", "machine_1", true},
		"a digit":                   {"1", "machine_1", true},
		"a digit in a word":         {"1", "machine1", false},
		"accents are letters":       {"pum", "pumé", false},
		"combining marks":           {"pume\u0301", "Pume\u0301 1", true},
		"combining marks, other":    {"pume", "pume\u0301", false},
		"another script":            {"насос", "Насос 1", true},
		"no words at all":           {"- !", "machine - !", false},
		"a keyword without a word":  {"- machine", "machine", true},
		"an empty label":            {"machine", "", false},
		"a keyword at the end":      {"b_c", "a b", false},
		"what is not UTF-8":         {"pump", "\xff pump \xfe", true},
		"text that is not UTF-8":    {"\xff", "\xff", false},
		"non-breaking space parts":  {"machine\u00a01", "1", true},
		"asks for nothing if empty": {"", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			f := &rules.Filter{Text: tt.text}
			for _, key := range []string{rules.PropLabel, rules.PropComment} {
				assert.Equal(t, tt.want, twins.Match(f, &twins.Twin{Properties: []rules.Property{twins.String(key, tt.label)}}), key)
			}
			if tt.text != "" {
				other := &twins.Twin{ID: tt.label, Properties: []rules.Property{
					twins.String("k", tt.label), twins.String(rules.PropInteractionConfig, tt.label),
				}}
				assert.False(t, twins.Match(f, other), "only labels and comments are searched")
			}
		})
	}
}

func TestMatchProperties(t *testing.T) {
	m := machine(1)
	model := twins.URI(rules.PropModel, "model")
	serial := twins.String("https://data.iotics.com/tutorial#serialNumber", "000001")
	for name, tt := range map[string]struct {
		filter rules.Filter
		want   bool
	}{
		"nothing":           {rules.Filter{}, true},
		"one":               {rules.Filter{Properties: []rules.Property{model}}, true},
		"all":               {rules.Filter{Properties: []rules.Property{model, serial}}, true},
		"not all":           {rules.Filter{Properties: []rules.Property{model, twins.URI("k", "v")}}, false},
		"another value":     {rules.Filter{Properties: []rules.Property{twins.URI(rules.PropModel, "Model")}}, false},
		"another literal":   {rules.Filter{Properties: []rules.Property{twins.String(rules.PropModel, "model")}}, false},
		"another language":  {rules.Filter{Properties: []rules.Property{twins.LangString(rules.PropLabel, "machine_1 (tutorial)", "de")}}, false},
		"the same language": {rules.Filter{Properties: []rules.Property{twins.LangString(rules.PropLabel, "machine_1 (tutorial)", "en")}}, true},
		"and text":          {rules.Filter{Properties: []rules.Property{model}, Text: "tutorial"}, true},
		"and other text":    {rules.Filter{Properties: []rules.Property{model}, Text: "pump"}, false},
		"text and others":   {rules.Filter{Properties: []rules.Property{twins.URI("k", "v")}, Text: "tutorial"}, false},
		"all three": {rules.Filter{
			Properties: []rules.Property{model}, Text: "tutorial",
			Location: &rules.Circle{Location: rules.Location{Lat: 51.5, Lon: -0.1}, RadiusKm: 1},
		}, true},
		"all but the place": {rules.Filter{
			Properties: []rules.Property{model}, Text: "tutorial",
			Location: &rules.Circle{Location: rules.Location{Lat: 51.5, Lon: 0}, RadiusKm: 1},
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, twins.Match(&tt.filter, &m))
		})
	}
}

func TestMatchLocation(t *testing.T) {
	for name, tt := range map[string]struct {
		center rules.Location
		km     float64
		at     *rules.Location
		want   bool
	}{
		"no location":            {rules.Location{}, 1e9, nil, false},
		"the same place":         {rules.Location{Lat: 51.5, Lon: -0.1}, 0.001, &rules.Location{Lat: 51.5, Lon: -0.1}, true},
		"one degree north":       {rules.Location{}, 111.2, &rules.Location{Lat: 1}, true},
		"one degree north, less": {rules.Location{}, 111.1, &rules.Location{Lat: 1}, false},
		"one degree east at 60°": {rules.Location{Lat: 60}, 55.6, &rules.Location{Lat: 60, Lon: 1}, true},
		"the same, less":         {rules.Location{Lat: 60}, 55.5, &rules.Location{Lat: 60, Lon: 1}, false},
		"over the date line":     {rules.Location{Lon: 179.9}, 23, &rules.Location{Lon: -179.9}, true},
		"over the pole":          {rules.Location{Lat: 89.9}, 23, &rules.Location{Lat: 89.9, Lon: 180}, true},
		"the two names of 180°":  {rules.Location{Lat: 10, Lon: 180}, 0.001, &rules.Location{Lat: 10, Lon: -180}, true},
		"London to Paris":        {rules.Location{Lat: 51.5074, Lon: -0.1278}, 344, &rules.Location{Lat: 48.8566, Lon: 2.3522}, true},
		"London to Paris, less":  {rules.Location{Lat: 51.5074, Lon: -0.1278}, 343, &rules.Location{Lat: 48.8566, Lon: 2.3522}, false},
		"the other side":         {rules.Location{Lat: 30, Lon: 20}, 20016, &rules.Location{Lat: -30, Lon: -160}, true},
		"the other side, less":   {rules.Location{Lat: 30, Lon: 20}, 20015, &rules.Location{Lat: -30, Lon: -160}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := &rules.Filter{Location: &rules.Circle{Location: tt.center, RadiusKm: tt.km}}
			assert.Equal(t, tt.want, twins.Match(f, &twins.Twin{Location: tt.at}))
		})
	}
}
