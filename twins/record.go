package twins

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// Record is what Trusted Twin keeps of a twin beside its ledgers: who made it, and
// its public description.
type Record struct {
	Certificate Certificate     `json:"creation_certificate"`
	Owner       string          `json:"owner"`
	Updated     Timestamp       `json:"updated_ts,omitzero"`
	Description json.RawMessage `json:"description,omitempty"` // an object; nil: none
	Terminated  *Termination    `json:"termination_certificate,omitempty"`
}

// Certificate says who made a twin, and when.
type Certificate struct {
	UUID    string    `json:"uuid"`
	Creator string    `json:"creator"`
	Created Timestamp `json:"created_ts,omitzero"`
}

// Termination says who ended a twin, and when.
type Termination struct {
	Issuer string    `json:"issuer"`
	At     Timestamp `json:"terminated_ts"`
}

var descriptionKey = regexp.MustCompile(`^[a-z_][0-9a-z_]{0,63}$`)

// CheckDescription wants a value to be a description, or null.
func CheckDescription(r strictjson.Raw) error {
	if !given(r) {
		return nil
	}
	if r.Kind() != strictjson.Object {
		return r.Wrong(strictjson.Object, "an object, or null")
	}
	var errs []error
	for _, m := range r.Members() {
		if !descriptionKey.MatchString(m.Name) {
			errs = append(errs, m.Key.As(strictjson.WrongValue).Errorf("key %.80q; want a letter of a to z or _, then at most 63 of these and digits", m.Name))
		}
	}
	return strictjson.Join(errs...)
}

// Describe gives the twin the members of a description that are text, numbers or
// booleans as properties of their names, in the place of those of the description
// that it had before. nil is no description.
func (t Twin) Describe(description, before json.RawMessage) (Twin, error) {
	was, err := members(before)
	if err != nil {
		return t, err
	}
	is, err := members(description)
	if err != nil {
		return t, err
	}
	t.Properties = slices.DeleteFunc(slices.Clone(t.Properties), func(p rules.Property) bool {
		named := func(m strictjson.Member) bool { return m.Name == p.Key }
		return slices.ContainsFunc(was, named) || slices.ContainsFunc(is, named)
	})
	for _, m := range is {
		if l, ok := literal(m.Value); ok {
			t.Properties = append(t.Properties, rules.Property{Key: m.Name, Value: l})
		}
	}
	return t, nil
}

func members(description json.RawMessage) ([]strictjson.Member, error) {
	if description == nil {
		return nil, nil
	}
	raw, err := strictjson.Parse("description", description)
	return raw.Members(), err
}

// literal is a value as that of a property; lists, objects and null are none.
func literal(r strictjson.Raw) (rules.Literal, bool) {
	typed := func(dataType string) (rules.Literal, bool) {
		return rules.Literal{Kind: rules.TypedLiteral, DataType: dataType, Value: string(r.Text())}, true
	}
	switch r.Kind() {
	case strictjson.String:
		return rules.Literal{Kind: rules.StringLiteral, Value: r.Str()}, true
	case strictjson.Bool:
		return typed("boolean")
	case strictjson.Number:
		if bytes.ContainsAny(r.Text(), ".eE") {
			return typed("decimal")
		}
		return typed("integer")
	}
	return rules.Literal{}, false
}

// Description is what the properties of a twin say that nobody has described so:
// those that could have come of a description, and its label. nil: nothing.
func (t *Twin) Description() json.RawMessage {
	out := map[string]any{}
	for _, p := range t.Properties {
		if descriptionKey.MatchString(p.Key) {
			out[p.Key] = plain(p.Value)
		}
	}
	if l, ok := t.label(); ok {
		out["label"] = l.Value
	}
	if len(out) == 0 {
		return nil
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil
	}
	return text
}

// plain is a literal as a value of JSON.
func plain(l rules.Literal) any {
	if l.Kind == rules.TypedLiteral && (l.DataType == "boolean" || l.DataType == "integer" || l.DataType == "decimal") && json.Valid([]byte(l.Value)) {
		return json.RawMessage(l.Value)
	}
	return l.Value
}
