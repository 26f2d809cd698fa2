package twins_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

func overheating() twins.Twin {
	return twins.Twin{
		ID:         "overheating",
		Visibility: twins.Private,
		Properties: []rules.Property{
			twins.URI(rules.PropType, rules.TypeModel),
			twins.URI(rules.PropHostAllowList, "http://data.iotics.com/public#allHosts"),
			twins.URI(rules.PropType, rules.TypeInteraction),
			twins.String(rules.PropInteractionConfig, `{"enabled":true}`),
			twins.URI(rules.PropHostMetaAllowList, "http://data.iotics.com/public#none"),
			twins.LangString(rules.PropLabel, "Sensor Overheating Alert", "en"),
		},
		Feeds: []rules.Feed{{ID: "temperature_status", StoreLast: true, Values: []rules.Value{{Label: "status", DataType: "string"}}}},
	}
}

func spec(t twins.Twin) twins.OutputSpec {
	return twins.OutputSpec{Interaction: t.ID, Label: t.Label(), Visibility: t.Visibility, Properties: t.Properties, Feeds: t.Feeds}
}

func TestOutput(t *testing.T) {
	source, interaction := machine(1), overheating()
	got := twins.Output(spec(interaction), &source)
	assert.Equal(t, twins.Twin{
		ID:         twins.OutputID("overheating", "machine_1"),
		Visibility: twins.Private,
		Properties: []rules.Property{
			twins.LangString(rules.PropLabel, "machine_1 (tutorial) - Sensor Overheating Alert", "en"),
			twins.URI(rules.PropModel, "overheating"),
			twins.URI(rules.PropCreatedFrom, "https://data.iotics.com/app#ByInteraction"),
			twins.URI(rules.PropDataSource, "machine_1"),
			twins.URI(rules.PropHostAllowList, "http://data.iotics.com/public#allHosts"),
			twins.URI(rules.PropHostMetaAllowList, "http://data.iotics.com/public#none"),
		},
		Location: &rules.Location{Lat: 51.5, Lon: -0.1},
		Feeds:    interaction.Feeds,
	}, got)
	assert.NotSame(t, source.Location, got.Location)

	again := twins.Output(spec(interaction), &source)
	assert.True(t, got.Equal(&again), "the same two make the same twin")
	_, ok := twins.Interaction(&got)
	assert.False(t, ok)
	assert.Empty(t, twins.Incomplete(&got), "an output twin is no interaction, nor part of one")
	assert.Equal(t, "overheating", twins.Maker(&got))
	assert.False(t, got.Has(rules.PropType, rules.Literal{Kind: rules.URI, Value: rules.TypeModel}))

	source.Location = nil
	nowhere := twins.Output(spec(interaction), &source)
	assert.Nil(t, nowhere.Location)
}

func TestOutputLabel(t *testing.T) {
	words := strings.TrimSpace(strings.Repeat("pump ", 40)) // 199 characters
	for name, tt := range map[string]struct {
		source, interaction, template, want string
	}{
		"default":                    {"pump", "too hot", "", "pump - too hot"},
		"the interaction has none":   {"pump", "", "", "pump"},
		"spaces":                     {" pump ", "too hot", "", "pump - too hot"},
		"template":                   {"pump", "too hot", "{{interaction}}: {{source}}", "too hot: pump"},
		"template without a source":  {"pump", "too hot", "Alert {{interaction}}", "pump - Alert too hot"},
		"text that looks like it":    {"{{interaction}}", "too hot", "", "{{interaction}} - too hot"},
		"just fits":                  {"pump", strings.Repeat("x", 121), "", "pump - " + strings.Repeat("x", 121)},
		"cut at a word":              {"pump", words, "", "pump - " + strings.TrimSpace(words[:120])},
		"one long word is left out":  {"pump", strings.Repeat("x", 122), "", "pump"},
		"long in bytes only":         {"pump", strings.Repeat("é", 121), "", "pump - " + strings.Repeat("é", 121)},
		"the source just fits":       {strings.Repeat("s", 128), "too hot", "", strings.Repeat("s", 128)},
		"the source is too long":     {words, "too hot", "", strings.TrimSpace(words[:125])},
		"the source is one word":     {strings.Repeat("é", 200), "too hot", "", strings.Repeat("é", 128)},
		"the source comes too late":  {"pump", words, "{{interaction}} {{source}}x", strings.TrimSpace(words[:125])},
		"the source would be cut":    {"p 1", strings.Repeat("x", 126), "{{interaction}} {{source}}", "p 1"},
		"the source ends in a dash":  {"pump -", strings.Repeat("x", 122), "", "pump - -"},
		"only spaces in the default": {"pump", " ", "", "pump"},
	} {
		t.Run(name, func(t *testing.T) {
			source := twins.Twin{ID: "id", Properties: []rules.Property{twins.LangString(rules.PropLabel, tt.source, "de")}}
			out := twins.Output(twins.OutputSpec{Interaction: "i", Label: tt.interaction, LabelTemplate: tt.template}, &source)
			assert.Equal(t, twins.LangString(rules.PropLabel, tt.want, "de"), out.Properties[0])
			assert.LessOrEqual(t, utf8.RuneCountInString(out.Label()), 128)
		})
	}
	noLabel := twins.Output(twins.OutputSpec{Interaction: "i", Label: "too hot"}, &twins.Twin{ID: "machine_1"})
	assert.Equal(t, twins.LangString(rules.PropLabel, "machine_1 - too hot", "en"), noLabel.Properties[0])
}

