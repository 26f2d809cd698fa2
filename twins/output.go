package twins

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"tocsin.internal/rules"
)

// maxLabel bounds the label of an output twin, in characters.
const maxLabel = 128

// defaultLang is the language of a label when the source twin's label names none.
const defaultLang = "en"

// OutputSpec is what output twins have of their interaction twin.
type OutputSpec struct {
	Interaction string           // the interaction twin's id
	Label       string           // its label
	Visibility  string           // its visibility
	Properties  []rules.Property // its properties; only the allow lists are copied
	Feeds       []rules.Feed     // the output feeds

	// LabelTemplate is the text of the label, in which {{source}} and
	// {{interaction}} stand for the two labels; "" is "{{source}} - {{interaction}}".
	LabelTemplate string
}

// Output is the twin that the interaction makes of source. Its label contains
// the source's, of which the template cannot deprive it, and has at most 128
// characters: it ends at a word, and a source's label that is longer is cut.
// It never has the types of the interaction twin, nor its configuration. The
// feeds are shared with in, not copied.
func Output(in OutputSpec, source *Twin) Twin {
	t := Twin{
		ID:         OutputID(in.Interaction, source.ID),
		Visibility: in.Visibility,
		Properties: []rules.Property{
			outputLabel(in, source),
			URI(rules.PropModel, in.Interaction),
			URI(rules.PropCreatedFrom, rules.CreatedByInteraction),
			URI(rules.PropDataSource, source.ID),
		},
		Feeds: in.Feeds,
	}
	t.Properties = appendAllowLists(t.Properties, in.Properties)
	if source.Location != nil {
		at := *source.Location
		t.Location = &at
	}
	return t
}

func appendAllowLists(to, from []rules.Property) []rules.Property {
	for _, p := range from {
		if p.Key == rules.PropHostAllowList || p.Key == rules.PropHostMetaAllowList {
			to = append(to, p)
		}
	}
	return to
}

// outputLabel is a langLiteral because clients read no other.
func outputLabel(in OutputSpec, source *Twin) rules.Property {
	lang := defaultLang
	if l, ok := source.label(); ok && l.Lang != "" {
		lang = l.Lang
	}
	label := strings.TrimSpace(source.Label())
	template := in.LabelTemplate
	if template == "" {
		template = "{{source}} - {{interaction}}"
	}
	text := strings.NewReplacer("{{source}}", label, "{{interaction}}", in.Label).Replace(template)
	if !strings.Contains(text, label) {
		text = label + " - " + text
	}
	return LangString(rules.PropLabel, fitLabel(text, label), lang)
}

// fitLabel shortens text, which contains label, to the longest allowed, and
// keeps label whole if it fits.
func fitLabel(text, label string) string {
	text = cutAtWord(text)
	if bare := strings.TrimRight(text, " -"); strings.Contains(bare, label) {
		return bare
	}
	if strings.Contains(text, label) {
		return text
	}
	return cutAtWord(label)
}

// cutAtWord shortens text to at most maxLabel characters, after a whole word
// if there is one.
func cutAtWord(text string) string {
	if utf8.RuneCountInString(text) <= maxLabel {
		return strings.TrimSpace(text)
	}
	runes := []rune(text)
	end := maxLabel
	for end > 0 && !unicode.IsSpace(runes[end]) {
		end--
	}
	if cut := strings.TrimSpace(string(runes[:end])); cut != "" {
		return cut
	}
	return string(runes[:maxLabel])
}

// FromModel is a new twin made from a model: with its feeds, inputs,
// visibility and allow lists, and without its type. A label of "" is the id.
// The feeds and inputs are shared with the model, not copied.
func FromModel(model *Twin, id, label string) Twin {
	if label == "" {
		label = id
	}
	t := Twin{
		ID:         id,
		Visibility: model.Visibility,
		Properties: []rules.Property{LangString(rules.PropLabel, label, defaultLang), URI(rules.PropModel, model.ID)},
		Feeds:      model.Feeds,
		Inputs:     model.Inputs,
	}
	t.Properties = appendAllowLists(t.Properties, model.Properties)
	return t
}

// Model is the id of the twin that a twin was made from; "" when it says none.
func Model(t *Twin) string { return uri(t, rules.PropModel) }

// IsModel says whether the twin is one that others are made from.
func IsModel(t *Twin) bool {
	return t.Has(rules.PropType, rules.Literal{Kind: rules.URI, Value: rules.TypeModel})
}

// Maker is the interaction that made an output twin, or "" for any other twin.
func Maker(t *Twin) string {
	if !t.Has(rules.PropCreatedFrom, rules.Literal{Kind: rules.URI, Value: rules.CreatedByInteraction}) {
		return ""
	}
	return uri(t, rules.PropModel)
}

// Source is the twin that an output twin was made of, or "" for any other twin.
func Source(t *Twin) string {
	if Maker(t) == "" {
		return ""
	}
	return uri(t, rules.PropDataSource)
}

// uri is the first URI of that property, or "".
func uri(t *Twin, key string) string {
	for _, p := range t.Properties {
		if p.Key == key && p.Value.Kind == rules.URI {
			return p.Value.Value
		}
	}
	return ""
}

// Interaction is the configuration that an interaction twin carries: the only
// stringLiteral app#interactionConfig of a twin with rdf:type app#Interaction.
func Interaction(t *Twin) (config string, ok bool) {
	config, lack := interaction(t)
	return config, lack == ""
}

// Incomplete says what a twin lacks that is part of an interaction, such as
// its configuration. It is "" for a whole interaction and for any other twin.
func Incomplete(t *Twin) string {
	_, lack := interaction(t)
	if lack == lacksAll {
		return ""
	}
	return lack
}

const lacksAll = "no interaction"

func interaction(t *Twin) (config, lack string) {
	typed := t.Has(rules.PropType, rules.Literal{Kind: rules.URI, Value: rules.TypeInteraction})
	var all []rules.Literal
	for _, p := range t.Properties {
		if p.Key == rules.PropInteractionConfig && !slices.Contains(all, p.Value) {
			all = append(all, p.Value)
		}
	}
	switch {
	case !typed && len(all) == 0:
		return "", lacksAll
	case !typed:
		return "", fmt.Sprintf("no property %s with uriValue %s", rules.PropType, rules.TypeInteraction)
	case len(all) == 0:
		return "", "no property " + rules.PropInteractionConfig
	case len(all) > 1:
		return "", fmt.Sprintf("%d properties %s; want one", len(all), rules.PropInteractionConfig)
	case all[0].Kind != rules.StringLiteral:
		return "", "no stringLiteralValue in property " + rules.PropInteractionConfig
	}
	return all[0].Value, ""
}
