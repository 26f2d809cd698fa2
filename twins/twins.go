// Package twins holds digital twins as values: what they say of themselves,
// how they are searched, and which twin an interaction makes of another. It
// does no I/O.
package twins

import (
	"slices"
	"strings"

	"tocsin.internal/rules"
)

// Twin is a digital stand-in for a thing.
type Twin struct {
	ID         string
	Visibility string // Public, Private, or "" when nothing was said
	Properties []rules.Property
	Location   *rules.Location
	Feeds      []rules.Feed
	Inputs     []rules.Feed // StoreLast means nothing here
}

// The visibilities.
const (
	Public  = "PUBLIC"
	Private = "PRIVATE"
)

// Label is the twin's first rdfs:label that is not blank, or its id when it has none.
func (t *Twin) Label() string {
	if l, ok := t.label(); ok {
		return l.Value
	}
	return t.ID
}

// Values are the values of the properties with the key, or whose key ends with
// it behind a # or /.
func (t *Twin) Values(key string) (out []string) {
	for _, p := range t.Properties {
		if p.Key == key || p.Key[strings.LastIndexAny(p.Key, "#/")+1:] == key {
			out = append(out, p.Value.Value)
		}
	}
	return out
}

func (t *Twin) label() (rules.Literal, bool) {
	for _, p := range t.Properties {
		if p.Key == rules.PropLabel && strings.TrimSpace(p.Value.Value) != "" {
			return p.Value, true
		}
	}
	return rules.Literal{}, false
}

// Has says whether the twin has exactly this property.
func (t *Twin) Has(key string, l rules.Literal) bool {
	return slices.Contains(t.Properties, rules.Property{Key: key, Value: l})
}

// Feed is the twin's feed of that id.
func (t *Twin) Feed(id string) (rules.Feed, bool) {
	for _, f := range t.Feeds {
		if f.ID == id {
			return f, true
		}
	}
	return rules.Feed{}, false
}

// Equal says whether both twins say the same, in the same order.
func (t *Twin) Equal(o *Twin) bool {
	return t.ID == o.ID && t.Visibility == o.Visibility &&
		slices.Equal(t.Properties, o.Properties) &&
		(t.Location == nil) == (o.Location == nil) && (t.Location == nil || *t.Location == *o.Location) &&
		slices.EqualFunc(t.Feeds, o.Feeds, equalFeeds) &&
		slices.EqualFunc(t.Inputs, o.Inputs, equalFeeds)
}

func equalFeeds(a, b rules.Feed) bool {
	return a.ID == b.ID && a.StoreLast == b.StoreLast &&
		slices.Equal(a.Values, b.Values) && slices.Equal(a.Properties, b.Properties)
}

// URI is a property whose value is a URI or the id of a twin.
func URI(key, value string) rules.Property {
	return rules.Property{Key: key, Value: rules.Literal{Kind: rules.URI, Value: value}}
}

// LangString is a property whose value is text in a language, such as "en".
func LangString(key, value, lang string) rules.Property {
	return rules.Property{Key: key, Value: rules.Literal{Kind: rules.LangLiteral, Value: value, Lang: lang}}
}

// String is a property whose value is text in no language.
func String(key, value string) rules.Property {
	return rules.Property{Key: key, Value: rules.Literal{Kind: rules.StringLiteral, Value: value}}
}
