package twins

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

// maxID bounds a twin's id, in bytes.
const maxID = 256

// Decode reads an array of upsert bodies (iotics API), or a single one, and
// reports every problem at once. No id may be there twice.
func Decode(raw strictjson.Raw) ([]Twin, error) {
	switch raw.Kind() {
	case strictjson.Object:
		one := make([]Twin, 1)
		err := one[0].DecodeStrict(raw)
		return one, err
	case strictjson.Array:
		var all []Twin
		err := raw.Decode(&all)
		return all, strictjson.Join(err, onceEach(raw, all))
	}
	return nil, raw.At.As(strictjson.WrongType).Errorf("got %s; want an array of twins, or one twin", raw.Shown())
}

func onceEach(raw strictjson.Raw, all []Twin) error {
	var errs []error
	seen := map[string]bool{}
	for i, t := range all {
		if t.ID != "" && seen[t.ID] {
			errs = append(errs, raw.Elems()[i].Member("twinId").At.As(strictjson.NotUnique).Errorf("%q is there twice; want each twin once", t.ID))
		}
		seen[t.ID] = true
	}
	return strictjson.Join(errs...)
}

// DecodeStrict reads an upsert body: {"twinId","visibility","properties",
// "location","feeds","inputs"}, of which only the id must be there. The id has
// any form of rules.DecodeID, at most 256 bytes long; the location is
// {"lat","lon"} or {"location":{"lat","lon"}}, or null.
func (t *Twin) DecodeStrict(r strictjson.Raw) error {
	var in struct {
		ID         twinID           `json:"twinId" strict:"required"`
		Visibility visibility       `json:"visibility"`
		Properties []rules.Property `json:"properties"`
		Location   location         `json:"location"`
		Feeds      strictjson.Raw   `json:"feeds"`
		Inputs     strictjson.Raw   `json:"inputs"`
	}
	err := r.Decode(&in)
	feeds, wrongFeeds := rules.DecodeFeeds(in.Feeds)
	inputs, wrongInputs := rules.DecodeInputs(in.Inputs)
	*t = Twin{string(in.ID), string(in.Visibility), in.Properties, in.Location.at, feeds, inputs}
	return strictjson.Join(err, wrongFeeds, wrongInputs)
}

type twinID string

func (id *twinID) DecodeStrict(r strictjson.Raw) error {
	s, err := rules.DecodeID(r)
	if err != nil {
		return err
	}
	if len(s) > maxID {
		return r.At.Errorf("id of %d bytes; want at most %d", len(s), maxID)
	}
	*id = twinID(s)
	return nil
}

type visibility string

func (v *visibility) DecodeStrict(r strictjson.Raw) error {
	if s := r.Str(); s != Public && s != Private {
		return r.At.Errorf("got %s; want %s or %s", r.Shown(), Public, Private)
	}
	*v = visibility(r.Str())
	return nil
}

type location struct{ at *rules.Location }

func (l *location) DecodeStrict(r strictjson.Raw) error {
	if r.Kind() == strictjson.Null {
		return nil
	}
	if r.Member("location").IsZero() {
		l.at = new(rules.Location)
		return l.at.DecodeStrict(r)
	}
	var in struct {
		Location *rules.Location `json:"location"`
	}
	err := r.Decode(&in)
	l.at = in.Location
	return err
}

// IDOf is the id of a twin whose upsert body AppendJSON has written; false where it
// takes a decoder to tell.
func IDOf(body []byte) (string, bool) {
	rest, ok := bytes.CutPrefix(body, []byte(idPrefix))
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 || bytes.IndexByte(rest[:end], '\\') >= 0 {
		return "", false
	}
	return string(rest[:end]), true
}

const idPrefix = `{"twinId":"`

// AppendJSON appends the twin's upsert body, which DecodeStrict reads.
func (t *Twin) AppendJSON(b []byte) []byte {
	b = appendText(append(b, idPrefix[:len(idPrefix)-1]...), t.ID)
	if t.Visibility != "" {
		b = appendText(append(b, `,"visibility":`...), t.Visibility)
	}
	b = rules.AppendProperties(append(b, `,"properties":`...), t.Properties)
	if t.Location != nil {
		b = t.Location.AppendJSON(append(b, `,"location":`...))
	}
	b = append(b, `,"feeds":[`...)
	for i := range t.Feeds {
		b = t.Feeds[i].AppendJSON(appendComma(b, i))
	}
	b = append(b, `],"inputs":[`...)
	for i := range t.Inputs {
		b = t.Inputs[i].AppendInputJSON(appendComma(b, i))
	}
	return append(b, `]}`...)
}

func appendComma(b []byte, i int) []byte {
	if i == 0 {
		return b
	}
	return append(b, ',')
}

// appendText appends s as a JSON string; what is not UTF-8 in it becomes U+FFFD.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // its only error says that something was replaced
	return b
}