func TestFromModel(t *testing.T) {
	m := model()
	m.Inputs = []rules.Feed{{ID: "reset"}}
	assert.Equal(t, twins.Twin{
		ID:         "machine_1",
		Visibility: twins.Private,
		Properties: []rules.Property{
			twins.LangString(rules.PropLabel, "Machine one", "en"),
			twins.URI(rules.PropModel, "model"),
			twins.URI(rules.PropHostAllowList, "http://data.iotics.com/public#allHosts"),
		},
		Feeds:  []rules.Feed{temperature()},
		Inputs: []rules.Feed{{ID: "reset"}},
	}, twins.FromModel(&m, "machine_1", "Machine one"))
	unnamed := twins.FromModel(&m, "machine_2", "")
	assert.Equal(t, "machine_2", unnamed.Label())
}

func TestInteraction(t *testing.T) {
	typed := twins.URI(rules.PropType, rules.TypeInteraction)
	config := twins.String(rules.PropInteractionConfig, "{}")
	for name, tt := range map[string]struct {
		props  []rules.Property
		config string
		lack   string
		ok     bool
	}{
		"an interaction":      {overheating().Properties, `{"enabled":true}`, "", true},
		"the same twice":      {[]rules.Property{config, typed, config}, "{}", "", true},
		"another twin":        {machine(1).Properties, "", "", false},
		"type as text":        {[]rules.Property{twins.String(rules.PropType, rules.TypeInteraction)}, "", "", false},
		"no configuration":    {[]rules.Property{typed}, "", "no property https://data.iotics.com/app#interactionConfig", false},
		"no type":             {[]rules.Property{config}, "", "no property http://www.w3.org/1999/02/22-rdf-syntax-ns#type with uriValue https://data.iotics.com/app#Interaction", false},
		"another literal":     {[]rules.Property{typed, twins.LangString(rules.PropInteractionConfig, "{}", "en")}, "", "no stringLiteralValue in property https://data.iotics.com/app#interactionConfig", false},
		"two configurations":  {[]rules.Property{typed, config, twins.String(rules.PropInteractionConfig, "[]")}, "", "2 properties https://data.iotics.com/app#interactionConfig; want one", false},
		"empty configuration": {[]rules.Property{typed, twins.String(rules.PropInteractionConfig, "")}, "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			i := twins.Twin{ID: "i", Properties: tt.props}
			config, ok := twins.Interaction(&i)
			assert.Equal(t, tt.ok, ok)
			assert.Equal(t, tt.config, config)
			assert.Equal(t, tt.lack, twins.Incomplete(&i))
		})
	}
}

func TestMaker(t *testing.T) {
	by := twins.URI(rules.PropCreatedFrom, rules.CreatedByInteraction)
	for name, tt := range map[string]struct {
		props []rules.Property
		want  string
	}{
		"an output twin": {[]rules.Property{twins.URI(rules.PropModel, "i"), by}, "i"},
		"from a model":   {machine(1).Properties, ""},
		"no model":       {[]rules.Property{by, twins.String(rules.PropModel, "i")}, ""},
		"another origin": {[]rules.Property{twins.URI(rules.PropCreatedFrom, "x"), twins.URI(rules.PropModel, "i")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, twins.Maker(&twins.Twin{Properties: tt.props}))
		})
	}
}

// The tutorial of iotics, as far as twins go.
func TestTutorial(t *testing.T) {
	var r twins.Registry
	r.Put(model())
	isModel := twins.URI(rules.PropType, rules.TypeModel)
	models := r.Search(twins.Query{Filter: rules.Filter{Properties: []rules.Property{isModel}, Text: "Machine model (tutorial)"}})
	require.Len(t, models, 1)
	for i := range 10 {
		r.Put(machine(i))
	}
	interaction := overheating()
	r.Put(interaction)
	for i := range 10 {
		source, ok := r.Get(machine(i).ID)
		require.True(t, ok)
		r.Put(twins.Output(spec(interaction), source))
	}
	outputs := r.Search(twins.Query{Filter: rules.Filter{Properties: []rules.Property{twins.URI(rules.PropModel, interaction.ID)}}})
	require.Len(t, outputs, 10)
	for _, o := range outputs {
		_, ok := o.Feed("temperature_status")
		assert.True(t, ok)
	}
	models = r.Search(twins.Query{Filter: rules.Filter{Properties: []rules.Property{isModel}, Text: "Machine model (tutorial)"}})
	require.Len(t, models, 1, "a second run of the program finds its model, and not the interaction or its outputs")
	assert.Equal(t, "model", models[0].ID)
}
